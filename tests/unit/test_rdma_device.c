/* SPDX-License-Identifier: Apache-2.0 */
/* One RDMA device: what the kernel answered in the emulated machine (Linux 6.12, rxe and siw), nodes and GID tables made by hand. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "rdma/chardev.h"
#include "rdma/device.h"
#include "rdma/gid.h"
#include "rdma/monitor.h"
#include "rdma/socket.h"

enum { RECORDED_SEQUENCE = 7 };

/* ---- recorded messages ------------------------------------------------------------------------------------------------------------ */

static size_t unhex(const char *hex, uint8_t *ret, size_t size)
{
	size_t n = strlen(hex) / 2;
	assert_true(n <= size);
	for (size_t i = 0; i < n; i++) {
		unsigned byte = 0;
		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		ret[i] = (uint8_t)byte;
	}
	return n;
}

static int answer(struct rdma_table *t, const char *hex)
{
	uint8_t bytes[512];
	return rdma_answer_read(t, RECORDED_SEQUENCE, bytes, unhex(hex, bytes, sizeof(bytes)));
}

/* rxe0 over rec9 (6), then siw0, whose netdev has gone to another namespace; the mode, before and after. */
static const char rxe_device[] =
    "740000000114020007000000188bf7fb080001000400000009000200727865300000000008000300010000000c000400763c2201c0010000"
    "0c000600fa6481feffa718980c000700fa6481feffa7189805000e0001000000050054000000000005006500010000000900"
    "4300726f636500000000",
		  siw_device[] =
		      "7000000001140200070000000c053ab2080001000400000009000200736977300000000008000300010000000c000400000020000000"
		      "00000c0006008085f4feffa83b900c0007008085f4feffa83b9005000e0004000000050054000000000005006500010000000700"
		      "430069770000",
		  rxe_port[] =
		      "500000000514020007000000188bf7fb0800010004000000090002007278653000000000080003000100000005000c000400000005000d00"
		      "050000000800320006000000090033007265633900000000",
		  siw_port_away[] =
		      "3c0000000514020007000000876221da0800010007000000090002007369773000000000080003000100000005000c000100000005"
		      "000d0003000000",
		  done[] = "1400000003000200070000000c053ab200000000",
		  mode_shared[] = "300000000614000007000000188bf7fb05004200010000000500600000000000050067000100000005005d0001000000",
		  mode_exclusive[] = "300000000614000007000000876221da05004200000000000500600000000000050067000100000005005d0001000000",
		  acknowledgement[] = "2400000002000001070000000c053ab20000000010000000061405000700000000000000",
		  uverbs[] =
		      "3c0000000f14000007000000188bf7fb080049000e0000000c004800c0e70000000000000c00470002000000000000000c00460075766572"
		      "62733000",
		  rdma_cm[] = "340000000f14000007000000188bf7fb0c004800040a1000000000000c00470004000000000000000c00460072646d615f636d00",
		  umad[] = "340000000f14000007000000188bf7fb0c00480000e70000000000000c00470005000000000000000a004600756d616430000000",
		  no_issm[] =
		      "400000000200000007000000188bf7fba1ffffff2c0000000f140500070000000000000008000100040000000800030001000000090045"
		      "006973736d00000000";

static void answers_of_rxe_and_siw(void **state)
{
	(void)state;
	struct rdma_table t = {0};
	assert_int_equal(answer(&t, rxe_device), 0);
	assert_int_equal(answer(&t, siw_device), 0);
	assert_int_equal(answer(&t, done), 1);
	assert_int_equal(answer(&t, mode_shared), 0);
	assert_int_equal(t.mode, RDMA_NETNS_SHARED);
	assert_int_equal(answer(&t, mode_exclusive), 0);
	assert_int_equal(t.mode, RDMA_NETNS_EXCLUSIVE);
	assert_int_equal(answer(&t, acknowledgement), 1);
	assert_int_equal(answer(&t, rxe_port), 0);
	assert_int_equal(answer(&t, siw_port_away), 0);
	assert_int_equal(t.n_devices, 2);
	assert_string_equal(t.devices[0].name, "rxe0");
	assert_true(t.devices[0].node_guid == 0x9818a7fffe8164fa);
	assert_int_equal(t.devices[0].protocol, RDMA_PROTOCOL_ROCE);
	assert_string_equal(t.devices[1].name, "siw0");
	assert_int_equal(t.devices[1].protocol, RDMA_PROTOCOL_IWARP);
	assert_int_equal(t.n_ports, 2);
	assert_int_equal(t.ports[0].ifindex, 6);
	assert_string_equal(t.ports[0].ifname, "rec9");
	assert_int_equal(t.ports[1].ifindex, 0);
	rdma_table_free(&t);
}

