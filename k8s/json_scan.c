/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/json_scan.h"

#include <string.h>

enum { DIGITS_MAX = 18 };

struct json_scan json_scan_over(const char *text, size_t len)
{
	return (struct json_scan){.at = text, .end = text ? text + len : text};
}

static char scan_peek(struct json_scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
		s->at++;
	return s->failed || s->at == s->end ? '\0' : *s->at;
}

static void scan_take(struct json_scan *s, char c)
{
	if (scan_peek(s) != c || !c)
		s->failed = true;
	else
		s->at++;
}

void json_scan_open(struct json_scan *s, char bracket)
{
	scan_take(s, bracket);
	s->first = true;
	if (++s->depth > JSON_SCAN_DEPTH_MAX)
		s->failed = true;
}

static bool scan_more(struct json_scan *s, char bracket)
{
	char c = scan_peek(s);
	bool first = s->first;
	s->first = false;
	if (c == bracket) {
		s->at++;
		s->depth--;
		return false;
	}
	if (!first)
		scan_take(s, ',');
	return !s->failed;
}

/* Between its quotes. `plain`: it means what it says. */
static struct json_span scan_string(struct json_scan *s, bool plain)
{
	scan_take(s, '"');
	const char *begin = s->at, *at = begin;
	while (!s->failed) {
		if (at == s->end || (unsigned char)*at < 0x20)
			break;
		if (*at == '"') {
			s->at = at + 1;
			return (struct json_span){begin, (size_t)(at - begin)};
		}
		if (plain && (*at == '\\' || (unsigned char)*at >= 0x80))
			break;
		if (*at == '\\' && ++at == s->end)
			break;
		at++;
	}
	s->failed = true;
	return (struct json_span){begin, 0};
}

bool json_scan_member(struct json_scan *s, struct json_span *ret_key)
{
	if (!scan_more(s, '}'))
		return false;
	*ret_key = scan_string(s, true);
	scan_take(s, ':');
	return !s->failed;
}

bool json_scan_element(struct json_scan *s)
{
	return scan_more(s, ']');
}

struct json_span json_scan_text(struct json_scan *s)
{
	return scan_string(s, true);
}

int64_t json_scan_integer(struct json_scan *s)
{
	bool negative = scan_peek(s) == '-';
	if (negative)
		s->at++;
	const char *begin = s->at;
	int64_t v = 0;
	while (s->at < s->end && *s->at >= '0' && *s->at <= '9' && s->at - begin < DIGITS_MAX)
		v = v * 10 + (*s->at++ - '0');
	/* What a number cannot go on with is refused by whoever reads on; a fraction, or one digit too many, is not one of these. */
	if (s->at == begin || (*begin == '0' && s->at - begin > 1))
		s->failed = true;
	return s->failed ? 0 : negative ? -v : v;
}

static void scan_word(struct json_scan *s, const char *word)
{
	size_t len = strlen(word);
	if (s->failed || (size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0)
		s->failed = true;
	else
		s->at += len;
}

bool json_scan_boolean(struct json_scan *s)
{
	bool v = scan_peek(s) == 't';
	scan_word(s, v ? "true" : "false");
	return v && !s->failed;
}

static void skip_number(struct json_scan *s)
{
	const char *begin = s->at;
	while (s->at < s->end && *s->at && strchr("+-.0123456789eE", *s->at))
		s->at++;
	if (s->at == begin)
		s->failed = true;
}

/* One value, or the beginning of one with members. */
static void skip_begin(struct json_scan *s)
{
	char c = scan_peek(s);
	if (c == '{' || c == '[')
		json_scan_open(s, c);
	else if (c == '"')
		scan_string(s, false);
	else if (c == 't')
		scan_word(s, "true");
	else if (c == 'f')
		scan_word(s, "false");
	else if (c == 'n')
		scan_word(s, "null");
	else
		skip_number(s);
}

void json_scan_skip(struct json_scan *s)
{
	char open[JSON_SCAN_DEPTH_MAX] = ""; /* closing brackets of what is open */
	unsigned outside = s->depth;
	for (;;) {
		char c = scan_peek(s);
		skip_begin(s);
		if (s->failed)
			return;
		if (c == '{' || c == '[')
			open[s->depth - 1] = c == '{' ? '}' : ']';
		while (s->depth > outside && !s->failed && !scan_more(s, open[s->depth - 1]))
			; /* the end of what is open */
		if (s->depth == outside || s->failed)
			return;
		if (open[s->depth - 1] == '}') {
			scan_string(s, false);
			scan_take(s, ':');
		}
	}
}

void json_scan_end(struct json_scan *s)
{
	scan_peek(s);
	if (s->at < s->end)
		s->failed = true;
}

bool json_span_equal(struct json_span a, const char *text)
{
	return strlen(text) == a.len && (!a.len || memcmp(a.at, text, a.len) == 0);
}

bool json_span_copy(struct json_span a, char *to, size_t size)
{
	if (a.len >= size)
		return false;
	if (a.len)
		memcpy(to, a.at, a.len);
	to[a.len] = '\0';
	return true;
}
