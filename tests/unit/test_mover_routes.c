/* SPDX-License-Identifier: Apache-2.0 */
/* Routes and rules of a pod, as the real kernel shows them afterwards. */
#include "mover_fixture.h"

#include "core/base/cleanup.h"

static struct ip_address ip(const char *text)
{
	struct ip_address a = {0};
	if (ip_address_parse(text, &a) < 0)
		fail_msg("%s", text);
	return a;
}

/* A device of two addresses, which nothing on the host knows of. */
static struct attach_plan bare_plan(struct world *w, const char *ifname, const char *pod_name, struct address addresses[2])
{
	host("ip link add %s type ifb", ifname);
	struct attach_plan p = plan_for(w, ifname, pod_name);
	addresses[0] = make_address("192.0.2.10/24");
	addresses[1] = make_address("fd00:1::10/64");
	p.pod.addresses = addresses, p.pod.n_addresses = 2;
	return p;
}

/* ---- routes ---------------------------------------------------------------------------------------------------------------------- */

static void routes_bear_all_that_was_asked_for(void **state)
{
	struct world *w = *state;
	struct address a[2];
	struct attach_plan p = bare_plan(w, "nic0", "net1", a);
	struct route routes[] = {
	    make_route("198.51.100.0/24", "203.0.113.1"), /* reachable by a route that comes later */
	    make_route("10.0.0.0/8", "192.0.2.1"),        make_route("10.1.0.0/16", NULL),  make_route("10.2.0.0/16", "10.99.0.1"),
	    make_route("fd00:2::/64", "fd00:1::1"),       make_route("fd00:3::/64", NULL),  make_route("10.3.0.0/16", "fe80::1"),
	    make_route("203.0.113.0/24", NULL),           make_route("192.0.2.0/24", NULL),
	};
	routes[1].metric = 50, routes[1].mtu = 1300, routes[1].locked = 1 << 2 /* RTAX_MTU */, routes[1].advmss = 1200;
	routes[1].hop_limit = 60, routes[1].initial_cwnd = 20, routes[1].initial_rwnd = 30, routes[1].tos = 8;
	routes[2].scope = 0, routes[2].n_hops = 3;
	routes[2].hops[0] = (struct next_hop){.gateway = ip("192.0.2.1"), .weight = 1};
	routes[2].hops[1] = (struct next_hop){.gateway = ip("192.0.2.2"), .weight = 5};
	routes[2].hops[2] = (struct next_hop){.gateway = ip("10.99.0.1"), .flags = 4 /* RTNH_F_ONLINK */};
	routes[3].flags = 4;
	routes[4].metric = 77, routes[4].mtu = 1290, routes[4].source = a[1].prefix.address;
	routes[5].scope = 0, routes[5].n_hops = 2;
	routes[5].hops[0] = (struct next_hop){.gateway = ip("fd00:1::1")};
	routes[5].hops[1] = (struct next_hop){.gateway = ip("fd00:1::2"), .weight = 3};
	routes[8].mtu = 1280; /* the kernel made it for the address, without */
	p.pod.routes = routes, p.pod.n_routes = ELEMENTS(routes);

	for (int times = 0; times < 2; times++) { /* the second finds all of it there */
		attach(w, &p);
		assert_shows(w->pod, "ip route", "198.51.100.0/24 via 203.0.113.1 dev net1");
		assert_shows(w->pod, "ip route",
		             "10.0.0.0/8 tos 0x08 via 192.0.2.1 dev net1 metric 50 mtu lock 1300 advmss 1200 hoplimit 60 "
		             "initcwnd 20 initrwnd 30");
		assert_shows(w->pod, "ip route show 10.1.0.0/16", "nexthop via 192.0.2.1 dev net1 weight 1");
		assert_shows(w->pod, "ip route show 10.1.0.0/16", "nexthop via 192.0.2.2 dev net1 weight 5");
		assert_shows(w->pod, "ip route show 10.1.0.0/16", "nexthop via 10.99.0.1 dev net1 weight 1 onlink");
		assert_shows(w->pod, "ip route", "10.2.0.0/16 via 10.99.0.1 dev net1 onlink");
		assert_shows(w->pod, "ip -6 route", "fd00:2::/64 via fd00:1::1 dev net1 src fd00:1::10 metric 77 mtu 1290");
		assert_shows(w->pod, "ip -6 route show fd00:3::/64", "nexthop via fd00:1::1 dev net1 weight 1");
		assert_shows(w->pod, "ip -6 route show fd00:3::/64", "nexthop via fd00:1::2 dev net1 weight 3");
		assert_shows(w->pod, "ip route", "10.3.0.0/16 via inet6 fe80::1 dev net1");
		assert_shows(w->pod, "ip route", "192.0.2.0/24 dev net1 scope link mtu 1280");
	}
	assert_home(w, &p);
	host_state_free(&p.host);
}

