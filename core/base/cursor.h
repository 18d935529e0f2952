/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded read cursor with a sticky error. Every parser of foreign bytes reads through one: take ten fields, check `failed` once. A read
 * past the end fails, returns zero, and every later read fails too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
	const uint8_t *at, *end;
	bool failed;
};

static inline struct cursor cursor_over(const void *data, size_t len)
{
	const uint8_t *p = data;
	return (struct cursor){.at = p, .end = p ? p + len : p};
}
static inline size_t cursor_left(const struct cursor *c)
{
	return c->failed ? 0 : (size_t)(c->end - c->at);
}
/* The next `len` bytes, or NULL. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t len)
{
	if (c->failed || (size_t)(c->end - c->at) < len) {
		c->failed = true;
		return NULL;
	}
	const uint8_t *p = c->at;
	c->at += len;
	return p;
}
static inline uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);
	return p ? *p : 0;
}
static inline uint32_t cursor_be32(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 4);
	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}
/* Copy `len` bytes of host-order data (netlink attributes are host order). */
static inline bool cursor_copy(struct cursor *c, void *to, size_t len)
{
	const uint8_t *p = cursor_take(c, len);
	if (p)
		memcpy(to, p, len);
	return p != NULL;
}
