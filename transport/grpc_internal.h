/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the gRPC server, in three layers that know no more than they need:
 *
 *   grpc_frames.c    rules of the wire as pure functions: timeouts, status texts, length-prefixed messages, request headers
 *   grpc_session.c,  one HTTP/2 connection without its socket: bytes go in, bytes come out, calls are handed to the handlers; the fuzz
 *   grpc_call.c      target for the server is this layer
 *   grpc_server.c    sockets, timers and limits across connections (libuv) */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/buf.h"
#include "transport/grpc_server.h"

/* protocols §3.4; streams are 250 rather than 100 so that a burst of 200 calls on one connection is not queued at the client. */
enum {
	GRPC_MAX_CONNECTIONS = 16,
	GRPC_MAX_STREAMS = 250,
	GRPC_MAX_MESSAGE = 4 << 20,
	GRPC_MAX_HEADER_LIST = 16 << 10, /* bytes, counted as RFC 9113 §6.5.2 does: name + value + 32 a field */
	GRPC_MAX_HELD = 32 << 20,        /* bytes of unfinished requests a connection may make us keep */
	GRPC_MAX_WAITING = 8 << 20,      /* bytes of answer a slow client may make us keep */
	GRPC_MAX_TEXT = 2048,            /* bytes of grpc-message before encoding: clients limit headers to 8 KiB */
	GRPC_MAX_CONTROL_FRAMES = 1000,  /* PING, SETTINGS … in one second without any request among them */
	GRPC_PREFACE_MS = 10000,         /* a connection that has not said SETTINGS by then is closed */
	GRPC_MESSAGE_HEAD = 5,           /* compressed flag, length */
};

/* ---- the wire, pure ---- */

/* A grpc-timeout value: 1–8 digits and a unit of H M S m u n. Rounded up to milliseconds. 0 or -EINVAL. */
int grpc_timeout_parse(const char *text, size_t len, uint64_t *ret_ms);
/* Percent-encode a status text: all but 0x20–0x7e, and '%' itself. Cut at GRPC_MAX_TEXT. */
void grpc_message_encode(struct buf *to, const char *text);

/* Why a call is refused; code GRPC_OK = it is not. `reset` = malformed HTTP/2, RST_STREAM(PROTOCOL_ERROR) instead of an answer. */
struct grpc_verdict {
	enum grpc_code code;
	const char *text;
	int http_status; /* 0 = 200 */
	bool reset;
};

/* Takes a request's body apart: exactly one length-prefixed message. */
struct grpc_deframer {
	uint8_t head[GRPC_MESSAGE_HEAD];
	size_t head_len;
	size_t want; /* bytes of the message, once the head is complete */
	size_t max;
	struct buf message;
};
struct grpc_verdict grpc_deframer_feed(struct grpc_deframer *d, const uint8_t *data, size_t len);
/* The body is over. */
struct grpc_verdict grpc_deframer_end(const struct grpc_deframer *d);

/* Collects a request's header fields; what nghttp2 does not check because its HTTP rules refuse old grpc-go's :authority. */
struct grpc_request {
	char path[256];
	uint64_t timeout_ms;
	size_t list_size;
	bool method, scheme, authority, has_path, regular; /* seen */
	bool content_type, timeout;
	bool wrong_method, wrong_content_type, wrong_encoding, wrong_timeout, malformed;
};
void grpc_request_header(struct grpc_request *r, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len);
struct grpc_verdict grpc_request_verdict(struct grpc_request *r);

/* ---- one connection, without its socket ---- */

struct grpc_session;
struct grpc_session_hooks {
	uint64_t (*now)(void *user); /* milliseconds */
	/* There may be something to send: pull soon, but not within this call, because a handler is on the stack. */
	void (*wake)(void *user);
	/* grpc_session_expire wants to be called at `at`, or earlier. */
	void (*alarm)(uint64_t at, void *user);
};
/* The options' limits must be set, not 0. Both are kept by reference. */
int grpc_session_new(const struct grpc_server_options *options, const struct grpc_session_hooks *hooks, void *user,
                     struct grpc_session **ret);
/* Calls that handlers still hold live on without it. Not from within a callback of the session. */
void grpc_session_free(struct grpc_session *s);
int grpc_session_receive(struct grpc_session *s, const uint8_t *data, size_t len); /* negative: close the connection at once */
/* The next bytes to send, valid until the next call; 0 = none for now, negative: close the connection. */
ssize_t grpc_session_pull(struct grpc_session *s, const uint8_t **data);
bool grpc_session_finished(struct grpc_session *s); /* nothing to receive or send any more: close */
/* The peer makes us queue frames faster than it reads them: do not read from it for now. */
bool grpc_session_congested(struct grpc_session *s);
/* Ends what is over at `now`; returns when to come again, UINT64_MAX = never. */
uint64_t grpc_session_expire(struct grpc_session *s, uint64_t now);
/* Answer every open call with UNAVAILABLE and say GOAWAY. */
void grpc_session_shutdown(struct grpc_session *s);
