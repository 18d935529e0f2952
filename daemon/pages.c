/* SPDX-License-Identifier: Apache-2.0 */
/* The pages of the small HTTP server: /metrics, /healthz, /readyz, /debug/state. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "core/base/cleanup.h"
#include "daemon/engine_private.h"
#include "k8s/json_value.h"

static void count_state(const struct core_device_view *d, void *user)
{
	uint64_t *devices = user;
	devices[d->state]++;
}

static int make_metrics(struct buf *body, const char **content_type, void *user)
{
	struct engine *g = user;
	struct metrics m = g->metrics;
	struct process_stats process;
	process_stats_read(&process);
	core_count(g->core, &m.counts);
	core_devices(g->core, count_state, m.devices);
	if (g->monitor)
		monitor_count(g->monitor, &m.monitor);
	m.registered = g->registered;
	m.runtime_connected = g->nri && nri_connected(g->nri);
	*content_type = "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(&m, &process, body);
	return 200;
}

/* That the loop answers is the proof of life; the watchdog looks after a loop that does not. */
static int make_healthz(struct buf *body, const char **content_type, void *user)
{
	const struct engine *g = user;
	(void)content_type;
	buf_puts(body, g->ready ? "ok\n" : "starting\n");
	return g->ready ? 200 : 503;
}

bool engine_is_ready(const struct engine *g, const char **ret_missing)
{
	const struct {
		bool there;
		const char *what;
	} parts[] = {
	    {g->peers_started, "the kernel's inventory"},
	    {g->registered, "registration with the kubelet"},
	    {g->nri && nri_connected(g->nri), "the container runtime (NRI)"},
	    {g->published, "ResourceSlices at the API server"},
	};
	for (size_t i = 0; i < ELEMENTS(parts); i++)
		if (!parts[i].there) {
			*ret_missing = parts[i].what;
			return false;
		}
	*ret_missing = "";
	return true;
}

static int make_readyz(struct buf *body, const char **content_type, void *user)
{
	const char *missing;
	(void)content_type;
	if (engine_is_ready(user, &missing)) {
		buf_puts(body, "ok\n");
		return 200;
	}
	buf_printf(body, "not yet: %s\n", missing);
	return 503;
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_text_new(text) : json_null();
}

static json_t *claim_json(const struct claim_record *r)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:s}, s:o, s:o, s:b, s:b}", "uid", r->ref.uid, "namespace", r->ref.namespace_,
	                 "name", r->ref.name, "pod", "uid", r->pod.uid, "namespace", r->pod.namespace_, "name", r->pod.name, "sandbox",
	                 text_or_null(r->sandbox.id), "netns", text_or_null(r->sandbox.netns), "wantsPod", r->wants_pod, "unprepared",
	                 r->unprepared);
}

struct device_list {
	const struct core *core;
	json_t *to;
};

static void add_device(const struct core_device_view *d, void *user)
{
	struct device_list *list = user;
	char why[ERROR_TEXT_MAX];
	static const char *const places[] = {
	    [PLACE_UNKNOWN] = "unknown", [PLACE_HOST] = "host", [PLACE_POD] = "pod", [PLACE_GONE] = "gone"};
	json_t *device =
	    json_pack("{s:s, s:o, s:o, s:i, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b}", "name", d->facts->name, "ifName",
	              text_or_null(d->facts->ifname), "pciAddress", text_or_null(d->facts->pci_address), "ifindex", d->facts->ifindex,
	              "state", device_state_name(d->state), "place", places[d->place], "offered", d->offered, "uplink", d->uplink,
	              "filtered", d->filtered, "vfsInUse", d->vfs_used, "pfHeld", d->pf_held, "busy", d->busy);
	core_unoffered(list->core, d->facts->name, why, sizeof(why));
	if (device && why[0])
		json_object_set_new(device, "notOffered", json_text_new(why));
	if (device && d->claim)
		json_object_set_new(device, "claim", claim_json(d->claim));
	if (device && d->attachment && d->attachment->pod.ifname[0])
		json_object_set_new(device, "podIfName", text_or_null(d->attachment->pod.ifname));
	json_array_append_new(list->to, device);
}

static int make_state(struct buf *body, const char **content_type, void *user)
{
	struct engine *g = user;
	struct core_counts c;
	const char *missing;
	json_t *devices = json_array();
	core_count(g->core, &c);
	core_devices(g->core, add_device, &(struct device_list){g->core, devices});
	json_t *page = json_pack("{s:s, s:s, s:s, s:b, s:{s:I, s:I, s:I, s:I, s:I}, s:o}", "version", DRANETD_VERSION, "driver",
	                         g->options->driver_name, "node", g->options->node, "ready", engine_is_ready(g, &missing), "counts",
	                         "devices", (json_int_t)c.devices, "offered", (json_int_t)c.offered, "claims", (json_int_t)c.claims,
	                         "attached", (json_int_t)c.attached, "failing", (json_int_t)c.failing, "devices", devices);
	char *text = page ? json_dumps(page, JSON_INDENT(1)) : NULL;
	json_decref(page);
	if (!text)
		return 500;
	*content_type = "application/json";
	buf_puts(body, text);
	buf_puts(body, "\n");
	free(text);
	return 200;
}

int engine_start_pages(struct engine *g, struct error *e)
{
	static const struct http_page pages[] = {
	    {"/metrics", make_metrics},
	    {"/healthz", make_healthz},
	    {"/readyz", make_readyz},
	    {"/debug/state", make_state},
	};
	int r = http_server_listen(g->loop, g->options->bind_address, pages, ELEMENTS(pages), g, &g->http, e);
	if (r < 0)
		error_prefix(e, "--bind-address=%s", g->options->bind_address);
	return r;
}
