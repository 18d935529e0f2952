/* SPDX-License-Identifier: Apache-2.0 */
/* The device filter: dranet-behaviour §2.9 with its test rows, CEL's rules for errors, and what is refused at the start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/filter.h"

static const struct device_facts eth0 = {.name = "eth0",
                                         .ifindex = 2,
                                         .mtu = 1500,
                                         .mac = {6, {2, 0, 0, 0, 0, 1}},
                                         .ifname = "eth0",
                                         .encapsulation = "ether",
                                         .alias = "gr\xc3\xbc"
                                                  "n",
                                         .type = "device",
                                         .ipv4 = "10.0.0.1/24",
                                         .pci_address = "0000:00:04.0",
                                         .numa_node = 1,
                                         .sriov = true};
static const struct device_facts veth0 = {
    .name = "veth0", .ifindex = 3, .mtu = 9000, .ifname = "veth0", .type = "veth", .is_virtual = true};
static const struct device_facts bare = {.name = "pci-0000-00-05-0", .pci_address = "0000:00:05.0", .numa_node = -1};

/* Evaluate; '1' kept, '0' dropped, 'e' kept because of an error; `error` gets its text. */
static char evaluate(const char *expression, const struct device_facts *facts, struct error *error)
{
	struct filter *f;
	struct error e = {0};
	*error = e;
	if (filter_compile(expression, &f, &e) < 0)
		fail_msg("%s\n  %s", expression, e.text);
	bool keeps = filter_keeps(f, facts, error);
	filter_free(f);
	if (error->code)
		assert_true(keeps);
	return error->code ? 'e' : keeps ? '1' : '0';
}

struct row {
	const char *expression, *result; /* one character each for eth0, veth0, bare */
};

static void expect_rows(const struct row *rows, size_t n)
{
	static const struct device_facts *const devices[] = {&eth0, &veth0, &bare};
	for (size_t i = 0; i < n; i++) {
		char result[4] = "";
		struct error e[3];
		for (size_t d = 0; d < 3; d++)
			result[d] = evaluate(rows[i].expression, devices[d], &e[d]);
		if (strcmp(result, rows[i].result) != 0)
			fail_msg("%s\n  gives %s, expected %s (%s; %s; %s)", rows[i].expression, result, rows[i].result, e[0].text,
			         e[1].text, e[2].text);
	}
}

#define A(name) "attributes[\"dra.net/" name "\"]"

static void test_dranet_rows(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {"", "111"},
	    {"true", "111"},
	    {"false", "000"},
	    {FILTER_DEFAULT, "101"},
	    {A("type") ".StringValue == \"device\"", "10e"},
	    {A("type") ".StringValue == \"device\" && " A("ifName") ".StringValue == \"eth0\"", "10e"},
	    {A("type") ".StringValue != \"veth\"", "10e"},
	    {A("virtual") ".BoolValue", "01e"},
	    {"(1 / (" A("mtu") ".IntValue - 1500)) == 1", "e0e"},
	    {"!(\"dra.net/type\" in attributes) || !(" A("type") ".StringValue in ['veth', 'bridge'])", "101"},
	    {"attributes['resource.kubernetes.io/numaNode'].IntValue == 1", "1ee"},
	};
	expect_rows(rows, ELEMENTS(rows));
	struct error e;
	assert_int_equal(evaluate(A("type") ".StringValue == 'x'", &bare, &e), 'e');
	assert_string_equal(e.text, "no such attribute: \"dra.net/type\"");
	assert_int_equal(evaluate("1 / 0 == 1", &bare, &e), 'e');
	assert_string_equal(e.text, "division by zero");
}

static void test_errors_are_absorbed(void **state)
{
	(void)state;
#define ERROR "(1 / 0 == 1)"
	static const struct row rows[] = {
	    {ERROR " && false", "000"},
	    {"false && " ERROR, "000"},
	    {ERROR " || true", "111"},
	    {"true || " ERROR, "111"},
	    {ERROR " && true", "eee"},
	    {"true && " ERROR, "eee"},
	    {ERROR " || false", "eee"},
	    {"false || " ERROR, "eee"},
	    {ERROR " && " ERROR, "eee"},
	    {"!" ERROR, "eee"},
	    {ERROR " ? true : true", "eee"},
	    {"true ? true : " ERROR, "111"},
	    {"false ? " ERROR " : false", "000"},
	    {ERROR " == true", "eee"},
	    {"1 in [1, 1 / 0]", "eee"},
	    {"size([1, 1 / 0]) == 2", "eee"},
	    /* An absorbed error leaves nothing behind. */
	    {"(" ERROR " || true) && " A("rdma") ".BoolValue", "000"},
	};
	expect_rows(rows, ELEMENTS(rows));
}

