/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/fd.h"
#include "netlink/sysfs_internal.h"
#include "netlink/sysfs_text.h"

/* The kernel gives up (EAGAIN) when anybody renamed or mounted anything during a walk that goes up by "..". */
enum { WALKS = 64 };

static int open_inside(int root, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	for (int i = 0; i < WALKS; i++) {
		long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}

int sysfs_open(const char *path, struct sysfs **ret, struct error *e)
{
	struct sysfs *s = calloc(1, sizeof(*s));
	if (!s || !(s->path = strdup(path))) {
		free(s);
		return error_set(e, -ENOMEM, "sysfs: out of memory");
	}
	s->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0) {
		int r = error_set(e, -errno, "sysfs %s: %s", path, strerror(errno));
		sysfs_close(s);
		return r;
	}
	/* Before Linux 5.6, and under a seccomp filter that does not know the call (EPERM): the kernel's own tree can be walked without
	 * care, its links point into itself. */
	int probe = open_inside(s->fd, ".", O_PATH | O_DIRECTORY);
	s->plain = probe == -ENOSYS || probe == -EPERM;
	if (probe >= 0)
		close(probe);
	*ret = s;
	return 0;
}

void sysfs_close(struct sysfs *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->path);
	free(s);
}

const char *sysfs_path(const struct sysfs *s)
{
	return s->path;
}

bool sysfs_is_name(const char *name)
{
	return name[0] && !strchr(name, '/') && !str_equal(name, ".") && !str_equal(name, "..");
}

/* ---- below the root -------------------------------------------------------------------------------------------------------------- */

/* `n`: what formatting the path returned. */
static int open_path(const struct sysfs *s, int flags, const char *path, int n)
{
	if (n < 0 || n >= SYSFS_PATH_SIZE)
		return -ENAMETOOLONG;
	if (!s->plain)
		return open_inside(s->fd, path, flags);
	int fd = openat(s->fd, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int sysfs_open_at(const struct sysfs *s, int flags, const char *format, ...)
{
	char path[SYSFS_PATH_SIZE];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	return open_path(s, flags, path, n);
}

/* `name` "" is the link that `dir` itself is. */
static int read_target(int dir, const char *name, char *text, size_t size)
{
	ssize_t n = readlinkat(dir, name, text, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	text[n] = '\0';
	return 0;
}

int sysfs_link(const struct sysfs *s, char *text, size_t size, const char *format, ...)
{
	char path[SYSFS_PATH_SIZE];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	_cleanup_fd_ int fd = open_path(s, O_PATH | O_NOFOLLOW, path, n);
	if (fd < 0)
		return fd;
	int r = read_target(fd, "", text, size);
	return r == -ENOENT ? -EINVAL : r; /* it is there, but is no link */
}

/* ---- in a directory -------------------------------------------------------------------------------------------------------------- */

static int read_line(int fd, char *text, size_t size)
{
	ssize_t n = read(fd, text, size - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

int sysfs_dir_text(int dir, const char *name, char *text, size_t size)
{
	/* O_NONBLOCK: a tree that is not the kernel's may hold a FIFO. */
	_cleanup_fd_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	return fd < 0 ? -errno : read_line(fd, text, size);
}

static int32_t number_of(int r, const char *text)
{
	int32_t number;
	return r == 0 && sysfs_number_parse(text, &number) == 0 && number >= 0 ? number : -1;
}

int32_t sysfs_dir_number(int dir, const char *name)
{
	char text[32];
	int r = sysfs_dir_text(dir, name, text, sizeof(text));
	return number_of(r, text);
}

int32_t sysfs_file_count(int fd)
{
	char text[32];
	int32_t number = number_of(fd < 0 ? fd : read_line(fd, text, sizeof(text)), text);
	return number < 0 ? 0 : number;
}

int32_t sysfs_dir_count(int dir, const char *name)
{
	int32_t number = sysfs_dir_number(dir, name);
	return number < 0 ? 0 : number;
}

int sysfs_dir_target(int dir, const char *name, char *text, size_t size)
{
	char target[SYSFS_PATH_SIZE];
	int r = read_target(dir, name, target, sizeof(target));
	if (r < 0)
		return r;
	const char *slash = strrchr(target, '/'), *last = slash ? slash + 1 : target;
	return str_is_token(last) ? str_copy(text, size, last) : -EINVAL;
}

int sysfs_dir_each(int dir, int (*see)(int dir, const char *name, void *user), void *user)
{
	DIR *d = fdopendir(dir);
	if (!d) {
		int r = -errno;
		close(dir);
		return r;
	}
	int r = 0;
	for (struct dirent *entry; r == 0 && (entry = readdir(d));)
		if (entry->d_name[0] != '.')
			r = see(dirfd(d), entry->d_name, user);
	closedir(d);
	return r;
}

static int keep_first(int dir, const char *name, void *user)
{
	char *best = user;
	struct stat st;
	if (str_is_token(name) && (!best[0] || strcmp(name, best) < 0) && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISDIR(st.st_mode))
		(void)str_copy(best, SYSFS_NAME_SIZE, name);
	return 0;
}

int sysfs_dir_first(int dir, const char *name, char *text, size_t size)
{
	char best[SYSFS_NAME_SIZE] = "";
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	int r = sysfs_dir_each(fd, keep_first, best);
	if (r < 0)
		return r;
	return best[0] ? str_copy(text, size, best) : -ENOENT;
}
