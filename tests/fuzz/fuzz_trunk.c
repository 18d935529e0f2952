/* SPDX-License-Identifier: Apache-2.0 */
/* A whole trunk without its socket: the runtime's bytes, in reads cut at each 0xfe 0xfd, against open requests of ours and handlers that
 * answer at once, later or never. What we send must keep the rules of the peer's reader. */
#include <stdlib.h>
#include <string.h>

#include "transport/trunk_internal.h"

enum { HELD_MAX = 64 };

struct world {
	uint64_t now;
	uint8_t mode;
	struct ttrpc *ttrpc;
	struct ttrpc_call *held[HELD_MAX];
	int n, asked, answered;
	unsigned sum;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

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

static void world_done(int result, const char *error, const uint8_t *payload, size_t len, void *user)
{
	struct world *w = user;
	check(result == 0 || error);
	if (len)
		w->sum += payload[0] + payload[len - 1]; /* all of it is readable */
	w->answered++;
}

static void ask(struct world *w)
{
	if (ttrpc_request(w->ttrpc, "s", "m", (const uint8_t *)"payload", 7, w->mode & 1 ? 20 : 0, world_done, w) == 0)
		w->asked++;
}

static void world_request(struct ttrpc_call *call, const struct ttrpc_request *r, uint64_t timeout_ms, void *user)
{
	struct world *w = user;
	(void)timeout_ms;
	check(r->service[0] && r->method[0]);
	if (w->mode & 2 && w->n < HELD_MAX)
		w->held[w->n++] = call;
	else if (w->mode & 4)
		ttrpc_call_fail(call, 12, r->method);
	else
		ttrpc_call_reply(call, r->payload, r->payload_len);
	if (w->mode & 8)
		ask(w);
}

static const struct ttrpc_hooks hooks = {world_now, world_wake, world_alarm, world_request};

static void finish(struct world *w)
{
	while (w->n > 0)
		ttrpc_call_reply(w->held[--w->n], (const uint8_t *)"late", 4);
}

static void drain(struct world *w)
{
	struct buf *out = ttrpc_output(w->ttrpc);
	size_t at = 0;
	while (at < out->len) {
		size_t frame = mux_span(out->data + at, out->len - at, 1);
		check(frame > MUX_HEAD && frame <= MUX_HEAD + MUX_PAYLOAD_SEND && frame <= out->len - at);
		at += frame;
	}
	buf_reset(out);
}

static bool step(struct world *w, const uint8_t *data, size_t len)
{
	const char *why = NULL;
	int r = ttrpc_receive(w->ttrpc, data, len, &why);
	check(r == 0 || why);
	w->now += 7;
	ttrpc_expire(w->ttrpc, w->now);
	if (w->mode & 16)
		finish(w);
	drain(w);
	return r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	struct world w = {.mode = data[0]};
	if (ttrpc_new(&hooks, &w, &w.ttrpc) < 0)
		return 0;
	for (int i = 0; i < 4; i++)
		ask(&w);
	static const uint8_t cut[] = {0xfe, 0xfd};
	const uint8_t *at = data + 1, *end = data + size;
	bool open = true;
	while (open && at < end) {
		const uint8_t *next = memmem(at, (size_t)(end - at), cut, sizeof(cut));
		open = step(&w, at, (size_t)((next ? next : end) - at));
		at = next ? next + sizeof(cut) : end;
	}
	if (w.mode & 32)
		finish(&w);
	ttrpc_free(w.ttrpc);
	check(w.asked == w.answered);
	finish(&w);
	return 0;
}
