/* SPDX-License-Identifier: Apache-2.0 */
/* Which eBPF programs are on the links: names for the slices. The kernel answers these questions under RTNL, which a move of a device holds
 * for many milliseconds, so they are asked on a thread of the pool and never on the loop. Filters that come and go are notified; of tcx the
 * kernel says nothing, it is looked at when anything happens to its link. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/bpf.h"
#include "netlink/monitor_internal.h"
#include "netlink/netns.h"
#include "netlink/tc_filter.h"

struct look {
	int32_t ifindex;
	struct ebpf_names found;
	bool failed; /* what was known stays */
};
struct ebpf_reader {
	uv_work_t work;
	int netns_fd; /* the pool's threads are in the one of whoever was the first to use the pool */
	struct nlsock *s;
	struct look *v;
	size_t n;
	bool busy;
	void (*done)(void *user);
	void *user;
	struct monitor_table *table;
};

int ebpf_reader_new(struct monitor_table *t, void (*done)(void *user), void *user, struct ebpf_reader **ret, struct error *e)
{
	struct ebpf_reader *q = calloc(1, sizeof(*q));
	if (!q)
		return error_set(e, -ENOMEM, "monitor: out of memory");
	int r = netns_open_own(&q->netns_fd, e);
	if (r < 0) {
		free(q);
		return r;
	}
	q->table = t;
	q->done = done;
	q->user = user;
	*ret = q;
	return 0;
}

void ebpf_reader_free(struct ebpf_reader *q)
{
	if (!q)
		return;
	nlsock_free(q->s);
	close(q->netns_fd);
	free(q->v);
	free(q);
}

bool ebpf_reader_busy(const struct ebpf_reader *q)
{
	return q && q->busy;
}

/* ---- on the thread ---------------------------------------------------------------------------------------------------------------- */

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

static int look_at_filters(struct nlsock *s, struct look *look)
{
	_cleanup_filters_ struct tc_filter_list filters = {0};
	struct name_list names = {.n = 0};
	/* Not asking for the qdisc: the monitor would hear of the question, and look again. */
	int r = tc_filter_list(s, look->ifindex, NULL, &filters, NULL);
	for (size_t i = 0; i < filters.n && r == 0; i++)
		if (filters.v[i].program) {
			name_add(&names, filters.v[i].name);
			look->found.any = true;
		}
	join(&names, look->found.filters);
	return r;
}

static int look_at_tcx(struct look *look)
{
	static const uint32_t places[] = {BPF_AT_TCX_INGRESS, BPF_AT_TCX_EGRESS};
	struct bpf_attached there[BPF_ATTACHED_MAX];
	char texts[ELEMENTS(places) * BPF_ATTACHED_MAX][BPF_NAME_SIZE];
	struct name_list names = {.n = 0};
	size_t n, k = 0;
	for (size_t i = 0; i < ELEMENTS(places); i++) {
		int r = bpf_query(look->ifindex, places[i], there, &n);
		if (r < 0)
			return r;
		for (size_t j = 0; j < n; j++, k++) {
			int fd = bpf_program_open(there[j].program);
			if (fd >= 0 && bpf_program_name(fd, texts[k]) == 0)
				name_add(&names, texts[k]);
			if (fd >= 0)
				close(fd);
			look->found.any = true;
		}
	}
	join(&names, look->found.programs);
	return 0;
}

static void on_thread(uv_work_t *work)
{
	struct ebpf_reader *q = work->data;
	int r = netns_enter(q->netns_fd, NULL);
	if (r == 0 && !q->s)
		r = nlsock_open(NETLINK_ROUTE, &q->s, NULL);
	for (size_t i = 0; i < q->n; i++) {
		struct look *l = &q->v[i];
		l->failed = r < 0 || look_at_filters(q->s, l) < 0 || look_at_tcx(l) < 0;
	}
}

/* ---- on the loop ------------------------------------------------------------------------------------------------------------------ */

static void apply(struct ebpf_reader *q)
{
	for (size_t i = 0; i < q->n; i++) {
		struct link_entry *l = table_find_link(q->table, q->v[i].ifindex);
		/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): both were zeroed before they were filled */
		if (!l || q->v[i].failed || memcmp(&l->ebpf, &q->v[i].found, sizeof(l->ebpf)) == 0)
			continue;
		l->ebpf = q->v[i].found;
		l->dirty = q->table->pending = true;
	}
}

static void on_done(uv_work_t *work, int status)
{
	struct ebpf_reader *q = work->data;
	q->busy = false;
	if (status == 0)
		apply(q);
	free(q->v);
	q->v = NULL;
	q->n = 0;
	q->done(q->user);
}

bool ebpf_reader_start(struct ebpf_reader *q, uv_loop_t *loop)
{
	struct monitor_table *t = q->table;
	if (q->busy)
		return true;
	q->v = calloc(t->n_links + 1, sizeof(*q->v));
	for (size_t i = 0; q->v && i < t->n_links; i++) {
		struct link_entry *l = t->links[i];
		if (l->look && l->sys_known && !table_is_hidden(t, l))
			q->v[q->n++].ifindex = l->link.ifindex;
		if (l->sys_known)
			l->look = false;
	}
	q->work.data = q;
	if (q->n == 0 || uv_queue_work(loop, &q->work, on_thread, on_done) < 0) {
		free(q->v);
		q->v = NULL;
		q->n = 0;
		return false;
	}
	q->busy = true;
	return true;
}

void table_note_filter(struct monitor_table *t, const struct nlmsghdr *h)
{
	struct tcmsg info;
	if (nlmsg_datalen(h) < (int)sizeof(info))
		return;
	memcpy(&info, nlmsg_data(h), sizeof(info));
	struct link_entry *l = TC_H_MAJ(info.tcm_parent) == TC_H_MAJ(TC_H_CLSACT) ? table_find_link(t, info.tcm_ifindex) : NULL;
	if (l)
		l->look = t->pending = true;
}
