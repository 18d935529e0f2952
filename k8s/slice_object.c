/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/slice_object.h"

#include <errno.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/object_parts.h"

/* The server cuts a generateName at 58 bytes before it adds its five (protocols §6.2); the index at the front always stays. */
enum { GENERATE_NAME_MAX = 58, INDEX_DIGITS = 5, INDEX_DIGITS_MAX = 8 };

/* One attribute of ours can be a list (protocols §4.3). */
_Static_assert(SLICE_DEVICES_MAX <= 64, "a slice with list attributes may hold 64 devices");
_Static_assert(ATTRIBUTES_MAX - 1 + NUMA_NODES_MAX <= 48, "a device may carry 48 values, those in lists counted one by one");

/* "0001f-…" → 31; -1 = not such a name. */
static int64_t name_index(const char *name)
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
		o.index = name_index(o.name);
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

static json_t *device_new(const struct device_facts *facts, bool basic)
{
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n = device_attributes(facts, attributes);
	json_t *map = json_object();
	for (size_t i = 0; i < n; i++)
		json_object_set_new(map, attributes[i].name, attribute_encode(&attributes[i]));
	if (!map || json_object_size(map) != n) {
		json_decref(map);
		return NULL;
	}
	if (basic)
		return json_pack("{s:s, s:{s:o}}", "name", facts->name, "basic", "attributes", map);
	return json_pack("{s:s, s:o}", "name", facts->name, "attributes", map);
}

json_t *slice_encode(const struct slice_identity *identity, const char *api_version, const struct slice_view *view, size_t index,
                     int64_t generation, size_t count, const char *name, const char *version)
{
	char generate[GENERATE_NAME_MAX + 1];
	json_t *devices = json_array();
	bool basic = strcmp(api_version, "v1beta1") == 0;
	_cleanup_buf_ struct buf group_version = {0};
	buf_printf(&group_version, "resource.k8s.io/%s", api_version);
	for (size_t i = 0; i < view->n; i++)
		json_array_append_new(devices, device_new(view->devices[i], basic));
	if (json_array_size(devices) != view->n) {
		json_decref(devices);
		return NULL;
	}
	name_generate(identity, index, generate);
	json_t *object =
	    json_pack("{s:s, s:s, s:{s:s, s:[{s:s, s:s, s:s, s:s, s:b}]}, s:{s:s, s:s, s:{s:s, s:I, s:I}, s:o}}", "apiVersion",
	              buf_text(&group_version), "kind", "ResourceSlice", "metadata", name ? "name" : "generateName", name ? name : generate,
	              "ownerReferences", "apiVersion", "v1", "kind", "Node", "name", identity->node, "uid", identity->node_uid,
	              "controller", 1, "spec", "driver", identity->driver, "nodeName", identity->node, "pool", "name", identity->node,
	              "generation", (json_int_t)generation, "resourceSliceCount", (json_int_t)count, "devices", devices);
	if (object && version)
		json_object_set_new(json_object_get(object, "metadata"), "resourceVersion", json_string(version));
	return object;
}
