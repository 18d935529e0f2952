/* SPDX-License-Identifier: Apache-2.0 */
/* The parsers of what a link loses on its way, each over messages built here; and what is sent back. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "netlink/devconf.h"
#include "netlink/features.h"
#include "netlink/kept_internal.h"
#include "netlink/link_state.h"
#include "netlink/sysfs.h"
#include "netlink/vf.h"
#include "sysfs_fixture.h"

static struct nl_msg *link_message(int32_t ifindex, uint32_t flags)
{
	struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, flags, 0);
	assert_non_null(m);
	return m;
}

/* ---- link_state ------------------------------------------------------------------------------------------------------------------ */

static void link_state_is_read(void **state)
{
	(void)state;
	_cleanup_nlmsg_ struct nl_msg *m = link_message(7, IFF_UP | IFF_RUNNING | IFF_PROMISC | IFF_NOARP);
	const int32_t values4[] = {1, 0, 7}, values6[] = {0, 64};
	nla_put_u32(m, IFLA_GROUP, 9);
	nla_put_u32(m, IFLA_MASTER, 3);
	nla_put_string(m, IFLA_QDISC, "fq");
	nla_put(m, IFLA_IFALIAS, 3, "\xff\x01"); /* any bytes */
	struct nlattr *list = nla_nest_start(m, IFLA_PROP_LIST);
	nla_put_string(m, IFLA_ALT_IFNAME, "rail-one");
	nla_put_u32(m, 77, 1); /* of a future kernel */
	nla_put_string(m, IFLA_ALT_IFNAME, "rail-two");
	nla_nest_end(m, list);
	struct nlattr *spec = nla_nest_start(m, IFLA_AF_SPEC), *inet = nla_nest_start(m, AF_INET);
	nla_put(m, IFLA_INET_CONF, sizeof(values4), values4);
	nla_nest_end(m, inet);
	inet = nla_nest_start(m, AF_INET6);
	nla_put(m, IFLA_INET6_CONF, sizeof(values6), values6);
	nla_nest_end(m, inet);
	nla_nest_end(m, spec);
	struct nlattr *xdp = nla_nest_start(m, IFLA_XDP);
	nla_put_u32(m, IFLA_XDP_PROG_ID, 33);
	nla_nest_end(m, xdp);

	struct host_state s = {0};
	assert_int_equal(link_state_parse(nlmsg_hdr(m), &s), 0);
	assert_int_equal(s.flags, IFF_PROMISC | IFF_NOARP);
	assert_int_equal(s.group, 9);
	assert_int_equal(s.master, 3);
	assert_int_equal(s.xdp, 33);
	assert_string_equal(s.qdisc, "fq");
	assert_int_equal(s.alias.n, 2);
	assert_memory_equal(s.alias.data, "\xff\x01", 2);
	assert_true(bytes_have(&s.altnames, "rail-one") && bytes_have(&s.altnames, "rail-two"));
	assert_false(bytes_have(&s.altnames, "rail"));
	assert_int_equal(s.ipv4.n, sizeof(values4));
	assert_int_equal(s.ipv6.n, sizeof(values6));
	host_state_free(&s);
}

static void malformed_link_states(void **state)
{
	(void)state;
	static const char unterminated[] = {'r', 'a', 'i', 'l'};
	struct host_state s = {.group = 77};
	for (int i = 0; i < 5; i++) {
		_cleanup_nlmsg_ struct nl_msg *m = link_message(7, 0);
		struct nlattr *nest = nla_nest_start(m, i < 2 ? IFLA_PROP_LIST : i < 4 ? IFLA_AF_SPEC : IFLA_XDP);
		if (i == 0)
			nla_put(m, IFLA_ALT_IFNAME, sizeof(unterminated), unterminated);
		if (i == 1)
			nla_put(m, IFLA_ALT_IFNAME, 6, "a\0b\0c"); /* a name in a name */
		if (i == 2 || i == 3) {
			struct nlattr *inet = nla_nest_start(m, AF_INET);
			static const int32_t many[DEVCONF_MAX + 1];
			nla_put(m, IFLA_INET_CONF, i == 2 ? 7 : sizeof(many), many);
			nla_nest_end(m, inet);
		}
		if (i == 4)
			nla_put_u8(m, IFLA_XDP_PROG_ID, 1);
		nla_nest_end(m, nest);
		assert_int_equal(link_state_parse(nlmsg_hdr(m), &s), -EBADMSG);
	}
	_cleanup_nlmsg_ struct nl_msg *other = link_request(RTM_DELLINK, 7, 0, 0);
	assert_int_equal(link_state_parse(nlmsg_hdr(other), &s), -ENOMSG);
	assert_int_equal(s.group, 77);
	assert_null(s.altnames.data);
}

