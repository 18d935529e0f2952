/* SPDX-License-Identifier: Apache-2.0 */
/* Device names, the attribute table, the comma lists: dranet-behaviour §2.3, §2.5, §2.6 and §11.3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/device.h"

static void test_netdev_names(void **state)
{
	(void)state;
	static const struct {
		const char *ifname, *name;
	} rows[] = {
	    {"eth0", "eth0"},
	    {"my-device-1", "my-device-1"},
	    {"eth:0", "net-mv2gqorq"},
	    {"ETH0", "net-ivkeqma"},
	    {"eth_int", "net-mv2gqx3jnz2a"},
	    {"", ""},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char name[DEVICE_NAME_SIZE] = "?";
		assert_int_equal(device_name_netdev(rows[i].ifname, name), 0);
		assert_string_equal(name, rows[i].name);
	}
	/* Every interface name the kernel allows gives a DNS label. */
	for (int c = 1; c < 256; c++) {
		char ifname[IFNAME_SIZE], name[DEVICE_NAME_SIZE];
		for (size_t len = 1; len < sizeof(ifname); len++) {
			memset(ifname, c, len);
			ifname[len] = 0;
			assert_int_equal(device_name_netdev(ifname, name), 0);
			assert_true(str_is_dns_label(name));
		}
	}
	char name[DEVICE_NAME_SIZE] = "?", text[80];
	memset(text, '_', sizeof(text));
	text[37] = 0;
	assert_int_equal(device_name_netdev(text, name), -ENAMETOOLONG);
	text[36] = 0;
	assert_int_equal(device_name_netdev(text, name), 0);
	assert_int_equal(strlen(name), 4 + 58);
}

static void test_pci_names(void **state)
{
	(void)state;
	char name[DEVICE_NAME_SIZE] = "?";
	assert_int_equal(device_name_pci("0000:8a:00.0", name), 0);
	assert_string_equal(name, "pci-0000-8a-00-0");
	assert_int_equal(device_name_pci("0000:8A:0F.7", name), 0);
	assert_string_equal(name, "pci-0000-8a-0f-7");
	assert_int_equal(device_name_pci("00:04.0", name), 0);
	assert_string_equal(name, "pci-00-04-0");
	assert_int_equal(device_name_pci("10000:e0:06.0", name), 0);
	assert_string_equal(name, "pci-10000-e0-06-0");
	static const char *const bad[] = {"",
	                                  "eth0",
	                                  "pci-0000:8c:00.0-device",
	                                  "0000:8c:00",
	                                  "0000:8c:00.0 ",
	                                  "000:8c:00.0",
	                                  ":8c:00.0",
	                                  "0000:8c:00.00",
	                                  "0000:8g:00.0",
	                                  "0000:8c:00.g",
	                                  "0000.8c.00.0",
	                                  "0000:00.0",
	                                  "8c:00.",
	                                  "123456789:8c:00.0",
	                                  "0000:0000:8c:00.0"};
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		if (device_name_pci(bad[i], name) != -EINVAL)
			fail_msg("\"%s\" was taken for a PCI address", bad[i]);
}

static void test_pci_of_path(void **state)
{
	(void)state;
	static const struct {
		const char *path, *address; /* NULL = none */
	} rows[] = {
	    {"/sys/devices/pci0000:00/0000:00:04.0/virtio1/net/eth0", "0000:00:04.0"},
	    {"/sys/devices/pci0000:8c/0000:8c:00.0/0000:8d:00.0/0000:8e:02.0/0000:91:00.0/net/eth1", "0000:91:00.0"},
	    {"../../devices/pci0000:00/10000:e0:06.0/net/eth0", "10000:e0:06.0"},
	    {"/a/00:04.0/b", "00:04.0"},
	    {"0000:00:04.0", "0000:00:04.0"},
	    {"/0000:00:04.0/", "0000:00:04.0"},
	    {"/sys/devices/virtual/net/lo", NULL},
	    {"/x/pci-0000:8c:00.0-device", NULL},
	    {"", NULL},
	    {"/", NULL},
	    {"///", NULL},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char address[PCI_ADDRESS_SIZE] = "?";
		assert_int_equal(pci_address_of_path(rows[i].path, address), rows[i].address ? 0 : -ENOENT);
		assert_string_equal(address, rows[i].address ? rows[i].address : "?");
	}
}

