/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses, prefixes, MACs: what is accepted comes back the same from its canonical form, and agrees with the C library. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/ip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what, const char *text)
{
	if (holds)
		return;
	fprintf(stderr, "%s: \"%s\"\n", what, text);
	abort();
}

static void check_address(const char *text)
{
	struct ip_address a = {0}, again = {0};
	char canonical[IP_TEXT_MAX], expected[INET6_ADDRSTRLEN];
	uint8_t bytes[16] = {0};
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;
	bool accepted = ip_address_parse(text, &a) == 0;
	require(accepted == (inet_pton(family, text, bytes) == 1), "the C library disagrees", text);
	if (!accepted)
		return;
	require(memcmp(a.bytes, bytes, sizeof(bytes)) == 0, "the C library reads another address", text);
	ip_address_format(&a, canonical);
	require(ip_address_parse(canonical, &again) == 0 && ip_address_equal(&a, &again), "the canonical form is another address",
	        canonical);
	/* Of the embedded IPv4 forms only the mapped one is canonical; the C library also writes "::1.2.3.4". */
	static const uint8_t zero[12];
	if (a.family == IP_V4 || memcmp(bytes, zero, sizeof(zero)))
		require(strcmp(canonical, inet_ntop(family, bytes, expected, sizeof(expected))) == 0, "the C library writes it differently",
		        canonical);
	ip_address_is_global_unicast(&a);
}

static void check_prefix(const char *text)
{
	struct ip_prefix p = {0}, again = {0}, masked;
	char canonical[IP_TEXT_MAX];
	if (ip_prefix_parse(text, &p) < 0)
		return;
	require(p.length <= (p.address.family == IP_V4 ? 32 : 128), "the length is too large", text);
	ip_prefix_format(&p, canonical);
	require(ip_prefix_parse(canonical, &again) == 0 && ip_prefix_equal(&p, &again), "the canonical form is another prefix", canonical);
	masked = p;
	ip_prefix_mask(&masked);
	again = masked;
	ip_prefix_mask(&again);
	require(ip_prefix_equal(&masked, &again), "masking twice differs", canonical);
}

static void check_mac(const char *text)
{
	struct mac m = {0}, again = {0};
	char canonical[MAC_TEXT_MAX];
	if (mac_parse(text, &m) < 0)
		return;
	mac_format(&m, canonical);
	require(mac_parse(canonical, &again) == 0 && mac_equal(&m, &again), "the canonical form is another address", canonical);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	check_address(text);
	check_prefix(text);
	check_mac(text);
	free(text);
	return 0;
}
