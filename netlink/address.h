/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of links: parsing (pure), listing and adding. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/config.h"
#include "netlink/nlsock.h"

enum { ADDRESSES_MAX = 4096 }; /* of one link; more is refused (-E2BIG) */

struct address_message {
	int32_t ifindex;
	struct address address;
};
/* RTM_NEWADDR or RTM_DELADDR. -ENOMSG for another family than IPv4 or IPv6, -EBADMSG for a malformed message. */
int address_parse(const struct nlmsghdr *h, struct address_message *ret);

/* Flags and protocol say that nobody configured it: the link-local address the kernel makes itself, and temporary (privacy) addresses. */
bool address_is_kernel_made(const struct address_message *m, const struct mac *mac);
/* The flags a person or a daemon can give; the others are the kernel's account of the address's state. */
uint32_t address_settable_flags(const struct address *a);

struct address_list {
	struct address_message *v;
	size_t n, cap;
};
void address_list_free(struct address_list *l);
#define _cleanup_addresses_ __attribute__((cleanup(address_list_free)))

struct nl_msg *address_dump_request(uint8_t family, int32_t ifindex);
/* Of one link, in the kernel's order (primary before secondary). */
int address_list(struct nlsock *s, int32_t ifindex, struct address_list *ret, struct error *e);
/* The last address of its network, for an IPv4 address that has room for one and says nothing else. */
void address_set_broadcast(struct address *a);
/* Add it, or change flags and lifetimes of the one that is there. */
int address_add(struct nlsock *s, int32_t ifindex, const struct address *a, struct error *e);
int address_remove(struct nlsock *s, int32_t ifindex, const struct address *a, struct error *e);
