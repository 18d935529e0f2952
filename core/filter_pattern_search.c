/* SPDX-License-Identifier: Apache-2.0 */
/* The search for a pattern: every instruction is visited at most once for each character. */
#include <string.h>

#include "core/filter_pattern_internal.h"

enum { NO_CHARACTER = -1 };

struct search {
	struct pattern *pattern;
	uint32_t *now, *next, *marks, *stack;
	size_t n_now, n_next;
	int32_t before, after; /* the characters around the place */
	bool found;
};

static bool holds(const struct search *s, enum instruction_op op)
{
	bool edge =
	    (s->before != NO_CHARACTER && is_word((uint32_t)s->before)) != (s->after != NO_CHARACTER && is_word((uint32_t)s->after));
	switch (op) {
	case TEXT_BEGIN:
		return s->before == NO_CHARACTER;
	case TEXT_END:
		return s->after == NO_CHARACTER;
	case LINE_BEGIN:
		return s->before == NO_CHARACTER || s->before == '\n';
	case LINE_END:
		return s->after == NO_CHARACTER || s->after == '\n';
	case WORD_EDGE:
		return edge;
	default:
		return !edge;
	}
}

/* Everything that can be reached from `start` without a character goes into `next`. */
static void follow(struct search *s, uint32_t start)
{
	struct pattern *p = s->pattern;
	size_t n = 0;
	s->stack[n++] = start;
	while (n > 0) {
		uint32_t at = s->stack[--n];
		const struct instruction *i = &p->program[at];
		if (s->marks[at] == p->round)
			continue;
		s->marks[at] = p->round;
		switch ((enum instruction_op)i->op) {
		case SPLIT:
			s->stack[n++] = at + (uint32_t)i->y;
			s->stack[n++] = at + (uint32_t)i->x;
			break;
		case JUMP:
			s->stack[n++] = at + (uint32_t)i->x;
			break;
		case TEXT_BEGIN:
		case TEXT_END:
		case LINE_BEGIN:
		case LINE_END:
		case WORD_EDGE:
		case NO_WORD_EDGE:
			if (holds(s, (enum instruction_op)i->op))
				s->stack[n++] = at + 1;
			break;
		case MATCH:
			s->found = true;
			return;
		case CHARACTER:
		case CLASS:
		case ANY:
		case ANY_OF_LINE:
			s->next[s->n_next++] = at;
			break;
		}
	}
}

static bool in_class(const struct pattern *p, const struct instruction *i, uint32_t c)
{
	for (int32_t k = 0; k < i->y; k++) {
		const struct range *r = &p->ranges[i->x + k];
		if (c >= r->first && c <= r->last)
			return true;
	}
	return false;
}

static uint32_t other_case(uint32_t c)
{
	bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
	return letter ? c ^ 32 : c;
}

static bool accepts(const struct pattern *p, const struct instruction *i, uint32_t c)
{
	switch ((enum instruction_op)i->op) {
	case CHARACTER:
		return c == i->character || (i->fold && other_case(c) == i->character);
	case CLASS:
		return (in_class(p, i, c) || (i->fold && in_class(p, i, other_case(c)))) != i->negated;
	case ANY_OF_LINE:
		return c != '\n';
	default:
		return true;
	}
}

static void begin_round(struct search *s)
{
	uint32_t *swap = s->now;
	s->now = s->next;
	s->n_now = s->n_next;
	s->next = swap;
	s->n_next = 0;
	if (++s->pattern->round == 0) { /* the marks of rounds long ago would count again */
		memset(s->marks, 0, s->pattern->n * sizeof(*s->marks));
		s->pattern->round = 1;
	}
}

bool pattern_matches(struct pattern *p, const char *text)
{
	uint32_t *scratch = p->scratch;
	struct search s = {.pattern = p, .now = scratch, .next = scratch + p->n, .marks = scratch + 2 * p->n, .stack = scratch + 3 * p->n};
	const char *at = text;
	s.before = NO_CHARACTER;
	s.after = *at ? (int32_t)utf8_next(&at) : NO_CHARACTER;
	begin_round(&s);
	follow(&s, 0);
	while (!s.found && s.after != NO_CHARACTER) {
		uint32_t c = (uint32_t)s.after;
		s.before = s.after;
		s.after = *at ? (int32_t)utf8_next(&at) : NO_CHARACTER;
		begin_round(&s);
		for (size_t i = 0; i < s.n_now && !s.found; i++)
			if (accepts(p, &p->program[s.now[i]], c))
				follow(&s, s.now[i] + 1);
		if (!s.found)
			follow(&s, 0); /* it may begin anywhere */
	}
	return s.found;
}
