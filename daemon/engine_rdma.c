/* SPDX-License-Identifier: Apache-2.0 */
/* What RDMA netlink adds to the monitor's facts. The table is read at the start and, on the worker, when the kernel gives notice, when the
 * monitor looks at everything anew, and when a device's facts are news to it; if it has changed then, the monitor is asked to tell
 * everything once more. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/str.h"
#include "daemon/engine_private.h"
#include "rdma/attribution.h"

struct rdma_job {
	struct worker_job job;
	struct engine *engine;
	struct rdma_table table;
	int result;
	struct error error;
};

/* Whether something is different now. Takes the table over. */
static bool take_table(struct engine *g, int result, const struct error *e, struct rdma_table *table)
{
	const struct log_about about = {.result = result};
	if (result == -EOPNOTSUPP) {
		log_write(LOG_DEBUG, LOG_KIND_KERNEL, NULL, "%s", e->text);
	} else if (result < 0) {
		log_write(LOG_WARNING, LOG_KIND_KERNEL, &about, "RDMA devices cannot be listed: %s", e->text);
		return false; /* what was known is the better guess */
	}
	bool changed = !rdma_table_equal(&g->rdma, table);
	rdma_table_free(&g->rdma);
	g->rdma = *table;
	*table = (struct rdma_table){0};
	if (result == 0 && (changed || !g->inventory_seen))
		log_write(LOG_INFO, LOG_KIND_KERNEL, NULL, "RDMA: %zu devices, network namespace mode %s", g->rdma.n_devices,
		          rdma_netns_mode_name(g->rdma.mode));
	return changed;
}

static void on_notice(void *user)
{
	engine_refresh_rdma(user);
}

/* Listening begins first: what happens between it and the reading is only read once more. */
void engine_start_rdma(struct engine *g)
{
	struct rdma_table table = {0};
	struct error e = {0};
	int r = rdma_monitor_start(g->loop, on_notice, g, &g->rdma_monitor, &e);
	if (r < 0)
		log_write(LOG_WARNING, LOG_KIND_KERNEL, &(struct log_about){.result = r}, "changes of RDMA devices are seen late: %s",
		          e.text);
	r = rdma_query(&table, &e);
	(void)take_table(g, r, &e, &table);
}

static void rdma_work(struct worker_job *job)
{
	struct rdma_job *j = (struct rdma_job *)job;
	j->result = rdma_query(&j->table, &j->error);
}

static void rdma_done(struct worker_job *job)
{
	struct rdma_job *j = (struct rdma_job *)job;
	struct engine *g = j->engine;
	g->rdma_reading = false;
	/* That look finds the table as it is, so there is no third one. */
	if (take_table(g, j->result, &j->error, &j->table) && g->monitor && !g->stopping)
		monitor_resync(g->monitor);
	free(j);
	if (g->rdma_stale)
		engine_refresh_rdma(g);
	engine_check_drained(g);
}

void engine_refresh_rdma(struct engine *g)
{
	g->rdma_stale = g->rdma_reading;
	struct rdma_job *j = g->stopping || g->rdma_reading ? NULL : calloc(1, sizeof(*j));
	if (!j)
		return;
	j->job.work = rdma_work;
	j->job.done = rdma_done;
	j->engine = g;
	g->rdma_reading = true;
	worker_submit(g->mover_worker, &j->job);
}

void engine_add_rdma(struct engine *g, struct device_facts *facts)
{
	if (rdma_facts_are_news(&g->rdma, facts))
		engine_refresh_rdma(g);
	rdma_facts_add(&g->rdma, facts);
}
