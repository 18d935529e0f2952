/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/record_shapes.h"

#include <assert.h>

#include "core/base/cleanup.h"
#include "daemon/record.h"

#define SIZE_OF(s, m) sizeof(((struct s *)NULL)->m)
#define M(s, t, m)                                                                                                                         \
	{                                                                                                                                  \
		.name = #m, .type = (t), .offset = offsetof(struct s, m)                                                                   \
	}
#define M_LATER(s, t, m)                                                                                                                   \
	{                                                                                                                                  \
		.name = #m, .type = (t), .offset = offsetof(struct s, m), .later = true                                                    \
	}
#define M_TEXT(s, m, r)                                                                                                                    \
	{                                                                                                                                  \
		.name = #m, .type = TEXT, .offset = offsetof(struct s, m), .size = SIZE_OF(s, m), .rule = (r)                              \
	}
#define M_STRUCT(s, m, sh)                                                                                                                 \
	{                                                                                                                                  \
		.name = #m, .type = STRUCT, .offset = offsetof(struct s, m), .shape = &(sh)                                                \
	}
#define M_STRUCT_LATER(s, m, sh)                                                                                                           \
	{                                                                                                                                  \
		.name = #m, .type = STRUCT, .offset = offsetof(struct s, m), .shape = &(sh), .later = true                                 \
	}
#define M_LIST(s, m, count, sh)                                                                                                            \
	{                                                                                                                                  \
		.name = #m, .type = LIST, .offset = offsetof(struct s, m), .shape = &(sh), .count_offset = offsetof(struct s, count),      \
		.max = RECORD_LIST_MAX                                                                                                     \
	}
#define M_LIST_LATER(s, m, count, sh)                                                                                                      \
	{                                                                                                                                  \
		.name = #m, .type = LIST, .offset = offsetof(struct s, m), .shape = &(sh), .count_offset = offsetof(struct s, count),      \
		.max = RECORD_LIST_MAX, .later = true                                                                                      \
	}
#define M_ARRAY_LATER(s, m, count, sh)                                                                                                     \
	{                                                                                                                                  \
		.name = #m, .type = ARRAY, .offset = offsetof(struct s, m), .shape = &(sh), .count_offset = offsetof(struct s, count),     \
		.max = SIZE_OF(s, m) / SIZE_OF(s, m[0]), .later = true                                                                     \
	}
#define M_TEXT_LATER(s, m, r)                                                                                                              \
	{                                                                                                                                  \
		.name = #m, .type = TEXT, .offset = offsetof(struct s, m), .size = SIZE_OF(s, m), .rule = (r), .later = true               \
	}
#define SHAPE(name, s) static const struct shape name##_shape = {sizeof(struct s), name##_members, ELEMENTS(name##_members)}

static const struct member claim_ref_members[] = {
    M_TEXT(claim_ref, uid, UID_TEXT),
    M_TEXT(claim_ref, namespace_, NAME_TEXT),
    M_TEXT(claim_ref, name, NAME_TEXT),
};
SHAPE(claim_ref, claim_ref);

static const struct member pod_ref_members[] = {
    M_TEXT(pod_ref, uid, NAME_TEXT),
    M_TEXT(pod_ref, namespace_, NAME_TEXT),
    M_TEXT(pod_ref, name, NAME_TEXT),
};
SHAPE(pod_ref, pod_ref);

static const struct member sandbox_members[] = {
    M_TEXT(sandbox, id, NAME_TEXT),
    M_STRUCT(sandbox, pod, pod_ref_shape),
    M_TEXT(sandbox, netns, ANY_TEXT),
    M(sandbox, U32, pid),
};
SHAPE(sandbox, sandbox);

static const struct member node_members[] = {
    M_TEXT(rdma_node, path, ANY_TEXT), M(rdma_node, U32, major), M(rdma_node, U32, minor),
    M(rdma_node, U32, mode),           M(rdma_node, U32, uid),   M(rdma_node, U32, gid),
};
SHAPE(node, rdma_node);
static const struct member rdma_members[] = {
    M_TEXT(rdma_state, name, NAME_TEXT), M(rdma_state, GUID, guid),      M(rdma_state, U32, index),
    M(rdma_state, U8, protocol),         M(rdma_state, BOOL, exclusive), M_ARRAY_LATER(rdma_state, nodes, n_nodes, node_shape),
    M(rdma_state, U8, gid_port),         M(rdma_state, I32, gid_index),  M(rdma_state, ADDRESS, gid),
};
SHAPE(rdma, rdma_state);

