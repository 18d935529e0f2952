/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon adds to a device's facts from the table of RDMA ports. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/engine_private.h"

static struct rdma_device devices[] = {{.index = 2, .ports = 1, .name = "rxe0"}};
static struct rdma_port ports[] = {{.device = 2, .number = 1, .ifindex = 7, .ifname = "eth0"}};
static const struct engine engine = {.rdma = {.devices = devices, .n_devices = 1, .ports = ports, .n_ports = 1}};

static void netdev_of_a_port_gets_its_device(void **state)
{
	(void)state;
	const struct device_facts facts = {.name = "eth0", .ifindex = 7, .mtu = 9000};
	struct device_facts storage;
	const struct device_facts *f = engine_add_rdma(&engine, &facts, &storage);
	assert_string_equal(f->rdma_device, "rxe0");
	assert_true(f->rdma);
	assert_string_equal(f->name, "eth0");
	assert_int_equal(f->mtu, 9000);
	assert_false(facts.rdma);
}

static void others_stay_as_they_are(void **state)
{
	(void)state;
	static const struct device_facts cases[] = {
	    {.name = "eth0", .ifindex = 7, .rdma = true, .rdma_device = "mlx5_0"}, /* sysfs knows better */
	    {.name = "eth0.5", .ifindex = 8, .lower = 7, .type = "vlan"},          /* the parent's device is the parent's alone */
	    {.name = "pci-0000-8a-00-0"},                                          /* its netdev is in a pod */
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct device_facts storage;
		assert_ptr_equal(engine_add_rdma(&engine, &cases[i], &storage), &cases[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(netdev_of_a_port_gets_its_device),
	    cmocka_unit_test(others_stay_as_they_are),
	};
	return cmocka_run_group_tests_name("rdma facts", tests, NULL, NULL);
}
