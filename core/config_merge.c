/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration over another (dranet-behaviour §3.5), and what of a configuration this build can carry out. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/config.h"
#include "core/config_schema.h"

void network_config_init(struct network_config *c)
{
	*c = (struct network_config){.dhcp = -1, .dhcp6 = -1, .disable_ebpf = -1, .forwarding = -1, .arp_ignore = -1, .arp_announce = -1};
}

void network_config_free(struct network_config *c)
{
	free(c->addresses);
	free(c->routes);
	free(c->rules);
	free(c->neighbours);
	free(c->features);
	free(c->private_flags);
	network_config_init(c);
}

/* The size of a scalar; 0 for containers. */
size_t config_field_size(const struct config_field *f)
{
	switch (f->type) {
	case CONFIG_BOOL:
	case CONFIG_INT8:
	case CONFIG_UINT8:
		return 1;
	case CONFIG_UINT32:
		return sizeof(uint32_t);
	case CONFIG_IFNAME:
		return IFNAME_SIZE;
	case CONFIG_TEXT:
		return ATTRIBUTE_TEXT_SIZE;
	case CONFIG_MAC:
		return sizeof(struct mac);
	case CONFIG_ADDRESS:
		return sizeof(struct ip_address);
	case CONFIG_PREFIX:
		return sizeof(struct ip_prefix);
	case CONFIG_OBJECT:
	case CONFIG_OBJECTS:
	case CONFIG_ADDRESSES:
	case CONFIG_SWITCHES:
		break;
	}
	return 0;
}

bool config_field_given(const struct config_field *f, const void *object)
{
	const char *at = (const char *)object + f->offset;
	if (f->type == CONFIG_BOOL || f->type == CONFIG_INT8)
		return *(const int8_t *)at != -1;
	/* Everything else says so in its value (integers) or its first byte (texts, MAC length, address family). */
	if (f->type == CONFIG_UINT32)
		return *(const uint32_t *)(const void *)at != 0;
	return config_field_size(f) && *at != 0;
}

/* ---- lists ----------------------------------------------------------------------------------------------------------------------- */

static bool address_same(const void *a, const void *b)
{
	return ip_prefix_equal(&((const struct address *)a)->prefix, &((const struct address *)b)->prefix);
}

/* The kernel sees only the network of a destination, and table 0 as main. */
bool config_route_same(const struct route *a, const struct route *b)
{
	struct ip_prefix da = a->destination, db = b->destination;
	ip_prefix_mask(&da);
	ip_prefix_mask(&db);
	return ip_prefix_equal(&da, &db) && (a->table ? a->table : CONFIG_TABLE_MAIN) == (b->table ? b->table : CONFIG_TABLE_MAIN);
}

static bool route_same(const void *a, const void *b)
{
	return config_route_same(a, b);
}

static bool neighbour_same(const void *a, const void *b)
{
	return ip_address_equal(&((const struct neighbour *)a)->destination, &((const struct neighbour *)b)->destination);
}

static bool switch_same(const void *a, const void *b)
{
	return str_equal(((const struct ethtool_switch *)a)->name, ((const struct ethtool_switch *)b)->name);
}

/* `over` behind `base`; of elements that are the same only the last stays. */
static int list_join(void **base, size_t *n_base, const void *over, size_t n_over, size_t size, bool (*same)(const void *, const void *))
{
	size_t n = *n_base + n_over, kept = 0;
	char *joined = n ? calloc(n, size) : NULL;
	if (n && !joined)
		return -ENOMEM;
	if (joined && *n_base)
		memcpy(joined, *base, *n_base * size);
	if (joined && n_over)
		memcpy(joined + *n_base * size, over, n_over * size);
	for (size_t i = 0; i < n; i++) {
		bool replaced = false;
		for (size_t k = i + 1; same && k < n && !replaced; k++)
			replaced = same(joined + i * size, joined + k * size);
		if (!replaced)
			memmove(joined + kept++ * size, joined + i * size, size);
	}
	if (kept > CONFIG_LIST_MAX) {
		free(joined);
		return -E2BIG;
	}
	free(*base);
	*base = joined;
	*n_base = kept;
	return 0;
}

#define JOIN(base, over, list, n, same)                                                                                                    \
	__extension__({                                                                                                                    \
		void *list_ = (base)->list;                                                                                                \
		int rc_ = list_join(&list_, &(base)->n, (over)->list, (over)->n, sizeof(*(base)->list), same);                             \
		(base)->list = list_;                                                                                                      \
		rc_;                                                                                                                       \
	})

int network_config_merge(struct network_config *base, const struct network_config *over)
{
	int rc = JOIN(base, over, addresses, n_addresses, address_same);
	if (!rc)
		rc = JOIN(base, over, routes, n_routes, route_same);
	if (!rc)
		rc = JOIN(base, over, rules, n_rules, NULL);
	if (!rc)
		rc = JOIN(base, over, neighbours, n_neighbours, neighbour_same);
	if (!rc)
		rc = JOIN(base, over, features, n_features, switch_same);
	if (!rc)
		rc = JOIN(base, over, private_flags, n_private_flags, switch_same);
	if (rc)
		return rc;

	for (size_t i = 0; i < config_interface_fields_n; i++) {
		const struct config_field *f = &config_interface_fields[i];
		if (config_field_given(f, over))
			memcpy((char *)base + f->offset, (const char *)over + f->offset, config_field_size(f));
	}
	if (over->vrf_name[0]) {
		STR_COPY(base->vrf_name, over->vrf_name);
		base->vrf_table = over->vrf_table;
	}
	if (over->profile[0])
		STR_COPY(base->profile, over->profile);
	base->addresses_given |= over->addresses_given;
	for (size_t i = 0; i < ETHTOOL_SETTINGS; i++)
		if (over->ethtool.given & 1u << i)
			base->ethtool.v[i] = over->ethtool.v[i];
	base->ethtool.given |= over->ethtool.given;
	return 0;
}

bool network_config_has_ethtool(const struct network_config *c)
{
	return c->n_features || c->n_private_flags || c->ethtool.given;
}

int network_config_check_supported(const struct network_config *c, struct error *e)
{
	struct error faults = {0};
	static const char reason[] = "is not supported by this version";
	if (c->profile[0])
		error_append(&faults, -EINVAL, "profile: \"%s\" %s", c->profile, reason);
	if (c->dhcp == 1)
		error_append(&faults, -EINVAL, "interface.dhcp: true %s", reason);
	if (c->disable_ebpf == 1)
		error_append(&faults, -EINVAL, "interface.disableEbpfPrograms: true %s", reason);
	if (c->vrf_name[0])
		error_append(&faults, -EINVAL, "interface.vrf: \"%s\" %s", c->vrf_name, reason);
	if (network_config_has_ethtool(c))
		error_append(&faults, -EINVAL, "ethtool: setting features and private flags %s", reason);
	return faults.code ? error_set(e, faults.code, "%s", faults.text) : 0;
}
