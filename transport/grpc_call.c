/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/grpc_call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

struct grpc_call *grpc_call_open(struct grpc_session *s, int32_t stream)
{
	struct grpc_call *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->session = s;
	c->stream = stream;
	c->deadline = UINT64_MAX;
	c->in.max = s->options->max_message;
	c->next = s->calls;
	if (c->next)
		c->next->at = &c->next;
	c->at = &s->calls;
	s->calls = c;
	return c;
}

static void call_drop_request(struct grpc_call *c)
{
	buf_free(&c->in.message);
	if (c->session)
		c->session->held -= c->held;
	c->held = 0;
}

static void call_unref(struct grpc_call *c)
{
	if (c->session || c->handed)
		return;
	buf_free(&c->in.message);
	buf_free(&c->out);
	free(c->text);
	free(c);
}

static void call_tell_gone(struct grpc_call *c)
{
	if (!c->handed || c->gone_told)
		return;
	c->gone_told = true;
	if (c->gone)
		c->gone(c, c->gone_user);
}

void grpc_call_stream_closed(struct grpc_call *c)
{
	call_drop_request(c);
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	c->session = NULL;
	c->answered = true;
	buf_free(&c->out);
	/* A handler that finishes within the callback frees the call, so nothing may touch it after. */
	if (c->handed && !c->gone_told)
		call_tell_gone(c);
	else
		call_unref(c);
}

/* ---- the answer ---- */

#define FIELD(name_, value_)                                                                                                               \
	{                                                                                                                                  \
		.name = (uint8_t *)(uintptr_t)(name_), .namelen = strlen(name_), .value = (uint8_t *)(uintptr_t)(value_),                  \
		.valuelen = strlen(value_)                                                                                                 \
	}

/* grpc-status and, when there is a text, grpc-message; returns the number of fields. */
static size_t call_status_fields(const struct grpc_call *c, char number[12], nghttp2_nv fields[2])
{
	snprintf(number, 12, "%d", (int)c->code);
	fields[0] = (nghttp2_nv)FIELD("grpc-status", number);
	if (!c->text)
		return 1;
	fields[1] = (nghttp2_nv)FIELD("grpc-message", c->text);
	return 2;
}

