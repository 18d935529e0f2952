/* SPDX-License-Identifier: Apache-2.0 */
/* The VRF in a pod that devices of it join: a link of kind vrf with a table of its own, in which everything is looked for that belongs to
 * its members. Several devices of a pod may be in one. One that the pod had already is joined if it has that table; one that was made here
 * bears a group number of ours from its first moment, by which it is known when its last member has left. The rule that the kernel makes
 * for all VRFs of a namespace stays. */
#pragma once

#include "core/config.h"
#include "netlink/link.h"

/* The kernel knows no meaning for it; one can ask `ip link show group 211`. */
enum { VRF_GROUP = 211 };

struct vrf {
	struct link link;
	uint32_t table, group;
};
/* A link of whatever kind; the table is 0 when it is no VRF. -ENOMSG, -EBADMSG as link_parse(). */
int vrf_parse(const struct nlmsghdr *h, struct vrf *ret);

/* The configured VRF, made if it is not there, and up. Before any device is moved: -EEXIST when a link of another kind or table has the
 * name, -EOPNOTSUPP when the kernel has no VRFs. All of these do nothing when none is configured. */
int vrf_make(struct nlsock *pod, const struct network_config *c, struct error *e);
/* The device becomes a member. That takes a link which is up down and up again, which costs it its IPv6 addresses and routes: so this comes
 * before them. */
int vrf_join(struct nlsock *pod, const struct network_config *c, const struct link *l, struct error *e);
/* Of a VRF that was made here nothing is left when nobody is in it any more. */
void vrf_unmake(struct nlsock *pod, const struct network_config *c);
