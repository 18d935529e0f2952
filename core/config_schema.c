/* SPDX-License-Identifier: Apache-2.0 */
/* The rows: dranet-behaviour §3.1 with the ranges of §3.3, and what goes beyond DRANET (`ours`). */
#include "core/config_schema.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/config_faults.h"

enum {
	MTU_MIN = 68, /* RFC 791: every IPv4 link carries that much */
	MTU_MAX = 65535,
	ADVMSS_MAX = 65535 - 40,      /* the kernel cuts it there */
	OFFLOAD_SIZE_MAX = 8 * 65535, /* GSO_MAX_SIZE, GRO_MAX_SIZE */
	PRIORITY_MAX = 32767,
	WEIGHT_MAX = 256,
	VRF_TABLE_FIRST = 1000,
	VRF_TABLES = 1000,
	ROUTE_ONLINK = 4, /* RTNH_F_ONLINK */
	VLAN_MAX = 4094,  /* what the kernel takes for a VF: 4095 is nobody's */
	VLAN_QOS_MAX = 7,
};
/* compat, main and local: they have another use. */
#define TABLES_OF_OTHERS " 253 254 255 "

/* Equal names give equal tables, on every device of a pod and on every node, as with DRANET. */
uint32_t config_vrf_table(const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return VRF_TABLE_FIRST + hash % VRF_TABLES;
}

/* ---- what takes the place of what, when lists are joined ------------------------------------------------------------------------- */

