/* SPDX-License-Identifier: Apache-2.0 */
/* The texts in sysfs' files. Each parser takes one line without its newline, whoever wrote it. 0, or -EINVAL. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Decimal, with a sign perhaps, and nothing else. */
int sysfs_number_parse(const char *text, int32_t *ret);

/* "10 12 21": distances; -E2BIG for more than `max`. */
int sysfs_distances_parse(const char *text, uint32_t *ret, size_t max, size_t *ret_n);
/* The first of "0-31,64-95"; -ENOENT when the list is empty. */
int sysfs_first_cpu_parse(const char *text, int32_t *ret);

/* pci:v000015B3d0000101Dsv000015B3sd00000041bc02sc00i00 */
struct modalias {
	uint32_t vendor, device, subsystem_device;
	uint8_t base_class, sub_class;
};
int modalias_parse(const char *text, struct modalias *ret);
