/* SPDX-License-Identifier: Apache-2.0 */
/* The attach plan: what the pod gets, from configuration and host state (config.h, attach_plan_new). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/claim.h"
#include "core/config.h"
#include "value_text.h"

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p;
	if (ip_prefix_parse(text, &p) < 0)
		fail_msg("%s", text);
	return p;
}

static struct ip_address address(const char *text)
{
	struct ip_address a = {0};
	if (text && ip_address_parse(text, &a) < 0)
		fail_msg("%s", text);
	return a;
}

static void host_address(struct host_state *h, const char *text, uint8_t scope)
{
	h->addresses = realloc(h->addresses, (h->n_addresses + 1) * sizeof(*h->addresses));
	assert_non_null(h->addresses);
	h->addresses[h->n_addresses++] = (struct address){.prefix = prefix(text),
	                                                  .scope = scope,
	                                                  .flags = 0x80,
	                                                  .valid_lifetime = 100,
	                                                  .preferred_lifetime = 50,
	                                                  .route_metric = 7,
	                                                  .label = "eth0:1"};
}

static struct route *host_route(struct host_state *h, const char *destination, const char *gateway, const char *source)
{
	h->routes = realloc(h->routes, (h->n_routes + 1) * sizeof(*h->routes));
	assert_non_null(h->routes);
	h->routes[h->n_routes] = (struct route){
	    .destination = prefix(destination), .gateway = address(gateway), .source = address(source), .scope = gateway ? 0 : 253};
	return &h->routes[h->n_routes++];
}

static void host_neighbour(struct host_state *h, const char *destination, uint8_t last)
{
	h->neighbours = realloc(h->neighbours, (h->n_neighbours + 1) * sizeof(*h->neighbours));
	assert_non_null(h->neighbours);
	h->neighbours[h->n_neighbours++] = (struct neighbour){address(destination), {6, {2, 0, 0, 0, 0, last}}};
}

static struct host_state host_eth0(void)
{
	return (struct host_state){.ifindex = 7,
	                           .ifname = "eth0",
	                           .type = "device",
	                           .mtu = 1500,
	                           .min_mtu = 68,
	                           .max_mtu = 9000,
	                           .mac = {6, {2, 0, 0, 0, 0, 1}},
	                           .up = true};
}

static struct device_facts facts_eth0(void)
{
	struct device_facts f = {.name = "pci-0000-00-04-0", .ifindex = 7, .ifname = "eth0", .pci_address = "0000:00:04.0"};
	return f;
}

static struct error warnings; /* of the last plan */

static int plan(const struct device_facts *facts, const struct host_state *host, const char *config, struct attach_plan **ret,
                struct error *e)
{
	struct value v = value_from_text(config);
	struct network_config c;
	struct error parse = {0};
	if (network_config_parse(&v, &c, &parse) < 0)
		fail_msg("%s", parse.text);
	value_free(&v);
	warnings = (struct error){0};
	int rc = attach_plan_new(facts, host, &c, ret, &warnings, e);
	network_config_free(&c);
	return rc;
}

static void assert_pod_gets(const struct attach_plan *p, const char *expected)
{
	_cleanup_buf_ struct buf b = {0};
	char text[IP_TEXT_MAX];
	for (size_t i = 0; i < p->pod.n_addresses; i++) {
		ip_prefix_format(&p->pod.addresses[i].prefix, text);
		buf_printf(&b, "%s ", text);
	}
	for (size_t i = 0; i < p->pod.n_routes; i++) {
		const struct route *r = &p->pod.routes[i];
		ip_prefix_format(&r->destination, text);
		buf_printf(&b, "[%s", text);
		ip_address_format(&r->gateway, text);
		buf_printf(&b, "%s%s", text[0] ? " via " : "", text);
		ip_address_format(&r->source, text);
		buf_printf(&b, "%s%s", text[0] ? " src " : "", text);
		if (r->table)
			buf_printf(&b, " table %u", r->table);
		if (r->metric)
			buf_printf(&b, " metric %u", r->metric);
		buf_puts(&b, "] ");
	}
	for (size_t i = 0; i < p->pod.n_neighbours; i++) {
		ip_address_format(&p->pod.neighbours[i].destination, text);
		buf_printf(&b, "%s=%u ", text, p->pod.neighbours[i].mac.bytes[5]);
	}
	assert_string_equal(buf_text(&b), expected);
}

