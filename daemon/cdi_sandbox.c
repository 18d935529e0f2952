/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/base/mark.h"
#include "daemon/cdi_sandbox.h"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* The pid may be of another PID namespace than ours, or of a process that took a dead one's number: its network namespace tells. */
static bool is_the_sandbox(uint32_t pid, uint64_t netns_inode)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/ns/net", pid);
	return netns_inode && stat(path, &st) == 0 && st.st_ino == netns_inode;
}

int sandbox_gate(uint32_t pid, uint64_t netns_inode, const char *claim_uid, char ret[SANDBOX_GATE_SIZE])
{
	char directory[64], name[SANDBOX_GATE_SIZE - 66];
	struct stat theirs, ours;
	struct statfs fs;
	if (!pid || !is_the_sandbox(pid, netns_inode))
		return -ESRCH;
	snprintf(directory, sizeof(directory), "/proc/%" PRIu32 "/root/dev", pid);
	if ((size_t)snprintf(name, sizeof(name), ".dranet-%s", claim_uid) >= sizeof(name))
		return -ENAMETOOLONG;
	__attribute__((cleanup(close_fd))) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* Only into a /dev of its own: a sandbox that shares the host's (a VM's shim, say) must not get our node there. */
	if (fstat(fd, &theirs) < 0 || stat("/dev", &ours) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != TMPFS_MAGIC || theirs.st_dev == ours.st_dev)
		return -EXDEV;
	if (mknodat(fd, name, S_IFCHR | 0400, makedev(0, 0)) < 0 && errno != EEXIST)
		return -errno;
	mark("cdi", "sandbox-mknod", "end");
	snprintf(ret, SANDBOX_GATE_SIZE, "%s/%s", directory, name);
	return 0;
}
