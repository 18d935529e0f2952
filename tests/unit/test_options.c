/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/filter.h"
#include "daemon/options.h"

/* The words behind the program's name, up to NULL. */
static enum options_result parse(struct options *o, struct error *e, const char *const *words)
{
	char *argv[32] = {(char *)"dranetd"};
	int argc = 1;
	for (; *words; words++)
		argv[argc++] = (char *)*words;
	return options_parse(argc, argv, " Node-A.example\n", o, e);
}
#define PARSE(o, e, ...) parse(o, e, (const char *const[]){__VA_ARGS__, NULL})

static void test_defaults(void **state)
{
	struct options o;
	struct error e = {0};
	(void)state;
	assert_int_equal(parse(&o, &e, (const char *const[]){NULL}), OPTIONS_OK);
	assert_string_equal(o.node, "node-a.example");
	assert_string_equal(o.driver_name, "dra.net");
	assert_string_equal(o.bind_address, "127.0.0.1:9177");
	assert_string_equal(o.filter, FILTER_DEFAULT);
	assert_string_equal(o.state_dir, "/run/dranetd");
	assert_string_equal(o.cdi_dir, "/var/run/cdi");
	assert_string_equal(o.kubelet_root_dir, "/var/lib/kubelet");
	assert_string_equal(o.nri_socket, "/var/run/nri/nri.sock");
	assert_true(o.move_ib_interfaces);
	assert_false(o.synchronous_hooks);
	assert_int_equal(o.sink, LOG_SINK_AUTO);
	assert_int_equal(o.max_poll_interval, 60000000000);
}

static void test_go_syntax(void **state)
{
	struct options o;
	struct error e = {0};
	(void)state;
	assert_int_equal(PARSE(&o, &e, "-v=4", "--kubeconfig", "/k", "-bind-address=:1", "--hostname-override= Other ",
	                       "-synchronous-hooks", "--move-ib-interfaces=F", "--inventory-poll-burst=0x10", "-filter=", "--log_dir", "/x",
	                       "--"),
	                 OPTIONS_OK);
	assert_int_equal(o.verbosity, 4);
	assert_string_equal(o.kubeconfig, "/k");
	assert_string_equal(o.bind_address, ":1");
	assert_string_equal(o.node, "other");
	assert_true(o.synchronous_hooks);
	assert_false(o.move_ib_interfaces);
	assert_int_equal(o.poll_burst, 16);
	assert_string_equal(o.filter, "");
}

struct fault {
	const char *argument, *text;
};

static void test_faults(void **state)
{
	static const struct fault faults[] = {
	    {"--nonsense=1", "flag provided but not defined: -nonsense"},
	    {"---v=1", "bad flag syntax: ---v=1"},
	    {"-=1", "bad flag syntax: -=1"},
	    {"word", "unexpected argument: word"},
	    {"-", "unexpected argument: -"},
	    {"--kubeconfig", "flag needs an argument: -kubeconfig"},
	    {"--move-ib-interfaces=yes", "invalid value \"yes\" for flag -move-ib-interfaces: not a bool"},
	    {"--inventory-poll-burst=many", "invalid value \"many\" for flag -inventory-poll-burst: not a int"},
	    {"--inventory-min-poll-interval=5", "invalid value \"5\" for flag -inventory-min-poll-interval: not a duration"},
	    {"--hostname-override=  ", "the node name is empty"},
	    {"--hostname-override=a b", "\"a b\" is no node name"},
	    {"--driver-name=Dra.Net", "--driver-name=\"Dra.Net\" is no DNS subdomain of at most 63 bytes"},
	    {"--driver-name=a..b", "--driver-name=\"a..b\" is no DNS subdomain of at most 63 bytes"},
	    {"--driver-name=../x", "--driver-name=\"../x\" is no DNS subdomain of at most 63 bytes"},
	    {"--cdi-dir=cdi", "--cdi-dir=\"cdi\" is not an absolute path"},
	    {"--log-format=xml", "--log-format=\"xml\" is none of auto, journal, plain, json"},
	    {"--db-path=dranet.db", "--db-path=\"dranet.db\" is not an absolute path below a directory"},
	    {"--state-dir=relative", "the state directory must be an absolute path of at most 256 plain characters"},
	    {"--state-dir=/a\"b", "the state directory must be an absolute path of at most 256 plain characters"},
	    {"--bind-address=", "--bind-address is empty"},
	    {"--feature-gates=Nope=true", "--feature-gates: unrecognized feature gate: Nope"},
	    {"--feature-gates=AllBeta=maybe", "--feature-gates: invalid value of AllBeta=maybe"},
	    {"--feature-gates=AllBeta", "--feature-gates: missing bool value for AllBeta"},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(faults); i++) {
		struct options o;
		struct error e = {0};
		assert_int_equal(PARSE(&o, &e, faults[i].argument), OPTIONS_WRONG);
		assert_string_equal(e.text, faults[i].text);
	}
}

