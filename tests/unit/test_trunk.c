/* SPDX-License-Identifier: Apache-2.0 */
/* The trunk against a peer written here, in the same loop: it checks what the runtime's side would refuse (frames above 4096 bytes, empty
 * ones, two messages in one) and sends in every odd fragmentation. */
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
#include "transport/trunk_internal.h"

enum { PATIENCE_MS = 10000, TICK_MS = 10, LARGE = 3 << 20 };

struct message {
	uint32_t connection, stream;
	uint8_t type;
	struct buf body;
};

struct peer {
	uv_pipe_t listener, pipe;
	bool accepted, closed, deaf;
	struct buf in;
	uint8_t input[65536];
	/* one message being put together per connection */
	struct buf partial[3];
	struct message messages[600];
	int n, frames;
};

struct fixture {
	uv_loop_t loop;
	uv_timer_t deadline;
	int ticks;
	bool late;
	char dir[64], path[96];
	struct peer peer;
	struct trunk *trunk;
	bool connected;
	int closed, closed_result;
	/* what the trunk's handler does and saw */
	enum { DO_ECHO, DO_HOLD, DO_FAIL, DO_HUGE_REPLY, DO_OVERSIZE_REPLY } mode;
	struct ttrpc_call *held[600];
	int n_held, requests;
	char service[64], method[64];
	uint64_t timeout_ms;
	size_t len;
	bool payload_ok;
	/* answers to our requests */
	int done, result;
	char error[128];
	struct buf answer;
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

/* ---- the peer ---- */

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void peer_frame(struct peer *p, uint32_t connection, const uint8_t *data, size_t len)
{
	assert_true(connection == 1 || connection == 2);
	assert_in_range(len, 1, 4096);
	p->frames++;
	struct buf *b = &p->partial[connection];
	buf_add(b, data, len);
	if (b->len < 10 || b->len < 10 + be32(b->data))
		return;
	assert_int_equal(b->len, 10 + be32(b->data)); /* not a byte of the next message */
	struct message *m = &p->messages[p->n++];
	*m = (struct message){.connection = connection, .stream = be32(b->data + 4), .type = b->data[8]};
	assert_int_equal(b->data[9], 0);
	buf_add(&m->body, b->data + 10, b->len - 10);
	buf_reset(b);
}

static void peer_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	struct peer *p = h->data;
	(void)suggested;
	*b = uv_buf_init((char *)p->input, sizeof(p->input));
}

static void peer_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct peer *p = s->data;
	if (n < 0) {
		p->closed = true;
		uv_read_stop(s);
		return;
	}
	buf_add(&p->in, b->base, (size_t)n);
	size_t at = 0;
	while (p->in.len - at >= 8 && p->in.len - at - 8 >= be32(p->in.data + at + 4)) {
		size_t len = be32(p->in.data + at + 4);
		peer_frame(p, be32(p->in.data + at), p->in.data + at + 8, len);
		at += 8 + len;
	}
	buf_consume(&p->in, at);
}

static void peer_accept(uv_stream_t *s, int status)
{
	struct peer *p = s->data;
	assert_int_equal(status, 0);
	uv_pipe_init(s->loop, &p->pipe, 0);
	p->pipe.data = p;
	assert_int_equal(uv_accept(s, (uv_stream_t *)&p->pipe), 0);
	p->accepted = true;
	if (!p->deaf)
		uv_read_start((uv_stream_t *)&p->pipe, peer_alloc, peer_read);
}

static void written(uv_write_t *w, int status)
{
	(void)status;
	free(w);
}

static void peer_send(struct peer *p, const void *data, size_t len)
{
	uv_write_t *w = malloc(sizeof(*w) + len);
	assert_non_null(w);
	if (len)
		memcpy(w + 1, data, len);
	uv_buf_t b = uv_buf_init((char *)(w + 1), (unsigned)len);
	assert_int_equal(uv_write(w, (uv_stream_t *)&p->pipe, &b, 1, written), 0);
}