/* The plan of `config` for eth0 and `host` has these addresses, routes and neighbours. Frees `host`. */
static void expect_plan(struct host_state *host, const char *config, const char *expected)
{
	struct device_facts facts = facts_eth0();
	struct attach_plan *p = NULL;
	struct error e = {0};
	if (plan(&facts, host, config, &p, &e) < 0)
		fail_msg("%s", e.text);
	assert_pod_gets(p, expected);
	attach_plan_unref(p);
	host_state_free(host);
}

static void test_names(void **state)
{
	(void)state;
	struct device_facts facts = facts_eth0();
	struct host_state host = host_eth0();
	struct attach_plan *p;
	assert_int_equal(plan(&facts, &host, "{}", &p, NULL), 0);
	assert_string_equal(p->pod.ifname, "eth0");
	assert_string_equal(p->facts.name, "pci-0000-00-04-0");
	assert_int_equal(p->host.mtu, 1500);
	assert_int_equal(p->pod.mtu, 0);
	assert_int_equal(p->references, 1);
	assert_ptr_equal(attach_plan_ref(p), p);
	attach_plan_unref(p);
	assert_string_equal(p->pod.ifname, "eth0");
	attach_plan_unref(p);
	attach_plan_unref(NULL);
	assert_int_equal(plan(&facts, &host, "{interface: {name: net1, arpIgnore: 0}}", &p, NULL), 0);
	assert_string_equal(p->pod.ifname, "net1");
	assert_int_equal(p->pod.arp_ignore, 0);
	attach_plan_unref(p);
}

static void test_addresses(void **state)
{
	(void)state;
	struct host_state h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_address(&h, "169.254.1.1/16", 253);
	host_address(&h, "2001:db8::5/64", 0);
	struct device_facts facts = facts_eth0();
	struct attach_plan *p;
	assert_int_equal(plan(&facts, &h, "{}", &p, NULL), 0);
	assert_int_equal(p->pod.n_addresses, 2);
	assert_int_equal(p->pod.addresses[0].valid_lifetime, UINT32_MAX);
	assert_int_equal(p->pod.addresses[0].preferred_lifetime, UINT32_MAX);
	assert_int_equal(p->pod.addresses[0].flags, 0x80);
	assert_string_equal(p->pod.addresses[0].label, "eth0:1");
	assert_int_equal(p->pod.addresses[0].route_metric, 7);
	/* The host's own stay as they were, for the way back. */
	assert_int_equal(p->host.n_addresses, 3);
	assert_int_equal(p->host.addresses[0].valid_lifetime, 100);
	assert_ptr_not_equal(p->host.addresses, h.addresses);
	attach_plan_unref(p);
	assert_int_equal(h.n_addresses, 3);
	expect_plan(&h, "{interface: {addresses: ['192.0.2.1/24', '192.0.2.1/24']}}", "192.0.2.1/24 ");
}

