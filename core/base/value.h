/* SPDX-License-Identifier: Apache-2.0 */
/* A neutral, read-only tree of values, so that core can validate configuration without knowing the JSON library: an adapter converts
 * what it parsed into this tree (k8s/json_value.h). Objects keep their keys in order of appearance; duplicate keys are refused by the
 * adapter before. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum value_type { VALUE_NULL, VALUE_BOOL, VALUE_INT, VALUE_REAL, VALUE_STRING, VALUE_ARRAY, VALUE_OBJECT };

struct value {
	enum value_type type;
	union {
		bool boolean;
		int64_t integer;
		double real;
		char *string;
	};
	size_t n;            /* array, object: number of items */
	char **keys;         /* object */
	struct value *items; /* array, object */
};

void value_free(struct value *v);                                           /* frees what it holds, not `v` itself; leaves VALUE_NULL */
const struct value *value_get(const struct value *object, const char *key); /* NULL when absent or no object */
const char *value_type_name(enum value_type type);
