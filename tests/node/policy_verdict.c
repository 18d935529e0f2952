/* SPDX-License-Identifier: Apache-2.0 */
/* What the driver's own parser says of configurations, for tests/node/knobs_policy.py: texts as the unit tests have them, each with a NUL
 * behind it, on standard input; for each a line of JSON: {"error": null or the faults, "document": …}. */
#include <inttypes.h>
#include <stdio.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/config.h"
#include "tests/unit/value_text.h"

enum { INPUT_MAX = 64 << 20 };

static void put_string(struct buf *to, const char *text)
{
	buf_puts(to, "\"");
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < ' ' || *c == '"' || *c == '\\')
			buf_printf(to, "\\u%04x", *c);
		else
			buf_add(to, c, 1);
	buf_puts(to, "\"");
}

static void put_value(struct buf *to, const struct value *v)
{
	char number[40];
	switch (v->type) {
	case VALUE_NULL:
		buf_puts(to, "null");
		break;
	case VALUE_BOOL:
		buf_puts(to, v->boolean ? "true" : "false");
		break;
	case VALUE_INT:
		buf_printf(to, "%" PRId64, v->integer);
		break;
	case VALUE_REAL:
		snprintf(number, sizeof(number), "%.17g", v->real);
		buf_printf(to, "%s%s", number, strpbrk(number, ".e") ? "" : ".0");
		break;
	case VALUE_STRING:
		put_string(to, v->string);
		break;
	case VALUE_ARRAY:
	case VALUE_OBJECT:
		buf_puts(to, v->type == VALUE_ARRAY ? "[" : "{");
		for (size_t i = 0; i < v->n; i++) {
			buf_puts(to, i ? "," : "");
			if (v->type == VALUE_OBJECT) {
				put_string(to, v->keys[i]);
				buf_puts(to, ":");
			}
			put_value(to, &v->items[i]);
		}
		buf_puts(to, v->type == VALUE_ARRAY ? "]" : "}");
		break;
	}
}

static void judge(const char *text)
{
	_cleanup_buf_ struct buf line = {0};
	struct value v = value_from_text(text);
	struct network_config c;
	struct error e = {0};
	buf_puts(&line, "{\"error\":");
	if (network_config_parse(&v, &c, &e) < 0) {
		put_string(&line, e.text);
	} else {
		buf_puts(&line, "null");
		network_config_free(&c);
	}
	buf_puts(&line, ",\"document\":");
	put_value(&line, &v);
	value_free(&v);
	buf_puts(&line, "}");
	puts(buf_text(&line));
}

int main(void)
{
	_cleanup_buf_ struct buf input = {.limit = INPUT_MAX};
	char part[4096];
	for (size_t n; (n = fread(part, 1, sizeof(part), stdin)) > 0;)
		buf_add(&input, part, n);
	if (input.failed)
		return EXIT_FAILURE;
	const char *end = buf_text(&input) + input.len;
	for (const char *text = buf_text(&input); text < end; text += strlen(text) + 1)
		judge(text);
	return EXIT_SUCCESS;
}
