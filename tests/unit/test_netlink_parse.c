/* SPDX-License-Identifier: Apache-2.0 */
/* The parsers of the kernel's messages, each over one message built here. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "netlink/address.h"
#include "netlink/link.h"
#include "netlink/route.h"

static struct nl_msg *message(uint16_t type, const void *header, size_t len)
{
	struct nl_msg *m = nlsock_request(type, 0, header, len);
	assert_non_null(m);
	return m;
}

static struct nl_msg *link_message(uint16_t type, uint8_t family, int32_t ifindex)
{
	struct ifinfomsg info = {.ifi_family = family, .ifi_index = ifindex, .ifi_type = ARPHRD_ETHER, .ifi_flags = IFF_UP};
	return message(type, &info, sizeof(info));
}

/* Parse and free. */
static int parse_link(struct nl_msg *m, struct link *ret)
{
	int r = link_parse(nlmsg_hdr(m), ret);
	nlmsg_free(m);
	return r;
}

/* ---- links ----------------------------------------------------------------------------------------------------------------------- */

static void link_is_read(void **state)
{
	(void)state;
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, permanent[6] = {2, 0, 0, 0, 0, 2};
	struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	struct link l;
	nla_put_string(m, IFLA_IFNAME, "eth0");
	nla_put(m, IFLA_ADDRESS, 6, mac);
	nla_put(m, IFLA_PERM_ADDRESS, 6, permanent);
	nla_put_u32(m, IFLA_MTU, 9000);
	nla_put_u32(m, IFLA_MIN_MTU, 68);
	nla_put_u32(m, IFLA_MAX_MTU, 9600);
	nla_put_u32(m, IFLA_MASTER, 3);
	nla_put_u32(m, IFLA_LINK, 4);
	nla_put_u32(m, IFLA_TXQLEN, 1000);
	nla_put_u8(m, IFLA_OPERSTATE, IF_OPER_LOWERLAYERDOWN);
	nla_put_string(m, IFLA_IFALIAS, "rail 1");
	nla_put_string(m, IFLA_PARENT_DEV_NAME, "0000:8a:00.0");
	nla_put_u32(m, IFLA_GSO_MAX_SIZE, 65536);
	nla_put_u32(m, 64, 1234); /* IFLA_GRO_IPV4_MAX_SIZE */
	nla_put_u8(m, 67, 1);     /* IFLA_NETNS_IMMUTABLE */
	nla_put_u32(m, 200, 1);   /* of a future kernel */
	struct nlattr *nest = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, "vlan");
	nla_nest_end(m, nest);
	assert_int_equal(parse_link(m, &l), 0);
	assert_int_equal(l.ifindex, 7);
	assert_string_equal(l.ifname, "eth0");
	assert_string_equal(l.kind, "vlan");
	assert_string_equal(l.alias, "rail 1");
	assert_string_equal(l.parent, "0000:8a:00.0");
	assert_int_equal(l.mac.length, 6);
	assert_memory_equal(l.mac.bytes, mac, 6);
	assert_memory_equal(l.permanent_mac.bytes, permanent, 6);
	assert_int_equal(l.mtu, 9000);
	assert_int_equal(l.min_mtu, 68);
	assert_int_equal(l.max_mtu, 9600);
	assert_int_equal(l.master, 3);
	assert_int_equal(l.lower, 4);
	assert_int_equal(l.txqlen, 1000);
	assert_int_equal(l.sizes.gso_max, 65536);
	assert_int_equal(l.sizes.gro_ipv4_max, 1234);
	assert_true(l.fixed);
	assert_string_equal(link_operstate(l.operstate), "lower-layer-down");
	assert_true(l.flags & IFF_UP);
}

static void link_without_anything_is_hardware(void **state)
{
	(void)state;
	struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	struct link l;
	nla_put_string(m, IFLA_IFNAME, "eth0");
	assert_int_equal(parse_link(m, &l), 0);
	assert_string_equal(l.kind, "device");
	assert_false(l.fixed);
	assert_int_equal(l.mac.length, 0);
	assert_int_equal(l.lower, 0);
}

