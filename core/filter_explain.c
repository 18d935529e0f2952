/* SPDX-License-Identifier: Apache-2.0 */
/* Why a filter keeps or drops a device: the comparisons and tests that decided, out of the logic around them, each with what it saw. */
#include <inttypes.h>
#include <string.h>

#include "core/filter_eval.h"

struct explainer {
	struct filter_run run;
	const struct filter *filter;
	struct buf *to;
	bool more; /* something was said already */
};

/* Each question anew: what was spent on the others does not count. */
static int ask(struct explainer *x, const struct filter_node *n, struct filter_value *ret)
{
	x->run.steps = 0;
	return filter_evaluate(&x->run, n, ret);
}

static void say_attribute(struct explainer *x, const struct attribute *a)
{
	switch (a->type) {
	case ATTRIBUTE_STRING:
		buf_printf(x->to, "a string, \"%s\"", a->string);
		break;
	case ATTRIBUTE_INT:
		buf_printf(x->to, "an integer, %" PRId64, a->integer);
		break;
	case ATTRIBUTE_BOOL:
		buf_printf(x->to, "a boolean, %s", a->boolean ? "true" : "false");
		break;
	case ATTRIBUTE_INTS:
		buf_puts(x->to, "a list of integers");
		for (size_t i = 0; i < a->n_integers; i++)
			buf_printf(x->to, "%s%" PRId32, i ? ", " : ": ", a->integers[i]);
		break;
	}
}

/* A field that the attribute does not have reads as the zero of its type, which is what most people are surprised by. */
static void say_unset_field(struct explainer *x, const struct filter_node *n)
{
	struct filter_value of;
	if (n->op != OP_FIELD || ask(x, n->operands[0], &of) < 0 || filter_attribute_has(of.attribute, n->field))
		return;
	buf_printf(x->to, " (%s is ", of.attribute->name);
	say_attribute(x, of.attribute);
	buf_puts(x->to, ")");
}

static void say_value(struct explainer *x, const struct filter_node *n, const struct filter_value *v)
{
	switch (v->type) {
	case TYPE_BOOL:
		buf_puts(x->to, v->boolean ? "true" : "false");
		break;
	case TYPE_INT:
		buf_printf(x->to, "%" PRId64, v->integer);
		break;
	case TYPE_STRING:
		buf_printf(x->to, "\"%s\"", v->string);
		break;
	case TYPE_NULL:
	case TYPE_LIST:
	case TYPE_MAP:
	case TYPE_ATTRIBUTE:
		break;
	}
	say_unset_field(x, n);
}

static bool is_telling(const struct filter_node *n)
{
	bool plain = n->type == TYPE_BOOL || n->type == TYPE_INT || n->type == TYPE_STRING;
	return plain && n->op != OP_LITERAL && n->op != OP_VARIABLE;
}

/* The values of what a test looked at, as far as the expression does not say them itself. */
static void say_operands(struct explainer *x, const struct filter_node *n)
{
	const char *before = ": the value is ";
	struct filter_value v;
	if (n->op == OP_FIELD) {
		say_unset_field(x, n);
		return;
	}
	if (n->op == OP_ALL || n->op == OP_EXISTS || n->op == OP_EXISTS_ONE)
		return; /* what it looked at is its variable, which has many values */
	for (size_t i = 0; i < 2 && n->operands[i]; i++) {
		if (!is_telling(n->operands[i]) || ask(x, n->operands[i], &v) < 0)
			continue;
		buf_puts(x->to, before);
		say_value(x, n->operands[i], &v);
		before = " and ";
	}
}

static void say_source(struct explainer *x, const struct filter_node *n)
{
	if (x->more)
		buf_puts(x->to, "; ");
	x->more = true;
	for (const char *c = x->filter->text + n->begin; c < x->filter->text + n->end; c++)
		buf_add(x->to, *c == '\n' || *c == '\r' || *c == '\t' ? " " : c, 1);
}

static void explain(struct explainer *x, const struct filter_node *n);

/* The first operand that gives what decides; where none does, both gave the other, and both count. */
static void explain_logic(struct explainer *x, const struct filter_node *n, bool decides)
{
	struct filter_value v;
	for (size_t i = 0; i < 2; i++)
		if (ask(x, n->operands[i], &v) == 0 && v.boolean == decides) {
			explain(x, n->operands[i]);
			return;
		}
	bool failed = ask(x, n, &v) < 0;
	for (size_t i = 0; i < 2; i++)
		if (!failed || ask(x, n->operands[i], &v) < 0)
			explain(x, n->operands[i]);
}

/* A node of type boolean. */
static void explain(struct explainer *x, const struct filter_node *n)
{
	struct filter_value v;
	if (n->op == OP_AND || n->op == OP_OR) {
		explain_logic(x, n, n->op == OP_OR);
		return;
	}
	if (n->op == OP_NOT) {
		explain(x, n->operands[0]);
		return;
	}
	if (n->op == OP_CHOOSE) {
		explain(x, n->operands[0]);
		if (ask(x, n->operands[0], &v) == 0)
			explain(x, n->operands[v.boolean ? 1 : 2]);
		return;
	}
	say_source(x, n);
	if (ask(x, n, &v) < 0) {
		buf_printf(x->to, "  error: %s", x->run.error.text);
		return;
	}
	if (n->op == OP_LITERAL)
		return;
	buf_printf(x->to, "  is %s", v.boolean ? "true" : "false");
	say_operands(x, n);
}

bool filter_explain(const struct filter *f, const struct device_facts *facts, struct buf *ret)
{
	struct error failed = {0};
	bool keeps = filter_keeps(f, facts, &failed);
	struct explainer x = {.filter = f, .to = ret};
	if (!f->root) {
		buf_puts(ret, "the filter is empty");
		return keeps;
	}
	filter_run_init(&x.run, facts);
	explain(&x, f->root);
	return keeps;
}

void filter_show_fault(const char *expression, size_t fault, struct buf *ret)
{
	size_t begin = fault, end = fault + strcspn(expression + fault, "\n");
	while (begin > 0 && expression[begin - 1] != '\n')
		begin--;
	for (size_t i = begin; i < end; i++)
		buf_add(ret, expression[i] == '\t' || expression[i] == '\r' ? " " : &expression[i], 1);
	buf_puts(ret, "\n");
	for (size_t i = begin; i < fault; i++)
		if (((unsigned char)expression[i] & 0xc0) != 0x80)
			buf_puts(ret, " ");
	buf_puts(ret, "^\n");
}
