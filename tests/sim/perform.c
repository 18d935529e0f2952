/* SPDX-License-Identifier: Apache-2.0 */
/* Performing effects on the model, with every way of failing that the real thing has. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

int record_copy(const struct claim_record *from, struct claim_record *ret)
{
	*ret = *from;
	ret->devices = calloc(from->n ? from->n : 1, sizeof(*ret->devices));
	if (!ret->devices)
		abort();
	for (size_t i = 0; i < from->n; i++) {
		ret->devices[i] = from->devices[i];
		if (ret->devices[i].plan)
			attach_plan_ref(ret->devices[i].plan);
		leases_ref(ret->devices[i].leases);
	}
	return 0;
}

enum queue { QUEUE_MOVER, QUEUE_DISK, QUEUE_NONE };
static enum queue queue_of(enum effect_type t)
{
	switch (t) {
	case EFFECT_SNAPSHOT:
	case EFFECT_ATTACH:
	case EFFECT_DETACH:
	case EFFECT_PROBE:
	case EFFECT_LEASE_APPLY:
	case EFFECT_LEASE_DROP:
		return QUEUE_MOVER;
	case EFFECT_STORE:
	case EFFECT_FORGET:
		return QUEUE_DISK;
	default:
		return QUEUE_NONE;
	}
}

bool perform_ready(const struct sim *s, size_t i)
{
	if (s->pending[i].performed)
		return false;
	enum queue q = queue_of(s->pending[i].effect.type);
	for (size_t k = 0; q != QUEUE_NONE && k < i; k++)
		if (!s->pending[k].performed && queue_of(s->pending[k].effect.type) == q)
			return false;
	return true;
}

/* 0 works; 1 fails and changes nothing; 2 and more fail half way where the kernel can do that. */
uint32_t perform_ways(const struct pending *p)
{
	switch (p->effect.type) {
	case EFFECT_ATTACH:
	case EFFECT_DETACH:
		return 6;
	case EFFECT_LEASE:
		return 3;
	default:
		return 2;
	}
}

static int held_sandbox(const struct sim *s, const char *id)
{
	int n = sandbox_index(id);
	return n >= 0 && s->sandboxes[n].pinned ? n : -1;
}

/* A lease's number stands for its address. */
static void read_back(struct pending *p, const struct wdevice *d)
{
	p->pod.n_addresses = d->pod_lease ? 1 : 0;
	memcpy(p->pod.addresses[0].address.bytes, &d->pod_lease, sizeof(d->pod_lease));
}

static void found(const struct sim *s, struct pending *p, const struct wdevice *d, int sandbox)
{
	int i = device_index(p->effect.move.plan->facts.name);
	bool another = !device_is_planned(d, p->effect.move.plan); /* of the same name */
	p->place = !d->exists || another                 ? PLACE_GONE
	           : device_stays(s, i) && sandbox >= 0  ? PLACE_POD
	           : d->place == ON_HOST                 ? PLACE_HOST
	           : sandbox >= 0 && d->place == sandbox ? PLACE_POD
	                                                 : PLACE_GONE;
	if (p->place == PLACE_POD) {
		STR_COPY(p->pod.ifname, p->effect.move.plan->pod.ifname);
		read_back(p, d);
		fabric_state(s, i, &p->pod.rdma);
	}
}

static uint32_t lease_number(const struct leases *l)
{
	return l && l->v4.held ? l->v4.renew : 0;
}

static void lease_given(struct wdevice *d, const struct leases *l)
{
	d->pod_lease = lease_number(l);
	d->lease_ended &= !d->pod_lease || d->pod_lease != d->lease;
}

