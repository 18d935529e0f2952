/* SPDX-License-Identifier: Apache-2.0 */
/* The files of device metadata, as the service has them: root, but without the capability that opens what its mode does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/str.h"
#include "daemon/metadata.h"

static char root[] = "/tmp/test-metadata-XXXXXX";

static int setup(void **state)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	(void)state;
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
	static char text[4096];
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
	if (metadata_write(m, &record, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(stat(mounts[0].source, &after), 0);
	assert_true(before.st_ino == after.st_ino);
	assert_non_null(strstr(file_text(mounts[0].source), "\"interfaceName\":\"net1\""));
	assert_non_null(strstr(file_text(mounts[1].source), "\"name\":\"store\""));

	assert_int_equal(claims_on_disk(), 1);
	assert_int_equal(metadata_remove(m, "uid-1", &e), 0);
	assert_int_equal(metadata_remove(m, "uid-1", &e), 0);
	assert_int_equal(claims_on_disk(), 0);
	metadata_close(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_written_again),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