static void list_from_disk_need_not_end(void **state)
{
	(void)state;
	const struct bytes list = {(uint8_t *)"one\0two", 7}; /* without the last NUL */
	const char *first = bytes_next(&list, NULL);
	assert_string_equal(first, "one");
	assert_null(bytes_next(&list, first));
	assert_null(bytes_next(&(struct bytes){0}, NULL));
}

/* ---- sysctls --------------------------------------------------------------------------------------------------------------------- */

struct told {
	char text[256];
};
static void tell(const char *name, const char *is, const char *was, void *user)
{
	struct told *t = user;
	size_t n = strlen(t->text);
	snprintf(t->text + n, sizeof(t->text) - n, "%s %s %s;", name, is, was);
}

static void sysctls_are_compared(void **state)
{
	(void)state;
	int32_t was4[] = {1, 1, 0}, is4[] = {0, 0, 0}, was6[9] = {[3] = 2, [8] = 7000}, is6[9] = {[3] = 1, [8] = 4000};
	struct told t = {0};
	struct host_state was = {.ipv4 = {(uint8_t *)was4, sizeof(was4)}, .ipv6 = {(uint8_t *)was6, sizeof(was6)}},
			  is = {.ipv4 = {(uint8_t *)is4, sizeof(is4)}, .ipv6 = {(uint8_t *)is6, sizeof(is6)}};
	static char more_was[] = "ipv6.regen_min_advance=5\0ipv6.stable_secret=2001:db8::1\0ipv6.future=1\0../../x=1",
		    more_is[] = "ipv6.regen_min_advance=2";
	was.more_sysctls = (struct bytes){(uint8_t *)more_was, sizeof(more_was)};
	is.more_sysctls = (struct bytes){(uint8_t *)more_is, sizeof(more_is)};
	devconf_compare(&was, &is, tell, &t);
	/* mc_forwarding is the kernel's; times are in the unit of the file */
	assert_string_equal(t.text, "ipv4.forwarding 0 1;ipv6.accept_ra 1 2;ipv6.router_solicitation_interval 4 7;"
	                            "ipv6.stable_secret not set set;ipv6.regen_min_advance 2 5;");
	/* A secret is never told, neither of them. */
	static char secret_is[] = "ipv6.stable_secret=2001:db8::2";
	struct host_state only_secrets_was = {.more_sysctls = was.more_sysctls},
			  only_secrets_is = {.more_sysctls = {(uint8_t *)secret_is, sizeof(secret_is)}};
	t.text[0] = '\0';
	devconf_compare(&only_secrets_was, &only_secrets_is, tell, &t);
	assert_string_equal(t.text, "ipv6.stable_secret another set;ipv6.regen_min_advance not set 5;");
	/* A kernel that tells fewer values: only what both tell is compared. */
	t.text[0] = '\0';
	is.ipv4.n = 0;
	is.ipv6.n = 4 * sizeof(int32_t) + 1;
	was.more_sysctls.n = 0;
	devconf_compare(&was, &is, tell, &t);
	assert_string_equal(t.text, "ipv6.accept_ra 1 2;");
}

/* ---- features -------------------------------------------------------------------------------------------------------------------- */

