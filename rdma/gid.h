/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of GID tables, for rdma/gid.c and tests. */
#pragma once

#include <stddef.h>

#include "core/base/ip.h"

/* The content of a file ports/N/gids/I: eight groups of four hexadecimal digits, a line. -EINVAL. An IPv4 address is the mapped one. */
int rdma_gid_parse(const char *text, size_t len, struct ip_address *ret);
/* How well an entry serves: 2 = it is one of the IPv4 addresses, 1 = one of the IPv6 ones, 0 = none. */
int rdma_gid_rank(const struct ip_address *gid, const struct ip_prefix *addresses, size_t n);
