/* SPDX-License-Identifier: Apache-2.0 */
/* Callers that wait. Whether one can be answered is asked of the claims after every event, so no path through the state machine can forget
 * to answer; the deadline answers where nothing else does (promise 4). */
#include <stdio.h>

#include "core/base/cleanup.h"
#include "core/core_internal.h"

struct waiter *waiter_add(struct core *c, enum waiter_kind kind, uint64_t call, uint64_t deadline)
{
	struct waiter *w = core_alloc(1, sizeof(*w));
	w->kind = kind;
	w->call = call;
	w->deadline = deadline;
	if (deadline != NEVER && deadline > c->now) {
		/* Early enough to arrive, and not so early that a short deadline leaves no time to work. */
		uint64_t margin = (deadline - c->now) / 4;
		w->deadline = deadline - (margin < c->options.hook_margin_ms ? margin : c->options.hook_margin_ms);
	}
	LIST_ADD(c->waiters, c->n_waiters, w);
	return w;
}

void waiter_free(struct waiter *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->claims[i].error);
	free(w->claims);
	free(w);
}

void waiters_settle(struct core *c, const char *uid, const char *error)
{
	for (size_t i = 0; i < c->n_waiters; i++) {
		struct waiter *w = c->waiters[i];
		for (size_t k = 0; w->kind == WAIT_PREPARE && k < w->n; k++) {
			if (w->claims[k].settled || !str_equal(w->claims[k].ref.uid, uid))
				continue;
			w->claims[k].settled = true;
			w->claims[k].error = core_text("%s", error);
		}
	}
}

void hook_reply(struct core *c, uint64_t call, const char *error)
{
	struct effect *f = effect_add(c, EFFECT_REPLY_HOOK, false);
	f->reply_hook.call = call;
	f->reply_hook.error = error ? core_text("%s", error) : NULL;
}

void waiters_drop_hooks(struct core *c)
{
	for (size_t i = 0; i < c->n_waiters;) {
		struct waiter *w = c->waiters[i];
		if (w->kind == WAIT_PREPARE || w->kind == WAIT_UNPREPARE) {
			i++;
			continue;
		}
		hook_reply(c, w->call, "the connection to the runtime ended");
		LIST_REMOVE(c->waiters, c->n_waiters, i);
		waiter_free(w);
	}
}

/* ---- kubelet ----------------------------------------------------------------------------------------------------------------------------
 */

static void answer_devices(const struct core *c, const struct claim *claim, struct claim_answer *a)
{
	struct prepared_device *devices = core_alloc(claim->record.n, sizeof(*devices));
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct attachment_record *r = &claim->record.devices[i];
		char *request = core_text("%s", r->request);
		request[strcspn(request, "/")] = 0; /* "req/sub" of a prioritised list is answered as "req" (protocols §1.5) */
		devices[i].request = request;
		devices[i].pool = core_text("%s", r->pool);
		devices[i].device = core_text("%s", r->device);
		devices[i].share_id = core_text("%s", r->share_id);
	}
	a->devices = devices;
	a->n_devices = claim->record.n;
	if (claim_has_movable(claim))
		a->cdi_id = core_text("%s/claim=%s", c->driver, claim->record.ref.uid);
}

static bool prepare_settled(const struct core *c, struct waiter_claim *w, bool late)
{
	if (w->settled)
		return true;
	const struct claim *claim = claim_find(c, w->ref.uid);
	if (claim && claim->phase == CLAIM_READY) {
		w->settled = true;
	} else if (late || !claim) {
		w->settled = true;
		w->error = core_text("claim %s/%s is still being prepared: try again", w->ref.namespace_, w->ref.name);
	}
	return w->settled;
}

