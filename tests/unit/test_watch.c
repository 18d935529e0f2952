/* SPDX-License-Identifier: Apache-2.0 */
/* List and watch over real sockets: chunk borders, expiry, outages, silence; and the line splitter by itself. */
#include "core/base/cleanup.h"
#include "k8s/json_value.h"
#include "k8s/watch_lines.h"
#include "tests/unit/loopback.h"

/* ---- watches ---------------------------------------------------------------------------------------------------------------------- */

static void log_add(struct world *w, const char *text)
{
	assert_true(strlen(w->log) + strlen(text) + 2 < sizeof(w->log));
	strcat(w->log, text);
}

static void on_begin(void *user)
{
	log_add(user, "(");
}

static void on_object(json_t *object, bool removed, void *user)
{
	struct world *w = user;
	log_add(w, json_string_value(json_member(object, "metadata.name")));
	log_add(w, removed ? "-" : "+");
	w->objects++;
}

static void on_synced(void *user)
{
	struct world *w = user;
	log_add(w, ")");
	w->synced++;
}

static void on_trouble(int result, const char *text, void *user)
{
	struct world *w = user;
	log_add(w, result ? "!" : "*");
	if (result)
		w->troubles++;
	else
		w->recoveries++;
	snprintf(w->error, sizeof(w->error), "%s", text);
}

static const struct api_watch_callbacks callbacks = {.begin = on_begin, .object = on_object, .synced = on_synced, .trouble = on_trouble};

static void watch_start(struct world *w)
{
	assert_int_equal(api_watch_start(w->api, "/things", "fieldSelector=a%3Db", &callbacks, w, &w->watch), 0);
}

static void serve_list_then(struct peer *p, const char *head)
{
	assert_non_null(strstr(head, "GET /things?fieldSelector=a%3Db&limit=500 HTTP"));
	peer_answer(p, "200 OK", "", "{'metadata':{'resourceVersion':'10'},'items':[{'metadata':{'name':'a'}}]}");
}

static void serve_borders(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	switch (n) {
	case 0:
		assert_non_null(strstr(head, "limit=500 HTTP"));
		peer_answer(
		    p, "200 OK", "",
		    "{'metadata':{'resourceVersion':'9','continue':'t&k='},'items':[{'metadata':{'name':'a'}},{'metadata':{'name':'b'}}]}");
		return;
	case 1:
		assert_non_null(strstr(head, "limit=500&continue=t%26k%3D HTTP"));
		peer_answer(p, "200 OK", "", "{'metadata':{'resourceVersion':'10'},'items':[{'metadata':{'name':'c'}}]}");
		return;
	case 2:
		assert_non_null(strstr(head, "watch=1&allowWatchBookmarks=true&timeoutSeconds="));
		assert_non_null(strstr(head, "&resourceVersion=10 HTTP"));
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'na");
		peer_chunk(
		    p, "me':'d','resourceVersion':'11'}}}\n{'type':'DELETED','object':{'metadata':{'name':'a','resourceVersion':'12'}}}");
		peer_chunk(p, "\n");
		peer_chunk(p, "\r\n{'type':'MODIFIED','object':{'metadata':{'name':'b','resourceVersion':'13'}}}\r\n");
		peer_chunk(p, "{'type':'BOOKMARK','object':{'kind':'Thing','metadata':{'resourceVersion':'20'}}}\n");
		peer_write(p, "0\r\n\r\n"); /* the usual end */
		return;
	case 3:
		assert_non_null(strstr(head, "&resourceVersion=20 HTTP"));
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'e','resourceVersion':'21'}}}\n");
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':");
		peer_close(p); /* in the middle of an event: it comes again */
		return;
	case 4:
		assert_non_null(strstr(head, "&resourceVersion=21 HTTP"));
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'f','resourceVersion':'22'}}}\n");
		return;
	}
}

static void test_watch_borders(void **state)
{
	struct world *w = *state;
	w->serve = serve_borders;
	watch_start(w);
	assert_true(run_until(w, &w->objects, 8, 10));
	assert_string_equal(w->log, "(a+b+c+)d+a-b+e+f+");
	assert_int_equal(w->requests, 5);
}

static void serve_expiring(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	switch (n) {
	case 0:
	case 2:
	case 4:
	case 6:
		return serve_list_then(p, head);
	case 1:
		return peer_answer(p, "410 Gone", "", "{'kind':'Status','code':410,'reason':'Expired','message':'too old'}");
	case 3:
		peer_stream(p);
		return peer_chunk(p, "{'type':'ERROR','object':{'kind':'Status','code':410,'reason':'Gone','message':'x'}}\n");
	case 5:
		peer_stream(p);
		return peer_chunk(p, "garbage\n");
	case 7:
		peer_stream(p);
		return peer_chunk(p, "{'type':'ERROR','object':{'kind':'Status','code':500,'message':'some trouble'}}\n");
	default:
		peer_stream(p);
		return peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'z','resourceVersion':'30'}}}\n");
	}
}

