/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/buf.h"
#include "daemon/cdi.h"

#define UID "0b5c1d7e-1111-2222-3333-444455556666"

struct paths {
	char root[64], cdi[80], state[80];
};

static int setup(void **state)
{
	static struct paths p;
	snprintf(p.root, sizeof(p.root), "/tmp/dranetd-test-cdi-XXXXXX");
	if (!mkdtemp(p.root))
		return -1;
	snprintf(p.cdi, sizeof(p.cdi), "%s/cdi", p.root);
	snprintf(p.state, sizeof(p.state), "%s/state", p.root);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	const struct paths *p = *state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", p->root);
	return system(command);
}

/* A device node 0:0 needs no CAP_MKNOD on a kernel that is not too old, but root of a user namespace may not. */
static bool can_run(const struct paths *p)
{
	struct cdi *c;
	struct error e = {0};
	int r = cdi_open(p->cdi, p->state, "dra.net", &c, &e);
	if (r == -EPERM) {
		print_message("SKIP: no device node can be made here: %s\n", e.text);
		return false;
	}
	assert_int_equal(r, 0);
	cdi_close(c);
	return true;
}

static bool exists(const char *directory, const char *name)
{
	char path[256];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return lstat(path, &st) == 0;
}

static size_t count_files(const char *directory)
{
	size_t n = 0;
	DIR *d = opendir(directory);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static json_t *edits_of(const struct paths *p)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/dra.net-" UID ".json", p->cdi);
	json_t *spec = json_load_file(path, 0, NULL);
	assert_non_null(spec);
	assert_string_equal(json_string_value(json_object_get(spec, "cdiVersion")), "0.5.0");
	assert_string_equal(json_string_value(json_object_get(spec, "kind")), "dra.net/claim");
	json_t *device = json_array_get(json_object_get(spec, "devices"), 0);
	assert_string_equal(json_string_value(json_object_get(device, "name")), UID);
	json_t *edits = json_incref(json_object_get(device, "containerEdits"));
	json_decref(spec);
	return edits;
}

static void test_token(void **state)
{
	const struct paths *p = *state;
	struct cdi *c;
	char attached[96], host_path[128];
	struct stat st;
	if (!can_run(p))
		return;
	snprintf(attached, sizeof(attached), "%s/attached", p->state);
	assert_int_equal(cdi_open(p->cdi, p->state, "dra.net", &c, NULL), 0);

	assert_int_equal(cdi_write(c, UID, TOKEN_PENDING, NULL, NULL, NULL), 0);
	json_t *edits = edits_of(p);
	json_t *nodes = json_object_get(edits, "deviceNodes");
	assert_int_equal(json_array_size(nodes), 2);
	snprintf(host_path, sizeof(host_path), "%s", json_string_value(json_object_get(json_array_get(nodes, 0), "hostPath")));
	/* What the runtime does with it: lstat. 0:0, or its cache would not look again. */
	assert_int_equal(lstat(host_path, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_rdev, makedev(0, 0));
	json_t *plain = json_array_get(nodes, 1);
	assert_int_equal(json_integer_value(json_object_get(plain, "major")), 1);
	assert_int_equal(json_integer_value(json_object_get(plain, "minor")), 3);
	assert_int_equal(json_integer_value(json_object_get(plain, "fileMode")), 0666);
	const char *source = json_string_value(json_object_get(json_array_get(json_object_get(edits, "mounts"), 0), "hostPath"));
	assert_int_equal(access(source, F_OK), -1); /* no marker: runc cannot mount it */

	assert_int_equal(cdi_write(c, UID, TOKEN_FINAL, NULL, NULL, NULL), 0);
	assert_int_equal(access(source, F_OK), 0); /* a container created with the pending spec can start now */
	json_decref(edits);
	edits = edits_of(p);
	assert_int_equal(json_object_size(edits), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(edits, "env"), 0)),
	                    "DRANET_CLAIM_0b5c1d7e_1111_2222_3333_444455556666=dra.net/" UID);
	json_decref(edits);

	assert_int_equal(cdi_write(c, UID, TOKEN_PENDING, NULL, NULL, NULL), 0);
	assert_false(exists(attached, UID)); /* the next sandbox */
	assert_int_equal(cdi_write(c, UID, TOKEN_FINAL, NULL, NULL, NULL), 0);
	assert_int_equal(cdi_write(c, UID, TOKEN_NONE, NULL, NULL, NULL), 0);
	assert_int_equal(cdi_write(c, UID, TOKEN_NONE, NULL, NULL, NULL), 0);
	assert_int_equal(count_files(p->cdi), 0);
	assert_int_equal(count_files(attached), 0);

	cdi_close(c);
	assert_int_equal(lstat(host_path, &st), -1);
}

