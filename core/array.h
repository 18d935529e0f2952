/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of plain arrays, for the structs of core that own several. */
#pragma once

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A copy of `n` elements; NULL when there are none. Out of memory: NULL too, and `*failed` becomes true. */
static inline void *array_copy(const void *from, size_t n, size_t size, bool *failed)
{
	void *copy = n ? calloc(n, size) : NULL;
	if (copy)
		memcpy(copy, from, n * size);
	else if (n)
		*failed = true;
	return copy;
}
