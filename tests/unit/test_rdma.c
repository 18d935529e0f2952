/* SPDX-License-Identifier: Apache-2.0 */
/* RDMA netlink: messages laid out as the kernel's header says, and the whole query against a socket that holds the answers. */
#include <errno.h>
#include <rdma/rdma_netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "rdma/attribution.h"
#include "rdma/nldev.h"

enum { ANY_SEQUENCE = 1, INFINIBAND = 1 /* RDMA_NODE_IB_CA, RoCE has it too */ };

/* A datagram that is being written; `message` is where its last message begins. */
struct datagram {
	uint8_t bytes[2048];
	size_t len, message;
};

static struct nlmsghdr *header(struct datagram *d)
{
	return (struct nlmsghdr *)(void *)(d->bytes + d->message);
}

static void put_message(struct datagram *d, uint16_t type, uint32_t sequence)
{
	d->message = d->len;
	*header(d) = (struct nlmsghdr){.nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = type, .nlmsg_flags = NLM_F_MULTI, .nlmsg_seq = sequence};
	d->len += NLMSG_HDRLEN;
}

static void put_command(struct datagram *d, int command, uint32_t sequence)
{
	put_message(d, RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command), sequence);
}

static void put(struct datagram *d, uint16_t type, const void *value, size_t len)
{
	struct nlattr a = {.nla_type = type, .nla_len = (uint16_t)(NLA_HDRLEN + len)};
	assert_true(d->len + NLA_HDRLEN + NLA_ALIGN(len) <= sizeof(d->bytes));
	memcpy(d->bytes + d->len, &a, sizeof(a));
	memset(d->bytes + d->len + NLA_HDRLEN, 0, NLA_ALIGN(len));
	memcpy(d->bytes + d->len + NLA_HDRLEN, value, len);
	d->len += NLA_HDRLEN + NLA_ALIGN(len);
	header(d)->nlmsg_len = (uint32_t)(d->len - d->message);
}

static void put_u8(struct datagram *d, uint16_t type, uint8_t value)
{
	put(d, type, &value, sizeof(value));
}
static void put_u32(struct datagram *d, uint16_t type, uint32_t value)
{
	put(d, type, &value, sizeof(value));
}
static void put_u64(struct datagram *d, uint16_t type, uint64_t value)
{
	put(d, type, &value, sizeof(value));
}
static void put_text(struct datagram *d, uint16_t type, const char *value)
{
	put(d, type, value, strlen(value) + 1);
}

/* The end of a dump, or an acknowledgement with the (capped) request after the code. */
static void put_status(struct datagram *d, uint16_t type, uint32_t sequence, int32_t code)
{
	put_message(d, type, sequence);
	memcpy(d->bytes + d->len, &code, sizeof(code));
	d->len += sizeof(code);
	if (type == NLMSG_ERROR) {
		memset(d->bytes + d->len, 0, NLMSG_HDRLEN);
		d->len += NLMSG_HDRLEN;
	}
	header(d)->nlmsg_len = (uint32_t)(d->len - d->message);
}

/* In the order of the kernel's fill_dev_info() and fill_port_info(). */
static void put_device(struct datagram *d, uint32_t sequence, uint32_t index, const char *name, uint32_t ports, uint64_t guid)
{
	put_command(d, RDMA_NLDEV_CMD_GET, sequence);
	put_u32(d, RDMA_NLDEV_ATTR_DEV_INDEX, index);
	put_text(d, RDMA_NLDEV_ATTR_DEV_NAME, name);
	put_u32(d, RDMA_NLDEV_ATTR_PORT_INDEX, ports);
	put_u64(d, RDMA_NLDEV_ATTR_CAP_FLAGS, 0x1257e1c26);
	put_text(d, RDMA_NLDEV_ATTR_FW_VERSION, "20.31.1014");
	put_u64(d, RDMA_NLDEV_ATTR_NODE_GUID, guid);
	put_u64(d, RDMA_NLDEV_ATTR_SYS_IMAGE_GUID, guid);
	put_u8(d, RDMA_NLDEV_ATTR_DEV_NODE_TYPE, INFINIBAND);
	put_u8(d, RDMA_NLDEV_ATTR_DEV_DIM, 1);
	put_text(d, RDMA_NLDEV_ATTR_DEV_PROTOCOL, "roce");
}

