/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv4: messages byte by byte, and the state machine of RFC 2131 row by row. */
#include "dhcp_fixture.h"

#include <errno.h>

/* ---- messages -------------------------------------------------------------------------------------------------------------------- */

static void test_discover_bytes(void **state)
{
	(void)state;
	const struct dhcp4_request q = {.type = DHCP4_DISCOVER, .xid = 0x01020304, .seconds = 5, .broadcast = true, .mac = test_mac};
	struct dhcp_send s = {0};
	static const uint8_t head[] = {1, 1, 6, 0, 1, 2, 3, 4, 0, 5, 0x80, 0};
	static const uint8_t options[] = {0x63, 0x82, 0x53, 0x63, 53, 1,   1, 61, 7,  1,  2,  0,  0,  0,  0x0a, 1,   57, 2,
	                                  0x05, 0xc0, 55,   12,   1,  121, 3, 6,  15, 26, 28, 51, 54, 58, 59,   119, 255};
	dhcp4_encode(&q, &s);
	assert_true(s.wanted);
	assert_int_equal(s.n, 300);
	assert_memory_equal(s.data, head, sizeof(head));
	assert_memory_equal(s.data + 28, test_mac.bytes, 6);
	assert_memory_equal(s.data + 236, options, sizeof(options));
	for (size_t i = 236 + sizeof(options); i < s.n; i++)
		assert_int_equal(s.data[i], 0);
}

static void test_release_bytes(void **state)
{
	(void)state;
	struct lease l = {.held = true,
	                  .n_addresses = 1,
	                  .addresses = {{.prefix = {ip("192.0.2.50"), 24}}},
	                  .server = ip("192.0.2.1"),
	                  .server_mac = server_mac};
	struct dhcp_send s;
	static const uint8_t options[] = {53, 1, 7, 61, 7, 1, 2, 0, 0, 0, 0x0a, 1, 54, 4, 192, 0, 2, 1, 255};
	dhcp4_release(&test_mac, &l, 7, &s);
	assert_memory_equal(s.data + 12, "\xc0\x00\x02\x32", 4);
	assert_memory_equal(s.data + 240, options, sizeof(options));
	assert_true(mac_equal(&s.to, &server_mac));
	assert_true(is_ip(&s.source, "192.0.2.50"));
	assert_true(is_ip(&s.destination, "192.0.2.1"));
}

static void test_frame_and_back(void **state)
{
	(void)state;
	uint8_t frame[DHCP4_FRAME_MAX];
	const uint8_t *payload;
	size_t len;
	struct dhcp_send s = {.source = ip("192.0.2.1"), .destination = ip("192.0.2.50"), .n = 3, .data = {1, 2, 3}};
	static const uint8_t ours[] = {0x45, 0xc0, 0, 31, 0, 0, 0, 0, 64, 17, 0xf5, 0xda, 192, 0, 2, 1, 192, 0, 2, 50, 0, 68, 0, 67, 0, 11};
	size_t n = dhcp4_frame(&s, frame);
	assert_int_equal(n, 31);
	assert_memory_equal(frame, ours, sizeof(ours));
	assert_int_equal(dhcp4_unframe(frame, n, false, &payload, &len), -ENOMSG); /* ours goes to a server */
	/* As from a server: ports swapped, which leaves the sum as it is. */
	frame[21] = 67;
	frame[23] = 68;
	assert_int_equal(dhcp4_unframe(frame, n, false, &payload, &len), 0);
	assert_int_equal(len, 3);
	assert_memory_equal(payload, s.data, 3);
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(dhcp4_unframe(frame, cut, false, &payload, &len), -EBADMSG);
	frame[30] ^= 1;
	assert_int_equal(dhcp4_unframe(frame, n, false, &payload, &len), -EBADMSG);
	assert_int_equal(dhcp4_unframe(frame, n, true, &payload, &len), 0);
	frame[6] = 0x20; /* a fragment */
	assert_int_equal(dhcp4_unframe(frame, n, true, &payload, &len), -ENOMSG);
}

