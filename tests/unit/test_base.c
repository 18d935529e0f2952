/* SPDX-License-Identifier: Apache-2.0 */
/* The common base: errors, buffers, bounded strings, value trees, addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/cursor.h"
#include "core/base/error.h"
#include "core/base/ip.h"
#include "core/base/str.h"
#include "core/base/value.h"

static void test_error_collects(void **state)
{
	(void)state;
	struct error e = {0};
	assert_int_equal(error_append(&e, -EINVAL, "first %d", 1), -EINVAL);
	assert_int_equal(error_append(&e, -EIO, "second"), -EINVAL);
	assert_string_equal(e.text, "first 1; second");
	assert_int_equal(error_prefix(&e, "claim %s", "a/b"), -EINVAL);
	assert_string_equal(e.text, "claim a/b: first 1; second");
	assert_int_equal(error_set(&e, -EPERM, "again: %s", e.text), -EPERM);
	assert_string_equal(e.text, "again: claim a/b: first 1; second");
	assert_int_equal(error_set(NULL, -ENOMEM, "nobody reads"), -ENOMEM);
	assert_int_equal(error_append(NULL, -ENOMEM, "nobody reads"), -ENOMEM);
	assert_int_equal(error_prefix(NULL, "nobody reads"), 0);
}

static void test_error_is_cut_between_characters(void **state)
{
	(void)state;
	struct error e = {0};
	for (int i = 0; i < 1000; i++)
		error_append(&e, -EINVAL, "\xe2\x82\xac%s", i % 2 ? "" : "x"); /* a three-byte character, at every offset */
	size_t len = strlen(e.text);
	assert_in_range(len, ERROR_TEXT_MAX - 8, ERROR_TEXT_MAX - 1);
	assert_string_equal(e.text + len - 3, "...");
	size_t characters = 0, continuations = 0;
	for (const char *p = e.text; *p; p++) {
		characters += (unsigned char)*p == 0xe2;
		continuations += ((unsigned char)*p & 0xc0) == 0x80;
	}
	assert_int_equal(continuations, 2 * characters);
}

static void test_error_name(void **state)
{
	(void)state;
	char buffer[16];
	assert_string_equal(error_name(-ENOENT, buffer), "ENOENT");
	assert_string_equal(error_name(EBUSY, buffer), "EBUSY");
	assert_string_equal(error_name(-4000, buffer), "E4000");
	assert_string_equal(error_name(INT_MIN, buffer), "E2147483648");
}

static void test_buf(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = {0};
	assert_string_equal(buf_text(&b), "");
	buf_puts(&b, "abc");
	buf_printf(&b, "-%d-%s", 7, "x");
	assert_string_equal(buf_text(&b), "abc-7-x");
	assert_int_equal(b.len, 7);
	buf_consume(&b, 4);
	assert_string_equal(buf_text(&b), "7-x");
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
	buf_be32(&b, 0x01020304);
	assert_memory_equal(b.data, "\1\2\3\4", 4);
	assert_true(buf_reserve(&b, 3));
	memcpy(b.data + b.len, "xyz", 3);
	b.len += 3;
	assert_string_equal(buf_text(&b) + 4, "xyz");
	assert_false(b.failed);
}

static void test_buf_limit_is_sticky(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = {.limit = 8};
	buf_puts(&b, "12345678");
	assert_false(b.failed);
	buf_puts(&b, "");
	assert_false(b.failed);
	buf_puts(&b, "9");
	assert_true(b.failed);
	buf_consume(&b, 8);
	buf_puts(&b, "a");
	assert_true(b.failed);
	assert_string_equal(buf_text(&b), "");
	buf_reset(&b);
	buf_printf(&b, "%s", "123456789");
	assert_true(b.failed);
	buf_reset(&b);
	assert_false(buf_reserve(&b, SIZE_MAX));
	buf_free(&b);
	assert_int_equal(b.limit, 8);
	assert_false(b.failed);
}

static void test_cursor(void **state)
{
	(void)state;
	struct cursor c = cursor_over("\1\0\0\0\2xy", 7);
	assert_int_equal(cursor_u8(&c), 1);
	assert_int_equal(cursor_be32(&c), 2);
	assert_int_equal(cursor_left(&c), 2);
	assert_int_equal(cursor_be32(&c), 0);
	assert_true(c.failed);
	assert_null(cursor_take(&c, 1));
	assert_int_equal(cursor_left(&c), 0);
}

