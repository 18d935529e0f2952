/* SPDX-License-Identifier: Apache-2.0 */
/* The effects that block in the kernel: jobs of the mover worker, in the order core asked for them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/engine_private.h"
#include "daemon/mark.h"

struct move_job {
	struct worker_job job;
	struct engine *engine;
	enum effect_type type;
	uint64_t op;
	/* SNAPSHOT */
	struct device_parts parts;
	char ifname[IFNAME_SIZE], rdma_device[ATTRIBUTE_TEXT_SIZE];
	struct network_config *wanted;
	struct host_state host;
	/* the others */
	struct attach_plan *plan; /* one reference, counted on the loop */
	struct leases *leases;    /* as well */
	struct leases *old;       /* LEASE_APPLY: as well */
	struct claim_ref claim;
	int netns_fd; /* our own, so that the table may change meanwhile; -1 = look on the host */
	uint64_t netns_inode;
	char sandbox[SANDBOX_ID_SIZE];
	bool listen;  /* nobody listens in the namespace yet: */
	int watch_fd; /* the socket for it; -1 = none */
	struct error watch_error;
	int netns_error; /* a namespace was named, but there is no descriptor of it: nothing may be concluded from the host alone */
	struct device_result moved;

	int result;
	struct error error;
	uint64_t duration_ns;
};

static struct move_job *job_new(struct engine *g, const struct effect *f, void (*work)(struct worker_job *),
                                void (*done)(struct worker_job *))
{
	struct move_job *j = calloc(1, sizeof(*j));
	if (!j) {
		engine_done(g, f->op, -ENOMEM, "out of memory"); /* place: unknown */
		return NULL;
	}
	j->job.work = work;
	j->job.done = done;
	j->engine = g;
	j->type = f->type;
	j->op = f->op;
	j->netns_fd = j->watch_fd = -1;
	return j;
}

static uint32_t duration_ms(const struct move_job *j)
{
	return (uint32_t)(j->duration_ns / 1000000);
}

static void snapshot_work(struct worker_job *job)
{
	struct move_job *j = (struct move_job *)job;
	uint64_t started = uv_hrtime();
	mark("job", mark_effect(j->type), "begin");
	j->result = device_snapshot(j->engine->devices, &j->parts, &j->host, &j->error);
	if (j->result == 0 && j->wanted && j->parts.ifindex)
		j->result = mover_check(j->engine->mover, j->parts.ifindex, j->wanted, &j->error);
	mark("job", mark_effect(j->type), "end");
	j->duration_ns = uv_hrtime() - started;
}

static void snapshot_done(struct worker_job *job)
{
	struct move_job *j = (struct move_job *)job;
	struct engine *g = j->engine;
	engine_feed(g, &(struct event){.type = EVENT_DONE,
	                               .done = {.op = j->op,
	                                        .result = j->result,
	                                        .error = j->result < 0 ? j->error.text : NULL,
	                                        .host = j->result < 0 ? NULL : &j->host,
	                                        .duration_ms = duration_ms(j)}});
	host_state_free(&j->host);
	if (j->wanted)
		network_config_free(j->wanted);
	free(j->wanted);
	free(j);
	engine_check_drained(g);
}

void perform_snapshot(struct engine *g, struct effect *f)
{
	if (g->stopping)
		return;
	struct move_job *j = job_new(g, f, snapshot_work, snapshot_done);
	if (!j)
		return;
	j->wanted = TAKE_PTR(f->snapshot.wanted);
	STR_COPY(j->ifname, f->snapshot.ifname);
	STR_COPY(j->rdma_device, f->snapshot.rdma_device);
	j->parts = (struct device_parts){.ifindex = f->snapshot.ifindex,
	                                 .ifname = j->ifname,
	                                 .rdma_device = j->rdma_device,
	                                 .umad = f->snapshot.rdma_umad,
	                                 .issm = f->snapshot.rdma_issm};
	worker_submit(g->mover_worker, &j->job);
}

/* A namespace that ends gives hardware back to the host, but in the kernel's own time, and one that somebody still holds without a name
 * does not end. Until then a look at the host finds nothing, and "gone" would be the last that is ever heard of the host's state. The
 * function under its driver is what tells hardware that is out of sight from hardware that was pulled out; what has a kind is destroyed
 * with its namespace. */
static bool is_out_of_sight(const struct move_job *j)
{
	const struct attach_plan *p = j->plan;
	return j->moved.move.place == PLACE_GONE && !attach_plan_stays(p) && !p->host.type[0] && p->facts.pci_address[0] &&
	       sysfs_pci_has_driver(j->engine->sysfs, p->facts.pci_address, p->facts.driver);
}

static int move_or_look(struct move_job *j)
{
	struct device_mover *d = j->engine->devices;
	if (j->netns_error) {
		j->moved.move.place = PLACE_UNKNOWN;
		return error_set(&j->error, j->netns_error, "there is no descriptor of the sandbox's network namespace: %s",
		                 strerror(-j->netns_error));
	}
	if (j->type == EFFECT_ATTACH)
		return device_attach(d, j->plan, j->leases, j->netns_fd, &j->moved, &j->error);
	if (j->type == EFFECT_LEASE_APPLY)
		return device_apply_leases(d, j->plan, j->old, j->leases, j->netns_fd, &j->moved, &j->error);
	if (j->type == EFFECT_DETACH)
		return device_detach(d, j->plan, j->netns_fd, &j->moved, &j->error);
	return device_probe(d, j->plan, j->netns_fd, &j->moved, &j->error);
}