/* The pod's own link is in the same networks: its routes come first, and stay. */
static void what_is_asked_of_a_network_leaves_the_pods_way_to_it(void **state)
{
	struct world *w = *state;
	struct address a[2];
	struct attach_plan p = bare_plan(w, "nic0", "net1", a);
	struct route routes[] = {make_route("192.0.2.0/24", NULL), make_route("fd00:1::/64", NULL)};
	routes[0].mtu = 1280;
	routes[1].mtu = 1290, routes[1].metric = 256; /* the kernel's for addresses */
	p.pod.routes = routes, p.pod.n_routes = ELEMENTS(routes);
	in_pod(w->pod, "ip link add eth0 type ifb && ip link set eth0 up && ip address add 192.0.2.5/24 dev eth0 && "
	               "ip address add fd00:1::5/64 dev eth0 nodad");
	for (int times = 0; times < 2; times++) {
		attach(w, &p);
		assert_shows(w->pod, "ip route show 192.0.2.0/24", "dev eth0 proto kernel scope link src 192.0.2.5");
		assert_shows(w->pod, "ip route show 192.0.2.0/24", "dev net1 scope link mtu 1280");
		assert_shows(w->pod, "ip -6 route show fd00:1::/64", "dev eth0 proto kernel metric 256");
		assert_shows(w->pod, "ip -6 route show fd00:1::/64", "dev net1 metric 256 mtu 1290");
		assert_shows(w->pod, "ip route show 192.0.2.0/24 | grep -c dev", "2");
		assert_shows(w->pod, "ip -6 route show fd00:1::/64 | grep -c dev", "2");
	}
	assert_home(w, &p);
	host_state_free(&p.host);
}

static struct attach_plan *real_plan(struct world *w, const char *ifname, const char *pod_name, struct error *warnings)
{
	struct attach_plan view = plan_for(w, ifname, pod_name), *p;
	struct error e = {0};
	if (attach_plan_new(&view.facts, &view.host, &view.pod, &p, warnings, &e) < 0)
		fail_msg("%s", e.text);
	host_state_free(&view.host);
	return p;
}

static void what_the_host_had_moves_along(void **state)
{
	struct world *w = *state;
	make_rich_link();
	host("ip address add 10.5.0.8/24 dev nic0 valid_lft forever preferred_lft 0");
	host("ip link add nic1 type veth peer name peer1 && ip link set peer1 up && ip address add 10.11.0.1/24 dev nic1 && ip link set "
	     "nic1 up");
	host("ip route add 10.20.0.0/16 via 10.5.0.1 dev nic0 tos 8 metric 9 mtu 1300 advmss 1200 window 9000");
	host("ip route add 10.21.0.0/16 nexthop via 10.5.0.1 dev nic0 weight 3 nexthop via 10.9.9.9 dev nic0 onlink");
	host("ip route add 10.22.0.0/16 nexthop via 10.5.0.1 dev nic0 nexthop via 10.11.0.2 dev nic1");
	host("ip route add 10.23.0.0/16 via inet6 fe80::9 dev nic0");
	host("ip route add 10.24.0.0/16 via 10.5.0.1 dev nic0 table 300");
	host("ip -6 route add fd08::/64 nexthop via fd00:5::1 dev nic0 nexthop via fd00:5::9 dev nic0");
	host("ip -6 route add fd09::/64 from fd00:5::/64 via fd00:5::1 dev nic0");
	struct error warnings = {0};
	struct attach_plan *p = real_plan(w, "nic0", "net1", &warnings);
	assert_string_equal(warnings.text, "");
	attach(w, p);
	assert_shows(w->pod, "ip address show net1", "inet 10.5.0.2/24 brd 10.5.0.255 scope global net1");
	assert_shows(w->pod, "ip address show net1", "inet 10.6.0.1 peer 10.6.0.2/32 scope global net1");
	assert_shows(w->pod, "ip address show net1", "10.5.0.8/24 scope global secondary deprecated net1");
	assert_shows(w->pod, "ip address show net1", "inet6 fd00:6::2/64 metric 55 scope global nodad noprefixroute");
	assert_hides(w->pod, "ip -6 address show net1 scope global", "tentative");
	assert_shows(w->pod, "ip route", "10.7.0.0/16 via 10.5.0.1 dev net1 src 10.5.0.3 metric 50");
	assert_shows(w->pod, "ip route show table 300", "10.8.0.0/16 dev net1 scope link");
	assert_shows(w->pod, "ip route", "10.20.0.0/16 tos 0x08 via 10.5.0.1 dev net1 metric 9 mtu 1300 advmss 1200");
	assert_shows(w->pod, "ip route show 10.21.0.0/16", "nexthop via 10.5.0.1 dev net1 weight 3");
	assert_shows(w->pod, "ip route show 10.21.0.0/16", "nexthop via 10.9.9.9 dev net1 weight 1 onlink");
	assert_shows(w->pod, "ip route", "10.22.0.0/16 via 10.5.0.1 dev net1"); /* without the next hop that stays */
	assert_shows(w->pod, "ip route", "10.23.0.0/16 via inet6 fe80::9 dev net1");
	assert_shows(w->pod, "ip route show table 300", "10.24.0.0/16 via 10.5.0.1 dev net1");
	assert_shows(w->pod, "ip -6 route", "fd00:7::/64 via fd00:5::1 dev net1 src fd00:5::2");
	assert_shows(w->pod, "ip -6 route show fd08::/64", "nexthop via fd00:5::1 dev net1");
	assert_hides(w->pod, "ip -6 route", "fd09::");
	assert_shows(w->pod, "ip neigh show nud permanent", "10.5.0.9 dev net1 lladdr 02:00:00:00:09:09");
	assert_home(w, p);
	attach_plan_unref(p);

	/* Under its own name it keeps the labels. */
	p = real_plan(w, "nic0", "nic0", NULL);
	attach(w, p);
	assert_shows(w->pod, "ip address show nic0", "inet 10.6.0.1 peer 10.6.0.2/32 scope global nic0:p2p");
	assert_home(w, p);
	attach_plan_unref(p);
}