static int take_chardev(uint16_t command, const void *attributes, size_t len, void *user)
{
	assert_int_equal(command, 15);
	return rdma_chardev_parse(attributes, len, user);
}

static void character_devices(void **state)
{
	(void)state;
	static const struct {
		const char *hex, *name;
		uint32_t major, minor;
	} rows[] = {{uverbs, "uverbs0", 231, 192}, {rdma_cm, "rdma_cm", 10, 260}, {umad, "umad0", 231, 0}};
	uint8_t bytes[512];
	struct rdma_chardev c = {0};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		size_t n = unhex(rows[i].hex, bytes, sizeof(bytes));
		assert_int_equal(rdma_datagram_read(RECORDED_SEQUENCE, bytes, n, take_chardev, &c), 0);
		assert_string_equal(c.name, rows[i].name);
		assert_int_equal(c.major, rows[i].major);
		assert_int_equal(c.minor, rows[i].minor);
	}
	size_t n = unhex(no_issm, bytes, sizeof(bytes));
	assert_int_equal(rdma_datagram_read(RECORDED_SEQUENCE, bytes, n, take_chardev, &c), -EOPNOTSUPP);
}

static void names_that_leave_the_directory_are_refused(void **state)
{
	(void)state;
	static const char *const names[] = {"a/b", "..", ".", "", "a b", "a\tb", "a-name-that-is-longer-than-any-node"};
	struct rdma_chardev c = {.major = 77};
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		uint8_t message[128] = {12, 0, 0x48, 0, 0xc0, 0xe7};
		size_t len = strlen(names[i]) + 1;
		message[12] = (uint8_t)(4 + len);
		message[14] = 0x46;
		memcpy(message + 16, names[i], len);
		assert_int_equal(rdma_chardev_parse(message, 16 + len, &c), -EBADMSG);
		assert_int_equal(c.major, 77);
	}
	/* A number beyond 32 bits is none of the kernel's. */
	uint8_t large[] = {12, 0, 0x48, 0, 0, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0x46, 0, 'a', 0};
	assert_int_equal(rdma_chardev_parse(large, sizeof(large), &c), -EBADMSG);
}

/* ---- finding --------------------------------------------------------------------------------------------------------------------- */

static void the_same_device_is_found_again(void **state)
{
	(void)state;
	static struct rdma_device devices[] = {{.index = 1, .node_guid = 10, .name = "mlx5_0"},
	                                       {.index = 2, .node_guid = 20, .name = "mlx5_1"},
	                                       {.index = 3, .node_guid = 20, .name = "mlx5_2"},
	                                       {.index = 4, .node_guid = 0, .name = "efa_0"}};
	static const struct rdma_table t = {.devices = devices, .n_devices = ELEMENTS(devices)};
	static const struct {
		struct rdma_state which;
		uint32_t index; /* 0 = none */
	} rows[] = {
	    {{.index = 1, .guid = 10, .name = "mlx5_0"}, 1}, {{.index = 1, .guid = 10, .name = "renamed"}, 1},
	    {{.index = 9, .guid = 10, .name = "mlx5_0"}, 1}, /* the kernel has been restarted */
	    {{.index = 3, .guid = 10, .name = "mlx5_0"}, 1}, /* and another one has its number */
	    {{.index = 9, .guid = 20, .name = "mlx5_2"}, 3}, /* two of a GUID */
	    {{.index = 3, .guid = 20, .name = "mlx5_1"}, 3}, {{.index = 9, .guid = 10, .name = "mlx5_1"}, 0},
	    {{.index = 4, .guid = 0, .name = "efa_0"}, 4},   {{.index = 9, .guid = 0, .name = "efa_0"}, 4},
	    {{.index = 4, .guid = 0, .name = "efa_9"}, 0},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		const struct rdma_device *d = rdma_table_find(&t, &rows[i].which);
		assert_int_equal(d ? d->index : 0, rows[i].index);
	}
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------------------- */

static int make_directory(void **state)
{
	static char path[32];
	strcpy(path, "/tmp/rdma-XXXXXX");
	*state = path;
	return mkdtemp(path) ? 0 : -1;
}

static int remove_directory(void **state)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -r %s", (const char *)*state);
	return system(command);
}

static void run(const char *directory, const char *script)
{
	char command[2048];
	snprintf(command, sizeof(command), "cd %s && %s", directory, script);
	assert_int_equal(system(command), 0);
}

