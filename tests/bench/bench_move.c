/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own time for what an attach asks of it, without a daemon: bytes built before the clock starts, sent through plain sockets,
 * each acknowledged. Per NIC one RTM_NEWLINK (namespace, name, MTU, MAC), then in the target one RTM_NEWADDR and one RTM_NEWLINK for up;
 * the way back is down, then one RTM_NEWLINK (namespace, name, MTU, MAC) and up. The NICs, their namespace and the pod's are made here, so
 * nothing of the machine is touched; a new namespace is used in each round, as each pod has one.
 *
 *   bench_move [--kind veth|ifb] [--nics N] [--rounds N]
 *
 * Prints a JSON line: milliseconds for all NICs of each round, there ("attach"; "move" is its RTM_NEWLINK part) and back ("detach"). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "core/base/str.h"

enum { NICS_MAX = 64, ROUNDS_MAX = 1000, MESSAGE_SIZE = 512 };

struct message {
	union {
		struct nlmsghdr h;
		char bytes[MESSAGE_SIZE];
	};
};

static void check(long result, const char *what)
{
	if (result < 0) {
		fprintf(stderr, "bench_move: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static double now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- messages -------------------------------------------------------------------------------------------------------------------- */

static void begin(struct message *m, uint16_t type, uint16_t flags, const void *header, size_t header_len)
{
	memset(m, 0, sizeof(*m));
	m->h = (struct nlmsghdr){.nlmsg_len = (uint32_t)NLMSG_LENGTH(header_len),
	                         .nlmsg_type = type,
	                         .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)};
	memcpy(NLMSG_DATA(&m->h), header, header_len);
}

static struct rtattr *put(struct message *m, uint16_t type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(m->bytes + NLMSG_ALIGN(m->h.nlmsg_len));
	*a = (struct rtattr){.rta_type = type, .rta_len = (uint16_t)RTA_LENGTH(len)};
	if (len)
		memcpy(RTA_DATA(a), data, len);
	m->h.nlmsg_len = NLMSG_ALIGN(m->h.nlmsg_len) + RTA_ALIGN(a->rta_len);
	return a;
}

static void put_text(struct message *m, uint16_t type, const char *text)
{
	put(m, type, text, strlen(text) + 1);
}

static void put_u32(struct message *m, uint16_t type, uint32_t v)
{
	put(m, type, &v, sizeof(v));
}

static struct rtattr *nest(struct message *m, uint16_t type)
{
	return put(m, type, NULL, 0);
}

static void nest_end(struct message *m, struct rtattr *a)
{
	a->rta_len = (uint16_t)(m->bytes + m->h.nlmsg_len - (char *)a);
}

static struct message link_message(int ifindex, unsigned flags, unsigned change)
{
	struct message m;
	begin(&m, RTM_NEWLINK, 0, &(struct ifinfomsg){.ifi_index = ifindex, .ifi_flags = flags, .ifi_change = change},
	      sizeof(struct ifinfomsg));
	return m;
}

static struct message move_message(int ifindex, int netns_fd, const char *name, uint32_t mtu, const uint8_t mac[6])
{
	struct message m = link_message(ifindex, 0, 0);
	put_u32(&m, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	put_text(&m, IFLA_IFNAME, name);
	put_u32(&m, IFLA_MTU, mtu);
	put(&m, IFLA_ADDRESS, mac, 6);
	return m;
}

/* ---- sockets and namespaces -------------------------------------------------------------------------------------------------------- */

static int netns_here(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	check(fd, "/proc/self/ns/net");
	return fd;
}

static int route_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	check(fd, "netlink socket");
	return fd;
}

/* Send one request; the kernel executes it before sendto() returns. */
static void ask(int fd, struct message *m, const char *what)
{
	char answer[4096];
	check(send(fd, m->bytes, m->h.nlmsg_len, 0), what);
	ssize_t n = recv(fd, answer, sizeof(answer), 0);
	check(n, what);
	struct nlmsghdr h;
	struct nlmsgerr e;
	if ((size_t)n < NLMSG_LENGTH(sizeof(e)))
		exit(1);
	memcpy(&h, answer, sizeof(h));
	memcpy(&e, answer + NLMSG_HDRLEN, sizeof(e));
	errno = h.nlmsg_type == NLMSG_ERROR ? -e.error : EPROTO;
	check(errno ? -1 : 0, what);
}

struct nic {
	char host[IFNAMSIZ], pod[IFNAMSIZ];
	int ifindex;
	uint8_t host_mac[6], pod_mac[6];
};

static void nic_make(int host_socket, struct nic *n, int i, const char *kind)
{
	snprintf(n->host, sizeof(n->host), "nic%d", i);
	snprintf(n->pod, sizeof(n->pod), "eth%d", i + 1);
	memcpy(n->host_mac, (uint8_t[]){2, 0, 0, 0, 1, (uint8_t)i}, 6);
	memcpy(n->pod_mac, (uint8_t[]){2, 0, 0, 0, 2, (uint8_t)i}, 6);
	struct message m = link_message(0, IFF_UP, IFF_UP);
	m.h.nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	put_text(&m, IFLA_IFNAME, n->host);
	put(&m, IFLA_ADDRESS, n->host_mac, 6);
	struct rtattr *info = nest(&m, IFLA_LINKINFO);
	put_text(&m, IFLA_INFO_KIND, kind);
	if (str_equal(kind, "veth")) {
		char peer[IFNAMSIZ];
		snprintf(peer, sizeof(peer), "peer%d", i);
		struct rtattr *data = nest(&m, IFLA_INFO_DATA), *other = nest(&m, VETH_INFO_PEER);
		memset(m.bytes + m.h.nlmsg_len, 0, sizeof(struct ifinfomsg));
		m.h.nlmsg_len += sizeof(struct ifinfomsg);
		put_text(&m, IFLA_IFNAME, peer);
		nest_end(&m, other);
		nest_end(&m, data);
	}
	nest_end(&m, info);
	ask(host_socket, &m, "making a NIC");
	n->ifindex = (int)if_nametoindex(n->host);
	check(n->ifindex ? 0 : -1, n->host);
}

/* ---- one round ----------------------------------------------------------------------------------------------------------------------- */

struct times {
	double move, attach, detach;
};

/* The pod's namespace is made here. A NIC keeps its index on the way: nothing in the new namespace has it yet. */
static struct times round_trip(int host_ns, int host_socket, const struct nic *nics, int n)
{
	check(unshare(CLONE_NEWNET), "unshare");
	int pod_ns = netns_here(), pod_socket = route_socket();
	check(setns(host_ns, CLONE_NEWNET), "setns");

	struct message there[NICS_MAX], address[NICS_MAX], up[NICS_MAX], down[NICS_MAX], back[NICS_MAX];
	for (int i = 0; i < n; i++) {
		const struct nic *d = &nics[i];
		struct in_addr ip = {htonl(0xc6120001 + ((uint32_t)i << 8))}; /* 198.18.i.1 */
		there[i] = move_message(d->ifindex, pod_ns, d->pod, 1400, d->pod_mac);
		begin(&address[i], RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE,
		      &(struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = (uint32_t)d->ifindex},
		      sizeof(struct ifaddrmsg));
		put(&address[i], IFA_LOCAL, &ip, sizeof(ip));
		put(&address[i], IFA_ADDRESS, &ip, sizeof(ip));
		up[i] = link_message(d->ifindex, IFF_UP, IFF_UP);
		down[i] = link_message(d->ifindex, 0, IFF_UP);
		back[i] = move_message(d->ifindex, host_ns, d->host, 1500, d->host_mac);
	}

	struct times t = {0};
	double begun = now_ms();
	for (int i = 0; i < n; i++) {
		double before = now_ms();
		ask(host_socket, &there[i], "moving to the pod");
		t.move += now_ms() - before;
		ask(pod_socket, &address[i], "address");
		ask(pod_socket, &up[i], "up");
	}
	t.attach = now_ms() - begun;
	begun = now_ms();
	for (int i = 0; i < n; i++) {
		ask(pod_socket, &down[i], "down");
		ask(pod_socket, &back[i], "moving back");
		ask(host_socket, &up[i], "up on the host");
	}
	t.detach = now_ms() - begun;
	close(pod_socket); /* pod_ns stays open to the end: a namespace dying behind our back would hold RTNL in the next round */
	return t;
}

static void print_list(const char *name, const struct times *t, int n, size_t offset)
{
	printf(", \"%s\": [", name);
	for (int i = 0; i < n; i++) {
		double v;
		memcpy(&v, (const char *)&t[i] + offset, sizeof(v));
		printf("%s%.3f", i ? ", " : "", v);
	}
	printf("]");
}

int main(int argc, char **argv)
{
	static struct nic nics[NICS_MAX];
	static struct times times[ROUNDS_MAX];
	const char *kind = "veth";
	long n = 1, rounds = 10;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (str_equal(argv[i], "--kind"))
			kind = argv[i + 1];
		else if (str_equal(argv[i], "--nics"))
			n = strtol(argv[i + 1], NULL, 10);
		else if (str_equal(argv[i], "--rounds"))
			rounds = strtol(argv[i + 1], NULL, 10);
	}
	if (n < 1 || n > NICS_MAX || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: bench_move [--kind veth|ifb] [--nics 1..%d] [--rounds 1..%d]\n", NICS_MAX, ROUNDS_MAX);
		return 2;
	}
	check(unshare(CLONE_NEWNET), "unshare: must be root");
	int host_ns = netns_here(), host_socket = route_socket();
	for (int i = 0; i < n; i++)
		nic_make(host_socket, &nics[i], i, kind);
	for (long i = 0; i < rounds; i++)
		times[i] = round_trip(host_ns, host_socket, nics, (int)n);
	printf("{\"kind\": \"%s\", \"nics\": %ld", kind, n);
	print_list("move", times, (int)rounds, offsetof(struct times, move));
	print_list("attach", times, (int)rounds, offsetof(struct times, attach));
	print_list("detach", times, (int)rounds, offsetof(struct times, detach));
	printf("}\n");
	return 0;
}
