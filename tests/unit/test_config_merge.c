/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration over another (dranet-behaviour §3.5), which entries apply to a device (§3.4), and what they make together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/claim.h"
#include "value_text.h"

static int parse(const char *text, struct network_config *ret, struct error *e)
{
	struct value v = value_from_text(text);
	int rc = network_config_parse(&v, ret, e);
	value_free(&v);
	return rc;
}

enum kind { AS_DRANET, BETTER, BEYOND, KINDS };

static const struct {
	enum kind kind;
	const char *base, *over, *result;
} rows[] = {
    /* The rows of §3.5, a cloud's configuration or a profile's being the base. */
    {AS_DRANET, "{}", "{interface: {name: a, mtu: 1400}}", "interface.name=a interface.mtu=1400 "},
    {AS_DRANET, "{interface: {name: net1, mtu: 1500, dhcp: true}}", "{interface: {name: a, mtu: 1400}}",
     "interface.name=a interface.dhcp=1 interface.mtu=1400 "},
    {AS_DRANET, "{interface: {addresses: ['1.1.1.1/32']}}", "{interface: {addresses: ['2.2.2.2/32']}}",
     "interface.addresses[0]=1.1.1.1/32 interface.addresses[1]=2.2.2.2/32 "},
    {AS_DRANET, "{routes: [{destination: '2.2.2.2/32', gateway: '10.0.0.1'}]}",
     "{routes: [{destination: '1.1.1.1/32', gateway: '10.0.0.1'}]}",
     "routes[0].destination=2.2.2.2/32 routes[0].gateway=10.0.0.1 routes[1].destination=1.1.1.1/32 routes[1].gateway=10.0.0.1 "},
    {AS_DRANET, "{interface: {addresses: ['1.1.1.1/32', '2.2.2.2/32']}}", "{interface: {addresses: ['1.1.1.1/32']}}",
     "interface.addresses[0]=2.2.2.2/32 interface.addresses[1]=1.1.1.1/32 "},
    {AS_DRANET, "{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.1'}, {destination: '10.0.0.0/8', gateway: '10.0.0.1'}]}",
     "{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.2'}]}",
     "routes[0].destination=10.0.0.0/8 routes[0].gateway=10.0.0.1 routes[1].destination=0.0.0.0/0 routes[1].gateway=10.0.0.2 "},
    {AS_DRANET, "{ethtool: {features: {tso: true, gro: true}}}", "{ethtool: {features: {tso: false}}}",
     "ethtool.features[0]:gro=1 ethtool.features[1]:tso=0 "},
    {AS_DRANET, "{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1', table: 300}, {destination: '0.0.0.0/0', gateway: '10.0.0.1'}]}",
     "{routes: [{destination: '10.0.0.0/8', scope: 253, table: 100}, {destination: '10.0.0.0/8', scope: 253, table: 200}]}",
     "routes[0].destination=10.0.0.0/8 routes[0].gateway=10.0.0.1 routes[0].table=300 routes[1].destination=0.0.0.0/0 "
     "routes[1].gateway=10.0.0.1 routes[2].destination=10.0.0.0/8 routes[2].scope=-3 routes[2].table=100 "
     "routes[3].destination=10.0.0.0/8 routes[3].scope=-3 routes[3].table=200 "},
    {AS_DRANET, "{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.1', table: 100}]}",
     "{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.2', table: 100}]}",
     "routes[0].destination=10.0.0.0/8 routes[0].gateway=10.0.0.2 routes[0].table=100 "},
    {AS_DRANET, "{}", "{interface: {mtu: 1400}}", "interface.mtu=1400 "},
    {AS_DRANET, "{interface: {mtu: 1500}}", "{}", "interface.mtu=1500 "},
    {AS_DRANET, "{interface: {mtu: 1500}}", "{interface: {mtu: 1400}}", "interface.mtu=1400 "},
    {AS_DRANET, "{interface: {addresses: ['10.1.1.1/24'], mtu: 1500}}", "{profile: p, interface: {mtu: 1400}}",
     "profile=p interface.addresses[0]=10.1.1.1/24 interface.mtu=1400 "},
    {AS_DRANET, "{rules: [{table: 5, priority: 1}]}", "{rules: [{table: 5, priority: 1}]}",
     "rules[0].priority=1 rules[0].table=5 rules[1].priority=1 rules[1].table=5 "},
    {AS_DRANET,
     "{neighbors: [{destination: '10.0.0.1', hardwareAddr: '02:00:00:00:00:01'}, {destination: '10.0.0.2', hardwareAddr: "
     "'02:00:00:00:00:01'}]}",
     "{neighbors: [{destination: '10.0.0.1', hardwareAddr: '02:00:00:00:00:03'}]}",
     "neighbors[0].destination=10.0.0.2 neighbors[0].hardwareAddr=02:00:00:00:00:01 neighbors[1].destination=10.0.0.1 "
     "neighbors[1].hardwareAddr=02:00:00:00:00:03 "},
    {AS_DRANET, "{interface: {gsoMaxSize: 5, groMaxSize: 6, hardwareAddr: '02:00:00:00:00:01'}}",
     "{interface: {groMaxSize: 7, gsoIPv4MaxSize: 8, groIPv4MaxSize: 9, hardwareAddr: '02:00:00:00:00:02'}}",
     "interface.hardwareAddr=02:00:00:00:00:02 interface.gsoMaxSize=5 interface.groMaxSize=7 interface.gsoIPv4MaxSize=8 "
     "interface.groIPv4MaxSize=9 "},
    {AS_DRANET, "{ethtool: {privateFlags: {a: true}}}", "{ethtool: {privateFlags: {b: false}}}",
     "ethtool.privateFlags[0]:a=1 ethtool.privateFlags[1]:b=0 "},
    {AS_DRANET, "{interface: {vrf: {name: b, table: 9}}}", "{interface: {vrf: {name: c, table: 10}}}",
     "interface.vrf.name=c interface.vrf.table=10 "},
    {AS_DRANET, "{interface: {vrf: {name: b, table: 9}}}", "{interface: {mtu: 1280}}",
     "interface.mtu=1280 interface.vrf.name=b interface.vrf.table=9 "},
    /* FNV-1a of "a" is 0xe40c292c. */
    {AS_DRANET, "{}", "{interface: {vrf: {name: a}}}", "interface.vrf.name=a interface.vrf.table=1220 "},

    /* What is given explicitly counts, also when it is false or 0. */
    {BETTER, "{interface: {dhcp: true, forwarding: true, disableEbpfPrograms: true}}",
     "{interface: {dhcp: false, forwarding: false, disableEbpfPrograms: false}}",
     "interface.dhcp=0 interface.disableEbpfPrograms=0 interface.forwarding=0 "},
    {BETTER, "{interface: {arpIgnore: 8, arpAnnounce: 2}}", "{interface: {arpIgnore: 0, arpAnnounce: 0}}",
     "interface.arpIgnore=0 interface.arpAnnounce=0 "},
    {BEYOND, "{interface: {vf: {vlan: 100, vlanQoS: 3, spoofCheck: true, trust: true, maxTxRate: 1000}}}",
     "{interface: {vf: {vlan: 0, vlanProtocol: '802.1ad', spoofCheck: false, maxTxRate: 0}}}",
     "interface.vf.vlan=0 interface.vf.vlanQoS=3 interface.vf.vlanProtocol=34984 interface.vf.spoofCheck=0 interface.vf.trust=1 "
     "interface.vf.maxTxRate=0 "},
    /* The kernel sees one route: host bits, and table 0 for main. */
    {BETTER, "{routes: [{destination: '10.1.2.3/8', gateway: '10.0.0.1', table: 254}]}",
     "{routes: [{destination: '10.0.0.0/8', gateway: '10.0.0.2'}]}", "routes[0].destination=10.0.0.0/8 routes[0].gateway=10.0.0.2 "},
    /* A table belongs to the VRF that it was given for. */
    {BETTER, "{interface: {vrf: {name: b, table: 9}}}", "{interface: {vrf: {name: a}}}", "interface.vrf.name=a interface.vrf.table=1220 "},
    {BETTER, "{interface: {vrf: {name: b, table: 9}}}", "{interface: {vrf: {name: b}}}", "interface.vrf.name=b interface.vrf.table=9 "},
    {BETTER, "{interface: {vrf: {name: b}}}", "{interface: {vrf: {name: b, table: 9}}}", "interface.vrf.name=b interface.vrf.table=9 "},
    /* Within one document, too. */
    {BETTER, "{}", "{interface: {addresses: ['10.0.0.1/8', '10.0.0.1/8']}}", "interface.addresses[0]=10.0.0.1/8 "},

    {BEYOND, "{interface: {dhcp6: true}}", "{interface: {dhcp6: false}}", "interface.dhcp6=0 "},
    {BEYOND, "{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.1'}]}",
     "{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.2', metric: 5}]}",
     "routes[0].destination=0.0.0.0/0 routes[0].gateway=10.0.0.1 routes[1].destination=0.0.0.0/0 routes[1].gateway=10.0.0.2 "
     "routes[1].metric=5 "},
    /* A route is one thing: nothing of the one before is left in it. */
    {BEYOND, "{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.1', mtu: 1400, advmss: 1300, onlink: true}]}",
     "{routes: [{destination: '0.0.0.0/0', nextHops: [{gateway: '10.0.0.2', weight: 2}, {gateway: '10.0.0.3', onlink: true}]}]}",
     "routes[0].destination=0.0.0.0/0 routes[0].nextHops[0].gateway=10.0.0.2 routes[0].nextHops[0].weight=2 "
     "routes[0].nextHops[1].gateway=10.0.0.3 routes[0].nextHops[1].onlink=4 "},
    {BEYOND, "{ethtool: {rings: {rx: 5, tx: 6}, coalesce: {adaptiveRx: true, rxUsecs: 8}, pause: {rx: true}}}",
     "{ethtool: {rings: {rx: 7, rxJumbo: 0}, channels: {combined: 2}, coalesce: {adaptiveRx: false, rxUsecs: 0}}}",
     "ethtool.rings.rx=7 ethtool.rings.rxJumbo=0 ethtool.rings.tx=6 ethtool.channels.combined=2 ethtool.coalesce.adaptiveRx=0 "
     "ethtool.coalesce.rxUsecs=0 ethtool.pause.rx=1 "},
    {BEYOND, "{rules: [{fwmark: 1}]}", "{rules: [{fwmark: 0, fwmask: '0xf00', iif: lo, oif: eth0, family: ipv6}]}",
     "rules[0].fwmark=1 rules[0].fwmask=4294967295 rules[1].fwmark=0 rules[1].fwmask=3840 rules[1].iif=lo rules[1].oif=eth0 "
     "rules[1].family=6 "},
};

