/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/rule.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "netlink/attribute.h"
#include "netlink/kept_internal.h"
#include "netlink/link_state.h"

enum { TYPES_MAX = 64, REMOVE_ROUNDS = 4 };

static void free_bytes(struct bytes *b)
{
	free(b->data);
}
#define _cleanup_bytes_ _cleanup_(free_bytes)

static bool parse(const struct nlmsghdr *h, struct fib_rule_hdr *info, struct nlattr *tb[TYPES_MAX + 1])
{
	if (h->nlmsg_type != RTM_NEWRULE || nlmsg_parse((struct nlmsghdr *)h, sizeof(*info), tb, TYPES_MAX, NULL) < 0)
		return false;
	memcpy(info, nlmsg_data(h), sizeof(*info));
	return true;
}

static uint32_t number(const struct nlattr *a, uint32_t otherwise)
{
	return a && nla_len(a) == (int)sizeof(uint32_t) ? nla_get_u32(a) : otherwise;
}

/* ---- of the host ----------------------------------------------------------------------------------------------------------------- */

static bool table_has_routes(uint32_t table, const struct host_state *state)
{
	if (table == RT_TABLE_UNSPEC || table == RT_TABLE_DEFAULT || table == RT_TABLE_MAIN || table == RT_TABLE_LOCAL)
		return false;
	for (size_t i = 0; i < state->n_routes; i++)
		if (state->routes[i].table == table)
			return true;
	return false;
}

static bool want(const struct fib_rule_hdr *info, struct nlattr **tb, const char *ifname, const struct host_state *state)
{
	const struct nlattr *names[] = {tb[FRA_IIFNAME], tb[FRA_OIFNAME]};
	bool named = false;
	if ((info->family != AF_INET && info->family != AF_INET6) || info->action == FR_ACT_GOTO || tb[FRA_L3MDEV])
		return false;
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		if (attribute_is_text(names[i], ifname))
			named = true;
		else if (names[i] && !attribute_is_text(names[i], "lo")) /* iif lo means what the namespace itself sends */
			return false;
	}
	return named || (info->action == FR_ACT_TO_TBL && table_has_routes(number(tb[FRA_TABLE], info->table), state));
}

int rule_take(const struct nlmsghdr *h, const char *ifname, struct host_state *state)
{
	struct nlattr *tb[TYPES_MAX + 1], *a;
	struct fib_rule_hdr info;
	int left;
	if (h->nlmsg_type != RTM_NEWRULE)
		return -ENOMSG;
	if (!parse(h, &info, tb))
		return -EBADMSG;
	if (!want(&info, tb, ifname, state))
		return -ENOMSG;
	info.flags &= FIB_RULE_INVERT; /* the others tell how the links that it names are */
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWRULE, 0, &info, sizeof(info));
	bool ok = m;
	/* Any selector, also one that nothing here has a name for. */
	nlmsg_for_each_attr(a, (struct nlmsghdr *)h, (int)sizeof(info), left)
	{
		if (nla_type(a) != FRA_PAD && nla_type(a) != FRA_PROTOCOL && nla_type(a) != FRA_PRIORITY)
			ok = ok && nla_put(m, a->nla_type, nla_len(a), nla_data(a)) == 0;
	}
	/* The kernel does not tell a priority of 0, and gives another to who asks for none. */
	ok = ok && nla_put_u32(m, FRA_PRIORITY, number(tb[FRA_PRIORITY], 0)) == 0 && nla_put_u8(m, FRA_PROTOCOL, RULE_PROTOCOL) == 0;
	if (!ok)
		return -ENOMEM;
	struct nlmsghdr *taken = nlmsg_hdr(m);
	taken->nlmsg_flags = 0;
	taken->nlmsg_len = NLMSG_ALIGN(taken->nlmsg_len);
	if (state->pod_rules.n + taken->nlmsg_len > KEPT_BYTES_MAX)
		return -E2BIG;
	return bytes_add(&state->pod_rules, taken, taken->nlmsg_len);
}

struct reader {
	const char *ifname;
	struct host_state *state;
};

