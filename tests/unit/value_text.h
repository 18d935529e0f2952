/* SPDX-License-Identifier: Apache-2.0 */
/* Value trees from text, for tests of core alone: JSON, and as a convenience also single quotes and bare keys. Strings have no escapes.
 * Lenient at the edges: what cannot be read ends the tree there. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/value.h"

struct value_text {
	const char *at, *end;
	unsigned depth;
};

static inline char value_text_peek(struct value_text *t)
{
	while (t->at < t->end && strchr(" \t\n\r,:", *t->at) && *t->at)
		t->at++;
	return t->at < t->end ? *t->at : 0;
}

/* A quoted string, or a run of other bytes than punctuation. */
static inline char *value_text_word(struct value_text *t)
{
	char quote = value_text_peek(t);
	const char *start = t->at;
	size_t len = 0;
	if (quote == '"' || quote == '\'') {
		start = ++t->at;
		while (t->at < t->end && *t->at != quote)
			t->at++;
		len = (size_t)(t->at - start);
		if (t->at < t->end)
			t->at++;
	} else {
		while (t->at < t->end && *t->at && !strchr(" \t\n\r,:[]{}\"'", *t->at))
			t->at++;
		len = (size_t)(t->at - start);
	}
	char *word = strndup(start, len);
	if (!word)
		abort();
	return word;
}

static inline struct value value_text_read(struct value_text *t);

static inline void value_text_items(struct value_text *t, struct value *v, char close)
{
	size_t cap = 0;
	t->at++;
	for (char c; (c = value_text_peek(t)) && c != close && c != ']' && c != '}';) {
		if (v->n == cap) {
			cap = cap ? 2 * cap : 4;
			v->items = realloc(v->items, cap * sizeof(*v->items));
			if (v->type == VALUE_OBJECT)
				v->keys = realloc(v->keys, cap * sizeof(*v->keys));
			if (!v->items || (v->type == VALUE_OBJECT && !v->keys))
				abort();
		}
		const char *before = t->at;
		if (v->type == VALUE_OBJECT)
			v->keys[v->n] = value_text_word(t);
		v->items[v->n++] = value_text_read(t);
		if (t->at == before) /* a byte that nothing can begin with */
			t->at++;
	}
	if (t->at < t->end)
		t->at++;
}

static inline struct value value_text_read(struct value_text *t)
{
	struct value v = {.type = VALUE_NULL};
	char c = value_text_peek(t);
	if (c == '{' || c == '[') {
		if (++t->depth > 32) {
			t->at = t->end;
			return v;
		}
		v.type = c == '{' ? VALUE_OBJECT : VALUE_ARRAY;
		value_text_items(t, &v, c == '{' ? '}' : ']');
		t->depth--;
		return v;
	}
	bool quoted = c == '"' || c == '\'';
	char *word = value_text_word(t), *end;
	if (!quoted && (strcmp(word, "true") == 0 || strcmp(word, "false") == 0))
		v = (struct value){.type = VALUE_BOOL, .boolean = word[0] == 't'};
	else if (!quoted && (strchr("+-0123456789", c) && c)) {
		v = (struct value){.type = VALUE_INT, .integer = strtoll(word, &end, 10)};
		if (*end)
			v = (struct value){.type = VALUE_REAL, .real = strtod(word, &end)};
	} else if (quoted || strcmp(word, "null") != 0)
		return (struct value){.type = VALUE_STRING, .string = word};
	free(word);
	return v;
}

static inline struct value value_from_bytes(const void *text, size_t len)
{
	struct value_text t = {.at = text, .end = (const char *)text + len};
	return value_text_read(&t);
}

static inline struct value value_from_text(const char *text)
{
	return value_from_bytes(text, strlen(text));
}