/* Of what stays where it is only the character devices are given. */
static void perform_give(struct sim *s, struct pending *p, uint32_t how, enum place place)
{
	struct wdevice *d = &s->devices[device_index(p->effect.move.plan->facts.name)];
	if (p->place == PLACE_GONE) {
		p->result = place == PLACE_POD ? -ENODEV : 0;
		return;
	}
	p->result = how && how != 4 ? -EIO : 0;
	p->place = p->result ? PLACE_HOST : place;
	s->attaches += !p->result && place == PLACE_POD;
	d->lost &= p->result || place != PLACE_POD;
}

static void perform_attach(struct sim *s, struct pending *p, uint32_t how)
{
	int i = device_index(p->effect.move.plan->facts.name);
	struct wdevice *d = &s->devices[i];
	int sandbox = held_sandbox(s, p->effect.move.sandbox);
	found(s, p, d, sandbox);
	if (device_stays(s, i) && sandbox >= 0) {
		perform_give(s, p, how, PLACE_POD);
		return;
	}
	if (p->place == PLACE_GONE || sandbox < 0 || how == 1) {
		p->result = p->place == PLACE_GONE ? -ENODEV : -EIO;
		if (p->place == PLACE_HOST && sandbox >= 0 && lease_number(p->effect.move.leases)) {
			p->result = -ESTALE; /* it lay for longer than it was lent for, and the server has it back */
			d->lease = 0;
		}
		return;
	}
	d->told = false;
	if (d->default_route) { /* the routes go with the move */
		d->default_route = false;
		s->uplinks_told = false;
	}
	if (how >= 2) {
		bool half = how == 2 || how == 5;
		device_put(s, i, half ? sandbox : ON_HOST);
		if (half) { /* the undo failed too: half configured in the pod */
			d->mtu = 7;
		} else if (how == 3) { /* an undo that reports success must have succeeded */
			d->mtu = p->effect.move.plan->host.mtu;
			d->named = true;
		} else { /* home, and not as it was */
			d->mtu = 6;
			p->differences = "mtu is 6";
		}
		if (d->place == ON_HOST)
			s->sandboxes[sandbox].left |= 1u << device_index(p->effect.move.plan->facts.name);
		found(s, p, d, sandbox);
		if (how == 5) /* and where it is could not be asked */
			p->place = PLACE_UNKNOWN;
		p->result = -EIO;
		return;
	}
	s->attaches++;
	lease_given(d, p->effect.move.leases);
	d->lost = false;
	device_put(s, i, sandbox);
	d->mtu = device_has_netdev(s, i) ? p->effect.move.plan->pod.mtu : 3000u + (uint32_t)i;
	found(s, p, d, sandbox);
}

static struct leases *lease_new(struct sim *s, struct wdevice *d)
{
	struct leases *l = leases_new();
	if (!l)
		abort();
	d->lease = ++s->last_lease;
	d->lease_known = d->lease_unknown = false;
	l->v4 = (struct lease){.held = true, .renew = d->lease};
	return l;
}

/* Only where the host had it down. */
static void link_left_up(struct wdevice *d, const struct pending *p)
{
	if (!p->effect.move.plan->host.up)
		d->mtu = 5;
}

/* The link is up for as long as it takes, and then as it was: unless dranetd dies, or cannot set it back. */
static void perform_lease(struct sim *s, struct pending *p, uint32_t how)
{
	struct wdevice *d = &s->devices[device_index(p->effect.move.plan->facts.name)];
	found(s, p, d, -1);
	if (p->place != PLACE_HOST || how) {
		p->result = p->place != PLACE_HOST ? -ENODEV : -ETIMEDOUT;
		if (p->place == PLACE_HOST && how == 2)
			link_left_up(d, p);
		return;
	}
	s->leases++;
	p->leases = lease_new(s, d);
}

static void perform_apply(struct sim *s, struct pending *p, uint32_t how)
{
	struct wdevice *d = &s->devices[device_index(p->effect.move.plan->facts.name)];
	found(s, p, d, held_sandbox(s, p->effect.move.sandbox));
	if (p->place != PLACE_POD || how)
		p->result = p->place != PLACE_POD ? -ENODEV : -EIO;
	else if (lease_number(p->effect.move.leases) || lease_number(p->effect.move.old)) /* what it is not told of stays */
		lease_given(d, p->effect.move.leases);
	read_back(p, d);
}

