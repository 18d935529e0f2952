/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/attribution.h"

#include <string.h>

#include "core/base/str.h"

enum { IPOIB_ADDRESS_SIZE = 20, IPOIB_GUID_AT = 12 };

static int32_t port_owner(const struct rdma_port *p)
{
	return p->bond ? p->master : p->ifindex;
}

static const struct rdma_device *device_at(const struct rdma_table *t, uint32_t index)
{
	for (size_t i = 0; i < t->n_devices; i++)
		if (t->devices[i].index == index)
			return &t->devices[i];
	return NULL;
}

static const struct rdma_device *device_named(const struct rdma_table *t, const char *name)
{
	for (size_t i = 0; i < t->n_devices && *name; i++)
		if (str_equal(t->devices[i].name, name))
			return &t->devices[i];
	return NULL;
}

static const struct rdma_device *device_at_port(const struct rdma_table *t, int32_t ifindex)
{
	for (size_t i = 0; i < t->n_ports; i++)
		if (port_owner(&t->ports[i]) == ifindex)
			return device_at(t, t->ports[i].device);
	return NULL;
}

static bool has_netdev(const struct rdma_table *t, const struct rdma_device *d)
{
	for (size_t i = 0; i < t->n_ports; i++)
		if (t->ports[i].device == d->index && port_owner(&t->ports[i]) > 0)
			return true;
	return false;
}

/* The port's GUID is the node's on most adapters of one port, but not on all. */
static const struct rdma_device *device_of_ipoib(const struct rdma_table *t, const struct mac *mac)
{
	uint64_t guid = 0;
	if (mac->length != IPOIB_ADDRESS_SIZE)
		return NULL;
	for (size_t i = 0; i < sizeof(guid); i++)
		guid = guid << 8 | mac->bytes[IPOIB_GUID_AT + i];
	for (size_t i = 0; i < t->n_ports && guid; i++)
		if (t->ports[i].guid == guid)
			return device_at(t, t->ports[i].device);
	for (size_t i = 0; i < t->n_devices && guid; i++)
		if (t->devices[i].protocol == RDMA_PROTOCOL_IB && t->devices[i].node_guid == guid)
			return &t->devices[i];
	return NULL;
}

/* `ret_unknown`: sysfs named one that the table has not. */
static const struct rdma_device *device_of(const struct rdma_table *t, const struct device_facts *f, bool *ret_unknown)
{
	const struct rdma_device *d = f->ifindex > 0 ? device_at_port(t, f->ifindex) : NULL;
	*ret_unknown = false;
	if (d)
		return d;
	if (f->ifindex > 0 && f->lower > 0)
		return NULL; /* stands on the one that has it */
	if (f->ifindex > 0 && (d = device_of_ipoib(t, &f->mac)))
		return d;
	d = device_named(t, f->rdma_device);
	*ret_unknown = !d && f->rdma_device[0];
	/* Without a netdev it is the function that the device is of; its netdev may have left after the table was read. */
	return d && f->ifindex > 0 && has_netdev(t, d) ? NULL : d;
}

void rdma_facts_add(const struct rdma_table *t, struct device_facts *f)
{
	bool unknown;
	const struct rdma_device *d = device_of(t, f, &unknown);
	f->rdma_guid = d ? d->node_guid : 0;
	f->rdma_index = d ? d->index : 0;
	f->rdma_protocol = d ? d->protocol : RDMA_PROTOCOL_UNKNOWN;
	f->rdma_exclusive = d && t->mode == RDMA_NETNS_EXCLUSIVE;
	if (!unknown)
		STR_CUT(f->rdma_device, d ? d->name : "");
	f->rdma = f->rdma_device[0];
}

bool rdma_facts_are_news(const struct rdma_table *t, const struct device_facts *f)
{
	bool missed = false;
	for (size_t i = 0; i < t->n_ports && f->ifindex > 0; i++) {
		const struct rdma_port *p = &t->ports[i];
		if (p->ifindex == f->ifindex)
			return p->master != f->master;
		/* Of hardware sysfs tells; a software device comes with nothing but its netdev. */
		const struct rdma_device *d = p->ifindex ? NULL : device_at(t, p->device);
		missed |= d && d->is_virtual;
	}
	return missed && !f->lower && !f->rdma_device[0];
}
