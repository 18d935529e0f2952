/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/api_credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"

static void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void secret_free(char **s)
{
	if (*s)
		explicit_bzero(*s, strlen(*s));
	free(*s);
	*s = NULL;
}

void api_config_free(struct api_config *c)
{
	secret_free(&c->key_pem);
	secret_free(&c->token);
	secret_free(&c->password);
	free(c->server);
	free(c->ca_pem);
	free(c->certificate_pem);
	free(c->server_name);
	free(c->proxy_url);
	free(c->ca_path);
	free(c->certificate_path);
	free(c->key_path);
	free(c->token_path);
	free(c->username);
	*c = (struct api_config){0};
}

static int file_read(const char *path, struct stat *st, char **ret, size_t *ret_len, struct error *e)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, st) < 0)
		return error_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st->st_mode))
		return error_set(e, -EINVAL, "%s: not a regular file", path);
	if (st->st_size > CREDENTIAL_SIZE_MAX)
		return error_set(e, -E2BIG, "%s: %lld bytes, at most %d are read", path, (long long)st->st_size, CREDENTIAL_SIZE_MAX);
	size_t cap = (size_t)st->st_size, len = 0;
	char *text = malloc(cap + 1);
	if (!text)
		return error_set(e, -ENOMEM, "%s: out of memory", path);
	while (len < cap) {
		ssize_t n = read(fd, text + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int r = error_set(e, -errno, "%s: %s", path, strerror(errno));
			secret_free(&text);
			return r;
		}
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	if (memchr(text, '\0', len)) {
		free(text);
		return error_set(e, -EINVAL, "%s: holds a NUL byte", path);
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

int credential_read(const char *path, char **ret, size_t *ret_len, struct error *e)
{
	struct stat st;
	return file_read(path, &st, ret, ret_len, e);
}

static bool file_changed(const struct credential_file *f, const char *path, uint64_t now_ms)
{
	struct stat st;
	if (!f->known || now_ms - f->read_ms >= CREDENTIAL_REREAD_MS || stat(path, &st) < 0)
		return true;
	return f->device != st.st_dev || f->inode != st.st_ino || f->size != (uint64_t)st.st_size || f->modified_s != st.st_mtim.tv_sec ||
	       f->modified_ns != st.st_mtim.tv_nsec;
}

static void text_trim(char *text)
{
	size_t n = strlen(text);
	while (n && strchr(" \t\r\n", text[n - 1]))
		text[--n] = '\0';
}

/* 1 = the text is another now. */
static int file_refresh(struct credential_file *f, const char *path, bool token, uint64_t now_ms, bool force, char **text, struct error *e)
{
	if (!path || (!force && !file_changed(f, path, now_ms)))
		return 0;
	char *fresh = NULL;
	size_t len = 0;
	struct stat st;
	int r = file_read(path, &st, &fresh, &len, e);
	if (fresh && token)
		text_trim(fresh);
	/* A token goes into a header line, where a line break would begin another header. */
	if (fresh && (token ? !str_is_token(fresh) : !len)) {
		r = error_set(e, -EINVAL, "%s: %s", path, *fresh ? "not a token" : "empty");
		secret_free(&fresh);
	}
	if (!fresh)
		return *text ? 0 : r;
	*f = (struct credential_file){.known = true,
	                              .device = st.st_dev,
	                              .inode = st.st_ino,
	                              .size = (uint64_t)st.st_size,
	                              .modified_s = st.st_mtim.tv_sec,
	                              .modified_ns = st.st_mtim.tv_nsec,
	                              .read_ms = now_ms};
	bool same = str_equal(*text, fresh);
	secret_free(text);
	*text = fresh;
	return !same;
}

int credentials_refresh(struct credentials *c, uint64_t now_ms, bool force, bool *ret_tls, struct error *e)
{
	struct api_config *g = &c->config;
	struct {
		struct credential_file *file;
		const char *path;
		char **text;
	} const files[] = {
	    {&c->ca, g->ca_path, &g->ca_pem},
	    {&c->certificate, g->certificate_path, &g->certificate_pem},
	    {&c->key, g->key_path, &g->key_pem},
	    {&c->token, g->token_path, &g->token},
	};
	bool tls = false;
	for (size_t i = 0; i < ELEMENTS(files); i++) {
		bool token = files[i].file == &c->token;
		int r = file_refresh(files[i].file, files[i].path, token, now_ms, force, files[i].text, e);
		if (r < 0)
			return r;
		tls = tls || (r > 0 && !token);
	}
	*ret_tls = tls;
	return 0;
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void base64_encode(struct buf *b, const char *text)
{
	size_t len = strlen(text);
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = 0;
		size_t n = len - i < 3 ? len - i : 3;
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < n ? (uint8_t)text[i + k] : 0);
		char out[4];
		for (size_t k = 0; k < 4; k++)
			out[k] = k <= n ? base64_alphabet[v >> (18 - 6 * k) & 63] : '=';
		buf_add(b, out, sizeof(out));
	}
}

int base64_decode(const char *text, char **ret)
{
	size_t len = strlen(text), n = 0, symbols = 0, padding = 0;
	_cleanup_free_ char *out = malloc(len / 4 * 3 + 4);
	uint32_t v = 0;
	if (!out)
		return -ENOMEM;
	for (const char *p = text; *p; p++) {
		if (*p == '\r' || *p == '\n')
			continue;
		const char *at = strchr(base64_alphabet, *p);
		if (*p == '=' && symbols % 4 >= 2 && ++padding <= 2)
			v <<= 6;
		else if (!at || padding)
			return -EINVAL;
		else
			v = v << 6 | (uint32_t)(at - base64_alphabet);
		if (++symbols % 4)
			continue;
		for (int shift = 16; shift >= (int)padding * 8; shift -= 8)
			out[n++] = (char)(v >> shift & 255);
		v = 0;
	}
	if (symbols % 4)
		return -EINVAL;
	out[n] = '\0';
	if (strlen(out) != n)
		return -EINVAL;
	*ret = TAKE_PTR(out);
	return 0;
}

int credentials_header(const struct credentials *c, char **ret)
{
	_cleanup_buf_ struct buf b = {0}, pair = {0};
	if (c->config.token) {
		buf_printf(&b, "Authorization: Bearer %s", c->config.token);
	} else if (c->config.username) {
		buf_printf(&pair, "%s:%s", c->config.username, c->config.password ? c->config.password : "");
		buf_puts(&b, "Authorization: Basic ");
		base64_encode(&b, buf_text(&pair));
	} else {
		*ret = NULL;
		return 0;
	}
	char *header = b.failed || pair.failed ? NULL : strdup(buf_text(&b));
	explicit_bzero(b.data, b.len);
	if (pair.data)
		explicit_bzero(pair.data, pair.len);
	if (!header)
		return -ENOMEM;
	*ret = header;
	return 0;
}
