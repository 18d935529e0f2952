/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/grpc_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "transport/grpc_internal.h"

enum {
	READ_BYTES = 64 << 10,
	WRITE_BYTES = 256 << 10, /* gathered into one write */
	KEEP_BYTES = 16 << 10,
	LINGER_MS = 1000, /* how long a closing server waits for clients that do not read */
};

struct connection {
	struct grpc_server *server;
	struct connection *next, **at;
	uv_pipe_t pipe;
	uv_write_t write;
	struct grpc_session *session;
	struct buf out;
	bool writing, paused, closing;
};

struct grpc_server {
	uv_loop_t *loop;
	struct grpc_server_options options;
	uv_pipe_t listener;
	uv_timer_t timer;  /* the earliest deadline; the linger time once the server is closing */
	uv_idle_t flusher; /* runs when something may be sent: never within a handler, and once for all answers of a loop iteration */
	int open_handles;
	uint64_t alarm;
	struct connection *connections;
	unsigned n_connections;
	bool closing;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	dev_t dev;
	ino_t ino;
	uint8_t input[READ_BYTES];
};

static void connection_flush(struct connection *c);

/* ---- hooks of the session ---- */

static void server_flush(uv_idle_t *flusher)
{
	struct grpc_server *s = flusher->data;
	uv_idle_stop(flusher);
	for (struct connection *c = s->connections, *next; c; c = next) {
		next = c->next;
		connection_flush(c);
	}
}

static uint64_t session_now(void *user)
{
	const struct connection *c = user;
	return uv_now(c->server->loop);
}

static void session_wake(void *user)
{
	const struct connection *c = user;
	uv_idle_start(&c->server->flusher, server_flush);
}

static void server_expire(uv_timer_t *timer);

static void server_alarm(struct grpc_server *s, uint64_t at)
{
	if (at >= s->alarm || s->closing)
		return;
	uint64_t now = uv_now(s->loop);
	s->alarm = at;
	uv_timer_start(&s->timer, server_expire, at > now ? at - now : 0, 0);
}

static void session_alarm(uint64_t at, void *user)
{
	const struct connection *c = user;
	server_alarm(c->server, at);
}

static const struct grpc_session_hooks session_hooks = {.now = session_now, .wake = session_wake, .alarm = session_alarm};

static void server_expire(uv_timer_t *timer)
{
	struct grpc_server *s = timer->data;
	uint64_t next = UINT64_MAX;
	s->alarm = UINT64_MAX;
	for (struct connection *c = s->connections; c; c = c->next) {
		if (c->closing)
			continue;
		uint64_t at = grpc_session_expire(c->session, uv_now(s->loop));
		next = at < next ? at : next;
	}
	if (next != UINT64_MAX)
		server_alarm(s, next);
}

/* ---- connections ---- */

static void server_handle_closed(uv_handle_t *handle)
{
	struct grpc_server *s = handle->data;
	if (--s->open_handles == 0)
		free(s);
}

/* The last connection of a closing server takes the server's own handles with it. */
static void server_finish(struct grpc_server *s)
{
	if (!s->closing || s->n_connections || uv_is_closing((uv_handle_t *)&s->timer))
		return;
	uv_close((uv_handle_t *)&s->timer, server_handle_closed);
	uv_close((uv_handle_t *)&s->flusher, server_handle_closed);
}

static void connection_closed(uv_handle_t *handle)
{
	struct connection *c = handle->data;
	struct grpc_server *s = c->server;
	*c->at = c->next;
	if (c->next)
		c->next->at = c->at;
	s->n_connections--;
	grpc_session_free(c->session);
	buf_free(&c->out);
	free(c);
	server_finish(s);
}