static void test_ack_with_everything(void **state)
{
	(void)state;
	struct reply r = usual_reply(DHCP4_ACK, 9, "192.0.2.50", 3600);
	reply_add_u32(&r, 58, 1000);
	reply_add_u32(&r, 59, 2000);
	reply_add(&r, 6, 8, "\xc0\x00\x02\x35\xc0\x00\x02\x36");
	reply_add(&r, 15, 11, "example.org");
	reply_add(&r, 26, 2, "\x05\x78");
	/* "lab.example.org", and "eng" with a pointer to the first one's "example". */
	reply_add(&r, 119, 23,
	          "\x03lab\x07"
	          "example\x03org\x00\x03"
	          "eng\xc0\x04");
	/* 10.0.0.0/8 via 192.0.2.9, and 198.51.100.0/24 on the link. */
	reply_add(&r, 121, 14, "\x08\x0a\xc0\x00\x02\x09\x18\xc6\x33\x64\x00\x00\x00\x00");
	struct dhcp4_answer a = decoded(&r);
	const struct lease *l = &a.lease;
	assert_int_equal(a.type, DHCP4_ACK);
	assert_int_equal(a.xid, 9);
	assert_true(l->held);
	assert_int_equal(l->n_addresses, 1);
	assert_true(is_ip(&l->addresses[0].prefix.address, "192.0.2.50"));
	assert_int_equal(l->addresses[0].prefix.length, 24);
	assert_int_equal(l->addresses[0].valid, 3600);
	assert_int_equal(l->renew, 1000);
	assert_int_equal(l->rebind, 2000);
	assert_int_equal(l->mtu, 1400);
	assert_int_equal(l->n_dns, 2);
	assert_true(is_ip(&l->dns[1], "192.0.2.54"));
	assert_string_equal(l->domain, "example.org lab.example.org eng.example.org");
	/* RFC 3442: the router does not count beside them. */
	assert_int_equal(l->n_routes, 2);
	assert_int_equal(l->routes[0].destination.length, 8);
	assert_true(is_ip(&l->routes[0].destination.address, "10.0.0.0"));
	assert_true(is_ip(&l->routes[0].gateway, "192.0.2.9"));
	assert_int_equal(l->routes[1].gateway.family, IP_NONE);
}

static void test_router_alone_is_the_default(void **state)
{
	(void)state;
	struct reply r = usual_reply(DHCP4_ACK, 9, "192.0.2.50", 3600);
	struct dhcp4_answer a = decoded(&r);
	assert_int_equal(a.lease.n_routes, 1);
	assert_int_equal(a.lease.routes[0].destination.length, 0);
	assert_true(is_ip(&a.lease.routes[0].gateway, "192.0.2.1"));
	assert_int_equal(a.lease.renew, 1800);
	assert_int_equal(a.lease.rebind, 3150);
}

/* Only 0.0.0.0 means that there is none. */
static void test_routes_through_what_is_no_router(void **state)
{
	(void)state;
	struct reply r = usual_reply(DHCP4_ACK, 9, "192.0.2.50", 3600);
	reply_add(&r, 121, 21, "\x00\xff\xff\xff\xff\x08\x0a\xc0\x00\x02\x09\x00\x7f\x00\x00\x01\x00\xe0\x00\x00\x01");
	struct dhcp4_answer a = decoded(&r);
	assert_int_equal(a.lease.n_routes, 1);
	assert_true(is_ip(&a.lease.routes[0].gateway, "192.0.2.9"));
}

static void test_overload_and_split(void **state)
{
	(void)state;
	struct reply r = reply_new(DHCP4_ACK, 9, "192.0.2.50");
	reply_add_u32(&r, 54, 0xc0000201);
	reply_add(&r, 52, 1, "\x03"); /* both fields go on */
	reply_add(&r, 15, 4, "exam");
	memcpy(r.data + 108,
	       "\x0f\x07"
	       "ple.org\xff",
	       10);
	memcpy(r.data + 44, "\x33\x04\x00\x00\x0e\x10\xff", 7);
	struct dhcp4_answer a = decoded(&r);
	assert_true(a.lease.held);
	assert_int_equal(a.lease.valid, 3600);
	assert_string_equal(a.lease.domain, "example.org");
	assert_int_equal(a.lease.addresses[0].prefix.length, 24); /* of its class */
}