static void test_gates(void **state)
{
	static const struct {
		const char *argument;
		bool lists;
	} rows[] = {
	    {"--feature-gates=", false},
	    {"--feature-gates=DRAListTypeAttributes=true", true},
	    {"--feature-gates=DRAListTypeAttributes=false", false},
	    {"--feature-gates=AllAlpha=true", true},
	    {"--feature-gates=AllAlpha=true,DRAListTypeAttributes=false", false},
	    {"--feature-gates=DRAListTypeAttributes=false,AllAlpha=true", false},
	    {"--feature-gates=AllAlpha=false,DRAListTypeAttributes=1", true},
	    {"--feature-gates=DRAListTypeAttributes=true,DRAListTypeAttributes=false", false},
	    {"--feature-gates=AllBeta=true,PersistentResourceSliceAttributes=true", false},
	    {"--feature-gates= PersistentResourceSliceAttributes=true, DRAListTypeAttributes = true ,", true},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct options o;
		struct error e = {0};
		assert_int_equal(PARSE(&o, &e, rows[i].argument), OPTIONS_OK);
		assert_int_equal(o.list_attributes, rows[i].lists);
	}
}

/* DRANET's flags and those of the klog that it links, with their defaults as it logs them (dranet-behaviour §1.1). */
static const struct {
	const char *name, *dranet, *ours; /* NULL = as DRANET; else deliberately another */
} dranet_flags[] = {
    {"add_dir_header", "false", NULL},
    {"alsologtostderr", "false", NULL},
    {"alsologtostderrthreshold", "0", NULL},
    {"bind-address", ":9177", "127.0.0.1:9177"}, /* whoever is on the network has no business with it */
    {"cloud-provider-hint", "", NULL},
    {"db-path", "/var/run/dranet/dranet.db", ""}, /* the state directory is /run/dranetd */
    {"feature-gates", "", NULL},
    {"filter", "!(\"dra.net/type\" in attributes) || attributes[\"dra.net/type\"].StringValue  != \"veth\"", NULL},
    {"hostname-override", "", NULL},
    {"inventory-max-poll-interval", "1m0s", NULL},
    {"inventory-min-poll-interval", "2s", NULL},
    {"inventory-poll-burst", "5", NULL},
    {"kubeconfig", "", NULL},
    {"kubelet-root-dir", "/var/lib/kubelet", NULL},
    {"legacy_stderr_threshold_behavior", "true", NULL},
    {"log_backtrace_at", ":0", NULL},
    {"log_dir", "", NULL},
    {"log_file", "", NULL},
    {"log_file_max_size", "1800", NULL},
    {"logtostderr", "true", NULL},
    {"move-ib-interfaces", "true", NULL},
    {"one_output", "false", NULL},
    {"profile-provider", "cloud", NULL},
    {"skip_headers", "false", NULL},
    {"skip_log_headers", "false", NULL},
    {"stderrthreshold", "2", NULL},
    {"v", "0", NULL},
    {"vmodule", "", NULL},
    {"webhook-url", "", NULL},
};

static void see_dranet_flag(const char *name, const char *value, bool ignored, void *user)
{
	size_t *seen = user;
	(void)ignored;
	for (size_t i = 0; i < ELEMENTS(dranet_flags); i++)
		if (strcmp(name, dranet_flags[i].name) == 0) {
			assert_string_equal(value, dranet_flags[i].ours ? dranet_flags[i].ours : dranet_flags[i].dranet);
			++*seen;
		}
}

