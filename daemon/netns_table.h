/* SPDX-License-Identifier: Apache-2.0 */
/* The pinned network namespaces: sandbox id → descriptor. While one is held the namespace cannot die, so a device can always be fetched
 * back, whatever the runtime has done to the path meanwhile. Loop only. Zero-initialised is empty. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/claim.h"

struct netns_entry {
	char sandbox[SANDBOX_ID_SIZE];
	int fd;
	uint64_t inode;
};
struct netns_table {
	struct netns_entry *v;
	size_t n, cap;
};

/* Hold `fd` (taken on success) for the sandbox, in the place of one that is held already. */
int netns_table_put(struct netns_table *t, const char *sandbox, int fd, uint64_t inode);
/* The descriptor, still the table's; -1 when none is held. */
int netns_table_get(const struct netns_table *t, const char *sandbox);
void netns_table_drop(struct netns_table *t, const char *sandbox);
void netns_table_free(struct netns_table *t);
