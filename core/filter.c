/* SPDX-License-Identifier: Apache-2.0 */
/* Evaluation of the device filter. */
#include "core/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/filter_tree.h"

enum {
	PATTERN_MAX = 256,    /* bytes */
	REPETITION_MAX = 1000 /* of all {n,m} together, RE2's limit; the C library's compiler unrolls them */
};

struct value_of {
	enum filter_type type;
	union {
		bool boolean;
		int64_t integer;
		const char *string;
		const struct attribute *attribute;
		const struct filter_node *list;
	};
};

struct run {
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n;
	struct error error; /* the last one; counts only when the whole expression fails */
};

/* ---- patterns -------------------------------------------------------------------------------------------------------------------- */

static unsigned repetition(const char *brace)
{
	unsigned long first = strtoul(brace + 1, NULL, 10), second = 0;
	const char *comma = brace + 1 + strspn(brace + 1, "0123456789");
	if (*comma == ',')
		second = strtoul(comma + 1, NULL, 10);
	unsigned long most = first > second ? first : second;
	return most > REPETITION_MAX ? REPETITION_MAX + 1 : most ? (unsigned)most : 1;
}

/* glibc writes a repetition out: x{9} nine times, a group with + twice; nested they multiply. `before` is the byte before the operator. */
static unsigned unrolled(const char *operator, char before)
{
	if (*operator== '{')
		return repetition(operator);
	return *operator== '+' && before == ')' ? 2 : 1;
}

/* The last byte of the bracket expression that starts at `c`: what looks like an operator in it is none. */
static const char *bracket_end(const char *c)
{
	const char *at = c + 1;
	at += *at == '^';
	at += *at == ']';
	const char *end = strchr(at, ']');
	return end ? end : c;
}

int filter_regex(const char *pattern, regex_t *ret, struct error *e)
{
	static const char escapes[] = "wWsSbB", operators[] = "*+?{";
	unsigned total = 1;
	char before = 0; /* the byte before, 0 after an escape; '}' ends an operator too */
	if (strlen(pattern) > PATTERN_MAX)
		return error_set(e, -EINVAL, "the pattern is longer than %d bytes", PATTERN_MAX);
	for (const char *c = pattern; *c; c++) {
		bool letter = c[0] == '\\' && ((c[1] >= '0' && c[1] <= '9') || ((c[1] | 32) >= 'a' && (c[1] | 32) <= 'z'));
		if (letter && !strchr(escapes, c[1]))
			return error_set(e, -EINVAL, "the pattern has \\%c, which POSIX extended expressions do not have", c[1]);
		bool repeats = strchr(operators, *c) != NULL;
		if (repeats && before && strchr("*+?}", before)) /* RE2 refuses it, and glibc takes gigabytes for a long run of + */
			return error_set(e, -EINVAL, "the pattern repeats a repetition at \"%.8s\"", c);
		if (repeats && (total *= unrolled(c, before)) > REPETITION_MAX)
			return error_set(e, -EINVAL, "the pattern repeats more than %d times", REPETITION_MAX);
		before = *c;
		if (*c == '[')
			before = *(c = bracket_end(c));
		if (c[0] == '\\' && c[1]) {
			before = 0;
			c++;
		}
	}
	int rc = regcomp(ret, pattern, REG_EXTENDED | REG_NOSUB);
	if (!rc)
		return 0;
	char reason[128];
	regerror(rc, ret, reason, sizeof(reason));
	return error_set(e, -EINVAL, "the pattern is no POSIX extended expression: %s", reason);
}

static int regex_matches(struct run *r, const struct filter_node *n, const char *text, const char *pattern)
{
	if (n->regex)
		return regexec(n->regex, text, 0, NULL, 0) == 0;
	regex_t made;
	int rc = filter_regex(pattern, &made, &r->error);
	if (rc < 0)
		return rc;
	bool found = regexec(&made, text, 0, NULL, 0) == 0;
	regfree(&made);
	return found;
}

/* ---- evaluation ------------------------------------------------------------------------------------------------------------------ */

/* 0 and `*ret`, or a negative errno with r->error. */
static int evaluate(struct run *r, const struct filter_node *n, struct value_of *ret);

static const struct attribute *attribute_find(const struct run *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_equal(r->attributes[i].name, name))
			return &r->attributes[i];
	return NULL;
}

static bool attribute_has(const struct attribute *a, enum filter_field field)
{
	static const enum attribute_type types[] = {
	    [FIELD_STRING_VALUE] = ATTRIBUTE_STRING, [FIELD_INT_VALUE] = ATTRIBUTE_INT, [FIELD_BOOL_VALUE] = ATTRIBUTE_BOOL};
	return field != FIELD_VERSION_VALUE && a->type == types[field];
}

