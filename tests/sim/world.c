/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

/* Each step has one number of the schedule, and draws what else it needs from that: so a step can be left out and the others stay what they
 * are. */
uint32_t sim_choose(struct sim *s, uint32_t n)
{
	if (s->calm || n < 2)
		return 0;
	s->draw = s->draw * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(s->draw >> 33) % n;
}

bool sim_next(struct sim *s)
{
	if (s->at >= s->n_choices)
		return false;
	s->draw = s->choices[s->at++];
	return true;
}

void sim_say(struct sim *s, const char *format, ...)
{
	if (!s->verbose)
		return;
	va_list ap;
	va_start(ap, format);
	printf("%4u %8llu ms  ", s->steps, (unsigned long long)s->now);
	vprintf(format, ap);
	printf("\n");
	va_end(ap);
}

void sim_break(struct sim *s, const char *format, ...)
{
	if (*s->broken)
		return;
	va_list ap;
	va_start(ap, format);
	(void)vsnprintf(s->broken, sizeof(s->broken), format, ap);
	va_end(ap);
	if (s->verbose)
		printf("     BROKEN: %s\n", s->broken);
}

void device_name(int i, char name[DEVICE_NAME_SIZE])
{
	(void)snprintf(name, DEVICE_NAME_SIZE, "nic%d", i);
}

int device_index(const char *name)
{
	return atoi(name + 3);
}

void sandbox_name(int i, char id[SANDBOX_ID_SIZE])
{
	(void)snprintf(id, SANDBOX_ID_SIZE, "sb%d", i);
}

int sandbox_index(const char *id)
{
	return *id ? atoi(id + 2) : -1;
}

struct wclaim *claim_by_uid(struct sim *s, const char *uid, int *pod)
{
	for (int p = 0; p < PODS; p++)
		for (int k = 0; k < CLAIMS_PER_POD; k++)
			if (s->pods[p].claims[k].used && str_equal(s->pods[p].claims[k].ref.uid, uid)) {
				if (pod)
					*pod = p;
				return &s->pods[p].claims[k];
			}
	return NULL;
}

void sandbox_fill(const struct sim *s, int sandbox, struct sandbox *ret)
{
	*ret = (struct sandbox){.pid = 1000 + (uint32_t)sandbox};
	sandbox_name(sandbox, ret->id);
	const struct wpod *p = &s->pods[s->sandboxes[sandbox].pod];
	STR_COPY(ret->pod.uid, p->uid);
	STR_COPY(ret->pod.name, p->uid);
	STR_COPY(ret->pod.namespace_, "default");
	/* Where it was taken down before the stop hook, some runtimes still name the path. */
	if (s->sandboxes[sandbox].netns || (s->crio && sandbox % 2))
		(void)snprintf(ret->netns, sizeof(ret->netns), "/run/netns/%s", ret->id);
}

/* A namespace lives while its path, or our pin, holds it. When it dies the kernel sends physical devices to the host, under whatever name
 * and configuration they have, and destroys the others. */
void netns_check(struct sim *s, int n)
{
	struct wsandbox *sb = &s->sandboxes[n];
	if (!sb->alive || sb->netns || sb->pinned)
		return;
	sb->alive = false;
	for (int i = 0; i < DEVICES; i++) {
		struct wdevice *d = &s->devices[i];
		if (!d->exists || d->place != n)
			continue;
		if (!d->physical) {
			if (s->core && s->connected && !sb->unopenable)
				sim_break(s, "promise 1: nic%d was destroyed with sb%d although dranetd could have held it", i, n);
			d->exists = false;
			d->place = NOWHERE;
		} else {
			device_put(s, i, ON_HOST);
			d->named = false;
			d->told = false;
		}
		sim_say(s, "kernel: sb%d's namespace died, nic%d %s", n, i, d->exists ? "fell to the host" : "was destroyed");
	}
}

bool device_is_uplink(const struct sim *s, int i)
{
	/* Independently of core: walk from every default route down. */
	bool up[DEVICES] = {false};
	for (int k = 0; k < DEVICES; k++)
		up[k] = s->devices[k].exists && s->devices[k].place == ON_HOST && s->devices[k].default_route;
	for (int round = 0; round < DEVICES; round++)
		for (int a = 0; a < DEVICES; a++)
			for (int b = 0; b < DEVICES; b++) {
				const struct wdevice *x = &s->devices[a], *y = &s->devices[b];
				if (!up[a] || y->place != ON_HOST || !y->exists)
					continue;
				if (x->lower == y->ifindex || x->master == y->ifindex || y->master == x->ifindex)
					up[b] = true;
			}
	return up[i];
}

