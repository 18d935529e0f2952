/* SPDX-License-Identifier: Apache-2.0 */
/* What is done for each effect of core, but the moves (engine_moves.c). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/engine_private.h"
#include "daemon/mark.h"
#include "daemon/record.h"

/* ---- API server ------------------------------------------------------------------------------------------------------------------ */

static struct api_op *api_op_new(struct engine *g, uint64_t op, const struct claim_ref *claim)
{
	struct api_op *o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->engine = g;
	o->op = op;
	o->claim = *claim;
	o->next = g->api_ops;
	o->link = &g->api_ops;
	if (o->next)
		o->next->link = &o->next;
	g->api_ops = o;
	return o;
}

static void api_op_free(struct api_op *o)
{
	*o->link = o->next;
	if (o->next)
		o->next->link = o->link;
	free(o);
}

void engine_free_api_ops(struct engine *g)
{
	while (g->api_ops)
		api_op_free(g->api_ops);
}

static void on_claim(int result, const char *error, struct claim_object *object, void *user)
{
	struct api_op *o = user;
	struct engine *g = o->engine;
	struct event e = {.type = EVENT_CLAIM_READ,
	                  .claim_read = {.op = o->op, .result = result, .error = error, .object = result < 0 ? NULL : object}};
	if (result < 0)
		log_write(LOG_WARNING, LOG_KIND_API, &(struct log_about){.claim = &o->claim, .result = result},
		          "the claim cannot be read: %s", error ? error : "");
	api_op_free(o);
	engine_feed(g, &e);
}

static void perform_claim_get(struct engine *g, struct effect *f)
{
	struct api_op *o = api_op_new(g, f->op, &f->claim_get);
	int r = !o ? -ENOMEM : claim_get(g->api, g->options->driver_name, &f->claim_get, on_claim, o);
	if (r == 0)
		return;
	if (o)
		api_op_free(o);
	engine_feed(g, &(struct event){.type = EVENT_CLAIM_READ,
	                               .claim_read = {.op = f->op, .result = r, .error = "the request to the API server cannot be made"}});
}

static void on_status(int result, const char *error, void *user)
{
	struct api_op *o = user;
	struct engine *g = o->engine;
	uint64_t op = o->op;
	if (result < 0) {
		g->metrics.status_failures++;
		/* Gone or given to somebody else meanwhile is no trouble: there is nobody left to be told. */
		log_write(result == -ENOENT || result == -ESTALE ? LOG_DEBUG : LOG_WARNING, LOG_KIND_API,
		          &(struct log_about){.claim = &o->claim, .result = result}, "the claim's status cannot be written: %s",
		          error ? error : "");
	}
	api_op_free(o);
	engine_done(g, op, result, error);
}

static void perform_status(struct engine *g, struct effect *f)
{
	if (g->kubelet)
		kubelet_health_changed(g->kubelet);
	struct api_op *o = api_op_new(g, f->op, &f->status.claim);
	int r = !o ? -ENOMEM
	           : status_apply(g->api, g->options->driver_name, &f->status.claim, f->status.devices, f->status.n,
	                          (int64_t)engine_unix_time(), on_status, o);
	if (r == 0)
		return;
	if (o)
		api_op_free(o);
	engine_done(g, f->op, r, "the request to the API server cannot be made");
}

static void perform_event(struct engine *g, struct effect *f)
{
	log_write(LOG_WARNING, LOG_KIND_EVENT, &(struct log_about){.claim = &f->event.claim, .pod = &f->event.pod}, "%s: %s",
	          f->event.reason, f->event.message ? f->event.message : "");
	if (g->recorder)
		recorder_emit(g->recorder, f->event.subject, &f->event.claim, &f->event.pod, f->event.reason, f->event.message,
		              (int64_t)engine_unix_time());
}

