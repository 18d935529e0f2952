/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "k8s/backoff.h"

static void test_grows_within_bounds(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct backoff b;
		uint64_t now = 1000;
		uint32_t step = 800;
		backoff_init(&b, 800, 30000, 120000, seed);
		for (int i = 0; i < 10; i++) {
			uint32_t delay = backoff_next(&b, now);
			assert_in_range(delay, step, step * 2 - 1);
			assert_in_range(delay, 800, 30000);
			now += delay;
			step = step * 2 > 15000 ? 15000 : step * 2;
		}
	}
}

static void test_starts_over(void **state)
{
	struct backoff b;
	(void)state;
	backoff_init(&b, 800, 30000, 120000, 1);
	uint64_t now = 0;
	for (int i = 0; i < 8; i++)
		now += backoff_next(&b, now);
	assert_in_range(backoff_next(&b, now + 60000), 15000, 30000); /* not quiet long enough */
	now += 60000 + 30000 + 120000;
	assert_in_range(backoff_next(&b, now), 800, 1599);
	assert_in_range(backoff_next(&b, now), 1600, 3199);
	backoff_reset(&b);
	assert_in_range(backoff_next(&b, now), 800, 1599);
}

static void test_jitter_differs(void **state)
{
	(void)state;
	uint32_t seen[64];
	unsigned same = 0;
	for (uint64_t seed = 0; seed < 64; seed++) {
		struct backoff b;
		backoff_init(&b, 800, 30000, 120000, seed);
		seen[seed] = backoff_next(&b, 0);
		for (uint64_t k = 0; k < seed; k++)
			same += seen[k] == seen[seed];
	}
	assert_in_range(same, 0, 20); /* of 2016 pairs; 2.5 expected */
}

static void test_odd_bounds(void **state)
{
	struct backoff b;
	(void)state;
	backoff_init(&b, 0, 0, 0, 7);
	for (int i = 0; i < 5; i++)
		assert_int_equal(backoff_next(&b, 0), 0);
	backoff_init(&b, 100, 100, 1000, 7);
	for (int i = 0; i < 5; i++)
		assert_int_equal(backoff_next(&b, 0), 100);
	backoff_init(&b, UINT32_MAX, UINT32_MAX, 1000, 7);
	for (int i = 0; i < 5; i++)
		assert_int_equal(backoff_next(&b, 0), UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_grows_within_bounds),
	    cmocka_unit_test(test_starts_over),
	    cmocka_unit_test(test_jitter_differs),
	    cmocka_unit_test(test_odd_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