static void test_lists_stop_at_64_bytes(void **state)
{
	(void)state;
	char list[ATTRIBUTE_TEXT_SIZE] = "", text[128];
	for (int i = 1; i <= 5; i++) {
		snprintf(text, sizeof(text), "10.96.0.%d/32", i);
		assert_true(attribute_list_add(list, text));
	}
	assert_int_equal(strlen(list), 64);
	assert_false(attribute_list_add(list, "10.96.0.6/32"));
	assert_string_equal(list, "10.96.0.1/32,10.96.0.2/32,10.96.0.3/32,10.96.0.4/32,10.96.0.5/32");

	list[0] = 0;
	for (int i = 1; i <= 6; i++) {
		snprintf(text, sizeof(text), "fd00::%d/128", i);
		assert_int_equal(attribute_list_add(list, text), i <= 5);
	}
	assert_int_equal(strlen(list), 59);

	list[0] = 0;
	memset(text, 'x', 65);
	text[65] = 0;
	assert_false(attribute_list_add(list, text));
	assert_string_equal(list, "");
	text[64] = 0;
	assert_true(attribute_list_add(list, text));
}

/* The attributes as one text, so that a row that is missing or too many shows as a difference. */
static void expect_attributes(const struct device_facts *facts, const char *expected)
{
	struct attribute attributes[ATTRIBUTES_MAX];
	_cleanup_buf_ struct buf b = {0};
	size_t n = device_attributes(facts, attributes);
	for (size_t i = 0; i < n; i++) {
		const struct attribute *a = &attributes[i];
		if (a->type == ATTRIBUTE_STRING)
			buf_printf(&b, "%s='%s'\n", a->name, a->string);
		else if (a->type == ATTRIBUTE_INTS) {
			buf_printf(&b, "%s=", a->name);
			for (size_t k = 0; k < a->n_integers; k++)
				buf_printf(&b, "%s%d", k ? "," : "", a->integers[k]);
			buf_puts(&b, "\n");
		} else if (a->type == ATTRIBUTE_INT)
			buf_printf(&b, "%s=%lld\n", a->name, (long long)a->integer);
		else
			buf_printf(&b, "%s=%s\n", a->name, a->boolean ? "true" : "false");
	}
	assert_string_equal(buf_text(&b), expected);
}

static struct device_facts roce_vf(void)
{
	struct device_facts facts = {.name = "pci-0000-8a-00-1",
	                             .ifindex = 7,
	                             .mtu = 9000,
	                             .mac = {6, {2, 0, 0, 0, 0, 1}},
	                             .ifname = "eth7",
	                             .encapsulation = "ether",
	                             .state = "up",
	                             .type = "device",
	                             .ipv4 = "10.0.0.1/24",
	                             .pci_address = "0000:8a:00.1",
	                             .pci_vendor = "Mellanox Technologies",
	                             .pci_device = "MT2910",
	                             .pci_subsystem = "0023",
	                             .pcie_root = "pci0000:89",
	                             .numa_node = 1,
	                             .rdma_device = "mlx5_1",
	                             .rdma_protocol = RDMA_PROTOCOL_ROCE,
	                             .driver = "mlx5_core",
	                             .firmware = "28.39.1002 (MT_0000000838)",
	                             .speed = 400000,
	                             .pf_address = "0000:8a:00.0",
	                             .pf_ifname = "eth6",
	                             .vf_index = 0,
	                             .is_vf = true,
	                             .rdma = true};
	return facts;
}

