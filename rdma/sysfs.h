/* SPDX-License-Identifier: Apache-2.0 */
/* What sysfs adds to the table of RDMA devices. Inside rdma/ only, and for tests. */
#pragma once

#include "rdma/nldev.h"

/* `sysfs_fd`: "/sys", or a fixture's. What cannot be read is not known. */
void rdma_sysfs_add(int sysfs_fd, struct rdma_table *t);
