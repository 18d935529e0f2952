/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api_private.h"
#include "k8s/objects.h"

enum { CLAIM_GET_TIMEOUT_MS = 10000 };

struct claim_read {
	char driver[UID_SIZE];
	struct claim_ref claim;
	void (*done)(int result, const char *error, struct claim_object *object, void *user);
	void *user;
};

/* Whose document names a key twice cannot be told any more, so none of ours in this claim is believed. */
static int configs_doubt(struct claim_object *o, const char *duplicate)
{
	for (size_t i = 0; *duplicate && i < o->n_configs; i++) {
		struct claim_config *c = &o->configs[i];
		if (c->parse_error)
			continue;
		value_free(&c->parameters);
		c->parse_error = strdup(duplicate);
		if (!c->parse_error)
			return -ENOMEM;
	}
	return 0;
}

static void on_claim(const struct api_answer *answer, void *user)
{
	_cleanup_free_ struct claim_read *q = user;
	_cleanup_(claim_object_free) struct claim_object o = {0};
	struct error e = {.text = ""};
	int r = answer->result;
	if (r < 0)
		return q->done(r, answer->error, NULL, q->user);
	r = claim_object_decode(answer->body, q->driver, &o, &e);
	if (r < 0) {
		error_prefix(&e, "ResourceClaim %s/%s", q->claim.namespace_, q->claim.name);
		return q->done(r, e.text, NULL, q->user);
	}
	if (strcmp(o.ref.uid, q->claim.uid) != 0)
		r = error_set(&e, -ESTALE, "ResourceClaim %s/%s has UID %s, not %s", q->claim.namespace_, q->claim.name, o.ref.uid,
		              q->claim.uid);
	else if (configs_doubt(&o, answer->duplicate) < 0)
		r = error_set(&e, -ENOMEM, "out of memory");
	q->done(r, e.text, r < 0 ? NULL : &o, q->user);
}

int claim_get(struct api *a, const char *driver, const struct claim_ref *claim,
              void (*done)(int result, const char *error, struct claim_object *object, void *user), void *user)
{
	_cleanup_free_ struct claim_read *q = calloc(1, sizeof(*q));
	_cleanup_buf_ struct buf path = {0};
	if (!q)
		return -ENOMEM;
	*q = (struct claim_read){.claim = *claim, .done = done, .user = user};
	if (!*claim->name || !*claim->namespace_ || STR_COPY(q->driver, driver) < 0)
		return -EINVAL;
	claim_path_add(&path, claim);
	if (path.failed)
		return -ENOMEM;
	int r = resource_send(a, "GET", buf_text(&path), NULL, NULL, CLAIM_GET_TIMEOUT_MS, on_claim, free, q);
	if (r < 0)
		return r;
	q = NULL;
	return 0;
}
