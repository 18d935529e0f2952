/* SPDX-License-Identifier: Apache-2.0 */
/* Prepare: read the claim, check it, keep the host state of its devices, build the plans, put the record on disk, answer. Nothing on the
 * host changes, so that every failure here is undone by forgetting. Everything that can be refused is refused here: a hook's error is
 * costly (protocols §7.9). */
#include <inttypes.h>

#include "core/core_internal.h"

/* Leases may be held, and as long as the record says that they are asked for, links may be up on the host that were not: home with it all,
 * as if it had been unprepared. */
static void prepare_abandon(struct claim *claim)
{
	claim->phase = CLAIM_READY;
	claim->unprepare = true;
	for (size_t i = 0; claim->record.leasing && i < claim->record.n; i++)
		claim->attachments[i].restore = claim->attachments[i].touched;
}

/* It got as far as a record of its own, not one of the claim's last use. */
static bool prepare_holds(const struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct device *d = claim->attachments[i].device;
		if (d && d->state >= DEVICE_PREPARED)
			return true;
	}
	return false;
}

static void prepare_fail(struct core *c, struct claim *claim, const char *text)
{
	effect_event(c, SUBJECT_CLAIM, claim, "ClaimPrepareFailed", text);
	waiters_settle(c, claim->record.ref.uid, text);
	if (!claim->version) {
		claim_remove(c, claim);
		return;
	}
	if (prepare_holds(claim)) {
		prepare_abandon(claim);
		return;
	}
	/* A write that failed late, or one nobody waited for, may have left a record: only when that is gone may others have the devices.
	 * Of an earlier pod's use there may still be a status to be told. */
	claim->phase = CLAIM_UNPREPARED;
	claim->record.unprepared = true;
	claim_changed(claim);
}

static void prepare_start(struct core *c, struct claim *claim)
{
	claim->phase = CLAIM_READING;
	claim->unprepare = false;
	struct effect *f = effect_add(c, EFFECT_CLAIM_GET, true);
	f->claim_get = claim->record.ref;
	claim->read_op = f->op;
}

void prepare_request(struct core *c, const struct event *e)
{
	struct waiter *w = waiter_add(c, WAIT_PREPARE, e->request.call, e->request.deadline);
	w->claims = core_alloc(e->request.n, sizeof(*w->claims));
	w->n = e->request.n;
	for (size_t i = 0; i < w->n; i++) {
		w->claims[i].ref = e->request.claims[i];
		struct claim *claim = claim_find(c, w->claims[i].ref.uid);
		if (!claim) {
			prepare_start(c, claim_new(c, &w->claims[i].ref));
		} else if (claim->phase == CLAIM_UNPREPARED && !claim->record.n && !claim->store_op) {
			/* Only its status was still to be told: begin again. */
			claim_release_devices(c, claim);
			claim->record = (struct claim_record){.ref = w->claims[i].ref};
			prepare_start(c, claim);
		} else if (claim->unprepare || claim->phase >= CLAIM_UNPREPARED) {
			w->claims[i].settled = true;
			w->claims[i].error = core_text("claim %s/%s is being unprepared, its devices are on their way home: try again",
			                               claim->record.ref.namespace_, claim->record.ref.name);
		}
	}
}

static int prepare_check_reservation(const struct claim_object *o, struct error *e)
{
	if (!o->allocated)
		return error_set(e, -EINVAL, "claim %s/%s is not allocated", o->ref.namespace_, o->ref.name);
	if (o->n_reserved == 0)
		return error_set(e, -EINVAL, "status.reservedFor: claim %s/%s is reserved for no pod", o->ref.namespace_, o->ref.name);
	if (o->n_reserved > 1)
		return error_set(e, -EINVAL, "status.reservedFor: only one pod per claim is supported, got %zu", o->n_reserved);
	if (!o->reserved_for_pod)
		return error_set(e, -EINVAL, "status.reservedFor: only pods are supported");
	return 0;
}

static int prepare_check_device(struct core *c, const struct claim_result *result, struct device **ret, struct error *e)
{
	char why[ERROR_KEPT];
	if (!str_equal(result->pool, c->node))
		return error_set(e, -EINVAL, "device %s: pool \"%s\" is not this node's (\"%s\")", result->device, result->pool, c->node);
	struct device *d = inventory_find(c, result->device);
	if (!d || !d->present)
		return error_set(e, -ENODEV, "device %s: there is no such device on node %s", result->device, c->node);
	if (result->admin_access) {
		*ret = NULL;
		return 0;
	}
	if (d->owner)
		return error_set(e, -EBUSY, "device %s: held by claim %s/%s (uid %s)", result->device,
		                 d->owner->claim->record.ref.namespace_, d->owner->claim->record.ref.name, d->owner->claim->record.ref.uid);
	if (!device_is_whole(&d->facts)) {
		device_unoffered(c, d, why, sizeof(why));
		return error_set(e, -ENODEV, "device %s: %s", result->device, why);
	}
	if (d->uplink)
		return error_set(e, -EPERM, "device %s (%s): carries the node's default route, or stands under it", result->device,
		                 d->facts.ifname);
	*ret = d;
	return 0;
}

