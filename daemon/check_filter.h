/* SPDX-License-Identifier: Apache-2.0 */
/* `dranetd --check-filter EXPRESSION`: what a filter would do on this node, and why. It looks at the node's devices once, through the
 * monitor and the inventory that the daemon itself uses, and touches nothing: no API server, no kubelet, no runtime, no state directory.
 * So it runs beside a daemon, and as an ordinary user. */
#pragma once

#include "daemon/options.h"

/* The process's exit status: 0, 1 when the devices cannot be read, 2 for an expression that does not compile. */
int check_filter(const struct options *options);
