/* SPDX-License-Identifier: Apache-2.0 */
/* What discovery makes of a whole machine of tests/unit/machines. Links and RDMA devices are told as the kernel would tell them, from what
 * the tree says of them; everything else is read by the monitor's own code, and by that of rdma/. */
#pragma once

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/monitor_internal.h"
#include "rdma/attribution.h"
#include "rdma/sysfs.h"
#include "sysfs_fixture.h"

enum { DEVICES_MAX = 512, RDMA_DEVICES_MAX = 16 };

struct world {
	struct machine m;
	struct monitor_table t;
	struct rdma_device rdma_devices[RDMA_DEVICES_MAX];
	struct rdma_port rdma_ports[RDMA_DEVICES_MAX]; /* the first of each */
	struct rdma_table rdma;
	struct device_facts devices[DEVICES_MAX];
	size_t n;
};

/* ---- links, from the tree ---------------------------------------------------------------------------------------------------------- */

/* The first line of CLASS/NAME/FILE of sysfs; "" and false when it cannot be read. */
static inline bool read_line(const struct machine *m, const char *class, const char *name, const char *file, char *text, size_t size)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/class/%s/%s/%s", m->root, class, name, file);
	FILE *f = fopen(path, "r");
	bool there = f && fgets(text, (int)size, f);
	text[there ? strcspn(text, "\n") : 0] = '\0';
	if (f)
		fclose(f);
	return there;
}

/* 0 when it cannot be read, or is none. */
static inline int32_t read_index(const struct machine *m, const char *ifname, const char *file)
{
	char text[32];
	return read_line(m, "net", ifname, file, text, sizeof(text)) ? atoi(text) : 0;
}

static inline int bytes_of(const char *text, uint8_t *bytes, int max)
{
	int n = 0;
	unsigned byte;
	for (; n < max && sscanf(text, "%2x", &byte) == 1; n++) {
		bytes[n] = (uint8_t)byte;
		text += 2;
		text += *text == ':';
	}
	return n;
}

static inline void tell_link(struct world *w, const char *ifname, int32_t number)
{
	char text[128];
	uint8_t bytes[32];
	struct ifinfomsg info = {.ifi_index = number, .ifi_type = ARPHRD_ETHER, .ifi_flags = IFF_UP};
	int32_t lower = read_index(&w->m, ifname, "iflink"), master = read_index(&w->m, ifname, "master/ifindex");
	if (read_line(&w->m, "net", ifname, "ifindex", text, sizeof(text)))
		info.ifi_index = atoi(text);
	if (read_line(&w->m, "net", ifname, "type", text, sizeof(text)))
		info.ifi_type = (unsigned short)atoi(text);
	if (info.ifi_type == ARPHRD_LOOPBACK)
		info.ifi_flags |= IFF_LOOPBACK;
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWLINK, 0, &info, sizeof(info));
	nla_put_string(m, IFLA_IFNAME, ifname);
	nla_put_u32(m, IFLA_MTU, 1500);
	if (lower && lower != info.ifi_index)
		nla_put_u32(m, IFLA_LINK, (uint32_t)lower);
	if (master)
		nla_put_u32(m, IFLA_MASTER, (uint32_t)master);
	int n = read_line(&w->m, "net", ifname, "address", text, sizeof(text)) ? bytes_of(text, bytes, 20) : 0;
	if (n > 0)
		nla_put(m, IFLA_ADDRESS, n, bytes);
	nla_put_u8(m, IFLA_OPERSTATE,
	           read_line(&w->m, "net", ifname, "operstate", text, sizeof(text)) && str_equal(text, "up") ? IF_OPER_UP : 2);
	n = read_line(&w->m, "net", ifname, "phys_switch_id", text, sizeof(text)) ? bytes_of(text, bytes, 32) : 0;
	if (n > 0)
		nla_put(m, IFLA_PHYS_SWITCH_ID, n, bytes);
	if (read_line(&w->m, "net", ifname, "phys_port_name", text, sizeof(text)))
		nla_put_string(m, IFLA_PHYS_PORT_NAME, text);
	if (info.ifi_type == ARPHRD_INFINIBAND) {
		struct nlattr *nest = nla_nest_start(m, IFLA_LINKINFO);
		nla_put_string(m, IFLA_INFO_KIND, "ipoib");
		nla_nest_end(m, nest);
	}
	assert_int_equal(table_take_link(&w->t, nlmsg_hdr(m)), 0);
}

