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
	if (filter_compile(expression, &f, NULL, &e) < 0)
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
	assert_string_equal(e.text, "no such key: \"dra.net/type\"");
	assert_int_equal(evaluate("1 / 0 == 1", &bare, &e), 'e');
	assert_string_equal(e.text, "division by zero");
}

/* The rows of dranet-behaviour §2.9 one by one: how many of its devices each program keeps. Its attributes "kind" and "divisor" are played
 * by those that a device here has. */
static void test_dranet_table(void **state)
{
	(void)state;
	static const struct device_facts device = {.name = "a", .ifindex = 2, .ifname = "eth0", .type = "device", .numa_node = -1},
					 veth = {.name = "b", .ifindex = 3, .ifname = "veth0", .type = "veth", .numa_node = -1},
					 zero = {.name = "c", .ifindex = 4, .ifname = "a", .mtu = 0, .type = "device", .is_virtual = true},
					 two = {.name = "d", .ifindex = 5, .ifname = "b", .mtu = 2, .type = "device", .is_virtual = true},
					 one = {.name = "e", .ifindex = 6, .ifname = "c", .mtu = 1, .type = "device"},
					 pci = {.name = "pci-0000-00-05-0", .pci_address = "0000:00:05.0", .numa_node = -1};
	static const struct {
		const char *expression;
		const struct device_facts *devices[3];
		size_t kept;
	} rows[] = {
	    {"", {&device, &veth}, 2},
	    {A("type") ".StringValue == \"device\"", {&device, &veth}, 1},
	    {A("type") ".StringValue == \"device\" && " A("ifName") ".StringValue == \"eth0\"", {&device, &one}, 1},
	    {A("type") ".StringValue != \"veth\"", {&veth, &veth}, 0},
	    {A("virtual") ".BoolValue", {&zero, &two}, 2},
	    {"true", {NULL}, 0},
	    {"true", {&device, &veth}, 2},
	    {"(1 / " A("mtu") ".IntValue) == 1", {&zero, &two, &one}, 2},
	    {A("type") ".StringValue != \"veth\"", {&pci, &device, &veth}, 2},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct filter *f;
		struct error e = {0};
		size_t kept = 0;
		if (filter_compile(rows[i].expression, &f, NULL, &e) < 0)
			fail_msg("%s\n  %s", rows[i].expression, e.text);
		for (size_t d = 0; d < 3 && rows[i].devices[d]; d++)
			kept += filter_keeps(f, rows[i].devices[d], NULL);
		filter_free(f);
		if (kept != rows[i].kept)
			fail_msg("%s\n  keeps %zu, expected %zu", rows[i].expression, kept, rows[i].kept);
	}
}

