/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP on the wire: messages of DHCPv4 (RFC 2131, 2132, 3396, 3397, 3442) and DHCPv6 (RFC 8415, 3646) with the options a NIC of a pod can
 * use, and the IPv4 and UDP headers around the former. All pure: bytes in, structs out, and back. Whatever comes in is hostile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cursor.h"
#include "core/lease.h"

enum {
	DHCP_MESSAGE_MAX = 1472, /* what we make, and how much we say that we take */
	DHCP_LEASE_MIN_S = 10,   /* a shorter lease would be nothing but traffic: refused, */
	DHCP_RENEW_MIN_S = 5,    /* and so would be T1 or T2 before this: ours are taken instead */
	DHCP4_SERVER_PORT = 67,
	DHCP4_CLIENT_PORT = 68,
	DHCP6_CLIENT_PORT = 546,
	DHCP6_SERVER_PORT = 547,
};

/* A message to be sent. */
struct dhcp_send {
	bool wanted;              /* false = nothing */
	struct mac to;            /* IPv4: the hardware address; length 0 = broadcast. IPv6 is multicast always */
	struct ip_address source; /* IPv4 header; IP_NONE = 0.0.0.0 */
	struct ip_address destination;
	struct ip_address probe; /* not IP_NONE: no message, but the question by ARP who has this address */
	size_t n;
	uint8_t data[DHCP_MESSAGE_MAX];
};

static inline uint16_t cursor_be16(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 2);
	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

/* Domain names of RFC 1035 form, with compression, appended to `text` with spaces between; one that is there already is left out, and so
 * is what does not look like a host name. Stops at the first malformed one. */
void dhcp_names_read(const uint8_t *data, size_t n, char *text, size_t size);
/* One name from a text option: appended as above. */
void dhcp_name_add(const char *name, size_t n, char *text, size_t size);

/* ---- DHCPv4 ---------------------------------------------------------------------------------------------------------------------- */

enum dhcp4_type {
	DHCP4_DISCOVER = 1,
	DHCP4_OFFER,
	DHCP4_REQUEST,
	DHCP4_DECLINE,
	DHCP4_ACK,
	DHCP4_NAK,
	DHCP4_RELEASE,
};

struct dhcp4_request {
	enum dhcp4_type type;
	uint32_t xid;
	uint16_t seconds;
	bool broadcast;              /* the answer cannot reach us at the address of the lease yet: the chaddr is not the link's */
	struct mac mac;              /* chaddr, and client identifier */
	struct ip_address client;    /* ciaddr; IP_NONE = none */
	struct ip_address requested; /* option 50 */
	struct ip_address server;    /* option 54 */
};
void dhcp4_encode(const struct dhcp4_request *q, struct dhcp_send *ret);

enum { DHCP4_TEXT_SIZE = 64 };
struct dhcp4_answer {
	enum dhcp4_type type; /* OFFER, ACK or NAK */
	uint32_t xid;
	struct mac mac;             /* chaddr */
	struct lease lease;         /* all but taken_at and server_mac; `held` when it can be used */
	char text[DHCP4_TEXT_SIZE]; /* option 56, printable */
};
/* -EBADMSG, or -ENOMSG for what is none of these answers to an Ethernet client. */
int dhcp4_decode(const uint8_t *data, size_t n, struct dhcp4_answer *ret);

enum { DHCP4_FRAME_MAX = 20 + 8 + DHCP_MESSAGE_MAX };
/* IPv4 and UDP headers with their checksums before the message; the length of all. */
size_t dhcp4_frame(const struct dhcp_send *s, uint8_t frame[DHCP4_FRAME_MAX]);
/* From an IPv4 packet to the UDP payload of one to the client port; `checked` = the sender's kernel has left the checksum to hardware that
 * never saw it. -ENOMSG or -EBADMSG. */
int dhcp4_unframe(const uint8_t *packet, size_t n, bool checked, const uint8_t **ret_payload, size_t *ret_n);

/* ---- DHCPv6 ---------------------------------------------------------------------------------------------------------------------- */

enum dhcp6_type {
	DHCP6_SOLICIT = 1,
	DHCP6_ADVERTISE,
	DHCP6_REQUEST,
	DHCP6_RENEW = 5,
	DHCP6_REBIND,
	DHCP6_REPLY,
	DHCP6_RELEASE,
};
enum dhcp6_status {
	DHCP6_SUCCESS,
	DHCP6_UNSPEC_FAIL,
	DHCP6_NO_ADDRS_AVAIL,
	DHCP6_NO_BINDING,
	DHCP6_NOT_ON_LINK,
	DHCP6_USE_MULTICAST,
};

struct dhcp6_request {
	enum dhcp6_type type;
	uint32_t xid;        /* 24 bits */
	uint32_t elapsed_cs; /* hundredths of a second */
	struct mac mac;      /* DUID-LL */
	const char *server;  /* the DUID in hexadecimal digits; "" = none */
	uint32_t iaid;
	const struct lease *addresses; /* NULL = none are named */
};
void dhcp6_encode(const struct dhcp6_request *q, struct dhcp_send *ret);

struct dhcp6_answer {
	enum dhcp6_type type; /* ADVERTISE or REPLY */
	uint32_t xid;
	struct mac mac; /* of the DUID-LL that it is for */
	bool rapid_commit;
	enum dhcp6_status status; /* the worst of the message's and our IA's */
	uint32_t sol_max_rt;      /* option 82, seconds; 0 = not said */
	size_t n_ended;           /* addresses of our IA that are not to be used any more: their valid lifetime is 0 */
	struct ip_address ended[LEASE_ADDRESSES_MAX];
	struct lease lease; /* all but taken_at and server_mac; `held` when it can be used */
};
/* -EBADMSG, or -ENOMSG for what is neither or has no DUID-LL of an Ethernet client. Of several IAs the one of `iaid` is read. */
int dhcp6_decode(const uint8_t *data, size_t n, uint32_t iaid, struct dhcp6_answer *ret);
