/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxes: the runtime's hooks, its list after a reconnect, and the network namespaces held while a device is in one.
 *
 * Hooks are matched by sandbox id, never by pod alone: the runtime stops old sandboxes of a pod that already lives in a new one, and the
 * stop of the old must not touch the new (dranet-behaviour §13 #4). */
#include "core/core_internal.h"

struct pin *pin_find(const struct core *c, const char *id)
{
	for (size_t i = 0; *id && i < c->n_pins; i++)
		if (str_equal(c->pins[i]->sandbox.id, id))
			return c->pins[i];
	return NULL;
}

void pin_request(struct core *c, const struct sandbox *s, uint64_t expected_inode)
{
	struct pin *p = pin_find(c, s->id);
	if (p && p->state != PIN_FAILED)
		return;
	if (!p) {
		p = core_alloc(1, sizeof(*p));
		p->sandbox = *s;
		LIST_ADD(c->pins, c->n_pins, p);
	}
	p->state = PIN_OPENING;
	p->expected = expected_inode;
	struct effect *f = effect_add(c, EFFECT_PIN, true);
	f->pin = p->sandbox;
	p->op = f->op;
}

bool pin_done(struct core *c, const struct event *e)
{
	for (size_t i = 0; i < c->n_pins; i++) {
		struct pin *p = c->pins[i];
		if (p->state != PIN_OPENING || p->op != e->done.op)
			continue;
		p->inode = e->done.netns_inode;
		if (e->done.result < 0) {
			p->state = PIN_FAILED;
			p->retry_at = c->now + c->options.retry_min_ms;
			/* No file, or a file that is no namespace any more: the runtime has taken it down. Anything else is our trouble and
			 * may pass. */
			p->dead = e->done.result == -ENOENT || e->done.result == -EINVAL;
			str_cut(p->error, sizeof(p->error), e->done.error ? e->done.error : "unknown reason");
			return true;
		}
		p->state = PIN_HELD;
		if (p->expected && p->expected != p->inode) {
			p->state = PIN_FAILED;
			p->dead = true;
			str_cut(p->error, sizeof(p->error), "another network namespace has taken the place of the pod's");
			STR_COPY(effect_add(c, EFFECT_UNPIN, false)->unpin, p->sandbox.id);
			return true;
		}
		for (size_t k = 0; k < c->n_claims; k++) {
			struct claim_record *r = &c->claims[k]->record;
			if (str_equal(r->sandbox.id, p->sandbox.id) && r->netns_inode != p->inode) {
				r->netns_inode = p->inode;
				claim_changed(c->claims[k]);
			}
		}
		return true;
	}
	return false;
}

static bool pin_used(const struct core *c, const struct pin *p)
{
	if (p->state == PIN_OPENING)
		return true;
	for (size_t i = 0; i < c->n_claims; i++) {
		const struct claim *claim = c->claims[i];
		/* As long as a pending CDI file lets containers in as far as the hook, the hook must be able to do its work. */
		bool lets_in = claim->token_op || claim->token == TOKEN_PENDING;
		if ((claim->record.wants_pod || lets_in) && str_equal(claim->record.sandbox.id, p->sandbox.id))
			return true;
		for (size_t k = 0; k < claim->record.n; k++) {
			const struct attachment *a = &claim->attachments[k];
			if (str_equal(a->where, p->sandbox.id) && (a->op || a->place == PLACE_POD || a->place == PLACE_UNKNOWN))
				return true;
		}
	}
	return false;
}

void pins_drop_unused(struct core *c)
{
	for (size_t i = 0; i < c->n_pins;) {
		struct pin *p = c->pins[i];
		if (pin_used(c, p)) {
			i++;
			continue;
		}
		if (p->state == PIN_HELD)
			STR_COPY(effect_add(c, EFFECT_UNPIN, false)->unpin, p->sandbox.id);
		LIST_REMOVE(c->pins, c->n_pins, i);
		free(p);
	}
}

static bool claim_of_pod(const struct claim *claim, const char *pod_uid)
{
	return claim->phase <= CLAIM_READY && !claim->unprepare && *pod_uid && str_equal(claim->record.pod.uid, pod_uid);
}

/* Whether the runtime may go on while the devices are on their way. The containers' specs are made from the CDI file as it is then. */
static bool overlapped(const struct core *c, const char *pod_uid)
{
	for (size_t i = 0; i < c->n_claims; i++)
		if (claim_of_pod(c->claims[i], pod_uid) && claim_moves_nodes(c->claims[i]))
			return false;
	return c->can_gate && !c->options.synchronous_hooks;
}

/* Nobody tells when one that was missing in the pod is there again. */
static void look_for_rdma(const struct core *c, struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++)
		if (!claim->attachments[i].op && attachment_lacks_rdma(&claim->attachments[i]))
			attachment_doubt_calmly(c, &claim->attachments[i]);
}

