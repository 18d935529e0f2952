/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/link.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

/* Newer than Debian 12's headers (kernels 6.3 and 6.15). */
enum { LINK_GSO_IPV4_MAX_SIZE = 63, LINK_GRO_IPV4_MAX_SIZE = 64, LINK_NETNS_IMMUTABLE = 67, LINK_ATTRIBUTE_MAX = 67 };

static const struct nla_policy link_policy[LINK_ATTRIBUTE_MAX + 1] = {
    [IFLA_IFNAME] = {.type = NLA_STRING, .minlen = 2, .maxlen = IFNAME_SIZE},
    [IFLA_MTU] = {.type = NLA_U32},
    [IFLA_MIN_MTU] = {.type = NLA_U32},
    [IFLA_MAX_MTU] = {.type = NLA_U32},
    [IFLA_LINK] = {.type = NLA_U32},
    [IFLA_MASTER] = {.type = NLA_U32},
    [IFLA_OPERSTATE] = {.type = NLA_U8},
    [IFLA_TXQLEN] = {.type = NLA_U32},
    [IFLA_IFALIAS] = {.type = NLA_STRING, .minlen = 1},
    [IFLA_LINKINFO] = {.type = NLA_NESTED},
    [IFLA_PHYS_PORT_NAME] = {.type = NLA_STRING, .minlen = 1},
    [IFLA_GSO_MAX_SIZE] = {.type = NLA_U32},
    [IFLA_GRO_MAX_SIZE] = {.type = NLA_U32},
    [IFLA_GSO_MAX_SEGS] = {.type = NLA_U32},
    [LINK_GSO_IPV4_MAX_SIZE] = {.type = NLA_U32},
    [LINK_GRO_IPV4_MAX_SIZE] = {.type = NLA_U32},
    [LINK_NETNS_IMMUTABLE] = {.type = NLA_U8},
    [IFLA_PARENT_DEV_NAME] = {.type = NLA_STRING, .minlen = 1},
};
static const struct nla_policy info_policy[IFLA_INFO_MAX + 1] = {[IFLA_INFO_KIND] = {.type = NLA_STRING, .minlen = 1}};

static uint32_t take_u32(struct nlattr *const *tb, int type)
{
	return tb[type] ? nla_get_u32(tb[type]) : 0;
}

/* Hardware addresses of other lengths (a tunnel's IPv4 endpoint) are none. */
static void take_mac(const struct nlattr *a, struct mac *ret)
{
	if (!a)
		return;
	int n = nla_len(a);
	if (n != 6 && n != 8 && n != 20)
		return;
	ret->length = (uint8_t)n;
	memcpy(ret->bytes, nla_data(a), (size_t)n);
}

static int take_kind(struct nlattr *info, char kind[IFNAME_SIZE])
{
	struct nlattr *tb[IFLA_INFO_MAX + 1] = {0};
	if (info && nla_parse_nested(tb, IFLA_INFO_MAX, info, (struct nla_policy *)info_policy) < 0)
		return -EBADMSG;
	str_cut(kind, IFNAME_SIZE, tb[IFLA_INFO_KIND] ? nla_data(tb[IFLA_INFO_KIND]) : "device");
	return 0;
}

bool link_port_is_representor(const char *port_name)
{
	const char *pf = strstr(port_name, "pf");
	return pf && (strstr(pf, "vf") || strstr(pf, "sf") || strstr(pf, "hpf"));
}

/* Any bytes, at most 32 (MAX_PHYS_ITEM_ID_LEN): written as sysfs and iproute2 write them. */
static void take_switch_id(const struct nlattr *id, char text[ATTRIBUTE_TEXT_SIZE])
{
	const uint8_t *bytes = id ? nla_data(id) : NULL;
	int n = id ? nla_len(id) : 0;
	if (n > (ATTRIBUTE_TEXT_SIZE - 1) / 2)
		return;
	for (int i = 0; i < n; i++)
		snprintf(text + 2 * (size_t)i, 3, "%02x", bytes[i]);
}

