/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api.h"
#include "k8s/api_credentials.h"
#include "k8s/kubeconfig_yaml.h"

enum kind { TEXT, PATH, DATA, FLAG, REFUSED };

struct field {
	const char *key;
	enum kind kind;
	size_t at; /* of the char * (FLAG: bool) in struct api_config */
};

#define AT(member) offsetof(struct api_config, member)
static const struct field cluster_fields[] = {
    {"server", TEXT, AT(server)},
    {"certificate-authority", PATH, AT(ca_path)},
    {"certificate-authority-data", DATA, AT(ca_pem)},
    {"tls-server-name", TEXT, AT(server_name)},
    {"insecure-skip-tls-verify", FLAG, AT(insecure)},
    {"proxy-url", TEXT, AT(proxy_url)},
};
/* Impersonation is refused because leaving it out would act with more rights than the file asks for. */
static const struct field user_fields[] = {
    {"client-certificate", PATH, AT(certificate_path)},
    {"client-certificate-data", DATA, AT(certificate_pem)},
    {"client-key", PATH, AT(key_path)},
    {"client-key-data", DATA, AT(key_pem)},
    {"token", TEXT, AT(token)},
    {"tokenFile", PATH, AT(token_path)},
    {"username", TEXT, AT(username)},
    {"password", TEXT, AT(password)},
    {"exec", REFUSED, 0},
    {"auth-provider", REFUSED, 0},
    {"as", REFUSED, 0},
    {"as-uid", REFUSED, 0},
    {"as-groups", REFUSED, 0},
    {"as-user-extra", REFUSED, 0},
};

