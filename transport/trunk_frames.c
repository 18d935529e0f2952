/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "transport/trunk_internal.h"

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* Move bytes from the input into a head of `size` bytes; true when it is complete. */
static bool fill_head(uint8_t *head, size_t size, size_t *have, const uint8_t **data, size_t *len)
{
	size_t part = size - *have < *len ? size - *have : *len;
	if (part)
		memcpy(head + *have, *data, part);
	*have += part;
	*data += part;
	*len -= part;
	return *have == size;
}

const uint8_t *mux_reader_next(struct mux_reader *r, const uint8_t **data, size_t *len, size_t *ret_len)
{
	while (*len) {
		if (r->left) {
			const uint8_t *piece = *data;
			size_t part = r->left < *len ? r->left : *len;
			r->left -= part;
			*data += part;
			*len -= part;
			*ret_len = part;
			return piece;
		}
		if (r->head_len == MUX_HEAD)
			r->head_len = 0;
		uint8_t before = (uint8_t)r->head_len;
		if (!fill_head(r->head, MUX_HEAD, &r->head_len, data, len))
			return NULL;
		r->connection = be32(r->head);
		r->left = be32(r->head + 4);
		if (r->left > MUX_PAYLOAD_MAX) {
			*data -= MUX_HEAD - before;
			*len += MUX_HEAD - before;
			return NULL;
		}
	}
	return NULL;
}

void mux_append(struct buf *out, uint32_t connection, const uint8_t *message, size_t len)
{
	while (len) {
		size_t part = len < MUX_PAYLOAD_SEND ? len : MUX_PAYLOAD_SEND;
		buf_be32(out, connection);
		buf_be32(out, (uint32_t)part);
		buf_add(out, message, part);
		message += part;
		len -= part;
	}
}

size_t mux_span(const uint8_t *out, size_t len, size_t max_frames)
{
	size_t at = 0;
	while (max_frames-- && len - at >= MUX_HEAD)
		at += MUX_HEAD + be32(out + at + 4);
	return at;
}

enum ttrpc_read ttrpc_reader_next(struct ttrpc_reader *r, const uint8_t **data, size_t *len, struct ttrpc_frame *ret)
{
	if (r->complete) {
		r->head_len = 0;
		r->complete = false;
		buf_free(&r->body); /* a whole Synchronize is rare: do not keep its megabytes */
	}
	if (r->head_len < TTRPC_HEAD) {
		if (!fill_head(r->head, TTRPC_HEAD, &r->head_len, data, len))
			return TTRPC_READ_MORE;
		r->left = be32(r->head);
		r->dropping = r->left > TTRPC_MESSAGE_MAX;
	}
	size_t part = r->left < *len ? r->left : *len;
	if (!r->dropping)
		buf_add(&r->body, *data, part);
	if (r->body.failed)
		return TTRPC_READ_NO_MEMORY;
	r->left -= part;
	*data += part;
	*len -= part;
	if (r->left)
		return TTRPC_READ_MORE;
	r->complete = true;
	*ret = (struct ttrpc_frame){.stream = be32(r->head + 4),
	                            .type = r->head[8],
	                            .flags = r->head[9],
	                            .too_large = r->dropping,
	                            .body = r->body.data,
	                            .len = r->body.len};
	return TTRPC_READ_FRAME;
}

void ttrpc_head_write(uint8_t head[TTRPC_HEAD], uint32_t stream, enum ttrpc_type type, size_t len)
{
	put_be32(head, (uint32_t)len);
	put_be32(head + 4, stream);
	head[8] = (uint8_t)type;
	head[9] = 0;
}
