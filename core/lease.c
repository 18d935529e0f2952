/* SPDX-License-Identifier: Apache-2.0 */
#include "core/lease.h"

#include <stdlib.h>

uint32_t lease_seconds(const struct lease *l)
{
	bool v4 = l->n_addresses > 0 && l->addresses[0].prefix.address.family == IP_V4;
	return v4 && l->valid != LEASE_FOR_EVER ? l->valid : 0;
}

struct leases *leases_new(void)
{
	struct leases *l = calloc(1, sizeof(*l));
	if (l)
		l->references = 1;
	return l;
}

struct leases *leases_ref(struct leases *l)
{
	if (l)
		l->references++;
	return l;
}

void leases_unref(struct leases *l)
{
	if (l && --l->references == 0)
		free(l);
}
