/* SPDX-License-Identifier: Apache-2.0 */
/* Offload features (ethtool -k) over generic netlink. A feature is wanted or not, and the kernel makes of the wish what driver and the
 * other features allow; so it is the wishes that are kept and given back. They are kept as words of bits, numbered as this kernel numbers
 * them; only a difference is worth asking for names. */
#pragma once

#include "core/config.h"
#include "netlink/nlsock.h"

enum { FEATURE_WORDS_MAX = 8 };

/* The number of the family "ethtool". -ENOENT: this kernel has none (before 5.6). */
int features_family(struct nlsock *generic, uint16_t *ret, struct error *e);
/* An answer of the kernel in compact form → words of what can be changed, then as many of what is wanted. -EBADMSG, -ENOMEM. */
int features_parse(const struct nlmsghdr *h, struct bytes *ret);
int features_get(struct nlsock *generic, uint16_t family, int32_t ifindex, struct bytes *ret, struct error *e);
/* Ask for what differs. 0 also when the kernel does less than was asked; read back to know. */
int features_restore(struct nlsock *generic, uint16_t family, int32_t ifindex, const struct bytes *was, const struct bytes *is,
                     struct error *e);
/* Calls `differs` with the name of each that is wanted otherwise than it was ("rx-gro", or "feature 17" when names cannot be had). */
void features_compare(struct nlsock *generic, uint16_t family, int32_t ifindex, const struct bytes *was, const struct bytes *is,
                      void (*differs)(const char *name, bool is, bool was, void *user), void *user);
