/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/http_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "core/base/cleanup.h"
#include "transport/http_internal.h"

enum { CONNECT_MS = 10000, MAX_BODY = 16 << 20, KEEPALIVE_S = 30, KEEPALIVE_PROBES = 3 };

struct http_request {
	struct http_client *client;
	struct http_pool *pool;
	struct http_request *next;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	void (*data)(struct http_request *r, const void *data, size_t len, void *user);
	void (*done)(int result, const char *error, const struct http_response *response, const char *body, size_t len, void *user);
	void *user;
	struct buf body, chunk; /* for `done`; for `data`, not yet delivered */
	bool too_large;
	uint32_t stall_ms;
	uint64_t started_at, heard_at;
	char error[CURL_ERROR_SIZE];
};

/* ---- results ---- */

static int result_of(CURLcode code, const struct http_request *r)
{
	static const struct {
		CURLcode code;
		int result;
	} results[] = {
	    {CURLE_OK, 0},
	    {CURLE_OPERATION_TIMEDOUT, -ETIMEDOUT},
	    {CURLE_COULDNT_RESOLVE_HOST, -EHOSTUNREACH},
	    {CURLE_COULDNT_RESOLVE_PROXY, -EHOSTUNREACH},
	    {CURLE_PEER_FAILED_VERIFICATION, -EPROTO},
	    {CURLE_SSL_CONNECT_ERROR, -EPROTO},
	    {CURLE_SSL_CERTPROBLEM, -EPROTO},
	    {CURLE_SSL_CIPHER, -EPROTO},
	    {CURLE_SSL_CACERT_BADFILE, -EPROTO},
	    {CURLE_SSL_ISSUER_ERROR, -EPROTO},
	    {CURLE_WEIRD_SERVER_REPLY, -EPROTO},
	    {CURLE_UNSUPPORTED_PROTOCOL, -EPROTO},
	    {CURLE_HTTP2, -ECONNRESET},
	    {CURLE_HTTP2_STREAM, -ECONNRESET},
	    {CURLE_RECV_ERROR, -ECONNRESET},
	    {CURLE_SEND_ERROR, -ECONNRESET},
	    {CURLE_GOT_NOTHING, -ECONNRESET},
	    {CURLE_PARTIAL_FILE, -ECONNRESET},
	    {CURLE_OUT_OF_MEMORY, -ENOMEM},
	};
	long os_error = 0;
	if (r->too_large)
		return -EMSGSIZE;
	if (code == CURLE_COULDNT_CONNECT)
		return curl_easy_getinfo(r->easy, CURLINFO_OS_ERRNO, &os_error) == CURLE_OK && os_error > 0 ? -(int)os_error
		                                                                                            : -ECONNREFUSED;
	for (size_t i = 0; i < ELEMENTS(results); i++)
		if (results[i].code == code)
			return results[i].result;
	return -EIO;
}

static const char *response_header(CURL *easy, const char *name)
{
	struct curl_header *h;
	return curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value : "";
}

/* The number of a Retry-After; its other form is a date, which Kubernetes does not send. */
static long retry_after(const char *value)
{
	size_t digits = strspn(value, "0123456789");
	return digits && digits <= 6 && !value[digits] ? strtol(value, NULL, 10) : -1;
}

/* ---- requests ---- */

static void request_free(struct http_request *r)
{
	for (struct http_request **at = &r->client->requests; *at; at = &(*at)->next)
		if (*at == r) {
			*at = r->next;
			break;
		}
	if (r->pool) {
		curl_multi_remove_handle(r->pool->multi, r->easy);
		if (--r->pool->n_requests == 0 && r->pool->retired)
			http_pool_close(r->pool);
	}
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	curl_slist_free_all(r->connect_to);
	buf_free(&r->body);
	buf_free(&r->chunk);
	free(r);
}

static void request_freep(struct http_request **r)
{
	if (*r)
		request_free(*r);
}

/* Out of libcurl's and the client's hands before the user hears of it: he may close the client or start the next request. */
static void request_finish(struct http_request *r, int result, const char *error)
{
	char content_type[128], warning[512], text[CURL_ERROR_SIZE];
	struct http_response response = {.retry_after_s = retry_after(response_header(r->easy, "Retry-After"))};
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &response.status);
	snprintf(content_type, sizeof(content_type), "%s", response_header(r->easy, "Content-Type"));
	snprintf(warning, sizeof(warning), "%s", response_header(r->easy, "Warning"));
	snprintf(text, sizeof(text), "%s", error);
	response.content_type = content_type;
	response.warning = warning;
	_cleanup_buf_ struct buf body = r->body;
	r->body = (struct buf){0};
	void (*done)(int, const char *, const struct http_response *, const char *, size_t, void *) = r->done;
	void *user = r->user;
	request_free(r);
	done(result, result < 0 ? text : NULL, &response, buf_text(&body), body.len, user);
}

