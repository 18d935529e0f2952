/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/states.h"
#include "daemon/record.h"

enum member_type { TEXT, BOOL, I8, U8, I32, U32, U64, MAC, ADDRESS, PREFIX, STATE, STRUCT, POINTER, LIST, ARRAY };
enum text_rule {
	ANY_TEXT,
	NAME_TEXT, /* no '/': it names one file or object */
	UID_TEXT,  /* and printable, not empty */
};

struct shape;
struct member {
	const char *name;
	enum member_type type;
	size_t offset;
	size_t size;               /* TEXT: of the array */
	enum text_rule rule;       /* TEXT */
	const struct shape *shape; /* STRUCT, POINTER (may be null), LIST (allocated), ARRAY (in place) */
	size_t count_offset;       /* LIST, ARRAY */
	size_t max;
};
struct shape {
	size_t size;
	const struct member *members;
	size_t n;
};

#define SIZE_OF(s, m) sizeof(((struct s *)NULL)->m)
#define M(s, t, m)                                                                                                                         \
	{                                                                                                                                  \
		.name = #m, .type = (t), .offset = offsetof(struct s, m)                                                                   \
	}
#define M_TEXT(s, m, r)                                                                                                                    \
	{                                                                                                                                  \
		.name = #m, .type = TEXT, .offset = offsetof(struct s, m), .size = SIZE_OF(s, m), .rule = (r)                              \
	}
#define M_STRUCT(s, m, sh)                                                                                                                 \
	{                                                                                                                                  \
		.name = #m, .type = STRUCT, .offset = offsetof(struct s, m), .shape = &(sh)                                                \
	}
#define M_LIST(s, m, count, sh)                                                                                                            \
	{                                                                                                                                  \
		.name = #m, .type = LIST, .offset = offsetof(struct s, m), .shape = &(sh), .count_offset = offsetof(struct s, count),      \
		.max = RECORD_LIST_MAX                                                                                                     \
	}
#define SHAPE(name, s) static const struct shape name##_shape = {sizeof(struct s), name##_members, ELEMENTS(name##_members)}

static const struct member claim_ref_members[] = {
    M_TEXT(claim_ref, uid, UID_TEXT),
    M_TEXT(claim_ref, namespace_, NAME_TEXT),
    M_TEXT(claim_ref, name, NAME_TEXT),
};
SHAPE(claim_ref, claim_ref);

static const struct member pod_ref_members[] = {
    M_TEXT(pod_ref, uid, NAME_TEXT),
    M_TEXT(pod_ref, namespace_, NAME_TEXT),
    M_TEXT(pod_ref, name, NAME_TEXT),
};
SHAPE(pod_ref, pod_ref);

static const struct member sandbox_members[] = {
    M_TEXT(sandbox, id, NAME_TEXT),
    M_STRUCT(sandbox, pod, pod_ref_shape),
    M_TEXT(sandbox, netns, ANY_TEXT),
    M(sandbox, U32, pid),
};
SHAPE(sandbox, sandbox);

static const struct member prefix_members[] = {{.name = "prefix", .type = PREFIX, .offset = 0}};
SHAPE(prefix, ip_prefix);

static const struct member pod_state_members[] = {
    M_TEXT(pod_state, ifname, NAME_TEXT),
    M(pod_state, MAC, mac),
    {.name = "addresses",
     .type = ARRAY,
     .offset = offsetof(struct pod_state, addresses),
     .shape = &prefix_shape,
     .count_offset = offsetof(struct pod_state, n_addresses),
     .max = SIZE_OF(pod_state, addresses) / sizeof(struct ip_prefix)},
};
SHAPE(pod_state, pod_state);