static void put_message(struct buf *to, uint32_t stream, uint8_t type, const struct buf *body)
{
	buf_be32(to, (uint32_t)body->len);
	buf_be32(to, stream);
	buf_add(to, (uint8_t[]){type, 0}, 2);
	buf_add(to, body->data, body->len);
}

/* Cut `bytes` into mux frames: the first of `first` bytes, the others of `rest`. */
static void put_frames(struct buf *to, uint32_t connection, const struct buf *bytes, size_t first, size_t rest)
{
	size_t at = 0, part = first;
	while (at < bytes->len) {
		part = part < bytes->len - at ? part : bytes->len - at;
		buf_be32(to, connection);
		buf_be32(to, (uint32_t)part);
		buf_add(to, bytes->data + at, part);
		at += part;
		part = rest;
	}
}

static void peer_message(struct peer *p, uint32_t connection, uint32_t stream, uint8_t type, const struct buf *body, size_t first,
                         size_t rest)
{
	struct buf message = {0}, frames = {0};
	put_message(&message, stream, type, body);
	put_frames(&frames, connection, &message, first, rest);
	assert_false(frames.failed);
	peer_send(p, frames.data, frames.len);
	buf_free(&message);
	buf_free(&frames);
}

static void peer_request(struct peer *p, uint32_t stream, const char *method, const uint8_t *payload, size_t len, size_t first, size_t rest)
{
	struct buf body = {0};
	ttrpc_request_encode(&body, "nri.pkg.api.v1alpha1.Plugin", method, payload, len, 2000000000);
	peer_message(p, 1, stream, 1, &body, first, rest);
	buf_free(&body);
}

static struct ttrpc_response peer_response(const struct message *m)
{
	struct ttrpc_response r;
	assert_int_equal(m->connection, 1);
	assert_int_equal(m->type, 2);
	assert_int_equal(ttrpc_response_decode(m->body.data, m->body.len, &r), 0);
	return r;
}

/* ---- our side ---- */

static uint8_t pattern(size_t i)
{
	return (uint8_t)(i * 31 + (i >> 8));
}

static uint8_t *large_payload(size_t len)
{
	uint8_t *p = malloc(len);
	assert_non_null(p);
	for (size_t i = 0; i < len; i++)
		p[i] = pattern(i);
	return p;
}

static bool pattern_ok(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != pattern(i))
			return false;
	return true;
}

static void on_connected(struct trunk *t, void *user)
{
	(void)t;
	((struct fixture *)user)->connected = true;
}

static void on_request(struct trunk *t, struct ttrpc_call *call, const char *service, const char *method, const uint8_t *payload,
                       size_t len, uint64_t timeout_ms, void *user)
{
	struct fixture *f = user;
	(void)t;
	f->requests++;
	snprintf(f->service, sizeof(f->service), "%s", service);
	snprintf(f->method, sizeof(f->method), "%s", method);
	f->timeout_ms = timeout_ms;
	f->len = len;
	f->payload_ok = pattern_ok(payload, len);
	_cleanup_free_ uint8_t *large = f->mode == DO_HUGE_REPLY       ? large_payload(LARGE)
	                                : f->mode == DO_OVERSIZE_REPLY ? large_payload(5 << 20)
	                                                               : NULL;
	if (f->mode == DO_ECHO)
		ttrpc_call_reply(call, payload, len);
	else if (f->mode == DO_FAIL)
		ttrpc_call_fail(call, 9, "not now");
	else if (f->mode == DO_HOLD)
		f->held[f->n_held++] = call;
	else
		ttrpc_call_reply(call, large, f->mode == DO_HUGE_REPLY ? LARGE : 5 << 20);
}

static void on_closed(struct trunk *t, int result, const char *why, void *user)
{
	struct fixture *f = user;
	(void)t;
	assert_non_null(why);
	f->closed++;
	f->closed_result = result;
}

static void on_done(int result, const char *error, const uint8_t *payload, size_t len, void *user)
{
	struct fixture *f = user;
	f->done++;
	f->result = result;
	snprintf(f->error, sizeof(f->error), "%s", error ? error : "");
	buf_reset(&f->answer);
	buf_add(&f->answer, payload, len);
}

