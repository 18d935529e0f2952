/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/mark.h"

#ifdef DRANETD_MARKS
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MARK_NAME_SIZE = 96 };

static struct {
	pthread_mutex_t mutex; /* over the rest */
	const char *trace, *kill_at;
	char armed[MARK_NAME_SIZE]; /* the text of kill_at */
	unsigned long times;        /* that its point was passed since */
} marks = {.mutex = PTHREAD_MUTEX_INITIALIZER};

const char *mark_effect(enum effect_type type)
{
	static const char *const names[EFFECT_TYPE_MAX] = {
	    [EFFECT_CLAIM_GET] = "claim-get",
	    [EFFECT_SNAPSHOT] = "snapshot",
	    [EFFECT_PIN] = "pin",
	    [EFFECT_UNPIN] = "unpin",
	    [EFFECT_ATTACH] = "attach",
	    [EFFECT_DETACH] = "detach",
	    [EFFECT_PROBE] = "probe",
	    [EFFECT_LEASE] = "lease",
	    [EFFECT_LEASE_KEEP] = "lease-keep",
	    [EFFECT_LEASE_APPLY] = "lease-apply",
	    [EFFECT_LEASE_DROP] = "lease-drop",
	    [EFFECT_STORE] = "store",
	    [EFFECT_FORGET] = "forget",
	    [EFFECT_TOKEN] = "token",
	    [EFFECT_STATUS] = "status",
	    [EFFECT_PUBLISH] = "publish",
	    [EFFECT_REPLY_PREPARE] = "reply-prepare",
	    [EFFECT_REPLY_UNPREPARE] = "reply-unprepare",
	    [EFFECT_REPLY_HOOK] = "reply-hook",
	    [EFFECT_EVENT] = "event",
	    [EFFECT_TRANSITION] = "transition",
	};
	return names[type] ? names[type] : "unnamed";
}

static void append(const char *path, const char *line)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		perror(path);
	if (fd >= 0)
		close(fd);
}

static void read_armed(char text[MARK_NAME_SIZE])
{
	int fd = open(marks.kill_at, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, MARK_NAME_SIZE - 1);
	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	if (fd >= 0)
		close(fd);
}

static bool is_time(const char *name)
{
	char text[MARK_NAME_SIZE];
	read_armed(text);
	if (strcmp(text, marks.armed) != 0) {
		memcpy(marks.armed, text, sizeof(text));
		marks.times = 0;
	}
	size_t len = strcspn(text, "#");
	if (!text[len] || strlen(name) != len || strncmp(name, text, len) != 0)
		return false;
	return ++marks.times == strtoul(text + len + 1, NULL, 10);
}

static void hear(const char *group, const char *what, const char *step)
{
	char name[MARK_NAME_SIZE], line[MARK_NAME_SIZE + 1];
	int error = errno; /* of the call before the point, which may not have been looked at yet */
	snprintf(name, sizeof(name), "%s.%s.%s", group, what, step);
	snprintf(line, sizeof(line), "%s\n", name);
	pthread_mutex_lock(&marks.mutex);
	if (marks.trace)
		append(marks.trace, line);
	if (marks.kill_at && is_time(name))
		kill(getpid(), SIGKILL);
	pthread_mutex_unlock(&marks.mutex);
	errno = error;
}

void mark_listen(void)
{
	marks.trace = getenv("DRANETD_MARK_TRACE");
	marks.kill_at = getenv("DRANETD_KILL_AT");
	if (marks.trace || marks.kill_at)
		mark_listener = hear;
}
#endif
