/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/log.h"

static const struct claim_ref claim = {.uid = "c-1", .namespace_ = "default", .name = "nic"};
static const struct pod_ref pod = {.uid = "p-1", .namespace_ = "default", .name = "pod"};

static struct log_record full(void)
{
	return (struct log_record){
	    .priority = LOG_INFO,
	    .kind = LOG_KIND_TRANSITION,
	    .message = "eth1: attached",
	    .about = {.claim = &claim,
	              .pod = &pod,
	              .device = "pci-0000-8a-00-0",
	              .pci_address = "0000:8a:00.0",
	              .interface = "net1",
	              .sandbox = "s1",
	              .netns = "/var/run/netns/cni 1",
	              .from = "prepared",
	              .to = "attached",
	              .cause = "attached",
	              .has_duration = true,
	              .duration_ms = 17,
	              .result = -EEXIST},
	    .realtime_us = 1764000000123456,
	};
}

static void test_plain(void **state)
{
	_cleanup_buf_ struct buf b = {0};
	struct log_record r = full();
	(void)state;
	log_format_plain(&r, &b);
	assert_string_equal(buf_text(&b),
	                    "2025-11-24T16:00:00.123Z info    eth1: attached claim=default/nic claimUID=c-1 pod=default/pod podUID=p-1 "
	                    "device=pci-0000-8a-00-0 pciAddress=0000:8a:00.0 interface=net1 sandbox=s1 "
	                    "netns=\"/var/run/netns/cni 1\" from=prepared to=attached cause=attached durationMs=17 errno=17 "
	                    "error=EEXIST\n");
}

static void test_json(void **state)
{
	_cleanup_buf_ struct buf b = {0};
	struct log_record r = full();
	(void)state;
	log_format_json(&r, &b);
	json_t *j = json_loadb((const char *)b.data, b.len, 0, NULL);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "msg")), "eth1: attached");
	assert_string_equal(json_string_value(json_object_get(j, "level")), "info");
	assert_string_equal(json_string_value(json_object_get(j, "claimUID")), "c-1");
	assert_string_equal(json_string_value(json_object_get(j, "to")), "attached");
	assert_int_equal(json_integer_value(json_object_get(j, "durationMs")), 17);
	assert_int_equal(json_integer_value(json_object_get(j, "errno")), EEXIST);
	assert_string_equal(json_string_value(json_object_get(j, "error")), "EEXIST");
	assert_string_equal(json_string_value(json_object_get(j, "messageID")), log_kind_id(LOG_KIND_TRANSITION));
	json_decref(j);
}

static void test_journal(void **state)
{
	_cleanup_buf_ struct buf storage = {0};
	struct iovec v[LOG_JOURNAL_FIELDS_MAX];
	struct log_record r = full();
	static const char *const expected[] = {
	    "MESSAGE=eth1: attached",
	    "PRIORITY=6",
	    "MESSAGE_ID=246adcc38f2741c2bebd172d65470bcf",
	    "SYSLOG_IDENTIFIER=dranetd",
	    "CLAIM=default/nic",
	    "CLAIM_UID=c-1",
	    "POD=default/pod",
	    "POD_UID=p-1",
	    "DEVICE=pci-0000-8a-00-0",
	    "PCI_ADDRESS=0000:8a:00.0",
	    "INTERFACE=net1",
	    "SANDBOX_ID=s1",
	    "NETNS=/var/run/netns/cni 1",
	    "STATE_FROM=prepared",
	    "STATE_TO=attached",
	    "CAUSE=attached",
	    "DURATION_MS=17",
	    "ERRNO=17",
	    "ERROR=EEXIST",
	};
	(void)state;
	size_t n = log_format_journal(&r, &storage, v);
	assert_int_equal(n, ELEMENTS(expected));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(v[i].iov_len, strlen(expected[i]));
		assert_memory_equal(v[i].iov_base, expected[i], v[i].iov_len);
	}
}