/* On the host, for which the link goes up for a moment. */
static void perform_return(struct sim *s, struct pending *p, uint32_t how)
{
	struct wdevice *d = &s->devices[device_index(p->effect.move.plan->facts.name)];
	perform_drop(s, &p->effect);
	found(s, p, d, -1);
	if (how && p->place == PLACE_HOST) {
		p->result = -EIO;
		link_left_up(d, p);
	}
}

void perform_keep(struct sim *s, const struct effect *f)
{
	struct wdevice *d = &s->devices[device_index(f->move.plan->facts.name)];
	if (held_sandbox(s, f->move.sandbox) < 0)
		sim_break(s, "promise 5: the lease of %s is to be renewed in %s, which nobody holds", f->move.plan->facts.name,
		          f->move.sandbox);
	STR_COPY(d->keeper, f->move.claim.uid);
}

void perform_drop(struct sim *s, const struct effect *f)
{
	struct wdevice *d = &s->devices[device_index(f->move.plan->facts.name)];
	if (str_equal(d->keeper, f->move.claim.uid))
		d->keeper[0] = 0;
	if (f->move.release && lease_number(f->move.leases) == d->lease)
		d->lease = 0;
}

void tell_lease(struct sim *s, int i, bool lost)
{
	struct wdevice *d = &s->devices[i];
	struct event e = {.type = EVENT_LEASE};
	device_name(i, e.lease.device);
	STR_COPY(e.lease.claim_uid, d->keeper);
	e.lease.leases = lost ? leases_new() : lease_new(s, d);
	if (lost)
		d->lease = 0;
	d->lease_ended |= lost;
	s->renewals++;
	sim_say(s, "server: the lease of nic%d %s", i, lost ? "ends" : "is renewed");
	sim_feed(s, &e);
}

static void perform_detach(struct sim *s, struct pending *p, uint32_t how)
{
	int i = device_index(p->effect.move.plan->facts.name);
	struct wdevice *d = &s->devices[i];
	int sandbox = held_sandbox(s, p->effect.move.sandbox);
	found(s, p, d, sandbox);
	if (device_stays(s, i)) {
		perform_give(s, p, how, PLACE_HOST);
		return;
	}
	if (p->place == PLACE_GONE)
		return;
	if (how == 1) {
		p->result = -EIO;
		return;
	}
	d->told = false;
	device_left(s, i);
	device_put(s, i, ON_HOST);
	p->place = PLACE_HOST;
	if (how == 4) /* something that the model does not have could not be restored */
		p->differences = "txqlen";
	else if (how)
		p->result = -EIO;
	d->mtu = p->result ? 8 : p->effect.move.plan->host.mtu;
	d->named = how != 2;
	if (how == 5)
		p->place = PLACE_UNKNOWN;
}

static void perform_snapshot(struct sim *s, struct pending *p, uint32_t how)
{
	int i = device_index(p->effect.snapshot.device);
	const struct wdevice *d = &s->devices[i];
	bool same = device_has_netdev(s, i) ? d->ifindex == p->effect.snapshot.ifindex : *p->effect.snapshot.rdma_device != 0;
	if (how || !d->exists || d->place != ON_HOST || !d->named || !same) {
		p->result = -ENODEV;
		return;
	}
	p->host = (struct host_state){.ifindex = d->ifindex, .mtu = d->mtu, .up = i % 2};
	STR_COPY(p->host.ifname, p->effect.snapshot.ifname);
	STR_COPY(p->host.type, "device");
	fabric_state(s, i, &p->host.rdma);
	if (!device_has_netdev(s, i))
		p->host.ifindex = 0;
}

