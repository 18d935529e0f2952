/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer with a ceiling and a sticky error: append as often as you like, look at `failed` once. Zero-initialised is empty
 * and valid. A text built here is NUL-terminated (the NUL is not counted). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len, cap;
	size_t limit; /* bytes; 0 = BUF_LIMIT */
	bool failed;  /* out of memory, or the limit was reached; the contents are what fitted */
};
enum { BUF_LIMIT = 16 << 20 };

void buf_free(struct buf *b);                 /* keeps the struct usable, empty */
void buf_reset(struct buf *b);                /* empty, memory kept */
bool buf_reserve(struct buf *b, size_t more); /* room for `more` bytes after len */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_puts(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_be32(struct buf *b, uint32_t v);
void buf_consume(struct buf *b, size_t len); /* drop the first `len` bytes */
const char *buf_text(struct buf *b);         /* "" when empty */
#define _cleanup_buf_ __attribute__((cleanup(buf_free)))
