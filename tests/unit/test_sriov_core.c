/* SPDX-License-Identifier: Apache-2.0 */
/* Core: a PF is not to be had while one of its VFs is used, nor a VF while a claim holds its PF. nic0 is the PF, the others are its VFs. */
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

/* What was told when it was withdrawn, since the last question; "" = it was not. */
static void withdrawn_because(struct run *r, size_t device, char *ret, size_t size)
{
	ret[0] = '\0';
	for (size_t i = 0; i < r->fx.n; i++) {
		const struct effect *f = &r->fx.v[i];
		if (f->type == EFFECT_TRANSITION && str_equal(f->transition.device, facts_of(device).name) &&
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

/* Its claim is read, and no more. */
static void reserve(struct run *r, const char *uid, size_t device)
{
	const struct claim_ref ref = claim(uid);
	r->configs = configs + device;
	r->n_configs = 1;
	r->first = device;
	feed(r, (struct event){.type = EVENT_PREPARE, .request = {.call = 1, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
	for (size_t i = 0; i < r->fx.n; i++)
		if (r->fx.v[i].type == EFFECT_CLAIM_GET) {
			struct effect get = r->fx.v[i];
			answer_read(r, &get);
			break;
		}
}

static const struct effect *reply_of(const struct run *r)
{
	for (size_t i = 0; i < r->fx.n; i++)
		if (r->fx.v[i].type == EFFECT_REPLY_PREPARE)
			return &r->fx.v[i];
	return NULL;
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
	withdrawn_because(&r, PF, why, sizeof(why));
	assert_string_equal(why, "its VF nic2 (eth2) carries the node's default route, or stands under it");
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error, "device nic0 (eth0): its VF nic2 (eth2) carries the node's default route, or stands under it");
	see_uplink(&r, 0);
	feed(&r, (struct event){.type = EVENT_PUBLISHED, .published = {.revision = UINT64_MAX}});
	effects_free(&r.fx);

	struct device_facts pf = facts(PF);
	pf.vfs_away = 1;
	see(&r, pf);
	withdrawn_because(&r, PF, why, sizeof(why));
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

/* From the moment in which it is reserved until it is home. */
static void test_pf_of_a_claim(void **state)
{
	(void)state;
	char why[256];
	struct run r;
	begin(&r);
	effects_free(&r.fx);
	reserve(&r, "pf", PF);
	withdrawn_because(&r, SECOND_VF, why, sizeof(why));
	assert_string_equal(why, "its PF nic0 (eth0) is held by claim default/claim");
	for (size_t vf = FIRST_VF; vf < DEVICES; vf++)
		assert_false(is_offered(&r, vf));
	assert_true(is_offered(&r, PF));
	end(&r);

	begin(&r);
	prepare(&r, "pf", PF, 1);
	assert_string_equal(r.error, "");
	assert_false(is_offered(&r, FIRST_VF));
	prepare(&r, "vf", FIRST_VF, 1);
	assert_string_equal(r.error, "device nic1 (eth1): its PF nic0 (eth0) is held by claim default/claim");
	prepare(&r, "pf", PF, 1); /* the kubelet asks again */
	assert_string_equal(r.error, "");
	ask(&r, EVENT_UNPREPARE, "pf");
	assert_true(is_offered(&r, FIRST_VF));
	prepare(&r, "vf", FIRST_VF, 1);
	assert_string_equal(r.error, "");
	assert_false(is_offered(&r, PF));
	prepare(&r, "vf", FIRST_VF, 1);
	assert_string_equal(r.error, "");
	end(&r);
}

/* Both are asked for in one request: whose claim is read first has what it asks for, and the other's names it. */
static void test_both_in_one_request(void **state)
{
	(void)state;
	static const char *const errors[] = {
	    [PF] = "device nic1 (eth1): its PF nic0 (eth0) is held by claim default/claim",
	    [FIRST_VF] = "device nic0 (eth0): its VF nic1 (eth1) is held by claim default/claim",
	};
	for (size_t first = PF; first <= FIRST_VF; first++) {
		const struct claim_ref refs[] = {claim("pf"), claim("vf")};
		struct run r;
		begin(&r);
		effects_free(&r.fx);
		feed(&r, (struct event){.type = EVENT_PREPARE, .request = {.call = 1, .claims = refs, .n = 2, .deadline = UINT64_MAX}});
		struct effects reads = r.fx;
		r.fx = (struct effects){0};
		for (size_t k = 0; k < 2; k++) {
			size_t device = k == 0 ? first : FIRST_VF - first;
			r.configs = configs + device;
			r.n_configs = 1;
			r.first = device;
			for (size_t i = 0; i < reads.n; i++)
				if (reads.v[i].type == EFFECT_CLAIM_GET && str_equal(reads.v[i].claim_get.uid, device == PF ? "pf" : "vf"))
					answer_read(&r, &reads.v[i]);
		}
		effects_free(&reads);
		const struct effect *reply = NULL;
		for (int i = 0; i < ROUNDS && !(reply = reply_of(&r)); i++) {
			struct effects fx = r.fx;
			r.fx = (struct effects){0};
			for (size_t k = 0; k < fx.n; k++)
				perform(&r, &fx.v[k]);
			effects_free(&fx);
		}
		assert_non_null(reply);
		assert_null(reply->reply.answers[first].error);
		assert_string_equal(reply->reply.answers[FIRST_VF - first].error, errors[first]);
		end(&r);
	}
}

/* ---- what an older version prepared ---------------------------------------------------------------------------------------------- */

static struct claim_record record_of(const char *uid, size_t device, const char *sandbox)
{
	struct network_config config;
	struct device_facts f = facts(device);
	struct host_state host = host_of(device);
	struct claim_record record = {.ref = claim(uid), .pod = {.namespace_ = "default"}, .wants_pod = true, .n = 1};
	record.devices = calloc(1, sizeof(*record.devices));
	assert_non_null(record.devices);
	STR_COPY(record.pod.uid, sandbox);
	STR_COPY(record.sandbox.pod.uid, sandbox);
	STR_COPY(record.sandbox.id, sandbox);
	STR_COPY(record.sandbox.netns, "/run/netns/pod");
	struct attachment_record *a = &record.devices[0];
	*a = (struct attachment_record){.state = DEVICE_ATTACHED, .boot_id = "boot"};
	STR_COPY(a->attached_in, sandbox);
	STR_COPY(a->device, f.name);
	network_config_init(&config);
	assert_int_equal(attach_plan_new(&f, &host, &config, &a->plan, NULL, NULL), 0);
	return record;
}

static void answer_all(struct run *r, enum place probed)
{
	const struct pod_state pod = {.ifname = "eth0"};
	for (int i = 0; i < ROUNDS && r->fx.n > 0; i++) {
		struct effects fx = r->fx;
		r->fx = (struct effects){0};
		for (size_t k = 0; k < fx.n; k++) {
			bool detach = fx.v[k].type == EFFECT_DETACH;
			if (fx.v[k].op)
				feed(r, (struct event){.type = EVENT_DONE,
				                       .done = {.op = fx.v[k].op,
				                                .netns_inode = 1,
				                                .place = detach ? PLACE_HOST : probed,
				                                .pod = detach ? NULL : &pod}});
		}
		effects_free(&fx);
	}
}

static void ask_to_unprepare(struct run *r, const char *uid)
{
	const struct claim_ref ref = claim(uid);
	feed(r, (struct event){.type = EVENT_UNPREPARE, .request = {.call = 3, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
	answer_all(r, PLACE_HOST);
	for (size_t i = 0; i < DEVICES; i++) { /* what came home is seen, with its netdev */
		struct device_facts f = facts(i);
		struct look l = {.name = f.name};
		core_devices(r->core, look, &l);
		if (l.state < DEVICE_PREPARED)
			see(r, f);
	}
	feed(r, (struct event){.type = EVENT_PUBLISHED, .published = {.revision = UINT64_MAX}});
	effects_free(&r->fx);
}

/* Both stay where they are, and are held and shown; the one that comes home first waits for the other. */
static void test_both_held_by_records(void **state)
{
	(void)state;
	for (size_t first = PF; first <= FIRST_VF; first++) {
		static const char *const uids[] = {[PF] = "pf", [FIRST_VF] = "vf"};
		struct core_counts counts;
		struct run r;
		start(&r);
		for (size_t i = PF; i <= FIRST_VF; i++) {
			struct claim_record record = record_of(uids[i], i, uids[i]);
			feed(&r, (struct event){.type = EVENT_RECORD, .record = &record});
		}
		feed(&r, (struct event){.type = EVENT_RECOVERED});
		feed(&r, (struct event){.type = EVENT_INVENTORY_BEGIN});
		for (size_t i = 0; i < DEVICES; i++) {
			struct device_facts f = facts(i);
			if (i <= FIRST_VF) {
				f.ifindex = 0;
				f.ifname[0] = '\0';
			}
			f.vfs_away = i == PF;
			see(&r, f);
		}
		feed(&r, (struct event){.type = EVENT_INVENTORY_END});
		see_uplink(&r, 0);
		answer_all(&r, PLACE_POD);
		core_count(r.core, &counts);
		assert_int_equal(counts.attached, 2);
		assert_int_equal(counts.failing, 0);
		assert_true(is_offered(&r, PF));
		assert_true(is_offered(&r, FIRST_VF));
		assert_false(is_offered(&r, SECOND_VF));
		prepare(&r, "another", SECOND_VF, 1);
		assert_string_equal(r.error, "device nic2 (eth2): its PF nic0 (eth0) is held by claim default/claim");

		ask_to_unprepare(&r, uids[first]);
		core_count(r.core, &counts);
		assert_int_equal(counts.attached, 1);
		assert_int_equal(counts.impossible, 0);
		assert_false(is_offered(&r, first));
		assert_int_equal(is_offered(&r, SECOND_VF), first == PF);
		ask_to_unprepare(&r, uids[FIRST_VF - first]);
		for (size_t i = 0; i < DEVICES; i++)
			assert_true(is_offered(&r, i));
		end(&r);
	}
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
		bool vf_uplink;
		int32_t away;
		const char *error;
	} rows[] = {
	    {false, 0, "moved"},
	    {true, 0, "its VF nic2 (eth2) carries the node's default route, or stands under it"},
	    {false, 1, "1 of its VFs is in use without a claim: bound for user space, or in another namespace"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char error[ERROR_TEXT_MAX];
		struct run r;
		begin(&r);
		prepare(&r, "pf", PF, 1);
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
	    cmocka_unit_test(test_vf_of_a_claim),       cmocka_unit_test(test_withdrawn_with_its_reason),
	    cmocka_unit_test(test_claimed_vf_is_away),  cmocka_unit_test(test_pf_of_a_claim),
	    cmocka_unit_test(test_both_in_one_claim),   cmocka_unit_test(test_used_since_prepare),
	    cmocka_unit_test(test_both_in_one_request), cmocka_unit_test(test_both_held_by_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
