/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of core share. Glossary:
 *
 *   device      one entry of the inventory; stays while the kernel shows it or a claim holds it
 *   attachment  one device of one claim, with its place and the operation under way on it
 *   claim       what the kubelet asked us to prepare; its wish is record.wants_pod + record.sandbox
 *   pin         a held network namespace, by sandbox id
 *   waiter      a caller to be answered
 *
 * Ownership: core owns all of them; an attachment points to its claim and device, a device to its attachment (`owner`). */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/error.h"
#include "core/base/str.h"
#include "core/core.h"
#include "core/states.h"

#define NEVER UINT64_MAX
enum { ERROR_KEPT = 256 };

struct attachment;
struct claim;

struct device {
	struct device_facts facts; /* as the host's namespace last showed it */
	enum device_state state;
	struct attachment *owner; /* reserved by or prepared for a claim */
	bool present;             /* in the host's namespace */
	bool unseen;              /* by the dump that is running */
	bool uplink, filtered;
	bool vfs_used;   /* a PF, of whose VFs somebody uses one */
	bool pf_held;    /* a VF, whose PF a claim holds */
	bool offered;    /* in the slices */
	bool shown_away; /* last known facts are shown, see device_shown() */
	size_t slice;
	uint64_t revision; /* the first that shows it as it is now */
};

struct attachment {
	struct claim *claim;
	struct device *device; /* NULL for admin access */
	struct attachment_record *record;
	enum place place;
	char where[SANDBOX_ID_SIZE]; /* the sandbox it is in, or may be in while the place is unknown */
	bool stirred;                /* the host's monitor spoke of it while an operation was under way */
	bool lost;                   /* the pod's monitor said meanwhile that it left */
	bool touched;                /* an operation of ours may have changed it, and the record on disk says so */
	bool restore;                /* on the host, but perhaps not as it was */
	bool stranded;               /* an attach failed and could not be undone: told once, until it is attached or home */
	bool gone_told;
	bool kept;          /* its leases are renewed, in this run */
	bool lease_news;    /* they changed since the pod was given what they say */
	bool lease_failing; /* told once */
	struct leases *had; /* what the pod was given; one reference */
	bool from_pod;      /* the operation under way began while it was not on the host */
	uint64_t op;
	enum effect_type op_type;
	unsigned failures;        /* in a row */
	uint64_t heard_at;        /* when a doubt from the pod was last followed */
	uint64_t retry_at;        /* NEVER = not waiting */
	char error[ERROR_KEPT];   /* "" = the last operation worked */
	char warning[ERROR_KEPT]; /* what could not be restored when it came home */
	struct host_state *host;  /* while preparing */
	struct network_config config;
};

enum claim_phase { CLAIM_READING, CLAIM_SNAPSHOT, CLAIM_STORING, CLAIM_LEASING, CLAIM_READY, CLAIM_UNPREPARED, CLAIM_FORGETTING };

struct retry {
	unsigned failures;
	uint64_t at; /* NEVER = not waiting */
};

struct claim {
	struct claim_record record;
	struct attachment *attachments; /* record.n of them */
	enum claim_phase phase;
	uint64_t read_op;
	bool unprepare; /* the kubelet wants it gone */
	/* The record on disk: versions, so that "durable" can be asked of any change. */
	uint64_t version, stored, storing;
	uint64_t intent;   /* the version that must be on disk before one goes into a pod: where to, and that it is not there yet */
	uint64_t attached; /* the version that says that they are there */
	uint64_t store_op, forget_op;
	struct retry store_retry;
	char store_error[ERROR_KEPT];
	/* The CDI spec file. */
	int token; /* enum token, TOKEN_UNSURE after a start */
	int token_next;
	uint64_t token_op;
	uint64_t token_nodes, token_nodes_next; /* of the character devices it gives: a digest */
	/* The same of what containers are told of their devices by the files beside it: as it is in the pod, and as it was written. */
	uint64_t told, token_told, token_told_next;
	struct retry token_retry;
	/* status.devices */
	bool status_dirty, status_told, status_gone;
	uint64_t status_digest; /* of what was told last, 0 = nothing, or not known to have arrived */
	uint64_t status_op;
	bool status_earlier; /* what is under way began before the claim was prepared */
	struct retry status_retry;
};
enum { TOKEN_UNSURE = -1 };

enum pin_state { PIN_OPENING, PIN_HELD, PIN_FAILED };
struct pin {
	struct sandbox sandbox; /* claims may want another one by now */
	enum pin_state state;
	uint64_t op;
	uint64_t inode;
	uint64_t expected; /* inode the record names; 0 = any */
	uint64_t retry_at; /* when a failed one may be tried again */
	bool dead;         /* failed because there is no such namespace any more, not because we could not open it */
	char error[ERROR_KEPT];
};

