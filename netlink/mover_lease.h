/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and the kernel: the link on the host while servers are asked, and what a lease puts into a pod. Blocks, as everything of the
 * mover's (netlink/mover.h). */
#pragma once

#include "core/lease.h"
#include "netlink/dhcp_socket.h"
#include "netlink/mover.h"

/* Bring the plan's link on the host up, if it is not; where it is goes to `ret_place`. Router advertisements are not listened to meanwhile:
 * a default route that came by one would make an uplink of it. -ENODEV when the device is not on the host. */
int mover_lease_begin(struct mover *m, const struct attach_plan *plan, struct dhcp_place *ret_place, struct error *e);
/* The link as the plan's host state says, when that was down. What cannot be restored is an error. */
int mover_lease_end(struct mover *m, const struct attach_plan *plan, struct error *e);
