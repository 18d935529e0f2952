/* SPDX-License-Identifier: Apache-2.0 */
/* Claims as core sees them: what the API server says of one (claim_object), and what dranetd keeps of one it prepared (claim_record), which
 * is also what the store writes to disk. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/config.h"
#include "core/lease.h"

enum {
	UID_SIZE = 64,
	NAME_SIZE = 254,     /* DNS subdomain */
	NAMESPACE_SIZE = 64, /* DNS label */
	REQUEST_SIZE = 132,  /* "request/subrequest" */
	SHARE_ID_SIZE = 40,
	SANDBOX_ID_SIZE = 128,
	PATH_SIZE = 512,
	CLAIM_DEVICES_MAX = 32, /* allocation results of a claim, protocols §4.4 */
	CDI_ID_SIZE = 160,
	BOOT_ID_SIZE = 40, /* a UUID */
};

struct claim_ref {
	char uid[UID_SIZE];
	char namespace_[NAMESPACE_SIZE];
	char name[NAME_SIZE];
};
struct pod_ref {
	char uid[UID_SIZE];
	char namespace_[NAMESPACE_SIZE];
	char name[NAME_SIZE];
};

/* status.allocation of a ResourceClaim, our driver's part of it. Decoded by k8s/claims. */
struct claim_result {
	char request[REQUEST_SIZE]; /* as allocated: "req" or "req/sub" */
	char pool[NAME_SIZE];
	char device[DEVICE_NAME_SIZE];
	char share_id[SHARE_ID_SIZE]; /* "" = none */
	bool admin_access;
};
struct claim_config {
	bool from_class;
	char (*requests)[REQUEST_SIZE]; /* none = for all */
	size_t n_requests;
	struct value parameters; /* the opaque object; VALUE_NULL = empty */
	char *parse_error;       /* the document could not be decoded: why; else NULL */
};
struct claim_object {
	struct claim_ref ref;
	bool allocated;
	size_t n_reserved;                   /* entries in status.reservedFor */
	bool reserved_for_pod;               /* the only entry is a pod: */
	struct pod_ref pod;                  /* namespace is the claim's */
	char pod_claim_name[NAMESPACE_SIZE]; /* what the pod calls it, when it was made from a template; "" = it was not */
	struct claim_result *results;        /* of our driver only */
	size_t n_results;
	struct claim_config *configs; /* of our driver only, class ones first as allocated */
	size_t n_configs;
};
void claim_object_free(struct claim_object *o); /* what it holds; leaves it zero */

/* The configuration for one result: those entries whose requests are empty, name the result's request, or its main request for "req/sub";
 * class entries under claim entries. -EINVAL with all faults, prefixed with where the entry came from; when all are good, those of what
 * they make together. */
int claim_object_config(const struct claim_object *o, const struct claim_result *result, struct network_config *ret, struct error *e);

enum device_state { DEVICE_DISCOVERED, DEVICE_PUBLISHED, DEVICE_PREPARED, DEVICE_ATTACHED, DEVICE_RELEASED, DEVICE_STATE_MAX };

struct sandbox {
	char id[SANDBOX_ID_SIZE];
	struct pod_ref pod;
	char netns[PATH_SIZE]; /* "" = the host's network namespace, or the runtime did not say */
	uint32_t pid;          /* of the sandbox's process, 0 = unknown */
};

/* What the kernel says of a device in a pod: read back after the attach. */
struct pod_state {
	char ifname[IFNAME_SIZE];
	struct mac mac;
	struct ip_prefix addresses[16]; /* networkData.ips takes 16, protocols §4.5 */
	size_t n_addresses;
	struct rdma_state rdma;
};

/* One allocated device of a prepared claim. */
struct attachment_record {
	char request[REQUEST_SIZE];
	char pool[NAME_SIZE];
	char share_id[SHARE_ID_SIZE];
	bool admin_access; /* observed only: never moved (protocols §4.4); plan is NULL */
	char device[DEVICE_NAME_SIZE];
	enum device_state state;           /* prepared, attached or released */
	struct attach_plan *plan;          /* one reference */
	struct leases *leases;             /* one reference; NULL = the plan asks for none, or there are none yet */
	struct pod_state pod;              /* while attached */
	char attached_in[SANDBOX_ID_SIZE]; /* the sandbox for which the state says attached; the claim may want another one by now */
	/* The boot in which plan->host was true. After the next one the host's own tools have configured the device afresh. "" = unknown.
	 */
	char boot_id[BOOT_ID_SIZE];
};
/* One prepared claim as it is on disk. A crash may leave any older version of it; the kernel is asked where the devices are. */
struct claim_record {
	struct claim_ref ref;
	struct pod_ref pod;
	char pod_claim_name[NAMESPACE_SIZE]; /* "" = not made from a template */
	struct sandbox sandbox;              /* id "" = none yet */
	uint64_t netns_inode;                /* of the pinned namespace, 0 = none */
	bool wants_pod;                      /* the devices belong in the sandbox (else on the host) */
	bool leasing;                        /* Prepare still asks for leases: links may be up on the host that were not */
	bool unprepared;                     /* only the status remains to be told */
	size_t n;
	struct attachment_record *devices;
};
void claim_record_free(struct claim_record *r); /* what it holds */
