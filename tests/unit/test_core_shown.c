/* SPDX-License-Identifier: Apache-2.0 */
/* Core: what the slices show of a device on its way into a pod and back. The kernel shows it down and without addresses meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "core/filter.h"
#include "core_fixture.h"

#define FILTER "attributes['dra.net/state'].StringValue == 'up' && 'dra.net/ipv4' in attributes"

static struct device_facts facts(bool up)
{
	struct device_facts f = facts_of(0);
	f.mtu = 1500;
	STR_COPY(f.state, up ? "up" : "down");
	STR_COPY(f.ipv4, up ? "10.0.0.1/24" : "");
	return f;
}

static void see(struct run *r, struct device_facts f)
{
	feed(r, (struct event){.type = EVENT_DEVICE, .device = &f});
}

static struct device_facts shown(struct run *r)
{
	struct slice_view slice;
	core_slice(r->core, 0, &slice);
	assert_int_equal(slice.n, 1);
	return *slice.devices[0];
}

static void assert_shown(struct run *r, bool up, uint32_t mtu)
{
	struct device_facts is = shown(r);
	assert_string_equal(is.state, up ? "up" : "down");
	assert_string_equal(is.ipv4, up ? "10.0.0.1/24" : "");
	assert_int_equal(is.mtu, mtu);
}

/* Until nothing is left but the move, whose number is returned. How often something was to be published is added to `published`. */
static uint64_t work(struct run *r, size_t *published)
{
	uint64_t move = 0;
	while (r->fx.n > 0) {
		struct effects fx = r->fx;
		r->fx = (struct effects){0};
		for (size_t i = 0; i < fx.n; i++) {
			const struct effect *f = &fx.v[i];
			*published += f->type == EFFECT_PUBLISH;
			if (f->type == EFFECT_ATTACH || f->type == EFFECT_DETACH)
				move = f->op;
			else if (f->type == EFFECT_PIN)
				feed(r, (struct event){.type = EVENT_DONE, .done = {.op = f->op, .netns_inode = 1}});
			else
				perform(r, f);
		}
		effects_free(&fx);
	}
	return move;
}

static void hook(struct run *r, enum event_type type)
{
	static const struct sandbox sandbox = {.id = "sandbox", .pod = {.uid = "pod"}, .netns = "/run/netns/pod"};
	feed(r, (struct event){.type = type, .hook = {.call = 1, .sandbox = &sandbox, .deadline = UINT64_MAX}});
}

static void begin_as(struct run *r, struct filter *filter, struct device_facts as)
{
	const struct core_options options = {.driver = "dra.net", .node = "node", .boot_id = "boot", .filter = filter};
	static const char *const configs[] = {"{}"};
	*r = (struct run){.now = 1, .configs = configs, .n_configs = 1};
	assert_int_equal(core_new(&options, &r->core), 0);
	feed(r, (struct event){.type = EVENT_RUNTIME_UP, .runtime = {.can_gate = true}});
	see_devices(r, 0);
	see(r, as);
	ask(r, EVENT_PREPARE, "first");
	assert_string_equal(r->error, "");
}

static void begin(struct run *r, struct filter *filter)
{
	begin_as(r, filter, facts(true));
}

