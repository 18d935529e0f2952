/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/nlsock.h"

#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "core/base/cleanup.h"
#include "core/base/mark.h"
#include "core/base/str.h"
#include "netlink/netns.h"

struct nlsock {
	struct nl_sock *nl;
	int fd;
	uint32_t sequence;
	uint8_t *buffer; /* NLSOCK_RECEIVE_SIZE */
};

/* The kernel executes requests synchronously; this much later something is wrong with the socket, not with the request. */
static const struct timeval receive_timeout = {.tv_sec = 10};

int nlsock_prepare_fd(int fd)
{
	static const int on = 1, size = NLSOCK_BUFFER_SIZE;
	/* Without CAP_NET_ADMIN in the namespace FORCE is refused; then what the ordinary limit allows must do. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/* Older kernels know fewer of these; the parsers then see no words, and unfiltered dumps, and can do with both. */
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return 0;
}

void nlsock_free(struct nlsock *s)
{
	if (!s)
		return;
	if (s->nl)
		nl_socket_free(s->nl);
	free(s->buffer);
	free(s);
}

int nlsock_open(int protocol, struct nlsock **ret, struct error *e)
{
	_cleanup_nlsock_ struct nlsock *s = calloc(1, sizeof(*s));
	if (!s || !(s->buffer = malloc(NLSOCK_RECEIVE_SIZE)) || !(s->nl = nl_socket_alloc()))
		return error_set(e, -ENOMEM, "cannot open a netlink socket: out of memory");
	int r = nl_connect(s->nl, protocol); /* close-on-exec */
	if (r < 0)
		return error_set(e, errno ? -errno : -EIO, "cannot open a netlink socket: %s", nl_geterror(r));
	s->fd = nl_socket_get_fd(s->nl);
	if (setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &receive_timeout, sizeof(receive_timeout)) < 0)
		return error_set(e, -errno, "cannot set a netlink socket's timeout: %s", strerror(errno));
	nlsock_prepare_fd(s->fd);
	*ret = TAKE_PTR(s);
	return 0;
}

int nlsock_open_in(int netns_fd, int home_fd, int protocol, struct nlsock **ret, struct error *e)
{
	int r = netns_enter(netns_fd, e);
	if (r < 0)
		return r;
	r = nlsock_open(protocol, ret, e);
	netns_return(home_fd);
	return r;
}

struct nl_msg *nlsock_request(uint16_t type, uint16_t flags, const void *header, size_t header_len)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);
	if (m && nlmsg_append(m, (void *)header, header_len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

int nlsock_status(const struct nlmsghdr *h, char *text, size_t text_size)
{
	static const struct nla_policy policy[NLMSGERR_ATTR_MAX + 1] = {[NLMSGERR_ATTR_MSG] = {.type = NLA_STRING, .minlen = 1}};
	str_cut(text, text_size, "");
	size_t payload = h->nlmsg_len - NLMSG_HDRLEN, skip;
	int32_t code;
	if (payload < sizeof(code))
		return h->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
	memcpy(&code, NLMSG_DATA(h), sizeof(code));
	if (h->nlmsg_type == NLMSG_DONE) {
		skip = sizeof(code);
	} else {
		struct nlmsgerr err;
		if (payload < sizeof(err))
			return -EBADMSG;
		memcpy(&err, NLMSG_DATA(h), sizeof(err));
		skip = sizeof(err);
		/* The request comes back after the code unless the kernel agreed to cap it. */
		if (!(h->nlmsg_flags & NLM_F_CAPPED) && err.msg.nlmsg_len >= NLMSG_HDRLEN)
			skip += err.msg.nlmsg_len - NLMSG_HDRLEN;
	}
	skip = NLMSG_ALIGN(skip);
	if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && skip < payload) {
		struct nlattr *tb[NLMSGERR_ATTR_MAX + 1];
		struct nlattr *first = (struct nlattr *)((char *)NLMSG_DATA(h) + skip);
		if (nla_parse(tb, NLMSGERR_ATTR_MAX, first, (int)(payload - skip), (struct nla_policy *)policy) == 0 &&
		    tb[NLMSGERR_ATTR_MSG])
			str_cut(text, text_size, nla_data(tb[NLMSGERR_ATTR_MSG]));
	}
	/* A positive code would be read as success further up. */
	return code > 0 ? -EBADMSG : code;
}

static int kernel_error(struct error *e, int code, const char *text)
{
	return *text ? error_set(e, code, "%s (%s)", strerror(-code), text) : error_set(e, code, "%s", strerror(-code));
}

static int receive(struct nlsock *s, size_t *ret_len, struct error *e)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = s->buffer, .iov_len = NLSOCK_RECEIVE_SIZE};
		struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(s->fd, &msg, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return error_set(e, -ETIMEDOUT, "the kernel did not answer a netlink request within %ld s",
			                 (long)receive_timeout.tv_sec);
		if (n < 0)
			return error_set(e, -errno, "cannot read from a netlink socket: %s", strerror(errno));
		if (msg.msg_flags & MSG_TRUNC)
			return error_set(e, -EMSGSIZE, "a netlink answer is larger than %d bytes", NLSOCK_RECEIVE_SIZE);
		if (from.nl_pid != 0)
			continue; /* only the kernel may answer */
		*ret_len = (size_t)n;
		return 0;
	}
}

