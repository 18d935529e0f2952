/* SPDX-License-Identifier: Apache-2.0 */
/* What can happen next. Most of it is what a kubelet and a runtime do in their legal orders; some of it is not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

/* ---- calls into dranetd
 * ------------------------------------------------------------------------------------------------------------------- */

static struct wcall *call_new(struct sim *s, enum call_kind kind, int pod, uint64_t patience)
{
	for (int i = 0; i < CALLS; i++) {
		if (s->calls[i].open)
			continue;
		s->calls[i] = (struct wcall){.id = ++s->next_call, .kind = kind, .pod = pod, .deadline = s->now + patience, .open = true};
		return &s->calls[i];
	}
	sim_break(s, "promise 4: %d calls without an answer", CALLS);
	return NULL;
}

static void call_request(struct sim *s, enum event_type type, enum call_kind kind, int pod)
{
	struct wpod *p = &s->pods[pod];
	struct claim_ref refs[CLAIMS_PER_POD];
	size_t n = 0;
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		if (p->claims[k].used)
			refs[n++] = p->claims[k].ref;
	struct wcall *c = call_new(s, kind, pod, 45000);
	if (!c)
		return;
	if (kind != CALL_STRAY)
		p->call = c->id;
	struct event e = {.type = type, .request = {.call = c->id, .claims = refs, .n = n, .deadline = c->deadline}};
	sim_feed(s, &e);
}

static void call_hook(struct sim *s, enum event_type type, enum call_kind kind, int pod, int sandbox)
{
	struct sandbox sb;
	sandbox_fill(s, sandbox, &sb);
	if (!core_knows_pod(s->core, sb.pod.uid)) { /* the adapter answers it */
		struct wcall *c = call_new(s, kind, pod, 2000);
		if (!c)
			return;
		if (kind != CALL_STRAY)
			s->pods[pod].call = c->id;
		struct effect ok = {.type = EFFECT_REPLY_HOOK, .reply_hook = {.call = c->id}};
		call_answered(s, c->id, &ok);
		return;
	}
	struct wcall *c = call_new(s, kind, pod, 2000);
	if (!c)
		return;
	if (kind != CALL_STRAY)
		s->pods[pod].call = c->id;
	struct event e = {.type = type, .hook = {.call = c->id, .sandbox = &sb, .deadline = c->deadline}};
	sim_feed(s, &e);
}

/* ---- the life of a pod
 * ------------------------------------------------------------------------------------------------------------------- */

static void container_created(struct sim *s, int pod)
{
	s->pods[pod].phase = POD_CREATED;
	sim_say(s, "runtime: container of pod %d created", pod);
}

/* The claims of a pod when the kubelet's Prepare was answered. */
static void prepared(struct sim *s, int pod, const struct effect *reply)
{
	struct wpod *p = &s->pods[pod];
	bool good = true;
	for (size_t i = 0; i < reply->reply.n; i++) {
		struct wclaim *c = claim_by_uid(s, reply->reply.answers[i].uid, NULL);
		if (!c) {
			sim_break(s, "promise 4: an answer for a claim nobody asked about");
			return;
		}
		if (!reply->reply.answers[i].error && c->bad_config)
			sim_break(s, "promise 8: a claim with mtu 0 was prepared");
		if (!reply->reply.answers[i].error && !c->prepared && c->n != reply->reply.answers[i].n_devices)
			sim_break(s, "promise 4: the answer for %s misses devices", c->ref.uid);
		c->prepared = c->prepared || !reply->reply.answers[i].error;
		good &= !reply->reply.answers[i].error;
	}
	sim_say(s, "kubelet: Prepare of pod %d %s%s", pod, good ? "succeeded" : "failed: ",
	        good                            ? ""
	        : reply->reply.answers[0].error ? reply->reply.answers[0].error
	                                        : "");
	if (p->phase == POD_PREPARING)
		p->phase = good ? POD_PREPARED : POD_STOPPED;
}

