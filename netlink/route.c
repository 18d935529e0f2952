/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/route.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"

static const struct nla_policy route_policy[RTA_MAX + 1] = {
    [RTA_OIF] = {.type = NLA_U32},
    [RTA_PRIORITY] = {.type = NLA_U32},
    [RTA_TABLE] = {.type = NLA_U32},
    [RTA_MULTIPATH] = {.minlen = sizeof(struct rtnexthop)},
};

static size_t family_length(uint8_t family)
{
	return family == IP_V4 ? 4 : 16;
}

static bool take_ip(const struct nlattr *a, uint8_t family, struct ip_address *ret)
{
	if (!a)
		return true;
	if (nla_len(a) != (int)family_length(family))
		return false;
	*ret = (struct ip_address){.family = family};
	memcpy(ret->bytes, nla_data(a), family_length(family));
	return true;
}

static int take_nexthops(const struct nlattr *a, struct route_message *m)
{
	const uint8_t *p = nla_data(a);
	size_t left = (size_t)nla_len(a);
	while (left >= sizeof(struct rtnexthop)) {
		struct rtnexthop hop;
		memcpy(&hop, p, sizeof(hop));
		if (hop.rtnh_len < sizeof(hop) || hop.rtnh_len > left)
			return -EBADMSG;
		if (m->n_oifs < ROUTE_NEXTHOPS_MAX)
			m->oifs[m->n_oifs++] = hop.rtnh_ifindex;
		size_t step = RTNH_ALIGN(hop.rtnh_len);
		if (step >= left)
			break;
		p += step;
		left -= step;
	}
	return 0;
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
	                          .tos = info.rtm_tos,
	                          .multipath = tb[RTA_MULTIPATH],
	                          .encapsulated = tb[RTA_ENCAP] || tb[RTA_NEWDST],
	                          .route = {.destination = {.address = {.family = family}, .length = info.rtm_dst_len},
	                                    .table = tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : info.rtm_table,
	                                    .metric = tb[RTA_PRIORITY] ? nla_get_u32(tb[RTA_PRIORITY]) : 0,
	                                    .scope = info.rtm_scope,
	                                    .protocol = info.rtm_protocol,
	                                    .type = info.rtm_type,
	                                    .flags = (uint8_t)(info.rtm_flags & RTNH_F_ONLINK)}};
	if (info.rtm_dst_len > 8 * family_length(family) || !take_ip(tb[RTA_DST], family, &m.route.destination.address) ||
	    !take_ip(tb[RTA_GATEWAY], family, &m.route.gateway) || !take_ip(tb[RTA_PREFSRC], family, &m.route.source))
		return -EBADMSG;
	if (tb[RTA_OIF])
		m.oifs[m.n_oifs++] = (int32_t)nla_get_u32(tb[RTA_OIF]);
	if (tb[RTA_MULTIPATH] && take_nexthops(tb[RTA_MULTIPATH], &m) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

bool route_is_configured(const struct route_message *m)
{
	const struct route *r = &m->route;
	return r->protocol != RTPROT_KERNEL && r->protocol != RTPROT_RA && r->protocol != RTPROT_REDIRECT && !(m->flags & RTM_F_CLONED) &&
	       r->table != RT_TABLE_LOCAL && r->type == RTN_UNICAST && !m->multipath && !m->encapsulated && m->n_oifs == 1;
}

struct nl_msg *route_dump_request(uint8_t family, uint32_t table, int32_t oif)
{
	struct rtmsg info = {.rtm_family = family, .rtm_table = (uint8_t)(table < 256 ? table : 0)};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_GETROUTE, 0, &info, sizeof(info));
	if (!m || (table >= 256 && nla_put_u32(m, RTA_TABLE, table) < 0) || (oif > 0 && nla_put_u32(m, RTA_OIF, (uint32_t)oif) < 0))
		return NULL;
	return TAKE_PTR(m);
}

void route_format(const struct route *r, char *text, size_t size)
{
	char destination[IP_TEXT_MAX], gateway[IP_TEXT_MAX], table[24] = "";
	ip_prefix_format(&r->destination, destination);
	ip_address_format(&r->gateway, gateway);
	if (r->table != 0 && r->table != RT_TABLE_MAIN)
		snprintf(table, sizeof(table), " table %u", r->table);
	snprintf(text, size, "%s%s%s%s", destination, r->gateway.family != IP_NONE ? " via " : "",
	         r->gateway.family != IP_NONE ? gateway : "", table);
}

/* ---- adding ---------------------------------------------------------------------------------------------------------------------- */

static bool put_ip(struct nl_msg *m, int type, const struct ip_address *a)
{
	return a->family == IP_NONE || nla_put(m, type, (int)family_length(a->family), a->bytes) == 0;
}

static uint32_t table_of(uint32_t table)
{
	return table ? table : RT_TABLE_MAIN;
}

struct route_search {
	const struct route *wanted;
	int32_t ifindex;
	bool found;
};

/* IPv6 gives 1024 to routes without a metric. */
static uint32_t metric_of(const struct route *r)
{
	return r->metric == 0 && r->destination.address.family == IP_V6 ? 1024 : r->metric;
}

