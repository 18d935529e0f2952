/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/monitor_internal.h"
#include "netlink/netns.h"

struct look {
	int32_t ifindex;
	char ifname[IFNAME_SIZE];
	uint8_t wanted, found; /* LOOK_… */
	struct ebpf_names ebpf;
	struct link_hardware hardware;
};
struct link_reader {
	uv_work_t work;
	int netns_fd; /* the pool's threads are in the one of whoever was the first to use the pool */
	struct nlsock *s;
	int socket; /* for ioctls */
	struct look *v;
	size_t n;
	bool busy;
	void (*done)(void *user);
	void *user;
	struct monitor_table *table;
};

int link_reader_new(struct monitor_table *t, void (*done)(void *user), void *user, struct link_reader **ret, struct error *e)
{
	struct link_reader *q = calloc(1, sizeof(*q));
	if (!q)
		return error_set(e, -ENOMEM, "monitor: out of memory");
	int r = netns_open_own(&q->netns_fd, e);
	if (r < 0) {
		free(q);
		return r;
	}
	q->socket = -1;
	q->table = t;
	q->done = done;
	q->user = user;
	*ret = q;
	return 0;
}

void link_reader_free(struct link_reader *q)
{
	if (!q)
		return;
	nlsock_free(q->s);
	if (q->socket >= 0)
		close(q->socket);
	close(q->netns_fd);
	free(q->v);
	free(q);
}

bool link_reader_busy(const struct link_reader *q)
{
	return q && q->busy;
}

/* ---- on the thread ---------------------------------------------------------------------------------------------------------------- */

static int prepare(struct link_reader *q)
{
	int r = netns_enter(q->netns_fd, NULL);
	if (r == 0 && !q->s)
		r = nlsock_open(NETLINK_ROUTE, &q->s, NULL);
	if (r == 0 && q->socket < 0)
		q->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return r;
}

static void on_thread(uv_work_t *work)
{
	struct link_reader *q = work->data;
	int r = prepare(q);
	for (size_t i = 0; i < q->n && r == 0; i++) {
		struct look *l = &q->v[i];
		if (l->wanted & LOOK_EBPF && ebpf_names_read(q->s, l->ifindex, &l->ebpf) == 0)
			l->found |= LOOK_EBPF;
		if (l->wanted & LOOK_HARDWARE && link_hardware_read(q->socket, l->ifname, &l->hardware) == 0)
			l->found |= LOOK_HARDWARE;
	}
}

/* ---- on the loop ------------------------------------------------------------------------------------------------------------------ */

static bool differ(const struct link_entry *l, const struct look *k)
{
	/* NOLINTBEGIN(bugprone-suspicious-memory-comparison): all were zeroed before they were filled */
	return (k->found & LOOK_EBPF && memcmp(&l->ebpf, &k->ebpf, sizeof(l->ebpf)) != 0) ||
	       (k->found & LOOK_HARDWARE && memcmp(&l->hardware, &k->hardware, sizeof(l->hardware)) != 0);
	/* NOLINTEND(bugprone-suspicious-memory-comparison) */
}

static void apply(struct link_reader *q)
{
	for (size_t i = 0; i < q->n; i++) {
		struct look *k = &q->v[i];
		struct link_entry *l = table_find_link(q->table, k->ifindex);
		/* Drivers are asked by name: meanwhile that may have become another link's. */
		if (l && k->wanted & LOOK_HARDWARE && !str_equal(l->link.ifname, k->ifname)) {
			l->look |= LOOK_HARDWARE;
			k->found &= LOOK_EBPF;
		}
		if (!l || !differ(l, k))
			continue;
		if (k->found & LOOK_EBPF)
			l->ebpf = k->ebpf;
		if (k->found & LOOK_HARDWARE)
			l->hardware = k->hardware;
		l->dirty = q->table->pending = true;
	}
}

static void on_done(uv_work_t *work, int status)
{
	struct link_reader *q = work->data;
	q->busy = false;
	if (status == 0)
		apply(q);
	free(q->v);
	q->v = NULL;
	q->n = 0;
	q->done(q->user);
}

/* A virtual link has no driver to ask, or one that makes up an answer (every veth has 10 Gb/s). */
static uint8_t askable(const struct monitor_table *t, const struct link_entry *l)
{
	if (table_is_hidden(t, l))
		return 0;
	return l->sys.is_virtual ? l->look & LOOK_EBPF : l->look;
}

bool link_reader_start(struct link_reader *q, uv_loop_t *loop)
{
	struct monitor_table *t = q->table;
	if (q->busy)
		return true;
	q->v = calloc(t->n_links + 1, sizeof(*q->v));
	for (size_t i = 0; q->v && i < t->n_links; i++) {
		struct link_entry *l = t->links[i];
		uint8_t wanted = l->sys_known ? askable(t, l) : 0;
		if (wanted) {
			q->v[q->n] = (struct look){.ifindex = l->link.ifindex, .wanted = wanted};
			memcpy(q->v[q->n++].ifname, l->link.ifname, IFNAME_SIZE);
		}
		if (l->sys_known)
			l->look = 0;
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