static void test_str(void **state)
{
	(void)state;
	char to[5] = "old";
	assert_int_equal(STR_COPY(to, "four"), 0);
	assert_string_equal(to, "four");
	assert_int_equal(STR_COPY(to, "fives"), -ENAMETOOLONG);
	assert_string_equal(to, "");
	assert_int_equal(STR_COPY(to, NULL), 0);
	STR_CUT(to, "abcdefg");
	assert_string_equal(to, "abcd");
	STR_CUT(to, "abc\xc3\xa4");
	assert_string_equal(to, "abc");
	STR_CUT(to, "ab\xc3\xa4z");
	assert_string_equal(to, "ab\xc3\xa4");
	STR_CUT(to, "\xf0\x9f\x98\x80\x80");
	assert_string_equal(to, "\xf0\x9f\x98\x80");
	STR_CUT(to, "\x80\x80\x80\x80\x80\x80"); /* no UTF-8 at all: still terminated */
	assert_int_equal(strlen(to), 4);

	assert_true(str_equal(NULL, NULL));
	assert_false(str_equal(NULL, ""));
	assert_true(str_equal("a", "a"));
	assert_true(str_starts("net-1", "net-"));
	assert_false(str_starts("ne", "net-"));
	assert_int_equal(str_distance("tso", "TSO"), 0);
	assert_int_equal(str_distance("tos", "tso"), 1); /* exchanged */
	assert_int_equal(str_distance("", "abc"), 3);
	assert_int_equal(str_distance("adresses", "addresses"), 1);
	assert_int_equal(str_distance("kitten", "sitting"), 3);
	char longest[STR_DISTANCE_MAX + 2];
	memset(longest, 'a', sizeof(longest));
	longest[STR_DISTANCE_MAX + 1] = '\0';
	assert_true(str_distance(longest, "a") == SIZE_MAX && str_distance("a", longest) == SIZE_MAX);
	longest[STR_DISTANCE_MAX] = '\0';
	assert_int_equal(str_distance(longest, "a"), STR_DISTANCE_MAX - 1);
}

static void test_dns_label(void **state)
{
	(void)state;
	char text[65];
	memset(text, 'a', 64);
	text[64] = 0;
	assert_false(str_is_dns_label(text));
	text[63] = 0;
	assert_true(str_is_dns_label(text));
	static const char *const good[] = {"a", "0", "eth0", "my-device-1", "0-0"};
	static const char *const bad[] = {"", "-a", "a-", "A", "a_b", "a.b", "a:b", "\xc3\xa4"};
	for (size_t i = 0; i < ELEMENTS(good); i++)
		assert_true(str_is_dns_label(good[i]));
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_false(str_is_dns_label(bad[i]));
	assert_true(str_is_token("a/B:0~!"));
	assert_false(str_is_token(""));
	assert_false(str_is_token("a b"));
	assert_false(str_is_token("a\n"));
	assert_false(str_is_token("\xc3\xa4"));
}

static void test_value(void **state)
{
	(void)state;
	struct value v = {.type = VALUE_OBJECT, .n = 2};
	v.items = calloc(2, sizeof(*v.items));
	v.keys = calloc(2, sizeof(*v.keys));
	assert_non_null(v.items);
	assert_non_null(v.keys);
	v.keys[0] = strdup("a");
	v.items[0] = (struct value){.type = VALUE_INT, .integer = 5};
	v.keys[1] = strdup("b");
	v.items[1] = (struct value){.type = VALUE_STRING, .string = strdup("text")};
	assert_int_equal(value_get(&v, "a")->integer, 5);
	assert_string_equal(value_get(&v, "b")->string, "text");
	assert_null(value_get(&v, "A"));
	assert_null(value_get(value_get(&v, "a"), "b"));
	assert_null(value_get(NULL, "a"));
	assert_string_equal(value_type_name(VALUE_INT), "integer");
	value_free(&v);
	assert_int_equal(v.type, VALUE_NULL);
}

/* Text, and its canonical form; NULL = refused. */
struct form {
	const char *text, *canonical;
};

