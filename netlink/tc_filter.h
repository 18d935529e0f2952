/* SPDX-License-Identifier: Apache-2.0 */
/* Filters at the two doors of a link, ingress and egress of its clsact qdisc (or ingress of an older "ingress" one). They are what eBPF
 * programs used before tcx; the qdisc does not survive a move to another namespace, and they go with it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/config.h"
#include "netlink/nlsock.h"

enum { TC_FILTER_NAME_SIZE = 128, TC_FILTERS_MAX = 256 };

struct tc_filter {
	int32_t ifindex;
	uint32_t parent, info, handle, chain; /* as struct tcmsg and TCA_CHAIN have them: where it is */
	uint32_t program;                     /* number of the eBPF program; 0 = it is of another kind */
	uint32_t flags, flags_gen, classid;   /* TCA_BPF_*; 0 = not given */
	bool plain;                           /* program and flags are all there is to it: no actions, no police */
	char name[TC_FILTER_NAME_SIZE];       /* of a filter with a program; otherwise its kind */
};

/* RTM_NEWTFILTER → filter. -ENOMSG for what is none (the head of a list of filters); -EBADMSG. */
int tc_filter_parse(const struct nlmsghdr *h, struct tc_filter *ret);
/* Kind of the qdisc at the doors from a message: "clsact", "ingress"; -ENOMSG. */
int tc_doors_parse(const struct nlmsghdr *h, char kind[IFNAME_SIZE]);

struct tc_filter_list {
	struct tc_filter *v;
	size_t n;
};
void tc_filter_list_free(struct tc_filter_list *l);
#define _cleanup_filters_ __attribute__((cleanup(tc_filter_list_free)))
/* Ingress first. `doors` gets the kind of the qdisc, "" = none. Kernels without classifiers have no filters.
 *
 * The kernel tells of each question for a qdisc to all who listen to RTNLGRP_TC. Who listens himself passes NULL for `doors`, which asks
 * for none; those of an "ingress" qdisc are then listed twice. */
int tc_filter_list(struct nlsock *s, int32_t ifindex, char doors[IFNAME_SIZE], struct tc_filter_list *ret, struct error *e);
bool tc_filter_is_egress(const struct tc_filter *f);

int tc_filter_remove(struct nlsock *s, const struct tc_filter *f, struct error *e);
/* One that is plain, with the program behind the descriptor. */
int tc_filter_add(struct nlsock *s, const struct tc_filter *f, int program_fd, struct error *e);
/* Kind of the qdisc at the link's doors; "" = none. */
void tc_doors_get(struct nlsock *s, int32_t ifindex, char kind[IFNAME_SIZE]);
int tc_doors_add(struct nlsock *s, int32_t ifindex, const char *kind, struct error *e);
