/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/resource.h>

#include "sysfs_fixture.h"

#define CONNECTX "v000015B3d00001021sv000015B3sd00000041bc02sc00i00"
#define PF "pci0000:80/0000:8a:00.0"
#define VF "pci0000:80/0000:8a:00.1"

struct world {
	struct machine m;
	struct pci_names *names;
};

static int setup(void **state)
{
	static struct world w;
	machine_init(&w.m);
	assert_int_equal(pci_names_new(&w.names), 0);
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	pci_names_free(w->names);
	machine_free(&w->m);
	return 0;
}

static struct sysfs_pci read_pci(struct world *w, const char *address)
{
	struct sysfs_pci p;
	assert_int_equal(sysfs_pci_read(w->m.sysfs, w->names, address, &p), 0);
	return p;
}

static void function_is_read(void **state)
{
	struct world *w = *state;
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", CONNECTX, "mlx5_core", 1);
	machine_write(&w->m, "devices/" PF "/sriov_totalvfs", "8");
	machine_write(&w->m, "devices/" PF "/sriov_numvfs", "0"); /* as it is while they come */
	machine_run("cd %s/devices/" PF " && ln -s ../0000:8a:00.1 virtfn0 && ln -s ../0000:8a:00.2 virtfn1", w->m.root);
	machine_run("mkdir -p %s/devices/" PF "/infiniband/mlx5_2", w->m.root);
	struct sysfs_pci p = read_pci(w, "0000:8a:00.0");
	assert_string_equal(p.address, "0000:8a:00.0");
	assert_string_equal(p.driver, "mlx5_core");
	assert_string_equal(p.subsystem, "0041");
	assert_string_equal(p.root, "pci0000:80");
	assert_string_equal(p.rdma_device, "mlx5_2");
	assert_string_equal(p.pf_address, "");
	assert_int_equal(p.numa_node, 1);
	assert_int_equal(p.sriov_total, 8);
	assert_int_equal(p.sriov_vfs, 2);
	assert_int_equal(p.base_class, 2);
	assert_true(p.vendor[0] && p.device[0]); /* from the database, or "unknown" */
	assert_true(sysfs_pci_is_offered(&p));
	assert_true(sysfs_pci_has_driver(w->m.sysfs, "0000:8a:00.0", "mlx5_core"));
	assert_false(sysfs_pci_has_driver(w->m.sysfs, "0000:8a:00.0", "vfio-pci"));
	assert_false(sysfs_pci_has_driver(w->m.sysfs, "0000:8a:00.0", ""));
	assert_false(sysfs_pci_has_driver(w->m.sysfs, "0000:8a:00.1", "mlx5_core"));
}

static void unlisted_names_are_unknown(void **state)
{
	struct world *w = *state;
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", "v0000FFF1d0000FFF2sv00000000sd00000000bc02sc00i00", "x", -1);
	for (int i = 0; i < 2; i++) { /* the second time from the cache */
		struct sysfs_pci p = read_pci(w, "0000:8a:00.0");
		assert_string_equal(p.vendor, "unknown");
		assert_string_equal(p.device, "unknown");
		assert_string_equal(p.subsystem, "0000");
		assert_int_equal(p.numa_node, -1);
	}
}

static void virtual_function_knows_its_pf(void **state)
{
	struct world *w = *state;
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", CONNECTX, "mlx5_core", 1);
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.1", CONNECTX, "mlx5_core", 1);
	machine_add_vf(&w->m, PF, VF);
	assert_string_equal(read_pci(w, "0000:8a:00.1").pf_address, "0000:8a:00.0");
}