static ssize_t call_read(nghttp2_session *h2, int32_t stream, uint8_t *to, size_t size, uint32_t *flags, nghttp2_data_source *source,
                         void *user)
{
	struct grpc_call *c = source->ptr;
	(void)user;
	size_t left = c->out.len - c->out_at;
	if (!left && !c->answered)
		return NGHTTP2_ERR_DEFERRED;
	size_t part = left < size ? left : size;
	if (part)
		memcpy(to, c->out.data + c->out_at, part);
	c->out_at += part;
	if (part < left)
		return (ssize_t)part;
	/* Keep nothing for an idle stream that may live for weeks. */
	buf_free(&c->out);
	c->out_at = 0;
	if (c->answered) {
		char number[12];
		nghttp2_nv fields[2];
		size_t n = call_status_fields(c, number, fields);
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (nghttp2_submit_trailer(h2, stream, fields, n) != 0)
			return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	return (ssize_t)part;
}

/* Response headers; with `only` they are the whole answer (Trailers-Only). */
static void call_submit_headers(struct grpc_call *c, int http_status, bool only)
{
	char status[12], number[12];
	nghttp2_nv fields[5];
	size_t n = 0;
	snprintf(status, sizeof(status), "%d", http_status);
	fields[n++] = (nghttp2_nv)FIELD(":status", status);
	fields[n++] = (nghttp2_nv)FIELD("content-type", "application/grpc");
	if (only)
		n += call_status_fields(c, number, fields + n);
	if (only && c->request.wrong_encoding)
		fields[n++] = (nghttp2_nv)FIELD("grpc-accept-encoding", "identity");
	nghttp2_data_provider provider = {.source.ptr = c, .read_callback = call_read};
	if (nghttp2_submit_response(c->session->h2, c->stream, fields, n, only ? NULL : &provider) != 0)
		nghttp2_submit_rst_stream(c->session->h2, NGHTTP2_FLAG_NONE, c->stream, NGHTTP2_INTERNAL_ERROR);
	c->begun = true;
}

static void call_wake(struct grpc_call *c)
{
	/* Fails when nothing was deferred, which is fine: then it is going to be read anyway. */
	nghttp2_session_resume_data(c->session->h2, c->stream);
	c->session->hooks->wake(c->session->user);
}

static void call_decide(struct grpc_call *c, const struct grpc_verdict *v)
{
	if (c->answered)
		return;
	c->answered = true;
	c->code = v->code;
	call_drop_request(c);
	if (v->text && *v->text) {
		struct buf text = {0};
		grpc_message_encode(&text, v->text);
		if (!text.failed)
			c->text = (char *)TAKE_PTR(text.data);
		buf_free(&text);
	}
	if (v->reset)
		nghttp2_submit_rst_stream(c->session->h2, NGHTTP2_FLAG_NONE, c->stream, NGHTTP2_PROTOCOL_ERROR);
	else if (!c->begun)
		call_submit_headers(c, v->http_status ? v->http_status : 200, c->out.len == 0);
	call_wake(c);
}

void grpc_call_abort(struct grpc_call *c, enum grpc_code code, const char *text)
{
	if (!c->session || c->answered)
		return;
	call_decide(c, &(struct grpc_verdict){.code = code, .text = text});
	call_tell_gone(c);
}

static void call_frame(struct grpc_call *c, const uint8_t *message, size_t len)
{
	buf_add(&c->out, "", 1);
	buf_be32(&c->out, (uint32_t)len);
	buf_add(&c->out, message, len);
}

/* ---- the request ---- */

static const struct grpc_method *method_find(const struct grpc_server_options *o, const char *path)
{
	for (size_t i = 0; i < o->n_methods; i++)
		if (strcmp(o->methods[i].path, path) == 0)
			return &o->methods[i];
	return NULL;
}

void grpc_call_headers_done(struct grpc_call *c)
{
	struct grpc_session *s = c->session;
	struct grpc_verdict v = grpc_request_verdict(&c->request);
	char text[sizeof(c->request.path) + 32];
	if (v.code == GRPC_OK) {
		c->method = method_find(s->options, c->request.path);
		if (!c->method) {
			snprintf(text, sizeof(text), "unknown method %s", c->request.path);
			v = (struct grpc_verdict){.code = GRPC_UNIMPLEMENTED, .text = text};
		} else if (s->shutdown) {
			v = (struct grpc_verdict){.code = GRPC_UNAVAILABLE, .text = "the server is shutting down"};
		}
	}
	if (v.code != GRPC_OK) {
		call_decide(c, &v);
		return;
	}
	if (c->request.timeout) {
		c->deadline = s->hooks->now(s->user) + c->request.timeout_ms;
		s->hooks->alarm(c->deadline, s->user);
	}
}

void grpc_call_data(struct grpc_call *c, const uint8_t *data, size_t len)
{
	struct grpc_session *s = c->session;
	if (c->answered || !c->method)
		return;
	struct grpc_verdict v = {.code = GRPC_RESOURCE_EXHAUSTED, .text = "too many unfinished requests"};
	if (len <= GRPC_MAX_HELD - s->held) {
		s->held += len;
		c->held += len;
		v = grpc_deframer_feed(&c->in, data, len);
	}
	if (v.code != GRPC_OK)
		call_decide(c, &v);
}

void grpc_call_request_end(struct grpc_call *c)
{
	c->remote_ended = true;
	if (c->answered || !c->method)
		return;
	struct grpc_verdict v = grpc_deframer_end(&c->in);
	if (v.code != GRPC_OK) {
		call_decide(c, &v);
		return;
	}
	/* Taken out, because the handler may finish the call within, which frees what the call holds. */
	struct buf message = c->in.message;
	c->in.message = (struct buf){0};
	call_drop_request(c);
	c->handed = true;
	c->method->handle(c, message.data ? message.data : (const uint8_t *)"", message.len, c->session->options->user);
	buf_free(&message);
}

/* ---- what handlers see ---- */

uint64_t grpc_call_deadline(const struct grpc_call *c)
{
	return c->deadline;
}

void grpc_call_on_gone(struct grpc_call *c, void (*gone)(struct grpc_call *c, void *user), void *user)
{
	c->gone = gone;
	c->gone_user = user;
	if (c->gone_told && gone)
		gone(c, user);
}

static void call_finish(struct grpc_call *c, enum grpc_code code, const char *text)
{
	c->handed = false;
	if (c->session)
		call_decide(c, &(struct grpc_verdict){.code = code, .text = text});
	else
		call_unref(c);
}

void grpc_call_reply(struct grpc_call *c, const uint8_t *message, size_t len)
{
	if (c->session && !c->answered) {
		if (len <= BUF_LIMIT - GRPC_MESSAGE_HEAD)
			call_frame(c, message, len);
		else
			c->out.failed = true;
		if (c->out.failed) {
			buf_free(&c->out);
			call_finish(c, GRPC_INTERNAL, "the answer does not fit into memory");
			return;
		}
	}
	call_finish(c, GRPC_OK, NULL);
}

void grpc_call_fail(struct grpc_call *c, enum grpc_code code, const char *text)
{
	call_finish(c, code, text);
}

void grpc_call_begin(struct grpc_call *c)
{
	if (!c->session || c->begun || c->answered)
		return;
	call_submit_headers(c, 200, false);
	call_wake(c);
}

int grpc_call_send(struct grpc_call *c, const uint8_t *message, size_t len)
{
	if (!c->session || c->answered)
		return -EPIPE;
	size_t waiting = c->out.len - c->out_at;
	if (len > GRPC_MAX_WAITING - GRPC_MESSAGE_HEAD || waiting + GRPC_MESSAGE_HEAD + len > GRPC_MAX_WAITING)
		return -ENOBUFS;
	/* Sent bytes are dropped in large steps, so that a slow client of a long stream costs no copy per frame. */
	if (c->out_at > GRPC_MAX_WAITING / 2) {
		buf_consume(&c->out, c->out_at);
		c->out_at = 0;
	}
	if (!buf_reserve(&c->out, GRPC_MESSAGE_HEAD + len)) {
		c->out.failed = false;
		return -ENOBUFS;
	}
	call_frame(c, message, len);
	if (!c->begun)
		grpc_call_begin(c);
	else
		call_wake(c);
	return 0;
}

void grpc_call_end(struct grpc_call *c)
{
	call_finish(c, GRPC_OK, NULL);
}