static void unprepared(struct sim *s, int pod, const struct effect *reply)
{
	struct wpod *p = &s->pods[pod];
	bool good = true;
	for (size_t i = 0; i < reply->reply.n; i++)
		good &= !reply->reply.answers[i].error;
	sim_say(s, "kubelet: Unprepare of pod %d %s", pod, good ? "succeeded" : "failed");
	if (p->phase != POD_UNPREPARING)
		return;
	if (!good) {
		p->phase = POD_STOPPED;
		return;
	}
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		struct wclaim *c = &p->claims[k];
		for (size_t i = 0; c->used && c->prepared && i < c->n; i++) {
			const struct wdevice *d = &s->devices[c->devices[i]];
			if (!d->exists || device_held(s, c->devices[i], c))
				continue;
			if (d->place != ON_HOST)
				sim_break(s, "promise 1: %s was unprepared while nic%d is in a pod", c->ref.uid, c->devices[i]);
			else if (d->mtu != d->home || !d->named)
				sim_break(s, "promise 3: nic%d came home with mtu %u instead of %u%s", c->devices[i], d->mtu, d->home,
				          d->named ? "" : " and another name");
		}
		if (c->used && c->token != TOKEN_NONE)
			sim_break(s, "promise 2: the CDI file of %s outlives its Unprepare", c->ref.uid);
		c->prepared = false;
	}
	/* The control plane deallocates; the claims are deleted. */
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		p->claims[k].exists = false;
	p->phase = POD_IDLE;
	p->sandbox = -1;
}

static void hook_result(struct sim *s, struct wpod *p, int pod, enum call_kind kind, const char *error)
{
	sim_say(s, "runtime: hook %s of pod %d answered%s%s",
	        kind == CALL_RUN    ? "RunPodSandbox"
	        : kind == CALL_STOP ? "StopPodSandbox"
	                            : "CreateContainer",
	        pod, error ? ": " : "", error ? error : "");
	p->call = 0;
	if (kind == CALL_RUN && p->phase == POD_STARTING) {
		if (error) { /* the runtime takes the sandbox down, with no further hook */
			s->sandboxes[p->sandbox].netns = s->sandboxes[p->sandbox].exists = false;
			netns_check(s, p->sandbox);
			p->phase = POD_PREPARED;
		} else {
			p->phase = POD_UP;
		}
	} else if (kind == CALL_CREATE && p->phase == POD_CREATING) {
		if (error)
			p->phase = POD_UP;
		else
			container_created(s, pod);
	} else if (kind == CALL_STOP && p->phase == POD_STOPPING) {
		s->sandboxes[p->sandbox].netns = s->sandboxes[p->sandbox].exists = false;
		netns_check(s, p->sandbox);
		p->old_sandbox = p->sandbox;
		p->phase = POD_STOPPED;
	}
}

void call_answered(struct sim *s, uint64_t id, const struct effect *reply)
{
	for (int i = 0; i < CALLS; i++) {
		struct wcall *c = &s->calls[i];
		if (!c->open || c->id != id)
			continue;
		c->open = false;
		if (s->now > c->deadline)
			sim_break(s, "promise 4: call %llu was answered %llu ms after its deadline", (unsigned long long)id,
			          (unsigned long long)(s->now - c->deadline));
		if (c->kind == CALL_STRAY)
			return;
		if (c->kind == CALL_PREPARE)
			prepared(s, c->pod, reply);
		else if (c->kind == CALL_UNPREPARE)
			unprepared(s, c->pod, reply);
		else
			hook_result(s, &s->pods[c->pod], c->pod, c->kind, reply->reply_hook.error);
		return;
	}
	/* A hook of a connection that is gone may still be answered; nobody hears it. */
	if (reply->type != EFFECT_REPLY_HOOK)
		sim_break(s, "promise 4: call %llu was answered twice, or never made", (unsigned long long)id);
}

/* The runtime goes on without a plugin that is gone (fail-open). */
static void hooks_abandoned(struct sim *s)
{
	static const struct effect ok = {.type = EFFECT_REPLY_HOOK};
	for (int i = 0; i < CALLS; i++) {
		struct wcall *c = &s->calls[i];
		if (!c->open || c->kind < CALL_RUN)
			continue;
		c->open = false;
		if (c->kind != CALL_STRAY)
			hook_result(s, &s->pods[c->pod], c->pod, c->kind, ok.reply_hook.error);
	}
}

static void calls_broken(struct sim *s)
{
	hooks_abandoned(s);
	for (int i = 0; i < CALLS; i++) {
		struct wcall *c = &s->calls[i];
		if (!c->open)
			continue;
		c->open = false; /* Unavailable: the kubelet tries again */
		struct wpod *p = &s->pods[c->pod];
		if (c->kind == CALL_PREPARE && p->phase == POD_PREPARING)
			p->phase = POD_STOPPED;
		if (c->kind == CALL_UNPREPARE && p->phase == POD_UNPREPARING)
			p->phase = POD_STOPPED;
	}
}

bool device_held(const struct sim *s, int device, const struct wclaim *but)
{
	for (int p = 0; p < PODS; p++)
		for (int k = 0; k < CLAIMS_PER_POD; k++) {
			const struct wclaim *c = &s->pods[p].claims[k];
			for (size_t i = 0; c != but && c->used && c->prepared && i < c->n; i++)
				if (c->devices[i] == device)
					return true;
		}
	return false;
}

