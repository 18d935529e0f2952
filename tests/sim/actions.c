/* SPDX-License-Identifier: Apache-2.0 */
/* What can happen next. Most of it is what a kubelet and a runtime do in their legal orders (pods.c); some of it is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

static void synchronize(struct sim *s)
{
	struct sandbox list[SANDBOXES];
	size_t n = 0;
	for (int i = 0; i < s->n_sandboxes; i++)
		if (s->sandboxes[i].exists)
			sandbox_fill(s, i, &list[n++]);
	s->connected = true;
	struct event up = {.type = EVENT_RUNTIME_UP, .runtime = {.request_timeout_ms = 2000, .can_gate = !s->ungated}};
	sim_feed(s, &up);
	struct event e = {.type = EVENT_SYNCHRONIZE, .synchronize = {.sandboxes = list, .n = n}};
	sim_feed(s, &e);
}

static void disconnect(struct sim *s)
{
	s->connected = false;
	hooks_abandoned(s);
	struct event e = {.type = EVENT_RUNTIME_DOWN};
	sim_feed(s, &e);
}

static void tell_inventory(struct sim *s)
{
	struct event begin = {.type = EVENT_INVENTORY_BEGIN}, end = {.type = EVENT_INVENTORY_END};
	sim_feed(s, &begin);
	for (int i = 0; i < DEVICES; i++)
		tell_device(s, i);
	sim_feed(s, &end);
	tell_uplinks(s);
	s->inventory_told = true;
}

void world_start(struct sim *s)
{
	char boot[16];
	(void)snprintf(boot, sizeof(boot), "boot%u", s->boot);
	struct core_options o = {.driver = DRIVER, .node = NODE, .boot_id = boot, .synchronous_hooks = s->synchronous};
	if (core_new(&o, &s->core) < 0)
		abort();
	s->epoch++;
	sim_say(s, "dranetd starts, %zu records", s->n_records);
	for (size_t i = 0; i < s->n_records; i++) {
		struct claim_record copy;
		record_copy(&s->records[i], &copy);
		struct event e = {.type = EVENT_RECORD, .record = &copy};
		sim_feed(s, &e);
		claim_record_free(&copy);
	}
	struct event e = {.type = EVENT_RECOVERED};
	sim_feed(s, &e);
	tell_inventory(s);
}

/* However it ended: what only it held is let go, and what was not told yet is told to nobody. */
static void world_ended(struct sim *s)
{
	core_free(s->core);
	s->core = NULL;
	s->connected = s->inventory_told = s->uplinks_told = false;
	s->published = s->slice_version = 0;
	calls_broken(s);
	for (int pod = 0; pod < PODS; pod++)
		for (int k = 0; k < CLAIMS_PER_POD; k++) {
			struct wclaim *c = &s->pods[pod].claims[k];
			c->untold |= c->status_n && !record_of(s, c->ref.uid);
			c->undo_events = 0;
		}
	for (int i = 0; i < DEVICES; i++) {
		s->devices[i].half = false;
		s->devices[i].keeper[0] = 0;
		s->devices[i].lease_unknown |= !lease_recorded(s, i);
	}
	for (int i = 0; i < s->n_sandboxes; i++) {
		s->sandboxes[i].pinned = false;
		s->sandboxes[i].left = 0;
		netns_check(s, i);
	}
}

static void world_crash(struct sim *s)
{
	sim_say(s, "dranetd is killed");
	s->crashes++;
	perform_crash(s);
	world_ended(s);
}

static void results(struct sim *s)
{
	size_t i = sim_choose(s, (uint32_t)s->n_pending);
	for (size_t k = 0; k < s->n_pending; k++, i = (i + 1) % s->n_pending) {
		struct pending *p = &s->pending[i];
		bool disk = p->effect.type == EFFECT_STORE || p->effect.type == EFFECT_FORGET;
		if (((s->slow_disk && disk) || (s->lasting && p->effect.type == EFFECT_STATUS)) && sim_choose(s, 8))
			continue;
		if (p->performed) {
			deliver(s, i);
			return;
		}
		if (perform_ready(s, i)) {
			perform(s, p, sim_choose(s, 8) == 7 ? 1 + sim_choose(s, perform_ways(p) - 1) : 0);
			if (p->effect.type == EFFECT_EVENT)
				deliver(s, i);
			return;
		}
	}
}

