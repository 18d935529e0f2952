/* SPDX-License-Identifier: Apache-2.0 */
/* The NRI plugin: messages as pure functions, then the whole against a runtime's side made here of raw frames, which shares no code with
 * ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/cursor.h"
#include "core/base/str.h"
#include "k8s/nri.h"
#include "k8s/nri_messages.h"
#include "proto/nri.pb-c.h"

/* ---- messages --------------------------------------------------------------------------------------------------------------------- */

struct pod {
	const char *id, *name, *namespace_, *uid, *type, *netns;
};
static const struct pod good = {"sandbox-1", "web-0", "default", "known-1", "network", "/var/run/netns/cni-1"};

static ProtobufCBinaryData bytes_of(const char *text)
{
	return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)text, .len = strlen(text)};
}

/* Appends field `number` with an encoded PodSandbox. */
static void add_pod(struct buf *to, uint8_t number, const struct pod *p)
{
	Nri__LinuxNamespace other = NRI__LINUX_NAMESPACE__INIT, net = NRI__LINUX_NAMESPACE__INIT, *list[] = {&other, &net};
	Nri__LinuxPodSandbox linux_part = NRI__LINUX_POD_SANDBOX__INIT;
	Nri__PodSandbox m = NRI__POD_SANDBOX__INIT;
	other.type = bytes_of("ipc");
	other.path = bytes_of("/proc/1/ns/ipc");
	net.type = bytes_of(p->type);
	net.path = bytes_of(p->netns);
	linux_part.namespaces = list;
	linux_part.n_namespaces = 2;
	m.id = bytes_of(p->id);
	m.name = bytes_of(p->name);
	m.namespace_ = bytes_of(p->namespace_);
	m.uid = bytes_of(p->uid);
	m.linux = &linux_part;
	m.pid = 4711;
	size_t size = nri__pod_sandbox__get_packed_size(&m);
	assert_true(size < 16384);
	const uint8_t head[] = {(uint8_t)(number << 3 | 2), (uint8_t)(size & 0x7f) | 0x80, (uint8_t)(size >> 7)};
	buf_add(to, head, sizeof(head));
	assert_true(buf_reserve(to, size));
	to->len += nri__pod_sandbox__pack(&m, to->data + to->len);
}

static bool know(const char *uid, void *user)
{
	(void)user;
	return str_starts(uid, "known");
}
static const struct nri_pods pods = {.know = know};

static void a_known_pod_is_decoded(void **state)
{
	_cleanup_buf_ struct buf m = {0};
	struct sandbox s;
	(void)state;
	add_pod(&m, 1, &good);
	assert_int_equal(nri_decode_hook(m.data, m.len, &pods, &s, NULL), 1);
	assert_string_equal(s.id, "sandbox-1");
	assert_string_equal(s.pod.uid, "known-1");
	assert_string_equal(s.pod.name, "web-0");
	assert_string_equal(s.pod.namespace_, "default");
	assert_string_equal(s.netns, "/var/run/netns/cni-1");
	assert_int_equal(s.pid, 4711);
}

static void broken_pods_name_the_field(void **state)
{
	static char long_uid[UID_SIZE + 1], long_path[PATH_SIZE + 1];
	memset(long_uid, 'u', UID_SIZE);
	memset(long_path, '/', PATH_SIZE);
	const struct {
		struct pod pod;
		int result;
		const char *field;
	} rows[] = {
	    {{"s", "n", "ns", "known", "network", ""}, 1, NULL},
	    {{"s", "n", "ns", "known", "pid", "relative"}, 1, NULL},
	    /* without a claim nothing else is looked at */
	    {{"s", "n", "ns", "other", "network", "/n"}, 0, NULL},
	    {{"s", "n", "ns", "", "network", "/n"}, 0, NULL},
	    {{"", "", "\xff", "other", "network", "relative"}, 0, NULL},
	    {{"s", "n", "ns", long_uid, "network", "/n"}, -EINVAL, "pod.uid"},
	    {{"s", "n", "ns", "known\xff", "network", "/n"}, -EINVAL, "pod.uid"},
	    {{"s", "n", "ns", "known\n", "network", "/n"}, -EINVAL, "pod.uid"},
	    {{"", "n", "ns", "known", "network", "/n"}, -EINVAL, "pod.id"},
	    {{"../s", "n", "ns", "known", "network", "/n"}, -EINVAL, "pod.id"},
	    {{"s", "", "ns", "known", "network", "/n"}, -EINVAL, "pod.name"},
	    {{"s", "n", "a/b", "known", "network", "/n"}, -EINVAL, "pod.namespace"},
	    {{"s", "n", "ns", "known", "network", "run/n"}, -EINVAL, "pod.linux.namespaces[1].path"},
	    {{"s", "n", "ns", "known", "network", "/\x01"}, -EINVAL, "pod.linux.namespaces[1].path"},
	    {{"s", "n", "ns", "known", "network", long_path}, -EINVAL, "pod.linux.namespaces[1].path"},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf m = {0};
		struct sandbox s = {.id = "before"};
		struct error e = {0};
		add_pod(&m, 1, &rows[i].pod);
		assert_int_equal(nri_decode_hook(m.data, m.len, &pods, &s, &e), rows[i].result);
		if (rows[i].field)
			assert_non_null(strstr(e.text, rows[i].field));
		if (rows[i].result != 1)
			assert_string_equal(s.id, "before");
		else
			assert_string_equal(s.netns, "");
	}
	struct error e = {0};
	struct sandbox s;
	assert_int_equal(nri_decode_hook(NULL, 0, &pods, &s, &e), -EINVAL);
	assert_non_null(strstr(e.text, "pod"));
	assert_int_equal(nri_decode_hook((const uint8_t *)"\x0a\x7f", 2, &pods, &s, &e), -EBADMSG);
}

