/* SPDX-License-Identifier: Apache-2.0 */
/* One RDMA device: finding it, moving it between network namespaces, and what a container needs of it.
 *
 * In exclusive mode a device belongs to one namespace; whoever asks through a socket of that namespace sees it there and can send it to
 * another. A move ends every user of it: the kernel removes its character devices and makes new ones. Nobody moves it back but us, or the
 * end of the namespace, which returns it to the first. In shared mode all namespaces show all devices and none moves.
 *
 * All of these ask the network namespace of the calling thread at the time of rdma_open(), and block: for a worker. At rdma_move() the
 * thread must still be in it: the kernel compares. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/config.h" /* struct rdma_state */
#include "rdma/nldev.h"

struct rdma; /* a socket in one network namespace */

/* -EOPNOTSUPP: this kernel has no RDMA. */
int rdma_open(struct rdma **ret, struct error *e);
void rdma_close(struct rdma *r); /* NULL allowed */

int rdma_mode(struct rdma *r, enum rdma_netns_mode *ret, struct error *e);
/* By what identifies it best: index and GUID, else GUID and name. -ENODEV: it is not in this namespace. */
int rdma_find(struct rdma *r, const struct rdma_state *which, struct rdma_device *ret, struct error *e);
int rdma_find_name(struct rdma *r, const char *name, struct rdma_device *ret, struct error *e);
/* Into the namespace of the descriptor. 0 also when the kernel says it is there. -ENODEV: it is in neither. The kernel's errors: -EBUSY,
 * -EOPNOTSUPP (a driver that cannot, or shared mode), -EPERM. */
int rdma_move(struct rdma *r, uint32_t index, int netns_fd, struct error *e);
int rdma_rename(struct rdma *r, uint32_t index, const char *name, struct error *e);

/* Name, GUID, protocol, mode and character devices, as they are now: uverbs, rdma_cm (unless the kernel has none), and umad and issm of
 * each port when asked for (-EOPNOTSUPP: no port has one). A node that udev has not made yet is waited for, `wait_ms` at most; -ENOENT
 * names the one that is missing. */
struct rdma_wanted_nodes {
	bool umad, issm;
	uint32_t wait_ms;
};
int rdma_state_read(struct rdma *r, const char *name, const struct rdma_wanted_nodes *wanted, struct rdma_state *ret, struct error *e);

/* The GID of a RoCE device that is one of these addresses, in its RoCE v2 form, for `state`: IPv4 before IPv6, the first port before the
 * others. The kernel makes GIDs from addresses in its own time, on a work queue: they are waited for, `wait_ms` at most; without one the
 * members stay zero and 0 is returned. `sysfs_fd`: a sysfs of the namespace the device is in (sysfs shows what that may see). */
int rdma_gid_find(int sysfs_fd, const struct ip_prefix *addresses, size_t n, uint32_t wait_ms, struct rdma_state *state, struct error *e);
/* A sysfs of the calling thread's network namespace, mounted nowhere. */
int rdma_sysfs_open(int *ret_fd, struct error *e);
