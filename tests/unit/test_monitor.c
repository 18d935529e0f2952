/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor: the real kernel's links in a namespace of the test's own, on a machine (sysfs) that is a fixture. */
#include "netns_fixture.h"
#include "sysfs_fixture.h"

#include <errno.h>
#include <net/if.h>
#include <time.h>

#include "core/base/str.h"
#include "netlink/monitor_internal.h"

#define CONNECTX "v000015B3d00001021sv000015B3sd00000041bc02sc00i00"

enum { DEVICES_SEEN_MAX = 2048, UPLINKS_SEEN_MAX = 8 };

struct world {
	uv_loop_t loop;
	uv_timer_t deadline;
	bool late;
	struct machine machine;
	struct monitor *monitor;
	struct device_facts *devices;
	size_t n_devices;
	int32_t uplinks[UPLINKS_SEEN_MAX];
	size_t n_uplinks;
	unsigned begins, ends, tells, gones, uplink_tells, failures;
};

/* ---- what was told --------------------------------------------------------------------------------------------------------------- */

static struct device_facts *find(struct world *w, const char *name)
{
	for (size_t i = 0; i < w->n_devices; i++)
		if (strcmp(w->devices[i].name, name) == 0)
			return &w->devices[i];
	return NULL;
}

static void see_begin(void *user)
{
	struct world *w = user;
	assert_int_equal(w->begins, w->ends);
	w->begins++;
	w->n_devices = 0;
}
static void see_device(const struct device_facts *facts, void *user)
{
	struct world *w = user;
	struct device_facts *slot = find(w, facts->name);
	w->tells++;
	if (!slot) {
		assert_true(w->n_devices < DEVICES_SEEN_MAX);
		slot = &w->devices[w->n_devices++];
	}
	*slot = *facts;
}
static void see_gone(const char *name, void *user)
{
	struct world *w = user;
	struct device_facts *slot = find(w, name);
	w->gones++;
	assert_non_null(slot);
	*slot = w->devices[--w->n_devices];
}
static void see_end(void *user)
{
	struct world *w = user;
	w->ends++;
	assert_int_equal(w->begins, w->ends);
}
static void see_uplinks(const int32_t *ifindexes, size_t n, void *user)
{
	struct world *w = user;
	w->uplink_tells++;
	assert_true(n <= UPLINKS_SEEN_MAX);
	w->n_uplinks = n;
	for (size_t i = 0; i < n; i++) {
		w->uplinks[i] = ifindexes[i];
		assert_true(i == 0 || ifindexes[i - 1] < ifindexes[i]);
	}
}
static void see_failed(int result, const char *what, void *user)
{
	struct world *w = user;
	w->failures++;
	print_error("monitor: %s (%d)\n", what, result);
}

/* ---- the world ------------------------------------------------------------------------------------------------------------------- */

static int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->devices = calloc(DEVICES_SEEN_MAX, sizeof(*w->devices));
	assert_non_null(w->devices);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	uv_timer_init(&w->loop, &w->deadline);
	w->deadline.data = w;
	fixture_new_host();
	machine_init(&w->machine);
	machine_add_virtual(&w->machine, "lo");
	*state = w;
	return 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	monitor_close(w->monitor);
	uv_close((uv_handle_t *)&w->deadline, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	assert_int_equal(w->failures, 0);
	machine_free(&w->machine);
	free(w->devices);
	free(w);
	return 0;
}

static void on_deadline(uv_timer_t *timer)
{
	struct world *w = timer->data;
	w->late = true;
}

enum { DEADLINE_MS = 60000 }; /* so that what never happens ends; on a busy machine hundreds of links take seconds */