static void test_lists_and_macros(void **state)
{
	(void)state;
	static const struct row rows[] = {
	    {A("mtu") ".IntValues.size() == 0", "11e"},
	    {"has(" A("mtu") ".IntValues) || has(" A("type") ".StringValues)", "00e"},
	    {"1 in " A("mtu") ".IntValues", "00e"},
	    {"'a' in " A("mtu") ".VersionValues || true in " A("mtu") ".BoolValues", "00e"},
	    {A("mtu") ".IntValues[0] == 0", "eee"},
	    {"[1, 2][1] == 2 && ['a'][0] == 'a'", "111"},
	    {"[1, 2][2] == 2", "eee"},
	    {"[1][-1] == 1", "eee"},
	    {"attributes.exists(k, k.startsWith('dra.net/pci'))", "101"},
	    {"attributes.exists(k, k == 'dra.net/ifName')", "110"},
	    {"attributes.all(k, k.contains('/'))", "111"},
	    {"attributes.exists_one(k, k.endsWith('/mtu'))", "110"},
	    {"['eth', 'ens'].exists(p, " A("ifName") ".StringValue.startsWith(p))", "10e"},
	    {A("mtu") ".IntValues.exists(n, n == 0)", "00e"},
	    {A("mtu") ".IntValues.all(n, n == 0)", "11e"},
	    {"[0, 1].exists(n, 1 / n == 1)", "111"},
	    {"[0, 2].exists(n, 1 / n == 1)", "eee"},
	    {"[0, 2].all(n, 1 / n == 1)", "000"},
	    {"[0, 1].all(n, 1 / n == 1)", "eee"},
	    {"[0, 1].exists_one(n, 1 / n == 1)", "eee"},
	    {"[1, 1].exists_one(n, n == 1)", "000"},
	    {"[1 / 0].exists(n, true)", "eee"},
	    {"[1, 2].all(a, [1, 2].exists(b, a + b == 3))", "111"},
	    {"[1].all(a, [2].all(a, a == 2))", "111"},
	    {"(true ? [1] : []).size() + (false ? [1] : []).size() == 1", "111"},
	    {"matches('abc', 'b')", "111"},
	    {"'''a\n'b'' ''' == \"a\\n'b'' \" && \"\"\"\"\"\" == ''", "111"},
	    /* Macros multiply: what would take too long is told, not computed. */
	    {"attributes.all(a, attributes.all(b, attributes.all(c, attributes.all(d, attributes.all(f, a != 'x')))))", "ee1"},
	};
	expect_rows(rows, ELEMENTS(rows));
	struct error e;
	evaluate("[1, 2][2] == 2", &eth0, &e);
	assert_string_equal(e.text, "index 2 of a list of 2");
	evaluate(rows[ELEMENTS(rows) - 1].expression, &eth0, &e);
	assert_string_equal(e.text, "more than 20000 operations");
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
	    "null == null && !(attributes['dra.net/mtu'] == null) && null != attributes['dra.net/type']",
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
	assert_string_equal(e.text, "the pattern misses a \")\"");
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *expression, *error; /* the error's beginning */
	} rows[] = {
	    {" ", "at 1:2: the expression ends, expected a value"},
	    {"1", "at 1:1: a boolean is wanted, this is an integer"},
	    {"'a'", "at 1:1: a boolean is wanted, this is a string"},
	    {"attributes", "at 1:1: a boolean is wanted, this is the map"},
	    {"attributes['a']", "at 1:1: a boolean is wanted, this is an attribute"},
	    {"true true", "at 1:6: \"true\", expected an operator or the end"},
	    {"true)", "at 1:5: \")\", expected an operator or the end"},
	    {"(true", "at 1:6: the expression ends, expected \")\""},
	    {"true &&", "at 1:8: the expression ends, expected a value"},
	    {"true & false", "at 1:6: \"&\", expected an operator or the end"},
	    {"true && 1", "at 1:6: \"&&\" does not work on a boolean and an integer"},
	    {"1 || true", "at 1:3: \"||\" does not work on an integer and a boolean"},
	    {"1 == 'a'", "at 1:3: \"==\" does not work on an integer and a string"},
	    {"'a' + 'b' == 'ab'", "at 1:5: joining strings is not supported here"},
	    {"null < null", "at 1:6: \"<\" does not work on null and null"},
	    {"attributes == attributes", "at 1:12: comparing lists, maps and whole attributes is not supported here"},
	    {"1 in ['a']", "at 1:3: \"in\" does not work on an integer and a list"},
	    {"1 in attributes", "at 1:3: \"in\" does not work on an integer and the map"},
	    {"1 in 2", "at 1:3: \"in\" does not work on an integer and an integer"},
	    {"1 in [1, 'a']", "at 1:10: a list of several types is not supported here"},
	    {"1 in [1", "at 1:8: the expression ends, expected \",\""},
	    {"!1", "at 1:1: a boolean is wanted, this is an integer"},
	    {"-true", "at 1:1: an integer is wanted, this is a boolean"},
	    {"1 ? true : false", "at 1:3: a boolean is wanted, this is an integer"},
	    {"true ? 1 : 'a'", "at 1:6: the alternatives are an integer and a string"},
	    {"true ? true", "at 1:12: the expression ends, expected \":\""},
	    {"attributes[1].IntValue == 1", "at 1:11: a string is wanted, this is an integer"},
	    {"'a'['b'] == 1", "at 1:4: the map is wanted, this is a string"},
	    {"attributes['a'].Value", "at 1:17: an attribute has StringValue, IntValue, BoolValue and VersionValue"},
	    {"attributes['a'].StringValue.x", "at 1:29: a string has no fields"},
	    {"attributes['a'].", "at 1:17: the expression ends, expected a field or a function"},
	    {"attributes['a'].StringValue.lower()", "at 1:29: there is no function of this name"},
	    {"1.size() == 1", "at 1:3: an integer has no size"},
	    {"size(1) == 1", "at 1:1: an integer has no size"},
	    {"true.startsWith('a')", "at 1:6: a string is wanted, this is a boolean"},
	    {"'a'.startsWith(1)", "at 1:5: a string is wanted, this is an integer"},
	    {"'a'.startsWith()", "at 1:16: \")\", expected a value"},
	    {"has(attributes['a'])", "at 1:1: has() takes"},
	    {"has(true)", "at 1:1: has() takes"},
	    {"in", "at 1:1: \"in\", expected a value"},
	    {"1u == 1", "at 1:1: unsigned integers are not supported here"},
	    {"0x == 1", "at 1:1: not a number"},
	    {"1 in [[1]]", "at 1:7: a list of anything but booleans, integers and strings is not supported here"},
	    {"1 in [null]", "at 1:7: a list of anything but booleans, integers and strings is not supported here"},
	    {"attributes['a'] in []", "at 1:17: looking for lists, maps and whole attributes is not supported here"},
	    {"null in [1]", "at 1:6: \"in\" does not work on null and a list"},
	    {"1 == null", "at 1:3: \"==\" does not work on an integer and null"},
	    {"[1] == [1]", "at 1:5: comparing lists, maps and whole attributes is not supported here"},
	    {"attributes['a'] == attributes['b']", "at 1:17: comparing lists, maps and whole attributes is not supported here"},
	    {"size([1] + [2]) == 2", "at 1:10: joining lists is not supported here"},
	    {"1.5 == 1", "at 1:1: numbers of type double are not supported here"},
	    {"1e3 == 1", "at 1:1: numbers of type double are not supported here"},
	    {".5 == 1", "at 1:1: numbers of type double are not supported here"},
	    {"b'a' == 'a'", "at 1:1: byte strings are not supported here"},
	    {"bR\"a\" == 'a'", "at 1:1: byte strings are not supported here"},
	    {"{'a': 1} == 1", "at 1:1: maps and messages are not supported here"},
	    {"attributes.`dra.net/mtu`.IntValue == 1", "at 1:12: names in backticks are not supported here"},
	    {"int(attributes['a'].StringValue) == 1", "at 1:1: int() is not supported here"},
	    {"string(1) == '1'", "at 1:1: string() is not supported here"},
	    {"dyn(1) == 1", "at 1:1: dyn() is not supported here"},
	    {"double(1) == 1", "at 1:1: double() is not supported here"},
	    {"duration('1s') == 1", "at 1:1: duration() is not supported here"},
	    {"timestamp('') == 1", "at 1:1: timestamp() is not supported here"},
	    {"type(1) == int", "at 1:1: type() is not supported here"},
	    {"1 == int", "at 1:6: int is not supported here"},
	    {"attributes.filter(k, true).size() == 1", "at 1:12: filter() is not supported here"},
	    {"[1].map(x, x)", "at 1:5: map() is not supported here"},
	    {"device.attributes['dra.net'].type == 'veth'", "at 1:1: \"device\" belongs to the selectors of claims and classes"},
	    {"ifName == 'eth0'", "at 1:1: unknown name; \"attributes\" is known"},
	    {"foo(1)", "at 1:1: unknown function; size(), has() and matches() are known"},
	    {"attributes(1)", "at 1:1: unknown function"},
	    {"'a'.lowerAscii() == 'a'", "at 1:5: there is no function of this name; size,"},
	    {"true &&\n\t'gr\xc3\xbcn' &&\ntrue", "at 1:6: \"&&\" does not work on a boolean and a string"},
	    {"true &&\n '\xc3\xbc' == x", "at 2:9: unknown name"},
	    {"attributes.exists(1, true)", "at 1:19: a number, expected a name"},
	    {"attributes.exists(k)", "at 1:20: \")\", expected \",\""},
	    {"attributes.exists(k, 1)", "at 1:22: a boolean is wanted, this is an integer"},
	    {"attributes.exists(k, k == 1)", "at 1:24: \"==\" does not work on a string and an integer"},
	    {"attributes.exists(k, true) && k == ''", "at 1:31: unknown name"},
	    {"'a'.exists(k, true)", "at 1:5: a string has no elements"},
	    {"[1][true] == 1", "at 1:4: an integer is wanted, this is a boolean"},
	    {"[][0] == 1", "at 1:3: an empty list has no elements"},
	    {"matches('a') == 1", "at 1:12: \")\", expected \",\""},
	    {"1x == 1", "at 1:1: not a number"},
	    {"'a'.matches('(')", "at 1:13: the pattern misses a \")\""},
	    {"'a'.matches(r'(a)\\1')", "at 1:13: the pattern has \\1, which is not supported here"},
	    {"matches('a', 'a++')", "at 1:14: the pattern repeats nothing, or a repetition, at \"+\""},
	    {"9223372036854775808 == 1", "at 1:1: the number is too large"},
	    {"-9223372036854775809 == 1", "at 1:2: the number is too large"},
	    {"99999999999999999999 == 1", "at 1:1: the number is too large"},
	    {"'a", "at 1:1: the string has no end"},
	    {"'a\nb' == ''", "at 1:1: the string has no end"},
	    {"'a\\", "at 1:3: not an escape sequence"},
	    {"'\\q' == ''", "at 1:2: not an escape sequence"},
	    {"'\\x0' == ''", "at 1:2: not an escape sequence"},
	    {"'\\x00' == ''", "at 1:2: not an escape sequence"},
	    {"'\\ud800' == ''", "at 1:2: not an escape sequence"},
	    {"'\\U00110000' == ''", "at 1:2: not an escape sequence"},
	    {"'\\400' == ''", "at 1:2: not an escape sequence"},
	    {"true # false", "at 1:6: \"#\", expected"},
	    {"true \x01", "at 1:6: byte 0x01, expected"},
	    {"\xc3\xa4", "at 1:1: byte 0xc3, expected a value"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct filter *f = NULL;
		struct error e = {0};
		int rc = filter_compile(rows[i].expression, &f, NULL, &e);
		if (rc != -EINVAL || f || !str_starts(e.text, rows[i].error))
			fail_msg("%s\n  gives %d \"%s\"\n  expected \"%s\"", rows[i].expression, rc, e.text, rows[i].error);
	}
}

