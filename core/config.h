/* SPDX-License-Identifier: Apache-2.0 */
/* The opaque configuration (DRANET's NetworkConfig, dranet-behaviour §3) and what it becomes.
 *
 *   value tree ──network_config_parse──▶ network_config ──merge──▶ network_config ─┐
 *                                                          host_state (snapshot) ──┴─ attach_plan_new ──▶ attach_plan
 *
 * A schema table (config_schema.h) drives parsing, validation, merging and the reference page: each row is a path, a type, a range and
 * where it goes. All errors of a document are collected, each naming path and value. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/base/ip.h"
#include "core/base/value.h"
#include "core/device.h"

struct address {
	struct ip_prefix prefix;
	uint32_t flags;          /* IFA_F_* (linux/if_addr.h) as the kernel reported them; 0 for configured ones */
	uint32_t valid_lifetime; /* seconds; UINT32_MAX = for ever */
	uint32_t preferred_lifetime;
	uint8_t scope;               /* RT_SCOPE_* */
	struct ip_address peer;      /* family IP_NONE = none */
	struct ip_address broadcast; /* IPv4 only; IP_NONE = none */
	uint32_t route_metric;       /* of the prefix route the kernel makes for it; 0 = kernel's default */
	char label[IFNAME_SIZE];
	uint8_t protocol; /* IFAPROT_*: who made it; 0 = not said */
};
enum { ROUTE_HOPS_MAX = 8 };
struct next_hop {
	struct ip_address gateway; /* IP_NONE = on link */
	uint32_t weight;           /* 1 … 256; 0 = 1 */
	uint8_t flags;             /* RTNH_F_ONLINK only */
};
struct route {
	struct ip_prefix destination;
	struct ip_address gateway; /* IP_NONE = on link, or several next hops */
	struct ip_address source;  /* preferred source; IP_NONE = kernel's choice */
	uint32_t table;            /* 0 = main */
	uint32_t metric;           /* 0 = kernel's default */
	uint8_t scope;             /* 0 universe, 253 link */
	uint8_t protocol;          /* RTPROT_*; 0 = boot */
	uint8_t type;              /* RTN_*; 0 = unicast */
	uint8_t flags;             /* RTNH_F_ONLINK only */
	uint8_t tos;
	uint32_t mtu, advmss, hop_limit, initial_cwnd, initial_rwnd; /* RTAX_*; 0 = not set */
	uint32_t locked;                                             /* RTAX_LOCK: bits 1 << RTAX_* */
	size_t n_hops;                                               /* 0, or at least 2 */
	struct next_hop hops[ROUTE_HOPS_MAX];
};
struct rule {
	bool has_priority; /* an omitted priority is the kernel's choice, not 0 (dranet-behaviour §13 #5) */
	uint32_t priority;
	struct ip_prefix source, destination; /* family IP_NONE = any */
	uint32_t table;
	uint8_t family; /* enum ip_family; IP_NONE = that of source or destination, else IPv4 */
	bool has_mark;
	uint32_t mark, mask;                     /* FRA_FWMARK and FRA_FWMASK; with a mark there always is a mask */
	char iif[IFNAME_SIZE], oif[IFNAME_SIZE]; /* names in the pod; "" = any */
};
struct neighbour {
	struct ip_address destination;
	struct mac mac;
};
struct link_sizes { /* 0 = leave; bytes */
	uint32_t gso_max, gro_max, gso_ipv4_max, gro_ipv4_max;
	uint32_t gso_max_segs; /* segments */
};

enum { ETHTOOL_NAME_SIZE = 33 }; /* ETH_GSTRING_LEN, and a NUL */
struct ethtool_switch {          /* a feature or a private flag: in a configuration as the person wrote it, aliases included */
	char name[ETHTOOL_NAME_SIZE];
	bool on;
};
/* What ethtool sets as a number or a switch; core/config_schema.c has their names, netlink/ their messages. */
enum ethtool_setting {
	RING_RX,
	RING_RX_MINI,
	RING_RX_JUMBO,
	RING_TX,
	CHANNELS_RX,
	CHANNELS_TX,
	CHANNELS_OTHER,
	CHANNELS_COMBINED,
	COALESCE_ADAPTIVE_RX,
	COALESCE_ADAPTIVE_TX,
	COALESCE_RX_USECS,
	COALESCE_RX_FRAMES,
	COALESCE_RX_USECS_IRQ,
	COALESCE_RX_FRAMES_IRQ,
	COALESCE_TX_USECS,
	COALESCE_TX_FRAMES,
	COALESCE_TX_USECS_IRQ,
	COALESCE_TX_FRAMES_IRQ,
	COALESCE_STATS_USECS,
	PAUSE_AUTONEG,
	PAUSE_RX,
	PAUSE_TX,
	ETHTOOL_SETTINGS
};
struct ethtool_settings {
	uint32_t given; /* bits 1 << enum ethtool_setting; the others were not asked for, or the driver has no such thing */
	uint32_t v[ETHTOOL_SETTINGS];
};

