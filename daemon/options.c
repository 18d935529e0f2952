/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/filter.h"
#include "daemon/options.h"

enum flag_type { FLAG_STRING, FLAG_BOOL, FLAG_INT, FLAG_DURATION };
enum flag_use {
	FLAG_USED,
	FLAG_IGNORED,     /* accepted, without effect */
	FLAG_UNSUPPORTED, /* only the values in `accepted` */
};

struct flag {
	const char *name;
	enum flag_type type;
	size_t offset;
	const char *initial; /* in the flag's own syntax */
	enum flag_use use;
	const char *accepted; /* UNSUPPORTED: values that ask for nothing, separated by '|' */
	const char *help;
};

#define AT(member) offsetof(struct options, member)
#define KLOG "klog's; accepted, has no effect"

static const char not_given[] = ""; /* by its address: "" may be given, too */

static const struct flag flags[] = {
    {"add_dir_header", FLAG_BOOL, AT(klog_bool[0]), "false", FLAG_IGNORED, NULL, KLOG},
    {"alsologtostderr", FLAG_BOOL, AT(klog_bool[1]), "false", FLAG_IGNORED, NULL, KLOG},
    {"alsologtostderrthreshold", FLAG_STRING, AT(klog_text[5]), "0", FLAG_IGNORED, NULL, KLOG},
    {"api-server", FLAG_STRING, AT(api_server), "", FLAG_USED, NULL,
     "API server as host:port or URL, instead of the one the credentials name"},
    {"bind-address", FLAG_STRING, AT(bind_address), "127.0.0.1:9177", FLAG_USED, NULL,
     "address of the metrics and health server, host:port; \":9177\", DRANET's default, listens on all addresses"},
    {"cdi-dir", FLAG_STRING, AT(cdi_dir), "/var/run/cdi", FLAG_USED, NULL, "directory for the claims' CDI spec files"},
    {"check-filter", FLAG_STRING, AT(check_filter), not_given, FLAG_USED, NULL,
     "tell for each device of this node whether a filter would keep it, and why, and exit; 2 for an expression that is wrong"},
    {"cloud-provider-hint", FLAG_STRING, AT(cloud_provider_hint), "", FLAG_UNSUPPORTED, "|NONE|none",
     "cloud attributes: only NONE in this version"},
    {"db-path", FLAG_STRING, AT(db_path), "", FLAG_USED, NULL,
     "DRANET's store. Its directory is the state directory when --state-dir is not given; empty does not mean memory only, "
     "records are always kept"},
    {"device-metadata", FLAG_BOOL, AT(device_metadata), "true", FLAG_USED, NULL,
     "give containers files about the devices of their claims (KEP-5304), below /var/run/kubernetes.io/dra-device-attributes"},
    {"driver-name", FLAG_STRING, AT(driver_name), "dra.net", FLAG_USED, NULL, "name of the DRA driver and domain of its claims"},
    {"feature-gates", FLAG_STRING, AT(feature_gates), "", FLAG_USED, NULL,
     "Name=bool,… of DRANET's gates: DRAListTypeAttributes (resource.kubernetes.io/numaNode as a list; the cluster's gate must be on), "
     "PersistentResourceSliceAttributes (always so here)"},
    {"filter", FLAG_STRING, AT(filter), FILTER_DEFAULT, FLAG_USED, NULL, "CEL predicate over attributes; empty keeps every device"},
    {"hostname-override", FLAG_STRING, AT(hostname_override), "", FLAG_USED, NULL, "node name; empty is the host's name"},
    {"inventory-max-poll-interval", FLAG_DURATION, AT(max_poll_interval), "1m", FLAG_IGNORED, NULL,
     "accepted, has no effect: the kernel tells of changes"},
    {"inventory-min-poll-interval", FLAG_DURATION, AT(min_poll_interval), "2s", FLAG_IGNORED, NULL,
     "accepted, has no effect: the kernel tells of changes"},
    {"inventory-poll-burst", FLAG_INT, AT(poll_burst), "5", FLAG_IGNORED, NULL, "accepted, has no effect: the kernel tells of changes"},
    {"kubeconfig", FLAG_STRING, AT(kubeconfig), "", FLAG_USED, NULL, "path of a kubeconfig; empty is the in-cluster service account"},
    {"kubelet-root-dir", FLAG_STRING, AT(kubelet_root_dir), "/var/lib/kubelet", FLAG_USED, NULL, "kubelet's --root-dir"},
    {"legacy_stderr_threshold_behavior", FLAG_BOOL, AT(klog_bool[6]), "true", FLAG_IGNORED, NULL, KLOG},
    {"log-format", FLAG_STRING, AT(log_format), "auto", FLAG_USED, NULL,
     "auto, journal, plain or json; auto is the journal under systemd, plain on a terminal, else JSON lines"},
    {"log_backtrace_at", FLAG_STRING, AT(klog_text[0]), ":0", FLAG_IGNORED, NULL, KLOG},
    {"log_dir", FLAG_STRING, AT(klog_text[1]), "", FLAG_IGNORED, NULL, KLOG},
    {"log_file", FLAG_STRING, AT(klog_text[2]), "", FLAG_IGNORED, NULL, KLOG},
    {"log_file_max_size", FLAG_INT, AT(klog_int[0]), "1800", FLAG_IGNORED, NULL, KLOG},
    {"logtostderr", FLAG_BOOL, AT(klog_bool[2]), "true", FLAG_IGNORED, NULL, KLOG},
    {"move-ib-interfaces", FLAG_BOOL, AT(move_ib_interfaces), "true", FLAG_USED, NULL,
     "offer and move IPoIB interfaces like any other; false hides them"},
    {"nri-socket", FLAG_STRING, AT(nri_socket), "/var/run/nri/nri.sock", FLAG_USED, NULL, "NRI socket of the container runtime"},
    {"one_output", FLAG_BOOL, AT(klog_bool[3]), "false", FLAG_IGNORED, NULL, KLOG},
    {"print-attributes", FLAG_BOOL, AT(print_attributes), "false", FLAG_USED, NULL, "print the attributes of devices as Markdown and exit"},
    {"print-config-reference", FLAG_BOOL, AT(print_config_reference), "false", FLAG_USED, NULL,
     "print the reference of the opaque configuration as Markdown and exit"},
    {"print-admission-policy", FLAG_BOOL, AT(print_admission_policy), "false", FLAG_USED, NULL,
     "print a ValidatingAdmissionPolicy that refuses wrong configurations of --driver-name and exit"},
    {"print-states", FLAG_BOOL, AT(print_states), "false", FLAG_USED, NULL, "print the device state machine as a Mermaid diagram and exit"},
    {"profile-provider", FLAG_STRING, AT(profile_provider), "cloud", FLAG_UNSUPPORTED, "|NONE|none|cloud",
     "configuration profiles: none in this version, and \"cloud\", which resolves none without a webhook, is taken as none"},
    {"skip_headers", FLAG_BOOL, AT(klog_bool[4]), "false", FLAG_IGNORED, NULL, KLOG},
    {"skip_log_headers", FLAG_BOOL, AT(klog_bool[5]), "false", FLAG_IGNORED, NULL, KLOG},
    {"sriov-config-dir", FLAG_STRING, AT(sriov_config_dir), "/etc/dranetd/sriov.d", FLAG_USED, NULL,
     "directory of *.conf files that name PFs and how many VFs each shall have (packaging/sriov.md)"},
    {"state-dir", FLAG_STRING, AT(state_dir_flag), "", FLAG_USED, NULL,
     "directory of the claims' records; empty is the directory of --db-path, else /run/dranetd"},
    {"stderrthreshold", FLAG_STRING, AT(klog_text[3]), "2", FLAG_IGNORED, NULL, KLOG},
    {"synchronous-hooks", FLAG_BOOL, AT(synchronous_hooks), "false", FLAG_USED, NULL,
     "RunPodSandbox and StopPodSandbox wait for the moves instead of answering at once"},
    {"v", FLAG_INT, AT(verbosity), "0", FLAG_USED, NULL, "verbosity; from 2 on every request and hook is logged"},
    {"version", FLAG_BOOL, AT(version), "false", FLAG_USED, NULL, "print the version and exit"},
    {"vmodule", FLAG_STRING, AT(klog_text[4]), "", FLAG_IGNORED, NULL, KLOG},
    {"webhook-url", FLAG_STRING, AT(webhook_url), "", FLAG_UNSUPPORTED, "", "webhook providers: not in this version"},
};

