/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/slice_object.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/object_parts.h"
#include "k8s/slice_internal.h"

/* The server cuts a generateName at 58 bytes before it adds its five (protocols §6.2); the index at the front always stays. */
enum { GENERATE_NAME_MAX = 58, INDEX_DIGITS = 5, INDEX_DIGITS_MAX = 8 };

/* One attribute of ours can be a list (protocols §4.3). */
_Static_assert(SLICE_DEVICES_MAX <= 64, "a slice with list attributes may hold 64 devices");
_Static_assert(ATTRIBUTES_MAX - 1 + NUMA_NODES_MAX <= 48, "a device may carry 48 values, those in lists counted one by one");

int64_t slice_name_index(const char *name)
{
	int64_t index = 0;
	size_t n = 0;
	for (; n <= INDEX_DIGITS_MAX; n++) {
		char c = name[n];
		if (c >= '0' && c <= '9')
			index = index * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			index = index * 16 + (c - 'a' + 10);
		else
			break;
	}
	return n >= INDEX_DIGITS && n <= INDEX_DIGITS_MAX && name[n] == '-' ? index : -1;
}

static void name_generate(const struct slice_identity *identity, size_t index, char ret[GENERATE_NAME_MAX + 1])
{
	_cleanup_buf_ struct buf b = {0};
	buf_printf(&b, "%0*zx-%s-%s", INDEX_DIGITS, index, identity->driver, identity->node);
	const char *text = buf_text(&b);
	size_t n = strnlen(text, GENERATE_NAME_MAX - 1);
	while (n && (text[n - 1] == '.' || text[n - 1] == '-'))
		n--;
	memcpy(ret, text, n);
	memcpy(ret + n, "-", 2);
}

static const char *owner_uid(const json_t *metadata, const char *node)
{
	const json_t *owners = json_object_get(metadata, "ownerReferences");
	for (size_t i = 0; i < json_array_size(owners); i++) {
		const json_t *owner = json_array_get(owners, i);
		if (!strcmp(json_member_text(owner, "kind"), "Node") && !strcmp(json_member_text(owner, "name"), node) &&
		    json_is_true(json_object_get(owner, "controller")))
			return json_member_text(owner, "uid");
	}
	return "";
}

int slice_observe(json_t *object, const struct slice_identity *identity, struct slice_observed *ret)
{
	struct slice_observed o = {.index = -1};
	json_t *metadata = json_object_get(object, "metadata"), *spec = json_object_get(object, "spec");
	if (STR_COPY(o.name, json_member_text(metadata, "name")) < 0 || STR_COPY(o.uid, json_member_text(metadata, "uid")) < 0 ||
	    STR_COPY(o.version, json_member_text(metadata, "resourceVersion")) < 0 || !*o.name || !*o.version)
		return -EBADMSG;
	if (STR_COPY(o.owner, owner_uid(metadata, identity->node)) < 0)
		o.owner[0] = '\0';
	const json_t *pool = json_object_get(spec, "pool");
	o.generation = json_integer_value(json_object_get(pool, "generation"));
	o.count = json_integer_value(json_object_get(pool, "resourceSliceCount"));
	/* Driver, node and pool cannot be changed by an update: what has others must go. */
	if (!strcmp(json_member_text(pool, "name"), identity->node) && !strcmp(json_member_text(spec, "driver"), identity->driver) &&
	    !strcmp(json_member_text(spec, "nodeName"), identity->node))
		o.index = slice_name_index(o.name);
	slice_digest_spec(spec, &o.digest);
	*ret = o;
	return 0;
}

bool slice_says(const struct slice_observed *o, const struct slice_digest *want)
{
	return slice_digest_equal(&o->digest, want) || (o->accepted && slice_digest_equal(&o->wrote, want));
}

static json_t *integers_encode(const struct attribute *at)
{
	json_t *list = json_array();
	for (size_t i = 0; i < at->n_integers; i++)
		json_array_append_new(list, json_integer(at->integers[i]));
	if (json_array_size(list) == at->n_integers)
		return json_pack("{s:o}", "ints", list);
	json_decref(list);
	return NULL;
}

