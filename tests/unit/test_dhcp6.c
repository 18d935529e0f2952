/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv6: messages byte by byte, and the state machine of RFC 8415 18.2 for one IA_NA. */
#include "dhcp_fixture.h"

#include <errno.h>

enum { T1 = 1000, T2 = 1600, PREFERRED = 2000, VALID = 3000, IAID = 0x00000a01 };

static void add16(struct reply *r, unsigned v)
{
	r->data[r->n++] = (uint8_t)(v >> 8);
	r->data[r->n++] = (uint8_t)v;
}

static void add32(struct reply *r, uint32_t v)
{
	add16(r, v >> 16);
	add16(r, v & 0xffff);
}

static void add(struct reply *r, unsigned code, const void *data, size_t n)
{
	add16(r, code);
	add16(r, (unsigned)n);
	memcpy(r->data + r->n, data, n);
	r->n += n;
}

static struct reply message(enum dhcp6_type type, uint32_t xid, uint8_t server)
{
	struct reply r = {0};
	add32(&r, (uint32_t)type << 24 | xid);
	add(&r, 1, "\x00\x03\x00\x01\x02\x00\x00\x00\x0a\x01", 10);
	add(&r, 2, (const uint8_t[]){0, 1, 0, 1, 0x2a, server}, 6);
	return r;
}

static void add_ia(struct reply *r, uint32_t iaid, const char *address, uint32_t valid, int status)
{
	add16(r, 3);
	add16(r, 12 + (address ? 28 : 0) + (status >= 0 ? 6 : 0));
	add32(r, iaid);
	add32(r, T1);
	add32(r, T2);
	if (address) {
		struct ip_address a = ip(address);
		add16(r, 5);
		add16(r, 24);
		memcpy(r->data + r->n, a.bytes, 16);
		r->n += 16;
		add32(r, valid < PREFERRED ? valid : PREFERRED);
		add32(r, valid);
	}
	if (status >= 0)
		add(r, 13, (const uint8_t[]){0, (uint8_t)status}, 2);
}

static struct dhcp6_answer usual(enum dhcp6_type type, uint32_t xid, const char *address, int status)
{
	struct dhcp6_answer a;
	struct reply r = message(type, xid, 7);
	add_ia(&r, IAID, address, VALID, status);
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), 0);
	return a;
}

/* ---- messages -------------------------------------------------------------------------------------------------------------------- */

static void test_solicit_bytes(void **state)
{
	(void)state;
	const struct dhcp6_request q = {.type = DHCP6_SOLICIT, .xid = 0x010203, .elapsed_cs = 70000, .mac = test_mac, .iaid = IAID};
	struct dhcp_send s = {0};
	static const uint8_t all[] = {1, 1,  2, 3,                                             /* SOLICIT */
	                              0, 1,  0, 10, 0,   3,   0,  1,  2, 0, 0, 0, 10, 1,       /* client: DUID-LL */
	                              0, 8,  0, 2,  255, 255,                                  /* elapsed */
	                              0, 3,  0, 12, 0,   0,   10, 1,  0, 0, 0, 0, 0,  0, 0, 0, /* IA_NA */
	                              0, 14, 0, 0,                                             /* rapid commit */
	                              0, 6,  0, 6,  0,   23,  0,  24, 0, 82};
	dhcp6_encode(&q, &s);
	assert_int_equal(s.n, sizeof(all));
	assert_memory_equal(s.data, all, sizeof(all));
}

static void test_release_bytes(void **state)
{
	(void)state;
	struct lease l = {
	    .held = true, .iaid = IAID, .server_id = "0001ff", .n_addresses = 1, .addresses = {{.prefix = {ip("fd00::5"), 128}}}};
	struct dhcp_send s;
	static const uint8_t tail[] = {0, 2, 0, 3,  0,    1, 255,                            /* server */
	                               0, 8, 0, 2,  0,    0,                                 /* elapsed */
	                               0, 3, 0, 40, 0,    0, 10,  1, 0, 0, 0, 0, 0, 0, 0, 0, /* IA_NA */
	                               0, 5, 0, 24, 0xfd, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0};
	dhcp6_release(&test_mac, &l, 5, &s);
	assert_int_equal(s.data[0], DHCP6_RELEASE);
	assert_int_equal(s.n, 18 + sizeof(tail));
	assert_memory_equal(s.data + 18, tail, sizeof(tail));
}

