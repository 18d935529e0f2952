/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config_scalar.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/str.h"

enum { TAG_8021Q = 0x8100, TAG_8021AD = 0x88a8 }; /* ETH_P_8021Q, ETH_P_8021AD */

bool value_has_type(struct faults *f, const char *key, const struct value *v, enum value_type type)
{
	if (v->type == type)
		return true;
	const char *is = value_type_name(v->type), *expected = value_type_name(type);
	const char *expected_a = strchr("aio", expected[0]) ? "an" : "a";
	if (v->type == VALUE_NULL)
		fault(f, key, "null, expected %s %s", expected_a, expected);
	else
		fault(f, key, "%s is %s %s, expected %s %s", show_value(v).text, strchr("aio", is[0]) ? "an" : "a", is, expected_a,
		      expected);
	return false;
}

/* ---- names ----------------------------------------------------------------------------------------------------------------------- */

/* What the kernel takes as an interface name (dev_valid_name), and DRANET's narrower set of characters. Letters beyond ASCII are let
 * through as bytes, but not 0xa0, which the kernel counts as white space, nor C1 control characters. */
static void check_ifname(struct faults *f, const char *key, const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	static const char space[] = " \t\n\v\f\r";
	struct shown shown = show_string(name, "\"");
	if (strlen(name) >= IFNAME_SIZE)
		fault(f, key, "%s is longer than %d bytes", shown.text, IFNAME_SIZE - 1);
	if (strchr(name, '/'))
		fault(f, key, "%s contains \"/\"", shown.text);
	if (strpbrk(name, space))
		fault(f, key, "%s contains white space", shown.text);
	if (str_equal(name, ".") || str_equal(name, ".."))
		fault(f, key, "%s has a meaning of its own in paths", shown.text);
	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		bool letter = *c >= 0x80 && *c != 0xa0 && !(*c == 0xc2 && c[1] < 0xa0);
		if (letter || *c == '/' || strchr(space, *c) || strchr(allowed, *c))
			continue;
		fault(f, key, "%s contains a character that is no letter, no digit and none of \"-\", \"_\", \".\"", shown.text);
		break;
	}
}

static void take_ifname(struct faults *f, const struct config_field *field, const char *text, char *to)
{
	if (!text[0] && field->required)
		fault(f, field->key, "\"\" is no name");
	check_ifname(f, field->key, text);
	str_copy(to, IFNAME_SIZE, text);
}

/* ---- addresses ------------------------------------------------------------------------------------------------------------------- */

/* Go, which DRANET is written in, takes an IPv4-mapped IPv6 address for the IPv4 address in it. */
static void unmap(struct ip_address *a)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (a->family != IP_V6 || memcmp(a->bytes, mapped, sizeof(mapped)))
		return;
	struct ip_address v4 = {.family = IP_V4};
	memcpy(v4.bytes, a->bytes + sizeof(mapped), 4);
	*a = v4;
}

static bool parse_address(const char *text, struct ip_address *ret)
{
	if (ip_address_parse(text, ret) < 0)
		return false;
	unmap(ret);
	return true;
}

static bool parse_prefix(const char *text, struct ip_prefix *ret)
{
	struct ip_prefix prefix;
	if (ip_prefix_parse(text, &prefix) < 0)
		return false;
	unsigned family = prefix.address.family;
	unmap(&prefix.address);
	if (prefix.address.family != family) {
		if (prefix.length < 96)
			return false;
		prefix.length = (uint8_t)(prefix.length - 96);
	}
	*ret = prefix;
	return true;
}

/* The kernel takes 0.0.0.0 and drops it, and refuses these of IPv6 on a link that is no loopback. */
static bool is_of_an_interface(const struct ip_address *a)
{
	static const uint8_t zero[16], loopback[16] = {[15] = 1};
	if (memcmp(a->bytes, zero, sizeof(zero)) == 0)
		return false;
	return a->family != IP_V6 || (a->bytes[0] != 0xff && memcmp(a->bytes, loopback, sizeof(loopback)) != 0);
}

void config_take_prefix(struct faults *f, const struct config_field *field, const char *key, const struct value *v, struct ip_prefix *ret)
{
	struct ip_address address;
	if (!value_has_type(f, key, v, VALUE_STRING))
		return;
	if (parse_prefix(v->string, ret)) {
		if (field->host && !is_of_an_interface(&ret->address))
			fault(f, key, "%s is not an address that an interface can have", show_value(v).text);
	} else if (parse_address(v->string, &address))
		fault(f, key, "%s is not an IP prefix; a single address is written with /%d", show_value(v).text,
		      address.family == IP_V4 ? 32 : 128);
	else
		fault(f, key, "%s is not an IP prefix", show_value(v).text);
}

static void take_mac(struct faults *f, const struct config_field *field, const struct value *v, struct mac *to)
{
	static const struct mac zero = {.length = 6};
	if (mac_parse(v->string, to) < 0)
		fault(f, field->key, "%s is not a hardware address", show_value(v).text);
	else if (field->station && to->length == 6 && (to->bytes[0] & 1 || mac_equal(to, &zero)))
		fault(f, field->key, "%s is not the address of one station", show_value(v).text);
}

/* ---- numbers --------------------------------------------------------------------------------------------------------------------- */

static bool is_among(const char *numbers, int64_t v)
{
	char text[32];
	snprintf(text, sizeof(text), " %" PRId64 " ", v);
	return strstr(numbers, text) != NULL;
}

