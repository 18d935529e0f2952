/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "netlink/dhcp.h"
#include "netlink/dhcp_machine.h"
#include "netlink/mover_internal.h" /* boottime_ms() */

enum {
	READS_PER_TURN = 16,
	LOOK_AGAIN_MS = 100, /* for a carrier, or for a link-local address that is still tentative, under a limit only */
	TIMER_MAX_MS = 24 * 3600 * 1000,
};

/* By itself, because libuv frees a handle later than the client closes the socket. */
struct channel {
	uv_poll_t poll;
	struct side *side;
	int fd;
	bool arp;
	struct dhcp_link link;
};
/* One family. */
struct side {
	struct dhcp_client *client;
	bool wanted, v6;
	bool changed;
	struct channel *channel; /* NULL = at rest */
	struct channel *ears;    /* for ARP, while an address is looked for */
	struct dhcp_send send;   /* `wanted`: has not gone out yet */
	uint64_t again;          /* when to try that again; DHCP_NEVER = not before the machine says */
	struct error trouble;    /* why the last one did not go out */
	union {
		struct dhcp4 v4m;
		struct dhcp6 v6m;
	};
};
struct dhcp_client {
	uv_timer_t timer;
	uv_loop_t *loop;
	struct dhcp_options o;
	struct leases *known; /* ours, not shared */
	struct side sides[2];
	uint64_t limit;
	bool started, closing;
	struct error trouble; /* why it has not started */
};

static uint64_t seed(void)
{
	uint64_t v = 0;
	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != sizeof(v)) /* only before the machine has gathered any */
		v = uv_hrtime();
	return v;
}

static int place_of(struct dhcp_client *c, struct dhcp_place *ret)
{
	*ret = c->o.place;
	ret->netns_fd = c->o.netns ? c->o.netns(c->o.user) : -1;
	return ret->netns_fd < -1 ? ret->netns_fd : 0;
}

/* ---- channels -------------------------------------------------------------------------------------------------------------------- */

static void settle(struct dhcp_client *c);

static void on_channel_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void channel_close(struct channel **at)
{
	struct channel *ch = *at;
	*at = NULL;
	if (!ch)
		return;
	uv_poll_stop(&ch->poll);
	/* Not when libuv frees the handle: it holds the namespace. */
	if (ch->side->v6)
		close(ch->fd);
	else
		packet_socket_close(ch->fd);
	ch->side = NULL;
	uv_close((uv_handle_t *)&ch->poll, on_channel_closed);
}

static void side_close(struct side *s)
{
	channel_close(&s->channel);
	channel_close(&s->ears);
}

static int hear_one(struct side *s, struct dhcp_send *send)
{
	const struct dhcp_options *o = &s->client->o;
	const struct channel *ears = s->ears;
	const struct ip_address *address = &s->v4m.offer.addresses[0].prefix.address;
	struct arp_message m;
	unsigned declines = s->v4m.declines;
	int r = arp_socket_receive(ears->fd, &m);
	/* What the link itself has, another link of the host may answer for: it will leave with the link. */
	if (r == 0 && arp_claims(&m, address) && !arp_socket_has(ears->fd, &ears->link, address))
		dhcp4_hear(&s->v4m, &m, &ears->link.mac, boottime_ms(), send);
	if (s->v4m.declines != declines && o->declined)
		o->declined(s->v4m.refusal, o->user);
	return r == -ENOMSG || r == -EBADMSG ? 0 : r;
}

/* 0, or what the socket says when there is nothing to read. */
static int read_one(struct side *s, struct dhcp_send *send)
{
	struct dhcp4_answer four;
	struct dhcp6_answer six;
	struct mac from;
	uint64_t now = boottime_ms();
	int r = s->v6 ? dhcp6_socket_receive(s->channel->fd, s->v6m.iaid, &six) : dhcp4_socket_receive(s->channel->fd, &four, &from);
	if (r < 0)
		return r == -ENOMSG || r == -EBADMSG ? 0 : r;
	s->changed |= s->v6 ? dhcp6_take(&s->v6m, &six, now, send) : dhcp4_take(&s->v4m, &four, &from, now, send);
	return 0;
}

static void read_some(struct channel *ch)
{
	struct side *s = ch->side;
	for (int i = 0; i < READS_PER_TURN && !s->changed; i++) {
		struct dhcp_send send = {0};
		int r = ch->arp ? hear_one(s, &send) : read_one(s, &send);
		if (send.wanted) {
			s->send = send;
			s->again = 0;
		}
		if (r < 0 && r != -EINTR)
			break;
	}
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	struct channel *ch = poll->data;
	struct side *s = ch->side;
	(void)events;
	if (!s)
		return;
	/* A link that went down is an error pending on the socket, which libuv takes for a bad descriptor, and stops watching. */
	if (status < 0)
		uv_poll_start(poll, UV_READABLE, on_readable);
	read_some(ch);
	settle(s->client);
}