static void test_reply_with_everything(void **state)
{
	(void)state;
	struct dhcp6_answer a;
	struct reply r = message(DHCP6_REPLY, 5, 7);
	add_ia(&r, IAID + 1, "fd00::99", VALID, -1); /* somebody else's */
	add_ia(&r, IAID, "fd00::5", VALID, 0);
	uint8_t dns[32] = {0xfd, [15] = 0x35, [16] = 0xfd, [31] = 0x36};
	add(&r, 23, dns, sizeof(dns));
	add(&r, 24,
	    "\x03lab\x07"
	    "example\x00",
	    13);
	add(&r, 82, "\x00\x00\x00\x78", 4);
	add(&r, 14, "", 0);
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), 0);
	assert_true(a.lease.held);
	assert_true(a.rapid_commit);
	assert_int_equal(a.status, DHCP6_SUCCESS);
	assert_int_equal(a.sol_max_rt, 120);
	assert_int_equal(a.lease.n_addresses, 1);
	assert_true(is_ip(&a.lease.addresses[0].prefix.address, "fd00::5"));
	assert_int_equal(a.lease.addresses[0].prefix.length, 128);
	assert_int_equal(a.lease.addresses[0].preferred, PREFERRED);
	assert_int_equal(a.lease.valid, VALID);
	assert_int_equal(a.lease.renew, T1);
	assert_int_equal(a.lease.rebind, T2);
	assert_int_equal(a.lease.n_dns, 2);
	assert_string_equal(a.lease.domain, "lab.example");
	assert_string_equal(a.lease.server_id, "000100012a07");
	assert_true(mac_equal(&a.mac, &test_mac));
}

static void test_hostile_messages(void **state)
{
	(void)state;
	struct dhcp6_answer a;
	struct reply r = message(DHCP6_REPLY, 5, 7);
	add_ia(&r, IAID, "fd00::5", VALID, -1);
	for (size_t n = 0; n < r.n; n++) {
		int code = dhcp6_decode(r.data, n, IAID, &a);
		assert_true(code == -EBADMSG || (code == 0 && !a.lease.held));
	}
	r.data[0] = DHCP6_SOLICIT;
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), -ENOMSG);
	/* Addresses nobody can use, and lifetimes that make no sense. */
	static const char *const bad[] = {"::", "::1", "fe80::1", "ff02::1"};
	for (size_t i = 0; i < 4; i++)
		assert_false(usual(DHCP6_REPLY, 5, bad[i], -1).lease.held);
	r = message(DHCP6_REPLY, 5, 7);
	add_ia(&r, IAID, "fd00::5", DHCP_LEASE_MIN_S - 1, -1);
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), 0);
	assert_false(a.lease.held);
	/* Not for us: another kind of DUID. */
	r = message(DHCP6_REPLY, 5, 7);
	r.data[9] = 1;
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), -ENOMSG);
	/* No server. */
	r.n = 18;
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), -EBADMSG);
}

/* T1 and T2 of 0 are the client's to choose. */
static void test_times_of_our_own(void **state)
{
	(void)state;
	struct dhcp6_answer a;
	struct reply r = message(DHCP6_REPLY, 5, 7);
	add_ia(&r, IAID, "fd00::5", VALID, -1);
	memset(r.data + 4 + 14 + 10 + 8, 0, 8);
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), 0);
	assert_int_equal(a.lease.renew, PREFERRED / 2);
	assert_int_equal(a.lease.rebind, PREFERRED * 4 / 5);
}

/* ---- the machine ----------------------------------------------------------------------------------------------------------------- */

static uint8_t type_of(const struct dhcp_send *s)
{
	return s->wanted ? s->data[0] : 0;
}

static struct dhcp6 soliciting(void)
{
	struct dhcp6 d;
	struct dhcp_send s;
	dhcp6_start(&d, &test_mac, NULL, 1, 100000);
	assert_int_equal(d.iaid, IAID);
	assert_false(dhcp6_tick(&d, 100000, &s));
	assert_int_equal(type_of(&s), DHCP6_SOLICIT);
	return d;
}

