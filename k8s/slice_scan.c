/* SPDX-License-Identifier: Apache-2.0 */
/* A slice of 128 devices is a hundred kilobytes, comes twice for each write (as the answer and by the watch) and has thousands of values: a
 * tree of them costs more than everything else about a change. What is strange here is not judged but left to who has the tree. */
#include <errno.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/slice_internal.h"

struct owner {
	struct json_span kind, name, uid;
	bool controller;
};

static struct owner scan_owner(struct json_scan *s)
{
	struct owner o = {0};
	struct json_span key;
	json_scan_open(s, '{');
	while (json_scan_member(s, &key)) {
		if (json_span_equal(key, "kind"))
			o.kind = json_scan_text(s);
		else if (json_span_equal(key, "name"))
			o.name = json_scan_text(s);
		else if (json_span_equal(key, "uid"))
			o.uid = json_scan_text(s);
		else if (json_span_equal(key, "controller"))
			o.controller = json_scan_boolean(s);
		else
			json_scan_skip(s);
	}
	return o;
}

static void scan_owners(struct json_scan *s, const char *node, struct slice_observed *ret)
{
	bool found = false;
	ret->owner[0] = '\0'; /* of a key that comes twice the last counts */
	json_scan_open(s, '[');
	while (json_scan_element(s)) {
		struct owner o = scan_owner(s);
		if (s->failed || found || !o.controller || !json_span_equal(o.kind, "Node") || !json_span_equal(o.name, node))
			continue;
		found = true;
		json_span_copy(o.uid, ret->owner, sizeof(ret->owner));
	}
}

static void scan_name(struct json_scan *s, char *to, size_t size)
{
	if (!json_span_copy(json_scan_text(s), to, size))
		s->failed = true;
}

static void scan_metadata(struct json_scan *s, const struct slice_identity *identity, struct slice_observed *ret)
{
	struct json_span key;
	json_scan_open(s, '{');
	while (json_scan_member(s, &key)) {
		if (json_span_equal(key, "name"))
			scan_name(s, ret->name, sizeof(ret->name));
		else if (json_span_equal(key, "uid"))
			scan_name(s, ret->uid, sizeof(ret->uid));
		else if (json_span_equal(key, "resourceVersion"))
			scan_name(s, ret->version, sizeof(ret->version));
		else if (json_span_equal(key, "ownerReferences"))
			scan_owners(s, identity->node, ret);
		else
			json_scan_skip(s);
	}
}

static struct lanes scan_list(struct json_scan *s, struct json_span name)
{
	struct lanes l = attribute_list(name);
	size_t n = 0;
	json_scan_open(s, '[');
	for (; json_scan_element(s); n++)
		lanes_word(&l, (uint64_t)json_scan_integer(s));
	if (!n)
		s->failed = true;
	return l;
}

/* An object with one member, which says its type. */
static struct lanes scan_attribute(struct json_scan *s, struct json_span name)
{
	struct lanes l = {0};
	struct json_span key = {0};
	json_scan_open(s, '{');
	if (!json_scan_member(s, &key))
		s->failed = true;
	else if (json_span_equal(key, "string"))
		l = attribute_string(name, json_scan_text(s));
	else if (json_span_equal(key, "int"))
		l = attribute_number(name, TAG_INT, json_scan_integer(s));
	else if (json_span_equal(key, "bool"))
		l = attribute_number(name, TAG_BOOL, json_scan_boolean(s));
	else if (json_span_equal(key, "ints"))
		l = scan_list(s, name);
	else
		s->failed = true;
	if (json_scan_member(s, &key))
		s->failed = true;
	return l;
}

static bool span_before(struct json_span a, struct json_span b)
{
	int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
	return order < 0 || (order == 0 && a.len < b.len);
}

/* Servers sort the keys of a map, so that it is easy to see that none comes twice: of such a tree keeps the last. */
static struct lanes scan_attributes(struct json_scan *s)
{
	struct lanes sum = {0};
	struct json_span key, before = {0};
	json_scan_open(s, '{');
	while (json_scan_member(s, &key)) {
		if (before.at && !span_before(before, key))
			s->failed = true;
		before = key;
		lanes_sum(&sum, scan_attribute(s, key));
	}
	return sum;
}

