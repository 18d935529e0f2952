/* SPDX-License-Identifier: Apache-2.0 */
/* VFs that the node's configuration asks for. Each PF that it names is looked at once when it is there, at the start or later, and what has
 * to be done is done on a thread: on one of its own while there are no VFs, because that takes seconds in which pods go on; else on the
 * mover's, where a claim's snapshot of a VF that is going comes behind, and finds it gone. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/engine_private.h"
#include "daemon/sriov_config.h"
#include "netlink/sriov.h"

struct sriov {
	struct sriov_config config;
	struct worker *worker;
	bool *seen; /* for each wish: its PF is there, and was looked at */
	bool begun; /* the first look was */
};

struct sriov_job {
	struct worker_job job;
	struct engine *engine;
	char pf[PCI_ADDRESS_SIZE], ifname[IFNAME_SIZE];
	char user[256]; /* who uses one of its VFs, by what core knows; "" = nobody */
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
	s->seen = calloc(s->config.n, sizeof(*s->seen));
	return s->seen ? worker_new(g->loop, "dranetd-sriov", &s->worker, e) : error_set(e, -ENOMEM, "out of memory");
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
	free(g->sriov->seen);
	free(TAKE_PTR(g->sriov));
}

/* ---- who uses a VF --------------------------------------------------------------------------------------------------------------- */

struct look {
	const struct sriov_wish *wish;
	struct device_facts pf;
	struct claim_ref claim; /* that holds it */
	bool found, held;
	char *user;
	size_t size;
	int32_t ifindex; /* of a VF: does something stand on it? */
	char above[IFNAME_SIZE];
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

static void see_above(const struct core_device_view *d, void *user)
{
	struct look *l = user;
	if (l->ifindex && d->facts->lower == l->ifindex)
		STR_COPY(l->above, d->facts->ifname);
}

/* Whatever somebody did to an interface is a reason to think that it is used. */
static void see_vf(const struct core_device_view *d, struct engine *g, struct look *l)
{
	const struct device_facts *f = d->facts;
	struct look above = {.ifindex = f->ifindex};
	char *text = l->user;
	if (d->claim) {
		snprintf(text, l->size, "its VF %s (%s) is held by claim %s/%s", f->name, f->ifname, d->claim->ref.namespace_,
		         d->claim->ref.name);
		return;
	}
	core_devices(g->core, see_above, &above);
	const char *why = d->uplink                  ? "carries the node's default route, or stands under it"
	                  : f->master                ? "is a member of another link"
	                  : above.above[0]           ? "has another link on it"
	                  : f->ipv4[0] || f->ipv6[0] ? "has addresses"
	                  : f->up                    ? "is up"
	                  : f->ebpf                  ? "has eBPF programs"
	                                             : NULL;
	if (why)
		snprintf(text, l->size, "its VF %s (%s) %s", f->name, f->ifname, why);
}

struct vf_search {
	struct engine *engine;
	struct look *look;
};

static void see_vf_of(const struct core_device_view *d, void *user)
{
	struct vf_search *s = user;
	if (!s->look->user[0] && str_equal(d->facts->pf_address, s->look->pf.pci_address))
		see_vf(d, s->engine, s->look);
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
	if (j->result == -EBUSY && j->before)
		log_write(LOG_WARNING, LOG_KIND_KERNEL, &about, "PF %s keeps its %" PRIu32 " VFs, %" PRIu32 " are configured: %s", name,
		          j->before, j->wanted, j->user[0] ? j->user : j->error.text);
	else if (j->result < 0)
		log_write(LOG_ERR, LOG_KIND_KERNEL, &about, "PF %s: %s", name, j->error.text);
	else if (j->before != j->wanted)
		log_write(LOG_NOTICE, LOG_KIND_KERNEL, &about, "PF %s has %" PRIu32 " VFs now, %" PRIu32 " before; it took %" PRIu64 " ms",
		          name, j->wanted, j->before, took);
	else
		log_write(LOG_DEBUG, LOG_KIND_KERNEL, &about, "PF %s has its %" PRIu32 " VFs", name, j->wanted);
	free(j);
	engine_check_drained(g);
}

static void sriov_begin(struct engine *g, const struct look *l)
{
	struct sriov_job *j = calloc(1, sizeof(*j));
	if (!j)
		return; /* as if it were not configured */
	*j = (struct sriov_job){.job = {.work = sriov_work, .done = sriov_done},
	                        .engine = g,
	                        .wanted = l->wish->n_vfs,
	                        .may_remove = l->pf.sriov_vfs > 0,
	                        .began = uv_now(g->loop)};
	STR_COPY(j->pf, l->pf.pci_address);
	STR_COPY(j->ifname, l->pf.ifname);
	STR_CUT(j->user, l->user);
	worker_submit(j->may_remove ? g->mover_worker : g->sriov->worker, &j->job);
}

static void sriov_apply(struct engine *g, struct look *l)
{
	char user[256] = "";
	struct vf_search search = {g, l};
	const struct log_about about = {.pci_address = l->pf.pci_address, .interface = l->pf.ifname};
	l->user = user;
	l->size = sizeof(user);
	if (l->held) {
		log_write(LOG_WARNING, LOG_KIND_KERNEL, &about,
		          "PF %s keeps its VFs, %" PRIu32 " are configured: it is held by claim %s/%s",
		          l->pf.ifname[0] ? l->pf.ifname : l->pf.pci_address, l->wish->n_vfs, l->claim.namespace_, l->claim.name);
		return;
	}
	core_devices(g->core, see_vf_of, &search);
	sriov_begin(g, l);
}

void engine_look_sriov(struct engine *g)
{
	struct sriov *s = g->sriov;
	for (size_t i = 0; s && g->peers_started && !g->stopping && i < s->config.n; i++) {
		struct look l = {.wish = &s->config.v[i]};
		core_devices(g->core, see_pf, &l);
		bool is_new = l.found && !s->seen[i];
		if (!l.found && !s->begun)
			log_write(LOG_NOTICE, LOG_KIND_KERNEL, NULL, "SR-IOV configuration: %s:%u: there is no PF %s yet", l.wish->file,
			          l.wish->line, l.wish->pf);
		s->seen[i] = l.found;
		if (is_new && sriov_config_find(&s->config, l.pf.ifname, l.pf.pci_address) == l.wish)
			sriov_apply(g, &l);
	}
	if (s && g->peers_started)
		s->begun = true;
}
