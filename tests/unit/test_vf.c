/* SPDX-License-Identifier: Apache-2.0 */
/* What a claim wants of a VF's settings, and whether its PF can be asked for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/config.h"
#include "netlink/vf.h"
#include "value_text.h"

enum device { NO_VF, VF, VF_WITHOUT_PF, VF_UNTOLD };

static struct device_facts facts(enum device device)
{
	struct device_facts f = {.name = "pci-0000-00-04-1", .ifindex = 7, .ifname = "eth0", .pci_address = "0000:00:04.1"};
	f.is_vf = device != NO_VF;
	if (f.is_vf)
		STR_COPY(f.pf_address, "0000:00:04.0");
	if (f.is_vf && device != VF_WITHOUT_PF)
		STR_COPY(f.pf_ifname, "pf0");
	return f;
}

static struct host_state host(enum device device)
{
	struct host_state h = {.ifindex = 7, .ifname = "eth0", .mtu = 1500, .mac = {6, {2, 0, 0, 0, 0, 1}}};
	h.vf = (struct vf_settings){.known = device == VF, .pf = "pf0", .spoofchk = 1, .trust = -1, .min_rate = 10, .max_rate = 1000};
	return h;
}

static void test_plans(void **state)
{
	(void)state;
	static const struct {
		enum device device;
		const char *config, *faults;
	} rows[] = {
	    {VF, "{interface: {vf: {vlan: 5, vlanQoS: 1, spoofCheck: false, minTxRate: 1000}}}", ""},
	    {VF, "{interface: {vf: {maxTxRate: 0}}}", ""},
	    {VF, "{interface: {vf: {minTxRate: 1001}}}", "interface.vf.minTxRate: the VF would have at least 1001 and at most 1000 Mb/s"},
	    {VF, "{interface: {vf: {maxTxRate: 9}}}", "interface.vf.maxTxRate: the VF would have at least 10 and at most 9 Mb/s"},
	    {VF, "{interface: {vf: {trust: false}}}", "interface.vf.trust: the driver of \"pf0\" does not know it"},
	    {NO_VF, "{interface: {vf: {trust: false}}}", "interface.vf: \"eth0\" is no SR-IOV virtual function"},
	    {NO_VF, "{interface: {vf: {}}}", ""},
	    {VF_WITHOUT_PF, "{interface: {vf: {vlan: 0}}}",
	     "interface.vf: the physical function 0000:00:04.0 of \"eth0\" has no network interface on the host that could be asked for "
	     "it"},
	    {VF_UNTOLD, "{interface: {vf: {maxTxRate: 0}}}", "interface.vf: the physical function pf0 of \"eth0\" says nothing of it"},
	    {VF_WITHOUT_PF, "{interface: {hardwareAddr: '02:00:00:00:00:09'}}", ""},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct network_config c;
		struct error e = {0};
		struct attach_plan *plan = NULL;
		struct value v = value_from_text(rows[i].config);
		assert_int_equal(network_config_parse(&v, &c, &e), 0);
		value_free(&v);
		struct device_facts f = facts(rows[i].device);
		struct host_state h = host(rows[i].device);
		int rc = attach_plan_new(&f, &h, &c, &plan, NULL, &e);
		assert_string_equal(e.text, rows[i].faults);
		assert_int_equal(rc, rows[i].faults[0] ? -EINVAL : 0);
		attach_plan_unref(plan);
		network_config_free(&c);
	}
}

static void test_wishes(void **state)
{
	(void)state;
	const struct vf_settings is = {.known = true,
	                               .mac = {6, {2, 0, 0, 0, 0, 1}},
	                               .vlan = 7,
	                               .qos = 3,
	                               .vlan_protocol = 0x88a8,
	                               .min_rate = 1,
	                               .max_rate = 2,
	                               .spoofchk = 1,
	                               .trust = -1};
	const struct mac none = {0}, mac = {6, {2, 0, 0, 0, 0, 9}}, of_ib = {20, {9}};
	struct vf_settings wish;
	struct vf_config c = {0};
	for (size_t i = 0; i < 2; i++) {
		vf_wish(&is, &c, i ? &none : &of_ib, &wish);
		for (size_t k = 0; k < VF_REQUESTS; k++)
			assert_null(vf_request(&wish, &is, k));
	}
	/* Of a VLAN all that is not given is its default, of other things what is. */
	c = (struct vf_config){.has_vlan = true, .vlan = 5, .has_max_rate = true, .has_spoofchk = true, .has_trust = true, .trust = 1};
	vf_wish(&is, &c, &mac, &wish);
	assert_true(mac_equal(&wish.mac, &mac));
	assert_int_equal(wish.vlan, 5);
	assert_int_equal(wish.qos, 0);
	assert_int_equal(wish.vlan_protocol, 0x8100);
	assert_int_equal(wish.min_rate, 1);
	assert_int_equal(wish.max_rate, 0);
	assert_int_equal(wish.spoofchk, 0);
	assert_int_equal(wish.trust, 1);
	size_t n = 0;
	for (size_t k = 0; k < VF_REQUESTS; k++) {
		struct nl_msg *m = vf_request(&wish, &is, k);
		n += m != NULL;
		nlmsg_free(m);
	}
	assert_int_equal(n, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plans),
	    cmocka_unit_test(test_wishes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
