/* SPDX-License-Identifier: Apache-2.0 */
/* The schema of the opaque configuration as a table, one row for each key that a person can write: where it goes, what it may be, for which
 * devices, and one line on what it is for. Documents are parsed by it, merged by it, refused by it for devices without a netdev, and the
 * reference page and the admission policy are printed from it. The rows are in config_schema.c.
 *
 * A row tells what can be said of its value alone. What holds between values is in the `check` of the object that has them all
 * (config_check.c), which looks at a struct rather than at a document, so that it serves merged configurations as well. */
#pragma once

#include "core/base/buf.h"
#include "core/config.h"

enum {
	CONFIG_LIST_MAX = 256,   /* addresses, routes, rules, neighbours: each, in a document and merged */
	CONFIG_TABLE_MAIN = 254, /* RT_TABLE_MAIN */
	CONFIG_SCOPE_LINK = 253, /* RT_SCOPE_LINK */
};

enum config_type {
	/* Scalars. In brackets: what stands for "not given", unless `told` says it. */
	CONFIG_BOOL,    /* int8_t [-1] */
	CONFIG_FLAG,    /* `bits` of an uint8_t [clear], which false means, too */
	CONFIG_INT8,    /* int8_t [-1] */
	CONFIG_UINT8,   /* uint8_t [0] */
	CONFIG_UINT32,  /* uint32_t [0] */
	CONFIG_MARK,    /* uint32_t [0], also written as "0x1f" */
	CONFIG_FAMILY,  /* uint8_t, enum ip_family [IP_NONE]: "ipv4" or "ipv6" */
	CONFIG_TAG,     /* uint32_t, ETH_P_* [0]: "802.1q" or "802.1ad" */
	CONFIG_IFNAME,  /* char[IFNAME_SIZE] [""] */
	CONFIG_TEXT,    /* char[ATTRIBUTE_TEXT_SIZE] [""] */
	CONFIG_MAC,     /* struct mac [length 0] */
	CONFIG_ADDRESS, /* struct ip_address [IP_NONE] */
	CONFIG_PREFIX,  /* struct ip_prefix [IP_NONE] */
	CONFIG_SETTING, /* number `setting` of a struct ethtool_settings [its bit in `given` is clear] */
	CONFIG_SWITCH,  /* the same as a boolean */
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
	const char *doc; /* one line of Markdown */
	size_t offset;   /* of the value, of the list's pointer, or of the list itself (in_place) */
	size_t count;    /* lists: offset of the number of elements */
	size_t size;     /* lists: of an element */
	bool in_place;   /* lists: an array within the struct, of `max` elements */
	bool required;   /* absent is a fault */
	bool empty_ok;   /* "" means absent */
	bool station;    /* MAC of 6 bytes: neither a group's nor zero */
	bool host;       /* prefixes: the address is one that an interface can have */
	bool any_device; /* also for a device without a netdev; else refused for it, an object as a whole */
	bool ours;       /* beyond DRANET */
	bool told;       /* the bool at `told_at` says whether it was given */
	size_t told_at;
	uint8_t bits;                 /* FLAG */
	enum ethtool_setting setting; /* SETTING, SWITCH */
	int64_t min, max;             /* of a number; lists: of elements, none being the same as absent */
	const char *choices;          /* integers: instead of a range, " 0 1 2 3 8 " */
	const char *excluded;         /* integers: of the range, " 253 254 255 " */
	const struct config_members *members;
	/* Lists: 0 when one element takes the other's place, else their order; NULL = all are kept. */
	int (*order)(const void *a, const void *b);
};

struct faults;

struct config_members {
	const struct config_field *fields;
	size_t n;
	const char *rules;                                        /* what `check` demands, as Markdown for the reference page */
	void (*complete)(void *object);                           /* what follows from what was given */
	void (*check)(struct faults *faults, const void *object); /* rules between values */
	bool check_good;                                          /* only objects without faults, because it looks for what is missing */
};

/* The document, from which all others are reached. */
extern const struct config_members config_document;

/* Whether it holds something; `object` is the struct the offset is for. */
bool config_field_given(const struct config_field *f, const void *object);
size_t config_field_size(const struct config_field *f);  /* of a scalar; 0 for containers */
bool config_field_is_list(const struct config_field *f); /* with `count` and `size` */
/* Elements of a list, and how many there are. */
void *config_field_list(const struct config_field *f, void *object, size_t *n);

/* The known key that `key` was probably meant to be: one of `members`, or the path of one elsewhere (then `*elsewhere`), into `to`. */
bool config_key_nearest(const struct config_members *members, const char *key, char *to, size_t size, bool *elsewhere);

/* All of it as a Markdown page: packaging/config-reference.md. */
void config_reference_print(struct buf *ret);

/* The table that a VRF of this name gets when none is configured. */
uint32_t config_vrf_table(const char *name);
/* Whether two routes lead to the same network, in the same table. */
bool config_route_same(const struct route *a, const struct route *b);
