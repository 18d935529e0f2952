/* SPDX-License-Identifier: Apache-2.0 */
/* Host → pod: the move, and its undoing. */
#include <errno.h>

#include "netlink/link_state.h"
#include "netlink/mover_internal.h"
#include "netlink/vrf.h"

static struct link_wish pod_wish(const struct attach_plan *p)
{
	return (struct link_wish){.ifname = p->pod.ifname, .mtu = p->pod.mtu, .mac = &p->pod.mac, .sizes = p->pod.sizes};
}

/* The kernel moves first and renames afterwards: asking it for a name that is taken leaves the device in the pod under the wrong one. */
static int check_name_free(struct job *j, int32_t except, struct error *e)
{
	const char *name = j->plan->pod.ifname;
	struct error ours = {0};
	struct link other;
	int r = link_get_by_name(j->pod, name, &other, &ours);
	if (r == -ENODEV || (r == 0 && other.ifindex == except))
		return 0;
	if (r < 0)
		return error_set(e, r, "cannot look for the name %s in the pod: %s", name, ours.text);
	return error_set(e, -EEXIST, "the interface name %s is taken in the pod by link %d (%s)", name, other.ifindex, other.kind);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------- */

/* An altname of its own is taken in the pod: then it did not move. Or is the very name it gets there: then it moved and kept its name.
 * Without altnames both work; they come back when it does. */
static int move_without_altnames(struct job *j, const struct link_wish *wish, struct error *e)
{
	struct located at = {0};
	int r = job_locate(j, &at, e);
	if (r < 0 || (at.place != PLACE_HOST && at.place != PLACE_POD))
		return r < 0 ? r : error_set(e, -ENODEV, "it does not exist any more");
	struct nlsock *s = at.place == PLACE_HOST ? j->m->host : j->pod;
	r = link_altnames_drop(s, at.link.ifindex, e);
	if (r < 0)
		return r;
	return at.place == PLACE_HOST ? link_move(s, &at.link, j->netns_fd, wish, e) : link_apply(s, &at.link, wish, e);
}

static int move_in(struct job *j, const struct link *have, struct link *ret, struct error *e)
{
	struct link_wish wish = pod_wish(j->plan);
	int r = check_name_free(j, -1, e);
	if (r < 0)
		return r;
	struct error ours = {0};
	r = link_move(j->m->host, have, j->netns_fd, &wish, &ours);
	if (r == -EEXIST) {
		ours = (struct error){0};
		r = move_without_altnames(j, &wish, &ours);
	}
	if (r < 0)
		error_set(e, r, "%s", ours.text);
	if (r < 0)
		return e ? error_prefix(e, "cannot move %s into the pod as %s", have->ifname, wish.ifname) : r;
	/* By name: the number may have been taken there. */
	return link_get_by_name(j->pod, wish.ifname, ret, e);
}

/* It is there already: the answer to an earlier attach was lost, or a crash came in between. */
static int adjust(struct job *j, const struct link *have, struct link *ret, struct error *e)
{
	struct link_wish wish = pod_wish(j->plan);
	int r = check_name_free(j, have->ifindex, e);
	if (r == 0)
		r = link_apply(j->pod, have, &wish, e);
	if (r < 0)
		return e ? error_prefix(e, "cannot adjust %s in the pod", have->ifname) : r;
	return link_get(j->pod, have->ifindex, ret, e);
}

/* Home again, with the code of detach. The first error is the one to tell; what went wrong on the way back goes behind it. */
static void undo(struct job *j, struct move_result *ret, struct error *e)
{
	struct error ours = {0};
	struct located at = {0};
	int r = job_locate(j, &at, &ours);
	if (r == 0)
		ret->place = at.place;
	if (r == 0 && at.place == PLACE_HOST && !j->vf_touched)
		job_release_ebpf_of(j, &at.link);
	else if (r == 0)
		r = job_bring_home(j, &at, ret, &ours);
	vrf_unmake(j->pod, &j->plan->pod); /* it may be that nothing came into it */
	if (r < 0)
		error_append(e, r, "undo failed: %s", ours.text);
	else if (at.place == PLACE_GONE)
		error_append(e, -ENODEV, "%s does not exist any more", j->plan->host.ifname);
	else if (ret->differences[0])
		error_append(e, -EREMOTEIO, "back on the host, but: %s", ret->differences);
}

int mover_attach(struct mover *m, const struct attach_plan *plan, const struct leases *leases, int netns_fd, struct move_result *ret,
                 struct error *e)
{
	_cleanup_job_ struct job j;
	struct located at = {0};
	struct link l = {0};
	*ret = (struct move_result){.place = PLACE_UNKNOWN};
	int r = netns_fd < 0 ? error_set(e, -EBADF, "there is no namespace to attach %s to", plan->host.ifname) : 0;
	int opened = job_open(m, plan, netns_fd, &j, r == 0 ? e : NULL);
	if (r == 0)
		r = opened;
	if (r < 0) {
		struct error ours = {0};
		/* What is not on the host may be in the namespace that cannot be opened. */
		if (job_locate(&j, &at, &ours) == 0 && at.place == PLACE_HOST)
			ret->place = PLACE_HOST;
		return r;
	}
	j.leases = leases;
	r = job_locate(&j, &at, e);
	if (r < 0)
		return r;
	ret->place = at.place;
	if (at.place == PLACE_GONE)
		return error_set(e, -ENODEV, "%s (ifindex %d) does not exist any more", plan->host.ifname, plan->host.ifindex);
	/* In the pod the lease can be asked for again; a pod that is to begin has been promised the address. */
	if (at.place == PLACE_HOST && leases_have_ended(leases))
		return error_set(e, -ESTALE, "the DHCP lease of %s ended before it came into the pod", at.link.ifname);
	r = vrf_make(j.pod, &plan->pod, e);
	if (r == 0 && at.place == PLACE_HOST)
		job_hold_ebpf(&j);
	if (r == 0 && at.place == PLACE_HOST)
		r = job_vf_attach(&j, &at.link, e);
	if (r == 0)
		r = at.place == PLACE_POD ? adjust(&j, &at.link, &l, e) : move_in(&j, &at.link, &l, e);
	if (r == 0)
		r = job_configure(&j, &l, e);
	if (r == 0)
		r = job_read_back(&j, l.ifindex, &ret->pod, e);
	if (r < 0) {
		undo(&j, ret, e);
		return r;
	}
	ret->place = PLACE_POD;
	return 0;
}
