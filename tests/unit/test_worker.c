/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/worker.h"

enum { JOBS = 1000 };

struct test_job {
	struct worker_job job;
	int number, *order, *next;
	pthread_t worked_on, done_on;
	size_t stack;
	int blocked, more;
	bool idle_behind;
	struct worker *worker;
	struct test_job *then;
	uv_sem_t *gate;
};

static void work(struct worker_job *job)
{
	struct test_job *j = (struct test_job *)job;
	sigset_t now;
	if (j->gate)
		uv_sem_wait(j->gate);
	j->idle_behind = j->worker && worker_is_idle_behind(j->worker);
	j->worked_on = pthread_self();
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	j->blocked = sigismember(&now, SIGTERM) && sigismember(&now, SIGINT);
	pthread_attr_t attributes;
	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &j->stack);
	pthread_attr_destroy(&attributes);
	j->order[(*j->next)++] = j->number; /* the worker's thread alone touches it until all is done */
}

static void done(struct worker_job *job)
{
	struct test_job *j = (struct test_job *)job;
	j->done_on = pthread_self();
	if (j->then)
		worker_submit(j->worker, &j->then->job);
}

static struct test_job *make_jobs(int *order, int *next, size_t n)
{
	struct test_job *jobs = test_calloc(n, sizeof(*jobs));
	for (size_t i = 0; i < n; i++) {
		jobs[i].job.work = work;
		jobs[i].job.done = done;
		jobs[i].number = (int)i;
		jobs[i].order = order;
		jobs[i].next = next;
	}
	return jobs;
}

static void test_order_and_threads(void **state)
{
	static int order[JOBS];
	int next = 0;
	uv_loop_t loop;
	struct worker *w;
	struct test_job *jobs = make_jobs(order, &next, JOBS);
	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(worker_new(&loop, "test-worker", &w, NULL), 0);
	for (int i = 0; i < JOBS; i++)
		worker_submit(w, &jobs[i].job);
	assert_int_equal(worker_pending(w), JOBS);
	while (worker_pending(w))
		uv_run(&loop, UV_RUN_ONCE);
	for (int i = 0; i < JOBS; i++) {
		assert_int_equal(order[i], i);
		assert_true(pthread_equal(jobs[i].done_on, pthread_self()));
		assert_false(pthread_equal(jobs[i].worked_on, pthread_self()));
		assert_true(jobs[i].blocked);
		assert_true(jobs[i].stack <= 512 << 10);
	}
	worker_close(w);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	test_free(jobs);
}

/* A job's `done` may submit the next one. */
static void test_chain(void **state)
{
	int order[3], next = 0;
	uv_loop_t loop;
	struct worker *w;
	struct test_job *jobs = make_jobs(order, &next, 3);
	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(worker_new(&loop, "test-worker", &w, NULL), 0);
	for (int i = 0; i < 3; i++)
		jobs[i].worker = w;
	jobs[0].then = &jobs[1];
	jobs[1].then = &jobs[2];
	worker_submit(w, &jobs[0].job);
	while (worker_pending(w))
		uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(next, 3);
	worker_close(w);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	test_free(jobs);
}

/* Closing does what is queued and calls each `done`. */
static void test_close_finishes(void **state)
{
	int order[4], next = 0;
	uv_loop_t loop;
	uv_sem_t gate;
	struct worker *w;
	struct test_job *jobs = make_jobs(order, &next, 4);
	(void)state;
	uv_loop_init(&loop);
	uv_sem_init(&gate, 0);
	jobs[0].gate = &gate;
	assert_int_equal(worker_new(&loop, "test-worker", &w, NULL), 0);
	for (int i = 0; i < 4; i++) {
		jobs[i].worker = w;
		worker_submit(w, &jobs[i].job);
	}
	uv_sem_post(&gate);
	worker_close(w);
	assert_int_equal(next, 4);
	for (int i = 0; i < 4; i++) {
		assert_true(pthread_equal(jobs[i].done_on, pthread_self()));
		assert_int_equal(jobs[i].idle_behind, i == 3);
	}
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	uv_sem_destroy(&gate);
	worker_close(NULL);
	test_free(jobs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_order_and_threads),
	    cmocka_unit_test(test_chain),
	    cmocka_unit_test(test_close_finishes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
