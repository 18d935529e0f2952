/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor tells which eBPF programs are on a device: at the start, when filters come and go, and when anything happens to the link. */
#include "netns_fixture.h"
#include "sysfs_fixture.h"

#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <sys/syscall.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/bpf.h"
#include "netlink/monitor.h"

struct world {
	uv_loop_t loop;
	uv_timer_t deadline, pause;
	bool late, over;
	struct machine machine;
	struct monitor *monitor;
	struct device_facts nic; /* as last told */
	unsigned ends, tells;
};

static void see(void *user)
{
	(void)user;
}
static void see_device(const struct device_facts *facts, void *user)
{
	struct world *w = user;
	if (!str_equal(facts->name, "nic0"))
		return;
	w->nic = *facts;
	w->tells++;
}
static void see_gone(const char *name, void *user)
{
	(void)name, (void)user;
}
static void see_end(void *user)
{
	((struct world *)user)->ends++;
}
static void see_uplinks(const int32_t *ifindexes, size_t n, void *user)
{
	(void)ifindexes, (void)n, (void)user;
}
static void see_failed(int result, const char *what, void *user)
{
	(void)user;
	fail_msg("%s (%d)", what, result);
}

static void on_deadline(uv_timer_t *timer)
{
	((struct world *)timer->data)->late = true;
}

static void on_pause(uv_timer_t *timer)
{
	((struct world *)timer->data)->over = true;
}

#define WAIT_FOR(w, condition)                                                                                                             \
	do {                                                                                                                               \
		(w)->late = false;                                                                                                         \
		uv_timer_start(&(w)->deadline, on_deadline, 10000, 0);                                                                     \
		while (!(condition) && !(w)->late)                                                                                         \
			uv_run(&(w)->loop, UV_RUN_ONCE);                                                                                   \
		uv_timer_stop(&(w)->deadline);                                                                                             \
		if (!(condition))                                                                                                          \
			fail_msg("did not happen in ten seconds: %s; filters \"%s\" tcx \"%s\"", #condition, (w)->nic.tc_filters,          \
			         (w)->nic.tcx_programs);                                                                                   \
	} while (0)

static int load(const char *name)
{
	const struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = -1}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	a.insns = (uint64_t)(uintptr_t)code;
	a.insn_cnt = ELEMENTS(code);
	a.license = (uint64_t)(uintptr_t) "GPL";
	strcpy(a.prog_name, name);
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
}

static int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	uv_timer_init(&w->loop, &w->deadline);
	uv_timer_init(&w->loop, &w->pause);
	w->deadline.data = w->pause.data = w;
	fixture_new_host();
	machine_init(&w->machine);
	machine_add_virtual(&w->machine, "lo");
	machine_add_virtual(&w->machine, "nic0");
	host("ip link add nic0 type ifb && mount -t bpf bpf /sys/fs/bpf");
	*state = w;
	return 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	monitor_close(w->monitor);
	uv_close((uv_handle_t *)&w->deadline, NULL);
	uv_close((uv_handle_t *)&w->pause, NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	machine_free(&w->machine);
	free(w);
	host("umount /sys/fs/bpf");
	return 0;
}

static void start(struct world *w)
{
	struct error e = {0};
	const struct monitor_options o = {
	    .sysfs = w->machine.sysfs,
	    .callbacks =
		{.begin = see, .device = see_device, .gone = see_gone, .end = see_end, .uplinks = see_uplinks, .failed = see_failed},
	    .user = w};
	if (monitor_start(&w->loop, &o, &w->monitor, &e) < 0)
		fail_msg("%s", e.text);
	WAIT_FOR(w, w->ends == 1);
}

static bool pin_programs(int *ret_ingress, int *ret_egress)
{
	*ret_ingress = load("handle_ingress");
	*ret_egress = load("handle_egress");
	if (*ret_egress < 0) {
		print_message("SKIPPED: no eBPF program can be loaded: %s\n", strerror(errno));
		return false;
	}
	assert_int_equal(bpf_pin(*ret_ingress, "/sys/fs/bpf/in"), 0);
	assert_int_equal(bpf_pin(*ret_egress, "/sys/fs/bpf/out"), 0);
	return true;
}

