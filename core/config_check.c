/* SPDX-License-Identifier: Apache-2.0 */
/* What holds between values of a configuration, what a device without a netdev refuses, and what this build can carry out. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "core/config_faults.h"
#include "core/config_schema.h"

enum { IPV6_MTU_MIN = 1280 /* below it the kernel takes IPv6 off a link */ };

void config_check_interface(struct faults *f, const void *object)
{
	const struct network_config *c = object;
	size_t n6 = 0;
	for (size_t i = 0; i < c->n_addresses; i++)
		n6 += c->addresses[i].prefix.address.family == IP_V6;
	if (c->dhcp == 1 && c->n_addresses)
		fault(f, "dhcp", "true, together with %zu configured addresses", c->n_addresses);
	if (c->dhcp6 == 1 && n6)
		fault(f, "dhcp6", "true, together with %zu configured IPv6 addresses", n6);
	if (c->mtu && c->mtu < IPV6_MTU_MIN && (n6 || c->dhcp6 == 1))
		fault(f, "mtu", "%" PRIu32 " is too small for IPv6, which needs %d", c->mtu, IPV6_MTU_MIN);
	if (c->vrf_name[0] && strcmp(c->vrf_name, c->ifname) == 0)
		fault(f, "vrf.name", "%s is the name of the interface itself", show_string(c->vrf_name, "\"").text);
}

void config_check_vf(struct faults *f, const void *object)
{
	const struct vf_config *vf = &((const struct network_config *)object)->vf;
	if (vf->has_qos && !vf->has_vlan)
		fault(f, "vlanQoS", "without a vlan");
	if (vf->vlan_protocol && !vf->has_vlan)
		fault(f, "vlanProtocol", "without a vlan");
	if (vf->has_min_rate && vf->has_max_rate && vf->max_rate && vf->min_rate > vf->max_rate)
		fault(f, "minTxRate", "%" PRIu32 " is above maxTxRate %" PRIu32, vf->min_rate, vf->max_rate);
}

static bool settings_given(const struct ethtool_settings *s, enum ethtool_setting which)
{
	return s->given & 1u << which;
}

/* As the kernel has it (ethnl_set_channels): something must receive, and something must send. */
void config_check_channels(struct faults *f, const void *object)
{
	const struct ethtool_settings *s = &((const struct network_config *)object)->ethtool;
	bool rx = settings_given(s, CHANNELS_RX) && s->v[CHANNELS_RX], tx = settings_given(s, CHANNELS_TX) && s->v[CHANNELS_TX];
	if (settings_given(s, CHANNELS_COMBINED) && !s->v[CHANNELS_COMBINED] && !(rx && tx))
		fault(f, "combined", "0 leaves none; only together with rx and tx of their own");
}

static bool families_differ(uint8_t a, uint8_t b)
{
	return a != IP_NONE && b != IP_NONE && a != b;
}

static void check_family(struct faults *f, const char *key, const struct ip_address *a, const struct ip_prefix *destination)
{
	if (families_differ(a->family, destination->address.family))
		fault(f, key, "%s is of another family than the destination %s", show_address(a).text, show_prefix(destination).text);
}

static void check_hops(struct faults *f, const struct route *r)
{
	if (r->gateway.family != IP_NONE)
		fault(f, "nextHops", "together with gateway %s", show_address(&r->gateway).text);
	if (r->flags)
		fault(f, "onlink", "is for gateway; nextHops have their own");
	size_t key = path_enter(f, "nextHops");
	for (size_t i = 0; i < r->n_hops; i++) {
		size_t at = path_enter_index(f, i);
		check_family(f, "gateway", &r->hops[i].gateway, &r->destination);
		for (size_t k = 0; k < i; k++)
			if (ip_address_equal(&r->hops[i].gateway, &r->hops[k].gateway))
				fault(f, "gateway", "%s is that of nextHops[%zu] already", show_address(&r->hops[i].gateway).text, k);
		path_leave(f, at);
	}
	path_leave(f, key);
}

