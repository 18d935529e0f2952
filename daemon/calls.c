/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "daemon/calls.h"

void calls_begin(struct calls *c, enum call_peer peer, uint64_t id, int method, uint64_t now_ns)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 32;
		struct call *v = reallocarray(c->v, cap, sizeof(*v));
		if (!v)
			return;
		c->v = v;
		c->cap = cap;
	}
	c->v[c->n++] = (struct call){peer, id, method, now_ns};
}

bool calls_end(struct calls *c, enum call_peer peer, uint64_t id, struct call *ret)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->v[i].peer != peer || c->v[i].id != id)
			continue;
		*ret = c->v[i];
		c->v[i] = c->v[--c->n];
		return true;
	}
	return false;
}

void calls_free(struct calls *c)
{
	free(c->v);
	*c = (struct calls){0};
}
