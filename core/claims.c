/* SPDX-License-Identifier: Apache-2.0 */
#include "core/core_internal.h"

struct claim *claim_find(const struct core *c, const char *uid)
{
	for (size_t i = 0; i < c->n_claims; i++)
		if (str_equal(c->claims[i]->record.ref.uid, uid))
			return c->claims[i];
	return NULL;
}

struct claim *claim_new(struct core *c, const struct claim_ref *ref)
{
	struct claim *claim = core_alloc(1, sizeof(*claim));
	claim->record.ref = *ref;
	claim->store_retry.at = claim->token_retry.at = claim->status_retry.at = NEVER;
	claim->token = claim->token_next = TOKEN_UNSURE;
	claim->token_nodes = DIGEST_SEED; /* of none */
	LIST_ADD(c->claims, c->n_claims, claim);
	return claim;
}

void claim_set_devices(struct claim *claim, size_t n)
{
	claim->record.devices = core_alloc(n, sizeof(*claim->record.devices));
	claim->attachments = core_alloc(n, sizeof(*claim->attachments));
	claim->record.n = n;
	for (size_t i = 0; i < n; i++) {
		struct attachment *a = &claim->attachments[i];
		a->claim = claim;
		a->record = &claim->record.devices[i];
		a->retry_at = NEVER;
		network_config_init(&a->config);
	}
}

void claim_release_devices(struct core *c, struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		struct attachment *a = &claim->attachments[i];
		if (a->device) {
			a->device->owner = NULL;
			c->publish_dirty = true; /* the PF of a VF may be free now, or the VFs of a PF */
		}
		if (a->host) {
			host_state_free(a->host);
			free(a->host);
		}
		network_config_free(&a->config);
		attach_plan_unref(claim->record.devices[i].plan);
		leases_unref(claim->record.devices[i].leases);
		leases_unref(a->had);
	}
	free(claim->attachments);
	free(claim->record.devices);
	claim->attachments = NULL;
	claim->record.devices = NULL;
	claim->record.n = 0;
	c->publish_dirty = true;
}

void claim_free(struct claim *claim)
{
	free(claim);
}

void claim_remove(struct core *c, struct claim *claim)
{
	for (size_t i = 0; i < c->n_claims; i++)
		if (c->claims[i] == claim) {
			LIST_REMOVE(c->claims, c->n_claims, i);
			break;
		}
	claim_release_devices(c, claim);
	claim_free(claim);
}

static bool attachment_is_home(const struct attachment *a)
{
	if (a->record->admin_access)
		return true;
	if (a->op || a->restore || a->record->state == DEVICE_ATTACHED)
		return false;
	return a->place == PLACE_HOST || a->place == PLACE_GONE;
}

static bool attachment_is_attached(const struct attachment *a)
{
	if (a->record->admin_access)
		return true;
	/* A renewed lease takes nothing away. */
	return (!a->op || a->op_type == EFFECT_LEASE_APPLY) && a->place == PLACE_POD && a->record->state == DEVICE_ATTACHED &&
	       str_equal(a->where, a->claim->record.sandbox.id);
}

bool attachment_is_shown(const struct attachment *a)
{
	const struct device *d = a->device;
	if (!d->present)
		return false;
	return a->record->plan->facts.ifindex ? d->facts.ifindex != 0 : d->facts.rdma_device[0] != 0;
}

bool attachment_lacks_rdma(const struct attachment *a)
{
	const struct attachment_record *r = a->record;
	return attachment_is_attached(a) && !r->admin_access && r->plan->host.rdma.name[0] && !r->pod.rdma.name[0];
}

bool attachment_is_away(const struct attachment *a)
{
	return a->place != PLACE_HOST && !(a->place == PLACE_POD && attach_plan_stays(a->record->plan));
}