static int order_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int order_address(const struct ip_address *a, const struct ip_address *b)
{
	return a->family != b->family ? a->family - b->family : memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int order_prefix(const struct ip_prefix *a, const struct ip_prefix *b)
{
	int order = order_address(&a->address, &b->address);
	return order ? order : a->length - b->length;
}

static int order_addresses(const void *a, const void *b)
{
	return order_prefix(&((const struct address *)a)->prefix, &((const struct address *)b)->prefix);
}

static uint32_t table_of(const struct route *r)
{
	return r->table ? r->table : CONFIG_TABLE_MAIN;
}

/* The kernel sees only the network of a destination, and table 0 as main. */
static int order_networks(const struct route *a, const struct route *b)
{
	struct ip_prefix da = a->destination, db = b->destination;
	ip_prefix_mask(&da);
	ip_prefix_mask(&db);
	int order = order_prefix(&da, &db);
	return order ? order : order_u32(table_of(a), table_of(b));
}

/* Routes of different metrics stand side by side: the second is for when the first is gone. */
static int order_routes(const void *a, const void *b)
{
	int order = order_networks(a, b);
	return order ? order : order_u32(((const struct route *)a)->metric, ((const struct route *)b)->metric);
}

bool config_route_same(const struct route *a, const struct route *b)
{
	return order_networks(a, b) == 0;
}

static int order_neighbours(const void *a, const void *b)
{
	return order_address(&((const struct neighbour *)a)->destination, &((const struct neighbour *)b)->destination);
}

static int order_switches(const void *a, const void *b)
{
	return strcmp(((const struct ethtool_switch *)a)->name, ((const struct ethtool_switch *)b)->name);
}

/* ---- what follows from what was given -------------------------------------------------------------------------------------------- */

/* Without a mask the kernel compares all bits of a mark, but takes the mark 0 for none. */
static void complete_rule(void *object)
{
	struct rule *r = object;
	if (r->has_mark && !r->mask)
		r->mask = UINT32_MAX;
}

/* ---- the rows -------------------------------------------------------------------------------------------------------------------- */

#define MEMBERS(f, ...)                                                                                                                    \
	{                                                                                                                                  \
		.fields = (f), .n = ELEMENTS(f), __VA_ARGS__                                                                               \
	}
#define IN(type, member) .offset = offsetof(struct type, member)
#define AT(member) IN(network_config, member)
#define LIST(list, n, element)                                                                                                             \
	AT(list), .count = offsetof(struct network_config, n), .size = sizeof(element), .min = 1, .max = CONFIG_LIST_MAX
#define TOLD_BY(type, member) .told = true, .told_at = offsetof(struct type, member)
#define TOLD(member) TOLD_BY(network_config, member)
#define NUMBER(number, least) CONFIG_SETTING, AT(ethtool), .setting = (number), .min = (least), .max = UINT32_MAX, .ours = true
#define SWITCH(number) CONFIG_SWITCH, AT(ethtool), .setting = (number), .ours = true

static const struct config_field vrf_fields[] = {
    {"name", CONFIG_IFNAME, AT(vrf_name), .required = true,
     .doc = "the VRF's link in the pod: made if it is not there, shared by all devices that name it"},
    {"table", CONFIG_UINT32, AT(vrf_table), .min = 1, .max = UINT32_MAX, .excluded = TABLES_OF_OTHERS,
     .doc = "its routing table; without one it is 1000 to 1999, by the name"},
};
static const struct config_members vrf_members = MEMBERS(vrf_fields);

static const struct config_field vf_fields[] = {
    {"vlan", CONFIG_UINT32, AT(vf.vlan), TOLD(vf.has_vlan), .min = 0, .max = VLAN_MAX, .ours = true,
     .doc = "VLAN of all its packets, which the VF itself neither sees nor leaves; 0 is none"},
    {"vlanQoS", CONFIG_UINT32, AT(vf.qos), TOLD(vf.has_qos), .min = 0, .max = VLAN_QOS_MAX, .ours = true,
     .doc = "priority in the VLAN's tag; 0 when not given"},
    {"vlanProtocol", CONFIG_TAG, AT(vf.vlan_protocol), .ours = true, .doc = "kind of the VLAN's tag; `802.1q` when not given"},
    {"spoofCheck", CONFIG_BOOL, AT(vf.spoofchk), TOLD(vf.has_spoofchk), .ours = true,
     .doc = "drop what it sends with a source address that is not its own"},
    {"trust", CONFIG_BOOL, AT(vf.trust), TOLD(vf.has_trust), .ours = true,
     .doc = "let it do what else only the PF may, such as promiscuous mode"},
    {"minTxRate", CONFIG_UINT32, AT(vf.min_rate), TOLD(vf.has_min_rate), .min = 0, .max = UINT32_MAX, .ours = true,
     .doc = "share of the bandwidth that it has at least, in Mb/s; 0 is none"},
    {"maxTxRate", CONFIG_UINT32, AT(vf.max_rate), TOLD(vf.has_max_rate), .min = 0, .max = UINT32_MAX, .ours = true,
     .doc = "bandwidth that it has at most, in Mb/s; 0 is no limit"},
};
static const char vf_rules[] =
    "- For SR-IOV virtual functions alone; the physical function, which is asked for it, has to be on the host.\n"
    "- `vlanQoS` and `vlanProtocol` demand `vlan`.\n"
    "- `minTxRate` is not above `maxTxRate`, unless that is 0.\n";
static const struct config_members vf_members = MEMBERS(vf_fields, .rules = vf_rules, .check = config_check_vf, .check_good = true);

static const struct config_field interface_fields[] = {
    {"name", CONFIG_IFNAME, AT(ifname), .doc = "name in the pod; without one it keeps the host's"},
    {"addresses", CONFIG_ADDRESSES, LIST(addresses, n_addresses, struct address), .host = true, .order = order_addresses,
     .doc = "addresses with prefix length, instead of those that the device has on the host"},
    {"dhcp", CONFIG_BOOL, AT(dhcp),
     .doc = "IPv4 address and routes from a DHCP server, for as long as the pod lives; not together with `addresses`"},
    {"dhcp6", CONFIG_BOOL, AT(dhcp6), .ours = true, .doc = "IPv6 addresses from a DHCPv6 server; not together with IPv6 addresses"},
    {"mtu", CONFIG_UINT32, AT(mtu), .min = MTU_MIN, .max = MTU_MAX,
     .doc = "MTU; the device's own range and its physical function's MTU bound it further, IPv6 needs 1280"},
    {"hardwareAddr", CONFIG_MAC, AT(mac), .station = true,
     .doc = "hardware address of one station, as long as the device's own; of a VF set through its physical function"},
    {"gsoMaxSize", CONFIG_UINT32, AT(sizes.gso_max), .min = 1, .max = OFFLOAD_SIZE_MAX,
     .doc = "largest packet that is given to the device to be segmented, in bytes"},
    {"groMaxSize", CONFIG_UINT32, AT(sizes.gro_max), .min = 1, .max = OFFLOAD_SIZE_MAX,
     .doc = "largest packet joined from received ones, in bytes"},
    {"gsoIPv4MaxSize", CONFIG_UINT32, AT(sizes.gso_ipv4_max), .min = 1, .max = OFFLOAD_SIZE_MAX,
     .doc = "`gsoMaxSize` of IPv4, since Linux 6.3"},
    {"groIPv4MaxSize", CONFIG_UINT32, AT(sizes.gro_ipv4_max), .min = 1, .max = OFFLOAD_SIZE_MAX,
     .doc = "`groMaxSize` of IPv4, since Linux 6.3"},
    {"disableEbpfPrograms", CONFIG_BOOL, AT(disable_ebpf),
     .doc = "take off the eBPF programs (tc, tcx, netkit, XDP) that the device brings along"},
    {"forwarding", CONFIG_BOOL, AT(forwarding), .doc = "forward packets that come in on the interface, IPv4 and IPv6"},
    {"arpIgnore", CONFIG_INT8, AT(arp_ignore), .min = 0, .max = 8, .choices = " 0 1 2 3 8 ",
     .doc = "the kernel's `arp_ignore`: which requests are answered"},
    {"arpAnnounce", CONFIG_INT8, AT(arp_announce), .min = 0, .max = 2,
     .doc = "the kernel's `arp_announce`: which own address requests name"},
    {"vrf", CONFIG_OBJECT, .members = &vrf_members, .doc = "the VRF that the interface joins, with all its routes"},
    {"vf", CONFIG_OBJECT, .members = &vf_members, .ours = true, .doc = "what the physical function of a VF does with its packets"},
};
static const char interface_rules[] =
    "- `dhcp: true` and `addresses` exclude each other, and so do `dhcp6: true` and IPv6 addresses.\n"
    "- An `mtu` below 1280 excludes IPv6 addresses and `dhcp6: true`.\n"
    "- A VRF cannot bear the interface's own name.\n"
    "- Neither `0.0.0.0` nor, of IPv6, `::`, `::1` and multicast addresses are addresses of an interface.\n";
static const struct config_members interface_members = MEMBERS(interface_fields, .rules = interface_rules, .check = config_check_interface);

static const struct config_field hop_fields[] = {
    {"gateway", CONFIG_ADDRESS, IN(next_hop, gateway), .required = true, .ours = true, .doc = "its address, of the destination's family"},
    {"weight", CONFIG_UINT32, IN(next_hop, weight), .min = 1, .max = WEIGHT_MAX, .ours = true,
     .doc = "share of the traffic; 1 when not given"},
    {"onlink", CONFIG_FLAG, IN(next_hop, flags), .bits = ROUTE_ONLINK, .ours = true,
     .doc = "taken to be on the link, whatever the addresses say"},
};
static const struct config_members hop_members = MEMBERS(hop_fields);

static const struct config_field route_fields[] = {
    {"destination", CONFIG_PREFIX, IN(route, destination), .required = true, .doc = "network; `0.0.0.0/0` or `::/0` is the default route"},
    {"gateway", CONFIG_ADDRESS, IN(route, gateway), .empty_ok = true,
     .doc = "next hop, of the destination's family; only a route with scope 253 or `nextHops` has none"},
    {"source", CONFIG_ADDRESS, IN(route, source), .empty_ok = true, .doc = "preferred source address, of the destination's family"},
    {"scope", CONFIG_UINT8, IN(route, scope), .min = 0, .max = CONFIG_SCOPE_LINK, .choices = " 0 253 ",
     .doc = "0 everywhere, 253 on the link"},
    {"table", CONFIG_UINT32, IN(route, table), .min = 0, .max = UINT32_MAX,
     .doc = "routing table; 0 is main; with `interface.vrf` always the VRF's"},
    {"metric", CONFIG_UINT32, IN(route, metric), .min = 0, .max = UINT32_MAX, .ours = true,
     .doc = "the lowest wins; 0 is the kernel's default, or 1024 and more, behind what the pod has to the same destination"},
    {"mtu", CONFIG_UINT32, IN(route, mtu), .min = MTU_MIN, .max = MTU_MAX, .ours = true, .doc = "MTU towards the destination"},
    {"advmss", CONFIG_UINT32, IN(route, advmss), .min = 1, .max = ADVMSS_MAX, .ours = true,
     .doc = "TCP segment size announced to the destination"},
    {"onlink", CONFIG_FLAG, IN(route, flags), .bits = ROUTE_ONLINK, .ours = true,
     .doc = "the gateway is taken to be on the link, whatever the addresses say"},
    {"nextHops", CONFIG_OBJECTS, IN(route, hops), .count = offsetof(struct route, n_hops), .size = sizeof(struct next_hop),
     .in_place = true, .min = 2, .max = ROUTE_HOPS_MAX, .members = &hop_members, .ours = true,
     .doc = "several gateways that share the traffic, instead of `gateway`"},
};
static const char route_rules[] =
    "- A route has a `gateway` or `nextHops`, not both; one with scope 253 has none, or is IPv6 and may have one.\n"
    "- Gateways and `source` are of the destination's family; a gateway stands among `nextHops` once.\n"
    "- `onlink: true` demands a `gateway`; `nextHops` have their own.\n";
static const struct config_members route_members =
    MEMBERS(route_fields, .rules = route_rules, .check = config_check_route, .check_good = true);

static const struct config_field rule_fields[] = {
    {"priority", CONFIG_UINT32, IN(rule, priority), TOLD_BY(rule, has_priority), .min = 0, .max = PRIORITY_MAX,
     .doc = "the lowest is asked first; without one the kernel chooses one before main"},
    {"source", CONFIG_PREFIX, IN(rule, source), .empty_ok = true, .doc = "packets from this network"},
    {"destination", CONFIG_PREFIX, IN(rule, destination), .empty_ok = true, .doc = "packets to this network"},
    {"table", CONFIG_UINT32, IN(rule, table), .min = 0, .max = UINT32_MAX, .doc = "routing table that is asked; 0 is main"},
    {"fwmark", CONFIG_MARK, IN(rule, mark), TOLD_BY(rule, has_mark), .min = 0, .max = UINT32_MAX, .ours = true,
     .doc = "packets with this mark"},
    {"fwmask", CONFIG_MARK, IN(rule, mask), .min = 1, .max = UINT32_MAX, .ours = true,
     .doc = "bits of the mark that count; all when not given"},
    {"iif", CONFIG_IFNAME, IN(rule, iif), .ours = true,
     .doc = "packets that came in on this interface of the pod; `lo` for those of its own processes"},
    {"oif", CONFIG_IFNAME, IN(rule, oif), .ours = true, .doc = "packets of sockets bound to this interface of the pod"},
    {"family", CONFIG_FAMILY, IN(rule, family), .ours = true,
     .doc = "for a rule without `source` and `destination`; `ipv4` when not given"},
};
static const char rule_rules[] = "- `source`, `destination` and `family` agree. A rule without any selector is for every packet.\n"
				 "- `fwmask` demands `fwmark`.\n";
static const struct config_members rule_members =
    MEMBERS(rule_fields, .rules = rule_rules, .complete = complete_rule, .check = config_check_rule);

static const struct config_field neighbour_fields[] = {
    {"destination", CONFIG_ADDRESS, IN(neighbour, destination), .required = true, .doc = "the neighbour's address"},
    {"hardwareAddr", CONFIG_MAC, IN(neighbour, mac), .required = true, .doc = "its hardware address"},
};
static const struct config_members neighbour_members = MEMBERS(neighbour_fields);

static const struct config_field ring_fields[] = {
    {"rx", NUMBER(RING_RX, 1), .doc = "received packets"},
    {"rxMini", NUMBER(RING_RX_MINI, 0), .doc = "received small packets"},
    {"rxJumbo", NUMBER(RING_RX_JUMBO, 0), .doc = "received large packets"},
    {"tx", NUMBER(RING_TX, 1), .doc = "packets to send"},
};
static const struct config_members ring_members = MEMBERS(ring_fields);

static const struct config_field channel_fields[] = {
    {"rx", NUMBER(CHANNELS_RX, 0), .doc = "only receiving"},
    {"tx", NUMBER(CHANNELS_TX, 0), .doc = "only sending"},
    {"other", NUMBER(CHANNELS_OTHER, 0), .doc = "neither, for example link interrupts"},
    {"combined", NUMBER(CHANNELS_COMBINED, 0), .doc = "receiving and sending; 0 only together with `rx` and `tx`"},
};
static const char channel_rules[] = "- `combined: 0` demands both `rx` and `tx` above 0, for something must receive and send.\n";
static const struct config_members channel_members = MEMBERS(channel_fields, .rules = channel_rules, .check = config_check_channels);

static const struct config_field coalesce_fields[] = {
    {"adaptiveRx", SWITCH(COALESCE_ADAPTIVE_RX), .doc = "the driver adapts the delays of received packets"},
    {"adaptiveTx", SWITCH(COALESCE_ADAPTIVE_TX), .doc = "the driver adapts the delays of sent packets"},
    {"rxUsecs", NUMBER(COALESCE_RX_USECS, 0), .doc = "microseconds from a received packet to its interrupt"},
    {"rxFrames", NUMBER(COALESCE_RX_FRAMES, 0), .doc = "received packets until an interrupt"},
    {"rxUsecsIrq", NUMBER(COALESCE_RX_USECS_IRQ, 0), .doc = "`rxUsecs` while an interrupt is being served"},
    {"rxFramesIrq", NUMBER(COALESCE_RX_FRAMES_IRQ, 0), .doc = "`rxFrames` while an interrupt is being served"},
    {"txUsecs", NUMBER(COALESCE_TX_USECS, 0), .doc = "microseconds from a sent packet to its interrupt"},
    {"txFrames", NUMBER(COALESCE_TX_FRAMES, 0), .doc = "sent packets until an interrupt"},
    {"txUsecsIrq", NUMBER(COALESCE_TX_USECS_IRQ, 0), .doc = "`txUsecs` while an interrupt is being served"},
    {"txFramesIrq", NUMBER(COALESCE_TX_FRAMES_IRQ, 0), .doc = "`txFrames` while an interrupt is being served"},
    {"statsBlockUsecs", NUMBER(COALESCE_STATS_USECS, 0), .doc = "microseconds between updates of the statistics"},
};
static const struct config_members coalesce_members = MEMBERS(coalesce_fields);

static const struct config_field pause_fields[] = {
    {"autoneg", SWITCH(PAUSE_AUTONEG), .doc = "flow control is negotiated with the other end"},
    {"rx", SWITCH(PAUSE_RX), .doc = "pause frames are obeyed"},
    {"tx", SWITCH(PAUSE_TX), .doc = "pause frames are sent"},
};
static const struct config_members pause_members = MEMBERS(pause_fields);

static const struct config_field ethtool_fields[] = {
    {"features", CONFIG_SWITCHES, LIST(features, n_features, struct ethtool_switch), .order = order_switches,
     .doc = "offload features by the names that `ethtool -k` shows, or short ones such as `tso`"},
    {"privateFlags", CONFIG_SWITCHES, LIST(private_flags, n_private_flags, struct ethtool_switch), .order = order_switches,
     .doc = "the driver's own flags, by the names that `ethtool --show-priv-flags` shows"},
    {"rings", CONFIG_OBJECT, .members = &ring_members, .ours = true, .doc = "sizes of the rings, in packets (`ethtool -g`)"},
    {"channels", CONFIG_OBJECT, .members = &channel_members, .ours = true, .doc = "numbers of channels, that is queues (`ethtool -l`)"},
    {"coalesce", CONFIG_OBJECT, .members = &coalesce_members, .ours = true,
     .doc = "how packets are gathered for an interrupt (`ethtool -c`)"},
    {"pause", CONFIG_OBJECT, .members = &pause_members, .ours = true, .doc = "flow control (`ethtool -a`)"},
};
static const struct config_members ethtool_members = MEMBERS(ethtool_fields);

/* Whoever has one of these manages the fabric, not only a device: they are not given unless asked for. */
static const struct config_field rdma_fields[] = {
    {"umad", CONFIG_BOOL, AT(rdma_umad), .any_device = true, .ours = true,
     .doc = "also the character devices for management datagrams (`/dev/infiniband/umad*`)"},
    {"issm", CONFIG_BOOL, AT(rdma_issm), .any_device = true, .ours = true,
     .doc = "also the character devices that make a port a subnet manager's (`/dev/infiniband/issm*`)"},
};
static const struct config_members rdma_members = MEMBERS(rdma_fields);

static const struct config_field document_fields[] = {
    {"profile", CONFIG_TEXT, AT(profile), .any_device = true,
     .doc = "name of a configuration that a provider keeps; not supported by this version"},
    {"interface", CONFIG_OBJECT, .members = &interface_members, .any_device = true, .doc = "the network interface"},
    {"routes", CONFIG_OBJECTS, LIST(routes, n_routes, struct route), .members = &route_members, .order = order_routes,
     .doc = "routes through the interface, besides those that it has on the host"},
    {"rules", CONFIG_OBJECTS, LIST(rules, n_rules, struct rule), .members = &rule_members,
     .doc = "policy routing rules of the pod; not together with `interface.vrf`"},
    {"ethtool", CONFIG_OBJECT, .members = &ethtool_members, .doc = "settings of the hardware"},
    {"neighbors", CONFIG_OBJECTS, LIST(neighbours, n_neighbours, struct neighbour), .members = &neighbour_members,
     .order = order_neighbours, .doc = "permanent neighbours"},
    {"rdma", CONFIG_OBJECT, .members = &rdma_members, .any_device = true, .ours = true, .doc = "the RDMA device"},
};
static const char document_rules[] = "- `rules` and `interface.vrf` exclude each other.\n";
const struct config_members config_document = MEMBERS(document_fields, .rules = document_rules, .check = config_check_document);

/* ---- what a row says ------------------------------------------------------------------------------------------------------------- */

size_t config_field_size(const struct config_field *f)
{
	static const size_t sizes[] = {
	    [CONFIG_BOOL] = 1,
	    [CONFIG_FLAG] = 1,
	    [CONFIG_INT8] = 1,
	    [CONFIG_UINT8] = 1,
	    [CONFIG_FAMILY] = 1,
	    [CONFIG_UINT32] = sizeof(uint32_t),
	    [CONFIG_MARK] = sizeof(uint32_t),
	    [CONFIG_TAG] = sizeof(uint32_t),
	    [CONFIG_IFNAME] = IFNAME_SIZE,
	    [CONFIG_TEXT] = ATTRIBUTE_TEXT_SIZE,
	    [CONFIG_MAC] = sizeof(struct mac),
	    [CONFIG_ADDRESS] = sizeof(struct ip_address),
	    [CONFIG_PREFIX] = sizeof(struct ip_prefix),
	};
	return f->type < ELEMENTS(sizes) ? sizes[f->type] : 0;
}

bool config_field_is_list(const struct config_field *f)
{
	return f->type == CONFIG_OBJECTS || f->type == CONFIG_ADDRESSES || f->type == CONFIG_SWITCHES;
}

void *config_field_list(const struct config_field *f, void *object, size_t *n)
{
	char *at = (char *)object + f->offset;
	*n = *(size_t *)(void *)((char *)object + f->count);
	return f->in_place ? at : *(void **)(void *)at;
}

static bool any_given(const struct config_members *members, const void *object)
{
	for (size_t i = 0; i < members->n; i++)
		if (config_field_given(&members->fields[i], object))
			return true;
	return false;
}

bool config_field_given(const struct config_field *f, const void *object)
{
	const char *at = (const char *)object + f->offset;
	if (f->type == CONFIG_OBJECT)
		return any_given(f->members, object);
	if (config_field_is_list(f))
		return *(const size_t *)(const void *)((const char *)object + f->count) != 0;
	if (f->told)
		return *(const bool *)((const char *)object + f->told_at);
	if (f->type == CONFIG_SETTING || f->type == CONFIG_SWITCH)
		return ((const struct ethtool_settings *)(const void *)at)->given & 1u << f->setting;
	if (f->type == CONFIG_BOOL || f->type == CONFIG_INT8)
		return *(const int8_t *)at != -1;
	if (f->type == CONFIG_FLAG)
		return *(const uint8_t *)at & f->bits;
	if (f->type == CONFIG_UINT32 || f->type == CONFIG_MARK || f->type == CONFIG_TAG)
		return *(const uint32_t *)(const void *)at != 0;
	/* Everything else says so in its first byte: texts, MAC length, address family, small integers. */
	return *at != 0;
}
