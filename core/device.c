/* SPDX-License-Identifier: Apache-2.0 */
#include "core/device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

/* When an attribute is there: dranet-behaviour §2.6, column "omitted when". */
enum presence {
	ALWAYS,
	WITH_NETDEV,
	NOT_EMPTY, /* texts */
	NOT_FALSE, /* booleans published only as true */
	NOT_ZERO,  /* numbers of 32 bits */
	WITH_SRIOV,
	OF_VF,       /* texts of VFs */
	OF_VF_INDEX, /* from 0 */
	WITH_NUMA,
	WITH_RDMA_PROTOCOL,
};

enum field { FIELD_TEXT, FIELD_MAC, FIELD_I32, FIELD_U32, FIELD_BOOL, FIELD_NUMA, FIELD_RDMA_PROTOCOL };

#define FIRST_OF_OURS "dra.net/linkSpeed"
/* DRANET's (dranet-behaviour §2.6), then those of our own, what is needed most first: one attribute too many and the API server refuses the
 * whole slice, so where there is no room the last ones are left out. A VF of which all is known has 32. */
static const struct row {
	const char *name;
	enum field field;
	size_t offset;
	enum presence presence;
	const char *about; /* for the page of attributes */
} rows[] = {
    {"dra.net/ifName", FIELD_TEXT, offsetof(struct device_facts, ifname), WITH_NETDEV, "name of the interface"},
    {"dra.net/mac", FIELD_MAC, offsetof(struct device_facts, mac), WITH_NETDEV, "its hardware address; of IPoIB all 20 bytes"},
    {"dra.net/mtu", FIELD_U32, offsetof(struct device_facts, mtu), WITH_NETDEV, "its MTU"},
    {"dra.net/encapsulation", FIELD_TEXT, offsetof(struct device_facts, encapsulation), WITH_NETDEV,
     "kind of its link layer: `ether`, `infiniband`, `none` …"},
    {"dra.net/alias", FIELD_TEXT, offsetof(struct device_facts, alias), WITH_NETDEV, "the alias that somebody gave it, cut at 64 bytes"},
    {"dra.net/state", FIELD_TEXT, offsetof(struct device_facts, state), WITH_NETDEV,
     "`up`, `down`, `lower-layer-down`, `dormant`, `testing`, `not-present`, `unknown`"},
    {"dra.net/type", FIELD_TEXT, offsetof(struct device_facts, type), WITH_NETDEV,
     "kind of the link: `device` for hardware, else `dummy`, `macvlan`, `vlan`, `veth` …; `tuntap` for tun and tap"},
    {"dra.net/ipv4", FIELD_TEXT, offsetof(struct device_facts, ipv4), NOT_EMPTY,
     "global unicast addresses with their lengths, as many as 64 bytes hold, sorted"},
    {"dra.net/ipv6", FIELD_TEXT, offsetof(struct device_facts, ipv6), NOT_EMPTY, "the same; not temporary or deprecated ones"},
    {"dra.net/tcFilterNames", FIELD_TEXT, offsetof(struct device_facts, tc_filters), NOT_EMPTY, "eBPF filters of clsact, sorted"},
    {"dra.net/tcxProgramNames", FIELD_TEXT, offsetof(struct device_facts, tcx_programs), NOT_EMPTY,
     "eBPF programs attached by tcx, sorted"},
    {"dra.net/ebpf", FIELD_BOOL, offsetof(struct device_facts, ebpf), WITH_NETDEV, "whether any of both is there, with a name or without"},
    {"dra.net/sriov", FIELD_BOOL, offsetof(struct device_facts, sriov), WITH_NETDEV, "whether it can have VFs"},
    {"dra.net/sriovVfs", FIELD_I32, offsetof(struct device_facts, sriov_vfs), WITH_SRIOV, "how many VFs it has"},
    {"dra.net/isSriovVf", FIELD_BOOL, offsetof(struct device_facts, is_vf), NOT_FALSE, "it is a VF"},
    {"dra.net/virtual", FIELD_BOOL, offsetof(struct device_facts, is_virtual), WITH_NETDEV, "whether no hardware is below it"},
    {"dra.net/rdma", FIELD_BOOL, offsetof(struct device_facts, rdma), ALWAYS, "whether it has an RDMA device"},
    {"dra.net/rdmaDevice", FIELD_TEXT, offsetof(struct device_facts, rdma_device), NOT_EMPTY, "name of that"},
    {"dra.net/pciAddress", FIELD_TEXT, offsetof(struct device_facts, pci_address), NOT_EMPTY, "PCI address of the function"},
    {"dra.net/pciVendor", FIELD_TEXT, offsetof(struct device_facts, pci_vendor), NOT_EMPTY,
     "its vendor by the hardware database, cut at 64 bytes; `unknown`"},
    {"dra.net/pciDevice", FIELD_TEXT, offsetof(struct device_facts, pci_device), NOT_EMPTY, "its product, likewise"},
    {"dra.net/pciSubsystem", FIELD_TEXT, offsetof(struct device_facts, pci_subsystem), NOT_EMPTY,
     "its subsystem device id, four hexadecimal digits"},
    {"dra.net/numaNode", FIELD_I32, offsetof(struct device_facts, numa_node), WITH_NUMA, "NUMA node of the function"},
    {"resource.kubernetes.io/pcieRoot", FIELD_TEXT, offsetof(struct device_facts, pcie_root), NOT_EMPTY,
     "PCIe root complex, `pci0000:80`: what has the same one is on the same host bridge"},
    {"resource.kubernetes.io/numaNode", FIELD_NUMA, offsetof(struct device_facts, numa_node), WITH_NUMA,
     "the same as `dra.net/numaNode`; with the gate a list: the node, then those as near to it on its socket"},
    {FIRST_OF_OURS, FIELD_U32, offsetof(struct device_facts, speed), NOT_ZERO,
     "speed of the link in Mb/s, as the driver says when the link comes up; not of virtual links"},
    {"dra.net/rdmaProtocol", FIELD_RDMA_PROTOCOL, offsetof(struct device_facts, rdma_protocol), WITH_RDMA_PROTOCOL,
     "`ib`, `roce`, `iwarp`, `usnic`, `opa`"},
    {"dra.net/pfName", FIELD_TEXT, offsetof(struct device_facts, pf_ifname), OF_VF, "interface of the PF"},
    {"dra.net/pfPciAddress", FIELD_TEXT, offsetof(struct device_facts, pf_address), OF_VF, "PCI address of the PF"},
    {"dra.net/vfIndex", FIELD_I32, offsetof(struct device_facts, vf_index), OF_VF_INDEX, "which of the PF's VFs it is, from 0"},
    {"dra.net/driver", FIELD_TEXT, offsetof(struct device_facts, driver), NOT_EMPTY,
     "driver of the PCI function, else of the device on its bus (`virtio_net`, `hv_netvsc`, `r8152`)"},
    {"dra.net/switchID", FIELD_TEXT, offsetof(struct device_facts, switch_id), NOT_EMPTY,
     "the switch in the hardware that it is a port of, hexadecimal: the same for all ports of one"},
    {"dra.net/firmwareVersion", FIELD_TEXT, offsetof(struct device_facts, firmware), NOT_EMPTY,
     "version of the firmware as `ethtool -i` shows it"},
};

