/* SPDX-License-Identifier: Apache-2.0 */
/* The opaque configuration: every rule of dranet-behaviour §3.3 with the tables of §11.3, merging (§3.5), which entries apply (§3.4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/claim.h"
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

static void expect_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect_faults(rows[i].text, rows[i].faults);
}

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

static void test_nothing_given(void **state)
{
	(void)state;
	static const char *const texts[] = {"null", "{}", "{interface: {}}", "{interface: null, routes: null, rules: []}",
	                                    "{interface: {name: '', mtu: null, vrf: null}, ethtool: {features: {}}}"};
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

static void test_interface_name(void **state)
{
	(void)state;
	static const char *const good[] = {"eth0", "my-nic", "my_nic", "my.nic", "aaaaaaaaaaaaaaa", "", "...", "\xc3\xa9t\xc3\xa9"};
	for (size_t i = 0; i < ELEMENTS(good); i++) {
		char text[64];
		snprintf(text, sizeof(text), "{interface: {name: '%s'}}", good[i]);
		expect_faults(text, "");
	}
	static const struct row rows[] = {
	    {"{interface: {name: averyverylongname}}", "interface.name: \"averyverylongname\" is longer than 15 bytes"},
	    {"{interface: {name: aaaaaaaaaaaaaaaa}}", "interface.name: \"aaaaaaaaaaaaaaaa\" is longer than 15 bytes"},
	    {"{interface: {name: eth/0}}", "interface.name: \"eth/0\" contains \"/\""},
	    {"{interface: {name: 'eth 0'}}", "interface.name: \"eth 0\" contains white space"},
	    {"{interface: {name: 'eth\t0'}}", "interface.name: \"eth?0\" contains white space"},
	    {"{interface: {name: '.'}}", "interface.name: \".\" has a meaning of its own in paths"},
	    {"{interface: {name: '..'}}", "interface.name: \"..\" has a meaning of its own in paths"},
	    {"{interface: {name: 'eth!'}}",
	     "interface.name: \"eth!\" contains a character that is no letter, no digit and none of \"-\", \"_\", \".\""},
	    {"{interface: {name: 'eth:1'}}",
	     "interface.name: \"eth:1\" contains a character that is no letter, no digit and none of \"-\", \"_\", \".\""},
	    {"{interface: {name: 'a%d'}}",
	     "interface.name: \"a%d\" contains a character that is no letter, no digit and none of \"-\", \"_\", \".\""},
	    {"{interface: {name: '\xc3\xa0'}}", /* the kernel takes its second byte for white space */
	     "interface.name: \"\xc3\xa0\" contains a character that is no letter, no digit and none of \"-\", \"_\", \".\""},
	    {"{interface: {name: 'a/b c!'}}",
	     "interface.name: \"a/b c!\" contains \"/\"; interface.name: \"a/b c!\" contains white space; interface.name: \"a/b c!\" "
	     "contains a character that is no letter, no digit and none of \"-\", \"_\", \".\""},
	};
	expect_rows(rows, ELEMENTS(rows));
}

