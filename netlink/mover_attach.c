/* SPDX-License-Identifier: Apache-2.0 */
/* Host → pod. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mark.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/link_state.h"
#include "netlink/mover_internal.h"
#include "netlink/netns.h"
#include "netlink/route.h"

static struct link_wish pod_wish(const struct attach_plan *p)
{
	return (struct link_wish){.ifname = p->pod.ifname, .mtu = p->pod.mtu, .mac = &p->pod.mac, .sizes = p->pod.sizes};
}

/* The kernel moves first and renames afterwards: asking it for a name that is taken leaves the device in the pod under the wrong one. */
static int check_name_free(struct job *j, int32_t except, struct error *e)
{
	const char *name = j->plan->pod.ifname;
	struct error ours = {0};
	struct link other;
	int r = link_get_by_name(j->pod, name, &other, &ours);
	if (r == -ENODEV || (r == 0 && other.ifindex == except))
		return 0;
	if (r < 0)
		return error_set(e, r, "cannot look for the name %s in the pod: %s", name, ours.text);
	return error_set(e, -EEXIST, "the interface name %s is taken in the pod by link %d (%s)", name, other.ifindex, other.kind);
}

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
static int configure_sysctls(struct job *j, struct error *e)
{
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

static int configure_addresses(struct job *j, int32_t ifindex, struct error *e)
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
		int r = address_add(j->pod, ifindex, &a, e);
		if (r < 0)
			return e ? error_prefix(e, "cannot add the address %s", text) : r;
	}
	return 0;
}

static int configure_routes(struct job *j, int32_t ifindex, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	/* Gateways must be reachable when their routes come: the routes on the link first. */
	for (int with_gateway = 0; with_gateway <= 1; with_gateway++)
		for (size_t i = 0; i < c->n_routes; i++) {
			char text[3 * IP_TEXT_MAX];
			if ((c->routes[i].gateway.family != IP_NONE) != with_gateway)
				continue;
			int r = route_add(j->pod, ifindex, &c->routes[i], e);
			route_format(&c->routes[i], text, sizeof(text));
			if (r < 0)
				return e ? error_prefix(e, "cannot add the route %s", text) : r;
		}
	return 0;
}

static int configure_rules(struct job *j, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	for (size_t i = 0; i < c->n_rules; i++) {
		int r = rule_add(j->pod, &c->rules[i], e);
		if (r < 0)
			return e ? error_prefix(e, "cannot add rule %zu for table %u", i, c->rules[i].table) : r;
	}
	return 0;
}

