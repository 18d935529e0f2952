/* SPDX-License-Identifier: Apache-2.0 */
/* NRI's messages: bytes to plain data and back, without sockets. What comes is refused with a text that names the field. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/core.h"

/* Whether a pod has a claim here. Of a pod that has none nothing but its uid is looked at: it is not ours to refuse. */
struct nri_pods {
	bool (*know)(const char *pod_uid, void *user);
	/* Whether a claim is prepared here for this pod. */
	bool (*owns)(const char *pod_uid, const char *claim_uid, void *user);
	const char *driver;
	void *user;
};

struct nri_configuration {
	char runtime[64], version[64], nri_version[64]; /* for people; "" = not told */
	uint32_t request_timeout_ms;                    /* 0 = not told (NRI < 0.7) */
};
int nri_decode_configure(const uint8_t *data, size_t len, struct nri_configuration *ret, struct error *e);

/* RunPodSandbox, StopPodSandbox, RemovePodSandbox and CreateContainer. 1: *ret is the sandbox of a pod we know; 0: the pod has no claim;
 * -EINVAL, -EBADMSG, -E2BIG. A pod without a uid was not made by a kubelet, so it has no claim.
 * -EPERM: the container carries the mark that the CDI spec of a claim puts on it (daemon/cdi.h), and the claim is another pod's. The
 * kubelet does not prepare a claim a second time for a second pod, so that pod's container comes with a CDI id that resolves and would run
 * without the device. */
int nri_decode_hook(const uint8_t *data, size_t len, const struct nri_pods *pods, struct sandbox *ret, struct error *e);
/* StateChange of runtimes before 0.12: the same for the first three events, of which *type is told whatever the result; 0 for any other
 * event, and *type stays as it is. */
int nri_decode_state_change(const uint8_t *data, size_t len, const struct nri_pods *pods, enum event_type *type, struct sandbox *ret,
                            struct error *e);

/* The runtime's list, which may come in pieces. It is of all sandboxes that could be a claim's; one of a pod we know that cannot be read
 * fails the whole, because leaving it out would say that it is gone. */
enum { NRI_SANDBOXES_MAX = 8192 };
struct nri_sandboxes {
	struct sandbox *v;
	size_t n, cap;
};
void nri_sandboxes_free(struct nri_sandboxes *s);
int nri_decode_synchronize(const uint8_t *data, size_t len, const struct nri_pods *pods, struct nri_sandboxes *add, bool *more,
                           struct error *e);

void nri_encode_register(const char *name, const char *index, struct buf *to);
void nri_encode_configured(struct buf *to);
void nri_encode_synchronized(bool more, struct buf *to);