static void test_addresses(void **state)
{
	(void)state;
	static const struct form forms[] = {
	    {"0.0.0.0", "0.0.0.0"},
	    {"192.168.1.255", "192.168.1.255"},
	    {"01.2.3.4", NULL},
	    {"1.2.3", NULL},
	    {"1.2.3.", NULL},
	    {"1.2.3.4.", NULL},
	    {"1.2.3.4.5", NULL},
	    {"1.2.3.256", NULL},
	    {"1..3.4", NULL},
	    {"+1.2.3.4", NULL},
	    {" 1.2.3.4", NULL},
	    {"0x1.2.3.4", NULL},
	    {"", NULL},
	    {"localhost", NULL},
	    {"::", "::"},
	    {"::1", "::1"},
	    {"1::", "1::"},
	    {"0:0:0:0:0:0:0:0", "::"},
	    {"2001:DB8:0000::000A", "2001:db8::a"},
	    {"1:0:0:2:0:0:0:3", "1:0:0:2::3"},
	    {"1:0:0:2:3:0:0:4", "1::2:3:0:0:4"},
	    {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
	    {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
	    {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
	    {"::ffff:1.2.3.4", "::ffff:1.2.3.4"},
	    {"::ffff:102:304", "::ffff:1.2.3.4"},
	    {"::1.2.3.4", "::102:304"},
	    {":", NULL},
	    {":::", NULL},
	    {"1:", NULL},
	    {":1", NULL},
	    {"1::2::3", NULL},
	    {"1:2:3:4:5:6:7", NULL},
	    {"1:2:3:4:5:6:7:8:9", NULL},
	    {"1:2:3:4:5:6:7:8:", NULL},
	    {"1:2:3:4:5:6:7:8::", NULL},
	    {"1::2:3:4:5:6:7:8", NULL},
	    {"1:2:3:4:5:1.2.3.4", NULL},
	    {"1:2:3:4:5:6:7:1.2.3.4", NULL},
	    {"1.2.3.4::", NULL},
	    {"::1.2.3.4:1", NULL},
	    {"::01.2.3.4", NULL},
	    {"12345::", NULL},
	    {"g::", NULL},
	    {"fe80::1%eth0", NULL},
	    {"[::1]", NULL},
	};
	for (size_t i = 0; i < ELEMENTS(forms); i++) {
		struct ip_address a = {.family = 77};
		char text[IP_TEXT_MAX];
		int r = ip_address_parse(forms[i].text, &a);
		if (!forms[i].canonical) {
			if (r != -EINVAL || a.family != 77)
				fail_msg("\"%s\" was accepted, or touched the result", forms[i].text);
			continue;
		}
		if (r)
			fail_msg("\"%s\" was refused", forms[i].text);
		ip_address_format(&a, text);
		assert_string_equal(text, forms[i].canonical);
	}
}

static void test_prefixes(void **state)
{
	(void)state;
	static const struct form forms[] = {
	    {"10.0.0.1/24", "10.0.0.1/24"},
	    {"0.0.0.0/0", "0.0.0.0/0"},
	    {"1.2.3.4/32", "1.2.3.4/32"},
	    {"::/0", "::/0"},
	    {"2001:db8::1/128", "2001:db8::1/128"},
	    {"1.2.3.4/33", NULL},
	    {"::/129", NULL},
	    {"1.2.3.4", NULL},
	    {"::1", NULL},
	    {"1.2.3.4/", NULL},
	    {"1.2.3.4/024", NULL},
	    {"1.2.3.4/00", NULL},
	    {"1.2.3.4/+8", NULL},
	    {"1.2.3.4/-1", NULL},
	    {"1.2.3.4/ 8", NULL},
	    {"1.2.3.4/8/8", NULL},
	    {"1.2.3.4/255.0.0.0", NULL},
	    {"fe80::1%eth0/64", NULL},
	    {"10.0.0/24", NULL},
	    {"/24", NULL},
	    {"", NULL},
	};
	for (size_t i = 0; i < ELEMENTS(forms); i++) {
		struct ip_prefix p = {0};
		char text[IP_TEXT_MAX];
		if (ip_prefix_parse(forms[i].text, &p) != (forms[i].canonical ? 0 : -EINVAL))
			fail_msg("\"%s\"", forms[i].text);
		if (!forms[i].canonical)
			continue;
		ip_prefix_format(&p, text);
		assert_string_equal(text, forms[i].canonical);
	}
}

static void test_prefix_mask(void **state)
{
	(void)state;
	static const struct form forms[] = {{"10.1.2.3/24", "10.1.2.0/24"},        {"10.1.2.3/0", "0.0.0.0/0"},
	                                    {"10.1.2.3/32", "10.1.2.3/32"},        {"10.1.2.255/25", "10.1.2.128/25"},
	                                    {"2001:db8::ff/64", "2001:db8::/64"},  {"2001:db8::ff/124", "2001:db8::f0/124"},
	                                    {"2001:db8::1/128", "2001:db8::1/128"}};
	for (size_t i = 0; i < ELEMENTS(forms); i++) {
		struct ip_prefix p, expected;
		assert_int_equal(ip_prefix_parse(forms[i].text, &p), 0);
		assert_int_equal(ip_prefix_parse(forms[i].canonical, &expected), 0);
		ip_prefix_mask(&p);
		assert_true(ip_prefix_equal(&p, &expected));
	}
}

static void test_macs(void **state)
{
	(void)state;
	static const struct form forms[] = {
	    {"00:1A:2B:3C:4D:5E", "00:1a:2b:3c:4d:5e"},
	    {"00-1a-2b-3c-4d-5e", "00:1a:2b:3c:4d:5e"},
	    {"001a.2b3c.4d5e", "00:1a:2b:3c:4d:5e"},
	    {"02:00:5e:10:00:00:00:01", "02:00:5e:10:00:00:00:01"},
	    {"0200.5e10.0000.0001", "02:00:5e:10:00:00:00:01"},
	    {"00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01", "00:00:00:00:fe:80:00:00:00:00:00:00:02:00:5e:10:00:00:00:01"},
	    {"00-1A-2B-3C-4D-5E-XX", NULL},
	    {"00:1a:2b:3c:4d", NULL},
	    {"00:1a:2b:3c:4d:5e:6f", NULL},
	    {"00:1a-2b:3c:4d:5e", NULL},
	    {"0:1a:2b:3c:4d:5e", NULL},
	    {"001a2b3c4d5e", NULL},
	    {"001a.2b3c.4d5", NULL},
	    {"00:1a:2b:3c:4d:5e:", NULL},
	    {"", NULL},
	};
	for (size_t i = 0; i < ELEMENTS(forms); i++) {
		struct mac m = {0};
		char text[MAC_TEXT_MAX];
		if (mac_parse(forms[i].text, &m) != (forms[i].canonical ? 0 : -EINVAL))
			fail_msg("\"%s\"", forms[i].text);
		mac_format(&m, text);
		assert_string_equal(text, forms[i].canonical ? forms[i].canonical : "");
	}
	struct mac six, eight;
	mac_parse("00:00:00:00:00:00", &six);
	mac_parse("00:00:00:00:00:00:00:00", &eight);
	assert_false(mac_equal(&six, &eight));
	assert_true(mac_equal(&six, &six));
}

static void test_global_unicast(void **state)
{
	(void)state;
	static const char *const yes[] = {"10.0.0.1", "8.8.8.8", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1", "fec0::1", "0.0.0.1"};
	static const char *const no[] = {"0.0.0.0", "255.255.255.255", "127.1.2.3", "169.254.0.1", "224.0.0.1", "::",
	                                 "::1",     "fe80::1",         "febf::1",   "ff02::1",     "239.1.2.3", "::ffff:127.0.0.1"};
	struct ip_address a = {0};
	assert_false(ip_address_is_global_unicast(&a));
	for (size_t i = 0; i < ELEMENTS(yes); i++) {
		assert_int_equal(ip_address_parse(yes[i], &a), 0);
		assert_true(ip_address_is_global_unicast(&a));
	}
	for (size_t i = 0; i < ELEMENTS(no); i++) {
		assert_int_equal(ip_address_parse(no[i], &a), 0);
		assert_false(ip_address_is_global_unicast(&a));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_error_collects),
	    cmocka_unit_test(test_error_is_cut_between_characters),
	    cmocka_unit_test(test_error_name),
	    cmocka_unit_test(test_buf),
	    cmocka_unit_test(test_buf_limit_is_sticky),
	    cmocka_unit_test(test_cursor),
	    cmocka_unit_test(test_str),
	    cmocka_unit_test(test_dns_label),
	    cmocka_unit_test(test_value),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_prefixes),
	    cmocka_unit_test(test_prefix_mask),
	    cmocka_unit_test(test_macs),
	    cmocka_unit_test(test_global_unicast),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
