/* SPDX-License-Identifier: Apache-2.0 */
/* A client without an address cannot use a UDP socket: it makes the headers itself. */
#include <errno.h>
#include <string.h>

#include "netlink/dhcp_message.h"

enum { IP_HEADER = 20, UDP_HEADER = 8, PROTOCOL_UDP = 17, TTL = 64, FRAGMENT = 0x3fff };

/* RFC 1071; `sum` is what came before, of an even number of bytes. */
static uint32_t sum_add(uint32_t sum, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	if (n % 2)
		sum += (uint32_t)data[n - 1] << 8;
	return sum;
}

static uint16_t sum_end(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Of the UDP datagram behind an IPv4 header: pseudo header, header and payload. */
static uint16_t udp_sum(const uint8_t *ip, const uint8_t *udp, size_t n)
{
	uint32_t sum = PROTOCOL_UDP + (uint32_t)n;
	sum = sum_add(sum, ip + 12, 8);
	return sum_end(sum_add(sum, udp, n));
}

size_t dhcp4_frame(const struct dhcp_send *s, uint8_t frame[DHCP4_FRAME_MAX])
{
	uint8_t *udp = frame + IP_HEADER;
	size_t n = UDP_HEADER + s->n;
	memset(frame, 0, IP_HEADER + UDP_HEADER);
	frame[0] = 0x45;
	frame[1] = 0xc0; /* network control, as other clients have it */
	put16(frame + 2, IP_HEADER + n);
	frame[8] = TTL;
	frame[9] = PROTOCOL_UDP;
	if (s->source.family == IP_V4)
		memcpy(frame + 12, s->source.bytes, 4);
	if (s->destination.family == IP_V4)
		memcpy(frame + 16, s->destination.bytes, 4);
	else
		memset(frame + 16, 0xff, 4);
	put16(frame + 10, sum_end(sum_add(0, frame, IP_HEADER)));
	put16(udp, DHCP4_CLIENT_PORT);
	put16(udp + 2, DHCP4_SERVER_PORT);
	put16(udp + 4, n);
	memcpy(udp + UDP_HEADER, s->data, s->n);
	uint16_t sum = udp_sum(frame, udp, n);
	put16(udp + 6, sum ? sum : 0xffff);
	return IP_HEADER + n;
}

int dhcp4_unframe(const uint8_t *packet, size_t n, bool checked, const uint8_t **ret_payload, size_t *ret_n)
{
	struct cursor c = cursor_over(packet, n);
	const uint8_t *ip = cursor_take(&c, IP_HEADER);
	if (!ip)
		return -EBADMSG;
	size_t head = (ip[0] & 0xfu) * 4, total = (size_t)ip[2] << 8 | ip[3];
	if (ip[0] >> 4 != 4 || head < IP_HEADER || total < head + UDP_HEADER || total > n)
		return -EBADMSG;
	if (ip[9] != PROTOCOL_UDP || (((unsigned)ip[6] << 8 | ip[7]) & FRAGMENT))
		return -ENOMSG;
	const uint8_t *udp = packet + head;
	size_t len = (size_t)udp[4] << 8 | udp[5];
	if (((unsigned)udp[2] << 8 | udp[3]) != DHCP4_CLIENT_PORT || ((unsigned)udp[0] << 8 | udp[1]) != DHCP4_SERVER_PORT)
		return -ENOMSG;
	if (len < UDP_HEADER || len > total - head || sum_end(sum_add(0, ip, head)) != 0)
		return -EBADMSG;
	bool summed = udp[6] || udp[7];
	if (summed && !checked && udp_sum(ip, udp, len) != 0)
		return -EBADMSG;
	*ret_payload = udp + UDP_HEADER;
	*ret_n = len - UDP_HEADER;
	return 0;
}
