/* SPDX-License-Identifier: Apache-2.0 */
/* Three sockets: answers to dumps, notifications of links, addresses, routes and filters, uevents of PCI and RDMA devices. Notifications
 * are not read while a dump runs: everything that happens meanwhile waits in their buffer and is applied to the dump's result afterwards,
 * so an old dump message never overwrites a newer notification. When the buffer overflows (ENOBUFS), the answer is another dump.
 *
 *   idle ──notification──▶ dirty ──debounce──▶ sysfs of new links, tell ──a default route may have changed──▶ dump routes ──▶ tell uplinks
 *   idle ──start, resync, ENOBUFS──▶ dump links, addresses, routes ──▶ ask for what is not told ──▶ tell everything */
#include "netlink/monitor.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/monitor_internal.h"
#include "netlink/nlsock.h"
#include "netlink/route.h"

enum {
	DEBOUNCE_MS = 20,
	DUMP_TIMEOUT_MS = 10000,
	LOOK_TIMEOUT_MS = 120000, /* each link is asked by itself, and each time RTNL is waited for */
	RETRY_MIN_MS = 1000,
	RETRY_MAX_MS = 30000,
	READS_PER_TURN = 64
};

enum stage { STAGE_IDLE, STAGE_LINKS, STAGE_ADDRESSES, STAGE_ROUTES_V4, STAGE_ROUTES_V6, STAGE_LOOK };

struct monitor {
	uv_loop_t *loop;
	uv_poll_t events, answers, uevents;
	uv_timer_t debounce, watch; /* `watch`: a dump's deadline, or the wait before the next try */
	int events_fd, answers_fd, uevents_fd;
	unsigned handles; /* open ones */
	struct monitor_table table;
	struct link_reader *reader;
	struct monitor_callbacks to;
	void *user;
	uint32_t debounce_ms, retry_ms;
	enum stage stage;
	uint32_t sequence; /* of the dump request under way */
	unsigned interruptions;
	bool full;          /* the dump under way is one of everything */
	bool interrupted;   /* the kernel's tables changed under the stage under way */
	bool incomplete;    /* so often that something may be missing */
	bool resync_wanted; /* as soon as the dump under way, or the wait, is over */
	bool closing;
	struct monitor_counters counters;
	uint8_t buffer[NLSOCK_RECEIVE_SIZE];
};

/* ---- closing --------------------------------------------------------------------------------------------------------------------- */

static void monitor_free(struct monitor *m)
{
	if (m->events_fd >= 0)
		close(m->events_fd);
	if (m->answers_fd >= 0)
		close(m->answers_fd);
	if (m->uevents_fd >= 0)
		close(m->uevents_fd);
	link_reader_free(m->reader);
	table_free(&m->table);
	free(m);
}

static void on_closed(uv_handle_t *handle)
{
	struct monitor *m = handle->data;
	if (--m->handles == 0 && !link_reader_busy(m->reader))
		monitor_free(m);
}

void monitor_close(struct monitor *m)
{
	if (!m || m->closing)
		return;
	m->closing = true;
	uv_handle_t *handles[] = {(uv_handle_t *)&m->debounce, (uv_handle_t *)&m->watch, (uv_handle_t *)&m->events,
	                          (uv_handle_t *)&m->answers, (uv_handle_t *)&m->uevents};
	for (size_t i = 0, n = m->handles; i < n; i++) /* in the order of start_handles(), which may have got half way */
		uv_close(handles[i], on_closed);
}

/* ---- dumps ----------------------------------------------------------------------------------------------------------------------- */

static void dump_start(struct monitor *m, bool full);
static void on_events(uv_poll_t *handle, int status, int events);
static void on_debounce(uv_timer_t *timer);

static void on_retry(uv_timer_t *timer)
{
	dump_start(timer->data, true);
}

