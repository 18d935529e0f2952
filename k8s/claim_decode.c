/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/objects.h"

/* Limits of the API (protocols §4.4); a server that passes them is not ours. */
enum { CONFIGS_MAX = 64, CONFIG_REQUESTS_MAX = 32, RESERVED_MAX = 256, PARAMETERS_MAX = 10 << 10 };

/* What names of objects are made of; they go into file names, paths and journal fields. */
static bool name_is_plain(const char *text)
{
	if (!*text || *text == '.' || *text == '-')
		return false;
	for (; *text; text++)
		if (!(*text >= 'a' && *text <= 'z') && !(*text >= 'A' && *text <= 'Z') && !(*text >= '0' && *text <= '9') && *text != '-' &&
		    *text != '.' && *text != '_')
			return false;
	return true;
}

enum form { FORM_NAME, FORM_TOKEN, FORM_TOKEN_OR_NONE };

static int member_copy(const json_t *object, const char *key, enum form form, char *to, size_t size, const char *where, struct error *e)
{
	const char *text = json_member_text(object, key);
	if (!*text && form == FORM_TOKEN_OR_NONE) {
		to[0] = '\0';
		return 0;
	}
	if (!*text)
		return error_set(e, -EINVAL, "%s.%s: missing", where, key);
	if (form == FORM_NAME ? !name_is_plain(text) : !str_is_token(text))
		return error_set(e, -EINVAL, "%s.%s: \"%.64s\" is not allowed", where, key, text);
	if (str_copy(to, size, text) < 0)
		return error_set(e, -EINVAL, "%s.%s: longer than %zu bytes", where, key, size - 1);
	return 0;
}
#define MEMBER_COPY(object, key, form, to, where, e) member_copy((object), (key), (form), (to), sizeof(to), (where), (e))

static int ref_decode(const json_t *object, struct claim_ref *ret, struct error *e)
{
	const json_t *metadata = json_object_get(object, "metadata");
	int r = MEMBER_COPY(metadata, "name", FORM_NAME, ret->name, "metadata", e);
	if (r == 0)
		r = MEMBER_COPY(metadata, "namespace", FORM_NAME, ret->namespace_, "metadata", e);
	if (r == 0)
		r = MEMBER_COPY(metadata, "uid", FORM_NAME, ret->uid, "metadata", e);
	return r;
}

/* A claim that is made from a template says by what name its pod knows it. */
static int pod_claim_name_decode(const json_t *object, char ret[NAMESPACE_SIZE], struct error *e)
{
	const json_t *annotations = json_member(object, "metadata.annotations");
	const char *name = json_member_text(annotations, "resource.kubernetes.io/pod-claim-name");
	if (!*name)
		return 0;
	if (!str_is_dns_label(name))
		return error_set(e, -EINVAL, "metadata.annotations[resource.kubernetes.io/pod-claim-name]: \"%.64s\" is not allowed", name);
	return str_copy(ret, NAMESPACE_SIZE, name);
}

static int list_get(const json_t *object, const char *key, size_t max, json_t **ret, size_t *ret_n, const char *where, struct error *e)
{
	json_t *list = json_object_get(object, key);
	if (list && !json_is_null(list) && !json_is_array(list))
		return error_set(e, -EINVAL, "%s.%s: no list", where, key);
	if (json_array_size(list) > max)
		return error_set(e, -E2BIG, "%s.%s: %zu entries, at most %zu are allowed", where, key, json_array_size(list), max);
	*ret = list;
	*ret_n = json_array_size(list);
	return 0;
}

static int results_decode(const json_t *devices, const char *driver, struct claim_object *o, struct error *e)
{
	static const char where[] = "status.allocation.devices.results";
	json_t *list;
	size_t n;
	int r = list_get(devices, "results", CLAIM_DEVICES_MAX, &list, &n, "status.allocation.devices", e);
	if (r < 0 || !n)
		return r;
	o->results = calloc(n, sizeof(*o->results));
	if (!o->results)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(list, i);
		struct claim_result *result = &o->results[o->n_results];
		if (strcmp(json_member_text(item, "driver"), driver) != 0)
			continue;
		r = MEMBER_COPY(item, "request", FORM_TOKEN, result->request, where, e);
		if (r == 0)
			r = MEMBER_COPY(item, "pool", FORM_TOKEN, result->pool, where, e);
		if (r == 0)
			r = MEMBER_COPY(item, "device", FORM_NAME, result->device, where, e);
		if (r == 0)
			r = MEMBER_COPY(item, "shareID", FORM_TOKEN_OR_NONE, result->share_id, where, e);
		if (r < 0)
			return r;
		result->admin_access = json_is_true(json_object_get(item, "adminAccess"));
		o->n_results++;
	}
	return 0;
}