static void test_attributes(void **state)
{
	(void)state;
	struct device_facts facts = roce_vf();
	expect_attributes(&facts, "dra.net/ifName='eth7'\ndra.net/mac='02:00:00:00:00:01'\ndra.net/mtu=9000\n"
	                          "dra.net/encapsulation='ether'\ndra.net/alias=''\ndra.net/state='up'\ndra.net/type='device'\n"
	                          "dra.net/ipv4='10.0.0.1/24'\ndra.net/ebpf=false\ndra.net/sriov=false\ndra.net/isSriovVf=true\n"
	                          "dra.net/virtual=false\ndra.net/rdma=true\ndra.net/rdmaDevice='mlx5_1'\n"
	                          "dra.net/pciAddress='0000:8a:00.1'\ndra.net/pciVendor='Mellanox Technologies'\n"
	                          "dra.net/pciDevice='MT2910'\ndra.net/pciSubsystem='0023'\ndra.net/numaNode=1\n"
	                          "resource.kubernetes.io/pcieRoot='pci0000:89'\nresource.kubernetes.io/numaNode=1\n"
	                          "dra.net/linkSpeed=400000\ndra.net/rdmaProtocol='roce'\ndra.net/pfName='eth6'\n"
	                          "dra.net/pfPciAddress='0000:8a:00.0'\ndra.net/vfIndex=0\ndra.net/driver='mlx5_core'\n"
	                          "dra.net/firmwareVersion='28.39.1002 (MT_0000000838)'\n");

	/* With eBPF programs, as published by DRANET but sorted. */
	struct device_facts seen_by = {.name = "nic0",
	                               .ifindex = 3,
	                               .ifname = "nic0",
	                               .numa_node = -1,
	                               .ebpf = true,
	                               .tc_filters = "a.o:[in],b.o:[out]",
	                               .tcx_programs = "handle_ingress"};
	expect_attributes(&seen_by,
	                  "dra.net/ifName='nic0'\ndra.net/mac=''\ndra.net/mtu=0\ndra.net/encapsulation=''\ndra.net/alias=''\n"
	                  "dra.net/state=''\ndra.net/type=''\ndra.net/tcFilterNames='a.o:[in],b.o:[out]'\n"
	                  "dra.net/tcxProgramNames='handle_ingress'\ndra.net/ebpf=true\ndra.net/sriov=false\ndra.net/virtual=false\n"
	                  "dra.net/rdma=false\n");

	/* A PCI function whose netdev is elsewhere, on a machine without NUMA. */
	struct device_facts bare = {.name = "pci-0000-00-04-0", .pci_address = "0000:00:04.0", .numa_node = -1, .mtu = 1500, .sriov = true};
	expect_attributes(&bare, "dra.net/rdma=false\ndra.net/pciAddress='0000:00:04.0'\n");

	struct device_facts pf = {.name = "pci-0000-00-04-0", .ifindex = 2, .pci_address = "0000:00:04.0", .sriov = true, .sriov_vfs = 0};
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n = device_attributes(&pf, attributes), seen = 0;
	for (size_t i = 0; i < n; i++) {
		seen += str_equal(attributes[i].name, "dra.net/sriovVfs") && attributes[i].integer == 0;
		seen += str_equal(attributes[i].name, "resource.kubernetes.io/numaNode") && attributes[i].integer == 0;
		assert_false(str_equal(attributes[i].name, "dra.net/isSriovVf"));
	}
	assert_int_equal(seen, 2);

	struct device_facts near = {
	    .name = "a", .pci_address = "0000:00:04.0", .numa_node = 1, .numa_nodes = {1, 0, 2}, .n_numa_nodes = 3, .vf_index = -1};
	expect_attributes(&near, "dra.net/rdma=false\ndra.net/pciAddress='0000:00:04.0'\ndra.net/numaNode=1\n"
	                         "resource.kubernetes.io/numaNode=1,0,2\n");

	struct device_facts virtual = {
	    .name = "dummy0", .ifindex = 9, .ifname = "dummy0", .type = "dummy", .is_virtual = true, .numa_node = -1};
	expect_attributes(&virtual,
	                  "dra.net/ifName='dummy0'\ndra.net/mac=''\ndra.net/mtu=0\ndra.net/encapsulation=''\ndra.net/alias=''\n"
	                  "dra.net/state=''\ndra.net/type='dummy'\ndra.net/ebpf=false\ndra.net/sriov=false\ndra.net/virtual=true\n"
	                  "dra.net/rdma=false\n");
}

/* A device of which everything is known. */
static void fill(struct device_facts *all)
{
	memset(all, 0, sizeof(*all));
	char *texts[] = {all->ifname,     all->encapsulation, all->alias,       all->state,         all->type,
	                 all->ipv4,       all->ipv6,          all->tc_filters,  all->tcx_programs,  all->pci_address,
	                 all->pci_vendor, all->pci_device,    all->rdma_device, all->pci_subsystem, all->pcie_root,
	                 all->driver,     all->firmware,      all->switch_id,   all->pf_address,    all->pf_ifname};
	for (size_t i = 0; i < ELEMENTS(texts); i++)
		strcpy(texts[i], "x");
	all->ifindex = 1;
	all->speed = 1;
	all->n_numa_nodes = NUMA_NODES_MAX;
	all->rdma_protocol = RDMA_PROTOCOL_OPA;
	all->rdma = all->sriov = all->ebpf = true;
}

