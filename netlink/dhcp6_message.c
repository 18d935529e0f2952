/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "netlink/dhcp_message.h"

enum option {
	OPTION_CLIENTID = 1,
	OPTION_SERVERID = 2,
	OPTION_IA_NA = 3,
	OPTION_IAADDR = 5,
	OPTION_ORO = 6,
	OPTION_ELAPSED = 8,
	OPTION_STATUS = 13,
	OPTION_RAPID_COMMIT = 14,
	OPTION_DNS = 23,
	OPTION_SEARCH = 24,
	OPTION_SOL_MAX_RT = 82,
};
enum {
	DUID_LL = 3,
	HARDWARE_ETHERNET = 1,
	DUID_LL_SIZE = 10,
	DUID_MAX = 130,
	SOL_MAX_RT_MIN = 60, /* RFC 8415 21.24 */
	SOL_MAX_RT_MAX = 86400,
};

/* ---- making ---------------------------------------------------------------------------------------------------------------------- */

static void put(struct dhcp_send *s, const void *data, size_t n)
{
	if (s->n + n <= sizeof(s->data)) {
		memcpy(s->data + s->n, data, n);
		s->n += n;
	}
}

static void put16(struct dhcp_send *s, uint16_t v)
{
	const uint8_t b[] = {(uint8_t)(v >> 8), (uint8_t)v};
	put(s, b, sizeof(b));
}

static void put32(struct dhcp_send *s, uint32_t v)
{
	put16(s, (uint16_t)(v >> 16));
	put16(s, (uint16_t)v);
}

static size_t open_option(struct dhcp_send *s, enum option code)
{
	put16(s, (uint16_t)code);
	put16(s, 0);
	return s->n;
}

static void close_option(struct dhcp_send *s, size_t begin)
{
	size_t len = s->n - begin;
	s->data[begin - 2] = (uint8_t)(len >> 8);
	s->data[begin - 1] = (uint8_t)len;
}