int link_parse(const struct nlmsghdr *h, struct link *ret)
{
	struct nlattr *tb[LINK_ATTRIBUTE_MAX + 1];
	struct ifinfomsg info;
	if (h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK)
		return -ENOMSG;
	if (nlmsg_parse((struct nlmsghdr *)h, sizeof(info), tb, LINK_ATTRIBUTE_MAX, (struct nla_policy *)link_policy) < 0)
		return -EBADMSG;
	memcpy(&info, nlmsg_data(h), sizeof(info));
	/* A bridge tells of its ports with the same message types: DELLINK then means that the port left, not that the link is gone.
	 * Wireless events carry nothing but the event. */
	if (info.ifi_family != AF_UNSPEC || tb[IFLA_WIRELESS])
		return -ENOMSG;
	if (info.ifi_index <= 0 || !tb[IFLA_IFNAME])
		return -EBADMSG;

	struct link l = {.ifindex = info.ifi_index,
	                 .flags = info.ifi_flags,
	                 .hardware = info.ifi_type,
	                 .master = (int32_t)take_u32(tb, IFLA_MASTER),
	                 .peer = (int32_t)take_u32(tb, IFLA_LINK),
	                 .peer_away = tb[IFLA_LINK_NETNSID],
	                 .fixed = tb[LINK_NETNS_IMMUTABLE] && nla_get_u8(tb[LINK_NETNS_IMMUTABLE]),
	                 .mtu = take_u32(tb, IFLA_MTU),
	                 .min_mtu = take_u32(tb, IFLA_MIN_MTU),
	                 .max_mtu = take_u32(tb, IFLA_MAX_MTU),
	                 .txqlen = take_u32(tb, IFLA_TXQLEN),
	                 .operstate = tb[IFLA_OPERSTATE] ? nla_get_u8(tb[IFLA_OPERSTATE]) : 0,
	                 .sizes = {.gso_max = take_u32(tb, IFLA_GSO_MAX_SIZE),
	                           .gro_max = take_u32(tb, IFLA_GRO_MAX_SIZE),
	                           .gso_ipv4_max = take_u32(tb, LINK_GSO_IPV4_MAX_SIZE),
	                           .gro_ipv4_max = take_u32(tb, LINK_GRO_IPV4_MAX_SIZE),
	                           .gso_max_segs = take_u32(tb, IFLA_GSO_MAX_SEGS)}};
	/* With a namespace id the number is an ifindex over there and means nothing here. A link on top of itself is how physical ports
	 * and veth show that there is nothing below. */
	if (!tb[IFLA_LINK_NETNSID] && take_u32(tb, IFLA_LINK) != (uint32_t)l.ifindex)
		l.lower = (int32_t)take_u32(tb, IFLA_LINK);
	if (l.lower < 0 || l.master < 0 || STR_COPY(l.ifname, nla_data(tb[IFLA_IFNAME])) < 0 || take_kind(tb[IFLA_LINKINFO], l.kind) < 0)
		return -EBADMSG;
	take_mac(tb[IFLA_ADDRESS], &l.mac);
	take_mac(tb[IFLA_PERM_ADDRESS], &l.permanent_mac);
	take_switch_id(tb[IFLA_PHYS_SWITCH_ID], l.switch_id);
	if (tb[IFLA_IFALIAS])
		STR_CUT(l.alias, nla_data(tb[IFLA_IFALIAS]));
	if (tb[IFLA_PHYS_PORT_NAME])
		l.representor = link_port_is_representor(nla_data(tb[IFLA_PHYS_PORT_NAME]));
	if (tb[IFLA_PARENT_DEV_NAME])
		STR_CUT(l.parent, nla_data(tb[IFLA_PARENT_DEV_NAME]));
	*ret = l;
	return 0;
}

static int see_link(const struct nlmsghdr *h, void *user)
{
	return link_parse(h, user);
}

static int link_ask(struct nlsock *s, struct nl_msg *m, struct link *ret, struct error *e)
{
	struct link l = {0};
	int r = nlsock_ask(s, m, see_link, &l, e);
	if (r < 0)
		return r;
	if (l.ifindex == 0)
		return error_set(e, -EBADMSG, "the kernel acknowledged a question about a link without answering it");
	*ret = l;
	return 0;
}

struct nl_msg *link_request(uint16_t type, int32_t ifindex, uint32_t flags, uint32_t change)
{
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_index = ifindex, .ifi_flags = flags, .ifi_change = change};
	return nlsock_request(type, 0, &info, sizeof(info));
}

