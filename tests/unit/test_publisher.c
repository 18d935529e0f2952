/* SPDX-License-Identifier: Apache-2.0 */
/* The publisher against an API server in the process that counts what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/slice_publisher.h"
#include "tests/unit/fake_http.h"

enum { DEVICES_MAX = 200, SLICES_MAX = 16 };

struct world {
	uv_loop_t loop;
	struct api *api;
	struct publisher *publisher;

	/* what core wants */
	struct device_facts devices[DEVICES_MAX];
	size_t n_devices, per_slice;
	bool unknown; /* the inventory is not known yet */
	uint64_t revision;

	/* what came back */
	int published;
	uint64_t published_revision;
	int troubles, recoveries, warnings;
	char trouble[256];

	/* the API server */
	json_t *slices[SLICES_MAX];
	struct http_request *watches[4];
	int version, uid, names;
	int lists, gets, posts, puts, deletes, nodes, discoveries;
	const char *served, *node_uid;
	const char *drop;             /* attribute the server does not know */
	bool drop_devices, echo_late; /* stores no devices; tells watches nothing until asked */
	long fail_puts, fail_posts;   /* status for the next ones */
	int fail_n;
	char order[64]; /* D, U, C of each write */
};
static struct world *world;

/* ---- the API server --------------------------------------------------------------------------------------------------------------- */

static json_t *status_new(long code, const char *reason, const char *name)
{
	return json_pack("{s:s, s:s, s:i, s:s, s:s, s:{s:s}}", "kind", "Status", "status", "Failure", "code", (int)code, "reason", reason,
	                 "message", reason, "details", "name", name);
}

static json_t **slot_of(const char *name)
{
	for (size_t i = 0; i < SLICES_MAX; i++)
		if (world->slices[i] && !strcmp(json_string_value(json_member(world->slices[i], "metadata.name")), name))
			return &world->slices[i];
	return NULL;
}

static void tell(const char *type, json_t *object)
{
	json_t *event = json_pack("{s:s, s:O}", "type", type, "object", object);
	_cleanup_free_ char *text = json_dumps(event, JSON_COMPACT);
	json_decref(event);
	for (size_t i = 0; i < ELEMENTS(world->watches); i++) {
		struct http_request *r = world->watches[i];
		if (!r)
			continue;
		/* in two pieces, as networks do */
		size_t half = strlen(text) / 2;
		r->data(r, text, half, r->user);
		r->data(r, text + half, strlen(text) - half, r->user);
		r->data(r, "\n", 1, r->user);
	}
}

static void version_next(json_t *object)
{
	char text[16];
	snprintf(text, sizeof(text), "%d", ++world->version);
	json_object_set_new(json_object_get(object, "metadata"), "resourceVersion", json_string(text));
}

static void fields_drop(json_t *object)
{
	json_t *devices = json_member(object, "spec.devices");
	if (world->drop_devices)
		json_array_clear(devices);
	for (size_t i = 0; world->drop && i < json_array_size(devices); i++)
		json_object_del(json_object_get(json_array_get(devices, i), "attributes"), world->drop);
}

static void serve_create(struct http_request *r)
{
	char name[128];
	size_t i = 0;
	world->posts++;
	strcat(world->order, "C");
	if (world->fail_posts && world->fail_n-- > 0)
		return fake_answer(r, world->fail_posts, status_new(world->fail_posts, "Whatever", "x"));
	while (world->slices[i])
		assert_true(++i < SLICES_MAX);
	json_t *object = json_deep_copy(r->body), *metadata = json_object_get(object, "metadata");
	snprintf(name, sizeof(name), "%.58s%05d", json_member_text(metadata, "generateName"), ++world->names);
	json_object_set_new(metadata, "name", json_string(name));
	snprintf(name, sizeof(name), "slice-uid-%d", ++world->uid);
	json_object_set_new(metadata, "uid", json_string(name));
	fields_drop(object);
	version_next(object);
	world->slices[i] = object;
	if (!world->echo_late)
		tell("ADDED", object);
	fake_answer(r, 201, json_incref(object));
}

