/* SPDX-License-Identifier: Apache-2.0 */
/* One value of a document into the member that its row names; what is wrong with it becomes a fault. */
#pragma once

#include "core/config_faults.h"
#include "core/config_schema.h"

bool value_has_type(struct faults *f, const char *key, const struct value *v, enum value_type type);
void config_take_scalar(struct faults *f, const struct config_field *field, const struct value *v, void *object);
/* An element of an address list; `key` NULL, the path being its own. */
void config_take_prefix(struct faults *f, const struct config_field *field, const char *key, const struct value *v, struct ip_prefix *ret);
