/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/vf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/link.h"
#include "netlink/sysfs.h"

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static const struct nla_policy vf_policy[IFLA_VF_MAX + 1] = {
    [IFLA_VF_MAC] = {.minlen = sizeof(struct ifla_vf_mac)},
    [IFLA_VF_VLAN] = {.minlen = sizeof(struct ifla_vf_vlan)},
    [IFLA_VF_SPOOFCHK] = {.minlen = sizeof(struct ifla_vf_spoofchk)},
    [IFLA_VF_LINK_STATE] = {.minlen = sizeof(struct ifla_vf_link_state)},
    [IFLA_VF_RATE] = {.minlen = sizeof(struct ifla_vf_rate)},
    [IFLA_VF_RSS_QUERY_EN] = {.minlen = sizeof(struct ifla_vf_rss_query_en)},
    [IFLA_VF_TRUST] = {.minlen = sizeof(struct ifla_vf_trust)},
    [IFLA_VF_VLAN_LIST] = {.type = NLA_NESTED},
};

/* spoofchk, trust and the like: all are a VF's number and a setting, of which -1 stands for "the driver does not say". */
static int8_t take_setting(const struct nlattr *a)
{
	struct ifla_vf_spoofchk s;
	if (!a)
		return -1;
	memcpy(&s, nla_data(a), sizeof(s));
	return s.setting <= INT8_MAX ? (int8_t)s.setting : -1;
}

static void take_vlan(struct nlattr *const *tb, struct vf_settings *v)
{
	struct ifla_vf_vlan vlan;
	struct ifla_vf_vlan_info info;
	if (tb[IFLA_VF_VLAN]) {
		memcpy(&vlan, nla_data(tb[IFLA_VF_VLAN]), sizeof(vlan));
		v->vlan = vlan.vlan;
		v->qos = vlan.qos;
		v->vlan_protocol = ETH_P_8021Q;
	}
	/* One entry: a list for the day when there are more. */
	struct nlattr *entry =
	    tb[IFLA_VF_VLAN_LIST] ? nla_find(nla_data(tb[IFLA_VF_VLAN_LIST]), nla_len(tb[IFLA_VF_VLAN_LIST]), IFLA_VF_VLAN_INFO) : NULL;
	if (entry && nla_len(entry) >= (int)sizeof(info)) {
		memcpy(&info, nla_data(entry), sizeof(info));
		v->vlan = info.vlan;
		v->qos = info.qos;
		v->vlan_protocol = ntohs(info.vlan_proto);
	}
}

static int take_vf(struct nlattr *a, uint32_t index, struct vf_settings *ret)
{
	static const uint8_t none[6];
	struct nlattr *tb[IFLA_VF_MAX + 1];
	struct ifla_vf_mac mac;
	struct ifla_vf_rate rate;
	if (nla_parse_nested(tb, IFLA_VF_MAX, a, (struct nla_policy *)vf_policy) < 0 || !tb[IFLA_VF_MAC])
		return -EBADMSG;
	memcpy(&mac, nla_data(tb[IFLA_VF_MAC]), sizeof(mac));
	if (mac.vf != index)
		return -ENOENT;
	struct vf_settings v = {.known = true,
	                        .index = index,
	                        .spoofchk = take_setting(tb[IFLA_VF_SPOOFCHK]),
	                        .trust = take_setting(tb[IFLA_VF_TRUST]),
	                        .rss_query = take_setting(tb[IFLA_VF_RSS_QUERY_EN]),
	                        .link_state = take_setting(tb[IFLA_VF_LINK_STATE])};
	if (memcmp(mac.mac, none, sizeof(none)) != 0) {
		v.mac.length = sizeof(none);
		memcpy(v.mac.bytes, mac.mac, sizeof(none));
	}
	take_vlan(tb, &v);
	if (tb[IFLA_VF_RATE]) {
		memcpy(&rate, nla_data(tb[IFLA_VF_RATE]), sizeof(rate));
		v.min_rate = rate.min_tx_rate;
		v.max_rate = rate.max_tx_rate;
	}
	*ret = v;
	return 0;
}

