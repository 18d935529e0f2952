/* SPDX-License-Identifier: Apache-2.0 */
/* One call: shared by grpc_session.c, which feeds it with what nghttp2 delivers, and grpc_call.c, which is its life.
 *
 * A call has two holders: the HTTP/2 stream (`session` set) and the handler (`handed`). It is freed when neither holds it any more. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "transport/grpc_internal.h"
#include "transport/grpc_sieve.h"

struct grpc_call {
	struct grpc_session *session; /* NULL = the stream is closed */
	struct grpc_call *next, **at; /* the session's list */
	int32_t stream;
	const struct grpc_method *method;
	struct grpc_request request;
	struct grpc_deframer in;
	size_t held; /* bytes of `in` counted in the session */
	uint64_t deadline;
	bool remote_ended; /* the client's END_STREAM came */
	bool handed;       /* a handler owes a finish */
	bool answered;     /* the status is decided; whatever comes later is dropped */
	bool begun;        /* response headers are submitted */
	bool gone_told;
	void (*gone)(struct grpc_call *c, void *user);
	void *gone_user;
	struct buf out; /* framed messages; those before out_at are sent */
	size_t out_at;
	enum grpc_code code;
	char *text; /* percent-encoded */
};

struct grpc_session {
	struct sieve sieve;
	const struct grpc_server_options *options;
	const struct grpc_session_hooks *hooks;
	void *user;
	nghttp2_session *h2;
	struct grpc_call *calls;
	size_t held;
	uint64_t preface_deadline; /* UINT64_MAX = the client's SETTINGS came */
	uint64_t control_second;
	unsigned control_frames;
	bool shutdown;
};

struct grpc_call *grpc_call_open(struct grpc_session *s, int32_t stream);
void grpc_call_headers_done(struct grpc_call *c);
void grpc_call_data(struct grpc_call *c, const uint8_t *data, size_t len);
void grpc_call_request_end(struct grpc_call *c);
/* Decide the status from the server's side. */
void grpc_call_abort(struct grpc_call *c, enum grpc_code code, const char *text);
/* The stream is closed, or the whole session goes. */
void grpc_call_stream_closed(struct grpc_call *c);
