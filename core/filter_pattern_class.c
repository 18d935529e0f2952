/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of a pattern: classes and escapes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/filter_pattern_internal.h"

enum { CHARACTER_LAST = 0x10ffff };

uint32_t utf8_next(const char **at)
{
	const unsigned char *s = (const unsigned char *)*at;
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	uint32_t c = n == 1 ? s[0] : n ? s[0] & (0xffu >> (n + 1)) : CHARACTER_BAD;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			n = 0;
			break;
		}
		c = c << 6 | (s[i] & 0x3f);
	}
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	if (n == 0 || c < least[n] || c > CHARACTER_LAST || (c >= 0xd800 && c < 0xe000)) {
		*at += 1;
		return CHARACTER_BAD;
	}
	*at += n;
	return c;
}

bool is_word(uint32_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

/* ---- named classes --------------------------------------------------------------------------------------------------------------- */

static const struct named {
	const char *name;
	const char *ranges; /* pairs of first and last */
} perl[] = {{"d", "09"}, {"w", "09AZ__az"}, {"s", "\t\n\f\r  "}},
  posix[] = {{"alnum", "09AZaz"}, {"alpha", "AZaz"}, {"ascii", "\x01\x7f"}, {"blank", "\t\t  "}, {"cntrl", "\x01\x1f\x7f\x7f"},
             {"digit", "09"},     {"graph", "!~"},   {"lower", "az"},       {"print", " ~"},     {"punct", "!/:@[`{~"},
             {"space", "\t\r  "}, {"upper", "AZ"},   {"word", "09AZaz__"},  {"xdigit", "09AFaf"}};

static int add_range(struct compiler *c, uint32_t first, uint32_t last)
{
	struct pattern *p = c->pattern;
	if (p->n_ranges == RANGES_MAX)
		return error_set(c->error, -EINVAL, "the pattern is too large");
	if (!p->ranges && !(p->ranges = calloc(RANGES_MAX, sizeof(*p->ranges))))
		return error_set(c->error, -ENOMEM, "out of memory");
	p->ranges[p->n_ranges++] = (struct range){first, last};
	return 0;
}

static int add_named(struct compiler *c, const struct named *n, bool negated)
{
	uint32_t next = 0; /* for the opposite: the gaps, as the pairs are in order */
	int r = 0;
	for (const char *pair = n->ranges; r == 0 && *pair; pair += 2) {
		uint32_t first = (unsigned char)pair[0], last = (unsigned char)pair[1];
		if (!negated)
			r = add_range(c, first, last);
		else if (first > next)
			r = add_range(c, next, first - 1);
		next = last + 1;
	}
	return r == 0 && negated ? add_range(c, next, CHARACTER_LAST) : r;
}

static const struct named *perl_class(char letter, bool *negated)
{
	*negated = letter >= 'A' && letter <= 'Z';
	for (size_t i = 0; i < ELEMENTS(perl); i++)
		if (perl[i].name[0] == (letter | 32))
			return &perl[i];
	return NULL;
}

/* ---- escapes --------------------------------------------------------------------------------------------------------------------- */

static int hex_value(const char **at, int digits, uint32_t *ret)
{
	uint32_t v = 0;
	int n = 0;
	for (; n < digits; n++, ++*at) {
		const char *digit = **at ? strchr("0123456789abcdef", **at | 32) : NULL;
		if (!digit || (**at & 0x60) == 0)
			break;
		v = v << 4 | (uint32_t)(digit - "0123456789abcdef");
	}
	*ret = v;
	return n;
}

/* "\x41", "\x{1f600}", behind the x. */
static int take_hex(struct compiler *c, uint32_t *ret)
{
	bool braces = *c->at == '{';
	c->at += braces;
	int n = hex_value(&c->at, braces ? 6 : 2, ret);
	if (n < (braces ? 1 : 2) || (braces && *c->at != '}') || *ret > CHARACTER_LAST)
		return error_set(c->error, -EINVAL, "the pattern has \\x without the number of a character");
	c->at += braces;
	return 0;
}

/* The one character that the escape at c->at, a backslash, stands for. */
static int take_escaped_character(struct compiler *c, uint32_t *ret)
{
	static const char letters[] = "aftnrv", meant[] = "\a\f\t\n\r\v";
	char letter = c->at[1];
	const char *found = letter ? strchr(letters, letter) : NULL;
	if (!letter)
		return error_set(c->error, -EINVAL, "the pattern ends in a backslash");
	c->at += 2;
	if (letter == 'x')
		return take_hex(c, ret);
	if (found)
		*ret = (unsigned char)meant[found - letters];
	else if (is_word((unsigned char)letter) || (unsigned char)letter >= 0x80)
		return error_set(c->error, -EINVAL, "the pattern has \\%c, which is not supported here",
		                 (unsigned char)letter < 0x80 ? letter : '?');
	else
		*ret = (unsigned char)letter;
	return 0;
}

static int append_class(struct compiler *c, size_t first_range, bool negated)
{
	struct pattern *p = c->pattern;
	if (p->n == PROGRAM_MAX)
		return error_set(c->error, -EINVAL, "the pattern is too large");
	p->program[p->n++] = (struct instruction){
	    .op = CLASS, .fold = c->fold, .negated = negated, .x = (int32_t)first_range, .y = (int32_t)(p->n_ranges - first_range)};
	return 0;
}

int class_take_escape(struct compiler *c)
{
	static const struct {
		char letter;
		enum instruction_op op;
	} places[] = {{'A', TEXT_BEGIN}, {'z', TEXT_END}, {'b', WORD_EDGE}, {'B', NO_WORD_EDGE}};
	struct pattern *p = c->pattern;
	struct instruction i = {.op = CHARACTER, .fold = c->fold};
	bool negated;
	size_t first = p->n_ranges;
	const struct named *class = perl_class(c->at[1], &negated);
	int r = 0;
	if (class) {
		c->at += 2;
		r = add_named(c, class, negated);
		return r < 0 ? r : append_class(c, first, false);
	}
	for (size_t k = 0; k < ELEMENTS(places); k++)
		if (c->at[1] == places[k].letter)
			i.op = (uint8_t)places[k].op;
	if (i.op == CHARACTER)
		r = take_escaped_character(c, &i.character);
	else
		c->at += 2;
	if (r == 0 && p->n == PROGRAM_MAX)
		r = error_set(c->error, -EINVAL, "the pattern is too large");
	if (r == 0)
		p->program[p->n++] = i;
	return r;
}

/* ---- brackets -------------------------------------------------------------------------------------------------------------------- */

/* "[:alpha:]" or "[:^alpha:]"; 0 when it is none, and the bracket an ordinary character. */
static int take_posix(struct compiler *c)
{
	if (c->at[1] != ':')
		return 0;
	bool negated = c->at[2] == '^';
	const char *name = c->at + 2 + negated, *end = strstr(name, ":]");
	if (!end)
		return 0;
	for (size_t i = 0; i < ELEMENTS(posix); i++)
		if (strlen(posix[i].name) == (size_t)(end - name) && memcmp(posix[i].name, name, (size_t)(end - name)) == 0) {
			c->at = end + 2;
			int r = add_named(c, &posix[i], negated);
			return r < 0 ? r : 1;
		}
	return error_set(c->error, -EINVAL, "the pattern has a class of an unknown name, \"%.16s\"", c->at);
}

/* A single character of a class. */
static int take_member(struct compiler *c, uint32_t *ret)
{
	if (*c->at == '\\')
		return take_escaped_character(c, ret);
	*ret = utf8_next(&c->at);
	return 0;
}

static int take_range(struct compiler *c)
{
	uint32_t first, last;
	int r = take_member(c, &first);
	last = first;
	if (r == 0 && c->at[0] == '-' && c->at[1] && c->at[1] != ']') {
		c->at++;
		r = take_member(c, &last);
	}
	if (r == 0 && first > last)
		r = error_set(c->error, -EINVAL, "the pattern has a range that ends before it begins");
	return r < 0 ? r : add_range(c, first, last);
}

int class_take_brackets(struct compiler *c)
{
	size_t first = c->pattern->n_ranges;
	bool negated = c->at[1] == '^', class_negated;
	c->at += 1 + negated;
	for (bool begin = true; *c->at != ']' || begin; begin = false) {
		const struct named *class = *c->at == '\\' ? perl_class(c->at[1], &class_negated) : NULL;
		int r = 0;
		if (!*c->at)
			return error_set(c->error, -EINVAL, "the pattern misses a \"]\"");
		if (class) {
			c->at += 2;
			r = add_named(c, class, class_negated);
		} else if (*c->at != '[' || (r = take_posix(c)) == 0)
			r = take_range(c);
		if (r < 0)
			return r;
	}
	c->at++;
	return append_class(c, first, negated);
}
