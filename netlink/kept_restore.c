/* SPDX-License-Identifier: Apache-2.0 */
/* Kept objects: from the kernel, and back to it. */
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/fib_rules.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "netlink/kept_internal.h"
#include "netlink/link_state.h"
#include "netlink/route.h"
#include "netlink/tc_filter.h"

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

/* Room for one more in a list that is filled one by one. */
static int grow(void *list, size_t n, size_t size)
{
	void *old, *v;
	if (n == ROUTES_MAX)
		return -E2BIG;
	if (n != 0 && (n < 8 || (n & (n - 1)) != 0))
		return 0;
	memcpy(&old, list, sizeof(old));
	v = realloc(old, (n < 8 ? 8 : 2 * n) * size);
	if (!v)
		return -ENOMEM;
	memcpy(list, &v, sizeof(v));
	return 0;
}

/* What a plan can read: of a route by nexthop object the message says both, the object kept says only the number. */
static int take_lists(const struct nlmsghdr *h, const struct kept_owner *o, struct host_state *state)
{
	struct route_message m;
	struct neighbour n;
	int32_t ifindex;
	int r;
	if (route_parse(h, &m) == 0 && route_is_configured(&m) && route_reduce(&m, o->ifindex)) {
		if ((r = grow(&state->routes, state->n_routes, sizeof(m.route))) < 0)
			return r;
		state->routes[state->n_routes++] = m.route;
	}
	if (neighbour_parse(h, &ifindex, &n) == 0 && ifindex == o->ifindex) {
		if ((r = grow(&state->neighbours, state->n_neighbours, sizeof(n))) < 0)
			return r;
		state->neighbours[state->n_neighbours++] = n;
	}
	return 0;
}

struct dump {
	struct kept_reader *q;
	size_t n, n_routes, n_neighbours; /* before it began */
};

static int see_dump(const struct nlmsghdr *h, void *user)
{
	struct dump *d = user;
	if (!h) {
		d->q->objects.n = d->n;
		if (d->q->lists) {
			d->q->lists->n_routes = d->n_routes;
			d->q->lists->n_neighbours = d->n_neighbours;
		}
		return 0;
	}
	return kept_see(h, d->q);
}

int kept_see(const struct nlmsghdr *h, void *user)
{
	struct kept_reader *q = user;
	int r = kept_take(h, q->owner, &q->objects);
	if (r == 0 && q->lists)
		r = take_lists(h, q->owner, q->lists);
	return r == -ENOMSG ? 0 : r;
}

static struct nl_msg *route_request(int family, const struct kept_owner *o, unsigned kinds)
{
	return route_dump_request((uint8_t)family, 0, family == AF_INET && (kinds & KEPT_FOREIGN_ROUTE4) ? 0 : o->ifindex);
}

static struct nl_msg *neighbour_request(uint8_t family, uint8_t flags, const struct kept_owner *o)
{
	struct ndmsg info = {.ndm_family = family, .ndm_flags = flags, .ndm_ifindex = family == AF_BRIDGE ? o->ifindex : 0};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_GETNEIGH, 0, &info, sizeof(info));
	if (!m || (family != AF_BRIDGE && nla_put_u32(m, NDA_IFINDEX, (uint32_t)o->ifindex) < 0))
		return NULL;
	return TAKE_PTR(m);
}

static struct nl_msg *nexthop_request(const struct kept_owner *o, bool groups)
{
	struct nhmsg info = {0};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_GETNEXTHOP, 0, &info, sizeof(info));
	if (!m || (groups ? nla_put_flag(m, NHA_GROUPS) : nla_put_u32(m, NHA_OIF, (uint32_t)o->ifindex)) < 0)
		return NULL;
	return TAKE_PTR(m);
}

static struct nl_msg *rule_request(void)
{
	struct fib_rule_hdr info = {0};
	return nlsock_request(RTM_GETRULE, 0, &info, sizeof(info));
}

