/* SPDX-License-Identifier: Apache-2.0 */
/* Asking over a socket of RDMA netlink. Inside rdma/ only. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/error.h"
#include "rdma/nldev.h"

static inline void rdma_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define _cleanup_rdma_fd_ _cleanup_(rdma_close_fd)
#define _cleanup_rdma_table_ _cleanup_(rdma_table_free)

/* A request of the nldev client without attributes; the put functions add them. */
struct rdma_request rdma_request(uint32_t sequence, int command, uint16_t flags);
void rdma_request_put_number(struct rdma_request *r, uint16_t type, uint32_t value);
void rdma_request_put_text(struct rdma_request *r, uint16_t type, const char *value); /* at most 100 bytes */

/* One message of an answer: its command (RDMA_NLDEV_CMD_*) and attributes. A negative return value ends the reading. */
typedef int (*rdma_take_cb)(uint16_t command, const void *attributes, size_t len, void *user);
/* As rdma_answer_read(). */
int rdma_datagram_read(uint32_t sequence, const void *datagram, size_t len, rdma_take_cb take, void *user);

/* In the calling thread's network namespace. -EOPNOTSUPP: this kernel has no RDMA. */
int rdma_socket_open(int *ret_fd, struct error *e);
/* Send it and read until its end, a dump's or the acknowledgement. `take` may be NULL. Blocks, two seconds at most for each datagram. */
int rdma_ask(int fd, const struct rdma_request *request, const char *what, rdma_take_cb take, void *user, struct error *e);

/* Add to the table: the devices; the mode. */
int rdma_devices_fd(int fd, uint32_t sequence, struct rdma_table *t, struct error *e);
int rdma_mode_fd(int fd, uint32_t sequence, struct rdma_table *t, struct error *e);

/* device.c */
struct rdma;
struct rdma_state;
int rdma_fd(const struct rdma *r);
uint32_t rdma_next(struct rdma *r); /* sequence number */
/* As rdma_find(), NULL = it is not there. A GUID of zero identifies nothing. */
const struct rdma_device *rdma_table_find(const struct rdma_table *t, const struct rdma_state *which);