static const struct member prefix_members[] = {{.name = "prefix", .type = PREFIX, .offset = 0}};
SHAPE(prefix, ip_prefix);

static const struct member pod_state_members[] = {
    M_TEXT(pod_state, ifname, NAME_TEXT),
    M(pod_state, MAC, mac),
    {.name = "addresses",
     .type = ARRAY,
     .offset = offsetof(struct pod_state, addresses),
     .shape = &prefix_shape,
     .count_offset = offsetof(struct pod_state, n_addresses),
     .max = SIZE_OF(pod_state, addresses) / sizeof(struct ip_prefix)},
    M_STRUCT_LATER(pod_state, rdma, rdma_shape),
};
SHAPE(pod_state, pod_state);

static const struct member numa_members[] = {{.name = "node", .type = I32, .offset = 0}};
static const struct shape numa_shape = {sizeof(int32_t), numa_members, ELEMENTS(numa_members)};

static const struct member facts_members[] = {
    M_TEXT(device_facts, name, UID_TEXT),
    M(device_facts, I32, ifindex),
    M(device_facts, I32, master),
    M(device_facts, I32, lower),
    M(device_facts, U32, mtu),
    M(device_facts, MAC, mac),
    M(device_facts, MAC, permanent_mac),
    M_TEXT(device_facts, ifname, NAME_TEXT),
    M_TEXT(device_facts, encapsulation, ANY_TEXT),
    M_TEXT(device_facts, alias, ANY_TEXT),
    M_TEXT(device_facts, state, ANY_TEXT),
    M_TEXT(device_facts, type, ANY_TEXT),
    M_TEXT(device_facts, ipv4, ANY_TEXT),
    M_TEXT(device_facts, ipv6, ANY_TEXT),
    M_TEXT(device_facts, pci_address, NAME_TEXT),
    M_TEXT(device_facts, pci_vendor, ANY_TEXT),
    M_TEXT(device_facts, pci_device, ANY_TEXT),
    M_TEXT(device_facts, pci_subsystem, ANY_TEXT),
    M_TEXT(device_facts, pcie_root, ANY_TEXT),
    M_TEXT(device_facts, driver, ANY_TEXT),
    M_TEXT(device_facts, pf_ifname, NAME_TEXT),
    M(device_facts, U32, pf_mtu),
    M(device_facts, I32, numa_node),
    M(device_facts, I32, sriov_vfs),
    M_TEXT(device_facts, rdma_device, NAME_TEXT),
    M(device_facts, BOOL, up),
    M(device_facts, BOOL, loopback),
    M(device_facts, BOOL, is_virtual),
    M(device_facts, BOOL, sriov),
    M(device_facts, BOOL, is_vf),
    M(device_facts, BOOL, rdma),
    M(device_facts, BOOL, ebpf),
    M(device_facts, BOOL, hidden),
    M_TEXT_LATER(device_facts, tc_filters, ANY_TEXT),
    M_TEXT_LATER(device_facts, tcx_programs, ANY_TEXT),
    M_TEXT_LATER(device_facts, firmware, ANY_TEXT),
    M_TEXT_LATER(device_facts, switch_id, ANY_TEXT),
    M_TEXT_LATER(device_facts, pf_address, NAME_TEXT),
    M_LATER(device_facts, I32, vf_index),
    M_LATER(device_facts, U32, speed),
    M_LATER(device_facts, I32, vfs_away),
    M_ARRAY_LATER(device_facts, numa_nodes, n_numa_nodes, numa_shape),
    M_LATER(device_facts, GUID, rdma_guid),
    M_LATER(device_facts, U32, rdma_index),
    M_LATER(device_facts, U8, rdma_protocol),
    M_LATER(device_facts, BOOL, rdma_exclusive),
    M_LATER(device_facts, BOOL, is_nic),
};
SHAPE(facts, device_facts);

static const struct member address_members[] = {
    M(address, PREFIX, prefix),          M(address, U32, flags),        M(address, U32, valid_lifetime),
    M(address, U32, preferred_lifetime), M(address, U8, scope),         M(address, ADDRESS, peer),
    M(address, ADDRESS, broadcast),      M(address, U32, route_metric), M_TEXT(address, label, ANY_TEXT),
    M_LATER(address, U8, protocol),
};
SHAPE(address, address);

static const struct member hop_members[] = {M(next_hop, ADDRESS, gateway), M(next_hop, U32, weight), M(next_hop, U8, flags)};
SHAPE(hop, next_hop);