static int send_request(struct nlsock *s, struct nl_msg *m, uint16_t flags, struct error *e)
{
	struct nlmsghdr *h = nlmsg_hdr(m);
	h->nlmsg_seq = ++s->sequence;
	h->nlmsg_flags |= flags;
	h->nlmsg_pid = 0;
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;
	do
		n = sendto(s->fd, h, h->nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set(e, -errno, "cannot write to a netlink socket: %s", strerror(errno));
	return 0;
}

struct exchange {
	nlsock_see *see;
	void *user;
	bool finished, interrupted;
};

/* One message of the answer. After `see` failed the rest is still read, so that the next request finds a clean socket. */
static int take(const struct nlmsghdr *h, struct exchange *x, int so_far, struct error *e)
{
	char text[160];
	if (h->nlmsg_flags & NLM_F_DUMP_INTR)
		x->interrupted = true;
	switch (h->nlmsg_type) {
	case NLMSG_NOOP:
		return so_far;
	case NLMSG_ERROR:
	case NLMSG_DONE:
		x->finished = true;
		int code = nlsock_status(h, text, sizeof(text));
		return so_far < 0 ? so_far : code < 0 ? kernel_error(e, code, text) : 0;
	case NLMSG_OVERRUN:
		return so_far < 0 ? so_far : error_set(e, -ENOBUFS, "a netlink answer was lost");
	default:
		if (so_far < 0 || !x->see)
			return so_far;
		so_far = x->see(h, x->user);
		return so_far < 0 ? error_set(e, so_far, "cannot take a netlink answer: %s", strerror(-so_far)) : 0;
	}
}

static int exchange_run(struct nlsock *s, struct exchange *x, struct error *e)
{
	int result = 0;
	while (!x->finished) {
		size_t len = 0;
		int r = receive(s, &len, e);
		if (r < 0)
			return r;
		int left = (int)len;
		for (struct nlmsghdr *h = (struct nlmsghdr *)s->buffer; nlmsg_ok(h, left) && !x->finished; h = nlmsg_next(h, &left))
			if (h->nlmsg_seq == s->sequence)
				result = take(h, x, result, e);
	}
	return result;
}

/* ---- marked points: before and after each request that changes something ---------------------------------------------------------- */

#ifdef DRANETD_MARKS
static const char *link_request_name(const struct nlmsghdr *h)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);
	if (nlmsg_find_attr((struct nlmsghdr *)h, sizeof(*info), IFLA_NET_NS_FD))
		return "newlink-move";
	if (info->ifi_change & IFF_UP)
		return info->ifi_flags & IFF_UP ? "newlink-up" : "newlink-down";
	return "newlink-set";
}

