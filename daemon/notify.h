/* SPDX-License-Identifier: Apache-2.0 */
/* What the service manager is told (sd_notify): ready, a status line, stopping, and the watchdog's ping at half its interval, sent from the
 * loop's own timer so that a stuck loop is restarted. Without a service manager everything here does nothing. */
#pragma once

#include <uv.h>

#include "core/base/error.h"

struct notify;

int notify_new(uv_loop_t *loop, struct notify **ret, struct error *e);
void notify_ready(struct notify *n);
void notify_status(struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
void notify_stopping(struct notify *n);
void notify_close(struct notify *n); /* NULL allowed */
