/* SPDX-License-Identifier: Apache-2.0 */
/* Links as rtnetlink shows them. link_parse() is a pure function over one message; the requests ask for exactly one link each, or for all,
 * and never for VF information (IFLA_EXT_MASK stays away: filling it in holds RTNL for a millisecond and more per VF). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"
#include "core/device.h"
#include "netlink/nlsock.h"

struct link {
	int32_t ifindex;
	int32_t master;    /* 0 = none */
	int32_t lower;     /* IFLA_LINK where it is a link of this namespace; 0 = none */
	int32_t peer;      /* IFLA_LINK as it is, in whatever namespace: the other end, or what it stands on; it does not change */
	bool representor;  /* of a VF or subfunction, on the function of the PF */
	bool peer_away;    /* that is in another namespace */
	bool fixed;        /* the kernel says that it cannot change its namespace; one before 6.15 says nothing */
	uint32_t flags;    /* IFF_* */
	uint16_t hardware; /* ARPHRD_* */
	uint8_t operstate; /* IF_OPER_* */
	uint32_t mtu, min_mtu, max_mtu;
	uint32_t txqlen;
	struct link_sizes sizes;
	struct mac mac, permanent_mac;
	char ifname[IFNAME_SIZE];
	char kind[IFNAME_SIZE]; /* "device" where the link has none: plain hardware */
	char alias[ATTRIBUTE_TEXT_SIZE];
	char switch_id[ATTRIBUTE_TEXT_SIZE]; /* of the switch it is a port of, in hexadecimal; "" = of none */
	char parent[PCI_ADDRESS_SIZE]; /* bus name of the device it stands on ("0000:8a:00.0", "virtio2"); "" = none, or an older kernel */
};

/* RTM_NEWLINK or RTM_DELLINK → link. -ENOMSG for a message that is not about a link of this namespace as a whole (bridge ports, wireless
 * events), -EBADMSG for one that is malformed. */
int link_parse(const struct nlmsghdr *h, struct link *ret);

/* -ENODEV when there is none. */
int link_get(struct nlsock *s, int32_t ifindex, struct link *ret, struct error *e);
int link_get_by_name(struct nlsock *s, const char *ifname, struct link *ret, struct error *e); /* altnames count */
struct nl_msg *link_dump_request(void);
/* RTM_GETLINK, RTM_NEWLINK …; the caller adds attributes. NULL when out of memory. */
struct nl_msg *link_request(uint16_t type, int32_t ifindex, uint32_t flags, uint32_t change);

/* In switchdev mode a PF's function bears a representor of each VF beside its own netdev; its port is named "pf0vf3", "c1pf0vf3" when the
 * VF is another host's, "pf0sf88" for a subfunction, "pf0hpf" for the host's PF on a DPU. */
bool link_port_is_representor(const char *port_name);
/* "ether" for ARPHRD_ETHER; what DRANET publishes as encapsulation (iproute2's names). */
void link_encapsulation(uint16_t hardware, char *text, size_t size);
const char *link_operstate(uint8_t operstate); /* "up", "lower-layer-down" … */
/* What DRANET publishes as type: the kernel's kind, but for tun and tap, which netlink libraries in Go call "tuntap". */
const char *link_type(const char *kind);

/* How a link should be. Nothing is asked of the kernel that is so already. */
struct link_wish {
	const char *ifname;      /* NULL = as it is */
	uint32_t mtu;            /* 0 = as it is */
	const struct mac *mac;   /* NULL or empty = as it is */
	struct link_sizes sizes; /* 0 = as it is */
	bool has_txqlen;
	uint32_t txqlen;
	int32_t ifindex; /* only of a move: the number it gets there; 0 = the kernel's choice, which is its own unless that is taken */
};
/* Add what differs between `have` and `wish`; false = did not fit. `*ret_any` (may be NULL): whether anything was added. */
bool link_wish_put(struct nl_msg *m, const struct link *have, const struct link_wish *wish, bool *ret_any);
/* One request for all that differs, the link taken down before where the kernel wants that (renaming, new MAC). */
int link_apply(struct nlsock *s, const struct link *have, const struct link_wish *wish, struct error *e);
int link_set_up(struct nlsock *s, int32_t ifindex, bool up, struct error *e);
int link_set_master(struct nlsock *s, int32_t ifindex, int32_t master, struct error *e);
/* Into another namespace together with the rest of the wish. Not atomic: after a failure the link may be there already, under either name.
 * -EBUSY: the number is taken there, and it has not moved. */
int link_move(struct nlsock *s, const struct link *have, int netns_fd, const struct link_wish *wish, struct error *e);
