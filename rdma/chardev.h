/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of character devices. Inside rdma/ only. */
#pragma once

#include <stdint.h>

#include "core/base/error.h"
#include "core/config.h" /* struct rdma_node */
#include "rdma/nldev.h"

/* The node `directory`/name with that number, and who may use it. What is not there yet, or is of another number still, is waited for until
 * `deadline` (rdma_clock_ms()). -ENOENT: it did not come. */
int rdma_node_wait(const char *directory, const struct rdma_chardev *chardev, uint64_t deadline, struct rdma_node *ret, struct error *e);

uint64_t rdma_clock_ms(void);
void rdma_sleep_ms(uint32_t ms);
