/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/kept.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_bridge.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/attribute.h"
#include "netlink/kept_internal.h"
#include "netlink/link_state.h"
#include "netlink/route.h"

enum {
	ATTRIBUTE_TYPES_MAX = 64,
	MESSAGE_MAX = 16384,
	ROUTE_FLAGS = RTNH_F_ONLINK | RTNH_F_PERVASIVE, /* the others tell how the link is */
	CLOCK_TICKS = 100,                              /* USER_HZ, the unit of rta_cacheinfo: the same on every machine */
};

#define BIT(n) (1ull << (n))

/* What of a message is the kernel's account of the moment. */
static const struct type {
	uint16_t type;
	size_t header;
	uint64_t dropped; /* attributes */
} types[] = {
    {RTM_NEWNEXTHOP, sizeof(struct nhmsg),
     ~(BIT(NHA_ID) | BIT(NHA_GROUP) | BIT(NHA_GROUP_TYPE) | BIT(NHA_BLACKHOLE) | BIT(NHA_OIF) | BIT(NHA_GATEWAY) | BIT(NHA_ENCAP_TYPE) |
       BIT(NHA_ENCAP) | BIT(NHA_FDB))},
    {RTM_NEWROUTE, sizeof(struct rtmsg), BIT(RTA_CACHEINFO) | BIT(RTA_IIF) | BIT(RTA_UID)},
    {RTM_NEWRULE, sizeof(struct fib_rule_hdr), BIT(FRA_PAD)},
    {RTM_NEWNEIGH, sizeof(struct ndmsg), BIT(NDA_CACHEINFO) | BIT(NDA_PROBES) | BIT(NDA_MASTER) | BIT(NDA_IFINDEX)},
    {RTM_NEWQDISC, sizeof(struct tcmsg), ~(BIT(TCA_KIND) | BIT(TCA_OPTIONS))},
};

/* A route by nexthop object repeats what that says, and must not be added with both. */
static const uint64_t nexthop_details =
    BIT(RTA_OIF) | BIT(RTA_GATEWAY) | BIT(RTA_VIA) | BIT(RTA_MULTIPATH) | BIT(RTA_ENCAP_TYPE) | BIT(RTA_ENCAP);

static const struct type *type_of(uint16_t type)
{
	for (size_t i = 0; i < ELEMENTS(types); i++)
		if (types[i].type == type)
			return &types[i];
	return NULL;
}

size_t kept_header_size(uint16_t type)
{
	const struct type *t = type_of(type);
	return t ? t->header : 0;
}

static bool parse(const struct nlmsghdr *h, struct nlattr *tb[ATTRIBUTE_TYPES_MAX + 1])
{
	return nlmsg_parse((struct nlmsghdr *)h, (int)kept_header_size(h->nlmsg_type), tb, ATTRIBUTE_TYPES_MAX, NULL) == 0;
}

/* Attributes come without a policy: their lengths are looked at where they are used. */
static bool number_is(const struct nlattr *a, uint32_t n)
{
	return a && nla_len(a) == (int)sizeof(n) && nla_get_u32(a) == n;
}

struct nlmsghdr *kept_next(const struct bytes *objects, const struct nlmsghdr *h)
{
	if (objects->n > KEPT_BYTES_MAX)
		return NULL;
	int left = (int)objects->n;
	struct nlmsghdr *next = (struct nlmsghdr *)(void *)objects->data;
	if (h) {
		left -= (int)((const uint8_t *)h - objects->data);
		next = nlmsg_next((struct nlmsghdr *)h, &left);
	}
	return left >= (int)sizeof(*next) && nlmsg_ok(next, left) ? next : NULL;
}

/* ---- next hops ------------------------------------------------------------------------------------------------------------------- */

/* Calls `see` with each; false = malformed. */
static bool for_each_hop(struct nlattr *multipath, void (*see)(struct rtnexthop *hop, void *user), void *user)
{
	char *p = nla_data(multipath);
	size_t left = (size_t)nla_len(multipath);
	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop *hop = (struct rtnexthop *)(void *)p;
		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
			return false;
		see(hop, user);
		size_t step = RTNH_ALIGN(hop->rtnh_len);
		if (step >= left)
			break;
		p += step;
		left -= step;
	}
	return true;
}

struct hop_search {
	int32_t ifindex;
	bool found;
};
static void find_hop(struct rtnexthop *hop, void *user)
{
	struct hop_search *q = user;
	q->found |= hop->rtnh_ifindex == q->ifindex;
}

static void clean_hop(struct rtnexthop *hop, void *user)
{
	(void)user;
	hop->rtnh_flags &= (uint8_t)ROUTE_FLAGS;
}

