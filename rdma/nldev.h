/* SPDX-License-Identifier: Apache-2.0 */
/* RDMA devices as the kernel's RDMA netlink (NETLINK_RDMA, client NLDEV) tells of them: which devices there are, which netdev stands at
 * which port, and whether RDMA devices belong to network namespaces. sysfs says the same only where the netdev and the RDMA device share
 * a parent; what a software driver (rxe, siw) puts on a netdev is known here alone.
 *
 *   query ─▶ request ─▶ kernel ─▶ datagrams ─▶ rdma_answer_read (pure) ─▶ table
 *
 * A port names the one netdev that is its link. */
#pragma once

#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"
#include "core/device.h" /* ATTRIBUTE_TEXT_SIZE, IFNAME_SIZE */

/* RDMA_NLDEV_SYS_ATTR_NETNS_MODE, with the kernel's values: 1 means that all namespaces share every device. */
enum rdma_netns_mode { RDMA_NETNS_EXCLUSIVE, RDMA_NETNS_SHARED };
const char *rdma_netns_mode_name(enum rdma_netns_mode mode); /* "exclusive", "shared", as `rdma system` prints it */

struct rdma_device {
	uint32_t index; /* the kernel's, counts from 0 */
	uint32_t ports;
	uint64_t node_guid; /* host order */
	uint8_t node_type;  /* RDMA_NODE_* */
	uint8_t protocol;   /* enum rdma_protocol */
	bool is_virtual;    /* sysfs knows no parent: software, or nothing but a netdev under it */
	char name[ATTRIBUTE_TEXT_SIZE];
};
struct rdma_port {
	uint32_t device, number; /* rdma_device.index; counts from 1 */
	int32_t ifindex;         /* of the netdev, in the namespace that was asked; 0 = none there (InfiniBand, or it is elsewhere) */
	int32_t master;          /* of that netdev; 0 = none */
	bool bond;               /* the master is one */
	uint64_t guid;           /* of the port, where it is InfiniBand; 0 = unknown. This and the two above are from sysfs */
	uint8_t state;           /* IB_PORT_*: 1 down, 4 active */
	char ifname[IFNAME_SIZE];
};
/* Zero is the empty one. */
struct rdma_table {
	enum rdma_netns_mode mode;
	struct rdma_device *devices;
	size_t n_devices;
	struct rdma_port *ports;
	size_t n_ports;
};
void rdma_table_free(struct rdma_table *t);
/* Whether both say the same of all devices (attribution.h). */
bool rdma_table_equal(const struct rdma_table *a, const struct rdma_table *b);

/* Ask the kernel about the calling thread's network namespace, and the sysfs at /sys. Blocks (drivers may ask their firmware for the port's
 * state), for two seconds at most at each request: for the start or a worker. -EOPNOTSUPP: this kernel has no RDMA. -ETIMEDOUT, -EBADMSG,
 * -ENOMEM or what the kernel said otherwise. The caller frees `*ret`. */
int rdma_query(struct rdma_table *ret, struct error *e);

/* ---- parts, for tests ------------------------------------------------------------------------------------------------------------ */

/* The same over a connected datagram socket; it stays the caller's. */
int rdma_query_fd(int fd, struct rdma_table *ret, struct error *e);

struct rdma_request {
	struct nlmsghdr header; /* nlmsg_len bytes from here are to be sent */
	uint8_t attributes[160];
};
struct rdma_request rdma_request_system(uint32_t sequence);
struct rdma_request rdma_request_devices(uint32_t sequence);
struct rdma_request rdma_request_ports(uint32_t sequence, uint32_t device);

/* The attributes of one message. -EBADMSG when one is cut, has another size or kind than the kernel's header says, or is missing. */
int rdma_device_parse(const void *attributes, size_t len, struct rdma_device *ret);
int rdma_port_parse(const void *attributes, size_t len, struct rdma_port *ret);
int rdma_system_parse(const void *attributes, size_t len, enum rdma_netns_mode *ret);
struct rdma_chardev {
	uint32_t major, minor;
	char name[32]; /* of the node below /dev/infiniband */
};
int rdma_chardev_parse(const void *attributes, size_t len, struct rdma_chardev *ret);

/* One datagram of the answer to the request with this sequence number: adds to the table. 0 = more is to come, 1 = that was all; -EBADMSG,
 * -ENOMEM, or the kernel's refusal. Messages of other sequence numbers are skipped. */
int rdma_answer_read(struct rdma_table *t, uint32_t sequence, const void *datagram, size_t len);