/* The rows of DRANET's own tests (dranet-behaviour §11.3): what makes a VF, its PF's netdev, and what an RDMA device. */
static void virtual_functions_and_rdma_devices(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *make; /* in the function's directory, or in that of its PF */
		const char *pf, *pf_netdev, *rdma;
	} rows[] = {
	    {"true", "", NULL, ""},
	    {"echo > physfn", "", NULL, ""},
	    {"ln -sf ../0000:8a:00.0 physfn && ln -s ../0000:8a:00.1 ../0000:8a:00.0/virtfn0", "0000:8a:00.0", NULL, ""},
	    {"mkdir ../0000:8a:00.0/net", "0000:8a:00.0", NULL, ""},
	    {"mkdir ../0000:8a:00.0/net/eth0", "0000:8a:00.0", "eth0", ""},
	    {"mkdir infiniband", "0000:8a:00.0", "eth0", ""},
	    {"echo > infiniband/somefile", "0000:8a:00.0", "eth0", ""},
	    {"mkdir infiniband/mlx5_0", "0000:8a:00.0", "eth0", "mlx5_0"},
	    {"mkdir infiniband/mlx5_1", "0000:8a:00.0", "eth0", "mlx5_0"},
	};
	char pf[IFNAME_SIZE];
	uint32_t index;
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", CONNECTX, "mlx5_core", 1);
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.1", CONNECTX, "mlx5_core", 1);
	machine_add_netdev(&w->m, VF, "eth1");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		machine_run("cd %s/devices/" VF " && %s", w->m.root, rows[i].make);
		struct sysfs_pci p = read_pci(w, "0000:8a:00.1");
		assert_string_equal(p.pf_address, rows[i].pf);
		assert_string_equal(p.rdma_device, rows[i].rdma);
		assert_int_equal(sysfs_netdev_vf(w->m.sysfs, "eth1", pf, &index), rows[i].pf_netdev ? 0 : -ENOENT);
		if (rows[i].pf_netdev)
			assert_string_equal(pf, rows[i].pf_netdev);
	}
	assert_int_equal(sysfs_netdev_vf(w->m.sysfs, "eth9", pf, &index), -ENOENT);
}

static void what_is_offered(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *class, *driver, *rdma;
		bool offered;
	} rows[] = {
	    {"bc02sc00i00", "mlx5_core", NULL, true},
	    {"bc02sc07i00", "mlx5_core", "mlx5_0", true},
	    {"bc02sc00i00", NULL, NULL, false},
	    {"bc02sc00i00", "vfio-pci", NULL, false},
	    {"bc02sc00i00", "uio_pci_generic", NULL, false},
	    {"bc02sc00i00", "igb_uio", NULL, false},
	    {"bc02sc00i00", "pci-stub", NULL, false},
	    {"bc01sc08i02", "nvme", NULL, false},
	    {"bc00scFFi00", "erdma", "erdma_0", true},
	    {"bc00scFFi00", "vfio-pci", "erdma_0", false},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char address[16], ids[80];
		snprintf(address, sizeof(address), "0000:8a:%02zx.0", i);
		snprintf(ids, sizeof(ids), "v000015B3d00001021sv000015B3sd00000041%s", rows[i].class);
		machine_add_pci(&w->m, "pci0000:80", address, ids, rows[i].driver, 0);
		if (rows[i].rdma)
			machine_run("mkdir -p %s/devices/pci0000:80/%s/infiniband/%s", w->m.root, address, rows[i].rdma);
		struct sysfs_pci p = read_pci(w, address);
		assert_int_equal(sysfs_pci_is_offered(&p), rows[i].offered);
	}
}

static void malformed_functions_are_none(void **state)
{
	struct world *w = *state;
	struct sysfs_pci p = {.numa_node = 77};
	static const char *const aliases[] = {"", "usb:v1D6Bp0002d0510dc09", "pci:v15B3", "pci:vZZZZ"};
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", CONNECTX, "x", 0);
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		machine_write(&w->m, "devices/" PF "/modalias", aliases[i]);
		assert_int_equal(sysfs_pci_read(w->m.sysfs, w->names, "0000:8a:00.0", &p), -ENOENT);
	}
	assert_int_equal(sysfs_pci_read(w->m.sysfs, w->names, "0000:ff:00.0", &p), -ENOENT);
	assert_int_equal(p.numa_node, 77);
	machine_write(&w->m, "devices/" PF "/modalias", "pci:" CONNECTX);
	machine_write(&w->m, "devices/" PF "/numa_node", "99999999999999");
	assert_int_equal(read_pci(w, "0000:8a:00.0").numa_node, -1);
	machine_write(&w->m, "devices/" PF "/numa_node", "one");
	assert_int_equal(read_pci(w, "0000:8a:00.0").numa_node, -1);
}

