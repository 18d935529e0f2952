/* SPDX-License-Identifier: Apache-2.0 */
/* Notices of RDMA devices that come, go, get another name or another netdev: the kernel's RDMA monitor (RDMA_NLDEV_CMD_MONITOR, Linux 6.12)
 * and, where there is none, its uevents of the subsystem infiniband. Several in a row are told as one; what changed is not said: the table
 * is read anew (nldev.h). */
#pragma once

#include <uv.h>

#include "core/base/error.h"

struct rdma_monitor;

/* -EOPNOTSUPP: this kernel has no RDMA (it may be loaded later: uevents then tell). */
int rdma_monitor_start(uv_loop_t *loop, void (*changed)(void *user), void *user, struct rdma_monitor **ret, struct error *e);
void rdma_monitor_close(struct rdma_monitor *m); /* NULL allowed */
