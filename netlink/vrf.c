/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/vrf.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "core/base/str.h"

static const struct nla_policy vrf_policy[IFLA_VRF_MAX + 1] = {[IFLA_VRF_TABLE] = {.type = NLA_U32}};

static int take_table(struct nlattr *info, uint32_t *ret)
{
	struct nlattr *tb[IFLA_INFO_MAX + 1], *data[IFLA_VRF_MAX + 1];
	if (!info || nla_parse_nested(tb, IFLA_INFO_MAX, info, NULL) < 0 || !tb[IFLA_INFO_DATA] ||
	    nla_parse_nested(data, IFLA_VRF_MAX, tb[IFLA_INFO_DATA], (struct nla_policy *)vrf_policy) < 0 || !data[IFLA_VRF_TABLE])
		return -EBADMSG;
	*ret = nla_get_u32(data[IFLA_VRF_TABLE]);
	return 0;
}

int vrf_parse(const struct nlmsghdr *h, struct vrf *ret)
{
	struct vrf v = {0};
	int r = link_parse(h, &v.link);
	if (r < 0)
		return r;
	struct nlattr *group = nlmsg_find_attr((struct nlmsghdr *)h, sizeof(struct ifinfomsg), IFLA_GROUP);
	if (group && nla_len(group) == (int)sizeof(uint32_t))
		v.group = nla_get_u32(group);
	if (str_equal(v.link.kind, "vrf"))
		r = take_table(nlmsg_find_attr((struct nlmsghdr *)h, sizeof(struct ifinfomsg), IFLA_LINKINFO), &v.table);
	if (r == 0)
		*ret = v;
	return r;
}

static int see_vrf(const struct nlmsghdr *h, void *user)
{
	return vrf_parse(h, user);
}

static int vrf_get(struct nlsock *pod, const char *name, struct vrf *ret, struct error *e)
{
	struct vrf v = {0};
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_GETLINK, 0, 0, 0);
	if (m && nla_put_string(m, IFLA_IFNAME, name) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	int r = nlsock_ask(pod, m, see_vrf, &v, e);
	if (r == 0)
		*ret = v;
	return r;
}

static int vrf_create(struct nlsock *pod, const char *name, uint32_t table, struct error *e)
{
	struct ifinfomsg info = {.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof(info));
	bool ok = m && nla_put_string(m, IFLA_IFNAME, name) == 0 && nla_put_u32(m, IFLA_GROUP, VRF_GROUP) == 0;
	struct nlattr *nest = ok ? nla_nest_start(m, IFLA_LINKINFO) : NULL, *data = NULL;
	ok = nest && nla_put_string(m, IFLA_INFO_KIND, "vrf") == 0 && (data = nla_nest_start(m, IFLA_INFO_DATA)) &&
	     nla_put_u32(m, IFLA_VRF_TABLE, table) == 0;
	if (!ok)
		return error_set(e, -ENOMEM, "out of memory");
	nla_nest_end(m, data);
	nla_nest_end(m, nest);
	return nlsock_ask(pod, m, NULL, NULL, e);
}

int vrf_make(struct nlsock *pod, const struct network_config *c, struct error *e)
{
	const char *name = c->vrf_name;
	struct error ours = {0};
	struct vrf v = {0};
	if (!name[0])
		return 0;
	int r = vrf_get(pod, name, &v, &ours);
	if (r == -ENODEV) {
		ours = (struct error){0};
		r = vrf_create(pod, name, c->vrf_table, &ours);
		if (r == -EOPNOTSUPP)
			return error_set(e, r, "interface.vrf: cannot make %s: this kernel has no VRF", name);
		return r < 0 ? error_set(e, r, "interface.vrf: cannot make %s with table %u: %s", name, c->vrf_table, ours.text) : 0;
	}
	if (r < 0)
		return error_set(e, r, "interface.vrf: cannot look for %s in the pod: %s", name, ours.text);
	if (!str_equal(v.link.kind, "vrf"))
		return error_set(e, -EEXIST, "interface.vrf: the pod has a link %s, and it is no VRF but of kind %s", name, v.link.kind);
	if (v.table != c->vrf_table)
		return error_set(e, -EEXIST, "interface.vrf: the pod has a VRF %s, with table %u and not %u", name, v.table, c->vrf_table);
	r = v.link.flags & IFF_UP ? 0 : link_set_up(pod, v.link.ifindex, true, e);
	return r < 0 && e ? error_prefix(e, "interface.vrf: cannot bring %s up", name) : r;
}

int vrf_join(struct nlsock *pod, const struct network_config *c, const struct link *l, struct error *e)
{
	struct vrf v = {0};
	if (!c->vrf_name[0])
		return 0;
	int r = vrf_get(pod, c->vrf_name, &v, e);
	if (r == 0 && l->master != v.link.ifindex)
		r = link_set_master(pod, l->ifindex, v.link.ifindex, e);
	return r < 0 && e ? error_prefix(e, "interface.vrf: cannot put %s into %s", l->ifname, c->vrf_name) : r;
}

struct member_search {
	int32_t vrf;
	bool found;
};

static int see_member(const struct nlmsghdr *h, void *user)
{
	struct member_search *q = user;
	struct link l;
	if (h && link_parse(h, &l) == 0)
		q->found |= l.master == q->vrf;
	return 0;
}

void vrf_unmake(struct nlsock *pod, const struct network_config *c)
{
	struct vrf v = {0};
	if (!c->vrf_name[0] || vrf_get(pod, c->vrf_name, &v, NULL) < 0 || !str_equal(v.link.kind, "vrf") || v.group != VRF_GROUP ||
	    v.table != c->vrf_table)
		return;
	struct member_search q = {.vrf = v.link.ifindex};
	_cleanup_nlmsg_ struct nl_msg *members = link_dump_request();
	if (!members || nla_put_u32(members, IFLA_MASTER, (uint32_t)v.link.ifindex) < 0)
		return;
	if (nlsock_dump(pod, members, see_member, &q, NULL) < 0 || q.found)
		return;
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_DELLINK, v.link.ifindex, 0, 0);
	(void)nlsock_ask(pod, m, NULL, NULL, NULL);
}
