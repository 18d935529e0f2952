/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

enum { SYSFS_PATH_SIZE = 512 };

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define _cleanup_dir_ _cleanup_(closedirp)

static int path_of(char path[SYSFS_PATH_SIZE], const char *root, const char *format, const char *name)
{
	char rest[SYSFS_PATH_SIZE];
	int n = snprintf(rest, sizeof(rest), format, name);
	if (n < 0 || n >= SYSFS_PATH_SIZE)
		return -ENAMETOOLONG;
	n = snprintf(path, SYSFS_PATH_SIZE, "%s/%s", root, rest);
	return n < 0 || n >= SYSFS_PATH_SIZE ? -ENAMETOOLONG : 0;
}

/* The first line of a file. */
static int read_text(const char *root, const char *format, const char *name, char *text, size_t size)
{
	char path[SYSFS_PATH_SIZE];
	int r = path_of(path, root, format, name);
	if (r < 0)
		return r;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	ssize_t n = read(fd, text, size - 1);
	r = n < 0 ? -errno : 0;
	close(fd);
	if (r < 0)
		return r;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

static int64_t read_number(const char *root, const char *format, const char *name, int64_t otherwise)
{
	char text[32], *end;
	if (read_text(root, format, name, text, sizeof(text)) < 0)
		return otherwise;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	return errno || end == text || *end || v < INT32_MIN || v > INT32_MAX ? otherwise : v;
}

static int read_link(const char *root, const char *format, const char *name, char *text, size_t size)
{
	char path[SYSFS_PATH_SIZE];
	int r = path_of(path, root, format, name);
	if (r < 0)
		return r;
	ssize_t n = readlink(path, text, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	text[n] = '\0';
	return 0;
}

/* The first entry of a directory by name: the kernel's own order says nothing and changes. */
static int first_entry(const char *root, const char *format, const char *name, char *text, size_t size)
{
	char path[SYSFS_PATH_SIZE], best[256] = "";
	int r = path_of(path, root, format, name);
	if (r < 0)
		return r;
	_cleanup_dir_ DIR *d = opendir(path);
	if (!d)
		return -errno;
	for (struct dirent *entry; (entry = readdir(d));)
		if (entry->d_name[0] != '.' && (!best[0] || strcmp(entry->d_name, best) < 0))
			(void)STR_COPY(best, entry->d_name);
	return best[0] ? str_copy(text, size, best) : -ENOENT;
}

static void last_component(const char *path, char *ret, size_t size)
{
	const char *slash = strrchr(path, '/');
	(void)str_copy(ret, size, slash ? slash + 1 : path);
}

/* ---- netdevs --------------------------------------------------------------------------------------------------------------------- */

int sysfs_netdev_pci(const char *root, const char *ifname, char ret[PCI_ADDRESS_SIZE])
{
	char target[SYSFS_PATH_SIZE];
	int r = read_link(root, "class/net/%s", ifname, target, sizeof(target));
	if (r < 0)
		return r;
	return pci_address_of_path(target, ret);
}

/* In switchdev mode a PF's function bears a representor of each VF beside its own netdev: "pf0vf3", or "c1pf0vf3" of another host. */
static bool is_representor(const char *root, const char *ifname)
{
	char port[64];
	if (read_text(root, "class/net/%s/phys_port_name", ifname, port, sizeof(port)) < 0)
		return false;
	const char *pf = strstr(port, "pf");
	return pf && (strstr(pf, "vf") || strstr(pf, "sf"));
}

static int netdev_of(const char *root, const char *address, char ret[IFNAME_SIZE])
{
	char path[SYSFS_PATH_SIZE], best[IFNAME_SIZE] = "";
	int r = path_of(path, root, "bus/pci/devices/%s/net", address);
	if (r < 0)
		return r;
	_cleanup_dir_ DIR *d = opendir(path);
	if (!d)
		return -ENOENT;
	for (struct dirent *entry; (entry = readdir(d));)
		if (entry->d_name[0] != '.' && (!best[0] || strcmp(entry->d_name, best) < 0) && !is_representor(root, entry->d_name))
			(void)STR_COPY(best, entry->d_name);
	return best[0] ? str_copy(ret, IFNAME_SIZE, best) : -ENOENT;
}

int sysfs_netdev_vf(const char *root, const char *ifname, char ret_pf[IFNAME_SIZE], uint32_t *ret_index)
{
	enum { VFS_MAX = 1024 };
	char vf[PCI_ADDRESS_SIZE], pf[PCI_ADDRESS_SIZE], other[PCI_ADDRESS_SIZE], target[SYSFS_PATH_SIZE], format[64];
	if (sysfs_netdev_pci(root, ifname, vf) < 0 || read_link(root, "bus/pci/devices/%s/physfn", vf, target, sizeof(target)) < 0)
		return -ENOENT;
	last_component(target, pf, sizeof(pf));
	for (uint32_t i = 0; i < VFS_MAX; i++) {
		snprintf(format, sizeof(format), "bus/pci/devices/%%s/virtfn%u", i);
		if (read_link(root, format, pf, target, sizeof(target)) < 0)
			break;
		last_component(target, other, sizeof(other));
		if (str_equal(other, vf)) {
			*ret_index = i;
			return netdev_of(root, pf, ret_pf);
		}
	}
	return -ENOENT;
}

int sysfs_netdev_read(const char *root, const char *ifname, struct sysfs_netdev *ret)
{
	struct sysfs_netdev n = {0};
	char target[SYSFS_PATH_SIZE];
	int r = read_link(root, "class/net/%s", ifname, target, sizeof(target));
	if (r < 0)
		return r;
	n.is_virtual = strstr(target, "/devices/virtual/");
	if (!n.is_virtual) {
		(void)pci_address_of_path(target, n.pci_address);
		(void)first_entry(root, "class/net/%s/device/infiniband", ifname, n.rdma_device, sizeof(n.rdma_device));
		n.port = (uint32_t)read_number(root, "class/net/%s/dev_port", ifname, 0);
	}
	*ret = n;
	return 0;
}

/* ---- PCI functions --------------------------------------------------------------------------------------------------------------- */

/* pci:v000015B3d0000101Dsv000015B3sd00000041bc02sc00i00 */
struct modalias {
	uint32_t vendor, device, subsystem_device;
	uint8_t base_class;
};

static int modalias_parse(const char *text, struct modalias *ret)
{
	uint32_t vendor, device, subsystem_vendor, subsystem_device;
	unsigned base_class;
	if (sscanf(text, "pci:v%8" SCNx32 "d%8" SCNx32 "sv%8" SCNx32 "sd%8" SCNx32 "bc%2x", &vendor, &device, &subsystem_vendor,
	           &subsystem_device, &base_class) != 5)
		return -EINVAL;
	*ret =
	    (struct modalias){.vendor = vendor, .device = device, .subsystem_device = subsystem_device, .base_class = (uint8_t)base_class};
	return 0;
}

/* "../../../devices/pci0000:80/0000:80:01.0/0000:8a:00.0" → "pci0000:80". Functions behind a bus that is not PCI's (Hyper-V) have none. */
static void root_of(const char *target, const char *address, char *ret, size_t size)
{
	const char *devices = strstr(target, "devices/pci"), *last = strrchr(target, '/');
	char first[ATTRIBUTE_TEXT_SIZE];
	if (!devices || !last || !str_equal(last + 1, address))
		return;
	devices += strlen("devices/");
	size_t n = strcspn(devices, "/");
	if (n >= sizeof(first))
		return;
	memcpy(first, devices, n);
	first[n] = '\0';
	(void)str_copy(ret, size, first);
}

int sysfs_pci_read(const char *root, struct pci_names *names, const char *address, struct sysfs_pci *ret)
{
	struct sysfs_pci p = {0};
	struct modalias alias;
	char text[SYSFS_PATH_SIZE];
	int r = STR_COPY(p.address, address);
	if (r < 0)
		return r;
	if (read_text(root, "bus/pci/devices/%s/modalias", address, text, sizeof(text)) < 0 || modalias_parse(text, &alias) < 0)
		return -ENOENT;
	p.base_class = alias.base_class;
	snprintf(p.subsystem, sizeof(p.subsystem), "%04x", alias.subsystem_device & 0xffff);
	if (read_link(root, "bus/pci/devices/%s", address, text, sizeof(text)) == 0)
		root_of(text, address, p.root, sizeof(p.root));
	if (read_link(root, "bus/pci/devices/%s/driver", address, text, sizeof(text)) == 0)
		last_component(text, p.driver, sizeof(p.driver));
	if (read_link(root, "bus/pci/devices/%s/physfn", address, text, sizeof(text)) == 0)
		last_component(text, p.pf_address, sizeof(p.pf_address));
	(void)first_entry(root, "bus/pci/devices/%s/infiniband", address, p.rdma_device, sizeof(p.rdma_device));
	p.numa_node = (int32_t)read_number(root, "bus/pci/devices/%s/numa_node", address, -1);
	p.sriov_total = (int32_t)read_number(root, "bus/pci/devices/%s/sriov_totalvfs", address, 0);
	p.sriov_vfs = p.sriov_total > 0 ? (int32_t)read_number(root, "bus/pci/devices/%s/sriov_numvfs", address, 0) : 0;
	/* The database is large and a machine has hundreds of functions: only for those that are published. */
	if (sysfs_pci_is_offered(&p))
		pci_names_get(names, alias.vendor, alias.device, p.vendor, p.device, sizeof(p.vendor));
	*ret = p;
	return 0;
}

bool sysfs_pci_is_offered(const struct sysfs_pci *p)
{
	static const char *const for_user_space[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "pci-stub"};
	if (!p->driver[0] || (p->base_class != 0x02 && !p->rdma_device[0]))
		return false;
	for (size_t i = 0; i < ELEMENTS(for_user_space); i++)
		if (str_equal(p->driver, for_user_space[i]))
			return false;
	return true;
}

bool sysfs_pci_has_driver(const char *root, const char *address, const char *driver)
{
	char text[SYSFS_PATH_SIZE], bound[sizeof(((struct sysfs_pci *)NULL)->driver)];
	if (!driver[0] || read_link(root, "bus/pci/devices/%s/driver", address, text, sizeof(text)) < 0)
		return false;
	last_component(text, bound, sizeof(bound));
	return str_equal(bound, driver);
}

int sysfs_pci_list(const char *root, int (*see)(const char *address, void *user), void *user)
{
	char path[SYSFS_PATH_SIZE];
	int r = path_of(path, root, "%s", "bus/pci/devices");
	if (r < 0)
		return r;
	_cleanup_dir_ DIR *d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : -errno; /* a machine without PCI */
	for (struct dirent *entry; (entry = readdir(d));)
		if (entry->d_name[0] != '.' && (r = see(entry->d_name, user)) < 0)
			return r;
	return 0;
}