int link_get(struct nlsock *s, int32_t ifindex, struct link *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_GETLINK, ifindex, 0, 0);
	int r = link_ask(s, m, ret, e);
	return r < 0 && e ? error_prefix(e, "link %d", ifindex) : r;
}

int link_get_by_name(struct nlsock *s, const char *ifname, struct link *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_GETLINK, 0, 0, 0);
	if (m && nla_put_string(m, IFLA_IFNAME, ifname) < 0)
		return error_set(e, -EMSGSIZE, "link %s: name does not fit into a request", ifname);
	int r = link_ask(s, m, ret, e);
	return r < 0 && e ? error_prefix(e, "link %s", ifname) : r;
}

struct nl_msg *link_dump_request(void)
{
	return link_request(RTM_GETLINK, 0, 0, 0);
}

/* ---- names ----------------------------------------------------------------------------------------------------------------------- */

static const struct {
	uint16_t hardware;
	const char *name;
} encapsulations[] = {
    {ARPHRD_NETROM, "generic"},
    {ARPHRD_ETHER, "ether"},
    {ARPHRD_IEEE802, "ieee802"},
    {ARPHRD_ATM, "atm"},
    {ARPHRD_IEEE1394, "ieee1394"},
    {ARPHRD_INFINIBAND, "infiniband"},
    {ARPHRD_SLIP, "slip"},
    {ARPHRD_PPP, "ppp"},
    {ARPHRD_HDLC, "hdlc"},
    {ARPHRD_TUNNEL, "ipip"},
    {ARPHRD_TUNNEL6, "tunnel6"},
    {ARPHRD_LOOPBACK, "loopback"},
    {ARPHRD_FDDI, "fddi"},
    {ARPHRD_SIT, "sit"},
    {ARPHRD_IPDDP, "ip/ddp"},
    {ARPHRD_IPGRE, "gre"},
    {ARPHRD_PIMREG, "pimreg"},
    {ARPHRD_IEEE80211, "ieee802.11"},
    {ARPHRD_IEEE802154, "ieee802.15.4"},
    {ARPHRD_IP6GRE, "ip6gre"},
    {ARPHRD_NETLINK, "netlink"},
    {ARPHRD_6LOWPAN, "6lowpan"},
    {ARPHRD_NONE, "none"},
    {ARPHRD_VOID, "void"},
};

void link_encapsulation(uint16_t hardware, char *text, size_t size)
{
	for (size_t i = 0; i < ELEMENTS(encapsulations); i++)
		if (encapsulations[i].hardware == hardware) {
			str_cut(text, size, encapsulations[i].name);
			return;
		}
	snprintf(text, size, "unknown%u", hardware);
}

const char *link_operstate(uint8_t operstate)
{
	static const char *const names[] = {[IF_OPER_UNKNOWN] = "unknown",
	                                    [IF_OPER_NOTPRESENT] = "not-present",
	                                    [IF_OPER_DOWN] = "down",
	                                    [IF_OPER_LOWERLAYERDOWN] = "lower-layer-down",
	                                    [IF_OPER_TESTING] = "testing",
	                                    [IF_OPER_DORMANT] = "dormant",
	                                    [IF_OPER_UP] = "up"};
	return operstate < ELEMENTS(names) ? names[operstate] : "unknown";
}

const char *link_type(const char *kind)
{
	return str_equal(kind, "tun") ? "tuntap" : kind;
}

/* ---- changes --------------------------------------------------------------------------------------------------------------------- */

static bool put_changed(struct nl_msg *m, int type, uint32_t have, uint32_t wish, bool *any)
{
	if (wish == have)
		return true;
	*any = true;
	return nla_put_u32(m, type, wish) == 0;
}

static bool mac_differs(const struct link *have, const struct link_wish *wish)
{
	return wish->mac && wish->mac->length > 0 && !mac_equal(wish->mac, &have->mac);
}

static bool name_differs(const struct link *have, const struct link_wish *wish)
{
	return wish->ifname && !str_equal(wish->ifname, have->ifname);
}

