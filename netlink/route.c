/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/route.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "netlink/attribute.h"

static const struct nla_policy route_policy[RTA_MAX + 1] = {
    [RTA_OIF] = {.type = NLA_U32},
    [RTA_PRIORITY] = {.type = NLA_U32},
    [RTA_TABLE] = {.type = NLA_U32},
    [RTA_MULTIPATH] = {.minlen = sizeof(struct rtnexthop)},
};

/* The gateway of a route or of one of its next hops; false = malformed. */
static bool take_gateway(struct nlattr *const *tb, uint8_t family, struct ip_address *ret, bool *partial)
{
	struct rtvia via;
	if (!tb[RTA_VIA])
		return attribute_take_ip(tb[RTA_GATEWAY], family, ret);
	if (nla_len(tb[RTA_VIA]) < (int)sizeof(via))
		return false;
	memcpy(&via, nla_data(tb[RTA_VIA]), sizeof(via));
	if (via.rtvia_family != AF_INET6) {
		*partial = true;
		return true;
	}
	if (nla_len(tb[RTA_VIA]) != (int)(sizeof(via) + (size_t)attribute_ip_length(IP_V6)))
		return false;
	*ret = (struct ip_address){.family = IP_V6};
	memcpy(ret->bytes, (const uint8_t *)nla_data(tb[RTA_VIA]) + sizeof(via), (size_t)attribute_ip_length(IP_V6));
	return true;
}

static bool take_hop(const struct rtnexthop *hop, const uint8_t *data, struct route_message *m)
{
	struct nlattr *tb[RTA_MAX + 1];
	struct next_hop h = {.weight = hop->rtnh_hops + 1u, .flags = hop->rtnh_flags & RTNH_F_ONLINK};
	if (nla_parse(tb, RTA_MAX, (struct nlattr *)(uintptr_t)data, hop->rtnh_len - (int)sizeof(*hop), NULL) < 0 ||
	    !take_gateway(tb, m->family, &h.gateway, &m->partial))
		return false;
	if (m->n_oifs < ROUTE_NEXTHOPS_MAX)
		m->oifs[m->n_oifs++] = hop->rtnh_ifindex;
	m->partial |= tb[RTA_ENCAP] || tb[RTA_NEWDST] || m->route.n_hops == ROUTE_HOPS_MAX;
	if (m->route.n_hops < ROUTE_HOPS_MAX)
		m->route.hops[m->route.n_hops++] = h;
	return true;
}

/* One is said as by a route that has no others. */
static void take_single_hop(struct route *r)
{
	if (r->n_hops != 1)
		return;
	r->gateway = r->hops[0].gateway;
	r->flags |= r->hops[0].flags;
	r->n_hops = 0;
	r->hops[0] = (struct next_hop){0};
}

static bool take_hops(const struct nlattr *a, struct route_message *m)
{
	const uint8_t *p = nla_data(a);
	size_t left = (size_t)nla_len(a);
	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop hop;
		memcpy(&hop, p, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left || !take_hop(&hop, p + sizeof(hop), m))
			return false;
		size_t step = RTNH_ALIGN(hop.rtnh_len);
		if (step >= left)
			break;
		p += step;
		left -= step;
	}
	take_single_hop(&m->route);
	return true;
}

static const struct metric {
	int type;
	size_t offset;
} metrics[] = {
    {RTAX_LOCK, offsetof(struct route, locked)},           {RTAX_MTU, offsetof(struct route, mtu)},
    {RTAX_ADVMSS, offsetof(struct route, advmss)},         {RTAX_HOPLIMIT, offsetof(struct route, hop_limit)},
    {RTAX_INITCWND, offsetof(struct route, initial_cwnd)}, {RTAX_INITRWND, offsetof(struct route, initial_rwnd)},
};

static uint32_t metric_value(const struct route *r, size_t i)
{
	uint32_t value;
	memcpy(&value, (const char *)r + metrics[i].offset, sizeof(value));
	return value;
}