static struct claim_record *record_find(struct sim *s, const char *uid)
{
	for (size_t i = 0; i < s->n_records; i++)
		if (str_equal(s->records[i].ref.uid, uid))
			return &s->records[i];
	return NULL;
}

bool lease_recorded(const struct sim *s, int i)
{
	char name[DEVICE_NAME_SIZE];
	device_name(i, name);
	for (size_t k = 0; k < s->n_records; k++)
		for (size_t n = 0; n < s->records[k].n; n++)
			if (str_equal(s->records[k].devices[n].device, name) &&
			    lease_number(s->records[k].devices[n].leases) == s->devices[i].lease)
				return true;
	return false;
}

static void perform_store(struct sim *s, struct pending *p, uint32_t how)
{
	if (how || s->disk_full) {
		p->result = -ENOSPC;
		for (size_t i = 0; p->record.leasing && i < p->record.n; i++)
			if (p->record.devices[i].leases)
				s->devices[device_index(p->record.devices[i].device)].lease_unknown = true;
		return;
	}
	check_record(s, &p->record);
	struct claim_record *r = record_find(s, p->record.ref.uid);
	if (!r && s->n_records == RECORDS) {
		sim_break(s, "%d records on disk: they are not removed", RECORDS);
		return;
	}
	if (r)
		claim_record_free(r);
	else
		r = &s->records[s->n_records++];
	*r = p->record;
	p->record = (struct claim_record){0};
	for (int i = 0; i < DEVICES; i++)
		s->devices[i].lease_known |= s->devices[i].lease && lease_recorded(s, i);
}

static void perform_forget(struct sim *s, struct pending *p, uint32_t how)
{
	if (how) {
		p->result = -EIO;
		return;
	}
	struct claim_record *r = record_find(s, p->effect.forget.uid);
	if (!r)
		return;
	claim_record_free(r);
	*r = s->records[--s->n_records];
}

static void perform_claim_get(struct sim *s, struct pending *p, uint32_t how)
{
	int pod = 0;
	struct wclaim *c = claim_by_uid(s, p->effect.claim_get.uid, &pod);
	if (how || s->api_down)
		p->result = -ECONNREFUSED;
	else if (!c || !c->exists)
		p->result = -ENOENT;
	else {
		claim_object_fill(s, c, s->pods[pod].uid, &p->object);
		p->has_object = true;
	}
}

/* What they tell of a device is what the record says that it has. */
static void files_written(const struct claim_record *r, struct wclaim *c)
{
	memset(c->files, 0, sizeof(c->files));
	for (size_t k = 0; k < c->n; k++)
		for (size_t i = 0; i < r->n; i++)
			if (device_index(r->devices[i].device) == c->devices[k] && r->devices[i].pod.n_addresses)
				memcpy(&c->files[k], r->devices[i].pod.addresses[0].address.bytes, sizeof(c->files[k]));
}

static void perform_token(struct sim *s, struct pending *p, uint32_t how)
{
	struct wclaim *c = claim_by_uid(s, p->effect.token.claim.uid, NULL);
	if (how) {
		p->result = -EIO;
		return;
	}
	if (!c)
		return;
	c->token = p->effect.token.token;
	c->token_epoch = s->epoch;
	c->token_sandbox = (int)p->effect.token.sandbox_pid - 1000;
	c->marker = p->effect.token.token == TOKEN_FINAL;
	nodes_written(&p->effect, c);
	files_written(&p->record, c);
}

static void perform_status(struct sim *s, struct pending *p, uint32_t how)
{
	struct wclaim *c = claim_by_uid(s, p->effect.status.claim.uid, NULL);
	if (how || s->api_down) {
		p->result = -ETIMEDOUT;
		return;
	}
	if (!c || !c->exists || !c->allocated) {
		p->result = c && c->exists ? -ESTALE : -ENOENT;
		return;
	}
	c->status_known = true;
	c->untold = false;
	c->status_n = p->status_n;
	for (int i = 0; i < p->status_n; i++)
		for (size_t k = 0; k < c->n; k++)
			if (device_index(p->status_device[i]) == c->devices[k])
				c->status_ready[k] = p->status_ready[i];
}

