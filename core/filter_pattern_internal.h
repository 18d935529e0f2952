/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the patterns share: the program, and its making. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/filter_pattern.h"

enum {
	PATTERN_MAX = 1000,     /* bytes */
	PROGRAM_MAX = 4096,     /* instructions */
	RANGES_MAX = 2048,      /* of all classes */
	REPEAT_MAX = 1000,      /* in {n,m}; RE2's limit */
	GROUPS_MAX = 64,        /* inside one another */
	ALTERNATIVES_MAX = 128, /* side by side */
	CHARACTER_BAD = 0xfffd, /* what a byte that is no UTF-8 counts as */
};

enum instruction_op {
	CHARACTER,
	CLASS, /* x = first range, y = how many */
	ANY,
	ANY_OF_LINE,
	SPLIT, /* x, y: where to go on, from here */
	JUMP,  /* x */
	TEXT_BEGIN,
	TEXT_END,
	LINE_BEGIN,
	LINE_END,
	WORD_EDGE,
	NO_WORD_EDGE,
	MATCH,
};

struct instruction {
	uint8_t op;
	bool fold;    /* letters of either case */
	bool negated; /* CLASS */
	int32_t x, y;
	uint32_t character;
};

struct range {
	uint32_t first, last;
};

struct pattern {
	struct instruction *program;
	size_t n;
	struct range *ranges;
	size_t n_ranges;
	uint32_t *scratch; /* of the search: two lists, marks, and a stack of twice the size */
	uint32_t round;
};

struct compiler {
	struct pattern *pattern;
	const char *at;
	struct error *error;
	unsigned depth;
	bool fold, dot_all, lines;
};

/* The character at `*at`, which moves behind it. */
uint32_t utf8_next(const char **at);
bool is_word(uint32_t character);
/* "[…]" and "\…" at c->at become an instruction. */
int class_take_brackets(struct compiler *c);
int class_take_escape(struct compiler *c);
