/* SPDX-License-Identifier: Apache-2.0 */
/* VRFs: their messages, and devices of a pod in them on the real kernel, where that has VRFs. */
#include "mover_fixture.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "netlink/vrf.h"

static struct nl_msg *link_message(const char *kind, const uint32_t *table, uint32_t group)
{
	struct nl_msg *m = link_request(RTM_NEWLINK, 7, 0, 0);
	assert_non_null(m);
	nla_put_string(m, IFLA_IFNAME, "red");
	nla_put_u32(m, IFLA_GROUP, group);
	struct nlattr *info = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, kind);
	struct nlattr *data = nla_nest_start(m, IFLA_INFO_DATA);
	if (table)
		nla_put_u32(m, IFLA_VRF_TABLE, *table);
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	return m;
}

static int parse(struct nl_msg *m, struct vrf *ret)
{
	int r = vrf_parse(nlmsg_hdr(m), ret);
	nlmsg_free(m);
	return r;
}

static void vrfs_are_read(void **state)
{
	(void)state;
	struct vrf v = {0};
	const uint32_t table = 4000000;
	assert_int_equal(parse(link_message("vrf", &table, 5), &v), 0);
	assert_int_equal(v.table, 4000000);
	assert_int_equal(v.group, 5);
	assert_string_equal(v.link.ifname, "red");
	/* The same number is something else in a link of another kind. */
	assert_int_equal(parse(link_message("vxlan", &table, 0), &v), 0);
	assert_int_equal(v.table, 0);
	v.table = 77;
	assert_int_equal(parse(link_message("vrf", NULL, 0), &v), -EBADMSG);
	assert_int_equal(v.table, 77);
}

static struct attach_plan vrf_plan(struct world *w, const char *ifname, const char *pod_name, struct address *address, const char *text)
{
	struct attach_plan p = plan_for(w, ifname, pod_name);
	*address = make_address(text);
	p.pod.addresses = address, p.pod.n_addresses = 1;
	strcpy(p.pod.vrf_name, "red");
	p.pod.vrf_table = 70;
	return p;
}

static bool kernel_has_vrf(void)
{
	char *text = text_of(-1, "ip link add probe type vrf table 1 2>&1 && ip link delete probe");
	bool has = text[0] == '\0';
	free(text);
	return has;
}

/* Ends the test when it is so; what a caller does then is only for readers, the test does not come back. */
static bool skipped_because(bool so, const char *reason)
{
	if (!so)
		return false;
	printf("SKIPPED: %s\n", reason);
	skip();
	return true;
}

/* A kernel without VRFs refuses the device before it has moved. */
static void kernel_without_vrf_refuses(void **state)
{
	struct world *w = *state;
	struct address a;
	if (skipped_because(kernel_has_vrf(), "this kernel has VRFs"))
		return;
	host("ip link add nic0 type ifb && ip address add 10.5.0.2/24 dev nic0");
	struct attach_plan p = vrf_plan(w, "nic0", "net1", &a, "192.0.2.10/24");
	char *before = settled_dump();
	struct error e = attach_fails(w, &p, -EOPNOTSUPP);
	assert_string_equal(e.text, "interface.vrf: cannot make red: this kernel has no VRF");
	assert_host_is_still(before);
	host_state_free(&p.host);
}

static void link_of_another_kind_is_refused(void **state)
{
	struct world *w = *state;
	struct address a;
	host("ip link add nic0 type ifb && ip link set nic0 up");
	in_pod(w->pod, "ip link add red type veth peer name other");
	struct attach_plan p = vrf_plan(w, "nic0", "net1", &a, "192.0.2.10/24");
	char *before = settled_dump();
	struct error e = attach_fails(w, &p, -EEXIST);
	assert_string_equal(e.text, "interface.vrf: the pod has a link red, and it is no VRF but of kind veth");
	assert_host_is_still(before);
	assert_shows(w->pod, "ip link show red", "red");
	host_state_free(&p.host);
}

static void another_table_is_refused(void **state)
{
	struct world *w = *state;
	struct address a;
	if (skipped_because(!kernel_has_vrf(), "this kernel has no VRF"))
		return;
	host("ip link add nic0 type ifb && ip link set nic0 up");
	in_pod(w->pod, "ip link add red type vrf table 71");
	struct attach_plan p = vrf_plan(w, "nic0", "net1", &a, "192.0.2.10/24");
	char *before = settled_dump();
	struct error e = attach_fails(w, &p, -EEXIST);
	assert_string_equal(e.text, "interface.vrf: the pod has a VRF red, with table 71 and not 70");
	assert_host_is_still(before);
	assert_shows(w->pod, "ip -d link show red", "table 71");
	host_state_free(&p.host);
}

