/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the NRI trunk, in layers; a fuzz target reaches each without a socket:
 *
 *   trunk_frames.c   mux frames and ttrpc frames to and from byte streams, pure
 *   ttrpc_codec.c    ttrpc's protobuf wrappers Request and Response, pure
 *   ttrpc.c          both ttrpc connections of one trunk: stream ids, pending requests, deadlines
 *   trunk.c          the socket (libuv) */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "transport/trunk.h"

enum {
	MUX_HEAD = 8,            /* connection id, payload length */
	MUX_PAYLOAD_SEND = 4096, /* the peer reads through a buffer of this size and fails on a larger frame */
	MUX_PAYLOAD_MAX = (4 << 20) + 10,
	MUX_PLUGIN = 1,  /* connection of the Plugin service, which we serve */
	MUX_RUNTIME = 2, /* connection of the Runtime service, which we call */

	TTRPC_HEAD = 10, /* length, stream id, type, flags */
	TTRPC_MESSAGE_MAX = 4 << 20,
	TTRPC_CALLS_MAX = 1024, /* requests of the peer without an answer */
	TTRPC_NAME_MAX = 256,
};
enum ttrpc_type { TTRPC_REQUEST = 1, TTRPC_RESPONSE = 2, TTRPC_DATA = 3 };
enum { TTRPC_REMOTE_CLOSED = 1, TTRPC_REMOTE_OPEN = 2, TTRPC_NO_DATA = 4 };
enum { STATUS_RESOURCE_EXHAUSTED = 8, STATUS_UNIMPLEMENTED = 12, STATUS_INVALID_ARGUMENT = 3 };

/* ---- frames, pure ---- */

/* Takes the trunk's byte stream apart. */
struct mux_reader {
	uint8_t head[MUX_HEAD];
	size_t head_len;
	uint32_t connection;
	size_t left; /* payload bytes of the current frame still to come */
};
/* Advance over *data, *len up to the next piece of payload and return it (of length *ret_len, belonging to r->connection); NULL when the
 * input is used up. A frame above MUX_PAYLOAD_MAX returns NULL with *len not 0: the stream cannot be followed any more. */
const uint8_t *mux_reader_next(struct mux_reader *r, const uint8_t **data, size_t *len, size_t *ret_len);
/* Append one ttrpc message as mux frames of its own. */
void mux_append(struct buf *out, uint32_t connection, const uint8_t *message, size_t len);
/* How many of the bytes in `out`, which starts with a frame, are its first `max_frames` frames. */
size_t mux_span(const uint8_t *out, size_t len, size_t max_frames);

/* Takes one connection's byte stream apart. */
struct ttrpc_frame {
	uint32_t stream;
	uint8_t type, flags;
	bool too_large; /* above TTRPC_MESSAGE_MAX: the body was dropped */
	const uint8_t *body;
	size_t len;
};
struct ttrpc_reader {
	uint8_t head[TTRPC_HEAD];
	size_t head_len;
	size_t left; /* body bytes still to come */
	bool dropping, complete;
	struct buf body;
};
enum ttrpc_read { TTRPC_READ_MORE, TTRPC_READ_FRAME, TTRPC_READ_NO_MEMORY };
/* Advance over *data, *len up to the end of the next message. Its body is valid until the next call. */
enum ttrpc_read ttrpc_reader_next(struct ttrpc_reader *r, const uint8_t **data, size_t *len, struct ttrpc_frame *ret);
void ttrpc_head_write(uint8_t head[TTRPC_HEAD], uint32_t stream, enum ttrpc_type type, size_t len);

/* ---- wrappers, pure ---- */

struct ttrpc_request {
	char service[TTRPC_NAME_MAX], method[TTRPC_NAME_MAX]; /* "" when too long or not printable */
	const uint8_t *payload;
	size_t payload_len;
	int64_t timeout_ns;
};
struct ttrpc_response {
	int32_t code; /* google.rpc.Status, 0 = success */
	char text[ERROR_TEXT_MAX];
	const uint8_t *payload;
	size_t payload_len;
};
/* 0 or -EBADMSG. Payloads point into `data`. */
int ttrpc_request_decode(const uint8_t *data, size_t len, struct ttrpc_request *ret);
int ttrpc_response_decode(const uint8_t *data, size_t len, struct ttrpc_response *ret);
void ttrpc_request_encode(struct buf *to, const char *service, const char *method, const uint8_t *payload, size_t len, int64_t timeout_ns);
void ttrpc_response_encode(struct buf *to, int32_t code, const char *text, const uint8_t *payload, size_t len);

/* ---- both connections, without the socket ---- */

struct ttrpc;
struct ttrpc_hooks {
	uint64_t (*now)(void *user); /* milliseconds */
	/* There is something in ttrpc_output: write it soon, not within this call. */
	void (*wake)(void *user);
	/* ttrpc_expire wants to be called at `at`, or earlier. */
	void (*alarm)(uint64_t at, void *user);
	/* As trunk_callbacks.request. */
	void (*request)(struct ttrpc_call *call, const struct ttrpc_request *r, uint64_t timeout_ms, void *user);
};
int ttrpc_new(const struct ttrpc_hooks *hooks, void *user, struct ttrpc **ret);
/* Answers what we asked with -ECANCELED and lets go of what the peer asked; nothing is called back after. */
void ttrpc_stop(struct ttrpc *t);
void ttrpc_free(struct ttrpc *t); /* stops too; not from within a callback */
/* 0, or negative errno and a reason: close the trunk. */
int ttrpc_receive(struct ttrpc *t, const uint8_t *data, size_t len, const char **ret_why);
struct buf *ttrpc_output(struct ttrpc *t); /* frames to write; the caller consumes them. `failed`: the peer does not read */
/* Ends what is late at `now`; returns when to come again, UINT64_MAX = never. */
uint64_t ttrpc_expire(struct ttrpc *t, uint64_t now);
int ttrpc_request(struct ttrpc *t, const char *service, const char *method, const uint8_t *payload, size_t len, uint64_t timeout_ms,
                  void (*done)(int result, const char *error, const uint8_t *payload, size_t len, void *user), void *user);
