/* SPDX-License-Identifier: Apache-2.0 */
/* What discovery makes of machines that were made after what is public of them, since no emulation has their hardware; and of machines that
 * cannot be. Those that were recorded are in test_machines_recorded.c. */
#include "machines_fixture.h"

static void two_sockets(void **state)
{
	(void)state;
	static const char *const lines[] = {
	    "pci-0000-18-00-0 if=ibp24s0 root=pci0000:15 driver=mlx5_core numa=0 rdma=mlx5_0 vfs=0",
	    "pci-0000-5e-00-0 if=ibp94s0 root=pci0000:59 driver=mlx5_core numa=0 rdma=mlx5_5 vfs=0",
	    "pci-0000-9a-00-0 if=ibp154s0 root=pci0000:97 driver=mlx5_core numa=1 rdma=mlx5_6 vfs=0",
	    "pci-0000-dc-00-0 if=ibp220s0 root=pci0000:d7 driver=mlx5_core numa=1 rdma=mlx5_11 vfs=0",
	    "pci-0000-29-00-0 if=ibp41s0f0 root=pci0000:26 driver=mlx5_core numa=0 rdma=mlx5_1 vfs=0",
	    "pci-0000-aa-00-1 if=enp170s0f1np1 root=pci0000:a7 driver=mlx5_core numa=1 rdma=mlx5_8 vfs=0 switch=aa8803c2a0",
	    "pci-0000-0b-00-0 if=eno3 root=pci0000:00 driver=ixgbe numa=0 vfs=0",
	    "lo if=lo virtual",
	};
	EXPECT("two-sockets", false, 14, lines);
	/* --move-ib-interfaces=false: the functions stay, as RDMA devices without a netdev; the netdevs are hidden. */
	static const char *const apart[] = {
	    "pci-0000-18-00-0 root=pci0000:15 driver=mlx5_core numa=0 rdma=mlx5_0 vfs=0",
	    "ibp24s0 if=ibp24s0 root=pci0000:15 driver=mlx5_core numa=0 rdma=mlx5_0 vfs=0 hidden",
	    "pci-0000-aa-00-1 if=enp170s0f1np1 root=pci0000:a7 driver=mlx5_core numa=1 rdma=mlx5_8 vfs=0 switch=aa8803c2a0",
	};
	EXPECT("two-sockets", true, 24, apart);
}

static void virtual_machines(void **state)
{
	(void)state;
	/* Below VMBus there is no PCIe root to be told of, and the synthetic interface is on no PCI function. */
	static const char *const hyperv[] = {
	    "pci-0001-00-02-0 if=eth1 driver=mlx5_core numa=0 rdma=mlx5_0",
	    "eth0 if=eth0 driver=hv_netvsc",
	    "lo if=lo virtual",
	};
	EXPECT("hyperv", false, 3, hyperv);
	static const char *const clouds[] = {
	    "pci-0000-00-04-0 if=ens4 root=pci0000:00 driver=virtio-pci",
	    "pci-0000-00-05-0 if=ens5 root=pci0000:00 driver=gvnic numa=0",
	    "pci-0000-00-06-0 if=ens6 root=pci0000:00 driver=ena numa=1",
	    "pci-10000-01-00-0 root=pci0000:5d driver=efa numa=1 rdma=rdmap1s0",
	};
	EXPECT("clouds", false, 5, clouds);
}

