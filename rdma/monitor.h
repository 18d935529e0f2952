/* SPDX-License-Identifier: Apache-2.0 */
/* Notices of RDMA devices that come, go, get another name or another netdev: the kernel's RDMA monitor (RDMA_NLDEV_CMD_MONITOR, Linux 6.12)
 * and its uevents of the subsystem infiniband. Both are listened to: a move to another namespace and back is told by uevents alone, a
 * netdev that is put to a port by the monitor alone. Several in a row are told as one; what changed is not said: the table is read anew
 * (nldev.h).
 *
 * Nothing tells of a change between shared and exclusive mode. The kernel refuses it while there is a second network namespace, so it does
 * not happen under pods. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "core/base/error.h"

struct rdma_monitor;

/* A kernel without RDMA is no failure: uevents tell when it is loaded. Fails where the kernel has no uevents for us. `changed` is not
 * called before this returns, nor after rdma_monitor_close(). */
int rdma_monitor_start(uv_loop_t *loop, void (*changed)(void *user), void *user, struct rdma_monitor **ret, struct error *e);
void rdma_monitor_close(struct rdma_monitor *m); /* NULL allowed */

/* Whether this is the kernel's uevent of an RDMA device. */
bool rdma_uevent_matters(const char *uevent, size_t len);
