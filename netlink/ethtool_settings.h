/* SPDX-License-Identifier: Apache-2.0 */
/* What ethtool sets as numbers: rings (-g), channels (-l), interrupt coalescing (-c), pause frames (-a). Each of the four is one message
 * with one attribute per setting; which of them a driver has is which of them it reports.
 *
 * The four are set in the order of the enumeration's blocks below: channels make queues and drivers give new queues their default rings
 * and coalescing, rings are allocated anew when they change, so each comes before what it would undo. */
#pragma once

#include "netlink/ethtool.h"

/* One answer (rings, channels, coalescing or pause) → what it tells of, added to `ret`, and to `ret_max` what each can be at most, where
 * that is told. -ENOMSG for another message; -EBADMSG. */
int ethtool_settings_parse(const struct nlmsghdr *h, struct ethtool_settings *ret, struct ethtool_settings *ret_max);

/* All four. What the driver does not have is not given. */
int ethtool_settings_get(const struct ethtool_link *l, struct ethtool_settings *ret, struct error *e);
/* Leave out what is no setting of anybody's: the numbers of the moment of a driver that adapts its coalescing. */
void ethtool_settings_keep(struct ethtool_settings *s);
/* Ask for what of `wanted` is not so in `is`. Goes on after a refusal; the first is in `e`. */
int ethtool_settings_set(const struct ethtool_link *l, const struct ethtool_settings *wanted, const struct ethtool_settings *is,
                         struct error *e);
/* Calls `differs` for each that both tell of ("rings.rx"). */
void ethtool_settings_compare(const struct ethtool_settings *was, const struct ethtool_settings *is,
                              void (*differs)(const char *name, uint32_t is, uint32_t was, void *user), void *user);
/* Those that the device has not, or not so many of, are faults: -EINVAL with all of them. Changes nothing. `ret_is`: as it is now. */
int ethtool_settings_accept(const struct ethtool_link *l, const struct ethtool_settings *wanted, struct ethtool_settings *ret_is,
                            struct error *e);
/* Accept, set, read back: -EREMOTEIO naming those that the driver made something else of. */
int ethtool_settings_apply(const struct ethtool_link *l, const struct ethtool_settings *wanted, struct error *e);
