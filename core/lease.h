/* SPDX-License-Identifier: Apache-2.0 */
/* What a DHCP server lent to a device (RFC 2131, RFC 8415). Core keeps it in the claim's record, so that it outlives a restart; whoever
 * speaks the protocol makes it, and makes a new one at each renewal. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/ip.h"

enum {
	LEASE_ADDRESSES_MAX = 8,
	LEASE_ROUTES_MAX = 32,
	LEASE_DNS_MAX = 8,
	LEASE_DOMAIN_SIZE = 256,
	LEASE_SERVER_ID_SIZE = 261, /* a DUID of 130 bytes in hexadecimal digits */
	LEASE_FOR_EVER = UINT32_MAX,
};

struct lease_address {
	struct ip_prefix prefix;
	uint32_t valid, preferred; /* seconds from `taken_at` */
};
struct lease_route {
	struct ip_prefix destination;
	struct ip_address gateway; /* IP_NONE = on link */
};
struct lease {
	bool held;                            /* false = none of this family */
	uint64_t taken_at;                    /* CLOCK_BOOTTIME, ms */
	uint32_t renew, rebind, valid;        /* T1, T2 and the end: seconds from `taken_at` */
	struct ip_address server;             /* IPv4: the server identifier */
	struct mac server_mac;                /* whom the answer came from: server, or the relay before it */
	char server_id[LEASE_SERVER_ID_SIZE]; /* IPv6: the server's DUID */
	uint32_t iaid;                        /* IPv6 */
	uint32_t mtu;                         /* 0 = not said */
	size_t n_addresses, n_routes, n_dns;
	struct lease_address addresses[LEASE_ADDRESSES_MAX];
	struct lease_route routes[LEASE_ROUTES_MAX];
	struct ip_address dns[LEASE_DNS_MAX];
	char domain[LEASE_DOMAIN_SIZE]; /* and search list, separated by spaces */
};

/* The length that was granted, in seconds; 0 = for ever, or not known: a DHCPv6 server may as well say what is left of one. */
uint32_t lease_seconds(const struct lease *l);

/* Of one device. Immutable once made and shared by reference, as attach_plan is. */
struct leases {
	unsigned references;
	struct lease v4, v6;
};
struct leases *leases_new(void);             /* one reference, nothing held; NULL when out of memory */
struct leases *leases_ref(struct leases *l); /* NULL allowed */
void leases_unref(struct leases *l);         /* NULL allowed */