static void put_port(struct datagram *d, uint32_t sequence, uint32_t index, const char *name, uint32_t port)
{
	put_command(d, RDMA_NLDEV_CMD_PORT_GET, sequence);
	put_u32(d, RDMA_NLDEV_ATTR_DEV_INDEX, index);
	put_text(d, RDMA_NLDEV_ATTR_DEV_NAME, name);
	put_u32(d, RDMA_NLDEV_ATTR_PORT_INDEX, port);
	put_u8(d, RDMA_NLDEV_ATTR_PORT_STATE, 4);
	put_u8(d, RDMA_NLDEV_ATTR_PORT_PHYS_STATE, 5);
}

static void put_netdev(struct datagram *d, uint32_t ifindex, const char *ifname)
{
	put_u32(d, RDMA_NLDEV_ATTR_NDEV_INDEX, ifindex);
	put_text(d, RDMA_NLDEV_ATTR_NDEV_NAME, ifname);
}

static void put_mode(struct datagram *d, uint32_t sequence, uint8_t mode)
{
	put_command(d, RDMA_NLDEV_CMD_SYS_GET, sequence);
	put_u8(d, RDMA_NLDEV_SYS_ATTR_NETNS_MODE, mode);
	put_u8(d, RDMA_NLDEV_SYS_ATTR_COPY_ON_FORK, 1);
}

static int parse_device(const struct datagram *d, struct rdma_device *ret)
{
	return rdma_device_parse(d->bytes + NLMSG_HDRLEN, d->len - NLMSG_HDRLEN, ret);
}
static int parse_port(const struct datagram *d, struct rdma_port *ret)
{
	return rdma_port_parse(d->bytes + NLMSG_HDRLEN, d->len - NLMSG_HDRLEN, ret);
}

/* ---- one message ----------------------------------------------------------------------------------------------------------------- */

static void device_is_read(void **state)
{
	(void)state;
	struct datagram d = {0};
	struct rdma_device device;
	put_device(&d, ANY_SEQUENCE, 3, "mlx5_0", 2, 0xb8599f0300c7d2e4);
	assert_int_equal(parse_device(&d, &device), 0);
	assert_int_equal(device.index, 3);
	assert_string_equal(device.name, "mlx5_0");
	assert_int_equal(device.ports, 2);
	assert_true(device.node_guid == 0xb8599f0300c7d2e4);
	assert_int_equal(device.node_type, INFINIBAND);
}

static void port_of_roce_names_its_netdev(void **state)
{
	(void)state;
	struct datagram d = {0};
	struct rdma_port port;
	put_port(&d, ANY_SEQUENCE, 3, "mlx5_0", 1);
	put_netdev(&d, 7, "\xc3\xa9th0"); /* a netdev's name is any bytes */
	assert_int_equal(parse_port(&d, &port), 0);
	assert_int_equal(port.device, 3);
	assert_int_equal(port.number, 1);
	assert_int_equal(port.state, 4);
	assert_int_equal(port.ifindex, 7);
	assert_string_equal(port.ifname, "\xc3\xa9th0");
}

static void port_of_infiniband_has_none(void **state)
{
	(void)state;
	struct datagram d = {0};
	struct rdma_port port;
	put_port(&d, ANY_SEQUENCE, 0, "mlx5_1", 1);
	put_u64(&d, RDMA_NLDEV_ATTR_CAP_FLAGS, 0x2259e848);
	put_u64(&d, RDMA_NLDEV_ATTR_SUBNET_PREFIX, 0xfe80000000000000);
	put_u32(&d, RDMA_NLDEV_ATTR_LID, 12);
	assert_int_equal(parse_port(&d, &port), 0);
	assert_int_equal(port.ifindex, 0);
	assert_string_equal(port.ifname, "");
}

