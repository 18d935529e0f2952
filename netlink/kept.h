/* SPDX-License-Identifier: Apache-2.0 */
/* What points at a link and goes when it leaves its namespace: nexthop objects, routes, rules, permanent and proxy neighbours, static
 * bridge entries, the root qdisc. They are kept as the kernel's own messages, cleaned of what is its account of the moment (counters, ages,
 * link flags), and sent back as they are: so every attribute returns, also those that nothing here has a name for. `objects` of a
 * host_state is such messages one behind the other, in an order in which most can be added.
 *
 * A qdisc that lives by what hangs on it, classes or filters (clsact, htb), is kept only to be told of: a program among the filters could
 * not be given back.
 *
 * Not kept is what others make again: routes of router advertisements and redirects, the local table. The routes that the kernel makes for
 * addresses are kept, because it makes them or not depending on what came first, address or link. */
#pragma once

#include "core/config.h"
#include "netlink/link.h"

enum { KEPT_BYTES_MAX = 1 << 20 };

/* Whose they are. Rules name a link by its name. */
struct kept_owner {
	int32_t ifindex;
	const char *ifname;
	const struct mac *mac;
	const struct address *addresses; /* as kept; IPv4 routes that prefer one of these go with it, whatever link they use */
	size_t n_addresses;
};

/* One message of the kernel's: appended to `objects` if it is to be kept. -ENOMSG: it is not; -EBADMSG; -ENOMEM; -E2BIG. */
int kept_take(const struct nlmsghdr *h, const struct kept_owner *o, struct bytes *objects);
/* Of the host as it is: objects, and of them as structs what a pod can be given (routes, neighbours). `state` has none of them yet. */
int kept_read(struct nlsock *s, const struct kept_owner *o, struct host_state *state, struct error *e);

/* `was` of link `was_ifindex` again, for `o`, as far as it is missing; `elapsed` ms have passed since, in which some expired: those with a
 * life of their own, and those of an address that did. The first refusal is in `e`; what is missing nevertheless is for kept_compare() to
 * tell. */
void kept_restore(struct nlsock *s, const struct bytes *was, int32_t was_ifindex, const struct kept_owner *o, uint64_t elapsed,
                  struct error *e);
/* Once the addresses are as they were: takes away the routes that the kernel made for them this time and not then, and gives back those
 * that it removed when an address was changed. */
void kept_restore_made(struct nlsock *s, const struct bytes *was, int32_t was_ifindex, const struct kept_owner *o, uint64_t elapsed);
/* Calls `missing` with a description of each that is not there. Asks only for the kinds that there were. */
int kept_compare(struct nlsock *s, const struct bytes *was, int32_t was_ifindex, const struct kept_owner *o, uint64_t elapsed,
                 void (*missing)(const char *what, void *user), void *user, struct error *e);
/* "route 10.0.0.0/8 via 10.1.0.1 table 100"; of a message that kept_take() kept. */
void kept_format(const struct nlmsghdr *h, char *text, size_t size);
