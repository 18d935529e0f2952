/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/mover_lease.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/mover_internal.h"
#include "netlink/route.h"

enum { MTU4_MIN = 68, MTU6_MIN = 1280 };

/* ---- on the host ----------------------------------------------------------------------------------------------------------------- */

void job_ignore_advertisements(const char *ifname)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/accept_ra", ifname);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t written = write(fd, "0\n", 2);
	(void)written; /* refused: then they are listened to */
	close(fd);
}

static int locate_on_host(struct job *j, struct located *ret, struct error *e)
{
	int r = job_locate(j, ret, e);
	if (r < 0 || ret->place == PLACE_HOST)
		return r;
	return error_set(e, -ENODEV, "%s (ifindex %d) is not on the host", j->plan->host.ifname, j->plan->host.ifindex);
}

int mover_lease_begin(struct mover *m, const struct attach_plan *plan, struct dhcp_place *ret_place, struct error *e)
{
	_cleanup_job_ struct job j;
	struct located at = {0};
	int r = job_open(m, plan, -1, &j, e);
	if (r == 0)
		r = locate_on_host(&j, &at, e);
	if (r < 0)
		return r;
	if (!(at.link.flags & IFF_UP)) {
		job_ignore_advertisements(at.link.ifname);
		r = link_set_up(m->host, at.link.ifindex, true, e);
	}
	if (r < 0)
		return e ? error_prefix(e, "cannot bring %s up for DHCP", at.link.ifname) : r;
	struct dhcp_place place = {.netns_fd = -1, .ifindex = at.link.ifindex, .mac = at.link.mac};
	(void)STR_COPY(place.ifname, at.link.ifname);
	*ret_place = place;
	return 0;
}

int mover_lease_end(struct mover *m, const struct attach_plan *plan, struct error *e)
{
	_cleanup_job_ struct job j;
	struct located at = {0};
	char differences[512] = "";
	if (plan->host.up)
		return 0;
	int r = job_open(m, plan, -1, &j, e);
	if (r == 0)
		r = job_locate(&j, &at, e);
	if (r < 0 || at.place != PLACE_HOST)
		return r;
	/* Down costs a link its IPv6 addresses, so this is more than one flag. */
	job_restore(&j, &at.link, differences, sizeof(differences));
	return differences[0] ? error_set(e, -EREMOTEIO, "%s", differences) : 0;
}

/* ---- in the pod ------------------------------------------------------------------------------------------------------------------ */

/* What is left of a lifetime; 0 = nothing. */
static uint32_t left_of(const struct lease *l, uint32_t seconds, uint64_t now)
{
	uint64_t gone = now > l->taken_at ? (now - l->taken_at) / 1000 : 0;
	return seconds == LEASE_FOR_EVER ? UINT32_MAX : gone >= seconds ? 0 : seconds - (uint32_t)gone;
}

static struct address address_from(const struct lease *l, size_t i, uint64_t now)
{
	const struct lease_address *from = &l->addresses[i];
	struct address a = {
	    .prefix = from->prefix, .valid_lifetime = left_of(l, from->valid, now), .preferred_lifetime = left_of(l, from->preferred, now)};
	/* Detection would keep the address unusable for the first seconds of the container's life; DHCPv6 servers lend each once. */
	if (from->prefix.address.family == IP_V6)
		a.flags = IFA_F_NODAD;
	address_set_broadcast(&a);
	return a;
}

static int add_addresses(struct nlsock *s, int32_t ifindex, const struct lease *l, struct error *e)
{
	uint64_t now = boottime_ms();
	for (size_t i = 0; l->held && i < l->n_addresses; i++) {
		struct address a = address_from(l, i, now);
		char text[IP_TEXT_MAX];
		if (a.valid_lifetime == 0)
			continue;
		int r = address_add(s, ifindex, &a, e);
		ip_prefix_format(&a.prefix, text);
		if (r < 0)
			return e ? error_prefix(e, "cannot add the leased address %s", text) : r;
	}
	return 0;
}

