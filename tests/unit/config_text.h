/* SPDX-License-Identifier: Apache-2.0 */
/* What a configuration holds, as one text: "interface.mtu=1400 routes[0].destination=10.0.0.0/8 …", along the rows of the schema. */
#pragma once

#include <inttypes.h>
#include <stdio.h>

#include "core/base/buf.h"
#include "core/config_schema.h"

static inline void config_text_scalar(struct buf *to, const struct config_field *f, const void *object)
{
	const void *at = (const char *)object + f->offset;
	const struct ethtool_settings *s = at;
	char text[MAC_TEXT_MAX + IP_TEXT_MAX] = "";
	if (f->type == CONFIG_IFNAME || f->type == CONFIG_TEXT)
		buf_puts(to, at);
	else if (f->type == CONFIG_MAC)
		mac_format(at, text);
	else if (f->type == CONFIG_ADDRESS)
		ip_address_format(at, text);
	else if (f->type == CONFIG_PREFIX)
		ip_prefix_format(at, text);
	else if (f->type == CONFIG_SETTING || f->type == CONFIG_SWITCH)
		buf_printf(to, "%" PRIu32, s->v[f->setting]);
	else if (f->type == CONFIG_UINT32 || f->type == CONFIG_MARK || f->type == CONFIG_TAG)
		buf_printf(to, "%" PRIu32, *(const uint32_t *)at);
	else
		buf_printf(to, "%d", *(const int8_t *)at);
	buf_puts(to, text);
}

static inline void config_text(struct buf *to, const struct config_members *members, const char *path, void *object);

static inline void config_text_element(struct buf *to, const struct config_field *f, const char *path, void *element)
{
	char text[IP_TEXT_MAX];
	const struct ethtool_switch *s = element;
	if (f->type == CONFIG_OBJECTS)
		config_text(to, f->members, path, element);
	else if (f->type == CONFIG_SWITCHES)
		buf_printf(to, "%s:%s=%d ", path, s->name, s->on);
	else {
		ip_prefix_format(&((const struct address *)element)->prefix, text);
		buf_printf(to, "%s=%s ", path, text);
	}
}

static inline void config_text(struct buf *to, const struct config_members *members, const char *path, void *object)
{
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *f = &members->fields[i];
		char below[128], indexed[160];
		snprintf(below, sizeof(below), "%s%s%s", path, path[0] ? "." : "", f->key);
		if (f->type == CONFIG_OBJECT)
			config_text(to, f->members, below, object);
		else if (config_field_is_list(f)) {
			size_t n;
			char *list = config_field_list(f, object, &n);
			for (size_t k = 0; k < n; k++) {
				snprintf(indexed, sizeof(indexed), "%s[%zu]", below, k);
				config_text_element(to, f, indexed, list + k * f->size);
			}
		} else if (config_field_given(f, object)) {
			buf_printf(to, "%s=", below);
			config_text_scalar(to, f, object);
			buf_puts(to, " ");
		}
	}
}