/* Run the loop until the condition holds. */
#define WAIT_FOR(w, condition)                                                                                                             \
	do {                                                                                                                               \
		(w)->late = false;                                                                                                         \
		uv_timer_start(&(w)->deadline, on_deadline, DEADLINE_MS, 0);                                                               \
		while (!(condition) && !(w)->late)                                                                                         \
			uv_run(&(w)->loop, UV_RUN_ONCE);                                                                                   \
		uv_timer_stop(&(w)->deadline);                                                                                             \
		if (!(condition))                                                                                                          \
			fail_msg("did not happen in a minute: %s", #condition);                                                            \
	} while (0)

static void start_with(struct world *w, bool hide_ipoib)
{
	struct error e = {0};
	struct monitor_options o = {
	    .sysfs = w->machine.sysfs,
	    .hide_ipoib = hide_ipoib,
	    .callbacks =
		{.begin = see_begin, .device = see_device, .gone = see_gone, .end = see_end, .uplinks = see_uplinks, .failed = see_failed},
	    .user = w};
	if (monitor_start(&w->loop, &o, &w->monitor, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(w->begins, 0); /* from the loop only */
	WAIT_FOR(w, w->ends == 1 && w->uplink_tells == 1);
}

static void start(struct world *w)
{
	start_with(w, false);
}

static void add_veth(struct world *w, const char *ifname)
{
	char peer[IFNAME_SIZE];
	snprintf(peer, sizeof(peer), "%.10sp", ifname);
	machine_add_virtual(&w->machine, ifname);
	machine_add_virtual(&w->machine, peer);
	host("ip link add %s type veth peer name %s", ifname, peer);
}

/* A NIC: a link of the kernel's (ifb) on a function of the fixture's. */
static void add_nic(struct world *w, const char *address, const char *ifname)
{
	char path[128];
	snprintf(path, sizeof(path), "pci0000:80/%s", address);
	machine_add_netdev(&w->machine, path, ifname);
	host("ip link add %s type ifb", ifname);
}

static void add_function(struct world *w, const char *address)
{
	machine_add_pci(&w->machine, "pci0000:80", address, CONNECTX, "mlx5_core", 1);
}

/* Everything before it is through when this is told. */
static void marker(struct world *w)
{
	static unsigned n;
	char name[IFNAME_SIZE];
	snprintf(name, sizeof(name), "mark%u", n++);
	machine_add_virtual(&w->machine, name);
	host("ip link add %s type ifb", name);
	WAIT_FOR(w, find(w, name));
}

/* ---- devices --------------------------------------------------------------------------------------------------------------------- */

static void everything_is_told_at_start(void **state)
{
	struct world *w = *state;
	add_veth(w, "v0");
	host("ip link set v0 address 02:00:00:00:00:07 mtu 1400 alias 'a word' && ip address add 10.1.2.3/24 dev v0");
	host("ip address add 10.1.2.100/24 dev v0 && ip address add 169.254.3.4/16 dev v0 && ip address add fd00::7/64 dev v0 nodad");
	host("ip link set v0 up && ip link set v0p up");
	start(w);
	assert_int_equal(w->n_devices, 3);
	struct device_facts *lo = find(w, "lo"), *v = find(w, "v0");
	assert_non_null(lo);
	assert_true(lo->loopback);
	assert_non_null(v);
	assert_int_equal(v->ifindex, (int)if_nametoindex("v0"));
	assert_int_equal(v->mtu, 1400);
	assert_int_equal(v->numa_node, -1);
	assert_int_equal(v->lower, (int)if_nametoindex("v0p"));
	assert_string_equal(v->ifname, "v0");
	assert_string_equal(v->type, "veth");
	assert_string_equal(v->encapsulation, "ether");
	assert_string_equal(v->alias, "a word");
	assert_string_equal(v->ipv4, "10.1.2.100/24,10.1.2.3/24");
	assert_string_equal(v->ipv6, "fd00::7/64");
	assert_string_equal(v->pci_address, "");
	assert_true(v->is_virtual && v->up && !v->loopback && !v->hidden && !v->rdma);
	assert_int_equal(v->mac.bytes[5], 7);
	assert_int_equal(w->n_uplinks, 0);
}

static void changes_are_told(void **state)
{
	struct world *w = *state;
	start(w);
	add_veth(w, "v0");
	WAIT_FOR(w, find(w, "v0") && find(w, "v0p"));
	host("ip link set v0 mtu 1300");
	WAIT_FOR(w, find(w, "v0")->mtu == 1300);
	host("ip address add 10.0.0.1/24 dev v0");
	WAIT_FOR(w, strcmp(find(w, "v0")->ipv4, "10.0.0.1/24") == 0);
	host("ip address del 10.0.0.1/24 dev v0");
	WAIT_FOR(w, find(w, "v0")->ipv4[0] == '\0');
	host("ip link set v0 up && ip link set v0p up");
	WAIT_FOR(w, strcmp(find(w, "v0")->state, "up") == 0);
	machine_add_virtual(&w->machine, "UPPER_case");
	host("ip link set v0 down && ip link set v0 name UPPER_case");
	char name[DEVICE_NAME_SIZE];
	assert_int_equal(device_name_netdev("UPPER_case", name), 0);
	WAIT_FOR(w, find(w, name) && !find(w, "v0"));
	assert_string_equal(find(w, name)->ifname, "UPPER_case");
	host("ip link delete UPPER_case");
	WAIT_FOR(w, !find(w, name) && !find(w, "v0p"));
	assert_int_equal(w->begins, 1);
}

static void what_changes_nothing_is_not_told(void **state)
{
	struct world *w = *state;
	add_veth(w, "v0");
	start(w);
	marker(w);
	unsigned before = w->tells;
	host("ip link set v0 txqueuelen 5 && ip address add 169.254.9.9/16 dev v0 && ip route add 10.0.0.0/8 dev lo 2>/dev/null; true");
	marker(w);
	assert_int_equal(w->tells, before + 1);
}

static void idle_means_no_timer(void **state)
{
	struct world *w = *state;
	start(w);
	marker(w);
	/* -1: nothing but the kernel will wake it. The last notifications of the marker may still be under way. */
	time_t deadline = time(NULL) + 10;
	while (uv_backend_timeout(&w->loop) != -1 && time(NULL) < deadline)
		uv_run(&w->loop, UV_RUN_NOWAIT);
	assert_int_equal(uv_backend_timeout(&w->loop), -1);
}

static void bursts_are_joined(void **state)
{
	struct world *w = *state;
	add_veth(w, "v0");
	start(w);
	marker(w);
	unsigned before = w->tells;
	host("for i in $(seq 1 200); do echo address add 10.0.0.$i/32 dev v0; echo link set v0 mtu $((1000 + i)); done | ip -batch -");
	WAIT_FOR(w, find(w, "v0")->mtu == 1200);
	struct monitor_counters c;
	monitor_count(w->monitor, &c);
	assert_true(c.notifications >= 400);
	/* All of it happened before the loop ran: what is left is how many turns it needed to read it. */
	assert_true(w->tells - before < 10);
	assert_int_equal(c.dumps, 1);
}

static void leaving_a_bridge_is_not_the_end(void **state)
{
	struct world *w = *state;
	add_veth(w, "v0");
	machine_add_virtual(&w->machine, "br0");
	host("ip link add br0 type bridge && ip link set v0 master br0");
	start(w);
	assert_int_equal(find(w, "v0")->master, (int)if_nametoindex("br0"));
	host("ip link set v0 nomaster");
	WAIT_FOR(w, find(w, "v0") && find(w, "v0")->master == 0);
	marker(w);
	assert_non_null(find(w, "v0"));
	assert_int_equal(w->gones, 0);
}

static void what_cannot_move_is_hidden(void **state)
{
	struct world *w = *state;
	machine_add_virtual(&w->machine, "br7");
	host("ip link add br7 type bridge");
	start(w);
	assert_non_null(find(w, "br7"));
	assert_true(find(w, "br7")->hidden);
}

static void some_are_hidden(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {"docker0", "cilium_net", "cilium_host", "tunl0", "ip6_vti0"};
	char device[DEVICE_NAME_SIZE];
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		machine_add_virtual(&w->machine, names[i]);
		host("ip link add %s type ifb", names[i]);
	}
	machine_add_virtual(&w->machine, "docker1");
	host("ip link add docker1 type ifb");
	start(w);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		assert_int_equal(device_name_netdev(names[i], device), 0);
		assert_non_null(find(w, device));
		assert_true(find(w, device)->hidden);
	}
	assert_false(find(w, "docker1")->hidden);
}

static void resync_tells_everything_again(void **state)
{
	struct world *w = *state;
	add_veth(w, "v0");
	start(w);
	size_t n = w->n_devices;
	monitor_resync(w->monitor);
	WAIT_FOR(w, w->ends == 2);
	assert_int_equal(w->n_devices, n);
	host("ip link set v0 mtu 1234");
	WAIT_FOR(w, find(w, "v0")->mtu == 1234);
}

static void lost_notifications_mean_a_resync(void **state)
{
	struct world *w = *state;
	struct monitor_counters c;
	add_veth(w, "v0");
	add_veth(w, "v1");
	start(w);
	/* More than any buffer holds, while nobody reads. */
	host("for i in $(seq 1 3000); do echo link set v0 mtu $((1000 + i %% 400)); done | ip -batch -");
	host("ip link delete v1 && ip link set v0 mtu 1777");
	WAIT_FOR(w, w->ends == 2);
	monitor_count(w->monitor, &c);
	assert_int_equal(c.overruns, 1);
	assert_int_equal(find(w, "v0")->mtu, 1777);
	assert_null(find(w, "v1"));
	host("ip link set v0 mtu 1500");
	WAIT_FOR(w, find(w, "v0")->mtu == 1500);
}

static void many_links_are_dumped(void **state)
{
	struct world *w = *state;
	for (int i = 0; i < 300; i++) {
		char name[IFNAME_SIZE];
		snprintf(name, sizeof(name), "n%d", i);
		machine_add_virtual(&w->machine, name);
	}
	host("for i in $(seq 0 299); do echo link add n$i type ifb; done | ip -batch -");
	start(w);
	assert_int_equal(w->n_devices, 301);
}

/* ---- PCI ------------------------------------------------------------------------------------------------------------------------- */

static void function_with_its_netdev(void **state)
{
	struct world *w = *state;
	int pod = fixture_new_pod(), home = fixture_own_namespace();
	add_function(w, "0000:8a:00.0");
	add_nic(w, "0000:8a:00.0", "nic0");
	add_function(w, "0000:8b:00.0");
	machine_run("mkdir -p %s/devices/pci0000:80/0000:8b:00.0/infiniband/mlx5_7", w->machine.root);
	machine_add_pci(&w->machine, "pci0000:80", "0000:8c:00.0", CONNECTX, "vfio-pci", 1);
	machine_add_pci(&w->machine, "pci0000:80", "0000:8d:00.0", "v000015B3d00001021sv000015B3sd00000041bc01sc00i00", "nvme", 1);
	start(w);
	assert_int_equal(w->n_devices, 3);
	struct device_facts *f = find(w, "pci-0000-8a-00-0");
	assert_non_null(f);
	assert_int_equal(f->ifindex, (int)if_nametoindex("nic0"));
	assert_string_equal(f->ifname, "nic0");
	assert_string_equal(f->pci_address, "0000:8a:00.0");
	assert_string_equal(f->pcie_root, "pci0000:80");
	assert_string_equal(f->pci_subsystem, "0041");
	assert_string_equal(f->driver, "mlx5_core");
	assert_int_equal(f->numa_node, 1);
	assert_false(f->is_virtual || f->rdma || f->is_vf || f->sriov);
	f = find(w, "pci-0000-8b-00-0");
	assert_non_null(f);
	assert_int_equal(f->ifindex, 0);
	assert_string_equal(f->rdma_device, "mlx5_7");
	assert_true(f->rdma);
	assert_null(find(w, "nic0"));

	host("ip link set nic0 netns /proc/%d/fd/%d", getpid(), pod);
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->ifindex == 0);
	assert_string_equal(find(w, "pci-0000-8a-00-0")->ifname, "");
	assert_string_equal(find(w, "pci-0000-8a-00-0")->pci_address, "0000:8a:00.0");
	in_pod(pod, "ip link set nic0 netns /proc/%d/fd/%d", getpid(), home);
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->ifindex > 0);
	assert_int_equal(w->gones, 0);
	assert_int_equal(w->begins, 1);
	close(pod), close(home);
}

