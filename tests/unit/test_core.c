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
	    cmocka_unit_test(test_refused_before_its_status_is_told),
	    cmocka_unit_test(test_status_of_an_earlier_use_is_answered),
	    cmocka_unit_test(test_names_in_a_pod),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
