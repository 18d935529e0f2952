/* SPDX-License-Identifier: Apache-2.0 */
/* Moving devices between the host's namespace and a pod's. Every function here blocks (the kernel's price of a move is an RCU barrier of
 * about 16 ms under RTNL) and therefore belongs on the worker thread, one at a time. The mover owns its sockets and the descriptor of the
 * host's namespace; it must be made in the host's network namespace and used from one thread.
 *
 * Attach: check the name in the target; one RTM_NEWLINK with namespace, name, MTU and MAC; everything else through a socket that was opened
 * in the pod's namespace. The kernel's combined request is not atomic: on EEXIST or EINVAL the device may be in the pod already, so after
 * any failure the mover looks where it is and undoes (c-practice trap 7). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/core.h" /* enum place, struct pod_state */

struct mover;
struct sysfs;

/* `sysfs` outlives the mover. */
int mover_new(const struct sysfs *sysfs, struct mover **ret, struct error *e);
void mover_free(struct mover *m);

/* Open a network namespace file and check that it is one (NSFS magic, CLONE_NEWNET) and is not the host's own. Quick; may run on the loop.
 */
int netns_open(const char *path, int *ret_fd, uint64_t *ret_inode, struct error *e);

/* The host state of a link, by ifindex with the name as a check. */
int mover_snapshot(struct mover *m, int32_t ifindex, const char *ifname, struct host_state *ret, struct error *e);

/* Whether the device has what the ethtool part of a configuration asks for, by name and number; nothing is changed. -EINVAL with all that
 * it has not. */
int mover_check(struct mover *m, int32_t ifindex, const struct network_config *wanted, struct error *e);

struct move_result {
	enum place place;      /* always set, also on failure: where the device is now */
	struct pod_state pod;  /* when place is PLACE_POD: read back */
	char differences[512]; /* detach: what could not be restored, by name; "" = all is as it was */
};
/* Host → pod, configured as planned and up; or undone, with place PLACE_HOST. Idempotent: a device that is there already is configured
 * again. `leases` may be NULL; its addresses live as long as it says. -ESTALE, and nothing is changed, when one of them has ended. */
int mover_attach(struct mover *m, const struct attach_plan *plan, const struct leases *leases, int netns_fd, struct move_result *ret,
                 struct error *e);
/* The device in its pod gets what `leases` say, and loses what only `old` said (either may be NULL). */
int mover_apply_leases(struct mover *m, const struct attach_plan *plan, const struct leases *old, const struct leases *leases, int netns_fd,
                       struct move_result *ret, struct error *e);
/* Wherever it is → host, restored and read back. netns_fd -1: it can only be on the host (the kernel brought it home, perhaps under the
 * pod's name or "dev7"): find it by PCI address, permanent MAC or ifindex and kind, and restore it. PLACE_GONE with 0: it does not exist
 * any more. */
int mover_detach(struct mover *m, const struct attach_plan *plan, int netns_fd, struct move_result *ret, struct error *e);
int mover_probe(struct mover *m, const struct attach_plan *plan, int netns_fd, struct move_result *ret, struct error *e);