static void function_that_comes_and_goes(void **state)
{
	struct world *w = *state;
	start(w);
	add_function(w, "0000:8a:00.0");
	add_nic(w, "0000:8a:00.0", "nic0");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0"));
	machine_run("rm %s/devices/pci0000:80/0000:8a:00.0/driver", w->machine.root);
	host("ip link delete nic0");
	WAIT_FOR(w, !find(w, "pci-0000-8a-00-0"));
	assert_int_equal(w->n_devices, 1);
}

static void several_netdevs_on_a_function(void **state)
{
	struct world *w = *state;
	int pod = fixture_new_pod(), home = fixture_own_namespace();
	add_function(w, "0000:8a:00.0");
	add_nic(w, "0000:8a:00.0", "porta");
	add_nic(w, "0000:8a:00.0", "portb");
	start(w);
	assert_string_equal(find(w, "pci-0000-8a-00-0")->ifname, "porta");
	assert_string_equal(find(w, "portb")->pci_address, "0000:8a:00.0");
	/* The name waits for its owner while that is in a pod; the other port, leaving and coming back, does not take it. */
	host("ip link set porta netns /proc/%d/fd/%d", getpid(), pod);
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->ifindex == 0);
	host("ip link set portb netns /proc/%d/fd/%d", getpid(), pod);
	WAIT_FOR(w, !find(w, "portb"));
	in_pod(pod, "ip link set portb netns /proc/%d/fd/%d", getpid(), home);
	WAIT_FOR(w, find(w, "portb"));
	assert_int_equal(find(w, "pci-0000-8a-00-0")->ifindex, 0);
	in_pod(pod, "ip link set porta netns /proc/%d/fd/%d", getpid(), home);
	WAIT_FOR(w, strcmp(find(w, "pci-0000-8a-00-0")->ifname, "porta") == 0);
	close(pod), close(home);
}

