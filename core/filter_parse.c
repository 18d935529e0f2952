/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of the device filter: CEL's grammar as far as c-practice A8 wants it, operators by precedence climbing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/filter_token.h"
#include "core/filter_tree.h"

enum {
	NESTING_MAX = 64, /* parentheses, unary operators, calls */
	DEPTH_MAX = 256,  /* of the tree: long chains of one operator count here; bounds the evaluator's recursion */
};

struct parser {
	struct lexer lexer;
	unsigned nesting;
	struct filter *filter;
};

/* ---- nodes and their types ------------------------------------------------------------------------------------------------------- */

static const char *type_name(enum filter_type type)
{
	static const char *const names[] = {
	    [TYPE_BOOL] = "a boolean", [TYPE_INT] = "an integer", [TYPE_STRING] = "a string",        [TYPE_NULL] = "null",
	    [TYPE_LIST] = "a list",    [TYPE_MAP] = "the map",    [TYPE_ATTRIBUTE] = "an attribute",
	};
	return names[type];
}

static struct filter_node *make(struct parser *p, enum filter_op op, enum filter_type type)
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
	if (n->depth > DEPTH_MAX)
		return lexer_refuse(&p->lexer, at, "more than %d operations stand inside one another", DEPTH_MAX);
	return n;
}

static struct filter_node *make1(struct parser *p, size_t at, enum filter_op op, enum filter_type type, struct filter_node *a)
{
	return adopt(p, at, make(p, op, type), 0, a);
}

static struct filter_node *make2(struct parser *p, size_t at, enum filter_op op, enum filter_type type, struct filter_node *a,
                                 struct filter_node *b)
{
	return adopt(p, at, make1(p, at, op, type, a), 1, b);
}

static bool has_type(struct parser *p, size_t at, const struct filter_node *n, enum filter_type type)
{
	if (n && n->type == type)
		return true;
	if (n)
		lexer_refuse(&p->lexer, at, "%s is wanted, this is %s", type_name(type), type_name(n->type));
	return false;
}

static bool is_plain(const struct filter_node *n)
{
	return n->type == TYPE_BOOL || n->type == TYPE_INT || n->type == TYPE_STRING;
}

/* ---- operators ------------------------------------------------------------------------------------------------------------------- */

enum operands { BOOLEANS, INTEGERS, ORDERED, COMPARED, MEMBER };

static const struct infix {
	const char *text;
	unsigned power; /* binds tighter */
	enum filter_op op;
	enum operands operands;
} infixes[] = {
    {"||", 1, OP_OR, BOOLEANS},    {"&&", 2, OP_AND, BOOLEANS},       {"==", 3, OP_EQUAL, COMPARED},   {"!=", 3, OP_NOT_EQUAL, COMPARED},
    {"<", 3, OP_LESS, ORDERED},    {"<=", 3, OP_LESS_EQUAL, ORDERED}, {">", 3, OP_GREATER, ORDERED},   {">=", 3, OP_GREATER_EQUAL, ORDERED},
    {"in", 3, OP_IN_LIST, MEMBER}, {"+", 4, OP_ADD, INTEGERS},        {"-", 4, OP_SUBTRACT, INTEGERS}, {"*", 5, OP_MULTIPLY, INTEGERS},
    {"/", 5, OP_DIVIDE, INTEGERS}, {"%", 5, OP_MODULO, INTEGERS},
};

static const struct infix *infix_here(const struct parser *p)
{
	for (size_t i = 0; i < ELEMENTS(infixes); i++)
		if (lexer_is(&p->lexer, infixes[i].text))
			return &infixes[i];
	return NULL;
}

static struct filter_node *make_binary(struct parser *p, size_t at, const struct infix *o, struct filter_node *a, struct filter_node *b)
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
	case COMPARED: /* null may be compared with everything, and equals nothing else */
		fits = (fits && is_plain(a)) || a->type == TYPE_NULL || b->type == TYPE_NULL;
		break;
	case MEMBER:
		op = b->type == TYPE_MAP ? OP_IN_MAP : OP_IN_LIST;
		fits = b->type == TYPE_MAP ? a->type == TYPE_STRING
		                           : b->type == TYPE_LIST && (b->element == TYPE_NULL || b->element == a->type);
		break;
	}
	if (!fits)
		return lexer_refuse(&p->lexer, at, "\"%s\" does not work on %s and %s", o->text, type_name(a->type), type_name(b->type));
	return make2(p, at, op, o->operands == INTEGERS ? TYPE_INT : TYPE_BOOL, a, b);
}

