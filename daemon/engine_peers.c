/* SPDX-License-Identifier: Apache-2.0 */
/* The adapters: starting each when its time has come, their callbacks, closing them. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/engine_private.h"

/* ---- kubelet --------------------------------------------------------------------------------------------------------------------- */

static void on_kubelet_event(struct event *e, void *user)
{
	struct engine *g = user;
	if (e->type == EVENT_PREPARE || e->type == EVENT_UNPREPARE)
		calls_begin(&g->calls, CALL_KUBELET, e->request.call, e->type == EVENT_PREPARE ? DRA_PREPARE : DRA_UNPREPARE, uv_hrtime());
	engine_feed(g, e);
}

static void on_registered(bool ok, const char *error, void *user)
{
	struct engine *g = user;
	g->registered = ok;
	if (ok)
		log_write(LOG_NOTICE, LOG_KIND_KUBELET, NULL, "registered with the kubelet as %s", g->options->driver_name);
	else if (error)
		log_write(LOG_ERR, LOG_KIND_KUBELET, NULL, "the kubelet did not register us: %s", error);
	else
		log_write(LOG_WARNING, LOG_KIND_KUBELET, NULL, "our registration socket was taken away: making it again");
	engine_tell_status(g);
}

struct health_list {
	void (*add)(const char *device, const char *trouble, void *to);
	void *to;
};

static void add_health(const struct core_device_view *d, void *user)
{
	const struct health_list *list = user;
	if (d->claim && d->place == PLACE_GONE)
		list->add(d->facts->name, "it does not exist any more", list->to);
	else if (d->claim || d->offered)
		list->add(d->facts->name, NULL, list->to);
}

static void on_health(void (*add)(const char *device, const char *trouble, void *to), void *to, void *user)
{
	struct engine *g = user;
	core_devices(g->core, add_health, &(struct health_list){add, to});
}

static void tell_ready(struct engine *g)
{
	if (g->ready)
		return;
	g->ready = true;
	/* Not tied to the kubelet's registration: the unit is ordered before kubelet.service, which waits for this. */
	notify_ready(g->notify);
	log_write(LOG_NOTICE, LOG_KIND_READY, NULL, "ready, node %s", g->options->node);
	engine_tell_status(g);
}

static void start_kubelet(uv_timer_t *timer)
{
	struct engine *g = timer->data;
	struct error e = {0};
	const struct kubelet_options options = {
	    .driver = g->options->driver_name,
	    .node = g->options->node,
	    .root = g->options->kubelet_root_dir,
	    .instance = "",
	    .event = on_kubelet_event,
	    .registered = on_registered,
	    .health = on_health,
	    .user = g,
	};
	int r = kubelet_start(g->loop, &options, &g->kubelet, &e);
	if (r < 0) {
		/* On a node's first boot the kubelet has not made its directories yet. */
		uint64_t delay = engine_backoff(g->kubelet_failures++);
		log_write(LOG_ERR, LOG_KIND_KUBELET, &(struct log_about){.result = r}, "kubelet sockets: %s; next try in %llu s", e.text,
		          (unsigned long long)(delay / 1000));
		engine_timer(g, TIMER_KUBELET, delay, start_kubelet);
	}
	tell_ready(g);
}

/* ---- runtime --------------------------------------------------------------------------------------------------------------------- */

static int hook_of(enum event_type type)
{
	switch (type) {
	case EVENT_RUN_SANDBOX:
		return HOOK_RUN_SANDBOX;
	case EVENT_STOP_SANDBOX:
		return HOOK_STOP_SANDBOX;
	case EVENT_REMOVE_SANDBOX:
		return HOOK_REMOVE_SANDBOX;
	case EVENT_CREATE_CONTAINER:
		return HOOK_CREATE_CONTAINER;
	default:
		return -1;
	}
}

static void on_runtime_event(struct event *e, void *user)
{
	struct engine *g = user;
	int hook = hook_of(e->type);
	if (hook >= 0)
		calls_begin(&g->calls, CALL_RUNTIME, e->hook.call, hook, uv_hrtime());
	engine_feed(g, e);
}

static bool on_knows_pod(const char *pod_uid, void *user)
{
	struct engine *g = user;
	return core_knows_pod(g->core, pod_uid);
}

static bool on_owns_claim(const char *pod_uid, const char *claim_uid, void *user)
{
	const struct engine *g = user;
	return core_owns_claim(g->core, pod_uid, claim_uid);
}

static void on_runtime_answered(enum event_type type, bool refused, uint64_t ns, void *user)
{
	struct engine *g = user;
	metrics_hook(&g->metrics, (enum hook)hook_of(type), refused ? CALL_FAILED : CALL_NOOP, (double)ns / 1e9);
}

