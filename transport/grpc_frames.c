/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <nghttp2/nghttp2.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "transport/grpc_internal.h"

int grpc_timeout_parse(const char *text, size_t len, uint64_t *ret_ms)
{
	static const struct {
		char unit;
		uint64_t per_ms, ms; /* one of the two is 1 */
	} units[] = {
	    {'H', 1, 3600000}, {'M', 1, 60000}, {'S', 1, 1000}, {'m', 1, 1}, {'u', 1000, 1}, {'n', 1000000, 1},
	};
	if (len < 2 || len > 9)
		return -EINVAL;
	uint64_t value = 0;
	for (size_t i = 0; i < len - 1; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	for (size_t i = 0; i < ELEMENTS(units); i++) {
		if (units[i].unit != text[len - 1])
			continue;
		*ret_ms = (value + units[i].per_ms - 1) / units[i].per_ms * units[i].ms;
		return 0;
	}
	return -EINVAL;
}

void grpc_message_encode(struct buf *to, const char *text)
{
	static const char hex[] = "0123456789ABCDEF";
	char cut[GRPC_MAX_TEXT];
	str_cut(cut, sizeof(cut), text);
	for (const char *p = cut; *p; p++) {
		unsigned char c = (unsigned char)*p;
		if (c >= 0x20 && c <= 0x7e && c != '%')
			buf_add(to, &c, 1);
		else
			buf_add(to, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
	}
}

static struct grpc_verdict refuse(enum grpc_code code, const char *text)
{
	return (struct grpc_verdict){.code = code, .text = text};
}

static struct grpc_verdict deframer_head(struct grpc_deframer *d)
{
	d->want = (size_t)d->head[1] << 24 | (size_t)d->head[2] << 16 | (size_t)d->head[3] << 8 | d->head[4];
	/* A grpc-encoding other than identity was refused with the headers, so a compressed message has none. */
	if (d->head[0] != 0)
		return refuse(GRPC_INTERNAL, "compressed message without grpc-encoding");
	if (d->want > d->max)
		return refuse(GRPC_RESOURCE_EXHAUSTED, "request message is larger than the limit");
	d->message.limit = d->max;
	return refuse(GRPC_OK, NULL);
}

struct grpc_verdict grpc_deframer_feed(struct grpc_deframer *d, const uint8_t *data, size_t len)
{
	while (len) {
		size_t part;
		if (d->head_len < sizeof(d->head)) {
			part = sizeof(d->head) - d->head_len;
			part = part < len ? part : len;
			memcpy(d->head + d->head_len, data, part);
			d->head_len += part;
			if (d->head_len == sizeof(d->head)) {
				struct grpc_verdict v = deframer_head(d);
				if (v.code != GRPC_OK)
					return v;
			}
		} else {
			part = d->want - d->message.len;
			part = part < len ? part : len;
			/* doc/statuscodes.md of gRPC: more than one request message to a unary method is UNIMPLEMENTED. */
			if (!part)
				return refuse(GRPC_UNIMPLEMENTED, "more than one request message");
			buf_add(&d->message, data, part);
			if (d->message.failed)
				return refuse(GRPC_RESOURCE_EXHAUSTED, "no memory for the request message");
		}
		data += part;
		len -= part;
	}
	return refuse(GRPC_OK, NULL);
}

struct grpc_verdict grpc_deframer_end(const struct grpc_deframer *d)
{
	if (d->head_len == 0)
		return refuse(GRPC_UNIMPLEMENTED, "no request message");
	if (d->head_len < sizeof(d->head) || d->message.len < d->want)
		return refuse(GRPC_INTERNAL, "request message is cut off");
	return refuse(GRPC_OK, NULL);
}

struct field {
	const uint8_t *name, *value;
	size_t name_len, value_len;
};

static bool name_is(const struct field *f, const char *name)
{
	return f->name_len == strlen(name) && memcmp(f->name, name, f->name_len) == 0;
}

static bool value_is(const struct field *f, const char *value)
{
	return f->value_len == strlen(value) && memcmp(f->value, value, f->value_len) == 0;
}

/* "application/grpc", alone or followed by a format ("+proto") or parameters. */
static bool value_is_grpc(const struct field *f)
{
	static const char type[] = "application/grpc";
	size_t len = sizeof(type) - 1;
	if (f->value_len < len || strncasecmp((const char *)f->value, type, len) != 0)
		return false;
	return f->value_len == len || f->value[len] == '+' || f->value[len] == ';';
}

/* RFC 9113 §8.3: each pseudo-header once, all before the others, and no unknown one. */
static void request_pseudo(struct grpc_request *r, const struct field *f)
{
	bool *seen = name_is(f, ":method")      ? &r->method
	             : name_is(f, ":scheme")    ? &r->scheme
	             : name_is(f, ":authority") ? &r->authority
	             : name_is(f, ":path")      ? &r->has_path
	                                        : NULL;
	if (!seen || *seen || r->regular) {
		r->malformed = true;
		return;
	}
	*seen = true;
	if (seen == &r->method)
		r->wrong_method = !value_is(f, "POST");
	/* A path longer than any method of ours stays "" and is found nowhere. */
	if (seen == &r->has_path && f->value_len < sizeof(r->path))
		memcpy(r->path, f->value, f->value_len);
}

static bool is_connection_header(const struct field *f)
{
	static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"};
	for (size_t i = 0; i < ELEMENTS(names); i++)
		if (name_is(f, names[i]))
			return true;
	return name_is(f, "te") && !value_is(f, "trailers");
}

void grpc_request_header(struct grpc_request *r, const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len)
{
	const struct field f = {name, value, name_len, value_len};
	r->list_size += name_len + value_len + 32;
	if (r->list_size > GRPC_MAX_HEADER_LIST)
		return;
	if (!nghttp2_check_header_name(name, name_len) || !nghttp2_check_header_value(value, value_len) || is_connection_header(&f)) {
		r->malformed = true;
		return;
	}
	if (name[0] == ':') {
		request_pseudo(r, &f);
		return;
	}
	r->regular = true;
	if (name_is(&f, "content-type")) {
		r->content_type = true;
		r->wrong_content_type = !value_is_grpc(&f);
	} else if (name_is(&f, "grpc-encoding")) {
		r->wrong_encoding = !value_is(&f, "identity");
	} else if (name_is(&f, "grpc-timeout")) {
		r->timeout = true;
		r->wrong_timeout = grpc_timeout_parse((const char *)value, value_len, &r->timeout_ms) < 0;
	}
}

struct grpc_verdict grpc_request_verdict(struct grpc_request *r)
{
	if (r->list_size > GRPC_MAX_HEADER_LIST)
		return refuse(GRPC_RESOURCE_EXHAUSTED, "header list is larger than 16 KiB");
	if (r->malformed || !r->method || !r->has_path || !r->scheme)
		return (struct grpc_verdict){.code = GRPC_INTERNAL, .text = "malformed request", .reset = true};
	/* HTTP statuses and codes as grpc-go answers. */
	if (r->wrong_method)
		return (struct grpc_verdict){.code = GRPC_INTERNAL, .text = "method is not POST", .http_status = 405};
	if (!r->content_type || r->wrong_content_type)
		return (struct grpc_verdict){
		    .code = GRPC_INVALID_ARGUMENT, .text = "content-type is not application/grpc", .http_status = 415};
	if (r->wrong_encoding)
		return refuse(GRPC_UNIMPLEMENTED, "grpc-encoding is not supported");
	if (r->wrong_timeout)
		return refuse(GRPC_INTERNAL, "malformed grpc-timeout");
	return refuse(GRPC_OK, NULL);
}
