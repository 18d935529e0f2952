/* SPDX-License-Identifier: Apache-2.0 */
/* Which device carries which RDMA device: tables of machines, and what sysfs says of them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "rdma/attribution.h"
#include "rdma/sysfs.h"

enum { DOWN = 1, ACTIVE = 4 };

/* One machine with one of everything:
 *   rxe0 on eth0 (7), which is no PCI function; eth0.5 (8) and mv0 (9) stand on eth0
 *   mlx5_0 and mlx5_1 on two functions, each with its netdev (10, 11)
 *   mlx5_bond_0 on the first function of a card whose two netdevs (12, 13) are in bond0 (14); its port shows the second
 *   mlx5_4, InfiniBand, node GUID …40, its ports' GUIDs …41 and …42, ib0 (15), ib1 (16) and ib0's child (17)
 *   mlx5_5, InfiniBand, whose port's GUID is not known; ib2 (18)
 *   efa_0 has no netdev, nor has rocep1 (its netdev is in a pod)
 *   br0 (21) is a bridge over eth9 (20), which has rocep2 */
enum { RXE, MLX0, MLX1, LAG, IB, IB_UNKNOWN, EFA, AWAY, BRIDGED };
static struct rdma_device devices[] = {
    {RXE, 1, 0x01, 1, RDMA_PROTOCOL_ROCE, true, "rxe0"},
    {MLX0, 1, 0x10, 1, RDMA_PROTOCOL_ROCE, false, "mlx5_0"},
    {MLX1, 1, 0x11, 1, RDMA_PROTOCOL_ROCE, false, "mlx5_1"},
    {LAG, 1, 0x20, 1, RDMA_PROTOCOL_ROCE, false, "mlx5_bond_0"},
    {IB, 2, 0xb8599f0300c7d240, 1, RDMA_PROTOCOL_IB, false, "mlx5_4"},
    {IB_UNKNOWN, 1, 0xb8599f0300c7d250, 1, RDMA_PROTOCOL_IB, false, "mlx5_5"},
    {EFA, 1, 0, 6, RDMA_PROTOCOL_UNKNOWN, false, "efa_0"},
    {AWAY, 1, 0x70, 1, RDMA_PROTOCOL_ROCE, false, "rocep1"},
    {BRIDGED, 1, 0x80, 1, RDMA_PROTOCOL_IWARP, false, "rocep2"},
};
static struct rdma_port ports[] = {
    {.device = RXE, .number = 1, .ifindex = 7, .state = ACTIVE, .ifname = "eth0"},
    {.device = MLX0, .number = 1, .ifindex = 10, .state = ACTIVE},
    {.device = MLX1, .number = 1, .ifindex = 11, .state = DOWN},
    {.device = LAG, .number = 1, .ifindex = 13, .master = 14, .bond = true},
    {.device = IB, .number = 1, .guid = 0xb8599f0300c7d241},
    {.device = IB, .number = 2, .guid = 0xb8599f0300c7d242},
    {.device = IB_UNKNOWN, .number = 1},
    {.device = EFA, .number = 1},
    {.device = AWAY, .number = 1},
    {.device = BRIDGED, .number = 1, .ifindex = 20, .master = 21},
};
static const struct rdma_table machine = {
    .mode = RDMA_NETNS_EXCLUSIVE, .devices = devices, .n_devices = ELEMENTS(devices), .ports = ports, .n_ports = ELEMENTS(ports)};

#define IPOIB(last)                                                                                                                        \
	{                                                                                                                                  \
		.length = 20, .bytes = { [12] = 0xb8, 0x59, 0x9f, 0x03, 0x00, 0xc7, 0xd2, last }                                           \
	}

