/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api_private.h"
#include "k8s/backoff.h"
#include "k8s/json_value.h"
#include "k8s/watch_lines.h"

enum { LIST_LIMIT = 500, SUSPICIOUS_MS = 1000, ACCEPTED_MS = 20000, TROUBLE_TEXT_MAX = 256 };

struct api_watch {
	struct api *api;
	char *path, *selector;
	struct api_watch_callbacks callbacks;
	void *user;
	uv_timer_t timer; /* the next try, or the end of trouble while a watch is open */
	struct api_request *request;
	struct watch_lines lines;
	struct backoff backoff;
	char *resource_version; /* NULL = a list is due */
	char *next_page;
	uint64_t listed_ms, opened_ms;
	bool heard; /* something came on this watch */
	bool troubled, closed;
	int stream_result; /* why the stream is given up while lines are read */
	char stream_text[TROUBLE_TEXT_MAX];
};

static void watch_next(struct api_watch *w);

static void on_timer(uv_timer_t *timer)
{
	watch_next(timer->data);
}

static void watch_forget(char **text)
{
	free(*text);
	*text = NULL;
}

/* Keep the old one where memory lacks: watching from it again brings some events twice, which is harmless. */
static void watch_resource_version(struct api_watch *w, const char *text, size_t len)
{
	char *copy = len ? strndup(text, len) : NULL;
	if (!copy)
		return;
	free(w->resource_version);
	w->resource_version = copy;
}

static void watch_healthy(struct api_watch *w)
{
	if (!w->troubled)
		return;
	w->troubled = false;
	w->callbacks.trouble(0, "", w->user);
}

static void on_steady(uv_timer_t *timer)
{
	watch_healthy(timer->data);
}

static void watch_again(struct api_watch *w, uint64_t delay_ms)
{
	if (!w->closed)
		uv_timer_start(&w->timer, on_timer, delay_ms, 0);
}

static void watch_fail(struct api_watch *w, int result, const char *text, uint32_t retry_after_ms)
{
	uint64_t delay = backoff_next(&w->backoff, uv_now(w->api->loop));
	watch_forget(&w->next_page);
	watch_again(w, delay > retry_after_ms ? delay : retry_after_ms);
	if (w->troubled)
		return;
	w->troubled = true;
	w->callbacks.trouble(result, text, w->user);
}

static void watch_relist(struct api_watch *w)
{
	uint64_t now = uv_now(w->api->loop);
	watch_forget(&w->resource_version);
	/* A server that forgets faster than it lists must not be listed in a loop. */
	watch_again(w, now - w->listed_ms >= SUSPICIOUS_MS ? 0 : backoff_next(&w->backoff, now));
}

/* ---- list ------------------------------------------------------------------------------------------------------------------------- */

static void list_page(struct api_watch *w);

static void list_end(struct api_watch *w, const char *resource_version)
{
	watch_resource_version(w, resource_version, strlen(resource_version));
	w->listed_ms = uv_now(w->api->loop);
	watch_healthy(w);
	if (!w->closed)
		w->callbacks.synced(w->user);
	if (!w->closed)
		watch_next(w);
}

static void on_list(const struct api_answer *answer, void *user)
{
	struct api_watch *w = user;
	w->request = NULL;
	if (answer->result < 0) {
		watch_fail(w, answer->result, answer->error, answer->retry_after_ms);
		return;
	}
	json_t *items = json_object_get(answer->body, "items"), *metadata = json_object_get(answer->body, "metadata");
	const char *version = json_member_text(metadata, "resourceVersion"), *page = json_member_text(metadata, "continue");
	if (!api_answer_is_list(answer)) {
		watch_fail(w, -EBADMSG, "the answer to a list is no list", 0);
		return;
	}
	for (size_t i = 0; i < json_array_size(items); i++) {
		w->callbacks.object(json_array_get(items, i), false, w->user);
		if (w->closed)
			return;
	}
	watch_forget(&w->next_page);
	if (!*page)
		return list_end(w, version);
	w->next_page = strdup(page);
	if (w->next_page)
		list_page(w);
	else
		watch_fail(w, -ENOMEM, "out of memory", 0);
}

static void list_page(struct api_watch *w)
{
	_cleanup_buf_ struct buf path = {0};
	buf_printf(&path, "%s?%s%slimit=%d", w->path, w->selector, *w->selector ? "&" : "", LIST_LIMIT);
	if (w->next_page) {
		buf_puts(&path, "&continue=");
		url_add(&path, w->next_page);
	}
	if (path.failed || api_send(w->api, "GET", buf_text(&path), NULL, NULL, 0, on_list, w, &w->request) < 0)
		watch_fail(w, -ENOMEM, "out of memory", 0);
}

/* ---- watch ------------------------------------------------------------------------------------------------------------------------ */

static bool stream_stop(struct api_watch *w, int result, const char *text)
{
	w->stream_result = result;
	STR_CUT(w->stream_text, text);
	return false;
}

/* Most of what comes is an echo of what we wrote. */
static bool line_is_done(struct api_watch *w, const char *text, size_t len)
{
	struct watch_glance glance;
	if (!w->callbacks.glance || watch_event_glance(text, len, &glance) < 0 || !w->callbacks.glance(&glance, w->user))
		return false;
	watch_resource_version(w, glance.version.at, glance.version.len);
	if (!w->closed)
		watch_healthy(w);
	return true;
}

