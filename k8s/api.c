/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/api_private.h"

struct api_request {
	struct api *api;
	struct api_request *next, **link;
	struct http_request *http; /* NULL = could not be started */
	char *method, *path, *content_type, *body;
	uint32_t timeout_ms, stall_ms;
	void (*data)(const void *data, size_t len, void *user);
	api_done done;
	void *user;
	uint64_t held_until; /* 0 = not held back */
	bool answer_text;
	bool retried; /* after 401 */
	bool failed;  /* could not be started: */
	struct error error;
};

static void request_unlink(struct api_request *r)
{
	*r->link = r->next;
	if (r->next)
		r->next->link = r->link;
}

static void request_free(struct api_request *r)
{
	free(r->method);
	free(r->path);
	free(r->content_type);
	free(r->body);
	free(r);
}

static void request_finish(struct api_request *r, const struct api_answer *answer)
{
	request_unlink(r);
	r->done(answer, r->user);
	request_free(r);
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	for (const char *p = text; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u; /* FNV-1a */
	return hash;
}

void api_warn(struct api *a, const char *text)
{
	uint64_t hash = hash_text(14695981039346656037u, text);
	for (size_t i = 0; i < a->n_warnings; i++)
		if (a->warnings[i] == hash)
			return;
	if (!a->warning || a->n_warnings == API_WARNINGS_MAX)
		return;
	a->warnings[a->n_warnings++] = hash;
	a->warning(text, a->warning_user);
}

/* ---- Retry-After ------------------------------------------------------------------------------------------------------------------ */

static uint64_t request_hash(const struct api_request *r)
{
	return hash_text(hash_text(14695981039346656037u, r->method), r->path);
}

/* Whoever asks may try again when it likes; the same request waits here for the time the server named. Where there are more of them than
 * places, the one that is over first is forgotten. */
static void hold_set(struct api *a, const struct api_request *r, uint32_t retry_after_ms)
{
	uint64_t hash = request_hash(r);
	struct api_hold *place = a->holds;
	for (size_t i = 0; i < API_HOLDS_MAX; i++) {
		if (a->holds[i].request == hash) {
			place = &a->holds[i];
			break;
		}
		if (a->holds[i].until < place->until)
			place = &a->holds[i];
	}
	*place = (struct api_hold){hash, uv_now(a->loop) + retry_after_ms};
}

static uint64_t hold_of(const struct api *a, const struct api_request *r)
{
	uint64_t hash = request_hash(r);
	for (size_t i = 0; i < API_HOLDS_MAX; i++)
		if (a->holds[i].request == hash && a->holds[i].until > uv_now(a->loop))
			return a->holds[i].until;
	return 0;
}

static void on_data(struct http_request *http, const void *data, size_t len, void *user)
{
	struct api_request *r = user;
	(void)http;
	r->data(data, len, r->user);
}

static void request_begin(struct api_request *r, bool force);

static void on_done(int result, const char *error, const struct http_response *response, const char *body, size_t len, void *user)
{
	struct api_request *r = user;
	struct api_reading reading;
	r->http = NULL;
	if (result < 0) {
		struct error e;
		error_set(&e, result, "%s %s: %s", r->method, r->path, error && *error ? error : strerror(-result));
		request_finish(r, &(struct api_answer){.result = result, .error = e.text, .duplicate = ""});
		return;
	}
	if (response->status == 401 && !r->retried) {
		r->retried = true;
		request_begin(r, true);
		return;
	}
	if (response->warning && *response->warning)
		api_warn(r->api, response->warning);
	api_reading_take(&reading, r->method, r->path, response, body, body ? len : 0, r->answer_text);
	if (reading.answer.retry_after_ms)
		hold_set(r->api, r, reading.answer.retry_after_ms);
	request_finish(r, &reading.answer);
	api_reading_free(&reading);
}

static int request_start(struct api_request *r, bool force, struct error *e)
{
	struct api *a = r->api;
	const struct api_config *c = &a->credentials.config;
	_cleanup_free_ char *authorization = NULL, *url = NULL, *content_type = NULL;
	bool tls;
	int res = credentials_refresh(&a->credentials, uv_now(a->loop), force, &tls, e);
	if (res < 0)
		return res;
	if (tls || force)
		http_client_forget_connections(a->http);
	if (credentials_header(&a->credentials, &authorization) < 0 || asprintf(&url, "%s%s", c->server, r->path) < 0 ||
	    (r->content_type && asprintf(&content_type, "Content-Type: %s", r->content_type) < 0))
		return error_set(e, -ENOMEM, "out of memory");
	const char *headers[5] = {"Accept: application/json", "User-Agent: dranetd/" DRANETD_VERSION};
	size_t n = 2;
	if (content_type)
		headers[n++] = content_type;
	if (authorization)
		headers[n++] = authorization;
	const struct http_endpoint endpoint = {.ca_pem = c->ca_pem,
	                                       .certificate_pem = c->certificate_pem,
	                                       .key_pem = c->key_pem,
	                                       .server_name = c->server_name,
	                                       .proxy_url = c->proxy_url,
	                                       .insecure = c->insecure};
	const struct http_request_options o = {.method = r->method,
	                                       .url = url,
	                                       .endpoint = &endpoint,
	                                       .headers = headers,
	                                       .body = r->body,
	                                       .body_len = r->body ? strlen(r->body) : 0,
	                                       .timeout_ms = r->timeout_ms,
	                                       .stall_ms = r->stall_ms,
	                                       .data = r->data ? on_data : NULL,
	                                       .done = on_done,
	                                       .user = r};
	res = http_client_start(a->http, &o, &r->http, e);
	if (authorization)
		explicit_bzero(authorization, strlen(authorization));
	return res;
}

static void on_soon(uv_timer_t *timer);

static void soon_arm(struct api *a)
{
	uint64_t now = uv_now(a->loop), next = UINT64_MAX;
	for (const struct api_request *r = a->requests; r; r = r->next)
		if (r->failed)
			next = now;
		else if (r->held_until)
			next = r->held_until < next ? r->held_until : next;
	if (next != UINT64_MAX)
		uv_timer_start(&a->soon, on_soon, next > now ? next - now : 0, 0);
}

/* The next request that failed to start or has been held back long enough. */
static struct api_request *soon_next(struct api *a)
{
	struct api_request *r = a->requests;
	while (r && !r->failed && !(r->held_until && r->held_until <= uv_now(a->loop)))
		r = r->next;
	return r;
}

static void on_soon(uv_timer_t *timer)
{
	struct api *a = timer->data;
	struct api_request *r;
	while ((r = soon_next(a))) {
		if (!r->failed) {
			r->held_until = 0;
			request_begin(r, false);
			continue;
		}
		struct error e;
		error_set(&e, r->error.code, "%s %s: %s", r->method, r->path, r->error.text);
		request_finish(r, &(struct api_answer){.result = e.code, .error = e.text, .duplicate = ""});
	}
	if (!uv_is_closing((uv_handle_t *)timer))
		soon_arm(a);
}

/* `done` must come from the loop, also for a request that never left: its caller may not have the handle yet. */
static void request_begin(struct api_request *r, bool force)
{
	r->error = (struct error){0};
	r->held_until = hold_of(r->api, r);
	int res = r->held_until ? 0 : request_start(r, force, &r->error);
	if (res < 0) {
		if (!r->error.code)
			error_set(&r->error, res, "%s", strerror(-res));
		r->failed = true;
	}
	if (r->failed || r->held_until)
		soon_arm(r->api);
}

int api_start(struct api *a, const struct api_call *call, struct api_request **ret)
{
	struct api_request *r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	*r = (struct api_request){
	    .api = a,
	    .answer_text = call->answer_text,
	    .timeout_ms = call->timeout_ms,
	    .stall_ms = call->stall_ms,
	    .data = call->data,
	    .done = call->done,
	    .user = call->user,
	};
	if (call->text)
		r->body = strdup(call->text);
	else if (call->body)
		r->body = json_dumps(call->body, JSON_COMPACT);
	r->method = strdup(call->method);
	r->path = strdup(call->path);
	r->content_type = call->content_type ? strdup(call->content_type) : NULL;
	if (!r->method || !r->path || (call->content_type && !r->content_type) || ((call->text || call->body) && !r->body)) {
		request_free(r);
		return -ENOMEM;
	}
	r->link = &a->requests;
	r->next = a->requests;
	if (r->next)
		r->next->link = &r->next;
	a->requests = r;
	request_begin(r, false);
	if (ret)
		*ret = r;
	return 0;
}

int api_send(struct api *a, const char *method, const char *path, const char *content_type, json_t *body, uint32_t timeout_ms,
             api_done done, void *user, struct api_request **ret)
{
	const struct api_call call = {.method = method,
	                              .path = path,
	                              .content_type = body && !content_type ? "application/json" : content_type,
	                              .body = body,
	                              .timeout_ms = timeout_ms ? timeout_ms : API_TIMEOUT_MS,
	                              .done = done,
	                              .user = user};
	return api_start(a, &call, ret);
}

void api_cancel(struct api_request *r)
{
	if (!r)
		return;
	if (r->http)
		http_request_cancel(r->http);
	request_unlink(r);
	request_free(r);
}

void api_stall(struct api_request *r, uint32_t stall_ms)
{
	if (r->http)
		http_request_stall(r->http, stall_ms);
}

int api_new(uv_loop_t *loop, struct api_config *config, struct api **ret, struct error *e)
{
	_cleanup_free_ struct api *a = calloc(1, sizeof(*a));
	if (!a)
		return error_set(e, -ENOMEM, "out of memory");
	int r = http_client_new(loop, &a->http);
	if (r < 0)
		return error_set(e, r, "HTTP client: %s", strerror(-r));
	a->loop = loop;
	a->timing = (struct api_timing){.watch_min_s = 300,
	                                .watch_max_s = 600,
	                                .stall_margin_s = 15,
	                                .bookmark_ms = 180000,
	                                .steady_ms = 15000,
	                                .backoff_min_ms = 800,
	                                .backoff_max_ms = 30000,
	                                .backoff_reset_ms = 120000,
	                                .resync_min_ms = 100};
	uv_timer_init(loop, &a->soon);
	a->soon.data = a;
	/* Where the kernel has none to give, equal jitter on all nodes is still jitter. */
	if (uv_random(NULL, NULL, &a->random, sizeof(a->random), 0, NULL) < 0)
		a->random = uv_hrtime();
	a->credentials.config = *config;
	*config = (struct api_config){0};
	*ret = TAKE_PTR(a);
	return 0;
}

void api_seed(struct api *a, uint64_t seed)
{
	a->random = seed;
}

void api_warnings(struct api *a, void (*warning)(const char *text, void *user), void *user)
{
	a->warning = warning;
	a->warning_user = user;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void api_close(struct api *a)
{
	if (!a)
		return;
	while (a->requests)
		api_cancel(a->requests);
	resource_requests_drop(a);
	while (a->waiters) {
		struct api_discovery_waiter *w = a->waiters;
		a->waiters = w->next;
		free(w);
	}
	http_client_close(a->http);
	status_cache_free(a->statuses);
	api_config_free(&a->credentials.config);
	uv_close((uv_handle_t *)&a->soon, on_closed);
}
