/* SPDX-License-Identifier: Apache-2.0 */
/* Hears when a link ceases to be in a pod's network namespace: unplugged, deleted by the pod, or moved away by whoever. The kernel tells
 * RTM_DELLINK only to the namespace in which the link was, so a NIC that is pulled while a pod has it is never heard of on the host; this
 * is one socket in that namespace. A filter in the kernel keeps everything else a pod does with its links from waking anybody. Our own
 * moves home are heard too: the receiver must look before it concludes anything.
 *
 * The socket holds the namespace as a pinned descriptor does; close both together. */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "netlink/mover.h"

struct pod_watch;

/* A socket in the namespace, for pod_watch_start(). Blocks like everything of the mover's: on the worker, and before the device is looked
 * for there, so that nothing falls between. */
int mover_open_watch(struct mover *m, int netns_fd, int *ret_fd, struct error *e);

/* `gone`: the link of this number and name (in the pod's namespace) is not there any more; 0 and "" = notifications were lost, it may be
 * any. The descriptor is taken on success. */
int pod_watch_start(uv_loop_t *loop, int fd, void (*gone)(struct pod_watch *w, int32_t ifindex, const char *ifname, void *user), void *user,
                    struct pod_watch **ret, struct error *e);
void pod_watch_close(struct pod_watch *w); /* NULL allowed; frees itself from the loop */