static void assert_node(const json_t *node, const char *path, int number, int mode, int gid)
{
	assert_string_equal(json_string_value(json_object_get(node, "path")), path);
	assert_null(json_object_get(node, "hostPath"));
	assert_string_equal(json_string_value(json_object_get(node, "type")), "c");
	assert_int_equal(json_integer_value(json_object_get(node, "major")), 231);
	assert_int_equal(json_integer_value(json_object_get(node, "minor")), number);
	assert_int_equal(json_integer_value(json_object_get(node, "fileMode")), mode);
	assert_int_equal(json_integer_value(json_object_get(node, "uid")), 0);
	assert_int_equal(json_integer_value(json_object_get(node, "gid")), gid);
	assert_string_equal(json_string_value(json_object_get(node, "permissions")), "rw");
}

/* They stand behind the lock while there is one, and alone when there is none. */
static void test_nodes(void **state)
{
	static const struct rdma_node nodes[] = {{"/dev/infiniband/uverbs0", 231, 192, 0666, 0, 0},
	                                         {"/dev/infiniband/umad0", 231, 0, 0660, 0, 27}};
	static const char *const bad[] = {"", "uverbs0", "/etc/passwd", "/dev/../etc/passwd", "/dev/a\"b", "/dev/a b", "/dev/a\\b"};
	static const struct cdi_mount mounts[] = {{"/run/dranetd/metadata/u/0.json", "/var/run/kubernetes.io/a/dra.net-metadata.json"}};
	const struct cdi_edits both = {nodes, 2, mounts, 1};
	const struct paths *p = *state;
	struct error e = {0};
	struct cdi *c;
	if (!can_run(p))
		skip();
	assert_int_equal(cdi_open(p->cdi, p->state, "dra.net", &c, NULL), 0);
	for (int gated = 1; gated >= 0; gated--) {
		assert_int_equal(cdi_write(c, UID, gated ? TOKEN_PENDING : TOKEN_FINAL, NULL, &both, &e), 0);
		json_t *edits = edits_of(p), *list = json_object_get(edits, "deviceNodes");
		size_t first = gated ? 2 : 0;
		assert_int_equal(json_array_size(list), first + 2);
		assert_node(json_array_get(list, first), "/dev/infiniband/uverbs0", 192, 0666, 0);
		assert_node(json_array_get(list, first + 1), "/dev/infiniband/umad0", 0, 0660, 27);
		json_t *given = json_object_get(edits, "mounts"), *mount = json_array_get(given, (size_t)gated);
		assert_int_equal(json_array_size(given), gated + 1);
		assert_string_equal(json_string_value(json_object_get(mount, "hostPath")), mounts[0].source);
		assert_string_equal(json_string_value(json_object_get(mount, "containerPath")), mounts[0].target);
		json_decref(edits);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct rdma_node one = {.major = 231, .minor = 192};
		snprintf(one.path, sizeof(one.path), "%s", bad[i]);
		assert_int_equal(cdi_write(c, UID, TOKEN_FINAL, NULL, &(struct cdi_edits){.nodes = &one, .n_nodes = 1}, &e), -EINVAL);
	}
	assert_int_equal(cdi_write(c, UID, TOKEN_NONE, NULL, &both, NULL), 0);
	cdi_close(c);
}

