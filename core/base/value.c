/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/value.h"

#include <stdlib.h>
#include <string.h>

void value_free(struct value *v)
{
	if (v->type == VALUE_STRING)
		free(v->string);
	if (v->type == VALUE_ARRAY || v->type == VALUE_OBJECT) {
		for (size_t i = 0; i < v->n; i++) {
			value_free(&v->items[i]);
			if (v->keys)
				free(v->keys[i]);
		}
		free(v->items);
		free(v->keys);
	}
	*v = (struct value){.type = VALUE_NULL};
}

const struct value *value_get(const struct value *object, const char *key)
{
	if (!object || object->type != VALUE_OBJECT)
		return NULL;
	for (size_t i = 0; i < object->n; i++)
		if (strcmp(object->keys[i], key) == 0)
			return &object->items[i];
	return NULL;
}

const char *value_type_name(enum value_type type)
{
	static const char *const names[] = {
	    [VALUE_NULL] = "null",     [VALUE_BOOL] = "boolean", [VALUE_INT] = "integer",   [VALUE_REAL] = "number",
	    [VALUE_STRING] = "string", [VALUE_ARRAY] = "array",  [VALUE_OBJECT] = "object",
	};
	return names[type];
}
