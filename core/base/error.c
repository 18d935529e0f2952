/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"

static const char cut_mark[] = "...";

/* The texts go to peers that refuse broken UTF-8 (gRPC status, Kubernetes objects), so a cut never falls inside a sequence. */
static void text_write(char *to, size_t size, const char *format, va_list ap)
{
	if (size <= sizeof(cut_mark))
		return;
	int len = vsnprintf(to, size, format, ap);
	if (len >= 0 && (size_t)len >= size) {
		str_cut(to, size - strlen(cut_mark), to);
		strcat(to, cut_mark);
	}
}

int(error_set)(struct error *e, int code, const char *format, ...)
{
	if (e) {
		/* The arguments may point into e->text. */
		char text[ERROR_TEXT_MAX] = "";
		va_list ap;
		va_start(ap, format);
		text_write(text, sizeof(text), format, ap);
		va_end(ap);
		memcpy(e->text, text, sizeof(text));
		e->code = code;
	}
	return code;
}

int error_prefix(struct error *e, const char *format, ...)
{
	if (!e)
		return 0;
	char prefix[ERROR_TEXT_MAX / 2] = "";
	va_list ap;
	va_start(ap, format);
	text_write(prefix, sizeof(prefix), format, ap);
	va_end(ap);

	char old[ERROR_TEXT_MAX];
	memcpy(old, e->text, sizeof(old));
	return error_set(e, e->code, "%s: %s", prefix, old);
}

int(error_append)(struct error *e, int code, const char *format, ...)
{
	if (!e)
		return code;
	char more[ERROR_TEXT_MAX] = "";
	va_list ap;
	va_start(ap, format);
	text_write(more, sizeof(more), format, ap);
	va_end(ap);

	if (!e->code)
		return error_set(e, code, "%s", more);
	char old[ERROR_TEXT_MAX];
	memcpy(old, e->text, sizeof(old));
	return error_set(e, e->code, "%s; %s", old, more);
}

const char *error_name(int code, char buffer[16])
{
	/* INT_MIN has no positive counterpart. */
	unsigned positive = code < 0 ? 0u - (unsigned)code : (unsigned)code;
	const char *name = positive && positive < 4096 ? strerrorname_np((int)positive) : NULL;
	if (name)
		return name;
	snprintf(buffer, 16, "E%u", positive);
	return buffer;
}
