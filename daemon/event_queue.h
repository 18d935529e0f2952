/* SPDX-License-Identifier: Apache-2.0 */
/* Events that came up while effects of an earlier one were being performed. Core must not be entered then, and what an event points to is
 * only borrowed from the adapter that made it: the queue keeps a deep copy until its turn. Zero-initialised is empty. */
#pragma once

#include "core/core.h"

struct queued_event;
struct event_queue {
	struct queued_event *first, *last;
};

/* Copy to the end; contents that core would move out (host state, claim object) are moved out of the given event. */
int event_queue_push(struct event_queue *q, const struct event *e);
/* The oldest event, or NULL. Valid until event_queue_pop. */
struct event *event_queue_first(struct event_queue *q);
void event_queue_pop(struct event_queue *q);
void event_queue_free(struct event_queue *q);
