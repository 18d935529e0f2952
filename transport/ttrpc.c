/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "transport/trunk_internal.h"

/* A request of the peer. It belongs to the handler; `ttrpc` is NULL once there is nobody to answer. */
struct ttrpc_call {
	struct ttrpc *ttrpc;
	struct ttrpc_call *next, **at;
	uint32_t stream;
};

/* A request of ours. */
struct pending {
	struct pending *next;
	uint32_t stream;
	uint64_t deadline;
	void (*done)(int result, const char *error, const uint8_t *payload, size_t len, void *user);
	void *user;
};

struct ttrpc {
	const struct ttrpc_hooks *hooks;
	void *user;
	struct mux_reader mux;
	struct ttrpc_reader plugin, runtime;
	struct buf out;
	uint32_t peer_stream; /* the last one seen on the Plugin connection */
	uint32_t next_stream;
	struct pending *pending;
	struct ttrpc_call *calls;
	unsigned n_calls;
	bool stopped;
};

int ttrpc_new(const struct ttrpc_hooks *hooks, void *user, struct ttrpc **ret)
{
	struct ttrpc *t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->hooks = hooks;
	t->user = user;
	t->next_stream = 1;
	*ret = t;
	return 0;
}

static void pending_finish(struct pending *p, int result, const char *error, const uint8_t *payload, size_t len)
{
	p->done(result, error, payload, len, p->user);
	free(p);
}

void ttrpc_stop(struct ttrpc *t)
{
	t->stopped = true;
	while (t->calls) {
		struct ttrpc_call *c = t->calls;
		t->calls = c->next;
		c->ttrpc = NULL;
	}
	while (t->pending) {
		struct pending *p = t->pending;
		t->pending = p->next;
		pending_finish(p, -ECANCELED, "the connection to the runtime is closed", NULL, 0);
	}
}

void ttrpc_free(struct ttrpc *t)
{
	if (!t)
		return;
	ttrpc_stop(t);
	buf_free(&t->plugin.body);
	buf_free(&t->runtime.body);
	buf_free(&t->out);
	free(t);
}

struct buf *ttrpc_output(struct ttrpc *t)
{
	return &t->out;
}

/* ---- sending ---- */

/* Queue head and body; the body starts at TTRPC_HEAD of `message`, which leaves room for the head. */
static void ttrpc_queue(struct ttrpc *t, uint32_t connection, uint32_t stream, enum ttrpc_type type, struct buf *message)
{
	ttrpc_head_write(message->data, stream, type, message->len - TTRPC_HEAD);
	mux_append(&t->out, connection, message->data, message->len);
	t->hooks->wake(t->user);
}

static bool message_fits(const struct buf *message)
{
	return !message->failed && message->len - TTRPC_HEAD <= TTRPC_MESSAGE_MAX;
}

static const uint8_t head_room[TTRPC_HEAD];

static void ttrpc_answer(struct ttrpc *t, uint32_t stream, int code, const char *text, const uint8_t *payload, size_t len)
{
	_cleanup_buf_ struct buf message = {0};
	buf_add(&message, head_room, TTRPC_HEAD);
	ttrpc_response_encode(&message, code, text, payload, len);
	if (!message_fits(&message)) {
		buf_free(&message);
		message.failed = false;
		buf_add(&message, head_room, TTRPC_HEAD);
		ttrpc_response_encode(&message, STATUS_RESOURCE_EXHAUSTED, "the answer is larger than 4 MiB", NULL, 0);
	}
	if (message.failed)
		t->out.failed = true; /* not even room for a refusal: the trunk ends */
	else
		ttrpc_queue(t, MUX_PLUGIN, stream, TTRPC_RESPONSE, &message);
}

int ttrpc_request(struct ttrpc *t, const char *service, const char *method, const uint8_t *payload, size_t len, uint64_t timeout_ms,
                  void (*done)(int result, const char *error, const uint8_t *payload, size_t len, void *user), void *user)
{
	if (t->stopped)
		return -ENOTCONN;
	if (t->out.failed)
		return -ENOBUFS;
	_cleanup_buf_ struct buf message = {0};
	buf_add(&message, head_room, TTRPC_HEAD);
	ttrpc_request_encode(&message, service, method, payload, len,
	                     timeout_ms > INT64_MAX / 1000000 ? INT64_MAX : (int64_t)timeout_ms * 1000000);
	if (!message_fits(&message))
		return -EMSGSIZE;
	if (t->next_stream > UINT32_MAX - 2)
		return -EOVERFLOW;
	struct pending *p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->stream = t->next_stream;
	p->done = done;
	p->user = user;
	p->deadline = UINT64_MAX;
	p->next = t->pending;
	t->pending = p;
	t->next_stream += 2;
	if (timeout_ms) {
		uint64_t now = t->hooks->now(t->user);
		p->deadline = timeout_ms < UINT64_MAX - now ? now + timeout_ms : UINT64_MAX;
		t->hooks->alarm(p->deadline, t->user);
	}
	ttrpc_queue(t, MUX_RUNTIME, p->stream, TTRPC_REQUEST, &message);
	return 0;
}

static void call_finish(struct ttrpc_call *c, int code, const char *text, const uint8_t *payload, size_t len)
{
	if (c->ttrpc) {
		*c->at = c->next;
		if (c->next)
			c->next->at = c->at;
		c->ttrpc->n_calls--;
		ttrpc_answer(c->ttrpc, c->stream, code, text, payload, len);
	}
	free(c);
}

void ttrpc_call_reply(struct ttrpc_call *c, const uint8_t *payload, size_t len)
{
	call_finish(c, 0, NULL, payload, len);
}

