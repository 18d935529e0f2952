/* SPDX-License-Identifier: Apache-2.0 */
/* The gRPC server against nghttp2's client side, over a unix socket and in one loop. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "transport/grpc_internal.h"

enum { MAX_STREAMS = 256, PATIENCE_MS = 10000, TICK_MS = 10 };

/* ---- the server's handlers ---- */

struct held {
	struct grpc_call *calls[MAX_STREAMS];
	int n, gone;
	int send_result;
};

static void handle_echo(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	(void)user;
	grpc_call_reply(c, message, len);
}

static void handle_fail(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	(void)message;
	(void)len;
	(void)user;
	grpc_call_fail(c, GRPC_FAILED_PRECONDITION, "100% \xc3\xa4\n");
}

static void on_gone(struct grpc_call *c, void *user)
{
	struct held *h = user;
	(void)c;
	h->gone++;
}

static void handle_hold(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	struct held *h = user;
	(void)message;
	(void)len;
	grpc_call_on_gone(c, on_gone, h);
	h->calls[h->n++] = c;
}

static void handle_finish_when_gone(struct grpc_call *c, void *user)
{
	on_gone(c, user);
	grpc_call_fail(c, GRPC_CANCELLED, "gone");
}

static void handle_until_gone(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	(void)message;
	(void)len;
	grpc_call_on_gone(c, handle_finish_when_gone, user);
}

/* As many messages as the first byte says, then the end. */
static void handle_stream(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	(void)user;
	assert_true(len > 0);
	grpc_call_begin(c);
	for (uint8_t i = 0; i < message[0]; i++)
		assert_int_equal(grpc_call_send(c, &i, 1), 0);
	grpc_call_end(c);
}

/* Sends 1 MiB messages until the server says that enough wait. */
static void handle_flood(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	struct held *h = user;
	static uint8_t large[1 << 20];
	(void)message;
	(void)len;
	int sent = 0;
	do
		h->send_result = grpc_call_send(c, large, sizeof(large));
	while (h->send_result == 0 && ++sent < 100);
	grpc_call_on_gone(c, on_gone, h);
	h->calls[h->n++] = c;
}

static const struct grpc_method methods[] = {
    {"/t.T/Echo", handle_echo},
    {"/t.T/Fail", handle_fail},
    {"/t.T/Hold", handle_hold},
    {"/t.T/Stream", handle_stream},
    {"/t.T/UntilGone", handle_until_gone},
    {"/t.T/Flood", handle_flood},
};

/* ---- a client ---- */

struct answer {
	int32_t id;
	char http[8], status[8], message[256], type[64];
	int header_blocks, pushed;
	struct buf body;
	const uint8_t *request;
	size_t request_len, request_at;
	bool keep_open, closed;
	uint32_t close_code;
};

struct client {
	uv_pipe_t pipe;
	uv_connect_t connect;
	nghttp2_session *h2;
	struct answer answers[MAX_STREAMS];
	int n;
	bool connected, eof, goaway;
	uint32_t goaway_code;
	uint8_t input[65536];
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t deadline;
	int ticks;
	bool late;
	char dir[64], path[96];
	struct grpc_server *server;
	struct held held;
	struct client client;
	char big[20000];
};

static struct answer *answer_of(struct client *c, int32_t id)
{
	for (int i = 0; i < c->n; i++)
		if (c->answers[i].id == id)
			return &c->answers[i];
	return NULL;
}

static int cl_header(nghttp2_session *h2, const nghttp2_frame *f, const uint8_t *name, size_t nl, const uint8_t *value, size_t vl,
                     uint8_t flags, void *user)
{
	(void)h2;
	(void)flags;
	(void)nl;
	struct answer *a = answer_of(user, f->hd.stream_id);
	static const struct {
		const char *name;
		size_t at, size;
	} wanted[] = {{":status", offsetof(struct answer, http), 8},
	              {"grpc-status", offsetof(struct answer, status), 8},
	              {"grpc-message", offsetof(struct answer, message), 256},
	              {"content-type", offsetof(struct answer, type), 64}};
	for (size_t i = 0; a && i < ELEMENTS(wanted); i++)
		if (strcmp((const char *)name, wanted[i].name) == 0)
			snprintf((char *)a + wanted[i].at, wanted[i].size, "%.*s", (int)vl, (const char *)value);
	return 0;
}