static void perform_pin(struct sim *s, struct pending *p, uint32_t how)
{
	int n = sandbox_index(p->effect.pin.id);
	s->sandboxes[n].unopenable = how != 0;
	if (how || !s->sandboxes[n].netns) {
		p->result = how ? -EMFILE : -ENOENT;
		return;
	}
	s->sandboxes[n].pinned = true;
	p->inode = 5000 + (uint64_t)n;
}

void perform(struct sim *s, struct pending *p, uint32_t how)
{
	p->performed = true;
	check_perform(s, &p->effect);
	switch (p->effect.type) {
	case EFFECT_CLAIM_GET:
		perform_claim_get(s, p, how);
		break;
	case EFFECT_SNAPSHOT:
		perform_snapshot(s, p, how);
		break;
	case EFFECT_ATTACH:
		perform_attach(s, p, how);
		break;
	case EFFECT_DETACH:
		perform_detach(s, p, how);
		break;
	case EFFECT_PROBE: {
		int sandbox = held_sandbox(s, p->effect.move.sandbox);
		found(s, p, &s->devices[device_index(p->effect.move.plan->facts.name)], sandbox);
		if (how) {
			p->result = -EIO;
			p->place = PLACE_UNKNOWN;
		} else if (p->place == PLACE_POD) {
			s->devices[device_index(p->effect.move.plan->facts.name)].lost &=
			    !device_stays(s, device_index(p->effect.move.plan->facts.name));
		}
		break;
	}
	case EFFECT_LEASE:
		perform_lease(s, p, how);
		break;
	case EFFECT_LEASE_APPLY:
		perform_apply(s, p, how);
		break;
	case EFFECT_LEASE_DROP:
		perform_return(s, p, how);
		break;
	case EFFECT_STORE:
		perform_store(s, p, how);
		break;
	case EFFECT_FORGET:
		perform_forget(s, p, how);
		break;
	case EFFECT_TOKEN:
		perform_token(s, p, how);
		break;
	case EFFECT_STATUS:
		perform_status(s, p, how);
		break;
	case EFFECT_PIN:
		perform_pin(s, p, how);
		break;
	default:
		break;
	}
}

void pending_drop(struct sim *s, size_t i)
{
	struct pending *p = &s->pending[i];
	struct effects one = {.v = malloc(sizeof(struct effect)), .n = 1, .cap = 1};
	if (!one.v)
		abort();
	one.v[0] = p->effect;
	effects_free(&one);
	claim_record_free(&p->record);
	host_state_free(&p->host);
	leases_unref(p->leases);
	if (p->has_object)
		claim_object_free(&p->object);
	memmove(p, p + 1, (s->n_pending - i - 1) * sizeof(*p));
	s->n_pending--;
}

