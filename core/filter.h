/* SPDX-License-Identifier: Apache-2.0 */
/* The device filter: the subset of CEL that `--filter` needs (dranet-behaviour §2.9): a predicate over `attributes`, a map from attribute
 * name to an object with StringValue, IntValue, BoolValue, VersionValue. An evaluation error keeps the device, as DRANET does. */
#pragma once

#include <stdbool.h>

#include "core/base/error.h"
#include "core/device.h"

struct filter;

#define FILTER_DEFAULT "!(\"dra.net/type\" in attributes) || attributes[\"dra.net/type\"].StringValue  != \"veth\""

/* Compile; "" gives a filter that keeps everything. -EINVAL with position and reason. */
int filter_compile(const char *expression, struct filter **ret, struct error *e);
void filter_free(struct filter *f);
/* true = offer the device. `e` gets the evaluation error, if there was one (the device is kept then). */
bool filter_keeps(const struct filter *f, const struct device_facts *facts, struct error *e);
