/* SPDX-License-Identifier: Apache-2.0 */
/* The composition root: owns core and every adapter, turns what adapters tell into core_step(), and performs the effects.
 *
 *   adapters ──event──▶ engine_feed ─▶ core_step ─▶ effects ─▶ performers (engine_effects.c, engine_moves.c)
 *                            ▲                                     │ on the loop: pins, tokens, replies, API requests
 *                            │                                     │ mover worker: snapshot, attach, detach, probe (in order)
 *                            └────── EVENT_DONE, EVENT_CLAIM_READ ◀┘ disk worker: records (in order)
 *
 * Start: the lock of the state directory (waiting for as long as another instance holds it) and the records, then the kernel's inventory,
 * and only then the sockets of kubelet and runtime, so that no request meets a core that does not know its devices yet. The API server may
 * be away for as long as it likes: everything else runs. */
#pragma once

#include <uv.h>

#include "core/base/error.h"
#include "daemon/options.h"

struct engine;

enum engine_end {
	ENGINE_STOPPED,
	ENGINE_FAILED, /* something it cannot do without cannot be started; it was logged */
	ENGINE_STUCK, /* a thread is in the kernel, with a move or waiting for the lock: it cannot be joined, leave without engine_free() */
};
struct engine_callbacks {
	void (*ended)(enum engine_end end, void *user); /* once, from the loop; everything is closed or closing */
	void *user;
};

/* `options` must outlive the engine. On failure everything that was begun has been closed. */
int engine_start(uv_loop_t *loop, const struct options *options, const struct engine_callbacks *callbacks, struct engine **ret,
                 struct error *e);
/* Take no more requests, let the moves that run finish (at most 10 s), close everything; devices stay where they are. */
void engine_stop(struct engine *g);
/* After the loop has ended. */
void engine_free(struct engine *g);
