/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/fd.h"
#include "netlink/link.h"
#include "netlink/sysfs_internal.h"
#include "netlink/sysfs_text.h"

/* ---- netdevs --------------------------------------------------------------------------------------------------------------------- */

int sysfs_netdev_pci(const struct sysfs *s, const char *ifname, char ret[PCI_ADDRESS_SIZE])
{
	char target[SYSFS_PATH_SIZE];
	int r = sysfs_is_name(ifname) ? sysfs_link(s, target, sizeof(target), "class/net/%s", ifname) : -ENOENT;
	return r < 0 ? r : pci_address_of_path(target, ret);
}

int sysfs_open_function(const struct sysfs *s, const char *address)
{
	char name[DEVICE_NAME_SIZE];
	return device_name_pci(address, name) < 0 ? -ENOENT : sysfs_open_at(s, O_RDONLY | O_DIRECTORY, "bus/pci/devices/%s", address);
}

static bool is_representor(int netdev)
{
	char port[64];
	return sysfs_dir_text(netdev, "phys_port_name", port, sizeof(port)) == 0 && link_port_is_representor(port);
}

static int see_netdev(int dir, const char *name, void *user)
{
	char *best = user;
	_cleanup_fd_ int netdev = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (netdev >= 0 && strlen(name) < IFNAME_SIZE && (!best[0] || strcmp(name, best) < 0) && !is_representor(netdev))
		(void)str_copy(best, IFNAME_SIZE, name);
	return 0;
}

/* A netdev of the function's own. */
static int netdev_of(int function, char ret[IFNAME_SIZE])
{
	char best[IFNAME_SIZE] = "";
	int dir = openat(function, "net", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0 || sysfs_dir_each(dir, see_netdev, best) < 0 || !best[0])
		return -ENOENT;
	return str_copy(ret, IFNAME_SIZE, best);
}

/* Which VF the link "virtfn7" is of; -1 = it is no such link. */
static int32_t index_of(const char *name)
{
	static const char prefix[] = "virtfn";
	int32_t index;
	return str_starts(name, prefix) && sysfs_number_parse(name + sizeof(prefix) - 1, &index) == 0 ? index : -1;
}

struct vf_search {
	const char *address;
	int32_t index;
};

static int see_virtfn(int dir, const char *name, void *user)
{
	struct vf_search *search = user;
	char address[PCI_ADDRESS_SIZE];
	int32_t index = index_of(name);
	if (index < 0 || sysfs_dir_target(dir, name, address, sizeof(address)) < 0 || !str_equal(address, search->address))
		return 0;
	search->index = index;
	return 1;
}

/* A list of the function's entries needs a descriptor of its own, with a place in the directory of its own. */
static int list_function(int function, int (*see)(int dir, const char *name, void *user), void *user)
{
	int dir = openat(function, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -errno : sysfs_dir_each(dir, see, user);
}

static int count_virtfn(int dir, const char *name, void *user)
{
	(void)dir;
	*(int32_t *)user += index_of(name) >= 0;
	return 0;
}

/* As sriov_numvfs says, which cannot be read as long as somebody writes it: for seconds, while the VFs come that we are to look at. */
static int32_t vfs_of(int function)
{
	int32_t n = 0;
	(void)list_function(function, count_virtfn, &n);
	return n;
}

int sysfs_netdev_vf(const struct sysfs *s, const char *ifname, char ret_pf[IFNAME_SIZE], uint32_t *ret_index)
{
	char vf[PCI_ADDRESS_SIZE], pf[PCI_ADDRESS_SIZE];
	struct vf_search search = {.address = vf};
	if (sysfs_netdev_pci(s, ifname, vf) < 0)
		return -ENOENT;
	_cleanup_fd_ int function = sysfs_open_function(s, vf);
	if (function < 0 || sysfs_dir_target(function, "physfn", pf, sizeof(pf)) < 0)
		return -ENOENT;
	_cleanup_fd_ int parent = sysfs_open_function(s, pf);
	if (parent < 0 || list_function(parent, see_virtfn, &search) != 1 || netdev_of(parent, ret_pf) < 0)
		return -ENOENT;
	*ret_index = (uint32_t)search.index;
	return 0;
}

/* "…/0000:8a:00.0/net/eth0": on the function itself, and not on a virtio or auxiliary device of it. */
static bool stands_on(const char *target, const char *address)
{
	const char *net = strstr(target, "/net/");
	size_t n = strlen(address);
	return net && (size_t)(net - target) > n && net[-(ptrdiff_t)n - 1] == '/' && strncmp(net - n, address, n) == 0;
}

int sysfs_netdev_read(const struct sysfs *s, const char *ifname, struct sysfs_netdev *ret)
{
	struct sysfs_netdev n = {0};
	char target[SYSFS_PATH_SIZE];
	int r = sysfs_is_name(ifname) ? sysfs_link(s, target, sizeof(target), "class/net/%s", ifname) : -ENOENT;
	if (r < 0)
		return r;
	n.is_virtual = strstr(target, "/devices/virtual/");
	if (!n.is_virtual) {
		(void)pci_address_of_path(target, n.pci_address);
		_cleanup_fd_ int port = sysfs_open_at(s, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, "class/net/%s/dev_port", ifname);
		n.port = (uint32_t)sysfs_file_count(port);
		n.on_function = n.pci_address[0] && stands_on(target, n.pci_address);
	}
	if (!n.is_virtual && !n.on_function) {
		_cleanup_fd_ int device = sysfs_open_at(s, O_RDONLY | O_DIRECTORY, "class/net/%s/device", ifname);
		if (device >= 0) {
			(void)sysfs_dir_first(device, "infiniband", n.rdma_device, sizeof(n.rdma_device));
			(void)sysfs_dir_target(device, "driver", n.driver, sizeof(n.driver));
		}
	}
	*ret = n;
	return 0;
}

/* ---- PCI functions --------------------------------------------------------------------------------------------------------------- */

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
	if (str_is_token(first))
		(void)str_copy(ret, size, first);
}

