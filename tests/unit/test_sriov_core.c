/* SPDX-License-Identifier: Apache-2.0 */
/* Core: a PF is not to be had while one of its VFs is used. nic0 is the PF, the others are its VFs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core_fixture.h"

enum { PF, FIRST_VF, SECOND_VF, DEVICES };

static const char *const configs[DEVICES] = {"{interface: {name: net0}}", "{interface: {name: net1}}", "{interface: {name: net2}}"};

static struct device_facts facts(size_t i)
{
	struct device_facts f = facts_of(i);
	f.sriov = i == PF;
	f.sriov_vfs = i == PF ? DEVICES - 1 : 0;
	f.is_vf = i != PF;
	f.vf_index = (int32_t)i - FIRST_VF;
	if (f.is_vf)
		STR_COPY(f.pf_address, facts_of(PF).pci_address);
	return f;
}

static void see(struct run *r, struct device_facts f)
{
	feed(r, (struct event){.type = EVENT_DEVICE, .device = &f});
}

static void see_uplink(struct run *r, int32_t ifindex)
{
	feed(r, (struct event){.type = EVENT_UPLINKS, .uplinks = {.ifindexes = &ifindex, .n = 1}});
}

static void begin(struct run *r)
{
	start(r);
	feed(r, (struct event){.type = EVENT_RECOVERED});
	feed(r, (struct event){.type = EVENT_INVENTORY_BEGIN});
	for (size_t i = 0; i < DEVICES; i++)
		see(r, facts(i));
	feed(r, (struct event){.type = EVENT_INVENTORY_END});
	see_uplink(r, 0);
	feed(r, (struct event){.type = EVENT_PUBLISHED, .published = {.revision = UINT64_MAX}});
}

struct look {
	const char *name;
	bool offered;
	enum device_state state;
};

static void look(const struct core_device_view *d, void *user)
{
	struct look *l = user;
	if (!str_equal(d->facts->name, l->name))
		return;
	l->offered = d->offered;
	l->state = d->state;
}

static bool is_offered(struct run *r, size_t i)
{
	struct device_facts f = facts_of(i);
	struct look l = {.name = f.name};
	core_devices(r->core, look, &l);
	return l.offered;
}

/* What was told when the PF was withdrawn, since the last question; "" = it was not. */
static void withdrawn_because(struct run *r, char *ret, size_t size)
{
	ret[0] = '\0';
	for (size_t i = 0; i < r->fx.n; i++) {
		const struct effect *f = &r->fx.v[i];
		if (f->type == EFFECT_TRANSITION && str_equal(f->transition.device, facts_of(PF).name) &&
		    f->transition.to == DEVICE_DISCOVERED)
			str_copy(ret, size, f->transition.message ? f->transition.message : "no reason");
	}
	effects_free(&r->fx);
}

static void prepare(struct run *r, const char *uid, size_t first, size_t n)
{
	r->configs = configs + first;
	r->n_configs = n;
	r->first = first;
	ask(r, EVENT_PREPARE, uid);
}

static void test_vf_of_a_claim(void **state)
{
	(void)state;
	struct run r;
	begin(&r);
	assert_true(is_offered(&r, PF));
	prepare(&r, "vf", FIRST_VF, 1);
	assert_string_equal(r.error, "");
	assert_false(is_offered(&r, PF));
	assert_true(is_offered(&r, FIRST_VF));
	assert_true(is_offered(&r, SECOND_VF));
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error, "device nic0 (eth0): its VF nic1 (eth1) is held by claim default/claim");
	ask(&r, EVENT_UNPREPARE, "vf");
	assert_true(is_offered(&r, PF));
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error, "");
	end(&r);
}

static void test_withdrawn_with_its_reason(void **state)
{
	(void)state;
	char why[256];
	struct run r;
	begin(&r);
	effects_free(&r.fx);
	see_uplink(&r, facts_of(SECOND_VF).ifindex);
	withdrawn_because(&r, why, sizeof(why));
	assert_string_equal(why, "its VF nic2 (eth2) carries the node's default route, or stands under it");
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error, "device nic0 (eth0): its VF nic2 (eth2) carries the node's default route, or stands under it");
	see_uplink(&r, 0);
	feed(&r, (struct event){.type = EVENT_PUBLISHED, .published = {.revision = UINT64_MAX}});
	effects_free(&r.fx);

	struct device_facts pf = facts(PF);
	pf.vfs_away = 1;
	see(&r, pf);
	withdrawn_because(&r, why, sizeof(why));
	assert_string_equal(why, "1 of its VFs is in use without a claim: bound for user space, or in another namespace");
	pf.vfs_away = 2;
	see(&r, pf);
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error,
	                    "device nic0 (eth0): 2 of its VFs are in use without a claim: bound for user space, or in another namespace");
	pf.vfs_away = 0;
	see(&r, pf);
	assert_true(is_offered(&r, PF));
	end(&r);
}

