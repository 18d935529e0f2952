/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the API server client share with each other and with the objects built on it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/buf.h"
#include "core/claim.h"
#include "k8s/api.h"
#include "k8s/api_credentials.h"

enum { API_WARNINGS_MAX = 32, API_TIMEOUT_MS = 30000, API_HOLDS_MAX = 16 };

struct api_discovery_waiter {
	void (*done)(int result, const char *version, const char *error, void *user);
	void *user;
	struct api_discovery_waiter *next;
};
struct status_cache;

/* Protocols §6.1; tests make them shorter. */
struct api_timing {
	uint32_t watch_min_s, watch_max_s; /* timeoutSeconds of a watch, chosen at random between */
	uint32_t stall_margin_s;           /* a watch that is silent for longer than its timeout and this is dead */
	uint32_t bookmark_ms;              /* and one that has brought a bookmark, when it is silent for so long: they come every minute */
	uint32_t steady_ms;                /* a watch open for so long was accepted, though nothing came yet */
	uint32_t backoff_min_ms, backoff_max_ms, backoff_reset_ms;
	uint32_t resync_min_ms; /* wait this long after somebody else changed our slices */
};

/* A request that the server does not want to see again before its Retry-After is over. */
struct api_hold {
	uint64_t request; /* hash of method and path */
	uint64_t until;
};

struct api {
	uv_loop_t *loop;
	uv_timer_t soon; /* answers requests that could not be started, and starts those that were held back */
	struct api_hold holds[API_HOLDS_MAX];
	struct http_client *http;
	struct credentials credentials;
	struct api_request *requests;
	struct resource_request *resource_requests;
	struct api_discovery_waiter *waiters; /* of the discovery under way */
	struct api_request *discovery;
	const struct resource_version *version; /* NULL = not discovered */
	struct status_cache *statuses;
	uint64_t random;
	struct api_timing timing;
	uint64_t warnings[API_WARNINGS_MAX]; /* hashes of the texts that were told */
	size_t n_warnings;
	void (*warning)(const char *text, void *user);
	void *warning_user;
};

/* One request with all it can have; api_send() is the simple form. */
struct api_call {
	const char *method, *path, *content_type;
	json_t *body;        /* one of both, or NULL */
	const char *text;    /* JSON */
	bool answer_text;    /* a success is told as text */
	uint32_t timeout_ms; /* 0 = none */
	uint32_t stall_ms;   /* 0 = none */
	/* Streaming (transport/http_client.h); false ends the callback at once because the request is gone. */
	void (*data)(const void *data, size_t len, void *user);
	api_done done;
	void *user;
};
void api_warn(struct api *a, const char *text); /* to api_warnings()' callback, once for each text */
int api_start(struct api *a, const struct api_call *call, struct api_request **ret);
void api_stall(struct api_request *r, uint32_t stall_ms); /* http_request_stall() */

/* An HTTP answer in the words of api.h. `body` is owned here; `answer` borrows all its pointers from the struct. */
struct api_reading {
	struct api_answer answer;
	json_t *body;
	struct error error;
	char duplicate[160];
};
/* `as_text`: a body that tells of success is not parsed. */
void api_reading_take(struct api_reading *r, const char *method, const char *path, const struct http_response *response, const char *body,
                      size_t len, bool as_text);
void api_reading_free(struct api_reading *r);

/* Drop waiters with this `user` from the discovery under way. */
void api_discover_forget(struct api *a, void *user);
/* A 404 that is about the path, not about an object: the group or version is not served (any more). */
bool api_answer_path_unknown(const struct api_answer *answer);
/* What a list of nothing is, too: a server may leave its items out. */
bool api_answer_is_list(const struct api_answer *answer);

/* A request below api_resource_path(). A 404 about the path discovers the version anew and tries once more. `body` gets its apiVersion set.
 * Ends with `done` or, when the client is closed before, with `drop`, which only frees `user`; with neither on failure. */
int resource_send(struct api *a, const char *method, const char *suffix, const char *content_type, json_t *body, uint32_t timeout_ms,
                  api_done done, void (*drop)(void *user), void *user);
void resource_requests_drop(struct api *a);
/* "/namespaces/<ns>/resourceclaims/<name>" */
void claim_path_add(struct buf *b, const struct claim_ref *claim);

/* Percent-encode for a path segment or a query value. */
void url_add(struct buf *b, const char *text);
/* "2026-01-02T03:04:05Z" */
enum { TIME_TEXT_MAX = 32 };
void time_format(int64_t unix_s, char ret[TIME_TEXT_MAX]);

void status_cache_free(struct status_cache *c);