static void test_host_routes_follow(void **state)
{
	(void)state;
	struct host_state h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_address(&h, "10.9.0.5/32", 0);
	host_route(&h, "0.0.0.0/0", "10.0.0.1", NULL);
	host_route(&h, "10.1.0.0/16", "10.0.0.2", "10.0.0.5");
	host_route(&h, "10.1.0.0/16", "10.0.0.3", "10.0.0.5")->metric = 50;
	host_route(&h, "10.1.0.0/16", "10.0.0.2", "10.0.0.5");
	host_route(&h, "10.2.0.0/16", "10.0.0.2", NULL)->table = 100;
	host_route(&h, "172.16.0.0/12", "10.8.0.1", NULL); /* its gateway is behind the next one */
	host_route(&h, "10.8.0.1/32", NULL, NULL);
	host_route(&h, "::/0", "fe80::1", NULL);
	host_route(&h, "10.3.0.0/16", "192.168.77.1", NULL); /* nowhere near */
	host_route(&h, "10.4.0.0/16", "192.168.77.1", NULL)->flags = 4;
	host_route(&h, "10.5.0.0/16", "10.0.0.1", "10.0.0.77");
	expect_plan(&h, "{}",
	            "10.0.0.5/24 10.9.0.5/32 [10.8.0.1/32] [0.0.0.0/0 via 10.0.0.1] [10.1.0.0/16 via 10.0.0.2 src 10.0.0.5] "
	            "[10.1.0.0/16 via 10.0.0.3 src 10.0.0.5 metric 50] [172.16.0.0/12 via 10.8.0.1] [::/0 via fe80::1] "
	            "[10.4.0.0/16 via 192.168.77.1] [10.5.0.0/16 via 10.0.0.1] [10.2.0.0/16 via 10.0.0.2 table 100] ");
}

static void test_configured_routes_win(void **state)
{
	(void)state;
	struct host_state h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_route(&h, "10.0.0.0/8", "10.0.0.1", NULL)->table = 254;
	host_route(&h, "10.0.0.0/8", "10.0.0.1", NULL)->table = 100;
	host_route(&h, "0.0.0.0/0", "10.0.0.1", NULL)->metric = 100;
	expect_plan(&h, "{routes: [{destination: '0.0.0.0/0', gateway: '10.0.0.9'}, {destination: '10.0.0.1/8', gateway: '10.0.0.9'}]}",
	            "10.0.0.5/24 [0.0.0.0/0 via 10.0.0.9] [10.0.0.1/8 via 10.0.0.9] [10.0.0.0/8 via 10.0.0.1 table 100] ");
}

static void test_routes_that_other_addresses_do_not_cover_stay(void **state)
{
	(void)state;
	struct host_state h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_route(&h, "0.0.0.0/0", "10.0.0.1", "10.0.0.5");
	host_route(&h, "10.1.0.0/16", "10.0.0.1", NULL);
	host_route(&h, "10.2.0.0/16", "192.0.2.254", NULL);
	host_route(&h, "10.3.0.0/16", NULL, "10.0.0.5");
	expect_plan(&h, "{interface: {addresses: ['192.0.2.1/24']}}", "192.0.2.1/24 [10.3.0.0/16] [10.2.0.0/16 via 192.0.2.254] ");

	/* A configured on-link route makes a gateway reachable; an address of the other family does not. */
	h = host_eth0();
	host_route(&h, "10.1.0.0/16", "10.0.0.1", NULL);
	host_route(&h, "10.2.0.0/16", "32.1.13.184", NULL);
	expect_plan(&h, "{interface: {addresses: ['2001:db8::1/32']}, routes: [{destination: '10.0.0.0/24', scope: 253}]}",
	            "2001:db8::1/32 [10.0.0.0/24] [10.1.0.0/16 via 10.0.0.1] ");

	/* Point to point: the peer is what is on link. */
	h = host_eth0();
	host_address(&h, "10.0.0.5/32", 0);
	h.addresses[0].peer = address("10.0.0.6");
	host_route(&h, "10.1.0.0/16", "10.0.0.6", NULL);
	host_route(&h, "10.2.0.0/16", "10.0.0.7", NULL);
	expect_plan(&h, "{}", "10.0.0.5/32 [10.1.0.0/16 via 10.0.0.6] ");

	/* In IPv4 the kernel looks for a gateway among routes of scope link only. */
	h = host_eth0();
	host_route(&h, "10.0.0.0/24", NULL, NULL)->scope = 0;
	host_route(&h, "10.1.0.0/16", "10.0.0.1", NULL);
	host_route(&h, "2001:db8::/64", NULL, NULL)->scope = 0;
	host_route(&h, "2001:db8:1::/64", "2001:db8::1", NULL);
	expect_plan(&h, "{}", "[10.0.0.0/24] [2001:db8::/64] [2001:db8:1::/64 via 2001:db8::1] ");

	/* What one table has on link no gateway of another can be reached by. */
	h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_route(&h, "172.16.0.0/16", NULL, NULL)->table = 100;
	host_route(&h, "10.1.0.0/16", "172.16.0.1", NULL);
	host_route(&h, "10.2.0.0/16", "172.16.0.1", NULL)->table = 100;
	expect_plan(&h, "{}", "10.0.0.5/24 [172.16.0.0/16 table 100] [10.2.0.0/16 via 172.16.0.1 table 100] ");
}

