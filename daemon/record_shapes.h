/* SPDX-License-Identifier: Apache-2.0 */
/* What a record holds, as tables: each struct that goes to disk has a shape, by which record.c writes and reads it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum member_type { TEXT, BOOL, I8, U8, I32, U32, U64, GUID, MAC, ADDRESS, PREFIX, STATE, BYTES, STRUCT, POINTER, LIST, ARRAY };
enum text_rule {
	ANY_TEXT,
	NAME_TEXT, /* no '/': it names one file or object */
	UID_TEXT,  /* and printable, not empty */
};

struct shape;
struct member {
	const char *name;
	enum member_type type;
	size_t offset;
	size_t size;               /* TEXT: of the array */
	enum text_rule rule;       /* TEXT */
	const struct shape *shape; /* STRUCT, POINTER (may be null), LIST (allocated), ARRAY (in place) */
	size_t count_offset;       /* LIST, ARRAY */
	size_t max;
	bool later; /* the first version did not write it: it may be missing, and is then zero */
};
struct shape {
	size_t size;
	const struct member *members;
	size_t n;
};

extern const struct shape record_shape, plan_shape, leases_shape;
