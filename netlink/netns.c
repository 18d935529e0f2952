/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "netlink/fd.h"
#include "netlink/mover.h"

static const char own_path[] = "/proc/thread-self/ns/net";

int netns_open_own(int *ret_fd, struct error *e)
{
	int fd = open(own_path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "cannot open %s: %s", own_path, strerror(errno));
	*ret_fd = fd;
	return 0;
}

int netns_enter(int netns_fd, struct error *e)
{
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return error_set(e, -errno, "cannot enter the network namespace: %s", strerror(errno));
	return 0;
}

void netns_return(int home_fd)
{
	if (setns(home_fd, CLONE_NEWNET) == 0)
		return;
	fprintf(stderr, "cannot return to the host's network namespace: %s\n", strerror(errno));
	abort();
}

/* The path comes from the runtime. O_PATH opens nothing: a FIFO does not block and a device does not start; only what proved to be a
 * namespace is opened for real. */
int netns_open(const char *path, int *ret_fd, uint64_t *ret_inode, struct error *e)
{
	_cleanup_fd_ int look = open(path, O_PATH | O_CLOEXEC);
	if (look < 0)
		return error_set(e, -errno, "cannot open network namespace %s: %s", path, strerror(errno));
	struct statfs fs;
	if (fstatfs(look, &fs) < 0)
		return error_set(e, -errno, "cannot inspect network namespace %s: %s", path, strerror(errno));
	if (fs.f_type != NSFS_MAGIC)
		return error_set(e, -EINVAL, "%s is not a namespace file", path);

	char again[64];
	snprintf(again, sizeof(again), "/proc/self/fd/%d", look);
	_cleanup_fd_ int fd = open(again, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "cannot open network namespace %s: %s", path, strerror(errno));
	int type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0)
		return error_set(e, -errno, "cannot ask for the kind of namespace %s: %s", path, strerror(errno));
	if (type != CLONE_NEWNET)
		return error_set(e, -EINVAL, "%s is a namespace, but not a network namespace", path);

	struct stat there, here;
	if (fstat(fd, &there) < 0 || stat(own_path, &here) < 0)
		return error_set(e, -errno, "cannot inspect network namespace %s: %s", path, strerror(errno));
	if (there.st_ino == here.st_ino && there.st_dev == here.st_dev)
		return error_set(e, -EINVAL, "%s is the host's network namespace", path);
	*ret_fd = TAKE_FD(fd);
	*ret_inode = there.st_ino;
	return 0;
}