static struct dhcp6 bound(void)
{
	struct dhcp6 d = soliciting();
	struct dhcp_send s;
	struct dhcp6_answer a = usual(DHCP6_ADVERTISE, d.xid, "fd00::5", -1);
	assert_false(dhcp6_take(&d, &a, 100100, &s));
	assert_int_equal(type_of(&s), DHCP6_REQUEST);
	assert_memory_equal(s.data + 18, "\x00\x02\x00\x06\x00\x01\x00\x01\x2a\x07", 10);
	a = usual(DHCP6_REPLY, d.xid, "fd00::5", -1);
	assert_true(dhcp6_take(&d, &a, 100200, &s));
	assert_false(s.wanted);
	assert_int_equal(d.state, DHCP6_BOUND);
	assert_int_equal(d.deadline, 100200 + 1000 * T1);
	return d;
}

static void test_rapid_commit(void **state)
{
	(void)state;
	struct dhcp6 d = soliciting();
	struct dhcp_send s;
	struct dhcp6_answer a = usual(DHCP6_REPLY, d.xid, "fd00::5", -1);
	assert_false(dhcp6_take(&d, &a, 100100, &s)); /* a reply to a Solicit must say so */
	a.rapid_commit = true;
	assert_true(dhcp6_take(&d, &a, 100100, &s));
	assert_int_equal(d.state, DHCP6_BOUND);
}

static void test_solicit_is_repeated_less_and_less_often(void **state)
{
	(void)state;
	struct dhcp6 d = soliciting();
	struct dhcp_send s;
	char text[DHCP_TEXT_SIZE];
	uint64_t last = d.deadline - 100000;
	assert_true(last >= 900 && last <= 1100);
	for (int i = 0; i < 20; i++) {
		uint64_t now = d.deadline;
		assert_false(dhcp6_tick(&d, now, &s));
		assert_int_equal(type_of(&s), DHCP6_SOLICIT);
		uint64_t least = last * 17 / 10 < 3240000 ? last * 17 / 10 : 3240000;
		assert_true(d.deadline - now >= least && d.deadline - now <= 3960000);
		last = d.deadline - now;
	}
	dhcp6_describe(&d, text);
	assert_string_equal(text, "21 SOLICIT were sent, and no server advertised an address");
}

static void test_no_addresses(void **state)
{
	(void)state;
	struct dhcp6 d = soliciting();
	struct dhcp_send s;
	char text[DHCP_TEXT_SIZE];
	struct dhcp6_answer a = usual(DHCP6_ADVERTISE, d.xid, NULL, DHCP6_NO_ADDRS_AVAIL);
	a.sol_max_rt = 120;
	assert_false(dhcp6_take(&d, &a, 100100, &s));
	assert_false(s.wanted);
	assert_int_equal(d.sol_max_rt, 120000);
	dhcp6_describe(&d, text);
	assert_string_equal(text, "refused by a server 1 times: NoAddrsAvail");
	/* Offered, and then refused: asked anew, but not at once. */
	a = usual(DHCP6_ADVERTISE, d.xid, "fd00::5", -1);
	dhcp6_take(&d, &a, 100100, &s);
	a = usual(DHCP6_REPLY, d.xid, NULL, DHCP6_NOT_ON_LINK);
	assert_false(dhcp6_take(&d, &a, 100200, &s));
	assert_false(s.wanted);
	dhcp6_tick(&d, d.deadline, &s);
	assert_int_equal(type_of(&s), DHCP6_SOLICIT);
}

static void test_silent_after_the_advertisement(void **state)
{
	(void)state;
	struct dhcp6 d = soliciting();
	struct dhcp_send s;
	struct dhcp6_answer a = usual(DHCP6_ADVERTISE, d.xid, "fd00::5", -1);
	dhcp6_take(&d, &a, 100100, &s);
	for (int i = 0; i < 9; i++) {
		dhcp6_tick(&d, d.deadline, &s);
		assert_int_equal(type_of(&s), DHCP6_REQUEST);
	}
	dhcp6_tick(&d, d.deadline, &s);
	assert_int_equal(type_of(&s), DHCP6_SOLICIT);
}

