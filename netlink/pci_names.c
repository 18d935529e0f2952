/* SPDX-License-Identifier: Apache-2.0 */
/* Names of PCI vendors and devices from hwdb.bin (package udev). One look-up per kind of device; machines have few kinds. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-hwdb.h>

#include "core/base/str.h"
#include "netlink/sysfs.h"

struct pci_name {
	uint32_t vendor, device;
	char vendor_text[ATTRIBUTE_TEXT_SIZE], device_text[ATTRIBUTE_TEXT_SIZE];
};
struct pci_names {
	sd_hwdb *hwdb;
	bool absent; /* there is no database on this machine */
	struct pci_name *v;
	size_t n, cap;
};

int pci_names_new(struct pci_names **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void pci_names_release(struct pci_names *n)
{
	n->hwdb = sd_hwdb_unref(n->hwdb);
}

void pci_names_free(struct pci_names *n)
{
	if (!n)
		return;
	pci_names_release(n);
	free(n->v);
	free(n);
}

static void look_up(struct pci_names *n, const char *key, const char *property, char *text, size_t size)
{
	const char *value = NULL;
	if (!n->hwdb && !n->absent && sd_hwdb_new(&n->hwdb) < 0)
		n->absent = true;
	if (!n->hwdb || sd_hwdb_get(n->hwdb, key, property, &value) < 0)
		value = "unknown";
	str_cut(text, size, value);
}

void pci_names_get(struct pci_names *n, uint32_t vendor, uint32_t device, char *vendor_text, char *device_text, size_t size)
{
	for (size_t i = 0; i < n->n; i++)
		if (n->v[i].vendor == vendor && n->v[i].device == device) {
			str_cut(vendor_text, size, n->v[i].vendor_text);
			str_cut(device_text, size, n->v[i].device_text);
			return;
		}
	/* Without the subsystem part: with it the database answers with the board's name for some cards, where pci.ids has the chip's. */
	char key[64];
	struct pci_name name = {.vendor = vendor, .device = device};
	snprintf(key, sizeof(key), "pci:v%08" PRIX32 "d%08" PRIX32, vendor, device);
	look_up(n, key, "ID_VENDOR_FROM_DATABASE", name.vendor_text, sizeof(name.vendor_text));
	look_up(n, key, "ID_MODEL_FROM_DATABASE", name.device_text, sizeof(name.device_text));
	str_cut(vendor_text, size, name.vendor_text);
	str_cut(device_text, size, name.device_text);
	if (n->n == n->cap) {
		size_t cap = n->cap ? 2 * n->cap : 8;
		struct pci_name *v = realloc(n->v, cap * sizeof(*v));
		if (!v)
			return; /* only the cache stays small */
		n->v = v;
		n->cap = cap;
	}
	n->v[n->n++] = name;
}
