/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens of the device filter, as CEL has them. The first fault sticks: after it nothing is accepted any more, so that the parser may
 * look at `rc` once. */
#pragma once

#include "core/base/buf.h"
#include "core/base/error.h"

enum token_type { TOKEN_END, TOKEN_INT, TOKEN_STRING, TOKEN_NAME, TOKEN_PUNCTUATION };

struct token {
	enum token_type type;
	size_t at;        /* where it begins */
	const char *text; /* names, punctuation */
	size_t len;
	uint64_t magnitude; /* integers */
	struct buf string;  /* strings, decoded */
};

struct lexer {
	const char *text;
	size_t at;     /* behind `token` */
	size_t behind; /* behind the token before it */
	struct token token;
	struct error *error;
	int rc;       /* 0 or negative errno */
	size_t fault; /* where */
};

bool token_reads(const struct token *t, const char *text); /* a name or punctuation, this one */
void lexer_next(struct lexer *l);
bool lexer_is(const struct lexer *l, const char *text);
bool lexer_accept(struct lexer *l, const char *text);
bool lexer_expect(struct lexer *l, const char *text);
/* A fault at byte `at`; NULL, so that a function can end with it. */
void *lexer_refuse(struct lexer *l, size_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));
void *lexer_unsupported(struct lexer *l, size_t at, const char *what); /* `what`: "… is" or "… are" */
void *lexer_unexpected(struct lexer *l, const char *wanted);
void *lexer_no_memory(struct lexer *l);