static void many_vfs(void **state)
{
	(void)state;
	static const char *const lines[] = {
	    "pci-0000-02-00-0 if=eno1 root=pci0000:00 driver=igb numa=0,1",
	    "pci-0000-17-00-0 if=ens1f0np0 root=pci0000:16 driver=ice numa=1,0 rdma=irdma0 vfs=64 away=1 switch=40a6b70000000000",
	    "pci-0000-17-00-1 if=ens1f1np1 root=pci0000:16 driver=ice numa=1,0 rdma=irdma1 vfs=64 away=16 switch=40a6b70000000000",
	    "pci-0000-17-01-0 if=ens1f0v0 root=pci0000:16 driver=iavf numa=1,0 vf=0 of 0000:17:00.0 (ens1f0np0)",
	    "pci-0000-17-01-5 root=pci0000:16 driver=iavf numa=1,0 vf=5 of 0000:17:00.0 (ens1f0np0)",
	    "pci-0000-17-08-7 if=ens1f0v63 root=pci0000:16 driver=iavf numa=1,0 vf=63 of 0000:17:00.0 (ens1f0np0)",
	    "pci-0000-17-0b-0 if=ens1f1v16 root=pci0000:16 driver=iavf numa=1,0 vf=16 of 0000:17:00.1 (ens1f1np1)",
	    "pci-0000-17-10-7 if=ens1f1v63 root=pci0000:16 driver=iavf numa=1,0 vf=63 of 0000:17:00.1 (ens1f1np1)",
	    /* A representor is none of the function's: neither its name nor its RDMA device. */
	    "ens1f0r0 if=ens1f0r0 root=pci0000:16 driver=ice numa=1,0 vfs=64 away=1 switch=40a6b70000000000",
	};
	EXPECT("telco", false, 1 + 2 + 64 + 48 + 64 + 1, lines);
}

static void rdma_shapes(void **state)
{
	(void)state;
	static const char *const lines[] = {
	    "pci-0000-00-05-0 if=eth0 root=pci0000:00 driver=virtio-pci",
	    "pci-0000-00-07-0 root=pci0000:00 driver=erdma rdma=erdma_0", /* of class 00ff */
	    "pci-0000-41-00-0 root=pci0000:40 driver=mlx5_core numa=0 rdma=mlx5_0",
	    "pci-0000-61-00-0 if=ib0 root=pci0000:60 driver=mlx5_core numa=0 rdma=mlx5_1",
	    "pci-0000-81-00-0 if=ens1np0 root=pci0000:80 driver=mlx5_core numa=1 rdma=mlx5_2", /* the first of two by name */
	    "pci-0000-a1-00-0 if=ens2 root=pci0000:a0 driver=mlx4_core numa=1 rdma=mlx4_0",
	    /* What sysfs says; rdma/attribution.h leaves the RDMA device to the netdev at its port. */
	    "net-nfrdalrygaydc if=ib0.8001 root=pci0000:60 driver=mlx5_core numa=0 rdma=mlx5_1",
	    "ens2d1 if=ens2d1 root=pci0000:a0 driver=mlx4_core numa=1 rdma=mlx4_0",
	    "enx00e04c000001 if=enx00e04c000001 driver=r8152 hidden",
	};
	EXPECT("rdma-shapes", false, 10, lines);
	static const char *const apart[] = {
	    "pci-0000-61-00-0 root=pci0000:60 driver=mlx5_core numa=0 rdma=mlx5_1",
	    "ib0 if=ib0 root=pci0000:60 driver=mlx5_core numa=0 rdma=mlx5_1 hidden",
	    "net-nfrdalrygaydc if=ib0.8001 root=pci0000:60 driver=mlx5_core numa=0 rdma=mlx5_1 hidden",
	    "pci-0000-81-00-0 if=ens1np0 root=pci0000:80 driver=mlx5_core numa=1 rdma=mlx5_2",
	};
	EXPECT("rdma-shapes", true, 11, apart);
}

/* The attribute is lost, not the device; what cannot be a network device at all is none. */
static void malformed_machine(void **state)
{
	(void)state;
	static const char *const lines[] = {
	    "pci-0000-8a-00-0 if=good0 root=pci0000:80 driver=mlx5_core numa=1 rdma=mlx5_0",
	    "pci-0000-8a-00-1 if=dangling0 root=pci0000:80 driver=mlx5_core",
	    "pci-0000-8a-00-2 if=junk0 root=pci0000:80 driver=mlx5_core",
	    "pci-0000-8a-00-3 root=pci0000:80 driver=mlx5_core",
	    "pci-0000-8a-00-4 root=pci0000:80 driver=mlx5_core",
	    "pci-0000-8a-00-5 root=pci0000:80 driver=mlx5_core vfs=0",
	    "pci-0000-8a-00-7 root=pci0000:80 driver=mlx5_core", /* an absolute link is one from the root */
	    "pci-0000-8b-00-0 root=pci0000:80 driver=mlx5_core vfs=1",
	    "pci-0000-8c-00-0 root=pci0000:80 driver=mlx5_core vfs=3", /* links that say which VF they are */
	    "lo if=lo virtual",
	    "loop0 if=loop0",
	    "loop1 if=loop1",
	    "net-777a if=\xff\xfe virtual",
	};
	EXPECT("malformed", false, ELEMENTS(lines), lines);
}