static void put_bitset(struct nl_msg *m, int type, uint32_t bits, const uint32_t *words, size_t n)
{
	struct nlattr *nest = nla_nest_start(m, type);
	nla_put_u32(m, ETHTOOL_A_BITSET_SIZE, bits);
	nla_put(m, ETHTOOL_A_BITSET_VALUE, (int)(n * sizeof(*words)), words);
	nla_nest_end(m, nest);
}

static void features_are_read(void **state)
{
	(void)state;
	const struct genlmsghdr header = {.cmd = ETHTOOL_MSG_FEATURES_GET_REPLY};
	const uint32_t changeable[] = {0xff, 1}, wanted[] = {0x0f, 0};
	struct bytes b = {0};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(20, 0, &header, sizeof(header));
	put_bitset(m, ETHTOOL_A_FEATURES_HW, 59, changeable, 2);
	put_bitset(m, ETHTOOL_A_FEATURES_WANTED, 59, wanted, 2);
	assert_int_equal(features_parse(nlmsg_hdr(m), &b), 0);
	assert_int_equal(b.n, 4 * sizeof(uint32_t));
	assert_memory_equal(b.data, changeable, sizeof(changeable));
	assert_memory_equal(b.data + sizeof(changeable), wanted, sizeof(wanted));
	free(b.data);

	const struct {
		uint32_t bits;
		size_t n, n_wanted;
	} bad[] = {{59, 1, 2}, {59, 2, 1}, {0, 2, 2}, {BITSET_WORDS_MAX * 32 + 1, 2, 2}, {UINT32_MAX, 2, 2}};
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		struct bytes untouched = {0};
		_cleanup_nlmsg_ struct nl_msg *x = nlsock_request(20, 0, &header, sizeof(header));
		put_bitset(x, ETHTOOL_A_FEATURES_HW, bad[i].bits, changeable, bad[i].n);
		put_bitset(x, ETHTOOL_A_FEATURES_WANTED, bad[i].bits, wanted, bad[i].n_wanted);
		assert_int_equal(features_parse(nlmsg_hdr(x), &untouched), -EBADMSG);
		assert_null(untouched.data);
	}
}

/* ---- kept objects ---------------------------------------------------------------------------------------------------------------- */

static const struct mac own_mac = {6, {2, 0, 0, 0, 0, 1}};

static struct nl_msg *route_message(uint8_t protocol, uint32_t oif)
{
	static const uint8_t network[4] = {10, 7, 0, 0};
	const struct rtmsg info = {.rtm_family = AF_INET,
	                           .rtm_dst_len = 16,
	                           .rtm_table = RT_TABLE_MAIN,
	                           .rtm_protocol = protocol,
	                           .rtm_type = RTN_UNICAST,
	                           .rtm_flags = RTNH_F_LINKDOWN | RTNH_F_DEAD | RTNH_F_ONLINK};
	struct nl_msg *m = nlsock_request(RTM_NEWROUTE, NLM_F_MULTI, &info, sizeof(info));
	nla_put(m, RTA_DST, 4, network);
	if (oif)
		nla_put_u32(m, RTA_OIF, oif);
	return m;
}

static void kept_routes_are_clean(void **state)
{
	(void)state;
	const struct kept_owner owner = {7, "nic0", &own_mac, NULL, 0};
	const struct rta_cacheinfo account = {.rta_clntref = 3, .rta_expires = 12345};
	struct bytes objects = {0};
	_cleanup_nlmsg_ struct nl_msg *m = route_message(RTPROT_STATIC, 7);
	nla_put(m, RTA_CACHEINFO, sizeof(account), &account);
	nla_put_u32(m, 60, 1); /* of a future kernel: it will know what it said */
	assert_int_equal(kept_take(nlmsg_hdr(m), &owner, &objects), 0);
	struct nlmsghdr *kept = kept_next(&objects, NULL);
	assert_non_null(kept);
	assert_null(kept_next(&objects, kept));
	assert_int_equal(((struct rtmsg *)nlmsg_data(kept))->rtm_flags, RTNH_F_ONLINK);
	assert_null(nlmsg_find_attr(kept, sizeof(struct rtmsg), RTA_CACHEINFO));
	assert_non_null(nlmsg_find_attr(kept, sizeof(struct rtmsg), 60));
	assert_int_equal(nla_get_u32(nlmsg_find_attr(kept, sizeof(struct rtmsg), RTA_EXPIRES)), 123);
	assert_int_equal(kept_kind(kept, 7), KEPT_ROUTE4);
	assert_int_equal(kept_kind(kept, 8), KEPT_ROUTE4 | KEPT_FOREIGN_ROUTE4);
	char text[64];
	kept_format(kept, text, sizeof(text));
	assert_string_equal(text, "route 10.7.0.0/16");
	kept_rename(kept, 7, 9);
	assert_int_equal(nla_get_u32(nlmsg_find_attr(kept, sizeof(struct rtmsg), RTA_OIF)), 9);
	free(objects.data);
}

