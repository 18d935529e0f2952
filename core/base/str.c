/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/str.h"

#include <errno.h>
#include <string.h>

int str_copy(char *to, size_t size, const char *from)
{
	size_t len = from ? strlen(from) : 0;
	if (len >= size) {
		if (size)
			to[0] = 0;
		return -ENAMETOOLONG;
	}
	if (len)
		memmove(to, from, len);
	to[len] = 0;
	return 0;
}

void str_cut(char *to, size_t size, const char *from)
{
	if (!size)
		return;
	size_t len = from ? strnlen(from, size) : 0;
	if (len == size) {
		size_t at = size - 1;
		/* Step back to the lead byte of the sequence that does not fit; one longer than three bytes back is no UTF-8. */
		for (int i = 0; i < 3 && at > 0 && ((unsigned char)from[at] & 0xc0) == 0x80; i++)
			at--;
		len = ((unsigned char)from[at] & 0xc0) == 0x80 ? size - 1 : at;
	}
	if (len)
		memmove(to, from, len);
	to[len] = 0;
}

bool str_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

bool str_starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool label_end(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool str_is_dns_label(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	if (len == 0 || len > 63 || !label_end(text[0]) || !label_end(text[len - 1]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!label_end(text[i]) && text[i] != '-')
			return false;
	return true;
}

bool str_is_token(const char *text)
{
	if (!text || !*text)
		return false;
	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return true;
}