static int cl_frame(nghttp2_session *h2, const nghttp2_frame *f, void *user)
{
	(void)h2;
	struct client *c = user;
	struct answer *a = answer_of(c, f->hd.stream_id);
	if (a && f->hd.type == NGHTTP2_HEADERS)
		a->header_blocks++;
	if (f->hd.type == NGHTTP2_GOAWAY) {
		c->goaway = true;
		c->goaway_code = f->goaway.error_code;
	}
	return 0;
}

static int cl_chunk(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *data, size_t len, void *user)
{
	(void)h2;
	(void)flags;
	struct answer *a = answer_of(user, id);
	if (a)
		buf_add(&a->body, data, len);
	return 0;
}

static int cl_close(nghttp2_session *h2, int32_t id, uint32_t code, void *user)
{
	(void)h2;
	struct answer *a = answer_of(user, id);
	if (a) {
		a->closed = true;
		a->close_code = code;
	}
	return 0;
}

static ssize_t cl_body(nghttp2_session *h2, int32_t id, uint8_t *to, size_t size, uint32_t *flags, nghttp2_data_source *source, void *user)
{
	(void)h2;
	(void)id;
	(void)user;
	struct answer *a = source->ptr;
	size_t part = a->request_len - a->request_at;
	part = part < size ? part : size;
	if (!part && a->keep_open)
		return NGHTTP2_ERR_DEFERRED;
	memcpy(to, a->request + a->request_at, part);
	a->request_at += part;
	if (a->request_at == a->request_len && !a->keep_open)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)part;
}

static void cl_write_done(uv_write_t *w, int status)
{
	(void)status;
	free(w);
}

static void cl_send_raw(struct client *c, const void *data, size_t len)
{
	uv_write_t *w = malloc(sizeof(*w) + len);
	assert_non_null(w);
	memcpy(w + 1, data, len);
	uv_buf_t b = uv_buf_init((char *)(w + 1), (unsigned)len);
	if (uv_write(w, (uv_stream_t *)&c->pipe, &b, 1, cl_write_done) < 0)
		free(w);
}

static void cl_flush(struct client *c)
{
	const uint8_t *data;
	ssize_t n;
	while (c->h2 && !c->eof && (n = nghttp2_session_mem_send(c->h2, &data)) > 0)
		cl_send_raw(c, data, (size_t)n);
}

static void cl_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct client *c = h->data;
	(void)suggested;
	*b = uv_buf_init((char *)c->input, sizeof(c->input));
}

static void cl_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct client *c = s->data;
	if (n < 0) {
		c->eof = true;
		uv_read_stop(s);
	} else if (c->h2 && n > 0) {
		assert_int_equal(nghttp2_session_mem_recv(c->h2, (const uint8_t *)b->base, (size_t)n), n);
		cl_flush(c);
	}
}

static void cl_connected(uv_connect_t *r, int status)
{
	struct client *c = r->data;
	if (status < 0) {
		c->eof = true;
		return;
	}
	c->connected = true;
	uv_read_start((uv_stream_t *)&c->pipe, cl_alloc, cl_read);
	cl_flush(c);
}