/* Of our own the least needed go first, none of DRANET's, and always the same. */
static void test_what_is_left_out(void **state)
{
	(void)state;
	static const char *const order[] = {"dra.net/firmwareVersion", "dra.net/switchID", "dra.net/driver",       "dra.net/vfIndex",
	                                    "dra.net/pfPciAddress",    "dra.net/pfName",   "dra.net/rdmaProtocol", "dra.net/linkSpeed"};
	struct attribute attributes[ATTRIBUTES_MAX];
	struct device_facts all;
	fill(&all);
	all.is_vf = true;
	for (size_t out = 0; out < ELEMENTS(order); out++) {
		size_t room = ATTRIBUTES_MAX - out, n = device_attributes_in(&all, room, attributes);
		assert_int_equal(n, room);
		assert_string_equal(attributes[n - 1].name, order[out]);
	}
	assert_int_equal(device_attributes_in(&all, 0, attributes), 0);
}

/* The API server refuses a slice with a device of more than 32 attributes, or 48 values. */
static void test_no_device_has_too_many(void **state)
{
	(void)state;
	struct attribute attributes[ATTRIBUTES_MAX];
	struct device_facts all;
	fill(&all);
	for (int vf = 0; vf < 2; vf++) {
		all.is_vf = vf;
		size_t n = device_attributes(&all, attributes), values = 0;
		for (size_t i = 0; i < n; i++)
			values += attributes[i].type == ATTRIBUTE_INTS ? attributes[i].n_integers : 1;
		assert_true(n <= ATTRIBUTES_MAX && values <= 48);
		assert_int_equal(n, vf ? 32 : 29);
		for (size_t i = 0; i < n; i++)
			assert_true(attributes[i].type != ATTRIBUTE_STRING || strlen(attributes[i].string) <= 64);
	}
	/* What is not one of the kernel's numbers has no word. */
	all.rdma_protocol = 77;
	assert_int_equal(device_attributes(&all, attributes), 31);
	all.rdma_protocol = RDMA_PROTOCOL_UNKNOWN;
	assert_int_equal(device_attributes(&all, attributes), 31);
}

static void test_equality_is_of_what_is_published(void **state)
{
	(void)state;
	struct device_facts a = roce_vf(), b = a;
	assert_true(device_attributes_equal(&a, &b));
	b.ifindex = 8; /* not published */
	b.up = true;
	assert_true(device_attributes_equal(&a, &b));
	b.mac.bytes[5] = 2;
	assert_false(device_attributes_equal(&a, &b));
	b = a;
	b.ifindex = 0;
	assert_false(device_attributes_equal(&a, &b));
	b = a;
	b.mtu = 1500;
	assert_false(device_attributes_equal(&a, &b));
	b = a;
	b.ebpf = true;
	assert_false(device_attributes_equal(&a, &b));
	b = a;
	b.numa_nodes[0] = 1;
	b.n_numa_nodes = 1;
	assert_false(device_attributes_equal(&a, &b));
	a = b;
	assert_true(device_attributes_equal(&a, &b));
	b.numa_nodes[1] = 0;
	b.n_numa_nodes = 2;
	assert_false(device_attributes_equal(&a, &b));
	b = a = roce_vf();
	/* As many attributes, but others. */
	b = a;
	b.ipv4[0] = 0;
	STR_COPY(b.ipv6, "10.0.0.1/24");
	assert_false(device_attributes_equal(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_netdev_names),     cmocka_unit_test(test_pci_names),
	    cmocka_unit_test(test_pci_of_path),      cmocka_unit_test(test_lists_stop_at_64_bytes),
	    cmocka_unit_test(test_attributes),       cmocka_unit_test(test_no_device_has_too_many),
	    cmocka_unit_test(test_what_is_left_out), cmocka_unit_test(test_equality_is_of_what_is_published),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
