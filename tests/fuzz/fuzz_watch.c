/* SPDX-License-Identifier: Apache-2.0 */
/* A watch's body in pieces: the first byte says how long they are. Whatever the pieces, the lines are the same as in one piece. */
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "k8s/slice_object.h"
#include "k8s/watch_lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool on_line(const char *text, size_t len, void *user)
{
	static const struct slice_identity identity = {.driver = "dra.net", .node = "n", .node_uid = "u"};
	struct watch_event e;
	struct slice_observed o;
	buf_add(user, text, len);
	buf_puts(user, "\n");
	if (watch_event_parse(text, len, &e) < 0)
		return true;
	bool more = e.type != WATCH_ERROR;
	if (more && slice_observe(e.object, &identity, &o) == 0 && (!*o.name || !*o.version))
		abort();
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
	if (r != s || a.len != b.len || (a.len && memcmp(a.data, b.data, a.len) != 0))
		abort();
	watch_lines_reset(&whole);
	watch_lines_reset(&pieces);
	buf_free(&a);
	buf_free(&b);
	return 0;
}