static void test_what_is_no_lease(void **state)
{
	(void)state;
	static const struct {
		const char *address;
		uint32_t seconds;
	} rows[] = {{"192.0.2.50", 0},   {"192.0.2.50", DHCP_LEASE_MIN_S - 1},
	            {"0.0.0.0", 3600},   {"127.0.0.1", 3600},
	            {"224.0.0.1", 3600}, {"255.255.255.255", 3600}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct reply r = usual_reply(DHCP4_ACK, 9, rows[i].address, rows[i].seconds);
		assert_false(decoded(&r).lease.held);
	}
	struct reply r = reply_new(DHCP4_ACK, 9, "192.0.2.50"); /* no server, no time */
	assert_false(decoded(&r).lease.held);
}

static void test_hostile_messages(void **state)
{
	(void)state;
	struct dhcp4_answer a;
	struct reply r = usual_reply(DHCP4_OFFER, 9, "192.0.2.50", 3600);
	for (size_t n = 0; n < 240; n++)
		assert_int_equal(dhcp4_decode(r.data, n, &a), -EBADMSG);
	r.data[0] = 1; /* a request of somebody */
	assert_int_equal(dhcp4_decode(r.data, r.n, &a), -ENOMSG);
	r.data[0] = 2;
	r.data[2] = 16;
	assert_int_equal(dhcp4_decode(r.data, r.n, &a), -ENOMSG);
	r = usual_reply(DHCP4_OFFER, 9, "192.0.2.50", 3600);
	reply_add(&r, 15, 13, "evil name\n\"{}");
	reply_add(&r, 119, 4, "\xc0\x00\xc0\x02"); /* points at itself */
	reply_add(&r, 121, 5, "\x21\x0a\x00\x00\x00");
	r.data[r.n++] = 56;
	r.data[r.n++] = 200; /* longer than the message */
	assert_int_equal(dhcp4_decode(r.data, r.n, &a), 0);
	assert_true(a.lease.held);
	assert_string_equal(a.lease.domain, "");
	assert_int_equal(a.lease.n_routes, 1);
}

/* A mask with holes, T1 behind T2, and T2 behind the end are not taken. */
static void test_nonsense_is_replaced(void **state)
{
	(void)state;
	struct reply r = reply_new(DHCP4_ACK, 9, "10.0.0.5");
	reply_add_u32(&r, 54, 0xc0000201);
	reply_add_u32(&r, 51, 800);
	reply_add_u32(&r, 1, 0xff00ff00);
	reply_add_u32(&r, 58, 790);
	reply_add_u32(&r, 59, 801);
	struct dhcp4_answer a = decoded(&r);
	assert_int_equal(a.lease.addresses[0].prefix.length, 8);
	assert_int_equal(a.lease.renew, 400);
	assert_int_equal(a.lease.rebind, 700);
}

/* ---- the machine ----------------------------------------------------------------------------------------------------------------- */

static uint8_t type_of(const struct dhcp_send *s)
{
	return s->wanted ? s->data[242] : 0;
}

static void take(struct dhcp4 *d, struct reply r, uint64_t now, bool changes, struct dhcp_send *ret)
{
	struct dhcp4_answer a = decoded(&r);
	assert_int_equal(dhcp4_take(d, &a, &server_mac, now, ret), changes);
}

