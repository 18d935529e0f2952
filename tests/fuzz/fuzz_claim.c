/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a ResourceClaim to what core gets: decoded claim, opaque configuration, merged configuration of each result. */
#include <stdlib.h>
#include <string.h>

#include "core/claim.h"
#include "k8s/objects.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct claim_object *o)
{
	if (o->n_results > CLAIM_DEVICES_MAX || !*o->ref.uid || strchr(o->ref.uid, '/') || strchr(o->ref.name, '/'))
		abort();
	if (o->reserved_for_pod && (o->n_reserved != 1 || !*o->pod.uid))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_error_t error;
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
	struct claim_object o = {0};
	struct error e = {0};
	if (!json)
		return 0;
	int r = claim_object_decode(json, "dra.net", &o, &e);
	json_decref(json);
	if (r < 0) {
		if (o.results || o.configs)
			abort();
		return 0;
	}
	check(&o);
	for (size_t i = 0; i < o.n_configs; i++) {
		struct network_config c;
		if (o.configs[i].parse_error)
			continue;
		struct error why = {0};
		r = network_config_parse(&o.configs[i].parameters, &c, &why);
		if (r == 0)
			network_config_free(&c);
		else if (!*why.text)
			abort();
	}
	for (size_t i = 0; i < o.n_results; i++) {
		struct network_config c;
		struct error why = {0};
		if (claim_object_config(&o, &o.results[i], &c, &why) == 0) {
			if (network_config_check(&c, NULL) < 0)
				abort();
			network_config_free(&c);
		} else if (!*why.text)
			abort();
	}
	claim_object_free(&o);
	return 0;
}
