/* SPDX-License-Identifier: Apache-2.0 */
/* A claim's record as JSON text: tables that name every member of struct claim_record drive both directions, so that what is written and
 * what is read cannot drift apart. The reader is strict: every member must be there, none may be unknown, every number and text fits its
 * place. The text carries a format number; another number is refused. */
#pragma once

#include <stddef.h>

#include "core/base/error.h"
#include "core/claim.h"

enum {
	RECORD_FORMAT = 1,
	RECORD_TEXT_MAX = 8 << 20, /* bytes of a record that is read */
	RECORD_LIST_MAX = 16384,   /* routes, addresses … of one device */
};

/* `*ret` is malloc'ed, without a NUL. -EILSEQ: a text in it is not UTF-8. */
int record_encode(const struct claim_record *r, char **ret, size_t *ret_len, struct error *e);
/* -EINVAL with the member's path and what is wrong with it. */
int record_decode(const void *text, size_t len, struct claim_record *ret, struct error *e);
