/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/ebpf.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/fd.h"

static const struct hook {
	const char *name;
	uint32_t place;    /* of bpf(2); 0 = none */
	uint32_t xdp_mode; /* XDP_FLAGS_*; 0 = none */
	int xdp_attribute; /* of its number in IFLA_XDP */
	const char *only;  /* kind of link that has it; NULL = any */
} hooks[EBPF_HOOKS] = {
    [EBPF_XDP_GENERIC] = {"generic XDP", .xdp_mode = XDP_FLAGS_SKB_MODE, .xdp_attribute = IFLA_XDP_SKB_PROG_ID},
    [EBPF_XDP_DRIVER] = {"XDP", .xdp_mode = XDP_FLAGS_DRV_MODE, .xdp_attribute = IFLA_XDP_DRV_PROG_ID},
    [EBPF_XDP_HARDWARE] = {"hardware XDP", .xdp_mode = XDP_FLAGS_HW_MODE, .xdp_attribute = IFLA_XDP_HW_PROG_ID},
    [EBPF_TCX_INGRESS] = {"tcx ingress", .place = BPF_AT_TCX_INGRESS},
    [EBPF_TCX_EGRESS] = {"tcx egress", .place = BPF_AT_TCX_EGRESS},
    /* Those of the device itself, if it is the primary one of its pair. Its peer's are the peer's, and of a peer only the primary one
     * can ask: -EACCES. */
    [EBPF_NETKIT] = {"netkit", .place = BPF_AT_NETKIT, .only = "netkit"},
    [EBPF_TC_INGRESS] = {.name = "tc ingress"},
    [EBPF_TC_EGRESS] = {.name = "tc egress"},
};

