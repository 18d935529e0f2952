/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/tc_filter.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

enum { INGRESS, EGRESS, DOORS };
static const uint32_t door_parents[DOORS] = {
    [INGRESS] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), [EGRESS] = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)};

/* ---- parsing --------------------------------------------------------------------------------------------------------------------- */

static const struct nla_policy tc_policy[TCA_MAX + 1] = {
    [TCA_KIND] = {.type = NLA_STRING, .minlen = 1}, [TCA_OPTIONS] = {.type = NLA_NESTED}, [TCA_CHAIN] = {.type = NLA_U32}};

static int parse(const struct nlmsghdr *h, uint16_t type, struct tcmsg *info, struct nlattr *tb[TCA_MAX + 1])
{
	if (h->nlmsg_type != type)
		return -ENOMSG;
	if (nlmsg_parse((struct nlmsghdr *)h, sizeof(*info), tb, TCA_MAX, (struct nla_policy *)tc_policy) < 0 || !tb[TCA_KIND])
		return -EBADMSG;
	memcpy(info, nlmsg_data(h), sizeof(*info));
	return 0;
}

static uint32_t number(const struct nlattr *a)
{
	return a ? nla_get_u32(a) : 0;
}

static int take_options(struct nlattr *options, struct tc_filter *f)
{
	static const struct nla_policy policy[TCA_BPF_MAX + 1] = {
	    [TCA_BPF_CLASSID] = {.type = NLA_U32}, [TCA_BPF_NAME] = {.type = NLA_STRING, .minlen = 1},
	    [TCA_BPF_FLAGS] = {.type = NLA_U32},   [TCA_BPF_FLAGS_GEN] = {.type = NLA_U32},
	    [TCA_BPF_ID] = {.type = NLA_U32},
	};
	struct nlattr *tb[TCA_BPF_MAX + 1];
	if (nla_parse_nested(tb, TCA_BPF_MAX, options, (struct nla_policy *)policy) < 0)
		return -EBADMSG;
	f->program = number(tb[TCA_BPF_ID]);
	f->flags = number(tb[TCA_BPF_FLAGS]);
	/* What the hardware made of it is not to be asked for. */
	f->flags_gen = number(tb[TCA_BPF_FLAGS_GEN]) & (TCA_CLS_FLAGS_SKIP_HW | TCA_CLS_FLAGS_SKIP_SW);
	f->classid = number(tb[TCA_BPF_CLASSID]);
	/* A block that several links share is nobody's to give back. */
	f->plain = !tb[TCA_BPF_ACT] && !tb[TCA_BPF_POLICE] && (uint32_t)f->ifindex != TCM_IFINDEX_MAGIC_BLOCK;
	if (tb[TCA_BPF_NAME])
		STR_CUT(f->name, nla_data(tb[TCA_BPF_NAME]));
	return 0;
}

int tc_filter_parse(const struct nlmsghdr *h, struct tc_filter *ret)
{
	struct nlattr *tb[TCA_MAX + 1];
	struct tcmsg info;
	int r = parse(h, RTM_NEWTFILTER, &info, tb);
	if (r < 0)
		return r;
	if (info.tcm_handle == 0 || !tb[TCA_OPTIONS])
		return -ENOMSG;
	struct tc_filter f = {.ifindex = info.tcm_ifindex,
	                      .parent = info.tcm_parent,
	                      .info = info.tcm_info,
	                      .handle = info.tcm_handle,
	                      .chain = number(tb[TCA_CHAIN])};
	if (nla_strcmp(tb[TCA_KIND], "bpf") == 0)
		r = take_options(tb[TCA_OPTIONS], &f);
	else
		STR_CUT(f.name, nla_data(tb[TCA_KIND]));
	if (r == 0)
		*ret = f;
	return r;
}

int tc_doors_parse(const struct nlmsghdr *h, char kind[IFNAME_SIZE])
{
	struct nlattr *tb[TCA_MAX + 1];
	struct tcmsg info;
	int r = parse(h, RTM_NEWQDISC, &info, tb);
	if (r == 0 && info.tcm_parent != TC_H_INGRESS)
		r = -ENOMSG;
	return r < 0 ? r : str_copy(kind, IFNAME_SIZE, nla_data(tb[TCA_KIND]));
}

