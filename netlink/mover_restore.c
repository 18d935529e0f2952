/* SPDX-License-Identifier: Apache-2.0 */
/* A device on the host again: make it what the plan's host state says, then read it back and say what differs. Every step is tried, however
 * the ones before it ended: a device with its address but without one route serves the host better than one with nothing.
 *
 * The order is the kernel's: altnames that a pod gave before the name, sysctls before the addresses they govern, addresses before the
 * link comes up and routes after. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/devconf.h"
#include "netlink/ethtool_settings.h"
#include "netlink/features.h"
#include "netlink/kept.h"
#include "netlink/link_state.h"
#include "netlink/mover_internal.h"
#include "netlink/private_flags.h"
#include "netlink/route.h"
#include "netlink/vf.h"

void restore_note(struct restore *t, const struct error *ours)
{
	if (ours->code < 0 && t->why.code == 0)
		t->why = *ours;
}

bool restore_look(struct restore *t, bool all)
{
	struct error ours = {0};
	struct link now;
	struct host_state is = {0};
	struct mover *m = t->j->m;
	int r = link_state_get(m->host, t->now.ifindex, &now, &is, &ours);
	restore_note(t, &ours);
	if (r < 0)
		return false;
	if (all)
		(void)devconf_read_more(now.ifname, &is.more_sysctls);
	if (all)
		(void)job_read_ethtool(m, now.ifindex, &is, NULL);
	host_state_free(&t->is);
	t->now = now;
	t->is = is;
	return true;
}

/* ---- the link itself ------------------------------------------------------------------------------------------------------------- */

static void restore_link(struct restore *t)
{
	struct nlsock *s = t->j->m->host;
	const struct host_state *h = t->host;
	const struct link_wish wishes[] = {
	    {.ifname = h->ifname, .mtu = h->mtu, .mac = &h->mac, .sizes = h->sizes, .has_txqlen = true, .txqlen = h->txqlen},
	    {.ifname = h->ifname},
	    {.mac = &h->mac},
	    {.mtu = h->mtu},
	    {.sizes = h->sizes},
	    {.has_txqlen = true, .txqlen = h->txqlen},
	};
	/* All at once; only if the kernel refuses that, one by one, so that one refusal costs one property. */
	for (size_t i = 0; i < ELEMENTS(wishes); i++) {
		struct error ours = {0};
		int r = link_apply(s, &t->now, &wishes[i], &ours);
		(void)link_get(s, t->now.ifindex, &t->now, NULL);
		if (i == 0 && r == 0)
			break;
		/* A name that is taken is told with who has it. */
		if (i > 0 && r != -EEXIST)
			restore_note(t, &ours);
	}
}

/* Its own name is another's now: until it is free again the device can be found by an altname. */
static void mark_name(struct restore *t)
{
	char mark[IFNAME_SIZE + 4];
	snprintf(mark, sizeof(mark), "was-%s", t->host->ifname);
	(void)link_altname_add(t->j->m->host, t->now.ifindex, mark, NULL);
}

static void restore_master(struct restore *t)
{
	struct error ours = {0};
	int32_t master = t->host->taken_at ? t->host->master : t->j->plan->facts.master;
	if (t->now.master != master && (master > 0 || t->host->taken_at))
		(void)link_set_master(t->j->m->host, t->now.ifindex, master, &ours);
	restore_note(t, &ours);
}

/* In the order of the attach, and with the link still down. */
static void restore_ethtool(struct restore *t)
{
	const struct ethtool_link l = {t->j->m->generic, t->j->m->ethtool, t->now.ifindex};
	const struct host_state *was = t->host, *is = &t->is;
	struct error ours[3] = {{0}};
	(void)private_flags_restore(&l, &was->private_flags, &is->private_flags, &ours[0]);
	(void)ethtool_settings_set(&l, &was->ethtool, &is->ethtool, &ours[1]);
	(void)features_restore(&l, &was->features, &is->features, &ours[2]);
	for (size_t i = 0; i < ELEMENTS(ours); i++)
		restore_note(t, &ours[i]);
}

static void restore_state(struct restore *t)
{
	static link_state_step *const steps[] = {link_state_restore_flags, link_state_restore_group, link_state_restore_alias,
	                                         link_state_add_altnames, link_state_restore_addr_gen_mode};
	struct mover *m = t->j->m;
	devconf_restore(t->now.ifname, t->host, &t->is);
	for (size_t i = 0; i < ELEMENTS(steps); i++) {
		struct error ours = {0};
		(void)steps[i](m->host, t->now.ifindex, t->host, &t->is, &ours);
		restore_note(t, &ours);
	}
	if (m->ethtool)
		restore_ethtool(t);
	/* After the queues and features that a driver's XDP depends on. */
	struct error ours = {0};
	if (!restore_ebpf(t))
		(void)link_state_restore_xdp(m->host, t->now.ifindex, t->host, &t->is, &ours);
	restore_note(t, &ours);
}

