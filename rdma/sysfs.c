/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "rdma/gid.h"
#include "rdma/socket.h"

enum { SYSFS_PATH_SIZE = 256, SYSFS_TEXT_SIZE = 64 };

int rdma_sysfs_read(int directory, const char *path, char *text, size_t size)
{
	_cleanup_rdma_fd_ int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = fd < 0 ? -1 : read(fd, text, size - 1);
	if (len < 0)
		return -errno;
	text[len] = 0;
	return (int)len;
}

static bool is_file_name(const char *name)
{
	return *name && !strchr(name, '/') && !str_equal(name, ".") && !str_equal(name, "..");
}

static void add_master(int sysfs_fd, struct rdma_port *p)
{
	char path[SYSFS_PATH_SIZE], text[SYSFS_TEXT_SIZE], *end;
	if (!is_file_name(p->ifname))
		return;
	snprintf(path, sizeof(path), "class/net/%s/master/ifindex", p->ifname);
	if (rdma_sysfs_read(sysfs_fd, path, text, sizeof(text)) < 0)
		return;
	long ifindex = strtol(text, &end, 10);
	if (end == text || ifindex <= 0 || ifindex > INT32_MAX)
		return;
	p->master = (int32_t)ifindex;
	snprintf(path, sizeof(path), "class/net/%s/master/bonding", p->ifname);
	p->bond = faccessat(sysfs_fd, path, F_OK, 0) == 0;
}

/* The first GID of an InfiniBand port is its subnet's prefix and its GUID. */
static void add_guid(int sysfs_fd, const struct rdma_device *d, struct rdma_port *p)
{
	char path[SYSFS_PATH_SIZE], text[SYSFS_TEXT_SIZE];
	struct ip_address gid;
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/%u/gids/0", d->name, p->number);
	int n = rdma_sysfs_read(sysfs_fd, path, text, sizeof(text));
	if (n < 0 || rdma_gid_parse(text, (size_t)n, &gid) < 0)
		return;
	for (size_t i = 0; i < sizeof(p->guid); i++)
		p->guid = p->guid << 8 | gid.bytes[8 + i];
}

void rdma_sysfs_add(int sysfs_fd, struct rdma_table *t)
{
	for (size_t i = 0; i < t->n_devices; i++) {
		struct rdma_device *d = &t->devices[i];
		char path[SYSFS_PATH_SIZE];
		if (!is_file_name(d->name))
			continue;
		snprintf(path, sizeof(path), "class/infiniband/%s/device", d->name);
		d->is_virtual = faccessat(sysfs_fd, path, F_OK, 0) < 0 && errno == ENOENT;
		for (size_t j = 0; j < t->n_ports; j++) {
			struct rdma_port *p = &t->ports[j];
			if (p->device == d->index && (d->protocol == RDMA_PROTOCOL_IB || d->protocol == RDMA_PROTOCOL_OPA))
				add_guid(sysfs_fd, d, p);
		}
	}
	for (size_t i = 0; i < t->n_ports; i++)
		if (t->ports[i].ifindex > 0)
			add_master(sysfs_fd, &t->ports[i]);
}