static void second_port_never_takes_the_name(void **state)
{
	struct world *w = *state;
	add_function(w, "0000:8a:00.0");
	add_nic(w, "0000:8a:00.0", "portb");
	machine_write(&w->machine, "devices/pci0000:80/0000:8a:00.0/net/portb/dev_port", "1");
	start(w);
	assert_int_equal(find(w, "pci-0000-8a-00-0")->ifindex, 0);
	assert_non_null(find(w, "portb"));
}

static void reloaded_driver_keeps_the_name(void **state)
{
	struct world *w = *state;
	add_function(w, "0000:8a:00.0");
	add_nic(w, "0000:8a:00.0", "nic0");
	start(w);
	host("ip link delete nic0");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->ifindex == 0);
	host("ip link add nic0 type ifb");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->ifindex == (int)if_nametoindex("nic0"));
}

static void virtual_function_follows_its_pf(void **state)
{
	struct world *w = *state;
	add_function(w, "0000:8a:00.0");
	machine_write(&w->machine, "devices/pci0000:80/0000:8a:00.0/sriov_totalvfs", "4");
	add_nic(w, "0000:8a:00.0", "pf0");
	start(w);
	assert_true(find(w, "pci-0000-8a-00-0")->sriov);
	assert_int_equal(find(w, "pci-0000-8a-00-0")->sriov_vfs, 0);
	add_function(w, "0000:8a:00.1");
	machine_add_vf(&w->machine, "pci0000:80/0000:8a:00.0", "pci0000:80/0000:8a:00.1");
	add_nic(w, "0000:8a:00.1", "vf0");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-1") && find(w, "pci-0000-8a-00-0")->sriov_vfs == 1);
	struct device_facts *vf = find(w, "pci-0000-8a-00-1");
	assert_true(vf->is_vf);
	assert_string_equal(vf->pf_ifname, "pf0");
	assert_int_equal(vf->pf_mtu, 1500);
	host("ip link set pf0 mtu 1400");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-1")->pf_mtu == 1400);
}

