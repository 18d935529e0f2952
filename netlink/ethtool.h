/* SPDX-License-Identifier: Apache-2.0 */
/* ethtool over generic netlink: the socket, the requests, and the bitsets in which features and private flags come and go. What is done
 * with them is in features.h, private_flags.h and ethtool_settings.h.
 *
 * A set of switches is kept as `struct bytes`: words of the bits that can be changed, then as many words of those that are on, numbered as
 * this kernel numbers them. Its names are only asked for when there is something to say. */
#pragma once

#include <linux/ethtool_netlink.h>

#include "core/config.h"
#include "netlink/nlsock.h"

enum { BITSET_WORDS_MAX = 8, BITSET_BITS_MAX = BITSET_WORDS_MAX * 32 };

/* A link, and the generic netlink socket of the namespace in which it is. */
struct ethtool_link {
	struct nlsock *generic;
	uint16_t family; /* number of the family "ethtool", the same in all namespaces */
	int32_t ifindex;
};

/* -ENOENT: this kernel has none (before 5.6). */
int ethtool_family(struct nlsock *generic, uint16_t *ret, struct error *e);
/* A request about the link; the caller adds attributes. `flags` are ETHTOOL_FLAG_*. NULL when out of memory. */
struct nl_msg *ethtool_request(const struct ethtool_link *l, uint8_t command, uint32_t flags);
/* The driver, or the kernel, has no such thing: nothing to keep and nothing to give back. */
bool ethtool_lacks(int code);

/* ---- bitsets --------------------------------------------------------------------------------------------------------------------- */

/* Short form: the words of one member (ETHTOOL_A_BITSET_VALUE or _MASK). -EBADMSG. */
int bitset_words(struct nlattr *bitset, int member, uint32_t words[BITSET_WORDS_MAX], size_t *ret_n);
/* Long form: calls `see` for each bit of the list, on = its value flag, or being listed at all where the set has no mask. -EBADMSG. */
int bitset_each(struct nlattr *bitset, int (*see)(uint32_t bit, const char *name, bool on, void *user), void *user);
/* -EMSGSIZE. */
int bitset_put(struct nl_msg *m, int attribute, const uint32_t *value, const uint32_t *mask, size_t n_words);

/* Kept sets. `differ`: what is on otherwise than it was and can be changed both then and now. Returns the number of words, 0 = nothing
 * differs, or the two cannot be compared. */
size_t bits_difference(const struct bytes *was, const struct bytes *is, uint32_t differ[BITSET_WORDS_MAX], uint32_t on[BITSET_WORDS_MAX]);
/* Ask for switches with a request and an attribute of it. 0 also when the kernel does less than was asked; read back to know. */
int bits_ask(const struct ethtool_link *l, uint8_t command, int attribute, const uint32_t *value, const uint32_t *mask, size_t n_words,
             struct error *e);
/* The same for what differs from what was. */
int bits_restore(const struct ethtool_link *l, uint8_t command, int attribute, const struct bytes *was, const struct bytes *is,
                 struct error *e);
/* -ENOMEM. */
int bits_keep(const uint32_t *changeable, const uint32_t *on, size_t n_words, struct bytes *ret);
