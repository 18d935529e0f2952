/* SPDX-License-Identifier: Apache-2.0 */
/* What /proc says of this process, for the `process_*` metrics every Prometheus client library has. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct process_stats {
	double cpu_seconds, start_time; /* start_time: Unix time */
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds, max_fds;
};

/* Members that cannot be read stay 0. */
void process_stats_read(struct process_stats *ret);
/* The numbers of one /proc/<pid>/stat line; -EINVAL when it is none. Pure. */
struct process_stat_line {
	uint64_t utime, stime, start; /* clock ticks */
	uint64_t virtual_bytes, resident_pages;
};
int process_stat_parse(const char *line, struct process_stat_line *ret);