static void netdev_on_foreign_function_is_hidden(void **state)
{
	struct world *w = *state;
	/* USB: the only PCI function on the way is the controller. */
	machine_add_pci(&w->machine, "pci0000:00", "0000:00:14.0", "v00008086d0000A36Dsv00000000sd00000000bc0Csc03i30", "xhci_hcd", 0);
	machine_run("mkdir -p %s/devices/pci0000:00/0000:00:14.0/usb1", w->machine.root);
	machine_add_netdev(&w->machine, "pci0000:00/0000:00:14.0/usb1", "usbnic");
	host("ip link add usbnic type ifb");
	start(w);
	assert_true(find(w, "usbnic")->hidden);
	assert_null(find(w, "pci-0000-00-14-0"));
}

/* Only its interface stands on it, and cannot leave: two devices, and which belongs to which is to be seen. */
static void function_of_a_netdev_that_cannot_leave(void **state)
{
	struct world *w = *state;
	add_function(w, "0000:8a:00.0");
	machine_add_netdev(&w->machine, "pci0000:80/0000:8a:00.0", "fixed0");
	host("ip link add fixed0 type bridge");
	start(w);
	const struct device_facts *function = find(w, "pci-0000-8a-00-0"), *netdev = find(w, "fixed0");
	assert_non_null(function);
	assert_non_null(netdev);
	assert_true(function->ifindex == 0 && function->is_nic && !function->hidden);
	assert_true(netdev->ifindex > 0 && netdev->hidden);
	assert_string_equal(netdev->pci_address, function->pci_address);
}