/* A document that cannot be used is kept as the reason why: only the claim's own requests make it matter. */
static int parameters_decode(json_t *parameters, struct claim_config *ret)
{
	struct error why = {0};
	if (!parameters)
		return 0;
	size_t size = json_dumpb(parameters, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
	int r = size > PARAMETERS_MAX ? -E2BIG : value_from_json(parameters, &ret->parameters);
	if (size > PARAMETERS_MAX)
		error_set(&why, r, "parameters of %zu bytes, at most %d are allowed", size, PARAMETERS_MAX);
	else if (r == -E2BIG)
		error_set(&why, r, "parameters nested too deep or with too many values");
	if (!why.code)
		return r;
	ret->parse_error = strdup(why.text);
	return ret->parse_error ? 0 : -ENOMEM;
}

static int config_decode(const json_t *item, struct claim_config *ret, struct error *e)
{
	static const char where[] = "status.allocation.devices.config";
	json_t *list;
	size_t n;
	int r = list_get(item, "requests", CONFIG_REQUESTS_MAX, &list, &n, where, e);
	if (r < 0)
		return r;
	ret->from_class = strcmp(json_member_text(item, "source"), "FromClass") == 0;
	ret->requests = n ? calloc(n, sizeof(*ret->requests)) : NULL;
	if (n && !ret->requests)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_array_get(list, i));
		if (!name || !str_is_token(name) || STR_COPY(ret->requests[i], name) < 0)
			return error_set(e, -EINVAL, "%s.requests[%zu]: no request's name", where, i);
		ret->n_requests++;
	}
	r = parameters_decode(json_member(item, "opaque.parameters"), ret);
	return r < 0 ? error_set(e, r, "%s: %s", where, strerror(-r)) : 0;
}

static int configs_decode(const json_t *devices, const char *driver, struct claim_object *o, struct error *e)
{
	json_t *list;
	size_t n;
	int r = list_get(devices, "config", CONFIGS_MAX, &list, &n, "status.allocation.devices", e);
	if (r < 0 || !n)
		return r;
	o->configs = calloc(n, sizeof(*o->configs));
	if (!o->configs)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(list, i);
		if (strcmp(json_member_text(json_object_get(item, "opaque"), "driver"), driver) != 0)
			continue;
		r = config_decode(item, &o->configs[o->n_configs++], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int reserved_decode(const json_t *status, struct claim_object *o, struct error *e)
{
	json_t *list;
	int r = list_get(status, "reservedFor", RESERVED_MAX, &list, &o->n_reserved, "status", e);
	if (r < 0 || o->n_reserved != 1)
		return r;
	const json_t *consumer = json_array_get(list, 0);
	if (*json_member_text(consumer, "apiGroup") || strcmp(json_member_text(consumer, "resource"), "pods") != 0)
		return 0;
	r = MEMBER_COPY(consumer, "name", FORM_NAME, o->pod.name, "status.reservedFor", e);
	if (r == 0)
		r = MEMBER_COPY(consumer, "uid", FORM_NAME, o->pod.uid, "status.reservedFor", e);
	if (r < 0)
		return r;
	memcpy(o->pod.namespace_, o->ref.namespace_, sizeof(o->pod.namespace_));
	o->reserved_for_pod = true;
	return 0;
}

int claim_object_decode(json_t *object, const char *driver, struct claim_object *ret, struct error *e)
{
	_cleanup_(claim_object_free) struct claim_object o = {0};
	int r = ref_decode(object, &o.ref, e);
	if (r == 0)
		r = pod_claim_name_decode(object, o.pod_claim_name, e);
	if (r < 0)
		return r;
	const json_t *status = json_object_get(object, "status"), *allocation = json_object_get(status, "allocation");
	o.allocated = json_is_object(allocation);
	const json_t *devices = json_object_get(allocation, "devices");
	r = results_decode(devices, driver, &o, e);
	if (r == 0)
		r = configs_decode(devices, driver, &o, e);
	if (r == 0)
		r = reserved_decode(status, &o, e);
	if (r < 0)
		return r;
	*ret = o;
	o = (struct claim_object){0};
	return 0;
}
