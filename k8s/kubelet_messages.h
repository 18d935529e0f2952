/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelet's messages: bytes to plain data and back, without sockets. What comes is refused with a text that names the field. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/core.h"

/* A request names one pod's claims of one driver (protocols §2.3); a pod has a handful. */
enum { KUBELET_CLAIMS_MAX = 512 };

/* NodePrepareResourcesRequest and NodeUnprepareResourcesRequest. -EINVAL: too many claims, a uid twice, a broken field; -EBADMSG, -E2BIG.
 */
int kubelet_decode_claims(const uint8_t *data, size_t len, struct claim_ref ret[KUBELET_CLAIMS_MAX], size_t *n, struct error *e);
/* The replies; `with_share_id` is false for v1beta1. Look at `to->failed` afterwards. */
void kubelet_encode_prepared(const struct claim_answer *answers, size_t n, bool with_share_id, struct buf *to);
void kubelet_encode_unprepared(const struct claim_answer *answers, size_t n, struct buf *to);

void kubelet_encode_info(const char *driver, const char *endpoint, struct buf *to);
/* RegistrationStatus. A text that is no text is replaced rather than refused: the verdict beside it counts. */
enum { KUBELET_ERROR_SIZE = 512 };
int kubelet_decode_status(const uint8_t *data, size_t len, bool *registered, char error[KUBELET_ERROR_SIZE], struct error *e);

int kubelet_decode_watch(const uint8_t *data, size_t len, struct error *e);
/* One device as a NodeWatchResourcesResponse, healthy without `trouble`. Appending one after the other makes the list: repeated fields of
 * concatenated messages are one list. `now` is in seconds since 1970. */
enum { KUBELET_HEALTH_TIMEOUT_S = 3600 };
void kubelet_encode_health(const char *pool, const char *device, const char *trouble, int64_t now, struct buf *to);
