/* SPDX-License-Identifier: Apache-2.0 */
/* After a device was restored: what of it is not as it was, by name. */
#include <linux/if.h>
#include <stdarg.h>
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
#include "netlink/vf.h"

static void differs(struct restore *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void differs(struct restore *t, const char *format, ...)
{
	size_t used = strlen(t->differences);
	if (used > 0 && used + 3 < t->size) {
		memcpy(t->differences + used, "; ", 3);
		used += 2;
	}
	va_list args;
	va_start(args, format);
	vsnprintf(t->differences + used, t->size - used, format, args);
	va_end(args);
}

static void compare_name(struct restore *t)
{
	const char *was = t->host->ifname;
	struct link thief;
	if (str_equal(t->now.ifname, was))
		return;
	if (link_get_by_name(t->j->m->host, was, &thief, NULL) == 0 && thief.ifindex != t->now.ifindex)
		differs(t, "name is %s (altname was-%s), was %s: taken by link %d (%s)", t->now.ifname, was, was, thief.ifindex,
		        thief.kind);
	else
		differs(t, "name is %s, was %s", t->now.ifname, was);
}

static void compare_link(struct restore *t)
{
	const struct host_state *h = t->host;
	const struct link *l = &t->now;
	const struct {
		const char *name;
		uint32_t is, was;
	} numbers[] = {
	    {"mtu", l->mtu, h->mtu},
	    {"txqlen", l->txqlen, h->txqlen},
	    {"gso_max_size", l->sizes.gso_max, h->sizes.gso_max},
	    {"gro_max_size", l->sizes.gro_max, h->sizes.gro_max},
	    {"gso_ipv4_max_size", l->sizes.gso_ipv4_max, h->sizes.gso_ipv4_max},
	    {"gro_ipv4_max_size", l->sizes.gro_ipv4_max, h->sizes.gro_ipv4_max},
	    {"gso_max_segs", h->sizes.gso_max_segs ? l->sizes.gso_max_segs : 0, h->sizes.gso_max_segs},
	};
	for (size_t i = 0; i < ELEMENTS(numbers); i++)
		if (numbers[i].is != numbers[i].was)
			differs(t, "%s is %u, was %u", numbers[i].name, numbers[i].is, numbers[i].was);
	if (!mac_equal(&l->mac, &h->mac)) {
		char is[MAC_TEXT_MAX], was[MAC_TEXT_MAX];
		mac_format(&l->mac, is);
		mac_format(&h->mac, was);
		differs(t, "mac is %s, was %s", is, was);
	}
	if (((l->flags & IFF_UP) != 0) != h->up)
		differs(t, "it is %s, was %s", h->up ? "down" : "up", h->up ? "up" : "down");
	int32_t master = h->taken_at ? h->master : t->j->plan->facts.master;
	if (l->master != master && (master > 0 || h->taken_at))
		differs(t, "master is %d, was %d", l->master, master);
}

static void setting_differs(const char *name, const char *is, const char *was, void *user)
{
	differs(user, "%s is %s, was %s", name, is, was);
}

static void feature_differs(const char *name, bool is, bool was, void *user)
{
	differs(user, "feature %s is %s, was %s", name, is ? "on" : "off", was ? "on" : "off");
}

static void private_flag_differs(const char *name, bool is, bool was, void *user)
{
	differs(user, "private flag %s is %s, was %s", name, is ? "on" : "off", was ? "on" : "off");
}

static void number_differs(const char *name, uint32_t is, uint32_t was, void *user)
{
	differs(user, "%s is %u, was %u", name, is, was);
}

static void compare_ethtool(struct restore *t)
{
	const struct ethtool_link l = {t->j->m->generic, t->j->m->ethtool, t->now.ifindex};
	const struct host_state *was = t->host, *is = &t->is;
	features_compare(&l, &was->features, &is->features, feature_differs, t);
	private_flags_compare(&l, &was->private_flags, &is->private_flags, private_flag_differs, t);
	ethtool_settings_compare(&was->ethtool, &is->ethtool, number_differs, t);
}

static void compare_flags(struct restore *t)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} names[] = {
	    {"promisc", IFF_PROMISC}, {"allmulti", IFF_ALLMULTI}, {"multicast", IFF_MULTICAST},
	    {"noarp", IFF_NOARP},     {"debug", IFF_DEBUG},       {"notrailers", IFF_NOTRAILERS},
	};
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		bool is = t->is.flags & names[i].flag, was = t->host->flags & names[i].flag;
		if (is != was)
			differs(t, "%s is %s, was %s", names[i].name, is ? "on" : "off", was ? "on" : "off");
	}
}

