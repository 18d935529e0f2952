/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/mark.h"
#include "core/base/str.h"
#include "daemon/cdi.h"
#include "daemon/cdi_sandbox.h"
#include "daemon/store.h"

enum {
	GATE_FD_LOWEST = 900, /* a number that another process with our pid, after our death, would hardly have open */
	SPEC_NAME_SIZE = 64 + UID_SIZE + 16,
};

struct cdi {
	char driver[64];
	char state_directory[PATH_SIZE], cdi_directory[PATH_SIZE];
	int cdi_fd;      /* --cdi-dir */
	int gate_root;   /* <state>/gate */
	int attached_fd; /* <state>/attached: the markers */
	int gate_fd;     /* the same, O_PATH, under a high number: PENDING specs name it */
	/* <state>/gate/<name>/gate is the node. A name of this process's own: a spec that a dead process left must not resolve because we
	 * got its process id. */
	char gate_name[20];
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
#define _cleanup_close_ _cleanup_(close_fd)

static int open_directory(const char *path, mode_t mode, int *ret, struct error *e)
{
	char partial[PATH_SIZE + 16];
	if (STR_COPY(partial, path) < 0)
		return error_set(e, -ENAMETOOLONG, "%s: the path is too long", path);
	for (char *slash = partial + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(partial, 0755);
		*slash = '/';
	}
	if (mkdir(partial, mode) < 0 && errno != EEXIST)
		return error_set(e, -errno, "%s: cannot be made: %s", path, strerror(errno));
	int fd = open(partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	*ret = fd;
	return 0;
}

static int open_below(const struct cdi *c, const char *name, int *ret, struct error *e)
{
	char path[PATH_SIZE + 16];
	snprintf(path, sizeof(path), "%s/%s", c->state_directory, name);
	return open_directory(path, 0700, ret, e);
}

/* Calls `see` for each name in the directory that does not start with a dot. */
static int each_name(int directory_fd, void (*see)(struct cdi *c, const char *name, void *arg), struct cdi *c, void *arg)
{
	int fd = openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* its own position */
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int r = -errno;
		close_fd(&fd);
		return r;
	}
	for (struct dirent *entry; (entry = readdir(d));)
		if (entry->d_name[0] != '.')
			see(c, entry->d_name, arg);
	closedir(d);
	return 0;
}

static void remove_gate(struct cdi *c, const char *name, void *arg)
{
	char node[NAME_MAX + 8];
	(void)arg;
	snprintf(node, sizeof(node), "%s/gate", name);
	unlinkat(c->gate_root, node, 0);
	unlinkat(c->gate_root, name, AT_REMOVEDIR);
}

/* A high number for the descriptor, within the limit of open files. */
static int move_up(int fd)
{
	struct rlimit limit;
	int lowest = GATE_FD_LOWEST;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < GATE_FD_LOWEST + 64)
		lowest = limit.rlim_cur > 64 ? (int)limit.rlim_cur - 32 : 16;
	int high = fcntl(fd, F_DUPFD_CLOEXEC, lowest);
	return high < 0 ? -errno : high;
}

static int make_gate(struct cdi *c, struct error *e)
{
	uint64_t nonce;
	char node[sizeof(c->gate_name) + 8];
	each_name(c->gate_root, remove_gate, c, NULL);
	if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
		return error_set(e, -EIO, "no random number for the gate's name");
	snprintf(c->gate_name, sizeof(c->gate_name), "%016" PRIx64, nonce);
	snprintf(node, sizeof(node), "%s/gate", c->gate_name);
	if (mkdirat(c->gate_root, c->gate_name, 0700) < 0)
		return error_set(e, -errno, "%s/gate: %s", c->state_directory, strerror(errno));
	mark("cdi", "gate-mkdir", "end");
	if (mknodat(c->gate_root, node, S_IFCHR | 0400, makedev(0, 0)) < 0)
		return error_set(e, -errno, "%s/gate: a device node cannot be made: %s", c->state_directory, strerror(errno));
	mark("cdi", "gate-mknod", "end");
	_cleanup_close_ int fd = openat(c->gate_root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "%s/gate: %s", c->state_directory, strerror(errno));
	int high = move_up(fd);
	if (high < 0)
		return error_set(e, high, "%s/gate: %s", c->state_directory, strerror(-high));
	c->gate_fd = high;
	return 0;
}