json_t *attribute_encode(const struct attribute *at)
{
	switch (at->type) {
	case ATTRIBUTE_STRING:
		return json_pack("{s:o}", "string", json_text_new(at->string));
	case ATTRIBUTE_INT:
		return json_pack("{s:I}", "int", (json_int_t)at->integer);
	case ATTRIBUTE_INTS:
		return integers_encode(at);
	case ATTRIBUTE_BOOL:
		break;
	}
	return json_pack("{s:b}", "bool", at->boolean);
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------------- */

/* As text: a tree of a thousand objects would be made for each change of one of them. */
static void member_add(struct buf *b, const char *key, const char *text)
{
	buf_puts(b, "\"");
	buf_puts(b, key);
	buf_puts(b, "\":");
	json_text_add(b, text);
}

static void attribute_add(struct buf *b, const struct attribute *at)
{
	buf_puts(b, "\"");
	buf_puts(b, at->name);
	switch (at->type) {
	case ATTRIBUTE_STRING:
		buf_puts(b, "\":{\"string\":");
		json_text_add(b, at->string);
		break;
	case ATTRIBUTE_INT:
		buf_printf(b, "\":{\"int\":%" PRId64, at->integer);
		break;
	case ATTRIBUTE_INTS:
		buf_puts(b, "\":{\"ints\":[");
		for (size_t i = 0; i < at->n_integers; i++)
			buf_printf(b, "%s%" PRId32, i ? "," : "", at->integers[i]);
		buf_puts(b, "]");
		break;
	case ATTRIBUTE_BOOL:
		buf_puts(b, at->boolean ? "\":{\"bool\":true" : "\":{\"bool\":false");
		break;
	}
	buf_puts(b, "}");
}

static void device_add(struct buf *b, const struct device_facts *facts, bool basic)
{
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n = device_attributes(facts, attributes);
	buf_puts(b, "{");
	member_add(b, "name", facts->name);
	buf_puts(b, basic ? ",\"basic\":{\"attributes\":{" : ",\"attributes\":{");
	for (size_t i = 0; i < n; i++) {
		buf_puts(b, i ? "," : "");
		attribute_add(b, &attributes[i]);
	}
	buf_puts(b, basic ? "}}}" : "}}");
}

static void metadata_add(struct buf *b, const struct slice_identity *identity, size_t index, const char *name, const char *version)
{
	char generate[GENERATE_NAME_MAX + 1];
	name_generate(identity, index, generate);
	member_add(b, name ? "name" : "generateName", name ? name : generate);
	buf_puts(b, ",");
	if (version) {
		member_add(b, "resourceVersion", version);
		buf_puts(b, ",");
	}
	buf_puts(b, "\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Node\",");
	member_add(b, "name", identity->node);
	buf_puts(b, ",");
	member_add(b, "uid", identity->node_uid);
	buf_puts(b, ",\"controller\":true}]");
}

void slice_encode(struct buf *ret, const struct slice_identity *identity, const char *api_version, const struct slice_view *view,
                  size_t index, int64_t generation, size_t count, const char *name, const char *version)
{
	buf_printf(ret, "{\"apiVersion\":\"resource.k8s.io/%s\",\"kind\":\"ResourceSlice\",\"metadata\":{", api_version);
	metadata_add(ret, identity, index, name, version);
	buf_puts(ret, "},\"spec\":{");
	member_add(ret, "driver", identity->driver);
	buf_puts(ret, ",");
	member_add(ret, "nodeName", identity->node);
	buf_puts(ret, ",\"pool\":{");
	member_add(ret, "name", identity->node);
	buf_printf(ret, ",\"generation\":%" PRId64 ",\"resourceSliceCount\":%zu},\"devices\":[", generation, count);
	for (size_t i = 0; i < view->n; i++) {
		buf_puts(ret, i ? "," : "");
		device_add(ret, view->devices[i], str_equal(api_version, "v1beta1"));
	}
	buf_puts(ret, "]}}");
}
