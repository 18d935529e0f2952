/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/metadata.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/store.h"
#include "k8s/device_metadata.h"
#include "netlink/fd.h"

enum { FILE_NAME_SIZE = 16, TEXT_MAX = 1 << 20 };

struct metadata {
	char directory[PATH_SIZE];
	char driver[NAMESPACE_SIZE];
	int fd;
};

int metadata_open(const char *state_directory, const char *driver, struct metadata **ret, struct error *e)
{
	struct metadata *m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	m->fd = -1;
	int n = snprintf(m->directory, sizeof(m->directory), "%s/metadata", state_directory);
	int r = n < 0 || n >= PATH_SIZE || STR_COPY(m->driver, driver) < 0 ? -ENAMETOOLONG : 0;
	if (r == 0 && mkdir(m->directory, 0755) < 0 && errno != EEXIST)
		r = -errno;
	if (r == 0 && (m->fd = open(m->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		r = -errno;
	if (r < 0) {
		error_set(e, r, "%s/metadata: %s", state_directory, strerror(-r));
		metadata_close(m);
		return r;
	}
	*ret = m;
	return 0;
}

void metadata_close(struct metadata *m)
{
	if (m && m->fd >= 0)
		close(m->fd);
	free(m);
}

/* The requests of a claim, each once; a name that is none of the API's stands in no path. */
static size_t requests_of(const struct claim_record *record, char ret[CLAIM_DEVICES_MAX][REQUEST_SIZE])
{
	size_t n = 0;
	for (size_t i = 0; i < record->n && n < CLAIM_DEVICES_MAX; i++) {
		bool there = false;
		request_main(record->devices[i].request, ret[n]);
		for (size_t k = 0; k < n && !there; k++)
			there = str_equal(ret[k], ret[n]);
		n += !there && str_is_dns_label(ret[n]);
	}
	return n;
}

size_t metadata_mounts(const struct metadata *m, const struct claim_record *record, struct cdi_mount ret[CLAIM_DEVICES_MAX])
{
	char requests[CLAIM_DEVICES_MAX][REQUEST_SIZE];
	size_t n = m ? requests_of(record, requests) : 0, fit = 0;
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf source = {0}, target = {0};
		buf_printf(&source, "%s/%s/%zu.json", m->directory, record->ref.uid, i);
		device_metadata_path(record, m->driver, requests[i], &target);
		if (STR_COPY(ret[fit].source, buf_text(&source)) == 0 && STR_COPY(ret[fit].target, buf_text(&target)) == 0)
			fit++;
	}
	return fit;
}

/* What the file says; empty where there is none yet. A container that may mount what it likes may have written to it. */
static int read_file(int fd, struct buf *ret)
{
	struct stat st;
	if (fstat(fd, &st) < 0 || (st.st_size > TEXT_MAX && ftruncate(fd, 0) < 0))
		return -errno;
	if (st.st_size > TEXT_MAX || st.st_size <= 0)
		return 0;
	size_t size = (size_t)st.st_size;
	if (!buf_reserve(ret, size))
		return -ENOMEM;
	ssize_t n = pread(fd, ret->data + ret->len, size, 0);
	if (n < 0)
		return -errno;
	ret->len += (size_t)n;
	return 0;
}

static int encode(const struct metadata *m, const struct claim_record *record, const char *request, int64_t generation, size_t least,
                  struct buf *ret)
{
	buf_reset(ret);
	int r = device_metadata_encode(record, m->driver, request, generation, ret);
	while (r == 0 && ret->len < least && !ret->failed)
		buf_add(ret, "\n", 1);
	return r < 0 ? r : ret->failed ? -ENOMEM : 0;
}

/* A container has the file mounted, not its name, so it is written over where it is, and somebody may be reading. It is never cut: a
 * shorter text ends in empty lines. The room for a longer one is there before the first byte is written, and all of it is one write. Who
 * reads in one go then finds the old text or the new one, but for the moment in which the kernel copies a page; who reads piecemeal can
 * tell by the generation. */
static int write_over(int fd, const struct buf *text, size_t had)
{
	if (text->len > had && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)text->len) < 0 && errno != EOPNOTSUPP)
		return -errno;
	ssize_t n = pwrite(fd, text->data, text->len, 0);
	return n < 0 ? -errno : (size_t)n < text->len ? -ENOSPC : 0;
}

/* Its mode lets us write it once more: the service has not the capability to write what its mode forbids. */
static int write_file(const struct metadata *m, int directory_fd, size_t number, const struct claim_record *record, const char *request)
{
	char name[FILE_NAME_SIZE];
	_cleanup_buf_ struct buf had = {0}, text = {0};
	snprintf(name, sizeof(name), "%zu.json", number);
	_cleanup_fd_ int fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return -errno;
	int r = read_file(fd, &had);
	int64_t generation = r == 0 ? device_metadata_generation(buf_text(&had), had.len) : 0;
	if (r == 0)
		r = encode(m, record, request, generation ? generation : 1, had.len, &text);
	if (r < 0 || (text.len == had.len && str_equal(buf_text(&text), buf_text(&had))))
		return r;
	if (generation)
		r = encode(m, record, request, generation + 1, had.len, &text);
	return r < 0 ? r : write_over(fd, &text, had.len);
}

int metadata_write(const struct metadata *m, const struct claim_record *record, struct error *e)
{
	char requests[CLAIM_DEVICES_MAX][REQUEST_SIZE];
	const char *uid = record->ref.uid;
	int r = store_check_uid(uid);
	if (r == 0 && mkdirat(m->fd, uid, 0755) < 0 && errno != EEXIST)
		r = -errno;
	_cleanup_fd_ int fd = r == 0 ? openat(m->fd, uid, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (r == 0 && fd < 0)
		r = -errno;
	size_t n = r == 0 ? requests_of(record, requests) : 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = write_file(m, fd, i, record, requests[i]);
	return r < 0 ? error_set(e, r, "%s/%s: %s", m->directory, uid, strerror(-r)) : 0;
}

int metadata_remove(const struct metadata *m, const char *claim_uid, struct error *e)
{
	char name[UID_SIZE + FILE_NAME_SIZE];
	int r = store_check_uid(claim_uid);
	/* All that there may be: who was killed while he removed them has left any. */
	for (size_t i = 0; i < CLAIM_DEVICES_MAX && r == 0; i++) {
		snprintf(name, sizeof(name), "%s/%zu.json", claim_uid, i);
		if (unlinkat(m->fd, name, 0) < 0 && errno != ENOENT)
			r = -errno;
	}
	if (r == 0 && unlinkat(m->fd, claim_uid, AT_REMOVEDIR) < 0 && errno != ENOENT)
		r = -errno;
	return r < 0 ? error_set(e, r, "%s/%s: %s", m->directory, claim_uid, strerror(-r)) : 0;
}

void metadata_sweep(const struct metadata *m, bool (*known)(const char *claim_uid, void *user), void *user)
{
	int fd = openat(m->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* its own position */
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d && fd >= 0)
		close(fd);
	for (struct dirent *entry; d && (entry = readdir(d));)
		if (entry->d_name[0] != '.' && !known(entry->d_name, user))
			(void)metadata_remove(m, entry->d_name, NULL);
	if (d)
		closedir(d);
}