void attachment_snapshot(struct core *c, struct attachment *a)
{
	struct effect *f = effect_add(c, EFFECT_SNAPSHOT, true);
	const struct network_config *config = a->record->plan ? &a->record->plan->pod : &a->config;
	STR_COPY(f->snapshot.device, a->record->device);
	STR_COPY(f->snapshot.ifname, a->device->facts.ifname);
	STR_COPY(f->snapshot.rdma_device, a->device->facts.rdma_device);
	f->snapshot.ifindex = a->device->facts.ifindex;
	f->snapshot.rdma_umad = config->rdma_umad == 1;
	f->snapshot.rdma_issm = config->rdma_issm == 1;
	/* What only the device knows about the wishes is asked before anything is promised. */
	if (a->claim->phase == CLAIM_SNAPSHOT && network_config_has_ethtool(&a->config)) {
		f->snapshot.wanted = core_alloc(1, sizeof(*f->snapshot.wanted));
		network_config_init(f->snapshot.wanted);
		if (network_config_merge(f->snapshot.wanted, &a->config) == -ENOMEM)
			abort();
	}
	a->op = f->op;
	a->op_type = EFFECT_SNAPSHOT;
}

void attachment_doubt(struct attachment *a)
{
	a->place = PLACE_UNKNOWN;
	a->restore = a->touched;
}

void attachment_doubt_calmly(const struct core *c, struct attachment *a)
{
	uint64_t earliest = a->heard_at ? a->heard_at + c->options.retry_min_ms : 0;
	attachment_doubt(a);
	if (earliest > c->now && a->retry_at == NEVER)
		a->retry_at = earliest;
	a->heard_at = earliest > c->now ? earliest : c->now;
}

bool attachment_is_stale(const struct core *c, const struct attachment *a)
{
	return *c->boot_id && *a->record->boot_id && !str_equal(a->record->boot_id, c->boot_id);
}

bool claim_is_home(const struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++)
		if (!attachment_is_home(&claim->attachments[i]))
			return false;
	return true;
}

bool claim_is_attached(const struct claim *claim)
{
	if (!claim->record.wants_pod)
		return false;
	for (size_t i = 0; i < claim->record.n; i++)
		if (!attachment_is_attached(&claim->attachments[i]))
			return false;
	return true;
}

bool claim_has_movable(const struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++)
		if (!claim->record.devices[i].admin_access)
			return true;
	return false;
}

bool claim_moves_nodes(const struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		const struct attach_plan *plan = claim->record.devices[i].plan;
		if (plan && attach_plan_moves_rdma(plan))
			return true;
	}
	return false;
}

const struct attachment *claim_failing(const struct claim *claim)
{
	for (size_t i = 0; i < claim->record.n; i++)
		if (claim->attachments[i].error[0] && !claim->attachments[i].op)
			return &claim->attachments[i];
	return NULL;
}

void claim_changed(struct claim *claim)
{
	claim->version++;
}

/* An error that no longer waits is cleared, too: a hook that begins anew must not be answered with what failed before. */
void claim_hurry_moves(struct claim *claim, bool attach_only)
{
	for (size_t i = 0; i < claim->record.n; i++) {
		struct attachment *a = &claim->attachments[i];
		/* What failed on the way home failed whatever the wish, or the record, is. */
		bool homeward = a->op_type != EFFECT_ATTACH && (a->place != PLACE_HOST || a->restore);
		if (a->op || (attach_only && homeward))
			continue;
		a->retry_at = NEVER;
		a->error[0] = 0;
	}
}

void claim_set_wish(struct claim *claim, bool pod, const struct sandbox *sandbox)
{
	struct claim_record *r = &claim->record;
	if (r->wants_pod == pod && (!sandbox || str_equal(r->sandbox.id, sandbox->id)))
		return;
	r->wants_pod = pod;
	if (sandbox) {
		r->sandbox = *sandbox;
		r->netns_inode = 0;
	}
	claim_changed(claim);
	claim->intent = claim->version;
	claim_hurry_moves(claim, true);
}

void claim_hurry(struct claim *claim)
{
	claim_hurry_moves(claim, false);
	claim->store_retry.at = claim->token_retry.at = NEVER;
	claim->store_error[0] = 0;
}

bool retry_due(const struct core *c, uint64_t at)
{
	return at == NEVER || at <= c->now;
}

uint64_t retry_after(const struct core *c, unsigned failures)
{
	uint64_t wait = c->options.retry_min_ms;
	for (unsigned i = 1; i < failures && wait < c->options.retry_max_ms; i++)
		wait *= 2;
	return c->now + (wait < c->options.retry_max_ms ? wait : c->options.retry_max_ms);
}

void retry_failed(const struct core *c, struct retry *r)
{
	r->at = retry_after(c, ++r->failures);
}