/* PFs rule their VFs. Both in one pod would depend on the order in which they are moved; with the PF in a pod that would read and change
 * the settings of another pod's VF, and nobody on the host could be asked for them. */
static int prepare_check_pf(const struct core *c, const struct claim *claim, const struct device *d, struct error *e)
{
	char why[ERROR_KEPT];
	if (device_vfs_used(c, d, true, why, sizeof(why)))
		return error_set(e, -EBUSY, "device %s (%s): %s", d->facts.name, d->facts.ifname, why);
	const struct device *pf = device_held_pf(c, d, why, sizeof(why));
	if (pf && pf->owner->claim == claim)
		return error_set(e, -EINVAL, "device %s (%s): its PF %s (%s) is in the same claim", d->facts.name, d->facts.ifname,
		                 pf->facts.name, pf->facts.ifname);
	return pf ? error_set(e, -EBUSY, "device %s (%s): %s", d->facts.name, d->facts.ifname, why) : 0;
}

static int prepare_device(struct core *c, struct claim *claim, size_t i, const struct claim_object *o, struct error *e)
{
	const struct claim_result *result = &o->results[i];
	struct attachment *a = &claim->attachments[i];
	struct attachment_record *r = a->record;
	STR_COPY(r->request, result->request);
	STR_COPY(r->pool, result->pool);
	STR_COPY(r->share_id, result->share_id);
	STR_COPY(r->device, result->device);
	r->admin_access = result->admin_access;
	struct device *d = NULL;
	int rc = prepare_check_device(c, result, &d, e);
	if (rc < 0 || !d)
		return rc;
	rc = prepare_check_pf(c, claim, d, e);
	if (rc < 0)
		return rc;
	rc = claim_object_config(o, result, &a->config, e);
	if (rc == 0)
		rc = network_config_check_supported(&a->config, e);
	if (rc < 0)
		return error_prefix(e, "device %s", result->device);
	a->device = d;
	d->owner = a;
	c->publish_dirty = true; /* the PF of a VF is not to be had now, nor the VFs of a PF */
	a->place = PLACE_HOST;
	r->state = d->state;
	return 0;
}

/* Two devices of one pod: an empty config name means the host's, so names can be compared only when the plans are there. */
static int prepare_check_pair(const struct claim *claim, size_t i, const struct claim *other, size_t j, struct error *e)
{
	const struct network_config *mine = &claim->record.devices[i].plan->pod, *theirs = &other->record.devices[j].plan->pod;
	const char *device = claim->record.devices[i].device, *other_device = other->record.devices[j].device;
	if (*mine->ifname && str_equal(mine->ifname, theirs->ifname))
		return error_set(e, -EEXIST, "interface.name: \"%s\" is wanted by device %s and by device %s of claim %s in the same pod",
		                 mine->ifname, device, other_device, other->record.ref.name);
	if (*mine->vrf_name && str_equal(mine->vrf_name, theirs->ifname))
		return error_set(e, -EEXIST, "interface.vrf.name: \"%s\" is that of device %s of claim %s in the same pod", mine->vrf_name,
		                 other_device, other->record.ref.name);
	if (*theirs->vrf_name && str_equal(theirs->vrf_name, mine->ifname))
		return error_set(e, -EEXIST, "interface.name: \"%s\" is that of the VRF of device %s of claim %s in the same pod",
		                 mine->ifname, other_device, other->record.ref.name);
	if (*mine->vrf_name && str_equal(mine->vrf_name, theirs->vrf_name) && mine->vrf_table != theirs->vrf_table)
		return error_set(e, -EINVAL,
		                 "interface.vrf.table: %" PRIu32 " for \"%s\" by device %s, and %" PRIu32
		                 " by device %s of claim %s in the same pod",
		                 mine->vrf_table, mine->vrf_name, device, theirs->vrf_table, other_device, other->record.ref.name);
	return 0;
}

static int prepare_check_pod(const struct core *c, const struct claim *claim, struct error *e)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct attach_plan *mine = claim->record.devices[i].plan;
		for (size_t k = 0; mine && k < c->n_claims; k++) {
			const struct claim *other = c->claims[k];
			if (!str_equal(other->record.pod.uid, claim->record.pod.uid) || (other != claim && other->phase < CLAIM_STORING))
				continue;
			for (size_t j = 0; j < other->record.n; j++) {
				const struct attach_plan *theirs = other->record.devices[j].plan;
				int rc = !theirs || theirs == mine ? 0 : prepare_check_pair(claim, i, other, j, e);
				if (rc < 0)
					return rc;
			}
		}
	}
	return 0;
}