static int text_set(char **to, const char *text, struct error *e)
{
	char *copy = strdup(text);
	if (!copy)
		return error_set(e, -ENOMEM, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

static int path_set(char **to, const char *directory, const char *path, struct error *e)
{
	_cleanup_free_ char *joined = NULL;
	if (*path == '/' || !directory || !*directory)
		return text_set(to, path, e);
	if (asprintf(&joined, "%s/%s", directory, path) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	free(*to);
	*to = TAKE_PTR(joined);
	return 0;
}

static bool text_is_printable(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	return true;
}

static int field_take(const struct field *f, const struct value *v, const char *directory, struct api_config *c, struct error *e)
{
	void *to = (char *)c + f->at;
	if (v->type == VALUE_NULL || (v->type == VALUE_STRING && !*v->string))
		return 0;
	if (f->kind == REFUSED)
		return error_set(e, -EOPNOTSUPP, "%s: not supported", f->key);
	if (v->type != VALUE_STRING)
		return error_set(e, -EINVAL, "%s: %s where a text is wanted", f->key, value_type_name(v->type));
	if (f->kind != DATA && !text_is_printable(v->string))
		return error_set(e, -EINVAL, "%s: a control character in the text", f->key);
	switch (f->kind) {
	case PATH:
		return path_set(to, directory, v->string, e);
	case DATA: {
		char *pem = NULL;
		int r = base64_decode(v->string, &pem);
		if (r < 0)
			return error_set(e, r, "%s: %s", f->key, r == -ENOMEM ? "out of memory" : "not base64 of a text");
		if (!*pem) {
			free(pem);
			return error_set(e, -EINVAL, "%s: empty", f->key);
		}
		*(char **)to = pem;
		return 0;
	}
	case FLAG:
		if (strcmp(v->string, "true") != 0 && strcmp(v->string, "false") != 0)
			return error_set(e, -EINVAL, "%s: \"%.32s\" is neither true nor false", f->key, v->string);
		*(bool *)to = strcmp(v->string, "true") == 0;
		return 0;
	default:
		return text_set(to, v->string, e);
	}
}

static int fields_take(const struct field *fields, size_t n, const struct value *object, const char *directory, struct api_config *c,
                       struct error *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct value *v = value_get(object, fields[i].key);
		int r = v ? field_take(&fields[i], v, directory, c, e) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

static const char *text_get(const struct value *object, const char *key)
{
	const struct value *v = value_get(object, key);
	return v && v->type == VALUE_STRING ? v->string : "";
}

/* The `member` of the entry called `name` in the list `list`. */
static int entry_find(const struct value *root, const char *list, const char *name, const char *member, const struct value **ret,
                      struct error *e)
{
	const struct value *entries = value_get(root, list);
	for (size_t i = 0; entries && entries->type == VALUE_ARRAY && i < entries->n; i++) {
		if (strcmp(text_get(&entries->items[i], "name"), name) != 0)
			continue;
		const struct value *v = value_get(&entries->items[i], member);
		if (!v || (v->type != VALUE_OBJECT && v->type != VALUE_NULL))
			return error_set(e, -EINVAL, "%s[%.128s].%s: missing", list, name, member);
		*ret = v;
		return 0;
	}
	return error_set(e, -EINVAL, "%s: no entry \"%.128s\"", list, name);
}

static void path_drop(char **path, const char *inline_text)
{
	if (inline_text) {
		free(*path);
		*path = NULL;
	}
}

/* Inline data wins over a path, a token file over a token, as in client-go. */
static int config_settle(struct api_config *c, const char *cluster, const char *user, struct error *e)
{
	path_drop(&c->ca_path, c->ca_pem);
	path_drop(&c->certificate_path, c->certificate_pem);
	path_drop(&c->key_path, c->key_pem);
	path_drop(&c->token, c->token_path);
	if (c->token && !str_is_token(c->token))
		return error_set(e, -EINVAL, "users[%.128s].token: not a token", user);
	if (!c->server)
		return error_set(e, -EINVAL, "clusters[%.128s].server: missing", cluster);
	bool tls = str_starts(c->server, "https://");
	if ((!tls && !str_starts(c->server, "http://")) || !str_is_token(c->server) || strpbrk(c->server, "?#"))
		return error_set(e, -EINVAL, "clusters[%.128s].server: \"%.128s\" is no http:// or https:// address", cluster, c->server);
	for (size_t n = strlen(c->server); n && c->server[n - 1] == '/'; n--)
		c->server[n - 1] = '\0';
	if (c->insecure && (c->ca_pem || c->ca_path))
		return error_set(e, -EINVAL, "clusters[%.128s]: insecure-skip-tls-verify together with certificate-authority", cluster);
	bool certificate = c->certificate_pem || c->certificate_path, key = c->key_pem || c->key_path;
	if (certificate != key)
		return error_set(e, -EINVAL, "users[%.128s].%s: missing", user, certificate ? "client-key" : "client-certificate");
	return 0;
}

static int config_fill(const struct value *root, const char *directory, struct api_config *c, struct error *e)
{
	const struct value *context, *cluster, *user = NULL;
	const char *current = text_get(root, "current-context");
	if (root->type != VALUE_OBJECT)
		return error_set(e, -EINVAL, "no mapping at the top");
	if (!*current)
		return error_set(e, -EINVAL, "current-context: missing");
	int r = entry_find(root, "contexts", current, "context", &context, e);
	if (r < 0)
		return r;
	const char *cluster_name = text_get(context, "cluster"), *user_name = text_get(context, "user");
	if (!*cluster_name)
		return error_set(e, -EINVAL, "contexts[%.128s].context.cluster: missing", current);
	r = entry_find(root, "clusters", cluster_name, "cluster", &cluster, e);
	if (r == 0 && *user_name)
		r = entry_find(root, "users", user_name, "user", &user, e);
	if (r < 0)
		return r;
	r = fields_take(cluster_fields, ELEMENTS(cluster_fields), cluster, directory, c, e);
	if (r < 0) {
		error_prefix(e, "clusters[%.128s]", cluster_name);
		return r;
	}
	r = user ? fields_take(user_fields, ELEMENTS(user_fields), user, directory, c, e) : 0;
	if (r < 0) {
		error_prefix(e, "users[%.128s]", user_name);
		return r;
	}
	return config_settle(c, cluster_name, user_name, e);
}

int kubeconfig_parse(const char *text, size_t len, const char *directory, struct api_config *ret, struct error *e)
{
	_cleanup_(value_free) struct value root = {.type = VALUE_NULL};
	int r = yaml_tree_parse(text, len, &root, e);
	if (r < 0)
		return r;
	struct api_config c = {0};
	r = config_fill(&root, directory, &c, e);
	if (r < 0) {
		api_config_free(&c);
		return r;
	}
	*ret = c;
	return 0;
}

int kubeconfig_load(const char *path, struct api_config *ret, struct error *e)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int r = credential_read(path, &text, &len, e);
	if (r < 0)
		return r;
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *directory = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	if (!directory)
		return error_set(e, -ENOMEM, "out of memory");
	struct credentials c = {0};
	bool tls;
	r = kubeconfig_parse(text, len, directory, &c.config, e);
	explicit_bzero(text, len);
	if (r == 0)
		r = credentials_refresh(&c, 0, true, &tls, e);
	if (r < 0) {
		error_prefix(e, "kubeconfig %s", path);
		api_config_free(&c.config);
		return r;
	}
	*ret = c.config;
	return 0;
}
