/* SPDX-License-Identifier: Apache-2.0 */
/* From place to wish, one step at a time. claim_reconcile() looks only at what is, never at how it came to be, so it is right after any
 * event, any failure and any restart. */
#include <stdio.h>

#include "core/core_internal.h"

enum { STATUS_CALM_MS = 500 };

/* ---- the CDI spec file: the door through which containers get in (promise 2) --------------------------------------------------------- */

/* The RDMA device whose character devices the claim's containers get: as it is in the pod, or as it is on the host and stays. */
static const struct rdma_state *token_rdma(const struct attachment_record *r, enum token token)
{
	static const struct rdma_state none;
	if (token == TOKEN_NONE || !r->plan)
		return &none;
	return token == TOKEN_FINAL ? &r->pod.rdma : &r->plan->host.rdma;
}

static void add_nodes(const struct rdma_state *from, struct rdma_node *nodes, size_t *n)
{
	for (size_t i = 0; i < from->n_nodes; i++) {
		bool there = false; /* rdma_cm is one for all devices */
		for (size_t k = 0; k < *n && !there; k++)
			there = str_equal(nodes[k].path, from->nodes[i].path);
		if (!there)
			nodes[(*n)++] = from->nodes[i];
	}
}

static struct rdma_node *token_nodes(const struct claim *claim, enum token token, size_t *ret_n)
{
	struct rdma_node *nodes = core_alloc(claim->record.n * RDMA_NODES_MAX, sizeof(*nodes));
	*ret_n = 0;
	for (size_t i = 0; i < claim->record.n; i++)
		add_nodes(token_rdma(&claim->record.devices[i], token), nodes, ret_n);
	return nodes;
}

static uint64_t token_digest(const struct claim *claim, enum token token)
{
	uint64_t digest = DIGEST_SEED;
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct rdma_state *rdma = token_rdma(&claim->record.devices[i], token);
		for (size_t k = 0; k < rdma->n_nodes; k++) {
			const struct rdma_node *n = &rdma->nodes[k];
			const uint32_t numbers[] = {n->major, n->minor, n->mode, n->uid, n->gid};
			digest = digest_add(digest, n->path, strlen(n->path) + 1);
			digest = digest_add(digest, numbers, sizeof(numbers));
		}
	}
	return digest;
}

static enum token token_wanted(const struct core *c, const struct claim *claim)
{
	if (claim->phase != CLAIM_READY || !claim->record.wants_pod || !claim_has_movable(claim))
		return TOKEN_NONE;
	/* Not before the record says so: after a crash a device that is merely "prepared" would be configured anew, under a container that
	 * runs. */
	if (claim_is_attached(claim) && claim->stored >= claim->attached)
		return TOKEN_FINAL;
	/* The runtime resolves CDI ids before it calls the CreateContainer hook: while the hook is there to hold the container back, let it
	 * come that far. */
	const struct pin *p = pin_find(c, claim->record.sandbox.id);
	if (claim_moves_nodes(claim))
		return TOKEN_NONE;
	if (c->runtime_up && c->can_gate && !c->options.synchronous_hooks && p && p->state == PIN_HELD)
		return TOKEN_PENDING;
	return TOKEN_NONE;
}

static void token_reconcile(struct core *c, struct claim *claim)
{
	enum token wanted = token_wanted(c, claim);
	/* A lease may change what the pod has while its containers run. */
	uint64_t digest = token_digest(claim, wanted), told = wanted == TOKEN_FINAL ? claim->told : 0;
	bool is = claim->token == (int)wanted && claim->token_nodes == digest && claim->token_told == told;
	if (claim->token_op || is || !retry_due(c, claim->token_retry.at))
		return;
	struct effect *f = effect_add(c, EFFECT_TOKEN, true);
	f->token.nodes = token_nodes(claim, wanted, &f->token.n_nodes);
	f->token.claim = claim->record.ref;
	f->token.record = &claim->record;
	f->token.token = wanted;
	f->token.sandbox_pid = claim->record.sandbox.pid;
	f->token.netns_inode = claim->record.netns_inode;
	claim->token_op = f->op;
	claim->token_next = wanted;
	claim->token_nodes_next = digest;
	claim->token_told_next = told;
	claim->token_retry.at = NEVER;
}

