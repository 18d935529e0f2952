/* SPDX-License-Identifier: Apache-2.0 */
/* What sysfs says of PCI functions and of the netdevs on them. Everything is read through a handle on the root ("/sys", or a fixture's), so
 * that a machine can be a directory tree in a test: links are resolved inside the root, absolute ones included, and nothing in the tree
 * leads out of it. What is missing or malformed is one fact less, not a device less. Reading is quick, but it is reading files: only for
 * what is new, never for every event. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/device.h"

/* Read-only once it is open: any thread may use it. It shows the tree that was mounted at `path` then. */
struct sysfs;
int sysfs_open(const char *path, struct sysfs **ret, struct error *e);
void sysfs_close(struct sysfs *s); /* NULL allowed */
const char *sysfs_path(const struct sysfs *s);

/* ---- netdevs --------------------------------------------------------------------------------------------------------------------- */

/* The PCI function a netdev stands on: the right-most address in the path its class link points to, so that virtio and auxiliary devices
 * are walked up. -ENOENT for a virtual one, and for one that is gone. */
int sysfs_netdev_pci(const struct sysfs *s, const char *ifname, char ret[PCI_ADDRESS_SIZE]);

struct sysfs_netdev {
	char pci_address[PCI_ADDRESS_SIZE]; /* "" = none */
	/* Of the device on whatever other bus it stands on: its driver ("virtio_net", "hv_netvsc", "r8152") and RDMA device; "" = none. */
	char driver[32];
	char rdma_device[ATTRIBUTE_TEXT_SIZE];
	uint32_t port;    /* dev_port: which port of a function that has several */
	bool on_function; /* on the PCI function itself, whose driver and RDMA device struct sysfs_pci has */
	bool is_virtual;  /* below devices/virtual */
};
/* -ENOENT when the netdev is gone (a link event may be older than the present). */
int sysfs_netdev_read(const struct sysfs *s, const char *ifname, struct sysfs_netdev *ret);

/* Of a VF's netdev: the netdev of its PF, and which of its VFs it is. -ENOENT: it is none, or its PF has no netdev. */
int sysfs_netdev_vf(const struct sysfs *s, const char *ifname, char ret_pf[IFNAME_SIZE], uint32_t *ret_index);

/* ---- PCI functions --------------------------------------------------------------------------------------------------------------- */

struct pci_names; /* vendor and device names from systemd's hardware database */
int pci_names_new(struct pci_names **ret);
void pci_names_free(struct pci_names *n);
/* Let go of the mapped database; what was looked up stays. */
void pci_names_release(struct pci_names *n);
/* By PCI vendor and device id; "unknown" when not listed, cut at `size`. */
void pci_names_get(struct pci_names *n, uint32_t vendor, uint32_t device, char *vendor_text, char *device_text, size_t size);

struct sysfs_pci {
	char address[PCI_ADDRESS_SIZE];
	char vendor[ATTRIBUTE_TEXT_SIZE], device[ATTRIBUTE_TEXT_SIZE]; /* "unknown" when not listed; cut at 64 bytes; "" when not offered */
	char subsystem[8];                                             /* subsystem device id, four hex digits */
	char root[ATTRIBUTE_TEXT_SIZE];                                /* "pci0000:80"; "" = cannot be told */
	char driver[32];                                               /* "" = none bound */
	char rdma_device[ATTRIBUTE_TEXT_SIZE];                         /* "" = none */
	char pf_address[PCI_ADDRESS_SIZE];                             /* of the PF when this is a VF */
	int32_t numa_node;                                             /* -1 = unknown */
	int32_t sriov_total, sriov_vfs;
	uint8_t base_class, sub_class; /* 0x02 = network; 0x07 of that = InfiniBand */
};
/* -ENOENT: no such function, or none with a readable modalias. Another error (descriptors, memory): it cannot be told whether there is. */
int sysfs_pci_read(const struct sysfs *s, struct pci_names *names, const char *address, struct sysfs_pci *ret);
/* Whether a function is offered (dranet-behaviour §2.3): class 02 or with an RDMA device, and bound to a driver that is not for user space.
 */
bool sysfs_pci_is_offered(const struct sysfs_pci *p);
/* Whether the function is still there and bound to that driver, or that cannot be told (descriptors, memory); "" binds nothing. */
bool sysfs_pci_has_driver(const struct sysfs *s, const char *address, const char *driver);
/* Calls `see` with address and index of each VF of a PF, in the kernel's order. */
void sysfs_pci_vfs(const struct sysfs *s, const char *pf_address, void (*see)(const char *address, int32_t index, void *user), void *user);
/* Whether it is bound to a driver that gives it to user space. */
bool sysfs_pci_is_for_user_space(const struct sysfs *s, const char *address);
/* The node itself, then those of the smallest distance to it on its socket, ascending; the node alone where distances are not to be had.
 * Returns how many. Facts: dranet-behaviour §2.6, "numaNode". */
size_t sysfs_numa_near(const struct sysfs *s, int32_t node, int32_t ret[NUMA_NODES_MAX]);
/* Calls `see` with each function's address; a negative return value ends it. */
int sysfs_pci_list(const struct sysfs *s, int (*see)(const char *address, void *user), void *user);