static void mode_is_read(void **state)
{
	(void)state;
	static const struct {
		uint8_t value;
		int result;
		enum rdma_netns_mode mode;
		const char *name;
	} cases[] = {{0, 0, RDMA_NETNS_EXCLUSIVE, "exclusive"}, {1, 0, RDMA_NETNS_SHARED, "shared"}, {2, -EBADMSG, 0, NULL}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct datagram d = {0};
		enum rdma_netns_mode mode = 77;
		put_mode(&d, ANY_SEQUENCE, cases[i].value);
		assert_int_equal(rdma_system_parse(d.bytes + NLMSG_HDRLEN, d.len - NLMSG_HDRLEN, &mode), cases[i].result);
		if (cases[i].result == 0) {
			assert_int_equal(mode, cases[i].mode);
			assert_string_equal(rdma_netns_mode_name(mode), cases[i].name);
		} else {
			assert_int_equal(mode, 77);
		}
	}
}

/* Every length but those at which an attribute ends: the parser must say so and leave the result alone. */
static void cut_messages_are_refused(void **state)
{
	(void)state;
	struct datagram d = {0};
	put_port(&d, ANY_SEQUENCE, 3, "mlx5_0", 1);
	size_t without_netdev = d.len - NLMSG_HDRLEN;
	put_netdev(&d, 7, "eth0");
	size_t whole = d.len - NLMSG_HDRLEN, taken = 0;
	for (size_t len = 0; len <= whole; len++) {
		struct rdma_port port = {.number = 99};
		uint8_t *exact = malloc(len ? len : 1); /* so that a read beyond it is seen */
		assert_non_null(exact);
		memcpy(exact, d.bytes + NLMSG_HDRLEN, len);
		int r = rdma_port_parse(exact, len, &port);
		free(exact);
		assert_true(r == 0 || r == -EBADMSG);
		assert_int_equal(port.number, r == 0 ? 1 : 99);
		assert_true(r < 0 || len >= without_netdev - 2 * NLA_HDRLEN - 2 * sizeof(uint32_t));
		taken += r == 0;
	}
	/* After PORT_INDEX; after each of STATE, PHYS_STATE, NDEV_INDEX and NDEV_NAME, with any part of the padding. */
	assert_int_equal(taken, 1 + 4 + 4 + 1 + 4);
}

static void change_type(struct datagram *d, uint16_t type, uint16_t to)
{
	for (size_t at = NLMSG_HDRLEN; at < d->len;) {
		struct nlattr a;
		memcpy(&a, d->bytes + at, sizeof(a));
		if (a.nla_type == type) {
			a.nla_type = to;
			memcpy(d->bytes + at, &a, sizeof(a));
			return;
		}
		at += NLA_ALIGN(a.nla_len);
	}
	fail();
}

