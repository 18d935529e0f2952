/* SPDX-License-Identifier: Apache-2.0 */
/* The ceiling of unpacking and the checks of received texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/pb_arena.h"
#include "proto/dra.pb-c.h"

static void a_bomb_is_refused(void **state)
{
	(void)state;
	enum { SIZE = 4 << 20 };
	_cleanup_free_ uint8_t *bomb = malloc(SIZE); /* claims = {}, 2 Mi times */
	assert_non_null(bomb);
	for (size_t i = 0; i < SIZE; i += 2) {
		bomb[i] = 0x0a;
		bomb[i + 1] = 0;
	}
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	const void *message = NULL;
	struct error e = {0};
	assert_int_equal(pb_unpack(&arena, &dra__request__descriptor, bomb, SIZE, &message, &e), -E2BIG);
	assert_null(message);
	assert_true(arena.used <= PB_ARENA_LIMIT + 64);
	assert_non_null(strstr(e.text, "memory"));
}

/* Each ceiling from nothing up: refused until it is enough, and never anything in between. */
static void every_ceiling_is_survived(void **state)
{
	static const uint8_t message[] = "\x0a\x09\x0a\x02ns\x12\x01u\x1a\x00\x0a\x03\x7a\x01x";
	bool fitted = false;
	(void)state;
	for (size_t limit = 1; limit < 2000; limit++) {
		_cleanup_pb_arena_ struct pb_arena arena = {.limit = limit};
		const void *m = NULL;
		int r = pb_unpack(&arena, &dra__request__descriptor, message, sizeof(message) - 1, &m, NULL);
		assert_true(r == 0 || (r == -E2BIG && !fitted));
		if (r == 0)
			assert_int_equal(((const Dra__Request *)m)->n_claims, 2);
		fitted |= r == 0;
	}
	assert_true(fitted);
}

static void not_a_message_is_refused(void **state)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	struct error e = {0};
	const void *m = NULL;
	(void)state;
	assert_int_equal(pb_unpack(&arena, &dra__request__descriptor, (const uint8_t *)"\x0a\x7f", 2, &m, &e), -EBADMSG);
	assert_non_null(strstr(e.text, "Request"));
	assert_int_equal(pb_unpack(&arena, &dra__request__descriptor, NULL, 0, &m, &e), 0);
}

static int text_of(const char *bytes, size_t len, char *to, size_t size, struct error *e)
{
	return pb_text(&(ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)bytes, .len = len}, "pod.uid", to, size, e);
}

static void texts_are_checked(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool ok;
	} rows[] = {
	    {"", 0, true},
	    {"abc", 3, true},
	    {"\xc3\xa9", 2, true},
	    {"\xf0\x9f\x8d\x8e", 4, true},
	    {"\xed\x9f\xbf", 3, true},
	    {"1234567", 7, true},
	    {"12345678", 8, false},         /* no room for the NUL */
	    {"a\0b", 3, false},             /* would be another name */
	    {"a\nb", 3, false},             /* would be another journal line */
	    {"\x7f", 1, false},             /* DEL */
	    {"\xc0\x80", 2, false},         /* overlong NUL */
	    {"\xe0\x80\x80", 3, false},     /* overlong */
	    {"\xed\xa0\x80", 3, false},     /* surrogate */
	    {"\xf4\x90\x80\x80", 4, false}, /* above U+10FFFF */
	    {"\xf5\x80\x80\x80", 4, false},
	    {"\xc3", 1, false}, /* cut */
	    {"\xe2\x82", 2, false},
	    {"\x80", 1, false}, /* continuation alone */
	    {"\xc3(", 2, false},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char to[8] = "before";
		struct error e = {0};
		int r = text_of(rows[i].bytes, rows[i].len, to, sizeof(to), &e);
		assert_int_equal(r, rows[i].ok ? 0 : -EINVAL);
		if (rows[i].ok) {
			assert_memory_equal(to, rows[i].bytes, rows[i].len);
			assert_int_equal(to[rows[i].len], 0);
		} else {
			assert_string_equal(to, "before");
			assert_non_null(strstr(e.text, "pod.uid"));
		}
	}
}

static void names_are_checked(void **state)
{
	static const struct {
		const char *name;
		bool ok;
	} rows[] = {
	    {"6d9b1a34-52f0", true}, {"a.b_C-9", true}, {"", false},         {".", false},       {"..", false},
	    {"a/b", false},          {"a b", false},    {"\xc3\xa9", false}, {"../../x", false},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		char to[32] = "before";
		ProtobufCBinaryData from = {.data = (uint8_t *)(uintptr_t)rows[i].name, .len = strlen(rows[i].name)};
		assert_int_equal(pb_name(&from, "uid", to, sizeof(to), NULL), rows[i].ok ? 0 : -EINVAL);
		assert_string_equal(to, rows[i].ok ? rows[i].name : "before");
	}
}

static void what_is_sent_is_utf8(void **state)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	(void)state;
	assert_string_equal(pb_sendable(&arena, NULL), "");
	assert_string_equal(pb_sendable(&arena, "caf\xc3\xa9"), "caf\xc3\xa9");
	assert_string_equal(pb_sendable(&arena, "caf\xc3"), "caf?");
	assert_string_equal(pb_sendable(&arena, "\xff\xfe."), "??.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_bomb_is_refused), cmocka_unit_test(every_ceiling_is_survived), cmocka_unit_test(not_a_message_is_refused),
	    cmocka_unit_test(texts_are_checked), cmocka_unit_test(names_are_checked),         cmocka_unit_test(what_is_sent_is_utf8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
