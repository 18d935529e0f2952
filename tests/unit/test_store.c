/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/record.h"
#include "daemon/store.h"

#define UID "0b5c1d7e-1111-2222-3333-444455556666"

/* ---- a record with something in every member ------------------------------------------------------------------------------------- */

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p = {0};
	assert_int_equal(ip_prefix_parse(text, &p), 0);
	return p;
}

static struct ip_address ip(const char *text)
{
	struct ip_address a = {0};
	assert_int_equal(ip_address_parse(text, &a), 0);
	return a;
}

static struct mac mac(const char *text)
{
	struct mac m = {0};
	assert_int_equal(mac_parse(text, &m), 0);
	return m;
}

static struct address *addresses(size_t *n)
{
	struct address *a = calloc(2, sizeof(*a));
	a[0] = (struct address){
	    .prefix = prefix("192.0.2.1/24"), .flags = 0x80, .valid_lifetime = UINT32_MAX, .preferred_lifetime = 7, .scope = 253};
	a[0].peer = ip("192.0.2.9");
	a[0].broadcast = ip("192.0.2.255");
	a[0].route_metric = 1024;
	STR_COPY(a[0].label, "eth1:1");
	a[0].protocol = 77;
	a[1] = (struct address){.prefix = prefix("2001:db8::1/64"), .valid_lifetime = 3600};
	*n = 2;
	return a;
}

static struct route *routes(size_t *n)
{
	struct route *r = calloc(1, sizeof(*r));
	*r = (struct route){.destination = prefix("0.0.0.0/0"),
	                    .gateway = ip("192.0.2.254"),
	                    .source = ip("192.0.2.1"),
	                    .table = 254,
	                    .metric = 4294967295,
	                    .scope = 253,
	                    .protocol = 186,
	                    .type = 1,
	                    .flags = 4};
	*n = 1;
	return r;
}

static struct neighbour *neighbours(size_t *n)
{
	struct neighbour *x = calloc(1, sizeof(*x));
	*x = (struct neighbour){.destination = ip("192.0.2.7"), .mac = mac("02:00:00:00:00:07")};
	*n = 1;
	return x;
}

static struct rule *rules(size_t *n)
{
	struct rule *r = calloc(1, sizeof(*r));
	*r = (struct rule){.has_priority = true, .priority = 1000, .source = prefix("192.0.2.0/24"), .table = 100};
	*n = 1;
	return r;
}

static void fill_facts(struct device_facts *f)
{
	*f = (struct device_facts){.name = "pci-0000-8a-00-0",
	                           .ifindex = 7,
	                           .master = 3,
	                           .lower = -1,
	                           .mtu = 9000,
	                           .mac = mac("02:00:00:00:00:01"),
	                           .permanent_mac = mac("02:00:00:00:00:02"),
	                           .ifname = "enp138s0np0",
	                           .encapsulation = "ether",
	                           .alias = "\xc3\xbc \"quoted\" \\ line\nbreak",
	                           .state = "up",
	                           .type = "device",
	                           .ipv4 = "10.0.0.1/24",
	                           .ipv6 = "2001:db8::1/64",
	                           .pci_address = "0000:8a:00.0",
	                           .pci_vendor = "Vendor",
	                           .pci_device = "Device [X]",
	                           .pci_subsystem = "0041",
	                           .pcie_root = "pci0000:80",
	                           .driver = "mlx5_core",
	                           .pf_ifname = "pf0",
	                           .pf_mtu = 9100,
	                           .numa_node = -1,
	                           .sriov_vfs = 8,
	                           .rdma_device = "mlx5_2",
	                           .up = true,
	                           .loopback = true,
	                           .is_virtual = true,
	                           .sriov = true,
	                           .is_vf = true,
	                           .rdma = true,
	                           .ebpf = true,
	                           .tc_filters = "dummy_bpf.o:[classifier]",
	                           .tcx_programs = "handle_ingress",
	                           .hidden = true,
	                           .firmware = "22.41.1000 (MT_0000000359)",
	                           .switch_id = "c2b8d8b1f5e84a11",
	                           .pf_address = "0000:8a:00.0",
	                           .vf_index = 3,
	                           .speed = 400000,
	                           .vfs_away = 2,
	                           .n_numa_nodes = 2,
	                           .numa_nodes = {1, 0},
	                           .rdma_guid = 0x9963cdfffea140ab,
	                           .rdma_index = 4,
	                           .rdma_protocol = RDMA_PROTOCOL_ROCE,
	                           .rdma_exclusive = true,
	                           .is_nic = true};
}

