/* SPDX-License-Identifier: Apache-2.0 */
/* How the expressions are built. Each row becomes a string: empty when its value is good, else "path: what is wrong". An object is the list
 * of its rows' strings, without the empty ones, joined; objects within it stand in there as strings of the same kind. CEL has no local
 * variables, so a value is named by a macro over a list of it alone: [value].map(o1, …)[0]. The rules between values are looked at only
 * where every value by itself is good: then none of them can fail. */
#include "core/config_policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/config_faults.h"
#include "core/config_schema.h"

enum {
	PLACE_SIZE = 160,
	SHORT_LIST_MAX = 16, /* longer ones are walked by variables.indexes */
	TEXT_MAX = 1024,     /* of the message: the API server takes none of more than 5 KiB */
};

/* IPv4-mapped IPv6 addresses: DRANET takes them for IPv4, Kubernetes' functions for nothing. */
#define MAPPED "'^[0:]+[fF]{4}:([0-9.]+|[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4})(/[0-9]{1,3})?$'"
#define HEX "[0-9a-fA-F]"
#define PAIRS(separator) HEX "{2}(" separator HEX "{2}){5}((" separator HEX "{2}){2}((" separator HEX "{2}){12})?)?"
#define MAC "'^(" PAIRS(":") "|" PAIRS("-") "|" HEX "{4}([.]" HEX "{4}){2}([.]" HEX "{4}(([.]" HEX "{4}){6})?)?)$'"

/* In the expressions that stand here `@` is the value they are about. */

/* ---- rules between values -------------------------------------------------------------------------------------------------------- */

#define GIVEN(key) "has(@." key ") && @." key " != null"
#define TRUE(key) GIVEN(key) " && @." key
#define NAMED(key) GIVEN(key) " && @." key " != ''"
#define LIST(key) GIVEN(key) " && size(@." key ") > 0"
#define OBJECT(key) GIVEN(key) " && type(@." key ") == map"
#define V6(address) "(" address ".contains(':') && !" address ".matches(" MAPPED "))"
#define ANY_V6 LIST("addresses") " && @.addresses.exists(a, " V6("a") ")"

struct rule_row {
	const char *fault; /* true = there is one */
	const char *key, *text;
};

