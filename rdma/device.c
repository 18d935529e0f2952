/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/device.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <rdma/rdma_netlink.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/str.h"
#include "rdma/socket.h"

static const char own_namespace[] = "/proc/thread-self/ns/net";

struct rdma {
	int fd;
	uint32_t sequence;
};

int rdma_open(struct rdma **ret, struct error *e)
{
	struct rdma *r = calloc(1, sizeof(*r));
	if (!r)
		return error_set(e, -ENOMEM, "out of memory");
	int result = rdma_socket_open(&r->fd, e);
	if (result < 0)
		free(r);
	else
		*ret = r;
	return result;
}

void rdma_close(struct rdma *r)
{
	if (!r)
		return;
	close(r->fd);
	free(r);
}

int rdma_fd(const struct rdma *r)
{
	return r->fd;
}

uint32_t rdma_next(struct rdma *r)
{
	return ++r->sequence;
}

int rdma_mode(struct rdma *r, enum rdma_netns_mode *ret, struct error *e)
{
	struct rdma_table t = {0};
	int result = rdma_mode_fd(r->fd, rdma_next(r), &t, e);
	if (result == 0)
		*ret = t.mode;
	return result;
}

/* ---- finding --------------------------------------------------------------------------------------------------------------------- */

static const struct rdma_device *find_index(const struct rdma_table *t, const struct rdma_state *which)
{
	for (size_t i = 0; i < t->n_devices; i++)
		if (t->devices[i].index == which->index && t->devices[i].node_guid == which->guid && which->guid)
			return &t->devices[i];
	return NULL;
}

/* After a restart of the machine or the driver the kernel counts anew. */
static const struct rdma_device *find_name(const struct rdma_table *t, const struct rdma_state *which)
{
	for (size_t i = 0; i < t->n_devices; i++)
		if (t->devices[i].node_guid == which->guid && str_equal(t->devices[i].name, which->name))
			return &t->devices[i];
	return NULL;
}

const struct rdma_device *rdma_table_find(const struct rdma_table *t, const struct rdma_state *which)
{
	const struct rdma_device *d = find_index(t, which);
	return d ? d : find_name(t, which);
}

int rdma_find(struct rdma *r, const struct rdma_state *which, struct rdma_device *ret, struct error *e)
{
	_cleanup_rdma_table_ struct rdma_table t = {0};
	int result = rdma_devices_fd(r->fd, rdma_next(r), &t, e);
	if (result < 0)
		return result;
	const struct rdma_device *d = rdma_table_find(&t, which);
	if (!d)
		return error_set(e, -ENODEV, "RDMA device %s (GUID %016" PRIx64 ") is not in this network namespace", which->name,
		                 which->guid);
	*ret = *d;
	return 0;
}

int rdma_find_name(struct rdma *r, const char *name, struct rdma_device *ret, struct error *e)
{
	_cleanup_rdma_table_ struct rdma_table t = {0};
	int result = rdma_devices_fd(r->fd, rdma_next(r), &t, e);
	if (result < 0)
		return result;
	for (size_t i = 0; i < t.n_devices; i++)
		if (str_equal(t.devices[i].name, name)) {
			*ret = t.devices[i];
			return 0;
		}
	return error_set(e, -ENODEV, "RDMA device %s is not in this network namespace", name);
}

static int has_index(struct rdma *r, uint32_t index, bool *ret, struct error *e)
{
	_cleanup_rdma_table_ struct rdma_table t = {0};
	int result = rdma_devices_fd(r->fd, rdma_next(r), &t, e);
	if (result < 0)
		return result;
	*ret = false;
	for (size_t i = 0; i < t.n_devices; i++)
		*ret |= t.devices[i].index == index;
	return 0;
}

/* ---- changing -------------------------------------------------------------------------------------------------------------------- */

static void go_home(int home_fd)
{
	if (setns(home_fd, CLONE_NEWNET) == 0)
		return;
	fprintf(stderr, "cannot return to the host's network namespace: %s\n", strerror(errno));
	abort(); /* everything after it would be done to a pod */
}

static int open_there(int home_fd, int netns_fd, struct rdma **ret, struct error *e)
{
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return error_set(e, -errno, "cannot enter the network namespace: %s", strerror(errno));
	int r = rdma_open(ret, e);
	go_home(home_fd);
	return r;
}

static int is_there(int home_fd, int netns_fd, uint32_t index, bool *ret, struct error *e)
{
	struct rdma *there = NULL;
	int r = open_there(home_fd, netns_fd, &there, e);
	if (!there)
		return r;
	r = has_index(there, index, ret, e);
	rdma_close(there);
	return r;
}

static bool same_namespace(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

int rdma_move(struct rdma *r, uint32_t index, int netns_fd, struct error *e)
{
	_cleanup_rdma_fd_ int home = open(own_namespace, O_RDONLY | O_CLOEXEC);
	bool there = false;
	char what[64];
	if (home < 0)
		return error_set(e, -errno, "cannot open %s: %s", own_namespace, strerror(errno));
	/* A kernel that is told to move a device to where it is would end all its users for nothing. */
	if (same_namespace(home, netns_fd) && has_index(r, index, &there, NULL) == 0 && there)
		return 0;
	struct rdma_request request = rdma_request(rdma_next(r), RDMA_NLDEV_CMD_SET, NLM_F_ACK);
	rdma_request_put_number(&request, RDMA_NLDEV_ATTR_DEV_INDEX, index);
	rdma_request_put_number(&request, RDMA_NLDEV_NET_NS_FD, (uint32_t)netns_fd);
	snprintf(what, sizeof(what), "moving device %u to the network namespace", index);
	int result = rdma_ask(r->fd, &request, what, NULL, NULL, e);
	/* Refused before anything was tried; in shared mode it would be seen there all the same. */
	if (result == 0 || result == -EOPNOTSUPP || result == -EPERM)
		return result;
	/* The kernel may have taken it over there and have met trouble with one of its clients; or somebody else was faster. */
	if (is_there(home, netns_fd, index, &there, NULL) == 0 && there)
		return 0;
	/* The kernel's word for a number that it does not find here is EINVAL. */
	if (result == -EINVAL && has_index(r, index, &there, NULL) == 0 && !there)
		return error_set(e, -ENODEV, "RDMA device %u is in neither network namespace", index);
	return result;
}

int rdma_rename(struct rdma *r, uint32_t index, const char *name, struct error *e)
{
	char what[ATTRIBUTE_TEXT_SIZE + 40];
	if (!str_is_token(name) || strlen(name) >= ATTRIBUTE_TEXT_SIZE)
		return error_set(e, -EINVAL, "no name for an RDMA device");
	struct rdma_request request = rdma_request(rdma_next(r), RDMA_NLDEV_CMD_SET, NLM_F_ACK);
	rdma_request_put_number(&request, RDMA_NLDEV_ATTR_DEV_INDEX, index);
	rdma_request_put_text(&request, RDMA_NLDEV_ATTR_DEV_NAME, name);
	snprintf(what, sizeof(what), "giving device %u the name %s", index, name);
	return rdma_ask(r->fd, &request, what, NULL, NULL, e);
}
