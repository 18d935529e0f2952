/* SPDX-License-Identifier: Apache-2.0 */
/* An API server for ResourceSlices in the process, which counts what is written, with a publisher and the devices it publishes. */
#pragma once

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
	uint64_t revision, versions[SLICES_MAX];
	int looks; /* at a slice */

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
	bool no_list;                 /* a slice that is looked up is answered by something else */
	bool disorder;                /* does not sort the keys of maps, as others do */
	int wipe_posts;               /* so many created slices are removed before the create is answered */
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

static char *slice_text(json_t *object)
{
	return json_dumps(object, world->disorder ? JSON_COMPACT : JSON_COMPACT | JSON_SORT_KEYS);
}

/* Takes `object`. */
static void answer_slice(struct http_request *r, long status, json_t *object)
{
	_cleanup_free_ char *text = slice_text(object);
	json_decref(object);
	fake_answer_text(r, status, text, NULL);
}

static void tell(const char *type, json_t *object)
{
	_cleanup_free_ char *slice = slice_text(object);
	_cleanup_buf_ struct buf event = {0};
	buf_printf(&event, "{\"type\":\"%s\",\"object\":%s}", type, slice);
	const char *text = buf_text(&event);
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
	if (world->wipe_posts) { /* removed before our answer is on its way */
		world->wipe_posts--;
		world->slices[i] = NULL;
		tell("DELETED", object);
		answer_slice(r, 201, object);
		return;
	}
	answer_slice(r, 201, json_incref(object));
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
	answer_slice(r, 200, json_incref(object));
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

/* All of them, or the one of that name. */
static void serve_list(struct http_request *r, const char *name)
{
	char version[16];
	if (name && world->no_list)
		return fake_answer(r, 200, json_pack("{s:s}", "kind", "Status"));
	json_t *items = json_array();
	for (size_t i = 0; i < SLICES_MAX; i++)
		if (world->slices[i] && (!name || &world->slices[i] == slot_of(name)))
			json_array_append(items, world->slices[i]);
	snprintf(version, sizeof(version), "%d", world->version);
	fake_answer(r, 200, json_pack("{s:{s:s}, s:o}", "metadata", "resourceVersion", version, "items", items));
}

static void serve_slices(struct http_request *r, const char *rest)
{
	static const char by_name[] = "?fieldSelector=metadata.name%3D";
	char name[128];
	if (*rest == '?' && strstr(rest, "watch=1")) {
		for (size_t i = 0; i < ELEMENTS(world->watches); i++)
			if (!world->watches[i]) {
				world->watches[i] = r;
				return;
			}
	}
	if (str_starts(rest, by_name)) {
		world->gets++;
		return serve_list(r, rest + strlen(by_name));
	}
	if (*rest == '?') {
		world->lists++;
		return serve_list(r, NULL);
	}
	if (!*rest)
		return serve_create(r);
	snprintf(name, sizeof(name), "%s", rest + 1);
	json_t **slot = slot_of(name);
	if (!strcmp(r->method, "PUT"))
		return serve_update(r, slot, name);
	assert_string_equal(r->method, "DELETE"); /* there is no right to get one */
	serve_delete(r, slot, name);
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
	struct world *w = user;
	w->looks++;
	for (size_t i = index * w->per_slice; i < w->n_devices && i < (index + 1) * w->per_slice; i++)
		ret->devices[ret->n++] = &w->devices[i];
}

static uint64_t on_version(size_t index, void *user)
{
	const struct world *w = user;
	return w->versions[index];
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
	world->versions[i / world->per_slice]++;
}

static void devices_set(size_t n)
{
	world->n_devices = n;
	for (size_t i = 0; i < SLICES_MAX; i++)
		world->versions[i]++;
	for (size_t i = 0; i < n; i++)
		device_set(i, 1500);
}

static void start(void)
{
	const struct publisher_options o = {.driver = "dra.net",
	                                    .node = "node-a",
	                                    .slices = on_slices,
	                                    .slice = on_slice,
	                                    .version = on_version,
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
