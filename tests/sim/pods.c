/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a pod: what the kubelet and the runtime do with it in their legal orders, and what its claims say. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

static void value_object(struct value *v, size_t n)
{
	*v = (struct value){.type = VALUE_OBJECT, .n = n, .keys = calloc(n, sizeof(char *)), .items = calloc(n, sizeof(*v))};
	if (!v->keys || !v->items)
		abort();
}

/* {"interface": {"name": "netN", "mtu": M, "dhcp": false}} */
static void config_value(struct value *v, int device, bool same_name, bool dhcp, int64_t mtu)
{
	char name[16];
	(void)snprintf(name, sizeof(name), same_name ? "same" : "net%d", device);
	value_object(v, 1);
	v->keys[0] = strdup("interface");
	value_object(&v->items[0], 3);
	v->items[0].keys[0] = strdup("name");
	v->items[0].items[0] = (struct value){.type = VALUE_STRING, .string = strdup(name)};
	v->items[0].keys[1] = strdup("mtu");
	v->items[0].items[1] = (struct value){.type = VALUE_INT, .integer = mtu};
	v->items[0].keys[2] = strdup("dhcp");
	v->items[0].items[2] = (struct value){.type = VALUE_BOOL, .boolean = dhcp};
}

void claim_object_fill(const struct sim *s, const struct wclaim *c, const char *pod_uid, struct claim_object *o)
{
	*o = (struct claim_object){
	    .ref = c->ref, .allocated = c->allocated, .n_reserved = 1, .reserved_for_pod = true, .n_results = c->n, .n_configs = c->n};
	STR_COPY(o->pod.uid, pod_uid);
	STR_COPY(o->pod.name, pod_uid);
	STR_COPY(o->pod.namespace_, "default");
	o->results = calloc(c->n, sizeof(*o->results));
	o->configs = calloc(c->n, sizeof(*o->configs));
	if (!o->results || !o->configs)
		abort();
	for (size_t i = 0; i < c->n; i++) {
		(void)snprintf(o->results[i].request, REQUEST_SIZE, "r%zu", i);
		STR_COPY(o->results[i].pool, NODE);
		device_name(c->devices[i], o->results[i].device);
		o->configs[i].requests = calloc(1, sizeof(*o->configs[i].requests));
		if (!o->configs[i].requests)
			abort();
		o->configs[i].n_requests = 1;
		(void)snprintf(o->configs[i].requests[0], REQUEST_SIZE, "r%zu", i);
		/* An RDMA device has nothing of all that. */
		if (!device_has_netdev(s, c->devices[i]) && !c->bad_config)
			continue;
		bool bad = c->bad_config && device_has_netdev(s, c->devices[i]);
		config_value(&o->configs[i].parameters, c->devices[i], c->same_name, c->dhcp, bad ? 0 : 3000 + c->devices[i]);
	}
}

bool device_held(const struct sim *s, int device, const struct wclaim *but)
{
	for (int p = 0; p < PODS; p++)
		for (int k = 0; k < CLAIMS_PER_POD; k++) {
			const struct wclaim *c = &s->pods[p].claims[k];
			for (size_t i = 0; c != but && c->used && c->prepared && i < c->n; i++)
				if (c->devices[i] == device)
					return true;
		}
	return false;
}

bool device_recorded(const struct sim *s, int device, const struct wclaim *but)
{
	char name[DEVICE_NAME_SIZE];
	device_name(device, name);
	for (size_t i = 0; i < s->n_records; i++)
		for (size_t k = 0; k < s->records[i].n; k++)
			if (!str_equal(s->records[i].ref.uid, but->ref.uid) && str_equal(s->records[i].devices[k].device, name))
				return true;
	return false;
}

bool device_taken(const struct sim *s, int device)
{
	for (int p = 0; p < PODS; p++)
		for (int k = 0; k < CLAIMS_PER_POD; k++) {
			const struct wclaim *c = &s->pods[p].claims[k];
			for (size_t i = 0; c->used && ((c->exists && s->pods[p].phase != POD_IDLE) || c->prepared) && i < c->n; i++)
				if (c->devices[i] == device)
					return true;
		}
	return false;
}

/* What an earlier Prepare or Unprepare of it was answered is forgotten, or about to be. */
void pod_prepare(struct sim *s, int pod)
{
	s->pods[pod].phase = POD_PREPARING;
	sim_say(s, "kubelet: Prepare of pod %d", pod);
	call_request(s, EVENT_PREPARE, CALL_PREPARE, pod);
}

void claim_deallocated(struct wclaim *c)
{
	c->allocated = false;
	c->status_n = 0; /* the API server removes what was said of devices it does not have any more */
	c->untold = false;
}

