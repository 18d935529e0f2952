/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "daemon/metrics.h"

static const char *const dra_methods[DRA_METHOD_MAX] = {"PrepareResourceClaims", "UnprepareResourceClaims"};
static const char *const hook_names[HOOK_MAX] = {"RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "CreateContainer"};
static const char *const statuses[CALL_STATUS_MAX] = {"success", "failed", "noop"};
static const char *const moves[2] = {"attach", "detach"};

struct bounds {
	size_t n;
	double le[HISTOGRAM_BUCKETS_MAX];
};
/* DRANET's own (client libraries' default), and ours, for what is budgeted at a millisecond. */
static const struct bounds default_bounds = {11, {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}};
static const struct bounds fine_bounds = {11, {.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .05, .25, 1}};
static const struct bounds move_bounds = {11, {.001, .005, .01, .016, .02, .03, .05, .1, .25, 1, 5}};

static void observe(struct histogram *h, const struct bounds *b, double seconds)
{
	size_t i = 0;
	while (i < b->n && seconds > b->le[i])
		i++;
	if (i < b->n)
		h->buckets[i]++;
	h->count++;
	h->sum += seconds;
}

void metrics_dra_request(struct metrics *m, enum dra_method method, bool ok, double seconds)
{
	m->dra_requests[method][ok ? CALL_SUCCESS : CALL_FAILED]++;
	observe(&m->dra_latency[method], &default_bounds, seconds);
}

void metrics_hook(struct metrics *m, enum hook hook, enum call_status status, double seconds)
{
	m->hooks[hook][status]++;
	observe(&m->hook_latency[hook][status], &default_bounds, seconds);
	observe(&m->hook_wait[hook], &fine_bounds, seconds);
}

void metrics_move(struct metrics *m, bool attach, bool ok, double seconds)
{
	m->moves[!attach][!ok]++;
	observe(&m->move_time[!attach], &move_bounds, seconds);
}

void metrics_published(struct metrics *m, const struct core_counts *counts, double unix_time)
{
	m->published_total = counts->offered;
	m->published_rdma = counts->rdma_offered;
	m->last_published = unix_time;
}

void metrics_transition(struct metrics *m, enum device_state from, enum device_state to)
{
	m->transitions[from][to]++;
}

void metrics_label(struct buf *ret, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			buf_puts(ret, "\\n");
		else if (*value == '"' || *value == '\\')
			buf_printf(ret, "\\%c", *value);
		else
			buf_add(ret, value, 1);
	}
}

/* The shortest form that reads back as the same number. */
static void put_number(struct buf *b, double v)
{
	char text[32];
	for (int digits = 6; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	buf_puts(b, text);
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

struct label {
	const char *name, *value;
};

static void put_labels(struct buf *b, const struct label *labels, size_t n, const char *le)
{
	if (!n && !le)
		return;
	buf_puts(b, "{");
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, "%s%s=\"", i ? "," : "", labels[i].name);
		metrics_label(b, labels[i].value);
		buf_puts(b, "\"");
	}
	if (le)
		buf_printf(b, "%sle=\"%s\"", n ? "," : "", le);
	buf_puts(b, "}");
}

static void sample(struct buf *b, const char *name, const struct label *labels, size_t n, double v)
{
	buf_puts(b, name);
	put_labels(b, labels, n, NULL);
	buf_puts(b, " ");
	put_number(b, v);
	buf_puts(b, "\n");
}

static void put_histogram(struct buf *b, const char *name, const struct bounds *bounds, const struct label *labels, size_t n,
                          const struct histogram *h)
{
	uint64_t sum = 0;
	for (size_t i = 0; i <= bounds->n; i++) {
		_cleanup_buf_ struct buf le = {0};
		if (i < bounds->n)
			put_number(&le, bounds->le[i]);
		else
			buf_puts(&le, "+Inf");
		sum = i < bounds->n ? sum + h->buckets[i] : h->count;
		buf_printf(b, "%s_bucket", name);
		put_labels(b, labels, n, buf_text(&le));
		buf_printf(b, " %" PRIu64 "\n", sum);
	}
	buf_printf(b, "%s_sum", name);
	put_labels(b, labels, n, NULL);
	buf_puts(b, " ");
	put_number(b, h->sum);
	buf_printf(b, "\n%s_count", name);
	put_labels(b, labels, n, NULL);
	buf_printf(b, " %" PRIu64 "\n", h->count);
}

