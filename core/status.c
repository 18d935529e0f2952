/* SPDX-License-Identifier: Apache-2.0 */
/* status.devices of a claim: what people are told of its devices, once they have come to rest. */
#include "core/core_internal.h"

static void status_fill(const struct attachment *a, struct device_status *s)
{
	s->pool = a->record->pool;
	s->device = a->record->device;
	s->share_id = a->record->share_id;
	s->message = a->error;
	s->ready = a->record->state == DEVICE_ATTACHED && a->place == PLACE_POD && !a->error[0];
	if (s->ready) {
		s->reason = a->record->plan->facts.ifindex ? "NetworkDeviceReady" : "RDMAOnlyDeviceReady";
		s->pod = &a->record->pod;
		s->leases = a->record->leases;
	} else if (a->error[0]) {
		s->reason = a->place == PLACE_GONE                ? "DeviceGone"
		            : a->stranded                         ? "UndoFailed"
		            : a->lease_failing                    ? "LeaseFailed"
		            : a->record->state == DEVICE_ATTACHED ? "DetachFailed"
		                                                  : "AttachFailed";
	} else if (a->warning[0]) {
		s->reason = a->place == PLACE_GONE ? "DeviceGone" : a->stranded ? "UndoFailed" : "NotRestored";
		s->message = a->warning;
	} else {
		s->reason = a->record->state == DEVICE_RELEASED ? "Released" : "NotAttached";
	}
}

/* What is told of a lease; a renewal that only moves its times is none of that. */
static uint64_t digest_lease(uint64_t digest, const struct lease *l)
{
	if (!l->held)
		return digest_add(digest, "-", 1);
	for (size_t i = 0; i < l->n_addresses; i++)
		digest = digest_add(digest, &l->addresses[i].prefix, sizeof(l->addresses[i].prefix));
	digest = digest_add(digest, l->routes, l->n_routes * sizeof(l->routes[0]));
	digest = digest_add(digest, l->dns, l->n_dns * sizeof(l->dns[0]));
	digest = digest_add(digest, &l->server, sizeof(l->server));
	digest = digest_add(digest, l->server_id, strlen(l->server_id) + 1);
	digest = digest_add(digest, l->domain, strlen(l->domain) + 1);
	uint32_t seconds = lease_seconds(l);
	digest = digest_add(digest, &seconds, sizeof(seconds));
	return digest_add(digest, &l->mtu, sizeof(l->mtu));
}

static uint64_t digest_rdma(uint64_t digest, const struct rdma_state *r)
{
	const uint32_t numbers[] = {r->protocol, r->exclusive, r->gid_port, (uint32_t)r->gid_index};
	digest = digest_add(digest, r->name, strlen(r->name) + 1);
	digest = digest_add(digest, &r->guid, sizeof(r->guid));
	digest = digest_add(digest, numbers, sizeof(numbers));
	digest = digest_add(digest, &r->gid, sizeof(r->gid));
	for (size_t i = 0; i < r->n_nodes; i++)
		digest = digest_add(digest, r->nodes[i].path, strlen(r->nodes[i].path) + 1);
	return digest;
}

static uint64_t digest_pod(uint64_t digest, const struct pod_state *p)
{
	digest = digest_add(digest, p->ifname, strlen(p->ifname) + 1);
	digest = digest_add(digest, p->mac.bytes, p->mac.length);
	digest = digest_add(digest, p->addresses, p->n_addresses * sizeof(p->addresses[0]));
	return digest_rdma(digest, &p->rdma);
}

/* Once, and not at each event: a node has a thousand claims. */
void status_read_back(struct claim *claim)
{
	claim->told = DIGEST_SEED;
	for (size_t i = 0; i < claim->record.n; i++)
		claim->told = digest_pod(claim->told, &claim->record.devices[i].pod);
}

/* What a status says, so that a retry which changed nothing writes nothing. */
static uint64_t status_digest(const struct device_status *devices, size_t n)
{
	uint64_t digest = DIGEST_SEED;
	for (size_t i = 0; i < n; i++) {
		const struct device_status *s = &devices[i];
		digest = digest_add(digest, s->device, strlen(s->device) + 1);
		digest = digest_add(digest, s->reason, strlen(s->reason) + 1);
		digest = digest_add(digest, s->message, strlen(s->message) + 1);
		if (!s->pod)
			continue;
		digest = digest_pod(digest, s->pod);
		if (!s->leases)
			continue;
		digest = digest_lease(digest, &s->leases->v4);
		digest = digest_lease(digest, &s->leases->v6);
	}
	return digest + n;
}

/* Nothing was told and nothing of note happened: then nothing is told. */
static bool status_worth(const struct claim *claim)
{
	if (claim->status_told || claim_failing(claim))
		return true;
	for (size_t i = 0; i < claim->record.n; i++)
		if (claim->record.devices[i].state == DEVICE_ATTACHED)
			return true;
	return false;
}

void status_reconcile(struct core *c, struct claim *claim)
{
	if (claim->phase != CLAIM_READY && claim->phase != CLAIM_UNPREPARED)
		return;
	if (!claim->status_dirty || claim->status_op || !retry_due(c, claim->status_retry.at))
		return;
	if (claim->status_gone || !status_worth(claim)) {
		claim->status_dirty = false;
		return;
	}
	/* A picture taken while devices are on their way is out of date when it arrives. */
	for (size_t i = 0; i < claim->record.n; i++)
		if (claim->attachments[i].op)
			return;
	struct device_status *devices = core_alloc(claim->record.n, sizeof(*devices));
	size_t n = 0;
	for (size_t i = 0; claim->phase == CLAIM_READY && i < claim->record.n; i++)
		if (!claim->record.devices[i].admin_access)
			status_fill(&claim->attachments[i], &devices[n++]);
	claim->status_dirty = false;
	uint64_t digest = status_digest(devices, n);
	if (digest == claim->status_digest) {
		free(devices);
		return;
	}
	struct effect *f = effect_add(c, EFFECT_STATUS, true);
	f->status.claim = claim->record.ref;
	f->status.devices = devices;
	f->status.n = n;
	claim->status_op = f->op;
	claim->status_digest = digest;
	claim->status_told = true; /* even an attempt that failed may have arrived */
	claim->status_retry.at = NEVER;
}

void status_done(struct core *c, struct claim *claim, const struct event *e)
{
	bool gone = e->done.result == -ENOENT || e->done.result == -ESTALE, earlier = claim->status_earlier;
	claim->status_op = 0;
	claim->status_earlier = false;
	if (gone && !earlier) {
		claim->status_gone = true; /* the claim, or its allocation, and our entries with it */
	} else if (e->done.result < 0) {
		claim->status_dirty = true;
		claim->status_digest = 0;
		retry_failed(c, &claim->status_retry);
		return;
	}
	claim->status_retry = (struct retry){.at = NEVER};
}
