/* SPDX-License-Identifier: Apache-2.0 */
/* The API server client: where it is, who we are (kubeconfig or in-cluster), and one request at a time with JSON in and out. Tokens are
 * re-read when their file changes and after 401; CA and certificates likewise. resource.k8s.io's version is found by discovery (v1,
 * v1beta2, v1beta1). */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/base/error.h"
#include "transport/http_client.h"

/* Credentials: what kubeconfig.c and in_cluster.c fill. All strings owned. */
struct api_config {
	char *server; /* "https://host:port" without trailing slash */
	char *ca_pem, *certificate_pem, *key_pem, *server_name, *proxy_url;
	char *ca_path, *certificate_path, *key_path; /* re-read on change; NULL when inline */
	char *token, *token_path;
	char *username, *password;
	bool insecure;
};
/* Parse a kubeconfig (YAML, bounded: 1 MiB, depth 32). `directory` resolves relative paths. Unknown keys are ignored, exec and
 * auth-provider are refused by name. */
int kubeconfig_parse(const char *text, size_t len, const char *directory, struct api_config *ret, struct error *e);
int kubeconfig_load(const char *path, struct api_config *ret, struct error *e);
/* KUBERNETES_SERVICE_HOST/PORT and the service account's mount under `root` ("" = "/var/run/secrets/kubernetes.io/serviceaccount"). */
int in_cluster_load(const char *host, const char *port, const char *directory, struct api_config *ret, struct error *e);
void api_config_free(struct api_config *c);

struct api;
int api_new(uv_loop_t *loop, struct api_config *config /* contents are taken */, struct api **ret, struct error *e);
/* Cancels everything without calling back. Close watches, publishers and recorders before. */
void api_close(struct api *a);
/* Seed of the jitter in backoffs and watch timeouts; without it the kernel's random numbers are taken. */
void api_seed(struct api *a, uint64_t seed);
/* Warning headers of answers (deprecations and the like): each text is told once, at most 32 different ones. */
void api_warnings(struct api *a, void (*warning)(const char *text, void *user), void *user);

struct api_answer {
	int result;  /* 0 = 2xx; -ENOENT 404, -EEXIST/-ESTALE 409 (AlreadyExists / Conflict), -EACCES 401/403, -EINVAL 400/422, -EAGAIN 429
	                or 5xx, -EOPNOTSUPP 405/415, -E2BIG 413, -ESTALE 410, -EPROTO any other; -EBADMSG = a 2xx body that is no JSON;
	                or the transport's errno */
	long status; /* HTTP status, 0 = none */
	const char *error;       /* text for people, "" on success: Status.message, reason, path */
	uint32_t retry_after_ms; /* 0 = not said, at most ten minutes */
	json_t *body;            /* borrowed; NULL when none or no JSON, or as text */
	const char *text;        /* borrowed; of a success, where it was asked for so: then it was not parsed. NULL = none */
	size_t text_len;
	/* What is wrong with a body in which one object names a key twice ("" = nothing). `body` then holds the last of the two. */
	const char *duplicate;
};
typedef void (*api_done)(const struct api_answer *answer, void *user);
struct api_request;
/* `path` begins with "/". `body` is serialised during the call. Times out after `timeout_ms` (0 = 30 s). Every request gets exactly one
 * `done`, from the loop, unless cancelled. 401 re-reads credentials and is retried once by itself. */
int api_send(struct api *a, const char *method, const char *path, const char *content_type, json_t *body, uint32_t timeout_ms,
             api_done done, void *user, struct api_request **ret);
void api_cancel(struct api_request *r);

/* resource.k8s.io's version once known: "v1", "v1beta2", "v1beta1"; api_resource_path gives "/apis/resource.k8s.io/<version>". */
void api_discover(struct api *a, void (*done)(int result, const char *version, const char *error, void *user), void *user);
const char *api_resource_path(const struct api *a); /* v1's before discovery */
const char *api_resource_version(const struct api *a);

/* List + watch of one collection (protocols §6.1): calls `object` for each addition, change (removed = false) and removal; `synced` after
 * each full list. Relists on 410, backs off, resumes for ever. */
struct api_watch;
struct watch_glance; /* k8s/watch_lines.h */
struct api_watch_callbacks {
	void (*begin)(void *user);                                /* a full list follows; objects it does not name are gone */
	void (*object)(json_t *object, bool removed, void *user); /* borrowed */
	/* Instead of it for what a watch adds or changes, with the beginning of the metadata (borrowed); false = it is to be parsed, and
	 * `object` called. NULL = nothing is told so. */
	bool (*glance)(const struct watch_glance *glance, void *user);
	void (*synced)(void *user);
	void (*trouble)(int result, const char *text, void *user); /* told once per outage; 0 = recovered */
};
int api_watch_start(struct api *a, const char *path /* of the collection */, const char *selector /* "fieldSelector=…", URL-encoded */,
                    const struct api_watch_callbacks *callbacks, void *user, struct api_watch **ret);
void api_watch_close(struct api_watch *w);
