/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "daemon/worker.h"

enum { STACK_SIZE = 256 << 10 };

struct job_list {
	struct worker_job *first, **last;
};

struct worker {
	uv_async_t async;
	uv_thread_t thread;
	uv_mutex_t mutex; /* over the three below */
	uv_cond_t wake;
	struct job_list queued, finished;
	bool stopping;
	size_t pending; /* loop only */
	char name[16];
};

static void list_init(struct job_list *l)
{
	l->first = NULL;
	l->last = &l->first;
}

static void list_add(struct job_list *l, struct worker_job *job)
{
	job->next = NULL;
	*l->last = job;
	l->last = &job->next;
}

static struct worker_job *list_take(struct job_list *l)
{
	struct worker_job *job = l->first;
	if (job && !(l->first = job->next))
		l->last = &l->first;
	return job;
}

static void worker_main(void *arg)
{
	struct worker *w = arg;
	pthread_setname_np(pthread_self(), w->name);
	uv_mutex_lock(&w->mutex);
	for (;;) {
		struct worker_job *job = list_take(&w->queued);
		if (job) {
			uv_mutex_unlock(&w->mutex);
			job->work(job);
			uv_mutex_lock(&w->mutex);
			list_add(&w->finished, job);
			uv_async_send(&w->async);
		} else if (w->stopping) {
			break;
		} else {
			uv_cond_wait(&w->wake, &w->mutex);
		}
	}
	uv_mutex_unlock(&w->mutex);
}

static void finish_jobs(struct worker *w)
{
	for (;;) {
		uv_mutex_lock(&w->mutex);
		struct worker_job *job = list_take(&w->finished);
		uv_mutex_unlock(&w->mutex);
		if (!job)
			return;
		w->pending--;
		job->done(job);
	}
}

static void on_async(uv_async_t *async)
{
	finish_jobs(async->data);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static int start_thread(struct worker *w)
{
	const uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE, .stack_size = STACK_SIZE};
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = uv_thread_create_ex(&w->thread, &options, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int worker_new(uv_loop_t *loop, const char *name, struct worker **ret, struct error *e)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i + 1 < sizeof(w->name) && name[i]; i++)
		w->name[i] = name[i];
	list_init(&w->queued);
	list_init(&w->finished);
	int r = uv_async_init(loop, &w->async, on_async);
	if (r < 0) {
		free(w);
		return error_set(e, r, "worker \"%s\": %s", name, uv_strerror(r));
	}
	w->async.data = w;
	/* libuv's mutexes cannot fail on Linux but for a lack of memory that it aborts on. */
	uv_mutex_init(&w->mutex);
	uv_cond_init(&w->wake);
	r = start_thread(w);
	if (r < 0) {
		uv_cond_destroy(&w->wake);
		uv_mutex_destroy(&w->mutex);
		uv_close((uv_handle_t *)&w->async, on_closed);
		return error_set(e, r, "worker \"%s\": thread: %s", name, uv_strerror(r));
	}
	*ret = w;
	return 0;
}

void worker_submit(struct worker *w, struct worker_job *job)
{
	w->pending++;
	uv_mutex_lock(&w->mutex);
	list_add(&w->queued, job);
	uv_cond_signal(&w->wake);
	uv_mutex_unlock(&w->mutex);
}

size_t worker_pending(const struct worker *w)
{
	return w->pending;
}

bool worker_is_idle_behind(struct worker *w)
{
	uv_mutex_lock(&w->mutex);
	bool idle = !w->queued.first;
	uv_mutex_unlock(&w->mutex);
	return idle;
}

void worker_close(struct worker *w)
{
	if (!w)
		return;
	uv_mutex_lock(&w->mutex);
	w->stopping = true;
	uv_cond_signal(&w->wake);
	uv_mutex_unlock(&w->mutex);
	uv_thread_join(&w->thread);
	finish_jobs(w);
	uv_cond_destroy(&w->wake);
	uv_mutex_destroy(&w->mutex);
	uv_close((uv_handle_t *)&w->async, on_closed);
}
