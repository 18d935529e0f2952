/* SPDX-License-Identifier: Apache-2.0 */
/* The API server client over real sockets: an HTTP/1.1 server on loopback in the same loop, whose every byte the test chooses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "k8s/api_private.h"
#include "k8s/json_value.h"
#include "k8s/watch_lines.h"

enum { LOG_MAX = 4096, REQUEST_MAX = 8192 };

struct world;
struct peer {
	uv_tcp_t tcp;
	struct world *world;
	struct peer *next;
	char in[REQUEST_MAX];
	size_t len;
	bool closing;
};
struct world {
	uv_loop_t loop;
	uv_tcp_t listener;
	int port;
	bool listening;
	struct peer *peers;
	struct api *api;
	char token_path[64];
	/* Called for the n-th request; `head` is its text. */
	void (*serve)(struct world *w, struct peer *p, int n, const char *head);
	int requests;

	int answers, result;
	char error[512];
	json_t *body;

	struct api_watch *watch;
	char log[LOG_MAX]; /* what the watch told: "( name+ name- ) !" */
	int synced, objects, troubles, recoveries;
	int open_watches; /* watch requests the server got */
	struct peer *watcher;
	uint64_t mark;
};

/* ---- the server ------------------------------------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	struct peer *p = handle->data;
	(void)size;
	*buf = uv_buf_init(p->in + p->len, (unsigned)(sizeof(p->in) - 1 - p->len));
}

static void on_peer_closed(uv_handle_t *handle)
{
	struct peer *p = handle->data, **at = &p->world->peers;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (p->world->watcher == p)
		p->world->watcher = NULL;
	free(p);
}

static void peer_close(struct peer *p)
{
	if (!p->closing)
		uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
	p->closing = true;
}

static void peer_write(struct peer *p, const char *text)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));
	assert_int_equal(uv_try_write((uv_stream_t *)&p->tcp, &buf, 1), (int)strlen(text));
}

static void peer_answer(struct peer *p, const char *status, const char *headers, const char *body)
{
	char text[4096];
	snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s", status,
	         strlen(body), headers, body);
	for (char *c = strstr(text, "\r\n\r\n"); *c; c++)
		if (*c == '\'')
			*c = '"';
	peer_write(p, text);
}

static void peer_chunk(struct peer *p, const char *body)
{
	char text[4096];
	snprintf(text, sizeof(text), "%zx\r\n%s\r\n", strlen(body), body);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	peer_write(p, text);
}

static void peer_stream(struct peer *p)
{
	peer_write(p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct peer *p = stream->data;
	(void)buf;
	if (n < 0)
		return peer_close(p);
	p->len += (size_t)n;
	p->in[p->len] = '\0';
	const char *end = strstr(p->in, "\r\n\r\n"), *length = strstr(p->in, "Content-Length: ");
	if (!end || strlen(end + 4) < (length ? (size_t)atoi(length + 16) : 0))
		return;
	p->len = 0;
	if (strstr(p->in, "watch=1")) {
		p->world->open_watches++;
		p->world->watcher = p;
	}
	p->world->serve(p->world, p, p->world->requests++, p->in);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct world *w = listener->data;
	struct peer *p = calloc(1, sizeof(*p));
	assert_int_equal(status, 0);
	p->world = w;
	p->next = w->peers;
	w->peers = p;
	uv_tcp_init(&w->loop, &p->tcp);
	p->tcp.data = p;
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&p->tcp), 0);
	assert_int_equal(uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read), 0);
}

static void server_open(struct world *w)
{
	struct sockaddr_storage address;
	int len = sizeof(address);
	uv_tcp_init(&w->loop, &w->listener);
	w->listener.data = w;
	uv_ip4_addr("127.0.0.1", w->port, (struct sockaddr_in *)&address);
	assert_int_equal(uv_tcp_bind(&w->listener, (struct sockaddr *)&address, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&w->listener, 16, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&w->listener, (struct sockaddr *)&address, &len), 0);
	w->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	w->listening = true;
}

static void server_close(struct world *w)
{
	if (w->listening)
		uv_close((uv_handle_t *)&w->listener, NULL);
	w->listening = false;
	for (struct peer *p = w->peers; p; p = p->next)
		peer_close(p);
}

/* ---- running ---------------------------------------------------------------------------------------------------------------------- */

