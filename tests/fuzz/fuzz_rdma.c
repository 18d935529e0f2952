/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of RDMA netlink. The first byte is the sequence number that is waited for. */
#include <stdlib.h>
#include <string.h>

#include "rdma/nldev.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct rdma_table *t)
{
	for (size_t i = 0; i < t->n_devices; i++)
		if (!t->devices[i].name[0] || !memchr(t->devices[i].name, 0, sizeof(t->devices[i].name)))
			abort();
	for (size_t i = 0; i < t->n_ports; i++) {
		const struct rdma_port *p = &t->ports[i];
		const char *name = rdma_device_of_netdev(t, p->ifindex);
		if (p->ifindex < 0 || !memchr(p->ifname, 0, sizeof(p->ifname)) || (name && !*name))
			abort();
	}
	if (!rdma_table_equal(t, t) || !*rdma_netns_mode_name(t->mode))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rdma_table t = {0};
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
	rdma_table_free(&t);
	free(copy);
	return 0;
}