/* A kernel without a family, or without one of these tables, has nothing in it. */
static int dump(struct nlsock *s, struct nl_msg *m, struct kept_reader *q, struct error *e)
{
	struct dump d = {.q = q, .n = q->objects.n};
	struct error ours = {0};
	if (q->lists) {
		d.n_routes = q->lists->n_routes;
		d.n_neighbours = q->lists->n_neighbours;
	}
	int r = nlsock_dump(s, m, see_dump, &d, &ours);
	if (m)
		nlmsg_free(m);
	return r == 0 || r == -ENOENT || r == -EOPNOTSUPP || r == -EAFNOSUPPORT ? 0 : error_set(e, r, "%s", ours.text);
}

/* The root's and the ingress's alone can be asked for; a dump would be of every link. Without ECHO the kernel answers only the listeners of
 * a group. */
static void read_qdiscs(struct nlsock *s, struct kept_reader *q)
{
	static const uint32_t parents[] = {TC_H_ROOT, TC_H_INGRESS};
	for (size_t i = 0; i < ELEMENTS(parents); i++) {
		struct tcmsg info = {.tcm_ifindex = q->owner->ifindex, .tcm_parent = parents[i]};
		_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_GETQDISC, NLM_F_ECHO, &info, sizeof(info));
		(void)nlsock_ask(s, m, kept_see, q, NULL);
	}
}

int kept_read_kinds(struct nlsock *s, struct kept_reader *q, unsigned kinds, struct error *e)
{
	const struct kept_owner *o = q->owner;
	int r = 0;
	if (kinds & KEPT_NEXTHOP)
		r = dump(s, nexthop_request(o, false), q, e);
	if (r == 0 && (kinds & KEPT_NEXTHOP) && q->objects.n > 0)
		r = dump(s, nexthop_request(o, true), q, e);
	if (r == 0 && (kinds & KEPT_RULE))
		r = dump(s, rule_request(), q, e);
	if (r == 0 && (kinds & (KEPT_ROUTE4 | KEPT_FOREIGN_ROUTE4)))
		r = dump(s, route_request(AF_INET, o, kinds), q, e);
	if (r == 0 && (kinds & KEPT_ROUTE6))
		r = dump(s, route_request(AF_INET6, o, kinds), q, e);
	if (r == 0 && (kinds & KEPT_NEIGHBOUR))
		r = dump(s, neighbour_request(AF_UNSPEC, 0, o), q, e);
	if (r == 0 && (kinds & KEPT_PROXY))
		r = dump(s, neighbour_request(AF_UNSPEC, NTF_PROXY, o), q, e);
	if (r == 0 && (kinds & KEPT_FDB))
		r = dump(s, neighbour_request(AF_BRIDGE, 0, o), q, e);
	if (r == 0 && (kinds & KEPT_QDISC))
		read_qdiscs(s, q);
	return r;
}