int cdi_open(const char *cdi_directory, const char *state_directory, const char *driver, struct cdi **ret, struct error *e)
{
	struct cdi *c = calloc(1, sizeof(*c));
	if (!c)
		return error_set(e, -ENOMEM, "out of memory");
	c->cdi_fd = c->gate_root = c->attached_fd = c->gate_fd = -1;
	int r = STR_COPY(c->driver, driver) < 0 || STR_COPY(c->state_directory, state_directory) < 0 ||
	                STR_COPY(c->cdi_directory, cdi_directory) < 0
	            ? error_set(e, -ENAMETOOLONG, "the driver's, the CDI or the state directory's name is too long")
	            : open_directory(cdi_directory, 0755, &c->cdi_fd, e);
	if (r == 0)
		r = open_below(c, "gate", &c->gate_root, e);
	if (r == 0)
		r = open_below(c, "attached", &c->attached_fd, e);
	if (r == 0)
		r = make_gate(c, e);
	if (r < 0) {
		cdi_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void cdi_close(struct cdi *c)
{
	if (!c)
		return;
	close_fd(&c->gate_fd);
	if (c->gate_name[0])
		remove_gate(c, c->gate_name, NULL);
	close_fd(&c->attached_fd);
	close_fd(&c->gate_root);
	close_fd(&c->cdi_fd);
	free(c);
}

/* Every text in it is one of ours or was checked to be a plain token, so nothing needs an escape. 0.5.0 is the oldest version that allows
 * host paths and names that start with a digit, and every runtime with CDI on takes it. */
static void spec_begin(const struct cdi *c, const char *claim_uid, struct buf *ret)
{
	buf_printf(
	    ret,
	    "{\"cdiVersion\":\"0.5.0\",\"kind\":\"%s/claim\",\"devices\":[{\"name\":\"%s\",\"containerEdits\":{\"env\":[\"DRANET_CLAIM_",
	    c->driver, claim_uid);
	for (const char *at = claim_uid; *at; at++) /* shells know only such names of variables */
		buf_add(ret, isalnum((unsigned char)*at) ? at : "_", 1);
	buf_printf(ret, "=%s/%s\"]", c->driver, claim_uid);
}

/* Owner and mode are said, or the library gives the node to the container's user; type and number, or it looks for the node below its own
 * /dev. */
static void put_node(const struct rdma_node *n, const char *permissions, struct buf *to)
{
	buf_printf(to,
	           "{\"path\":\"%s\",\"type\":\"c\",\"major\":%" PRIu32 ",\"minor\":%" PRIu32 ",\"fileMode\":%" PRIu32 ",\"uid\":%" PRIu32
	           ",\"gid\":%" PRIu32,
	           n->path, n->major, n->minor, n->mode, n->uid, n->gid);
	if (permissions)
		buf_printf(to, ",\"permissions\":\"%s\"", permissions);
	buf_puts(to, "}");
}

/* A lock and, behind it, what replaces it. */
static void put_gate(const struct cdi *c, enum token token, const char *sandbox_gate_path, struct buf *to)
{
	static const struct rdma_node null = {.path = "/dev/null", .major = 1, .minor = 3, .mode = 0666};
	buf_puts(to, "{\"path\":\"/dev/null\",\"hostPath\":\"");
	if (token == TOKEN_PENDING)
		buf_printf(to, "/proc/%d/fd/%d/%s/gate", (int)getpid(), c->gate_fd, c->gate_name);
	else
		buf_puts(to, sandbox_gate_path);
	buf_puts(to, "\",\"permissions\":\"r\"},");
	put_node(&null, NULL, to);
}

static void put_nodes(const struct cdi *c, enum token token, const char *sandbox_gate_path, const struct cdi_edits *edits, struct buf *to)
{
	bool gated = token == TOKEN_PENDING || sandbox_gate_path;
	size_t n = edits ? edits->n_nodes : 0;
	if (!gated && !n)
		return;
	buf_puts(to, ",\"deviceNodes\":[");
	if (gated)
		put_gate(c, token, sandbox_gate_path, to);
	for (size_t i = 0; i < n; i++) {
		buf_puts(to, gated || i ? "," : "");
		put_node(&edits->nodes[i], "rw", to); /* the runtime makes the nodes, a container has none to make */
	}
	buf_puts(to, "]");
}

static void put_mount(const char *source, const char *target, bool *first, struct buf *to)
{
	buf_printf(to, "%s{\"hostPath\":\"%s\",\"containerPath\":\"%s\",\"options\":[\"bind\",\"ro\",\"nosuid\",\"nodev\",\"noexec\"]}",
	           *first ? ",\"mounts\":[" : ",", source, target);
	*first = false;
}

static void put_mounts(const struct cdi *c, const char *claim_uid, enum token token, const struct cdi_edits *edits, struct buf *to)
{
	bool first = true;
	if (token == TOKEN_PENDING) {
		_cleanup_buf_ struct buf source = {0}, target = {0};
		buf_printf(&source, "%s/attached/%s", c->state_directory, claim_uid);
		buf_printf(&target, "/dev/dranet/%s", claim_uid);
		put_mount(buf_text(&source), buf_text(&target), &first, to);
	}
	for (size_t i = 0; edits && i < edits->n_mounts; i++)
		put_mount(edits->mounts[i].source, edits->mounts[i].target, &first, to);
	if (!first)
		buf_puts(to, "]");
}

void cdi_spec_text(const struct cdi *c, const char *claim_uid, enum token token, const char *sandbox_gate_path,
                   const struct cdi_edits *edits, struct buf *ret)
{
	spec_begin(c, claim_uid, ret);
	put_nodes(c, token, sandbox_gate_path, edits, ret);
	put_mounts(c, claim_uid, token, edits, ret);
	buf_puts(ret, "}}]}\n");
}

/* The directory is not ours alone: where somebody removed it, with or without making another one, what we hold open takes no more files. */
static int open_temporary(struct cdi *c, const char *temporary)
{
	enum { FLAGS = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW };
	int fd = openat(c->cdi_fd, temporary, FLAGS, 0644), anew = -1;
	if (fd >= 0 || errno != ENOENT)
		return fd < 0 ? -errno : fd;
	int r = open_directory(c->cdi_directory, 0755, &anew, NULL);
	if (r < 0)
		return r;
	close_fd(&c->cdi_fd);
	c->cdi_fd = anew;
	fd = openat(c->cdi_fd, temporary, FLAGS, 0644);
	return fd < 0 ? -errno : fd;
}

static int write_spec(struct cdi *c, const char *claim_uid, enum token token, const char *sandbox_gate_path, const struct cdi_edits *edits)
{
	char name[SPEC_NAME_SIZE], temporary[SPEC_NAME_SIZE];
	_cleanup_buf_ struct buf text = {0};
	snprintf(name, sizeof(name), "%s-%s.json", c->driver, claim_uid);
	/* Neither .json nor .yaml: the runtime must not read it half written. */
	snprintf(temporary, sizeof(temporary), "%s-%s.tmp", c->driver, claim_uid);
	cdi_spec_text(c, claim_uid, token, sandbox_gate_path, edits, &text);
	if (text.failed)
		return -ENOMEM;
	_cleanup_close_ int fd = open_temporary(c, temporary);
	if (fd < 0)
		return fd;
	mark("cdi", "spec-open", "end");
	ssize_t n = write(fd, text.data, text.len);
	mark("cdi", "spec-write", "end");
	int r = n < 0 ? -errno : (size_t)n < text.len ? -ENOSPC : 0;
	if (r == 0 && renameat(c->cdi_fd, temporary, c->cdi_fd, name) < 0)
		r = -errno;
	mark("cdi", "spec-rename", "end");
	if (r < 0)
		unlinkat(c->cdi_fd, temporary, 0);
	return r;
}

static int remove_file(int directory_fd, const char *name)
{
	return unlinkat(directory_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int make_marker(struct cdi *c, const char *claim_uid)
{
	_cleanup_close_ int fd = openat(c->attached_fd, claim_uid, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0444);
	if (fd < 0)
		return -errno;
	mark("cdi", "marker-open", "end");
	return 0;
}

/* Drivers name the nodes, and a record on disk brings them back: below /dev, and nothing that JSON would escape. */
static int check_nodes(const struct cdi_edits *edits, struct error *e)
{
	for (size_t i = 0; edits && i < edits->n_nodes; i++) {
		const char *path = edits->nodes[i].path;
		bool good = str_starts(path, "/dev/") && !strstr(path, "/.");
		for (const char *at = path; *at; at++)
			good &= isalnum((unsigned char)*at) || strchr("/_.:-", *at);
		if (!good)
			return error_set(e, -EINVAL, "character device %u:%u cannot be given to a container under its path",
			                 edits->nodes[i].major, edits->nodes[i].minor);
	}
	return 0;
}

int cdi_write(struct cdi *c, const char *claim_uid, enum token token, const struct cdi_sandbox *sandbox, const struct cdi_edits *edits,
              struct error *e)
{
	char gate[SANDBOX_GATE_SIZE];
	char name[SPEC_NAME_SIZE];
	int r = store_check_uid(claim_uid);
	if (r < 0)
		return error_set(e, r, "claim UID \"%s\" cannot be a file name", claim_uid);
	if (token != TOKEN_NONE && (r = check_nodes(edits, e)) < 0)
		return r;
	snprintf(name, sizeof(name), "%s-%s.json", c->driver, claim_uid);
	switch (token) {
	case TOKEN_NONE:
		r = remove_file(c->cdi_fd, name);
		mark("cdi", "spec-unlink", "end");
		if (r == 0)
			r = remove_file(c->attached_fd, claim_uid);
		mark("cdi", "marker-unlink", "end");
		break;
	case TOKEN_PENDING:
		/* The marker of an earlier sandbox would open the second lock. */
		r = remove_file(c->attached_fd, claim_uid);
		mark("cdi", "marker-unlink", "end");
		if (r == 0)
			r = write_spec(c, claim_uid, token, NULL, edits);
		break;
	case TOKEN_FINAL: {
		/* A container that was created with the pending spec waits for its mount: the marker comes first. */
		r = make_marker(c, claim_uid);
		bool gated = sandbox && sandbox_gate(sandbox->pid, sandbox->netns_inode, claim_uid, gate) == 0;
		if (r == 0)
			r = write_spec(c, claim_uid, token, gated ? gate : NULL, edits);
		break;
	}
	}
	return r < 0 ? error_set(e, r, "CDI spec %s: %s", name, strerror(-r)) : 0;
}

struct sweep {
	bool (*known)(const char *claim_uid, void *user);
	void *user;
};

static void sweep_spec(struct cdi *c, const char *name, void *arg)
{
	const struct sweep *s = arg;
	size_t driver = strlen(c->driver), len = strlen(name);
	char uid[UID_SIZE];
	if (!str_starts(name, c->driver) || name[driver] != '-')
		return;
	const char *at = name + driver + 1, *dot = strrchr(at, '.');
	if (!dot)
		return;
	if (strcmp(dot, ".tmp") == 0) {
		unlinkat(c->cdi_fd, name, 0);
		return;
	}
	if (strcmp(dot, ".json") != 0 || (size_t)(dot - at) >= sizeof(uid) || len >= SPEC_NAME_SIZE)
		return;
	memcpy(uid, at, (size_t)(dot - at));
	uid[dot - at] = 0;
	if (store_check_uid(uid) == 0 && !s->known(uid, s->user))
		unlinkat(c->cdi_fd, name, 0);
}

static void sweep_marker(struct cdi *c, const char *name, void *arg)
{
	const struct sweep *s = arg;
	if (!s->known(name, s->user))
		unlinkat(c->attached_fd, name, 0);
}

int cdi_sweep(struct cdi *c, bool (*known)(const char *claim_uid, void *user), void *user, struct error *e)
{
	struct sweep s = {known, user};
	int r = each_name(c->cdi_fd, sweep_spec, c, &s);
	if (r == 0)
		r = each_name(c->attached_fd, sweep_marker, c, &s);
	return r < 0 ? error_set(e, r, "CDI spec files cannot be listed: %s", strerror(-r)) : 0;
}