static const char *const type_words[] = {"string", "bool", "int", "duration"};

/* strconv.ParseBool */
static int parse_bool(const char *text, bool *ret)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"1", true},  {"t", true},  {"T", true},  {"TRUE", true},   {"true", true},   {"True", true},
	             {"0", false}, {"f", false}, {"F", false}, {"FALSE", false}, {"false", false}, {"False", false}};
	for (size_t i = 0; i < ELEMENTS(words); i++)
		if (strcmp(text, words[i].word) == 0) {
			*ret = words[i].value;
			return 0;
		}
	return -EINVAL;
}

static int parse_int(const char *text, int64_t *ret)
{
	char *end;
	errno = 0;
	long long v = strtoll(text, &end, 0);
	if (errno || end == text || *end || isspace((unsigned char)text[0]))
		return -EINVAL;
	*ret = v;
	return 0;
}

static int flag_set(const struct flag *f, struct options *o, const char *text)
{
	void *at = (char *)o + f->offset;
	switch (f->type) {
	case FLAG_STRING:
		*(const char **)at = text;
		return 0;
	case FLAG_BOOL:
		return parse_bool(text, at);
	case FLAG_INT:
		return parse_int(text, at);
	case FLAG_DURATION:
		return duration_parse(text, at);
	}
	return -EINVAL;
}

