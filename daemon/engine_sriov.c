/* SPDX-License-Identifier: Apache-2.0 */
/* VFs that the node's configuration asks for. Each PF that it names is looked at when it is there, at the start or later, and as long as
 * VFs that are in use are in the way, whenever core knows anything new (sriov_wait.h). What has to be done is done on a thread: on one of
 * its own while there are no VFs, because that takes seconds in which pods go on; else on the mover's, where a claim's snapshot of a VF
 * that is going comes behind, and finds it gone. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/engine_private.h"
#include "daemon/sriov_config.h"
#include "daemon/sriov_wait.h"
#include "netlink/sriov.h"

struct sriov {
	struct sriov_config config;
	struct worker *worker;
	struct sriov_wait *waits; /* one for each wish */
	bool begun;               /* the first look was */
	bool waiting;             /* a change was refused */
	uint64_t changes;         /* of core, at the last look */
};

struct sriov_job {
	struct worker_job job;
	struct engine *engine;
	struct sriov_wait *wait;
	char pf[PCI_ADDRESS_SIZE], ifname[IFNAME_SIZE];
	char user[512]; /* who uses one of its VFs, by what core knows; "" = nobody on the host, and no claim */
	bool used;      /* one is, also elsewhere */
	uint32_t wanted, before;
	bool may_remove;
	uint64_t began;
	int result;
	struct error error;
};

static void sriov_faulty(const char *text, void *user)
{
	(void)user;
	log_write(LOG_ERR, LOG_KIND_KERNEL, NULL, "SR-IOV configuration: %s", text);
}

int engine_load_sriov(struct engine *g, struct error *e)
{
	struct error ours = {0};
	struct sriov *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, -ENOMEM, "out of memory");
	g->sriov = s;
	if (sriov_config_load(g->options->sriov_config_dir, &s->config, sriov_faulty, g, &ours) < 0)
		sriov_faulty(ours.text, g);
	if (!s->config.n)
		return 0;
	s->waits = calloc(s->config.n, sizeof(*s->waits));
	return s->waits ? worker_new(g->loop, "dranetd-sriov", &s->worker, e) : error_set(e, -ENOMEM, "out of memory");
}

size_t engine_sriov_pending(const struct engine *g)
{
	return g->sriov && g->sriov->worker ? worker_pending(g->sriov->worker) : 0;
}

void engine_close_sriov(struct engine *g, bool clean)
{
	if (!g->sriov)
		return;
	if (clean)
		worker_close(TAKE_PTR(g->sriov->worker));
	sriov_config_free(&g->sriov->config);
	free(g->sriov->waits);
	free(TAKE_PTR(g->sriov));
}

/* ---- who uses a VF --------------------------------------------------------------------------------------------------------------- */

struct look {
	const struct sriov_wish *wish;
	struct device_facts pf;
	struct claim_ref claim; /* that holds it */
	bool found, held;
	bool used;      /* the PF or a VF, by whomever */
	char user[512]; /* of one of its VFs, on the host or a claim; "" = nobody */
	int32_t *vfs;   /* their interfaces */
	size_t n_vfs;
};

static void see_pf(const struct core_device_view *d, void *user)
{
	struct look *l = user;
	const struct device_facts *f = d->facts;
	if (!f->sriov || d->place != PLACE_HOST || !(str_equal(f->ifname, l->wish->pf) || str_equal(f->pci_address, l->wish->pf)))
		return;
	l->found = true;
	l->pf = *f;
	l->held = d->claim;
	if (d->claim)
		l->claim = d->claim->ref;
}

/* Whatever somebody did to an interface is a reason to think that it is used. */
static void see_vf(const struct core_device_view *d, void *user)
{
	struct look *l = user;
	const struct device_facts *f = d->facts;
	if (l->user[0] || !str_equal(f->pf_address, l->pf.pci_address))
		return;
	const char *why = d->uplink                  ? "carries the node's default route, or stands under it"
	                  : f->master                ? "is a member of another link"
	                  : f->ipv4[0] || f->ipv6[0] ? "has addresses"
	                  : f->up                    ? "is up"
	                  : f->ebpf                  ? "has eBPF programs"
	                                             : NULL;
	if (d->claim)
		snprintf(l->user, sizeof(l->user), "its VF %s (%s) is held by claim %s/%s", f->name, f->ifname, d->claim->ref.namespace_,
		         d->claim->ref.name);
	else if (why)
		snprintf(l->user, sizeof(l->user), "its VF %s (%s) %s", f->name, f->ifname, why);
	int32_t *grown = f->ifindex > 0 ? reallocarray(l->vfs, l->n_vfs + 1, sizeof(*grown)) : NULL;
	if (grown) {
		l->vfs = grown;
		l->vfs[l->n_vfs++] = f->ifindex;
	} else if (f->ifindex > 0 && !l->user[0]) {
		snprintf(l->user, sizeof(l->user), "its VF %s (%s) may be: there is no memory to look", f->name, f->ifname);
	}
}

static void see_above(const struct core_device_view *d, void *user)
{
	struct look *l = user;
	for (size_t i = 0; d->facts->lower > 0 && i < l->n_vfs && !l->user[0]; i++)
		if (l->vfs[i] == d->facts->lower)
			snprintf(l->user, sizeof(l->user), "one of its VFs has %s on it", d->facts->ifname);
}

/* Who uses its VFs is asked only when something hangs on it. */
static void look_at(const struct engine *g, const struct sriov_wait *w, struct look *l)
{
	core_devices(g->core, see_pf, l);
	if (!l->found || (w->there && !w->refused))
		return;
	core_devices(g->core, see_vf, l);
	core_devices(g->core, see_above, l);
	free(TAKE_PTR(l->vfs));
	l->used = l->held || l->user[0] || l->pf.vfs_away > 0;
}