/* Give up for now. What is still in the answers' socket has an old sequence number; what happens meanwhile is in the next dump. */
static void fail(struct monitor *m, int result, const char *what)
{
	m->stage = STAGE_IDLE;
	m->to.failed(result, what, m->user);
	if (m->closing)
		return;
	uv_poll_stop(&m->events);
	m->retry_ms = m->retry_ms ? m->retry_ms * 2 : RETRY_MIN_MS;
	if (m->retry_ms > RETRY_MAX_MS)
		m->retry_ms = RETRY_MAX_MS;
	uv_timer_start(&m->watch, on_retry, m->retry_ms, 0);
}

static void on_dump_timeout(uv_timer_t *timer)
{
	struct monitor *m = timer->data;
	fail(m, -ETIMEDOUT,
	     m->stage == STAGE_LOOK ? "the kernel does not answer what it is asked of each link"
	                            : "the kernel does not answer a dump of links, addresses or routes");
}

/* Each part of a dump waits for RTNL in our own recvmsg(): the loop's idea of the time may be seconds old. */
static void watch_start(struct monitor *m, uint64_t ms)
{
	uv_update_time(m->loop);
	uv_timer_start(&m->watch, on_dump_timeout, ms, 0);
}

static struct nl_msg *stage_request(struct monitor *m)
{
	switch (m->stage) {
	case STAGE_LINKS:
		table_dump_links(&m->table);
		return link_dump_request();
	case STAGE_ADDRESSES:
		table_dump_addresses(&m->table);
		return address_dump_request(AF_UNSPEC, 0);
	case STAGE_ROUTES_V4:
		table_dump_routes(&m->table, 0);
		return route_dump_request(AF_INET, RT_TABLE_MAIN, 0);
	case STAGE_ROUTES_V6:
		table_dump_routes(&m->table, 1);
		return route_dump_request(AF_INET6, RT_TABLE_MAIN, 0);
	case STAGE_LOOK:
	case STAGE_IDLE:
		break;
	}
	return NULL;
}

