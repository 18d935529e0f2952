/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/link_state.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/devconf.h"

/* Of the others the kernel or the driver keeps account. PROMISC and ALLMULTI of a message are what a person asked for, without the
 * references that bridges and taps hold. */
enum { SETTABLE_FLAGS = IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST | IFF_NOARP | IFF_DEBUG | IFF_NOTRAILERS };

int bytes_add(struct bytes *b, const void *data, size_t n)
{
	if (n == 0)
		return 0;
	uint8_t *grown = realloc(b->data, b->n + n);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + b->n, data, n);
	*b = (struct bytes){grown, b->n + n};
	return 0;
}

const char *bytes_next(const struct bytes *list, const char *text)
{
	const char *first = (const char *)list->data, *next = text ? text + strlen(text) + 1 : first;
	/* The last byte of a list from disk need not be a NUL. */
	return list->n > 0 && next < first + list->n && memchr(next, 0, list->n - (size_t)(next - first)) ? next : NULL;
}

bool bytes_have(const struct bytes *list, const char *text)
{
	for (const char *t = NULL; (t = bytes_next(list, t));)
		if (str_equal(t, text))
			return true;
	return false;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static const struct nla_policy state_policy[IFLA_MAX + 1] = {
    [IFLA_GROUP] = {.type = NLA_U32},
    [IFLA_MASTER] = {.type = NLA_U32},
    [IFLA_QDISC] = {.type = NLA_STRING, .minlen = 1},
    [IFLA_IFALIAS] = {.type = NLA_STRING, .minlen = 1},
    [IFLA_PROP_LIST] = {.type = NLA_NESTED},
    [IFLA_AF_SPEC] = {.type = NLA_NESTED},
    [IFLA_XDP] = {.type = NLA_NESTED},
};
static const struct nla_policy xdp_policy[IFLA_XDP_MAX + 1] = {
    [IFLA_XDP_PROG_ID] = {.type = NLA_U32}, [IFLA_XDP_DRV_PROG_ID] = {.type = NLA_U32}, [IFLA_XDP_SKB_PROG_ID] = {.type = NLA_U32}};

static int take_altnames(struct nlattr *list, struct bytes *ret)
{
	struct nlattr *a;
	int left;
	nla_for_each_nested(a, list, left)
	{
		size_t n = (size_t)nla_len(a);
		const char *name = nla_data(a);
		if (nla_type(a) != IFLA_ALT_IFNAME)
			continue;
		if (n < 2 || memchr(name, 0, n) != name + n - 1 || ret->n + n > ALTNAMES_BYTES_MAX)
			return -EBADMSG;
		if (bytes_add(ret, name, n) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_values(const struct nlattr *a, struct bytes *ret)
{
	size_t n = (size_t)nla_len(a);
	return n % sizeof(int32_t) != 0 || n > DEVCONF_MAX * sizeof(int32_t) ? -EBADMSG : bytes_add(ret, nla_data(a), n);
}

static int take_families(struct nlattr *spec, struct host_state *state)
{
	struct nlattr *tb[AF_INET6 + 1], *inet[IFLA_INET_MAX + 1], *inet6[IFLA_INET6_MAX + 1];
	int r = 0;
	if (nla_parse_nested(tb, AF_INET6, spec, NULL) < 0)
		return -EBADMSG;
	if (tb[AF_INET]) {
		if (nla_parse_nested(inet, IFLA_INET_MAX, tb[AF_INET], NULL) < 0)
			return -EBADMSG;
		if (inet[IFLA_INET_CONF])
			r = take_values(inet[IFLA_INET_CONF], &state->ipv4);
	}
	if (r == 0 && tb[AF_INET6]) {
		if (nla_parse_nested(inet6, IFLA_INET6_MAX, tb[AF_INET6], NULL) < 0)
			return -EBADMSG;
		if (inet6[IFLA_INET6_CONF])
			r = take_values(inet6[IFLA_INET6_CONF], &state->ipv6);
	}
	return r;
}

int link_state_parse(const struct nlmsghdr *h, struct host_state *ret)
{
	struct nlattr *tb[IFLA_MAX + 1], *xdp[IFLA_XDP_MAX + 1];
	struct ifinfomsg info;
	if (h->nlmsg_type != RTM_NEWLINK)
		return -ENOMSG;
	if (nlmsg_parse((struct nlmsghdr *)h, sizeof(info), tb, IFLA_MAX, (struct nla_policy *)state_policy) < 0)
		return -EBADMSG;
	memcpy(&info, nlmsg_data(h), sizeof(info));
	struct host_state s = {.flags = info.ifi_flags & SETTABLE_FLAGS,
	                       .group = tb[IFLA_GROUP] ? nla_get_u32(tb[IFLA_GROUP]) : 0,
	                       .master = tb[IFLA_MASTER] ? (int32_t)nla_get_u32(tb[IFLA_MASTER]) : 0};
	int r = 0;
	if (tb[IFLA_QDISC])
		STR_CUT(s.qdisc, nla_data(tb[IFLA_QDISC]));
	if (tb[IFLA_XDP]) {
		if (nla_parse_nested(xdp, IFLA_XDP_MAX, tb[IFLA_XDP], (struct nla_policy *)xdp_policy) < 0)
			return -EBADMSG;
		/* With programs in several modes there is no general number. */
		struct nlattr *number = xdp[IFLA_XDP_PROG_ID]       ? xdp[IFLA_XDP_PROG_ID]
		                        : xdp[IFLA_XDP_DRV_PROG_ID] ? xdp[IFLA_XDP_DRV_PROG_ID]
		                                                    : xdp[IFLA_XDP_SKB_PROG_ID];
		s.xdp = number ? nla_get_u32(number) : 0;
	}
	if (tb[IFLA_IFALIAS]) {
		size_t n = strnlen(nla_data(tb[IFLA_IFALIAS]), (size_t)nla_len(tb[IFLA_IFALIAS]));
		r = n > ALIAS_BYTES_MAX ? -EBADMSG : bytes_add(&s.alias, nla_data(tb[IFLA_IFALIAS]), n);
	}
	if (r == 0 && tb[IFLA_PROP_LIST])
		r = take_altnames(tb[IFLA_PROP_LIST], &s.altnames);
	if (r == 0 && tb[IFLA_AF_SPEC])
		r = take_families(tb[IFLA_AF_SPEC], &s);
	if (r < 0) {
		host_state_free(&s);
		return r;
	}
	ret->flags = s.flags;
	ret->group = s.group;
	ret->master = s.master;
	ret->xdp = s.xdp;
	memcpy(ret->qdisc, s.qdisc, sizeof(s.qdisc));
	ret->alias = s.alias;
	ret->altnames = s.altnames;
	ret->ipv4 = s.ipv4;
	ret->ipv6 = s.ipv6;
	return 0;
}

struct both {
	struct link link;
	struct host_state state;
};

static int see_both(const struct nlmsghdr *h, void *user)
{
	struct both *b = user;
	host_state_free(&b->state);
	int r = link_parse(h, &b->link);
	return r < 0 ? r : link_state_parse(h, &b->state);
}

int link_state_get(struct nlsock *s, int32_t ifindex, struct link *link, struct host_state *state, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_GETLINK, ifindex, 0, 0);
	struct both b = {0};
	int r = nlsock_ask(s, m, see_both, &b, e);
	if (r == 0 && b.link.ifindex == 0)
		r = error_set(e, -EBADMSG, "the kernel acknowledged a question about a link without answering it");
	if (r < 0) {
		host_state_free(&b.state);
		return e ? error_prefix(e, "link %d", ifindex) : r;
	}
	*link = b.link;
	*state = b.state;
	return 0;
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

int link_state_restore_flags(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is, struct error *e)
{
	uint32_t changed = was->flags ^ is->flags;
	if (!changed)
		return 0;
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, was->flags & changed, changed);
	return nlsock_ask(s, m, NULL, NULL, e);
}

int link_state_restore_group(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is, struct error *e)
{
	if (was->group == is->group)
		return 0;
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, 0, 0);
	if (m && nla_put_u32(m, IFLA_GROUP, was->group) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}

int link_state_restore_alias(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is, struct error *e)
{
	if (was->alias.n == is->alias.n && (was->alias.n == 0 || memcmp(was->alias.data, is->alias.data, was->alias.n) == 0))
		return 0;
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, 0, 0);
	/* Without a NUL the kernel takes all of it; with no bytes it takes the alias away. */
	if (m && nla_put(m, IFLA_IFALIAS, (int)was->alias.n, was->alias.data) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}

int link_state_restore_addr_gen_mode(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is,
                                     struct error *e)
{
	int32_t old, now;
	if (!devconf_addr_gen_mode(was, &old) || !devconf_addr_gen_mode(is, &now) || old == now)
		return 0;
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, 0, 0);
	struct nlattr *spec = m ? nla_nest_start(m, IFLA_AF_SPEC) : NULL, *inet6 = spec ? nla_nest_start(m, AF_INET6) : NULL;
	if (m && (!inet6 || nla_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, (uint8_t)old) < 0))
		return error_set(e, -EMSGSIZE, "request too large");
	if (inet6) {
		nla_nest_end(m, inet6);
		nla_nest_end(m, spec);
	}
	return nlsock_ask(s, m, NULL, NULL, e);
}

int link_state_restore_xdp(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is, struct error *e)
{
	if (was->xdp == is->xdp)
		return 0;
	if (was->xdp)
		return error_set(e, -ENOENT, "XDP program %u is not there any more", was->xdp);
	static const uint32_t modes[] = {XDP_FLAGS_SKB_MODE, XDP_FLAGS_DRV_MODE};
	int result = 0;
	for (size_t i = 0; i < ELEMENTS(modes); i++) {
		_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, 0, 0);
		struct nlattr *nest = m ? nla_nest_start(m, IFLA_XDP) : NULL;
		if (m && (!nest || nla_put_s32(m, IFLA_XDP_FD, -1) < 0 || nla_put_u32(m, IFLA_XDP_FLAGS, modes[i]) < 0))
			return error_set(e, -EMSGSIZE, "request too large");
		if (nest)
			nla_nest_end(m, nest);
		int r = nlsock_ask(s, m, NULL, NULL, e);
		/* A driver without a mode has nothing in it. */
		result = r < 0 && r != -EOPNOTSUPP ? r : result;
	}
	return result;
}

