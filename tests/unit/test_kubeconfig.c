/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "k8s/api.h"
#include "k8s/api_credentials.h"

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: other\n- name: c\n  context: {cluster: k, user: u}\n"
#define CLUSTER "clusters:\n- name: k\n  cluster: {server: 'https://h:6443/'}\n"

static int parse(const char *text, struct api_config *c, struct error *e)
{
	*e = (struct error){0};
	return kubeconfig_parse(text, strlen(text), "/etc/k", c, e);
}

static void test_certificates(void **state)
{
	struct api_config c = {0};
	struct error e;
	(void)state;
	assert_int_equal(parse(HEAD "clusters:\n- name: k\n  cluster:\n    server: https://10.0.0.1:6443/\n"
	                            "    certificate-authority-data: Q0EK\n    certificate-authority: unused\n"
	                            "    tls-server-name: kubernetes\n    extensions: [{name: x, extension: {a: 1}}]\n"
	                            "users:\n- name: u\n  user:\n    client-certificate: pki/c.pem\n    client-key: /abs/k.pem\n",
	                       &c, &e),
	                 0);
	assert_string_equal(c.server, "https://10.0.0.1:6443");
	assert_string_equal(c.ca_pem, "CA\n");
	assert_null(c.ca_path);
	assert_string_equal(c.server_name, "kubernetes");
	assert_string_equal(c.certificate_path, "/etc/k/pki/c.pem");
	assert_string_equal(c.key_path, "/abs/k.pem");
	assert_false(c.insecure);
	api_config_free(&c);
}

static void test_json_and_token_file(void **state)
{
	struct api_config c = {0};
	struct error e;
	(void)state;
	assert_int_equal(parse("{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\",\"user\":\"u\"}}],"
	                       "\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"https://[::1]:1\","
	                       "\"insecure-skip-tls-verify\":true}}],"
	                       "\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"t\",\"tokenFile\":\"tok\"}}]}",
	                       &c, &e),
	                 0);
	assert_string_equal(c.token_path, "/etc/k/tok");
	assert_null(c.token);
	assert_true(c.insecure);
	api_config_free(&c);
}

static void test_no_user(void **state)
{
	struct api_config c = {0};
	struct error e;
	(void)state;
	assert_int_equal(parse("current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n" CLUSTER, &c, &e), 0);
	assert_null(c.token);
	api_config_free(&c);
}

static const struct {
	const char *text, *says;
} refused[] = {
    {"", "no mapping"},
    {"- a", "no mapping"},
    {"a: [", "did not find"},
    {"a: 1\na: 2", "key \"a\" appears twice"},
    {"a: &x {b: *x}", "aliases are refused"},
    {"a: 1\n---\nb: 2\n", "more than one document"},
    {"? [a]\n: b\n", "a key that is no text"},
    {"a: \"x\\0y\"", "NUL"},
    {"clusters: []", "current-context: missing"},
    {"current-context: c", "contexts: no entry \"c\""},
    {"current-context: c\ncontexts: [{name: c}]", "contexts[c].context: missing"},
    {"current-context: c\ncontexts: [{name: c, context: {user: u}}]", "contexts[c].context.cluster: missing"},
    {HEAD, "clusters: no entry \"k\""},
    {HEAD CLUSTER, "users: no entry \"u\""},
    {HEAD "clusters: [{name: k, cluster: {}}]\nusers: [{name: u, user: {}}]", "clusters[k].server: missing"},
    {HEAD "clusters: [{name: k, cluster: {server: ftp://x}}]\nusers: [{name: u, user: {}}]", "clusters[k].server: \"ftp://x\""},
    {HEAD "clusters: [{name: k, cluster: {server: 'https://x', certificate-authority: a, insecure-skip-tls-verify: true}}]\n"
          "users: [{name: u, user: {}}]",
     "insecure-skip-tls-verify together"},
    {HEAD "clusters: [{name: k, cluster: {server: 'https://x', insecure-skip-tls-verify: perhaps}}]", "users: no entry"},
    {HEAD "clusters: [{name: k, cluster: {server: 'https://x', insecure-skip-tls-verify: perhaps}}]\nusers: [{name: u, user: {}}]",
     "clusters[k]: insecure-skip-tls-verify: \"perhaps\""},
    {HEAD CLUSTER "users: [{name: u, user: {exec: {command: x}}}]", "users[u]: exec: not supported"},
    {HEAD CLUSTER "users: [{name: u, user: {auth-provider: {name: gcp}}}]", "users[u]: auth-provider: not supported"},
    {HEAD CLUSTER "users: [{name: u, user: {as: admin}}]", "users[u]: as: not supported"},
    {HEAD CLUSTER "users: [{name: u, user: {client-key-data: '***'}}]", "users[u]: client-key-data: not base64"},
    {HEAD CLUSTER "users: [{name: u, user: {client-key-data: AAAA}}]", "users[u]: client-key-data: not base64"},
    {HEAD CLUSTER "users: [{name: u, user: {client-key: k}}]", "users[u].client-certificate: missing"},
    {HEAD CLUSTER "users: [{name: u, user: {client-certificate: k}}]", "users[u].client-key: missing"},
    {HEAD CLUSTER "users: [{name: u, user: {token: [a]}}]", "users[u]: token: array where a text is wanted"},
    {HEAD CLUSTER "users: [{name: u, user: {token: \"a\\r\\nX: y\"}}]", "users[u]: token: a control character"},
    {HEAD CLUSTER "users: [{name: u, user: {token: a b}}]", "users[u].token: not a token"},
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ELEMENTS(refused); i++) {
		struct api_config c = {.server = (char *)"untouched"};
		struct error e;
		int r = parse(refused[i].text, &c, &e);
		if (r >= 0 || !strstr(e.text, refused[i].says))
			print_error("%s\n→ %d %s\n", refused[i].text, r, e.text);
		assert_true(r < 0);
		assert_int_equal(e.code, r);
		assert_non_null(strstr(e.text, refused[i].says));
		assert_string_equal(c.server, "untouched");
	}
}

