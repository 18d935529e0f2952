/* SPDX-License-Identifier: Apache-2.0 */
/* eBPF programs that see a link's packets, wherever on the way: XDP (in the driver, generic, in hardware), tcx, netkit, filters of clsact.
 *
 * The calling thread must be in the link's network namespace, which is where tcx looks interfaces up; `s` belongs to the same. XDP and tcx
 * programs stay on a link that moves to another namespace, filters do not. */
#pragma once

#include "netlink/bpf.h"
#include "netlink/link.h"
#include "netlink/tc_filter.h"

enum ebpf_hook {
	EBPF_XDP_GENERIC,
	EBPF_XDP_DRIVER,
	EBPF_XDP_HARDWARE,
	EBPF_TCX_INGRESS,
	EBPF_TCX_EGRESS,
	EBPF_NETKIT,
	EBPF_TC_INGRESS,
	EBPF_TC_EGRESS,
	EBPF_HOOKS
};

struct ebpf_program {
	uint32_t hook;           /* enum ebpf_hook */
	uint32_t id;             /* of the program; 0 = a filter without one, which is only kept to be told of */
	uint32_t link;           /* BPF link that holds it there; 0 = none, or (XDP) not looked for */
	struct tc_filter filter; /* of the two last hooks */
	char name[TC_FILTER_NAME_SIZE];
};
struct ebpf_list {
	struct ebpf_program *v;
	size_t n;
	char doors[IFNAME_SIZE]; /* kind of the qdisc at the link's doors; "" = none */
};
void ebpf_list_free(struct ebpf_list *l);
#define _cleanup_ebpf_ __attribute__((cleanup(ebpf_list_free)))

/* RTM_NEWLINK → number of the program of each mode, 0 = none. -ENOMSG, -EBADMSG. */
int ebpf_xdp_parse(const struct nlmsghdr *h, uint32_t ret[EBPF_XDP_HARDWARE + 1]);
/* In the order of the hooks, and at one hook in that of their running. `kind` is the link's; netkit is only looked for where it can be. */
int ebpf_list_read(struct nlsock *s, int32_t ifindex, const char *kind, struct ebpf_list *ret, struct error *e);
/* "XDP program 12 (count_packets)". */
void ebpf_format(const struct ebpf_program *p, char *text, size_t size);

/* One program off its hook: by its link where it has one, whoever holds that. -ENOENT counts as done. */
int ebpf_remove(struct nlsock *s, int32_t ifindex, const struct ebpf_program *p, struct error *e);
/* All of them, and then none must be left: -EREMOTEIO names what is. Filters of other kinds stay. */
int ebpf_remove_all(struct nlsock *s, int32_t ifindex, const char *kind, struct error *e);
/* Behind what is at its hook, not held by a link. */
int ebpf_add(struct nlsock *s, int32_t ifindex, const struct ebpf_program *p, int program_fd, struct error *e);
