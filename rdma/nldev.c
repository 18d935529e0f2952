/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/nldev.h"

#include <errno.h>
#include <rdma/rdma_netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/cursor.h"
#include "core/base/str.h"

/* A dump's datagrams are at most as large as the buffer that the reader offers, or 8 KiB. */
enum { RECEIVE_SIZE = 16 << 10 };

/* The kernel answers inside send(); later than this something is wrong with a driver. */
static const struct timeval receive_timeout = {.tv_sec = 2};

/* ---- table ----------------------------------------------------------------------------------------------------------------------- */

const char *rdma_netns_mode_name(enum rdma_netns_mode mode)
{
	return mode == RDMA_NETNS_SHARED ? "shared" : "exclusive";
}

void rdma_table_free(struct rdma_table *t)
{
	free(t->devices);
	free(t->ports);
	*t = (struct rdma_table){0};
}
#define _cleanup_rdma_table_ _cleanup_(rdma_table_free)

static const char *device_name(const struct rdma_table *t, uint32_t index)
{
	for (size_t i = 0; i < t->n_devices; i++)
		if (t->devices[i].index == index)
			return t->devices[i].name;
	return NULL;
}

const char *rdma_device_of_netdev(const struct rdma_table *t, int32_t ifindex)
{
	for (size_t i = 0; i < t->n_ports && ifindex > 0; i++)
		if (t->ports[i].ifindex == ifindex)
			return device_name(t, t->ports[i].device);
	return NULL;
}

bool rdma_table_equal(const struct rdma_table *a, const struct rdma_table *b)
{
	if (a->mode != b->mode || a->n_devices != b->n_devices || a->n_ports != b->n_ports)
		return false;
	for (size_t i = 0; i < a->n_devices; i++)
		if (a->devices[i].index != b->devices[i].index || !str_equal(a->devices[i].name, b->devices[i].name))
			return false;
	for (size_t i = 0; i < a->n_ports; i++)
		if (a->ports[i].device != b->ports[i].device || a->ports[i].ifindex != b->ports[i].ifindex)
			return false;
	return true;
}

/* ---- requests -------------------------------------------------------------------------------------------------------------------- */

static struct rdma_request request(uint32_t sequence, int command, uint16_t flags)
{
	return (struct rdma_request){.header = {.nlmsg_len = NLMSG_HDRLEN,
	                                        .nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command),
	                                        .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
	                                        .nlmsg_seq = sequence}};
}

struct rdma_request rdma_request_system(uint32_t sequence)
{
	/* Not a dump: the acknowledgement is its end. */
	return request(sequence, RDMA_NLDEV_CMD_SYS_GET, NLM_F_ACK);
}

struct rdma_request rdma_request_devices(uint32_t sequence)
{
	return request(sequence, RDMA_NLDEV_CMD_GET, NLM_F_DUMP);
}

struct rdma_request rdma_request_ports(uint32_t sequence, uint32_t device)
{
	struct rdma_request r = request(sequence, RDMA_NLDEV_CMD_PORT_GET, NLM_F_DUMP);
	r.attribute = (struct nlattr){.nla_len = NLA_HDRLEN + sizeof(r.value), .nla_type = RDMA_NLDEV_ATTR_DEV_INDEX};
	r.value = device;
	r.header.nlmsg_len = sizeof(r);
	return r;
}

/* ---- attributes ------------------------------------------------------------------------------------------------------------------ */

/* Where a message's attribute goes; they are all flat and in host order. */
struct field {
	uint16_t attribute;
	bool text; /* else a number of `size` bytes */
	bool required;
	size_t offset, size;
};
#define MEMBER(type, member) offsetof(struct type, member), sizeof(((struct type *)0)->member)

static const struct field device_fields[] = {
    {RDMA_NLDEV_ATTR_DEV_INDEX, false, true, MEMBER(rdma_device, index)},
    {RDMA_NLDEV_ATTR_DEV_NAME, true, true, MEMBER(rdma_device, name)},
    {RDMA_NLDEV_ATTR_PORT_INDEX, false, true, MEMBER(rdma_device, ports)}, /* here it is how many there are */
    {RDMA_NLDEV_ATTR_NODE_GUID, false, false, MEMBER(rdma_device, node_guid)},
    {RDMA_NLDEV_ATTR_DEV_NODE_TYPE, false, false, MEMBER(rdma_device, node_type)},
};

static const struct field port_fields[] = {
    {RDMA_NLDEV_ATTR_DEV_INDEX, false, true, MEMBER(rdma_port, device)},
    {RDMA_NLDEV_ATTR_PORT_INDEX, false, true, MEMBER(rdma_port, number)},
    {RDMA_NLDEV_ATTR_PORT_STATE, false, false, MEMBER(rdma_port, state)},
    {RDMA_NLDEV_ATTR_NDEV_INDEX, false, false, MEMBER(rdma_port, ifindex)},
    {RDMA_NLDEV_ATTR_NDEV_NAME, true, false, MEMBER(rdma_port, ifname)},
};

