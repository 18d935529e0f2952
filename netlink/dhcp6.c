/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "netlink/dhcp_machine.h"

/* RFC 8415 7.6, in ms; no maximum is 0. */
struct timing {
	uint32_t first, longest;
	unsigned most; /* messages */
};
static const struct timing timings[] = {
    [DHCP6_SOLICITING] = {1000, 3600000, 0},
    [DHCP6_REQUESTING] = {1000, 30000, 10},
    [DHCP6_RENEWING] = {10000, 600000, 0},
    [DHCP6_REBINDING] = {10000, 600000, 0},
};
/* Of a lease so short that ten seconds are a good part of it, the first retry comes sooner. */
enum { RENEW_WAIT_PART = 20, RENEW_WAIT_MIN_MS = 1000 };

uint32_t dhcp6_iaid(const struct mac *mac)
{
	return (uint32_t)mac->bytes[2] << 24 | (uint32_t)mac->bytes[3] << 16 | (uint32_t)mac->bytes[4] << 8 | mac->bytes[5];
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void enter(struct dhcp6 *d, enum dhcp6_state state, uint64_t now)
{
	d->state = state;
	d->tries = 0;
	d->timeout = 0;
	d->xid = dhcp_random(&d->random) & 0xffffff;
	d->begun = now;
}

/* RFC 8415 15, with its random part of a tenth. */
static uint32_t next_timeout(struct dhcp6 *d)
{
	struct timing t = timings[d->state];
	if (d->state == DHCP6_SOLICITING)
		t.longest = d->sol_max_rt;
	if (d->state == DHCP6_RENEWING || d->state == DHCP6_REBINDING) {
		uint64_t part = (uint64_t)d->lease.valid * 1000 / RENEW_WAIT_PART;
		t.first = (uint32_t)earlier(t.first, part > RENEW_WAIT_MIN_MS ? part : RENEW_WAIT_MIN_MS);
	}
	uint64_t base = d->timeout ? 2 * (uint64_t)d->timeout : t.first;
	base = earlier(base, t.longest);
	return (uint32_t)(base - base / 10 + dhcp_random(&d->random) % (base / 5 + 1));
}

static void send_message(struct dhcp6 *d, uint64_t now, struct dhcp_send *ret)
{
	static const enum dhcp6_type types[] = {[DHCP6_SOLICITING] = DHCP6_SOLICIT,
	                                        [DHCP6_REQUESTING] = DHCP6_REQUEST,
	                                        [DHCP6_RENEWING] = DHCP6_RENEW,
	                                        [DHCP6_REBINDING] = DHCP6_REBIND};
	struct dhcp6_request q = {.type = types[d->state],
	                          .xid = d->xid,
	                          .elapsed_cs = (uint32_t)earlier((now - d->begun) / 10, UINT16_MAX),
	                          .mac = d->mac,
	                          .server = "",
	                          .iaid = d->iaid};
	if (d->state == DHCP6_REQUESTING)
		q.server = d->offer.server_id;
	if (d->state == DHCP6_RENEWING)
		q.server = d->lease.server_id;
	if (d->state != DHCP6_SOLICITING)
		q.addresses = d->state == DHCP6_REQUESTING ? &d->offer : &d->lease;
	d->tries++;
	d->solicits += d->state == DHCP6_SOLICITING;
	d->requests += d->state != DHCP6_SOLICITING;
	d->timeout = next_timeout(d);
	d->deadline = now + d->timeout;
	if (d->lease.held) /* also while what the server forgot is asked for anew */
		d->deadline = earlier(d->deadline, dhcp_lease_time(&d->lease, d->lease.valid));
	dhcp6_encode(&q, ret);
}

static void begin(struct dhcp6 *d, enum dhcp6_state state, uint64_t now, struct dhcp_send *ret)
{
	enter(d, state, now);
	send_message(d, now, ret);
}

void dhcp6_start(struct dhcp6 *d, const struct mac *mac, const struct lease *known, uint64_t seed, uint64_t now)
{
	*d = (struct dhcp6){.mac = *mac,
	                    .iaid = dhcp6_iaid(mac),
	                    .random = seed ? seed : 1,
	                    .sol_max_rt = timings[DHCP6_SOLICITING].longest,
	                    .deadline = now};
	enter(d, DHCP6_SOLICITING, now);
	if (known && known->held && known->n_addresses > 0) {
		d->lease = *known;
		d->iaid = known->iaid;
		enter(d, DHCP6_BOUND, now);
	}
}

static void tick_lease(struct dhcp6 *d, uint64_t now, struct dhcp_send *ret)
{
	const struct lease *l = &d->lease;
	uint64_t renew = dhcp_lease_time(l, l->renew), rebind = dhcp_lease_time(l, l->rebind);
	if (now < renew) {
		d->deadline = renew;
		return;
	}
	enum dhcp6_state state = now >= rebind ? DHCP6_REBINDING : DHCP6_RENEWING;
	if (d->state != state)
		enter(d, state, now);
	send_message(d, now, ret);
	if (state == DHCP6_RENEWING)
		d->deadline = earlier(d->deadline, rebind);
}

bool dhcp6_tick(struct dhcp6 *d, uint64_t now, struct dhcp_send *ret)
{
	*ret = (struct dhcp_send){0};
	if (now < d->deadline)
		return false;
	if (d->lease.held && now >= dhcp_lease_time(&d->lease, d->lease.valid)) {
		d->lease = (struct lease){0};
		begin(d, DHCP6_SOLICITING, now, ret);
		return true;
	}
	if (d->state >= DHCP6_BOUND) {
		tick_lease(d, now, ret);
		return false;
	}
	if (d->state == DHCP6_REQUESTING && d->tries >= timings[d->state].most)
		enter(d, DHCP6_SOLICITING, now);
	send_message(d, now, ret);
	return false;
}

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */

static bool take_lease(struct dhcp6 *d, const struct dhcp6_answer *a, uint64_t now)
{
	d->lease = a->lease;
	d->lease.taken_at = now;
	enter(d, DHCP6_BOUND, now);
	d->deadline = dhcp_lease_time(&d->lease, d->lease.renew);
	return true;
}

static bool has_ended(const struct dhcp6_answer *a, const struct ip_address *address)
{
	for (size_t i = 0; i < a->n_ended; i++)
		if (ip_address_equal(&a->ended[i], address))
			return true;
	return false;
}

static bool all_ended(const struct dhcp6_answer *a, const struct lease *l)
{
	for (size_t i = 0; i < l->n_addresses; i++)
		if (!has_ended(a, &l->addresses[i].prefix.address))
			return false;
	return true;
}

/* RFC 8415 18.2.10.1: what a reply without addresses for us means. */
static bool take_refusal(struct dhcp6 *d, const struct dhcp6_answer *a, uint64_t now, struct dhcp_send *ret)
{
	bool held = d->lease.held;
	d->refusals++;
	d->refusal = a->status ? a->status : DHCP6_NO_ADDRS_AVAIL;
	switch (d->state) {
	case DHCP6_REQUESTING:
		/* Not before its next time, or a server that offers and refuses in turns would be asked without end. */
		if (a->status != DHCP6_UNSPEC_FAIL && a->status != DHCP6_USE_MULTICAST) {
			d->lease = (struct lease){0};
			enter(d, DHCP6_SOLICITING, now);
			return held;
		}
		return false;
	case DHCP6_RENEWING:
	case DHCP6_REBINDING:
		if (a->status == DHCP6_NO_BINDING) { /* it has forgotten us: the same addresses are asked for anew */
			d->offer = d->lease;
			memcpy(d->offer.server_id, a->lease.server_id, sizeof(d->offer.server_id));
			begin(d, DHCP6_REQUESTING, now, ret);
		} else if (a->status == DHCP6_NOT_ON_LINK || all_ended(a, &d->lease)) {
			d->lease = (struct lease){0};
			begin(d, DHCP6_SOLICITING, now, ret);
			return true;
		}
		return false;
	default:
		return false;
	}
}

static bool take_reply(struct dhcp6 *d, const struct dhcp6_answer *a, uint64_t now, struct dhcp_send *ret)
{
	if (d->state == DHCP6_BOUND || (d->state == DHCP6_SOLICITING && !a->rapid_commit))
		return false;
	if (d->state == DHCP6_REQUESTING && strcmp(a->lease.server_id, d->offer.server_id) != 0)
		return false;
	if (d->state == DHCP6_RENEWING && strcmp(a->lease.server_id, d->lease.server_id) != 0)
		return false;
	return a->lease.held ? take_lease(d, a, now) : take_refusal(d, a, now, ret);
}

bool dhcp6_take(struct dhcp6 *d, const struct dhcp6_answer *a, uint64_t now, struct dhcp_send *ret)
{
	*ret = (struct dhcp_send){0};
	if (a->xid != d->xid || !mac_equal(&a->mac, &d->mac))
		return false;
	if (a->sol_max_rt)
		d->sol_max_rt = a->sol_max_rt * 1000;
	if (a->type == DHCP6_REPLY)
		return take_reply(d, a, now, ret);
	if (d->state != DHCP6_SOLICITING)
		return false;
	if (!a->lease.held) {
		d->refusals++;
		d->refusal = a->status ? a->status : DHCP6_NO_ADDRS_AVAIL;
		return false;
	}
	d->offer = a->lease;
	begin(d, DHCP6_REQUESTING, now, ret);
	return false;
}

void dhcp6_describe(const struct dhcp6 *d, char text[DHCP_TEXT_SIZE])
{
	static const char *const names[] = {
	    [DHCP6_SUCCESS] = "Success",      [DHCP6_UNSPEC_FAIL] = "UnspecFail", [DHCP6_NO_ADDRS_AVAIL] = "NoAddrsAvail",
	    [DHCP6_NO_BINDING] = "NoBinding", [DHCP6_NOT_ON_LINK] = "NotOnLink",  [DHCP6_USE_MULTICAST] = "UseMulticast"};
	if (d->refusals > 0)
		snprintf(text, DHCP_TEXT_SIZE, "refused by a server %u times: %s", d->refusals, names[d->refusal]);
	else if (d->requests > 0)
		snprintf(text, DHCP_TEXT_SIZE, "%u SOLICIT and %u REQUEST were sent, and no server confirmed", d->solicits, d->requests);
	else
		snprintf(text, DHCP_TEXT_SIZE, "%u SOLICIT were sent, and no server advertised an address", d->solicits);
}

void dhcp6_release(const struct mac *mac, const struct lease *lease, uint32_t xid, struct dhcp_send *ret)
{
	const struct dhcp6_request q = {
	    .type = DHCP6_RELEASE, .xid = xid, .mac = *mac, .server = lease->server_id, .iaid = lease->iaid, .addresses = lease};
	*ret = (struct dhcp_send){0};
	dhcp6_encode(&q, ret);
}
