/* SPDX-License-Identifier: Apache-2.0 */
/* Core: RDMA devices and their character devices, with and without a netdev, in both modes. nic0 and nic1 are given to a pod. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "core_fixture.h"

enum { DEVICES = 2, MINOR_ON_HOST = 192, MINOR_IN_POD = 200 };

static struct world {
	struct run run;
	bool netdev, exclusive;
	uint8_t protocol;
	bool hold_attach; /* attaches are not answered */
	bool flips;       /* while a device's state is read, its netdev goes to, or comes from, somebody else */
	uint64_t held;
	int attach_result;
	bool attach_rdma;
	bool lost;         /* looks find the netdev alone */
	uint64_t patience; /* of the runtime; 0 = endless */
	uint32_t minor;    /* of the uverbs in the pod */
	/* What was seen: */
	int token; /* the last, -1 = none */
	struct rdma_node nodes[8];
	size_t n_nodes, probes, tokens;
	bool replied;
	char error[ERROR_TEXT_MAX], reason[32], event[64];
} w;

static struct rdma_state rdma_of(size_t i, uint32_t minor)
{
	struct rdma_state s = {.name = "mlx5_0",
	                       .guid = i + 1,
	                       .exclusive = w.exclusive,
	                       .n_nodes = 2,
	                       .nodes = {{"/dev/infiniband/uverbs0", 231, 0, 0666, 0, 0}, {"/dev/infiniband/rdma_cm", 10, 58, 0666, 0, 0}}};
	s.name[5] = s.nodes[0].path[22] = (char)('0' + i);
	s.nodes[0].minor = minor + (uint32_t)i;
	return s;
}

static struct device_facts rdma_facts(size_t i)
{
	struct device_facts f = facts_of(i);
	if (!w.netdev) {
		f.ifindex = 0;
		f.ifname[0] = 0;
	}
	STR_COPY(f.rdma_device, rdma_of(i, 0).name);
	f.rdma = true;
	f.rdma_protocol = w.protocol;
	return f;
}

static void see(struct device_facts f)
{
	feed(&w.run, (struct event){.type = EVENT_DEVICE, .device = &f});
}

static void begin(bool netdev, bool exclusive)
{
	w = (struct world){.netdev = netdev, .exclusive = exclusive, .protocol = RDMA_PROTOCOL_IB, .token = -1, .minor = MINOR_IN_POD};
	start(&w.run);
	feed(&w.run, (struct event){.type = EVENT_RUNTIME_UP, .runtime = {.can_gate = true}});
	feed(&w.run, (struct event){.type = EVENT_RECOVERED});
	feed(&w.run, (struct event){.type = EVENT_INVENTORY_BEGIN});
	for (size_t i = 0; i < DEVICES; i++)
		see(rdma_facts(i));
	feed(&w.run, (struct event){.type = EVENT_INVENTORY_END});
	feed(&w.run, (struct event){.type = EVENT_UPLINKS, .uplinks = {.ifindexes = &(int32_t){0}}});
}

/* ---- the world ------------------------------------------------------------------------------------------------------------------- */

static void answer_snapshot(const struct effect *f)
{
	size_t i = (size_t)(f->snapshot.device[3] - '0');
	struct host_state host = {0};
	if (w.netdev)
		host = host_of(i);
	assert_string_equal(f->snapshot.rdma_device, rdma_of(i, 0).name);
	host.rdma = rdma_of(i, MINOR_ON_HOST);
	if (w.flips) {
		w.netdev = !w.netdev;
		see(rdma_facts(i));
	}
	feed(&w.run, (struct event){.type = EVENT_DONE, .done = {.op = f->op, .host = &host}});
}

static void answer_move(const struct effect *f)
{
	size_t i = (size_t)(f->move.plan->facts.name[3] - '0');
	bool attach = f->type == EFFECT_ATTACH, in_pod = f->move.sandbox[0] && f->type != EFFECT_DETACH;
	struct pod_state pod = {.rdma = rdma_of(i, w.exclusive ? w.minor : MINOR_ON_HOST)};
	struct event e = {.type = EVENT_DONE, .done = {.op = f->op, .place = in_pod ? PLACE_POD : PLACE_HOST, .pod = &pod}};
	STR_COPY(pod.ifname, f->move.plan->pod.ifname);
	w.probes += f->type == EFFECT_PROBE;
	if (f->type == EFFECT_PROBE && w.lost)
		pod.rdma = (struct rdma_state){0};
	if (attach && w.attach_result) {
		e.done.result = w.attach_result;
		e.done.place = PLACE_HOST;
		e.done.rdma = w.attach_rdma;
		e.done.error = "it cannot be moved";
	}
	feed(&w.run, e);
}

