/* SPDX-License-Identifier: Apache-2.0 */
/* A device on the host again: make it what the plan's host state says, then read it back and say what differs. Every step is tried, however
 * the ones before it ended: a device with its address but without one route serves the host better than one with nothing. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/mover_internal.h"
#include "netlink/route.h"

struct restore {
	struct job *j;
	const struct host_state *host;
	struct link now;
	struct error why; /* of the last step that failed */
	char *differences;
	size_t size;
};

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

/* ---- the steps ------------------------------------------------------------------------------------------------------------------- */

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
		int r = link_apply(s, &t->now, &wishes[i], &t->why);
		(void)link_get(s, t->now.ifindex, &t->now, NULL);
		if (i == 0 && r == 0)
			break;
	}
	int32_t master = t->j->plan->facts.master;
	if (master > 0 && t->now.master != master)
		(void)link_set_master(s, t->now.ifindex, master, &t->why);
}

static bool same_address(const struct address *a, const struct address *b)
{
	bool a_ever = a->valid_lifetime == UINT32_MAX, b_ever = b->valid_lifetime == UINT32_MAX;
	return ip_prefix_equal(&a->prefix, &b->prefix) && ip_address_equal(&a->peer, &b->peer) &&
	       ip_address_equal(&a->broadcast, &b->broadcast) && a->scope == b->scope && str_equal(a->label, b->label) &&
	       a->route_metric == b->route_metric && a_ever == b_ever && address_settable_flags(a) == address_settable_flags(b);
}

static bool has_address(const struct address_list *l, const struct address *a)
{
	for (size_t i = 0; i < l->n; i++)
		if (same_address(&l->v[i].address, a))
			return true;
	return false;
}

/* One that is there but differs in what a change request does not reach: renaming a link with addresses rewrites their labels. */
static void remove_altered(struct restore *t, const struct address_list *there)
{
	for (size_t i = 0; i < t->host->n_addresses; i++)
		for (size_t k = 0; k < there->n; k++) {
			const struct address *was = &t->host->addresses[i], *is = &there->v[k].address;
			if (ip_prefix_equal(&was->prefix, &is->prefix) && was->prefix.address.family == IP_V4 && !same_address(was, is))
				(void)address_remove(t->j->m->host, t->now.ifindex, is, NULL);
		}
}

/* An IPv6 address comes back without duplicate address detection: it was this host's a moment ago, and routes that prefer it as source are
 * refused while it is tentative. Its own flags, which need no detection any more, follow when the routes are there. */
static void restore_address(struct restore *t, const struct address_list *there, const struct address *was, bool final)
{
	struct address a = *was;
	bool v6 = a.prefix.address.family == IP_V6;
	if (has_address(there, &a) || (final && !v6))
		return;
	if (v6 && !final)
		a.flags |= IFA_F_NODAD;
	(void)address_add(t->j->m->host, t->now.ifindex, &a, &t->why);
}

static void restore_addresses(struct restore *t, bool final)
{
	_cleanup_addresses_ struct address_list there = {0};
	struct nlsock *s = t->j->m->host;
	size_t n = t->host->n_addresses;
	if (address_list(s, t->now.ifindex, &there, &t->why) < 0)
		return;
	remove_altered(t, &there);
	address_list_free(&there);
	if (address_list(s, t->now.ifindex, &there, &t->why) < 0)
		return;
	/* The kernel lists IPv4 addresses in the order they came, IPv6 addresses the other way round, and prefers by that order. */
	for (size_t i = 0; i < n; i++)
		if (t->host->addresses[i].prefix.address.family == IP_V4)
			restore_address(t, &there, &t->host->addresses[i], final);
	for (size_t i = n; i > 0; i--)
		if (t->host->addresses[i - 1].prefix.address.family == IP_V6)
			restore_address(t, &there, &t->host->addresses[i - 1], final);
}

static void restore_admin_state(struct restore *t)
{
	bool up = t->now.flags & IFF_UP;
	if (up != t->host->up)
		(void)link_set_up(t->j->m->host, t->now.ifindex, t->host->up, &t->why);
}

