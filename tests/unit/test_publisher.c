/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher against an API server in the process that counts what is written. */
#include "tests/unit/fake_slices.h"

static void writes_clear(void)
{
	world->posts = world->puts = world->deletes = world->gets = world->lists = world->nodes = 0;
	world->order[0] = '\0';
}

static json_int_t pool_number(size_t i, const char *key)
{
	return json_integer_value(json_object_get(json_member(world->slices[i], "spec.pool"), key));
}

static json_t *slice_by_index(unsigned index)
{
	char prefix[8];
	snprintf(prefix, sizeof(prefix), "%05x-", index);
	for (size_t i = 0; i < SLICES_MAX; i++)
		if (world->slices[i] && str_starts(json_string_value(json_member(world->slices[i], "metadata.name")), prefix))
			return world->slices[i];
	return NULL;
}

static void started(size_t devices)
{
	devices_set(devices);
	start();
	change();
	wait_published(1);
	writes_clear();
}

/* ---- tests ------------------------------------------------------------------------------------------------------------------------ */

static void test_first(void **state)
{
	(void)state;
	devices_set(1);
	start();
	change();
	wait_published(1);
	assert_string_equal(world->order, "C");
	assert_int_equal(world->nodes, 1);
	assert_int_equal(world->lists, 1);
	json_error_t error;
	json_t *want = json_loads(
	    "{\"apiVersion\":\"resource.k8s.io/v1\",\"kind\":\"ResourceSlice\",\"metadata\":{\"generateName\":\"00000-dra.net-node-a-\","
	    "\"name\":\"00000-dra.net-node-a-00001\",\"uid\":\"slice-uid-1\",\"resourceVersion\":\"101\",\"ownerReferences\":[{"
	    "\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":\"node-a\",\"uid\":\"node-uid\",\"controller\":true}]},\"spec\":{"
	    "\"driver\":\"dra.net\",\"nodeName\":\"node-a\",\"pool\":{\"name\":\"node-a\",\"generation\":1,\"resourceSliceCount\":1},"
	    "\"devices\":[{\"name\":\"eth000\",\"attributes\":null}]}}",
	    0, &error);
	json_t *attributes = json_object_get(json_array_get(json_member(world->slices[0], "spec.devices"), 0), "attributes");
	json_t *expected = json_array_get(json_member(want, "spec.devices"), 0);
	assert_string_equal(json_string_value(json_member(json_object_get(attributes, "dra.net/ifName"), "string")), "eth000");
	assert_int_equal(json_integer_value(json_member(json_object_get(attributes, "dra.net/mtu"), "int")), 1500);
	assert_true(json_is_false(json_member(json_object_get(attributes, "dra.net/virtual"), "bool")));
	json_object_set(expected, "attributes", attributes);
	assert_true(json_equal(want, world->slices[0]));
	json_decref(want);
	/* nothing more happens by itself, nor when the same is asked again */
	writes_clear();
	change();
	wait_published(2);
	fake_run_for(&world->loop, 100);
	assert_string_equal(world->order, "");
	assert_int_equal(world->lists + world->gets + world->nodes, 0);
}

static void test_waits_for_inventory(void **state)
{
	(void)state;
	world->unknown = true;
	start();
	fake_run_for(&world->loop, 50);
	change();
	fake_run_for(&world->loop, 50);
	assert_string_equal(world->order, "");
	world->unknown = false;
	change();
	wait_published(1); /* no devices: one empty slice */
	assert_string_equal(world->order, "C");
	assert_int_equal(json_array_size(json_member(world->slices[0], "spec.devices")), 0);
	assert_int_equal(pool_number(0, "resourceSliceCount"), 1);
}

static void test_one_change_one_put(void **state)
{
	(void)state;
	started(10); /* three slices */
	assert_int_equal(pool_number(1, "resourceSliceCount"), 3);
	device_set(5, 9000);
	world->looks = 0;
	change();
	wait_published(2);
	assert_string_equal(world->order, "U");
	assert_int_equal(world->looks, 2 + 3); /* to see that it changed, and to write it; and what the test looks for in the end */
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pool_number(i, "generation"), 1);
	/* a late echo changes nothing */
	fake_run_for(&world->loop, 60);
	assert_string_equal(world->order, "U");
	assert_int_equal(world->gets + world->lists + world->nodes, 0);
}