/* A field of another kind reads as the zero of its type, as Go's unset pointers do for DRANET. */
static struct value_of attribute_field(const struct attribute *a, enum filter_field field)
{
	bool has = attribute_has(a, field);
	if (field == FIELD_INT_VALUE)
		return (struct value_of){TYPE_INT, .integer = has ? a->integer : 0};
	if (field == FIELD_BOOL_VALUE)
		return (struct value_of){TYPE_BOOL, .boolean = has && a->boolean};
	return (struct value_of){TYPE_STRING, .string = has ? a->string : ""};
}

static bool values_equal(const struct value_of *a, const struct value_of *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case TYPE_BOOL:
		return a->boolean == b->boolean;
	case TYPE_INT:
		return a->integer == b->integer;
	case TYPE_STRING:
		return str_equal(a->string, b->string);
	case TYPE_NULL:
		return true;
	case TYPE_LIST:
	case TYPE_MAP:
	case TYPE_ATTRIBUTE:
		break;
	}
	return false;
}

/* <0, 0, >0; UTF-8 sorts by bytes as by code points. */
static int values_order(const struct value_of *a, const struct value_of *b)
{
	if (a->type == TYPE_STRING)
		return strcmp(a->string, b->string);
	if (a->type == TYPE_BOOL)
		return a->boolean - b->boolean;
	return (a->integer > b->integer) - (a->integer < b->integer);
}

static int compute(struct run *r, enum filter_op op, int64_t a, int64_t b, int64_t *ret)
{
	bool overflow = false;
	if ((op == OP_DIVIDE || op == OP_MODULO) && b == 0)
		return error_set(&r->error, -EDOM, "division by zero");
	if (op == OP_ADD)
		overflow = __builtin_add_overflow(a, b, ret);
	else if (op == OP_SUBTRACT)
		overflow = __builtin_sub_overflow(a, b, ret);
	else if (op == OP_MULTIPLY)
		overflow = __builtin_mul_overflow(a, b, ret);
	else if (a == INT64_MIN && b == -1)
		overflow = true;
	else
		*ret = op == OP_DIVIDE ? a / b : a % b;
	return overflow ? error_set(&r->error, -EOVERFLOW, "the result does not fit into 64 bits") : 0;
}

/* && and ||: the side that decides wins over an error of the other, whichever comes first. */
static int evaluate_logic(struct run *r, const struct filter_node *n, bool decides, struct value_of *ret)
{
	struct value_of a = {.type = TYPE_NULL}, b = {.type = TYPE_NULL};
	int rc_a = evaluate(r, n->operands[0], &a);
	if (rc_a == 0 && a.boolean == decides) {
		*ret = a;
		return 0;
	}
	int rc_b = evaluate(r, n->operands[1], &b);
	if (rc_b == 0 && b.boolean == decides) {
		*ret = b;
		return 0;
	}
	*ret = (struct value_of){TYPE_BOOL, .boolean = !decides};
	return rc_a ? rc_a : rc_b;
}

/* All elements are evaluated, because an error in one is an error of the list. `sought` may be NULL. */
static int evaluate_list(struct run *r, const struct filter_node *list, const struct value_of *sought, bool *found, size_t *size)
{
	*found = false;
	*size = 0;
	for (const struct filter_node *e = list->operands[0]; e; e = e->sibling) {
		struct value_of element;
		int rc = evaluate(r, e, &element);
		if (rc)
			return rc;
		*found |= sought && values_equal(&element, sought);
		++*size;
	}
	return 0;
}

static int evaluate_size(struct run *r, const struct value_of *of, int64_t *ret)
{
	bool found;
	size_t size = 0;
	int rc = 0;
	if (of->type == TYPE_MAP)
		size = r->n;
	else if (of->type == TYPE_LIST)
		rc = evaluate_list(r, of->list, NULL, &found, &size);
	else
		for (const char *c = of->string; *c; c++)
			size += ((unsigned char)*c & 0xc0) != 0x80; /* code points */
	*ret = (int64_t)size;
	return rc;
}

static bool string_ends(const char *text, const char *end)
{
	size_t text_len = strlen(text), len = strlen(end);
	return len <= text_len && str_equal(text + text_len - len, end);
}