/* The devices of the pod's claims belong into this sandbox from now on. */
static int sandbox_adopt(struct core *c, const struct sandbox *s, struct error *e)
{
	for (size_t i = 0; i < c->n_claims; i++) {
		struct claim *claim = c->claims[i];
		if (!claim_of_pod(claim, s->pod.uid) || !claim_has_movable(claim))
			continue;
		if (claim->phase < CLAIM_READY)
			return error_set(e, -EAGAIN, "claim %s/%s is not prepared yet", claim->record.ref.namespace_,
			                 claim->record.ref.name);
		if (!*s->netns)
			return error_set(e, -EINVAL,
			                 "pod %s/%s uses the host's network, or the runtime named no network namespace: its claim %s "
			                 "cannot get its devices",
			                 s->pod.namespace_, s->pod.name, claim->record.ref.name);
		claim_set_wish(claim, true, s);
		claim_hurry(claim);
		look_for_rdma(c, claim);
		pin_request(c, s, 0);
	}
	return 0;
}

/* RunPodSandbox was answered with an error: the runtime takes the sandbox down, and not every version tells us so by a hook. Nothing may go
 * in any more. Nobody outside asked for haste: a record that the disk did not take just now waits for its time. */
void sandbox_refused(struct core *c, const char *id)
{
	c->again = true;
	for (size_t i = 0; i < c->n_claims; i++)
		if (c->claims[i]->phase == CLAIM_READY && str_equal(c->claims[i]->record.sandbox.id, id))
			claim_set_wish(c->claims[i], false, NULL);
}

static void sandbox_run(struct core *c, const struct event *e, enum waiter_kind kind)
{
	const struct sandbox *s = e->hook.sandbox;
	struct error error = {0};
	bool run = kind == WAIT_RUN;
	if (sandbox_adopt(c, s, &error) < 0) {
		if (run)
			sandbox_refused(c, s->id);
		hook_reply(c, e->hook.call, error.text);
		return;
	}
	if (kind == WAIT_RUN && !overlapped(c, s->pod.uid))
		kind = WAIT_CREATE; /* answer when the devices are there */
	struct waiter *w = waiter_add(c, kind, e->hook.call, e->hook.deadline);
	w->run = run;
	STR_COPY(w->pod_uid, s->pod.uid);
	STR_COPY(w->sandbox, s->id);
	w->nodes = waiter_nodes(c, w);
}

static void sandbox_stop(struct core *c, const struct event *e)
{
	const struct sandbox *s = e->hook.sandbox;
	for (size_t i = 0; i < c->n_claims; i++)
		if (c->claims[i]->phase == CLAIM_READY && str_equal(c->claims[i]->record.sandbox.id, s->id)) {
			claim_set_wish(c->claims[i], false, NULL);
			claim_hurry(c->claims[i]);
		}
	struct waiter *w = waiter_add(c, WAIT_STOP, e->hook.call, e->hook.deadline);
	STR_COPY(w->sandbox, s->id);
}

