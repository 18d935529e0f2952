/* SPDX-License-Identifier: Apache-2.0 */
#include "core/claim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/config_schema.h"

void claim_object_free(struct claim_object *o)
{
	for (size_t i = 0; i < o->n_configs; i++) {
		free(o->configs[i].requests);
		value_free(&o->configs[i].parameters);
		free(o->configs[i].parse_error);
	}
	free(o->configs);
	free(o->results);
	*o = (struct claim_object){0};
}

void claim_record_free(struct claim_record *r)
{
	for (size_t i = 0; i < r->n; i++) {
		attach_plan_unref(r->devices[i].plan);
		leases_unref(r->devices[i].leases);
	}
	free(r->devices);
	r->devices = NULL;
	r->n = 0;
}

/* A prioritised list allocates "req/sub", and a configuration for "req" is for all its alternatives (protocols §4.4). */
static bool request_matches(const char *entry, const char *result)
{
	size_t len = strlen(entry);
	return strncmp(entry, result, len) == 0 && (result[len] == 0 || result[len] == '/');
}

static bool config_applies(const struct claim_config *c, const struct claim_result *result)
{
	for (size_t i = 0; i < c->n_requests; i++)
		if (request_matches(c->requests[i], result->request))
			return true;
	return c->n_requests == 0;
}

static int config_decode(const struct claim_config *c, struct network_config *ret, struct error *e)
{
	if (c->parse_error)
		return error_set(e, -EINVAL, "%s", c->parse_error);
	return network_config_parse(&c->parameters, ret, e);
}

/* What lies under what, from below. A provider's defaults will come before them. */
static const struct {
	bool from_class;
	const char *word;
} origins[] = {{true, "class"}, {false, "claim"}};

/* The entries of one origin, over what is in `merged`; their faults into `faults`. 0 or -ENOMEM. */
static int configs_merge(const struct claim_object *o, const struct claim_result *result, size_t origin, struct network_config *merged,
                         struct error *faults)
{
	size_t number = 0;
	for (size_t i = 0; i < o->n_configs; i++) {
		const struct claim_config *c = &o->configs[i];
		if (c->from_class != origins[origin].from_class)
			continue;
		number++;
		if (!config_applies(c, result))
			continue;
		struct error e = {0};
		struct network_config one;
		int rc = config_decode(c, &one, &e);
		if (rc == 0) {
			rc = network_config_merge(merged, &one);
			network_config_free(&one);
			if (rc == -E2BIG)
				rc = error_set(&e, -EINVAL, "with the entries before it more than %d elements in a list", CONFIG_LIST_MAX);
		}
		if (rc == -EINVAL)
			error_append(faults, rc, "%s config %zu: %s", origins[origin].word, number, e.text);
		if (rc == -ENOMEM)
			return rc;
	}
	return 0;
}

/* Each entry is good, but together they may be nonsense: DHCP of the class and addresses of the claim. */
static void merged_check(struct network_config *merged, struct error *faults)
{
	struct error e = {0};
	if (network_config_check(merged, &e) < 0)
		error_set(faults, e.code, "class and claim configs together: %s", e.text);
	/* As with DRANET the VRF's table is that of all its routes, whatever they say. */
	for (size_t i = 0; merged->vrf_name[0] && i < merged->n_routes; i++)
		merged->routes[i].table = 0;
}

int claim_object_config(const struct claim_object *o, const struct claim_result *result, struct network_config *ret, struct error *e)
{
	struct error faults = {0};
	struct network_config merged;
	network_config_init(&merged);
	int rc = 0;
	for (size_t i = 0; i < ELEMENTS(origins) && !rc; i++)
		rc = configs_merge(o, result, i, &merged, &faults);
	if (rc == -ENOMEM)
		error_set(&faults, rc, "out of memory");
	if (!faults.code)
		merged_check(&merged, &faults);
	if (faults.code) {
		network_config_free(&merged);
		return error_set(e, faults.code, "%s", faults.text);
	}
	*ret = merged;
	return 0;
}