/* ---- functions and fields -------------------------------------------------------------------------------------------------------- */

static struct filter_node *parse_expression(struct parser *p);

static const struct function {
	const char *name;
	enum filter_op op;
} string_functions[] = {
    {"startsWith", OP_STARTS_WITH},
    {"endsWith", OP_ENDS_WITH},
    {"contains", OP_CONTAINS},
    {"matches", OP_MATCHES},
};

static struct filter_node *make_string_function(struct parser *p, size_t at, enum filter_op op, struct filter_node *text,
                                                struct filter_node *argument)
{
	if (!has_type(p, at, text, TYPE_STRING) || !has_type(p, at, argument, TYPE_STRING))
		return NULL;
	struct filter_node *n = make2(p, at, op, TYPE_BOOL, text, argument);
	if (!n || op != OP_MATCHES || argument->op != OP_LITERAL)
		return n;
	/* A pattern that does not compile shall be told now, not with the first device. */
	struct error e = {0};
	n->regex = calloc(1, sizeof(*n->regex));
	if (!n->regex)
		return lexer_no_memory(&p->lexer);
	if (filter_regex(argument->string, n->regex, &e) < 0) {
		free(n->regex);
		n->regex = NULL;
		return lexer_refuse(&p->lexer, at, "%s", e.text);
	}
	return n;
}

static struct filter_node *make_size(struct parser *p, size_t at, struct filter_node *of)
{
	if (of && of->type != TYPE_STRING && of->type != TYPE_LIST && of->type != TYPE_MAP)
		return lexer_refuse(&p->lexer, at, "%s has no size", type_name(of->type));
	return make1(p, at, OP_SIZE, TYPE_INT, of);
}

static struct filter_node *make_string(struct parser *p, const char *text, size_t len)
{
	struct filter_node *n = make(p, OP_LITERAL, TYPE_STRING);
	if (n && !(n->string = strndup(text, len)))
		return lexer_no_memory(&p->lexer);
	return n;
}

/* `object.name`: a field of an attribute, or, as in CEL, a key of the map. */
static struct filter_node *make_select(struct parser *p, struct filter_node *object, const struct token *name)
{
	static const struct {
		const char *name;
		enum filter_type type;
	} fields[] = {
	    [FIELD_STRING_VALUE] = {"StringValue", TYPE_STRING},
	    [FIELD_INT_VALUE] = {"IntValue", TYPE_INT},
	    [FIELD_BOOL_VALUE] = {"BoolValue", TYPE_BOOL},
	    [FIELD_VERSION_VALUE] = {"VersionValue", TYPE_STRING},
	};
	if (!object)
		return NULL;
	if (object->type == TYPE_MAP)
		return make2(p, name->at, OP_LOOKUP, TYPE_ATTRIBUTE, object, make_string(p, name->text, name->len));
	if (object->type != TYPE_ATTRIBUTE)
		return lexer_refuse(&p->lexer, name->at, "%s has no fields", type_name(object->type));
	for (size_t i = 0; i < ELEMENTS(fields); i++)
		if (token_reads(name, fields[i].name)) {
			struct filter_node *n = make1(p, name->at, OP_FIELD, fields[i].type, object);
			if (n)
				n->field = (enum filter_field)i;
			return n;
		}
	return lexer_refuse(&p->lexer, name->at, "an attribute has StringValue, IntValue, BoolValue and VersionValue");
}

static struct filter_node *parse_method(struct parser *p, struct filter_node *object, const struct token *name)
{
	if (token_reads(name, "size"))
		return lexer_expect(&p->lexer, ")") ? make_size(p, name->at, object) : NULL;
	for (size_t i = 0; i < ELEMENTS(string_functions); i++) {
		const struct function *f = &string_functions[i];
		if (!token_reads(name, f->name))
			continue;
		struct filter_node *argument = parse_expression(p);
		return lexer_expect(&p->lexer, ")") ? make_string_function(p, name->at, f->op, object, argument) : NULL;
	}
	return lexer_refuse(&p->lexer, name->at,
	                    "there is no function of this name; size, startsWith, endsWith, contains and matches are known");
}