/* What the claim's addresses leave unusable of the host's routes is told, and fails nothing. */
static void test_warnings(void **state)
{
	(void)state;
	static const char own[] = "{interface: {addresses: ['192.0.2.1/24']}}";
	struct host_state h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_route(&h, "10.1.0.0/16", "10.0.0.1", NULL)->table = 100;
	host_route(&h, "10.2.0.0/16", "192.0.2.254", "10.0.0.5");
	expect_plan(&h, own, "192.0.2.1/24 [10.2.0.0/16 via 192.0.2.254] ");
	assert_int_equal(warnings.code, -EADDRNOTAVAIL);
	assert_string_equal(warnings.text,
	                    "the host's route 10.2.0.0/16 via 192.0.2.254 loses its preferred source, which is no address of the pod: "
	                    "10.0.0.5; the host's route 10.1.0.0/16 via 10.0.0.1 table 100 is left out: by no address of the pod is its "
	                    "gateway reachable: 10.0.0.1");

	/* Two that only their next hop tells apart the kernel takes as one. */
	h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_route(&h, "10.1.0.0/16", "10.0.0.1", NULL);
	host_route(&h, "10.1.0.0/16", "10.0.0.2", NULL);
	host_route(&h, "10.1.0.0/16", "10.0.0.2", NULL)->tos = 8;
	expect_plan(&h, "{}", "10.0.0.5/24 [10.1.0.0/16 via 10.0.0.1] [10.1.0.0/16 via 10.0.0.2] ");
	assert_int_equal(warnings.code, -EEXIST);
	assert_non_null(strstr(warnings.text, "10.1.0.0/16 via 10.0.0.2 is left out"));

	/* What a lease will bring is not known yet. */
	h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_route(&h, "10.1.0.0/16", "10.0.0.1", "10.0.0.5");
	struct device_facts facts = facts_eth0();
	struct network_config c;
	struct attach_plan *p;
	network_config_init(&c);
	c.dhcp = 1;
	warnings = (struct error){0};
	assert_int_equal(attach_plan_new(&facts, &h, &c, &p, &warnings, NULL), 0);
	assert_pod_gets(p, "");
	assert_int_equal(warnings.code, 0);
	attach_plan_unref(p);
	host_state_free(&h);
}

static void test_next_hops(void **state)
{
	(void)state;
	struct host_state h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	struct route *r = host_route(&h, "10.1.0.0/16", NULL, NULL);
	*r = (struct route){
	    .destination = r->destination, .n_hops = 2, .hops = {{.gateway = address("10.0.0.1")}, {.gateway = address("10.7.0.1")}}};
	char text[128];
	route_format(r, text, sizeof(text));
	assert_string_equal(text, "10.1.0.0/16 via 10.0.0.1 and 1 more");
	expect_plan(&h, "{}", "10.0.0.5/24 ");
	assert_non_null(strstr(warnings.text, "reachable: 10.7.0.1"));
	h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	r = host_route(&h, "10.1.0.0/16", NULL, NULL);
	*r = (struct route){
	    .destination = r->destination,
	    .n_hops = 3,
	    .hops = {{.gateway = address("10.0.0.1")}, {.gateway = address("10.7.0.1"), .flags = 4}, {.gateway = address("fe80::1")}}};
	expect_plan(&h, "{}", "10.0.0.5/24 [10.1.0.0/16] ");
}

