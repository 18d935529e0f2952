/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against our own server and against a raw TCP server that says whatever a test wants; the server against raw bytes. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "transport/http_client.h"
#include "transport/http_server.h"

enum { PATIENCE_MS = 10000, TICK_MS = 10 };

struct raw {
	uv_tcp_t listener, tcp;
	bool open, eof;
	int accepted;
	struct buf in;
	const char *answer; /* sent when a request head has come */
	bool hang_up;       /* and then close */
	char input[65536];
};

struct outcome {
	int done, result, chunks;
	long status, retry_after_s;
	char error[256], content_type[64], warning[128];
	struct buf body, data;
	struct http_request *cancel_in_data;
	struct http_client *close_in_data;
	struct fixture *again; /* start another from within done */
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t deadline;
	int ticks;
	bool late;
	struct http_server *server;
	struct http_client *client;
	struct raw raw;
	struct outcome outcomes[8];
	struct http_request *requests[8];
	struct error error;
	char url[128];
};

/* Ticks, because UV_RUN_ONCE waits for the next event even when a timer has just made the condition true. */
static void on_tick(uv_timer_t *t)
{
	struct fixture *f = t->data;
	f->late = ++f->ticks > PATIENCE_MS / TICK_MS;
}

#define run_until(f, condition)                                                                                                            \
	do {                                                                                                                               \
		(f)->late = false;                                                                                                         \
		(f)->ticks = 0;                                                                                                            \
		uv_timer_start(&(f)->deadline, on_tick, TICK_MS, TICK_MS);                                                                 \
		while (!(condition) && !(f)->late)                                                                                         \
			uv_run(&(f)->loop, UV_RUN_ONCE);                                                                                   \
		uv_timer_stop(&(f)->deadline);                                                                                             \
		assert_true(condition);                                                                                                    \
	} while (0)

/* ---- pages of our server ---- */

static int page_metrics(struct buf *body, const char **type, void *user)
{
	(void)user;
	*type = "text/plain; version=0.0.4";
	buf_puts(body, "dranet_up 1\n");
	return 200;
}

static int page_ready(struct buf *body, const char **type, void *user)
{
	(void)type;
	(void)user;
	buf_puts(body, "not yet\n");
	return 503;
}

static int page_large(struct buf *body, const char **type, void *user)
{
	(void)type;
	(void)user;
	for (int i = 0; i < 3 << 20; i++)
		buf_add(body, &(char){(char)('a' + i % 26)}, 1);
	return 200;
}

static int page_empty(struct buf *body, const char **type, void *user)
{
	(void)body;
	(void)type;
	(void)user;
	return 200;
}

static const struct http_page pages[] = {
    {"/metrics", page_metrics}, {"/readyz", page_ready}, {"/large", page_large}, {"/empty", page_empty}};

/* ---- the raw server ---- */

static void raw_written(uv_write_t *w, int status)
{
	(void)status;
	free(w);
}

static void raw_send(struct raw *r, const void *data, size_t len)
{
	uv_write_t *w = malloc(sizeof(*w) + len);
	assert_non_null(w);
	memcpy(w + 1, data, len);
	uv_buf_t b = uv_buf_init((char *)(w + 1), (unsigned)len);
	if (uv_write(w, (uv_stream_t *)&r->tcp, &b, 1, raw_written) < 0)
		free(w);
}

static void raw_say(struct raw *r, const char *text)
{
	raw_send(r, text, strlen(text));
}

static void raw_closed(uv_handle_t *h)
{
	struct raw *r = h->data;
	r->open = false;
}

static void raw_close(struct raw *r)
{
	if (r->open && !uv_is_closing((uv_handle_t *)&r->tcp))
		uv_close((uv_handle_t *)&r->tcp, raw_closed);
}

static void raw_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct raw *r = h->data;
	(void)suggested;
	*b = uv_buf_init(r->input, sizeof(r->input));
}