struct system_message {
	uint8_t mode;
};
static const struct field system_fields[] = {
    {RDMA_NLDEV_SYS_ATTR_NETNS_MODE, false, true, MEMBER(system_message, mode)},
};

static bool field_read(const struct field *f, struct cursor value, char *object)
{
	size_t len = cursor_left(&value);
	if (!f->text)
		return len == f->size && cursor_copy(&value, object + f->offset, len);
	const uint8_t *text = cursor_take(&value, len);
	return len > 0 && len <= f->size && memchr(text, 0, len) == text + len - 1 &&
	       str_copy(object + f->offset, f->size, (const char *)text) == 0;
}

static bool skip_padding(struct cursor *c, size_t len, size_t aligned)
{
	size_t padding = aligned - len, left = cursor_left(c); /* the last one may lack it */
	return cursor_take(c, padding < left ? padding : left) != NULL;
}

/* `object` is zeroed by the caller; attributes that are not in the table are not looked at. */
static int attributes_read(const void *attributes, size_t len, const struct field *fields, size_t n, void *object)
{
	struct cursor c = cursor_over(attributes, len);
	uint32_t seen = 0;
	while (cursor_left(&c) > 0) {
		struct nlattr a;
		if (!cursor_copy(&c, &a, sizeof(a)) || a.nla_len < NLA_HDRLEN)
			return -EBADMSG;
		size_t size = a.nla_len - (size_t)NLA_HDRLEN;
		const uint8_t *value = cursor_take(&c, size);
		if (!value || !skip_padding(&c, size, NLA_ALIGN(size)))
			return -EBADMSG;
		for (size_t i = 0; i < n; i++) {
			if (fields[i].attribute != (a.nla_type & NLA_TYPE_MASK))
				continue;
			if (a.nla_type & ~NLA_TYPE_MASK || !field_read(&fields[i], cursor_over(value, size), object))
				return -EBADMSG;
			seen |= 1U << i;
		}
	}
	for (size_t i = 0; i < n; i++)
		if (fields[i].required && !(seen & 1U << i))
			return -EBADMSG;
	return 0;
}

int rdma_device_parse(const void *attributes, size_t len, struct rdma_device *ret)
{
	struct rdma_device d = {0};
	int r = attributes_read(attributes, len, device_fields, ELEMENTS(device_fields), &d);
	if (r == 0)
		*ret = d;
	return r;
}

int rdma_port_parse(const void *attributes, size_t len, struct rdma_port *ret)
{
	struct rdma_port p = {0};
	int r = attributes_read(attributes, len, port_fields, ELEMENTS(port_fields), &p);
	if (r == 0 && p.ifindex < 0)
		r = -EBADMSG;
	if (r == 0)
		*ret = p;
	return r;
}

int rdma_system_parse(const void *attributes, size_t len, enum rdma_netns_mode *ret)
{
	struct system_message s = {0};
	int r = attributes_read(attributes, len, system_fields, ELEMENTS(system_fields), &s);
	if (r == 0 && s.mode != RDMA_NETNS_EXCLUSIVE && s.mode != RDMA_NETNS_SHARED)
		r = -EBADMSG;
	if (r == 0)
		*ret = s.mode;
	return r;
}

/* ---- answers --------------------------------------------------------------------------------------------------------------------- */

static int append(void **array, size_t *n, const void *element, size_t size)
{
	char *grown = reallocarray(*array, *n + 1, size);
	if (!grown)
		return -ENOMEM;
	memcpy(grown + *n * size, element, size);
	*array = grown;
	++*n;
	return 0;
}

static int add_device(struct rdma_table *t, const void *attributes, size_t len)
{
	struct rdma_device d;
	void *devices = t->devices;
	int r = rdma_device_parse(attributes, len, &d);
	if (r == 0 && !str_is_token(d.name))
		return 0; /* a name that root gave it and that fits into no attribute */
	if (r == 0)
		r = append(&devices, &t->n_devices, &d, sizeof(d));
	t->devices = devices;
	return r;
}

static int add_port(struct rdma_table *t, const void *attributes, size_t len)
{
	struct rdma_port p;
	void *ports = t->ports;
	int r = rdma_port_parse(attributes, len, &p);
	if (r == 0)
		r = append(&ports, &t->n_ports, &p, sizeof(p));
	t->ports = ports;
	return r;
}

/* The code of an acknowledgement or of a dump's end. */
static int status_read(struct cursor payload)
{
	int32_t code;
	if (!cursor_copy(&payload, &code, sizeof(code)) || code > 0)
		return -EBADMSG;
	return code < 0 ? code : 1;
}

