/* SPDX-License-Identifier: Apache-2.0 */
/* A watch's body in pieces: the first byte says how long they are. Whatever the pieces, the lines are the same as in one piece. And what is
 * read of a line without a tree of it is what the tree says. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/str.h"
#include "k8s/json_value.h"
#include "k8s/slice_object.h"
#include "k8s/watch_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct slice_identity identity = {.driver = "dra.net", .node = "n", .node_uid = "u"};

static void check(bool right)
{
	if (!right)
		abort();
}

static void scan_compare(struct json_span text)
{
	struct slice_observed a, b;
	json_error_t error;
	if (slice_scan(text.at, text.len, &identity, &a) < 0)
		return;
	/* What was skipped may be no JSON. Of keys that come twice both take the last. */
	json_t *object = json_loadb(text.at, text.len, 0, &error);
	if (!object)
		return;
	check(slice_observe(object, &identity, &b) == 0);
	check(str_equal(a.name, b.name) && str_equal(a.uid, b.uid) && str_equal(a.version, b.version) && str_equal(a.owner, b.owner));
	check(a.index == b.index && a.generation == b.generation && a.count == b.count);
	check(slice_digest_equal(&a.digest, &b.digest) && a.digest.names == b.digest.names);
	json_decref(object);
}

static void glance_compare(const char *text, size_t len)
{
	struct watch_glance g;
	json_error_t error;
	if (watch_event_glance(text, len, &g) < 0)
		return;
	/* What was not looked at may be no JSON. */
	json_t *event = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	json_t *object = json_object_get(event, "object"), *metadata = json_object_get(object, "metadata");
	if (event) {
		check(json_span_equal(g.name, json_member_text(metadata, "name")));
		check(json_span_equal(g.version, json_member_text(metadata, "resourceVersion")));
	}
	json_decref(event);
	scan_compare(g.object);
}

static bool on_line(const char *text, size_t len, void *user)
{
	struct watch_event e;
	struct slice_observed o;
	buf_add(user, text, len);
	buf_puts(user, "\n");
	glance_compare(text, len);
	if (watch_event_parse(text, len, &e) < 0)
		return true;
	bool more = e.type != WATCH_ERROR;
	if (more && slice_observe(e.object, &identity, &o) == 0)
		check(*o.name && *o.version);
	watch_event_free(&e);
	return more;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct watch_lines whole = {0}, pieces = {0};
	struct buf a = {0}, b = {0};
	int r = 0, s = 0;
	if (!size)
		return 0;
	size_t step = data[0] % 37 + 1;
	r = watch_lines_feed(&whole, data + 1, size - 1, on_line, &a);
	for (size_t at = 1; at < size && s == 0; at += step)
		s = watch_lines_feed(&pieces, data + at, size - at < step ? size - at : step, on_line, &b);
	check(r == s && a.len == b.len && (!a.len || memcmp(a.data, b.data, a.len) == 0));
	watch_lines_reset(&whole);
	watch_lines_reset(&pieces);
	buf_free(&a);
	buf_free(&b);
	return 0;
}