int kept_read(struct nlsock *s, const struct kept_owner *o, struct host_state *state, struct error *e)
{
	struct kept_reader q = {.owner = o, .lists = state};
	unsigned kinds = KEPT_ALL;
	bool has4 = false;
	for (size_t i = 0; i < o->n_addresses; i++)
		has4 |= o->addresses[i].prefix.address.family == IP_V4;
	if (!has4)
		kinds &= ~(unsigned)KEPT_FOREIGN_ROUTE4;
	int r = kept_read_kinds(s, &q, kinds, e);
	if (r < 0) {
		free(q.objects.data);
		return e ? error_prefix(e, "what points at %s", o->ifname) : r;
	}
	state->objects = q.objects;
	return 0;
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

static struct nlattr *find(const struct nlmsghdr *h, int type)
{
	return nlmsg_find_attr((struct nlmsghdr *)h, (int)kept_header_size(h->nlmsg_type), type);
}

static struct nlattr *expiry_of(const struct nlmsghdr *h)
{
	struct nlattr *a = h->nlmsg_type == RTM_NEWROUTE ? find(h, RTA_EXPIRES) : NULL;
	return a && nla_len(a) == (int)sizeof(uint32_t) ? a : NULL;
}

/* As address_age() has it. */
static bool address_expired(const struct address *a, uint64_t elapsed)
{
	return a->valid_lifetime != UINT32_MAX && a->valid_lifetime <= elapsed / 1000;
}

static bool address_is(const struct ip_address *a, int family, const struct nlattr *attribute)
{
	int len = family == AF_INET ? 4 : 16;
	return a->family == (family == AF_INET ? IP_V4 : IP_V6) && attribute && nla_len(attribute) == len &&
	       memcmp(a->bytes, nla_data(attribute), (size_t)len) == 0;
}

/* Whether the route is the one that the kernel makes for an address. */
static bool is_made_for(const struct nlmsghdr *route, const struct address *a)
{
	const struct rtmsg *info = nlmsg_data(route);
	struct ip_prefix network = a->prefix;
	if (a->peer.family != IP_NONE)
		network.address = a->peer;
	ip_prefix_mask(&network);
	return info->rtm_protocol == RTPROT_KERNEL && info->rtm_dst_len == network.length &&
	       address_is(&network.address, info->rtm_family, find(route, RTA_DST));
}

static bool route_expired(const struct nlmsghdr *h, const struct kept_owner *o, uint64_t elapsed)
{
	const struct rtmsg *info = nlmsg_data(h);
	const struct nlattr *a = expiry_of(h), *source = find(h, RTA_PREFSRC);
	bool made = false, lives = false;
	if (a && nla_get_u32(a) <= elapsed / 1000)
		return true;
	for (size_t i = 0; i < o->n_addresses; i++) {
		bool expired = address_expired(&o->addresses[i], elapsed);
		if (expired && address_is(&o->addresses[i].prefix.address, info->rtm_family, source))
			return true;
		if (is_made_for(h, &o->addresses[i])) {
			made = true;
			lives |= !expired;
		}
	}
	return made && !lives;
}

static bool expired(const struct nlmsghdr *h, const struct kept_owner *o, uint64_t elapsed)
{
	return h->nlmsg_type == RTM_NEWROUTE && route_expired(h, o, elapsed);
}

/* A message of its own again, about the link as it is called now. */
static struct nl_msg *message(const struct nlmsghdr *kept, int32_t was_ifindex, int32_t ifindex, uint64_t elapsed)
{
	struct nl_msg *m = nlmsg_alloc_size(kept->nlmsg_len);
	if (!m)
		return NULL;
	struct nlmsghdr *h = nlmsg_hdr(m);
	memcpy(h, kept, kept->nlmsg_len);
	h->nlmsg_flags = NLM_F_REQUEST;
	kept_rename(h, was_ifindex, ifindex);
	struct nlattr *a = expiry_of(h);
	if (a) {
		uint32_t left = nla_get_u32(a) - (uint32_t)(elapsed / 1000);
		memcpy(nla_data(a), &left, sizeof(left));
	}
	return m;
}

/* In IPv4 a route is appended to what there is of the same network and metric, as it may have been one of several; the kernel refuses the
 * very same one. In IPv6 that would make one multipath route of two with a gateway; those without stay apart, as fe80::/64 of each link. */
static uint16_t how_route(const struct nlmsghdr *h)
{
	if (((const struct rtmsg *)nlmsg_data(h))->rtm_family == AF_INET)
		return NLM_F_CREATE | NLM_F_APPEND;
	return find(h, RTA_GATEWAY) || find(h, RTA_MULTIPATH) || find(h, RTA_NH_ID) ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_CREATE;
}

static uint16_t how(const struct nlmsghdr *h)
{
	switch (h->nlmsg_type) {
	case RTM_NEWROUTE:
		return how_route(h);
	case RTM_NEWNEXTHOP:
		return find(h, NHA_GROUP) ? NLM_F_CREATE | NLM_F_REPLACE : NLM_F_CREATE | NLM_F_EXCL;
	case RTM_NEWNEIGH:
		return ((const struct ndmsg *)nlmsg_data(h))->ndm_family == AF_BRIDGE ? NLM_F_CREATE | NLM_F_EXCL
		                                                                      : NLM_F_CREATE | NLM_F_REPLACE;
	case RTM_NEWQDISC:
		return NLM_F_CREATE | NLM_F_REPLACE;
	}
	return NLM_F_CREATE | NLM_F_EXCL;
}

/* clsact and ingress come back with the eBPF programs on them (netlink/ebpf_kept.h), if those are known. */
static bool is_door(const struct nlmsghdr *h)
{
	return h->nlmsg_type == RTM_NEWQDISC && ((const struct tcmsg *)nlmsg_data(h))->tcm_parent == TC_H_INGRESS;
}

static bool is_an_empty_shell(const struct nlmsghdr *h)
{
	static const char *const kinds[] = {"htb", "hfsc", "drr", "qfq", "cbq"};
	const struct nlattr *kind = h->nlmsg_type == RTM_NEWQDISC ? find(h, TCA_KIND) : NULL;
	bool empty = false;
	for (size_t i = 0; kind && i < ELEMENTS(kinds); i++)
		empty |= nla_strcmp(kind, kinds[i]) == 0;
	return empty;
}

static int give_back(struct nlsock *s, const struct nlmsghdr *kept, int32_t was_ifindex, int32_t ifindex, uint64_t elapsed, struct error *e)
{
	char doors[IFNAME_SIZE] = "";
	if (is_door(kept))
		tc_doors_get(s, ifindex, doors);
	if (doors[0])
		return 0;
	if (is_door(kept) || is_an_empty_shell(kept))
		return error_set(e, -EOPNOTSUPP, "its classes and filters cannot be given back");
	_cleanup_nlmsg_ struct nl_msg *m = message(kept, was_ifindex, ifindex, elapsed);
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	nlmsg_hdr(m)->nlmsg_flags |= how(kept);
	int r = nlsock_ask(s, m, NULL, NULL, e);
	/* What stayed of a multipath route when one of its links left is in the way of the whole. */
	if (r == -EEXIST && kept_kind(kept, was_ifindex) == KEPT_ROUTE6 && find(kept, RTA_MULTIPATH)) {
		_cleanup_nlmsg_ struct nl_msg *again = message(kept, was_ifindex, ifindex, elapsed);
		if (again)
			nlmsg_hdr(again)->nlmsg_flags |= NLM_F_CREATE | NLM_F_REPLACE;
		return nlsock_ask(s, again, NULL, NULL, e);
	}
	return r;
}

/* Attribute by attribute, because the time that is left is another. */
static bool same(const struct nlmsghdr *a, const struct nlmsghdr *b)
{
	size_t header = kept_header_size(a->nlmsg_type);
	if (a->nlmsg_type != b->nlmsg_type || header == 0 || memcmp(nlmsg_data(a), nlmsg_data(b), header) != 0)
		return false;
	if (!expiry_of(a) && !expiry_of(b))
		return a->nlmsg_len == b->nlmsg_len && memcmp(nlmsg_data(a), nlmsg_data(b), a->nlmsg_len - NLMSG_HDRLEN) == 0;
	struct nlattr *x;
	int left;
	nlmsg_for_each_attr(x, (struct nlmsghdr *)a, (int)header, left)
	{
		const struct nlattr *y = find(b, nla_type(x));
		if (!y ||
		    (nla_type(x) != RTA_EXPIRES && (nla_len(x) != nla_len(y) || memcmp(nla_data(x), nla_data(y), (size_t)nla_len(x)) != 0)))
			return false;
	}
	return a->nlmsg_len == b->nlmsg_len;
}

/* They come in the same order as a rule: the search goes on where the last one ended. */
static bool is_there(const struct bytes *is, const struct nlmsghdr *wanted, struct nlmsghdr **at)
{
	struct nlmsghdr *first = *at, *h = first;
	do {
		h = kept_next(is, h);
		if (h && same(wanted, h)) {
			*at = h;
			return true;
		}
	} while (h != first && (h || first));
	return false;
}

static bool is_made(const struct nlmsghdr *h, const struct kept_owner *o)
{
	bool made = false;
	for (size_t i = 0; i < o->n_addresses && h->nlmsg_type == RTM_NEWROUTE && !made; i++)
		made = is_made_for(h, &o->addresses[i]);
	return made;
}

static void remove_route(struct nlsock *s, const struct nlmsghdr *h, int32_t ifindex)
{
	_cleanup_nlmsg_ struct nl_msg *m = message(h, ifindex, ifindex, 0);
	if (m)
		nlmsg_hdr(m)->nlmsg_type = RTM_DELROUTE;
	(void)nlsock_ask(s, m, NULL, NULL, NULL);
}

void kept_restore_made(struct nlsock *s, const struct bytes *was, int32_t was_ifindex, const struct kept_owner *o, uint64_t elapsed)
{
	struct kept_reader q = {.owner = o};
	struct bytes then = {0}; /* about the link as it is called now */
	struct nlmsghdr *at = NULL;
	if (o->n_addresses == 0 || kept_read_kinds(s, &q, KEPT_ROUTE4 | KEPT_ROUTE6, NULL) < 0) {
		free(q.objects.data);
		return;
	}
	for (struct nlmsghdr *h = NULL; (h = kept_next(was, h));) {
		if (!kept_kind(h, was_ifindex) || !is_made(h, o) || expired(h, o, elapsed))
			continue;
		_cleanup_nlmsg_ struct nl_msg *m = message(h, was_ifindex, o->ifindex, 0);
		if (m)
			(void)bytes_add(&then, nlmsg_hdr(m), nlmsg_hdr(m)->nlmsg_len);
	}
	for (struct nlmsghdr *h = NULL; (h = kept_next(&q.objects, h));)
		if (is_made(h, o) && !is_there(&then, h, &at))
			remove_route(s, h, o->ifindex);
	at = NULL;
	for (struct nlmsghdr *h = NULL; (h = kept_next(&then, h));)
		if (!is_there(&q.objects, h, &at))
			(void)give_back(s, h, o->ifindex, o->ifindex, elapsed, NULL);
	free(then.data);
	free(q.objects.data);
}

/* A route's gateway may be reachable only by another that comes later: as long as a round gets something done, the rest is tried again. */
void kept_restore(struct nlsock *s, const struct bytes *was, int32_t was_ifindex, const struct kept_owner *o, uint64_t elapsed,
                  struct error *e)
{
	size_t n = 0, progress = 1;
	for (struct nlmsghdr *h = NULL; (h = kept_next(was, h));)
		n++;
	_cleanup_free_ bool *done = n ? calloc(n, sizeof(*done)) : NULL;
	if (n && !done)
		error_set(e, -ENOMEM, "out of memory");
	struct error why = {0};
	while (done && progress > 0) {
		size_t i = 0;
		progress = 0;
		why = (struct error){0};
		for (struct nlmsghdr *h = NULL; (h = kept_next(was, h)); i++) {
			struct error ours = {0};
			if (done[i])
				continue;
			bool skip = !kept_kind(h, was_ifindex) || expired(h, o, elapsed);
			int r = skip ? 0 : give_back(s, h, was_ifindex, o->ifindex, elapsed, &ours);
			done[i] = r == 0 || r == -EEXIST;
			progress += r == 0 && !skip;
			if (!done[i] && why.code == 0) {
				char what[128];
				kept_format(h, what, sizeof(what));
				error_set(&why, r, "%s: %s", what, ours.text);
			}
		}
	}
	if (why.code < 0)
		error_set(e, why.code, "%s", why.text);
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------------- */

int kept_compare(struct nlsock *s, const struct bytes *was, int32_t was_ifindex, const struct kept_owner *o, uint64_t elapsed,
                 void (*missing)(const char *what, void *user), void *user, struct error *e)
{
	struct kept_reader q = {.owner = o};
	struct nlmsghdr *at = NULL;
	int r = kept_read_kinds(s, &q, kept_kinds(was, was_ifindex), e);
	for (struct nlmsghdr *h = NULL; r == 0 && (h = kept_next(was, h));) {
		char what[128];
		if (!kept_kind(h, was_ifindex) || expired(h, o, elapsed))
			continue;
		_cleanup_nlmsg_ struct nl_msg *m = message(h, was_ifindex, o->ifindex, elapsed);
		if (!m) {
			r = error_set(e, -ENOMEM, "out of memory");
		} else if (!is_there(&q.objects, nlmsg_hdr(m), &at)) {
			kept_format(h, what, sizeof(what));
			missing(what, user);
		}
	}
	free(q.objects.data);
	return r;
}
