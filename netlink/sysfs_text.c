/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/sysfs_text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int sysfs_number_parse(const char *text, int32_t *ret)
{
	char *end;
	if (!isdigit((unsigned char)text[text[0] == '-']))
		return -EINVAL;
	errno = 0;
	long long v = strtoll(text, &end, 10);
	if (errno || *end || v < INT32_MIN || v > INT32_MAX)
		return -EINVAL;
	*ret = (int32_t)v;
	return 0;
}

int sysfs_distances_parse(const char *text, uint32_t *ret, size_t max, size_t *ret_n)
{
	size_t n = 0;
	while (*text) {
		char *end;
		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		errno = 0;
		unsigned long v = strtoul(text, &end, 10);
		if (errno || v > UINT32_MAX || (*end && *end != ' '))
			return -EINVAL;
		if (n == max)
			return -E2BIG;
		ret[n++] = (uint32_t)v;
		text = end + strspn(end, " ");
	}
	if (n == 0)
		return -EINVAL;
	*ret_n = n;
	return 0;
}

int sysfs_first_cpu_parse(const char *text, int32_t *ret)
{
	char first[16];
	size_t n = strcspn(text, "-,");
	if (!*text)
		return -ENOENT;
	if (n >= sizeof(first))
		return -EINVAL;
	memcpy(first, text, n);
	first[n] = '\0';
	return sysfs_number_parse(first, ret);
}

/* `digits` upper-case hexadecimal ones behind `key`; moves on. */
static int take_hex(const char **at, const char *key, int digits, uint32_t *ret)
{
	uint32_t v = 0;
	size_t n = strlen(key);
	if (strncmp(*at, key, n) != 0)
		return -EINVAL;
	const char *p = *at + n;
	for (int i = 0; i < digits; i++) {
		if (!isxdigit((unsigned char)p[i]))
			return -EINVAL;
		v = v << 4 | (uint32_t)(isdigit((unsigned char)p[i]) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	}
	*at = p + digits;
	*ret = v;
	return 0;
}

int modalias_parse(const char *text, struct modalias *ret)
{
	static const struct {
		const char *key;
		int digits;
	} parts[] = {{"pci:v", 8}, {"d", 8}, {"sv", 8}, {"sd", 8}, {"bc", 2}, {"sc", 2}};
	uint32_t v[sizeof(parts) / sizeof(parts[0])];
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (take_hex(&text, parts[i].key, parts[i].digits, &v[i]) < 0)
			return -EINVAL;
	*ret = (struct modalias){
	    .vendor = v[0], .device = v[1], .subsystem_device = v[3], .base_class = (uint8_t)v[4], .sub_class = (uint8_t)v[5]};
	return 0;
}
