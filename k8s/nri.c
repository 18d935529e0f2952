/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/nri.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/nri_messages.h"
#include "k8s/pb_arena.h"
#include "transport/trunk.h"

#define SERVICE_PLUGIN "nri.pkg.api.v1alpha1.Plugin"
#define SERVICE_RUNTIME "nri.pkg.api.v1alpha1.Runtime"

enum {
	REGISTER_TIMEOUT_MS = 5000, /* the runtime waits as long for our registration, protocols §7.4 */
	HOOK_TIMEOUT_MS = 2000,     /* the runtime's default, for those that tell neither way (protocols §7.9) */
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 5000,
};

/* Codes of google.rpc.Status, the same as gRPC's. */
enum { STATUS_UNKNOWN = 2, STATUS_INVALID_ARGUMENT = 3, STATUS_RESOURCE_EXHAUSTED = 8, STATUS_UNIMPLEMENTED = 12, STATUS_UNAVAILABLE = 14 };

/* A hook that core has not answered yet. */
struct pending {
	struct pending *next;
	uint64_t id;
	struct ttrpc_call *call;
};

struct nri {
	uv_loop_t *loop;
	struct nri_options options; /* its strings are the copies below */
	char *socket, *name, *index;
	struct trunk *trunk; /* NULL = waiting for the next attempt */
	uv_timer_t retry;
	uint32_t backoff_ms;
	bool up;       /* configured and synchronized */
	bool troubled; /* the trouble was noted, and is noted no more until the connection is up */
	struct nri_configuration configuration;
	struct nri_sandboxes sandboxes; /* of the pieces of Synchronize so far */
	struct pending *pending;
	uint64_t last_id;
};

static void note(struct nri *n, int result, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void note(struct nri *n, int result, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	n->options.note(result, text, n->options.user);
}

/* ---- answers ---------------------------------------------------------------------------------------------------------------------- */

static void call_fail(struct ttrpc_call *call, int status, const char *text)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	const char *sendable = pb_sendable(&arena, text);
	ttrpc_call_fail(call, status, sendable ? sendable : "");
}

/* What the peer sent is no good, with its reason. */
static void call_refuse(struct ttrpc_call *call, const struct error *e)
{
	call_fail(call, e->code == -E2BIG || e->code == -ENOMEM ? STATUS_RESOURCE_EXHAUSTED : STATUS_INVALID_ARGUMENT, e->text);
}

/* The responses of the hooks have no fields, or none that we set. */
static void call_reply_empty(struct ttrpc_call *call)
{
	ttrpc_call_reply(call, (const uint8_t *)"", 0);
}

static void call_reply(struct ttrpc_call *call, struct buf *reply)
{
	if (reply->failed)
		call_fail(call, STATUS_RESOURCE_EXHAUSTED, "out of memory");
	else
		ttrpc_call_reply(call, (const uint8_t *)buf_text(reply), reply->len);
}

static struct pending *pending_take(struct nri *n, uint64_t id)
{
	for (struct pending **at = &n->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;
		if (p->id != id)
			continue;
		*at = p->next;
		return p;
	}
	return NULL;
}

void nri_reply(struct nri *n, uint64_t call, const char *error)
{
	_cleanup_free_ struct pending *p = pending_take(n, call);
	if (!p)
		return;
	if (error)
		call_fail(p->call, STATUS_UNKNOWN, error);
	else
		call_reply_empty(p->call);
}

static void pending_drop(struct nri *n)
{
	while (n->pending) {
		struct pending *p = n->pending;
		n->pending = p->next;
		ttrpc_call_fail(p->call, STATUS_UNAVAILABLE, "the connection ends");
		free(p);
	}
}

/* ---- hooks ------------------------------------------------------------------------------------------------------------------------ */

struct request {
	const uint8_t *payload;
	size_t len;
	uint64_t timeout_ms;
	uint64_t came_ns;     /* of uv_hrtime() */
	enum event_type type; /* of the method's row */
};

/* When the runtime gives up and drops us: its budget in the request, its configuration, or its default, whichever comes first. */
static uint64_t hook_deadline(const struct nri *n, uint64_t timeout_ms)
{
	uint64_t ms = n->configuration.request_timeout_ms;
	if (timeout_ms && (!ms || timeout_ms < ms))
		ms = timeout_ms;
	return uv_now(n->loop) + (ms ? ms : HOOK_TIMEOUT_MS);
}

