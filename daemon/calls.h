/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that wait for core's answer, to know at the answer which method it was and how long it took. Zero-initialised is empty. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum call_peer { CALL_KUBELET, CALL_RUNTIME }; /* each numbers its own calls */

struct call {
	enum call_peer peer;
	uint64_t id;
	int method;          /* enum dra_method or enum hook */
	uint64_t started_ns; /* uv_hrtime() */
};
struct calls {
	struct call *v;
	size_t n, cap;
};

/* A call that finds no memory is simply not measured. */
void calls_begin(struct calls *c, enum call_peer peer, uint64_t id, int method, uint64_t now_ns);
bool calls_end(struct calls *c, enum call_peer peer, uint64_t id, struct call *ret); /* false: not known */
void calls_free(struct calls *c);
