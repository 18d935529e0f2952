/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern becomes a program of relative jumps (Thompson's construction), so that a part of it can be copied for x{n,m} and moved for what
 * comes before it. All ways through the program are followed at once, a character at a time. */
#include "core/filter_pattern.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/filter_pattern_internal.h"

/* ---- the program ----------------------------------------------------------------------------------------------------------------- */

static int append(struct compiler *c, struct instruction i)
{
	struct pattern *p = c->pattern;
	if (p->n == PROGRAM_MAX)
		return error_set(c->error, -EINVAL, "the pattern is too large");
	p->program[p->n++] = i;
	return 0;
}

/* One instruction in front of what begins at `at`. */
static int insert(struct compiler *c, size_t at, struct instruction i)
{
	struct pattern *p = c->pattern;
	int r = append(c, i);
	if (r < 0)
		return r;
	memmove(&p->program[at + 1], &p->program[at], (p->n - 1 - at) * sizeof(*p->program));
	p->program[at] = i;
	return 0;
}

static int append_copy(struct compiler *c, const struct instruction *from, size_t n)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = append(c, from[i]);
	return r;
}

/* ---- repetition ------------------------------------------------------------------------------------------------------------------ */

static int make_optional(struct compiler *c, size_t at)
{
	return insert(c, at, (struct instruction){.op = SPLIT, .x = 1, .y = (int32_t)(c->pattern->n - at + 1)});
}

static int make_star(struct compiler *c, size_t at)
{
	int32_t length = (int32_t)(c->pattern->n - at);
	int r = insert(c, at, (struct instruction){.op = SPLIT, .x = 1, .y = length + 2});
	return r < 0 ? r : append(c, (struct instruction){.op = JUMP, .x = -(length + 1)});
}

static int make_plus(struct compiler *c, size_t at)
{
	return append(c, (struct instruction){.op = SPLIT, .x = -(int32_t)(c->pattern->n - at), .y = 1});
}

/* What begins at `at`, `least` to `most` times; most -1 = without end. */
static int make_counted(struct compiler *c, size_t at, int least, int most)
{
	struct pattern *p = c->pattern;
	size_t length = p->n - at;
	struct instruction *part = malloc((length + 1) * sizeof(*part));
	int r = 0;
	if (!part)
		return error_set(c->error, -ENOMEM, "out of memory");
	memcpy(part, &p->program[at], length * sizeof(*part));
	p->n = at;
	for (int i = 0; r == 0 && i < least; i++) {
		at = p->n;
		r = append_copy(c, part, length);
	}
	if (r == 0 && most < 0 && least > 0)
		r = make_plus(c, at);
	for (int i = least; r == 0 && (i < most || (most < 0 && least == 0 && i == 0)); i++) {
		at = p->n;
		r = append_copy(c, part, length);
		if (r == 0)
			r = most < 0 ? make_star(c, at) : make_optional(c, at);
	}
	free(part);
	return r;
}

/* "{2}", "{2,}", "{2,5}": how long it is; 0 when the brace is an ordinary character. */
static size_t read_counts(const char *s, int *least, int *most)
{
	int v[2] = {-1, -1};
	const char *at = s + 1;
	for (int i = 0; i < 2; i++) {
		size_t digits = strspn(at, "0123456789");
		if (digits)
			v[i] = digits > 4 ? REPEAT_MAX + 1 : atoi(at);
		at += digits;
		if (i == 0 && *at != ',') {
			v[1] = v[0];
			break;
		}
		at += i == 0;
	}
	if (v[0] < 0 || *at != '}')
		return 0;
	*least = v[0];
	*most = v[1];
	return (size_t)(at + 1 - s);
}

static int refuse_repetition(struct compiler *c, const char *at)
{
	return error_set(c->error, -EINVAL, "the pattern repeats nothing, or a repetition, at \"%.8s\"", at);
}

/* The operator behind what begins at `at`, if there is one. */
static int take_repetition(struct compiler *c, size_t at)
{
	const char *operator= c->at;
	int r, least, most;
	size_t length = 1;
	if (*operator== '*') {
		r = make_star(c, at);
	} else if (*operator== '+') {
		r = make_plus(c, at);
	} else if (*operator== '?') {
		r = make_optional(c, at);
	} else if (*operator== '{' &&(length = read_counts(operator, & least, &most))) {
		if (least > REPEAT_MAX || most > REPEAT_MAX || (most >= 0 && least > most))
			return error_set(c->error, -EINVAL, "the pattern has a repetition out of range at \"%.16s\"", operator);
		r = make_counted(c, at, least, most);
	} else
		return 0;
	c->at += length;
	c->at += *c->at == '?'; /* fewest first: the same for whether it matches */
	if (r == 0 && (*c->at == '*' || *c->at == '+' || *c->at == '?' || (*c->at == '{' && read_counts(c->at, &least, &most))))
		return refuse_repetition(c, c->at);
	return r;
}

/* ---- groups ---------------------------------------------------------------------------------------------------------------------- */

static int take_alternatives(struct compiler *c);

