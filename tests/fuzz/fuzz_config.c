/* SPDX-License-Identifier: Apache-2.0 */
/* Any value tree as opaque configuration. The input is one or two documents, divided by a zero byte: each is parsed; two good ones are
 * merged; what comes out, when it is good as a whole, becomes an attach plan, whose routes must be such that the kernel takes them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/config.h"
#include "tests/unit/value_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool is_name(const char name[IFNAME_SIZE])
{
	return memchr(name, 0, IFNAME_SIZE) && !strchr(name, '/');
}

static void check_route(const struct route *r)
{
	uint8_t family = r->destination.address.family;
	require(family != IP_NONE && (r->gateway.family == family || r->gateway.family == IP_NONE));
	require(r->source.family == family || r->source.family == IP_NONE);
	require(r->gateway.family != IP_NONE || r->scope == 253 || r->n_hops);
	require(!r->n_hops || (r->n_hops >= 2 && r->n_hops <= ROUTE_HOPS_MAX && r->gateway.family == IP_NONE));
	require(!r->flags || r->gateway.family != IP_NONE);
	for (size_t i = 0; i < r->n_hops; i++)
		require(r->hops[i].gateway.family == family && r->hops[i].weight <= 256);
}

static void check_rule(const struct rule *r)
{
	uint8_t from = r->source.address.family, to = r->destination.address.family;
	require(from == to || from == IP_NONE || to == IP_NONE);
	require(r->family == IP_NONE || ((from == IP_NONE || from == r->family) && (to == IP_NONE || to == r->family)));
	require(r->priority <= 32767 && r->has_mark == (r->mask != 0));
	require(is_name(r->iif) && is_name(r->oif));
}

static void check_switches(const struct ethtool_switch *s, size_t n)
{
	require(n <= 256);
	for (size_t i = 0; i < n; i++)
		require(s[i].name[0] && memchr(s[i].name, 0, sizeof(s[i].name)));
}

/* What a document may hold, and a merged one, too. */
static void check_config(const struct network_config *c)
{
	require(is_name(c->ifname) && is_name(c->vrf_name));
	require(!c->mtu || (c->mtu >= 68 && c->mtu <= 65535));
	require(c->dhcp >= -1 && c->dhcp <= 1 && c->arp_ignore >= -1 && c->arp_ignore <= 8 && c->arp_announce >= -1 &&
	        c->arp_announce <= 2);
	require(c->n_addresses <= 256 && c->n_routes <= 256 && c->n_rules <= 256 && c->n_neighbours <= 256);
	for (size_t i = 0; i < c->n_addresses; i++)
		require(c->addresses[i].prefix.address.family != IP_NONE);
	for (size_t i = 0; i < c->n_routes; i++)
		check_route(&c->routes[i]);
	for (size_t i = 0; i < c->n_rules; i++)
		check_rule(&c->rules[i]);
	for (size_t i = 0; i < c->n_neighbours; i++)
		require(c->neighbours[i].destination.family != IP_NONE && c->neighbours[i].mac.length);
	check_switches(c->features, c->n_features);
	check_switches(c->private_flags, c->n_private_flags);
	require(c->ethtool.given < 1u << ETHTOOL_SETTINGS);
}

static void check_answers(const struct network_config *c)
{
	struct error e = {0};
	if (network_config_check_supported(c, &e) < 0)
		require(e.code && e.text[0] && c->profile[0]);
	e = (struct error){0};
	if (network_config_check_without_netdev(c, &e) < 0)
		require(e.code && e.text[0]);
	else
		require(!c->n_routes && !c->n_rules && !c->n_addresses && !c->mtu && !c->vrf_name[0] && !network_config_has_ethtool(c));
}

static void check_plan(const struct network_config *c)
{
	static const struct device_facts facts = {.name = "eth0", .ifindex = 2, .ifname = "eth0", .pf_mtu = 9000}, rdma = {.name = "pci-a"};
	struct address address = {.prefix = {{IP_V4, {10, 0, 0, 5}}, 24}};
	struct route routes[] = {{.destination = {{IP_V4, {0}}, 0}, .gateway = {IP_V4, {10, 0, 0, 1}}},
	                         {.destination = {{IP_V4, {10, 1}}, 16}, .source = {IP_V4, {10, 0, 0, 5}}}};
	struct neighbour neighbour = {{IP_V4, {10, 0, 0, 1}}, {6, {2}}};
	struct host_state host = {.ifindex = 2,
	                          .ifname = "eth0",
	                          .max_mtu = 9000,
	                          .mac = {6, {2}},
	                          .addresses = &address,
	                          .n_addresses = 1,
	                          .routes = routes,
	                          .n_routes = 2,
	                          .neighbours = &neighbour,
	                          .n_neighbours = 1};
	struct attach_plan *p;
	struct error e = {0};
	if (attach_plan_new(&facts, &host, c, &p, NULL, &e) == 0) {
		require(p->pod.ifname[0] && (p->pod.n_routes || !c->n_routes));
		require(p->pod.mtu <= 9000);
		attach_plan_unref(p);
	} else
		require(e.code && e.text[0]);
	if (attach_plan_new(&rdma, NULL, c, &p, NULL, NULL) == 0)
		attach_plan_unref(p);
}

static bool parse(const uint8_t *data, size_t size, struct network_config *ret)
{
	struct error e = {0};
	struct value v = value_from_bytes(data, size);
	int rc = network_config_parse(&v, ret, &e);
	value_free(&v);
	require(rc == 0 || (e.code == rc && e.text[0]));
	return rc == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct network_config base, over;
	const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
	size_t first = zero ? (size_t)(zero - data) : size;
	if (!parse(data, first, &base))
		return 0;
	check_config(&base);
	check_answers(&base);
	require(network_config_check(&base, NULL) == 0);
	bool good = true;
	if (zero && parse(zero + 1, size - first - 1, &over)) {
		struct error e = {0};
		good = network_config_merge(&base, &over) == 0;
		if (good) {
			check_config(&base);
			check_answers(&base);
			good = network_config_check(&base, &e) == 0;
			require(good || (e.code && e.text[0]));
			require(!base.vrf_name[0] || base.vrf_table);
		}
		network_config_free(&over);
	}
	if (good)
		check_plan(&base);
	network_config_free(&base);
	return 0;
}