static const struct {
	const char *what, *expected;
	struct device_facts facts;
} cases[] = {
    {"software on a netdev that is no PCI function", "rxe0", {.ifindex = 7}},
    {"its VLAN", "", {.ifindex = 8, .lower = 7, .type = "vlan"}},
    {"its macvlan", "", {.ifindex = 9, .lower = 7, .type = "macvlan"}},
    {"a netdev that has none", "", {.ifindex = 6}},
    {"hardware", "mlx5_0", {.ifindex = 10, .rdma_device = "mlx5_0"}},
    {"hardware, of which sysfs named another of the same function", "mlx5_1", {.ifindex = 11, .rdma_device = "mlx5_0"}},
    {"a representor, which sysfs gives its function's", "", {.ifindex = 30, .rdma_device = "mlx5_0"}},
    {"a bond", "mlx5_bond_0", {.ifindex = 14, .type = "bond"}},
    {"the bond's first member", "", {.ifindex = 12, .master = 14, .rdma_device = "mlx5_bond_0"}},
    {"the bond's second member", "", {.ifindex = 13, .master = 14}},
    {"a bridge", "", {.ifindex = 21, .type = "bridge"}},
    {"a bridge's member", "rocep2", {.ifindex = 20, .master = 21}},
    {"IPoIB at the first port", "mlx5_4", {.ifindex = 15, .type = "ipoib", .mac = IPOIB(0x41)}},
    {"IPoIB at the second port", "mlx5_4", {.ifindex = 16, .type = "ipoib", .mac = IPOIB(0x42)}},
    {"an IPoIB child", "", {.ifindex = 17, .lower = 15, .type = "ipoib", .mac = IPOIB(0x41), .rdma_device = "mlx5_4"}},
    {"IPoIB by its node", "mlx5_5", {.ifindex = 18, .type = "ipoib", .mac = IPOIB(0x50)}},
    {"IPoIB by sysfs", "mlx5_5", {.ifindex = 18, .type = "ipoib", .mac = IPOIB(0x77), .rdma_device = "mlx5_5"}},
    {"IPoIB of nothing here", "", {.ifindex = 18, .type = "ipoib", .mac = IPOIB(0x77)}},
    {"a short hardware address", "", {.ifindex = 19, .mac = {.length = 8, .bytes = {0xb8, 0x59, 0x9f, 0x03, 0, 0xc7, 0xd2, 0x41}}}},
    {"an InfiniBand function, its IPoIB hidden", "mlx5_4", {.pci_address = "0000:8a:00.0", .rdma_device = "mlx5_4"}},
    {"a function that has no netdev at all", "efa_0", {.pci_address = "0000:8b:00.0", .rdma_device = "efa_0"}},
    {"a function whose netdev is in a pod", "rocep1", {.pci_address = "0000:8c:00.0", .rdma_device = "rocep1"}},
    {"a function whose netdev left after the table was read", "mlx5_0", {.pci_address = "0000:8d:00.0", .rdma_device = "mlx5_0"}},
    {"one that came after the table was read", "new0", {.ifindex = 31, .rdma_device = "new0"}},
};

static void each_device_has_its_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(cases); i++) {
		struct device_facts f = cases[i].facts;
		f.rdma = f.rdma_device[0];
		rdma_facts_add(&machine, &f);
		if (!str_equal(f.rdma_device, cases[i].expected) || f.rdma != (*cases[i].expected != 0))
			fail_msg("%s: \"%s\", not \"%s\"", cases[i].what, f.rdma_device, cases[i].expected);
	}
}

static void all_is_told_of_it(void **state)
{
	(void)state;
	struct rdma_table t = machine;
	struct device_facts f = {.name = "eth0", .ifindex = 7, .mtu = 9000};
	rdma_facts_add(&t, &f);
	assert_true(f.rdma && f.rdma_exclusive);
	assert_int_equal(f.rdma_guid, 1);
	assert_int_equal(f.rdma_index, RXE);
	assert_int_equal(f.rdma_protocol, RDMA_PROTOCOL_ROCE);
	assert_string_equal(f.name, "eth0");
	assert_int_equal(f.mtu, 9000);
	t.mode = RDMA_NETNS_SHARED;
	rdma_facts_add(&t, &f);
	assert_false(f.rdma_exclusive);
	/* Deleted: what was told before is taken back. */
	t.n_devices = t.n_ports = 0;
	f = (struct device_facts){.ifindex = 7, .rdma_guid = 1, .rdma_index = 2, .rdma_protocol = 2, .rdma_exclusive = true};
	rdma_facts_add(&t, &f);
	assert_false(f.rdma || f.rdma_exclusive || f.rdma_guid || f.rdma_index || f.rdma_protocol);
}

/* Where RDMA netlink says nothing, sysfs alone is heard. */
static void kernel_without_rdma_netlink(void **state)
{
	(void)state;
	static const struct rdma_table none;
	struct device_facts f = {.ifindex = 10, .rdma_device = "mlx5_0", .rdma = true};
	rdma_facts_add(&none, &f);
	assert_string_equal(f.rdma_device, "mlx5_0");
	assert_true(f.rdma);
	assert_false(f.rdma_exclusive);
	assert_false(rdma_facts_are_news(&none, &f));
}