static void write_dra(const struct metrics *m, struct buf *b)
{
	head(b, "dranet_driver_dra_plugin_requests_total", "counter", "Calls of the kubelet, failed when any claim in one failed.");
	for (int i = 0; i < DRA_METHOD_MAX; i++)
		for (int s = 0; s < CALL_NOOP; s++) {
			const struct label labels[] = {{"method", dra_methods[i]}, {"status", statuses[s]}};
			if (m->dra_requests[i][s])
				sample(b, "dranet_driver_dra_plugin_requests_total", labels, 2, (double)m->dra_requests[i][s]);
		}
	head(b, "dranet_driver_dra_plugin_requests_latency_seconds", "histogram", "Time to the answer of a call of the kubelet.");
	for (int i = 0; i < DRA_METHOD_MAX; i++) {
		const struct label labels[] = {{"method", dra_methods[i]}};
		if (m->dra_latency[i].count)
			put_histogram(b, "dranet_driver_dra_plugin_requests_latency_seconds", &default_bounds, labels, 1,
			              &m->dra_latency[i]);
	}
}

static void write_hooks(const struct metrics *m, struct buf *b)
{
	head(b, "dranet_driver_nri_plugin_requests_total", "counter", "Hooks of the container runtime; noop is a pod without a claim.");
	for (int i = 0; i < HOOK_MAX; i++)
		for (int s = 0; s < CALL_STATUS_MAX; s++) {
			const struct label labels[] = {{"method", hook_names[i]}, {"status", statuses[s]}};
			if (m->hooks[i][s])
				sample(b, "dranet_driver_nri_plugin_requests_total", labels, 2, (double)m->hooks[i][s]);
		}
	head(b, "dranet_driver_nri_plugin_requests_latency_seconds", "histogram", "Time the container runtime waited for a hook.");
	for (int i = 0; i < HOOK_MAX; i++)
		for (int s = 0; s < CALL_STATUS_MAX; s++) {
			const struct label labels[] = {{"method", hook_names[i]}, {"status", statuses[s]}};
			if (m->hook_latency[i][s].count)
				put_histogram(b, "dranet_driver_nri_plugin_requests_latency_seconds", &default_bounds, labels, 2,
				              &m->hook_latency[i][s]);
		}
	head(b, "dranetd_hook_wait_seconds", "histogram", "Time the container runtime waited for a hook, in fine buckets.");
	for (int i = 0; i < HOOK_MAX; i++) {
		const struct label labels[] = {{"method", hook_names[i]}};
		if (m->hook_wait[i].count)
			put_histogram(b, "dranetd_hook_wait_seconds", &fine_bounds, labels, 1, &m->hook_wait[i]);
	}
}