static void test_interface(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"{interface: {name: eth0, addresses: ['10.0.0.1/24'], mtu: 1500, gsoMaxSize: 1024, groMaxSize: 1024}}", ""},
	    {"{interface: {addresses: ['10.0.0/24']}}", "interface.addresses[0]: \"10.0.0/24\" is not an IP prefix"},
	    {"{interface: {addresses: ['10.0.0.1/24', '10.0.0.2']}}",
	     "interface.addresses[1]: \"10.0.0.2\" is not an IP prefix; a single address is written with /32"},
	    {"{interface: {addresses: ['::1']}}",
	     "interface.addresses[0]: \"::1\" is not an IP prefix; a single address is written with /128"},
	    {"{interface: {addresses: ['']}}", "interface.addresses[0]: \"\" is not an IP prefix"},
	    {"{interface: {addresses: [5, null]}}",
	     "interface.addresses[0]: 5 is an integer, expected a string; interface.addresses[1]: null, expected a string"},
	    {"{interface: {addresses: '10.0.0.1/24'}}", "interface.addresses: \"10.0.0.1/24\" is a string, expected an array"},
	    {"{interface: {mtu: 0}}", "interface.mtu: 0 is out of range 68..65535"},
	    {"{interface: {mtu: 67}}", "interface.mtu: 67 is out of range 68..65535"},
	    {"{interface: {mtu: 68}}", ""},
	    {"{interface: {mtu: 65535}}", ""},
	    {"{interface: {mtu: 65536}}", "interface.mtu: 65536 is out of range 68..65535"},
	    {"{interface: {mtu: 9223372036854775807}}", "interface.mtu: 9223372036854775807 is out of range 68..65535"},
	    {"{interface: {mtu: 'x'}}", "interface.mtu: \"x\" is a string, expected an integer"},
	    {"{interface: {mtu: 1500.5}}", "interface.mtu: 1500.5 is a number, expected an integer"},
	    {"{interface: {mtu: true}}", "interface.mtu: true is a boolean, expected an integer"},
	    {"{interface: {mtu: [1500]}}", "interface.mtu: [...] is an array, expected an integer"},
	    {"{interface: {gsoMaxSize: 0}}", "interface.gsoMaxSize: 0 is out of range 1..524280"},
	    {"{interface: {groMaxSize: -1}}", "interface.groMaxSize: -1 is out of range 1..524280"},
	    {"{interface: {gsoIPv4MaxSize: 0}}", "interface.gsoIPv4MaxSize: 0 is out of range 1..524280"},
	    {"{interface: {groIPv4MaxSize: -1}}", "interface.groIPv4MaxSize: -1 is out of range 1..524280"},
	    {"{interface: {hardwareAddr: '00:1A:2B:3C:4D:5E'}}", ""},
	    {"{interface: {hardwareAddr: '00-1A-2B-3C-4D-5E-XX'}}",
	     "interface.hardwareAddr: \"00-1A-2B-3C-4D-5E-XX\" is not a hardware address"},
	    {"{interface: {hardwareAddr: ''}}", "interface.hardwareAddr: \"\" is not a hardware address"},
	    {"{interface: {hardwareAddr: '01:00:5e:00:00:01'}}",
	     "interface.hardwareAddr: \"01:00:5e:00:00:01\" is not the address of one station"},
	    {"{interface: {hardwareAddr: '00:00:00:00:00:00'}}",
	     "interface.hardwareAddr: \"00:00:00:00:00:00\" is not the address of one station"},
	    {"{interface: {dhcp: true}}", ""},
	    {"{interface: {dhcp: false, addresses: ['10.0.0.1/24']}}", ""},
	    {"{interface: {dhcp: true, addresses: []}}", ""},
	    {"{interface: {dhcp: true, addresses: ['10.0.0.1/24']}}", "interface.dhcp: true, together with 1 configured addresses"},
	    {"{interface: {dhcp: 1}}", "interface.dhcp: 1 is an integer, expected a boolean"},
	    {"{interface: {forwarding: 'true'}}", "interface.forwarding: \"true\" is a string, expected a boolean"},
	    {"{interface: {arpIgnore: 1, arpAnnounce: 2}}", ""},
	    {"{interface: {arpIgnore: 8, arpAnnounce: 0}}", ""},
	    {"{interface: {arpIgnore: 9}}", "interface.arpIgnore: 9 is not one of 0 1 2 3 8"},
	    {"{interface: {arpIgnore: -1}}", "interface.arpIgnore: -1 is not one of 0 1 2 3 8"},
	    {"{interface: {arpIgnore: 4}}", "interface.arpIgnore: 4 is not one of 0 1 2 3 8"},
	    {"{interface: {arpIgnore: 5}}", "interface.arpIgnore: 5 is not one of 0 1 2 3 8"},
	    {"{interface: {arpIgnore: 6}}", "interface.arpIgnore: 6 is not one of 0 1 2 3 8"},
	    {"{interface: {arpIgnore: 7}}", "interface.arpIgnore: 7 is not one of 0 1 2 3 8"},
	    {"{interface: {arpIgnore: 256}}", "interface.arpIgnore: 256 is not one of 0 1 2 3 8"},
	    {"{interface: {arpAnnounce: 3}}", "interface.arpAnnounce: 3 is out of range 0..2"},
	    {"{interface: {arpAnnounce: -1}}", "interface.arpAnnounce: -1 is out of range 0..2"},
	    {"{interface: {name: 'eth/0', addresses: [badip], mtu: 0}}",
	     "interface.name: \"eth/0\" contains \"/\"; interface.addresses[0]: \"badip\" is not an IP prefix; interface.mtu: 0 is out "
	     "of range 68..65535"},
	};
	expect_rows(rows, ELEMENTS(rows));
}