static const struct member facts_members[] = {
    M_TEXT(device_facts, name, UID_TEXT),
    M(device_facts, I32, ifindex),
    M(device_facts, I32, master),
    M(device_facts, I32, lower),
    M(device_facts, U32, mtu),
    M(device_facts, MAC, mac),
    M(device_facts, MAC, permanent_mac),
    M_TEXT(device_facts, ifname, NAME_TEXT),
    M_TEXT(device_facts, encapsulation, ANY_TEXT),
    M_TEXT(device_facts, alias, ANY_TEXT),
    M_TEXT(device_facts, state, ANY_TEXT),
    M_TEXT(device_facts, type, ANY_TEXT),
    M_TEXT(device_facts, ipv4, ANY_TEXT),
    M_TEXT(device_facts, ipv6, ANY_TEXT),
    M_TEXT(device_facts, pci_address, NAME_TEXT),
    M_TEXT(device_facts, pci_vendor, ANY_TEXT),
    M_TEXT(device_facts, pci_device, ANY_TEXT),
    M_TEXT(device_facts, pci_subsystem, ANY_TEXT),
    M_TEXT(device_facts, pcie_root, ANY_TEXT),
    M_TEXT(device_facts, driver, ANY_TEXT),
    M_TEXT(device_facts, pf_ifname, NAME_TEXT),
    M(device_facts, U32, pf_mtu),
    M(device_facts, I32, numa_node),
    M(device_facts, I32, sriov_vfs),
    M_TEXT(device_facts, rdma_device, NAME_TEXT),
    M(device_facts, BOOL, up),
    M(device_facts, BOOL, loopback),
    M(device_facts, BOOL, is_virtual),
    M(device_facts, BOOL, sriov),
    M(device_facts, BOOL, is_vf),
    M(device_facts, BOOL, rdma),
    M(device_facts, BOOL, ebpf),
    M(device_facts, BOOL, hidden),
};
SHAPE(facts, device_facts);

static const struct member address_members[] = {
    M(address, PREFIX, prefix),          M(address, U32, flags),        M(address, U32, valid_lifetime),
    M(address, U32, preferred_lifetime), M(address, U8, scope),         M(address, ADDRESS, peer),
    M(address, ADDRESS, broadcast),      M(address, U32, route_metric), M_TEXT(address, label, ANY_TEXT),
};
SHAPE(address, address);

static const struct member route_members[] = {
    M(route, PREFIX, destination), M(route, ADDRESS, gateway), M(route, ADDRESS, source), M(route, U32, table), M(route, U32, metric),
    M(route, U8, scope),           M(route, U8, protocol),     M(route, U8, type),        M(route, U8, flags),
};
SHAPE(route, route);

static const struct member rule_members[] = {
    M(rule, BOOL, has_priority), M(rule, U32, priority), M(rule, PREFIX, source), M(rule, PREFIX, destination), M(rule, U32, table),
};
SHAPE(rule, rule);

static const struct member neighbour_members[] = {M(neighbour, ADDRESS, destination), M(neighbour, MAC, mac)};
SHAPE(neighbour, neighbour);

static const struct member sizes_members[] = {
    M(link_sizes, U32, gso_max),
    M(link_sizes, U32, gro_max),
    M(link_sizes, U32, gso_ipv4_max),
    M(link_sizes, U32, gro_ipv4_max),
};
SHAPE(sizes, link_sizes);

static const struct member config_members[] = {
    M_TEXT(network_config, ifname, NAME_TEXT),
    M(network_config, U32, mtu),
    M(network_config, MAC, mac),
    M_STRUCT(network_config, sizes, sizes_shape),
    M(network_config, I8, dhcp),
    M(network_config, I8, disable_ebpf),
    M(network_config, I8, forwarding),
    M(network_config, I8, arp_ignore),
    M(network_config, I8, arp_announce),
    M(network_config, BOOL, addresses_given),
    M_LIST(network_config, addresses, n_addresses, address_shape),
    M_LIST(network_config, routes, n_routes, route_shape),
    M_LIST(network_config, rules, n_rules, rule_shape),
    M_LIST(network_config, neighbours, n_neighbours, neighbour_shape),
    M_TEXT(network_config, vrf_name, NAME_TEXT),
    M(network_config, U32, vrf_table),
    M(network_config, BOOL, has_ethtool),
    M_TEXT(network_config, profile, ANY_TEXT),
};
SHAPE(config, network_config);

static const struct member host_members[] = {
    M(host_state, I32, ifindex),
    M_TEXT(host_state, ifname, NAME_TEXT),
    M_TEXT(host_state, type, ANY_TEXT),
    M(host_state, U32, mtu),
    M(host_state, U32, min_mtu),
    M(host_state, U32, max_mtu),
    M(host_state, MAC, mac),
    M(host_state, MAC, permanent_mac),
    M(host_state, BOOL, up),
    M(host_state, U32, txqlen),
    M_STRUCT(host_state, sizes, sizes_shape),
    M_LIST(host_state, addresses, n_addresses, address_shape),
    M_LIST(host_state, routes, n_routes, route_shape),
    M_LIST(host_state, neighbours, n_neighbours, neighbour_shape),
};
SHAPE(host, host_state);

static const struct member plan_members[] = {
    M_STRUCT(attach_plan, facts, facts_shape),
    M_STRUCT(attach_plan, host, host_shape),
    M_STRUCT(attach_plan, pod, config_shape),
};
SHAPE(plan, attach_plan);