/* Operations on values that are there: everything but logic and choice. */
static int apply(struct run *r, const struct filter_node *n, const struct value_of *a, const struct value_of *b, struct value_of *ret)
{
	struct value_of v = {.type = n->type};
	size_t size;
	int rc = 0;
	switch (n->op) {
	case OP_LOOKUP:
		v.attribute = attribute_find(r, b->string);
		if (!v.attribute)
			rc = error_set(&r->error, -ENOENT, "no such attribute: \"%s\"", b->string);
		break;
	case OP_FIELD:
		v = attribute_field(a->attribute, n->field);
		break;
	case OP_HAS_FIELD:
		v.boolean = attribute_has(a->attribute, n->field);
		break;
	case OP_IN_MAP:
		v.boolean = attribute_find(r, a->string) != NULL;
		break;
	case OP_IN_LIST:
		rc = evaluate_list(r, b->list, a, &v.boolean, &size);
		break;
	case OP_NOT:
		v.boolean = !a->boolean;
		break;
	case OP_NEGATE:
		rc = compute(r, OP_SUBTRACT, 0, a->integer, &v.integer);
		break;
	case OP_EQUAL:
		v.boolean = values_equal(a, b);
		break;
	case OP_NOT_EQUAL:
		v.boolean = !values_equal(a, b);
		break;
	case OP_LESS:
		v.boolean = values_order(a, b) < 0;
		break;
	case OP_LESS_EQUAL:
		v.boolean = values_order(a, b) <= 0;
		break;
	case OP_GREATER:
		v.boolean = values_order(a, b) > 0;
		break;
	case OP_GREATER_EQUAL:
		v.boolean = values_order(a, b) >= 0;
		break;
	case OP_SIZE:
		rc = evaluate_size(r, a, &v.integer);
		break;
	case OP_STARTS_WITH:
		v.boolean = str_starts(a->string, b->string);
		break;
	case OP_ENDS_WITH:
		v.boolean = string_ends(a->string, b->string);
		break;
	case OP_CONTAINS:
		v.boolean = strstr(a->string, b->string) != NULL;
		break;
	case OP_MATCHES:
		rc = regex_matches(r, n, a->string, b->string);
		v.boolean = rc > 0;
		rc = rc < 0 ? rc : 0;
		break;
	default: /* arithmetic */
		rc = compute(r, n->op, a->integer, b->integer, &v.integer);
		break;
	}
	if (rc == 0)
		*ret = v;
	return rc;
}

static int evaluate(struct run *r, const struct filter_node *n, struct value_of *ret)
{
	struct value_of operands[2] = {{.type = TYPE_NULL}, {.type = TYPE_NULL}};
	switch (n->op) {
	case OP_LITERAL:
		*ret = (struct value_of){.type = n->type};
		if (n->type == TYPE_BOOL)
			ret->boolean = n->boolean;
		else if (n->type == TYPE_INT)
			ret->integer = n->integer;
		else if (n->type == TYPE_STRING)
			ret->string = n->string;
		return 0;
	case OP_LIST:
		*ret = (struct value_of){TYPE_LIST, .list = n};
		return 0;
	case OP_ATTRIBUTES:
		*ret = (struct value_of){.type = TYPE_MAP};
		return 0;
	case OP_AND:
		return evaluate_logic(r, n, false, ret);
	case OP_OR:
		return evaluate_logic(r, n, true, ret);
	default:
		break;
	}
	int rc = evaluate(r, n->operands[0], &operands[0]);
	if (!rc && n->op == OP_CHOOSE)
		return evaluate(r, n->operands[operands[0].boolean ? 1 : 2], ret);
	if (!rc && n->operands[1])
		rc = evaluate(r, n->operands[1], &operands[1]);
	return rc ? rc : apply(r, n, &operands[0], &operands[1], ret);
}

/* ---- the filter ------------------------------------------------------------------------------------------------------------------ */

int filter_compile(const char *expression, struct filter **ret, struct error *e)
{
	struct filter *f = calloc(1, sizeof(*f));
	if (!f)
		return error_set(e, -ENOMEM, "out of memory");
	if (expression[0]) {
		int rc = filter_parse(expression, f, e);
		if (rc < 0) {
			filter_free(f);
			return rc;
		}
	}
	*ret = f;
	return 0;
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	for (struct filter_node *n = f->made, *next; n; n = next) {
		next = n->made_next;
		if (n->op == OP_LITERAL && n->type == TYPE_STRING)
			free(n->string);
		if (n->regex)
			regfree(n->regex);
		free(n->regex);
		free(n);
	}
	free(f);
}

bool filter_keeps(const struct filter *f, const struct device_facts *facts, struct error *e)
{
	if (!f->root)
		return true;
	struct run r = {0};
	struct value_of v = {.type = TYPE_NULL};
	r.n = device_attributes(facts, r.attributes);
	int rc = evaluate(&r, f->root, &v);
	if (rc < 0) {
		error_set(e, rc, "%s", r.error.text);
		return true;
	}
	return v.boolean;
}