static void raw_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct raw *r = s->data;
	if (n < 0) {
		r->eof = true;
		raw_close(r);
		return;
	}
	buf_add(&r->in, b->base, (size_t)n);
	if (!strstr(buf_text(&r->in), "\r\n\r\n") || !r->answer)
		return;
	raw_say(r, r->answer);
	r->answer = NULL;
	if (r->hang_up)
		raw_close(r);
}

static void raw_accept(uv_stream_t *s, int status)
{
	struct raw *r = s->data;
	assert_int_equal(status, 0);
	assert_false(r->open);
	uv_tcp_init(s->loop, &r->tcp);
	r->tcp.data = r;
	assert_int_equal(uv_accept(s, (uv_stream_t *)&r->tcp), 0);
	r->open = true;
	r->accepted++;
	uv_read_start((uv_stream_t *)&r->tcp, raw_alloc, raw_read);
}

static unsigned listener_port(uv_tcp_t *l)
{
	struct sockaddr_in a;
	int len = sizeof(a);
	uv_tcp_getsockname(l, (struct sockaddr *)&a, &len);
	return ntohs(a.sin_port);
}

/* ---- requests ---- */

static struct http_request *start(struct fixture *f, int i, const struct http_request_options *o);

static void on_done(int result, const char *error, const struct http_response *response, const char *body, size_t len, void *user)
{
	struct outcome *o = user;
	o->done++;
	o->result = result;
	snprintf(o->error, sizeof(o->error), "%s", error ? error : "");
	assert_true((result < 0) == (error != NULL));
	o->status = response->status;
	o->retry_after_s = response->retry_after_s;
	snprintf(o->content_type, sizeof(o->content_type), "%s", response->content_type);
	snprintf(o->warning, sizeof(o->warning), "%s", response->warning);
	assert_int_equal(strlen(body), len);
	buf_add(&o->body, body, len);
	if (o->again)
		start(o->again, 7, &(struct http_request_options){.method = "GET", .url = o->again->url});
}

static void on_data(struct http_request *r, const void *data, size_t len, void *user)
{
	struct outcome *o = user;
	o->chunks++;
	buf_add(&o->data, data, len);
	if (o->cancel_in_data) {
		http_request_cancel(r);
		if (o->cancel_in_data != r)
			http_request_cancel(o->cancel_in_data);
		o->cancel_in_data = NULL;
	}
	if (o->close_in_data)
		http_client_close(o->close_in_data);
}

static struct http_request *start(struct fixture *f, int i, const struct http_request_options *options)
{
	struct http_request_options o = *options;
	o.done = on_done;
	o.user = &f->outcomes[i];
	assert_int_equal(http_client_start(f->client, &o, &f->requests[i], &f->error), 0);
	return f->requests[i];
}

static struct outcome *get(struct fixture *f, const char *path)
{
	memset(&f->outcomes[0], 0, sizeof(f->outcomes[0]));
	char url[128];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(f->server), path);
	start(f, 0, &(struct http_request_options){.method = "GET", .url = url});
	run_until(f, f->outcomes[0].done);
	return &f->outcomes[0];
}