static void write_devices(const struct metrics *m, struct buf *b)
{
	const struct label rdma = {"feature", "rdma"}, total = {"feature", "total"};
	head(b, "dranet_driver_published_devices_total", "gauge", "Devices in the ResourceSlices the API server holds.");
	sample(b, "dranet_driver_published_devices_total", &rdma, 1, (double)m->published_rdma);
	sample(b, "dranet_driver_published_devices_total", &total, 1, (double)m->published_total);
	head(b, "dranet_driver_last_published_time_seconds", "gauge",
	     "Unix time at which the API server last accepted the ResourceSlices.");
	sample(b, "dranet_driver_last_published_time_seconds", NULL, 0, m->last_published);

	head(b, "dranetd_devices", "gauge", "Devices by state.");
	for (int s = 0; s < DEVICE_STATE_MAX; s++) {
		const struct label state = {"state", device_state_name((enum device_state)s)};
		sample(b, "dranetd_devices", &state, 1, (double)m->devices[s]);
	}
	head(b, "dranetd_transitions_total", "counter", "State changes of devices.");
	for (int f = 0; f < DEVICE_STATE_MAX; f++)
		for (int t = 0; t < DEVICE_STATE_MAX; t++) {
			const struct label labels[] = {{"from", device_state_name((enum device_state)f)},
			                               {"to", device_state_name((enum device_state)t)}};
			if (m->transitions[f][t])
				sample(b, "dranetd_transitions_total", labels, 2, (double)m->transitions[f][t]);
		}
	head(b, "dranetd_moves_total", "counter", "Moves of devices between the host and pods.");
	for (int i = 0; i < 2; i++)
		for (int s = 0; s < 2; s++) {
			const struct label labels[] = {{"direction", moves[i]}, {"status", statuses[s]}};
			sample(b, "dranetd_moves_total", labels, 2, (double)m->moves[i][s]);
		}
	head(b, "dranetd_move_duration_seconds", "histogram", "Time a move took on the worker.");
	for (int i = 0; i < 2; i++) {
		const struct label labels[] = {{"direction", moves[i]}};
		if (m->move_time[i].count)
			put_histogram(b, "dranetd_move_duration_seconds", &move_bounds, labels, 1, &m->move_time[i]);
	}
}

struct row {
	const char *name, *type, *help;
	double value;
};

static void write_rows(const struct row *rows, size_t n, struct buf *b)
{
	for (size_t i = 0; i < n; i++) {
		head(b, rows[i].name, rows[i].type, rows[i].help);
		sample(b, rows[i].name, NULL, 0, rows[i].value);
	}
}

void metrics_write(const struct metrics *m, const struct process_stats *p, struct buf *ret)
{
	const struct row own[] = {
	    {"dranetd_claims", "gauge", "Claims prepared on this node.", (double)m->counts.claims},
	    {"dranetd_devices_failing", "gauge", "Devices whose last operation failed and is retried.", (double)m->counts.failing},
	    {"dranetd_impossible_transitions_total", "counter", "State changes the table does not have: always 0, or a bug.",
	     (double)m->counts.impossible},
	    {"dranetd_core_events_total", "counter", "Events the state machine has taken.", (double)m->events},
	    {"dranetd_kernel_dumps_total", "counter", "Full dumps of links, addresses and routes.", (double)m->monitor.dumps},
	    {"dranetd_kernel_notifications_total", "counter", "Notifications of the kernel.", (double)m->monitor.notifications},
	    {"dranetd_kernel_overruns_total", "counter", "Times the kernel dropped notifications, each followed by a dump.",
	     (double)m->monitor.overruns},
	    {"dranetd_store_failures_total", "counter", "Records that could not be written or removed.", (double)m->store_failures},
	    {"dranetd_status_failures_total", "counter", "Claim status writes that failed.", (double)m->status_failures},
	    {"dranetd_token_failures_total", "counter", "CDI spec files that could not be written or removed.", (double)m->token_failures},
	    {"dranetd_kubelet_registered", "gauge", "1 while the kubelet has us registered.", m->registered},
	    {"dranetd_runtime_connected", "gauge", "1 while the NRI connection is up.", m->runtime_connected},
	};
	const struct row process[] = {
	    {"process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", p->cpu_seconds},
	    {"process_max_fds", "gauge", "Maximum number of open file descriptors.", (double)p->max_fds},
	    {"process_open_fds", "gauge", "Number of open file descriptors.", (double)p->open_fds},
	    {"process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", (double)p->resident_bytes},
	    {"process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.", p->start_time},
	    {"process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", (double)p->virtual_bytes},
	};
	write_dra(m, ret);
	write_hooks(m, ret);
	write_devices(m, ret);
	write_rows(own, ELEMENTS(own), ret);
	write_rows(process, ELEMENTS(process), ret);
}