static const struct rule_row interface_rules[] = {
    {TRUE("dhcp") " && " LIST("addresses"), "dhcp", "true, together with configured addresses"},
    {TRUE("dhcp6") " && " ANY_V6, "dhcp6", "true, together with configured IPv6 addresses"},
    {GIVEN("mtu") " && @.mtu < 1280 && (" TRUE("dhcp6") " || " ANY_V6 ")", "mtu", "too small for IPv6, which needs 1280"},
    {GIVEN("vrf") " && " NAMED("name") " && @.vrf.name == @.name", "vrf.name", "the name of the interface itself"},
};
static const struct rule_row vf_rules[] = {
    {GIVEN("vlanQoS") " && !(" GIVEN("vlan") ")", "vlanQoS", "without a vlan"},
    {GIVEN("vlanProtocol") " && !(" GIVEN("vlan") ")", "vlanProtocol", "without a vlan"},
    {GIVEN("minTxRate") " && " GIVEN("maxTxRate") " && @.maxTxRate > 0 && @.minTxRate > @.maxTxRate", "minTxRate", "above maxTxRate"},
};
static const struct rule_row channel_rules[] = {
    {GIVEN("combined") " && @.combined == 0 && !(" GIVEN("rx") " && @.rx > 0 && " GIVEN("tx") " && @.tx > 0)", "combined",
     "0 leaves none; only together with rx and tx of their own"},
};
static const struct rule_row route_rules[] = {
    {NAMED("gateway") " && " V6("@.gateway") " != " V6("@.destination"), "gateway", "of another family than the destination"},
    {NAMED("source") " && " V6("@.source") " != " V6("@.destination"), "source", "of another family than the destination"},
    {"!(" NAMED("gateway") ") && !(" LIST("nextHops") ") && !(" GIVEN("scope") " && @.scope == 253)", "gateway",
     "is missing; only a route with scope 253 has none"},
    {"(" NAMED("gateway") " || " LIST("nextHops") ") && " GIVEN("scope") " && @.scope == 253 && !" V6("@.destination"), "scope",
     "253 is for a route without gateway"},
    {TRUE("onlink") " && !(" NAMED("gateway") ") && !(" LIST("nextHops") ")", "onlink", "true, without a gateway"},
    {LIST("nextHops") " && " NAMED("gateway"), "nextHops", "together with gateway"},
    {LIST("nextHops") " && " TRUE("onlink"), "onlink", "is for gateway; nextHops have their own"},
    {LIST("nextHops") " && @.nextHops.exists(h, " V6("h.gateway") " != " V6("@.destination") ")", "nextHops",
     "a gateway is of another family than the destination"},
    {LIST("nextHops") " && !@.nextHops.all(h, @.nextHops.exists_one(g, g.gateway == h.gateway))", "nextHops",
     "a gateway stands there twice"},
};
static const struct rule_row rule_rules[] = {
    {NAMED("source") " && " NAMED("destination") " && " V6("@.source") " != " V6("@.destination"), "source",
     "of another family than the destination"},
    {GIVEN("family") " && " NAMED("source") " && " V6("@.source") " != (@.family == 'ipv6')", "family", "not that of the source"},
    {GIVEN("family") " && " NAMED("destination") " && " V6("@.destination") " != (@.family == 'ipv6')", "family",
     "not that of the destination"},
    {GIVEN("fwmask") " && !(" GIVEN("fwmark") ")", "fwmask", "without a fwmark"},
};
/* Of the document only its own rows are known to be objects and lists. */
static const struct rule_row document_rules[] = {
    {OBJECT("interface") " && has(@.interface.vrf) && @.interface.vrf != null && type(@.interface.vrf) == map"
                         " && has(@.interface.vrf.name) && @.interface.vrf.name != null && @.interface.vrf.name != '' && " GIVEN(
			     "rules") " && type(@.rules) == list && size(@.rules) > 0",
     "rules", "together with interface.vrf, which brings its own"},
};

static const struct rules {
	void (*check)(struct faults *faults, const void *object);
	const struct rule_row *rows;
	size_t n;
} rules[] = {
    {config_check_interface, interface_rules, ELEMENTS(interface_rules)},
    {config_check_vf, vf_rules, ELEMENTS(vf_rules)},
    {config_check_channels, channel_rules, ELEMENTS(channel_rules)},
    {config_check_route, route_rules, ELEMENTS(route_rules)},
    {config_check_rule, rule_rules, ELEMENTS(rule_rules)},
    {config_check_document, document_rules, ELEMENTS(document_rules)},
};

static const struct rules *rules_of(const struct config_members *members)
{
	for (size_t i = 0; i < ELEMENTS(rules); i++)
		if (members->check == rules[i].check)
			return &rules[i];
	return NULL;
}

/* ---- pieces ---------------------------------------------------------------------------------------------------------------------- */

struct writer {
	struct buf *to;
	unsigned depth;         /* of objects: the macros' variables are o0, o1, …, and i0, i1, … for places in lists */
	char place[PLACE_SIZE]; /* as a CEL string that is still open: 'routes[' + string(i0) + '].gateway */
};

/* A value's path opened as a string; the caller goes on with what is wrong, and closes it. */
static void begin_text(struct writer *w, const char *key)
{
	buf_printf(w->to, "'%s%s%s", w->place, w->place[0] ? "." : "", key);
}

static void put_fault(struct writer *w, const char *key, const char *text)
{
	begin_text(w, key);
	buf_printf(w->to, ": %s'", text);
}

static void put_bad(struct writer *w, const char *key, const char *value, const char *text)
{
	begin_text(w, key);
	buf_printf(w->to, ": ' + string(%s) + ' %s'", value, text);
}

