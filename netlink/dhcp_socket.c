/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/dhcp_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/netns.h"

/* An answer is at most as large as we said that we take; longer ones are for others, and cut. */
enum { RECEIVE_SIZE = 2048, ADDRESSES_SEEN = 256, CLOSER_STACK = 64 << 10 };

/* A socket belongs to the namespace in which it was made, whichever its user is in later. */
static int socket_in(const struct dhcp_place *place, int domain, int type, struct error *e)
{
	int home = -1;
	if (place->netns_fd >= 0) {
		int r = netns_open_own(&home, e);
		if (r == 0 && (r = netns_enter(place->netns_fd, e)) < 0)
			close(home);
		if (r < 0)
			return r;
	}
	int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? error_set(e, -errno, "cannot open a socket for DHCP: %s", strerror(errno)) : fd;
	if (home >= 0) {
		netns_return(home);
		close(home);
	}
	return r;
}

static void *close_in_thread(void *arg)
{
	close((int)(intptr_t)arg);
	return NULL;
}

void packet_socket_close(int fd)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;
	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, CLOSER_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = pthread_create(&thread, &attributes, close_in_thread, (void *)(intptr_t)fd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (r != 0)
		close(fd);
}

/* ---- the link -------------------------------------------------------------------------------------------------------------------- */

static int look_by_name(int fd, const char *ifname, struct dhcp_link *ret)
{
	struct dhcp_link l = {.mac = {.length = 6}};
	struct ifreq q = {0};
	if (STR_COPY(l.ifname, ifname) < 0 || STR_COPY(q.ifr_name, ifname) < 0)
		return -ENODEV;
	if (ioctl(fd, SIOCGIFINDEX, &q) < 0)
		return -errno;
	l.ifindex = q.ifr_ifindex;
	if (ioctl(fd, SIOCGIFHWADDR, &q) < 0)
		return -errno;
	if (q.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return -EOPNOTSUPP;
	memcpy(l.mac.bytes, q.ifr_hwaddr.sa_data, 6);
	if (ioctl(fd, SIOCGIFFLAGS, &q) < 0)
		return -errno;
	l.running = (q.ifr_flags & IFF_UP) && (q.ifr_flags & IFF_RUNNING);
	*ret = l;
	return 0;
}

static int look(int fd, const struct dhcp_place *place, struct dhcp_link *ret, struct error *e)
{
	struct ifreq q = {.ifr_ifindex = place->ifindex};
	struct dhcp_link l = {0};
	int r = look_by_name(fd, place->ifname, &l);
	if (r == -ENODEV && place->ifindex > 0 && ioctl(fd, SIOCGIFNAME, &q) == 0) {
		r = look_by_name(fd, q.ifr_name, &l);
		if (r == 0 && !mac_equal(&l.mac, &place->mac))
			r = -ENODEV;
	}
	if (r == -EOPNOTSUPP)
		return error_set(e, r, "%s has no Ethernet address, and DHCP is spoken over Ethernet only", place->ifname);
	if (r < 0)
		return error_set(e, r, "cannot find %s for DHCP: %s", place->ifname, strerror(-r));
	*ret = l;
	return 0;
}

int dhcp_link_look(const struct dhcp_place *place, struct dhcp_link *ret, struct error *e)
{
	int fd = socket_in(place, AF_INET, SOCK_DGRAM, e);
	if (fd < 0)
		return fd;
	int r = look(fd, place, ret, e);
	close(fd);
	return r;
}

/* ---- DHCPv4 ---------------------------------------------------------------------------------------------------------------------- */

/* Offsets from the IP header, and in what is behind its options. */
enum { AT_FRAGMENT = 6, AT_PROTOCOL = 9, AT_PORT = 2, AT_CHADDR = 8 + 28 };

static int attach(int fd, struct sock_filter *code, size_t n)
{
	const struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

static int attach_filter(int fd, const struct mac *mac)
{
	const uint8_t *m = mac->bytes;
	const uint32_t first = (uint32_t)m[0] << 24 | (uint32_t)m[1] << 16 | (uint32_t)m[2] << 8 | m[3], last = (uint32_t)m[4] << 8 | m[5];
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, AT_PROTOCOL),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 10),
	    BPF_STMT(BPF_LD | BPF_H | BPF_ABS, AT_FRAGMENT),
	    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 8, 0),
	    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
	    BPF_STMT(BPF_LD | BPF_H | BPF_IND, AT_PORT),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, DHCP4_CLIENT_PORT, 0, 5),
	    BPF_STMT(BPF_LD | BPF_W | BPF_IND, AT_CHADDR),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0, 3),
	    BPF_STMT(BPF_LD | BPF_H | BPF_IND, AT_CHADDR + 4),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, last, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	};
	return attach(fd, code, ELEMENTS(code));
}

