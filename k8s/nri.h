/* SPDX-License-Identifier: Apache-2.0 */
/* The NRI plugin: keeps a connection to the runtime for ever (backoff), registers, and turns hooks into core events. Serves the dedicated
 * RPCs and StateChange (protocols §7). A pod without a claim (`knows_pod`) is answered at once, without an event. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/core.h"

struct nri;

struct nri_options {
	const char *socket; /* "/var/run/nri/nri.sock" */
	const char *name;   /* plugin name: the driver's */
	const char *index;  /* "00" */
	/* RUNTIME_UP/DOWN, the four hooks and SYNCHRONIZE; contents are valid during the call. */
	void (*event)(struct event *e, void *user);
	bool (*knows_pod)(const char *pod_uid, void *user);
	/* Whether a claim is prepared for this pod; NULL = do not ask. */
	bool (*owns_claim)(const char *pod_uid, const char *claim_uid, void *user);
	/* A hook that made no event, of a pod without a claim or refused as it came; how long the answer took. NULL = do not tell. */
	void (*answered)(enum event_type type, bool refused, uint64_t ns, void *user);
	/* Told for the journal: connection trouble (first of a series, and recovery), the runtime's name and version, its timeouts. */
	void (*note)(int result, const char *text, void *user);
	void *user;
};
/* `o` is copied. Fails only for options that no runtime would take (-EINVAL): a runtime that is not there yet is waited for. RUNTIME_UP
 * comes when the runtime has configured us and told its sandboxes, just before SYNCHRONIZE. */
int nri_start(uv_loop_t *loop, const struct nri_options *o, struct nri **ret, struct error *e);
/* No event follows; not from within a callback. Hooks without an answer are dropped; memory is freed from the loop. */
void nri_close(struct nri *n);
void nri_reply(struct nri *n, uint64_t call, const char *error); /* NULL = success; EFFECT_REPLY_HOOK; unknown calls are ignored */
bool nri_connected(const struct nri *n);