static void claim_let_go(struct core *c, struct claim *claim);

/* ---- the record on disk ---------------------------------------------------------------------------------------------------------------
 */

static void store_reconcile(struct core *c, struct claim *claim)
{
	if (claim->phase != CLAIM_READY && claim->phase != CLAIM_UNPREPARED)
		return;
	if (claim->store_op || claim->stored == claim->version || !retry_due(c, claim->store_retry.at))
		return;
	struct effect *f = effect_add(c, EFFECT_STORE, true);
	f->store = &claim->record;
	claim->store_op = f->op;
	claim->storing = claim->version;
	claim->store_retry.at = NEVER;
}

static void store_done(struct core *c, struct claim *claim, const struct event *e)
{
	claim->store_op = 0;
	if (claim->phase == CLAIM_STORING) {
		prepare_stored(c, claim, e->done.result, e->done.error);
		return;
	}
	if (e->done.result < 0) {
		str_cut(claim->store_error, sizeof(claim->store_error), e->done.error ? e->done.error : "unknown reason");
		retry_failed(c, &claim->store_retry);
		return;
	}
	claim->stored = claim->storing;
	claim->store_retry = (struct retry){.at = NEVER};
	if (claim->store_error[0])
		claim_hurry_moves(claim, true); /* they failed for want of this */
	claim->store_error[0] = 0;
	if (claim->phase == CLAIM_UNPREPARED && claim->stored == claim->version)
		claim_let_go(c, claim);
}

/* ---- moves ----------------------------------------------------------------------------------------------------------------------------
 */

struct effect *move_start(struct core *c, struct attachment *a, enum effect_type type, const char *sandbox)
{
	struct effect *f = effect_add(c, type, true);
	f->move.plan = attach_plan_ref(a->record->plan);
	STR_COPY(f->move.sandbox, sandbox);
	f->move.claim = a->claim->record.ref;
	a->op = f->op;
	a->op_type = type;
	a->stirred = a->lost = false;
	a->retry_at = NEVER;
	a->touched |= type != EFFECT_PROBE;
	a->from_pod = a->place != PLACE_HOST;
	/* It is shown as it was at Prepare from now on, and the slices may have what the host did with it since. */
	c->publish_dirty |= type == EFFECT_ATTACH;
	if (type == EFFECT_ATTACH || type == EFFECT_LEASE_APPLY)
		f->move.leases = leases_ref(a->record->leases);
	return f;
}

void move_fail(struct core *c, struct attachment *a, const char *text)
{
	str_cut(a->error, sizeof(a->error), text && *text ? text : "unknown reason");
	a->retry_at = retry_after(c, ++a->failures);
	a->claim->status_dirty = true;
}

enum reach { REACH_HELD, REACH_NOT_YET, REACH_NONE };

/* Whether a sandbox's namespace is in our hands. A namespace that we failed to open, though it may exist, is tried again: looking for a
 * device only on the host would mistake "in there" for "gone". */
static enum reach reach(struct core *c, struct attachment *a, const char *sandbox)
{
	const struct pin *p = pin_find(c, sandbox);
	if (!p || (p->state == PIN_FAILED && p->dead))
		return REACH_NONE;
	if (p->state == PIN_HELD)
		return REACH_HELD;
	if (p->state == PIN_FAILED && p->retry_at <= c->now)
		pin_request(c, &p->sandbox, p->expected);
	else if (p->state == PIN_FAILED)
		move_fail(c, a, p->error);
	return REACH_NOT_YET;
}

/* After a reboot: what is restored after this attach is what the host has now, as late as can be, for its tools may still be at work. */
static void renew_start(struct core *c, struct attachment *a)
{
	if (!attachment_is_shown(a)) {
		move_fail(c, a, "the host's namespace does not show the device");
		return;
	}
	attachment_snapshot(c, a);
	a->stirred = a->lost = false;
	a->retry_at = NEVER;
}

