/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of the opaque configuration and the parser it drives: dranet-behaviour §3.1 to §3.3. */
#include "core/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/config_schema.h"

enum {
	MTU_MIN = 68, /* RFC 791: every IPv4 link carries that much */
	MTU_MAX = 65535,
	OFFLOAD_SIZE_MAX = 8 * 65535, /* GSO_MAX_SIZE, GRO_MAX_SIZE */
	SCOPE_LINK = 253,
	PRIORITY_MAX = 32767,
	VRF_TABLE_FIRST = 1000,
	VRF_TABLES = 1000,
	TABLE_COMPAT = 253, /* and main, and local: they have another use */
	TABLE_LOCAL = 255,
	SHOWN_MAX = 64, /* bytes of a value repeated in a text */
};

struct parser {
	struct error error;
	size_t faults;
	bool no_memory;
	char path[96]; /* of the value being looked at; schema keys and indexes only, so it always fits */
};

struct config_members {
	const struct config_field *fields;
	size_t n;
	void (*check)(struct parser *p, const struct value *v, void *object); /* rules across members */
};
#define MEMBERS(f, c)                                                                                                                      \
	{                                                                                                                                  \
		.fields = (f), .n = ELEMENTS(f), .check = (c)                                                                              \
	}

/* ---- faults ---------------------------------------------------------------------------------------------------------------------- */

/* A value as the text repeats it: quoted, in one line, cut. */
struct shown {
	char text[SHOWN_MAX + 8];
};

static struct shown show_string(const char *string, const char *quote)
{
	struct shown s;
	char cut[SHOWN_MAX];
	str_cut(cut, sizeof(cut), string);
	for (char *c = cut; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	snprintf(s.text, sizeof(s.text), "%s%s%s%s", quote, cut, strlen(cut) < strlen(string) ? "..." : "", quote);
	return s;
}

static struct shown show(const struct value *v)
{
	struct shown s = {"null"};
	switch (v->type) {
	case VALUE_STRING:
		return show_string(v->string, "\"");
	case VALUE_BOOL:
		STR_COPY(s.text, v->boolean ? "true" : "false");
		break;
	case VALUE_INT:
		snprintf(s.text, sizeof(s.text), "%" PRId64, v->integer);
		break;
	case VALUE_REAL:
		snprintf(s.text, sizeof(s.text), "%g", v->real);
		break;
	case VALUE_ARRAY:
		STR_COPY(s.text, v->n ? "[...]" : "[]");
		break;
	case VALUE_OBJECT:
		STR_COPY(s.text, v->n ? "{...}" : "{}");
		break;
	case VALUE_NULL:
		break;
	}
	return s;
}

__attribute__((format(printf, 3, 4))) static void fault(struct parser *p, const char *key, const char *format, ...)
{
	char text[ERROR_TEXT_MAX / 2];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);

	p->faults++;
	const char *point = key && p->path[0] ? "." : "";
	const char *path = key || p->path[0] ? p->path : "configuration";
	error_append(&p->error, -EINVAL, "%s%s%s: %s", path, point, key ? key : "", text);
}

static bool has_type(struct parser *p, const char *key, const struct value *v, enum value_type type)
{
	if (v->type == type)
		return true;
	const char *is = value_type_name(v->type), *expected = value_type_name(type);
	const char *expected_a = strchr("aio", expected[0]) ? "an" : "a";
	if (v->type == VALUE_NULL)
		fault(p, key, "null, expected %s %s", expected_a, expected);
	else
		fault(p, key, "%s is %s %s, expected %s %s", show(v).text, strchr("aio", is[0]) ? "an" : "a", is, expected_a, expected);
	return false;
}

/* ---- paths ----------------------------------------------------------------------------------------------------------------------- */

static size_t path_enter(struct parser *p, const char *key)
{
	size_t at = strlen(p->path);
	snprintf(p->path + at, sizeof(p->path) - at, "%s%s", at ? "." : "", key);
	return at;
}

static size_t path_enter_index(struct parser *p, size_t index)
{
	size_t at = strlen(p->path);
	snprintf(p->path + at, sizeof(p->path) - at, "[%zu]", index);
	return at;
}

static void path_leave(struct parser *p, size_t at)
{
	p->path[at] = 0;
}

/* ---- scalars --------------------------------------------------------------------------------------------------------------------- */

