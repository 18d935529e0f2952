/* SPDX-License-Identifier: Apache-2.0 */
/* Core, one event at a time, where the simulator's world does not come: records that no healthy run leaves, and what the devices of a pod
 * are called. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/core.h"
#include "value_text.h"

enum { ROUNDS = 100 };

struct run {
	struct core *core;
	struct effects fx;
	uint64_t now;
	const char *const *configs; /* of the claim that is read: one for each of its devices */
	size_t n_configs;
	bool answered; /* the last Prepare or Unprepare */
	char error[ERROR_TEXT_MAX];
};

static void feed(struct run *r, struct event e)
{
	e.now = ++r->now;
	assert_int_equal(core_step(r->core, &e, &r->fx), 0);
}

static struct device_facts facts_of(size_t i)
{
	struct device_facts f = {.name = "nic0", .ifname = "eth0", .ifindex = 7 + (int32_t)i, .pci_address = "0000:00:04.0"};
	f.name[3] = f.ifname[3] = (char)('0' + i);
	f.pci_address[9] = (char)('4' + i);
	return f;
}

static struct host_state host_of(size_t i)
{
	struct host_state h = {.ifindex = 7 + (int32_t)i, .ifname = "eth0", .mtu = 1500, .mac = {6, {2, 0, 0, 0, 0, (uint8_t)i}}};
	h.ifname[3] = (char)('0' + i);
	return h;
}

static struct claim_ref claim(const char *uid)
{
	struct claim_ref ref = {.namespace_ = "default", .name = "claim"};
	STR_COPY(ref.uid, uid);
	return ref;
}

static void start(struct run *r)
{
	const struct core_options options = {.driver = "dra.net", .node = "node", .boot_id = "boot"};
	*r = (struct run){.now = 1};
	assert_int_equal(core_new(&options, &r->core), 0);
}

/* A record of a device that is on the host, down, with a lease that no pod used. */
static void recover(struct run *r, const char *uid, bool with_plan)
{
	struct claim_record record = {.ref = claim(uid), .n = 1, .devices = calloc(1, sizeof(*record.devices))};
	struct attachment_record *a = record.devices;
	assert_non_null(a);
	*a = (struct attachment_record){.device = "nic0", .state = DEVICE_PREPARED, .boot_id = "boot", .leases = leases_new()};
	assert_non_null(a->leases);
	a->leases->v4.held = true;
	if (with_plan) {
		struct network_config config;
		struct device_facts facts = facts_of(0);
		struct host_state host = host_of(0);
		network_config_init(&config);
		config.dhcp = 1;
		assert_int_equal(attach_plan_new(&facts, &host, &config, &a->plan, NULL, NULL), 0);
	}
	feed(r, (struct event){.type = EVENT_RECORD, .record = &record});
}

static void see_devices(struct run *r, size_t n)
{
	feed(r, (struct event){.type = EVENT_RECOVERED});
	feed(r, (struct event){.type = EVENT_INVENTORY_BEGIN});
	for (size_t i = 0; i < n; i++) {
		struct device_facts facts = facts_of(i);
		feed(r, (struct event){.type = EVENT_DEVICE, .device = &facts});
	}
	feed(r, (struct event){.type = EVENT_INVENTORY_END});
	feed(r, (struct event){.type = EVENT_UPLINKS, .uplinks = {.ifindexes = &(int32_t){0}}});
}

/* ---- the world ------------------------------------------------------------------------------------------------------------------- */

static void answer_read(struct run *r, const struct effect *f)
{
	struct claim_object o = {.ref = f->claim_get,
	                         .allocated = true,
	                         .n_reserved = 1,
	                         .reserved_for_pod = true,
	                         .pod = {.uid = "pod", .namespace_ = "default", .name = "pod"},
	                         .results = calloc(r->n_configs, sizeof(*o.results)),
	                         .n_results = r->n_configs,
	                         .configs = calloc(r->n_configs, sizeof(*o.configs)),
	                         .n_configs = r->n_configs};
	assert_true(o.results && o.configs);
	for (size_t i = 0; i < r->n_configs; i++) {
		struct claim_config *c = &o.configs[i];
		o.results[i] = (struct claim_result){.request = "r0", .pool = "node"};
		o.results[i].request[1] = (char)('0' + i);
		STR_COPY(o.results[i].device, facts_of(i).name);
		c->requests = calloc(1, sizeof(*c->requests));
		assert_non_null(c->requests);
		c->n_requests = 1;
		STR_COPY(c->requests[0], o.results[i].request);
		c->parameters = value_from_text(r->configs[i]);
	}
	feed(r, (struct event){.type = EVENT_CLAIM_READ, .claim_read = {.op = f->op, .object = &o}});
	claim_object_free(&o);
}

static void answer_done(struct run *r, const struct effect *f)
{
	struct host_state host = {0};
	struct event e = {.type = EVENT_DONE, .done = {.op = f->op, .place = PLACE_HOST}};
	if (f->type == EFFECT_SNAPSHOT) {
		host = host_of((size_t)f->snapshot.ifindex - 7);
		e.done.host = &host;
	}
	feed(r, e);
}

