/* SPDX-License-Identifier: Apache-2.0 */
/* What a container may read of the devices it has (DeviceMetadata, KEP-5304; protocols §2.8): attributes and network data, and of an RDMA
 * device which entry of the GID table is the pod's, which nobody in there could know beforehand. */
#pragma once

#include "core/base/buf.h"
#include "core/claim.h"

/* One object for each version of the API, newest first, of the devices that `record` has for a request (without "/subrequest").
 * `generation` must grow with each change that a container may see. -ENOENT: it has none; -ENOMEM. */
int device_metadata_encode(const struct claim_record *record, const char *driver, const char *request, int64_t generation, struct buf *ret);
/* That of such a text; 0 = it is none. */
int64_t device_metadata_generation(const char *text, size_t len);
/* The request without its subrequest. */
void request_main(const char *request, char ret[REQUEST_SIZE]);
/* Where a container looks for it. */
void device_metadata_path(const struct claim_record *record, const char *driver, const char *request, struct buf *ret);