static void put_about(struct writer *w, const char *expression, const char *value)
{
	for (const char *c = expression; *c; c++)
		if (*c == '@')
			buf_puts(w->to, value);
		else
			buf_add(w->to, c, 1);
}

struct place {
	char text[PLACE_SIZE];
};

static struct place enter(struct writer *w, const char *key)
{
	struct place before;
	memcpy(before.text, w->place, sizeof(before.text));
	size_t at = strlen(w->place);
	snprintf(w->place + at, sizeof(w->place) - at, "%s%s", at ? "." : "", key);
	return before;
}

static struct place enter_index(struct writer *w, const char *key)
{
	struct place before = enter(w, key);
	size_t at = strlen(w->place);
	snprintf(w->place + at, sizeof(w->place) - at, "[' + string(i%u) + ']", w->depth);
	return before;
}

static void leave(struct writer *w, const struct place *before)
{
	memcpy(w->place, before->text, sizeof(w->place));
}

/* The numbers of a list's elements, as many as there are. */
static void put_indexes(struct writer *w, const char *list, int64_t max)
{
	if (max > SHORT_LIST_MAX) {
		buf_puts(w->to, "variables.indexes");
	} else {
		for (int64_t i = 0; i < max; i++)
			buf_printf(w->to, "%s%" PRId64, i ? ", " : "[", i);
		buf_puts(w->to, "]");
	}
	buf_printf(w->to, ".filter(i%u, i%u < size(%s))", w->depth, w->depth, list);
}

#define JOINED ".filter(s, s != '').join('; ')"

/* ---- scalars --------------------------------------------------------------------------------------------------------------------- */

/* What has to be false, and what is said otherwise. */
struct test {
	const char *bad, *text;
};

#define IFNAME(names)                                                                                                                      \
	"size(bytes(@)) > 15 || @ in [" names "] || !@.matches(r'^([-A-Za-z0-9_.]|[^\\x00-\\x7f])*$')", "is no name of an interface"
_Static_assert(IFNAME_SIZE == 16 && ATTRIBUTE_TEXT_SIZE == 65 && ETHTOOL_NAME_SIZE == 33, "the limits stand in expressions");

static const struct test ifname_test = {IFNAME("'.', '..'")}, ifname_required_test = {IFNAME("'.', '..', ''")};
static const struct test text_test = {"size(bytes(@)) > 64", "is longer than 64 bytes"};
static const struct test family_test = {"!(@ in ['ipv4', 'ipv6'])", "is neither ipv4 nor ipv6"};
static const struct test tag_test = {"!(@ in ['802.1q', '802.1ad'])", "is neither 802.1q nor 802.1ad"};
static const struct test address_test = {"!isIP(@) && !@.matches(" MAPPED ")", "is not an IP address"};
static const struct test prefix_test = {"!isCIDR(@) && !@.matches(" MAPPED ")", "is not an IP prefix"};
static const struct test host_test = {"isCIDR(@) && (cidr(@).ip().isUnspecified() || (cidr(@).ip().family() == 6 && "
                                      "(cidr(@).ip().isLoopback() || @.matches('^[fF]{2}" HEX "{2}:'))))",
                                      "is not an address that an interface can have"};
static const struct test mac_test = {"!@.matches(" MAC ")", "is not a hardware address"};
static const struct test station_test = {"size(@) in [14, 17] && (@.matches('^.[13579bBdDfF]') || @.matches('^[-:.0]+$'))",
                                         "is not the address of one station"};
static const struct test mark_test = {"!@.matches('^0[xX]" HEX "{1,8}$')",
                                      "is neither a number nor 0x with up to eight hexadecimal digits"};
static const struct test mark_zero_test = {"@.matches('^0[xX]0+$')", "is out of range"};

static void put_test(struct writer *w, const char *key, const char *value, const struct test *t)
{
	put_about(w, t->bad, value);
	buf_puts(w->to, " ? ");
	put_bad(w, key, value, t->text);
	buf_puts(w->to, " :\n  ");
}