static const struct sandbox *sandbox_listed(const struct event *e, const char *id)
{
	for (size_t i = 0; *id && i < e->synchronize.n; i++)
		if (str_equal(e->synchronize.sandboxes[i].id, id))
			return &e->synchronize.sandboxes[i];
	return NULL;
}

/* After a reconnect: hooks may have been missed. A claim whose sandbox is gone wants home; a pod that runs without its devices gets them
 * now. A prepared claim without a pod in the list is kept: its sandbox may be about to be made (protocols §7.9, prune race). */
static void sandbox_synchronize(struct core *c, const struct event *e)
{
	const struct sandbox *list = e->synchronize.sandboxes;
	for (size_t i = 0; i < c->n_claims; i++) {
		struct claim *claim = c->claims[i];
		if (claim->phase != CLAIM_READY || claim->unprepare)
			continue;
		if (sandbox_listed(e, claim->record.sandbox.id))
			continue;
		if (claim->record.wants_pod)
			claim_set_wish(claim, false, NULL);
		claim_hurry(claim);
		for (size_t k = 0; list && k < e->synchronize.n; k++) {
			const struct sandbox *s = &list[k];
			if (str_equal(s->pod.uid, claim->record.pod.uid) && *s->netns && claim_has_movable(claim)) {
				claim_set_wish(claim, true, s);
				pin_request(c, s, 0);
			}
		}
	}
}

/* By what is known of the link: a device without a netdev has neither name nor number. */
static bool is_link_of(const struct attach_plan *plan, const struct event *e)
{
	const char *name = e->pod_device_gone.ifname;
	int32_t ifindex = e->pod_device_gone.ifindex;
	return (*name && str_equal(plan->pod.ifname, name)) || (ifindex && plan->facts.ifindex == ifindex);
}

/* A link left a namespace we hold. It may have been our own detach, heard late, or a pod that moved or renamed what it was given; or the
 * device was pulled. The kernel is asked, nothing is believed: neither the number nor the name in the pod is certain to be the one we
 * know, so when none matches, every device in there is looked at. */
static void sandbox_device_gone(struct core *c, const struct event *e)
{
	bool matched = false;
	for (int all = 0; all < 2 && !matched; all++)
		for (size_t i = 0; i < c->n_claims; i++) {
			struct claim *claim = c->claims[i];
			for (size_t k = 0; claim->phase == CLAIM_READY && k < claim->record.n; k++) {
				struct attachment *a = &claim->attachments[k];
				if (!str_equal(a->where, e->pod_device_gone.sandbox) || !a->record->plan)
					continue;
				if (!all && !is_link_of(a->record->plan, e))
					continue;
				matched = true;
				if (a->op)
					a->lost = true;
				else if (a->place == PLACE_POD)
					attachment_doubt_calmly(c, a);
			}
		}
}

void sandbox_event(struct core *c, const struct event *e)
{
	switch (e->type) {
	case EVENT_RUNTIME_UP:
		c->runtime_up = true;
		c->can_gate = e->runtime.can_gate;
		break;
	case EVENT_RUNTIME_DOWN:
		c->runtime_up = false;
		waiters_drop_hooks(c);
		break;
	case EVENT_RUN_SANDBOX:
		sandbox_run(c, e, WAIT_RUN);
		break;
	case EVENT_CREATE_CONTAINER:
		sandbox_run(c, e, WAIT_CREATE);
		break;
	case EVENT_STOP_SANDBOX:
	case EVENT_REMOVE_SANDBOX:
		sandbox_stop(c, e);
		break;
	case EVENT_SYNCHRONIZE:
		sandbox_synchronize(c, e);
		break;
	case EVENT_POD_DEVICE_GONE:
		sandbox_device_gone(c, e);
		break;
	default:
		break;
	}
}