static void test_generation(void **state)
{
	(void)state;
	started(10);
	device_set(0, 9000);
	device_set(9, 9000);
	change();
	wait_published(2);
	assert_string_equal(world->order, "UUU");
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pool_number(i, "generation"), 2);
	/* one more slice: all are rewritten, then the new one is made */
	writes_clear();
	devices_set(13);
	change();
	wait_published(3);
	assert_string_equal(world->order, "UUUC");
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pool_number(i, "generation"), 3);
		assert_int_equal(pool_number(i, "resourceSliceCount"), 4);
	}
	/* fewer: first the obsolete ones go */
	writes_clear();
	devices_set(8);
	change();
	wait_published(4);
	assert_string_equal(world->order, "DDUU");
	assert_int_equal(json_integer_value(json_member(slice_by_index(0), "spec.pool.generation")), 4);
	assert_int_equal(json_integer_value(json_member(slice_by_index(1), "spec.pool.generation")), 4);
	assert_null(slice_by_index(2));
}

static void test_wiped(void **state)
{
	(void)state;
	started(10);
	/* kubelet deletes all of a driver's slices when it starts */
	for (size_t i = 0; i < 3; i++) {
		json_t *gone = world->slices[i];
		world->slices[i] = NULL;
		version_next(gone);
		tell("DELETED", gone);
		json_decref(gone);
	}
	wait_published(2);
	assert_string_equal(world->order, "CCC");
	assert_int_equal(pool_number(0, "generation"), 2);
	assert_int_equal(world->nodes, 1); /* is the Node still the same? */
	assert_int_equal(world->troubles, 0);
}

static void test_wiped_under_a_create(void **state)
{
	(void)state;
	started(1);
	json_t *gone = world->slices[0];
	world->slices[0] = NULL;
	version_next(gone);
	world->wipe_posts = 2;
	tell("DELETED", gone);
	json_decref(gone);
	wait_published(2);
	assert_non_null(world->slices[0]);
	assert_int_equal(world->posts, 3);
}

static void test_wiped_for_ever(void **state)
{
	int rounds = 0;
	(void)state;
	started(1);
	world->api->timing.backoff_max_ms = 80;
	uint64_t begin = uv_hrtime();
	for (; uv_hrtime() - begin < 600000000u; rounds++) {
		json_t *gone = world->slices[0];
		world->slices[0] = NULL;
		tell("DELETED", gone);
		json_decref(gone);
		wait_published(rounds + 2);
	}
	/* 10, 20, 40, 40 … ms at least */
	assert_in_range(rounds, 2, 17);
	assert_int_equal(world->posts, rounds);
}

static void test_meddling(void **state)
{
	(void)state;
	started(2);
	json_t *devices = json_member(world->slices[0], "spec.devices");
	json_array_remove(devices, 0);
	version_next(world->slices[0]);
	tell("MODIFIED", world->slices[0]);
	wait_published(2);
	assert_string_equal(world->order, "U");
	/* a field we never write */
	writes_clear();
	json_object_set_new(json_array_get(json_member(world->slices[0], "spec.devices"), 0), "taints", json_pack("[{s:s}]", "key", "k"));
	version_next(world->slices[0]);
	tell("MODIFIED", world->slices[0]);
	wait_published(3);
	assert_string_equal(world->order, "U");
	assert_null(json_object_get(json_array_get(json_member(world->slices[0], "spec.devices"), 0), "taints"));
	/* labels are not ours to mind */
	writes_clear();
	json_object_set_new(json_object_get(world->slices[0], "metadata"), "labels", json_pack("{s:s}", "a", "b"));
	version_next(world->slices[0]);
	tell("MODIFIED", world->slices[0]);
	fake_run_for(&world->loop, 60);
	assert_string_equal(world->order, "");
	/* a foreign slice of our driver and node */
	json_t *foreign = json_deep_copy(world->slices[0]);
	json_object_set_new(json_object_get(foreign, "metadata"), "name", json_string("dra.net-node-a-old"));
	version_next(foreign);
	world->slices[9] = foreign;
	tell("ADDED", foreign);
	wait_published(4);
	assert_string_equal(world->order, "D");
	assert_null(world->slices[9]);
}