static bool take_metrics(struct nlattr *a, struct route *r)
{
	struct nlattr *tb[RTAX_MAX + 1];
	if (!a)
		return true;
	if (nla_parse_nested(tb, RTAX_MAX, a, NULL) < 0)
		return false;
	for (size_t i = 0; i < ELEMENTS(metrics); i++) {
		const struct nlattr *value = tb[metrics[i].type];
		if (value && nla_len(value) != (int)sizeof(uint32_t))
			return false;
		if (value)
			memcpy((char *)r + metrics[i].offset, nla_data(value), sizeof(uint32_t));
	}
	return true;
}

int route_parse(const struct nlmsghdr *h, struct route_message *ret)
{
	struct nlattr *tb[RTA_MAX + 1];
	struct rtmsg info;
	if (h->nlmsg_type != RTM_NEWROUTE && h->nlmsg_type != RTM_DELROUTE)
		return -ENOMSG;
	if (nlmsg_parse((struct nlmsghdr *)h, sizeof(info), tb, RTA_MAX, (struct nla_policy *)route_policy) < 0)
		return -EBADMSG;
	memcpy(&info, nlmsg_data(h), sizeof(info));
	if (info.rtm_family != AF_INET && info.rtm_family != AF_INET6)
		return -ENOMSG;

	uint8_t family = info.rtm_family == AF_INET ? IP_V4 : IP_V6;
	struct route_message m = {.family = family,
	                          .flags = info.rtm_flags,
	                          .partial = tb[RTA_ENCAP] || tb[RTA_NEWDST] || info.rtm_src_len > 0,
	                          .route = {.destination = {.address = {.family = family}, .length = info.rtm_dst_len},
	                                    .table = tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : info.rtm_table,
	                                    .metric = tb[RTA_PRIORITY] ? nla_get_u32(tb[RTA_PRIORITY]) : 0,
	                                    .scope = info.rtm_scope,
	                                    .protocol = info.rtm_protocol,
	                                    .type = info.rtm_type,
	                                    .tos = info.rtm_tos,
	                                    .flags = (uint8_t)(info.rtm_flags & RTNH_F_ONLINK)}};
	if (info.rtm_dst_len > 8 * attribute_ip_length(family) || !attribute_take_ip(tb[RTA_DST], family, &m.route.destination.address) ||
	    !take_gateway(tb, family, &m.route.gateway, &m.partial) || !attribute_take_ip(tb[RTA_PREFSRC], family, &m.route.source) ||
	    !take_metrics(tb[RTA_METRICS], &m.route))
		return -EBADMSG;
	if (tb[RTA_OIF])
		m.oifs[m.n_oifs++] = (int32_t)nla_get_u32(tb[RTA_OIF]);
	if (tb[RTA_MULTIPATH] && !take_hops(tb[RTA_MULTIPATH], &m))
		return -EBADMSG;
	*ret = m;
	return 0;
}

bool route_is_through(const struct route_message *m, int32_t ifindex)
{
	for (size_t i = 0; i < m->n_oifs; i++)
		if (m->oifs[i] != ifindex)
			return false;
	return m->n_oifs > 0;
}

bool route_reduce(struct route_message *m, int32_t ifindex)
{
	struct route_message r = *m;
	if (route_is_through(m, ifindex))
		return true;
	if (m->partial || m->route.n_hops != m->n_oifs)
		return false;
	r.n_oifs = r.route.n_hops = 0;
	memset(r.route.hops, 0, sizeof(r.route.hops));
	for (size_t i = 0; i < m->n_oifs; i++)
		if (m->oifs[i] == ifindex) {
			r.oifs[r.n_oifs++] = ifindex;
			r.route.hops[r.route.n_hops++] = m->route.hops[i];
		}
	take_single_hop(&r.route);
	if (r.n_oifs > 0)
		*m = r;
	return r.n_oifs > 0;
}

bool route_is_configured(const struct route_message *m)
{
	const struct route *r = &m->route;
	return r->protocol != RTPROT_KERNEL && r->protocol != RTPROT_RA && r->protocol != RTPROT_REDIRECT && !(m->flags & RTM_F_CLONED) &&
	       r->table != RT_TABLE_LOCAL && r->type == RTN_UNICAST && !m->partial;
}