void config_check_route(struct faults *f, const void *object)
{
	const struct route *r = object;
	bool has_gateway = r->gateway.family != IP_NONE || r->n_hops;
	check_family(f, "gateway", &r->gateway, &r->destination);
	check_family(f, "source", &r->source, &r->destination);
	if (!has_gateway && r->scope != CONFIG_SCOPE_LINK)
		fault(f, "gateway", "is missing; only a route with scope %d or nextHops has none", CONFIG_SCOPE_LINK);
	/* The kernel has a scope for IPv4 alone, and there it says that the destination is on the link. */
	if (has_gateway && r->scope == CONFIG_SCOPE_LINK && r->destination.address.family == IP_V4)
		fault(f, "scope", "%d is for a route without gateway", CONFIG_SCOPE_LINK);
	if (r->flags && !has_gateway)
		fault(f, "onlink", "true, without a gateway");
	if (r->n_hops)
		check_hops(f, r);
}

void config_check_rule(struct faults *f, const void *object)
{
	const struct rule *r = object;
	if (families_differ(r->source.address.family, r->destination.address.family))
		fault(f, NULL, "source %s and destination %s are of different families", show_prefix(&r->source).text,
		      show_prefix(&r->destination).text);
	if (families_differ(r->family, r->source.address.family))
		fault(f, "family", "\"ipv%d\" is not that of the source %s", r->family, show_prefix(&r->source).text);
	if (families_differ(r->family, r->destination.address.family))
		fault(f, "family", "\"ipv%d\" is not that of the destination %s", r->family, show_prefix(&r->destination).text);
	if (r->mask && !r->has_mark)
		fault(f, "fwmask", "without a fwmark");
}

void config_check_document(struct faults *f, const void *object)
{
	const struct network_config *c = object;
	if (c->vrf_name[0] && c->n_rules)
		fault(f, "rules", "%zu rules, together with interface.vrf %s, which brings its own", c->n_rules,
		      show_string(c->vrf_name, "\"").text);
}

/* ---- the configuration as a whole ------------------------------------------------------------------------------------------------ */

static void check_members(struct faults *f, const struct config_members *members, void *object)
{
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *field = &members->fields[i];
		if (!field->members)
			continue;
		size_t key = path_enter(f, field->key), n = 1;
		bool is_list = config_field_is_list(field);
		char *at = is_list ? config_field_list(field, object, &n) : object;
		for (size_t k = 0; k < n; k++) {
			size_t index = is_list ? path_enter_index(f, k) : strlen(f->path);
			check_members(f, field->members, at + k * field->size);
			path_leave(f, index);
		}
		path_leave(f, key);
	}
	if (members->check)
		members->check(f, object);
}

int network_config_check(const struct network_config *c, struct error *e)
{
	struct faults f = {0};
	struct network_config view = *c;
	check_members(&f, &config_document, &view);
	return f.n ? error_set(e, -EINVAL, "%s", f.error.text) : 0;
}

static void refuse_given(struct faults *f, const struct config_members *members, const struct network_config *c)
{
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *field = &members->fields[i];
		if (!field->any_device && config_field_given(field, c))
			fault(f, field->key, "cannot be set: the device has no network interface");
		else if (field->type == CONFIG_OBJECT) {
			size_t at = path_enter(f, field->key);
			refuse_given(f, field->members, c);
			path_leave(f, at);
		}
	}
}

int network_config_check_without_netdev(const struct network_config *c, struct error *e)
{
	struct faults f = {0};
	refuse_given(&f, &config_document, c);
	return f.n ? error_set(e, -EINVAL, "%s", f.error.text) : 0;
}

bool network_config_has_ethtool(const struct network_config *c)
{
	return c->n_features || c->n_private_flags || c->ethtool.given;
}

bool network_config_has_vf(const struct network_config *c)
{
	const struct vf_config *vf = &c->vf;
	return vf->has_vlan || vf->has_spoofchk || vf->has_trust || vf->has_min_rate || vf->has_max_rate;
}

int network_config_check_supported(const struct network_config *c, struct error *e)
{
	if (c->profile[0])
		return error_set(e, -EINVAL, "profile: %s is not supported by this version", show_string(c->profile, "\"").text);
	return 0;
}
