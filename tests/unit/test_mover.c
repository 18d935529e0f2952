/* SPDX-License-Identifier: Apache-2.0 */
/* The mover against the real kernel: ifb as a NIC without a peer, veth and macvlan for the rest. */
#include "mover_fixture.h"

/* ---- snapshot -------------------------------------------------------------------------------------------------------------------- */

static void snapshot_holds_what_the_host_had(void **state)
{
	make_rich_link();
	struct attach_plan p = plan_for(*state, "nic0", "net1");
	assert_string_equal(p.host.type, "veth");
	assert_int_equal(p.host.mtu, 1400);
	assert_int_equal(p.host.txqlen, 77);
	assert_true(p.host.up);
	assert_int_equal(p.host.n_addresses, 5);
	assert_int_equal(p.host.n_routes, 3);
	assert_int_equal(p.host.n_neighbours, 1);
	assert_int_equal(p.host.addresses[0].broadcast.family, IP_V4);
	assert_int_equal(p.host.addresses[1].peer.family, IP_V4);
	host_state_free(&p.host);
}

static void snapshot_wants_the_right_name(void **state)
{
	struct world *w = *state;
	struct host_state s = {.mtu = 4711};
	struct error e = {0};
	host("ip link add nic0 type ifb");
	assert_int_equal(mover_snapshot(w->mover, (int32_t)if_nametoindex("nic0"), "nic1", &s, &e), -ENODEV);
	assert_non_null(strstr(e.text, "nic0"));
	assert_int_equal(mover_snapshot(w->mover, 9999, "nic1", &s, &e), -ENODEV);
	assert_int_equal(s.mtu, 4711);
}

/* ---- attach ---------------------------------------------------------------------------------------------------------------------- */

static void attach_configures_as_planned(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type veth peer name peer0 && ip link set peer0 up && ip link set nic0 up");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct address addresses[] = {make_address("192.0.2.10/24"), make_address("fd00:1::10/64")};
	struct route routes[] = {make_route("198.51.100.0/24", "192.0.2.1"), make_route("203.0.113.0/24", NULL),
	                         make_route("fd00:2::/64", "fd00:1::1")};
	struct rule rule = {.has_priority = true, .priority = 1000, .source = addresses[0].prefix, .table = 700};
	struct neighbour neighbour = {0};
	routes[0].table = 700;
	assert_int_equal(ip_address_parse("192.0.2.1", &neighbour.destination), 0);
	assert_int_equal(mac_parse("02:00:00:00:00:02", &neighbour.mac), 0);
	assert_int_equal(mac_parse("02:00:00:00:00:01", &p.pod.mac), 0);
	p.pod.mtu = 1300;
	p.pod.sizes.gso_max = 32768;
	p.pod.arp_ignore = 1;
	p.pod.arp_announce = 2;
	p.pod.forwarding = 1;
	p.pod.addresses = addresses, p.pod.n_addresses = 2;
	p.pod.routes = routes, p.pod.n_routes = 3;
	p.pod.rules = &rule, p.pod.n_rules = 1;
	p.pod.neighbours = &neighbour, p.pod.n_neighbours = 1;

	struct move_result r = attach(w, &p);
	assert_string_equal(r.pod.ifname, "net1");
	assert_int_equal(r.pod.n_addresses, 2);
	assert_true(ip_prefix_equal(&r.pod.addresses[1], &addresses[1].prefix));
	assert_true(mac_equal(&r.pod.mac, &p.pod.mac));
	assert_shows(w->pod, "ip -d link show net1", "mtu 1300");
	assert_shows(w->pod, "ip -d link show net1", "UP");
	assert_shows(w->pod, "ip -d link show net1", "02:00:00:00:00:01");
	assert_shows(w->pod, "ip -d link show net1", "gso_max_size 32768");
	assert_shows(w->pod, "ip address show net1", "192.0.2.10/24 brd 192.0.2.255");
	assert_hides(w->pod, "ip -6 address show net1 scope global", "tentative");
	assert_shows(w->pod, "ip route show table 700", "198.51.100.0/24 via 192.0.2.1 dev net1");
	assert_shows(w->pod, "ip route", "203.0.113.0/24 dev net1 scope link");
	assert_shows(w->pod, "ip -6 route", "fd00:2::/64 via fd00:1::1 dev net1");
	assert_shows(w->pod, "ip rule", "1000:\tfrom 192.0.2.0/24 lookup 700");
	assert_shows(w->pod, "ip neigh show nud permanent", "192.0.2.1 dev net1 lladdr 02:00:00:00:00:02 PERMANENT");
	assert_shows(w->pod, "cat /proc/sys/net/ipv4/conf/net1/arp_ignore", "1");
	assert_shows(w->pod, "cat /proc/sys/net/ipv4/conf/net1/arp_announce", "2");
	assert_shows(w->pod, "cat /proc/sys/net/ipv4/conf/net1/forwarding /proc/sys/net/ipv6/conf/net1/forwarding", "1\n1");
	assert_hides(-1, "ip link", "nic0");

	assert_home(w, &p);
	assert_hides(w->pod, "ip rule", "lookup 700");
	host_state_free(&p.host);
}

