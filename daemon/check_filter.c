/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/check_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/core.h"
#include "core/filter.h"
#include "netlink/monitor.h"
#include "netlink/sysfs.h"
#include "rdma/attribution.h"
#include "rdma/nldev.h"

enum { PATIENCE_MS = 15000, CLOSING_ROUNDS = 100 };

struct check {
	uv_loop_t loop;
	uv_timer_t patience;
	struct sysfs *sysfs;
	struct monitor *monitor;
	struct core *core;
	struct filter *filter;
	struct rdma_table rdma;
	struct error error; /* the kernel's last refusal */
	bool inventory_seen, uplinks_seen, late;
};

/* ---- reading the devices --------------------------------------------------------------------------------------------------------- */

static void feed(struct check *c, struct event event)
{
	struct effects fx = {0};
	(void)core_step(c->core, &event, &fx); /* what core wants done is for a daemon to do */
	effects_free(&fx);
	if (c->inventory_seen && c->uplinks_seen)
		uv_stop(&c->loop);
}

static void on_begin(void *user)
{
	feed(user, (struct event){.type = EVENT_INVENTORY_BEGIN});
}

static void on_device(const struct device_facts *facts, void *user)
{
	struct check *c = user;
	struct device_facts told = *facts;
	rdma_facts_add(&c->rdma, &told);
	feed(c, (struct event){.type = EVENT_DEVICE, .device = &told});
}

static void on_gone(const char *device_name, void *user)
{
	feed(user, (struct event){.type = EVENT_DEVICE_GONE, .device_gone = device_name});
}

static void on_end(void *user)
{
	struct check *c = user;
	c->inventory_seen = true;
	feed(c, (struct event){.type = EVENT_INVENTORY_END});
}

static void on_uplinks(const int32_t *ifindexes, size_t n, void *user)
{
	struct check *c = user;
	c->uplinks_seen = true;
	feed(c, (struct event){.type = EVENT_UPLINKS, .uplinks = {.ifindexes = ifindexes, .n = n}});
}

static void on_failed(int result, const char *what, void *user)
{
	struct check *c = user;
	error_set(&c->error, result, "%s: %s", what, strerror(-result));
}

static void on_patience(uv_timer_t *timer)
{
	struct check *c = timer->data;
	c->late = true;
	uv_stop(&c->loop);
}

static int read_devices(struct check *c, const struct options *o, struct error *e)
{
	int r = sysfs_open("/sys", &c->sysfs, e);
	if (r < 0)
		return r;
	const struct monitor_options options = {
	    .sysfs = c->sysfs,
	    .near_numa_nodes = o->list_attributes,
	    .hide_ipoib = !o->move_ib_interfaces,
	    .callbacks =
		{.begin = on_begin, .device = on_device, .gone = on_gone, .end = on_end, .uplinks = on_uplinks, .failed = on_failed},
	    .user = c,
	};
	(void)rdma_query(&c->rdma, NULL); /* as for the daemon: without it the sysfs facts stand */
	r = monitor_start(&c->loop, &options, &c->monitor, e);
	if (r < 0)
		return r;
	uv_timer_start(&c->patience, on_patience, PATIENCE_MS, 0);
	uv_run(&c->loop, UV_RUN_DEFAULT);
	if (c->late)
		return error_set(e, -ETIMEDOUT, "%s", c->error.code ? c->error.text : "the kernel does not answer");
	return 0;
}

static void close_check(struct check *c)
{
	if (c->monitor)
		monitor_close(c->monitor);
	uv_close((uv_handle_t *)&c->patience, NULL);
	for (int i = 0; i < CLOSING_ROUNDS && uv_run(&c->loop, UV_RUN_NOWAIT); i++)
		;
	uv_loop_close(&c->loop);
	sysfs_close(c->sysfs);
	rdma_table_free(&c->rdma);
	core_free(c->core);
	filter_free(c->filter);
}

/* ---- telling --------------------------------------------------------------------------------------------------------------------- */

struct report {
	const struct check *check;
	struct buf text;
	int device_width, ifname_width;
	size_t kept, dropped, never;
};

static void measure(const struct core_device_view *d, void *user)
{
	struct report *r = user;
	int device = (int)strlen(d->facts->name), ifname = (int)strlen(d->facts->ifname);
	if (r->device_width < device)
		r->device_width = device;
	if (r->ifname_width < ifname)
		r->ifname_width = ifname;
}

/* Aliases and names of links hold what anybody gave them; a terminal shall not obey it. */
static void add_row(struct buf *to, struct buf *row)
{
	for (size_t i = 0; i < row->len; i++)
		if (row->data[i] < ' ' || row->data[i] == 0x7f)
			row->data[i] = '?';
	buf_printf(to, "%s\n", buf_text(row));
}

static void tell_device(const struct core_device_view *d, void *user)
{
	struct report *r = user;
	_cleanup_buf_ struct buf why = {0}, row = {0};
	const char *verdict = "never";
	char never[ERROR_TEXT_MAX];
	core_unoffered(r->check->core, d->facts->name, never, sizeof(never));
	if (never[0]) {
		buf_puts(&why, never);
		r->never++;
	} else if (filter_explain(r->check->filter, d->facts, &why)) {
		verdict = "keep";
		r->kept++;
	} else {
		verdict = "drop";
		r->dropped++;
	}
	buf_printf(&row, "%-5s  %-*s  %-*s  %s", verdict, r->device_width, d->facts->name, r->ifname_width,
	           d->facts->ifname[0] ? d->facts->ifname : "-", buf_text(&why));
	add_row(&r->text, &row);
}

static void tell(const struct check *c)
{
	static const char device[] = "DEVICE", ifname[] = "INTERFACE";
	struct report r = {.check = c, .device_width = sizeof(device) - 1, .ifname_width = sizeof(ifname) - 1};
	core_devices(c->core, measure, &r);
	buf_printf(&r.text, "%-5s  %-*s  %-*s  %s\n", "", r.device_width, device, r.ifname_width, ifname, "BECAUSE");
	core_devices(c->core, tell_device, &r);
	buf_printf(&r.text, "%zu devices: %zu kept, %zu dropped by the filter, %zu never offered, whatever the filter says\n",
	           r.kept + r.dropped + r.never, r.kept, r.dropped, r.never);
	fputs(buf_text(&r.text), stdout);
	buf_free(&r.text);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------- */

static void tell_fault(const char *expression, size_t fault, const struct error *e)
{
	_cleanup_buf_ struct buf shown = {0};
	filter_show_fault(expression, fault, &shown);
	fprintf(stderr, "%s\n%s", e->text, buf_text(&shown));
}

int check_filter(const struct options *options)
{
	struct check c = {0};
	struct error e = {0};
	size_t fault = 0;
	if (filter_compile(options->check_filter, &c.filter, &fault, &e) < 0) {
		tell_fault(options->check_filter, fault, &e);
		return 2;
	}
	const struct core_options core_options = {.driver = options->driver_name, .node = options->node, .filter = c.filter};
	if (core_new(&core_options, &c.core) < 0 || uv_loop_init(&c.loop) < 0) {
		fputs("out of memory\n", stderr);
		core_free(c.core);
		filter_free(c.filter);
		return EXIT_FAILURE;
	}
	uv_timer_init(&c.loop, &c.patience);
	c.patience.data = &c;
	int r = read_devices(&c, options, &e);
	if (r < 0)
		fprintf(stderr, "the devices cannot be read: %s\n", e.text);
	else
		tell(&c);
	close_check(&c);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