static bool device_taken(const struct sim *s, int device)
{
	for (int p = 0; p < PODS; p++)
		for (int k = 0; k < CLAIMS_PER_POD; k++) {
			const struct wclaim *c = &s->pods[p].claims[k];
			for (size_t i = 0; c->used && (c->exists || c->prepared) && i < c->n; i++)
				if (c->devices[i] == device)
					return true;
		}
	return false;
}

static void pod_new(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	unsigned incarnation = p->incarnation + 1;
	*p = (struct wpod){.incarnation = incarnation, .sandbox = -1, .old_sandbox = -1};
	(void)snprintf(p->uid, sizeof(p->uid), "pod%d.%u", pod, incarnation);
	int n_claims = 1 + (int)sim_choose(s, CLAIMS_PER_POD);
	for (int k = 0; k < n_claims; k++) {
		struct wclaim *c = &p->claims[k];
		size_t want = 1 + sim_choose(s, DEVICES_PER_CLAIM);
		bool careless = sim_choose(s, 16) == 15; /* a scheduler that acted on an old slice */
		for (int d = 0; d < DEVICES && c->n < want; d++) {
			int device = (d + (int)sim_choose(s, DEVICES)) % DEVICES;
			bool mine = false;
			for (size_t i = 0; i < c->n; i++)
				mine |= c->devices[i] == device;
			if (mine || (!careless && (device_taken(s, device) || device_is_uplink(s, device) || !s->devices[device].exists)))
				continue;
			c->devices[c->n++] = device;
		}
		if (!c->n)
			continue;
		(void)snprintf(c->ref.uid, sizeof(c->ref.uid), "claim%d.%u.%d", pod, incarnation, k);
		STR_COPY(c->ref.namespace_, "default");
		STR_COPY(c->ref.name, c->ref.uid);
		for (size_t i = 0; i < c->n; i++)
			c->generations[i] = s->devices[c->devices[i]].generation;
		c->bad_config = sim_choose(s, 12) == 11;
		c->used = c->exists = true;
	}
	if (!p->claims[0].used && !p->claims[1].used)
		return;
	p->phase = POD_PREPARING;
	sim_say(s, "kubelet: Prepare of pod %d", pod);
	call_request(s, EVENT_PREPARE, CALL_PREPARE, pod);
}

static void sandbox_new(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	if (s->n_sandboxes == SANDBOXES)
		return;
	int n = s->n_sandboxes++;
	s->sandboxes[n] = (struct wsandbox){.exists = true, .netns = true, .alive = true, .pod = pod};
	p->sandbox = n;
	p->phase = POD_STARTING;
	sim_say(s, "runtime: sandbox sb%d of pod %d%s", n, pod, s->connected ? "" : ", the hook is skipped");
	if (s->connected)
		call_hook(s, EVENT_RUN_SANDBOX, CALL_RUN, pod, n);
	else
		p->phase = POD_UP;
}

static void container_new(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	p->pending_token = false;
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		const struct wclaim *c = &p->claims[k];
		if (!c->used)
			continue;
		bool alive = s->core && c->token_epoch == s->epoch;
		bool same = c->token_sandbox >= 0 && s->sandboxes[c->token_sandbox].exists;
		if (c->token == TOKEN_NONE || (c->token == TOKEN_PENDING && !alive) || (c->token == TOKEN_FINAL && !same)) {
			sim_say(s, "runtime: container of pod %d refused, CDI id of %s does not resolve", pod, c->ref.uid);
			return;
		}
		p->pending_token |= c->token == TOKEN_PENDING;
	}
	p->phase = POD_CREATING;
	sim_say(s, "runtime: CreateContainer of pod %d%s", pod, s->connected ? "" : ", the hook is skipped");
	if (s->connected)
		call_hook(s, EVENT_CREATE_CONTAINER, CALL_CREATE, pod, p->sandbox);
	else
		container_created(s, pod);
}

static void container_start(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		if (p->claims[k].used && p->pending_token && !p->claims[k].marker) {
			sim_say(s, "runtime: container of pod %d does not start, the marker of %s is not there", pod, p->claims[k].ref.uid);
			p->phase = POD_UP;
			return;
		}
	p->phase = POD_RUNNING;
	sim_say(s, "runtime: container of pod %d runs", pod);
	check_container_start(s, pod);
}

