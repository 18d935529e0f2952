/* SPDX-License-Identifier: Apache-2.0 */
/* The opaque configuration: where what is written goes. The rules are in test_config_rows.c, merging is in test_config_merge.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/config.h"
#include "core/config_schema.h"
#include "value_text.h"

static int parse(const char *text, struct network_config *ret, struct error *e)
{
	struct value v = value_from_text(text);
	int rc = network_config_parse(&v, ret, e);
	value_free(&v);
	return rc;
}

/* The document's faults are exactly `expected`, "" = it is good. */
static void expect_faults(const char *text, const char *expected)
{
	struct network_config c;
	struct error e = {0};
	int rc = parse(text, &c, &e);
	if (rc == 0)
		network_config_free(&c);
	if (strcmp(e.text, expected) != 0 || rc != (expected[0] ? -EINVAL : 0))
		fail_msg("%s\n  gives %d \"%s\"\n  expected \"%s\"", text, rc, e.text, expected);
}

struct row {
	const char *text, *faults;
};

static void test_full_document(void **state)
{
	(void)state;
	struct network_config c;
	struct error e = {0};
	int rc = parse("{profile: 'acme.example/overlay',"
	               " interface: {name: net1, addresses: ['192.0.2.10/24', '2001:db8::1/64'], dhcp: false, mtu: 9000,"
	               "   hardwareAddr: '02:00:00:00:00:01', gsoMaxSize: 65536, groMaxSize: 65537, gsoIPv4MaxSize: 65538,"
	               "   groIPv4MaxSize: 65539, disableEbpfPrograms: true, forwarding: true, arpIgnore: 0, arpAnnounce: 2,"
	               "   vrf: {name: blue, table: 1200}},"
	               " routes: [{destination: '192.0.2.1/32', scope: 253},"
	               "          {destination: '0.0.0.0/0', gateway: '192.0.2.1', source: '192.0.2.10', table: 100}],"
	               " neighbors: [{destination: '192.0.2.1', hardwareAddr: '02:00:00:00:00:02'}],"
	               " ethtool: {features: {tso: false}, privateFlags: {some-flag: true}}}",
	               &c, &e);
	assert_string_equal(e.text, "");
	assert_int_equal(rc, 0);
	assert_string_equal(c.profile, "acme.example/overlay");
	assert_string_equal(c.ifname, "net1");
	assert_true(c.addresses_given);
	assert_int_equal(c.n_addresses, 2);
	assert_int_equal(c.addresses[0].prefix.length, 24);
	assert_int_equal(c.addresses[1].prefix.address.family, IP_V6);
	assert_int_equal(c.addresses[1].valid_lifetime, UINT32_MAX);
	assert_int_equal(c.dhcp, 0);
	assert_int_equal(c.mtu, 9000);
	assert_int_equal(c.mac.bytes[5], 1);
	assert_int_equal(c.sizes.gso_max, 65536);
	assert_int_equal(c.sizes.gro_max, 65537);
	assert_int_equal(c.sizes.gso_ipv4_max, 65538);
	assert_int_equal(c.sizes.gro_ipv4_max, 65539);
	assert_int_equal(c.disable_ebpf, 1);
	assert_int_equal(c.forwarding, 1);
	assert_int_equal(c.arp_ignore, 0);
	assert_int_equal(c.arp_announce, 2);
	assert_string_equal(c.vrf_name, "blue");
	assert_int_equal(c.vrf_table, 1200);
	assert_int_equal(c.n_routes, 2);
	assert_int_equal(c.routes[0].scope, 253);
	assert_int_equal(c.routes[1].table, 100);
	assert_int_equal(c.routes[1].source.bytes[3], 10);
	assert_int_equal(c.n_neighbours, 1);
	assert_int_equal(c.neighbours[0].mac.bytes[5], 2);
	assert_true(network_config_has_ethtool(&c));
	network_config_free(&c);
}

static void test_beyond_dranet(void **state)
{
	(void)state;
	struct network_config c;
	struct error e = {0};
	parse("{interface: {dhcp6: true},"
	      " routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.1', metric: 5, mtu: 1400, advmss: 1300, onlink: true},"
	      "          {destination: '::/0', nextHops: [{gateway: 'fe80::1', weight: 3}, {gateway: 'fe80::2', onlink: true}]}],"
	      " rules: [{fwmark: '0x1F', iif: a, oif: b, family: ipv6}, {fwmark: 0, fwmask: 15, priority: 0}, {}],"
	      " ethtool: {features: {tso: false}, privateFlags: {f: true}, rings: {tx: 9}, channels: {rx: 0},"
	      "           coalesce: {adaptiveTx: true, statsBlockUsecs: 7}, pause: {autoneg: false}}}",
	      &c, &e);
	assert_string_equal(e.text, "");
	assert_int_equal(c.dhcp6, 1);
	assert_int_equal(c.dhcp, -1);
	const struct route *r = c.routes;
	assert_true(r[0].metric == 5 && r[0].mtu == 1400 && r[0].advmss == 1300 && r[0].flags == RTNH_F_ONLINK && !r[0].n_hops);
	assert_true(r[1].n_hops == 2 && r[1].gateway.family == IP_NONE && !r[1].flags);
	assert_true(r[1].hops[0].weight == 3 && !r[1].hops[0].flags && r[1].hops[0].gateway.bytes[15] == 1);
	assert_true(r[1].hops[1].weight == 0 && r[1].hops[1].flags == RTNH_F_ONLINK);
	assert_true(c.rules[0].has_mark && c.rules[0].mark == 31 && c.rules[0].mask == UINT32_MAX && c.rules[0].family == IP_V6);
	assert_string_equal(c.rules[0].iif, "a");
	assert_string_equal(c.rules[0].oif, "b");
	assert_false(c.rules[0].has_priority);
	assert_true(c.rules[1].has_mark && c.rules[1].mark == 0 && c.rules[1].mask == 15 && c.rules[1].has_priority);
	assert_false(c.rules[2].has_mark || c.rules[2].mask || c.rules[2].has_priority || c.rules[2].family);
	assert_true(c.n_features == 1 && !c.features[0].on && c.n_private_flags == 1 && c.private_flags[0].on);
	assert_string_equal(c.features[0].name, "tso");
	assert_int_equal(c.ethtool.given,
	                 1u << RING_TX | 1u << CHANNELS_RX | 1u << COALESCE_ADAPTIVE_TX | 1u << COALESCE_STATS_USECS | 1u << PAUSE_AUTONEG);
	assert_true(c.ethtool.v[RING_TX] == 9 && c.ethtool.v[CHANNELS_RX] == 0 && c.ethtool.v[COALESCE_ADAPTIVE_TX] == 1);
	assert_true(c.ethtool.v[COALESCE_STATS_USECS] == 7 && c.ethtool.v[PAUSE_AUTONEG] == 0);
	network_config_free(&c);
}