static const struct member attachment_members[] = {
    M_TEXT(attachment_record, request, ANY_TEXT),
    M_TEXT(attachment_record, pool, ANY_TEXT),
    M_TEXT(attachment_record, share_id, NAME_TEXT),
    M(attachment_record, BOOL, admin_access),
    M_TEXT(attachment_record, device, UID_TEXT),
    M(attachment_record, STATE, state),
    {.name = "plan", .type = POINTER, .offset = offsetof(struct attachment_record, plan), .shape = &plan_shape},
    M_STRUCT(attachment_record, pod, pod_state_shape),
    M_TEXT(attachment_record, attached_in, NAME_TEXT),
};
SHAPE(attachment, attachment_record);

static const struct member record_members[] = {
    M_STRUCT(claim_record, ref, claim_ref_shape),
    M_STRUCT(claim_record, pod, pod_ref_shape),
    M_STRUCT(claim_record, sandbox, sandbox_shape),
    M(claim_record, U64, netns_inode),
    M(claim_record, BOOL, wants_pod),
    M(claim_record, BOOL, unprepared),
    {.name = "devices",
     .type = LIST,
     .offset = offsetof(struct claim_record, devices),
     .shape = &attachment_shape,
     .count_offset = offsetof(struct claim_record, n),
     .max = CLAIM_DEVICES_MAX},
};
SHAPE(record, claim_record);

/* A member that came or went in a header must come or go in its table, too. */
#define MEMBERS_FIT(s, bytes) static_assert(sizeof(void *) != 8 || sizeof(struct s) == (bytes), "the table of struct " #s " must follow it")
MEMBERS_FIT(claim_record, 1824);
MEMBERS_FIT(attachment_record, 968);
MEMBERS_FIT(sandbox, 1028);
MEMBERS_FIT(pod_state, 336);
MEMBERS_FIT(attach_plan, 1280);
MEMBERS_FIT(device_facts, 888);
MEMBERS_FIT(host_state, 160);
MEMBERS_FIT(network_config, 224);
MEMBERS_FIT(address, 88);
MEMBERS_FIT(route, 64);
MEMBERS_FIT(rule, 48);
MEMBERS_FIT(neighbour, 38);
MEMBERS_FIT(link_sizes, 16);

static void release_json(json_t **j)
{
	json_decref(*j);
}
#define _cleanup_json_ _cleanup_(release_json)

/* ---- writing --------------------------------------------------------------------------------------------------------------------- */

static json_t *encode_shape(const struct shape *shape, const void *from);

static json_t *encode_list(const struct member *m, const char *items, size_t n)
{
	_cleanup_json_ json_t *list = json_array();
	for (size_t i = 0; i < n && list; i++)
		if (json_array_append_new(list, encode_shape(m->shape, items + i * m->shape->size)) < 0)
			return NULL;
	return TAKE_PTR(list);
}

static json_t *encode_member(const struct member *m, const void *base)
{
	const void *at = (const char *)base + m->offset;
	const size_t *count = (const size_t *)(const void *)((const char *)base + m->count_offset);
	char text[MAC_TEXT_MAX > IP_TEXT_MAX ? MAC_TEXT_MAX : IP_TEXT_MAX] = "";
	switch (m->type) {
	case TEXT:
		return json_string(at);
	case BOOL:
		return json_boolean(*(const bool *)at);
	case I8:
		return json_integer(*(const int8_t *)at);
	case U8:
		return json_integer(*(const uint8_t *)at);
	case I32:
		return json_integer(*(const int32_t *)at);
	case U32:
		return json_integer(*(const uint32_t *)at);
	case U64:
		return *(const uint64_t *)at > INT64_MAX ? NULL : json_integer((json_int_t) * (const uint64_t *)at);
	case MAC:
		mac_format(at, text);
		return json_string(text);
	case ADDRESS:
		if (((const struct ip_address *)at)->family != IP_NONE)
			ip_address_format(at, text);
		return json_string(text);
	case PREFIX:
		if (((const struct ip_prefix *)at)->address.family != IP_NONE)
			ip_prefix_format(at, text);
		return json_string(text);
	case STATE:
		return json_string(device_state_name(*(const enum device_state *)at));
	case STRUCT:
		return encode_shape(m->shape, at);
	case POINTER:
		return *(const void *const *)at ? encode_shape(m->shape, *(const void *const *)at) : json_null();
	case LIST:
		return encode_list(m, *(const char *const *)at, *count);
	case ARRAY:
		return encode_list(m, at, *count);
	}
	return NULL;
}

