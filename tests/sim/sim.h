/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator: core against a small model of the kernel, the runtime, the kubelet, the API server and the disk.
 *
 * A schedule is a list of numbers. At each step the world lists what could happen next (a result arrives, an operation is performed or
 * fails, a device vanishes, the kubelet calls, dranetd is killed …) and the number picks one. So a schedule comes from a seed, can be
 * replayed, and can be made shorter by leaving numbers out while it still fails. After each step check_promises() compares world and core;
 * at the end everything is healed and the world must come to rest as it should. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "core/states.h"

enum { DEVICES = 6, PODS = 3, CLAIMS_PER_POD = 2, DEVICES_PER_CLAIM = 2, CALLS = 64, PENDING = 256, RECORDS = 64 };
#define DRIVER "dra.net"
#define NODE "node-a"
enum { ON_HOST = -1, NOWHERE = -2 };

struct wdevice {
	bool exists;
	bool physical; /* comes home when its namespace dies; others are destroyed */
	int32_t ifindex;
	int32_t lower, master;
	bool default_route;
	int place;                 /* sandbox number, ON_HOST or NOWHERE */
	uint32_t mtu;              /* stands for all of its configuration */
	bool named;                /* bears its host name (on the host) */
	uint32_t home;             /* the mtu the host's administrator gave it */
	bool lost;                 /* it was pulled out of a pod, or put on the host by somebody in there */
	bool half;                 /* an attach failed, so did its undo, and core was told */
	uint64_t looked_at;        /* when core last looked for it because of a link that left a pod, */
	char looked_for[UID_SIZE]; /* for this claim, */
	unsigned looked_epoch;     /* in this run */
	bool bound;                /* a VF whose netdev gave way to a driver for user space; it does not exist, as a netdev */
	uint32_t minor;            /* of its character device */
	int told_away;             /* of a PF */
	/* DHCP. Leases are numbered; 0 = none. */
	uint32_t lease;        /* the server's book */
	uint32_t pod_lease;    /* what the link in the pod was given */
	bool lease_ended;      /* by the server, and the pod was given no other since */
	bool lease_known;      /* a record on disk named it once */
	bool lease_unknown;    /* when dranetd ended no record named it, or the disk took none that would let it be given back */
	char keeper[UID_SIZE]; /* the claim for which dranetd renews it; "" = nobody */
	bool told;             /* the monitor told core what is true now */
	uint32_t told_mtu;
};

enum pod_phase {
	POD_IDLE,
	POD_PREPARING,
	POD_PREPARED,
	POD_STARTING,
	POD_UP,
	POD_CREATING,
	POD_CREATED,
	POD_RUNNING,
	POD_STOPPING,
	POD_DOWN, /* the hook was answered, the namespace is about to be removed */
	POD_STOPPED,
	POD_UNPREPARING
};

struct wclaim {
	bool used;
	struct claim_ref ref;
	size_t n;
	int devices[DEVICES_PER_CLAIM];
	bool bad_config;
	bool same_name; /* its devices are all to be called "same" */
	bool dhcp;
	bool exists;      /* at the API server */
	bool allocated;   /* there */
	bool prepared;    /* the kubelet holds a success */
	char reason[256]; /* else what it was told last; "" = nothing */
	enum token token; /* the CDI spec file */
	unsigned token_epoch;
	bool marker;
	uint32_t minors[DEVICES_PER_CLAIM]; /* of the character devices it gives */
	uint32_t files[DEVICES_PER_CLAIM];  /* of what lease the files tell that its containers have */
	int token_sandbox;                  /* FINAL resolves only while this sandbox's process lives */
	/* status.devices at the API server */
	bool status_known;
	int status_n;
	bool untold; /* dranetd died when the disk had not taken what was still to be told */
	bool status_ready[DEVICES_PER_CLAIM];
	/* Kubernetes events */
	unsigned gone_events, undo_events, restore_events;
};

struct wpod {
	enum pod_phase phase;
	unsigned incarnation;
	char uid[UID_SIZE];
	struct wclaim claims[CLAIMS_PER_POD];
	int sandbox; /* number, -1 = none */
	uint64_t call;
	bool pending_token;                                 /* the container was created on a pending spec */
	uint32_t minors[CLAIMS_PER_POD][DEVICES_PER_CLAIM]; /* what it was created with */
	bool refused;                                       /* its last Prepare failed */
	int old_sandbox;
};

struct wsandbox {
	bool exists;     /* the runtime lists it */
	bool netns;      /* the namespace's path is there */
	bool alive;      /* the namespace itself: a path, a process or our pin holds it */
	bool unopenable; /* the last attempt to pin it failed for want of descriptors */
	bool pinned;     /* by the dranetd that lives */
	unsigned left;   /* bits: devices that left it, and dranetd, which listens in what it pins, has not heard of it yet */
	int pod;
};
enum { SANDBOXES = 256 };

