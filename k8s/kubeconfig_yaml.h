/* SPDX-License-Identifier: Apache-2.0 */
/* YAML (and so JSON) text to a bounded tree of values, on libyaml's events. Scalars stay strings, but for plain null. Aliases are refused:
 * nothing a kubeconfig needs, and the way to make a small text a huge tree. */
#pragma once

#include <stddef.h>

#include "core/base/error.h"
#include "core/base/value.h"

enum { YAML_SIZE_MAX = 1 << 20, YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 1 << 16, YAML_KEYS_MAX = 512 /* of one mapping */ };

/* The first and only document. -EINVAL with line and reason, -E2BIG past a bound, -ENOMEM. */
int yaml_tree_parse(const char *text, size_t len, struct value *ret, struct error *e);