static void test_vrf(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"{interface: {vrf: {name: blue}}}", ""},
	    {"{interface: {vrf: {}}}", "interface.vrf.name: is missing"},
	    {"{interface: {vrf: {name: ''}}}", "interface.vrf.name: \"\" is no name"},
	    {"{interface: {vrf: {name: 'a b'}}}", "interface.vrf.name: \"a b\" contains white space"},
	    {"{interface: {vrf: {name: b, table: 0}}}", "interface.vrf.table: 0 is out of range 1..4294967295"},
	    {"{interface: {vrf: {name: b, table: 252}}}", ""},
	    {"{interface: {vrf: {name: b, table: 253}}}", "interface.vrf.table: 253 has another use"},
	    {"{interface: {vrf: {name: b, table: 254}}}", "interface.vrf.table: 254 has another use"},
	    {"{interface: {vrf: {name: b, table: 255}}}", "interface.vrf.table: 255 has another use"},
	    {"{interface: {vrf: {name: b, table: 256}}}", ""},
	    {"{interface: {vrf: blue}}", "interface.vrf: \"blue\" is a string, expected an object"},
	    {"{interface: {vrf: {name: b}}, rules: [{priority: 1}]}",
	     "rules: 1 rules, together with interface.vrf \"b\", which brings its own"},
	};
	expect_rows(rows, ELEMENTS(rows));

	/* FNV-1a with 32 bits: "" → 2166136261, "a" → 0xe40c292c, "foobar" → 0xbf9cf968. */
	assert_int_equal(config_vrf_table("foobar"), 1000 + 0xbf9cf968u % 1000);
	assert_int_equal(config_vrf_table("a"), 1000 + 0xe40c292cu % 1000);
}

static void test_routes(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"{routes: [{destination: '0.0.0.0/0', gateway: '192.168.1.1'}]}", ""},
	    {"{routes: [{destination: '169.254.0.0/16', scope: 253}]}", ""},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '192.168.1.1', table: 100}]}", ""},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '192.168.1.1', table: 0, scope: 0}]}", ""},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '192.168.1.1', table: -1}]}",
	     "routes[0].table: -1 is out of range 0..4294967295"},
	    {"{routes: [{gateway: '192.168.1.1'}]}", "routes[0].destination: is missing"},
	    {"{routes: [{destination: '', gateway: '192.168.1.1'}]}", "routes[0].destination: \"\" is not an IP prefix"},
	    {"{routes: [{destination: '10.0.0/24', gateway: '192.168.1.1'}]}", "routes[0].destination: \"10.0.0/24\" is not an IP prefix"},
	    {"{routes: [{destination: '192.168.1.1/32', gateway: '192.168.1.254'}]}", ""},
	    {"{routes: [{destination: '192.168.1.1', gateway: '192.168.1.254'}]}",
	     "routes[0].destination: \"192.168.1.1\" is not an IP prefix; a single address is written with /32"},
	    {"{routes: [{destination: '2001:db8::1', gateway: '2001:db8::2'}]}",
	     "routes[0].destination: \"2001:db8::1\" is not an IP prefix; a single address is written with /128"},
	    {"{routes: [{destination: '10.0.0.0/8', scope: 0}]}", "routes[0].gateway: is missing; only a route with scope 253 has none"},
	    {"{routes: [{destination: '10.0.0.0/8'}]}", "routes[0].gateway: is missing; only a route with scope 253 has none"},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: ''}]}", "routes[0].gateway: is missing; only a route with scope 253 has none"},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: 'gw'}]}", "routes[0].gateway: \"gw\" is not an IP address"},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1/8'}]}", "routes[0].gateway: \"10.0.0.1/8\" is not an IP address"},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1', scope: 100}]}", "routes[0].scope: 100 is not one of 0 253"},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1', source: src}]}", "routes[0].source: \"src\" is not an IP address"},
	    {"{routes: [{destination: '::/0', gateway: 'fe80::1', source: '2001:db8::1'}]}", ""},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1', source: '10.0.0.5'}]}", ""},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '2001:db8::1'}]}",
	     "routes[0].gateway: \"2001:db8::1\" is of another family than the destination \"10.0.0.0/8\""},
	    {"{routes: [{destination: '2001:db8::/32', gateway: '10.0.0.1'}]}",
	     "routes[0].gateway: \"10.0.0.1\" is of another family than the destination \"2001:db8::/32\""},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1', source: '2001:db8::1'}]}",
	     "routes[0].source: \"2001:db8::1\" is of another family than the destination \"10.0.0.0/8\""},
	    /* IPv4-mapped counts as IPv4. */
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '::ffff:10.0.0.1'}]}", ""},
	    {"{routes: [{destination: '::ffff:10.0.0.0/104', gateway: '10.0.0.1'}]}", ""},
	    {"{routes: [{destination: '::ffff:10.0.0.0/95', gateway: '10.0.0.1'}]}",
	     "routes[0].destination: \"::ffff:10.0.0.0/95\" is not an IP prefix"},
	    {"{routes: [5]}", "routes[0]: 5 is an integer, expected an object"},
	    {"{routes: {}}", "routes: {} is an object, expected an array"},
	};
	expect_rows(rows, ELEMENTS(rows));
}