/* " 0 1 2 3 8 " → [0, 1, 2, 3, 8] */
static void put_numbers(struct writer *w, const char *numbers)
{
	const char *before = "[";
	while (*(numbers += strspn(numbers, " "))) {
		int len = (int)strcspn(numbers, " ");
		buf_printf(w->to, "%s%.*s", before, len, numbers);
		before = ", ";
		numbers += len;
	}
	buf_puts(w->to, "]");
}

static void put_integer(struct writer *w, const struct config_field *f, const char *value)
{
	char range[64];
	snprintf(range, sizeof(range), "is out of range %" PRId64 "..%" PRId64, f->min, f->max);
	if (f->choices) {
		buf_printf(w->to, "!(%s in ", value);
		put_numbers(w, f->choices);
		buf_puts(w->to, ")");
	} else
		buf_printf(w->to, "%s < %" PRId64 " || %s > %" PRId64, value, f->min, value, f->max);
	buf_puts(w->to, " ? ");
	put_bad(w, f->key, value, f->choices ? "is none of the choices" : range);
	buf_puts(w->to, " :\n  ");
	if (f->excluded) {
		buf_printf(w->to, "%s in ", value);
		put_numbers(w, f->excluded);
		buf_puts(w->to, " ? ");
		put_bad(w, f->key, value, "has another use");
		buf_puts(w->to, " :\n  ");
	}
	buf_puts(w->to, "''");
}

static void put_string(struct writer *w, const struct config_field *f, const char *value)
{
	const struct test *t = f->type == CONFIG_IFNAME    ? f->required ? &ifname_required_test : &ifname_test
	                       : f->type == CONFIG_TEXT    ? &text_test
	                       : f->type == CONFIG_FAMILY  ? &family_test
	                       : f->type == CONFIG_TAG     ? &tag_test
	                       : f->type == CONFIG_ADDRESS ? &address_test
	                       : f->type == CONFIG_MAC     ? &mac_test
	                                                   : &prefix_test;
	put_test(w, f->key, value, t);
	if (f->station)
		put_test(w, f->key, value, &station_test);
	buf_puts(w->to, "''");
}

/* "type(v) != int ? 'mtu: expected an integer' : " */
static void put_type(struct writer *w, const char *key, const char *value, const char *type, const char *expected)
{
	buf_printf(w->to, "type(%s) != %s ? ", value, type);
	put_fault(w, key, expected);
	buf_puts(w->to, " :\n  ");
}

/* ---- containers ------------------------------------------------------------------------------------------------------------------ */

static void put_members(struct writer *w, const struct config_members *members);

/* The object `value`, named by a macro. */
static void put_object(struct writer *w, const struct config_members *members, const char *value)
{
	buf_printf(w->to, "[%s].map(o%u,\n", value, ++w->depth);
	put_members(w, members);
	buf_puts(w->to, ")[0]");
	w->depth--;
}

static void put_size(struct writer *w, const struct config_field *f, const char *value)
{
	char text[48];
	snprintf(text, sizeof(text), "more than %" PRId64 " entries", f->max);
	buf_printf(w->to, "size(%s) > %" PRId64 " ? ", value, f->max);
	put_fault(w, f->key, text);
	buf_puts(w->to, " :\n  ");
	if (f->min < 2)
		return;
	snprintf(text, sizeof(text), "fewer than %" PRId64 " entries", f->min);
	buf_printf(w->to, "size(%s) > 0 && size(%s) < %" PRId64 " ? ", value, value, f->min);
	put_fault(w, f->key, text);
	buf_puts(w->to, " :\n  ");
}

/* "type(v[i0]) != map ? 'routes[' + string(i0) + ']: expected an object' : " */
static void put_element_type(struct writer *w, const char *element, const char *type, const char *expected)
{
	buf_printf(w->to, "type(%s) != %s ? '%s: %s' :\n  ", element, type, w->place, expected);
}