/* What is not written as servers do is read all the same. */
static void test_meddling_in_disorder(void **state)
{
	world->disorder = true;
	test_meddling(state);
}

static void test_takes_over(void **state)
{
	(void)state;
	/* what an earlier run left: right but in another order, and with a duplicate of the index */
	started(8);
	publisher_close(world->publisher);
	json_t *devices = json_member(world->slices[0], "spec.devices");
	json_t *first = json_incref(json_array_get(devices, 0));
	json_array_remove(devices, 0);
	json_array_append_new(devices, first);
	json_t *twin = json_deep_copy(world->slices[1]);
	json_object_set_new(json_object_get(twin, "metadata"), "name", json_string("00001-dra.net-node-a-zzzzz"));
	world->slices[7] = twin;
	memset(world->watches, 0, sizeof(world->watches));
	start();
	publisher_changed(world->publisher, world->revision);
	assert_true(fake_run_until(&world->loop, &world->deletes, 1));
	fake_run_for(&world->loop, 50);
	assert_string_equal(world->order, "D"); /* the order of devices is no difference */
	assert_null(world->slices[7]);
	assert_int_equal(world->published, 2);
}

static void test_conflict(void **state)
{
	(void)state;
	started(2);
	/* changed behind our back, and the watch is late */
	json_object_set_new(json_object_get(world->slices[0], "metadata"), "labels", json_pack("{s:s}", "a", "b"));
	version_next(world->slices[0]);
	device_set(0, 9000);
	change();
	wait_published(2);
	assert_string_equal(world->order, "UU");
	assert_int_equal(world->gets, 1);
	assert_int_equal(world->troubles, 0);
	/* deleted behind our back */
	writes_clear();
	json_decref(world->slices[0]);
	world->slices[0] = NULL;
	device_set(0, 1500);
	change();
	wait_published(3);
	assert_string_equal(world->order, "UC");
}

/* A slice is gone when a list says so, not when something between us and the server says anything. */
static void test_conflict_and_no_list(void **state)
{
	(void)state;
	started(2);
	version_next(world->slices[0]);
	world->no_list = true;
	device_set(0, 9000);
	change();
	assert_true(fake_run_until(&world->loop, &world->troubles, 1));
	assert_string_equal(world->order, "U");
	world->no_list = false;
	wait_published(2);
	assert_int_equal(strspn(world->order, "U"), strlen(world->order));
	assert_null(world->slices[1]);
}

static void test_dropped_fields(void **state)
{
	(void)state;
	world->drop = "dra.net/mtu";
	started(2);
	assert_int_equal(world->warnings, 1);
	fake_run_for(&world->loop, 100);
	assert_string_equal(world->order, "");
	device_set(1, 9000); /* what would be written is another thing, though it comes out the same */
	change();
	wait_published(2);
	assert_string_equal(world->order, "U");
	assert_int_equal(world->warnings, 1);
	assert_int_equal(world->troubles, 0);
}

static void test_dropped_fields_in_disorder(void **state)
{
	world->disorder = true;
	test_dropped_fields(state);
}

static void test_dropped_devices(void **state)
{
	(void)state;
	world->drop_devices = true;
	devices_set(2);
	start();
	change();
	assert_true(fake_run_until(&world->loop, &world->troubles, 1));
	fake_run_for(&world->loop, 150);
	assert_int_equal(world->published, 0);
	assert_string_equal(world->order, "C");
}