/* ---- the work -------------------------------------------------------------------------------------------------------------------- */

static void sriov_work(struct worker_job *job)
{
	struct sriov_job *j = (struct sriov_job *)job;
	j->result = sriov_set(j->engine->sysfs, j->pf, j->wanted, j->may_remove && !j->user[0], &j->before, &j->error);
}

static void sriov_done(struct worker_job *job)
{
	struct sriov_job *j = (struct sriov_job *)job;
	struct engine *g = j->engine;
	const char *name = j->ifname[0] ? j->ifname : j->pf;
	const struct log_about about = {.pci_address = j->pf, .interface = j->ifname, .result = j->result};
	uint64_t took = uv_now(g->loop) - j->began;
	bool refused = j->result == -EBUSY && j->before;
	if (refused)
		log_write(LOG_WARNING, LOG_KIND_KERNEL, &about, "PF %s keeps its %" PRIu32 " VFs, %" PRIu32 " are configured: %s%s", name,
		          j->before, j->wanted, j->user[0] ? j->user : j->error.text,
		          j->used ? "; they are changed when none is in use any more" : "");
	else if (j->result < 0)
		log_write(LOG_ERR, LOG_KIND_KERNEL, &about, "PF %s: %s", name, j->error.text);
	else if (j->before != j->wanted)
		log_write(LOG_NOTICE, LOG_KIND_KERNEL, &about, "PF %s has %" PRIu32 " VFs now, %" PRIu32 " before; it took %" PRIu64 " ms",
		          name, j->wanted, j->before, took);
	else
		log_write(LOG_DEBUG, LOG_KIND_KERNEL, &about, "PF %s has its %" PRIu32 " VFs", name, j->wanted);
	if (g->sriov)
		sriov_wait_ended(j->wait, refused);
	free(j);
	engine_look_sriov(g); /* what was in the way may have ended meanwhile */
	engine_check_drained(g);
}

static void sriov_begin(struct engine *g, const struct look *l, struct sriov_wait *w)
{
	struct sriov_job *j = calloc(1, sizeof(*j));
	if (!j) {
		sriov_wait_ended(w, false); /* as if it were not configured */
		return;
	}
	*j = (struct sriov_job){.job = {.work = sriov_work, .done = sriov_done},
	                        .engine = g,
	                        .wait = w,
	                        .used = l->used,
	                        .wanted = l->wish->n_vfs,
	                        .may_remove = l->pf.sriov_vfs > 0,
	                        .began = uv_now(g->loop)};
	STR_COPY(j->pf, l->pf.pci_address);
	STR_COPY(j->ifname, l->pf.ifname);
	STR_CUT(j->user, l->user);
	sriov_wait_begun(w);
	worker_submit(j->may_remove ? g->mover_worker : g->sriov->worker, &j->job);
}

static void sriov_apply(struct engine *g, const struct look *l, struct sriov_wait *w)
{
	const struct log_about about = {.pci_address = l->pf.pci_address, .interface = l->pf.ifname};
	const char *name = l->pf.ifname[0] ? l->pf.ifname : l->pf.pci_address;
	if (w->refused && !l->used)
		log_write(LOG_NOTICE, LOG_KIND_KERNEL, &about, "PF %s: none of its VFs is in use any more, %" PRIu32 " are configured",
		          name, l->wish->n_vfs);
	if (!l->held) {
		sriov_begin(g, l, w);
		return;
	}
	bool differs = l->pf.sriov_vfs != (int32_t)l->wish->n_vfs;
	if (differs)
		log_write(LOG_WARNING, LOG_KIND_KERNEL, &about,
		          "PF %s keeps its %" PRIi32 " VFs, %" PRIu32 " are configured: it is held by claim %s/%s", name, l->pf.sriov_vfs,
		          l->wish->n_vfs, l->claim.namespace_, l->claim.name);
	sriov_wait_ended(w, differs);
}

/* Whether a change is wanted of the PF that was found, and no file that is read later wants another. */
static bool is_wished(const struct sriov *s, const struct look *l)
{
	return l->found && sriov_config_find(&s->config, l->pf.ifname, l->pf.pci_address) == l->wish;
}

static void on_quiet(uv_timer_t *timer)
{
	engine_look_sriov(timer->data);
}

void engine_look_sriov(struct engine *g)
{
	struct sriov *s = g->sriov;
	uint64_t now = uv_now(g->loop), due = UINT64_MAX;
	if (!s || !g->peers_started || g->stopping)
		return;
	s->changes = core_changes(g->core);
	s->waiting = false;
	for (size_t i = 0; i < s->config.n; i++) {
		struct look l = {.wish = &s->config.v[i]};
		struct sriov_wait *w = &s->waits[i];
		look_at(g, w, &l);
		if (!l.found && !s->begun)
			log_write(LOG_NOTICE, LOG_KIND_KERNEL, NULL, "SR-IOV configuration: %s:%u: there is no PF %s yet", l.wish->file,
			          l.wish->line, l.wish->pf);
		if (sriov_wait_look(w, is_wished(s, &l), l.used, now))
			sriov_apply(g, &l, w);
		s->waiting |= w->refused;
		due = sriov_wait_due(w) < due ? sriov_wait_due(w) : due;
	}
	s->begun = true;
	if (due == UINT64_MAX)
		uv_timer_stop(&g->timers[TIMER_SRIOV]);
	else
		engine_timer(g, TIMER_SRIOV, due > now ? due - now : 0, on_quiet);
}

void engine_look_sriov_again(struct engine *g)
{
	if (g->sriov && g->sriov->waiting && g->sriov->changes != core_changes(g->core))
		engine_look_sriov(g);
}
