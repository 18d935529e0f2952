/* SPDX-License-Identifier: Apache-2.0 */
/* A gRPC server over HTTP/2 (nghttp2) on a unix socket: unary and server-streaming methods, identity encoding, no TLS. It knows bytes and
 * deadlines, not messages. Wire rules: protocols §3. Why nghttp2: the packaged h2o cannot send trailers.
 * The process must ignore SIGPIPE, because libuv writes without MSG_NOSIGNAL.
 *
 * A call given to a handler stays valid until the handler finished it with exactly one of grpc_call_reply, grpc_call_fail or grpc_call_end,
 * even when the client has gone meanwhile (then the finish is silently dropped). When the deadline passes first the server answers
 * DEADLINE_EXCEEDED itself and the later finish is dropped. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/base/error.h"

enum grpc_code {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
};

struct grpc_server;
struct grpc_call;

struct grpc_method {
	const char *path; /* "/package.Service/Method" */
	/* One whole request message (≤ 4 MiB), valid during the call of the handler only. */
	void (*handle)(struct grpc_call *call, const uint8_t *message, size_t len, void *user);
};
struct grpc_server_options {
	const struct grpc_method *methods; /* kept by reference */
	size_t n_methods;
	void *user;
	/* limits, 0 = 16 connections, 250 streams a connection, 4 MiB a message (protocols §3.4) */
	unsigned max_connections, max_streams;
	size_t max_message;
};

/* Listen at `path` (≤ 107 bytes; a stale socket file is removed before, the new one is made 0600). */
int grpc_server_listen(uv_loop_t *loop, const char *path, const struct grpc_server_options *options, struct grpc_server **ret,
                       struct error *e);
/* Stop listening, remove the socket file (unless another instance has put its own there meanwhile), answer what is open with UNAVAILABLE,
 * close; memory is freed from the loop. */
void grpc_server_close(struct grpc_server *s);
/* Whether clients can still find a socket at the path, be it ours or one that another instance has put there. */
bool grpc_server_has_path(const struct grpc_server *s);

/* uv_now() milliseconds at which the client gives up; UINT64_MAX = it did not say. */
uint64_t grpc_call_deadline(const struct grpc_call *c);
/* Called once when the client cancelled, went away, or the deadline passed before the call was finished. The handler must still finish. */
void grpc_call_on_gone(struct grpc_call *c, void (*gone)(struct grpc_call *c, void *user), void *user);
void grpc_call_reply(struct grpc_call *c, const uint8_t *message, size_t len);   /* unary success; copies */
void grpc_call_fail(struct grpc_call *c, enum grpc_code code, const char *text); /* unary or stream */
/* Server streaming: response headers go out with grpc_call_begin. grpc_call_send copies; -ENOBUFS when more than 8 MiB wait for a slow
 * client, -EPIPE when it has gone. */
void grpc_call_begin(struct grpc_call *c);
int grpc_call_send(struct grpc_call *c, const uint8_t *message, size_t len);
void grpc_call_end(struct grpc_call *c);