static void client_open(struct fixture *f, struct client *c, bool http2, bool small_window)
{
	uv_pipe_init(&f->loop, &c->pipe, 0);
	c->pipe.data = c;
	c->connect.data = c;
	if (http2) {
		nghttp2_session_callbacks *cb;
		nghttp2_option *o;
		nghttp2_session_callbacks_new(&cb);
		nghttp2_session_callbacks_set_on_header_callback(cb, cl_header);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, cl_frame);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, cl_chunk);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, cl_close);
		nghttp2_option_new(&o);
		nghttp2_option_set_no_auto_window_update(o, small_window);
		nghttp2_option_set_no_http_messaging(o, 1);
		assert_int_equal(nghttp2_session_client_new2(&c->h2, cb, c, o), 0);
		nghttp2_session_callbacks_del(cb);
		nghttp2_option_del(o);
		nghttp2_submit_settings(c->h2, 0, NULL, 0);
	}
	uv_pipe_connect(&c->connect, &c->pipe, f->path, cl_connected);
}

static void client_close(struct client *c)
{
	uv_close((uv_handle_t *)&c->pipe, NULL);
	nghttp2_session_del(c->h2);
	c->h2 = NULL;
	for (int i = 0; i < c->n; i++)
		buf_free(&c->answers[i].body);
}

