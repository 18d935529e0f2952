/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/sriov.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/fd.h"
#include "netlink/sysfs_internal.h"

static int open_pf(const struct sysfs *s, const char *pf, int32_t *ret_total, struct error *e)
{
	int fd = sysfs_open_function(s, pf);
	if (fd < 0)
		return error_set(e, -ENODEV, "there is no PCI function %s", pf);
	int32_t total = sysfs_dir_count(fd, "sriov_totalvfs");
	if (total > 0) {
		*ret_total = total;
		return fd;
	}
	close(fd);
	return error_set(e, -EOPNOTSUPP, "the PCI function %s can have no VFs", pf);
}

static int read_count(int fd, const char *pf, uint32_t *ret, struct error *e)
{
	int32_t n = sysfs_dir_number(fd, "sriov_numvfs");
	if (n < 0)
		return error_set(e, -EIO, "the number of VFs of %s cannot be read", pf);
	*ret = (uint32_t)n;
	return 0;
}

int sriov_count(const struct sysfs *s, const char *pf, uint32_t *ret, struct error *e)
{
	int32_t total;
	_cleanup_fd_ int fd = open_pf(s, pf, &total, e);
	return fd < 0 ? fd : read_count(fd, pf, ret, e);
}

static int write_count(int function, const char *pf, uint32_t n, struct error *e)
{
	char text[16];
	_cleanup_fd_ int fd = openat(function, "sriov_numvfs", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int len = snprintf(text, sizeof(text), "%" PRIu32 "\n", n);
	if (fd >= 0 && write(fd, text, (size_t)len) == len)
		return 0;
	return error_set(e, -errno, "%" PRIu32 " VFs of %s: %s", n, pf, strerror(errno));
}

struct users {
	const struct sysfs *sysfs;
	struct error *error;
};

/* A driver that is for a netdev has made one, here; any other has it for a purpose that we do not know. One that cannot be looked at may
 * have any. */
static int see_user(int pf, const char *name, void *user)
{
	struct users *u = user;
	char vf[PCI_ADDRESS_SIZE], driver[64], ifname[SYSFS_NAME_SIZE];
	if (!str_starts(name, "virtfn") || sysfs_dir_target(pf, name, vf, sizeof(vf)) < 0)
		return 0;
	_cleanup_fd_ int function = sysfs_open_function(u->sysfs, vf);
	int r = function < 0 ? function : sysfs_dir_target(function, "driver", driver, sizeof(driver));
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return error_set(u->error, r, "its VF %s cannot be looked at: %s", vf, strerror(-r));
	_cleanup_fd_ int net = openat(function, "net", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (net >= 0 && sysfs_dir_first(function, "net", ifname, sizeof(ifname)) == 0)
		return 0;
	return error_set(u->error, -EBUSY, "its VF %s is bound to the driver %s and has no interface on the host", vf, driver);
}

static int remove_all(const struct sysfs *s, int function, const char *pf, struct error *e)
{
	struct users users = {.sysfs = s, .error = e};
	int list = openat(function, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = list < 0 ? error_set(e, -errno, "the VFs of %s: %s", pf, strerror(errno)) : sysfs_dir_each(list, see_user, &users);
	return r < 0 ? r : write_count(function, pf, 0, e);
}

int sriov_set(const struct sysfs *s, const char *pf, uint32_t n, bool may_remove, uint32_t *ret_before, struct error *e)
{
	int32_t total;
	uint32_t before;
	_cleanup_fd_ int fd = open_pf(s, pf, &total, e);
	int r = fd < 0 ? fd : read_count(fd, pf, &before, e);
	if (r < 0)
		return r;
	*ret_before = before;
	if (n > (uint32_t)total)
		return error_set(e, -ERANGE, "%" PRIu32 " VFs are more than the %" PRIi32 " that %s can have", n, total, pf);
	if (n == before)
		return 0;
	if (before > 0 && !may_remove)
		return error_set(e, -EBUSY, "it has %" PRIu32 " VFs", before);
	if (before > 0)
		r = remove_all(s, fd, pf, e);
	return r == 0 && n > 0 ? write_count(fd, pf, n, e) : r;
}