/* SIGTERM, or a successor that takes over: what the workers were given is done, its results are heard or not. */
static void world_stop(struct sim *s)
{
	sim_say(s, "dranetd is stopped");
	for (unsigned i = sim_choose(s, 30); i > 0 && s->n_pending && !*s->broken; i--) {
		results(s);
		check_promises(s);
	}
	perform_rest(s);
	world_ended(s);
}

static void device_boots(struct sim *s, int i)
{
	struct wdevice *d = &s->devices[i];
	if (!d->physical) { /* made again, or another one of its name, or neither */
		d->exists = sim_choose(s, 2);
		d->ifindex += sim_choose(s, 2) ? 100 : 0;
	}
	d->place = d->exists ? ON_HOST : NOWHERE;
	d->minor = ++s->last_minor;
	d->named = true;
	d->lost = false;
	d->lease = d->pod_lease = 0; /* in the time that it took, the server gave it to somebody else */
	d->default_route &= d->exists;
	/* The host's own tools configure it, perhaps otherwise than before. */
	if (sim_choose(s, 2))
		d->home = 1300 + sim_choose(s, 200);
	d->mtu = d->home;
	d->told = false;
}

static void world_reboot(struct sim *s)
{
	if (s->core)
		world_crash(s);
	sim_say(s, "the node boots");
	s->boot++;
	s->reboots++;
	s->now = 1000;
	bool volatile_run = sim_choose(s, 2);
	for (int i = 0; i < s->n_sandboxes; i++)
		s->sandboxes[i].exists = s->sandboxes[i].netns = s->sandboxes[i].alive = false;
	for (int i = 0; i < DEVICES; i++)
		device_boots(s, i);
	for (int pod = 0; pod < PODS; pod++) {
		struct wpod *p = &s->pods[pod];
		if (p->phase >= POD_STOPPING)
			p->phase = POD_STOPPED;
		else if (p->phase >= POD_PREPARED)
			p->phase = POD_PREPARED;
		p->sandbox = p->old_sandbox = -1;
		for (int k = 0; k < CLAIMS_PER_POD && volatile_run; k++) {
			p->claims[k].token = TOKEN_NONE;
			p->claims[k].marker = false;
		}
	}
}

/* ---- the kernel
 * ---------------------------------------------------------------------------------------------------------------------------- */

static void device_unplugged(struct sim *s, int i)
{
	struct wdevice *d = &s->devices[i];
	d->lost |= d->place >= 0 || device_stays(s, i);
	device_left(s, i);
	d->exists = false;
	d->place = NOWHERE;
	d->default_route = false;
	s->uplinks_told = false;
}

static void device_plugged(struct sim *s, int i)
{
	struct wdevice *d = &s->devices[i];
	*d = (struct wdevice){.exists = true,
	                      .lost = d->lost,
	                      .lease = d->lease, /* the server does not hear of it */
	                      .lease_unknown = d->lease_unknown,
	                      .physical = d->physical,
	                      /* the same one, or another of the same name */
	                      .ifindex = d->ifindex + (sim_choose(s, 3) == 2 ? 100 : 0),
	                      .place = ON_HOST,
	                      .named = true,
	                      .home = d->home,
	                      .mtu = d->home,
	                      .minor = ++s->last_minor};
	if (s->devices[5].lower != s->devices[4].ifindex)
		s->devices[5].told = false;
	s->devices[5].lower = s->devices[4].ifindex;
	if (s->fabric)
		return;
	if (s->devices[3].master != s->devices[2].ifindex)
		s->devices[3].told = false;
	s->devices[3].master = s->devices[2].ifindex;
}

static void device_changes(struct sim *s, int i)
{
	struct wdevice *d = &s->devices[i];
	switch (sim_choose(s, 5)) {
	case 0:
		if (!d->exists) {
			device_plugged(s, i);
		} else {
			device_unplugged(s, i);
			d->bound = device_is_vf(s, i) && sim_choose(s, 2);
		}
		sim_say(s, "kernel: nic%d %s", i, d->exists ? "appears" : d->bound ? "is bound for user space" : "vanishes");
		break;
	case 1: /* the host's administrator, on a device no claim holds */
		if (d->exists && d->place == ON_HOST && d->named && !device_taken(s, i))
			d->home = d->mtu = 1300 + sim_choose(s, 200);
		break;
	case 2: /* a privileged process in the pod puts it on the host */
		if (d->exists && d->place >= 0) {
			device_left(s, i);
			device_put(s, i, ON_HOST);
			d->named = sim_choose(s, 2);
			d->lost = true;
			sim_say(s, "kernel: nic%d is put on the host", i);
		}
		break;
	default:
		if (d->exists && d->place == ON_HOST && device_has_netdev(s, i)) {
			d->default_route = !d->default_route;
			s->uplinks_told = false;
			sim_say(s, "kernel: nic%d %s the default route", i, d->default_route ? "carries" : "loses");
		}
		break;
	}
	d->told = false;
}