enum waiter_kind { WAIT_PREPARE, WAIT_UNPREPARE, WAIT_RUN, WAIT_STOP, WAIT_CREATE };
struct waiter_claim {
	struct claim_ref ref;
	bool settled;
	char *error; /* owned; NULL = success */
};
struct waiter {
	enum waiter_kind kind;
	uint64_t call;
	uint64_t deadline; /* when we answer at the latest */
	struct waiter_claim *claims;
	size_t n;
	char pod_uid[UID_SIZE];
	char sandbox[SANDBOX_ID_SIZE];
	bool run;       /* RunPodSandbox: an error ends the sandbox */
	uint64_t nodes; /* CreateContainer: of the character devices that the container was made with, a digest */
};

struct core {
	struct core_options options;
	char driver[NAMESPACE_SIZE];
	char node[NAME_SIZE];
	char boot_id[BOOT_ID_SIZE];
	uint64_t now;
	uint64_t next_op;
	struct effects *fx;

	struct device **devices; /* sorted by name */
	size_t n_devices, cap_devices;
	int32_t *uplinks;
	size_t n_uplinks;
	bool inventory_known, publish_dirty;
	uint64_t revision;
	uint64_t changes;         /* looks at the inventory after something of it had changed */
	uint64_t *slice_versions; /* by slice, as far as there were any */
	size_t n_slice_versions;
	uint64_t slice_changes; /* so many, of all slices */
	uint64_t impossible;

	struct claim **claims;
	size_t n_claims;
	struct pin **pins;
	size_t n_pins;
	struct waiter **waiters;
	size_t n_waiters;

	bool runtime_up, can_gate;
	bool again; /* an answer changed a wish: look at the claims once more */
};

/* memory: abort when there is none */
void *core_alloc(size_t n, size_t size);
char *core_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Append to an array of pointers / remove the i-th. */
void core_list_add(void ***list, size_t *n, void *item);
void core_list_remove(void **list, size_t *n, size_t i);
#define LIST_ADD(list, n, item) core_list_add((void ***)&(list), &(n), (item))
#define LIST_REMOVE(list, n, i) core_list_remove((void **)(list), &(n), (i))

/* FNV-1a, of what was told: not to tell it again. */
#define DIGEST_SEED 0xcbf29ce484222325u
uint64_t digest_add(uint64_t digest, const void *data, size_t len);

/* effects.c */
struct effect *effect_add(struct core *c, enum effect_type type, bool wants_result); /* op set when a result is wanted */
void effect_transition(struct core *c, struct attachment *a, struct device *d, enum device_state from, enum device_state to,
                       const char *cause, uint32_t duration_ms, int result, const char *message);
void effect_event(struct core *c, enum subject subject, const struct claim *claim, const char *reason, const char *message);

/* inventory.c */
struct device *inventory_find(const struct core *c, const char *name);
struct device *inventory_get(struct core *c, const struct device_facts *facts); /* find or make a placeholder that is not present */
void inventory_event(struct core *c, const struct event *e);
void inventory_refresh(struct core *c); /* uplinks, filter, what is offered; after a step that changed any of it */
void inventory_drop_unused(struct core *c);
/* Apply a row of the state table. */
void device_apply(struct core *c, struct device *d, enum device_event event, struct attachment *a, uint32_t duration_ms, int result,
                  const char *message);
const struct device_facts *device_shown(const struct device *d);
/* It is home and the monitor has not told yet. What a PCI function said of itself meanwhile is newer than `facts`, which may be of an older
 * version's record. */
void device_expect(struct core *c, struct device *d, const struct device_facts *facts);
/* Why no filter would offer it as long as no claim has it; "" = one would. */
void device_unoffered(const struct core *c, const struct device *d, char *text, size_t size);
/* A PF rules its VFs, so a claim may have the one or the others. The PF is not to be had while one of them is used: whether one is, and
 * into `text` which and by whom; VFs that claims hold count `with_claims` only. */
bool device_vfs_used(const struct core *c, const struct device *pf, bool with_claims, char *text, size_t size);
/* A VF is not to be had while a claim holds its PF, until that is home and let go: the PF then, and into `text` which and whose; else NULL.
 */
const struct device *device_held_pf(const struct core *c, const struct device *vf, char *text, size_t size);