static void outcome_clear(struct outcome *o)
{
	buf_free(&o->body);
	buf_free(&o->data);
	*o = (struct outcome){0};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->deadline);
	f->deadline.data = f;
	struct sockaddr_in a;
	uv_ip4_addr("127.0.0.1", 0, &a);
	uv_tcp_init(&f->loop, &f->raw.listener);
	f->raw.listener.data = &f->raw;
	assert_int_equal(uv_tcp_bind(&f->raw.listener, (struct sockaddr *)&a, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&f->raw.listener, 5, raw_accept), 0);
	snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%u/x?y=1", listener_port(&f->raw.listener));
	assert_int_equal(http_server_listen(&f->loop, "127.0.0.1:0", pages, ELEMENTS(pages), NULL, &f->server, &f->error), 0);
	assert_int_equal(http_client_new(&f->loop, &f->client), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	http_client_close(f->client);
	http_server_close(f->server);
	raw_close(&f->raw);
	uv_close((uv_handle_t *)&f->raw.listener, NULL);
	uv_close((uv_handle_t *)&f->deadline, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (size_t i = 0; i < ELEMENTS(f->outcomes); i++)
		outcome_clear(&f->outcomes[i]);
	buf_free(&f->raw.in);
	free(f);
	return 0;
}

/* ---- tests ---- */

static void test_pages(void **state)
{
	struct fixture *f = *state;
	struct outcome *o = get(f, "/metrics");
	assert_int_equal(o->result, 0);
	assert_int_equal(o->status, 200);
	assert_string_equal(o->content_type, "text/plain; version=0.0.4");
	assert_string_equal(buf_text(&o->body), "dranet_up 1\n");
	assert_int_equal(o->retry_after_s, -1);
	assert_string_equal(o->warning, "");
	outcome_clear(o);
	assert_int_equal(get(f, "/readyz")->status, 503);
	assert_string_equal(buf_text(&o->body), "not yet\n");
	outcome_clear(o);
	assert_int_equal(get(f, "/metrics?name=x")->status, 200);
	outcome_clear(o);
	assert_int_equal(get(f, "/empty")->status, 200);
	assert_int_equal(o->body.len, 0);
	outcome_clear(o);
	for (const char *const *path = (const char *const[]){"/", "/metric", "/metrics/", "/metricsx", "/readyz/../nothing", NULL}; *path;
	     path++) {
		assert_int_equal(get(f, *path)->status, 404);
		outcome_clear(o);
	}
	assert_int_equal(get(f, "/large")->status, 200);
	assert_int_equal(o->body.len, 3 << 20);
	assert_int_equal(o->body.data[(3 << 20) - 1], 'a' + ((3 << 20) - 1) % 26);
}

static void test_methods(void **state)
{
	struct fixture *f = *state;
	char url[128];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/metrics", http_server_port(f->server));
	start(f, 0, &(struct http_request_options){.method = "HEAD", .url = url});
	start(f, 1, &(struct http_request_options){.method = "POST", .url = url, .body = "x", .body_len = 1});
	start(f, 2, &(struct http_request_options){.method = "DELETE", .url = url});
	run_until(f, f->outcomes[0].done && f->outcomes[1].done && f->outcomes[2].done);
	assert_int_equal(f->outcomes[0].status, 200);
	assert_int_equal(f->outcomes[0].body.len, 0);
	assert_int_equal(f->outcomes[1].status, 405);
	assert_int_equal(f->outcomes[2].status, 405);
}

struct talk {
	uv_tcp_t tcp;
	uv_connect_t connect;
	struct buf in;
	const char *say;
	bool eof;
	char input[65536];
};

static void talk_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct talk *t = h->data;
	(void)suggested;
	*b = uv_buf_init(t->input, sizeof(t->input));
}

static void talk_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct talk *t = s->data;
	if (n < 0) {
		t->eof = true;
		uv_read_stop(s);
	} else {
		buf_add(&t->in, b->base, (size_t)n);
	}
}

static void talk_connected(uv_connect_t *c, int status)
{
	struct talk *t = c->data;
	assert_int_equal(status, 0);
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)t->say, (unsigned)strlen(t->say));
	assert_int_equal(uv_try_write((uv_stream_t *)&t->tcp, &b, 1), strlen(t->say));
	uv_read_start((uv_stream_t *)&t->tcp, talk_alloc, talk_read);
}

static struct talk *talk(struct fixture *f, const char *say)
{
	struct talk *t = calloc(1, sizeof(*t));
	struct sockaddr_in a;
	uv_ip4_addr("127.0.0.1", (int)http_server_port(f->server), &a);
	uv_tcp_init(&f->loop, &t->tcp);
	t->tcp.data = t->connect.data = t;
	t->say = say;
	assert_int_equal(uv_tcp_connect(&t->connect, &t->tcp, (struct sockaddr *)&a, talk_connected), 0);
	return t;
}