static void attach_twice_is_attach_once(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct address a = make_address("192.0.2.10/24");
	struct route route = make_route("192.0.2.0/24", NULL); /* the kernel's own prefix route, copied */
	p.pod.addresses = &a, p.pod.n_addresses = 1;
	p.pod.routes = &route, p.pod.n_routes = 1;
	attach(w, &p);
	in_pod(w->pod, "ip link set net1 mtu 1280");
	p.pod.mtu = 1320;
	struct move_result r = attach(w, &p);
	assert_int_equal(r.pod.n_addresses, 1);
	assert_shows(w->pod, "ip link show net1", "mtu 1320");
	assert_home(w, &p);
	host_state_free(&p.host);
}

static void name_taken_in_pod_changes_nothing(void **state)
{
	struct world *w = *state;
	make_rich_link();
	in_pod(w->pod, "ip link add eth0 type veth peer name other");
	struct attach_plan p = plan_for(w, "nic0", "eth0");
	char *before = settled_dump();
	struct error e = attach_fails(w, &p, -EEXIST);
	assert_non_null(strstr(e.text, "eth0"));
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void host_name_taken_in_pod_is_no_obstacle(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb");
	in_pod(w->pod, "ip link add nic0 type veth peer name other");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	assert_shows(w->pod, "ip link show net1", "net1");
	assert_home(w, &p);
	assert_shows(w->pod, "ip link show nic0", "nic0");
	host_state_free(&p.host);
}

static void ifindex_taken_in_pod_is_no_obstacle(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 index 70 type ifb");
	in_pod(w->pod, "ip link add filler index 70 type veth peer name other");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	struct move_result r;
	assert_int_equal(mover_probe(w->mover, &p, w->pod, &r, NULL), 0);
	assert_int_equal(r.place, PLACE_POD);
	assert_home(w, &p);
	host_state_free(&p.host);
}

static void pods_own_link_is_not_mistaken_for_ours(void **state)
{
	struct world *w = *state;
	/* Same kind, same number, and the name the claim wants: only the MAC differs. */
	host("ip link add v0 index 70 type veth peer name v1");
	in_pod(w->pod, "ip link add eth0 index 70 type veth peer name other");
	struct attach_plan p = plan_for(w, "v0", "eth0");
	attach_fails(w, &p, -EEXIST);
	host("ip link delete v0");
	struct move_result r;
	struct error e = {0};
	assert_int_equal(mover_probe(w->mover, &p, -1, &r, &e), 0);
	assert_int_equal(r.place, PLACE_GONE);
	assert_shows(w->pod, "ip link show eth0", "eth0");
	host_state_free(&p.host);
}

static void refused_mtu_is_undone(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = settled_dump();
	p.pod.mtu = 9000000;
	struct error e = attach_fails(w, &p, -EINVAL);
	assert_non_null(strstr(e.text, "net1"));
	assert_host_is_still(before);
	assert_hides(w->pod, "ip link", "net1");
	host_state_free(&p.host);
}

static void refused_mac_is_undone(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb && ip address add 10.5.0.2/24 dev nic0 && ip link set nic0 up"); /* cannot change its MAC */
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = settled_dump();
	assert_int_equal(mac_parse("02:00:00:00:00:01", &p.pod.mac), 0);
	attach_fails(w, &p, -EOPNOTSUPP);
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void refused_address_is_undone(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct address a[] = {make_address("192.0.2.10/24"), make_address("ff02::5/64")}; /* multicast */
	char *before = settled_dump();
	p.pod.addresses = a, p.pod.n_addresses = 2;
	struct error e = attach_fails(w, &p, -EADDRNOTAVAIL);
	assert_non_null(strstr(e.text, "ff02::5/64"));
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void refused_route_is_undone(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb");
	in_pod(w->pod, "ip link add eth0 type ifb && ip address add 192.0.2.1/24 dev eth0 && ip link set eth0 up && ip route add default "
	               "via 192.0.2.2 && ip route add default via 192.0.2.2 metric 7");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct address a = make_address("198.51.100.2/24");
	struct route taken = make_route("0.0.0.0/0", "198.51.100.1"), unreachable = make_route("10.0.0.0/8", "203.0.113.1");
	struct rule rule = {.has_priority = true, .priority = 1000, .source = a.prefix, .table = 700};
	p.pod.addresses = &a, p.pod.n_addresses = 1;
	p.pod.rules = &rule, p.pod.n_rules = 1;
	p.pod.n_routes = 1;
	p.pod.routes = &taken;
	taken.metric = 7; /* without one it would come behind */
	assert_non_null(strstr(attach_fails(w, &p, -EEXIST).text, "0.0.0.0/0 via 198.51.100.1"));
	p.pod.routes = &unreachable;
	assert_non_null(strstr(attach_fails(w, &p, -ENETUNREACH).text, "10.0.0.0/8"));
	assert_shows(w->pod, "ip route", "default via 192.0.2.2 dev eth0");
	assert_hides(w->pod, "ip rule", "700");
	host_state_free(&p.host);
}

/* As with DRANET the pod runs; there its route is not there at all. */
static void configured_routes_come_behind_what_is_there(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb");
	in_pod(w->pod, "ip link add eth0 type ifb && ip address add 192.0.2.1/24 dev eth0 && ip link set eth0 up && ip route add default "
	               "via 192.0.2.2 && ip -6 route add default dev eth0 && ip route add 10.0.0.0/8 via 192.0.2.2 table 700");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct address a = make_address("198.51.100.2/24");
	struct route routes[] = {make_route("0.0.0.0/0", "198.51.100.1"), make_route("::/0", "fe80::1"),
	                         make_route("10.0.0.0/8", "198.51.100.1"), make_route("10.1.0.0/16", "198.51.100.1")};
	routes[2].table = 700;
	p.pod.addresses = &a, p.pod.n_addresses = 1;
	p.pod.routes = routes, p.pod.n_routes = 4;
	attach(w, &p);
	assert_shows(w->pod, "ip route", "default via 192.0.2.2 dev eth0");
	assert_shows(w->pod, "ip route", "default via 198.51.100.1 dev net1 metric 1024");
	assert_shows(w->pod, "ip -6 route", "default via fe80::1 dev net1 metric 1025");
	assert_shows(w->pod, "ip route show table 700", "10.0.0.0/8 via 198.51.100.1 dev net1 metric 1024");
	assert_shows(w->pod, "ip route show 10.1.0.0/16", "10.1.0.0/16 via 198.51.100.1 dev net1");
	assert_hides(w->pod, "ip route show 10.1.0.0/16", "metric");
	assert_home(w, &p);
	host_state_free(&p.host);
}

static void bad_namespace_leaves_the_host_alone(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = settled_dump();
	struct move_result r;
	struct error e = {0};
	int closed = dup(w->pod), file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	close(closed);
	assert_int_equal(mover_attach(w->mover, &p, NULL, closed, &r, &e), -EBADF);
	assert_int_equal(r.place, PLACE_HOST);
	assert_int_equal(mover_attach(w->mover, &p, NULL, file, &r, &e), -EINVAL);
	assert_int_equal(r.place, PLACE_HOST);
	assert_int_equal(mover_attach(w->mover, &p, NULL, -1, &r, &e), -EBADF);
	assert_int_equal(r.place, PLACE_HOST);
	assert_host_is_still(before);
	close(file);
	host_state_free(&p.host);
}

static void vanished_device_is_gone(void **state)
{
	struct world *w = *state;
	struct move_result r;
	struct error e = {0};
	host("ip link add nic0 type ifb");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	host("ip link delete nic0");
	assert_int_equal(mover_attach(w->mover, &p, NULL, w->pod, &r, &e), -ENODEV);
	assert_int_equal(r.place, PLACE_GONE);
	assert_int_equal(mover_detach(w->mover, &p, w->pod, &r, &e), 0);
	assert_int_equal(r.place, PLACE_GONE);
	assert_int_equal(mover_detach(w->mover, &p, -1, &r, &e), 0);
	assert_int_equal(r.place, PLACE_GONE);
	host_state_free(&p.host);

	host("ip link add nic0 type ifb");
	p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	in_pod(w->pod, "ip link delete net1");
	assert_int_equal(mover_detach(w->mover, &p, w->pod, &r, &e), 0);
	assert_int_equal(r.place, PLACE_GONE);
	host_state_free(&p.host);
}

/* ---- detach ---------------------------------------------------------------------------------------------------------------------- */

static void twenty_rounds_leave_no_trace(void **state)
{
	struct world *w = *state;
	make_rich_link();
	host("ip link add ifb7 type ifb && ip address add 10.9.0.1/24 dev ifb7 && ip link set ifb7 up");
	struct attach_plan nic = plan_for(w, "nic0", "net1"), ifb = plan_for(w, "ifb7", "eth7");
	struct address a[] = {make_address("192.0.2.10/24"), make_address("fd00:1::10/64")};
	nic.pod.mtu = 1300;
	nic.pod.addresses = a, nic.pod.n_addresses = 2;
	assert_int_equal(mac_parse("02:00:00:00:00:01", &nic.pod.mac), 0);
	char *before = settled_dump();
	for (int i = 0; i < 20; i++) {
		attach(w, &nic);
		attach(w, &ifb);
		assert_shows(w->pod, "ip address show net1", "192.0.2.10/24");
		assert_home(w, &nic);
		assert_home(w, &ifb);
		assert_host_is_still(strdup(before));
	}
	free(before);
	host_state_free(&nic.host);
	host_state_free(&ifb.host);
}

static void ipv6_works_at_once(void **state)
{
	struct world *w = *state;
	duplicate_address_detection(true);
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	free(settled_dump());
	attach(w, &p);
	assert_home(w, &p);
	assert_shows(-1, "ip -6 address show nic0", "fd00:6::2/64");
	assert_hides(-1, "ip -6 address show nic0 scope global", "tentative");
	assert_hides(-1, "ip -6 address show nic0 to fd00:6::/64", "nodad");
	assert_shows(-1, "ip -6 address show nic0 to fd00:5::/64", "nodad");
	host_state_free(&p.host);
}

static void down_stays_down(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb && ip address add 10.5.0.2/24 dev nic0");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	assert_home(w, &p);
	assert_hides(-1, "ip link show nic0", "UP");
	assert_shows(-1, "ip address show nic0", "10.5.0.2/24");
	host_state_free(&p.host);
}

static void detach_twice_is_detach_once(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = settled_dump();
	attach(w, &p);
	assert_home(w, &p);
	assert_home(w, &p);
	struct move_result r = detach(w, &p, -1);
	assert_int_equal(r.place, PLACE_HOST);
	assert_string_equal(r.differences, "");
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void renamed_in_pod_comes_home(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	in_pod(w->pod, "ip link set net1 down && ip link set net1 name weird && ip link set weird mtu 1290 up");
	assert_home(w, &p);
	assert_shows(-1, "ip link show nic0", "mtu 1400");
	host_state_free(&p.host);
}

static void new_mac_in_pod_comes_home(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	in_pod(w->pod, "ip link set net1 down && ip link set net1 address 02:11:22:33:44:55");
	assert_home(w, &p);
	assert_shows(-1, "ip link show nic0", "02:00:00:00:01:01");
	host_state_free(&p.host);
}

static void host_name_taken_meanwhile(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	host("ip link add nic0 type veth peer name thief");
	struct move_result r = detach(w, &p, w->pod);
	assert_int_equal(r.place, PLACE_HOST);
	assert_non_null(strstr(r.differences, "was nic0"));
	assert_shows(-1, "ip address", "10.5.0.2/24");
	assert_hides(w->pod, "ip link", "net1");
	/* The name is free again: the next try ends it. */
	host("ip link delete nic0");
	r = detach(w, &p, -1);
	assert_int_equal(r.place, PLACE_HOST);
	assert_string_equal(r.differences, "");
	assert_shows(-1, "ip address show nic0", "10.5.0.2/24");
	host_state_free(&p.host);
}

static void left_in_host_under_pod_name(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = settled_dump();
	host("ip link set nic0 down && ip link set nic0 name net1 && ip address flush dev net1 && ip link set net1 mtu 1500");
	struct move_result r = detach(w, &p, -1);
	assert_int_equal(r.place, PLACE_HOST);
	assert_string_equal(r.differences, "");
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void what_cannot_be_restored_is_told(void **state)
{
	struct world *w = *state;
	host("ip link add lower type ifb && ip link set lower mtu 3000 up");
	host("ip link add mv0 link lower type macvlan && ip link set mv0 mtu 3000 up");
	struct attach_plan p = plan_for(w, "mv0", "net1");
	p.pod.mtu = 1400;
	attach(w, &p);
	host("ip link set lower mtu 1500");
	struct move_result r = detach(w, &p, w->pod);
	assert_int_equal(r.place, PLACE_HOST);
	assert_non_null(strstr(r.differences, "mtu is 1400, was 3000"));
	assert_shows(-1, "ip link show mv0", "UP");
	host_state_free(&p.host);
}

static void bridge_port_is_a_port_again(void **state)
{
	struct world *w = *state;
	host("ip link add br0 type bridge && ip link add v0 type veth peer name v1 && ip link set v0 master br0 up");
	struct attach_plan p = plan_for(w, "v0", "net1");
	p.facts.master = (int32_t)if_nametoindex("br0");
	attach(w, &p);
	assert_home(w, &p);
	assert_shows(-1, "ip link show v0", "master br0");
	host_state_free(&p.host);
}

/* ---- several --------------------------------------------------------------------------------------------------------------------- */

static void four_kinds_in_one_pod(void **state)
{
	struct world *w = *state;
	host("ip link add a0 type ifb && ip link add b0 type veth peer name b1 && ip link add low type ifb && ip link set low up");
	host("ip link add c0 link low type macvlan && ip link add d0 link low type macvtap");
	struct attach_plan plans[] = {plan_for(w, "a0", "net1"), plan_for(w, "b0", "net2"), plan_for(w, "c0", "net3"),
	                              plan_for(w, "d0", "net4")};
	char *before = settled_dump();
	for (size_t i = 0; i < 4; i++)
		attach(w, &plans[i]);
	for (size_t i = 0; i < 4; i++) {
		struct move_result r;
		assert_int_equal(mover_probe(w->mover, &plans[i], w->pod, &r, NULL), 0);
		assert_int_equal(r.place, PLACE_POD);
		assert_string_equal(r.pod.ifname, plans[i].pod.ifname);
	}
	for (size_t i = 0; i < 4; i++) {
		assert_home(w, &plans[i]);
		host_state_free(&plans[i].host);
	}
	assert_host_is_still(before);
}

/* ---- namespaces ------------------------------------------------------------------------------------------------------------------ */

static void namespace_files_are_checked(void **state)
{
	struct world *w = *state;
	char path[64];
	struct error e = {0};
	uint64_t inode = 0;
	int fd = -7;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->pod);
	assert_int_equal(netns_open(path, &fd, &inode, &e), 0);
	assert_true(fd >= 0 && inode > 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	fd = -7;
	static const struct {
		const char *path;
		int code;
	} bad[] = {
	    {"/proc/self/ns/net", -EINVAL}, {"/proc/self/ns/mnt", -EINVAL}, {"/dev/null", -EINVAL}, {"/", -EINVAL}, {"/nowhere", -ENOENT}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(netns_open(bad[i].path, &fd, &inode, &e), bad[i].code);
		assert_non_null(strstr(e.text, bad[i].path));
		assert_int_equal(fd, -7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    kernel_test(snapshot_holds_what_the_host_had),
	    kernel_test(snapshot_wants_the_right_name),
	    kernel_test(attach_configures_as_planned),
	    kernel_test(attach_twice_is_attach_once),
	    kernel_test(name_taken_in_pod_changes_nothing),
	    kernel_test(host_name_taken_in_pod_is_no_obstacle),
	    kernel_test(ifindex_taken_in_pod_is_no_obstacle),
	    kernel_test(pods_own_link_is_not_mistaken_for_ours),
	    kernel_test(refused_mtu_is_undone),
	    kernel_test(refused_mac_is_undone),
	    kernel_test(refused_address_is_undone),
	    kernel_test(refused_route_is_undone),
	    kernel_test(configured_routes_come_behind_what_is_there),
	    kernel_test(bad_namespace_leaves_the_host_alone),
	    kernel_test(vanished_device_is_gone),
	    kernel_test(twenty_rounds_leave_no_trace),
	    kernel_test(ipv6_works_at_once),
	    kernel_test(down_stays_down),
	    kernel_test(detach_twice_is_detach_once),
	    kernel_test(renamed_in_pod_comes_home),
	    kernel_test(new_mac_in_pod_comes_home),
	    kernel_test(host_name_taken_meanwhile),
	    kernel_test(left_in_host_under_pod_name),
	    kernel_test(what_cannot_be_restored_is_told),
	    kernel_test(bridge_port_is_a_port_again),
	    kernel_test(four_kinds_in_one_pod),
	    kernel_test(namespace_files_are_checked),
	};
	return fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
