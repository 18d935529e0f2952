/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api_private.h"
#include "k8s/json_value.h"

enum { RETRY_AFTER_MAX_S = 600, PLAIN_TEXT_MAX = 200, BODY_JSON_MAX = 16 << 20 };

/* By status and, where it matters, Status.reason; the first row that fits. */
static const struct {
	long from, to;
	const char *reason;
	int result;
} results[] = {
    {200, 299, NULL, 0},
    {400, 400, NULL, -EINVAL},
    {401, 401, NULL, -EACCES},
    {403, 403, NULL, -EACCES},
    {404, 404, NULL, -ENOENT},
    {405, 405, NULL, -EOPNOTSUPP},
    {409, 409, "AlreadyExists", -EEXIST},
    {409, 409, NULL, -ESTALE},
    {410, 410, NULL, -ESTALE},
    {413, 413, NULL, -E2BIG},
    {415, 415, NULL, -EOPNOTSUPP},
    {422, 422, NULL, -EINVAL},
    {429, 429, NULL, -EAGAIN},
    {500, 599, NULL, -EAGAIN},
};

static int result_of(long status, const char *reason)
{
	for (size_t i = 0; i < ELEMENTS(results); i++)
		if (status >= results[i].from && status <= results[i].to && (!results[i].reason || !strcmp(results[i].reason, reason)))
			return results[i].result;
	return -EPROTO;
}

/* Before 1.38 an unknown path is answered by plain text, and proxies answer with pages: their beginning, on one line. */
static void plain_copy(char *to, size_t size, const char *body, size_t len)
{
	size_t n = 0;
	for (size_t i = 0; i < len && n + 1 < size; i++) {
		unsigned char c = (unsigned char)body[i];
		if (c >= 0x20 && c < 0x7f)
			to[n++] = (char)c;
		else if (n && to[n - 1] != ' ')
			to[n++] = ' ';
	}
	while (n && to[n - 1] == ' ')
		n--;
	to[n] = '\0';
}

static void line_clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20)
			*text = ' ';
}

/* An opaque configuration is stored by the API server as its author wrote it, so one object may hold a key twice. jansson would silently
 * keep the last; read strictly first and remember what was wrong. */
static json_t *body_parse(const char *body, size_t len, char *duplicate, size_t size, json_error_t *error)
{
	json_t *json = json_loadb(body, len, JSON_REJECT_DUPLICATES, error);
	if (json || json_error_code(error) != json_error_duplicate_key)
		return json;
	str_cut(duplicate, size, error->text);
	line_clean(duplicate);
	return json_loadb(body, len, 0, error);
}

static uint32_t retry_after(const struct http_response *response, const json_t *status)
{
	json_int_t s = response->retry_after_s;
	if (s < 0)
		s = json_integer_value(json_member(status, "details.retryAfterSeconds"));
	if (s <= 0)
		return 0;
	return (uint32_t)(s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : s) * 1000;
}

void api_reading_take(struct api_reading *r, const char *method, const char *path, const struct http_response *response, const char *body,
                      size_t len, bool as_text)
{
	json_error_t error = {.text = "no JSON"};
	char plain[PLAIN_TEXT_MAX] = "";
	*r = (struct api_reading){0};
	if (as_text && response->status >= 200 && response->status < 300) {
		r->answer = (struct api_answer){
		    .status = response->status, .error = r->error.text, .text = body, .text_len = len, .duplicate = r->duplicate};
		return;
	}
	if (len && len <= BODY_JSON_MAX)
		r->body = body_parse(body, len, r->duplicate, sizeof(r->duplicate), &error);
	const char *reason = json_member_text(r->body, "reason");
	r->answer = (struct api_answer){
	    .result = result_of(response->status, reason),
	    .status = response->status,
	    .error = r->error.text,
	    .body = r->body,
	    .duplicate = r->duplicate,
	};
	if (r->answer.result == 0) {
		if (len && !r->body)
			r->answer.result = error_set(&r->error, -EBADMSG, "%s %s: the answer is no JSON: %s", method, path, error.text);
		return;
	}
	r->answer.retry_after_ms = retry_after(response, r->body);
	if (!r->body)
		plain_copy(plain, sizeof(plain), body, len);
	const char *message = r->body ? json_member_text(r->body, "message") : plain;
	error_set(&r->error, r->answer.result, "%s %s: %ld%s%s%s%s", method, path, response->status, *reason ? " " : "", reason,
	          *message ? ": " : "", message);
	line_clean(r->error.text);
}

void api_reading_free(struct api_reading *r)
{
	json_decref(r->body);
	r->body = NULL;
}

bool api_answer_path_unknown(const struct api_answer *answer)
{
	return answer->status == 404 && !*json_member_text(json_member(answer->body, "details"), "name");
}

bool api_answer_is_list(const struct api_answer *answer)
{
	const json_t *items = json_object_get(answer->body, "items");
	return (!items || json_is_array(items) || json_is_null(items)) &&
	       *json_member_text(json_member(answer->body, "metadata"), "resourceVersion");
}

void url_add(struct buf *b, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-._~", c))
			buf_add(b, &c, 1);
		else
			buf_printf(b, "%%%02X", c);
	}
}

void time_format(int64_t unix_s, char ret[TIME_TEXT_MAX])
{
	time_t t = (time_t)unix_s;
	struct tm tm;
	ret[0] = '\0';
	if (gmtime_r(&t, &tm))
		strftime(ret, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
