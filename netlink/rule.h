/* SPDX-License-Identifier: Apache-2.0 */
/* Policy rules, of a configuration and of the host. They belong to a namespace and not to a link: what a device brings into a pod has to be
 * taken away again when it leaves. All of it bears a protocol number of ours, so that a rule which the pod made itself is never touched,
 * though it may be the very same otherwise.
 *
 * Two devices of a pod may bring the same rule; the pod has it once then, and the first that leaves takes it along. The devices of a pod
 * leave together, when it ends or when it cannot start, so that nobody is left who would miss it. */
#pragma once

#include "core/config.h"
#include "netlink/nlsock.h"

/* The kernel knows no meaning for this number, and iproute2 no name. */
enum { RULE_PROTOCOL = 211 };

/* One rule of the host, appended to `state->pod_rules` if it goes with link `ifname` of which `state` has the routes: it leads to a table
 * that one of these is in (not main, local or default), or it names the link. Rules that name another link stay, and those that make sense
 * only among the host's own (goto, VRF). -ENOMSG: it stays; -EBADMSG; -ENOMEM; -E2BIG. */
int rule_take(const struct nlmsghdr *h, const char *ifname, struct host_state *state);
/* All of the host. `state` has the routes by now. */
int rules_read(struct nlsock *s, const char *ifname, struct host_state *state, struct error *e);

/* The rules that the plan's device brings into the pod: the configured ones, and those of the host unless there is a VRF, which leads to
 * its table without any. What is there stays there. */
int rules_add(struct nlsock *pod, const struct attach_plan *p, struct error *e);
void rules_remove(struct nlsock *pod, const struct attach_plan *p);

/* What rules_add() asks for, as messages one behind the other. -ENOMEM, -EMSGSIZE. */
int rules_of(const struct attach_plan *p, struct bytes *ret);
/* Whether the kernel's account of a rule is of the one we asked for; one without a priority got any. */
bool rule_is(const struct nlmsghdr *there, const struct nlmsghdr *asked);
