/* SPDX-License-Identifier: Apache-2.0 */
/* Any filter expression, on three devices: refused with a reason at a place within it, or evaluated; an error keeps the device; the
 * explanation comes to the same end. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct device_facts devices[] = {
    {.name = "eth0", .ifindex = 2, .mtu = 1500, .mac = {6, {2}}, .ifname = "eth0", .type = "device", .ipv4 = "10.0.0.1/24", .sriov = true},
    {.name = "veth0", .ifindex = 3, .mtu = 9000, .ifname = "veth0", .type = "veth", .is_virtual = true},
    {.name = "pci-0000-00-05-0", .pci_address = "0000:00:05.0", .numa_node = -1},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct filter *f = NULL;
	struct error e = {0};
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	size_t fault = 0;
	struct buf words = {0};
	if (filter_compile(text, &f, &fault, &e) < 0) {
		if (f || !e.code || !e.text[0] || fault > strlen(text))
			abort();
		filter_show_fault(text, fault, &words);
	} else {
		for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
			struct error failed = {0};
			bool keeps = filter_keeps(f, &devices[i], &failed);
			if (!keeps && failed.code)
				abort();
			if (filter_explain(f, &devices[i], &words) != keeps)
				abort();
		}
		filter_free(f);
	}
	buf_free(&words);
	free(text);
	return 0;
}
