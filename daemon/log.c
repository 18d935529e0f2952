/* SPDX-License-Identifier: Apache-2.0 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#include "core/base/str.h"
#include "daemon/log.h"

enum { STUCK_READER_WAIT_MS = 20 };

/* One process has one log, and every part of daemon/ writes to it. */
static struct {
	enum log_sink sink;
	int verbosity;
	struct log_limit limit;
	bool reader_stuck;
	uint32_t lost; /* records the reader of stderr did not take */
} journal = {.sink = LOG_SINK_PLAIN};

static enum log_sink choose_sink(void)
{
	struct stat st;
	if (fstat(STDERR_FILENO, &st) == 0 && log_stream_is(getenv("JOURNAL_STREAM"), st.st_dev, st.st_ino))
		return LOG_SINK_JOURNAL;
	return isatty(STDERR_FILENO) ? LOG_SINK_PLAIN : LOG_SINK_JSON;
}

void log_open(enum log_sink sink, int verbosity)
{
	journal.sink = sink == LOG_SINK_AUTO ? choose_sink() : sink;
	journal.verbosity = verbosity;
}

bool log_is_verbose(void)
{
	return journal.verbosity >= 2;
}

const char *log_sink_name(void)
{
	return journal.sink == LOG_SINK_JOURNAL ? "journal" : journal.sink == LOG_SINK_JSON ? "json" : "plain";
}

/* stderr may be a pipe whose reader has stopped, and the loop must go on: wait a moment once, and while it stays full drop the lines. A
 * pipe that polls writable takes a line of PIPE_BUF bytes without blocking. */
static bool stderr_takes(void)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
	int n = poll(&p, 1, journal.reader_stuck ? 0 : STUCK_READER_WAIT_MS);
	journal.reader_stuck = n == 0;
	return n > 0;
}

static bool write_stderr(const struct log_record *r)
{
	_cleanup_buf_ struct buf line = {0};
	if (!stderr_takes())
		return false;
	if (journal.sink == LOG_SINK_JSON)
		log_format_json(r, &line);
	else
		log_format_plain(r, &line);
	for (size_t done = 0; done < line.len;) {
		ssize_t n = write(STDERR_FILENO, line.data + done, line.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool write_journal(const struct log_record *r)
{
	_cleanup_buf_ struct buf storage = {0};
	struct iovec fields[LOG_JOURNAL_FIELDS_MAX];
	size_t n = log_format_journal(r, &storage, fields);
	return n > 0 && sd_journal_sendv(fields, (int)n) >= 0;
}

static bool emit(const struct log_record *r)
{
	if (journal.sink == LOG_SINK_JOURNAL && write_journal(r))
		return true;
	return write_stderr(r);
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void report_lost(uint64_t realtime_us)
{
	char text[80];
	snprintf(text, sizeof(text), "%u log records were lost: the reader of stderr was too slow", journal.lost);
	struct log_record r = {LOG_WARNING, LOG_KIND_INTERNAL, text, {0}, realtime_us};
	if (emit(&r))
		journal.lost = 0;
}

void log_write(int priority, enum log_kind kind, const struct log_about *about, const char *format, ...)
{
	char text[LOG_MESSAGE_MAX + 1], whole[2 * LOG_MESSAGE_MAX];
	uint32_t suppressed = 0;
	if (priority >= LOG_DEBUG && !log_is_verbose())
		return;
	va_list ap;
	va_start(ap, format);
	vsnprintf(whole, sizeof(whole), format, ap);
	va_end(ap);
	STR_CUT(text, whole);

	struct log_record r = {priority, kind, text, about ? *about : (struct log_about){0}, clock_us(CLOCK_REALTIME)};
	if (log_kind_limited(kind) && !log_limit_pass(&journal.limit, log_record_key(&r), clock_us(CLOCK_MONOTONIC) / 1000, &suppressed))
		return;
	if (suppressed) {
		snprintf(whole, sizeof(whole), "%s (%u equal records left out)", text, suppressed);
		r.message = whole;
	}
	if (journal.lost)
		report_lost(r.realtime_us);
	if (!emit(&r))
		journal.lost++;
}
