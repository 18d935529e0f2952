/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for one protobuf message: everything that unpacking or building it allocates comes from an arena with a ceiling and is freed
 * at once. The ceiling is needed because the size of a message says little about its size in memory: 4 MiB of empty repeated messages
 * unpack to 239 MiB. Also here: the checks of received texts, which our messages declare as bytes so that their length survives.
 *
 * An arena is used for one message and freed; zero-initialised but for `limit` is valid. None of our messages contains itself, so the depth
 * of the recursion in protobuf-c is bounded by the schema. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <protobuf-c/protobuf-c.h>

#include "core/base/buf.h"
#include "core/base/error.h"

struct pb_block;
struct pb_arena {
	size_t limit;   /* bytes that may be allocated, 0 = PB_ARENA_LIMIT */
	size_t used;    /* bytes allocated, with what protobuf-c freed again */
	bool exhausted; /* an allocation was refused */
	struct pb_block *blocks;
};
enum { PB_ARENA_LIMIT = 1 << 20 };

void pb_arena_free(struct pb_arena *a); /* keeps the struct usable, empty */
#define _cleanup_pb_arena_ __attribute__((cleanup(pb_arena_free)))
void *pb_alloc(struct pb_arena *a, size_t size); /* zeroed, aligned for anything; NULL at the ceiling */

/* A message of `type`, valid as long as the arena. -EBADMSG (not such a message) or -E2BIG (the ceiling). */
int pb_unpack(struct pb_arena *a, const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, const void **ret,
              struct error *e);
/* Append the encoded message, which was built with `a`; `to` fails when a piece of it did not fit there. */
void pb_pack(const struct pb_arena *a, const void *message, struct buf *to);

/* Copy a received text. -EINVAL with `field` in the message when it is not UTF-8, holds a NUL or another control character, or does not fit
 * (with its NUL) into `size` bytes; `to` is untouched then. An empty text is fine. */
int pb_text(const ProtobufCBinaryData *from, const char *field, char *to, size_t size, struct error *e);
/* The same and: not empty, only letters, digits, '-', '_' and '.', not beginning with '.'. For what becomes part of a file's name. */
int pb_name(const ProtobufCBinaryData *from, const char *field, char *to, size_t size, struct error *e);

/* A text to be sent: a copy in the arena with '?' for every byte that is not UTF-8 (a text cut in the middle of a
 * character, say), because Go's decoder refuses the whole message for one. NULL counts as ""; NULL at the ceiling. */
char *pb_sendable(struct pb_arena *a, const char *text);