static int see_host_rule(const struct nlmsghdr *h, void *user)
{
	struct reader *q = user;
	if (!h) {
		q->state->pod_rules.n = 0;
		return 0;
	}
	int r = rule_take(h, q->ifname, q->state);
	return r == -ENOMSG ? 0 : r;
}

/* A kernel without policy routing has no rules. */
static int dump(struct nlsock *s, nlsock_see *see, void *user, struct error *e)
{
	struct fib_rule_hdr info = {0};
	struct error ours = {0};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_GETRULE, 0, &info, sizeof(info));
	int r = nlsock_dump(s, m, see, user, &ours);
	return r == 0 || r == -EOPNOTSUPP || r == -EAFNOSUPPORT ? 0 : error_set(e, r, "rules: %s", ours.text);
}

int rules_read(struct nlsock *s, const char *ifname, struct host_state *state, struct error *e)
{
	struct reader q = {ifname, state};
	return dump(s, see_host_rule, &q, e);
}

/* ---- of a plan ------------------------------------------------------------------------------------------------------------------- */

static bool put_ip(struct nl_msg *m, int type, const struct ip_prefix *p)
{
	struct ip_prefix network = *p;
	ip_prefix_mask(&network);
	return network.length == 0 || nla_put(m, type, network.address.family == IP_V4 ? 4 : 16, network.address.bytes) == 0;
}

static uint8_t family_of(const struct rule *r)
{
	if (r->family != IP_NONE)
		return r->family;
	return r->source.address.family == IP_V6 || r->destination.address.family == IP_V6 ? IP_V6 : IP_V4;
}

static struct nl_msg *configured(const struct rule *r)
{
	struct fib_rule_hdr info = {.family = family_of(r) == IP_V6 ? AF_INET6 : AF_INET,
	                            .src_len = r->source.length,
	                            .dst_len = r->destination.length,
	                            .table = (uint8_t)(r->table < 256 ? r->table : RT_TABLE_UNSPEC),
	                            .action = FR_ACT_TO_TBL};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWRULE, 0, &info, sizeof(info));
	bool ok = m && nla_put_u32(m, FRA_TABLE, r->table) == 0 && put_ip(m, FRA_SRC, &r->source) && put_ip(m, FRA_DST, &r->destination);
	/* Without one the kernel picks the place before its own `main` rule; 0 would be the place before everything. */
	if (r->has_priority)
		ok = ok && nla_put_u32(m, FRA_PRIORITY, r->priority) == 0;
	if (r->has_mark)
		ok = ok && nla_put_u32(m, FRA_FWMARK, r->mark) == 0 && nla_put_u32(m, FRA_FWMASK, r->mask ? r->mask : UINT32_MAX) == 0;
	if (r->iif[0])
		ok = ok && nla_put_string(m, FRA_IIFNAME, r->iif) == 0;
	if (r->oif[0])
		ok = ok && nla_put_string(m, FRA_OIFNAME, r->oif) == 0;
	ok = ok && nla_put_u8(m, FRA_PROTOCOL, RULE_PROTOCOL) == 0;
	return ok ? TAKE_PTR(m) : NULL;
}

/* The host's, about the link as the pod calls it. */
static struct nl_msg *renamed(const struct nlmsghdr *kept, const char *from, const char *to)
{
	struct nlattr *tb[TYPES_MAX + 1], *a;
	struct fib_rule_hdr info;
	int left;
	if (!parse(kept, &info, tb)) /* a record may hold anything */
		return NULL;
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWRULE, 0, &info, sizeof(info));
	bool ok = m;
	nlmsg_for_each_attr(a, (struct nlmsghdr *)kept, (int)sizeof(info), left)
	{
		bool name = nla_type(a) == FRA_IIFNAME || nla_type(a) == FRA_OIFNAME;
		if (name && attribute_is_text(a, from))
			ok = ok && nla_put_string(m, nla_type(a), to) == 0;
		else
			ok = ok && nla_put(m, a->nla_type, nla_len(a), nla_data(a)) == 0;
	}
	return ok ? TAKE_PTR(m) : NULL;
}