static void on_runtime_note(int result, const char *text, void *user)
{
	struct engine *g = user;
	log_write(result < 0 ? LOG_WARNING : LOG_NOTICE, LOG_KIND_RUNTIME, &(struct log_about){.result = result}, "runtime: %s", text);
	engine_tell_status(g);
}

static void start_runtime(struct engine *g)
{
	struct error e = {0};
	const struct nri_options options = {
	    .socket = g->options->nri_socket,
	    .name = g->options->driver_name,
	    .index = "00",
	    .event = on_runtime_event,
	    .knows_pod = on_knows_pod,
	    .owns_claim = on_owns_claim,
	    .answered = on_runtime_answered,
	    .note = on_runtime_note,
	    .user = g,
	};
	int r = nri_start(g->loop, &options, &g->nri, &e);
	if (r < 0) {
		/* A runtime that is away is waited for; this is a name no runtime would take, or no memory. */
		log_write(LOG_CRIT, LOG_KIND_RUNTIME, &(struct log_about){.result = r}, "the NRI plugin cannot be started: %s", e.text);
		engine_fail(g);
	}
}

/* ---- API server ------------------------------------------------------------------------------------------------------------------ */

static size_t on_slices(void *user)
{
	struct engine *g = user;
	return core_slices(g->core);
}

static void on_slice(size_t index, struct slice_view *ret, void *user)
{
	struct engine *g = user;
	core_slice(g->core, index, ret);
}

static uint64_t on_slice_version(size_t index, void *user)
{
	struct engine *g = user;
	return core_slice_version(g->core, index);
}

static void on_published(uint64_t revision, void *user)
{
	struct engine *g = user;
	struct core_counts counts;
	core_count(g->core, &counts);
	metrics_published(&g->metrics, &counts, engine_unix_time());
	bool first = !g->published;
	g->published = true;
	log_write(LOG_INFO, LOG_KIND_API, NULL, "the API server holds what is to be published: %zu devices", counts.offered);
	engine_feed(g, &(struct event){.type = EVENT_PUBLISHED, .published = {.revision = revision}});
	if (first)
		(void)malloc_trim(0); /* what only the start needed */
}

static void on_publish_trouble(int result, const char *text, void *user)
{
	(void)user;
	log_write(result < 0 ? LOG_WARNING : LOG_NOTICE, LOG_KIND_API, &(struct log_about){.result = result}, "ResourceSlices: %s",
	          text && *text ? text : "recovered");
}

/* Needs the inventory, and the API's version. */
static void start_publisher(struct engine *g)
{
	struct error e = {0};
	const struct publisher_options options = {
	    .driver = g->options->driver_name,
	    .node = g->options->node,
	    .slices = on_slices,
	    .slice = on_slice,
	    .version = on_slice_version,
	    .published = on_published,
	    .trouble = on_publish_trouble,
	    .user = g,
	};
	if (g->publisher || !g->peers_started || !g->api_known || g->stopping)
		return;
	int r = publisher_start(g->api, &options, &g->publisher, &e);
	if (r < 0) {
		log_write(LOG_CRIT, LOG_KIND_API, &(struct log_about){.result = r}, "publishing cannot be started: %s", e.text);
		engine_fail(g);
		return;
	}
	if (g->publish_revision)
		publisher_changed(g->publisher, g->publish_revision);
}

static void discover(uv_timer_t *timer);

static void on_discovered(int result, const char *version, const char *error, void *user)
{
	struct engine *g = user;
	if (result < 0) {
		uint64_t delay = engine_backoff(g->discovery_failures++);
		log_write(LOG_WARNING, LOG_KIND_API, &(struct log_about){.result = result},
		          "the API server cannot be asked for its versions: %s", error ? error : "");
		engine_timer(g, TIMER_DISCOVERY, delay, discover);
		return;
	}
	log_write(LOG_INFO, LOG_KIND_API, NULL, "the API server speaks resource.k8s.io/%s", version);
	g->api_known = true;
	start_publisher(g);
}

static void discover(uv_timer_t *timer)
{
	struct engine *g = timer->data;
	api_discover(g->api, on_discovered, g);
}

