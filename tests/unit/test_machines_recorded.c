/* SPDX-License-Identifier: Apache-2.0 */
/* What discovery makes of machines that were recorded: what is published of some of their devices, exactly; how many there are of each
 * kind; and what holds on every machine. */
#include <glob.h>

#include "machines_fixture.h"

/* ---- what is published ------------------------------------------------------------------------------------------------------------- */

/* Of these, in this order, those that a device has. */
static const char *const shown[] = {
    "dra.net/ifName",       "dra.net/mac",
    "dra.net/state",        "dra.net/virtual",
    "dra.net/pciAddress",   "resource.kubernetes.io/pcieRoot",
    "dra.net/numaNode",     "resource.kubernetes.io/numaNode",
    "dra.net/driver",       "dra.net/rdmaDevice",
    "dra.net/rdmaProtocol", "dra.net/sriovVfs",
    "dra.net/isSriovVf",    "dra.net/pfName",
    "dra.net/pfPciAddress", "dra.net/vfIndex",
};

static void print_value(const struct attribute *a, struct buf *b)
{
	switch (a->type) {
	case ATTRIBUTE_STRING:
		buf_puts(b, a->string);
		break;
	case ATTRIBUTE_INT:
		buf_printf(b, "%lld", (long long)a->integer);
		break;
	case ATTRIBUTE_BOOL:
		buf_puts(b, a->boolean ? "true" : "false");
		break;
	case ATTRIBUTE_INTS:
		for (size_t i = 0; i < a->n_integers; i++)
			buf_printf(b, "%s%d", i ? "," : "[", a->integers[i]);
		buf_puts(b, "]");
		break;
	}
}

/* "ifName=eth0 pciAddress=0000:8a:00.0 …", and of a PF how many of its VFs somebody has. Booleans are shown when they are true. */
static void print_published(const struct device_facts *f, struct buf *b)
{
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n = device_attributes(f, attributes);
	const char *between = "";
	for (size_t i = 0; i < ELEMENTS(shown); i++)
		for (size_t k = 0; k < n; k++) {
			if (!str_equal(attributes[k].name, shown[i]) || (attributes[k].type == ATTRIBUTE_BOOL && !attributes[k].boolean))
				continue;
			buf_printf(b, "%s%s=", between, strchr(shown[i], '/') + 1);
			print_value(&attributes[k], b);
			between = " ";
		}
	if (f->vfs_away)
		buf_printf(b, " (away: %d)", f->vfs_away);
}

struct published {
	const char *device, *attributes;
};

static const struct device_facts *device_of(const struct world *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (str_equal(w->devices[i].name, name))
			return &w->devices[i];
	return NULL;
}

static void check_published(const struct world *w, const char *machine, const struct published *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf b = {0};
		const struct device_facts *f = device_of(w, rows[i].device);
		if (f)
			print_published(f, &b);
		if (!f || !str_equal(buf_text(&b), rows[i].attributes))
			fail_msg("%s: %s is\n%s\nnot\n%s", machine, rows[i].device, f ? buf_text(&b) : "not there", rows[i].attributes);
	}
}

/* ---- how many ---------------------------------------------------------------------------------------------------------------------- */

/* Hidden ones are counted as that alone. */
static void print_counts(const struct world *w, struct buf *b)
{
	size_t hidden = 0, functions = 0, netdevs = 0, pfs = 0, vfs = 0, away = 0, rdma = 0, roots = 0;
	for (size_t i = 0; i < w->n; i++) {
		const struct device_facts *f = &w->devices[i];
		hidden += f->hidden;
		if (f->hidden)
			continue;
		size_t k = 0;
		while (k < i && !(f->pcie_root[0] && str_equal(w->devices[k].pcie_root, f->pcie_root)))
			k++;
		roots += k == i && f->pcie_root[0];
		functions += strncmp(f->name, "pci-", 4) == 0;
		netdevs += f->ifindex > 0;
		pfs += f->sriov;
		vfs += f->is_vf;
		away += (size_t)f->vfs_away;
		rdma += f->rdma;
	}
	buf_printf(b, "functions=%zu netdevs=%zu pfs=%zu vfs=%zu away=%zu rdma=%zu roots=%zu hidden=%zu", functions, netdevs, pfs, vfs,
	           away, rdma, roots, hidden);
}