static void test_fields(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {A("mtu") ".IntValue == 1500", "10e"},
	    {A("mtu") ".StringValue == ''", "11e"},
	    {A("mtu") ".BoolValue", "00e"},
	    {A("type") ".IntValue == 0", "11e"},
	    {A("type") ".VersionValue == ''", "11e"},
	    {A("mac") ".StringValue == '02:00:00:00:00:01'", "10e"},
	    {"has(" A("mtu") ".IntValue)", "11e"},
	    {"has(" A("mtu") ".StringValue)", "00e"},
	    {"has(" A("type") ".VersionValue)", "00e"},
	    {"has(" A("sriov") ".BoolValue)", "11e"},
	    {"'dra.net/ifName' in attributes", "110"},
	    {"'ifName' in attributes", "000"},
	    {"attributes.ifName.StringValue == ''", "eee"},
	    {"size(attributes) > 10", "110"},
	    {"attributes.size() == size(attributes)", "111"},
	    {"attributes[" A("type") ".StringValue == 'veth' ? 'dra.net/mtu' : 'dra.net/rdma'].IntValue == 9000", "01e"},
	};
	expect_rows(rows, ELEMENTS(rows));
}

static void test_operators(void **state)
{
	(void)state;
	static const char *const yes[] = {
	    "1 + 2 * 3 == 7",
	    "(1 + 2) * 3 == 9",
	    "7 - 2 - 1 == 4",
	    "7 / 2 == 3 && -7 / 2 == -3 && 7 % 3 == 1 && -7 % 3 == -1",
	    "2 * 3 % 4 == 2",
	    "- 5 == -5 && --5 == 5 && -(5) == 0 - 5",
	    "-9223372036854775808 < 9223372036854775807",
	    "0x10 == 16 && -0xff == -255",
	    "1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3 && 1 != 2",
	    "'a' < 'b' && 'a' < 'aa' && 'B' < 'a' && '\xc3\xa4' > 'z'",
	    "false < true",
	    "!false && !!true",
	    "true || false && false",
	    "!(true && false || false)",
	    "1 == 1 == true",
	    "false ? false : true ? true : false",
	    "true ? true : true ? false : false",
	    "(false ? [1] : [2, 3,]).size() == 2",
	    "2 in [1, 2] && !(3 in [1, 2]) && !(1 in [])",
	    "'b' in ['a', 'b'] && true in [false, true]",
	    "null == null && 1 != null && !(null == 'a')",
	    "'abc'.startsWith('ab') && !'abc'.startsWith('b') && 'abc'.startsWith('')",
	    "'abc'.endsWith('bc') && !'abc'.endsWith('ab') && !'c'.endsWith('bc') && 'c'.endsWith('')",
	    "'abc'.contains('b') && !'abc'.contains('ac')",
	    "'eth12'.matches('^eth[0-9]+$') && 'xeth1'.matches('eth') && !'ens1'.matches('^eth')",
	    "'a.b'.matches('a\\\\.b') && !'axb'.matches(r'a\\.b') && 'a_1'.matches(r'^\\w+$')",
	    "'a+*b'.matches('^a[+*]+b$') && 'a]]'.matches('^a[]+*]+$') && 'a+'.matches('^a\\\\+$')",
	    "'abab'.matches('^(ab){2}$') && 'abc'.matches('a' == 'b' ? 'x' : 'b')",
	    "size('abc') == 3 && 'gr\xc3\xbcn'.size() == 4 && ''.size() == 0",
	    ("'\\x41\\u00e4\\U0001F600\\101\\n\\'\\\"\\\\\\?' == \"A\xc3\xa4\xf0\x9f\x98\x80"
	     "A\\n'\\\"\\\\?\""),
	    "r'\\n' == '\\\\n' && R\"\\\" == '\\\\'",
	    " // a comment\n\t true // another",
	};
	struct error e;
	for (size_t i = 0; i < ELEMENTS(yes); i++)
		if (evaluate(yes[i], &eth0, &e) != '1')
			fail_msg("%s\n  is not true %s", yes[i], e.text);
	static const char *const overflows[] = {"9223372036854775807 + 1 == 0",   "-9223372036854775808 - 1 == 0",
	                                        "9223372036854775807 * 2 == 0",   "-(-9223372036854775808) == 0",
	                                        "-9223372036854775808 / -1 == 0", "-9223372036854775808 % -1 == 0"};
	for (size_t i = 0; i < ELEMENTS(overflows); i++) {
		assert_int_equal(evaluate(overflows[i], &eth0, &e), 'e');
		assert_string_equal(e.text, "the result does not fit into 64 bits");
	}
	assert_int_equal(evaluate("'a'.matches(true ? '(' : '')", &eth0, &e), 'e');
	assert_true(str_starts(e.text, "the pattern is no POSIX extended expression: "));
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *expression, *error; /* the error's beginning */
	} rows[] = {
	    {" ", "at byte 2: the expression ends, expected a value"},
	    {"1", "at byte 1: a boolean is wanted, this is an integer"},
	    {"'a'", "at byte 1: a boolean is wanted, this is a string"},
	    {"attributes", "at byte 1: a boolean is wanted, this is the map"},
	    {"attributes['a']", "at byte 1: a boolean is wanted, this is an attribute"},
	    {"true true", "at byte 6: \"true\", expected an operator or the end"},
	    {"true)", "at byte 5: \")\", expected an operator or the end"},
	    {"(true", "at byte 6: the expression ends, expected \")\""},
	    {"true &&", "at byte 8: the expression ends, expected a value"},
	    {"true & false", "at byte 6: \"&\", expected an operator or the end"},
	    {"true && 1", "at byte 6: \"&&\" does not work on a boolean and an integer"},
	    {"1 || true", "at byte 3: \"||\" does not work on an integer and a boolean"},
	    {"1 == 'a'", "at byte 3: \"==\" does not work on an integer and a string"},
	    {"'a' + 'b' == 'ab'", "at byte 5: \"+\" does not work on a string and a string"},
	    {"null < null", "at byte 6: \"<\" does not work on null and null"},
	    {"attributes == attributes", "at byte 12: \"==\" does not work on the map and the map"},
	    {"1 in ['a']", "at byte 3: \"in\" does not work on an integer and a list"},
	    {"1 in attributes", "at byte 3: \"in\" does not work on an integer and the map"},
	    {"1 in 2", "at byte 3: \"in\" does not work on an integer and an integer"},
	    {"1 in [1, 'a']", "at byte 10: the elements of a list are"},
	    {"1 in [1", "at byte 8: the expression ends, expected \",\""},
	    {"!1", "at byte 1: a boolean is wanted, this is an integer"},
	    {"-true", "at byte 1: an integer is wanted, this is a boolean"},
	    {"1 ? true : false", "at byte 3: a boolean is wanted, this is an integer"},
	    {"true ? 1 : 'a'", "at byte 6: the alternatives are an integer and a string"},
	    {"true ? true", "at byte 12: the expression ends, expected \":\""},
	    {"attributes[1].IntValue == 1", "at byte 11: a string is wanted, this is an integer"},
	    {"'a'['b'] == 1", "at byte 4: the map is wanted, this is a string"},
	    {"attributes['a'].Value", "at byte 17: an attribute has StringValue, IntValue, BoolValue and VersionValue"},
	    {"attributes['a'].StringValue.x", "at byte 29: a string has no fields"},
	    {"attributes['a'].", "at byte 17: the expression ends, expected a field or a function"},
	    {"attributes['a'].StringValue.lower()", "at byte 29: there is no function of this name"},
	    {"1.size() == 1", "at byte 3: an integer has no size"},
	    {"size(1) == 1", "at byte 1: an integer has no size"},
	    {"true.startsWith('a')", "at byte 6: a string is wanted, this is a boolean"},
	    {"'a'.startsWith(1)", "at byte 5: a string is wanted, this is an integer"},
	    {"'a'.startsWith()", "at byte 16: \")\", expected a value"},
	    {"has(attributes['a'])", "at byte 1: has() takes"},
	    {"has(true)", "at byte 1: has() takes"},
	    {"device == 1", "at byte 1: unknown name"},
	    {"foo(1)", "at byte 1: unknown name"},
	    {"attributes(1)", "at byte 1: unknown name"},
	    {"in", "at byte 1: \"in\", expected a value"},
	    {"1.5 == 1", "at byte 1: only whole signed numbers are supported"},
	    {"1u == 1", "at byte 1: only whole signed numbers are supported"},
	    {"0x == 1", "at byte 1: only whole signed numbers are supported"},
	    {"9223372036854775808 == 1", "at byte 1: the number is too large"},
	    {"-9223372036854775809 == 1", "at byte 2: the number is too large"},
	    {"99999999999999999999 == 1", "at byte 1: the number is too large"},
	    {"'a", "at byte 1: the string has no end"},
	    {"'a\nb' == ''", "at byte 1: the string has no end"},
	    {"'a\\", "at byte 3: not an escape sequence"},
	    {"'\\q' == ''", "at byte 2: not an escape sequence"},
	    {"'\\x0' == ''", "at byte 2: not an escape sequence"},
	    {"'\\x00' == ''", "at byte 2: not an escape sequence"},
	    {"'\\ud800' == ''", "at byte 2: not an escape sequence"},
	    {"'\\U00110000' == ''", "at byte 2: not an escape sequence"},
	    {"'\\400' == ''", "at byte 2: not an escape sequence"},
	    {"true # false", "at byte 6: \"#\", expected"},
	    {"true \x01", "at byte 6: byte 0x01, expected"},
	    {"\xc3\xa4", "at byte 1: byte 0xc3, expected a value"},
	    {"'a'.matches('(')", "at byte 5: the pattern is no POSIX extended expression: "},
	    {"'a'.matches(r'\\d')", "at byte 5: the pattern has \\d, which POSIX"},
	    {"'a'.matches(r'(a)\\1')", "at byte 5: the pattern has \\1, which POSIX"},
	    {"'a'.matches('a++')", "at byte 5: the pattern repeats a repetition at \"+\""},
	    {"'a'.matches('a{2}*')", "at byte 5: the pattern repeats a repetition at \"*\""},
	    {"'a'.matches('((((((((((a+)+)+)+)+)+)+)+)+)+)+')", "at byte 5: the pattern repeats more than 1000 times"},
	    {"'a'.matches('(a{100}){100}')", "at byte 5: the pattern repeats more than 1000 times"},
	    {"'a'.matches('a{99999999999999999999}')", "at byte 5: the pattern repeats more than 1000 times"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct filter *f = NULL;
		struct error e = {0};
		int rc = filter_compile(rows[i].expression, &f, &e);
		if (rc != -EINVAL || f || !str_starts(e.text, rows[i].error))
			fail_msg("%s\n  gives %d \"%s\"\n  expected \"%s\"", rows[i].expression, rc, e.text, rows[i].error);
	}
}

