/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelet's services: plugin registration, DRA v1 and v1beta1, DRA health v1 and v1alpha1 (protocols §1, §2). All four versions are
 * served on the DRA socket; registration has its own socket in the plugin registry. Decodes requests to core events and core's answers to
 * replies. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/core.h"

struct kubelet;

struct kubelet_options {
	const char *driver;
	const char *node;     /* also the pool's name, for the health stream */
	const char *root;     /* kubelet's --root-dir, "/var/lib/kubelet" */
	const char *instance; /* "" = fixed socket names; else part of them (rolling updates) */
	/* EVENT_PREPARE and EVENT_UNPREPARE; the event's contents are valid during the call. */
	void (*event)(struct event *e, void *user);
	/* kubelet told whether registration worked; false without a text: its socket was taken away, and is made again. */
	void (*registered)(bool ok, const char *error, void *user);
	/* All devices for the health stream: call `add` for each (called when a stream opens and when kubelet_health_changed is called).
	 * `trouble` says what is wrong with an unhealthy one; NULL = it is healthy. */
	void (*health)(void (*add)(const char *device, const char *trouble, void *to), void *to, void *user);
	void *user;
};
/* Makes <root>/plugins/<driver> (0750), listens on the DRA socket, then on the registration socket. <root> and <root>/plugins_registry are
 * the kubelet's to make: -ENOENT says which is missing. -ENAMETOOLONG when a socket's path passes the 107 bytes of a unix socket. `o` is
 * copied. When a socket's file is taken away later, by a kubelet that makes its directories anew or by the end of another instance that had
 * put its own there, it is made again. */
int kubelet_start(uv_loop_t *loop, const struct kubelet_options *o, struct kubelet **ret, struct error *e);
void kubelet_close(struct kubelet *k); /* removes both sockets; memory is freed from the loop */
/* Answers of core, from EFFECT_REPLY_PREPARE and EFFECT_REPLY_UNPREPARE. */
void kubelet_reply_prepare(struct kubelet *k, uint64_t call, const struct claim_answer *answers, size_t n);
void kubelet_reply_unprepare(struct kubelet *k, uint64_t call, const struct claim_answer *answers, size_t n);
void kubelet_health_changed(struct kubelet *k);
