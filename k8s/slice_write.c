/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/slice_publisher.h"

enum { CONFLICTS_MAX = 3 };

static void write_fail(struct publisher *p, int result, const char *text, uint32_t retry_after_ms)
{
	uint64_t delay = backoff_next(&p->backoff, uv_now(p->api->loop));
	p->failure = result;
	publisher_look_in(p, delay > retry_after_ms ? delay : retry_after_ms);
	publisher_trouble_set(p, TROUBLE_WRITE, result, text);
}

static void path_add(const struct publisher *p, struct buf *path, const char *name)
{
	buf_printf(path, "%s/resourceslices", api_resource_path(p->api));
	if (name) {
		buf_puts(path, "/");
		url_add(path, name);
	}
}

/* The slice in an answer; where scanning it did not do it, a tree of it is made. */
static int answer_slice(const struct publisher *p, const struct api_answer *answer, struct slice_observed *ret)
{
	struct slice_identity identity = publisher_identity(p);
	json_error_t error;
	if (slice_scan(answer->text, answer->text_len, &identity, ret) == 0)
		return 0;
	json_t *object = json_loadb(answer->text, answer->text_len, 0, &error);
	int r = slice_observe(object, &identity, ret);
	json_decref(object);
	return r;
}

static void on_read(const struct api_answer *answer, void *user)
{
	struct publisher *p = user;
	struct slice_identity identity = publisher_identity(p);
	struct slice_observed copy, *o = publisher_find(p, p->target);
	json_t *found = json_array_get(json_object_get(answer->body, "items"), 0);
	int r = answer->result;
	p->request = NULL;
	if (api_answer_path_unknown(answer))
		return publisher_restart(p);
	if (r == 0 && !api_answer_is_list(answer))
		return write_fail(p, -EBADMSG, "the answer to a list is no list", 0);
	if (r == 0 && found) {
		r = slice_observe(found, &identity, &copy);
		if (r == 0 && !publisher_observe(p, &copy, NULL))
			r = -ENOMEM;
	} else if (r == 0 && o) {
		publisher_forget(p, o);
	}
	if (r < 0)
		return write_fail(p, r, r == answer->result ? answer->error : "the answer is no ResourceSlice", answer->retry_after_ms);
	/* Somebody who writes as fast as we do is not to be outrun. */
	publisher_look_in(p, p->conflicts < CONFLICTS_MAX ? 0 : backoff_next(&p->backoff, uv_now(p->api->loop)));
}

/* 409: our copy is old. The watch may bring the new one late, so it is fetched; as a list, which we have the right to anyhow. */
static void slice_read(struct publisher *p)
{
	_cleanup_buf_ struct buf path = {0};
	p->conflicts++;
	path_add(p, &path, NULL);
	buf_puts(&path, "?fieldSelector=metadata.name%3D");
	url_add(&path, p->target);
	if (path.failed || api_send(p->api, "GET", buf_text(&path), NULL, NULL, 0, on_read, p, &p->request) < 0)
		write_fail(p, -ENOMEM, "out of memory", 0);
}

/* The API server drops fields it does not know or has switched off. Writing them again would not help, so what it made of our slice counts
 * as what we want, as long as all devices are there. */
static bool answer_keeps_devices(struct publisher *p, const struct slice_observed *o)
{
	char text[NAME_SIZE + 64];
	if (slice_digest_equal(&o->digest, &p->sent))
		return true;
	if (o->digest.names != p->sent.names)
		return false;
	snprintf(text, sizeof(text), "the API server changed what was written to ResourceSlice %s", o->name);
	api_warn(p->api, text);
	return true;
}

