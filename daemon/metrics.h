/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms, and their text for Prometheus (text format 0.0.4). DRANET's metrics keep their names, labels and buckets
 * (dranet-behaviour §8); what dranetd adds is prefixed with `dranetd_`. Everything is in fixed arrays; the loop alone touches them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/core.h"
#include "core/states.h"
#include "daemon/process_stats.h"
#include "netlink/monitor.h"

enum dra_method { DRA_PREPARE, DRA_UNPREPARE, DRA_METHOD_MAX };
enum hook { HOOK_RUN_SANDBOX, HOOK_STOP_SANDBOX, HOOK_REMOVE_SANDBOX, HOOK_CREATE_CONTAINER, HOOK_MAX };
enum call_status { CALL_SUCCESS, CALL_FAILED, CALL_NOOP, CALL_STATUS_MAX };

enum { HISTOGRAM_BUCKETS_MAX = 12 };
struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS_MAX]; /* each its own count; added up when written */
	uint64_t count;
	double sum; /* seconds */
};

struct metrics {
	uint64_t dra_requests[DRA_METHOD_MAX][CALL_STATUS_MAX];
	struct histogram dra_latency[DRA_METHOD_MAX];
	uint64_t hooks[HOOK_MAX][CALL_STATUS_MAX];
	struct histogram hook_latency[HOOK_MAX][CALL_STATUS_MAX];
	struct histogram hook_wait[HOOK_MAX]; /* the same with buckets that tell a millisecond from a microsecond */
	uint64_t published_total, published_rdma;
	double last_published; /* Unix time; 0 = never */
	uint64_t transitions[DEVICE_STATE_MAX][DEVICE_STATE_MAX];
	uint64_t moves[2][2]; /* [attach, detach][done, failed] */
	struct histogram move_time[2];
	uint64_t store_failures, status_failures, token_failures;
	uint64_t events; /* core_step calls */

	/* Gauges, filled by the caller before each metrics_write. */
	uint64_t devices[DEVICE_STATE_MAX];
	struct core_counts counts;
	struct monitor_counters monitor;
	bool registered, runtime_connected;
};

void metrics_dra_request(struct metrics *m, enum dra_method method, bool ok, double seconds);
void metrics_hook(struct metrics *m, enum hook hook, enum call_status status, double seconds);
void metrics_move(struct metrics *m, bool attach, bool ok, double seconds);
void metrics_published(struct metrics *m, const struct core_counts *counts, double unix_time);
void metrics_transition(struct metrics *m, enum device_state from, enum device_state to);
void metrics_write(const struct metrics *m, const struct process_stats *process, struct buf *ret);
/* A label's value with backslash, quote and newline escaped. */
void metrics_label(struct buf *ret, const char *value);
