/* SPDX-License-Identifier: Apache-2.0 */
/* ResourceSlices as objects: what is written, what is kept of the ones that are there, and when both say the same. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/slice_object.h"

static json_t *slice_new(const struct slice_identity *identity, const char *api_version, const struct slice_view *view, size_t index,
                         int64_t generation, size_t count, const char *name, const char *version)
{
	_cleanup_buf_ struct buf text = {0};
	json_error_t error;
	slice_encode(&text, identity, api_version, view, index, generation, count, name, version);
	assert_false(text.failed);
	json_t *object = json_loads(buf_text(&text), JSON_REJECT_DUPLICATES, &error);
	if (!object)
		fail_msg("%s: %s", error.text, buf_text(&text));
	return object;
}

static void test_digest(void **state)
{
	struct slice_digest a, b;
	struct device_facts devices[2];
	struct slice_view view = {.n = 2, .devices = {&devices[0], &devices[1]}};
	const struct slice_identity identity = {.driver = "dra.net", .node = "n", .node_uid = "u"};
	(void)state;
	for (size_t i = 0; i < 2; i++)
		devices[i] = (struct device_facts){.ifindex = (int32_t)i + 1, .mtu = 1500, .name = {'a', (char)('0' + i)}, .numa_node = -1};
	STR_COPY(devices[0].alias, "caf\xc3\xa9 \xff");
	STR_COPY(devices[1].alias, "caf\xc3\xa9 \"\\ \t\x7f");
	slice_digest_view(&view, &a);
	for (int beta = 0; beta < 2; beta++) {
		json_t *object = slice_new(&identity, beta ? "v1beta1" : "v1", &view, 0, 1, 1, NULL, NULL);
		slice_digest_spec(json_object_get(object, "spec"), &b);
		assert_true(slice_digest_equal(&a, &b));
		assert_true(a.names == b.names);
		/* types count: a text "1500" is not the number */
		json_t *device = json_array_get(json_member(object, "spec.devices"), 1);
		json_t *attributes = beta ? json_member(device, "basic.attributes") : json_object_get(device, "attributes");
		json_object_set_new(attributes, "dra.net/mtu", json_pack("{s:s}", "string", "1500"));
		slice_digest_spec(json_object_get(object, "spec"), &b);
		assert_false(slice_digest_equal(&a, &b));
		json_decref(object);
	}
	/* an attribute that moves from one device to the other is a change */
	devices[0].mtu = 1;
	devices[1].mtu = 2;
	slice_digest_view(&view, &a);
	devices[0].mtu = 2;
	devices[1].mtu = 1;
	slice_digest_view(&view, &b);
	assert_false(slice_digest_equal(&a, &b));
}

/* What the gate DRAListTypeAttributes makes of the NUMA node. */
static void test_lists(void **state)
{
	struct slice_digest a, b;
	struct device_facts device = {
	    .name = "pci-0000-8a-00-0", .pci_address = "0000:8a:00.0", .numa_node = 1, .numa_nodes = {1, 0, 2}, .n_numa_nodes = 3};
	struct slice_view view = {.n = 1, .devices = {&device}};
	const struct slice_identity identity = {.driver = "dra.net", .node = "n", .node_uid = "u"};
	(void)state;
	slice_digest_view(&view, &a);
	json_t *object = slice_new(&identity, "v1", &view, 0, 1, 1, NULL, NULL);
	slice_digest_spec(json_object_get(object, "spec"), &b);
	assert_true(slice_digest_equal(&a, &b));
	json_t *attributes = json_object_get(json_array_get(json_member(object, "spec.devices"), 0), "attributes");
	json_t *node = json_object_get(attributes, "resource.kubernetes.io/numaNode");
	_cleanup_free_ char *text = json_dumps(node, JSON_COMPACT);
	assert_string_equal(text, "{\"ints\":[1,0,2]}");
	assert_int_equal(json_integer_value(json_object_get(json_object_get(attributes, "dra.net/numaNode"), "int")), 1);

	json_array_set_new(json_object_get(node, "ints"), 1, json_integer(3));
	slice_digest_spec(json_object_get(object, "spec"), &b);
	assert_false(slice_digest_equal(&a, &b));
	json_array_set_new(json_object_get(node, "ints"), 1, json_string("0"));
	slice_digest_spec(json_object_get(object, "spec"), &b);
	assert_false(slice_digest_equal(&a, &b));
	json_array_clear(json_object_get(node, "ints"));
	slice_digest_spec(json_object_get(object, "spec"), &b);
	assert_false(slice_digest_equal(&a, &b));
	json_decref(object);
	/* A server without the gate drops the list: what is there then is not what was wanted. And order counts. */
	device.numa_nodes[1] = 2;
	device.numa_nodes[2] = 0;
	slice_digest_view(&view, &b);
	assert_false(slice_digest_equal(&a, &b));
	device.n_numa_nodes = 0;
	slice_digest_view(&view, &b);
	assert_false(slice_digest_equal(&a, &b));
}