static void rename_hop(struct rtnexthop *hop, void *user)
{
	const int32_t *names = user;
	if (hop->rtnh_ifindex == names[0])
		hop->rtnh_ifindex = names[1];
}

/* ---- which are kept -------------------------------------------------------------------------------------------------------------- */

static bool has_nexthop(const struct bytes *objects, uint32_t id)
{
	struct nlattr *tb[ATTRIBUTE_TYPES_MAX + 1];
	for (struct nlmsghdr *h = NULL; (h = kept_next(objects, h));)
		if (h->nlmsg_type == RTM_NEWNEXTHOP && parse(h, tb) && number_is(tb[NHA_ID], id))
			return true;
	return false;
}

static bool want_nexthop(struct nlattr **tb, const struct kept_owner *o, const struct bytes *objects)
{
	if (number_is(tb[NHA_OIF], (uint32_t)o->ifindex))
		return true;
	for (int i = 0; tb[NHA_GROUP] && i + (int)sizeof(struct nexthop_grp) <= nla_len(tb[NHA_GROUP]);
	     i += (int)sizeof(struct nexthop_grp)) {
		struct nexthop_grp g;
		memcpy(&g, (char *)nla_data(tb[NHA_GROUP]) + i, sizeof(g));
		if (has_nexthop(objects, g.id))
			return true;
	}
	return false;
}

static bool route_uses(struct nlattr **tb, int32_t ifindex)
{
	struct hop_search q = {.ifindex = ifindex};
	if (number_is(tb[RTA_OIF], (uint32_t)ifindex))
		return true;
	return tb[RTA_MULTIPATH] && for_each_hop(tb[RTA_MULTIPATH], find_hop, &q) && q.found;
}

static bool want_route(const struct rtmsg *info, struct nlattr **tb, const struct kept_owner *o, const struct bytes *objects)
{
	if (info->rtm_protocol == RTPROT_RA || info->rtm_protocol == RTPROT_REDIRECT || (info->rtm_flags & RTM_F_CLONED) ||
	    info->rtm_table == RT_TABLE_LOCAL || (info->rtm_family != AF_INET && info->rtm_family != AF_INET6))
		return false;
	if (route_uses(tb, o->ifindex))
		return true;
	if (info->rtm_protocol == RTPROT_KERNEL)
		return false;
	if (tb[RTA_NH_ID] && nla_len(tb[RTA_NH_ID]) == (int)sizeof(uint32_t) && has_nexthop(objects, nla_get_u32(tb[RTA_NH_ID])))
		return true;
	if (info->rtm_family != AF_INET || !tb[RTA_PREFSRC] || nla_len(tb[RTA_PREFSRC]) != 4)
		return false;
	for (size_t i = 0; i < o->n_addresses; i++) {
		const struct ip_address *a = &o->addresses[i].prefix.address;
		if (a->family == IP_V4 && memcmp(a->bytes, nla_data(tb[RTA_PREFSRC]), 4) == 0)
			return true;
	}
	return false;
}

static bool want_neighbour(const struct ndmsg *info, struct nlattr **tb, const struct kept_owner *o)
{
	const struct nlattr *mac = tb[NDA_LLADDR];
	if (info->ndm_ifindex != o->ifindex)
		return false;
	if (info->ndm_family == AF_INET || info->ndm_family == AF_INET6)
		return tb[NDA_DST] && ((info->ndm_flags & NTF_PROXY) || ((info->ndm_state & NUD_PERMANENT) && mac));
	/* A link's own list holds the multicast addresses it listens to, too, and a bridge's the MAC of each port. */
	if (info->ndm_family != AF_BRIDGE || !mac || nla_len(mac) == 0 || (info->ndm_flags & NTF_EXT_LEARNED) ||
	    !(info->ndm_state & (NUD_PERMANENT | NUD_NOARP)))
		return false;
	bool own = nla_len(mac) == o->mac->length && memcmp(nla_data(mac), o->mac->bytes, o->mac->length) == 0;
	return !own && !(*(const uint8_t *)nla_data(mac) & 1);
}

