/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/address.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/attribute.h"

enum { ADDRESS_ATTRIBUTE_MAX = IFA_PROTO };

static const struct nla_policy address_policy[ADDRESS_ATTRIBUTE_MAX + 1] = {
    [IFA_LABEL] = {.type = NLA_STRING, .minlen = 1, .maxlen = IFNAME_SIZE},
    [IFA_CACHEINFO] = {.minlen = sizeof(struct ifa_cacheinfo)},
    [IFA_FLAGS] = {.type = NLA_U32},
    [IFA_RT_PRIORITY] = {.type = NLA_U32},
    [IFA_PROTO] = {.type = NLA_U8},
};

int address_parse(const struct nlmsghdr *h, struct address_message *ret)
{
	struct nlattr *tb[ADDRESS_ATTRIBUTE_MAX + 1];
	struct ifaddrmsg info;
	if (h->nlmsg_type != RTM_NEWADDR && h->nlmsg_type != RTM_DELADDR)
		return -ENOMSG;
	if (nlmsg_parse((struct nlmsghdr *)h, sizeof(info), tb, ADDRESS_ATTRIBUTE_MAX, (struct nla_policy *)address_policy) < 0)
		return -EBADMSG;
	memcpy(&info, nlmsg_data(h), sizeof(info));
	if (info.ifa_family != AF_INET && info.ifa_family != AF_INET6)
		return -ENOMSG;

	uint8_t family = info.ifa_family == AF_INET ? IP_V4 : IP_V6;
	struct ip_address local = {0}, remote = {0};
	struct address_message m = {.ifindex = (int32_t)info.ifa_index,
	                            .address = {.flags = tb[IFA_FLAGS] ? nla_get_u32(tb[IFA_FLAGS]) : info.ifa_flags,
	                                        .scope = info.ifa_scope,
	                                        .valid_lifetime = UINT32_MAX,
	                                        .preferred_lifetime = UINT32_MAX,
	                                        .route_metric = tb[IFA_RT_PRIORITY] ? nla_get_u32(tb[IFA_RT_PRIORITY]) : 0,
	                                        .protocol = tb[IFA_PROTO] ? nla_get_u8(tb[IFA_PROTO]) : 0}};
	if (m.ifindex <= 0 || info.ifa_prefixlen > 8 * attribute_ip_length(family) || !attribute_take_ip(tb[IFA_LOCAL], family, &local) ||
	    !attribute_take_ip(tb[IFA_ADDRESS], family, &remote) || !attribute_take_ip(tb[IFA_BROADCAST], family, &m.address.broadcast))
		return -EBADMSG;
	/* LOCAL is ours and ADDRESS the peer's, but IPv6 says LOCAL only when there is a peer. */
	if (local.family == IP_NONE)
		local = remote;
	else if (remote.family != IP_NONE && !ip_address_equal(&local, &remote))
		m.address.peer = remote;
	if (local.family == IP_NONE)
		return -EBADMSG;
	m.address.prefix = (struct ip_prefix){.address = local, .length = info.ifa_prefixlen};
	if (tb[IFA_LABEL] && STR_COPY(m.address.label, nla_data(tb[IFA_LABEL])) < 0)
		return -EBADMSG;
	if (tb[IFA_CACHEINFO]) {
		struct ifa_cacheinfo ci;
		memcpy(&ci, nla_data(tb[IFA_CACHEINFO]), sizeof(ci));
		m.address.valid_lifetime = ci.ifa_valid;
		m.address.preferred_lifetime = ci.ifa_prefered;
	}
	/* Of an IPv4 address that stays for ever the kernel tells no lifetimes; only this shows that it is not preferred. */
	if ((m.address.flags & IFA_F_DEPRECATED) && m.address.preferred_lifetime == UINT32_MAX)
		m.address.preferred_lifetime = 0;
	*ret = m;
	return 0;
}