static void synchronize_keeps_what_can_be_a_claims(void **state)
{
	static const struct pod unreadable = {"", "n", "ns", "other", "network", "/n"};
	static const struct pod unnamed = {"s", "n", "ns", "", "network", "/n"};
	static const struct pod other = {"sandbox-2", "n", "ns", "other", "network", "/n"};
	static const struct pod broken = {"", "n", "ns", "known-2", "network", "/n"};
	_cleanup_buf_ struct buf m = {0};
	struct nri_sandboxes list = {0};
	struct error e = {0};
	bool more = true;
	(void)state;
	add_pod(&m, 1, &good);
	add_pod(&m, 1, &unreadable);
	add_pod(&m, 1, &unnamed);
	add_pod(&m, 1, &other);
	assert_int_equal(nri_decode_synchronize(m.data, m.len, &pods, &list, &more, &e), 0);
	assert_false(more);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.v[0].id, "sandbox-1");
	assert_string_equal(list.v[1].id, "sandbox-2");
	/* leaving this one out would tell core that the pod is gone */
	add_pod(&m, 1, &broken);
	assert_int_equal(nri_decode_synchronize(m.data, m.len, &pods, &list, &more, &e), -EINVAL);
	assert_non_null(strstr(e.text, "pods[4].id"));
	nri_sandboxes_free(&list);
}

static void synchronize_is_bounded(void **state)
{
	_cleanup_buf_ struct buf m = {0};
	struct nri_sandboxes list = {0};
	struct error e = {0};
	bool more;
	(void)state;
	for (int i = 0; i < NRI_SANDBOXES_MAX; i++)
		add_pod(&m, 1, &good);
	assert_int_equal(nri_decode_synchronize(m.data, m.len, &pods, &list, &more, &e), 0);
	assert_int_equal(list.n, NRI_SANDBOXES_MAX);
	m.len = 0;
	add_pod(&m, 1, &good);
	assert_int_equal(nri_decode_synchronize(m.data, m.len, &pods, &list, &more, &e), -E2BIG);
	nri_sandboxes_free(&list);
}

