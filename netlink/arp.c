/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/arp.h"

#include <errno.h>
#include <string.h>

enum { OPERATION_REQUEST = 1, OPERATION_REPLY = 2 };

/* Hardware type Ethernet, protocol IPv4, and how long their addresses are. */
static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0};

void arp_encode_probe(const struct mac *link, const struct ip_address *address, uint8_t ret[ARP_SIZE])
{
	memset(ret, 0, ARP_SIZE);
	memcpy(ret, head, sizeof(head));
	ret[7] = OPERATION_REQUEST;
	memcpy(ret + 8, link->bytes, 6);
	memcpy(ret + 24, address->bytes, 4);
}

static struct ip_address address_at(const uint8_t *p)
{
	struct ip_address a = {.family = IP_V4};
	memcpy(a.bytes, p, 4);
	return a;
}

int arp_decode(const uint8_t *data, size_t n, struct arp_message *ret)
{
	static const uint8_t none[4];
	if (n < ARP_SIZE)
		return -EBADMSG;
	if (memcmp(data, head, sizeof(head)) != 0 || (data[7] != OPERATION_REQUEST && data[7] != OPERATION_REPLY))
		return -ENOMSG;
	*ret = (struct arp_message){.probe = data[7] == OPERATION_REQUEST && memcmp(data + 14, none, 4) == 0,
	                            .sender = {.length = 6},
	                            .sender_ip = address_at(data + 14),
	                            .target_ip = address_at(data + 24)};
	memcpy(ret->sender.bytes, data + 8, 6);
	return 0;
}

bool arp_claims(const struct arp_message *m, const struct ip_address *address)
{
	return ip_address_equal(&m->sender_ip, address) || (m->probe && ip_address_equal(&m->target_ip, address));
}