/* The header as it is to be sent; false = not kept. */
static bool want(struct nlmsghdr *h, struct nlattr **tb, const struct kept_owner *o, const struct bytes *objects)
{
	void *header = nlmsg_data(h);
	switch (h->nlmsg_type) {
	case RTM_NEWNEXTHOP: {
		struct nhmsg *info = header;
		info->nh_flags &= ROUTE_FLAGS;
		info->nh_scope = 0; /* told, but refused in a request */
		return want_nexthop(tb, o, objects);
	}
	case RTM_NEWROUTE: {
		struct rtmsg *info = header;
		bool wanted = want_route(info, tb, o, objects);
		info->rtm_flags &= ROUTE_FLAGS;
		return wanted;
	}
	case RTM_NEWRULE: {
		struct fib_rule_hdr *info = header;
		info->flags &= FIB_RULE_INVERT;
		return (info->family == AF_INET || info->family == AF_INET6) &&
		       (attribute_is_text(tb[FRA_IIFNAME], o->ifname) || attribute_is_text(tb[FRA_OIFNAME], o->ifname));
	}
	case RTM_NEWNEIGH: {
		struct ndmsg *info = header;
		info->ndm_type = 0;
		return want_neighbour(info, tb, o);
	}
	case RTM_NEWQDISC: {
		/* Those the kernel attaches by itself have no handle. */
		struct tcmsg *info = header;
		info->tcm_info = 0;
		return info->tcm_ifindex == o->ifindex && (info->tcm_parent == TC_H_ROOT || info->tcm_parent == TC_H_INGRESS) &&
		       info->tcm_handle != 0 && tb[TCA_KIND];
	}
	}
	return false;
}

/* ---- cleaning -------------------------------------------------------------------------------------------------------------------- */

/* The rest of an IPv6 route's life: told in ticks among the account, set in seconds. */
static bool put_expiry(struct nl_msg *m, const struct nlattr *cacheinfo)
{
	struct rta_cacheinfo ci;
	if (!cacheinfo || nla_len(cacheinfo) < (int)sizeof(ci))
		return true;
	memcpy(&ci, nla_data(cacheinfo), sizeof(ci));
	return ci.rta_expires <= 0 || nla_put_u32(m, RTA_EXPIRES, (uint32_t)ci.rta_expires / CLOCK_TICKS) == 0;
}

static struct nl_msg *clean(const struct nlmsghdr *h, const struct type *t, struct nlattr **tb)
{
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(h->nlmsg_type, 0, nlmsg_data(h), t->header);
	uint64_t dropped = t->dropped;
	struct nlattr *a;
	int left;
	if (!m)
		return NULL;
	if (h->nlmsg_type == RTM_NEWROUTE && tb[RTA_NH_ID])
		dropped |= nexthop_details;
	nlmsg_for_each_attr(a, (struct nlmsghdr *)h, (int)t->header, left)
	{
		if (nla_type(a) < ATTRIBUTE_TYPES_MAX && (dropped & BIT(nla_type(a))))
			continue;
		if (nla_put(m, a->nla_type, nla_len(a), nla_data(a)) < 0)
			return NULL;
	}
	if (h->nlmsg_type == RTM_NEWROUTE && !put_expiry(m, tb[RTA_CACHEINFO]))
		return NULL;
	struct nlattr *multipath = h->nlmsg_type == RTM_NEWROUTE ? nlmsg_find_attr(nlmsg_hdr(m), (int)t->header, RTA_MULTIPATH) : NULL;
	if (multipath)
		(void)for_each_hop(multipath, clean_hop, NULL);
	return TAKE_PTR(m);
}

int kept_take(const struct nlmsghdr *h, const struct kept_owner *o, struct bytes *objects)
{
	struct nlattr *tb[ATTRIBUTE_TYPES_MAX + 1];
	const struct type *t = type_of(h->nlmsg_type);
	if (!t)
		return -ENOMSG;
	if (h->nlmsg_len > MESSAGE_MAX)
		return -E2BIG;
	/* A copy, because the header is cleaned in place. */
	_cleanup_free_ struct nlmsghdr *copy = malloc(h->nlmsg_len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, h, h->nlmsg_len);
	if (!parse(copy, tb))
		return -EBADMSG;
	if (!want(copy, tb, o, objects))
		return -ENOMSG;
	_cleanup_nlmsg_ struct nl_msg *m = clean(copy, t, tb);
	if (!m)
		return -ENOMEM;
	struct nlmsghdr *cleaned = nlmsg_hdr(m);
	cleaned->nlmsg_flags = 0;
	cleaned->nlmsg_seq = cleaned->nlmsg_pid = 0;
	cleaned->nlmsg_len = NLMSG_ALIGN(cleaned->nlmsg_len);
	if (objects->n + cleaned->nlmsg_len > KEPT_BYTES_MAX)
		return -E2BIG;
	return bytes_add(objects, cleaned, cleaned->nlmsg_len);
}

