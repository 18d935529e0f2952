/* SPDX-License-Identifier: Apache-2.0 */
/* What a device gets in the pod, once it is there under its name. */
#include <errno.h>
#include <linux/if_addr.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/ebpf.h"
#include "netlink/ethtool_settings.h"
#include "netlink/features.h"
#include "netlink/link_state.h"
#include "netlink/mover_internal.h"
#include "netlink/netns.h"
#include "netlink/private_flags.h"
#include "netlink/route.h"
#include "netlink/rule.h"
#include "netlink/vrf.h"

/* ---- eBPF ------------------------------------------------------------------------------------------------------------------------ */

/* Before the link is up: no packet of the pod is seen by a program of the host's. */
static int configure_ebpf(struct job *j, const struct link *l, struct error *e)
{
	if (j->plan->pod.disable_ebpf != 1)
		return 0;
	int r = netns_enter(j->netns_fd, e);
	if (r < 0)
		return r;
	r = ebpf_remove_all(j->pod, l->ifindex, l->kind, e);
	netns_return(j->m->host_fd);
	return r < 0 && e ? error_prefix(e, "interface.disableEbpfPrograms") : r;
}

/* ---- ethtool --------------------------------------------------------------------------------------------------------------------- */

/* Private flags first: drivers make what else they can do depend on them. Features last: the kernel drops those that channels or flags
 * rule out. While the link is down, so that no driver takes it down and up again under its traffic. */
static int configure_ethtool(struct job *j, const struct link *l, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	_cleanup_nlsock_ struct nlsock *generic = NULL;
	if (!network_config_has_ethtool(c))
		return 0;
	if (!j->m->ethtool)
		return error_set(e, -EOPNOTSUPP, "ethtool: this kernel has no ethtool netlink");
	int r = nlsock_open_in(j->netns_fd, j->m->host_fd, NETLINK_GENERIC, &generic, e);
	const struct ethtool_link link = {generic, j->m->ethtool, l->ifindex};
	if (r == 0)
		r = private_flags_apply(&link, c->private_flags, c->n_private_flags, e);
	if (r == 0)
		r = ethtool_settings_apply(&link, &c->ethtool, e);
	return r == 0 ? features_apply(&link, c->features, c->n_features, e) : r;
}

/* ---- addresses, routes, rules, neighbours ------------------------------------------------------------------------------------------ */

static int configure_addresses(struct job *j, const struct link *l, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	for (size_t i = 0; i < c->n_addresses; i++) {
		struct address a = c->addresses[i];
		char text[IP_TEXT_MAX];
		/* What was copied from the host says all of this itself. */
		if (c->addresses_given || a.valid_lifetime == 0) {
			a.valid_lifetime = a.preferred_lifetime = UINT32_MAX;
			address_set_broadcast(&a);
		}
		/* Detection would keep it unusable for the first seconds of the container's life. One that moves was looked for when the
		 * host got it; for one that is configured, the claim's author is believed, as a container's runtime believes its IPAM. */
		if (a.prefix.address.family == IP_V6)
			a.flags |= IFA_F_NODAD;
		ip_prefix_format(&a.prefix, text);
		int r = address_add(j->pod, l->ifindex, &a, e);
		if (r < 0)
			return e ? error_prefix(e, "cannot add the address %s", text) : r;
	}
	return 0;
}

int job_configure_routes(struct job *j, const struct link *l, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	/* Gateways must be reachable when their routes come: the routes on the link first. */
	for (int with_gateway = 0; with_gateway <= 1; with_gateway++)
		for (size_t i = 0; i < c->n_routes; i++) {
			const struct route *route = &c->routes[i];
			struct error ours = {0};
			char text[4 * IP_TEXT_MAX];
			if ((route->gateway.family != IP_NONE || route->n_hops > 0) != with_gateway)
				continue;
			int r = route_add(j->pod, l->ifindex, route, &ours);
			/* What was only copied gives way to what the pod, or another device of it, has to the same place. What was
			 * configured without a metric comes after that: DRANET lets it fall under the table. */
			if (r == -EEXIST && route->protocol)
				continue;
			if (r == -EEXIST && !route->metric) {
				ours = (struct error){0};
				r = route_add_behind(j->pod, l->ifindex, route, &ours);
			}
			if (r == 0)
				continue;
			route_format(route, text, sizeof(text));
			return error_set(e, r, "cannot add the route %s: %s", text, ours.text);
		}
	return 0;
}

static int configure_rules(struct job *j, const struct link *l, struct error *e)
{
	(void)l;
	return rules_add(j->pod, j->plan, e);
}

int job_configure_neighbours(struct job *j, const struct link *l, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	for (size_t i = 0; i < c->n_neighbours; i++) {
		char text[IP_TEXT_MAX];
		ip_address_format(&c->neighbours[i].destination, text);
		int r = neighbour_add(j->pod, l->ifindex, &c->neighbours[i], e);
		if (r < 0)
			return e ? error_prefix(e, "cannot add the neighbour %s", text) : r;
	}
	return 0;
}

static int configure_vrf(struct job *j, const struct link *l, struct error *e)
{
	return vrf_join(j->pod, &j->plan->pod, l, e);
}

/* ---- in order -------------------------------------------------------------------------------------------------------------------- */

static int configure_up(struct job *j, const struct link *l, struct error *e)
{
	int r = link_set_up(j->pod, l->ifindex, true, e);
	return r < 0 && e ? error_prefix(e, "cannot bring %s up in the pod", l->ifname) : r;
}

int job_configure(struct job *j, const struct link *l, struct error *e)
{
	/* Each may be done again on a device that has it already. Addresses come before the link is up, so that it never shows itself
	 * without them; routes need it up. */
	static int (*const steps[])(struct job * j, const struct link *l, struct error *e) = {
	    job_configure_sysctls, configure_vrf,        configure_ebpf,   configure_ethtool, configure_addresses,      job_lease_addresses,
	    configure_up,          job_configure_routes, job_lease_routes, configure_rules,   job_configure_neighbours,
	};
	int r = 0;
	for (size_t i = 0; i < ELEMENTS(steps) && r == 0; i++)
		r = steps[i](j, l, e);
	return r;
}
