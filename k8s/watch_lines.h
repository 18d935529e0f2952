/* SPDX-License-Identifier: Apache-2.0 */
/* A watch's body is one JSON document a line, cut anywhere by chunks, frames and reads. This puts the lines together again. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "k8s/json_scan.h"

enum { WATCH_LINE_MAX = 4 << 20 };

struct watch_lines {
	struct buf rest; /* a line that has not ended */
};
/* Calls `line` for each line that is complete, without its end; empty ones are skipped. `line` returns false to stop (the rest of `data` is
 * dropped, `l` must not be used before watch_lines_reset()). 0, 1 = stopped, -EMSGSIZE = a line longer than WATCH_LINE_MAX, -ENOMEM. */
int watch_lines_feed(struct watch_lines *l, const void *data, size_t len, bool (*line)(const char *text, size_t len, void *user),
                     void *user);
void watch_lines_reset(struct watch_lines *l);

/* What one line says. */
enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK, WATCH_ERROR };
struct watch_event {
	enum watch_type type;
	json_t *document; /* owned */
	json_t *object;   /* borrowed from it */
	const char *resource_version;
	bool expired; /* ERROR: what we hold is too old, list again */
};
int watch_event_parse(const char *text, size_t len, struct watch_event *ret); /* -EBADMSG */
void watch_event_free(struct watch_event *e);

/* The beginning of a line that tells of an object which is there, ADDED or MODIFIED, read without the rest. */
struct watch_glance {
	struct json_span object;        /* its text; whether it is JSON, and all of the line, was not looked at */
	struct json_span name, version; /* metadata.name and .resourceVersion */
};
/* -EBADMSG where the line does not begin as servers write it: it has to be parsed. */
int watch_event_glance(const char *text, size_t len, struct watch_glance *ret);
