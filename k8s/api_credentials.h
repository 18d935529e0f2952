/* SPDX-License-Identifier: Apache-2.0 */
/* The files behind struct api_config: tokens and certificates are swapped under a running daemon (kubelet renews a service account's token
 * at 80 % of its life, protocols §6.3), so they are looked at again whenever they are used. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "k8s/api.h"

enum { CREDENTIAL_SIZE_MAX = 1 << 20, CREDENTIAL_REREAD_MS = 60000 };

/* What a file looked like when it was read. */
struct credential_file {
	bool known;
	uint64_t device, inode, size;
	int64_t modified_s, modified_ns;
	uint64_t read_ms;
};
struct credentials {
	struct api_config config;
	struct credential_file ca, certificate, key, token;
};

/* A regular file of at most CREDENTIAL_SIZE_MAX bytes, NUL-terminated, without NULs inside. Does not wait on pipes or devices. */
int credential_read(const char *path, char **ret, size_t *ret_len, struct error *e);
/* Read every file that changed, or was read a minute ago (network file systems keep times badly), or all when `force`. What cannot be
 * read keeps its last contents; it is an error only where there are none. *ret_tls: CA, certificate or key are others now. */
int credentials_refresh(struct credentials *c, uint64_t now_ms, bool force, bool *ret_tls, struct error *e);
/* "Authorization: …" of a malloc'd string; NULL with 0 when no header is needed. */
int credentials_header(const struct credentials *c, char **ret);
/* Unpadded input is refused, line breaks are skipped, as Go's decoder does. `ret` is NUL-terminated; -EINVAL when it holds a NUL. */
int base64_decode(const char *text, char **ret);