static void talk_end(struct fixture *f, struct talk *t)
{
	uv_close((uv_handle_t *)&t->tcp, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	buf_free(&t->in);
	free(t);
}

static void test_server_without_http2(void **state)
{
	struct fixture *f = *state;
	struct talk *preface = talk(f, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	struct talk *upgrade = talk(f, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
	                               "HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
	struct talk *rubbish = talk(f, "\1\2\3\4 nothing\r\n\r\n");
	run_until(f, preface->eof && rubbish->eof && strstr(buf_text(&upgrade->in), "dranet_up 1"));
	assert_null(strstr(buf_text(&preface->in), "200 OK"));
	assert_null(strstr(buf_text(&upgrade->in), "101 Switching"));
	talk_end(f, preface);
	talk_end(f, upgrade);
	talk_end(f, rubbish);
}

/* Idle keep-alive connections must not hold up the end of the server. */
static void test_server_close_with_clients(void **state)
{
	struct fixture *f = *state;
	struct talk *idle = talk(f, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), *half = talk(f, "GET /met");
	run_until(f, strstr(buf_text(&idle->in), "dranet_up 1"));
	http_server_close(f->server);
	f->server = NULL;
	run_until(f, idle->eof && half->eof);
	talk_end(f, idle);
	talk_end(f, half);
}

static void test_server_addresses(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"",       "9177",   "localhost:1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000",
	                                  "[::1:5", "::1:5x", "1.2.3:4"};
	struct http_server *s = NULL;
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_int_equal(http_server_listen(&f->loop, bad[i], pages, 1, NULL, &s, &f->error), -EINVAL);
	char used[32];
	snprintf(used, sizeof(used), "127.0.0.1:%u", http_server_port(f->server));
	assert_int_equal(http_server_listen(&f->loop, used, pages, 1, NULL, &s, &f->error), -EADDRINUSE);
	assert_non_null(strstr(f->error.text, used));
	assert_null(s);
	assert_int_equal(http_server_listen(&f->loop, ":0", pages, 1, NULL, &s, &f->error), 0);
	assert_true(http_server_port(s) > 0);
	http_server_close(s);
}

static void test_request_bytes(void **state)
{
	struct fixture *f = *state;
	f->raw.answer = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nWarning: 299 - \"old\"\r\nContent-Type: application/json\r\n"
			"Content-Length: 2\r\n\r\n{}";
	static const char *const headers[] = {"Authorization: Bearer abc", "Content-Type: application/apply-patch+yaml", NULL};
	start(f, 0, &(struct http_request_options){.method = "PATCH", .url = f->url, .headers = headers, .body = "a\0b", .body_len = 3});
	run_until(f, f->outcomes[0].done);
	struct outcome *o = &f->outcomes[0];
	assert_int_equal(o->result, 0);
	assert_int_equal(o->status, 429);
	assert_int_equal(o->retry_after_s, 7);
	assert_string_equal(o->warning, "299 - \"old\"");
	assert_string_equal(o->content_type, "application/json");
	assert_string_equal(buf_text(&o->body), "{}");
	const char *sent = buf_text(&f->raw.in);
	assert_non_null(strstr(sent, "PATCH /x?y=1 HTTP/1.1\r\n"));
	assert_non_null(strstr(sent, "\r\nAuthorization: Bearer abc\r\n"));
	assert_non_null(strstr(sent, "\r\nContent-Length: 3\r\n"));
	assert_non_null(strstr(sent, "\r\nUser-Agent: dranetd/"));
	assert_non_null(strstr(sent, "apply-patch+yaml\r\n"));
	assert_null(strstr(sent, "Expect:"));
	assert_null(strstr(sent, "www-form"));
	assert_memory_equal(f->raw.in.data + f->raw.in.len - 3, "a\0b", 3);
	buf_reset(&f->raw.in);
	f->raw.answer =
	    "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n";
	start(f, 1, &(struct http_request_options){.method = "POST", .url = f->url});
	run_until(f, f->outcomes[1].done);
	assert_int_equal(f->outcomes[1].status, 302); /* not followed */
	assert_int_equal(f->outcomes[1].retry_after_s, -1);
	assert_int_equal(f->raw.accepted, 1); /* one connection for both */
	assert_non_null(strstr(sent = buf_text(&f->raw.in), "POST /x?y=1"));
	assert_non_null(strstr(strstr(sent, "POST /x"), "Content-Length: 0\r\n"));
}

static void test_refused_options(void **state)
{
	struct fixture *f = *state;
	struct http_request *r = NULL;
	struct http_request_options o = {.method = "GET", .url = "no url at all", .done = on_done, .user = &f->outcomes[0]};
	assert_int_equal(http_client_start(f->client, &o, &r, &f->error), -EINVAL);
	o.url = f->url;
	o.headers = (const char *const[]){"X: a\r\nInjected: b", NULL};
	assert_int_equal(http_client_start(f->client, &o, &r, &f->error), -EINVAL);
	assert_null(r);
	o.headers = NULL;
	o.url = "ftp://127.0.0.1:1/";
	assert_int_equal(http_client_start(f->client, &o, &r, &f->error), 0);
	run_until(f, f->outcomes[0].done);
	assert_int_equal(f->outcomes[0].result, -EPROTO);
}

static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n";

static void test_streaming(void **state)
{
	struct fixture *f = *state;
	struct outcome *o = &f->outcomes[0];
	f->raw.answer = chunked;
	start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url, .data = on_data});
	run_until(f, f->raw.open && !f->raw.answer);
	raw_say(&f->raw, "5\r\nhello\r\n");
	run_until(f, o->data.len == 5);
	assert_int_equal(o->done, 0);
	raw_say(&f->raw, "6\r\n wor");
	raw_say(&f->raw, "ld\r\n0\r\n\r\n");
	run_until(f, o->done);
	assert_string_equal(buf_text(&o->data), "hello world");
	assert_int_equal(o->body.len, 0);
	assert_int_equal(o->status, 200);
	/* an error status is not streamed */
	f->raw.answer = "HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone";
	start(f, 1, &(struct http_request_options){.method = "GET", .url = f->url, .data = on_data});
	run_until(f, f->outcomes[1].done);
	assert_int_equal(f->outcomes[1].chunks, 0);
	assert_string_equal(buf_text(&f->outcomes[1].body), "gone");
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	/* before anything happened */
	http_request_cancel(start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url}));
	/* within data, with another one */
	f->raw.answer = chunked;
	start(f, 1, &(struct http_request_options){.method = "GET", .url = f->url, .data = on_data});
	run_until(f, f->raw.open && !f->raw.answer);
	char url[128];
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/large", http_server_port(f->server));
	f->outcomes[1].cancel_in_data = start(f, 2, &(struct http_request_options){.method = "GET", .url = url});
	raw_say(&f->raw, "5\r\nhello\r\n");
	run_until(f, f->outcomes[1].chunks == 1 && f->raw.eof);
	for (int i = 0; i < 3; i++)
		assert_int_equal(f->outcomes[i].done, 0);
	run_until(f, !f->raw.open);
	/* and the client goes on */
	assert_int_equal(get(f, "/metrics")->status, 200);
}