static bool is_reachable(const struct lease *l, const struct ip_address *gateway)
{
	for (size_t i = 0; i < l->n_addresses; i++) {
		struct ip_prefix net = l->addresses[i].prefix, to = {.address = *gateway, .length = l->addresses[i].prefix.length};
		ip_prefix_mask(&net);
		ip_prefix_mask(&to);
		if (ip_prefix_equal(&net, &to))
			return true;
	}
	return false;
}

static struct route route_from(const struct attach_plan *plan, const struct lease *l, size_t i)
{
	const struct lease_route *from = &l->routes[i];
	bool on_link = from->gateway.family == IP_NONE;
	struct route r = {.destination = from->destination,
	                  .gateway = from->gateway,
	                  .table = plan->pod.vrf_name[0] ? plan->pod.vrf_table : 0,
	                  .scope = on_link ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
	                  .protocol = RTPROT_DHCP};
	/* A router outside of the subnet, as clouds have it: on the link all the same. */
	if (!on_link && !is_reachable(l, &from->gateway))
		r.flags = RTNH_F_ONLINK;
	return r;
}

/* Behind the routes that others make: a pod's own network has its default route without a metric, and that one is to win. */
static int add_route(struct nlsock *s, int32_t ifindex, struct route r, struct error *e)
{
	struct error ours = {0};
	int result = route_add_behind(s, ifindex, &r, &ours);
	if (result < 0) {
		char text[3 * IP_TEXT_MAX];
		route_format(&r, text, sizeof(text));
		return error_set(e, result, "cannot add the leased route %s: %s", text, ours.text);
	}
	return 0;
}

static bool is_alive(const struct lease *l)
{
	return l->held && left_of(l, l->valid, boottime_ms()) > 0;
}

bool leases_have_ended(const struct leases *leases)
{
	return leases && ((leases->v4.held && !is_alive(&leases->v4)) || (leases->v6.held && !is_alive(&leases->v6)));
}

static int add_routes(struct nlsock *s, int32_t ifindex, const struct attach_plan *plan, const struct lease *l, struct error *e)
{
	int r = 0;
	/* What is on the link first: gateways may be behind it. */
	for (int with_gateway = 0; with_gateway <= 1 && is_alive(l); with_gateway++)
		for (size_t i = 0; i < l->n_routes && r == 0; i++)
			if ((l->routes[i].gateway.family != IP_NONE) == with_gateway)
				r = add_route(s, ifindex, route_from(plan, l, i), e);
	return r;
}

static bool has_address(const struct lease *l, const struct ip_prefix *p)
{
	for (size_t i = 0; l && l->held && i < l->n_addresses; i++)
		if (ip_prefix_equal(&l->addresses[i].prefix, p))
			return true;
	return false;
}

static bool has_route(const struct lease *l, const struct lease_route *r)
{
	for (size_t i = 0; l && l->held && i < l->n_routes; i++)
		if (ip_prefix_equal(&l->routes[i].destination, &r->destination) && ip_address_equal(&l->routes[i].gateway, &r->gateway))
			return true;
	return false;
}

static bool loses_address(const struct lease *old, const struct lease *l)
{
	for (size_t i = 0; i < old->n_addresses; i++)
		if (!has_address(l, &old->addresses[i].prefix))
			return true;
	return false;
}

/* An IPv4 address takes with it those of its subnet that came after it: when one goes, all that was leased goes, and comes anew. */
static void remove_stale(struct nlsock *s, int32_t ifindex, const struct attach_plan *plan, const struct lease *old, const struct lease *l)
{
	bool all = old->held && loses_address(old, l) && old->addresses[0].prefix.address.family == IP_V4;
	for (size_t i = 0; old->held && i < old->n_routes; i++) {
		struct route r = route_from(plan, old, i);
		if (all || !has_route(l, &old->routes[i]))
			(void)route_remove(s, ifindex, &r, NULL);
	}
	for (size_t i = 0; old->held && i < old->n_addresses; i++) {
		const struct address a = {.prefix = old->addresses[i].prefix};
		if (all || !has_address(l, &a.prefix))
			(void)address_remove(s, ifindex, &a, NULL);
	}
}