/* `tell` for each that the tree has of a class, by name. */
static inline void each_of_class(struct world *w, const char *class, void (*tell)(struct world *w, const char *name, int32_t number))
{
	char path[128];
	struct dirent **entries;
	snprintf(path, sizeof(path), "%s/class/%s", w->m.root, class);
	int n = scandir(path, &entries, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.')
			tell(w, entries[i]->d_name, 100 + i);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

static inline void tell_links(struct world *w)
{
	table_dump_links(&w->t);
	each_of_class(w, "net", tell_link);
	table_dump_end(&w->t);
}

/* ---- RDMA devices, from the tree --------------------------------------------------------------------------------------------------- */

static inline void tell_rdma_device(struct world *w, const char *name, int32_t number)
{
	char text[128];
	assert_true(w->rdma.n_devices < RDMA_DEVICES_MAX);
	struct rdma_device *d = &w->rdma_devices[w->rdma.n_devices++];
	struct rdma_port *p = &w->rdma_ports[w->rdma.n_ports++];
	*d = (struct rdma_device){.index = (uint32_t)number, .ports = 1, .node_type = 1};
	*p = (struct rdma_port){.device = d->index, .number = 1};
	assert_int_equal(STR_COPY(d->name, name), 0);
	if (read_line(&w->m, "infiniband", name, "node_guid", text, sizeof(text)))
		for (const char *at = text; *at; at++)
			d->node_guid = *at == ':' ? d->node_guid : d->node_guid << 4 | (uint64_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
	bool ethernet = read_line(&w->m, "infiniband", name, "ports/1/link_layer", text, sizeof(text)) && str_equal(text, "Ethernet");
	d->protocol = ethernet ? RDMA_PROTOCOL_ROCE : RDMA_PROTOCOL_IB;
	if (read_line(&w->m, "infiniband", name, "ports/1/state", text, sizeof(text)))
		p->state = (uint8_t)atoi(text);
	if (read_line(&w->m, "infiniband", name, "ports/1/gid_attrs/ndevs/0", text, sizeof(text))) {
		assert_int_equal(STR_COPY(p->ifname, text), 0);
		p->ifindex = read_index(&w->m, text, "ifindex");
	}
}

/* None where the tree has no such class: then RDMA netlink says nothing. */
static inline void tell_rdma(struct world *w)
{
	int root = open(w->m.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	w->rdma = (struct rdma_table){.mode = RDMA_NETNS_SHARED, .devices = w->rdma_devices, .ports = w->rdma_ports};
	each_of_class(w, "infiniband", tell_rdma_device);
	rdma_sysfs_add(root, &w->rdma);
	close(root);
}

/* ---- devices ----------------------------------------------------------------------------------------------------------------------- */

static inline void see(void *user)
{
	(void)user;
}

static inline void see_device(const struct device_facts *facts, void *user)
{
	struct world *w = user;
	struct attribute attributes[ATTRIBUTES_MAX];
	assert_true(w->n < DEVICES_MAX);
	struct device_facts *f = &w->devices[w->n++];
	*f = *facts;
	rdma_facts_add(&w->rdma, f); /* as the engine does */
	size_t n = device_attributes(f, attributes);
	for (size_t i = 0; i < n; i++)
		assert_true(attributes[i].type != ATTRIBUTE_STRING || strlen(attributes[i].string) <= 64);
}

static inline void see_gone(const char *name, void *user)
{
	(void)user;
	fail_msg("%s was never told of, and is gone", name);
}

static inline struct world *discover(const char *machine, bool hide_ipoib)
{
	static const struct monitor_callbacks to = {.begin = see, .device = see_device, .gone = see_gone, .end = see};
	struct world *w = calloc(1, sizeof(*w));
	char path[512];
	assert_non_null(w);
	snprintf(path, sizeof(path), "%s/%s.tree", MACHINES, machine);
	machine_load(&w->m, path);
	w->t = (struct monitor_table){.sysfs = w->m.sysfs, .hide_ipoib = hide_ipoib, .near_numa_nodes = true};
	assert_int_equal(pci_names_new(&w->t.names), 0);
	tell_links(w);
	tell_rdma(w);
	assert_int_equal(table_read_sysfs(&w->t, true), 0);
	assert_int_equal(table_flush(&w->t, true, &to, w), 0);
	return w;
}

static inline void forget(struct world *w)
{
	table_free(&w->t);
	machine_free(&w->m);
	free(w);
}

/* What is known of a device, in one line; names from the hardware database are not among it. */
static inline void describe(const struct device_facts *f, struct buf *b)
{
	buf_printf(b, "%s", f->name);
	if (f->ifname[0])
		buf_printf(b, " if=%s", f->ifname);
	if (f->pcie_root[0])
		buf_printf(b, " root=%s", f->pcie_root);
	if (f->driver[0])
		buf_printf(b, " driver=%s", f->driver);
	for (size_t i = 0; i < f->n_numa_nodes; i++)
		buf_printf(b, "%s%d", i ? "," : " numa=", f->numa_nodes[i]);
	if (f->rdma)
		buf_printf(b, " rdma=%s", f->rdma_device);
	if (f->sriov)
		buf_printf(b, " vfs=%d", f->sriov_vfs);
	if (f->vfs_away)
		buf_printf(b, " away=%d", f->vfs_away);
	if (f->is_vf)
		buf_printf(b, " vf=%d of %s (%s)", f->vf_index, f->pf_address, f->pf_ifname);
	if (f->switch_id[0])
		buf_printf(b, " switch=%s", f->switch_id);
	if (f->is_virtual)
		buf_printf(b, " virtual");
	buf_puts(b, f->hidden ? " hidden\n" : "\n");
}

/* `lines`: some of its devices; `n_devices`: how many there are in all. */
static inline void expect(const char *machine, bool hide_ipoib, size_t n_devices, const char *const *lines, size_t n)
{
	_cleanup_buf_ struct buf all = {0};
	struct world *w = discover(machine, hide_ipoib);
	size_t n_found = w->n;
	buf_puts(&all, "\n");
	for (size_t k = 0; k < w->n; k++)
		describe(&w->devices[k], &all);
	forget(w);
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf line = {0};
		buf_printf(&line, "\n%s\n", lines[i]);
		if (!strstr(buf_text(&all), buf_text(&line)))
			fail_msg("%s: it is not so that:\n%s\nbut:%s", machine, lines[i], buf_text(&all));
	}
	if (n_found != n_devices)
		fail_msg("%s has %zu devices, not %zu:%s", machine, n_found, n_devices, buf_text(&all));
}
#define EXPECT(machine, hide_ipoib, n_devices, lines) expect(machine, hide_ipoib, n_devices, lines, ELEMENTS(lines))
