/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of the device filter, for the filter itself and for its explanation. */
#pragma once

#include "core/filter_tree.h"

struct filter_value {
	enum filter_type type;
	union {
		bool boolean;
		int64_t integer;
		const char *string;
		const struct attribute *attribute;
		struct {
			const struct filter_node *list;         /* as it is written; NULL = */
			const struct attribute *attribute_list; /* an attribute's; NULL = empty */
		};
	};
};

struct filter_run {
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n;
	struct filter_value slots[FILTER_SLOTS]; /* variables of the macros that are being evaluated */
	unsigned steps;
	struct error error; /* the last one; counts only when the whole expression fails */
};

void filter_run_init(struct filter_run *r, const struct device_facts *facts);
/* 0 and `*ret`, or a negative errno with r->error. */
int filter_evaluate(struct filter_run *r, const struct filter_node *n, struct filter_value *ret);
/* Whether the attribute is of the field's kind: an unset field reads as the zero of its type. */
bool filter_attribute_has(const struct attribute *a, enum filter_field field);