static void facts_fill(const struct sim *s, int i, struct device_facts *f)
{
	const struct wdevice *d = &s->devices[i];
	*f = (struct device_facts){
	    .numa_node = -1, .ifindex = d->ifindex, .lower = d->lower, .master = d->master, .mtu = d->mtu, .up = true};
	device_name(i, f->name);
	STR_COPY(f->ifname, f->name);
	if (!d->named)
		(void)snprintf(f->ifname, sizeof(f->ifname), "dev%d", i);
	STR_COPY(f->type, "device");
	STR_COPY(f->pci_address, "0000:01:00.0");
	fabric_facts(s, i, f);
}

void tell_device(struct sim *s, int i)
{
	struct wdevice *d = &s->devices[i];
	struct device_facts f;
	char name[DEVICE_NAME_SIZE];
	d->told = true;
	d->told_mtu = d->mtu;
	d->told_away = vfs_away(s);
	bool here = d->exists && d->place == ON_HOST && (d->named || d->physical);
	if (here || (device_is_pci(s, i) && (d->exists || d->bound))) {
		if (here)
			facts_fill(s, i, &f);
		else
			fabric_bare(s, i, &f);
		struct event e = {.type = EVENT_DEVICE, .device = &f};
		sim_feed(s, &e);
	} else {
		device_name(i, name);
		struct event e = {.type = EVENT_DEVICE_GONE, .device_gone = name};
		sim_feed(s, &e);
	}
}

void device_left(struct sim *s, int i)
{
	int n = s->devices[i].place;
	if (n >= 0 && s->sandboxes[n].pinned)
		s->sandboxes[n].left |= 1u << i;
}

/* What the message says is what the pod made of it: the name, the number, both or neither may be other than dranetd thinks. Some link of
 * the pod's own may have gone, too. */
void tell_left(struct sim *s, int sandbox)
{
	int i = 0;
	while (i < DEVICES && !(s->sandboxes[sandbox].left & 1u << i))
		i++;
	s->sandboxes[sandbox].left &= ~(1u << i);
	struct event e = {.type = EVENT_POD_DEVICE_GONE};
	sandbox_name(sandbox, e.pod_device_gone.sandbox);
	if (sim_choose(s, 3) < 2)
		e.pod_device_gone.ifindex = i == DEVICES ? 77 : s->devices[i].ifindex + (int32_t)sim_choose(s, 2) * 1000;
	if (sim_choose(s, 3) < 2)
		(void)snprintf(e.pod_device_gone.ifname, IFNAME_SIZE, sim_choose(s, 2) ? "eth%d" : "net%d", i);
	sim_say(s, "kernel: %s%d left sb%d", i == DEVICES ? "link " : "nic", i, sandbox);
	s->telling_left = true;
	sim_feed(s, &e);
	s->telling_left = false;
}

void tell_uplinks(struct sim *s)
{
	int32_t indexes[DEVICES];
	size_t n = 0;
	for (int i = 0; i < DEVICES; i++)
		if (s->devices[i].exists && s->devices[i].place == ON_HOST && s->devices[i].default_route)
			indexes[n++] = s->devices[i].ifindex;
	s->uplinks_told = true;
	struct event e = {.type = EVENT_UPLINKS, .uplinks = {.ifindexes = indexes, .n = n}};
	sim_feed(s, &e);
}

/* ---- feeding core
 * ------------------------------------------------------------------------------------------------------------------------ */

static void take_status(struct sim *s, struct pending *p)
{
	for (size_t i = 0; i < p->effect.status.n && i < DEVICES_PER_CLAIM; i++) {
		check_status_entry(s, &p->effect, &p->effect.status.devices[i]);
		p->status_ready[i] = p->effect.status.devices[i].ready;
		STR_COPY(p->status_device[i], p->effect.status.devices[i].device);
	}
	p->status_n = (int)p->effect.status.n;
}

static void effect_take(struct sim *s, struct effect *f)
{
	if (s->n_pending == PENDING) {
		sim_break(s, "%d operations under way: something is asked again and again", PENDING);
		return;
	}
	check_begin(s, f);
	struct pending *p = &s->pending[s->n_pending++];
	*p = (struct pending){.effect = *f};
	if (f->type == EFFECT_STORE || f->type == EFFECT_TOKEN)
		(void)record_copy(f->type == EFFECT_STORE ? f->store : f->token.record, &p->record);
	if (f->type == EFFECT_STATUS)
		take_status(s, p);
	f->type = EFFECT_TYPE_MAX; /* handed over */
}

