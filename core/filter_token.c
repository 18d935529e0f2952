/* SPDX-License-Identifier: Apache-2.0 */
#include "core/filter_token.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

/* Line and column of a byte, from 1; columns count characters. */
static void locate(const char *text, size_t at, size_t *line, size_t *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < at; i++) {
		if (text[i] == '\n') {
			++*line;
			*column = 1;
		} else {
			*column += ((unsigned char)text[i] & 0xc0) != 0x80;
		}
	}
}

void *lexer_refuse(struct lexer *l, size_t at, const char *format, ...)
{
	if (l->rc)
		return NULL; /* the first fault is the cause of the others */
	char text[ERROR_TEXT_MAX / 2];
	size_t line, column;
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	locate(l->text, at, &line, &column);
	l->fault = at;
	l->rc = error_set(l->error, -EINVAL, "at %zu:%zu: %s", line, column, text);
	return NULL;
}

void *lexer_unsupported(struct lexer *l, size_t at, const char *what)
{
	return lexer_refuse(l, at, "%s not supported here", what);
}

void *lexer_no_memory(struct lexer *l)
{
	if (!l->rc)
		l->rc = error_set(l->error, -ENOMEM, "out of memory");
	return NULL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static int digit_value(char c, unsigned base)
{
	int v = is_digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : 99;
	return (unsigned)v < base ? v : -1;
}

static void skip_space(struct lexer *l)
{
	for (;;) {
		l->at += strspn(l->text + l->at, " \t\n\r\f");
		if (!str_starts(l->text + l->at, "//"))
			return;
		l->at += strcspn(l->text + l->at, "\n");
	}
}

static void read_number(struct lexer *l)
{
	struct token *t = &l->token;
	unsigned base = 10;
	t->type = TOKEN_INT;
	t->magnitude = 0;
	if (l->text[l->at] == '0' && (l->text[l->at + 1] | 32) == 'x') {
		base = 16;
		l->at += 2;
	}
	size_t digits = 0;
	for (int v; (v = digit_value(l->text[l->at], base)) >= 0; l->at++, digits++)
		if (__builtin_mul_overflow(t->magnitude, base, &t->magnitude) || __builtin_add_overflow(t->magnitude, v, &t->magnitude)) {
			lexer_refuse(l, t->at, "the number is too large");
			return;
		}
	char next = l->text[l->at];
	if (digits && (next | 32) == 'u')
		lexer_unsupported(l, t->at, "unsigned integers are");
	else if (digits && base == 10 && ((next | 32) == 'e' || (next == '.' && is_digit(l->text[l->at + 1]))))
		lexer_unsupported(l, t->at, "numbers of type double are");
	else if (!digits || is_name(next))
		lexer_refuse(l, t->at, "not a number");
}

static void add_code_point(struct buf *b, uint32_t c)
{
	uint8_t bytes[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
	for (size_t i = n - 1; i > 0; i--, c >>= 6)
		bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
	bytes[0] = (uint8_t)(lead[n] | c);
	buf_add(b, bytes, n);
}

/* What stands behind a backslash: CEL's escapes. */
static void read_escape(struct lexer *l)
{
	static const char plain[] = "\\\"'`?abfnrtv", meant[] = "\\\"'`?\a\b\f\n\r\t\v";
	size_t start = l->at - 1;
	char c = l->text[l->at];
	const char *found = c ? strchr(plain, c) : NULL;
	if (found) {
		l->at++;
		buf_add(&l->token.string, &meant[found - plain], 1);
		return;
	}
	unsigned digits = 0, base = 16;
	if (c >= '0' && c <= '3') {
		digits = 3;
		base = 8;
	} else if (c == 'x' || c == 'X' || c == 'u' || c == 'U') {
		digits = c == 'u' ? 4 : c == 'U' ? 8 : 2;
		l->at++;
	}
	uint32_t code = 0;
	for (unsigned i = 0; i < digits; i++, l->at++) {
		int v = digit_value(l->text[l->at], base);
		if (v < 0) {
			digits = 0;
			break;
		}
		code = code * base + (uint32_t)v;
	}
	if (!digits || !code || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		lexer_refuse(l, start, "not an escape sequence that stands for a character");
	else
		add_code_point(&l->token.string, code);
}

static void read_string(struct lexer *l, bool raw)
{
	struct token *t = &l->token;
	const char quote = l->text[l->at], thrice[] = {quote, quote, quote, 0};
	bool lines = str_starts(l->text + l->at, thrice);
	size_t quotes = lines ? 3 : 1;
	l->at += quotes;
	t->type = TOKEN_STRING;
	buf_reset(&t->string);
	while (!l->rc && strncmp(l->text + l->at, thrice, quotes) != 0) {
		char c = l->text[l->at];
		if (!c || (!lines && (c == '\n' || c == '\r'))) {
			lexer_refuse(l, t->at, "the string has no end");
			return;
		}
		l->at++;
		if (c == '\\' && !raw)
			read_escape(l);
		else
			buf_add(&t->string, &c, 1);
	}
	l->at += quotes;
	if (t->string.failed)
		lexer_no_memory(l);
}

void lexer_next(struct lexer *l)
{
	static const char *const pairs[] = {"&&", "||", "==", "!=", "<=", ">="};
	struct token *t = &l->token;
	if (l->rc)
		return;
	l->behind = l->at;
	skip_space(l);
	const char *s = l->text + l->at;
	t->at = l->at;
	t->text = s;
	if (!*s) {
		t->type = TOKEN_END;
		t->len = 0;
	} else if (is_digit(*s)) {
		read_number(l);
	} else if (*s == '"' || *s == '\'') {
		read_string(l, false);
	} else if ((*s == 'r' || *s == 'R') && (s[1] == '"' || s[1] == '\'')) {
		l->at++;
		read_string(l, true);
	} else if (*s == '.' && is_digit(s[1])) {
		lexer_unsupported(l, t->at, "numbers of type double are");
	} else if (*s == '`') {
		lexer_unsupported(l, t->at, "names in backticks are");
	} else if (*s == '{') {
		lexer_unsupported(l, t->at, "maps and messages are");
	} else if (is_name(*s)) {
		if (s[strspn(s, "bBrR")] && strchr("\"'", s[strspn(s, "bBrR")]))
			lexer_unsupported(l, t->at, "byte strings are");
		t->type = TOKEN_NAME;
		for (t->len = 0; is_name(s[t->len]); t->len++)
			l->at++;
	} else {
		t->type = TOKEN_PUNCTUATION;
		t->len = 1;
		for (size_t i = 0; i < ELEMENTS(pairs); i++)
			if (str_starts(s, pairs[i]))
				t->len = 2;
		l->at += t->len;
	}
}

bool token_reads(const struct token *t, const char *text)
{
	return (t->type == TOKEN_NAME || t->type == TOKEN_PUNCTUATION) && strlen(text) == t->len && memcmp(t->text, text, t->len) == 0;
}

bool lexer_is(const struct lexer *l, const char *text)
{
	return !l->rc && token_reads(&l->token, text);
}

bool lexer_accept(struct lexer *l, const char *text)
{
	if (!lexer_is(l, text))
		return false;
	lexer_next(l);
	return true;
}

void *lexer_unexpected(struct lexer *l, const char *wanted)
{
	const struct token *t = &l->token;
	switch (t->type) {
	case TOKEN_END:
		return lexer_refuse(l, t->at, "the expression ends, expected %s", wanted);
	case TOKEN_STRING:
		return lexer_refuse(l, t->at, "a string, expected %s", wanted);
	case TOKEN_INT:
		return lexer_refuse(l, t->at, "a number, expected %s", wanted);
	case TOKEN_NAME:
	case TOKEN_PUNCTUATION:
		break;
	}
	if (t->len == 1 && (*t->text <= ' ' || *t->text > '~'))
		return lexer_refuse(l, t->at, "byte 0x%02x, expected %s", (unsigned char)*t->text, wanted);
	return lexer_refuse(l, t->at, "\"%.*s\", expected %s", (int)(t->len < 64 ? t->len : 64), t->text, wanted);
}

bool lexer_expect(struct lexer *l, const char *text)
{
	if (lexer_accept(l, text))
		return true;
	char wanted[8];
	snprintf(wanted, sizeof(wanted), "\"%s\"", text);
	lexer_unexpected(l, wanted);
	return false;
}