static void netdevs_are_found(void **state)
{
	struct world *w = *state;
	struct sysfs_netdev n = {.port = 7};
	char pci[PCI_ADDRESS_SIZE];
	machine_add_pci(&w->m, "pci0000:80/0000:80:01.0", "0000:8a:00.0", CONNECTX, "mlx5_core", 1);
	machine_add_netdev(&w->m, "pci0000:80/0000:80:01.0/0000:8a:00.0", "eth2");
	machine_run("mkdir -p %s/devices/pci0000:80/0000:80:01.0/0000:8a:00.0/infiniband/mlx5_9 && mkdir -p "
	            "%s/devices/pci0000:80/0000:80:01.0/0000:8a:00.0/infiniband/mlx5_2",
	            w->m.root, w->m.root);
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "eth2", &n), 0);
	assert_string_equal(n.pci_address, "0000:8a:00.0");
	assert_true(n.on_function); /* which has both */
	assert_string_equal(n.rdma_device, "");
	assert_string_equal(n.driver, "");
	assert_string_equal(read_pci(w, "0000:8a:00.0").rdma_device, "mlx5_2");
	assert_false(n.is_virtual);
	assert_int_equal(n.port, 0);

	machine_run("mkdir -p %s/devices/pci0000:00/0000:00:03.0/virtio2", w->m.root);
	machine_add_netdev(&w->m, "pci0000:00/0000:00:03.0/virtio2", "eth0");
	machine_write(&w->m, "devices/pci0000:00/0000:00:03.0/virtio2/net/eth0/dev_port", "1");
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "eth0", &n), 0);
	assert_string_equal(n.pci_address, "0000:00:03.0");
	assert_false(n.on_function);
	assert_int_equal(n.port, 1);

	machine_add_virtual(&w->m, "veth5");
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "veth5", &n), 0);
	assert_true(n.is_virtual);
	assert_string_equal(n.pci_address, "");
	assert_int_equal(sysfs_netdev_pci(w->m.sysfs, "veth5", pci), -ENOENT);
	assert_int_equal(sysfs_netdev_pci(w->m.sysfs, "eth0", pci), 0);
	assert_string_equal(pci, "0000:00:03.0");
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "nothing", &n), -ENOENT);
}

