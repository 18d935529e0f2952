/* SPDX-License-Identifier: Apache-2.0 */
/* From configuration and host state to what the mover does: config.h, attach_plan_new(). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/array.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/config_schema.h"

/* Numbers of linux/rtnetlink.h and linux/if_addr.h. */
enum {
	SCOPE_UNIVERSE = 0,
	SCOPE_LINK = 253,
	ROUTE_ONLINK = 4,                /* RTNH_F_ONLINK */
	ROUTE_OF_A_PERSON = 3,           /* RTPROT_BOOT */
	ADDRESS_DAD_FAILED = 0x08,       /* IFA_F_DADFAILED */
	ADDRESS_NO_PREFIX_ROUTE = 0x200, /* IFA_F_NOPREFIXROUTE */
};

static const size_t host_bytes[] = {
    offsetof(struct host_state, alias),   offsetof(struct host_state, altnames),     offsetof(struct host_state, ipv4),
    offsetof(struct host_state, ipv6),    offsetof(struct host_state, more_sysctls), offsetof(struct host_state, features),
    offsetof(struct host_state, objects), offsetof(struct host_state, pod_rules),    offsetof(struct host_state, private_flags),
    offsetof(struct host_state, ebpf),
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
	/* The kernel would say no only when the link is on its way into the pod, and would not say to what. */
	if (p->pod.mac.length && !mac_equal(&p->pod.mac, &p->host.mac) &&
	    (str_equal(p->host.type, "ipvlan") || str_equal(p->host.type, "ipvtap")))
		error_append(faults, -EINVAL, "interface.hardwareAddr: \"%s\" is an %s and has the address of the link it stands on",
		             p->host.ifname, p->host.type);
}

/* What is asked of the PF has to be known before, for it has to be given back. */
static void check_vf(const struct attach_plan *p, struct error *faults)
{
	const struct vf_config *wanted = &p->pod.vf;
	const struct vf_settings *is = &p->host.vf;
	if (!network_config_has_vf(&p->pod))
		return;
	if (!p->facts.is_vf) {
		error_append(faults, -EINVAL, "interface.vf: \"%s\" is no SR-IOV virtual function", p->host.ifname);
		return;
	}
	if (!is->known) {
		const char *pf = p->facts.pf_ifname;
		error_append(faults, -EINVAL, "interface.vf: the physical function %s of \"%s\" %s", *pf ? pf : p->facts.pf_address,
		             p->host.ifname,
		             *pf ? "says nothing of it" : "has no network interface on the host that could be asked for it");
		return;
	}
	if (wanted->has_spoofchk && is->spoofchk < 0)
		error_append(faults, -EINVAL, "interface.vf.spoofCheck: the driver of \"%s\" does not know it", is->pf);
	if (wanted->has_trust && is->trust < 0)
		error_append(faults, -EINVAL, "interface.vf.trust: the driver of \"%s\" does not know it", is->pf);
	uint32_t min = wanted->has_min_rate ? wanted->min_rate : is->min_rate, max = wanted->has_max_rate ? wanted->max_rate : is->max_rate;
	if (max && min > max)
		error_append(faults, -EINVAL, "interface.vf.%s: the VF would have at least %" PRIu32 " and at most %" PRIu32 " Mb/s",
		             wanted->has_min_rate ? "minTxRate" : "maxTxRate", min, max);
}

/* Without a configured name it is the host's, which only the plan knows. */
static void check_vrf(const struct attach_plan *p, struct error *faults)
{
	if (p->pod.vrf_name[0] && str_equal(p->pod.vrf_name, p->pod.ifname))
		error_append(faults, -EINVAL, "interface.vrf.name: \"%s\" is the name of the interface itself", p->pod.vrf_name);
}

