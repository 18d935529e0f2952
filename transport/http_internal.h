/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the HTTP client. http_pool.c drives one libcurl multi handle, which owns a set of connections, from the loop;
 * http_client.c makes requests and delivers what comes of them. No callback of the user ever runs inside libcurl, because libcurl refuses
 * to start or remove transfers there: libcurl's callbacks only collect, and http_client_deliver hands over when it has returned. */
#pragma once

#include <curl/curl.h>

#include "core/base/buf.h"
#include "transport/http_client.h"

struct http_pool {
	struct http_client *client;
	struct http_pool *next;
	CURLM *multi; /* NULL = closed, memory goes with the last handle */
	uv_timer_t timer;
	struct http_socket *sockets;
	unsigned n_requests;
	int open_handles;  /* the timer and the sockets */
	uint64_t heard_at; /* when a connection of it last had something to read */
	bool retired;      /* no new requests: closed with the last one */
};

struct http_client {
	uv_loop_t *loop;
	struct http_pool *pools; /* the first takes new requests */
	struct http_request *requests;
	uv_timer_t stall;
	uint64_t stall_at;
	int open_handles; /* the timer, and one for each pool */
	bool closing;
};

struct http_pool *http_pool_new(struct http_client *c);
/* Every request must have been removed. */
void http_pool_close(struct http_pool *p);
void http_handle_closed(struct http_client *c);
/* libcurl has worked on `p`: deliver data, then ends of requests. */
void http_client_deliver(struct http_client *c, struct http_pool *p);