static void test_there_and_back(void **state)
{
	(void)state;
	struct filter *filter;
	struct run r;
	struct error e = {0};
	const struct pod_state pod = {.ifname = "eth0"};
	size_t published = 0;
	assert_int_equal(filter_compile(FILTER, &filter, NULL, &e), 0);
	begin(&r, filter);
	hook(&r, EVENT_RUN_SANDBOX);
	uint64_t attach = work(&r, &published);
	assert_true(attach > 0);
	published = 0;
	see(&r, facts(false));
	assert_shown(&r, true, 1500);
	feed(&r, (struct event){.type = EVENT_DEVICE_GONE, .device_gone = "nic0"});
	assert_shown(&r, true, 1500);
	feed(&r, (struct event){.type = EVENT_DONE, .done = {.op = attach, .place = PLACE_POD, .pod = &pod}});
	assert_int_equal(work(&r, &published), 0);
	assert_shown(&r, true, 1500);
	assert_true(published <= 1); /* the publisher compares: it is what the slice has */

	published = 0;
	hook(&r, EVENT_STOP_SANDBOX);
	uint64_t detach = work(&r, &published);
	assert_true(detach > 0);
	see(&r, facts(false));
	assert_shown(&r, true, 1500);
	assert_int_equal(published, 0);
	struct device_facts home = facts(true);
	see(&r, home);
	feed(&r, (struct event){.type = EVENT_DONE, .done = {.op = detach, .place = PLACE_HOST}});
	work(&r, &published);
	assert_shown(&r, true, 1500);
	published = 0;
	home.mtu = 1400;
	see(&r, home);
	work(&r, &published);
	assert_shown(&r, true, 1400);
	assert_int_equal(published, 1);
	end(&r);
	filter_free(filter);
}

/* What the host did with it since Prepare is shown until the move begins, and again when the move was undone. */
static void test_an_attach_that_fails(void **state)
{
	(void)state;
	struct run r;
	size_t published = 0;
	begin(&r, NULL);
	work(&r, &published);
	published = 0;
	see(&r, facts(false));
	work(&r, &published);
	assert_shown(&r, false, 1500);
	assert_int_equal(published, 1);
	published = 0;
	hook(&r, EVENT_RUN_SANDBOX);
	uint64_t attach = work(&r, &published);
	see(&r, facts(false));
	assert_int_equal(work(&r, &published), 0);
	assert_shown(&r, true, 1500); /* as at Prepare, as long as it is away */
	assert_int_equal(published, 1);
	published = 0;
	feed(&r, (struct event){.type = EVENT_DONE,
	                        .done = {.op = attach, .place = PLACE_HOST, .result = -EBUSY, .error = "it cannot be moved"}});
	work(&r, &published);
	assert_shown(&r, false, 1500);
	assert_int_equal(published, 1);
	end(&r);
}

/* The attach does to it what makes it as it was at Prepare: that is no news of the kernel's, and not what the slice has. */
static void test_back_to_what_it_was(void **state)
{
	(void)state;
	struct run r;
	size_t published = 0;
	begin_as(&r, NULL, facts(false));
	see(&r, facts(true));
	work(&r, &published);
	assert_shown(&r, true, 1500);
	published = 0;
	hook(&r, EVENT_RUN_SANDBOX);
	assert_true(work(&r, &published) > 0);
	see(&r, facts(false));
	work(&r, &published);
	assert_shown(&r, false, 1500);
	assert_int_equal(published, 1);
	end(&r);
}

/* A PCI function stays on the host without its netdev. When an attach ends half way it is shown like that; and when it is home the monitor
 * tells what core expects already, so that the slice has to be written before. */
static void test_home_from_half_way(void **state)
{
	(void)state;
	struct run r;
	size_t published = 0;
	struct device_facts bare = facts(false);
	bare.ifindex = 0;
	bare.ifname[0] = bare.state[0] = '\0';
	begin(&r, NULL);
	hook(&r, EVENT_RUN_SANDBOX);
	uint64_t attach = work(&r, &published);
	see(&r, bare);
	feed(&r, (struct event){.type = EVENT_DONE,
	                        .done = {.op = attach, .place = PLACE_POD, .result = -EIO, .error = "it cannot be taken back"}});
	work(&r, &published);
	assert_int_equal(shown(&r).ifindex, 0);
	hook(&r, EVENT_STOP_SANDBOX);
	uint64_t detach = work(&r, &published);
	assert_true(detach > 0);
	published = 0;
	feed(&r, (struct event){.type = EVENT_DONE, .done = {.op = detach, .place = PLACE_HOST}});
	see(&r, facts(true));
	work(&r, &published);
	assert_shown(&r, true, 1500);
	assert_true(published > 0);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_there_and_back),
	    cmocka_unit_test(test_an_attach_that_fails),
	    cmocka_unit_test(test_back_to_what_it_was),
	    cmocka_unit_test(test_home_from_half_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
