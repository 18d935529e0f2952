/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/ip.h"
#include "core/base/str.h"
#include "k8s/api.h"
#include "k8s/api_credentials.h"

#define SERVICE_ACCOUNT_DIRECTORY "/var/run/secrets/kubernetes.io/serviceaccount"

static int server_format(const char *host, const char *port, char **ret, struct error *e)
{
	struct ip_address address;
	char *end;
	if (!host || !*host || !port || !*port)
		return error_set(e, -ENOENT, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: not in a cluster");
	unsigned long number = strtoul(port, &end, 10);
	if (*port < '0' || *port > '9' || *end || !number || number > 65535)
		return error_set(e, -EINVAL, "KUBERNETES_SERVICE_PORT: \"%.32s\" is no port", port);
	bool v6 = ip_address_parse(host, &address) == 0 && address.family == IP_V6;
	if (!str_is_token(host) || strpbrk(host, "/?#@[]") || (!v6 && strchr(host, ':')))
		return error_set(e, -EINVAL, "KUBERNETES_SERVICE_HOST: \"%.128s\" is no host", host);
	if (asprintf(ret, v6 ? "https://[%s]:%lu" : "https://%s:%lu", host, number) < 0)
		return error_set(e, -ENOMEM, "out of memory");
	return 0;
}

int in_cluster_load(const char *host, const char *port, const char *directory, struct api_config *ret, struct error *e)
{
	struct credentials c = {0};
	bool tls;
	const char *root = directory && *directory ? directory : SERVICE_ACCOUNT_DIRECTORY;
	char *server = NULL, *ca = NULL, *token = NULL;
	int r = server_format(host, port, &server, e);
	if (r < 0)
		return r;
	if (asprintf(&ca, "%s/ca.crt", root) < 0)
		ca = NULL;
	if (asprintf(&token, "%s/token", root) < 0)
		token = NULL;
	c.config = (struct api_config){.server = server, .ca_path = ca, .token_path = token};
	r = ca && token ? credentials_refresh(&c, 0, true, &tls, e) : error_set(e, -ENOMEM, "out of memory");
	if (r < 0) {
		api_config_free(&c.config);
		return r;
	}
	*ret = c.config;
	return 0;
}
