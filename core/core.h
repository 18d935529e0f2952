/* SPDX-License-Identifier: Apache-2.0 */
/* The core: one pure state machine that decides everything dranetd does.
 *
 *     core_step(core, event) → effects
 *
 * An event is something that happened (a request, a kernel change, the result of an effect, time passing) and carries the time. An effect
 * is something to be done; the daemon performs it and, where `op` is not 0, sends its result back as EVENT_DONE with that number. Core
 * makes no system call, reads no clock, and knows no wire format, so the simulator in tests/sim can run it with any interleaving, any
 * failing effect and a crash anywhere (promises: README, design).
 *
 * Inside, each claim has a wish (where its devices belong: in a sandbox, or on the host) and each device a place (where the kernel last
 * said it is). Events change wishes and places; claim_reconcile() emits the next step from place to wish, one operation per device at a
 * time; callers that wait (Prepare, CreateContainer, Unprepare …) are answered when the wish is reached, has failed, or their deadline
 * nears.
 *
 * Times are milliseconds of a monotonic clock. Not thread safe. */
#pragma once

#include "core/claim.h"
#include "core/filter.h"

struct core;

struct core_options {
	const char *driver;                  /* "dra.net" */
	const char *node;                    /* also the pool's name */
	const char *boot_id;                 /* /proc/sys/kernel/random/boot_id; NULL or "" = unknown: no reboot is ever noticed */
	struct filter *filter;               /* not owned; NULL keeps all */
	bool synchronous_hooks;              /* RunPodSandbox and StopPodSandbox wait for the moves */
	uint32_t hook_margin_ms;             /* answer this long before the caller would give up; 0 = 200 */
	uint32_t retry_min_ms, retry_max_ms; /* backoff of failed moves and status writes; 0 = 500 and 30000 */
};

/* ---- events ---------------------------------------------------------------------------------------------------------------------- */

enum event_type {
	EVENT_TICK,            /* the time core_deadline() named has come */
	EVENT_RECORD,          /* start: one record of the store (core takes the contents) */
	EVENT_RECOVERED,       /* start: all records were given */
	EVENT_INVENTORY_BEGIN, /* a full dump follows: forget what it does not name */
	EVENT_DEVICE,          /* a device is there or changed */
	EVENT_DEVICE_GONE,     /* it is not in the host's namespace any more */
	EVENT_INVENTORY_END,
	EVENT_POD_DEVICE_GONE, /* a link left, or vanished in, a pinned namespace; in doubt too (messages were lost): core looks itself */
	EVENT_UPLINKS,         /* the links that carry a default route changed */
	EVENT_PUBLISHED,       /* the API server holds exactly revision `revision` of what we publish */
	EVENT_PREPARE,         /* kubelet: NodePrepareResources */
	EVENT_UNPREPARE,       /* kubelet: NodeUnprepareResources */
	EVENT_CLAIM_READ,      /* result of EFFECT_CLAIM_GET */
	EVENT_RUNTIME_UP,      /* NRI is connected and configured */
	EVENT_RUNTIME_DOWN,
	EVENT_RUN_SANDBOX, /* NRI hooks */
	EVENT_STOP_SANDBOX,
	EVENT_REMOVE_SANDBOX,
	EVENT_CREATE_CONTAINER,
	EVENT_SYNCHRONIZE, /* the runtime's list of sandboxes, after (re)connecting */
	EVENT_LEASE,       /* a kept lease was renewed, changed or ended */
	EVENT_DONE,        /* result of an effect with an op */
	EVENT_TYPE_MAX
};

/* Where a device was found after a move, a probe or a failure. */
enum place { PLACE_UNKNOWN, PLACE_HOST, PLACE_POD, PLACE_GONE };

