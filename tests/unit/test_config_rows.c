/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of config_rows.h, and those of devices without a netdev; at the end how many there are of which kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_rows.h"
#include "core/config.h"
#include "value_text.h"

#define NO "cannot be set: the device has no network interface"

/* dranet-behaviour §11.3, "RDMA-only", and the list of §3.3. */
static const struct config_row without_netdev[] = {
    {WHOLE, AS_DRANET, "{}", ""},
    {WHOLE, AS_DRANET, "{interface: {addresses: []}, routes: [], rules: [], neighbors: []}", ""},
    {WHOLE, BETTER, "{ethtool: {}}", ""},
    {WHOLE, BETTER, "{ethtool: {features: {}}}", ""},
    {WHOLE, AS_DRANET, "{profile: a}", ""},
    {WHOLE, AS_DRANET, "{interface: {arpIgnore: 0}}", "interface.arpIgnore: " NO},
    {WHOLE, AS_DRANET, "{interface: {arpAnnounce: 0}}", "interface.arpAnnounce: " NO},
    {WHOLE, AS_DRANET, "{interface: {name: a, addresses: ['10.0.0.1/8'], mtu: 1500}}",
     "interface.name: " NO "; interface.addresses: " NO "; interface.mtu: " NO},
    {WHOLE, AS_DRANET, "{interface: {dhcp: false, hardwareAddr: '02:00:00:00:00:01'}}",
     "interface.dhcp: " NO "; interface.hardwareAddr: " NO},
    {WHOLE, AS_DRANET, "{interface: {gsoMaxSize: 1, groMaxSize: 1, gsoIPv4MaxSize: 1, groIPv4MaxSize: 1, disableEbpfPrograms: false}}",
     "interface.gsoMaxSize: " NO "; interface.groMaxSize: " NO "; interface.gsoIPv4MaxSize: " NO "; interface.groIPv4MaxSize: " NO
     "; interface.disableEbpfPrograms: " NO},
    {WHOLE, AS_DRANET, "{routes: [{destination: '10.0.0.0/8', scope: 253}]}", "routes: " NO},
    {WHOLE, AS_DRANET, "{rules: [{}]}", "rules: " NO},
    {WHOLE, AS_DRANET, "{ethtool: {features: {tso: false}, privateFlags: {a: true}}}", "ethtool: " NO},
    {WHOLE, AS_DRANET, "{neighbors: [{destination: '10.0.0.1', hardwareAddr: '02:00:00:00:00:01'}]}", "neighbors: " NO},
    {WHOLE, BETTER, "{interface: {forwarding: false}}", "interface.forwarding: " NO},
    {WHOLE, BETTER, "{interface: {vrf: {name: b}}}", "interface.vrf: " NO},
    {WHOLE, BEYOND, "{interface: {vf: {}}}", ""},
    {WHOLE, BEYOND, "{interface: {vf: {vlan: 0}}}", "interface.vf: " NO},
    {WHOLE, BEYOND, "{interface: {dhcp6: false}}", "interface.dhcp6: " NO},
    {WHOLE, BEYOND, "{ethtool: {pause: {rx: false}}}", "ethtool: " NO},
    {WHOLE, BEYOND, "{rdma: {umad: true, issm: false}}", ""},
};

static void expect_faults(const char *text, const char *expected, int rc, const struct error *e)
{
	if (strcmp(e->text, expected) != 0 || rc != (expected[0] ? -EINVAL : 0))
		fail_msg("%s\n  gives %d \"%s\"\n  expected \"%s\"", text, rc, e->text, expected);
}

/* What is parsed passes the check of merged configurations, too: they share the rules. */
static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(config_rows); i++) {
		struct network_config c;
		struct error e = {0};
		struct value v = value_from_text(config_rows[i].text);
		int rc = network_config_parse(&v, &c, &e);
		value_free(&v);
		expect_faults(config_rows[i].text, config_rows[i].faults, rc, &e);
		if (rc)
			continue;
		assert_int_equal(network_config_check(&c, &e), 0);
		network_config_free(&c);
	}
}

static void test_devices_without_netdev(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(without_netdev); i++) {
		struct network_config c;
		struct error e = {0};
		struct value v = value_from_text(without_netdev[i].text);
		assert_int_equal(network_config_parse(&v, &c, &e), 0);
		value_free(&v);
		int rc = network_config_check_without_netdev(&c, &e);
		expect_faults(without_netdev[i].text, without_netdev[i].faults, rc, &e);
		network_config_free(&c);
	}
}

/* Every kind of each group that has one in the table: a row lost on the way would be missed. */
static void test_counts(void **state)
{
	(void)state;
	size_t n[CONFIG_ROW_GROUPS + 1][CONFIG_ROW_KINDS] = {{0}};
	for (size_t i = 0; i < ELEMENTS(config_rows); i++)
		n[config_rows[i].group][config_rows[i].kind]++;
	for (size_t i = 0; i < ELEMENTS(without_netdev); i++)
		n[CONFIG_ROW_GROUPS][without_netdev[i].kind]++;
	print_message("rows: as DRANET, deliberately better, beyond DRANET\n");
	for (size_t g = 0; g <= CONFIG_ROW_GROUPS; g++) {
		print_message("  %-26s %3zu %3zu %3zu\n", g < CONFIG_ROW_GROUPS ? config_row_groups[g] : "RDMA-only", n[g][AS_DRANET],
		              n[g][BETTER], n[g][BEYOND]);
		assert_true(n[g][AS_DRANET]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_devices_without_netdev),
	    cmocka_unit_test(test_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