/* The machine, or dranetd alone, stood still for hours: all deadlines are past at once, and so are the callers' who waited. */
static void time_jumps(struct sim *s)
{
	s->now += 3 * 3600 * 1000;
	sim_say(s, "hours have passed");
	if (calls_late(s) && s->connected)
		disconnect(s);
	struct event e = {.type = EVENT_TICK};
	sim_feed(s, &e);
}

static void leases_age(struct sim *s)
{
	for (int i = 0; i < DEVICES; i++)
		if (*s->devices[i].keeper && sim_choose(s, 3) == 2)
			tell_lease(s, i, sim_choose(s, 4) == 3);
}

static void time_passes(struct sim *s)
{
	static const uint64_t steps[] = {1, 20, 300, 1500, 8000};
	uint64_t to = s->now + steps[sim_choose(s, 5)];
	uint64_t deadline = s->core ? core_deadline(s->core) : UINT64_MAX;
	s->now = deadline < to ? (deadline > s->now ? deadline : s->now) : to;
	if (deadline <= s->now) { /* the daemon's timer, and nothing else */
		struct event e = {.type = EVENT_TICK};
		sim_feed(s, &e);
	}
	for (int i = 0; i < CALLS; i++)
		if (s->calls[i].open && !s->calls[i].given_up && s->calls[i].deadline < s->now)
			sim_break(s, "promise 4: call %llu has no answer at its deadline", (unsigned long long)s->calls[i].id);
	if (s->core)
		leases_age(s);
}

static void illegal(struct sim *s)
{
	int pod = (int)sim_choose(s, PODS);
	struct wpod *p = &s->pods[pod];
	switch (sim_choose(s, 6)) {
	case 0: /* the kubelet restarted: Prepare for what is prepared */
		if (p->phase >= POD_PREPARED && p->phase <= POD_RUNNING)
			call_request(s, EVENT_PREPARE, CALL_AGAIN, pod);
		break;
	case 1: /* the stop of an old sandbox, once more */
		if (p->old_sandbox >= 0 && s->connected)
			call_hook(s, EVENT_STOP_SANDBOX, CALL_STRAY, pod, p->old_sandbox);
		break;
	case 2:
		if (p->old_sandbox >= 0 && s->connected)
			call_hook(s, EVENT_REMOVE_SANDBOX, CALL_STRAY, pod, p->old_sandbox);
		break;
	case 3: { /* a claim nobody ever prepared */
		struct claim_ref ref = {.uid = "stranger", .name = "stranger", .namespace_ = "default"};
		struct wcall *c = call_new(s, CALL_STRAY, pod, 45000);
		if (!c)
			break;
		struct event e = {.type = EVENT_UNPREPARE, .request = {.call = c->id, .claims = &ref, .n = 1, .deadline = c->deadline}};
		sim_feed(s, &e);
		break;
	}
	case 4: /* a pod removes links of its own */
		for (int n = 0; n < s->n_sandboxes; n++)
			if (s->sandboxes[n].pinned && sim_choose(s, 2))
				tell_left(s, n);
		break;
	default: /* a result nobody waits for */
	{
		struct event e = {.type = EVENT_DONE, .done = {.op = 1000000 + sim_choose(s, 5), .place = PLACE_HOST}};
		sim_feed(s, &e);
	}
	}
}

static void weather(struct sim *s)
{
	switch (sim_choose(s, 4)) {
	case 0:
		s->api_down = !s->api_down;
		break;
	case 1:
		s->disk_full = !s->disk_full;
		break;
	case 2:
		if (s->connected)
			disconnect(s);
		break;
	default:
		if (sim_choose(s, 4) == 3)
			time_jumps(s);
		break;
	}
}

static void dranetd_ends(struct sim *s)
{
	switch (sim_choose(s, 9)) {
	case 0:
		world_stop(s);
		break;
	case 1:
		world_reboot(s);
		break;
	case 2:
	case 3:
		world_crash(s);
		break;
	default:
		break;
	}
}