static const char *const presence_words[] = {
    [ALWAYS] = "always",
    [WITH_NETDEV] = "its interface is on the host",
    [NOT_EMPTY] = "there is one",
    [NOT_FALSE] = "true",
    [NOT_ZERO] = "known, and the link is up",
    [WITH_SRIOV] = "`sriov`, and it is no VF",
    [OF_VF] = "a VF, and known",
    [OF_VF_INDEX] = "a VF, and known",
    [WITH_NUMA] = "a PCI function with a node",
    [WITH_RDMA_PROTOCOL] = "it has an RDMA device, and known",
};
static const char *const field_words[] = {
    [FIELD_TEXT] = "string",      [FIELD_MAC] = "string",           [FIELD_I32] = "int", [FIELD_U32] = "int", [FIELD_BOOL] = "bool",
    [FIELD_NUMA] = "int or ints", [FIELD_RDMA_PROTOCOL] = "string",
};

static const char introduction[] =
    "# Attributes of devices\n"
    "\n"
    "What the ResourceSlices of the driver say of each device, for selectors of claims and device classes, constraints, and `--filter`.\n"
    "`dranetd --print-attributes` prints this page.\n"
    "\n"
    "- Names and types are DRANET's; those marked with + go beyond it. Texts have at most 64 bytes. No device has more than 32\n"
    "  attributes: of those that would be too many the last of this table are left out.\n"
    "- A device that is in a pod keeps what was last known of it on the host.\n"
    "- With `--feature-gates=DRAListTypeAttributes=true` `resource.kubernetes.io/numaNode` is a list (`.IntValues` in a filter). The gate\n"
    "  of this name has to be on in the cluster, else the API server refuses the slices.\n"
    "\n"
    "| attribute | type | there when | what it says |\n"
    "|---|---|---|---|\n";

