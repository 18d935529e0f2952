/* SPDX-License-Identifier: Apache-2.0 */
/* Cleanup attributes and explicit hand-over: a local owns its resource until TAKE_PTR or TAKE_FD moves it out. */
#pragma once

#include <stdlib.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}
#define _cleanup_free_ _cleanup_(cleanup_freep)

#define TAKE_PTR(p)                                                                                                                        \
	__extension__({                                                                                                                    \
		__typeof__(p) taken_ = (p);                                                                                                \
		(p) = NULL;                                                                                                                \
		taken_;                                                                                                                    \
	})
#define TAKE_FD(fd)                                                                                                                        \
	__extension__({                                                                                                                    \
		int taken_ = (fd);                                                                                                         \
		(fd) = -1;                                                                                                                 \
		taken_;                                                                                                                    \
	})
#define ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