static void facts_that_are_news(void **state)
{
	(void)state;
	static struct rdma_port lonely[] = {{.device = RXE, .number = 1}};
	struct rdma_table t = machine;
	assert_false(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 7}));
	assert_true(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 7, .master = 14})); /* joined a bond */
	assert_true(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 13}));              /* left one */
	assert_false(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 13, .master = 14}));
	assert_false(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 40})); /* hardware is missed by AWAY's port, not this */
	t.ports = lonely;
	t.n_ports = 1;
	assert_true(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 40})); /* may be rxe0's that came back */
	assert_false(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 40, .lower = 3}));
	assert_false(rdma_facts_are_news(&t, &(struct device_facts){.ifindex = 40, .rdma_device = "mlx5_0"}));
	assert_false(rdma_facts_are_news(&t, &(struct device_facts){.pci_address = "0000:8a:00.0"}));
}

/* ---- sysfs ----------------------------------------------------------------------------------------------------------------------- */

static void run(const char *directory, const char *script)
{
	char command[1024];
	snprintf(command, sizeof(command), "cd %s && %s", directory, script);
	assert_int_equal(system(command), 0);
}

static void sysfs_adds_masters_and_guids(void **state)
{
	(void)state;
	char root[] = "/tmp/rdma-sysfs-XXXXXX";
	struct rdma_device d[] = {{.index = 0, .ports = 2, .protocol = RDMA_PROTOCOL_IB, .name = "mlx5_4"},
	                          {.index = 1, .ports = 1, .protocol = RDMA_PROTOCOL_ROCE, .name = "rxe0"},
	                          {.index = 2, .ports = 1, .protocol = RDMA_PROTOCOL_ROCE, .name = "../escape"},
	                          {.index = 3, .ports = 1, .protocol = RDMA_PROTOCOL_ROCE, .name = "odd"}};
	struct rdma_port p[] = {{.device = 0, .number = 1},
	                        {.device = 0, .number = 2},
	                        {.device = 1, .number = 1, .ifindex = 7, .ifname = "eth0"},
	                        {.device = 2, .number = 1, .ifindex = 8, .ifname = "eth1"},
	                        {.device = 3, .number = 1, .ifindex = 9, .ifname = "../x"},
	                        {.device = 3, .number = 2, .ifindex = 10, .ifname = "eth2"}};
	struct rdma_table t = {.devices = d, .n_devices = ELEMENTS(d), .ports = p, .n_ports = ELEMENTS(p)};
	assert_non_null(mkdtemp(root));
	run(root, "mkdir -p class/infiniband/mlx5_4/ports/1/gids class/infiniband/mlx5_4/ports/2/gids class/infiniband/mlx5_4/device "
	          "class/infiniband/rxe0 class/infiniband/odd class/escape/device class/net/bond0/bonding class/net/br0 class/net/eth0 "
	          "class/net/eth1 class/net/eth2/master class/x/master");
	run(root,
	    "echo fe80:0000:0000:0000:b859:9f03:00c7:d241 > class/infiniband/mlx5_4/ports/1/gids/0; "
	    "echo nonsense > class/infiniband/mlx5_4/ports/2/gids/0; echo 14 > class/net/bond0/ifindex; "
	    "echo 'balance-xor 2' > class/net/bond0/bonding/mode; echo 21 > class/net/br0/ifindex; ln -s ../bond0 class/net/eth0/master; "
	    "ln -s ../br0 class/net/eth1/master; echo -3 > class/net/eth2/master/ifindex; echo 5 > class/x/master/ifindex");
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	rdma_sysfs_add(fd, &t);
	close(fd);
	run(root, "rm -rf class");
	assert_int_equal(rmdir(root), 0);
	assert_false(d[0].is_virtual);
	assert_true(d[1].is_virtual);
	assert_false(d[2].is_virtual); /* not looked at */
	assert_true(p[0].guid == 0xb8599f0300c7d241);
	assert_true(p[1].guid == 0);
	assert_int_equal(p[2].master, 14);
	assert_true(p[2].bond);
	assert_int_equal(p[3].master, 21);
	assert_false(p[3].bond);
	assert_int_equal(p[4].master, 0);
	assert_int_equal(p[5].master, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_device_has_its_own),      cmocka_unit_test(all_is_told_of_it),
	    cmocka_unit_test(kernel_without_rdma_netlink),  cmocka_unit_test(facts_that_are_news),
	    cmocka_unit_test(sysfs_adds_masters_and_guids),
	};
	return cmocka_run_group_tests_name("rdma facts", tests, NULL, NULL);
}