static void test_bounds(void **state)
{
	struct api_config c;
	struct error e;
	size_t size = (1 << 20) + 1;
	char *big = malloc(size);
	(void)state;
	memset(big, ' ', size);
	assert_int_equal(kubeconfig_parse(big, size, "", &c, &e), -E2BIG);
	memset(big, '[', 40);
	assert_int_equal(kubeconfig_parse(big, 40, "", &c, &e), -E2BIG);
	assert_non_null(strstr(e.text, "nested deeper than 32"));
	memcpy(big, "[", 1);
	for (size_t i = 1; i + 1 < 300000; i += 2)
		memcpy(big + i, "a,", 2);
	assert_int_equal(kubeconfig_parse(big, 300000, "", &c, &e), -E2BIG);
	free(big);
}

static void file_write(const char *path, const char *text)
{
	char fresh[256];
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	FILE *f = fopen(fresh, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(fresh, path), 0);
}

static void test_files(void **state)
{
	char directory[] = "/tmp/dranetd-test-XXXXXX", path[128], token[128], fifo[128];
	struct error e = {0};
	struct credentials k = {0};
	bool tls;
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/config", directory);
	snprintf(token, sizeof(token), "%s/token", directory);
	snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
	file_write(path, HEAD CLUSTER "users: [{name: u, user: {tokenFile: token}}]\n");
	assert_int_equal(kubeconfig_load(path, &k.config, &e), -ENOENT);
	assert_non_null(strstr(e.text, token));
	assert_non_null(strstr(e.text, "kubeconfig"));
	file_write(token, "one\n");
	assert_int_equal(kubeconfig_load(path, &k.config, &e), 0);
	assert_string_equal(k.config.token, "one");

	assert_int_equal(credentials_refresh(&k, 0, false, &tls, &e), 0);
	file_write(token, "two");
	assert_int_equal(credentials_refresh(&k, 1, false, &tls, &e), 0);
	assert_string_equal(k.config.token, "two");
	assert_false(tls);
	/* what is no token does not replace one */
	file_write(token, "a\nb");
	assert_int_equal(credentials_refresh(&k, 2, true, &tls, &e), 0);
	assert_string_equal(k.config.token, "two");
	unlink(token);
	assert_int_equal(credentials_refresh(&k, 3, false, &tls, &e), 0);
	assert_string_equal(k.config.token, "two");
	_cleanup_free_ char *header = NULL;
	assert_int_equal(credentials_header(&k, &header), 0);
	assert_string_equal(header, "Authorization: Bearer two");

	char *text;
	size_t len;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(credential_read(fifo, &text, &len, &e), -EINVAL);
	api_config_free(&k.config);

	char ca[128];
	struct api_config in = {0};
	snprintf(ca, sizeof(ca), "%s/ca.crt", directory);
	file_write(token, "tok");
	assert_int_equal(in_cluster_load("10.96.0.1", "443", directory, &in, &e), -ENOENT);
	assert_non_null(strstr(e.text, "ca.crt"));
	file_write(ca, "PEM");
	assert_int_equal(in_cluster_load("fd00::1", "443", directory, &in, &e), 0);
	assert_string_equal(in.server, "https://[fd00::1]:443");
	assert_string_equal(in.ca_pem, "PEM");
	assert_string_equal(in.token, "tok");
	api_config_free(&in);
	assert_int_equal(in_cluster_load("10.96.0.1", "99999", directory, &in, &e), -EINVAL);
	assert_int_equal(in_cluster_load("a/b", "443", directory, &in, &e), -EINVAL);
	assert_int_equal(in_cluster_load(NULL, NULL, directory, &in, &e), -ENOENT);
	unlink(ca);
	unlink(token);
	unlink(fifo);
	unlink(path);
	rmdir(directory);
}

static void test_base64(void **state)
{
	static const struct {
		const char *text, *is;
	} rows[] = {{"", ""},        {"YQ==", "a"},  {"YWI=", "ab"},  {"YWJj", "abc"}, {"YW\nJj\r\n", "abc"},
	            {"YQ=", NULL},   {"YQ", NULL},   {"Y", NULL},     {"Y===", NULL},  {"YQ==YQ==", NULL},
	            {"YWJj=", NULL}, {"AAAA", NULL}, {"YW Jj", NULL}, {"YQ=a", NULL},  {"====", NULL}};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_free_ char *out = NULL;
		int r = base64_decode(rows[i].text, &out);
		assert_int_equal(r, rows[i].is ? 0 : -EINVAL);
		if (rows[i].is)
			assert_string_equal(out, rows[i].is);
	}
	struct credentials basic = {.config = {.username = (char *)"Aladdin", .password = (char *)"open sesame"}};
	_cleanup_free_ char *header = NULL;
	assert_int_equal(credentials_header(&basic, &header), 0);
	assert_string_equal(header, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_certificates), cmocka_unit_test(test_json_and_token_file),
	    cmocka_unit_test(test_no_user),      cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_bounds),       cmocka_unit_test(test_files),
	    cmocka_unit_test(test_base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
