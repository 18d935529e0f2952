/* SPDX-License-Identifier: Apache-2.0 */
/* Leases. Asking (EFFECT_LEASE) is a job of the mover's worker that brings the link up, an exchange on the loop, and a job that takes the
 * link down again where it was. Keeping (EFFECT_LEASE_KEEP) is a DHCP client in the pod's namespace for each device. What a lease gives a
 * pod is configured by the mover (engine_moves.c). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/engine_private.h"
#include "daemon/mark.h"
#include "netlink/dhcp.h"
#include "netlink/mover_lease.h"

/* The kubelet waits for Prepare, and asks again when it failed. */
enum { LEASE_LIMIT_MS = 20000, CARRIER_WAIT_MS = 20, CARRIER_TRIES = 10, CARRIER_TRIES_MAX = 250 };

static struct mac pod_mac(const struct attach_plan *p)
{
	return p->pod.mac.length ? p->pod.mac : p->host.mac;
}

static struct dhcp_place pod_place(const struct attach_plan *p)
{
	struct dhcp_place place = {.netns_fd = -1, .ifindex = p->host.ifindex, .mac = pod_mac(p)};
	(void)STR_COPY(place.ifname, p->pod.ifname);
	return place;
}

static void log_lease(int priority, const struct attach_plan *p, const struct claim_ref *claim, int result, const char *what,
                      const char *text)
{
	const struct log_about about = {
	    .claim = claim, .device = p->facts.name, .pci_address = p->facts.pci_address, .interface = p->host.ifname, .result = result};
	log_write(priority, LOG_KIND_LEASE, &about, "%s%s", what, text);
}

/* ---- asking, before the pod ------------------------------------------------------------------------------------------------------ */

struct lease_ask {
	struct worker_job job;
	struct lease_ask *next, **link; /* in engine.lease_asks */
	struct engine *engine;
	uint64_t op;
	struct attach_plan *plan;
	struct claim_ref claim;
	struct dhcp_place place;
	struct dhcp_client *client;
	struct leases *got;
	int result, end_result;
	struct error error, end_error;
};

static void ask_free(struct lease_ask *a)
{
	struct engine *g = a->engine;
	*a->link = a->next;
	if (a->next)
		a->next->link = a->link;
	dhcp_client_close(a->client);
	attach_plan_unref(a->plan);
	leases_unref(a->got);
	free(a);
	engine_check_drained(g);
}

static void ask_answer(struct lease_ask *a)
{
	struct engine *g = a->engine;
	struct event e = {.type = EVENT_DONE,
	                  .done = {.op = a->op, .result = a->result, .error = a->result < 0 ? a->error.text : NULL, .leases = a->got}};
	a->got = NULL;
	if (!g->stopping)
		engine_feed(g, &e);
	else
		leases_unref(e.done.leases); /* the next start asks again */
	ask_free(a);
}

static void ask_end_work(struct worker_job *job)
{
	struct lease_ask *a = (struct lease_ask *)job;
	mark("job", "lease-end", "begin");
	a->end_result = mover_lease_end(a->engine->mover, a->plan, &a->end_error);
	mark("job", "lease-end", "end");
}

static void ask_end_done(struct worker_job *job)
{
	struct lease_ask *a = (struct lease_ask *)job;
	if (a->end_result < 0)
		log_lease(LOG_WARNING, a->plan, &a->claim, a->end_result, "the link is not as it was before DHCP: ", a->end_error.text);
	ask_answer(a);
}

static void ask_end(struct lease_ask *a)
{
	if (a->plan->host.up) {
		ask_answer(a);
		return;
	}
	a->job = (struct worker_job){.work = ask_end_work, .done = ask_end_done};
	worker_submit(a->engine->mover_worker, &a->job);
}

static void on_asked(struct dhcp_client *c, int result, const char *error, struct leases *leases, void *user)
{
	struct lease_ask *a = user;
	a->client = NULL;
	dhcp_client_close(c);
	a->result = result;
	a->got = leases;
	if (result < 0)
		error_set(&a->error, result, "%s", error);
	ask_end(a);
}

static void on_ask_declined(const char *text, void *user)
{
	const struct lease_ask *a = user;
	log_lease(LOG_WARNING, a->plan, &a->claim, -EADDRINUSE, "an address that a DHCP server gave was declined: ", text);
}

static void ask_begin_work(struct worker_job *job)
{
	struct lease_ask *a = (struct lease_ask *)job;
	mark("job", "lease-begin", "begin");
	a->result = mover_lease_begin(a->engine->mover, a->plan, &a->place, &a->error);
	mark("job", "lease-begin", "end");
}

