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
			if (!d->exists || d->lost)
				continue;
			if (device_stays(s, c->devices[i]))
				continue;
			if (d->place != p->sandbox)
				sim_break(s, "promise 2: a container of pod %d runs in sb%d, nic%d is %s", pod, p->sandbox, c->devices[i],
				          d->place == ON_HOST ? "on the host" : "elsewhere");
			else if (d->mtu != 3000u + (uint32_t)c->devices[i])
				sim_break(s, "promise 2: a container of pod %d runs, nic%d is not configured (mtu %u)", pod, c->devices[i],
				          d->mtu);
			else if (c->dhcp && device_has_netdev(s, c->devices[i]) && !d->lease_ended && (!d->pod_lease || !d->lease))
				sim_break(s, "promise 2: a container of pod %d runs, nic%d %s", pod, c->devices[i],
				          d->pod_lease ? "has an address that was given back" : "has no address");
		}
	}
}

/* Promise 2, at the moment CreateContainer is answered: the container was created on the strength of a pending file, too. */
void check_let_in(struct sim *s, int pod)
{
	const struct wpod *p = &s->pods[pod];
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		if (p->claims[k].used && !p->claims[k].marker)
			sim_break(s, "promise 2: a container of pod %d is let in without the marker of %s", pod, p->claims[k].ref.uid);
	check_nodes(s, pod);
}

/* Promise 1: a namespace that nobody holds dies when its stop is answered; there was time to try again. */
void check_stop_answered(struct sim *s, int sandbox, uint64_t left)
{
	for (int i = 0; i < DEVICES; i++)
		if (sandbox >= 0 && s->devices[i].exists && s->devices[i].place == sandbox && !s->sandboxes[sandbox].pinned && left > 1000)
			sim_break(s, "promise 1: the stop of sb%d was answered with nic%d in it and nobody holding it", sandbox, i);
}

const struct claim_record *record_of(const struct sim *s, const char *uid)
{
	for (size_t i = 0; i < s->n_records; i++)
		if (str_equal(s->records[i].ref.uid, uid))
			return &s->records[i];
	return NULL;
}

/* Promise 5: the kubelet will not ask again. */
void check_unprepared(struct sim *s, const char *uid)
{
	const struct claim_record *r = record_of(s, uid);
	if (r && !r->unprepared)
		sim_break(s, "promise 5: %s was unprepared and a crash would bring it back", uid);
}

static bool all_told(const struct sim *s)
{
	for (int i = 0; i < DEVICES; i++)
		if (!device_told(s, i))
			return false;
	return s->uplinks_told;
}

static bool node_needs(const struct sim *s, int i)
{
	return all_told(s) && s->devices[i].exists && s->devices[i].place == ON_HOST && device_is_uplink(s, i);
}

/* Whoever may remove links in a pod must not keep dranetd busy. */
static void check_look(struct sim *s, const struct effect *f)
{
	struct wdevice *d = &s->devices[device_index(f->move.plan->facts.name)];
	bool again = d->looked_epoch == s->epoch && str_equal(d->looked_for, f->move.claim.uid);
	if (again && s->now < d->looked_at + 400)
		sim_break(s, "promise 4: %s is looked for again and again on a pod's word", f->move.plan->facts.name);
	d->looked_at = s->now;
	d->looked_epoch = s->epoch;
	STR_COPY(d->looked_for, f->move.claim.uid);
}

/* Whoever has a PF rules its VFs. */
static void check_pf(struct sim *s, const char *device, bool prepare)
{
	char name[DEVICE_NAME_SIZE];
	STR_CUT(name, device);
	if (!device_is_pf(s, device_index(name)) || s->devices[device_index(name)].place != ON_HOST || !all_told(s))
		return;
	/* A claim that is older than those of its VFs keeps it. */
	bool claimed = false;
	for (size_t i = 0; i < s->n_records; i++)
		for (size_t k = 0; !s->records[i].unprepared && k < s->records[i].n; k++)
			claimed |= str_equal(s->records[i].devices[k].device, name);
	/* A VF that is used for something else while a claim of it is being prepared counts as the claim's, until that is refused. */
	for (int i = 0; i < DEVICES; i++)
		if (s->devices[i].bound && device_taken(s, i))
			return;
	const char *why = pf_is_ruled_out(s, prepare && !claimed);
	if (why)
		sim_break(s, "promise 1: the PF %s is %s, and %s", name, prepare ? "prepared" : "attached", why);
}

