/* SPDX-License-Identifier: Apache-2.0 */
/* DHCPv6: messages through the parser and the state machine. Input as that of fuzz_dhcp4.c. */
#include <stdlib.h>
#include <string.h>

#include "netlink/dhcp_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mac ours = {6, {2, 0, 0, 0, 0, 1}};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_lease(const struct lease *l)
{
	require(l->n_addresses <= LEASE_ADDRESSES_MAX && l->n_dns <= LEASE_DNS_MAX && l->n_routes == 0);
	require(memchr(l->domain, 0, sizeof(l->domain)) != NULL && memchr(l->server_id, 0, sizeof(l->server_id)) != NULL);
	if (!l->held)
		return;
	require(l->n_addresses > 0 && l->server_id[0] && l->valid >= DHCP_LEASE_MIN_S);
	require(l->renew > 0 && l->rebind > 0);
	require(l->valid == LEASE_FOR_EVER || (l->renew < l->rebind && l->rebind < l->valid));
}

static void check_machine(const struct dhcp6 *d, const struct dhcp_send *s, uint64_t now)
{
	char text[DHCP_TEXT_SIZE];
	check_lease(&d->lease);
	require(d->lease.held || d->state < DHCP6_BOUND);
	require(d->deadline != DHCP_NEVER || d->state == DHCP6_BOUND);
	require(!s->wanted || d->deadline > now);
	require(s->n <= sizeof(s->data));
	dhcp6_describe(d, text);
}

static void run_until(struct dhcp6 *d, uint64_t now)
{
	for (int i = 0; i < 200 && d->deadline <= now; i++) {
		struct dhcp_send s;
		uint64_t at = d->deadline;
		(void)dhcp6_tick(d, at, &s);
		require(d->deadline > at);
		check_machine(d, &s, at);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhcp6 d;
	struct dhcp_send s;
	uint64_t now = 1000;
	struct cursor c = cursor_over(data, size);
	dhcp6_start(&d, &ours, NULL, size, now);
	for (unsigned i = 0; cursor_left(&c) > 4 && i < 64; i++) {
		struct dhcp6_answer a;
		size_t n = cursor_be16(&c);
		now += 1000 * (uint64_t)cursor_be16(&c);
		run_until(&d, now);
		n = n < cursor_left(&c) ? n : cursor_left(&c);
		const uint8_t *bytes = cursor_take(&c, n);
		uint8_t *copy = malloc(n ? n : 1);
		if (copy && n)
			memcpy(copy, bytes, n);
		if (copy && dhcp6_decode(copy, n, d.iaid, &a) == 0) {
			check_lease(&a.lease);
			if (i % 2 == 0) {
				a.xid = d.xid;
				a.mac = ours;
			}
			s = (struct dhcp_send){0};
			(void)dhcp6_take(&d, &a, now, &s);
			check_machine(&d, &s, now);
		}
		free(copy);
	}
	struct dhcp6 again;
	dhcp6_start(&again, &ours, &d.lease, 1, now);
	run_until(&again, now + 100000);
	if (d.lease.held)
		dhcp6_release(&ours, &d.lease, 1, &s);
	return 0;
}