/* The names of `list` that `except` (may be NULL) has not; one request each: a name that is refused must not cost the others. */
static int ask_altnames(struct nlsock *s, uint16_t type, int32_t ifindex, const struct bytes *list, const struct bytes *except,
                        struct error *e)
{
	int result = 0;
	for (const char *name = NULL; (name = bytes_next(list, name));) {
		if (except && bytes_have(except, name))
			continue;
		_cleanup_nlmsg_ struct nl_msg *m = link_request(type, ifindex, 0, 0);
		struct nlattr *nest = m ? nla_nest_start(m, IFLA_PROP_LIST | NLA_F_NESTED) : NULL;
		if (m && (!nest || nla_put_string(m, IFLA_ALT_IFNAME, name) < 0))
			return error_set(e, -EMSGSIZE, "request too large");
		if (nest)
			nla_nest_end(m, nest);
		if (m && type == RTM_NEWLINKPROP)
			nlmsg_hdr(m)->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND;
		int r = nlsock_ask(s, m, NULL, NULL, result == 0 ? e : NULL);
		if (r < 0 && result == 0) {
			result = r;
			if (e)
				error_prefix(e, "altname %s", name);
		}
	}
	return result;
}

int link_state_remove_altnames(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is,
                               struct error *e)
{
	return ask_altnames(s, RTM_DELLINKPROP, ifindex, &is->altnames, &was->altnames, e);
}

int link_state_add_altnames(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is, struct error *e)
{
	return ask_altnames(s, RTM_NEWLINKPROP, ifindex, &was->altnames, &is->altnames, e);
}

int link_altname_add(struct nlsock *s, int32_t ifindex, const char *name, struct error *e)
{
	const struct bytes one = {(uint8_t *)name, strlen(name) + 1};
	return ask_altnames(s, RTM_NEWLINKPROP, ifindex, &one, NULL, e);
}

int link_altnames_drop(struct nlsock *s, int32_t ifindex, struct error *e)
{
	struct host_state is = {0};
	struct link link;
	int r = link_state_get(s, ifindex, &link, &is, e);
	if (r < 0)
		return r;
	r = ask_altnames(s, RTM_DELLINKPROP, ifindex, &is.altnames, NULL, e);
	host_state_free(&is);
	return r;
}
