/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api_private.h"
#include "k8s/backoff.h"
#include "k8s/json_value.h"
#include "k8s/objects.h"

enum { QUEUE_MAX = 64, AGGREGATE_S = 600, TRIES_MAX = 5, REASON_SIZE = 64, MESSAGE_SIZE = 1024, EVENT_NAME_MAX = 253, SUFFIX_MAX = 17 };

/* One event: waiting to be written, or written and remembered to be counted up. */
struct event_entry {
	enum subject subject;
	char uid[UID_SIZE], namespace_[NAMESPACE_SIZE], object[NAME_SIZE];
	char reason[REASON_SIZE], message[MESSAGE_SIZE];
	char name[NAME_SIZE]; /* of the Event object */
	int64_t first_s, last_s;
	uint32_t count;
	bool waiting; /* to be written */
	bool created; /* the Event object is there: count it up */
	uint64_t order;
	struct event_entry *next;
};

struct recorder {
	struct api *api;
	char component[NAME_SIZE], node[NAME_SIZE];
	struct event_entry *entries;
	size_t n;
	uint64_t clock;
	struct api_request *request;
	struct event_entry *sending;
	uint32_t sent_count; /* of `sending` when it was sent */
	unsigned tries;
	struct backoff backoff;
	uv_timer_t timer;
	bool waiting; /* for the timer */
};

static void recorder_next(struct recorder *r);

static json_t *event_new(const struct recorder *r, const struct event_entry *x)
{
	char first[TIME_TEXT_MAX], last[TIME_TEXT_MAX];
	bool claim = x->subject == SUBJECT_CLAIM;
	const char *version = claim ? api_resource_version(r->api) : "v1";
	_cleanup_buf_ struct buf api_version = {0};
	time_format(x->first_s, first);
	time_format(x->last_s, last);
	buf_printf(&api_version, "%s%s", claim ? "resource.k8s.io/" : "", version);
	return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:s}, s:s, s:o, s:s, s:{s:s, s:s}, s:s, s:s, s:s, s:s, s:i}",
	                 "apiVersion", "v1", "kind", "Event", "metadata", "name", x->name, "namespace", x->namespace_, "involvedObject",
	                 "apiVersion", buf_text(&api_version), "kind", claim ? "ResourceClaim" : "Pod", "namespace", x->namespace_, "name",
	                 x->object, "uid", x->uid, "reason", x->reason, "message", json_text_new(x->message), "type", "Warning", "source",
	                 "component", r->component, "host", r->node, "reportingComponent", r->component, "reportingInstance", r->node,
	                 "firstTimestamp", first, "lastTimestamp", last, "count", (int)x->count);
}

static json_t *event_count_new(const struct event_entry *x)
{
	char last[TIME_TEXT_MAX];
	time_format(x->last_s, last);
	return json_pack("{s:i, s:s}", "count", (int)x->count, "lastTimestamp", last);
}

static void on_timer(uv_timer_t *timer)
{
	struct recorder *r = timer->data;
	r->waiting = false;
	recorder_next(r);
}

static bool answer_is_passing(const struct api_answer *answer)
{
	return answer->result == -EAGAIN || (!answer->status && answer->result < 0);
}

static void on_event(const struct api_answer *answer, void *user)
{
	struct recorder *r = user;
	struct event_entry *x = r->sending;
	r->request = NULL;
	r->sending = NULL;
	if (answer_is_passing(answer) && ++r->tries < TRIES_MAX) {
		uint64_t delay = backoff_next(&r->backoff, uv_now(r->api->loop));
		r->waiting = true;
		uv_timer_start(&r->timer, on_timer, delay > answer->retry_after_ms ? delay : answer->retry_after_ms, 0);
		return;
	}
	r->tries = 0;
	if (x->created && answer->result == -ENOENT) { /* events live an hour on the server: begin a new one */
		x->created = false;
	} else {
		x->created = x->created || answer->result == 0 || answer->result == -EEXIST;
		x->waiting = x->count != r->sent_count;
	}
	recorder_next(r);
}

static void event_send(struct recorder *r, struct event_entry *x)
{
	_cleanup_buf_ struct buf path = {0};
	buf_puts(&path, "/api/v1/namespaces/");
	url_add(&path, x->namespace_);
	buf_puts(&path, "/events");
	if (x->created) {
		buf_puts(&path, "/");
		url_add(&path, x->name);
	}
	json_t *body = x->created ? event_count_new(x) : event_new(r, x);
	if (body && !path.failed &&
	    api_send(r->api, x->created ? "PATCH" : "POST", buf_text(&path), x->created ? "application/merge-patch+json" : NULL, body, 0,
	             on_event, r, &r->request) == 0) {
		r->sending = x;
		r->sent_count = x->count;
	} else {
		x->waiting = false;
	}
	json_decref(body);
}

