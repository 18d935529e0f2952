/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "daemon/metrics.h"

static const struct process_stats process = {.cpu_seconds = 0.25,
                                             .start_time = 1764000000.5,
                                             .resident_bytes = 8388608,
                                             .virtual_bytes = 1073741824,
                                             .open_fds = 21,
                                             .max_fds = 65536};

static const char golden[] =
#include "tests/unit/metrics_golden.h"
    ;

/* Where two texts differ, by line, for people. */
static void assert_same_text(const char *got, const char *wanted)
{
	size_t line = 1;
	for (const char *a = got, *b = wanted; *a || *b; a++, b++) {
		if (*a != *b) {
			print_error("line %zu: got \"%.120s\", wanted \"%.120s\"\n", line, a, b);
			fail();
		}
		line += *a == '\n';
	}
}

static void test_golden(void **state)
{
	struct metrics m = {0};
	_cleanup_buf_ struct buf text = {0};
	(void)state;
	metrics_dra_request(&m, DRA_PREPARE, true, 0.003);
	metrics_dra_request(&m, DRA_PREPARE, false, 0.3);
	metrics_dra_request(&m, DRA_UNPREPARE, true, 20);
	metrics_hook(&m, HOOK_RUN_SANDBOX, CALL_SUCCESS, 0.0002);
	metrics_hook(&m, HOOK_CREATE_CONTAINER, CALL_FAILED, 0.0625);
	metrics_hook(&m, HOOK_STOP_SANDBOX, CALL_NOOP, 0.00003);
	metrics_move(&m, true, true, 0.017);
	metrics_move(&m, false, false, 0.5);
	metrics_transition(&m, DEVICE_PREPARED, DEVICE_ATTACHED);
	metrics_published(&m, &(struct core_counts){.offered = 3, .rdma_offered = 2}, 1764000100.25);
	m.devices[DEVICE_PUBLISHED] = 2;
	m.devices[DEVICE_ATTACHED] = 1;
	m.counts.claims = 1;
	m.monitor = (struct monitor_counters){.dumps = 1, .notifications = 12345678, .overruns = 0};
	m.events = 42;
	m.registered = true;
	metrics_write(&m, &process, &text);
	assert_false(text.failed);
	assert_same_text(buf_text(&text), golden);
}

/* Bounds belong to their bucket, and what is above all of them is counted only in +Inf. */
static void test_buckets(void **state)
{
	struct metrics m = {0};
	(void)state;
	metrics_dra_request(&m, DRA_PREPARE, true, 0.005);
	metrics_dra_request(&m, DRA_PREPARE, true, 10);
	metrics_dra_request(&m, DRA_PREPARE, true, 10.1);
	assert_int_equal(m.dra_latency[DRA_PREPARE].buckets[0], 1);
	assert_int_equal(m.dra_latency[DRA_PREPARE].buckets[10], 1);
	assert_int_equal(m.dra_latency[DRA_PREPARE].count, 3);
}

static void test_label_escapes(void **state)
{
	_cleanup_buf_ struct buf text = {0};
	(void)state;
	metrics_label(&text, "a\"b\\c\nd");
	assert_string_equal(buf_text(&text), "a\\\"b\\\\c\\nd");
}

static void test_stat_line(void **state)
{
	struct process_stat_line v = {0};
	(void)state;
	assert_int_equal(
	    process_stat_parse("42 (a) b) c) S 1 42 42 0 -1 4194560 100 0 0 0 7 3 0 0 20 0 3 0 12345 1073741824 2048 18446744073709551615",
	                       &v),
	    0);
	assert_int_equal(v.utime, 7);
	assert_int_equal(v.stime, 3);
	assert_int_equal(v.start, 12345);
	assert_int_equal(v.virtual_bytes, 1073741824);
	assert_int_equal(v.resident_pages, 2048);
	assert_int_equal(process_stat_parse("42 (a) S 1 2", &v), -EINVAL);
	assert_int_equal(process_stat_parse("", &v), -EINVAL);
	assert_int_equal(v.utime, 7);
}

static void test_own_process(void **state)
{
	struct process_stats s;
	(void)state;
	process_stats_read(&s);
	assert_true(s.resident_bytes > 4096 && s.virtual_bytes > s.resident_bytes);
	assert_true(s.open_fds >= 3 && s.max_fds >= s.open_fds);
	assert_true(s.start_time > 1e9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden),    cmocka_unit_test(test_buckets),     cmocka_unit_test(test_label_escapes),
	    cmocka_unit_test(test_stat_line), cmocka_unit_test(test_own_process),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