static struct rdma_state rdma_state(void)
{
	struct rdma_state s = {
	    .name = "mlx5_2",
	    .guid = 0x9963cdfffea140ab,
	    .index = 4,
	    .protocol = RDMA_PROTOCOL_ROCE,
	    .exclusive = true,
	    .n_nodes = 2,
	    .nodes = {{"/dev/infiniband/uverbs2", 231, 194, 0666, 0, 0}, {"/dev/infiniband/rdma_cm", 10, 122, 0660, 1, 2}},
	    .gid_port = 1,
	    .gid_index = 3};
	ip_address_parse("192.0.2.1", &s.gid);
	return s;
}

static struct bytes bytes(const char *text, size_t n)
{
	struct bytes b = {malloc(n), n};
	memcpy(b.data, text, n);
	return b;
}
#define BYTES(text) bytes(text, sizeof(text))

static struct ethtool_switch *switches(const char *name, size_t *n)
{
	struct ethtool_switch *list = calloc(1, sizeof(*list));
	STR_COPY(list->name, name);
	list->on = true;
	*n = 1;
	return list;
}

static void fill_host(struct host_state *h)
{
	*h = (struct host_state){.ifindex = 7,
	                         .ifname = "enp138s0np0",
	                         .type = "device",
	                         .mtu = 1500,
	                         .min_mtu = 68,
	                         .max_mtu = 9978,
	                         .mac = mac("02:00:00:00:00:01"),
	                         .permanent_mac = mac("00:11:22:33:44:55:66:77"),
	                         .up = true,
	                         .txqlen = 1000,
	                         .sizes = {65536, 65535, 65534, 65533, 65532},
	                         .taken_at = 123456789012,
	                         .master = 4,
	                         .peer_ifindex = 6,
	                         .group = 7,
	                         .flags = 0x100,
	                         .xdp = 33,
	                         .qdisc = "fq_codel",
	                         .vf = {.known = true,
	                                .pf = "pf0",
	                                .pf_ifindex = 5,
	                                .index = 3,
	                                .mac = mac("02:00:00:00:00:09"),
	                                .vlan = 100,
	                                .qos = 5,
	                                .vlan_protocol = 0x88a8,
	                                .min_rate = 1,
	                                .max_rate = 1000,
	                                .spoofchk = 1,
	                                .trust = 0,
	                                .rss_query = -1,
	                                .link_state = 2}};
	h->rdma = rdma_state();
	h->alias = bytes("\xff not UTF-8", 12);
	h->altnames = BYTES("enp1s0\0storage-rail-1");
	h->ipv4 = BYTES("\1\0\0\0");
	h->ipv6 = BYTES("\0\0\0\2");
	h->more_sysctls = BYTES("stable_secret=::1");
	h->features = BYTES("\x12\x34\xfe\xdc");
	h->objects = BYTES("routes and rules");
	h->pod_rules = BYTES("rules of tables");
	h->private_flags = BYTES("\3\1");
	h->ebpf = BYTES("\1\0clsact");
	h->ethtool = (struct ethtool_settings){.given = 1u << CHANNELS_COMBINED, .v = {[CHANNELS_COMBINED] = 63}};
	h->addresses = addresses(&h->n_addresses);
	h->routes = routes(&h->n_routes);
	h->neighbours = neighbours(&h->n_neighbours);
}