static void others_routes_are_not_kept(void **state)
{
	(void)state;
	struct address address = {0};
	static const uint8_t source[4] = {10, 5, 0, 2}, another[4] = {10, 5, 0, 3};
	assert_int_equal(ip_prefix_parse("10.5.0.2/24", &address.prefix), 0);
	const struct kept_owner owner = {7, "nic0", &own_mac, &address, 1};
	const struct {
		uint8_t protocol;
		uint32_t oif;
		const uint8_t *source;
		int result;
	} rows[] = {
	    {RTPROT_BOOT, 7, NULL, 0},          {RTPROT_BOOT, 8, NULL, -ENOMSG},     {RTPROT_BOOT, 8, source, 0},
	    {RTPROT_BOOT, 8, another, -ENOMSG}, {RTPROT_KERNEL, 7, source, 0},       {RTPROT_KERNEL, 8, source, -ENOMSG},
	    {RTPROT_RA, 7, NULL, -ENOMSG},      {RTPROT_REDIRECT, 7, NULL, -ENOMSG},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct bytes objects = {0};
		_cleanup_nlmsg_ struct nl_msg *m = route_message(rows[i].protocol, rows[i].oif);
		if (rows[i].source)
			nla_put(m, RTA_PREFSRC, 4, rows[i].source);
		assert_int_equal(kept_take(nlmsg_hdr(m), &owner, &objects), rows[i].result);
		free(objects.data);
	}
}

static void multipath_is_kept_and_renamed(void **state)
{
	(void)state;
	const struct kept_owner owner = {7, "nic0", &own_mac, NULL, 0};
	struct rtnexthop hops[] = {{.rtnh_len = 8, .rtnh_ifindex = 5, .rtnh_flags = RTNH_F_LINKDOWN},
	                           {.rtnh_len = 8, .rtnh_ifindex = 7, .rtnh_hops = 2, .rtnh_flags = RTNH_F_DEAD | RTNH_F_ONLINK}};
	for (int i = 0; i < 4; i++) {
		struct bytes objects = {0};
		_cleanup_nlmsg_ struct nl_msg *m = route_message(RTPROT_STATIC, 0);
		hops[1].rtnh_len = i == 0 ? 8 : i == 1 ? 12 : i == 2 ? 4 : 0; /* right; longer than there is; shorter than itself */
		nla_put(m, RTA_MULTIPATH, sizeof(hops), hops);
		int r = kept_take(nlmsg_hdr(m), &owner, &objects);
		assert_int_equal(r, i == 0 ? 0 : -ENOMSG);
		if (i == 0) {
			struct nlmsghdr *kept = kept_next(&objects, NULL);
			kept_rename(kept, 7, 9);
			struct rtnexthop *back = nla_data(nlmsg_find_attr(kept, sizeof(struct rtmsg), RTA_MULTIPATH));
			assert_int_equal(back[0].rtnh_ifindex, 5);
			assert_int_equal(back[0].rtnh_flags, 0);
			assert_int_equal(back[1].rtnh_ifindex, 9);
			assert_int_equal(back[1].rtnh_flags, RTNH_F_ONLINK);
			assert_int_equal(back[1].rtnh_hops, 2);
		}
		free(objects.data);
	}
}

