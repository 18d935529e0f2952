/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "transport/grpc_call.h"

static struct grpc_call *stream_call(nghttp2_session *h2, int32_t stream)
{
	return nghttp2_session_get_stream_user_data(h2, stream);
}

/* Frames that cost us work and the client nothing. Counted by the second, since grpc-go sends a PING with each burst of data. */
static int session_count_frame(struct grpc_session *s, const nghttp2_frame_hd *hd)
{
	if (hd->type == NGHTTP2_HEADERS || (hd->type == NGHTTP2_DATA && hd->length)) {
		s->control_frames = 0;
		return 0;
	}
	uint64_t second = s->hooks->now(s->user) / 1000;
	if (second != s->control_second) {
		s->control_second = second;
		s->control_frames = 0;
	}
	if (++s->control_frames > GRPC_MAX_CONTROL_FRAMES)
		return nghttp2_session_terminate_session(s->h2, NGHTTP2_ENHANCE_YOUR_CALM);
	return 0;
}

static int on_begin_frame(nghttp2_session *h2, const nghttp2_frame_hd *hd, void *user)
{
	(void)h2;
	return session_count_frame(user, hd) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	struct grpc_call *c = grpc_call_open(user, frame->hd.stream_id);
	if (!c)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	nghttp2_session_set_stream_user_data(h2, frame->hd.stream_id, c);
	return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *user)
{
	(void)flags;
	(void)user;
	struct grpc_call *c = stream_call(h2, frame->hd.stream_id);
	if (c && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		grpc_request_header(&c->request, name, name_len, value, value_len);
	return 0;
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data, size_t len, void *user)
{
	(void)flags;
	(void)user;
	struct grpc_call *c = stream_call(h2, stream);
	if (c)
		grpc_call_data(c, data, len);
	return 0;
}

static int on_frame_recv(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
	struct grpc_session *s = user;
	uint8_t type = frame->hd.type;
	if (type == NGHTTP2_SETTINGS)
		s->preface_deadline = UINT64_MAX;
	if (type != NGHTTP2_HEADERS && type != NGHTTP2_DATA)
		return 0;
	struct grpc_call *c = stream_call(h2, frame->hd.stream_id);
	if (!c)
		return 0;
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		grpc_call_headers_done(c);
	else if (type == NGHTTP2_HEADERS && !end) /* RFC 9113 §8.1: trailers end the stream */
		return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
	if (end)
		grpc_call_request_end(c);
	return 0;
}

static int on_frame_send(nghttp2_session *h2, const nghttp2_frame *frame, void *user)
{
	(void)user;
	if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	struct grpc_call *c = stream_call(h2, frame->hd.stream_id);
	/* The answer is complete and the client still sends: RFC 9113 §8.1 has us tell it to stop, without an error. */
	if (c && !c->remote_ended)
		return nghttp2_submit_rst_stream(h2, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *user)
{
	(void)code;
	(void)user;
	struct grpc_call *c = stream_call(h2, stream);
	if (c)
		grpc_call_stream_closed(c);
	return 0;
}

static nghttp2_session_callbacks *session_callbacks(void)
{
	nghttp2_session_callbacks *cb;
	if (nghttp2_session_callbacks_new(&cb) != 0)
		return NULL;
	nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
	nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	return cb;
}

static nghttp2_option *session_option(void)
{
	nghttp2_option *o;
	if (nghttp2_option_new(&o) != 0)
		return NULL;
	/* Old grpc-go puts the raw socket path into :authority, which nghttp2's HTTP rules answer with RST_STREAM before we see anything.
	 * grpc_request_header checks what matters instead. */
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, 256);
	nghttp2_option_set_max_settings(o, 32);
	/* Rapid reset: a client may cancel a full set of streams twice at once, then 50 a second. */
	nghttp2_option_set_stream_reset_rate_limit(o, 2 * GRPC_MAX_STREAMS, 50);
	nghttp2_option_set_max_continuations(o, 8);
	return o;
}

static int session_start(struct grpc_session *s)
{
	nghttp2_session_callbacks *callbacks = session_callbacks();
	nghttp2_option *option = session_option();
	int r = callbacks && option ? nghttp2_session_server_new2(&s->h2, callbacks, s, option) : NGHTTP2_ERR_NOMEM;
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_option_del(option);
	if (r != 0)
		return -ENOMEM;
	const nghttp2_settings_entry settings[] = {
	    {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, s->options->max_streams},
	    {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_MAX_HEADER_LIST},
	};
	return nghttp2_submit_settings(s->h2, NGHTTP2_FLAG_NONE, settings, ELEMENTS(settings)) == 0 ? 0 : -ENOMEM;
}

int grpc_session_new(const struct grpc_server_options *options, const struct grpc_session_hooks *hooks, void *user,
                     struct grpc_session **ret)
{
	struct grpc_session *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->options = options;
	s->hooks = hooks;
	s->user = user;
	if (session_start(s) < 0) {
		grpc_session_free(s);
		return -ENOMEM;
	}
	s->preface_deadline = hooks->now(user) + GRPC_PREFACE_MS;
	hooks->alarm(s->preface_deadline, user);
	*ret = s;
	return 0;
}

void grpc_session_free(struct grpc_session *s)
{
	if (!s)
		return;
	while (s->calls)
		grpc_call_stream_closed(s->calls);
	nghttp2_session_del(s->h2);
	free(s);
}

int grpc_session_receive(struct grpc_session *s, const uint8_t *data, size_t len)
{
	while (len) {
		const uint8_t *piece;
		size_t piece_len;
		unsigned taken = 0;
		size_t n = sieve_next(&s->sieve, data, len, &piece, &piece_len, &taken);
		data += n;
		len -= n;
		for (; taken; taken--)
			if (session_count_frame(s, &(nghttp2_frame_hd){.type = NGHTTP2_RST_STREAM}) != 0)
				return -EPROTO;
		if (piece_len && nghttp2_session_mem_recv(s->h2, piece, piece_len) < 0)
			return -EPROTO;
	}
	return 0;
}

ssize_t grpc_session_pull(struct grpc_session *s, const uint8_t **data)
{
	ssize_t n = nghttp2_session_mem_send(s->h2, data);
	return n < 0 ? -EPROTO : n;
}

bool grpc_session_finished(struct grpc_session *s)
{
	if (s->shutdown && !s->calls)
		return true;
	return !nghttp2_session_want_read(s->h2) && !nghttp2_session_want_write(s->h2);
}

bool grpc_session_congested(struct grpc_session *s)
{
	return nghttp2_session_get_outbound_queue_size(s->h2) > (size_t)4 * GRPC_MAX_STREAMS;
}

uint64_t grpc_session_expire(struct grpc_session *s, uint64_t now)
{
	uint64_t next = s->preface_deadline;
	if (s->preface_deadline <= now) {
		nghttp2_session_terminate_session(s->h2, NGHTTP2_SETTINGS_TIMEOUT);
		s->preface_deadline = next = UINT64_MAX;
		s->hooks->wake(s->user);
	}
	for (struct grpc_call *c = s->calls; c; c = c->next) {
		if (c->answered)
			continue;
		if (c->deadline <= now)
			grpc_call_abort(c, GRPC_DEADLINE_EXCEEDED, "deadline exceeded");
		else if (c->deadline < next)
			next = c->deadline;
	}
	return next;
}

void grpc_session_shutdown(struct grpc_session *s)
{
	s->shutdown = true;
	for (struct grpc_call *c = s->calls; c; c = c->next)
		grpc_call_abort(c, GRPC_UNAVAILABLE, "the server is shutting down");
	nghttp2_submit_goaway(s->h2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->h2), NGHTTP2_NO_ERROR, NULL, 0);
	s->hooks->wake(s->user);
}