/* An address moves as it is, but for what tells of the host: who renewed it, and the interface's name in its label. */
static void test_attributes_of_addresses(void **state)
{
	(void)state;
	struct device_facts facts = facts_eth0();
	struct host_state h = host_eth0();
	struct attach_plan *p;
	for (int i = 0; i < 4; i++)
		host_address(&h, i < 2 ? "10.0.0.5/24" : "2001:db8::5/64", 0);
	h.addresses[0].flags = 0x200; /* without a prefix route */
	h.addresses[1].valid_lifetime = UINT32_MAX;
	h.addresses[1].preferred_lifetime = 0;
	h.addresses[2].protocol = 2;
	h.addresses[3].flags = 0x08; /* duplicate address detection failed */
	host_route(&h, "10.1.0.0/16", "10.0.0.1", NULL);
	assert_int_equal(plan(&facts, &h, "{interface: {name: net1}}", &p, NULL), 0);
	assert_int_equal(p->pod.n_addresses, 3);
	assert_int_equal(p->pod.addresses[0].flags, 0x200);
	assert_int_equal(p->pod.addresses[0].valid_lifetime, UINT32_MAX);
	assert_int_equal(p->pod.addresses[0].preferred_lifetime, UINT32_MAX);
	assert_int_equal(p->pod.addresses[1].preferred_lifetime, 0);
	assert_int_equal(p->pod.addresses[2].protocol, 0);
	assert_string_equal(p->pod.addresses[0].label, "");
	assert_non_null(strstr(warnings.text, "2001:db8::5/64 is left out"));
	attach_plan_unref(p);

	/* Without its prefix route an address makes no gateway reachable. */
	h.addresses[1].flags = 0x200;
	assert_int_equal(plan(&facts, &h, "{}", &p, NULL), 0);
	assert_int_equal(p->pod.n_routes, 0);
	attach_plan_unref(p);
	host_state_free(&h);
}

/* Everything of a VRF's members is looked for in its table. */
static void test_vrf(void **state)
{
	(void)state;
	struct host_state h = host_eth0();
	host_address(&h, "10.0.0.5/24", 0);
	host_route(&h, "0.0.0.0/0", "10.0.0.2", NULL)->table = 100;
	host_route(&h, "0.0.0.0/0", "10.0.0.1", NULL);
	host_route(&h, "10.2.0.0/16", "10.0.0.2", NULL)->table = 100;
	host_route(&h, "10.4.0.0/16", "10.0.0.2", NULL);
	expect_plan(
	    &h, "{interface: {vrf: {name: red, table: 70}}, routes: [{destination: '10.4.0.0/16', gateway: '10.0.0.9'}]}",
	    "10.0.0.5/24 [10.4.0.0/16 via 10.0.0.9 table 70] [0.0.0.0/0 via 10.0.0.1 table 70] [10.2.0.0/16 via 10.0.0.2 table 70] ");
	assert_non_null(strstr(warnings.text, "0.0.0.0/0 via 10.0.0.2 table 100 is left out"));

	/* After a reboot what was configured and what was copied are told apart as before. */
	struct device_facts facts = facts_eth0();
	struct attach_plan *old, *p;
	struct host_state before = host_eth0(), after = host_eth0();
	host_address(&before, "10.0.0.5/24", 0);
	host_route(&before, "10.3.0.0/16", "10.0.0.2", NULL);
	host_address(&after, "10.0.0.5/24", 0);
	host_route(&after, "10.5.0.0/16", "10.0.0.2", NULL)->table = 254;
	assert_int_equal(plan(&facts, &before,
	                      "{interface: {vrf: {name: red, table: 70}}, routes: [{destination: '10.4.0.0/16', gateway: '10.0.0.9'}]}",
	                      &old, NULL),
	                 0);
	assert_int_equal(attach_plan_renew(old, &facts, &after, &p, NULL), 0);
	assert_pod_gets(p, "10.0.0.5/24 [10.4.0.0/16 via 10.0.0.9 table 70] [10.5.0.0/16 via 10.0.0.2 table 70] ");
	attach_plan_unref(old);
	attach_plan_unref(p);
	host_state_free(&before);
	host_state_free(&after);
}

