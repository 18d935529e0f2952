/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/json_value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "k8s/objects.h"

enum { VALUE_DEPTH_MAX = 32, VALUE_COUNT_MAX = 4096, PATH_KEY_MAX = 64 };

const char *json_member_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));
	return s ? s : "";
}

json_t *json_member(const json_t *object, const char *path)
{
	json_t *at = NULL;
	while (*path) {
		char key[PATH_KEY_MAX];
		size_t n = strcspn(path, ".");
		if (n >= sizeof(key))
			return NULL;
		memcpy(key, path, n);
		key[n] = '\0';
		at = json_object_get(object, key);
		if (!at)
			return NULL;
		object = at;
		path += n + (path[n] == '.');
	}
	return at;
}

json_t *json_text_new(const char *text)
{
	json_t *s = json_string(text);
	char *ascii = s ? NULL : strdup(text);
	if (!ascii)
		return s;
	for (char *p = ascii; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	s = json_string(ascii);
	free(ascii);
	return s;
}

static bool is_plain(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f || *text == '"' || *text == '\\')
			return false;
	return true;
}

void json_text_add(struct buf *b, const char *text)
{
	if (is_plain(text)) {
		buf_puts(b, "\"");
		buf_puts(b, text);
		buf_puts(b, "\"");
		return;
	}
	json_t *s = json_text_new(text);
	char *written = json_dumps(s, JSON_ENCODE_ANY);
	if (written)
		buf_puts(b, written);
	else
		b->failed = true;
	free(written);
	json_decref(s);
}

static int value_convert(json_t *json, unsigned depth, size_t *left, struct value *ret);

static int value_convert_object(json_t *json, unsigned depth, size_t *left, struct value *ret)
{
	size_t n = json_object_size(json);
	ret->type = VALUE_OBJECT;
	if (!n)
		return 0;
	if (n > *left)
		return -E2BIG;
	ret->keys = calloc(n, sizeof(*ret->keys));
	ret->items = calloc(n, sizeof(*ret->items));
	if (!ret->keys || !ret->items)
		return -ENOMEM;
	const char *key;
	json_t *item;
	json_object_foreach(json, key, item)
	{
		size_t i = ret->n++;
		ret->keys[i] = strdup(key);
		if (!ret->keys[i])
			return -ENOMEM;
		int r = value_convert(item, depth + 1, left, &ret->items[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int value_convert_array(json_t *json, unsigned depth, size_t *left, struct value *ret)
{
	size_t n = json_array_size(json);
	ret->type = VALUE_ARRAY;
	if (!n)
		return 0;
	if (n > *left)
		return -E2BIG;
	ret->items = calloc(n, sizeof(*ret->items));
	if (!ret->items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		ret->n++;
		int r = value_convert(json_array_get(json, i), depth + 1, left, &ret->items[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Fills `ret` (zero before) as far as it comes; the caller frees it on failure. */
static int value_convert(json_t *json, unsigned depth, size_t *left, struct value *ret)
{
	if (depth > VALUE_DEPTH_MAX || !*left)
		return -E2BIG;
	--*left;
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return value_convert_object(json, depth, left, ret);
	case JSON_ARRAY:
		return value_convert_array(json, depth, left, ret);
	case JSON_STRING:
		ret->string = strdup(json_string_value(json));
		if (!ret->string)
			return -ENOMEM;
		ret->type = VALUE_STRING;
		return 0;
	case JSON_INTEGER:
		ret->type = VALUE_INT;
		ret->integer = json_integer_value(json);
		return 0;
	case JSON_REAL:
		ret->type = VALUE_REAL;
		ret->real = json_real_value(json);
		return 0;
	case JSON_TRUE:
	case JSON_FALSE:
		ret->type = VALUE_BOOL;
		ret->boolean = json_is_true(json);
		return 0;
	case JSON_NULL:
		ret->type = VALUE_NULL;
		return 0;
	}
	return -EINVAL;
}

int value_from_json(json_t *json, struct value *ret)
{
	struct value v = {.type = VALUE_NULL};
	size_t left = VALUE_COUNT_MAX;
	int r = value_convert(json, 1, &left, &v);
	if (r < 0) {
		value_free(&v);
		return r;
	}
	*ret = v;
	return 0;
}
