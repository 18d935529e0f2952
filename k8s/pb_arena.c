/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/pb_arena.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pb_block {
	struct pb_block *next;
	size_t size, at;
	_Alignas(max_align_t) uint8_t data[];
};

enum { BLOCK_SIZE = 8192, ALIGNMENT = _Alignof(max_align_t) };

void pb_arena_free(struct pb_arena *a)
{
	while (a->blocks) {
		struct pb_block *next = a->blocks->next;
		free(a->blocks);
		a->blocks = next;
	}
	a->used = 0;
	a->exhausted = false;
}

/* Memory as it comes: protobuf-c initialises what it takes. */
static void *arena_take(struct pb_arena *a, size_t size)
{
	size_t limit = a->limit ? a->limit : PB_ARENA_LIMIT;
	if (size > limit || a->used + size > limit) { /* used never passes the limit by more than an alignment */
		a->exhausted = true;
		return NULL;
	}
	size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	struct pb_block *b = a->blocks;
	if (!b || b->size - b->at < size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
		b = malloc(sizeof(*b) + room);
		if (!b) {
			a->exhausted = true;
			return NULL;
		}
		*b = (struct pb_block){.next = a->blocks, .size = room};
		a->blocks = b;
	}
	void *p = b->data + b->at;
	b->at += size;
	a->used += size;
	return p;
}

void *pb_alloc(struct pb_arena *a, size_t size)
{
	void *p = arena_take(a, size);
	return p ? memset(p, 0, size) : NULL;
}

static void *allocator_alloc(void *arena, size_t size)
{
	return arena_take(arena, size);
}

static void allocator_free(void *arena, void *pointer)
{
	(void)arena, (void)pointer;
}

int pb_unpack(struct pb_arena *a, const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len, const void **ret,
              struct error *e)
{
	ProtobufCAllocator allocator = {.alloc = allocator_alloc, .free = allocator_free, .allocator_data = a};
	/* An empty message may come without a pointer, and protobuf-c does arithmetic with it. */
	const void *message = protobuf_c_message_unpack(type, &allocator, len, data ? data : (const uint8_t *)"");
	if (message)
		*ret = message;
	else if (a->exhausted)
		return error_set(e, -E2BIG, "a message %s of %zu bytes needs more memory than it is worth", type->short_name, len);
	else
		return error_set(e, -EBADMSG, "%zu bytes are not a message %s", len, type->short_name);
	return 0;
}

void pb_pack(const struct pb_arena *a, const void *message, struct buf *to)
{
	if (a->exhausted) {
		to->failed = true;
		return;
	}
	size_t size = protobuf_c_message_get_packed_size(message);
	if (!buf_reserve(to, size))
		return;
	to->len += protobuf_c_message_pack(message, to->data + to->len);
}

/* The length of the UTF-8 sequence at `s`, 0 when there is none: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_sequence(const uint8_t *s, size_t left)
{
	if (s[0] < 0x80)
		return 1;
	size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	if (s[0] < 0xc2 || s[0] > 0xf4 || len > left)
		return 0;
	uint32_t code = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	return code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? len : 0;
}

static int text_check(const ProtobufCBinaryData *text, const char *field, size_t size, struct error *e)
{
	if (text->len >= size)
		return error_set(e, -EINVAL, "%s is %zu bytes long, at most %zu are possible", field, text->len, size - 1);
	for (size_t i = 0; i < text->len;) {
		size_t n = utf8_sequence(text->data + i, text->len - i);
		if (!n)
			return error_set(e, -EINVAL, "%s is not UTF-8 at byte %zu", field, i);
		if (n == 1 && (text->data[i] < 0x20 || text->data[i] == 0x7f))
			return error_set(e, -EINVAL, "%s has a control character (0x%02x) at byte %zu", field, text->data[i], i);
		i += n;
	}
	return 0;
}

static void text_copy(const ProtobufCBinaryData *from, char *to)
{
	if (from->len)
		memcpy(to, from->data, from->len);
	to[from->len] = '\0';
}

int pb_text(const ProtobufCBinaryData *from, const char *field, char *to, size_t size, struct error *e)
{
	int r = text_check(from, field, size, e);
	if (r == 0)
		text_copy(from, to);
	return r;
}

static bool is_name_byte(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

int pb_name(const ProtobufCBinaryData *from, const char *field, char *to, size_t size, struct error *e)
{
	if (!from->len)
		return error_set(e, -EINVAL, "%s is empty", field);
	int r = text_check(from, field, size, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < from->len; i++)
		if (!is_name_byte(from->data[i]))
			return error_set(e, -EINVAL, "%s has a character at byte %zu that no name can have", field, i);
	if (from->data[0] == '.')
		return error_set(e, -EINVAL, "%s begins with a dot", field);
	text_copy(from, to);
	return 0;
}

char *pb_sendable(struct pb_arena *a, const char *text)
{
	size_t len = text ? strlen(text) : 0;
	char *copy = arena_take(a, len + 1);
	if (!copy)
		return NULL;
	for (size_t i = 0, n; i < len; i += n) {
		n = utf8_sequence((const uint8_t *)text + i, len - i);
		if (n)
			memcpy(copy + i, text + i, n);
		else
			copy[i] = '?', n = 1;
	}
	copy[len] = '\0';
	return copy;
}