/* What a claim wants its VF to have at the PF. */
struct vf_config {
	bool has_vlan, has_qos, has_spoofchk, has_trust, has_min_rate, has_max_rate; /* a record of an earlier version has none */
	uint32_t vlan;                                                               /* 0 = untagged */
	uint32_t qos;                                                                /* 0 … 7, of the VLAN */
	uint32_t vlan_protocol;      /* ETH_P_8021Q or ETH_P_8021AD in host order; 0 = not given */
	uint32_t min_rate, max_rate; /* Mb/s; 0 = no limit */
	int8_t spoofchk, trust;
};

/* One NetworkConfig document. `has_…`/tri-states: -1 = not given. */
struct network_config {
	char ifname[IFNAME_SIZE]; /* "" = host's name */
	uint32_t mtu;             /* 0 = keep */
	struct mac mac;
	struct link_sizes sizes;
	int8_t dhcp, dhcp6, disable_ebpf, forwarding; /* -1 not given, 0, 1 */
	int8_t arp_ignore, arp_announce;              /* -1 not given */
	bool addresses_given;
	struct address *addresses;
	size_t n_addresses;
	struct route *routes;
	size_t n_routes;
	struct rule *rules;
	size_t n_rules;
	struct neighbour *neighbours;
	size_t n_neighbours;
	char vrf_name[IFNAME_SIZE];
	uint32_t vrf_table; /* 0 = the one that follows from the name; a merged configuration has it */
	struct ethtool_switch *features;
	size_t n_features;
	struct ethtool_switch *private_flags;
	size_t n_private_flags;
	struct ethtool_settings ethtool;
	struct vf_config vf;
	int8_t rdma_umad, rdma_issm; /* -1 not given; the character devices that manage a fabric */
	char profile[ATTRIBUTE_TEXT_SIZE];
};

/* 0 and `*ret` filled, or -EINVAL with every fault in `e` ("interface.mtu: 0 is out of range 68..65535; …"). Unknown fields are faults. */
int network_config_parse(const struct value *document, struct network_config *ret, struct error *e);
/* The rules that hold between values, by which documents are parsed, too: for what was merged from several. 0 or -EINVAL with every fault.
 */
int network_config_check(const struct network_config *c, struct error *e);
/* A device without a netdev (RDMA only) takes next to nothing: what is given could only be ignored. 0 or -EINVAL with every fault. */
int network_config_check_without_netdev(const struct network_config *c, struct error *e);
/* Faults of a configuration this build cannot carry out (profiles): refused rather than ignored. */
int network_config_check_supported(const struct network_config *c, struct error *e);
/* `over` on top of `base`, into `base`: scalars given in `over` replace, lists are joined (dranet-behaviour §3.5, with explicit false and 0
 * overriding). Class configuration is the base, claim configuration goes over it. 0, -ENOMEM, or -E2BIG for a list of more than 256
 * elements; `base` is then some mix of both. */
int network_config_merge(struct network_config *base, const struct network_config *over);
bool network_config_has_ethtool(const struct network_config *c);
bool network_config_has_vf(const struct network_config *c);
void network_config_init(struct network_config *c); /* nothing given */
void network_config_free(struct network_config *c);

/* Bytes in the kernel's own form: what is kept only to be given back to the kernel that they came from. Owned by their holder. */
struct bytes {
	uint8_t *data;
	size_t n;
};

/* The settings of a VF, which its PF holds. */
struct vf_settings {
	bool known;
	char pf[IFNAME_SIZE]; /* the PF's netdev */
	int32_t pf_ifindex;
	uint32_t index; /* of the VF on its PF */
	struct mac mac; /* length 0 = none set */
	uint32_t vlan, qos;
	uint32_t vlan_protocol; /* ETH_P_8021Q or ETH_P_8021AD, in host order */
	uint32_t min_rate, max_rate;
	int8_t spoofchk, trust, rss_query; /* -1 = the driver does not say */
	int8_t link_state;                 /* IFLA_VF_LINK_STATE_*; -1 = not said */
};

/* A character device that a container gets with an RDMA device. */
struct rdma_node {
	char path[48]; /* "/dev/infiniband/uverbs0", the same in the container */
	uint32_t major, minor;
	uint32_t mode; /* permission bits */
	uint32_t uid, gid;
};
enum { RDMA_NODES_MAX = 8 };
/* An RDMA device as an attachment has it: at Prepare on the host (host_state), after the attach in the pod (pod_state). The kernel makes
 * its character devices anew when it moves, under other numbers. */
