/* SPDX-License-Identifier: Apache-2.0 */
/* Network namespaces for tests that talk to the real kernel: a private "host" in place of the machine's own, with its own /sys, and as many
 * "pods" as wanted. Links are made with iproute2, so that what our code did is looked at by somebody else's. Needs root. */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmocka.h>

/* Prints why when it returns false. */
static inline bool fixture_possible(void)
{
	if (geteuid() != 0) {
		printf("SKIPPED: network namespaces need root\n");
		return false;
	}
	if (system("ip -V >/dev/null 2>&1") != 0) {
		printf("SKIPPED: the ip command (iproute2) is missing\n");
		return false;
	}
	return true;
}

static inline void fixture_mount_sysfs(void)
{
	/* A sysfs mount shows the links of the namespace it was mounted in. */
	assert_int_equal(mount("sysfs", "/sys", "sysfs", 0, NULL), 0);
}

/* From now on the process's network and mounts are its own. Once per test: each gets an empty host. */
static inline void fixture_new_host(void)
{
	static bool mounts_are_ours;
	if (!mounts_are_ours) {
		assert_int_equal(unshare(CLONE_NEWNS), 0);
		assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
		mounts_are_ours = true;
	} else {
		(void)umount("/sys");
	}
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fixture_mount_sysfs();
}

static inline int fixture_own_namespace(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static inline int fixture_new_pod(void)
{
	int home = fixture_own_namespace();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	int pod = fixture_own_namespace();
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return pod;
}

/* A shell command; its output (cut at `size`), its status. */
static inline int fixture_shell(char *output, size_t size, const char *format, va_list args)
{
	char command[1024];
	vsnprintf(command, sizeof(command), format, args);
	FILE *f = popen(command, "r");
	assert_non_null(f);
	size_t n = output ? fread(output, 1, size - 1, f) : 0;
	if (output)
		output[n] = '\0';
	return pclose(f);
}

static inline void host(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void host(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int status = fixture_shell(NULL, 0, format, args);
	va_end(args);
	if (status != 0)
		fail_msg("\"%s\" ended with %d", format, status);
}

static inline void in_pod(int pod, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void in_pod(int pod, const char *format, ...)
{
	int home = fixture_own_namespace();
	va_list args;
	assert_int_equal(setns(pod, CLONE_NEWNET), 0);
	va_start(args, format);
	int status = fixture_shell(NULL, 0, format, args);
	va_end(args);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	if (status != 0)
		fail_msg("\"%s\" ended with %d in the pod", format, status);
}

enum { FIXTURE_TEXT_SIZE = 1 << 16 };

/* What a command prints, on the host (pod -1) or in a pod. The caller frees it. */
static inline char *text_of(int pod, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline char *text_of(int pod, const char *format, ...)
{
	char *text = malloc(FIXTURE_TEXT_SIZE);
	int home = fixture_own_namespace();
	va_list args;
	assert_non_null(text);
	if (pod >= 0)
		assert_int_equal(setns(pod, CLONE_NEWNET), 0);
	va_start(args, format);
	(void)fixture_shell(text, FIXTURE_TEXT_SIZE, format, args);
	va_end(args);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return text;
}

static inline void assert_shows(int pod, const char *command, const char *expected)
{
	char *text = text_of(pod, "%s", command);
	if (!strstr(text, expected))
		fail_msg("\"%s\" does not show \"%s\" but:\n%s", command, expected, text);
	free(text);
}

static inline void assert_hides(int pod, const char *command, const char *unexpected)
{
	char *text = text_of(pod, "%s", command);
	if (strstr(text, unexpected))
		fail_msg("\"%s\" shows \"%s\":\n%s", command, unexpected, text);
	free(text);
}