/* Which of the known members of an object comes next; each comes once. 0 = its end, or another one that is not to be skipped. */
static unsigned scan_known(struct json_scan *s, const char *const known[], size_t n, unsigned *seen)
{
	struct json_span key;
	if (!json_scan_member(s, &key))
		return 0;
	for (size_t i = 0; i < n; i++) {
		unsigned bit = 1U << i;
		if (!json_span_equal(key, known[i]) || *seen & bit)
			continue;
		*seen |= bit;
		return bit;
	}
	s->failed = true;
	return 0;
}

static struct lanes scan_basic(struct json_scan *s)
{
	static const char *const known[] = {"attributes"};
	struct lanes sum = {0};
	unsigned seen = 0;
	json_scan_open(s, '{');
	while (scan_known(s, known, ELEMENTS(known), &seen))
		sum = scan_attributes(s);
	return sum;
}

static void scan_device(struct json_scan *s, struct slice_sum *sum)
{
	enum { NAME = 1, ATTRIBUTES = 2, BASIC = 4 };
	static const char *const known[] = {"name", "attributes", "basic"};
	struct json_span name = {0};
	struct lanes attributes = {0};
	unsigned seen = 0, member;
	json_scan_open(s, '{');
	while ((member = scan_known(s, known, ELEMENTS(known), &seen)))
		if (member == NAME)
			name = json_scan_text(s);
		else
			attributes = member == ATTRIBUTES ? scan_attributes(s) : scan_basic(s);
	if (!(seen & NAME) || (seen & ATTRIBUTES && seen & BASIC))
		s->failed = true;
	if (!s->failed)
		slice_sum_device(sum, name, attributes);
}

struct pool {
	struct json_span name;
	int64_t generation, count;
};

static struct pool scan_pool(struct json_scan *s)
{
	enum { NAME = 1, GENERATION = 2 };
	static const char *const known[] = {"name", "generation", "resourceSliceCount"};
	struct pool p = {0};
	unsigned seen = 0, member;
	json_scan_open(s, '{');
	while ((member = scan_known(s, known, ELEMENTS(known), &seen)))
		if (member == NAME)
			p.name = json_scan_text(s);
		else if (member == GENERATION)
			p.generation = json_scan_integer(s);
		else
			p.count = json_scan_integer(s);
	return p;
}

static void scan_spec(struct json_scan *s, const struct slice_identity *identity, struct slice_observed *ret)
{
	enum { DRIVER = 1, NODE = 2, POOL = 4 };
	static const char *const known[] = {"driver", "nodeName", "pool", "devices"};
	struct slice_sum sum = {0};
	struct json_span driver = {0}, node = {0};
	struct pool pool = {0};
	unsigned seen = 0, member;
	json_scan_open(s, '{');
	while ((member = scan_known(s, known, ELEMENTS(known), &seen)))
		if (member == DRIVER) {
			driver = json_scan_text(s);
		} else if (member == NODE) {
			node = json_scan_text(s);
		} else if (member == POOL) {
			pool = scan_pool(s);
		} else {
			json_scan_open(s, '[');
			while (json_scan_element(s))
				scan_device(s, &sum);
		}
	ret->generation = pool.generation;
	ret->count = pool.count;
	ret->digest = (struct slice_digest){.a = sum.lanes.a, .b = sum.lanes.b, .names = sum.names};
	/* `index` says whether all three are ours until the name is known for sure. */
	ret->index =
	    json_span_equal(pool.name, identity->node) && json_span_equal(driver, identity->driver) && json_span_equal(node, identity->node)
		? 0
		: -1;
}

int slice_scan(const char *text, size_t len, const struct slice_identity *identity, struct slice_observed *ret)
{
	enum { METADATA = 4, SPEC = 8 };
	static const char *const known[] = {"kind", "apiVersion", "metadata", "spec"};
	struct json_scan s = json_scan_over(text, len);
	struct slice_observed o = {.index = -1};
	unsigned seen = 0, member;
	json_scan_open(&s, '{');
	while ((member = scan_known(&s, known, ELEMENTS(known), &seen)))
		if (member == METADATA)
			scan_metadata(&s, identity, &o);
		else if (member == SPEC)
			scan_spec(&s, identity, &o);
		else
			json_scan_skip(&s);
	json_scan_end(&s);
	if (s.failed || !*o.name || !*o.version || !(seen & SPEC))
		return -EBADMSG;
	if (o.index == 0)
		o.index = slice_name_index(o.name);
	*ret = o;
	return 0;
}