/* First of all, because a PF may forbid its VF to change its MAC. */
static void restore_vf(struct restore *t)
{
	struct vf_settings is = {0};
	struct error ours = {0};
	struct mover *m = t->j->m;
	if (t->host->vf.known && vf_get(m->host, m->sysfs, t->now.ifname, &is, &ours) == 0)
		vf_restore(m->host, &t->host->vf, &is, &ours);
	restore_note(t, &ours);
}

/* After the PF's own setting, and only when the VF is not let set it itself. */
static void restore_mac_of_vf(struct restore *t)
{
	struct error ours = {0};
	if (t->host->vf.known && t->host->mac.length == VF_MAC_LENGTH)
		(void)job_vf_take_mac(t->j->m, &t->now, &t->host->mac, &ours);
	restore_note(t, &ours);
}

static void restore_admin_state(struct restore *t)
{
	struct error ours = {0};
	bool up = t->now.flags & IFF_UP;
	if (up != t->host->up)
		(void)link_set_up(t->j->m->host, t->now.ifindex, t->host->up, &ours);
	restore_note(t, &ours);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------- */

static uint32_t left_of(uint32_t lifetime, uint64_t elapsed)
{
	return lifetime == UINT32_MAX ? UINT32_MAX : elapsed / 1000 >= lifetime ? 0 : lifetime - (uint32_t)(elapsed / 1000);
}

bool address_age(struct address *a, uint64_t elapsed)
{
	a->valid_lifetime = left_of(a->valid_lifetime, elapsed);
	a->preferred_lifetime = left_of(a->preferred_lifetime, elapsed);
	return a->valid_lifetime > 0;
}

/* What is left of a lifetime goes on; told in whole seconds, and asked for at two moments. */
static bool same_lifetime(uint32_t a, uint32_t b)
{
	enum { TOLERANCE = 5 };
	return a == b || (a != UINT32_MAX && b != UINT32_MAX && (a > b ? a - b : b - a) <= TOLERANCE);
}

bool address_same(const struct address *a, const struct address *b)
{
	return ip_prefix_equal(&a->prefix, &b->prefix) && ip_address_equal(&a->peer, &b->peer) &&
	       ip_address_equal(&a->broadcast, &b->broadcast) && a->scope == b->scope && str_equal(a->label, b->label) &&
	       a->route_metric == b->route_metric && a->protocol == b->protocol && same_lifetime(a->valid_lifetime, b->valid_lifetime) &&
	       same_lifetime(a->preferred_lifetime, b->preferred_lifetime) && address_settable_flags(a) == address_settable_flags(b);
}

static bool has_address(const struct address_list *l, const struct address *a)
{
	for (size_t i = 0; i < l->n; i++)
		if (address_same(&l->v[i].address, a))
			return true;
	return false;
}

static bool is_ours(const struct restore *t, const struct address *is)
{
	for (size_t i = 0; i < t->host->n_addresses; i++)
		if (ip_prefix_equal(&t->host->addresses[i].prefix, &is->prefix))
			return true;
	return false;
}

/* The next IPv4 address of the host state that still lives; `i` goes behind it. */
static bool next_address4(const struct restore *t, size_t *i, struct address *ret)
{
	while (*i < t->host->n_addresses) {
		*ret = t->host->addresses[(*i)++];
		if (ret->prefix.address.family == IP_V4 && address_age(ret, t->elapsed))
			return true;
	}
	return false;
}

/* Whether those of the IPv4 addresses that are there are the first ones, as they were and in their order. */
static bool are_first(const struct restore *t, const struct address_list *there)
{
	size_t i = 0;
	struct address was;
	for (size_t k = 0; k < there->n; k++) {
		const struct address *is = &there->v[k].address;
		if (is->prefix.address.family == IP_V4 && is_ours(t, is) && (!next_address4(t, &i, &was) || !address_same(&was, is)))
			return false;
	}
	return true;
}

/* Renaming a link with addresses rewrites their labels, which a change request does not reach, and the one added last is the last: when
 * anything is not as it was, all of them go and come anew. */
static bool remove_altered(struct restore *t, const struct address_list *there)
{
	if (are_first(t, there))
		return false;
	for (size_t k = there->n; k > 0; k--) {
		const struct address *is = &there->v[k - 1].address;
		if (is->prefix.address.family == IP_V4 && is_ours(t, is))
			(void)address_remove(t->j->m->host, t->now.ifindex, is, NULL);
	}
	return true;
}

/* An IPv6 address comes back without duplicate address detection: it was this host's a moment ago, and routes that prefer it as source are
 * refused while it is tentative. Its own flags, which need no detection any more, follow when the routes are there. */
static void restore_address(struct restore *t, const struct address_list *there, const struct address *was, bool final)
{
	struct address a = *was;
	struct error ours = {0};
	bool v6 = a.prefix.address.family == IP_V6;
	if (!address_age(&a, t->elapsed) || has_address(there, &a) || (final && !v6))
		return;
	if (v6 && !final)
		a.flags |= IFA_F_NODAD;
	(void)address_add(t->j->m->host, t->now.ifindex, &a, &ours);
	restore_note(t, &ours);
}

static void restore_addresses(struct restore *t, bool final)
{
	_cleanup_addresses_ struct address_list there = {0};
	struct nlsock *s = t->j->m->host;
	struct error ours = {0};
	size_t n = t->host->n_addresses;
	int r = n ? address_list(s, t->now.ifindex, &there, &ours) : 0;
	if (n && r == 0 && remove_altered(t, &there)) {
		address_list_free(&there);
		r = address_list(s, t->now.ifindex, &there, &ours);
	}
	restore_note(t, &ours);
	if (n == 0 || r < 0)
		return;
	/* The kernel lists IPv4 addresses in the order they came, IPv6 addresses the other way round, and prefers by that order. */
	for (size_t i = 0; i < n; i++)
		if (t->host->addresses[i].prefix.address.family == IP_V4)
			restore_address(t, &there, &t->host->addresses[i], final);
	for (size_t i = n; i > 0; i--)
		if (t->host->addresses[i - 1].prefix.address.family == IP_V6)
			restore_address(t, &there, &t->host->addresses[i - 1], final);
}

/* ---- what points at it ----------------------------------------------------------------------------------------------------------- */

/* A record of the version that kept them as structs. */
static void restore_lists(struct restore *t)
{
	struct nlsock *s = t->j->m->host;
	for (int with_gateway = 0; with_gateway <= 1; with_gateway++)
		for (size_t i = 0; i < t->host->n_routes; i++) {
			struct error ours = {0};
			if ((t->host->routes[i].gateway.family != IP_NONE) == with_gateway)
				(void)route_add(s, t->now.ifindex, &t->host->routes[i], &ours);
			restore_note(t, &ours);
		}
	for (size_t i = 0; i < t->host->n_neighbours; i++) {
		struct error ours = {0};
		(void)neighbour_add(s, t->now.ifindex, &t->host->neighbours[i], &ours);
		restore_note(t, &ours);
	}
}

struct kept_owner restore_owner(const struct restore *t)
{
	const struct host_state *h = t->host;
	return (struct kept_owner){t->now.ifindex, h->ifname, &h->mac, h->addresses, h->n_addresses};
}

static void restore_objects(struct restore *t)
{
	const struct host_state *h = t->host;
	const struct kept_owner owner = restore_owner(t);
	struct error ours = {0};
	kept_restore(t->j->m->host, &h->objects, h->ifindex, &owner, t->elapsed, &ours);
	restore_note(t, &ours);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

void job_restore(struct job *j, const struct link *now, char *differences, size_t size)
{
	const struct host_state *h = &j->plan->host;
	uint64_t clock = boottime_ms();
	struct restore t = {.j = j,
	                    .host = h,
	                    .now = *now,
	                    .elapsed = h->taken_at && clock > h->taken_at ? clock - h->taken_at : 0,
	                    .differences = differences,
	                    .size = size};
	differences[0] = '\0';
	bool known = h->taken_at > 0 && restore_look(&t, false);
	if (known) {
		struct error ours = {0};
		(void)link_state_remove_altnames(j->m->host, t.now.ifindex, h, &t.is, &ours);
		restore_note(&t, &ours);
		restore_vf(&t);
	}
	restore_link(&t);
	restore_mac_of_vf(&t);
	restore_master(&t);
	if (known && restore_look(&t, true))
		restore_state(&t);
	if (!str_equal(t.now.ifname, h->ifname))
		mark_name(&t);
	restore_addresses(&t, false);
	restore_admin_state(&t);
	if (known)
		restore_objects(&t);
	else
		restore_lists(&t);
	restore_addresses(&t, true);
	if (known) {
		const struct kept_owner owner = restore_owner(&t);
		kept_restore_made(j->m->host, &h->objects, h->ifindex, &owner, t.elapsed);
	}
	restore_compare(&t);
	host_state_free(&t.is);
}
