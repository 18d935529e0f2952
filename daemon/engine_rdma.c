/* SPDX-License-Identifier: Apache-2.0 */
/* What RDMA netlink adds to the monitor's facts. The table is read at the start and, on the worker, when the monitor looks at everything
 * anew; if it has changed then, the monitor is asked to tell everything once more. */
#include <errno.h>
#include <stdlib.h>

#include "core/base/str.h"
#include "daemon/engine_private.h"

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

void engine_start_rdma(struct engine *g)
{
	struct rdma_table table = {0};
	struct error e = {0};
	int r = rdma_query(&table, &e);
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
	/* That look finds the table as it is, so there is no third one. */
	if (take_table(g, j->result, &j->error, &j->table) && g->monitor && !g->stopping)
		monitor_resync(g->monitor);
	free(j);
	engine_check_drained(g);
}

void engine_refresh_rdma(struct engine *g)
{
	struct rdma_job *j = g->stopping ? NULL : calloc(1, sizeof(*j));
	if (!j)
		return;
	j->job.work = rdma_work;
	j->job.done = rdma_done;
	j->engine = g;
	worker_submit(g->mover_worker, &j->job);
}

const struct device_facts *engine_add_rdma(const struct engine *g, const struct device_facts *facts, struct device_facts *storage)
{
	const char *name = facts->rdma_device[0] ? NULL : rdma_device_of_netdev(&g->rdma, facts->ifindex);
	if (!name)
		return facts;
	*storage = *facts;
	STR_CUT(storage->rdma_device, name);
	storage->rdma = true;
	return storage;
}
