/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "core/base/str.h"
#include "rdma/chardev.h"
#include "rdma/device.h"
#include "rdma/gid.h"
#include "rdma/socket.h"
#include "rdma/sysfs.h"

enum { GID_POLL_MS = 10, GID_TEXT_SIZE = 64, PORTS_MAX = 256, GIDS_MAX = 4096 };

int rdma_gid_parse(const char *text, size_t len, struct ip_address *ret)
{
	char line[GID_TEXT_SIZE];
	struct ip_address gid;
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len >= sizeof(line) || memchr(text, 0, len))
		return -EINVAL;
	memcpy(line, text, len);
	line[len] = 0;
	if (ip_address_parse(line, &gid) < 0 || gid.family != IP_V6)
		return -EINVAL;
	*ret = gid;
	return 0;
}

int rdma_gid_rank(const struct ip_address *gid, const struct ip_prefix *addresses, size_t n)
{
	struct ip_address v4 = {.family = IP_V4};
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool is_v4 = memcmp(gid->bytes, mapped, sizeof(mapped)) == 0;
	memcpy(v4.bytes, gid->bytes + sizeof(mapped), 4);
	for (size_t i = 0; i < n; i++)
		if (ip_address_equal(&addresses[i].address, is_v4 ? &v4 : gid))
			return is_v4 ? 2 : 1;
	return 0;
}

/* ---- sysfs ----------------------------------------------------------------------------------------------------------------------- */

static bool is_roce_v2(int port, unsigned index)
{
	char path[48], type[32];
	snprintf(path, sizeof(path), "gid_attrs/types/%u", index);
	/* An entry that is not in use has none: EINVAL. */
	return rdma_sysfs_read(port, path, type, sizeof(type)) > 0 && (str_equal(type, "RoCE v2\n") || str_equal(type, "RoCE v2"));
}

struct search {
	const struct ip_prefix *addresses;
	size_t n;
	int best; /* rdma_gid_rank() of what was found */
	uint8_t port;
	int32_t index;
	struct ip_address gid;
};

/* Whether the port has such an entry. */
static bool look_at(struct search *s, int port, unsigned number, unsigned index)
{
	char path[32], text[GID_TEXT_SIZE];
	struct ip_address gid;
	snprintf(path, sizeof(path), "gids/%u", index);
	int n = rdma_sysfs_read(port, path, text, sizeof(text));
	if (n == -ENOENT)
		return false;
	if (n < 0 || rdma_gid_parse(text, (size_t)n, &gid) < 0)
		return true;
	int rank = rdma_gid_rank(&gid, s->addresses, s->n);
	if (rank > s->best && is_roce_v2(port, index)) {
		s->best = rank;
		s->port = (uint8_t)number;
		s->index = (int32_t)index;
		s->gid = gid;
	}
	return true;
}

/* -ENOENT: the device has no more ports, or is not here. */
static int look_at_port(struct search *s, int sysfs_fd, const char *device, unsigned number)
{
	char path[ATTRIBUTE_TEXT_SIZE + 48];
	snprintf(path, sizeof(path), "class/infiniband/%s/ports/%u", device, number);
	_cleanup_rdma_fd_ int port = openat(sysfs_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (port < 0)
		return -errno;
	for (unsigned i = 0; i < GIDS_MAX && look_at(s, port, number, i); i++)
		;
	return 0;
}

static int wanted_rank(const struct ip_prefix *addresses, size_t n)
{
	int rank = 0;
	for (size_t i = 0; i < n; i++) {
		int r = addresses[i].address.family == IP_V4 ? 2 : 1;
		rank = r > rank ? r : rank;
	}
	return rank;
}

int rdma_gid_find(int sysfs_fd, const struct ip_prefix *addresses, size_t n, uint32_t wait_ms, struct rdma_state *state, struct error *e)
{
	uint64_t deadline = rdma_clock_ms() + wait_ms;
	int wanted = wanted_rank(addresses, n);
	if (!str_is_token(state->name) || strchr(state->name, '/'))
		return error_set(e, -EINVAL, "no name of an RDMA device");
	for (;;) {
		struct search s = {.addresses = addresses, .n = n};
		int r = 0;
		for (unsigned port = 1; port < PORTS_MAX && r == 0; port++)
			r = look_at_port(&s, sysfs_fd, state->name, port);
		if (r < 0 && r != -ENOENT)
			return error_set(e, r, "cannot read the GIDs of RDMA device %s: %s", state->name, strerror(-r));
		if (s.best < wanted && rdma_clock_ms() < deadline) {
			rdma_sleep_ms(GID_POLL_MS);
			continue;
		}
		state->gid_port = s.port;
		state->gid_index = s.index;
		state->gid = s.gid;
		return 0;
	}
}

int rdma_sysfs_open(int *ret_fd, struct error *e)
{
	_cleanup_rdma_fd_ int context = fsopen("sysfs", FSOPEN_CLOEXEC);
	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return error_set(e, -errno, "no sysfs of the network namespace: %s", strerror(errno));
	int fd = fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "no sysfs of the network namespace: %s", strerror(errno));
	*ret_fd = fd;
	return 0;
}
