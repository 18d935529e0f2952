/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and texts as attributes of netlink messages. The length of an address says its family, so it is checked against the one that
 * the message's header names. */
#pragma once

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#include "core/base/ip.h"

static inline int attribute_ip_length(uint8_t family)
{
	return family == IP_V4 ? 4 : 16;
}

/* No attribute is no fault, and changes nothing; false = it is of another length than the family's. */
static inline bool attribute_take_ip(const struct nlattr *a, uint8_t family, struct ip_address *ret)
{
	if (!a)
		return true;
	if (nla_len(a) != attribute_ip_length(family))
		return false;
	*ret = (struct ip_address){.family = family};
	memcpy(ret->bytes, nla_data(a), (size_t)attribute_ip_length(family));
	return true;
}

/* Nothing for IP_NONE; false = the message is full. */
static inline bool attribute_put_ip(struct nl_msg *m, int type, const struct ip_address *a)
{
	return a->family == IP_NONE || nla_put(m, type, attribute_ip_length(a->family), a->bytes) == 0;
}

static inline bool attribute_is_text(const struct nlattr *a, const char *text)
{
	return a && nla_strcmp(a, text) == 0;
}
