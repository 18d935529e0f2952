/* SPDX-License-Identifier: Apache-2.0 */
/* Errors. Inside a module a failure is a negative errno. Where it leaves the module a `struct error` travels beside it and collects
 * the words a person needs: what was tried, on which object, with which value. Callers may pass NULL when nobody will read the text.
 * Out-parameters are untouched on failure. */
#pragma once

#include <stddef.h>

enum { ERROR_TEXT_MAX = 768 };

struct error {
	int code; /* negative errno, 0 = none */
	char text[ERROR_TEXT_MAX];
};

/* Set code and text; returns `code`, so that a failing function can end in `return error_set(...)`. `e` may be NULL. */
int error_set(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Put "format: " before the text that is there; returns the code that is there. `e` may be NULL (then 0). */
int error_prefix(struct error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Add "; format" after the text that is there, or set it when there is none yet. Keeps the first code. Returns the code. */
int error_append(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* "ENOENT" for -ENOENT or ENOENT; "E<number>" for one without a name. Static storage or `buffer`. */
const char *error_name(int code, char buffer[16]);

/* clang's analyzer does not look into other files: without this it follows paths on which a failure was not negative. */
#ifdef __clang_analyzer__
#define error_set(e, code, ...) ((void)(error_set)(e, code, __VA_ARGS__), (code))
#define error_append(e, code, ...) ((void)(error_append)(e, code, __VA_ARGS__), (code))
#endif
