/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of the DHCP client. DHCPv4 goes over a packet socket with headers of our own, because there is no address to speak from and
 * the pod's routes are none of ours; a filter in the kernel lets through what is for our client port and hardware address. DHCPv6 goes over
 * a UDP socket from the link-local address that the kernel gave the link; while that is still tentative nothing can be sent
 * (-EADDRNOTAVAIL). All are non-blocking. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"
#include "netlink/arp.h"
#include "netlink/dhcp_message.h"

/* Where a link is: `netns_fd` -1 = in the namespace of the calling thread. The name decides; when it is not there, the number does, if it
 * has this hardware address. */
struct dhcp_place {
	int netns_fd;
	char ifname[16];
	int32_t ifindex;
	struct mac mac;
};
struct dhcp_link {
	int32_t ifindex;
	struct mac mac;
	char ifname[16];
	bool running; /* up, with a carrier */
};

/* -ENODEV: no such link; -EOPNOTSUPP: none with a hardware address of Ethernet. */
int dhcp_link_look(const struct dhcp_place *place, struct dhcp_link *ret, struct error *e);
/* `mac` is the chaddr of the answers that are wanted. */
int dhcp4_socket_open(const struct dhcp_place *place, const struct mac *mac, struct dhcp_link *ret_link, int *ret_fd, struct error *e);
int dhcp6_socket_open(const struct dhcp_place *place, struct dhcp_link *ret_link, int *ret_fd, struct error *e);
/* For one message that nobody answers: from the link-local address that the link would have, also while that is tentative. */
int dhcp6_socket_open_early(const struct dhcp_place *place, struct dhcp_link *ret_link, int *ret_fd, struct error *e);
/* Those for DHCPv4 and ARP, by a thread: the kernel lets go of who closes a packet socket only after an RCU grace period, ten milliseconds
 * and more, and a loop that serves the runtime's hooks has not got those. */
void packet_socket_close(int fd);
int dhcp4_socket_send(int fd, const struct dhcp_link *link, const struct dhcp_send *s);
int dhcp6_socket_send(int fd, const struct dhcp_link *link, const struct dhcp_send *s);
/* -EAGAIN: nothing there; -ENOMSG, -EBADMSG: something else was. `ret_from`: the sender's hardware address. */
int dhcp4_socket_receive(int fd, struct dhcp4_answer *ret, struct mac *ret_from);
int dhcp6_socket_receive(int fd, uint32_t iaid, struct dhcp6_answer *ret);
/* ARP on the link, and of it what speaks of this IPv4 address. */
int arp_socket_open(const struct dhcp_place *place, const struct ip_address *address, struct dhcp_link *ret_link, int *ret_fd,
                    struct error *e);
int arp_socket_probe(int fd, const struct dhcp_link *link, const struct ip_address *address);
int arp_socket_receive(int fd, struct arp_message *ret); /* as above */
/* Whether the link has this IPv4 address, among the first 256 of its namespace. */
bool arp_socket_has(int fd, const struct dhcp_link *link, const struct ip_address *address);
