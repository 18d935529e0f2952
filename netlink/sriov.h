/* SPDX-License-Identifier: Apache-2.0 */
/* How many VFs a PF has, which is a number in sysfs. Writing it takes seconds on real hardware, and as long as that lasts the kernel lets
 * nobody read it either, so both belong on a worker. VFs can only be made when there are none: another number means that all of them go
 * first. Whether a driver is bound to new ones (sriov_drivers_autoprobe) is the host's affair. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/device.h"
#include "netlink/sysfs.h"

/* How many VFs the PF at that PCI address has (sriov_numvfs). -ENODEV: no such function; -EOPNOTSUPP: it can have none. */
int sriov_count(const struct sysfs *s, const char *pf, uint32_t *ret, struct error *e);
/* So many VFs as that. `*ret_before`, as soon as it is known: how many there were. Nothing is done when that is the number; with
 * `may_remove` those that there are go first, unless a driver has one whose interface is not on the host: one for user space, or it is in
 * another namespace. -EBUSY: there are some, and they stay; -ERANGE: the PF cannot have so many; else as above, or what the driver said,
 * then there may be fewer, or none. */
int sriov_set(const struct sysfs *s, const char *pf, uint32_t n, bool may_remove, uint32_t *ret_before, struct error *e);
