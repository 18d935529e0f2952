/* SPDX-License-Identifier: Apache-2.0 */
/* Between the grammar of the device filter (filter_parse.c) and its typing rules (filter_make.c). Every function takes NULL operands,
 * which a fault made, and answers NULL then. `at` is the byte a fault is told at. */
#pragma once

#include "core/filter_token.h"
#include "core/filter_tree.h"

enum { FILTER_DEPTH_MAX = 256 }; /* of the tree: long chains of one operator count here; bounds the evaluator's recursion */

struct variable {
	const char *name; /* in the expression */
	size_t len;
	enum filter_type type;
};

struct parser {
	struct lexer lexer;
	unsigned nesting;
	struct filter *filter;
	struct variable variables[FILTER_SLOTS]; /* of the macros around this place */
	unsigned n_variables;
};

enum operands { BOOLEANS, INTEGERS, ORDERED, COMPARED, MEMBER };
struct infix {
	const char *text;
	unsigned power; /* binds tighter */
	enum filter_op op;
	enum operands operands;
};

struct filter_node *node_make(struct parser *p, enum filter_op op, enum filter_type type);
struct filter_node *node_make1(struct parser *p, size_t at, enum filter_op op, enum filter_type type, struct filter_node *a);
struct filter_node *node_make2(struct parser *p, size_t at, enum filter_op op, enum filter_type type, struct filter_node *a,
                               struct filter_node *b);
struct filter_node *node_string(struct parser *p, const char *text, size_t len);
struct filter_node *node_binary(struct parser *p, size_t at, const struct infix *o, struct filter_node *a, struct filter_node *b);
struct filter_node *node_choice(struct parser *p, size_t at, struct filter_node *condition, struct filter_node *then,
                                struct filter_node *otherwise);
struct filter_node *node_string_function(struct parser *p, size_t at, enum filter_op op, struct filter_node *text,
                                         struct filter_node *argument);
struct filter_node *node_size(struct parser *p, size_t at, struct filter_node *of);
struct filter_node *node_subscript(struct parser *p, size_t at, struct filter_node *of, struct filter_node *key);
/* `object.name`: a field of an attribute, or, as in CEL, a key of the map. */
struct filter_node *node_select(struct parser *p, struct filter_node *object, const struct token *name);
/* Add an element to a list; `*last` is where it is hung up. */
bool node_list_add(struct parser *p, size_t at, struct filter_node *list, struct filter_node ***last, struct filter_node *element);
bool node_has_type(struct parser *p, size_t at, const struct filter_node *n, enum filter_type type);
