/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "netlink/dhcp_message.h"

enum {
	OP_REQUEST = 1,
	OP_REPLY = 2,
	HARDWARE_ETHERNET = 1,
	MAGIC = 0x63825363,
	FLAG_BROADCAST = 0x8000,
	HEADER_SIZE = 236,
	SNAME_AT = 44,
	FILE_AT = 108,
	MESSAGE_MIN = 300, /* BOOTP's: relays have been seen to drop what is shorter */
	OPTION_SIZE = 1500,
};
enum option {
	OPTION_PAD = 0,
	OPTION_MASK = 1,
	OPTION_ROUTER = 3,
	OPTION_DNS = 6,
	OPTION_DOMAIN = 15,
	OPTION_MTU = 26,
	OPTION_BROADCAST = 28,
	OPTION_REQUESTED = 50,
	OPTION_LEASE_TIME = 51,
	OPTION_OVERLOAD = 52,
	OPTION_TYPE = 53,
	OPTION_SERVER = 54,
	OPTION_WANTED = 55,
	OPTION_TEXT = 56,
	OPTION_MAX_SIZE = 57,
	OPTION_T1 = 58,
	OPTION_T2 = 59,
	OPTION_CLIENT = 61,
	OPTION_SEARCH = 119,
	OPTION_CLASSLESS = 121,
	OPTION_END = 255,
};

/* ---- making ---------------------------------------------------------------------------------------------------------------------- */

static void put(struct dhcp_send *s, const void *data, size_t n)
{
	if (s->n + n <= sizeof(s->data)) {
		memcpy(s->data + s->n, data, n);
		s->n += n;
	}
}

static void put_option(struct dhcp_send *s, enum option code, const void *data, size_t n)
{
	const uint8_t head[] = {(uint8_t)code, (uint8_t)n};
	put(s, head, sizeof(head));
	put(s, data, n);
}

static void put_ip_option(struct dhcp_send *s, enum option code, const struct ip_address *a)
{
	if (a->family == IP_V4)
		put_option(s, code, a->bytes, 4);
}

static void put_options(struct dhcp_send *s, const struct dhcp4_request *q)
{
	/* RFC 3442: whoever asks for classless routes names them before routers. */
	static const uint8_t wanted[] = {OPTION_MASK,      OPTION_CLASSLESS,  OPTION_ROUTER, OPTION_DNS, OPTION_DOMAIN, OPTION_MTU,
	                                 OPTION_BROADCAST, OPTION_LEASE_TIME, OPTION_SERVER, OPTION_T1,  OPTION_T2,     OPTION_SEARCH};
	const uint8_t type = (uint8_t)q->type, size[] = {DHCP_MESSAGE_MAX >> 8, DHCP_MESSAGE_MAX & 0xff}, end = OPTION_END;
	uint8_t client[1 + 6] = {HARDWARE_ETHERNET};
	memcpy(client + 1, q->mac.bytes, 6);
	put_option(s, OPTION_TYPE, &type, 1);
	put_option(s, OPTION_CLIENT, client, sizeof(client));
	put_ip_option(s, OPTION_REQUESTED, &q->requested);
	put_ip_option(s, OPTION_SERVER, &q->server);
	if (q->type != DHCP4_RELEASE && q->type != DHCP4_DECLINE) {
		put_option(s, OPTION_MAX_SIZE, size, sizeof(size));
		put_option(s, OPTION_WANTED, wanted, sizeof(wanted));
	}
	put(s, &end, 1);
}