void ttrpc_call_fail(struct ttrpc_call *c, int status_code, const char *text)
{
	call_finish(c, status_code, text, NULL, 0);
}

/* ---- receiving ---- */

static struct ttrpc_call *call_new(struct ttrpc *t, uint32_t stream)
{
	struct ttrpc_call *c = t->n_calls < TTRPC_CALLS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return NULL;
	c->ttrpc = t;
	c->stream = stream;
	c->next = t->calls;
	if (c->next)
		c->next->at = &c->next;
	c->at = &t->calls;
	t->calls = c;
	t->n_calls++;
	return c;
}

static uint64_t timeout_to_ms(int64_t ns)
{
	if (ns <= 0)
		return 0;
	return (uint64_t)ns < 1000000 ? 1 : (uint64_t)ns / 1000000;
}

static int ttrpc_on_request(struct ttrpc *t, const struct ttrpc_frame *f, const char **ret_why)
{
	if (f->type != TTRPC_REQUEST)
		return 0; /* data of a stream we refused */
	if (f->stream % 2 == 0 || f->stream <= t->peer_stream) {
		*ret_why = "ttrpc stream id is even or not increasing";
		return -EPROTO;
	}
	t->peer_stream = f->stream;
	if (f->too_large) {
		ttrpc_answer(t, f->stream, STATUS_RESOURCE_EXHAUSTED, "the request is larger than 4 MiB", NULL, 0);
		return 0;
	}
	struct ttrpc_request r;
	if (ttrpc_request_decode(f->body, f->len, &r) < 0) {
		ttrpc_answer(t, f->stream, STATUS_INVALID_ARGUMENT, "malformed ttrpc request", NULL, 0);
		return 0;
	}
	if (f->flags & TTRPC_REMOTE_OPEN || !r.service[0] || !r.method[0]) {
		ttrpc_answer(t, f->stream, STATUS_UNIMPLEMENTED, "no such unary method", NULL, 0);
		return 0;
	}
	struct ttrpc_call *c = call_new(t, f->stream);
	if (!c) {
		ttrpc_answer(t, f->stream, STATUS_RESOURCE_EXHAUSTED, "too many requests at once", NULL, 0);
		return 0;
	}
	t->hooks->request(c, &r, timeout_to_ms(r.timeout_ns), t->user);
	return 0;
}

static struct pending *pending_take(struct ttrpc *t, uint32_t stream)
{
	for (struct pending **at = &t->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;
		if (p->stream != stream)
			continue;
		*at = p->next;
		return p;
	}
	return NULL;
}

static void ttrpc_on_response(struct ttrpc *t, const struct ttrpc_frame *f)
{
	if (f->type != TTRPC_RESPONSE)
		return;
	struct pending *p = pending_take(t, f->stream);
	if (!p)
		return; /* the answer to a request that timed out */
	struct ttrpc_response r;
	if (f->too_large)
		pending_finish(p, -EMSGSIZE, "the answer is larger than 4 MiB", NULL, 0);
	else if (ttrpc_response_decode(f->body, f->len, &r) < 0)
		pending_finish(p, -EPROTO, "malformed ttrpc response", NULL, 0);
	else if (r.code)
		pending_finish(p, -EREMOTEIO, r.text, NULL, 0);
	else
		pending_finish(p, 0, NULL, r.payload ? r.payload : (const uint8_t *)"", r.payload_len);
}

static int ttrpc_stream_bytes(struct ttrpc *t, struct ttrpc_reader *reader, const uint8_t *data, size_t len, const char **ret_why)
{
	while (!t->stopped) {
		struct ttrpc_frame f;
		enum ttrpc_read got = ttrpc_reader_next(reader, &data, &len, &f);
		if (got == TTRPC_READ_MORE)
			return 0;
		if (got == TTRPC_READ_NO_MEMORY) {
			*ret_why = "no memory for a ttrpc message";
			return -ENOMEM;
		}
		if (reader == &t->runtime) {
			ttrpc_on_response(t, &f);
			continue;
		}
		int r = ttrpc_on_request(t, &f, ret_why);
		if (r < 0)
			return r;
	}
	return 0;
}

int ttrpc_receive(struct ttrpc *t, const uint8_t *data, size_t len, const char **ret_why)
{
	const uint8_t *piece;
	size_t piece_len;
	while (!t->stopped && (piece = mux_reader_next(&t->mux, &data, &len, &piece_len))) {
		int r = 0;
		if (t->mux.connection == MUX_PLUGIN)
			r = ttrpc_stream_bytes(t, &t->plugin, piece, piece_len, ret_why);
		else if (t->mux.connection == MUX_RUNTIME)
			r = ttrpc_stream_bytes(t, &t->runtime, piece, piece_len, ret_why);
		if (r < 0)
			return r;
	}
	if (!t->stopped && len) {
		*ret_why = "mux frame is larger than 4 MiB";
		return -EPROTO;
	}
	return 0;
}

/* The request whose deadline passed first; a `done` may change the list, so the search starts anew after each. */
static struct pending *pending_next(const struct ttrpc *t)
{
	struct pending *first = NULL;
	for (struct pending *p = t->pending; p; p = p->next)
		if (!first || p->deadline < first->deadline)
			first = p;
	return first;
}

uint64_t ttrpc_expire(struct ttrpc *t, uint64_t now)
{
	struct pending *p;
	while ((p = pending_next(t)) && p->deadline <= now)
		pending_finish(pending_take(t, p->stream), -ETIMEDOUT, "the runtime did not answer in time", NULL, 0);
	return p ? p->deadline : UINT64_MAX;
}