static int socket_open(struct side *s, struct channel *ch, struct error *e)
{
	struct dhcp_client *c = s->client;
	struct dhcp_place place;
	int r = place_of(c, &place);
	if (r < 0)
		return error_set(e, r, "the pod's network namespace is not held any more");
	if (ch->arp)
		return arp_socket_open(&place, &s->send.probe, &ch->link, &ch->fd, e);
	return s->v6 ? dhcp6_socket_open(&place, &ch->link, &ch->fd, e) : dhcp4_socket_open(&place, &c->o.mac, &ch->link, &ch->fd, e);
}

static int channel_open(struct side *s, struct channel **at, struct error *e)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	if (!ch)
		return error_set(e, -ENOMEM, "out of memory");
	ch->arp = at == &s->ears;
	int r = socket_open(s, ch, e);
	if (r < 0) {
		free(ch);
		return r;
	}
	r = uv_poll_init(s->client->loop, &ch->poll, ch->fd);
	if (r < 0) {
		close(ch->fd);
		free(ch);
		return error_set(e, r, "cannot wait for answers to DHCP: %s", uv_strerror(r));
	}
	ch->poll.data = ch;
	ch->side = s;
	*at = ch;
	uv_poll_start(&ch->poll, UV_READABLE, on_readable);
	return 0;
}

/* ---- sending --------------------------------------------------------------------------------------------------------------------- */

static bool is_bound(const struct side *s)
{
	return s->v6 ? s->v6m.state == DHCP6_BOUND : s->v4m.state == DHCP4_BOUND;
}

static const struct lease *lease_of(const struct side *s)
{
	return s->v6 ? &s->v6m.lease : &s->v4m.lease;
}

static int try_send(struct side *s, struct error *e)
{
	bool probe = s->send.probe.family != IP_NONE;
	struct channel **at = probe ? &s->ears : &s->channel;
	int r = *at ? 0 : channel_open(s, at, e);
	if (r < 0)
		return r;
	if (probe)
		r = arp_socket_probe(s->ears->fd, &s->ears->link, &s->send.probe);
	else
		r = s->v6 ? dhcp6_socket_send(s->channel->fd, &s->channel->link, &s->send)
		          : dhcp4_socket_send(s->channel->fd, &s->channel->link, &s->send);
	return r < 0 ? error_set(e, r, "%s", strerror(-r)) : 0;
}

static void flush(struct side *s, uint64_t now)
{
	struct error ours = {0};
	if (!s->send.wanted || now < s->again)
		return;
	s->again = DHCP_NEVER;
	if (try_send(s, &ours) == 0) {
		s->send.wanted = false;
		s->trouble = (struct error){0};
		return;
	}
	s->trouble = ours;
	/* The link may be another by now, with another number. */
	side_close(s);
	if (s->client->o.limit_ms)
		s->again = now + LOOK_AGAIN_MS;
}

/* A message to a chaddr that is not the link's own would not be taken by it: the answer is asked for by broadcast. */
static void tell_link(struct side *s)
{
	if (!s->v6 && s->channel)
		s->v4m.broadcast = !mac_equal(&s->channel->link.mac, &s->client->o.mac);
}

static void tick(struct side *s, uint64_t now)
{
	struct dhcp_send send = {0};
	/* Timers come first on a loop that was held up: what was answered in time counts. */
	if (s->ears && now >= s->v4m.deadline)
		read_some(s->ears);
	uint64_t deadline = s->v6 ? s->v6m.deadline : s->v4m.deadline;
	if (now < deadline)
		return;
	if (!s->channel && !is_bound(s))
		(void)channel_open(s, &s->channel, NULL); /* told again when it is to be sent */
	tell_link(s);
	s->changed |= s->v6 ? dhcp6_tick(&s->v6m, now, &send) : dhcp4_tick(&s->v4m, now, &send);
	if (send.wanted) {
		s->send = send;
		s->again = 0;
	}
}

/* ---- reports --------------------------------------------------------------------------------------------------------------------- */

static void report(struct dhcp_client *c, int result, const char *error)
{
	struct leases *l = result == 0 ? leases_new() : NULL;
	if (result == 0 && !l)
		result = -ENOMEM;
	for (size_t i = 0; l && i < 2; i++)
		if (c->sides[i].wanted)
			*(i ? &l->v6 : &l->v4) = *lease_of(&c->sides[i]);
	c->o.report(c, result, result < 0 && !error ? "out of memory" : error, l, c->o.user);
}