static int configure_neighbours(struct job *j, int32_t ifindex, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	for (size_t i = 0; i < c->n_neighbours; i++) {
		char text[IP_TEXT_MAX];
		ip_address_format(&c->neighbours[i].destination, text);
		int r = neighbour_add(j->pod, ifindex, &c->neighbours[i], e);
		if (r < 0)
			return e ? error_prefix(e, "cannot add the neighbour %s", text) : r;
	}
	return 0;
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

/* An altname of its own is taken in the pod: then it did not move. Or is the very name it gets there: then it moved and kept its name.
 * Without altnames both work; they come back when it does. */
static int move_without_altnames(struct job *j, const struct link_wish *wish, struct error *e)
{
	struct located at = {0};
	int r = job_locate(j, &at, e);
	if (r < 0 || (at.place != PLACE_HOST && at.place != PLACE_POD))
		return r < 0 ? r : error_set(e, -ENODEV, "it does not exist any more");
	struct nlsock *s = at.place == PLACE_HOST ? j->m->host : j->pod;
	r = link_altnames_drop(s, at.link.ifindex, e);
	if (r < 0)
		return r;
	return at.place == PLACE_HOST ? link_move(s, &at.link, j->netns_fd, wish, e) : link_apply(s, &at.link, wish, e);
}

static int move_in(struct job *j, const struct link *have, struct link *ret, struct error *e)
{
	struct link_wish wish = pod_wish(j->plan);
	int r = check_name_free(j, -1, e);
	if (r < 0)
		return r;
	struct error ours = {0};
	r = link_move(j->m->host, have, j->netns_fd, &wish, &ours);
	if (r == -EEXIST) {
		ours = (struct error){0};
		r = move_without_altnames(j, &wish, &ours);
	}
	if (r < 0)
		error_set(e, r, "%s", ours.text);
	if (r < 0)
		return e ? error_prefix(e, "cannot move %s into the pod as %s", have->ifname, wish.ifname) : r;
	/* By name: the number may have been taken there. */
	return link_get_by_name(j->pod, wish.ifname, ret, e);
}

/* It is there already: the answer to an earlier attach was lost, or a crash came in between. */
static int adjust(struct job *j, const struct link *have, struct link *ret, struct error *e)
{
	struct link_wish wish = pod_wish(j->plan);
	int r = check_name_free(j, have->ifindex, e);
	if (r == 0)
		r = link_apply(j->pod, have, &wish, e);
	if (r < 0)
		return e ? error_prefix(e, "cannot adjust %s in the pod", have->ifname) : r;
	return link_get(j->pod, have->ifindex, ret, e);
}

static int configure(struct job *j, const struct link *l, struct error *e)
{
	int r = configure_sysctls(j, e);
	if (r == 0)
		r = configure_addresses(j, l->ifindex, e);
	if (r == 0 && (r = link_set_up(j->pod, l->ifindex, true, e)) < 0 && e)
		error_prefix(e, "cannot bring %s up in the pod", l->ifname);
	if (r == 0)
		r = configure_routes(j, l->ifindex, e);
	if (r == 0)
		r = configure_rules(j, e);
	if (r == 0)
		r = configure_neighbours(j, l->ifindex, e);
	return r;
}

/* Home again, with the code of detach. The first error is the one to tell; what went wrong on the way back goes behind it. */
static void undo(struct job *j, struct move_result *ret, struct error *e)
{
	struct error ours = {0};
	struct located at = {0};
	int r = job_locate(j, &at, &ours);
	if (r == 0)
		ret->place = at.place;
	if (r == 0 && at.place == PLACE_POD)
		r = job_bring_home(j, &at, ret, &ours);
	if (r < 0)
		error_append(e, r, "undo failed: %s", ours.text);
	else if (at.place == PLACE_GONE)
		error_append(e, -ENODEV, "%s does not exist any more", j->plan->host.ifname);
	else if (ret->differences[0])
		error_append(e, -EREMOTEIO, "back on the host, but: %s", ret->differences);
}

int mover_attach(struct mover *m, const struct attach_plan *plan, const struct leases *leases, int netns_fd, struct move_result *ret,
                 struct error *e)
{
	(void)leases;
	_cleanup_job_ struct job j;
	struct located at = {0};
	struct link l = {0};
	*ret = (struct move_result){.place = PLACE_UNKNOWN};
	int r = netns_fd < 0 ? error_set(e, -EBADF, "there is no namespace to attach %s to", plan->host.ifname) : 0;
	int opened = job_open(m, plan, netns_fd, &j, r == 0 ? e : NULL);
	if (r == 0)
		r = opened;
	if (r < 0) {
		struct error ours = {0};
		/* What is not on the host may be in the namespace that cannot be opened. */
		if (job_locate(&j, &at, &ours) == 0 && at.place == PLACE_HOST)
			ret->place = PLACE_HOST;
		return r;
	}
	r = job_locate(&j, &at, e);
	if (r < 0)
		return r;
	ret->place = at.place;
	if (at.place == PLACE_GONE)
		return error_set(e, -ENODEV, "%s (ifindex %d) does not exist any more", plan->host.ifname, plan->host.ifindex);
	r = at.place == PLACE_POD ? adjust(&j, &at.link, &l, e) : move_in(&j, &at.link, &l, e);
	if (r == 0)
		r = configure(&j, &l, e);
	if (r == 0)
		r = job_read_back(&j, l.ifindex, &ret->pod, e);
	if (r < 0) {
		undo(&j, ret, e);
		return r;
	}
	ret->place = PLACE_POD;
	return 0;
}
