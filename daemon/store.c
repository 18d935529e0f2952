/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/mark.h"
#include "core/base/str.h"
#include "daemon/record.h"
#include "daemon/store.h"

struct store {
	char directory[PATH_SIZE];
	int lock_fd;
	int claims_fd; /* directory */
};

enum { FILE_NAME_SIZE = UID_SIZE + sizeof(".json.broken") };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_close_ _cleanup_(close_fd)

int store_check_uid(const char *uid)
{
	size_t len = strlen(uid);
	if (len == 0 || len >= UID_SIZE || uid[0] == '.')
		return -EINVAL;
	for (const char *p = uid; *p; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') || *p == '-' || *p == '_' ||
		      *p == '.'))
			return -EINVAL;
	return 0;
}

static int make_directories(const char *path)
{
	char partial[PATH_SIZE];
	if (STR_COPY(partial, path) < 0)
		return -ENAMETOOLONG;
	for (char *slash = partial + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		if (mkdir(partial, 0755) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(partial, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_parts(struct store *s, struct error *e)
{
	int r = make_directories(s->directory);
	if (r < 0)
		return error_set(e, r, "%s: cannot be made: %s", s->directory, strerror(-r));
	_cleanup_close_ int fd = open(s->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "%s: %s", s->directory, strerror(errno));
	s->lock_fd = openat(fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return error_set(e, -errno, "%s/lock: %s", s->directory, strerror(errno));
	if (mkdirat(fd, "claims", 0700) < 0 && errno != EEXIST)
		return error_set(e, -errno, "%s/claims: cannot be made: %s", s->directory, strerror(errno));
	s->claims_fd = openat(fd, "claims", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return s->claims_fd < 0 ? error_set(e, -errno, "%s/claims: %s", s->directory, strerror(errno)) : 0;
}

int store_open(const char *directory, struct store **ret, struct error *e)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, -ENOMEM, "out of memory");
	s->lock_fd = s->claims_fd = -1;
	int r = STR_COPY(s->directory, directory) < 0 ? error_set(e, -ENAMETOOLONG, "the state directory's name is too long")
	                                              : open_parts(s, e);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	close_fd(&s->claims_fd);
	close_fd(&s->lock_fd); /* lets the lock go */
	free(s);
}

/* Who holds the lock: only for people, so a full disk keeps nobody from starting. */
static void write_owner(struct store *s)
{
	char owner[32];
	int n = snprintf(owner, sizeof(owner), "%d\n", (int)getpid());
	if (ftruncate(s->lock_fd, 0) < 0 || pwrite(s->lock_fd, owner, (size_t)n, 0) < 0)
		return; /* the text says "unknown" then */
}

static int take_lock(struct store *s, int operation, struct error *e)
{
	char owner[32] = "";
	int r;
	do
		r = flock(s->lock_fd, operation) < 0 ? -errno : 0;
	while (r == -EINTR);
	if (r == 0) {
		write_owner(s);
		return 0;
	}
	ssize_t n = pread(s->lock_fd, owner, sizeof(owner) - 1, 0);
	owner[n > 0 ? strspn(owner, "0123456789") : 0] = 0;
	if (r == -EWOULDBLOCK)
		return error_set(e, -EBUSY, "%s is in use by another dranetd (process %s)", s->directory, owner[0] ? owner : "unknown");
	return error_set(e, r, "%s/lock: %s", s->directory, strerror(-r));
}

int store_lock(struct store *s, struct error *e)
{
	return take_lock(s, LOCK_EX | LOCK_NB, e);
}

int store_wait_lock(struct store *s, struct error *e)
{
	return take_lock(s, LOCK_EX, e);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_file(struct store *s, const char *name, const void *text, size_t len)
{
	_cleanup_close_ int fd = openat(s->claims_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	mark("store", "open", "end");
	int r = write_all(fd, text, len);
	mark("store", "write", "end");
	return r < 0 ? r : fsync(fd) < 0 ? -errno : 0;
}

int store_write(struct store *s, const char *uid, const void *text, size_t len, struct error *e)
{
	char name[FILE_NAME_SIZE], temporary[FILE_NAME_SIZE];
	if (store_check_uid(uid) < 0)
		return error_set(e, -EINVAL, "claim UID \"%s\" cannot be a file name", uid);
	snprintf(name, sizeof(name), "%s.json", uid);
	snprintf(temporary, sizeof(temporary), "%s.tmp", uid);
	int r = write_file(s, temporary, text, len);
	mark("store", "fsync", "end");
	if (r == 0 && renameat(s->claims_fd, temporary, s->claims_fd, name) < 0)
		r = -errno;
	mark("store", "rename", "end");
	if (r < 0) {
		unlinkat(s->claims_fd, temporary, 0);
		return error_set(e, r, "%s/claims/%s: cannot be written: %s", s->directory, name, strerror(-r));
	}
	if (fsync(s->claims_fd) < 0)
		return error_set(e, -errno, "%s/claims: fsync: %s", s->directory, strerror(errno));
	return 0;
}

int store_remove(struct store *s, const char *uid, struct error *e)
{
	char name[FILE_NAME_SIZE];
	if (store_check_uid(uid) < 0)
		return error_set(e, -EINVAL, "claim UID \"%s\" cannot be a file name", uid);
	snprintf(name, sizeof(name), "%s.json", uid);
	if (unlinkat(s->claims_fd, name, 0) < 0 && errno != ENOENT)
		return error_set(e, -errno, "%s/claims/%s: cannot be removed: %s", s->directory, name, strerror(errno));
	mark("store", "unlink", "end");
	if (fsync(s->claims_fd) < 0)
		return error_set(e, -errno, "%s/claims: fsync: %s", s->directory, strerror(errno));
	return 0;
}

static int read_file(struct store *s, const char *name, struct buf *ret, struct error *e)
{
	struct stat st;
	_cleanup_close_ int fd = openat(s->claims_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set(e, -errno, "%s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(e, -EINVAL, "no regular file");
	if (st.st_size > RECORD_TEXT_MAX)
		return error_set(e, -EFBIG, "%lld bytes, more than %d", (long long)st.st_size, RECORD_TEXT_MAX);
	while (buf_reserve(ret, 4096)) {
		ssize_t n = read(fd, ret->data + ret->len, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(e, -errno, "%s", strerror(errno));
		if (n == 0)
			return 0;
		ret->len += (size_t)n;
	}
	return error_set(e, -ENOMEM, "out of memory, or the file grew");
}

static int load_file(struct store *s, const char *name, const char *uid, const struct store_callbacks *cb, struct error *e)
{
	_cleanup_buf_ struct buf text = {.limit = RECORD_TEXT_MAX + 4096};
	struct claim_record record = {0};
	int r = read_file(s, name, &text, e);
	if (r == 0)
		r = record_decode(text.data, text.len, &record, e);
	if (r < 0)
		return r;
	if (strcmp(record.ref.uid, uid) != 0)
		r = error_set(e, -EINVAL, "it holds the record of claim %s", record.ref.uid);
	else
		cb->record(&record, cb->user);
	claim_record_free(&record);
	return r;
}

/* `name` without ".json" into `uid`; false when it is no record's name. */
static bool uid_of_name(const char *name, char uid[UID_SIZE])
{
	size_t len = strlen(name);
	if (len < 6 || len - 5 >= UID_SIZE || strcmp(name + len - 5, ".json") != 0)
		return false;
	memcpy(uid, name, len - 5);
	uid[len - 5] = 0;
	return store_check_uid(uid) == 0;
}

static void set_aside(struct store *s, const char *name, const char *why, const struct store_callbacks *cb)
{
	char broken[NAME_MAX + sizeof(".broken")], path[PATH_SIZE + NAME_MAX + 32];
	snprintf(broken, sizeof(broken), "%s.broken", name);
	if (renameat(s->claims_fd, name, s->claims_fd, broken) < 0)
		snprintf(broken, sizeof(broken), "%s", name);
	snprintf(path, sizeof(path), "%s/claims/%s", s->directory, broken);
	cb->broken(path, why, cb->user);
}

static int only_files(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static bool has_suffix(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);
	return n >= m && strcmp(name + n - m, suffix) == 0;
}

int store_load(struct store *s, const struct store_callbacks *callbacks, struct error *e)
{
	struct dirent **names = NULL;
	int n = scandirat(s->claims_fd, ".", &names, only_files, alphasort);
	if (n < 0)
		return error_set(e, -errno, "%s/claims: %s", s->directory, strerror(errno));
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;
		char uid[UID_SIZE];
		struct error why = {0};
		if (has_suffix(name, ".tmp")) /* of a write that a crash cut short: nothing was promised on it */
			unlinkat(s->claims_fd, name, 0);
		else if (!has_suffix(name, ".broken") && (!uid_of_name(name, uid) ? error_set(&why, -EINVAL, "its name is no claim's UID")
		                                                                  : load_file(s, name, uid, callbacks, &why)) < 0)
			set_aside(s, name, why.text, callbacks);
		free(names[i]);
	}
	free(names);
	return 0;
}
