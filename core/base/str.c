/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/str.h"

#include <errno.h>
#include <stdint.h>
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

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t str_distance(const char *a, const char *b)
{
	size_t rows[3][STR_DISTANCE_MAX + 1], n_a = strlen(a), n_b = strlen(b);
	size_t *before = rows[0], *above = rows[1], *row = rows[2];
	if (n_a > STR_DISTANCE_MAX || n_b > STR_DISTANCE_MAX)
		return SIZE_MAX;
	for (size_t k = 0; k <= n_b; k++)
		before[k] = above[k] = k;
	for (size_t i = 1; i <= n_a; i++) {
		row[0] = i;
		for (size_t k = 1; k <= n_b; k++) {
			bool same = lower(a[i - 1]) == lower(b[k - 1]);
			row[k] = least(least(above[k], row[k - 1]) + 1, above[k - 1] + !same);
			if (i > 1 && k > 1 && lower(a[i - 1]) == lower(b[k - 2]) && lower(a[i - 2]) == lower(b[k - 1]))
				row[k] = least(row[k], before[k - 2] + 1);
		}
		size_t *oldest = before;
		before = above;
		above = row;
		row = oldest;
	}
	return above[n_b];
}