/* What the kernel takes as an interface name (dev_valid_name), and DRANET's narrower set of characters. Letters beyond ASCII are let
 * through as bytes, but not 0xa0, which the kernel counts as white space, nor C1 control characters. */
static void check_ifname(struct parser *p, const char *key, const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	static const char space[] = " \t\n\v\f\r";
	struct shown shown = show_string(name, "\"");
	if (strlen(name) >= IFNAME_SIZE)
		fault(p, key, "%s is longer than %d bytes", shown.text, IFNAME_SIZE - 1);
	if (strchr(name, '/'))
		fault(p, key, "%s contains \"/\"", shown.text);
	if (strpbrk(name, space))
		fault(p, key, "%s contains white space", shown.text);
	if (str_equal(name, ".") || str_equal(name, ".."))
		fault(p, key, "%s has a meaning of its own in paths", shown.text);
	for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
		bool letter = *c >= 0x80 && *c != 0xa0 && !(*c == 0xc2 && c[1] < 0xa0);
		if (letter || *c == '/' || strchr(space, *c) || strchr(allowed, *c))
			continue;
		fault(p, key, "%s contains a character that is no letter, no digit and none of \"-\", \"_\", \".\"", shown.text);
		break;
	}
}

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

static void take_prefix(struct parser *p, const char *key, const struct value *v, struct ip_prefix *ret)
{
	struct ip_address address;
	if (!has_type(p, key, v, VALUE_STRING) || parse_prefix(v->string, ret))
		return;
	if (parse_address(v->string, &address))
		fault(p, key, "%s is not an IP prefix; a single address is written with /%d", show(v).text,
		      address.family == IP_V4 ? 32 : 128);
	else
		fault(p, key, "%s is not an IP prefix", show(v).text);
}

static void take_string(struct parser *p, const struct config_field *f, const struct value *v, void *to)
{
	if (!has_type(p, f->key, v, VALUE_STRING))
		return;
	if (f->type == CONFIG_IFNAME) {
		if (!v->string[0] && f->required)
			fault(p, f->key, "\"\" is no name");
		check_ifname(p, f->key, v->string);
		str_copy(to, IFNAME_SIZE, v->string);
	} else if (f->type == CONFIG_TEXT) {
		if (str_copy(to, ATTRIBUTE_TEXT_SIZE, v->string) < 0)
			fault(p, f->key, "%s is longer than %d bytes", show(v).text, ATTRIBUTE_TEXT_SIZE - 1);
	} else if (f->type == CONFIG_MAC) {
		if (mac_parse(v->string, to) < 0)
			fault(p, f->key, "%s is not a hardware address", show(v).text);
	} else if (!parse_address(v->string, to))
		fault(p, f->key, "%s is not an IP address", show(v).text);
}

static bool is_choice(const char *choices, int64_t v)
{
	char text[32];
	snprintf(text, sizeof(text), " %" PRId64 " ", v);
	return strstr(choices, text) != NULL;
}

static void take_integer(struct parser *p, const struct config_field *f, const struct value *v, void *to)
{
	if (!has_type(p, f->key, v, VALUE_INT))
		return;
	if (f->choices && !is_choice(f->choices, v->integer)) {
		fault(p, f->key, "%" PRId64 " is not one of%.*s", v->integer, (int)strlen(f->choices) - 1, f->choices);
		return;
	}
	if (!f->choices && (v->integer < f->min || v->integer > f->max)) {
		fault(p, f->key, "%" PRId64 " is out of range %" PRId64 "..%" PRId64, v->integer, f->min, f->max);
		return;
	}
	if (f->type == CONFIG_UINT32)
		*(uint32_t *)to = (uint32_t)v->integer;
	else if (f->type == CONFIG_UINT8)
		*(uint8_t *)to = (uint8_t)v->integer;
	else
		*(int8_t *)to = (int8_t)v->integer;
}

/* ---- containers ------------------------------------------------------------------------------------------------------------------ */

static void take_members(struct parser *p, const struct config_members *members, const struct value *v, void *object);

static void *take_list(struct parser *p, const struct config_field *f, const struct value *v)
{
	if (!has_type(p, f->key, v, VALUE_ARRAY) || !v->n)
		return NULL;
	if (v->n > CONFIG_LIST_MAX) {
		fault(p, f->key, "%zu entries are more than %d", v->n, CONFIG_LIST_MAX);
		return NULL;
	}
	void *list = calloc(v->n, f->size);
	p->no_memory |= !list;
	return list;
}

