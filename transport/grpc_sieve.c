/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/grpc_sieve.h"

#include <stdbool.h>
#include <string.h>

enum { FRAME_HEADER = 9, FRAME_HEADERS = 1, FRAME_RST_STREAM = 3 };

static uint32_t be(const uint8_t *p, size_t n)
{
	uint32_t v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static size_t pass(const uint8_t *data, size_t len, size_t limit, const uint8_t **ret, size_t *ret_len)
{
	size_t n = len < limit ? len : limit;
	*ret = data;
	*ret_len = n;
	return n;
}

static bool is_idle_reset(const struct sieve *s)
{
	return s->have >= FRAME_HEADER && s->head[3] == FRAME_RST_STREAM && be(s->head, 3) == 4 &&
	       (be(s->head + 5, 4) & 0x7fffffff) > s->highest;
}

size_t sieve_next(struct sieve *s, const uint8_t *data, size_t len, const uint8_t **ret, size_t *ret_len, unsigned *ret_taken)
{
	size_t n;
	*ret = data;
	*ret_len = 0;
	if (s->preface < SIEVE_PREFACE) {
		n = pass(data, len, SIEVE_PREFACE - s->preface, ret, ret_len);
		s->preface += n;
		return n;
	}
	if (s->payload) {
		n = pass(data, len, s->payload, ret, ret_len);
		s->payload -= (uint32_t)n;
		return n;
	}
	for (n = 0; n < len; n++) {
		s->head[s->have++] = data[n];
		if (s->have < FRAME_HEADER || (is_idle_reset(s) && s->have < sizeof(s->head)))
			continue;
		if (s->have == sizeof(s->head)) {
			s->have = 0;
			(*ret_taken)++;
			continue;
		}
		uint32_t stream = be(s->head + 5, 4) & 0x7fffffff;
		if (s->head[3] == FRAME_HEADERS && stream > s->highest)
			s->highest = stream;
		s->payload = be(s->head, 3);
		s->have = 0;
		*ret = s->head;
		*ret_len = FRAME_HEADER;
		return n + 1;
	}
	return n;
}
