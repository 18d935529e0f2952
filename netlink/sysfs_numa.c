/* SPDX-License-Identifier: Apache-2.0 */
/* Which NUMA nodes are as near as a device's own: by the firmware's table of distances (SLIT), and not on another socket. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/fd.h"
#include "netlink/sysfs_internal.h"
#include "netlink/sysfs_text.h"

enum { DISTANCE_TEXT_SIZE = 4096 /* a page: sysfs has no longer files */ };

struct nodes {
	int32_t v[SYSFS_NUMA_NODES]; /* ascending: the order of the columns of each row of distances */
	uint32_t distance[SYSFS_NUMA_NODES];
	size_t n;
};

static int compare(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
	return (x > y) - (x < y);
}

static int see_node(int dir, const char *name, void *user)
{
	static const char prefix[] = "node";
	struct nodes *nodes = user;
	int32_t number;
	(void)dir;
	if (nodes->n < SYSFS_NUMA_NODES && str_starts(name, prefix) && sysfs_number_parse(name + sizeof(prefix) - 1, &number) == 0 &&
	    number >= 0 && number < SYSFS_NUMA_NODES)
		nodes->v[nodes->n++] = number;
	return 0;
}

static int read_nodes(const struct sysfs *s, int32_t node, struct nodes *ret)
{
	char text[DISTANCE_TEXT_SIZE];
	size_t n = 0;
	_cleanup_fd_ int row = sysfs_open_at(s, O_RDONLY | O_DIRECTORY, "devices/system/node/node%d", node);
	int all = sysfs_open_at(s, O_RDONLY | O_DIRECTORY, "devices/system/node");
	if (all < 0)
		return all;
	(void)sysfs_dir_each(all, see_node, ret);
	qsort(ret->v, ret->n, sizeof(ret->v[0]), compare);
	int r = row < 0 ? row : sysfs_dir_text(row, "distance", text, sizeof(text));
	if (r == 0)
		r = sysfs_distances_parse(text, ret->distance, SYSFS_NUMA_NODES, &n);
	return r < 0 ? r : n == ret->n ? 0 : -EBADMSG;
}

/* Of the first of its processors; -1 = unknown, as for memory without processors. */
static int32_t socket_of(const struct sysfs *s, int32_t node)
{
	char text[64];
	int32_t cpu;
	_cleanup_fd_ int dir = sysfs_open_at(s, O_RDONLY | O_DIRECTORY, "devices/system/node/node%d", node);
	if (dir < 0 || sysfs_dir_text(dir, "cpulist", text, sizeof(text)) < 0 || sysfs_first_cpu_parse(text, &cpu) < 0)
		return -1;
	_cleanup_fd_ int topology = sysfs_open_at(s, O_RDONLY | O_DIRECTORY, "devices/system/cpu/cpu%d/topology", cpu);
	return topology < 0 ? -1 : sysfs_dir_number(topology, "physical_package_id");
}

size_t sysfs_numa_near(const struct sysfs *s, int32_t node, int32_t ret[NUMA_NODES_MAX])
{
	_cleanup_free_ struct nodes *all = calloc(1, sizeof(*all));
	uint32_t nearest = UINT32_MAX;
	size_t n = 0;
	ret[n++] = node;
	if (!all || read_nodes(s, node, all) < 0)
		return n;
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i] != node && all->distance[i] < nearest)
			nearest = all->distance[i];
	int32_t ours = socket_of(s, node);
	for (size_t i = 0; i < all->n && n < NUMA_NODES_MAX; i++) {
		if (all->v[i] == node || all->distance[i] != nearest)
			continue;
		/* Where a socket is unknown it may be the same one. */
		int32_t socket = ours < 0 ? -1 : socket_of(s, all->v[i]);
		if (socket < 0 || socket == ours)
			ret[n++] = all->v[i];
	}
	return n;
}
