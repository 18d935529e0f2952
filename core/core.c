/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core_internal.h"

int core_new(const struct core_options *options, struct core **ret)
{
	struct core *c = core_alloc(1, sizeof(*c));
	c->options = *options;
	if (str_copy(c->driver, sizeof(c->driver), options->driver) < 0 || str_copy(c->node, sizeof(c->node), options->node) < 0 ||
	    str_copy(c->boot_id, sizeof(c->boot_id), options->boot_id ? options->boot_id : "") < 0) {
		free(c);
		return -ENAMETOOLONG;
	}
	if (!c->options.hook_margin_ms)
		c->options.hook_margin_ms = 200;
	if (!c->options.retry_min_ms)
		c->options.retry_min_ms = 500;
	if (!c->options.retry_max_ms)
		c->options.retry_max_ms = 30000;
	*ret = c;
	return 0;
}

void core_free(struct core *c)
{
	if (!c)
		return;
	while (c->n_claims)
		claim_remove(c, c->claims[c->n_claims - 1]);
	for (size_t i = 0; i < c->n_devices; i++)
		free(c->devices[i]);
	for (size_t i = 0; i < c->n_pins; i++)
		free(c->pins[i]);
	for (size_t i = 0; i < c->n_waiters; i++)
		waiter_free(c->waiters[i]);
	free(c->devices);
	free(c->claims);
	free(c->pins);
	free(c->waiters);
	free(c->uplinks);
	free(c->slice_versions);
	free(c);
}

static void step_done(struct core *c, const struct event *e)
{
	if (pin_done(c, e) || claim_done(c, e))
		return;
	for (size_t i = 0; e->done.op && i < c->n_claims; i++) {
		struct claim *claim = c->claims[i];
		for (size_t k = 0; k < claim->record.n; k++) {
			struct attachment *a = &claim->attachments[k];
			if (a->op != e->done.op)
				continue;
			if (!prepare_done(c, claim, a, e))
				move_done(c, a, e);
			return;
		}
	}
}

/* What has to be tried again now: forget that it was waiting. */
static void step_retries(struct core *c)
{
	for (size_t i = 0; i < c->n_claims; i++) {
		struct claim *claim = c->claims[i];
		struct retry *retries[] = {&claim->store_retry, &claim->token_retry, &claim->status_retry};
		for (size_t k = 0; k < sizeof(retries) / sizeof(retries[0]); k++)
			if (retries[k]->at <= c->now)
				retries[k]->at = NEVER;
		for (size_t k = 0; k < claim->record.n; k++)
			if (claim->attachments[k].retry_at <= c->now)
				claim->attachments[k].retry_at = NEVER;
	}
}

static void step_dispatch(struct core *c, struct event *e)
{
	switch (e->type) {
	case EVENT_TICK:
	case EVENT_TYPE_MAX:
		break;
	case EVENT_RECORD:
		recover_record(c, e->record);
		break;
	case EVENT_RECOVERED:
		recover_end(c);
		break;
	case EVENT_INVENTORY_BEGIN:
	case EVENT_DEVICE:
	case EVENT_DEVICE_GONE:
	case EVENT_INVENTORY_END:
	case EVENT_UPLINKS:
	case EVENT_PUBLISHED:
		inventory_event(c, e);
		break;
	case EVENT_PREPARE:
		prepare_request(c, e);
		break;
	case EVENT_UNPREPARE:
		unprepare_request(c, e);
		break;
	case EVENT_CLAIM_READ:
		prepare_claim_read(c, e);
		break;
	case EVENT_RUNTIME_UP:
	case EVENT_RUNTIME_DOWN:
	case EVENT_RUN_SANDBOX:
	case EVENT_STOP_SANDBOX:
	case EVENT_REMOVE_SANDBOX:
	case EVENT_CREATE_CONTAINER:
	case EVENT_SYNCHRONIZE:
	case EVENT_POD_DEVICE_GONE:
		sandbox_event(c, e);
		break;
	case EVENT_LEASE:
		lease_event(c, e);
		break;
	case EVENT_DONE:
		step_done(c, e);
		break;
	}
}

