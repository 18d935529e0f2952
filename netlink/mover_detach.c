/* SPDX-License-Identifier: Apache-2.0 */
/* Pod → host. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"
#include "netlink/link_state.h"
#include "netlink/mover_internal.h"
#include "netlink/rule.h"
#include "netlink/vrf.h"

/* The host's own name for it, or a temporary one when somebody took that meanwhile. */
static int free_name(struct job *j, char name[IFNAME_SIZE], struct error *e)
{
	const struct attach_plan *p = j->plan;
	(void)str_copy(name, IFNAME_SIZE, p->host.ifname);
	for (unsigned attempt = 0; attempt < 100; attempt++) {
		struct error ours = {0};
		struct link other;
		int r = link_get_by_name(j->m->host, name, &other, &ours);
		if (r == -ENODEV)
			return 0;
		if (r < 0)
			return error_set(e, r, "cannot look for the name %s on the host: %s", name, ours.text);
		temporary_name(p, attempt, name);
	}
	return error_set(e, -EEXIST, "%s and all temporary names for it are taken on the host", p->host.ifname);
}

static struct link_wish host_wish(const struct attach_plan *p)
{
	return (struct link_wish){.ifindex = p->host.ifindex,
	                          .mtu = p->host.mtu,
	                          .mac = p->host.vf.known ? NULL : &p->host.mac, /* the PF comes first */
	                          .sizes = p->host.sizes,
	                          .has_txqlen = true,
	                          .txqlen = p->host.txqlen};
}

/* First with everything in one request; when that fails without having moved, the name and nothing else. An altname that the pod gave it,
 * or one of its own that somebody took on the host meanwhile, is in the way of any move and goes first; its old number is not insisted on.
 */
static int move_home(struct job *j, const struct link *have, struct located *ret, struct error *e)
{
	struct link_wish wish = host_wish(j->plan);
	struct error ours = {0};
	char name[IFNAME_SIZE];
	for (int attempt = 0; attempt < 3; attempt++) {
		int r = free_name(j, name, e);
		if (r < 0)
			return r;
		wish.ifname = name;
		ours = (struct error){0};
		r = link_move(j->pod, have, j->m->host_fd, &wish, &ours);
		ret->place = PLACE_HOST;
		if (r == 0)
			return link_get_by_name(j->m->host, name, &ret->link, e);
		r = job_locate(j, ret, e);
		if (r < 0 || ret->place != PLACE_POD)
			return r;
		if (attempt > 0 || (ours.code != -EEXIST && ours.code != -EBUSY))
			wish = (struct link_wish){0};
		wish.ifindex = 0;
		if (ours.code == -EEXIST)
			(void)link_altnames_drop(j->pod, have->ifindex, NULL);
	}
	return error_set(e, ours.code, "cannot move %s back to the host as %s: %s", have->ifname, name, ours.text);
}

int job_bring_home(struct job *j, const struct located *at, struct move_result *ret, struct error *e)
{
	struct located now = *at;
	int r = 0;
	ret->place = at->place;
	if (at->place == PLACE_POD) {
		rules_remove(j->pod, j->plan); /* everything else that the pod side added goes with the link */
		r = move_home(j, &at->link, &now, e);
		vrf_unmake(j->pod, &j->plan->pod);
		if (r < 0)
			now.place = PLACE_UNKNOWN;
		/* Whatever the answer was, the kernel knows where it is. */
		if (r < 0 && job_locate(j, &now, NULL) < 0)
			now.place = PLACE_UNKNOWN;
	}
	ret->place = now.place;
	if (now.place == PLACE_GONE) {
		job_release_ebpf(j);
		return 0;
	}
	if (now.place != PLACE_HOST)
		return r;
	job_restore(j, &now.link, ret->differences, sizeof(ret->differences));
	return 0;
}

int mover_detach(struct mover *m, const struct attach_plan *plan, int netns_fd, struct move_result *ret, struct error *e)
{
	_cleanup_job_ struct job j;
	struct located at = {0};
	*ret = (struct move_result){.place = PLACE_UNKNOWN};
	int opened = job_open(m, plan, netns_fd, &j, e);
	int r = job_locate(&j, &at, opened < 0 ? NULL : e);
	if (r < 0)
		return opened < 0 ? opened : r;
	/* A namespace that cannot be opened may still hold it. */
	if (opened < 0 && at.place == PLACE_GONE)
		return opened;
	return job_bring_home(&j, &at, ret, e);
}