static void renewed(struct core *c, struct attachment *a, const struct event *e)
{
	struct attach_plan *plan = NULL;
	struct error error = {0};
	if (e->done.result < 0 || !e->done.host)
		error_set(&error, -EIO, "cannot read the device's state: %s", e->done.error ? e->done.error : "unknown reason");
	else
		attach_plan_renew(a->record->plan, &a->device->facts, e->done.host, &plan, &error);
	if (a->stirred)
		a->place = PLACE_UNKNOWN;
	if (!plan) {
		move_fail(c, a, error.text);
		return;
	}
	attach_plan_unref(a->record->plan);
	a->record->plan = plan;
	STR_COPY(a->record->boot_id, c->boot_id);
	claim_changed(a->claim);
	a->claim->intent = a->claim->version;
}

/* Leases for another sandbox than the first. */
static void leased(struct core *c, struct attachment *a, const struct event *e)
{
	if (e->done.result == 0 && e->done.leases) {
		a->error[0] = 0;
		a->failures = 0;
		lease_take(a, e);
	} else {
		/* The link may have been left up, or have vanished meanwhile. */
		move_fail(c, a, e->done.error);
		a->restore = true;
	}
	if (a->stirred)
		a->place = PLACE_UNKNOWN;
}

static void attach_try(struct core *c, struct attachment *a)
{
	struct claim *claim = a->claim;
	const struct pin *p = pin_find(c, claim->record.sandbox.id);
	if (!p) {
		pin_request(c, &claim->record.sandbox, 0);
		return;
	}
	switch (reach(c, a, p->sandbox.id)) {
	case REACH_HELD:
		break;
	case REACH_NOT_YET:
		return;
	case REACH_NONE: {
		char text[ERROR_TEXT_MAX + PATH_SIZE];
		(void)snprintf(text, sizeof(text), "the pod's network namespace %s cannot be opened: %s", claim->record.sandbox.netns,
		               p->error);
		move_fail(c, a, text);
		return;
	}
	}
	/* The device may have become an uplink since Prepare: promise 7 goes before promise 2. */
	if (a->device->uplink && a->place == PLACE_HOST) {
		move_fail(c, a, "the device carries the node's default route now, or stands under it");
		return;
	}
	char why[ERROR_KEPT];
	if (a->place == PLACE_HOST && device_vfs_used(c, a->device, false, why, sizeof(why))) {
		move_fail(c, a, why);
		return;
	}
	if (attachment_is_stale(c, a)) {
		renew_start(c, a);
		return;
	}
	/* The record must say where the device is going before it goes (promise 5). */
	if (claim->stored < claim->intent) {
		if (claim->store_error[0])
			move_fail(c, a, claim->store_error);
		return;
	}
	if (a->place == PLACE_HOST && attachment_wants_leases(a) && !a->record->leases) {
		lease_start(c, a);
		return;
	}
	STR_COPY(a->where, p->sandbox.id);
	move_start(c, a, EFFECT_ATTACH, p->sandbox.id);
}

static void attachment_gone(struct core *c, struct attachment *a)
{
	if (a->record->state == DEVICE_ATTACHED) {
		device_apply(c, a->device, DEVICE_EVENT_RELEASED, a, 0, 0, "it does not exist any more");
		claim_changed(a->claim);
		a->claim->intent = a->claim->version;
		a->claim->status_dirty = true;
	}
	lease_drop(c, a, "");
	a->where[0] = 0;
	a->restore = a->stranded = false;
	if (!a->claim->record.wants_pod)
		return;
	const char *text = attachment_is_shown(a) ? "the device that was prepared does not exist any more, another one bears its name"
	                                          : "the device does not exist any more";
	if (!str_equal(a->error, text)) {
		str_cut(a->error, sizeof(a->error), text);
		a->claim->status_dirty = true;
	}
	/* No other device is ever attached in its stead: the scheduler chose this one. Should it come back (the mover knows it by its PCI
	 * address or permanent MAC), the pod that still wants it gets it again. */
	if (!a->gone_told)
		effect_event(c, SUBJECT_CLAIM, a->claim, "NetworkDeviceGone", text);
	a->gone_told = true;
}