static void flag_value(const struct flag *f, const struct options *o, const char **ret, char buffer[40])
{
	const void *at = (const char *)o + f->offset;
	*ret = buffer;
	switch (f->type) {
	case FLAG_STRING:
		*ret = *(const char *const *)at;
		break;
	case FLAG_BOOL:
		*ret = *(const bool *)at ? "true" : "false";
		break;
	case FLAG_INT:
		snprintf(buffer, 40, "%" PRId64, *(const int64_t *)at);
		break;
	case FLAG_DURATION:
		duration_format(*(const int64_t *)at, buffer);
		break;
	}
}

static const struct flag *flag_find(const char *name, size_t len)
{
	for (size_t i = 0; i < ELEMENTS(flags); i++)
		if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
			return &flags[i];
	return NULL;
}

/* Whether `word` is one of "a|b|c" (an empty one counts). */
static bool is_one_of(const char *word, const char *list)
{
	size_t len = strlen(word);
	for (;;) {
		const char *bar = strchrnul(list, '|');
		if ((size_t)(bar - list) == len && memcmp(list, word, len) == 0)
			return true;
		if (!*bar)
			return false;
		list = bar + 1;
	}
}

/* One argument, or two when the value is the next one. The texts of faults are Go's. */
static enum options_result take_argument(int argc, char *const *argv, int *i, struct options *o, struct error *e)
{
	const char *name = argv[*i] + (argv[*i][1] == '-' ? 2 : 1);
	const char *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);
	if (len == 0 || name[0] == '-') {
		error_set(e, -EINVAL, "bad flag syntax: %s", argv[*i]);
		return OPTIONS_WRONG;
	}
	const struct flag *f = flag_find(name, len);
	if (!f) {
		if ((len == 1 && name[0] == 'h') || (len == 4 && memcmp(name, "help", 4) == 0))
			return OPTIONS_HELP;
		error_set(e, -EINVAL, "flag provided but not defined: -%.*s", (int)len, name);
		return OPTIONS_WRONG;
	}
	const char *value = equals ? equals + 1 : NULL;
	if (!value && f->type == FLAG_BOOL)
		value = "true";
	if (!value && *i + 1 < argc)
		value = argv[++*i];
	if (!value) {
		error_set(e, -EINVAL, "flag needs an argument: -%s", f->name);
		return OPTIONS_WRONG;
	}
	if (flag_set(f, o, value) < 0) {
		error_set(e, -EINVAL, "invalid value \"%s\" for flag -%s: not a %s", value, f->name, type_words[f->type]);
		return OPTIONS_WRONG;
	}
	if (f->use == FLAG_UNSUPPORTED && !is_one_of(value, f->accepted)) {
		error_set(e, -EINVAL, "--%s=\"%s\": this version of dranetd does not support it (%s)", f->name, value, f->help);
		return OPTIONS_WRONG;
	}
	return OPTIONS_OK;
}

