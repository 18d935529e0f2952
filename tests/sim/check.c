/* SPDX-License-Identifier: Apache-2.0 */
/* The promises of the design, asked of world and core after every step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

/* Promise 2, at the moment a container starts and as long as it runs. */
void check_container_start(struct sim *s, int pod)
{
	const struct wpod *p = &s->pods[pod];
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		const struct wclaim *c = &p->claims[k];
		for (size_t i = 0; c->used && i < c->n; i++) {
			const struct wdevice *d = &s->devices[c->devices[i]];
			if (!d->exists || d->replugged)
				continue;
			if (d->place != p->sandbox)
				sim_break(s, "promise 2: a container of pod %d runs in sb%d, nic%d is %s", pod, p->sandbox, c->devices[i],
				          d->place == ON_HOST ? "on the host" : "elsewhere");
			else if (d->mtu != 3000u + (uint32_t)c->devices[i])
				sim_break(s, "promise 2: a container of pod %d runs, nic%d is not configured (mtu %u)", pod, c->devices[i],
				          d->mtu);
		}
	}
}

struct view {
	struct sim *s;
	int owners[DEVICES];
};

static bool all_told(const struct sim *s)
{
	for (int i = 0; i < DEVICES; i++)
		if (!s->devices[i].told)
			return false;
	return s->uplinks_told;
}

static void check_device(const struct core_device_view *d, void *user)
{
	struct view *v = user;
	struct sim *s = v->s;
	int i = device_index(d->facts->name);
	const struct wdevice *w = &s->devices[i];
	if (d->claim && v->owners[i]++)
		sim_break(s, "promise 1: nic%d has two owners", i);
	if (d->offered && all_told(s) && w->place == ON_HOST && d->state != DEVICE_ATTACHED && !d->busy && device_is_uplink(s, i) &&
	    d->place == PLACE_HOST)
		sim_break(s, "promise 7: nic%d carries the node's route and is offered", i);
	if (d->state == DEVICE_ATTACHED && !d->claim)
		sim_break(s, "promise 1: nic%d is attached and no claim holds it", i);
}

void check_promises(struct sim *s)
{
	for (int pod = 0; pod < PODS; pod++)
		if (s->pods[pod].phase == POD_RUNNING)
			check_container_start(s, pod);
	if (!s->core)
		return;
	struct view v = {.s = s};
	core_devices(s->core, check_device, &v);
	struct core_counts counts;
	core_count(s->core, &counts);
	if (counts.impossible)
		sim_break(s, "the state table has no row for what happened");
}

static void check_status(struct sim *s, const struct wclaim *c, int sandbox)
{
	for (size_t i = 0; c->status_known && c->status_n && i < c->n; i++) {
		const struct wdevice *d = &s->devices[c->devices[i]];
		bool there = sandbox >= 0 && d->place == sandbox;
		if (!d->exists) /* unplugged inside a pod: the host's namespace does not hear of it */
			continue;
		if (c->status_ready[i] != there)
			sim_break(s, "promise 6: the status of %s says nic%d is %sready", c->ref.uid, c->devices[i],
			          c->status_ready[i] ? "" : "not ");
	}
}

/* All is calm and everything had its time: pods that can run do, those that are gone left nothing. */
void check_rest(struct sim *s)
{
	if (*s->broken)
		return;
	size_t busy = 0;
	for (int pod = 0; pod < PODS; pod++) {
		const struct wpod *p = &s->pods[pod];
		bool hurt = false;
		busy += p->phase != POD_IDLE;
		for (int k = 0; k < CLAIMS_PER_POD; k++) {
			const struct wclaim *c = &p->claims[k];
			for (size_t i = 0; c->used && i < c->n; i++)
				hurt |= !s->devices[c->devices[i]].exists || device_is_uplink(s, c->devices[i]) ||
				        s->devices[c->devices[i]].generation != c->generations[i];
			if (c->used && c->exists && p->phase == POD_RUNNING)
				check_status(s, c, p->sandbox);
		}
		if (p->phase != POD_IDLE && p->phase != POD_RUNNING && p->phase != POD_STOPPED && !hurt)
			sim_break(s, "promise 2: pod %d never came up (phase %d)", pod, p->phase);
	}
	for (int i = 0; i < DEVICES; i++) {
		const struct wdevice *d = &s->devices[i];
		bool wanted = false;
		for (int pod = 0; pod < PODS; pod++)
			for (int k = 0; k < CLAIMS_PER_POD; k++)
				for (size_t n = 0; n < s->pods[pod].claims[k].n; n++)
					wanted |= s->pods[pod].phase != POD_IDLE && s->pods[pod].claims[k].prepared &&
					          s->pods[pod].claims[k].devices[n] == i;
		if (d->exists && !wanted && (d->place != ON_HOST || d->mtu != d->home || !d->named))
			sim_break(s, "promise 3: at rest nic%d is not as it was (place %d, mtu %u for %u)", i, d->place, d->mtu, d->home);
	}
	if (busy == 0 && s->n_records)
		sim_break(s, "promise 5: %zu records are left and no pod is (%s)", s->n_records, s->records[0].ref.uid);
}
