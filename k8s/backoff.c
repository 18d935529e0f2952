/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/backoff.h"

/* splitmix64: every seed, zero included, gives a full-period sequence. */
uint64_t backoff_random(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

void backoff_init(struct backoff *b, uint32_t min_ms, uint32_t max_ms, uint32_t reset_ms, uint64_t seed)
{
	*b = (struct backoff){.min_ms = min_ms ? min_ms : 1, .max_ms = max_ms, .reset_ms = reset_ms, .random = seed};
}

void backoff_reset(struct backoff *b)
{
	b->step_ms = 0;
}

uint32_t backoff_next(struct backoff *b, uint64_t now_ms)
{
	if (b->step_ms && now_ms > b->last_ms && now_ms - b->last_ms >= b->reset_ms)
		b->step_ms = 0;
	/* The step stops at half the maximum, so that the longest delays still differ from node to node. */
	uint32_t top = b->max_ms / 2 > b->min_ms ? b->max_ms / 2 : b->min_ms;
	uint32_t step = b->step_ms ? b->step_ms : b->min_ms;
	uint64_t delay = step + backoff_random(&b->random) % step;
	if (delay > b->max_ms)
		delay = b->max_ms;
	b->step_ms = step > top / 2 ? top : step * 2;
	b->last_ms = now_ms + delay;
	return (uint32_t)delay;
}
