/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/pod_watch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "netlink/link.h"
#include "netlink/mover_internal.h"
#include "netlink/netns.h"

/* A notification of a link with all its attributes takes two KiB. One that is larger is cut, and taken for one that was lost. */
enum { READS_PER_TURN = 16, READ_SIZE = 8192 };

struct pod_watch {
	uv_poll_t poll;
	int fd;
	void (*gone)(struct pod_watch *w, int32_t ifindex, const char *ifname, void *user);
	void *user;
	bool closing;
};

/* The message type, as a classic filter loads it: in network byte order from a header that is in the host's. */
static int attach_filter(int fd)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELLINK), 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = {.len = ELEMENTS(code), .filter = code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int open_here(int *ret_fd)
{
	const struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	if (fd < 0)
		return -errno;
	/* The filter first: what came before it would not be filtered. */
	int r = attach_filter(fd);
	if (r == 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		r = -errno;
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

int mover_open_watch(struct mover *m, int netns_fd, int *ret_fd, struct error *e)
{
	int r = netns_enter(netns_fd, e);
	if (r < 0)
		return r;
	r = open_here(ret_fd);
	netns_return(m->host_fd);
	return r < 0 ? error_set(e, r, "cannot listen to the links of a pod's namespace: %s", strerror(-r)) : 0;
}

static void take_messages(struct pod_watch *w, const void *data, size_t len)
{
	int left = (int)len;
	for (const struct nlmsghdr *h = data; nlmsg_ok(h, left) && !w->closing; h = nlmsg_next((struct nlmsghdr *)h, &left)) {
		struct ifinfomsg info;
		struct link l;
		if (h->nlmsg_type != RTM_DELLINK || h->nlmsg_len < NLMSG_LENGTH(sizeof(info)))
			continue;
		memcpy(&info, NLMSG_DATA(h), sizeof(info));
		if (info.ifi_family != AF_UNSPEC) /* a bridge tells of a port that leaves it with the same type */
			continue;
		w->gone(w, info.ifi_index, link_parse(h, &l) == 0 ? l.ifname : "", w->user);
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct pod_watch *w = poll->data;
	_Alignas(struct nlmsghdr) uint8_t buffer[READ_SIZE];
	(void)events;
	/* Lost notifications are an error pending on the socket (ENOBUFS), which libuv takes for a bad descriptor: it calls once with
	 * UV_EBADF and stops watching. */
	if (status < 0)
		uv_poll_start(poll, UV_READABLE, on_readable);
	for (int i = 0; i < READS_PER_TURN && !w->closing; i++) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = buffer, .iov_len = sizeof(buffer)};
		struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(w->fd, &msg, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == ENOBUFS) {
			w->gone(w, 0, "", w->user);
			continue;
		}
		if (n < 0)
			return;
		if (msg.msg_flags & MSG_TRUNC)
			w->gone(w, 0, "", w->user);
		else if (from.nl_pid == 0) /* only the kernel may tell */
			take_messages(w, buffer, (size_t)n);
	}
}

int pod_watch_start(uv_loop_t *loop, int fd, void (*gone)(struct pod_watch *w, int32_t ifindex, const char *ifname, void *user), void *user,
                    struct pod_watch **ret, struct error *e)
{
	struct pod_watch *w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(e, -ENOMEM, "out of memory");
	*w = (struct pod_watch){.fd = fd, .gone = gone, .user = user};
	int r = uv_poll_init(loop, &w->poll, fd);
	if (r < 0) {
		free(w);
		return error_set(e, r, "cannot watch a pod's namespace: %s", uv_strerror(r));
	}
	w->poll.data = w;
	uv_poll_start(&w->poll, UV_READABLE, on_readable);
	*ret = w;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void pod_watch_close(struct pod_watch *w)
{
	if (!w || w->closing)
		return;
	w->closing = true;
	uv_poll_stop(&w->poll);
	close(w->fd); /* at once: it holds the namespace */
	uv_close((uv_handle_t *)&w->poll, on_closed);
}