/* --api-server: "host:port" or a URL takes the place of the one the credentials name. */
static int override_server(const char *server, struct api_config *config, struct error *e)
{
	char *text = NULL;
	if (!*server)
		return 0;
	if (asprintf(&text, "%s%s", strstr(server, "://") ? "" : "https://", server) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	size_t len = strlen(text);
	if (text[len - 1] == '/')
		text[len - 1] = 0;
	free(config->server);
	config->server = text;
	return 0;
}

int engine_start_api(struct engine *g, struct error *e)
{
	const struct options *o = g->options;
	struct api_config config = {0};
	/* In a cluster the address comes from the environment; --api-server stands in where there is none. */
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	int r;
	if (*o->kubeconfig)
		r = kubeconfig_load(o->kubeconfig, &config, e);
	else
		r = in_cluster_load(*o->api_server && !host ? "127.0.0.1" : host, *o->api_server && !port ? "443" : port, "", &config, e);
	if (r == 0)
		r = override_server(o->api_server, &config, e);
	if (r == 0)
		r = api_new(g->loop, &config, &g->api, e);
	api_config_free(&config);
	if (r == 0)
		r = recorder_new(g->api, o->driver_name, o->node, &g->recorder);
	if (r == 0)
		discover(&g->timers[TIMER_DISCOVERY]);
	return r;
}

/* ---- kernel ---------------------------------------------------------------------------------------------------------------------- */

/* The first full dump with its uplinks is there: now requests can be answered rightly. */
static void start_the_others(struct engine *g)
{
	if (g->peers_started || !g->inventory_seen || !g->uplinks_seen || g->stopping)
		return;
	g->peers_started = true;
	start_kubelet(&g->timers[TIMER_KUBELET]);
	start_runtime(g);
	start_publisher(g);
	engine_look_sriov(g);
}

static void on_begin(void *user)
{
	struct engine *g = user;
	if (g->inventory_seen)
		engine_refresh_rdma(g);
	engine_feed(g, &(struct event){.type = EVENT_INVENTORY_BEGIN});
}

static void on_device(const struct device_facts *facts, void *user)
{
	struct device_facts with_rdma = *facts;
	engine_add_rdma(user, &with_rdma);
	engine_feed(user, &(struct event){.type = EVENT_DEVICE, .device = &with_rdma});
	if (facts->sriov)
		engine_look_sriov(user);
}

static void on_gone(const char *device_name, void *user)
{
	engine_feed(user, &(struct event){.type = EVENT_DEVICE_GONE, .device_gone = device_name});
	engine_look_sriov(user);
}

static void on_end(void *user)
{
	struct engine *g = user;
	engine_feed(g, &(struct event){.type = EVENT_INVENTORY_END});
	g->inventory_seen = true;
	engine_look_sriov(g);
	start_the_others(g);
}

static void on_uplinks(const int32_t *ifindexes, size_t n, void *user)
{
	struct engine *g = user;
	engine_feed(g, &(struct event){.type = EVENT_UPLINKS, .uplinks = {.ifindexes = ifindexes, .n = n}});
	g->uplinks_seen = true;
	start_the_others(g);
}

static void on_kernel_trouble(int result, const char *what, void *user)
{
	(void)user;
	log_write(LOG_WARNING, LOG_KIND_KERNEL, &(struct log_about){.result = result}, "kernel: %s", what);
}

/* ---- all of them ----------------------------------------------------------------------------------------------------------------- */

int engine_start_monitor(struct engine *g, struct error *e)
{
	const struct monitor_options options = {
	    .sysfs = g->sysfs,
	    .near_numa_nodes = g->options->list_attributes,
	    .hide_ipoib = !g->options->move_ib_interfaces,
	    .callbacks = {.begin = on_begin,
	                  .device = on_device,
	                  .gone = on_gone,
	                  .end = on_end,
	                  .uplinks = on_uplinks,
	                  .failed = on_kernel_trouble},
	    .user = g,
	};
	engine_start_rdma(g);
	return monitor_start(g->loop, &options, &g->monitor, e);
}

void engine_close_intake(struct engine *g)
{
	uv_timer_stop(&g->timers[TIMER_KUBELET]);
	uv_timer_stop(&g->timers[TIMER_DISCOVERY]);
	if (g->kubelet)
		kubelet_close(TAKE_PTR(g->kubelet));
	if (g->nri)
		nri_close(TAKE_PTR(g->nri));
	if (g->publisher)
		publisher_close(TAKE_PTR(g->publisher));
	if (g->monitor)
		monitor_close(TAKE_PTR(g->monitor));
	rdma_monitor_close(TAKE_PTR(g->rdma_monitor));
}

void engine_close_peers(struct engine *g)
{
	if (g->recorder)
		recorder_close(TAKE_PTR(g->recorder));
	if (g->api)
		api_close(TAKE_PTR(g->api));
	if (g->http)
		http_server_close(TAKE_PTR(g->http));
}

void engine_tell_status(struct engine *g)
{
	struct core_counts counts;
	const char *missing = "";
	if (!g->ready || g->stopping)
		return;
	core_count(g->core, &counts);
	engine_is_ready(g, &missing);
	notify_status(g->notify, "%zu devices offered, %zu attached%s%s", counts.offered, counts.attached, *missing ? "; not yet: " : "",
	              missing);
}