/* A peer's text cannot make a line of its own, and what comes out is UTF-8. */
static void test_foreign_text(void **state)
{
	_cleanup_buf_ struct buf plain = {0}, json = {0};
	struct log_record r = {.priority = LOG_ERR, .kind = LOG_KIND_API, .message = "a\nb\x1b[0m \xff\xc3\xa4 \xed\xa0\x80 \"q\" \\"};
	(void)state;
	r.about.device = "x\ny";
	log_format_plain(&r, &plain);
	assert_non_null(strstr(buf_text(&plain), "error   a\\nb\\x1b[0m \\xff\xc3\xa4 \\xed\\xa0\\x80 \"q\" \\ device=\"x\\ny\"\n"));
	assert_ptr_equal(strchr(buf_text(&plain), '\n'), buf_text(&plain) + plain.len - 1);
	log_format_json(&r, &json);
	assert_ptr_equal(strchr(buf_text(&json), '\n'), buf_text(&json) + json.len - 1);
	json_t *j = json_loadb((const char *)json.data, json.len, 0, NULL);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "msg")),
	                    "a\nb\x1b[0m \xef\xbf\xbd\xc3\xa4 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \"q\" \\");
	json_decref(j);
}

static void test_nothing_to_say(void **state)
{
	_cleanup_buf_ struct buf b = {0};
	struct claim_ref none = {0};
	struct log_record r = {.priority = LOG_WARNING, .kind = LOG_KIND_STORE, .message = "text", .about = {.claim = &none, .device = ""}};
	(void)state;
	log_format_plain(&r, &b);
	assert_string_equal(buf_text(&b), "1970-01-01T00:00:00.000Z warning text\n");
}

static void test_rate_limit(void **state)
{
	struct log_limit l = {0};
	uint32_t suppressed = 99;
	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_true(log_limit_pass(&l, 7, 1000, &suppressed));
		assert_int_equal(suppressed, 0);
	}
	for (int i = 0; i < 3; i++)
		assert_false(log_limit_pass(&l, 7, 2000, &suppressed));
	assert_true(log_limit_pass(&l, 8, 2000, &suppressed)); /* another text */
	assert_true(log_limit_pass(&l, 7, 11000, &suppressed));
	assert_int_equal(suppressed, 3);
	assert_true(log_limit_pass(&l, 7 + 64, 11000, &suppressed)); /* same slot: takes it over */
	assert_int_equal(suppressed, 0);
	assert_true(log_limit_pass(&l, 7, 11001, &suppressed));
}

static void test_keys(void **state)
{
	struct log_record a = full(), b = full();
	(void)state;
	b.realtime_us++;
	b.about.duration_ms++;
	assert_true(log_record_key(&a) == log_record_key(&b));
	b.about.device = "other";
	assert_true(log_record_key(&a) != log_record_key(&b));
	assert_false(log_kind_limited(LOG_KIND_TRANSITION));
	assert_true(log_kind_limited(LOG_KIND_API));
}

static void test_message_ids(void **state)
{
	(void)state;
	for (int i = 0; i < LOG_KIND_MAX; i++) {
		assert_int_equal(strlen(log_kind_id(i)), 32);
		assert_int_equal(strspn(log_kind_id(i), "0123456789abcdef"), 32);
		for (int k = 0; k < i; k++)
			assert_string_not_equal(log_kind_id(i), log_kind_id(k));
	}
}

static void test_journal_stream(void **state)
{
	(void)state;
	assert_true(log_stream_is("8:1234", 8, 1234));
	assert_false(log_stream_is("8:1234", 8, 1235));
	assert_false(log_stream_is("8:1234x", 8, 1234));
	assert_false(log_stream_is("nonsense", 8, 1234));
	assert_false(log_stream_is("", 0, 0));
	assert_false(log_stream_is(NULL, 0, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_plain),        cmocka_unit_test(test_json),           cmocka_unit_test(test_journal),
	    cmocka_unit_test(test_foreign_text), cmocka_unit_test(test_nothing_to_say), cmocka_unit_test(test_rate_limit),
	    cmocka_unit_test(test_keys),         cmocka_unit_test(test_message_ids),    cmocka_unit_test(test_journal_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
