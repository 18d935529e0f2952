/* SPDX-License-Identifier: Apache-2.0 */
/* The API objects dranetd reads and writes, on top of k8s/api.h: ResourceClaims (read, status), own ResourceSlices, the Node's UID, Events.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "k8s/api.h"

/* Decode the driver's part of a ResourceClaim (v1, v1beta2, v1beta1 alike; protocols §4.4). Everything is bounded and checked (lengths,
 * counts, UTF-8). Opaque parameters become value trees; a document that does not parse (duplicate keys included) leaves parse_error. */
int claim_object_decode(json_t *object, const char *driver, struct claim_object *ret, struct error *e);
int value_from_json(json_t *json, struct value *ret); /* -E2BIG deeper than 32 or more than 4096 values */

/* GET a claim; `done` gets what EVENT_CLAIM_READ needs. */
int claim_get(struct api *a, const char *driver, const struct claim_ref *claim,
              void (*done)(int result, const char *error, struct claim_object *object, void *user), void *user);

/* Server-side apply of status.devices (protocols §4.5): our entries only, none removes them. Conditions keep their lastTransitionTime when
 * the status did not change (the caller's cache is inside). result: 0; -ENOENT claim gone; -ESTALE another claim under the name or
 * deallocated meanwhile (409, 422 about devices); -EACCES; else transport. `now_s` is Unix time. */
int status_apply(struct api *a, const char *driver, const struct claim_ref *claim, const struct device_status *devices, size_t n,
                 int64_t now_s, void (*done)(int result, const char *error, void *user), void *user);

/* Events on claims and pods (core/v1). Fire and forget with a bounded queue; equal events within ten minutes are counted up (PATCH), as
 * client libraries do. */
struct recorder;
int recorder_new(struct api *a, const char *component, const char *node, struct recorder **ret);
void recorder_close(struct recorder *r);
void recorder_emit(struct recorder *r, enum subject subject, const struct claim_ref *claim, const struct pod_ref *pod, const char *reason,
                   const char *message, int64_t now_s);

/* Publishing: the own-slice list+watch, and writes only where the API server's copy differs from what core wants (protocols §1.6, §4.3;
 * dranet-behaviour §2.11). Slices that were wiped (kubelet does at its start, and 30 s after losing us) are made again. */
struct publisher;
struct publisher_options {
	const char *driver, *node;
	size_t (*slices)(void *user);
	void (*slice)(size_t index, struct slice_view *ret, void *user);
	uint64_t (*version)(size_t index, void *user);             /* another one each time the slice may say something else */
	void (*published)(uint64_t revision, void *user);          /* the API server holds exactly this */
	void (*trouble)(int result, const char *text, void *user); /* told once per outage; 0 = recovered */
	void *user;
};
int publisher_start(struct api *a, const struct publisher_options *o, struct publisher **ret, struct error *e);
void publisher_close(struct publisher *p);
/* EFFECT_PUBLISH: look again. Nothing is written before the first call, nor while there is no slice. */
void publisher_changed(struct publisher *p, uint64_t revision);