static void attachment_reconcile(struct core *c, struct attachment *a)
{
	const struct claim *claim = a->claim;
	if (a->record->admin_access || a->op || !retry_due(c, a->retry_at) || !c->inventory_known)
		return;
	if (a->place == PLACE_UNKNOWN) {
		enum reach r = *a->where ? reach(c, a, a->where) : REACH_NONE;
		if (r != REACH_NOT_YET)
			move_start(c, a, EFFECT_PROBE, r == REACH_HELD ? a->where : "");
		return;
	}
	if (a->place == PLACE_GONE) {
		attachment_gone(c, a);
		return;
	}
	bool there = a->place == PLACE_POD && str_equal(a->where, claim->record.sandbox.id);
	if (claim->record.wants_pod && there && a->record->state == DEVICE_ATTACHED) {
		bool keep = attachment_wants_leases(a) && !a->kept;
		if ((keep || a->lease_news) && reach(c, a, a->where) == REACH_HELD)
			lease_tend(c, a);
		return;
	}
	if (claim->record.wants_pod && (there || (a->place == PLACE_HOST && !a->restore && a->record->state != DEVICE_ATTACHED))) {
		attach_try(c, a);
		return;
	}
	if (a->place == PLACE_HOST && !a->restore && a->record->state != DEVICE_ATTACHED)
		return;
	/* On its way home, or to another sandbox by way of home. First shut the door; it may just be opening. */
	if (claim->token_op || claim->token == TOKEN_FINAL || claim->token == TOKEN_UNSURE)
		return;
	enum reach r = a->place == PLACE_POD ? reach(c, a, a->where) : REACH_NONE;
	if (r == REACH_NOT_YET)
		return;
	/* While it can still be told to the server from where the lease is used. */
	lease_drop(c, a, r == REACH_HELD ? a->where : "");
	move_start(c, a, EFFECT_DETACH, r == REACH_HELD ? a->where : "");
}

static void attached(struct core *c, struct attachment *a, const struct event *e)
{
	a->record->pod = *e->done.pod;
	status_read_back(a->claim);
	STR_COPY(a->record->attached_in, a->where);
	leases_unref(a->had);
	a->had = leases_ref(a->record->leases);
	a->error[0] = a->warning[0] = 0;
	a->failures = 0;
	a->restore = a->stranded = false;
	device_apply(c, a->device, DEVICE_EVENT_ATTACHED, a, e->done.duration_ms, 0, NULL);
	claim_changed(a->claim);
	a->claim->attached = a->claim->version;
}

static void released(struct core *c, struct attachment *a, const struct event *e)
{
	struct claim *claim = a->claim;
	/* Unprepare follows a stop within a moment, as a rule, and takes the entries away: one write instead of two. */
	if (claim->status_retry.at == NEVER && !claim->unprepare)
		claim->status_retry.at = c->now + STATUS_CALM_MS;
	a->error[0] = 0;
	/* Undone at last: the attach that failed is tried again, no sooner than its failures allow. */
	if (!a->stranded || !claim->record.wants_pod)
		a->failures = 0;
	a->restore = a->stranded = false;
	a->where[0] = 0;
	a->record->pod = (struct pod_state){0};
	a->record->attached_in[0] = 0;
	bool shown = attachment_is_shown(a);
	if (e->done.place == PLACE_HOST && !shown && a->stirred) {
		a->place = PLACE_UNKNOWN; /* it may have been pulled since */
	} else if (e->done.place == PLACE_HOST && !shown) {
		/* The monitor tells it in a moment; the next claim may be faster. */
		device_expect(c, a->device, &a->record->plan->facts);
	}
	const char *message = e->done.place == PLACE_GONE ? "it does not exist any more" : e->done.differences;
	device_apply(c, a->device, DEVICE_EVENT_RELEASED, a, e->done.duration_ms, 0, message);
	/* It is home, and it is published again; people are told by name what is not as it was. */
	str_cut(a->warning, sizeof(a->warning), message ? message : "");
	if (a->warning[0] && e->done.place == PLACE_HOST)
		effect_event(c, SUBJECT_CLAIM, a->claim, "NetworkDeviceNotRestored", message);
	if (e->done.place == PLACE_GONE && !a->gone_told) {
		effect_event(c, SUBJECT_CLAIM, a->claim, "NetworkDeviceGone", message);
		a->gone_told = true;
	}
	claim_changed(claim);
	/* Should it go into the same sandbox again, the record must not say that it is there: after a crash in the middle it would be
	 * taken for configured. */
	claim->intent = claim->version;
}

