/* SPDX-License-Identifier: Apache-2.0 */
/* What to write next so that the API server's slices become the wanted ones (protocols §1.6). Pure; asked again after each write, so it
 * holds whatever happened meanwhile. */
#pragma once

#include "k8s/slice_object.h"

enum slice_write { SLICE_NOTHING, SLICE_DELETE, SLICE_UPDATE, SLICE_CREATE };

struct slice_wish {
	const struct slice_digest *digests; /* by index */
	size_t n;
	const char *node_uid; /* the owner all must have */
};
struct slice_step {
	enum slice_write write;
	size_t observed; /* DELETE, UPDATE */
	size_t index;    /* UPDATE, CREATE */
	int64_t generation;
};
/* `unfinished` is the generation of a rewrite of the whole pool under way (0 = none), kept by the caller between calls; `highest` the
 * highest generation ever seen or written. -ENOMEM. */
int slice_plan_next(const struct slice_observed *observed, size_t n, const struct slice_wish *wish, int64_t highest, int64_t *unfinished,
                    struct slice_step *ret);
