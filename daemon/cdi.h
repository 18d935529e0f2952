/* SPDX-License-Identifier: Apache-2.0 */
/* The CDI spec files of claims: the token without which the runtime creates no container that lists the claim (protocols §7.9). The id
 * `<driver>/claim=<claim uid>` is returned at Prepare; the file `<cdi-dir>/<driver>-<claim uid>.json` decides whether it resolves.
 *
 *   NONE     no file: the runtime refuses the container.
 *   PENDING  the attach is under way. The runtime resolves CDI ids before it calls the CreateContainer hook, so the file must be there, and
 *            yet close the door when this process dies. Two locks, one for each moment:
 *            - the device node's host path lies under /proc/<pid>/fd/<n> of this process, so that CreateContainer fails after our death.
 *              The runtime's CDI library keeps what it read of a node for later containers unless the major number is 0, so the node there
 * is a character device 0:0 (the overlay whiteout; needs no CAP_MKNOD). A second entry of the same path then puts back what every container
 * has at /dev/null. The last component must be a node: a symlink is refused (lstat).
 *            - the mount's source is a marker file that exists only while the devices are in the pod: when we die while the runtime
 *              waits for our answer it goes on without us (fail-open), and runc then finds nothing to mount.
 *   FINAL    the marker, and a spec with the first lock on the life of the pod's sandbox instead of ours (daemon/cdi_sandbox.h); without a
 * lock where the sandbox's process is out of sight.
 *
 * Every spec also sets an environment variable that names the claim. By it the CreateContainer hook sees which claims a container lists,
 * and refuses one whose claim is another pod's (k8s/nri_messages.h).
 *
 * Measured with containerd 2.1.9 (tests/node). The state directory must be the same path for us and for the runtime. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/core.h"

struct cdi;

/* Makes both directories and the gate; removes the gates of earlier processes (the caller holds the state directory's lock). */
int cdi_open(const char *cdi_directory, const char *state_directory, const char *driver, struct cdi **ret, struct error *e);
void cdi_close(struct cdi *c); /* closes the gate: PENDING files do not resolve any more; files stay. NULL allowed */
/* Write, replace or remove the claim's file. Quick: both directories are on a tmpfs. */
struct cdi_sandbox { /* FINAL: the pod's sandbox process, to tie the spec to its life; a pid of 0 ties it to nothing */
	uint32_t pid;
	uint64_t netns_inode;
};
/* A file that a container gets, read-only. */
struct cdi_mount {
	char source[PATH_SIZE], target[PATH_SIZE];
};
/* What a container gets with the claim, and no other: PENDING, FINAL. The path of a character device stands there once; where several
 * claims of a container name one (rdma_cm), the runtime takes the last. */
struct cdi_edits {
	const struct rdma_node *nodes;
	size_t n_nodes;
	const struct cdi_mount *mounts;
	size_t n_mounts;
};
/* `sandbox` and `edits` may be NULL. -EINVAL: the path of a node is none, or cannot stand in the file. */
int cdi_write(struct cdi *c, const char *claim_uid, enum token token, const struct cdi_sandbox *sandbox, const struct cdi_edits *edits,
              struct error *e);
/* Remove our driver's files and markers of claims that `known` denies, and what a crash left half written. */
int cdi_sweep(struct cdi *c, bool (*known)(const char *claim_uid, void *user), void *user, struct error *e);
/* The spec's text, for tests. */
struct buf;
void cdi_spec_text(const struct cdi *c, const char *claim_uid, enum token token, const char *sandbox_gate_path,
                   const struct cdi_edits *edits, struct buf *ret);
