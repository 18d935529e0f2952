/* SPDX-License-Identifier: Apache-2.0 */
/* What some schedules' nodes have besides plain NICs: nic4 is a PF, nic0 and nic2 are VFs of it, nic2 has an RDMA device, too, and nic3 is
 * an RDMA device alone. All four are PCI functions: the host shows them also while their netdev is elsewhere. In exclusive mode an RDMA
 * device goes where its netdev goes and gets its character device anew; in shared mode it stays. */
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

enum { VF_ALONE = 0, VF_ROCE = 2, RDMA_ALONE = 3, PF = 4 };

void fabric_init(struct sim *s)
{
	/* The node's own link is none of the family's. */
	s->devices[VF_ALONE].default_route = false;
	s->devices[1].default_route = true;
	s->devices[RDMA_ALONE].master = 0;
	for (int i = 0; i < DEVICES; i++)
		s->devices[i].minor = ++s->last_minor;
}

bool device_is_pci(const struct sim *s, int i)
{
	return s->fabric && (i == VF_ALONE || i == VF_ROCE || i == RDMA_ALONE || i == PF);
}

bool device_has_netdev(const struct sim *s, int i)
{
	return !s->fabric || i != RDMA_ALONE;
}

static bool has_rdma(const struct sim *s, int i)
{
	return s->fabric && (i == VF_ROCE || i == RDMA_ALONE);
}

bool device_moves_nodes(const struct sim *s, int i)
{
	return s->exclusive && has_rdma(s, i);
}

bool device_stays(const struct sim *s, int i)
{
	return !s->exclusive && !device_has_netdev(s, i);
}

bool device_is_planned(const struct wdevice *d, const struct attach_plan *plan)
{
	return d->ifindex == (plan->facts.ifindex ? plan->facts.ifindex : (int32_t)plan->facts.rdma_guid);
}

void device_put(struct sim *s, int i, int place)
{
	struct wdevice *d = &s->devices[i];
	if (d->place != place && device_moves_nodes(s, i))
		d->minor = ++s->last_minor;
	d->place = place;
}

/* ---- PF and VFs ------------------------------------------------------------------------------------------------------------------ */

/* The first dranetd may be of a version that did not know which VF is whose: its claims have a PF and its VFs, and the next one finds
 * their records. */
static bool family_known(const struct sim *s)
{
	return s->fabric && !(s->legacy && s->epoch <= 1);
}

bool device_is_pf(const struct sim *s, int i)
{
	return family_known(s) && i == PF;
}

bool device_is_vf(const struct sim *s, int i)
{
	return family_known(s) && (i == VF_ALONE || i == VF_ROCE);
}

static bool vf_is_away(const struct wdevice *d)
{
	return d->bound || (d->exists && d->place != ON_HOST);
}

int vfs_away(const struct sim *s)
{
	return vf_is_away(&s->devices[VF_ALONE]) + vf_is_away(&s->devices[VF_ROCE]);
}

bool device_planned(const struct sim *s, int device)
{
	char name[DEVICE_NAME_SIZE];
	device_name(device, name);
	for (size_t i = 0; i < s->n_records; i++)
		for (size_t k = 0; !s->records[i].unprepared && k < s->records[i].n; k++)
			if (s->records[i].devices[k].plan && str_equal(s->records[i].devices[k].device, name))
				return true;
	return false;
}

const char *pf_is_ruled_out(const struct sim *s, bool with_claims)
{
	static const int vfs[] = {VF_ALONE, VF_ROCE};
	for (size_t k = 0; k < 2; k++) {
		const struct wdevice *d = &s->devices[vfs[k]];
		bool recorded = device_planned(s, vfs[k]);
		/* Of a VF that is not there an old record does not say whose it was. */
		if (with_claims && recorded && (d->exists || d->bound || !s->legacy))
			return "a claim has one of its VFs";
		if (d->exists && d->place == ON_HOST && device_is_uplink(s, vfs[k]))
			return "one of its VFs carries the node's route";
		if (d->bound && !recorded)
			return "one of its VFs is used without a claim";
	}
	return NULL;
}

bool pf_is_free(const struct sim *s)
{
	static const int vfs[] = {VF_ALONE, VF_ROCE};
	for (size_t k = 0; k < 2; k++)
		if (device_taken(s, vfs[k]))
			return false;
	return !pf_is_ruled_out(s, true) && vfs_away(s) == 0;
}

bool vf_is_ruled_out(const struct sim *s, int i)
{
	return device_is_vf(s, i) && device_planned(s, PF);
}

bool vf_is_free(const struct sim *s, int i)
{
	return !device_is_vf(s, i) || (!device_taken(s, PF) && !device_planned(s, PF));
}

/* Whoever has a PF rules its VFs: no two records may have the one and the others. Of a VF that does not exist only its record can tell
 * whose it was, and one of an older version does not. */
static bool has_family(const struct sim *s, const struct claim_record *r, bool pf)
{
	for (size_t k = 0; !r->unprepared && k < r->n; k++) {
		int i = device_index(r->devices[k].device);
		const struct attach_plan *plan = r->devices[k].plan;
		if (plan && (pf ? i == PF : (i == VF_ALONE || i == VF_ROCE) && (s->devices[i].exists || plan->facts.pf_address[0])))
			return true;
	}
	return false;
}