static void take_token(const struct effect *f)
{
	w.token = (int)f->token.token;
	w.tokens++;
	w.n_nodes = f->token.n_nodes;
	assert_true(w.n_nodes <= ELEMENTS(w.nodes));
	for (size_t i = 0; i < w.n_nodes; i++)
		w.nodes[i] = f->token.nodes[i];
}

static void answer(const struct effect *f)
{
	if (f->type == EFFECT_TOKEN)
		take_token(f);
	if (f->type == EFFECT_REPLY_HOOK) {
		w.replied = true;
		STR_CUT(w.error, f->reply_hook.error ? f->reply_hook.error : "");
	}
	if (f->type == EFFECT_STATUS)
		STR_CUT(w.reason, f->status.n ? f->status.devices[0].reason : "");
	if (f->type == EFFECT_EVENT)
		STR_CUT(w.event, f->event.reason);
	if (f->type == EFFECT_SNAPSHOT)
		answer_snapshot(f);
	else if (f->type == EFFECT_ATTACH && w.hold_attach)
		w.held = f->op;
	else if (f->type == EFFECT_ATTACH || f->type == EFFECT_DETACH || f->type == EFFECT_PROBE)
		answer_move(f);
	else if (f->type == EFFECT_PIN)
		feed(&w.run, (struct event){.type = EVENT_DONE, .done = {.op = f->op, .netns_inode = 42}});
	else
		perform(&w.run, f);
}

/* Everything that follows by itself, without waiting for any time. */
static void settle(void)
{
	for (int i = 0; i < ROUNDS && w.run.fx.n; i++) {
		struct effects fx = w.run.fx;
		w.run.fx = (struct effects){0};
		for (size_t k = 0; k < fx.n; k++)
			answer(&fx.v[k]);
		effects_free(&fx);
	}
	assert_int_equal(w.run.fx.n, 0);
}