void device_attributes_print(struct buf *ret)
{
	bool ours = false;
	buf_puts(ret, introduction);
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		ours |= str_equal(rows[i].name, FIRST_OF_OURS);
		buf_printf(ret, "| `%s`%s | %s | %s | %s |\n", rows[i].name, ours ? " +" : "", field_words[rows[i].field],
		           presence_words[rows[i].presence], rows[i].about);
	}
}

static bool row_present(const struct row *r, const struct device_facts *facts)
{
	const char *field = (const char *)facts + r->offset;
	switch (r->presence) {
	case WITH_NETDEV:
		return facts->ifindex != 0;
	case NOT_EMPTY:
		return *field != 0;
	case NOT_FALSE:
		return *(const bool *)field;
	case NOT_ZERO:
		return *(const uint32_t *)field != 0;
	case WITH_SRIOV:
		return facts->ifindex != 0 && facts->sriov && !facts->is_vf;
	case OF_VF:
		return facts->is_vf && *field != 0;
	case OF_VF_INDEX:
		return facts->is_vf && facts->pf_address[0] && facts->vf_index >= 0;
	case WITH_RDMA_PROTOCOL:
		return facts->rdma && *rdma_protocol_name(facts->rdma_protocol);
	case WITH_NUMA: /* facts that were only zeroed belong to no PCI function */
		return facts->pci_address[0] && facts->numa_node >= 0;
	case ALWAYS:
		break;
	}
	return true;
}

static void row_read(const struct row *r, const struct device_facts *facts, struct attribute *ret)
{
	const void *field = (const char *)facts + r->offset;
	ret->name = r->name;
	switch (r->field) {
	case FIELD_TEXT:
		ret->type = ATTRIBUTE_STRING;
		ret->string = field;
		break;
	case FIELD_MAC:
		ret->type = ATTRIBUTE_STRING;
		mac_format(field, ret->text);
		ret->string = ret->text;
		break;
	case FIELD_I32:
		ret->type = ATTRIBUTE_INT;
		ret->integer = *(const int32_t *)field;
		break;
	case FIELD_U32:
		ret->type = ATTRIBUTE_INT;
		ret->integer = *(const uint32_t *)field;
		break;
	case FIELD_BOOL:
		ret->type = ATTRIBUTE_BOOL;
		ret->boolean = *(const bool *)field;
		break;
	case FIELD_NUMA:
		ret->type = facts->n_numa_nodes > 0 ? ATTRIBUTE_INTS : ATTRIBUTE_INT;
		if (ret->type == ATTRIBUTE_INTS) {
			ret->integers = facts->numa_nodes;
			ret->n_integers = facts->n_numa_nodes;
		} else {
			ret->integer = facts->numa_node;
		}
		break;
	case FIELD_RDMA_PROTOCOL:
		ret->type = ATTRIBUTE_STRING;
		ret->string = rdma_protocol_name(*(const uint8_t *)field);
		break;
	}
}

size_t device_attributes_in(const struct device_facts *facts, size_t room, struct attribute *ret)
{
	size_t n = 0;
	for (size_t i = 0; i < ELEMENTS(rows) && n < room; i++)
		if (row_present(&rows[i], facts))
			row_read(&rows[i], facts, &ret[n++]);
	return n;
}

size_t device_attributes(const struct device_facts *facts, struct attribute ret[ATTRIBUTES_MAX])
{
	return device_attributes_in(facts, ATTRIBUTES_MAX, ret);
}

/* RDMA over Ethernet goes through a netdev. That of a NIC stands on the NIC's own function: where it is not to be seen it is somebody
 * else's, or cannot leave the host, and the RDMA device alone is half of what was asked for. Elsewhere it is another function's, which is a
 * device of its own: eRDMA (class 00ff, iWARP or RoCE by its generation) and VMware's PVRDMA never have one. InfiniBand and EFA need none.
 */
bool device_is_whole(const struct device_facts *f)
{
	bool over_ethernet =
	    f->rdma_protocol == RDMA_PROTOCOL_ROCE || f->rdma_protocol == RDMA_PROTOCOL_IWARP || f->rdma_protocol == RDMA_PROTOCOL_USNIC;
	return f->ifindex || (f->rdma_device[0] && !(f->is_nic && over_ethernet));
}

