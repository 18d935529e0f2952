/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the mover on the real kernel share: a host, a pod, plans, and a dump of everything. */
#pragma once

#include "netns_fixture.h"

#include <errno.h>
#include <net/if.h>
#include <time.h>

#include "netlink/mover.h"
#include "netlink/sysfs.h"

struct world {
	struct sysfs *sysfs;
	struct mover *mover;
	int pod;
};

/* It takes two seconds for each new link; only the test that is about it needs it. */
static inline void duplicate_address_detection(bool on)
{
	host("echo %d > /proc/sys/net/ipv6/conf/default/accept_dad", on);
}

static inline int world_setup(void **state)
{
	static struct world w;
	struct error e = {0};
	fixture_new_host();
	host("ip link set lo up");
	duplicate_address_detection(false);
	w.pod = fixture_new_pod();
	if (sysfs_open("/sys", &w.sysfs, &e) < 0 || mover_new(w.sysfs, &w.mover, &e) < 0)
		fail_msg("%s", e.text);
	*state = &w;
	return 0;
}

static inline int world_teardown(void **state)
{
	struct world *w = *state;
	mover_free(w->mover);
	sysfs_close(w->sysfs);
	close(w->pod);
	return 0;
}

static inline struct address make_address(const char *text)
{
	struct address a = {0};
	assert_int_equal(ip_prefix_parse(text, &a.prefix), 0);
	return a;
}

static inline struct route make_route(const char *destination, const char *gateway)
{
	struct route r = {.scope = gateway ? 0 : 253};
	assert_int_equal(ip_prefix_parse(destination, &r.destination), 0);
	if (gateway)
		assert_int_equal(ip_address_parse(gateway, &r.gateway), 0);
	return r;
}

/* A plan for a link as it is now; the caller sets what the pod gets. */
static inline struct attach_plan plan_for(struct world *w, const char *ifname, const char *pod_name)
{
	struct attach_plan p = {.references = 1};
	struct error e = {0};
	network_config_init(&p.pod);
	if (mover_snapshot(w->mover, (int32_t)if_nametoindex(ifname), ifname, &p.host, &e) < 0)
		fail_msg("snapshot of %s: %s", ifname, e.text);
	strcpy(p.pod.ifname, pod_name);
	strcpy(p.facts.ifname, ifname);
	strcpy(p.facts.type, p.host.type);
	p.facts.ifindex = p.host.ifindex;
	p.facts.mac = p.host.mac;
	return p;
}

static inline struct move_result attach(struct world *w, const struct attach_plan *p)
{
	struct move_result r;
	struct error e = {0};
	if (mover_attach(w->mover, p, NULL, w->pod, &r, &e) < 0)
		fail_msg("attach: %s", e.text);
	assert_int_equal(r.place, PLACE_POD);
	return r;
}

static inline struct error attach_fails(struct world *w, const struct attach_plan *p, int code)
{
	struct move_result r;
	struct error e = {0};
	assert_int_equal(mover_attach(w->mover, p, NULL, w->pod, &r, &e), code);
	assert_int_equal(e.code, code);
	assert_int_equal(r.place, PLACE_HOST);
	assert_string_equal(r.differences, "");
	return e;
}

static inline struct move_result detach(struct world *w, const struct attach_plan *p, int pod)
{
	struct move_result r;
	struct error e = {0};
	if (mover_detach(w->mover, p, pod, &r, &e) < 0)
		fail_msg("detach: %s", e.text);
	return r;
}

static inline void assert_home(struct world *w, const struct attach_plan *p)
{
	struct move_result r = detach(w, p, w->pod);
	assert_int_equal(r.place, PLACE_HOST);
	assert_string_equal(r.differences, "");
}

/* Everything iproute2, ethtool and /proc can tell of the host (-1) or a pod, without what differs from second to second. */
static inline char *full_dump(int pod)
{
	return text_of(
	    pod, "ip -d address show | grep -v valid_lft; ip -d link show; (ip route show table all; ip -6 route show table all) | sort; "
		 "ip rule; ip -6 rule; ip neigh show nud permanent; ip neigh show proxy; ip nexthop; tc qdisc show | sort; "
		 "for l in nic0 v0; do ethtool -k $l; grep -s . /proc/sys/net/ipv[46]/conf/$l/*; done 2>/dev/null");
}

static inline char *settled_dump_of(int pod)
{
	/* Duplicate address detection of the link-local addresses is the only thing that is still going on. */
	char *text = NULL;
	time_t deadline = time(NULL) + 20;
	do {
		free(text);
		text = full_dump(pod);
	} while (strstr(text, "tentative") && time(NULL) < deadline);
	assert_null(strstr(text, "tentative"));
	return text;
}

static inline char *settled_dump(void)
{
	return settled_dump_of(-1);
}

static inline void print_lines_only_in(const char *sign, const char *a, const char *b)
{
	char line[512];
	for (size_t n; *a; a += n + (a[n] == '\n')) {
		n = strcspn(a, "\n");
		snprintf(line, sizeof(line), "%.*s\n", (int)n, a);
		if (!strstr(b, line))
			print_error("%s %s", sign, line);
	}
}

/* Compares and frees. The kernel tells of carriers a moment later. */
static inline void assert_is_still(int pod, char *before)
{
	time_t deadline = time(NULL) + 10;
	char *after = settled_dump_of(pod);
	while (strcmp(before, after) != 0 && time(NULL) < deadline) {
		free(after);
		after = settled_dump_of(pod);
	}
	if (strcmp(before, after) != 0) {
		print_lines_only_in("was", before, after);
		print_lines_only_in("is ", after, before);
		fail_msg("the %s is not as it was; before:\n%s", pod < 0 ? "host" : "pod", before);
	}
	free(before);
	free(after);
}

static inline void assert_host_is_still(char *before)
{
	assert_is_still(-1, before);
}

static inline void make_rich_link(void)
{
	host("ip link add nic0 type veth peer name peer0 && ip link set peer0 addrgenmode none up");
	host("ip link set nic0 address 02:00:00:00:01:01 mtu 1400 txqueuelen 77");
	host("ip address add 10.5.0.2/24 broadcast 10.5.0.255 dev nic0");
	host("ip address add 10.5.0.3/24 dev nic0");
	host("ip address add 10.6.0.1 peer 10.6.0.2/32 dev nic0 label nic0:p2p");
	host("ip address add fd00:5::2/64 dev nic0 nodad");
	host("ip address add fd00:6::2/64 dev nic0 noprefixroute metric 55");
	host("ip link set nic0 up");
	host("timeout 10 sh -c 'until grep -q up /sys/class/net/nic0/operstate && grep -q up /sys/class/net/peer0/operstate; do :; done'");
	host("ip route add 10.7.0.0/16 via 10.5.0.1 src 10.5.0.3 metric 50");
	host("ip route add 10.8.0.0/16 dev nic0 scope link table 300");
	host("ip -6 route add fd00:7::/64 via fd00:5::1 src fd00:5::2");
	host("ip neigh add 10.5.0.9 lladdr 02:00:00:00:09:09 dev nic0");
}

#define kernel_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