static void put_client(struct dhcp_send *s, const struct mac *mac)
{
	size_t o = open_option(s, OPTION_CLIENTID);
	put16(s, DUID_LL);
	put16(s, HARDWARE_ETHERNET);
	put(s, mac->bytes, 6);
	close_option(s, o);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The record says what to put here: what is no hexadecimal digit ends it. */
static void put_server(struct dhcp_send *s, const char *duid)
{
	if (!duid || !*duid)
		return;
	size_t o = open_option(s, OPTION_SERVERID);
	for (; hex_digit(duid[0]) >= 0 && hex_digit(duid[1]) >= 0; duid += 2) {
		uint8_t b = (uint8_t)(hex_digit(duid[0]) << 4 | hex_digit(duid[1]));
		put(s, &b, 1);
	}
	close_option(s, o);
}

static void put_ia(struct dhcp_send *s, const struct dhcp6_request *q)
{
	size_t o = open_option(s, OPTION_IA_NA);
	put32(s, q->iaid);
	put32(s, 0); /* T1 and T2 are the server's business */
	put32(s, 0);
	for (size_t i = 0; q->addresses && i < q->addresses->n_addresses; i++) {
		size_t a = open_option(s, OPTION_IAADDR);
		put(s, q->addresses->addresses[i].prefix.address.bytes, 16);
		put32(s, 0);
		put32(s, 0);
		close_option(s, a);
	}
	close_option(s, o);
}

void dhcp6_encode(const struct dhcp6_request *q, struct dhcp_send *ret)
{
	static const uint16_t wanted[] = {OPTION_DNS, OPTION_SEARCH, OPTION_SOL_MAX_RT};
	ret->n = 0;
	put32(ret, (uint32_t)q->type << 24 | (q->xid & 0xffffff));
	put_client(ret, &q->mac);
	put_server(ret, q->server);
	size_t o = open_option(ret, OPTION_ELAPSED);
	put16(ret, (uint16_t)(q->elapsed_cs > UINT16_MAX ? UINT16_MAX : q->elapsed_cs));
	close_option(ret, o);
	put_ia(ret, q);
	if (q->type == DHCP6_SOLICIT)
		(void)open_option(ret, OPTION_RAPID_COMMIT);
	if (q->type != DHCP6_RELEASE) {
		o = open_option(ret, OPTION_ORO);
		for (size_t i = 0; i < ELEMENTS(wanted); i++)
			put16(ret, wanted[i]);
		close_option(ret, o);
	}
	ret->wanted = true;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

struct option_view {
	uint16_t code;
	struct cursor data;
};

/* The next option of a list; false at its end, with `failed` set when it is cut. */
static bool next_option(struct cursor *c, struct option_view *ret)
{
	if (cursor_left(c) == 0)
		return false;
	ret->code = cursor_be16(c);
	uint16_t len = cursor_be16(c);
	const uint8_t *data = cursor_take(c, len);
	ret->data = cursor_over(data, data ? len : 0);
	return !c->failed;
}

static bool take_ip(struct cursor *c, struct ip_address *ret)
{
	const uint8_t *p = cursor_take(c, 16);
	if (!p)
		return false;
	*ret = (struct ip_address){.family = IP_V6};
	memcpy(ret->bytes, p, 16);
	return true;
}

static void note_status(struct dhcp6_answer *a, struct cursor *c)
{
	uint16_t status = cursor_be16(c);
	if (!c->failed && status != DHCP6_SUCCESS)
		a->status = status <= DHCP6_USE_MULTICAST ? (enum dhcp6_status)status : DHCP6_UNSPEC_FAIL;
}

static void read_address(struct dhcp6_answer *a, struct cursor *c)
{
	struct lease *l = &a->lease;
	struct lease_address got = {.prefix.length = 128};
	struct option_view o;
	bool refused = false;
	if (!take_ip(c, &got.prefix.address))
		return;
	got.preferred = cursor_be32(c);
	got.valid = cursor_be32(c);
	while (next_option(c, &o))
		refused |= o.code == OPTION_STATUS && cursor_be16(&o.data) != DHCP6_SUCCESS;
	if (c->failed || refused)
		return;
	if (got.valid == 0 && a->n_ended < LEASE_ADDRESSES_MAX)
		a->ended[a->n_ended++] = got.prefix.address;
	if (got.valid < DHCP_LEASE_MIN_S || got.preferred > got.valid || !ip_address_is_global_unicast(&got.prefix.address) ||
	    l->n_addresses == LEASE_ADDRESSES_MAX)
		return;
	l->addresses[l->n_addresses++] = got;
}

static void read_ia(struct dhcp6_answer *a, struct cursor *c, uint32_t iaid)
{
	struct option_view o;
	struct lease *l = &a->lease;
	uint32_t id = cursor_be32(c), t1 = cursor_be32(c), t2 = cursor_be32(c);
	if (c->failed || id != iaid || (t1 > t2 && t2 > 0))
		return;
	l->iaid = id;
	l->renew = t1;
	l->rebind = t2;
	while (next_option(c, &o)) {
		if (o.code == OPTION_IAADDR)
			read_address(a, &o.data);
		else if (o.code == OPTION_STATUS)
			note_status(a, &o.data);
	}
}

static void read_client(struct dhcp6_answer *a, struct cursor *c)
{
	bool ours = cursor_left(c) == DUID_LL_SIZE;
	ours = cursor_be16(c) == DUID_LL && ours;
	ours = cursor_be16(c) == HARDWARE_ETHERNET && ours;
	const uint8_t *mac = cursor_take(c, 6);
	if (!mac || !ours)
		return;
	a->mac.length = 6;
	memcpy(a->mac.bytes, mac, 6);
}

static void read_server(struct lease *l, struct cursor *c)
{
	size_t n = cursor_left(c);
	const uint8_t *duid = cursor_take(c, n);
	if (!duid || n == 0 || n > DUID_MAX)
		return;
	for (size_t i = 0; i < n; i++)
		snprintf(l->server_id + 2 * i, 3, "%02x", duid[i]);
}

static void read_option(struct dhcp6_answer *a, struct option_view *o, uint32_t iaid)
{
	struct lease *l = &a->lease;
	struct ip_address dns;
	uint32_t seconds = 0;
	switch (o->code) {
	case OPTION_CLIENTID:
		read_client(a, &o->data);
		break;
	case OPTION_SERVERID:
		read_server(l, &o->data);
		break;
	case OPTION_IA_NA:
		read_ia(a, &o->data, iaid);
		break;
	case OPTION_STATUS:
		note_status(a, &o->data);
		break;
	case OPTION_RAPID_COMMIT:
		a->rapid_commit = true;
		break;
	case OPTION_DNS:
		while (l->n_dns < LEASE_DNS_MAX && cursor_left(&o->data) >= 16 && take_ip(&o->data, &dns))
			l->dns[l->n_dns++] = dns;
		break;
	case OPTION_SEARCH:
		dhcp_names_read(o->data.at, cursor_left(&o->data), l->domain, sizeof(l->domain));
		break;
	case OPTION_SOL_MAX_RT:
		seconds = cursor_be32(&o->data);
		if (seconds >= SOL_MAX_RT_MIN && seconds <= SOL_MAX_RT_MAX)
			a->sol_max_rt = seconds;
		break;
	default:
		break;
	}
}

/* Of T1 and T2 that the server leaves to the client: RFC 8415 21.4 has half and four fifths of the shortest preferred lifetime. */
static void finish_times(struct lease *l)
{
	uint32_t shortest = LEASE_FOR_EVER, longest = 0;
	for (size_t i = 0; i < l->n_addresses; i++) {
		uint32_t preferred = l->addresses[i].preferred, valid = l->addresses[i].valid;
		if (preferred >= DHCP_LEASE_MIN_S && preferred < shortest)
			shortest = preferred;
		if (valid < shortest)
			shortest = valid;
		if (valid > longest)
			longest = valid;
	}
	l->valid = longest;
	if (shortest == LEASE_FOR_EVER) {
		l->renew = l->renew ? l->renew : LEASE_FOR_EVER;
		l->rebind = l->rebind ? l->rebind : LEASE_FOR_EVER;
	}
	if (l->rebind <= DHCP_RENEW_MIN_S || (l->rebind >= longest && longest != LEASE_FOR_EVER))
		l->rebind = (uint32_t)((uint64_t)shortest * 4 / 5);
	if (l->renew < DHCP_RENEW_MIN_S || (l->renew >= l->rebind && l->rebind != LEASE_FOR_EVER))
		l->renew = shortest / 2 < l->rebind ? shortest / 2 : l->rebind - 1;
}

int dhcp6_decode(const uint8_t *data, size_t n, uint32_t iaid, struct dhcp6_answer *ret)
{
	struct dhcp6_answer a = {0};
	struct option_view o;
	struct cursor c = cursor_over(data, n);
	uint32_t head = cursor_be32(&c);
	if (c.failed)
		return -EBADMSG;
	if (head >> 24 != DHCP6_ADVERTISE && head >> 24 != DHCP6_REPLY)
		return -ENOMSG;
	a.type = head >> 24;
	a.xid = head & 0xffffff;
	while (next_option(&c, &o))
		read_option(&a, &o, iaid);
	if (c.failed || !a.lease.server_id[0])
		return -EBADMSG;
	if (a.mac.length == 0)
		return -ENOMSG;
	if (a.lease.n_addresses > 0 && a.status == DHCP6_SUCCESS) {
		a.lease.held = true;
		finish_times(&a.lease);
	}
	*ret = a;
	return 0;
}