enum call_kind { CALL_PREPARE, CALL_UNPREPARE, CALL_AGAIN, CALL_RUN, CALL_STOP, CALL_CREATE, CALL_STRAY };
struct wcall {
	uint64_t id;
	enum call_kind kind;
	int pod;
	uint64_t deadline;
	bool open;
	bool given_up; /* the caller waits no longer */
};

struct pending {
	struct effect effect;       /* owned */
	struct claim_record record; /* STORE, TOKEN: a copy */
	bool performed;
	/* the result */
	int result;
	enum place place;
	struct pod_state pod;
	struct host_state host;
	uint64_t inode;
	struct claim_object object;
	bool has_object;
	struct leases *leases;
	const char *differences;
	/* STATUS: what it says */
	int status_n;
	bool status_ready[DEVICES_PER_CLAIM];
	char status_device[DEVICES_PER_CLAIM][DEVICE_NAME_SIZE];
};

struct sim {
	/* the schedule */
	const uint32_t *choices;
	size_t n_choices, at;
	uint64_t draw;
	bool verbose;
	unsigned steps;
	/* How dranetd was started, what the runtime can do, and in what order it does it. */
	bool synchronous, ungated, crio;
	bool slow_disk, crashy; /* what this schedule is rich in */
	/* Claims were not all made for their pod: the next pod may use the same one. And the kubelet asks again where Prepare failed. */
	bool lasting;
	bool fabric, exclusive, legacy; /* fabric.c */
	uint32_t last_minor;
	/* dranetd */
	struct core *core; /* NULL = not running */
	unsigned epoch, boot;
	uint64_t now;
	bool recovered, inventory_told, connected;
	struct pending pending[PENDING];
	size_t n_pending;
	struct claim_record records[RECORDS]; /* the disk */
	size_t n_records;
	bool disk_full;
	/* the world */
	struct wdevice devices[DEVICES];
	struct wpod pods[PODS];
	struct wsandbox sandboxes[SANDBOXES];
	int n_sandboxes;
	uint32_t last_lease;
	struct wcall calls[CALLS];
	uint64_t next_call;
	uint64_t published; /* revision the API server holds */
	uint64_t want_published;
	uint64_t slice_version, slice_digest; /* of the one slice that there is, after the last step; version 0 = none yet */
	uint64_t slice_told;                  /* what it said when there was news of it */
	bool slice_news, slice_wavers;        /* it is to be published; it said different things under that version */
	bool api_down;
	bool calm; /* healing: nothing fails any more, */
	bool over; /* and the pods come to an end */
	bool uplinks_told;
	bool telling_left; /* core hears of a link that left a pod */
	/* the operation that failed just now: core must not begin it again in the same breath */
	bool failing;
	enum effect_type failed_type;
	char failed_subject[UID_SIZE];
	/* the verdict */
	char broken[256]; /* "" = all promises hold */
	/* coverage */
	unsigned long long transitions[16], events, attaches, crashes, reboots, leases, renewals;
};

void sim_init(struct sim *s, const uint32_t *choices, size_t n, bool verbose);
void sim_run(struct sim *s);
void sim_free(struct sim *s);