static void filters_are_told_as_they_come_and_go(void **state)
{
	struct world *w = *state;
	int in, out;
	if (!pin_programs(&in, &out))
		return;
	start(w);
	assert_false(w->nic.ebpf);
	host("tc qdisc add dev nic0 clsact && tc filter add dev nic0 egress protocol ip u32 match u32 0 0");
	host("tc filter add dev nic0 ingress bpf da object-pinned /sys/fs/bpf/in");
	WAIT_FOR(w, str_equal(w->nic.tc_filters, "in:[*fsobj]"));
	assert_true(w->nic.ebpf);
	host("tc filter add dev nic0 egress bpf da object-pinned /sys/fs/bpf/out && "
	     "tc filter add dev nic0 egress bpf da object-pinned /sys/fs/bpf/in");
	WAIT_FOR(w, str_equal(w->nic.tc_filters, "in:[*fsobj],out:[*fsobj]")); /* sorted, and each once */
	assert_string_equal(w->nic.tcx_programs, "");
	host("tc filter del dev nic0 ingress");
	host("tc qdisc del dev nic0 clsact");
	WAIT_FOR(w, !w->nic.ebpf);
	assert_string_equal(w->nic.tc_filters, "");
	close(in);
	close(out);
}

static void programs_are_known_at_the_start_and_after_link_events(void **state)
{
	struct world *w = *state;
	int in, out;
	int32_t ifindex = (int32_t)if_nametoindex("nic0");
	if (!pin_programs(&in, &out))
		return;
	bool tcx = bpf_attach(ifindex, BPF_AT_TCX_INGRESS, in) == 0;
	host("tc qdisc add dev nic0 clsact && tc filter add dev nic0 ingress bpf da object-pinned /sys/fs/bpf/in");
	start(w);
	assert_int_equal(w->tells, 1); /* not first without and then with */
	assert_true(w->nic.ebpf);
	assert_string_equal(w->nic.tc_filters, "in:[*fsobj]");
	if (tcx) {
		assert_string_equal(w->nic.tcx_programs, "handle_ingress");
		assert_int_equal(bpf_attach(ifindex, BPF_AT_TCX_EGRESS, out), 0); /* of which nobody tells */
		host("ip link set nic0 up && ip link set nic0 down");
		WAIT_FOR(w, str_equal(w->nic.tcx_programs, "handle_egress,handle_ingress"));
	} else {
		print_message("SKIPPED: the part about tcx, which this kernel does not have\n");
	}
	close(in);
	close(out);
}

/* The kernel tells the listeners of filters of each question about a qdisc: ours must not be the reason to ask again. */
static void looking_is_no_reason_to_look(void **state)
{
	struct world *w = *state;
	struct monitor_counters before, after = {0};
	host("tc qdisc add dev nic0 clsact && tc filter add dev nic0 ingress protocol ip u32 match u32 0 0");
	start(w);
	w->late = false;
	uv_timer_start(&w->deadline, on_deadline, 10000, 0);
	do {
		before = after;
		w->over = false;
		uv_timer_start(&w->pause, on_pause, 300, 0); /* ten times as long as one round takes */
		while (!w->over)
			uv_run(&w->loop, UV_RUN_ONCE);
		monitor_count(w->monitor, &after);
	} while (!w->late && after.notifications != before.notifications);
	uv_timer_stop(&w->deadline);
	if (w->late)
		fail_msg("still not quiet after ten seconds and %" PRIu64 " notifications", after.notifications);
}

/* The pool's thread may still be at it. */
static void closing_at_any_time_is_clean(void **state)
{
	struct world *w = *state;
	struct error e = {0};
	const struct monitor_options o = {
	    .sysfs = w->machine.sysfs,
	    .callbacks =
		{.begin = see, .device = see_device, .gone = see_gone, .end = see_end, .uplinks = see_uplinks, .failed = see_failed},
	    .user = w};
	for (unsigned turns = 0; turns < 12; turns++) {
		struct monitor *m;
		assert_int_equal(monitor_start(&w->loop, &o, &m, &e), 0);
		for (unsigned i = 0; i < turns; i++)
			uv_run(&w->loop, UV_RUN_NOWAIT);
		monitor_close(m);
		uv_run(&w->loop, UV_RUN_DEFAULT);
	}
}

#define kernel_test(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    kernel_test(filters_are_told_as_they_come_and_go),
	    kernel_test(programs_are_known_at_the_start_and_after_link_events),
	    kernel_test(looking_is_no_reason_to_look),
	    kernel_test(closing_at_any_time_is_clean),
	};
	return fixture_possible() ? cmocka_run_group_tests(tests, NULL, NULL) : 0;
}
