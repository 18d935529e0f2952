/* SPDX-License-Identifier: Apache-2.0 */
/* The patterns of the device filter: what RE2 says of these, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/filter_pattern.h"

static void test_matches(void **state)
{
	(void)state;
	static const struct {
		const char *pattern;
		const char *yes[6], *no[6];
	} rows[] = {
	    {"", {"", "a"}, {NULL}},
	    {"b", {"abc"}, {"", "ac", "B"}},
	    {"^eth\\d+$", {"eth0", "eth12"}, {"eth", "xeth0", "eth0x", "eth0\n"}},
	    {"^(eth|ens|enp)", {"eth0", "ens1", "enp2s0"}, {"xeth", "en0"}},
	    {"^ens[0-9]+f[01](np[0-9])?$", {"ens1f0", "ens12f1np3"}, {"ens1f2", "ens1f0np", "ensf0"}},
	    {"a|", {"", "b"}, {NULL}},
	    {"^(a|bc|)$", {"", "a", "bc"}, {"b", "ab"}},
	    {"^a*$", {"", "a", "aaa"}, {"ab"}},
	    {"^a+$", {"a", "aaa"}, {"", "ab"}},
	    {"^a?b$", {"b", "ab"}, {"aab"}},
	    {"^a{2}$", {"aa"}, {"a", "aaa"}},
	    {"^a{2,}$", {"aa", "aaaaa"}, {"a"}},
	    {"^a{1,3}$", {"a", "aaa"}, {"", "aaaa"}},
	    {"^a{0}b{0,1}$", {"", "b"}, {"a", "bb"}},
	    {"^(ab){2,3}$", {"abab", "ababab"}, {"ab", "abababab"}},
	    {"^a{,2}$", {"a{,2}"}, {"aa"}}, /* an ordinary brace */
	    {"^a{$", {"a{"}, {"a"}},
	    {"^(a+)+$", {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"}},
	    {"^(a*)*$", {"", "aa"}, {"b"}},
	    {"^a.c$",
	     {"abc", "a\xc3\xa4"
	             "c"},
	     {"a\nc", "abbc"}},
	    {"(?s)^a.c$", {"a\nc"}, {"ac"}},
	    {"(?i)^MELLANOX", {"mellanox", "Mellanox X"}, {"xmellanox"}},
	    {"^(?i:a)b$", {"Ab", "ab"}, {"aB"}},
	    {"^((?i)a)b$", {"Ab"}, {"AB"}},
	    {"(?m)^b$", {"a\nb\nc"}, {"abc"}},
	    {"\\Ab|b\\z", {"bc", "ab"}, {"a\nb\nc"}},
	    {"^\\w+\\s\\S+\\D$", {"a_1 x-y"}, {"a 1", "-a b"}},
	    {"^\\W$", {"-", "\xc3\xa4"}, {"a", "_"}},
	    {"\\bup\\b", {"up", "an up!"}, {"cup", "upper"}},
	    {"^\\Bb|a\\B", {"ab"}, {"b", "a"}},
	    {"^[a-c]+$", {"abc"}, {"d", "abd"}},
	    {"^[^a-c]+$", {"xyz", "\n"}, {"xa", ""}},
	    {"^[]a]+$", {"a]", "]"}, {"["}},
	    {"^[^]a]$", {"b"}, {"]", "a"}},
	    {"^[a-]+$", {"a-"}, {"b"}},
	    {"^[\\w.-]+$", {"a.b-c_1"}, {"a b", "\\"}}, /* POSIX would take the backslash and the w for themselves */
	    {"^[\\d\\]]+$", {"1]"}, {"a"}},
	    {"^[^\\s\\d]+$", {"ab"}, {"a b", "a1"}},
	    {"^[\\D]$", {"a", "\xf0\x9f\x98\x80"}, {"1"}},
	    {"^[[:alpha:]_]+$", {"a_B"}, {"a1"}},
	    {"^[[:^alpha:]]+$", {"1_"}, {"a"}},
	    {"^[[:xdigit:]:]{17}$", {"02:00:00:00:0a:0F"}, {"02:00:00:00:0a:0G"}},
	    {"(?i)^[a-c]+$", {"AbC"}, {"d"}},
	    {"(?i)^[^a-c]+$", {"d"}, {"A"}},
	    {"^\\x41\\x{1F600}\\t\\.\\*\\\\$", {"A\xf0\x9f\x98\x80\t.*\\"}, {"A"}},
	    {"^[\xc3\xa0-\xc3\xbf]$", {"\xc3\xa4"}, {"a", "\xc3\x84"}},
	    {"^.$", {"\xff", "\xc3"}, {"\xff\xff"}}, /* bytes that are no character are one each */
	    {"^(?P<kind>eth)(?:[0-9])(?<rest>.*?)$", {"eth0", "eth0abc"}, {"eth"}},
	    {"^a??b+?c*?$", {"ab", "bcc"}, {"a"}},
	    {"^(a|b)*c(d|)$", {"ababcd", "c"}, {"abd"}},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct pattern *p;
		struct error e = {0};
		if (pattern_compile(rows[i].pattern, &p, &e) < 0)
			fail_msg("%s\n  %s", rows[i].pattern, e.text);
		for (size_t k = 0; k < 6; k++) {
			if (rows[i].yes[k] && !pattern_matches(p, rows[i].yes[k]))
				fail_msg("%s\n  does not match \"%s\"", rows[i].pattern, rows[i].yes[k]);
			if (rows[i].no[k] && pattern_matches(p, rows[i].no[k]))
				fail_msg("%s\n  matches \"%s\"", rows[i].pattern, rows[i].no[k]);
		}
		pattern_free(p);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *error; /* its beginning */
	} rows[] = {
	    {"(", "the pattern misses a \")\""},
	    {"(a", "the pattern misses a \")\""},
	    {")", "the pattern has a \")\" too many"},
	    {"a)b", "the pattern has a \")\" too many"},
	    {"[", "the pattern misses a \"]\""},
	    {"[a", "the pattern misses a \"]\""},
	    {"[]", "the pattern misses a \"]\""},
	    {"[b-a]", "the pattern has a range that ends before it begins"},
	    {"[a-\\d]", "the pattern has \\d, which is not supported here"},
	    {"[[:nope:]]", "the pattern has a class of an unknown name, \"[:nope:]]\""},
	    {"*", "the pattern repeats nothing, or a repetition, at \"*\""},
	    {"a|+", "the pattern repeats nothing, or a repetition, at \"+\""},
	    {"(?:{2})", "the pattern repeats nothing, or a repetition, at \"{2})\""},
	    {"a**", "the pattern repeats nothing, or a repetition, at \"*\""},
	    {"a+?+", "the pattern repeats nothing, or a repetition, at \"+\""},
	    {"a{2}{3}", "the pattern repeats nothing, or a repetition, at \"{3}\""},
	    {"a{2,1}", "the pattern has a repetition out of range at \"{2,1}\""},
	    {"a{1001}", "the pattern has a repetition out of range at \"{1001}\""},
	    {"a{99999999999999999999}", "the pattern has a repetition out of range at \"{999999999999999\""},
	    {"(a{100}){100}", "the pattern is too large"},
	    {"((((((((((((a{2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2}){2})", "the pattern is too large"},
	    {"\\", "the pattern ends in a backslash"},
	    {"\\1", "the pattern has \\1, which is not supported here"},
	    {"\\p{Greek}", "the pattern has \\p, which is not supported here"},
	    {"\\Qa", "the pattern has \\Q, which is not supported here"},
	    {"\\xg", "the pattern has \\x without the number of a character"},
	    {"\\x{110000}", "the pattern has \\x without the number of a character"},
	    {"\\x{41", "the pattern has \\x without the number of a character"},
	    {"(?=a)", "the pattern has \"(?=\", which is not supported here"},
	    {"(?<=a)", "the pattern has a group with a bad name"},
	    {"(?P<>a)", "the pattern has a group with a bad name"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct pattern *p = NULL;
		struct error e = {0};
		if (pattern_compile(rows[i].pattern, &p, &e) != -EINVAL || p || !str_starts(e.text, rows[i].error))
			fail_msg("%s\n  gives \"%s\"\n  expected \"%s\"", rows[i].pattern, e.text, rows[i].error);
	}
}

/* The size of a pattern is bounded, whichever way it grows. */
static void test_limits(void **state)
{
	(void)state;
	static const struct {
		const char *before, *middle, *after;
		size_t good, bad;
		const char *error;
	} rows[] = {
	    {"a", "", "", 1000, 1001, "the pattern is longer than 1000 bytes"},
	    {"(", "a", ")", 64, 65, "the pattern nests more than 64 groups"},
	    {"|", "a", "", 128, 129, "the pattern has more than 128 alternatives side by side"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		for (int bad = 0; bad < 2; bad++) {
			_cleanup_buf_ struct buf text = {0};
			struct pattern *p = NULL;
			struct error e = {0};
			for (size_t k = 0; k < (bad ? rows[i].bad : rows[i].good); k++)
				buf_puts(&text, rows[i].before);
			buf_puts(&text, rows[i].middle);
			for (size_t k = 0; k < (bad ? rows[i].bad : rows[i].good); k++)
				buf_puts(&text, rows[i].after);
			int r = pattern_compile(buf_text(&text), &p, &e);
			assert_int_equal(r, bad ? -EINVAL : 0);
			if (bad)
				assert_string_equal(e.text, rows[i].error);
			pattern_free(p);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_matches), cmocka_unit_test(test_refused), cmocka_unit_test(test_limits)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