static int append(struct bytes *rules, struct nl_msg *message)
{
	_cleanup_nlmsg_ struct nl_msg *m = message;
	if (!m)
		return -EMSGSIZE;
	nlmsg_hdr(m)->nlmsg_len = NLMSG_ALIGN(nlmsg_hdr(m)->nlmsg_len);
	return bytes_add(rules, nlmsg_hdr(m), nlmsg_hdr(m)->nlmsg_len);
}

int rules_of(const struct attach_plan *p, struct bytes *ret)
{
	struct bytes rules = {0};
	int r = 0;
	for (size_t i = 0; i < p->pod.n_rules && r == 0; i++)
		r = append(&rules, configured(&p->pod.rules[i]));
	for (struct nlmsghdr *h = NULL; r == 0 && !p->pod.vrf_name[0] && (h = kept_next(&p->host.pod_rules, h));)
		r = append(&rules, renamed(h, p->host.ifname, p->pod.ifname));
	if (r < 0) {
		free(rules.data);
		return r;
	}
	*ret = rules;
	return 0;
}

/* ---- which is which -------------------------------------------------------------------------------------------------------------- */

/* What the kernel makes of an attribute that is not there. */
static bool is_default(int type, const struct nlattr *a)
{
	const uint8_t *p = nla_data(a), value = type == FRA_SUPPRESS_PREFIXLEN || type == FRA_SUPPRESS_IFGROUP ? 0xff : 0;
	for (int i = 0; i < nla_len(a); i++)
		if (p[i] != value)
			return false;
	return true;
}

static bool same_value(int type, const struct nlattr *a, const struct nlattr *b)
{
	if (!a || !b)
		return (!a || is_default(type, a)) && (!b || is_default(type, b));
	return nla_len(a) == nla_len(b) && memcmp(nla_data(a), nla_data(b), (size_t)nla_len(a)) == 0;
}

bool rule_is(const struct nlmsghdr *there, const struct nlmsghdr *asked)
{
	struct nlattr *has[TYPES_MAX + 1], *wants[TYPES_MAX + 1];
	struct fib_rule_hdr a, b;
	if (!parse(there, &a, has) || !parse(asked, &b, wants))
		return false;
	if (a.family != b.family || a.src_len != b.src_len || a.dst_len != b.dst_len || a.tos != b.tos || a.action != b.action ||
	    (a.flags & FIB_RULE_INVERT) != (b.flags & FIB_RULE_INVERT) ||
	    number(has[FRA_TABLE], a.table) != number(wants[FRA_TABLE], b.table))
		return false;
	for (int type = 1; type <= TYPES_MAX; type++) {
		if (type == FRA_TABLE || type == FRA_PAD || (type == FRA_PRIORITY && !wants[type]))
			continue;
		if (!same_value(type, has[type], wants[type]))
			return false;
	}
	return true;
}

static const struct nlmsghdr *find(const struct bytes *there, const struct nlmsghdr *asked)
{
	for (struct nlmsghdr *h = NULL; (h = kept_next(there, h));)
		if (rule_is(h, asked))
			return h;
	return NULL;
}

static bool is_one_of(const struct nlmsghdr *there, const struct bytes *asked)
{
	for (struct nlmsghdr *h = NULL; (h = kept_next(asked, h));)
		if (rule_is(there, h))
			return true;
	return false;
}

/* ---- in the pod ------------------------------------------------------------------------------------------------------------------ */

static int see_ours(const struct nlmsghdr *h, void *user)
{
	struct bytes *rules = user;
	struct nlattr *tb[TYPES_MAX + 1];
	struct fib_rule_hdr info;
	if (!h) {
		rules->n = 0;
		return 0;
	}
	if (!parse(h, &info, tb) || !tb[FRA_PROTOCOL] || nla_len(tb[FRA_PROTOCOL]) != 1 || nla_get_u8(tb[FRA_PROTOCOL]) != RULE_PROTOCOL)
		return 0;
	uint32_t len = NLMSG_ALIGN(h->nlmsg_len); /* the padding is in the datagram, too: the kernel aligns what it puts into one */
	return rules->n + len > KEPT_BYTES_MAX ? -E2BIG : bytes_add(rules, h, len);
}