static const char *prepare(const char *first, const char *second)
{
	const char *const configs[] = {first, second};
	const struct claim_ref ref = claim("uid");
	w.run.configs = configs;
	w.run.n_configs = second ? 2 : 1;
	w.run.answered = false;
	feed(&w.run, (struct event){.type = EVENT_PREPARE, .request = {.call = 1, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
	settle();
	assert_true(w.run.answered);
	return w.run.error;
}

static void hook(enum event_type type)
{
	const struct sandbox s = {
	    .id = "sandbox", .pod = {.uid = "pod", .namespace_ = "default", .name = "pod"}, .netns = "/run/netns/pod"};
	w.replied = false;
	feed(&w.run, (struct event){.type = type,
	                            .hook = {.call = 2, .sandbox = &s, .deadline = w.patience ? w.run.now + w.patience : UINT64_MAX}});
	settle();
}

static void finish(void)
{
	struct core_counts counts;
	core_count(w.run.core, &counts);
	assert_int_equal(counts.impossible, 0);
	end(&w.run);
}

static void assert_nodes(uint32_t minor)
{
	assert_int_equal(w.n_nodes, 3); /* rdma_cm is one for both */
	assert_string_equal(w.nodes[0].path, "/dev/infiniband/uverbs0");
	assert_string_equal(w.nodes[1].path, "/dev/infiniband/rdma_cm");
	assert_string_equal(w.nodes[2].path, "/dev/infiniband/uverbs1");
	assert_int_equal(w.nodes[0].minor, minor);
	assert_int_equal(w.nodes[2].minor, minor + 1);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------- */

/* The nodes stay what they are, so a container may be made while the netdevs are on their way. */
static void test_shared(void **state)
{
	(void)state;
	begin(true, false);
	assert_string_equal(prepare("{}", "{}"), "");
	w.hold_attach = true;
	hook(EVENT_RUN_SANDBOX);
	assert_true(w.replied);
	assert_string_equal(w.error, "");
	assert_int_equal(w.token, TOKEN_PENDING);
	assert_nodes(MINOR_ON_HOST);
	finish();

	begin(true, false);
	assert_string_equal(prepare("{}", "{}"), "");
	hook(EVENT_RUN_SANDBOX);
	assert_int_equal(w.token, TOKEN_FINAL);
	assert_nodes(MINOR_ON_HOST);
	assert_string_equal(w.reason, "NetworkDeviceReady");
	hook(EVENT_STOP_SANDBOX);
	assert_int_equal(w.token, TOKEN_NONE);
	assert_int_equal(w.n_nodes, 0);
	finish();
}

/* Nobody knows the numbers before the move: the runtime must not make containers yet. */
static void test_exclusive(void **state)
{
	(void)state;
	begin(true, true);
	assert_string_equal(prepare("{}", "{}"), "");
	w.hold_attach = true;
	hook(EVENT_RUN_SANDBOX);
	assert_false(w.replied);
	assert_true(w.token == -1 || w.token == TOKEN_NONE);
	assert_true(w.held != 0);
	finish();

	begin(true, true);
	assert_string_equal(prepare("{}", "{}"), "");
	hook(EVENT_RUN_SANDBOX);
	assert_true(w.replied);
	assert_string_equal(w.error, "");
	assert_int_equal(w.token, TOKEN_FINAL);
	assert_nodes(MINOR_IN_POD);

	/* Somebody made them anew in the pod: the next container gets those. */
	w.minor = MINOR_IN_POD + 10;
	feed(&w.run, (struct event){.type = EVENT_POD_DEVICE_GONE, .pod_device_gone = {.sandbox = "sandbox"}});
	settle();
	assert_int_equal(w.probes, 2);
	assert_int_equal(w.token, TOKEN_FINAL);
	assert_nodes(MINOR_IN_POD + 10);
	finish();
}

/* Moves may take longer than the runtime waits. Until they are done there is no file that lets a container in. */
static void test_exclusive_and_slow(void **state)
{
	(void)state;
	begin(true, true);
	w.patience = 2000;
	assert_string_equal(prepare("{}", "{}"), "");
	w.hold_attach = true;
	hook(EVENT_RUN_SANDBOX);
	assert_false(w.replied);
	w.run.now = core_deadline(w.run.core);
	feed(&w.run, (struct event){.type = EVENT_TICK});
	settle();
	assert_true(w.replied);
	assert_string_equal(w.error, "");
	assert_true(w.token == -1 || w.token == TOKEN_NONE);
	hook(EVENT_CREATE_CONTAINER);
	assert_false(w.replied);
	w.run.now = core_deadline(w.run.core);
	feed(&w.run, (struct event){.type = EVENT_TICK});
	settle();
	assert_string_equal(w.error, "the pod's devices are still on their way into it: try again");
	finish();
}

/* Its driver was unloaded under the pod: no container is made without what was promised, nor with numbers that others may have now. */
static void test_lost(void **state)
{
	(void)state;
	for (int exclusive = 0; exclusive < 2; exclusive++) {
		begin(true, exclusive);
		assert_string_equal(prepare("{}", NULL), "");
		hook(EVENT_RUN_SANDBOX);
		hook(EVENT_CREATE_CONTAINER);
		assert_string_equal(w.error, "");
		w.lost = true;
		feed(&w.run, (struct event){.type = EVENT_POD_DEVICE_GONE, .pod_device_gone = {.sandbox = "sandbox"}});
		settle();
		for (int i = 0; i < 3; i++) {
			w.run.now += 1000;
			hook(EVENT_CREATE_CONTAINER);
			assert_true(w.replied);
			assert_string_equal(w.error,
			                    "claim default/claim: the RDMA device mlx5_0 of device nic0 is not in the pod any more");
			assert_int_equal(w.n_nodes, 0);
		}
		w.lost = false;
		w.run.now += 1000;
		hook(EVENT_CREATE_CONTAINER);
		assert_string_equal(w.error, "the pod's character devices were made anew meanwhile: try again");
		hook(EVENT_CREATE_CONTAINER);
		assert_string_equal(w.error, "");
		assert_int_equal(w.n_nodes, 2);
		assert_int_equal(w.probes, 5);
		finish();
	}
}

static void test_without_netdev(void **state)
{
	(void)state;
	for (int exclusive = 0; exclusive < 2; exclusive++) {
		begin(false, exclusive);
		/* Two of them have no names that could clash. */
		assert_string_equal(prepare("{rdma: {umad: false}}", "{}"), "");
		hook(EVENT_RUN_SANDBOX);
		assert_string_equal(w.error, "");
		assert_int_equal(w.token, TOKEN_FINAL);
		assert_nodes(exclusive ? MINOR_IN_POD : MINOR_ON_HOST);
		assert_string_equal(w.reason, "RDMAOnlyDeviceReady");
		/* In shared mode the host goes on to see it; that tells nothing. */
		size_t probes = w.probes;
		see(rdma_facts(0));
		settle();
		assert_int_equal(w.probes, probes + exclusive);
		probes = w.probes;
		feed(&w.run, (struct event){.type = EVENT_DEVICE_GONE, .device_gone = "nic1"});
		settle();
		assert_int_equal(w.probes, probes + !exclusive);
		hook(EVENT_STOP_SANDBOX);
		assert_int_equal(w.token, TOKEN_NONE);
		finish();
	}
}

static void test_refused(void **state)
{
	(void)state;
	begin(false, false);
	assert_string_equal(prepare("{interface: {name: net1}, routes: [{destination: '0.0.0.0/0', scope: 253}]}", NULL),
	                    "device nic0: interface.name: cannot be set: the device has no network interface; routes: cannot be set: the "
	                    "device has no network interface");
	assert_string_equal(prepare("{rdma: {umad: true}}", NULL),
	                    "device nic0: rdma.umad: the RDMA device \"mlx5_0\" has no such character device");
	finish();
}

static bool is_offered(const char *name)
{
	char why[ERROR_TEXT_MAX];
	struct slice_view slice;
	core_slice(w.run.core, 0, &slice);
	for (size_t i = 0; i < slice.n; i++)
		if (str_equal(slice.devices[i]->name, name)) {
			core_unoffered(w.run.core, name, why, sizeof(why));
			assert_string_equal(why, "");
			return true;
		}
	return false;
}

static void expect_not_offered(const char *name, const char *because)
{
	char why[ERROR_TEXT_MAX], error[ERROR_TEXT_MAX];
	assert_false(is_offered(name));
	core_unoffered(w.run.core, name, why, sizeof(why));
	assert_string_equal(why, because);
	snprintf(error, sizeof(error), "device %s: %s", name, because);
	assert_string_equal(prepare("{}", NULL), error);
}

/* What speaks over Ethernet has a netdev: a NIC's stands on the NIC. */
static void test_half_of_a_nic(void **state)
{
	(void)state;
	static const struct {
		uint8_t protocol;
		bool is_nic, whole;
	} rows[] = {
	    {RDMA_PROTOCOL_ROCE, true, false},   {RDMA_PROTOCOL_IWARP, true, false},
	    {RDMA_PROTOCOL_USNIC, true, false},  {RDMA_PROTOCOL_ROCE, false, true}, /* PVRDMA */
	    {RDMA_PROTOCOL_IWARP, false, true},                                     /* eRDMA */
	    {RDMA_PROTOCOL_UNKNOWN, true, true},                                    /* EFA */
	    {RDMA_PROTOCOL_IB, false, true},     {RDMA_PROTOCOL_IB, true, true},    /* VPI */
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		begin(false, false);
		w.protocol = rows[i].protocol;
		struct device_facts f = rdma_facts(0);
		f.is_nic = rows[i].is_nic;
		see(f);
		if (!rows[i].whole) {
			expect_not_offered("nic0", "it has no network interface in the host's namespace");
		} else {
			assert_true(is_offered("nic0"));
			assert_string_equal(prepare("{}", NULL), "");
		}
		finish();
	}
}

/* Its netdev is here, and is a device that is never offered. */
static void test_netdev_that_cannot_leave(void **state)
{
	(void)state;
	for (int rdma = 0; rdma < 3; rdma++) {
		begin(false, false);
		struct device_facts function = rdma_facts(0), netdev = {.name = "wlan0", .ifname = "wlan0", .ifindex = 30, .hidden = true};
		STR_COPY(netdev.pci_address, function.pci_address);
		function.is_nic = true;
		function.rdma_protocol = rdma == 2 ? RDMA_PROTOCOL_IB : RDMA_PROTOCOL_ROCE;
		if (rdma == 0) {
			function.rdma = false;
			function.rdma_device[0] = '\0';
		}
		see(function);
		see(netdev);
		if (rdma < 2) {
			expect_not_offered("nic0", "its network interface wlan0 cannot leave the host");
		} else {
			assert_true(is_offered("nic0"));
			assert_string_equal(prepare("{}", NULL), "");
		}
		finish();
	}
}

/* A claim's device stays published without its netdev, which is in the pod; and when it is home, though the monitor did not see it yet. */
static void test_claimed_is_whole(void **state)
{
	(void)state;
	begin(true, false);
	w.protocol = RDMA_PROTOCOL_ROCE;
	struct device_facts nic = rdma_facts(0), bare = nic;
	nic.is_nic = bare.is_nic = true;
	bare.ifindex = 0;
	bare.ifname[0] = '\0';
	see(nic);
	assert_string_equal(prepare("{}", NULL), "");
	hook(EVENT_RUN_SANDBOX);
	see(bare);
	settle();
	assert_true(is_offered("nic0"));
	hook(EVENT_STOP_SANDBOX);
	assert_true(is_offered("nic0"));
	finish();
}

/* What is attached must be what was looked at, and checked: not the RDMA device alone for a NIC, nor a netdev of which nothing is kept. */
static void test_changed_while_it_was_read(void **state)
{
	(void)state;
	for (int netdev = 0; netdev < 2; netdev++) {
		begin(netdev, false);
		w.flips = true;
		assert_string_equal(prepare("{}", NULL), "device nic0: its network interface changed while its state was read: try again");
		w.flips = false;
		assert_string_equal(prepare("{}", NULL), "");
		finish();
	}
}

/* A PCI function is there without its netdev, and names its RDMA device: that is not the device that came home. */
static void test_function_without_its_netdev(void **state)
{
	(void)state;
	begin(true, false);
	assert_string_equal(prepare("{}", NULL), "");
	hook(EVENT_RUN_SANDBOX);
	assert_int_equal(w.token, TOKEN_FINAL);
	struct device_facts bare = rdma_facts(0);
	bare.ifindex = 0;
	bare.ifname[0] = 0;
	see(bare);
	settle();
	assert_int_equal(w.probes, 0);
	see(rdma_facts(0));
	settle();
	assert_int_equal(w.probes, 1);
	see(bare);
	hook(EVENT_STOP_SANDBOX);
	const struct claim_ref ref = claim("uid");
	w.run.answered = false;
	feed(&w.run, (struct event){.type = EVENT_UNPREPARE, .request = {.call = 3, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
	settle();
	assert_true(w.run.answered);
	assert_string_equal(w.run.error, "");
	/* The next claim is faster than the monitor, and gets all of it. */
	assert_string_equal(prepare("{interface: {name: net1}}", NULL), "");
	finish();
}

static void see_uplink(const struct core_device_view *d, void *user)
{
	char *names = user;
	if (d->uplink)
		strcat(strcat(names, d->facts->name), " ");
}

/* IPoIB that is not offered carries the default route: in exclusive mode it would go with its function. */
static void test_uplink_on_a_function(void **state)
{
	(void)state;
	for (int exclusive = 0; exclusive < 2; exclusive++) {
		begin(false, exclusive);
		struct device_facts function = rdma_facts(0), ipoib = {.name = "ib0", .ifname = "ib0", .ifindex = 30, .hidden = true};
		char uplinks[256] = "";
		STR_COPY(ipoib.pci_address, function.pci_address);
		function.rdma_exclusive = exclusive;
		see(function);
		see(ipoib);
		see((struct device_facts){.name = "eth9", .ifname = "eth9", .ifindex = 31}); /* of nothing and without a master */
		feed(&w.run, (struct event){.type = EVENT_UPLINKS, .uplinks = {.ifindexes = &(int32_t){30}, .n = 1}});
		core_devices(w.run.core, see_uplink, uplinks);
		assert_string_equal(uplinks, exclusive ? "ib0 nic0 " : "ib0 ");
		const char *error = prepare("{}", NULL);
		if (exclusive)
			assert_non_null(strstr(error, "default route"));
		else
			assert_string_equal(error, "");
		finish();
	}
}

static void test_events(void **state)
{
	(void)state;
	for (int rdma = 0; rdma < 2; rdma++) {
		begin(true, true);
		assert_string_equal(prepare("{}", NULL), "");
		w.attach_result = -EOPNOTSUPP;
		w.attach_rdma = rdma;
		hook(EVENT_RUN_SANDBOX);
		assert_true(w.replied);
		assert_string_equal(w.error, "claim default/claim: device nic0 is not in the pod: it cannot be moved");
		assert_string_equal(w.event, rdma ? "RDMADeviceAttachFailed" : "NetworkDeviceAttachFailed");
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_shared),
	    cmocka_unit_test(test_exclusive),
	    cmocka_unit_test(test_exclusive_and_slow),
	    cmocka_unit_test(test_lost),
	    cmocka_unit_test(test_without_netdev),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_half_of_a_nic),
	    cmocka_unit_test(test_netdev_that_cannot_leave),
	    cmocka_unit_test(test_claimed_is_whole),
	    cmocka_unit_test(test_changed_while_it_was_read),
	    cmocka_unit_test(test_function_without_its_netdev),
	    cmocka_unit_test(test_uplink_on_a_function),
	    cmocka_unit_test(test_events),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