static void test_close_in_data(void **state)
{
	struct fixture *f = *state;
	f->raw.answer = chunked;
	f->outcomes[0].close_in_data = f->client;
	start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url, .data = on_data, .stall_ms = 60000});
	start(f, 1, &(struct http_request_options){.method = "GET", .url = "http://127.0.0.1:1/", .timeout_ms = 60000});
	run_until(f, f->raw.open && !f->raw.answer);
	raw_say(&f->raw, "5\r\nhello\r\n0\r\n\r\n");
	run_until(f, f->outcomes[0].chunks == 1);
	f->client = NULL;
	run_until(f, f->raw.eof);
	assert_int_equal(f->outcomes[0].done, 0);
}

static void test_start_in_done(void **state)
{
	struct fixture *f = *state;
	f->outcomes[0].again = f;
	f->raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
	start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url});
	run_until(f, f->outcomes[0].done);
	f->raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo";
	run_until(f, f->outcomes[7].done);
	assert_string_equal(buf_text(&f->outcomes[7].body), "two");
}

static void test_failures(void **state)
{
	struct fixture *f = *state;
	/* a port nobody listens at: bound, not listening */
	uv_tcp_t unheard;
	struct sockaddr_in a;
	char url[128];
	uv_ip4_addr("127.0.0.1", 0, &a);
	uv_tcp_init(&f->loop, &unheard);
	uv_tcp_bind(&unheard, (struct sockaddr *)&a, 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", listener_port(&unheard));
	start(f, 0, &(struct http_request_options){.method = "GET", .url = url});
	run_until(f, f->outcomes[0].done);
	assert_int_equal(f->outcomes[0].result, -ECONNREFUSED);
	uv_close((uv_handle_t *)&unheard, NULL);

	f->raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
	f->raw.hang_up = true;
	start(f, 1, &(struct http_request_options){.method = "GET", .url = f->url});
	run_until(f, f->outcomes[1].done && !f->raw.open);
	assert_int_equal(f->outcomes[1].result, -ECONNRESET);

	f->raw.answer = "220 this is no HTTP\r\n";
	start(f, 2, &(struct http_request_options){.method = "GET", .url = f->url});
	run_until(f, f->outcomes[2].done && !f->raw.open);
	assert_true(f->outcomes[2].result < 0);

	f->raw.answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
	start(f, 3, &(struct http_request_options){.method = "GET", .url = f->url, .max_body = 9});
	run_until(f, f->outcomes[3].done && !f->raw.open);
	assert_int_equal(f->outcomes[3].result, -EMSGSIZE);

	snprintf(url, sizeof(url), "https://127.0.0.1:%u/", http_server_port(f->server)); /* speaks no TLS */
	start(f, 4, &(struct http_request_options){.method = "GET", .url = url});
	run_until(f, f->outcomes[4].done);
	assert_int_equal(f->outcomes[4].result, -EPROTO);
	start(f, 5, &(struct http_request_options){.method = "GET", .url = url, .endpoint = &(struct http_endpoint){.ca_pem = "rubbish"}});
	run_until(f, f->outcomes[5].done);
	assert_int_equal(f->outcomes[5].result, -EPROTO);
}

static void test_timeouts(void **state)
{
	struct fixture *f = *state;
	start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url, .timeout_ms = 50});
	run_until(f, f->outcomes[0].done && !f->raw.open);
	assert_int_equal(f->outcomes[0].result, -ETIMEDOUT);
	/* silence in the middle of a stream */
	f->raw.answer = chunked;
	start(f, 1, &(struct http_request_options){.method = "GET", .url = f->url, .stall_ms = 60, .data = on_data});
	run_until(f, f->raw.open && !f->raw.answer);
	raw_say(&f->raw, "5\r\nhello\r\n");
	run_until(f, f->outcomes[1].done);
	assert_int_equal(f->outcomes[1].result, -ETIMEDOUT);
	assert_int_equal(f->outcomes[1].data.len, 5);
}

