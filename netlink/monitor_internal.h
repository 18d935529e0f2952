/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor's files share.
 *
 *   monitor.c        sockets, timers: dumps and notifications, and when to look at them
 *   monitor_table.c  messages → the table of links, addresses, PCI functions and default routes
 *   monitor_facts.c  the table → facts, and what of them is new
 *
 * A device is either a PCI function (with one of its netdevs, or with none while that is in a pod) or a netdev of its own. */
#pragma once

#include "netlink/link.h"
#include "netlink/monitor.h"
#include "netlink/sysfs.h"

/* What was last told of a device. */
struct told {
	struct device_facts facts;
	bool is; /* false = nothing yet */
};

/* Zero from end to end where there is none: compared as bytes. */
struct ebpf_names {
	char filters[ATTRIBUTE_TEXT_SIZE], programs[ATTRIBUTE_TEXT_SIZE];
	bool any; /* also such as have no name */
};

struct link_entry {
	struct link link;
	struct sysfs_netdev sys;
	struct ip_prefix *addresses; /* global unicast */
	size_t n_addresses, cap_addresses;
	struct told told; /* when it is a device of its own */
	unsigned generation;
	bool sys_known; /* `sys` was read; it does not change while the link lives */
	struct ebpf_names ebpf;
	bool look; /* for eBPF programs: something happened to the link, or to its filters */
	bool dirty;
};
struct function_entry {
	struct sysfs_pci pci;
	struct told told;
	int32_t owner;        /* ifindex of the netdev that bears the function's name, also while it is away; 0 = none yet */
	struct mac owner_mac; /* its permanent MAC */
	unsigned generation;
	bool shared; /* had several netdevs at once: then only the old owner may take the name again */
	bool stale;  /* read sysfs again */
	bool dirty;
};
struct uplinks {
	int32_t *v;
	size_t n, cap;
	uint32_t metric; /* of all of them */
};

struct monitor_table {
	const struct sysfs *sysfs;
	struct pci_names *names;
	struct link_entry **links; /* by ifindex */
	size_t n_links, cap_links;
	struct function_entry **functions; /* by address */
	size_t n_functions, cap_functions;
	struct uplinks families[2]; /* IPv4, IPv6 */
	struct uplinks uplinks_told;
	unsigned generation;
	bool hide_ipoib;
	bool uplinks_known;
	bool pending;                      /* something is to be told, or looked at, at the next flush */
	bool routes_wanted;                /* something happened that may have changed a default route without a word about it */
	char (*changed)[PCI_ADDRESS_SIZE]; /* functions of which a uevent told */
	size_t n_changed, cap_changed;
	char (*gone)[DEVICE_NAME_SIZE]; /* names to take back at the next flush */
	size_t n_gone, cap_gone;
};

void table_free(struct monitor_table *t);

/* Notifications and dumps alike. 0, or -ENOMEM. */
int table_take_link(struct monitor_table *t, const struct nlmsghdr *h);
int table_take_address(struct monitor_table *t, const struct nlmsghdr *h);
int table_take_route(struct monitor_table *t, const struct nlmsghdr *h); /* of a dump */
/* A notification: whether it is about a default route of the main table. */
void table_note_route(struct monitor_table *t, const struct nlmsghdr *h);
/* A notification of a filter, or of the qdisc at a link's doors: its programs are to be looked at again. */
void table_note_filter(struct monitor_table *t, const struct nlmsghdr *h);
/* A uevent of the kernel's ("bind@/devices/…" and NUL-separated KEY=value): driver bound or unbound, function plugged or unplugged, RDMA
 * device come or gone. No link event tells of these. 0, or -ENOMEM. */
int table_note_uevent(struct monitor_table *t, const char *data, size_t len);

/* A full dump: links first, then addresses, then routes; what it did not name is forgotten at its end. */
void table_dump_links(struct monitor_table *t);
void table_dump_addresses(struct monitor_table *t);
void table_dump_routes(struct monitor_table *t, size_t family);
void table_dump_end(struct monitor_table *t);

struct link_entry *table_find_link(const struct monitor_table *t, int32_t ifindex);
struct function_entry *table_find_function(const struct monitor_table *t, const char *address);
/* Read what of sysfs is missing or stale. `all`: every PCI function there is. */
int table_read_sysfs(struct monitor_table *t, bool all);
bool table_is_hidden(const struct monitor_table *t, const struct link_entry *l);

/* Looks at the eBPF programs of the links that are marked, on a thread of the pool; one run at a time. */
struct ebpf_reader;
/* For the namespace in which it is made. */
int ebpf_reader_new(struct monitor_table *t, void (*done)(void *user), void *user, struct ebpf_reader **ret, struct error *e);
void ebpf_reader_free(struct ebpf_reader *q); /* not while it is busy; NULL allowed */
/* false = there is nothing to look at. Otherwise `done` is called from the loop when a run is over, what it found is in the table, and what
 * of it is news is dirty; links that were marked meanwhile need another run. */
bool ebpf_reader_start(struct ebpf_reader *q, uv_loop_t *loop);
bool ebpf_reader_busy(const struct ebpf_reader *q);

/* Tell what changed; `all`: everything, between begin and end. 0, or -ENOMEM. */
int table_flush(struct monitor_table *t, bool all, const struct monitor_callbacks *to, void *user);
int table_flush_uplinks(struct monitor_table *t, const struct monitor_callbacks *to, void *user);
int table_gone(struct monitor_table *t, struct told *told); /* remember to take it back */