struct rdma_state {
	char name[ATTRIBUTE_TEXT_SIZE]; /* "" = there is none */
	uint64_t guid;                  /* of the node, host order */
	uint32_t index;                 /* the kernel's; stays when it moves or is renamed */
	uint8_t protocol;               /* enum rdma_protocol */
	bool exclusive;                 /* it moves; else it stays on the host, and only its character devices are given */
	size_t n_nodes;
	struct rdma_node nodes[RDMA_NODES_MAX];
	/* In a pod: the RoCE v2 entry of the GID table that an address of the pod has. */
	uint8_t gid_port;  /* counts from 1; 0 = there is none */
	int32_t gid_index; /* of that port's table */
	struct ip_address gid;
};

/* What the host side of a device was before it left: promise 3. Taken by the netlink adapter at Prepare. */
struct host_state {
	int32_t ifindex;
	char ifname[IFNAME_SIZE];
	char type[IFNAME_SIZE]; /* link kind */
	uint32_t mtu;
	uint32_t min_mtu, max_mtu; /* what the driver accepts; 0 = unknown */
	struct mac mac, permanent_mac;
	bool up;
	uint32_t txqlen;
	struct link_sizes sizes;
	struct address *addresses; /* every one but kernel-made link-local IPv6 */
	size_t n_addresses;
	struct route *routes; /* through this link, all tables but local, not those the kernel makes itself */
	size_t n_routes;
	struct neighbour *neighbours; /* permanent ones */
	size_t n_neighbours;

	uint64_t taken_at; /* CLOCK_BOOTTIME in ms, by which lifetimes go on; 0 = a record of an earlier version, the rest is not known */
	int32_t master;    /* 0 = none */
	int32_t peer_ifindex; /* number of the other end of a veth, or of what the link stands on, in its own namespace; 0 = none */
	uint32_t group;
	uint32_t flags; /* those IFF_* that a person sets */
	uint32_t xdp;   /* number of the XDP program; 0 = none */
	char qdisc[IFNAME_SIZE];
	struct bytes alias;        /* ifalias: any bytes but NUL */
	struct bytes altnames;     /* each with its NUL */
	struct bytes ipv4, ipv6;   /* the link's /proc/sys/net/ipv?/conf, int32_t each, as RTM_NEWLINK has them */
	struct bytes more_sysctls; /* those that RTM_NEWLINK leaves out: "name=value", each with its NUL */
	struct bytes features;     /* ethtool's offload features: words of changeable ones, then as many of wanted ones */
	struct bytes objects;      /* netlink messages: routes, rules, neighbours … that name the link (netlink/kept.h) */
	struct bytes pod_rules;    /* netlink messages: rules of the tables that routes of the link are in; a pod gets them with the link */
	struct bytes private_flags; /* of the driver: words of those that it has, then as many of those that are on */
	struct bytes ebpf;          /* programs on the link, with the numbers that the kernel gave them (netlink/ebpf_kept.h) */
	struct ethtool_settings ethtool;
	struct vf_settings vf;
	struct rdma_state rdma; /* a device without a netdev has this and nothing else */
};
int host_state_copy(const struct host_state *from, struct host_state *ret);
void host_state_free(struct host_state *s);

/* Everything the mover needs for one device, both ways. Immutable once made and shared by reference, because the worker thread reads it
 * while core goes on. Only the loop thread counts references. */
struct attach_plan {
	unsigned references;
	struct device_facts facts; /* at Prepare: identity (PCI address, permanent MAC), and what stays published while it is away */
	struct host_state host;
	struct network_config pod; /* resolved: ifname set; addresses and routes hold what the pod gets */
};
/* Build a plan; takes a copy of host and config. `warnings` (may be NULL) gets what of the host's state the pod does not get, and why.
 * Rules: pod name = configured or host's; no configured addresses → the host's with scope universe; host routes and permanent neighbours
 * are copied behind the configured ones, without duplicates; a preferred source that the pod does not have is dropped, and a route whose
 * gateway the pod's addresses do not reach; routes without a table, and all of the host's, go into the table of a VRF; VF MTU ≤ PF MTU; MTU
 * within the driver's range. -EAGAIN: `host` is the state of another interface than that of `facts`. */
int attach_plan_new(const struct device_facts *facts, const struct host_state *host, const struct network_config *config,
                    struct attach_plan **ret, struct error *warnings, struct error *e);
/* The same configuration over the device and its host state as they are now, after a reboot. What the old plan had copied from the host
 * (addresses where none were configured, routes that carry a protocol) is taken from the new state. */
int attach_plan_renew(const struct attach_plan *old, const struct device_facts *facts, const struct host_state *host,
                      struct attach_plan **ret, struct error *e);
/* Its RDMA device goes with the pod, and gets new character devices by that. */
bool attach_plan_moves_rdma(const struct attach_plan *p);
/* Nothing of it leaves the host: an RDMA device alone, in shared mode. */
bool attach_plan_stays(const struct attach_plan *p);
void route_format(const struct route *r, char *text, size_t size); /* "10.0.0.0/8 via 10.1.0.1 table 100" */
struct attach_plan *attach_plan_ref(struct attach_plan *p);
void attach_plan_unref(struct attach_plan *p); /* NULL allowed */
