/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/ip.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decimal without sign and without leading zeros, at most `max`; -1 when it is something else. */
static int small_decimal(const char *text, size_t len, int max)
{
	if (len == 0 || len > 3 || (len > 1 && text[0] == '0'))
		return -1;
	int v = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		v = v * 10 + (text[i] - '0');
	}
	return v <= max ? v : -1;
}

static bool ipv4_parse(const char *text, size_t len, uint8_t bytes[4])
{
	const char *end = text + len;
	for (int i = 0; i < 4; i++) {
		const char *dot = i < 3 ? memchr(text, '.', (size_t)(end - text)) : end;
		int v = dot ? small_decimal(text, (size_t)(dot - text), 255) : -1;
		if (v < 0)
			return false;
		bytes[i] = (uint8_t)v;
		text = dot + (i < 3);
	}
	return true;
}

/* One group of one to four hex digits at `*text`; -1 when there is none. */
static int hex_group(const char **text, const char *end)
{
	int v = 0, n = 0;
	for (; *text < end && hex_digit(**text) >= 0; (*text)++) {
		if (++n > 4)
			return -1;
		v = v << 4 | hex_digit(**text);
	}
	return n ? v : -1;
}

static bool ipv6_parse(const char *text, size_t len, uint8_t bytes[16])
{
	const char *end = text + len;
	size_t filled = 0, gap = SIZE_MAX; /* gap: where "::" stands */
	if (len >= 2 && text[0] == ':' && text[1] == ':') {
		gap = 0;
		text += 2;
	}
	while (text < end && filled < 16) {
		const char *group = text;
		int v = hex_group(&text, end);
		if (text < end && *text == '.') {
			/* A dotted quad stands for the last two groups only. */
			if (filled > 12 || (gap == SIZE_MAX && filled != 12) || !ipv4_parse(group, (size_t)(end - group), bytes + filled))
				return false;
			filled += 4;
			text = end;
			break;
		}
		if (v < 0)
			return false;
		bytes[filled++] = (uint8_t)(v >> 8);
		bytes[filled++] = (uint8_t)v;
		if (text == end)
			break;
		if (*text++ != ':' || text == end)
			return false;
		if (*text == ':') {
			if (gap != SIZE_MAX)
				return false;
			gap = filled;
			text++;
		}
	}
	if (text != end || (filled == 16) != (gap == SIZE_MAX))
		return false;
	if (filled < 16) {
		memmove(bytes + gap + (16 - filled), bytes + gap, filled - gap);
		memset(bytes + gap, 0, 16 - filled);
	}
	return true;
}

static int address_parse(const char *text, size_t len, struct ip_address *ret)
{
	struct ip_address a = {0};
	if (memchr(text, ':', len)) {
		a.family = IP_V6;
		if (!ipv6_parse(text, len, a.bytes))
			return -EINVAL;
	} else {
		a.family = IP_V4;
		if (!ipv4_parse(text, len, a.bytes))
			return -EINVAL;
	}
	*ret = a;
	return 0;
}

int ip_address_parse(const char *text, struct ip_address *ret)
{
	return address_parse(text, strlen(text), ret);
}

int ip_prefix_parse(const char *text, struct ip_prefix *ret)
{
	const char *slash = strrchr(text, '/');
	struct ip_prefix p = {0};
	if (!slash || address_parse(text, (size_t)(slash - text), &p.address) < 0)
		return -EINVAL;
	int length = small_decimal(slash + 1, strlen(slash + 1), p.address.family == IP_V4 ? 32 : 128);
	if (length < 0)
		return -EINVAL;
	p.length = (uint8_t)length;
	*ret = p;
	return 0;
}

