/* SPDX-License-Identifier: Apache-2.0 */
/* The faults of a configuration as they are collected, each with its JSON path: "routes[1].gateway: …". */
#pragma once

#include <stdarg.h>

#include "core/config.h"

struct faults {
	struct error error;
	size_t n;
	char path[96]; /* of the object being looked at; schema keys and indexes only, so it always fits */
};

/* `key` is a member of the object at `path`, or NULL for the object itself. */
void fault(struct faults *f, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Whether the text has no room for another fault: those are only counted. */
bool faults_full(const struct faults *f);

/* The path grows by a key or an index, and goes back to where it was. */
size_t path_enter(struct faults *f, const char *key);
size_t path_enter_index(struct faults *f, size_t index);
void path_leave(struct faults *f, size_t at);

enum { SHOWN_MAX = 64 /* bytes of a value repeated in a text */ };

/* A value as the text repeats it: quoted, in one line, cut. */
struct shown {
	char text[SHOWN_MAX + 8];
};
struct shown show_string(const char *string, const char *quote);
struct shown show_value(const struct value *v);
struct shown show_address(const struct ip_address *a);
struct shown show_prefix(const struct ip_prefix *p);

/* The rules between values, for the rows of the schema. */
void config_check_interface(struct faults *f, const void *object);
void config_check_vf(struct faults *f, const void *object);
void config_check_channels(struct faults *f, const void *object);
void config_check_route(struct faults *f, const void *object);
void config_check_rule(struct faults *f, const void *object);
void config_check_document(struct faults *f, const void *object);