/* A socket that takes connections and never says anything; its URL. */
static int silent_socket(char url[64])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	snprintf(url, 64, "http://127.0.0.1:%u/", ntohs(at.sin_port));
	return fd;
}

/* A request that got nothing in its time tells on a stream that would wait for ever, unless something was heard meanwhile. */
static void test_silent_connections(void **state)
{
	struct fixture *f = *state;
	char silent[64];
	int fd = silent_socket(silent);
	f->raw.answer = chunked;
	start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url, .data = on_data});
	run_until(f, f->raw.open && !f->raw.answer);
	raw_say(&f->raw, "5\r\nhello\r\n");
	run_until(f, f->outcomes[0].data.len == 5);
	uint64_t heard = uv_now(&f->loop);
	run_until(f, uv_now(&f->loop) > heard);
	start(f, 1, &(struct http_request_options){.method = "GET", .url = silent, .timeout_ms = 80});
	run_until(f, f->outcomes[0].done && f->outcomes[1].done && !f->raw.open);
	assert_int_equal(f->outcomes[1].result, -ETIMEDOUT);
	assert_int_equal(f->outcomes[0].result, -ETIMEDOUT);

	f->raw.answer = chunked;
	start(f, 2, &(struct http_request_options){.method = "GET", .url = f->url, .data = on_data});
	run_until(f, f->raw.open && !f->raw.answer);
	start(f, 3, &(struct http_request_options){.method = "GET", .url = silent, .timeout_ms = 80});
	heard = uv_now(&f->loop);
	run_until(f, uv_now(&f->loop) > heard);
	raw_say(&f->raw, "5\r\nhello\r\n");
	run_until(f, f->outcomes[3].done);
	heard = uv_now(&f->loop);
	run_until(f, uv_now(&f->loop) > heard + 2);
	assert_int_equal(f->outcomes[2].done, 0);
	http_request_stall(f->requests[2], 60);
	run_until(f, f->outcomes[2].done);
	assert_int_equal(f->outcomes[2].result, -ETIMEDOUT);
	close(fd);
}

