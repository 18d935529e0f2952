/* SPDX-License-Identifier: Apache-2.0 */
/* Fixed-size strings. Names of Kubernetes and kernel objects have known limits, so they live in arrays; these helpers never write past one
 * and never leave it unterminated. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { STR_DISTANCE_MAX = 40 };

/* Copy; 0, or -ENAMETOOLONG with `to` holding "" (a cut name would be another name). `from` NULL counts as "". */
int str_copy(char *to, size_t size, const char *from);
#define STR_COPY(to, from) str_copy((to), sizeof(to), (from))
/* Copy and cut at the size (for texts, not names), never inside a UTF-8 sequence. */
void str_cut(char *to, size_t size, const char *from);
#define STR_CUT(to, from) str_cut((to), sizeof(to), (from))
bool str_equal(const char *a, const char *b); /* NULL equals NULL only */
bool str_starts(const char *text, const char *prefix);
/* Characters to be left out, put in, changed or exchanged with their neighbour until one is the other, whatever the case. SIZE_MAX when one
 * has more than STR_DISTANCE_MAX bytes. */
size_t str_distance(const char *a, const char *b);
/* A DNS-1123 label of at most 63 bytes. */
bool str_is_dns_label(const char *text);
/* Printable ASCII without spaces; what a name taken from a peer must be before it goes into a path or a log field. */
bool str_is_token(const char *text);
