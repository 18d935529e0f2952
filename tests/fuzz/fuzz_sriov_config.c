/* SPDX-License-Identifier: Apache-2.0 */
/* A file that says how many VFs PFs shall have. */
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "daemon/sriov_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sriov_config c = {0};
	struct error e = {0};
	int r = sriov_config_parse((const char *)data, size, "f.conf", &c, &e);
	for (size_t i = 0; i < c.n; i++) {
		const struct sriov_wish *w = &c.v[i];
		if (!w->pf[0] || strpbrk(w->pf, "/ \t\r\n#") || w->n_vfs > SRIOV_VFS_MAX || !w->line || w->refused != (r < 0))
			abort();
		if (r == 0 && sriov_config_find(&c, w->pf, "") != w)
			abort();
	}
	if ((r < 0) != (e.code < 0))
		abort();
	sriov_config_free(&c);
	return 0;
}