/* What a PF lists, and where its VFs are. */
static void vfs_know_their_place(void **state)
{
	struct world *w = *state;
	static const char unbind[] = "unbind@/devices/pci0000:80/0000:8a:00.3\0ACTION=unbind\0DEVPATH=/devices/pci0000:80/0000:8a:00.3\0"
				     "SUBSYSTEM=pci\0SEQNUM=7";
	add_function(w, "0000:8a:00.0");
	add_nic(w, "0000:8a:00.0", "pf0");
	machine_write(&w->machine, "devices/pci0000:80/0000:8a:00.0/sriov_totalvfs", "8");
	for (int i = 0; i < 3; i++) {
		char address[16];
		snprintf(address, sizeof(address), "0000:8a:00.%d", i + 1);
		machine_add_pci(&w->machine, "pci0000:80", address, CONNECTX, i < 2 ? "mlx5_core" : "vfio-pci", 1);
		machine_run("cd %s/devices/pci0000:80 && ln -s ../0000:8a:00.0 %s/physfn && ln -s ../%s 0000:8a:00.0/virtfn%d",
		            w->machine.root, address, address, i);
	}
	add_nic(w, "0000:8a:00.1", "vf0");
	start(w);
	const struct device_facts *vf = find(w, "pci-0000-8a-00-1");
	assert_true(vf->is_vf);
	assert_int_equal(vf->vf_index, 0);
	assert_string_equal(vf->pf_address, "0000:8a:00.0");
	assert_string_equal(vf->pf_ifname, "pf0");
	assert_int_equal(find(w, "pci-0000-8a-00-2")->vf_index, 1);
	assert_null(find(w, "pci-0000-8a-00-3"));
	const struct device_facts *pf = find(w, "pci-0000-8a-00-0");
	assert_int_equal(pf->vf_index, -1);
	assert_string_equal(pf->pf_address, "");
	assert_int_equal(pf->vfs_away, 2); /* one in user space, one in nobody knows which namespace */

	add_nic(w, "0000:8a:00.2", "vf1"); /* it came home */
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->vfs_away == 1);
	host("ip link del vf0");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->vfs_away == 2);

	struct monitor_table t = {.sysfs = w->machine.sysfs};
	static const struct monitor_callbacks to = {.device = see_device, .gone = see_gone};
	assert_int_equal(pci_names_new(&t.names), 0);
	assert_int_equal(table_read_sysfs(&t, true), 0);
	assert_int_equal(table_flush(&t, false, &to, w), 0);
	assert_int_equal(find(w, "pci-0000-8a-00-0")->vfs_away, 3); /* this table has seen no link */
	machine_run("rm %s/devices/pci0000:80/0000:8a:00.3/driver", w->machine.root);
	assert_int_equal(table_note_uevent(&t, unbind, sizeof(unbind)), 0);
	assert_int_equal(table_read_sysfs(&t, false), 0);
	assert_int_equal(table_flush(&t, false, &to, w), 0);
	assert_int_equal(find(w, "pci-0000-8a-00-0")->vfs_away, 2);
	machine_run("ln -s ../../../bus/pci/drivers/vfio-pci %s/devices/pci0000:80/0000:8a:00.3/driver", w->machine.root);
	assert_int_equal(table_note_uevent(&t, unbind, sizeof(unbind)), 0);
	assert_int_equal(table_read_sysfs(&t, false), 0);
	assert_int_equal(table_flush(&t, false, &to, w), 0);
	assert_int_equal(find(w, "pci-0000-8a-00-0")->vfs_away, 3);
	machine_run("cd %s && rm -r bus/pci/devices/0000:8a:00.3 devices/pci0000:80/0000:8a:00.0/virtfn2", w->machine.root);
	assert_int_equal(table_note_uevent(&t, unbind, sizeof(unbind)), 0);
	assert_int_equal(table_read_sysfs(&t, false), 0);
	assert_int_equal(table_flush(&t, false, &to, w), 0);
	assert_int_equal(find(w, "pci-0000-8a-00-0")->vfs_away, 2);
	table_free(&t);
}

/* A driver is asked for the speed of a link on hardware; that of a virtual one says what it likes. */
static void speed_is_of_links_that_are_up(void **state)
{
	struct world *w = *state;
	add_function(w, "0000:8a:00.0");
	machine_add_netdev(&w->machine, "pci0000:80/0000:8a:00.0", "nic0");
	machine_add_virtual(&w->machine, "nic0p");
	host("ip link add nic0 type veth peer name nic0p");
	start(w);
	assert_int_equal(find(w, "pci-0000-8a-00-0")->speed, 0);
	unsigned before = w->tells;
	host("ip link set nic0p up && ip link set nic0 up");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->speed == 10000);
	assert_int_equal(find(w, "nic0p")->speed, 0);
	assert_string_equal(find(w, "pci-0000-8a-00-0")->state, "up");
	assert_true(w->tells > before);
	host("ip link set nic0p down");
	WAIT_FOR(w, find(w, "pci-0000-8a-00-0")->speed == 0);
}

#define UEVENT(action, path, subsystem) action "@" path "\0ACTION=" action "\0DEVPATH=" path "\0SUBSYSTEM=" subsystem "\0SEQNUM=7"

static void take_uevent(struct world *w, struct monitor_table *t, const char *data, size_t len)
{
	static const struct monitor_callbacks to = {.device = see_device, .gone = see_gone};
	assert_int_equal(table_note_uevent(t, data, len), 0);
	assert_int_equal(table_read_sysfs(t, false), 0);
	assert_int_equal(table_flush(t, false, &to, w), 0);
}

