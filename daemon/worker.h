/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that does what would block the loop, one job after the other in the order of submission. `work` runs on the thread, `done` on
 * the loop afterwards. The daemon has two: one moves devices (the kernel serialises moves under RTNL anyway), one writes records. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "core/base/error.h"

struct worker;

/* First member of a job; the job belongs to the worker from submit until `done` is called. */
struct worker_job {
	struct worker_job *next;
	void (*work)(struct worker_job *job);
	void (*done)(struct worker_job *job);
};

/* `name` is the thread's, at most 15 bytes. The thread takes no signals. */
int worker_new(uv_loop_t *loop, const char *name, struct worker **ret, struct error *e);
void worker_submit(struct worker *w, struct worker_job *job);
/* Jobs whose `done` has not been called yet. */
size_t worker_pending(const struct worker *w);
/* For a job at work that could wait: nobody waits behind it. */
bool worker_is_idle_behind(struct worker *w);
/* Do what is queued, call each `done`, end the thread and free everything (the handle's memory from the loop). Blocks for as long as the
 * queued jobs take: call it when worker_pending() is 0, or at the very end. NULL allowed. */
void worker_close(struct worker *w);
