/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "rdma/gid.h"
#include "rdma/socket.h"

enum { SYSFS_PATH_SIZE = 256, SYSFS_TEXT_SIZE = 64 };

/* The length, or a negative errno. */
static int read_text(int sysfs_fd, char text[SYSFS_TEXT_SIZE], const char *format, ...) __attribute__((format(printf, 3, 4)));
static int read_text(int sysfs_fd, char text[SYSFS_TEXT_SIZE], const char *format, ...)
{
	char path[SYSFS_PATH_SIZE];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	_cleanup_rdma_fd_ int fd = openat(sysfs_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t len = fd < 0 ? -1 : read(fd, text, SYSFS_TEXT_SIZE - 1);
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
	char text[SYSFS_TEXT_SIZE], *end;
	if (!is_file_name(p->ifname) || read_text(sysfs_fd, text, "class/net/%s/master/ifindex", p->ifname) < 0)
		return;
	long ifindex = strtol(text, &end, 10);
	if (end == text || ifindex <= 0 || ifindex > INT32_MAX)
		return;
	p->master = (int32_t)ifindex;
	p->bond = read_text(sysfs_fd, text, "class/net/%s/master/bonding/mode", p->ifname) >= 0;
}

/* The first GID of an InfiniBand port is its subnet's prefix and its GUID. */
static void add_guid(int sysfs_fd, const struct rdma_device *d, struct rdma_port *p)
{
	char text[SYSFS_TEXT_SIZE];
	struct ip_address gid;
	int n = read_text(sysfs_fd, text, "class/infiniband/%s/ports/%u/gids/0", d->name, p->number);
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
