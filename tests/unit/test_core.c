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

#include "core/base/str.h"
#include "core_fixture.h"

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

/* Its second device is refused when the first is taken already. Nothing of it was ever held: there is nothing to be looked for. */
static void test_refused_before_its_status_is_told(void **state)
{
	(void)state;
	static const char *const configs[] = {"{}", "{interface: {mtu: 0}}"};
	struct run r;
	struct claim_record record = {.ref = claim("first"), .unprepared = true};
	start(&r);
	feed(&r, (struct event){.type = EVENT_RECORD, .record = &record});
	see_devices(&r, 2);
	r.configs = configs;
	r.n_configs = 2;
	ask(&r, EVENT_PREPARE, "first");
	assert_non_null(strstr(r.error, "nic1"));
	feed(&r, (struct event){.type = EVENT_DEVICE_GONE, .device_gone = "nic0"});
	ask(&r, EVENT_UNPREPARE, "first");
	assert_string_equal(r.error, "");
	end(&r);
}

/* The operation of the first effect of this type; nobody performs it. */
static uint64_t take_op(struct run *r, enum effect_type type)
{
	for (size_t i = 0; i < r->fx.n; i++) {
		uint64_t op = r->fx.v[i].op;
		if (r->fx.v[i].type == type && op) {
			r->fx.v[i].op = 0;
			return op;
		}
	}
	return 0;
}

/* "Deallocated", says the API server late, when the claim is allocated anew and the next pod has it. */
static void test_status_of_an_earlier_use_is_answered(void **state)
{
	(void)state;
	static const char *const configs[] = {"{}"};
	struct run r;
	struct claim_record record = {.ref = claim("first"), .unprepared = true};
	start(&r);
	feed(&r, (struct event){.type = EVENT_RECORD, .record = &record});
	uint64_t op = take_op(&r, EFFECT_STATUS);
	assert_true(op > 0);
	see_devices(&r, 1);
	r.configs = configs;
	r.n_configs = 1;
	ask(&r, EVENT_PREPARE, "first");
	assert_string_equal(r.error, "");
	feed(&r, (struct event){.type = EVENT_DONE, .done = {.op = op, .result = -ESTALE}});
	assert_true(core_deadline(r.core) != UINT64_MAX);
	r.now = core_deadline(r.core);
	feed(&r, (struct event){.type = EVENT_TICK});
	assert_true(take_op(&r, EFFECT_STATUS) > 0);
	end(&r);
}

/* ---- character devices ----------------------------------------------------------------------------------------------------------- */

static struct rdma_state rdma_with(uint32_t minor)
{
	return (struct rdma_state){
	    .name = "rocep0", .n_nodes = 1, .nodes = {{.path = "/dev/infiniband/uverbs0", .major = 231, .minor = minor}}};
}

/* The character device has this number; what is asked of the mover is left to the test. */
static void answer_with(struct run *r, const struct effect *f, uint32_t minor, uint64_t *attach)
{
	struct host_state host = host_of(0);
	struct event e = {.type = EVENT_DONE, .done = {.op = f->op, .netns_inode = 1}};
	host.rdma = rdma_with(minor);
	if (f->type == EFFECT_SNAPSHOT)
		e.done.host = &host;
	if (f->type == EFFECT_ATTACH)
		*attach = f->op;
	else if (f->type == EFFECT_CLAIM_GET)
		answer_read(r, f);
	else if (f->op)
		feed(r, e);
}

/* Until nothing is left to do. Whether a hook was answered, and how. */
static bool work(struct run *r, uint32_t minor, uint64_t *attach)
{
	bool answered = false;
	while (r->fx.n > 0) {
		struct effects fx = r->fx;
		r->fx = (struct effects){0};
		for (size_t i = 0; i < fx.n; i++) {
			const struct effect *f = &fx.v[i];
			if (f->type == EFFECT_REPLY_HOOK) {
				answered = true;
				STR_CUT(r->error, f->reply_hook.error ? f->reply_hook.error : "");
			}
			answer_with(r, f, minor, attach);
		}
		effects_free(&fx);
	}
	return answered;
}