static void fill_config(struct network_config *c)
{
	*c = (struct network_config){
	    .ifname = "net1",
	    .mtu = 1400,
	    .mac = mac("02:00:00:00:00:03"),
	    .sizes = {1, 2, 3, 4, 5},
	    .dhcp = -1,
	    .disable_ebpf = 0,
	    .forwarding = 1,
	    .arp_ignore = 2,
	    .arp_announce = -1,
	    .addresses_given = true,
	    .vrf_name = "blue",
	    .vrf_table = 1200,
	    .vf = {.has_vlan = true,
	           .has_qos = true,
	           .has_trust = true,
	           .has_max_rate = true,
	           .vlan = 100,
	           .qos = 5,
	           .vlan_protocol = 0x88a8,
	           .max_rate = 1000,
	           .trust = 1},
	    .rdma_umad = 1,
	    .rdma_issm = -1,
	    .ethtool = {.given = 1u << RING_TX | 1u << COALESCE_STATS_USECS, .v = {[RING_TX] = 512, [PAUSE_TX] = 1}},
	    .profile = "acme.example/overlay"};
	c->addresses = addresses(&c->n_addresses);
	c->routes = routes(&c->n_routes);
	c->rules = rules(&c->n_rules);
	c->neighbours = neighbours(&c->n_neighbours);
	c->features = switches("tso", &c->n_features);
	c->private_flags = switches("loss-recovery", &c->n_private_flags);
}

static struct leases *leases(void)
{
	struct leases *l = leases_new();
	l->v4 = (struct lease){.held = true,
	                       .taken_at = 1ull << 40,
	                       .renew = 300,
	                       .rebind = 525,
	                       .valid = LEASE_FOR_EVER,
	                       .server_mac = mac("02:00:00:00:00:09"),
	                       .mtu = 1400,
	                       .n_addresses = 1,
	                       .n_routes = 1,
	                       .n_dns = 1,
	                       .domain = "example.org svc.example.org"};
	ip_address_parse("192.0.2.1", &l->v4.server);
	ip_prefix_parse("192.0.2.77/24", &l->v4.addresses[0].prefix);
	ip_prefix_parse("0.0.0.0/0", &l->v4.routes[0].destination);
	ip_address_parse("192.0.2.1", &l->v4.routes[0].gateway);
	ip_address_parse("192.0.2.53", &l->v4.dns[0]);
	l->v6 = (struct lease){.held = true, .server_id = "00030001020000000009", .iaid = 7, .n_addresses = 1};
	ip_prefix_parse("2001:db8::77/128", &l->v6.addresses[0].prefix);
	l->v6.addresses[0].valid = 600;
	return l;
}

static struct claim_record full_record(const char *uid)
{
	struct claim_record r = {
	    .ref = {.namespace_ = "default", .name = "nic"},
	    .pod = {"pod-uid", "default", "pod"},
	    .sandbox = {.id = "sandbox-1", .pod = {"pod-uid", "default", "pod"}, .netns = "/var/run/netns/cni-1", .pid = 4242},
	    .netns_inode = 4026532008,
	    .wants_pod = true,
	    .unprepared = true,
	    .leasing = true,
	    .pod_claim_name = "fabric",
	    .n = 2};
	STR_COPY(r.ref.uid, uid);
	r.devices = calloc(2, sizeof(*r.devices));
	struct attachment_record *a = &r.devices[0];
	*a = (struct attachment_record){
	    .request = "req/sub", .pool = "node-a", .share_id = "share", .device = "pci-0000-8a-00-0", .state = DEVICE_ATTACHED};
	STR_COPY(a->attached_in, "sandbox-1");
	STR_COPY(a->boot_id, "0a1b2c3d-1234-5678-9abc-def012345678");
	a->plan = calloc(1, sizeof(*a->plan));
	a->plan->references = 1;
	fill_facts(&a->plan->facts);
	fill_host(&a->plan->host);
	fill_config(&a->plan->pod);
	STR_COPY(a->pod.ifname, "net1");
	a->pod.mac = mac("02:00:00:00:00:03");
	a->pod.addresses[0] = prefix("192.0.2.1/24");
	a->pod.addresses[1] = prefix("2001:db8::1/64");
	a->pod.n_addresses = 2;
	a->pod.rdma = rdma_state();
	a->leases = leases();
	r.devices[1] = (struct attachment_record){
	    .request = "watch", .pool = "node-a", .admin_access = true, .device = "eth9", .state = DEVICE_PREPARED};
	return r;
}

static struct claim_record decode(const char *text, size_t len)
{
	struct claim_record r = {0};
	struct error e = {0};
	int result = record_decode(text, len, &r, &e);
	if (result < 0)
		print_error("%s\n", e.text);
	assert_int_equal(result, 0);
	return r;
}

