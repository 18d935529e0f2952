/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "core/base/str.h"
#include "daemon/notify.h"

struct notify {
	uv_timer_t watchdog;
	char status[256]; /* the last one told: equal ones are not repeated */
};

static void on_watchdog(uv_timer_t *timer)
{
	(void)timer;
	sd_notify(0, "WATCHDOG=1");
}

int notify_new(uv_loop_t *loop, struct notify **ret, struct error *e)
{
	struct notify *n = calloc(1, sizeof(*n));
	uint64_t interval_us = 0;
	if (!n)
		return error_set(e, -ENOMEM, "out of memory");
	uv_timer_init(loop, &n->watchdog);
	n->watchdog.data = n;
	if (sd_watchdog_enabled(0, &interval_us) > 0) {
		uint64_t half_ms = interval_us / 2000 ? interval_us / 2000 : 1;
		uv_timer_start(&n->watchdog, on_watchdog, half_ms, half_ms);
		uv_unref((uv_handle_t *)&n->watchdog);
	}
	*ret = n;
	return 0;
}

void notify_ready(struct notify *n)
{
	(void)n;
	sd_notify(0, "READY=1");
}

void notify_status(struct notify *n, const char *format, ...)
{
	char text[sizeof(n->status)];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (strcmp(text, n->status) == 0)
		return;
	STR_CUT(n->status, text);
	sd_notifyf(0, "STATUS=%s", n->status);
}

void notify_stopping(struct notify *n)
{
	(void)n;
	sd_notify(0, "STOPPING=1");
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void notify_close(struct notify *n)
{
	if (n)
		uv_close((uv_handle_t *)&n->watchdog, on_closed);
}
