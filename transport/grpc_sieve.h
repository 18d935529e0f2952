/* SPDX-License-Identifier: Apache-2.0 */
/* What nghttp2 must not see. gRPC's C core (grpcio and the languages on it) takes a stream id, and when the call is cancelled before its
 * HEADERS were written, sends RST_STREAM for a stream that was never opened. HTTP/2 calls that a connection error and nghttp2 ends the
 * connection, with all other calls on it. The sieve reads along at the frame borders and takes such frames out. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SIEVE_PREFACE = 24 };

struct sieve {
	size_t preface;   /* bytes of the client's preface that were passed on */
	uint32_t payload; /* bytes of the frame's payload still to come */
	uint32_t highest; /* stream that was opened */
	uint8_t head[13]; /* a frame's header, or a whole RST_STREAM */
	size_t have;
};

/* The next piece of `data` to pass on: *ret_len bytes, in `data` or in the sieve, valid until the next call. Returns how many bytes of
 * `data` are done with; 0 only when len is 0. *ret_taken counts frames that were taken out. */
size_t sieve_next(struct sieve *s, const uint8_t *data, size_t len, const uint8_t **ret, size_t *ret_len, unsigned *ret_taken);
