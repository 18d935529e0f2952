/* SPDX-License-Identifier: Apache-2.0 */
/* ARP for IPv4 over Ethernet (RFC 826), as far as it takes to ask whether an address is in use (RFC 5227). Pure: bytes in, structs out, and
 * back. Whatever comes in is hostile. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/ip.h"

enum { ARP_SIZE = 28 };

struct arp_message {
	bool probe; /* a request of somebody who has no address yet */
	struct mac sender;
	struct ip_address sender_ip, target_ip;
};
/* The question who has `address`, from a link with this hardware address that has none itself, so that nobody learns a wrong one. */
void arp_encode_probe(const struct mac *link, const struct ip_address *address, uint8_t ret[ARP_SIZE]);
/* A request or a reply; what stands behind it is padding. -EBADMSG, or -ENOMSG for another protocol or operation. */
int arp_decode(const uint8_t *data, size_t n, struct arp_message *ret);
/* Whether it says that `address` is in use, or will be: its sender has it, or looks for it as we do. */
bool arp_claims(const struct arp_message *m, const struct ip_address *address);