/* What a lease says of the MTU is advice: the configuration goes before it, and what the driver does not take is left alone. */
static void set_mtu(struct job *j, const struct link *link, const struct leases *leases)
{
	const struct network_config *pod = &j->plan->pod;
	uint32_t least = pod->dhcp6 == 1 ? MTU6_MIN : MTU4_MIN, mtu = leases && leases->v4.held ? leases->v4.mtu : 0;
	for (size_t i = 0; i < pod->n_addresses; i++)
		if (pod->addresses[i].prefix.address.family == IP_V6)
			least = MTU6_MIN;
	if (pod->mtu > 0)
		return;
	if (mtu == 0)
		mtu = j->plan->host.mtu;
	if (mtu < least)
		mtu = least;
	if (link->max_mtu > 0 && mtu > link->max_mtu)
		mtu = link->max_mtu;
	const struct link_wish wish = {.mtu = mtu};
	(void)link_apply(j->pod, link, &wish, NULL);
}

int job_lease_addresses(struct job *j, const struct link *l, struct error *e)
{
	if (!j->leases)
		return 0;
	set_mtu(j, l, j->leases);
	int r = add_addresses(j->pod, l->ifindex, &j->leases->v4, e);
	return r < 0 ? r : add_addresses(j->pod, l->ifindex, &j->leases->v6, e);
}

int job_lease_routes(struct job *j, const struct link *l, struct error *e)
{
	return j->leases ? add_routes(j->pod, l->ifindex, j->plan, &j->leases->v4, e) : 0;
}

static bool is_configured(struct nlsock *s, int32_t ifindex, const struct lease *l)
{
	_cleanup_addresses_ struct address_list have = {0};
	size_t found = 0;
	if (address_list(s, ifindex, &have, NULL) < 0)
		return false;
	for (size_t i = 0; i < have.n; i++)
		found += has_address(l, &have.v[i].address.prefix);
	return found >= l->n_addresses;
}

static int apply(struct job *j, const struct link *l, const struct leases *old, struct error *e)
{
	const struct leases *leases = j->leases;
	if (old) {
		remove_stale(j->pod, l->ifindex, j->plan, &old->v4, leases ? &leases->v4 : NULL);
		remove_stale(j->pod, l->ifindex, j->plan, &old->v6, leases ? &leases->v6 : NULL);
	}
	if (!leases)
		set_mtu(j, l, NULL);
	/* While there was no IPv4 address, because it expired or another comes, the kernel took all routes and neighbours off the link.
	 * Without `old` nobody knows what is there. */
	bool anew = leases && is_alive(&leases->v4) && (!old || !is_configured(j->pod, l->ifindex, &leases->v4));
	int r = job_lease_addresses(j, l, e);
	if (r < 0)
		return r;
	/* In the order of an attach: of those that come behind what the pod has the first is asked first. */
	int configured = anew ? job_configure_routes(j, l, e) : 0;
	r = job_lease_routes(j, l, configured < 0 ? NULL : e);
	if (configured < 0)
		return configured;
	return r == 0 && anew ? job_configure_neighbours(j, l, e) : r;
}

int mover_apply_leases(struct mover *m, const struct attach_plan *plan, const struct leases *old, const struct leases *leases, int netns_fd,
                       struct move_result *ret, struct error *e)
{
	_cleanup_job_ struct job j;
	struct located at = {0};
	*ret = (struct move_result){.place = PLACE_UNKNOWN};
	int r = job_open(m, plan, netns_fd, &j, e);
	if (r == 0)
		r = job_locate(&j, &at, e);
	if (r < 0)
		return r;
	ret->place = at.place;
	if (at.place != PLACE_POD)
		return error_set(e, -ENODEV, "%s is not in the pod any more", plan->pod.ifname);
	j.leases = leases;
	r = apply(&j, &at.link, old, e);
	int read = job_read_back(&j, at.link.ifindex, &ret->pod, r < 0 ? NULL : e);
	return r < 0 ? r : read;
}