/* Nobody answers: after two questions the lease is held. `s` is what came of the ACK. */
static void probed(struct dhcp4 *d, struct dhcp_send *s)
{
	uint64_t begun = d->deadline - 250;
	assert_int_equal(d->state, DHCP4_PROBING);
	assert_true(s->wanted && is_ip(&s->probe, "192.0.2.50"));
	assert_false(d->lease.held);
	assert_false(dhcp4_tick(d, d->deadline, s));
	assert_true(s->wanted && is_ip(&s->probe, "192.0.2.50"));
	assert_true(dhcp4_tick(d, d->deadline, s));
	assert_false(s->wanted);
	assert_int_equal(d->state, DHCP4_BOUND);
	assert_true(d->lease.held);
	assert_true(d->deadline > begun + 500);
}

/* A machine that was bound at `now`, 100 s into its life. */
static struct dhcp4 bound(uint32_t seconds)
{
	struct dhcp4 d;
	struct dhcp_send s;
	dhcp4_start(&d, &test_mac, NULL, false, 1, 100000);
	assert_int_equal(d.deadline, 100000);
	assert_false(dhcp4_tick(&d, 100000, &s));
	assert_int_equal(type_of(&s), DHCP4_DISCOVER);
	take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", seconds), 100100, false, &s);
	assert_int_equal(type_of(&s), DHCP4_REQUEST);
	assert_memory_equal(s.data + 252, "\x32\x04\xc0\x00\x02\x32\x36\x04\xc0\x00\x02\x01", 12); /* address, server */
	assert_int_equal(s.to.length, 0);
	take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.50", seconds), 100200, false, &s);
	probed(&d, &s);
	assert_int_equal(d.lease.taken_at, 100100);
	assert_true(mac_equal(&d.lease.server_mac, &server_mac));
	return d;
}

static void test_bound(void **state)
{
	(void)state;
	struct dhcp_send s;
	struct dhcp4 d = bound(3600);
	assert_int_equal(d.deadline, 100100 + 1800000);
	assert_false(dhcp4_tick(&d, d.deadline - 1, &s));
	assert_false(s.wanted);
	/* Answers of others, and late ones, change nothing. */
	take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.51", 3600), 100300, false, &s);
	take(&d, usual_reply(DHCP4_NAK, d.xid, NULL, 3600), 100300, false, &s);
	assert_true(is_ip(&d.lease.addresses[0].prefix.address, "192.0.2.50"));
}

static void test_discover_is_repeated_less_and_less_often(void **state)
{
	(void)state;
	struct dhcp4 d;
	struct dhcp_send s;
	uint64_t now = 5000;
	dhcp4_start(&d, &test_mac, NULL, false, 99, now);
	uint32_t xid = d.xid;
	for (uint64_t wait = 1000; wait <= 256000; wait *= 2) {
		uint64_t mean = wait < 64000 ? wait : 64000;
		assert_false(dhcp4_tick(&d, now, &s));
		assert_int_equal(type_of(&s), DHCP4_DISCOVER);
		assert_int_equal(d.xid, xid);
		assert_true(d.deadline >= now + mean * 3 / 4 && d.deadline <= now + mean * 5 / 4);
		now = d.deadline;
	}
	char text[DHCP_TEXT_SIZE];
	dhcp4_describe(&d, text);
	assert_string_equal(text, "9 DISCOVER were sent, and no server offered a lease");
}

static void test_answers_for_others(void **state)
{
	(void)state;
	struct dhcp4 d;
	struct dhcp_send s;
	dhcp4_start(&d, &test_mac, NULL, false, 1, 0);
	dhcp4_tick(&d, 0, &s);
	take(&d, usual_reply(DHCP4_OFFER, d.xid + 1, "192.0.2.50", 3600), 1, false, &s);
	assert_false(s.wanted);
	struct reply r = usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 3600);
	r.data[33]++; /* another chaddr */
	take(&d, r, 1, false, &s);
	assert_false(s.wanted);
	/* No ACK without a REQUEST; no offer that is no lease. */
	take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.50", 3600), 1, false, &s);
	take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 1), 1, false, &s);
	assert_int_equal(d.state, DHCP4_SELECTING);
	/* Another server's ACK to a request that names ours. */
	take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 3600), 1, false, &s);
	r = reply_new(DHCP4_ACK, d.xid, "192.0.2.60");
	reply_add_u32(&r, 54, 0xc0000209);
	reply_add_u32(&r, 51, 3600);
	take(&d, r, 2, false, &s);
	assert_int_equal(d.state, DHCP4_REQUESTING);
}