/* Behind "(?": flags up to ":" or ")", or a name. `*group` = something follows that ends with ")". */
static int take_flags(struct compiler *c, bool *group)
{
	bool on = true;
	*group = true;
	if (c->at[0] == '<' || (c->at[0] == 'P' && c->at[1] == '<')) {
		const char *name = c->at + (c->at[0] == 'P') + 1, *end = strchr(name, '>');
		if (!end || end == name)
			return error_set(c->error, -EINVAL, "the pattern has a group with a bad name at \"(?%.8s\"", c->at);
		c->at = end + 1;
		return 0;
	}
	for (; *c->at; c->at++) {
		if (*c->at == '-')
			on = false;
		else if (*c->at == 'i')
			c->fold = on;
		else if (*c->at == 's')
			c->dot_all = on;
		else if (*c->at == 'm')
			c->lines = on;
		else if (*c->at != 'U') /* greediness */
			break;
	}
	if (*c->at != ':' && *c->at != ')')
		return error_set(c->error, -EINVAL, "the pattern has \"(?%.1s\", which is not supported here", c->at);
	*group = *c->at++ == ':';
	return 0;
}

static int take_group(struct compiler *c)
{
	const struct compiler before = *c;
	bool group = true;
	int r = 0;
	c->at++;
	if (*c->at == '?') {
		c->at++;
		r = take_flags(c, &group);
	}
	if (r < 0 || !group) /* the flags hold for what follows in this group */
		return r;
	if (c->depth == GROUPS_MAX)
		return error_set(c->error, -EINVAL, "the pattern nests more than %d groups", GROUPS_MAX);
	c->depth++;
	r = take_alternatives(c);
	if (r == 0 && *c->at != ')')
		r = error_set(c->error, -EINVAL, "the pattern misses a \")\"");
	c->at += r == 0;
	c->depth = before.depth;
	c->fold = before.fold;
	c->dot_all = before.dot_all;
	c->lines = before.lines;
	return r;
}

/* ---- sequences ------------------------------------------------------------------------------------------------------------------- */

static int take_atom(struct compiler *c)
{
	struct instruction i = {.op = CHARACTER, .fold = c->fold};
	switch (*c->at) {
	case '(':
		return take_group(c);
	case '[':
		return class_take_brackets(c);
	case '\\':
		return class_take_escape(c);
	case '.':
		c->at++;
		return append(c, (struct instruction){.op = c->dot_all ? ANY : ANY_OF_LINE});
	case '^':
		c->at++;
		return append(c, (struct instruction){.op = c->lines ? LINE_BEGIN : TEXT_BEGIN});
	case '$':
		c->at++;
		return append(c, (struct instruction){.op = c->lines ? LINE_END : TEXT_END});
	default:
		i.character = utf8_next(&c->at);
		return append(c, i);
	}
}

static int take_sequence(struct compiler *c)
{
	while (*c->at && *c->at != '|' && *c->at != ')') {
		size_t at = c->pattern->n;
		int least, most;
		if (strchr("*+?", *c->at) || (*c->at == '{' && read_counts(c->at, &least, &most)))
			return refuse_repetition(c, c->at);
		int r = take_atom(c);
		if (r == 0)
			r = take_repetition(c, at);
		if (r < 0)
			return r;
	}
	return 0;
}

/* a|b|c: SPLIT a JUMP(end) SPLIT b JUMP(end) c. The jumps are known when all is: until then they hang together by `y`. */
static int take_alternatives(struct compiler *c)
{
	struct pattern *p = c->pattern;
	size_t at = p->n, jumps[ALTERNATIVES_MAX], n = 0;
	int r = take_sequence(c);
	while (r == 0 && *c->at == '|') {
		c->at++;
		if (n == ALTERNATIVES_MAX)
			return error_set(c->error, -EINVAL, "the pattern has more than %d alternatives side by side", ALTERNATIVES_MAX);
		r = insert(c, at, (struct instruction){.op = SPLIT, .x = 1, .y = (int32_t)(p->n - at + 2)});
		jumps[n++] = p->n;
		if (r == 0)
			r = append(c, (struct instruction){.op = JUMP});
		at = p->n;
		if (r == 0)
			r = take_sequence(c);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		p->program[jumps[i]].x = (int32_t)(p->n - jumps[i]);
	return r;
}

static int compile(struct compiler *c)
{
	int r = take_alternatives(c);
	if (r == 0 && *c->at)
		r = error_set(c->error, -EINVAL, "the pattern has a \")\" too many");
	return r < 0 ? r : append(c, (struct instruction){.op = MATCH});
}

int pattern_compile(const char *text, struct pattern **ret, struct error *e)
{
	if (strlen(text) > PATTERN_MAX)
		return error_set(e, -EINVAL, "the pattern is longer than %d bytes", PATTERN_MAX);
	struct pattern *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(e, -ENOMEM, "out of memory");
	struct compiler c = {.pattern = p, .at = text, .error = e};
	p->program = calloc(PROGRAM_MAX, sizeof(*p->program));
	int r = p->program ? compile(&c) : error_set(e, -ENOMEM, "out of memory");
	if (r == 0) {
		/* What is not needed goes back; that needs no memory. */
		struct instruction *exact = realloc(p->program, p->n * sizeof(*p->program));
		struct range *ranges = p->n_ranges ? realloc(p->ranges, p->n_ranges * sizeof(*p->ranges)) : NULL;
		p->program = exact ? exact : p->program;
		p->ranges = ranges ? ranges : p->ranges;
		p->scratch = calloc(5 * p->n, sizeof(*p->scratch));
		if (!p->scratch)
			r = error_set(e, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		pattern_free(p);
		return r;
	}
	*ret = p;
	return 0;
}

void pattern_free(struct pattern *p)
{
	if (!p)
		return;
	free(p->program);
	free(p->ranges);
	free(p->scratch);
	free(p);
}

size_t pattern_size(const struct pattern *p)
{
	return p->n;
}