/* Of what a claim has already the host state is read anew after a reboot. */
static void check_vf(struct sim *s, const char *device)
{
	char name[DEVICE_NAME_SIZE];
	STR_CUT(name, device);
	if (vf_is_ruled_out(s, device_index(name)) && !device_planned(s, device_index(name)))
		sim_break(s, "promise 1: the VF %s is prepared, and a claim has its PF", name);
}

void check_begin(struct sim *s, const struct effect *f)
{
	if (f->type == EFFECT_SNAPSHOT) {
		check_pf(s, f->snapshot.device, true);
		check_vf(s, f->snapshot.device);
	}
	if (f->type == EFFECT_ATTACH)
		check_pf(s, f->move.plan->facts.name, false);
	if (s->failing && f->type == s->failed_type && str_equal(effect_subject(f), s->failed_subject))
		sim_break(s, "promise 4: what failed for %s is begun again without a pause", s->failed_subject);
	if (f->type == EFFECT_PROBE && s->telling_left)
		check_look(s, f);
	if (f->type == EFFECT_SNAPSHOT && node_needs(s, device_index(f->snapshot.device)))
		sim_break(s, "promise 7: %s carries the node's route and is prepared", f->snapshot.device);
	bool on_host = f->type == EFFECT_LEASE || f->type == EFFECT_LEASE_DROP;
	const struct claim_record *lease = on_host ? record_of(s, f->move.claim.uid) : NULL;
	if (on_host && (!lease || (!lease->leasing && !*lease->sandbox.id && !f->move.plan->host.up)))
		sim_break(s, "promise 5: %s is brought up for a lease and the record does not say so", f->move.plan->facts.name);
	const struct claim_record *r = f->type == EFFECT_ATTACH ? record_of(s, f->move.claim.uid) : NULL;
	if (f->type == EFFECT_ATTACH && (!r || !str_equal(r->sandbox.id, f->move.sandbox)))
		sim_break(s, "promise 5: %s goes into %s and the record does not say so", f->move.plan->facts.name, f->move.sandbox);
	for (size_t i = 0; r && i < r->n; i++)
		if (str_equal(r->devices[i].device, f->move.plan->facts.name) && r->devices[i].state == DEVICE_ATTACHED &&
		    str_equal(r->devices[i].attached_in, f->move.sandbox))
			sim_break(s, "promise 5: %s goes into %s and the record says that it is there", f->move.plan->facts.name,
			          f->move.sandbox);
	if (f->type == EFFECT_ATTACH && node_needs(s, device_index(f->move.plan->facts.name)))
		sim_break(s, "promise 7: %s carries the node's route and is attached", f->move.plan->facts.name);
}

static void check_attach(struct sim *s, const struct effect *f)
{
	int i = device_index(f->move.plan->facts.name), sandbox = sandbox_index(f->move.sandbox);
	const struct wpod *p = &s->pods[s->sandboxes[sandbox].pod];
	if (s->devices[i].exists && s->devices[i].place == sandbox && p->phase == POD_RUNNING && p->sandbox == sandbox)
		sim_break(s, "promise 2: nic%d is configured anew under a container that runs", i);
}

/* The record is what brings a device home. */
static void check_forget(struct sim *s, const struct effect *f)
{
	int pod;
	const struct wclaim *c = claim_by_uid(s, f->forget.uid, &pod);
	for (size_t i = 0; c && i < c->n; i++) {
		const struct wdevice *d = &s->devices[c->devices[i]];
		if (d->exists && d->place >= 0 && s->sandboxes[d->place].pod == pod && !device_held(s, c->devices[i], c))
			sim_break(s, "promise 1: the record of %s is removed while nic%d is in sb%d", c->ref.uid, c->devices[i], d->place);
	}
}

