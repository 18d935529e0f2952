/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/options.h"

static const struct {
	const char *name; /* longer names first: "ms" before "m" */
	int64_t ns;
} units[] = {
    {"ns", 1},       {"us", 1000},       {"\xc2\xb5s", 1000},     {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000L}, {"m", 60 * 1000000000L}, {"h", 3600 * 1000000000L},
};

/* One number with its unit; -EINVAL when there is none or it is too big. */
static int take_term(const char **text, int64_t *ns)
{
	const char *p = *text;
	int64_t whole = 0, fraction = 0, scale = 1;
	bool digits = false;
	for (; *p >= '0' && *p <= '9'; p++, digits = true)
		if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *p - '0', &whole))
			return -EINVAL;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++, digits = true)
			if (scale < 1000000000L) { /* finer than a nanosecond changes nothing but hours' last digits */
				fraction = fraction * 10 + (*p - '0');
				scale *= 10;
			}
	if (!digits)
		return -EINVAL;
	for (size_t i = 0; i < ELEMENTS(units); i++) {
		if (!str_starts(p, units[i].name))
			continue;
		int64_t part = (int64_t)((double)fraction * ((double)units[i].ns / (double)scale));
		if (__builtin_mul_overflow(whole, units[i].ns, &whole) || __builtin_add_overflow(whole, part, &whole) ||
		    __builtin_add_overflow(*ns, whole, ns))
			return -EINVAL;
		*text = p + strlen(units[i].name);
		return 0;
	}
	return -EINVAL;
}

int duration_parse(const char *text, int64_t *ret_ns)
{
	int64_t ns = 0;
	bool negative = *text == '-';
	if (*text == '-' || *text == '+')
		text++;
	if (!*text)
		return -EINVAL;
	if (strcmp(text, "0") != 0)
		while (*text)
			if (take_term(&text, &ns) < 0)
				return -EINVAL;
	*ret_ns = negative ? -ns : ns;
	return 0;
}

/* "1.5" of 1500 with three decimals: no trailing zeros. */
static int put_decimal(char *to, size_t size, uint64_t value, int decimals)
{
	uint64_t scale = 1;
	for (int i = 0; i < decimals; i++)
		scale *= 10;
	int n = snprintf(to, size, "%" PRIu64, value / scale);
	uint64_t rest = value % scale;
	if (!rest)
		return n;
	n += snprintf(to + n, size - (size_t)n, ".%0*" PRIu64, decimals, rest);
	while (to[n - 1] == '0')
		to[--n] = 0;
	return n;
}

void duration_format(int64_t ns, char ret[40])
{
	const uint64_t second = 1000000000;
	uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	size_t at = 0, size = 40;
	if (ns < 0)
		ret[at++] = '-';
	if (v == 0) {
		snprintf(ret, size, "0s");
		return;
	}
	if (v < second) {
		int decimals = v < 1000 ? 0 : v < 1000000 ? 3 : 6;
		at += (size_t)put_decimal(ret + at, size - at, v, decimals);
		snprintf(ret + at, size - at, "%s", decimals == 0 ? "ns" : decimals == 3 ? "\xc2\xb5s" : "ms");
		return;
	}
	uint64_t minutes = v / (60 * second);
	if (minutes >= 60)
		at += (size_t)snprintf(ret + at, size - at, "%" PRIu64 "h", minutes / 60);
	if (minutes)
		at += (size_t)snprintf(ret + at, size - at, "%" PRIu64 "m", minutes % 60);
	at += (size_t)put_decimal(ret + at, size - at, v % (60 * second), 9);
	snprintf(ret + at, size - at, "s");
}