static void compare_altnames(struct restore *t)
{
	for (const char *name = NULL; (name = bytes_next(&t->host->altnames, name));) {
		struct link thief;
		if (bytes_have(&t->is.altnames, name))
			continue;
		if (link_get_by_name(t->j->m->host, name, &thief, NULL) == 0)
			differs(t, "altname %s is missing: taken by link %d (%s)", name, thief.ifindex, thief.kind);
		else
			differs(t, "altname %s is missing", name);
	}
}

static void ebpf_differs(const char *what, void *user)
{
	differs(user, "%s", what);
}

static void compare_state(struct restore *t)
{
	const struct host_state *was = t->host, *is = &t->is;
	struct mover *m = t->j->m;
	compare_flags(t);
	compare_altnames(t);
	if (is->group != was->group)
		differs(t, "group is %u, was %u", is->group, was->group);
	if (is->alias.n != was->alias.n || (was->alias.n > 0 && memcmp(is->alias.data, was->alias.data, was->alias.n) != 0))
		differs(t, "alias is \"%.*s\", was \"%.*s\"", (int)is->alias.n, (const char *)is->alias.data, (int)was->alias.n,
		        (const char *)was->alias.data);
	if (!compare_ebpf(t, ebpf_differs) && is->xdp != was->xdp)
		differs(t, "XDP program is %u, was %u", is->xdp, was->xdp);
	/* One that is down has none before it has been up; then it gets the kernel's default. */
	bool none = str_equal(is->qdisc, "noop") || str_equal(was->qdisc, "noop");
	if (!str_equal(is->qdisc, was->qdisc) && !none && t->host->up == ((t->now.flags & IFF_UP) != 0))
		differs(t, "qdisc is %s, was %s", is->qdisc, was->qdisc);
	devconf_compare(was, is, setting_differs, t);
	struct vf_settings vf = {0};
	if (was->vf.known) {
		(void)vf_get(m->host, m->sysfs, t->now.ifname, &vf, NULL);
		vf_compare(&was->vf, &vf, setting_differs, t);
	}
	if (m->ethtool)
		compare_ethtool(t);
}

static void compare_addresses(struct restore *t)
{
	_cleanup_addresses_ struct address_list there = {0};
	struct error ours = {0};
	if (t->host->n_addresses == 0)
		return;
	if (address_list(t->j->m->host, t->now.ifindex, &there, &ours) < 0) {
		differs(t, "its addresses cannot be read back: %s", ours.text);
		return;
	}
	for (size_t i = 0; i < t->host->n_addresses; i++) {
		struct address a = t->host->addresses[i];
		bool found = !address_age(&a, t->elapsed);
		for (size_t k = 0; k < there.n && !found; k++)
			found = address_same(&there.v[k].address, &a);
		if (!found) {
			char text[IP_TEXT_MAX];
			ip_prefix_format(&a.prefix, text);
			differs(t, "address %s is missing", text);
		}
	}
}

static void object_missing(const char *what, void *user)
{
	differs(user, "%s is missing", what);
}

static void compare_objects(struct restore *t)
{
	const struct host_state *h = t->host;
	const struct kept_owner owner = restore_owner(t);
	struct error ours = {0};
	if (kept_compare(t->j->m->host, &h->objects, h->ifindex, &owner, t->elapsed, object_missing, t, &ours) < 0)
		differs(t, "its routes cannot be read back: %s", ours.text);
}

void restore_compare(struct restore *t)
{
	if (!restore_look(t, t->host->taken_at > 0)) {
		differs(t, "it cannot be read back: %s", t->why.text);
		return;
	}
	compare_name(t);
	compare_link(t);
	if (t->host->taken_at)
		compare_state(t);
	compare_addresses(t);
	if (t->host->taken_at)
		compare_objects(t);
	/* The lists of an earlier version's record are not read back: of them only a refusal tells. */
	if (t->why.code < 0 && (t->differences[0] || !t->host->taken_at))
		differs(t, "because: %s", t->why.text);
}