static void recorder_next(struct recorder *r)
{
	while (!r->request && !r->waiting) {
		struct event_entry *oldest = NULL;
		for (struct event_entry *x = r->entries; x; x = x->next)
			if (x->waiting && (!oldest || x->order < oldest->order))
				oldest = x;
		if (!oldest)
			return;
		event_send(r, oldest);
	}
}

/* Room for one more: the oldest that is written goes. NULL when all 64 wait to be written. */
static bool recorder_make_room(struct recorder *r)
{
	struct event_entry **oldest = NULL;
	if (r->n < QUEUE_MAX)
		return true;
	for (struct event_entry **at = &r->entries; *at; at = &(*at)->next)
		if (!(*at)->waiting && *at != r->sending && (!oldest || (*at)->order < (*oldest)->order))
			oldest = at;
	if (!oldest)
		return false;
	struct event_entry *x = *oldest;
	*oldest = x->next;
	free(x);
	r->n--;
	return true;
}

static struct event_entry *recorder_find(struct recorder *r, const struct event_entry *like, int64_t now_s)
{
	for (struct event_entry *x = r->entries; x; x = x->next)
		if (x->subject == like->subject && !strcmp(x->uid, like->uid) && !strcmp(x->reason, like->reason) &&
		    !strcmp(x->message, like->message) && now_s - x->last_s < AGGREGATE_S)
			return x;
	return NULL;
}

/* "<object>.<16 hex digits>", as client libraries name them; a subdomain. */
static void event_name(char ret[NAME_SIZE], const char *object, uint64_t random)
{
	char suffix[SUFFIX_MAX];
	size_t n = strnlen(object, EVENT_NAME_MAX - SUFFIX_MAX);
	while (n && (object[n - 1] == '.' || object[n - 1] == '-'))
		n--;
	memcpy(ret, object, n);
	for (size_t i = 0; i < sizeof(suffix) - 1; i++)
		suffix[i] = "0123456789abcdef"[random >> (4 * i) & 15];
	ret[n++] = '.';
	memcpy(ret + n, suffix, sizeof(suffix) - 1);
	ret[n + sizeof(suffix) - 1] = '\0';
}

void recorder_emit(struct recorder *r, enum subject subject, const struct claim_ref *claim, const struct pod_ref *pod, const char *reason,
                   const char *message, int64_t now_s)
{
	struct event_entry like = {.subject = subject, .first_s = now_s, .last_s = now_s, .count = 1, .waiting = true};
	bool about_claim = subject == SUBJECT_CLAIM;
	STR_COPY(like.uid, about_claim ? claim->uid : pod->uid);
	STR_COPY(like.namespace_, about_claim ? claim->namespace_ : pod->namespace_);
	STR_COPY(like.object, about_claim ? claim->name : pod->name);
	STR_CUT(like.reason, reason);
	STR_CUT(like.message, message);
	if (!*like.object || !*like.namespace_)
		return;
	struct event_entry *x = recorder_find(r, &like, now_s);
	if (x) {
		x->count++;
		x->last_s = now_s;
	} else {
		x = recorder_make_room(r) ? malloc(sizeof(*x)) : NULL;
		if (!x)
			return;
		*x = like;
		event_name(x->name, x->object, backoff_random(&r->api->random));
		x->next = r->entries;
		r->entries = x;
		r->n++;
	}
	if (!x->waiting || x->count == 1)
		x->order = ++r->clock;
	x->waiting = true;
	recorder_next(r);
}

int recorder_new(struct api *a, const char *component, const char *node, struct recorder **ret)
{
	_cleanup_free_ struct recorder *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->api = a;
	if (STR_COPY(r->component, component) < 0 || STR_COPY(r->node, node) < 0)
		return -ENAMETOOLONG;
	backoff_init(&r->backoff, a->timing.backoff_min_ms, a->timing.backoff_max_ms, a->timing.backoff_reset_ms,
	             backoff_random(&a->random));
	uv_timer_init(a->loop, &r->timer);
	r->timer.data = r;
	*ret = TAKE_PTR(r);
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void recorder_close(struct recorder *r)
{
	if (!r)
		return;
	api_cancel(r->request);
	while (r->entries) {
		struct event_entry *x = r->entries;
		r->entries = x->next;
		free(x);
	}
	uv_close((uv_handle_t *)&r->timer, on_closed);
}