/* The character devices were looked at with these wishes: what is not among them does not exist. */
static void check_rdma(const struct attach_plan *p, struct error *faults)
{
	const struct rdma_state *rdma = &p->host.rdma;
	const struct {
		const char *key, *path;
		bool wanted;
	} nodes[] = {{"umad", "/dev/infiniband/umad", p->pod.rdma_umad == 1}, {"issm", "/dev/infiniband/issm", p->pod.rdma_issm == 1}};
	for (size_t i = 0; i < ELEMENTS(nodes); i++) {
		bool there = false;
		for (size_t k = 0; k < rdma->n_nodes; k++)
			there |= str_starts(rdma->nodes[k].path, nodes[i].path);
		if (nodes[i].wanted && !rdma->name[0])
			error_append(faults, -EINVAL, "rdma.%s: the device has no RDMA device", nodes[i].key);
		else if (nodes[i].wanted && !there)
			error_append(faults, -EINVAL, "rdma.%s: the RDMA device \"%s\" has no such character device", nodes[i].key,
			             rdma->name);
	}
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

void route_format(const struct route *r, char *text, size_t size)
{
	char destination[IP_TEXT_MAX], gateway[IP_TEXT_MAX], more[24] = "", table[24] = "";
	const struct ip_address *via = r->n_hops ? &r->hops[0].gateway : &r->gateway;
	ip_prefix_format(&r->destination, destination);
	ip_address_format(via, gateway);
	if (r->n_hops > 1)
		snprintf(more, sizeof(more), " and %zu more", r->n_hops - 1);
	if (table_of(r) != CONFIG_TABLE_MAIN)
		snprintf(table, sizeof(table), " table %" PRIu32, r->table);
	snprintf(text, size, "%s%s%s%s%s", destination, via->family != IP_NONE ? " via " : "", gateway, more, table);
}

static void warn(struct error *warnings, int code, const struct route *r, const char *why, const struct ip_address *which)
{
	char route[4 * IP_TEXT_MAX], text[IP_TEXT_MAX] = "";
	route_format(r, route, sizeof(route));
	if (which)
		ip_address_format(which, text);
	if (warnings)
		error_append(warnings, code, "the host's route %s %s%s", route, why, text);
}

/* Whether the kernel would take the gateway as a neighbour on this link, given the pod's addresses and the routes so far. */
static bool gateway_reachable(const struct network_config *pod, const struct route *r, const struct ip_address *gateway, uint8_t flags)
{
	if (gateway->family == IP_NONE || flags & ROUTE_ONLINK || is_link_local6(gateway))
		return true;
	for (size_t i = 0; i < pod->n_addresses; i++) {
		struct ip_prefix link = pod->addresses[i].prefix;
		if (pod->addresses[i].peer.family != IP_NONE)
			link.address = pod->addresses[i].peer;
		if (!(pod->addresses[i].flags & ADDRESS_NO_PREFIX_ROUTE) && prefix_covers(&link, gateway))
			return true;
	}
	/* The kernel looks in the route's own table, and in those that rules lead to: at least main. In IPv4 a gateway of a gateway is
	 * none, and the scope tells. */
	for (size_t i = 0; i < pod->n_routes; i++) {
		const struct route *on_link = &pod->routes[i];
		if (on_link->gateway.family == IP_NONE && !on_link->n_hops && prefix_covers(&on_link->destination, gateway) &&
		    (gateway->family == IP_V6 || on_link->scope == SCOPE_LINK) &&
		    (table_of(on_link) == CONFIG_TABLE_MAIN || table_of(on_link) == table_of(r)))
			return true;
	}
	return false;
}

/* NULL = all are. */
static const struct ip_address *unreachable_gateway(const struct network_config *pod, const struct route *r)
{
	if (!r->n_hops)
		return gateway_reachable(pod, r, &r->gateway, r->flags) ? NULL : &r->gateway;
	for (size_t i = 0; i < r->n_hops; i++)
		if (!gateway_reachable(pod, r, &r->hops[i].gateway, r->hops[i].flags))
			return &r->hops[i].gateway;
	return NULL;
}

static bool source_present(const struct network_config *pod, const struct ip_address *source)
{
	for (size_t i = 0; i < pod->n_addresses; i++)
		if (ip_address_equal(&pod->addresses[i].prefix.address, source))
			return true;
	return false;
}

/* A configured route replaces the host's to the same network; of the host's own, several may differ in metric or type of service. To the
 * kernel they are one otherwise, whatever their next hop. */
static const struct route *route_present(const struct network_config *pod, size_t n_configured, const struct route *r)
{
	for (size_t i = 0; i < pod->n_routes; i++) {
		const struct route *have = &pod->routes[i];
		if (config_route_same(have, r) && (i < n_configured || (have->metric == r->metric && have->tos == r->tos)))
			return have;
	}
	return NULL;
}

static void route_add_host(struct network_config *pod, size_t n_configured, const struct route *of_host, struct error *warnings)
{
	struct route r = *of_host;
	if (!r.protocol) /* what has none is configured */
		r.protocol = ROUTE_OF_A_PERSON;
	if (pod->vrf_name[0]) /* a VRF looks nowhere else */
		r.table = pod->vrf_table;
	const struct route *have = route_present(pod, n_configured, &r);
	if (have) {
		if (have >= pod->routes + n_configured && !ip_address_equal(&have->gateway, &r.gateway))
			warn(warnings, -EEXIST, of_host, "is left out: there is another of the same metric", NULL);
		return;
	}
	/* What a DHCP server will lend is not known yet, and brings its own routes. */
	if (r.destination.address.family == IP_V4 ? pod->dhcp == 1 : pod->dhcp6 == 1)
		warnings = NULL;
	if (r.source.family != IP_NONE && !source_present(pod, &r.source)) {
		warn(warnings, -EADDRNOTAVAIL, of_host, "loses its preferred source, which is no address of the pod: ", &r.source);
		r.source = (struct ip_address){0};
	}
	const struct ip_address *gateway = unreachable_gateway(pod, &r);
	if (gateway)
		warn(warnings, -ENETUNREACH, of_host, "is left out: by no address of the pod is its gateway reachable: ", gateway);
	else
		pod->routes[pod->n_routes++] = r;
}

static int routes_add(struct network_config *pod, const struct host_state *host, struct error *warnings)
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

	/* On-link routes first: a gateway may be reachable only through one of them. And main before the other tables, which a VRF puts
	 * together. */
	for (int round = 0; round < 4; round++)
		for (size_t i = 0; host->routes && i < host->n_routes; i++) {
			const struct route *r = &host->routes[i];
			bool with_gateway = r->gateway.family != IP_NONE || r->n_hops, other_table = table_of(r) != CONFIG_TABLE_MAIN;
			if (round == 2 * with_gateway + other_table)
				route_add_host(pod, n_configured, r, warnings);
		}
	return 0;
}

