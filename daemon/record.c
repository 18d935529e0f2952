/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/states.h"
#include "daemon/record.h"
#include "daemon/record_shapes.h"

static void release_json(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(release_json)

/* ---- bytes ----------------------------------------------------------------------------------------------------------------------- */

static const char hex_digits[] = "0123456789abcdef";

static json_t *encode_bytes(const struct bytes *b)
{
	_cleanup_free_ char *text = malloc(2 * b->n + 1);
	if (!text)
		return NULL;
	for (size_t i = 0; i < b->n; i++) {
		text[2 * i] = hex_digits[b->data[i] >> 4];
		text[2 * i + 1] = hex_digits[b->data[i] & 15];
	}
	return json_stringn(text, 2 * b->n);
}

static int decode_bytes(json_t *from, struct bytes *to, struct error *e)
{
	size_t digits = json_string_length(from);
	const char *text = json_string_value(from);
	if (!text || digits % 2)
		return error_set(e, -EINVAL, "no bytes in hexadecimal digits");
	if (digits == 0)
		return 0;
	_cleanup_free_ uint8_t *data = calloc(1, digits / 2);
	if (!data)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < digits; i++) {
		const char *digit = text[i] ? strchr(hex_digits, text[i]) : NULL;
		if (!digit)
			return error_set(e, -EINVAL, "no hexadecimal digit at %zu", i);
		data[i / 2] = (uint8_t)(data[i / 2] << 4 | (digit - hex_digits));
	}
	*to = (struct bytes){TAKE_PTR(data), digits / 2};
	return 0;
}

/* ---- writing --------------------------------------------------------------------------------------------------------------------- */

static json_t *encode_shape(const struct shape *shape, const void *from);

static json_t *encode_list(const struct member *m, const char *items, size_t n)
{
	_cleanup_json_ json_t *list = json_array();
	for (size_t i = 0; i < n && list; i++)
		if (json_array_append_new(list, encode_shape(m->shape, items + i * m->shape->size)) < 0)
			return NULL;
	return TAKE_PTR(list);
}

static json_t *encode_member(const struct member *m, const void *base)
{
	const void *at = (const char *)base + m->offset;
	const size_t *count = (const size_t *)(const void *)((const char *)base + m->count_offset);
	char text[MAC_TEXT_MAX > IP_TEXT_MAX ? MAC_TEXT_MAX : IP_TEXT_MAX] = "";
	switch (m->type) {
	case TEXT:
		return json_string(at);
	case BOOL:
		return json_boolean(*(const bool *)at);
	case I8:
		return json_integer(*(const int8_t *)at);
	case U8:
		return json_integer(*(const uint8_t *)at);
	case I32:
		return json_integer(*(const int32_t *)at);
	case U32:
		return json_integer(*(const uint32_t *)at);
	case U64:
		return *(const uint64_t *)at > INT64_MAX ? NULL : json_integer((json_int_t) * (const uint64_t *)at);
	case GUID: /* JSON's integers end where those with the first bit begin */
		snprintf(text, sizeof(text), "%016" PRIx64, *(const uint64_t *)at);
		return json_string(text);
	case MAC:
		mac_format(at, text);
		return json_string(text);
	case ADDRESS:
		if (((const struct ip_address *)at)->family != IP_NONE)
			ip_address_format(at, text);
		return json_string(text);
	case PREFIX:
		if (((const struct ip_prefix *)at)->address.family != IP_NONE)
			ip_prefix_format(at, text);
		return json_string(text);
	case STATE:
		return json_string(device_state_name(*(const enum device_state *)at));
	case BYTES:
		return encode_bytes(at);
	case STRUCT:
		return encode_shape(m->shape, at);
	case POINTER:
		return *(const void *const *)at ? encode_shape(m->shape, *(const void *const *)at) : json_null();
	case LIST:
		return encode_list(m, *(const char *const *)at, *count);
	case ARRAY:
		return encode_list(m, at, *count);
	}
	return NULL;
}

static json_t *encode_shape(const struct shape *shape, const void *from)
{
	_cleanup_json_ json_t *object = json_object();
	for (size_t i = 0; i < shape->n && object; i++)
		if (json_object_set_new_nocheck(object, shape->members[i].name, encode_member(&shape->members[i], from)) < 0)
			return NULL;
	return TAKE_PTR(object);
}