/* Of generic netlink only ethtool is spoken here, and its other requests read. */
static const char *generic_request_name(const struct nlmsghdr *h)
{
	const struct genlmsghdr *header = NLMSG_DATA(h);
	static const char *const names[] = {
	    [ETHTOOL_MSG_FEATURES_SET] = "features-set", [ETHTOOL_MSG_PRIVFLAGS_SET] = "privflags-set",
	    [ETHTOOL_MSG_RINGS_SET] = "rings-set",       [ETHTOOL_MSG_CHANNELS_SET] = "channels-set",
	    [ETHTOOL_MSG_COALESCE_SET] = "coalesce-set", [ETHTOOL_MSG_PAUSE_SET] = "pause-set",
	};
	return h->nlmsg_type != GENL_ID_CTRL && header->cmd < sizeof(names) / sizeof(names[0]) ? names[header->cmd] : NULL;
}

static const char *request_name(const struct nlsock *s, const struct nlmsghdr *h)
{
	static const char *const names[RTM_MAX + 1] = {
	    [RTM_SETLINK] = "setlink",         [RTM_DELLINK] = "dellink",       [RTM_NEWADDR] = "newaddr",
	    [RTM_DELADDR] = "deladdr",         [RTM_NEWROUTE] = "newroute",     [RTM_DELROUTE] = "delroute",
	    [RTM_NEWNEIGH] = "newneigh",       [RTM_DELNEIGH] = "delneigh",     [RTM_NEWRULE] = "newrule",
	    [RTM_DELRULE] = "delrule",         [RTM_NEWQDISC] = "newqdisc",     [RTM_DELQDISC] = "delqdisc",
	    [RTM_NEWTFILTER] = "newtfilter",   [RTM_DELTFILTER] = "deltfilter", [RTM_NEWLINKPROP] = "newlinkprop",
	    [RTM_DELLINKPROP] = "dellinkprop",
	};
	int protocol = -1;
	socklen_t len = sizeof(protocol);
	if (getsockopt(s->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) < 0 || protocol != NETLINK_ROUTE)
		return protocol == NETLINK_GENERIC ? generic_request_name(h) : NULL;
	if (h->nlmsg_type == RTM_NEWLINK)
		return link_request_name(h);
	return h->nlmsg_type <= RTM_MAX ? names[h->nlmsg_type] : NULL;
}

static void mark_request(const struct nlsock *s, const struct nlmsghdr *h, const char *step)
{
	const char *name = request_name(s, h);
	if (name)
		mark("netlink", name, step);
}
#else
#define mark_request(s, h, step) ((void)0)
#endif

int nlsock_ask(struct nlsock *s, struct nl_msg *m, nlsock_see *see, void *user, struct error *e)
{
	if (!m)
		return error_set(e, -ENOMEM, "cannot build a netlink request: out of memory");
	mark_request(s, nlmsg_hdr(m), "begin");
	int r = send_request(s, m, NLM_F_ACK, e);
	struct exchange x = {.see = see, .user = user};
	if (r == 0)
		r = exchange_run(s, &x, e);
	mark_request(s, nlmsg_hdr(m), "end");
	return r;
}

int nlsock_dump(struct nlsock *s, struct nl_msg *m, nlsock_see *see, void *user, struct error *e)
{
	if (!m)
		return error_set(e, -ENOMEM, "cannot build a netlink request: out of memory");
	for (int i = 0; i < NLSOCK_DUMP_RETRIES; i++) {
		if (i > 0)
			see(NULL, user);
		int r = send_request(s, m, NLM_F_DUMP, e);
		struct exchange x = {.see = see, .user = user};
		if (r < 0 || (r = exchange_run(s, &x, e)) < 0 || !x.interrupted)
			return r;
	}
	return error_set(e, -EINTR, "the kernel's tables kept changing while they were read");
}