/* What one family got is not used when the other got nothing. */
static void give_back(struct dhcp_client *c)
{
	struct leases got = {.references = 1};
	struct dhcp_place place;
	if (!c->started || place_of(c, &place) < 0)
		return;
	if (c->sides[0].wanted)
		got.v4 = c->sides[0].v4m.state == DHCP4_PROBING ? c->sides[0].v4m.offer : c->sides[0].v4m.lease;
	if (c->sides[1].wanted)
		got.v6 = c->sides[1].v6m.lease;
	(void)dhcp_release(&place, &c->o.mac, &got, NULL);
}

static void report_failure(struct dhcp_client *c)
{
	struct error e = {0};
	int code = -ETIMEDOUT;
	for (size_t i = 0; i < 2 && c->started; i++) {
		const struct side *s = &c->sides[i];
		char text[DHCP_TEXT_SIZE];
		if (!s->wanted || lease_of(s)->held)
			continue;
		if (s->v6)
			dhcp6_describe(&s->v6m, text);
		else
			dhcp4_describe(&s->v4m, text);
		error_append(&e, code, "%s on %s: %s%s%s", s->v6 ? "DHCPv6" : "DHCPv4", c->o.place.ifname, text,
		             s->trouble.code ? "; the last message could not be sent: " : "", s->trouble.text);
	}
	if (!c->started)
		error_set(&e, code, "DHCP on %s: %s", c->o.place.ifname, c->trouble.text);
	for (size_t i = 0; i < 2; i++)
		side_close(&c->sides[i]);
	give_back(c);
	c->sides[0].wanted = c->sides[1].wanted = false;
	uv_timer_stop(&c->timer);
	report(c, code, e.text);
}

static bool all_held(const struct dhcp_client *c)
{
	for (size_t i = 0; i < 2; i++)
		if (c->sides[i].wanted && !lease_of(&c->sides[i])->held)
			return false;
	return true;
}

/* ---- the loop -------------------------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void arm(struct dhcp_client *c, uint64_t now)
{
	uint64_t at = c->limit;
	for (size_t i = 0; i < 2 && c->started; i++) {
		const struct side *s = &c->sides[i];
		uint64_t deadline = s->v6 ? s->v6m.deadline : s->v4m.deadline;
		if (!s->wanted)
			continue;
		if (deadline < at)
			at = deadline;
		if (s->send.wanted && s->again < at)
			at = s->again;
	}
	if (!c->started && now + LOOK_AGAIN_MS < at)
		at = now + LOOK_AGAIN_MS;
	uint64_t wait = at == DHCP_NEVER ? DHCP_NEVER : at > now ? at - now : 0;
	/* The machine's sleep counts for leases and not for timers. */
	if (wait == DHCP_NEVER)
		uv_timer_stop(&c->timer);
	else
		uv_timer_start(&c->timer, on_timer, wait < TIMER_MAX_MS ? wait : TIMER_MAX_MS, 0);
}

/* After anything happened: send, rest, report, and wait. */
static void settle(struct dhcp_client *c)
{
	uint64_t now = boottime_ms();
	bool changed = false;
	for (size_t i = 0; i < 2 && c->started; i++) {
		struct side *s = &c->sides[i];
		if (!s->wanted)
			continue;
		flush(s, now);
		if (is_bound(s))
			channel_close(&s->channel);
		if (!s->v6 && s->v4m.state != DHCP4_PROBING)
			channel_close(&s->ears);
		changed |= s->changed;
		s->changed = false;
	}
	if (changed && (c->limit == DHCP_NEVER || all_held(c))) {
		if (c->limit != DHCP_NEVER)
			uv_timer_stop(&c->timer);
		else
			arm(c, now);
		report(c, 0, NULL); /* the client may be gone now */
		return;
	}
	if (now >= c->limit)
		report_failure(c);
	else
		arm(c, now);
}

static void start_machines(struct dhcp_client *c, uint64_t now)
{
	const struct leases *known = c->known;
	bool sure = c->o.limit_ms == 0;
	c->started = true;
	if (c->o.v4)
		dhcp4_start(&c->sides[0].v4m, &c->o.mac, known ? &known->v4 : NULL, sure, seed(), now);
	/* An address of DHCPv6 is bound to DUID and IAID: the server finds it again. */
	if (c->o.v6)
		dhcp6_start(&c->sides[1].v6m, &c->o.mac, known && sure ? &known->v6 : NULL, seed(), now);
	leases_unref(c->known);
	c->known = NULL;
}