static void rules_and_neighbours_are_kept_by_name_and_state(void **state)
{
	(void)state;
	const struct kept_owner owner = {7, "nic0", &own_mac, NULL, 0};
	static const uint8_t ip[4] = {10, 5, 0, 9}, group[6] = {0x33, 0x33}, other[6] = {2, 0, 0, 0, 0, 9};
	struct bytes objects = {0};
	for (int i = 0; i < 2; i++) {
		const struct fib_rule_hdr rule = {
		    .family = AF_INET, .action = FR_ACT_TO_TBL, .flags = FIB_RULE_INVERT | FIB_RULE_IIF_DETACHED};
		_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWRULE, 0, &rule, sizeof(rule));
		nla_put_string(m, FRA_IIFNAME, i ? "nic01" : "nic0");
		assert_int_equal(kept_take(nlmsg_hdr(m), &owner, &objects), i ? -ENOMSG : 0);
	}
	assert_int_equal(((struct fib_rule_hdr *)nlmsg_data(kept_next(&objects, NULL)))->flags, FIB_RULE_INVERT);
	const struct {
		uint8_t family, flags;
		uint16_t state;
		int32_t ifindex;
		const uint8_t *mac;
		int result;
	} rows[] = {
	    {AF_INET, 0, NUD_PERMANENT, 7, other, 0},
	    {AF_INET, NTF_ROUTER, NUD_PERMANENT, 7, other, 0},
	    {AF_INET, 0, NUD_REACHABLE, 7, other, -ENOMSG},
	    {AF_INET, 0, NUD_PERMANENT, 8, other, -ENOMSG},
	    {AF_INET, NTF_PROXY, 0, 7, NULL, 0},
	    {AF_BRIDGE, NTF_SELF, NUD_PERMANENT, 7, other, 0},
	    {AF_BRIDGE, NTF_SELF, NUD_PERMANENT, 7, group, -ENOMSG},
	    {AF_BRIDGE, NTF_MASTER, NUD_PERMANENT, 7, own_mac.bytes, -ENOMSG},
	    {AF_BRIDGE, NTF_MASTER, NUD_REACHABLE, 7, other, -ENOMSG},
	    {AF_BRIDGE, NTF_MASTER | NTF_EXT_LEARNED, NUD_NOARP, 7, other, -ENOMSG},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		const struct ndmsg info = {
		    .ndm_family = rows[i].family, .ndm_flags = rows[i].flags, .ndm_state = rows[i].state, .ndm_ifindex = rows[i].ifindex};
		_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWNEIGH, 0, &info, sizeof(info));
		if (rows[i].family == AF_INET)
			nla_put(m, NDA_DST, 4, ip);
		if (rows[i].mac)
			nla_put(m, NDA_LLADDR, 6, rows[i].mac);
		assert_int_equal(kept_take(nlmsg_hdr(m), &owner, &objects), rows[i].result);
	}
	assert_int_equal(kept_kinds(&objects, 7), KEPT_RULE | KEPT_NEIGHBOUR | KEPT_PROXY | KEPT_FDB);
	free(objects.data);
}

/* A record may hold anything. */
static void kept_objects_from_disk_are_walked_safely(void **state)
{
	(void)state;
	const struct kept_owner owner = {7, "nic0", &own_mac, NULL, 0};
	struct bytes objects = {0};
	_cleanup_nlmsg_ struct nl_msg *m = route_message(RTPROT_STATIC, 7);
	assert_int_equal(kept_take(nlmsg_hdr(m), &owner, &objects), 0);
	assert_int_equal(kept_take(nlmsg_hdr(m), &owner, &objects), 0);
	for (size_t cut = 0; cut < objects.n; cut++) {
		/* Its own allocation, so that a step too far is seen. */
		struct bytes half = {cut ? malloc(cut) : NULL, cut};
		if (cut)
			memcpy(half.data, objects.data, cut);
		size_t n = 0;
		for (struct nlmsghdr *h = NULL; (h = kept_next(&half, h));)
			n++;
		assert_int_equal(n, cut >= objects.n / 2);
		free(half.data);
	}
	((struct nlmsghdr *)(void *)objects.data)->nlmsg_type = RTM_SETLINK;
	assert_int_equal(kept_kind(kept_next(&objects, NULL), 7), 0);
	free(objects.data);
}