static void tell_published(struct sim *s)
{
	s->published = s->want_published;
	struct event e = {.type = EVENT_PUBLISHED, .published = {.revision = s->published}};
	sim_feed(s, &e);
}

/* What the daemon has to tell core, and has not yet. */
static void news(struct sim *s)
{
	int i = (int)sim_choose(s, DEVICES), n = s->n_sandboxes ? (int)sim_choose(s, (uint32_t)s->n_sandboxes) : 0;
	for (int k = 0; k < s->n_sandboxes; k++)
		if (s->sandboxes[(n + k) % s->n_sandboxes].left) {
			tell_left(s, (n + k) % s->n_sandboxes);
			return;
		}
	if (!device_told(s, i))
		tell_device(s, i);
	else if (!s->api_down && s->published != s->want_published)
		tell_published(s);
}

void act(struct sim *s)
{
	uint32_t dice = sim_choose(s, 64);
	s->steps++;
	if (s->crashy && s->core && sim_choose(s, 32) == 31)
		world_crash(s);
	else if (dice < 28 && s->n_pending)
		results(s);
	else if (dice < 48)
		pod_acts(s, (int)sim_choose(s, PODS));
	else if (dice < 54)
		time_passes(s);
	else if (dice < 56)
		device_changes(s, (int)sim_choose(s, DEVICES));
	else if (dice == 56 && s->core)
		illegal(s);
	else if (dice == 57)
		weather(s);
	else if (dice == 58 && s->core)
		dranetd_ends(s);
	else if (dice < 60 && !s->core)
		world_start(s);
	else if (dice < 62 && s->core && !s->connected)
		synchronize(s);
	else if (dice < 62 && s->core && !s->uplinks_told)
		tell_uplinks(s);
	else if (s->core)
		news(s);
}

/* Everything works again; whatever waits happens. Pods come to an end: containers of half of them run first. */
void world_heal(struct sim *s)
{
	bool fills = s->events % 8 == 7; /* in the end, and it stays so */
	s->calm = true;
	s->api_down = s->disk_full = false;
	sim_say(s, "all is calm");
	if (!s->core)
		world_start(s);
	if (!s->connected)
		synchronize(s);
	for (int round = 0; round < 600 && !*s->broken; round++) {
		s->steps++;
		if (!s->uplinks_told)
			tell_uplinks(s);
		for (int i = 0; i < DEVICES; i++)
			if (!device_told(s, i))
				tell_device(s, i);
		for (int i = 0; i < s->n_sandboxes; i++)
			while (s->sandboxes[i].left)
				tell_left(s, i);
		for (int i = 0; i < DEVICES; i++)
			if (*s->devices[i].keeper && (!s->devices[i].lease || round == 100))
				tell_lease(s, i, false);
		while (s->n_pending && !*s->broken) {
			results(s);
			check_promises(s);
		}
		if (s->published != s->want_published)
			tell_published(s);
		/* First let what began come up, then take it down. */
		for (int pod = 0; pod < PODS; pod++) {
			struct wpod *p = &s->pods[pod];
			bool up = p->phase == POD_PREPARED || p->phase == POD_UP || p->phase == POD_CREATED || p->phase == POD_DOWN;
			up |= s->lasting && p->phase == POD_STOPPED && p->refused && !s->over && round % 10 == 0;
			if (round < 300 ? up : p->phase != POD_IDLE && !up && p->phase != POD_RUNNING)
				pod_acts(s, pod);
			else if (round >= 300 && p->phase == POD_DOWN)
				sandbox_down(s, pod);
			else if (round >= 300 && (up || p->phase == POD_RUNNING))
				pod_stop(s, pod);
		}
		check_promises(s);
		if (round == 299)
			check_rest(s, false);
		s->over = round >= 299;
		s->disk_full = s->over && fills;
		uint64_t to = s->now + 200, deadline;
		while ((deadline = core_deadline(s->core)) <= to && !*s->broken) {
			s->now = deadline > s->now ? deadline : s->now;
			struct event e = {.type = EVENT_TICK};
			sim_feed(s, &e);
			if (core_deadline(s->core) <= s->now)
				sim_break(s, "promise 4: core wants to be woken for what it has just been woken for");
		}
		s->now = to;
	}
	check_rest(s, true);
}
