/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/kubeconfig_yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/base/cleanup.h"

struct reader {
	yaml_parser_t parser;
	size_t nodes;
	struct error *e;
};

static int reader_next(struct reader *r, yaml_event_t *ret)
{
	if (yaml_parser_parse(&r->parser, ret))
		return 0;
	const yaml_parser_t *p = &r->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return error_set(r->e, -ENOMEM, "out of memory");
	return error_set(r->e, -EINVAL, "line %zu: %s", p->problem_mark.line + 1, p->problem ? p->problem : "no YAML");
}

static int node_grow(struct value *v, size_t *cap)
{
	if (v->n < *cap)
		return 0;
	size_t more = *cap ? *cap * 2 : 8;
	struct value *items = realloc(v->items, more * sizeof(*items));
	if (!items)
		return -ENOMEM;
	v->items = items;
	memset(items + v->n, 0, (more - v->n) * sizeof(*items));
	if (v->type == VALUE_OBJECT) {
		char **keys = realloc(v->keys, more * sizeof(*keys));
		if (!keys)
			return -ENOMEM;
		v->keys = keys;
	}
	*cap = more;
	return 0;
}

static int scalar_copy(struct reader *r, const yaml_event_t *event, char **ret)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length, line = event->start_mark.line + 1;
	if (memchr(text, '\0', len))
		return error_set(r->e, -EINVAL, "line %zu: a NUL in a text", line);
	char *copy = malloc(len + 1);
	if (!copy)
		return error_set(r->e, -ENOMEM, "out of memory");
	memcpy(copy, text, len);
	copy[len] = '\0';
	*ret = copy;
	return 0;
}

static int node_scalar(struct reader *r, const yaml_event_t *event, struct value *ret)
{
	const char *text = (const char *)event->data.scalar.value;
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && (!*text || !strcmp(text, "~") || !strcmp(text, "null")))
		return 0;
	int res = scalar_copy(r, event, &ret->string);
	if (res == 0)
		ret->type = VALUE_STRING;
	return res;
}

/* The key of a mapping's next pair; 1 = the mapping ended. */
static int node_key(struct reader *r, struct value *mapping, char **ret)
{
	yaml_event_t event;
	int res = reader_next(r, &event);
	if (res < 0)
		return res;
	_cleanup_free_ char *key = NULL;
	size_t line = event.start_mark.line + 1;
	if (event.type == YAML_MAPPING_END_EVENT)
		res = 1;
	else if (event.type != YAML_SCALAR_EVENT)
		res = error_set(r->e, -EINVAL, "line %zu: a key that is no text", line);
	else
		res = scalar_copy(r, &event, &key);
	yaml_event_delete(&event);
	if (res)
		return res;
	if (mapping->n >= YAML_KEYS_MAX)
		return error_set(r->e, -E2BIG, "line %zu: more than %d keys", line, YAML_KEYS_MAX);
	if (value_get(mapping, key))
		return error_set(r->e, -EINVAL, "line %zu: key \"%.64s\" appears twice", line, key);
	*ret = TAKE_PTR(key);
	return 0;
}

static int node_read(struct reader *r, const yaml_event_t *event, unsigned depth, struct value *ret);

static int node_collection(struct reader *r, enum value_type type, unsigned depth, struct value *ret)
{
	size_t cap = 0;
	ret->type = type;
	for (;;) {
		_cleanup_free_ char *key = NULL;
		int res = type == VALUE_OBJECT ? node_key(r, ret, &key) : 0;
		if (res)
			return res < 0 ? res : 0;
		yaml_event_t event;
		res = reader_next(r, &event);
		if (res < 0)
			return res;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			return 0;
		}
		if (node_grow(ret, &cap) < 0)
			res = error_set(r->e, -ENOMEM, "out of memory");
		if (res == 0) {
			if (type == VALUE_OBJECT)
				ret->keys[ret->n] = TAKE_PTR(key);
			res = node_read(r, &event, depth, &ret->items[ret->n++]);
		}
		yaml_event_delete(&event);
		if (res < 0)
			return res;
	}
}

/* Reads the node that `event` begins into `ret`, which is zero; what was read stays there on failure. */
static int node_read(struct reader *r, const yaml_event_t *event, unsigned depth, struct value *ret)
{
	size_t line = event->start_mark.line + 1;
	if (depth > YAML_DEPTH_MAX)
		return error_set(r->e, -E2BIG, "line %zu: nested deeper than %d", line, YAML_DEPTH_MAX);
	if (++r->nodes > YAML_NODES_MAX)
		return error_set(r->e, -E2BIG, "line %zu: more than %d values", line, YAML_NODES_MAX);
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return node_scalar(r, event, ret);
	case YAML_MAPPING_START_EVENT:
		return node_collection(r, VALUE_OBJECT, depth + 1, ret);
	case YAML_SEQUENCE_START_EVENT:
		return node_collection(r, VALUE_ARRAY, depth + 1, ret);
	case YAML_ALIAS_EVENT:
		return error_set(r->e, -EINVAL, "line %zu: aliases are refused", line);
	default:
		return error_set(r->e, -EINVAL, "line %zu: unexpected YAML event", line);
	}
}

/* Stream start, document start, one node, document end, stream end. */
static int stream_read(struct reader *r, struct value *ret)
{
	for (;;) {
		yaml_event_t event;
		int res = reader_next(r, &event);
		if (res < 0)
			return res;
		yaml_event_type_t type = event.type;
		if (type == YAML_DOCUMENT_START_EVENT && r->nodes)
			res = error_set(r->e, -EINVAL, "line %zu: more than one document", event.start_mark.line + 1);
		else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT && type != YAML_DOCUMENT_END_EVENT &&
		         type != YAML_STREAM_END_EVENT)
			res = node_read(r, &event, 1, ret);
		yaml_event_delete(&event);
		if (res < 0 || type == YAML_STREAM_END_EVENT)
			return res;
	}
}

int yaml_tree_parse(const char *text, size_t len, struct value *ret, struct error *e)
{
	if (len > YAML_SIZE_MAX)
		return error_set(e, -E2BIG, "%zu bytes, at most %d are read", len, YAML_SIZE_MAX);
	struct reader r = {.e = e};
	struct value tree = {.type = VALUE_NULL};
	if (!yaml_parser_initialize(&r.parser))
		return error_set(e, -ENOMEM, "out of memory");
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	int res = stream_read(&r, &tree);
	yaml_parser_delete(&r.parser);
	if (res < 0) {
		value_free(&tree);
		return res;
	}
	*ret = tree;
	return 0;
}