static void configuration_is_decoded(void **state)
{
	static const uint8_t message[] = "\x12\x03"
					 "ctr"
					 "\x1a\x02"
					 "v2"
					 "\x28\xd0\x0f"
					 "\x32\x02"
					 "a\xff";
	struct nri_configuration c;
	(void)state;
	assert_int_equal(nri_decode_configure(message, sizeof(message) - 1, &c, NULL), 0);
	assert_string_equal(c.runtime, "ctr");
	assert_string_equal(c.version, "v2");
	assert_string_equal(c.nri_version, ""); /* not UTF-8 */
	assert_int_equal(c.request_timeout_ms, 2000);
	struct error e = {0};
	assert_int_equal(nri_decode_configure((const uint8_t *)"\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, &c, &e), -EINVAL);
	assert_non_null(strstr(e.text, "request_timeout"));
}

/* ---- a runtime -------------------------------------------------------------------------------------------------------------------- */

struct answer {
	uint32_t stream;
	int status; /* 0 = success */
	char text[256];
	uint8_t payload[64];
	size_t len;
};
struct runtime {
	int listener, fd; /* -1 = none */
	struct buf raw, responses, requests;
	uint32_t stream;
	struct answer answers[16];
	size_t n_answers;
	unsigned registrations;
	uint8_t registration[128];
	size_t registration_len;
	bool refuse; /* registrations */
};
struct fixture {
	uv_loop_t loop;
	char directory[64], socket[96];
	struct runtime runtime;
	struct nri *nri;
	/* what the callbacks saw */
	struct event events[16];
	struct sandbox sandboxes[16]; /* of the event: the hook's, or the first of the list */
	size_t n_events, n_notes;
	size_t answered[EVENT_TYPE_MAX], refused; /* without an event */
	char last_note[512];
	bool answer_at_once;
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void add_varint(struct buf *to, uint64_t v)
{
	do {
		uint8_t byte = (uint8_t)(v & 0x7f) | (v > 0x7f ? 0x80 : 0);
		buf_add(to, &byte, 1);
		v >>= 7;
	} while (v);
}

static void add_bytes(struct buf *to, unsigned number, const void *data, size_t len)
{
	add_varint(to, number << 3 | 2);
	add_varint(to, len);
	buf_add(to, data, len);
}

/* Walks the fields of an encoded message: varints and byte strings are all that ttrpc uses. */
static bool next_field(struct cursor *c, unsigned *number, uint64_t *value, const uint8_t **data)
{
	uint64_t parts[2] = {0};
	for (int i = 0; i < 2 && cursor_left(c); i++)
		for (unsigned shift = 0, byte = 0x80; byte & 0x80; shift += 7) {
			byte = cursor_u8(c);
			assert_true(!c->failed && shift < 64);
			parts[i] |= (uint64_t)(byte & 0x7f) << shift;
		}
	*number = (unsigned)(parts[0] >> 3);
	*value = parts[1];
	*data = NULL;
	if ((parts[0] & 7) == 2)
		*data = cursor_take(c, parts[1]);
	assert_false(c->failed);
	return *number != 0;
}

static void runtime_frame(struct runtime *r, uint32_t connection, uint32_t stream, uint8_t type, const struct buf *message)
{
	_cleanup_buf_ struct buf frame = {0};
	buf_be32(&frame, connection);
	buf_be32(&frame, (uint32_t)message->len + 10);
	buf_be32(&frame, (uint32_t)message->len);
	buf_be32(&frame, stream);
	buf_add(&frame, (const uint8_t[]){type, 0}, 2);
	buf_add(&frame, message->data, message->len);
	assert_int_equal(send(r->fd, frame.data, frame.len, MSG_NOSIGNAL), frame.len);
}

/* Calls the plugin; returns the stream. */
static uint32_t runtime_call(struct runtime *r, const char *service, const char *method, const struct buf *payload, uint64_t timeout_ms)
{
	_cleanup_buf_ struct buf request = {0};
	add_bytes(&request, 1, service, strlen(service));
	add_bytes(&request, 2, method, strlen(method));
	if (payload)
		add_bytes(&request, 3, payload->data, payload->len);
	if (timeout_ms) {
		add_varint(&request, 4 << 3);
		add_varint(&request, timeout_ms * 1000000);
	}
	r->stream += 2;
	runtime_frame(r, 1, r->stream - 1, 1, &request);
	return r->stream - 1;
}

static uint32_t plugin_call(struct runtime *r, const char *method, const struct buf *payload)
{
	return runtime_call(r, "nri.pkg.api.v1alpha1.Plugin", method, payload, 0);
}

static void runtime_take_response(struct runtime *r, uint32_t stream, const uint8_t *message, size_t len)
{
	struct cursor c = cursor_over(message, len);
	struct answer *a = &r->answers[r->n_answers++];
	unsigned number;
	uint64_t value;
	const uint8_t *data;
	assert_true(r->n_answers <= ELEMENTS(r->answers));
	*a = (struct answer){.stream = stream};
	while (next_field(&c, &number, &value, &data)) {
		struct cursor status = cursor_over(data, number == 1 ? value : 0);
		if (number == 2) {
			assert_true(value <= sizeof(a->payload));
			memcpy(a->payload, data, value);
			a->len = value;
		}
		while (number == 1 && next_field(&status, &number, &value, &data)) {
			if (number == 1)
				a->status = (int)value;
			else
				snprintf(a->text, sizeof(a->text), "%.*s", (int)value, (const char *)data);
			number = 1;
		}
	}
}

static void runtime_take_request(struct runtime *r, uint32_t stream, const uint8_t *message, size_t len)
{
	struct cursor c = cursor_over(message, len);
	_cleanup_buf_ struct buf response = {0}, status = {0};
	unsigned number;
	uint64_t value;
	const uint8_t *data;
	while (next_field(&c, &number, &value, &data)) {
		if (number == 1)
			assert_memory_equal(data, "nri.pkg.api.v1alpha1.Runtime", value);
		if (number == 2)
			assert_memory_equal(data, "RegisterPlugin", value);
		if (number == 3) {
			assert_true(value <= sizeof(r->registration));
			memcpy(r->registration, data, value);
			r->registration_len = value;
		}
	}
	r->registrations++;
	if (r->refuse) {
		add_varint(&status, 1 << 3);
		add_varint(&status, 2);
		add_bytes(&status, 2, "no plugins here", 15);
		add_bytes(&response, 1, status.data, status.len);
	}
	runtime_frame(r, 2, stream, 2, &response);
}

static void runtime_messages(struct runtime *r, struct buf *stream, void (*take)(struct runtime *r, uint32_t, const uint8_t *, size_t))
{
	while (stream->len >= 10 && stream->len - 10 >= be32(stream->data)) {
		size_t len = be32(stream->data);
		take(r, be32(stream->data + 4), stream->data + 10, len);
		buf_consume(stream, 10 + len);
	}
}

static void runtime_hang_up(struct runtime *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	buf_free(&r->raw);
	buf_free(&r->responses);
	buf_free(&r->requests);
	r->stream = 0;
}

static void runtime_turn(struct runtime *r)
{
	uint8_t data[65536];
	if (r->fd < 0 && r->listener >= 0) {
		r->fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
		r->stream = 2;
	}
	ssize_t n = r->fd < 0 ? 0 : recv(r->fd, data, sizeof(data), MSG_DONTWAIT);
	if (n > 0)
		buf_add(&r->raw, data, (size_t)n);
	while (r->raw.len >= 8 && r->raw.len - 8 >= be32(r->raw.data + 4)) {
		uint32_t connection = be32(r->raw.data), len = be32(r->raw.data + 4);
		assert_in_range(connection, 1, 2);
		assert_in_range(len, 1, 4096); /* the Go side's buffer */
		buf_add(connection == 1 ? &r->responses : &r->requests, r->raw.data + 8, len);
		buf_consume(&r->raw, 8 + len);
	}
	runtime_messages(r, &r->responses, runtime_take_response);
	runtime_messages(r, &r->requests, runtime_take_request);
}

static void runtime_listen(struct runtime *r, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(r->listener >= 0);
	assert_int_equal(bind(r->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(r->listener, 8), 0);
}

static void runtime_stop(struct runtime *r, const char *path)
{
	runtime_hang_up(r);
	if (r->listener >= 0)
		close(r->listener);
	r->listener = -1;
	unlink(path);
}

/* ---- fixture ---------------------------------------------------------------------------------------------------------------------- */

static void on_event(struct event *e, void *user)
{
	struct fixture *f = user;
	assert_true(f->n_events < ELEMENTS(f->events));
	if (e->type == EVENT_SYNCHRONIZE && e->synchronize.n)
		f->sandboxes[f->n_events] = e->synchronize.sandboxes[0];
	if (e->type >= EVENT_RUN_SANDBOX && e->type <= EVENT_CREATE_CONTAINER)
		f->sandboxes[f->n_events] = *e->hook.sandbox;
	f->events[f->n_events++] = *e;
	if (f->answer_at_once)
		nri_reply(f->nri, e->hook.call, NULL);
}

static void on_answered(enum event_type type, bool refused, uint64_t ns, void *user)
{
	struct fixture *f = user;
	assert_true(type < EVENT_TYPE_MAX && ns < (uint64_t)60e9);
	f->answered[type]++;
	f->refused += refused;
}

static void on_note(int result, const char *text, void *user)
{
	struct fixture *f = user;
	(void)result;
	f->n_notes++;
	snprintf(f->last_note, sizeof(f->last_note), "%s", text);
}

static void turn(struct fixture *f)
{
	struct pollfd fds[] = {{.fd = uv_backend_fd(&f->loop), .events = POLLIN},
	                       {.fd = f->runtime.fd, .events = POLLIN},
	                       {.fd = f->runtime.listener, .events = POLLIN}};
	runtime_turn(&f->runtime);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	poll(fds, f->runtime.fd < 0 ? 3 : 2, 1);
}

#define WAIT_FOR(f, condition)                                                                                                             \
	do {                                                                                                                               \
		uint64_t until_ = uv_hrtime() + 20 * (uint64_t)1e9;                                                                        \
		while (!(condition)) {                                                                                                     \
			if (uv_hrtime() > until_)                                                                                          \
				fail_msg("not within 20 s: %s", #condition);                                                               \
			turn(f);                                                                                                           \
		}                                                                                                                          \
	} while (0)

static const struct answer *answer_to(struct fixture *f, uint32_t stream)
{
	for (size_t i = 0; i < f->runtime.n_answers; i++)
		if (f->runtime.answers[i].stream == stream)
			return &f->runtime.answers[i];
	return NULL;
}

static const struct answer *wait_for_answer(struct fixture *f, uint32_t stream)
{
	WAIT_FOR(f, answer_to(f, stream));
	return answer_to(f, stream);
}

static struct nri_options options_of(struct fixture *f)
{
	return (struct nri_options){.socket = f->socket,
	                            .name = "dra.net",
	                            .index = "00",
	                            .event = on_event,
	                            .knows_pod = know,
	                            .answered = on_answered,
	                            .note = on_note,
	                            .user = f};
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	if (!f || uv_loop_init(&f->loop) < 0)
		return -1;
	*state = f;
	f->runtime.listener = f->runtime.fd = -1;
	snprintf(f->directory, sizeof(f->directory), "/tmp/test_nri.XXXXXX");
	if (!mkdtemp(f->directory))
		return -1;
	snprintf(f->socket, sizeof(f->socket), "%s/nri.sock", f->directory);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	nri_close(f->nri);
	runtime_stop(&f->runtime, f->socket);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	bool ok = uv_loop_close(&f->loop) == 0 && rmdir(f->directory) == 0;
	free(f);
	return ok ? 0 : -1;
}

static void start(struct fixture *f)
{
	struct nri_options o = options_of(f);
	struct error e = {0};
	if (nri_start(&f->loop, &o, &f->nri, &e) < 0)
		fail_msg("%s", e.text);
}

/* Configure with a request timeout, 0 = an old runtime that does not tell. */
static void configure(struct fixture *f, uint64_t timeout_ms)
{
	_cleanup_buf_ struct buf m = {0};
	add_bytes(&m, 2, "containerd", 10);
	add_bytes(&m, 3, "v2.3.0", 6);
	if (timeout_ms) {
		add_varint(&m, 5 << 3);
		add_varint(&m, timeout_ms);
	}
	const struct answer *a = wait_for_answer(f, plugin_call(&f->runtime, "Configure", &m));
	assert_int_equal(a->status, 0);
	assert_int_equal(a->len, 2); /* field 2, the first four events */
	assert_memory_equal(a->payload, "\x10\x0f", 2);
}

static void synchronize(struct fixture *f, const struct pod *pod)
{
	_cleanup_buf_ struct buf m = {0};
	if (pod)
		add_pod(&m, 1, pod);
	const struct answer *a = wait_for_answer(f, plugin_call(&f->runtime, "Synchronize", &m));
	assert_int_equal(a->status, 0);
	assert_int_equal(a->len, 0);
}

static void come_up(struct fixture *f, uint64_t timeout_ms)
{
	unsigned before = f->runtime.registrations;
	if (f->runtime.listener < 0)
		runtime_listen(&f->runtime, f->socket);
	if (!f->nri)
		start(f);
	WAIT_FOR(f, f->runtime.registrations > before);
	configure(f, timeout_ms);
	synchronize(f, NULL);
	WAIT_FOR(f, nri_connected(f->nri));
	f->n_events = f->n_notes = f->runtime.n_answers = 0;
}

/* ---- the plugin ------------------------------------------------------------------------------------------------------------------- */

static void handshake(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf wanted = {0}, first = {0};
	runtime_listen(&f->runtime, f->socket);
	start(f);
	WAIT_FOR(f, f->runtime.registrations == 1);
	add_bytes(&wanted, 1, "dra.net", 7);
	add_bytes(&wanted, 2, "00", 2);
	add_bytes(&wanted, 3, "v0.12.0", 7);
	assert_int_equal(f->runtime.registration_len, wanted.len);
	assert_memory_equal(f->runtime.registration, wanted.data, wanted.len);
	configure(f, 1500);
	add_pod(&first, 1, &good);
	buf_add(&first, "\x18\x01", 2); /* more */
	const struct answer *a = wait_for_answer(f, plugin_call(&f->runtime, "Synchronize", &first));
	assert_int_equal(a->status, 0);
	assert_int_equal(a->len, 2);
	assert_memory_equal(a->payload, "\x10\x01", 2); /* more */
	assert_int_equal(f->n_events, 0);
	assert_false(nri_connected(f->nri));
	synchronize(f, &(struct pod){"sandbox-2", "n", "ns", "other", "network", ""});
	assert_true(nri_connected(f->nri));
	assert_int_equal(f->n_events, 2);
	assert_int_equal(f->events[0].type, EVENT_RUNTIME_UP);
	assert_int_equal(f->events[0].runtime.request_timeout_ms, 1500);
	assert_true(f->events[0].runtime.can_gate); /* the runtime is this very process */
	assert_int_equal(f->events[1].type, EVENT_SYNCHRONIZE);
	assert_int_equal(f->events[1].synchronize.n, 2);
	assert_string_equal(f->sandboxes[1].id, "sandbox-1");
	assert_int_equal(f->n_notes, 1);
	assert_non_null(strstr(f->last_note, "containerd v2.3.0"));
	assert_non_null(strstr(f->last_note, "1500 ms"));
	a = wait_for_answer(f, plugin_call(&f->runtime, "Shutdown", NULL));
	assert_int_equal(a->status, 0);
}

static void hooks_become_events(void **state)
{
	static const struct {
		const char *method;
		enum event_type type;
	} rows[] = {
	    {"RunPodSandbox", EVENT_RUN_SANDBOX},
	    {"StopPodSandbox", EVENT_STOP_SANDBOX},
	    {"RemovePodSandbox", EVENT_REMOVE_SANDBOX},
	    {"CreateContainer", EVENT_CREATE_CONTAINER},
	};
	struct fixture *f = *state;
	_cleanup_buf_ struct buf m = {0};
	come_up(f, 2000);
	add_pod(&m, 1, &good);
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		uint32_t stream = plugin_call(&f->runtime, rows[i].method, &m);
		WAIT_FOR(f, f->n_events == i + 1);
		assert_int_equal(f->events[i].type, rows[i].type);
		assert_int_equal(f->events[i].hook.deadline, f->events[i].now + 2000);
		assert_string_equal(f->sandboxes[i].pod.uid, "known-1");
		assert_null(answer_to(f, stream));
		bool fails = i == 0;
		nri_reply(f->nri, f->events[i].hook.call, fails ? "eth1 \xc3 is busy" : NULL);
		const struct answer *a = wait_for_answer(f, stream);
		assert_int_equal(a->status, fails ? 2 : 0);
		assert_string_equal(a->text, fails ? "eth1 ? is busy" : "");
		assert_int_equal(a->len, 0);
		nri_reply(f->nri, f->events[i].hook.call, NULL); /* answered already */
	}
}

/* Field 2 of CreateContainerRequest with one variable in its environment (field 8). */
static void add_environment(struct buf *m, const char *variable)
{
	_cleanup_buf_ struct buf container = {0};
	add_bytes(&container, 8, "PATH=/bin", 9);
	add_bytes(&container, 8, variable, strlen(variable));
	add_bytes(m, 2, container.data, container.len);
}

static bool owns(const char *pod_uid, const char *claim_uid, void *user)
{
	(void)user;
	return strcmp(pod_uid, "known-1") == 0 && strcmp(claim_uid, "claim-1") == 0;
}

static void containers_with_another_pods_claim_are_refused(void **state)
{
	static const struct {
		const char *pod, *variable;
		int result;
	} rows[] = {
	    {"known-1", "DRANET_CLAIM_claim_1=dra.net/claim-1", 1},
	    {"known-2", "DRANET_CLAIM_claim_1=dra.net/claim-1", -EPERM},
	    {"stranger", "DRANET_CLAIM_claim_1=dra.net/claim-1", -EPERM},
	    {"stranger", "DRANET_CLAIM_claim_1=dra2.net/claim-1", 0}, /* another driver's */
	    {"stranger", "DRANET_CLAIM_claim_1=dra.net/", 0},
	    {"stranger", "DRANET_CLAIM_claim_1", 0},
	    {"stranger", "HOME=dra.net/claim-1", 0},
	};
	(void)state;
	const struct nri_pods owning = {.know = know, .owns = owns, .driver = "dra.net"};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf m = {0};
		struct pod pod = good;
		struct sandbox s;
		struct error e = {0};
		pod.uid = rows[i].pod;
		add_pod(&m, 1, &pod);
		add_environment(&m, rows[i].variable);
		assert_int_equal(nri_decode_hook(m.data, m.len, &owning, &s, &e), rows[i].result);
	}
}

static void state_changes_become_events(void **state)
{
	static const struct {
		uint8_t event;
		enum event_type type; /* EVENT_TYPE_MAX = none */
	} rows[] = {
	    {1, EVENT_RUN_SANDBOX}, {2, EVENT_STOP_SANDBOX}, {3, EVENT_REMOVE_SANDBOX},
	    {0, EVENT_TYPE_MAX},    {6, EVENT_TYPE_MAX},     {11, EVENT_TYPE_MAX},
	};
	struct fixture *f = *state;
	come_up(f, 0);
	f->answer_at_once = true;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf m = {0};
		add_varint(&m, 1 << 3);
		add_varint(&m, rows[i].event);
		add_pod(&m, 2, &good);
		f->n_events = 0;
		const struct answer *a = wait_for_answer(f, plugin_call(&f->runtime, "StateChange", &m));
		assert_int_equal(a->status, 0);
		assert_int_equal(a->len, 0);
		assert_int_equal(f->n_events, rows[i].type != EVENT_TYPE_MAX);
		if (f->n_events)
			assert_int_equal(f->events[0].type, rows[i].type);
	}
}

static void other_pods_are_answered_at_once(void **state)
{
	static const char *const hooks[] = {"RunPodSandbox", "StopPodSandbox", "RemovePodSandbox", "CreateContainer"};
	struct fixture *f = *state;
	_cleanup_buf_ struct buf m = {0};
	come_up(f, 2000);
	add_pod(&m, 1, &(struct pod){"", "", "", "other", "network", "relative"});
	for (size_t i = 0; i < ELEMENTS(hooks); i++)
		assert_int_equal(wait_for_answer(f, plugin_call(&f->runtime, hooks[i], &m))->status, 0);
	assert_int_equal(f->n_events, 0);
	for (enum event_type type = EVENT_RUN_SANDBOX; type <= EVENT_CREATE_CONTAINER; type++)
		assert_int_equal(f->answered[type], 1);
	assert_int_equal(f->refused, 0);
	/* An older runtime tells the first three of them in its own way. */
	for (uint64_t event = 1; event <= 3; event++) {
		_cleanup_buf_ struct buf change = {0};
		add_varint(&change, 1 << 3);
		add_varint(&change, event);
		add_pod(&change, 2, &(struct pod){"", "", "", "other", "network", "relative"});
		assert_int_equal(wait_for_answer(f, plugin_call(&f->runtime, "StateChange", &change))->status, 0);
		assert_int_equal(f->answered[EVENT_RUN_SANDBOX + event - 1], 2);
	}
}

static void what_is_not_ours_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf bad = {0};
	come_up(f, 2000);
	add_pod(&bad, 1, &(struct pod){"s", "n", "ns", "known\n", "network", "/n"});
	const struct answer *a = wait_for_answer(f, plugin_call(&f->runtime, "RunPodSandbox", &bad));
	assert_int_equal(a->status, 3);
	assert_non_null(strstr(a->text, "pod.uid"));
	assert_true(f->refused == 1 && f->answered[EVENT_RUN_SANDBOX] == 1);
	assert_int_equal(wait_for_answer(f, plugin_call(&f->runtime, "UpdateContainer", NULL))->status, 12);
	a = wait_for_answer(f, runtime_call(&f->runtime, "nri.pkg.api.v1alpha1.Other", "Configure", NULL, 0));
	assert_int_equal(a->status, 12);
	const struct buf rubbish = {.data = (uint8_t[]){0x0a, 0x7f}, .len = 2};
	assert_int_equal(wait_for_answer(f, plugin_call(&f->runtime, "Synchronize", &rubbish))->status, 3);
	assert_int_equal(f->n_events, 0);
	assert_true(nri_connected(f->nri));
}

static void deadline_with(struct fixture *f, uint64_t configured, uint64_t told, uint64_t wanted)
{
	_cleanup_buf_ struct buf m = {0};
	add_pod(&m, 1, &good);
	come_up(f, configured);
	uint32_t stream = runtime_call(&f->runtime, "nri.pkg.api.v1alpha1.Plugin", "RunPodSandbox", &m, told);
	WAIT_FOR(f, f->n_events == 1);
	assert_int_equal(f->events[0].hook.deadline, f->events[0].now + wanted);
	nri_reply(f->nri, f->events[0].hook.call, NULL);
	wait_for_answer(f, stream);
	runtime_hang_up(&f->runtime);
	WAIT_FOR(f, !nri_connected(f->nri));
}

static void the_earliest_deadline_counts(void **state)
{
	deadline_with(*state, 0, 0, 2000);
	deadline_with(*state, 5000, 0, 5000);
	deadline_with(*state, 0, 700, 700);
	deadline_with(*state, 5000, 700, 700);
	deadline_with(*state, 500, 700, 500);
}

static void a_lost_connection_is_made_again(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf m = {0};
	come_up(f, 2000);
	add_pod(&m, 1, &good);
	plugin_call(&f->runtime, "RunPodSandbox", &m);
	WAIT_FOR(f, f->n_events == 1);
	uint64_t orphan = f->events[0].hook.call;
	runtime_stop(&f->runtime, f->socket);
	WAIT_FOR(f, f->n_events == 2);
	assert_int_equal(f->events[1].type, EVENT_RUNTIME_DOWN);
	assert_false(nri_connected(f->nri));
	nri_reply(f->nri, orphan, NULL);
	runtime_listen(&f->runtime, f->socket);
	for (int i = 0; i < 2; i++) { /* attempts that come to nothing, without another word */
		WAIT_FOR(f, f->runtime.fd >= 0);
		runtime_hang_up(&f->runtime);
	}
	assert_int_equal(f->n_notes, 1);
	assert_non_null(strstr(f->last_note, f->socket));
	come_up(f, 2000);
	plugin_call(&f->runtime, "StopPodSandbox", &m);
	WAIT_FOR(f, f->n_events == 1);
	assert_true(f->events[0].hook.call != orphan);
	nri_reply(f->nri, f->events[0].hook.call, NULL);
}

static void a_runtime_may_come_late(void **state)
{
	struct fixture *f = *state;
	start(f);
	WAIT_FOR(f, f->n_notes == 1);
	assert_int_equal(f->n_events, 0);
	come_up(f, 0);
}

static void a_refused_registration_is_tried_again(void **state)
{
	struct fixture *f = *state;
	runtime_listen(&f->runtime, f->socket);
	f->runtime.refuse = true;
	start(f);
	WAIT_FOR(f, f->n_notes == 1);
	assert_non_null(strstr(f->last_note, "no plugins here"));
	assert_int_equal(f->n_events, 0);
	f->runtime.refuse = false;
	runtime_hang_up(&f->runtime);
	come_up(f, 0);
}

static void closing_drops_open_hooks(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf m = {0};
	come_up(f, 2000);
	add_pod(&m, 1, &good);
	plugin_call(&f->runtime, "RunPodSandbox", &m);
	WAIT_FOR(f, f->n_events == 1);
	nri_close(f->nri);
	f->nri = NULL;
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->n_events, 1);
}

