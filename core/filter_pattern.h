/* SPDX-License-Identifier: Apache-2.0 */
/* The patterns of matches(): RE2's syntax, which CEL has, as far as it tells whether something matches. Time grows with the product of
 * pattern and text and no further, as RE2's does, and memory with the pattern. Refused by name: Unicode classes (\p), \Q…\E, \C and
 * numbered escapes. (?i) folds ASCII letters only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/error.h"

struct pattern;

int pattern_compile(const char *text, struct pattern **ret, struct error *e); /* -EINVAL with the reason, -ENOMEM */
void pattern_free(struct pattern *p);                                         /* NULL allowed */
/* Whether it matches anywhere in `text`. Not const: it holds what the search needs. */
bool pattern_matches(struct pattern *p, const char *text);
size_t pattern_size(const struct pattern *p); /* instructions */