struct event {
	enum event_type type;
	uint64_t now;
	union {
		struct claim_record *record; /* contents are moved out */
		const struct device_facts *device;
		const char *device_gone; /* device name */
		struct {
			char sandbox[SANDBOX_ID_SIZE]; /* of the pin */
			int32_t ifindex;               /* in there; 0 = unknown */
			char ifname[IFNAME_SIZE];      /* in there; "" = unknown: anything may have gone */
		} pod_device_gone;
		struct {
			const int32_t *ifindexes;
			size_t n;
		} uplinks;
		struct {
			uint64_t revision;
		} published;
		struct { /* PREPARE, UNPREPARE */
			uint64_t call;
			const struct claim_ref *claims;
			size_t n;
			uint64_t deadline; /* UINT64_MAX = none */
		} request;
		struct {
			uint64_t op;
			int result;        /* 0; -ENOENT = no such claim, -ESTALE = another UID under this name, else transport trouble */
			const char *error; /* text for a failure */
			struct claim_object *object; /* contents are moved out on success */
		} claim_read;
		struct {
			uint32_t request_timeout_ms; /* the runtime gives up on a hook after this; 0 = unknown */
			bool can_gate;               /* a pending CDI spec can be tied to this process's life (EFFECT_TOKEN) */
		} runtime;
		struct { /* the four hooks */
			uint64_t call;
			const struct sandbox *sandbox;
			uint64_t deadline;
		} hook;
		struct {
			const struct sandbox *sandboxes;
			size_t n;
		} synchronize;
		struct {
			char device[DEVICE_NAME_SIZE];
			char claim_uid[UID_SIZE];
			struct leases *leases; /* one reference, moved out; a family that ended is not held */
		} lease;
		struct {
			uint64_t op;
			int result; /* 0 or negative errno; ATTACH: -ESTALE = a lease has ended, ask for another */
			const char *error;
			/* by kind of effect: */
			uint64_t netns_inode;        /* PIN */
			struct host_state *host;     /* SNAPSHOT: contents are moved out on success */
			struct leases *leases;       /* LEASE: one reference, moved out on success */
			enum place place;            /* ATTACH, LEASE_APPLY, DETACH, PROBE: always set, also on failure */
			const struct pod_state *pod; /* ATTACH, LEASE_APPLY, PROBE when place is POD */
			uint32_t duration_ms;        /* of the work itself */
			bool rdma;                   /* ATTACH that failed: of its RDMA device */
			const char *differences;     /* DETACH: what could not be restored, by name; NULL or "" = all is as it was */
		} done;
	};
};

/* ---- effects --------------------------------------------------------------------------------------------------------------------- */

enum effect_type {
	EFFECT_CLAIM_GET, /* read a ResourceClaim → EVENT_CLAIM_READ */
	EFFECT_SNAPSHOT,  /* read a device's host state → DONE.host */
	EFFECT_PIN,       /* open the sandbox's network namespace and hold the descriptor under the sandbox id → DONE.netns_inode */
	EFFECT_UNPIN,     /* let go of it */
	EFFECT_ATTACH,    /* host → pod, complete or undone → DONE.place, DONE.pod */
	EFFECT_DETACH,    /* wherever it is → host, restored and read back → DONE.place, DONE.differences */
	EFFECT_PROBE,     /* where is it? → DONE.place */
	EFFECT_LEASE, /* on the host, with the link up for as long as it takes: ask DHCP servers for what the plan wants → DONE.leases */
	EFFECT_LEASE_KEEP,  /* the device is in the sandbox: renew its leases from now on → EVENT_LEASE, again and again */
	EFFECT_LEASE_APPLY, /* the device in its sandbox gets what its new leases say, and loses what only the old ones said */
	EFFECT_LEASE_DROP, /* renew them no more; with `release` tell the servers. At once, for a DETACH may follow; with an op on the host,
	                      where the link may have to go up for a moment */
	EFFECT_STORE,      /* write the claim's record; answered after it is durable */
	EFFECT_FORGET,     /* remove the record */
	EFFECT_TOKEN,      /* write, replace or remove the claim's CDI spec file */
	EFFECT_STATUS,     /* apply status.devices of a claim (n = 0 removes our entries) */
	EFFECT_PUBLISH,    /* the devices to publish changed → EVENT_PUBLISHED when the API server holds them */
	EFFECT_REPLY_PREPARE,
	EFFECT_REPLY_UNPREPARE,
	EFFECT_REPLY_HOOK,
	EFFECT_EVENT,      /* a Kubernetes Event */
	EFFECT_TRANSITION, /* a device changed state: one journal record, one metric */
	EFFECT_TYPE_MAX
};