static void perform_publish(struct engine *g, struct effect *f)
{
	g->publish_revision = f->publish.revision;
	if (g->publisher)
		publisher_changed(g->publisher, f->publish.revision);
	if (g->kubelet)
		kubelet_health_changed(g->kubelet);
}

/* ---- namespaces and tokens ------------------------------------------------------------------------------------------------------- */

static int pin(struct engine *g, const struct sandbox *sandbox, uint64_t *ret_inode, struct error *e)
{
	char by_pid[48];
	uint64_t inode = 0;
	int fd = -1, r = error_set(e, -ENOENT, "the runtime named no network namespace");
	if (sandbox->netns[0])
		r = netns_open(sandbox->netns, &fd, &inode, e);
	/* The path may be one that is not mounted here, or gone while the process is not. */
	if (r < 0 && sandbox->pid) {
		snprintf(by_pid, sizeof(by_pid), "/proc/%" PRIu32 "/ns/net", sandbox->pid);
		r = netns_open(by_pid, &fd, &inode, sandbox->netns[0] ? NULL : e);
	}
	if (r < 0)
		return r;
	r = netns_table_put(&g->namespaces, sandbox->id, fd, inode);
	if (r < 0) {
		close(fd);
		return error_set(e, r, "the network namespace cannot be held: %s", strerror(-r));
	}
	*ret_inode = inode;
	return 0;
}

static void perform_pin(struct engine *g, struct effect *f)
{
	struct error e = {0};
	uint64_t inode = 0;
	int r = pin(g, &f->pin, &inode, &e);
	if (r < 0)
		log_write(LOG_WARNING, LOG_KIND_RUNTIME,
		          &(struct log_about){.pod = &f->pin.pod, .sandbox = f->pin.id, .netns = f->pin.netns, .result = r},
		          "the sandbox's network namespace cannot be opened: %s", e.text);
	if (f->op)
		engine_feed(g, &(struct event){.type = EVENT_DONE,
		                               .done = {.op = f->op, .result = r, .error = r < 0 ? e.text : NULL, .netns_inode = inode}});
}

static void perform_unpin(struct engine *g, struct effect *f)
{
	netns_table_drop(&g->namespaces, f->unpin);
	engine_done(g, f->op, 0, NULL);
}

/* The files that a spec mounts are there before a final one. They stay when only the spec goes: who began after a start of ours, or after
 * an attach was done again, finds containers that have them mounted, and must write over those. */
static int write_token(struct engine *g, const struct effect *f, struct error *e)
{
	const struct cdi_sandbox sandbox = {f->token.sandbox_pid, f->token.netns_inode};
	struct cdi_mount mounts[CLAIM_DEVICES_MAX];
	const struct cdi_edits edits = {.nodes = f->token.nodes,
	                                .n_nodes = f->token.n_nodes,
	                                .mounts = mounts,
	                                .n_mounts =
	                                    f->token.token == TOKEN_NONE ? 0 : metadata_mounts(g->metadata, f->token.record, mounts)};
	int r = 0;
	if (g->metadata && f->token.token == TOKEN_FINAL)
		r = metadata_write(g->metadata, f->token.record, e);
	else if (g->metadata && !f->token.record->wants_pod)
		r = metadata_remove(g->metadata, f->token.claim.uid, e);
	return r < 0 ? r : cdi_write(g->cdi, f->token.claim.uid, f->token.token, &sandbox, &edits, e);
}

static void perform_token(struct engine *g, struct effect *f)
{
	struct error e = {0};
	int r = write_token(g, f, &e);
	if (r < 0) {
		g->metrics.token_failures++;
		log_write(LOG_ERR, LOG_KIND_TOKEN, &(struct log_about){.claim = &f->token.claim, .result = r}, "%s", e.text);
	}
	engine_done(g, f->op, r, e.text);
}

/* ---- records --------------------------------------------------------------------------------------------------------------------- */

struct disk_job {
	struct worker_job job;
	struct engine *engine;
	uint64_t op;
	struct claim_ref claim;
	char *text; /* NULL = remove */
	size_t len;
	int result;
	struct error error;
};