static void test_trouble(void **state)
{
	(void)state;
	world->node_uid = NULL;
	devices_set(2);
	start();
	change();
	assert_true(fake_run_until(&world->loop, &world->nodes, 3));
	assert_int_equal(world->troubles, 1);
	assert_non_null(strstr(world->trouble, "nodes/node-a"));
	assert_string_equal(world->order, "");
	world->node_uid = "node-uid";
	wait_published(1);
	assert_int_equal(world->recoveries, 1);

	writes_clear();
	world->fail_puts = 503;
	world->fail_n = 3;
	device_set(0, 9000);
	change();
	wait_published(2);
	assert_string_equal(world->order, "UUUU");
	assert_int_equal(world->troubles, 2);
	assert_int_equal(world->recoveries, 2);
}

static void test_refused(void **state)
{
	(void)state;
	world->api->timing.backoff_min_ms = world->api->timing.backoff_max_ms = 600000;
	started(2);
	writes_clear();
	world->fail_puts = 422;
	world->fail_n = 1;
	device_set(0, 9000);
	change();
	assert_true(fake_run_until(&world->loop, &world->troubles, 1));
	/* new contents do not wait until the refused ones would be tried again */
	device_set(0, 9001);
	change();
	wait_published(2);
	assert_string_equal(world->order, "UU");
}

static void test_interrupted_rewrite(void **state)
{
	(void)state;
	started(10);
	device_set(0, 9000);
	device_set(9, 9000);
	world->fail_puts = 503;
	world->fail_n = 0;
	change();
	/* the second PUT fails: the rewrite goes on in the same generation */
	assert_true(fake_run_until(&world->loop, &world->puts, 1));
	world->fail_n = world->puts == 1;
	wait_published(2);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pool_number(i, "generation"), 2);
}

static void test_versions(void **state)
{
	(void)state;
	world->served = "v1beta1";
	started(2);
	json_t *device = json_array_get(json_member(world->slices[0], "spec.devices"), 0);
	assert_string_equal(json_string_value(json_object_get(world->slices[0], "apiVersion")), "resource.k8s.io/v1beta1");
	assert_true(json_object_size(json_member(device, "basic.attributes")) > 2);
	assert_null(json_object_get(device, "attributes"));
	fake_run_for(&world->loop, 50);
	assert_string_equal(world->order, "");
	/* the cluster is upgraded: the old version vanishes, the objects are there under the new one */
	struct http_request *watch = world->watches[0];
	world->watches[0] = NULL;
	world->served = "v1";
	fake_answer(watch, 200, NULL);
	device_set(0, 9000);
	change();
	wait_published(2);
	assert_int_equal(world->discoveries, 2);
	assert_string_equal(json_string_value(json_object_get(world->slices[0], "apiVersion")), "resource.k8s.io/v1");
	assert_int_equal(json_array_size(json_member(world->slices[0], "spec.devices")), 2);
	assert_non_null(json_object_get(json_array_get(json_member(world->slices[0], "spec.devices"), 0), "attributes"));
}

static void test_expired(void **state)
{
	(void)state;
	started(2);
	struct http_request *watch = world->watches[0];
	world->watches[0] = NULL;
	/* something happened that the watch does not tell any more */
	json_decref(world->slices[0]);
	world->slices[0] = NULL;
	static const char gone[] = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\"}}\n";
	watch->data(watch, gone, sizeof(gone) - 1, watch->user);
	wait_published(2);
	assert_int_equal(world->lists, 1);
	assert_string_equal(world->order, "C");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_first),
	    TEST(test_waits_for_inventory),
	    TEST(test_one_change_one_put),
	    TEST(test_generation),
	    TEST(test_wiped),
	    TEST(test_wiped_under_a_create),
	    TEST(test_wiped_for_ever),
	    TEST(test_meddling),
	    TEST(test_meddling_in_disorder),
	    TEST(test_takes_over),
	    TEST(test_conflict),
	    TEST(test_conflict_and_no_list),
	    TEST(test_dropped_fields),
	    TEST(test_dropped_fields_in_disorder),
	    TEST(test_dropped_devices),
	    TEST(test_trouble),
	    TEST(test_refused),
	    TEST(test_interrupted_rewrite),
	    TEST(test_versions),
	    TEST(test_expired),

	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