/* What people must hear of, as events and in the status. */
void check_event(struct sim *s, const struct effect *f)
{
	struct wclaim *c = claim_by_uid(s, f->event.claim.uid, NULL);
	sim_say(s, "  event %s for %s: %s", f->event.reason, f->event.claim.uid, f->event.message);
	if (!c)
		return;
	c->gone_events += str_equal(f->event.reason, "NetworkDeviceGone");
	c->restore_events += str_equal(f->event.reason, "NetworkDeviceNotRestored");
	if (str_equal(f->event.reason, "NetworkDeviceUndoFailed") && ++c->undo_events > c->n)
		sim_break(s, "promise 6: that the undo failed for %s is told again and again", c->ref.uid);
}

static struct wclaim *moved_claim(struct sim *s, const struct effect *f)
{
	bool move = f->type == EFFECT_ATTACH || f->type == EFFECT_DETACH || f->type == EFFECT_PROBE;
	return move ? claim_by_uid(s, f->move.claim.uid, NULL) : NULL;
}

void check_tell(struct sim *s, const struct pending *p)
{
	struct wclaim *c = moved_claim(s, &p->effect);
	struct wdevice *d = c ? &s->devices[device_index(p->effect.move.plan->facts.name)] : NULL;
	if (!c || !d->half || p->result || (p->effect.type == EFFECT_PROBE && p->place != PLACE_GONE))
		return;
	d->half = false;
	c->undo_events -= c->undo_events > 0;
}

void check_told(struct sim *s, const struct pending *p)
{
	const struct effect *f = &p->effect;
	struct wclaim *c = moved_claim(s, f);
	if (!c)
		return;
	int i = device_index(f->move.plan->facts.name);
	bool changed = p->differences && p->place == PLACE_HOST;
	if (f->type == EFFECT_ATTACH && p->result && (p->place == PLACE_POD || p->place == PLACE_UNKNOWN || changed)) {
		unsigned half = 0;
		s->devices[i].half = true;
		for (size_t k = 0; k < c->n; k++)
			half += s->devices[c->devices[k]].half;
		if (c->undo_events < half)
			sim_break(s, "promise 6: nic%d is left half attached and nobody is told", i);
	}
	if (f->type == EFFECT_DETACH && !p->result && changed && !c->restore_events)
		sim_break(s, "promise 6: nic%d could not be restored and nobody is told", i);
}

void check_status_entry(struct sim *s, const struct effect *f, const struct device_status *d)
{
	const char *ready = device_has_netdev(s, device_index(d->device)) ? "NetworkDeviceReady" : "RDMAOnlyDeviceReady";
	if (d->ready != str_equal(d->reason, ready) || d->ready != (d->pod != NULL))
		sim_break(s, "promise 6: the status of %s contradicts itself: %s", f->status.claim.uid, d->reason);
	if (s->devices[device_index(d->device)].half && !*d->message)
		sim_break(s, "promise 6: the status of %s says nothing of a failed undo (%s)", f->status.claim.uid, d->reason);
}

void check_perform(struct sim *s, const struct effect *f)
{
	if (f->type == EFFECT_FORGET)
		check_forget(s, f);
	if (f->type == EFFECT_ATTACH)
		check_attach(s, f);
	if (f->type == EFFECT_DETACH || f->type == EFFECT_PROBE) {
		const struct wdevice *d = &s->devices[device_index(f->move.plan->facts.name)];
		if (d->exists && d->place >= 0 && s->sandboxes[d->place].alive && !*f->move.sandbox)
			sim_break(s, "promise 1: %s is looked for on the host alone, it is in sb%d", f->move.plan->facts.name, d->place);
	}
	if (f->type == EFFECT_DETACH && str_equal(s->devices[device_index(f->move.plan->facts.name)].keeper, f->move.claim.uid))
		sim_break(s, "promise 3: %s is taken away while its lease is renewed", f->move.plan->facts.name);
	const struct wclaim *c = f->type == EFFECT_DETACH ? claim_by_uid(s, f->move.claim.uid, NULL) : NULL;
	if (c && c->token == TOKEN_FINAL)
		sim_break(s, "promise 2: %s is taken away while the CDI file of %s lets containers in", f->move.plan->facts.name,
		          c->ref.uid);
	if (f->type != EFFECT_TOKEN || f->token.token != TOKEN_PENDING)
		return;
	int sandbox = (int)f->token.sandbox_pid - 1000;
	check_pending_nodes(s, claim_by_uid(s, f->token.claim.uid, NULL));
	if (!s->connected)
		sim_break(s, "promise 2: a pending CDI file of %s, and no hook to hold a container back", f->token.claim.uid);
	else if (sandbox < 0 || !s->sandboxes[sandbox].pinned)
		sim_break(s, "promise 2: a pending CDI file of %s, and nobody holds sb%d", f->token.claim.uid, sandbox);
}