static bool check_range(struct faults *f, const struct config_field *field, int64_t v)
{
	if (field->choices && !is_among(field->choices, v))
		fault(f, field->key, "%" PRId64 " is not one of%.*s", v, (int)strlen(field->choices) - 1, field->choices);
	else if (!field->choices && (v < field->min || v > field->max))
		fault(f, field->key, "%" PRId64 " is out of range %" PRId64 "..%" PRId64, v, field->min, field->max);
	else if (field->excluded && is_among(field->excluded, v))
		fault(f, field->key, "%" PRId64 " has another use", v);
	else
		return true;
	return false;
}

/* "0x" and up to eight digits, as marks are shown by ip and nft. */
static bool parse_mark(const char *text, int64_t *ret)
{
	if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
		return false;
	size_t n = strspn(text + 2, "0123456789abcdefABCDEF");
	unsigned v;
	if (n > 8 || text[2 + n] || sscanf(text + 2, "%8x", &v) != 1)
		return false;
	*ret = v;
	return true;
}

static void take_integer(struct faults *f, const struct config_field *field, const struct value *v, void *object)
{
	void *to = (char *)object + field->offset;
	int64_t integer = v->integer;
	if (field->type == CONFIG_MARK && v->type == VALUE_STRING) {
		if (!parse_mark(v->string, &integer)) {
			fault(f, field->key, "%s is neither a number nor \"0x\" with up to eight hexadecimal digits", show_value(v).text);
			return;
		}
	} else if (!value_has_type(f, field->key, v, VALUE_INT))
		return;
	if (!check_range(f, field, integer))
		return;
	if (field->type == CONFIG_SETTING) {
		struct ethtool_settings *s = to;
		s->v[field->setting] = (uint32_t)integer;
		s->given |= 1u << field->setting;
	} else if (config_field_size(field) == sizeof(uint32_t))
		*(uint32_t *)to = (uint32_t)integer;
	else
		*(uint8_t *)to = (uint8_t)integer;
	if (field->told)
		*(bool *)((char *)object + field->told_at) = true;
}

static void take_bool(struct faults *f, const struct config_field *field, const struct value *v, void *object)
{
	void *to = (char *)object + field->offset;
	if (!value_has_type(f, field->key, v, VALUE_BOOL))
		return;
	if (field->type == CONFIG_SWITCH) {
		struct ethtool_settings *s = to;
		s->v[field->setting] = v->boolean;
		s->given |= 1u << field->setting;
	} else if (field->type == CONFIG_BOOL)
		*(int8_t *)to = v->boolean;
	else if (v->boolean)
		*(uint8_t *)to |= field->bits;
	if (field->told)
		*(bool *)((char *)object + field->told_at) = true;
}

static void take_string(struct faults *f, const struct config_field *field, const struct value *v, void *object)
{
	void *to = (char *)object + field->offset;
	if (!value_has_type(f, field->key, v, VALUE_STRING) || (field->empty_ok && !v->string[0]))
		return;
	if (field->type == CONFIG_IFNAME)
		take_ifname(f, field, v->string, to);
	else if (field->type == CONFIG_TEXT) {
		if (str_copy(to, ATTRIBUTE_TEXT_SIZE, v->string) < 0)
			fault(f, field->key, "%s is longer than %d bytes", show_value(v).text, ATTRIBUTE_TEXT_SIZE - 1);
	} else if (field->type == CONFIG_MAC)
		take_mac(f, field, v, to);
	else if (field->type == CONFIG_PREFIX)
		config_take_prefix(f, field, field->key, v, to);
	else if (field->type == CONFIG_FAMILY) {
		uint8_t family = str_equal(v->string, "ipv4") ? IP_V4 : str_equal(v->string, "ipv6") ? IP_V6 : IP_NONE;
		*(uint8_t *)to = family;
		if (family == IP_NONE)
			fault(f, field->key, "%s is neither \"ipv4\" nor \"ipv6\"", show_value(v).text);
	} else if (field->type == CONFIG_TAG) {
		uint32_t tag = str_equal(v->string, "802.1q") ? TAG_8021Q : str_equal(v->string, "802.1ad") ? TAG_8021AD : 0;
		*(uint32_t *)to = tag;
		if (!tag)
			fault(f, field->key, "%s is neither \"802.1q\" nor \"802.1ad\"", show_value(v).text);
	} else if (!parse_address(v->string, to))
		fault(f, field->key, "%s is not an IP address", show_value(v).text);
}

void config_take_scalar(struct faults *f, const struct config_field *field, const struct value *v, void *object)
{
	switch (field->type) {
	case CONFIG_BOOL:
	case CONFIG_FLAG:
	case CONFIG_SWITCH:
		take_bool(f, field, v, object);
		break;
	case CONFIG_INT8:
	case CONFIG_UINT8:
	case CONFIG_UINT32:
	case CONFIG_MARK:
	case CONFIG_SETTING:
		take_integer(f, field, v, object);
		break;
	case CONFIG_FAMILY:
	case CONFIG_TAG:
	case CONFIG_IFNAME:
	case CONFIG_TEXT:
	case CONFIG_MAC:
	case CONFIG_ADDRESS:
	case CONFIG_PREFIX:
		take_string(f, field, v, object);
		break;
	case CONFIG_OBJECT:
	case CONFIG_OBJECTS:
	case CONFIG_ADDRESSES:
	case CONFIG_SWITCHES:
		break;
	}
}