static void stage_start(struct monitor *m)
{
	_cleanup_nlmsg_ struct nl_msg *message = stage_request(m);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	if (!message) {
		fail(m, -ENOMEM, "out of memory for a dump");
		return;
	}
	struct nlmsghdr *h = nlmsg_hdr(message);
	h->nlmsg_seq = ++m->sequence;
	h->nlmsg_flags |= NLM_F_DUMP;
	h->nlmsg_pid = 0;
	m->interrupted = false;
	if (sendto(m->answers_fd, h, h->nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		fail(m, -errno, "cannot ask the kernel for a dump");
		return;
	}
	watch_start(m, DUMP_TIMEOUT_MS);
}

static void dump_start(struct monitor *m, bool full)
{
	uv_poll_stop(&m->events);
	m->full = full;
	m->interruptions = 0;
	m->incomplete = false;
	if (full)
		m->resync_wanted = false;
	m->stage = full ? STAGE_LINKS : STAGE_ROUTES_V4;
	stage_start(m);
}

static void dump_finish(struct monitor *m)
{
	int r = 0;
	m->stage = STAGE_IDLE;
	m->counters.dumps++;
	uv_timer_stop(&m->watch);
	if (m->full) {
		m->table.pending = m->table.n_changed > 0; /* uevents are heard while drivers are asked */
		r = table_flush(&m->table, true, &m->to, m->user);
	}
	if (r == 0 && !m->closing)
		r = table_flush_uplinks(&m->table, &m->to, m->user);
	if (m->closing)
		return;
	if (r < 0) {
		fail(m, r, "cannot take a dump of links, addresses or routes");
		return;
	}
	if (m->incomplete) {
		fail(m, -EINTR, "the kernel's tables keep changing while they are dumped");
		return;
	}
	m->retry_ms = 0;
	if (m->resync_wanted) {
		dump_start(m, true);
		return;
	}
	uv_poll_start(&m->events, UV_READABLE, on_events);
	if (m->table.pending && !uv_is_active((uv_handle_t *)&m->debounce))
		uv_timer_start(&m->debounce, on_debounce, m->debounce_ms, 0);
}

/* The last of a full dump does not come from the socket. */
static void dump_look(struct monitor *m)
{
	if (m->stage != STAGE_LOOK) {
		table_dump_end(&m->table);
		int r = table_read_sysfs(&m->table, true);
		if (r < 0) {
			fail(m, r, "cannot take a dump of links, addresses or routes");
			return;
		}
		m->stage = STAGE_LOOK;
		watch_start(m, LOOK_TIMEOUT_MS);
	}
	if (!link_reader_start(m->reader, m->loop))
		dump_finish(m);
}

static void on_looked(void *user)
{
	struct monitor *m = user;
	if (m->closing) {
		if (m->handles == 0)
			monitor_free(m);
		return;
	}
	if (m->stage == STAGE_LOOK) {
		dump_look(m);
		return;
	}
	(void)link_reader_start(m->reader, m->loop);
	if (m->table.pending && !uv_is_active((uv_handle_t *)&m->debounce))
		uv_timer_start(&m->debounce, on_debounce, m->debounce_ms, 0);
}

static void stage_done(struct monitor *m, int result)
{
	bool routes = m->stage == STAGE_ROUTES_V4 || m->stage == STAGE_ROUTES_V6;
	/* A family that the kernel lacks, or whose main table nobody has used yet, has no default route. */
	if (result < 0 && !(routes && (result == -ENOENT || result == -EOPNOTSUPP || result == -EAFNOSUPPORT))) {
		fail(m, result, "the kernel refuses a dump of links, addresses or routes");
		return;
	}
	if (m->interrupted && ++m->interruptions < NLSOCK_DUMP_RETRIES) {
		stage_start(m);
		return;
	}
	m->incomplete |= m->interrupted;
	if (m->stage == STAGE_ROUTES_V6) {
		if (m->full)
			dump_look(m);
		else
			dump_finish(m);
		return;
	}
	m->stage++;
	stage_start(m);
}

/* Whether the stage ended with it. */
static bool take_answer(struct monitor *m, const struct nlmsghdr *h)
{
	char text[8];
	int r = 0;
	if (m->stage == STAGE_IDLE || h->nlmsg_seq != m->sequence)
		return false;
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		m->interrupted = true;
	if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
		stage_done(m, nlsock_status(h, text, sizeof(text)));
		return true;
	}
	switch (m->stage) {
	case STAGE_LINKS:
		r = table_take_link(&m->table, h);
		break;
	case STAGE_ADDRESSES:
		r = table_take_address(&m->table, h);
		break;
	case STAGE_ROUTES_V4:
	case STAGE_ROUTES_V6:
		r = table_take_route(&m->table, h);
		break;
	case STAGE_LOOK:
	case STAGE_IDLE:
		break;
	}
	if (r < 0)
		fail(m, r, "cannot take a dump of links, addresses or routes");
	return r < 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

/* One datagram of the kernel's: its length, 0 when there is none now, or a negative errno. */
static int read_datagram(struct monitor *m, int fd)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = m->buffer, .iov_len = sizeof(m->buffer)};
		struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(fd, &msg, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
		if (msg.msg_flags & MSG_TRUNC)
			return -EMSGSIZE;
		if (from.nl_pid == 0 && n > 0)
			return (int)n;
	}
}

static void on_answers(uv_poll_t *handle, int status, int events)
{
	struct monitor *m = handle->data;
	(void)events;
	if (status < 0) { /* see on_events() */
		uv_poll_start(&m->answers, UV_READABLE, on_answers);
		if (m->stage == STAGE_IDLE)
			return;
		status = read_datagram(m, m->answers_fd);
		fail(m, status < 0 ? status : -EIO, "cannot read the kernel's dump");
		return;
	}
	for (int turn = 0; turn < READS_PER_TURN && !m->closing; turn++) {
		int left = read_datagram(m, m->answers_fd);
		if (left == 0)
			return;
		if (left < 0) {
			fail(m, left, "cannot read the kernel's dump");
			return;
		}
		for (struct nlmsghdr *h = (struct nlmsghdr *)m->buffer; nlmsg_ok(h, left); h = nlmsg_next(h, &left))
			if (take_answer(m, h))
				break;
		/* Late is what stands still. */
		if (m->stage != STAGE_IDLE && m->stage != STAGE_LOOK)
			watch_start(m, DUMP_TIMEOUT_MS);
	}
}