/* A claim's VF in its pod is away as any other, and told as the claim's. */
static void test_claimed_vf_is_away(void **state)
{
	(void)state;
	struct run r;
	begin(&r);
	prepare(&r, "vf", FIRST_VF, 1);
	struct device_facts pf = facts(PF);
	feed(&r, (struct event){.type = EVENT_DEVICE_GONE, .device_gone = facts_of(FIRST_VF).name});
	pf.vfs_away = 1;
	see(&r, pf);
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error, "device nic0 (eth0): its VF nic1 (eth1) is held by claim default/claim");
	end(&r);
}

static void test_pf_of_a_claim(void **state)
{
	(void)state;
	struct run r;
	begin(&r);
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error, "");
	assert_true(is_offered(&r, FIRST_VF));
	prepare(&r, "vf", FIRST_VF, 1);
	assert_string_equal(r.error, "");
	assert_true(is_offered(&r, PF)); /* its claim is the older one */
	ask(&r, EVENT_UNPREPARE, "pf");
	assert_false(is_offered(&r, PF));
	end(&r);
}

static void test_both_in_one_claim(void **state)
{
	(void)state;
	struct run r;
	begin(&r);
	prepare(&r, "both", PF, 2);
	assert_string_equal(r.error, "device nic1 (eth1): its PF nic0 (eth0) is in the same claim");
	assert_true(is_offered(&r, PF));
	end(&r);
}

/* A pod begins when its PF was prepared already: the error of its attach. */
static void attach(struct run *r, char *error, size_t size)
{
	struct sandbox s = {.id = "sandbox", .pod = {.uid = "pod", .namespace_ = "default", .name = "pod"}, .netns = "/run/netns/pod"};
	error[0] = '\0';
	feed(r, (struct event){.type = EVENT_RUNTIME_UP, .runtime = {.can_gate = false}});
	feed(r, (struct event){.type = EVENT_RUN_SANDBOX, .hook = {.call = 2, .sandbox = &s, .deadline = r->now + 100}});
	for (int i = 0; i < ROUNDS && !error[0]; i++) {
		struct effects fx = r->fx;
		r->fx = (struct effects){0};
		for (size_t k = 0; k < fx.n; k++) {
			const struct effect *f = &fx.v[k];
			if (f->type == EFFECT_REPLY_HOOK)
				str_copy(error, size, f->reply_hook.error ? f->reply_hook.error : "attached");
			else if (f->type == EFFECT_ATTACH)
				str_copy(error, size, "moved");
			else
				perform(r, f);
		}
		if (!fx.n && core_deadline(r->core) != UINT64_MAX) {
			r->now = core_deadline(r->core);
			feed(r, (struct event){.type = EVENT_TICK});
		}
		effects_free(&fx);
	}
}

static void test_used_since_prepare(void **state)
{
	(void)state;
	static const struct {
		bool vf_claimed, vf_uplink;
		int32_t away;
		const char *error;
	} rows[] = {
	    {true, false, 0, "moved"},
	    {false, true, 0, "its VF nic2 (eth2) carries the node's default route, or stands under it"},
	    {false, false, 1, "1 of its VFs is in use without a claim: bound for user space, or in another namespace"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char error[ERROR_TEXT_MAX];
		struct run r;
		begin(&r);
		prepare(&r, "pf", PF, 1);
		assert_string_equal(r.error, "");
		if (rows[i].vf_claimed)
			prepare(&r, "vf", FIRST_VF, 1);
		assert_string_equal(r.error, "");
		if (rows[i].vf_uplink)
			see_uplink(&r, facts_of(SECOND_VF).ifindex);
		struct device_facts pf = facts(PF);
		pf.vfs_away = rows[i].away;
		see(&r, pf);
		attach(&r, error, sizeof(error));
		if (!strstr(error, rows[i].error))
			fail_msg("\"%s\", expected \"%s\"", error, rows[i].error);
		end(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vf_of_a_claim),      cmocka_unit_test(test_withdrawn_with_its_reason),
	    cmocka_unit_test(test_claimed_vf_is_away), cmocka_unit_test(test_pf_of_a_claim),
	    cmocka_unit_test(test_both_in_one_claim),  cmocka_unit_test(test_used_since_prepare),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