/* What no link event tells of. The kernel's part of it cannot be had without hardware. */
static void uevents_tell_of_functions(void **state)
{
	struct world *w = *state;
	static const char bind[] = UEVENT("bind", "/devices/pci0000:80/0000:8a:00.0", "pci");
	static const char rdma[] = UEVENT("add", "/devices/pci0000:80/0000:8a:00.0/infiniband/mlx5_4", "infiniband");
	static const char queue[] = UEVENT("add", "/devices/pci0000:80/0000:8a:00.0/net/nic0/queues/rx-0", "queues");
	struct monitor_table t = {.sysfs = w->machine.sysfs};
	assert_int_equal(pci_names_new(&t.names), 0);
	add_function(w, "0000:8a:00.0");
	take_uevent(w, &t, queue, sizeof(queue));
	take_uevent(w, &t, bind, sizeof(bind) - 1); /* not terminated */
	take_uevent(w, &t, "", 0);
	assert_int_equal(w->tells, 0);
	take_uevent(w, &t, bind, sizeof(bind));
	assert_false(find(w, "pci-0000-8a-00-0")->rdma);
	machine_run("mkdir -p %s/devices/pci0000:80/0000:8a:00.0/infiniband/mlx5_4", w->machine.root);
	take_uevent(w, &t, rdma, sizeof(rdma));
	assert_string_equal(find(w, "pci-0000-8a-00-0")->rdma_device, "mlx5_4");
	machine_run("rm %s/devices/pci0000:80/0000:8a:00.0/driver", w->machine.root);
	take_uevent(w, &t, bind, sizeof(bind));
	assert_null(find(w, "pci-0000-8a-00-0"));
	table_free(&t);
}

static void wait_for_it(uv_work_t *work)
{
	uv_sem_wait(work->data);
}

/* As the kernel sends it: root may tell its own namespace. */
static void send_uevent(const char *data, size_t len)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	_Alignas(struct nlmsghdr) char message[512] = {0};
	struct nlmsghdr *h = (struct nlmsghdr *)message;
	h->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + len);
	h->nlmsg_type = NLMSG_MIN_TYPE;
	h->nlmsg_flags = NLM_F_REQUEST;
	memcpy(NLMSG_DATA(h), data, len);
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, h, h->nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof(kernel)), h->nlmsg_len);
	close(fd);
}

static uint64_t notifications(const struct world *w)
{
	struct monitor_counters c;
	monitor_count(w->monitor, &c);
	return c.notifications;
}

static void run_for(struct world *w, uint64_t ms)
{
	w->late = false;
	uv_timer_start(&w->deadline, on_deadline, ms, 0);
	while (!w->late)
		uv_run(&w->loop, UV_RUN_ONCE);
}

/* A dump ends with questions to the drivers, which may take seconds. Nothing else may happen afterwards for hours. */
static void what_happens_while_drivers_are_asked_is_told(void **state)
{
	enum { THREADS = 4 };
	struct world *w = *state;
	static const char unbind[] = UEVENT("unbind", "/devices/pci0000:80/0000:8a:00.0", "pci");
	uv_work_t work[THREADS];
	uv_sem_t answer;
	add_function(w, "0000:8a:00.0");
	add_veth(w, "v0"); /* somebody to ask */
	start(w);
	assert_non_null(find(w, "pci-0000-8a-00-0"));
	assert_int_equal(uv_sem_init(&answer, 0), 0);
	for (size_t i = 0; i < THREADS; i++) {
		work[i].data = &answer;
		assert_int_equal(uv_queue_work(&w->loop, &work[i], wait_for_it, NULL), 0);
	}
	monitor_resync(w->monitor);
	run_for(w, 200); /* the dump itself; a slow one would only hide the fault */
	uint64_t before = notifications(w);
	machine_run("rm %s/devices/pci0000:80/0000:8a:00.0/driver", w->machine.root);
	send_uevent(unbind, sizeof(unbind));
	run_for(w, 200); /* longer than the debounce */
	bool heard = notifications(w) > before;
	unsigned ends = w->ends;
	for (size_t i = 0; i < THREADS; i++)
		uv_sem_post(&answer);
	assert_true(heard);
	assert_int_equal(ends, 1);
	WAIT_FOR(w, w->ends == 2 && !find(w, "pci-0000-8a-00-0"));
	uv_sem_destroy(&answer);
}

/* ---- uplinks --------------------------------------------------------------------------------------------------------------------- */

static bool uplinks_are(struct world *w, const char *names)
{
	char list[128];
	size_t n = 0;
	strcpy(list, names);
	for (char *name = strtok(list, " "); name; name = strtok(NULL, " "), n++) {
		bool found = false;
		for (size_t i = 0; i < w->n_uplinks; i++)
			found |= w->uplinks[i] == (int32_t)if_nametoindex(name);
		if (!found)
			return false;
	}
	return n == w->n_uplinks;
}

static void two_nics(struct world *w)
{
	add_veth(w, "e0");
	add_veth(w, "e1");
	host("for i in e0 e0p e1 e1p; do ip link set $i up; done");
	host("ip address add 10.0.0.2/24 dev e0 && ip address add 10.0.1.2/24 dev e1");
	host("ip address add fd00::2/64 dev e0 nodad && ip address add fd01::2/64 dev e1 nodad");
}

