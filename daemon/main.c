/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "core/base/cleanup.h"
#include "core/config_policy.h"
#include "core/config_schema.h"
#include "daemon/check_filter.h"
#include "daemon/engine.h"
#include "daemon/log.h"
#include "daemon/mark.h"
#include "daemon/options.h"
#include "daemon/print_states.h"

enum { LAST_RESORT_MS = 2000 };

struct process {
	uv_loop_t loop;
	uv_signal_t signals[2];
	uv_timer_t last_resort;
	struct engine *engine;
	enum engine_end end;
};

static void on_last_resort(uv_timer_t *timer)
{
	/* A handle that never closes must not keep the process: there is nothing left to be done. */
	log_write(LOG_WARNING, LOG_KIND_STOP, NULL, "the loop did not run out");
	uv_stop(timer->loop);
}

static void on_ended(enum engine_end end, void *user)
{
	struct process *p = user;
	p->end = end;
	for (size_t i = 0; i < ELEMENTS(p->signals); i++)
		uv_close((uv_handle_t *)&p->signals[i], NULL);
	uv_timer_start(&p->last_resort, on_last_resort, LAST_RESORT_MS, 0);
	uv_unref((uv_handle_t *)&p->last_resort);
	if (end == ENGINE_STUCK)
		uv_stop(&p->loop);
}

static void on_signal(uv_signal_t *signal, int number)
{
	struct process *p = signal->data;
	log_write(LOG_NOTICE, LOG_KIND_STOP, NULL, "signal %d: stopping; attached devices stay where they are", number);
	engine_stop(p->engine);
}

/* libcurl brings librtmp and libldap, and they bring GnuTLS, which sets itself up when it is loaded: a megabyte of text read in, its own
 * and nettle's, to test and seed what no request of ours uses, for our TLS is OpenSSL's. A program that defines this function has it left
 * out (GNUTLS_SKIP_GLOBAL_INIT of <gnutls/gnutls.h>). */
__attribute__((visibility("default"), used)) int _gnutls_global_init_skip(void);

int _gnutls_global_init_skip(void)
{
	return 1;
}

static void write_text(FILE *to, void (*make)(struct buf *ret))
{
	_cleanup_buf_ struct buf text = {0};
	make(&text);
	fputs(buf_text(&text), to);
}

static void log_flag(const char *name, const char *value, bool ignored, void *user)
{
	(void)user;
	log_write(LOG_INFO, LOG_KIND_FLAG, NULL, "FLAG: --%s=\"%s\"%s", name, value,
	          ignored ? " (accepted for compatibility, has no effect)" : "");
}

/* A held namespace is a descriptor, and so is a connection: a soft limit of 1024 is little for a node. */
static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= 65536)
		return;
	limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_write(LOG_WARNING, LOG_KIND_START, &(struct log_about){.result = -errno}, "the limit of open files stays as it is");
}

static void start_signals(struct process *p)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	signal(SIGPIPE, SIG_IGN); /* peers go away while we write to them */
	for (size_t i = 0; i < ELEMENTS(numbers); i++) {
		uv_signal_init(&p->loop, &p->signals[i]);
		p->signals[i].data = p;
		uv_signal_start(&p->signals[i], on_signal, numbers[i]);
	}
	uv_timer_init(&p->loop, &p->last_resort);
}

static int run(const struct options *options)
{
	struct process p = {0};
	struct error e = {0};
	int r = uv_loop_init(&p.loop);
	if (r < 0) {
		log_write(LOG_CRIT, LOG_KIND_START, &(struct log_about){.result = r}, "no event loop: %s", uv_strerror(r));
		return EXIT_FAILURE;
	}
	r = engine_start(&p.loop, options, &(struct engine_callbacks){on_ended, &p}, &p.engine, &e);
	if (r < 0) {
		log_write(LOG_CRIT, LOG_KIND_START, &(struct log_about){.result = r}, "cannot start: %s", e.text);
		uv_loop_close(&p.loop);
		return EXIT_FAILURE;
	}
	start_signals(&p);
	uv_run(&p.loop, UV_RUN_DEFAULT);
	log_write(LOG_NOTICE, LOG_KIND_STOP, NULL, "stopped");
	if (p.end == ENGINE_STUCK) /* the thread still uses the engine */
		_exit(EXIT_SUCCESS);
	engine_free(p.engine);
	uv_close((uv_handle_t *)&p.last_resort, NULL);
	uv_run(&p.loop, UV_RUN_NOWAIT);
	uv_loop_close(&p.loop);
	return p.end == ENGINE_FAILED ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options;
	struct error e = {0};
	/* One arena: three threads that allocate little, and each arena costs resident memory. */
	mallopt(M_ARENA_MAX, 1);
	/* libuv's pool asks one question of the kernel at a time, and each thread costs resident memory. */
	setenv("UV_THREADPOOL_SIZE", "1", 0);
	switch (options_parse(argc, argv, NULL, &options, &e)) {
	case OPTIONS_HELP:
		write_text(stdout, options_usage);
		return EXIT_SUCCESS;
	case OPTIONS_WRONG:
		fprintf(stderr, "%s\n", e.text);
		write_text(stderr, options_usage);
		return 2;
	case OPTIONS_OK:
		break;
	}
	if (options.print_states) {
		write_text(stdout, print_states);
		return EXIT_SUCCESS;
	}
	if (options.print_attributes) {
		write_text(stdout, device_attributes_print);
		return EXIT_SUCCESS;
	}
	if (options.print_config_reference) {
		write_text(stdout, config_reference_print);
		return EXIT_SUCCESS;
	}
	if (options.print_admission_policy) {
		_cleanup_buf_ struct buf text = {0};
		config_policy_print(options.driver_name, &text);
		fputs(buf_text(&text), stdout);
		return EXIT_SUCCESS;
	}
	if (options.version) {
		printf("dranetd %s\n", DRANETD_VERSION);
		return EXIT_SUCCESS;
	}
	if (options.checking_filter)
		return check_filter(&options);
	log_open(options.sink, (int)options.verbosity);
	log_write(LOG_NOTICE, LOG_KIND_START, NULL, "dranetd %s, driver %s, node %s, log %s", DRANETD_VERSION, options.driver_name,
	          options.node, log_sink_name());
	options_each(&options, log_flag, NULL);
	raise_file_limit();
#ifdef DRANETD_MARKS
	mark_listen();
#endif
	return run(&options);
}
