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

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/slice_object.h"

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
	slice_digest_view(&view, &a);
	for (int beta = 0; beta < 2; beta++) {
		json_t *object = slice_encode(&identity, beta ? "v1beta1" : "v1", &view, 0, 1, 1, NULL, NULL);
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
	json_t *object = slice_encode(&identity, "v1", &view, 0, 1, 1, NULL, NULL);
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
	json_t *object = slice_encode(&identity, "v1", &view, 0x12345f, 1, 1, NULL, NULL);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_digest),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
