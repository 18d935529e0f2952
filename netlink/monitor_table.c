/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/monitor_internal.h"
#include "netlink/route.h"

/* Room for one more in an array of `size`-byte items. */
static int grow(void **v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return 0;
	size_t more = *cap ? 2 * *cap : 8;
	void *p = reallocarray(*v, more, size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

/* ---- links ----------------------------------------------------------------------------------------------------------------------- */

/* Where a link is, or belongs. */
static size_t link_slot(const struct monitor_table *t, int32_t ifindex)
{
	size_t low = 0, high = t->n_links;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t->links[middle]->link.ifindex < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct link_entry *table_find_link(const struct monitor_table *t, int32_t ifindex)
{
	size_t at = link_slot(t, ifindex);
	return at < t->n_links && t->links[at]->link.ifindex == ifindex ? t->links[at] : NULL;
}

static void link_entry_free(struct link_entry *l)
{
	free(l->addresses);
	free(l);
}

int table_gone(struct monitor_table *t, struct told *told)
{
	if (!told->is)
		return 0;
	if (grow((void **)&t->gone, t->n_gone, &t->cap_gone, sizeof(*t->gone)) < 0)
		return -ENOMEM;
	memcpy(t->gone[t->n_gone++], told->name, DEVICE_NAME_SIZE);
	told->is = false;
	return 0;
}

static bool is_uplink(const struct monitor_table *t, int32_t ifindex)
{
	for (size_t f = 0; f < ELEMENTS(t->families); f++)
		for (size_t i = 0; i < t->families[f].n; i++)
			if (t->families[f].v[i] == ifindex)
				return true;
	return false;
}

static int forget_link(struct monitor_table *t, size_t at)
{
	struct link_entry *l = t->links[at];
	if (table_gone(t, &l->told) < 0)
		return -ENOMEM;
	struct function_entry *f = l->sys_known ? table_find_function(t, l->sys.pci_address) : NULL;
	if (f)
		f->stale = f->dirty = t->count_vfs = true; /* moved away, or unplugged with its function */
	if (is_uplink(t, l->link.ifindex))
		t->routes_wanted = true;
	link_entry_free(l);
	memmove(&t->links[at], &t->links[at + 1], (t->n_links - at - 1) * sizeof(*t->links));
	t->n_links--;
	return 0;
}

static int new_link(struct monitor_table *t, size_t at, const struct link *l)
{
	if (grow((void **)&t->links, t->n_links, &t->cap_links, sizeof(*t->links)) < 0)
		return -ENOMEM;
	struct link_entry *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->link = *l;
	entry->generation = t->generation;
	entry->dirty = true;
	entry->look = LOOK_EBPF | LOOK_HARDWARE;
	memmove(&t->links[at + 1], &t->links[at], (t->n_links - at) * sizeof(*t->links));
	t->links[at] = entry;
	t->n_links++;
	return 0;
}

int table_take_link(struct monitor_table *t, const struct nlmsghdr *h)
{
	struct link l;
	if (link_parse(h, &l) < 0)
		return 0;
	t->pending = true;
	size_t at = link_slot(t, l.ifindex);
	bool there = at < t->n_links && t->links[at]->link.ifindex == l.ifindex;
	if (h->nlmsg_type == RTM_DELLINK)
		return there ? forget_link(t, at) : 0;
	if (!there)
		return new_link(t, at, &l);
	struct link_entry *entry = t->links[at];
	/* The kernel takes IPv4 routes of a link that goes down without a notification. */
	if ((entry->link.flags & IFF_UP) && !(l.flags & IFF_UP) && is_uplink(t, l.ifindex))
		t->routes_wanted = true;
	entry->look |= LOOK_EBPF;
	if (entry->link.operstate != l.operstate || (entry->link.flags ^ l.flags) & (IFF_UP | IFF_RUNNING))
		entry->look |= LOOK_HARDWARE; /* the other end may be another now */
	if (!str_equal(entry->link.ifname, l.ifname)) {
		entry->look |= LOOK_HARDWARE; /* which is asked by name, too */
		entry->sys_stale = true;
	}
	entry->link = l;
	entry->generation = t->generation;
	entry->dirty = true;
	return 0;
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------- */

/* Temporary addresses are replaced every few hours and deprecated ones are on their way out: publishing them would only rewrite slices. */
static bool is_published(const struct address_message *m)
{
	return ip_address_is_global_unicast(&m->address.prefix.address) &&
	       !(m->address.prefix.address.family == IP_V6 && m->address.flags & (IFA_F_TEMPORARY | IFA_F_DEPRECATED | IFA_F_DADFAILED));
}

int table_take_address(struct monitor_table *t, const struct nlmsghdr *h)
{
	struct address_message m;
	if (address_parse(h, &m) < 0)
		return 0;
	struct link_entry *l = table_find_link(t, m.ifindex);
	if (!l)
		return 0; /* newer than the link dump; its own notification follows */
	size_t i = 0;
	while (i < l->n_addresses && !ip_prefix_equal(&l->addresses[i], &m.address.prefix))
		i++;
	bool wanted = h->nlmsg_type == RTM_NEWADDR && is_published(&m);
	if (h->nlmsg_type == RTM_DELADDR && is_uplink(t, m.ifindex))
		t->routes_wanted = t->pending = true; /* routes that prefer it go with it, without a notification */
	if (wanted == (i < l->n_addresses))
		return 0;
	l->dirty = t->pending = true;
	if (!wanted) {
		l->addresses[i] = l->addresses[--l->n_addresses];
		return 0;
	}
	if (grow((void **)&l->addresses, l->n_addresses, &l->cap_addresses, sizeof(*l->addresses)) < 0)
		return -ENOMEM;
	l->addresses[l->n_addresses++] = m.address.prefix;
	return 0;
}

/* ---- default routes -------------------------------------------------------------------------------------------------------------- */

void table_note_route(struct monitor_table *t, const struct nlmsghdr *h)
{
	struct rtmsg info;
	if (nlmsg_datalen(h) < (int)sizeof(info))
		return;
	/* Peek only: a router's host sees thousands of these. */
	memcpy(&info, nlmsg_data(h), sizeof(info));
	if (info.rtm_dst_len == 0 && info.rtm_table == RT_TABLE_MAIN && !(info.rtm_flags & RTM_F_CLONED))
		t->routes_wanted = t->pending = true;
}

static int add_uplink(struct uplinks *u, int32_t ifindex)
{
	if (grow((void **)&u->v, u->n, &u->cap, sizeof(*u->v)) < 0)
		return -ENOMEM;
	u->v[u->n++] = ifindex;
	return 0;
}

int table_take_route(struct monitor_table *t, const struct nlmsghdr *h)
{
	struct route_message m;
	if (route_parse(h, &m) < 0 || m.route.destination.length != 0 || m.route.table != RT_TABLE_MAIN || m.route.type != RTN_UNICAST ||
	    (m.flags & RTM_F_CLONED))
		return 0;
	struct uplinks *u = &t->families[m.family == IP_V6];
	if (u->n > 0 && m.route.metric > u->metric)
		return 0;
	if (m.route.metric < u->metric)
		u->n = 0;
	u->metric = m.route.metric;
	for (size_t i = 0; i < m.n_oifs; i++)
		if (add_uplink(u, m.oifs[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* ---- PCI functions --------------------------------------------------------------------------------------------------------------- */

static size_t function_slot(const struct monitor_table *t, const char *address)
{
	size_t low = 0, high = t->n_functions;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (strcmp(t->functions[middle]->pci.address, address) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct function_entry *table_find_function(const struct monitor_table *t, const char *address)
{
	size_t at = function_slot(t, address);
	return at < t->n_functions && str_equal(t->functions[at]->pci.address, address) ? t->functions[at] : NULL;
}

static void touch_pf(struct monitor_table *t, const struct sysfs_pci *vf)
{
	struct function_entry *pf = vf->pf_address[0] ? table_find_function(t, vf->pf_address) : NULL;
	if (pf)
		pf->stale = pf->vfs_stale = pf->dirty = true; /* it counts its VFs */
}

static int new_function(struct monitor_table *t, const struct sysfs_pci *pci)
{
	size_t at = function_slot(t, pci->address);
	if (grow((void **)&t->functions, t->n_functions, &t->cap_functions, sizeof(*t->functions)) < 0)
		return -ENOMEM;
	struct function_entry *f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->pci = *pci;
	f->generation = t->generation;
	f->vf_index = -1;
	f->dirty = t->count_vfs = true;
	f->vfs_stale = pci->sriov_vfs > 0;
	memmove(&t->functions[at + 1], &t->functions[at], (t->n_functions - at) * sizeof(*t->functions));
	t->functions[at] = f;
	t->n_functions++;
	touch_pf(t, pci);
	return 0;
}

static int forget_function(struct monitor_table *t, size_t at)
{
	struct function_entry *f = t->functions[at];
	if (table_gone(t, &f->told) < 0)
		return -ENOMEM;
	memmove(&t->functions[at], &t->functions[at + 1], (t->n_functions - at - 1) * sizeof(*t->functions));
	t->n_functions--;
	touch_pf(t, &f->pci);
	free(f);
	return 0;
}

const struct near_nodes *table_find_near(const struct monitor_table *t, int32_t node)
{
	for (size_t i = 0; i < t->n_near; i++)
		if (t->near[i].v[0] == node)
			return &t->near[i];
	return NULL;
}

static int read_near(struct monitor_table *t, int32_t node)
{
	if (!t->near_numa_nodes || node < 0 || table_find_near(t, node))
		return 0;
	if (grow((void **)&t->near, t->n_near, &t->cap_near, sizeof(*t->near)) < 0)
		return -ENOMEM;
	struct near_nodes *near = &t->near[t->n_near++];
	near->n = sysfs_numa_near(t->sysfs, node, near->v);
	return 0;
}

/* Of what is no device of ours: a VF that goes from a driver for user space to none, or away; then it is too late to ask whose it was. */
static void touch_pfs(struct monitor_table *t, const struct sysfs_pci *vf)
{
	if (vf->address[0]) {
		touch_pf(t, vf);
		return;
	}
	for (size_t i = 0; i < t->n_functions; i++)
		if (t->functions[i]->pci.sriov_vfs > 0)
			t->functions[i]->stale = t->functions[i]->vfs_stale = true;
}

/* Read one function and keep it if it is a network device's. */
static int read_function(struct monitor_table *t, const char *address)
{
	struct function_entry *f = table_find_function(t, address);
	struct sysfs_pci pci = {0};
	int r = sysfs_pci_read(t->sysfs, t->names, address, &pci);
	if (r < 0 && r != -ENOENT)
		return r; /* nobody knows whether it is there */
	if (r < 0 || !sysfs_pci_is_offered(&pci)) {
		if (f)
			return forget_function(t, function_slot(t, address));
		touch_pfs(t, &pci);
		return 0;
	}
	if (read_near(t, pci.numa_node) < 0)
		return -ENOMEM;
	if (!f)
		return new_function(t, &pci);
	f->vfs_stale |= pci.sriov_vfs > 0 || f->pci.sriov_vfs > 0;
	f->pci = pci;
	f->generation = t->generation;
	f->stale = false;
	f->dirty = t->count_vfs = true;
	return 0;
}

static int see_function(const char *address, void *user)
{
	return read_function(user, address);
}

bool table_is_hidden(const struct monitor_table *t, const struct link_entry *l)
{
	/* Behind docker0: the links that the modules of tunnels make by themselves, of kinds that may move otherwise. */
	static const char *const names[] = {"cilium_net", "cilium_host", "docker0", "tunl0",   "gre0",    "gretap0",
	                                    "erspan0",    "sit0",        "ip6tnl0", "ip6gre0", "ip_vti0", "ip6_vti0"};
	/* The kernel refuses to move these between namespaces: offering one would promise what every attach must fail at. Since 6.15 it
	 * says so itself; before, this has to be known. */
	static const char *const fixed[] = {"bridge", "bond", "team", "vrf", "hsr", "batadv"};
	if (l->link.fixed)
		return true;
	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (str_equal(l->link.ifname, names[i]))
			return true;
	for (size_t i = 0; i < ELEMENTS(fixed); i++)
		if (str_equal(l->link.kind, fixed[i]))
			return true;
	return t->hide_ipoib && str_equal(l->link.kind, "ipoib");
}

/* Which netdev of a function bears its name: the one with the lowest ifindex, and it keeps it while it is away in a pod. Further ports
 * (dev_port) and representors never do, so that a restart while the first is away does not hand its name to the second. */
static void choose_owner(struct monitor_table *t, const struct link_entry *l)
{
	struct function_entry *f = table_find_function(t, l->sys.pci_address);
	if (!f)
		return;
	f->dirty = t->count_vfs = true;
	if (f->owner == l->link.ifindex)
		return;
	const struct link_entry *present = f->owner ? table_find_link(t, f->owner) : NULL;
	if (present && !str_equal(present->sys.pci_address, f->pci.address))
		present = NULL;
	if (present)
		f->shared = true;
	if (present || l->sys.port > 0 || l->link.representor || table_is_hidden(t, l))
		return;
	bool same = f->owner_mac.length > 0 && mac_equal(&f->owner_mac, &l->link.permanent_mac);
	if (f->owner && f->shared && !same)
		return;
	f->owner = l->link.ifindex;
	f->owner_mac = l->link.permanent_mac;
}

/* It never was on that function: who is may bear its name. */
static void leave_function(struct monitor_table *t, const struct link_entry *l, const char *address)
{
	struct function_entry *f = table_find_function(t, address);
	if (!f)
		return;
	f->dirty = t->count_vfs = true;
	if (f->owner != l->link.ifindex)
		return;
	f->owner = 0;
	f->shared = false;
	for (size_t i = 0; i < t->n_links; i++)
		if (t->links[i]->sys_known && str_equal(t->links[i]->sys.pci_address, address))
			choose_owner(t, t->links[i]);
}

/* An event can be older than the name sysfs shows now; then another event is under way. */
static int read_netdev(struct monitor_table *t, struct link_entry *l)
{
	char before[PCI_ADDRESS_SIZE];
	memcpy(before, l->sys.pci_address, sizeof(before));
	if (sysfs_netdev_read(t->sysfs, l->link.ifname, &l->sys) < 0)
		return 0;
	l->sys_known = l->dirty = true;
	l->sys_stale = false;
	if (before[0] && !str_equal(before, l->sys.pci_address))
		leave_function(t, l, before);
	int r = l->sys.pci_address[0] && !table_find_function(t, l->sys.pci_address) ? read_function(t, l->sys.pci_address) : 0;
	if (r == 0)
		choose_owner(t, l);
	return r;
}

/* ---- uevents --------------------------------------------------------------------------------------------------------------------- */

int table_note_uevent(struct monitor_table *t, const char *data, size_t len)
{
	static const char subsystem_key[] = "SUBSYSTEM=", path_key[] = "DEVPATH=";
	const char *subsystem = "", *path = "";
	char address[PCI_ADDRESS_SIZE];
	if (len == 0 || data[len - 1] != '\0')
		return 0;
	for (const char *at = data; at < data + len; at += strlen(at) + 1) {
		if (str_starts(at, subsystem_key))
			subsystem = at + sizeof(subsystem_key) - 1;
		else if (str_starts(at, path_key))
			path = at + sizeof(path_key) - 1;
	}
	if ((!str_equal(subsystem, "pci") && !str_equal(subsystem, "infiniband")) || pci_address_of_path(path, address) < 0)
		return 0;
	if (grow((void **)&t->changed, t->n_changed, &t->cap_changed, sizeof(*t->changed)) < 0)
		return -ENOMEM;
	memcpy(t->changed[t->n_changed++], address, sizeof(address));
	t->pending = true;
	return 0;
}

static int read_changed(struct monitor_table *t)
{
	int r = 0;
	for (size_t i = 0; i < t->n_changed && r == 0; i++) {
		r = read_function(t, t->changed[i]);
		for (size_t k = 0; k < t->n_links; k++)
			if (str_equal(t->links[k]->sys.pci_address, t->changed[i]))
				t->links[k]->sys_known = false; /* its RDMA device may be another */
	}
	t->n_changed = 0;
	return r;
}

int table_read_sysfs(struct monitor_table *t, bool all)
{
	int r = read_changed(t);
	if (all && r == 0)
		r = sysfs_pci_list(t->sysfs, see_function, t);
	for (size_t i = 0; all && i < t->n_functions && r == 0;)
		if (t->functions[i]->generation != t->generation)
			r = forget_function(t, i);
		else
			i++;
	for (size_t i = 0; i < t->n_links && r == 0; i++)
		if (!t->links[i]->sys_known || t->links[i]->sys_stale)
			r = read_netdev(t, t->links[i]);
	/* Reading one may make another stale (its PF), never itself. */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < t->n_functions && r == 0; i++)
			if (t->functions[i]->stale) {
				char address[PCI_ADDRESS_SIZE];
				memcpy(address, t->functions[i]->pci.address, sizeof(address));
				r = read_function(t, address);
			}
	table_read_vfs(t);
	pci_names_release(t->names);
	return r;
}

/* ---- dumps ----------------------------------------------------------------------------------------------------------------------- */

void table_dump_links(struct monitor_table *t)
{
	t->generation++;
	t->n_near = 0; /* memory can be plugged, too */
}

void table_dump_addresses(struct monitor_table *t)
{
	for (size_t i = 0; i < t->n_links; i++)
		t->links[i]->n_addresses = 0;
}

void table_dump_routes(struct monitor_table *t, size_t family)
{
	t->families[family].n = 0;
	t->families[family].metric = UINT32_MAX;
}

void table_dump_end(struct monitor_table *t)
{
	for (size_t i = 0; i < t->n_links;)
		if (t->links[i]->generation != t->generation && forget_link(t, i) == 0)
			continue;
		else
			i++;
	t->routes_wanted = false;
}

void table_free(struct monitor_table *t)
{
	for (size_t i = 0; i < t->n_links; i++)
		link_entry_free(t->links[i]);
	for (size_t i = 0; i < t->n_functions; i++)
		free(t->functions[i]);
	free(t->links);
	free(t->functions);
	free(t->families[0].v);
	free(t->families[1].v);
	free(t->uplinks_told.v);
	free(t->near);
	free(t->changed);
	free(t->gone);
	pci_names_free(t->names);
}
