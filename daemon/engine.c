/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/filter.h"
#include "daemon/engine_private.h"

enum { DRAIN_MS = 10000 };

double engine_unix_time(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

uint64_t engine_backoff(unsigned failures)
{
	return failures >= 5 ? 30000 : 1000ULL << failures;
}

void engine_timer(struct engine *g, enum engine_timer timer, uint64_t delay_ms, uv_timer_cb callback)
{
	uv_timer_start(&g->timers[timer], callback, delay_ms, 0);
}

/* ---- events ---------------------------------------------------------------------------------------------------------------------- */

static void on_core_timer(uv_timer_t *timer)
{
	engine_feed(timer->data, &(struct event){.type = EVENT_TICK});
}

static void arm_core_timer(struct engine *g)
{
	uint64_t at = core_deadline(g->core), now = uv_now(g->loop);
	if (at == UINT64_MAX)
		uv_timer_stop(&g->timers[TIMER_CORE]);
	else
		engine_timer(g, TIMER_CORE, at > now ? at - now : 0, on_core_timer);
}

/* Borrowed parts of the effects are valid until the next core_step(), so all of them are performed before it. */
static void take_event(struct engine *g, struct event *e)
{
	struct effects fx = {0};
	e->now = uv_now(g->loop);
	g->metrics.events++;
	core_step(g->core, e, &fx);
	for (size_t i = 0; i < fx.n; i++)
		engine_perform(g, &fx.v[i]);
	effects_free(&fx);
}

void engine_feed(struct engine *g, struct event *e)
{
	if (g->drained)
		return;
	if (g->busy) {
		/* An event that is lost would leave a caller waiting for ever; a restart is safe at any instruction. */
		if (event_queue_push(&g->queue, e) < 0) {
			log_write(LOG_CRIT, LOG_KIND_INTERNAL, NULL, "out of memory");
			abort();
		}
		return;
	}
	g->busy = true;
	take_event(g, e);
	for (struct event *next; (next = event_queue_first(&g->queue)); event_queue_pop(&g->queue))
		take_event(g, next);
	g->busy = false;
	engine_look_sriov_again(g);
	if (!uv_is_closing((uv_handle_t *)&g->timers[TIMER_CORE]))
		arm_core_timer(g);
	engine_tell_status(g);
}

void engine_done(struct engine *g, uint64_t op, int result, const char *error)
{
	if (op)
		engine_feed(g,
		            &(struct event){.type = EVENT_DONE, .done = {.op = op, .result = result, .error = result < 0 ? error : NULL}});
}

/* ---- start ----------------------------------------------------------------------------------------------------------------------- */

static void on_record(struct claim_record *r, void *user)
{
	struct engine *g = user;
	char(*uids)[UID_SIZE] = reallocarray(g->claims_on_disk, g->n_claims_on_disk + 1, sizeof(*uids));
	if (!uids)
		abort(); /* not yet serving anybody */
	g->claims_on_disk = uids;
	STR_COPY(uids[g->n_claims_on_disk], r->ref.uid);
	g->n_claims_on_disk++;
	engine_feed(g, &(struct event){.type = EVENT_RECORD, .record = r});
}

static void on_broken(const char *file, const char *why, void *user)
{
	(void)user;
	log_write(LOG_ERR, LOG_KIND_STORE, NULL, "record set aside as %s: %s", file, why);
}

static bool is_on_disk(const char *uid, void *user)
{
	const struct engine *g = user;
	for (size_t i = 0; i < g->n_claims_on_disk; i++)
		if (strcmp(g->claims_on_disk[i], uid) == 0)
			return true;
	return false;
}

/* Before anything else runs: what an earlier run left. */
static int recover(struct engine *g, struct error *e)
{
	const struct store_callbacks callbacks = {.record = on_record, .broken = on_broken, .user = g};
	int r = store_load(g->store, &callbacks, e);
	if (r == 0)
		r = cdi_sweep(g->cdi, is_on_disk, g, e);
	if (r < 0)
		return r;
	if (g->metadata)
		metadata_sweep(g->metadata, is_on_disk, g);
	if (g->n_claims_on_disk)
		log_write(LOG_INFO, LOG_KIND_STORE, NULL, "%zu prepared claims found on disk", g->n_claims_on_disk);
	free(TAKE_PTR(g->claims_on_disk));
	g->n_claims_on_disk = 0;
	engine_feed(g, &(struct event){.type = EVENT_RECOVERED});
	return 0;
}

/* Records of another boot tell of namespaces that are dead and of a host that was configured afresh. */
static void read_boot_id(char *id, size_t size)
{
	id[0] = '\0';
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (f && fgets(id, (int)size, f))
		id[strcspn(id, "\n")] = '\0';
	if (f)
		fclose(f);
}

static int start_core(struct engine *g, struct error *e)
{
	const struct options *o = g->options;
	int r = filter_compile(o->filter, &g->filter, NULL, e);
	if (r < 0) {
		error_prefix(e, "--filter");
		return r;
	}
	const struct core_options options = {.driver = o->driver_name,
	                                     .node = o->node,
	                                     .boot_id = g->boot_id,
	                                     .filter = g->filter,
	                                     .synchronous_hooks = o->synchronous_hooks};
	read_boot_id(g->boot_id, sizeof(g->boot_id));
	r = core_new(&options, &g->core);
	return r < 0 ? error_set(e, r, "the state machine cannot be made: %s", strerror(-r)) : 0;
}

/* What may be done beside another instance that is at work: it changes nothing, and shows now what would fail later. */
static int start_inner(struct engine *g, struct error *e)
{
	const struct options *o = g->options;
	int r = start_core(g, e);
	if (r == 0)
		r = store_open(o->state_dir, &g->store, e);
	if (r == 0)
		r = sysfs_open("/sys", &g->sysfs, e);
	if (r == 0)
		r = mover_new(g->sysfs, &g->mover, e);
	if (r == 0)
		r = device_mover_new(g->mover, &g->devices, e);
	if (r == 0)
		r = worker_new(g->loop, "dranetd-mover", &g->mover_worker, e);
	if (r == 0)
		r = worker_new(g->loop, "dranetd-disk", &g->disk_worker, e);
	if (r == 0)
		r = notify_new(g->loop, &g->notify, e);
	if (r == 0)
		r = engine_load_sriov(g, e);
	return r == 0 ? engine_start_api(g, e) : r;
}

static int start_outer(struct engine *g, struct error *e)
{
	const struct options *o = g->options;
	int r = cdi_open(o->cdi_dir, o->state_dir, o->driver_name, &g->cdi, e);
	if (r == 0 && o->device_metadata)
		r = metadata_open(o->state_dir, o->driver_name, &g->metadata, e);
	if (r == 0)
		r = engine_start_pages(g, e);
	if (r == 0)
		r = recover(g, e);
	return r < 0 ? r : engine_start_monitor(g, e);
}

/* ---- standing by ----------------------------------------------------------------------------------------------------------------- */

struct standby_job {
	struct worker_job job;
	struct engine *engine;
	int result;
	struct error error;
};

static void standby_work(struct worker_job *job)
{
	struct standby_job *j = (struct standby_job *)job;
	j->result = store_wait_lock(j->engine->store, &j->error);
}

static void standby_done(struct worker_job *job)
{
	struct standby_job *j = (struct standby_job *)job;
	struct engine *g = j->engine;
	struct error e = j->error;
	int r = j->result;
	free(j);
	g->standby = false;
	if (g->stopping) {
		engine_check_drained(g);
		return;
	}
	if (r == 0) {
		log_write(LOG_NOTICE, LOG_KIND_START, NULL, "the other dranetd has ended: taking over");
		r = start_outer(g, &e);
	}
	if (r < 0) {
		log_write(LOG_CRIT, LOG_KIND_START, &(struct log_about){.result = r}, "cannot take over: %s", e.text);
		engine_fail(g);
	}
}

/* A rolling update starts the new instance while the old one still serves. Two must never act on one device, so the new one waits: with no
 * socket of its own, also not that of the pages. On the host's network the probes of both reach the old one's, which calls the new one
 * ready; then the old one is told to end. */
static int stand_by(struct engine *g, const char *why, struct error *e)
{
	struct standby_job *j = calloc(1, sizeof(*j));
	if (!j)
		return error_set(e, -ENOMEM, "out of memory");
	j->job.work = standby_work;
	j->job.done = standby_done;
	j->engine = g;
	g->standby = true;
	log_write(LOG_NOTICE, LOG_KIND_START, NULL, "%s: standing by until it ends", why);
	notify_status(g->notify, "standing by: %s", why);
	worker_submit(g->disk_worker, &j->job);
	return 0;
}

static int start_parts(struct engine *g, struct error *e)
{
	struct error ours = {0};
	int r = start_inner(g, e);
	if (r < 0)
		return r;
	r = store_lock(g->store, &ours);
	if (r == -EBUSY)
		return stand_by(g, ours.text, e);
	return r < 0 ? error_set(e, r, "%s", ours.text) : start_outer(g, e);
}

static void close_all(struct engine *g)
{
	engine_close_intake(g);
	engine_close_leases(g);
	engine_close_peers(g);
	for (int i = 0; i < TIMER_MAX; i++)
		uv_close((uv_handle_t *)&g->timers[i], NULL);
	notify_close(TAKE_PTR(g->notify));
	netns_table_free(&g->namespaces);
	g->drained = true;
}

int engine_start(uv_loop_t *loop, const struct options *options, const struct engine_callbacks *callbacks, struct engine **ret,
                 struct error *e)
{
	struct engine *g = calloc(1, sizeof(*g));
	if (!g)
		return error_set(e, -ENOMEM, "out of memory");
	g->loop = loop;
	g->options = options;
	g->callbacks = *callbacks;
	for (int i = 0; i < TIMER_MAX; i++) {
		uv_timer_init(loop, &g->timers[i]);
		g->timers[i].data = g;
	}
	int r = start_parts(g, e);
	if (r < 0) {
		close_all(g);
		engine_close_sriov(g, true);
		worker_close(TAKE_PTR(g->mover_worker));
		worker_close(TAKE_PTR(g->disk_worker));
		uv_run(loop, UV_RUN_DEFAULT); /* the closing handles live in `g` */
		engine_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

/* ---- stop ------------------------------------------------------------------------------------------------------------------------ */

static void finish(struct engine *g, bool clean)
{
	if (g->drained)
		return;
	close_all(g);
	engine_close_sriov(g, clean);
	if (clean) {
		worker_close(TAKE_PTR(g->mover_worker));
		worker_close(TAKE_PTR(g->disk_worker));
	}
	g->callbacks.ended(!clean ? ENGINE_STUCK : g->failed ? ENGINE_FAILED : ENGINE_STOPPED, g->callbacks.user);
}

static bool is_idle(const struct engine *g)
{
	return worker_pending(g->mover_worker) == 0 && worker_pending(g->disk_worker) == 0 && engine_sriov_pending(g) == 0;
}

static void on_drain(uv_timer_t *timer)
{
	struct engine *g = timer->data;
	uint64_t now = uv_now(g->loop);
	engine_close_intake(g);
	if (g->standby) { /* its thread waits for a lock that we do not want any more */
		finish(g, false);
	} else if (is_idle(g)) {
		finish(g, true);
	} else if (now < g->drain_deadline) {
		engine_timer(g, TIMER_DRAIN, g->drain_deadline - now, on_drain);
	} else {
		log_write(LOG_ERR, LOG_KIND_STOP, NULL,
		          "%zu moves, %zu record writes and %zu PFs did not finish in time; the next start looks after them",
		          worker_pending(g->mover_worker), worker_pending(g->disk_worker), engine_sriov_pending(g));
		finish(g, false);
	}
}

/* Not at once: the worker that called is still at work with its own list. */
void engine_check_drained(struct engine *g)
{
	if (g->stopping && !g->drained && is_idle(g))
		engine_timer(g, TIMER_DRAIN, 0, on_drain);
}

void engine_stop(struct engine *g)
{
	if (g->stopping)
		return;
	g->stopping = true;
	notify_stopping(g->notify);
	g->drain_deadline = uv_now(g->loop) + DRAIN_MS;
	/* From a timer of its own, because the caller may be a callback of an adapter that is going to be closed. */
	engine_timer(g, TIMER_DRAIN, 0, on_drain);
}

void engine_fail(struct engine *g)
{
	g->failed = true;
	engine_stop(g);
}

void engine_free(struct engine *g)
{
	if (!g)
		return;
	engine_free_api_ops(g);
	event_queue_free(&g->queue);
	core_free(g->core);
	filter_free(g->filter);
	device_mover_free(g->devices);
	mover_free(g->mover);
	sysfs_close(g->sysfs);
	rdma_table_free(&g->rdma);
	cdi_close(g->cdi);
	metadata_close(g->metadata);
	store_close(g->store);
	calls_free(&g->calls);
	free(g->claims_on_disk);
	free(g);
}
