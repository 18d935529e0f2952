/* SPDX-License-Identifier: Apache-2.0 */
/* A link's sysctls (/proc/sys/net/ipv4/conf/LINK, ipv4/neigh/LINK, and ipv6): they belong to the namespace and the name, so a link that
 * comes back finds those of `default`. RTM_GETLINK tells nearly all of conf as numbers in a fixed order, the rest is read from the files;
 * what is to be changed is written to them. */
#pragma once

#include "core/config.h"

/* Those that the kernel's message leaves out: "name=value", each with its NUL. -ENOMEM. */
int devconf_read_more(const char *ifname, struct bytes *ret);

/* IN6_ADDR_GEN_MODE_*; false = not known. */
bool devconf_addr_gen_mode(const struct host_state *s, int32_t *ret);

/* Write what differs between `was` and `is` (both as link_state_get() reads them). */
void devconf_restore(const char *ifname, const struct host_state *was, const struct host_state *is);
/* `differs` is called for each that still does: "ipv6.accept_ra", "0", "2". */
void devconf_compare(const struct host_state *was, const struct host_state *is,
                     void (*differs)(const char *name, const char *is, const char *was, void *user), void *user);