/* No crash may bring back two claims of one device, or two devices of one name. */
void check_record(struct sim *s, const struct claim_record *r)
{
	check_family(s, r);
	for (size_t k = 0; !r->unprepared && k < s->n_records; k++) {
		const struct claim_record *other = &s->records[k];
		bool another = !str_equal(r->ref.uid, other->ref.uid);
		for (size_t i = 0; i < r->n; i++)
			for (size_t j = 0; !other->unprepared && j < other->n; j++) {
				const struct attach_plan *mine = r->devices[i].plan, *theirs = other->devices[j].plan;
				if (!mine || !theirs)
					continue;
				if (another && str_equal(r->devices[i].device, other->devices[j].device))
					sim_break(s, "promise 1: the records of %s and %s both name %s", r->ref.uid, other->ref.uid,
					          r->devices[i].device);
				if ((another || i != j) && str_equal(r->pod.uid, other->pod.uid) && *mine->pod.ifname &&
				    str_equal(mine->pod.ifname, theirs->pod.ifname))
					sim_break(s, "promise 8: two devices of %s are to be called %s", r->pod.uid, mine->pod.ifname);
			}
	}
}

struct view {
	struct sim *s;
	int owners[DEVICES];
	bool rest; /* all is calm */
};

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
	if (d->offered && !d->claim && all_told(s) && device_is_pf(s, i)) {
		const char *why = pf_is_ruled_out(s, true);
		if (why)
			sim_break(s, "promise 1: the PF nic%d is offered, and %s", i, why);
	}
	if (d->offered && !d->claim && vf_is_ruled_out(s, i))
		sim_break(s, "promise 1: the VF nic%d is offered, and a claim has its PF", i);
	bool half = device_is_pci(s, i) && device_has_netdev(s, i) && (!w->exists || w->place != ON_HOST);
	if (d->offered && !d->claim && half && all_told(s))
		sim_break(s, "promise 6: nic%d is offered, and nothing of it is on the host", i);
	bool family_free = device_is_pf(s, i) ? pf_is_free(s) : vf_is_free(s, i);
	if (v->rest && !d->offered && w->exists && w->place == ON_HOST && !device_is_uplink(s, i) && family_free)
		sim_break(s, "promise 6: nic%d is free and not offered", i);
	if (v->rest && d->offered && !w->exists && !w->bound)
		sim_break(s, "promise 6: nic%d is offered and does not exist", i);
	if (d->state == DEVICE_ATTACHED && !d->claim)
		sim_break(s, "promise 1: nic%d is attached and no claim holds it", i);
}