void kept_rename(struct nlmsghdr *h, int32_t from, int32_t to)
{
	struct nlattr *tb[ATTRIBUTE_TYPES_MAX + 1];
	int32_t names[] = {from, to};
	if (from == to || !parse(h, tb))
		return;
	struct nlattr *oif = h->nlmsg_type == RTM_NEWROUTE ? tb[RTA_OIF] : h->nlmsg_type == RTM_NEWNEXTHOP ? tb[NHA_OIF] : NULL;
	if (number_is(oif, (uint32_t)from))
		memcpy(nla_data(oif), &to, sizeof(to));
	if (h->nlmsg_type == RTM_NEWROUTE && tb[RTA_MULTIPATH])
		(void)for_each_hop(tb[RTA_MULTIPATH], rename_hop, names);
	if (h->nlmsg_type == RTM_NEWNEIGH)
		((struct ndmsg *)nlmsg_data(h))->ndm_ifindex = to;
	if (h->nlmsg_type == RTM_NEWQDISC)
		((struct tcmsg *)nlmsg_data(h))->tcm_ifindex = to;
}

/* ---- kinds ----------------------------------------------------------------------------------------------------------------------- */

unsigned kept_kind(const struct nlmsghdr *h, int32_t ifindex)
{
	struct nlattr *tb[ATTRIBUTE_TYPES_MAX + 1];
	if (!type_of(h->nlmsg_type) || !parse(h, tb))
		return 0;
	const void *header = nlmsg_data(h);
	switch (h->nlmsg_type) {
	case RTM_NEWNEXTHOP:
		return KEPT_NEXTHOP;
	case RTM_NEWROUTE:
		if (((const struct rtmsg *)header)->rtm_family == AF_INET6)
			return KEPT_ROUTE6;
		return KEPT_ROUTE4 | (tb[RTA_NH_ID] || route_uses(tb, ifindex) ? 0 : KEPT_FOREIGN_ROUTE4);
	case RTM_NEWRULE:
		return KEPT_RULE;
	case RTM_NEWNEIGH:
		if (((const struct ndmsg *)header)->ndm_family == AF_BRIDGE)
			return KEPT_FDB;
		return ((const struct ndmsg *)header)->ndm_flags & NTF_PROXY ? KEPT_PROXY : KEPT_NEIGHBOUR;
	case RTM_NEWQDISC:
		return KEPT_QDISC;
	}
	return 0;
}

unsigned kept_kinds(const struct bytes *objects, int32_t ifindex)
{
	unsigned kinds = 0;
	for (struct nlmsghdr *h = NULL; (h = kept_next(objects, h));)
		kinds |= kept_kind(h, ifindex);
	return kinds;
}

/* ---- words ----------------------------------------------------------------------------------------------------------------------- */

static void format_ip(const char *what, uint8_t family, const struct nlattr *a, char *text, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	if (a && nla_len(a) == (family == AF_INET ? 4 : 16))
		(void)inet_ntop(family, nla_data(a), ip, sizeof(ip));
	snprintf(text, size, "%s %s", what, ip);
}

static void format_neighbour(const struct nlmsghdr *h, struct nlattr **tb, char *text, size_t size)
{
	const struct ndmsg *info = nlmsg_data(h);
	if (info->ndm_family != AF_BRIDGE) {
		format_ip(info->ndm_flags & NTF_PROXY ? "proxy neighbour" : "neighbour", info->ndm_family, tb[NDA_DST], text, size);
		return;
	}
	const uint8_t *m = tb[NDA_LLADDR] && nla_len(tb[NDA_LLADDR]) >= 6 ? nla_data(tb[NDA_LLADDR]) : (const uint8_t[6]){0};
	snprintf(text, size, "fdb entry %02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

void kept_format(const struct nlmsghdr *h, char *text, size_t size)
{
	struct nlattr *tb[ATTRIBUTE_TYPES_MAX + 1];
	struct route_message route;
	str_cut(text, size, "?");
	if (!type_of(h->nlmsg_type) || !parse(h, tb))
		return;
	switch (h->nlmsg_type) {
	case RTM_NEWNEXTHOP:
		snprintf(text, size, "nexthop %u", tb[NHA_ID] && nla_len(tb[NHA_ID]) == 4 ? nla_get_u32(tb[NHA_ID]) : 0);
		break;
	case RTM_NEWROUTE:
		str_cut(text, size, "route ");
		if (route_parse(h, &route) == 0 && size > 6)
			route_format(&route.route, text + 6, size - 6);
		break;
	case RTM_NEWRULE:
		snprintf(text, size, "rule %u", tb[FRA_PRIORITY] && nla_len(tb[FRA_PRIORITY]) == 4 ? nla_get_u32(tb[FRA_PRIORITY]) : 0);
		break;
	case RTM_NEWNEIGH:
		format_neighbour(h, tb, text, size);
		break;
	case RTM_NEWQDISC:
		snprintf(text, size, "qdisc %.*s", tb[TCA_KIND] ? nla_len(tb[TCA_KIND]) : 0,
		         tb[TCA_KIND] ? (const char *)nla_data(tb[TCA_KIND]) : "");
		break;
	}
}