/* Padding is zero on both sides: the originals are initialised as a whole and the decoder starts from calloc. */
#define ASSERT_SAME(a, b, type, member)                                                                                                    \
	assert_memory_equal((const char *)(a) + offsetof(type, member), (const char *)(b) + offsetof(type, member), sizeof((a)->member))

static void assert_same_plan(const struct attach_plan *a, const struct attach_plan *b)
{
	assert_int_equal(b->references, 1);
	assert_memory_equal(&a->facts, &b->facts, sizeof(a->facts));
	assert_int_equal(a->host.n_addresses, b->host.n_addresses);
	assert_memory_equal(a->host.addresses, b->host.addresses, a->host.n_addresses * sizeof(struct address));
	assert_int_equal(a->host.n_routes, b->host.n_routes);
	assert_memory_equal(a->host.routes, b->host.routes, a->host.n_routes * sizeof(struct route));
	assert_int_equal(a->host.n_neighbours, b->host.n_neighbours);
	assert_memory_equal(a->host.neighbours, b->host.neighbours, a->host.n_neighbours * sizeof(struct neighbour));
	assert_memory_equal(&a->host, &b->host, offsetof(struct host_state, addresses));
	assert_memory_equal((const char *)&a->host + offsetof(struct host_state, taken_at),
	                    (const char *)&b->host + offsetof(struct host_state, taken_at),
	                    offsetof(struct host_state, alias) - offsetof(struct host_state, taken_at));
	const struct bytes *in[] = {&a->host.alias,    &a->host.altnames, &a->host.ipv4,      &a->host.ipv6,          &a->host.more_sysctls,
	                            &a->host.features, &a->host.objects,  &a->host.pod_rules, &a->host.private_flags, &a->host.ebpf};
	const struct bytes *out[] = {&b->host.alias,         &b->host.altnames, &b->host.ipv4,    &b->host.ipv6,
	                             &b->host.more_sysctls,  &b->host.features, &b->host.objects, &b->host.pod_rules,
	                             &b->host.private_flags, &b->host.ebpf};
	for (size_t i = 0; i < ELEMENTS(in); i++) {
		assert_int_equal(in[i]->n, out[i]->n);
		assert_memory_equal(in[i]->data, out[i]->data, in[i]->n);
	}
	ASSERT_SAME(&a->host, &b->host, struct host_state, ethtool);
	ASSERT_SAME(&a->host, &b->host, struct host_state, vf);
	ASSERT_SAME(&a->host, &b->host, struct host_state, rdma);
	assert_int_equal(a->pod.n_addresses, b->pod.n_addresses);
	assert_memory_equal(a->pod.addresses, b->pod.addresses, a->pod.n_addresses * sizeof(struct address));
	assert_int_equal(a->pod.n_routes, b->pod.n_routes);
	assert_memory_equal(a->pod.routes, b->pod.routes, a->pod.n_routes * sizeof(struct route));
	assert_int_equal(a->pod.n_rules, b->pod.n_rules);
	assert_memory_equal(a->pod.rules, b->pod.rules, a->pod.n_rules * sizeof(struct rule));
	assert_int_equal(a->pod.n_neighbours, b->pod.n_neighbours);
	assert_memory_equal(a->pod.neighbours, b->pod.neighbours, a->pod.n_neighbours * sizeof(struct neighbour));
	assert_memory_equal(&a->pod, &b->pod, offsetof(struct network_config, addresses));
	ASSERT_SAME(&a->pod, &b->pod, struct network_config, vrf_name);
	ASSERT_SAME(&a->pod, &b->pod, struct network_config, vrf_table);
	assert_int_equal(a->pod.n_features, b->pod.n_features);
	assert_memory_equal(a->pod.features, b->pod.features, a->pod.n_features * sizeof(struct ethtool_switch));
	assert_int_equal(a->pod.n_private_flags, b->pod.n_private_flags);
	assert_memory_equal(a->pod.private_flags, b->pod.private_flags, a->pod.n_private_flags * sizeof(struct ethtool_switch));
	ASSERT_SAME(&a->pod, &b->pod, struct network_config, ethtool);
	ASSERT_SAME(&a->pod, &b->pod, struct network_config, vf);
	ASSERT_SAME(&a->pod, &b->pod, struct network_config, rdma_umad);
	ASSERT_SAME(&a->pod, &b->pod, struct network_config, rdma_issm);
	ASSERT_SAME(&a->pod, &b->pod, struct network_config, profile);
}

