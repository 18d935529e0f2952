/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's own RDMA core with software devices (rxe, siw) over a dummy link. In the network namespace this is started in, since a new
 * device is of the first one; on a machine that has RDMA devices of its own nothing is touched. Software devices change their namespace in
 * the emulated machine of tests/vm alone, whose rxe and siw were taught to. */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <uv.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netns_fixture.h"
#include "rdma/device.h"
#include "rdma/monitor.h"

enum { PATIENCE_MS = 10000, GID_WAIT_MS = 5000 };

static const struct rdma_wanted_nodes usual = {.wait_ms = 2000}, with_umad = {.umad = true, .wait_ms = 2000},
				      with_issm = {.issm = true, .wait_ms = 2000};
static struct ip_prefix address;

/* ---- the monitor ----------------------------------------------------------------------------------------------------------------- */

struct ear {
	uv_loop_t loop;
	uv_timer_t patience;
	struct rdma_monitor *monitor;
	bool heard;
};

static void on_changed(void *user)
{
	struct ear *ear = user;
	ear->heard = true;
	uv_stop(&ear->loop);
}

static void on_patience(uv_timer_t *timer)
{
	uv_stop(timer->loop);
}

static struct ear *ear_open(void)
{
	struct ear *ear = calloc(1, sizeof(*ear));
	struct error e = {0};
	assert_non_null(ear);
	assert_int_equal(uv_loop_init(&ear->loop), 0);
	uv_timer_init(&ear->loop, &ear->patience);
	if (rdma_monitor_start(&ear->loop, on_changed, ear, &ear->monitor, &e) < 0)
		fail_msg("%s", e.text);
	return ear;
}

static void ear_run(struct ear *ear, uint64_t ms)
{
	ear->heard = false;
	uv_timer_start(&ear->patience, on_patience, ms, 0);
	uv_run(&ear->loop, UV_RUN_DEFAULT);
	uv_timer_stop(&ear->patience);
}

/* Notices of what was done come within the patience; then those that are still on their way. */
static void assert_heard(struct ear *ear, const char *what)
{
	ear_run(ear, PATIENCE_MS);
	if (!ear->heard)
		fail_msg("nothing was heard of %s", what);
	do
		ear_run(ear, 100);
	while (ear->heard);
}

static void ear_close(struct ear *ear)
{
	rdma_monitor_close(ear->monitor);
	uv_close((uv_handle_t *)&ear->patience, NULL);
	uv_run(&ear->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&ear->loop), 0);
	free(ear);
}

/* ---- helpers --------------------------------------------------------------------------------------------------------------------- */

static struct rdma *open_here(void)
{
	struct rdma *r = NULL;
	struct error e = {0};
	if (rdma_open(&r, &e) < 0)
		fail_msg("%s", e.text);
	return r;
}

static struct rdma *open_in(int pod)
{
	int home = fixture_own_namespace();
	assert_int_equal(setns(pod, CLONE_NEWNET), 0);
	struct rdma *r = open_here();
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	return r;
}

static void set_mode(const char *mode, enum rdma_netns_mode wanted)
{
	struct rdma *r = open_here();
	enum rdma_netns_mode now = !wanted;
	/* A namespace that a test has just closed dies in its own time, and until then the kernel refuses. */
	for (int i = 0; i < PATIENCE_MS / 50 && now != wanted; i++) {
		char command[64];
		snprintf(command, sizeof(command), "rdma system set netns %s 2>/dev/null || sleep 0.05", mode);
		assert_int_equal(system(command), 0);
		assert_int_equal(rdma_mode(r, &now, NULL), 0);
	}
	rdma_close(r);
	if (now != wanted)
		fail_msg("the mode cannot be set to %s: other network namespaces are there", mode);
}

static void make_link(void)
{
	host("ip link add rdmat0 type dummy && ip addr add 10.77.0.1/24 dev rdmat0 && ip link set rdmat0 up");
	assert_int_equal(ip_prefix_parse("10.77.0.1/24", &address), 0);
}

static void remove_all(void)
{
	(void)system("for d in rdmat9 rxet0 siwt0; do rdma link del $d; done 2>/dev/null; ip link del rdmat0 2>/dev/null; true");
}

static int set_up(void **state)
{
	(void)state;
	remove_all();
	make_link();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	remove_all();
	set_mode("shared", RDMA_NETNS_SHARED);
	return 0;
}

