/* SPDX-License-Identifier: Apache-2.0 */
/* The expression tree between the filter's parser and its evaluator. Every node's type is known when it is made, so that a filter that
 * could never work is refused when the daemon starts rather than on the first device. */
#pragma once

#include "core/filter.h"
#include "core/filter_pattern.h"

enum filter_type { TYPE_BOOL, TYPE_INT, TYPE_STRING, TYPE_NULL, TYPE_LIST, TYPE_MAP, TYPE_ATTRIBUTE };

enum filter_op {
	OP_LITERAL,
	OP_LIST,       /* operands: first element; the others by `sibling` */
	OP_ATTRIBUTES, /* the map */
	OP_VARIABLE,   /* of a macro; `slot` */
	OP_LOOKUP,     /* map, key */
	OP_INDEX,      /* list, index */
	OP_FIELD,      /* attribute; `field` */
	OP_HAS_FIELD,
	OP_IN_MAP, /* key, map */
	OP_IN_LIST,
	OP_NOT,
	OP_NEGATE,
	OP_AND,
	OP_OR,
	OP_CHOOSE, /* condition, then, else */
	OP_EQUAL,
	OP_NOT_EQUAL,
	OP_LESS,
	OP_LESS_EQUAL,
	OP_GREATER,
	OP_GREATER_EQUAL,
	OP_ADD,
	OP_SUBTRACT,
	OP_MULTIPLY,
	OP_DIVIDE,
	OP_MODULO,
	OP_SIZE,
	OP_STARTS_WITH,
	OP_ENDS_WITH,
	OP_CONTAINS,
	OP_MATCHES,
	OP_ALL, /* list or map, predicate; `slot` of the variable */
	OP_EXISTS,
	OP_EXISTS_ONE,
};

/* The fields of Kubernetes' DeviceAttribute by their Go names; the lists are those of the gate DRAListTypeAttributes. */
enum filter_field {
	FIELD_STRING_VALUE,
	FIELD_INT_VALUE,
	FIELD_BOOL_VALUE,
	FIELD_VERSION_VALUE,
	FIELD_STRING_VALUES,
	FIELD_INT_VALUES,
	FIELD_BOOL_VALUES,
	FIELD_VERSION_VALUES,
	FIELDS
};

enum { FILTER_SLOTS = 8 }; /* macros inside one another */

struct filter_node {
	enum filter_op op;
	enum filter_type type;
	enum filter_type element; /* of a list; TYPE_NULL for an empty one */
	unsigned depth;
	size_t begin, end; /* bytes of the expression */
	struct filter_node *operands[3];
	struct filter_node *sibling;
	union { /* literals, OP_FIELD, macros */
		bool boolean;
		int64_t integer;
		char *string; /* owned */
		enum filter_field field;
		unsigned slot;
	};
	struct pattern *pattern;       /* OP_MATCHES with a literal pattern; owned */
	struct filter_node *made_next; /* all nodes of a filter, for filter_free() */
};

struct filter {
	struct filter_node *root; /* NULL keeps everything */
	struct filter_node *made;
	char *text; /* what the nodes' begin and end refer to */
};

/* Parse into `f`, which the caller frees also on failure. `*fault` is set on failure only. */
int filter_parse(const char *expression, struct filter *f, size_t *fault, struct error *e);
/* "a string" */
const char *filter_type_name(enum filter_type type);
