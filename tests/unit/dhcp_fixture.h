/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of DHCP servers, for tests of the client. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "netlink/dhcp_machine.h"

static const struct mac test_mac = {6, {0x02, 0, 0, 0, 0x0a, 0x01}};
static const struct mac server_mac = {6, {0x02, 0, 0, 0, 0x0b, 0x02}};

static inline struct ip_address ip(const char *text)
{
	struct ip_address a = {0};
	assert_int_equal(ip_address_parse(text, &a), 0);
	return a;
}

static inline bool is_ip(const struct ip_address *a, const char *text)
{
	struct ip_address b = ip(text);
	return ip_address_equal(a, &b);
}

/* A DHCPv4 reply that grows by options. */
struct reply {
	size_t n;
	uint8_t data[2000];
};

static inline void reply_add(struct reply *r, uint8_t code, uint8_t n, const void *value)
{
	r->data[r->n++] = code;
	r->data[r->n++] = n;
	memcpy(r->data + r->n, value, n);
	r->n += n;
}

static inline void reply_add_u32(struct reply *r, uint8_t code, uint32_t v)
{
	const uint8_t b[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
	reply_add(r, code, 4, b);
}

static inline struct reply reply_new(enum dhcp4_type type, uint32_t xid, const char *address)
{
	struct reply r = {.n = 240, .data = {2, 1, 6, 0, (uint8_t)(xid >> 24), (uint8_t)(xid >> 16), (uint8_t)(xid >> 8), (uint8_t)xid}};
	const uint8_t t = (uint8_t)type;
	if (address) {
		struct ip_address a = ip(address);
		memcpy(r.data + 16, a.bytes, 4);
	}
	memcpy(r.data + 28, test_mac.bytes, 6);
	memcpy(r.data + 236, "\x63\x82\x53\x63", 4);
	reply_add(&r, 53, 1, &t);
	return r;
}

static inline struct reply usual_reply(enum dhcp4_type type, uint32_t xid, const char *address, uint32_t seconds)
{
	struct reply r = reply_new(type, xid, address);
	reply_add_u32(&r, 54, 0xc0000201); /* 192.0.2.1 */
	reply_add_u32(&r, 51, seconds);
	reply_add_u32(&r, 1, 0xffffff00);
	reply_add_u32(&r, 3, 0xc0000201);
	return r;
}

static inline struct dhcp4_answer decoded(struct reply *r)
{
	struct dhcp4_answer a;
	r->data[r->n++] = 255;
	assert_int_equal(dhcp4_decode(r->data, r->n, &a), 0);
	return a;
}
