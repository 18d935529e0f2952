/* SPDX-License-Identifier: Apache-2.0 */
/* Calls into dranetd, and what the kubelet and the runtime make of the answers. */
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

struct wcall *call_new(struct sim *s, enum call_kind kind, int pod, uint64_t patience)
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

void call_request(struct sim *s, enum event_type type, enum call_kind kind, int pod)
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
	if (kind != CALL_STRAY && kind != CALL_AGAIN)
		p->call = c->id;
	struct event e = {.type = type, .request = {.call = c->id, .claims = refs, .n = n, .deadline = c->deadline}};
	sim_feed(s, &e);
}

void call_hook(struct sim *s, enum event_type type, enum call_kind kind, int pod, int sandbox)
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

/* What an answer needs to arrive. */
enum { ANSWER_MS = 50 };

/* The claims of a pod when the kubelet's Prepare was answered. */
static void prepared(struct sim *s, int pod, const struct effect *reply, uint64_t left)
{
	struct wpod *p = &s->pods[pod];
	bool good = true;
	for (size_t i = 0; i < reply->reply.n; i++) {
		struct wclaim *c = claim_by_uid(s, reply->reply.answers[i].uid, NULL);
		if (!c) {
			sim_break(s, "promise 4: an answer for a claim nobody asked about");
			return;
		}
		if (reply->reply.answers[i].error && left > 5000 && strstr(reply->reply.answers[i].error, "still being prepared"))
			sim_break(s, "promise 4: Prepare of %s was answered without a reason, in no need of haste", c->ref.uid);
		if (!reply->reply.answers[i].error && c->bad_config)
			sim_break(s, "promise 8: a claim was prepared with what its device cannot have");
		if (!reply->reply.answers[i].error && !c->prepared && c->n != reply->reply.answers[i].n_devices)
			sim_break(s, "promise 4: the answer for %s misses devices", c->ref.uid);
		c->prepared = c->prepared || !reply->reply.answers[i].error;
		STR_CUT(c->reason, reply->reply.answers[i].error ? reply->reply.answers[i].error : "");
		good &= !reply->reply.answers[i].error;
	}
	sim_say(s, "kubelet: Prepare of pod %d %s%s", pod, good ? "succeeded" : "failed: ",
	        good                            ? ""
	        : reply->reply.answers[0].error ? reply->reply.answers[0].error
	                                        : "");
	if (p->phase == POD_PREPARING)
		p->phase = good ? POD_PREPARED : POD_STOPPED;
	p->refused = !good;
}

/* The kubelet restarted and asked once more for what it had been given. */
static void prepared_again(struct sim *s, int pod, const struct effect *reply)
{
	const struct wpod *p = &s->pods[pod];
	for (size_t i = 0; i < reply->reply.n; i++) {
		const struct wclaim *c = claim_by_uid(s, reply->reply.answers[i].uid, NULL);
		if (!c || !c->prepared || p->phase < POD_PREPARED || p->phase > POD_RUNNING)
			continue;
		if (reply->reply.answers[i].error || reply->reply.answers[i].n_devices != c->n)
			sim_break(s, "promise 4: %s is prepared and Prepare says otherwise: %s", c->ref.uid,
			          reply->reply.answers[i].error ? reply->reply.answers[i].error : "devices are missing");
	}
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
			if (!d->exists || device_held(s, c->devices[i], c) || device_recorded(s, c->devices[i], c))
				continue;
			if (d->place != ON_HOST)
				sim_break(s, "promise 1: %s was unprepared while nic%d is in a pod", c->ref.uid, c->devices[i]);
			else if (d->mtu != d->home || !d->named)
				sim_break(s, "promise 3: nic%d came home with mtu %u instead of %u%s", c->devices[i], d->mtu, d->home,
				          d->named ? "" : " and another name");
		}
		if (c->used)
			check_unprepared(s, c->ref.uid);
		if (c->used && c->token != TOKEN_NONE)
			sim_break(s, "promise 2: the CDI file of %s outlives its Unprepare", c->ref.uid);
		c->prepared = false;
	}
	/* The control plane deletes claims made for the pod. Others stay, and are deallocated unless another pod waits for them. */
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		p->claims[k].exists = p->claims[k].used && p->claims[k].exists && !sim_choose(s, 2);
		if (s->lasting && p->claims[k].exists && sim_choose(s, 2))
			claim_deallocated(&p->claims[k]);
	}
	p->phase = POD_IDLE;
	p->sandbox = -1;
}