struct nl_msg *route_dump_request(uint8_t family, uint32_t table, int32_t oif)
{
	struct rtmsg info = {.rtm_family = family, .rtm_table = (uint8_t)(table < 256 ? table : 0)};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_GETROUTE, 0, &info, sizeof(info));
	if (!m || (table >= 256 && nla_put_u32(m, RTA_TABLE, table) < 0) || (oif > 0 && nla_put_u32(m, RTA_OIF, (uint32_t)oif) < 0))
		return NULL;
	return TAKE_PTR(m);
}

/* ---- adding ---------------------------------------------------------------------------------------------------------------------- */

static uint32_t table_of(uint32_t table)
{
	return table ? table : RT_TABLE_MAIN;
}

static bool put_gateway(struct nl_msg *m, uint8_t family, const struct ip_address *gateway)
{
	uint8_t other[sizeof(struct rtvia) + 16];
	const struct rtvia via = {.rtvia_family = gateway->family == IP_V4 ? AF_INET : AF_INET6};
	if (gateway->family == IP_NONE || gateway->family == family)
		return attribute_put_ip(m, RTA_GATEWAY, gateway);
	memcpy(other, &via, sizeof(via));
	memcpy(other + sizeof(via), gateway->bytes, (size_t)attribute_ip_length(gateway->family));
	return nla_put(m, RTA_VIA, (int)(sizeof(via) + (size_t)attribute_ip_length(gateway->family)), other) == 0;
}

static bool put_hops(struct nl_msg *m, int32_t ifindex, const struct route *r)
{
	struct nlattr *nest = r->n_hops ? nla_nest_start(m, RTA_MULTIPATH) : NULL;
	bool ok = nest || !r->n_hops;
	for (size_t i = 0; i < r->n_hops && ok; i++) {
		const struct next_hop *h = &r->hops[i];
		struct rtnexthop *hop = nlmsg_reserve(m, sizeof(*hop), NLMSG_ALIGNTO);
		if (!hop)
			return false;
		*hop = (struct rtnexthop){
		    .rtnh_ifindex = ifindex, .rtnh_flags = h->flags, .rtnh_hops = (uint8_t)(h->weight ? h->weight - 1 : 0)};
		ok = put_gateway(m, r->destination.address.family, &h->gateway);
		hop->rtnh_len = (unsigned short)((char *)nlmsg_tail(nlmsg_hdr(m)) - (char *)hop);
	}
	if (nest)
		nla_nest_end(m, nest);
	return ok;
}

static bool put_metrics(struct nl_msg *m, const struct route *r)
{
	struct nlattr *nest = NULL;
	bool ok = true;
	for (size_t i = 0; i < ELEMENTS(metrics) && ok; i++) {
		uint32_t value = metric_value(r, i);
		if (value && !nest)
			ok = (nest = nla_nest_start(m, RTA_METRICS)) != NULL;
		if (value && ok)
			ok = nla_put_u32(m, metrics[i].type, value) == 0;
	}
	if (nest)
		nla_nest_end(m, nest);
	return ok;
}

/* IPv6 gives 1024 to routes without a metric. */
static uint32_t metric_of(const struct route *r)
{
	return r->metric == 0 && r->destination.address.family == IP_V6 ? 1024 : r->metric;
}

static bool same_hops(const struct route *a, const struct route *b)
{
	bool same = a->n_hops == b->n_hops && ip_address_equal(&a->gateway, &b->gateway);
	for (size_t i = 0; i < a->n_hops && same; i++)
		same = ip_address_equal(&a->hops[i].gateway, &b->hops[i].gateway) &&
		       (a->hops[i].weight ? a->hops[i].weight : 1) == (b->hops[i].weight ? b->hops[i].weight : 1);
	return same;
}

static bool same_metrics(const struct route *a, const struct route *b)
{
	for (size_t i = 0; i < ELEMENTS(metrics); i++)
		if (metric_value(a, i) != metric_value(b, i))
			return false;
	return true;
}