/* ---- machines ---------------------------------------------------------------------------------------------------------------------- */

/* A virtual machine for builds: everything is virtio, and no function names a NUMA node. */
static const struct published build_machine[] = {
    {"pci-0000-00-03-0", "ifName=eth0 mac=02:00:00:00:00:04 state=up pciAddress=0000:00:03.0 pcieRoot=pci0000:00 driver=virtio-pci"},
    {"ifb0", "ifName=ifb0 mac=02:00:00:00:00:02 state=down virtual=true"},
};

/* The machine of tests/vm: two PFs of three VFs each on two roots, and a switch that is on no bus of hardware. */
static const struct published emulated[] = {
    {"pci-0000-00-05-0", "ifName=eth2 mac=52:54:00:00:00:03 state=down pciAddress=0000:00:05.0 pcieRoot=pci0000:00 driver=virtio-pci"},
    {"pci-0000-21-00-0", "ifName=eth1 mac=52:54:00:00:00:01 state=up pciAddress=0000:21:00.0 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
                         "driver=igb sriovVfs=3"},
    {"pci-0000-21-10-4",
     "ifName=eth5 mac=52:54:00:00:02:5e state=down pciAddress=0000:21:10.4 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igbvf isSriovVf=true pfName=eth1 pfPciAddress=0000:21:00.0 vfIndex=2"},
    {"pci-0000-41-00-0", "ifName=eth0 mac=52:54:00:00:00:02 state=up pciAddress=0000:41:00.0 pcieRoot=pci0000:40 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=3"},
    {"pci-0000-41-10-2",
     "ifName=eth7 mac=52:54:00:00:01:9a state=down pciAddress=0000:41:10.2 pcieRoot=pci0000:40 numaNode=1 numaNode=[1,0] "
     "driver=igbvf isSriovVf=true pfName=eth0 pfPciAddress=0000:41:00.0 vfIndex=1"},
    {"eth9", "ifName=eth9 mac=3e:4f:5b:ec:f2:40 state=down driver=netdevsim"},
};

/* Two sockets, eight NICs on eight roots behind switches, with soft-RoCE. The order of netdevs and RDMA devices is against that of the bus.
 */
static const struct published two_sockets_rxe[] = {
    {"pci-0000-13-00-0", "ifName=eth7 mac=52:54:00:00:00:01 state=up pciAddress=0000:13:00.0 pcieRoot=pci0000:10 numaNode=0 numaNode=[0] "
                         "driver=igb rdmaDevice=rxe7 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-23-00-0", "ifName=eth6 mac=52:54:00:00:00:02 state=up pciAddress=0000:23:00.0 pcieRoot=pci0000:20 numaNode=0 numaNode=[0] "
                         "driver=igb rdmaDevice=rxe6 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-33-00-0", "ifName=eth5 mac=52:54:00:00:00:03 state=up pciAddress=0000:33:00.0 pcieRoot=pci0000:30 numaNode=0 numaNode=[0] "
                         "driver=igb rdmaDevice=rxe5 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-43-00-0", "ifName=eth4 mac=52:54:00:00:00:04 state=up pciAddress=0000:43:00.0 pcieRoot=pci0000:40 numaNode=0 numaNode=[0] "
                         "driver=igb rdmaDevice=rxe4 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-53-00-0", "ifName=eth3 mac=52:54:00:00:00:05 state=up pciAddress=0000:53:00.0 pcieRoot=pci0000:50 numaNode=1 numaNode=[1] "
                         "driver=igb rdmaDevice=rxe3 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-63-00-0", "ifName=eth2 mac=52:54:00:00:00:06 state=up pciAddress=0000:63:00.0 pcieRoot=pci0000:60 numaNode=1 numaNode=[1] "
                         "driver=igb rdmaDevice=rxe2 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-73-00-0", "ifName=eth1 mac=52:54:00:00:00:07 state=up pciAddress=0000:73:00.0 pcieRoot=pci0000:70 numaNode=1 numaNode=[1] "
                         "driver=igb rdmaDevice=rxe1 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-83-00-0", "ifName=eth0 mac=52:54:00:00:00:08 state=up pciAddress=0000:83:00.0 pcieRoot=pci0000:80 numaNode=1 numaNode=[1] "
                         "driver=igb rdmaDevice=rxe0 rdmaProtocol=roce sriovVfs=0"},
    {"pci-0000-00-0d-0", "ifName=eth8 mac=52:54:00:00:00:09 state=up pciAddress=0000:00:0d.0 pcieRoot=pci0000:00 driver=e1000e"},
    {"vlan100", "ifName=vlan100 mac=52:54:00:00:00:01 state=up virtual=true"}, /* on eth7, whose RDMA device is none of its */
};

