/* SPDX-License-Identifier: Apache-2.0 */
/* The typing rules of the device filter: CEL's, as far as its types are known here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/filter_parser.h"

const char *filter_type_name(enum filter_type type)
{
	static const char *const names[] = {
	    [TYPE_BOOL] = "a boolean", [TYPE_INT] = "an integer", [TYPE_STRING] = "a string",        [TYPE_NULL] = "null",
	    [TYPE_LIST] = "a list",    [TYPE_MAP] = "the map",    [TYPE_ATTRIBUTE] = "an attribute",
	};
	return names[type];
}

struct filter_node *node_make(struct parser *p, enum filter_op op, enum filter_type type)
{
	struct filter_node *n = p->lexer.rc ? NULL : calloc(1, sizeof(*n));
	if (!n)
		return lexer_no_memory(&p->lexer);
	*n = (struct filter_node){.op = op, .type = type, .depth = 1, .made_next = p->filter->made};
	p->filter->made = n;
	return n;
}

static struct filter_node *adopt(struct parser *p, size_t at, struct filter_node *n, size_t slot, struct filter_node *operand)
{
	if (!n || !operand)
		return NULL;
	n->operands[slot] = operand;
	if (n->depth <= operand->depth)
		n->depth = operand->depth + 1;
	if (n->depth > FILTER_DEPTH_MAX)
		return lexer_refuse(&p->lexer, at, "more than %d operations stand inside one another", FILTER_DEPTH_MAX);
	return n;
}

struct filter_node *node_make1(struct parser *p, size_t at, enum filter_op op, enum filter_type type, struct filter_node *a)
{
	return adopt(p, at, node_make(p, op, type), 0, a);
}

struct filter_node *node_make2(struct parser *p, size_t at, enum filter_op op, enum filter_type type, struct filter_node *a,
                               struct filter_node *b)
{
	return adopt(p, at, node_make1(p, at, op, type, a), 1, b);
}

bool node_has_type(struct parser *p, size_t at, const struct filter_node *n, enum filter_type type)
{
	if (n && n->type == type)
		return true;
	if (n)
		lexer_refuse(&p->lexer, at, "%s is wanted, this is %s", filter_type_name(type), filter_type_name(n->type));
	return false;
}

static bool is_plain(const struct filter_node *n)
{
	return n->type == TYPE_BOOL || n->type == TYPE_INT || n->type == TYPE_STRING;
}

/* null may be compared with an attribute, of which none equals it, and with itself. */
static bool is_comparable(const struct filter_node *a, const struct filter_node *b)
{
	bool null_a = a->type == TYPE_NULL, null_b = b->type == TYPE_NULL;
	if (null_a || null_b)
		return (null_a || a->type == TYPE_ATTRIBUTE) && (null_b || b->type == TYPE_ATTRIBUTE);
	return a->type == b->type && is_plain(a);
}

static bool is_member(const struct filter_node *a, const struct filter_node *b)
{
	if (b->type == TYPE_MAP)
		return a->type == TYPE_STRING;
	return b->type == TYPE_LIST && is_plain(a) && (b->element == TYPE_NULL || b->element == a->type);
}

/* What CEL has for these operands, and this evaluator has not. */
static const char *missing_operator(const struct infix *o, const struct filter_node *a, const struct filter_node *b)
{
	bool whole = a->type == TYPE_LIST || a->type == TYPE_MAP || a->type == TYPE_ATTRIBUTE;
	if (o->operands == MEMBER)
		return whole && b->type == TYPE_LIST ? "looking for lists, maps and whole attributes is" : NULL;
	if (a->type != b->type)
		return NULL;
	if (o->op == OP_ADD && (a->type == TYPE_STRING || a->type == TYPE_LIST))
		return a->type == TYPE_STRING ? "joining strings is" : "joining lists is";
	if (o->operands == COMPARED && whole)
		return "comparing lists, maps and whole attributes is";
	return NULL;
}

struct filter_node *node_binary(struct parser *p, size_t at, const struct infix *o, struct filter_node *a, struct filter_node *b)
{
	if (!a || !b)
		return NULL;
	enum filter_op op = o->op;
	bool fits = a->type == b->type;
	switch (o->operands) {
	case BOOLEANS:
		fits = fits && a->type == TYPE_BOOL;
		break;
	case INTEGERS:
		fits = fits && a->type == TYPE_INT;
		break;
	case ORDERED:
		fits = fits && is_plain(a);
		break;
	case COMPARED:
		fits = is_comparable(a, b);
		break;
	case MEMBER:
		op = b->type == TYPE_MAP ? OP_IN_MAP : OP_IN_LIST;
		fits = is_member(a, b);
		break;
	}
	const char *missing = fits ? NULL : missing_operator(o, a, b);
	if (missing)
		return lexer_unsupported(&p->lexer, at, missing);
	if (!fits)
		return lexer_refuse(&p->lexer, at, "\"%s\" does not work on %s and %s", o->text, filter_type_name(a->type),
		                    filter_type_name(b->type));
	return node_make2(p, at, op, o->operands == INTEGERS ? TYPE_INT : TYPE_BOOL, a, b);
}