/* `decoded` as of nri_decode_hook. */
static void hook_take(struct nri *n, struct ttrpc_call *call, enum event_type type, int decoded, const struct sandbox *sandbox,
                      const struct request *r, const struct error *e)
{
	if (decoded <= 0) {
		if (decoded < 0)
			call_refuse(call, e);
		else
			call_reply_empty(call);
		if (n->options.answered && type != EVENT_TYPE_MAX)
			n->options.answered(type, decoded < 0, uv_hrtime() - r->came_ns, n->options.user);
		return;
	}
	struct pending *p = calloc(1, sizeof(*p));
	if (!p) {
		call_fail(call, STATUS_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*p = (struct pending){.next = n->pending, .id = ++n->last_id, .call = call};
	n->pending = p; /* before the event: it may be answered from inside it */
	struct event event = {.type = type, .now = uv_now(n->loop)};
	event.hook.call = p->id;
	event.hook.sandbox = sandbox;
	event.hook.deadline = hook_deadline(n, r->timeout_ms);
	n->options.event(&event, n->options.user);
}

static struct nri_pods pods_of(const struct nri *n)
{
	return (struct nri_pods){.know = n->options.knows_pod, .owns = n->options.owns_claim, .driver = n->name, .user = n->options.user};
}

static void on_hook(struct nri *n, struct ttrpc_call *call, const struct request *r)
{
	const struct nri_pods pods = pods_of(n);
	struct sandbox sandbox;
	struct error e = {0};
	int decoded = nri_decode_hook(r->payload, r->len, &pods, &sandbox, &e);
	hook_take(n, call, r->type, decoded, &sandbox, r, &e);
}

static void on_state_change(struct nri *n, struct ttrpc_call *call, const struct request *r)
{
	const struct nri_pods pods = pods_of(n);
	enum event_type type = r->type;
	struct sandbox sandbox;
	struct error e = {0};
	int decoded = nri_decode_state_change(r->payload, r->len, &pods, &type, &sandbox, &e);
	hook_take(n, call, type, decoded, &sandbox, r, &e);
}

/* ---- handshake -------------------------------------------------------------------------------------------------------------------- */

static void on_configure(struct nri *n, struct ttrpc_call *call, const struct request *r)
{
	_cleanup_buf_ struct buf reply = {0};
	struct error e = {0};
	if (nri_decode_configure(r->payload, r->len, &n->configuration, &e) < 0) {
		call_refuse(call, &e);
		return;
	}
	nri_encode_configured(&reply);
	call_reply(call, &reply);
}

/* Whether the runtime and we see the same process numbers. A pending CDI spec names the device node /proc/<our pid>/fd/<n> on the host's
 * side; it is the runtime that resolves that path, so the number must mean this process there. */
static bool same_pid_namespace(uint32_t peer)
{
	char path[32], own[64], theirs[64];
	if (!peer)
		return false;
	snprintf(path, sizeof(path), "/proc/%u/ns/pid", peer);
	ssize_t a = readlink("/proc/self/ns/pid", own, sizeof(own)), b = readlink(path, theirs, sizeof(theirs));
	return a > 0 && a == b && memcmp(own, theirs, (size_t)a) == 0;
}

static void note_up(struct nri *n)
{
	const struct nri_configuration *c = &n->configuration;
	char timeout[48] = "no request timeout told";
	if (c->request_timeout_ms)
		snprintf(timeout, sizeof(timeout), "request timeout %u ms", c->request_timeout_ms);
	note(n, 0, "connected to the runtime %s %s, NRI %s, %s", *c->runtime ? c->runtime : "(without a name)", c->version,
	     *c->nri_version ? c->nri_version : "before 0.12", timeout);
}

static void runtime_up(struct nri *n)
{
	if (n->up)
		return;
	n->up = true;
	n->troubled = false;
	n->backoff_ms = BACKOFF_MIN_MS;
	note_up(n);
	struct event event = {.type = EVENT_RUNTIME_UP, .now = uv_now(n->loop)};
	event.runtime.request_timeout_ms = n->configuration.request_timeout_ms;
	event.runtime.can_gate = same_pid_namespace(trunk_peer_pid(n->trunk));
	n->options.event(&event, n->options.user);
}

static void on_synchronize(struct nri *n, struct ttrpc_call *call, const struct request *r)
{
	const struct nri_pods pods = pods_of(n);
	_cleanup_buf_ struct buf reply = {0};
	struct error e = {0};
	bool more = false;
	if (nri_decode_synchronize(r->payload, r->len, &pods, &n->sandboxes, &more, &e) < 0) {
		nri_sandboxes_free(&n->sandboxes);
		call_refuse(call, &e);
		return;
	}
	/* Answered first: the runtime holds its lock for all pods meanwhile, and nothing in the answer depends on what follows. */
	nri_encode_synchronized(more, &reply);
	call_reply(call, &reply);
	if (more)
		return;
	struct nri_sandboxes all = n->sandboxes;
	n->sandboxes = (struct nri_sandboxes){0};
	runtime_up(n);
	struct event event = {.type = EVENT_SYNCHRONIZE, .now = uv_now(n->loop)};
	event.synchronize.sandboxes = all.v;
	event.synchronize.n = all.n;
	n->options.event(&event, n->options.user);
	nri_sandboxes_free(&all);
}

static void on_shutdown(struct nri *n, struct ttrpc_call *call, const struct request *r)
{
	(void)r;
	call_reply_empty(call);
	note(n, 0, "the runtime says that it shuts down");
}

/* protocols §7.6: since 0.12 every event has its own RPC; before, all but CreateContainer came through StateChange. */
static const struct {
	const char *method;
	void (*take)(struct nri *n, struct ttrpc_call *call, const struct request *r);
	enum event_type type;
} methods[] = {
    {"RunPodSandbox", on_hook, EVENT_RUN_SANDBOX},       {"StopPodSandbox", on_hook, EVENT_STOP_SANDBOX},
    {"RemovePodSandbox", on_hook, EVENT_REMOVE_SANDBOX}, {"CreateContainer", on_hook, EVENT_CREATE_CONTAINER},
    {"StateChange", on_state_change, EVENT_TYPE_MAX},    {"Configure", on_configure, EVENT_TYPE_MAX},
    {"Synchronize", on_synchronize, EVENT_TYPE_MAX},     {"Shutdown", on_shutdown, EVENT_TYPE_MAX},
};

static void trunk_request_came(struct trunk *t, struct ttrpc_call *call, const char *service, const char *method, const uint8_t *payload,
                               size_t len, uint64_t timeout_ms, void *user)
{
	struct error e = {0};
	(void)t;
	for (size_t i = 0; i < ELEMENTS(methods) && str_equal(service, SERVICE_PLUGIN); i++) {
		if (!str_equal(method, methods[i].method))
			continue;
		const struct request r = {
		    .payload = payload, .len = len, .timeout_ms = timeout_ms, .came_ns = uv_hrtime(), .type = methods[i].type};
		methods[i].take(user, call, &r);
		return;
	}
	error_set(&e, -ENOSYS, "unknown method %s/%s", service, method);
	call_fail(call, STATUS_UNIMPLEMENTED, e.text);
}

/* ---- the connection --------------------------------------------------------------------------------------------------------------- */

static void connect_now(struct nri *n);

static void retry_due(uv_timer_t *timer)
{
	connect_now(timer->data);
}

/* Up to a quarter more, so that the daemons of a cluster whose runtimes were restarted together do not stay in step. */
static uint32_t jitter(uint32_t ms)
{
	uint32_t r = 0;
	if (uv_random(NULL, NULL, &r, sizeof(r), 0, NULL) < 0)
		return 0;
	return r % (ms / 4 + 1);
}

static void retry_later(struct nri *n, int result, const char *why)
{
	if (!n->troubled)
		note(n, result, "no connection to the runtime at %s: %s; pods start without it until there is one", n->socket, why);
	n->troubled = true;
	uv_timer_start(&n->retry, retry_due, n->backoff_ms + jitter(n->backoff_ms), 0);
	n->backoff_ms = n->backoff_ms * 2 < BACKOFF_MAX_MS ? n->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void disconnect(struct nri *n)
{
	struct trunk *t = TAKE_PTR(n->trunk); /* first: closing it answers our own request */
	pending_drop(n);
	nri_sandboxes_free(&n->sandboxes);
	n->configuration = (struct nri_configuration){0};
	if (t)
		trunk_close(t);
}

static void connection_lost(struct nri *n, int result, const char *why)
{
	bool was_up = n->up;
	n->up = false;
	disconnect(n);
	retry_later(n, result, why);
	if (!was_up)
		return;
	struct event event = {.type = EVENT_RUNTIME_DOWN, .now = uv_now(n->loop)};
	n->options.event(&event, n->options.user);
}

static void trunk_closed(struct trunk *t, int result, const char *why, void *user)
{
	(void)t;
	connection_lost(user, result, why);
}

static void registered(int result, const char *error, const uint8_t *payload, size_t len, void *user)
{
	struct nri *n = user;
	char why[512];
	(void)payload, (void)len; /* Empty */
	if (result == 0 || !n->trunk)
		return;
	snprintf(why, sizeof(why), "the runtime refuses the registration of %s-%s: %s", n->index, n->name,
	         error ? error : strerror(-result));
	connection_lost(n, result, why);
}

static void trunk_connected(struct trunk *t, void *user)
{
	struct nri *n = user;
	_cleanup_buf_ struct buf request = {0};
	nri_encode_register(n->name, n->index, &request);
	int r = request.failed
	            ? -ENOMEM
	            : trunk_request(t, SERVICE_RUNTIME, "RegisterPlugin", request.data, request.len, REGISTER_TIMEOUT_MS, registered, n);
	if (r < 0)
		connection_lost(n, r, strerror(-r));
}

static void connect_now(struct nri *n)
{
	static const struct trunk_callbacks callbacks = {
	    .connected = trunk_connected, .request = trunk_request_came, .closed = trunk_closed};
	struct error e = {0};
	int r = trunk_connect(n->loop, n->socket, &callbacks, n, &n->trunk, &e);
	if (r < 0)
		retry_later(n, r, e.text);
}

/* ---- start and end ---------------------------------------------------------------------------------------------------------------- */

static void nri_free(uv_handle_t *retry)
{
	struct nri *n = retry->data;
	free(n->socket);
	free(n->name);
	free(n->index);
	free(n);
}

void nri_close(struct nri *n)
{
	if (!n)
		return;
	n->up = false;
	disconnect(n);
	uv_close((uv_handle_t *)&n->retry, nri_free);
}

bool nri_connected(const struct nri *n)
{
	return n->up;
}

/* The runtime's own rules (protocols §7.1): it would refuse others each time, for ever. */
static int options_check(const struct nri_options *o, struct error *e)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+-";
	if (!*o->name || o->name[strspn(o->name, letters)])
		return error_set(e, -EINVAL, "the NRI plugin's name '%s' is not of letters, digits, '_', '.', '+' and '-'", o->name);
	if (strlen(o->index) != 2 || strspn(o->index, "0123456789") != 2)
		return error_set(e, -EINVAL, "the NRI plugin's index '%s' is not two digits", o->index);
	if (strlen(o->socket) > 107 || *o->socket != '/')
		return error_set(e, -EINVAL, "the NRI socket '%s' is not an absolute path of at most 107 bytes", o->socket);
	return 0;
}

int nri_start(uv_loop_t *loop, const struct nri_options *o, struct nri **ret, struct error *e)
{
	int r = options_check(o, e);
	if (r < 0)
		return r;
	struct nri *n = calloc(1, sizeof(*n));
	if (!n)
		return error_set(e, -ENOMEM, "out of memory");
	n->loop = loop;
	n->options = *o;
	n->backoff_ms = BACKOFF_MIN_MS;
	n->retry.data = n;
	uv_timer_init(loop, &n->retry);
	n->options.socket = n->socket = strdup(o->socket);
	n->options.name = n->name = strdup(o->name);
	n->options.index = n->index = strdup(o->index);
	if (!n->socket || !n->name || !n->index) {
		nri_close(n);
		return error_set(e, -ENOMEM, "out of memory");
	}
	connect_now(n);
	*ret = n;
	return 0;
}
