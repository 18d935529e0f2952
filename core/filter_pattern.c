/* SPDX-License-Identifier: Apache-2.0 */
/* The patterns of matches(). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/filter_tree.h"

enum {
	PATTERN_MAX = 256,    /* bytes */
	REPETITION_MAX = 1000 /* of all {n,m} together, RE2's limit; the C library's compiler unrolls them */
};

static unsigned repetition(const char *brace)
{
	unsigned long first = strtoul(brace + 1, NULL, 10), second = 0;
	const char *comma = brace + 1 + strspn(brace + 1, "0123456789");
	if (*comma == ',')
		second = strtoul(comma + 1, NULL, 10);
	unsigned long most = first > second ? first : second;
	return most > REPETITION_MAX ? REPETITION_MAX + 1 : most ? (unsigned)most : 1;
}

/* glibc writes a repetition out: x{9} nine times, a group with + twice; nested they multiply. `before` is the byte before the operator. */
static unsigned unrolled(const char *operator, char before)
{
	if (*operator== '{')
		return repetition(operator);
	return *operator== '+' && before == ')' ? 2 : 1;
}

/* The last byte of the bracket expression that starts at `c`: what looks like an operator in it is none. */
static const char *bracket_end(const char *c)
{
	const char *at = c + 1;
	at += *at == '^';
	at += *at == ']';
	const char *end = strchr(at, ']');
	return end ? end : c;
}

int filter_regex(const char *pattern, regex_t *ret, struct error *e)
{
	static const char escapes[] = "wWsSbB", operators[] = "*+?{";
	unsigned total = 1;
	char before = 0; /* the byte before, 0 after an escape; '}' ends an operator too */
	if (strlen(pattern) > PATTERN_MAX)
		return error_set(e, -EINVAL, "the pattern is longer than %d bytes", PATTERN_MAX);
	for (const char *c = pattern; *c; c++) {
		bool letter = c[0] == '\\' && ((c[1] >= '0' && c[1] <= '9') || ((c[1] | 32) >= 'a' && (c[1] | 32) <= 'z'));
		if (letter && !strchr(escapes, c[1]))
			return error_set(e, -EINVAL, "the pattern has \\%c, which POSIX extended expressions do not have", c[1]);
		bool repeats = strchr(operators, *c) != NULL;
		if (repeats && before && strchr("*+?}", before)) /* RE2 refuses it, and glibc takes gigabytes for a long run of + */
			return error_set(e, -EINVAL, "the pattern repeats a repetition at \"%.8s\"", c);
		if (repeats && (total *= unrolled(c, before)) > REPETITION_MAX)
			return error_set(e, -EINVAL, "the pattern repeats more than %d times", REPETITION_MAX);
		before = *c;
		if (*c == '[')
			before = *(c = bracket_end(c));
		if (c[0] == '\\' && c[1]) {
			before = 0;
			c++;
		}
	}
	int rc = regcomp(ret, pattern, REG_EXTENDED | REG_NOSUB);
	if (!rc)
		return 0;
	char reason[128];
	regerror(rc, ret, reason, sizeof(reason));
	return error_set(e, -EINVAL, "the pattern is no POSIX extended expression: %s", reason);
}