static void perform(struct run *r, const struct effect *f)
{
	if (f->type == EFFECT_REPLY_PREPARE || f->type == EFFECT_REPLY_UNPREPARE) {
		r->answered = true;
		STR_CUT(r->error, f->reply.answers[0].error ? f->reply.answers[0].error : "");
	} else if (f->type == EFFECT_CLAIM_GET) {
		answer_read(r, f);
	} else if (f->op) {
		answer_done(r, f);
	}
}

/* One request, and what follows from it until it is answered. */
static void ask(struct run *r, enum event_type type, const char *uid)
{
	const struct claim_ref ref = claim(uid);
	r->answered = false;
	feed(r, (struct event){.type = type, .request = {.call = 1, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
	for (int i = 0; i < ROUNDS && !r->answered; i++) {
		struct effects fx = r->fx;
		r->fx = (struct effects){0};
		for (size_t k = 0; k < fx.n; k++)
			perform(r, &fx.v[k]);
		if (!fx.n && core_deadline(r->core) != UINT64_MAX) {
			r->now = core_deadline(r->core);
			feed(r, (struct event){.type = EVENT_TICK});
		}
		effects_free(&fx);
	}
	assert_true(r->answered);
}

static void end(struct run *r)
{
	effects_free(&r->fx);
	core_free(r->core);
}

/* ---- records --------------------------------------------------------------------------------------------------------------------- */

static void test_lease_without_a_device(void **state)
{
	(void)state;
	struct run r;
	start(&r);
	recover(&r, "first", true);
	recover(&r, "second", true); /* the same device: it holds nothing */
	recover(&r, "third", false);
	see_devices(&r, 1);
	ask(&r, EVENT_UNPREPARE, "second");
	assert_string_equal(r.error, "");
	ask(&r, EVENT_UNPREPARE, "third");
	assert_string_equal(r.error, "");
	end(&r);
}

static void test_lease_of_an_unprepared_claim_is_freed(void **state)
{
	(void)state;
	struct run r;
	struct claim_record record = {.ref = claim("first"), .unprepared = true, .n = 1, .devices = calloc(1, sizeof(*record.devices))};
	assert_non_null(record.devices);
	record.devices[0].leases = leases_new();
	start(&r);
	feed(&r, (struct event){.type = EVENT_RECORD, .record = &record});
	end(&r);
}

static void see_prepared(const struct core_device_view *d, void *user)
{
	*(bool *)user |= str_equal(d->facts->name, "nic0") && d->state == DEVICE_PREPARED;
}

/* One claim, one pod after the other: the API server has not yet taken what is to be told of the first. */
static void test_prepared_again_before_its_status_is_told(void **state)
{
	(void)state;
	static const char *const configs[] = {"{}"};
	struct run r;
	struct claim_record record = {.ref = claim("first"), .unprepared = true};
	bool prepared = false;
	start(&r);
	feed(&r, (struct event){.type = EVENT_RECORD, .record = &record});
	see_devices(&r, 1);
	r.configs = configs;
	r.n_configs = 1;
	ask(&r, EVENT_PREPARE, "first");
	assert_string_equal(r.error, "");
	core_devices(r.core, see_prepared, &prepared);
	assert_true(prepared);
	end(&r);
}

/* ---- names in a pod -------------------------------------------------------------------------------------------------------------- */

static void test_names_in_a_pod(void **state)
{
	(void)state;
	static const struct {
		const char *configs[2], *error;
	} rows[] = {
	    {{"{interface: {vrf: {name: blue}}}", "{interface: {vrf: {name: blue}}}"}, ""},
	    {{"{interface: {name: net1}}", "{interface: {name: net1}}"},
	     "interface.name: \"net1\" is wanted by device nic0 and by device nic1 of claim claim in the same pod"},
	    {{"{interface: {vrf: {name: blue, table: 7}}}", "{interface: {vrf: {name: blue, table: 8}}}"},
	     "interface.vrf.table: 7 for \"blue\" by device nic0, and 8 by device nic1 of claim claim in the same pod"},
	    {{"{interface: {vrf: {name: net1}}}", "{interface: {name: net1}}"},
	     "interface.vrf.name: \"net1\" is that of device nic1 of claim claim in the same pod"},
	    {{"{}", "{interface: {vrf: {name: eth0}}}"},
	     "interface.name: \"eth0\" is that of the VRF of device nic1 of claim claim in the same pod"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct run r;
		start(&r);
		see_devices(&r, 2);
		r.configs = rows[i].configs;
		r.n_configs = 2;
		ask(&r, EVENT_PREPARE, "first");
		assert_string_equal(r.error, rows[i].error);
		end(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lease_without_a_device),
	    cmocka_unit_test(test_lease_of_an_unprepared_claim_is_freed),
	    cmocka_unit_test(test_prepared_again_before_its_status_is_told),
	    cmocka_unit_test(test_names_in_a_pod),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
