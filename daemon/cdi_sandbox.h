/* SPDX-License-Identifier: Apache-2.0 */
/* A device node that lives as long as a pod's sandbox: made in the /dev of the sandbox's own process (a tmpfs nobody else sees), so that it
 * is gone when that process is. The final CDI spec of a claim points to it, because a sandbox that dies while nobody watches is made again
 * without a Prepare, and the old spec would let the new one's containers in without their devices. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SANDBOX_GATE_SIZE = 160 };

/* Make the node, unless it is there; `ret` is its path as host processes see it. The process must be in the network namespace
 * `netns_inode`. -ESRCH: it is not (or not visible from our PID namespace); -EXDEV: it has no /dev of its own; else negative errno. */
int sandbox_gate(uint32_t pid, uint64_t netns_inode, const char *claim_uid, char ret[SANDBOX_GATE_SIZE]);
