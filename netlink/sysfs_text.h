/* SPDX-License-Identifier: Apache-2.0 */
/* The texts in sysfs' files. Each parser takes one line without its newline, whoever wrote it. 0, or -EINVAL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Decimal, with a sign perhaps, and nothing else. */
int sysfs_number_parse(const char *text, int32_t *ret);

/* pci:v000015B3d0000101Dsv000015B3sd00000041bc02sc00i00 */
struct modalias {
	uint32_t vendor, device, subsystem_device;
	uint8_t base_class, sub_class;
};
int modalias_parse(const char *text, struct modalias *ret);