void dhcp4_encode(const struct dhcp4_request *q, struct dhcp_send *ret)
{
	const uint8_t magic[] = {MAGIC >> 24, MAGIC >> 16 & 0xff, MAGIC >> 8 & 0xff, MAGIC & 0xff};
	ret->n = HEADER_SIZE;
	memset(ret->data, 0, sizeof(ret->data));
	uint8_t *p = ret->data;
	p[0] = OP_REQUEST;
	p[1] = HARDWARE_ETHERNET;
	p[2] = 6;
	for (unsigned i = 0; i < 4; i++)
		p[4 + i] = (uint8_t)(q->xid >> (24 - 8 * i));
	p[8] = (uint8_t)(q->seconds >> 8);
	p[9] = (uint8_t)q->seconds;
	p[10] = q->broadcast ? FLAG_BROADCAST >> 8 : 0;
	if (q->client.family == IP_V4)
		memcpy(p + 12, q->client.bytes, 4);
	memcpy(p + 28, q->mac.bytes, 6);
	put(ret, magic, sizeof(magic));
	put_options(ret, q);
	if (ret->n < MESSAGE_MIN)
		ret->n = MESSAGE_MIN; /* pad options, which are zero */
	ret->wanted = true;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

/* The value of an option: an option may come in parts, which belong together in the order in which they come (RFC 3396), and go on in the
 * fields for file and server name (option overload). */
struct option_value {
	size_t n;
	uint8_t v[OPTION_SIZE];
};

static void collect(const uint8_t *area, size_t size, uint8_t code, struct option_value *ret)
{
	struct cursor c = cursor_over(area, size);
	while (cursor_left(&c) > 0) {
		uint8_t tag = cursor_u8(&c);
		if (tag == OPTION_PAD)
			continue;
		if (tag == OPTION_END)
			return;
		uint8_t len = cursor_u8(&c);
		const uint8_t *data = cursor_take(&c, len);
		if (!data) /* cut: what came before it counts */
			return;
		if (tag == code && ret->n + len <= sizeof(ret->v)) {
			memcpy(ret->v + ret->n, data, len);
			ret->n += len;
		}
	}
}

struct message {
	const uint8_t *data;
	size_t n;
	uint8_t overload;
};

static const struct option_value *option(const struct message *m, enum option code, struct option_value *ret)
{
	ret->n = 0;
	collect(m->data + HEADER_SIZE + 4, m->n - HEADER_SIZE - 4, (uint8_t)code, ret);
	if (m->overload & 1)
		collect(m->data + FILE_AT, HEADER_SIZE - FILE_AT, (uint8_t)code, ret);
	if (m->overload & 2)
		collect(m->data + SNAME_AT, FILE_AT - SNAME_AT, (uint8_t)code, ret);
	return ret;
}

/* The same option given several times is one that is joined: of fixed sizes the first is meant. */
static bool option_u32(const struct message *m, enum option code, uint32_t *ret)
{
	struct option_value v;
	struct cursor c = cursor_over(v.v, option(m, code, &v)->n);
	uint32_t n = cursor_be32(&c);
	if (c.failed)
		return false;
	*ret = n;
	return true;
}

static struct ip_address take_ip(struct cursor *c)
{
	struct ip_address a = {0};
	const uint8_t *p = cursor_take(c, 4);
	if (p) {
		a.family = IP_V4;
		memcpy(a.bytes, p, 4);
	}
	return a;
}

/* Neither 0/8, loopback, multicast nor broadcast. */
static bool is_host(const struct ip_address *a)
{
	return a->family == IP_V4 && a->bytes[0] != 0 && a->bytes[0] != 127 && a->bytes[0] < 224;
}

static struct ip_address option_ip(const struct message *m, enum option code)
{
	struct option_value v;
	struct cursor c = cursor_over(v.v, option(m, code, &v)->n);
	struct ip_address a = take_ip(&c);
	return is_host(&a) ? a : (struct ip_address){0};
}

/* Of the mask, or of the address's class where the server gave none that is one. */
static uint8_t prefix_length(const struct message *m, const struct ip_address *address)
{
	uint32_t mask = 0;
	if (option_u32(m, OPTION_MASK, &mask) && mask != 0 && (~mask & (~mask + 1)) == 0)
		return (uint8_t)__builtin_popcount(mask);
	return address->bytes[0] < 128 ? 8 : address->bytes[0] < 192 ? 16 : 24;
}

static void read_times(const struct message *m, struct lease *l)
{
	uint32_t t1 = 0, t2 = 0;
	(void)option_u32(m, OPTION_T1, &t1);
	(void)option_u32(m, OPTION_T2, &t2);
	if (l->valid == LEASE_FOR_EVER) {
		l->renew = l->rebind = LEASE_FOR_EVER;
		return;
	}
	/* RFC 2131 4.4.5: half of the time, and seven eighths, where the server says nothing that makes sense. */
	l->rebind = t2 > DHCP_RENEW_MIN_S && t2 < l->valid ? t2 : (uint32_t)((uint64_t)l->valid * 7 / 8);
	l->renew = t1 >= DHCP_RENEW_MIN_S && t1 < l->rebind ? t1 : l->valid / 2 < l->rebind ? l->valid / 2 : l->rebind - 1;
}

static void read_classless(const struct option_value *v, struct lease *l)
{
	const struct ip_address on_link = {.family = IP_V4}; /* 0.0.0.0 */
	struct cursor c = cursor_over(v->v, v->n);
	while (cursor_left(&c) > 0 && l->n_routes < LEASE_ROUTES_MAX) {
		struct lease_route r = {.destination = {.address = {.family = IP_V4}, .length = cursor_u8(&c)}};
		if (r.destination.length > 32)
			return;
		size_t significant = (r.destination.length + 7u) / 8;
		const uint8_t *p = cursor_take(&c, significant);
		struct ip_address gateway = take_ip(&c);
		if (c.failed)
			return;
		memcpy(r.destination.address.bytes, p, significant);
		ip_prefix_mask(&r.destination);
		if (is_host(&gateway))
			r.gateway = gateway;
		else if (!ip_address_equal(&gateway, &on_link))
			continue;
		l->routes[l->n_routes++] = r;
	}
}

/* RFC 3442: who understands classless routes ignores the routers when both are there. */
static void read_routes(const struct message *m, struct lease *l)
{
	struct option_value v;
	read_classless(option(m, OPTION_CLASSLESS, &v), l);
	if (l->n_routes > 0)
		return;
	struct ip_address router = option_ip(m, OPTION_ROUTER);
	if (router.family != IP_NONE)
		l->routes[l->n_routes++] = (struct lease_route){.destination = {.address = {.family = IP_V4}}, .gateway = router};
}

static void read_names(const struct message *m, struct lease *l)
{
	struct option_value v;
	struct cursor c = cursor_over(v.v, option(m, OPTION_DNS, &v)->n);
	while (cursor_left(&c) >= 4 && l->n_dns < LEASE_DNS_MAX) {
		struct ip_address a = take_ip(&c);
		if (is_host(&a))
			l->dns[l->n_dns++] = a;
	}
	option(m, OPTION_DOMAIN, &v);
	dhcp_name_add((const char *)v.v, v.n, l->domain, sizeof(l->domain));
	option(m, OPTION_SEARCH, &v);
	dhcp_names_read(v.v, v.n, l->domain, sizeof(l->domain));
}

static void read_lease(const struct message *m, const struct ip_address *address, struct lease *l)
{
	struct option_value v;
	struct cursor c = cursor_over(v.v, option(m, OPTION_MTU, &v)->n);
	uint16_t mtu = cursor_be16(&c);
	l->server = option_ip(m, OPTION_SERVER);
	l->mtu = mtu >= 68 ? mtu : 0;
	if (!is_host(address) || l->server.family == IP_NONE || !option_u32(m, OPTION_LEASE_TIME, &l->valid) || l->valid < DHCP_LEASE_MIN_S)
		return;
	l->held = true;
	l->addresses[l->n_addresses++] =
	    (struct lease_address){.prefix = {*address, prefix_length(m, address)}, .valid = l->valid, .preferred = l->valid};
	read_times(m, l);
	read_routes(m, l);
	read_names(m, l);
}

static void read_text(const struct message *m, char text[DHCP4_TEXT_SIZE])
{
	struct option_value v;
	option(m, OPTION_TEXT, &v);
	size_t n = v.n < DHCP4_TEXT_SIZE - 1 ? v.n : DHCP4_TEXT_SIZE - 1;
	for (size_t i = 0; i < n; i++)
		text[i] = v.v[i] >= 0x20 && v.v[i] < 0x7f ? (char)v.v[i] : '?';
	text[n] = '\0';
}

int dhcp4_decode(const uint8_t *data, size_t n, struct dhcp4_answer *ret)
{
	struct dhcp4_answer a = {.mac = {.length = 6}};
	struct option_value v;
	struct cursor c = cursor_over(data, n);
	const uint8_t *head = cursor_take(&c, HEADER_SIZE);
	uint32_t magic = cursor_be32(&c);
	if (c.failed || magic != MAGIC)
		return -EBADMSG;
	if (head[0] != OP_REPLY || head[1] != HARDWARE_ETHERNET || head[2] != 6)
		return -ENOMSG;
	struct message m = {.data = data, .n = n};
	if (option(&m, OPTION_OVERLOAD, &v)->n > 0)
		m.overload = v.v[0];
	if (option(&m, OPTION_TYPE, &v)->n == 0 || (v.v[0] != DHCP4_OFFER && v.v[0] != DHCP4_ACK && v.v[0] != DHCP4_NAK))
		return -ENOMSG;
	a.type = v.v[0];
	struct cursor fields = cursor_over(head + 4, 4);
	a.xid = cursor_be32(&fields);
	memcpy(a.mac.bytes, head + 28, 6);
	fields = cursor_over(head + 16, 4);
	struct ip_address address = take_ip(&fields);
	read_lease(&m, &address, &a.lease);
	read_text(&m, a.text);
	*ret = a;
	return 0;
}