static bool device_free(const struct sim *s, int device)
{
	bool free = !device_taken(s, device) && !device_is_uplink(s, device) && s->devices[device].exists;
	return free && (device_is_pf(s, device) ? pf_is_free(s) : vf_is_free(s, device));
}

static void claim_allocate(struct sim *s, struct wclaim *c)
{
	size_t want = 1 + sim_choose(s, DEVICES_PER_CLAIM);
	bool careless = sim_choose(s, 8) == 7; /* a scheduler that acted on an old slice */
	for (int d = 0; d < DEVICES && c->n < want; d++) {
		int device = (d + (int)sim_choose(s, DEVICES)) % DEVICES;
		bool mine = false;
		for (size_t i = 0; i < c->n; i++)
			mine |= c->devices[i] == device;
		if (!mine && (careless || device_free(s, device)))
			c->devices[c->n++] = device;
	}
	c->allocated = c->n > 0;
}

static void claim_make(struct sim *s, struct wclaim *c, const char *uid)
{
	claim_allocate(s, c);
	if (!c->n)
		return;
	STR_COPY(c->ref.uid, uid);
	STR_COPY(c->ref.namespace_, "default");
	STR_COPY(c->ref.name, c->ref.uid);
	c->bad_config = sim_choose(s, 12) == 11;
	c->same_name = sim_choose(s, 8) == 7;
	c->dhcp = sim_choose(s, 4) == 3;
	c->used = c->exists = true;
}

/* A claim that was not made for its pod is there for the next one: as it was allocated, where that pod was waiting already, or anew. */
static bool claim_take_over(struct sim *s, const struct wclaim *old, struct wclaim *c)
{
	if (!s->lasting || !old->used || !old->exists || sim_choose(s, 4) == 3)
		return false;
	bool free = old->allocated;
	for (size_t i = 0; i < old->n; i++)
		free &= device_free(s, old->devices[i]);
	*c = *old;
	c->gone_events = c->undo_events = c->restore_events = 0;
	if (!free) {
		c->n = 0;
		claim_deallocated(c);
		claim_allocate(s, c);
	}
	c->used = c->allocated;
	return c->used;
}

static void pod_new(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	struct wclaim old[CLAIMS_PER_POD];
	memcpy(old, p->claims, sizeof(old));
	unsigned incarnation = p->incarnation + 1;
	/* What an earlier pod's claims say at the API server is looked at when all is at rest: then the last pod's are there. */
	*p = (struct wpod){.incarnation = incarnation, .sandbox = -1, .old_sandbox = -1};
	(void)snprintf(p->uid, sizeof(p->uid), "pod%d.%u", pod, incarnation);
	int n_claims = 1 + (int)sim_choose(s, CLAIMS_PER_POD);
	for (int k = 0; k < n_claims; k++) {
		char uid[UID_SIZE];
		(void)snprintf(uid, sizeof(uid), "claim%d.%u.%d", pod, incarnation, k);
		if (!claim_take_over(s, &old[k], &p->claims[k]))
			claim_make(s, &p->claims[k], uid);
	}
	if (!p->claims[0].used && !p->claims[1].used)
		return;
	pod_prepare(s, pod);
}

static void sandbox_new(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	if (s->n_sandboxes == SANDBOXES)
		return;
	int n = s->n_sandboxes++;
	s->sandboxes[n] = (struct wsandbox){.exists = true, .netns = true, .alive = true, .pod = pod};
	p->sandbox = n;
	p->phase = POD_STARTING;
	sim_say(s, "runtime: sandbox sb%d of pod %d%s", n, pod, s->connected ? "" : ", the hook is skipped");
	if (s->connected)
		call_hook(s, EVENT_RUN_SANDBOX, CALL_RUN, pod, n);
	else
		p->phase = POD_UP;
}

static void container_new(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	p->pending_token = false;
	for (int k = 0; k < CLAIMS_PER_POD; k++) {
		const struct wclaim *c = &p->claims[k];
		if (!c->used)
			continue;
		bool alive = s->core && c->token_epoch == s->epoch;
		bool same = c->token_sandbox >= 0 && s->sandboxes[c->token_sandbox].exists;
		if (c->token == TOKEN_NONE || (c->token == TOKEN_PENDING && !alive) || (c->token == TOKEN_FINAL && !same)) {
			sim_say(s, "runtime: container of pod %d refused, CDI id of %s does not resolve", pod, c->ref.uid);
			return;
		}
		p->pending_token |= c->token == TOKEN_PENDING;
		memcpy(p->minors[k], c->minors, sizeof(c->minors));
	}
	p->phase = POD_CREATING;
	sim_say(s, "runtime: CreateContainer of pod %d%s", pod, s->connected ? "" : ", the hook is skipped");
	if (s->connected)
		call_hook(s, EVENT_CREATE_CONTAINER, CALL_CREATE, pod, p->sandbox);
	else
		hook_result(s, p, pod, CALL_CREATE, NULL);
}