static void test_forget_connections(void **state)
{
	struct fixture *f = *state;
	static const char one[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none";
	f->raw.answer = one;
	start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url});
	run_until(f, f->outcomes[0].done);
	http_client_forget_connections(f->client);
	run_until(f, f->raw.eof && !f->raw.open);
	f->raw.answer = chunked;
	start(f, 1, &(struct http_request_options){.method = "GET", .url = f->url, .data = on_data});
	run_until(f, f->raw.open && !f->raw.answer);
	assert_int_equal(f->raw.accepted, 2);
	/* what is open goes on, and ends with its request */
	f->raw.eof = false;
	http_client_forget_connections(f->client);
	raw_say(&f->raw, "5\r\nhello\r\n0\r\n\r\n");
	run_until(f, f->outcomes[1].done && f->raw.eof);
	assert_int_equal(f->outcomes[1].result, 0);
	assert_string_equal(buf_text(&f->outcomes[1].data), "hello");
}

static void test_server_name_and_environment(void **state)
{
	struct fixture *f = *state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	const struct http_endpoint named = {.server_name = "kubernetes.default.svc"};
	f->raw.answer = "HTTP/1.1 204 No Content\r\n\r\n";
	start(f, 0, &(struct http_request_options){.method = "GET", .url = f->url, .endpoint = &named});
	run_until(f, f->outcomes[0].done);
	unsetenv("http_proxy");
	assert_int_equal(f->outcomes[0].status, 204);
	char host[64];
	snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", listener_port(&f->raw.listener));
	assert_non_null(strstr(buf_text(&f->raw.in), host));
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
#define WITH_BOTH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	    WITH_BOTH(test_pages),
	    WITH_BOTH(test_methods),
	    WITH_BOTH(test_server_without_http2),
	    WITH_BOTH(test_server_close_with_clients),
	    WITH_BOTH(test_server_addresses),
	    WITH_BOTH(test_request_bytes),
	    WITH_BOTH(test_refused_options),
	    WITH_BOTH(test_streaming),
	    WITH_BOTH(test_cancel),
	    WITH_BOTH(test_close_in_data),
	    WITH_BOTH(test_start_in_done),
	    WITH_BOTH(test_failures),
	    WITH_BOTH(test_timeouts),
	    WITH_BOTH(test_silent_connections),
	    WITH_BOTH(test_forget_connections),
	    WITH_BOTH(test_server_name_and_environment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
