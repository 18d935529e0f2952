/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/monitor.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "rdma/socket.h"

/* Of include/uapi/rdma/rdma_netlink.h since Linux 6.12; the header of Debian 12 is older. */
enum { RDMA_NOTIFY_GROUP = 4 };

enum { UEVENT_GROUP = 1 /* the kernel's; 2 is udev's */, DEBOUNCE_MS = 20, READS_PER_TURN = 64, UEVENT_SIZE = 8 << 10 };

struct rdma_monitor {
	uv_poll_t uevents, notices;
	uv_timer_t debounce;
	int uevents_fd, notices_fd; /* -1 = not open */
	unsigned handles;
	bool listening; /* `notices` is a handle */
	bool closing;
	void (*changed)(void *user);
	void *user;
};

bool rdma_uevent_matters(const char *uevent, size_t len)
{
	static const char wanted[] = "SUBSYSTEM=infiniband";
	const char *end = uevent + len;
	while (uevent < end) {
		size_t left = (size_t)(end - uevent), text = strnlen(uevent, left);
		if (text == sizeof(wanted) - 1 && memcmp(uevent, wanted, text) == 0)
			return true;
		uevent += text < left ? text + 1 : left;
	}
	return false;
}

/* ---- closing --------------------------------------------------------------------------------------------------------------------- */

static void monitor_free(struct rdma_monitor *m)
{
	rdma_close_fd(&m->uevents_fd);
	rdma_close_fd(&m->notices_fd);
	free(m);
}

static void on_closed(uv_handle_t *handle)
{
	struct rdma_monitor *m = handle->data;
	if (--m->handles == 0)
		monitor_free(m);
}

void rdma_monitor_close(struct rdma_monitor *m)
{
	if (!m || m->closing)
		return;
	m->closing = true;
	uv_close((uv_handle_t *)&m->debounce, on_closed);
	uv_close((uv_handle_t *)&m->uevents, on_closed);
	if (m->listening)
		uv_close((uv_handle_t *)&m->notices, on_closed);
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static void on_debounce(uv_timer_t *timer)
{
	struct rdma_monitor *m = timer->data;
	m->changed(m->user);
}

/* Devices come in bursts, but one that flaps must not put the news off for ever: the first of a burst starts the clock. */
static void note(struct rdma_monitor *m)
{
	if (!uv_is_active((uv_handle_t *)&m->debounce))
		uv_timer_start(&m->debounce, on_debounce, DEBOUNCE_MS, 0);
}

/* One datagram of the kernel's: its length, 0 when there is none now, or a negative errno. */
static ssize_t read_datagram(int fd, void *buffer, size_t size)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = buffer, .iov_len = size};
		struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(fd, &msg, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
		if (from.nl_pid == 0 && n > 0)
			return n;
	}
}

static void on_notices(uv_poll_t *handle, int status, int events)
{
	struct rdma_monitor *m = handle->data;
	char buffer[UEVENT_SIZE];
	(void)events;
	if (status < 0) /* libuv stops polling a socket with an error; reading it says which, for one that some notices are lost */
		uv_poll_start(&m->notices, UV_READABLE, on_notices);
	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = read_datagram(m->notices_fd, buffer, sizeof(buffer));
		if (n == 0)
			break;
		note(m);
	}
}

static int open_socket(int protocol, int group, int *ret_fd)
{
	static const struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	_cleanup_rdma_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&any, sizeof(any)) < 0 ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Fails without RDMA in the kernel; it may be loaded later. Kernels older than the group never say anything in it. */
static void listen_to_notices(struct rdma_monitor *m)
{
	if (m->listening || open_socket(NETLINK_RDMA, RDMA_NOTIFY_GROUP, &m->notices_fd) < 0)
		return;
	if (uv_poll_init(m->debounce.loop, &m->notices, m->notices_fd) < 0) {
		rdma_close_fd(&m->notices_fd);
		m->notices_fd = -1;
		return;
	}
	m->notices.data = m;
	m->handles++;
	m->listening = true;
	uv_poll_start(&m->notices, UV_READABLE, on_notices);
}

static void on_uevents(uv_poll_t *handle, int status, int events)
{
	struct rdma_monitor *m = handle->data;
	char buffer[UEVENT_SIZE];
	(void)events;
	if (status < 0) /* see on_notices() */
		uv_poll_start(&m->uevents, UV_READABLE, on_uevents);
	for (int i = 0; i < READS_PER_TURN; i++) {
		ssize_t n = read_datagram(m->uevents_fd, buffer, sizeof(buffer));
		if (n == 0)
			break;
		if (n > 0 && !rdma_uevent_matters(buffer, (size_t)n))
			continue;
		listen_to_notices(m);
		note(m);
	}
}

/* ---- starting -------------------------------------------------------------------------------------------------------------------- */

static int start_handles(struct rdma_monitor *m, uv_loop_t *loop)
{
	int r = uv_poll_init(loop, &m->uevents, m->uevents_fd);
	if (r < 0)
		return r;
	uv_timer_init(loop, &m->debounce);
	m->uevents.data = m->debounce.data = m;
	m->handles = 2;
	uv_poll_start(&m->uevents, UV_READABLE, on_uevents);
	listen_to_notices(m);
	return 0;
}

int rdma_monitor_start(uv_loop_t *loop, void (*changed)(void *user), void *user, struct rdma_monitor **ret, struct error *e)
{
	struct rdma_monitor *m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	*m = (struct rdma_monitor){.uevents_fd = -1, .notices_fd = -1, .changed = changed, .user = user};
	int r = open_socket(NETLINK_KOBJECT_UEVENT, UEVENT_GROUP, &m->uevents_fd);
	if (r == 0)
		r = start_handles(m, loop);
	if (r < 0) {
		monitor_free(m);
		return error_set(e, r, "cannot listen to the kernel's uevents: %s", strerror(-r));
	}
	*ret = m;
	return 0;
}