static const struct member route_members[] = {
    M(route, PREFIX, destination),
    M(route, ADDRESS, gateway),
    M(route, ADDRESS, source),
    M(route, U32, table),
    M(route, U32, metric),
    M(route, U8, scope),
    M(route, U8, protocol),
    M(route, U8, type),
    M(route, U8, flags),
    M_LATER(route, U8, tos),
    M_LATER(route, U32, mtu),
    M_LATER(route, U32, advmss),
    M_LATER(route, U32, hop_limit),
    M_LATER(route, U32, initial_cwnd),
    M_LATER(route, U32, initial_rwnd),
    M_LATER(route, U32, locked),
    M_ARRAY_LATER(route, hops, n_hops, hop_shape),
};
SHAPE(route, route);

static const struct member rule_members[] = {
    M(rule, BOOL, has_priority),
    M(rule, U32, priority),
    M(rule, PREFIX, source),
    M(rule, PREFIX, destination),
    M(rule, U32, table),
    M_LATER(rule, U8, family),
    M_LATER(rule, BOOL, has_mark),
    M_LATER(rule, U32, mark),
    M_LATER(rule, U32, mask),
    M_TEXT_LATER(rule, iif, NAME_TEXT),
    M_TEXT_LATER(rule, oif, NAME_TEXT),
};
SHAPE(rule, rule);

static const struct member neighbour_members[] = {M(neighbour, ADDRESS, destination), M(neighbour, MAC, mac)};
SHAPE(neighbour, neighbour);

static const struct member sizes_members[] = {
    M(link_sizes, U32, gso_max),
    M(link_sizes, U32, gro_max),
    M(link_sizes, U32, gso_ipv4_max),
    M(link_sizes, U32, gro_ipv4_max),
    M_LATER(link_sizes, U32, gso_max_segs),
};
SHAPE(sizes, link_sizes);

static const struct member switch_members[] = {M_TEXT(ethtool_switch, name, ANY_TEXT), M(ethtool_switch, BOOL, on)};
SHAPE(switch, ethtool_switch);

#define M_SETTING(s)                                                                                                                       \
	{                                                                                                                                  \
		.name = #s, .type = U32, .offset = offsetof(struct ethtool_settings, v[s]), .later = true                                  \
	}
static const struct member settings_members[] = {
    M(ethtool_settings, U32, given),
    M_SETTING(RING_RX),
    M_SETTING(RING_RX_MINI),
    M_SETTING(RING_RX_JUMBO),
    M_SETTING(RING_TX),
    M_SETTING(CHANNELS_RX),
    M_SETTING(CHANNELS_TX),
    M_SETTING(CHANNELS_OTHER),
    M_SETTING(CHANNELS_COMBINED),
    M_SETTING(COALESCE_ADAPTIVE_RX),
    M_SETTING(COALESCE_ADAPTIVE_TX),
    M_SETTING(COALESCE_RX_USECS),
    M_SETTING(COALESCE_RX_FRAMES),
    M_SETTING(COALESCE_RX_USECS_IRQ),
    M_SETTING(COALESCE_RX_FRAMES_IRQ),
    M_SETTING(COALESCE_TX_USECS),
    M_SETTING(COALESCE_TX_FRAMES),
    M_SETTING(COALESCE_TX_USECS_IRQ),
    M_SETTING(COALESCE_TX_FRAMES_IRQ),
    M_SETTING(COALESCE_STATS_USECS),
    M_SETTING(PAUSE_AUTONEG),
    M_SETTING(PAUSE_RX),
    M_SETTING(PAUSE_TX),
};
SHAPE(settings, ethtool_settings);
static_assert(ELEMENTS(settings_members) == ETHTOOL_SETTINGS + 1, "each setting has a member");

static const struct member vf_config_members[] = {
    M(vf_config, BOOL, has_vlan),     M(vf_config, BOOL, has_qos),      M(vf_config, BOOL, has_spoofchk), M(vf_config, BOOL, has_trust),
    M(vf_config, BOOL, has_min_rate), M(vf_config, BOOL, has_max_rate), M(vf_config, U32, vlan),          M(vf_config, U32, qos),
    M(vf_config, U32, vlan_protocol), M(vf_config, U32, min_rate),      M(vf_config, U32, max_rate),      M(vf_config, I8, spoofchk),
    M(vf_config, I8, trust),
};
SHAPE(vf_config, vf_config);