static void test_silent_after_the_offer(void **state)
{
	(void)state;
	struct dhcp4 d;
	struct dhcp_send s;
	char text[DHCP_TEXT_SIZE];
	dhcp4_start(&d, &test_mac, NULL, false, 1, 0);
	dhcp4_tick(&d, 0, &s);
	take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 3600), 1, false, &s);
	dhcp4_describe(&d, text);
	assert_string_equal(text, "1 REQUEST for 192.0.2.50, which 192.0.2.1 had offered, and 1 DISCOVER were sent, and nobody confirmed");
	for (int i = 0; i < 3; i++) {
		dhcp4_tick(&d, d.deadline, &s);
		assert_int_equal(type_of(&s), DHCP4_REQUEST);
	}
	dhcp4_tick(&d, d.deadline, &s);
	assert_int_equal(type_of(&s), DHCP4_DISCOVER);
}

static void test_refused(void **state)
{
	(void)state;
	struct dhcp4 d;
	struct dhcp_send s;
	char text[DHCP_TEXT_SIZE];
	dhcp4_start(&d, &test_mac, NULL, false, 1, 0);
	dhcp4_tick(&d, 0, &s);
	take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 3600), 1, false, &s);
	struct reply r = usual_reply(DHCP4_NAK, d.xid, NULL, 3600);
	reply_add(&r, 56, 6, "not\n u");
	take(&d, r, 2, false, &s);
	assert_false(s.wanted); /* not at once */
	assert_true(d.deadline >= 2 + 750);
	dhcp4_describe(&d, text);
	assert_string_equal(text, "refused by a server 1 times: not? u");
	dhcp4_tick(&d, d.deadline, &s);
	assert_int_equal(type_of(&s), DHCP4_DISCOVER);
}

/* What once was refused has no part in how soon a lease that ends later is asked for anew. */
static void test_refused_in_another_year(void **state)
{
	(void)state;
	struct dhcp_send s;
	struct dhcp4 d = bound(3600);
	for (int i = 0; i < 10; i++) {
		uint64_t now = d.deadline;
		dhcp4_tick(&d, now, &s);
		take(&d, usual_reply(DHCP4_NAK, d.xid, NULL, 3600), now, true, &s);
		assert_true(d.deadline <= now + 1250);
		now = d.deadline;
		dhcp4_tick(&d, now, &s);
		take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 3600), now, false, &s);
		take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.50", 3600), now, false, &s);
		probed(&d, &s);
	}
}

/* ---- ARP ------------------------------------------------------------------------------------------------------------------------- */

static void test_arp_bytes(void **state)
{
	(void)state;
	static const uint8_t probe[ARP_SIZE] = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0x0a, 1, [24] = 192, 0, 2, 50};
	uint8_t bytes[ARP_SIZE + 18] = {0}; /* padded to the least length of a frame */
	struct arp_message m;
	const struct ip_address address = ip("192.0.2.50"), other = ip("192.0.2.51");
	arp_encode_probe(&test_mac, &address, bytes);
	assert_memory_equal(bytes, probe, sizeof(probe));
	assert_int_equal(arp_decode(bytes, sizeof(bytes), &m), 0);
	assert_true(m.probe && mac_equal(&m.sender, &test_mac) && is_ip(&m.target_ip, "192.0.2.50"));
	assert_true(arp_claims(&m, &address) && !arp_claims(&m, &other));
	for (size_t n = 0; n < ARP_SIZE; n++)
		assert_int_equal(arp_decode(bytes, n, &m), -EBADMSG);
	/* A reply, by which the one who is asked says that he has it; a request by one who has another, who asks for it. */
	memcpy(bytes + 14, "\xc0\x00\x02\x33", 4);
	assert_int_equal(arp_decode(bytes, sizeof(bytes), &m), 0);
	assert_true(arp_claims(&m, &other) && !arp_claims(&m, &address));
	bytes[7] = 2;
	assert_int_equal(arp_decode(bytes, sizeof(bytes), &m), 0);
	assert_true(arp_claims(&m, &other) && !arp_claims(&m, &address));
	static const uint8_t wrong[] = {1, 2, 4, 5, 7}; /* hardware, protocol, lengths, operation */
	for (size_t i = 0; i < sizeof(wrong); i++) {
		uint8_t copy[sizeof(bytes)];
		memcpy(copy, bytes, sizeof(copy));
		copy[wrong[i]] += 7;
		assert_int_equal(arp_decode(copy, sizeof(copy), &m), -ENOMSG);
	}
}