/* The CDI spec file of a claim: the door through which its containers get in (protocols §7.9). Measured with containerd: CDI ids are
 * resolved before the CreateContainer hook is called, and a hook whose plugin dies is skipped. So the door has three positions: NONE     no
 * file: CreateContainer is refused. PENDING  while an attach is under way and the hook will hold the container back: a file that resolves
 * only as long as this very process lives, and that mounts a marker which exists only while the devices are in the pod, so that a container
 * let through by our death cannot start. FINAL    the devices are in the pod: the marker exists, a plain file.
 * A claim whose character devices get other numbers by the move (an RDMA device in exclusive mode) has no PENDING: RunPodSandbox is
 * answered when they are there. */
enum token { TOKEN_NONE, TOKEN_PENDING, TOKEN_FINAL };

struct prepared_device {
	const char *request; /* main request, without "/sub" */
	const char *pool, *device, *share_id;
};
struct claim_answer {
	const char *uid;
	const char *error; /* NULL = success */
	const struct prepared_device *devices;
	size_t n_devices;
	const char *cdi_id; /* for each device */
};
struct device_status {
	const char *pool, *device, *share_id;
	bool ready;
	const char *reason;          /* CamelCase */
	const char *message;         /* "" = none */
	const struct pod_state *pod; /* NULL unless attached */
	const struct leases *leases; /* NULL unless attached with any */
};

enum subject { SUBJECT_CLAIM, SUBJECT_POD };

struct effect {
	enum effect_type type;
	uint64_t op; /* 0 = nobody waits for the result */
	union {
		struct claim_ref claim_get;
		struct {
			char device[DEVICE_NAME_SIZE];
			int32_t ifindex;
			char ifname[IFNAME_SIZE];
			char rdma_device[ATTRIBUTE_TEXT_SIZE]; /* "" = none; without a netdev (ifindex 0) it is all there is */
			bool rdma_umad, rdma_issm;             /* these character devices, too */
			struct network_config *wanted; /* owned by the effect; of it the ethtool part: -EINVAL if the device has not what
			                                  it asks for. NULL = nothing is asked for */
		} snapshot;
		struct sandbox pin;                    /* PIN */
		char unpin[SANDBOX_ID_SIZE];           /* UNPIN: sandbox id */
		struct {                               /* ATTACH, DETACH, PROBE, LEASE, LEASE_KEEP, LEASE_APPLY, LEASE_DROP */
			struct attach_plan *plan;      /* a reference, owned by the effect */
			struct leases *leases;         /* ATTACH, LEASE_*: a reference, owned by the effect; NULL = none */
			struct leases *old;            /* LEASE_APPLY: what it had before; as above */
			bool release;                  /* LEASE_DROP */
			char sandbox[SANDBOX_ID_SIZE]; /* the pinned namespace; "" = none is held: look on the host */
			struct claim_ref claim;
		} move;
		const struct claim_record *store; /* borrowed: valid until the next core_step(); serialise it at once */
		struct claim_ref forget;
		struct {
			struct claim_ref claim;
			enum token token;
			uint32_t sandbox_pid;    /* FINAL: the sandbox's process, 0 = unknown, and */
			uint64_t netns_inode;    /* the namespace it must be in */
			struct rdma_node *nodes; /* PENDING, FINAL: for the claim's containers; owned by the effect */
			size_t n_nodes;
			const struct claim_record *record; /* borrowed: valid until the next core_step() */
		} token;
		struct {
			struct claim_ref claim;
			struct device_status *devices; /* owned by the effect; strings borrowed until the next core_step() */
			size_t n;
		} status;
		struct {
			uint64_t revision;
		} publish;
		struct { /* both replies */
			uint64_t call;
			struct claim_answer *answers; /* owned by the effect, with all it points to (effects_free) */
			size_t n;
		} reply;
		struct {
			uint64_t call;
			char *error; /* owned; NULL = success */
		} reply_hook;
		struct {
			enum subject subject;
			struct claim_ref claim;
			struct pod_ref pod;
			const char *reason; /* static */
			char *message;      /* owned */
		} event;
		struct {
			char device[DEVICE_NAME_SIZE];
			char pci_address[PCI_ADDRESS_SIZE];
			char ifname[IFNAME_SIZE];
			enum device_state from, to;
			const char *cause; /* static: the row's event in the state table */
			struct claim_ref claim;
			struct pod_ref pod;
			char sandbox[SANDBOX_ID_SIZE];
			char netns[PATH_SIZE];
			uint32_t duration_ms;
			int result;
			char *message; /* owned; NULL = none */
		} transition;
	};
};