static const struct member config_members[] = {
    M_TEXT(network_config, ifname, NAME_TEXT),
    M(network_config, U32, mtu),
    M(network_config, MAC, mac),
    M_STRUCT(network_config, sizes, sizes_shape),
    M(network_config, I8, dhcp),
    M(network_config, I8, disable_ebpf),
    M(network_config, I8, forwarding),
    M(network_config, I8, arp_ignore),
    M(network_config, I8, arp_announce),
    M(network_config, BOOL, addresses_given),
    M_LIST(network_config, addresses, n_addresses, address_shape),
    M_LIST(network_config, routes, n_routes, route_shape),
    M_LIST(network_config, rules, n_rules, rule_shape),
    M_LIST(network_config, neighbours, n_neighbours, neighbour_shape),
    M_TEXT(network_config, vrf_name, NAME_TEXT),
    M(network_config, U32, vrf_table),
    M_TEXT(network_config, profile, ANY_TEXT),
    M_LATER(network_config, I8, dhcp6),
    M_LIST_LATER(network_config, features, n_features, switch_shape),
    M_LIST_LATER(network_config, private_flags, n_private_flags, switch_shape),
    M_STRUCT_LATER(network_config, ethtool, settings_shape),
    M_STRUCT_LATER(network_config, vf, vf_config_shape),
    M_LATER(network_config, I8, rdma_umad),
    M_LATER(network_config, I8, rdma_issm),
};
SHAPE(config, network_config);

static const struct member vf_members[] = {
    M(vf_settings, BOOL, known),   M_TEXT(vf_settings, pf, NAME_TEXT), M(vf_settings, I32, pf_ifindex), M(vf_settings, U32, index),
    M(vf_settings, MAC, mac),      M(vf_settings, U32, vlan),          M(vf_settings, U32, qos),        M(vf_settings, U32, vlan_protocol),
    M(vf_settings, U32, min_rate), M(vf_settings, U32, max_rate),      M(vf_settings, I8, spoofchk),    M(vf_settings, I8, trust),
    M(vf_settings, I8, rss_query), M(vf_settings, I8, link_state),
};
SHAPE(vf, vf_settings);

static const struct member host_members[] = {
    M(host_state, I32, ifindex),
    M_TEXT(host_state, ifname, NAME_TEXT),
    M_TEXT(host_state, type, ANY_TEXT),
    M(host_state, U32, mtu),
    M(host_state, U32, min_mtu),
    M(host_state, U32, max_mtu),
    M(host_state, MAC, mac),
    M(host_state, MAC, permanent_mac),
    M(host_state, BOOL, up),
    M(host_state, U32, txqlen),
    M_STRUCT(host_state, sizes, sizes_shape),
    M_LIST(host_state, addresses, n_addresses, address_shape),
    M_LIST(host_state, routes, n_routes, route_shape),
    M_LIST(host_state, neighbours, n_neighbours, neighbour_shape),
    M_LATER(host_state, U64, taken_at),
    M_LATER(host_state, I32, master),
    M_LATER(host_state, I32, peer_ifindex),
    M_LATER(host_state, U32, group),
    M_LATER(host_state, U32, flags),
    M_LATER(host_state, U32, xdp),
    M_TEXT_LATER(host_state, qdisc, NAME_TEXT),
    M_LATER(host_state, BYTES, alias),
    M_LATER(host_state, BYTES, altnames),
    M_LATER(host_state, BYTES, ipv4),
    M_LATER(host_state, BYTES, ipv6),
    M_LATER(host_state, BYTES, more_sysctls),
    M_LATER(host_state, BYTES, features),
    M_LATER(host_state, BYTES, objects),
    M_LATER(host_state, BYTES, pod_rules),
    M_LATER(host_state, BYTES, private_flags),
    M_LATER(host_state, BYTES, ebpf),
    M_STRUCT_LATER(host_state, ethtool, settings_shape),
    M_STRUCT_LATER(host_state, vf, vf_shape),
    M_STRUCT_LATER(host_state, rdma, rdma_shape),
};
SHAPE(host, host_state);

static const struct member plan_members[] = {
    M_STRUCT(attach_plan, facts, facts_shape),
    M_STRUCT(attach_plan, host, host_shape),
    M_STRUCT(attach_plan, pod, config_shape),
};
const struct shape plan_shape = {sizeof(struct attach_plan), plan_members, ELEMENTS(plan_members)};

static const struct member lease_address_members[] = {M(lease_address, PREFIX, prefix), M(lease_address, U32, valid),
                                                      M(lease_address, U32, preferred)};
