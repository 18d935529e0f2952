/* SPDX-License-Identifier: Apache-2.0 */
/* Routes and neighbours: parsing (pure), listing and adding. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/config.h"
#include "netlink/nlsock.h"

enum { ROUTE_NEXTHOPS_MAX = 64, ROUTES_MAX = 8192 };

struct route_message {
	uint8_t family;     /* enum ip_family */
	uint32_t flags;     /* RTM_F_* and RTNH_F_* */
	bool partial;       /* there is more to it than `route` can say: encapsulation, a source network, too many next hops */
	struct route route; /* destination's family is always set; all zero = default; a gateway may be of the other family */
	size_t n_oifs;
	int32_t oifs[ROUTE_NEXTHOPS_MAX]; /* of each next hop; more are cut */
};
/* RTM_NEWROUTE or RTM_DELROUTE. -ENOMSG for another family, -EBADMSG for a malformed message. */
int route_parse(const struct nlmsghdr *h, struct route_message *ret);
/* Somebody's decision, and of a form that can be given back: not the kernel's own (prefix routes, router advertisements), no cached clone,
 * not in the local table, nothing that struct route has no room for. */
bool route_is_configured(const struct route_message *m);
bool route_is_through(const struct route_message *m, int32_t ifindex); /* all its next hops */
/* What is left of it when only this link goes elsewhere: the next hops through it. False = there is none, or it cannot be said. */
bool route_reduce(struct route_message *m, int32_t ifindex);

struct nl_msg *route_dump_request(uint8_t family, uint32_t table, int32_t oif); /* AF_*; 0 = any */
/* -EEXIST only when the one that is there leads elsewhere: the kernel's own for an address is replaced when it lacks what was asked for. */
int route_add(struct nlsock *s, int32_t ifindex, const struct route *r, struct error *e);
/* Whatever its metric says, with the lowest that is free from 1024 on: to be asked after others to the same destination. */
int route_add_behind(struct nlsock *s, int32_t ifindex, const struct route *r, struct error *e);
/* Of any metric, and with the protocol that it names. -ESRCH: it is not there. */
int route_remove(struct nlsock *s, int32_t ifindex, const struct route *r, struct error *e);

/* -ENOMSG when it is none a person made permanent. */
int neighbour_parse(const struct nlmsghdr *h, int32_t *ret_ifindex, struct neighbour *ret);
int neighbour_add(struct nlsock *s, int32_t ifindex, const struct neighbour *n, struct error *e); /* or replace */