/* claims.c */
struct claim *claim_find(const struct core *c, const char *uid);
struct claim *claim_new(struct core *c, const struct claim_ref *ref);
void claim_release_devices(struct core *c, struct claim *claim); /* drop attachments and their hold on devices */
void claim_remove(struct core *c, struct claim *claim);
void claim_free(struct claim *claim);
void claim_set_devices(struct claim *claim, size_t n);
bool claim_is_home(const struct claim *claim);     /* nothing of it is in a pod, and nothing under way */
bool claim_is_attached(const struct claim *claim); /* all of it is in its sandbox */
bool claim_has_movable(const struct claim *claim);
/* Some of its character devices get their numbers only by the attach. */
bool claim_moves_nodes(const struct claim *claim);
const struct attachment *claim_failing(const struct claim *claim); /* the first whose last operation failed and waits */
/* The host's namespace shows what of it would be given to a pod: a PCI function is there without its netdev, too. With a plan only. */
bool attachment_is_shown(const struct attachment *a);
/* The last look found it in the pod without the RDMA device that was to go with it. */
bool attachment_lacks_rdma(const struct attachment *a);
/* It is where the host's namespace should not show it. */
bool attachment_is_away(const struct attachment *a);
void attachment_snapshot(struct core *c, struct attachment *a); /* ask for its host state; the attachment is busy until it is there */
/* It was not on the host, and may be by now: look, and if it is there it is not as it was. */
void attachment_doubt(struct attachment *a);
/* The same on the word of the pod's namespace. Whoever may make links in there may remove them as fast as they like: that must not keep
 * the worker from other pods' devices. */
void attachment_doubt_calmly(const struct core *c, struct attachment *a);
bool attachment_is_stale(const struct core *c, const struct attachment *a); /* its host state is of an earlier boot */
void claim_changed(struct claim *claim);                                    /* the record changed: it will be stored */
void claim_set_wish(struct claim *claim, bool pod, const struct sandbox *sandbox);
void claim_hurry(struct claim *claim); /* try what failed now, not when the backoff says */
void claim_hurry_moves(struct claim *claim, bool attach_only);
bool retry_due(const struct core *c, uint64_t at); /* NEVER = it does not wait, and is */
uint64_t retry_after(const struct core *c, unsigned failures);
void retry_failed(const struct core *c, struct retry *r);

/* prepare.c */
void prepare_request(struct core *c, const struct event *e);
void prepare_claim_read(struct core *c, const struct event *e);
bool prepare_done(struct core *c, struct claim *claim, struct attachment *a, const struct event *e); /* snapshot results */
void prepare_stored(struct core *c, struct claim *claim, int result, const char *error);
void unprepare_request(struct core *c, const struct event *e);

/* leasing.c */
bool attachment_wants_leases(const struct attachment *a);
void lease_start(struct core *c, struct attachment *a);       /* ask for them; the device is on the host */
void lease_take(struct attachment *a, const struct event *e); /* the answer was good */
void lease_tend(struct core *c, struct attachment *a);        /* it is in the pod: have them renewed, and give it what is new */
void lease_drop(struct core *c, struct attachment *a, const char *sandbox); /* give them back, if there are any */
void lease_ended(struct attachment *a);                                     /* before the pod had it: another is to be asked for */
bool lease_return(struct core *c, struct attachment *a);                    /* of a pod that never used them; false = not yet */
void lease_returned(struct attachment *a, const struct event *e);
void lease_applied(struct core *c, struct attachment *a, const struct event *e);
void lease_event(struct core *c, struct event *e);

/* sandbox.c */
void sandbox_event(struct core *c, const struct event *e);
void sandbox_refused(struct core *c, const char *id);
struct pin *pin_find(const struct core *c, const char *id);
void pin_request(struct core *c, const struct sandbox *s, uint64_t expected_inode);
bool pin_done(struct core *c, const struct event *e);
void pins_drop_unused(struct core *c);

/* reconcile.c */
struct effect *move_start(struct core *c, struct attachment *a, enum effect_type type, const char *sandbox);
void move_fail(struct core *c, struct attachment *a, const char *text);
void claim_reconcile(struct core *c, struct claim *claim);
void move_done(struct core *c, struct attachment *a, const struct event *e);
bool claim_done(struct core *c, const struct event *e); /* store, forget, token, status */

/* status.c */
void status_reconcile(struct core *c, struct claim *claim);
void status_done(struct core *c, struct claim *claim, const struct event *e);
void status_read_back(struct claim *claim); /* the pod state of one of its devices is another */

/* waiters.c */
struct waiter *waiter_add(struct core *c, enum waiter_kind kind, uint64_t call, uint64_t deadline);
void waiters_settle(struct core *c, const char *uid, const char *error); /* of a Prepare */
void waiters_check(struct core *c);
/* A digest of the character devices that the CDI files of its pod give now. */
uint64_t waiter_nodes(const struct core *c, const struct waiter *w);
void waiters_drop_hooks(struct core *c); /* the runtime is gone: nobody listens */
void waiter_free(struct waiter *w);
void hook_reply(struct core *c, uint64_t call, const char *error);

/* recover.c */
void recover_record(struct core *c, struct claim_record *record);
void recover_end(struct core *c);
