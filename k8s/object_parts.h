/* SPDX-License-Identifier: Apache-2.0 */
/* Parts that several API objects have in common, as JSON. NULL = no memory. */
#pragma once

#include <jansson.h>

#include "core/claim.h"

json_t *attribute_encode(const struct attribute *at);     /* resource.k8s.io DeviceAttribute */
json_t *network_data_encode(const struct pod_state *pod); /* resource.k8s.io NetworkDeviceData */
