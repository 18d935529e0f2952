/* SPDX-License-Identifier: Apache-2.0 */
/* An HTTP/1.1 server on loopback in the test's own loop, whose every byte the test chooses, and an API server client that talks to it. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "k8s/api_private.h"

enum { LOG_MAX = 4096, REQUEST_MAX = 8192 };

struct world;
struct peer {
	uv_tcp_t tcp;
	struct world *world;
	struct peer *next;
	char in[REQUEST_MAX];
	size_t len;
	bool closing;
};
struct world {
	uv_loop_t loop;
	uv_tcp_t listener;
	int port;
	bool listening;
	struct peer *peers;
	struct api *api;
	char token_path[64];
	/* Called for the n-th request; `head` is its text. */
	void (*serve)(struct world *w, struct peer *p, int n, const char *head);
	int requests;

	int answers, result;
	char error[512];
	json_t *body;

	struct api_watch *watch;
	char log[LOG_MAX]; /* what the watch told: "( name+ name- ) !" */
	int synced, objects, troubles, recoveries;
	int open_watches; /* watch requests the server got */
	struct peer *watcher;
	uint64_t mark;
};

/* ---- the server ------------------------------------------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
	struct peer *p = handle->data;
	(void)size;
	*buf = uv_buf_init(p->in + p->len, (unsigned)(sizeof(p->in) - 1 - p->len));
}

static void on_peer_closed(uv_handle_t *handle)
{
	struct peer *p = handle->data, **at = &p->world->peers;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	if (p->world->watcher == p)
		p->world->watcher = NULL;
	free(p);
}

static inline void peer_close(struct peer *p)
{
	if (!p->closing)
		uv_close((uv_handle_t *)&p->tcp, on_peer_closed);
	p->closing = true;
}

static void peer_write(struct peer *p, const char *text)
{
	uv_buf_t buf = uv_buf_init((char *)(uintptr_t)text, (unsigned)strlen(text));
	assert_int_equal(uv_try_write((uv_stream_t *)&p->tcp, &buf, 1), (int)strlen(text));
}

static inline void peer_answer(struct peer *p, const char *status, const char *headers, const char *body)
{
	char text[4096];
	snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n%s", status,
	         strlen(body), headers, body);
	for (char *c = strstr(text, "\r\n\r\n"); *c; c++)
		if (*c == '\'')
			*c = '"';
	peer_write(p, text);
}

static inline void peer_chunk(struct peer *p, const char *body)
{
	char text[4096];
	snprintf(text, sizeof(text), "%zx\r\n%s\r\n", strlen(body), body);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	peer_write(p, text);
}

static inline void peer_stream(struct peer *p)
{
	peer_write(p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct peer *p = stream->data;
	(void)buf;
	if (n < 0)
		return peer_close(p);
	p->len += (size_t)n;
	p->in[p->len] = '\0';
	const char *end = strstr(p->in, "\r\n\r\n"), *length = strstr(p->in, "Content-Length: ");
	if (!end || strlen(end + 4) < (length ? (size_t)atoi(length + 16) : 0))
		return;
	p->len = 0;
	if (strstr(p->in, "watch=1")) {
		p->world->open_watches++;
		p->world->watcher = p;
	}
	p->world->serve(p->world, p, p->world->requests++, p->in);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct world *w = listener->data;
	struct peer *p = calloc(1, sizeof(*p));
	assert_int_equal(status, 0);
	p->world = w;
	p->next = w->peers;
	w->peers = p;
	uv_tcp_init(&w->loop, &p->tcp);
	p->tcp.data = p;
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&p->tcp), 0);
	assert_int_equal(uv_read_start((uv_stream_t *)&p->tcp, on_alloc, on_read), 0);
}

static void server_open(struct world *w)
{
	struct sockaddr_storage address;
	int len = sizeof(address);
	uv_tcp_init(&w->loop, &w->listener);
	w->listener.data = w;
	uv_ip4_addr("127.0.0.1", w->port, (struct sockaddr_in *)&address);
	assert_int_equal(uv_tcp_bind(&w->listener, (struct sockaddr *)&address, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&w->listener, 16, on_connection), 0);
	assert_int_equal(uv_tcp_getsockname(&w->listener, (struct sockaddr *)&address, &len), 0);
	w->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	w->listening = true;
}

static inline void server_close(struct world *w)
{
	if (w->listening)
		uv_close((uv_handle_t *)&w->listener, NULL);
	w->listening = false;
	for (struct peer *p = w->peers; p; p = p->next)
		peer_close(p);
}

/* ---- running ---------------------------------------------------------------------------------------------------------------------- */

static void on_beat(uv_timer_t *timer)
{
	(void)timer;
}

/* Until `*flag` reaches `value`; false after `seconds`. */
static bool run_until(struct world *w, const int *flag, int value, unsigned seconds)
{
	uint64_t end = uv_hrtime() + seconds * UINT64_C(1000000000);
	uv_timer_t beat;
	uv_timer_init(&w->loop, &beat);
	uv_timer_start(&beat, on_beat, 1, 1);
	while (*flag < value && uv_hrtime() < end)
		uv_run(&w->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&beat, NULL);
	uv_run(&w->loop, UV_RUN_NOWAIT);
	return *flag >= value;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char url[64];
	uv_loop_init(&w->loop);
	server_open(w);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", w->port);
	snprintf(w->token_path, sizeof(w->token_path), "/tmp/dranetd-test-XXXXXX");
	int fd = mkstemp(w->token_path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "first\n", 6), 6);
	close(fd);
	struct api_config config = {.server = strdup(url), .token_path = strdup(w->token_path)};
	assert_int_equal(api_new(&w->loop, &config, &w->api, NULL), 0);
	assert_null(config.server);
	w->api->timing.backoff_min_ms = 20;
	w->api->timing.backoff_max_ms = 100;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	api_watch_close(w->watch);
	api_close(w->api);
	server_close(w);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	json_decref(w->body);
	unlink(w->token_path);
	free(w);
	return 0;
}