static void test_watch_expired(void **state)
{
	struct world *w = *state;
	w->serve = serve_expiring;
	watch_start(w);
	assert_true(run_until(w, &w->objects, 5, 10));
	/* 410 by status and by event: listed anew without a word; garbage too, but that is trouble; another error: no list */
	assert_string_equal(w->log, "(a+)(a+)(a+)!(a+*)!*z+");
	assert_string_equal(w->error, "");
	assert_int_equal(w->requests, 9);
}

static void serve_outage(struct world *w, struct peer *p, int n, const char *head)
{
	if (n == 0)
		return serve_list_then(p, head);
	if (n == 1) {
		peer_stream(p);
		peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'b','resourceVersion':'11'}}}\n");
		return;
	}
	if (n == 2) {
		w->mark = uv_now(&w->loop);
		return peer_answer(p, "429 Too Many Requests", "Retry-After: 1\r\n", "{'kind':'Status','message':'slow down'}");
	}
	assert_non_null(strstr(head, "&resourceVersion=11 HTTP"));
	assert_true(uv_now(&w->loop) - w->mark >= 900);
	peer_stream(p);
	peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'c','resourceVersion':'12'}}}\n");
}

static void test_watch_outage(void **state)
{
	struct world *w = *state;
	w->serve = serve_outage;
	watch_start(w);
	assert_true(run_until(w, &w->objects, 2, 10));
	server_close(w);
	assert_true(run_until(w, &w->troubles, 1, 10));
	int never = 0;
	run_until(w, &never, 1, 1);
	assert_int_equal(w->troubles, 1); /* told once, however often it was tried */
	server_open(w);
	assert_true(run_until(w, &w->objects, 3, 10));
	assert_string_equal(w->log, "(a+)b+!*c+"); /* no second list */
	assert_int_equal(w->requests, 4);
}

static void serve_silent(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	if (n == 0)
		return serve_list_then(p, head);
	peer_stream(p);
	peer_chunk(p, n == 1 ? "{'type':'ADDED','object':{'metadata':{'name':'b','resourceVersion':'11'}}}\n" : "\n");
}

static void test_watch_half_open(void **state)
{
	struct world *w = *state;
	w->serve = serve_silent;
	w->api->timing.watch_min_s = w->api->timing.watch_max_s = 0;
	w->api->timing.stall_margin_s = 1;
	watch_start(w);
	assert_true(run_until(w, &w->open_watches, 3, 20));
	assert_string_equal(w->log, "(a+)b+"); /* watched again, not listed, and not worth a word */
}

static void serve_bookmark(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	if (n == 0)
		return serve_list_then(p, head);
	peer_stream(p);
	peer_chunk(p, "{'type':'BOOKMARK','object':{'metadata':{'resourceVersion':'12'}}}\n");
}

/* A server that sends bookmarks and then nothing at all is gone long before the watch's own time is up. */
static void test_watch_silent_after_a_bookmark(void **state)
{
	struct world *w = *state;
	w->serve = serve_bookmark;
	w->api->timing.bookmark_ms = 200;
	watch_start(w);
	assert_true(run_until(w, &w->open_watches, 3, 20));
	assert_string_equal(w->log, "(a+)");
}

static void serve_quiet(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	switch (n) {
	case 0:
		return peer_answer(p, "503 Service Unavailable", "", "starting");
	case 1:
		return serve_list_then(p, head);
	case 2:
		return peer_answer(p, "504 Gateway Timeout", "",
		                   "{'kind':'Status','message':'Too large resource version: 10, current: 2'}");
	case 3:
		return serve_list_then(p, head);
	case 4:
		return peer_answer(p, "403 Forbidden", "", "{'kind':'Status','message':'no'}");
	default:
		peer_stream(p); /* accepted, but nothing ever happens */
	}
}

static void test_watch_recovers_in_silence(void **state)
{
	struct world *w = *state;
	w->serve = serve_quiet;
	w->api->timing.steady_ms = 100;
	watch_start(w);
	assert_true(run_until(w, &w->recoveries, 3, 10));
	assert_string_equal(w->log, "(!(a+*)!(a+*)!*");
	assert_int_equal(w->requests, 6);
}

static void on_object_close(json_t *object, bool removed, void *user)
{
	struct world *w = user;
	on_object(object, removed, user);
	if (w->objects < 2)
		return;
	api_watch_close(w->watch);
	w->watch = NULL;
}

static void serve_two_at_once(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	if (n == 0)
		return serve_list_then(p, head);
	peer_stream(p);
	peer_chunk(p, "{'type':'ADDED','object':{'metadata':{'name':'b','resourceVersion':'11'}}}\n"
	              "{'type':'ADDED','object':{'metadata':{'name':'c','resourceVersion':'12'}}}\n");
}