static void test_neighbours(void **state)
{
	(void)state;
	struct host_state h = host_eth0();
	host_neighbour(&h, "10.0.0.1", 1);
	host_neighbour(&h, "10.0.0.2", 2);
	host_neighbour(&h, "2001:db8::1", 3);
	expect_plan(&h, "{neighbors: [{destination: '10.0.0.2', hardwareAddr: '02:00:00:00:00:09'}]}",
	            "10.0.0.2=9 10.0.0.1=1 2001:db8::1=3 ");
}

/* After a reboot the host gives the device another address: the pod gets that one, and what was configured as before. */
static void test_renew(void **state)
{
	(void)state;
	struct device_facts facts = facts_eth0();
	struct host_state before = host_eth0(), after = host_eth0();
	struct attach_plan *old = NULL, *p = NULL;
	struct error e = {0};
	host_address(&before, "10.0.0.5/24", 0);
	host_route(&before, "10.1.0.0/16", "10.0.0.1", NULL)->protocol = 4;
	assert_int_equal(
	    plan(&facts, &before, "{routes: [{destination: '10.2.0.0/16', gateway: '10.0.0.9'}], interface: {name: net1}}", &old, &e), 0);
	assert_pod_gets(old, "10.0.0.5/24 [10.2.0.0/16 via 10.0.0.9] [10.1.0.0/16 via 10.0.0.1] ");
	host_address(&after, "10.0.0.6/24", 0);
	after.ifindex = facts.ifindex = 11;
	assert_int_equal(attach_plan_renew(old, &facts, &after, &p, &e), 0);
	assert_pod_gets(p, "10.0.0.6/24 [10.2.0.0/16 via 10.0.0.9] ");
	assert_string_equal(p->pod.ifname, "net1");
	assert_int_equal(p->host.ifindex, 11);
	attach_plan_unref(p);

	/* What cannot be had any more is refused as at Prepare. */
	p = NULL;
	after.min_mtu = 1400;
	old->pod.mtu = 1300;
	assert_int_equal(attach_plan_renew(old, &facts, &after, &p, &e), -EINVAL);
	assert_null(p);
	attach_plan_unref(old);
	host_state_free(&before);
	host_state_free(&after);

	/* Configured addresses are nobody else's. */
	facts = facts_eth0();
	before = host_eth0();
	after = host_eth0();
	host_address(&before, "10.0.0.5/24", 0);
	assert_int_equal(plan(&facts, &before, "{interface: {addresses: ['192.0.2.1/24']}}", &old, &e), 0);
	assert_int_equal(attach_plan_renew(old, &facts, &after, &p, &e), 0);
	assert_pod_gets(p, "192.0.2.1/24 ");
	attach_plan_unref(p);
	attach_plan_unref(old);
	host_state_free(&before);
}

static void test_rules_default_to_main(void **state)
{
	(void)state;
	struct device_facts facts = facts_eth0();
	struct host_state host = host_eth0();
	struct attach_plan *p;
	assert_int_equal(plan(&facts, &host, "{rules: [{priority: 5}, {table: 7}]}", &p, NULL), 0);
	assert_int_equal(p->pod.rules[0].table, 254);
	assert_int_equal(p->pod.rules[1].table, 7);
	attach_plan_unref(p);
}