static int take_event(struct monitor *m, const struct nlmsghdr *h)
{
	m->counters.notifications++;
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return table_take_link(&m->table, h);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return table_take_address(&m->table, h);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		table_note_route(&m->table, h);
		return 0;
	case RTM_NEWTFILTER:
	case RTM_DELTFILTER:
	case RTM_NEWQDISC:
	case RTM_DELQDISC:
		table_note_filter(&m->table, h);
		return 0;
	default:
		return 0;
	}
}

/* After an overrun what is still queued is older than the dump to come, and the kernel drops everything new until the queue is empty. */
static void discard(struct monitor *m, int fd)
{
	int left;
	do
		left = read_datagram(m, fd);
	while (left > 0 || left == -ENOBUFS || left == -EMSGSIZE);
}

static void on_events(uv_poll_t *handle, int status, int events)
{
	struct monitor *m = handle->data;
	(void)events;
	int result = 0;
	for (int turn = 0; turn < READS_PER_TURN && result == 0; turn++) {
		int left = read_datagram(m, m->events_fd);
		if (left == 0 && status == 0)
			break;
		/* Notifications were lost, which ones nobody knows. The socket has an error pending then (ENOBUFS), which libuv takes
		 * for a bad descriptor: it calls once with UV_EBADF and stops watching. */
		if (left <= 0 || status < 0) {
			m->counters.overruns++;
			discard(m, m->events_fd);
			dump_start(m, true);
			return;
		}
		for (struct nlmsghdr *h = (struct nlmsghdr *)m->buffer; nlmsg_ok(h, left) && result == 0; h = nlmsg_next(h, &left))
			result = take_event(m, h);
	}
	if (result < 0)
		fail(m, result, "cannot take the kernel's notifications");
	else if (m->table.pending && !uv_is_active((uv_handle_t *)&m->debounce))
		uv_timer_start(&m->debounce, on_debounce, m->debounce_ms, 0);
}

static void on_uevents(uv_poll_t *handle, int status, int events)
{
	struct monitor *m = handle->data;
	(void)events;
	for (int turn = 0; turn < READS_PER_TURN; turn++) {
		int len = read_datagram(m, m->uevents_fd);
		if (len == 0 && status == 0)
			break;
		if (len <= 0 || status < 0) { /* see on_events() */
			m->counters.overruns++;
			discard(m, m->uevents_fd);
			uv_poll_start(&m->uevents, UV_READABLE, on_uevents);
			monitor_resync(m);
			return;
		}
		m->counters.notifications++;
		int r = table_note_uevent(&m->table, (const char *)m->buffer, (size_t)len);
		if (r < 0) {
			fail(m, r, "cannot take the kernel's notifications");
			return;
		}
	}
	if (m->table.pending && !uv_is_active((uv_handle_t *)&m->debounce))
		uv_timer_start(&m->debounce, on_debounce, m->debounce_ms, 0);
}

static void on_debounce(uv_timer_t *timer)
{
	struct monitor *m = timer->data;
	if (m->stage != STAGE_IDLE || uv_is_active((uv_handle_t *)&m->watch))
		return; /* a dump, or the wait for one, takes care of it */
	m->table.pending = false;
	int r = table_read_sysfs(&m->table, false);
	if (r == 0)
		r = table_flush(&m->table, false, &m->to, m->user);
	if (m->closing)
		return;
	if (r < 0) {
		fail(m, r, "cannot take the kernel's notifications");
		return;
	}
	(void)link_reader_start(m->reader, m->loop);
	if (m->table.routes_wanted) {
		m->table.routes_wanted = false;
		dump_start(m, false);
	}
}