static void ask_begin_done(struct worker_job *job)
{
	struct lease_ask *a = (struct lease_ask *)job;
	struct engine *g = a->engine;
	const struct dhcp_options options = {.place = a->place,
	                                     .mac = pod_mac(a->plan),
	                                     .v4 = a->plan->pod.dhcp == 1,
	                                     .v6 = a->plan->pod.dhcp6 == 1,
	                                     .limit_ms = LEASE_LIMIT_MS,
	                                     .report = on_asked,
	                                     .declined = on_ask_declined,
	                                     .user = a};
	/* Stopping: the record says that the link may be up, and the next start goes on from there. */
	if (g->stopping) {
		ask_free(a);
		return;
	}
	if (a->result == 0)
		a->result = dhcp_client_start(g->loop, &options, &a->client, &a->error);
	if (a->result < 0)
		ask_end(a);
}

void perform_lease(struct engine *g, struct effect *f)
{
	if (g->stopping)
		return;
	struct lease_ask *a = calloc(1, sizeof(*a));
	if (!a) {
		engine_done(g, f->op, -ENOMEM, "out of memory");
		return;
	}
	*a = (struct lease_ask){.engine = g,
	                        .op = f->op,
	                        .plan = attach_plan_ref(f->move.plan),
	                        .claim = f->move.claim,
	                        .next = g->lease_asks,
	                        .link = &g->lease_asks};
	if (a->next)
		a->next->link = &a->next;
	g->lease_asks = a;
	a->job = (struct worker_job){.work = ask_begin_work, .done = ask_begin_done};
	worker_submit(g->mover_worker, &a->job);
}

/* ---- keeping, in the pod --------------------------------------------------------------------------------------------------------- */

struct lease_keeper {
	struct lease_keeper *next, **link; /* in engine.lease_keepers */
	struct engine *engine;
	struct attach_plan *plan;
	struct claim_ref claim;
	char sandbox[SANDBOX_ID_SIZE];
	bool v4, v6; /* held, by the last report */
	struct dhcp_client *client;
};

static void keeper_free(struct lease_keeper *k)
{
	*k->link = k->next;
	if (k->next)
		k->next->link = k->link;
	dhcp_client_close(k->client);
	attach_plan_unref(k->plan);
	free(k);
}

static struct lease_keeper *keeper_find(struct engine *g, const char *device)
{
	struct lease_keeper *k = g->lease_keepers;
	while (k && !str_equal(k->plan->facts.name, device))
		k = k->next;
	return k;
}

static int keeper_netns(void *user)
{
	const struct lease_keeper *k = user;
	uint64_t inode;
	int fd = netns_table_get(&k->engine->namespaces, k->sandbox, &inode);
	return fd < 0 ? -ENOENT : fd;
}

static void on_kept(struct dhcp_client *c, int result, const char *error, struct leases *leases, void *user)
{
	struct lease_keeper *k = user;
	struct engine *g = k->engine;
	struct event e = {.type = EVENT_LEASE, .lease = {.leases = leases}};
	(void)c;
	if (result < 0) { /* memory: the machine goes on */
		log_lease(LOG_ERR, k->plan, &k->claim, result, "a new lease could not be told of: ", error);
		return;
	}
	bool ended = (k->v4 && !leases->v4.held) || (k->v6 && !leases->v6.held);
	k->v4 = leases->v4.held;
	k->v6 = leases->v6.held;
	log_lease(ended ? LOG_WARNING : LOG_DEBUG, k->plan, &k->claim, 0,
	          ended ? "a lease has ended, or was taken back, and is asked for anew" : "leases were renewed", "");
	(void)STR_COPY(e.lease.device, k->plan->facts.name);
	(void)STR_COPY(e.lease.claim_uid, k->claim.uid);
	if (g->stopping)
		leases_unref(leases); /* the record has an older one, which the next start renews */
	else
		engine_feed(g, &e); /* the keeper may be gone now */
}

static void on_kept_declined(const char *text, void *user)
{
	const struct lease_keeper *k = user;
	log_lease(LOG_WARNING, k->plan, &k->claim, -EADDRINUSE, "an address that a DHCP server gave was declined: ", text);
}

