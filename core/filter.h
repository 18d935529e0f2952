/* SPDX-License-Identifier: Apache-2.0 */
/* The device filter: the subset of CEL that `--filter` needs (dranet-behaviour §2.9): a predicate over `attributes`, a map from attribute
 * name to an object with StringValue, IntValue, BoolValue, VersionValue and their lists. An evaluation error keeps the device, as DRANET
 * does. Parts of CEL that are missing here are refused by name when the filter is compiled. */
#pragma once

#include <stdbool.h>

#include "core/base/buf.h"
#include "core/base/error.h"
#include "core/device.h"

struct filter;

#define FILTER_DEFAULT "!(\"dra.net/type\" in attributes) || attributes[\"dra.net/type\"].StringValue  != \"veth\""

/* Compile; "" gives a filter that keeps everything. -EINVAL with "at LINE:COLUMN: reason" (both from 1, columns in characters); the byte
 * goes to `*fault` (may be NULL). */
int filter_compile(const char *expression, struct filter **ret, size_t *fault, struct error *e);
void filter_free(struct filter *f);
/* true = offer the device. `e` gets the evaluation error, if there was one (the device is kept then). */
bool filter_keeps(const struct filter *f, const struct device_facts *facts, struct error *e);
/* The same, and why: the sub-expressions that decided, each with the values it saw, are added to `ret`. */
bool filter_explain(const struct filter *f, const struct device_facts *facts, struct buf *ret);
/* The expression's line that byte `fault` is in, and a caret under it. */
void filter_show_fault(const char *expression, size_t fault, struct buf *ret);
