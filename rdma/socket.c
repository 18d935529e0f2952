/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* A dump's datagrams are at most as large as the buffer that the reader offers, or 8 KiB. */
enum { RECEIVE_SIZE = 16 << 10 };

/* The kernel answers inside send(); later than this something is wrong with a driver. */
static const struct timeval receive_timeout = {.tv_sec = 2};

int rdma_socket_open(int *ret_fd, struct error *e)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_cleanup_rdma_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
	if (fd < 0 && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT))
		return error_set(e, -EOPNOTSUPP, "no RDMA in this kernel");
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive_timeout, sizeof(receive_timeout)) < 0 ||
	    connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return error_set(e, -errno, "RDMA netlink: no socket: %s", strerror(errno));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* One datagram of the kernel's. */
static int receive(int fd, void *buffer, size_t *ret_len, struct error *e)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = buffer, .iov_len = RECEIVE_SIZE};
		struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(fd, &msg, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return error_set(e, -ETIMEDOUT, "RDMA netlink: the kernel did not answer within %ld s",
			                 (long)receive_timeout.tv_sec);
		if (n < 0)
			return error_set(e, -errno, "RDMA netlink: cannot read: %s", strerror(errno));
		if (n == 0)
			return error_set(e, -EPIPE, "RDMA netlink: the other end is gone");
		if (msg.msg_flags & MSG_TRUNC)
			return error_set(e, -EMSGSIZE, "RDMA netlink: an answer is larger than %d bytes", RECEIVE_SIZE);
		if (from.nl_pid != 0)
			continue; /* only the kernel may answer */
		*ret_len = (size_t)n;
		return 0;
	}
}

static int take_nothing(uint16_t command, const void *attributes, size_t len, void *user)
{
	(void)command;
	(void)attributes;
	(void)len;
	(void)user;
	return 0;
}

int rdma_ask(int fd, const struct rdma_request *request, const char *what, rdma_take_cb take, void *user, struct error *e)
{
	char buffer[RECEIVE_SIZE];
	ssize_t n;
	int r;
	do
		n = send(fd, request, request->header.nlmsg_len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* A kernel whose RDMA core knows the first namespace alone has nobody at the other end elsewhere. */
	if (n < 0 && errno == ECONNREFUSED)
		return error_set(e, -EOPNOTSUPP, "RDMA netlink: nobody answers in this network namespace");
	if (n < 0)
		return error_set(e, -errno, "RDMA netlink: cannot ask for %s: %s", what, strerror(errno));
	do {
		size_t len = 0;
		r = receive(fd, buffer, &len, e);
		if (r < 0)
			return r;
		r = rdma_datagram_read(request->header.nlmsg_seq, buffer, len, take ? take : take_nothing, user);
	} while (r == 0);
	return r < 0 ? error_set(e, r, "RDMA netlink: %s: %s", what, strerror(-r)) : 0;
}