int dhcp4_socket_open(const struct dhcp_place *place, const struct mac *mac, struct dhcp_link *ret_link, int *ret_fd, struct error *e)
{
	const int on = 1;
	struct dhcp_link l = {0};
	int fd = socket_in(place, AF_PACKET, SOCK_DGRAM, e); /* protocol 0: it hears nothing before it is bound */
	if (fd < 0)
		return fd;
	int r = look(fd, place, &l, e);
	if (r == 0) {
		const struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = l.ifindex};
		r = attach_filter(fd, mac);
		if (r == 0 && (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
		               bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0))
			r = -errno;
		if (r < 0)
			error_set(e, r, "cannot listen for DHCP on %s: %s", l.ifname, strerror(-r));
	}
	if (r < 0) {
		packet_socket_close(fd);
		return r;
	}
	*ret_link = l;
	*ret_fd = fd;
	return 0;
}

int dhcp4_socket_send(int fd, const struct dhcp_link *link, const struct dhcp_send *s)
{
	uint8_t frame[DHCP4_FRAME_MAX];
	size_t n = dhcp4_frame(s, frame);
	struct sockaddr_ll to = {
	    .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = link->ifindex, .sll_halen = ETH_ALEN};
	if (s->to.length == ETH_ALEN)
		memcpy(to.sll_addr, s->to.bytes, ETH_ALEN);
	else
		memset(to.sll_addr, 0xff, ETH_ALEN);
	return sendto(fd, frame, n, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

/* A sender on this machine leaves the checksum to hardware, and a veth has none: the kernel tells that nobody has made it. */
static bool is_unsummed(struct msghdr *m)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		struct tpacket_auxdata aux;
		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA || c->cmsg_len < CMSG_LEN(sizeof(aux)))
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		return aux.tp_status & TP_STATUS_CSUMNOTREADY;
	}
	return false;
}

int dhcp4_socket_receive(int fd, struct dhcp4_answer *ret, struct mac *ret_from)
{
	uint8_t packet[RECEIVE_SIZE];
	_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	struct sockaddr_ll from = {0};
	struct iovec iov = {.iov_base = packet, .iov_len = sizeof(packet)};
	struct msghdr m = {.msg_name = &from,
	                   .msg_namelen = sizeof(from),
	                   .msg_iov = &iov,
	                   .msg_iovlen = 1,
	                   .msg_control = control,
	                   .msg_controllen = sizeof(control)};
	const uint8_t *payload = NULL;
	size_t len = 0;
	ssize_t n = recvmsg(fd, &m, 0);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	/* "Other host" is also what the kernel makes of a frame of a VLAN that has no link here, after taking the tag off. */
	if ((m.msg_flags & MSG_TRUNC) || from.sll_halen != ETH_ALEN || from.sll_pkttype == PACKET_OTHERHOST)
		return -ENOMSG;
	int r = dhcp4_unframe(packet, (size_t)n, is_unsummed(&m), &payload, &len);
	if (r == 0)
		r = dhcp4_decode(payload, len, ret);
	if (r < 0)
		return r;
	*ret_from = (struct mac){.length = ETH_ALEN};
	memcpy(ret_from->bytes, from.sll_addr, ETH_ALEN);
	return 0;
}

/* ---- ARP ------------------------------------------------------------------------------------------------------------------------- */

enum { AT_SENDER_IP = 14, AT_TARGET_IP = 24 };

/* See arp_claims(). In the kernel, because what others say to each other would fill the socket before a loop that is held up reads it. */
static int attach_arp_filter(int fd, const struct ip_address *address)
{
	const uint8_t *b = address->bytes;
	const uint32_t wanted = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT_SENDER_IP),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 3, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3),
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, AT_TARGET_IP),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, wanted, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	    BPF_STMT(BPF_RET | BPF_K, 0),
	};
	return attach(fd, code, ELEMENTS(code));
}

int arp_socket_open(const struct dhcp_place *place, const struct ip_address *address, struct dhcp_link *ret_link, int *ret_fd,
                    struct error *e)
{
	struct dhcp_link l = {0};
	int fd = socket_in(place, AF_PACKET, SOCK_DGRAM, e);
	if (fd < 0)
		return fd;
	int r = look(fd, place, &l, e);
	if (r == 0) {
		const struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = l.ifindex};
		r = attach_arp_filter(fd, address);
		if (r == 0 && bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
			r = -errno;
		if (r < 0)
			error_set(e, r, "cannot listen for ARP on %s: %s", l.ifname, strerror(-r));
	}
	if (r < 0) {
		packet_socket_close(fd);
		return r;
	}
	*ret_link = l;
	*ret_fd = fd;
	return 0;
}