static void connection_close(struct connection *c)
{
	if (c->closing)
		return;
	c->closing = true;
	uv_close((uv_handle_t *)&c->pipe, connection_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	const struct connection *c = handle->data;
	(void)suggested;
	*buf = uv_buf_init((char *)c->server->input, sizeof(c->server->input));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct connection *c = stream->data;
	if (n == 0 || c->closing)
		return;
	if (n < 0 || grpc_session_receive(c->session, (const uint8_t *)buf->base, (size_t)n) < 0) {
		connection_close(c);
		return;
	}
	connection_flush(c);
}

/* Reading waits while the peer leaves our frames unread, so that it cannot make the queue grow. */
static void connection_pace(struct connection *c)
{
	bool pause = c->writing && grpc_session_congested(c->session);
	if (pause == c->paused)
		return;
	c->paused = pause;
	if (pause)
		uv_read_stop((uv_stream_t *)&c->pipe);
	else if (uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0)
		connection_close(c);
}

/* Everything is sent. A large buffer is given back: connections idle for most of their life. */
static void connection_sent(struct connection *c)
{
	if (c->out.cap > KEEP_BYTES)
		buf_free(&c->out);
	else
		buf_reset(&c->out);
}

static void on_written(uv_write_t *write, int status)
{
	struct connection *c = write->data;
	c->writing = false;
	connection_sent(c);
	if (status < 0)
		connection_close(c);
	else
		connection_flush(c);
}

/* Gather what the session has to send; false when the connection is to be closed. */
static bool connection_gather(struct connection *c)
{
	while (c->out.len < WRITE_BYTES) {
		const uint8_t *data;
		ssize_t n = grpc_session_pull(c->session, &data);
		if (n < 0)
			return false;
		if (n == 0)
			break;
		buf_add(&c->out, data, (size_t)n);
	}
	return !c->out.failed && (c->out.len || !grpc_session_finished(c->session));
}

static void connection_flush(struct connection *c)
{
	while (!c->closing && !c->writing) {
		if (!connection_gather(c)) {
			connection_close(c);
			return;
		}
		if (!c->out.len)
			break;
		uv_buf_t all = uv_buf_init((char *)c->out.data, (unsigned)c->out.len);
		int n = uv_try_write((uv_stream_t *)&c->pipe, &all, 1);
		if (n < 0 && n != UV_EAGAIN) {
			connection_close(c);
			return;
		}
		size_t sent = n > 0 ? (size_t)n : 0;
		if (sent == c->out.len) {
			connection_sent(c);
			continue;
		}
		uv_buf_t rest = uv_buf_init((char *)c->out.data + sent, (unsigned)(c->out.len - sent));
		c->write.data = c;
		c->writing = uv_write(&c->write, (uv_stream_t *)&c->pipe, &rest, 1, on_written) == 0;
		if (!c->writing)
			connection_close(c);
	}
	if (!c->closing)
		connection_pace(c);
}

/* Root, or whoever we run as in a test: the socket's mode says the same, but a descriptor may have been handed on. */
static bool peer_allowed(uv_pipe_t *pipe)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	uv_os_fd_t fd;
	if (uv_fileno((uv_handle_t *)pipe, &fd) < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	return peer.uid == 0 || peer.uid == geteuid();
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct grpc_server *s = listener->data;
	if (status < 0 || s->closing)
		return;
	struct connection *c = calloc(1, sizeof(*c));
	if (!c)
		return;
	if (uv_pipe_init(s->loop, &c->pipe, 0) < 0) {
		free(c);
		return;
	}
	c->server = s;
	c->pipe.data = c;
	c->next = s->connections;
	if (c->next)
		c->next->at = &c->next;
	c->at = &s->connections;
	s->connections = c;
	s->n_connections++;
	if (uv_accept(listener, (uv_stream_t *)&c->pipe) < 0 || s->n_connections > s->options.max_connections || !peer_allowed(&c->pipe) ||
	    grpc_session_new(&s->options, &session_hooks, c, &c->session) < 0 ||
	    uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0) {
		connection_close(c);
		return;
	}
	connection_flush(c); /* grpc-go does not use the connection before it has our SETTINGS */
}

/* ---- the server ---- */

/* A bound socket. Its mode is set before, because the file must never be there with another one. */
static int socket_bind(const char *path, struct error *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (str_copy(address.sun_path, sizeof(address.sun_path), path) < 0)
		return error_set(e, -ENAMETOOLONG, "socket path %s is longer than %zu bytes", path, sizeof(address.sun_path) - 1);
	struct stat st;
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return error_set(e, -EEXIST, "%s is there and no socket", path);
		if (unlink(path) < 0 && errno != ENOENT)
			return error_set(e, -errno, "cannot remove the old socket %s: %s", path, strerror(errno));
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(e, -errno, "cannot make a unix socket: %s", strerror(errno));
	if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = error_set(e, -errno, "cannot bind to %s: %s", path, strerror(errno));
		close(fd);
		return r;
	}
	return fd;
}

static void server_remove_socket(struct grpc_server *s)
{
	struct stat st;
	if (s->path[0] && lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->path);
	s->path[0] = 0;
}

bool grpc_server_has_path(const struct grpc_server *s)
{
	struct stat st;
	return lstat(s->path, &st) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

static void server_take_limits(struct grpc_server *s, const struct grpc_server_options *options)
{
	s->options = *options;
	if (!s->options.max_connections)
		s->options.max_connections = GRPC_MAX_CONNECTIONS;
	if (!s->options.max_streams)
		s->options.max_streams = GRPC_MAX_STREAMS;
	if (!s->options.max_message)
		s->options.max_message = GRPC_MAX_MESSAGE;
}

static void server_init(struct grpc_server *s, uv_loop_t *loop)
{
	s->loop = loop;
	s->alarm = UINT64_MAX;
	uv_pipe_init(loop, &s->listener, 0);
	uv_timer_init(loop, &s->timer);
	uv_idle_init(loop, &s->flusher);
	s->listener.data = s->timer.data = s->flusher.data = s;
	s->open_handles = 3;
}

int grpc_server_listen(uv_loop_t *loop, const char *path, const struct grpc_server_options *options, struct grpc_server **ret,
                       struct error *e)
{
	struct grpc_server *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, -ENOMEM, "no memory for the gRPC server");
	int fd = socket_bind(path, e);
	if (fd < 0) {
		free(s);
		return fd;
	}
	server_take_limits(s, options);
	server_init(s, loop);
	STR_COPY(s->path, path);
	struct stat st;
	if (lstat(path, &st) == 0) {
		s->dev = st.st_dev;
		s->ino = st.st_ino;
	}
	int r = uv_pipe_open(&s->listener, fd);
	if (r < 0)
		close(fd);
	else
		r = uv_listen((uv_stream_t *)&s->listener, SOMAXCONN, on_connection);
	if (r < 0) {
		error_set(e, r, "cannot listen at %s: %s", path, uv_strerror(r));
		grpc_server_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void server_linger_over(uv_timer_t *timer)
{
	struct grpc_server *s = timer->data;
	for (struct connection *c = s->connections; c; c = c->next)
		connection_close(c);
}

void grpc_server_close(struct grpc_server *s)
{
	if (!s || s->closing)
		return;
	server_remove_socket(s);
	for (struct connection *c = s->connections; c; c = c->next)
		if (c->session)
			grpc_session_shutdown(c->session);
	s->closing = true;
	uv_close((uv_handle_t *)&s->listener, server_handle_closed);
	uv_timer_start(&s->timer, server_linger_over, LINGER_MS, 0);
	server_finish(s);
}
