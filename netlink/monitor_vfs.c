/* SPDX-License-Identifier: Apache-2.0 */
/* A PF lists its VFs, those included that are no device here because a driver for user space has them; so it is read as a whole, once for
 * all its VFs. Whether a VF's netdev is here is known from the links. */
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/monitor_internal.h"

struct listing {
	struct monitor_table *t;
	struct function_entry *pf;
	int32_t user_space;
};

/* What is for user space is none of our functions. */
static void see_vf(const char *address, int32_t index, void *user)
{
	struct listing *l = user;
	struct function_entry *f = table_find_function(l->t, address);
	if (!f)
		l->user_space += sysfs_pci_is_for_user_space(l->t->sysfs, address);
	else if (str_equal(f->pci.pf_address, l->pf->pci.address) && f->vf_index != index) {
		f->vf_index = index;
		f->dirty = true;
	}
}

void table_read_vfs(struct monitor_table *t)
{
	for (size_t i = 0; i < t->n_functions; i++) {
		struct listing l = {.t = t, .pf = t->functions[i]};
		if (!l.pf->vfs_stale)
			continue;
		l.pf->vfs_stale = false;
		sysfs_pci_vfs(t->sysfs, l.pf->pci.address, see_vf, &l);
		if (l.pf->vfs_user_space != l.user_space)
			l.pf->dirty = true;
		l.pf->vfs_user_space = l.user_space;
	}
}

/* A port of an InfiniBand function has no netdev before somebody loads IPoIB. */
static bool is_elsewhere(const struct function_entry *vf)
{
	bool infiniband = vf->pci.base_class == 0x02 && vf->pci.sub_class == 0x07;
	return !vf->has_netdev && !(infiniband && vf->pci.rdma_device[0]);
}

void table_count_vfs(struct monitor_table *t)
{
	if (!t->count_vfs)
		return;
	t->count_vfs = false;
	for (size_t i = 0; i < t->n_functions; i++) {
		t->functions[i]->has_netdev = false;
		t->functions[i]->counting = 0;
	}
	for (size_t i = 0; i < t->n_links; i++) {
		const struct link_entry *l = t->links[i];
		struct function_entry *f = l->sys_known && l->sys.pci_address[0] ? table_find_function(t, l->sys.pci_address) : NULL;
		if (f)
			f->has_netdev = true;
	}
	for (size_t i = 0; i < t->n_functions; i++) {
		const struct function_entry *f = t->functions[i];
		struct function_entry *pf = f->pci.pf_address[0] ? table_find_function(t, f->pci.pf_address) : NULL;
		if (pf && is_elsewhere(f))
			pf->counting++;
	}
	for (size_t i = 0; i < t->n_functions; i++) {
		struct function_entry *f = t->functions[i];
		if (f->vfs_elsewhere != f->counting)
			f->dirty = true;
		f->vfs_elsewhere = f->counting;
	}
}
