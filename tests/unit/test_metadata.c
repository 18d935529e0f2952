/* SPDX-License-Identifier: Apache-2.0 */
/* The files of device metadata, as the service has them: root, but without the capability that opens what its mode does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/metadata.h"
#include "k8s/device_metadata.h"

static char root[] = "/tmp/test-metadata-XXXXXX";

static int setup(void **state)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	(void)state;
	/* What is mounted here is seen here. */
	if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	if (!mkdtemp(root) || syscall(SYS_capget, &header, data) < 0)
		return -1;
	data[0].effective &= ~(1u << CAP_DAC_OVERRIDE);
	return (int)syscall(SYS_capset, &header, data);
}

static int teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	return system(command);
}

static struct metadata *opened(void)
{
	struct metadata *m;
	assert_int_equal(metadata_open(root, "dra.net", &m, NULL), 0);
	return m;
}

static const char *file_text(const char *path)
{
	static char text[65536];
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	text[n] = '\0';
	if (f)
		fclose(f);
	return text;
}

static size_t claims_on_disk(void)
{
	char path[64];
	size_t n = 0;
	snprintf(path, sizeof(path), "%s/metadata", root);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (struct dirent *entry; (entry = readdir(d));)
		n += entry->d_name[0] != '.';
	closedir(d);
	return n;
}

static int64_t generation_of(const char *path)
{
	const char *text = file_text(path);
	return device_metadata_generation(text, strlen(text));
}

static void write_once_more(struct metadata *m, const struct claim_record *record)
{
	struct error e = {0};
	if (metadata_write(m, record, &e) < 0)
		fail_msg("%s", e.text);
}

/* Whatever room there is in the file system. */
static void fill(int sign)
{
	char path[64];
	static char page[4096];
	snprintf(path, sizeof(path), "%s/filler", root);
	if (sign < 0) {
		assert_int_equal(unlink(path), 0);
		return;
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (write(fd, page, sizeof(page)) > 0) {
	}
	assert_int_equal(errno, ENOSPC);
	close(fd);
}

/* Where there is no room for more, containers keep what they had. */
static void test_no_room(void **state)
{
	enum { MANY = 8 };
	struct attachment_record devices[MANY];
	struct claim_record record = {.ref = {"uid-2", "default", "nics"}, .n = MANY, .devices = devices};
	struct cdi_mount mounts[CLAIM_DEVICES_MAX];
	struct error e = {0};
	struct metadata *m;
	(void)state;
	if (mount("tmpfs", root, "tmpfs", 0, "size=64k") < 0) {
		printf("SKIPPED: no file system can be mounted: %s\n", strerror(errno));
		skip();
	}
	m = opened();
	for (size_t i = 0; i < MANY; i++)
		devices[i] = (struct attachment_record){.request = "rail", .pool = "node", .device = "eth0"};
	assert_int_equal(metadata_mounts(m, &record, mounts), 1);
	write_once_more(m, &record);
	fill(1);
	for (size_t i = 0; i < MANY; i++) {
		STR_COPY(devices[i].pod.ifname, "net1");
		devices[i].pod.n_addresses = ELEMENTS(devices[i].pod.addresses);
		for (size_t k = 0; k < devices[i].pod.n_addresses; k++) {
			assert_int_equal(ip_prefix_parse("2001:db8:1111:2222:3333:4444:5555:0/64", &devices[i].pod.addresses[k]), 0);
			devices[i].pod.addresses[k].address.bytes[15] = (uint8_t)k;
		}
	}
	int r = metadata_write(m, &record, &e);
	assert_int_equal(r, -ENOSPC);
	assert_null(strstr(file_text(mounts[0].source), "net1"));
	assert_int_equal(generation_of(mounts[0].source), 1);
	fill(-1);
	write_once_more(m, &record);
	assert_int_equal(generation_of(mounts[0].source), 2);
	metadata_close(m);
	assert_int_equal(umount(root), 0);
}

/* A start writes them once more, and so does whatever changes what the pod has: under containers that have them mounted. */
static void test_written_again(void **state)
{
	struct attachment_record devices[] = {{.request = "rail/fast", .pool = "node", .device = "eth0"},
	                                      {.request = "store", .pool = "node", .device = "eth1"}};
	struct claim_record record = {.ref = {"uid-1", "default", "nics"}, .n = 2, .devices = devices};
	struct cdi_mount mounts[CLAIM_DEVICES_MAX];
	struct error e = {0};
	struct stat before, after;
	struct metadata *m = opened();
	(void)state;
	assert_int_equal(metadata_mounts(m, &record, mounts), 2);
	assert_int_equal(metadata_write(m, &record, &e), 0);
	assert_int_equal(stat(mounts[0].source, &before), 0);
	assert_int_equal(before.st_mode & 0444, 0444); /* whoever the container runs as */
	STR_COPY(devices[0].pod.ifname, "net1");
	write_once_more(m, &record);
	assert_int_equal(stat(mounts[0].source, &after), 0);
	assert_true(before.st_ino == after.st_ino);
	assert_non_null(strstr(file_text(mounts[0].source), "\"interfaceName\":\"net1\""));
	assert_non_null(strstr(file_text(mounts[1].source), "\"name\":\"store\""));
	/* Who saw the first can tell that there is another; of the other request there is none. */
	assert_int_equal(generation_of(mounts[0].source), 2);
	assert_int_equal(generation_of(mounts[1].source), 1);
	write_once_more(m, &record);
	assert_int_equal(generation_of(mounts[0].source), 2);

	/* What is shorter does not cut it: who reads meanwhile would find nothing. */
	devices[0].pod.ifname[0] = '\0';
	write_once_more(m, &record);
	assert_int_equal(stat(mounts[0].source, &before), 0);
	assert_int_equal(before.st_size, after.st_size);
	assert_null(strstr(file_text(mounts[0].source), "net1"));
	assert_int_equal(generation_of(mounts[0].source), 3);
	write_once_more(m, &record);
	assert_int_equal(generation_of(mounts[0].source), 3);

	/* What cannot be ours, whoever wrote it. */
	assert_int_equal(truncate(mounts[0].source, 64 << 20), 0);
	write_once_more(m, &record);
	assert_int_equal(generation_of(mounts[0].source), 1);
	assert_int_equal(stat(mounts[0].source, &after), 0);
	assert_int_equal(after.st_size, strlen(file_text(mounts[0].source)));

	assert_int_equal(claims_on_disk(), 1);
	assert_int_equal(unlink(mounts[0].source), 0); /* by one of us who was killed then */
	assert_int_equal(metadata_remove(m, "uid-1", &e), 0);
	assert_int_equal(metadata_remove(m, "uid-1", &e), 0);
	assert_int_equal(claims_on_disk(), 0);
	metadata_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_written_again),
	    cmocka_unit_test(test_no_room),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
