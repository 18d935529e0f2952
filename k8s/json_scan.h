/* SPDX-License-Identifier: Apache-2.0 */
/* JSON read in one pass, without a tree of it: for long texts of which little is wanted. It knows the plain part of the language only.
 * Texts that are asked for have no escapes and no bytes beyond ASCII, numbers no fractions; on anything else the scan fails, and who
 * scans has the whole read by jansson instead. What is skipped may hold anything, and is checked for its brackets, quotes and commas.
 *
 *   struct json_scan s = json_scan_over(text, len);
 *   json_scan_open(&s, '{');
 *   while (json_scan_member(&s, &key))
 *           …one of json_scan_text(), _integer(), _open(), _skip();
 *   if (s.failed) … */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_SCAN_DEPTH_MAX = 32 };

/* Part of the text that is scanned; not NUL-terminated. */
struct json_span {
	const char *at;
	size_t len;
};
struct json_scan {
	const char *at, *end;
	unsigned depth;
	bool failed; /* sticky: whatever is read then is empty, and lists have no more members */
	bool first;  /* nothing was read yet of the list that was opened last */
};

struct json_scan json_scan_over(const char *text, size_t len);
void json_scan_open(struct json_scan *s, char bracket); /* '{' or '[' */
/* The next key of an object; false at its end, which is passed. The value is to be read then. */
bool json_scan_member(struct json_scan *s, struct json_span *ret_key);
/* Whether an array has one more element, which is to be read then; false at its end, which is passed. */
bool json_scan_element(struct json_scan *s);
struct json_span json_scan_text(struct json_scan *s);
int64_t json_scan_integer(struct json_scan *s); /* of at most 18 digits */
bool json_scan_boolean(struct json_scan *s);
void json_scan_skip(struct json_scan *s);
void json_scan_end(struct json_scan *s); /* nothing but white space follows */

bool json_span_equal(struct json_span a, const char *text);
/* Copy into an array with its NUL; false when it does not fit. */
bool json_span_copy(struct json_span a, char *to, size_t size);
