/* SPDX-License-Identifier: Apache-2.0 */
/* What network devices there are, and every change of it. One netlink socket listens for links, addresses and routes (multicast groups),
 * another dumps, a third hears of PCI and RDMA devices (uevents); sysfs gives PCI address, driver, NUMA node, PCIe root and SR-IOV.
 * Notifications that were lost (ENOBUFS) mean a full dump, never silence (the listener sees BEGIN … END again). A dump never asks for VF
 * information: it would hold RTNL for hundreds of milliseconds on SR-IOV hosts.
 *
 * Facts come after a short debounce (default 20 ms) that joins the bursts the kernel makes; only devices whose facts changed are told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/base/error.h"
#include "core/device.h"

struct monitor;
struct sysfs;

struct monitor_callbacks {
	void (*begin)(void *user);
	void (*device)(const struct device_facts *facts, void *user);
	void (*gone)(const char *device_name, void *user);
	void (*end)(void *user);
	void (*uplinks)(const int32_t *ifindexes, size_t n, void *user); /* links with a default route, best metric per family; sorted */
	void (*failed)(int result, const char *what, void *user);        /* told, then retried by itself */
};
struct monitor_options {
	const struct sysfs *sysfs; /* outlives the monitor, which may end later than monitor_close() */
	uint32_t debounce_ms;      /* 0 = 20 */
	bool near_numa_nodes;      /* gate DRAListTypeAttributes: n_numa_nodes is filled in */
	bool hide_ipoib;           /* --move-ib-interfaces=false */
	struct monitor_callbacks callbacks;
	void *user;
};

/* Starts with a full dump: begin, device…, end, uplinks come from the loop, not from this call. */
int monitor_start(uv_loop_t *loop, const struct monitor_options *o, struct monitor **ret, struct error *e);
void monitor_close(struct monitor *m);
void monitor_resync(struct monitor *m); /* dump everything again */
struct monitor_counters {
	uint64_t dumps, notifications, overruns;
};
void monitor_count(const struct monitor *m, struct monitor_counters *ret);
