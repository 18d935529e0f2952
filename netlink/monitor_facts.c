/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/monitor_internal.h"

/* ---- facts ----------------------------------------------------------------------------------------------------------------------- */

static int compare_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static int join_addresses(const struct link_entry *l, uint8_t family, char list[ATTRIBUTE_TEXT_SIZE])
{
	char(*texts)[IP_TEXT_MAX] = NULL;
	size_t n = 0;
	for (size_t i = 0; i < l->n_addresses; i++)
		n += l->addresses[i].address.family == family;
	if (n == 0)
		return 0;
	texts = calloc(n, sizeof(*texts));
	if (!texts)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < l->n_addresses; i++)
		if (l->addresses[i].address.family == family)
			ip_prefix_format(&l->addresses[i], texts[n++]);
	qsort(texts, n, sizeof(*texts), compare_text);
	for (size_t i = 0; i < n && attribute_list_add(list, texts[i]); i++)
		;
	free(texts);
	return 0;
}

static int add_link_facts(const struct monitor_table *t, const struct link_entry *entry, struct device_facts *f)
{
	const struct link *l = &entry->link;
	f->ifindex = l->ifindex;
	f->master = l->master;
	f->lower = l->lower;
	f->mtu = l->mtu;
	f->mac = l->mac;
	f->permanent_mac = l->permanent_mac;
	f->up = l->flags & IFF_UP;
	f->loopback = l->flags & IFF_LOOPBACK;
	f->is_virtual = entry->sys.is_virtual;
	f->hidden = table_is_hidden(t, entry);
	f->ebpf = entry->ebpf.any;
	memcpy(f->tc_filters, entry->ebpf.filters, sizeof(f->tc_filters));
	memcpy(f->tcx_programs, entry->ebpf.programs, sizeof(f->tcx_programs));
	STR_CUT(f->ifname, l->ifname);
	STR_CUT(f->alias, l->alias);
	STR_CUT(f->type, link_type(l->kind));
	STR_CUT(f->state, link_operstate(l->operstate));
	STR_CUT(f->switch_id, l->switch_id);
	STR_CUT(f->driver, entry->sys.driver); /* a PCI function's own comes before it */
	STR_CUT(f->firmware, entry->hardware.firmware);
	/* What a driver says of a link that is down is of another day. */
	if (l->operstate == IF_OPER_UP || l->operstate == IF_OPER_UNKNOWN)
		f->speed = entry->hardware.speed;
	link_encapsulation(l->hardware, f->encapsulation, sizeof(f->encapsulation));
	if (entry->sys.rdma_device[0])
		STR_CUT(f->rdma_device, entry->sys.rdma_device);
	int r = join_addresses(entry, IP_V4, f->ipv4);
	return r < 0 ? r : join_addresses(entry, IP_V6, f->ipv6);
}

/* The netdev a function is told with: the one that bears its name, if it is here. */
static const struct link_entry *owner_of(const struct monitor_table *t, const struct function_entry *f)
{
	const struct link_entry *l = f->owner ? table_find_link(t, f->owner) : NULL;
	return l && l->sys_known && str_equal(l->sys.pci_address, f->pci.address) && !table_is_hidden(t, l) ? l : NULL;
}

static void add_pci_facts(const struct monitor_table *t, const struct function_entry *function, struct device_facts *f)
{
	const struct sysfs_pci *p = &function->pci;
	STR_CUT(f->pci_address, p->address);
	STR_CUT(f->pci_vendor, p->vendor);
	STR_CUT(f->pci_device, p->device);
	STR_CUT(f->pci_subsystem, p->subsystem);
	STR_CUT(f->pcie_root, p->root);
	STR_CUT(f->driver, p->driver);
	f->numa_node = p->numa_node;
	const struct near_nodes *near = table_find_near(t, p->numa_node);
	if (near) {
		f->n_numa_nodes = near->n;
		memcpy(f->numa_nodes, near->v, near->n * sizeof(near->v[0]));
	}
	f->is_nic = p->base_class == 0x02 && p->sub_class != 0x07;
	f->sriov = p->sriov_total > 0;
	f->sriov_vfs = p->sriov_vfs;
	f->vf_index = function->vf_index;
	f->vfs_away = function->vfs_user_space + function->vfs_elsewhere;
	f->is_vf = p->pf_address[0];
	STR_CUT(f->pf_address, p->pf_address);
	const struct function_entry *pf = f->is_vf ? table_find_function(t, p->pf_address) : NULL;
	const struct link_entry *pf_link = pf ? owner_of(t, pf) : NULL;
	if (pf_link) {
		STR_CUT(f->pf_ifname, pf_link->link.ifname);
		f->pf_mtu = pf_link->link.mtu;
	}
}

/* In place and from zero: facts are digested as bytes, padding included. */
static int build_facts(const struct monitor_table *t, const struct function_entry *function, const struct link_entry *l,
                       struct device_facts *ret)
{
	int r = 0;
	memset(ret, 0, sizeof(*ret));
	ret->numa_node = ret->vf_index = -1;
	if (l)
		r = add_link_facts(t, l, ret);
	if (function)
		add_pci_facts(t, function, ret);
	/* A netdev that stands on a part of the function (a subfunction) has its own RDMA device or none, and no VFs; a representor has no
	 * RDMA device. */
	bool of_function = !l || l->sys.on_function || (function && function->owner == l->link.ifindex);
	if (function && !of_function) {
		ret->sriov = false;
		ret->sriov_vfs = ret->vfs_away = 0;
	}
	if (function && !ret->rdma_device[0] && of_function && (!l || !l->link.representor || function->owner == l->link.ifindex))
		STR_CUT(ret->rdma_device, function->pci.rdma_device);
	ret->rdma = ret->rdma_device[0];
	return r;
}

