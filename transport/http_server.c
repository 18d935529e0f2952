/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <h2o.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

enum { MAX_CLIENTS = 64, MAX_REQUEST_BODY = 4096, REQUEST_MS = 10000, BACKLOG = 128 };

struct http_server {
	uv_loop_t *loop;
	const struct http_page *pages;
	size_t n_pages;
	void *user;
	uv_tcp_t listener;
	uv_timer_t last; /* closed after everything of h2o's */
	h2o_globalconf_t config;
	h2o_context_t context;
	h2o_accept_ctx_t accept;
	struct client *clients;
	unsigned n_clients, port;
	bool closing, listener_closed, disposed;
};

struct client {
	uv_tcp_t tcp;
	struct http_server *server;
	struct client *next, **at;
};

struct page_handler {
	h2o_handler_t super;
	struct http_server *server;
};

/* ---- answers ---- */

static void answer(h2o_req_t *req, int status, const char *reason, const char *type, const char *body, size_t len)
{
	static h2o_generator_t generator; /* without callbacks: everything is sent at once */
	bool head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"));
	h2o_iovec_t copy = h2o_strdup(&req->pool, body, len);
	h2o_iovec_t type_copy = h2o_strdup(&req->pool, type, SIZE_MAX);
	req->res.status = status;
	req->res.reason = reason;
	req->res.content_length = len;
	h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type_copy.base, type_copy.len);
	h2o_start_response(req, &generator);
	h2o_send(req, &copy, head ? 0 : 1, H2O_SEND_STATE_FINAL);
}

static void answer_text(h2o_req_t *req, int status, const char *reason)
{
	char body[64];
	snprintf(body, sizeof(body), "%s\n", reason);
	answer(req, status, reason, "text/plain; charset=utf-8", body, strlen(body));
}

static const char *reason_of(int status)
{
	return status == 200 ? "OK" : status == 503 ? "Service Unavailable" : status >= 500 ? "Internal Server Error" : "Status";
}

static void answer_page(const struct http_server *s, const struct http_page *page, h2o_req_t *req)
{
	_cleanup_buf_ struct buf body = {0};
	const char *type = "text/plain; charset=utf-8";
	int status = page->make(&body, &type, s->user);
	if (body.failed)
		answer_text(req, 500, "Internal Server Error");
	else
		answer(req, status, reason_of(status), type, buf_text(&body), body.len);
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
	const struct http_server *s = ((struct page_handler *)handler)->server;
	if (!h2o_memis(req->method.base, req->method.len, H2O_STRLIT("GET")) &&
	    !h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD"))) {
		h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("allow"), 0, NULL, H2O_STRLIT("GET, HEAD"));
		answer_text(req, 405, "Method Not Allowed");
		return 0;
	}
	for (size_t i = 0; i < s->n_pages; i++) {
		const struct http_page *page = &s->pages[i];
		if (h2o_memis(req->path_normalized.base, req->path_normalized.len, page->path, strlen(page->path))) {
			answer_page(s, page, req);
			return 0;
		}
	}
	answer_text(req, 404, "Not Found");
	return 0;
}

/* ---- closing ---- */

static void server_free(uv_handle_t *handle)
{
	struct http_server *s = handle->data;
	h2o_config_dispose(&s->config);
	free(s);
}

/* h2o's timers live in the context, and libuv looks at a closed handle once more in the same iteration. So the memory goes one iteration
 * later: with a handle that is closed in the close callback of another. */
static void server_closed_once(uv_handle_t *handle)
{
	struct http_server *s = handle->data;
	uv_timer_init(s->loop, &s->last);
	uv_close((uv_handle_t *)&s->last, server_free);
}

static void server_finish(struct http_server *s)
{
	if (!s->closing || s->clients || !s->listener_closed || s->disposed)
		return;
	s->disposed = true;
	h2o_context_dispose(&s->context);
	uv_close((uv_handle_t *)&s->last, server_closed_once);
}

/* ---- connections ---- */

static void client_closed(uv_handle_t *handle)
{
	struct client *c = (struct client *)((char *)handle - offsetof(struct client, tcp));
	struct http_server *s = c->server;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	s->n_clients--;
	free(c);
	server_finish(s);
}