/* Three bytes in some drivers, eight in others; 32 is the kernel's limit. */
static void switch_ids_are_hexadecimal(void **state)
{
	(void)state;
	static const uint8_t id[33] = {0x0c, 0x42, 0xa1, 0xff};
	static const struct {
		int len;
		const char *text;
	} rows[] = {
	    {4, "0c42a1ff"}, {1, "0c"}, {0, ""}, {32, "0c42a1ff00000000000000000000000000000000000000000000000000000000"}, {33, ""}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct link l;
		struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
		nla_put_string(m, IFLA_IFNAME, "eth0");
		nla_put(m, IFLA_PHYS_SWITCH_ID, rows[i].len, id);
		assert_int_equal(parse_link(m, &l), 0);
		assert_string_equal(l.switch_id, rows[i].text);
	}
}

static void representors_are_known_by_their_port(void **state)
{
	(void)state;
	static const struct {
		const char *port;
		bool representor;
	} rows[] = {{"p0", false},    {"pf0", false},     {"p0s1", false},   {"n3", false},    {"", false},
	            {"pf0vf3", true}, {"c1pf0vf3", true}, {"pf0sf88", true}, {"pf0hpf", true}, {"pf1s0", false}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct link l;
		struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
		nla_put_string(m, IFLA_IFNAME, "eth0");
		nla_put_string(m, IFLA_PHYS_PORT_NAME, rows[i].port);
		assert_int_equal(parse_link(m, &l), 0);
		assert_int_equal(l.representor, rows[i].representor);
	}
}

static void lower_in_another_namespace_is_none(void **state)
{
	(void)state;
	struct link l;
	struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	nla_put_string(m, IFLA_IFNAME, "eth0");
	nla_put_u32(m, IFLA_LINK, 4);
	nla_put_s32(m, IFLA_LINK_NETNSID, 0);
	assert_int_equal(parse_link(m, &l), 0);
	assert_int_equal(l.lower, 0);
	m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	nla_put_string(m, IFLA_IFNAME, "eth0");
	nla_put_u32(m, IFLA_LINK, 7); /* itself */
	assert_int_equal(parse_link(m, &l), 0);
	assert_int_equal(l.lower, 0);
}

static void messages_about_something_else(void **state)
{
	(void)state;
	struct link l = {.mtu = 77};
	struct nl_msg *m = link_message(RTM_DELLINK, AF_BRIDGE, 7); /* a port left its bridge */
	nla_put_string(m, IFLA_IFNAME, "eth0");
	assert_int_equal(parse_link(m, &l), -ENOMSG);
	m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	nla_put_string(m, IFLA_IFNAME, "wlan0");
	nla_put(m, IFLA_WIRELESS, 4, "\0\0\0");
	assert_int_equal(parse_link(m, &l), -ENOMSG);
	assert_int_equal(parse_link(link_message(RTM_NEWADDR, AF_UNSPEC, 7), &l), -ENOMSG);
	assert_int_equal(l.mtu, 77);
}

static void malformed_links(void **state)
{
	(void)state;
	struct link l = {.mtu = 77};
	static const uint8_t unterminated[4] = {'e', 't', 'h', '0'};
	struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	assert_int_equal(parse_link(m, &l), -EBADMSG); /* no name */
	for (int32_t ifindex = -1; ifindex <= 0; ifindex++) {
		m = link_message(RTM_NEWLINK, AF_UNSPEC, ifindex);
		nla_put_string(m, IFLA_IFNAME, "eth0");
		assert_int_equal(parse_link(m, &l), -EBADMSG);
	}
	m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	nla_put(m, IFLA_IFNAME, sizeof(unterminated), unterminated);
	assert_int_equal(parse_link(m, &l), -EBADMSG);
	m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	nla_put_string(m, IFLA_IFNAME, "a-name-of-sixteen");
	assert_int_equal(parse_link(m, &l), -EBADMSG);
	m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	nla_put_string(m, IFLA_IFNAME, "eth0");
	nla_put_u8(m, IFLA_MTU, 1);
	assert_int_equal(parse_link(m, &l), -EBADMSG);
	uint8_t header[4] = {0};
	assert_int_equal(parse_link(message(RTM_NEWLINK, header, sizeof(header)), &l), -EBADMSG);
	assert_int_equal(l.mtu, 77);
}

