/* SPDX-License-Identifier: Apache-2.0 */
/* What devices do in their pods with packets of others: from one namespace to another, through a third. */
#include "mover_fixture.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

/* ---- datagrams ------------------------------------------------------------------------------------------------------------------- */

static void pod_shows(struct world *w, const char *path, const char *value)
{
	char command[128];
	snprintf(command, sizeof(command), "cat /proc/sys/net/%s", path);
	assert_shows(w->pod, command, value);
}

static struct ip_address ip(const char *text)
{
	struct ip_address a = {0};
	if (ip_address_parse(text, &a) < 0)
		fail_msg("%s", text);
	return a;
}

static socklen_t socket_address(const struct ip_address *a, in_port_t port, struct sockaddr_in6 *ret)
{
	*ret = (struct sockaddr_in6){.sin6_family = a->family == IP_V4 ? AF_INET : AF_INET6, .sin6_port = port};
	if (a->family == IP_V4)
		memcpy(&((struct sockaddr_in *)(void *)ret)->sin_addr, a->bytes, 4);
	else
		memcpy(&ret->sin6_addr, a->bytes, 16);
	return a->family == IP_V4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* Bound to an address and perhaps a link of a namespace. */
static int bound_socket(int ns, const struct ip_address *address, const char *ifname)
{
	int home = fixture_own_namespace(), fd;
	struct sockaddr_in6 a;
	socklen_t len = socket_address(address, 0, &a);
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
	assert_true((fd = socket(a.sin6_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	if (ifname)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	return fd;
}

struct end {
	int ns;
	const char *address, *ifname; /* NULL = whichever */
};

/* Whether a datagram gets from one place to the other; neighbours may take a while to be found, at most `seconds`. */
static bool reaches(struct end from, struct end to, int seconds)
{
	struct ip_address destination = ip(to.address), any = {.family = destination.family},
			  source = from.address ? ip(from.address) : any;
	struct sockaddr_in6 a = {0};
	socklen_t len = sizeof(a);
	int out = bound_socket(from.ns, &source, from.ifname), in = bound_socket(to.ns, &any, NULL);
	assert_int_equal(getsockname(in, (struct sockaddr *)&a, &len), 0);
	len = socket_address(&destination, a.sin6_port, &a); /* where both families have it */
	struct pollfd p = {.fd = in, .events = POLLIN};
	for (int i = 0; i < 10 * seconds && !p.revents; i++) {
		(void)sendto(out, "?", 1, 0, (struct sockaddr *)&a, len);
		assert_true(poll(&p, 1, 100) >= 0);
	}
	close(in);
	close(out);
	return p.revents & POLLIN;
}

static void path_of(int ns, char path[64])
{
	snprintf(path, 64, "/proc/%d/fd/%d", getpid(), ns);
}

/* The pod's own network is by an eth0, whose router tells of itself. */
static int give_pod_a_router(struct world *w)
{
	static const uint8_t advertisement[16] = {134, [4] = 64, [6] = 7, [7] = 8}; /* half an hour */
	const struct sockaddr_in6 all = {.sin6_family = AF_INET6, .sin6_addr = {{{0xff, 2, [15] = 1}}}};
	int home = fixture_own_namespace(), ns = fixture_new_pod(), hops = 255, fd;
	char path[64];
	path_of(ns, path);
	in_pod(w->pod, "ip link add eth0 type veth peer name r0 && ip link set eth0 up && ip link set r0 netns %s", path);
	in_pod(ns, "ip link set r0 addrgenmode none up && ip address add fe80::1/64 dev r0 nodad");
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
	int ifindex = (int)if_nametoindex("r0");
	assert_true((fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6)) >= 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &ifindex, sizeof(ifindex)), 0);
	time_t deadline = time(NULL) + 20;
	for (bool heard = false; !heard;) {
		assert_true(time(NULL) < deadline);
		(void)sendto(fd, advertisement, sizeof(advertisement), 0, (const struct sockaddr *)&all, sizeof(all));
		char *routes = text_of(w->pod, "ip -6 route");
		heard = strstr(routes, "default via fe80::1 dev eth0 proto ra");
		free(routes);
	}
	close(fd);
	close(home);
	return ns;
}

/* A packet of another namespace goes through the pod, in at one device and out at the other. */
static void forwarding_forwards(void **state)
{
	struct world *w = *state;
	struct attach_plan plans[2];
	struct address a[2][2];
	int ends[2];
	in_pod(w->pod, "echo 0 > /proc/sys/net/ipv4/ip_forward");
	int router = give_pod_a_router(w);
	for (int i = 0; i < 2; i++) {
		char address[64];
		ends[i] = fixture_new_pod();
		host("ip link add nic%d type veth peer name end%d", i, i);
		plans[i] = plan_for(w, i ? "nic1" : "nic0", i ? "net2" : "net1");
		char path[64];
		path_of(ends[i], path);
		host("ip link set end%d netns %s", i, path);
		in_pod(ends[i],
		       "ip link set lo up && ip link set end%d up && ip address add 10.%d.0.2/24 dev end%d && "
		       "ip -6 address add fd00:%d::2/64 dev end%d nodad && ip route add default via 10.%d.0.1",
		       i, i + 1, i, i + 1, i, i + 1);
		in_pod(ends[i], "ip -6 route add default via fd00:%d::1", i + 1);
		snprintf(address, sizeof(address), "10.%d.0.1/24", i + 1);
		a[i][0] = make_address(address);
		snprintf(address, sizeof(address), "fd00:%d::1/64", i + 1);
		a[i][1] = make_address(address);
		plans[i].pod.addresses = a[i], plans[i].pod.n_addresses = 2;
		plans[i].pod.forwarding = 1;
		attach(w, &plans[i]);
	}
	assert_true(reaches((struct end){.ns = ends[0]}, (struct end){ends[1], "10.2.0.2", NULL}, 20));
	assert_true(reaches((struct end){.ns = ends[0]}, (struct end){ends[1], "fd00:2::2", NULL}, 20));
	/* The pod's own link is none of the claim's business. */
	pod_shows(w, "ipv6/conf/eth0/forwarding", "0");
	pod_shows(w, "ipv6/conf/eth0/accept_ra", "1");
	assert_shows(w->pod, "ip -6 route", "default via fe80::1 dev eth0 proto ra");
	pod_shows(w, "ipv6/conf/default/forwarding", "0");

	plans[0].pod.forwarding = 0;
	attach(w, &plans[0]);
	pod_shows(w, "ipv4/conf/net1/forwarding", "0");
	pod_shows(w, "ipv6/conf/net1/forwarding", "0");
	pod_shows(w, "ipv6/conf/net2/forwarding", "1");
	assert_false(reaches((struct end){.ns = ends[0]}, (struct end){ends[1], "10.2.0.2", NULL}, 1));
	for (int i = 0; i < 2; i++) {
		assert_home(w, &plans[i]);
		host_state_free(&plans[i].host);
	}
	assert_shows(-1, "cat /proc/sys/net/ipv4/conf/nic1/forwarding /proc/sys/net/ipv6/conf/nic1/forwarding", "0\n0");
	close(router);
	for (int i = 0; i < 2; i++)
		close(ends[i]); /* and with them the devices, whose other ends are there */
}

/* ---- a router pod between two pods ----------------------------------------------------------------------------------------------- */

/* nic0 in the first pod, nic1 and nic2 in the router, nic3 in the second pod; nic0-nic1 and nic2-nic3 are cables. */
struct routed {
	struct world at[4];
	struct attach_plan plans[4];
	struct address addresses[4][2];
	struct route routes[4][2];
	struct rule rules[4][2];
};

static void wire(struct routed *n, struct world *w, bool vrf)
{
	static const char *const texts[4][2] = {{"10.1.0.2/24", "fd00:1::2/64"},
	                                        {"10.1.0.1/24", "fd00:1::1/64"},
	                                        {"10.2.0.1/24", "fd00:2::1/64"},
	                                        {"10.2.0.2/24", "fd00:2::2/64"}};
	static const char *const defaults[2] = {"0.0.0.0/0", "::/0"}, *const names[] = {"nic0", "nic1", "nic2", "nic3"};
	int pods[] = {fixture_new_pod(), w->pod, w->pod, fixture_new_pod()};
	host("ip link add nic0 type veth peer name nic1 && ip link add nic2 type veth peer name nic3");
	for (int i = 0; i < 4; i++) {
		struct network_config *c = &n->plans[i].pod;
		bool is_router = i == 1 || i == 2;
		n->at[i] = (struct world){.mover = w->mover, .pod = pods[i]};
		n->plans[i] = plan_for(w, names[i], i == 2 ? "net2" : "net1");
		for (int f = 0; f < 2; f++) {
			struct ip_address gateway = ip(f ? i ? "fd00:2::1" : "fd00:1::1" : i ? "10.2.0.1" : "10.1.0.1");
			n->addresses[i][f] = make_address(texts[i][f]);
			n->routes[i][f] = make_route(defaults[f], NULL);
			n->routes[i][f].scope = 0;
			n->routes[i][f].gateway = gateway;
			n->routes[i][f].table = vrf ? 70 : 100;
			n->rules[i][f] = (struct rule){.has_priority = true, .priority = 32000, .table = 100};
			n->rules[i][f].source = make_address(texts[i][f]).prefix;
			n->rules[i][f].destination = make_address(texts[3 - i][f]).prefix;
		}
		c->addresses = n->addresses[i], c->n_addresses = 2;
		c->forwarding = is_router ? 1 : -1;
		c->routes = n->routes[i], c->n_routes = is_router ? 0 : 2;
		c->rules = n->rules[i], c->n_rules = is_router || vrf ? 0 : 2;
		strcpy(c->vrf_name, vrf ? "red" : "");
		c->vrf_table = vrf ? 70 : 0;
		attach(&n->at[i], &n->plans[i]);
	}
}

static void unwire(struct routed *n)
{
	for (int i = 0; i < 4; i++) {
		assert_home(&n->at[i], &n->plans[i]);
		host_state_free(&n->plans[i].host);
	}
	close(n->at[0].pod);
	close(n->at[3].pod);
}

static void rules_lead_through_a_router_pod(void **state)
{
	struct world *w = *state;
	struct routed n;
	in_pod(w->pod, "echo 0 > /proc/sys/net/ipv4/ip_forward");
	wire(&n, w, false);
	int a = n.at[0].pod, b = n.at[3].pod;
	assert_true(reaches((struct end){a, "10.1.0.2", NULL}, (struct end){b, "10.2.0.2", NULL}, 20));
	assert_true(reaches((struct end){b, "10.2.0.2", NULL}, (struct end){a, "10.1.0.2", NULL}, 20));
	assert_true(reaches((struct end){a, "fd00:1::2", NULL}, (struct end){b, "fd00:2::2", NULL}, 20));
	/* What the rule does not name does not go that way. */
	assert_shows(a, "ip route get 10.2.0.2 from 10.1.0.2", "via 10.1.0.1 dev net1 table 100");
	assert_shows(a, "ip route get 10.3.0.2 2>&1", "unreachable");
	unwire(&n);
}

static void vrfs_lead_through_a_router_pod(void **state)
{
	struct world *w = *state;
	struct routed n;
	char *text = text_of(-1, "ip link add probe type vrf table 1 2>&1 && ip link delete probe");
	bool lacks = text[0] != '\0';
	free(text);
	if (lacks) {
		printf("SKIPPED: this kernel has no VRF\n");
		skip();
	}
	in_pod(w->pod, "echo 0 > /proc/sys/net/ipv4/ip_forward");
	wire(&n, w, true);
	int a = n.at[0].pod, b = n.at[3].pod;
	assert_shows(w->pod, "ip link show master red", "net2"); /* both */
	/* The receiver is not bound to its VRF. */
	assert_true(reaches((struct end){a, NULL, "net1"}, (struct end){b, "10.2.0.2", NULL}, 20));
	assert_true(reaches((struct end){b, NULL, "net1"}, (struct end){a, "10.1.0.2", NULL}, 20));
	assert_true(reaches((struct end){a, NULL, "net1"}, (struct end){b, "fd00:2::2", NULL}, 20));
	unwire(&n);
	assert_hides(w->pod, "ip link", "red");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    kernel_test(forwarding_forwards),
	    kernel_test(rules_lead_through_a_router_pod),
	    kernel_test(vrfs_lead_through_a_router_pod),
	};
	return fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