/* ---- starting -------------------------------------------------------------------------------------------------------------------- */

static int open_socket(int *ret_fd, int protocol, const int *groups, size_t n_groups, struct error *e)
{
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0)
		return error_set(e, -errno, "cannot open a netlink socket: %s", strerror(errno));
	*ret_fd = fd; /* closed with the monitor */
	nlsock_prepare_fd(fd);
	if (bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0)
		return error_set(e, -errno, "cannot bind a netlink socket: %s", strerror(errno));
	for (size_t i = 0; i < n_groups; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) < 0)
			return error_set(e, -errno, "cannot listen to netlink group %d: %s", groups[i], strerror(errno));
	return 0;
}

static int open_sockets(struct monitor *m, struct error *e)
{
	static const int groups[] = {RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
	                             RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,  RTNLGRP_TC};
	static const int from_kernel = 1; /* group 2 is udev's */
	int r = open_socket(&m->events_fd, NETLINK_ROUTE, groups, ELEMENTS(groups), e);
	if (r == 0)
		r = open_socket(&m->answers_fd, NETLINK_ROUTE, NULL, 0, e);
	if (r == 0)
		r = open_socket(&m->uevents_fd, NETLINK_KOBJECT_UEVENT, &from_kernel, 1, e);
	return r;
}

static int start_handles(struct monitor *m, struct error *e)
{
	const struct {
		uv_poll_t *handle;
		int fd;
		uv_poll_cb callback;
	} polls[] = {
	    {&m->events, m->events_fd, on_events}, {&m->answers, m->answers_fd, on_answers}, {&m->uevents, m->uevents_fd, on_uevents}};
	m->events.data = m->answers.data = m->uevents.data = m->debounce.data = m->watch.data = m;
	uv_timer_init(m->loop, &m->debounce);
	uv_timer_init(m->loop, &m->watch);
	m->handles = 2;
	for (size_t i = 0; i < ELEMENTS(polls); i++) {
		int r = uv_poll_init(m->loop, polls[i].handle, polls[i].fd);
		if (r == 0) {
			m->handles++;
			r = uv_poll_start(polls[i].handle, UV_READABLE, polls[i].callback);
		}
		if (r < 0)
			return error_set(e, r, "cannot watch a netlink socket: %s", uv_strerror(r));
	}
	return 0;
}

int monitor_start(uv_loop_t *loop, const struct monitor_options *o, struct monitor **ret, struct error *e)
{
	struct monitor *m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(e, -ENOMEM, "monitor: out of memory");
	m->loop = loop;
	m->events_fd = m->answers_fd = m->uevents_fd = -1;
	m->to = o->callbacks;
	m->user = o->user;
	m->debounce_ms = o->debounce_ms ? o->debounce_ms : DEBOUNCE_MS;
	m->table.sysfs = o->sysfs;
	m->table.near_numa_nodes = o->near_numa_nodes;
	m->table.hide_ipoib = o->hide_ipoib;
	int r = pci_names_new(&m->table.names) == 0 ? 0 : error_set(e, -ENOMEM, "monitor: out of memory");
	if (r == 0)
		r = link_reader_new(&m->table, on_looked, m, &m->reader, e);
	if (r == 0)
		r = open_sockets(m, e);
	if (r == 0)
		r = start_handles(m, e);
	if (r < 0) {
		if (m->handles > 0)
			monitor_close(m);
		else
			monitor_free(m);
		return r;
	}
	dump_start(m, true);
	*ret = m;
	return 0;
}

void monitor_resync(struct monitor *m)
{
	if (m->stage == STAGE_IDLE)
		dump_start(m, true);
	else
		m->resync_wanted = true;
}

void monitor_count(const struct monitor *m, struct monitor_counters *ret)
{
	*ret = m->counters;
}
