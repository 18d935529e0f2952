/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/slice_publisher.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/watch_lines.h"

struct slice_identity publisher_identity(const struct publisher *p)
{
	return (struct slice_identity){.driver = p->driver, .node = p->node, .node_uid = p->node_uid};
}

void publisher_trouble_set(struct publisher *p, enum publisher_trouble what, int result, const char *text)
{
	unsigned before = p->troubles;
	p->troubles |= what;
	if (!before)
		p->options.trouble(result, text, p->options.user);
}

void publisher_trouble_clear(struct publisher *p, enum publisher_trouble what)
{
	unsigned before = p->troubles;
	p->troubles &= ~(unsigned)what;
	if (before && !p->troubles)
		p->options.trouble(0, "", p->options.user);
}

/* ---- what the API server holds ---------------------------------------------------------------------------------------------------- */

struct slice_observed *publisher_find(struct publisher *p, const char *name)
{
	for (size_t i = 0; i < p->n_observed; i++)
		if (!strcmp(p->observed[i].name, name))
			return &p->observed[i];
	return NULL;
}

void publisher_forget(struct publisher *p, struct slice_observed *o)
{
	*o = p->observed[--p->n_observed];
	p->told = false;
}

/* Versions are decimal numbers that grow, on every server there is; where they are not, the last word counts. */
static bool version_is_older(const char *version, const char *than)
{
	size_t n = strlen(version), m = strlen(than);
	if (strspn(version, "0123456789") != n || strspn(than, "0123456789") != m)
		return false;
	return n != m ? n < m : strcmp(version, than) < 0;
}

static struct slice_observed *observed_slot(struct publisher *p)
{
	if (p->n_observed == p->cap_observed) {
		size_t cap = p->cap_observed ? p->cap_observed * 2 : 4;
		struct slice_observed *more = cap <= OBSERVED_MAX ? realloc(p->observed, cap * sizeof(*more)) : NULL;
		if (!more)
			return NULL;
		p->observed = more;
		p->cap_observed = cap;
	}
	return &p->observed[p->n_observed++];
}

struct slice_observed *publisher_observe(struct publisher *p, const struct slice_observed *copy, const struct slice_digest *sent)
{
	struct slice_observed fresh = *copy, *o = publisher_find(p, copy->name);
	if (o && version_is_older(fresh.version, o->version)) {
		o->seen = true;
		return o;
	}
	if (sent && !slice_digest_equal(&fresh.digest, sent)) {
		fresh.accepted = true;
		fresh.wrote = *sent;
	} else if (o && o->accepted && slice_digest_equal(&fresh.digest, &o->digest)) {
		fresh.accepted = true;
		fresh.wrote = o->wrote;
	}
	if (!o)
		o = observed_slot(p);
	if (!o)
		return NULL;
	fresh.seen = true;
	*o = fresh;
	p->told = false;
	if (o->generation > p->highest)
		p->highest = o->generation;
	return o;
}

static void on_begin(void *user)
{
	struct publisher *p = user;
	p->listed = false;
	for (size_t i = 0; i < p->n_observed; i++)
		p->observed[i].seen = false;
}

static bool slice_is_wanted(const struct publisher *p, const struct slice_observed *o)
{
	return o->index >= 0 && (uint64_t)o->index < p->n_digests && o->count == (int64_t)p->n_digests &&
	       slice_says(o, &p->digests[o->index]);
}

/* Somebody else wrote or removed one of our slices: kubelet does at its start, all of them, one after the other. Look after a moment, and
 * later each time it happens again. The owner may be another Node object by now. */
static void publisher_meddled(struct publisher *p)
{
	if (uv_is_active((uv_handle_t *)&p->timer))
		return;
	p->node_uid[0] = '\0';
	publisher_look_in(p, backoff_next(&p->wiped, uv_now(p->api->loop)));
}

static void on_removed(struct publisher *p, struct slice_observed *o)
{
	bool by_us = p->request && p->step.write == SLICE_DELETE && !strcmp(p->target, o->name);
	publisher_forget(p, o);
	if (p->listed && !by_us)
		publisher_meddled(p);
}

/* Mostly the echo of what we wrote. */
static bool is_known(struct publisher *p, const char *name, const char *version)
{
	struct slice_observed *o = publisher_find(p, name);
	if (!o || (strcmp(version, o->version) != 0 && !version_is_older(version, o->version)))
		return false;
	o->seen = true;
	return true;
}

