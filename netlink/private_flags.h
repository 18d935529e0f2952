/* SPDX-License-Identifier: Apache-2.0 */
/* A driver's private flags (ethtool --show-priv-flags): switches that only it knows, by names that only it gives. Kept as bitsets
 * (netlink/ethtool.h). */
#pragma once

#include "netlink/ethtool.h"

enum { PRIVATE_FLAGS_MAX = 32 }; /* one word in the kernel */
struct private_flag {
	uint32_t bit;
	bool on;
	char name[ETHTOOL_NAME_SIZE];
};
struct private_flag_table {
	size_t n;
	struct private_flag v[PRIVATE_FLAGS_MAX];
};

/* An answer in short form → what is kept; in long form → names. -EBADMSG, -ENOMEM. */
int private_flags_parse(const struct nlmsghdr *h, struct bytes *ret);
int private_flag_table_parse(const struct nlmsghdr *h, struct private_flag_table *ret);

/* -EOPNOTSUPP: the driver has none. */
int private_flags_get(const struct ethtool_link *l, struct bytes *ret, struct error *e);
/* Ask for what differs. */
int private_flags_restore(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is, struct error *e);
/* As features_compare(). */
void private_flags_compare(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is,
                           void (*differs)(const char *name, bool is, bool was, void *user), void *user);
/* Bits of the wishes; -EINVAL naming those that the driver does not have. */
int private_flags_resolve(const struct private_flag_table *t, const struct ethtool_switch *wishes, size_t n, uint32_t *ret_mask,
                          uint32_t *ret_value, struct error *e);
/* The same for a device as it is now; changes nothing. */
int private_flags_accept(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, uint32_t *ret_mask,
                         uint32_t *ret_value, struct error *e);
/* Names to bits, one request, read back: -EREMOTEIO naming those that are not so. */
int private_flags_apply(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, struct error *e);