static void test_renewed_rebound_and_expired(void **state)
{
	(void)state;
	struct dhcp6 d = bound(), other;
	struct dhcp_send s;
	assert_false(dhcp6_tick(&d, d.deadline, &s));
	assert_int_equal(type_of(&s), DHCP6_RENEW);
	other = d;
	struct dhcp6_answer a = usual(DHCP6_REPLY, d.xid, "fd00::5", -1);
	assert_true(dhcp6_take(&other, &a, 1200000, &s));
	assert_int_equal(other.deadline, 1200000 + 1000 * T1);
	/* Nobody answers until T2. */
	while (d.deadline < 100200 + 1000 * T2) {
		assert_false(dhcp6_tick(&d, d.deadline, &s));
		assert_int_equal(type_of(&s), DHCP6_RENEW);
	}
	assert_false(dhcp6_tick(&d, d.deadline, &s));
	assert_int_equal(type_of(&s), DHCP6_REBIND);
	while (d.deadline < 100200 + 1000 * VALID)
		assert_false(dhcp6_tick(&d, d.deadline, &s));
	assert_int_equal(d.deadline, 100200 + 1000 * VALID);
	assert_true(dhcp6_tick(&d, d.deadline, &s));
	assert_false(d.lease.held);
	assert_int_equal(type_of(&s), DHCP6_SOLICIT);
}

/* A server that lost its memory: the same address is requested of it, and meanwhile it is ours until it expires. */
static void test_forgotten(void **state)
{
	(void)state;
	struct dhcp6 d = bound();
	struct dhcp_send s;
	dhcp6_tick(&d, d.deadline, &s);
	struct dhcp6_answer a = usual(DHCP6_REPLY, d.xid, NULL, DHCP6_NO_BINDING);
	assert_false(dhcp6_take(&d, &a, 1200000, &s));
	assert_int_equal(type_of(&s), DHCP6_REQUEST);
	assert_true(d.lease.held);
	struct dhcp6 other = d;
	a = usual(DHCP6_REPLY, d.xid, "fd00::6", -1);
	assert_true(dhcp6_take(&other, &a, 1200000, &s));
	assert_true(is_ip(&other.lease.addresses[0].prefix.address, "fd00::6"));
	bool ended = false;
	for (int i = 0; i < 1000 && !ended; i++)
		ended = dhcp6_tick(&d, d.deadline, &s);
	assert_true(ended);
	assert_false(d.lease.held);
}

/* A valid lifetime of 0: not to be used from now on. Only of an address that we have. */
static void test_taken_back(void **state)
{
	(void)state;
	struct dhcp6 d = bound(), other;
	struct dhcp_send s;
	struct dhcp6_answer a;
	assert_false(dhcp6_tick(&d, d.deadline, &s));
	other = d;
	struct reply r = message(DHCP6_REPLY, d.xid, 7);
	add_ia(&r, IAID, "fd00::5", 0, -1);
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), 0);
	assert_true(dhcp6_take(&d, &a, 1200000, &s));
	assert_false(d.lease.held);
	assert_int_equal(type_of(&s), DHCP6_SOLICIT);
	r = message(DHCP6_REPLY, other.xid, 7);
	add_ia(&r, IAID, "fd00::6", 0, -1);
	assert_int_equal(dhcp6_decode(r.data, r.n, IAID, &a), 0);
	assert_false(dhcp6_take(&other, &a, 1200000, &s));
	assert_true(other.lease.held);
}

static void test_taken_over(void **state)
{
	(void)state;
	struct dhcp6 from = bound(), d;
	static const struct {
		uint64_t age_s;
		uint8_t sends;
		bool changes;
	} rows[] = {{10, 0, false}, {T1, DHCP6_RENEW, false}, {T2, DHCP6_REBIND, false}, {VALID, DHCP6_SOLICIT, true}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dhcp_send s;
		uint64_t now = from.lease.taken_at + 1000 * rows[i].age_s;
		dhcp6_start(&d, &test_mac, &from.lease, 1, now);
		assert_int_equal(dhcp6_tick(&d, now, &s), rows[i].changes);
		assert_int_equal(type_of(&s), rows[i].sends);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_solicit_bytes),
	    cmocka_unit_test(test_release_bytes),
	    cmocka_unit_test(test_reply_with_everything),
	    cmocka_unit_test(test_hostile_messages),
	    cmocka_unit_test(test_times_of_our_own),
	    cmocka_unit_test(test_rapid_commit),
	    cmocka_unit_test(test_solicit_is_repeated_less_and_less_often),
	    cmocka_unit_test(test_no_addresses),
	    cmocka_unit_test(test_silent_after_the_advertisement),
	    cmocka_unit_test(test_renewed_rebound_and_expired),
	    cmocka_unit_test(test_forgotten),
	    cmocka_unit_test(test_taken_back),
	    cmocka_unit_test(test_taken_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
