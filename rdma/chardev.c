/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/chardev.h"

#include <errno.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "core/base/str.h"
#include "rdma/device.h"
#include "rdma/socket.h"

static const char directory_of_nodes[] = "/dev/infiniband";
enum { NODE_POLL_MS = 5, NO_PORT = 0 };

uint64_t rdma_clock_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void rdma_sleep_ms(uint32_t ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* Not through a symbolic link: the container's node is made from what is read here. */
static bool node_read(const char *path, const struct rdma_chardev *c, struct rdma_node *ret)
{
	struct stat st;
	if (lstat(path, &st) < 0 || !S_ISCHR(st.st_mode) || major(st.st_rdev) != c->major || minor(st.st_rdev) != c->minor)
		return false;
	*ret = (struct rdma_node){.major = c->major, .minor = c->minor, .mode = st.st_mode & 07777, .uid = st.st_uid, .gid = st.st_gid};
	return true;
}

int rdma_node_wait(const char *directory, const struct rdma_chardev *chardev, uint64_t deadline, struct rdma_node *ret, struct error *e)
{
	struct rdma_node node;
	char path[sizeof(node.path)];
	int n = snprintf(path, sizeof(path), "%s/%s", directory, chardev->name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return error_set(e, -ENAMETOOLONG, "%s/%s: the path is too long", directory, chardev->name);
	while (!node_read(path, chardev, &node)) {
		if (rdma_clock_ms() >= deadline)
			return error_set(e, -ENOENT, "%s is not there as character device %u:%u", path, chardev->major, chardev->minor);
		rdma_sleep_ms(NODE_POLL_MS);
	}
	STR_COPY(node.path, path);
	*ret = node;
	return 0;
}

static int take_chardev(uint16_t command, const void *attributes, size_t len, void *user)
{
	return command == RDMA_NLDEV_CMD_GET_CHARDEV ? rdma_chardev_parse(attributes, len, user) : 0;
}

/* Of the device's port, of the device (NO_PORT), or of none (NULL). The kernel loads the module that has it. */
static int ask_chardev(struct rdma *r, const struct rdma_device *device, uint32_t port, const char *type, struct rdma_chardev *ret,
                       struct error *e)
{
	struct rdma_chardev c = {0};
	struct rdma_request request = rdma_request(rdma_next(r), RDMA_NLDEV_CMD_GET_CHARDEV, NLM_F_ACK);
	if (device)
		rdma_request_put_number(&request, RDMA_NLDEV_ATTR_DEV_INDEX, device->index);
	if (port != NO_PORT)
		rdma_request_put_number(&request, RDMA_NLDEV_ATTR_PORT_INDEX, port);
	rdma_request_put_text(&request, RDMA_NLDEV_ATTR_CHARDEV_TYPE, type);
	int result = rdma_ask(rdma_fd(r), &request, type, take_chardev, &c, e);
	if (result == 0 && !c.name[0])
		result = error_set(e, -EBADMSG, "RDMA netlink: %s: the kernel names no character device", type);
	if (result == 0)
		*ret = c;
	return result;
}

struct node_reader {
	struct rdma *rdma;
	const struct rdma_device *device;
	uint64_t deadline;
	struct rdma_state *state;
};

static int add_node(struct node_reader *n, const struct rdma_chardev *chardev, struct error *e)
{
	if (n->state->n_nodes == RDMA_NODES_MAX)
		return error_set(e, -E2BIG, "it has more than %d character devices", RDMA_NODES_MAX);
	int r = rdma_node_wait(directory_of_nodes, chardev, n->deadline, &n->state->nodes[n->state->n_nodes], e);
	n->state->n_nodes += r == 0;
	return r;
}

static int add_device_node(struct node_reader *n, struct error *e)
{
	struct rdma_chardev c;
	int r = ask_chardev(n->rdma, n->device, NO_PORT, "uverbs", &c, e);
	return r < 0 ? r : add_node(n, &c, e);
}

/* A kernel may lack it: then programs that set up their connections themselves still run. */
static int add_connection_manager(struct node_reader *n, struct error *e)
{
	struct rdma_chardev c;
	int r = ask_chardev(n->rdma, NULL, NO_PORT, "rdma_cm", &c, e);
	return r == -EOPNOTSUPP ? 0 : r < 0 ? r : add_node(n, &c, e);
}

/* Not every port needs one (a port of RoCE has no subnet manager), but one that was asked for must exist. */
static int add_port_nodes(struct node_reader *n, const char *type, struct error *e)
{
	size_t before = n->state->n_nodes;
	for (uint32_t port = 1; port <= n->device->ports; port++) {
		struct rdma_chardev c;
		int r = ask_chardev(n->rdma, n->device, port, type, &c, e);
		if (r == 0)
			r = add_node(n, &c, e);
		else if (r == -EOPNOTSUPP || r == -EINVAL)
			r = 0;
		if (r < 0)
			return r;
	}
	return n->state->n_nodes > before ? 0 : error_set(e, -EOPNOTSUPP, "it has no %s device", type);
}

static int read_nodes(struct node_reader *n, const struct rdma_wanted_nodes *wanted, struct error *e)
{
	int r = add_device_node(n, e);
	if (r == 0)
		r = add_connection_manager(n, e);
	if (r == 0 && wanted->umad)
		r = add_port_nodes(n, "umad", e);
	if (r == 0 && wanted->issm)
		r = add_port_nodes(n, "issm", e);
	return r;
}

int rdma_state_read(struct rdma *r, const char *name, const struct rdma_wanted_nodes *wanted, struct rdma_state *ret, struct error *e)
{
	struct rdma_device device;
	enum rdma_netns_mode mode = RDMA_NETNS_SHARED;
	int result = rdma_find_name(r, name, &device, e);
	if (result == 0)
		result = rdma_mode(r, &mode, e);
	if (result < 0)
		return result;
	struct rdma_state state = {
	    .guid = device.node_guid, .index = device.index, .protocol = device.protocol, .exclusive = mode == RDMA_NETNS_EXCLUSIVE};
	struct node_reader n = {.rdma = r, .device = &device, .deadline = rdma_clock_ms() + wanted->wait_ms, .state = &state};
	STR_COPY(state.name, device.name);
	result = read_nodes(&n, wanted, e);
	if (result < 0) {
		error_prefix(e, "RDMA device %s", name);
		return result;
	}
	*ret = state;
	return 0;
}