struct filter_node *node_choice(struct parser *p, size_t at, struct filter_node *condition, struct filter_node *then,
                                struct filter_node *otherwise)
{
	if (!condition || !then || !otherwise || !node_has_type(p, at, condition, TYPE_BOOL))
		return NULL;
	bool either = then->element == TYPE_NULL || otherwise->element == TYPE_NULL; /* an empty list is one of anything */
	if (then->type != otherwise->type || (then->type == TYPE_LIST && then->element != otherwise->element && !either))
		return lexer_refuse(&p->lexer, at, "the alternatives are %s and %s", filter_type_name(then->type),
		                    filter_type_name(otherwise->type));
	struct filter_node *n = adopt(p, at, node_make2(p, at, OP_CHOOSE, then->type, condition, then), 2, otherwise);
	if (n)
		n->element = then->element == TYPE_NULL ? otherwise->element : then->element;
	return n;
}

struct filter_node *node_string_function(struct parser *p, size_t at, enum filter_op op, struct filter_node *text,
                                         struct filter_node *argument)
{
	if (!node_has_type(p, at, text, TYPE_STRING) || !node_has_type(p, at, argument, TYPE_STRING))
		return NULL;
	struct filter_node *n = node_make2(p, at, op, TYPE_BOOL, text, argument);
	if (!n || op != OP_MATCHES || argument->op != OP_LITERAL)
		return n;
	/* A pattern that does not compile shall be told now, not with the first device. */
	struct error e = {0};
	int rc = pattern_compile(argument->string, &n->pattern, &e);
	if (rc < 0)
		return rc == -ENOMEM ? lexer_no_memory(&p->lexer) : lexer_refuse(&p->lexer, argument->begin, "%s", e.text);
	return n;
}

struct filter_node *node_size(struct parser *p, size_t at, struct filter_node *of)
{
	if (of && of->type != TYPE_STRING && of->type != TYPE_LIST && of->type != TYPE_MAP)
		return lexer_refuse(&p->lexer, at, "%s has no size", filter_type_name(of->type));
	return node_make1(p, at, OP_SIZE, TYPE_INT, of);
}

struct filter_node *node_string(struct parser *p, const char *text, size_t len)
{
	struct filter_node *n = node_make(p, OP_LITERAL, TYPE_STRING);
	if (n && !(n->string = strndup(text, len)))
		return lexer_no_memory(&p->lexer);
	return n;
}

struct filter_node *node_subscript(struct parser *p, size_t at, struct filter_node *of, struct filter_node *key)
{
	if (!of || !key)
		return NULL;
	if (of->type != TYPE_LIST)
		return node_has_type(p, at, of, TYPE_MAP) && node_has_type(p, at, key, TYPE_STRING)
		           ? node_make2(p, at, OP_LOOKUP, TYPE_ATTRIBUTE, of, key)
		           : NULL;
	if (!node_has_type(p, at, key, TYPE_INT))
		return NULL;
	if (of->element == TYPE_NULL)
		return lexer_refuse(&p->lexer, at, "an empty list has no elements");
	return node_make2(p, at, OP_INDEX, of->element, of, key);
}

struct filter_node *node_select(struct parser *p, struct filter_node *object, const struct token *name)
{
	static const struct {
		const char *name;
		enum filter_type type, element;
	} fields[FIELDS] = {
	    [FIELD_STRING_VALUE] = {"StringValue", TYPE_STRING, TYPE_NULL},
	    [FIELD_INT_VALUE] = {"IntValue", TYPE_INT, TYPE_NULL},
	    [FIELD_BOOL_VALUE] = {"BoolValue", TYPE_BOOL, TYPE_NULL},
	    [FIELD_VERSION_VALUE] = {"VersionValue", TYPE_STRING, TYPE_NULL},
	    [FIELD_STRING_VALUES] = {"StringValues", TYPE_LIST, TYPE_STRING},
	    [FIELD_INT_VALUES] = {"IntValues", TYPE_LIST, TYPE_INT},
	    [FIELD_BOOL_VALUES] = {"BoolValues", TYPE_LIST, TYPE_BOOL},
	    [FIELD_VERSION_VALUES] = {"VersionValues", TYPE_LIST, TYPE_STRING},
	};
	if (!object)
		return NULL;
	if (object->type == TYPE_MAP)
		return node_make2(p, name->at, OP_LOOKUP, TYPE_ATTRIBUTE, object, node_string(p, name->text, name->len));
	if (object->type != TYPE_ATTRIBUTE)
		return lexer_refuse(&p->lexer, name->at, "%s has no fields", filter_type_name(object->type));
	for (size_t i = 0; i < ELEMENTS(fields); i++)
		if (token_reads(name, fields[i].name)) {
			struct filter_node *n = node_make1(p, name->at, OP_FIELD, fields[i].type, object);
			if (n) {
				n->element = fields[i].element;
				n->field = (enum filter_field)i;
			}
			return n;
		}
	return lexer_refuse(&p->lexer, name->at, "an attribute has StringValue, IntValue, BoolValue and VersionValue, and their lists");
}

bool node_list_add(struct parser *p, size_t at, struct filter_node *list, struct filter_node ***last, struct filter_node *element)
{
	if (!element)
		return false;
	if (is_plain(element) && list->operands[0] && element->type != list->element) {
		lexer_unsupported(&p->lexer, at, "a list of several types is");
		return false;
	}
	if (!is_plain(element)) {
		lexer_unsupported(&p->lexer, at, "a list of anything but booleans, integers and strings is");
		return false;
	}
	list->element = element->type;
	if (list->depth <= element->depth)
		list->depth = element->depth + 1;
	if (list->depth > FILTER_DEPTH_MAX)
		lexer_refuse(&p->lexer, at, "more than %d operations stand inside one another", FILTER_DEPTH_MAX);
	**last = element;
	*last = &element->sibling;
	return !p->lexer.rc;
}