#define NV(n, v)                                                                                                                           \
	{                                                                                                                                  \
		(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE                           \
	}

static struct answer *call_with(struct client *c, const nghttp2_nv *nv, size_t n, const void *body, size_t len, bool keep_open)
{
	struct answer *a = &c->answers[c->n++];
	*a = (struct answer){.request = body, .request_len = len, .keep_open = keep_open};
	nghttp2_data_provider provider = {.source.ptr = a, .read_callback = cl_body};
	a->id = nghttp2_submit_request(c->h2, NULL, nv, n, body ? &provider : NULL, NULL);
	assert_true(a->id > 0);
	if (c->connected)
		cl_flush(c);
	return a;
}

static struct answer *call(struct client *c, const char *path, const char *extra_name, const char *extra_value, const void *body,
                           size_t len)
{
	const nghttp2_nv nv[] = {NV(":method", "POST"),
	                         NV(":scheme", "http"),
	                         NV(":path", path),
	                         NV(":authority", "/var/lib/kubelet/plugins/dra.net/dra.sock"),
	                         NV("content-type", "application/grpc"),
	                         NV("te", "trailers"),
	                         NV(extra_name ? extra_name : "user-agent", extra_value ? extra_value : "test")};
	return call_with(c, nv, ELEMENTS(nv), body, len, false);
}

static const uint8_t empty_message[5];
static const uint8_t hello[] = {0, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'};

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

static void fixture_listen(struct fixture *f, unsigned max_connections)
{
	const struct grpc_server_options o = {.methods = methods,
	                                      .n_methods = ELEMENTS(methods),
	                                      .user = &f->held,
	                                      .max_connections = max_connections,
	                                      .max_message = 4 << 20};
	struct error e;
	assert_int_equal(grpc_server_listen(&f->loop, f->path, &o, &f->server, &e), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->deadline);
	f->deadline.data = f;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test-grpc-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/grpc.sock", f->dir);
	fixture_listen(f, 0);
	client_open(f, &f->client, true, false);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	if (f->server)
		grpc_server_close(f->server);
	client_close(&f->client);
	uv_close((uv_handle_t *)&f->deadline, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* ---- tests ---- */

static void test_timeout_values(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int result;
		uint64_t ms;
	} cases[] = {{"1H", 0, 3600000},         {"2M", 0, 120000},   {"3S", 0, 3000},    {"4m", 0, 4},
	             {"44999123u", 0, 45000},    {"1n", 0, 1},        {"0S", 0, 0},       {"99999999H", 0, 359999996400000},
	             {"", -EINVAL, 0},           {"S", -EINVAL, 0},   {"5", -EINVAL, 0},  {"5x", -EINVAL, 0},
	             {"123456789S", -EINVAL, 0}, {"-1S", -EINVAL, 0}, {"1 S", -EINVAL, 0}};
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		uint64_t ms = 0;
		assert_int_equal(grpc_timeout_parse(cases[i].text, strlen(cases[i].text), &ms), cases[i].result);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void test_deframer_split(void **state)
{
	(void)state;
	for (size_t cut = 0; cut <= sizeof(hello); cut++) {
		struct grpc_deframer d = {.max = 5};
		assert_int_equal(grpc_deframer_feed(&d, hello, cut).code, GRPC_OK);
		assert_int_equal(grpc_deframer_end(&d).code, cut == 0               ? GRPC_UNIMPLEMENTED
		                                             : cut == sizeof(hello) ? GRPC_OK
		                                                                    : GRPC_INTERNAL);
		assert_int_equal(grpc_deframer_feed(&d, hello + cut, sizeof(hello) - cut).code, GRPC_OK);
		assert_int_equal(grpc_deframer_end(&d).code, GRPC_OK);
		assert_memory_equal(d.message.data, "hello", 5);
		buf_free(&d.message);
	}
}

static void test_unary(void **state)
{
	struct fixture *f = *state;
	static uint8_t large[5 + (1 << 20)];
	large[2] = 0x10;
	large[sizeof(large) - 1] = 77;
	struct answer *a = call(&f->client, "/t.T/Echo", NULL, NULL, hello, sizeof(hello));
	struct answer *b = call(&f->client, "/t.T/Echo", NULL, NULL, empty_message, 5);
	struct answer *c = call(&f->client, "/t.T/Echo", "grpc-timeout", "5S", large, sizeof(large));
	run_until(f, a->closed && b->closed && c->closed);
	assert_string_equal(a->http, "200");
	assert_string_equal(a->type, "application/grpc");
	assert_string_equal(a->status, "0");
	assert_string_equal(a->message, "");
	assert_int_equal(a->header_blocks, 2);
	assert_int_equal(a->body.len, sizeof(hello));
	assert_memory_equal(a->body.data, hello, sizeof(hello));
	assert_int_equal(b->body.len, 5);
	assert_string_equal(b->status, "0");
	assert_int_equal(c->body.len, sizeof(large));
	assert_memory_equal(c->body.data, large, sizeof(large));
}

static void test_failure(void **state)
{
	struct fixture *f = *state;
	struct answer *a = call(&f->client, "/t.T/Fail", NULL, NULL, empty_message, 5);
	struct answer *b = call(&f->client, "/t.T/Nothing", NULL, NULL, empty_message, 5);
	run_until(f, a->closed && b->closed);
	assert_string_equal(a->http, "200");
	assert_string_equal(a->status, "9");
	assert_string_equal(a->message, "100%25 %C3%A4%0A");
	assert_int_equal(a->header_blocks, 1);
	assert_int_equal(a->body.len, 0);
	assert_string_equal(b->status, "12");
	assert_string_equal(b->message, "unknown method /t.T/Nothing");
}

static void test_refused_requests(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *method, *type, *name, *value, *http, *status;
		uint32_t code; /* of RST_STREAM */
	} cases[] = {
	    {"GET", "application/grpc", "te", "trailers", "405", "13", NGHTTP2_NO_ERROR},
	    {"POST", "application/json", "te", "trailers", "415", "3", NGHTTP2_NO_ERROR},
	    {"POST", "application/grpcx", "te", "trailers", "415", "3", NGHTTP2_NO_ERROR},
	    {"POST", "application/grpc+proto", "grpc-encoding", "gzip", "200", "12", NGHTTP2_NO_ERROR},
	    {"POST", "application/grpc;a=b", "grpc-encoding", "identity", "200", "0", NGHTTP2_NO_ERROR},
	    {"POST", "application/grpc", "grpc-timeout", "soon", "200", "13", NGHTTP2_NO_ERROR},
	    {"POST", "application/grpc", "te", "gzip", "", "", NGHTTP2_PROTOCOL_ERROR},
	    {"POST", "application/grpc", "connection", "close", "", "", NGHTTP2_PROTOCOL_ERROR},
	    {"POST", "application/grpc", ":path", "/late", "", "", NGHTTP2_PROTOCOL_ERROR},
	    {"POST", "application/grpc", "a b", "c", "", "", NGHTTP2_PROTOCOL_ERROR},
	    {"POST", "application/grpc", "x", "a\nb", "", "", NGHTTP2_PROTOCOL_ERROR},
	};
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		const nghttp2_nv nv[] = {NV(":method", cases[i].method), NV(":scheme", "http"), NV(":path", "/t.T/Echo"),
		                         NV("content-type", cases[i].type), NV(cases[i].name, cases[i].value)};
		struct answer *a = call_with(&f->client, nv, ELEMENTS(nv), hello, sizeof(hello), false);
		run_until(f, a->closed);
		assert_string_equal(a->http, cases[i].http);
		assert_string_equal(a->status, cases[i].status);
		assert_int_equal(a->close_code, cases[i].code);
	}
	memset(f->big, 'x', sizeof(f->big) - 1);
	struct answer *a = call(&f->client, "/t.T/Echo", "x-big", f->big, hello, sizeof(hello));
	run_until(f, a->closed);
	assert_string_equal(a->status, "8");
}

static void test_refused_bodies(void **state)
{
	struct fixture *f = *state;
	static const uint8_t compressed[] = {1, 0, 0, 0, 1, 9}, too_large[] = {0, 0, 0x40, 0, 1, 9}, cut[] = {0, 0, 0, 0, 2, 9},
			     twice[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
	const struct {
		const uint8_t *body;
		size_t len;
		const char *status;
	} cases[] = {{compressed, sizeof(compressed), "13"},
	             {too_large, sizeof(too_large), "8"},
	             {cut, sizeof(cut), "13"},
	             {twice, sizeof(twice), "12"},
	             {hello, 0, "12"},
	             {NULL, 0, "12"}};
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct answer *a = call(&f->client, "/t.T/Echo", NULL, NULL, cases[i].body, cases[i].len);
		run_until(f, a->closed);
		assert_string_equal(a->status, cases[i].status);
	}
	/* The client is still sending when the refusal goes out: it is told to stop. */
	const nghttp2_nv nv[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/t.T/No"),
	                         NV("content-type", "application/grpc")};
	struct answer *a = call_with(&f->client, nv, ELEMENTS(nv), hello, sizeof(hello), true);
	run_until(f, a->closed);
	assert_string_equal(a->status, "12");
	assert_int_equal(a->close_code, NGHTTP2_NO_ERROR);
}

static void test_concurrent(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 200; i++)
		call(&f->client, "/t.T/Hold", "grpc-timeout", "1M", hello, sizeof(hello));
	run_until(f, f->held.n == 200);
	for (int i = 199; i >= 0; i--)
		grpc_call_reply(f->held.calls[i], (const uint8_t *)"ok", 2);
	int done = 0;
	run_until(f, ({
			  done = 0;
			  for (int i = 0; i < 200; i++)
				  done += f->client.answers[i].closed;
			  done == 200;
		  }));
	for (int i = 0; i < 200; i++) {
		assert_string_equal(f->client.answers[i].status, "0");
		assert_int_equal(f->client.answers[i].body.len, 7);
	}
	assert_int_equal(f->held.gone, 0);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct answer *a = call(&f->client, "/t.T/Hold", "grpc-timeout", "50m", hello, sizeof(hello));
	struct answer *b = call(&f->client, "/t.T/UntilGone", "grpc-timeout", "20m", hello, sizeof(hello));
	struct answer *c = call(&f->client, "/t.T/Hold", NULL, NULL, hello, sizeof(hello));
	run_until(f, a->closed && b->closed && f->held.n == 2);
	assert_string_equal(a->status, "4");
	assert_string_equal(a->http, "200");
	assert_string_equal(b->status, "4");
	assert_int_equal(f->held.gone, 2);
	assert_false(c->closed);
	for (int i = 0; i < 2; i++) {
		bool limited = grpc_call_deadline(f->held.calls[i]) != UINT64_MAX;
		grpc_call_reply(f->held.calls[i], hello, sizeof(hello));
		if (limited)
			continue;
		run_until(f, c->closed);
		assert_string_equal(c->status, "0");
	}
	assert_int_equal(a->body.len, 0);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct answer *a = call(&f->client, "/t.T/Hold", NULL, NULL, hello, sizeof(hello));
	run_until(f, f->held.n == 1);
	nghttp2_submit_rst_stream(f->client.h2, 0, a->id, NGHTTP2_CANCEL);
	cl_flush(&f->client);
	run_until(f, f->held.gone == 1);
	assert_int_equal(grpc_call_send(f->held.calls[0], hello, 1), -EPIPE);
	/* Whoever asks late is told at once. */
	grpc_call_on_gone(f->held.calls[0], on_gone, &f->held);
	assert_int_equal(f->held.gone, 2);
	grpc_call_reply(f->held.calls[0], hello, sizeof(hello));
	struct answer *b = call(&f->client, "/t.T/Echo", NULL, NULL, hello, sizeof(hello));
	run_until(f, b->closed);
	assert_string_equal(b->status, "0");
}

static void test_client_leaves(void **state)
{
	struct fixture *f = *state;
	struct client *other = calloc(1, sizeof(*other));
	client_open(f, other, true, false);
	call(other, "/t.T/Hold", NULL, NULL, hello, sizeof(hello));
	call(other, "/t.T/UntilGone", NULL, NULL, hello, sizeof(hello));
	run_until(f, f->held.n == 1);
	client_close(other);
	run_until(f, f->held.gone == 2);
	grpc_call_fail(f->held.calls[0], GRPC_INTERNAL, "too late");
	uv_run(&f->loop, UV_RUN_NOWAIT);
	free(other);
}

static void test_stream(void **state)
{
	struct fixture *f = *state;
	static const uint8_t three[] = {0, 0, 0, 0, 1, 3}, none[] = {0, 0, 0, 0, 1, 0};
	struct answer *a = call(&f->client, "/t.T/Stream", NULL, NULL, three, sizeof(three));
	struct answer *b = call(&f->client, "/t.T/Stream", NULL, NULL, none, sizeof(none));
	struct answer *c = call(&f->client, "/t.T/Hold", NULL, NULL, none, sizeof(none));
	run_until(f, a->closed && b->closed && f->held.n == 1);
	assert_string_equal(a->status, "0");
	assert_int_equal(a->body.len, 18);
	assert_memory_equal(a->body.data, "\0\0\0\0\1\0\0\0\0\0\1\1\0\0\0\0\1\2", 18);
	assert_string_equal(b->status, "0");
	assert_int_equal(b->header_blocks, 2);
	/* Headers come before the first message, so that the client sees an open stream. */
	grpc_call_begin(f->held.calls[0]);
	run_until(f, c->header_blocks == 1);
	assert_string_equal(c->http, "200");
	assert_int_equal(grpc_call_send(f->held.calls[0], hello, 5), 0);
	run_until(f, c->body.len == 10);
	grpc_call_fail(f->held.calls[0], GRPC_ABORTED, "enough");
	run_until(f, c->closed);
	assert_string_equal(c->status, "10");
	assert_string_equal(c->message, "enough");
}

static void test_slow_client(void **state)
{
	struct fixture *f = *state;
	struct client *slow = calloc(1, sizeof(*slow));
	client_open(f, slow, true, true);
	struct answer *a = call(slow, "/t.T/Flood", NULL, NULL, hello, sizeof(hello));
	run_until(f, f->held.n == 1);
	assert_int_equal(f->held.send_result, -ENOBUFS);
	/* The window of 65535 bytes is all that is sent until the client gives credit. */
	run_until(f, a->body.len == 65535);
	grpc_call_end(f->held.calls[0]);
	nghttp2_session_set_local_window_size(slow->h2, 0, 0, 16 << 20);
	nghttp2_session_set_local_window_size(slow->h2, 0, a->id, 16 << 20);
	cl_flush(slow);
	run_until(f, a->closed);
	assert_int_equal(a->body.len, 7 * ((1 << 20) + 5));
	assert_string_equal(a->status, "0");
	client_close(slow);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	free(slow);
}

static struct client *raw_client(struct fixture *f)
{
	struct client *raw = calloc(1, sizeof(*raw));
	client_open(f, raw, false, false);
	run_until(f, raw->connected || raw->eof);
	return raw;
}

static void raw_close(struct fixture *f, struct client *raw)
{
	client_close(raw);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	free(raw);
}

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

static void test_bad_preface(void **state)
{
	struct fixture *f = *state;
	struct client *raw = raw_client(f);
	cl_send_raw(raw, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
	run_until(f, raw->eof);
	raw_close(f, raw);
}

/* As the C core sends it: RST_STREAM for a stream whose HEADERS it never wrote, in the middle of others, cut anywhere. */
static void test_reset_of_idle_stream(void **state)
{
	struct fixture *f = *state;
	for (size_t cut = 0; cut < 13; cut++) {
		struct answer *a = call(&f->client, "/t.T/Echo", NULL, NULL, hello, sizeof(hello));
		run_until(f, a->closed);
		uint8_t frame[13] = {0, 0, 4, 3, 0, 0, 0, 0x10, 0x01, 0, 0, 0, 8};
		cl_send_raw(&f->client, (char *)frame, cut);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		cl_send_raw(&f->client, (char *)frame + cut, sizeof(frame) - cut);
	}
	struct answer *b = call(&f->client, "/t.T/Echo", NULL, NULL, hello, sizeof(hello));
	run_until(f, b->closed);
	assert_string_equal(b->status, "0");
	assert_false(f->client.eof);
}

static void test_idle_reset_flood(void **state)
{
	struct fixture *f = *state;
	static const uint8_t frame[13] = {0, 0, 4, 3, 0, 0, 0, 0x10, 0x01, 0, 0, 0, 8};
	run_until(f, f->client.connected);
	for (int i = 0; i < 20 * GRPC_MAX_CONTROL_FRAMES && !f->client.eof; i++) {
		cl_send_raw(&f->client, (const char *)frame, sizeof(frame));
		if (i % 100 == 0)
			uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	run_until(f, f->client.eof);
}

static void test_continuation_flood(void **state)
{
	struct fixture *f = *state;
	struct client *raw = raw_client(f);
	cl_send_raw(raw, preface, sizeof(preface) - 1);
	cl_send_raw(raw, "\0\0\0\1\0\0\0\0\1", 9); /* HEADERS without END_HEADERS */
	for (int i = 0; i < 64; i++)
		cl_send_raw(raw, "\0\0\0\11\0\0\0\0\1", 9);
	run_until(f, raw->eof);
	raw_close(f, raw);
}

static void test_ping_flood(void **state)
{
	struct fixture *f = *state;
	run_until(f, f->client.connected);
	/* In small portions: more at once than the server has room for answers would end the connection without a GOAWAY. */
	for (int i = 0; i < 5 * GRPC_MAX_CONTROL_FRAMES && !f->client.eof; i++) {
		nghttp2_submit_ping(f->client.h2, 0, NULL);
		cl_flush(&f->client);
		if (i % 50 == 0)
			uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	run_until(f, f->client.eof);
	assert_true(f->client.goaway);
	assert_int_equal(f->client.goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void test_reset_flood(void **state)
{
	struct fixture *f = *state;
	run_until(f, f->client.connected);
	struct client *c = &f->client;
	for (int i = 0; i < 2000 && !c->eof; i++) {
		c->n = 0;
		struct answer *a = call(c, "/t.T/UntilGone", NULL, NULL, hello, sizeof(hello));
		nghttp2_submit_rst_stream(c->h2, 0, a->id, NGHTTP2_CANCEL);
		cl_flush(c);
	}
	run_until(f, c->eof);
}

static void test_connection_limit(void **state)
{
	struct fixture *f = *state;
	grpc_server_close(f->server);
	run_until(f, f->client.eof);
	fixture_listen(f, 2);
	struct client *a = raw_client(f), *b = raw_client(f), *c = raw_client(f);
	run_until(f, c->eof);
	assert_false(a->eof);
	assert_false(b->eof);
	raw_close(f, a);
	raw_close(f, b);
	raw_close(f, c);
}

static void test_shutdown(void **state)
{
	struct fixture *f = *state;
	struct answer *a = call(&f->client, "/t.T/Hold", NULL, NULL, hello, sizeof(hello));
	struct answer *b = call(&f->client, "/t.T/Hold", NULL, NULL, hello, sizeof(hello));
	run_until(f, f->held.n == 2);
	grpc_call_begin(f->held.calls[1]);
	struct stat st;
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	grpc_server_close(f->server);
	f->server = NULL;
	assert_int_equal(stat(f->path, &st), -1);
	run_until(f, f->client.eof);
	assert_string_equal(a->status, "14");
	assert_string_equal(b->status, "14");
	assert_true(f->client.goaway);
	assert_int_equal(f->client.goaway_code, NGHTTP2_NO_ERROR);
	assert_int_equal(f->held.gone, 2);
	grpc_call_reply(f->held.calls[0], hello, sizeof(hello));
	grpc_call_end(f->held.calls[1]);
}

static void test_socket_file(void **state)
{
	struct fixture *f = *state;
	struct grpc_server *first = f->server;
	fixture_listen(f, 0); /* over the first one's socket, as a second instance would */
	grpc_server_close(first);
	assert_int_equal(access(f->path, F_OK), 0);
	grpc_server_close(f->server);
	f->server = NULL;
	assert_int_equal(access(f->path, F_OK), -1);

	struct grpc_server *s = NULL;
	const struct grpc_server_options o = {.methods = methods, .n_methods = ELEMENTS(methods)};
	struct error e;
	char path[200];
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(grpc_server_listen(&f->loop, path, &o, &s, &e), -ENAMETOOLONG);
	assert_int_equal(grpc_server_listen(&f->loop, f->dir, &o, &s, &e), -EEXIST);
	assert_non_null(strstr(e.text, f->dir));
	snprintf(path, sizeof(path), "%s/missing/x.sock", f->dir);
	assert_int_equal(grpc_server_listen(&f->loop, path, &o, &s, &e), -ENOENT);
	assert_null(s);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN); /* as the daemon does: libuv writes without MSG_NOSIGNAL */
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_timeout_values),
	    cmocka_unit_test(test_deframer_split),
	    WITH_SERVER(test_unary),
	    WITH_SERVER(test_failure),
	    WITH_SERVER(test_refused_requests),
	    WITH_SERVER(test_refused_bodies),
	    WITH_SERVER(test_concurrent),
	    WITH_SERVER(test_deadline),
	    WITH_SERVER(test_cancel),
	    WITH_SERVER(test_client_leaves),
	    WITH_SERVER(test_stream),
	    WITH_SERVER(test_slow_client),
	    WITH_SERVER(test_bad_preface),
	    WITH_SERVER(test_reset_of_idle_stream),
	    WITH_SERVER(test_idle_reset_flood),
	    WITH_SERVER(test_continuation_flood),
	    WITH_SERVER(test_ping_flood),
	    WITH_SERVER(test_reset_flood),
	    WITH_SERVER(test_connection_limit),
	    WITH_SERVER(test_shutdown),
	    WITH_SERVER(test_socket_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