static void container_start(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		if (p->claims[k].used && p->pending_token && !p->claims[k].marker) {
			sim_say(s, "runtime: container of pod %d does not start, the marker of %s is not there", pod, p->claims[k].ref.uid);
			p->phase = POD_UP;
			return;
		}
	p->phase = POD_RUNNING;
	sim_say(s, "runtime: container of pod %d runs", pod);
	check_container_start(s, pod);
}

void pod_stop(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	if (p->sandbox < 0) {
		p->phase = POD_STOPPED;
		return;
	}
	p->phase = POD_STOPPING;
	if (s->crio) { /* takes the namespace down before the hook */
		s->sandboxes[p->sandbox].netns = false;
		netns_check(s, p->sandbox);
	}
	sim_say(s, "runtime: StopPodSandbox of pod %d%s", pod, s->connected ? "" : ", the hook is skipped");
	if (s->connected)
		call_hook(s, EVENT_STOP_SANDBOX, CALL_STOP, pod, p->sandbox);
	else
		hook_result(s, p, pod, CALL_STOP, NULL);
}

void sandbox_down(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	s->sandboxes[p->sandbox].netns = false;
	netns_check(s, p->sandbox);
	p->old_sandbox = p->sandbox;
	p->phase = POD_STOPPED;
	if (s->connected && sim_choose(s, 2)) {
		sim_say(s, "runtime: RemovePodSandbox of pod %d", pod);
		call_hook(s, EVENT_REMOVE_SANDBOX, CALL_STRAY, pod, p->sandbox);
	}
}

/* The pause process dies: a new sandbox for the same pod, without a new Prepare. The stop of the old one comes before, or late. */
static void sandbox_again(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	int old = p->sandbox;
	bool late = sim_choose(s, 2);
	if (s->crio) {
		s->sandboxes[old].netns = false;
		netns_check(s, old);
	}
	if (!late && s->connected)
		call_hook(s, EVENT_STOP_SANDBOX, CALL_STRAY, pod, old);
	s->sandboxes[old].exists = s->sandboxes[old].netns = false;
	netns_check(s, old);
	p->old_sandbox = old;
	sandbox_new(s, pod);
}

/* It began anew, and what it finds is a pod that is to run. (A lease that was just given back is not on disk as that: but the kubelet does
 * not forget while dranetd dies.) */
static void kubelet_forgets(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		if (p->claims[k].used && p->claims[k].dhcp)
			return;
	sim_say(s, "kubelet: forgets that pod %d is being unprepared", pod);
	request_abandoned(s, p->call);
	for (int k = 0; k < CLAIMS_PER_POD; k++)
		p->claims[k].prepared = false;
	pod_prepare(s, pod);
}

void pod_acts(struct sim *s, int pod)
{
	struct wpod *p = &s->pods[pod];
	switch (p->phase) {
	case POD_IDLE:
		if (s->core && s->inventory_told)
			pod_new(s, pod);
		break;
	case POD_PREPARED:
		if (sim_choose(s, 8) == 7)
			p->phase = POD_STOPPED; /* deleted before it ran */
		else
			sandbox_new(s, pod);
		break;
	case POD_UP:
		if (sim_choose(s, 6) == 5)
			pod_stop(s, pod);
		else
			container_new(s, pod);
		break;
	case POD_CREATED:
		container_start(s, pod);
		break;
	case POD_RUNNING:
		if (sim_choose(s, 4) == 3)
			sandbox_again(s, pod);
		else
			pod_stop(s, pod);
		break;
	case POD_DOWN:
		sandbox_down(s, pod);
		break;
	case POD_STOPPED:
		if (s->core && s->lasting && p->refused && !s->over && sim_choose(s, 2) == 0) {
			pod_prepare(s, pod);
		} else if (s->core) {
			p->phase = POD_UNPREPARING;
			p->refused = false;
			sim_say(s, "kubelet: Unprepare of pod %d", pod);
			call_request(s, EVENT_UNPREPARE, CALL_UNPREPARE, pod);
		}
		break;
	case POD_PREPARING:
	case POD_STARTING:
	case POD_CREATING:
	case POD_STOPPING:
		break; /* waits for an answer */
	case POD_UNPREPARING:
		if (s->core && s->lasting && sim_choose(s, 16) == 15)
			kubelet_forgets(s, pod);
		break;
	}
}
