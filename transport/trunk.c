/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/trunk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "core/base/cleanup.h"
#include "transport/trunk_internal.h"

enum {
	READ_BYTES = 64 << 10,
	/* The peer's mux closes when more than 256 frames wait for its ttrpc reader. We cannot see that queue, so a large answer goes out
	 * in bursts of half of it, with time between for the reader to run. Never reached but by a reply above 512 KiB. */
	BURST_FRAMES = 128,
	BURST_MS = 2,
};

struct trunk {
	uv_loop_t *loop;
	struct trunk_callbacks callbacks;
	void *user;
	uv_pipe_t pipe;
	uv_timer_t deadline; /* of our requests */
	uv_timer_t pace;     /* the pause after a burst */
	uv_idle_t flusher;   /* writes what was queued: never within a callback, and once for all of a loop iteration */
	uv_connect_t connect;
	uv_write_t write;
	int open_handles;
	struct ttrpc *ttrpc;
	uint64_t alarm;
	struct buf burst;  /* what `write` is sending */
	size_t burst_left; /* frames */
	uint64_t burst_at;
	uint32_t peer_pid;
	bool connected, writing, failed, closing;
	uint8_t input[READ_BYTES];
};

static void trunk_fail(struct trunk *t, int result, const char *why)
{
	if (t->failed || t->closing)
		return;
	t->failed = true;
	uv_read_stop((uv_stream_t *)&t->pipe);
	uv_idle_stop(&t->flusher);
	uv_timer_stop(&t->pace);
	t->callbacks.closed(t, result, why, t->user);
}

/* ---- writing ---- */

static void trunk_flush(struct trunk *t);

static void on_written(uv_write_t *write, int status)
{
	struct trunk *t = write->data;
	t->writing = false;
	buf_free(&t->burst);
	if (status < 0)
		trunk_fail(t, status, uv_strerror(status));
	else
		trunk_flush(t);
}

static void on_pause_over(uv_timer_t *pace)
{
	trunk_flush(pace->data);
}

/* Send whole frames, at most what is left of the burst. Returns 0, or negative errno. */
static int trunk_write(struct trunk *t, struct buf *out)
{
	size_t frames = 0, len = 0;
	while (frames < t->burst_left && len < out->len) {
		len += mux_span(out->data + len, out->len - len, 1);
		frames++;
	}
	uv_buf_t all = uv_buf_init((char *)out->data, (unsigned)len);
	int n = uv_try_write((uv_stream_t *)&t->pipe, &all, 1);
	if (n < 0 && n != UV_EAGAIN)
		return n;
	size_t sent = n > 0 ? (size_t)n : 0;
	t->burst_left -= frames;
	if (sent < len) {
		buf_add(&t->burst, out->data + sent, len - sent);
		if (t->burst.failed)
			return -ENOMEM;
		uv_buf_t rest = uv_buf_init((char *)t->burst.data, (unsigned)t->burst.len);
		t->write.data = t;
		int r = uv_write(&t->write, (uv_stream_t *)&t->pipe, &rest, 1, on_written);
		if (r < 0)
			return r;
		t->writing = true;
	}
	buf_consume(out, len);
	return 0;
}

static void trunk_flush(struct trunk *t)
{
	struct buf *out = ttrpc_output(t->ttrpc);
	if (!t->connected || t->failed || t->closing)
		return;
	if (out->failed) {
		trunk_fail(t, -ENOBUFS, "the runtime does not read what it asked for");
		return;
	}
	uint64_t now = uv_now(t->loop);
	if (now - t->burst_at >= BURST_MS) {
		t->burst_at = now;
		t->burst_left = BURST_FRAMES;
	}
	while (out->len && !t->writing && t->burst_left) {
		int r = trunk_write(t, out);
		if (r < 0) {
			trunk_fail(t, r, uv_strerror(r));
			return;
		}
	}
	if (!out->len)
		buf_free(out);
	if (out->len && !t->writing && !uv_is_active((uv_handle_t *)&t->pace))
		uv_timer_start(&t->pace, on_pause_over, BURST_MS, 0);
}

/* ---- hooks ---- */

static uint64_t hook_now(void *user)
{
	const struct trunk *t = user;
	return uv_now(t->loop);
}

static void on_flusher(uv_idle_t *flusher)
{
	uv_idle_stop(flusher);
	trunk_flush(flusher->data);
}

static void hook_wake(void *user)
{
	struct trunk *t = user;
	if (!t->failed && !t->closing)
		uv_idle_start(&t->flusher, on_flusher);
}

static void on_deadline(uv_timer_t *timer);