static void start_says_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	const struct {
		const char *socket, *name, *index, *word;
	} rows[] = {
	    {f->socket, "", "00", "name"},         {f->socket, "a/b", "00", "a/b"},           {f->socket, "dra.net", "0", "index"},
	    {f->socket, "dra.net", "ab", "index"}, {"nri.sock", "dra.net", "00", "nri.sock"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct nri_options o = options_of(f);
		struct error e = {0};
		o.socket = rows[i].socket;
		o.name = rows[i].name;
		o.index = rows[i].index;
		assert_int_equal(nri_start(&f->loop, &o, &f->nri, &e), -EINVAL);
		assert_null(f->nri);
		assert_non_null(strstr(e.text, rows[i].word));
	}
}

#define SOCKETS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_known_pod_is_decoded),
	    cmocka_unit_test(broken_pods_name_the_field),
	    cmocka_unit_test(synchronize_keeps_what_can_be_a_claims),
	    cmocka_unit_test(synchronize_is_bounded),
	    cmocka_unit_test(configuration_is_decoded),
	    cmocka_unit_test(containers_with_another_pods_claim_are_refused),
	    SOCKETS(handshake),
	    SOCKETS(hooks_become_events),
	    SOCKETS(state_changes_become_events),
	    SOCKETS(other_pods_are_answered_at_once),
	    SOCKETS(what_is_not_ours_is_refused),
	    SOCKETS(the_earliest_deadline_counts),
	    SOCKETS(a_lost_connection_is_made_again),
	    SOCKETS(a_runtime_may_come_late),
	    SOCKETS(a_refused_registration_is_tried_again),
	    SOCKETS(closing_drops_open_hooks),
	    SOCKETS(start_says_what_is_wrong),
	};
	signal(SIGPIPE, SIG_IGN); /* libuv leaves it to the program, as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