int core_step(struct core *c, struct event *e, struct effects *fx)
{
	if ((unsigned)e->type >= EVENT_TYPE_MAX)
		return -EINVAL;
	c->fx = fx;
	c->now = e->now > c->now ? e->now : c->now; /* a clock that jumps back stands still */
	step_retries(c);
	step_dispatch(c, e);
	if (e->type == EVENT_DONE && e->done.host)
		host_state_free(e->done.host);
	if (e->type == EVENT_DONE)
		leases_unref(e->done.leases);
	do {
		c->again = false;
		inventory_refresh(c); /* before: what became an uplink just now must not be moved */
		for (size_t i = 0; i < c->n_claims; i++)
			claim_reconcile(c, c->claims[i]);
		inventory_refresh(c);
		waiters_check(c);
	} while (c->again);
	pins_drop_unused(c);
	c->fx = NULL;
	return 0;
}

static void sooner(uint64_t *at, uint64_t candidate)
{
	if (candidate < *at)
		*at = candidate;
}

uint64_t core_deadline(const struct core *c)
{
	uint64_t at = NEVER;
	for (size_t i = 0; i < c->n_waiters; i++)
		sooner(&at, c->waiters[i]->deadline);
	for (size_t i = 0; i < c->n_claims; i++) {
		const struct claim *claim = c->claims[i];
		sooner(&at, claim->store_retry.at);
		sooner(&at, claim->token_retry.at);
		sooner(&at, claim->status_retry.at);
		for (size_t k = 0; k < claim->record.n; k++)
			sooner(&at, claim->attachments[k].retry_at);
	}
	return at;
}

bool core_knows_pod(const struct core *c, const char *pod_uid)
{
	for (size_t i = 0; *pod_uid && i < c->n_claims; i++)
		if (str_equal(c->claims[i]->record.pod.uid, pod_uid))
			return true;
	return false;
}

bool core_owns_claim(const struct core *c, const char *pod_uid, const char *claim_uid)
{
	const struct claim *claim = claim_find(c, claim_uid);
	return claim && claim->phase == CLAIM_READY && str_equal(claim->record.pod.uid, pod_uid);
}

void core_devices(const struct core *c, void (*see)(const struct core_device_view *d, void *user), void *user)
{
	for (size_t i = 0; i < c->n_devices; i++) {
		const struct device *d = c->devices[i];
		const struct attachment *a = d->owner;
		struct core_device_view view = {
		    .facts = device_shown(d),
		    .state = d->state,
		    .offered = d->offered,
		    .uplink = d->uplink,
		    .filtered = d->filtered,
		    .vfs_used = d->vfs_used,
		    .pf_held = d->pf_held,
		    .claim = a ? &a->claim->record : NULL,
		    .attachment = a ? a->record : NULL,
		    .place = a ? a->place : PLACE_HOST,
		    .busy = a && a->op,
		};
		see(&view, user);
	}
}

uint64_t core_changes(const struct core *c)
{
	return c->changes;
}

void core_unoffered(const struct core *c, const char *device, char *text, size_t size)
{
	const struct device *d = inventory_find(c, device);
	text[0] = '\0';
	if (d && !d->offered)
		device_unoffered(c, d, text, size);
}

void core_count(const struct core *c, struct core_counts *ret)
{
	*ret = (struct core_counts){.devices = c->n_devices, .claims = c->n_claims, .impossible = c->impossible};
	for (size_t i = 0; i < c->n_devices; i++) {
		const struct device *d = c->devices[i];
		ret->offered += d->offered;
		ret->attached += d->state == DEVICE_ATTACHED;
		ret->rdma_offered += d->offered && device_shown(d)->rdma;
	}
	for (size_t i = 0; i < c->n_claims; i++)
		ret->failing += claim_failing(c->claims[i]) != NULL;
}
