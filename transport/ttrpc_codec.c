/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc's Request, Response and google.rpc.Status by hand: three tiny messages, and the payload need not be copied. */
#include <errno.h>
#include <string.h>

#include "core/base/cursor.h"
#include "core/base/str.h"
#include "transport/trunk_internal.h"

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct field {
	uint32_t number;
	enum wire wire;
	uint64_t varint;
	const uint8_t *bytes;
	size_t len;
};

static uint64_t cursor_varint(struct cursor *c)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t b = cursor_u8(c);
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			return v;
	}
	c->failed = true;
	return 0;
}

/* The next field; false at the end or when the message is malformed (then c->failed). */
static bool field_next(struct cursor *c, struct field *f)
{
	if (c->failed || c->at == c->end)
		return false;
	uint64_t key = cursor_varint(c), len;
	*f = (struct field){.number = (uint32_t)(key >> 3), .wire = key & 7};
	if (key >> 3 == 0 || key >> 32)
		c->failed = true;
	switch (key & 7) {
	case WIRE_VARINT:
		f->varint = cursor_varint(c);
		break;
	case WIRE_FIXED64:
		cursor_take(c, 8);
		break;
	case WIRE_FIXED32:
		cursor_take(c, 4);
		break;
	case WIRE_BYTES:
		len = cursor_varint(c);
		f->len = len > SIZE_MAX ? SIZE_MAX : (size_t)len;
		f->bytes = cursor_take(c, f->len);
		break;
	default:
		c->failed = true;
	}
	return !c->failed;
}

static bool field_is(const struct field *f, uint32_t number, enum wire wire)
{
	return f->number == number && f->wire == wire;
}

/* A name that is compared with ours: too long or with odd bytes it becomes "", which is nobody's. */
static void name_copy(char to[TTRPC_NAME_MAX], const struct field *f)
{
	to[0] = 0;
	if (f->len == 0 || f->len >= TTRPC_NAME_MAX)
		return;
	memcpy(to, f->bytes, f->len);
	to[f->len] = 0;
	if (strlen(to) != f->len || !str_is_token(to))
		to[0] = 0;
}

int ttrpc_request_decode(const uint8_t *data, size_t len, struct ttrpc_request *ret)
{
	struct cursor c = cursor_over(data, len);
	struct ttrpc_request r = {0};
	struct field f;
	while (field_next(&c, &f)) {
		if (field_is(&f, 1, WIRE_BYTES))
			name_copy(r.service, &f);
		else if (field_is(&f, 2, WIRE_BYTES))
			name_copy(r.method, &f);
		else if (field_is(&f, 3, WIRE_BYTES)) {
			r.payload = f.bytes;
			r.payload_len = f.len;
		} else if (field_is(&f, 4, WIRE_VARINT))
			r.timeout_ns = (int64_t)f.varint;
	}
	if (c.failed)
		return -EBADMSG;
	*ret = r;
	return 0;
}

static bool status_decode(const struct field *status, struct ttrpc_response *r)
{
	struct cursor c = cursor_over(status->bytes, status->len);
	struct field f;
	while (field_next(&c, &f)) {
		if (field_is(&f, 1, WIRE_VARINT))
			r->code = (int32_t)f.varint;
		else if (field_is(&f, 2, WIRE_BYTES)) {
			size_t part = f.len < sizeof(r->text) - 1 ? f.len : sizeof(r->text) - 1;
			memcpy(r->text, f.bytes, part);
			r->text[part] = 0;
		}
	}
	return !c.failed;
}

int ttrpc_response_decode(const uint8_t *data, size_t len, struct ttrpc_response *ret)
{
	struct cursor c = cursor_over(data, len);
	struct ttrpc_response r = {0};
	struct field f;
	while (field_next(&c, &f)) {
		if (field_is(&f, 1, WIRE_BYTES) && !status_decode(&f, &r))
			return -EBADMSG;
		if (field_is(&f, 2, WIRE_BYTES)) {
			r.payload = f.bytes;
			r.payload_len = f.len;
		}
	}
	if (c.failed)
		return -EBADMSG;
	*ret = r;
	return 0;
}

static void put_varint(struct buf *to, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;
	do {
		bytes[n] = (uint8_t)(v & 0x7f) | (v >> 7 ? 0x80 : 0);
		n++;
		v >>= 7;
	} while (v);
	buf_add(to, bytes, n);
}

static void put_bytes(struct buf *to, uint32_t number, const void *data, size_t len)
{
	if (!len)
		return;
	put_varint(to, (uint64_t)number << 3 | WIRE_BYTES);
	put_varint(to, len);
	buf_add(to, data, len);
}

static void put_number(struct buf *to, uint32_t number, int64_t v)
{
	if (!v)
		return;
	put_varint(to, (uint64_t)number << 3 | WIRE_VARINT);
	put_varint(to, (uint64_t)v);
}

void ttrpc_request_encode(struct buf *to, const char *service, const char *method, const uint8_t *payload, size_t len, int64_t timeout_ns)
{
	put_bytes(to, 1, service, strlen(service));
	put_bytes(to, 2, method, strlen(method));
	put_bytes(to, 3, payload, len);
	put_number(to, 4, timeout_ns);
}

void ttrpc_response_encode(struct buf *to, int32_t code, const char *text, const uint8_t *payload, size_t len)
{
	if (code) {
		struct buf status = {0};
		put_number(&status, 1, code);
		put_bytes(&status, 2, text, text ? strlen(text) : 0);
		put_bytes(to, 1, status.data, status.len);
		to->failed |= status.failed;
		buf_free(&status);
	}
	put_bytes(to, 2, payload, len);
}