int vf_parse(const struct nlmsghdr *h, uint32_t index, struct vf_settings *ret)
{
	static const struct nla_policy policy[IFLA_MAX + 1] = {[IFLA_VFINFO_LIST] = {.type = NLA_NESTED}};
	struct nlattr *tb[IFLA_MAX + 1], *a;
	int left;
	if (h->nlmsg_type != RTM_NEWLINK ||
	    nlmsg_parse((struct nlmsghdr *)h, sizeof(struct ifinfomsg), tb, IFLA_MAX, (struct nla_policy *)policy) < 0)
		return -EBADMSG;
	if (!tb[IFLA_VFINFO_LIST])
		return -ENOENT;
	nla_for_each_nested(a, tb[IFLA_VFINFO_LIST], left)
	{
		int r = nla_type(a) == IFLA_VF_INFO ? take_vf(a, index, ret) : -ENOENT;
		if (r != -ENOENT)
			return r;
	}
	return -ENOENT;
}

struct question {
	uint32_t index;
	struct vf_settings answer;
	int32_t pf_ifindex;
};

static int see_pf(const struct nlmsghdr *h, void *user)
{
	struct question *q = user;
	struct link pf;
	int r = link_parse(h, &pf);
	if (r < 0)
		return r;
	q->pf_ifindex = pf.ifindex;
	return vf_parse(h, q->index, &q->answer);
}

int vf_get(struct nlsock *s, const struct sysfs *sysfs, const char *ifname, struct vf_settings *ret, struct error *e)
{
	char pf[IFNAME_SIZE];
	struct question q = {0};
	int r = sysfs_netdev_vf(sysfs, ifname, pf, &q.index);
	if (r < 0)
		return error_set(e, r, "%s is no VF", ifname);
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_GETLINK, 0, 0, 0);
	if (m && (nla_put_string(m, IFLA_IFNAME, pf) < 0 || nla_put_u32(m, IFLA_EXT_MASK, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS) < 0))
		return error_set(e, -EMSGSIZE, "request too large");
	r = nlsock_ask(s, m, see_pf, &q, e);
	if (r < 0)
		return e ? error_prefix(e, "settings of VF %" PRIu32 " of %s", q.index, pf) : r;
	*ret = q.answer;
	ret->pf_ifindex = q.pf_ifindex;
	memcpy(ret->pf, pf, sizeof(pf));
	return 0;
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

enum { VF_SET_MAC, VF_SET_VLAN, VF_SET_RATE, VF_SET_FIRST_NUMBER };

static const struct {
	const char *name;
	int attribute;
	size_t offset; /* int8_t */
} numbers[] = {
    {"spoofchk", IFLA_VF_SPOOFCHK, offsetof(struct vf_settings, spoofchk)},
    {"trust", IFLA_VF_TRUST, offsetof(struct vf_settings, trust)},
    {"query_rss", IFLA_VF_RSS_QUERY_EN, offsetof(struct vf_settings, rss_query)},
    {"link-state", IFLA_VF_LINK_STATE, offsetof(struct vf_settings, link_state)},
};

static int8_t number_of(const struct vf_settings *v, size_t i)
{
	return *((const int8_t *)v + numbers[i].offset);
}

static bool put_mac(struct nl_msg *m, const struct vf_settings *v)
{
	struct ifla_vf_mac mac = {.vf = v->index};
	memcpy(mac.mac, v->mac.bytes, 6);
	return nla_put(m, IFLA_VF_MAC, sizeof(mac), &mac) == 0;
}

