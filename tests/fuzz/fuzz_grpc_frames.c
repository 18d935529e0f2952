/* SPDX-License-Identifier: Apache-2.0 */
/* The pure rules of gRPC's wire: message framing must not depend on how the bytes are cut, timeouts and status texts stay in bounds. */
#include <stdlib.h>
#include <string.h>

#include "transport/grpc_internal.h"

enum { LIMIT = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void frames(const uint8_t *data, size_t size)
{
	struct grpc_deframer whole = {.max = LIMIT}, bytes = {.max = LIMIT};
	struct grpc_verdict a = grpc_deframer_feed(&whole, data, size), b = {.code = GRPC_OK};
	for (size_t i = 0; i < size && b.code == GRPC_OK; i++)
		b = grpc_deframer_feed(&bytes, data + i, 1);
	check(a.code == b.code);
	check(grpc_deframer_end(&whole).code == grpc_deframer_end(&bytes).code);
	check(whole.message.len == bytes.message.len && whole.message.len <= LIMIT);
	buf_free(&whole.message);
	buf_free(&bytes.message);
}

static void texts(const uint8_t *data, size_t size)
{
	uint64_t ms = 0;
	int r = grpc_timeout_parse((const char *)data, size, &ms);
	check(r == 0 ? ms <= 99999999ull * 3600000 : ms == 0);
	char *text = strndup((const char *)data, size);
	struct buf encoded = {0};
	if (text)
		grpc_message_encode(&encoded, text);
	check(encoded.len <= (size_t)3 * GRPC_MAX_TEXT);
	for (size_t i = 0; i < encoded.len; i++)
		check(encoded.data[i] >= 0x20 && encoded.data[i] <= 0x7e);
	buf_free(&encoded);
	free(text);
}

/* Header fields: length of name, length of value, name, value. */
static void headers(const uint8_t *data, size_t size)
{
	struct grpc_request r = {0};
	while (size >= 2) {
		size_t n = data[0], v = data[1];
		if (n + v > size - 2)
			break;
		grpc_request_header(&r, data + 2, n, data + 2 + n, v);
		data += 2 + n + v;
		size -= 2 + n + v;
	}
	struct grpc_verdict verdict = grpc_request_verdict(&r);
	check(verdict.code == GRPC_OK || verdict.text);
	check(strnlen(r.path, sizeof(r.path)) < sizeof(r.path));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	frames(data, size);
	texts(data, size);
	headers(data, size);
	return 0;
}