static void wrong_nesting_is_refused(void **state)
{
	(void)state;
	struct datagram d = {0}, inner = {0};
	struct rdma_port port;
	/* A number that claims to be a nest. */
	put_port(&d, ANY_SEQUENCE, 3, "mlx5_0", 1);
	put_netdev(&d, 7, "eth0");
	change_type(&d, RDMA_NLDEV_ATTR_NDEV_INDEX, RDMA_NLDEV_ATTR_NDEV_INDEX | NLA_F_NESTED);
	assert_int_equal(parse_port(&d, &port), -EBADMSG);
	/* What is inside a nest is not the port's. */
	put_message(&inner, 0, 0);
	put_netdev(&inner, 8, "eth1");
	d = (struct datagram){0};
	put_port(&d, ANY_SEQUENCE, 3, "mlx5_0", 1);
	put(&d, RDMA_NLDEV_ATTR_DRIVER | NLA_F_NESTED, inner.bytes + NLMSG_HDRLEN, inner.len - NLMSG_HDRLEN);
	assert_int_equal(parse_port(&d, &port), 0);
	assert_int_equal(port.ifindex, 0);
	/* Nor does a nest stand in for what must be there. */
	d = (struct datagram){0};
	inner = (struct datagram){0};
	put_port(&inner, 0, 3, "mlx5_0", 1);
	put_command(&d, RDMA_NLDEV_CMD_PORT_GET, ANY_SEQUENCE);
	put(&d, RDMA_NLDEV_ATTR_DRIVER | NLA_F_NESTED, inner.bytes + NLMSG_HDRLEN, inner.len - NLMSG_HDRLEN);
	assert_int_equal(parse_port(&d, &port), -EBADMSG);
}

static void wrong_values_are_refused(void **state)
{
	(void)state;
	struct rdma_device device;
	struct rdma_port port;
	char long_name[ATTRIBUTE_TEXT_SIZE + 1];
	memset(long_name, 'r', sizeof(long_name));
	const struct {
		uint16_t type;
		const void *value;
		size_t len;
	} cases[] = {
	    {RDMA_NLDEV_ATTR_DEV_INDEX, "\1\0\0", 3},   {RDMA_NLDEV_ATTR_DEV_INDEX, "\1\0\0\0\0\0\0\0", 8},
	    {RDMA_NLDEV_ATTR_DEV_NAME, "", 0},          {RDMA_NLDEV_ATTR_DEV_NAME, "mlx5_0", 6}, /* not terminated */
	    {RDMA_NLDEV_ATTR_DEV_NAME, "mlx5\0_0", 8},  {RDMA_NLDEV_ATTR_DEV_NAME, long_name, sizeof(long_name)},
	    {RDMA_NLDEV_ATTR_NODE_GUID, "\1\0\0\0", 4}, {RDMA_NLDEV_ATTR_DEV_NODE_TYPE, "\1\0", 2},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct datagram d = {0};
		put_device(&d, ANY_SEQUENCE, 3, "mlx5_0", 1, 1);
		put(&d, cases[i].type, cases[i].value, cases[i].len); /* once more */
		assert_int_equal(parse_device(&d, &device), -EBADMSG);
	}
	struct datagram d = {0};
	put_port(&d, ANY_SEQUENCE, 3, "mlx5_0", 1);
	put_netdev(&d, 0x80000000, "eth0"); /* no ifindex */
	assert_int_equal(parse_port(&d, &port), -EBADMSG);
	/* An attribute shorter than its own header would never end. */
	d = (struct datagram){0};
	put_device(&d, ANY_SEQUENCE, 3, "mlx5_0", 1, 1);
	memset(d.bytes + d.len, 0, NLA_HDRLEN);
	d.len += NLA_HDRLEN;
	assert_int_equal(parse_device(&d, &device), -EBADMSG);
}

/* ---- requests -------------------------------------------------------------------------------------------------------------------- */

