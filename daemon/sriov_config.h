/* SPDX-License-Identifier: Apache-2.0 */
/* How many VFs the node's admin wants: files *.conf in a directory, in the order of their names, each line a PF, by its interface name or
 * PCI address, and a number. `#` begins a comment. Of two files that name a PF the later one has its way. The PFs that a file with a fault
 * in it names are left alone, whatever earlier files say of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/device.h"

enum { SRIOV_VFS_MAX = 65535, SRIOV_FILE_MAX = 64 * 1024, SRIOV_FILES_MAX = 1024 };

struct sriov_wish {
	char pf[PCI_ADDRESS_SIZE]; /* an interface name, or a PCI address with its domain, lower case */
	char file[64];             /* name of the file, cut */
	unsigned line;             /* counts from 1 */
	bool refused;              /* it stands in a file that has a fault: the PF is left alone */
	uint32_t n_vfs;
};
struct sriov_config {
	struct sriov_wish *v; /* of equal PFs the last counts */
	size_t n;
};

/* The lines of one file go behind those that are there. 0; -ENOMEM; -EINVAL with every fault, "10-a.conf:3: …". */
int sriov_config_parse(const char *text, size_t size, const char *file, struct sriov_config *c, struct error *e);
/* All of a directory. One that is not there has no files. `faulty` is told of each file that has a fault or cannot be read. 0, or a
 * negative errno when the directory cannot be read. */
int sriov_config_load(const char *directory, struct sriov_config *ret, void (*faulty)(const char *text, void *user), void *user,
                      struct error *e);
void sriov_config_free(struct sriov_config *c);
/* The wish for a PF by any of its names; NULL = nobody wants anything of it, or its wish is refused. */
const struct sriov_wish *sriov_config_find(const struct sriov_config *c, const char *ifname, const char *pci_address);