/* What was only copied gives way: the pod has such a route, and starts nevertheless. */
static void copied_routes_give_way(void **state)
{
	struct world *w = *state;
	make_rich_link();
	in_pod(w->pod, "ip link add eth0 type ifb && ip address add 192.0.2.1/24 dev eth0 && ip link set eth0 up && "
	               "ip route add 10.7.0.0/16 via 192.0.2.2 metric 50");
	struct attach_plan *p = real_plan(w, "nic0", "net1", NULL);
	attach(w, p);
	assert_shows(w->pod, "ip route", "10.7.0.0/16 via 192.0.2.2 dev eth0 metric 50");
	assert_home(w, p);
	assert_shows(w->pod, "ip route", "10.7.0.0/16 via 192.0.2.2 dev eth0 metric 50");
	attach_plan_unref(p);
}

/* ---- rules ----------------------------------------------------------------------------------------------------------------------- */

static void rules_have_every_selector(void **state)
{
	struct world *w = *state;
	struct address a[2];
	struct attach_plan p = bare_plan(w, "nic0", "net1", a);
	struct rule rules[] = {
	    {.has_priority = true, .priority = 10, .source = a[0].prefix, .table = 700},
	    {.table = 701, .family = IP_V6, .has_mark = true, .mark = 0x10, .mask = 0xff},
	    {.table = 702, .has_mark = true, .mark = 7, .iif = "net1", .oif = "eth0", .destination = a[0].prefix},
	    {.table = 7000000, .has_priority = true, .priority = 4000000, .source = a[1].prefix},
	    {.table = 703},
	    {.table = 703, .has_priority = true, .priority = 9000},
	};
	p.pod.rules = rules, p.pod.n_rules = ELEMENTS(rules);
	in_pod(w->pod, "ip rule add lookup 703 priority 9000 && ip rule add from 192.0.2.0/24 lookup 703 priority 32760");
	char *before = settled_dump_of(w->pod);
	for (int times = 0; times < 2; times++) {
		attach(w, &p);
		assert_shows(w->pod, "ip rule", "10:\tfrom 192.0.2.0/24 lookup 700 proto 211");
		assert_shows(w->pod, "ip -6 rule", "from all fwmark 0x10/0xff lookup 701 proto 211");
		assert_shows(w->pod, "ip rule", "from all to 192.0.2.0/24 fwmark 0x7 iif net1 oif eth0 [detached] lookup 702 proto 211");
		assert_shows(w->pod, "ip -6 rule", "4000000:\tfrom fd00:1::/64 lookup 7000000 proto 211");
		assert_shows(w->pod, "ip rule", "8999:\tfrom all to 192.0.2.0/24"); /* the kernel's choice */
		assert_shows(w->pod, "ip rule", "8998:\tfrom all lookup 703 proto 211");
		assert_shows(w->pod, "ip rule | grep -c 'lookup 703 proto'", "2");
	}
	assert_home(w, &p);
	assert_is_still(w->pod, before);
	host_state_free(&p.host);
}