static bool is_link_local(const struct ip_address *a)
{
	return a->family == IP_V6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* The interface identifier of RFC 4291 appendix A, which the kernel derives link-local addresses from by default. */
static bool is_eui64(const struct ip_address *a, const struct mac *mac)
{
	const uint8_t *m = mac->bytes, *id = a->bytes + 8;
	if (mac->length == 6)
		return id[0] == (m[0] ^ 2) && id[1] == m[1] && id[2] == m[2] && id[3] == 0xff && id[4] == 0xfe && id[5] == m[3] &&
		       id[6] == m[4] && id[7] == m[5];
	if (mac->length == 20) /* IPoIB: the port GUID */
		return id[0] == (m[12] | 2) && memcmp(id + 1, m + 13, 7) == 0;
	return false;
}

bool address_is_kernel_made(const struct address_message *m, const struct mac *mac)
{
	const struct address *a = &m->address;
	if (a->prefix.address.family != IP_V6)
		return false;
	if (a->flags & IFA_F_TEMPORARY)
		return true;
	if (!is_link_local(&a->prefix.address))
		return false;
	/* Kernels before 5.18 do not say who made an address; then its form tells. */
	return a->protocol == IFAPROT_KERNEL_LL || (a->flags & IFA_F_STABLE_PRIVACY) || is_eui64(&a->prefix.address, mac);
}

uint32_t address_settable_flags(const struct address *a)
{
	uint32_t mask = IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;
	if (a->prefix.address.family == IP_V6)
		mask |= IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR;
	return a->flags & mask;
}

void address_set_broadcast(struct address *a)
{
	unsigned host_bits = 32u - a->prefix.length;
	if (a->prefix.address.family != IP_V4 || a->prefix.length >= 31 || a->broadcast.family != IP_NONE || a->peer.family != IP_NONE)
		return;
	a->broadcast = a->prefix.address;
	for (unsigned bit = 0; bit < host_bits; bit++)
		a->broadcast.bytes[3 - bit / 8] |= (uint8_t)(1u << bit % 8);
}

void address_list_free(struct address_list *l)
{
	free(l->v);
	*l = (struct address_list){0};
}

struct nl_msg *address_dump_request(uint8_t family, int32_t ifindex)
{
	struct ifaddrmsg info = {.ifa_family = family, .ifa_index = (uint32_t)ifindex};
	return nlsock_request(RTM_GETADDR, 0, &info, sizeof(info));
}

struct address_filter {
	struct address_list *list;
	int32_t ifindex;
};

static int see_address(const struct nlmsghdr *h, void *user)
{
	struct address_filter *f = user;
	struct address_list *l = f->list;
	struct address_message m;
	if (!h) {
		l->n = 0;
		return 0;
	}
	int r = address_parse(h, &m);
	if (r < 0)
		return r == -ENOMSG ? 0 : r;
	if (m.ifindex != f->ifindex) /* kernels before 4.20 do not filter */
		return 0;
	if (l->n == ADDRESSES_MAX)
		return -E2BIG;
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 8;
		struct address_message *v = realloc(l->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = m;
	return 0;
}

int address_list(struct nlsock *s, int32_t ifindex, struct address_list *ret, struct error *e)
{
	_cleanup_addresses_ struct address_list l = {0};
	_cleanup_nlmsg_ struct nl_msg *m = address_dump_request(AF_UNSPEC, ifindex);
	struct address_filter f = {.list = &l, .ifindex = ifindex};
	int r = nlsock_dump(s, m, see_address, &f, e);
	if (r < 0)
		return e ? error_prefix(e, "addresses of link %d", ifindex) : r;
	*ret = l;
	l = (struct address_list){0};
	return 0;
}

static struct nl_msg *address_request(uint16_t type, uint16_t flags, int32_t ifindex, const struct address *a)
{
	const struct ip_address *local = &a->prefix.address;
	struct ifaddrmsg info = {.ifa_family = local->family == IP_V4 ? AF_INET : AF_INET6,
	                         .ifa_prefixlen = a->prefix.length,
	                         .ifa_flags = (uint8_t)address_settable_flags(a),
	                         .ifa_scope = a->scope,
	                         .ifa_index = (uint32_t)ifindex};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(type, flags, &info, sizeof(info));
	if (!m || !attribute_put_ip(m, IFA_LOCAL, local) || !attribute_put_ip(m, IFA_ADDRESS, a->peer.family != IP_NONE ? &a->peer : local))
		return NULL;
	return TAKE_PTR(m);
}

int address_add(struct nlsock *s, int32_t ifindex, const struct address *a, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, ifindex, a);
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	bool ok = nla_put_u32(m, IFA_FLAGS, address_settable_flags(a)) == 0;
	if (a->broadcast.family == IP_V4)
		ok &= attribute_put_ip(m, IFA_BROADCAST, &a->broadcast);
	if (a->label[0])
		ok &= nla_put_string(m, IFA_LABEL, a->label) == 0;
	if (a->route_metric > 0)
		ok &= nla_put_u32(m, IFA_RT_PRIORITY, a->route_metric) == 0;
	if (a->protocol)
		ok &= nla_put_u8(m, IFA_PROTO, a->protocol) == 0;
	/* 0 is no lifetime the kernel takes; it stands for "not given" in configured addresses. */
	if (a->valid_lifetime > 0 && (a->valid_lifetime != UINT32_MAX || a->preferred_lifetime != UINT32_MAX)) {
		struct ifa_cacheinfo ci = {.ifa_valid = a->valid_lifetime, .ifa_prefered = a->preferred_lifetime};
		ok &= nla_put(m, IFA_CACHEINFO, sizeof(ci), &ci) == 0;
	}
	if (!ok)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(s, m, NULL, NULL, e);
}

int address_remove(struct nlsock *s, int32_t ifindex, const struct address *a, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = address_request(RTM_DELADDR, 0, ifindex, a);
	return nlsock_ask(s, m, NULL, NULL, e);
}
