/* SPDX-License-Identifier: Apache-2.0 */
/* What the PF holds for a VF, around its time in a pod: it is asked while the VF is on the host, where sysfs shows whose it is. */
#include <errno.h>
#include <inttypes.h>
#include <linux/if.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "netlink/mover_internal.h"
#include "netlink/vf.h"

enum { TAKE_STEP_MS = 20, TAKE_STEPS = 100 };

static bool has_mac(struct mover *m, struct link *l, const struct mac *mac)
{
	return link_get(m->host, l->ifindex, l, NULL) == 0 && mac_equal(&l->mac, mac);
}

/* Down and up, in the order that ends with it down. Nobody shall configure it by what it hears in that moment. */
static void bounce(struct mover *m, const struct link *l)
{
	if (!(l->flags & IFF_UP)) {
		job_ignore_advertisements(l->ifname);
		(void)link_set_up(m->host, l->ifindex, true, NULL);
	}
	(void)link_set_up(m->host, l->ifindex, false, NULL);
}

/* igbvf looks for it when it is closed, and is refused any other; mlx5 has to be told; iavf is being reset at this moment, and answers
 * later.
 */
int job_vf_take_mac(struct mover *m, struct link *l, const struct mac *mac, struct error *e)
{
	const struct link_wish wish = {.mac = mac};
	struct error ours = {0};
	if (mac_equal(&l->mac, mac))
		return 0;
	bounce(m, l);
	for (int i = 0; i < TAKE_STEPS; i++) {
		if (has_mac(m, l, mac))
			return 0;
		ours = (struct error){0};
		/* Some drivers say that it is done when their PF has only been asked. */
		if (link_apply(m->host, l, &wish, &ours) < 0 || !has_mac(m, l, mac))
			nanosleep(&(struct timespec){.tv_nsec = TAKE_STEP_MS * 1000000L}, NULL);
	}
	if (has_mac(m, l, mac))
		return 0;
	return error_set(e, ours.code ? ours.code : -EADDRNOTAVAIL, "the VF %s does not take the address that its PF has set: %s",
	                 l->ifname, ours.text);
}

static int check_mtu(struct job *j, const struct vf_settings *is, struct error *e)
{
	struct link pf;
	uint32_t mtu = j->plan->pod.mtu;
	if (!mtu || link_get(j->m->host, is->pf_ifindex, &pf, NULL) < 0 || mtu <= pf.mtu)
		return 0;
	return error_set(e, -EINVAL, "interface.mtu: %" PRIu32 " is above %" PRIu32 ", the MTU of its physical function \"%s\" by now", mtu,
	                 pf.mtu, is->pf);
}

int job_vf_attach(struct job *j, struct link *have, struct error *e)
{
	const struct network_config *pod = &j->plan->pod;
	struct vf_settings is, wanted;
	struct error ours = {0};
	bool has_settings = network_config_has_vf(pod), has_mac = pod->mac.length == VF_MAC_LENGTH, told;
	if (!j->plan->host.vf.known || !(has_settings || pod->mtu || has_mac))
		return 0;
	int r = vf_get(j->m->host, j->m->sysfs, have->ifname, &is, &ours);
	if (r < 0) /* without its PF there is nothing but the VF's own address */
		return !has_settings ? 0
		                     : error_set(e, r, "interface.vf: the physical function %s cannot be asked: %s", j->plan->host.vf.pf,
		                                 r == -ENOENT ? "it has no network interface on the host any more" : ours.text);
	r = check_mtu(j, &is, e);
	if (r < 0)
		return r;
	vf_wish(&is, &pod->vf, &pod->mac, &wanted);
	j->vf_touched = true;
	r = vf_set(j->m->host, &wanted, &is, &told, e);
	if (r < 0 || !has_mac || !told)
		return r;
	return job_vf_take_mac(j->m, have, &pod->mac, e);
}