static void pod_stop(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	if (p->sandbox < 0) {
		p->phase = POD_STOPPED;
		return;
	}
	p->phase = POD_STOPPING;
	s->sandboxes[p->sandbox].stopping = true;
	sim_say(s, "runtime: StopPodSandbox of pod %d%s", pod, s->connected ? "" : ", the hook is skipped");
	if (s->connected)
		call_hook(s, EVENT_STOP_SANDBOX, CALL_STOP, pod, p->sandbox);
	else
		hook_result(s, p, pod, CALL_STOP, NULL);
}

/* The pause process dies: a new sandbox for the same pod, without a new Prepare. The stop of the old one comes before, or late. */
static void sandbox_again(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	int old = p->sandbox;
	bool late = sim_choose(s, 2);
	s->sandboxes[old].stopping = true;
	if (!late && s->connected)
		call_hook(s, EVENT_STOP_SANDBOX, CALL_STRAY, pod, old);
	s->sandboxes[old].exists = s->sandboxes[old].netns = false;
	netns_check(s, old);
	p->old_sandbox = old;
	sandbox_new(s, pod);
}

static void synchronize(struct sim *s)
{
	struct sandbox list[SANDBOXES];
	size_t n = 0;
	for (int i = 0; i < s->n_sandboxes; i++)
		if (s->sandboxes[i].exists)
			sandbox_fill(s, i, &list[n++]);
	s->connected = true;
	struct event up = {.type = EVENT_RUNTIME_UP, .runtime = {.request_timeout_ms = 2000, .can_gate = true}};
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
	struct core_options o = {.driver = DRIVER, .node = NODE};
	if (core_new(&o, &s->core) < 0)
		abort();
	s->epoch++;
	s->runs++;
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

void world_crash(struct sim *s)
{
	sim_say(s, "dranetd is killed");
	s->crashes++;
	perform_crash(s);
	core_free(s->core);
	s->core = NULL;
	s->connected = s->inventory_told = false;
	s->published = 0;
	calls_broken(s);
	for (int i = 0; i < s->n_sandboxes; i++) {
		s->sandboxes[i].pinned = false;
		netns_check(s, i);
	}
}

/* ---- the kernel
 * ---------------------------------------------------------------------------------------------------------------------------- */

static void device_changes(struct sim *s, int i)
{
	struct wdevice *d = &s->devices[i];
	switch (sim_choose(s, 4)) {
	case 0: /* unplugged, or plugged in again */
		if (d->exists) {
			d->replugged |= d->place >= 0;
			d->exists = false;
			d->place = NOWHERE;
			d->default_route = false;
			s->uplinks_told = false;
		} else {
			*d = (struct wdevice){.exists = true,
			                      .replugged = d->replugged,
			                      .physical = d->physical,
			                      /* the same one, or another of the same name */
			                      .ifindex = d->ifindex + (sim_choose(s, 3) == 2 ? 100 : 0),
			                      .generation = d->generation + 1,
			                      .place = ON_HOST,
			                      .named = true,
			                      .home = d->home,
			                      .mtu = d->home};
			if (s->devices[5].lower != s->devices[4].ifindex)
				s->devices[5].told = false;
			s->devices[5].lower = s->devices[4].ifindex;
		}
		sim_say(s, "kernel: nic%d %s", i, d->exists ? "appears" : "vanishes");
		break;
	case 1: /* the host's administrator, on a device no claim holds */
		if (d->exists && d->place == ON_HOST && d->named && !device_taken(s, i))
			d->home = d->mtu = 1300 + sim_choose(s, 200);
		break;
	default:
		if (d->exists && d->place == ON_HOST) {
			d->default_route = !d->default_route;
			s->uplinks_told = false;
			sim_say(s, "kernel: nic%d %s the default route", i, d->default_route ? "carries" : "loses");
		}
		break;
	}
	d->told = false;
}

static void time_passes(struct sim *s)
{
	static const uint64_t steps[] = {1, 20, 300, 1500, 8000};
	uint64_t to = s->now + steps[sim_choose(s, 5)];
	uint64_t deadline = s->core ? core_deadline(s->core) : UINT64_MAX;
	s->now = deadline < to ? (deadline > s->now ? deadline : s->now) : to;
	struct event e = {.type = EVENT_TICK};
	sim_feed(s, &e);
	for (int i = 0; i < CALLS; i++)
		if (s->calls[i].open && s->calls[i].deadline < s->now)
			sim_break(s, "promise 4: call %llu has no answer at its deadline", (unsigned long long)s->calls[i].id);
}

static void illegal(struct sim *s)
{
	int pod = (int)sim_choose(s, PODS);
	struct wpod *p = &s->pods[pod];
	switch (sim_choose(s, 5)) {
	case 0: /* the kubelet restarted: Prepare for what is prepared */
		if (p->phase >= POD_PREPARED && p->phase <= POD_RUNNING)
			call_request(s, EVENT_PREPARE, CALL_STRAY, pod);
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
	default: /* a result nobody waits for */
	{
		struct event e = {.type = EVENT_DONE, .done = {.op = 1000000 + sim_choose(s, 5), .place = PLACE_HOST}};
		sim_feed(s, &e);
	}
	}
}

static void pod_acts(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	switch (p->phase) {
	case POD_IDLE:
		if (s->core && s->inventory_told)
			pod_new(s, pod);
		break;
	case POD_PREPARED:
		if (sim_choose(s, 8) == 7)
			p->phase = POD_STOPPED; /* deleted before it ran */
		else
			sandbox_new(s, pod);
		break;
	case POD_UP:
		if (sim_choose(s, 6) == 5)
			pod_stop(s, pod);
		else
			container_new(s, pod);
		break;
	case POD_CREATED:
		container_start(s, pod);
		break;
	case POD_RUNNING:
		if (sim_choose(s, 4) == 3)
			sandbox_again(s, pod);
		else
			pod_stop(s, pod);
		break;
	case POD_STOPPED:
		if (s->core) {
			p->phase = POD_UNPREPARING;
			sim_say(s, "kubelet: Unprepare of pod %d", pod);
			call_request(s, EVENT_UNPREPARE, CALL_UNPREPARE, pod);
		}
		break;
	case POD_PREPARING:
	case POD_STARTING:
	case POD_CREATING:
	case POD_STOPPING:
	case POD_UNPREPARING:
		break; /* waits for an answer */
	}
}

static void results(struct sim *s)
{
	size_t i = sim_choose(s, (uint32_t)s->n_pending);
	for (size_t k = 0; k < s->n_pending; k++, i = (i + 1) % s->n_pending) {
		struct pending *p = &s->pending[i];
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

void act(struct sim *s)
{
	uint32_t dice = sim_choose(s, 64);
	s->steps++;
	if (dice < 28 && s->n_pending) {
		results(s);
	} else if (dice < 48) {
		pod_acts(s, (int)sim_choose(s, PODS));
	} else if (dice < 54) {
		time_passes(s);
	} else if (dice < 56) {
		device_changes(s, (int)sim_choose(s, DEVICES));
	} else if (dice == 57) {
		if (s->core)
			illegal(s);
	} else if (dice == 58) {
		switch (sim_choose(s, 3)) {
		case 0:
			s->api_down = !s->api_down;
			break;
		case 1:
			s->disk_full = !s->disk_full;
			break;
		default:
			if (s->connected)
				disconnect(s);
			break;
		}
	} else if (dice == 59) {
		if (s->core && sim_choose(s, 3) == 2)
			world_crash(s);
		else if (!s->core)
			world_start(s);
	} else if (dice < 62) {
		if (s->core && !s->connected)
			synchronize(s);
		else if (!s->uplinks_told && s->core)
			tell_uplinks(s);
	} else if (s->core) {
		int i = (int)sim_choose(s, DEVICES);
		if (!s->devices[i].told)
			tell_device(s, i);
		else if (!s->api_down && s->published != s->want_published) {
			s->published = s->want_published;
			struct event e = {.type = EVENT_PUBLISHED, .published = {.revision = s->published}};
			sim_feed(s, &e);
		}
	}
}

/* Everything works again; whatever waits happens. Pods come to an end: containers of half of them run first. */
void world_heal(struct sim *s)
{
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
			if (!s->devices[i].told)
				tell_device(s, i);
		while (s->n_pending && !*s->broken) {
			results(s);
			check_promises(s);
		}
		if (s->published != s->want_published) {
			s->published = s->want_published;
			struct event e = {.type = EVENT_PUBLISHED, .published = {.revision = s->published}};
			sim_feed(s, &e);
		}
		/* First let what began come up, then take it down. */
		for (int pod = 0; pod < PODS; pod++) {
			struct wpod *p = &s->pods[pod];
			bool up = p->phase == POD_PREPARED || p->phase == POD_UP || p->phase == POD_CREATED;
			if (round < 300 ? up : p->phase != POD_IDLE && !up && p->phase != POD_RUNNING)
				pod_acts(s, pod);
			else if (round >= 300 && (up || p->phase == POD_RUNNING))
				pod_stop(s, pod);
		}
		check_promises(s);
		if (round == 299)
			check_rest(s);
		s->now += 200;
		struct event e = {.type = EVENT_TICK};
		sim_feed(s, &e);
	}
	check_rest(s);
}