static void on_beat(uv_timer_t *timer)
{
	(void)timer;
}

/* Until `*flag` reaches `value`; false after `seconds`. */
static bool run_until(struct world *w, const int *flag, int value, unsigned seconds)
{
	uint64_t end = uv_hrtime() + seconds * UINT64_C(1000000000);
	uv_timer_t beat;
	uv_timer_init(&w->loop, &beat);
	uv_timer_start(&beat, on_beat, 1, 1);
	while (*flag < value && uv_hrtime() < end)
		uv_run(&w->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&beat, NULL);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	return *flag >= value;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char url[64];
	uv_loop_init(&w->loop);
	server_open(w);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", w->port);
	snprintf(w->token_path, sizeof(w->token_path), "/tmp/dranetd-test-XXXXXX");
	int fd = mkstemp(w->token_path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "first\n", 6), 6);
	close(fd);
	struct api_config config = {.server = strdup(url), .token_path = strdup(w->token_path)};
	assert_int_equal(api_new(&w->loop, &config, &w->api, NULL), 0);
	assert_null(config.server);
	w->api->timing.backoff_min_ms = 20;
	w->api->timing.backoff_max_ms = 100;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	api_watch_close(w->watch);
	api_close(w->api);
	server_close(w);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	json_decref(w->body);
	unlink(w->token_path);
	free(w);
	return 0;
}

static void on_answer(const struct api_answer *answer, void *user)
{
	struct world *w = user;
	w->answers++;
	w->result = answer->result;
	snprintf(w->error, sizeof(w->error), "%s", answer->error);
	json_decref(w->body);
	w->body = json_incref(answer->body);
}

/* ---- requests --------------------------------------------------------------------------------------------------------------------- */

static void serve_post(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	(void)n;
	assert_true(strncmp(head, "PATCH /a?b=c HTTP/1.1\r\n", 23) == 0);
	assert_non_null(strstr(head, "\r\nContent-Type: application/apply-patch+yaml\r\n"));
	assert_non_null(strstr(head, "\r\nAuthorization: Bearer first\r\n"));
	assert_non_null(strstr(head, "\r\nUser-Agent: dranetd/"));
	assert_null(strstr(head, "gzip"));
	assert_non_null(strstr(head, "\r\n\r\n{\"k\":[1,\"x\"]}"));
	peer_answer(p, "200 OK", "", "{'metadata':{'name':'n'}}");
}

static void test_request(void **state)
{
	struct world *w = *state;
	json_t *body = json_pack("{s:[i,s]}", "k", 1, "x");
	w->serve = serve_post;
	assert_int_equal(api_send(w->api, "PATCH", "/a?b=c", "application/apply-patch+yaml", body, 0, on_answer, w, NULL), 0);
	json_decref(body);
	assert_int_equal(w->answers, 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(w->result, 0);
	assert_string_equal(json_string_value(json_member(w->body, "metadata.name")), "n");
}

static void token_write(struct world *w, const char *text)
{
	char fresh[80];
	snprintf(fresh, sizeof(fresh), "%s.new", w->token_path);
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, w->token_path), 0);
}

static void serve_token(struct world *w, struct peer *p, int n, const char *head)
{
	if (n == 0) /* the token is renewed while the old one is on its way */
		token_write(w, "second");
	if (strstr(head, "Bearer second\r\n"))
		peer_answer(p, "200 OK", "", "{}");
	else
		peer_answer(p, "401 Unauthorized", "", "{'kind':'Status','message':'Unauthorized','reason':'Unauthorized'}");
}