static void test_rules(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"{rules: [{source: '10.0.0.0/8', table: 100, priority: 10}]}", ""},
	    {"{rules: [{priority: 0}, {priority: 32767}, {}]}", ""},
	    {"{rules: [{priority: 32768}]}", "rules[0].priority: 32768 is out of range 0..32767"},
	    {"{rules: [{priority: -1}]}", "rules[0].priority: -1 is out of range 0..32767"},
	    {"{rules: [{table: -1}]}", "rules[0].table: -1 is out of range 0..4294967295"},
	    {"{rules: [{source: bad}]}", "rules[0].source: \"bad\" is not an IP prefix"},
	    {"{rules: [{destination: bad}]}", "rules[0].destination: \"bad\" is not an IP prefix"},
	    {"{rules: [{source: 'fd00::/8', destination: 'fd01::/16'}]}", ""},
	    {"{rules: [{source: 'fd00::/8', destination: '10.0.0.0/8'}]}",
	     "rules[0]: source \"fd00::/8\" and destination \"10.0.0.0/8\" are of different families"},
	    {"{rules: [{}, {source: bad, destination: bad, priority: -1, table: -1}]}",
	     "rules[1].priority: -1 is out of range 0..32767; rules[1].source: \"bad\" is not an IP prefix; rules[1].destination: "
	     "\"bad\" is not an IP prefix; rules[1].table: -1 is out of range 0..4294967295"},
	};
	expect_rows(rows, ELEMENTS(rows));

	struct network_config c;
	assert_int_equal(parse("{rules: [{priority: 0}, {table: 5}]}", &c, NULL), 0);
	assert_true(c.rules[0].has_priority);
	assert_false(c.rules[1].has_priority);
	network_config_free(&c);
}

