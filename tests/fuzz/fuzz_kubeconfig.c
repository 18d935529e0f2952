/* SPDX-License-Identifier: Apache-2.0 */
/* A kubeconfig of any bytes: refused with a reason, or a configuration that holds what its consumers rely on. */
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "k8s/api.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct api_config c = {0};
	struct error e = {0};
	int r = kubeconfig_parse((const char *)data, size, "/etc/kubernetes", &c, &e);
	if (r < 0) {
		if (e.code != r || !*e.text || c.server)
			abort();
		return 0;
	}
	/* The address and the token go into request lines. */
	if (!c.server || !str_is_token(c.server) || (c.token && !str_is_token(c.token)))
		abort();
	if ((c.ca_path && *c.ca_path != '/') || (c.ca_path && c.ca_pem))
		abort();
	api_config_free(&c);
	return 0;
}