void hook_result(struct sim *s, struct wpod *p, int pod, enum call_kind kind, const char *error)
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
		p->phase = error ? POD_UP : POD_CREATED;
	} else if (kind == CALL_STOP && p->phase == POD_STOPPING) {
		s->sandboxes[p->sandbox].exists = false;
		p->phase = POD_DOWN;
	}
}

void call_answered(struct sim *s, uint64_t id, const struct effect *reply)
{
	for (int i = 0; i < CALLS; i++) {
		struct wcall *c = &s->calls[i];
		if (!c->open || c->id != id)
			continue;
		c->open = false;
		if (c->given_up)
			return;
		if (s->now + ANSWER_MS > c->deadline)
			sim_break(s, "promise 4: call %llu was answered too late for its deadline %llu, at %llu", (unsigned long long)id,
			          (unsigned long long)c->deadline, (unsigned long long)s->now);
		const char *error = c->kind >= CALL_RUN ? reply->reply_hook.error : NULL;
		uint64_t left = c->deadline > s->now ? c->deadline - s->now : 0;
		if (c->kind == CALL_CREATE && !error)
			check_let_in(s, c->pod);
		if (c->kind == CALL_RUN && !error)
			check_run_answered(s, c->pod, left);
		if (c->kind == CALL_STOP)
			check_stop_answered(s, s->pods[c->pod].sandbox, left);
		if (c->kind == CALL_STRAY)
			return;
		if (c->kind == CALL_PREPARE)
			prepared(s, c->pod, reply, left);
		else if (c->kind == CALL_AGAIN)
			prepared_again(s, c->pod, reply);
		else if (c->kind == CALL_UNPREPARE)
			unprepared(s, c->pod, reply);
		else
			hook_result(s, &s->pods[c->pod], c->pod, c->kind, error);
		return;
	}
	/* A hook of a connection that is gone may still be answered; nobody hears it. */
	if (reply->type != EFFECT_REPLY_HOOK)
		sim_break(s, "promise 4: call %llu was answered twice, or never made", (unsigned long long)id);
}

void hooks_abandoned(struct sim *s)
{
	static const struct effect ok = {.type = EFFECT_REPLY_HOOK};
	for (int i = 0; i < CALLS; i++) {
		struct wcall *c = &s->calls[i];
		if (!c->open || c->given_up || c->kind < CALL_RUN)
			continue;
		c->open = false;
		if (c->kind != CALL_STRAY)
			hook_result(s, &s->pods[c->pod], c->pod, c->kind, ok.reply_hook.error);
	}
}

static void request_failed(struct sim *s, const struct wcall *c)
{
	struct wpod *p = &s->pods[c->pod];
	if (c->id != p->call)
		return;
	if ((c->kind == CALL_PREPARE && p->phase == POD_PREPARING) || (c->kind == CALL_UNPREPARE && p->phase == POD_UNPREPARING))
		p->phase = POD_STOPPED; /* the kubelet tries again */
	p->refused = c->kind == CALL_PREPARE;
}

/* Whoever made it listens no more. */
void request_abandoned(struct sim *s, uint64_t call)
{
	for (int i = 0; i < CALLS; i++)
		if (s->calls[i].open && s->calls[i].id == call)
			s->calls[i].given_up = true;
}

void calls_broken(struct sim *s)
{
	hooks_abandoned(s);
	for (int i = 0; i < CALLS; i++) {
		struct wcall *c = &s->calls[i];
		if (c->open && !c->given_up)
			request_failed(s, c);
		c->open = false;
	}
}

bool calls_late(struct sim *s)
{
	bool hook = false;
	for (int i = 0; i < CALLS; i++) {
		struct wcall *c = &s->calls[i];
		if (!c->open || c->given_up || c->deadline >= s->now)
			continue;
		if (c->kind >= CALL_RUN) {
			hook = true;
			continue;
		}
		request_failed(s, c);
		c->given_up = true;
	}
	return hook;
}