static int move(struct move_job *j)
{
	int r = move_or_look(j);
	if (!is_out_of_sight(j))
		return r;
	const struct attach_plan *p = j->plan;
	j->moved.move.place = PLACE_UNKNOWN;
	j->error = (struct error){0};
	return error_set(&j->error, -EAGAIN, "%s is bound to %s, but its %s %s is in no network namespace that can be looked into",
	                 p->facts.pci_address, p->facts.driver, p->facts.ifindex ? "interface" : "RDMA device",
	                 p->facts.ifindex ? p->host.ifname : p->host.rdma.name);
}

static void move_work(struct worker_job *job)
{
	struct move_job *j = (struct move_job *)job;
	uint64_t started = uv_hrtime();
	mark("job", mark_effect(j->type), "begin");
	/* Before the device is looked for: what leaves afterwards is heard. */
	if (j->listen && j->netns_fd >= 0)
		(void)mover_open_watch(j->engine->mover, j->netns_fd, &j->watch_fd, &j->watch_error);
	j->result = move(j);
	mark("job", mark_effect(j->type), "end");
	j->duration_ns = uv_hrtime() - started;
}

static void on_link_gone(struct pod_watch *w, int32_t ifindex, const char *ifname, void *user)
{
	struct engine *g = user;
	struct event e = {.type = EVENT_POD_DEVICE_GONE, .pod_device_gone = {.ifindex = ifindex}};
	const char *sandbox = netns_table_heard(&g->namespaces, w);
	if (!sandbox)
		return;
	(void)STR_COPY(e.pod_device_gone.sandbox, sandbox);
	(void)STR_COPY(e.pod_device_gone.ifname, ifname);
	engine_feed(g, &e);
}

/* Without ears in a pod nothing is lost but the news: the device's end is noticed when the pod ends. */
static void start_listening(struct engine *g, struct move_job *j)
{
	struct pod_watch *watch = NULL;
	int fd = j->watch_fd;
	if (!j->listen || (fd < 0 && j->watch_error.code == 0))
		return;
	if (fd >= 0 && pod_watch_start(g->loop, fd, on_link_gone, g, &watch, &j->watch_error) < 0)
		close(fd);
	if (!watch)
		log_write(LOG_WARNING, LOG_KIND_KERNEL,
		          &(struct log_about){.claim = &j->claim, .sandbox = j->sandbox, .result = j->watch_error.code}, "%s",
		          j->watch_error.text);
	else if (g->drained || netns_table_listen(&g->namespaces, j->sandbox, j->netns_inode, watch) < 0)
		pod_watch_close(watch);
}

static void move_done(struct worker_job *job)
{
	struct move_job *j = (struct move_job *)job;
	struct engine *g = j->engine;
	const struct move_result *moved = &j->moved.move;
	start_listening(g, j);
	if (j->netns_fd >= 0)
		close(j->netns_fd);
	if (j->type == EFFECT_ATTACH || j->type == EFFECT_DETACH)
		metrics_move(&g->metrics, j->type == EFFECT_ATTACH, j->result == 0, (double)j->duration_ns / 1e9);
	if (j->type == EFFECT_DETACH && moved->differences[0])
		log_write(LOG_WARNING, LOG_KIND_KERNEL,
		          &(struct log_about){.claim = &j->claim,
		                              .device = j->plan->facts.name,
		                              .pci_address = j->plan->facts.pci_address,
		                              .interface = j->plan->host.ifname},
		          "not all of the host's state could be restored: %s", moved->differences);
	engine_feed(g, &(struct event){.type = EVENT_DONE,
	                               .done = {.op = j->op,
	                                        .result = j->result,
	                                        .error = j->result < 0 ? j->error.text : NULL,
	                                        .place = moved->place,
	                                        .pod = moved->place == PLACE_POD ? &moved->pod : NULL,
	                                        .rdma = j->moved.rdma,
	                                        .differences = moved->differences,
	                                        .duration_ms = duration_ms(j)}});
	attach_plan_unref(j->plan);
	leases_unref(j->leases);
	leases_unref(j->old);
	free(j);
	engine_check_drained(g);
}

void perform_move(struct engine *g, struct effect *f)
{
	/* Stopping: what has not begun is begun by the next start. */
	if (g->stopping)
		return;
	struct move_job *j = job_new(g, f, move_work, move_done);
	if (!j)
		return;
	j->plan = attach_plan_ref(f->move.plan);
	j->leases = leases_ref(f->move.leases);
	j->old = leases_ref(f->move.old);
	j->claim = f->move.claim;
	if (f->move.sandbox[0] || f->type == EFFECT_ATTACH) {
		int held = netns_table_get(&g->namespaces, f->move.sandbox, &j->netns_inode);
		j->netns_fd = held < 0 ? -1 : fcntl(held, F_DUPFD_CLOEXEC, 3);
		if (j->netns_fd < 0)
			j->netns_error = held < 0 ? -ENOENT : -errno;
		j->listen = f->type != EFFECT_DETACH && netns_table_is_deaf(&g->namespaces, f->move.sandbox);
		(void)STR_COPY(j->sandbox, f->move.sandbox);
	}
	worker_submit(g->mover_worker, &j->job);
}
