/* SPDX-License-Identifier: Apache-2.0 */
/* Offload features (ethtool -k). A feature is wanted or not, and the kernel makes of the wish what driver and the other features allow; so
 * what is kept and given back are the wishes, and what a configuration asks for is only met when the feature itself is so.
 *
 * People name features as the kernel does ("tx-tcp-segmentation"), or by what ethtool has always called a group of them ("tso"). */
#pragma once

#include "netlink/ethtool.h"

/* A feature as the long form of an answer tells of it. */
struct feature {
	uint32_t bit;
	bool changeable, active;
	char name[ETHTOOL_NAME_SIZE];
};
struct feature_table {
	size_t n;
	struct feature v[BITSET_BITS_MAX];
};
/* What a list of wishes means for one device. */
struct feature_request {
	uint32_t mask[BITSET_WORDS_MAX], value[BITSET_WORDS_MAX];
	size_t n_words; /* 0 = nothing is to be asked */
};

/* An answer in short form → what is kept (netlink/ethtool.h). -EBADMSG, -ENOMEM. */
int features_parse(const struct nlmsghdr *h, struct bytes *ret);
int features_get(const struct ethtool_link *l, struct bytes *ret, struct error *e);
/* Ask for what differs. 0 also when the kernel does less than was asked; read back to know. */
int features_restore(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is, struct error *e);
/* Calls `differs` with the name of each that is wanted otherwise than it was ("rx-gro", or "feature 17" when names cannot be had). */
void features_compare(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is,
                      void (*differs)(const char *name, bool is, bool was, void *user), void *user);

/* An answer in long form. */
int feature_table_parse(const struct nlmsghdr *h, struct feature_table *ret);
/* Of wishes that contradict each other the later counts, and a kernel's name before a group's. A name that means nothing here, and a single
 * feature that cannot become what is asked, are faults: -EINVAL with all of them. Members of a group that cannot be changed are passed
 * over, as long as one of the group is, or can become, as asked. */
int features_resolve(const struct feature_table *t, const struct ethtool_switch *wishes, size_t n, struct feature_request *ret,
                     struct error *e);
/* What of the wishes is not so: -EREMOTEIO with all of them. Of a group that was to be on one is enough: the kernel itself turns some off
 * where others of the group are on (two kinds of checksums); of one that was to be off all must be. */
int features_check(const struct feature_table *t, const struct ethtool_switch *wishes, size_t n, struct error *e);
/* features_resolve() for a device as it is now; changes nothing. */
int features_accept(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, struct feature_request *ret,
                    struct error *e);
/* All of it: names to bits, one request, read back. */
int features_apply(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, struct error *e);