static void test_round_trip(void **state)
{
	struct claim_record r = full_record(UID);
	char *text, *again;
	size_t len, len_again;
	(void)state;
	assert_int_equal(record_encode(&r, &text, &len, NULL), 0);
	struct claim_record back = decode(text, len);
	assert_memory_equal(&r, &back, offsetof(struct claim_record, devices));
	for (size_t i = 0; i < r.n; i++) {
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, request);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, pool);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, share_id);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, admin_access);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, device);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, state);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, pod);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, attached_in);
		ASSERT_SAME(&r.devices[i], &back.devices[i], struct attachment_record, boot_id);
	}
	assert_same_plan(r.devices[0].plan, back.devices[0].plan);
	assert_null(back.devices[1].plan);
	const struct leases *in = r.devices[0].leases, *out = back.devices[0].leases;
	assert_int_equal(out->references, 1);
	ASSERT_SAME(in, out, struct leases, v4);
	ASSERT_SAME(in, out, struct leases, v6);
	assert_null(back.devices[1].leases);
	assert_int_equal(record_encode(&back, &again, &len_again, NULL), 0);
	assert_string_equal(text, again);
	free(text);
	free(again);
	claim_record_free(&r);
	claim_record_free(&back);
}

/* One change to a good record's text, and what the reader says of it. */
static void test_strict_reader(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} rows[] = {
	    {"\"format\": 1", "\"format\": 2", "format"},
	    {"\"mtu\": 9000", "\"mtu\": 4294967296", "devices: item 0: plan: facts: mtu: 4294967296 is out of range"},
	    {"\"mtu\": 9000", "\"mtu\": -1", "mtu: -1 is out of range"},
	    {"\"mtu\": 9000", "\"mtu\": \"9000\"", "mtu: no whole number"},
	    {"\"mtu\": 9000", "\"mtu\": 9000.0", "mtu: no whole number"},
	    {"\"mtu\": 9000", "\"mtv\": 9000", "mtu: missing"},
	    {"\"mtu\": 9000,", "\"mtu\": 9000, \"extra\": 1,", "members where"},
	    {"\"mtu\": 9000,", "\"mtu\": 9000, \"mtu\": 9000,", "duplicate"},
	    {"\"up\": true", "\"up\": 1", "up: neither true nor false"},
	    {"\"ifname\": \"enp138s0np0\"", "\"ifname\": \"sixteen-bytes-xx\"", "ifname: more than 15 bytes"},
	    {"\"ifname\": \"enp138s0np0\"", "\"ifname\": \"../x\"", "ifname: '/' in a name"},
	    {"\"ifname\": \"enp138s0np0\"", "\"ifname\": null", "ifname: no text"},
	    {"\"ifname\": \"enp138s0np0\"", "\"ifname\": \"a\\u0000b\"", "line"},
	    {"\"mac\": \"02:00:00:00:00:01\"", "\"mac\": \"02:00\"", "mac: no address"},
	    {"\"prefix\": \"192.0.2.1/24\"", "\"prefix\": \"192.0.2.1/33\"", "prefix: no address"},
	    {"\"state\": \"attached\"", "\"state\": \"flying\"", "state: no state"},
	    {"\"state\": \"attached\"", "\"state\": \"published\"", "a prepared claim has no published device"},
	    {"\"uid\": \"" UID "\"", "\"uid\": \"\"", "ref: uid: empty"},
	    {"\"device\": \"pci-0000-8a-00-0\"", "\"device\": \"other\"", "the plan is for pci-0000-8a-00-0, not other"},
	    {"\"plan\": null", "\"plan\": {}", "plan: facts: missing"},
	    {"\"alias\": \"ff20", "\"alias\": \"fg20", "alias: no hexadecimal digit at 1"},
	    {"\"alias\": \"ff20", "\"alias\": \"FF20", "alias: no hexadecimal digit at 0"},
	    {"\"alias\": \"ff20", "\"alias\": \"f20", "alias: no bytes"},
	    {"\"qdisc\": \"fq_codel\"", "\"qdisc\": \"sixteen-bytes-xx\"", "qdisc: more than 15 bytes"},
	    {"\"admin_access\": true", "\"admin_access\": false", "has a plan unless"},
	    {"\"wants_pod\": true", "\"wants_pod\": true", NULL},
	};
	struct claim_record r = full_record(UID);
	char *text;
	size_t len;
	(void)state;
	assert_int_equal(record_encode(&r, &text, &len, NULL), 0);
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char *at = strstr(text, rows[i].from);
		struct claim_record back = {0};
		struct error e = {0};
		_cleanup_free_ char *changed = NULL;
		assert_non_null(at);
		assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, rows[i].to, at + strlen(rows[i].from)) > 0);
		int result = record_decode(changed, strlen(changed), &back, &e);
		if (!rows[i].says) {
			assert_int_equal(result, 0);
			claim_record_free(&back);
			continue;
		}
		assert_int_equal(result, -EINVAL);
		if (!strstr(e.text, rows[i].says))
			print_error("%s\n   does not say: %s\n", e.text, rows[i].says);
		assert_non_null(strstr(e.text, rows[i].says));
		assert_int_equal(back.n, 0);
	}
	for (size_t cut = 0; cut < len; cut += 97) { /* a file that ends anywhere */
		struct claim_record back = {0};
		assert_int_equal(record_decode(text, cut, &back, NULL), -EINVAL);
	}
	free(text);
	claim_record_free(&r);
}

