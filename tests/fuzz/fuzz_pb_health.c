/* SPDX-License-Identifier: Apache-2.0 */
/* NodeWatchResourcesRequest; and the list of devices, whose names are the lines of the input, can be read back as one message. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/kubelet_messages.h"
#include "proto/health.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error e = {0};
	check(kubelet_decode_watch(data, size, &e) == 0 || (e.code < 0 && *e.text));
	_cleanup_free_ char *text = strndup((const char *)data, size < 4096 ? size : 4096);
	_cleanup_buf_ struct buf list = {0};
	size_t n = 0;
	for (char *rest = text, *device; (device = strsep(&rest, "\n"));) {
		kubelet_encode_health("node", device, n % 2 ? device : NULL, 1700000000, &list);
		n++;
	}
	check(!list.failed);
	Health__NodeWatchResourcesResponse *m = health__node_watch_resources_response__unpack(NULL, list.len, list.data);
	check(m && m->n_devices == n);
	for (size_t i = 0; i < n; i++)
		check(m->devices[i]->health == (i % 2 ? HEALTH__HEALTH_STATUS__UNHEALTHY : HEALTH__HEALTH_STATUS__HEALTHY) &&
		      m->devices[i]->health_check_timeout_seconds == 3600);
	health__node_watch_resources_response__free_unpacked(m, NULL);
	return 0;
}