static struct http_request *request_with_chunk(const struct http_client *c)
{
	for (struct http_request *r = c->requests; r; r = r->next)
		if (r->chunk.len)
			return r;
	return NULL;
}

static void client_arm_stall(struct http_client *c, uint64_t at);

/* A peer can be gone without a FIN, or be there for TCP alone. What shares its connections would wait as long as it is allowed to, a watch
 * for minutes, and new requests would join them: a request that got nothing in its time, while nothing at all came on the pool, tells on
 * the others. They end from the timer, because their callbacks may do anything. */
static void pool_check_silent(struct http_client *c, struct http_pool *p, uint64_t since)
{
	if (p->heard_at > since)
		return;
	if (p == c->pools)
		http_client_forget_connections(c);
	for (struct http_request *r = c->requests; r; r = r->next)
		if (r->pool == p) {
			r->heard_at = 0;
			r->stall_ms = 1;
		}
	client_arm_stall(c, uv_now(c->loop));
}

void http_client_deliver(struct http_client *c, struct http_pool *p)
{
	struct http_request *r;
	/* Each callback may cancel any request, so the search starts anew after each. */
	while ((r = request_with_chunk(c))) {
		_cleanup_buf_ struct buf chunk = r->chunk;
		r->chunk = (struct buf){0};
		r->data(r, chunk.data, chunk.len, r->user);
	}
	CURLMsg *m;
	int left;
	while (p->multi && (m = curl_multi_info_read(p->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
		const char *error = r->too_large  ? "the answer is larger than the limit"
		                    : r->error[0] ? r->error
		                                  : curl_easy_strerror(code);
		if (code == CURLE_OPERATION_TIMEDOUT)
			pool_check_silent(c, p, r->started_at);
		request_finish(r, result_of(code, r), error);
	}
}

static size_t on_body(char *data, size_t size, size_t n, void *user)
{
	struct http_request *r = user;
	long status = 0;
	size_t len = size * n;
	r->heard_at = uv_now(r->client->loop);
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	struct buf *to = r->data && status >= 200 && status < 300 ? &r->chunk : &r->body;
	buf_add(to, data, len);
	r->too_large = to->failed;
	return to->failed ? 0 : len;
}

static size_t on_header(char *data, size_t size, size_t n, void *user)
{
	struct http_request *r = user;
	(void)data;
	r->heard_at = uv_now(r->client->loop);
	return size * n;
}

/* ---- silence ----
 * libcurl's own low-speed check wakes up every second for as long as a watch is open. */

static void on_stall(uv_timer_t *timer);

static void client_arm_stall(struct http_client *c, uint64_t at)
{
	if (at >= c->stall_at)
		return;
	uint64_t now = uv_now(c->loop);
	c->stall_at = at;
	uv_timer_start(&c->stall, on_stall, at > now ? at - now : 0, 0);
}

static struct http_request *request_stalled(const struct http_client *c, uint64_t now, uint64_t *next)
{
	*next = UINT64_MAX;
	for (struct http_request *r = c->requests; r; r = r->next) {
		if (!r->stall_ms)
			continue;
		uint64_t at = r->heard_at + r->stall_ms;
		if (at <= now)
			return r;
		*next = at < *next ? at : *next;
	}
	return NULL;
}

static void on_stall(uv_timer_t *timer)
{
	struct http_client *c = timer->data;
	struct http_request *r;
	uint64_t next;
	c->stall_at = UINT64_MAX;
	while ((r = request_stalled(c, uv_now(c->loop), &next))) {
		if (r->heard_at && r->pool)
			pool_check_silent(c, r->pool, r->heard_at);
		request_finish(r, -ETIMEDOUT, "the server has been silent for too long");
	}
	if (next != UINT64_MAX && !c->closing)
		client_arm_stall(c, next);
}

void http_request_stall(struct http_request *r, uint32_t stall_ms)
{
	r->stall_ms = stall_ms;
	client_arm_stall(r->client, r->heard_at + stall_ms);
}

/* ---- options ---- */

/* Set an option of `easy` unless an earlier one failed; `r` holds the first failure. */
#define SET(option, value) (void)(r == CURLE_OK && (r = curl_easy_setopt(easy, option, value)) != CURLE_OK)

static bool is_set(const char *text)
{
	return text && *text;
}

static CURLcode set_pem(CURL *easy, CURLoption option, const char *pem)
{
	if (!is_set(pem))
		return CURLE_OK;
	struct curl_blob blob = {.data = (void *)(uintptr_t)pem, .len = strlen(pem), .flags = CURL_BLOB_COPY};
	return curl_easy_setopt(easy, option, &blob);
}

static int add_header(struct http_request *r, const char *header)
{
	struct curl_slist *more = curl_slist_append(r->headers, header);
	if (!more)
		return -ENOMEM;
	r->headers = more;
	return 0;
}

static bool has_header(const char *const *headers, const char *name)
{
	for (size_t len = strlen(name); headers && *headers; headers++)
		if (strncasecmp(*headers, name, len) == 0 && (*headers)[len] == ':')
			return true;
	return false;
}

/* Connect to the URL's address, but let everything else see `name` in its place: libcurl takes SNI and the name to check from the URL. */
static int set_server_name(struct http_request *r, CURLU *url, const char *name, bool keep_host)
{
	char *host = NULL, *port = NULL, *said_port = NULL, *text = NULL;
	int result = -EINVAL;
	struct buf line = {0};
	if (curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	    curl_url_set(url, CURLUPART_HOST, name, 0) == CURLUE_OK && curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK) {
		buf_printf(&line, "::%s:%s", host, port);
		r->connect_to = curl_slist_append(NULL, buf_text(&line));
		buf_reset(&line);
		if (curl_url_get(url, CURLUPART_PORT, &said_port, 0) == CURLUE_OK)
			buf_printf(&line, "Host: %s:%s", host, said_port);
		else
			buf_printf(&line, "Host: %s", host);
		result = !line.failed && r->connect_to && curl_easy_setopt(r->easy, CURLOPT_URL, text) == CURLE_OK &&
		                 curl_easy_setopt(r->easy, CURLOPT_CONNECT_TO, r->connect_to) == CURLE_OK &&
		                 (keep_host || add_header(r, buf_text(&line)) == 0)
		             ? 0
		             : -ENOMEM;
	}
	buf_free(&line);
	curl_free(host);
	curl_free(port);
	curl_free(said_port);
	curl_free(text);
	return result;
}

static int set_url(struct http_request *r, const struct http_request_options *o)
{
	CURLU *url = curl_url();
	if (!url)
		return -ENOMEM;
	int result = -EINVAL;
	if (curl_url_set(url, CURLUPART_URL, o->url, 0) == CURLUE_OK) {
		if (o->endpoint && is_set(o->endpoint->server_name))
			result = set_server_name(r, url, o->endpoint->server_name, has_header(o->headers, "Host"));
		else
			result = curl_easy_setopt(r->easy, CURLOPT_URL, o->url) == CURLE_OK ? 0 : -ENOMEM;
	}
	curl_url_cleanup(url);
	return result;
}

static int set_headers(struct http_request *r, const struct http_request_options *o)
{
	for (const char *const *h = o->headers; h && *h; h++) {
		if (strpbrk(*h, "\r\n"))
			return -EINVAL;
		if (add_header(r, *h) < 0)
			return -ENOMEM;
	}
	/* Against libcurl's own ideas: waiting for "100 Continue", and calling a body a form. */
	if (add_header(r, "Expect:") < 0 || (!has_header(o->headers, "Content-Type") && add_header(r, "Content-Type:") < 0))
		return -ENOMEM;
	return curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK ? 0 : -ENOMEM;
}

static CURLcode set_endpoint(CURL *easy, const struct http_endpoint *endpoint)
{
	static const struct http_endpoint plain;
	const struct http_endpoint *e = endpoint ? endpoint : &plain;
	CURLcode r = CURLE_OK;
	SET(CURLOPT_PROXY, is_set(e->proxy_url) ? e->proxy_url : ""); /* "" also hides the environment's */
	SET(CURLOPT_NOPROXY, "");
	if (is_set(e->unix_socket))
		SET(CURLOPT_UNIX_SOCKET_PATH, e->unix_socket);
	if (is_set(e->ca_pem)) {
		/* The built-in directory would stay in force beside the blob. */
		SET(CURLOPT_CAPATH, NULL);
		SET(CURLOPT_CAINFO, NULL);
	}
	if (r == CURLE_OK)
		r = set_pem(easy, CURLOPT_CAINFO_BLOB, e->ca_pem);
	if (r == CURLE_OK)
		r = set_pem(easy, CURLOPT_SSLCERT_BLOB, e->certificate_pem);
	if (r == CURLE_OK)
		r = set_pem(easy, CURLOPT_SSLKEY_BLOB, e->key_pem);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, e->insecure ? 0L : 1L);
	SET(CURLOPT_SSL_VERIFYHOST, e->insecure ? 0L : 2L);
	return r;
}

static CURLcode set_method(CURL *easy, const struct http_request_options *o)
{
	bool get = strcmp(o->method, "GET") == 0, head = strcmp(o->method, "HEAD") == 0;
	CURLcode r = CURLE_OK;
	if (head)
		SET(CURLOPT_NOBODY, 1L);
	else if (o->body || !(get || strcmp(o->method, "DELETE") == 0)) {
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(o->body ? o->body_len : 0));
		SET(CURLOPT_COPYPOSTFIELDS, o->body ? o->body : "");
	}
	if (!head)
		SET(CURLOPT_CUSTOMREQUEST, o->method);
	return r;
}

