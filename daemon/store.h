/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: one file per prepared claim, `<dir>/claims/<claim uid>.json`, replaced as a whole (temporary file, fsync, rename,
 * fsync of the directory), so that a crash leaves the old or the new record and never half of one. A file that cannot be read is moved
 * aside to `<name>.broken` and told; it never blocks the start.
 *
 * `<dir>/lock` is held for as long as the process may act on a device: it is the kernel that lets it go, after the last thread has ended.
 * A second instance (a rolling update starts the new one before it ends the old one) waits for it, and only then reads the records.
 *
 * Everything here blocks: reading at the start, writing and waiting on the disk worker. */
#pragma once

#include <stddef.h>

#include "core/base/error.h"
#include "core/claim.h"

struct store;

struct store_callbacks {
	void (*record)(struct claim_record *r, void *user);            /* may move the contents out */
	void (*broken)(const char *file, const char *why, void *user); /* it was moved aside */
	void *user;
};

/* Makes the directory (0700). Nothing else here may be called before the lock is held. */
int store_open(const char *directory, struct store **ret, struct error *e);
/* Take the lock. -EBUSY: another process holds it, `e` says which. */
int store_lock(struct store *s, struct error *e);
/* The same, but wait for as long as it takes. */
int store_wait_lock(struct store *s, struct error *e);
void store_close(struct store *s); /* NULL allowed */
/* Every record, in the order of file names. */
int store_load(struct store *s, const struct store_callbacks *callbacks, struct error *e);
/* Durable when it returns 0; the text of record_encode(). -EINVAL: the UID cannot be a file name. */
int store_write(struct store *s, const char *uid, const void *text, size_t len, struct error *e);
/* 0 also when there was none. */
int store_remove(struct store *s, const char *uid, struct error *e);
/* A claim UID that is safe as a file name: letters, digits, '-', '_' and '.', not starting with a dot. */
int store_check_uid(const char *uid);
