/* SPDX-License-Identifier: Apache-2.0 */
/* Small readers over jansson for objects that come from a peer: a member of the wrong type counts as absent. */
#pragma once

#include <jansson.h>

#include "core/base/buf.h"
#include "core/base/value.h"

const char *json_member_text(const json_t *object, const char *key); /* "" when absent or no string; borrowed */
/* "spec.pool.name" by members; NULL when one is missing. */
json_t *json_member(const json_t *object, const char *path);
/* A JSON string of a text that may not be UTF-8 (kernel names, peers' errors): then its other bytes are "?". */
json_t *json_text_new(const char *text);
/* The same as text, with its quotes. */
void json_text_add(struct buf *b, const char *text);