int record_encode(const struct claim_record *r, char **ret, size_t *ret_len, struct error *e)
{
	_cleanup_json_ json_t *object = encode_shape(&record_shape, r);
	/* jansson's constructors refuse a text that is not UTF-8 and run out of memory with the same NULL. */
	if (!object || json_object_set_new(object, "format", json_integer(RECORD_FORMAT)) < 0)
		return error_set(e, -EILSEQ, "the record of claim %s cannot be written as JSON: a text in it is not UTF-8", r->ref.uid);
	char *text = json_dumps(object, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	if (!text)
		return error_set(e, -ENOMEM, "out of memory");
	/* What could not be read again must not be relied on. */
	if (strlen(text) > RECORD_TEXT_MAX) {
		size_t len = strlen(text);
		free(text);
		return error_set(e, -E2BIG, "the record of claim %s would have %zu bytes, more than %d", r->ref.uid, len, RECORD_TEXT_MAX);
	}
	*ret = text;
	*ret_len = strlen(text);
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static int decode_shape(const struct shape *shape, json_t *from, void *to, struct error *e);

static int decode_text(const struct member *m, json_t *from, char *to, struct error *e)
{
	const char *text = json_string_value(from);
	if (!text)
		return error_set(e, -EINVAL, "no text");
	if (strlen(text) >= m->size)
		return error_set(e, -EINVAL, "more than %zu bytes", m->size - 1);
	if (m->rule != ANY_TEXT && strchr(text, '/'))
		return error_set(e, -EINVAL, "'/' in a name");
	if (m->rule == UID_TEXT && !str_is_token(text))
		return error_set(e, -EINVAL, "empty, or not printable");
	memcpy(to, text, strlen(text) + 1);
	return 0;
}

static int decode_number(json_t *from, int64_t min, int64_t max, int64_t *ret, struct error *e)
{
	if (!json_is_integer(from))
		return error_set(e, -EINVAL, "no whole number");
	int64_t v = json_integer_value(from);
	if (v < min || v > max)
		return error_set(e, -EINVAL, "%" PRId64 " is out of range %" PRId64 "..%" PRId64, v, min, max);
	*ret = v;
	return 0;
}

static int decode_integer(const struct member *m, json_t *from, void *to, struct error *e)
{
	static const struct {
		int64_t min, max;
	} ranges[] = {
	    [I8] = {INT8_MIN, INT8_MAX}, [U8] = {0, UINT8_MAX},  [I32] = {INT32_MIN, INT32_MAX},
	    [U32] = {0, UINT32_MAX},     [U64] = {0, INT64_MAX},
	};
	int64_t v;
	int r = decode_number(from, ranges[m->type].min, ranges[m->type].max, &v, e);
	if (r < 0)
		return r;
	if (m->type == I8)
		*(int8_t *)to = (int8_t)v;
	else if (m->type == U8)
		*(uint8_t *)to = (uint8_t)v;
	else if (m->type == I32)
		*(int32_t *)to = (int32_t)v;
	else if (m->type == U32)
		*(uint32_t *)to = (uint32_t)v;
	else
		*(uint64_t *)to = (uint64_t)v;
	return 0;
}

static int decode_guid(json_t *from, uint64_t *to, struct error *e)
{
	const char *text = json_string_value(from);
	if (!text || strlen(text) != 16 || strspn(text, hex_digits) != 16)
		return error_set(e, -EINVAL, "no GUID");
	*to = strtoull(text, NULL, 16);
	return 0;
}

static int decode_address(const struct member *m, json_t *from, void *to, struct error *e)
{
	const char *text = json_string_value(from);
	int r = !text                ? -EINVAL
	        : !*text             ? 0 /* not set */
	        : m->type == MAC     ? mac_parse(text, to)
	        : m->type == ADDRESS ? ip_address_parse(text, to)
	                             : ip_prefix_parse(text, to);
	return r < 0 ? error_set(e, -EINVAL, "no address") : 0;
}

static int decode_state(json_t *from, enum device_state *to, struct error *e)
{
	const char *text = json_string_value(from);
	for (int s = 0; text && s < DEVICE_STATE_MAX; s++)
		if (strcmp(text, device_state_name((enum device_state)s)) == 0) {
			*to = (enum device_state)s;
			return 0;
		}
	return error_set(e, -EINVAL, "no state");
}

/* The count grows with the items, so that what is half read can be freed. */
static int decode_items(const struct member *m, json_t *from, char *items, size_t *count, struct error *e)
{
	for (size_t i = 0; i < json_array_size(from); i++) {
		*count = i + 1;
		int r = decode_shape(m->shape, json_array_get(from, i), items + i * m->shape->size, e);
		if (r < 0) {
			error_prefix(e, "item %zu", i);
			return r;
		}
	}
	return 0;
}

static int decode_list(const struct member *m, json_t *from, void *to, size_t *count, struct error *e)
{
	if (!json_is_array(from))
		return error_set(e, -EINVAL, "no list");
	size_t n = json_array_size(from);
	if (n > m->max)
		return error_set(e, -EINVAL, "%zu items, more than %zu", n, m->max);
	if (n == 0)
		return 0;
	if (m->type == ARRAY)
		return decode_items(m, from, to, count, e);
	char *items = calloc(n, m->shape->size);
	if (!items)
		return error_set(e, -ENOMEM, "out of memory");
	memcpy(to, &items, sizeof(items));
	return decode_items(m, from, items, count, e);
}

/* What a pointer leads to is shared: it is born with the reference of the record that holds it. */
static int decode_pointer(const struct member *m, json_t *from, void *to, struct error *e)
{
	static const unsigned one = 1;
	static_assert(offsetof(struct attach_plan, references) == 0 && offsetof(struct leases, references) == 0,
	              "both begin with the count");
	if (json_is_null(from))
		return 0;
	void *object = calloc(1, m->shape->size);
	if (!object)
		return error_set(e, -ENOMEM, "out of memory");
	memcpy(object, &one, sizeof(one));
	memcpy(to, &object, sizeof(object));
	return decode_shape(m->shape, from, object, e);
}

static int decode_member(const struct member *m, json_t *from, void *base, struct error *e)
{
	void *at = (char *)base + m->offset;
	size_t *count = (size_t *)(void *)((char *)base + m->count_offset);
	int r = -EINVAL;
	switch (m->type) {
	case STRUCT:
		return decode_shape(m->shape, from, at, e);
	case POINTER:
		return decode_pointer(m, from, at, e);
	case LIST:
	case ARRAY:
		return decode_list(m, from, at, count, e);
	case TEXT:
		r = decode_text(m, from, at, e);
		break;
	case BOOL:
		r = json_is_boolean(from) ? 0 : error_set(e, -EINVAL, "neither true nor false");
		*(bool *)at = json_is_true(from);
		break;
	case I8:
	case U8:
	case I32:
	case U32:
	case U64:
		r = decode_integer(m, from, at, e);
		break;
	case GUID:
		r = decode_guid(from, at, e);
		break;
	case MAC:
	case ADDRESS:
	case PREFIX:
		r = decode_address(m, from, at, e);
		break;
	case STATE:
		r = decode_state(from, at, e);
		break;
	case BYTES:
		r = decode_bytes(from, at, e);
		break;
	}
	return r;
}

/* Faults read "devices: item 0: plan: facts: mtu: …": each level puts itself before what is there. */
static int decode_shape(const struct shape *shape, json_t *from, void *to, struct error *e)
{
	if (!json_is_object(from))
		return error_set(e, -EINVAL, "no object");
	size_t seen = 0;
	for (size_t i = 0; i < shape->n; i++) {
		const struct member *m = &shape->members[i];
		json_t *value = json_object_get(from, m->name);
		if (!value && m->later)
			continue;
		int r = value ? decode_member(m, value, to, e) : error_set(e, -EINVAL, "missing");
		if (r < 0) {
			error_prefix(e, "%s", m->name);
			return r;
		}
		seen++;
	}
	if (json_object_size(from) != seen)
		return error_set(e, -EINVAL, "%zu members where %zu belong", json_object_size(from), seen);
	return 0;
}

/* What the shapes cannot say. */
static int check_record(const struct claim_record *r, struct error *e)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct attachment_record *a = &r->devices[i];
		if (a->state != DEVICE_PREPARED && a->state != DEVICE_ATTACHED && a->state != DEVICE_RELEASED)
			return error_set(e, -EINVAL, "devices[%zu]: a prepared claim has no %s device", i, device_state_name(a->state));
		if (a->admin_access != !a->plan)
			return error_set(e, -EINVAL, "devices[%zu]: a device has a plan unless it is only observed", i);
		if (a->plan && strcmp(a->plan->facts.name, a->device) != 0)
			return error_set(e, -EINVAL, "devices[%zu]: the plan is for %s, not %s", i, a->plan->facts.name, a->device);
	}
	return 0;
}

int record_decode(const void *text, size_t len, struct claim_record *ret, struct error *e)
{
	json_error_t fault;
	int64_t format = 0;
	if (len > RECORD_TEXT_MAX)
		return error_set(e, -EINVAL, "%zu bytes, more than %d", len, RECORD_TEXT_MAX);
	_cleanup_json_ json_t *object = json_loadb(text ? text : "", len, JSON_REJECT_DUPLICATES, &fault);
	if (!object)
		return error_set(e, -EINVAL, "line %d: %s", fault.line, fault.text);
	int r = decode_number(json_object_get(object, "format"), RECORD_FORMAT, RECORD_FORMAT, &format, e);
	if (r < 0) {
		error_prefix(e, "format");
		return r;
	}
	json_object_del(object, "format");
	struct claim_record record = {0};
	r = decode_shape(&record_shape, object, &record, e);
	if (r == 0)
		r = check_record(&record, e);
	if (r < 0) {
		claim_record_free(&record);
		return r;
	}
	*ret = record;
	return 0;
}