/* ---- telling --------------------------------------------------------------------------------------------------------------------- */

struct teller {
	struct monitor_table *t;
	const struct monitor_callbacks *to;
	void *user;
	bool all;
};

/* FNV-1a. */
static uint64_t digest_of(const struct device_facts *facts)
{
	const uint8_t *p = (const uint8_t *)facts;
	uint64_t digest = UINT64_C(0xcbf29ce484222325);
	for (size_t i = 0; i < sizeof(*facts); i++)
		digest = (digest ^ p[i]) * UINT64_C(0x100000001b3);
	return digest;
}

static int tell(struct teller *w, struct told *told, const struct device_facts *facts)
{
	uint64_t digest = digest_of(facts);
	if (told->is && told->digest == digest && !w->all)
		return 0;
	if (told->is && !str_equal(told->name, facts->name) && !w->all)
		w->to->gone(told->name, w->user);
	memcpy(told->name, facts->name, sizeof(told->name));
	told->digest = digest;
	told->is = true;
	w->to->device(facts, w->user);
	return 0;
}

static int tell_function(struct teller *w, struct function_entry *f)
{
	struct device_facts facts;
	int r = build_facts(w->t, f, owner_of(w->t, f), &facts);
	if (r < 0)
		return r;
	f->dirty = false;
	if (device_name_pci(f->pci.address, facts.name) < 0)
		return 0; /* a domain beyond four digits has no name DRANET would give it */
	return tell(w, &f->told, &facts);
}

static int tell_link(struct teller *w, struct link_entry *l)
{
	struct device_facts facts;
	const struct function_entry *f = l->sys.pci_address[0] ? table_find_function(w->t, l->sys.pci_address) : NULL;
	if (!l->sys_known)
		return 0; /* stays dirty: what it stands on is not known yet */
	l->dirty = false;
	if (f && owner_of(w->t, f) == l)
		return table_gone(w->t, &l->told); /* it is told as the function */
	int r = build_facts(w->t, f, l, &facts);
	if (r < 0)
		return r;
	/* On a PCI function that is not offered (USB behind its controller, a driver for user space): seen, never handed out. */
	if (!f && l->sys.pci_address[0])
		facts.hidden = true;
	if (device_name_netdev(l->link.ifname, facts.name) < 0)
		return 0;
	return tell(w, &l->told, &facts);
}

/* What depends on another entry: a function on its netdev, a VF on its PF's netdev. */
static void spread_dirt(struct monitor_table *t)
{
	for (size_t i = 0; i < t->n_links; i++) {
		struct link_entry *l = t->links[i];
		struct function_entry *f =
		    l->dirty && l->sys_known && l->sys.pci_address[0] ? table_find_function(t, l->sys.pci_address) : NULL;
		if (f)
			f->dirty = true;
	}
	for (size_t i = 0; i < t->n_functions; i++) {
		struct function_entry *f = t->functions[i];
		const struct function_entry *pf = f->pci.pf_address[0] ? table_find_function(t, f->pci.pf_address) : NULL;
		if (pf && pf->dirty)
			f->dirty = true;
	}
}

static void tell_gone(struct teller *w)
{
	for (size_t i = 0; i < w->t->n_gone && !w->all; i++)
		w->to->gone(w->t->gone[i], w->user);
	w->t->n_gone = 0;
}

int table_flush(struct monitor_table *t, bool all, const struct monitor_callbacks *to, void *user)
{
	struct teller w = {.t = t, .to = to, .user = user, .all = all};
	int r = 0;
	if (all)
		to->begin(user);
	table_count_vfs(t);
	spread_dirt(t);
	tell_gone(&w);
	for (size_t i = 0; i < t->n_functions && r == 0; i++)
		if (all || t->functions[i]->dirty)
			r = tell_function(&w, t->functions[i]);
	for (size_t i = 0; i < t->n_links && r == 0; i++)
		if (all || t->links[i]->dirty)
			r = tell_link(&w, t->links[i]);
	tell_gone(&w); /* netdevs that became a function's */
	if (all)
		to->end(user);
	return r;
}

static int compare_ifindex(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

int table_flush_uplinks(struct monitor_table *t, const struct monitor_callbacks *to, void *user)
{
	const struct uplinks *v4 = &t->families[0], *v6 = &t->families[1];
	size_t total = v4->n + v6->n, n = 0;
	int32_t *all = calloc(total + 1, sizeof(*all));
	if (!all)
		return -ENOMEM;
	if (v4->n > 0)
		memcpy(all, v4->v, v4->n * sizeof(*all));
	if (v6->n > 0)
		memcpy(all + v4->n, v6->v, v6->n * sizeof(*all));
	qsort(all, total, sizeof(*all), compare_ifindex);
	for (size_t i = 0; i < total; i++)
		if (all[i] > 0 && (n == 0 || all[n - 1] != all[i]))
			all[n++] = all[i];
	struct uplinks *told = &t->uplinks_told;
	if (t->uplinks_known && told->n == n && (n == 0 || memcmp(told->v, all, n * sizeof(*all)) == 0)) {
		free(all);
		return 0;
	}
	free(told->v);
	*told = (struct uplinks){.v = all, .n = n, .cap = total + 1};
	t->uplinks_known = true;
	to->uplinks(told->v, told->n, user);
	return 0;
}