/* A host that went away without a word is noticed after 75 s instead of the kernel's 165. */
static int on_new_socket(void *user, curl_socket_t fd, curlsocktype purpose)
{
	static const int probes = KEEPALIVE_PROBES;
	(void)user, (void)purpose;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes)); /* no TCP: a unix socket */
	return CURL_SOCKOPT_OK;
}

static CURLcode set_common(struct http_request *req, const struct http_request_options *o)
{
	CURL *easy = req->easy;
	CURLcode r = CURLE_OK;
	SET(CURLOPT_PRIVATE, req);
	SET(CURLOPT_ERRORBUFFER, req->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_PIPEWAIT, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
	SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S / 2);
	SET(CURLOPT_SOCKOPTFUNCTION, on_new_socket);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	SET(CURLOPT_TIMEOUT_MS, (long)o->timeout_ms);
	SET(CURLOPT_USERAGENT, "dranetd/" DRANETD_VERSION);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, req);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, req);
	return r;
}

/* ---- the client ---- */

int http_client_start(struct http_client *c, const struct http_request_options *o, struct http_request **ret, struct error *e)
{
	if (c->closing)
		return error_set(e, -ESHUTDOWN, "the HTTP client is closed");
	_cleanup_(request_freep) struct http_request *r = calloc(1, sizeof(*r));
	if (!r)
		return error_set(e, -ENOMEM, "no memory for a request");
	r->client = c;
	r->easy = curl_easy_init();
	if (!r->easy)
		return error_set(e, -ENOMEM, "no memory for a request");
	r->data = o->data;
	r->done = o->done;
	r->user = o->user;
	r->body.limit = o->max_body ? o->max_body : MAX_BODY;
	r->stall_ms = o->stall_ms;
	r->started_at = r->heard_at = uv_now(c->loop);
	int result = set_url(r, o);
	if (result < 0)
		return error_set(e, result, "bad URL %s", o->url);
	result = set_headers(r, o);
	if (result < 0)
		return error_set(e, result, "bad header for %s %s", o->method, o->url);
	CURLcode code = set_common(r, o);
	if (code == CURLE_OK)
		code = set_endpoint(r->easy, o->endpoint);
	if (code == CURLE_OK)
		code = set_method(r->easy, o);
	if (code != CURLE_OK)
		return error_set(e, code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL, "%s %s: %s", o->method, o->url,
		                 curl_easy_strerror(code));
	CURLMcode added = curl_multi_add_handle(c->pools->multi, r->easy);
	if (added != CURLM_OK)
		return error_set(e, -ENOMEM, "%s %s: %s", o->method, o->url, curl_multi_strerror(added));
	r->pool = c->pools;
	r->pool->n_requests++;
	r->next = c->requests;
	c->requests = r;
	if (r->stall_ms)
		client_arm_stall(c, r->heard_at + r->stall_ms);
	*ret = TAKE_PTR(r);
	return 0;
}

