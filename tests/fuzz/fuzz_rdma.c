/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of RDMA netlink, uevents and entries of GID tables. The first byte is the sequence number that is waited for. */
#include <stdlib.h>
#include <string.h>

#include "rdma/attribution.h"
#include "rdma/gid.h"
#include "rdma/monitor.h"
#include "rdma/nldev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_facts(const struct rdma_table *t, struct device_facts facts)
{
	(void)rdma_facts_are_news(t, &facts);
	rdma_facts_add(t, &facts);
	if (facts.rdma != (facts.rdma_device[0] != 0) || (!facts.rdma && (facts.rdma_guid || facts.rdma_index || facts.rdma_exclusive)) ||
	    !memchr(facts.rdma_device, 0, sizeof(facts.rdma_device)))
		abort();
}

static void check(const struct rdma_table *t)
{
	for (size_t i = 0; i < t->n_devices; i++) {
		struct device_facts function = {.pci_address = "0000:8a:00.0"};
		if (!t->devices[i].name[0] || !memchr(t->devices[i].name, 0, sizeof(t->devices[i].name)))
			abort();
		memcpy(function.rdma_device, t->devices[i].name, sizeof(function.rdma_device));
		check_facts(t, function);
	}
	for (size_t i = 0; i < t->n_ports; i++) {
		const struct rdma_port *p = &t->ports[i];
		if (p->ifindex < 0 || !memchr(p->ifname, 0, sizeof(p->ifname)))
			abort();
		check_facts(t, (struct device_facts){.ifindex = p->ifindex});
	}
	if (!rdma_table_equal(t, t) || !*rdma_netns_mode_name(t->mode))
		abort();
}

static void check_chardev(const void *data, size_t len)
{
	struct rdma_chardev c;
	if (rdma_chardev_parse(data, len, &c) == 0 && (!c.name[0] || strchr(c.name, '/') || !memchr(c.name, 0, sizeof(c.name))))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rdma_table t = {0};
	struct ip_address gid;
	if (size < 1 || size > 16 << 10)
		return 0;
	uint8_t *copy = malloc(size > 1 ? size - 1 : 1); /* no longer than the datagram */
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	/* As a socket would give it: twice, the second part to the table of the first. */
	for (int i = 0; i < 2; i++)
		if (rdma_answer_read(&t, data[0], copy, size - 1) > 1)
			abort();
	check(&t);
	check_chardev(copy, size - 1);
	(void)rdma_uevent_matters((const char *)copy, size - 1);
	if (rdma_gid_parse((const char *)copy, size - 1, &gid) == 0 && gid.family != IP_V6)
		abort();
	rdma_table_free(&t);
	free(copy);
	return 0;
}