/* 802.1ad only in the newer form, 802.1Q in the one that every driver takes. */
static bool put_vlan(struct nl_msg *m, const struct vf_settings *v)
{
	const struct ifla_vf_vlan vlan = {.vf = v->index, .vlan = v->vlan, .qos = v->qos};
	if (v->vlan_protocol != ETH_P_8021AD)
		return nla_put(m, IFLA_VF_VLAN, sizeof(vlan), &vlan) == 0;
	struct ifla_vf_vlan_info info = {.vf = v->index, .vlan = v->vlan, .qos = v->qos, .vlan_proto = htons(ETH_P_8021AD)};
	struct nlattr *list = nla_nest_start(m, IFLA_VF_VLAN_LIST);
	if (!list || nla_put(m, IFLA_VF_VLAN_INFO, sizeof(info), &info) < 0)
		return false;
	nla_nest_end(m, list);
	return true;
}

static bool put_rate(struct nl_msg *m, const struct vf_settings *v)
{
	const struct ifla_vf_rate rate = {.vf = v->index, .min_tx_rate = v->min_rate, .max_tx_rate = v->max_rate};
	return nla_put(m, IFLA_VF_RATE, sizeof(rate), &rate) == 0;
}

static bool put_number(struct nl_msg *m, const struct vf_settings *v, size_t i)
{
	const struct ifla_vf_spoofchk s = {.vf = v->index, .setting = (uint32_t)number_of(v, i)};
	return nla_put(m, numbers[i].attribute, sizeof(s), &s) == 0;
}

static bool vlan_differs(const struct vf_settings *a, const struct vf_settings *b)
{
	return a->vlan != b->vlan || a->qos != b->qos || (a->vlan > 0 && a->vlan_protocol != b->vlan_protocol);
}

static bool rate_differs(const struct vf_settings *a, const struct vf_settings *b)
{
	return a->min_rate != b->min_rate || a->max_rate != b->max_rate;
}

static bool setting_differs(const struct vf_settings *was, const struct vf_settings *is, size_t i)
{
	switch (i) {
	case VF_SET_MAC:
		return !mac_equal(&was->mac, &is->mac);
	case VF_SET_VLAN:
		return vlan_differs(was, is);
	case VF_SET_RATE:
		return rate_differs(was, is);
	}
	i -= VF_SET_FIRST_NUMBER;
	return i < ELEMENTS(numbers) && number_of(was, i) >= 0 && number_of(was, i) != number_of(is, i);
}

struct nl_msg *vf_request(const struct vf_settings *was, const struct vf_settings *is, size_t i)
{
	if (!was->known || !is->known || !setting_differs(was, is, i))
		return NULL;
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, is->pf_ifindex, 0, 0);
	struct nlattr *list = m ? nla_nest_start(m, IFLA_VFINFO_LIST) : NULL, *info = list ? nla_nest_start(m, IFLA_VF_INFO) : NULL;
	if (!info)
		return NULL;
	bool ok = i == VF_SET_MAC    ? put_mac(m, was)
	          : i == VF_SET_VLAN ? put_vlan(m, was)
	          : i == VF_SET_RATE ? put_rate(m, was)
	                             : put_number(m, was, i - VF_SET_FIRST_NUMBER);
	if (!ok)
		return NULL;
	nla_nest_end(m, info);
	nla_nest_end(m, list);
	return TAKE_PTR(m);
}

void vf_wish(const struct vf_settings *is, const struct vf_config *config, const struct mac *mac, struct vf_settings *ret)
{
	*ret = *is;
	if (mac->length == VF_MAC_LENGTH)
		ret->mac = *mac;
	if (config->has_vlan) {
		ret->vlan = config->vlan;
		ret->qos = config->has_qos ? config->qos : 0;
		ret->vlan_protocol = config->vlan_protocol ? config->vlan_protocol : ETH_P_8021Q;
	}
	if (config->has_min_rate)
		ret->min_rate = config->min_rate;
	if (config->has_max_rate)
		ret->max_rate = config->max_rate;
	if (config->has_spoofchk)
		ret->spoofchk = config->spoofchk;
	if (config->has_trust)
		ret->trust = config->trust;
}