bool tc_filter_is_egress(const struct tc_filter *f)
{
	return f->parent == door_parents[EGRESS];
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

void tc_filter_list_free(struct tc_filter_list *l)
{
	free(l->v);
	*l = (struct tc_filter_list){0};
}

struct reader {
	struct tc_filter_list list;
	size_t start; /* of the door that is being read */
};

static int see_filter(const struct nlmsghdr *h, void *user)
{
	struct reader *q = user;
	struct tc_filter f;
	if (!h) {
		q->list.n = q->start;
		return 0;
	}
	int r = tc_filter_parse(h, &f);
	if (r < 0)
		return r == -ENOMSG ? 0 : r;
	if (q->list.n == TC_FILTERS_MAX)
		return -E2BIG;
	struct tc_filter *more = reallocarray(q->list.v, q->list.n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	more[q->list.n++] = f;
	q->list.v = more;
	return 0;
}

static int see_doors(const struct nlmsghdr *h, void *user)
{
	int r = tc_doors_parse(h, user);
	return r == -ENOMSG ? 0 : r;
}

static struct nl_msg *request(uint16_t type, uint16_t flags, const struct tcmsg *info)
{
	return nlsock_request(type, flags, info, sizeof(*info));
}

/* Without ECHO the kernel answers only the listeners of a group. */
void tc_doors_get(struct nlsock *s, int32_t ifindex, char kind[IFNAME_SIZE])
{
	const struct tcmsg info = {.tcm_ifindex = ifindex, .tcm_parent = TC_H_INGRESS};
	_cleanup_nlmsg_ struct nl_msg *m = request(RTM_GETQDISC, NLM_F_ECHO, &info);
	kind[0] = '\0';
	(void)nlsock_ask(s, m, see_doors, kind, NULL); /* -ENOENT: none */
}

int tc_filter_list(struct nlsock *s, int32_t ifindex, char doors[IFNAME_SIZE], struct tc_filter_list *ret, struct error *e)
{
	struct reader q = {0};
	struct error ours = {0};
	char kind[IFNAME_SIZE] = "";
	int r = 0;
	if (doors)
		tc_doors_get(s, ifindex, kind);
	/* An "ingress" qdisc shows the same filters at either door. */
	size_t n = !doors || str_equal(kind, "clsact") ? DOORS : kind[0] ? EGRESS : INGRESS;
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct tcmsg info = {.tcm_ifindex = ifindex, .tcm_parent = door_parents[i]};
		_cleanup_nlmsg_ struct nl_msg *m = request(RTM_GETTFILTER, 0, &info);
		q.start = q.list.n;
		r = nlsock_dump(s, m, see_filter, &q, &ours);
	}
	if (r < 0 && r != -EOPNOTSUPP) {
		tc_filter_list_free(&q.list);
		return error_set(e, r, "filters of link %d: %s", ifindex, ours.text);
	}
	if (doors)
		memcpy(doors, kind, sizeof(kind));
	*ret = q.list;
	return 0;
}

/* ---- changing -------------------------------------------------------------------------------------------------------------------- */

static struct nl_msg *filter_request(uint16_t type, uint16_t flags, const struct tc_filter *f)
{
	const struct tcmsg info = {.tcm_ifindex = f->ifindex, .tcm_parent = f->parent, .tcm_info = f->info, .tcm_handle = f->handle};
	struct nl_msg *m = request(type, flags, &info);
	if (m && (nla_put_string(m, TCA_KIND, "bpf") < 0 || (f->chain && nla_put_u32(m, TCA_CHAIN, f->chain) < 0))) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

int tc_filter_remove(struct nlsock *s, const struct tc_filter *f, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = filter_request(RTM_DELTFILTER, 0, f);
	return nlsock_ask(s, m, NULL, NULL, e);
}

int tc_filter_add(struct nlsock *s, const struct tc_filter *f, int program_fd, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = filter_request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, f);
	struct nlattr *options = m ? nla_nest_start(m, TCA_OPTIONS) : NULL;
	if (m &&
	    (!options || nla_put_u32(m, TCA_BPF_FD, (uint32_t)program_fd) < 0 ||
	     (f->name[0] && nla_put_string(m, TCA_BPF_NAME, f->name) < 0) ||
	     (f->classid && nla_put_u32(m, TCA_BPF_CLASSID, f->classid) < 0) || (f->flags && nla_put_u32(m, TCA_BPF_FLAGS, f->flags) < 0) ||
	     (f->flags_gen && nla_put_u32(m, TCA_BPF_FLAGS_GEN, f->flags_gen) < 0)))
		return error_set(e, -EMSGSIZE, "request too large");
	if (options)
		nla_nest_end(m, options);
	return nlsock_ask(s, m, NULL, NULL, e);
}

int tc_doors_add(struct nlsock *s, int32_t ifindex, const char *kind, struct error *e)
{
	/* The handle that the kernel gives both kinds anyway. */
	const struct tcmsg info = {.tcm_ifindex = ifindex, .tcm_parent = TC_H_INGRESS, .tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0)};
	_cleanup_nlmsg_ struct nl_msg *m = request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &info);
	if (m && nla_put_string(m, TCA_KIND, kind) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	int r = nlsock_ask(s, m, NULL, NULL, e);
	if (r == -EEXIST && e)
		*e = (struct error){0};
	return r == -EEXIST ? 0 : r;
}