static bool on_line(const char *text, size_t len, void *user)
{
	struct api_watch *w = user;
	struct watch_event event;
	if (line_is_done(w, text, len))
		return !w->closed;
	int r = watch_event_parse(text, len, &event);
	if (r < 0)
		return stream_stop(w, r, "a watch event that does not parse");
	bool more = true;
	if (event.type == WATCH_ERROR) {
		more = stream_stop(w, event.expired ? -ESTALE : -EAGAIN, json_member_text(event.object, "message"));
	} else {
		watch_resource_version(w, event.resource_version, strlen(event.resource_version));
		watch_healthy(w);
		if (event.type == WATCH_BOOKMARK)
			api_stall(w->request, w->api->timing.bookmark_ms); /* this server sends them: silence tells from now on */
		else if (!w->closed)
			w->callbacks.object(event.object, event.type == WATCH_DELETED, w->user);
		more = !w->closed;
	}
	watch_event_free(&event);
	return more;
}

static void on_watch_data(const void *data, size_t len, void *user)
{
	struct api_watch *w = user;
	w->heard = true;
	w->stream_result = 0;
	int r = watch_lines_feed(&w->lines, data, len, on_line, w);
	if (w->closed || r == 0)
		return;
	if (r < 0)
		stream_stop(w, r, r == -EMSGSIZE ? "a watch event larger than 4 MiB" : "out of memory");
	api_cancel(w->request);
	w->request = NULL;
	if (w->stream_result == -ESTALE)
		return watch_relist(w);
	if (w->stream_result != -EAGAIN)
		/* Something was lost: what is there has to be learned anew. */
		watch_forget(&w->resource_version);
	watch_fail(w, w->stream_result, w->stream_text, 0);
}

static bool answer_wants_list(const struct api_answer *answer)
{
	if (answer->status >= 400 && answer->status < 500 && answer->status != 401 && answer->status != 403 && answer->status != 429)
		return true;
	/* 504 Timeout: after the store was restored from a backup our version lies in its future. */
	return strstr(answer->error, "Too large resource version") != NULL;
}

static void on_watch_done(const struct api_answer *answer, void *user)
{
	struct api_watch *w = user;
	uint64_t open_ms = uv_now(w->api->loop) - w->opened_ms;
	w->request = NULL;
	uv_timer_stop(&w->timer);
	if (answer->status == 410)
		return watch_relist(w);
	if (answer->result == 0 || (!answer->status && (w->heard || open_ms >= ACCEPTED_MS))) {
		/* The usual end of a watch, or of the connection under one. A dead connection must not be tried again; of a silent one the
		 * HTTP client has let go. */
		if (answer->result < 0 && answer->result != -ETIMEDOUT)
			http_client_forget_connections(w->api->http);
		bool suspicious = open_ms < SUSPICIOUS_MS && !w->heard;
		watch_again(w, suspicious ? backoff_next(&w->backoff, uv_now(w->api->loop)) : 0);
		return;
	}
	if (answer_wants_list(answer))
		watch_forget(&w->resource_version);
	watch_fail(w, answer->result, answer->error, answer->retry_after_ms);
}

static void watch_open(struct api_watch *w)
{
	_cleanup_buf_ struct buf path = {0};
	struct api *a = w->api;
	const struct api_timing *t = &a->timing;
	uint32_t timeout_s = t->watch_min_s + (uint32_t)(backoff_random(&a->random) % (t->watch_max_s - t->watch_min_s + 1));
	buf_printf(&path, "%s?%s%swatch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=", w->path, w->selector,
	           *w->selector ? "&" : "", timeout_s);
	url_add(&path, w->resource_version);
	watch_lines_reset(&w->lines);
	w->heard = false;
	w->opened_ms = uv_now(a->loop);
	const struct api_call call = {.method = "GET",
	                              .path = buf_text(&path),
	                              .stall_ms = (timeout_s + t->stall_margin_s) * 1000,
	                              .data = on_watch_data,
	                              .done = on_watch_done,
	                              .user = w};
	if (path.failed || api_start(a, &call, &w->request) < 0) {
		watch_fail(w, -ENOMEM, "out of memory", 0);
		return;
	}
	if (w->troubled)
		uv_timer_start(&w->timer, on_steady, t->steady_ms, 0);
}

static void watch_next(struct api_watch *w)
{
	if (w->resource_version)
		return watch_open(w);
	w->callbacks.begin(w->user);
	if (!w->closed)
		list_page(w);
}

int api_watch_start(struct api *a, const char *path, const char *selector, const struct api_watch_callbacks *callbacks, void *user,
                    struct api_watch **ret)
{
	struct api_watch *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct api_watch){
	    .api = a, .path = strdup(path), .selector = strdup(selector ? selector : ""), .callbacks = *callbacks, .user = user};
	if (!w->path || !w->selector) {
		free(w->path);
		free(w->selector);
		free(w);
		return -ENOMEM;
	}
	backoff_init(&w->backoff, a->timing.backoff_min_ms, a->timing.backoff_max_ms, a->timing.backoff_reset_ms,
	             backoff_random(&a->random));
	uv_timer_init(a->loop, &w->timer);
	w->timer.data = w;
	/* From the loop: the caller has no handle to close yet. */
	watch_again(w, 0);
	*ret = w;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct api_watch *w = handle->data;
	watch_lines_reset(&w->lines);
	free(w->path);
	free(w->selector);
	free(w->resource_version);
	free(w->next_page);
	free(w);
}

void api_watch_close(struct api_watch *w)
{
	if (!w || w->closed)
		return;
	w->closed = true;
	api_cancel(w->request);
	w->request = NULL;
	uv_close((uv_handle_t *)&w->timer, on_closed);
}
