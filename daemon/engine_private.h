/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine share. Nothing outside daemon/engine*.c and daemon/pages.c includes this. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/core.h"
#include "daemon/calls.h"
#include "daemon/cdi.h"
#include "daemon/device_move.h"
#include "daemon/engine.h"
#include "daemon/event_queue.h"
#include "daemon/log.h"
#include "daemon/metadata.h"
#include "daemon/metrics.h"
#include "daemon/netns_table.h"
#include "daemon/notify.h"
#include "daemon/store.h"
#include "daemon/worker.h"
#include "k8s/kubelet.h"
#include "k8s/nri.h"
#include "k8s/objects.h"
#include "netlink/monitor.h"
#include "netlink/mover.h"
#include "netlink/sysfs.h"
#include "rdma/monitor.h"
#include "rdma/nldev.h"
#include "transport/http_server.h"

/* A request to the API server whose answer core waits for. */
struct api_op {
	struct api_op *next, **link; /* in engine.api_ops, so that what is open at the end can be freed */
	struct engine *engine;
	uint64_t op;
	struct claim_ref claim;
};

enum engine_timer { TIMER_CORE, TIMER_KUBELET, TIMER_DISCOVERY, TIMER_DRAIN, TIMER_SRIOV, TIMER_MAX };

struct engine {
	uv_loop_t *loop;
	const struct options *options;
	uv_timer_t timers[TIMER_MAX];

	struct filter *filter;
	struct core *core;
	struct event_queue queue;
	bool busy; /* inside core_step or a performer */

	struct worker *mover_worker, *disk_worker;
	struct sysfs *sysfs;
	struct mover *mover; /* this and the next are used on mover_worker only */
	struct device_mover *devices;
	struct store *store; /* writes on disk_worker only */
	struct cdi *cdi;
	struct metadata *metadata; /* NULL = containers get none */
	struct netns_table namespaces;
	struct rdma_table rdma;
	bool rdma_reading; /* the worker reads the table */
	bool rdma_stale;   /* it must be read once more */
	struct sriov *sriov;

	struct monitor *monitor;
	struct rdma_monitor *rdma_monitor;
	struct kubelet *kubelet;
	struct nri *nri;
	struct api *api;
	struct publisher *publisher;
	struct recorder *recorder;
	struct http_server *http;
	struct notify *notify;
	struct api_op *api_ops;
	struct lease_ask *lease_asks;       /* EFFECT_LEASE under way */
	struct lease_keeper *lease_keepers; /* one for each device in a pod that has leases */

	char boot_id[40];
	struct metrics metrics;
	struct calls calls;
	char (*claims_on_disk)[UID_SIZE]; /* during the start: what the sweep of CDI files must keep */
	size_t n_claims_on_disk;

	uint64_t publish_revision; /* the last EFFECT_PUBLISH */
	unsigned kubelet_failures, discovery_failures;
	bool inventory_seen, uplinks_seen, peers_started, api_known;
	bool ready;      /* READY=1 was told */
	bool registered; /* with the kubelet */
	bool published;  /* the API server has accepted what core wanted at least once */
	bool standby;    /* another instance holds the state directory */
	bool stopping, failed, drained;
	uint64_t drain_deadline; /* uv_now() */
	struct engine_callbacks callbacks;
};

/* engine.c */
void engine_feed(struct engine *g, struct event *e);
void engine_done(struct engine *g, uint64_t op, int result,
                 const char *error); /* EVENT_DONE for what has nothing else to say; op 0 = nobody waits */
void engine_timer(struct engine *g, enum engine_timer timer, uint64_t delay_ms, uv_timer_cb callback);
uint64_t engine_backoff(unsigned failures); /* ms: 1 s doubled up to 30 s */
double engine_unix_time(void);
void engine_check_drained(struct engine *g); /* after each finished job */
void engine_fail(struct engine *g);          /* stop, and end as FAILED */

/* engine_effects.c, engine_moves.c: one per effect type */
void engine_perform(struct engine *g, struct effect *f);
void perform_snapshot(struct engine *g, struct effect *f);
void perform_move(struct engine *g, struct effect *f);
void engine_free_api_ops(struct engine *g);

/* engine_lease.c */
void perform_lease(struct engine *g, struct effect *f);
void perform_lease_keep(struct engine *g, struct effect *f);
void perform_lease_drop(struct engine *g, struct effect *f);
void engine_close_leases(struct engine *g);

/* engine_rdma.c */
void engine_start_rdma(struct engine *g); /* blocks: before the loop runs */
void engine_refresh_rdma(struct engine *g);
/* The facts with all that is known of the device's RDMA device. Asks for a newer table when they are news to it. */
void engine_add_rdma(struct engine *g, struct device_facts *facts);

/* engine_sriov.c */
int engine_load_sriov(struct engine *g, struct error *e);
/* A PF may have come, or left: after core was told of it. */
void engine_look_sriov(struct engine *g);
/* Something happened: it may have been the last use of a VF that ended. */
void engine_look_sriov_again(struct engine *g);
size_t engine_sriov_pending(const struct engine *g);
void engine_close_sriov(struct engine *g, bool clean); /* not `clean`: its thread is in the kernel */

/* engine_peers.c */
int engine_start_api(struct engine *g, struct error *e);
int engine_start_monitor(struct engine *g, struct error *e); /* kubelet, runtime and publisher follow when the inventory is known */
void engine_close_intake(struct engine *g);                  /* kubelet, runtime, publisher, monitor */
void engine_close_peers(struct engine *g);                   /* the rest */
void engine_tell_status(struct engine *g);                   /* the service manager's status line */

/* pages.c */
int engine_start_pages(struct engine *g, struct error *e);
bool engine_is_ready(const struct engine *g, const char **ret_missing);