/* 112 VFs of two-port cards on two nodes of one socket; of those that vfio-pci has, or nothing, none is a device. 21:10.1 and 81:10.7 are
 * without a netdev here: it is in another network namespace. */
static const struct published many_vfs[] = {
    {"pci-0000-21-00-0", "ifName=eth8 mac=52:54:00:00:00:01 state=up pciAddress=0000:21:00.0 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
                         "driver=igb sriovVfs=7"},
    {"pci-0000-21-00-1", "ifName=eth9 mac=52:54:00:00:00:02 state=up pciAddress=0000:21:00.1 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
                         "driver=igb sriovVfs=7 (away: 1)"},
    {"pci-0000-22-00-0",
     "ifName=eth10 mac=52:54:00:00:00:03 state=up pciAddress=0000:22:00.0 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igb sriovVfs=7"},
    {"pci-0000-22-00-1",
     "ifName=eth11 mac=52:54:00:00:00:04 state=up pciAddress=0000:22:00.1 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igb sriovVfs=7"},
    {"pci-0000-23-00-0",
     "ifName=eth12 mac=52:54:00:00:00:05 state=up pciAddress=0000:23:00.0 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igb sriovVfs=7 (away: 7)"},
    {"pci-0000-23-00-1",
     "ifName=eth13 mac=52:54:00:00:00:06 state=up pciAddress=0000:23:00.1 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igb sriovVfs=7 (away: 4)"},
    {"pci-0000-24-00-0",
     "ifName=eth14 mac=52:54:00:00:00:07 state=up pciAddress=0000:24:00.0 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igb sriovVfs=7"},
    {"pci-0000-24-00-1",
     "ifName=eth15 mac=52:54:00:00:00:08 state=up pciAddress=0000:24:00.1 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igb sriovVfs=7"},
    {"pci-0000-81-00-0", "ifName=eth0 mac=52:54:00:00:00:09 state=up pciAddress=0000:81:00.0 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7"},
    {"pci-0000-81-00-1", "ifName=eth1 mac=52:54:00:00:00:0a state=up pciAddress=0000:81:00.1 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7 (away: 1)"},
    {"pci-0000-82-00-0", "ifName=eth2 mac=52:54:00:00:00:0b state=up pciAddress=0000:82:00.0 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7"},
    {"pci-0000-82-00-1", "ifName=eth3 mac=52:54:00:00:00:0c state=up pciAddress=0000:82:00.1 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7"},
    {"pci-0000-83-00-0", "ifName=eth4 mac=52:54:00:00:00:0d state=up pciAddress=0000:83:00.0 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7 (away: 7)"},
    {"pci-0000-83-00-1", "ifName=eth5 mac=52:54:00:00:00:0e state=up pciAddress=0000:83:00.1 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7"},
    {"pci-0000-84-00-0", "ifName=eth6 mac=52:54:00:00:00:0f state=up pciAddress=0000:84:00.0 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7"},
    {"pci-0000-84-00-1", "ifName=eth7 mac=52:54:00:00:00:10 state=up pciAddress=0000:84:00.1 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igb sriovVfs=7"},
    {"pci-0000-21-10-1", "pciAddress=0000:21:10.1 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
                         "driver=igbvf isSriovVf=true pfName=eth9 pfPciAddress=0000:21:00.1 vfIndex=0"},
    {"pci-0000-22-10-2",
     "ifName=eth31 mac=52:54:00:01:02:01 state=down pciAddress=0000:22:10.2 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igbvf isSriovVf=true pfName=eth10 pfPciAddress=0000:22:00.0 vfIndex=1"},
    {"pci-0000-23-11-3",
     "ifName=eth46 mac=52:54:00:01:05:05 state=down pciAddress=0000:23:11.3 pcieRoot=pci0000:20 numaNode=0 numaNode=[0,1] "
     "driver=igbvf isSriovVf=true pfName=eth13 pfPciAddress=0000:23:00.1 vfIndex=5"},
    {"pci-0000-81-10-7", "pciAddress=0000:81:10.7 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
                         "driver=igbvf isSriovVf=true pfName=eth1 pfPciAddress=0000:81:00.1 vfIndex=3"},
    {"pci-0000-81-11-4",
     "ifName=eth67 mac=52:54:00:01:08:06 state=down pciAddress=0000:81:11.4 pcieRoot=pci0000:80 numaNode=1 numaNode=[1,0] "
     "driver=igbvf isSriovVf=true pfName=eth0 pfPciAddress=0000:81:00.0 vfIndex=6"},
};

