/* SPDX-License-Identifier: Apache-2.0 */
/* The texts that discovery reads from files and drivers: what is accepted is within its bounds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/device.h"
#include "netlink/link.h"
#include "netlink/monitor_internal.h"
#include "netlink/sysfs_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what, const char *text)
{
	if (holds)
		return;
	fprintf(stderr, "%s: \"%s\"\n", what, text);
	abort();
}

static void check_numbers(const char *text)
{
	enum { MAX = 8 };
	uint32_t distances[MAX];
	size_t n = 0;
	int32_t number = 0, again = 0;
	char canonical[16];
	if (sysfs_number_parse(text, &number) == 0) {
		snprintf(canonical, sizeof(canonical), "%d", number);
		require(sysfs_number_parse(canonical, &again) == 0 && again == number, "the canonical form is another number", text);
	}
	if (sysfs_distances_parse(text, distances, MAX, &n) == 0)
		require(n > 0 && n <= MAX, "no distances, or too many", text);
	if (sysfs_first_cpu_parse(text, &number) == 0)
		require(number >= 0, "a processor below 0", text);
}

static void check_pci(const char *text)
{
	struct modalias alias, again;
	char canonical[64], address[PCI_ADDRESS_SIZE], name[DEVICE_NAME_SIZE];
	if (modalias_parse(text, &alias) == 0) {
		snprintf(canonical, sizeof(canonical), "pci:v%08Xd%08Xsv00000000sd%08Xbc%02Xsc%02X", alias.vendor, alias.device,
		         alias.subsystem_device, alias.base_class, alias.sub_class);
		require(modalias_parse(canonical, &again) == 0 && alias.vendor == again.vendor && alias.device == again.device &&
		            alias.subsystem_device == again.subsystem_device && alias.base_class == again.base_class &&
		            alias.sub_class == again.sub_class,
		        "the canonical form is another function", text);
	}
	if (pci_address_of_path(text, address) == 0)
		require(device_name_pci(address, name) == 0 && str_is_dns_label(name) && strstr(text, address),
		        "an address that gives no name, or is not there", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1); /* no longer than it is */
	char firmware[LINK_FIRMWARE_SIZE] = "";
	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	check_numbers(text);
	check_pci(text);
	(void)link_port_is_representor(text);
	link_firmware_parse((const char *)data, size, firmware); /* need not be terminated */
	for (const char *c = firmware; *c; c++)
		require(*c >= ' ' && *c <= '~', "a firmware's version that cannot be printed", firmware);
	free(text);
	return 0;
}