static void digest_add(uint64_t *digest, const void *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*digest = (*digest ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
}

static uint64_t slice_digest(const struct slice_view *view)
{
	uint64_t digest = 0xcbf29ce484222325u;
	for (size_t i = 0; i < view->n; i++) {
		struct attribute attributes[ATTRIBUTES_MAX];
		digest_add(&digest, view->devices[i]->name, strlen(view->devices[i]->name) + 1);
		for (size_t k = 0, n = device_attributes(view->devices[i], attributes); k < n; k++) {
			const struct attribute *a = &attributes[k];
			digest_add(&digest, a->name, strlen(a->name));
			if (a->type == ATTRIBUTE_STRING)
				digest_add(&digest, a->string, strlen(a->string) + 1);
			if (a->type == ATTRIBUTE_INT)
				digest_add(&digest, &a->integer, sizeof(a->integer));
			if (a->type == ATTRIBUTE_BOOL)
				digest_add(&digest, &a->boolean, sizeof(a->boolean));
		}
	}
	return digest;
}

/* A slice is looked at when there is news, if its version is another than when it was looked at last, which may have been at any time. */
static void check_slice(struct sim *s)
{
	struct slice_view view = {0};
	core_slice(s->core, 0, &view);
	uint64_t version = core_slice_version(s->core, 0), digest = slice_digest(&view);
	bool same = version == s->slice_version;
	s->slice_wavers = same && (s->slice_wavers || digest != s->slice_digest);
	if (version && s->slice_news && s->slice_wavers)
		sim_break(s, "promise 6: the slice says something else, and its version does not tell");
	s->slice_version = version;
	s->slice_digest = digest;
	if (s->slice_news)
		s->slice_told = digest;
	s->slice_news = false;
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
	check_slice(s);
	struct core_counts counts;
	core_count(s->core, &counts);
	if (counts.impossible)
		sim_break(s, "the state table has no row for what happened");
}

/* Whether a pod cannot be expected to have a device: it does not exist, the node needs it, or another one has taken its name. */
static bool is_hurt(const struct sim *s, const struct wclaim *c, size_t i)
{
	const struct wdevice *d = &s->devices[c->devices[i]];
	const struct claim_record *r = record_of(s, c->ref.uid);
	bool other = r && i < r->n && r->devices[i].plan && !device_is_planned(d, r->devices[i].plan);
	bool ruled_out = device_is_pf(s, c->devices[i]) && pf_is_ruled_out(s, false);
	return !d->exists || other || ruled_out || device_is_uplink(s, c->devices[i]);
}

static void check_status(struct sim *s, const struct wpod *p, const struct wclaim *c)
{
	for (size_t i = 0; !c->untold && i < c->n; i++) {
		const struct wdevice *d = &s->devices[c->devices[i]];
		bool there = p->sandbox >= 0 && d->place == p->sandbox;
		if (device_stays(s, c->devices[i]))
			there = p->phase == POD_RUNNING && !is_hurt(s, c, i);
		if ((c->status_n && c->status_ready[i]) != there)
			sim_break(s, "promise 6: the status of %s says nic%d is %sready", c->ref.uid, c->devices[i], there ? "not " : "");
	}
}

static bool device_wanted(const struct sim *s, int device, const struct wclaim *but)
{
	for (int pod = 0; pod < PODS; pod++)
		for (int k = 0; k < CLAIMS_PER_POD; k++) {
			const struct wclaim *c = &s->pods[pod].claims[k];
			for (size_t i = 0; c != but && s->pods[pod].phase != POD_IDLE && c->used && i < c->n; i++)
				if (c->devices[i] == device)
					return true;
		}
	return device_recorded(s, device, but);
}

/* Why the kubelet cannot be given what it asks for. */
static bool claim_refusable(const struct sim *s, const struct wpod *p, const struct wclaim *c)
{
	bool why = c->bad_config;
	size_t same = 0;
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		for (size_t i = 0; p->claims[k].used && p->claims[k].same_name && i < p->claims[k].n; i++)
			same += device_has_netdev(s, p->claims[k].devices[i]);
	for (size_t i = 0; i < c->n; i++) {
		const struct wdevice *d = &s->devices[c->devices[i]];
		why |= !d->exists || device_is_uplink(s, c->devices[i]) || device_wanted(s, c->devices[i], c);
		why |= device_is_pf(s, c->devices[i]) ? !pf_is_free(s) : !vf_is_free(s, c->devices[i]);
	}
	return why || (c->same_name && same > 1);
}

/* The kubelet has asked again and again. */
static void check_refused(struct sim *s, const struct wpod *p)
{
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		const struct wclaim *c = &p->claims[k];
		if (!c->used || c->prepared)
			continue;
		if (!claim_refusable(s, p, c))
			sim_break(s, "promise 2: nothing is in the way of %s and it is not prepared: %s", c->ref.uid, c->reason);
		else if (!*c->reason || strstr(c->reason, "try again"))
			sim_break(s, "promise 8: that %s cannot be prepared is not said: %s", c->ref.uid, c->reason);
	}
}