static void long_texts_are_cut(void **state)
{
	(void)state;
	char alias[256];
	struct link l;
	struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	memset(alias, 'x', sizeof(alias) - 1);
	alias[sizeof(alias) - 1] = '\0';
	nla_put_string(m, IFLA_IFNAME, "eth0");
	nla_put_string(m, IFLA_IFALIAS, alias);
	assert_int_equal(parse_link(m, &l), 0);
	assert_int_equal(strlen(l.alias), 64);
}

static void encapsulations_have_names(void **state)
{
	(void)state;
	static const struct {
		uint16_t hardware;
		const char *name;
	} rows[] = {
	    {ARPHRD_ETHER, "ether"}, {ARPHRD_INFINIBAND, "infiniband"}, {ARPHRD_NONE, "none"}, {ARPHRD_SIT, "sit"}, {4242, "unknown4242"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[32];
		link_encapsulation(rows[i].hardware, text, sizeof(text));
		assert_string_equal(text, rows[i].name);
	}
	assert_string_equal(link_operstate(99), "unknown");
	assert_string_equal(link_type("tun"), "tuntap");
	assert_string_equal(link_type("device"), "device");
}

static void only_what_differs_is_asked(void **state)
{
	(void)state;
	struct link have = {.ifindex = 7, .mtu = 1500, .sizes = {.gso_max = 65536, .gso_ipv4_max = 65536}, .ifname = "eth0"};
	struct link_wish wish = {.ifname = "eth0", .mtu = 1500, .sizes = have.sizes};
	struct nl_msg *m = link_message(RTM_NEWLINK, AF_UNSPEC, 7);
	bool any = true;
	assert_true(link_wish_put(m, &have, &wish, &any));
	assert_false(any);
	wish.mtu = 1400;
	wish.sizes.gso_max = 1000;
	assert_true(link_wish_put(m, &have, &wish, &any));
	assert_true(any);
	assert_non_null(nlmsg_find_attr(nlmsg_hdr(m), sizeof(struct ifinfomsg), IFLA_MTU));
	assert_null(nlmsg_find_attr(nlmsg_hdr(m), sizeof(struct ifinfomsg), IFLA_IFNAME));
	/* The kernel lowers the IPv4 size with the general one: it must be said although it does not differ yet. */
	assert_non_null(nlmsg_find_attr(nlmsg_hdr(m), sizeof(struct ifinfomsg), 63));
	nlmsg_free(m);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------- */

static int parse_address(struct nl_msg *m, struct address_message *ret)
{
	int r = address_parse(nlmsg_hdr(m), ret);
	nlmsg_free(m);
	return r;
}

static struct nl_msg *address_of(uint8_t family, uint8_t length, uint8_t flags)
{
	struct ifaddrmsg info = {
	    .ifa_family = family, .ifa_prefixlen = length, .ifa_flags = flags, .ifa_index = 7, .ifa_scope = RT_SCOPE_LINK};
	return message(RTM_NEWADDR, &info, sizeof(info));
}

static void address_is_read(void **state)
{
	(void)state;
	static const uint8_t local[4] = {10, 0, 0, 1}, peer[4] = {10, 0, 0, 2}, broadcast[4] = {10, 0, 0, 255};
	struct ifa_cacheinfo ci = {.ifa_valid = 600, .ifa_prefered = 300};
	struct address_message a;
	struct nl_msg *m = address_of(AF_INET, 24, 0);
	char text[IP_TEXT_MAX];
	nla_put(m, IFA_LOCAL, 4, local);
	nla_put(m, IFA_ADDRESS, 4, peer);
	nla_put(m, IFA_BROADCAST, 4, broadcast);
	nla_put_string(m, IFA_LABEL, "eth0:1");
	nla_put_u32(m, IFA_FLAGS, IFA_F_NOPREFIXROUTE);
	nla_put_u32(m, IFA_RT_PRIORITY, 50);
	nla_put(m, IFA_CACHEINFO, sizeof(ci), &ci);
	assert_int_equal(parse_address(m, &a), 0);
	assert_int_equal(a.ifindex, 7);
	ip_prefix_format(&a.address.prefix, text);
	assert_string_equal(text, "10.0.0.1/24");
	assert_memory_equal(a.address.peer.bytes, peer, 4);
	assert_memory_equal(a.address.broadcast.bytes, broadcast, 4);
	assert_string_equal(a.address.label, "eth0:1");
	assert_int_equal(a.address.scope, RT_SCOPE_LINK);
	assert_int_equal(a.address.flags, IFA_F_NOPREFIXROUTE);
	assert_int_equal(a.address.route_metric, 50);
	assert_int_equal(a.address.valid_lifetime, 600);
	assert_int_equal(a.address.preferred_lifetime, 300);
}

static void address_without_peer(void **state)
{
	(void)state;
	static const uint8_t v6[16] = {0xfd, [15] = 7};
	struct address_message a;
	struct nl_msg *m = address_of(AF_INET6, 64, IFA_F_PERMANENT);
	nla_put(m, IFA_ADDRESS, 16, v6);
	assert_int_equal(parse_address(m, &a), 0);
	assert_int_equal(a.address.peer.family, IP_NONE);
	assert_int_equal(a.address.prefix.address.family, IP_V6);
	assert_int_equal(a.address.flags, IFA_F_PERMANENT);
	assert_int_equal(a.address.valid_lifetime, UINT32_MAX);
	assert_int_equal(address_settable_flags(&a.address), 0);
}

static void malformed_addresses(void **state)
{
	(void)state;
	static const uint8_t bytes[16] = {10};
	struct address_message a = {.address = {.protocol = 9}};
	assert_int_equal(parse_address(address_of(AF_INET, 24, 0), &a), -EBADMSG); /* no address */
	struct nl_msg *m = address_of(AF_INET, 33, 0);
	nla_put(m, IFA_LOCAL, 4, bytes);
	assert_int_equal(parse_address(m, &a), -EBADMSG);
	m = address_of(AF_INET, 24, 0);
	nla_put(m, IFA_LOCAL, 16, bytes);
	assert_int_equal(parse_address(m, &a), -EBADMSG);
	m = address_of(AF_INET6, 129, 0);
	nla_put(m, IFA_ADDRESS, 16, bytes);
	assert_int_equal(parse_address(m, &a), -EBADMSG);
	m = address_of(AF_INET, 24, 0);
	nla_put(m, IFA_LOCAL, 4, bytes);
	nla_put(m, IFA_CACHEINFO, 4, bytes);
	assert_int_equal(parse_address(m, &a), -EBADMSG);
	assert_int_equal(parse_address(address_of(AF_PACKET, 24, 0), &a), -ENOMSG);
	assert_int_equal(a.address.protocol, 9);
}

static void kernel_made_addresses_are_known(void **state)
{
	(void)state;
	static const struct {
		const char *prefix;
		uint32_t flags;
		uint8_t protocol;
		bool made;
	} rows[] = {
	    {"fe80::ff:fe00:1/64", IFA_F_PERMANENT, 0, true}, /* of the MAC, an older kernel */
	    {"fe80::1/64", IFA_F_PERMANENT, 0, false},        /* a person's */
	    {"fe80::1/64", IFA_F_PERMANENT, 3, true},         /* IFAPROT_KERNEL_LL */
	    {"fe80::1/64", IFA_F_STABLE_PRIVACY, 0, true},    {"fd00::1/64", IFA_F_TEMPORARY, 0, true}, {"fd00::ff:fe00:1/64", 0, 0, false},
	    {"10.0.0.1/24", IFA_F_SECONDARY, 0, false}, /* the same bit as TEMPORARY */
	};
	struct mac mac = {.length = 6, .bytes = {2, 0, 0, 0, 0, 1}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address_message m = {.address = {.flags = rows[i].flags, .protocol = rows[i].protocol}};
		assert_int_equal(ip_prefix_parse(rows[i].prefix, &m.address.prefix), 0);
		assert_int_equal(address_is_kernel_made(&m, &mac), rows[i].made);
	}
}

/* ---- routes ---------------------------------------------------------------------------------------------------------------------- */

static int parse_route(struct nl_msg *m, struct route_message *ret)
{
	int r = route_parse(nlmsg_hdr(m), ret);
	nlmsg_free(m);
	return r;
}

static struct nl_msg *route_of(uint8_t family, uint8_t length, uint8_t protocol)
{
	struct rtmsg info = {.rtm_family = family,
	                     .rtm_dst_len = length,
	                     .rtm_table = RT_TABLE_MAIN,
	                     .rtm_protocol = protocol,
	                     .rtm_scope = RT_SCOPE_LINK,
	                     .rtm_type = RTN_UNICAST};
	return message(RTM_NEWROUTE, &info, sizeof(info));
}

static void route_is_read(void **state)
{
	(void)state;
	static const uint8_t destination[4] = {10, 1, 0, 0}, gateway[4] = {10, 0, 0, 1}, source[4] = {10, 0, 0, 2};
	struct route_message r;
	char text[128];
	struct nl_msg *m = route_of(AF_INET, 16, RTPROT_STATIC);
	nla_put(m, RTA_DST, 4, destination);
	nla_put(m, RTA_GATEWAY, 4, gateway);
	nla_put(m, RTA_PREFSRC, 4, source);
	nla_put_u32(m, RTA_OIF, 7);
	nla_put_u32(m, RTA_TABLE, 1000);
	nla_put_u32(m, RTA_PRIORITY, 50);
	assert_int_equal(parse_route(m, &r), 0);
	route_format(&r.route, text, sizeof(text));
	assert_string_equal(text, "10.1.0.0/16 via 10.0.0.1 table 1000");
	assert_int_equal(r.route.metric, 50);
	assert_int_equal(r.route.protocol, RTPROT_STATIC);
	assert_int_equal(r.n_oifs, 1);
	assert_int_equal(r.oifs[0], 7);
	assert_true(route_is_configured(&r));
	m = route_of(AF_INET, 16, RTPROT_KERNEL);
	nla_put(m, RTA_DST, 4, destination);
	nla_put_u32(m, RTA_OIF, 7);
	assert_int_equal(parse_route(m, &r), 0);
	assert_false(route_is_configured(&r));
}

static void next_hops_are_read(void **state)
{
	(void)state;
	struct route_message r;
	struct rtnexthop hops[3] = {
	    {.rtnh_len = 8, .rtnh_ifindex = 4}, {.rtnh_len = 8, .rtnh_ifindex = 5}, {.rtnh_len = 8, .rtnh_ifindex = 6}};
	struct nl_msg *m = route_of(AF_INET6, 0, RTPROT_STATIC);
	nla_put(m, RTA_MULTIPATH, sizeof(hops), hops);
	assert_int_equal(parse_route(m, &r), 0);
	assert_int_equal(r.n_oifs, 3);
	assert_int_equal(r.oifs[2], 6);
	assert_int_equal(r.route.n_hops, 3);
	assert_int_equal(r.route.hops[0].weight, 1);
	assert_false(route_is_through(&r, 4));
	static const uint16_t bad[] = {0, 7, 9, 60000};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		hops[2].rtnh_len = bad[i];
		m = route_of(AF_INET6, 0, RTPROT_STATIC);
		nla_put(m, RTA_MULTIPATH, sizeof(hops), hops);
		assert_int_equal(parse_route(m, &r), -EBADMSG);
	}
	struct rtnexthop many[ROUTE_NEXTHOPS_MAX + 3];
	for (size_t i = 0; i < ROUTE_NEXTHOPS_MAX + 3; i++)
		many[i] = (struct rtnexthop){.rtnh_len = 8, .rtnh_ifindex = (int)i + 1};
	m = route_of(AF_INET6, 0, RTPROT_STATIC);
	nla_put(m, RTA_MULTIPATH, sizeof(many), many);
	assert_int_equal(parse_route(m, &r), 0);
	assert_int_equal(r.n_oifs, ROUTE_NEXTHOPS_MAX);
	assert_int_equal(r.route.n_hops, ROUTE_HOPS_MAX);
	assert_true(r.partial);
	assert_false(route_is_configured(&r));
}

/* One next hop of a multipath route: its header, and a gateway behind it. */
static void put_hop(struct nl_msg *m, int32_t ifindex, uint8_t hops, uint8_t flags, int type, const void *data, int len)
{
	struct rtnexthop *hop = nlmsg_reserve(m, sizeof(*hop), NLMSG_ALIGNTO);
	assert_non_null(hop);
	*hop = (struct rtnexthop){.rtnh_ifindex = ifindex, .rtnh_hops = hops, .rtnh_flags = flags};
	assert_int_equal(nla_put(m, type, len, data), 0);
	hop->rtnh_len = (unsigned short)((char *)nlmsg_tail(nlmsg_hdr(m)) - (char *)hop);
}

static void gateways_are_read(void **state)
{
	(void)state;
	static const uint8_t gateway[4] = {10, 0, 0, 1}, via6[18] = {AF_INET6, 0, 0xfe, 0x80, [17] = 1},
			     via4[6] = {AF_INET, 0, 10, 0, 0, 1};
	struct route_message r;
	struct nl_msg *m = route_of(AF_INET, 0, RTPROT_STATIC);
	struct nlattr *nest = nla_nest_start(m, RTA_MULTIPATH);
	put_hop(m, 7, 0, 0, RTA_GATEWAY, gateway, 4);
	put_hop(m, 7, 4, RTNH_F_ONLINK | RTNH_F_LINKDOWN, RTA_VIA, via6, sizeof(via6));
	nla_nest_end(m, nest);
	assert_int_equal(parse_route(m, &r), 0);
	assert_true(route_is_configured(&r) && route_is_through(&r, 7));
	assert_int_equal(r.route.n_hops, 2);
	assert_int_equal(r.route.gateway.family, IP_NONE);
	assert_memory_equal(r.route.hops[0].gateway.bytes, gateway, 4);
	assert_int_equal(r.route.hops[1].gateway.family, IP_V6);
	assert_int_equal(r.route.hops[1].gateway.bytes[15], 1);
	assert_int_equal(r.route.hops[1].weight, 5);
	assert_int_equal(r.route.hops[1].flags, RTNH_F_ONLINK);

	/* Of two links' next hops each takes its own along. */
	m = route_of(AF_INET, 0, RTPROT_STATIC);
	nest = nla_nest_start(m, RTA_MULTIPATH);
	put_hop(m, 7, 0, 0, RTA_GATEWAY, gateway, 4);
	put_hop(m, 8, 4, RTNH_F_ONLINK, RTA_VIA, via6, sizeof(via6));
	put_hop(m, 7, 2, RTNH_F_ONLINK, RTA_VIA, via6, sizeof(via6));
	nla_nest_end(m, nest);
	assert_int_equal(parse_route(m, &r), 0);
	struct route_message other = r, none = r;
	assert_true(route_reduce(&r, 7));
	assert_true(route_is_through(&r, 7));
	assert_int_equal(r.route.n_hops, 2);
	assert_int_equal(r.route.hops[1].weight, 3);
	assert_true(route_reduce(&other, 8));
	assert_int_equal(other.n_oifs, 1);
	assert_int_equal(other.route.n_hops, 0);
	assert_int_equal(other.route.gateway.family, IP_V6);
	assert_int_equal(other.route.flags, RTNH_F_ONLINK);
	assert_false(route_reduce(&none, 9));
	assert_int_equal(none.n_oifs, 3);
	none.partial = true;
	assert_false(route_reduce(&none, 7));

	/* A single one is a route like any other. */
	m = route_of(AF_INET, 0, RTPROT_STATIC);
	nest = nla_nest_start(m, RTA_MULTIPATH);
	put_hop(m, 7, 0, RTNH_F_ONLINK, RTA_GATEWAY, gateway, 4);
	nla_nest_end(m, nest);
	assert_int_equal(parse_route(m, &r), 0);
	assert_int_equal(r.route.n_hops, 0);
	assert_int_equal(r.route.flags, RTNH_F_ONLINK);
	assert_memory_equal(r.route.gateway.bytes, gateway, 4);

	/* What cannot be said is not left out in silence. */
	m = route_of(AF_INET, 0, RTPROT_STATIC);
	nest = nla_nest_start(m, RTA_MULTIPATH);
	put_hop(m, 7, 0, 0, RTA_ENCAP, gateway, 4);
	nla_nest_end(m, nest);
	assert_int_equal(parse_route(m, &r), 0);
	assert_false(route_is_configured(&r));
	m = route_of(AF_INET, 0, RTPROT_STATIC);
	nla_put(m, RTA_VIA, sizeof(via4), via4);
	assert_int_equal(parse_route(m, &r), 0);
	assert_false(route_is_configured(&r));
	for (int cut = 1; cut < 18; cut++) {
		m = route_of(AF_INET, 0, RTPROT_STATIC);
		nla_put(m, RTA_VIA, 18 - cut, via6);
		assert_int_equal(parse_route(m, &r), -EBADMSG);
	}
}

static void metrics_are_read(void **state)
{
	(void)state;
	struct route_message r = {0};
	struct nl_msg *m = route_of(AF_INET, 0, RTPROT_STATIC);
	struct nlattr *nest = nla_nest_start(m, RTA_METRICS);
	nla_put_u32(m, RTAX_LOCK, 1 << RTAX_MTU);
	nla_put_u32(m, RTAX_MTU, 1300);
	nla_put_u32(m, RTAX_ADVMSS, 1200);
	nla_put_u32(m, RTAX_HOPLIMIT, 60);
	nla_put_u32(m, RTAX_INITCWND, 20);
	nla_put_u32(m, RTAX_INITRWND, 30);
	nla_put_string(m, RTAX_CC_ALGO, "cubic");
	nla_nest_end(m, nest);
	assert_int_equal(parse_route(m, &r), 0);
	assert_int_equal(r.route.locked, 1 << RTAX_MTU);
	assert_int_equal(r.route.mtu, 1300);
	assert_int_equal(r.route.advmss, 1200);
	assert_int_equal(r.route.hop_limit, 60);
	assert_int_equal(r.route.initial_cwnd, 20);
	assert_int_equal(r.route.initial_rwnd, 30);
	m = route_of(AF_INET, 0, RTPROT_STATIC);
	nest = nla_nest_start(m, RTA_METRICS);
	nla_put_u8(m, RTAX_MTU, 1);
	nla_nest_end(m, nest);
	assert_int_equal(parse_route(m, &r), -EBADMSG);
	assert_int_equal(r.route.mtu, 1300);
}

static void malformed_routes(void **state)
{
	(void)state;
	static const uint8_t bytes[16] = {0};
	struct route_message r = {.family = 9};
	assert_int_equal(parse_route(route_of(AF_INET, 33, 0), &r), -EBADMSG);
	assert_int_equal(parse_route(route_of(AF_PACKET, 0, 0), &r), -ENOMSG);
	struct nl_msg *m = route_of(AF_INET6, 64, 0);
	nla_put(m, RTA_DST, 4, bytes);
	assert_int_equal(parse_route(m, &r), -EBADMSG);
	m = route_of(AF_INET6, 64, 0);
	nla_put(m, RTA_OIF, 2, bytes);
	assert_int_equal(parse_route(m, &r), -EBADMSG);
	assert_int_equal(r.family, 9);
}

static void neighbours_are_read(void **state)
{
	(void)state;
	static const uint8_t ip[4] = {10, 0, 0, 1}, mac[6] = {2, 0, 0, 0, 0, 1};
	struct ndmsg info = {.ndm_family = AF_INET, .ndm_ifindex = 7, .ndm_state = NUD_PERMANENT};
	static const uint16_t states[] = {NUD_PERMANENT, NUD_REACHABLE, NUD_NOARP};
	for (size_t i = 0; i < 3; i++) {
		struct neighbour n;
		int32_t ifindex = 0;
		info.ndm_state = states[i];
		struct nl_msg *m = message(RTM_NEWNEIGH, &info, sizeof(info));
		nla_put(m, NDA_DST, 4, ip);
		nla_put(m, NDA_LLADDR, 6, mac);
		assert_int_equal(neighbour_parse(nlmsg_hdr(m), &ifindex, &n), i == 0 ? 0 : -ENOMSG);
		assert_int_equal(ifindex, i == 0 ? 7 : 0);
		nlmsg_free(m);
	}
}

/* ---- acknowledgements ------------------------------------------------------------------------------------------------------------ */

static void kernels_words_are_found(void **state)
{
	(void)state;
	char text[64];
	struct nlmsgerr err = {.error = -ENODEV, .msg = {.nlmsg_len = NLMSG_HDRLEN + 8}};
	uint8_t request[8] = {0};
	struct nl_msg *m = message(NLMSG_ERROR, &err, sizeof(err));
	assert_int_equal(nlmsg_append(m, request, sizeof(request), 0), 0); /* not capped: the request follows */
	nla_put_string(m, NLMSGERR_ATTR_MSG, "no such thing");
	nlmsg_hdr(m)->nlmsg_flags = NLM_F_ACK_TLVS;
	assert_int_equal(nlsock_status(nlmsg_hdr(m), text, sizeof(text)), -ENODEV);
	assert_string_equal(text, "no such thing");
	assert_int_equal(nlsock_status(nlmsg_hdr(m), text, 5), -ENODEV);
	assert_string_equal(text, "no s");
	nlmsg_free(m);

	int32_t codes[] = {0, -EINVAL, 5};
	int expected[] = {0, -EINVAL, -EBADMSG};
	for (size_t i = 0; i < 3; i++) {
		m = message(NLMSG_DONE, &codes[i], sizeof(codes[i]));
		assert_int_equal(nlsock_status(nlmsg_hdr(m), text, sizeof(text)), expected[i]);
		assert_string_equal(text, "");
		nlmsg_free(m);
	}
	m = message(NLMSG_ERROR, request, 4);
	assert_int_equal(nlsock_status(nlmsg_hdr(m), text, sizeof(text)), -EBADMSG);
	nlmsg_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(link_is_read),
	    cmocka_unit_test(link_without_anything_is_hardware),
	    cmocka_unit_test(switch_ids_are_hexadecimal),
	    cmocka_unit_test(representors_are_known_by_their_port),
	    cmocka_unit_test(lower_in_another_namespace_is_none),
	    cmocka_unit_test(messages_about_something_else),
	    cmocka_unit_test(malformed_links),
	    cmocka_unit_test(long_texts_are_cut),
	    cmocka_unit_test(encapsulations_have_names),
	    cmocka_unit_test(only_what_differs_is_asked),
	    cmocka_unit_test(address_is_read),
	    cmocka_unit_test(address_without_peer),
	    cmocka_unit_test(malformed_addresses),
	    cmocka_unit_test(kernel_made_addresses_are_known),
	    cmocka_unit_test(route_is_read),
	    cmocka_unit_test(next_hops_are_read),
	    cmocka_unit_test(gateways_are_read),
	    cmocka_unit_test(metrics_are_read),
	    cmocka_unit_test(malformed_routes),
	    cmocka_unit_test(neighbours_are_read),
	    cmocka_unit_test(kernels_words_are_found),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