static void put_element_test(struct writer *w, const char *element, const struct test *t)
{
	put_about(w, t->bad, element);
	buf_printf(w->to, " ? '%s: ' + string(%s) + ' %s' :\n  ", w->place, element, t->text);
}

static void put_list(struct writer *w, const struct config_field *f, const char *value)
{
	char element[PLACE_SIZE];
	snprintf(element, sizeof(element), "%s[i%u]", value, w->depth);
	put_size(w, f, value);
	put_indexes(w, value, f->max);
	buf_printf(w->to, ".map(i%u, ", w->depth);
	struct place before = enter_index(w, f->key);
	if (f->members) {
		put_element_type(w, element, "map", "expected an object");
		put_object(w, f->members, element);
	} else {
		put_element_type(w, element, "string", "expected a string");
		put_element_test(w, element, &prefix_test);
		if (f->host)
			put_element_test(w, element, &host_test);
		buf_puts(w->to, "''");
	}
	leave(w, &before);
	buf_puts(w->to, ")" JOINED);
}

static void put_switches(struct writer *w, const struct config_field *f, const char *value)
{
	put_size(w, f, value);
	buf_printf(w->to, "%s.filter(n, n == '' || size(bytes(n)) > 32 || type(%s[n]) != bool).map(n, ", value, value);
	begin_text(w, f->key);
	buf_puts(w->to, ".' + string(n) + ': expected a name of 1 to 32 bytes and a boolean').join('; ')");
}

/* ---- rows and objects ------------------------------------------------------------------------------------------------------------ */

static void put_value(struct writer *w, const struct config_field *f, const char *value)
{
	struct place before;
	switch (f->type) {
	case CONFIG_BOOL:
	case CONFIG_FLAG:
	case CONFIG_SWITCH:
		put_type(w, f->key, value, "bool", "expected a boolean");
		buf_puts(w->to, "''");
		break;
	case CONFIG_MARK:
		buf_printf(w->to, "type(%s) == string ? (", value);
		put_test(w, f->key, value, &mark_test);
		if (f->min > 0)
			put_test(w, f->key, value, &mark_zero_test);
		buf_puts(w->to, "'') : ");
		put_type(w, f->key, value, "int", "expected an integer");
		put_integer(w, f, value);
		break;
	case CONFIG_INT8:
	case CONFIG_UINT8:
	case CONFIG_UINT32:
	case CONFIG_SETTING:
		put_type(w, f->key, value, "int", "expected an integer");
		put_integer(w, f, value);
		break;
	case CONFIG_IFNAME:
	case CONFIG_TEXT:
	case CONFIG_FAMILY:
	case CONFIG_TAG:
	case CONFIG_MAC:
	case CONFIG_ADDRESS:
	case CONFIG_PREFIX:
		put_type(w, f->key, value, "string", "expected a string");
		put_string(w, f, value);
		break;
	case CONFIG_OBJECT:
		put_type(w, f->key, value, "map", "expected an object");
		before = enter(w, f->key);
		put_object(w, f->members, value);
		leave(w, &before);
		break;
	case CONFIG_SWITCHES:
		put_type(w, f->key, value, "map", "expected an object");
		put_switches(w, f, value);
		break;
	case CONFIG_OBJECTS:
	case CONFIG_ADDRESSES:
		put_type(w, f->key, value, "list", "expected an array");
		put_list(w, f, value);
		break;
	}
}

/* null is absent, as for Go's decoder. */
static void put_field(struct writer *w, const struct config_field *f)
{
	char value[PLACE_SIZE];
	snprintf(value, sizeof(value), "o%u.%s", w->depth, f->key);
	buf_printf(w->to, "!has(%s) || %s == null", value, value);
	if (f->empty_ok)
		buf_printf(w->to, " || %s == ''", value);
	buf_puts(w->to, " ? ");
	if (f->required)
		put_fault(w, f->key, "is missing");
	else
		buf_puts(w->to, "''");
	buf_puts(w->to, " :\n  ");
	put_value(w, f, value);
}