static void test_neighbours_ethtool_and_fields(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"{neighbors: [{destination: '10.0.0.1', hardwareAddr: '02:00:00:00:00:02'}]}", ""},
	    {"{neighbors: [{hardwareAddr: '02:00:00:00:00:02'}]}", "neighbors[0].destination: is missing"},
	    {"{neighbors: [{destination: '', hardwareAddr: '02:00:00:00:00:02'}]}", "neighbors[0].destination: \"\" is not an IP address"},
	    {"{neighbors: [{destination: '10.0.0', hardwareAddr: '02:00:00:00:00:02'}]}",
	     "neighbors[0].destination: \"10.0.0\" is not an IP address"},
	    {"{neighbors: [{destination: '10.0.0.1'}]}", "neighbors[0].hardwareAddr: is missing"},
	    {"{neighbors: [{destination: '10.0.0.1', hardwareAddr: x}]}", "neighbors[0].hardwareAddr: \"x\" is not a hardware address"},
	    {"{neighbors: [{destination: x, hardwareAddr: x}]}",
	     "neighbors[0].destination: \"x\" is not an IP address; neighbors[0].hardwareAddr: \"x\" is not a hardware address"},
	    {"{ethtool: {features: {tso: 'off'}}}", "ethtool.features.tso: \"off\" is a string, expected a boolean"},
	    {"{ethtool: {privateFlags: [a]}}", "ethtool.privateFlags: [...] is an array, expected an object"},
	    {"{ethtool: {ringz: {}}}", "ethtool.ringz: unknown field; did you mean \"rings\"?"},
	    {"{interface: {foo: 1}}", "interface.foo: unknown field"},
	    {"{interface: {MTU: 1500}}", "interface.MTU: unknown field; did you mean \"mtu\"?"},
	    {"{Interface: {}}", "Interface: unknown field; did you mean \"interface\"?"},
	    {"{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.1', metrik: 5}]}",
	     "routes[0].metrik: unknown field; did you mean \"metric\"?"},
	    {"{interface: {foo: 1, mtu: 5, bar: null}, zap: 3}",
	     "interface.mtu: 5 is out of range 68..65535; interface.foo: unknown field; interface.bar: unknown field; zap: unknown field"},
	    {"{profile: 5}", "profile: 5 is an integer, expected a string"},
	    {"{profile: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
	     "profile: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" is longer than 64 bytes"},
	    {"[]", "configuration: [] is an array, expected an object"},
	    {"text", "configuration: \"text\" is a string, expected an object"},
	    {"{interface: []}", "interface: [] is an array, expected an object"},
	};
	expect_rows(rows, ELEMENTS(rows));
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

/* ---- merging --------------------------------------------------------------------------------------------------------------------- */

