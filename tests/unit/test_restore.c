/* SPDX-License-Identifier: Apache-2.0 */
/* What comes back with a device, and what of it can be undone, on the real kernel. Random combinations are tests/node/restore.py's. */
#include "mover_fixture.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

/* ---- undo ------------------------------------------------------------------------------------------------------------------------ */

static struct neighbour bad_neighbour(void)
{
	struct neighbour n = {.mac = {.length = 4}}; /* too short for an Ethernet link */
	assert_int_equal(ip_address_parse("192.0.2.1", &n.destination), 0);
	return n;
}

/* Each step of an attach in turn is one that the kernel refuses; those before it were done. */
static void whatever_step_fails_nothing_stays(void **state)
{
	struct world *w = *state;
	make_rich_link();
	in_pod(w->pod, "ip link set lo up && ip link add busy type ifb && ip rule add from "
	               "192.0.2.0/24 lookup 700 priority 1000");
	struct address good = make_address("192.0.2.10/24"), multicast = make_address("ff02::5/64"), addresses[] = {good, multicast};
	struct route reachable = make_route("10.1.0.0/16", "192.0.2.1"), unreachable = make_route("10.2.0.0/16", "203.0.113.1"),
		     routes[] = {reachable, unreachable};
	struct rule rule = {.has_priority = true, .priority = 1000, .source = good.prefix, .table = 700}, mixed = rule,
		    rules[] = {rule, mixed};
	struct neighbour neighbour = bad_neighbour();
	rules[1].destination = multicast.prefix; /* from an IPv4 network to an IPv6 one */
	const struct {
		const char *what, *ifname;
		uint32_t mtu;
		size_t n_addresses, n_routes, n_rules, n_neighbours;
		int code;
		const char *says;
	} rows[] = {
	    {"name", "busy", 0, 0, 0, 0, 0, -EEXIST, "busy"},
	    {"mtu", "net1", 9000000, 0, 0, 0, 0, -EINVAL, "cannot move nic0"},
	    {"address", "net1", 1300, 2, 0, 0, 0, -EADDRNOTAVAIL, "ff02::5/64"},
	    {"route", "net1", 1300, 1, 2, 0, 0, -ENETUNREACH, "10.2.0.0/16"},
	    {"rule", "net1", 1300, 1, 1, 2, 0, -EINVAL, "rule 1"},
	    {"neighbour", "net1", 1300, 1, 1, 1, 1, -EINVAL, "192.0.2.1"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct attach_plan p = plan_for(w, "nic0", rows[i].ifname);
		char *host_before = settled_dump(), *pod_before = settled_dump_of(w->pod);
		p.pod.mtu = rows[i].mtu;
		p.pod.addresses = addresses, p.pod.n_addresses = rows[i].n_addresses;
		p.pod.routes = routes, p.pod.n_routes = rows[i].n_routes;
		p.pod.rules = rules, p.pod.n_rules = rows[i].n_rules;
		p.pod.neighbours = &neighbour, p.pod.n_neighbours = rows[i].n_neighbours;
		struct error e = attach_fails(w, &p, rows[i].code);
		if (!strstr(e.text, rows[i].says))
			fail_msg("%s: %s", rows[i].what, e.text);
		assert_is_still(-1, host_before);
		assert_is_still(w->pod, pod_before);
		host_state_free(&p.host);
	}
}

static void refused_sysctl_is_undone(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *host_before = settled_dump(), *pod_before = settled_dump_of(w->pod);
	p.pod.arp_ignore = 1;
	host("mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys");
	struct error e = attach_fails(w, &p, -EROFS);
	host("umount /proc/sys");
	assert_non_null(strstr(e.text, "/proc/sys/net/ipv4/conf/net1/arp_ignore"));
	assert_is_still(-1, host_before);
	assert_is_still(w->pod, pod_before);
	host_state_free(&p.host);
}

static void the_pods_own_rule_stays(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb");
	in_pod(w->pod, "ip rule add from 192.0.2.0/24 lookup 700 priority 1000");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct rule rule = {.has_priority = true, .priority = 1000, .source = make_address("192.0.2.0/24").prefix, .table = 700};
	p.pod.rules = &rule, p.pod.n_rules = 1;
	attach(w, &p);
	assert_home(w, &p);
	assert_shows(w->pod, "ip rule", "1000:\tfrom 192.0.2.0/24 lookup 700");
	host_state_free(&p.host);
}

/* ---- names ----------------------------------------------------------------------------------------------------------------------- */

static void altnames_are_in_nobodys_way(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb && ip link property add dev nic0 altname rail-one altname rail-two");
	in_pod(w->pod, "ip link add busy type ifb && ip link property add dev busy altname rail-one");
	static const char *const pod_names[] = {"net1", "rail-two"};
	for (size_t i = 0; i < ELEMENTS(pod_names); i++) {
		struct attach_plan p = plan_for(w, "nic0", pod_names[i]);
		char *before = settled_dump();
		attach(w, &p);
		/* The pod's idea of a good name for it is one of the host's. */
		in_pod(w->pod, "ip link property add dev %s altname nic0", pod_names[i]);
		assert_home(w, &p);
		assert_host_is_still(before);
		host_state_free(&p.host);
	}
	struct attach_plan p = plan_for(w, "nic0", "busy");
	char *before = settled_dump();
	attach_fails(w, &p, -EEXIST);
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void taken_altname_is_told(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb && ip link property add dev nic0 altname rail-one");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char expected[128], *before = settled_dump();
	attach(w, &p);
	host("ip link add thief type ifb && ip link property add dev thief altname rail-one");
	snprintf(expected, sizeof(expected), "altname rail-one is missing: taken by link %u (ifb)", if_nametoindex("thief"));
	struct move_result r = detach(w, &p, w->pod);
	assert_int_equal(r.place, PLACE_HOST);
	assert_true(str_starts(r.differences, expected));
	host("ip link delete thief");
	r = detach(w, &p, -1);
	assert_string_equal(r.differences, "");
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void taken_name_leaves_an_altname(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char expected[128], temporary[IFNAME_SIZE], *before = settled_dump();
	attach(w, &p);
	host("ip link add nic0 type veth peer name thief");
	snprintf(temporary, sizeof(temporary), "dra%d", p.host.ifindex);
	snprintf(expected, sizeof(expected), "name is %s (altname was-nic0), was nic0: taken by link %u (veth)", temporary,
	         if_nametoindex("nic0"));
	struct move_result r = detach(w, &p, w->pod);
	assert_string_equal(r.differences, expected);
	assert_shows(-1, "ip link show dev was-nic0", temporary);
	host("ip link delete nic0");
	r = detach(w, &p, -1);
	assert_string_equal(r.differences, "");
	assert_host_is_still(before); /* the altname is gone, too, and the labels are right */
	host_state_free(&p.host);
}

static void renamed_and_with_another_mac_it_is_still_ours(void **state)
{
	struct world *w = *state;
	make_rich_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = settled_dump();
	attach(w, &p);
	in_pod(w->pod, "ip link set net1 down && ip link set net1 name weird && ip link set weird address 02:66:66:66:66:66");
	assert_home(w, &p);
	assert_host_is_still(before);
	host_state_free(&p.host);
}

/* ---- all the rest ---------------------------------------------------------------------------------------------------------------- */

static void make_richer_link(void)
{
	make_rich_link();
	host("ip link add other type ifb && ip link set other up && ip address add 10.9.0.1/24 dev other");
	host("ip link set nic0 alias 'rail \xc3\xbc' group 7 promisc on allmulticast on gso_max_segs 4444 addrgenmode none");
	host("echo 1 > /proc/sys/net/ipv4/conf/nic0/arp_ignore; echo 2 > /proc/sys/net/ipv6/conf/nic0/accept_ra; "
	     "echo 7 > /proc/sys/net/ipv6/conf/nic0/router_solicitation_interval");
	host("ethtool -K nic0 gro off tso off");
	host("ip nexthop add id 77 via 10.5.0.7 dev nic0 && ip nexthop add id 78 via 10.9.0.7 dev other && ip nexthop add id 79 group "
	     "77/78");
	host("ip route add 10.77.0.0/16 nhid 79 && ip route add 10.78.0.0/16 nexthop via 10.5.0.1 dev nic0 weight 3 nexthop via 10.9.0.9 "
	     "dev "
	     "other");
	host("ip route add 10.79.0.0/16 via 10.5.0.1 dev nic0 mtu 1300 advmss 900 tos 0x10 proto 99 && ip route add 10.80.0.0/16 dev other "
	     "src 10.5.0.2");
	host("ip -6 route add fd08::/64 nexthop via fe80::7 dev nic0 nexthop via fe80::1 dev other");
	host("ip rule add iif nic0 fwmark 5/0xff lookup 100 && ip -6 rule add oif nic0 lookup 100");
	host("ip neigh add proxy 10.5.0.200 dev nic0 && bridge fdb add 02:00:00:00:77:77 dev nic0 self permanent");
	host("tc qdisc add dev nic0 root pfifo limit 33");
}

static void everything_the_pod_changed_is_put_back(void **state)
{
	struct world *w = *state;
	make_richer_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = settled_dump();
	attach(w, &p);
	in_pod(w->pod,
	       "ip link set net1 alias pod group 9 promisc off allmulticast off multicast off gso_max_segs 5 && ip link property add "
	       "dev net1 altname pods && ethtool -K net1 gro on tso on && tc qdisc add dev net1 root pfifo limit 3");
	assert_home(w, &p);
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void objects_that_cannot_come_back_are_named(void **state)
{
	struct world *w = *state;
	make_richer_link();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	host("ip link delete other");
	struct move_result r = detach(w, &p, w->pod);
	assert_int_equal(r.place, PLACE_HOST);
	static const char *const named[] = {"nexthop 79 is missing", "route 10.78.0.0/16 via 10.5.0.1 and 1 more is missing",
	                                    "route 10.80.0.0/16", "because: "};
	for (size_t i = 0; i < ELEMENTS(named); i++)
		if (!strstr(r.differences, named[i]))
			fail_msg("%s does not say %s", r.differences, named[i]);
	assert_shows(-1, "ip route", "10.79.0.0/16");
	host_state_free(&p.host);
}

static void qdiscs_that_lived_by_their_filters_are_named(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb && ip link set nic0 up && tc qdisc add dev nic0 clsact && tc qdisc add dev nic0 root htb && "
	     "tc filter add dev nic0 ingress protocol ip u32 match u32 0 0");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	struct move_result r = detach(w, &p, w->pod);
	assert_int_equal(r.place, PLACE_HOST);
	static const char *const named[] = {"qdisc htb is missing", "tc ingress filter u32 is missing",
	                                    "because: qdisc htb: its classes and filters cannot be given back"};
	for (size_t i = 0; i < ELEMENTS(named); i++)
		if (!strstr(r.differences, named[i]))
			fail_msg("%s does not say %s", r.differences, named[i]);
	host_state_free(&p.host);
}

/* XDP_PASS: r0 = 2; exit. */
static int load_xdp(void)
{
	static const struct bpf_insn pass[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 2}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr attr = {0};
	attr.prog_type = BPF_PROG_TYPE_XDP;
	attr.insns = (uint64_t)(uintptr_t)pass;
	attr.insn_cnt = 2;
	attr.license = (uint64_t)(uintptr_t) "GPL";
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static void the_pods_xdp_program_stays_in_the_pod(void **state)
{
	struct world *w = *state;
	int program = load_xdp();
	if (program < 0) {
		print_message("SKIP: no XDP program can be loaded: %s\n", strerror(errno));
		return;
	}
	make_rich_link();
	host("mkdir -p /tmp/dranetd-test-bpf && mount -t bpf bpf /tmp/dranetd-test-bpf");
	union bpf_attr pin = {.pathname = (uint64_t)(uintptr_t) "/tmp/dranetd-test-bpf/pass", .bpf_fd = (uint32_t)program};
	assert_int_equal(syscall(SYS_bpf, BPF_OBJ_PIN, &pin, sizeof(pin)), 0);
	static const char *const modes[] = {"xdpgeneric", "xdpdrv"};
	for (size_t i = 0; i < ELEMENTS(modes); i++) {
		struct attach_plan p = plan_for(w, "nic0", "net1");
		char *before = settled_dump();
		attach(w, &p);
		in_pod(w->pod, "ip link set net1 %s pinned /tmp/dranetd-test-bpf/pass", modes[i]);
		assert_shows(w->pod, "ip link show net1", "xdp");
		assert_home(w, &p);
		assert_host_is_still(before);
		host_state_free(&p.host);
	}
	host("umount /tmp/dranetd-test-bpf && rmdir /tmp/dranetd-test-bpf");
	close(program);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------------ */

static void lifetimes_go_on_while_it_is_away(void **state)
{
	struct world *w = *state;
	host("ip link add nic0 type ifb && ip link set nic0 up");
	host("ip address add 10.5.0.2/24 dev nic0 valid_lft 5000 preferred_lft 1000");
	host("ip address add fd00:5::2/64 dev nic0 nodad valid_lft 5000 preferred_lft 1000");
	host("ip address add 10.6.0.2/24 dev nic0 valid_lft 100 preferred_lft 100");
	host("ip -6 route add fd00:7::/64 via fe80::7 dev nic0 expires 4000 && ip -6 route add fd00:8::/64 via fe80::7 dev nic0 expires "
	     "300");
	host("ip route add 10.7.0.0/16 dev nic0 src 10.6.0.2");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	attach(w, &p);
	p.host.taken_at = p.host.taken_at > 2000000 ? p.host.taken_at - 2000000 : 1; /* two thousand seconds ago */
	bool young_machine = p.host.taken_at == 1;
	assert_home(w, &p);
	if (young_machine) {
		print_message("SKIP: this machine has not been up for two thousand seconds\n");
	} else {
		assert_shows(-1, "ip address show nic0", "10.5.0.2/24 scope global deprecated dynamic nic0");
		assert_shows(-1, "ip -6 address show nic0", "fd00:5::2/64 scope global nodad deprecated dynamic");
		assert_shows(-1, "ip address show nic0 | grep -c 'valid_lft \\(3000\\|29[0-9][0-9]\\)sec'", "2");
		assert_shows(-1, "ip -6 route | grep -c 'expires \\(2000\\|19[0-9][0-9]\\)sec'", "1");
		assert_hides(-1, "ip address show nic0", "10.6.0.2");
		assert_hides(-1, "ip route", "10.6.0.0/24");
		assert_hides(-1, "ip route", "10.7.0.0/16");
		assert_hides(-1, "ip -6 route", "fd00:8::/64");
	}
	host_state_free(&p.host);
}

/* ---- records of the first version -------------------------------------------------------------------------------------------------- */

static void free_bytes(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){0};
}

static void old_record_restores_what_it_holds(void **state)
{
	struct world *w = *state;
	make_rich_link();
	host("ip link set nic0 group 7 promisc on && ip link property add dev nic0 altname rail");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct host_state *h = &p.host;
	char *before = settled_dump();
	struct bytes *later[] = {&h->alias, &h->altnames, &h->ipv4, &h->ipv6, &h->more_sysctls, &h->features, &h->objects};
	for (size_t i = 0; i < ELEMENTS(later); i++)
		free_bytes(later[i]);
	h->taken_at = 0;
	h->flags = h->group = h->xdp = 0;
	h->master = h->peer_ifindex = 0;
	h->sizes.gso_max_segs = 0;
	h->qdisc[0] = '\0';
	attach(w, &p);
	assert_home(w, &p);
	assert_host_is_still(before); /* of the rest nothing was lost on the way, and nothing is known that it should be made */
	host_state_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    kernel_test(whatever_step_fails_nothing_stays),
	    kernel_test(refused_sysctl_is_undone),
	    kernel_test(the_pods_own_rule_stays),
	    kernel_test(altnames_are_in_nobodys_way),
	    kernel_test(taken_altname_is_told),
	    kernel_test(taken_name_leaves_an_altname),
	    kernel_test(renamed_and_with_another_mac_it_is_still_ours),
	    kernel_test(everything_the_pod_changed_is_put_back),
	    kernel_test(objects_that_cannot_come_back_are_named),
	    kernel_test(qdiscs_that_lived_by_their_filters_are_named),
	    kernel_test(the_pods_xdp_program_stays_in_the_pod),
	    kernel_test(lifetimes_go_on_while_it_is_away),
	    kernel_test(old_record_restores_what_it_holds),
	};
	return fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
