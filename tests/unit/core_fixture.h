/* SPDX-License-Identifier: Apache-2.0 */
/* A core, its devices nic0, nic1 … and a world that does at once what it is told and succeeds. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/core.h"
#include "value_text.h"

enum { ROUNDS = 100 };

struct run {
	struct core *core;
	struct effects fx;
	uint64_t now;
	const char *const *configs; /* of the claim that is read: one for each of its devices */
	size_t n_configs;
	size_t first;  /* the number of its first device */
	bool answered; /* the last Prepare or Unprepare */
	char error[ERROR_TEXT_MAX];
};

static inline void feed(struct run *r, struct event e)
{
	e.now = ++r->now;
	assert_int_equal(core_step(r->core, &e, &r->fx), 0);
}

static inline struct device_facts facts_of(size_t i)
{
	struct device_facts f = {.name = "nic0", .ifname = "eth0", .ifindex = 7 + (int32_t)i, .pci_address = "0000:00:04.0"};
	f.name[3] = f.ifname[3] = (char)('0' + i);
	f.pci_address[9] = (char)('4' + i);
	return f;
}

static inline struct host_state host_of(size_t i)
{
	struct host_state h = {.ifindex = 7 + (int32_t)i, .ifname = "eth0", .mtu = 1500, .mac = {6, {2, 0, 0, 0, 0, (uint8_t)i}}};
	h.ifname[3] = (char)('0' + i);
	return h;
}

static inline struct claim_ref claim(const char *uid)
{
	struct claim_ref ref = {.namespace_ = "default", .name = "claim"};
	STR_COPY(ref.uid, uid);
	return ref;
}

static inline void start(struct run *r)
{
	const struct core_options options = {.driver = "dra.net", .node = "node", .boot_id = "boot"};
	*r = (struct run){.now = 1};
	assert_int_equal(core_new(&options, &r->core), 0);
}

static inline void see_devices(struct run *r, size_t n)
{
	feed(r, (struct event){.type = EVENT_RECOVERED});
	feed(r, (struct event){.type = EVENT_INVENTORY_BEGIN});
	for (size_t i = 0; i < n; i++) {
		struct device_facts facts = facts_of(i);
		feed(r, (struct event){.type = EVENT_DEVICE, .device = &facts});
	}
	feed(r, (struct event){.type = EVENT_INVENTORY_END});
	feed(r, (struct event){.type = EVENT_UPLINKS, .uplinks = {.ifindexes = &(int32_t){0}}});
}

/* ---- the world ------------------------------------------------------------------------------------------------------------------- */

static inline void answer_read(struct run *r, const struct effect *f)
{
	struct claim_object o = {.ref = f->claim_get,
	                         .allocated = true,
	                         .n_reserved = 1,
	                         .reserved_for_pod = true,
	                         .pod = {.uid = "pod", .namespace_ = "default", .name = "pod"},
	                         .results = calloc(r->n_configs, sizeof(*o.results)),
	                         .n_results = r->n_configs,
	                         .configs = calloc(r->n_configs, sizeof(*o.configs)),
	                         .n_configs = r->n_configs};
	assert_true(o.results && o.configs);
	for (size_t i = 0; i < r->n_configs; i++) {
		struct claim_config *c = &o.configs[i];
		o.results[i] = (struct claim_result){.request = "r0", .pool = "node"};
		o.results[i].request[1] = (char)('0' + i);
		STR_COPY(o.results[i].device, facts_of(r->first + i).name);
		c->requests = calloc(1, sizeof(*c->requests));
		assert_non_null(c->requests);
		c->n_requests = 1;
		STR_COPY(c->requests[0], o.results[i].request);
		c->parameters = value_from_text(r->configs[i]);
	}
	feed(r, (struct event){.type = EVENT_CLAIM_READ, .claim_read = {.op = f->op, .object = &o}});
	claim_object_free(&o);
}

static inline void answer_done(struct run *r, const struct effect *f)
{
	struct host_state host = {0};
	struct event e = {.type = EVENT_DONE, .done = {.op = f->op, .place = PLACE_HOST}};
	if (f->type == EFFECT_SNAPSHOT) {
		host = host_of((size_t)f->snapshot.ifindex - 7);
		e.done.host = &host;
	}
	feed(r, e);
}

static inline void perform(struct run *r, const struct effect *f)
{
	if (f->type == EFFECT_REPLY_PREPARE || f->type == EFFECT_REPLY_UNPREPARE) {
		r->answered = true;
		STR_CUT(r->error, f->reply.answers[0].error ? f->reply.answers[0].error : "");
	} else if (f->type == EFFECT_CLAIM_GET) {
		answer_read(r, f);
	} else if (f->op) {
		answer_done(r, f);
	}
}

/* One request, and what follows from it until it is answered. */
static inline void ask(struct run *r, enum event_type type, const char *uid)
{
	const struct claim_ref ref = claim(uid);
	r->answered = false;
	feed(r, (struct event){.type = type, .request = {.call = 1, .claims = &ref, .n = 1, .deadline = UINT64_MAX}});
	for (int i = 0; i < ROUNDS && !r->answered; i++) {
		struct effects fx = r->fx;
		r->fx = (struct effects){0};
		for (size_t k = 0; k < fx.n; k++)
			perform(r, &fx.v[k]);
		if (!fx.n && core_deadline(r->core) != UINT64_MAX) {
			r->now = core_deadline(r->core);
			feed(r, (struct event){.type = EVENT_TICK});
		}
		effects_free(&fx);
	}
	assert_true(r->answered);
}

static inline void end(struct run *r)
{
	effects_free(&r->fx);
	core_free(r->core);
}
