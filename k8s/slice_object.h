/* SPDX-License-Identifier: Apache-2.0 */
/* ResourceSlices as objects: the JSON we write, what we keep of the ones the API server holds, and whether both say the same.
 *
 * A pool of a thousand devices is a megabyte of JSON and many times that as a tree, so of an observed slice only a digest stays. Digests
 * are sums over devices and attributes, so that neither order matters. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/core.h"

enum { RESOURCE_VERSION_SIZE = 40 };

struct slice_digest {
	uint64_t a, b;  /* everything of spec but the pool's numbers */
	uint64_t names; /* of the devices alone */
};
bool slice_digest_equal(const struct slice_digest *x, const struct slice_digest *y);
void slice_digest_view(const struct slice_view *view, struct slice_digest *ret);
void slice_digest_spec(json_t *spec, struct slice_digest *ret); /* v1, v1beta2 and v1beta1 */

struct slice_identity {
	const char *driver, *node, *node_uid;
};

/* A slice as the API server holds it. */
struct slice_observed {
	char name[NAME_SIZE], uid[UID_SIZE], version[RESOURCE_VERSION_SIZE], owner[UID_SIZE];
	int64_t index; /* from the name's prefix; -1 = none of this pool */
	int64_t generation, count;
	struct slice_digest digest;
	struct slice_digest wrote; /* with `accepted`: what we sent when the server made this of it */
	bool accepted;
	bool seen; /* in the list under way */
};
/* -EBADMSG when the object is no slice we could ever address. */
int slice_observe(json_t *object, const struct slice_identity *identity, struct slice_observed *ret);
/* The same from its text and in one pass. -EBADMSG also when there is more in it than servers make of what we write (k8s/json_scan.h,
 * members we do not know): then it has to be parsed to be known. */
int slice_scan(const char *text, size_t len, const struct slice_identity *identity, struct slice_observed *ret);
/* Whether the API server's copy says what `want` says. */
bool slice_says(const struct slice_observed *o, const struct slice_digest *want);

/* The JSON to write, added to `ret`; `name` and `version` of the slice to replace, or NULL to create one. */
void slice_encode(struct buf *ret, const struct slice_identity *identity, const char *api_version, const struct slice_view *view,
                  size_t index, int64_t generation, size_t count, const char *name, const char *version);