static void disk_work(struct worker_job *job)
{
	struct disk_job *j = (struct disk_job *)job;
	mark("job", j->text ? "store" : "forget", "begin");
	j->result = j->text ? store_write(j->engine->store, j->claim.uid, j->text, j->len, &j->error)
	                    : store_remove(j->engine->store, j->claim.uid, &j->error);
	mark("job", j->text ? "store" : "forget", "end");
}

static void disk_done(struct worker_job *job)
{
	struct disk_job *j = (struct disk_job *)job;
	struct engine *g = j->engine;
	if (j->result < 0) {
		g->metrics.store_failures++;
		log_write(LOG_ERR, LOG_KIND_STORE, &(struct log_about){.claim = &j->claim, .result = j->result}, "%s", j->error.text);
	}
	engine_done(g, j->op, j->result, j->error.text);
	free(j->text);
	free(j);
	engine_check_drained(g);
}

static void submit_disk_job(struct engine *g, uint64_t op, const struct claim_ref *claim, char *text, size_t len)
{
	struct disk_job *j = calloc(1, sizeof(*j));
	if (!j) {
		free(text);
		engine_done(g, op, -ENOMEM, "out of memory");
		return;
	}
	j->job.work = disk_work;
	j->job.done = disk_done;
	j->engine = g;
	j->op = op;
	j->claim = *claim;
	j->text = text;
	j->len = len;
	worker_submit(g->disk_worker, &j->job);
}

static void perform_store(struct engine *g, struct effect *f)
{
	struct error e = {0};
	char *text = NULL;
	size_t len = 0;
	int r = record_encode(f->store, &text, &len, &e);
	if (r == 0) {
		submit_disk_job(g, f->op, &f->store->ref, text, len);
		return;
	}
	g->metrics.store_failures++;
	log_write(LOG_ERR, LOG_KIND_STORE, &(struct log_about){.claim = &f->store->ref, .result = r}, "%s", e.text);
	engine_done(g, f->op, r, e.text);
}

static void perform_forget(struct engine *g, struct effect *f)
{
	/* Of a claim that had no spec any more when its pod was stopped. What is left is swept by the next start. */
	if (g->metadata)
		(void)metadata_remove(g->metadata, f->forget.uid, NULL);
	submit_disk_job(g, f->op, &f->forget, NULL, 0);
}

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */

static double seconds_since(uint64_t started_ns)
{
	return (double)(uv_hrtime() - started_ns) / 1e9;
}

static void measure_dra_call(struct engine *g, const struct effect *f)
{
	static const char *const names[DRA_METHOD_MAX] = {"NodePrepareResources", "NodeUnprepareResources"};
	struct call call;
	size_t failed = 0;
	for (size_t i = 0; i < f->reply.n; i++)
		failed += f->reply.answers[i].error != NULL;
	if (!calls_end(&g->calls, CALL_KUBELET, f->reply.call, &call))
		return;
	double seconds = seconds_since(call.started_ns);
	metrics_dra_request(&g->metrics, (enum dra_method)call.method, failed == 0, seconds);
	log_write(LOG_DEBUG, LOG_KIND_REQUEST, &(struct log_about){.has_duration = true, .duration_ms = (uint32_t)(seconds * 1000)},
	          "%s: %zu claims, %zu failed", names[call.method], f->reply.n, failed);
	for (size_t i = 0; i < f->reply.n; i++)
		if (f->reply.answers[i].error)
			log_write(LOG_WARNING, LOG_KIND_REQUEST, NULL, "%s: claim %s: %s", names[call.method], f->reply.answers[i].uid,
			          f->reply.answers[i].error);
}

static void perform_reply_prepare(struct engine *g, struct effect *f)
{
	measure_dra_call(g, f);
	if (g->kubelet)
		kubelet_reply_prepare(g->kubelet, f->reply.call, f->reply.answers, f->reply.n);
}

