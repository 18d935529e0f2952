/* SPDX-License-Identifier: Apache-2.0 */
/* The pinned network namespaces: sandbox id → descriptor. While one is held the namespace cannot die, so a device can always be fetched
 * back, whatever the runtime has done to the path meanwhile. With it goes the watch that hears when a link leaves it. Loop only.
 * Zero-initialised is empty. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/claim.h"
#include "netlink/pod_watch.h"

struct netns_entry {
	char sandbox[SANDBOX_ID_SIZE];
	int fd;
	uint64_t inode;
	struct pod_watch *watch; /* NULL = not yet */
};
struct netns_table {
	struct netns_entry *v;
	size_t n, cap;
};

/* Hold `fd` (taken on success) for the sandbox, in the place of one that is held already. */
int netns_table_put(struct netns_table *t, const char *sandbox, int fd, uint64_t inode);
/* The descriptor, still the table's, and the inode; -1 when none is held. */
int netns_table_get(const struct netns_table *t, const char *sandbox, uint64_t *ret_inode);
/* The namespace is held and nobody listens in it. */
bool netns_table_is_deaf(const struct netns_table *t, const char *sandbox);
/* Give it a watch (taken on success); -ENOENT when this namespace is not held any more, or has one. */
int netns_table_listen(struct netns_table *t, const char *sandbox, uint64_t inode, struct pod_watch *watch);
/* The sandbox of a watch; NULL = none. */
const char *netns_table_heard(const struct netns_table *t, const struct pod_watch *watch);
void netns_table_drop(struct netns_table *t, const char *sandbox);
void netns_table_free(struct netns_table *t);