static struct address address_of_host(const struct address *a, bool renamed)
{
	struct address r = *a;
	/* Whoever renewed it on the host (DHCP client, router advertisements) will not do so in there: it stays until the pod ends. One
	 * that somebody deprecated for good stays so. */
	if (a->valid_lifetime != UINT32_MAX || a->preferred_lifetime)
		r.preferred_lifetime = UINT32_MAX;
	r.valid_lifetime = UINT32_MAX;
	r.protocol = 0; /* it is we who make this one */
	if (renamed)    /* the label names the host's interface */
		r.label[0] = '\0';
	return r;
}

static int addresses_add(struct network_config *pod, const struct host_state *host, struct error *warnings)
{
	if (pod->n_addresses || pod->dhcp == 1 || !host->addresses)
		return 0;
	struct address *addresses = calloc(host->n_addresses, sizeof(*addresses));
	if (!addresses)
		return -ENOMEM;
	size_t n = 0;
	for (size_t i = 0; i < host->n_addresses; i++) {
		const struct address *a = &host->addresses[i];
		bool lent = a->prefix.address.family == IP_V6 && pod->dhcp6 == 1;
		bool failed = a->prefix.address.family == IP_V6 && a->flags & ADDRESS_DAD_FAILED;
		char text[IP_TEXT_MAX];
		ip_prefix_format(&a->prefix, text);
		if (a->scope == SCOPE_UNIVERSE && !lent && failed && warnings)
			error_append(warnings, -EADDRINUSE, "the host's address %s is left out: somebody else has it", text);
		if (a->scope == SCOPE_UNIVERSE && !lent && !failed)
			addresses[n++] = address_of_host(a, !str_equal(pod->ifname, host->ifname));
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

static int plan_fill(struct attach_plan *p, const struct network_config *config, const struct host_state *host, struct error *warnings)
{
	network_config_init(&p->pod);
	int rc = network_config_merge(&p->pod, config);
	if (!rc && host)
		rc = host_state_copy(host, &p->host);
	if (rc || !p->facts.ifindex)
		return rc;
	if (!p->pod.ifname[0])
		STR_COPY(p->pod.ifname, p->host.ifname);
	/* The VRF's own table is where everything of its members is looked for. */
	for (size_t i = 0; p->pod.vrf_name[0] && i < p->pod.n_routes; i++)
		if (!p->pod.routes[i].table)
			p->pod.routes[i].table = p->pod.vrf_table;
	rc = addresses_add(&p->pod, &p->host, warnings);
	if (!rc)
		rc = routes_add(&p->pod, &p->host, warnings);
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
	struct attach_plan *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(e, -ENOMEM, "out of memory");
	p->references = 1;
	p->facts = *facts;
	struct error faults = {0};
	int rc = plan_fill(p, config, host, warnings);
	if (rc == -ENOMEM)
		error_set(&faults, rc, "out of memory");
	else if (rc < 0)
		error_set(&faults, rc, "configuration: more than %d elements in a list", CONFIG_LIST_MAX);
	else if (host && host->ifindex != facts->ifindex) /* of what is not there now nothing would be given back */
		error_set(&faults, -EAGAIN, "its network interface changed while its state was read: try again");
	else if (!facts->ifindex)
		network_config_check_without_netdev(config, &faults);
	else {
		check_mtu(p, &faults);
		check_mac(p, &faults);
		check_vf(p, &faults);
		check_vrf(p, &faults);
	}
	check_rdma(p, &faults);
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
	/* Its driver may be loaded later than that of the netdev. */
	if (old->host.rdma.name[0] && !host->rdma.name[0])
		return error_set(e, -ENODEV, "its RDMA device, which was %s, is not there yet", old->host.rdma.name);
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

bool attach_plan_moves_rdma(const struct attach_plan *p)
{
	return p->host.rdma.name[0] && p->host.rdma.exclusive;
}

bool attach_plan_stays(const struct attach_plan *p)
{
	return !p->facts.ifindex && !attach_plan_moves_rdma(p);
}