static void prepare_write(struct core *c, struct claim *claim)
{
	claim->phase = CLAIM_STORING;
	claim_changed(claim);
	struct effect *f = effect_add(c, EFFECT_STORE, true);
	f->store = &claim->record;
	claim->store_op = f->op;
	claim->storing = claim->version;
}

static void prepare_store(struct core *c, struct claim *claim)
{
	struct error e = {0};
	for (size_t i = 0; i < claim->record.n; i++) {
		struct attachment *a = &claim->attachments[i];
		if (!a->device)
			continue;
		struct error warnings = {0};
		if (attach_plan_new(&a->device->facts, a->host, &a->config, &a->record->plan, &warnings, &e) < 0) {
			error_prefix(&e, "device %s", a->record->device);
			prepare_fail(c, claim, e.text);
			return;
		}
		if (warnings.code) {
			error_prefix(&warnings, "device %s", a->record->device);
			effect_event(c, SUBJECT_CLAIM, claim, "HostStateNotCopied", warnings.text);
		}
		/* What the record says is what will be true once it is on disk. */
		a->record->state = DEVICE_PREPARED;
		claim->record.leasing |= attachment_wants_leases(a);
		STR_COPY(a->record->boot_id, c->boot_id);
	}
	if (prepare_check_pod(c, claim, &e) < 0) {
		prepare_fail(c, claim, e.text);
		return;
	}
	prepare_write(c, claim);
}

static void prepare_snapshot(struct core *c, struct claim *claim)
{
	bool waiting = false;
	claim->phase = CLAIM_SNAPSHOT;
	for (size_t i = 0; i < claim->record.n; i++) {
		struct attachment *a = &claim->attachments[i];
		if (!a->device)
			continue;
		attachment_snapshot(c, a);
		waiting = true;
	}
	if (!waiting)
		prepare_store(c, claim);
}

static int prepare_claim(struct core *c, struct claim *claim, const struct claim_object *o, struct error *e)
{
	if (!str_equal(o->ref.uid, claim->record.ref.uid))
		return error_set(e, -ESTALE, "claim %s/%s was replaced: its uid is %s, the kubelet asked for %s", o->ref.namespace_,
		                 o->ref.name, o->ref.uid, claim->record.ref.uid);
	int rc = prepare_check_reservation(o, e);
	if (rc < 0)
		return rc;
	if (o->n_results > CLAIM_DEVICES_MAX)
		return error_set(e, -E2BIG, "status.allocation.devices.results: %zu entries, at most %d are allowed", o->n_results,
		                 CLAIM_DEVICES_MAX);
	claim->record.pod = o->pod;
	STR_COPY(claim->record.pod_claim_name, o->pod_claim_name);
	claim_release_devices(c, claim);
	claim_set_devices(claim, o->n_results);
	/* All faults at once: the person reading them edits one manifest. */
	for (size_t i = 0; i < o->n_results; i++) {
		struct error one = {0};
		if (prepare_device(c, claim, i, o, &one) < 0)
			error_append(e, one.code, "%s", one.text);
	}
	return e->code;
}

void prepare_claim_read(struct core *c, const struct event *ev)
{
	struct claim *claim = NULL;
	for (size_t i = 0; i < c->n_claims && !claim; i++)
		if (c->claims[i]->phase == CLAIM_READING && c->claims[i]->read_op == ev->claim_read.op)
			claim = c->claims[i];
	struct error e = {0};
	if (claim && claim->unprepare) {
		error_set(&e, -ECANCELED, "claim was unprepared while it was being prepared");
	} else if (claim && ev->claim_read.result < 0) {
		error_set(&e, ev->claim_read.result, "cannot read claim %s/%s: %s", claim->record.ref.namespace_, claim->record.ref.name,
		          ev->claim_read.error ? ev->claim_read.error : "no reason given");
	} else if (claim) {
		prepare_claim(c, claim, ev->claim_read.object, &e);
	}
	if (ev->claim_read.object)
		claim_object_free(ev->claim_read.object);
	if (!claim)
		return;
	claim->read_op = 0;
	if (e.code < 0)
		prepare_fail(c, claim, e.text);
	else
		prepare_snapshot(c, claim);
}

static bool prepare_waits(const struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++)
		if (claim->attachments[i].op)
			return true;
	return false;
}

/* Every device was asked about: why the claim cannot be prepared, or 0. */
static int prepare_verdict(struct claim *claim, const char *what, struct error *e)
{
	if (claim->unprepare)
		error_set(e, -ECANCELED, "claim was unprepared while it was being prepared");
	for (size_t i = 0; i < claim->record.n; i++)
		if (claim->attachments[i].error[0])
			error_append(e, -EIO, "device %s: %s%s", claim->record.devices[i].device, what, claim->attachments[i].error);
	return e->code;
}

