/* SPDX-License-Identifier: Apache-2.0 */
/* When the number of a PF's VFs is changed to the one that is configured: when the PF comes; and if that was refused because VFs were in
 * use, once more when the last use has ended, and for a while no other has begun. In that while an interface that was only taken down to be
 * configured anew is up again, and a claim that the scheduler has given one of the VFs to already, which nobody here can know, is prepared.
 *
 * No timer and no kernel: the engine looks, and says what it saw. Times are milliseconds of a monotonic clock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SRIOV_QUIET_MS = 10000 };

/* Zero = the PF was not seen yet. */
struct sriov_wait {
	bool there;            /* the PF is, and was looked at */
	bool busy;             /* its VFs are being changed */
	bool refused;          /* they were in use: waiting */
	bool used;             /* by what was known last */
	uint64_t unused_since; /* 0 = nothing ended yet since it was refused */
};

/* A look at the PF; true = change its VFs now, and say how that ended. */
bool sriov_wait_look(struct sriov_wait *w, bool there, bool used, uint64_t now);
void sriov_wait_begun(struct sriov_wait *w);
void sriov_wait_ended(struct sriov_wait *w, bool refused);
/* When the next look is due though nothing happens; UINT64_MAX = never. */
uint64_t sriov_wait_due(const struct sriov_wait *w);
