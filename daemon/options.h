/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table of flags, DRANET's (dranet-behaviour §1.1) and dranetd's own, in the syntax of Go's flag package, so that a
 * manifest written for DRANET starts dranetd: `-x`, `--x`, `--x=v`, `--x v`; booleans take a value only behind `=`.
 *
 * Flags of DRANET that mean nothing here (polling intervals, klog's files) are accepted and told as such; those that ask for something
 * this version cannot do (cloud and profile providers, webhooks) are refused when they ask for it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/claim.h"
#include "daemon/log.h"

struct options {
	/* DRANET's. Texts point into argv or are static. */
	const char *kubeconfig; /* "" = in-cluster */
	const char *bind_address;
	const char *hostname_override;
	const char *filter;
	const char *db_path;
	int64_t min_poll_interval, max_poll_interval; /* ns; accepted, nothing is polled */
	int64_t poll_burst;
	bool move_ib_interfaces;
	const char *cloud_provider_hint, *profile_provider, *webhook_url;
	const char *kubelet_root_dir;
	const char *feature_gates;
	/* dranetd's */
	const char *driver_name;
	const char *nri_socket;
	const char *state_dir_flag;
	const char *cdi_dir;
	const char *sriov_config_dir;
	const char *log_format;
	const char *check_filter;
	const char *api_server; /* "host:port" or a URL; "" = as the credentials say */
	bool device_metadata;
	bool synchronous_hooks, print_states, print_attributes, print_config_reference, print_admission_policy, version;
	/* klog's */
	int64_t verbosity;
	const char *klog_text[6];
	bool klog_bool[7];
	int64_t klog_int[2];

	/* What follows from them. */
	char node[NAME_SIZE];      /* --hostname-override or the host's name, trimmed, lower case */
	char state_dir[PATH_SIZE]; /* --state-dir, else the directory of --db-path, else /run/dranetd */
	enum log_sink sink;
	bool list_attributes; /* gate DRAListTypeAttributes */
	bool checking_filter; /* --check-filter was given */
};

enum options_result { OPTIONS_OK, OPTIONS_HELP, OPTIONS_WRONG };

/* Parse and check. WRONG: the reason is in `e`. `hostname` is the host's own name (NULL = ask the kernel). */
enum options_result options_parse(int argc, char *const *argv, const char *hostname, struct options *ret, struct error *e);
void options_usage(struct buf *ret);
/* Every flag with its effective value as Go prints it. `ignored` = it was given, and has no effect here. */
void options_each(const struct options *o, void (*see)(const char *name, const char *value, bool ignored, void *user), void *user);

/* Go's time.ParseDuration and Duration.String: "1h30m", "2s", "1.5ms" ⇄ nanoseconds. */
int duration_parse(const char *text, int64_t *ret_ns); /* 0 or -EINVAL */
void duration_format(int64_t ns, char ret[40]);