static void on_write(const struct api_answer *answer, void *user)
{
	struct publisher *p = user;
	struct slice_observed copy, *o = publisher_find(p, p->target);
	enum slice_write write = p->step.write;
	int r = answer->result;
	p->request = NULL;
	if (api_answer_path_unknown(answer))
		return publisher_restart(p);
	if (r == -ESTALE && write != SLICE_CREATE)
		return slice_read(p);
	if (r == -ENOENT || (r == 0 && write == SLICE_DELETE)) {
		if (o)
			publisher_forget(p, o);
	} else if (r == 0) {
		r = answer_slice(p, answer, &copy);
		o = r == 0 ? publisher_observe(p, &copy, &p->sent) : NULL;
		if (r == 0 && !o)
			r = -ENOMEM;
		if (o && !answer_keeps_devices(p, o))
			return write_fail(p, -EPROTO, "the API server stored other devices than were written", 0);
	}
	if (r < 0 && r != -ENOENT)
		return write_fail(p, r, r == answer->result ? answer->error : "the answer is no ResourceSlice", answer->retry_after_ms);
	if (r == 0 && write != SLICE_DELETE && p->removals) {
		/* Answer and watch come on streams of their own: what was just written may have been removed already, and the watch have
		 * said so before. */
		STR_COPY(p->target, o->name);
		p->step.write = SLICE_NOTHING;
		return slice_read(p);
	}
	p->conflicts = 0;
	p->failure = 0;
	if (r == 0) {
		backoff_reset(&p->backoff); /* it takes writes again: the next outage is another one */
		publisher_trouble_clear(p, TROUBLE_WRITE);
	}
	if (p->closed)
		return;
	if (r == -ENOENT && write != SLICE_DELETE) /* wiped under our hands */
		publisher_look_in(p, backoff_next(&p->wiped, uv_now(p->api->loop)));
	else
		publisher_look(p);
}

void publisher_write(struct publisher *p, const struct slice_step *step)
{
	static const char *const methods[] = {[SLICE_DELETE] = "DELETE", [SLICE_UPDATE] = "PUT", [SLICE_CREATE] = "POST"};
	_cleanup_buf_ struct buf path = {0}, text = {0};
	struct slice_identity identity = publisher_identity(p);
	const struct slice_observed *o = step->write == SLICE_CREATE ? NULL : &p->observed[step->observed];
	json_t *options = NULL;
	p->step = *step;
	p->removals = false;
	STR_COPY(p->target, o ? o->name : "");
	path_add(p, &path, o ? o->name : NULL);
	if (step->write == SLICE_DELETE) {
		options = json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind", "DeleteOptions", "preconditions", "uid", o->uid,
		                    "resourceVersion", o->version);
	} else {
		struct slice_view view = {0};
		p->options.slice(step->index, &view, p->options.user);
		slice_digest_view(&view, &p->sent);
		p->digests[step->index] = p->sent;
		slice_encode(&text, &identity, api_resource_version(p->api), &view, step->index, step->generation, p->n_digests,
		             o ? o->name : NULL, o ? o->version : NULL);
	}
	if (step->generation > p->highest)
		p->highest = step->generation;
	const struct api_call call = {.method = methods[step->write],
	                              .path = buf_text(&path),
	                              .content_type = "application/json",
	                              .body = options,
	                              .text = text.len ? buf_text(&text) : NULL,
	                              .answer_text = true,
	                              .timeout_ms = API_TIMEOUT_MS,
	                              .done = on_write,
	                              .user = p};
	if (path.failed || text.failed || (!options && !text.len) || api_start(p->api, &call, &p->request) < 0)
		write_fail(p, -ENOMEM, "out of memory", 0);
	json_decref(options);
}

/* ---- the owner -------------------------------------------------------------------------------------------------------------------- */

static void on_node(const struct api_answer *answer, void *user)
{
	struct publisher *p = user;
	const char *uid = json_member_text(json_object_get(answer->body, "metadata"), "uid");
	int r = answer->result;
	p->request = NULL;
	if (r == 0 && (!*uid || STR_COPY(p->node_uid, uid) < 0))
		r = -EBADMSG;
	if (r < 0) {
		uint64_t delay = backoff_next(&p->backoff, uv_now(p->api->loop));
		publisher_look_in(p, delay > answer->retry_after_ms ? delay : answer->retry_after_ms);
		publisher_trouble_set(p, TROUBLE_NODE, r, r == answer->result ? answer->error : "the Node has no UID");
		return;
	}
	publisher_trouble_clear(p, TROUBLE_NODE);
	if (!p->closed)
		publisher_look(p);
}

void publisher_read_node(struct publisher *p)
{
	_cleanup_buf_ struct buf path = {0};
	p->step = (struct slice_step){.write = SLICE_NOTHING};
	p->target[0] = '\0';
	buf_puts(&path, "/api/v1/nodes/");
	url_add(&path, p->node);
	if (path.failed || api_send(p->api, "GET", buf_text(&path), NULL, NULL, 0, on_node, p, &p->request) < 0)
		publisher_look_in(p, backoff_next(&p->backoff, uv_now(p->api->loop)));
}
