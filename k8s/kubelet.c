/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/kubelet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/kubelet_health.h"
#include "k8s/kubelet_messages.h"
#include "transport/grpc_server.h"

enum {
	SOCKET_PATH_MAX = 107, /* sun_path without its NUL */
	SETTLE_MS = 100,       /* who empties a directory is not done with the first file */
	RETRY_MIN_MS = 500,
	RETRY_MAX_MS = 5000,
};

/* A request that core has not answered yet. */
struct pending {
	struct pending *next;
	uint64_t id;
	struct grpc_call *call;
	bool unprepare;
	bool with_share_id; /* asked through v1 */
};

struct kubelet {
	uv_loop_t *loop;
	struct kubelet_options options; /* its strings are the copies below */
	char *driver, *node;
	struct buf own_directory, registry, dra_path, registration_path;
	struct grpc_server *dra, *registration; /* NULL = to be made again */
	uv_fs_event_t watches[2];               /* of the two directories */
	uv_timer_t look;
	uint32_t retry_ms;
	int open_handles;
	struct kubelet_health *health;
	struct pending *pending;
	uint64_t last_id;
};

/* ---- DRA -------------------------------------------------------------------------------------------------------------------------- */

static void call_reply(struct grpc_call *call, struct buf *reply)
{
	if (reply->failed)
		grpc_call_fail(call, GRPC_INTERNAL, "the reply does not fit into memory");
	else
		grpc_call_reply(call, (const uint8_t *)buf_text(reply), reply->len);
}

static void call_refuse(struct grpc_call *call, const struct error *e)
{
	grpc_call_fail(call, e->code == -E2BIG || e->code == -ENOMEM ? GRPC_RESOURCE_EXHAUSTED : GRPC_INVALID_ARGUMENT, e->text);
}

