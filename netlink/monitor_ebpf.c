/* SPDX-License-Identifier: Apache-2.0 */
/* Which eBPF programs are on a link: names for the slices. Filters that come and go are notified; of tcx the kernel says nothing, it is
 * looked at when anything happens to its link. */
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/bpf.h"
#include "netlink/monitor_internal.h"
#include "netlink/tc_filter.h"

enum { NAMES_MAX = TC_FILTERS_MAX };
struct name_list {
	const char *v[NAMES_MAX];
	size_t n;
};

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted and each once: the kernel's order would rewrite slices for nothing. */
static void join(struct name_list *l, char list[ATTRIBUTE_TEXT_SIZE])
{
	qsort(l->v, l->n, sizeof(l->v[0]), compare);
	for (size_t i = 0; i < l->n; i++)
		if ((i == 0 || !str_equal(l->v[i], l->v[i - 1])) && !attribute_list_add(list, l->v[i]))
			break;
}

/* What is no token would be no attribute. */
static void name_add(struct name_list *l, const char *name)
{
	if (l->n < NAMES_MAX && name[0] && str_is_token(name))
		l->v[l->n++] = name;
}

static int look_at_filters(struct nlsock *s, int32_t ifindex, struct ebpf_names *found)
{
	_cleanup_filters_ struct tc_filter_list filters = {0};
	struct name_list names = {.n = 0};
	/* Not asking for the qdisc: the monitor would hear of the question, and look again. */
	int r = tc_filter_list(s, ifindex, NULL, &filters, NULL);
	for (size_t i = 0; i < filters.n && r == 0; i++)
		if (filters.v[i].program) {
			name_add(&names, filters.v[i].name);
			found->any = true;
		}
	join(&names, found->filters);
	return r;
}

static int look_at_tcx(int32_t ifindex, struct ebpf_names *found)
{
	static const uint32_t places[] = {BPF_AT_TCX_INGRESS, BPF_AT_TCX_EGRESS};
	struct bpf_attached there[BPF_ATTACHED_MAX];
	char texts[ELEMENTS(places) * BPF_ATTACHED_MAX][BPF_NAME_SIZE];
	struct name_list names = {.n = 0};
	size_t n, k = 0;
	for (size_t i = 0; i < ELEMENTS(places); i++) {
		int r = bpf_query(ifindex, places[i], there, &n);
		if (r < 0)
			return r;
		for (size_t j = 0; j < n; j++, k++) {
			int fd = bpf_program_open(there[j].program);
			if (fd >= 0 && bpf_program_name(fd, texts[k]) == 0)
				name_add(&names, texts[k]);
			if (fd >= 0)
				close(fd);
			found->any = true;
		}
	}
	join(&names, found->programs);
	return 0;
}

int ebpf_names_read(struct nlsock *s, int32_t ifindex, struct ebpf_names *ret)
{
	struct ebpf_names found = {0};
	int r = look_at_filters(s, ifindex, &found);
	if (r == 0)
		r = look_at_tcx(ifindex, &found);
	if (r == 0)
		*ret = found;
	return r;
}

void table_note_filter(struct monitor_table *t, const struct nlmsghdr *h)
{
	struct tcmsg info;
	if (nlmsg_datalen(h) < (int)sizeof(info))
		return;
	memcpy(&info, nlmsg_data(h), sizeof(info));
	struct link_entry *l = TC_H_MAJ(info.tcm_parent) == TC_H_MAJ(TC_H_CLSACT) ? table_find_link(t, info.tcm_ifindex) : NULL;
	if (l) {
		l->look |= LOOK_EBPF;
		t->pending = true;
	}
}
