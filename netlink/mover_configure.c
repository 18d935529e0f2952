/* SPDX-License-Identifier: Apache-2.0 */
/* What a device gets in the pod, once it is there under its name. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mark.h"
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

/* ---- sysctls --------------------------------------------------------------------------------------------------------------------- */

struct sysctl {
	const char *path; /* %s = interface */
	int value;        /* negative = as it is */
	bool may_lack;    /* a kernel without IPv6 */
};

static int sysctl_write(const struct sysctl *c, const char *ifname, struct error *e)
{
	char path[128], value[16];
	snprintf(path, sizeof(path), c->path, ifname);
	int n = snprintf(value, sizeof(value), "%d\n", c->value);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT && c->may_lack ? 0 : error_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	mark("sysctl", "set", "begin");
	ssize_t written = write(fd, value, (size_t)n);
	mark("sysctl", "set", "end");
	int r = written == n ? 0 : error_set(e, written < 0 ? -errno : -EIO, "cannot set %s to %d: %s", path, c->value, strerror(errno));
	close(fd);
	return r;
}

/* /proc/sys/net shows the namespace of the thread that opens the file, whichever /proc is mounted. */
static int configure_sysctls(struct job *j, const struct link *l, struct error *e)
{
	(void)l;
	const struct network_config *c = &j->plan->pod;
	const struct sysctl table[] = {{"/proc/sys/net/ipv4/conf/%s/arp_ignore", c->arp_ignore, false},
	                               {"/proc/sys/net/ipv4/conf/%s/arp_announce", c->arp_announce, false},
	                               {"/proc/sys/net/ipv4/conf/%s/forwarding", c->forwarding, false},
	                               {"/proc/sys/net/ipv6/conf/%s/forwarding", c->forwarding, true}};
	bool any = false;
	for (size_t i = 0; i < ELEMENTS(table); i++)
		any |= table[i].value >= 0;
	if (!any)
		return 0;
	int r = netns_enter(j->netns_fd, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTS(table) && r == 0; i++)
		if (table[i].value >= 0)
			r = sysctl_write(&table[i], c->ifname, e);
	netns_return(j->m->host_fd);
	return r;
}

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

static void set_broadcast(struct address *a)
{
	unsigned host_bits = 32u - a->prefix.length;
	if (a->prefix.address.family != IP_V4 || a->prefix.length >= 31 || a->broadcast.family != IP_NONE || a->peer.family != IP_NONE)
		return;
	a->broadcast = a->prefix.address;
	for (unsigned bit = 0; bit < host_bits; bit++)
		a->broadcast.bytes[3 - bit / 8] |= (uint8_t)(1u << bit % 8);
}

static int configure_addresses(struct job *j, const struct link *l, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	for (size_t i = 0; i < c->n_addresses; i++) {
		struct address a = c->addresses[i];
		char text[IP_TEXT_MAX];
		/* Nobody in the pod renews what a client on the host leased, the host's label names the host's interface, and duplicate
		 * address detection would keep an address unusable for the first seconds of the container's life. */
		a.valid_lifetime = a.preferred_lifetime = UINT32_MAX;
		a.label[0] = '\0';
		if (a.prefix.address.family == IP_V6)
			a.flags |= IFA_F_NODAD;
		set_broadcast(&a);
		ip_prefix_format(&a.prefix, text);
		int r = address_add(j->pod, l->ifindex, &a, e);
		if (r < 0)
			return e ? error_prefix(e, "cannot add the address %s", text) : r;
	}
	return 0;
}

static int configure_routes(struct job *j, const struct link *l, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	/* Gateways must be reachable when their routes come: the routes on the link first. */
	for (int with_gateway = 0; with_gateway <= 1; with_gateway++)
		for (size_t i = 0; i < c->n_routes; i++) {
			char text[3 * IP_TEXT_MAX];
			if ((c->routes[i].gateway.family != IP_NONE) != with_gateway)
				continue;
			int r = route_add(j->pod, l->ifindex, &c->routes[i], e);
			route_format(&c->routes[i], text, sizeof(text));
			if (r < 0)
				return e ? error_prefix(e, "cannot add the route %s", text) : r;
		}
	return 0;
}

static int configure_rules(struct job *j, const struct link *l, struct error *e)
{
	(void)l;
	const struct network_config *c = &j->plan->pod;
	for (size_t i = 0; i < c->n_rules; i++) {
		int r = rule_add(j->pod, &c->rules[i], e);
		if (r < 0)
			return e ? error_prefix(e, "cannot add rule %zu for table %u", i, c->rules[i].table) : r;
	}
	return 0;
}

static int configure_neighbours(struct job *j, const struct link *l, struct error *e)
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
	    configure_sysctls, configure_ebpf,   configure_ethtool, configure_addresses, job_lease_addresses,
	    configure_up,      configure_routes, job_lease_routes,  configure_rules,     configure_neighbours,
	};
	int r = 0;
	for (size_t i = 0; i < ELEMENTS(steps) && r == 0; i++)
		r = steps[i](j, l, e);
	return r;
}