static void test_rows(void **state)
{
	(void)state;
	size_t n[KINDS] = {0};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf text = {0};
		struct network_config empty, base, over;
		struct error e = {0};
		network_config_init(&empty);
		if (parse(rows[i].base, &base, &e) < 0 || parse(rows[i].over, &over, &e) < 0)
			fail_msg("%s over %s: %s", rows[i].over, rows[i].base, e.text);
		assert_int_equal(network_config_merge(&empty, &base), 0);
		assert_int_equal(network_config_merge(&empty, &over), 0);
		config_text(&text, &config_document, "", &empty);
		if (strcmp(buf_text(&text), rows[i].result) != 0)
			fail_msg("%s over %s\n  gives %s\n  expected %s", rows[i].over, rows[i].base, buf_text(&text), rows[i].result);
		network_config_free(&empty);
		network_config_free(&base);
		network_config_free(&over);
		n[rows[i].kind]++;
	}
	print_message("rows: %zu as DRANET, %zu deliberately better, %zu beyond DRANET\n", n[AS_DRANET], n[BETTER], n[BEYOND]);
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

	/* Several for one request, in their order. */
	static const struct entry several[] = {
	    {.text = "{interface: {name: a, mtu: 1000}}"},
	    {.requests = {"r"}, .text = "{interface: {mtu: 2000}}"},
	    {.text = "{interface: {name: b}}"},
	    {.from_class = true, .requests = {"r"}, .text = "{interface: {name: c, mtu: 3000}}"},
	};
	expect_resolved(several, 4, "r", "b", 2000, "");
	expect_resolved(several, 4, "s", "b", 1000, "");

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

