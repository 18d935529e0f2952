/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP client in the loop: libcurl's multi interface on uv_poll and uv_timer. HTTP/1.1 and 2, TLS with CA, client certificate, and
 * server name checks, unix sockets. One client shares connections between requests. No redirects, no cookies, no proxies from the
 * environment unless told so, no signals. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/base/error.h"

struct http_client;
struct http_request;

/* TLS and connection settings; copied. NULL or "" = not set. PEM texts, not paths, because they may come from a kubeconfig. */
struct http_endpoint {
	const char *ca_pem; /* NULL = the system's roots */
	const char *certificate_pem, *key_pem;
	const char *server_name; /* check and send this name instead of the URL's host; the connection still goes to the URL's address */
	const char *proxy_url;
	const char *unix_socket;
	bool insecure; /* no verification: only where a kubeconfig says insecure-skip-tls-verify */
};

struct http_response {
	long status;              /* HTTP status */
	long retry_after_s;       /* Retry-After in seconds, -1 = absent or no number */
	const char *content_type; /* "" = absent */
	const char *warning;      /* Warning header, "" = absent */
};

struct http_request_options {
	const char *method; /* static or outliving the start call: everything is copied */
	const char *url;
	const struct http_endpoint *endpoint; /* NULL = plain */
	const char *const *headers;           /* "Name: value", NULL-terminated; may be NULL */
	const void *body;                     /* NULL = none */
	size_t body_len;
	uint32_t timeout_ms; /* whole request; 0 = none (watches) */
	uint32_t stall_ms;   /* give up when nothing arrives for so long; 0 = none */
	size_t max_body;     /* bytes collected for `done`; 0 = 16 MiB; more fails with -EMSGSIZE */
	/* Streaming: when set, `data` gets the body of a 2xx answer as it comes, and `done` gets no body for it. */
	void (*data)(struct http_request *r, const void *data, size_t len, void *user);
	/* Exactly once unless cancelled. result 0 = an HTTP answer came (any status); else negative errno and a text: -ECONNREFUSED,
	 * -ETIMEDOUT, -EPROTO (TLS, certificates), -ECONNRESET … */
	void (*done)(int result, const char *error, const struct http_response *response, const char *body, size_t len, void *user);
	void *user;
};

int http_client_new(uv_loop_t *loop, struct http_client **ret);
void http_client_close(struct http_client *c); /* cancels what is open, without calling back */
int http_client_start(struct http_client *c, const struct http_request_options *o, struct http_request **ret, struct error *e);
void http_request_cancel(struct http_request *r); /* no callback follows; valid inside `data`, not after `done` */
/* Change stall_ms of a request under way; what has passed since something came counts. */
void http_request_stall(struct http_request *r, uint32_t stall_ms);
/* Forget idle connections (after credentials changed). The client does so itself where a request times out and nothing at all was heard on
 * its connections meanwhile; what else waits on those ends with -ETIMEDOUT then. */
void http_client_forget_connections(struct http_client *c);