static void perform_reply_unprepare(struct engine *g, struct effect *f)
{
	measure_dra_call(g, f);
	if (g->kubelet)
		kubelet_reply_unprepare(g->kubelet, f->reply.call, f->reply.answers, f->reply.n);
}

static void perform_reply_hook(struct engine *g, struct effect *f)
{
	static const char *const names[HOOK_MAX] = {"RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "CreateContainer"};
	const char *error = f->reply_hook.error;
	struct call call;
	/* The runtime holds a lock for all pods while it waits: answer first, count afterwards. */
	if (g->nri)
		nri_reply(g->nri, f->reply_hook.call, error);
	if (!calls_end(&g->calls, CALL_RUNTIME, f->reply_hook.call, &call))
		return;
	double seconds = seconds_since(call.started_ns);
	metrics_hook(&g->metrics, (enum hook)call.method, error ? CALL_FAILED : CALL_SUCCESS, seconds);
	log_write(error ? LOG_WARNING : LOG_DEBUG, LOG_KIND_REQUEST,
	          &(struct log_about){.has_duration = true, .duration_ms = (uint32_t)(seconds * 1000)}, "%s: %s", names[call.method],
	          error ? error : "done");
}

static void perform_transition(struct engine *g, struct effect *f)
{
	const struct log_about about = {
	    .claim = &f->transition.claim,
	    .pod = &f->transition.pod,
	    .device = f->transition.device,
	    .pci_address = f->transition.pci_address,
	    .interface = f->transition.ifname,
	    .sandbox = f->transition.sandbox,
	    .netns = f->transition.netns,
	    .from = device_state_name(f->transition.from),
	    .to = device_state_name(f->transition.to),
	    .cause = f->transition.cause,
	    .has_duration = f->transition.duration_ms > 0,
	    .duration_ms = f->transition.duration_ms,
	    .result = f->transition.result,
	};
	const char *message = f->transition.message;
	metrics_transition(&g->metrics, f->transition.from, f->transition.to);
	log_write(f->transition.result < 0 ? LOG_WARNING : LOG_INFO, LOG_KIND_TRANSITION, &about, "%s: %s, %s -> %s%s%s",
	          f->transition.device, f->transition.cause, about.from, about.to, message ? ": " : "", message ? message : "");
}

static void (*const performers[EFFECT_TYPE_MAX])(struct engine *g, struct effect *f) = {
    [EFFECT_CLAIM_GET] = perform_claim_get,
    [EFFECT_SNAPSHOT] = perform_snapshot,
    [EFFECT_PIN] = perform_pin,
    [EFFECT_UNPIN] = perform_unpin,
    [EFFECT_ATTACH] = perform_move,
    [EFFECT_DETACH] = perform_move,
    [EFFECT_PROBE] = perform_move,
    [EFFECT_LEASE] = perform_lease,
    [EFFECT_LEASE_KEEP] = perform_lease_keep,
    [EFFECT_LEASE_APPLY] = perform_move,
    [EFFECT_LEASE_DROP] = perform_lease_drop,
    [EFFECT_STORE] = perform_store,
    [EFFECT_FORGET] = perform_forget,
    [EFFECT_TOKEN] = perform_token,
    [EFFECT_STATUS] = perform_status,
    [EFFECT_PUBLISH] = perform_publish,
    [EFFECT_REPLY_PREPARE] = perform_reply_prepare,
    [EFFECT_REPLY_UNPREPARE] = perform_reply_unprepare,
    [EFFECT_REPLY_HOOK] = perform_reply_hook,
    [EFFECT_EVENT] = perform_event,
    [EFFECT_TRANSITION] = perform_transition,
};

void engine_perform(struct engine *g, struct effect *f)
{
	mark("effect", mark_effect(f->type), "begin");
	performers[f->type](g, f);
	mark("effect", mark_effect(f->type), "end");
}