/* Nothing is sent into a link that has no carrier: under a limit it is waited for. */
static bool may_start(struct dhcp_client *c)
{
	struct dhcp_place place;
	struct dhcp_link link;
	if (c->o.limit_ms == 0)
		return true;
	int r = place_of(c, &place);
	c->trouble = (struct error){0};
	if (r < 0 || dhcp_link_look(&place, &link, &c->trouble) < 0)
		return false;
	if (!link.running)
		error_set(&c->trouble, -ENETDOWN, "the link has no carrier");
	return link.running;
}

static void on_timer(uv_timer_t *timer)
{
	struct dhcp_client *c = timer->data;
	uint64_t now = boottime_ms();
	if (!c->started && may_start(c))
		start_machines(c, now);
	for (size_t i = 0; i < 2 && c->started; i++)
		if (c->sides[i].wanted)
			tick(&c->sides[i], now);
	settle(c);
}

int dhcp_client_start(uv_loop_t *loop, const struct dhcp_options *o, struct dhcp_client **ret, struct error *e)
{
	if (o->mac.length != 6)
		return error_set(e, -EOPNOTSUPP, "%s has no Ethernet address, and DHCP is spoken over Ethernet only", o->place.ifname);
	struct dhcp_client *c = calloc(1, sizeof(*c));
	struct leases *known = c && o->known ? leases_new() : NULL;
	if (!c || (o->known && !known)) {
		free(c);
		return error_set(e, -ENOMEM, "out of memory");
	}
	if (known) {
		known->v4 = o->known->v4;
		known->v6 = o->known->v6;
	}
	*c = (struct dhcp_client){.loop = loop, .o = *o, .known = known, .limit = DHCP_NEVER};
	c->o.known = NULL;
	if (o->limit_ms)
		c->limit = boottime_ms() + o->limit_ms;
	c->sides[0] = (struct side){.client = c, .wanted = o->v4};
	c->sides[1] = (struct side){.client = c, .wanted = o->v6, .v6 = true};
	uv_timer_init(loop, &c->timer);
	c->timer.data = c;
	uv_timer_start(&c->timer, on_timer, 0, 0);
	*ret = c;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct dhcp_client *c = handle->data;
	leases_unref(c->known);
	free(c);
}

void dhcp_client_close(struct dhcp_client *c)
{
	if (!c || c->closing)
		return;
	c->closing = true;
	side_close(&c->sides[0]);
	side_close(&c->sides[1]);
	uv_timer_stop(&c->timer);
	uv_close((uv_handle_t *)&c->timer, on_closed);
}

/* ---- release --------------------------------------------------------------------------------------------------------------------- */

static int release4(const struct dhcp_place *place, const struct mac *mac, const struct lease *l, struct error *e)
{
	struct dhcp_send send;
	struct dhcp_link link;
	int fd = -1;
	dhcp4_release(mac, l, (uint32_t)seed(), &send);
	int r = dhcp4_socket_open(place, mac, &link, &fd, e);
	if (r < 0)
		return r;
	r = dhcp4_socket_send(fd, &link, &send);
	packet_socket_close(fd);
	return r < 0 ? error_set(e, r, "cannot release the lease on %s: %s", link.ifname, strerror(-r)) : 0;
}

/* A link that has just come up looks for a second or two whether somebody else has its link-local address. */
static int release6(const struct dhcp_place *place, const struct mac *mac, const struct lease *l, struct error *e)
{
	struct dhcp_send send;
	struct dhcp_link link;
	int fd = -1;
	dhcp6_release(mac, l, (uint32_t)seed() & 0xffffff, &send);
	int r = dhcp6_socket_open(place, &link, &fd, e);
	if (r == 0 && (r = dhcp6_socket_send(fd, &link, &send)) == -EADDRNOTAVAIL) {
		close(fd);
		fd = -1;
		r = dhcp6_socket_open_early(place, &link, &fd, e);
		if (r == 0)
			r = dhcp6_socket_send(fd, &link, &send);
	}
	if (fd < 0)
		return r;
	close(fd);
	return r < 0 ? error_set(e, r, "cannot release the IPv6 addresses on %s: %s", link.ifname, strerror(-r)) : 0;
}

int dhcp_release(const struct dhcp_place *place, const struct mac *mac, const struct leases *leases, struct error *e)
{
	struct error four = {0}, six = {0};
	if (leases->v4.held && release4(place, mac, &leases->v4, &four) < 0)
		error_append(e, four.code, "%s", four.text);
	if (leases->v6.held && release6(place, mac, &leases->v6, &six) < 0)
		error_append(e, six.code, "%s", six.text);
	return four.code ? four.code : six.code;
}