static void test_unauthorized(void **state)
{
	struct world *w = *state;
	w->serve = serve_token;
	assert_int_equal(api_send(w->api, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(w->result, 0);
	assert_int_equal(w->requests, 2);
	/* refused twice: told, not tried for ever */
	token_write(w, "third");
	assert_int_equal(api_send(w->api, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, -EACCES);
	assert_int_equal(w->requests, 4);
	assert_string_equal(w->error, "GET /x: 401 Unauthorized: Unauthorized");
}

static void serve_once(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	(void)head;
	if (n == 0)
		peer_answer(p, "200 OK", "", "{}");
}

static void test_timeout_cancel_close(void **state)
{
	struct world *w = *state;
	struct api_request *r;
	w->serve = serve_once;
	/* libcurl lets requests wait for each other until it knows that the server does not multiplex */
	assert_int_equal(api_send(w->api, "GET", "/first", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(api_send(w->api, "GET", "/slow", NULL, NULL, 300, on_answer, w, NULL), 0);
	assert_int_equal(api_send(w->api, "GET", "/gone", NULL, NULL, 300, on_answer, w, &r), 0);
	assert_true(run_until(w, &w->requests, 3, 10));
	api_cancel(r);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, -ETIMEDOUT);
	assert_non_null(strstr(w->error, "GET /slow: "));
	/* one without an answer, one not even begun: closing calls nobody back */
	assert_int_equal(api_send(w->api, "GET", "/open", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->requests, 4, 10));
	assert_int_equal(api_send(w->api, "GET", "/new", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_int_equal(w->answers, 2);
}

static void test_refused_and_unreadable(void **state)
{
	struct world *w = *state;
	server_close(w);
	assert_int_equal(api_send(w->api, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(w->result, -ECONNREFUSED);
	/* no credentials: an answer all the same, and from the loop */
	struct api_config config = {.server = strdup("http://127.0.0.1:1"), .token_path = strdup("/nonexistent/token")};
	struct api *other;
	assert_int_equal(api_new(&w->loop, &config, &other, NULL), 0);
	assert_int_equal(api_send(other, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_int_equal(w->answers, 1);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, -ENOENT);
	assert_string_equal(w->error, "GET /x: /nonexistent/token: No such file or directory");
	api_close(other);
}

static void serve_discovery(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	assert_non_null(strstr(head, "GET /apis/resource.k8s.io HTTP"));
	if (n == 0)
		peer_answer(p, "200 OK", "", "{'versions':[{'version':'v1beta1'},{'version':'v1beta2'},{'version':'v1alpha3'}]}");
	else
		peer_answer(p, "404 Not Found", "", "404 page not found");
}

static void on_discovered(int result, const char *version, const char *error, void *user)
{
	struct world *w = user;
	w->answers++;
	w->result = result;
	snprintf(w->error, sizeof(w->error), "%s", version ? version : error);
}

static void test_discovery(void **state)
{
	struct world *w = *state;
	int other;
	w->serve = serve_discovery;
	api_discover(w->api, on_discovered, &other); /* forgotten: never called */
	api_discover(w->api, on_discovered, w);
	api_discover(w->api, on_discovered, w);
	api_discover_forget(w->api, &other);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, 0);
	assert_string_equal(w->error, "v1beta2");
	assert_string_equal(api_resource_path(w->api), "/apis/resource.k8s.io/v1beta2");
	assert_int_equal(w->requests, 1);
	api_discover(w->api, on_discovered, w);
	assert_true(run_until(w, &w->answers, 3, 10));
	assert_int_equal(w->result, -ENOENT);
	assert_string_equal(api_resource_version(w->api), "v1beta2");
}

/* ---- watches ---------------------------------------------------------------------------------------------------------------------- */

static void log_add(struct world *w, const char *text)
{
	assert_true(strlen(w->log) + strlen(text) + 2 < sizeof(w->log));
	strcat(w->log, text);
}

static void on_begin(void *user)
{
	log_add(user, "(");
}

static void on_object(json_t *object, bool removed, void *user)
{
	struct world *w = user;
	log_add(w, json_string_value(json_member(object, "metadata.name")));
	log_add(w, removed ? "-" : "+");
	w->objects++;
}

static void on_synced(void *user)
{
	struct world *w = user;
	log_add(w, ")");
	w->synced++;
}

static void on_trouble(int result, const char *text, void *user)
{
	struct world *w = user;
	log_add(w, result ? "!" : "*");
	if (result)
		w->troubles++;
	else
		w->recoveries++;
	snprintf(w->error, sizeof(w->error), "%s", text);
}

static const struct api_watch_callbacks callbacks = {.begin = on_begin, .object = on_object, .synced = on_synced, .trouble = on_trouble};

static void watch_start(struct world *w)
{
	assert_int_equal(api_watch_start(w->api, "/things", "fieldSelector=a%3Db", &callbacks, w, &w->watch), 0);
}

static void serve_list_then(struct peer *p, const char *head)
{
	assert_non_null(strstr(head, "GET /things?fieldSelector=a%3Db&limit=500 HTTP"));
	peer_answer(p, "200 OK", "", "{'metadata':{'resourceVersion':'10'},'items':[{'metadata':{'name':'a'}}]}");
}

static void serve_borders(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	switch (n) {
	case 0:
		assert_non_null(strstr(head, "limit=500 HTTP"));
		peer_answer(
		    p, "200 OK", "",
		    "{'metadata':{'resourceVersion':'9','continue':'t&k='},'items':[{'metadata':{'name':'a'}},{'metadata':{'name':'b'}}]}");
		return;
	case 1:
		assert_non_null(strstr(head, "limit=500&continue=t%26k%3D HTTP"));
		peer_answer(p, "200 OK", "", "{'metadata':{'resourceVersion':'10'},'items':[{'metadata':{'name':'c'}}]}");
		return;
	case 2:
		assert_non_null(strstr(head, "watch=1&allowWatchBookmarks=true&timeoutSeconds="));
		assert_non_null(strstr(head, "&resourceVersion=10 HTTP"));
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'na");
		peer_chunk(
		    p, "me':'d','resourceVersion':'11'}}}\n{'type':'DELETED','object':{'metadata':{'name':'a','resourceVersion':'12'}}}");
		peer_chunk(p, "\n");
		peer_chunk(p, "\r\n{'type':'MODIFIED','object':{'metadata':{'name':'b','resourceVersion':'13'}}}\r\n");
		peer_chunk(p, "{'type':'BOOKMARK','object':{'kind':'Thing','metadata':{'resourceVersion':'20'}}}\n");
		peer_write(p, "0\r\n\r\n"); /* the usual end */
		return;
	case 3:
		assert_non_null(strstr(head, "&resourceVersion=20 HTTP"));
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'e','resourceVersion':'21'}}}\n");
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':");
		peer_close(p); /* in the middle of an event: it comes again */
		return;
	case 4:
		assert_non_null(strstr(head, "&resourceVersion=21 HTTP"));
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'f','resourceVersion':'22'}}}\n");
		return;
	}
}

static void test_watch_borders(void **state)
{
	struct world *w = *state;
	w->serve = serve_borders;
	watch_start(w);
	assert_true(run_until(w, &w->objects, 8, 10));
	assert_string_equal(w->log, "(a+b+c+)d+a-b+e+f+");
	assert_int_equal(w->requests, 5);
}

static void serve_expiring(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	switch (n) {
	case 0:
	case 2:
	case 4:
	case 6:
		return serve_list_then(p, head);
	case 1:
		return peer_answer(p, "410 Gone", "", "{'kind':'Status','code':410,'reason':'Expired','message':'too old'}");
	case 3:
		peer_stream(p);
		return peer_chunk(p, "{'type':'ERROR','object':{'kind':'Status','code':410,'reason':'Gone','message':'x'}}\n");
	case 5:
		peer_stream(p);
		return peer_chunk(p, "garbage\n");
	case 7:
		peer_stream(p);
		return peer_chunk(p, "{'type':'ERROR','object':{'kind':'Status','code':500,'message':'some trouble'}}\n");
	default:
		peer_stream(p);
		return peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'z','resourceVersion':'30'}}}\n");
	}
}

