/* SPDX-License-Identifier: Apache-2.0 */
/* From configuration and host state to what the mover does: config.h, attach_plan_new(). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/config_schema.h"

enum {
	SCOPE_UNIVERSE = 0,
	ROUTE_ONLINK = 4, /* RTNH_F_ONLINK */
};

static const size_t host_bytes[] = {
    offsetof(struct host_state, alias),   offsetof(struct host_state, altnames),     offsetof(struct host_state, ipv4),
    offsetof(struct host_state, ipv6),    offsetof(struct host_state, more_sysctls), offsetof(struct host_state, features),
    offsetof(struct host_state, objects), offsetof(struct host_state, pod_rules),    offsetof(struct host_state, private_flags),
};

static struct bytes *bytes_at(struct host_state *s, size_t i)
{
	return (struct bytes *)(void *)((char *)s + host_bytes[i]);
}

void host_state_free(struct host_state *s)
{
	free(s->addresses);
	free(s->routes);
	free(s->neighbours);
	for (size_t i = 0; i < ELEMENTS(host_bytes); i++)
		free(bytes_at(s, i)->data);
	*s = (struct host_state){0};
}

int host_state_copy(const struct host_state *from, struct host_state *ret)
{
	bool failed = false;
	struct host_state s = *from;
	s.addresses = array_copy(from->addresses, from->n_addresses, sizeof(*s.addresses), &failed);
	s.routes = array_copy(from->routes, from->n_routes, sizeof(*s.routes), &failed);
	s.neighbours = array_copy(from->neighbours, from->n_neighbours, sizeof(*s.neighbours), &failed);
	for (size_t i = 0; i < ELEMENTS(host_bytes); i++) {
		struct bytes *b = bytes_at(&s, i);
		b->data = array_copy(b->data, b->n, 1, &failed);
	}
	if (failed) {
		host_state_free(&s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

struct attach_plan *attach_plan_ref(struct attach_plan *p)
{
	p->references++;
	return p;
}

void attach_plan_unref(struct attach_plan *p)
{
	if (!p || --p->references)
		return;
	host_state_free(&p->host);
	network_config_free(&p->pod);
	free(p);
}

/* ---- checks against the device --------------------------------------------------------------------------------------------------- */

static void check_mtu(const struct attach_plan *p, struct error *faults)
{
	uint32_t mtu = p->pod.mtu;
	if (!mtu)
		return;
	if (mtu < p->host.min_mtu || (p->host.max_mtu && mtu > p->host.max_mtu))
		error_append(faults, -EINVAL, "interface.mtu: %" PRIu32 " is out of range %" PRIu32 "..%" PRIu32 " of \"%s\"", mtu,
		             p->host.min_mtu, p->host.max_mtu ? p->host.max_mtu : UINT32_MAX, p->host.ifname);
	if (p->facts.pf_mtu && mtu > p->facts.pf_mtu)
		error_append(faults, -EINVAL, "interface.mtu: %" PRIu32 " is above %" PRIu32 ", the MTU of its physical function \"%s\"",
		             mtu, p->facts.pf_mtu, p->facts.pf_ifname);
}

static void check_mac(const struct attach_plan *p, struct error *faults)
{
	char text[MAC_TEXT_MAX];
	mac_format(&p->pod.mac, text);
	if (p->pod.mac.length && p->host.mac.length && p->pod.mac.length != p->host.mac.length)
		error_append(faults, -EINVAL, "interface.hardwareAddr: \"%s\" has %u bytes, the address of \"%s\" has %u", text,
		             p->pod.mac.length, p->host.ifname, p->host.mac.length);
}

/* ---- what the pod gets besides what is configured -------------------------------------------------------------------------------- */

static bool prefix_covers(const struct ip_prefix *p, const struct ip_address *a)
{
	struct ip_prefix of_a = {.address = *a, .length = p->length}, network = *p;
	ip_prefix_mask(&of_a);
	ip_prefix_mask(&network);
	return ip_prefix_equal(&of_a, &network);
}

static bool is_link_local6(const struct ip_address *a)
{
	return a->family == IP_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static uint32_t table_of(const struct route *r)
{
	return r->table ? r->table : CONFIG_TABLE_MAIN;
}

/* Whether the kernel would take the gateway as a neighbour on this link, given the pod's addresses and the routes so far. */
static bool gateway_reachable(const struct network_config *pod, const struct route *r)
{
	if (r->flags & ROUTE_ONLINK || is_link_local6(&r->gateway))
		return true;
	for (size_t i = 0; i < pod->n_addresses; i++) {
		struct ip_prefix link = pod->addresses[i].prefix;
		if (pod->addresses[i].peer.family != IP_NONE)
			link.address = pod->addresses[i].peer;
		if (prefix_covers(&link, &r->gateway))
			return true;
	}
	/* The kernel looks in the route's own table, and in those that rules lead to: at least main. */
	for (size_t i = 0; i < pod->n_routes; i++) {
		const struct route *on_link = &pod->routes[i];
		if (on_link->gateway.family == IP_NONE && prefix_covers(&on_link->destination, &r->gateway) &&
		    (table_of(on_link) == CONFIG_TABLE_MAIN || table_of(on_link) == table_of(r)))
			return true;
	}
	return false;
}

static bool source_present(const struct network_config *pod, const struct ip_address *source)
{
	for (size_t i = 0; i < pod->n_addresses; i++)
		if (ip_address_equal(&pod->addresses[i].prefix.address, source))
			return true;
	return false;
}

/* A configured route replaces the host's to the same network; of the host's own, several may differ in metric or next hop. */
static bool route_present(const struct network_config *pod, size_t n_configured, const struct route *r)
{
	for (size_t i = 0; i < pod->n_routes; i++) {
		const struct route *have = &pod->routes[i];
		if (config_route_same(have, r) &&
		    (i < n_configured || (have->metric == r->metric && ip_address_equal(&have->gateway, &r->gateway))))
			return true;
	}
	return false;
}

static int routes_add(struct network_config *pod, const struct host_state *host)
{
	if (!host->n_routes)
		return 0;
	struct route *routes = calloc(pod->n_routes + host->n_routes, sizeof(*routes));
	if (!routes)
		return -ENOMEM;
	size_t n_configured = pod->n_routes;
	if (n_configured)
		memcpy(routes, pod->routes, n_configured * sizeof(*routes));
	free(pod->routes);
	pod->routes = routes;

	/* On-link routes first: a gateway may be reachable only through one of them. */
	for (int with_gateway = 0; with_gateway < 2; with_gateway++)
		for (size_t i = 0; host->routes && i < host->n_routes; i++) {
			const struct route *r = &host->routes[i];
			if ((r->gateway.family != IP_NONE) != with_gateway || route_present(pod, n_configured, r) ||
			    (r->source.family != IP_NONE && !source_present(pod, &r->source)) ||
			    (with_gateway && !gateway_reachable(pod, r)))
				continue;
			pod->routes[pod->n_routes++] = *r;
		}
	return 0;
}

/* As new addresses of the pod's own: whatever renewed them on the host (DHCP client, router advertisements) will not do so in there, and
 * the label belongs to the host's name. */
static int addresses_add(struct network_config *pod, const struct host_state *host)
{
	if (pod->n_addresses || pod->dhcp == 1 || !host->addresses)
		return 0;
	struct address *addresses = calloc(host->n_addresses, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	size_t n = 0;
	for (size_t i = 0; i < host->n_addresses; i++) {
		const struct address *a = &host->addresses[i];
		if (a->scope == SCOPE_UNIVERSE)
			addresses[n++] = (struct address){.prefix = a->prefix,
			                                  .valid_lifetime = UINT32_MAX,
			                                  .preferred_lifetime = UINT32_MAX,
			                                  .peer = a->peer,
			                                  .broadcast = a->broadcast,
			                                  .route_metric = a->route_metric};
	}
	free(pod->addresses);
	pod->addresses = addresses;
	pod->n_addresses = n;
	return 0;
}

static int neighbours_add(struct network_config *pod, const struct host_state *host)
{
	if (!host->n_neighbours)
		return 0;
	struct neighbour *neighbours = calloc(pod->n_neighbours + host->n_neighbours, sizeof(*neighbours));
	if (!neighbours)
		return -ENOMEM;
	size_t n = pod->n_neighbours;
	if (n)
		memcpy(neighbours, pod->neighbours, n * sizeof(*neighbours));
	for (size_t i = 0; i < host->n_neighbours; i++) {
		bool present = false;
		for (size_t k = 0; k < n && !present; k++)
			present = ip_address_equal(&neighbours[k].destination, &host->neighbours[i].destination);
		if (!present)
			neighbours[n++] = host->neighbours[i];
	}
	free(pod->neighbours);
	pod->neighbours = neighbours;
	pod->n_neighbours = n;
	return 0;
}

static int plan_fill(struct attach_plan *p, const struct network_config *config, const struct host_state *host)
{
	network_config_init(&p->pod);
	int rc = network_config_merge(&p->pod, config);
	if (!rc && host)
		rc = host_state_copy(host, &p->host);
	if (rc || !p->facts.ifindex)
		return rc;
	if (!p->pod.ifname[0])
		STR_COPY(p->pod.ifname, p->host.ifname);
	rc = addresses_add(&p->pod, &p->host);
	if (!rc)
		rc = routes_add(&p->pod, &p->host);
	if (!rc)
		rc = neighbours_add(&p->pod, &p->host);
	/* Documented default of a rule; table 0 would make the kernel pick one for IPv4 and refuse for IPv6. */
	for (size_t i = 0; i < p->pod.n_rules; i++)
		if (!p->pod.rules[i].table)
			p->pod.rules[i].table = CONFIG_TABLE_MAIN;
	return rc;
}

int attach_plan_new(const struct device_facts *facts, const struct host_state *host, const struct network_config *config,
                    struct attach_plan **ret, struct error *warnings, struct error *e)
{
	(void)warnings;
	struct attach_plan *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(e, -ENOMEM, "out of memory");
	p->references = 1;
	p->facts = *facts;
	struct error faults = {0};
	int rc = plan_fill(p, config, host);
	if (rc == -ENOMEM)
		error_set(&faults, rc, "out of memory");
	else if (rc < 0)
		error_set(&faults, rc, "configuration: more than %d elements in a list", CONFIG_LIST_MAX);
	else if (!facts->ifindex)
		network_config_check_without_netdev(config, &faults);
	else {
		check_mtu(p, &faults);
		check_mac(p, &faults);
	}
	if (faults.code) {
		attach_plan_unref(p);
		return error_set(e, faults.code, "%s", faults.text);
	}
	*ret = p;
	return 0;
}

int attach_plan_renew(const struct attach_plan *old, const struct device_facts *facts, const struct host_state *host,
                      struct attach_plan **ret, struct error *e)
{
	/* A view of the old configuration: its lists are read, and copied by attach_plan_new(). */
	struct network_config config = old->pod;
	struct route *routes = calloc(old->pod.n_routes ? old->pod.n_routes : 1, sizeof(*routes));
	if (!routes)
		return error_set(e, -ENOMEM, "out of memory");
	config.routes = routes;
	config.n_routes = 0;
	for (size_t i = 0; i < old->pod.n_routes; i++)
		if (!old->pod.routes[i].protocol)
			routes[config.n_routes++] = old->pod.routes[i];
	if (!config.addresses_given) {
		config.addresses = NULL;
		config.n_addresses = 0;
	}
	int rc = attach_plan_new(facts, host, &config, ret, NULL, e);
	free(routes);
	return rc;
}
