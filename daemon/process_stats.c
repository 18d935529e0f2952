/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/process_stats.h"

int process_stat_parse(const char *line, struct process_stat_line *ret)
{
	/* The name in parentheses may hold anything, parentheses included: the fields start behind the last one. */
	const char *p = strrchr(line, ')');
	struct process_stat_line v;
	if (!p || sscanf(p,
	                 ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64 " %*d %*d %*d %*d %*d %*d %" SCNu64
	                 " %" SCNu64 " %" SCNu64,
	                 &v.utime, &v.stime, &v.start, &v.virtual_bytes, &v.resident_pages) != 5)
		return -EINVAL;
	*ret = v;
	return 0;
}

static void read_stat(struct process_stats *s)
{
	char line[1024], boot[64];
	struct process_stat_line v = {0};
	uint64_t boot_time = 0;
	double ticks = (double)sysconf(_SC_CLK_TCK);
	FILE *f = fopen("/proc/self/stat", "re");
	if (f) {
		if (fgets(line, sizeof(line), f))
			process_stat_parse(line, &v);
		fclose(f);
	}
	f = fopen("/proc/stat", "re");
	while (f && fgets(boot, sizeof(boot), f)) /* long lines come in pieces, none of which starts with "btime" */
		if (sscanf(boot, "btime %" SCNu64, &boot_time) == 1)
			break;
	if (f)
		fclose(f);
	s->cpu_seconds = (double)(v.utime + v.stime) / ticks;
	s->start_time = (double)boot_time + (double)v.start / ticks;
	s->virtual_bytes = v.virtual_bytes;
	s->resident_bytes = v.resident_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void process_stats_read(struct process_stats *ret)
{
	struct rlimit limit;
	*ret = (struct process_stats){0};
	read_stat(ret);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ret->max_fds = limit.rlim_cur;
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		ret->open_fds += e->d_name[0] != '.';
	closedir(d);
	ret->open_fds--; /* the directory's own */
}
