/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "k8s/json_value.h"
#include "k8s/slice_internal.h"

/* Nobody gains from a collision, so no keyed hash is needed. */
static uint64_t mix(uint64_t v)
{
	v = (v ^ (v >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	v = (v ^ (v >> 33)) * UINT64_C(0xc4ceb9fe1a85ec53);
	return v ^ (v >> 33);
}

void lanes_word(struct lanes *l, uint64_t w)
{
	l->a = (l->a ^ w) * UINT64_C(0x9ddfea08eb382d69);
	l->a ^= l->a >> 29;
	l->b = (l->b + w) * UINT64_C(0xd6e8feb86659fd93);
	l->b ^= l->b >> 32;
}

/* Eight bytes a step. */
static void lanes_text(struct lanes *l, struct json_span text)
{
	lanes_word(l, text.len);
	for (size_t at = 0; at < text.len; at += 8) {
		uint64_t w = 0;
		if (text.len - at >= 8)
			memcpy(&w, text.at + at, 8);
		else
			memcpy(&w, text.at + at, text.len - at);
		lanes_word(l, w);
	}
}

void lanes_sum(struct lanes *sum, struct lanes part)
{
	sum->a += mix(part.a);
	sum->b += mix(part.b ^ part.a);
}

struct lanes attribute_string(struct json_span name, struct json_span value)
{
	struct lanes l = {TAG_STRING, TAG_STRING};
	lanes_text(&l, name);
	lanes_text(&l, value);
	return l;
}

struct lanes attribute_number(struct json_span name, enum lanes_tag tag, int64_t value)
{
	struct lanes l = {tag, tag};
	lanes_text(&l, name);
	lanes_word(&l, (uint64_t)value);
	return l;
}

struct lanes attribute_list(struct json_span name)
{
	struct lanes l = {TAG_LIST, TAG_LIST};
	lanes_text(&l, name);
	return l;
}

void slice_sum_device(struct slice_sum *sum, struct json_span name, struct lanes attributes)
{
	struct lanes l = {0};
	lanes_text(&attributes, name);
	lanes_sum(&sum->lanes, attributes);
	lanes_text(&l, name);
	sum->names += mix(l.a ^ mix(l.b));
}

static struct json_span span_of(const char *text)
{
	return (struct json_span){text, strlen(text)};
}

/* ---- what we hold ----------------------------------------------------------------------------------------------------------------- */

static bool text_is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

/* Others are compared as they are written: the kernel lets an alias be any bytes. */
static struct lanes attribute_text(const char *name, const char *text)
{
	json_t *written = text_is_ascii(text) ? NULL : json_text_new(text);
	struct lanes l = attribute_string(span_of(name), span_of(written ? json_string_value(written) : text));
	json_decref(written);
	return l;
}

static struct lanes attribute_integers(const struct attribute *at)
{
	struct lanes l = attribute_list(span_of(at->name));
	for (size_t i = 0; i < at->n_integers; i++)
		lanes_word(&l, (uint64_t)at->integers[i]);
	return l;
}

static struct lanes attribute_view(const struct attribute *at)
{
	switch (at->type) {
	case ATTRIBUTE_STRING:
		return attribute_text(at->name, at->string);
	case ATTRIBUTE_INT:
		return attribute_number(span_of(at->name), TAG_INT, at->integer);
	case ATTRIBUTE_INTS:
		return attribute_integers(at);
	case ATTRIBUTE_BOOL:
		break;
	}
	return attribute_number(span_of(at->name), TAG_BOOL, at->boolean);
}

void slice_digest_view(const struct slice_view *view, struct slice_digest *ret)
{
	struct slice_sum sum = {0};
	for (size_t i = 0; i < view->n; i++) {
		struct attribute attributes[ATTRIBUTES_MAX];
		struct lanes device = {0};
		size_t n = device_attributes(view->devices[i], attributes);
		for (size_t k = 0; k < n; k++)
			lanes_sum(&device, attribute_view(&attributes[k]));
		slice_sum_device(&sum, span_of(view->devices[i]->name), device);
	}
	*ret = (struct slice_digest){.a = sum.lanes.a, .b = sum.lanes.b, .names = sum.names};
}

/* ---- what the API server holds, as a tree ----------------------------------------------------------------------------------------- */

/* What we never write: whoever put it there, the slice is not ours alone any more. */
static struct lanes member_other(const char *name, json_t *value)
{
	struct lanes l = {TAG_OTHER, TAG_OTHER};
	char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	lanes_text(&l, span_of(name));
	lanes_text(&l, span_of(text ? text : ""));
	free(text);
	return l;
}

static struct lanes integers_json(const char *name, const json_t *list)
{
	struct lanes l = attribute_list(span_of(name));
	for (size_t i = 0; i < json_array_size(list); i++)
		lanes_word(&l, (uint64_t)json_integer_value(json_array_get(list, i)));
	return l;
}

static bool is_integers(const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!json_is_integer(json_array_get(list, i)))
			return false;
	return json_array_size(list) > 0;
}

static struct lanes attribute_json(const char *name, json_t *value)
{
	json_t *string = json_object_get(value, "string"), *integer = json_object_get(value, "int"), *flag = json_object_get(value, "bool");
	if (json_object_size(value) != 1)
		return member_other(name, value);
	if (json_is_string(string))
		return attribute_string(span_of(name), span_of(json_string_value(string)));
	if (json_is_integer(integer))
		return attribute_number(span_of(name), TAG_INT, json_integer_value(integer));
	if (json_is_boolean(flag))
		return attribute_number(span_of(name), TAG_BOOL, json_is_true(flag));
	if (is_integers(json_object_get(value, "ints")))
		return integers_json(name, json_object_get(value, "ints"));
	return member_other(name, value);
}

/* The members of a device, or of its `basic` in v1beta1. */
static void device_members(json_t *object, struct lanes *sum)
{
	const char *key, *name;
	json_t *member, *value;
	json_object_foreach(object, key, member)
	{
		if (!strcmp(key, "attributes"))
			json_object_foreach(member, name, value) lanes_sum(sum, attribute_json(name, value));
		else if (!strcmp(key, "basic"))
			device_members(member, sum);
		else if (strcmp(key, "name") != 0)
			lanes_sum(sum, member_other(key, member));
	}
}

void slice_digest_spec(json_t *spec, struct slice_digest *ret)
{
	static const char *const known[] = {"driver", "nodeName", "pool", "devices"};
	struct slice_sum sum = {0};
	json_t *devices = json_object_get(spec, "devices");
	for (size_t i = 0; i < json_array_size(devices); i++) {
		json_t *item = json_array_get(devices, i);
		struct lanes device = {0};
		device_members(item, &device);
		slice_sum_device(&sum, span_of(json_member_text(item, "name")), device);
	}
	const char *key;
	json_t *member;
	json_object_foreach(spec, key, member)
	{
		bool ours = false;
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			ours = ours || !strcmp(key, known[i]);
		if (!ours)
			lanes_sum(&sum.lanes, member_other(key, member));
	}
	*ret = (struct slice_digest){.a = sum.lanes.a, .b = sum.lanes.b, .names = sum.names};
}

bool slice_digest_equal(const struct slice_digest *x, const struct slice_digest *y)
{
	return x->a == y->a && x->b == y->b;
}
