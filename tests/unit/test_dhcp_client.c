/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP client and what the mover makes of a lease, on the real kernel against dnsmasq. */
#include "dhcp_fixture.h"
#include "mover_fixture.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "core/base/str.h"
#include "netlink/dhcp.h"
#include "netlink/mover_internal.h"
#include "netlink/mover_lease.h"

struct lan {
	struct world *w;
	uv_loop_t loop;
	uv_timer_t deadline;
	int server; /* namespace */
	char dir[64];
	struct dhcp_client *client;
	/* of the last report */
	unsigned reports;
	int result;
	char error[ERROR_TEXT_MAX];
	struct leases *leases;
	char declined[ERROR_TEXT_MAX]; /* the last */
};

static void on_declined(const char *text, void *user)
{
	struct lan *l = user;
	STR_CUT(l->declined, text);
}

static void on_report(struct dhcp_client *c, int result, const char *error, struct leases *leases, void *user)
{
	struct lan *l = user;
	assert_ptr_equal(c, l->client);
	l->reports++;
	l->result = result;
	STR_CUT(l->error, error ? error : "");
	leases_unref(l->leases);
	l->leases = leases;
}

static void on_late(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing was reported");
}

static void wait_for_report(struct lan *l)
{
	unsigned before = l->reports;
	uv_update_time(&l->loop);
	uv_timer_start(&l->deadline, on_late, 60000, 0);
	while (l->reports == before)
		uv_run(&l->loop, UV_RUN_ONCE);
	uv_timer_stop(&l->deadline);
}

/* dnsmasq has written its pid when it is ready. */
static void start_server(struct lan *l, const char *options)
{
	in_pod(l->server,
	       "dnsmasq --conf-file=/dev/null --user=root --port=0 --no-ping --interface=srv0 --log-dhcp --log-facility=%s/log "
	       "--pid-file=%s/pid --dhcp-leasefile=%s/leases --dhcp-authoritative %s",
	       l->dir, l->dir, l->dir, options);
}

static void stop_server(struct lan *l)
{
	char path[96];
	int pid = 0;
	snprintf(path, sizeof(path), "%s/pid", l->dir);
	FILE *f = fopen(path, "r");
	if (!f)
		return;
	if (fscanf(f, "%d", &pid) == 1 && pid > 1)
		kill(pid, SIGKILL);
	fclose(f);
	unlink(path);
}

static int setup(void **state)
{
	static struct lan l;
	void *w = NULL;
	l = (struct lan){.dir = "/tmp/test-dhcp-XXXXXX"};
	world_setup(&w);
	l.w = w;
	assert_non_null(mkdtemp(l.dir));
	l.server = fixture_new_pod();
	host("ip link add nic0 address 02:00:00:00:0a:01 type veth peer name srv0 netns /proc/%d/fd/%d", (int)getpid(), l.server);
	in_pod(l.server, "echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/srv0/accept_dad;"
	                 "ip addr add 192.0.2.1/24 dev srv0; ip addr add fd00:2::1/64 dev srv0 nodad; ip link set srv0 up");
	/* A link that has never been up has a queueing discipline that it does not get again. */
	host("ip link set nic0 up; ip link set nic0 down");
	assert_int_equal(uv_loop_init(&l.loop), 0);
	assert_int_equal(uv_timer_init(&l.loop, &l.deadline), 0);
	*state = &l;
	return 0;
}

static int teardown(void **state)
{
	struct lan *l = *state;
	void *w = l->w;
	stop_server(l);
	dhcp_client_close(l->client);
	uv_close((uv_handle_t *)&l->deadline, NULL);
	uv_run(&l->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&l->loop), 0);
	leases_unref(l->leases);
	close(l->server);
	host("rm -rf %s", l->dir);
	return world_teardown(&w);
}

static const char usual[] =
    "--dhcp-range=192.0.2.50,192.0.2.90,255.255.255.0,2m --dhcp-option=3,192.0.2.1 --dhcp-option=26,1400 "
    "--dhcp-option=6,192.0.2.53 --domain=lab.example --dhcp-option=121,198.51.100.0/24,192.0.2.7,0.0.0.0/0,192.0.2.1";
static const char both[] = "--dhcp-range=192.0.2.50,192.0.2.90,255.255.255.0,2m --dhcp-range=fd00:2::50,fd00:2::90,64,2m "
			   "--dhcp-option=option6:dns-server,[fd00:2::53]";