static void test_watch_closed_inside(void **state)
{
	struct world *w = *state;
	struct api_watch_callbacks closing = callbacks;
	int never = 0;
	closing.object = on_object_close;
	w->serve = serve_two_at_once;
	assert_int_equal(api_watch_start(w->api, "/things", "fieldSelector=a%3Db", &closing, w, &w->watch), 0);
	assert_true(run_until(w, &w->objects, 2, 10));
	run_until(w, &never, 1, 1);
	assert_string_equal(w->log, "(a+)b+");
}

/* ---- lines ------------------------------------------------------------------------------------------------------------------------ */

static bool on_line(const char *text, size_t len, void *user)
{
	struct buf *b = user;
	buf_add(b, text, len);
	buf_puts(b, "|");
	return len != 4 || memcmp(text, "stop", 4) != 0;
}

static void test_lines(void **state)
{
	static const char text[] = "one\ntwo\r\n\n\r\nthree\nst\nstop\nnever\n";
	const size_t len = sizeof(text) - 1;
	(void)state;
	for (size_t i = 0; i <= len; i++)
		for (size_t k = i; k <= len; k++) {
			struct watch_lines l = {0};
			_cleanup_buf_ struct buf b = {0};
			int r = watch_lines_feed(&l, text, i, on_line, &b);
			if (r == 0)
				r = watch_lines_feed(&l, text + i, k - i, on_line, &b);
			if (r == 0)
				r = watch_lines_feed(&l, text + k, len - k, on_line, &b);
			assert_int_equal(r, 1);
			assert_string_equal(buf_text(&b), "one|two|three|st|stop|");
			watch_lines_reset(&l);
		}
	/* the limit holds for one line, however it arrives */
	struct watch_lines l = {0};
	_cleanup_buf_ struct buf b = {.limit = 8 << 20};
	_cleanup_free_ char *big = malloc(WATCH_LINE_MAX);
	memset(big, 'x', WATCH_LINE_MAX);
	assert_int_equal(watch_lines_feed(&l, big, WATCH_LINE_MAX, on_line, &b), 0);
	assert_int_equal(watch_lines_feed(&l, "\n", 1, on_line, &b), 0);
	assert_int_equal(b.len, WATCH_LINE_MAX + 1);
	assert_int_equal(watch_lines_feed(&l, big, WATCH_LINE_MAX, on_line, &b), 0);
	assert_int_equal(watch_lines_feed(&l, "x", 1, on_line, &b), -EMSGSIZE);
	watch_lines_reset(&l);
}

static void test_events(void **state)
{
	static const char *const bad[] = {"",
	                                  "{}",
	                                  "[]",
	                                  "{\"type\":\"ADDED\"}",
	                                  "{\"type\":\"ADDED\",\"object\":[]}",
	                                  "{\"type\":\"OTHER\",\"object\":{}}",
	                                  "{\"type\":\"ADDED\",\"object\":{}} x"};
	struct watch_event e;
	(void)state;
	for (size_t i = 0; i < ELEMENTS(bad); i++)
		assert_int_equal(watch_event_parse(bad[i], strlen(bad[i]), &e), -EBADMSG);
	static const char gone[] = "{\"type\":\"ERROR\",\"object\":{\"reason\":\"Expired\"}}";
	assert_int_equal(watch_event_parse(gone, strlen(gone), &e), 0);
	assert_true(e.expired);
	assert_string_equal(e.resource_version, "");
	watch_event_free(&e);
}

static void test_glance(void **state)
{
	static const char *const strange[] = {
	    "",
	    "{",
	    "[]",
	    "{\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}},\"type\":\"ADDED\"}",
	    "{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}}}",
	    "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}}}",
	    "{\"type\":\"ERROR\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}}}",
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}",
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}",
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"\",\"resourceVersion\":\"7\"}}}",
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"\\u0061\",\"resourceVersion\":\"7\"}}}",
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":1,\"resourceVersion\":\"7\"}}}",
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":null}}",
	    "{\"type\":\"ADDED\",\"object\":null}",
	    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}}} ",
	};
	static const char line[] = "{\"type\":\"MODIFIED\", \"object\":{\"kind\":\"K\",\"metadata\":{\"name\":\"a\",\"labels\":{\"name\":"
				   "\"b\"},\"resourceVersion\":\"7\"},\"spec\":{}}}";
	struct watch_glance g;
	(void)state;
	for (size_t i = 0; i < ELEMENTS(strange); i++)
		assert_int_equal(watch_event_glance(strange[i], strlen(strange[i]), &g), -EBADMSG);
	assert_int_equal(watch_event_glance(line, sizeof(line) - 1, &g), 0);
	assert_true(json_span_equal(g.name, "a") && json_span_equal(g.version, "7"));
	assert_true(g.object.at[0] == '{' && g.object.at + g.object.len == line + sizeof(line) - 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_watch_borders),
	    TEST(test_watch_expired),
	    TEST(test_watch_outage),
	    TEST(test_watch_half_open),
	    TEST(test_watch_silent_after_a_bookmark),
	    TEST(test_watch_recovers_in_silence),
	    TEST(test_watch_closed_inside),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_events),
	    cmocka_unit_test(test_glance),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