static void request_take(struct kubelet *k, struct grpc_call *call, const uint8_t *message, size_t len, bool unprepare, bool with_share_id)
{
	struct claim_ref claims[KUBELET_CLAIMS_MAX];
	struct error e = {0};
	size_t n = 0;
	if (kubelet_decode_claims(message, len, claims, &n, &e) < 0) {
		call_refuse(call, &e);
		return;
	}
	struct pending *p = calloc(1, sizeof(*p));
	if (!p) {
		grpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*p = (struct pending){.next = k->pending, .id = ++k->last_id, .call = call, .unprepare = unprepare, .with_share_id = with_share_id};
	k->pending = p; /* before the event: it may be answered from inside it */
	struct event event = {.type = unprepare ? EVENT_UNPREPARE : EVENT_PREPARE, .now = uv_now(k->loop)};
	event.request.call = p->id;
	event.request.claims = claims;
	event.request.n = n;
	event.request.deadline = grpc_call_deadline(call);
	k->options.event(&event, k->options.user);
}

static void prepare_v1(struct grpc_call *call, const uint8_t *message, size_t len, void *user)
{
	request_take(user, call, message, len, false, true);
}
static void prepare_v1beta1(struct grpc_call *call, const uint8_t *message, size_t len, void *user)
{
	request_take(user, call, message, len, false, false);
}
static void unprepare(struct grpc_call *call, const uint8_t *message, size_t len, void *user)
{
	request_take(user, call, message, len, true, false);
}

static struct pending *pending_take(struct kubelet *k, uint64_t id, bool unprepare)
{
	for (struct pending **at = &k->pending; *at; at = &(*at)->next) {
		struct pending *p = *at;
		if (p->id != id || p->unprepare != unprepare)
			continue;
		*at = p->next;
		return p;
	}
	return NULL;
}

void kubelet_reply_prepare(struct kubelet *k, uint64_t call, const struct claim_answer *answers, size_t n)
{
	_cleanup_free_ struct pending *p = pending_take(k, call, false);
	_cleanup_buf_ struct buf reply = {0};
	if (!p)
		return;
	kubelet_encode_prepared(answers, n, p->with_share_id, &reply);
	call_reply(p->call, &reply);
}

void kubelet_reply_unprepare(struct kubelet *k, uint64_t call, const struct claim_answer *answers, size_t n)
{
	_cleanup_free_ struct pending *p = pending_take(k, call, true);
	_cleanup_buf_ struct buf reply = {0};
	if (!p)
		return;
	kubelet_encode_unprepared(answers, n, &reply);
	call_reply(p->call, &reply);
}

static void watch_health(struct grpc_call *call, const uint8_t *message, size_t len, void *user)
{
	struct kubelet *k = user;
	struct error e = {0};
	if (kubelet_decode_watch(message, len, &e) < 0)
		call_refuse(call, &e);
	else
		kubelet_health_open(k->health, call);
}

void kubelet_health_changed(struct kubelet *k)
{
	kubelet_health_look(k->health);
}

static const struct grpc_method dra_methods[] = {
    {"/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources", prepare_v1},
    {"/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources", unprepare},
    {"/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodePrepareResources", prepare_v1beta1},
    {"/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodeUnprepareResources", unprepare},
    {"/v1.DRAResourceHealth/NodeWatchResources", watch_health},
    {"/v1alpha1.DRAResourceHealth/NodeWatchResources", watch_health},
};

/* ---- registration ----------------------------------------------------------------------------------------------------------------- */

static void get_info(struct grpc_call *call, const uint8_t *message, size_t len, void *user)
{
	struct kubelet *k = user;
	_cleanup_buf_ struct buf reply = {0};
	(void)message, (void)len; /* InfoRequest has no fields */
	kubelet_encode_info(k->driver, buf_text(&k->dra_path), &reply);
	call_reply(call, &reply);
}

static void notify_status(struct grpc_call *call, const uint8_t *message, size_t len, void *user)
{
	struct kubelet *k = user;
	char error[KUBELET_ERROR_SIZE];
	struct error e = {0};
	bool registered = false;
	if (kubelet_decode_status(message, len, &registered, error, &e) < 0) {
		call_refuse(call, &e);
		return;
	}
	if (registered) {
		grpc_call_reply(call, (const uint8_t *)"", 0);
	} else { /* the kubelet logs it and tries again, as it does with the Go helper's drivers */
		error_set(&e, -EREMOTEIO, "failed registration process: %s", error);
		grpc_call_fail(call, GRPC_UNKNOWN, e.text);
	}
	k->options.registered(registered, registered ? NULL : error, k->options.user);
}

static const struct grpc_method registration_methods[] = {
    {"/pluginregistration.Registration/GetInfo", get_info},
    {"/pluginregistration.Registration/NotifyRegistrationStatus", notify_status},
};

/* ---- paths ------------------------------------------------------------------------------------------------------------------------- */

static int is_directory(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int directory_make(const char *path, struct error *e)
{
	int r = mkdir(path, 0750) < 0 ? -errno : 0;
	if (r == -EEXIST)
		r = is_directory(path);
	return r < 0 ? error_set(e, r, "the directory %s cannot be made: %s", path, strerror(-r)) : 0;
}

static int name_check(const char *name, const char *what, struct error *e)
{
	if (*name && (strchr(name, '/') || *name == '.' || !str_is_token(name)))
		return error_set(e, -EINVAL, "%s '%s' cannot be part of a socket's name", what, name);
	return 0;
}

static int path_check(struct buf *path, struct error *e)
{
	if (path->failed)
		return error_set(e, -ENOMEM, "out of memory");
	if (path->len > SOCKET_PATH_MAX)
		return error_set(e, -ENAMETOOLONG, "the socket's path %s is %zu bytes long, a unix socket takes %d", buf_text(path),
		                 path->len, SOCKET_PATH_MAX);
	return 0;
}

/* Names as the Go helper's (protocols §1.5); with an instance, two daemons can serve one driver during a rolling update. */
static int paths_make(struct kubelet *k, const struct kubelet_options *o, struct error *e)
{
	const char *instance = o->instance ? o->instance : "", *dash = *instance ? "-" : "";
	int r = name_check(o->driver, "the driver's name", e);
	if (r == 0)
		r = name_check(instance, "the instance", e);
	if (r < 0)
		return r;
	buf_printf(&k->own_directory, "%s/plugins/%s", o->root, o->driver);
	buf_printf(&k->registry, "%s/plugins_registry", o->root);
	buf_printf(&k->dra_path, "%s/dra%s%s.sock", buf_text(&k->own_directory), dash, instance);
	buf_printf(&k->registration_path, "%s/%s%s%s-reg.sock", buf_text(&k->registry), o->driver, dash, instance);
	if (k->own_directory.failed || k->registry.failed)
		return error_set(e, -ENOMEM, "out of memory");
	r = path_check(&k->dra_path, e);
	return r < 0 ? r : path_check(&k->registration_path, e);
}

/* <root>/plugins and <root>/plugins/<driver>. */
static int own_directory_make(struct kubelet *k, struct error *e)
{
	_cleanup_buf_ struct buf plugins = {0};
	const char *own = buf_text(&k->own_directory);
	buf_add(&plugins, own, (size_t)(strrchr(own, '/') - own));
	if (plugins.failed)
		return error_set(e, -ENOMEM, "out of memory");
	int r = directory_make(buf_text(&plugins), e);
	return r < 0 ? r : directory_make(own, e);
}

static int directories_make(struct kubelet *k, const char *root, struct error *e)
{
	int r = is_directory(root);
	if (r < 0)
		return error_set(e, r, "the kubelet's root directory %s: %s (is this where this node's kubelet has it?)", root,
		                 strerror(-r));
	r = is_directory(buf_text(&k->registry));
	if (r < 0)
		return error_set(e, r, "the kubelet's plugin registry %s: %s (the kubelet makes it when it starts)", buf_text(&k->registry),
		                 strerror(-r));
	return own_directory_make(k, e);
}

static int dra_listen(struct kubelet *k, struct error *e)
{
	const struct grpc_server_options options = {.methods = dra_methods, .n_methods = ELEMENTS(dra_methods), .user = k};
	return grpc_server_listen(k->loop, buf_text(&k->dra_path), &options, &k->dra, e);
}

static int registration_listen(struct kubelet *k, struct error *e)
{
	const struct grpc_server_options options = {
	    .methods = registration_methods, .n_methods = ELEMENTS(registration_methods), .user = k};
	return grpc_server_listen(k->loop, buf_text(&k->registration_path), &options, &k->registration, e);
}

/* ---- sockets that are taken away -------------------------------------------------------------------------------------------------- */

static void on_look(uv_timer_t *timer);

static void on_directory(uv_fs_event_t *watch, const char *name, int events, int status)
{
	struct kubelet *k = watch->data;
	(void)name, (void)events, (void)status;
	if (!uv_is_active((uv_handle_t *)&k->look))
		uv_timer_start(&k->look, on_look, SETTLE_MS, 0);
}

/* The directories may be others than before, under the same names. Where the kernel has no watch to give, the sockets are as they would be
 * without this. */
static void watch_directories(struct kubelet *k)
{
	const char *paths[] = {buf_text(&k->own_directory), buf_text(&k->registry)};
	for (size_t i = 0; i < ELEMENTS(paths); i++) {
		uv_fs_event_stop(&k->watches[i]);
		(void)uv_fs_event_start(&k->watches[i], on_directory, paths[i], 0);
	}
}

static bool server_gone(struct grpc_server **s)
{
	if (*s && !grpc_server_has_path(*s))
		grpc_server_close(TAKE_PTR(*s));
	return !*s;
}

static void on_look(uv_timer_t *timer)
{
	struct kubelet *k = timer->data;
	struct error e = {0};
	int r = 0;
	bool registered = k->registration;
	bool registration_gone = server_gone(&k->registration), dra_gone = server_gone(&k->dra);
	if (!registration_gone && !dra_gone)
		return;
	if (registration_gone && registered)
		k->options.registered(false, NULL, k->options.user);
	if (dra_gone && (r = own_directory_make(k, &e)) == 0)
		r = dra_listen(k, &e);
	if (r == 0 && registration_gone)
		r = registration_listen(k, &e);
	watch_directories(k);
	k->retry_ms = r == 0 ? RETRY_MIN_MS : k->retry_ms * 2 < RETRY_MAX_MS ? k->retry_ms * 2 : RETRY_MAX_MS;
	/* Made before they were watched: a look afterwards, in case they went in between. */
	uv_timer_start(&k->look, on_look, r == 0 ? SETTLE_MS : k->retry_ms, 0);
}

/* ---- start and end ---------------------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	struct kubelet *k = handle->data;
	if (--k->open_handles)
		return;
	buf_free(&k->own_directory);
	buf_free(&k->registry);
	buf_free(&k->dra_path);
	buf_free(&k->registration_path);
	free(k->driver);
	free(k->node);
	free(k);
}

static void start_handles(struct kubelet *k)
{
	uv_timer_init(k->loop, &k->look);
	k->look.data = k;
	for (size_t i = 0; i < ELEMENTS(k->watches); i++) {
		uv_fs_event_init(k->loop, &k->watches[i]);
		k->watches[i].data = k;
	}
	k->open_handles = 1 + ELEMENTS(k->watches);
	k->retry_ms = RETRY_MIN_MS;
}

void kubelet_close(struct kubelet *k)
{
	if (!k)
		return;
	if (k->registration) /* first, so that no kubelet is told of a service that ends */
		grpc_server_close(k->registration);
	while (k->pending) {
		struct pending *p = k->pending;
		k->pending = p->next;
		grpc_call_fail(p->call, GRPC_UNAVAILABLE, "the driver stops");
		free(p);
	}
	if (k->health)
		kubelet_health_close(k->health);
	if (k->dra)
		grpc_server_close(k->dra);
	uv_close((uv_handle_t *)&k->look, on_closed);
	for (size_t i = 0; i < ELEMENTS(k->watches); i++)
		uv_close((uv_handle_t *)&k->watches[i], on_closed);
}

static void kubelet_closep(struct kubelet **k)
{
	kubelet_close(*k);
}

int kubelet_start(uv_loop_t *loop, const struct kubelet_options *o, struct kubelet **ret, struct error *e)
{
	struct kubelet *made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(e, -ENOMEM, "out of memory");
	made->loop = loop;
	start_handles(made);
	_cleanup_(kubelet_closep) struct kubelet *k = made;
	if (!(k->driver = strdup(o->driver)) || !(k->node = strdup(o->node)))
		return error_set(e, -ENOMEM, "out of memory");
	k->options = *o;
	k->options.driver = k->driver;
	k->options.node = k->node;
	k->options.root = k->options.instance = NULL; /* in the paths */
	int r = paths_make(k, o, e);
	if (r == 0)
		r = directories_make(k, o->root, e);
	if (r < 0)
		return r;
	r = kubelet_health_new(loop, &k->options, &k->health);
	if (r < 0)
		return error_set(e, r, "out of memory");
	r = dra_listen(k, e);
	if (r == 0) /* the kubelet calls the DRA socket as soon as it sees this one */
		r = registration_listen(k, e);
	if (r < 0)
		return r;
	watch_directories(k);
	*ret = TAKE_PTR(k);
	return 0;
}