static void read_pf(int function, struct sysfs_pci *p)
{
	char address[PCI_ADDRESS_SIZE], name[DEVICE_NAME_SIZE];
	if (sysfs_dir_target(function, "physfn", address, sizeof(address)) == 0 && device_name_pci(address, name) == 0 &&
	    !str_equal(address, p->address))
		memcpy(p->pf_address, address, sizeof(address));
}

/* Of our own or the system's: says nothing of what was to be read. */
static bool is_lack(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

int sysfs_pci_read(const struct sysfs *s, struct pci_names *names, const char *address, struct sysfs_pci *ret)
{
	struct sysfs_pci p = {0};
	struct modalias alias;
	char text[SYSFS_PATH_SIZE];
	_cleanup_fd_ int dir = sysfs_open_function(s, address);
	int r = dir < 0 ? dir : sysfs_dir_text(dir, "modalias", text, sizeof(text));
	if (is_lack(r))
		return r;
	if (r < 0 || modalias_parse(text, &alias) < 0 || STR_COPY(p.address, address) < 0)
		return -ENOENT;
	p.base_class = alias.base_class;
	p.sub_class = alias.sub_class;
	snprintf(p.subsystem, sizeof(p.subsystem), "%04x", alias.subsystem_device & 0xffff);
	if (sysfs_link(s, text, sizeof(text), "bus/pci/devices/%s", address) == 0)
		root_of(text, address, p.root, sizeof(p.root));
	(void)sysfs_dir_target(dir, "driver", p.driver, sizeof(p.driver));
	read_pf(dir, &p);
	(void)sysfs_dir_first(dir, "infiniband", p.rdma_device, sizeof(p.rdma_device));
	p.numa_node = sysfs_dir_number(dir, "numa_node");
	if (p.numa_node >= SYSFS_NUMA_NODES)
		p.numa_node = -1;
	p.sriov_total = sysfs_dir_count(dir, "sriov_totalvfs");
	p.sriov_vfs = p.sriov_total > 0 ? vfs_of(dir) : 0;
	/* The database is large and a machine has hundreds of functions: only for those that are published. */
	if (sysfs_pci_is_offered(&p))
		pci_names_get(names, alias.vendor, alias.device, p.vendor, p.device, sizeof(p.vendor));
	*ret = p;
	return 0;
}

static bool is_for_user_space(const char *driver)
{
	static const char *const drivers[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "pci-stub"};
	for (size_t i = 0; i < ELEMENTS(drivers); i++)
		if (str_equal(driver, drivers[i]))
			return true;
	return false;
}

bool sysfs_pci_is_offered(const struct sysfs_pci *p)
{
	return p->driver[0] && (p->base_class == 0x02 || p->rdma_device[0]) && !is_for_user_space(p->driver);
}

bool sysfs_pci_is_for_user_space(const struct sysfs *s, const char *address)
{
	char target[SYSFS_PATH_SIZE];
	if (sysfs_link(s, target, sizeof(target), "bus/pci/devices/%s/driver", address) < 0)
		return false;
	const char *slash = strrchr(target, '/');
	return is_for_user_space(slash ? slash + 1 : target);
}

struct vf_list {
	void (*see)(const char *address, int32_t index, void *user);
	void *user;
};

static int list_virtfn(int dir, const char *name, void *user)
{
	const struct vf_list *l = user;
	char address[PCI_ADDRESS_SIZE], slot[DEVICE_NAME_SIZE];
	int32_t index = index_of(name);
	if (index >= 0 && sysfs_dir_target(dir, name, address, sizeof(address)) == 0 && device_name_pci(address, slot) == 0)
		l->see(address, index, l->user);
	return 0;
}

void sysfs_pci_vfs(const struct sysfs *s, const char *pf_address, void (*see)(const char *address, int32_t index, void *user), void *user)
{
	struct vf_list l = {see, user};
	_cleanup_fd_ int function = sysfs_open_function(s, pf_address);
	if (function >= 0)
		(void)list_function(function, list_virtfn, &l);
}

bool sysfs_pci_has_driver(const struct sysfs *s, const char *address, const char *driver)
{
	char bound[sizeof(((struct sysfs_pci *)NULL)->driver)];
	_cleanup_fd_ int dir = driver[0] ? sysfs_open_function(s, address) : -ENOENT;
	return is_lack(dir) || (dir >= 0 && sysfs_dir_target(dir, "driver", bound, sizeof(bound)) == 0 && str_equal(bound, driver));
}

struct listing {
	int (*see)(const char *address, void *user);
	void *user;
};

static int see_function(int dir, const char *name, void *user)
{
	const struct listing *l = user;
	(void)dir;
	return l->see(name, l->user);
}

int sysfs_pci_list(const struct sysfs *s, int (*see)(const char *address, void *user), void *user)
{
	struct listing l = {see, user};
	int dir = sysfs_open_at(s, O_RDONLY | O_DIRECTORY, "bus/pci/devices");
	if (dir < 0)
		return dir == -ENOENT ? 0 : dir; /* a machine without PCI */
	int r = sysfs_dir_each(dir, see_function, &l);
	return r < 0 ? r : 0;
}