static bool attribute_equal(const struct attribute *a, const struct attribute *b)
{
	if (a->name != b->name || a->type != b->type) /* the names point into `rows` */
		return false;
	switch (a->type) {
	case ATTRIBUTE_STRING:
		return str_equal(a->string, b->string);
	case ATTRIBUTE_INT:
		return a->integer == b->integer;
	case ATTRIBUTE_BOOL:
		return a->boolean == b->boolean;
	case ATTRIBUTE_INTS:
		break;
	}
	return a->n_integers == b->n_integers && memcmp(a->integers, b->integers, a->n_integers * sizeof(a->integers[0])) == 0;
}

bool device_attributes_equal(const struct device_facts *a, const struct device_facts *b)
{
	struct attribute of_a[ATTRIBUTES_MAX], of_b[ATTRIBUTES_MAX];
	size_t n = device_attributes(a, of_a);
	if (!str_equal(a->name, b->name) || device_attributes(b, of_b) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!attribute_equal(&of_a[i], &of_b[i]))
			return false;
	return true;
}

static size_t hex_run(const char *text, size_t max)
{
	size_t n = 0;
	while (n < max && ((text[n] >= '0' && text[n] <= '9') || (text[n] >= 'a' && text[n] <= 'f') || (text[n] >= 'A' && text[n] <= 'F')))
		n++;
	return n;
}

/* Whether exactly `len` bytes are [domain:]bb:dd.f. Domains behind Intel VMD and some hypervisors have more than four digits. */
static bool is_pci_address(const char *text, size_t len)
{
	const char *end = text + len;
	size_t domain = hex_run(text, len);
	if (domain >= 4 && domain <= 8 && domain < len && text[domain] == ':')
		text += domain + 1;
	return end - text == 7 && hex_run(text, 2) == 2 && text[2] == ':' && hex_run(text + 3, 2) == 2 && text[5] == '.' &&
	       hex_run(text + 6, 1) == 1;
}

int device_name_pci(const char *pci_address, char ret[DEVICE_NAME_SIZE])
{
	size_t len = strlen(pci_address);
	if (!is_pci_address(pci_address, len))
		return -EINVAL;
	memcpy(ret, "pci-", 4);
	for (size_t i = 0; i <= len; i++) {
		char c = pci_address[i];
		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		ret[4 + i] = c == ':' || c == '.' ? '-' : c;
	}
	return 0;
}

int device_name_netdev(const char *ifname, char ret[DEVICE_NAME_SIZE])
{
	static const char prefix[] = "net-", alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	size_t len = strlen(ifname), at = sizeof(prefix) - 1;
	if (!len || str_is_dns_label(ifname))
		return str_copy(ret, DEVICE_NAME_SIZE, ifname);
	if (at + (len * 8 + 4) / 5 >= DEVICE_NAME_SIZE)
		return -ENAMETOOLONG;

	memcpy(ret, prefix, at);
	uint32_t bits = 0;
	unsigned held = 0;
	for (size_t i = 0; i < len; i++) {
		bits = (bits << 8 | (uint8_t)ifname[i]) & 0xfff; /* at most 4 + 8 bits are pending */
		for (held += 8; held >= 5; held -= 5)
			ret[at++] = alphabet[bits >> (held - 5) & 31];
	}
	if (held)
		ret[at++] = alphabet[bits << (5 - held) & 31];
	ret[at] = 0;
	return 0;
}

int pci_address_of_path(const char *path, char ret[PCI_ADDRESS_SIZE])
{
	const char *end = path + strlen(path);
	while (end > path) {
		const char *start = end;
		while (start > path && start[-1] != '/')
			start--;
		size_t len = (size_t)(end - start);
		if (is_pci_address(start, len)) {
			memcpy(ret, start, len);
			ret[len] = 0;
			return 0;
		}
		end = start > path ? start - 1 : path;
	}
	return -ENOENT;
}

bool attribute_list_add(char list[ATTRIBUTE_TEXT_SIZE], const char *text)
{
	size_t at = strlen(list), len = strlen(text), comma = at > 0;
	if (at + comma + len >= ATTRIBUTE_TEXT_SIZE)
		return false;
	if (comma)
		list[at] = ',';
	memcpy(list + at + comma, text, len + 1);
	return true;
}

const char *rdma_protocol_name(uint8_t protocol)
{
	static const char *const names[] = {[RDMA_PROTOCOL_UNKNOWN] = "",    [RDMA_PROTOCOL_IB] = "ib",       [RDMA_PROTOCOL_ROCE] = "roce",
	                                    [RDMA_PROTOCOL_IWARP] = "iwarp", [RDMA_PROTOCOL_USNIC] = "usnic", [RDMA_PROTOCOL_OPA] = "opa"};
	return protocol < ELEMENTS(names) ? names[protocol] : "";
}
