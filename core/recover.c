/* SPDX-License-Identifier: Apache-2.0 */
/* After a start: the records say what was wanted and what had been done at the latest; the kernel is asked where the devices really are. */
#include "core/core_internal.h"

static void drop_holdings(struct attachment_record *r)
{
	attach_plan_unref(r->plan);
	leases_unref(r->leases);
	r->plan = NULL;
	r->leases = NULL;
}

static void recover_attachment(struct core *c, struct claim *claim, struct attachment *a)
{
	struct attachment_record *r = a->record;
	struct device *d = r->plan && !r->admin_access ? inventory_get(c, &r->plan->facts) : NULL;
	if (!d || d->owner) {
		/* Two records name one device: the other one was read first and may have moved it. Or a record names none that could be
		 * moved. This one holds nothing. */
		drop_holdings(r);
		r->admin_access = true;
		return;
	}
	a->device = d;
	d->owner = a;
	/* It was attached to an earlier sandbox and on its way to this one: wherever it is, it is not known to be as planned. */
	if (r->state == DEVICE_ATTACHED && !str_equal(r->attached_in, claim->record.sandbox.id))
		r->state = DEVICE_PREPARED;
	/* The namespaces of an earlier boot are dead, and the host's tools have configured the device afresh: nothing is put back. */
	bool stale = attachment_is_stale(c, a);
	if (stale && r->state == DEVICE_ATTACHED)
		r->state = DEVICE_PREPARED;
	d->state = r->state;
	a->place = PLACE_UNKNOWN;
	/* The record named the sandbox before the device went there: from then on it may be there, or half way. */
	if (!stale && *claim->record.sandbox.id) {
		STR_COPY(a->where, claim->record.sandbox.id);
		a->touched = a->restore = true;
	}
	if (claim->record.leasing)
		a->touched = a->restore = !stale;
	if (stale) { /* the times of its leases are of a clock that began anew */
		leases_unref(r->leases);
		r->leases = NULL;
	}
	/* What of them the pod has is not known. */
	a->lease_news = r->leases && r->state == DEVICE_ATTACHED;
	effect_transition(c, a, d, r->state, r->state, "recovered", 0, 0, NULL);
}

/* A sandbox is of this boot if one device's host state is: that is renewed, on disk, before a device goes anywhere. */
static void recover_sandbox(const struct core *c, struct claim *claim)
{
	bool stale = false;
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct attachment *a = &claim->attachments[i];
		if (!a->record->admin_access && !attachment_is_stale(c, a))
			return;
		stale |= !a->record->admin_access;
	}
	if (!stale || (!claim->record.wants_pod && !*claim->record.sandbox.id))
		return;
	claim->record.wants_pod = false;
	claim->record.sandbox = (struct sandbox){0};
	claim->record.netns_inode = 0;
	claim_changed(claim);
}

void recover_record(struct core *c, struct claim_record *record)
{
	if (claim_find(c, record->ref.uid)) {
		claim_record_free(record);
		return;
	}
	struct claim *claim = claim_new(c, &record->ref);
	if (record->unprepared) { /* nothing is held any more, only the status is still to be told */
		for (size_t i = 0; i < record->n; i++)
			drop_holdings(&record->devices[i]);
		record->n = 0;
	}
	struct attachment_record *devices = record->devices;
	size_t n = record->n;
	claim_set_devices(claim, n);
	for (size_t i = 0; i < n; i++)
		claim->record.devices[i] = devices[i];
	struct attachment_record *mine = claim->record.devices;
	claim->record = *record;
	claim->record.devices = mine;
	free(devices);
	*record = (struct claim_record){0};

	claim->phase = claim->record.unprepared ? CLAIM_UNPREPARED : CLAIM_READY;
	/* Prepare was never answered: it begins anew when the kubelet asks again. */
	claim->unprepare = claim->record.leasing;
	claim->version = claim->stored = claim->intent = 1;
	claim->status_dirty = claim->status_told = true; /* an earlier run may have told anything */
	recover_sandbox(c, claim);
	for (size_t i = 0; i < n; i++)
		recover_attachment(c, claim, &claim->attachments[i]);
}

void recover_end(struct core *c)
{
	for (size_t i = 0; i < c->n_claims; i++) {
		const struct claim_record *r = &c->claims[i]->record;
		if (c->claims[i]->phase == CLAIM_READY && *r->sandbox.id && *r->sandbox.netns)
			pin_request(c, &r->sandbox, r->netns_inode);
	}
}
