/* SPDX-License-Identifier: Apache-2.0 */
/* A small blocking netlink socket (not called socket.h, which is a header of libnl): one request, its answer, done.
 *
 * The kernel executes a request inside sendmsg(), so an answer is normally there when the call returns; the receive timeout is only there
 * so that nothing can wait for ever. Answers are matched by sequence number: what a request that timed out left behind is skipped. A socket
 * belongs to the network namespace in which it was opened and stays there, whatever namespace its user is in later; that is how a pod's
 * namespace is configured without a thread living in it.
 *
 * Not thread safe. Only messages whose sender is the kernel are read. */
#pragma once

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

struct nlsock;

enum { NLSOCK_BUFFER_SIZE = 1 << 20, NLSOCK_DUMP_RETRIES = 5, NLSOCK_RECEIVE_SIZE = 64 << 10 };

/* `protocol` is NETLINK_ROUTE and the like. */
int nlsock_open(int protocol, struct nlsock **ret, struct error *e);
/* The same in another namespace: the calling thread enters `netns_fd` and comes back to `home_fd`. The process is aborted when it cannot
 * come back, because everything the thread did afterwards would happen to the wrong namespace. */
int nlsock_open_in(int netns_fd, int home_fd, int protocol, struct nlsock **ret, struct error *e);
void nlsock_free(struct nlsock *s);
static inline void nlsock_freep(struct nlsock **s)
{
	nlsock_free(*s);
}
#define _cleanup_nlsock_ __attribute__((cleanup(nlsock_freep)))

/* A request message whose fixed header is `header`; the caller adds attributes. NULL when out of memory. */
struct nl_msg *nlsock_request(uint16_t type, uint16_t flags, const void *header, size_t header_len);
static inline void nlmsg_freep(struct nl_msg **m)
{
	if (*m)
		nlmsg_free(*m);
}
#define _cleanup_nlmsg_ __attribute__((cleanup(nlmsg_freep)))

/* Called for each message of an answer; a negative return value ends the request with it. In a dump `h` NULL means: the kernel's tables
 * changed under it and it starts again, forget what was seen. */
typedef int nlsock_see(const struct nlmsghdr *h, void *user);

/* Send and wait for the acknowledgement. Negative errno as the kernel gave it, its own words (extended acknowledgement) in `e`. -ETIMEDOUT
 * when it did not answer. `see` may be NULL. */
int nlsock_ask(struct nlsock *s, struct nl_msg *m, nlsock_see *see, void *user, struct error *e);
/* A dump (NLM_F_DUMP is added). Repeated when the kernel says that it was interrupted; -EINTR when that did not help. */
int nlsock_dump(struct nlsock *s, struct nl_msg *m, nlsock_see *see, void *user, struct error *e);

/* For those who read a socket themselves (the monitor): options and buffers as above on a plain descriptor; and the code (0 or negative
 * errno) and the kernel's words of an NLMSG_ERROR or NLMSG_DONE message. */
int nlsock_prepare_fd(int fd);
int nlsock_status(const struct nlmsghdr *h, char *text, size_t text_size);