static void assert_node(const struct rdma_state *s, size_t i, const char *prefix)
{
	struct stat st;
	const struct rdma_node *n = &s->nodes[i];
	assert_true(i < s->n_nodes);
	if (!str_starts(n->path, prefix))
		fail_msg("%s is not %s", n->path, prefix);
	assert_int_equal(stat(n->path, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(major(st.st_rdev), n->major);
	assert_int_equal(minor(st.st_rdev), n->minor);
	assert_int_equal(st.st_mode & 07777, n->mode);
	assert_int_equal(st.st_uid, n->uid);
}

static struct rdma_state read_state(struct rdma *r, const char *name, const struct rdma_wanted_nodes *wanted)
{
	struct rdma_state s = {0};
	struct error e = {0};
	if (rdma_state_read(r, name, wanted, &s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static void assert_gid(int sysfs, struct rdma_state *s)
{
	struct error e = {0};
	char text[IP_TEXT_MAX];
	assert_true(sysfs >= 0);
	if (rdma_gid_find(sysfs, &address, 1, GID_WAIT_MS, s, &e) < 0)
		fail_msg("%s", e.text);
	ip_address_format(&s->gid, text);
	assert_string_equal(text, "::ffff:10.77.0.1");
	assert_int_equal(s->gid_port, 1);
	assert_true(s->gid_index >= 0);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------- */

static void a_device_comes_is_renamed_and_goes(void **state)
{
	(void)state;
	struct ear *ear = ear_open();
	struct rdma *r = open_here();
	struct rdma_table t = {0};
	struct rdma_device d;
	struct error e = {0};
	assert_int_equal(rdma_find_name(r, "rxet0", &d, &e), -ENODEV);
	host("rdma link add rxet0 type rxe netdev rdmat0");
	assert_heard(ear, "a device that comes");
	assert_int_equal(rdma_query(&t, &e), 0);
	assert_int_equal(t.mode, RDMA_NETNS_SHARED);
	assert_int_equal(t.n_devices, 1);
	assert_int_equal(t.devices[0].protocol, RDMA_PROTOCOL_ROCE);
	assert_true(t.devices[0].is_virtual);
	assert_int_equal(t.n_ports, 1);
	assert_string_equal(t.ports[0].ifname, "rdmat0");
	rdma_table_free(&t);

	struct rdma_state s = read_state(r, "rxet0", &usual);
	assert_false(s.exclusive);
	assert_int_equal(rdma_rename(r, s.index, "rdmat9", &e), 0);
	assert_heard(ear, "a new name");
	assert_int_equal(rdma_find(r, &s, &d, &e), 0);
	assert_string_equal(d.name, "rdmat9");
	assert_int_equal(rdma_rename(r, s.index, "not a name", &e), -EINVAL);
	assert_int_equal(rdma_rename(r, 4711, "rdmat8", &e), -EINVAL);
	host("rdma link del rdmat9");
	assert_heard(ear, "a device that goes");
	assert_int_equal(rdma_find(r, &s, &d, &e), -ENODEV);
	rdma_close(r);
	ear_close(ear);
}

static void character_devices_of_rxe(void **state)
{
	(void)state;
	struct rdma *r = open_here();
	int sysfs = -1;
	host("rdma link add rxet0 type rxe netdev rdmat0");
	struct rdma_state s = read_state(r, "rxet0", &usual);
	assert_int_equal(s.n_nodes, 2);
	assert_node(&s, 0, "/dev/infiniband/uverbs");
	assert_node(&s, 1, "/dev/infiniband/rdma_cm");
	assert_int_equal(s.protocol, RDMA_PROTOCOL_ROCE);
	assert_true(s.guid);
	s = read_state(r, "rxet0", &with_umad);
	assert_int_equal(s.n_nodes, 3);
	assert_node(&s, 2, "/dev/infiniband/umad");
	struct error e = {0};
	struct rdma_state other = {.n_nodes = 77};
	int result = rdma_state_read(r, "rxet0", &with_issm, &other, &e);
	print_message("issm of rxe: %d %s\n", result, e.text);
	assert_true(result == 0 || (result == -EOPNOTSUPP && other.n_nodes == 77));
	assert_int_equal(rdma_sysfs_open(&sysfs, &e), 0);
	assert_gid(sysfs, &s);
	close(sysfs);
	/* In shared mode nothing moves. */
	int pod = fixture_new_pod();
	assert_int_equal(rdma_move(r, s.index, pod, &e), -EOPNOTSUPP);
	close(pod);
	rdma_close(r);
}

static void siw_speaks_iwarp(void **state)
{
	(void)state;
	struct rdma *r = open_here();
	struct rdma_state other = {.n_nodes = 77};
	struct error e = {0};
	host("rdma link add siwt0 type siw netdev rdmat0");
	struct rdma_state s = read_state(r, "siwt0", &usual);
	assert_int_equal(s.protocol, RDMA_PROTOCOL_IWARP);
	assert_node(&s, 0, "/dev/infiniband/uverbs");
	assert_int_equal(rdma_state_read(r, "siwt0", &with_umad, &other, &e), -EOPNOTSUPP);
	assert_string_equal(e.text, "RDMA device siwt0: it has no umad device");
	assert_int_equal(other.n_nodes, 77);
	rdma_close(r);
}

static void a_device_goes_to_a_pod_and_comes_back(void **state)
{
	(void)state;
	set_mode("exclusive", RDMA_NETNS_EXCLUSIVE);
	host("rdma link add rxet0 type rxe netdev rdmat0");
	struct rdma *here = open_here();
	struct ear *ear = ear_open();
	struct rdma_device d;
	struct error e = {0};
	struct rdma_state before = read_state(here, "rxet0", &usual);
	int pod = fixture_new_pod(), home = fixture_own_namespace(), sysfs = -1;
	assert_true(before.exclusive);
	host("ip link set rdmat0 netns /proc/%d/fd/%d", getpid(), pod);
	in_pod(pod, "ip addr add 10.77.0.1/24 dev rdmat0; ip link set rdmat0 up");
	if (rdma_move(here, before.index, pod, &e) < 0)
		fail_msg("%s", e.text);
	assert_heard(ear, "a device that left");
	assert_int_equal(rdma_find(here, &before, &d, &e), -ENODEV);
	assert_int_equal(rdma_move(here, before.index, pod, &e), 0); /* it is there */

	struct rdma *there = open_in(pod);
	assert_int_equal(setns(pod, CLONE_NEWNET), 0);
	assert_int_equal(rdma_find(there, &before, &d, &e), 0);
	struct rdma_state inside = read_state(there, "rxet0", &usual);
	assert_int_equal(inside.index, before.index);
	assert_true(inside.guid == before.guid);
	assert_node(&inside, 0, "/dev/infiniband/uverbs");
	assert_int_equal(rdma_sysfs_open(&sysfs, &e), 0);
	assert_gid(sysfs, &inside);
	close(sysfs);
	assert_int_equal(rdma_move(there, before.index, pod, &e), 0); /* no move at all */
	if (rdma_move(there, before.index, home, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_heard(ear, "a device that came home");
	assert_int_equal(rdma_find(here, &before, &d, &e), 0);
	assert_int_equal(rdma_move(there, before.index, home, &e), 0);
	rdma_close(there);
	in_pod(pod, "ip link set rdmat0 netns /proc/%d/fd/%d", getpid(), home); /* a dummy would die with the pod, and the device with it */

	assert_int_equal(rdma_move(here, 4711, pod, &e), -ENODEV);

	/* A namespace that dies gives it back. */
	assert_int_equal(rdma_move(here, before.index, pod, &e), 0);
	assert_heard(ear, "a device that left");
	close(pod);
	assert_heard(ear, "a device whose namespace died");
	assert_int_equal(rdma_find(here, &before, &d, &e), 0);
	close(home);
	rdma_close(here);
	ear_close(ear);
}

static bool possible(void)
{
	struct rdma_table t = {0};
	struct error e = {0};
	if (!fixture_possible())
		return false;
	if (rdma_query(&t, &e) < 0) {
		printf("SKIPPED: %s\n", e.text);
		return false;
	}
	size_t n = t.n_devices;
	rdma_table_free(&t);
	if (n > 0)
		printf("SKIPPED: this machine has RDMA devices of its own\n");
	return n == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_device_comes_is_renamed_and_goes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(character_devices_of_rxe, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(siw_speaks_iwarp, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_device_goes_to_a_pod_and_comes_back, set_up, tear_down),
	};
	if (!possible())
		return 0;
	return cmocka_run_group_tests_name("rdma live", tests, NULL, NULL);
}