void deliver(struct sim *s, size_t i)
{
	/* Out of the list first: core may begin something else at once. */
	static const char *const text = "it failed";
	struct pending p = s->pending[i];
	memmove(&s->pending[i], &s->pending[i + 1], (s->n_pending - i - 1) * sizeof(p));
	s->n_pending--;
	if (p.result)
		sim_say(s, "  <- operation %llu failed", (unsigned long long)p.effect.op);
	struct event e = {0};
	s->failing = p.result < 0;
	s->failed_type = p.effect.type;
	STR_CUT(s->failed_subject, p.effect.type == EFFECT_STORE ? p.record.ref.uid : effect_subject(&p.effect));
	if (p.effect.op == 0) {
		/* nobody waits */
	} else if (p.effect.type == EFFECT_CLAIM_GET) {
		e.type = EVENT_CLAIM_READ;
		e.claim_read.op = p.effect.op;
		e.claim_read.result = p.result;
		e.claim_read.error = p.result ? text : NULL;
		e.claim_read.object = p.has_object ? &p.object : NULL;
		sim_feed(s, &e);
	} else {
		e.type = EVENT_DONE;
		e.done.op = p.effect.op;
		e.done.result = p.result;
		e.done.error = p.result ? text : NULL;
		e.done.place = p.place;
		e.done.pod = p.place == PLACE_POD ? &p.pod : NULL;
		e.done.netns_inode = p.inode;
		e.done.differences = p.differences;
		if (p.effect.type == EFFECT_SNAPSHOT && p.result == 0)
			e.done.host = &p.host;
		e.done.leases = p.leases; /* core has the reference */
		p.leases = NULL;
		check_tell(s, &p);
		sim_feed(s, &e);
		check_told(s, &p);
	}
	s->failing = false;
	struct effects one = {.v = malloc(sizeof(struct effect)), .n = 1, .cap = 1};
	if (!one.v)
		abort();
	one.v[0] = p.effect;
	effects_free(&one);
	claim_record_free(&p.record);
	host_state_free(&p.host);
	if (p.has_object)
		claim_object_free(&p.object);
}

/* What was to be given back when dranetd died, its next run must know. */
static void check_forgotten(struct sim *s, const struct effect *f)
{
	int i = device_index(f->move.plan->facts.name);
	const struct wdevice *d = &s->devices[i];
	if (d->lease_known && lease_number(f->move.leases) == d->lease && !lease_recorded(s, i))
		sim_break(s, "promise 3: the lease of nic%d is not given back yet, and no record names it", i);
}

void perform_crash(struct sim *s)
{
	bool mover = false, disk = false;
	for (size_t i = 0; i < s->n_pending; i++) {
		struct pending *p = &s->pending[i];
		enum queue q = queue_of(p->effect.type);
		if (p->performed || q == QUEUE_NONE || (q == QUEUE_MOVER ? mover : disk))
			continue;
		*(q == QUEUE_MOVER ? &mover : &disk) = true;
		if (sim_choose(s, 2) == 0)
			continue;
		/* Killed in the middle: it may be done, or half done, and nobody hears of it. */
		bool half = perform_ways(p) > 3;
		perform(s, p, q == QUEUE_MOVER ? sim_choose(s, half ? 3 : p->effect.type == EFFECT_LEASE_DROP ? 2 : 1) : 0);
		if (q == QUEUE_MOVER && p->effect.type == EFFECT_ATTACH && p->place == PLACE_HOST && sim_choose(s, 2)) {
			struct wdevice *d = &s->devices[device_index(p->effect.move.plan->facts.name)];
			if (d->exists && d->place == ON_HOST && !device_stays(s, device_index(p->effect.move.plan->facts.name)))
				d->mtu = 9;
		}
	}
	/* Links that are up for a lease stay up. */
	for (size_t i = 0; i < s->n_pending; i++) {
		const struct effect *f = &s->pending[i].effect;
		if (f->type == EFFECT_LEASE_DROP && !s->pending[i].performed)
			check_forgotten(s, f);
		struct wdevice *d = f->type == EFFECT_LEASE ? &s->devices[device_index(f->move.plan->facts.name)] : NULL;
		if (d && !s->pending[i].performed && d->exists && d->place == ON_HOST && d->ifindex == f->move.plan->facts.ifindex)
			link_left_up(d, &s->pending[i]);
	}
	while (s->n_pending)
		pending_drop(s, s->n_pending - 1);
}

void perform_rest(struct sim *s)
{
	for (size_t i = 0; i < s->n_pending; i++)
		if (!s->pending[i].performed && queue_of(s->pending[i].effect.type) != QUEUE_NONE)
			perform(s, &s->pending[i], 0);
	while (s->n_pending)
		pending_drop(s, s->n_pending - 1);
}