static const char *netdev_of(const struct world *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (str_equal(w->devices[i].name, name))
			return w->devices[i].ifname;
	return "";
}

/* As when a machine starts and names are given out anew: the dump is older than the names that sysfs shows. */
static void swapped_names(void **state)
{
	static const struct monitor_callbacks to = {.begin = see, .device = see_device, .gone = see_gone, .end = see};
	static const char ids[] = "v000015B3d00001021sv000015B3sd00000041bc02sc00i00";
	struct world *w = calloc(1, sizeof(*w));
	(void)state;
	assert_non_null(w);
	machine_init(&w->m);
	w->t = (struct monitor_table){.sysfs = w->m.sysfs};
	assert_int_equal(pci_names_new(&w->t.names), 0);
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", ids, "mlx5_core", 1);
	machine_add_pci(&w->m, "pci0000:80", "0000:8b:00.0", ids, "mlx5_core", 1);
	machine_add_netdev(&w->m, "pci0000:80/0000:8a:00.0", "eth1");
	machine_add_netdev(&w->m, "pci0000:80/0000:8b:00.0", "eth0");
	tell_link(w, "eth0", 2); /* before: the one on 8a */
	tell_link(w, "eth1", 3);
	assert_int_equal(table_read_sysfs(&w->t, true), 0);
	tell_link(w, "eth1", 2);
	tell_link(w, "eth0", 3);
	assert_int_equal(table_read_sysfs(&w->t, false), 0);
	assert_int_equal(table_flush(&w->t, true, &to, w), 0);
	assert_int_equal(w->n, 2);
	assert_string_equal(netdev_of(w, "pci-0000-8a-00-0"), "eth1");
	assert_string_equal(netdev_of(w, "pci-0000-8b-00-0"), "eth0");
	assert_int_equal(table_find_function(&w->t, "0000:8a:00.0")->owner, 2);
	forget(w);
}

/* Files of a size that no file of the kernel's has. */
static void huge_files(void **state)
{
	(void)state;
	struct machine m;
	struct sysfs_pci p;
	struct pci_names *names;
	static char text[1 << 20];
	machine_init(&m);
	assert_int_equal(pci_names_new(&names), 0);
	machine_add_pci(&m, "pci0000:80", "0000:8a:00.0", "v000015B3d00001021sv000015B3sd00000041bc02sc00i00", "mlx5_core", 1);
	memset(text, '1', sizeof(text) - 1);
	machine_write(&m, "devices/pci0000:80/0000:8a:00.0/numa_node", text);
	machine_write(&m, "devices/pci0000:80/0000:8a:00.0/sriov_totalvfs", text);
	assert_int_equal(sysfs_pci_read(m.sysfs, names, "0000:8a:00.0", &p), 0);
	assert_int_equal(p.numa_node, -1);
	assert_int_equal(p.sriov_total, 0);
	memcpy(text, "pci:", 4);
	machine_write(&m, "devices/pci0000:80/0000:8a:00.0/modalias", text);
	assert_int_equal(sysfs_pci_read(m.sysfs, names, "0000:8a:00.0", &p), -ENOENT);
	pci_names_free(names);
	machine_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(two_sockets), cmocka_unit_test(virtual_machines),  cmocka_unit_test(many_vfs),
	    cmocka_unit_test(rdma_shapes), cmocka_unit_test(malformed_machine), cmocka_unit_test(swapped_names),
	    cmocka_unit_test(huge_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