/* has(): whether the key is there, or the attribute is of the field's kind. */
static struct filter_node *parse_has(struct parser *p, size_t at)
{
	struct filter_node *n = parse_expression(p);
	if (!n || !lexer_expect(&p->lexer, ")"))
		return NULL;
	if (n->op == OP_FIELD) {
		n->op = OP_HAS_FIELD;
		n->type = TYPE_BOOL;
		return n;
	}
	return lexer_refuse(&p->lexer, at,
	                    "has() takes attributes[\"...\"].StringValue and the like; for a key write \"...\" in attributes");
}

/* ---- expressions ----------------------------------------------------------------------------------------------------------------- */

static struct filter_node *parse_list(struct parser *p, size_t at)
{
	struct filter_node *list = make(p, OP_LIST, TYPE_LIST), **last = list ? &list->operands[0] : NULL;
	if (list)
		list->element = TYPE_NULL;
	while (list && !lexer_accept(&p->lexer, "]")) {
		size_t here = p->lexer.token.at;
		struct filter_node *element = parse_expression(p);
		if (!element)
			return NULL;
		if (!is_plain(element) || (list->operands[0] && element->type != list->element))
			return lexer_refuse(&p->lexer, here, "the elements of a list are booleans, integers or strings, and all alike");
		list->element = element->type;
		if (list->depth <= element->depth)
			list->depth = element->depth + 1;
		*last = element;
		last = &element->sibling;
		if (!lexer_is(&p->lexer, "]") && !lexer_expect(&p->lexer, ","))
			return NULL;
	}
	if (list && list->depth > DEPTH_MAX)
		return lexer_refuse(&p->lexer, at, "more than %d operations stand inside one another", DEPTH_MAX);
	return list;
}

static struct filter_node *parse_name(struct parser *p, const struct token *name)
{
	static const struct {
		const char *text;
		enum filter_op op;
		enum filter_type type;
	} words[] = {
	    {"true", OP_LITERAL, TYPE_BOOL},
	    {"false", OP_LITERAL, TYPE_BOOL},
	    {"null", OP_LITERAL, TYPE_NULL},
	    {"attributes", OP_ATTRIBUTES, TYPE_MAP},
	};
	bool call = lexer_accept(&p->lexer, "(");
	for (size_t i = 0; !call && i < ELEMENTS(words); i++)
		if (token_reads(name, words[i].text)) {
			struct filter_node *n = make(p, words[i].op, words[i].type);
			if (n)
				n->boolean = name->text[0] == 't';
			return n;
		}
	if (call && token_reads(name, "has"))
		return parse_has(p, name->at);
	if (call && token_reads(name, "size")) {
		struct filter_node *of = parse_expression(p);
		return lexer_expect(&p->lexer, ")") ? make_size(p, name->at, of) : NULL;
	}
	return lexer_refuse(&p->lexer, name->at, "unknown name; attributes, size() and has() are known");
}

static struct filter_node *parse_integer(struct parser *p, bool negative)
{
	uint64_t magnitude = p->lexer.token.magnitude;
	if (magnitude > (uint64_t)INT64_MAX + negative)
		return lexer_refuse(&p->lexer, p->lexer.token.at, "the number is too large");
	struct filter_node *n = make(p, OP_LITERAL, TYPE_INT);
	if (n)
		n->integer = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	lexer_next(&p->lexer);
	return n;
}

static struct filter_node *parse_primary(struct parser *p)
{
	struct token name = p->lexer.token;
	if (p->lexer.rc)
		return NULL;
	if (name.type == TOKEN_INT)
		return parse_integer(p, false);
	if (name.type == TOKEN_STRING) {
		struct filter_node *n = make_string(p, buf_text(&p->lexer.token.string), p->lexer.token.string.len);
		lexer_next(&p->lexer);
		return n;
	}
	if (lexer_accept(&p->lexer, "(")) {
		struct filter_node *n = parse_expression(p);
		return lexer_expect(&p->lexer, ")") ? n : NULL;
	}
	if (lexer_accept(&p->lexer, "["))
		return parse_list(p, name.at);
	if (name.type != TOKEN_NAME || lexer_is(&p->lexer, "in"))
		return lexer_unexpected(&p->lexer, "a value");
	lexer_next(&p->lexer);
	return parse_name(p, &name);
}

