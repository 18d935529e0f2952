/* SPDX-License-Identifier: Apache-2.0 */
/* Files from which containers read about their devices (k8s/device_metadata.h), one for each request of a claim, below the state directory.
 * The claim's CDI spec mounts them where KEP-5304 says. They are there from when the devices are in the pod until it is stopped, and are
 * the same files all the while: containers have them mounted. */
#pragma once

#include <stdbool.h>

#include "core/base/error.h"
#include "core/claim.h"
#include "daemon/cdi.h"

struct metadata;

int metadata_open(const char *state_directory, const char *driver, struct metadata **ret, struct error *e);
void metadata_close(struct metadata *m); /* NULL allowed */
/* What the claim's spec is to mount: how many of `ret` are set. A NULL `m` has none. */
size_t metadata_mounts(const struct metadata *m, const struct claim_record *record, struct cdi_mount ret[CLAIM_DEVICES_MAX]);
/* Write all files of the claim, or write them over where containers may have them mounted; one that would say the same is left alone.
 * Quick: the state directory is on a tmpfs. */
int metadata_write(const struct metadata *m, const struct claim_record *record, struct error *e);
int metadata_remove(const struct metadata *m, const char *claim_uid, struct error *e); /* 0 also when there are none */
/* Remove the files of claims that `known` denies. */
void metadata_sweep(const struct metadata *m, bool (*known)(const char *claim_uid, void *user), void *user);
