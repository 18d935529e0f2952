/* SPDX-License-Identifier: Apache-2.0 */
/* What a PF holds for one of its VFs: MAC, VLAN, rates, spoof check, trust, link state. They are asked of that one PF, and only when a VF
 * is prepared or comes home: the answer is about all VFs, and a driver takes up to a millisecond for each. */
#pragma once

#include "core/config.h"
#include "netlink/nlsock.h"
#include "netlink/sysfs.h"

enum { VF_REQUESTS = 8, VF_MAC_LENGTH = 6 /* the address of an IPoIB link is none that can be set */ };

/* RTM_NEWLINK of a PF with VF information → VF `index`'s (which the name of the PF is not part of). -ENOENT: not in it; -EBADMSG. */
int vf_parse(const struct nlmsghdr *h, uint32_t index, struct vf_settings *ret);
/* By the VF's netdev, on the host. -ENOENT: it is no VF, or its PF has no netdev. */
int vf_get(struct nlsock *s, const struct sysfs *sysfs, const char *ifname, struct vf_settings *ret, struct error *e);

/* The request for setting `i` (0 … VF_REQUESTS - 1) of those that differ: one each, because a driver refuses what it cannot. NULL: it does
 * not differ; a request too large, or no memory, reads as that, and is found by the comparison. */
struct nl_msg *vf_request(const struct vf_settings *was, const struct vf_settings *is, size_t i);
/* The settings `is` with what a claim wants of them; `mac` empty = as it is. */
void vf_wish(const struct vf_settings *is, const struct vf_config *config, const struct mac *mac, struct vf_settings *ret);
/* Everything that differs, up to the first refusal, which is told with its key of the configuration. A PF that cannot set MACs is none:
 * `*ret_mac` is false then, and the VF's own is to be set. A driver that resets the VF is waited for, for up to 2 s in all. */
int vf_set(struct nlsock *s, const struct vf_settings *wanted, const struct vf_settings *is, bool *ret_mac, struct error *e);
/* Everything that differs, however the ones before ended, as patiently. `e`: the first refusal. */
void vf_restore(struct nlsock *s, const struct vf_settings *was, const struct vf_settings *is, struct error *e);
/* Calls `differs` with name, present and former value of each setting that is not as it was. */
void vf_compare(const struct vf_settings *was, const struct vf_settings *is,
                void (*differs)(const char *name, const char *is, const char *was, void *user), void *user);
