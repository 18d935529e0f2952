/* SPDX-License-Identifier: Apache-2.0 */
/* The reference page: its examples are good, and show every key of the schema. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/str.h"
#include "core/config_schema.h"
#include "k8s/kubeconfig_yaml.h"

enum { EXAMPLES_MAX = 16 };

/* The reader of YAML leaves scalars as strings; the API server's makes these of plain ones. The examples quote what must stay text. */
static void scalars_typed(struct value *v)
{
	if (v->type == VALUE_STRING) {
		char *end, *text = v->string;
		long long integer = strtoll(text, &end, 10);
		if (*text && !*end)
			*v = (struct value){.type = VALUE_INT, .integer = integer};
		else if (str_equal(text, "true") || str_equal(text, "false"))
			*v = (struct value){.type = VALUE_BOOL, .boolean = text[0] == 't'};
		else
			return;
		free(text);
	} else if (v->type == VALUE_ARRAY || v->type == VALUE_OBJECT)
		for (size_t i = 0; i < v->n; i++)
			scalars_typed(&v->items[i]);
}

/* The blocks of the page, as values. */
static size_t examples_read(struct value ret[EXAMPLES_MAX])
{
	static const char begin[] = "```yaml\n", end[] = "```\n";
	_cleanup_buf_ struct buf page = {0};
	config_reference_print(&page);
	size_t n = 0;
	for (const char *at = buf_text(&page); (at = strstr(at, begin)); n++) {
		struct error e = {0};
		at += strlen(begin);
		const char *stop = strstr(at, end);
		assert_non_null(stop);
		assert_true(n < EXAMPLES_MAX);
		if (yaml_tree_parse(at, (size_t)(stop - at), &ret[n], &e) < 0)
			fail_msg("%s\n%.*s", e.text, (int)(stop - at), at);
		scalars_typed(&ret[n]);
	}
	return n;
}

static void examples_free(struct value *examples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		value_free(&examples[i]);
}

static void test_examples_are_good(void **state)
{
	(void)state;
	struct value examples[EXAMPLES_MAX];
	size_t n = examples_read(examples);
	assert_true(n >= 5);
	for (size_t i = 0; i < n; i++) {
		struct network_config c;
		struct error e = {0};
		if (network_config_parse(&examples[i], &c, &e) < 0)
			fail_msg("example %zu: %s", i, e.text);
		network_config_free(&c);
	}
	examples_free(examples, n);
}

/* Whether the path is in the value; "[]" stands for any element. */
static bool has_path(const struct value *v, const struct config_field *const *path, size_t n)
{
	if (!n)
		return true;
	const struct value *member = value_get(v, path[0]->key);
	if (!member)
		return false;
	if (path[0]->type != CONFIG_OBJECTS)
		return has_path(member, path + 1, n - 1);
	for (size_t i = 0; i < member->n; i++)
		if (has_path(&member->items[i], path + 1, n - 1))
			return true;
	return false;
}

static size_t expect_shown(const struct config_members *members, const struct config_field **path, size_t depth,
                           const struct value *examples, size_t n_examples)
{
	size_t n = 0;
	for (size_t i = 0; i < members->n; i++) {
		path[depth] = &members->fields[i];
		bool shown = false;
		for (size_t k = 0; k < n_examples; k++)
			shown |= has_path(&examples[k], path, depth + 1);
		if (!shown)
			fail_msg("no example shows \"%s\" of the object at depth %zu", path[depth]->key, depth);
		n++;
		if (path[depth]->members)
			n += expect_shown(path[depth]->members, path, depth + 1, examples, n_examples);
	}
	return n;
}

static void test_examples_show_every_key(void **state)
{
	(void)state;
	struct value examples[EXAMPLES_MAX];
	const struct config_field *path[8];
	size_t n = examples_read(examples);
	size_t keys = expect_shown(&config_document, path, 0, examples, n);
	print_message("%zu keys\n", keys);
	assert_true(keys > 60);
	examples_free(examples, n);
}

static void test_every_row_is_whole(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf page = {0};
	config_reference_print(&page);
	assert_false(page.failed);
	assert_null(strstr(buf_text(&page), "(null)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_examples_are_good),
	    cmocka_unit_test(test_examples_show_every_key),
	    cmocka_unit_test(test_every_row_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
