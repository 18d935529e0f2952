/* SPDX-License-Identifier: Apache-2.0 */
/* What a link looks like on the host, as far as it can be given back. */
#include <errno.h>
#include <linux/if.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/mover_internal.h"
#include "netlink/route.h"

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
		if (!address_is_kernel_made(&list.v[i], &l->mac))
			state->addresses[state->n_addresses++] = list.v[i].address;
	return 0;
}

int host_state_read(struct nlsock *s, const struct link *l, struct host_state *ret, struct error *e)
{
	struct host_state state = {.ifindex = l->ifindex,
	                           .mtu = l->mtu,
	                           .min_mtu = l->min_mtu,
	                           .max_mtu = l->max_mtu,
	                           .mac = l->mac,
	                           .permanent_mac = l->permanent_mac,
	                           .up = l->flags & IFF_UP,
	                           .txqlen = l->txqlen,
	                           .sizes = l->sizes};
	(void)STR_COPY(state.ifname, l->ifname);
	(void)STR_COPY(state.type, l->kind);
	int r = read_addresses(s, l, &state, e);
	if (r == 0)
		r = route_list(s, l->ifindex, &state.routes, &state.n_routes, e);
	if (r == 0)
		r = neighbour_list(s, l->ifindex, &state.neighbours, &state.n_neighbours, e);
	if (r < 0) {
		host_state_free(&state);
		return r;
	}
	*ret = state;
	return 0;
}

int mover_snapshot(struct mover *m, int32_t ifindex, const char *ifname, struct host_state *ret, struct error *e)
{
	struct link l;
	int r = link_get(m->host, ifindex, &l, e);
	if (r < 0)
		return r;
	if (!str_equal(l.ifname, ifname))
		return error_set(e, -ENODEV, "link %d is called %s now, not %s", ifindex, l.ifname, ifname);
	return host_state_read(m->host, &l, ret, e);
}
