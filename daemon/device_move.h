/* SPDX-License-Identifier: Apache-2.0 */
/* One device of a claim is a netdev, an RDMA device, or both on one piece of hardware. netlink/ and rdma/ know nothing of each other: here
 * the two go together, both into the pod or neither, and home the RDMA device first.
 *
 *   attach   netdev in, RDMA device in (exclusive mode), character devices and GID read; whatever fails brings back what has moved
 *   detach   RDMA device home and under its old name, then the netdev, restored
 *   probe    the netdev's place; that of the RDMA device where there is no netdev
 *
 * In shared mode an RDMA device never moves: alone, it is in the pod when the pod's namespace is named, for its character devices are what
 * the pod has of it. Whether the mode is still that of the plan is asked each time. A crash between the two moves is made good by the next
 * attach or detach, which find each half where it is.
 *
 * Everything blocks, for a second at most where a device node, a GID or a dying namespace is waited for: for the mover's worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/core.h"
#include "netlink/mover.h"

struct device_mover;

/* Made in the host's network namespace. `mover` outlives it. */
int device_mover_new(struct mover *mover, struct device_mover **ret, struct error *e);
void device_mover_free(struct device_mover *d); /* NULL allowed */

struct device_parts {
	int32_t ifindex; /* 0 = it has no netdev */
	const char *ifname;
	const char *rdma_device; /* "" = it has none */
	bool umad, issm;         /* these of its character devices, too */
};
/* -EINVAL: it has no such character devices. */
int device_snapshot(struct device_mover *d, const struct device_parts *parts, struct host_state *ret, struct error *e);

struct device_result {
	struct move_result move; /* as of the mover, and of the RDMA device */
	bool rdma;               /* it was the RDMA device that failed */
};
/* As those of the mover (netlink/mover.h). */
int device_attach(struct device_mover *d, const struct attach_plan *plan, const struct leases *leases, int netns_fd,
                  struct device_result *ret, struct error *e);
int device_apply_leases(struct device_mover *d, const struct attach_plan *plan, const struct leases *old, const struct leases *leases,
                        int netns_fd, struct device_result *ret, struct error *e);
int device_detach(struct device_mover *d, const struct attach_plan *plan, int netns_fd, struct device_result *ret, struct error *e);
int device_probe(struct device_mover *d, const struct attach_plan *plan, int netns_fd, struct device_result *ret, struct error *e);