static int message_read(struct rdma_table *t, uint16_t type, struct cursor payload)
{
	size_t len = cursor_left(&payload);
	const void *attributes = cursor_take(&payload, len);
	switch (type) {
	case NLMSG_ERROR:
	case NLMSG_DONE:
		return status_read(cursor_over(attributes, len));
	case NLMSG_OVERRUN:
		return -ENOBUFS;
	case RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_GET):
		return add_device(t, attributes, len);
	case RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_PORT_GET):
		return add_port(t, attributes, len);
	case RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, RDMA_NLDEV_CMD_SYS_GET):
		return rdma_system_parse(attributes, len, &t->mode);
	default:
		return 0;
	}
}

int rdma_answer_read(struct rdma_table *t, uint32_t sequence, const void *datagram, size_t len)
{
	struct cursor c = cursor_over(datagram, len);
	int r = 0;
	while (r == 0 && cursor_left(&c) > 0) {
		struct nlmsghdr h;
		if (!cursor_copy(&c, &h, sizeof(h)) || h.nlmsg_len < NLMSG_HDRLEN)
			return -EBADMSG;
		size_t size = h.nlmsg_len - (size_t)NLMSG_HDRLEN;
		const uint8_t *payload = cursor_take(&c, size);
		if (!payload || !skip_padding(&c, size, NLMSG_ALIGN(size)))
			return -EBADMSG;
		if (h.nlmsg_seq == sequence)
			r = message_read(t, h.nlmsg_type, cursor_over(payload, size));
	}
	return r;
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------------- */

/* One datagram of the kernel's. */
static int receive(int fd, void *buffer, size_t *ret_len, struct error *e)
{
	for (;;) {
		struct sockaddr_nl from = {0};
		struct iovec iov = {.iov_base = buffer, .iov_len = RECEIVE_SIZE};
		struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
		ssize_t n = recvmsg(fd, &msg, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return error_set(e, -ETIMEDOUT, "RDMA netlink: the kernel did not answer within %ld s",
			                 (long)receive_timeout.tv_sec);
		if (n < 0)
			return error_set(e, -errno, "RDMA netlink: cannot read: %s", strerror(errno));
		if (n == 0)
			return error_set(e, -EPIPE, "RDMA netlink: the other end is gone");
		if (msg.msg_flags & MSG_TRUNC)
			return error_set(e, -EMSGSIZE, "RDMA netlink: an answer is larger than %d bytes", RECEIVE_SIZE);
		if (from.nl_pid != 0)
			continue; /* only the kernel may answer */
		*ret_len = (size_t)n;
		return 0;
	}
}

static int ask(int fd, const struct rdma_request *request, const char *what, struct rdma_table *t, struct error *e)
{
	char buffer[RECEIVE_SIZE];
	ssize_t n;
	int r;
	do
		n = send(fd, request, request->header.nlmsg_len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* A kernel whose RDMA core knows the first namespace alone has nobody at the other end elsewhere. */
	if (n < 0 && errno == ECONNREFUSED)
		return error_set(e, -EOPNOTSUPP, "RDMA netlink: nobody answers in this network namespace");
	if (n < 0)
		return error_set(e, -errno, "RDMA netlink: cannot ask for %s: %s", what, strerror(errno));
	do {
		size_t len = 0;
		r = receive(fd, buffer, &len, e);
		if (r < 0)
			return r;
		r = rdma_answer_read(t, request->header.nlmsg_seq, buffer, len);
	} while (r == 0);
	return r < 0 ? error_set(e, r, "RDMA netlink: %s: %s", what, strerror(-r)) : 0;
}

int rdma_query_fd(int fd, struct rdma_table *ret, struct error *e)
{
	_cleanup_rdma_table_ struct rdma_table t = {0};
	uint32_t sequence = 1;
	struct rdma_request request = rdma_request_devices(sequence++);
	int r = ask(fd, &request, "the devices", &t, e);
	if (r == -EINVAL) /* the RDMA core's word for a client that is not there */
		return error_set(e, -EOPNOTSUPP, "RDMA netlink: this kernel does not list devices");
	if (r < 0)
		return r;
	request = rdma_request_system(sequence++);
	r = ask(fd, &request, "the namespace mode", &t, e);
	for (size_t i = 0; i < t.n_devices && r == 0; i++) {
		request = rdma_request_ports(sequence++, t.devices[i].index);
		r = ask(fd, &request, t.devices[i].name, &t, e);
		if (r == -EINVAL || r == -ENODEV)
			r = 0; /* went away, or to another namespace, after it was listed */
	}
	if (r < 0)
		return r;
	*ret = t;
	t = (struct rdma_table){0};
	return 0;
}

int rdma_query(struct rdma_table *ret, struct error *e)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA), r;
	if (fd < 0 && (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT))
		return error_set(e, -EOPNOTSUPP, "no RDMA in this kernel");
	if (fd < 0)
		return error_set(e, -errno, "RDMA netlink: no socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &receive_timeout, sizeof(receive_timeout)) < 0 ||
	    connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		r = error_set(e, -errno, "RDMA netlink: no socket: %s", strerror(errno));
	else
		r = rdma_query_fd(fd, ret, e);
	close(fd);
	return r;
}