/* The text without a member of that name, to the end of its line; where it is the last of its object, without the comma before. */
static void remove_members(char *text, const char *name)
{
	char key[64];
	snprintf(key, sizeof(key), "\"%s\": ", name);
	for (char *at; (at = strstr(text, key));) {
		char *end = at + strlen(key);
		int depth = 0;
		for (; depth > 0 || (*end != ',' && *end != '\n'); end++)
			depth += (*end == '{') - (*end == '}');
		if (*end == ',') {
			end++;
		} else
			while (*--at != ',')
				continue;
		memmove(at, end, strlen(end) + 1);
	}
}

static void test_record_of_the_first_version(void **state)
{
	static const char *const later[] = {"taken_at", "master", "peer_ifindex", "group",    "xdp",     "qdisc", "alias",       "altnames",
	                                    "ipv4",     "ipv6",   "more_sysctls", "features", "objects", "vf",    "gso_max_segs"};
	struct claim_record r = full_record(UID);
	char *text, *again;
	size_t len, len_again;
	(void)state;
	struct host_state *h = &r.devices[0].plan->host;
	assert_int_equal(record_encode(&r, &text, &len, NULL), 0);
	char *host = strstr(text, "\"host\": {");
	assert_non_null(host);
	char *pod = strstr(host, "\"pod\": {");
	assert_non_null(pod);
	_cleanup_free_ char *before = strndup(text, (size_t)(host - text)), *middle = strndup(host, (size_t)(pod - host)), *old = NULL;
	for (size_t i = 0; i < ELEMENTS(later); i++)
		remove_members(middle, later[i]);
	remove_members(pod, "boot_id");
	assert_true(asprintf(&old, "%s%s%s", before, middle, pod) > 0);
	assert_null(strstr(middle, "taken_at"));
	struct claim_record back = decode(old, strlen(old));
	const struct host_state *is = &back.devices[0].plan->host;
	assert_string_equal(back.devices[0].boot_id, "");
	assert_int_equal(is->taken_at, 0);
	assert_int_equal(is->sizes.gso_max, h->sizes.gso_max);
	assert_int_equal(is->sizes.gso_max_segs, 0);
	assert_int_equal(is->n_routes, h->n_routes);
	assert_null(is->objects.data);
	assert_false(is->vf.known);
	assert_int_equal(record_encode(&back, &again, &len_again, NULL), 0); /* and is written anew with them */
	assert_non_null(strstr(again, "\"objects\": \"\""));
	free(text);
	free(again);
	claim_record_free(&r);
	claim_record_free(&back);
}

static void test_not_utf8(void **state)
{
	struct claim_record r = full_record(UID);
	struct error e = {0};
	char *text = NULL;
	size_t len;
	(void)state;
	STR_COPY(r.devices[0].plan->facts.alias, "\xff");
	assert_int_equal(record_encode(&r, &text, &len, &e), -EILSEQ);
	assert_null(text);
	claim_record_free(&r);
}