/* The lock of a pending token opens only while the process that wrote it lives. */
static void test_dies_with_its_process(void **state)
{
	const struct paths *p = *state;
	char host_path[128];
	struct stat st;
	int ready[2], status;
	if (!can_run(p))
		return;
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct cdi *c;
		if (cdi_open(p->cdi, p->state, "dra.net", &c, NULL) < 0 || cdi_write(c, UID, TOKEN_PENDING, NULL, NULL, NULL) < 0 ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	char byte;
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	json_t *edits = edits_of(p);
	snprintf(host_path, sizeof(host_path), "%s",
	         json_string_value(json_object_get(json_array_get(json_object_get(edits, "deviceNodes"), 0), "hostPath")));
	json_decref(edits);
	assert_int_equal(lstat(host_path, &st), 0);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(lstat(host_path, &st), -1);

	/* The next process clears away the gate that was left. */
	char gate[96];
	struct cdi *c;
	snprintf(gate, sizeof(gate), "%s/gate", p->state);
	assert_int_equal(count_files(gate), 1);
	assert_int_equal(cdi_open(p->cdi, p->state, "dra.net", &c, NULL), 0);
	assert_int_equal(count_files(gate), 1);
	assert_int_equal(lstat(host_path, &st), -1);
	cdi_close(c);
	assert_int_equal(count_files(gate), 0);
}

static bool knows(const char *uid, void *user)
{
	return strcmp(uid, user) == 0;
}

static void make_file(const char *directory, const char *name)
{
	char path[256];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void test_directory_removed(void **state)
{
	struct paths *p = *state;
	struct cdi *c;
	struct error e = {0};
	char command[300];
	if (!can_run(p))
		skip();
	assert_int_equal(cdi_open(p->cdi, p->state, "dra.net", &c, &e), 0);
	for (int made_again = 0; made_again < 2; made_again++) {
		snprintf(command, sizeof(command), "rm -rf '%s'%s%s", p->cdi, made_again ? " && mkdir " : "", made_again ? p->cdi : "");
		assert_int_equal(system(command), 0);
		assert_int_equal(cdi_write(c, UID, TOKEN_NONE, NULL, NULL, &e), 0);
		assert_int_equal(cdi_write(c, UID, TOKEN_PENDING, NULL, NULL, &e), 0);
		assert_true(exists(p->cdi, "dra.net-" UID ".json"));
		assert_int_equal(count_files(p->cdi), 1);
	}
	cdi_close(c);
}

static void test_sweep(void **state)
{
	const struct paths *p = *state;
	struct cdi *c;
	char attached[96], known[] = UID;
	if (!can_run(p))
		return;
	snprintf(attached, sizeof(attached), "%s/attached", p->state);
	assert_int_equal(cdi_open(p->cdi, p->state, "dra.net", &c, NULL), 0);
	assert_int_equal(cdi_write(c, UID, TOKEN_FINAL, NULL, NULL, NULL), 0);
	assert_int_equal(cdi_write(c, "gone", TOKEN_FINAL, NULL, NULL, NULL), 0);
	make_file(p->cdi, "dra.net-half.tmp");
	make_file(p->cdi, "dra.network-other.json"); /* of another driver */
	make_file(p->cdi, "nvidia.com-gpu.json");
	make_file(p->cdi, "dra.net-readme");
	assert_int_equal(cdi_sweep(c, knows, known, NULL), 0);
	assert_true(exists(p->cdi, "dra.net-" UID ".json"));
	assert_true(exists(attached, UID));
	assert_false(exists(p->cdi, "dra.net-gone.json"));
	assert_false(exists(attached, "gone"));
	assert_false(exists(p->cdi, "dra.net-half.tmp"));
	assert_true(exists(p->cdi, "dra.network-other.json"));
	assert_true(exists(p->cdi, "nvidia.com-gpu.json"));
	assert_true(exists(p->cdi, "dra.net-readme"));
	cdi_close(c);
}

static void test_bad_uids(void **state)
{
	static const char *const uids[] = {"", ".", "..", "../x", "a/b", "a\"b", "a b"};
	const struct paths *p = *state;
	struct cdi *c;
	struct error e = {0};
	if (!can_run(p))
		return;
	assert_int_equal(cdi_open(p->cdi, p->state, "dra.net", &c, NULL), 0);
	for (size_t i = 0; i < sizeof(uids) / sizeof(*uids); i++)
		assert_int_equal(cdi_write(c, uids[i], TOKEN_PENDING, NULL, NULL, &e), -EINVAL);
	assert_int_equal(count_files(p->cdi), 0);
	cdi_close(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_token, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_nodes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_dies_with_its_process, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_directory_removed, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_uids, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