bool link_wish_put(struct nl_msg *m, const struct link *have, const struct link_wish *wish, bool *ret_any)
{
	const struct {
		int type;
		uint32_t have, wish;
	} numbers[] = {
	    {IFLA_MTU, have->mtu, wish->mtu},
	    /* The kernel takes them in this order whatever ours is: a general size may pull the IPv4 one along, which then follows. */
	    {IFLA_GSO_MAX_SIZE, have->sizes.gso_max, wish->sizes.gso_max},
	    {IFLA_GRO_MAX_SIZE, have->sizes.gro_max, wish->sizes.gro_max},
	    {IFLA_GSO_MAX_SEGS, have->sizes.gso_max_segs, wish->sizes.gso_max_segs},
	};
	const struct link_sizes *to = &wish->sizes, *from = &have->sizes;
	bool any = false, ok = true, pulled;
	if (name_differs(have, wish)) {
		any = true;
		ok &= nla_put_string(m, IFLA_IFNAME, wish->ifname) == 0;
	}
	if (mac_differs(have, wish)) {
		any = true;
		ok &= nla_put(m, IFLA_ADDRESS, wish->mac->length, wish->mac->bytes) == 0;
	}
	for (size_t i = 0; i < ELEMENTS(numbers); i++)
		if (numbers[i].wish > 0)
			ok &= put_changed(m, numbers[i].type, numbers[i].have, numbers[i].wish, &any);
	pulled = (to->gso_max > 0 && to->gso_max != from->gso_max) || (to->gro_max > 0 && to->gro_max != from->gro_max);
	if (to->gso_ipv4_max > 0)
		ok &= put_changed(m, LINK_GSO_IPV4_MAX_SIZE, pulled ? 0 : from->gso_ipv4_max, to->gso_ipv4_max, &any);
	if (to->gro_ipv4_max > 0)
		ok &= put_changed(m, LINK_GRO_IPV4_MAX_SIZE, pulled ? 0 : from->gro_ipv4_max, to->gro_ipv4_max, &any);
	if (wish->has_txqlen)
		ok &= put_changed(m, IFLA_TXQLEN, have->txqlen, wish->txqlen, &any);
	if (ret_any)
		*ret_any = any;
	return ok;
}

int link_apply(struct nlsock *s, const struct link *have, const struct link_wish *wish, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, have->ifindex, 0, 0);
	bool any;
	if (!m)
		return error_set(e, -ENOMEM, "link %s: out of memory", have->ifname);
	if (!link_wish_put(m, have, wish, &any))
		return error_set(e, -EMSGSIZE, "link %s: request too large", have->ifname);
	if (!any)
		return 0;
	if ((have->flags & IFF_UP) && (name_differs(have, wish) || mac_differs(have, wish))) {
		int r = link_set_up(s, have->ifindex, false, e);
		if (r < 0)
			return r;
	}
	return nlsock_ask(s, m, NULL, NULL, e);
}

int link_set_up(struct nlsock *s, int32_t ifindex, bool up, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, up ? IFF_UP : 0, IFF_UP);
	return nlsock_ask(s, m, NULL, NULL, e);
}

int link_set_master(struct nlsock *s, int32_t ifindex, int32_t master, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, 0, 0);
	if (m && nla_put_u32(m, IFLA_MASTER, (uint32_t)master) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}

int link_move(struct nlsock *s, const struct link *have, int netns_fd, const struct link_wish *wish, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, have->ifindex, 0, 0);
	if (!m)
		return error_set(e, -ENOMEM, "link %s: out of memory", have->ifname);
	bool ok = nla_put_u32(m, IFLA_NET_NS_FD, (uint32_t)netns_fd) == 0;
	if (wish->ifindex > 0 && wish->ifindex != have->ifindex) /* kernels before 5.13 do not look at it */
		ok &= nla_put_u32(m, IFLA_NEW_IFINDEX, (uint32_t)wish->ifindex) == 0;
	/* Always with a name, also when it stays: without one the kernel refuses the move as soon as the present name is taken there, with
	 * one it takes this instead. */
	if (wish->ifname && !name_differs(have, wish))
		ok &= nla_put_string(m, IFLA_IFNAME, wish->ifname) == 0;
	if (!ok || !link_wish_put(m, have, wish, NULL))
		return error_set(e, -EMSGSIZE, "link %s: request too large", have->ifname);
	return nlsock_ask(s, m, NULL, NULL, e);
}
