/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of the API server client over real sockets. */
#include "core/base/cleanup.h"
#include "k8s/json_value.h"
#include "tests/unit/loopback.h"

static void on_answer(const struct api_answer *answer, void *user)
{
	struct world *w = user;
	w->answers++;
	w->result = answer->result;
	snprintf(w->error, sizeof(w->error), "%s", answer->error);
	json_decref(w->body);
	w->body = json_incref(answer->body);
}

/* ---- requests --------------------------------------------------------------------------------------------------------------------- */

static void serve_post(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	(void)n;
	assert_true(strncmp(head, "PATCH /a?b=c HTTP/1.1\r\n", 23) == 0);
	assert_non_null(strstr(head, "\r\nContent-Type: application/apply-patch+yaml\r\n"));
	assert_non_null(strstr(head, "\r\nAuthorization: Bearer first\r\n"));
	assert_non_null(strstr(head, "\r\nUser-Agent: dranetd/"));
	assert_null(strstr(head, "gzip"));
	assert_non_null(strstr(head, "\r\n\r\n{\"k\":[1,\"x\"]}"));
	peer_answer(p, "200 OK", "", "{'metadata':{'name':'n'}}");
}

static void test_request(void **state)
{
	struct world *w = *state;
	json_t *body = json_pack("{s:[i,s]}", "k", 1, "x");
	w->serve = serve_post;
	assert_int_equal(api_send(w->api, "PATCH", "/a?b=c", "application/apply-patch+yaml", body, 0, on_answer, w, NULL), 0);
	json_decref(body);
	assert_int_equal(w->answers, 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(w->result, 0);
	assert_string_equal(json_string_value(json_member(w->body, "metadata.name")), "n");
}

static void token_write(struct world *w, const char *text)
{
	char fresh[80];
	snprintf(fresh, sizeof(fresh), "%s.new", w->token_path);
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, w->token_path), 0);
}

static void serve_token(struct world *w, struct peer *p, int n, const char *head)
{
	if (n == 0) /* the token is renewed while the old one is on its way */
		token_write(w, "second");
	if (strstr(head, "Bearer second\r\n"))
		peer_answer(p, "200 OK", "", "{}");
	else
		peer_answer(p, "401 Unauthorized", "", "{'kind':'Status','message':'Unauthorized','reason':'Unauthorized'}");
}

static void test_unauthorized(void **state)
{
	struct world *w = *state;
	w->serve = serve_token;
	assert_int_equal(api_send(w->api, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(w->result, 0);
	assert_int_equal(w->requests, 2);
	/* refused twice: told, not tried for ever */
	token_write(w, "third");
	assert_int_equal(api_send(w->api, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, -EACCES);
	assert_int_equal(w->requests, 4);
	assert_string_equal(w->error, "GET /x: 401 Unauthorized: Unauthorized");
}

static void serve_once(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	(void)head;
	if (n == 0)
		peer_answer(p, "200 OK", "", "{}");
}

static void test_timeout_cancel_close(void **state)
{
	struct world *w = *state;
	struct api_request *r;
	w->serve = serve_once;
	/* libcurl lets requests wait for each other until it knows that the server does not multiplex */
	assert_int_equal(api_send(w->api, "GET", "/first", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(api_send(w->api, "GET", "/slow", NULL, NULL, 300, on_answer, w, NULL), 0);
	assert_int_equal(api_send(w->api, "GET", "/gone", NULL, NULL, 300, on_answer, w, &r), 0);
	assert_true(run_until(w, &w->requests, 3, 10));
	api_cancel(r);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, -ETIMEDOUT);
	assert_non_null(strstr(w->error, "GET /slow: "));
	/* one without an answer, one not even begun: closing calls nobody back */
	assert_int_equal(api_send(w->api, "GET", "/open", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->requests, 4, 10));
	assert_int_equal(api_send(w->api, "GET", "/new", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_int_equal(w->answers, 2);
}

static void test_refused_and_unreadable(void **state)
{
	struct world *w = *state;
	server_close(w);
	assert_int_equal(api_send(w->api, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_true(run_until(w, &w->answers, 1, 10));
	assert_int_equal(w->result, -ECONNREFUSED);
	/* no credentials: an answer all the same, and from the loop */
	struct api_config config = {.server = strdup("http://127.0.0.1:1"), .token_path = strdup("/nonexistent/token")};
	struct api *other;
	assert_int_equal(api_new(&w->loop, &config, &other, NULL), 0);
	assert_int_equal(api_send(other, "GET", "/x", NULL, NULL, 0, on_answer, w, NULL), 0);
	assert_int_equal(w->answers, 1);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, -ENOENT);
	assert_string_equal(w->error, "GET /x: /nonexistent/token: No such file or directory");
	api_close(other);
}

static void serve_discovery(struct world *w, struct peer *p, int n, const char *head)
{
	(void)w;
	assert_non_null(strstr(head, "GET /apis/resource.k8s.io HTTP"));
	if (n == 0)
		peer_answer(p, "200 OK", "", "{'versions':[{'version':'v1beta1'},{'version':'v1beta2'},{'version':'v1alpha3'}]}");
	else
		peer_answer(p, "404 Not Found", "", "404 page not found");
}

static void on_discovered(int result, const char *version, const char *error, void *user)
{
	struct world *w = user;
	w->answers++;
	w->result = result;
	snprintf(w->error, sizeof(w->error), "%s", version ? version : error);
}

static void test_discovery(void **state)
{
	struct world *w = *state;
	int other;
	w->serve = serve_discovery;
	api_discover(w->api, on_discovered, &other); /* forgotten: never called */
	api_discover(w->api, on_discovered, w);
	api_discover(w->api, on_discovered, w);
	api_discover_forget(w->api, &other);
	assert_true(run_until(w, &w->answers, 2, 10));
	assert_int_equal(w->result, 0);
	assert_string_equal(w->error, "v1beta2");
	assert_string_equal(api_resource_path(w->api), "/apis/resource.k8s.io/v1beta2");
	assert_int_equal(w->requests, 1);
	api_discover(w->api, on_discovered, w);
	assert_true(run_until(w, &w->answers, 3, 10));
	assert_int_equal(w->result, -ENOENT);
	assert_string_equal(api_resource_version(w->api), "v1beta2");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_request),   TEST(test_unauthorized), TEST(test_timeout_cancel_close), TEST(test_refused_and_unreadable),
	    TEST(test_discovery),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