void http_request_cancel(struct http_request *r)
{
	request_free(r);
}

int http_client_new(uv_loop_t *loop, struct http_client **ret)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	struct http_client *c = calloc(1, sizeof(*c));
	if (c) {
		c->loop = loop;
		c->stall_at = UINT64_MAX;
	}
	if (!c || !http_pool_new(c)) {
		free(c);
		curl_global_cleanup();
		return -ENOMEM;
	}
	uv_timer_init(loop, &c->stall);
	c->stall.data = c;
	c->open_handles++;
	*ret = c;
	return 0;
}

void http_handle_closed(struct http_client *c)
{
	if (--c->open_handles || !c->closing)
		return;
	free(c);
	curl_global_cleanup();
}

static void on_client_closed(uv_handle_t *handle)
{
	http_handle_closed(handle->data);
}

void http_client_close(struct http_client *c)
{
	if (!c || c->closing)
		return;
	c->closing = true;
	while (c->requests)
		request_free(c->requests);
	for (struct http_pool *p = c->pools; p; p = p->next)
		http_pool_close(p);
	uv_close((uv_handle_t *)&c->stall, on_client_closed);
}

void http_client_forget_connections(struct http_client *c)
{
	struct http_pool *old = c->pools;
	if (c->closing || !http_pool_new(c))
		return; /* without memory for another pool the old connections stay in use */
	old->retired = true;
	if (!old->n_requests)
		http_pool_close(old);
}