/* Up to the first question, at 300. */
static struct dhcp4 probing(void)
{
	struct dhcp4 d;
	struct dhcp_send s;
	dhcp4_start(&d, &test_mac, NULL, false, 1, 0);
	dhcp4_tick(&d, 0, &s);
	take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 3600), 100, false, &s);
	take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.50", 3600), 300, false, &s);
	assert_int_equal(d.state, DHCP4_PROBING);
	return d;
}

static void test_declined(void **state)
{
	(void)state;
	static const uint8_t options[] = {53, 1, 4, 61, 7, 1, 2, 0, 0, 0, 0x0a, 1, 50, 4, 192, 0, 2, 50, 54, 4, 192, 0, 2, 1, 255};
	struct dhcp4 d = probing();
	struct dhcp_send s;
	char text[DHCP_TEXT_SIZE];
	struct arp_message m = {.sender = server_mac, .sender_ip = ip("192.0.2.50"), .target_ip = ip("192.0.2.50")};
	uint32_t xid = d.xid;
	dhcp4_describe(&d, text);
	assert_string_equal(text, "192.0.2.50, which 192.0.2.1 gave, was still being looked for on the link");
	dhcp4_hear(&d, &m, &test_mac, 400, &s);
	assert_true(s.wanted);
	assert_int_equal(s.probe.family, IP_NONE);
	assert_memory_equal(s.data + 240, options, sizeof(options));
	assert_memory_equal(s.data + 12, "\0\0\0\0", 4); /* no ciaddr */
	assert_int_equal(s.to.length, 0);
	assert_int_equal(s.source.family, IP_NONE);
	assert_int_equal(d.state, DHCP4_SELECTING);
	assert_false(d.lease.held);
	assert_int_equal(d.declines, 1);
	assert_true(d.deadline >= 400 + 750);
	dhcp4_describe(&d, text);
	assert_string_equal(text, "what servers gave was no use 1 times: 192.0.2.50 is in use by 02:00:00:00:0b:02");
	dhcp4_hear(&d, &m, &test_mac, 410, &s); /* the second question is answered, too */
	assert_false(s.wanted);
	dhcp4_tick(&d, d.deadline, &s);
	assert_int_equal(type_of(&s), DHCP4_DISCOVER);
	assert_int_not_equal(d.xid, xid);
	/* The same one again: less and less often. */
	uint64_t now = d.deadline;
	take(&d, usual_reply(DHCP4_OFFER, d.xid, "192.0.2.50", 3600), now, false, &s);
	take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.50", 3600), now, false, &s);
	dhcp4_hear(&d, &m, &test_mac, now, &s);
	assert_int_equal(type_of(&s), DHCP4_DECLINE);
	assert_true(d.deadline >= now + 1500);
}