static const struct trunk_callbacks callbacks = {on_connected, on_request, on_closed};

static int setup_unconnected(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->deadline);
	f->deadline.data = f;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test-trunk-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/nri.sock", f->dir);
	uv_pipe_init(&f->loop, &f->peer.listener, 0);
	f->peer.listener.data = &f->peer;
	assert_int_equal(uv_pipe_bind(&f->peer.listener, f->path), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&f->peer.listener, 5, peer_accept), 0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	setup_unconnected(state);
	struct fixture *f = *state;
	struct error e;
	assert_int_equal(trunk_connect(&f->loop, f->path, &callbacks, f, &f->trunk, &e), 0);
	run_until(f, f->connected && f->peer.accepted);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	trunk_close(f->trunk);
	if (f->peer.accepted && !uv_is_closing((uv_handle_t *)&f->peer.pipe))
		uv_close((uv_handle_t *)&f->peer.pipe, NULL);
	uv_close((uv_handle_t *)&f->peer.listener, NULL);
	uv_close((uv_handle_t *)&f->deadline, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (int i = 0; i < f->peer.n; i++)
		buf_free(&f->peer.messages[i].body);
	for (int i = 0; i < 3; i++)
		buf_free(&f->peer.partial[i]);
	buf_free(&f->peer.in);
	buf_free(&f->answer);
	unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* ---- tests ---- */

static void test_request_of_peer(void **state)
{
	struct fixture *f = *state;
	uint8_t payload[100];
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = pattern(i);
	peer_request(&f->peer, 1, "RunPodSandbox", payload, sizeof(payload), 4096, 4096);
	run_until(f, f->peer.n == 1);
	assert_string_equal(f->service, "nri.pkg.api.v1alpha1.Plugin");
	assert_string_equal(f->method, "RunPodSandbox");
	assert_int_equal(f->timeout_ms, 2000);
	struct ttrpc_response r = peer_response(&f->peer.messages[0]);
	assert_int_equal(f->peer.messages[0].stream, 1);
	assert_int_equal(r.code, 0);
	assert_int_equal(r.payload_len, sizeof(payload));
	assert_memory_equal(r.payload, payload, sizeof(payload));
	f->mode = DO_FAIL;
	peer_request(&f->peer, 3, "StopPodSandbox", NULL, 0, 4096, 4096);
	run_until(f, f->peer.n == 2);
	r = peer_response(&f->peer.messages[1]);
	assert_int_equal(r.code, 9);
	assert_string_equal(r.text, "not now");
	assert_int_equal(trunk_peer_pid(f->trunk), getpid());
}

static void test_fragments_in(void **state)
{
	struct fixture *f = *state;
	static const size_t cuts[][2] = {{1, 1}, {3, 7}, {9, 4096}, {10, 1}, {4096, 1 << 20}, {8192, 100}};
	_cleanup_free_ uint8_t *payload = large_payload(9000);
	for (uint32_t i = 0; i < ELEMENTS(cuts); i++) {
		peer_request(&f->peer, 1 + 2 * i, "Synchronize", payload, 9000, cuts[i][0], cuts[i][1]);
		run_until(f, f->peer.n == (int)i + 1);
		assert_int_equal(f->len, 9000);
		assert_true(f->payload_ok);
	}
}

/* Two messages in one frame, a frame of an unknown connection between two halves, an empty frame: the runtime never does, we can read it.
 */
static void test_odd_frames_in(void **state)
{
	struct fixture *f = *state;
	struct buf body = {0}, two = {0}, frames = {0}, half = {0};
	ttrpc_request_encode(&body, "s", "m", (const uint8_t *)"x", 0, 0);
	put_message(&two, 1, 1, &body);
	put_message(&two, 3, 1, &body);
	put_frames(&frames, 1, &two, two.len, 1);
	put_frames(&frames, 77, &two, 5, 5);
	buf_add(&frames, "\0\0\0\1\0\0\0\0", 8);
	buf_reset(&two);
	put_message(&two, 5, 1, &body);
	buf_add(&half, two.data, 6);
	put_frames(&frames, 1, &half, 6, 6);
	put_frames(&frames, 0, &half, 6, 6);
	buf_consume(&two, 6);
	put_frames(&frames, 1, &two, 3, 2);
	peer_send(&f->peer, frames.data, frames.len);
	run_until(f, f->peer.n == 3);
	assert_int_equal(f->peer.messages[2].stream, 5);
	assert_int_equal(f->timeout_ms, 0);
	buf_free(&body);
	buf_free(&two);
	buf_free(&frames);
	buf_free(&half);
}

static void test_large_both_ways(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ uint8_t *payload = large_payload(LARGE);
	f->mode = DO_HUGE_REPLY;
	/* as Go's mux cuts: 4096 bytes, then all the rest */
	peer_request(&f->peer, 1, "Synchronize", payload, LARGE, 4096, 4 << 20);
	run_until(f, f->peer.n == 1);
	assert_int_equal(f->len, LARGE);
	assert_true(f->payload_ok);
	struct ttrpc_response r = peer_response(&f->peer.messages[0]);
	assert_int_equal(r.payload_len, LARGE);
	assert_true(pattern_ok(r.payload, LARGE));
	assert_int_equal(f->peer.frames, (f->peer.messages[0].body.len + 10 + 4095) / 4096);

	assert_int_equal(trunk_request(f->trunk, "nri.pkg.api.v1alpha1.Runtime", "UpdateContainers", payload, LARGE, 0, on_done, f), 0);
	run_until(f, f->peer.n == 2);
	struct ttrpc_request q;
	const struct message *m = &f->peer.messages[1];
	assert_int_equal(ttrpc_request_decode(m->body.data, m->body.len, &q), 0);
	assert_string_equal(q.method, "UpdateContainers");
	assert_int_equal(q.timeout_ns, 0);
	assert_true(q.payload_len == LARGE && pattern_ok(q.payload, LARGE));
	struct buf body = {0};
	ttrpc_response_encode(&body, 0, NULL, payload, LARGE);
	peer_message(&f->peer, 2, m->stream, 2, &body, 4096, 4 << 20);
	buf_free(&body);
	run_until(f, f->done);
	assert_int_equal(f->result, 0);
	assert_true(f->answer.len == LARGE && pattern_ok(f->answer.data, LARGE));
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ uint8_t *payload = large_payload(5 << 20);
	/* theirs: refused, and the connection goes on */
	peer_request(&f->peer, 1, "Synchronize", payload, 5 << 20, 4096, 1 << 20);
	peer_request(&f->peer, 3, "Configure", payload, 10, 4096, 4096);
	run_until(f, f->peer.n == 2);
	assert_int_equal(peer_response(&f->peer.messages[0]).code, 8);
	assert_int_equal(f->peer.messages[0].stream, 1);
	assert_int_equal(peer_response(&f->peer.messages[1]).code, 0);
	/* ours */
	f->mode = DO_OVERSIZE_REPLY;
	peer_request(&f->peer, 5, "Configure", payload, 10, 4096, 4096);
	run_until(f, f->peer.n == 3);
	assert_int_equal(peer_response(&f->peer.messages[2]).code, 8);
	assert_int_equal(trunk_request(f->trunk, "s", "m", payload, 5 << 20, 0, on_done, f), -EMSGSIZE);
	/* an answer to us */
	assert_int_equal(trunk_request(f->trunk, "s", "m", NULL, 0, 0, on_done, f), 0);
	struct buf body = {0};
	ttrpc_response_encode(&body, 0, NULL, payload, 5 << 20);
	peer_message(&f->peer, 2, 1, 2, &body, 4096, 1 << 20);
	buf_free(&body);
	run_until(f, f->done);
	assert_int_equal(f->result, -EMSGSIZE);
}

static void test_our_requests(void **state)
{
	struct fixture *f = *state;
	struct buf body = {0};
	assert_int_equal(trunk_request(f->trunk, "s", "RegisterPlugin", (const uint8_t *)"abc", 3, 5000, on_done, f), 0);
	run_until(f, f->peer.n == 1);
	assert_int_equal(f->peer.messages[0].connection, 2);
	assert_int_equal(f->peer.messages[0].stream, 1);
	assert_int_equal(f->peer.messages[0].type, 1);
	/* strangers first: an unknown stream, a data frame */
	peer_message(&f->peer, 2, 99, 2, &body, 4096, 4096);
	peer_message(&f->peer, 2, 1, 3, &body, 4096, 4096);
	peer_message(&f->peer, 2, 1, 2, &body, 4096, 4096);
	run_until(f, f->done == 1);
	assert_int_equal(f->result, 0);
	assert_int_equal(f->answer.len, 0);

	assert_int_equal(trunk_request(f->trunk, "s", "m", NULL, 0, 5000, on_done, f), 0);
	ttrpc_response_encode(&body, 2, "plugin name is taken", NULL, 0);
	peer_message(&f->peer, 2, 3, 2, &body, 1, 1);
	run_until(f, f->done == 2);
	assert_int_equal(f->result, -EREMOTEIO);
	assert_string_equal(f->error, "plugin name is taken");

	assert_int_equal(trunk_request(f->trunk, "s", "m", NULL, 0, 5000, on_done, f), 0);
	buf_reset(&body);
	buf_add(&body, "\x0a\xff", 2);
	peer_message(&f->peer, 2, 5, 2, &body, 4096, 4096);
	run_until(f, f->done == 3);
	assert_int_equal(f->result, -EPROTO);

	/* a timeout, and the answer that comes after it */
	assert_int_equal(trunk_request(f->trunk, "s", "m", NULL, 0, 30, on_done, f), 0);
	run_until(f, f->done == 4);
	assert_int_equal(f->result, -ETIMEDOUT);
	buf_reset(&body);
	peer_message(&f->peer, 2, 7, 2, &body, 4096, 4096);
	peer_request(&f->peer, 1, "Configure", NULL, 0, 4096, 4096);
	run_until(f, f->requests == 1);
	assert_int_equal(f->done, 4);
	assert_int_equal(f->closed, 0);
	buf_free(&body);
}

static void test_out_of_order(void **state)
{
	struct fixture *f = *state;
	f->mode = DO_HOLD;
	for (uint32_t i = 0; i < 500; i++)
		peer_request(&f->peer, 1 + 2 * i, "CreateContainer", NULL, 0, 4096, 4096);
	run_until(f, f->n_held == 500);
	for (int i = 499; i >= 0; i--)
		ttrpc_call_reply(f->held[i], (const uint8_t *)"ok", 2);
	run_until(f, f->peer.n == 500);
	assert_int_equal(f->peer.messages[0].stream, 999);
	assert_int_equal(f->peer.messages[499].stream, 1);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct buf body = {0};
	buf_add(&body, "\x0a\xff", 2);
	peer_message(&f->peer, 1, 1, 1, &body, 4096, 4096); /* malformed */
	buf_reset(&body);
	peer_message(&f->peer, 1, 3, 1, &body, 4096, 4096); /* names nothing */
	peer_message(&f->peer, 1, 3, 3, &body, 4096, 4096); /* stream data */
	run_until(f, f->peer.n == 2);
	assert_int_equal(peer_response(&f->peer.messages[0]).code, 3);
	assert_int_equal(peer_response(&f->peer.messages[1]).code, 12);
	assert_int_equal(f->requests, 0);
	buf_free(&body);
}

static void test_even_stream_id(void **state)
{
	struct fixture *f = *state;
	peer_request(&f->peer, 1, "Configure", NULL, 0, 4096, 4096);
	run_until(f, f->peer.n == 1);
	peer_request(&f->peer, 4, "Configure", NULL, 0, 4096, 4096);
	run_until(f, f->closed);
	assert_int_equal(f->closed_result, -EPROTO);
	assert_int_equal(f->requests, 1);
	assert_int_equal(trunk_request(f->trunk, "s", "m", NULL, 0, 0, on_done, f), -ENOTCONN);
}

static void test_repeated_stream_id(void **state)
{
	struct fixture *f = *state;
	f->mode = DO_HOLD;
	peer_request(&f->peer, 5, "Configure", NULL, 0, 4096, 4096);
	peer_request(&f->peer, 5, "Configure", NULL, 0, 4096, 4096);
	run_until(f, f->closed);
	assert_int_equal(f->closed_result, -EPROTO);
	assert_int_equal(f->n_held, 1);
	ttrpc_call_reply(f->held[0], NULL, 0); /* between `closed` and trunk_close */
}

static void test_bad_frame(void **state)
{
	struct fixture *f = *state;
	peer_send(&f->peer, "\0\0\0\1\0\x40\0\x0b", 8);
	run_until(f, f->closed);
	assert_int_equal(f->closed_result, -EPROTO);
}

static void test_peer_leaves(void **state)
{
	struct fixture *f = *state;
	f->mode = DO_HOLD;
	peer_request(&f->peer, 1, "Configure", NULL, 0, 4096, 4096);
	run_until(f, f->n_held == 1);
	assert_int_equal(trunk_request(f->trunk, "s", "m", NULL, 0, 60000, on_done, f), 0);
	run_until(f, f->peer.n == 1);
	uv_close((uv_handle_t *)&f->peer.pipe, NULL);
	run_until(f, f->closed);
	assert_int_equal(f->closed_result, -ECONNRESET);
	assert_int_equal(f->done, 0);
	trunk_close(f->trunk);
	f->trunk = NULL;
	assert_int_equal(f->done, 1);
	assert_int_equal(f->result, -ECANCELED);
	ttrpc_call_reply(f->held[0], (const uint8_t *)"late", 4);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->closed, 1);
}