static void test_flags_of_dranet(void **state)
{
	struct options o;
	struct error e = {0};
	size_t seen = 0;
	(void)state;
	assert_int_equal(parse(&o, &e, (const char *const[]){NULL}), OPTIONS_OK);
	options_each(&o, see_dranet_flag, &seen);
	assert_int_equal(seen, ELEMENTS(dranet_flags));
	/* Each with DRANET's default, as a manifest may spell it out, in both ways that a value can be given. */
	for (size_t i = 0; i < ELEMENTS(dranet_flags); i++) {
		char joined[160], flag[64];
		const char *value = dranet_flags[i].dranet;
		snprintf(joined, sizeof(joined), "--%s=%s", dranet_flags[i].name, value);
		snprintf(flag, sizeof(flag), "-%s", dranet_flags[i].name);
		assert_int_equal(PARSE(&o, &e, joined), OPTIONS_OK);
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			assert_int_equal(PARSE(&o, &e, flag, value), OPTIONS_OK);
	}
	/* All that DRANET's Helm chart can make of its values, in its forms. */
	assert_int_equal(PARSE(&o, &e, "--v=4", "--hostname-override=node-b", "--bind-address=:9200", "--filter=true",
	                       "--db-path=/var/run/dranet/dranet.db", "--inventory-min-poll-interval=500ms",
	                       "--inventory-max-poll-interval=2m", "--inventory-poll-burst=10", "--move-ib-interfaces=false",
	                       "--cloud-provider-hint=NONE", "--profile-provider=none",
	                       "--webhook-url=", "--feature-gates=PersistentResourceSliceAttributes=true,DRAListTypeAttributes=true",
	                       "--kubelet-root-dir=/data/kubelet"),
	                 OPTIONS_OK);
	assert_string_equal(o.node, "node-b");
	assert_string_equal(o.bind_address, ":9200");
	assert_string_equal(o.state_dir, "/var/run/dranet");
	assert_string_equal(o.kubelet_root_dir, "/data/kubelet");
	assert_true(o.list_attributes && !o.move_ib_interfaces);
}

static void test_unsupported_providers(void **state)
{
	static const struct {
		const char *argument;
		enum options_result result;
	} rows[] = {
	    {"--cloud-provider-hint=NONE", OPTIONS_OK},
	    {"--cloud-provider-hint=none", OPTIONS_OK},
	    {"--cloud-provider-hint=", OPTIONS_OK},
	    {"--cloud-provider-hint=GCE", OPTIONS_WRONG},
	    {"--cloud-provider-hint=no", OPTIONS_WRONG},
	    {"--profile-provider=none", OPTIONS_OK},
	    {"--profile-provider=cloud", OPTIONS_OK},
	    {"--profile-provider=webhook", OPTIONS_WRONG},
	    {"--webhook-url=", OPTIONS_OK},
	    {"--webhook-url=http://x", OPTIONS_WRONG},
	    {"--feature-gates=PersistentResourceSliceAttributes=true", OPTIONS_OK},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct options o;
		struct error e = {0};
		assert_int_equal(PARSE(&o, &e, rows[i].argument), rows[i].result);
		if (rows[i].result == OPTIONS_WRONG)
			assert_non_null(strstr(e.text, "does not support"));
	}
}

static void test_help(void **state)
{
	struct options o;
	struct error e = {0};
	_cleanup_buf_ struct buf usage = {0};
	(void)state;
	assert_int_equal(PARSE(&o, &e, "-h"), OPTIONS_HELP);
	assert_int_equal(PARSE(&o, &e, "--help"), OPTIONS_HELP);
	options_usage(&usage);
	assert_false(usage.failed);
	assert_non_null(strstr(buf_text(&usage), "-synchronous-hooks"));
	assert_non_null(strstr(buf_text(&usage), "(default \"127.0.0.1:9177\")"));
}