/* No PCI Express: one root for all, also for what is behind a bridge. */
static const struct published i440fx[] = {
    {"pci-0000-00-06-0", "ifName=eth0 mac=52:54:00:00:00:01 state=up pciAddress=0000:00:06.0 pcieRoot=pci0000:00 driver=virtio-pci"},
    {"pci-0000-00-07-0", "ifName=eth1 mac=52:54:00:00:00:02 state=up pciAddress=0000:00:07.0 pcieRoot=pci0000:00 driver=virtio-pci"},
    {"pci-0000-00-08-0", "ifName=eth2 mac=52:54:00:00:00:03 state=up pciAddress=0000:00:08.0 pcieRoot=pci0000:00 driver=vmxnet3"},
    {"pci-0000-00-09-0", "ifName=eth3 mac=52:54:00:00:00:04 state=up pciAddress=0000:00:09.0 pcieRoot=pci0000:00 driver=e1000e"},
    {"pci-0000-01-01-0", "ifName=eth4 mac=52:54:00:00:00:05 state=up pciAddress=0000:01:01.0 pcieRoot=pci0000:00 driver=e1000"},
};

/* The first netdev of the virtio device bears its name: the one above both; its standby is a device of its own. */
static const struct published failover[] = {
    {"pci-0000-01-00-0", "ifName=eth0 mac=52:54:00:00:00:01 state=up pciAddress=0000:01:00.0 pcieRoot=pci0000:00 driver=virtio-pci"},
    {"eth1", "ifName=eth1 mac=52:54:00:00:00:01 state=up pciAddress=0000:01:00.0 pcieRoot=pci0000:00 driver=virtio-pci"},
    {"pci-0000-02-00-0", "ifName=eth2 mac=52:54:00:00:00:01 state=up pciAddress=0000:02:00.0 pcieRoot=pci0000:00 driver=e1000e"},
};

#define MACHINE(name, rows, counts)                                                                                                        \
	{                                                                                                                                  \
		name, rows, ELEMENTS(rows), counts                                                                                         \
	}
static const struct recorded {
	const char *name;
	const struct published *rows;
	size_t n_rows;
	const char *counts;
} recorded[] = {
    MACHINE("build-machine", build_machine, "functions=1 netdevs=4 pfs=0 vfs=0 away=0 rdma=0 roots=1 hidden=0"),
    MACHINE("emulated", emulated, "functions=8 netdevs=11 pfs=2 vfs=5 away=0 rdma=0 roots=3 hidden=0"),
    MACHINE("failover", failover, "functions=2 netdevs=4 pfs=0 vfs=0 away=0 rdma=0 roots=1 hidden=0"),
    MACHINE("i440fx", i440fx, "functions=5 netdevs=6 pfs=0 vfs=0 away=0 rdma=0 roots=1 hidden=0"),
    MACHINE("many-vfs", many_vfs, "functions=103 netdevs=102 pfs=16 vfs=87 away=20 rdma=0 roots=2 hidden=0"),
    MACHINE("two-sockets-rxe", two_sockets_rxe, "functions=9 netdevs=11 pfs=8 vfs=0 away=0 rdma=8 roots=9 hidden=0"),
};