void ebpf_format(const struct ebpf_program *p, char *text, size_t size)
{
	const char *hook = p->hook < EBPF_HOOKS ? hooks[p->hook].name : "unknown";
	if (p->id)
		snprintf(text, size, "%s program %u (%s)", hook, p->id, p->name);
	else
		snprintf(text, size, "%s filter %s", hook, p->name);
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

void ebpf_list_free(struct ebpf_list *l)
{
	free(l->v);
	*l = (struct ebpf_list){0};
}

static int add(struct ebpf_list *l, const struct ebpf_program *p)
{
	struct ebpf_program *more = reallocarray(l->v, l->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	more[l->n++] = *p;
	l->v = more;
	return 0;
}

/* A program that is gone by now has no name. */
static int add_program(struct ebpf_list *l, enum ebpf_hook hook, uint32_t id, uint32_t link)
{
	struct ebpf_program p = {.hook = hook, .id = id, .link = link};
	_cleanup_fd_ int fd = bpf_program_open(id);
	if (fd >= 0)
		(void)bpf_program_name(fd, p.name);
	return add(l, &p);
}

int ebpf_xdp_parse(const struct nlmsghdr *h, uint32_t ret[EBPF_XDP_HARDWARE + 1])
{
	static const struct nla_policy policy[IFLA_MAX + 1] = {[IFLA_XDP] = {.type = NLA_NESTED}};
	struct nlattr *tb[IFLA_MAX + 1], *xdp[IFLA_XDP_MAX + 1];
	uint32_t numbers[EBPF_XDP_HARDWARE + 1] = {0};
	if (h->nlmsg_type != RTM_NEWLINK)
		return -ENOMSG;
	if (nlmsg_parse((struct nlmsghdr *)h, sizeof(struct ifinfomsg), tb, IFLA_MAX, (struct nla_policy *)policy) < 0 ||
	    (tb[IFLA_XDP] && nla_parse_nested(xdp, IFLA_XDP_MAX, tb[IFLA_XDP], NULL) < 0))
		return -EBADMSG;
	for (size_t i = 0; tb[IFLA_XDP] && i < ELEMENTS(numbers); i++) {
		const struct nlattr *a = xdp[hooks[i].xdp_attribute];
		if (a && nla_len(a) < (int)sizeof(uint32_t))
			return -EBADMSG;
		numbers[i] = a ? nla_get_u32(a) : 0;
	}
	memcpy(ret, numbers, sizeof(numbers));
	return 0;
}

static int see_xdp(const struct nlmsghdr *h, void *user)
{
	return ebpf_xdp_parse(h, user);
}

/* Whose link it is is certain only when that is detached; here it is to be told of. */
static int add_xdp(struct ebpf_list *l, enum ebpf_hook hook, int32_t ifindex, uint32_t id)
{
	uint32_t link = 0;
	(void)bpf_xdp_link(ifindex, id, &link);
	return add_program(l, hook, id, link);
}

static int read_xdp(struct nlsock *s, int32_t ifindex, struct ebpf_list *l, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_GETLINK, ifindex, 0, 0);
	uint32_t numbers[EBPF_XDP_HARDWARE + 1] = {0};
	int r = nlsock_ask(s, m, see_xdp, numbers, e);
	for (enum ebpf_hook i = 0; i < ELEMENTS(numbers) && r == 0; i++)
		if (numbers[i] && add_xdp(l, i, ifindex, numbers[i]) < 0)
			r = error_set(e, -ENOMEM, "out of memory");
	return r;
}

static int read_place(int32_t ifindex, const char *kind, enum ebpf_hook hook, struct ebpf_list *l, struct error *e)
{
	struct bpf_attached there[BPF_ATTACHED_MAX];
	size_t n = 0;
	if (!hooks[hook].place || (hooks[hook].only && !str_equal(hooks[hook].only, kind)))
		return 0;
	int r = bpf_query(ifindex, hooks[hook].place, there, &n);
	if (r == -EACCES && hooks[hook].only)
		return 0;
	if (r < 0)
		return error_set(e, r, "cannot ask for %s programs: %s", hooks[hook].name, strerror(-r));
	for (size_t i = 0; i < n; i++)
		if (add_program(l, hook, there[i].program, there[i].link) < 0)
			return error_set(e, -ENOMEM, "out of memory");
	return 0;
}

static int read_filters(struct nlsock *s, int32_t ifindex, struct ebpf_list *l, struct error *e)
{
	_cleanup_filters_ struct tc_filter_list filters = {0};
	int r = tc_filter_list(s, ifindex, l->doors, &filters, e);
	for (size_t i = 0; i < filters.n && r == 0; i++) {
		const struct tc_filter *f = &filters.v[i];
		struct ebpf_program p = {.hook = tc_filter_is_egress(f) ? EBPF_TC_EGRESS : EBPF_TC_INGRESS, .id = f->program, .filter = *f};
		STR_CUT(p.name, f->name);
		/* Of other kinds it is enough to know that there are any. */
		const struct ebpf_program *last = l->n ? &l->v[l->n - 1] : NULL;
		if (!p.id && last && !last->id && last->hook == p.hook && str_equal(last->name, p.name))
			continue;
		if (add(l, &p) < 0)
			r = error_set(e, -ENOMEM, "out of memory");
	}
	return r;
}

int ebpf_list_read(struct nlsock *s, int32_t ifindex, const char *kind, struct ebpf_list *ret, struct error *e)
{
	struct ebpf_list l = {0};
	int r = read_xdp(s, ifindex, &l, e);
	for (enum ebpf_hook i = 0; i < EBPF_HOOKS && r == 0; i++)
		r = read_place(ifindex, kind, i, &l, e);
	if (r == 0)
		r = read_filters(s, ifindex, &l, e);
	if (r < 0) {
		ebpf_list_free(&l);
		return r;
	}
	*ret = l;
	return 0;
}

/* ---- removing -------------------------------------------------------------------------------------------------------------------- */

static int xdp_set(struct nlsock *s, int32_t ifindex, enum ebpf_hook hook, int program_fd, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_request(RTM_NEWLINK, ifindex, 0, 0);
	struct nlattr *nest = m ? nla_nest_start(m, IFLA_XDP) : NULL;
	if (m && (!nest || nla_put_s32(m, IFLA_XDP_FD, program_fd) < 0 ||
	          nla_put_u32(m, IFLA_XDP_FLAGS, hooks[hook].xdp_mode | (program_fd >= 0 ? XDP_FLAGS_UPDATE_IF_NOEXIST : 0)) < 0))
		return error_set(e, -EMSGSIZE, "request too large");
	if (nest)
		nla_nest_end(m, nest);
	return nlsock_ask(s, m, NULL, NULL, e);
}

/* What a link holds can only be taken off by the link. */
static int xdp_remove(struct nlsock *s, int32_t ifindex, const struct ebpf_program *p, struct error *e)
{
	struct error ours = {0};
	uint32_t link;
	int r = xdp_set(s, ifindex, p->hook, -1, &ours);
	if (r != -EBUSY)
		return r < 0 ? error_set(e, r, "%s", ours.text) : 0;
	r = bpf_xdp_link(ifindex, p->id, &link);
	if (r == -ENOTUNIQ)
		return error_set(e, r, "several BPF links hold it on interfaces of this number: which of them is its link cannot be told");
	if (r == 0)
		r = bpf_link_detach(link);
	return r < 0 ? error_set(e, r, "its BPF link cannot be detached: %s", strerror(-r)) : 0;
}

static int place_remove(int32_t ifindex, const struct ebpf_program *p, struct error *e)
{
	int r;
	if (p->link) {
		r = bpf_link_detach(p->link);
	} else {
		_cleanup_fd_ int fd = bpf_program_open(p->id);
		r = fd < 0 ? fd : bpf_detach(ifindex, hooks[p->hook].place, fd);
	}
	return r < 0 ? error_set(e, r, "%s", strerror(-r)) : 0;
}

int ebpf_remove(struct nlsock *s, int32_t ifindex, const struct ebpf_program *p, struct error *e)
{
	struct error ours = {0};
	char text[TC_FILTER_NAME_SIZE + 64];
	int r;
	if (hooks[p->hook].xdp_mode)
		r = xdp_remove(s, ifindex, p, &ours);
	else if (hooks[p->hook].place)
		r = place_remove(ifindex, p, &ours);
	else
		r = tc_filter_remove(s, &p->filter, &ours);
	if (r == 0 || r == -ENOENT || r == -ENOLINK)
		return 0;
	ebpf_format(p, text, sizeof(text));
	return error_set(e, r, "cannot remove the %s: %s", text, ours.text);
}

int ebpf_remove_all(struct nlsock *s, int32_t ifindex, const char *kind, struct error *e)
{
	_cleanup_ebpf_ struct ebpf_list l = {0}, left = {0};
	struct error faults = {0};
	int r = ebpf_list_read(s, ifindex, kind, &l, e);
	if (r < 0 || l.n == 0)
		return r;
	for (size_t i = 0; i < l.n; i++) {
		struct error ours = {0};
		if (l.v[i].id && ebpf_remove(s, ifindex, &l.v[i], &ours) < 0)
			error_append(&faults, ours.code, "%s", ours.text);
	}
	if (faults.code)
		return error_set(e, faults.code, "%s", faults.text);
	r = ebpf_list_read(s, ifindex, kind, &left, e);
	for (size_t i = 0; i < left.n; i++) {
		char text[TC_FILTER_NAME_SIZE + 64];
		ebpf_format(&left.v[i], text, sizeof(text));
		if (left.v[i].id)
			error_append(&faults, -EREMOTEIO, "the %s is there again", text);
	}
	return r < 0 ? r : faults.code ? error_set(e, faults.code, "%s", faults.text) : 0;
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

int ebpf_add(struct nlsock *s, int32_t ifindex, const struct ebpf_program *p, int program_fd, struct error *e)
{
	if (hooks[p->hook].xdp_mode)
		return xdp_set(s, ifindex, p->hook, program_fd, e);
	if (hooks[p->hook].place) {
		int r = bpf_attach(ifindex, hooks[p->hook].place, program_fd);
		return r < 0 && r != -EEXIST ? error_set(e, r, "%s", strerror(-r)) : 0;
	}
	struct tc_filter f = p->filter;
	f.ifindex = ifindex;
	return tc_filter_add(s, &f, program_fd, e);
}