struct route_search {
	const struct route *wanted;
	int32_t ifindex;
	bool found;         /* the same way to the same place */
	bool same;          /* and in all else that was asked for */
	struct route there; /* the one that was found */
};

static int see_same(const struct nlmsghdr *h, void *user)
{
	struct route_search *q = user;
	const struct route *wanted = q->wanted;
	struct route_message m;
	struct ip_prefix destination = wanted->destination;
	if (!h || route_parse(h, &m) < 0 || m.family != destination.address.family || m.partial || !route_is_through(&m, q->ifindex))
		return 0;
	ip_prefix_mask(&destination);
	if (!ip_prefix_equal(&m.route.destination, &destination) || table_of(m.route.table) != table_of(wanted->table) ||
	    metric_of(&m.route) != metric_of(wanted) || m.route.tos != wanted->tos || !same_hops(&m.route, wanted))
		return 0;
	q->found = true;
	q->there = m.route;
	q->same =
	    same_metrics(&m.route, wanted) && (wanted->source.family == IP_NONE || ip_address_equal(&m.route.source, &wanted->source));
	return 0;
}

/* A connected route that was copied from the host meets the one the kernel made for the address: same route, other protocol. */
static struct route_search search_same(struct nlsock *s, int32_t ifindex, const struct route *r)
{
	struct route_search q = {.wanted = r, .ifindex = ifindex};
	uint8_t family = r->destination.address.family == IP_V4 ? AF_INET : AF_INET6;
	_cleanup_nlmsg_ struct nl_msg *m = route_dump_request(family, table_of(r->table), ifindex);
	if (nlsock_dump(s, m, see_same, &q, NULL) < 0)
		q.found = false;
	return q;
}

static int route_ask(struct nlsock *s, uint16_t type, uint16_t flags, int32_t ifindex, const struct route *r, struct error *e)
{
	struct ip_prefix destination = r->destination;
	ip_prefix_mask(&destination); /* the kernel refuses host bits */
	uint32_t table = table_of(r->table);
	uint8_t family = destination.address.family;
	struct rtmsg info = {.rtm_family = family == IP_V4 ? AF_INET : AF_INET6,
	                     .rtm_dst_len = destination.length,
	                     .rtm_tos = r->tos,
	                     .rtm_table = (uint8_t)(table < 256 ? table : RT_TABLE_UNSPEC),
	                     .rtm_protocol = r->protocol ? r->protocol : RTPROT_BOOT,
	                     .rtm_scope = r->scope,
	                     .rtm_type = r->type ? r->type : RTN_UNICAST,
	                     .rtm_flags = r->flags};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(type, flags, &info, sizeof(info));
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	bool ok =
	    r->n_hops ? put_hops(m, ifindex, r) : nla_put_u32(m, RTA_OIF, (uint32_t)ifindex) == 0 && put_gateway(m, family, &r->gateway);
	ok = ok && attribute_put_ip(m, RTA_PREFSRC, &r->source) && put_metrics(m, r);
	if (destination.length > 0)
		ok = ok && attribute_put_ip(m, RTA_DST, &destination.address);
	if (table >= 256)
		ok = ok && nla_put_u32(m, RTA_TABLE, table) == 0;
	if (r->metric > 0)
		ok = ok && nla_put_u32(m, RTA_PRIORITY, r->metric) == 0;
	if (!ok)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}

/* The one that is there goes and another comes: to replace (NLM_F_REPLACE) is to the kernel to replace the first one to that network,
 * through whatever link. IPv4 needs to be told that there may be several. */
static int route_exchange(struct nlsock *s, int32_t ifindex, const struct route *there, const struct route *r, struct error *e)
{
	int result = route_ask(s, RTM_DELROUTE, 0, ifindex, there, e);
	if (result < 0)
		return result;
	uint16_t append = r->destination.address.family == IP_V4 ? NLM_F_APPEND : 0;
	return route_ask(s, RTM_NEWROUTE, NLM_F_CREATE | append, ifindex, r, e);
}