static int see_same(const struct nlmsghdr *h, void *user)
{
	struct route_search *q = user;
	struct route_message m;
	struct ip_prefix destination = q->wanted->destination;
	if (!h || route_parse(h, &m) < 0 || m.family != destination.address.family || m.n_oifs != 1 || m.multipath)
		return 0;
	ip_prefix_mask(&destination);
	if (m.oifs[0] == q->ifindex && ip_prefix_equal(&m.route.destination, &destination) &&
	    ip_address_equal(&m.route.gateway, &q->wanted->gateway) && table_of(m.route.table) == table_of(q->wanted->table) &&
	    metric_of(&m.route) == metric_of(q->wanted) &&
	    (q->wanted->source.family == IP_NONE || ip_address_equal(&m.route.source, &q->wanted->source)))
		q->found = true;
	return 0;
}

/* A connected route that was copied from the host meets the one the kernel made for the address: same route, other protocol. */
static bool route_exists(struct nlsock *s, int32_t ifindex, const struct route *r)
{
	struct route_search q = {.wanted = r, .ifindex = ifindex};
	uint8_t family = r->destination.address.family == IP_V4 ? AF_INET : AF_INET6;
	_cleanup_nlmsg_ struct nl_msg *m = route_dump_request(family, table_of(r->table), ifindex);
	return nlsock_dump(s, m, see_same, &q, NULL) >= 0 && q.found;
}

int route_add(struct nlsock *s, int32_t ifindex, const struct route *r, struct error *e)
{
	struct ip_prefix destination = r->destination;
	ip_prefix_mask(&destination); /* the kernel refuses host bits */
	uint32_t table = table_of(r->table);
	struct rtmsg info = {.rtm_family = destination.address.family == IP_V4 ? AF_INET : AF_INET6,
	                     .rtm_dst_len = destination.length,
	                     .rtm_table = (uint8_t)(table < 256 ? table : RT_TABLE_UNSPEC),
	                     .rtm_protocol = r->protocol ? r->protocol : RTPROT_BOOT,
	                     .rtm_scope = r->scope,
	                     .rtm_type = r->type ? r->type : RTN_UNICAST,
	                     .rtm_flags = r->flags};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	bool ok =
	    nla_put_u32(m, RTA_OIF, (uint32_t)ifindex) == 0 && put_ip(m, RTA_GATEWAY, &r->gateway) && put_ip(m, RTA_PREFSRC, &r->source);
	if (destination.length > 0)
		ok &= put_ip(m, RTA_DST, &destination.address);
	if (table >= 256)
		ok &= nla_put_u32(m, RTA_TABLE, table) == 0;
	if (r->metric > 0)
		ok &= nla_put_u32(m, RTA_PRIORITY, r->metric) == 0;
	if (!ok)
		return error_set(e, -EMSGSIZE, "request too large");
	int result = nlsock_ask(s, m, NULL, NULL, e);
	if (result == -EEXIST && route_exists(s, ifindex, r)) {
		if (e)
			*e = (struct error){0};
		return 0;
	}
	return result;
}

/* Rules of ours bear it, so that the very same rule made by the pod itself is another one, and stays when ours goes. The kernel knows no
 * meaning for this number, and iproute2 no name. */
enum { RULE_PROTOCOL = 211 };

static int rule_ask(struct nlsock *s, uint16_t type, uint16_t flags, const struct rule *r, struct error *e)
{
	bool v6 = r->source.address.family == IP_V6 || r->destination.address.family == IP_V6;
	uint32_t table = table_of(r->table);
	struct ip_prefix source = r->source, destination = r->destination;
	ip_prefix_mask(&source);
	ip_prefix_mask(&destination);
	struct fib_rule_hdr info = {.family = v6 ? AF_INET6 : AF_INET,
	                            .src_len = source.length,
	                            .dst_len = destination.length,
	                            .table = (uint8_t)(table < 256 ? table : RT_TABLE_UNSPEC),
	                            .action = FR_ACT_TO_TBL};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(type, flags, &info, sizeof(info));
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	bool ok = nla_put_u32(m, FRA_TABLE, table) == 0;
	if (source.length > 0)
		ok &= put_ip(m, FRA_SRC, &source.address);
	if (destination.length > 0)
		ok &= put_ip(m, FRA_DST, &destination.address);
	/* Without one the kernel picks the place before its own `main` rule; 0 would be the place before everything. */
	if (r->has_priority)
		ok &= nla_put_u32(m, FRA_PRIORITY, r->priority) == 0;
	ok &= nla_put_u8(m, FRA_PROTOCOL, RULE_PROTOCOL) == 0;
	if (!ok)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}

int rule_add(struct nlsock *s, const struct rule *r, struct error *e)
{
	struct error ours = {0};
	int result = rule_ask(s, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, r, &ours);
	if (result == -EEXIST) /* the kernel compares every selector: it is the same rule */
		return 0;
	return result < 0 ? error_set(e, result, "%s", ours.text) : 0;
}

int rule_remove(struct nlsock *s, const struct rule *r, struct error *e)
{
	return rule_ask(s, RTM_DELRULE, 0, r, e);
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
	if (!take_ip(tb[NDA_DST], info.ndm_family == AF_INET ? IP_V4 : IP_V6, &n.destination))
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
	if (!put_ip(m, NDA_DST, &n->destination) || nla_put(m, NDA_LLADDR, n->mac.length, n->mac.bytes) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}
