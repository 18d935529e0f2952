/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/event_queue.h"

struct queued_event {
	struct queued_event *next;
	struct event event;
	void *array;                /* copy of what the event points to */
	char *texts[2];             /* copies of its texts */
	struct host_state host;     /* DONE */
	struct claim_object object; /* CLAIM_READ */
};

/* Events that point to plain data: where the pointer is, how big an element is, and where the count is (0 = one element). */
static const struct {
	size_t pointer, size, count;
} arrays[EVENT_TYPE_MAX] = {
    [EVENT_DEVICE] = {offsetof(struct event, device), sizeof(struct device_facts), 0},
    [EVENT_UPLINKS] = {offsetof(struct event, uplinks.ifindexes), sizeof(int32_t), offsetof(struct event, uplinks.n)},
    [EVENT_PREPARE] = {offsetof(struct event, request.claims), sizeof(struct claim_ref), offsetof(struct event, request.n)},
    [EVENT_UNPREPARE] = {offsetof(struct event, request.claims), sizeof(struct claim_ref), offsetof(struct event, request.n)},
    [EVENT_RUN_SANDBOX] = {offsetof(struct event, hook.sandbox), sizeof(struct sandbox), 0},
    [EVENT_STOP_SANDBOX] = {offsetof(struct event, hook.sandbox), sizeof(struct sandbox), 0},
    [EVENT_REMOVE_SANDBOX] = {offsetof(struct event, hook.sandbox), sizeof(struct sandbox), 0},
    [EVENT_CREATE_CONTAINER] = {offsetof(struct event, hook.sandbox), sizeof(struct sandbox), 0},
    [EVENT_SYNCHRONIZE] = {offsetof(struct event, synchronize.sandboxes), sizeof(struct sandbox), offsetof(struct event, synchronize.n)},
    [EVENT_DONE] = {offsetof(struct event, done.pod), sizeof(struct pod_state), 0},
};

static int own_array(struct queued_event *q)
{
	size_t size = arrays[q->event.type].size, n = 1;
	const void *from;
	void *at = (char *)&q->event + arrays[q->event.type].pointer;
	if (!size)
		return 0;
	memcpy(&from, at, sizeof(from));
	if (arrays[q->event.type].count)
		memcpy(&n, (char *)&q->event + arrays[q->event.type].count, sizeof(n));
	if (!from || !n)
		return 0;
	q->array = calloc(n, size);
	if (!q->array)
		return -ENOMEM;
	memcpy(q->array, from, n * size);
	memcpy(at, &q->array, sizeof(q->array));
	return 0;
}

static int own_text(const char **text, char **copy)
{
	if (!*text)
		return 0;
	*copy = strdup(*text);
	*text = *copy;
	return *copy ? 0 : -ENOMEM;
}

static int own_texts(struct queued_event *q)
{
	struct event *e = &q->event;
	int r = 0;
	if (e->type == EVENT_DEVICE_GONE)
		return own_text(&e->device_gone, &q->texts[0]);
	if (e->type == EVENT_CLAIM_READ)
		return own_text(&e->claim_read.error, &q->texts[0]);
	if (e->type == EVENT_DONE && (r = own_text(&e->done.error, &q->texts[0])) == 0)
		r = own_text(&e->done.differences, &q->texts[1]);
	return r;
}

static void own_contents(struct queued_event *q)
{
	struct event *e = &q->event;
	if (e->type == EVENT_DONE && e->done.host) {
		q->host = *e->done.host;
		*e->done.host = (struct host_state){0};
		e->done.host = &q->host;
	}
	if (e->type == EVENT_CLAIM_READ && e->claim_read.object) {
		q->object = *e->claim_read.object;
		*e->claim_read.object = (struct claim_object){0};
		e->claim_read.object = &q->object;
	}
}

static void queued_free(struct queued_event *q)
{
	free(q->array);
	free(q->texts[0]);
	free(q->texts[1]);
	host_state_free(&q->host);
	claim_object_free(&q->object);
	free(q);
}

int event_queue_push(struct event_queue *queue, const struct event *e)
{
	if (e->type == EVENT_RECORD) /* read from disk before anything runs: it cannot come up while effects are performed */
		return -EINVAL;
	struct queued_event *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->event = *e;
	if (own_array(q) < 0 || own_texts(q) < 0) {
		queued_free(q);
		return -ENOMEM;
	}
	own_contents(q);
	if (queue->last)
		queue->last->next = q;
	else
		queue->first = q;
	queue->last = q;
	return 0;
}

struct event *event_queue_first(struct event_queue *queue)
{
	return queue->first ? &queue->first->event : NULL;
}

void event_queue_pop(struct event_queue *queue)
{
	struct queued_event *q = queue->first;
	queue->first = q->next;
	if (!queue->first)
		queue->last = NULL;
	queued_free(q);
}

void event_queue_free(struct event_queue *queue)
{
	while (queue->first)
		event_queue_pop(queue);
}