static void several_devices_share_one(void **state)
{
	struct world *w = *state;
	struct address a, b;
	if (skipped_because(!kernel_has_vrf(), "this kernel has no VRF"))
		return;
	host("ip link add nic0 type ifb && ip link add nic1 type ifb");
	struct attach_plan p = vrf_plan(w, "nic0", "net1", &a, "fd00:1::10/64"), q = vrf_plan(w, "nic1", "net2", &b, "192.0.2.10/24");
	struct route routes[] = {make_route("fd00:2::/64", "fd00:1::1"), make_route("198.51.100.0/24", "192.0.2.1")};
	char *before = settled_dump();
	routes[0].table = routes[1].table = 70; /* as the plan has it */
	p.pod.routes = routes, p.pod.n_routes = 1;
	q.pod.routes = routes + 1, q.pod.n_routes = 1;
	for (int times = 0; times < 2; times++) {
		attach(w, &p);
		attach(w, &q);
		assert_shows(w->pod, "ip -d link show red", "vrf table 70");
		assert_shows(w->pod, "ip link show master red", "net1");
		assert_shows(w->pod, "ip link show master red", "net2");
		assert_shows(w->pod, "ip link show group 211", "red");
		/* What an enslaved link loses came after. */
		assert_shows(w->pod, "ip -6 address show net1", "fd00:1::10/64");
		assert_shows(w->pod, "ip -6 route show table 70", "fd00:1::/64 dev net1");
		assert_shows(w->pod, "ip -6 route show table 70", "fd00:2::/64 via fd00:1::1 dev net1");
		assert_shows(w->pod, "ip route show vrf red", "192.0.2.0/24 dev net2");
		assert_shows(w->pod, "ip route show vrf red", "198.51.100.0/24 via 192.0.2.1 dev net2");
		assert_shows(w->pod, "ip rule", "lookup [l3mdev-table]");
		assert_shows(w->pod, "cat /proc/sys/net/ipv4/tcp_l3mdev_accept /proc/sys/net/ipv4/udp_l3mdev_accept", "1\n1");
	}
	assert_home(w, &p);
	assert_shows(w->pod, "ip link show master red", "net2");
	assert_home(w, &q);
	assert_hides(w->pod, "ip link", "red");
	assert_host_is_still(before);
	host_state_free(&p.host);
	host_state_free(&q.host);
}

/* One that the pod made itself is joined, and is still the pod's when the device has left. */
static void the_pods_own_vrf_stays(void **state)
{
	struct world *w = *state;
	struct address a;
	if (skipped_because(!kernel_has_vrf(), "this kernel has no VRF"))
		return;
	host("ip link add nic0 type ifb");
	in_pod(w->pod, "ip link add red type vrf table 70");
	struct attach_plan p = vrf_plan(w, "nic0", "net1", &a, "192.0.2.10/24");
	attach(w, &p);
	assert_shows(w->pod, "ip link show master red", "net1");
	assert_shows(w->pod, "ip link show red", ",UP");
	assert_home(w, &p);
	assert_shows(w->pod, "ip link show red", "red");
	host_state_free(&p.host);
}

/* A failure after the VRF was made takes it away, too. */
static void failed_attach_leaves_no_vrf(void **state)
{
	struct world *w = *state;
	struct address a;
	if (skipped_because(!kernel_has_vrf(), "this kernel has no VRF"))
		return;
	host("ip link add nic0 type ifb && ip link set nic0 up");
	struct attach_plan p = vrf_plan(w, "nic0", "net1", &a, "ff02::5/64"); /* multicast */
	char *before = settled_dump();
	attach_fails(w, &p, -EADDRNOTAVAIL);
	assert_hides(w->pod, "ip link", "red");
	in_pod(w->pod, "ip link add net1 type ifb");
	attach_fails(w, &p, -EEXIST);
	assert_hides(w->pod, "ip link", "red");
	assert_host_is_still(before);
	host_state_free(&p.host);
}

/* In the pod already, but not in the VRF: a daemon of an earlier version brought it. */
static void device_in_the_pod_joins_later(void **state)
{
	struct world *w = *state;
	struct address a;
	if (skipped_because(!kernel_has_vrf(), "this kernel has no VRF"))
		return;
	host("ip link add nic0 type veth peer name peer0 && ip link set peer0 up");
	struct attach_plan p = vrf_plan(w, "nic0", "net1", &a, "fd00:1::10/64");
	p.pod.vrf_name[0] = '\0';
	attach(w, &p);
	strcpy(p.pod.vrf_name, "red");
	attach(w, &p);
	assert_shows(w->pod, "ip -6 address show net1", "fd00:1::10/64");
	assert_shows(w->pod, "ip -6 route show table 70", "fd00:1::/64 dev net1");
	assert_home(w, &p);
	host_state_free(&p.host);
}

int main(void)
{
	const struct CMUnitTest parsers[] = {cmocka_unit_test(vrfs_are_read)};
	const struct CMUnitTest tests[] = {
	    kernel_test(kernel_without_vrf_refuses),    kernel_test(link_of_another_kind_is_refused),
	    kernel_test(another_table_is_refused),      kernel_test(several_devices_share_one),
	    kernel_test(the_pods_own_vrf_stays),        kernel_test(failed_attach_leaves_no_vrf),
	    kernel_test(device_in_the_pod_joins_later),
	};
	int failed = cmocka_run_group_tests(parsers, NULL, NULL);
	return failed + (fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0);
}