/* world.c */
bool sim_next(struct sim *s);                   /* take the next number of the schedule */
uint32_t sim_choose(struct sim *s, uint32_t n); /* below n, drawn from it; 0 when all is calm */
void sim_say(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_break(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_feed(struct sim *s, struct event *e); /* core_step, and what is done inline */
int device_index(const char *name);
void device_name(int i, char name[DEVICE_NAME_SIZE]);
int sandbox_index(const char *id);
void sandbox_name(int i, char id[SANDBOX_ID_SIZE]);
struct wclaim *claim_by_uid(struct sim *s, const char *uid, int *pod);
void netns_check(struct sim *s, int sandbox); /* dies when nothing holds it */
void tell_device(struct sim *s, int i);
void tell_uplinks(struct sim *s);
void tell_lease(struct sim *s, int i, bool lost); /* it was renewed, or ended */
void device_left(struct sim *s, int i);           /* the namespace it is in: before it goes */
void tell_left(struct sim *s, int sandbox);       /* of one device that did */
void sandbox_fill(const struct sim *s, int sandbox, struct sandbox *ret);
bool device_is_uplink(const struct sim *s, int i);
const char *effect_subject(const struct effect *f); /* what an operation is about */

/* perform.c */
void perform(struct sim *s, struct pending *p, uint32_t how); /* how: 0 = works, else one of the ways to fail */
uint32_t perform_ways(const struct pending *p);
void deliver(struct sim *s, size_t i);
void pending_drop(struct sim *s, size_t i);
bool perform_ready(const struct sim *s, size_t i); /* its queue has come to it */
void perform_crash(struct sim *s);                 /* dranetd dies in the middle of what is at the head of the queues */
void perform_keep(struct sim *s, const struct effect *f);
void perform_drop(struct sim *s, const struct effect *f);
bool lease_recorded(const struct sim *s, int i); /* on disk */
void perform_rest(struct sim *s);                /* the workers end what they were given, and nobody hears of it */
int record_copy(const struct claim_record *from, struct claim_record *ret);

/* calls.c */
struct wcall *call_new(struct sim *s, enum call_kind kind, int pod, uint64_t patience);
void call_request(struct sim *s, enum event_type type, enum call_kind kind, int pod);
void call_hook(struct sim *s, enum event_type type, enum call_kind kind, int pod, int sandbox);
void call_answered(struct sim *s, uint64_t call, const struct effect *reply);
void hook_result(struct sim *s, struct wpod *p, int pod, enum call_kind kind, const char *error);
void hooks_abandoned(struct sim *s); /* the runtime goes on without a plugin that is gone (fail-open) */
void request_abandoned(struct sim *s, uint64_t call);
void calls_broken(struct sim *s); /* dranetd is gone */
bool calls_late(struct sim *s);   /* callers of what is past its deadline give up; whether a hook is among them */

/* fabric.c */
void fabric_init(struct sim *s);
bool device_is_pci(const struct sim *s, int i);
bool device_is_pf(const struct sim *s, int i);
bool device_is_vf(const struct sim *s, int i);
bool device_has_netdev(const struct sim *s, int i);
bool device_moves_nodes(const struct sim *s, int i);                             /* its character device is made anew by each move */
bool device_stays(const struct sim *s, int i);                                   /* on the host, whoever is given it */
bool device_is_planned(const struct wdevice *d, const struct attach_plan *plan); /* not another one of that name */
void device_put(struct sim *s, int i, int place);
bool device_told(const struct sim *s, int i); /* core knows what is true now */
int vfs_away(const struct sim *s);
const char *pf_is_ruled_out(const struct sim *s, bool with_claims); /* why; NULL = it is not */
bool pf_is_free(const struct sim *s);
bool device_planned(const struct sim *s, int device); /* the record of a claim that is not unprepared has it */
bool vf_is_ruled_out(const struct sim *s, int i);     /* a claim has its PF */
bool vf_is_free(const struct sim *s, int i);          /* what is no VF is, too */
void check_family(struct sim *s, const struct claim_record *r);
void fabric_facts(const struct sim *s, int i, struct device_facts *f);
void fabric_bare(const struct sim *s, int i, struct device_facts *f);
void fabric_state(const struct sim *s, int i, struct rdma_state *ret);
void nodes_written(const struct effect *f, struct wclaim *c);
void check_nodes(struct sim *s, int pod);
void check_pending_nodes(struct sim *s, const struct wclaim *c);
void check_run_answered(struct sim *s, int pod, uint64_t left);

/* pods.c */
void pod_acts(struct sim *s, int pod);
void pod_stop(struct sim *s, int pod);
void sandbox_down(struct sim *s, int pod);
void pod_prepare(struct sim *s, int pod);
void claim_deallocated(struct wclaim *c);
void claim_object_fill(const struct sim *s, const struct wclaim *c, const char *pod_uid,
                       struct claim_object *o);                                  /* as the API server has it */
bool device_held(const struct sim *s, int device, const struct wclaim *but);     /* by another claim's success */
bool device_recorded(const struct sim *s, int device, const struct wclaim *but); /* by another claim's record */
bool device_taken(const struct sim *s, int device);                              /* by a claim the scheduler knows */

/* actions.c */
void act(struct sim *s);
void world_start(struct sim *s);
void world_heal(struct sim *s);

/* check.c */
void check_promises(struct sim *s);
void check_rest(struct sim *s, bool over); /* over: all pods were taken down */
void check_container_start(struct sim *s, int pod);
void check_let_in(struct sim *s, int pod);                           /* CreateContainer was answered: in with it */
void check_stop_answered(struct sim *s, int sandbox, uint64_t left); /* ms before its deadline */
void check_begin(struct sim *s, const struct effect *f);             /* core begins an operation */
void check_perform(struct sim *s, const struct effect *f);           /* and this is the moment in which it is done */
void check_tell(struct sim *s, const struct pending *p);             /* core is given a result */
void check_told(struct sim *s, const struct pending *p);             /* and was, and people must have heard of it */
void check_event(struct sim *s, const struct effect *f);
void check_status_entry(struct sim *s, const struct effect *f, const struct device_status *d);
void check_record(struct sim *s, const struct claim_record *r); /* on its way to the disk */
const struct claim_record *record_of(const struct sim *s, const char *uid);
void check_unprepared(struct sim *s, const char *uid);