static void on_client(uv_stream_t *listener, int status)
{
	struct http_server *s = listener->data;
	if (status < 0 || s->closing)
		return;
	struct client *c = calloc(1, sizeof(*c));
	if (!c || uv_tcp_init(s->loop, &c->tcp) < 0) {
		free(c);
		return;
	}
	c->server = s;
	c->next = s->clients;
	if (c->next)
		c->next->at = &c->next;
	c->at = &s->clients;
	s->clients = c;
	s->n_clients++;
	if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 || s->n_clients > MAX_CLIENTS) {
		uv_close((uv_handle_t *)&c->tcp, client_closed);
		return;
	}
	uv_tcp_nodelay(&c->tcp, 1);
	h2o_accept(&s->accept, h2o_uv_socket_create((uv_stream_t *)&c->tcp, client_closed));
}

/* ---- the listener ---- */

/* "host:port", ":port", "[v6]:port"; no names, because looking one up would block. */
static int address_parse(const char *text, struct sockaddr_storage *ret, bool *ret_any)
{
	char host[64];
	const char *colon = strrchr(text, ':');
	if (!colon)
		return -EINVAL;
	size_t digits = strspn(colon + 1, "0123456789"), len = (size_t)(colon - text);
	if (!digits || digits > 5 || colon[1 + digits] || len >= sizeof(host))
		return -EINVAL;
	unsigned long port = strtoul(colon + 1, NULL, 10);
	if (port > 65535)
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = 0;
	*ret_any = len == 0;
	memset(ret, 0, sizeof(*ret));
	if (len == 0)
		return uv_ip6_addr("::", (int)port, (struct sockaddr_in6 *)ret);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = 0;
		return uv_ip6_addr(host + 1, (int)port, (struct sockaddr_in6 *)ret);
	}
	return uv_ip4_addr(host, (int)port, (struct sockaddr_in *)ret);
}

static int server_bind(struct http_server *s, const char *address)
{
	struct sockaddr_storage where;
	bool any;
	int r = address_parse(address, &where, &any);
	if (r < 0)
		return -EINVAL;
	r = uv_tcp_bind(&s->listener, (struct sockaddr *)&where, 0);
	if (any && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) { /* a kernel without IPv6 */
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = ((struct sockaddr_in6 *)&where)->sin6_port};
		r = uv_tcp_bind(&s->listener, (struct sockaddr *)&v4, 0);
	}
	if (r == 0)
		r = uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_client);
	int len = sizeof(where);
	if (r == 0)
		r = uv_tcp_getsockname(&s->listener, (struct sockaddr *)&where, &len);
	if (r == 0)
		s->port = ntohs(where.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&where)->sin6_port
		                                            : ((struct sockaddr_in *)&where)->sin_port);
	return r;
}

static void server_configure(struct http_server *s)
{
	h2o_config_init(&s->config);
	s->config.server_name = h2o_iovec_init(H2O_STRLIT("dranetd"));
	s->config.http1.upgrade_to_http2 = 0;
	s->config.http1.req_timeout = REQUEST_MS;
	s->config.max_request_entity_size = MAX_REQUEST_BODY;
	h2o_hostconf_t *host = h2o_config_register_host(&s->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
	h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
	struct page_handler *handler = (struct page_handler *)h2o_create_handler(path, sizeof(*handler));
	handler->super.on_req = on_request;
	handler->server = s;
	h2o_context_init(&s->context, s->loop, &s->config);
	s->accept.ctx = &s->context;
	s->accept.hosts = s->config.hosts;
}

int http_server_listen(uv_loop_t *loop, const char *address, const struct http_page *pages, size_t n, void *user, struct http_server **ret,
                       struct error *e)
{
	struct http_server *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, -ENOMEM, "no memory for the HTTP server");
	s->loop = loop;
	s->pages = pages;
	s->n_pages = n;
	s->user = user;
	uv_tcp_init(loop, &s->listener);
	uv_timer_init(loop, &s->last);
	s->listener.data = s->last.data = s;
	server_configure(s);
	int r = server_bind(s, address);
	if (r < 0) {
		http_server_close(s);
		return error_set(e, r, "cannot listen at %s: %s", address,
		                 r == -EINVAL ? "not a literal address and port" : uv_strerror(r));
	}
	*ret = s;
	return 0;
}

static void listener_closed(uv_handle_t *handle)
{
	struct http_server *s = handle->data;
	s->listener_closed = true;
	server_finish(s);
}

/* h2o offers no way to end idle HTTP/1 connections, but it closes one whose socket is shut down. */
void http_server_close(struct http_server *s)
{
	if (!s || s->closing)
		return;
	s->closing = true;
	uv_close((uv_handle_t *)&s->listener, listener_closed);
	for (struct client *c = s->clients; c; c = c->next) {
		uv_os_fd_t fd;
		if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
			shutdown(fd, SHUT_RDWR);
	}
}

unsigned http_server_port(const struct http_server *s)
{
	return s->port;
}
