/* SPDX-License-Identifier: Apache-2.0 */
/* The device filter: making it and asking it. */
#include "core/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/filter_eval.h"

enum { EXPRESSION_MAX = 16384 }; /* bytes; Kubernetes allows a selector 10 KiB */

int filter_compile(const char *expression, struct filter **ret, size_t *fault, struct error *e)
{
	size_t at = 0;
	struct filter *f = calloc(1, sizeof(*f));
	if (!f || !(f->text = strdup(expression))) {
		filter_free(f);
		return error_set(e, -ENOMEM, "out of memory");
	}
	int rc = 0;
	if (strlen(expression) > EXPRESSION_MAX)
		rc = error_set(e, -EINVAL, "at 1:1: the expression has %zu bytes, more than %d", strlen(expression), EXPRESSION_MAX);
	else if (expression[0])
		rc = filter_parse(f->text, f, &at, e);
	if (rc < 0) {
		if (fault)
			*fault = at;
		filter_free(f);
		return rc;
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
		pattern_free(n->pattern);
		free(n);
	}
	free(f->text);
	free(f);
}

bool filter_keeps(const struct filter *f, const struct device_facts *facts, struct error *e)
{
	struct filter_run r;
	struct filter_value v = {.type = TYPE_NULL};
	if (!f->root)
		return true;
	filter_run_init(&r, facts);
	int rc = filter_evaluate(&r, f->root, &v);
	if (rc < 0) {
		error_set(e, rc, "%s", r.error.text);
		return true;
	}
	return v.boolean;
}