static void take_objects(struct parser *p, const struct config_field *f, const struct value *v, char *object)
{
	char *list = take_list(p, f, v);
	if (!list)
		return;
	*(void **)(void *)(object + f->offset) = list;
	*(size_t *)(void *)(object + f->count) = v->n;
	size_t key = path_enter(p, f->key);
	for (size_t i = 0; i < v->n; i++) {
		size_t at = path_enter_index(p, i);
		if (has_type(p, NULL, &v->items[i], VALUE_OBJECT))
			take_members(p, f->members, &v->items[i], list + i * f->size);
		path_leave(p, at);
	}
	path_leave(p, key);
}

static void take_addresses(struct parser *p, const struct config_field *f, const struct value *v, struct network_config *c)
{
	c->addresses_given = true;
	struct address *list = take_list(p, f, v);
	if (!list)
		return;
	c->addresses = list;
	c->n_addresses = v->n;
	size_t key = path_enter(p, f->key);
	for (size_t i = 0; i < v->n; i++) {
		size_t at = path_enter_index(p, i);
		list[i].valid_lifetime = list[i].preferred_lifetime = UINT32_MAX;
		take_prefix(p, NULL, &v->items[i], &list[i].prefix);
		path_leave(p, at);
	}
	path_leave(p, key);
}

static void take_switches(struct parser *p, const struct config_field *f, const struct value *v, char *object)
{
	if (!has_type(p, f->key, v, VALUE_OBJECT) || !v->n)
		return;
	if (v->n > CONFIG_LIST_MAX) {
		fault(p, f->key, "%zu entries are more than %d", v->n, CONFIG_LIST_MAX);
		return;
	}
	struct ethtool_switch *list = calloc(v->n, sizeof(*list));
	p->no_memory |= !list;
	if (!list)
		return;
	*(void **)(void *)(object + f->offset) = list;
	*(size_t *)(void *)(object + f->count) = v->n;
	size_t at = path_enter(p, f->key);
	for (size_t i = 0; i < v->n; i++) {
		const char *key = show_string(v->keys[i], "").text;
		if (STR_COPY(list[i].name, v->keys[i]) < 0)
			fault(p, key, "the name is longer than %d bytes", ETHTOOL_NAME_SIZE - 1);
		if (has_type(p, key, &v->items[i], VALUE_BOOL))
			list[i].on = v->items[i].boolean;
	}
	path_leave(p, at);
}

static void take_field(struct parser *p, const struct config_field *f, const struct value *v, void *object)
{
	void *to = (char *)object + f->offset;
	if (f->empty_ok && v->type == VALUE_STRING && !v->string[0])
		return;
	switch (f->type) {
	case CONFIG_BOOL:
		if (has_type(p, f->key, v, VALUE_BOOL))
			*(int8_t *)to = v->boolean;
		break;
	case CONFIG_INT8:
	case CONFIG_UINT8:
	case CONFIG_UINT32:
		take_integer(p, f, v, to);
		break;
	case CONFIG_IFNAME:
	case CONFIG_TEXT:
	case CONFIG_MAC:
	case CONFIG_ADDRESS:
		take_string(p, f, v, to);
		break;
	case CONFIG_PREFIX:
		take_prefix(p, f->key, v, to);
		break;
	case CONFIG_OBJECT:
		if (has_type(p, f->key, v, VALUE_OBJECT)) {
			size_t at = path_enter(p, f->key);
			take_members(p, f->members, v, object);
			path_leave(p, at);
		}
		break;
	case CONFIG_OBJECTS:
		take_objects(p, f, v, object);
		break;
	case CONFIG_ADDRESSES:
		take_addresses(p, f, v, object);
		break;
	case CONFIG_SWITCHES:
		take_switches(p, f, v, object);
		break;
	}
}

static void take_members(struct parser *p, const struct config_members *members, const struct value *v, void *object)
{
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *f = &members->fields[i];
		const struct value *member = value_get(v, f->key);
		if (member && member->type != VALUE_NULL) /* null is absent, as for Go's decoder */
			take_field(p, f, member, object);
		else if (f->required)
			fault(p, f->key, "is missing");
	}
	for (size_t k = 0; k < v->n; k++) {
		bool known = false;
		for (size_t i = 0; i < members->n; i++)
			known |= str_equal(v->keys[k], members->fields[i].key);
		if (!known)
			fault(p, show_string(v->keys[k], "").text, "unknown field");
	}
	if (members->check)
		members->check(p, v, object);
}