static const char *effect_name(enum effect_type t)
{
	static const char *const names[EFFECT_TYPE_MAX] = {
	    [EFFECT_CLAIM_GET] = "get claim",   [EFFECT_SNAPSHOT] = "snapshot",     [EFFECT_PIN] = "pin",
	    [EFFECT_UNPIN] = "unpin",           [EFFECT_ATTACH] = "attach",         [EFFECT_DETACH] = "detach",
	    [EFFECT_PROBE] = "probe",           [EFFECT_STORE] = "store",           [EFFECT_FORGET] = "forget",
	    [EFFECT_TOKEN] = "token",           [EFFECT_STATUS] = "status",         [EFFECT_EVENT] = "event",
	    [EFFECT_LEASE] = "lease",           [EFFECT_LEASE_KEEP] = "keep lease", [EFFECT_LEASE_APPLY] = "apply lease",
	    [EFFECT_LEASE_DROP] = "drop lease",
	};
	return names[t] ? names[t] : "?";
}

/* What an operation is about, for the transcript. */
const char *effect_subject(const struct effect *f)
{
	switch (f->type) {
	case EFFECT_ATTACH:
	case EFFECT_DETACH:
	case EFFECT_PROBE:
	case EFFECT_LEASE:
	case EFFECT_LEASE_KEEP:
	case EFFECT_LEASE_APPLY:
	case EFFECT_LEASE_DROP:
		return f->move.plan->facts.name;
	case EFFECT_SNAPSHOT:
		return f->snapshot.device;
	case EFFECT_PIN:
		return f->pin.id;
	case EFFECT_TOKEN:
		return f->token.claim.uid;
	case EFFECT_FORGET:
		return f->forget.uid;
	case EFFECT_STATUS:
		return f->status.claim.uid;
	case EFFECT_CLAIM_GET:
		return f->claim_get.uid;
	case EFFECT_STORE:
		return f->store->ref.uid;
	default:
		return "";
	}
}

static void effect_inline(struct sim *s, struct effect *f)
{
	switch (f->type) {
	case EFFECT_REPLY_PREPARE:
	case EFFECT_REPLY_UNPREPARE:
		call_answered(s, f->reply.call, f);
		break;
	case EFFECT_REPLY_HOOK:
		call_answered(s, f->reply_hook.call, f);
		break;
	case EFFECT_UNPIN: {
		int n = sandbox_index(f->unpin);
		if (!s->sandboxes[n].pinned)
			sim_break(s, "sb%d was unpinned and not pinned", n);
		s->sandboxes[n].pinned = false;
		s->sandboxes[n].left = 0;
		netns_check(s, n);
		break;
	}
	case EFFECT_LEASE_KEEP:
	case EFFECT_LEASE_DROP:
		if (f->op) {
			sim_say(s, "  -> give back the lease of %s", effect_subject(f));
			effect_take(s, f);
			break;
		}
		sim_say(s, "  -> %s %s", effect_name(f->type), effect_subject(f));
		(f->type == EFFECT_LEASE_KEEP ? perform_keep : perform_drop)(s, f);
		break;
	case EFFECT_PUBLISH:
		s->want_published = f->publish.revision;
		s->slice_news = true;
		break;
	case EFFECT_TRANSITION:
		sim_say(s, "  nic %s: %s -> %s (%s) %s", f->transition.device, device_state_name(f->transition.from),
		        device_state_name(f->transition.to), f->transition.cause, f->transition.message ? f->transition.message : "");
		for (size_t i = 0; i < device_transitions_n; i++)
			if (device_transitions[i].from == f->transition.from && device_transitions[i].to == f->transition.to &&
			    str_equal(device_event_name(device_transitions[i].event), f->transition.cause))
				s->transitions[i]++;
		break;
	default:
		if (f->type == EFFECT_EVENT)
			check_event(s, f);
		else
			sim_say(s, "  -> %s %s", effect_name(f->type), effect_subject(f));
		effect_take(s, f);
		break;
	}
}

/* What the daemon does inline, it does before anything else happens: pins and tokens are performed at once. Their results are fed at once,
 * too, but for those of tokens that other events are queued before. */
static bool inline_result(struct sim *s)
{
	for (size_t i = 0; i < s->n_pending; i++) {
		struct pending *p = &s->pending[i];
		enum effect_type type = p->effect.type;
		if ((type != EFFECT_PIN && type != EFFECT_TOKEN) || p->performed)
			continue;
		perform(s, p, sim_choose(s, 12) == 11);
		if (type == EFFECT_PIN || sim_choose(s, 16) < 15)
			deliver(s, i);
		return true;
	}
	return false;
}

void sim_feed(struct sim *s, struct event *e)
{
	static int depth;
	struct effects fx = {0};
	if (!s->core)
		return;
	/* A clock that is read on another processor may be behind. */
	e->now = sim_choose(s, 64) == 63 && !s->telling_left ? s->now - 900 : s->now;
	s->events++;
	if (core_step(s->core, e, &fx) != 0)
		sim_break(s, "core refused event %d", e->type);
	for (size_t i = 0; i < fx.n; i++)
		effect_inline(s, &fx.v[i]);
	effects_free(&fx);
	if (++depth == 1)
		while (!*s->broken && inline_result(s)) {
		}
	depth--;
}
