/* SPDX-License-Identifier: Apache-2.0 */
/* A DHCP client for one link, IPv4 (RFC 2131) and IPv6 addresses (RFC 8415), on the loop: sockets, one timer, and the two state machines
 * of netlink/dhcp_machine.h. It configures nothing: it reports leases. While a lease is at rest there is no socket and only the timer of
 * its T1; sockets are opened in the link's namespace when there is something to ask.
 *
 * It speaks with the hardware address that the link has or will have in the pod: client identifier, DUID-LL and IAID come from it, so a
 * server knows the pod's device by the same name on the host and in the pod, and in every life of the daemon. */
#pragma once

#include <uv.h>

#include "core/base/error.h"
#include "core/lease.h"
#include "netlink/dhcp_socket.h"

struct dhcp_client;

struct dhcp_options {
	struct dhcp_place place; /* its netns_fd is not used: */
	/* The namespace whenever a socket is opened: a descriptor (borrowed), -1 for the thread's own, or another negative errno for one
	 * that is not there any more. NULL = the thread's own. */
	int (*netns)(void *user);
	struct mac mac; /* chaddr, and what the client is known by; 6 bytes */
	bool v4, v6;    /* which are wanted */
	/* NULL = none. To be asked for again when there is a limit, else in use. */
	const struct leases *known;
	/* ms for the whole; then all wanted families are there or it has failed, and nothing more is reported. 0 = keep: every new lease
	 * is reported, and the end of one, until it is closed. */
	uint32_t limit_ms;
	/* result 0: `leases` (one reference, the callee's). Else -ETIMEDOUT and the like, and `error` says what was sent and what was not
	 * answered. Never called from within dhcp_client_start(). It may close the client. */
	void (*report)(struct dhcp_client *c, int result, const char *error, struct leases *leases, void *user);
	/* Somebody on the link has the address that a server gave: "192.0.2.50 is in use by 02:00:00:00:00:01". It was declined, and
	 * another one is asked for. May be NULL; it must not close the client. */
	void (*declined)(const char *text, void *user);
	void *user;
};
int dhcp_client_start(uv_loop_t *loop, const struct dhcp_options *o, struct dhcp_client **ret, struct error *e);
void dhcp_client_close(struct dhcp_client *c); /* NULL allowed; frees itself from the loop */
/* Give back what is held: one message to each server, sent when this returns, and no answer waited for. -ENODEV and the like when that
 * cannot be. */
int dhcp_release(const struct dhcp_place *place, const struct mac *mac, const struct leases *leases, struct error *e);