static void test_watch_expired(void **state)
{
	struct world *w = *state;
	w->serve = serve_expiring;
	watch_start(w);
	assert_true(run_until(w, &w->objects, 5, 10));
	/* 410 by status and by event: listed anew without a word; garbage too, but that is trouble; another error: no list */
	assert_string_equal(w->log, "(a+)(a+)(a+)!(a+*)!*z+");
	assert_string_equal(w->error, "");
	assert_int_equal(w->requests, 9);
}

static void serve_outage(struct world *w, struct peer *p, int n, const char *head)
{
	if (n == 0)
		return serve_list_then(p, head);
	if (n == 1) {
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'b','resourceVersion':'11'}}}\n");
		return;
	}
	if (n == 2) {
		w->mark = uv_now(&w->loop);
		return peer_answer(p, "429 Too Many Requests", "Retry-After: 1\r\n", "{'kind':'Status','message':'slow down'}");
	}
	assert_non_null(strstr(head, "&resourceVersion=11 HTTP"));
	assert_true(uv_now(&w->loop) - w->mark >= 900);
	peer_stream(p);
	peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'c','resourceVersion':'12'}}}\n");
}

static void test_watch_outage(void **state)
{
	struct world *w = *state;
	w->serve = serve_outage;
	watch_start(w);
	assert_true(run_until(w, &w->objects, 2, 10));
	server_close(w);
	assert_true(run_until(w, &w->troubles, 1, 10));
	int never = 0;
	run_until(w, &never, 1, 1);
	assert_int_equal(w->troubles, 1); /* told once, however often it was tried */
	server_open(w);
	assert_true(run_until(w, &w->objects, 3, 10));
	assert_string_equal(w->log, "(a+)b+!*c+"); /* no second list */
	assert_int_equal(w->requests, 4);
}