static struct attach_plan dhcp_plan(struct lan *l, bool v6)
{
	struct attach_plan p = plan_for(l->w, "nic0", "net1");
	p.pod.dhcp = 1;
	p.pod.dhcp6 = v6;
	return p;
}

/* What EFFECT_LEASE does. */
static void ask(struct lan *l, const struct attach_plan *p, const struct leases *known, uint32_t limit_ms)
{
	struct error e = {0};
	struct dhcp_options o = {.mac = p->pod.mac.length ? p->pod.mac : p->host.mac,
	                         .v4 = p->pod.dhcp == 1,
	                         .v6 = p->pod.dhcp6 == 1,
	                         .known = known,
	                         .limit_ms = limit_ms,
	                         .report = on_report,
	                         .declined = on_declined,
	                         .user = l};
	if (mover_lease_begin(l->w->mover, p, &o.place, &e) < 0)
		fail_msg("%s", e.text);
	if (dhcp_client_start(&l->loop, &o, &l->client, &e) < 0)
		fail_msg("%s", e.text);
	wait_for_report(l);
	dhcp_client_close(l->client);
	l->client = NULL;
	if (mover_lease_end(l->w->mover, p, &e) < 0)
		fail_msg("%s", e.text);
}

static int pod_namespace(void *user)
{
	const struct lan *l = user;
	return l->w->pod;
}

static void keep(struct lan *l, const struct attach_plan *p, const struct leases *known)
{
	struct error e = {0};
	struct dhcp_options o = {.place = {.netns_fd = -1, .ifname = "net1", .ifindex = p->host.ifindex, .mac = p->host.mac},
	                         .netns = pod_namespace,
	                         .mac = p->host.mac,
	                         .v4 = p->pod.dhcp == 1,
	                         .v6 = p->pod.dhcp6 == 1,
	                         .known = known,
	                         .report = on_report,
	                         .user = l};
	if (dhcp_client_start(&l->loop, &o, &l->client, &e) < 0)
		fail_msg("%s", e.text);
}

static void attach_with(struct lan *l, const struct attach_plan *p, const struct leases *leases)
{
	struct move_result r;
	struct error e = {0};
	if (mover_attach(l->w->mover, p, leases, l->w->pod, &r, &e) < 0)
		fail_msg("attach: %s", e.text);
}

