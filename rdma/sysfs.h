/* SPDX-License-Identifier: Apache-2.0 */
/* What sysfs adds to the table of RDMA devices. Inside rdma/ only, and for tests. */
#pragma once

#include "rdma/nldev.h"

/* The file's text with a NUL behind it, cut at `size` - 1: its length, or a negative errno. */
int rdma_sysfs_read(int directory, const char *path, char *text, size_t size);
/* `sysfs_fd`: "/sys", or a fixture's. What cannot be read is not known. */
void rdma_sysfs_add(int sysfs_fd, struct rdma_table *t);
