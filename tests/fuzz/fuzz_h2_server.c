/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP/2 connection of the gRPC server, fed without a socket. The first byte steers what the handlers do; each 0xfe 0xfd pair in the
 * rest cuts the input into separate reads, with time passing and answers pulled between them. */
#include <stdlib.h>
#include <string.h>

#include "transport/grpc_internal.h"

enum { HELD_MAX = 64 };

struct world {
	uint64_t now;
	uint8_t mode;
	struct grpc_call *held[HELD_MAX];
	int n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void world_gone(struct grpc_call *c, void *user)
{
	(void)c;
	(void)user;
}

static void handle_unary(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	struct world *w = user;
	if (w->mode & 1 && w->n < HELD_MAX) {
		grpc_call_on_gone(c, world_gone, w);
		w->held[w->n++] = c;
	} else if (w->mode & 2) {
		grpc_call_fail(c, GRPC_NOT_FOUND, "no \xff such %");
	} else {
		grpc_call_reply(c, message, len);
	}
}

static void handle_stream(struct grpc_call *c, const uint8_t *message, size_t len, void *user)
{
	struct world *w = user;
	grpc_call_begin(c);
	if (grpc_call_send(c, message, len) == 0 && w->mode & 1 && w->n < HELD_MAX)
		w->held[w->n++] = c;
	else
		grpc_call_end(c);
}

static const struct grpc_method methods[] = {{"/t.T/U", handle_unary}, {"/t.T/S", handle_stream}};

static uint64_t world_now(void *user)
{
	return ((struct world *)user)->now;
}

static void world_wake(void *user)
{
	(void)user;
}

static void world_alarm(uint64_t at, void *user)
{
	(void)at;
	(void)user;
}

static const struct grpc_session_hooks hooks = {world_now, world_wake, world_alarm};

static bool pull(struct grpc_session *s)
{
	const uint8_t *out;
	ssize_t n;
	while ((n = grpc_session_pull(s, &out)) > 0)
		;
	return n == 0 && !grpc_session_finished(s);
}

static void finish(struct world *w)
{
	while (w->n > 0) {
		struct grpc_call *c = w->held[--w->n];
		if (w->mode & 4)
			grpc_call_send(c, (const uint8_t *)"more", 4);
		grpc_call_reply(c, (const uint8_t *)"done", 4);
	}
}

/* One read; false when the connection is over. */
static bool step(struct world *w, struct grpc_session *s, const uint8_t *data, size_t len)
{
	if (grpc_session_receive(s, data, len) < 0)
		return false;
	w->now += 7;
	grpc_session_expire(s, w->now);
	if (w->mode & 8)
		finish(w);
	return w->mode & 16 || pull(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct world w = {.mode = data[0]};
	const struct grpc_server_options o = {.methods = methods, .n_methods = 2, .user = &w, .max_streams = 20, .max_message = 4096};
	struct grpc_session *s;
	if (grpc_session_new(&o, &hooks, &w, &s) < 0)
		return 0;
	static const uint8_t cut[] = {0xfe, 0xfd};
	const uint8_t *at = data + 1, *end = data + size;
	bool open = pull(s);
	while (open && at < end) {
		const uint8_t *next = memmem(at, (size_t)(end - at), cut, sizeof(cut));
		open = step(&w, s, at, (size_t)((next ? next : end) - at));
		at = next ? next + sizeof(cut) : end;
	}
	if (w.mode & 32) {
		grpc_session_shutdown(s);
		pull(s);
	}
	if (w.mode & 64)
		finish(&w);
	grpc_session_free(s);
	finish(&w);
	return 0;
}