static void test_checks_against_the_device(void **state)
{
	(void)state;
	static const struct {
		uint32_t pf_mtu;
		const char *config, *faults;
	} rows[] = {
	    {0, "{interface: {mtu: 9000}}", ""},
	    {0, "{interface: {mtu: 9001}}", "interface.mtu: 9001 is out of range 68..9000 of \"eth0\""},
	    {9000, "{interface: {mtu: 1500}}", ""},
	    {9000, "{interface: {mtu: 9000}}", ""},
	    {1500, "{interface: {mtu: 9000}}", "interface.mtu: 9000 is above 1500, the MTU of its physical function \"pf0\""},
	    {1500, "{}", ""},
	    {0, "{interface: {hardwareAddr: '02:00:00:00:00:00:00:01'}}",
	     "interface.hardwareAddr: \"02:00:00:00:00:00:00:01\" has 8 bytes, the address of \"eth0\" has 6"},
	    {0, "{interface: {hardwareAddr: '02:00:00:00:00:02'}}", ""},
	    {0, "{interface: {vrf: {name: eth0}}}", "interface.vrf.name: \"eth0\" is the name of the interface itself"},
	    {0, "{interface: {name: net1, vrf: {name: eth0}}}", ""},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct device_facts facts = facts_eth0();
		struct host_state host = host_eth0();
		struct attach_plan *p = NULL;
		struct error e = {0};
		facts.pf_mtu = rows[i].pf_mtu;
		STR_COPY(facts.pf_ifname, rows[i].pf_mtu ? "pf0" : "");
		assert_int_equal(plan(&facts, &host, rows[i].config, &p, &e), rows[i].faults[0] ? -EINVAL : 0);
		assert_string_equal(e.text, rows[i].faults);
		assert_int_equal(p == NULL, rows[i].faults[0] != 0);
		attach_plan_unref(p);
	}
	/* A driver that tells no limits. */
	struct device_facts facts = facts_eth0();
	struct host_state host = host_eth0();
	struct attach_plan *p;
	host.min_mtu = host.max_mtu = 0;
	assert_int_equal(plan(&facts, &host, "{interface: {mtu: 65535}}", &p, NULL), 0);
	attach_plan_unref(p);
	/* A kind of link whose address cannot be set; the one that it has may be asked for. */
	struct error e = {0};
	STR_COPY(host.type, "ipvlan");
	assert_int_equal(plan(&facts, &host, "{interface: {hardwareAddr: '02:00:00:00:00:02'}}", &p, &e), -EINVAL);
	assert_string_equal(e.text, "interface.hardwareAddr: \"eth0\" is an ipvlan and has the address of the link it stands on");
	assert_int_equal(plan(&facts, &host, "{interface: {hardwareAddr: '02:00:00:00:00:01'}}", &p, NULL), 0);
	attach_plan_unref(p);
}

static void test_device_without_netdev(void **state)
{
	(void)state;
	struct device_facts facts = {.name = "pci-0000-00-05-0", .pci_address = "0000:00:05.0", .rdma = true, .rdma_device = "mlx5_2"};
	struct host_state nothing = {0};
	struct attach_plan *p = NULL;
	assert_int_equal(plan(&facts, &nothing, "{}", &p, NULL), 0);
	assert_string_equal(p->pod.ifname, "");
	attach_plan_unref(p);
	assert_int_equal(plan(&facts, NULL, "{interface: {}}", &p, NULL), 0);
	attach_plan_unref(p);
#define NO "cannot be set: the device has no network interface"
	static const struct {
		const char *config, *faults;
	} rows[] = {
	    {"{interface: {arpIgnore: 0}}", "interface.arpIgnore: " NO},
	    {"{interface: {arpAnnounce: 1}}", "interface.arpAnnounce: " NO},
	    {"{interface: {forwarding: false}}", "interface.forwarding: " NO},
	    {"{interface: {name: a, mtu: 1500, hardwareAddr: '02:00:00:00:00:01', addresses: ['10.0.0.1/8'], vrf: {name: b}}}",
	     "interface.name: " NO "; interface.addresses: " NO "; interface.mtu: " NO "; interface.hardwareAddr: " NO
	     "; interface.vrf: " NO},
	    {"{routes: [{destination: '10.0.0.0/8', scope: 253}], rules: [{}], ethtool: {features: {a: true}},"
	     " neighbors: [{destination: '10.0.0.1', hardwareAddr: '02:00:00:00:00:01'}]}",
	     "routes: " NO "; rules: " NO "; ethtool: " NO "; neighbors: " NO},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct error e = {0};
		assert_int_equal(plan(&facts, &nothing, rows[i].config, &p, &e), -EINVAL);
		assert_string_equal(e.text, rows[i].faults);
	}
}

