/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses, prefixes and hardware addresses as plain data, with strict parsers (the rules of Go's netip and net packages, which DRANET
 * validates with: no zones, no leading zeros, no bare address where a prefix is wanted) and canonical output (RFC 5952), which the API
 * server insists on in status.devices[].networkData.ips. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip_address {
	uint8_t family;    /* enum ip_family; IP_NONE = not set */
	uint8_t bytes[16]; /* network order; the first four for IP_V4, the rest zero */
};
struct ip_prefix {
	struct ip_address address; /* with host bits */
	uint8_t length;            /* bits */
};
struct mac {
	uint8_t length; /* 0 = not set; 6, 8 or 20 */
	uint8_t bytes[20];
};

enum { IP_TEXT_MAX = 64, MAC_TEXT_MAX = 64 };

int ip_address_parse(const char *text, struct ip_address *ret); /* 0 or -EINVAL */
int ip_prefix_parse(const char *text, struct ip_prefix *ret);   /* 0 or -EINVAL */
int mac_parse(const char *text, struct mac *ret);               /* colon, hyphen or dot form; 0 or -EINVAL */
void ip_address_format(const struct ip_address *a, char text[IP_TEXT_MAX]);
void ip_prefix_format(const struct ip_prefix *p, char text[IP_TEXT_MAX]);
void mac_format(const struct mac *m, char text[MAC_TEXT_MAX]); /* lower-case colon form, "" when not set */
void ip_prefix_mask(struct ip_prefix *p);                      /* clear the host bits */
bool ip_address_equal(const struct ip_address *a, const struct ip_address *b);
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);
bool mac_equal(const struct mac *a, const struct mac *b);
/* Global unicast as Go means it: not unspecified, loopback, link-local, multicast, nor the IPv4 broadcast. */
bool ip_address_is_global_unicast(const struct ip_address *a);
