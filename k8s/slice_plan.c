/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/slice_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"

#define NONE SIZE_MAX

/* Which of two slices with one index stays: the newer generation, else the first by name, so that every look decides alike. */
static bool slice_beats(const struct slice_observed *x, const struct slice_observed *y)
{
	return x->generation != y->generation ? x->generation > y->generation : strcmp(x->name, y->name) < 0;
}

static bool slice_is_right(const struct slice_observed *o, const struct slice_wish *wish)
{
	return o->count == (int64_t)wish->n && !strcmp(o->owner, wish->node_uid) && slice_says(o, &wish->digests[o->index]);
}

struct tally {
	int64_t highest;               /* generation of those that stay */
	size_t wrong, behind, missing; /* of the highest generation, but not as wanted; of an older one; not there */
};

static struct tally tally_of(const struct slice_observed *observed, const struct slice_wish *wish, const size_t *keep)
{
	struct tally t = {0};
	for (size_t i = 0; i < wish->n; i++)
		if (keep[i] != NONE && observed[keep[i]].generation > t.highest)
			t.highest = observed[keep[i]].generation;
	for (size_t i = 0; i < wish->n; i++) {
		if (keep[i] == NONE)
			t.missing++;
		else if (observed[keep[i]].generation < t.highest)
			t.behind++;
		else if (!slice_is_right(&observed[keep[i]], wish))
			t.wrong++;
	}
	return t;
}

/* One slice that changes in place keeps its generation. Everything else is a new generation of the whole pool, which consumers ignore until
 * it is complete; a rewrite that was interrupted goes on as long as what it wrote is still wanted. */
static int64_t generation_choose(const struct tally *t, int64_t highest, int64_t *unfinished)
{
	if (*unfinished && (*unfinished > t->highest || (*unfinished == t->highest && !t->wrong)))
		return *unfinished;
	if (!t->behind && !t->missing && t->wrong <= 1)
		return t->highest;
	*unfinished = (highest > t->highest ? highest : t->highest) + 1;
	return *unfinished;
}

int slice_plan_next(const struct slice_observed *observed, size_t n, const struct slice_wish *wish, int64_t highest, int64_t *unfinished,
                    struct slice_step *ret)
{
	_cleanup_free_ size_t *keep = calloc(wish->n ? wish->n : 1, sizeof(*keep));
	if (!keep)
		return -ENOMEM;
	for (size_t i = 0; i < wish->n; i++)
		keep[i] = NONE;
	for (size_t i = 0; i < n; i++) {
		if (observed[i].index < 0 || (uint64_t)observed[i].index >= wish->n)
			continue;
		size_t *at = &keep[observed[i].index];
		if (*at == NONE || slice_beats(&observed[i], &observed[*at]))
			*at = i;
	}
	struct tally t = tally_of(observed, wish, keep);
	int64_t generation = 0;
	if (t.wrong || t.behind || t.missing)
		generation = generation_choose(&t, highest, unfinished);
	for (size_t i = 0; i < n; i++) {
		int64_t index = observed[i].index;
		if (index >= 0 && (uint64_t)index < wish->n && keep[index] == i)
			continue;
		*ret = (struct slice_step){.write = SLICE_DELETE, .observed = i};
		return 0;
	}
	*ret = (struct slice_step){.write = SLICE_NOTHING};
	if (!generation) {
		*unfinished = 0;
		return 0;
	}
	for (size_t i = 0; i < wish->n; i++) {
		if (keep[i] == NONE || (observed[keep[i]].generation == generation && slice_is_right(&observed[keep[i]], wish)))
			continue;
		*ret = (struct slice_step){.write = SLICE_UPDATE, .observed = keep[i], .index = i, .generation = generation};
		return 0;
	}
	for (size_t i = 0; i < wish->n; i++) {
		if (keep[i] != NONE)
			continue;
		*ret = (struct slice_step){.write = SLICE_CREATE, .index = i, .generation = generation};
		return 0;
	}
	return 0;
}
