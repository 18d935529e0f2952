/* SPDX-License-Identifier: Apache-2.0 */
#include "core/filter_eval.h"

#include <errno.h>
#include <string.h>

#include "core/base/str.h"

enum { STEPS_MAX = 20000 }; /* operations for one device: nested macros multiply */

/* A search takes as many steps as it visits instructions for characters, a hundred at a time. */
static void charge(struct filter_run *r, const struct pattern *p, const char *text)
{
	r->steps += (unsigned)(pattern_size(p) * strlen(text) / 100);
}

static int pattern_applies(struct filter_run *r, const struct filter_node *n, const char *text, const char *pattern)
{
	struct pattern *made = NULL;
	int rc = n->pattern ? 0 : pattern_compile(pattern, &made, &r->error);
	if (rc < 0)
		return rc;
	struct pattern *p = n->pattern ? n->pattern : made;
	charge(r, p, text);
	rc = pattern_matches(p, text);
	pattern_free(made);
	return rc;
}

void filter_run_init(struct filter_run *r, const struct device_facts *facts)
{
	*r = (struct filter_run){0};
	r->n = device_attributes(facts, r->attributes);
}

static const struct attribute *attribute_find(const struct filter_run *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (str_equal(r->attributes[i].name, name))
			return &r->attributes[i];
	return NULL;
}

bool filter_attribute_has(const struct attribute *a, enum filter_field field)
{
	switch (field) {
	case FIELD_STRING_VALUE:
		return a->type == ATTRIBUTE_STRING;
	case FIELD_INT_VALUE:
		return a->type == ATTRIBUTE_INT;
	case FIELD_BOOL_VALUE:
		return a->type == ATTRIBUTE_BOOL;
	case FIELD_INT_VALUES:
		return a->type == ATTRIBUTE_INTS;
	case FIELD_VERSION_VALUE: /* no device has a version or another list */
	case FIELD_STRING_VALUES:
	case FIELD_BOOL_VALUES:
	case FIELD_VERSION_VALUES:
	case FIELDS:
		break;
	}
	return false;
}

/* A field of another kind reads as the zero of its type, as Go's unset pointers and slices do for DRANET. */
static struct filter_value attribute_field(const struct attribute *a, const struct filter_node *n)
{
	bool has = filter_attribute_has(a, n->field);
	if (n->type == TYPE_LIST)
		return (struct filter_value){TYPE_LIST, .attribute_list = has ? a : NULL};
	if (n->type == TYPE_INT)
		return (struct filter_value){TYPE_INT, .integer = has ? a->integer : 0};
	if (n->type == TYPE_BOOL)
		return (struct filter_value){TYPE_BOOL, .boolean = has && a->boolean};
	return (struct filter_value){TYPE_STRING, .string = has ? a->string : ""};
}

static bool values_equal(const struct filter_value *a, const struct filter_value *b)
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
static int values_order(const struct filter_value *a, const struct filter_value *b)
{
	if (a->type == TYPE_STRING)
		return strcmp(a->string, b->string);
	if (a->type == TYPE_BOOL)
		return a->boolean - b->boolean;
	return (a->integer > b->integer) - (a->integer < b->integer);
}

static int compute(struct filter_run *r, enum filter_op op, int64_t a, int64_t b, int64_t *ret)
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
static int evaluate_logic(struct filter_run *r, const struct filter_node *n, bool decides, struct filter_value *ret)
{
	struct filter_value a = {.type = TYPE_NULL}, b = {.type = TYPE_NULL};
	int rc_a = filter_evaluate(r, n->operands[0], &a);
	if (rc_a == 0 && a.boolean == decides) {
		*ret = a;
		return 0;
	}
	int rc_b = filter_evaluate(r, n->operands[1], &b);
	if (rc_b == 0 && b.boolean == decides) {
		*ret = b;
		return 0;
	}
	*ret = (struct filter_value){TYPE_BOOL, .boolean = !decides};
	return rc_a ? rc_a : rc_b;
}

/* The elements one after the other: of a list in the expression, or of an attribute. */
struct list_walk {
	const struct filter_node *node;
	const struct attribute *of;
	size_t at;
};

static struct list_walk list_begin(const struct filter_value *list)
{
	return (struct list_walk){.node = list->list ? list->list->operands[0] : NULL, .of = list->list ? NULL : list->attribute_list};
}

/* 1 and `*ret`; 0 = there is no more; or a negative errno. */
static int list_next(struct filter_run *r, struct list_walk *w, struct filter_value *ret)
{
	if (w->of && w->at < w->of->n_integers) {
		*ret = (struct filter_value){TYPE_INT, .integer = w->of->integers[w->at++]};
		return 1;
	}
	if (!w->node)
		return 0;
	int rc = filter_evaluate(r, w->node, ret);
	w->node = w->node->sibling;
	return rc < 0 ? rc : 1;
}

/* All elements are evaluated, because an error in one is an error of the list. `sought` may be NULL. */
static int evaluate_list(struct filter_run *r, const struct filter_value *list, const struct filter_value *sought, bool *found,
                         size_t *size)
{
	struct list_walk w = list_begin(list);
	struct filter_value element = {.type = TYPE_NULL};
	int rc;
	*found = false;
	for (*size = 0; (rc = list_next(r, &w, &element)) > 0; ++*size)
		*found |= sought && values_equal(&element, sought);
	return rc;
}

