/* SPDX-License-Identifier: Apache-2.0 */
/* The known key that somebody meant who wrote an unknown one. */
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/config_schema.h"

enum { KEY_MAX = 24 /* bytes of a key that can be a slip of a known one: the longest of those has 19 */ };

/* What people call things elsewhere: ip, Kubernetes, DRANET's own documentation. */
static const struct {
	const char *wrong, *right;
} slips[] = {
    {"ipaddress", "destination"},
    {"ip", "destination"},
    {"dst", "destination"},
    {"to", "destination"},
    {"ip", "addresses"},
    {"ips", "addresses"},
    {"ipaddresses", "addresses"},
    {"address", "addresses"},
    {"src", "source"},
    {"from", "source"},
    {"gw", "gateway"},
    {"via", "gateway"},
    {"nexthop", "gateway"},
    {"multipath", "nextHops"},
    {"mac", "hardwareAddr"},
    {"macaddress", "hardwareAddr"},
    {"lladdr", "hardwareAddr"},
    {"prio", "priority"},
    {"pref", "priority"},
    {"preference", "priority"},
    {"mark", "fwmark"},
    {"mask", "fwmask"},
    {"ifname", "name"},
    {"interfacename", "name"},
    {"dhcpv4", "dhcp"},
    {"dhcpv6", "dhcp6"},
    {"flowcontrol", "pause"},
    {"queues", "channels"},
    {"qos", "vlanQoS"},
    {"vlanid", "vlan"},
    {"spoof", "spoofCheck"},
    {"coalescing", "coalesce"},
    {"offloads", "features"},
    {"hwaddr", "hardwareAddr"},
    {"forward", "forwarding"},
    {"lookup", "table"},
    {"gsov4maxsize", "gsoIPv4MaxSize"},
    {"grov4maxsize", "groIPv4MaxSize"},
};

static const char *key_of_slip(const struct config_members *members, const char *key)
{
	for (size_t s = 0; s < ELEMENTS(slips); s++) {
		if (strlen(key) != strlen(slips[s].wrong) || str_distance(key, slips[s].wrong) != 0)
			continue;
		for (size_t i = 0; i < members->n; i++)
			if (str_equal(members->fields[i].key, slips[s].right))
				return slips[s].right;
	}
	return NULL;
}

static const char *key_near(const struct config_members *members, const char *key)
{
	const char *nearest = NULL;
	size_t best = 1 + strlen(key) / 3; /* a third of the characters may be wrong */
	for (size_t i = 0; i < members->n; i++) {
		size_t d = str_distance(key, members->fields[i].key);
		if (d < best) {
			best = d;
			nearest = members->fields[i].key;
		}
	}
	return nearest;
}

/* The path of a key that is spelt right, and stands in the wrong place. */
static bool key_elsewhere(const struct config_members *members, const char *key, const char *path, char *to, size_t size)
{
	char below[64];
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *f = &members->fields[i];
		if (str_equal(f->key, key)) {
			snprintf(to, size, "%s%s", path, key);
			return true;
		}
	}
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *f = &members->fields[i];
		snprintf(below, sizeof(below), "%s%s%s", path, f->key, f->type == CONFIG_OBJECTS ? "[]." : ".");
		if (f->members && key_elsewhere(f->members, key, below, to, size))
			return true;
	}
	return false;
}

bool config_key_nearest(const struct config_members *members, const char *key, char *to, size_t size, bool *elsewhere)
{
	*elsewhere = false;
	if (strlen(key) > KEY_MAX)
		return false;
	const char *near = key_of_slip(members, key);
	if (!near)
		near = key_near(members, key);
	if (near) {
		str_copy(to, size, near);
		return true;
	}
	return *elsewhere = key_elsewhere(&config_document, key, "", to, size);
}
