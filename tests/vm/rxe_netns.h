/* SPDX-License-Identifier: Apache-2.0 */
/* Included by rxe_net.c of the emulated machine's kernel: stock rxe listens for RoCE v2 in the first network namespace alone, a NIC's
 * firmware wherever its netdev is. So each namespace gets the UDP socket that the first one has. */
#include <net/netns/generic.h>

static unsigned int rxe_netns_id;

static int rxe_netns_init(struct net *net)
{
	struct socket **s = net_generic(net, rxe_netns_id);

	if (!net_eq(net, &init_net))
		*s = rxe_setup_udp_tunnel(net, htons(ROCE_V2_UDP_DPORT), false);
	return PTR_ERR_OR_ZERO(*s);
}

static void rxe_netns_exit(struct net *net)
{
	rxe_release_udp_tunnel(*(struct socket **)net_generic(net, rxe_netns_id));
}

static struct pernet_operations rxe_netns = {
    .init = rxe_netns_init,
    .exit = rxe_netns_exit,
    .id = &rxe_netns_id,
    .size = sizeof(struct socket *),
};
