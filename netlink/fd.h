/* SPDX-License-Identifier: Apache-2.0 */
/* A local descriptor that is closed when its block is left. Negative = none. */
#pragma once

#include <unistd.h>

#include "core/base/cleanup.h"

static inline void fd_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_fd_ _cleanup_(fd_closep)