static void test_names(void **state)
{
	struct slice_view view = {0};
	struct slice_observed o;
	char node[254];
	struct slice_identity identity = {.driver = "dra.net", .node = node, .node_uid = "u"};
	(void)state;
	memset(node, 'a', sizeof(node) - 1);
	node[sizeof(node) - 1] = '\0';
	node[42] = '.'; /* where the name is cut */
	json_t *object = slice_new(&identity, "v1", &view, 0x12345f, 1, 1, NULL, NULL);
	const char *name = json_string_value(json_member(object, "metadata.generateName"));
	assert_in_range(strlen(name), 50, 58);
	assert_true(str_starts(name, "12345f-dra.net-aaa"));
	assert_true(name[strlen(name) - 1] == '-' && name[strlen(name) - 2] == 'a');
	json_object_set_new(json_object_get(object, "metadata"), "resourceVersion", json_string("1"));
	static const struct {
		const char *name;
		int64_t index;
	} rows[] = {{"00000-x", 0},  {"0001f-x", 31}, {"12345f-x", 0x12345f}, {"0000-x", -1},     {"dra.net-a", -1},
	            {"0000G-x", -1}, {"00000", -1},   {"00000x", -1},         {"123456789-x", -1}};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		json_object_set_new(json_object_get(object, "metadata"), "name", json_string(rows[i].name));
		assert_int_equal(slice_observe(object, &identity, &o), 0);
		assert_int_equal(o.index, rows[i].index);
	}
	json_object_del(json_object_get(object, "metadata"), "resourceVersion");
	assert_int_equal(slice_observe(object, &identity, &o), -EBADMSG);
	json_decref(object);
}

static bool observed_equal(const struct slice_observed *a, const struct slice_observed *b)
{
	return str_equal(a->name, b->name) && str_equal(a->uid, b->uid) && str_equal(a->version, b->version) &&
	       str_equal(a->owner, b->owner) && a->index == b->index && a->generation == b->generation && a->count == b->count &&
	       slice_digest_equal(&a->digest, &b->digest) && a->digest.names == b->digest.names;
}

/* What the API server makes of what we write: the text says what the tree says. */
static void test_scan(void **state)
{
	struct device_facts devices[] = {
	    {.name = "pci-0000-8a-00-0", .pci_address = "0000:8a:00.0", .numa_node = 1, .numa_nodes = {1, 0}, .n_numa_nodes = 2},
	    {.name = "eth0", .ifname = "eth0", .ifindex = 3, .mtu = 9000, .numa_node = -1, .up = true},
	};
	struct slice_view view = {.n = 2, .devices = {&devices[0], &devices[1]}};
	const struct slice_identity identity = {.driver = "dra.net", .node = "n", .node_uid = "u"}, other = {"dra.net", "m", "u"};
	struct slice_observed a, b;
	(void)state;
	for (int beta = 0; beta < 2; beta++) {
		json_t *object =
		    slice_new(&identity, beta ? "v1beta1" : "v1", &view, 3, 7, 4, "00003-dra.net-n-abcde", "1234567890123456789");
		json_t *metadata = json_object_get(object, "metadata");
		json_object_set_new(metadata, "uid", json_string("slice-uid"));
		json_object_set_new(metadata, "labels", json_pack("{s:s}", "k\xc3\xa9y", "\"\\\n"));
		json_object_set_new(
		    metadata, "managedFields",
		    json_pack("[{s:s, s:{s:{s:{}}, s:[]}}, n, f]", "manager", "dranetd", "fieldsV1", "f:spec", "f:devices", "e"));
		for (int spaces = 0; spaces < 2; spaces++) {
			_cleanup_free_ char *text = json_dumps(object, JSON_SORT_KEYS | (spaces ? JSON_INDENT(2) : JSON_COMPACT));
			assert_int_equal(slice_scan(text, strlen(text), &identity, &a), 0);
			assert_int_equal(slice_observe(object, &identity, &b), 0);
			assert_true(observed_equal(&a, &b));
			assert_int_equal(a.index, 3);
			assert_int_equal(a.generation, 7);
			assert_int_equal(a.count, 4);
			assert_string_equal(a.owner, "u");
			assert_int_equal(slice_scan(text, strlen(text), &other, &a), 0);
			assert_int_equal(slice_observe(object, &other, &b), 0);
			assert_true(observed_equal(&a, &b));
			assert_int_equal(a.index, -1);
			/* no part of it is taken for all of it */
			for (size_t len = 0; len < strlen(text); len++)
				assert_int_equal(slice_scan(text, len, &identity, &a), -EBADMSG);
		}
		json_decref(object);
	}
}