int mac_parse(const char *text, struct mac *ret)
{
	size_t len = strlen(text);
	if (len < 14)
		return -EINVAL;
	/* Pairs behind colons or hyphens, or groups of four digits behind dots. */
	size_t digits = text[2] == ':' || text[2] == '-' ? 2 : 4;
	char separator = text[digits];
	if ((digits == 4 && separator != '.') || (len + 1) % (digits + 1))
		return -EINVAL;
	size_t n = (len + 1) / (digits + 1) * digits / 2;
	if (n != 6 && n != 8 && n != 20)
		return -EINVAL;

	struct mac m = {.length = (uint8_t)n};
	size_t nibbles = 0;
	for (size_t i = 0; i < len; i++) {
		if (i % (digits + 1) == digits) {
			if (text[i] != separator)
				return -EINVAL;
			continue;
		}
		int v = hex_digit(text[i]);
		if (v < 0)
			return -EINVAL;
		m.bytes[nibbles / 2] = (uint8_t)(m.bytes[nibbles / 2] << 4 | v);
		nibbles++;
	}
	*ret = m;
	return 0;
}

static bool is_ipv4_mapped(const struct ip_address *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	return a->family == IP_V6 && memcmp(a->bytes, mapped, sizeof(mapped)) == 0;
}

static void ipv6_format(const uint8_t bytes[16], char text[IP_TEXT_MAX])
{
	unsigned groups[8];
	int best = -1, best_len = 1; /* a single zero group is not shortened */
	for (int i = 0; i < 8; i++)
		groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
	for (int i = 0; i < 8; i++) {
		int n = 0;
		while (i + n < 8 && groups[i + n] == 0)
			n++;
		if (n > best_len) {
			best = i;
			best_len = n;
		}
		i += n ? n - 1 : 0;
	}
	size_t at = 0;
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			at += (size_t)snprintf(text + at, IP_TEXT_MAX - at, "::");
			i += best_len - 1;
			continue;
		}
		bool colon = i > 0 && i != best + best_len;
		at += (size_t)snprintf(text + at, IP_TEXT_MAX - at, "%s%x", colon ? ":" : "", groups[i]);
	}
}

void ip_address_format(const struct ip_address *a, char text[IP_TEXT_MAX])
{
	const uint8_t *b = a->bytes;
	if (a->family == IP_V4)
		snprintf(text, IP_TEXT_MAX, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
	else if (is_ipv4_mapped(a))
		snprintf(text, IP_TEXT_MAX, "::ffff:%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
	else if (a->family == IP_V6)
		ipv6_format(b, text);
	else
		text[0] = 0;
}

void ip_prefix_format(const struct ip_prefix *p, char text[IP_TEXT_MAX])
{
	ip_address_format(&p->address, text);
	size_t at = strlen(text);
	if (at)
		snprintf(text + at, IP_TEXT_MAX - at, "/%u", p->length);
}

void mac_format(const struct mac *m, char text[MAC_TEXT_MAX])
{
	text[0] = 0;
	for (size_t i = 0; i < m->length && i < sizeof(m->bytes); i++)
		snprintf(text + (i ? 3 * i - 1 : 0), 4, i ? ":%02x" : "%02x", m->bytes[i]);
}

void ip_prefix_mask(struct ip_prefix *p)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned keep = p->length > 8 * i ? p->length - 8 * i : 0;
		if (keep < 8)
			p->address.bytes[i] &= (uint8_t)(0xff00 >> keep);
	}
}

bool ip_address_equal(const struct ip_address *a, const struct ip_address *b)
{
	return a->family == b->family && (a->family == IP_NONE || memcmp(a->bytes, b->bytes, a->family == IP_V4 ? 4 : 16) == 0);
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return ip_address_equal(&a->address, &b->address) && (a->address.family == IP_NONE || a->length == b->length);
}

bool mac_equal(const struct mac *a, const struct mac *b)
{
	return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

bool ip_address_is_global_unicast(const struct ip_address *a)
{
	static const uint8_t zero[16], broadcast[4] = {255, 255, 255, 255}, loopback6[16] = {[15] = 1};
	bool mapped = is_ipv4_mapped(a);
	const uint8_t *b = mapped ? a->bytes + 12 : a->bytes;
	if (a->family == IP_V4 || mapped)
		return memcmp(b, zero, 4) && memcmp(b, broadcast, 4) && b[0] != 127 && (b[0] & 0xf0) != 0xe0 &&
		       !(b[0] == 169 && b[1] == 254);
	return a->family == IP_V6 && memcmp(b, zero, 16) && memcmp(b, loopback6, 16) && b[0] != 0xff &&
	       !(b[0] == 0xfe && (b[1] & 0xc0) == 0x80);
}