static struct network_config merged(const char *base, const char *over)
{
	struct network_config b, o;
	struct error e = {0};
	if (parse(base, &b, &e) < 0 || parse(over, &o, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(network_config_merge(&b, &o), 0);
	network_config_free(&o);
	return b;
}

/* Addresses and routes as one text. */
static void expect_lists(const struct network_config *c, const char *expected)
{
	_cleanup_buf_ struct buf b = {0};
	char text[IP_TEXT_MAX];
	for (size_t i = 0; i < c->n_addresses; i++) {
		ip_prefix_format(&c->addresses[i].prefix, text);
		buf_printf(&b, "%s ", text);
	}
	for (size_t i = 0; i < c->n_routes; i++) {
		ip_prefix_format(&c->routes[i].destination, text);
		buf_printf(&b, "[%s", text);
		ip_address_format(&c->routes[i].gateway, text);
		buf_printf(&b, "%s%s", text[0] ? " via " : "", text);
		if (c->routes[i].table)
			buf_printf(&b, " table %u", c->routes[i].table);
		buf_puts(&b, "] ");
	}
	assert_string_equal(buf_text(&b), expected);
}

static void test_merge_scalars(void **state)
{
	(void)state;
	struct network_config c =
	    merged("{interface: {name: net1, mtu: 1500, dhcp: true, arpIgnore: 1}}", "{interface: {name: a, mtu: 1400}}");
	assert_string_equal(c.ifname, "a");
	assert_int_equal(c.mtu, 1400);
	assert_int_equal(c.dhcp, 1);
	assert_int_equal(c.arp_ignore, 1);
	assert_int_equal(c.arp_announce, -1);
	network_config_free(&c);

	/* What is given explicitly counts, also when it is false or 0. */
	c = merged("{interface: {dhcp: true, forwarding: true, arpIgnore: 8, arpAnnounce: 2}}",
	           "{interface: {dhcp: false, forwarding: false, arpIgnore: 0, arpAnnounce: 0}}");
	assert_int_equal(c.dhcp, 0);
	assert_int_equal(c.forwarding, 0);
	assert_int_equal(c.arp_ignore, 0);
	assert_int_equal(c.arp_announce, 0);
	network_config_free(&c);

	c = merged(
	    "{interface: {gsoMaxSize: 5, groMaxSize: 6, hardwareAddr: '02:00:00:00:00:01'}, profile: a}",
	    "{interface: {groMaxSize: 7, hardwareAddr: '02:00:00:00:00:02', vrf: {name: b, table: 9}}, ethtool: {features: {a: true}}}");
	assert_int_equal(c.sizes.gso_max, 5);
	assert_int_equal(c.sizes.gro_max, 7);
	assert_int_equal(c.mac.bytes[5], 2);
	assert_string_equal(c.profile, "a");
	assert_string_equal(c.vrf_name, "b");
	assert_int_equal(c.vrf_table, 9);
	assert_true(network_config_has_ethtool(&c));
	network_config_free(&c);

	c = merged("{interface: {name: n, mtu: 1400, vrf: {name: b, table: 9}}, profile: p}", "{}");
	assert_string_equal(c.ifname, "n");
	assert_int_equal(c.mtu, 1400);
	assert_int_equal(c.vrf_table, 9);
	assert_string_equal(c.profile, "p");
	network_config_free(&c);
}

static void test_merge_lists(void **state)
{
	(void)state;
	static const struct {
		const char *base, *over, *lists;
	} rows[] = {
	    {"{interface: {addresses: ['1.1.1.1/32']}}", "{interface: {addresses: ['2.2.2.2/32']}}", "1.1.1.1/32 2.2.2.2/32 "},
	    {"{interface: {addresses: ['1.1.1.1/32', '2.2.2.2/32']}}", "{interface: {addresses: ['1.1.1.1/32']}}",
	     "2.2.2.2/32 1.1.1.1/32 "},
	    {"{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.1'}, {destination: '10.0.0.0/8', gateway: '10.0.0.1'}]}",
	     "{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.2'}]}", "[10.0.0.0/8 via 10.0.0.1] [0.0.0.0/0 via 10.0.0.2] "},
	    {"{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1', table: 300}, {destination: '0.0.0.0/0', gateway: '10.0.0.1'}]}",
	     "{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.2', table: 100}, {destination: '10.0.0.0/8', gateway: '10.0.0.2', "
	     "table: 200}]}",
	     "[10.0.0.0/8 via 10.0.0.1 table 300] [0.0.0.0/0 via 10.0.0.1] [10.0.0.0/8 via 10.0.0.2 table 100] [10.0.0.0/8 via "
	     "10.0.0.2 table 200] "},
	    /* The kernel sees one route: host bits, and table 0 for main. */
	    {"{routes: [{destination: '10.1.2.3/8', gateway: '10.0.0.1', table: 254}]}",
	     "{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.2'}]}", "[10.0.0.0/8 via 10.0.0.2] "},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct network_config c = merged(rows[i].base, rows[i].over);
		expect_lists(&c, rows[i].lists);
		network_config_free(&c);
	}

	struct network_config c =
	    merged("{rules: [{table: 5}], neighbors: [{destination: '10.0.0.1', hardwareAddr: '02:00:00:00:00:01'},"
	           " {destination: '10.0.0.2', hardwareAddr: '02:00:00:00:00:01'}]}",
	           "{rules: [{table: 5}], neighbors: [{destination: '10.0.0.1', hardwareAddr: '02:00:00:00:00:03'}]}");
	assert_int_equal(c.n_rules, 2);
	assert_int_equal(c.n_neighbours, 2);
	assert_int_equal(c.neighbours[1].mac.bytes[5], 3);
	network_config_free(&c);
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

/* ---- which entries apply --------------------------------------------------------------------------------------------------------- */

struct entry {
	bool from_class;
	const char *requests[2];
	const char *text, *parse_error;
};

/* The result for `request`: pod name, MTU and the faults. */
static void expect_resolved(const struct entry *entries, size_t n, const char *request, const char *name, uint32_t mtu, const char *faults)
{
	struct claim_object o = {.n_configs = n, .configs = calloc(n, sizeof(*o.configs))};
	assert_non_null(o.configs);
	for (size_t i = 0; i < n; i++) {
		struct claim_config *c = &o.configs[i];
		c->from_class = entries[i].from_class;
		while (c->n_requests < 2 && entries[i].requests[c->n_requests])
			c->n_requests++;
		c->requests = calloc(2, sizeof(*c->requests));
		assert_non_null(c->requests);
		for (size_t k = 0; k < c->n_requests; k++)
			STR_COPY(c->requests[k], entries[i].requests[k]);
		if (entries[i].text)
			c->parameters = value_from_text(entries[i].text);
		if (entries[i].parse_error)
			c->parse_error = strdup(entries[i].parse_error);
	}
	struct claim_result result = {0};
	STR_COPY(result.request, request);
	struct network_config c = {.mtu = 77};
	struct error e = {0};
	int rc = claim_object_config(&o, &result, &c, &e);
	assert_string_equal(e.text, faults);
	assert_int_equal(rc, faults[0] ? -EINVAL : 0);
	assert_int_equal(c.mtu, rc ? 77 : mtu);
	if (!rc) {
		assert_string_equal(c.ifname, name);
		network_config_free(&c);
	}
	claim_object_free(&o);
	assert_int_equal(o.n_configs, 0);
}

static void test_which_entries_apply(void **state)
{
	(void)state;
	static const struct entry none[] = {{.text = NULL}};
	expect_resolved(none, 1, "r", "", 0, "");

	/* The claim's go over the class's, whatever their order; all that apply are merged. */
	static const struct entry both[] = {
	    {.from_class = false, .text = "{interface: {name: claim}}"},
	    {.from_class = true, .text = "{interface: {name: class, mtu: 1400}}"},
	    {.from_class = false, .requests = {"other"}, .text = "{interface: {name: other, mtu: 9000}}"},
	};
	expect_resolved(both, 3, "r", "claim", 1400, "");
	expect_resolved(both, 3, "other", "other", 9000, "");

	/* Alternatives of a request. */
	static const struct entry alternatives[] = {
	    {.requests = {"x", "main"}, .text = "{interface: {name: main, mtu: 1000}}"},
	    {.requests = {"main/fast"}, .text = "{interface: {mtu: 2000}}"},
	};
	expect_resolved(alternatives, 2, "main", "main", 1000, "");
	expect_resolved(alternatives, 2, "main/fast", "main", 2000, "");
	expect_resolved(alternatives, 2, "main/slow", "main", 1000, "");
	expect_resolved(alternatives, 2, "mai", "", 0, "");
	expect_resolved(alternatives, 2, "main2", "", 0, "");

	static const struct entry faulty[] = {
	    {.from_class = true, .text = "{interface: {mtu: 1}}"}, {.from_class = false, .text = "{interface: {name: fine}}"},
	    {.from_class = false, .parse_error = "line 1: junk"},  {.from_class = true, .requests = {"other"}, .text = "{zap: 1}"},
	    {.from_class = true, .text = "{foo: 1, bar: 2}"},
	};
	expect_resolved(
	    faulty, 5, "r", "", 0,
	    "class config 1: interface.mtu: 1 is out of range 68..65535; class config 3: foo: unknown field; bar: unknown field; "
	    "claim config 2: line 1: junk");
}

static void test_merged_lists_are_limited(void **state)
{
	(void)state;
	char texts[2][6000];
	struct entry entries[2] = {{.text = texts[0]}, {.text = texts[1]}};
	for (int k = 0; k < 2; k++) {
		size_t at = (size_t)sprintf(texts[k], "{interface: {addresses: [");
		for (int i = 0; i < 200; i++)
			at += (size_t)sprintf(texts[k] + at, "'10.%d.0.%d/32' ", k, i);
		strcpy(texts[k] + at, "]}}");
	}
	expect_resolved(entries, 2, "r", "", 0, "claim config 2: with the entries before it more than 256 elements in a list");
	memcpy(texts[1], texts[0], sizeof(texts[0])); /* the same ones: joined they are 200 */
	expect_resolved(entries, 2, "r", "", 0, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_full_document),
	    cmocka_unit_test(test_nothing_given),
	    cmocka_unit_test(test_result_is_untouched_by_faults),
	    cmocka_unit_test(test_interface_name),
	    cmocka_unit_test(test_interface),
	    cmocka_unit_test(test_vrf),
	    cmocka_unit_test(test_routes),
	    cmocka_unit_test(test_rules),
	    cmocka_unit_test(test_neighbours_ethtool_and_fields),
	    cmocka_unit_test(test_list_limit),
	    cmocka_unit_test(test_merge_scalars),
	    cmocka_unit_test(test_merge_lists),
	    cmocka_unit_test(test_supported),
	    cmocka_unit_test(test_which_entries_apply),
	    cmocka_unit_test(test_merged_lists_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