/* ---- VFs ------------------------------------------------------------------------------------------------------------------------- */

static void put_vf(struct nl_msg *m, uint32_t vf, uint8_t last)
{
	struct nlattr *info = nla_nest_start(m, IFLA_VF_INFO);
	const struct ifla_vf_mac mac = {vf, {2, 0, 0, 0, 0, last}};
	const struct ifla_vf_vlan vlan = {vf, 100, 5};
	const struct ifla_vf_vlan_info vlan_info = {vf, 100, 5, htons(ETH_P_8021AD)};
	const struct ifla_vf_rate rate = {vf, 10, 1000};
	const struct ifla_vf_spoofchk spoofchk = {vf, 1}, unknown = {vf, UINT32_MAX};
	nla_put(m, IFLA_VF_MAC, sizeof(mac), &mac);
	nla_put(m, IFLA_VF_VLAN, sizeof(vlan), &vlan);
	nla_put(m, IFLA_VF_RATE, sizeof(rate), &rate);
	nla_put(m, IFLA_VF_SPOOFCHK, sizeof(spoofchk), &spoofchk);
	nla_put(m, IFLA_VF_TRUST, sizeof(unknown), &unknown);
	struct nlattr *list = nla_nest_start(m, IFLA_VF_VLAN_LIST);
	nla_put(m, IFLA_VF_VLAN_INFO, sizeof(vlan_info), &vlan_info);
	nla_nest_end(m, list);
	nla_nest_end(m, info);
}

static void vf_settings_are_read(void **state)
{
	(void)state;
	_cleanup_nlmsg_ struct nl_msg *m = link_message(3, 0);
	struct vf_settings v = {0};
	nla_put_string(m, IFLA_IFNAME, "pf0");
	struct nlattr *list = nla_nest_start(m, IFLA_VFINFO_LIST);
	for (uint32_t i = 0; i < 3; i++)
		put_vf(m, i, (uint8_t)(16 + i));
	nla_nest_end(m, list);
	assert_int_equal(vf_parse(nlmsg_hdr(m), 3, &v), -ENOENT);
	assert_int_equal(vf_parse(nlmsg_hdr(m), 2, &v), 0);
	assert_true(v.known);
	assert_int_equal(v.index, 2);
	assert_int_equal(v.mac.bytes[5], 18);
	assert_int_equal(v.vlan, 100);
	assert_int_equal(v.qos, 5);
	assert_int_equal(v.vlan_protocol, ETH_P_8021AD);
	assert_int_equal(v.min_rate, 10);
	assert_int_equal(v.max_rate, 1000);
	assert_int_equal(v.spoofchk, 1);
	assert_int_equal(v.trust, -1);      /* the driver does not know */
	assert_int_equal(v.link_state, -1); /* nor say */

	_cleanup_nlmsg_ struct nl_msg *none = link_message(3, 0), *bad = link_message(3, 0);
	assert_int_equal(vf_parse(nlmsg_hdr(none), 0, &v), -ENOENT);
	list = nla_nest_start(bad, IFLA_VFINFO_LIST);
	struct nlattr *info = nla_nest_start(bad, IFLA_VF_INFO);
	nla_put_u32(bad, IFLA_VF_MAC, 0);
	nla_nest_end(bad, info);
	nla_nest_end(bad, list);
	assert_int_equal(vf_parse(nlmsg_hdr(bad), 0, &v), -EBADMSG);
}