static void a_node_must_be_the_device(void **state)
{
	const char *directory = *state;
	static const struct rdma_chardev null = {1, 3, "null"};
	struct rdma_node node = {.uid = 77};
	struct error e = {0};
	char path[64];
	snprintf(path, sizeof(path), "%s/null", directory);
	assert_int_equal(rdma_node_wait(directory, &null, 0, &node, &e), -ENOENT);
	assert_non_null(strstr(e.text, path));
	assert_non_null(strstr(e.text, "1:3"));
	/* A file, a link to the device itself: none of it. */
	run(directory, "touch null");
	assert_int_equal(rdma_node_wait(directory, &null, 0, &node, &e), -ENOENT);
	run(directory, "rm null; ln -s /dev/null null");
	assert_int_equal(rdma_node_wait(directory, &null, 0, &node, &e), -ENOENT);
	assert_int_equal(node.uid, 77);
	assert_int_equal(rdma_node_wait("/a/directory/whose/name/is/too/long/for/it/all", &null, 0, &node, &e), -ENAMETOOLONG);
	run(directory, "rm null");
	if (mknod(path, S_IFCHR | 0600, makedev(1, 5)) < 0) {
		print_message("no nodes can be made here: %s\n", strerror(errno));
		skip();
	}
	assert_int_equal(rdma_node_wait(directory, &null, 0, &node, &e), -ENOENT); /* of another number */
	/* udev comes late. */
	run(directory, "(sleep 0.05; rm null; mknod -m 640 new c 1 3; chown 12:34 new; mv new null) &");
	assert_int_equal(rdma_node_wait(directory, &null, rdma_clock_ms() + 30000, &node, &e), 0);
	assert_string_equal(node.path, path);
	assert_int_equal(node.major, 1);
	assert_int_equal(node.minor, 3);
	assert_int_equal(node.mode, 0640);
	assert_int_equal(node.uid, 12);
	assert_int_equal(node.gid, 34);
}

/* ---- GIDs ------------------------------------------------------------------------------------------------------------------------ */

static void gids_are_parsed(void **state)
{
	(void)state;
	static const struct {
		const char *text, *gid;
	} rows[] = {{"fe80:0000:0000:0000:b859:9f03:00c7:d241\n", "fe80::b859:9f03:c7:d241"},
	            {"0000:0000:0000:0000:0000:ffff:0a4d:0001\n", "::ffff:10.77.0.1"},
	            {"0000:0000:0000:0000:0000:0000:0000:0000", "::"},
	            {"", NULL},
	            {"\n", NULL},
	            {"10.77.0.1\n", NULL},
	            {"fe80:0000:0000:0000:b859:9f03:00c7\n", NULL},
	            {"fe80:0000:0000:0000:b859:9f03:00c7:d241:d241:d241:d241:d241:d241:d241:d241\n", NULL}};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct ip_address gid = {.family = 77};
		char text[IP_TEXT_MAX];
		int r = rdma_gid_parse(rows[i].text, strlen(rows[i].text), &gid);
		assert_int_equal(r, rows[i].gid ? 0 : -EINVAL);
		if (r == 0)
			ip_address_format(&gid, text);
		if (r == 0)
			assert_string_equal(text, rows[i].gid);
		else
			assert_int_equal(gid.family, 77);
	}
}

/* The table of one port as a real adapter has it: each address as RoCE v1 and as v2, entries in use and not. */
static const char gid_tables[] =
    "mkdir -p class/infiniband/mlx5_2/ports/1/gids class/infiniband/mlx5_2/ports/1/gid_attrs/types class/infiniband/mlx5_2/ports/2/gids "
    "class/infiniband/mlx5_2/ports/2/gid_attrs/types; put() { echo $3 > class/infiniband/mlx5_2/ports/$1/gids/$2; "
    "[ -z \"$4\" ] || echo \"$4\" > class/infiniband/mlx5_2/ports/$1/gid_attrs/types/$2; }; "
    "put 1 0 fe80:0000:0000:0000:ba59:9fff:fec7:d2e4 'IB/RoCE v1'; put 1 1 fe80:0000:0000:0000:ba59:9fff:fec7:d2e4 'RoCE v2'; "
    "put 1 2 0000:0000:0000:0000:0000:ffff:0a09:0001 'IB/RoCE v1'; put 1 3 0000:0000:0000:0000:0000:ffff:0a09:0001 'RoCE v2'; "
    "put 1 4 0000:0000:0000:0000:0000:0000:0000:0000 ''; put 1 5 junk 'RoCE v2'; put 1 6 fd00:0000:0000:0000:0000:0000:0000:0005 'RoCE "
    "v2'; "
    "put 2 0 0000:0000:0000:0000:0000:ffff:0a09:0001 'RoCE v2'; put 2 1 0000:0000:0000:0000:0000:ffff:0a09:0002 'RoCE v2'";