static void put_unknown(struct writer *w, const struct config_members *members)
{
	buf_printf(w->to, "o%u.filter(k, !(k in [", w->depth);
	for (size_t i = 0; i < members->n; i++)
		buf_printf(w->to, "%s'%s'", i ? ", " : "", members->fields[i].key);
	buf_printf(w->to, "])).map(k, '%s%s' + string(k) + ': unknown field').join('; ')", w->place, w->place[0] ? "." : "");
}

static void put_rules(struct writer *w, const struct rules *r)
{
	char object[16];
	snprintf(object, sizeof(object), "o%u", w->depth);
	for (size_t i = 0; i < r->n; i++) {
		buf_puts(w->to, i ? ",\n" : "");
		put_about(w, r->rows[i].fault, object);
		buf_puts(w->to, " ? ");
		put_fault(w, r->rows[i].key, r->rows[i].text);
		buf_puts(w->to, " : ''");
	}
}

static void put_members(struct writer *w, const struct config_members *members)
{
	const struct rules *r = rules_of(members);
	buf_puts(w->to, r ? "[[" : "[");
	put_unknown(w, members);
	for (size_t i = 0; i < members->n; i++) {
		buf_puts(w->to, ",\n");
		put_field(w, &members->fields[i]);
	}
	buf_puts(w->to, "]" JOINED);
	if (r) {
		buf_puts(w->to, "].map(t, t != '' ? t : [\n");
		put_rules(w, r);
		buf_puts(w->to, "]" JOINED ")[0]");
	}
}

/* ---- the page -------------------------------------------------------------------------------------------------------------------- */

static void put_lines(struct buf *to, const char *text, unsigned indent)
{
	while (*text) {
		int len = (int)strcspn(text, "\n");
		buf_printf(to, "%*s%.*s\n", (int)indent, "", len, text);
		text += len;
		text += *text == '\n';
	}
}

static void put_variable(struct buf *to, const char *name, const char *expression)
{
	buf_printf(to, "  - name: %s\n    expression: |-\n", name);
	put_lines(to, expression, 6);
}

/* One variable for each key of the document: the API server bounds the cost of each expression by itself. */
static void put_section(struct buf *to, const struct config_field *f)
{
	_cleanup_buf_ struct buf text = {0};
	struct writer w = {.to = &text};
	buf_puts(&text, "variables.documents.map(o0, type(o0) != map ? '' :\n");
	put_field(&w, f);
	buf_puts(&text, ")");
	put_variable(to, f->key, buf_text(&text));
}

static void put_document(struct buf *to)
{
	_cleanup_buf_ struct buf text = {0};
	struct writer w = {.to = &text};
	buf_puts(&text, "variables.documents.map(o0, type(o0) != map ? 'expected an object' : [\n");
	put_unknown(&w, &config_document);
	buf_puts(&text, ",\n");
	put_rules(&w, rules_of(&config_document));
	buf_puts(&text, "]" JOINED ")");
	put_variable(to, "document", buf_text(&text));
}

static void put_indexes_variable(struct buf *to)
{
	_cleanup_buf_ struct buf text = {0};
	for (int i = 0; i < CONFIG_LIST_MAX; i++)
		buf_printf(&text, "%s%d", !i ? "[" : i % 32 ? ", " : ",\n ", i);
	buf_puts(&text, "]");
	put_variable(to, "indexes", buf_text(&text));
}

static void put_faults(struct buf *to)
{
	_cleanup_buf_ struct buf text = {0};
	buf_puts(&text, "variables.indexes.filter(n, n < size(variables.ours)).map(n, [variables.document[n]");
	for (size_t i = 0; i < config_document.n; i++)
		buf_printf(&text, ", variables.%s[n]", config_document.fields[i].key);
	buf_puts(&text, "]" JOINED ")");
	put_variable(to, "faults", buf_text(&text));
}

