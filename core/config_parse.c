/* SPDX-License-Identifier: Apache-2.0 */
/* A document into a configuration, along the rows of the schema. */
#include "core/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/str.h"
#include "core/config_scalar.h"

struct parser {
	struct faults faults;
	bool no_memory;
};

static void take_members(struct parser *p, const struct config_members *members, const struct value *v, void *object);

/* Room for the elements of an array or of a map; NULL when there are none, or when there is a fault. */
static void *list_begin(struct parser *p, const struct config_field *f, const struct value *v, char *object)
{
	if (!v->n)
		return NULL;
	if (v->n > (size_t)f->max || v->n < (size_t)f->min) {
		bool more = v->n > (size_t)f->max;
		fault(&p->faults, f->key, "%zu entries are %s than %d", v->n, more ? "more" : "fewer", (int)(more ? f->max : f->min));
		return NULL;
	}
	char *list = object + f->offset;
	if (!f->in_place) {
		list = calloc(v->n, f->size);
		p->no_memory |= !list;
		if (!list)
			return NULL;
		*(void **)(void *)(object + f->offset) = list;
	}
	*(size_t *)(void *)(object + f->count) = v->n;
	return list;
}

static void take_objects(struct parser *p, const struct config_field *f, const struct value *v, char *object)
{
	char *list = value_has_type(&p->faults, f->key, v, VALUE_ARRAY) ? list_begin(p, f, v, object) : NULL;
	size_t key = path_enter(&p->faults, f->key);
	for (size_t i = 0; list && i < v->n; i++) {
		size_t at = path_enter_index(&p->faults, i);
		if (value_has_type(&p->faults, NULL, &v->items[i], VALUE_OBJECT))
			take_members(p, f->members, &v->items[i], list + i * f->size);
		path_leave(&p->faults, at);
	}
	path_leave(&p->faults, key);
}

static void take_addresses(struct parser *p, const struct config_field *f, const struct value *v, char *object)
{
	struct address *list = value_has_type(&p->faults, f->key, v, VALUE_ARRAY) ? list_begin(p, f, v, object) : NULL;
	/* An empty list is none: then the host's move along, and are not to be taken for configured ones. */
	((struct network_config *)(void *)object)->addresses_given = list;
	size_t key = path_enter(&p->faults, f->key);
	for (size_t i = 0; list && i < v->n; i++) {
		size_t at = path_enter_index(&p->faults, i);
		list[i].valid_lifetime = list[i].preferred_lifetime = UINT32_MAX;
		config_take_prefix(&p->faults, f, NULL, &v->items[i], &list[i].prefix);
		path_leave(&p->faults, at);
	}
	path_leave(&p->faults, key);
}

static void take_switches(struct parser *p, const struct config_field *f, const struct value *v, char *object)
{
	struct ethtool_switch *list = value_has_type(&p->faults, f->key, v, VALUE_OBJECT) ? list_begin(p, f, v, object) : NULL;
	size_t at = path_enter(&p->faults, f->key);
	for (size_t i = 0; list && i < v->n; i++) {
		struct shown key = show_string(v->keys[i], v->keys[i][0] ? "" : "\"");
		if (!v->keys[i][0])
			fault(&p->faults, key.text, "the name is empty");
		if (STR_COPY(list[i].name, v->keys[i]) < 0)
			fault(&p->faults, key.text, "the name is longer than %d bytes", ETHTOOL_NAME_SIZE - 1);
		if (value_has_type(&p->faults, key.text, &v->items[i], VALUE_BOOL))
			list[i].on = v->items[i].boolean;
	}
	path_leave(&p->faults, at);
}

static void take_field(struct parser *p, const struct config_field *f, const struct value *v, void *object)
{
	switch (f->type) {
	case CONFIG_OBJECT:
		if (value_has_type(&p->faults, f->key, v, VALUE_OBJECT)) {
			size_t at = path_enter(&p->faults, f->key);
			take_members(p, f->members, v, object);
			path_leave(&p->faults, at);
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
	default:
		config_take_scalar(&p->faults, f, v, object);
	}
}

static const struct config_field *field_of(const struct config_members *members, const char *key)
{
	for (size_t i = 0; i < members->n; i++)
		if (str_equal(key, members->fields[i].key))
			return &members->fields[i];
	return NULL;
}

static void refuse_unknown(struct parser *p, const struct config_members *members, const char *key)
{
	char meant[64];
	bool elsewhere = false;
	/* To look for the nearest key costs a thousand times more than to refuse one, and a document has room for thousands. */
	if (faults_full(&p->faults)) {
		p->faults.n++;
		return;
	}
	struct shown shown = show_string(key, key[0] ? "" : "\"");
	if (!config_key_nearest(members, key, meant, sizeof(meant), &elsewhere))
		fault(&p->faults, shown.text, "unknown field");
	else if (elsewhere)
		fault(&p->faults, shown.text, "unknown field; its place is \"%s\"", meant);
	else
		fault(&p->faults, shown.text, "unknown field; did you mean \"%s\"?", meant);
}

static void take_members(struct parser *p, const struct config_members *members, const struct value *v, void *object)
{
	size_t faults = p->faults.n;
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *f = &members->fields[i];
		const struct value *member = value_get(v, f->key);
		if (member && member->type != VALUE_NULL) /* null is absent, as for Go's decoder */
			take_field(p, f, member, object);
		else if (f->required)
			fault(&p->faults, f->key, "is missing");
	}
	for (size_t k = 0; k < v->n; k++)
		if (!field_of(members, v->keys[k]))
			refuse_unknown(p, members, v->keys[k]);
	if (members->complete)
		members->complete(object);
	if (members->check && !(members->check_good && p->faults.n > faults))
		members->check(&p->faults, object);
}

int network_config_parse(const struct value *document, struct network_config *ret, struct error *e)
{
	struct parser p = {0};
	struct network_config c;
	network_config_init(&c);
	if (document->type != VALUE_NULL && value_has_type(&p.faults, NULL, document, VALUE_OBJECT))
		take_members(&p, &config_document, document, &c);
	if (p.no_memory || p.faults.n) {
		network_config_free(&c);
		if (p.no_memory)
			return error_set(e, -ENOMEM, "out of memory");
		if (e)
			*e = p.faults.error;
		return -EINVAL;
	}
	*ret = c;
	return 0;
}