/* A tree is read from inside: absolute links, links up and over the top, links in a circle. */
static void nothing_leaves_the_root(void **state)
{
	struct world *w = *state;
	struct sysfs_netdev n;
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", CONNECTX, "mlx5_core", 1);
	machine_run("ln -sfn /devices/" PF " %s/bus/pci/devices/0000:8a:00.0", w->m.root);
	assert_int_equal(read_pci(w, "0000:8a:00.0").numa_node, 1);
	machine_run("ln -sfn ../../../../../../../../../../devices/" PF " %s/bus/pci/devices/0000:8a:00.0", w->m.root);
	assert_int_equal(read_pci(w, "0000:8a:00.0").numa_node, 1);

	/* Beside the root, where its own path would find it. */
	machine_run("mkdir %s-outside && cp %s/devices/" PF "/modalias %s-outside", w->m.root, w->m.root, w->m.root);
	machine_run("ln -sfn ../../../../%s-outside %s/bus/pci/devices/0000:8a:00.0", strrchr(w->m.root, '/') + 1, w->m.root);
	struct sysfs_pci p;
	assert_int_equal(sysfs_pci_read(w->m.sysfs, w->names, "0000:8a:00.0", &p), -ENOENT);
	machine_run("ln -sfn %s-outside %s/bus/pci/devices/0000:8a:00.0", w->m.root, w->m.root);
	assert_int_equal(sysfs_pci_read(w->m.sysfs, w->names, "0000:8a:00.0", &p), -ENOENT);
	machine_run("rm -r %s-outside", w->m.root);

	machine_run("cd %s/bus/pci/devices && ln -sfn 0000:8b:00.0 0000:8a:00.0 && ln -sfn 0000:8a:00.0 0000:8b:00.0", w->m.root);
	assert_int_equal(sysfs_pci_read(w->m.sysfs, w->names, "0000:8a:00.0", &p), -ENOENT);
	machine_run("ln -s ../../devices/virtual/net/loop0 %s/class/net/loop0 && ln -s loop0 %s/devices/virtual/net/loop0", w->m.root,
	            w->m.root);
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "loop0", &n), 0);
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "..", &n), -ENOENT);
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "../net/loop0", &n), -ENOENT);
	assert_int_equal(sysfs_netdev_read(w->m.sysfs, "", &n), -ENOENT);
	assert_int_equal(sysfs_pci_read(w->m.sysfs, w->names, "../devices/0000:8a:00.0", &p), -ENOENT);
}