static bool unprepare_settled(const struct core *c, struct waiter_claim *w, bool late)
{
	if (w->settled)
		return true;
	const struct claim *claim = claim_find(c, w->ref.uid);
	/* The kubelet will not ask again after success: the answer waits until a crash cannot bring the claim back. */
	if (!claim || (claim->phase == CLAIM_UNPREPARED && claim->stored == claim->version)) {
		w->settled = true;
		return true;
	}
	const struct attachment *failing = claim_failing(claim);
	if (failing && failing->place != PLACE_GONE) {
		w->settled = true;
		w->error = core_text("device %s is not home yet: %s", failing->record->device, failing->error);
	} else if (claim->store_error[0]) {
		w->settled = true;
		w->error = core_text("the record of claim %s/%s cannot be removed: %s", w->ref.namespace_, w->ref.name, claim->store_error);
	} else if (late) {
		w->settled = true;
		w->error = core_text("the devices of claim %s/%s are still on their way home: try again", w->ref.namespace_, w->ref.name);
	}
	return w->settled;
}

static bool request_answered(struct core *c, struct waiter *w, bool late)
{
	bool prepare = w->kind == WAIT_PREPARE, all = true;
	for (size_t i = 0; i < w->n; i++)
		all &= prepare ? prepare_settled(c, &w->claims[i], late) : unprepare_settled(c, &w->claims[i], late);
	if (!all)
		return false;
	struct claim_answer *answers = core_alloc(w->n, sizeof(*answers));
	for (size_t i = 0; i < w->n; i++) {
		answers[i].uid = core_text("%s", w->claims[i].ref.uid);
		answers[i].error = TAKE_PTR(w->claims[i].error);
		if (prepare && !answers[i].error)
			answer_devices(c, claim_find(c, w->claims[i].ref.uid), &answers[i]);
	}
	struct effect *f = effect_add(c, prepare ? EFFECT_REPLY_PREPARE : EFFECT_REPLY_UNPREPARE, false);
	f->reply.call = w->call;
	f->reply.answers = answers;
	f->reply.n = w->n;
	return true;
}

/* ---- runtime ----------------------------------------------------------------------------------------------------------------------------
 */

/* 1 = reply success, -1 = reply `error`, 0 = wait */
static int run_settled(const struct core *c, const struct claim *claim, const struct waiter *w, char *error, size_t size)
{
	const struct pin *p = pin_find(c, w->sandbox);
	if (p && p->state == PIN_FAILED) {
		(void)snprintf(error, size, "claim %s/%s: the pod's network namespace cannot be opened: %s", claim->record.ref.namespace_,
		               claim->record.ref.name, p->error);
		return -1;
	}
	/* The runtime holds a lock for all pods while it waits: what failed is tried again when the kubelet asks again, not before. */
	if (!claim->token_op && claim->token == TOKEN_UNSURE && claim->token_retry.failures) {
		(void)snprintf(error, size, "claim %s/%s: its CDI spec file cannot be written", claim->record.ref.namespace_,
		               claim->record.ref.name);
		return -1;
	}
	return p && p->state == PIN_HELD && !claim->token_op && (claim->token == TOKEN_PENDING || claim->token == TOKEN_FINAL) ? 1 : 0;
}

/* A container that was made without it would not know. */
static bool lacks_rdma(const struct claim *claim, char *error, size_t size)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct attachment_record *r = &claim->record.devices[i];
		if (!attachment_lacks_rdma(&claim->attachments[i]))
			continue;
		(void)snprintf(error, size, "claim %s/%s: the RDMA device %s of device %s is not in the pod any more",
		               claim->record.ref.namespace_, claim->record.ref.name, r->plan->host.rdma.name, r->device);
		return true;
	}
	return false;
}

static int create_settled(const struct claim *claim, char *error, size_t size)
{
	/* Not before the marker is there: the container was created on the strength of a pending spec and mounts it. */
	if (claim_is_attached(claim) && (!claim_has_movable(claim) || (claim->token == TOKEN_FINAL && !claim->token_op)))
		return lacks_rdma(claim, error, size) ? -1 : 1;
	const struct attachment *failing = claim_failing(claim);
	if (!failing && claim->store_error[0]) {
		(void)snprintf(error, size, "the record of claim %s/%s cannot be written: %s", claim->record.ref.namespace_,
		               claim->record.ref.name, claim->store_error);
		return -1;
	}
	if (!failing)
		return 0;
	(void)snprintf(error, size, "claim %s/%s: device %s is not in the pod: %s", claim->record.ref.namespace_, claim->record.ref.name,
	               failing->record->device, failing->error);
	return -1;
}