static void restore_routes(struct restore *t)
{
	for (int with_gateway = 0; with_gateway <= 1; with_gateway++)
		for (size_t i = 0; i < t->host->n_routes; i++)
			if ((t->host->routes[i].gateway.family != IP_NONE) == with_gateway)
				(void)route_add(t->j->m->host, t->now.ifindex, &t->host->routes[i], &t->why);
	for (size_t i = 0; i < t->host->n_neighbours; i++)
		(void)neighbour_add(t->j->m->host, t->now.ifindex, &t->host->neighbours[i], &t->why);
}

/* ---- the comparison -------------------------------------------------------------------------------------------------------------- */

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
	};
	if (!str_equal(l->ifname, h->ifname))
		differs(t, "name is %s, was %s", l->ifname, h->ifname);
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
	int32_t master = t->j->plan->facts.master;
	if (master > 0 && l->master != master)
		differs(t, "master is %d, was %d", l->master, master);
}

static bool same_route(const struct route *a, const struct route *b)
{
	return ip_prefix_equal(&a->destination, &b->destination) && ip_address_equal(&a->gateway, &b->gateway) &&
	       ip_address_equal(&a->source, &b->source) && a->table == b->table && a->metric == b->metric && a->scope == b->scope &&
	       a->protocol == b->protocol;
}

static bool same_neighbour(const struct neighbour *a, const struct neighbour *b)
{
	return ip_address_equal(&a->destination, &b->destination) && mac_equal(&a->mac, &b->mac);
}

static bool state_has_address(const struct host_state *s, const struct address *a)
{
	for (size_t i = 0; i < s->n_addresses; i++)
		if (same_address(&s->addresses[i], a))
			return true;
	return false;
}

static bool state_has_route(const struct host_state *s, const struct route *r)
{
	for (size_t i = 0; i < s->n_routes; i++)
		if (same_route(&s->routes[i], r))
			return true;
	return false;
}

static bool state_has_neighbour(const struct host_state *s, const struct neighbour *n)
{
	for (size_t i = 0; i < s->n_neighbours; i++)
		if (same_neighbour(&s->neighbours[i], n))
			return true;
	return false;
}

static void compare_lists(struct restore *t)
{
	const struct host_state *was = t->host;
	struct host_state is;
	char text[3 * IP_TEXT_MAX];
	if (host_state_read(t->j->m->host, &t->now, &is, &t->why) < 0) {
		differs(t, "it cannot be read back: %s", t->why.text);
		return;
	}
	for (size_t i = 0; i < was->n_addresses; i++)
		if (!state_has_address(&is, &was->addresses[i])) {
			ip_prefix_format(&was->addresses[i].prefix, text);
			differs(t, "address %s is missing", text);
		}
	for (size_t i = 0; i < was->n_routes; i++)
		if (!state_has_route(&is, &was->routes[i])) {
			route_format(&was->routes[i], text, sizeof(text));
			differs(t, "route %s is missing", text);
		}
	for (size_t i = 0; i < was->n_neighbours; i++)
		if (!state_has_neighbour(&is, &was->neighbours[i])) {
			ip_address_format(&was->neighbours[i].destination, text);
			differs(t, "neighbour %s is missing", text);
		}
	host_state_free(&is);
}

void job_restore(struct job *j, const struct link *now, char *differences, size_t size)
{
	struct restore t = {.j = j, .host = &j->plan->host, .now = *now, .differences = differences, .size = size};
	differences[0] = '\0';
	restore_link(&t);
	restore_addresses(&t, false);
	restore_admin_state(&t);
	restore_routes(&t);
	restore_addresses(&t, true);

	int r = link_get(j->m->host, now->ifindex, &t.now, &t.why);
	if (r < 0) {
		differs(&t, "it cannot be read back: %s", t.why.text);
		return;
	}
	compare_link(&t);
	compare_lists(&t);
	if (differences[0] && t.why.code < 0)
		differs(&t, "the kernel said: %s", t.why.text);
}
