/* SPDX-License-Identifier: Apache-2.0 */
/* The kubelet's services: messages as pure functions, then the whole through real sockets with an HTTP/2 client of another hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "k8s/kubelet.h"
#include "k8s/kubelet_messages.h"
#include "proto/dra.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/pluginregistration.pb-c.h"
#include "transport/grpc_server.h"

#define DRA_V1 "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/"
#define DRA_V1BETA1 "/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/"
#define REGISTRATION "/pluginregistration.Registration/"

static ProtobufCBinaryData bytes_of(const char *text)
{
	return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)text, .len = strlen(text)};
}

static void add_claim(struct buf *to, const char *uid, const char *namespace_, const char *name)
{
	Dra__Claim claim = DRA__CLAIM__INIT, *list[] = {&claim};
	Dra__Request request = DRA__REQUEST__INIT;
	claim.uid = bytes_of(uid);
	claim.namespace_ = bytes_of(namespace_);
	claim.name = bytes_of(name);
	request.claims = list;
	request.n_claims = 1;
	assert_true(buf_reserve(to, 1024));
	to->len += dra__request__pack(&request, to->data + to->len);
}

/* ---- messages --------------------------------------------------------------------------------------------------------------------- */

static void claims_are_decoded(void **state)
{
	_cleanup_buf_ struct buf request = {0};
	struct claim_ref claims[KUBELET_CLAIMS_MAX];
	size_t n = 99;
	(void)state;
	assert_int_equal(kubelet_decode_claims(NULL, 0, claims, &n, NULL), 0);
	assert_int_equal(n, 0);
	add_claim(&request, "uid-1", "default", "one");
	add_claim(&request, "uid-2", "kube-system", "two.three");
	assert_int_equal(kubelet_decode_claims(request.data, request.len, claims, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_string_equal(claims[0].uid, "uid-1");
	assert_string_equal(claims[1].namespace_, "kube-system");
	assert_string_equal(claims[1].name, "two.three");
}

static void broken_claims_name_the_field(void **state)
{
	char long_uid[UID_SIZE + 1], long_name[NAME_SIZE + 1];
	memset(long_uid, 'u', sizeof(long_uid) - 1);
	memset(long_name, 'n', sizeof(long_name) - 1);
	long_uid[UID_SIZE] = long_name[NAME_SIZE] = '\0';
	const struct {
		const char *uid, *namespace_, *name, *field;
	} rows[] = {
	    {"", "ns", "n", "claims[1].uid"},      {long_uid, "ns", "n", "claims[1].uid"},   {"../x", "ns", "n", "claims[1].uid"},
	    {"u\xff", "ns", "n", "claims[1].uid"}, {"u", "", "n", "claims[1].namespace"},    {"u", "a/b", "n", "claims[1].namespace"},
	    {"u", "ns", "", "claims[1].name"},     {"u", "ns", long_name, "claims[1].name"}, {"first", "ns", "n", "claims[1].uid"},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		_cleanup_buf_ struct buf request = {0};
		struct claim_ref claims[KUBELET_CLAIMS_MAX];
		struct error e = {0};
		size_t n = 99;
		add_claim(&request, "first", "ns", "n");
		add_claim(&request, rows[i].uid, rows[i].namespace_, rows[i].name);
		assert_int_equal(kubelet_decode_claims(request.data, request.len, claims, &n, &e), -EINVAL);
		assert_int_equal(n, 99);
		assert_non_null(strstr(e.text, rows[i].field));
	}
}

static void too_many_claims_are_refused(void **state)
{
	_cleanup_buf_ struct buf request = {0};
	struct claim_ref claims[KUBELET_CLAIMS_MAX];
	struct error e = {0};
	size_t n = 0;
	(void)state;
	for (int i = 0; i < KUBELET_CLAIMS_MAX; i++) {
		char uid[16];
		snprintf(uid, sizeof(uid), "uid-%d", i);
		add_claim(&request, uid, "ns", "n");
	}
	assert_int_equal(kubelet_decode_claims(request.data, request.len, claims, &n, &e), 0);
	assert_int_equal(n, KUBELET_CLAIMS_MAX);
	add_claim(&request, "one-more", "ns", "n");
	assert_int_equal(kubelet_decode_claims(request.data, request.len, claims, &n, &e), -EINVAL);
	assert_non_null(strstr(e.text, "claims"));
}

static void status_text_is_never_in_the_way(void **state)
{
	char error[KUBELET_ERROR_SIZE];
	bool registered = true;
	(void)state;
	assert_int_equal(kubelet_decode_status((const uint8_t *)"\x12\x02no", 4, &registered, error, NULL), 0);
	assert_false(registered);
	assert_string_equal(error, "no");
	assert_int_equal(kubelet_decode_status((const uint8_t *)"\x08\x01\x12\x01\xff", 5, &registered, error, NULL), 0);
	assert_true(registered);
	assert_non_null(strstr(error, "UTF-8"));
	assert_int_equal(kubelet_decode_status((const uint8_t *)"\x12\x05no", 4, &registered, error, NULL), -EBADMSG);
}

/* A text that snprintf cut in the middle of a character must not make Go refuse the whole reply. */
static void replies_are_utf8(void **state)
{
	_cleanup_buf_ struct buf reply = {0};
	const struct claim_answer answer = {.uid = "u", .error = "cut \xc3"};
	(void)state;
	kubelet_encode_prepared(&answer, 1, true, &reply);
	assert_false(reply.failed);
	assert_memory_equal(reply.data + reply.len - 5, "cut ?", 5);
}

/* ---- a client --------------------------------------------------------------------------------------------------------------------- */

struct call {
	int32_t stream;
	struct buf request; /* framed */
	size_t request_at;
	struct buf body;
	int status; /* grpc-status, -1 = none yet */
	char message[512];
	bool closed;
};
struct client {
	int fd;
	nghttp2_session *h2;
};
struct fixture {
	uv_loop_t loop;
	char root[64];
	struct kubelet *kubelet;
	struct client dra, registration;
	/* what the kubelet's callbacks saw */
	struct event events[8];
	struct claim_ref claims[8];
	size_t n_events;
	int registered; /* -1 = not told */
	char registered_error[256];
	const char *devices[4], *trouble[4];
};

static ssize_t on_send(nghttp2_session *h2, const uint8_t *data, size_t len, int flags, void *user)
{
	struct client *c = user;
	(void)h2, (void)flags;
	ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
	return n >= 0 ? n : errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t on_recv(nghttp2_session *h2, uint8_t *to, size_t size, int flags, void *user)
{
	struct client *c = user;
	(void)h2, (void)flags;
	ssize_t n = recv(c->fd, to, size, 0);
	return n > 0 ? n : n == 0 ? NGHTTP2_ERR_EOF : errno == EAGAIN ? NGHTTP2_ERR_WOULDBLOCK : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name, size_t name_len, const uint8_t *value,
                     size_t value_len, uint8_t flags, void *user)
{
	struct call *call = nghttp2_session_get_stream_user_data(h2, frame->hd.stream_id);
	(void)name_len, (void)flags, (void)user;
	if (call && strcmp((const char *)name, "grpc-status") == 0)
		call->status = atoi((const char *)value);
	if (call && strcmp((const char *)name, "grpc-message") == 0)
		snprintf(call->message, sizeof(call->message), "%.*s", (int)value_len, (const char *)value);
	return 0;
}

static int on_data(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *data, size_t len, void *user)
{
	struct call *call = nghttp2_session_get_stream_user_data(h2, stream);
	(void)flags, (void)user;
	if (call)
		buf_add(&call->body, data, len);
	return 0;
}

static int on_close(nghttp2_session *h2, int32_t stream, uint32_t code, void *user)
{
	struct call *call = nghttp2_session_get_stream_user_data(h2, stream);
	(void)code, (void)user;
	if (call)
		call->closed = true;
	return 0;
}

static void client_connect(struct client *c, const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	nghttp2_session_callbacks *callbacks;
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(c->fd >= 0);
	assert_int_equal(connect(c->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
	nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
	nghttp2_session_callbacks_set_recv_callback(callbacks, on_recv);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	assert_int_equal(nghttp2_session_client_new(&c->h2, callbacks, c), 0);
	nghttp2_session_callbacks_del(callbacks);
	assert_int_equal(nghttp2_submit_settings(c->h2, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void client_close(struct client *c)
{
	if (!c->h2)
		return;
	nghttp2_session_del(c->h2);
	close(c->fd);
	c->h2 = NULL;
}

static ssize_t request_read(nghttp2_session *h2, int32_t stream, uint8_t *to, size_t size, uint32_t *flags, nghttp2_data_source *source,
                            void *user)
{
	struct call *call = source->ptr;
	size_t n = call->request.len - call->request_at;
	(void)h2, (void)stream, (void)user;
	n = n < size ? n : size;
	memcpy(to, call->request.data + call->request_at, n);
	call->request_at += n;
	if (call->request_at == call->request.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

#define FIELD(n, v)                                                                                                                        \
	{                                                                                                                                  \
		(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), NGHTTP2_NV_FLAG_NONE                           \
	}
static void call_start(struct client *c, struct call *call, const char *path, const struct buf *message, const char *timeout)
{
	const nghttp2_nv fields[] = {
	    FIELD(":method", "POST"),
	    FIELD(":scheme", "http"),
	    FIELD(":path", path),
	    FIELD(":authority", "localhost"),
	    FIELD("content-type", "application/grpc"),
	    FIELD("te", "trailers"),
	    FIELD("grpc-timeout", timeout ? timeout : ""),
	};
	const nghttp2_data_provider body = {.source.ptr = call, .read_callback = request_read};
	*call = (struct call){.status = -1};
	buf_add(&call->request, "", 1);
	buf_be32(&call->request, (uint32_t)(message ? message->len : 0));
	if (message)
		buf_add(&call->request, message->data, message->len);
	call->stream = nghttp2_submit_request(c->h2, NULL, fields, ELEMENTS(fields) - (timeout ? 0 : 1), &body, call);
	assert_true(call->stream > 0);
}

static void call_free(struct call *c)
{
	buf_free(&c->request);
	buf_free(&c->body);
}
#define _cleanup_call_ __attribute__((cleanup(call_free)))

/* ---- fixture ---------------------------------------------------------------------------------------------------------------------- */

static void on_event(struct event *e, void *user)
{
	struct fixture *f = user;
	assert_true(f->n_events < ELEMENTS(f->events));
	if (e->request.n)
		f->claims[f->n_events] = e->request.claims[0];
	f->events[f->n_events++] = *e;
}

static void on_registered(bool ok, const char *error, void *user)
{
	struct fixture *f = user;
	f->registered = ok;
	snprintf(f->registered_error, sizeof(f->registered_error), "%s", error ? error : "");
}

static void on_health(void (*add)(const char *device, const char *trouble, void *to), void *to, void *user)
{
	struct fixture *f = user;
	for (size_t i = 0; i < ELEMENTS(f->devices) && f->devices[i]; i++)
		add(f->devices[i], f->trouble[i], to);
}

static const char *in_root(const struct fixture *f, const char *path)
{
	static char full[256];
	snprintf(full, sizeof(full), "%s/%s", f->root, path);
	return full;
}

static struct kubelet_options options_of(struct fixture *f)
{
	return (struct kubelet_options){.driver = "dra.net",
	                                .node = "node-1",
	                                .root = f->root,
	                                .instance = "",
	                                .event = on_event,
	                                .registered = on_registered,
	                                .health = on_health,
	                                .user = f};
}

static int setup_root(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	if (!f)
		return -1;
	f->registered = -1;
	snprintf(f->root, sizeof(f->root), "/tmp/test_kubelet.XXXXXX");
	*state = f;
	return mkdtemp(f->root) && mkdir(in_root(f, "plugins_registry"), 0755) == 0 ? uv_loop_init(&f->loop) : -1;
}

static int setup(void **state)
{
	if (setup_root(state) != 0)
		return -1;
	struct fixture *f = *state;
	struct error e = {0};
	struct kubelet_options o = options_of(f);
	if (kubelet_start(&f->loop, &o, &f->kubelet, &e) < 0) {
		print_error("%s\n", e.text);
		return -1;
	}
	client_connect(&f->dra, in_root(f, "plugins/dra.net/dra.sock"));
	client_connect(&f->registration, in_root(f, "plugins_registry/dra.net-reg.sock"));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	kubelet_close(f->kubelet);
	client_close(&f->dra);
	client_close(&f->registration);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	bool idle = uv_loop_close(&f->loop) == 0;
	/* rmdir refuses a directory with a socket left in it */
	rmdir(in_root(f, "plugins/dra.net"));
	rmdir(in_root(f, "plugins"));
	rmdir(in_root(f, "plugins_registry"));
	bool clean = rmdir(f->root) == 0;
	free(f);
	return idle && clean ? 0 : -1;
}

static void turn(struct fixture *f)
{
	struct client *clients[] = {&f->dra, &f->registration};
	struct pollfd fds[3] = {{.fd = uv_backend_fd(&f->loop), .events = POLLIN}};
	nfds_t n = 1;
	for (size_t i = 0; i < ELEMENTS(clients); i++) {
		if (!clients[i]->h2)
			continue;
		nghttp2_session_send(clients[i]->h2);
		nghttp2_session_recv(clients[i]->h2);
		fds[n++] = (struct pollfd){.fd = clients[i]->fd, .events = POLLIN};
	}
	uv_run(&f->loop, UV_RUN_NOWAIT);
	poll(fds, n, 1);
}

#define WAIT_FOR(f, condition)                                                                                                             \
	do {                                                                                                                               \
		uint64_t until_ = uv_hrtime() + 10 * (uint64_t)1e9;                                                                        \
		while (!(condition)) {                                                                                                     \
			if (uv_hrtime() > until_)                                                                                          \
				fail_msg("not within 10 s: %s", #condition);                                                               \
			turn(f);                                                                                                           \
		}                                                                                                                          \
	} while (0)

/* The one message of a finished call. */
static const uint8_t *body_of(const struct call *c, size_t *len)
{
	assert_true(c->body.len >= 5);
	*len = c->body.len - 5;
	return c->body.data + 5;
}

/* ---- registration ----------------------------------------------------------------------------------------------------------------- */

static void info_is_what_kubelets_want(void **state)
{
	static const char *const versions[] = {"v1.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth"};
	struct fixture *f = *state;
	_cleanup_call_ struct call call;
	size_t len;
	call_start(&f->registration, &call, REGISTRATION "GetInfo", NULL, "1S");
	WAIT_FOR(f, call.closed);
	assert_int_equal(call.status, 0);
	const uint8_t *body = body_of(&call, &len);
	Pluginregistration__PluginInfo *info = pluginregistration__plugin_info__unpack(NULL, len, body);
	assert_non_null(info);
	assert_string_equal(info->type, "DRAPlugin");
	assert_string_equal(info->name, "dra.net");
	assert_string_equal(info->endpoint, in_root(f, "plugins/dra.net/dra.sock"));
	assert_int_equal(info->n_supported_versions, ELEMENTS(versions));
	for (size_t i = 0; i < ELEMENTS(versions); i++)
		assert_string_equal(info->supported_versions[i], versions[i]);
	pluginregistration__plugin_info__free_unpacked(info, NULL);
}

static void registration_verdict_is_told(void **state)
{
	struct fixture *f = *state;
	_cleanup_call_ struct call good, bad;
	const struct buf yes = {.data = (uint8_t[]){0x08, 0x01}, .len = 2};
	const struct buf no = {.data = (uint8_t[]){0x12, 0x04, 'b', 'u', 's', 'y'}, .len = 6};
	call_start(&f->registration, &good, REGISTRATION "NotifyRegistrationStatus", &yes, "5S");
	WAIT_FOR(f, good.closed);
	assert_int_equal(good.status, 0);
	assert_int_equal(f->registered, 1);
	call_start(&f->registration, &bad, REGISTRATION "NotifyRegistrationStatus", &no, "5S");
	WAIT_FOR(f, bad.closed);
	assert_int_equal(bad.status, GRPC_UNKNOWN);
	assert_non_null(strstr(bad.message, "busy"));
	assert_int_equal(f->registered, 0);
	assert_string_equal(f->registered_error, "busy");
}

/* ---- DRA -------------------------------------------------------------------------------------------------------------------------- */

static const struct prepared_device device = {.request = "nic", .pool = "node-1", .device = "pci-0000-8a-00-0", .share_id = "share-1"};

static void prepare_with(struct fixture *f, const char *path, const char *share_id)
{
	_cleanup_call_ struct call call;
	_cleanup_buf_ struct buf request = {0};
	size_t len;
	add_claim(&request, "uid-1", "default", "one");
	call_start(&f->dra, &call, path, &request, "45S");
	WAIT_FOR(f, f->n_events == 1);
	const struct event *e = &f->events[0];
	assert_int_equal(e->type, EVENT_PREPARE);
	assert_int_equal(e->now, uv_now(&f->loop));
	assert_int_equal(e->request.n, 1);
	assert_string_equal(f->claims[0].uid, "uid-1");
	assert_true(e->request.deadline <= e->now + 45000 && e->request.deadline > e->now);
	const struct claim_answer answers[] = {
	    {.uid = "uid-1", .devices = &device, .n_devices = 1, .cdi_id = "dra.net/claim=uid-1"},
	    {.uid = "uid-2", .error = "no such device"},
	};
	kubelet_reply_prepare(f->kubelet, e->request.call, answers, 2);
	WAIT_FOR(f, call.closed);
	assert_int_equal(call.status, 0);
	const uint8_t *body = body_of(&call, &len);
	Dra__NodePrepareResourcesResponse *reply = dra__node_prepare_resources_response__unpack(NULL, len, body);
	assert_non_null(reply);
	assert_int_equal(reply->n_claims, 2);
	assert_string_equal(reply->claims[0]->key, "uid-1");
	assert_int_equal(reply->claims[0]->value->n_devices, 1);
	const Dra__Device *d = reply->claims[0]->value->devices[0];
	assert_int_equal(d->n_request_names, 1);
	assert_string_equal(d->request_names[0], "nic");
	assert_string_equal(d->pool_name, "node-1");
	assert_string_equal(d->device_name, "pci-0000-8a-00-0");
	assert_int_equal(d->n_cdi_device_ids, 1);
	assert_string_equal(d->cdi_device_ids[0], "dra.net/claim=uid-1");
	assert_int_equal(d->share_case, share_id ? DRA__DEVICE__SHARE_SHARE_ID : DRA__DEVICE__SHARE__NOT_SET);
	if (share_id)
		assert_string_equal(d->share_id, share_id);
	assert_string_equal(reply->claims[1]->key, "uid-2");
	assert_string_equal(reply->claims[1]->value->error, "no such device");
	assert_int_equal(reply->claims[1]->value->n_devices, 0);
	dra__node_prepare_resources_response__free_unpacked(reply, NULL);
}

static void prepare_v1(void **state)
{
	prepare_with(*state, DRA_V1 "NodePrepareResources", "share-1");
}

static void prepare_v1beta1_has_no_share_id(void **state)
{
	prepare_with(*state, DRA_V1BETA1 "NodePrepareResources", NULL);
}

static void unprepare_with(struct fixture *f, const char *path)
{
	_cleanup_call_ struct call call;
	_cleanup_buf_ struct buf request = {0};
	size_t len;
	add_claim(&request, "uid-1", "default", "one");
	call_start(&f->dra, &call, path, &request, NULL);
	WAIT_FOR(f, f->n_events == 1);
	assert_int_equal(f->events[0].type, EVENT_UNPREPARE);
	assert_true(f->events[0].request.deadline == UINT64_MAX);
	const struct claim_answer answers[] = {{.uid = "uid-1"}, {.uid = "uid-2", .error = "still moving"}};
	kubelet_reply_unprepare(f->kubelet, f->events[0].request.call, answers, 2);
	WAIT_FOR(f, call.closed);
	assert_int_equal(call.status, 0);
	const uint8_t *body = body_of(&call, &len);
	Dra__NodeUnprepareResourcesResponse *reply = dra__node_unprepare_resources_response__unpack(NULL, len, body);
	assert_non_null(reply);
	assert_int_equal(reply->n_claims, 2);
	assert_string_equal(reply->claims[0]->key, "uid-1");
	assert_string_equal(reply->claims[0]->value->error, "");
	assert_string_equal(reply->claims[1]->value->error, "still moving");
	dra__node_unprepare_resources_response__free_unpacked(reply, NULL);
}

static void unprepare_v1(void **state)
{
	unprepare_with(*state, DRA_V1 "NodeUnprepareResources");
}

static void unprepare_v1beta1(void **state)
{
	unprepare_with(*state, DRA_V1BETA1 "NodeUnprepareResources");
}

static void a_broken_request_is_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_call_ struct call no_uid, no_message;
	_cleanup_buf_ struct buf request = {0};
	const struct buf rubbish = {.data = (uint8_t[]){0x0a, 0x7f}, .len = 2};
	add_claim(&request, "", "default", "one");
	call_start(&f->dra, &no_uid, DRA_V1 "NodePrepareResources", &request, "45S");
	call_start(&f->dra, &no_message, DRA_V1 "NodePrepareResources", &rubbish, "45S");
	WAIT_FOR(f, no_uid.closed && no_message.closed);
	assert_int_equal(no_uid.status, GRPC_INVALID_ARGUMENT);
	assert_non_null(strstr(no_uid.message, "claims[0].uid"));
	assert_int_equal(no_message.status, GRPC_INVALID_ARGUMENT);
	assert_int_equal(f->n_events, 0);
}

static void requests_may_be_answered_in_any_order(void **state)
{
	struct fixture *f = *state;
	_cleanup_call_ struct call first, second;
	_cleanup_buf_ struct buf one = {0}, two = {0};
	add_claim(&one, "uid-1", "default", "one");
	add_claim(&two, "uid-2", "default", "two");
	call_start(&f->dra, &first, DRA_V1 "NodePrepareResources", &one, "45S");
	call_start(&f->dra, &second, DRA_V1 "NodePrepareResources", &two, "45S");
	WAIT_FOR(f, f->n_events == 2);
	uint64_t ids[] = {f->events[0].request.call, f->events[1].request.call};
	assert_true(ids[0] != ids[1]);
	const struct claim_answer a = {.uid = "uid-1"}, b = {.uid = "uid-2"};
	kubelet_reply_prepare(f->kubelet, ids[1], &b, 1);
	WAIT_FOR(f, second.closed);
	assert_false(first.closed);
	/* none of these is a call that waits for such an answer */
	kubelet_reply_prepare(f->kubelet, ids[1], &b, 1);
	kubelet_reply_prepare(f->kubelet, ids[1] + 17, &b, 1);
	kubelet_reply_unprepare(f->kubelet, ids[0], &a, 1);
	kubelet_reply_prepare(f->kubelet, ids[0], &a, 1);
	WAIT_FOR(f, first.closed);
	assert_int_equal(first.status, 0);
	assert_memory_equal(body_of(&first, &(size_t){0}) + 4, "uid-1", 5);
	assert_memory_equal(body_of(&second, &(size_t){0}) + 4, "uid-2", 5);
}

static void a_kubelet_that_went_away_is_no_trouble(void **state)
{
	struct fixture *f = *state;
	_cleanup_call_ struct call call;
	_cleanup_buf_ struct buf request = {0};
	add_claim(&request, "uid-1", "default", "one");
	call_start(&f->dra, &call, DRA_V1 "NodePrepareResources", &request, "45S");
	WAIT_FOR(f, f->n_events == 1);
	client_close(&f->dra);
	for (int i = 0; i < 10; i++)
		turn(f);
	kubelet_reply_prepare(f->kubelet, f->events[0].request.call, &(struct claim_answer){.uid = "uid-1"}, 1);
	client_connect(&f->dra, in_root(f, "plugins/dra.net/dra.sock"));
	_cleanup_call_ struct call again;
	call_start(&f->dra, &again, DRA_V1 "NodePrepareResources", NULL, "45S");
	WAIT_FOR(f, f->n_events == 2);
	assert_int_equal(f->events[1].request.n, 0);
	kubelet_reply_prepare(f->kubelet, f->events[1].request.call, NULL, 0);
	WAIT_FOR(f, again.closed);
	assert_int_equal(again.status, 0);
	assert_int_equal(again.body.len, 5);
}

static void open_calls_are_told_of_the_end(void **state)
{
	struct fixture *f = *state;
	_cleanup_call_ struct call call, stream;
	_cleanup_buf_ struct buf request = {0};
	f->devices[0] = "eth1";
	add_claim(&request, "uid-1", "default", "one");
	call_start(&f->dra, &stream, "/v1.DRAResourceHealth/NodeWatchResources", NULL, NULL);
	call_start(&f->dra, &call, DRA_V1 "NodePrepareResources", &request, "45S");
	WAIT_FOR(f, f->n_events == 1 && stream.body.len);
	kubelet_close(f->kubelet);
	f->kubelet = NULL;
	WAIT_FOR(f, call.closed && stream.closed);
	assert_int_equal(call.status, GRPC_UNAVAILABLE);
	assert_int_equal(stream.status, GRPC_UNAVAILABLE);
}

/* ---- health ----------------------------------------------------------------------------------------------------------------------- */

static void health_is(struct call *call, const char *const *devices, const char *const *trouble, size_t n)
{
	size_t len;
	const uint8_t *body = body_of(call, &len);
	assert_int_equal(call->body.data[4] | call->body.data[3] << 8, len);
	Health__NodeWatchResourcesResponse *m = health__node_watch_resources_response__unpack(NULL, len, body);
	assert_non_null(m);
	assert_int_equal(m->n_devices, n);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(m->devices[i]->device->pool_name, "node-1");
		assert_string_equal(m->devices[i]->device->device_name, devices[i]);
		assert_int_equal(m->devices[i]->health, trouble[i] ? HEALTH__HEALTH_STATUS__UNHEALTHY : HEALTH__HEALTH_STATUS__HEALTHY);
		assert_string_equal(m->devices[i]->message, trouble[i] ? trouble[i] : "");
		assert_int_equal(m->devices[i]->health_check_timeout_seconds, 3600);
		assert_true(m->devices[i]->last_updated_time > 1600000000);
	}
	health__node_watch_resources_response__free_unpacked(m, NULL);
	buf_reset(&call->body);
}

static void health_with(struct fixture *f, const char *path)
{
	_cleanup_call_ struct call call;
	f->devices[0] = "eth1";
	f->devices[1] = "pci-0000-8a-00-0";
	call_start(&f->dra, &call, path, NULL, NULL);
	WAIT_FOR(f, call.body.len);
	health_is(&call, f->devices, f->trouble, 2);
	kubelet_health_changed(f->kubelet); /* not the list: the next message is of the next change */
	f->trouble[0] = "it does not exist any more";
	kubelet_health_changed(f->kubelet);
	WAIT_FOR(f, call.body.len);
	health_is(&call, f->devices, f->trouble, 2);
	f->devices[1] = NULL;
	kubelet_health_changed(f->kubelet);
	WAIT_FOR(f, call.body.len);
	health_is(&call, f->devices, f->trouble, 1);
	f->devices[0] = NULL;
	kubelet_health_changed(f->kubelet);
	WAIT_FOR(f, call.body.len);
	health_is(&call, f->devices, f->trouble, 0);
	assert_false(call.closed);
	/* cancelled: the next change finds nobody */
	assert_int_equal(nghttp2_submit_rst_stream(f->dra.h2, NGHTTP2_FLAG_NONE, call.stream, NGHTTP2_CANCEL), 0);
	WAIT_FOR(f, call.closed);
	for (int i = 0; i < 10; i++)
		turn(f);
	kubelet_health_changed(f->kubelet);
}

static void health_v1(void **state)
{
	health_with(*state, "/v1.DRAResourceHealth/NodeWatchResources");
}

static void health_v1alpha1(void **state)
{
	health_with(*state, "/v1alpha1.DRAResourceHealth/NodeWatchResources");
}

/* ---- start ------------------------------------------------------------------------------------------------------------------------ */

static void start_fails(struct fixture *f, const struct kubelet_options *o, int code, const char *word)
{
	struct error e = {0};
	struct kubelet *k = NULL;
	assert_int_equal(kubelet_start(&f->loop, o, &k, &e), code);
	assert_null(k);
	if (!strstr(e.text, word))
		fail_msg("'%s' is not in: %s", word, e.text);
}

static void start_says_what_is_wrong(void **state)
{
	struct fixture *f = *state;
	struct kubelet_options o = options_of(f);
	char instance[120];
	o.root = "/nonexistent";
	start_fails(f, &o, -ENOENT, "/nonexistent");
	o = options_of(f);
	o.driver = "../evil";
	start_fails(f, &o, -EINVAL, "../evil");
	o = options_of(f);
	o.instance = "a/b";
	start_fails(f, &o, -EINVAL, "a/b");
	memset(instance, 'i', sizeof(instance));
	instance[sizeof(instance) - 1] = '\0';
	o.instance = instance;
	start_fails(f, &o, -ENAMETOOLONG, "107");
	o = options_of(f);
	assert_int_equal(rmdir(in_root(f, "plugins_registry")), 0);
	start_fails(f, &o, -ENOENT, "plugins_registry");
}

/* Two instances at once: the newer neither takes the older one's sockets nor loses its own when the older goes. */
static void instances_live_side_by_side(void **state)
{
	struct fixture *f = *state;
	struct kubelet_options o = options_of(f);
	struct kubelet *second = NULL;
	struct error e = {0};
	o.instance = "pod-uid";
	assert_int_equal(kubelet_start(&f->loop, &o, &second, &e), 0);
	assert_int_equal(access(in_root(f, "plugins/dra.net/dra.sock"), F_OK), 0);
	assert_int_equal(access(in_root(f, "plugins/dra.net/dra-pod-uid.sock"), F_OK), 0);
	assert_int_equal(access(in_root(f, "plugins_registry/dra.net-pod-uid-reg.sock"), F_OK), 0);
	kubelet_close(f->kubelet);
	f->kubelet = second;
	WAIT_FOR(f, access(in_root(f, "plugins_registry/dra.net-reg.sock"), F_OK) < 0);
	assert_int_equal(access(in_root(f, "plugins_registry/dra.net-pod-uid-reg.sock"), F_OK), 0);
}

static bool there(struct fixture *f, const char *name)
{
	return access(in_root(f, name), F_OK) == 0;
}

static void sockets_taken_away_are_made_again(void **state)
{
	static const char dra[] = "plugins/dra.net/dra.sock", registration[] = "plugins_registry/dra.net-reg.sock";
	struct fixture *f = *state;
	unlink(in_root(f, registration));
	WAIT_FOR(f, there(f, registration));
	unlink(in_root(f, dra));
	WAIT_FOR(f, there(f, dra));
	/* what another instance has put there is left alone, until that is gone */
	struct stat other, later;
	unlink(in_root(f, registration));
	int fd = open(in_root(f, registration), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &other), 0);
	uint64_t until = uv_hrtime() + 300 * (uint64_t)1e6;
	WAIT_FOR(f, uv_hrtime() > until);
	assert_int_equal(stat(in_root(f, registration), &later), 0);
	assert_int_equal(later.st_ino, other.st_ino);
	close(fd);
	unlink(in_root(f, registration));
	WAIT_FOR(f, there(f, registration));
}

static void directories_made_anew_get_their_sockets(void **state)
{
	static const char dra[] = "plugins/dra.net/dra.sock", registration[] = "plugins_registry/dra.net-reg.sock";
	struct fixture *f = *state;
	for (int round = 0; round < 2; round++) {
		unlink(in_root(f, dra));
		unlink(in_root(f, registration));
		assert_int_equal(rmdir(in_root(f, "plugins/dra.net")), 0);
		assert_int_equal(rmdir(in_root(f, "plugins")), 0);
		assert_int_equal(rmdir(in_root(f, "plugins_registry")), 0);
		uint64_t until = uv_hrtime() + 300 * (uint64_t)1e6;
		WAIT_FOR(f, uv_hrtime() > until);
		assert_int_equal(mkdir(in_root(f, "plugins_registry"), 0755), 0);
		WAIT_FOR(f, there(f, dra) && there(f, registration));
	}
	_cleanup_call_ struct call call = {0};
	client_close(&f->registration);
	client_connect(&f->registration, in_root(f, registration));
	call_start(&f->registration, &call, REGISTRATION "GetInfo", NULL, "1S");
	WAIT_FOR(f, call.closed);
	assert_int_equal(call.status, GRPC_OK);
}

static void directory_is_private(void **state)
{
	struct fixture *f = *state;
	struct stat st;
	assert_int_equal(stat(in_root(f, "plugins/dra.net"), &st), 0);
	assert_int_equal(st.st_mode & 0027, 0);
}

#define SOCKETS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(claims_are_decoded),
	    cmocka_unit_test(broken_claims_name_the_field),
	    cmocka_unit_test(too_many_claims_are_refused),
	    cmocka_unit_test(status_text_is_never_in_the_way),
	    cmocka_unit_test(replies_are_utf8),
	    SOCKETS(info_is_what_kubelets_want),
	    SOCKETS(registration_verdict_is_told),
	    SOCKETS(prepare_v1),
	    SOCKETS(prepare_v1beta1_has_no_share_id),
	    SOCKETS(unprepare_v1),
	    SOCKETS(unprepare_v1beta1),
	    SOCKETS(a_broken_request_is_refused),
	    SOCKETS(requests_may_be_answered_in_any_order),
	    SOCKETS(a_kubelet_that_went_away_is_no_trouble),
	    SOCKETS(open_calls_are_told_of_the_end),
	    SOCKETS(health_v1),
	    SOCKETS(health_v1alpha1),
	    cmocka_unit_test_setup_teardown(start_says_what_is_wrong, setup_root, teardown),
	    SOCKETS(instances_live_side_by_side),
	    SOCKETS(directory_is_private),
	    SOCKETS(sockets_taken_away_are_made_again),
	    SOCKETS(directories_made_anew_get_their_sockets),
	};
	signal(SIGPIPE, SIG_IGN); /* libuv leaves it to the program, as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