int arp_socket_probe(int fd, const struct dhcp_link *link, const struct ip_address *address)
{
	uint8_t message[ARP_SIZE];
	struct sockaddr_ll to = {
	    .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = link->ifindex, .sll_halen = ETH_ALEN};
	memset(to.sll_addr, 0xff, ETH_ALEN);
	arp_encode_probe(&link->mac, address, message);
	return sendto(fd, message, sizeof(message), MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

int arp_socket_receive(int fd, struct arp_message *ret)
{
	uint8_t message[RECEIVE_SIZE];
	struct sockaddr_ll from = {0};
	socklen_t size = sizeof(from);
	ssize_t n = recvfrom(fd, message, sizeof(message), 0, (struct sockaddr *)&from, &size);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	if (from.sll_pkttype == PACKET_OTHERHOST) /* and of other VLANs, as above */
		return -ENOMSG;
	return arp_decode(message, (size_t)n, ret);
}

bool arp_socket_has(int fd, const struct dhcp_link *link, const struct ip_address *address)
{
	struct ifreq q[ADDRESSES_SEEN];
	struct ifconf all = {.ifc_len = sizeof(q), .ifc_req = q};
	if (ioctl(fd, SIOCGIFCONF, &all) < 0)
		return false;
	for (size_t i = 0; i < (size_t)all.ifc_len / sizeof(q[0]); i++) {
		const struct sockaddr_in *a = (const struct sockaddr_in *)&q[i].ifr_addr;
		size_t name = strcspn(q[i].ifr_name, ":"); /* a label may follow */
		if (name == strlen(link->ifname) && strncmp(q[i].ifr_name, link->ifname, name) == 0 &&
		    memcmp(&a->sin_addr, address->bytes, 4) == 0)
			return true;
	}
	return false;
}

/* ---- DHCPv6 ---------------------------------------------------------------------------------------------------------------------- */

/* RFC 4291 appendix A. */
static void set_link_local(struct sockaddr_in6 *a, const struct dhcp_link *l)
{
	const uint8_t *m = l->mac.bytes;
	const uint8_t bytes[16] = {0xfe, 0x80, [8] = m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
	memcpy(&a->sin6_addr, bytes, sizeof(bytes));
	a->sin6_scope_id = (uint32_t)l->ifindex;
}

static int bind6(int fd, const struct dhcp_link *l, bool early)
{
	const int on = 1, off = 0;
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(DHCP6_CLIENT_PORT)};
	if (early)
		set_link_local(&address, l);
	if ((early && setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0) ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, l->ifname, (socklen_t)strlen(l->ifname)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof(off)) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

static int open6(const struct dhcp_place *place, bool early, struct dhcp_link *ret_link, int *ret_fd, struct error *e)
{
	struct dhcp_link l = {0};
	int fd = socket_in(place, AF_INET6, SOCK_DGRAM, e);
	if (fd < 0)
		return fd;
	int r = look(fd, place, &l, e);
	if (r == 0 && (r = bind6(fd, &l, early)) < 0)
		error_set(e, r, "cannot listen for DHCPv6 on %s: %s", l.ifname, strerror(-r));
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret_link = l;
	*ret_fd = fd;
	return 0;
}

int dhcp6_socket_open(const struct dhcp_place *place, struct dhcp_link *ret_link, int *ret_fd, struct error *e)
{
	return open6(place, false, ret_link, ret_fd, e);
}

int dhcp6_socket_open_early(const struct dhcp_place *place, struct dhcp_link *ret_link, int *ret_fd, struct error *e)
{
	return open6(place, true, ret_link, ret_fd, e);
}

int dhcp6_socket_send(int fd, const struct dhcp_link *link, const struct dhcp_send *s)
{
	const struct sockaddr_in6 to = {.sin6_family = AF_INET6,
	                                .sin6_port = htons(DHCP6_SERVER_PORT),
	                                .sin6_addr.s6_addr = {0xff, 0x02, [13] = 1, [15] = 2}, /* all relays and servers */
	                                .sin6_scope_id = (uint32_t)link->ifindex};
	return sendto(fd, s->data, s->n, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

int dhcp6_socket_receive(int fd, uint32_t iaid, struct dhcp6_answer *ret)
{
	uint8_t message[RECEIVE_SIZE];
	ssize_t n = recv(fd, message, sizeof(message), MSG_TRUNC);
	if (n < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return (size_t)n > sizeof(message) ? -ENOMSG : dhcp6_decode(message, (size_t)n, iaid, ret);
}
