/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "netlink/dhcp_machine.h"

enum {
	FIRST_WAIT_MS = 1000,
	LONGEST_WAIT_MS = 64000, /* RFC 2131 4.1 */
	REQUESTS_MAX = 4,        /* to a server that offered and is silent then */
	REBOOTS_MAX = 2,
	RENEW_WAIT_MAX_MS = 60000, /* 4.4.5: no more often than once in a minute … */
	RENEW_WAIT_PART = 20,      /* … but of a short lease, once in a twentieth of it */
	RENEW_WAIT_MIN_MS = 1000,
	PROBES = 2,
	PROBE_WAIT_MS = 250,
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t backoff(struct dhcp4 *d)
{
	unsigned doublings = d->tries > 1 ? d->tries - 1 : 0;
	uint64_t wait = doublings >= 6 ? LONGEST_WAIT_MS : (uint64_t)FIRST_WAIT_MS << doublings;
	return dhcp_jitter(&d->random, wait);
}

static void enter(struct dhcp4 *d, enum dhcp4_state state, uint64_t now)
{
	d->state = state;
	d->tries = 0;
	/* A new exchange has a new number; what selects and what requests is one. */
	if (state != DHCP4_REQUESTING) {
		d->xid = dhcp_random(&d->random);
		d->begun = now;
	}
}

static struct dhcp4_request request(const struct dhcp4 *d, enum dhcp4_type type, uint64_t now)
{
	uint64_t seconds = (now - d->begun) / 1000;
	return (struct dhcp4_request){.type = type,
	                              .xid = d->xid,
	                              .seconds = (uint16_t)(seconds > UINT16_MAX ? UINT16_MAX : seconds),
	                              .broadcast = d->broadcast,
	                              .mac = d->mac};
}

static void send_discover(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret)
{
	struct dhcp4_request q = request(d, DHCP4_DISCOVER, now);
	d->tries++;
	d->discovers++;
	d->deadline = now + backoff(d);
	dhcp4_encode(&q, ret);
}

static void begin(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret)
{
	enter(d, DHCP4_SELECTING, now);
	send_discover(d, now, ret);
}

/* RFC 2131 table 5: who selects names server and address as options, who reboots the address alone, who has it puts it in ciaddr. */
static void send_request(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret)
{
	struct dhcp4_request q = request(d, DHCP4_REQUEST, now);
	const struct lease *l = d->state == DHCP4_REQUESTING || d->state == DHCP4_REBOOTING ? &d->offer : &d->lease;
	const struct ip_address *address = &l->addresses[0].prefix.address;
	d->tries++;
	d->requests++;
	d->asked = now;
	if (d->state == DHCP4_REQUESTING)
		q.server = l->server;
	if (d->state == DHCP4_REQUESTING || d->state == DHCP4_REBOOTING) {
		q.requested = *address;
	} else {
		q.client = ret->source = *address;
		q.broadcast = false;
	}
	if (d->state == DHCP4_RENEWING) {
		ret->to = l->server_mac;
		ret->destination = l->server;
	}
	dhcp4_encode(&q, ret);
}

/* Half of what is left of the phase. */
static uint64_t renewal_wait(struct dhcp4 *d, uint64_t now, uint64_t end)
{
	uint64_t least = (uint64_t)d->lease.valid * 1000 / RENEW_WAIT_PART, half = end > now ? (end - now) / 2 : 0;
	least = earlier(least, RENEW_WAIT_MAX_MS);
	if (least < RENEW_WAIT_MIN_MS)
		least = RENEW_WAIT_MIN_MS;
	return half > least ? half : least;
}

static bool tick_lease(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret)
{
	const struct lease *l = &d->lease;
	uint64_t renew = dhcp_lease_time(l, l->renew), rebind = dhcp_lease_time(l, l->rebind), end = dhcp_lease_time(l, l->valid);
	if (now >= end) {
		d->lease = (struct lease){0};
		begin(d, now, ret);
		return true;
	}
	if (now < renew) {
		d->deadline = renew;
		return false;
	}
	enum dhcp4_state state = now >= rebind ? DHCP4_REBINDING : DHCP4_RENEWING;
	if (d->state != state)
		enter(d, state, now);
	send_request(d, now, ret);
	uint64_t phase = state == DHCP4_RENEWING ? rebind : end;
	d->deadline = earlier(now + renewal_wait(d, now, phase), phase);
	return false;
}

static void send_probe(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret)
{
	d->tries++;
	d->deadline = now + PROBE_WAIT_MS;
	ret->probe = d->offer.addresses[0].prefix.address;
	ret->wanted = true;
}

static void bind_lease(struct dhcp4 *d, const struct lease *l, uint64_t now)
{
	d->lease = *l;
	d->refusals = 0;
	enter(d, DHCP4_BOUND, now);
	d->deadline = dhcp_lease_time(&d->lease, d->lease.renew);
}

static bool tick_probe(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret)
{
	if (d->tries < PROBES) {
		send_probe(d, now, ret);
		return false;
	}
	bind_lease(d, &d->offer, now);
	if (d->deadline <= now) /* the answer came late, or the machine slept */
		d->deadline = now + 1;
	return true;
}

/* Without a lease, and not at once: a server that gives and refuses in turns, or one address again and again, is not to be asked without
 * end. */
static void start_over(struct dhcp4 *d, uint64_t now)
{
	d->refusals++;
	d->lease = d->offer = (struct lease){0};
	enter(d, DHCP4_SELECTING, now);
	d->tries = d->refusals < 7 ? d->refusals : 7;
	d->deadline = now + backoff(d);
	d->tries = 0;
}

void dhcp4_start(struct dhcp4 *d, const struct mac *mac, const struct lease *known, bool sure, uint64_t seed, uint64_t now)
{
	*d = (struct dhcp4){.mac = *mac, .random = seed ? seed : 1, .deadline = now};
	enter(d, DHCP4_SELECTING, now);
	if (!known || !known->held || known->n_addresses == 0)
		return;
	if (sure) {
		d->lease = *known;
		enter(d, DHCP4_BOUND, now);
	} else if (now < dhcp_lease_time(known, known->valid)) {
		d->offer = *known;
		enter(d, DHCP4_REBOOTING, now);
	}
}

bool dhcp4_tick(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret)
{
	*ret = (struct dhcp_send){0};
	if (now < d->deadline)
		return false;
	switch (d->state) {
	case DHCP4_SELECTING:
		send_discover(d, now, ret);
		return false;
	case DHCP4_REQUESTING:
	case DHCP4_REBOOTING:
		if (d->tries >= (d->state == DHCP4_REQUESTING ? REQUESTS_MAX : REBOOTS_MAX)) {
			begin(d, now, ret);
			return false;
		}
		send_request(d, now, ret);
		d->deadline = now + backoff(d);
		return false;
	case DHCP4_PROBING:
		return tick_probe(d, now, ret);
	case DHCP4_BOUND:
	case DHCP4_RENEWING:
	case DHCP4_REBINDING:
		return tick_lease(d, now, ret);
	}
	return false;
}

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */

static void take_offer(struct dhcp4 *d, const struct dhcp4_answer *a, uint64_t now, struct dhcp_send *ret)
{
	if (d->state != DHCP4_SELECTING || !a->lease.held)
		return;
	d->offer = a->lease;
	enter(d, DHCP4_REQUESTING, now);
	send_request(d, now, ret);
	d->deadline = now + backoff(d);
}

static bool take_ack(struct dhcp4 *d, const struct dhcp4_answer *a, const struct mac *from, uint64_t now, struct dhcp_send *ret)
{
	if (d->state == DHCP4_SELECTING || d->state == DHCP4_PROBING || d->state == DHCP4_BOUND || !a->lease.held)
		return false;
	if (d->state == DHCP4_REQUESTING && !ip_address_equal(&a->lease.server, &d->offer.server))
		return false;
	struct lease l = a->lease;
	l.server_mac = *from;
	l.taken_at = d->asked; /* RFC 2131 4.4.1: the server's time may run since then */
	if (d->state == DHCP4_RENEWING || d->state == DHCP4_REBINDING) {
		bind_lease(d, &l, now);
		return true;
	}
	d->offer = l;
	enter(d, DHCP4_PROBING, now);
	send_probe(d, now, ret);
	return false;
}

static bool take_nak(struct dhcp4 *d, const struct dhcp4_answer *a, uint64_t now)
{
	if (d->state == DHCP4_SELECTING || d->state == DHCP4_PROBING || d->state == DHCP4_BOUND)
		return false;
	if (d->state == DHCP4_REQUESTING && !ip_address_equal(&a->lease.server, &d->offer.server))
		return false;
	bool held = d->lease.held;
	memcpy(d->refusal, a->text, sizeof(d->refusal));
	d->declined = false;
	start_over(d, now);
	return held;
}

/* RFC 2131 table 5: address and server are options, and the answer, of which there is none, has no address to go to. */
static void decline(struct dhcp4 *d, const struct mac *by, uint64_t now, struct dhcp_send *ret)
{
	char address[IP_TEXT_MAX], mac[MAC_TEXT_MAX];
	const struct dhcp4_request q = {.type = DHCP4_DECLINE,
	                                .xid = dhcp_random(&d->random),
	                                .mac = d->mac,
	                                .requested = d->offer.addresses[0].prefix.address,
	                                .server = d->offer.server};
	ip_address_format(&q.requested, address);
	mac_format(by, mac);
	(void)snprintf(d->refusal, sizeof(d->refusal), "%.15s is in use by %.17s", address, mac);
	d->declined = true;
	d->declines++;
	start_over(d, now);
	dhcp4_encode(&q, ret);
}

void dhcp4_hear(struct dhcp4 *d, const struct arp_message *m, const struct mac *link, uint64_t now, struct dhcp_send *ret)
{
	*ret = (struct dhcp_send){0};
	bool ours = mac_equal(&m->sender, link) || mac_equal(&m->sender, &d->mac);
	if (d->state == DHCP4_PROBING && !ours && arp_claims(m, &d->offer.addresses[0].prefix.address))
		decline(d, &m->sender, now, ret);
}

bool dhcp4_take(struct dhcp4 *d, const struct dhcp4_answer *a, const struct mac *from, uint64_t now, struct dhcp_send *ret)
{
	*ret = (struct dhcp_send){0};
	if (a->xid != d->xid || !mac_equal(&a->mac, &d->mac))
		return false;
	if (a->type == DHCP4_ACK)
		return take_ack(d, a, from, now, ret);
	if (a->type == DHCP4_NAK)
		return take_nak(d, a, now);
	take_offer(d, a, now, ret);
	return false;
}

void dhcp4_describe(const struct dhcp4 *d, char text[DHCP_TEXT_SIZE])
{
	char server[IP_TEXT_MAX], address[IP_TEXT_MAX];
	ip_address_format(&d->offer.server, server);
	ip_address_format(&d->offer.addresses[0].prefix.address, address);
	if (d->state == DHCP4_PROBING)
		snprintf(text, DHCP_TEXT_SIZE, "%s, which %s gave, was still being looked for on the link", address, server);
	else if (d->refusals > 0 && d->declined)
		snprintf(text, DHCP_TEXT_SIZE, "what servers gave was no use %u times: %s", d->refusals, d->refusal);
	else if (d->refusals > 0)
		snprintf(text, DHCP_TEXT_SIZE, "refused by a server %u times%s%s", d->refusals, d->refusal[0] ? ": " : "", d->refusal);
	else if (d->offer.held && d->requests > 0)
		snprintf(text, DHCP_TEXT_SIZE, "%u REQUEST for %s, which %s had offered, and %u DISCOVER were sent, and nobody confirmed",
		         d->requests, address, server, d->discovers);
	else
		snprintf(text, DHCP_TEXT_SIZE, "%u DISCOVER were sent, and no server offered a lease", d->discovers);
}

void dhcp4_release(const struct mac *mac, const struct lease *lease, uint32_t xid, struct dhcp_send *ret)
{
	const struct dhcp4_request q = {
	    .type = DHCP4_RELEASE, .xid = xid, .mac = *mac, .client = lease->addresses[0].prefix.address, .server = lease->server};
	*ret = (struct dhcp_send){.to = lease->server_mac, .source = q.client, .destination = lease->server};
	dhcp4_encode(&q, ret);
}