/* Without the white space around it. */
static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = 0;
	return text;
}

/* As Kubernetes' gates are set: the last entry for a gate counts, and what AllAlpha says counts for those that are not named. */
static int take_gates(struct options *o, const char *text, struct error *e)
{
	enum { GATE_LISTS, GATE_PERSISTENT, GATE_ALPHA, GATE_BETA, GATES };
	static const char *const names[GATES] = {"DRAListTypeAttributes", "PersistentResourceSliceAttributes", "AllAlpha", "AllBeta"};
	int8_t values[GATES] = {-1, -1, -1, -1};
	while (*text) {
		char entry[96], *equals, *name, *word;
		size_t len = strcspn(text, ","), i;
		bool value;
		if (len >= sizeof(entry))
			return error_set(e, -EINVAL, "--feature-gates: an entry of %zu bytes", len);
		memcpy(entry, text, len);
		entry[len] = 0;
		text += len + (text[len] == ',');
		if (!len)
			continue;
		if (!(equals = strchr(entry, '=')))
			return error_set(e, -EINVAL, "--feature-gates: missing bool value for %s", entry);
		*equals = 0;
		name = trim(entry);
		word = trim(equals + 1);
		for (i = 0; i < GATES && strcmp(names[i], name) != 0; i++)
			;
		if (i == GATES)
			return error_set(e, -EINVAL, "--feature-gates: unrecognized feature gate: %s", name);
		if (parse_bool(word, &value) < 0)
			return error_set(e, -EINVAL, "--feature-gates: invalid value of %s=%s", name, word);
		values[i] = value;
	}
	o->list_attributes = (values[GATE_LISTS] < 0 ? values[GATE_ALPHA] : values[GATE_LISTS]) > 0;
	return 0;
}

static int resolve_node(struct options *o, const char *hostname, struct error *e)
{
	char own[256] = "";
	const char *from = o->hostname_override;
	if (!*from) {
		if (!hostname && gethostname(own, sizeof(own) - 1) < 0)
			return error_set(e, -errno, "the host's name cannot be read");
		from = hostname ? hostname : own;
	}
	while (isspace((unsigned char)*from))
		from++;
	size_t len = strlen(from);
	while (len && isspace((unsigned char)from[len - 1]))
		len--;
	if (len == 0)
		return error_set(e, -EINVAL, "the node name is empty");
	if (len >= sizeof(o->node))
		return error_set(e, -EINVAL, "the node name has %zu bytes, more than 253", len);
	for (size_t i = 0; i < len; i++)
		o->node[i] = (char)tolower((unsigned char)from[i]);
	o->node[len] = 0;
	if (!str_is_token(o->node) || strpbrk(o->node, "/?#%&"))
		return error_set(e, -EINVAL, "\"%s\" is no node name", o->node);
	return 0;
}

static int resolve_state_dir(struct options *o, struct error *e)
{
	int r;
	if (*o->state_dir_flag) {
		r = STR_COPY(o->state_dir, o->state_dir_flag);
	} else if (*o->db_path) {
		const char *slash = strrchr(o->db_path, '/');
		if (!slash || slash == o->db_path || (size_t)(slash - o->db_path) >= sizeof(o->state_dir))
			return error_set(e, -EINVAL, "--db-path=\"%s\" is not an absolute path below a directory", o->db_path);
		memcpy(o->state_dir, o->db_path, (size_t)(slash - o->db_path));
		o->state_dir[slash - o->db_path] = 0;
		r = 0;
	} else {
		r = STR_COPY(o->state_dir, "/run/dranetd");
	}
	/* The runtime reads the path in the claims' CDI specs, where it stands unescaped. */
	if (r < 0 || o->state_dir[0] != '/' || !str_is_token(o->state_dir) || strpbrk(o->state_dir, "\"\\") || strlen(o->state_dir) > 256)
		return error_set(e, -EINVAL, "the state directory must be an absolute path of at most 256 plain characters");
	return 0;
}