static void test_vrf_tables_by_name(void **state)
{
	(void)state;
	/* FNV-1a with 32 bits: "a" → 0xe40c292c, "foobar" → 0xbf9cf968. */
	assert_int_equal(config_vrf_table("foobar"), 1000 + 0xbf9cf968u % 1000);
	assert_int_equal(config_vrf_table("a"), 1000 + 0xe40c292cu % 1000);
}

/* As many faults as a document can have: those that the text has no room for are only counted. */
static void test_faults_without_end(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = {0};
	buf_puts(&b, "{");
	for (int i = 0; i < 2000; i++)
		buf_printf(&b, "a%d: 1 ", i);
	buf_puts(&b, "}");
	struct network_config c;
	struct error e = {0};
	assert_int_equal(parse(buf_text(&b), &c, &e), -EINVAL);
	assert_true(strlen(e.text) > 700);
	assert_string_equal(e.text + strlen(e.text) - 3, "...");
}

static void test_nothing_given(void **state)
{
	(void)state;
	static const char *const texts[] = {"null",
	                                    "{}",
	                                    "{interface: {}}",
	                                    "{interface: null, routes: null, rules: []}",
	                                    "{interface: {name: '', mtu: null, vrf: null}, ethtool: {features: {}}}",
	                                    "{interface: {addresses: []}}"};
	for (size_t i = 0; i < ELEMENTS(texts); i++) {
		struct network_config c;
		assert_int_equal(parse(texts[i], &c, NULL), 0);
		assert_true(c.dhcp == -1 && c.disable_ebpf == -1 && c.forwarding == -1 && c.arp_ignore == -1 && c.arp_announce == -1);
		assert_false(c.ifname[0] || c.vrf_name[0] || c.profile[0] || c.mtu || c.mac.length || c.vrf_table);
		assert_false(c.sizes.gso_max || c.sizes.gro_max || c.sizes.gso_ipv4_max || c.sizes.gro_ipv4_max);
		assert_false(c.addresses_given || network_config_has_ethtool(&c) || c.n_addresses || c.n_routes || c.n_rules ||
		             c.n_neighbours);
		network_config_free(&c);
	}
}

static void test_result_is_untouched_by_faults(void **state)
{
	(void)state;
	struct network_config c, before;
	memset(&c, 0x5a, sizeof(c));
	before = c;
	assert_int_equal(parse("{interface: {name: net1, addresses: ['10.0.0.1/8'], mtu: 0}, routes: [{}]}", &c, NULL), -EINVAL);
	assert_memory_equal(&c, &before, sizeof(c));
}

static void test_list_limit(void **state)
{
	(void)state;
	for (int n = 256; n <= 257; n++) {
		_cleanup_buf_ struct buf b = {0};
		buf_puts(&b, "{interface: {addresses: [");
		for (int i = 0; i < n; i++)
			buf_printf(&b, "'10.0.%d.%d/32' ", i / 256, i % 256);
		buf_puts(&b, "]}}");
		expect_faults(buf_text(&b), n == 256 ? "" : "interface.addresses: 257 entries are more than 256");
	}
}

static void test_supported(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"{interface: {name: a, dhcp: false, disableEbpfPrograms: false, forwarding: true, arpIgnore: 1, gsoMaxSize: 9},"
	     " routes: [{destination: '10.0.0.0/8', scope: 253}], rules: [{}], ethtool: {features: {}}}",
	     ""},
	    {"{interface: {dhcp: true, disableEbpfPrograms: true, vrf: {name: blue}}, ethtool: {features: {tso: false}}}", ""},
	    {"{profile: x}", "profile: \"x\" is not supported by this version"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct network_config c;
		struct error e = {0};
		assert_int_equal(parse(rows[i].text, &c, NULL), 0);
		assert_int_equal(network_config_check_supported(&c, &e), rows[i].faults[0] ? -EINVAL : 0);
		assert_string_equal(e.text, rows[i].faults);
		network_config_free(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_document),      cmocka_unit_test(test_beyond_dranet),
	    cmocka_unit_test(test_vrf_tables_by_name), cmocka_unit_test(test_faults_without_end),
	    cmocka_unit_test(test_nothing_given),      cmocka_unit_test(test_result_is_untouched_by_faults),
	    cmocka_unit_test(test_list_limit),         cmocka_unit_test(test_supported),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