static void test_what_they_make_together(void **state)
{
	(void)state;
#define TOGETHER "class and claim configs together: "
	static const struct {
		const char *class, *claim, *faults;
	} pairs[] = {
	    {"{interface: {dhcp: true}}", "{interface: {addresses: ['10.0.0.1/8']}}",
	     TOGETHER "interface.dhcp: true, together with 1 configured addresses"},
	    {"{interface: {dhcp: true}}", "{interface: {dhcp: false, addresses: ['10.0.0.1/8']}}", ""},
	    {"{interface: {addresses: ['10.0.0.1/8', 'fd00::1/64']}}", "{interface: {dhcp6: true}}",
	     TOGETHER "interface.dhcp6: true, together with 1 configured IPv6 addresses"},
	    {"{interface: {mtu: 1000}}", "{interface: {addresses: ['fd00::1/64']}}",
	     TOGETHER "interface.mtu: 1000 is too small for IPv6, which needs 1280"},
	    {"{interface: {vrf: {name: b}}}", "{rules: [{}]}",
	     TOGETHER "rules: 1 rules, together with interface.vrf \"b\", which brings its own"},
	    {"{interface: {vrf: {name: b}}}", "{interface: {name: b}}",
	     TOGETHER "interface.vrf.name: \"b\" is the name of the interface itself"},
	    {"{ethtool: {channels: {rx: 4, tx: 4}}}", "{ethtool: {channels: {combined: 4}}}", ""},
	    {"{ethtool: {channels: {rx: 4, tx: 4, combined: 0}}}", "{ethtool: {channels: {tx: 0}}}",
	     TOGETHER "ethtool.channels.combined: 0 leaves none; only together with rx and tx of their own"},
	};
	for (size_t i = 0; i < ELEMENTS(pairs); i++) {
		const struct entry entries[] = {{.from_class = true, .text = pairs[i].class}, {.text = pairs[i].claim}};
		expect_resolved(entries, 2, "r", "", 0, pairs[i].faults);
	}
}

/* As with DRANET; two that differ in their table alone become one. */
static void test_routes_of_a_vrf_are_in_its_table(void **state)
{
	(void)state;
	struct claim_config config = {
	    .parameters =
		value_from_text("{interface: {vrf: {name: b, table: 9}}, routes: [{destination: '10.0.0.0/8', scope: 253, table: 5}]}")};
	struct claim_object o = {.configs = &config, .n_configs = 1};
	struct network_config c;
	assert_int_equal(claim_object_config(&o, &(struct claim_result){.request = "r"}, &c, NULL), 0);
	assert_int_equal(c.n_routes, 1);
	assert_int_equal(c.routes[0].table, 0);
	assert_int_equal(c.vrf_table, 9);
	network_config_free(&c);
	value_free(&config.parameters);
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
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_which_entries_apply),
	    cmocka_unit_test(test_what_they_make_together),
	    cmocka_unit_test(test_routes_of_a_vrf_are_in_its_table),
	    cmocka_unit_test(test_merged_lists_are_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