static int compile_repeated(const char *before, const char *middle, const char *after, int n, struct error *e)
{
	_cleanup_buf_ struct buf b = {0};
	struct filter *f = NULL;
	for (int i = 0; i < n; i++)
		buf_puts(&b, before);
	buf_puts(&b, middle);
	for (int i = 0; i < n; i++)
		buf_puts(&b, after);
	int rc = filter_compile(buf_text(&b), &f, e);
	if (rc == 0)
		assert_true(filter_keeps(f, &eth0, NULL));
	filter_free(f);
	return rc;
}

static void test_depth_is_limited(void **state)
{
	(void)state;
	static const struct {
		const char *before, *middle, *after;
		int good, bad;
	} rows[] = {
	    {"(", "true", ")", 63, 64},
	    {"!!", "true", "", 31, 32},
	    {"", "true", " || false", 255, 256}, /* a chain, not nested: longer */
	    {"", "true", " && true", 255, 256},
	    {"true ? true : ", "true", "", 63, 64},
	    {"size([", "1", "]) == 1 || 1 < 2 || 1 == 1 ", 0, 65},
	    {"attributes[(", "'dra.net/mtu'", ")].IntValue == 1 || true", 1, 65},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct error e = {0};
		if (rows[i].good && compile_repeated(rows[i].before, rows[i].middle, rows[i].after, rows[i].good, &e) < 0)
			fail_msg("row %zu: %s", i, e.text);
		assert_int_equal(compile_repeated(rows[i].before, rows[i].middle, rows[i].after, rows[i].bad, &e), -EINVAL);
		assert_int_equal(compile_repeated(rows[i].before, rows[i].middle, rows[i].after, 100000, &e), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_dranet_rows), cmocka_unit_test(test_errors_are_absorbed),
	    cmocka_unit_test(test_fields),      cmocka_unit_test(test_operators),
	    cmocka_unit_test(test_refused),     cmocka_unit_test(test_depth_is_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