static void serve_update(struct http_request *r, json_t **slot, const char *name)
{
	world->puts++;
	strcat(world->order, "U");
	if (world->fail_puts && world->fail_n-- > 0)
		return fake_answer(r, world->fail_puts, status_new(world->fail_puts, "Whatever", name));
	if (!slot)
		return fake_answer(r, 404, status_new(404, "NotFound", name));
	json_t *metadata = json_object_get(r->body, "metadata"), *had = json_object_get(*slot, "metadata");
	if (strcmp(json_member_text(metadata, "resourceVersion"), json_member_text(had, "resourceVersion")) != 0)
		return fake_answer(r, 409, status_new(409, "Conflict", name));
	json_t *object = json_deep_copy(r->body);
	json_object_set(json_object_get(object, "metadata"), "uid", json_object_get(had, "uid"));
	fields_drop(object);
	version_next(object);
	json_decref(*slot);
	*slot = object;
	if (!world->echo_late)
		tell("MODIFIED", object);
	fake_answer(r, 200, json_incref(object));
}

static void serve_delete(struct http_request *r, json_t **slot, const char *name)
{
	world->deletes++;
	strcat(world->order, "D");
	if (!slot)
		return fake_answer(r, 404, status_new(404, "NotFound", name));
	json_t *want = json_object_get(r->body, "preconditions"), *had = json_object_get(*slot, "metadata");
	if (strcmp(json_member_text(want, "resourceVersion"), json_member_text(had, "resourceVersion")) != 0 ||
	    strcmp(json_member_text(want, "uid"), json_member_text(had, "uid")) != 0)
		return fake_answer(r, 409, status_new(409, "Conflict", name));
	json_t *object = *slot;
	*slot = NULL;
	version_next(object);
	tell("DELETED", object);
	json_decref(object);
	fake_answer(r, 200, json_pack("{s:s}", "kind", "Status"));
}