struct effects {
	struct effect *v;
	size_t n, cap;
};
void effects_free(struct effects *fx); /* and everything the effects own; leaves it empty */

int core_new(const struct core_options *options, struct core **ret);
void core_free(struct core *c);
/* Take one event; the effects are appended to `fx` in the order in which they must begin. 0, or -EINVAL for an event type that does not
 * exist. Never re-entrant: results of effects are given back after it returned. Out of memory aborts the process: a restart is safe at any
 * instruction (promise 5), half an event is not. */
int core_step(struct core *c, struct event *e, struct effects *fx);
/* When core next wants EVENT_TICK; UINT64_MAX = never. */
uint64_t core_deadline(const struct core *c);
/* Whether a pod has a claim here. The NRI adapter asks before it builds an event: a pod without one is answered at once. */
bool core_knows_pod(const struct core *c, const char *pod_uid);
/* Whether a claim is prepared for this pod. */
bool core_owns_claim(const struct core *c, const char *pod_uid, const char *claim_uid);

/* What is to be published: at most 64 devices a slice, a device stays in its slice while it exists, so that one change rewrites one slice.
 */
enum { SLICE_DEVICES_MAX = 64 };
struct slice_view {
	size_t n;
	const struct device_facts *devices[SLICE_DEVICES_MAX]; /* sorted by name; valid until the next core_step() */
};
size_t core_slices(const struct core *c); /* how many; at least 1 once the inventory is known (an empty pool is one empty slice) */
void core_slice(const struct core *c, size_t index, struct slice_view *ret);
/* Another number each time the slice may say something else. */
uint64_t core_slice_version(const struct core *c, size_t index);

/* For people: every device and claim, for debug pages and tests. */
struct core_device_view {
	const struct device_facts *facts;
	enum device_state state;
	bool offered, uplink, filtered;
	bool vfs_used;                    /* a PF, of whose VFs somebody uses one */
	bool pf_held;                     /* a VF, whose PF a claim holds */
	const struct claim_record *claim; /* NULL = none */
	const struct attachment_record *attachment;
	enum place place;
	bool busy; /* an operation is under way */
};
/* Calls `see` for each device, by name. */
void core_devices(const struct core *c, void (*see)(const struct core_device_view *d, void *user), void *user);
/* Counts on whenever a device, or who holds it, may have changed. */
uint64_t core_changes(const struct core *c);
/* Why a device is not offered, whatever the filter says; "" = it is, or some filter would. */
void core_unoffered(const struct core *c, const char *device, char *text, size_t size);
struct core_counts {
	size_t devices, offered, claims, attached, rdma_offered, failing;
	uint64_t impossible; /* transitions the table does not have: a bug, always 0 */
};
void core_count(const struct core *c, struct core_counts *ret);