/* The kernel deletes the first rule that fits, and a selector that is not said fits all. */
static void the_rule_that_was_meant_is_removed(void **state)
{
	struct world *w = *state;
	struct address a[2], b[2];
	struct attach_plan p = bare_plan(w, "nic0", "net1", a), q = bare_plan(w, "nic1", "net2", b);
	struct rule narrow[] = {{.has_priority = true, .priority = 100, .source = a[0].prefix, .table = 700},
	                        {.has_priority = true, .priority = 100, .has_mark = true, .mark = 9, .table = 700}},
		    wide = {.has_priority = true, .priority = 100, .table = 700};
	q.pod.n_addresses = 0;
	p.pod.rules = narrow, p.pod.n_rules = 2;
	q.pod.rules = &wide, q.pod.n_rules = 1;
	attach(w, &p);
	attach(w, &q);
	assert_shows(w->pod, "ip rule | grep -c 'lookup 700'", "3");
	assert_home(w, &q);
	assert_shows(w->pod, "ip rule | grep -c 'lookup 700'", "2");
	assert_shows(w->pod, "ip rule", "100:\tfrom 192.0.2.0/24 lookup 700");
	assert_shows(w->pod, "ip rule", "100:\tfrom all fwmark 0x9 lookup 700");
	assert_home(w, &p);
	assert_hides(w->pod, "ip rule", "lookup 700");
	host_state_free(&p.host);
	host_state_free(&q.host);
}

static void add_host_rules(void)
{
	host("ip rule add from 10.20.30.0/24 to 10.40.0.0/16 tos 8 fwmark 0x1/0xf iif nic0 ipproto tcp sport 80 dport 1000-2000 uidrange "
	     "0-99 "
	     "priority 500 lookup 300");
	host("ip rule add not from 10.20.0.0/16 iif lo priority 0 lookup 300 protocol static");
	host("ip rule add lookup 300 suppress_prefixlength 8 priority 501");
	host("ip rule add oif nic0 priority 502 lookup main");
	host("ip rule add iif nic0 priority 503 prohibit");
	host("ip -6 rule add from fd00:9::/64 priority 504 lookup 300");
	/* None of these goes along. */
	host("ip rule add from 10.66.0.0/16 priority 600 lookup main && ip rule add from 10.66.0.0/16 priority 601 lookup 301");
	host("ip rule add iif other priority 602 lookup 300 && ip rule add iif nic0 priority 603 goto 32766");
}

static void rules_of_the_host_move_along(void **state)
{
	struct world *w = *state;
	make_rich_link();
	add_host_rules();
	host("ip route add 10.9.0.0/16 via 10.5.0.1 dev nic0 table 300");
	host("ip link add nic1 type veth peer name peer1 && ip link set nic1 up && ip link set peer1 up");
	host("timeout 10 sh -c 'until grep -q up /sys/class/net/nic1/operstate; do :; done'");
	host("ip address add 10.77.0.1/24 dev nic1 && ip route add 10.78.0.0/16 via 10.77.0.9 table 300");
	struct attach_plan *p = real_plan(w, "nic0", "net1", NULL), *q = real_plan(w, "nic1", "net2", NULL);
	char *host_before = settled_dump(), *pod_before = settled_dump_of(w->pod);
	attach(w, p);
	attach(w, p);
	assert_shows(w->pod, "ip rule",
	             "500:\tfrom 10.20.30.0/24 to 10.40.0.0/16 tos 0x08 fwmark 0x1/0xf iif net1 uidrange 0-99 ipproto tcp "
	             "sport 80 dport 1000-2000 lookup 300 proto 211");
	assert_shows(w->pod, "ip rule", "0:\tnot from 10.20.0.0/16 iif lo lookup 300 proto 211");
	assert_shows(w->pod, "ip rule", "501:\tfrom all lookup 300 suppress_prefixlength 8 proto 211");
	assert_shows(w->pod, "ip rule", "502:\tfrom all oif net1 lookup main proto 211");
	assert_shows(w->pod, "ip rule", "503:\tfrom all iif net1 prohibit proto 211");
	assert_shows(w->pod, "ip -6 rule", "504:\tfrom fd00:9::/64 lookup 300 proto 211");
	assert_shows(w->pod, "ip rule | grep -c proto", "5");
	assert_shows(w->pod, "ip -6 rule | grep -c proto", "1");
	attach(w, q); /* brings three of the same */
	assert_shows(w->pod, "ip rule | grep -c proto", "5");
	assert_home(w, q);
	assert_home(w, p);
	assert_is_still(w->pod, pod_before);
	assert_host_is_still(host_before);
	attach_plan_unref(p);
	attach_plan_unref(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    kernel_test(routes_bear_all_that_was_asked_for), kernel_test(what_is_asked_of_a_network_leaves_the_pods_way_to_it),
	    kernel_test(what_the_host_had_moves_along),      kernel_test(copied_routes_give_way),
	    kernel_test(rules_have_every_selector),          kernel_test(the_rule_that_was_meant_is_removed),
	    kernel_test(rules_of_the_host_move_along),
	};
	return fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
