/* SPDX-License-Identifier: Apache-2.0 */
/* ttrpc over the NRI trunk: one unix connection multiplexed into connection 1 (we serve the Plugin service) and connection 2 (we call the
 * Runtime service). It knows frames, streams and deadlines, not messages. Wire rules: protocols §7.2–7.3; the peer's reader takes at most
 * 4096 bytes of payload a mux frame, and never two messages in one. The process must ignore SIGPIPE. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/base/error.h"

struct trunk;
struct ttrpc_call; /* one request of the peer; finish with ttrpc_call_reply or ttrpc_call_fail exactly once, also after the trunk closed */

struct trunk_callbacks {
	void (*connected)(struct trunk *t, void *user);
	/* A request on connection 1. `timeout_ms` is the caller's budget, 0 = it did not say. Strings and payload are valid during the
	 * call. */
	void (*request)(struct trunk *t, struct ttrpc_call *call, const char *service, const char *method, const uint8_t *payload,
	                size_t len, uint64_t timeout_ms, void *user);
	/* The connection failed or was closed by the peer (also: connect failed). Called once; the trunk must be closed then with
	 * trunk_close. */
	void (*closed)(struct trunk *t, int result, const char *why, void *user);
};

int trunk_connect(uv_loop_t *loop, const char *path, const struct trunk_callbacks *callbacks, void *user, struct trunk **ret,
                  struct error *e);
/* Close; no callback follows. Pending requests of ours are answered -ECANCELED first. Memory is freed from the loop. */
void trunk_close(struct trunk *t);
/* The process at the other end (SO_PEERCRED), 0 when it is in a PID namespace we cannot see. */
uint32_t trunk_peer_pid(const struct trunk *t);

void ttrpc_call_reply(struct ttrpc_call *c, const uint8_t *payload, size_t len); /* copies */
void ttrpc_call_fail(struct ttrpc_call *c, int status_code, const char *text);   /* google.rpc.Status */

/* Call the peer on connection 2. `done` comes exactly once: result 0 with a payload; -EREMOTEIO with the peer's status text; -ETIMEDOUT,
 * -ECANCELED. */
int trunk_request(struct trunk *t, const char *service, const char *method, const uint8_t *payload, size_t len, uint64_t timeout_ms,
                  void (*done)(int result, const char *error, const uint8_t *payload, size_t len, void *user), void *user);
