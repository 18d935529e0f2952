/* SPDX-License-Identifier: Apache-2.0 */
#include "core/lease.h"

#include <stdlib.h>

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
