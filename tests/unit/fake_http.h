/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP client without a network, linked instead of transport's: a test sees each request and answers it when it likes. Everything is
 * delivered from the loop, as the real one does. */
#pragma once

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "transport/http_client.h"

struct http_request {
	struct http_request *next;
	struct http_client *client;
	char *method, *path; /* without scheme and host */
	char *headers;       /* one a line */
	json_t *body;
	bool served;
	void (*data)(struct http_request *r, const void *data, size_t len, void *user);
	void (*done)(int result, const char *error, const struct http_response *response, const char *body, size_t len, void *user);
	void *user;
};
struct http_client {
	uv_timer_t timer;
	struct http_request *requests;
};

/* The test's server. It may keep `r` and answer later. */
static void fake_serve(struct http_request *r);

static void fake_free(struct http_request *r)
{
	struct http_request **at = &r->client->requests;
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	free(r->method);
	free(r->path);
	free(r->headers);
	json_decref(r->body);
	free(r);
}

static void fake_answer_text(struct http_request *r, long status, const char *text, const char *warning)
{
	struct http_response response = {
	    .status = status, .retry_after_s = -1, .content_type = "application/json", .warning = warning ? warning : ""};
	void *user = r->user;
	__typeof__(r->done) done = r->done;
	fake_free(r);
	done(0, "", &response, text, strlen(text), user);
}

/* Takes `body`. */
static inline void fake_answer(struct http_request *r, long status, json_t *body)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : strdup("");
	json_decref(body);
	fake_answer_text(r, status, text, NULL);
	free(text);
}

static inline void fake_fail(struct http_request *r, int result)
{
	void *user = r->user;
	__typeof__(r->done) done = r->done;
	fake_free(r);
	done(result, strerror(-result), NULL, NULL, 0, user);
}

static void fake_on_timer(uv_timer_t *timer)
{
	struct http_client *c = timer->data;
	for (;;) {
		struct http_request *oldest = NULL;
		for (struct http_request *r = c->requests; r; r = r->next)
			if (!r->served)
				oldest = r;
		if (!oldest)
			return;
		oldest->served = true;
		fake_serve(oldest);
	}
}

int http_client_new(uv_loop_t *loop, struct http_client **ret)
{
	struct http_client *c = calloc(1, sizeof(*c));
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	*ret = c;
	return 0;
}

static void fake_on_closed(uv_handle_t *h)
{
	free(h->data);
}

void http_client_close(struct http_client *c)
{
	while (c->requests)
		fake_free(c->requests);
	uv_close((uv_handle_t *)&c->timer, fake_on_closed);
}

int http_client_start(struct http_client *c, const struct http_request_options *o, struct http_request **ret, struct error *e)
{
	struct http_request *r = calloc(1, sizeof(*r));
	const char *path = strchr(strstr(o->url, "://") + 3, '/');
	size_t len = 1;
	(void)e;
	assert(path);
	for (const char *const *h = o->headers; h && *h; h++)
		len += strlen(*h) + 1;
	*r = (struct http_request){.client = c,
	                           .method = strdup(o->method),
	                           .path = strdup(path),
	                           .headers = calloc(1, len),
	                           .body = o->body_len ? json_loadb(o->body, o->body_len, JSON_REJECT_DUPLICATES, NULL) : NULL,
	                           .data = o->data,
	                           .done = o->done,
	                           .user = o->user};
	for (const char *const *h = o->headers; h && *h; h++) {
		strcat(r->headers, *h);
		strcat(r->headers, "\n");
	}
	r->next = c->requests;
	c->requests = r;
	uv_timer_start(&c->timer, fake_on_timer, 0, 0);
	*ret = r;
	return 0;
}

void http_request_stall(struct http_request *r, uint32_t stall_ms)
{
	(void)r, (void)stall_ms; /* time is the test's */
}

void http_request_cancel(struct http_request *r)
{
	fake_free(r);
}

void http_client_forget_connections(struct http_client *c)
{
	(void)c;
}

/* ---- running ---------------------------------------------------------------------------------------------------------------------- */

static void fake_on_beat(uv_timer_t *timer)
{
	(void)timer;
}

/* Runs the loop until `*flag` reaches `value`; false after ten seconds. uv_run() would sleep on after the timer that changed the flag, so
 * another one beats. */
static bool fake_run_until(uv_loop_t *loop, const int *flag, int value)
{
	uint64_t end = uv_hrtime() + 10 * UINT64_C(1000000000);
	uv_timer_t beat;
	uv_timer_init(loop, &beat);
	uv_timer_start(&beat, fake_on_beat, 1, 1);
	while (*flag < value && uv_hrtime() < end)
		uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&beat, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
	return *flag >= value;
}

static inline void fake_on_pause(uv_timer_t *timer)
{
	*(int *)timer->data = 1;
}

/* Lets the loop go on for a while, to see that nothing happens. */
static inline void fake_run_for(uv_loop_t *loop, uint64_t ms)
{
	uv_timer_t timer;
	int over = 0;
	uv_timer_init(loop, &timer);
	timer.data = &over;
	uv_timer_start(&timer, fake_on_pause, ms, 0);
	while (!over)
		uv_run(loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(loop, UV_RUN_NOWAIT);
}