static void prepare_snapshotted(struct core *c, struct claim *claim, struct attachment *a, const struct event *ev)
{
	struct error e = {0};
	if (ev->done.result < 0) {
		error_set(&e, ev->done.result, "%s", ev->done.error ? ev->done.error : "unknown reason");
		if (ev->done.result != -EINVAL) /* that names the field of the configuration */
			error_prefix(&e, "cannot read its state");
		STR_CUT(a->error, e.text);
		e = (struct error){0};
	} else if (ev->done.host) {
		a->host = core_alloc(1, sizeof(*a->host));
		*a->host = *ev->done.host;
		*ev->done.host = (struct host_state){0};
	}
	if (prepare_waits(claim))
		return;
	if (prepare_verdict(claim, "", &e) < 0)
		prepare_fail(c, claim, e.text);
	else
		prepare_store(c, claim);
}

static void prepare_leased(struct core *c, struct claim *claim, struct attachment *a, const struct event *ev)
{
	struct error e = {0};
	if (ev->done.result == 0 && ev->done.leases)
		lease_take(a, ev);
	else
		str_cut(a->error, sizeof(a->error), ev->done.error ? ev->done.error : "unknown reason");
	if (a->stirred)
		a->place = PLACE_UNKNOWN;
	c->publish_dirty = true; /* what is on its way stays offered; it is not any more */
	if (prepare_waits(claim))
		return;
	if (prepare_verdict(claim, "no lease: ", &e) < 0) {
		for (size_t i = 0; i < claim->record.n; i++)
			claim->attachments[i].error[0] = 0;
		prepare_fail(c, claim, e.text);
		return;
	}
	claim->record.leasing = false;
	prepare_write(c, claim);
}

bool prepare_done(struct core *c, struct claim *claim, struct attachment *a, const struct event *ev)
{
	if (claim->phase == CLAIM_SNAPSHOT && a->op_type == EFFECT_SNAPSHOT) {
		a->op = 0;
		prepare_snapshotted(c, claim, a, ev);
		return true;
	}
	if (claim->phase == CLAIM_LEASING && a->op_type == EFFECT_LEASE) {
		a->op = 0;
		prepare_leased(c, claim, a, ev);
		return true;
	}
	return false;
}

/* On disk for the first time since it was asked for: from now on a crash brings it back. The device tells, not the record: one of an
 * earlier pod may still have been there, with a status to be told. */
static void prepare_hold(struct core *c, struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		struct attachment *a = &claim->attachments[i];
		if (!a->device || a->device->state >= DEVICE_PREPARED)
			continue;
		device_apply(c, a->device, DEVICE_EVENT_PREPARED, a, 0, 0, NULL);
		if (!attachment_is_shown(a))
			a->place = PLACE_UNKNOWN; /* it left while we were reading */
		if (a->host)
			host_state_free(a->host);
		free(a->host);
		a->host = NULL;
	}
}

void prepare_stored(struct core *c, struct claim *claim, int result, const char *error)
{
	if (result < 0 || claim->unprepare) {
		char *text = result < 0 ? core_text("cannot keep the record of claim %s/%s: %s", claim->record.ref.namespace_,
		                                    claim->record.ref.name, error ? error : "unknown reason")
		                        : core_text("claim was unprepared while it was being prepared");
		if (result < 0 && claim->stored) {
			str_cut(claim->store_error, sizeof(claim->store_error), error ? error : "unknown reason");
			retry_failed(c, &claim->store_retry);
		}
		prepare_fail(c, claim, text);
		free(text);
		return;
	}
	claim->stored = claim->storing;
	claim->status_gone = false;
	claim->status_earlier = claim->status_op;
	claim->status_digest = 0;
	prepare_hold(c, claim);
	claim->phase = claim->record.leasing ? CLAIM_LEASING : CLAIM_READY;
	for (size_t i = 0; claim->record.leasing && i < claim->record.n; i++)
		if (attachment_wants_leases(&claim->attachments[i]))
			lease_start(c, &claim->attachments[i]);
}

void unprepare_request(struct core *c, const struct event *e)
{
	struct waiter *w = waiter_add(c, WAIT_UNPREPARE, e->request.call, e->request.deadline);
	w->claims = core_alloc(e->request.n, sizeof(*w->claims));
	w->n = e->request.n;
	for (size_t i = 0; i < w->n; i++) {
		w->claims[i].ref = e->request.claims[i];
		struct claim *claim = claim_find(c, w->claims[i].ref.uid);
		if (!claim || claim->phase >= CLAIM_UNPREPARED)
			continue;
		claim->unprepare = true;
		claim_set_wish(claim, false, NULL);
		claim_hurry(claim);
	}
}