/* A stop need not wait for the moves: the namespace cannot die while it is pinned. Where we could not pin it (yet), waiting is what keeps
 * it alive. */
static int stop_settled(const struct core *c, const struct claim *claim, const struct waiter *w)
{
	const struct pin *p = pin_find(c, w->sandbox);
	if (p && ((p->state == PIN_HELD && !c->options.synchronous_hooks) || (p->state == PIN_FAILED && p->dead)))
		return 1;
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct attachment *a = &claim->attachments[i];
		bool there = a->op || a->place == PLACE_POD || a->place == PLACE_UNKNOWN;
		if (str_equal(a->where, w->sandbox) && there && (p || !a->error[0]))
			return 0;
	}
	return 1;
}

static bool hook_concerns(const struct claim *claim, const struct waiter *w)
{
	if (claim->phase != CLAIM_READY)
		return false;
	if (w->kind == WAIT_STOP)
		return true;
	return str_equal(claim->record.pod.uid, w->pod_uid) && claim->record.wants_pod && str_equal(claim->record.sandbox.id, w->sandbox);
}

/* A file that is just being written may give the old or the new ones: that is like neither. */
uint64_t waiter_nodes(const struct core *c, const struct waiter *w)
{
	uint64_t digest = DIGEST_SEED;
	for (size_t i = 0; i < c->n_claims; i++) {
		const struct claim *claim = c->claims[i];
		if (!hook_concerns(claim, w))
			continue;
		digest = digest_add(digest, &claim->token_nodes, sizeof(claim->token_nodes));
		if (claim->token_op && claim->token_nodes_next != claim->token_nodes)
			digest = digest_add(digest, &claim->token_nodes_next, sizeof(claim->token_nodes_next));
	}
	return digest;
}

static bool pin_is_held(const struct core *c, const char *sandbox)
{
	const struct pin *p = pin_find(c, sandbox);
	return p && p->state == PIN_HELD;
}

static bool hook_answered(struct core *c, const struct waiter *w, bool late)
{
	char error[ERROR_TEXT_MAX] = "";
	int all = 1;
	for (size_t i = 0; i < c->n_claims && all >= 0; i++) {
		const struct claim *claim = c->claims[i];
		if (!hook_concerns(claim, w))
			continue;
		int one = w->kind == WAIT_RUN      ? run_settled(c, claim, w, error, sizeof(error))
		          : w->kind == WAIT_CREATE ? create_settled(claim, error, sizeof(error))
		                                   : stop_settled(c, claim, w);
		if (one <= 0)
			all = one;
	}
	if (all == 0 && !late)
		return false;
	/* A driver that was bound again, or an attach that was done again, makes them under other numbers: the container has the old. */
	if (all > 0 && w->kind == WAIT_CREATE && !w->run && waiter_nodes(c, w) != w->nodes)
		(void)snprintf(error, sizeof(error), "the pod's character devices were made anew meanwhile: try again");
	/* A stop that is late is no failure: the work goes on, and Unprepare waits for it. Nor is a sandbox: until its devices are there
	 * the CDI file lets no container in, and taking it down would begin the same work anew, never to be done in the time of one hook.
	 */
	if (all == 0 && w->kind != WAIT_STOP && !(w->run && pin_is_held(c, w->sandbox)))
		(void)snprintf(error, sizeof(error), "the pod's devices are still on their way into it: try again");
	hook_reply(c, w->call, *error ? error : NULL);
	if (*error && w->run)
		sandbox_refused(c, w->sandbox);
	return true;
}

void waiters_check(struct core *c)
{
	for (size_t i = 0; i < c->n_waiters;) {
		struct waiter *w = c->waiters[i];
		bool late = w->deadline != NEVER && w->deadline <= c->now;
		bool request = w->kind == WAIT_PREPARE || w->kind == WAIT_UNPREPARE;
		if (request ? !request_answered(c, w, late) : !hook_answered(c, w, late)) {
			i++;
			continue;
		}
		LIST_REMOVE(c->waiters, c->n_waiters, i);
		waiter_free(w);
	}
}