static json_t *encode_shape(const struct shape *shape, const void *from)
{
	_cleanup_json_ json_t *object = json_object();
	for (size_t i = 0; i < shape->n && object; i++)
		if (json_object_set_new_nocheck(object, shape->members[i].name, encode_member(&shape->members[i], from)) < 0)
			return NULL;
	return TAKE_PTR(object);
}

int record_encode(const struct claim_record *r, char **ret, size_t *ret_len, struct error *e)
{
	_cleanup_json_ json_t *object = encode_shape(&record_shape, r);
	/* jansson's constructors refuse a text that is not UTF-8 and run out of memory with the same NULL. */
	if (!object || json_object_set_new(object, "format", json_integer(RECORD_FORMAT)) < 0)
		return error_set(e, -EILSEQ, "the record of claim %s cannot be written as JSON: a text in it is not UTF-8", r->ref.uid);
	char *text = json_dumps(object, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	if (!text)
		return error_set(e, -ENOMEM, "out of memory");
	*ret = text;
	*ret_len = strlen(text);
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static int decode_shape(const struct shape *shape, json_t *from, void *to, struct error *e);

static int decode_text(const struct member *m, json_t *from, char *to, struct error *e)
{
	const char *text = json_string_value(from);
	if (!text)
		return error_set(e, -EINVAL, "no text");
	if (strlen(text) >= m->size)
		return error_set(e, -EINVAL, "more than %zu bytes", m->size - 1);
	if (m->rule != ANY_TEXT && strchr(text, '/'))
		return error_set(e, -EINVAL, "'/' in a name");
	if (m->rule == UID_TEXT && !str_is_token(text))
		return error_set(e, -EINVAL, "empty, or not printable");
	memcpy(to, text, strlen(text) + 1);
	return 0;
}

static int decode_number(json_t *from, int64_t min, int64_t max, int64_t *ret, struct error *e)
{
	if (!json_is_integer(from))
		return error_set(e, -EINVAL, "no whole number");
	int64_t v = json_integer_value(from);
	if (v < min || v > max)
		return error_set(e, -EINVAL, "%" PRId64 " is out of range %" PRId64 "..%" PRId64, v, min, max);
	*ret = v;
	return 0;
}

static int decode_integer(const struct member *m, json_t *from, void *to, struct error *e)
{
	static const struct {
		int64_t min, max;
	} ranges[] = {
	    [I8] = {INT8_MIN, INT8_MAX}, [U8] = {0, UINT8_MAX},  [I32] = {INT32_MIN, INT32_MAX},
	    [U32] = {0, UINT32_MAX},     [U64] = {0, INT64_MAX},
	};
	int64_t v;
	int r = decode_number(from, ranges[m->type].min, ranges[m->type].max, &v, e);
	if (r < 0)
		return r;
	if (m->type == I8)
		*(int8_t *)to = (int8_t)v;
	else if (m->type == U8)
		*(uint8_t *)to = (uint8_t)v;
	else if (m->type == I32)
		*(int32_t *)to = (int32_t)v;
	else if (m->type == U32)
		*(uint32_t *)to = (uint32_t)v;
	else
		*(uint64_t *)to = (uint64_t)v;
	return 0;
}

static int decode_address(const struct member *m, json_t *from, void *to, struct error *e)
{
	const char *text = json_string_value(from);
	int r = !text                ? -EINVAL
	        : !*text             ? 0 /* not set */
	        : m->type == MAC     ? mac_parse(text, to)
	        : m->type == ADDRESS ? ip_address_parse(text, to)
	                             : ip_prefix_parse(text, to);
	return r < 0 ? error_set(e, -EINVAL, "no address") : 0;
}

static int decode_state(json_t *from, enum device_state *to, struct error *e)
{
	const char *text = json_string_value(from);
	for (int s = 0; text && s < DEVICE_STATE_MAX; s++)
		if (strcmp(text, device_state_name((enum device_state)s)) == 0) {
			*to = (enum device_state)s;
			return 0;
		}
	return error_set(e, -EINVAL, "no state");
}

/* The count grows with the items, so that what is half read can be freed. */
static int decode_items(const struct member *m, json_t *from, char *items, size_t *count, struct error *e)
{
	for (size_t i = 0; i < json_array_size(from); i++) {
		*count = i + 1;
		int r = decode_shape(m->shape, json_array_get(from, i), items + i * m->shape->size, e);
		if (r < 0) {
			error_prefix(e, "item %zu", i);
			return r;
		}
	}
	return 0;
}

static int decode_list(const struct member *m, json_t *from, void *to, size_t *count, struct error *e)
{
	if (!json_is_array(from))
		return error_set(e, -EINVAL, "no list");
	size_t n = json_array_size(from);
	if (n > m->max)
		return error_set(e, -EINVAL, "%zu items, more than %zu", n, m->max);
	if (n == 0)
		return 0;
	if (m->type == ARRAY)
		return decode_items(m, from, to, count, e);
	char *items = calloc(n, m->shape->size);
	if (!items)
		return error_set(e, -ENOMEM, "out of memory");
	memcpy(to, &items, sizeof(items));
	return decode_items(m, from, items, count, e);
}

/* The one pointer there is: a plan, born with the reference of the record that holds it. */
static int decode_plan(json_t *from, struct attach_plan **to, struct error *e)
{
	if (json_is_null(from))
		return 0;
	struct attach_plan *plan = calloc(1, sizeof(*plan));
	if (!plan)
		return error_set(e, -ENOMEM, "out of memory");
	plan->references = 1;
	*to = plan;
	return decode_shape(&plan_shape, from, plan, e);
}

static int decode_member(const struct member *m, json_t *from, void *base, struct error *e)
{
	void *at = (char *)base + m->offset;
	size_t *count = (size_t *)(void *)((char *)base + m->count_offset);
	int r = -EINVAL;
	switch (m->type) {
	case STRUCT:
		return decode_shape(m->shape, from, at, e);
	case POINTER:
		return decode_plan(from, at, e);
	case LIST:
	case ARRAY:
		return decode_list(m, from, at, count, e);
	case TEXT:
		r = decode_text(m, from, at, e);
		break;
	case BOOL:
		r = json_is_boolean(from) ? 0 : error_set(e, -EINVAL, "neither true nor false");
		*(bool *)at = json_is_true(from);
		break;
	case I8:
	case U8:
	case I32:
	case U32:
	case U64:
		r = decode_integer(m, from, at, e);
		break;
	case MAC:
	case ADDRESS:
	case PREFIX:
		r = decode_address(m, from, at, e);
		break;
	case STATE:
		r = decode_state(from, at, e);
		break;
	}
	return r;
}

/* Faults read "devices: item 0: plan: facts: mtu: …": each level puts itself before what is there. */
static int decode_shape(const struct shape *shape, json_t *from, void *to, struct error *e)
{
	if (!json_is_object(from))
		return error_set(e, -EINVAL, "no object");
	if (json_object_size(from) != shape->n)
		return error_set(e, -EINVAL, "%zu members where %zu belong", json_object_size(from), shape->n);
	for (size_t i = 0; i < shape->n; i++) {
		const struct member *m = &shape->members[i];
		json_t *value = json_object_get(from, m->name);
		int r = value ? decode_member(m, value, to, e) : error_set(e, -EINVAL, "missing");
		if (r < 0) {
			error_prefix(e, "%s", m->name);
			return r;
		}
	}
	return 0;
}

/* What the shapes cannot say. */
static int check_record(const struct claim_record *r, struct error *e)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct attachment_record *a = &r->devices[i];
		if (a->state != DEVICE_PREPARED && a->state != DEVICE_ATTACHED && a->state != DEVICE_RELEASED)
			return error_set(e, -EINVAL, "devices[%zu]: a prepared claim has no %s device", i, device_state_name(a->state));
		if (a->admin_access != !a->plan)
			return error_set(e, -EINVAL, "devices[%zu]: a device has a plan unless it is only observed", i);
		if (a->plan && strcmp(a->plan->facts.name, a->device) != 0)
			return error_set(e, -EINVAL, "devices[%zu]: the plan is for %s, not %s", i, a->plan->facts.name, a->device);
	}
	return 0;
}

int record_decode(const void *text, size_t len, struct claim_record *ret, struct error *e)
{
	json_error_t fault;
	int64_t format = 0;
	if (len > RECORD_TEXT_MAX)
		return error_set(e, -EINVAL, "%zu bytes, more than %d", len, RECORD_TEXT_MAX);
	_cleanup_json_ json_t *object = json_loadb(text ? text : "", len, JSON_REJECT_DUPLICATES, &fault);
	if (!object)
		return error_set(e, -EINVAL, "line %d: %s", fault.line, fault.text);
	int r = decode_number(json_object_get(object, "format"), RECORD_FORMAT, RECORD_FORMAT, &format, e);
	if (r < 0) {
		error_prefix(e, "format");
		return r;
	}
	json_object_del(object, "format");
	struct claim_record record = {0};
	r = decode_shape(&record_shape, object, &record, e);
	if (r == 0)
		r = check_record(&record, e);
	if (r < 0) {
		claim_record_free(&record);
		return r;
	}
	*ret = record;
	return 0;
}
