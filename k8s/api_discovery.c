/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api_private.h"
#include "k8s/json_value.h"

struct resource_version {
	const char *name, *path, *api_version;
};
/* The best first (protocols §4.1). */
static const struct resource_version versions[] = {
    {"v1", "/apis/resource.k8s.io/v1", "resource.k8s.io/v1"},
    {"v1beta2", "/apis/resource.k8s.io/v1beta2", "resource.k8s.io/v1beta2"},
    {"v1beta1", "/apis/resource.k8s.io/v1beta1", "resource.k8s.io/v1beta1"},
};

const char *api_resource_version(const struct api *a)
{
	return (a->version ? a->version : versions)->name;
}

const char *api_resource_path(const struct api *a)
{
	return (a->version ? a->version : versions)->path;
}

static const struct resource_version *version_choose(const json_t *group)
{
	const json_t *served = json_object_get(group, "versions");
	for (size_t i = 0; i < ELEMENTS(versions); i++)
		for (size_t k = 0; k < json_array_size(served); k++)
			if (!strcmp(json_member_text(json_array_get(served, k), "version"), versions[i].name))
				return &versions[i];
	return NULL;
}

static void on_group(const struct api_answer *answer, void *user)
{
	struct api *a = user;
	struct error e = {.text = ""};
	int result = answer->result;
	a->discovery = NULL;
	const struct resource_version *v = result == 0 ? version_choose(answer->body) : NULL;
	if (v)
		a->version = v;
	else if (result == 0 || result == -ENOENT)
		result = error_set(&e, -ENOENT, "the API server serves resource.k8s.io neither as v1 nor v1beta2 nor v1beta1");
	else
		error_set(&e, result, "%s", answer->error);
	/* A waiter may start the next discovery (which then answers the rest), close the client, or have others forgotten. */
	while (a->waiters && !a->discovery) {
		struct api_discovery_waiter *w = a->waiters;
		a->waiters = w->next;
		w->done(result, v ? v->name : NULL, e.text, w->user);
		free(w);
	}
}

void api_discover(struct api *a, void (*done)(int result, const char *version, const char *error, void *user), void *user)
{
	struct api_discovery_waiter *w = calloc(1, sizeof(*w)), **at = &a->waiters;
	if (w)
		*w = (struct api_discovery_waiter){.done = done, .user = user};
	if (!w || (!a->discovery && api_send(a, "GET", "/apis/resource.k8s.io", NULL, NULL, 0, on_group, a, &a->discovery) < 0)) {
		free(w);
		done(-ENOMEM, NULL, "out of memory", user);
		return;
	}
	while (*at)
		at = &(*at)->next;
	*at = w;
}

void api_discover_forget(struct api *a, void *user)
{
	struct api_discovery_waiter **at = &a->waiters;
	while (*at) {
		struct api_discovery_waiter *w = *at;
		if (w->user != user) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		free(w);
	}
}

/* ---- requests below the version's path -------------------------------------------------------------------------------------------- */

struct resource_request {
	struct api *api;
	struct resource_request *next, **link;
	char *method, *suffix, *content_type;
	json_t *body;
	uint32_t timeout_ms;
	api_done done;
	void (*drop)(void *user);
	void *user;
	const struct resource_version *tried;
};

static void resource_request_free(struct resource_request *q)
{
	*q->link = q->next;
	if (q->next)
		q->next->link = q->link;
	free(q->method);
	free(q->suffix);
	free(q->content_type);
	json_decref(q->body);
	free(q);
}

static void resource_finish(struct resource_request *q, const struct api_answer *answer)
{
	api_done done = q->done;
	void *user = q->user;
	resource_request_free(q);
	done(answer, user);
}

static void on_resource_answer(const struct api_answer *answer, void *user);

static int resource_try(struct resource_request *q)
{
	_cleanup_buf_ struct buf path = {0};
	const struct resource_version *v = q->api->version ? q->api->version : versions;
	buf_printf(&path, "%s%s", v->path, q->suffix);
	if (path.failed || (q->body && json_object_set_new(q->body, "apiVersion", json_string(v->api_version)) < 0))
		return -ENOMEM;
	int r = api_send(q->api, q->method, buf_text(&path), q->content_type, q->body, q->timeout_ms, on_resource_answer, q, NULL);
	if (r == 0)
		q->tried = v;
	return r;
}

static void resource_fail(struct resource_request *q, int result, const char *text)
{
	resource_finish(q, &(struct api_answer){.result = result, .error = text, .duplicate = ""});
}

static void on_rediscovered(int result, const char *version, const char *error, void *user)
{
	struct resource_request *q = user;
	(void)version;
	if (result == -ENOENT)
		/* Not "the object is gone": callers let go of devices on that. */
		return resource_fail(q, -EOPNOTSUPP, error);
	if (result == 0)
		result = q->api->version == q->tried ? -EAGAIN : resource_try(q);
	if (result < 0)
		resource_fail(q, result, *error ? error : "the API server does not know the path of its own discovery");
}

static void on_resource_answer(const struct api_answer *answer, void *user)
{
	struct resource_request *q = user;
	if (api_answer_path_unknown(answer)) {
		api_discover(q->api, on_rediscovered, q);
		return;
	}
	resource_finish(q, answer);
}

int resource_send(struct api *a, const char *method, const char *suffix, const char *content_type, json_t *body, uint32_t timeout_ms,
                  api_done done, void (*drop)(void *user), void *user)
{
	struct resource_request *q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	*q = (struct resource_request){
	    .api = a,
	    .method = strdup(method),
	    .suffix = strdup(suffix),
	    .content_type = content_type ? strdup(content_type) : NULL,
	    .body = json_incref(body),
	    .timeout_ms = timeout_ms,
	    .done = done,
	    .drop = drop,
	    .user = user,
	    .next = a->resource_requests,
	    .link = &a->resource_requests,
	};
	if (q->next)
		q->next->link = &q->next;
	a->resource_requests = q;
	int r = q->method && q->suffix && (!content_type || q->content_type) ? resource_try(q) : -ENOMEM;
	if (r < 0)
		resource_request_free(q);
	return r;
}

void resource_requests_drop(struct api *a)
{
	while (a->resource_requests) {
		struct resource_request *q = a->resource_requests;
		q->drop(q->user);
		resource_request_free(q);
	}
}

void claim_path_add(struct buf *b, const struct claim_ref *claim)
{
	buf_puts(b, "/namespaces/");
	url_add(b, claim->namespace_);
	buf_puts(b, "/resourceclaims/");
	url_add(b, claim->name);
}