static const char head[] =
    "# Made by dranetd --print-admission-policy from the schema of the configuration: do not edit.\n"
    "#\n"
    "# It refuses a ResourceClaim, ResourceClaimTemplate or DeviceClass whose parameters for this driver are wrong. The specs of claims\n"
    "# and templates cannot change, so updates of them (finalizers, labels) are let through, and so are those of a class whose spec\n"
    "# stays. What cannot be evaluated is let through, too: the driver looks at every configuration again before it acts on it.\n"
    "apiVersion: admissionregistration.k8s.io/v1\n"
    "kind: ValidatingAdmissionPolicy\n"
    "metadata:\n"
    "  name: parameters.%s\n"
    "spec:\n"
    "  failurePolicy: Ignore\n"
    "  matchConstraints:\n"
    "    resourceRules:\n"
    "    - apiGroups: [resource.k8s.io]\n"
    "      apiVersions: [v1, v1beta2, v1beta1]\n"
    "      operations: [CREATE]\n"
    "      resources: [resourceclaims, resourceclaimtemplates]\n"
    "    - apiGroups: [resource.k8s.io]\n"
    "      apiVersions: [v1, v1beta2, v1beta1]\n"
    "      operations: [CREATE, UPDATE]\n"
    "      resources: [deviceclasses]\n"
    "  matchConditions:\n"
    "  - name: spec-is-new\n"
    "    expression: oldObject == null || object.spec != oldObject.spec\n"
    "  variables:\n";

static const char tail[] = "  validations:\n"
			   "  - expression: variables.faults.all(s, s == '')\n"
			   "    reason: Invalid\n"
			   "    message: the parameters for driver %s are not valid\n"
			   "    messageExpression: |-\n"
			   "      [variables.indexes.filter(n, n < size(variables.ours) && variables.faults[n] != '').map(n,\n"
			   "        variables.place + '[' + string(variables.ours[n]) + '].opaque.parameters: ' + variables.faults[n]\n"
			   "      ).join('; ').replace('\\n', ' ').replace('\\r', ' ')].map(s,\n"
			   "        size(s) > %d ? s.substring(0, %d) + ' ...' : s)[0]\n"
			   "---\n"
			   "apiVersion: admissionregistration.k8s.io/v1\n"
			   "kind: ValidatingAdmissionPolicyBinding\n"
			   "metadata:\n"
			   "  name: parameters.%s\n"
			   "spec:\n"
			   "  policyName: parameters.%s\n"
			   "  validationActions: [Deny]\n";

void config_policy_print(const char *driver, struct buf *ret)
{
	_cleanup_buf_ struct buf ours = {0};
	buf_printf(ret, head, driver);
	put_indexes_variable(ret);
	put_variable(ret, "self", "dyn(object)");
	put_variable(ret, "place",
	             "has(variables.self.spec.spec) ? 'spec.spec.devices.config' :\n"
	             "has(variables.self.spec.devices) ? 'spec.devices.config' : 'spec.config'");
	put_variable(ret, "devices",
	             "has(variables.self.spec.spec) ?\n"
	             "  (has(variables.self.spec.spec.devices) ? variables.self.spec.spec.devices : variables.self.spec.spec) :\n"
	             "  (has(variables.self.spec.devices) ? variables.self.spec.devices : variables.self.spec)");
	put_variable(ret, "configs", "has(variables.devices.config) ? variables.devices.config : []");
	buf_printf(&ours,
	           "variables.indexes.filter(n, n < size(variables.configs) && [variables.configs[n]].all(c, has(c.opaque) &&\n"
	           "  c.opaque.driver == '%s' && has(c.opaque.parameters) && c.opaque.parameters != null))",
	           driver);
	put_variable(ret, "ours", buf_text(&ours));
	put_variable(ret, "documents", "variables.ours.map(n, dyn(variables.configs[n].opaque.parameters))");
	for (size_t i = 0; i < config_document.n; i++)
		put_section(ret, &config_document.fields[i]);
	put_document(ret);
	put_faults(ret);
	buf_printf(ret, tail, driver, TEXT_MAX, TEXT_MAX, driver, driver);
}
