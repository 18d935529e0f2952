/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/nldev.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <rdma/rdma_netlink.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/cursor.h"
#include "core/base/str.h"
#include "rdma/socket.h"
#include "rdma/sysfs.h"

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

static bool device_equal(const struct rdma_device *a, const struct rdma_device *b)
{
	return a->index == b->index && a->node_guid == b->node_guid && a->protocol == b->protocol && a->is_virtual == b->is_virtual &&
	       str_equal(a->name, b->name);
}

static bool port_equal(const struct rdma_port *a, const struct rdma_port *b)
{
	return a->device == b->device && a->number == b->number && a->ifindex == b->ifindex && a->master == b->master &&
	       a->bond == b->bond && a->guid == b->guid;
}

bool rdma_table_equal(const struct rdma_table *a, const struct rdma_table *b)
{
	if (a->mode != b->mode || a->n_devices != b->n_devices || a->n_ports != b->n_ports)
		return false;
	for (size_t i = 0; i < a->n_devices; i++)
		if (!device_equal(&a->devices[i], &b->devices[i]))
			return false;
	for (size_t i = 0; i < a->n_ports; i++)
		if (!port_equal(&a->ports[i], &b->ports[i]))
			return false;
	return true;
}

/* ---- requests -------------------------------------------------------------------------------------------------------------------- */

struct rdma_request rdma_request(uint32_t sequence, int command, uint16_t flags)
{
	return (struct rdma_request){.header = {.nlmsg_len = NLMSG_HDRLEN,
	                                        .nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command),
	                                        .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
	                                        .nlmsg_seq = sequence}};
}

static void put(struct rdma_request *r, uint16_t type, const void *value, size_t len)
{
	struct nlattr a = {.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = type};
	size_t at = r->header.nlmsg_len - sizeof(r->header);
	assert(len <= sizeof(r->attributes) && at + NLA_HDRLEN + NLA_ALIGN(len) <= sizeof(r->attributes));
	memcpy(r->attributes + at, &a, sizeof(a));
	memcpy(r->attributes + at + NLA_HDRLEN, value, len);
	r->header.nlmsg_len += (uint32_t)(NLA_HDRLEN + NLA_ALIGN(len));
}

void rdma_request_put_number(struct rdma_request *r, uint16_t type, uint32_t value)
{
	put(r, type, &value, sizeof(value));
}

void rdma_request_put_text(struct rdma_request *r, uint16_t type, const char *value)
{
	put(r, type, value, strlen(value) + 1);
}

struct rdma_request rdma_request_system(uint32_t sequence)
{
	/* Not a dump: the acknowledgement is its end. */
	return rdma_request(sequence, RDMA_NLDEV_CMD_SYS_GET, NLM_F_ACK);
}

struct rdma_request rdma_request_devices(uint32_t sequence)
{
	return rdma_request(sequence, RDMA_NLDEV_CMD_GET, NLM_F_DUMP);
}

