/* SPDX-License-Identifier: Apache-2.0 */
/* Exponential backoff with jitter, without a clock: the caller passes the time in. The numbers of client libraries for the API server
 * (protocols §6.1): 800 ms, doubled, jitter 1.0, at most 30 s, forgotten after two quiet minutes. */
#pragma once

#include <stdint.h>

struct backoff {
	uint32_t min_ms, max_ms;
	uint32_t reset_ms; /* so long without a failure starts over */
	uint32_t step_ms;  /* lower bound of the next delay, 0 = start over */
	uint64_t last_ms;  /* when the last delay was to end */
	uint64_t random;
};

void backoff_init(struct backoff *b, uint32_t min_ms, uint32_t max_ms, uint32_t reset_ms, uint64_t seed);
/* The delay before the next try, in [step, 2 × step) and never above max_ms; doubles the step. `now_ms` is any monotonic time. */
uint32_t backoff_next(struct backoff *b, uint64_t now_ms);
void backoff_reset(struct backoff *b);
/* Also for other random choices that need no secrecy: timeouts, suffixes. */
uint64_t backoff_random(uint64_t *state);
