/* SPDX-License-Identifier: Apache-2.0 */
/* What a link looks like on the host, as far as it can be given back. */
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/devconf.h"
#include "netlink/ethtool_settings.h"
#include "netlink/features.h"
#include "netlink/kept.h"
#include "netlink/link_state.h"
#include "netlink/mover_internal.h"
#include "netlink/private_flags.h"
#include "netlink/rule.h"
#include "netlink/vf.h"

uint64_t boottime_ms(void)
{
	struct timespec t = {0};
	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void take_link(const struct link *l, struct host_state *state)
{
	state->ifindex = l->ifindex;
	state->peer_ifindex = l->peer;
	state->mtu = l->mtu;
	state->min_mtu = l->min_mtu;
	state->max_mtu = l->max_mtu;
	state->mac = l->mac;
	state->permanent_mac = l->permanent_mac;
	state->up = l->flags & IFF_UP;
	state->txqlen = l->txqlen;
	state->sizes = l->sizes;
	(void)STR_COPY(state->ifname, l->ifname);
	(void)STR_COPY(state->type, l->kind);
}

/* What the kernel makes it makes again; but for a link-local address from the time before it was told to make none. */
static bool is_made_again(const struct address_message *m, const struct link *l, const struct host_state *state)
{
	int32_t mode = IN6_ADDR_GEN_MODE_EUI64;
	(void)devconf_addr_gen_mode(state, &mode);
	return address_is_kernel_made(m, &l->mac) && ((m->address.flags & IFA_F_TEMPORARY) || mode != IN6_ADDR_GEN_MODE_NONE);
}

static int read_addresses(struct nlsock *s, const struct link *l, struct host_state *state, struct error *e)
{
	_cleanup_addresses_ struct address_list list = {0};
	int r = address_list(s, l->ifindex, &list, e);
	if (r < 0 || list.n == 0)
		return r;
	state->addresses = calloc(list.n, sizeof(*state->addresses));
	if (!state->addresses)
		return error_set(e, -ENOMEM, "addresses of %s: out of memory", l->ifname);
	for (size_t i = 0; i < list.n; i++)
		if (!is_made_again(&list.v[i], l, state))
			state->addresses[state->n_addresses++] = list.v[i].address;
	return 0;
}

int job_read_ethtool(struct mover *m, int32_t ifindex, struct host_state *state, struct error *e)
{
	const struct ethtool_link l = {m->generic, m->ethtool, ifindex};
	/* A driver without any of it, and a kernel without ethtool netlink, has none to be changed. */
	if (!m->ethtool)
		return 0;
	if (features_get(&l, &state->features, NULL) == -ENOMEM || private_flags_get(&l, &state->private_flags, NULL) == -ENOMEM)
		return error_set(e, -ENOMEM, "features of link %d: out of memory", ifindex);
	(void)ethtool_settings_get(&l, &state->ethtool, NULL);
	return 0;
}

static int read_rest(struct mover *m, const struct link *l, struct host_state *state, struct error *e)
{
	int r = read_addresses(m->host, l, state, e);
	if (r < 0)
		return r;
	const struct kept_owner owner = {l->ifindex, l->ifname, &l->mac, state->addresses, state->n_addresses};
	r = kept_read(m->host, &owner, state, e);
	if (r == 0)
		r = rules_read(m->host, l->ifname, state, e);
	if (r < 0)
		return r;
	if (devconf_read_more(l->ifname, &state->more_sysctls) < 0)
		return error_set(e, -ENOMEM, "sysctls of %s: out of memory", l->ifname);
	(void)vf_get(m->host, m->sysfs, l->ifname, &state->vf, NULL); /* most are no VFs */
	r = job_read_ethtool(m, l->ifindex, state, e);
	ethtool_settings_keep(&state->ethtool); /* not when it is home again: then they are what has to be set right */
	return r == 0 ? job_read_ebpf(m, l, state, e) : r;
}

int mover_snapshot(struct mover *m, int32_t ifindex, const char *ifname, struct host_state *ret, struct error *e)
{
	struct host_state state = {0};
	struct link l;
	int r = link_state_get(m->host, ifindex, &l, &state, e);
	if (r < 0)
		return r;
	if (!str_equal(l.ifname, ifname))
		r = error_set(e, -ENODEV, "link %d is called %s now, not %s", ifindex, l.ifname, ifname);
	take_link(&l, &state);
	state.taken_at = boottime_ms();
	if (r == 0)
		r = read_rest(m, &l, &state, e);
	if (r < 0) {
		host_state_free(&state);
		return r;
	}
	*ret = state;
	return 0;
}

int mover_check(struct mover *m, int32_t ifindex, const struct network_config *wanted, struct error *e)
{
	const struct ethtool_link l = {m->generic, m->ethtool, ifindex};
	struct error faults = {0}, flags = {0}, settings = {0}, features = {0};
	struct feature_request request;
	struct ethtool_settings is;
	uint32_t mask, value;
	if (!network_config_has_ethtool(wanted))
		return 0;
	if (!m->ethtool)
		return error_set(e, -EOPNOTSUPP, "ethtool: this kernel has no ethtool netlink");
	(void)private_flags_accept(&l, wanted->private_flags, wanted->n_private_flags, &mask, &value, &flags);
	(void)ethtool_settings_accept(&l, &wanted->ethtool, &is, &settings);
	(void)features_accept(&l, wanted->features, wanted->n_features, &request, &features);
	const struct error *all[] = {&flags, &settings, &features};
	for (size_t i = 0; i < ELEMENTS(all); i++)
		if (all[i]->code)
			error_append(&faults, all[i]->code, "%s", all[i]->text);
	return faults.code ? error_set(e, faults.code, "%s", faults.text) : 0;
}