static void add_node(const struct machine *m, int node, const char *distances, const char *cpus, int cpu, int socket)
{
	char path[128];
	machine_run("cd %s/devices && mkdir -p system/node/node%d system/cpu/cpu%d/topology", m->root, node, cpu);
	snprintf(path, sizeof(path), "devices/system/node/node%d/distance", node);
	machine_write(m, path, distances);
	snprintf(path, sizeof(path), "devices/system/node/node%d/cpulist", node);
	machine_write(m, path, cpus);
	if (socket < 0)
		return;
	snprintf(path, sizeof(path), "devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
	char text[16];
	snprintf(text, sizeof(text), "%d", socket);
	machine_write(m, path, text);
}

static void expect_near(struct world *w, int32_t node, const char *expected)
{
	int32_t near[NUMA_NODES_MAX];
	char text[NUMA_NODES_MAX * 8] = "";
	size_t n = sysfs_numa_near(w->m.sysfs, node, near);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%d", i ? " " : "", near[i]);
	assert_string_equal(text, expected);
}

/* dranet-behaviour §2.6: node 1 at distances "12 10 12" → [1,0,2]. */
static void near_nodes(void **state)
{
	struct world *w = *state;
	expect_near(w, 0, "0"); /* there is no table */
	add_node(&w->m, 0, "10 12 12", "0-3", 0, 0);
	add_node(&w->m, 1, "12 10 12", "4-7", 4, 0);
	add_node(&w->m, 2, "12 12 10", "8-11", 8, 0);
	expect_near(w, 1, "1 0 2");
	expect_near(w, 3, "3"); /* not in the table */
	/* Two sockets of two nodes each; the nearest is on the own one. */
	add_node(&w->m, 0, "10 12 32 32", "0-3,16-19", 0, 0);
	add_node(&w->m, 1, "12 10 32 32", "4-7,20-23", 4, 0);
	add_node(&w->m, 2, "32 32 10 12", "8-11", 8, 1);
	add_node(&w->m, 3, "32 32 12 10", "12-15", 12, 1);
	expect_near(w, 0, "0 1");
	expect_near(w, 3, "3 2");
	/* One node on each socket: the nearest is on the other one. */
	machine_run("rm -r %s/devices/system/node/node[23]", w->m.root);
	add_node(&w->m, 0, "10 21", "0-3", 0, 0);
	add_node(&w->m, 1, "21 10", "8-11", 8, 1);
	expect_near(w, 0, "0");
	/* Memory without processors may be on the same one. Nodes need not be numbered without gaps: columns are in the order of numbers.
	 */
	add_node(&w->m, 0, "10 21 14", "0-3", 0, 0);
	add_node(&w->m, 1, "21 10 24", "8-11", 8, 1);
	add_node(&w->m, 8, "14 24 10", "", 99, -1);
	expect_near(w, 0, "0 8");
	expect_near(w, 8, "8 0");
	static const char *const malformed[] = {
	    "", "10", "10 21", "10 21 14 14", "10 x 14", "-10 21 14", "10 21 99999999999999999999", "10\t21 14"};
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		machine_write(&w->m, "devices/system/node/node0/distance", malformed[i]);
		expect_near(w, 0, "0");
	}
	/* Its own socket unknown: each may be on it. */
	add_node(&w->m, 0, "10 14 14", "junk", 0, 0);
	expect_near(w, 0, "0 1 8");
	/* No more than an attribute takes. */
	char row[256] = "10";
	machine_run("rm -r %s/devices/system/node", w->m.root);
	for (int i = 1; i < 40; i++)
		strcat(row, " 12");
	for (int i = 0; i < 40; i++)
		add_node(&w->m, i, row, "0", 0, 0);
	expect_near(w, 0, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15");
}

static void a_root_that_is_not_there_is_told(void **state)
{
	struct sysfs *s = NULL;
	struct error e = {0};
	(void)state;
	assert_int_equal(sysfs_open("/nonexistent", &s, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent"));
	assert_null(s);
	sysfs_close(s);
}

/* Else a full dump at the wrong moment would find no device. */
static void a_lack_of_descriptors_takes_no_function_away(void **state)
{
	struct world *w = *state;
	struct sysfs_pci p;
	struct rlimit was, none;
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", CONNECTX, "mlx5_core", 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	int first = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(first >= 0);
	close(first);
	none = (struct rlimit){.rlim_cur = (rlim_t)first, .rlim_max = was.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int without = sysfs_pci_read(w->m.sysfs, w->names, "0000:8a:00.0", &p);
	none.rlim_cur++; /* for the directory, but not for what is in it */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	int with_one = sysfs_pci_read(w->m.sysfs, w->names, "0000:8a:00.0", &p);
	none.rlim_cur--;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	bool bound = sysfs_pci_has_driver(w->m.sysfs, "0000:8a:00.0", "mlx5_core");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_true(bound);
	assert_int_equal(without, -EMFILE);
	assert_int_equal(with_one, -EMFILE);
	read_pci(w, "0000:8a:00.0");
}

static int count(const char *address, void *user)
{
	assert_true(strlen(address) == 12);
	return ++*(int *)user == 3 ? -ECANCELED : 0;
}

static void functions_are_listed(void **state)
{
	struct world *w = *state;
	int n = 0;
	machine_add_pci(&w->m, "pci0000:80", "0000:8a:00.0", CONNECTX, "mlx5_core", 1);
	machine_add_pci(&w->m, "pci0000:80", "0000:8b:00.0", CONNECTX, "mlx5_core", 1);
	assert_int_equal(sysfs_pci_list(w->m.sysfs, count, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(sysfs_pci_list(w->m.sysfs, count, &n), -ECANCELED);
	machine_run("rm -r %s/bus", w->m.root);
	assert_int_equal(sysfs_pci_list(w->m.sysfs, count, &n), 0);
}

#define fixture_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    fixture_test(function_is_read),
	    fixture_test(unlisted_names_are_unknown),
	    fixture_test(virtual_function_knows_its_pf),
	    fixture_test(virtual_functions_and_rdma_devices),
	    fixture_test(what_is_offered),
	    fixture_test(malformed_functions_are_none),
	    fixture_test(netdevs_are_found),
	    fixture_test(a_lack_of_descriptors_takes_no_function_away),
	    fixture_test(functions_are_listed),
	    fixture_test(nothing_leaves_the_root),
	    fixture_test(near_nodes),
	    cmocka_unit_test(a_root_that_is_not_there_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
