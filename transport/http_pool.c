/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "transport/http_internal.h"

/* A socket libcurl wants to be told about. */
struct http_socket {
	uv_poll_t poll;
	struct http_pool *pool;
	curl_socket_t fd;
	struct http_socket *next, **at;
};

static void pool_action(struct http_pool *p, curl_socket_t fd, int events)
{
	int running;
	if (!p->multi)
		return;
	curl_multi_socket_action(p->multi, fd, events, &running);
	http_client_deliver(p->client, p);
}

static void on_timer(uv_timer_t *timer)
{
	pool_action(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	const struct http_socket *s = poll->data;
	int what = status < 0 ? CURL_CSELECT_ERR : 0;
	if (events & UV_READABLE) {
		what |= CURL_CSELECT_IN;
		s->pool->heard_at = uv_now(s->pool->client->loop);
	}
	if (events & UV_WRITABLE)
		what |= CURL_CSELECT_OUT;
	pool_action(s->pool, s->fd, what);
}

/* One of the pool's handles is closed; the last one takes the pool with it. */
static void pool_handle_closed(struct http_pool *p)
{
	struct http_client *c = p->client;
	if (--p->open_handles)
		return;
	for (struct http_pool **at = &c->pools; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	free(p);
	http_handle_closed(c);
}

static void socket_closed(uv_handle_t *handle)
{
	struct http_socket *s = handle->data;
	struct http_pool *p = s->pool;
	free(s);
	pool_handle_closed(p);
}

static void socket_forget(struct http_socket *s)
{
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	uv_poll_stop(&s->poll); /* libcurl closes the descriptor next */
	uv_close((uv_handle_t *)&s->poll, socket_closed);
}

static struct http_socket *socket_watch(struct http_pool *p, curl_socket_t fd)
{
	struct http_socket *s = calloc(1, sizeof(*s));
	if (!s || uv_poll_init_socket(p->client->loop, &s->poll, fd) < 0) {
		free(s);
		return NULL;
	}
	p->open_handles++;
	s->poll.data = s;
	s->pool = p;
	s->fd = fd;
	s->next = p->sockets;
	if (s->next)
		s->next->at = &s->next;
	s->at = &p->sockets;
	p->sockets = s;
	curl_multi_assign(p->multi, fd, s);
	return s;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *assigned)
{
	struct http_pool *p = user;
	struct http_socket *s = assigned;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s) {
			curl_multi_assign(p->multi, fd, NULL);
			socket_forget(s);
		}
		return 0;
	}
	if (!s)
		s = socket_watch(p, fd);
	if (!s)
		return -1;
	int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
	return uv_poll_start(&s->poll, events, on_poll) < 0 ? -1 : 0;
}

static int on_timeout(CURLM *multi, long timeout_ms, void *user)
{
	struct http_pool *p = user;
	(void)multi;
	if (timeout_ms < 0)
		uv_timer_stop(&p->timer);
	else
		uv_timer_start(&p->timer, on_timer, (uint64_t)timeout_ms, 0);
	return 0;
}

struct http_pool *http_pool_new(struct http_client *c)
{
	struct http_pool *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->multi = curl_multi_init();
	if (!p->multi) {
		free(p);
		return NULL;
	}
	p->client = c;
	uv_timer_init(c->loop, &p->timer);
	p->timer.data = p;
	p->open_handles = 1;
	c->open_handles++;
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(p->multi, CURLMOPT_SOCKETDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
	curl_multi_setopt(p->multi, CURLMOPT_TIMERDATA, p);
	curl_multi_setopt(p->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	curl_multi_setopt(p->multi, CURLMOPT_MAXCONNECTS, 8L); /* idle ones kept */
	p->next = c->pools;
	c->pools = p;
	return p;
}

static void pool_timer_closed(uv_handle_t *handle)
{
	pool_handle_closed(handle->data);
}

void http_pool_close(struct http_pool *p)
{
	if (!p->multi)
		return;
	CURLM *multi = p->multi;
	p->multi = NULL;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, NULL);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, NULL);
	while (p->sockets)
		socket_forget(p->sockets);
	curl_multi_cleanup(multi);
	uv_close((uv_handle_t *)&p->timer, pool_timer_closed);
}