static struct filter_node *parse_postfix(struct parser *p)
{
	struct filter_node *n = parse_primary(p);
	while (n && !p->lexer.rc) {
		size_t at = p->lexer.token.at;
		if (lexer_accept(&p->lexer, ".")) {
			struct token name = p->lexer.token;
			if (name.type != TOKEN_NAME)
				return lexer_unexpected(&p->lexer, "a field or a function");
			lexer_next(&p->lexer);
			n = lexer_accept(&p->lexer, "(") ? parse_method(p, n, &name) : make_select(p, n, &name);
		} else if (lexer_accept(&p->lexer, "[")) {
			struct filter_node *key = parse_expression(p);
			if (!lexer_expect(&p->lexer, "]") || !has_type(p, at, n, TYPE_MAP) || !has_type(p, at, key, TYPE_STRING))
				return NULL;
			n = make2(p, at, OP_LOOKUP, TYPE_ATTRIBUTE, n, key);
		} else
			break;
	}
	return p->lexer.rc ? NULL : n;
}

static bool nest(struct parser *p)
{
	if (p->nesting < NESTING_MAX) {
		p->nesting++;
		return true;
	}
	lexer_refuse(&p->lexer, p->lexer.token.at, "the expression is nested deeper than %d", NESTING_MAX);
	return false;
}

static struct filter_node *parse_unary(struct parser *p)
{
	size_t at = p->lexer.token.at;
	bool negate = lexer_is(&p->lexer, "-");
	if (!negate && !lexer_is(&p->lexer, "!"))
		return parse_postfix(p);
	lexer_next(&p->lexer);
	if (negate && p->lexer.token.type == TOKEN_INT && !p->lexer.rc) /* the smallest integer has no positive counterpart */
		return parse_integer(p, true);
	if (!nest(p))
		return NULL;
	struct filter_node *n = parse_unary(p);
	p->nesting--;
	enum filter_type type = negate ? TYPE_INT : TYPE_BOOL;
	return has_type(p, at, n, type) ? make1(p, at, negate ? OP_NEGATE : OP_NOT, type, n) : NULL;
}

static struct filter_node *parse_binary(struct parser *p, unsigned power)
{
	struct filter_node *left = parse_unary(p);
	const struct infix *o;
	while (left && (o = infix_here(p)) && o->power >= power) {
		size_t at = p->lexer.token.at;
		lexer_next(&p->lexer);
		left = make_binary(p, at, o, left, parse_binary(p, o->power + 1));
	}
	return p->lexer.rc ? NULL : left;
}

static struct filter_node *parse_expression(struct parser *p)
{
	if (!nest(p))
		return NULL;
	struct filter_node *condition = parse_binary(p, 1);
	p->nesting--;
	size_t at = p->lexer.token.at;
	if (!condition || !lexer_accept(&p->lexer, "?"))
		return condition;
	struct filter_node *then = parse_binary(p, 1);
	if (!then || !lexer_expect(&p->lexer, ":") || !nest(p))
		return NULL;
	struct filter_node *otherwise = parse_expression(p);
	p->nesting--;
	if (!otherwise || !has_type(p, at, condition, TYPE_BOOL))
		return NULL;
	if (then->type != otherwise->type || then->element != otherwise->element)
		return lexer_refuse(&p->lexer, at, "the alternatives are %s and %s", type_name(then->type), type_name(otherwise->type));
	struct filter_node *n = adopt(p, at, make2(p, at, OP_CHOOSE, then->type, condition, then), 2, otherwise);
	if (n)
		n->element = then->element;
	return n;
}

int filter_parse(const char *expression, struct filter *f, struct error *e)
{
	struct parser p = {.lexer = {.text = expression, .error = e}, .filter = f};
	lexer_next(&p.lexer);
	struct filter_node *root = parse_expression(&p);
	if (!p.lexer.rc && p.lexer.token.type != TOKEN_END)
		lexer_unexpected(&p.lexer, "an operator or the end");
	if (!p.lexer.rc)
		has_type(&p, 0, root, TYPE_BOOL);
	buf_free(&p.lexer.token.string);
	if (!p.lexer.rc)
		f->root = root;
	return p.lexer.rc;
}