static void the_gid_of_an_address(void **state)
{
	static const struct {
		const char *addresses[3];
		uint8_t port;
		int32_t index;
	} rows[] = {
	    {{"10.9.0.1/24"}, 1, 3},                        /* v2, the first port */
	    {{"10.9.0.2/24"}, 2, 1},                        /* the second port */
	    {{"fd00::5/64", "10.9.0.2/24"}, 2, 1},          /* IPv4 before IPv6 */
	    {{"10.9.0.9/24", "fd00::5/64"}, 1, 6},          /* IPv6 when that is what there is */
	    {{"fe80::ba59:9fff:fec7:d2e4/64"}, 1, 1},       /* the default one */
	    {{"192.0.2.1/24", "fd00::6/64", "::/0"}, 0, 0}, /* none; an entry that is not in use is no address */
	    {{NULL}, 0, 0},
	};
	struct error e = {0};
	run(*state, gid_tables);
	int fd = open(*state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct ip_prefix addresses[3];
		struct rdma_state s = {.name = "mlx5_2", .index = 4, .gid_port = 77};
		size_t n = 0;
		for (; n < 3 && rows[i].addresses[n]; n++)
			assert_int_equal(ip_prefix_parse(rows[i].addresses[n], &addresses[n]), 0);
		assert_int_equal(rdma_gid_find(fd, addresses, n, 0, &s, &e), 0);
		assert_int_equal(s.gid_port, rows[i].port);
		assert_int_equal(s.gid_index, rows[i].index);
		assert_int_equal(s.gid.family, rows[i].port ? IP_V6 : IP_NONE);
		assert_int_equal(s.index, 4);
	}
	/* The kernel comes late. */
	struct ip_prefix address;
	struct rdma_state s = {.name = "mlx5_2"}, elsewhere = {.name = "../mlx5_2"}, away = {.name = "mlx5_9", .gid_port = 7};
	assert_int_equal(ip_prefix_parse("10.9.0.7/24", &address), 0);
	run(*state, "(sleep 0.05; echo 'RoCE v2' > class/infiniband/mlx5_2/ports/1/gid_attrs/types/4; "
	            "echo 0000:0000:0000:0000:0000:ffff:0a09:0007 > class/infiniband/mlx5_2/ports/1/gids/4) &");
	assert_int_equal(rdma_gid_find(fd, &address, 1, 30000, &s, &e), 0);
	assert_int_equal(s.gid_index, 4);
	assert_int_equal(rdma_gid_find(fd, &address, 1, 0, &elsewhere, &e), -EINVAL);
	assert_int_equal(rdma_gid_find(fd, &address, 1, 0, &away, &e), 0);
	assert_int_equal(away.gid_port, 0);
	close(fd);
}

/* ---- uevents --------------------------------------------------------------------------------------------------------------------- */

static void uevents_that_matter(void **state)
{
	(void)state;
	static const char ours[] = "add@/devices/virtual/infiniband/rxe0\0ACTION=add\0SUBSYSTEM=infiniband\0NAME=rxe0",
			  verbs[] = "add@/devices/virtual/infiniband_verbs/uverbs0\0ACTION=add\0SUBSYSTEM=infiniband_verbs\0MAJOR=231",
			  cut[] = "add@/devices/virtual/infiniband/rxe0\0ACTION=add\0SUBSYSTEM=infiniban";
	assert_true(rdma_uevent_matters(ours, sizeof(ours)));
	assert_false(rdma_uevent_matters(verbs, sizeof(verbs)));
	assert_false(rdma_uevent_matters(cut, sizeof(cut)));
	assert_false(rdma_uevent_matters("", 0));
	assert_true(rdma_uevent_matters("SUBSYSTEM=infiniband", 20)); /* without its NUL */
	assert_false(rdma_uevent_matters("SUBSYSTEM=infiniband", 19));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_of_rxe_and_siw),
	    cmocka_unit_test(character_devices),
	    cmocka_unit_test(names_that_leave_the_directory_are_refused),
	    cmocka_unit_test(the_same_device_is_found_again),
	    cmocka_unit_test_setup_teardown(a_node_must_be_the_device, make_directory, remove_directory),
	    cmocka_unit_test(gids_are_parsed),
	    cmocka_unit_test_setup_teardown(the_gid_of_an_address, make_directory, remove_directory),
	    cmocka_unit_test(uevents_that_matter),
	};
	return cmocka_run_group_tests_name("rdma device", tests, NULL, NULL);
}
