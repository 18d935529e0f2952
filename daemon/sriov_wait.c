/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sriov_wait.h"

bool sriov_wait_look(struct sriov_wait *w, bool there, bool used, uint64_t now)
{
	bool is_new = there && !w->there;
	/* What comes while another is being changed is new still when that has ended. */
	w->there = there && !(is_new && w->busy);
	if (!there || w->busy)
		return false;
	/* Of a use that only the kernel knew of, when it refused, the end cannot be known either: then that of the next one counts. */
	if (used || is_new)
		w->unused_since = 0;
	else if (w->used)
		w->unused_since = now;
	w->used = used;
	return is_new || sriov_wait_due(w) <= now;
}

void sriov_wait_begun(struct sriov_wait *w)
{
	w->busy = true;
	w->refused = false;
	w->unused_since = 0;
}

void sriov_wait_ended(struct sriov_wait *w, bool refused)
{
	w->busy = false;
	w->refused = refused;
}

uint64_t sriov_wait_due(const struct sriov_wait *w)
{
	bool waits = w->there && w->refused && !w->busy && w->unused_since > 0;
	return waits ? w->unused_since + SRIOV_QUIET_MS : UINT64_MAX;
}
