/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of the device filter: CEL's, as far as c-practice A8 wants it, operators by precedence climbing. */
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/filter_parser.h"

enum { NESTING_MAX = 64 }; /* parentheses, unary operators, calls */

static const struct infix infixes[] = {
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

/* ---- functions and macros -------------------------------------------------------------------------------------------------------- */

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

static const struct function macros[] = {{"all", OP_ALL}, {"exists", OP_EXISTS}, {"exists_one", OP_EXISTS_ONE}};

/* Parts of CEL's standard environment, which DRANET's filter has: who types one shall not look for a mistake in the spelling. */
static bool is_standard(const struct token *name)
{
	static const char *const names[] = {"bool", "bytes", "double",    "duration", "dyn",       "filter", "int",
	                                    "list", "map",   "null_type", "string",   "timestamp", "type",   "uint"};
	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (token_reads(name, names[i]))
			return true;
	return false;
}

static void *unsupported_name(struct parser *p, const struct token *name, const char *after)
{
	char what[48];
	snprintf(what, sizeof(what), "%.*s%s is", (int)name->len, name->text, after);
	return lexer_unsupported(&p->lexer, name->at, what);
}

/* `object.all(name, predicate)` and its like, behind the parenthesis. */
static struct filter_node *parse_macro(struct parser *p, struct filter_node *object, const struct token *macro, enum filter_op op)
{
	const struct token variable = p->lexer.token;
	unsigned slot = p->n_variables;
	if (object->type != TYPE_MAP && object->type != TYPE_LIST)
		return lexer_refuse(&p->lexer, macro->at, "%s has no elements", filter_type_name(object->type));
	if (variable.type != TOKEN_NAME)
		return lexer_unexpected(&p->lexer, "a name");
	if (slot == FILTER_SLOTS)
		return lexer_refuse(&p->lexer, macro->at, "more than %d macros stand inside one another", FILTER_SLOTS);
	lexer_next(&p->lexer);
	if (!lexer_expect(&p->lexer, ","))
		return NULL;
	enum filter_type type = object->type == TYPE_MAP ? TYPE_STRING : object->element;
	p->variables[p->n_variables++] = (struct variable){variable.text, variable.len, type};
	size_t at = p->lexer.token.at;
	struct filter_node *predicate = parse_expression(p);
	p->n_variables--;
	if (!lexer_expect(&p->lexer, ")") || !node_has_type(p, at, predicate, TYPE_BOOL))
		return NULL;
	struct filter_node *n = node_make2(p, macro->at, op, TYPE_BOOL, object, predicate);
	if (n)
		n->slot = slot;
	return n;
}

static struct filter_node *parse_method(struct parser *p, struct filter_node *object, const struct token *name)
{
	if (token_reads(name, "size"))
		return lexer_expect(&p->lexer, ")") ? node_size(p, name->at, object) : NULL;
	for (size_t i = 0; i < ELEMENTS(macros); i++)
		if (token_reads(name, macros[i].name))
			return parse_macro(p, object, name, macros[i].op);
	for (size_t i = 0; i < ELEMENTS(string_functions); i++) {
		const struct function *f = &string_functions[i];
		if (!token_reads(name, f->name))
			continue;
		struct filter_node *argument = parse_expression(p);
		return lexer_expect(&p->lexer, ")") ? node_string_function(p, name->at, f->op, object, argument) : NULL;
	}
	if (is_standard(name))
		return unsupported_name(p, name, "()");
	return lexer_refuse(&p->lexer, name->at,
	                    "there is no function of this name; size, startsWith, endsWith, contains, matches, all, exists and "
	                    "exists_one are known");
}

/* has(): whether the attribute is of the field's kind. */
static struct filter_node *parse_has(struct parser *p, size_t at)
{
	struct filter_node *n = parse_expression(p);
	if (!n || !lexer_expect(&p->lexer, ")"))
		return NULL;
	if (n->op == OP_FIELD) {
		n->op = OP_HAS_FIELD;
		n->type = TYPE_BOOL;
		n->end = 0; /* the call is placed anew, around it */
		return n;
	}
	return lexer_refuse(&p->lexer, at,
	                    "has() takes attributes[\"...\"].StringValue and the like; for a key write \"...\" in attributes");
}

/* ---- expressions ----------------------------------------------------------------------------------------------------------------- */

static struct filter_node *parse_list(struct parser *p)
{
	struct filter_node *list = node_make(p, OP_LIST, TYPE_LIST), **last = list ? &list->operands[0] : NULL;
	if (list)
		list->element = TYPE_NULL;
	while (list && !lexer_accept(&p->lexer, "]")) {
		size_t here = p->lexer.token.at;
		if (!node_list_add(p, here, list, &last, parse_expression(p)))
			return NULL;
		if (!lexer_is(&p->lexer, "]") && !lexer_expect(&p->lexer, ","))
			return NULL;
	}
	return list;
}

static struct filter_node *parse_call(struct parser *p, const struct token *name)
{
	struct filter_node *argument;
	if (token_reads(name, "has"))
		return parse_has(p, name->at);
	if (token_reads(name, "size")) {
		argument = parse_expression(p);
		return lexer_expect(&p->lexer, ")") ? node_size(p, name->at, argument) : NULL;
	}
	if (token_reads(name, "matches")) { /* the one string function that CEL has in this form, too */
		struct filter_node *text = parse_expression(p);
		if (!text || !lexer_expect(&p->lexer, ","))
			return NULL;
		argument = parse_expression(p);
		return lexer_expect(&p->lexer, ")") ? node_string_function(p, name->at, OP_MATCHES, text, argument) : NULL;
	}
	if (is_standard(name))
		return unsupported_name(p, name, "()");
	return lexer_refuse(&p->lexer, name->at, "unknown function; size(), has() and matches() are known");
}

static struct filter_node *parse_variable(struct parser *p, const struct token *name)
{
	for (unsigned i = p->n_variables; i-- > 0;) {
		const struct variable *v = &p->variables[i];
		if (v->len != name->len || memcmp(v->name, name->text, v->len) != 0)
			continue;
		struct filter_node *n = node_make(p, OP_VARIABLE, v->type);
		if (n)
			n->slot = i;
		return n;
	}
	if (token_reads(name, "device"))
		return lexer_refuse(&p->lexer, name->at,
		                    "\"device\" belongs to the selectors of claims and classes; here it is attributes[\"dra.net/ifName\"]."
		                    "StringValue and the like");
	if (is_standard(name))
		return unsupported_name(p, name, "");
	return lexer_refuse(&p->lexer, name->at, "unknown name; \"attributes\" is known");
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
	if (lexer_accept(&p->lexer, "("))
		return parse_call(p, name);
	for (size_t i = 0; i < ELEMENTS(words); i++)
		if (token_reads(name, words[i].text)) {
			struct filter_node *n = node_make(p, words[i].op, words[i].type);
			if (n)
				n->boolean = name->text[0] == 't';
			return n;
		}
	return parse_variable(p, name);
}

static struct filter_node *parse_integer(struct parser *p, bool negative)
{
	uint64_t magnitude = p->lexer.token.magnitude;
	if (magnitude > (uint64_t)INT64_MAX + negative)
		return lexer_refuse(&p->lexer, p->lexer.token.at, "the number is too large");
	struct filter_node *n = node_make(p, OP_LITERAL, TYPE_INT);
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
		struct filter_node *n = node_string(p, buf_text(&p->lexer.token.string), p->lexer.token.string.len);
		lexer_next(&p->lexer);
		return n;
	}
	if (lexer_accept(&p->lexer, "(")) {
		struct filter_node *n = parse_expression(p);
		return lexer_expect(&p->lexer, ")") ? n : NULL;
	}
	if (lexer_accept(&p->lexer, "["))
		return parse_list(p);
	if (name.type != TOKEN_NAME || lexer_is(&p->lexer, "in"))
		return lexer_unexpected(&p->lexer, "a value");
	lexer_next(&p->lexer);
	return parse_name(p, &name);
}

