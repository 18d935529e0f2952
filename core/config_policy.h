/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of the opaque configuration as a Kubernetes ValidatingAdmissionPolicy, so that a wrong configuration is refused when the claim
 * is made rather than when its pod starts. The rows of config_schema.c become CEL expressions; what CEL cannot say is left to the driver,
 * which has the last word. It needs the IP and CIDR libraries of Kubernetes 1.30; DRA's v1beta1 came with 1.32. */
#pragma once

#include "core/base/buf.h"

/* The policy and its binding as YAML, for the configurations of `driver`. */
void config_policy_print(const char *driver, struct buf *ret);