static void uplinks_follow_the_default_routes(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *add, *del, *expected;
	} rows[] = {
	    {"ip route add default via 10.0.0.1", "ip route del default", "e0"},
	    {"ip route add default via 10.0.0.1 metric 10 && ip route add default via 10.0.1.1 metric 5",
	     "ip route del default metric 10 && ip route del default metric 5", "e1"},
	    {"ip route add default via 10.0.0.1 && ip -6 route add default via fd01::1", "ip route del default && ip -6 route del default",
	     "e0 e1"},
	    {"ip -6 route add default via fd00::1 metric 7 && ip -6 route add default via fd01::1 metric 9",
	     "ip -6 route del default metric 7 && ip -6 route del default metric 9", "e0"},
	    {"ip route add default nexthop via 10.0.0.1 nexthop via 10.0.1.1", "ip route del default", "e0 e1"},
	    {"ip -6 route add default nexthop via fd00::1 nexthop via fd01::1", "ip -6 route del default", "e0 e1"},
	    {"ip route add default dev e1 scope link", "ip route del default", "e1"},
	};
	two_nics(w);
	start(w);
	assert_int_equal(w->n_uplinks, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		host("%s", rows[i].add);
		WAIT_FOR(w, uplinks_are(w, rows[i].expected));
		host("%s", rows[i].del);
		WAIT_FOR(w, w->n_uplinks == 0);
	}
	assert_int_equal(w->begins, 1);
}

static void other_routes_make_no_uplink(void **state)
{
	struct world *w = *state;
	two_nics(w);
	start(w);
	unsigned before = w->uplink_tells;
	host("ip route add 10.0.0.0/8 via 10.0.0.1 && ip route add 0.0.0.0/8 via 10.0.0.1 && ip route add default via 10.0.0.1 table 123");
	host("ip -6 route add ::/8 via fd00::1 && ip -6 route add unreachable default metric 4000 && ip route add blackhole default metric "
	     "4000");
	marker(w);
	host("ip route add default via 10.0.1.1 metric 5000");
	WAIT_FOR(w, uplinks_are(w, "e1"));
	assert_int_equal(w->uplink_tells, before + 1);
}

static void uplinks_are_known_at_start(void **state)
{
	struct world *w = *state;
	two_nics(w);
	host("ip route add default via 10.0.0.1");
	start(w);
	assert_true(uplinks_are(w, "e0"));
}

/* The kernel drops the route without a notification in each of these. */
static void silently_lost_uplinks_are_noticed(void **state)
{
	struct world *w = *state;
	static const char *const ways[] = {"ip link set e0 down", "ip address del 10.0.0.2/24 dev e0", "ip link delete e0"};
	two_nics(w);
	start(w);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		host("ip link set e0 up && ip address replace 10.0.0.2/24 dev e0 && ip route add default via 10.0.0.1");
		WAIT_FOR(w, uplinks_are(w, "e0"));
		host("%s", ways[i]);
		WAIT_FOR(w, w->n_uplinks == 0);
	}
}

#define kernel_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    kernel_test(everything_is_told_at_start),
	    kernel_test(changes_are_told),
	    kernel_test(what_changes_nothing_is_not_told),
	    kernel_test(idle_means_no_timer),
	    kernel_test(bursts_are_joined),
	    kernel_test(leaving_a_bridge_is_not_the_end),
	    kernel_test(what_cannot_move_is_hidden),
	    kernel_test(some_are_hidden),
	    kernel_test(resync_tells_everything_again),
	    kernel_test(lost_notifications_mean_a_resync),
	    kernel_test(many_links_are_dumped),
	    kernel_test(function_with_its_netdev),
	    kernel_test(function_that_comes_and_goes),
	    kernel_test(several_netdevs_on_a_function),
	    kernel_test(second_port_never_takes_the_name),
	    kernel_test(reloaded_driver_keeps_the_name),
	    kernel_test(virtual_function_follows_its_pf),
	    kernel_test(netdev_on_foreign_function_is_hidden),
	    kernel_test(function_of_a_netdev_that_cannot_leave),
	    kernel_test(vfs_know_their_place),
	    kernel_test(speed_is_of_links_that_are_up),
	    kernel_test(uevents_tell_of_functions),
	    kernel_test(what_happens_while_drivers_are_asked_is_told),
	    kernel_test(uplinks_follow_the_default_routes),
	    kernel_test(other_routes_make_no_uplink),
	    kernel_test(uplinks_are_known_at_start),
	    kernel_test(silently_lost_uplinks_are_noticed),
	};
	return fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