/* ---- the schema ------------------------------------------------------------------------------------------------------------------ */

static bool is_given(const struct value *object, const char *key)
{
	const struct value *v = value_get(object, key);
	return v && v->type != VALUE_NULL && !(v->type == VALUE_STRING && !v->string[0]);
}

static bool families_differ(const struct ip_address *a, const struct ip_address *b)
{
	return a->family != IP_NONE && b->family != IP_NONE && a->family != b->family;
}

/* Equal names give equal tables, on every device of a pod and on every node, as with DRANET. */
static uint32_t vrf_default_table(const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return VRF_TABLE_FIRST + hash % VRF_TABLES;
}

static void check_vrf(struct parser *p, const struct value *v, void *object)
{
	struct network_config *c = object;
	if (!is_given(v, "table"))
		c->vrf_table = vrf_default_table(c->vrf_name);
	else if (c->vrf_table >= TABLE_COMPAT && c->vrf_table <= TABLE_LOCAL)
		fault(p, "table", "%" PRIu32 " is a table with another use", c->vrf_table);
}

static void check_interface(struct parser *p, const struct value *v, void *object)
{
	const struct network_config *c = object;
	const struct value *mac = value_get(v, "hardwareAddr");
	static const struct mac zero = {.length = 6};
	if (c->dhcp == 1 && c->n_addresses)
		fault(p, "dhcp", "true, together with %zu configured addresses", c->n_addresses);
	if (c->mac.length == 6 && (c->mac.bytes[0] & 1 || mac_equal(&c->mac, &zero)))
		fault(p, "hardwareAddr", "%s is not the address of one station", show(mac).text);
}

static void check_route(struct parser *p, const struct value *v, void *object)
{
	const struct route *r = object;
	const struct value *destination = value_get(v, "destination");
	if (families_differ(&r->destination.address, &r->gateway))
		fault(p, "gateway", "%s is of another family than the destination %s", show(value_get(v, "gateway")).text,
		      show(destination).text);
	if (families_differ(&r->destination.address, &r->source))
		fault(p, "source", "%s is of another family than the destination %s", show(value_get(v, "source")).text,
		      show(destination).text);
	if (!is_given(v, "gateway") && r->scope != SCOPE_LINK)
		fault(p, "gateway", "is missing; only a route with scope %d has none", SCOPE_LINK);
}

static void check_rule(struct parser *p, const struct value *v, void *object)
{
	struct rule *r = object;
	r->has_priority = is_given(v, "priority");
	if (families_differ(&r->source.address, &r->destination.address))
		fault(p, NULL, "source %s and destination %s are of different families", show(value_get(v, "source")).text,
		      show(value_get(v, "destination")).text);
}

static void check_document(struct parser *p, const struct value *v, void *object)
{
	(void)v;
	const struct network_config *c = object;
	if (c->vrf_name[0] && c->n_rules)
		fault(p, "rules", "%zu rules, together with interface.vrf \"%s\", which brings its own", c->n_rules, c->vrf_name);
}

#define IN(type, member) .offset = offsetof(struct type, member)
#define AT(member) IN(network_config, member)
#define LIST(list, n, element) AT(list), .count = offsetof(struct network_config, n), .size = sizeof(element)

static const struct config_field vrf_fields[] = {
    {"name", CONFIG_IFNAME, AT(vrf_name), .required = true},
    {"table", CONFIG_UINT32, AT(vrf_table), .min = 1, .max = UINT32_MAX},
};
static const struct config_members vrf_members = MEMBERS(vrf_fields, check_vrf);