/* A device with more routes than a record can say is refused at once, not found unreadable after a restart. */
static void test_too_large(void **state)
{
	struct claim_record r = full_record(UID);
	struct host_state *h = &r.devices[0].plan->host;
	struct error e = {0};
	char *text = NULL;
	size_t len;
	(void)state;
	free(h->objects.data);
	h->objects = (struct bytes){calloc(1, RECORD_TEXT_MAX / 2), RECORD_TEXT_MAX / 2};
	assert_int_equal(record_encode(&r, &text, &len, &e), -E2BIG);
	assert_null(text);
	assert_non_null(strstr(e.text, UID));
	claim_record_free(&r);
}

/* ---- the directory --------------------------------------------------------------------------------------------------------------- */

static char root[64];

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/dranetd-test-store-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

struct loaded {
	char uids[8][UID_SIZE], broken[8][256], why[8][256];
	size_t n, n_broken;
};

static void on_record(struct claim_record *r, void *user)
{
	struct loaded *l = user;
	STR_COPY(l->uids[l->n], r->ref.uid);
	l->n++;
}

static void on_broken(const char *file, const char *why, void *user)
{
	struct loaded *l = user;
	STR_COPY(l->broken[l->n_broken], strrchr(file, '/') + 1);
	STR_CUT(l->why[l->n_broken], why);
	l->n_broken++;
}

static void load(struct store *s, struct loaded *ret)
{
	const struct store_callbacks callbacks = {on_record, on_broken, ret};
	*ret = (struct loaded){0};
	assert_int_equal(store_load(s, &callbacks, NULL), 0);
}

static int put(struct store *s, const char *uid, struct error *e)
{
	struct claim_record r = full_record(uid);
	char *text;
	size_t len;
	assert_int_equal(record_encode(&r, &text, &len, NULL), 0);
	int result = store_write(s, uid, text, len, e);
	free(text);
	claim_record_free(&r);
	return result;
}

static void put_text(const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/state/claims/%s", root, name);
	FILE *f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static bool exists(const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/state/claims/%s", root, name);
	return access(path, F_OK) == 0;
}

static struct store *open_store(void)
{
	char path[128];
	struct store *s;
	snprintf(path, sizeof(path), "%s/state", root);
	assert_int_equal(store_open(path, &s, NULL), 0);
	assert_int_equal(store_lock(s, NULL), 0);
	return s;
}

static void test_write_load_remove(void **state)
{
	struct loaded l;
	struct stat st;
	char path[128];
	(void)state;
	struct store *s = open_store();
	load(s, &l);
	assert_int_equal(l.n, 0);
	assert_int_equal(put(s, "b", NULL), 0);
	assert_int_equal(put(s, "a", NULL), 0);
	assert_int_equal(put(s, "a", NULL), 0); /* replaced */
	store_close(s);

	s = open_store();
	load(s, &l);
	assert_int_equal(l.n, 2);
	assert_string_equal(l.uids[0], "a");
	assert_string_equal(l.uids[1], "b");
	assert_int_equal(l.n_broken, 0);
	snprintf(path, sizeof(path), "%s/state/claims/a.json", root);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(store_remove(s, "a", NULL), 0);
	assert_int_equal(store_remove(s, "a", NULL), 0);
	load(s, &l);
	assert_int_equal(l.n, 1);
	store_close(s);
}

static void test_broken_files(void **state)
{
	struct loaded l;
	(void)state;
	struct store *s = open_store();
	assert_int_equal(put(s, "good", NULL), 0);
	put_text("empty.json", "");
	put_text("half.json", "{\"format\": 1, \"ref\": {");
	put_text("junk.txt", "x");
	put_text("cut.tmp", "{");
	put_text("old.json.broken", "kept as it is");
	assert_int_equal(put(s, "named", NULL), 0);
	char from[128], to[128];
	snprintf(from, sizeof(from), "%s/state/claims/named.json", root);
	snprintf(to, sizeof(to), "%s/state/claims/wrong.json", root);
	assert_int_equal(rename(from, to), 0);
	snprintf(to, sizeof(to), "%s/state/claims/link.json", root);
	assert_int_equal(symlink("/etc/passwd", to), 0);
	snprintf(to, sizeof(to), "%s/state/claims/fifo.json", root);
	assert_int_equal(mkfifo(to, 0600), 0);

	load(s, &l);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.uids[0], "good");
	assert_int_equal(l.n_broken, 6);
	assert_true(exists("empty.json.broken") && exists("half.json.broken") && exists("junk.txt.broken") && exists("wrong.json.broken") &&
	            exists("fifo.json.broken"));
	assert_false(exists("half.json") || exists("cut.tmp") || exists("wrong.json"));
	for (size_t i = 0; i < l.n_broken; i++)
		assert_true(l.why[i][0]);
	load(s, &l); /* told once */
	assert_int_equal(l.n, 1);
	assert_int_equal(l.n_broken, 0);
	store_close(s);
}

