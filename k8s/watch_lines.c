/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/watch_lines.h"

#include <errno.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/json_value.h"

static bool line_end(const char *text, size_t len, bool (*line)(const char *text, size_t len, void *user), void *user)
{
	if (len && text[len - 1] == '\r')
		len--;
	return !len || line(text, len, user);
}

int watch_lines_feed(struct watch_lines *l, const void *data, size_t len, bool (*line)(const char *text, size_t len, void *user),
                     void *user)
{
	const char *at = data;
	l->rest.limit = WATCH_LINE_MAX + 1;
	while (len) {
		const char *end = memchr(at, '\n', len);
		size_t n = end ? (size_t)(end - at) : len;
		if (n > WATCH_LINE_MAX - l->rest.len)
			return -EMSGSIZE;
		if (!end || l->rest.len) {
			buf_add(&l->rest, at, n);
			if (l->rest.failed)
				return -ENOMEM;
		}
		if (!end)
			return 0;
		bool more = l->rest.len ? line_end((const char *)l->rest.data, l->rest.len, line, user) : line_end(at, n, line, user);
		if (!more)
			return 1;
		buf_free(&l->rest);
		at += n + 1;
		len -= n + 1;
	}
	return 0;
}

void watch_lines_reset(struct watch_lines *l)
{
	buf_free(&l->rest);
}

static const char *const type_names[] = {
    [WATCH_ADDED] = "ADDED",       [WATCH_MODIFIED] = "MODIFIED", [WATCH_DELETED] = "DELETED",
    [WATCH_BOOKMARK] = "BOOKMARK", [WATCH_ERROR] = "ERROR",
};

int watch_event_parse(const char *text, size_t len, struct watch_event *ret)
{
	json_error_t error;
	json_t *document = json_loadb(text, len, 0, &error);
	if (!document)
		return -EBADMSG;
	const char *type = json_member_text(document, "type");
	struct watch_event e = {.document = document, .object = json_object_get(document, "object")};
	size_t i = 0;
	while (i < ELEMENTS(type_names) && strcmp(type, type_names[i]) != 0)
		i++;
	if (i == ELEMENTS(type_names) || !json_is_object(e.object)) {
		json_decref(document);
		return -EBADMSG;
	}
	e.type = (enum watch_type)i;
	e.resource_version = json_member_text(json_object_get(e.object, "metadata"), "resourceVersion");
	const char *reason = json_member_text(e.object, "reason");
	e.expired = e.type == WATCH_ERROR &&
	            (json_integer_value(json_object_get(e.object, "code")) == 410 || !strcmp(reason, "Expired") || !strcmp(reason, "Gone"));
	*ret = e;
	return 0;
}

void watch_event_free(struct watch_event *e)
{
	json_decref(e->document);
	*e = (struct watch_event){0};
}

/* Servers write the metadata before everything long. */
static void glance_object(struct json_scan *s, struct watch_glance *g)
{
	struct json_span key;
	json_scan_open(s, '{');
	while (json_scan_member(s, &key) && !json_span_equal(key, "metadata"))
		json_scan_skip(s);
	json_scan_open(s, '{');
	while ((!g->name.len || !g->version.len) && json_scan_member(s, &key)) {
		if (json_span_equal(key, "name"))
			g->name = json_scan_text(s);
		else if (json_span_equal(key, "resourceVersion"))
			g->version = json_scan_text(s);
		else
			json_scan_skip(s);
	}
}

int watch_event_glance(const char *text, size_t len, struct watch_glance *ret)
{
	struct json_scan s = json_scan_over(text, len);
	struct watch_glance g = {0};
	struct json_span key = {0}, type;
	json_scan_open(&s, '{');
	if (!json_scan_member(&s, &key) || !json_span_equal(key, "type"))
		return -EBADMSG;
	type = json_scan_text(&s);
	if (!json_span_equal(type, type_names[WATCH_ADDED]) && !json_span_equal(type, type_names[WATCH_MODIFIED]))
		return -EBADMSG;
	if (!json_scan_member(&s, &key) || !json_span_equal(key, "object") || text[len - 1] != '}')
		return -EBADMSG;
	g.object = (struct json_span){s.at, (size_t)(text + len - 1 - s.at)};
	glance_object(&s, &g);
	if (s.failed || !g.name.len || !g.version.len)
		return -EBADMSG;
	*ret = g;
	return 0;
}