/* Where a node stands in the expression: from `begin` to what was read last. Parentheses around it are no part of it. */
static struct filter_node *placed(struct parser *p, struct filter_node *n, size_t begin)
{
	if (n && n->end == 0) {
		n->begin = begin;
		n->end = p->lexer.behind;
	}
	return p->lexer.rc ? NULL : n;
}

static struct filter_node *parse_postfix(struct parser *p)
{
	size_t begin = p->lexer.token.at;
	struct filter_node *n = placed(p, parse_primary(p), begin);
	while (n) {
		size_t at = p->lexer.token.at;
		if (lexer_accept(&p->lexer, ".")) {
			struct token name = p->lexer.token;
			if (name.type != TOKEN_NAME)
				return lexer_unexpected(&p->lexer, "a field or a function");
			lexer_next(&p->lexer);
			n = lexer_accept(&p->lexer, "(") ? parse_method(p, n, &name) : node_select(p, n, &name);
		} else if (lexer_accept(&p->lexer, "[")) {
			struct filter_node *key = parse_expression(p);
			n = lexer_expect(&p->lexer, "]") ? node_subscript(p, at, n, key) : NULL;
		} else
			break;
		n = placed(p, n, begin);
	}
	return n;
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
		return placed(p, parse_integer(p, true), at);
	if (!nest(p))
		return NULL;
	struct filter_node *n = parse_unary(p);
	p->nesting--;
	enum filter_type type = negate ? TYPE_INT : TYPE_BOOL;
	return node_has_type(p, at, n, type) ? placed(p, node_make1(p, at, negate ? OP_NEGATE : OP_NOT, type, n), at) : NULL;
}

static struct filter_node *parse_binary(struct parser *p, unsigned power)
{
	size_t begin = p->lexer.token.at;
	struct filter_node *left = parse_unary(p);
	const struct infix *o;
	while (left && (o = infix_here(p)) && o->power >= power) {
		size_t at = p->lexer.token.at;
		lexer_next(&p->lexer);
		left = placed(p, node_binary(p, at, o, left, parse_binary(p, o->power + 1)), begin);
	}
	return p->lexer.rc ? NULL : left;
}

static struct filter_node *parse_expression(struct parser *p)
{
	size_t begin = p->lexer.token.at;
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
	return placed(p, node_choice(p, at, condition, then, otherwise), begin);
}

int filter_parse(const char *expression, struct filter *f, size_t *fault, struct error *e)
{
	struct parser p = {.lexer = {.text = expression, .error = e}, .filter = f};
	lexer_next(&p.lexer);
	struct filter_node *root = parse_expression(&p);
	if (!p.lexer.rc && p.lexer.token.type != TOKEN_END)
		lexer_unexpected(&p.lexer, "an operator or the end");
	if (!p.lexer.rc)
		node_has_type(&p, 0, root, TYPE_BOOL);
	buf_free(&p.lexer.token.string);
	if (p.lexer.rc)
		*fault = p.lexer.fault;
	else
		f->root = root;
	return p.lexer.rc;
}