static int ask(struct nlsock *pod, uint16_t type, uint16_t flags, const struct nlmsghdr *rule, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = nlmsg_alloc_size(rule->nlmsg_len);
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	memcpy(nlmsg_hdr(m), rule, rule->nlmsg_len);
	nlmsg_hdr(m)->nlmsg_type = type;
	nlmsg_hdr(m)->nlmsg_flags = NLM_F_REQUEST | flags;
	nlmsg_hdr(m)->nlmsg_seq = nlmsg_hdr(m)->nlmsg_pid = 0;
	return nlsock_ask(pod, m, NULL, NULL, e);
}

/* The configured ones come first. */
static int tell_refused(const struct attach_plan *p, size_t i, const struct nlmsghdr *rule, const struct error *why, struct error *e)
{
	struct nlattr *tb[TYPES_MAX + 1] = {0};
	struct fib_rule_hdr info = {0};
	if (i < p->pod.n_rules)
		return error_set(e, why->code, "cannot add rule %zu for table %u: %s", i, p->pod.rules[i].table, why->text);
	(void)parse(rule, &info, tb);
	return error_set(e, why->code, "cannot add the host's rule of priority %u for table %u: %s", number(tb[FRA_PRIORITY], 0),
	                 number(tb[FRA_TABLE], info.table), why->text);
}

/* The kernel's choice of a priority is the place before the second of all rules, which is its own `main` only as long as no other came: so
 * those that leave it to the kernel come first. It would take a narrower rule of the same priority for the same if asked to add only what
 * is not there (NLM_F_EXCL); so we look ourselves. */
int rules_add(struct nlsock *pod, const struct attach_plan *p, struct error *e)
{
	_cleanup_bytes_ struct bytes wanted = {0}, there = {0};
	int r = rules_of(p, &wanted);
	if (r < 0)
		return error_set(e, r, "cannot make the requests for the rules");
	if (wanted.n > 0)
		r = dump(pod, see_ours, &there, e);
	for (int with_priority = 0; with_priority <= 1; with_priority++) {
		size_t i = 0;
		for (struct nlmsghdr *h = NULL; r == 0 && (h = kept_next(&wanted, h)); i++) {
			bool has = nlmsg_find_attr(h, sizeof(struct fib_rule_hdr), FRA_PRIORITY) != NULL;
			struct error ours = {0};
			if (has == with_priority && !find(&there, h) && (r = ask(pod, RTM_NEWRULE, NLM_F_CREATE, h, &ours)) < 0)
				(void)tell_refused(p, i, h, &ours, e);
		}
	}
	return r;
}

/* To the kernel a selector that is not there means any, and it deletes the first rule that fits: which need not be the one that was meant.
 * So each round gives back what was not meant, and looks again. */
void rules_remove(struct nlsock *pod, const struct attach_plan *p)
{
	_cleanup_bytes_ struct bytes ours = {0};
	if (rules_of(p, &ours) < 0)
		return;
	for (int round = 0; ours.n > 0 && round < REMOVE_ROUNDS; round++) {
		_cleanup_bytes_ struct bytes before = {0}, after = {0};
		bool any = false;
		if (dump(pod, see_ours, &before, NULL) < 0)
			return;
		for (struct nlmsghdr *h = NULL; (h = kept_next(&ours, h));) {
			const struct nlmsghdr *meant = find(&before, h);
			any |= meant && ask(pod, RTM_DELRULE, 0, meant, NULL) == 0;
		}
		if (!any || dump(pod, see_ours, &after, NULL) < 0)
			return;
		for (struct nlmsghdr *h = NULL; (h = kept_next(&before, h));)
			if (!is_one_of(h, &ours) && !find(&after, h))
				(void)ask(pod, RTM_NEWRULE, NLM_F_CREATE, h, NULL);
	}
}