void check_family(struct sim *s, const struct claim_record *r)
{
	const struct claim_record *before = record_of(s, r->ref.uid);
	if (!family_known(s) || (before && !before->unprepared))
		return;
	bool pf = has_family(s, r, true), vf = has_family(s, r, false);
	for (size_t i = 0; i < s->n_records; i++)
		if ((pf && has_family(s, &s->records[i], false)) || (vf && has_family(s, &s->records[i], true)))
			sim_break(s, "promise 1: the records of %s and %s have a PF and its VF", r->ref.uid, s->records[i].ref.uid);
	if (pf && vf)
		sim_break(s, "promise 1: the record of %s has a PF and its VF", r->ref.uid);
}

/* ---- what core is told ----------------------------------------------------------------------------------------------------------- */

bool device_told(const struct sim *s, int i)
{
	return s->devices[i].told && (!device_is_pf(s, i) || s->devices[i].told_away == vfs_away(s));
}

/* A PCI function whose netdev the host has not got. One that gave way for another use may show its RDMA device still. */
void fabric_bare(const struct sim *s, int i, struct device_facts *f)
{
	*f = (struct device_facts){.numa_node = -1, .vf_index = -1};
	device_name(i, f->name);
	fabric_facts(s, i, f);
	if (s->exclusive)
		f->rdma_device[0] = 0;
}

void fabric_facts(const struct sim *s, int i, struct device_facts *f)
{
	if (!device_is_pci(s, i))
		return;
	(void)snprintf(f->pci_address, sizeof(f->pci_address), "0000:01:00.%d", i);
	f->is_nic = i != RDMA_ALONE;
	if (device_is_vf(s, i)) {
		f->is_vf = true;
		f->vf_index = i;
		STR_COPY(f->pf_address, "0000:01:00.4");
	}
	f->sriov = i == PF;
	if (device_is_pf(s, i)) {
		f->sriov_vfs = 2;
		f->vfs_away = vfs_away(s);
	}
	if (!has_rdma(s, i))
		return;
	f->rdma = true;
	(void)snprintf(f->rdma_device, sizeof(f->rdma_device), "rdma%d", i);
	f->rdma_guid = (uint64_t)s->devices[i].ifindex;
	f->rdma_protocol = i == RDMA_ALONE ? RDMA_PROTOCOL_IB : RDMA_PROTOCOL_ROCE;
	f->rdma_exclusive = s->exclusive;
	if (i != RDMA_ALONE)
		return;
	f->ifindex = 0;
	f->mtu = 0;
	f->ifname[0] = f->type[0] = 0;
}

/* ---- character devices ----------------------------------------------------------------------------------------------------------- */

void fabric_state(const struct sim *s, int i, struct rdma_state *ret)
{
	if (!has_rdma(s, i))
		return;
	*ret = (struct rdma_state){.guid = (uint64_t)s->devices[i].ifindex, .exclusive = s->exclusive, .n_nodes = 1};
	(void)snprintf(ret->name, sizeof(ret->name), "rdma%d", i);
	(void)snprintf(ret->nodes[0].path, sizeof(ret->nodes[0].path), "/dev/infiniband/uverbs%d", i);
	ret->nodes[0].major = 231;
	ret->nodes[0].minor = s->devices[i].minor;
}

/* The CDI file of a claim, as far as character devices go. */
void nodes_written(const struct effect *f, struct wclaim *c)
{
	memset(c->minors, 0, sizeof(c->minors));
	for (size_t k = 0; k < c->n; k++) {
		char path[sizeof(f->token.nodes->path)];
		(void)snprintf(path, sizeof(path), "/dev/infiniband/uverbs%d", c->devices[k]);
		for (size_t n = 0; n < f->token.n_nodes; n++)
			if (str_equal(f->token.nodes[n].path, path))
				c->minors[k] = f->token.nodes[n].minor;
	}
}

/* Promise 2: what a container was made with opens the devices that are there now. */
void check_nodes(struct sim *s, int pod)
{
	const struct wpod *p = &s->pods[pod];
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		const struct wclaim *c = &p->claims[k];
		for (size_t i = 0; c->used && i < c->n; i++) {
			const struct wdevice *d = &s->devices[c->devices[i]];
			if (has_rdma(s, c->devices[i]) && d->exists && !d->lost && p->minors[k][i] != d->minor)
				sim_break(s, "promise 2: a container of pod %d has character device %u of nic%d, which has %u", pod,
				          p->minors[k][i], c->devices[i], d->minor);
		}
	}
}

/* There is nothing yet that a container could be made with. */
void check_pending_nodes(struct sim *s, const struct wclaim *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		if (device_moves_nodes(s, c->devices[i]))
			sim_break(s, "promise 2: a pending CDI file of %s, and the character devices of nic%d are made by the move",
			          c->ref.uid, c->devices[i]);
}

/* Containers are made next. When the time has come, they may be: no file lets them in yet. */
void check_run_answered(struct sim *s, int pod, uint64_t left)
{
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		const struct wclaim *c = &s->pods[pod].claims[k];
		for (size_t i = 0; c->used && c->prepared && i < c->n; i++)
			if (device_moves_nodes(s, c->devices[i]) && (left > 1000 ? c->token != TOKEN_FINAL : c->token == TOKEN_PENDING))
				sim_break(s, "promise 2: RunPodSandbox of pod %d is answered, the character devices of nic%d are not made",
				          pod, c->devices[i]);
	}
}
