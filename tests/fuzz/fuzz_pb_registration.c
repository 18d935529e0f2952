/* SPDX-License-Identifier: Apache-2.0 */
/* RegistrationStatus: the text that is kept is one, whatever came; and any name makes a PluginInfo that can be read. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/kubelet_messages.h"
#include "proto/pluginregistration.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[KUBELET_ERROR_SIZE];
	struct error e = {0};
	bool registered;
	if (kubelet_decode_status(data, size, &registered, error, &e) < 0)
		check(e.code < 0 && *e.text);
	else
		check(memchr(error, 0, sizeof(error)) && !strchr(error, '\n'));
	_cleanup_free_ char *text = strndup((const char *)data, size);
	_cleanup_buf_ struct buf info = {0};
	kubelet_encode_info(text, text, &info);
	if (info.failed) /* longer than an arena takes */
		return 0;
	Pluginregistration__PluginInfo *m = pluginregistration__plugin_info__unpack(NULL, info.len, info.data);
	check(m && m->n_supported_versions == 4 && strlen(m->name) == strlen(text));
	pluginregistration__plugin_info__free_unpacked(m, NULL);
	return 0;
}
