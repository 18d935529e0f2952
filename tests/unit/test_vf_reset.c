/* SPDX-License-Identifier: Apache-2.0 */
/* A PF's driver resets the VF after some settings, and takes no other until that is over: over a kernel that is such a driver's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <time.h>

#include "core/base/str.h"
#include "netlink/mover_internal.h"
#include "netlink/vf.h"

static struct kernel {
	int resets; /* refusals after each setting that it took */
	int busy;   /* of them still to come */
	unsigned taken;
	struct mac mac, next; /* of the VF's link */
	uint64_t at;          /* when it has the next one */
} k;

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct nl_msg *nlsock_request(uint16_t type, uint16_t flags, const void *header, size_t header_len)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, flags);
	assert_non_null(m);
	assert_int_equal(nlmsg_append(m, (void *)header, header_len, NLMSG_ALIGNTO), 0);
	return m;
}

static int tell_link(nlsock_see *see, void *user)
{
	const struct ifinfomsg header = {.ifi_index = 7};
	struct nl_msg *m = nlsock_request(RTM_NEWLINK, 0, &header, sizeof(header));
	if (k.at && now_ms() >= k.at)
		k.mac = k.next;
	assert_int_equal(nla_put_string(m, IFLA_IFNAME, "vf0"), 0);
	assert_int_equal(nla_put(m, IFLA_ADDRESS, k.mac.length, k.mac.bytes), 0);
	int r = see(nlmsg_hdr(m), user);
	nlmsg_free(m);
	return r;
}

static int take_address(const struct nlattr *a)
{
	k.next.length = (uint8_t)nla_len(a);
	memcpy(k.next.bytes, nla_data(a), k.next.length);
	if (!k.at)
		k.at = now_ms() + 50;
	return 0;
}

int nlsock_ask(struct nlsock *s, struct nl_msg *m, nlsock_see *see, void *user, struct error *e)
{
	struct nlmsghdr *h = nlmsg_hdr(m);
	const struct nlattr *address = nlmsg_find_attr(h, sizeof(struct ifinfomsg), IFLA_ADDRESS);
	(void)s;
	if (h->nlmsg_type == RTM_GETLINK)
		return tell_link(see, user);
	if (address)
		return take_address(address);
	if (!nlmsg_find_attr(h, sizeof(struct ifinfomsg), IFLA_VFINFO_LIST))
		return 0;
	if (k.busy > 0) {
		k.busy--;
		return error_set(e, -EAGAIN, "VF still in reset");
	}
	k.taken++;
	k.busy = k.resets;
	return 0;
}

int nlsock_dump(struct nlsock *s, struct nl_msg *m, nlsock_see *see, void *user, struct error *e)
{
	(void)s;
	(void)m;
	(void)see;
	(void)user;
	return error_set(e, -ENOTSUP, "nobody asks for a dump");
}

void job_ignore_advertisements(const char *ifname)
{
	(void)ifname;
}

static const struct vf_settings before = {
    .known = true, .pf = "pf0", .pf_ifindex = 4, .mac = {6, {2, 0, 0, 0, 0, 1}}, .spoofchk = 1, .trust = -1};

static struct vf_settings other(void)
{
	struct vf_settings o = before;
	o.mac.bytes[5] = 9;
	o.vlan = 5;
	o.vlan_protocol = 0x8100;
	o.spoofchk = 0;
	return o;
}

static void test_there_and_back(void **state)
{
	(void)state;
	const struct vf_settings there = other();
	struct error e = {0};
	bool mac;
	k = (struct kernel){.resets = 2};
	assert_int_equal(vf_set(NULL, &there, &before, &mac, &e), 0);
	assert_int_equal(k.taken, 3);
	k = (struct kernel){.resets = 2};
	vf_restore(NULL, &before, &there, &e);
	assert_string_equal(e.text, "");
	assert_int_equal(k.taken, 3);
}

/* One that never gets done costs its patience once, not for each setting. */
static void test_never_done(void **state)
{
	(void)state;
	const struct vf_settings there = other();
	struct error e = {0};
	bool mac;
	enum { MANY = 1000 };
	k = (struct kernel){.busy = MANY};
	assert_int_equal(vf_set(NULL, &there, &before, &mac, &e), -EAGAIN);
	assert_string_equal(e.text, "interface.hardwareAddr: pf0 refuses it for its VF 0: VF still in reset");
	int once = MANY - k.busy;
	k = (struct kernel){.busy = MANY};
	e = (struct error){0};
	vf_restore(NULL, &before, &there, &e);
	assert_string_equal(e.text, "VF 0 of pf0: VF still in reset");
	assert_int_equal(MANY - k.busy, once + 2); /* the other two settings are tried all the same */
}

/* Says that it is done, and has the address a moment later. */
static void test_slow_address(void **state)
{
	(void)state;
	const struct mac mac = {6, {2, 0, 0, 0, 0, 9}};
	struct mover m = {0};
	struct link l = {.ifindex = 7, .mac = before.mac};
	struct error e = {0};
	(void)STR_COPY(l.ifname, "vf0");
	k = (struct kernel){.mac = before.mac};
	assert_int_equal(job_vf_take_mac(&m, &l, &mac, &e), 0);
	assert_true(mac_equal(&l.mac, &mac));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_there_and_back),
	    cmocka_unit_test(test_never_done),
	    cmocka_unit_test(test_slow_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
