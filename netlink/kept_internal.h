/* SPDX-License-Identifier: Apache-2.0 */
/* What kept.c (messages) and kept_restore.c (back to the kernel) share. */
#pragma once

#include "netlink/kept.h"

/* Kinds of objects, as bits: which dumps to ask for. */
enum kept_kind {
	KEPT_NEXTHOP = 1,
	KEPT_ROUTE4 = 2,
	KEPT_ROUTE6 = 4,
	KEPT_RULE = 8,
	KEPT_NEIGHBOUR = 16,
	KEPT_PROXY = 32,
	KEPT_FDB = 64,
	KEPT_QDISC = 128,
	KEPT_FOREIGN_ROUTE4 = 256, /* through another link: no filter finds them */
	KEPT_ALL = 511,
};
/* 0 = none that is kept: a record may hold anything. `ifindex` tells the foreign routes. */
unsigned kept_kind(const struct nlmsghdr *h, int32_t ifindex);
unsigned kept_kinds(const struct bytes *objects, int32_t ifindex);

size_t kept_header_size(uint16_t type); /* of the struct behind struct nlmsghdr; 0 = of no type that is kept */
/* Each message of `objects` in turn (NULL first, NULL last). */
struct nlmsghdr *kept_next(const struct bytes *objects, const struct nlmsghdr *h);
/* Every mention of link `from` becomes `to`. */
void kept_rename(struct nlmsghdr *h, int32_t from, int32_t to);

struct kept_reader {
	const struct kept_owner *owner;
	struct bytes objects;
	struct host_state *lists; /* NULL = only the objects */
};
int kept_see(const struct nlmsghdr *h, void *user);
int kept_read_kinds(struct nlsock *s, struct kept_reader *q, unsigned kinds, struct error *e);