static void on_news(struct publisher *p, const struct slice_observed *copy)
{
	bool by_us = p->request && p->step.write != SLICE_NOTHING && !strcmp(p->target, copy->name);
	int64_t highest = p->highest;
	const struct slice_observed *o = publisher_observe(p, copy, NULL);
	if (p->listed && !by_us && o && (o->generation != highest || !slice_is_wanted(p, o)))
		publisher_meddled(p);
}

static bool on_glance(const struct watch_glance *glance, void *user)
{
	struct publisher *p = user;
	struct slice_identity identity = publisher_identity(p);
	struct slice_observed copy;
	if (!json_span_copy(glance->name, copy.name, sizeof(copy.name)) ||
	    !json_span_copy(glance->version, copy.version, sizeof(copy.version)))
		return false;
	if (is_known(p, copy.name, copy.version))
		return true;
	if (slice_scan(glance->object.at, glance->object.len, &identity, &copy) < 0)
		return false;
	on_news(p, &copy);
	return true;
}

static void on_object(json_t *object, bool removed, void *user)
{
	struct publisher *p = user;
	const json_t *metadata = json_object_get(object, "metadata");
	const char *name = json_member_text(metadata, "name"), *version = json_member_text(metadata, "resourceVersion");
	struct slice_identity identity = publisher_identity(p);
	struct slice_observed copy, *o;
	if (removed) {
		p->removals = true;
		o = publisher_find(p, name);
		if (o)
			on_removed(p, o);
	} else if (!is_known(p, name, version) && slice_observe(object, &identity, &copy) == 0) {
		on_news(p, &copy);
	}
}

static void on_synced(void *user)
{
	struct publisher *p = user;
	for (size_t i = p->n_observed; i-- > 0;)
		if (!p->observed[i].seen)
			publisher_forget(p, &p->observed[i]);
	p->listed = true;
	publisher_trouble_clear(p, TROUBLE_WATCH);
	if (!p->closed)
		publisher_look(p);
}

static void on_trouble(int result, const char *text, void *user)
{
	struct publisher *p = user;
	if (result == 0)
		return publisher_trouble_clear(p, TROUBLE_WATCH);
	publisher_trouble_set(p, TROUBLE_WATCH, result, text);
	if (result == -ENOENT && !p->closed)
		publisher_restart(p);
}

void publisher_restart(struct publisher *p)
{
	api_watch_close(p->watch);
	p->watch = NULL;
	p->listed = false;
	publisher_look_in(p, backoff_next(&p->backoff, uv_now(p->api->loop)));
}

static void watch_start(struct publisher *p)
{
	static const struct api_watch_callbacks callbacks = {
	    .begin = on_begin, .object = on_object, .glance = on_glance, .synced = on_synced, .trouble = on_trouble};
	_cleanup_buf_ struct buf path = {0}, selector = {0}, value = {0};
	buf_printf(&path, "%s/resourceslices", api_resource_path(p->api));
	buf_printf(&value, "spec.driver=%s,spec.nodeName=%s", p->driver, p->node);
	buf_puts(&selector, "fieldSelector=");
	url_add(&selector, buf_text(&value));
	if (path.failed || selector.failed || value.failed ||
	    api_watch_start(p->api, buf_text(&path), buf_text(&selector), &callbacks, p, &p->watch) < 0)
		publisher_restart(p);
}

static void on_discovered(int result, const char *version, const char *error, void *user)
{
	struct publisher *p = user;
	(void)version;
	p->discovering = false;
	if (result < 0) {
		publisher_look_in(p, backoff_next(&p->backoff, uv_now(p->api->loop)));
		publisher_trouble_set(p, TROUBLE_DISCOVERY, result, error);
		return;
	}
	watch_start(p);
	publisher_trouble_clear(p, TROUBLE_DISCOVERY);
}