enum { PATIENCE_STEP_MS = 50, PATIENCE_STEPS = 40 };

/* The driver answers EAGAIN while it resets the VF, as it does after some settings. `*patience`: how often it is asked again. */
static int ask_patiently(struct nlsock *s, struct nl_msg *m, int *patience, struct error *e)
{
	int r;
	while ((r = nlsock_ask(s, m, NULL, NULL, e)) == -EAGAIN && *patience > 0) {
		--*patience;
		nanosleep(&(struct timespec){.tv_nsec = PATIENCE_STEP_MS * 1000000L}, NULL);
		*e = (struct error){0};
	}
	return r;
}

int vf_set(struct nlsock *s, const struct vf_settings *wanted, const struct vf_settings *is, bool *ret_mac, struct error *e)
{
	static const char *const keys[VF_REQUESTS] = {"hardwareAddr", "vf.vlan", "vf.minTxRate, vf.maxTxRate", "vf.spoofCheck", "vf.trust"};
	int patience = PATIENCE_STEPS;
	*ret_mac = true;
	for (size_t i = 0; i < VF_REQUESTS; i++) {
		_cleanup_nlmsg_ struct nl_msg *m = vf_request(wanted, is, i);
		struct error ours = {0};
		int r = m ? ask_patiently(s, m, &patience, &ours) : 0;
		if (r == -EOPNOTSUPP && i == VF_SET_MAC)
			*ret_mac = false;
		else if (r < 0)
			return error_set(e, r, "interface.%s: %s refuses it for its VF %" PRIu32 ": %s", keys[i], is->pf, is->index,
			                 ours.text);
	}
	return 0;
}

void vf_restore(struct nlsock *s, const struct vf_settings *was, const struct vf_settings *is, struct error *e)
{
	int patience = PATIENCE_STEPS;
	for (size_t i = 0; i < VF_REQUESTS; i++) {
		_cleanup_nlmsg_ struct nl_msg *m = vf_request(was, is, i);
		struct error ours = {0};
		if (m && ask_patiently(s, m, &patience, &ours) < 0 && (!e || e->code == 0))
			error_set(e, ours.code, "VF %" PRIu32 " of %s: %s", was->index, is->pf, ours.text);
	}
}

void vf_compare(const struct vf_settings *was, const struct vf_settings *is,
                void (*differs)(const char *name, const char *is, const char *was, void *user), void *user)
{
	char a[64], b[64];
	if (!was->known)
		return;
	if (!is->known) {
		differs("settings of the VF", "unknown", "known", user);
		return;
	}
	if (setting_differs(was, is, VF_SET_MAC)) {
		mac_format(&is->mac, a);
		mac_format(&was->mac, b);
		differs("mac of the VF", a, b, user);
	}
	if (vlan_differs(was, is)) {
		snprintf(a, sizeof(a), "%" PRIu32 " qos %" PRIu32 " protocol %04" PRIx32, is->vlan, is->qos, is->vlan_protocol);
		snprintf(b, sizeof(b), "%" PRIu32 " qos %" PRIu32 " protocol %04" PRIx32, was->vlan, was->qos, was->vlan_protocol);
		differs("vlan of the VF", a, b, user);
	}
	if (rate_differs(was, is)) {
		snprintf(a, sizeof(a), "%" PRIu32 "..%" PRIu32, is->min_rate, is->max_rate);
		snprintf(b, sizeof(b), "%" PRIu32 "..%" PRIu32, was->min_rate, was->max_rate);
		differs("rate of the VF", a, b, user);
	}
	for (size_t i = 0; i < ELEMENTS(numbers); i++)
		if (setting_differs(was, is, VF_SET_FIRST_NUMBER + i)) {
			char name[32];
			snprintf(name, sizeof(name), "%s of the VF", numbers[i].name);
			snprintf(a, sizeof(a), "%d", number_of(is, i));
			snprintf(b, sizeof(b), "%d", number_of(was, i));
			differs(name, a, b, user);
		}
}