static void check_rest_pod(struct sim *s, int pod)
{
	const struct wpod *p = &s->pods[pod];
	bool hurt = false;
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		const struct wclaim *c = &p->claims[k];
		for (size_t i = 0; c->used && i < c->n; i++) {
			const struct wdevice *d = &s->devices[c->devices[i]];
			bool this_hurt = is_hurt(s, c, i);
			hurt |= this_hurt;
			if (p->phase != POD_RUNNING)
				continue;
			if (!this_hurt && !device_stays(s, c->devices[i]) &&
			    (d->place != p->sandbox || d->mtu != 3000u + (uint32_t)c->devices[i]))
				sim_break(s, "promise 2: nic%d is there again and pod %d did not get it back", c->devices[i], pod);
			if (!this_hurt && c->dhcp && device_has_netdev(s, c->devices[i]) &&
			    (!str_equal(d->keeper, c->ref.uid) || d->pod_lease != d->lease))
				sim_break(s, "promise 2: nic%d of pod %d has lease %u, %s keeps %u", c->devices[i], pod, d->pod_lease,
				          *d->keeper ? d->keeper : "nobody", d->lease);
			if (!this_hurt && c->dhcp && device_has_netdev(s, c->devices[i]) && c->files[i] != d->pod_lease)
				sim_break(s, "promise 6: nic%d of pod %d has lease %u, and its containers are told of %u", c->devices[i],
				          pod, d->pod_lease, c->files[i]);
			if (!d->exists && str_equal(d->keeper, c->ref.uid))
				sim_break(s, "promise 3: nic%d does not exist any more, and its lease is renewed", c->devices[i]);
			if (!d->exists && !c->gone_events)
				sim_break(s, "promise 6: nic%d of pod %d does not exist any more and nobody was told", c->devices[i], pod);
		}
		if (c->used && c->exists && (p->phase == POD_RUNNING || p->phase == POD_STOPPED))
			check_status(s, p, c);
		if (c->used && c->exists && p->phase == POD_IDLE && c->status_n && !c->untold)
			sim_break(s, "promise 6: the status of %s still names devices", c->ref.uid);
	}
	if (p->phase == POD_STOPPED && p->refused && s->lasting && !s->over)
		check_refused(s, p);
	if (p->phase != POD_IDLE && p->phase != POD_RUNNING && p->phase != POD_STOPPED && !hurt)
		sim_break(s, "promise 2: pod %d never came up (phase %d)", pod, p->phase);
}

/* All is calm and everything had its time: pods that can run do, those that are gone left nothing. */
void check_rest(struct sim *s, bool over)
{
	if (*s->broken)
		return;
	size_t busy = 0;
	for (int pod = 0; pod < PODS; pod++) {
		busy += s->pods[pod].phase != POD_IDLE;
		check_rest_pod(s, pod);
	}
	struct view v = {.s = s, .rest = true};
	core_devices(s->core, check_device, &v);
	if (s->slice_told != s->slice_digest)
		sim_break(s, "promise 6: at rest the slice says something else than when there was news of it");
	for (int i = 0; i < DEVICES; i++) {
		const struct wdevice *d = &s->devices[i];
		bool wanted = false;
		for (int pod = 0; pod < PODS; pod++)
			for (int k = 0; k < CLAIMS_PER_POD; k++)
				for (size_t n = 0; n < s->pods[pod].claims[k].n; n++)
					wanted |= s->pods[pod].phase != POD_IDLE && s->pods[pod].phase != POD_STOPPED &&
					          s->pods[pod].claims[k].prepared && s->pods[pod].claims[k].devices[n] == i;
		if (d->exists && !wanted && (d->place != ON_HOST || d->mtu != d->home || !d->named))
			sim_break(s, "promise 3: at rest nic%d is not as it was (place %d, mtu %u for %u)", i, d->place, d->mtu, d->home);
	}
	if (!over)
		return;
	for (int i = 0; i < DEVICES; i++) {
		if (*s->devices[i].keeper)
			sim_break(s, "promise 3: no pod is left, and the lease of nic%d is renewed for ever", i);
		if (s->devices[i].lease && !s->devices[i].lease_unknown)
			sim_break(s, "promise 3: no pod is left, and the lease of nic%d was not given back", i);
	}
	if (busy)
		sim_break(s, "promise 4: %zu pods are stopped and cannot be unprepared", busy);
	if (s->n_records)
		sim_break(s, "promise 5: %zu records are left and no pod is (%s)", s->n_records, s->records[0].ref.uid);
	for (int i = 0; i < s->n_sandboxes; i++)
		if (s->sandboxes[i].pinned)
			sim_break(s, "promise 5: no pod is left, and sb%d is held for ever", i);
}
