/* SPDX-License-Identifier: Apache-2.0 */
/* Entering a network namespace with the calling thread, for the few things that only exist there (opening a socket, /proc/sys/net), and
 * coming back. */
#pragma once

#include "core/base/error.h"

/* A descriptor of the calling thread's own network namespace. */
int netns_open_own(int *ret_fd, struct error *e);
int netns_enter(int netns_fd, struct error *e);
/* Back home, or the process ends: a thread that stays in a pod's namespace would move, configure and publish the wrong devices. */
void netns_return(int home_fd);