SHAPE(lease_address, lease_address);
static const struct member lease_route_members[] = {M(lease_route, PREFIX, destination), M(lease_route, ADDRESS, gateway)};
SHAPE(lease_route, lease_route);
static const struct member dns_members[] = {{.name = "address", .type = ADDRESS, .offset = 0}};
SHAPE(dns, ip_address);
static const struct member lease_members[] = {
    M(lease, BOOL, held),
    M(lease, U64, taken_at),
    M(lease, U32, renew),
    M(lease, U32, rebind),
    M(lease, U32, valid),
    M(lease, ADDRESS, server),
    M(lease, MAC, server_mac),
    M_TEXT(lease, server_id, ANY_TEXT),
    M(lease, U32, iaid),
    M(lease, U32, mtu),
    M_ARRAY_LATER(lease, addresses, n_addresses, lease_address_shape),
    M_ARRAY_LATER(lease, routes, n_routes, lease_route_shape),
    M_ARRAY_LATER(lease, dns, n_dns, dns_shape),
    M_TEXT(lease, domain, ANY_TEXT),
};
SHAPE(lease, lease);
static const struct member leases_members[] = {M_STRUCT(leases, v4, lease_shape), M_STRUCT(leases, v6, lease_shape)};
const struct shape leases_shape = {sizeof(struct leases), leases_members, ELEMENTS(leases_members)};

static const struct member attachment_members[] = {
    M_TEXT(attachment_record, request, ANY_TEXT),
    M_TEXT(attachment_record, pool, ANY_TEXT),
    M_TEXT(attachment_record, share_id, NAME_TEXT),
    M(attachment_record, BOOL, admin_access),
    M_TEXT(attachment_record, device, UID_TEXT),
    M(attachment_record, STATE, state),
    {.name = "plan", .type = POINTER, .offset = offsetof(struct attachment_record, plan), .shape = &plan_shape},
    M_STRUCT(attachment_record, pod, pod_state_shape),
    M_TEXT(attachment_record, attached_in, NAME_TEXT),
    M_TEXT_LATER(attachment_record, boot_id, NAME_TEXT),
    {.name = "leases", .type = POINTER, .offset = offsetof(struct attachment_record, leases), .shape = &leases_shape, .later = true},
};
SHAPE(attachment, attachment_record);

static const struct member record_members[] = {
    M_STRUCT(claim_record, ref, claim_ref_shape),
    M_STRUCT(claim_record, pod, pod_ref_shape),
    M_STRUCT(claim_record, sandbox, sandbox_shape),
    M(claim_record, U64, netns_inode),
    M(claim_record, BOOL, wants_pod),
    M(claim_record, BOOL, unprepared),
    M_LATER(claim_record, BOOL, leasing),
    M_TEXT_LATER(claim_record, pod_claim_name, NAME_TEXT),
    {.name = "devices",
     .type = LIST,
     .offset = offsetof(struct claim_record, devices),
     .shape = &attachment_shape,
     .count_offset = offsetof(struct claim_record, n),
     .max = CLAIM_DEVICES_MAX},
};
const struct shape record_shape = {sizeof(struct claim_record), record_members, ELEMENTS(record_members)};

/* A member that came or went in a header must come or go in its table, too. */
#define MEMBERS_FIT(s, bytes) static_assert(sizeof(void *) != 8 || sizeof(struct s) == (bytes), "the table of struct " #s " must follow it")
MEMBERS_FIT(claim_record, 1888);
MEMBERS_FIT(attachment_record, 1688);
MEMBERS_FIT(sandbox, 1028);
MEMBERS_FIT(pod_state, 1008);
MEMBERS_FIT(attach_plan, 2848);
MEMBERS_FIT(device_facts, 1240);
MEMBERS_FIT(host_state, 1216);
MEMBERS_FIT(network_config, 384);
MEMBERS_FIT(address, 92);
MEMBERS_FIT(route, 328);
MEMBERS_FIT(rule, 92);
MEMBERS_FIT(neighbour, 38);
MEMBERS_FIT(link_sizes, 20);
MEMBERS_FIT(vf_settings, 76);
MEMBERS_FIT(vf_config, 32);
MEMBERS_FIT(rdma_state, 672);
MEMBERS_FIT(rdma_node, 68);
MEMBERS_FIT(next_hop, 28);
MEMBERS_FIT(ethtool_settings, 92);
MEMBERS_FIT(ethtool_switch, 34);
MEMBERS_FIT(lease, 2096);
MEMBERS_FIT(leases, 4200);
MEMBERS_FIT(lease_address, 28);
MEMBERS_FIT(lease_route, 35);
