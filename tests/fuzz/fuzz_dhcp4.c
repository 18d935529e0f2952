/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv4: packets through headers, options, ARP and the state machine, at times that the input chooses. Input: records of a length (two
 * bytes), how much later it comes in seconds (two bytes) and the packet; the fields by which an answer is known for ours are set right in
 * every other one. */
#include <stdlib.h>
#include <string.h>

#include "netlink/dhcp_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mac ours = {6, {2, 0, 0, 0, 0, 1}}, theirs = {6, {2, 0, 0, 0, 0, 2}};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_lease(const struct lease *l)
{
	require(l->n_addresses <= LEASE_ADDRESSES_MAX && l->n_routes <= LEASE_ROUTES_MAX && l->n_dns <= LEASE_DNS_MAX);
	require(memchr(l->domain, 0, sizeof(l->domain)) != NULL);
	require(l->mtu == 0 || l->mtu >= 68);
	if (!l->held)
		return;
	require(l->n_addresses == 1 && l->server.family == IP_V4 && l->valid >= DHCP_LEASE_MIN_S);
	require(l->valid == LEASE_FOR_EVER || (l->renew > 0 && l->renew < l->rebind && l->rebind < l->valid));
	for (size_t i = 0; i < l->n_routes; i++)
		require(l->routes[i].destination.length <= 32);
}

static void check_machine(const struct dhcp4 *d, const struct dhcp_send *s, uint64_t now)
{
	char text[DHCP_TEXT_SIZE];
	check_lease(&d->lease);
	require(d->lease.held || d->state < DHCP4_BOUND);
	require(!d->lease.held || d->state >= DHCP4_BOUND);
	require(d->deadline != DHCP_NEVER || (d->state == DHCP4_BOUND && d->lease.valid == LEASE_FOR_EVER));
	require(!s->wanted || d->deadline > now); /* it does not send without end at one moment */
	dhcp4_describe(d, text);
	require(memchr(text, 0, sizeof(text)) != NULL);
}

static void run_until(struct dhcp4 *d, uint64_t now)
{
	for (int i = 0; i < 200 && d->deadline <= now; i++) {
		struct dhcp_send s;
		uint64_t at = d->deadline;
		(void)dhcp4_tick(d, at, &s);
		require(d->deadline > at);
		check_machine(d, &s, at);
	}
}

static void hear(struct dhcp4 *d, const uint8_t *message, size_t n, uint64_t now)
{
	struct arp_message m;
	struct dhcp_send s = {0};
	if (arp_decode(message, n, &m) < 0)
		return;
	dhcp4_hear(d, &m, &theirs, now, &s);
	check_machine(d, &s, now);
}

static void give(struct dhcp4 *d, uint8_t *message, size_t n, bool fit, uint64_t now)
{
	struct dhcp4_answer a;
	struct dhcp_send s = {0};
	if (dhcp4_decode(message, n, &a) < 0)
		return;
	check_lease(&a.lease);
	if (fit) {
		a.xid = d->xid;
		a.mac = ours;
	}
	(void)dhcp4_take(d, &a, &theirs, now, &s);
	check_machine(d, &s, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhcp4 d;
	struct dhcp_send s;
	uint64_t now = 1000;
	struct cursor c = cursor_over(data, size);
	dhcp4_start(&d, &ours, NULL, false, size, now);
	for (unsigned i = 0; cursor_left(&c) > 4 && i < 64; i++) {
		size_t n = cursor_be16(&c);
		now += 1000 * (uint64_t)cursor_be16(&c);
		run_until(&d, now);
		if (now < d.deadline)
			(void)dhcp4_tick(&d, now, &s);
		n = n < cursor_left(&c) ? n : cursor_left(&c);
		const uint8_t *bytes = cursor_take(&c, n), *payload;
		uint8_t *copy = malloc(n ? n : 1);
		size_t len;
		if (copy && n)
			memcpy(copy, bytes, n);
		if (copy) {
			give(&d, copy, n, i % 2 == 0, now);
			hear(&d, copy, n, now);
			if (dhcp4_unframe(copy, n, i & 1, &payload, &len) == 0)
				require(payload >= copy && payload + len <= copy + n);
		}
		free(copy);
	}
	run_until(&d, now + 1000); /* nobody says that he has the address */
	/* What is held goes over into another life, and is given back. */
	struct dhcp4 again;
	dhcp4_start(&again, &ours, &d.lease, size & 1, 1, now);
	run_until(&again, now + 100000);
	if (d.lease.held) {
		uint8_t frame[DHCP4_FRAME_MAX];
		dhcp4_release(&ours, &d.lease, 1, &s);
		require(dhcp4_frame(&s, frame) == s.n + 28);
	}
	return 0;
}
