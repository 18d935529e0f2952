/* SPDX-License-Identifier: Apache-2.0 */
/* The open health streams (DRAResourceHealth.NodeWatchResources, protocols §2.6): each gets the full list of devices at once, when it
 * changed, and before the timeout it states runs out. One that is left out keeps its health at the kubelet until that timeout, so what is
 * gone from a pod must be told as unhealthy. */
#pragma once

#include <uv.h>

#include "transport/grpc_server.h"

struct kubelet_health;
struct kubelet_options;

/* `options` is kept by reference: node, health and user are used. */
int kubelet_health_new(uv_loop_t *loop, const struct kubelet_options *options, struct kubelet_health **ret);
void kubelet_health_open(struct kubelet_health *h, struct grpc_call *call); /* takes the call over */
void kubelet_health_look(struct kubelet_health *h);                         /* the list to all streams, if it changed */
void kubelet_health_close(struct kubelet_health *h);                        /* ends all streams; memory is freed from the loop */