static void test_explanations(void **state)
{
	(void)state;
#define TYPE A("type") ".StringValue"
	static const struct {
		const char *expression;
		const struct device_facts *facts;
		bool keeps;
		const char *why;
	} rows[] = {
	    {"", &eth0, true, "the filter is empty"},
	    {"true", &eth0, true, "true"},
	    {TYPE " != \"veth\"", &veth0, false, TYPE " != \"veth\"  is false: the value is \"veth\""},
	    {FILTER_DEFAULT, &veth0, false,
	     "\"dra.net/type\" in attributes  is true; attributes[\"dra.net/type\"].StringValue  != \"veth\"  is false: the value is "
	     "\"veth\""},
	    {FILTER_DEFAULT, &eth0, true, "attributes[\"dra.net/type\"].StringValue  != \"veth\"  is true: the value is \"device\""},
	    {FILTER_DEFAULT, &bare, true, "\"dra.net/type\" in attributes  is false"},
	    {TYPE " != \"veth\"", &bare, true, TYPE " != \"veth\"  error: no such key: \"dra.net/type\""},
	    {"true && " TYPE " == 'x'", &bare, true, TYPE " == 'x'  error: no such key: \"dra.net/type\""},
	    {A("mtu") ".IntValue > 1500 && !(" TYPE " in ['device', 'veth'])", &veth0, false,
	     TYPE " in ['device', 'veth']  is true: the value is \"veth\""},
	    {"!(" A("mtu") ".IntValue > 1500\n&& " TYPE " == 'veth')", &veth0, false,
	     A("mtu") ".IntValue > 1500  is true: the value is 9000; " TYPE " == 'veth'  is true: the value is \"veth\""},
	    {A("sriov") ".BoolValue", &veth0, false, A("sriov") ".BoolValue  is false"},
	    {A("mtu") ".StringValue == '1500'", &eth0, false,
	     A("mtu") ".StringValue == '1500'  is false: the value is \"\" (dra.net/mtu is an integer, 1500)"},
	    {A("type") ".BoolValue", &eth0, false, A("type") ".BoolValue  is false (dra.net/type is a string, \"device\")"},
	    {TYPE " == 'veth' ? " A("mtu") ".IntValue < 9000 : true", &veth0, false,
	     TYPE " == 'veth'  is true: the value is \"veth\"; " A("mtu") ".IntValue < 9000  is false: the value is 9000"},
	    {A("ifName") ".StringValue.startsWith(" TYPE ")", &veth0, true,
	     A("ifName") ".StringValue.startsWith(" TYPE ")  is true: the value is \"veth0\" and \"veth\""},
	    {"attributes.exists(k, k == 'x')", &eth0, false, "attributes.exists(k, k == 'x')  is false"},
	    {"has(" A("mtu") ".StringValue)", &eth0, false, "has(" A("mtu") ".StringValue)  is false"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf why = {0};
		struct filter *f;
		struct error e = {0};
		if (filter_compile(rows[i].expression, &f, NULL, &e) < 0)
			fail_msg("%s\n  %s", rows[i].expression, e.text);
		bool keeps = filter_explain(f, rows[i].facts, &why);
		filter_free(f);
		if (keeps != rows[i].keeps || strcmp(buf_text(&why), rows[i].why) != 0)
			fail_msg("%s\n  gives %d %s\n  expected %s", rows[i].expression, keeps, buf_text(&why), rows[i].why);
	}
}

static void test_fault_is_shown(void **state)
{
	(void)state;
	static const struct {
		const char *expression;
		size_t at;
		const char *shown;
	} rows[] = {
	    {"true && foo", 8, "true && foo\n        ^\n"},
	    {"true &&", 7, "true &&\n       ^\n"},
	    {"true &&\n\t'gr\xc3\xbcn' == x", 20, " 'gr\xc3\xbcn' == x\n           ^\n"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf shown = {0};
		struct filter *f;
		size_t at = 0;
		assert_int_equal(filter_compile(rows[i].expression, &f, &at, NULL), -EINVAL);
		assert_int_equal(at, rows[i].at);
		filter_show_fault(rows[i].expression, at, &shown);
		assert_string_equal(buf_text(&shown), rows[i].shown);
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
	int rc = filter_compile(buf_text(&b), &f, NULL, e);
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

/* With the gate DRAListTypeAttributes. */
static void test_attribute_lists(void **state)
{
	(void)state;
	static const struct device_facts nic = {
	    .name = "a", .pci_address = "0000:8a:00.0", .numa_node = 1, .numa_nodes = {1, 0, 2}, .n_numa_nodes = 3};
#define N "attributes[\"resource.kubernetes.io/numaNode\"]"
	static const struct {
		const char *expression;
		char result;
	} rows[] = {
	    {"2 in " N ".IntValues", '1'},
	    {"3 in " N ".IntValues", '0'},
	    {N ".IntValues.size() == 3", '1'},
	    {"size(" N ".IntValues) == 3", '1'},
	    {N ".IntValues[0] == 1", '1'},
	    {N ".IntValues[2] == 2", '1'},
	    {N ".IntValues[3] == 0", 'e'},
	    {N ".IntValues[-1] == 0", 'e'},
	    {N ".IntValues.exists(n, n == 0)", '1'},
	    {N ".IntValues.exists_one(n, n < 2)", '0'},
	    {N ".IntValues.all(n, n in [0, 1, 2])", '1'},
	    {N ".IntValues.all(n, n in " N ".IntValues)", '1'},
	    {N ".IntValues.all(n, n > 0)", '0'},
	    {"has(" N ".IntValues) && !has(" N ".IntValue)", '1'},
	    {N ".IntValue == 0", '1'}, /* unset */
	    {A("numaNode") ".IntValue == 1", '1'},
	    {A("numaNode") ".IntValues.size() == 0", '1'},
	};
	struct error e;
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		if (evaluate(rows[i].expression, &nic, &e) != rows[i].result)
			fail_msg("%s is not %c (%s)", rows[i].expression, rows[i].result, e.text);
	_cleanup_buf_ struct buf b = {0};
	struct filter *f;
	assert_int_equal(filter_compile(N ".IntValue == 1", &f, NULL, &e), 0);
	assert_false(filter_explain(f, &nic, &b));
	assert_non_null(strstr(buf_text(&b), "is a list of integers: 1, 0, 2"));
	filter_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_attribute_lists), cmocka_unit_test(test_dranet_rows),      cmocka_unit_test(test_errors_are_absorbed),
	    cmocka_unit_test(test_fields),          cmocka_unit_test(test_operators),        cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_dranet_table),    cmocka_unit_test(test_lists_and_macros), cmocka_unit_test(test_explanations),
	    cmocka_unit_test(test_fault_is_shown),  cmocka_unit_test(test_depth_is_limited),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
