/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config_faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"

bool faults_full(const struct faults *f)
{
	/* error_append() cuts at the end; a few bytes less may be left by a cut inside a UTF-8 sequence. */
	return strlen(f->error.text) >= sizeof(f->error.text) - 8;
}

void fault(struct faults *f, const char *key, const char *format, ...)
{
	f->n++;
	if (faults_full(f))
		return;
	char text[ERROR_TEXT_MAX / 2];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);

	const char *point = key && f->path[0] ? "." : "";
	const char *path = key || f->path[0] ? f->path : "configuration";
	error_append(&f->error, -EINVAL, "%s%s%s: %s", path, point, key ? key : "", text);
}

size_t path_enter(struct faults *f, const char *key)
{
	size_t at = strlen(f->path);
	snprintf(f->path + at, sizeof(f->path) - at, "%s%s", at ? "." : "", key);
	return at;
}

size_t path_enter_index(struct faults *f, size_t index)
{
	size_t at = strlen(f->path);
	snprintf(f->path + at, sizeof(f->path) - at, "[%zu]", index);
	return at;
}

void path_leave(struct faults *f, size_t at)
{
	f->path[at] = 0;
}

struct shown show_string(const char *string, const char *quote)
{
	struct shown s;
	char cut[SHOWN_MAX];
	str_cut(cut, sizeof(cut), string);
	for (char *c = cut; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	snprintf(s.text, sizeof(s.text), "%s%s%s%s", quote, cut, strlen(cut) < strlen(string) ? "..." : "", quote);
	return s;
}

struct shown show_value(const struct value *v)
{
	struct shown s = {"null"};
	switch (v->type) {
	case VALUE_STRING:
		return show_string(v->string, "\"");
	case VALUE_BOOL:
		STR_COPY(s.text, v->boolean ? "true" : "false");
		break;
	case VALUE_INT:
		snprintf(s.text, sizeof(s.text), "%" PRId64, v->integer);
		break;
	case VALUE_REAL:
		snprintf(s.text, sizeof(s.text), "%g", v->real);
		break;
	case VALUE_ARRAY:
		STR_COPY(s.text, v->n ? "[...]" : "[]");
		break;
	case VALUE_OBJECT:
		STR_COPY(s.text, v->n ? "{...}" : "{}");
		break;
	case VALUE_NULL:
		break;
	}
	return s;
}

struct shown show_address(const struct ip_address *a)
{
	char text[IP_TEXT_MAX];
	ip_address_format(a, text);
	return show_string(text, "\"");
}

struct shown show_prefix(const struct ip_prefix *p)
{
	char text[IP_TEXT_MAX];
	ip_prefix_format(p, text);
	return show_string(text, "\"");
}