static void vf_settings_are_put_back_one_by_one(void **state)
{
	(void)state;
	struct vf_settings was = {.known = true,
	                          .index = 2,
	                          .mac = own_mac,
	                          .vlan = 100,
	                          .vlan_protocol = ETH_P_8021Q,
	                          .max_rate = 1000,
	                          .spoofchk = 1,
	                          .trust = -1,
	                          .rss_query = 0,
	                          .link_state = 2},
			   is = was, back = {0};
	struct told t = {0};
	is.pf_ifindex = 3;
	for (size_t i = 0; i < VF_REQUESTS; i++)
		assert_null(vf_request(&was, &is, i));
	is.mac = (struct mac){0};
	is.vlan = 0;
	is.max_rate = 5;
	is.spoofchk = 0;
	is.trust = 1; /* was not known: left */
	is.link_state = 0;
	size_t requests = 0;
	for (size_t i = 0; i < VF_REQUESTS; i++) {
		_cleanup_nlmsg_ struct nl_msg *m = vf_request(&was, &is, i);
		if (!m)
			continue;
		requests++;
		assert_int_equal(((struct ifinfomsg *)nlmsg_data(nlmsg_hdr(m)))->ifi_index, 3);
		if (i == 0) { /* the one that names the VF as the kernel's answer does */
			assert_int_equal(vf_parse(nlmsg_hdr(m), 2, &back), 0);
			assert_true(mac_equal(&back.mac, &own_mac));
		}
	}
	assert_int_equal(requests, 5);
	vf_compare(&was, &is, tell, &t);
	assert_string_equal(t.text, "mac of the VF  02:00:00:00:00:01;vlan of the VF 0 qos 0 protocol 8100 100 qos 0 protocol 8100;"
	                            "rate of the VF 0..5 0..1000;spoofchk of the VF 0 1;link-state of the VF 0 2;");
}

static void vf_is_found_on_its_pf(void **state)
{
	(void)state;
	struct machine m;
	char pf[IFNAME_SIZE] = "?";
	uint32_t index = 99;
	machine_init(&m);
	machine_run("cd %s && for f in 0000:8a:00.0 0000:8a:00.2 0000:8a:00.3; do mkdir -p devices/pci0000:80/$f/net && ln -s "
	            "../../../devices/pci0000:80/$f bus/pci/devices/$f; done",
	            m.root);
	machine_run(
	    "cd %s/devices/pci0000:80 && ln -s ../0000:8a:00.2 0000:8a:00.0/virtfn0 && ln -s ../0000:8a:00.3 0000:8a:00.0/virtfn1 && "
	    "ln -s ../0000:8a:00.0 0000:8a:00.2/physfn && ln -s ../0000:8a:00.0 0000:8a:00.3/physfn",
	    m.root);
	machine_run("cd %s && for x in 0/eth0_rep 0/pf0 3/vf1; do mkdir devices/pci0000:80/0000:8a:00.${x%%%%/*}/net/${x#*/} && ln -s "
	            "../../devices/pci0000:80/0000:8a:00.${x%%%%/*}/net/${x#*/} class/net/${x#*/}; done",
	            m.root);
	machine_write(&m, "class/net/eth0_rep/phys_port_name", "pf0vf1"); /* a representor: first by name, and not it */
	machine_write(&m, "class/net/pf0/phys_port_name", "p0");
	assert_int_equal(sysfs_netdev_vf(m.sysfs, "vf1", pf, &index), 0);
	assert_string_equal(pf, "pf0");
	assert_int_equal(index, 1);
	assert_int_equal(sysfs_netdev_vf(m.sysfs, "pf0", pf, &index), -ENOENT);
	assert_int_equal(sysfs_netdev_vf(m.sysfs, "nowhere", pf, &index), -ENOENT);
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(link_state_is_read),
	    cmocka_unit_test(malformed_link_states),
	    cmocka_unit_test(list_from_disk_need_not_end),
	    cmocka_unit_test(sysctls_are_compared),
	    cmocka_unit_test(features_are_read),
	    cmocka_unit_test(kept_routes_are_clean),
	    cmocka_unit_test(others_routes_are_not_kept),
	    cmocka_unit_test(multipath_is_kept_and_renamed),
	    cmocka_unit_test(rules_and_neighbours_are_kept_by_name_and_state),
	    cmocka_unit_test(kept_objects_from_disk_are_walked_safely),
	    cmocka_unit_test(vf_settings_are_read),
	    cmocka_unit_test(vf_settings_are_put_back_one_by_one),
	    cmocka_unit_test(vf_is_found_on_its_pf),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