/* The driver's name is part of socket paths, file names and CDI ids: a DNS subdomain of at most 63 bytes (API server's rule). */
static bool is_driver_name(const char *name)
{
	char label[64];
	if (strlen(name) > 63)
		return false;
	for (;;) {
		size_t len = strcspn(name, ".");
		memcpy(label, name, len);
		label[len] = 0;
		if (!str_is_dns_label(label))
			return false;
		if (!name[len])
			return true;
		name += len + 1;
	}
}

static int check(struct options *o, const char *hostname, struct error *e)
{
	static const struct {
		const char *word;
		enum log_sink sink;
	} sinks[] = {{"auto", LOG_SINK_AUTO}, {"journal", LOG_SINK_JOURNAL}, {"plain", LOG_SINK_PLAIN}, {"json", LOG_SINK_JSON}};
	const struct {
		const char *name, *path;
	} paths[] = {{"cdi-dir", o->cdi_dir}, {"nri-socket", o->nri_socket}, {"kubelet-root-dir", o->kubelet_root_dir}};
	size_t i;
	for (i = 0; i < ELEMENTS(sinks) && strcmp(o->log_format, sinks[i].word) != 0; i++)
		;
	if (i == ELEMENTS(sinks))
		return error_set(e, -EINVAL, "--log-format=\"%s\" is none of auto, journal, plain, json", o->log_format);
	o->sink = sinks[i].sink;
	o->checking_filter = o->check_filter != not_given;
	for (i = 0; i < ELEMENTS(paths); i++)
		if (paths[i].path[0] != '/' || strlen(paths[i].path) >= PATH_SIZE)
			return error_set(e, -EINVAL, "--%s=\"%s\" is not an absolute path", paths[i].name, paths[i].path);
	if (!is_driver_name(o->driver_name))
		return error_set(e, -EINVAL, "--driver-name=\"%s\" is no DNS subdomain of at most 63 bytes", o->driver_name);
	if (!*o->bind_address)
		return error_set(e, -EINVAL, "--bind-address is empty");
	int r = take_gates(o, o->feature_gates, e);
	if (r == 0)
		r = resolve_state_dir(o, e);
	return r < 0 ? r : resolve_node(o, hostname, e);
}

enum options_result options_parse(int argc, char *const *argv, const char *hostname, struct options *ret, struct error *e)
{
	struct options o = {0};
	for (size_t i = 0; i < ELEMENTS(flags); i++)
		flag_set(&flags[i], &o, flags[i].initial);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0 && i + 1 == argc)
			break;
		if (argv[i][0] != '-' || !argv[i][1]) {
			error_set(e, -EINVAL, "unexpected argument: %s", argv[i]);
			return OPTIONS_WRONG;
		}
		enum options_result r = take_argument(argc, argv, &i, &o, e);
		if (r != OPTIONS_OK)
			return r;
	}
	if (check(&o, hostname, e) < 0)
		return OPTIONS_WRONG;
	*ret = o;
	return OPTIONS_OK;
}

void options_usage(struct buf *ret)
{
	buf_puts(ret, "Usage of dranetd:\n");
	for (size_t i = 0; i < ELEMENTS(flags); i++) {
		const struct flag *f = &flags[i];
		const char *quote = f->type == FLAG_STRING ? "\"" : "";
		buf_printf(ret, "  -%s%s%s\n    \t%s", f->name, f->type == FLAG_BOOL ? "" : " ",
		           f->type == FLAG_BOOL ? "" : type_words[f->type], f->help);
		if (*f->initial && strcmp(f->initial, "false") != 0)
			buf_printf(ret, " (default %s%s%s)", quote, f->initial, quote);
		buf_puts(ret, "\n");
	}
}

void options_each(const struct options *o, void (*see)(const char *name, const char *value, bool ignored, void *user), void *user)
{
	struct options initial = {0};
	char buffer[40], initial_buffer[40];
	const char *value, *before;
	for (size_t i = 0; i < ELEMENTS(flags); i++) {
		flag_set(&flags[i], &initial, flags[i].initial);
		flag_value(&flags[i], o, &value, buffer);
		flag_value(&flags[i], &initial, &before, initial_buffer);
		see(flags[i].name, value, flags[i].use == FLAG_IGNORED && strcmp(value, before) != 0, user);
	}
}