static void each_is_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(recorded); i++) {
		struct world *w = discover(recorded[i].name, false);
		check_published(w, recorded[i].name, recorded[i].rows, recorded[i].n_rows);
		forget(w);
	}
}

static void all_are_counted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(recorded); i++) {
		_cleanup_buf_ struct buf b = {0};
		struct world *w = discover(recorded[i].name, false);
		print_counts(w, &b);
		forget(w);
		if (!str_equal(buf_text(&b), recorded[i].counts))
			fail_msg("%s has\n%s\nnot\n%s", recorded[i].name, buf_text(&b), recorded[i].counts);
	}
}

/* ---- what holds on every machine ----------------------------------------------------------------------------------------------------- */

/* Device and function, the last two numbers of the address, as the bus has them in eight bits. */
static int32_t place_on_bus(const char *address)
{
	unsigned bus, device, function;
	assert_int_equal(sscanf(strchr(address, ':') + 1, "%x:%x.%u", &bus, &device, &function), 3);
	return (int32_t)(device * 8 + function);
}

/* A VF is where its PF is, and each of a PF's has the number that its place says: all VFs here are an 82576's, whose first one is 128
 * places behind the PF and the next ones two behind another. */
static void vfs_are_their_pfs(void **state)
{
	(void)state;
	size_t seen = 0;
	for (size_t i = 0; i < ELEMENTS(recorded); i++) {
		struct world *w = discover(recorded[i].name, false);
		for (size_t k = 0; k < w->n; k++) {
			const struct device_facts *vf = &w->devices[k], *pf;
			char name[DEVICE_NAME_SIZE];
			if (!vf->is_vf)
				continue;
			seen++;
			assert_int_equal(device_name_pci(vf->pf_address, name), 0);
			pf = device_of(w, name);
			assert_non_null(pf);
			assert_true(pf->sriov && !pf->is_vf);
			assert_string_equal(vf->pf_ifname, pf->ifname);
			assert_string_equal(vf->pcie_root, pf->pcie_root);
			assert_int_equal(vf->numa_node, pf->numa_node);
			assert_in_range(vf->vf_index, 0, pf->sriov_vfs - 1);
			assert_int_equal(place_on_bus(vf->pci_address), place_on_bus(pf->pci_address) + 128 + 2 * vf->vf_index);
		}
		forget(w);
	}
	assert_true(seen > 0);
}

/* The tree says of itself whether it was recorded, and those are the machines above. */
static void trees_say_what_they_are(void **state)
{
	(void)state;
	glob_t trees;
	size_t n_recorded = 0;
	assert_int_equal(glob(MACHINES "/*.tree", 0, NULL, &trees), 0);
	for (size_t i = 0; i < trees.gl_pathc; i++) {
		char head[128] = "", path[512];
		FILE *f = fopen(trees.gl_pathv[i], "r");
		assert_non_null(f);
		assert_non_null(fgets(head, sizeof(head), f));
		fclose(f);
		bool is_recorded = str_starts(head, "# Recorded: "), is_known = false;
		if (!is_recorded && !str_starts(head, "# Made: "))
			fail_msg("%s is neither recorded nor made", trees.gl_pathv[i]);
		for (size_t k = 0; k < ELEMENTS(recorded); k++) {
			snprintf(path, sizeof(path), MACHINES "/%s.tree", recorded[k].name);
			is_known |= str_equal(path, trees.gl_pathv[i]);
		}
		if (is_recorded != is_known)
			fail_msg("%s: the tree and this test do not agree whether it was recorded", trees.gl_pathv[i]);
		n_recorded += is_recorded;
	}
	globfree(&trees);
	assert_int_equal(n_recorded, ELEMENTS(recorded));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_is_published),
	    cmocka_unit_test(all_are_counted),
	    cmocka_unit_test(vfs_are_their_pfs),
	    cmocka_unit_test(trees_say_what_they_are),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
