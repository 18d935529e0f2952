/* SPDX-License-Identifier: Apache-2.0 */
/* What slice_object.c, slice_digest.c and slice_scan.c share. Digests are summed up by slice_digest.c for what we hold and for JSON as a
 * tree, by slice_scan.c for JSON as text: the same for the same. */
#pragma once

#include "k8s/json_scan.h"
#include "k8s/slice_object.h"

/* Two independent 64-bit lanes. */
struct lanes {
	uint64_t a, b;
};
void lanes_word(struct lanes *l, uint64_t w);
/* Order does not matter to a sum, and after mixing equal parts do not cancel out. */
void lanes_sum(struct lanes *sum, struct lanes part);

enum lanes_tag { TAG_STRING = 's', TAG_INT = 'i', TAG_BOOL = 'b', TAG_LIST = 'l', TAG_OTHER = 'o' };
/* Attributes. To a list its numbers are added by lanes_word(): in it the order counts, the first node is the device's own. */
struct lanes attribute_string(struct json_span name, struct json_span value);
struct lanes attribute_number(struct json_span name, enum lanes_tag tag, int64_t value);
struct lanes attribute_list(struct json_span name);

struct slice_sum {
	struct lanes lanes;
	uint64_t names;
};
void slice_sum_device(struct slice_sum *sum, struct json_span name, struct lanes attributes);

/* "0001f-…" → 31; -1 = not such a name. */
int64_t slice_name_index(const char *name);
