/* SPDX-License-Identifier: Apache-2.0 */
/* The inventory: which devices exist, which of them the node itself stands on, and which are offered. */
#include <stdio.h>

#include "core/base/cleanup.h"
#include "core/core_internal.h"

static size_t inventory_position(const struct core *c, const char *name, bool *found)
{
	size_t low = 0, high = c->n_devices;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(c->devices[middle]->facts.name, name);
		if (order == 0) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

struct device *inventory_find(const struct core *c, const char *name)
{
	bool found;
	size_t i = inventory_position(c, name, &found);
	return found ? c->devices[i] : NULL;
}

struct device *inventory_get(struct core *c, const struct device_facts *facts)
{
	bool found;
	size_t i = inventory_position(c, facts->name, &found);
	if (found)
		return c->devices[i];
	if (c->n_devices == c->cap_devices) {
		size_t cap = c->cap_devices ? 2 * c->cap_devices : 32;
		struct device **grown = realloc(c->devices, cap * sizeof(*grown));
		if (!grown)
			abort();
		c->devices = grown;
		c->cap_devices = cap;
	}
	struct device *d = core_alloc(1, sizeof(*d));
	d->facts = *facts;
	memmove(&c->devices[i + 1], &c->devices[i], (c->n_devices - i) * sizeof(*c->devices));
	c->devices[i] = d;
	c->n_devices++;
	return d;
}

/* While a device is away its last known facts are shown, whatever took its name on the host meanwhile. An attach begins with taking the
 * link down, which takes addresses and routes along: of nobody's interest but the pod's. */
const struct device_facts *device_shown(const struct device *d)
{
	const struct attachment *a = d->owner;
	if (a && a->record->plan && (d->state == DEVICE_ATTACHED || !d->present || (a->op && a->op_type == EFFECT_ATTACH)))
		return &a->record->plan->facts;
	return &d->facts;
}

/* What is shown becomes other facts, or the host's again: the filter judges those, and the slice may have to be written. */
static void device_turn(struct core *c, struct device *d)
{
	const struct device_facts *shown = device_shown(d);
	bool away = shown != &d->facts;
	if (away == d->shown_away)
		return;
	d->shown_away = away;
	d->filtered = c->options.filter && !filter_keeps(c->options.filter, shown, NULL);
	if (!away || !device_attributes_equal(shown, &d->facts))
		d->revision = 0;
}

void device_apply(struct core *c, struct device *d, enum device_event event, struct attachment *a, uint32_t duration_ms, int result,
                  const char *message)
{
	const struct device_transition *row = device_transition_find(d->state, event);
	if (!row) {
		c->impossible++;
		return;
	}
	enum device_state from = d->state;
	d->state = row->to;
	if (a)
		a->record->state = row->to;
	c->publish_dirty = true;
	effect_transition(c, a, d, from, row->to, device_event_name(event), duration_ms, result, message);
}

/* A device that a claim holds has appeared on, or left, the host's namespace while no operation of ours was under way: somebody else moved
 * it, or it was unplugged. Only the kernel knows where it is now. */
static void device_unsettle(struct device *d)
{
	struct attachment *a = d->owner;
	if (!a || a->claim->phase != CLAIM_READY)
		return;
	if (a->op) {
		a->stirred = true;
		return;
	}
	bool away = attachment_is_away(a);
	if (attachment_is_shown(a) == away) {
		if (away)
			attachment_doubt(a);
		else
			a->place = PLACE_UNKNOWN;
	}
}

static void slice_touch(struct core *c, size_t slice)
{
	if (slice >= c->n_slice_versions) {
		uint64_t *grown = realloc(c->slice_versions, (slice + 1) * sizeof(*grown));
		if (!grown)
			abort();
		memset(grown + c->n_slice_versions, 0, (slice + 1 - c->n_slice_versions) * sizeof(*grown));
		c->slice_versions = grown;
		c->n_slice_versions = slice + 1;
	}
	c->slice_versions[slice] = ++c->slice_changes;
}

void device_expect(struct core *c, struct device *d, const struct device_facts *facts)
{
	const struct device_facts function = d->facts;
	d->facts = *facts;
	if (d->present) {
		d->facts.is_nic = function.is_nic;
		d->facts.is_vf = function.is_vf;
		d->facts.vf_index = function.vf_index;
		d->facts.sriov = function.sriov;
		d->facts.sriov_vfs = function.sriov_vfs;
		d->facts.vfs_away = function.vfs_away;
		STR_COPY(d->facts.pf_address, function.pf_address);
	}
	d->present = true;
	d->revision = 0; /* what the monitor tells in a moment is the same, and no news any more */
	c->publish_dirty = true;
}

static void device_gone(struct core *c, struct device *d)
{
	d->present = false;
	c->publish_dirty = true;
	device_unsettle(d);
}

static void device_seen(struct core *c, const struct device_facts *facts)
{
	struct device *d = inventory_get(c, facts);
	bool same = d->present && device_attributes_equal(&d->facts, facts);
	d->facts = *facts;
	d->unseen = false;
	d->present = true;
	device_unsettle(d);
	c->publish_dirty = true;
	if (device_shown(d) != &d->facts)
		return;
	if (!same)
		d->revision = 0;
	d->filtered = c->options.filter && !filter_keeps(c->options.filter, facts, NULL);
}

void inventory_event(struct core *c, const struct event *e)
{
	struct device *d;
	switch (e->type) {
	case EVENT_INVENTORY_BEGIN:
		for (size_t i = 0; i < c->n_devices; i++)
			c->devices[i]->unseen = true;
		break;
	case EVENT_DEVICE:
		device_seen(c, e->device);
		break;
	case EVENT_DEVICE_GONE:
		d = inventory_find(c, e->device_gone);
		if (d && (d->present || d->owner)) /* it may have come and gone while a detach was under way */
			device_gone(c, d);
		break;
	case EVENT_INVENTORY_END:
		for (size_t i = 0; i < c->n_devices; i++) {
			if (c->devices[i]->unseen && c->devices[i]->present)
				device_gone(c, c->devices[i]);
			c->devices[i]->unseen = false;
		}
		c->inventory_known = true;
		c->publish_dirty = true;
		break;
	case EVENT_UPLINKS:
		free(c->uplinks);
		c->uplinks = core_alloc(e->uplinks.n, sizeof(*c->uplinks));
		memcpy(c->uplinks, e->uplinks.ifindexes, e->uplinks.n * sizeof(*c->uplinks));
		c->n_uplinks = e->uplinks.n;
		c->publish_dirty = true;
		break;
	case EVENT_PUBLISHED:
		for (size_t i = 0; i < c->n_devices; i++) {
			d = c->devices[i];
			if (d->offered && d->state == DEVICE_DISCOVERED && d->revision <= e->published.revision)
				device_apply(c, d, DEVICE_EVENT_ACCEPTED, NULL, 0, 0, NULL);
		}
		break;
	default:
		break;
	}
}

/* An InfiniBand function whose IPoIB netdev is not ours to move: when it changes its namespace the kernel removes that. */
static bool carries(const struct device *function, const struct device *netdev)
{
	const struct device_facts *f = &function->facts;
	return !f->ifindex && f->rdma_exclusive && f->pci_address[0] && str_equal(f->pci_address, netdev->facts.pci_address);
}

/* Promise 7. An uplink is a link with a default route; with it everything it stands on (the link under a VLAN or macvlan, the members of a
 * bond or bridge) and everything it is a member of (a VRF or bridge whose removal would take it along). Links that merely stand on an
 * uplink stay free. */
static void uplink_mark(struct core *c, struct device *d)
{
	if (d->uplink || !d->present)
		return;
	d->uplink = true;
	for (size_t i = 0; i < c->n_devices; i++) {
		struct device *other = c->devices[i];
		int32_t ours = d->facts.ifindex, ifindex = other->facts.ifindex;
		bool linked = ifindex == d->facts.lower || ifindex == d->facts.master || (ours && other->facts.master == ours);
		if ((ifindex && linked) || carries(other, d))
			uplink_mark(c, other);
	}
}

static void uplinks_spread(struct core *c)
{
	for (size_t i = 0; i < c->n_devices; i++)
		c->devices[i]->uplink = false;
	for (size_t u = 0; u < c->n_uplinks; u++)
		for (size_t i = 0; i < c->n_devices; i++)
			if (c->uplinks[u] && c->devices[i]->facts.ifindex == c->uplinks[u])
				uplink_mark(c, c->devices[i]);
}

/* ---- PFs and their VFs ------------------------------------------------------------------------------------------------------------ */

static bool is_vf_of(const struct device *d, const struct device *pf)
{
	return pf->facts.sriov && d->facts.pf_address[0] && str_equal(d->facts.pf_address, pf->facts.pci_address);
}

const struct device *device_held_pf(const struct core *c, const struct device *vf, char *text, size_t size)
{
	for (size_t i = 0; i < c->n_devices; i++) {
		const struct device *pf = c->devices[i];
		if (!pf->owner || !is_vf_of(vf, pf))
			continue;
		const struct claim_ref *holder = &pf->owner->claim->record.ref;
		snprintf(text, size, "its PF %s (%s) is held by claim %s/%s", pf->facts.name, device_shown(pf)->ifname, holder->namespace_,
		         holder->name);
		return pf;
	}
	return NULL;
}

/* Of the VFs that are not on the host a claim's are told with the claim. */
static int32_t vfs_away_unclaimed(const struct core *c, const struct device *pf)
{
	int32_t n = pf->facts.vfs_away;
	for (size_t i = 0; i < c->n_devices && n > 0; i++) {
		const struct device *d = c->devices[i];
		n -= d->owner && (!d->present || !d->facts.ifindex) && is_vf_of(d, pf);
	}
	return n;
}

bool device_vfs_used(const struct core *c, const struct device *pf, bool with_claims, char *text, size_t size)
{
	if (!pf->facts.sriov || !pf->facts.pci_address[0])
		return false;
	for (size_t i = 0; i < c->n_devices; i++) {
		const struct device *d = c->devices[i];
		bool claimed = d->owner && with_claims;
		if (!(claimed || d->uplink) || !is_vf_of(d, pf))
			continue;
		const char *ifname = device_shown(d)->ifname;
		if (claimed)
			snprintf(text, size, "its VF %s (%s) is held by claim %s/%s", d->facts.name, ifname,
			         d->owner->claim->record.ref.namespace_, d->owner->claim->record.ref.name);
		else
			snprintf(text, size, "its VF %s (%s) carries the node's default route, or stands under it", d->facts.name, ifname);
		return true;
	}
	int32_t away = vfs_away_unclaimed(c, pf);
	if (away > 0)
		snprintf(text, size, "%d of its VFs %s in use without a claim: bound for user space, or in another namespace", away,
		         away == 1 ? "is" : "are");
	return away > 0;
}

/* Most nodes have no VF, or none that is used. */
static bool any_vf_used(const struct core *c)
{
	for (size_t i = 0; i < c->n_devices; i++) {
		const struct device *d = c->devices[i];
		if (d->facts.vfs_away > 0 || (d->facts.pf_address[0] && (d->owner || d->uplink)))
			return true;
	}
	return false;
}

static void pfs_mark(struct core *c)
{
	char why[ERROR_KEPT];
	bool any = any_vf_used(c);
	for (size_t i = 0; i < c->n_devices; i++) {
		c->devices[i]->vfs_used = any && device_vfs_used(c, c->devices[i], true, why, sizeof(why));
		c->devices[i]->pf_held = false;
	}
	for (size_t i = 0; i < c->n_devices; i++) {
		const struct device *pf = c->devices[i];
		for (size_t k = 0; pf->owner && pf->facts.sriov && k < c->n_devices; k++)
			c->devices[k]->pf_held |= is_vf_of(c->devices[k], pf);
	}
}

static bool device_offerable(const struct device *d)
{
	const struct attachment *a = d->owner;
	/* What is attached stays published with its last known attributes; so does what is on its way. */
	if (a && a->record->plan && !d->filtered && (d->state == DEVICE_ATTACHED || a->place == PLACE_POD || (a->op && !d->present)))
		return true;
	/* Claims that an earlier version prepared may hold a PF and its VFs; and what a claim holds comes back to the host before the
	 * monitor tells so. */
	bool ruled_out = !a && (d->vfs_used || d->pf_held || !device_is_whole(&d->facts));
	return d->present && !d->uplink && !ruled_out && !d->filtered && !d->facts.hidden && !d->facts.loopback;
}

/* Of a PCI function without one: the netdev that stands on it and is never offered. */
static const char *netdev_that_stays(const struct core *c, const struct device *function)
{
	for (size_t i = 0; i < c->n_devices && function->facts.pci_address[0]; i++) {
		const struct device_facts *f = &c->devices[i]->facts;
		if (f->hidden && f->ifindex && c->devices[i]->present && str_equal(f->pci_address, function->facts.pci_address))
			return f->ifname;
	}
	return NULL;
}

static const char *hidden_because(const struct device_facts *f)
{
	static const struct {
		const char *kind, *why;
	} kinds[] = {
	    {"bridge", "a bridge cannot leave its network namespace"}, {"bond", "a bond cannot leave its network namespace"},
	    {"team", "a team cannot leave its network namespace"},     {"vrf", "a VRF cannot leave its network namespace"},
	    {"ipoib", "IPoIB, hidden by --move-ib-interfaces=false"},
	};
	for (size_t i = 0; i < ELEMENTS(kinds); i++)
		if (str_equal(f->type, kinds[i].kind))
			return kinds[i].why;
	if (f->is_virtual)
		return "a part of the node's own network";
	return f->pci_address[0] ? "it cannot leave the host" : "it cannot leave the host, or the PCI function it stands on is not offered";
}

void device_unoffered(const struct core *c, const struct device *d, char *text, size_t size)
{
	const char *stays, *why = "";
	text[0] = '\0';
	if (!d->present)
		why = "it is not on the host";
	else if (d->facts.loopback)
		why = "loopback";
	else if (d->uplink)
		why = "carries the node's default route, or stands under it";
	else if (d->facts.hidden)
		why = hidden_because(&d->facts);
	else if (d->vfs_used)
		device_vfs_used(c, d, true, text, size);
	else if (d->pf_held)
		(void)device_held_pf(c, d, text, size);
	else if (!device_is_whole(&d->facts) && (stays = netdev_that_stays(c, d)))
		snprintf(text, size, "its network interface %s cannot leave the host", stays);
	else if (!device_is_whole(&d->facts))
		why = "it has no network interface in the host's namespace";
	if (*why)
		snprintf(text, size, "%s", why);
}

/* A device keeps its slice while it is offered, so that one change rewrites one slice. */
static size_t slice_with_room(const struct core *c)
{
	for (size_t slice = 0;; slice++) {
		size_t n = 0;
		for (size_t i = 0; i < c->n_devices; i++)
			n += c->devices[i]->offered && c->devices[i]->slice == slice;
		if (n < SLICE_DEVICES_MAX)
			return slice;
	}
}

static bool device_offer(struct core *c, struct device *d, bool offer, uint64_t revision)
{
	if (offer == d->offered) {
		bool changed = offer && d->revision == 0;
		if (changed) {
			d->revision = revision;
			slice_touch(c, d->slice);
		}
		return changed;
	}
	if (offer)
		d->slice = slice_with_room(c);
	slice_touch(c, d->slice);
	d->offered = offer;
	d->revision = revision;
	if (offer || d->state != DEVICE_PUBLISHED)
		return true;
	char why[ERROR_KEPT];
	device_unoffered(c, d, why, sizeof(why));
	device_apply(c, d, DEVICE_EVENT_WITHDRAWN, NULL, 0, 0, why);
	return true;
}

void inventory_refresh(struct core *c)
{
	if (!c->inventory_known || !c->publish_dirty)
		return;
	c->publish_dirty = false;
	c->changes++;
	for (size_t i = 0; i < c->n_devices; i++)
		device_turn(c, c->devices[i]);
	uplinks_spread(c);
	pfs_mark(c);
	bool changed = c->revision == 0;
	for (size_t i = 0; i < c->n_devices; i++)
		changed |= device_offer(c, c->devices[i], device_offerable(c->devices[i]), c->revision + 1);
	c->publish_dirty = false; /* device_apply sets it; nothing it changed here is looked at again */
	if (changed)
		effect_add(c, EFFECT_PUBLISH, false)->publish.revision = ++c->revision;
	inventory_drop_unused(c);
}

void inventory_drop_unused(struct core *c)
{
	size_t kept = 0;
	for (size_t i = 0; i < c->n_devices; i++) {
		struct device *d = c->devices[i];
		if (d->present || d->owner || d->offered)
			c->devices[kept++] = d;
		else
			free(d);
	}
	c->n_devices = kept;
}

size_t core_slices(const struct core *c)
{
	size_t n = 1;
	for (size_t i = 0; i < c->n_devices; i++)
		if (c->devices[i]->offered && c->devices[i]->slice + 1 > n)
			n = c->devices[i]->slice + 1;
	return n;
}

void core_slice(const struct core *c, size_t index, struct slice_view *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < c->n_devices && ret->n < SLICE_DEVICES_MAX; i++)
		if (c->devices[i]->offered && c->devices[i]->slice == index)
			ret->devices[ret->n++] = device_shown(c->devices[i]);
}

uint64_t core_slice_version(const struct core *c, size_t index)
{
	return index < c->n_slice_versions ? c->slice_versions[index] : 0;
}