const struct config_field config_interface_fields[] = {
    {"name", CONFIG_IFNAME, AT(ifname)},
    {"addresses", CONFIG_ADDRESSES, LIST(addresses, n_addresses, struct address)},
    {"dhcp", CONFIG_BOOL, AT(dhcp)},
    {"mtu", CONFIG_UINT32, AT(mtu), .min = MTU_MIN, .max = MTU_MAX},
    {"hardwareAddr", CONFIG_MAC, AT(mac)},
    {"gsoMaxSize", CONFIG_UINT32, AT(sizes.gso_max), .min = 1, .max = OFFLOAD_SIZE_MAX},
    {"groMaxSize", CONFIG_UINT32, AT(sizes.gro_max), .min = 1, .max = OFFLOAD_SIZE_MAX},
    {"gsoIPv4MaxSize", CONFIG_UINT32, AT(sizes.gso_ipv4_max), .min = 1, .max = OFFLOAD_SIZE_MAX},
    {"groIPv4MaxSize", CONFIG_UINT32, AT(sizes.gro_ipv4_max), .min = 1, .max = OFFLOAD_SIZE_MAX},
    {"disableEbpfPrograms", CONFIG_BOOL, AT(disable_ebpf)},
    {"forwarding", CONFIG_BOOL, AT(forwarding)},
    {"arpIgnore", CONFIG_INT8, AT(arp_ignore), .choices = " 0 1 2 3 8 "},
    {"arpAnnounce", CONFIG_INT8, AT(arp_announce), .min = 0, .max = 2},
    {"vrf", CONFIG_OBJECT, .members = &vrf_members},
};
const size_t config_interface_fields_n = ELEMENTS(config_interface_fields);
static const struct config_members interface_members = MEMBERS(config_interface_fields, check_interface);

static const struct config_field route_fields[] = {
    {"destination", CONFIG_PREFIX, IN(route, destination), .required = true},
    {"gateway", CONFIG_ADDRESS, IN(route, gateway), .empty_ok = true},
    {"source", CONFIG_ADDRESS, IN(route, source), .empty_ok = true},
    {"scope", CONFIG_UINT8, IN(route, scope), .choices = " 0 253 "},
    {"table", CONFIG_UINT32, IN(route, table), .min = 0, .max = UINT32_MAX},
};
static const struct config_members route_members = MEMBERS(route_fields, check_route);

static const struct config_field rule_fields[] = {
    {"priority", CONFIG_UINT32, IN(rule, priority), .min = 0, .max = PRIORITY_MAX},
    {"source", CONFIG_PREFIX, IN(rule, source), .empty_ok = true},
    {"destination", CONFIG_PREFIX, IN(rule, destination), .empty_ok = true},
    {"table", CONFIG_UINT32, IN(rule, table), .min = 0, .max = UINT32_MAX},
};
static const struct config_members rule_members = MEMBERS(rule_fields, check_rule);

static const struct config_field neighbour_fields[] = {
    {"destination", CONFIG_ADDRESS, IN(neighbour, destination), .required = true},
    {"hardwareAddr", CONFIG_MAC, IN(neighbour, mac), .required = true},
};
static const struct config_members neighbour_members = MEMBERS(neighbour_fields, NULL);

static const struct config_field ethtool_fields[] = {
    {"features", CONFIG_SWITCHES, LIST(features, n_features, struct ethtool_switch)},
    {"privateFlags", CONFIG_SWITCHES, LIST(private_flags, n_private_flags, struct ethtool_switch)},
};
static const struct config_members ethtool_members = MEMBERS(ethtool_fields, NULL);

static const struct config_field document_fields[] = {
    {"profile", CONFIG_TEXT, AT(profile)},
    {"interface", CONFIG_OBJECT, .members = &interface_members},
    {"routes", CONFIG_OBJECTS, LIST(routes, n_routes, struct route), .members = &route_members},
    {"rules", CONFIG_OBJECTS, LIST(rules, n_rules, struct rule), .members = &rule_members},
    {"ethtool", CONFIG_OBJECT, .members = &ethtool_members},
    {"neighbors", CONFIG_OBJECTS, LIST(neighbours, n_neighbours, struct neighbour), .members = &neighbour_members},
};
static const struct config_members document_members = MEMBERS(document_fields, check_document);

int network_config_parse(const struct value *document, struct network_config *ret, struct error *e)
{
	struct parser p = {0};
	struct network_config c;
	network_config_init(&c);
	if (document->type != VALUE_NULL && has_type(&p, NULL, document, VALUE_OBJECT))
		take_members(&p, &document_members, document, &c);
	if (p.no_memory || p.faults) {
		network_config_free(&c);
		if (p.no_memory)
			return error_set(e, -ENOMEM, "out of memory");
		if (e)
			*e = p.error;
		return -EINVAL;
	}
	*ret = c;
	return 0;
}
