/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc's wrappers and frames: what was decoded and is encoded again must decode to the same, and a stream read byte by byte must give the
 * frames it gives in one piece. */
#include <stdlib.h>
#include <string.h>

#include "transport/trunk_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	check(a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0));
}

static void requests(const uint8_t *data, size_t size)
{
	struct ttrpc_request a, b;
	if (ttrpc_request_decode(data, size, &a) < 0)
		return;
	struct buf again = {0};
	ttrpc_request_encode(&again, a.service, a.method, a.payload, a.payload_len, a.timeout_ns);
	check(ttrpc_request_decode(again.data, again.len, &b) == 0);
	check(strcmp(a.service, b.service) == 0 && strcmp(a.method, b.method) == 0 && a.timeout_ns == b.timeout_ns);
	same_bytes(a.payload, a.payload_len, b.payload, b.payload_len);
	buf_free(&again);
}

static void responses(const uint8_t *data, size_t size)
{
	struct ttrpc_response a, b;
	if (ttrpc_response_decode(data, size, &a) < 0)
		return;
	struct buf again = {0};
	ttrpc_response_encode(&again, a.code, a.text, a.payload, a.payload_len);
	check(ttrpc_response_decode(again.data, again.len, &b) == 0);
	check(a.code == b.code && (a.code == 0 || strcmp(a.text, b.text) == 0));
	same_bytes(a.payload, a.payload_len, b.payload, b.payload_len);
	buf_free(&again);
}

/* All frames of the input, `step` bytes at a time, as one digest. */
static uint64_t frames(const uint8_t *data, size_t size, size_t step)
{
	struct ttrpc_reader r = {0};
	uint64_t digest = 1469598103934665603u;
	for (size_t at = 0; at < size; at += step) {
		const uint8_t *piece = data + at;
		size_t left = size - at < step ? size - at : step;
		struct ttrpc_frame f;
		while (ttrpc_reader_next(&r, &piece, &left, &f) == TTRPC_READ_FRAME) {
			digest =
			    (digest ^ f.stream ^ (uint64_t)f.type << 32 ^ (uint64_t)f.flags << 40 ^ (uint64_t)f.len << 48) * 1099511628211u;
			for (size_t i = 0; i < f.len; i++)
				digest = (digest ^ f.body[i]) * 1099511628211u;
		}
	}
	buf_free(&r.body);
	return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	requests(data, size);
	responses(data, size);
	if (size)
		check(frames(data, size, size) == frames(data, size, 1));
	return 0;
}
