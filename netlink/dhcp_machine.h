/* SPDX-License-Identifier: Apache-2.0 */
/* The two client state machines: RFC 2131 figure 5, and RFC 8415 section 18.2 for one IA_NA. Pure: the caller brings the time, the chance
 * and the messages, sends what they want sent, and comes back at `deadline`. Of two calls at the same moment each may be the first.
 *
 * Choices: the first usable offer is taken. A new IPv4 address is looked for on the link by two ARP probes, a quarter of a second for each
 * (RFC 2131 4.4.1; RFC 5227 would take five seconds and more), and declined when somebody has it. What comes after that, and first
 * retries, come after a second, not ten and four, and the first Solicit is not held back by the random second of RFC 8415 18.2.1, because
 * somebody waits. */
#pragma once

#include "netlink/arp.h"
#include "netlink/dhcp_message.h"

#define DHCP_NEVER UINT64_MAX

enum { DHCP_TEXT_SIZE = 256 };

enum dhcp4_state {
	DHCP4_SELECTING, /* INIT is the moment before its first DISCOVER */
	DHCP4_REQUESTING,
	DHCP4_REBOOTING, /* of an earlier lease: is it still good? */
	DHCP4_PROBING,   /* it was given `offer`: does somebody else have that address? */
	DHCP4_BOUND,
	DHCP4_RENEWING,
	DHCP4_REBINDING,
};
struct dhcp4 {
	struct mac mac;
	bool broadcast;
	uint64_t random;
	enum dhcp4_state state;
	uint32_t xid;
	uint64_t begun;    /* of this acquisition or renewal, ms */
	uint64_t asked;    /* when the last REQUEST was sent, ms */
	unsigned tries;    /* messages sent in this state */
	uint64_t deadline; /* when dhcp4_tick() is wanted; DHCP_NEVER = not at all */
	struct lease offer;
	struct lease lease;           /* what is held */
	unsigned discovers, requests; /* since the start, for people */
	unsigned refusals;            /* since the last lease: of servers, and ours of what they gave */
	unsigned declines;            /* of the latter, since the start */
	bool declined;                /* the last was one of them */
	char refusal[DHCP4_TEXT_SIZE];
};
/* `known` (may be NULL) is an earlier lease. With `sure` it is in use and goes on as if nothing had been between, else the server is asked
 * first whether it is still good. `seed` is any number; `now` CLOCK_BOOTTIME in ms, here and below. */
void dhcp4_start(struct dhcp4 *d, const struct mac *mac, const struct lease *known, bool sure, uint64_t seed, uint64_t now);
/* The deadline has come, and a message that has come. True: `lease` is another, or ended. */
bool dhcp4_tick(struct dhcp4 *d, uint64_t now, struct dhcp_send *ret);
bool dhcp4_take(struct dhcp4 *d, const struct dhcp4_answer *a, const struct mac *from, uint64_t now, struct dhcp_send *ret);
/* Somebody on the link spoke ARP. `link` is our own hardware address there, beside that of the machine. */
void dhcp4_hear(struct dhcp4 *d, const struct arp_message *m, const struct mac *link, uint64_t now, struct dhcp_send *ret);
/* What was tried in vain: "3 DISCOVER were sent and nobody answered". */
void dhcp4_describe(const struct dhcp4 *d, char text[DHCP_TEXT_SIZE]);
/* The message that gives a lease back. */
void dhcp4_release(const struct mac *mac, const struct lease *lease, uint32_t xid, struct dhcp_send *ret);

enum dhcp6_state { DHCP6_SOLICITING, DHCP6_REQUESTING, DHCP6_BOUND, DHCP6_RENEWING, DHCP6_REBINDING };
struct dhcp6 {
	struct mac mac;
	uint32_t iaid;
	uint64_t random;
	enum dhcp6_state state;
	uint32_t xid;
	uint64_t begun;
	unsigned tries;
	uint32_t timeout;    /* RT of the last message, ms */
	uint32_t sol_max_rt; /* ms */
	uint64_t deadline;
	struct lease offer;
	struct lease lease;
	unsigned solicits, requests, refusals;
	enum dhcp6_status refusal;
};
void dhcp6_start(struct dhcp6 *d, const struct mac *mac, const struct lease *known, uint64_t seed, uint64_t now);
bool dhcp6_tick(struct dhcp6 *d, uint64_t now, struct dhcp_send *ret);
bool dhcp6_take(struct dhcp6 *d, const struct dhcp6_answer *a, uint64_t now, struct dhcp_send *ret);
void dhcp6_describe(const struct dhcp6 *d, char text[DHCP_TEXT_SIZE]);
void dhcp6_release(const struct mac *mac, const struct lease *lease, uint32_t xid, struct dhcp_send *ret);
uint32_t dhcp6_iaid(const struct mac *mac); /* the same for a MAC in every life of the daemon */

/* What both do alike: a generator (xorshift64*) in a state that is never 0, and when of a lease something is. */
static inline uint32_t dhcp_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * 0x2545f4914f6cdd1dULL) >> 32);
}
/* `ms` with up to a quarter more or less. */
static inline uint64_t dhcp_jitter(uint64_t *state, uint64_t ms)
{
	return ms - ms / 4 + dhcp_random(state) % (ms / 2 + 1);
}
static inline uint64_t dhcp_lease_time(const struct lease *l, uint32_t seconds)
{
	return seconds == LEASE_FOR_EVER ? DHCP_NEVER : l->taken_at + 1000 * (uint64_t)seconds;
}