static void test_what_is_no_conflict(void **state)
{
	(void)state;
	static const struct mac link = {6, {0x02, 0, 0, 0, 0x0a, 0x77}};
	struct dhcp_send s;
	const struct arp_message rows[] = {
	    {.sender = test_mac, .sender_ip = ip("192.0.2.50"), .target_ip = ip("192.0.2.50")},               /* what the pod had */
	    {.probe = true, .sender = link, .sender_ip = ip("0.0.0.0"), .target_ip = ip("192.0.2.50")},       /* our own, reflected */
	    {.sender = server_mac, .sender_ip = ip("192.0.2.1"), .target_ip = ip("192.0.2.50")},              /* the server asks itself */
	    {.probe = true, .sender = server_mac, .sender_ip = ip("0.0.0.0"), .target_ip = ip("192.0.2.51")}, /* another address */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dhcp4 d = probing();
		dhcp4_hear(&d, &rows[i], &link, 400, &s);
		assert_false(s.wanted);
		assert_int_equal(d.state, DHCP4_PROBING);
	}
	/* Two who look for it at the same time: neither is to have it. */
	struct arp_message m = {.probe = true, .sender = server_mac, .sender_ip = ip("0.0.0.0"), .target_ip = ip("192.0.2.50")};
	struct dhcp4 d = probing();
	dhcp4_hear(&d, &m, &link, 400, &s);
	assert_int_equal(type_of(&s), DHCP4_DECLINE);
	/* What is held is defended by the pod's own kernel. */
	d = bound(3600);
	dhcp4_hear(&d, &m, &link, 200000, &s);
	assert_int_equal(d.state, DHCP4_BOUND);
}

static void test_renewed(void **state)
{
	(void)state;
	struct dhcp_send s;
	struct dhcp4 d = bound(3600);
	uint32_t xid = d.xid;
	uint64_t t1 = d.deadline;
	assert_false(dhcp4_tick(&d, t1, &s));
	assert_int_equal(d.state, DHCP4_RENEWING);
	assert_int_not_equal(d.xid, xid);
	assert_int_equal(type_of(&s), DHCP4_REQUEST);
	/* To the server alone, from the address, which is named nowhere else. */
	assert_true(mac_equal(&s.to, &server_mac));
	assert_true(is_ip(&s.destination, "192.0.2.1"));
	assert_true(is_ip(&s.source, "192.0.2.50"));
	assert_memory_equal(s.data + 12, "\xc0\x00\x02\x32", 4);
	assert_int_equal(s.data[252], 57);
	take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.50", 7200), t1 + 5, true, &s);
	assert_int_equal(d.state, DHCP4_BOUND);
	assert_int_equal(d.lease.taken_at, t1);
	assert_int_equal(d.deadline, t1 + 3600000);
}

static void test_rebound(void **state)
{
	(void)state;
	struct dhcp_send s;
	struct dhcp4 d = bound(3600);
	uint64_t t2 = 100100 + 3150000;
	for (unsigned n = 0; d.deadline < t2; n++) {
		uint64_t now = d.deadline;
		assert_false(dhcp4_tick(&d, now, &s));
		assert_int_equal(s.to.length, 6);
		assert_true(d.deadline == t2 || d.deadline >= now + 60000);
		assert_true(n < 10);
	}
	assert_int_equal(d.deadline, t2);
	assert_false(dhcp4_tick(&d, t2, &s));
	assert_int_equal(d.state, DHCP4_REBINDING);
	assert_int_equal(s.to.length, 0);
	assert_int_equal(s.destination.family, IP_NONE);
	/* Any server may answer. */
	struct reply r = reply_new(DHCP4_ACK, d.xid, "192.0.2.50");
	reply_add_u32(&r, 54, 0xc0000209);
	reply_add_u32(&r, 51, 3600);
	take(&d, r, t2 + 5, true, &s);
	assert_true(is_ip(&d.lease.server, "192.0.2.9"));
}

static void test_expired(void **state)
{
	(void)state;
	struct dhcp_send s;
	struct dhcp4 d = bound(3600);
	uint64_t end = 100100 + 3600000;
	unsigned requests = 0;
	while (d.deadline < end) {
		assert_false(dhcp4_tick(&d, d.deadline, &s));
		requests++;
	}
	assert_true(requests > 3 && requests < 20);
	assert_int_equal(d.deadline, end);
	assert_true(dhcp4_tick(&d, end, &s));
	assert_false(d.lease.held);
	assert_int_equal(type_of(&s), DHCP4_DISCOVER);
}