static void requests_are_as_the_kernel_wants_them(void **state)
{
	(void)state;
	struct rdma_request r = rdma_request_devices(5);
	assert_int_equal(r.header.nlmsg_len, 16);
	assert_int_equal(r.header.nlmsg_type, 5 << 10 | 1);
	assert_int_equal(r.header.nlmsg_flags, NLM_F_REQUEST | NLM_F_DUMP);
	assert_int_equal(r.header.nlmsg_seq, 5);
	r = rdma_request_system(6);
	assert_int_equal(r.header.nlmsg_len, 16);
	assert_int_equal(r.header.nlmsg_type, 5 << 10 | 6);
	assert_int_equal(r.header.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	r = rdma_request_ports(7, 0x01020304);
	assert_int_equal(r.header.nlmsg_len, 24);
	assert_int_equal(r.header.nlmsg_type, 5 << 10 | 5);
	assert_int_equal(r.header.nlmsg_flags, NLM_F_REQUEST | NLM_F_DUMP);
	assert_memory_equal(r.attributes, "\x08\x00\x01\x00\x04\x03\x02\x01", 8); /* on the little-endian machines that there are */
}

/* ---- the whole query ------------------------------------------------------------------------------------------------------------- */

/* A socket pair: what the kernel would say lies ready in ours, what was asked stays in the other. */
struct line {
	int ours, kernel;
};

static void line_open(struct line *l)
{
	int fds[2];
	struct timeval patience = {.tv_usec = 1000}; /* everything lies ready: there is nothing to wait for */
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	*l = (struct line){fds[0], fds[1]};
	assert_int_equal(setsockopt(l->ours, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
}

static void line_close(struct line *l)
{
	close(l->ours);
	close(l->kernel);
}

static void say(struct line *l, const struct datagram *d)
{
	assert_int_equal(send(l->kernel, d->bytes, d->len, 0), d->len);
}

static void assert_asked(struct line *l, struct rdma_request expected)
{
	struct rdma_request r;
	ssize_t n = recv(l->kernel, &r, sizeof(r), MSG_DONTWAIT);
	assert_int_equal(n, expected.header.nlmsg_len);
	assert_memory_equal(&r, &expected, (size_t)n);
}

/* A dual-port RoCE card (7 is its first netdev, 9 the second), and an InfiniBand one. */
static void say_all(struct line *l, uint8_t mode)
{
	struct datagram d = {0};
	put_device(&d, 1, 0, "mlx5_0", 2, 1);
	say(l, &d);
	d = (struct datagram){0};
	put_device(&d, 1, 4, "mlx5_1", 1, 2);
	put_status(&d, NLMSG_DONE, 1, 0);
	say(l, &d);

	d = (struct datagram){0};
	put_mode(&d, 2, mode);
	say(l, &d);
	d = (struct datagram){0};
	put_status(&d, NLMSG_ERROR, 2, 0);
	say(l, &d);

	d = (struct datagram){0};
	put_port(&d, 3, 0, "mlx5_0", 1);
	put_netdev(&d, 7, "eth0");
	put_port(&d, 3, 0, "mlx5_0", 2);
	put_netdev(&d, 9, "eth1");
	say(l, &d);
	d = (struct datagram){0};
	put_status(&d, NLMSG_DONE, 3, 0);
	say(l, &d);

	d = (struct datagram){0};
	put_port(&d, 4, 4, "mlx5_1", 1);
	put_status(&d, NLMSG_DONE, 4, 0);
	say(l, &d);
}

static void assert_owner(const struct rdma_table *t, int32_t ifindex, const char *device)
{
	struct device_facts facts = {.ifindex = ifindex};
	rdma_facts_add(t, &facts);
	assert_string_equal(facts.rdma_device, device);
}

static void everything_is_asked_and_found(void **state)
{
	(void)state;
	struct rdma_table t = {0}, other = {0};
	struct line l;
	struct error e = {0};
	line_open(&l);
	say_all(&l, 0);
	assert_int_equal(rdma_query_fd(l.ours, &t, &e), 0);
	assert_asked(&l, rdma_request_devices(1));
	assert_asked(&l, rdma_request_system(2));
	assert_asked(&l, rdma_request_ports(3, 0));
	assert_asked(&l, rdma_request_ports(4, 4));
	assert_int_equal(t.mode, RDMA_NETNS_EXCLUSIVE);
	assert_int_equal(t.n_devices, 2);
	assert_int_equal(t.n_ports, 3);
	assert_owner(&t, 7, "mlx5_0");
	assert_owner(&t, 9, "mlx5_0");
	assert_owner(&t, 8, "");
	assert_owner(&t, 0, ""); /* which is what the InfiniBand port has */
	assert_owner(&t, -1, "");

	line_close(&l);
	line_open(&l);
	say_all(&l, 0);
	assert_int_equal(rdma_query_fd(l.ours, &other, &e), 0);
	assert_true(rdma_table_equal(&t, &other));
	other.ports[0].state = 1;
	assert_true(rdma_table_equal(&t, &other));
	other.ports[0].ifindex = 12;
	assert_false(rdma_table_equal(&t, &other));
	other.ports[0].ifindex = 7;
	other.mode = RDMA_NETNS_SHARED;
	assert_false(rdma_table_equal(&t, &other));
	other.mode = RDMA_NETNS_EXCLUSIVE;
	other.devices[1].name[0] = 'x';
	assert_false(rdma_table_equal(&t, &other));
	rdma_table_free(&other);
	assert_false(rdma_table_equal(&t, &other));
	rdma_table_free(&t);
	line_close(&l);
}

static void kernel_without_devices(void **state)
{
	(void)state;
	struct rdma_table t = {0};
	struct line l;
	struct datagram d = {0};
	struct error e = {0};
	line_open(&l);
	put_status(&d, NLMSG_DONE, 1, 0);
	say(&l, &d);
	d = (struct datagram){0};
	put_mode(&d, 2, 1);
	put_status(&d, NLMSG_ERROR, 2, 0);
	say(&l, &d);
	assert_int_equal(rdma_query_fd(l.ours, &t, &e), 0);
	assert_int_equal(t.n_devices, 0);
	assert_int_equal(t.mode, RDMA_NETNS_SHARED);
	rdma_table_free(&t);
	line_close(&l);
}

static void device_that_goes_away_meanwhile(void **state)
{
	(void)state;
	struct rdma_table t = {0};
	struct line l;
	struct datagram d = {0};
	struct error e = {0};
	line_open(&l);
	put_device(&d, 1, 0, "rxe0", 1, 1);
	put_device(&d, 1, 1, "rxe 1", 1, 1); /* not a name to be published */
	put_device(&d, 1, 2, "rxe2", 1, 1);
	put_status(&d, NLMSG_DONE, 1, 0);
	say(&l, &d);
	d = (struct datagram){0};
	put_mode(&d, 2, 1);
	put_status(&d, NLMSG_ERROR, 2, 0);
	say(&l, &d);
	d = (struct datagram){0};
	put_status(&d, NLMSG_DONE, 3, -EINVAL);
	say(&l, &d);
	d = (struct datagram){0};
	put_port(&d, 3, 0, "rxe0", 1); /* left over from an earlier question */
	put_netdev(&d, 7, "eth0");
	put_port(&d, 4, 2, "rxe2", 1);
	put_netdev(&d, 9, "eth1");
	put_status(&d, NLMSG_DONE, 4, 0);
	say(&l, &d);
	assert_int_equal(rdma_query_fd(l.ours, &t, &e), 0);
	assert_int_equal(t.n_devices, 2);
	assert_owner(&t, 7, "");
	assert_owner(&t, 9, "rxe2");
	rdma_table_free(&t);
	line_close(&l);
}

static void put_overrun(struct datagram *d)
{
	put_message(d, NLMSG_OVERRUN, 1);
}
static void put_endless(struct datagram *d)
{
	put_device(d, 1, 0, "mlx5_0", 1, 1);
}
static void put_cut(struct datagram *d)
{
	put_device(d, 1, 0, "mlx5_0", 1, 1);
	d->len -= 8;
}
static void put_short_header(struct datagram *d)
{
	put_message(d, NLMSG_DONE, 1);
	header(d)->nlmsg_len = 3;
}
static void put_bad_device(struct datagram *d)
{
	put_command(d, RDMA_NLDEV_CMD_GET, 1);
	put_u32(d, RDMA_NLDEV_ATTR_DEV_INDEX, 1);
}

static void failures_leave_the_result_alone(void **state)
{
	(void)state;
	static const struct {
		void (*answer)(struct datagram *d); /* NULL = this end of the dump */
		int code, result;
		const char *text;
	} cases[] = {
	    {NULL, -EINVAL, -EOPNOTSUPP, "this kernel does not list devices"},
	    {NULL, -EPERM, -EPERM, "the devices"},
	    {NULL, 5, -EBADMSG, "the devices"},
	    {put_overrun, 0, -ENOBUFS, "the devices"},
	    {put_endless, 0, -ETIMEDOUT, "did not answer"},
	    {put_cut, 0, -EBADMSG, "the devices"},
	    {put_short_header, 0, -EBADMSG, "the devices"},
	    {put_bad_device, 0, -EBADMSG, "the devices"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct rdma_table t = {.n_ports = 77};
		struct line l;
		struct datagram d = {0};
		struct error e = {0};
		line_open(&l);
		if (cases[i].answer)
			cases[i].answer(&d);
		else
			put_status(&d, NLMSG_DONE, 1, cases[i].code);
		say(&l, &d);
		assert_int_equal(rdma_query_fd(l.ours, &t, &e), cases[i].result);
		assert_int_equal(e.code, cases[i].result);
		assert_non_null(strstr(e.text, cases[i].text));
		assert_int_equal(t.n_ports, 77);
		line_close(&l);
	}
}

static void answer_that_does_not_fit(void **state)
{
	(void)state;
	static const char large[20000];
	struct rdma_table t = {0};
	struct line l;
	struct error e = {0};
	line_open(&l);
	assert_int_equal(send(l.kernel, large, sizeof(large), 0), sizeof(large));
	assert_int_equal(rdma_query_fd(l.ours, &t, &e), -EMSGSIZE);
	assert_int_equal(shutdown(l.kernel, SHUT_WR), 0);
	assert_int_equal(rdma_query_fd(l.ours, &t, &e), -EPIPE);
	line_close(&l);
}

/* Whatever kernel this runs on: with RDMA a table, without it the word that callers take for "none". */
static void this_kernel(void **state)
{
	(void)state;
	struct rdma_table t = {0};
	struct error e = {0};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
	int expected = fd < 0 ? -EOPNOTSUPP : 0;
	if (fd >= 0)
		close(fd);
	assert_int_equal(rdma_query(&t, &e), expected);
	if (expected < 0)
		assert_string_equal(e.text, "no RDMA in this kernel");
	print_message("this kernel: %s, %zu devices, %zu ports\n", expected ? e.text : rdma_netns_mode_name(t.mode), t.n_devices,
	              t.n_ports);
	for (size_t i = 0; i < t.n_ports; i++)
		print_message("  device %u port %u: netdev %d %s\n", t.ports[i].device, t.ports[i].number, t.ports[i].ifindex,
		              t.ports[i].ifname);
	rdma_table_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(device_is_read),
	    cmocka_unit_test(port_of_roce_names_its_netdev),
	    cmocka_unit_test(port_of_infiniband_has_none),
	    cmocka_unit_test(mode_is_read),
	    cmocka_unit_test(cut_messages_are_refused),
	    cmocka_unit_test(wrong_nesting_is_refused),
	    cmocka_unit_test(wrong_values_are_refused),
	    cmocka_unit_test(requests_are_as_the_kernel_wants_them),
	    cmocka_unit_test(everything_is_asked_and_found),
	    cmocka_unit_test(kernel_without_devices),
	    cmocka_unit_test(device_that_goes_away_meanwhile),
	    cmocka_unit_test(failures_leave_the_result_alone),
	    cmocka_unit_test(answer_that_does_not_fit),
	    cmocka_unit_test(this_kernel),
	};
	return cmocka_run_group_tests_name("rdma", tests, NULL, NULL);
}
