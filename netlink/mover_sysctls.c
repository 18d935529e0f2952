/* SPDX-License-Identifier: Apache-2.0 */
/* What a pod's namespace is told in /proc/sys/net, which shows the namespace of the thread that opens a file, whichever /proc is mounted.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mark.h"
#include "core/base/str.h"
#include "netlink/mover_internal.h"
#include "netlink/netns.h"

enum { SYSCTL_PATH_SIZE = 128 };

static int sysctl_write(const char *path, int number, struct error *e)
{
	char value[16];
	/* Without a newline: what the kernel says of IPv6's forwarding is 1, however much it was given. */
	int n = snprintf(value, sizeof(value), "%d", number);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	mark("sysctl", "set", "begin");
	ssize_t written = write(fd, value, (size_t)n);
	mark("sysctl", "set", "end");
	int r = written == n ? 0 : written < 0 ? -errno : -EIO;
	if (r < 0)
		error_set(e, r, "cannot set %s to %d: %s", path, number, strerror(-r));
	close(fd);
	return r;
}

/* -1 = there is none. */
static int sysctl_read(const char *path)
{
	char value[16] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = read(fd, value, sizeof(value) - 1);
	close(fd);
	return n > 0 ? atoi(value) : -1;
}

struct sysctl {
	const char *path; /* %s = interface */
	int value;        /* negative = as it is */
	bool may_lack;    /* in this kernel, or in a pod without IPv6 */
};

static int write_all(const struct sysctl *table, size_t n, const char *ifname, struct error *e)
{
	for (size_t i = 0; i < n; i++) {
		struct error ours = {0};
		char path[SYSCTL_PATH_SIZE];
		if (table[i].value < 0)
			continue;
		snprintf(path, sizeof(path), table[i].path, ifname);
		int r = sysctl_write(path, table[i].value, &ours);
		if (r < 0 && !(r == -ENOENT && table[i].may_lack))
			return error_set(e, r, "%s", ours.text);
	}
	return 0;
}

/* ---- forwarding ------------------------------------------------------------------------------------------------------------------ */

#define CONF6 "/proc/sys/net/ipv6/conf/"

/* A link of the pod that is not ours, as it was before. */
struct other_link {
	char ifname[IFNAME_SIZE];
	int accept_ra, forwarding;
};

static size_t other_links(const char *ifname, struct other_link *v, size_t max)
{
	DIR *d = opendir(CONF6);
	size_t n = 0;
	if (!d)
		return 0;
	for (struct dirent *entry; n < max && (entry = readdir(d));) {
		char path[SYSCTL_PATH_SIZE];
		struct other_link o;
		if (entry->d_name[0] == '.' || str_equal(entry->d_name, "all") || str_equal(entry->d_name, ifname) ||
		    STR_COPY(o.ifname, entry->d_name) < 0)
			continue;
		snprintf(path, sizeof(path), CONF6 "%s/accept_ra", o.ifname);
		o.accept_ra = sysctl_read(path);
		snprintf(path, sizeof(path), CONF6 "%s/forwarding", o.ifname);
		o.forwarding = sysctl_read(path);
		v[n++] = o;
	}
	closedir(d);
	return n;
}

static void set_other(const struct other_link *o, const char *name, int value)
{
	char path[SYSCTL_PATH_SIZE];
	snprintf(path, sizeof(path), CONF6 "%s/%s", o->ifname, name);
	if (value >= 0 && sysctl_read(path) != value)
		(void)sysctl_write(path, value, NULL);
}

/* IPv4 looks at the link that a packet came in by. IPv6 looks at `all` and at no link, but for kernels since 6.17, of which a link may be
 * told to forward though `all` are not. The link's own `forwarding` says whether it behaves as a router (all-routers group, flag of its
 * neighbour advertisements, no router advertisements heeded): set as well.
 *
 * Setting any link's to 1 makes the kernel forget the default routes that router advertisements gave to any other, unless that link heeds
 * them also as a router (accept_ra 2); and setting that of `all` makes routers of all of them. The pod's other links are none of the
 * claim's business: they heed what they hear as routers for that moment, and are told afterwards to be what they were. `all` stays as it is
 * when the device leaves: the pod ends, or another device of it needs it. */
static int forward6(const char *ifname, struct error *e)
{
	enum { OTHERS_MAX = 256 };
	_cleanup_free_ struct other_link *others = calloc(OTHERS_MAX, sizeof(*others));
	char own[SYSCTL_PATH_SIZE], force[SYSCTL_PATH_SIZE];
	if (!others)
		return error_set(e, -ENOMEM, "out of memory");
	snprintf(own, sizeof(own), CONF6 "%s/forwarding", ifname);
	snprintf(force, sizeof(force), CONF6 "%s/force_forwarding", ifname);
	if (sysctl_read(own) < 0)
		return 0; /* a kernel or a link without IPv6 */
	bool forced = sysctl_read(force) >= 0 && sysctl_write(force, 1, NULL) == 0;
	if (sysctl_read(own) == 1 && (forced || sysctl_read(CONF6 "all/forwarding") == 1))
		return 0;
	size_t n = other_links(ifname, others, OTHERS_MAX);
	for (size_t i = 0; i < n; i++)
		if (others[i].accept_ra == 1 && others[i].forwarding == 0)
			set_other(&others[i], "accept_ra", 2);
	int r = forced ? 0 : sysctl_write(CONF6 "all/forwarding", 1, e);
	if (r == 0)
		r = sysctl_write(own, 1, e);
	for (size_t i = 0; i < n; i++) {
		set_other(&others[i], "forwarding", others[i].forwarding);
		set_other(&others[i], "accept_ra", others[i].accept_ra);
	}
	return r;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------- */

int job_configure_sysctls(struct job *j, const struct link *l, struct error *e)
{
	const struct network_config *c = &j->plan->pod;
	/* With them a server that listens without being bound to a VRF gets what comes in by its members, too; raw sockets have it so by
	 * default. */
	int accept_all = c->vrf_name[0] ? 1 : -1;
	const struct sysctl table[] = {
	    {"/proc/sys/net/ipv4/conf/%s/arp_ignore", c->arp_ignore, false},
	    {"/proc/sys/net/ipv4/conf/%s/arp_announce", c->arp_announce, false},
	    {"/proc/sys/net/ipv4/conf/%s/forwarding", c->forwarding, false},
	    {CONF6 "%s/forwarding", c->forwarding == 1 ? -1 : c->forwarding, true},
	    {CONF6 "%s/force_forwarding", c->forwarding == 1 ? -1 : c->forwarding, true},
	    {"/proc/sys/net/ipv4/tcp_l3mdev_accept", accept_all, true},
	    {"/proc/sys/net/ipv4/udp_l3mdev_accept", accept_all, true},
	};
	bool any = false;
	for (size_t i = 0; i < ELEMENTS(table); i++)
		any |= table[i].value >= 0;
	if (!any)
		return 0;
	int r = netns_enter(j->netns_fd, e);
	if (r < 0)
		return r;
	r = write_all(table, ELEMENTS(table), l->ifname, e);
	if (r == 0 && c->forwarding == 1)
		r = forward6(l->ifname, e);
	netns_return(j->m->host_fd);
	return r;
}