static struct host_state host_mlx5(bool exclusive)
{
	struct host_state h = {.rdma = {.name = "mlx5_2",
	                                .exclusive = exclusive,
	                                .n_nodes = 2,
	                                .nodes = {{.path = "/dev/infiniband/uverbs2"}, {.path = "/dev/infiniband/umad0"}}}};
	return h;
}

static void test_rdma(void **state)
{
	(void)state;
	const struct device_facts alone = {.name = "pci-0000-00-05-0", .rdma = true, .rdma_device = "mlx5_2"}, nic = facts_eth0();
	struct host_state with = host_eth0(), without = host_eth0(), shared = host_mlx5(false), exclusive = host_mlx5(true);
	struct error e = {0};
	struct attach_plan *p = NULL;
	with.rdma = shared.rdma;
	assert_int_equal(plan(&alone, &shared, "{rdma: {umad: true, issm: false}}", &p, NULL), 0);
	assert_int_equal(p->pod.rdma_umad, 1);
	assert_true(attach_plan_stays(p));
	attach_plan_unref(p);
	assert_int_equal(plan(&alone, &exclusive, "{}", &p, NULL), 0);
	assert_true(attach_plan_moves_rdma(p));
	assert_false(attach_plan_stays(p));
	attach_plan_unref(p);
	assert_int_equal(plan(&nic, &without, "{rdma: {umad: false}}", &p, NULL), 0);
	assert_false(attach_plan_stays(p));
	attach_plan_unref(p);

	/* What is asked for must be there: a container without it would not know. */
	assert_int_equal(plan(&nic, &without, "{rdma: {umad: true}}", &p, &e), -EINVAL);
	assert_string_equal(e.text, "rdma.umad: the device has no RDMA device");
	e = (struct error){0};
	assert_int_equal(plan(&nic, &with, "{rdma: {umad: true, issm: true}}", &p, &e), -EINVAL);
	assert_string_equal(e.text, "rdma.issm: the RDMA device \"mlx5_2\" has no such character device");

	/* After a reboot its driver may come later than the netdev's. */
	struct attach_plan *old;
	assert_int_equal(plan(&nic, &with, "{rdma: {umad: true}}", &old, NULL), 0);
	e = (struct error){0};
	assert_int_equal(attach_plan_renew(old, &nic, &without, &p, &e), -ENODEV);
	assert_string_equal(e.text, "its RDMA device, which was mlx5_2, is not there yet");
	assert_int_equal(attach_plan_renew(old, &nic, &with, &p, &e), 0);
	assert_int_equal(p->pod.rdma_umad, 1);
	attach_plan_unref(p);
	attach_plan_unref(old);
}

static void test_record_owns_its_plans(void **state)
{
	(void)state;
	struct device_facts facts = facts_eth0();
	struct host_state host = host_eth0();
	struct attach_plan *p;
	assert_int_equal(plan(&facts, &host, "{}", &p, NULL), 0);
	struct claim_record r = {.n = 2, .devices = calloc(2, sizeof(*r.devices))};
	assert_non_null(r.devices);
	r.devices[0].plan = attach_plan_ref(p); /* the second is admin access: none */
	claim_record_free(&r);
	assert_null(r.devices);
	assert_int_equal(p->references, 1);
	attach_plan_unref(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_host_routes_follow),
	    cmocka_unit_test(test_configured_routes_win),
	    cmocka_unit_test(test_routes_that_other_addresses_do_not_cover_stay),
	    cmocka_unit_test(test_warnings),
	    cmocka_unit_test(test_next_hops),
	    cmocka_unit_test(test_attributes_of_addresses),
	    cmocka_unit_test(test_vrf),
	    cmocka_unit_test(test_neighbours),
	    cmocka_unit_test(test_renew),
	    cmocka_unit_test(test_rules_default_to_main),
	    cmocka_unit_test(test_checks_against_the_device),
	    cmocka_unit_test(test_device_without_netdev),
	    cmocka_unit_test(test_rdma),
	    cmocka_unit_test(test_record_owns_its_plans),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