static void serve_silent(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	if (n == 0)
		return serve_list_then(p, head);
	peer_stream(p);
	peer_chunk(p, n == 1 ? "{'type':'ADDED','object':{'metadata':{'name':'b','resourceVersion':'11'}}}\n" : "\n");
}

static void test_watch_half_open(void **state)
{
	struct world *w = *state;
	w->serve = serve_silent;
	w->api->timing.watch_min_s = w->api->timing.watch_max_s = 0;
	w->api->timing.stall_margin_s = 1;
	watch_start(w);
	assert_true(run_until(w, &w->open_watches, 3, 20));
	assert_string_equal(w->log, "(a+)b+"); /* watched again, not listed, and not worth a word */
}

static void serve_quiet(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	switch (n) {
	case 0:
		return peer_answer(p, "503 Service Unavailable", "", "starting");
	case 1:
		return serve_list_then(p, head);
	case 2:
		return peer_answer(p, "504 Gateway Timeout", "",
		                   "{'kind':'Status','message':'Too large resource version: 10, current: 2'}");
	case 3:
		return serve_list_then(p, head);
	case 4:
		return peer_answer(p, "403 Forbidden", "", "{'kind':'Status','message':'no'}");
	default:
		peer_stream(p); /* accepted, but nothing ever happens */
	}
}

static void test_watch_recovers_in_silence(void **state)
{
	struct world *w = *state;
	w->serve = serve_quiet;
	w->api->timing.steady_ms = 100;
	watch_start(w);
	assert_true(run_until(w, &w->recoveries, 3, 10));
	assert_string_equal(w->log, "(!(a+*)!(a+*)!*");
	assert_int_equal(w->requests, 6);
}

static void on_object_close(json_t *object, bool removed, void *user)
{
	struct world *w = user;
	on_object(object, removed, user);
	if (w->objects < 2)
		return;
	api_watch_close(w->watch);
	w->watch = NULL;
}