struct rdma_request rdma_request_ports(uint32_t sequence, uint32_t device)
{
	struct rdma_request r = rdma_request(sequence, RDMA_NLDEV_CMD_PORT_GET, NLM_F_DUMP);
	rdma_request_put_number(&r, RDMA_NLDEV_ATTR_DEV_INDEX, device);
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

struct device_message {
	struct rdma_device device;
	char protocol[ATTRIBUTE_TEXT_SIZE];
};
static const struct field device_fields[] = {
    {RDMA_NLDEV_ATTR_DEV_INDEX, false, true, MEMBER(device_message, device.index)},
    {RDMA_NLDEV_ATTR_DEV_NAME, true, true, MEMBER(device_message, device.name)},
    {RDMA_NLDEV_ATTR_PORT_INDEX, false, true, MEMBER(device_message, device.ports)}, /* here it is how many there are */
    {RDMA_NLDEV_ATTR_NODE_GUID, false, false, MEMBER(device_message, device.node_guid)},
    {RDMA_NLDEV_ATTR_DEV_NODE_TYPE, false, false, MEMBER(device_message, device.node_type)},
    {RDMA_NLDEV_ATTR_DEV_PROTOCOL, true, false, MEMBER(device_message, protocol)}, /* of the first port */
};

static const struct field port_fields[] = {
    {RDMA_NLDEV_ATTR_DEV_INDEX, false, true, MEMBER(rdma_port, device)},
    {RDMA_NLDEV_ATTR_PORT_INDEX, false, true, MEMBER(rdma_port, number)},
    {RDMA_NLDEV_ATTR_PORT_STATE, false, false, MEMBER(rdma_port, state)},
    {RDMA_NLDEV_ATTR_NDEV_INDEX, false, false, MEMBER(rdma_port, ifindex)},
    {RDMA_NLDEV_ATTR_NDEV_NAME, true, false, MEMBER(rdma_port, ifname)},
};

struct chardev_message {
	uint64_t number;
	char name[ATTRIBUTE_TEXT_SIZE];
};
static const struct field chardev_fields[] = {
    {RDMA_NLDEV_ATTR_CHARDEV, false, true, MEMBER(chardev_message, number)},
    {RDMA_NLDEV_ATTR_CHARDEV_NAME, true, true, MEMBER(chardev_message, name)},
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

/* The kernel's words for what rdma_protocol_name() has. */
static uint8_t protocol_of(const char *text)
{
	static const char *const words[] = {[RDMA_PROTOCOL_IB] = "ib",
	                                    [RDMA_PROTOCOL_ROCE] = "roce",
	                                    [RDMA_PROTOCOL_IWARP] = "iw",
	                                    [RDMA_PROTOCOL_USNIC] = "usnic",
	                                    [RDMA_PROTOCOL_OPA] = "opa"};
	for (size_t i = 0; i < ELEMENTS(words); i++)
		if (words[i] && str_equal(words[i], text))
			return (uint8_t)i;
	return RDMA_PROTOCOL_UNKNOWN;
}

int rdma_device_parse(const void *attributes, size_t len, struct rdma_device *ret)
{
	struct device_message m = {0};
	int r = attributes_read(attributes, len, device_fields, ELEMENTS(device_fields), &m);
	m.device.protocol = protocol_of(m.protocol);
	if (r == 0)
		*ret = m.device;
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

/* The kernel's huge_encode_dev(): twelve bits of major between eight low and twelve high ones of minor. */
static int chardev_number(uint64_t number, struct rdma_chardev *ret)
{
	if (number > UINT32_MAX)
		return -EBADMSG;
	ret->major = (uint32_t)number >> 8 & 0xfff;
	ret->minor = ((uint32_t)number & 0xff) | ((uint32_t)number >> 12 & 0xfff00);
	return 0;
}

int rdma_chardev_parse(const void *attributes, size_t len, struct rdma_chardev *ret)
{
	struct chardev_message m = {0};
	struct rdma_chardev c = {0};
	int r = attributes_read(attributes, len, chardev_fields, ELEMENTS(chardev_fields), &m);
	if (r == 0)
		r = chardev_number(m.number, &c);
	/* It becomes part of a path. */
	if (r == 0 && (!str_is_token(m.name) || strchr(m.name, '/') || m.name[0] == '.' || STR_COPY(c.name, m.name) < 0))
		r = -EBADMSG;
	if (r == 0)
		*ret = c;
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

static int take_into_table(uint16_t command, const void *attributes, size_t len, void *user)
{
	struct rdma_table *t = user;
	switch (command) {
	case RDMA_NLDEV_CMD_GET:
		return add_device(t, attributes, len);
	case RDMA_NLDEV_CMD_PORT_GET:
		return add_port(t, attributes, len);
	case RDMA_NLDEV_CMD_SYS_GET:
		return rdma_system_parse(attributes, len, &t->mode);
	default:
		return 0;
	}
}

/* The code of an acknowledgement or of a dump's end. */
static int status_read(struct cursor payload)
{
	int32_t code;
	if (!cursor_copy(&payload, &code, sizeof(code)) || code > 0)
		return -EBADMSG;
	return code < 0 ? code : 1;
}

static int message_read(uint16_t type, struct cursor payload, rdma_take_cb take, void *user)
{
	size_t len = cursor_left(&payload);
	const void *attributes = cursor_take(&payload, len);
	if (type == NLMSG_ERROR || type == NLMSG_DONE)
		return status_read(cursor_over(attributes, len));
	if (type == NLMSG_OVERRUN)
		return -ENOBUFS;
	if (RDMA_NL_GET_CLIENT(type) != RDMA_NL_NLDEV)
		return 0;
	return take(RDMA_NL_GET_OP(type), attributes, len, user);
}

int rdma_datagram_read(uint32_t sequence, const void *datagram, size_t len, rdma_take_cb take, void *user)
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
			r = message_read(h.nlmsg_type, cursor_over(payload, size), take, user);
	}
	return r;
}

int rdma_answer_read(struct rdma_table *t, uint32_t sequence, const void *datagram, size_t len)
{
	return rdma_datagram_read(sequence, datagram, len, take_into_table, t);
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------------- */

int rdma_devices_fd(int fd, uint32_t sequence, struct rdma_table *t, struct error *e)
{
	struct rdma_request request = rdma_request_devices(sequence);
	int r = rdma_ask(fd, &request, "the devices", take_into_table, t, e);
	/* The RDMA core's word for a client that is not there. */
	return r == -EINVAL ? error_set(e, -EOPNOTSUPP, "RDMA netlink: this kernel does not list devices") : r;
}

int rdma_mode_fd(int fd, uint32_t sequence, struct rdma_table *t, struct error *e)
{
	struct rdma_request request = rdma_request_system(sequence);
	return rdma_ask(fd, &request, "the namespace mode", take_into_table, t, e);
}

int rdma_query_fd(int fd, struct rdma_table *ret, struct error *e)
{
	_cleanup_rdma_table_ struct rdma_table t = {0};
	uint32_t sequence = 1;
	int r = rdma_devices_fd(fd, sequence++, &t, e);
	if (r == 0)
		r = rdma_mode_fd(fd, sequence++, &t, e);
	for (size_t i = 0; i < t.n_devices && r == 0; i++) {
		struct rdma_request request = rdma_request_ports(sequence++, t.devices[i].index);
		r = rdma_ask(fd, &request, t.devices[i].name, take_into_table, &t, e);
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
	_cleanup_rdma_fd_ int fd = -1;
	int r = rdma_socket_open(&fd, e);
	if (r == 0)
		r = rdma_query_fd(fd, ret, e);
	if (r < 0)
		return r;
	_cleanup_rdma_fd_ int sysfs = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sysfs >= 0)
		rdma_sysfs_add(sysfs, ret);
	return 0;
}