static void hook_alarm(uint64_t at, void *user)
{
	struct trunk *t = user;
	if (at >= t->alarm || t->closing)
		return;
	uint64_t now = uv_now(t->loop);
	t->alarm = at;
	uv_timer_start(&t->deadline, on_deadline, at > now ? at - now : 0, 0);
}

static void on_deadline(uv_timer_t *timer)
{
	struct trunk *t = timer->data;
	t->alarm = UINT64_MAX;
	uint64_t next = ttrpc_expire(t->ttrpc, uv_now(t->loop));
	if (next != UINT64_MAX)
		hook_alarm(next, t);
}

static void hook_request(struct ttrpc_call *call, const struct ttrpc_request *r, uint64_t timeout_ms, void *user)
{
	struct trunk *t = user;
	t->callbacks.request(t, call, r->service, r->method, r->payload ? r->payload : (const uint8_t *)"", r->payload_len, timeout_ms,
	                     t->user);
}

static const struct ttrpc_hooks hooks = {.now = hook_now, .wake = hook_wake, .alarm = hook_alarm, .request = hook_request};

/* ---- the socket ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct trunk *t = handle->data;
	(void)suggested;
	*buf = uv_buf_init((char *)t->input, sizeof(t->input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct trunk *t = stream->data;
	if (n == UV_EOF)
		trunk_fail(t, -ECONNRESET, "the runtime closed the connection");
	else if (n < 0)
		trunk_fail(t, (int)n, uv_strerror((int)n));
	if (n <= 0)
		return;
	const char *why = NULL;
	int r = ttrpc_receive(t->ttrpc, (const uint8_t *)buf->base, (size_t)n, &why);
	if (r < 0)
		trunk_fail(t, r, why);
	else
		trunk_flush(t);
}

static void trunk_learn_peer(struct trunk *t)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uv_os_fd_t fd;
	if (uv_fileno((uv_handle_t *)&t->pipe, &fd) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid > 0)
		t->peer_pid = (uint32_t)peer.pid;
}

static void on_connect(uv_connect_t *connect, int status)
{
	struct trunk *t = connect->data;
	if (t->closing)
		return;
	if (status == 0)
		status = uv_read_start((uv_stream_t *)&t->pipe, on_alloc, on_read);
	if (status < 0) {
		trunk_fail(t, status, uv_strerror(status));
		return;
	}
	t->connected = true;
	trunk_learn_peer(t);
	t->callbacks.connected(t, t->user);
}

int trunk_connect(uv_loop_t *loop, const char *path, const struct trunk_callbacks *callbacks, void *user, struct trunk **ret,
                  struct error *e)
{
	size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
	if (!*path || strlen(path) > max) /* libuv would cut it silently */
		return error_set(e, -ENAMETOOLONG, "socket path '%s' is empty or longer than %zu bytes", path, max);
	struct trunk *t = calloc(1, sizeof(*t));
	if (!t || ttrpc_new(&hooks, t, &t->ttrpc) < 0) {
		free(t);
		return error_set(e, -ENOMEM, "no memory for the connection to %s", path);
	}
	t->loop = loop;
	t->callbacks = *callbacks;
	t->user = user;
	t->alarm = UINT64_MAX;
	t->burst_left = BURST_FRAMES;
	uv_pipe_init(loop, &t->pipe, 0);
	uv_timer_init(loop, &t->deadline);
	uv_timer_init(loop, &t->pace);
	uv_idle_init(loop, &t->flusher);
	t->open_handles = 4;
	t->pipe.data = t->deadline.data = t->pace.data = t->flusher.data = t->connect.data = t;
	uv_pipe_connect(&t->connect, &t->pipe, path, on_connect);
	*ret = t;
	return 0;
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct trunk *t = handle->data;
	if (--t->open_handles)
		return;
	ttrpc_free(t->ttrpc);
	buf_free(&t->burst);
	free(t);
}

void trunk_close(struct trunk *t)
{
	if (!t || t->closing)
		return;
	t->closing = true;
	ttrpc_stop(t->ttrpc);
	uv_close((uv_handle_t *)&t->pipe, on_handle_closed);
	uv_close((uv_handle_t *)&t->deadline, on_handle_closed);
	uv_close((uv_handle_t *)&t->pace, on_handle_closed);
	uv_close((uv_handle_t *)&t->flusher, on_handle_closed);
}

uint32_t trunk_peer_pid(const struct trunk *t)
{
	return t->peer_pid;
}

int trunk_request(struct trunk *t, const char *service, const char *method, const uint8_t *payload, size_t len, uint64_t timeout_ms,
                  void (*done)(int result, const char *error, const uint8_t *payload, size_t len, void *user), void *user)
{
	if (!t->connected || t->failed)
		return -ENOTCONN;
	return ttrpc_request(t->ttrpc, service, method, payload, len, timeout_ms, done, user);
}
