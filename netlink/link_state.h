/* SPDX-License-Identifier: Apache-2.0 */
/* The part of a link's message that only its return home needs, read into a host_state: names, flags, sysctls. Apart from struct link,
 * of which the monitor holds one for every link of the machine. */
#pragma once

#include "core/config.h"
#include "netlink/link.h"

enum {
	ALTNAMES_BYTES_MAX = 8192, /* all of a link's; an altname has up to 127 bytes */
	ALIAS_BYTES_MAX = 255,
	DEVCONF_MAX = 256, /* values of one family; kernels of today have 33 and 60 */
};

/* flags, group, master, xdp, qdisc, alias, altnames, ipv4, ipv6 of `ret`, which is otherwise left as it is; what was in them must be
 * freed or empty. -ENOMSG, -EBADMSG as link_parse(); -ENOMEM. */
int link_state_parse(const struct nlmsghdr *h, struct host_state *ret);
/* Both halves of a link with one request. `state` is overwritten as a whole; free it with host_state_free(). */
int link_state_get(struct nlsock *s, int32_t ifindex, struct link *link, struct host_state *state, struct error *e);

/* One property of a link made as it was; nothing is asked that is so already. `is` is the link now. */
typedef int link_state_step(struct nlsock *s, int32_t ifindex, const struct host_state *was, const struct host_state *is, struct error *e);
link_state_step link_state_restore_flags;
link_state_step link_state_restore_group;
link_state_step link_state_restore_alias;
link_state_step link_state_restore_addr_gen_mode;
link_state_step link_state_restore_xdp; /* one that came in the pod is removed; one that went cannot be given back (-ENOENT) */
/* Altnames that were not there are taken away, before the name comes back: a pod may have given the link its own host name. */
link_state_step link_state_remove_altnames;
link_state_step link_state_add_altnames;

int link_altname_add(struct nlsock *s, int32_t ifindex, const char *name, struct error *e);
/* All of them. They travel with the link, and the kernel refuses a move to where one of them is taken. */
int link_altnames_drop(struct nlsock *s, int32_t ifindex, struct error *e);

/* Whether a list of texts, each with its NUL, holds this one; and each of them in turn (NULL first, NULL last). */
bool bytes_have(const struct bytes *list, const char *text);
const char *bytes_next(const struct bytes *list, const char *text);
/* A copy of `n` bytes behind what is there. -ENOMEM. */
int bytes_add(struct bytes *b, const void *data, size_t n);
