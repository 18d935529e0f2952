/* SPDX-License-Identifier: Apache-2.0 */
/* A device as the kernel shows it: the facts that discovery collects, the table of attributes they are published as, and the device's name
 * in the ResourceSlice. Plain data without pointers, so that it is copied by assignment and held by value.
 *
 * Names and types of the attributes: reference dranet-behaviour §2.6 (`dra.net/…`) and protocols §5 (`resource.kubernetes.io/…`). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/ip.h"

enum {
	DEVICE_NAME_SIZE = 64, /* DNS label */
	IFNAME_SIZE = 16,      /* IFNAMSIZ */
	ATTRIBUTE_TEXT_SIZE = 65,
	PCI_ADDRESS_SIZE = 20,
	NUMA_NODES_MAX = 16, /* elements of a list attribute, protocols §5 */
};

/* What an RDMA device's ports speak; by RDMA_NLDEV_ATTR_DEV_PROTOCOL and the link layer. */
enum rdma_protocol {
	RDMA_PROTOCOL_UNKNOWN,
	RDMA_PROTOCOL_IB,
	RDMA_PROTOCOL_ROCE,
	RDMA_PROTOCOL_IWARP,
	RDMA_PROTOCOL_USNIC,
	RDMA_PROTOCOL_OPA
};
const char *rdma_protocol_name(uint8_t protocol); /* "ib", "roce", "iwarp", "usnic", "opa"; "" = unknown */

struct device_facts {
	char name[DEVICE_NAME_SIZE]; /* in the slice, the key of everything: device_name_pci() or device_name_netdev() */

	/* The netdev; ifindex 0 = none is visible in the host's namespace. */
	int32_t ifindex;
	int32_t master; /* ifindex of the bond, bridge, VRF … it is a member of; 0 = none */
	int32_t lower;  /* ifindex of the link it stands on (IFLA_LINK in this namespace); 0 = none */
	uint32_t mtu;
	struct mac mac;
	struct mac permanent_mac;
	char ifname[IFNAME_SIZE];
	char encapsulation[ATTRIBUTE_TEXT_SIZE];
	char alias[ATTRIBUTE_TEXT_SIZE];
	char state[ATTRIBUTE_TEXT_SIZE]; /* operstate */
	char type[ATTRIBUTE_TEXT_SIZE];  /* link kind, "device" for plain hardware */
	char ipv4[ATTRIBUTE_TEXT_SIZE];  /* comma-joined, cut at an element before 64 bytes; "" = none */
	char ipv6[ATTRIBUTE_TEXT_SIZE];
	char tc_filters[ATTRIBUTE_TEXT_SIZE]; /* names of eBPF filters of clsact; lists as above, sorted */
	char tcx_programs[ATTRIBUTE_TEXT_SIZE];

	/* The bus. "" = not a PCI function. */
	char pci_address[PCI_ADDRESS_SIZE];
	char pci_vendor[ATTRIBUTE_TEXT_SIZE];
	char pci_device[ATTRIBUTE_TEXT_SIZE];
	char pci_subsystem[8];
	char pcie_root[ATTRIBUTE_TEXT_SIZE];
	char driver[32];
	char firmware[32];                   /* as ethtool -i has it; "" = not said */
	char switch_id[ATTRIBUTE_TEXT_SIZE]; /* of the switch ASIC it is a port of, in hexadecimal; "" = none */
	char pf_address[PCI_ADDRESS_SIZE];   /* of the PF when this is a VF; "" = it is none */
	char pf_ifname[IFNAME_SIZE];
	uint32_t pf_mtu;   /* 0 = not a VF, or the PF has no netdev here */
	int32_t vf_index;  /* which of its PF's VFs this is; -1 = not a VF, or unknown */
	uint32_t speed;    /* Mb/s; 0 = unknown, or there is no link */
	int32_t numa_node; /* -1 = unknown */
	int32_t sriov_vfs;
	/* Of a PF: VFs that somebody has: bound to a driver for user space, or to one of the kernel's without a netdev here. Those that we
	 * have put into a pod are among them. */
	int32_t vfs_away;
	size_t n_numa_nodes; /* 0 = the node is published alone, as a number; else the node and those as near to it on its socket
	                        (dranet-behaviour §2.6), ascending behind the first */
	int32_t numa_nodes[NUMA_NODES_MAX];

	/* The RDMA device; "" = none. The others are what RDMA netlink says of it, zero where that does not know it. */
	char rdma_device[ATTRIBUTE_TEXT_SIZE];
	uint64_t rdma_guid; /* of the node, host order */
	uint32_t rdma_index;
	uint8_t rdma_protocol; /* enum rdma_protocol */
	bool rdma_exclusive;   /* it belongs to one network namespace, and leaves with its netdev */

	bool up; /* IFF_UP */
	bool loopback;
	bool is_virtual;
	bool sriov;
	bool is_vf;
	bool rdma;
	bool ebpf;   /* filters or tcx programs, with a name or without */
	bool is_nic; /* a PCI function of class 02 that is no InfiniBand adapter */
	/* In the topology (uplinks stand on it) but never offered: docker0, cilium_host, IPoIB when not moved … */
	bool hidden;
};

enum attribute_type { ATTRIBUTE_STRING, ATTRIBUTE_INT, ATTRIBUTE_BOOL, ATTRIBUTE_INTS };

struct attribute {
	const char *name; /* with its domain: "dra.net/ifName" */
	enum attribute_type type;
	union {
		const char *string; /* points into the facts or at `text`, ≤ 64 bytes */
		int64_t integer;
		bool boolean;
		struct {
			const int32_t *integers; /* points into the facts; at least one */
			size_t n_integers;
		};
	};
	char text[ATTRIBUTE_TEXT_SIZE]; /* for what the facts hold in binary: do not copy the struct and keep `string` */
};
enum { ATTRIBUTES_MAX = 32 }; /* attributes + capacities of one device, protocols §4.3 */

/* The attributes of a device, in the table's order (stable): the first `room` of them. Returns how many were written to `ret`. */
size_t device_attributes_in(const struct device_facts *facts, size_t room, struct attribute *ret);
/* As many as a device may have in a slice. */
size_t device_attributes(const struct device_facts *facts, struct attribute ret[ATTRIBUTES_MAX]);
/* The page of attributes, as Markdown. */
void device_attributes_print(struct buf *ret);
/* Whether a pod can be given anything of it: a netdev, or an RDMA device that is whole without one. */
bool device_is_whole(const struct device_facts *facts);
/* Whether both would be published alike. */
bool device_attributes_equal(const struct device_facts *a, const struct device_facts *b);

/* "pci-0000-8a-00-0" of "0000:8a:00.0"; dranet-behaviour §2.3. -EINVAL for a text that is no address. */
int device_name_pci(const char *pci_address, char ret[DEVICE_NAME_SIZE]);
/* The interface name where it is a DNS label, else "net-" + lower-case unpadded base32; dranet-behaviour §2.5. */
int device_name_netdev(const char *ifname, char ret[DEVICE_NAME_SIZE]);
/* The last path component that is a PCI address (dddd:bb:dd.f or bb:dd.f); -ENOENT when none is. */
int pci_address_of_path(const char *path, char ret[PCI_ADDRESS_SIZE]);
/* Join `text` to a comma list unless that would pass 64 bytes; false = it did not fit and nothing more must be added. */
bool attribute_list_add(char list[ATTRIBUTE_TEXT_SIZE], const char *text);