void perform_lease_keep(struct engine *g, struct effect *f)
{
	struct error e = {0};
	struct lease_keeper *old = keeper_find(g, f->move.plan->facts.name);
	if (old)
		keeper_free(old);
	if (g->stopping)
		return;
	struct lease_keeper *k = calloc(1, sizeof(*k));
	if (!k)
		abort(); /* as core does: a restart finds the record and keeps on */
	*k = (struct lease_keeper){.engine = g,
	                           .plan = attach_plan_ref(f->move.plan),
	                           .claim = f->move.claim,
	                           .v4 = f->move.leases && f->move.leases->v4.held,
	                           .v6 = f->move.leases && f->move.leases->v6.held,
	                           .next = g->lease_keepers,
	                           .link = &g->lease_keepers};
	if (k->next)
		k->next->link = &k->next;
	g->lease_keepers = k;
	(void)STR_COPY(k->sandbox, f->move.sandbox);
	const struct dhcp_options options = {.place = pod_place(k->plan),
	                                     .netns = keeper_netns,
	                                     .mac = pod_mac(k->plan),
	                                     .v4 = k->plan->pod.dhcp == 1,
	                                     .v6 = k->plan->pod.dhcp6 == 1,
	                                     .known = f->move.leases,
	                                     .report = on_kept,
	                                     .declined = on_kept_declined,
	                                     .user = k};
	int r = dhcp_client_start(g->loop, &options, &k->client, &e);
	if (r < 0)
		log_lease(LOG_ERR, k->plan, &k->claim, r, "leases cannot be kept: ", e.text);
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

struct release_job {
	struct worker_job job;
	struct engine *engine;
	struct attach_plan *plan;
	struct leases *leases;
	struct claim_ref claim;
	uint64_t op;            /* 0 = nobody waits */
	int result, end_result; /* the latter: whether the link is as it was */
	struct error error;
};

/* Some hardware takes seconds. Where others wait behind us, it is a fifth of one, and the server waits for the lease's end. */
static void wait_for_carrier(struct worker *w, const struct dhcp_place *place)
{
	struct dhcp_link link = {0};
	for (int i = 0; i < CARRIER_TRIES_MAX && (i < CARRIER_TRIES || worker_is_idle_behind(w)); i++) {
		if (dhcp_link_look(place, &link, NULL) < 0 || link.running)
			return;
		nanosleep(&(struct timespec){.tv_nsec = CARRIER_WAIT_MS * 1000000L}, NULL);
	}
}

/* A link that is down on the host goes up for a moment. */
static void release_work(struct worker_job *job)
{
	struct release_job *j = (struct release_job *)job;
	struct mover *m = j->engine->mover;
	struct dhcp_place place;
	struct mac mac = pod_mac(j->plan);
	j->result = mover_lease_begin(m, j->plan, &place, &j->error);
	if (j->result == 0) {
		wait_for_carrier(j->engine->mover_worker, &place);
		j->result = dhcp_release(&place, &mac, j->leases, &j->error);
	}
	/* Also where it could not be brought up: what was set before that is set back. */
	j->end_result = mover_lease_end(m, j->plan, j->result < 0 ? NULL : &j->error);
	if (j->result == 0)
		j->result = j->end_result;
}

static void release_done(struct worker_job *job)
{
	struct release_job *j = (struct release_job *)job;
	struct engine *g = j->engine;
	if (j->result < 0)
		log_lease(LOG_INFO, j->plan, &j->claim, j->result, "the lease may not have been given back: ", j->error.text);
	if (!g->stopping)
		engine_done(g, j->op, j->end_result, j->error.text);
	attach_plan_unref(j->plan);
	leases_unref(j->leases);
	free(j);
	engine_check_drained(g);
}

static void release_on_host(struct engine *g, struct effect *f)
{
	if (g->stopping)
		return;
	struct release_job *j = calloc(1, sizeof(*j));
	if (!j) {
		engine_done(g, f->op, 0, NULL); /* the lease ends in its own time */
		return;
	}
	*j = (struct release_job){.job = {.work = release_work, .done = release_done},
	                          .engine = g,
	                          .plan = attach_plan_ref(f->move.plan),
	                          .leases = leases_ref(f->move.leases),
	                          .op = f->op,
	                          .claim = f->move.claim};
	worker_submit(g->mover_worker, &j->job);
}

static void release_in_pod(struct engine *g, struct effect *f)
{
	struct error e = {0};
	struct dhcp_place place = pod_place(f->move.plan);
	struct mac mac = pod_mac(f->move.plan);
	uint64_t inode;
	place.netns_fd = netns_table_get(&g->namespaces, f->move.sandbox, &inode);
	int r = place.netns_fd < 0 ? error_set(&e, -ENOENT, "the pod's network namespace is not held any more")
	                           : dhcp_release(&place, &mac, f->move.leases, &e);
	if (r < 0)
		log_lease(LOG_INFO, f->move.plan, &f->move.claim, r, "the lease was not given back: ", e.text);
}

void perform_lease_drop(struct engine *g, struct effect *f)
{
	struct lease_keeper *k = keeper_find(g, f->move.plan->facts.name);
	if (k)
		keeper_free(k);
	if (!f->move.release || !f->move.leases)
		return;
	if (f->move.sandbox[0])
		release_in_pod(g, f);
	else
		release_on_host(g, f);
}

void engine_close_leases(struct engine *g)
{
	while (g->lease_keepers)
		keeper_free(g->lease_keepers);
	/* Those without a client are the worker's, whose end comes back to them. */
	for (struct lease_ask *next, *a = g->lease_asks; a; a = next) {
		next = a->next;
		if (a->client)
			ask_free(a);
	}
}
