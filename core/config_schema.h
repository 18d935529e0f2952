/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the configuration share: the rows of the schema (config.c), by which documents are parsed, merged and shown. */
#pragma once

#include "core/config.h"

enum {
	CONFIG_LIST_MAX = 256,   /* addresses, routes, rules, neighbours: each, in a document and merged */
	CONFIG_TABLE_MAIN = 254, /* RT_TABLE_MAIN */
};

enum config_type {
	/* Scalars. In brackets: what stands for "not given". */
	CONFIG_BOOL,    /* int8_t [-1] */
	CONFIG_INT8,    /* int8_t [-1] */
	CONFIG_UINT8,   /* uint8_t [0] */
	CONFIG_UINT32,  /* uint32_t [0] */
	CONFIG_IFNAME,  /* char[IFNAME_SIZE] [""] */
	CONFIG_TEXT,    /* char[ATTRIBUTE_TEXT_SIZE] [""] */
	CONFIG_MAC,     /* struct mac [length 0] */
	CONFIG_ADDRESS, /* struct ip_address [IP_NONE] */
	CONFIG_PREFIX,  /* struct ip_prefix [IP_NONE] */
	/* Containers. */
	CONFIG_OBJECT,    /* `members`, into the same struct */
	CONFIG_OBJECTS,   /* array of `members`, into a list */
	CONFIG_ADDRESSES, /* array of prefixes, into a list of struct address */
	CONFIG_SWITCHES,  /* object of booleans, into a list of struct ethtool_switch */
};

struct config_members;

struct config_field {
	const char *key;
	enum config_type type;
	size_t offset; /* of the value, or of the list's pointer */
	size_t count;  /* lists: offset of the number of elements */
	size_t size;   /* lists: of an element */
	bool required; /* absent is a fault */
	bool empty_ok; /* "" means absent */
	int64_t min, max;
	const char *choices; /* instead of a range: " 0 1 2 3 8 " */
	const struct config_members *members;
};

extern const struct config_field config_interface_fields[];
extern const size_t config_interface_fields_n;

/* Whether a scalar holds something; `object` is the struct the offset is for. */
bool config_field_given(const struct config_field *f, const void *object);
size_t config_field_size(const struct config_field *f);

/* Whether one of two routes takes the other's place: destination network and table. */
bool config_route_same(const struct route *a, const struct route *b);