static void move_failed(struct core *c, struct attachment *a, const struct event *e)
{
	bool attach = a->op_type == EFFECT_ATTACH;
	const char *text = e->done.error && *e->done.error ? e->done.error : "unknown reason";
	move_fail(c, a, text);
	if (a->op_type == EFFECT_PROBE)
		return;
	/* Only the mover can tell: the times of a lease are of a clock that core does not have. */
	if (attach && e->done.result == -ESTALE && a->place == PLACE_HOST)
		lease_ended(a);
	/* Mid-way: what is on the host may not be as it was. Nor is it if somebody put it there before our attach looked, and changed
	 * nothing. */
	bool changed = a->place == PLACE_UNKNOWN || (e->done.differences && *e->done.differences);
	a->restore = a->place != PLACE_POD && (!attach || a->place != PLACE_HOST || changed || a->from_pod);
	/* A device whose undo did not succeed is still attached as far as promise 3 goes: it must be brought home, not forgotten. */
	if (a->record->state != DEVICE_ATTACHED || !attach)
		device_apply(c, a->device, attach ? DEVICE_EVENT_ATTACH_FAILED : DEVICE_EVENT_RELEASE_FAILED, a, e->done.duration_ms,
		             e->done.result, text);
	if (attach && (a->place == PLACE_POD || changed)) {
		if (!a->stranded)
			effect_event(c, SUBJECT_CLAIM, a->claim, "NetworkDeviceUndoFailed", text);
		a->stranded = true;
		str_cut(a->warning, sizeof(a->warning), text);
	}
	if (a->failures == 1)
		effect_event(c, SUBJECT_POD, a->claim,
		             !attach        ? "NetworkDeviceDetachFailed"
		             : e->done.rdma ? "RDMADeviceAttachFailed"
		                            : "NetworkDeviceAttachFailed",
		             text);
}

void move_done(struct core *c, struct attachment *a, const struct event *e)
{
	a->op = 0;
	a->claim->status_dirty = true;
	if (a->op_type == EFFECT_SNAPSHOT) {
		renewed(c, a, e);
		return;
	}
	if (a->op_type == EFFECT_LEASE) {
		leased(c, a, e);
		return;
	}
	if (a->op_type == EFFECT_LEASE_DROP) {
		lease_returned(a, e);
		return;
	}
	a->place = e->done.place;
	a->gone_told &= a->place == PLACE_GONE;
	c->publish_dirty = true;
	bool incomplete = a->op_type == EFFECT_ATTACH && (a->place != PLACE_POD || !e->done.pod);
	if (a->op_type == EFFECT_LEASE_APPLY) {
		lease_applied(c, a, e);
	} else if (e->done.result < 0 || incomplete) {
		move_failed(c, a, e);
	} else if (a->op_type == EFFECT_ATTACH) {
		attached(c, a, e);
	} else if (a->op_type == EFFECT_DETACH) {
		released(c, a, e);
	} else if (a->op_type == EFFECT_PROBE) {
		a->error[0] = 0;
		a->failures = 0;
		if (a->place == PLACE_POD && e->done.pod) {
			a->record->pod = *e->done.pod;
			status_read_back(a->claim);
		}
	}
	/* It was pulled, and perhaps even plugged in again, or came to the host, while the worker had its result already: look. Of what
	 * stays on the host while a pod has it only the host's monitor tells. */
	bool shown = attachment_is_shown(a), stays = a->place == PLACE_POD && !attachment_is_away(a);
	if (a->stirred && (stays ? !shown : attachment_is_away(a) && shown))
		attachment_doubt(a);
	else if (a->place == PLACE_POD && a->lost)
		attachment_doubt_calmly(c, a);
}