/* Strange ones are left to the parser, each for one reason. */
static void test_scan_strange(void **state)
{
	static const char begin[] = "{'metadata':{'name':'00000-x','resourceVersion':'1'},'spec':{";
	static const struct {
		const char *spec;
		int result;
	} rows[] = {
	    {"'devices':[{'name':'a','attributes':{'a':{'int':1},'b':{'bool':true}}}]}}", 0},
	    {"'devices':[{'name':'a'},{'name':'b','basic':{}}],'pool':{}}} ", 0},
	    {"'devices':[{'attributes':{'a':{'ints':[1,-2]}},'name':'a'}]}}", 0},
	    {"'devices':[{'name':'a','attributes':{'b':{'int':1},'a':{'int':1}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'int':1},'a':{'int':1}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'int':1,'bool':true}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'int':1.5}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'int':01}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'int':1234567890123456789}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'int':'1'}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'version':'1'}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'string':'\\u0026'}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'string':'\xc3\xa9'}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{'ints':[]}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{'a':{}}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','attributes':{},'basic':{}}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','name':'a'}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','taints':[]}]}}", -EBADMSG},
	    {"'devices':[{'name':'a','capacity':{}}]}}", -EBADMSG},
	    {"'devices':[{}]}}", -EBADMSG},
	    {"'devices':null}}", -EBADMSG},
	    {"'devices':[],'devices':[]}}", -EBADMSG},
	    {"'devices':[],}}", -EBADMSG},
	    {"'devices':[,]}}", -EBADMSG},
	    {"'devices':[]},}", -EBADMSG},
	    {"'devices':[]}}{", -EBADMSG},
	    {"'allNodes':false}}", -EBADMSG},
	    {"'pool':{'name':'n','generation':'1'}}}", -EBADMSG},
	    {"},'more':[]}", -EBADMSG},
	};
	const struct slice_identity identity = {.driver = "dra.net", .node = "n", .node_uid = "u"};
	struct slice_observed o;
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf text = {0};
		buf_puts(&text, begin);
		buf_puts(&text, rows[i].spec);
		for (size_t k = 0; k < text.len; k++)
			if (text.data[k] == '\'')
				text.data[k] = '"';
		if (slice_scan(buf_text(&text), text.len, &identity, &o) != rows[i].result)
			fail_msg("%s", rows[i].spec);
	}
	/* of an owner that comes twice a tree keeps the last */
	static const char owners[] =
	    "{\"metadata\":{\"name\":\"00000-x\",\"resourceVersion\":\"1\",\"ownerReferences\":[{\"kind\":\"Node\",\"name\":"
	    "\"n\",\"uid\":\"u\",\"controller\":true}],\"ownerReferences\":[]},\"spec\":{}}";
	assert_int_equal(slice_scan(owners, strlen(owners), &identity, &o), 0);
	assert_string_equal(o.owner, "");
	/* deeper than any that is written */
	_cleanup_buf_ struct buf deep = {0};
	buf_puts(&deep, "{\"metadata\":");
	for (int i = 0; i < 2000; i++)
		buf_puts(&deep, "[");
	assert_int_equal(slice_scan(buf_text(&deep), deep.len, &identity, &o), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_digest), cmocka_unit_test(test_lists),        cmocka_unit_test(test_names),
	    cmocka_unit_test(test_scan),   cmocka_unit_test(test_scan_strange),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