static int evaluate_index(struct filter_run *r, const struct filter_value *list, int64_t index, struct filter_value *ret)
{
	bool found;
	size_t size;
	int rc = evaluate_list(r, list, NULL, &found, &size);
	if (rc)
		return rc;
	if (index < 0 || (uint64_t)index >= size)
		return error_set(&r->error, -ERANGE, "index %lld of a list of %zu", (long long)index, size);
	struct list_walk w = list_begin(list);
	for (rc = 1; index >= 0 && rc > 0; index--)
		rc = list_next(r, &w, ret);
	return rc < 0 ? rc : 0;
}

/* all() is && over the elements, exists() is ||, also in what becomes of errors; exists_one() knows only when all are known. */
struct fold {
	const struct filter_node *macro;
	int64_t yes;
	bool decided;
	int rc;
};

static void fold_element(struct filter_run *r, struct fold *f, const struct filter_value *element)
{
	struct filter_value v = {.type = TYPE_NULL};
	r->slots[f->macro->slot] = *element;
	int rc = filter_evaluate(r, f->macro->operands[1], &v);
	if (rc < 0)
		f->rc = rc;
	else
		f->yes += v.boolean;
	f->decided |= rc == 0 && ((f->macro->op == OP_ALL && !v.boolean) || (f->macro->op == OP_EXISTS && v.boolean));
}

static int evaluate_macro(struct filter_run *r, const struct filter_node *n, struct filter_value *ret)
{
	struct filter_value over = {.type = TYPE_NULL}, element;
	struct fold f = {.macro = n};
	bool found;
	size_t size;
	int rc = filter_evaluate(r, n->operands[0], &over);
	if (!rc && over.type == TYPE_LIST)
		rc = evaluate_list(r, &over, NULL, &found, &size);
	if (rc)
		return rc;
	if (over.type == TYPE_MAP) {
		for (size_t i = 0; i < r->n && !f.decided; i++)
			fold_element(r, &f, &(struct filter_value){TYPE_STRING, .string = r->attributes[i].name});
	} else {
		struct list_walk w = list_begin(&over);
		while (!f.decided && (rc = list_next(r, &w, &element)) > 0)
			fold_element(r, &f, &element);
		if (rc < 0) /* out of steps */
			return rc;
	}
	if (f.rc && !f.decided)
		return f.rc;
	*ret = (struct filter_value){TYPE_BOOL, .boolean = n->op == OP_ALL ? !f.decided : n->op == OP_EXISTS ? f.decided : f.yes == 1};
	return 0;
}

static int evaluate_size(struct filter_run *r, const struct filter_value *of, int64_t *ret)
{
	bool found;
	size_t size = 0;
	int rc = 0;
	if (of->type == TYPE_MAP)
		size = r->n;
	else if (of->type == TYPE_LIST)
		rc = evaluate_list(r, of, NULL, &found, &size);
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
static int apply(struct filter_run *r, const struct filter_node *n, const struct filter_value *a, const struct filter_value *b,
                 struct filter_value *ret)
{
	struct filter_value v = {.type = n->type};
	size_t size;
	int rc = 0;
	switch (n->op) {
	case OP_LOOKUP:
		v.attribute = attribute_find(r, b->string);
		if (!v.attribute)
			rc = error_set(&r->error, -ENOENT, "no such key: \"%s\"", b->string);
		break;
	case OP_INDEX:
		rc = evaluate_index(r, a, b->integer, &v);
		break;
	case OP_FIELD:
		v = attribute_field(a->attribute, n);
		break;
	case OP_HAS_FIELD:
		v.boolean = filter_attribute_has(a->attribute, n->field);
		break;
	case OP_IN_MAP:
		v.boolean = attribute_find(r, a->string) != NULL;
		break;
	case OP_IN_LIST:
		rc = evaluate_list(r, b, a, &v.boolean, &size);
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
		rc = pattern_applies(r, n, a->string, b->string);
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

int filter_evaluate(struct filter_run *r, const struct filter_node *n, struct filter_value *ret)
{
	struct filter_value operands[2] = {{.type = TYPE_NULL}, {.type = TYPE_NULL}};
	if (++r->steps > STEPS_MAX)
		return error_set(&r->error, -E2BIG, "more than %d operations", STEPS_MAX);
	switch (n->op) {
	case OP_LITERAL:
		*ret = (struct filter_value){.type = n->type};
		if (n->type == TYPE_BOOL)
			ret->boolean = n->boolean;
		else if (n->type == TYPE_INT)
			ret->integer = n->integer;
		else if (n->type == TYPE_STRING)
			ret->string = n->string;
		return 0;
	case OP_LIST:
		*ret = (struct filter_value){TYPE_LIST, .list = n};
		return 0;
	case OP_ATTRIBUTES:
		*ret = (struct filter_value){.type = TYPE_MAP};
		return 0;
	case OP_VARIABLE:
		*ret = r->slots[n->slot];
		return 0;
	case OP_ALL:
	case OP_EXISTS:
	case OP_EXISTS_ONE:
		return evaluate_macro(r, n, ret);
	case OP_AND:
		return evaluate_logic(r, n, false, ret);
	case OP_OR:
		return evaluate_logic(r, n, true, ret);
	default:
		break;
	}
	int rc = filter_evaluate(r, n->operands[0], &operands[0]);
	if (!rc && n->op == OP_CHOOSE)
		return filter_evaluate(r, n->operands[operands[0].boolean ? 1 : 2], ret);
	if (!rc && n->operands[1])
		rc = filter_evaluate(r, n->operands[1], &operands[1]);
	return rc ? rc : apply(r, n, &operands[0], &operands[1], ret);
}