/* ---- the claim as a whole ---------------------------------------------------------------------------------------------------------------
 */

static void claim_finish_unprepare(struct core *c, struct claim *claim)
{
	if (!claim->unprepare || claim->phase != CLAIM_READY || !claim_is_home(claim) || claim->token != TOKEN_NONE || claim->token_op)
		return;
	bool returned = true;
	for (size_t i = 0; i < claim->record.n; i++)
		returned &= lease_return(c, &claim->attachments[i]);
	if (!returned)
		return;
	claim->phase = CLAIM_UNPREPARED;
	claim->record.unprepared = true;
	claim_changed(claim);
	claim->status_dirty = true;
	claim->status_retry.at = NEVER;
}

/* Only when a crash cannot bring the claim back may another one have its devices: two records must never name one device. */
static void claim_let_go(struct core *c, struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		struct attachment *a = &claim->attachments[i];
		if (a->device && a->device->state >= DEVICE_PREPARED)
			device_apply(c, a->device, DEVICE_EVENT_UNPREPARED, a, 0, 0, NULL);
	}
	claim_release_devices(c, claim);
}

static void claim_finish_forget(struct core *c, struct claim *claim)
{
	if (claim->phase != CLAIM_UNPREPARED || claim->store_op || claim->status_op || !retry_due(c, claim->store_retry.at))
		return;
	/* Still something to tell, and the record of that debt can be kept: wait. A disk that takes no more writes still removes files, and
	 * the kubelet's answer must not hang on it. */
	if (claim->status_dirty && !claim->store_error[0])
		return;
	struct effect *f = effect_add(c, EFFECT_FORGET, true);
	f->forget = claim->record.ref;
	claim->forget_op = f->op;
	claim->phase = CLAIM_FORGETTING;
}

void claim_reconcile(struct core *c, struct claim *claim)
{
	if (claim->phase < CLAIM_READY)
		return;
	if (claim->phase == CLAIM_READY) {
		token_reconcile(c, claim);
		for (size_t i = 0; i < claim->record.n; i++)
			attachment_reconcile(c, &claim->attachments[i]);
		claim_finish_unprepare(c, claim);
	}
	status_reconcile(c, claim);
	claim_finish_forget(c, claim);
	store_reconcile(c, claim);
}

static void token_done(struct core *c, struct claim *claim, const struct event *e)
{
	claim->token_op = 0;
	if (e->done.result < 0) {
		claim->token = TOKEN_UNSURE;
		retry_failed(c, &claim->token_retry);
		return;
	}
	claim->token = claim->token_next;
	claim->token_nodes = claim->token_nodes_next;
	claim->token_told = claim->token_told_next;
	claim->token_retry = (struct retry){.at = NEVER};
}

static void forget_done(struct core *c, struct claim *claim, const struct event *e)
{
	claim->forget_op = 0;
	if (e->done.result < 0 && e->done.result != -ENOENT) {
		claim->phase = CLAIM_UNPREPARED;
		str_cut(claim->store_error, sizeof(claim->store_error), e->done.error ? e->done.error : "unknown reason");
		retry_failed(c, &claim->store_retry);
		return;
	}
	claim_let_go(c, claim);
	if (!claim->status_dirty) {
		claim_remove(c, claim);
		return;
	}
	/* The disk did not take the debt: at least remember it. */
	claim->phase = CLAIM_UNPREPARED;
	claim->stored = claim->version;
	claim->store_retry = (struct retry){.at = NEVER};
	claim->store_error[0] = 0;
}

bool claim_done(struct core *c, const struct event *e)
{
	uint64_t op = e->done.op;
	for (size_t i = 0; op && i < c->n_claims; i++) {
		struct claim *claim = c->claims[i];
		if (claim->store_op == op)
			store_done(c, claim, e);
		else if (claim->forget_op == op)
			forget_done(c, claim, e);
		else if (claim->token_op == op)
			token_done(c, claim, e);
		else if (claim->status_op == op)
			status_done(c, claim, e);
		else
			continue;
		return true;
	}
	return false;
}