static void test_check_filter(void **state)
{
	struct options o;
	struct error e = {0};
	(void)state;
	assert_int_equal(PARSE(&o, &e, "--filter=true"), OPTIONS_OK);
	assert_false(o.checking_filter);
	assert_int_equal(PARSE(&o, &e, "--check-filter", "false"), OPTIONS_OK);
	assert_true(o.checking_filter);
	assert_string_equal(o.check_filter, "false");
	assert_int_equal(PARSE(&o, &e, "--check-filter", ""), OPTIONS_OK); /* the filter that keeps all */
	assert_true(o.checking_filter);
	assert_int_equal(PARSE(&o, &e, "--check-filter="), OPTIONS_OK);
	assert_true(o.checking_filter);
}

static void test_state_dir(void **state)
{
	struct options o;
	struct error e = {0};
	(void)state;
	assert_int_equal(PARSE(&o, &e, "--db-path=/var/run/dranet/dranet.db"), OPTIONS_OK);
	assert_string_equal(o.state_dir, "/var/run/dranet");
	assert_int_equal(PARSE(&o, &e, "--db-path=/var/run/dranet/dranet.db", "--state-dir=/s"), OPTIONS_OK);
	assert_string_equal(o.state_dir, "/s");
	assert_int_equal(PARSE(&o, &e, "--db-path="), OPTIONS_OK);
	assert_string_equal(o.state_dir, "/run/dranetd");
}

struct seen {
	char text[8192];
	size_t n;
};

static void see(const char *name, const char *value, bool ignored, void *user)
{
	struct seen *s = user;
	size_t len = strlen(s->text);
	s->n++;
	snprintf(s->text + len, sizeof(s->text) - len, "--%s=\"%s\"%s\n", name, value, ignored ? "!" : "");
}

static void test_effective_values(void **state)
{
	struct options o;
	struct error e = {0};
	struct seen s = {0};
	(void)state;
	assert_int_equal(PARSE(&o, &e, "--inventory-max-poll-interval=90s", "--log_file=/l", "--v=2"), OPTIONS_OK);
	options_each(&o, see, &s);
	assert_non_null(strstr(s.text, "--inventory-max-poll-interval=\"1m30s\"!\n"));
	assert_non_null(strstr(s.text, "--inventory-min-poll-interval=\"2s\"\n"));
	assert_non_null(strstr(s.text, "--log_file=\"/l\"!\n"));
	assert_non_null(strstr(s.text, "--v=\"2\"\n"));
	assert_non_null(strstr(s.text, "--webhook-url=\"\"\n"));
	assert_true(s.n > 30);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
		const char *go;
	} good[] = {
	    {"0", 0, "0s"},
	    {"2s", 2000000000, "2s"},
	    {"1m", 60000000000, "1m0s"},
	    {"1h30m", 5400000000000, "1h30m0s"},
	    {"1.5ms", 1500000, "1.5ms"},
	    {"100us", 100000, "100\xc2\xb5s"},
	    {"7ns", 7, "7ns"},
	    {"-2.25s", -2250000000, "-2.25s"},
	    {"+.5s", 500000000, "500ms"},
	    {"1h0.001s", 3600001000000, "1h0m0.001s"},
	};
	static const char *const bad[] = {"", "5", "s", "1x", "1 s", "-", ".s", "99999999999h", "1s2"};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(good); i++) {
		int64_t ns;
		char text[40];
		assert_int_equal(duration_parse(good[i].text, &ns), 0);
		assert_int_equal(ns, good[i].ns);
		duration_format(ns, text);
		assert_string_equal(text, good[i].go);
	}
	for (size_t i = 0; i < ELEMENTS(bad); i++) {
		int64_t ns = 42;
		assert_true(duration_parse(bad[i], &ns) < 0);
		assert_int_equal(ns, 42);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_defaults),
	    cmocka_unit_test(test_go_syntax),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_gates),
	    cmocka_unit_test(test_flags_of_dranet),
	    cmocka_unit_test(test_unsupported_providers),
	    cmocka_unit_test(test_help),
	    cmocka_unit_test(test_check_filter),
	    cmocka_unit_test(test_state_dir),
	    cmocka_unit_test(test_effective_values),
	    cmocka_unit_test(test_durations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