static void serve_list(struct http_request *r)
{
	char version[16];
	json_t *items = json_array();
	world->lists++;
	for (size_t i = 0; i < SLICES_MAX; i++)
		if (world->slices[i])
			json_array_append(items, world->slices[i]);
	snprintf(version, sizeof(version), "%d", world->version);
	fake_answer(r, 200, json_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion", version, "items", items));
}

static void serve_slices(struct http_request *r, const char *rest)
{
	char name[128];
	if (*rest == '?' && strstr(rest, "watch=1")) {
		for (size_t i = 0; i < ELEMENTS(world->watches); i++)
			if (!world->watches[i]) {
				world->watches[i] = r;
				return;
			}
	}
	if (*rest == '?')
		return serve_list(r);
	if (!*rest)
		return serve_create(r);
	snprintf(name, sizeof(name), "%s", rest + 1);
	json_t **slot = slot_of(name);
	if (!strcmp(r->method, "PUT"))
		return serve_update(r, slot, name);
	if (!strcmp(r->method, "DELETE"))
		return serve_delete(r, slot, name);
	world->gets++;
	fake_answer(r, slot ? 200 : 404, slot ? json_incref(*slot) : status_new(404, "NotFound", name));
}

static void fake_serve(struct http_request *r)
{
	char slices[64];
	snprintf(slices, sizeof(slices), "/apis/resource.k8s.io/%s/resourceslices", world->served);
	if (!strcmp(r->path, "/apis/resource.k8s.io")) {
		world->discoveries++;
		fake_answer(r, 200, json_pack("{s:[{s:s}]}", "versions", "version", world->served));
	} else if (!strcmp(r->path, "/api/v1/nodes/node-a")) {
		world->nodes++;
		if (world->node_uid)
			fake_answer(r, 200, json_pack("{s:{s:s}}", "metadata", "uid", world->node_uid));
		else
			fake_answer(r, 404, status_new(404, "NotFound", "node-a"));
	} else if (str_starts(r->path, slices)) {
		serve_slices(r, r->path + strlen(slices));
	} else {
		fake_answer_text(r, 404, "404 page not found", NULL);
	}
}

/* ---- core's side ------------------------------------------------------------------------------------------------------------------ */

static size_t on_slices(void *user)
{
	const struct world *w = user;
	return w->unknown ? 0 : w->n_devices ? (w->n_devices + w->per_slice - 1) / w->per_slice : 1;
}

static void on_slice(size_t index, struct slice_view *ret, void *user)
{
	const struct world *w = user;
	for (size_t i = index * w->per_slice; i < w->n_devices && i < (index + 1) * w->per_slice; i++)
		ret->devices[ret->n++] = &w->devices[i];
}

static bool slice_holds(const json_t *slice, const struct slice_view *view)
{
	json_t *devices = json_member(slice, "spec.devices");
	size_t found = 0;
	for (size_t i = 0; i < view->n; i++)
		for (size_t k = 0; k < json_array_size(devices); k++)
			found += !strcmp(json_member_text(json_array_get(devices, k), "name"), view->devices[i]->name);
	return found == view->n && json_array_size(devices) == view->n;
}

static void on_published(uint64_t revision, void *user)
{
	struct world *w = user;
	w->published++;
	w->published_revision = revision;
	/* the promise of the callback: the server holds exactly this */
	for (size_t i = 0, n = on_slices(w); i < n; i++) {
		struct slice_view view = {0};
		size_t found = 0;
		on_slice(i, &view, w);
		for (size_t k = 0; k < SLICES_MAX; k++)
			found += w->slices[k] && slice_holds(w->slices[k], &view);
		assert_int_equal(found, 1);
	}
}

static void on_trouble(int result, const char *text, void *user)
{
	struct world *w = user;
	if (result)
		w->troubles++;
	else
		w->recoveries++;
	snprintf(w->trouble, sizeof(w->trouble), "%s", text);
}

static void on_warning(const char *text, void *user)
{
	(void)text;
	((struct world *)user)->warnings++;
}

static void device_set(size_t i, uint32_t mtu)
{
	struct device_facts *d = &world->devices[i];
	*d = (struct device_facts){.ifindex = (int32_t)i + 1, .mtu = mtu, .numa_node = -1};
	snprintf(d->name, sizeof(d->name), "eth%03zu", i);
	snprintf(d->ifname, sizeof(d->ifname), "eth%03zu", i);
	snprintf(d->type, sizeof(d->type), "device");
}

static void devices_set(size_t n)
{
	world->n_devices = n;
	for (size_t i = 0; i < n; i++)
		device_set(i, 1500);
}

static void start(void)
{
	const struct publisher_options o = {.driver = "dra.net",
	                                    .node = "node-a",
	                                    .slices = on_slices,
	                                    .slice = on_slice,
	                                    .published = on_published,
	                                    .trouble = on_trouble,
	                                    .user = world};
	struct error e;
	assert_int_equal(publisher_start(world->api, &o, &world->publisher, &e), 0);
}

static void change(void)
{
	publisher_changed(world->publisher, ++world->revision);
}

static void wait_published(int count)
{
	if (!fake_run_until(&world->loop, &world->published, count))
		print_error("trouble: %s, writes %s\n", world->trouble, world->order);
	assert_int_equal(world->published, count);
	assert_int_equal(world->published_revision, world->revision);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct api_config config = {.server = strdup("https://server")};
	uv_loop_init(&w->loop);
	assert_int_equal(api_new(&w->loop, &config, &w->api, NULL), 0);
	w->api->timing.backoff_min_ms = 10;
	w->api->timing.backoff_max_ms = 80;
	w->api->timing.resync_min_ms = 10;
	api_seed(w->api, 42);
	api_warnings(w->api, on_warning, w);
	w->served = "v1";
	w->node_uid = "node-uid";
	w->version = 100;
	w->per_slice = 4;
	world = *state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	publisher_close(w->publisher);
	api_close(w->api);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	for (size_t i = 0; i < SLICES_MAX; i++)
		json_decref(w->slices[i]);
	free(w);
	return 0;
}

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
	change();
	wait_published(2);
	assert_string_equal(world->order, "U");
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

	/* refused contents: new contents are tried at once */
	writes_clear();
	world->fail_puts = 422;
	world->fail_n = 1;
	device_set(0, 1500);
	change();
	assert_true(fake_run_until(&world->loop, &world->troubles, 3));
	device_set(0, 1501);
	change();
	wait_published(3);
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

/* ---- digests ---------------------------------------------------------------------------------------------------------------------- */

static void test_digest(void **state)
{
	struct slice_digest a, b;
	struct slice_view view = {.n = 2, .devices = {&world->devices[0], &world->devices[1]}};
	const struct slice_identity identity = {.driver = "dra.net", .node = "n", .node_uid = "u"};
	(void)state;
	devices_set(2);
	STR_COPY(world->devices[0].alias, "caf\xc3\xa9 \xff");
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
	world->devices[0].mtu = 1;
	world->devices[1].mtu = 2;
	slice_digest_view(&view, &a);
	world->devices[0].mtu = 2;
	world->devices[1].mtu = 1;
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_first),
	    TEST(test_waits_for_inventory),
	    TEST(test_one_change_one_put),
	    TEST(test_generation),
	    TEST(test_wiped),
	    TEST(test_wiped_for_ever),
	    TEST(test_meddling),
	    TEST(test_takes_over),
	    TEST(test_conflict),
	    TEST(test_dropped_fields),
	    TEST(test_dropped_devices),
	    TEST(test_trouble),
	    TEST(test_interrupted_rewrite),
	    TEST(test_versions),
	    TEST(test_expired),
	    TEST(test_digest),
	    TEST(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
