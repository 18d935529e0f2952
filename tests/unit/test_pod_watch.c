/* SPDX-License-Identifier: Apache-2.0 */
/* What is heard of the links of a pod's namespace, from the real kernel. */
#include "netns_fixture.h"

#include "core/base/str.h"
#include "netlink/pod_watch.h"
#include "netlink/sysfs.h"

struct heard {
	uv_loop_t loop;
	uv_timer_t deadline;
	struct sysfs *sysfs;
	struct mover *mover;
	struct pod_watch *watch;
	int pod;
	unsigned n, lost, wakeups;
	int32_t ifindex;
	char ifname[IFNAME_SIZE];
};

static void on_gone(struct pod_watch *w, int32_t ifindex, const char *ifname, void *user)
{
	struct heard *h = user;
	assert_ptr_equal(w, h->watch);
	h->n++;
	h->lost += ifindex == 0;
	h->ifindex = ifindex;
	(void)STR_COPY(h->ifname, ifname);
}

static void on_late(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("nothing was heard");
}

static void wait_for(struct heard *h, unsigned n)
{
	uv_timer_start(&h->deadline, on_late, 10000, 0);
	while (h->n < n) {
		uv_run(&h->loop, UV_RUN_ONCE);
		h->wakeups++;
	}
	uv_timer_stop(&h->deadline);
	assert_int_equal(h->n, n);
}

static int setup(void **state)
{
	struct heard *h = test_calloc(1, sizeof(*h));
	int fd = -1;
	fixture_new_host();
	h->pod = fixture_new_pod();
	assert_int_equal(uv_loop_init(&h->loop), 0);
	assert_int_equal(uv_timer_init(&h->loop, &h->deadline), 0);
	assert_int_equal(sysfs_open("/sys", &h->sysfs, NULL), 0);
	assert_int_equal(mover_new(h->sysfs, &h->mover, NULL), 0);
	assert_int_equal(mover_open_watch(h->mover, h->pod, &fd, NULL), 0);
	assert_int_equal(pod_watch_start(&h->loop, fd, on_gone, h, &h->watch, NULL), 0);
	*state = h;
	return 0;
}

static int teardown(void **state)
{
	struct heard *h = *state;
	pod_watch_close(h->watch);
	uv_close((uv_handle_t *)&h->deadline, NULL);
	uv_run(&h->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&h->loop), 0);
	mover_free(h->mover);
	sysfs_close(h->sysfs);
	close(h->pod);
	test_free(h);
	return 0;
}

static void test_deleted(void **state)
{
	struct heard *h = *state;
	in_pod(h->pod, "ip link add net1 index 77 type ifb");
	in_pod(h->pod, "ip link del net1");
	wait_for(h, 1);
	assert_int_equal(h->ifindex, 77);
	assert_string_equal(h->ifname, "net1");
}

static void test_moved_away(void **state)
{
	struct heard *h = *state;
	int other = fixture_new_pod();
	in_pod(h->pod, "ip link add net2 index 78 type ifb");
	in_pod(h->pod, "ip link set net2 netns /proc/%d/fd/%d", (int)getpid(), other);
	wait_for(h, 1);
	assert_int_equal(h->ifindex, 78);
	close(other);
}

/* Links that flap, are renamed, addressed and enslaved wake nobody. */
static void test_only_what_leaves_is_heard(void **state)
{
	struct heard *h = *state;
	in_pod(h->pod, "ip link add net1 index 77 type ifb; ip link add br0 type bridge; ip link set net1 up; ip link set net1 master br0;"
	               "ip link set net1 nomaster; ip addr add 192.0.2.1/24 dev net1; ip link set net1 down; ip link set net1 name net3");
	assert_int_equal(uv_run(&h->loop, UV_RUN_NOWAIT) != 0, 1); /* the watch is alive */
	assert_int_equal(h->n, 0);
	in_pod(h->pod, "ip link del net3");
	wait_for(h, 1);
	assert_string_equal(h->ifname, "net3");
	assert_true(h->wakeups <= 2);
}

/* More than the socket takes: told as "it may be any". */
static void test_lost_notifications(void **state)
{
	struct heard *h = *state;
	in_pod(h->pod, "for i in $(seq 400); do echo link add name g$i type ifb; done | ip -batch -");
	in_pod(h->pod, "for i in $(seq 400); do echo link del dev g$i; done | ip -batch -");
	uv_update_time(&h->loop); /* that took seconds: the deadline would be over before it begins */
	uv_timer_start(&h->deadline, on_late, 10000, 0);
	/* A machine whose sockets take that much by default hears them all. */
	while (h->lost == 0 && h->n < 400)
		uv_run(&h->loop, UV_RUN_ONCE);
	uv_timer_stop(&h->deadline);
	assert_true(h->lost > 0 || h->n == 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_deleted, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_moved_away, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_only_what_leaves_is_heard, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_lost_notifications, setup, teardown),
	};
	return fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