static void wait_for_log(struct lan *l, const char *text)
{
	host("timeout 10 sh -c 'until grep -q \"%s\" %s/log; do sleep 0.05; done'", text, l->dir);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------- */

static void test_lease_of_a_link_that_is_down(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	char *before = settled_dump();
	start_server(l, usual);
	ask(l, &p, NULL, 20000);
	assert_int_equal(l->result, 0);
	const struct lease *v4 = &l->leases->v4;
	assert_true(v4->held);
	assert_int_equal(v4->valid, 120);
	assert_int_equal(v4->mtu, 1400);
	assert_int_equal(v4->n_routes, 2);
	assert_int_equal(v4->n_dns, 1);
	assert_string_equal(v4->domain, "lab.example");
	assert_int_equal(v4->server_mac.length, 6);
	assert_false(l->leases->v6.held);
	assert_host_is_still(before);

	attach_with(l, &p, l->leases);
	char *text = text_of(l->w->pod, "ip -4 -o addr show dev net1");
	unsigned valid = 0;
	assert_non_null(strstr(text, "inet 192.0.2."));
	assert_non_null(strstr(text, "/24 brd 192.0.2.255 "));
	assert_int_equal(sscanf(strstr(text, "valid_lft"), "valid_lft %usec", &valid), 1);
	assert_true(valid > 90 && valid <= 120);
	free(text);
	assert_shows(l->w->pod, "ip -4 route", "default via 192.0.2.1 dev net1 proto dhcp");
	assert_shows(l->w->pod, "ip -4 route", "198.51.100.0/24 via 192.0.2.7 dev net1 proto dhcp");
	assert_shows(l->w->pod, "ip link show dev net1", "mtu 1400");
	in_pod(l->w->pod, "busybox ping -c 1 -W 5 192.0.2.1 >/dev/null");
	assert_home(l->w, &p);
	host_state_free(&p.host);
}

/* Half of the time is over: the server is asked by itself, and its answer found in the pod. */
static void test_renewal_and_release(void **state)
{
	struct lan *l = *state;
	host("ip link set nic0 up");
	struct attach_plan p = dhcp_plan(l, true);
	start_server(l, both);
	ask(l, &p, NULL, 20000);
	if (l->result < 0)
		fail_msg("%s", l->error);
	assert_true(l->leases->v4.held);
	assert_true(l->leases->v6.held);
	assert_int_equal(l->leases->v6.addresses[0].prefix.length, 128);
	assert_int_equal(l->leases->v6.n_dns, 1);
	attach_with(l, &p, l->leases);
	assert_shows(l->w->pod, "ip -6 -o addr show dev net1", "inet6 fd00:2::");

	/* As if it had been taken a minute ago; the families renew one after the other. */
	struct leases *old = leases_ref(l->leases);
	old->v4.taken_at -= 60000;
	old->v6.taken_at -= 60000;
	uint64_t then4 = old->v4.taken_at, then6 = old->v6.taken_at;
	keep(l, &p, old);
	while (l->leases->v4.taken_at == then4 || l->leases->v6.taken_at == then6) {
		wait_for_report(l);
		assert_int_equal(l->result, 0);
		assert_true(l->leases->v4.held && l->leases->v6.held);
	}
	assert_true(ip_prefix_equal(&l->leases->v4.addresses[0].prefix, &old->v4.addresses[0].prefix));
	leases_unref(old);

	struct error e = {0};
	const struct dhcp_place place = {.netns_fd = l->w->pod, .ifname = "net1"};
	/* It writes them after it has answered. */
	host("timeout 10 sh -c 'until test $(wc -l < %s/leases) -ge 2; do sleep 0.05; done'", l->dir);
	if (dhcp_release(&place, &p.host.mac, l->leases, &e) < 0)
		fail_msg("%s", e.text);
	wait_for_log(l, "DHCPRELEASE(srv0) 192.0.2");
	wait_for_log(l, "release received"); /* DHCPv6 */
	host_state_free(&p.host);
}

/* It went down after it was asked over: its link-local address is new, and the kernel looks for others who have it. */
static void test_release_over_a_link_that_was_down(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, true);
	struct dhcp_place place;
	struct dhcp_link link;
	struct error e = {0};
	start_server(l, both);
	ask(l, &p, NULL, 20000);
	if (l->result < 0)
		fail_msg("%s", l->error);
	host("cd /proc/sys/net/ipv6/conf/nic0; echo 1 > accept_dad; echo 30 > dad_transmits"); /* half a minute */
	if (mover_lease_begin(l->w->mover, &p, &place, &e) < 0)
		fail_msg("%s", e.text);
	while (dhcp_link_look(&place, &link, &e) == 0 && !link.running)
		usleep(1000);
	host("timeout 10 sh -c 'until ip -6 addr show dev nic0 tentative | grep -q fe80; do sleep 0.01; done'");
	if (dhcp_release(&place, &p.host.mac, l->leases, &e) < 0)
		fail_msg("%s", e.text);
	wait_for_log(l, "DHCPRELEASE(srv0) 192.0.2");
	wait_for_log(l, "release received"); /* DHCPv6 */
	assert_int_equal(mover_lease_end(l->w->mover, &p, &e), 0);
	host_state_free(&p.host);
}

static long sleeps_of_this_thread(void)
{
	struct rusage u;
	assert_int_equal(getrusage(RUSAGE_THREAD, &u), 0);
	return u.ru_nvcsw;
}

/* A lease is given back on the loop, where a hook may be waiting. */
static void test_release_does_not_sleep(void **state)
{
	enum { ROUNDS = 20 };
	struct lan *l = *state;
	const struct dhcp_place place = {.netns_fd = l->server, .ifname = "srv0"};
	struct leases leases = {.v4 = {.held = true, .n_addresses = 1, .server = ip("192.0.2.1"), .server_mac = server_mac}};
	struct error e = {0};
	int without = 0;
	leases.v4.addresses[0].prefix = (struct ip_prefix){ip("192.0.2.50"), 24};
	host("ip link set nic0 up");
	for (int i = 0; i < ROUNDS; i++) {
		long before = sleeps_of_this_thread();
		if (dhcp_release(&place, &test_mac, &leases, &e) < 0)
			fail_msg("%s", e.text);
		without += sleeps_of_this_thread() == before;
	}
	/* A lock that somebody else has may be waited for now and then. */
	assert_true(without > 0);
}

