/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor's files share.
 *
 *   monitor.c        sockets, timers: dumps and notifications, and when to look at them
 *   monitor_table.c  messages → the table of links, addresses, PCI functions and default routes
 *   monitor_vfs.c    PFs and their VFs
 *   monitor_facts.c  the table → facts, and what of them is new
 *   monitor_reader.c what must be asked for: eBPF programs (monitor_ebpf.c), speed and firmware (monitor_hardware.c)
 *
 * A device is either a PCI function (with one of its netdevs, or with none while that is in a pod) or a netdev of its own. */
#pragma once

#include "netlink/link.h"
#include "netlink/monitor.h"
#include "netlink/sysfs.h"

/* What was last told of a device: whose facts they were, and of the facts, a kilobyte each, enough to see whether they change. */
struct told {
	char name[DEVICE_NAME_SIZE];
	uint64_t digest;
	bool is; /* false = nothing yet */
};

/* Zero from end to end where there is none: compared as bytes. */
struct ebpf_names {
	char filters[ATTRIBUTE_TEXT_SIZE], programs[ATTRIBUTE_TEXT_SIZE];
	bool any; /* also such as have no name */
};

enum { LINK_FIRMWARE_SIZE = 32 };
/* What a driver says of its link when it is asked. Zero from end to end where it says nothing. */
struct link_hardware {
	uint32_t speed; /* Mb/s; 0 = unknown */
	char firmware[LINK_FIRMWARE_SIZE];
};
enum { LOOK_EBPF = 1, LOOK_HARDWARE = 2 };

struct link_entry {
	struct link link;
	struct sysfs_netdev sys;
	struct ip_prefix *addresses; /* global unicast */
	size_t n_addresses, cap_addresses;
	struct told told; /* when it is a device of its own */
	unsigned generation;
	bool sys_known; /* `sys` was read; it does not change while the link lives */
	bool sys_stale; /* but was read by a name that may have been another link's already */
	struct ebpf_names ebpf;
	struct link_hardware hardware;
	uint8_t look; /* LOOK_…: what to ask again, because something happened that may have changed it */
	bool dirty;
};
struct function_entry {
	struct sysfs_pci pci;
	struct told told;
	int32_t owner;        /* ifindex of the netdev that bears the function's name, also while it is away; 0 = none yet */
	struct mac owner_mac; /* its permanent MAC */
	unsigned generation;
	int32_t vf_index;       /* -1 = it is no VF, or its PF does not say */
	int32_t vfs_user_space; /* of a PF: VFs that are bound to a driver for user space */
	int32_t vfs_elsewhere;  /* and such as have a driver of the kernel's, but no netdev here */
	int32_t counting;       /* of those, while they are counted */
	bool has_netdev;        /* likewise */
	bool vfs_stale;         /* list its VFs again */
	bool shared;            /* had several netdevs at once: then only the old owner may take the name again */
	bool stale;             /* read sysfs again */
	bool dirty;
};
struct uplinks {
	int32_t *v;
	size_t n, cap;
	uint32_t metric; /* of all of them */
};

struct near_nodes {
	int32_t v[NUMA_NODES_MAX]; /* from the node itself on */
	size_t n;
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
	struct near_nodes *near; /* of the nodes that have functions; read once */
	size_t n_near, cap_near;
	unsigned generation;
	bool near_numa_nodes;
	bool hide_ipoib;
	bool uplinks_known;
	bool count_vfs;                    /* a netdev or a function came or went */
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
const struct near_nodes *table_find_near(const struct monitor_table *t, int32_t node);
struct function_entry *table_find_function(const struct monitor_table *t, const char *address);
/* Read what of sysfs is missing or stale. `all`: every PCI function there is. */
int table_read_sysfs(struct monitor_table *t, bool all);
/* Which VFs belong to each PF whose list may be another now. */
void table_read_vfs(struct monitor_table *t);
/* Those of each PF that somebody has; what changed is dirty. */
void table_count_vfs(struct monitor_table *t);
bool table_is_hidden(const struct monitor_table *t, const struct link_entry *l);

/* What the kernel tells of links only when asked, and under RTNL, which a move of a device holds for many milliseconds and a driver for as
 * long as its firmware takes: it is asked on a thread of the pool, for the links that are marked, one run at a time. */
struct link_reader;
/* For the namespace in which it is made. */
int link_reader_new(struct monitor_table *t, void (*done)(void *user), void *user, struct link_reader **ret, struct error *e);
void link_reader_free(struct link_reader *q); /* not while it is busy; NULL allowed */
/* false = there is nothing to look at. Otherwise `done` is called from the loop when a run is over, what it found is in the table, and what
 * of it is news is dirty; links that were marked meanwhile need another run. */
bool link_reader_start(struct link_reader *q, uv_loop_t *loop);
bool link_reader_busy(const struct link_reader *q);

/* On that thread. A negative errno = what was known stays. */
int ebpf_names_read(struct nlsock *s, int32_t ifindex, struct ebpf_names *ret);
/* What a driver answers: "28.39.1002 (MT_0000000838)", "N/A", or a number and rubbish behind it, which is taken for nothing. `ret` was "".
 */
void link_firmware_parse(const char *text, size_t size, char ret[LINK_FIRMWARE_SIZE]);
/* `socket`: any, of the namespace of the link. */
int link_hardware_read(int socket, const char *ifname, struct link_hardware *ret);

/* Tell what changed; `all`: everything, between begin and end. 0, or -ENOMEM. */
int table_flush(struct monitor_table *t, bool all, const struct monitor_callbacks *to, void *user);
int table_flush_uplinks(struct monitor_table *t, const struct monitor_callbacks *to, void *user);
int table_gone(struct monitor_table *t, struct told *told); /* remember to take it back */
