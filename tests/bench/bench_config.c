/* SPDX-License-Identifier: Apache-2.0 */
/* How long the longest configurations that the API server lets through (10 KiB) take: each document is filled up to that length with one
 * kind of thing, good or bad. "decode" is from JSON text to values, "config" from there to the merged and validated configuration of a
 * device whose class and claim both have the document.
 *
 *   bench_config [--rounds N]
 *
 * Prints a JSON line for each document: its bytes, whether it is good, and the median and longest microseconds of the rounds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/claim.h"
#include "k8s/json_value.h"
#include "k8s/objects.h"

enum { DOCUMENT_MAX = 10 * 1024, ROUNDS_MAX = 100000 };

/* `element` is repeated with a number in it, from 0 until the document or `most` is full. */
static const struct {
	const char *name, *begin, *element, *end;
	unsigned most;
} documents[] = {
    {"addresses", "{\"interface\":{\"addresses\":[", "\"10.1.0.%u/32\"", "]}}", 256},
    {"IPv6 addresses", "{\"interface\":{\"addresses\":[", "\"fd00:1:2:3:4:5:6:%x/128\"", "]}}", 256},
    {"routes", "{\"routes\":[", "{\"destination\":\"%u.0.0.0/8\",\"scope\":253}", "]}", 256},
    {"next hops", "{\"routes\":[",
     "{\"destination\":\"%u.0.0.0/"
     "8\",\"nextHops\":[{\"gateway\":\"1.1.1.1\"},{\"gateway\":\"1.1.1.2\"},{\"gateway\":\"1.1.1.3\"},{\"gateway\":"
     "\"1.1.1.4\"},{\"gateway\":\"1.1.1.5\"},{\"gateway\":\"1.1.1.6\"},{\"gateway\":\"1.1.1.7\"},{\"gateway\":\"1.1.1.8\"}]}",
     "]}", 256},
    {"rules", "{\"rules\":[", "{\"table\":%u,\"fwmark\":\"0x10\"}", "]}", 128},
    {"neighbours", "{\"neighbors\":[", "{\"destination\":\"10.1.0.%u\",\"hardwareAddr\":\"02:00:00:00:00:02\"}", "]}", 256},
    {"features", "{\"ethtool\":{\"features\":{", "\"tx-checksumming-of-every-kind-%02x\":true", "}}}", 256},
    {"unknown keys", "{", "\"a%u\":1", "}", 2000},
    {"misspelt keys", "{\"interface\":{", "\"disableEbpfPrograms%x\":1", "}}", 2000},
    {"misspelt keys of routes", "{\"routes\":[", "{\"destinatoin\":1,\"gatewya\":2,\"sorce\":%u}", "]}", 256},
    {"values of no type", "{\"routes\":[", "{\"destination\":%u,\"gateway\":2,\"source\":3}", "]}", 256},
    {"empty routes", "{\"routes\":[", "{\"mtu\":%u}", "]}", 256},
    {"a long list", "{\"rules\":[", "%u", "]}", 4000},
    {"deep", "{\"interface\":{\"vrf\":", "{\"name%u\":[[[[[[[[[[]]]]]]]]]]}", "}}", 1},
    {"a long name", "{\"interface\":{\"name\":\"", "%010000u", "\"}}", 1},
};

static void text_build(size_t i, struct buf *ret)
{
	buf_puts(ret, documents[i].begin);
	for (unsigned n = 0; n < documents[i].most; n++) {
		_cleanup_buf_ struct buf element = {0};
		buf_puts(&element, n ? "," : "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		buf_printf(&element, documents[i].element, n);
#pragma GCC diagnostic pop
		if (ret->len + element.len + strlen(documents[i].end) > DOCUMENT_MAX)
			break;
		buf_add(ret, element.data, element.len);
	}
	buf_puts(ret, documents[i].end);
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void fail(const char *what)
{
	fprintf(stderr, "bench_config: %s\n", what);
	exit(1);
}

static double decode(const struct buf *text, struct value *ret)
{
	json_error_t error;
	double begin = now_us();
	json_t *json = json_loadb((const char *)text->data, text->len, JSON_REJECT_DUPLICATES, &error);
	if (!json || value_from_json(json, ret) < 0)
		fail("a document cannot be decoded");
	json_decref(json);
	return now_us() - begin;
}

static double configure(const struct value *document, bool *good)
{
	struct claim_config configs[] = {{.from_class = true, .parameters = *document}, {.parameters = *document}};
	struct claim_object claim = {.configs = configs, .n_configs = ELEMENTS(configs)};
	struct claim_result result = {.request = "request"};
	struct network_config config;
	struct error e = {0};
	double begin = now_us();
	int rc = claim_object_config(&claim, &result, &config, &e);
	double took = now_us() - begin;
	*good = rc == 0;
	if (rc == 0)
		network_config_free(&config);
	return took;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print_times(const char *what, double *times, long rounds)
{
	qsort(times, (size_t)rounds, sizeof(*times), order);
	printf(", \"%s\": %.1f, \"%s longest\": %.1f", what, times[rounds / 2], what, times[rounds - 1]);
}

static void measure(size_t i, long rounds)
{
	_cleanup_buf_ struct buf text = {0};
	text_build(i, &text);
	double *decoding = calloc((size_t)rounds, sizeof(*decoding)), *configuring = calloc((size_t)rounds, sizeof(*configuring));
	bool good = false;
	if (!decoding || !configuring || text.failed)
		fail("out of memory");
	for (long r = 0; r < rounds; r++) {
		struct value document = {.type = VALUE_NULL};
		decoding[r] = decode(&text, &document);
		configuring[r] = configure(&document, &good);
		value_free(&document);
	}
	printf("{\"document\": \"%s\", \"bytes\": %zu, \"good\": %s", documents[i].name, text.len, good ? "true" : "false");
	print_times("decode", decoding, rounds);
	print_times("config", configuring, rounds);
	printf("}\n");
	free(decoding);
	free(configuring);
}

int main(int argc, char **argv)
{
	long rounds = 200;
	if (argc == 3 && str_equal(argv[1], "--rounds"))
		rounds = strtol(argv[2], NULL, 10);
	if (rounds < 1 || rounds > ROUNDS_MAX || (argc != 1 && argc != 3)) {
		fprintf(stderr, "usage: bench_config [--rounds 1..%d]\n", ROUNDS_MAX);
		return 2;
	}
	for (size_t i = 0; i < ELEMENTS(documents); i++)
		measure(i, rounds);
	return 0;
}
