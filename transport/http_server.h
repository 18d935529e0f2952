/* SPDX-License-Identifier: Apache-2.0 */
/* The small HTTP/1 server for metrics, health and debug pages (h2o). HTTP/2 is switched off: the packaged h2o lacks the fixes for stream
 * reset floods (c-practice A1). GET and HEAD only; everything unknown is 404. */
#pragma once

#include <stddef.h>
#include <uv.h>

#include "core/base/buf.h"
#include "core/base/error.h"

struct http_server;
struct http_page {
	const char *path; /* exact: "/metrics" */
	/* Fill `body`; set *content_type if it is not text/plain. Returns the HTTP status. Called in the loop, must not block. */
	int (*make)(struct buf *body, const char **content_type, void *user);
};

/* `address` is "host:port", ":port", "[v6]:port" (host a literal address; "" = all). An address in use is an error. */
int http_server_listen(uv_loop_t *loop, const char *address, const struct http_page *pages, size_t n, void *user, struct http_server **ret,
                       struct error *e);
void http_server_close(struct http_server *s);
unsigned http_server_port(const struct http_server *s); /* the port really bound (":0" in tests) */