/* ---- deciding --------------------------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
	publisher_look(timer->data);
}

void publisher_look_in(struct publisher *p, uint64_t delay_ms)
{
	if (!p->closed)
		uv_timer_start(&p->timer, on_timer, delay_ms, 0);
}

static int digests_make(struct publisher *p)
{
	size_t n = p->options.slices(p->options.user);
	if (n > p->n_digests) {
		struct slice_digest *digests = realloc(p->digests, n * sizeof(*digests));
		if (!digests)
			return -ENOMEM;
		p->digests = digests;
		uint64_t *versions = realloc(p->versions, n * sizeof(*versions));
		if (!versions)
			return -ENOMEM;
		p->versions = versions;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t version = p->options.version(i, p->options.user);
		struct slice_view view = {0};
		if (i < p->n_digests && p->versions[i] == version)
			continue;
		p->options.slice(i, &view, p->options.user);
		slice_digest_view(&view, &p->digests[i]);
		p->versions[i] = version;
	}
	p->n_digests = n;
	p->dirty = false;
	return 0;
}

static bool devices_all_there(const struct publisher *p)
{
	for (size_t i = 0; i < p->n_observed; i++)
		if (p->observed[i].digest.names != p->digests[p->observed[i].index].names)
			return false;
	return true;
}

static int publisher_plan(struct publisher *p, struct slice_step *ret)
{
	int r = p->dirty ? digests_make(p) : 0;
	if (r < 0 || !p->n_digests)
		return r;
	const struct slice_wish wish = {.digests = p->digests, .n = p->n_digests, .node_uid = p->node_uid};
	return slice_plan_next(p->observed, p->n_observed, &wish, p->highest, &p->unfinished, ret);
}

void publisher_look(struct publisher *p)
{
	struct slice_step step = {.write = SLICE_NOTHING};
	if (p->closed)
		return;
	uv_timer_stop(&p->timer);
	if (!p->watch && !p->discovering) {
		p->discovering = true;
		api_discover(p->api, on_discovered, p);
	}
	if (p->closed || p->request)
		return;
	if (!*p->node_uid)
		return publisher_read_node(p);
	if (!p->listed || !p->asked)
		return;
	if (publisher_plan(p, &step) < 0)
		return publisher_look_in(p, backoff_next(&p->backoff, uv_now(p->api->loop)));
	if (!p->n_digests) /* the inventory is not known yet */
		return;
	if (step.write != SLICE_NOTHING)
		return publisher_write(p, &step);
	if (p->told || !devices_all_there(p))
		return;
	p->told = true;
	p->options.published(p->revision, p->options.user);
}

void publisher_changed(struct publisher *p, uint64_t revision)
{
	p->revision = revision;
	p->asked = p->dirty = true;
	p->told = false;
	/* A server in trouble is left alone until its time; one that refused what we said may like the new words better. */
	if (uv_is_active((uv_handle_t *)&p->timer) && (p->troubles & ~(unsigned)TROUBLE_WRITE || (p->failure && p->failure != -EINVAL)))
		return;
	publisher_look_in(p, 0);
}

int publisher_start(struct api *a, const struct publisher_options *o, struct publisher **ret, struct error *e)
{
	struct publisher *p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(e, -ENOMEM, "out of memory");
	*p = (struct publisher){.api = a, .options = *o, .dirty = true};
	if (STR_COPY(p->driver, o->driver) < 0 || STR_COPY(p->node, o->node) < 0 || !*p->driver || !*p->node) {
		free(p);
		return error_set(e, -EINVAL, "driver \"%.64s\" on node \"%.64s\": no names", o->driver, o->node);
	}
	const struct api_timing *t = &a->timing;
	backoff_init(&p->backoff, t->backoff_min_ms, t->backoff_max_ms, t->backoff_reset_ms, backoff_random(&a->random));
	backoff_init(&p->wiped, t->resync_min_ms, t->backoff_max_ms, t->backoff_reset_ms, backoff_random(&a->random));
	uv_timer_init(a->loop, &p->timer);
	p->timer.data = p;
	publisher_look_in(p, 0);
	*ret = p;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct publisher *p = handle->data;
	free(p->observed);
	free(p->digests);
	free(p->versions);
	free(p);
}

void publisher_close(struct publisher *p)
{
	if (!p || p->closed)
		return;
	p->closed = true;
	api_discover_forget(p->api, p);
	api_cancel(p->request);
	p->request = NULL;
	api_watch_close(p->watch);
	p->watch = NULL;
	uv_close((uv_handle_t *)&p->timer, on_closed);
}