static void serve_two_at_once(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	if (n == 0)
		return serve_list_then(p, head);
	peer_stream(p);
	peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'b','resourceVersion':'11'}}}\n"
	              "{'type':'ADDED','object':{'metadata':{'name':'c','resourceVersion':'12'}}}\n");
}

static void test_watch_closed_inside(void **state)
{
	struct world *w = *state;
	struct api_watch_callbacks closing = callbacks;
	int never = 0;
	closing.object = on_object_close;
	w->serve = serve_two_at_once;
	assert_int_equal(api_watch_start(w->api, "/things", "fieldSelector=a%3Db", &closing, w, &w->watch), 0);
	assert_true(run_until(w, &w->objects, 2, 10));
	run_until(w, &never, 1, 1);
	assert_string_equal(w->log, "(a+)b+");
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------------ */

static bool on_line(const char *text, size_t len, void *user)
{
	struct buf *b = user;
	buf_add(b, text, len);
	buf_puts(b, "|");
	return len != 4 || memcmp(text, "stop", 4) != 0;
}

static void test_lines(void **state)
{
	static const char text[] = "one\ntwo\r\n\n\r\nthree\nst\nstop\nnever\n";
	const size_t len = sizeof(text) - 1;
	(void)state;
	for (size_t i = 0; i <= len; i++)
		for (size_t k = i; k <= len; k++) {
			struct watch_lines l = {0};
			_cleanup_buf_ struct buf b = {0};
			int r = watch_lines_feed(&l, text, i, on_line, &b);
			if (r == 0)
				r = watch_lines_feed(&l, text + i, k - i, on_line, &b);
			if (r == 0)
				r = watch_lines_feed(&l, text + k, len - k, on_line, &b);
			assert_int_equal(r, 1);
			assert_string_equal(buf_text(&b), "one|two|three|st|stop|");
			watch_lines_reset(&l);
		}
	/* the limit holds for one line, however it arrives */
	struct watch_lines l = {0};
	_cleanup_buf_ struct buf b = {.limit = 8 << 20};
	_cleanup_free_ char *big = malloc(WATCH_LINE_MAX);
	memset(big, 'x', WATCH_LINE_MAX);
	assert_int_equal(watch_lines_feed(&l, big, WATCH_LINE_MAX, on_line, &b), 0);
	assert_int_equal(watch_lines_feed(&l, "\n", 1, on_line, &b), 0);
	assert_int_equal(b.len, WATCH_LINE_MAX + 1);
	assert_int_equal(watch_lines_feed(&l, big, WATCH_LINE_MAX, on_line, &b), 0);
	assert_int_equal(watch_lines_feed(&l, "x", 1, on_line, &b), -EMSGSIZE);
	watch_lines_reset(&l);
}

static void test_events(void **state)
{
	static const char *const bad[] = {"",
	                                  "{}",
	                                  "[]",
	                                  "{\"type\":\"ADDED\"}",
	                                  "{\"type\":\"ADDED\",\"object\":[]}",
	                                  "{\"type\":\"OTHER\",\"object\":{}}",
	                                  "{\"type\":\"ADDED\",\"object\":{}} x"};
	struct watch_event e;
	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_int_equal(watch_event_parse(bad[i], strlen(bad[i]), &e), -EBADMSG);
	static const char gone[] = "{\"type\":\"ERROR\",\"object\":{\"reason\":\"Expired\"}}";
	assert_int_equal(watch_event_parse(gone, strlen(gone), &e), 0);
	assert_true(e.expired);
	assert_string_equal(e.resource_version, "");
	watch_event_free(&e);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_request),
	    TEST(test_unauthorized),
	    TEST(test_timeout_cancel_close),
	    TEST(test_refused_and_unreadable),
	    TEST(test_discovery),
	    TEST(test_watch_borders),
	    TEST(test_watch_expired),
	    TEST(test_watch_outage),
	    TEST(test_watch_half_open),
	    TEST(test_watch_recovers_in_silence),
	    TEST(test_watch_closed_inside),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