int route_add(struct nlsock *s, int32_t ifindex, const struct route *r, struct error *e)
{
	struct error ours = {0};
	int result = route_ask(s, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, ifindex, r, &ours);
	if (result == -EEXIST) {
		struct route_search q = search_same(s, ifindex, r);
		if (q.found && q.same)
			return 0;
		if (q.found) /* the kernel's own is the right way, but without the MTU or whatever else was asked for */
			return route_exchange(s, ifindex, &q.there, r, e);
	}
	return result < 0 ? error_set(e, result, "%s", ours.text) : 0;
}

enum { BEHIND_METRIC = 1024, BEHIND_METRICS = 32 };

int route_add_behind(struct nlsock *s, int32_t ifindex, const struct route *r, struct error *e)
{
	struct error ours = {0};
	struct route behind = *r;
	int result = -EEXIST;
	for (uint32_t i = 0; i < BEHIND_METRICS && result == -EEXIST; i++) {
		ours = (struct error){0};
		behind.metric = BEHIND_METRIC + i;
		result = route_add(s, ifindex, &behind, &ours);
	}
	return result < 0 ? error_set(e, result, "%s", ours.text) : 0;
}

int route_remove(struct nlsock *s, int32_t ifindex, const struct route *r, struct error *e)
{
	struct ip_prefix to = r->destination;
	ip_prefix_mask(&to);
	struct rtmsg info = {.rtm_family = to.address.family == IP_V4 ? AF_INET : AF_INET6,
	                     .rtm_dst_len = to.length,
	                     .rtm_protocol = r->protocol,
	                     .rtm_scope = RT_SCOPE_NOWHERE, /* any */
	                     .rtm_type = RTN_UNICAST};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_DELROUTE, 0, &info, sizeof(info));
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	bool ok = nla_put_u32(m, RTA_OIF, (uint32_t)ifindex) == 0 && nla_put_u32(m, RTA_TABLE, table_of(r->table)) == 0 &&
	          (to.length == 0 || attribute_put_ip(m, RTA_DST, &to.address)) && attribute_put_ip(m, RTA_GATEWAY, &r->gateway);
	return ok ? nlsock_ask(s, m, NULL, NULL, e) : error_set(e, -EMSGSIZE, "request too large");
}

/* ---- neighbours ------------------------------------------------------------------------------------------------------------------ */

int neighbour_parse(const struct nlmsghdr *h, int32_t *ret_ifindex, struct neighbour *ret)
{
	struct nlattr *tb[NDA_MAX + 1];
	struct ndmsg info;
	if (h->nlmsg_type != RTM_NEWNEIGH)
		return -ENOMSG;
	if (nlmsg_parse((struct nlmsghdr *)h, sizeof(info), tb, NDA_MAX, NULL) < 0)
		return -EBADMSG;
	memcpy(&info, nlmsg_data(h), sizeof(info));
	if ((info.ndm_family != AF_INET && info.ndm_family != AF_INET6) || !(info.ndm_state & NUD_PERMANENT) ||
	    (info.ndm_flags & NTF_PROXY) || !tb[NDA_DST] || !tb[NDA_LLADDR])
		return -ENOMSG;
	struct neighbour n = {0};
	int len = nla_len(tb[NDA_LLADDR]);
	if (len != 6 && len != 8 && len != 20)
		return -ENOMSG;
	if (!attribute_take_ip(tb[NDA_DST], info.ndm_family == AF_INET ? IP_V4 : IP_V6, &n.destination))
		return -EBADMSG;
	n.mac.length = (uint8_t)len;
	memcpy(n.mac.bytes, nla_data(tb[NDA_LLADDR]), (size_t)len);
	*ret_ifindex = info.ndm_ifindex;
	*ret = n;
	return 0;
}

int neighbour_add(struct nlsock *s, int32_t ifindex, const struct neighbour *n, struct error *e)
{
	struct ndmsg info = {
	    .ndm_family = n->destination.family == IP_V4 ? AF_INET : AF_INET6, .ndm_ifindex = ifindex, .ndm_state = NUD_PERMANENT};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &info, sizeof(info));
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	if (!attribute_put_ip(m, NDA_DST, &n->destination) || nla_put(m, NDA_LLADDR, n->mac.length, n->mac.bytes) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}