static void *wait_for_lock(void *store)
{
	return (void *)(intptr_t)store_wait_lock(store, NULL);
}

static void test_one_owner(void **state)
{
	char path[128], expected[64];
	struct store *other = NULL;
	struct error e = {0};
	pthread_t waiting;
	void *result;
	(void)state;
	struct store *s = open_store();
	snprintf(path, sizeof(path), "%s/state", root);
	snprintf(expected, sizeof(expected), "in use by another dranetd (process %d)", (int)getpid());
	assert_int_equal(store_open(path, &other, &e), 0);
	assert_int_equal(store_lock(other, &e), -EBUSY);
	assert_non_null(strstr(e.text, expected));
	assert_int_equal(pthread_create(&waiting, NULL, wait_for_lock, other), 0);
	assert_int_equal(pthread_tryjoin_np(waiting, &result), EBUSY);
	store_close(s);
	assert_int_equal(pthread_join(waiting, &result), 0);
	assert_int_equal((intptr_t)result, 0);
	s = NULL;
	assert_int_equal(store_open(path, &s, &e), 0);
	assert_int_equal(store_lock(s, &e), -EBUSY); /* it is the other one's now */
	store_close(s);
	store_close(other);
}

static void test_bad_uids(void **state)
{
	static const char *const uids[] = {
	    "", ".", "..", ".hidden", "a/b", "../../x", "a b", "a\n", "0123456789012345678901234567890123456789012345678901234567890123"};
	struct error e = {0};
	(void)state;
	struct store *s = open_store();
	for (size_t i = 0; i < ELEMENTS(uids); i++) {
		assert_int_equal(store_write(s, uids[i], "{}", 2, &e), -EINVAL);
		assert_int_equal(store_remove(s, uids[i], &e), -EINVAL);
	}
	store_close(s);
}

/* In a child with its own mounts: a tmpfs of a few pages that fills up. */
static int full_disk(void)
{
	char path[128];
	struct store *s;
	struct error e = {0};
	struct claim_record r = full_record("a");
	char *text = NULL;
	size_t len = 0;
	if (mount("none", root, "tmpfs", 0, "size=32k") < 0)
		return 1;
	snprintf(path, sizeof(path), "%s/state", root);
	if (store_open(path, &s, NULL) < 0 || store_lock(s, NULL) < 0 || record_encode(&r, &text, &len, NULL) < 0 ||
	    store_write(s, "a", text, len, NULL) < 0)
		return 2;
	char *big = malloc(1 << 20);
	memset(big, ' ', 1 << 20);
	if (store_write(s, "a", big, 1 << 20, &e) != -ENOSPC || !strstr(e.text, "No space left"))
		return 3;
	struct loaded l = {0};
	const struct store_callbacks callbacks = {on_record, on_broken, &l};
	/* The old record is whole, and nothing is left that would keep the disk full. */
	if (store_load(s, &callbacks, NULL) < 0 || l.n != 1 || l.n_broken != 0 || store_write(s, "a", text, len, NULL) < 0)
		return 4;
	return 0;
}

static void test_disk_full(void **state)
{
	int status;
	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
			_exit(77);
		_exit(full_disk());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("SKIP: a mount namespace of our own needs CAP_SYS_ADMIN\n");
		return;
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_strict_reader),
	    cmocka_unit_test(test_record_of_the_first_version),
	    cmocka_unit_test(test_not_utf8),
	    cmocka_unit_test(test_too_large),
	    cmocka_unit_test_setup_teardown(test_write_load_remove, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_broken_files, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_owner, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_uids, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