static void test_connect_failures(void **state)
{
	struct fixture *f = *state;
	struct error e;
	char path[200];
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	assert_int_equal(trunk_connect(&f->loop, path, &callbacks, f, &f->trunk, &e), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/none.sock", f->dir);
	assert_int_equal(trunk_connect(&f->loop, path, &callbacks, f, &f->trunk, &e), 0);
	assert_int_equal(trunk_request(f->trunk, "s", "m", NULL, 0, 0, on_done, f), -ENOTCONN);
	run_until(f, f->closed);
	assert_int_equal(f->closed_result, -ENOENT);
	assert_false(f->connected);
	trunk_close(f->trunk);
	/* closed before it is connected */
	assert_int_equal(trunk_connect(&f->loop, f->path, &callbacks, f, &f->trunk, &e), 0);
	trunk_close(f->trunk);
	f->trunk = NULL;
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_false(f->connected);
	assert_int_equal(f->closed, 1);
}

/* A peer that never reads costs 16 MiB at most, then the connection. */
static void test_deaf_peer(void **state)
{
	struct fixture *f = *state;
	f->peer.deaf = true;
	struct error e;
	assert_int_equal(trunk_connect(&f->loop, f->path, &callbacks, f, &f->trunk, &e), 0);
	run_until(f, f->connected && f->peer.accepted);
	_cleanup_free_ uint8_t *payload = large_payload(LARGE);
	int r = 0;
	for (int i = 0; i < 8 && r == 0; i++)
		r = trunk_request(f->trunk, "s", "m", payload, LARGE, 0, on_done, f);
	assert_int_equal(r, -ENOBUFS);
	run_until(f, f->closed);
	assert_int_equal(f->closed_result, -ENOBUFS);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
#define WITH_PEER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	    WITH_PEER(test_request_of_peer),
	    WITH_PEER(test_fragments_in),
	    WITH_PEER(test_odd_frames_in),
	    WITH_PEER(test_large_both_ways),
	    WITH_PEER(test_too_large),
	    WITH_PEER(test_our_requests),
	    WITH_PEER(test_out_of_order),
	    WITH_PEER(test_refused),
	    WITH_PEER(test_even_stream_id),
	    WITH_PEER(test_repeated_stream_id),
	    WITH_PEER(test_bad_frame),
	    WITH_PEER(test_peer_leaves),
	    cmocka_unit_test_setup_teardown(test_connect_failures, setup_unconnected, teardown),
	    cmocka_unit_test_setup_teardown(test_deaf_peer, setup_unconnected, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