/* The pod's link has another address than the host's: the answer cannot come to it. */
static void test_mac_of_the_pod(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	assert_int_equal(mac_parse("02:00:00:00:0c:0c", &p.pod.mac), 0);
	start_server(l, usual);
	ask(l, &p, NULL, 20000);
	assert_int_equal(l->result, 0);
	host("timeout 10 sh -c 'until grep -q 02:00:00:00:0c:0c %s/leases; do sleep 0.05; done'", l->dir);
	host_state_free(&p.host);
}

/* Where it is on the host is told by what it is there. */
static void test_renamed_while_it_asks(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	struct error e = {0};
	struct dhcp_place place;
	struct dhcp_link link;
	assert_int_equal(mac_parse("02:00:00:00:0c:0c", &p.pod.mac), 0);
	if (mover_lease_begin(l->w->mover, &p, &place, &e) < 0)
		fail_msg("%s", e.text);
	host("ip link set nic0 down; ip link set nic0 name mine");
	if (dhcp_link_look(&place, &link, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(link.ifname, "mine");
	host("ip link set mine name nic0");
	host_state_free(&p.host);
}

static void test_nobody_answers(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, true);
	char *before = settled_dump();
	ask(l, &p, NULL, 1500);
	assert_int_equal(l->result, -ETIMEDOUT);
	assert_non_null(strstr(l->error, " DISCOVER were sent, and no server offered a lease"));
	assert_non_null(strstr(l->error, "DHCPv6 on nic0: "));
	assert_null(l->leases);
	assert_host_is_still(before);
	host_state_free(&p.host);
}

/* One family alone is no success, and what it got is given back. */
static void test_one_family_answers(void **state)
{
	struct lan *l = *state;
	host("ip link set nic0 up");
	struct attach_plan p = dhcp_plan(l, true);
	start_server(l, usual);
	ask(l, &p, NULL, 3000);
	assert_int_equal(l->result, -ETIMEDOUT);
	assert_null(strstr(l->error, "DHCPv4"));
	assert_non_null(strstr(l->error, "DHCPv6 on nic0: "));
	wait_for_log(l, "DHCPRELEASE(srv0) 192.0.2");
	host_state_free(&p.host);
}

static void test_no_carrier(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	in_pod(l->server, "ip link set srv0 down");
	ask(l, &p, NULL, 300);
	assert_int_equal(l->result, -ETIMEDOUT);
	assert_string_equal(l->error, "DHCP on nic0: the link has no carrier");
	host_state_free(&p.host);
}

/* Somebody who was not given it by the server. */
static const char squatted[] = "--dhcp-range=192.0.2.60,192.0.2.60,255.255.255.0,2m --dhcp-host=02:00:00:00:0a:01,192.0.2.50";

static void test_address_is_in_use(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	in_pod(l->server, "ip addr add 192.0.2.50/32 dev lo");
	start_server(l, squatted);
	ask(l, &p, NULL, 20000);
	if (l->result < 0)
		fail_msg("%s", l->error);
	assert_true(is_ip(&l->leases->v4.addresses[0].prefix.address, "192.0.2.60"));
	assert_non_null(strstr(l->declined, "192.0.2.50 is in use by "));
	wait_for_log(l, "DHCPDECLINE(srv0) 192.0.2.50");
	host_state_free(&p.host);
}

/* No other is to be had. */
static void test_all_addresses_are_in_use(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	in_pod(l->server, "ip addr add 192.0.2.50/32 dev lo; ip addr add 192.0.2.60/32 dev lo");
	start_server(l, squatted);
	ask(l, &p, NULL, 1500);
	assert_int_equal(l->result, -ETIMEDOUT);
	assert_non_null(strstr(l->error, "DHCPv4 on nic0: what servers gave was no use "));
	assert_non_null(strstr(l->error, " is in use by "));
	host_state_free(&p.host);
}

/* The host's own address goes with the device, whoever answers for it meanwhile: another link of the host does. */
static void test_address_of_the_host(void **state)
{
	struct lan *l = *state;
	host("ip addr add 192.0.2.50/24 dev nic0");
	struct attach_plan p = dhcp_plan(l, false);
	in_pod(l->server, "ip addr add 192.0.2.50/32 dev lo");
	start_server(l, squatted);
	ask(l, &p, NULL, 20000);
	if (l->result < 0)
		fail_msg("%s", l->error);
	assert_true(is_ip(&l->leases->v4.addresses[0].prefix.address, "192.0.2.50"));
	assert_string_equal(l->declined, "");
	host_state_free(&p.host);
}

static void test_earlier_lease_is_confirmed_or_not(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	start_server(l, usual);
	ask(l, &p, NULL, 20000);
	assert_int_equal(l->result, 0);
	struct leases *known = leases_ref(l->leases);
	host(": > %s/log", l->dir);
	ask(l, &p, known, 20000);
	assert_int_equal(l->result, 0);
	assert_true(ip_prefix_equal(&l->leases->v4.addresses[0].prefix, &known->v4.addresses[0].prefix));
	host("! grep -q DHCPDISCOVER %s/log", l->dir);
	/* An address of another network: refused, and asked for anew. */
	assert_int_equal(ip_prefix_parse("10.9.9.9/24", &known->v4.addresses[0].prefix), 0);
	ask(l, &p, known, 20000);
	assert_int_equal(l->result, 0);
	host("grep -q DHCPNAK %s/log", l->dir);
	assert_false(ip_prefix_equal(&l->leases->v4.addresses[0].prefix, &known->v4.addresses[0].prefix));
	leases_unref(known);
	host_state_free(&p.host);
}

static struct leases *made_leases(const char *address, const char *router)
{
	struct leases *m = leases_new();
	m->v4 = (struct lease){.held = true, .taken_at = boottime_ms(), .valid = 100, .n_addresses = 1, .n_routes = 1};
	m->v4.addresses[0] = (struct lease_address){.valid = 100, .preferred = 100};
	assert_int_equal(ip_prefix_parse(address, &m->v4.addresses[0].prefix), 0);
	m->v4.routes[0].destination.address.family = IP_V4;
	assert_int_equal(ip_address_parse(router, &m->v4.routes[0].gateway), 0);
	return m;
}

static void apply(struct lan *l, const struct attach_plan *p, const struct leases *old, const struct leases *leases)
{
	struct move_result r;
	struct error e = {0};
	if (mover_apply_leases(l->w->mover, p, old, leases, l->w->pod, &r, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(r.place, PLACE_POD);
	assert_int_equal(r.pod.n_addresses, leases ? leases->v4.n_addresses : 0);
}

/* Another address of the same network, a router that is on none, the end, and a new beginning; the pod's own default stays. */
static void test_leases_change_in_the_pod(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	struct leases *a = made_leases("192.0.2.50/24", "192.0.2.1"), *b = made_leases("192.0.2.51/24", "192.0.2.9"),
		      *c = made_leases("198.51.100.5/32", "203.0.113.1");
	int pod = l->w->pod;
	in_pod(pod, "ip link add cni0 type ifb; ip link set cni0 up; ip route add default dev cni0; ip link set lo up;"
	            "ip route add default dev cni0 metric 1024");
	b->v4.mtu = 1300;
	attach_with(l, &p, a);
	assert_shows(pod, "ip -4 route", "default via 192.0.2.1 dev net1 proto dhcp metric 1025");
	apply(l, &p, a, b);
	assert_shows(pod, "ip -4 addr show dev net1", "inet 192.0.2.51/24");
	assert_hides(pod, "ip -4 addr show dev net1", "192.0.2.50");
	assert_shows(pod, "ip -4 route", "default via 192.0.2.9 dev net1");
	assert_hides(pod, "ip -4 route", "192.0.2.1 ");
	assert_shows(pod, "ip link show dev net1", "mtu 1300");
	apply(l, &p, b, b); /* once more */
	apply(l, &p, b, c);
	assert_shows(pod, "ip -4 route", "default via 203.0.113.1 dev net1 proto dhcp metric 1025 onlink");
	assert_shows(pod, "ip link show dev net1", "mtu 1500");
	apply(l, &p, c, NULL);
	assert_hides(pod, "ip -4 addr show dev net1", "inet ");
	assert_hides(pod, "ip -4 route", "net1");
	assert_shows(pod, "ip -4 route", "default dev cni0");
	apply(l, &p, NULL, a);
	assert_shows(pod, "ip -4 addr show dev net1", "inet 192.0.2.50/24");
	/* What has expired is not configured. */
	b->v4.taken_at -= 100000;
	apply(l, &p, a, NULL);
	attach_with(l, &p, b);
	assert_hides(pod, "ip -4 addr show dev net1", "inet ");
	assert_hides(pod, "ip -4 route", "net1");
	leases_unref(a);
	leases_unref(b);
	leases_unref(c);
	host_state_free(&p.host);
}

/* With a link's last IPv4 address its routes and neighbours go, the configured ones too. What the pod itself took away meanwhile is not put
 * back by a renewal. */
static void test_configured_routes_outlive_a_lease(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	struct leases *a = made_leases("192.0.2.50/24", "192.0.2.1"), *b = made_leases("192.0.2.51/24", "192.0.2.1");
	struct route route = {.destination.length = 24};
	struct neighbour neighbour = {0};
	int pod = l->w->pod;
	assert_int_equal(ip_prefix_parse("203.0.113.0/24", &route.destination), 0);
	assert_int_equal(ip_address_parse("192.0.2.7", &route.gateway), 0);
	assert_int_equal(ip_address_parse("192.0.2.7", &neighbour.destination), 0);
	assert_int_equal(mac_parse("02:00:00:00:0d:0d", &neighbour.mac), 0);
	p.pod.routes = &route;
	p.pod.neighbours = &neighbour;
	p.pod.n_routes = p.pod.n_neighbours = 1;
	attach_with(l, &p, a);
	assert_shows(pod, "ip -4 route", "203.0.113.0/24 via 192.0.2.7 dev net1");
	apply(l, &p, a, b);
	assert_shows(pod, "ip -4 route", "203.0.113.0/24 via 192.0.2.7 dev net1");
	assert_shows(pod, "ip -4 neigh", "192.0.2.7 dev net1 lladdr 02:00:00:00:0d:0d PERMANENT");
	apply(l, &p, b, NULL);
	apply(l, &p, NULL, a);
	assert_shows(pod, "ip -4 route", "203.0.113.0/24 via 192.0.2.7 dev net1");
	in_pod(pod, "ip route del 203.0.113.0/24");
	apply(l, &p, a, a);
	assert_hides(pod, "ip -4 route", "203.0.113.0/24");
	leases_unref(a);
	leases_unref(b);
	host_state_free(&p.host);
}

/* Behind the pod's own both come, and the configured one is the first of them, also after the kernel took all off the link. */
static void test_configured_default_goes_before_the_leased(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, false);
	struct leases *a = made_leases("192.0.2.50/24", "192.0.2.1"), *b = made_leases("192.0.2.51/24", "192.0.2.1"),
		      *elsewhere = made_leases("198.51.100.5/24", "198.51.100.1");
	struct route route = {.destination.address.family = IP_V4};
	int pod = l->w->pod;
	assert_int_equal(ip_address_parse("192.0.2.7", &route.gateway), 0);
	p.pod.routes = &route;
	p.pod.n_routes = 1;
	in_pod(pod, "ip link add cni0 type ifb; ip link set cni0 up; ip route add default dev cni0");
	attach_with(l, &p, a);
	assert_shows(pod, "ip -4 route", "default via 192.0.2.7 dev net1 metric 1024");
	assert_shows(pod, "ip -4 route", "default via 192.0.2.1 dev net1 proto dhcp metric 1025");
	apply(l, &p, a, b);
	assert_shows(pod, "ip -4 route", "default via 192.0.2.7 dev net1 metric 1024");
	assert_shows(pod, "ip -4 route", "default via 192.0.2.1 dev net1 proto dhcp metric 1025");
	/* Where it cannot be, the leased one is all the same. */
	struct move_result r;
	struct error e = {0};
	assert_int_equal(mover_apply_leases(l->w->mover, &p, b, elsewhere, pod, &r, &e), -ENETUNREACH);
	assert_non_null(strstr(e.text, "cannot add the route 0.0.0.0/0 via 192.0.2.7"));
	assert_shows(pod, "ip -4 route", "default via 198.51.100.1 dev net1 proto dhcp");
	leases_unref(a);
	leases_unref(b);
	leases_unref(elsewhere);
	host_state_free(&p.host);
}

/* The pod would begin without the address that it was promised. */
static void test_lease_that_ended_before_the_attach(void **state)
{
	struct lan *l = *state;
	struct attach_plan p = dhcp_plan(l, true);
	struct leases *a = made_leases("192.0.2.50/24", "192.0.2.1");
	struct move_result r;
	struct error e = {0};
	char *before = settled_dump();
	a->v4.taken_at -= 100000;
	assert_int_equal(mover_attach(l->w->mover, &p, a, l->w->pod, &r, &e), -ESTALE);
	assert_string_equal(e.text, "the DHCP lease of nic0 ended before it came into the pod");
	assert_int_equal(r.place, PLACE_HOST);
	assert_host_is_still(before);
	a->v4.valid = LEASE_FOR_EVER;
	a->v4.addresses[0].valid = LEASE_FOR_EVER;
	attach_with(l, &p, a);
	assert_shows(l->w->pod, "ip -4 addr show dev net1", "inet 192.0.2.50/24");
	leases_unref(a);
	host_state_free(&p.host);
}

/* They are closed by a thread. */
static void assert_no_socket_in_pod(struct lan *l)
{
	in_pod(l->w->pod,
	       "timeout 10 sh -c 'until test $(tail -q -n +2 /proc/net/packet /proc/net/udp6 | wc -l) = 0; do sleep 0.01; done'");
}

/* A family that nobody asked for before, as after a reboot, is asked for in the pod. Then there is rest, without a socket; and when half
 * of the time is over the link is found though the pod has renamed it. */
static void test_kept_without_a_lease_and_at_rest(void **state)
{
	struct lan *l = *state;
	host("ip link set nic0 up");
	struct attach_plan p = dhcp_plan(l, true);
	start_server(l, both);
	attach_with(l, &p, NULL);
	keep(l, &p, NULL);
	do
		wait_for_report(l);
	while (!l->leases->v4.held || !l->leases->v6.held);
	assert_no_socket_in_pod(l);
	/* The server answers a renewal at the address itself. */
	struct move_result r;
	assert_int_equal(mover_apply_leases(l->w->mover, &p, NULL, l->leases, l->w->pod, &r, NULL), 0);

	struct leases *old = leases_ref(l->leases);
	unsigned reports = l->reports;
	dhcp_client_close(l->client);
	keep(l, &p, old);
	for (int i = 0; i < 3; i++)
		uv_run(&l->loop, UV_RUN_NOWAIT);
	assert_int_equal(l->reports, reports);
	assert_no_socket_in_pod(l);

	dhcp_client_close(l->client);
	in_pod(l->w->pod, "ip link set net1 down; ip link set net1 name mine; ip link set mine up");
	old->v4.taken_at -= 60000;
	keep(l, &p, old);
	wait_for_report(l);
	assert_true(l->leases->v4.held && l->leases->v4.taken_at > old->v4.taken_at);
	leases_unref(old);
	host_state_free(&p.host);
}

/* Frames from the server's end of the link, with whatever is between the addresses and the IP header. */
static int raw_socket_of_server(struct lan *l, struct sockaddr_ll *ret)
{
	int home = fixture_own_namespace();
	assert_int_equal(setns(l->server, CLONE_NEWNET), 0);
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	*ret = (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("srv0"), .sll_halen = ETH_ALEN};
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	assert_true(fd >= 0);
	return fd;
}

static void send_ack(struct lan *l, uint32_t xid, const void *tag, size_t n_tag)
{
	struct sockaddr_ll to;
	struct reply r = usual_reply(DHCP4_ACK, xid, "192.0.2.50", 3600);
	struct dhcp_send s = {.source = ip("192.0.2.1"), .destination = ip("192.0.2.50"), .n = r.n};
	uint8_t frame[64 + DHCP4_FRAME_MAX] = {2, 0, 0, 0, 0x0a, 1, 2, 0, 0, 0, 0x0b, 2};
	memcpy(s.data, r.data, r.n);
	memcpy(frame + 12, tag, n_tag);
	uint8_t *packet = frame + 12 + n_tag;
	size_t n = dhcp4_frame(&s, packet);
	packet[21] = DHCP4_SERVER_PORT; /* as from a server: ports swapped, which leaves the sum as it is */
	packet[23] = DHCP4_CLIENT_PORT;
	int fd = raw_socket_of_server(l, &to);
	assert_int_equal(sendto(fd, frame, 12 + n_tag + n, 0, (const struct sockaddr *)&to, sizeof(to)), 12 + n_tag + n);
	close(fd);
}

/* Of the frames of a trunk, those without a tag are the link's; a tag of VLAN 0 is a priority. */
static void test_answer_of_another_vlan(void **state)
{
	struct lan *l = *state;
	const struct dhcp_place place = {.netns_fd = -1, .ifname = "nic0"};
	struct dhcp_link link;
	struct dhcp4_answer a;
	struct mac from;
	struct error e = {0};
	int fd = -1, r;
	host("ip link set nic0 up");
	if (dhcp4_socket_open(&place, &test_mac, &link, &fd, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(dhcp4_socket_receive(fd, &a, &from), -EAGAIN);
	send_ack(l, 1, "\x81\x00\x00\x05\x08\x00", 6);
	send_ack(l, 2, "\x81\x00\xe0\x00\x08\x00", 6);
	send_ack(l, 3, "\x08\x00", 2);
	for (uint32_t expected = 2; expected <= 3; expected++) {
		while ((r = dhcp4_socket_receive(fd, &a, &from)) == -EAGAIN || r == -ENOMSG)
			usleep(1000);
		assert_int_equal(r, 0);
		assert_int_equal(a.xid, expected);
	}
	close(fd);
}

/* A probe whose sender's hardware address ends in `number`. */
static void send_arp(struct lan *l, uint8_t number, const char *target, const void *tag, size_t n_tag, size_t n_arp)
{
	struct sockaddr_ll to;
	const struct mac sender = {6, {2, 0, 0, 0, 0x0b, number}};
	const struct ip_address address = ip(target);
	uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0x0b, number};
	memcpy(frame + 12, tag, n_tag);
	arp_encode_probe(&sender, &address, frame + 12 + n_tag);
	int fd = raw_socket_of_server(l, &to);
	assert_int_equal(sendto(fd, frame, 12 + n_tag + n_arp, 0, (const struct sockaddr *)&to, sizeof(to)), 12 + n_tag + n_arp);
	close(fd);
}

static int next_arp(int fd, struct arp_message *ret)
{
	int r;
	while ((r = arp_socket_receive(fd, ret)) == -EAGAIN)
		usleep(1000);
	return r;
}

/* Who has the address in another VLAN does not have ours. What is said of other addresses, and what is cut, does not come up from the
 * kernel.
 */
static void test_arp_that_is_heard(void **state)
{
	struct lan *l = *state;
	const struct dhcp_place place = {.netns_fd = -1, .ifname = "nic0"};
	const struct ip_address address = ip("192.0.2.50");
	struct dhcp_link link;
	struct arp_message m;
	struct error e = {0};
	int fd = -1;
	host("ip link set nic0 up");
	if (arp_socket_open(&place, &address, &link, &fd, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(arp_socket_receive(fd, &m), -EAGAIN);
	send_arp(l, 1, "192.0.2.51", "\x08\x06", 2, ARP_SIZE);
	send_arp(l, 2, "192.0.2.50", "\x08\x06", 2, ARP_SIZE - 1);
	send_arp(l, 3, "192.0.2.50", "\x81\x00\x00\x05\x08\x06", 6, ARP_SIZE);
	send_arp(l, 4, "192.0.2.50", "\x81\x00\xe0\x00\x08\x06", 6, ARP_SIZE);
	send_arp(l, 5, "192.0.2.50", "\x08\x06", 2, ARP_SIZE);
	assert_int_equal(next_arp(fd, &m), -ENOMSG);
	for (uint8_t number = 4; number <= 5; number++) {
		assert_int_equal(next_arp(fd, &m), 0);
		assert_int_equal(m.sender.bytes[5], number);
	}
	packet_socket_close(fd);
}

#define lan_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    lan_test(test_lease_of_a_link_that_is_down),
	    lan_test(test_renewal_and_release),
	    lan_test(test_release_over_a_link_that_was_down),
	    lan_test(test_release_does_not_sleep),
	    lan_test(test_mac_of_the_pod),
	    lan_test(test_renamed_while_it_asks),
	    lan_test(test_nobody_answers),
	    lan_test(test_one_family_answers),
	    lan_test(test_no_carrier),
	    lan_test(test_address_is_in_use),
	    lan_test(test_all_addresses_are_in_use),
	    lan_test(test_address_of_the_host),
	    lan_test(test_earlier_lease_is_confirmed_or_not),
	    lan_test(test_leases_change_in_the_pod),
	    lan_test(test_configured_routes_outlive_a_lease),
	    lan_test(test_configured_default_goes_before_the_leased),
	    lan_test(test_lease_that_ended_before_the_attach),
	    lan_test(test_kept_without_a_lease_and_at_rest),
	    lan_test(test_answer_of_another_vlan),
	    lan_test(test_arp_that_is_heard),
	};
	if (!fixture_possible())
		return 0;
	if (system("dnsmasq --version >/dev/null 2>&1") != 0) {
		printf("SKIPPED: there is no dnsmasq\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