static void hook(struct run *r, enum event_type type)
{
	static const struct sandbox sandbox = {.id = "sandbox", .pod = {.uid = "pod"}, .netns = "/run/netns/pod"};
	feed(r, (struct event){.type = type, .hook = {.call = 1, .sandbox = &sandbox, .deadline = UINT64_MAX}});
}

/* Its driver was bound again between Prepare and attach: the container was made with a number that is nobody's by now. The next one is
 * made with the right one. */
static void test_character_devices_made_anew(void **state)
{
	(void)state;
	static const char *const configs[] = {"{}"};
	const struct claim_ref ref = claim("first");
	const struct pod_state pod = {.ifname = "eth0", .rdma = rdma_with(2)};
	uint64_t attach = 0;
	struct run r;
	start(&r);
	see_devices(&r, 1);
	feed(&r, (struct event){.type = EVENT_RUNTIME_UP, .runtime = {.can_gate = true}});
	r.configs = configs;
	r.n_configs = 1;
	feed(&r, (struct event){.type = EVENT_PREPARE, .request = {.call = 1, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
	work(&r, 1, &attach);
	hook(&r, EVENT_RUN_SANDBOX);
	assert_true(work(&r, 1, &attach));
	assert_string_equal(r.error, "");
	hook(&r, EVENT_CREATE_CONTAINER);
	assert_false(work(&r, 1, &attach));
	assert_true(attach > 0);
	feed(&r, (struct event){.type = EVENT_DONE, .done = {.op = attach, .place = PLACE_POD, .pod = &pod}});
	assert_true(work(&r, 2, &attach));
	assert_non_null(strstr(r.error, "made anew"));
	hook(&r, EVENT_CREATE_CONTAINER);
	assert_true(work(&r, 2, &attach));
	assert_string_equal(r.error, "");
	end(&r);
}

/* ---- links that leave a pod ------------------------------------------------------------------------------------------------------ */

static struct attach_plan *plan_of(const struct device_facts *facts, const struct host_state *host)
{
	struct network_config config;
	struct attach_plan *plan = NULL;
	network_config_init(&config);
	assert_int_equal(attach_plan_new(facts, host, &config, &plan, NULL, NULL), 0);
	return plan;
}

/* Two devices that are in a pod by the record; the second is an RDMA device alone. */
static void recover_attached(struct run *r)
{
	struct claim_record record = {.ref = claim("first"),
	                              .sandbox = {.id = "sandbox", .pod = {.uid = "pod"}, .netns = "/run/netns/pod"},
	                              .wants_pod = true,
	                              .n = 2,
	                              .devices = calloc(2, sizeof(*record.devices))};
	assert_non_null(record.devices);
	for (size_t i = 0; i < 2; i++) {
		struct device_facts facts = facts_of(i);
		struct host_state host = host_of(i);
		if (i == 1) {
			host = (struct host_state){.rdma = rdma_with(1)};
			host.rdma.exclusive = true;
			facts.ifindex = 0;
		}
		record.devices[i] = (struct attachment_record){.state = DEVICE_ATTACHED, .attached_in = "sandbox", .boot_id = "boot"};
		STR_COPY(record.devices[i].device, facts.name);
		record.devices[i].plan = plan_of(&facts, &host);
	}
	feed(r, (struct event){.type = EVENT_RECORD, .record = &record});
	feed(r, (struct event){.type = EVENT_RECOVERED});
	feed(r, (struct event){.type = EVENT_INVENTORY_BEGIN});
	feed(r, (struct event){.type = EVENT_INVENTORY_END});
}

/* All is done as it was asked; how often the first device was looked for. */
static size_t look(struct run *r)
{
	const struct pod_state pod = {.ifname = "eth0"};
	size_t n = 0;
	while (r->fx.n > 0) {
		struct effects fx = r->fx;
		r->fx = (struct effects){0};
		for (size_t i = 0; i < fx.n; i++) {
			struct event e = {.type = EVENT_DONE,
			                  .done = {.op = fx.v[i].op, .netns_inode = 1, .place = PLACE_POD, .pod = &pod}};
			n += fx.v[i].type == EFFECT_PROBE && str_equal(fx.v[i].move.plan->facts.name, "nic0");
			if (fx.v[i].op)
				feed(r, e);
		}
		effects_free(&fx);
	}
	return n;
}

/* Where name or number are not known, that is not the device without either. */
static void test_unknown_link_leaves_a_pod(void **state)
{
	(void)state;
	struct run r;
	start(&r);
	recover_attached(&r);
	assert_int_equal(look(&r), 1);
	r.now += 10000;
	feed(&r, (struct event){.type = EVENT_POD_DEVICE_GONE, .pod_device_gone = {.sandbox = "sandbox", .ifname = "renamed"}});
	assert_int_equal(look(&r), 1);
	r.now += 10000;
	feed(&r, (struct event){.type = EVENT_POD_DEVICE_GONE, .pod_device_gone = {.sandbox = "sandbox", .ifindex = 99}});
	assert_int_equal(look(&r), 1);
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

/* Whom a claim is reserved for: the rows of DRANET's own test (dranet-behaviour §11.3). Where there is nobody, DRANET says yes and does
 * nothing. */
static void test_whom_a_claim_is_reserved_for(void **state)
{
	static const struct {
		size_t n_reserved;
		bool pod;
		const char *error;
	} rows[] = {
	    {0, false, "status.reservedFor: claim default/claim is reserved for no pod"},
	    {2, true, "status.reservedFor: only one pod per claim is supported, got 2"},
	    {1, false, "status.reservedFor: only pods are supported"},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct run r;
		const struct claim_ref ref = claim("first");
		start(&r);
		see_devices(&r, 1);
		effects_free(&r.fx);
		feed(&r, (struct event){.type = EVENT_PREPARE, .request = {.call = 1, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
		struct claim_object o = {.ref = ref, .allocated = true, .n_reserved = rows[i].n_reserved, .reserved_for_pod = rows[i].pod};
		uint64_t op = 0;
		for (size_t k = 0; k < r.fx.n; k++)
			op = r.fx.v[k].type == EFFECT_CLAIM_GET ? r.fx.v[k].op : op;
		feed(&r, (struct event){.type = EVENT_CLAIM_READ, .claim_read = {.op = op, .object = &o}});
		for (size_t k = 0; k < r.fx.n; k++)
			if (r.fx.v[k].type == EFFECT_REPLY_PREPARE)
				STR_CUT(r.error, r.fx.v[k].reply.answers[0].error ? r.fx.v[k].reply.answers[0].error : "");
		assert_string_equal(r.error, rows[i].error);
		end(&r);
	}
}

/* What the gauges of published devices show: the rows of DRANET's own test. */
static void test_counts_of_published_devices(void **state)
{
	static const struct {
		size_t rdma, others;
	} rows[] = {{0, 0}, {1, 0}, {0, 1}, {2, 1}};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct run r;
		struct core_counts counts;
		start(&r);
		see_devices(&r, rows[i].rdma + rows[i].others);
		for (size_t k = 0; k < rows[i].rdma; k++) {
			struct device_facts facts = facts_of(k);
			facts.rdma = true;
			feed(&r, (struct event){.type = EVENT_DEVICE, .device = &facts});
		}
		core_count(r.core, &counts);
		assert_int_equal(counts.rdma_offered, rows[i].rdma);
		assert_int_equal(counts.offered, rows[i].rdma + rows[i].others);
		end(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lease_without_a_device),
	    cmocka_unit_test(test_lease_of_an_unprepared_claim_is_freed),
	    cmocka_unit_test(test_prepared_again_before_its_status_is_told),
	    cmocka_unit_test(test_refused_before_its_status_is_told),
	    cmocka_unit_test(test_status_of_an_earlier_use_is_answered),
	    cmocka_unit_test(test_character_devices_made_anew),
	    cmocka_unit_test(test_unknown_link_leaves_a_pod),
	    cmocka_unit_test(test_names_in_a_pod),
	    cmocka_unit_test(test_whom_a_claim_is_reserved_for),
	    cmocka_unit_test(test_counts_of_published_devices),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
