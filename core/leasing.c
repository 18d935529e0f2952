/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of DHCP servers. They are asked for on the host, at Prepare, so that a container's start does not wait for a server; after the
 * record says so, because a link may have to be brought up for it. They go into the pod with the device, are renewed there, and are given
 * back when the device leaves: a pod that gets another sandbox, or boots again, asks anew. */
#include "core/core_internal.h"

bool attachment_wants_leases(const struct attachment *a)
{
	const struct attach_plan *p = a->record->plan;
	return p && (p->pod.dhcp == 1 || p->pod.dhcp6 == 1);
}

void lease_start(struct core *c, struct attachment *a)
{
	move_start(c, a, EFFECT_LEASE, "");
}

void lease_take(struct attachment *a, const struct event *e)
{
	leases_unref(a->record->leases);
	a->record->leases = leases_ref(e->done.leases);
	claim_changed(a->claim);
	/* The pod is given what is on disk: after a crash it must be known what there is to renew. */
	a->claim->intent = a->claim->version;
}

static void lease_keep(struct core *c, struct attachment *a)
{
	struct effect *f = effect_add(c, EFFECT_LEASE_KEEP, false);
	f->move.plan = attach_plan_ref(a->record->plan);
	f->move.leases = leases_ref(a->record->leases);
	STR_COPY(f->move.sandbox, a->where);
	f->move.claim = a->claim->record.ref;
	a->kept = true;
}

static void lease_apply(struct core *c, struct attachment *a)
{
	struct effect *f = move_start(c, a, EFFECT_LEASE_APPLY, a->where);
	f->move.old = a->had;
	a->had = leases_ref(f->move.leases);
	a->lease_news = false;
}

void lease_tend(struct core *c, struct attachment *a)
{
	if (attachment_wants_leases(a) && !a->kept)
		lease_keep(c, a);
	if (a->lease_news)
		lease_apply(c, a);
}

void lease_drop(struct core *c, struct attachment *a, const char *sandbox)
{
	if (!a->kept && !a->record->leases)
		return;
	struct effect *f = effect_add(c, EFFECT_LEASE_DROP, false);
	f->move.plan = attach_plan_ref(a->record->plan);
	f->move.leases = a->record->leases;
	f->move.release = a->record->leases;
	STR_COPY(f->move.sandbox, sandbox);
	f->move.claim = a->claim->record.ref;
	leases_unref(a->had);
	a->record->leases = a->had = NULL;
	a->kept = a->lease_news = a->lease_failing = false;
	claim_changed(a->claim);
}

void lease_applied(struct core *c, struct attachment *a, const struct event *e)
{
	const char *text = e->done.error && *e->done.error ? e->done.error : "unknown reason";
	if (e->done.result == 0) {
		a->error[0] = 0;
		a->failures = 0;
		a->lease_failing = false;
		if (e->done.pod)
			a->record->pod = *e->done.pod;
		status_read_back(a->claim);
		claim_changed(a->claim);
		return;
	}
	/* Whatever the pod has of them by now: give it all of them again, by and by. */
	leases_unref(a->had);
	a->had = NULL;
	a->lease_news = true;
	move_fail(c, a, text);
	if (!a->lease_failing)
		effect_event(c, SUBJECT_POD, a->claim, "NetworkDeviceLeaseFailed", text);
	a->lease_failing = true;
}

void lease_ended(struct attachment *a)
{
	leases_unref(a->record->leases);
	a->record->leases = NULL;
	claim_changed(a->claim);
}

/* The disk did not take the record that says so, and perhaps never will: the kubelet's answer must not hang on it. */
static bool lease_is_stuck(const struct claim *claim)
{
	return claim->store_error[0] && !claim->store_op && claim->storing >= claim->intent;
}

/* On the host, by whom nothing else is to be done with the device. As with asking, the record says so first where the link is down. */
bool lease_return(struct core *c, struct attachment *a)
{
	struct claim *claim = a->claim;
	if (a->op || !a->record->leases)
		return !a->op;
	if (!a->record->plan->host.up && !claim->record.leasing) {
		claim->record.leasing = true;
		claim_changed(claim);
		claim->intent = claim->version;
	}
	if (claim->record.leasing && claim->stored < claim->intent) {
		if (!lease_is_stuck(claim))
			return false;
		lease_ended(a); /* in its own time */
		return true;
	}
	struct effect *f = move_start(c, a, EFFECT_LEASE_DROP, "");
	f->move.leases = leases_ref(a->record->leases);
	f->move.release = true;
	return false;
}

/* Only now: a start that finds it in the record gives it back once more. */
void lease_returned(struct attachment *a, const struct event *e)
{
	lease_ended(a);
	a->restore = e->done.result < 0 && !a->record->plan->host.up; /* it may have been left up */
	if (a->stirred)
		a->place = PLACE_UNKNOWN;
}

static struct attachment *lease_owner(struct core *c, const struct event *e)
{
	struct claim *claim = claim_find(c, e->lease.claim_uid);
	for (size_t i = 0; claim && claim->phase == CLAIM_READY && i < claim->record.n; i++)
		if (str_equal(claim->record.devices[i].device, e->lease.device) && claim->attachments[i].kept)
			return &claim->attachments[i];
	return NULL;
}

void lease_event(struct core *c, struct event *e)
{
	struct attachment *a = lease_owner(c, e);
	struct leases *news = e->lease.leases;
	e->lease.leases = NULL;
	if (!a || !news) {
		leases_unref(news);
		return;
	}
	const struct leases *was = a->record->leases;
	bool lost = was && ((was->v4.held && !news->v4.held) || (was->v6.held && !news->v6.held));
	if (lost)
		effect_event(c, SUBJECT_POD, a->claim, "NetworkDeviceLeaseLost",
		             "its lease ended and was not renewed: the address is taken away");
	leases_unref(a->record->leases);
	a->record->leases = news;
	a->lease_news = true;
	claim_changed(a->claim);
	a->claim->status_dirty = true;
}