static void test_taken_back(void **state)
{
	(void)state;
	struct dhcp_send s;
	struct dhcp4 d = bound(3600);
	dhcp4_tick(&d, d.deadline, &s);
	take(&d, usual_reply(DHCP4_NAK, d.xid, NULL, 3600), d.deadline, true, &s);
	assert_false(d.lease.held);
	assert_int_equal(d.state, DHCP4_SELECTING);
}

static void test_for_ever(void **state)
{
	(void)state;
	struct dhcp4 d = bound(LEASE_FOR_EVER);
	assert_true(d.deadline == DHCP_NEVER);
}

/* A record from an earlier life: before T1, behind it, behind T2, and behind the end. */
static void test_taken_over(void **state)
{
	(void)state;
	static const struct {
		uint64_t age_s;
		uint8_t sends;
		bool changes;
	} rows[] = {{10, 0, false}, {1800, DHCP4_REQUEST, false}, {3200, DHCP4_REQUEST, false}, {3600, DHCP4_DISCOVER, true}};
	struct dhcp4 from = bound(3600), d;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct dhcp_send s;
		uint64_t now = from.lease.taken_at + 1000 * rows[i].age_s;
		dhcp4_start(&d, &test_mac, &from.lease, true, 1, now);
		assert_int_equal(d.deadline, now);
		assert_int_equal(dhcp4_tick(&d, now, &s), rows[i].changes);
		assert_int_equal(type_of(&s), rows[i].sends);
		assert_int_equal(d.lease.held, !rows[i].changes);
	}
}

static void test_rebooted(void **state)
{
	(void)state;
	struct dhcp_send s;
	struct dhcp4 from = bound(3600), d;
	dhcp4_start(&d, &test_mac, &from.lease, false, 1, 200000);
	dhcp4_tick(&d, 200000, &s);
	assert_int_equal(type_of(&s), DHCP4_REQUEST);
	assert_memory_equal(s.data + 252, "\x32\x04\xc0\x00\x02\x32\x39", 7); /* the address, and no server */
	assert_false(d.lease.held);
	take(&d, usual_reply(DHCP4_ACK, d.xid, "192.0.2.50", 3600), 200100, false, &s);
	probed(&d, &s);
	/* Nobody knows it any more, or says so. */
	dhcp4_start(&d, &test_mac, &from.lease, false, 1, 200000);
	for (int i = 0; i < 2; i++)
		dhcp4_tick(&d, d.deadline, &s);
	dhcp4_tick(&d, d.deadline, &s);
	assert_int_equal(type_of(&s), DHCP4_DISCOVER);
	/* What has expired is not asked for again. */
	dhcp4_start(&d, &test_mac, &from.lease, false, 1, from.lease.taken_at + 3600000);
	assert_int_equal(d.state, DHCP4_SELECTING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_discover_bytes),
	    cmocka_unit_test(test_release_bytes),
	    cmocka_unit_test(test_frame_and_back),
	    cmocka_unit_test(test_ack_with_everything),
	    cmocka_unit_test(test_router_alone_is_the_default),
	    cmocka_unit_test(test_routes_through_what_is_no_router),
	    cmocka_unit_test(test_overload_and_split),
	    cmocka_unit_test(test_what_is_no_lease),
	    cmocka_unit_test(test_hostile_messages),
	    cmocka_unit_test(test_nonsense_is_replaced),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_discover_is_repeated_less_and_less_often),
	    cmocka_unit_test(test_answers_for_others),
	    cmocka_unit_test(test_silent_after_the_offer),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_refused_in_another_year),
	    cmocka_unit_test(test_arp_bytes),
	    cmocka_unit_test(test_declined),
	    cmocka_unit_test(test_what_is_no_conflict),
	    cmocka_unit_test(test_renewed),
	    cmocka_unit_test(test_rebound),
	    cmocka_unit_test(test_expired),
	    cmocka_unit_test(test_taken_back),
	    cmocka_unit_test(test_for_ever),
	    cmocka_unit_test(test_taken_over),
	    cmocka_unit_test(test_rebooted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
