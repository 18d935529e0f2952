/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/nri_messages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/pb_arena.h"
#include "proto/nri.pb-c.h"

/* Messages are up to 4 MiB; what we do not read of one (containers, labels) is kept as one copy of its bytes, and each piece costs a little
 * more. Real ones need less than three times their size. */
enum { UNPACK_LIMIT = 16 << 20 };

/* ---- pods ------------------------------------------------------------------------------------------------------------------------- */

/* protocols §7.8: no namespace of type "network", or one without a path, is a pod in the host's network. */
static int decode_netns(const Nri__PodSandbox *pod, const char *where, char ret[PATH_SIZE], struct error *e)
{
	for (size_t i = 0; pod->linux && i < pod->linux->n_namespaces; i++) {
		const Nri__LinuxNamespace *ns = pod->linux->namespaces[i];
		char field[80];
		if (ns->type.len != strlen("network") || memcmp(ns->type.data, "network", ns->type.len) != 0)
			continue;
		snprintf(field, sizeof(field), "%s.linux.namespaces[%zu].path", where, i);
		int r = pb_text(&ns->path, field, ret, PATH_SIZE, e);
		if (r == 0 && *ret && *ret != '/')
			return error_set(e, -EINVAL, "%s is not absolute: %s", field, ret);
		return r;
	}
	return 0;
}

static int decode_rest(const Nri__PodSandbox *pod, const char *where, struct sandbox *s, struct error *e)
{
	const struct {
		const ProtobufCBinaryData *from;
		const char *name;
		char *to;
		size_t size;
	} fields[] = {
	    {&pod->id, "id", s->id, sizeof(s->id)},
	    {&pod->namespace_, "namespace", s->pod.namespace_, sizeof(s->pod.namespace_)},
	    {&pod->name, "name", s->pod.name, sizeof(s->pod.name)},
	};
	for (size_t i = 0; i < ELEMENTS(fields); i++) {
		char field[64];
		snprintf(field, sizeof(field), "%s.%s", where, fields[i].name);
		int r = pb_name(fields[i].from, field, fields[i].to, fields[i].size, e);
		if (r < 0)
			return r;
	}
	s->pid = pod->pid;
	return decode_netns(pod, where, s->netns, e);
}

static int decode_uid(const Nri__PodSandbox *pod, const char *where, char ret[UID_SIZE], struct error *e)
{
	char field[64];
	snprintf(field, sizeof(field), "%s.uid", where);
	return pb_text(&pod->uid, field, ret, UID_SIZE, e);
}

static int decode_known(const Nri__PodSandbox *pod, const struct nri_pods *pods, struct sandbox *ret, struct error *e)
{
	struct sandbox s = {0};
	if (!pod)
		return error_set(e, -EINVAL, "pod is missing");
	int r = decode_uid(pod, "pod", s.pod.uid, e);
	if (r < 0)
		return r;
	if (!s.pod.uid[0] || !pods->know(s.pod.uid, pods->user))
		return 0;
	r = decode_rest(pod, "pod", &s, e);
	if (r < 0)
		return r;
	*ret = s;
	return 1;
}

/* "DRANET_CLAIM_<anything>=<driver>/<claim uid>" of our own driver */
static bool claim_mark(const ProtobufCBinaryData *env, const char *driver, char ret[UID_SIZE])
{
	static const char prefix[] = "DRANET_CLAIM_";
	const char *text = (const char *)env->data, *value;
	size_t driver_len = strlen(driver);
	if (env->len < sizeof(prefix) - 1 || memcmp(text, prefix, sizeof(prefix) - 1) != 0 || !(value = memchr(text, '=', env->len)))
		return false;
	size_t left = env->len - (size_t)(++value - text);
	if (left <= driver_len + 1 || left - driver_len - 1 >= UID_SIZE || memcmp(value, driver, driver_len) != 0 ||
	    value[driver_len] != '/')
		return false;
	memcpy(ret, value + driver_len + 1, left - driver_len - 1);
	ret[left - driver_len - 1] = '\0';
	return true;
}

static int check_marks(const Nri__PodRequest *m, const struct nri_pods *pods, struct error *e)
{
	char pod[UID_SIZE], claim[UID_SIZE];
	if (!m->container || !pods->owns || decode_uid(m->pod, "pod", pod, e) < 0)
		return 0; /* a bad uid is told by who looks at the pod */
	for (size_t i = 0; i < m->container->n_env; i++)
		if (claim_mark(&m->container->env[i], pods->driver, claim) && !pods->owns(pod, claim, pods->user))
			return error_set(e, -EPERM, "claim %.63s is not prepared for this pod: a claim serves one pod only", claim);
	return 0;
}

int nri_decode_hook(const uint8_t *data, size_t len, const struct nri_pods *pods, struct sandbox *ret, struct error *e)
{
	_cleanup_pb_arena_ struct pb_arena arena = {.limit = UNPACK_LIMIT};
	const void *message;
	int r = pb_unpack(&arena, &nri__pod_request__descriptor, data, len, &message, e);
	if (r < 0)
		return r;
	const Nri__PodRequest *m = message;
	r = decode_known(m->pod, pods, ret, e);
	if (r < 0)
		return r;
	int marks = check_marks(m, pods, e);
	return marks < 0 ? marks : r;
}

int nri_decode_state_change(const uint8_t *data, size_t len, const struct nri_pods *pods, enum event_type *type, struct sandbox *ret,
                            struct error *e)
{
	static const enum event_type types[] = {
	    [NRI__EVENT__RUN_POD_SANDBOX] = EVENT_RUN_SANDBOX,
	    [NRI__EVENT__STOP_POD_SANDBOX] = EVENT_STOP_SANDBOX,
	    [NRI__EVENT__REMOVE_POD_SANDBOX] = EVENT_REMOVE_SANDBOX,
	};
	_cleanup_pb_arena_ struct pb_arena arena = {.limit = UNPACK_LIMIT};
	const void *message;
	int r = pb_unpack(&arena, &nri__state_change_event__descriptor, data, len, &message, e);
	if (r < 0)
		return r;
	const Nri__StateChangeEvent *m = message;
	if (m->event < NRI__EVENT__RUN_POD_SANDBOX || m->event > NRI__EVENT__REMOVE_POD_SANDBOX)
		return 0;
	*type = types[m->event];
	return decode_known(m->pod, pods, ret, e);
}

/* ---- start ------------------------------------------------------------------------------------------------------------------------ */

/* A name for people: one that cannot be shown is left out rather than refused. */
static void decode_shown(const ProtobufCBinaryData *from, char *to, size_t size)
{
	if (pb_text(from, "", to, size, NULL) < 0)
		to[0] = '\0';
}

int nri_decode_configure(const uint8_t *data, size_t len, struct nri_configuration *ret, struct error *e)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	const void *message;
	int r = pb_unpack(&arena, &nri__configure_request__descriptor, data, len, &message, e);
	if (r < 0)
		return r;
	const Nri__ConfigureRequest *m = message;
	if (m->request_timeout < 0 || m->request_timeout > UINT32_MAX)
		return error_set(e, -EINVAL, "request_timeout is %lld ms", (long long)m->request_timeout);
	decode_shown(&m->runtime_name, ret->runtime, sizeof(ret->runtime));
	decode_shown(&m->runtime_version, ret->version, sizeof(ret->version));
	decode_shown(&m->nri_version, ret->nri_version, sizeof(ret->nri_version));
	ret->request_timeout_ms = (uint32_t)m->request_timeout;
	return 0;
}

void nri_sandboxes_free(struct nri_sandboxes *s)
{
	free(s->v);
	*s = (struct nri_sandboxes){0};
}

static int sandboxes_add(struct nri_sandboxes *s, const struct sandbox *one, struct error *e)
{
	if (s->n == NRI_SANDBOXES_MAX)
		return error_set(e, -E2BIG, "pods has more than %d entries", NRI_SANDBOXES_MAX);
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 32;
		struct sandbox *v = realloc(s->v, cap * sizeof(*v));
		if (!v)
			return error_set(e, -ENOMEM, "out of memory");
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = *one;
	return 0;
}

int nri_decode_synchronize(const uint8_t *data, size_t len, const struct nri_pods *pods, struct nri_sandboxes *add, bool *more,
                           struct error *e)
{
	_cleanup_pb_arena_ struct pb_arena arena = {.limit = UNPACK_LIMIT};
	const void *message;
	int r = pb_unpack(&arena, &nri__synchronize_request__descriptor, data, len, &message, e);
	if (r < 0)
		return r;
	const Nri__SynchronizeRequest *m = message;
	for (size_t i = 0; i < m->n_pods; i++) {
		struct sandbox s = {0};
		char where[32];
		snprintf(where, sizeof(where), "pods[%zu]", i);
		if (decode_uid(m->pods[i], where, s.pod.uid, NULL) < 0 || !s.pod.uid[0])
			continue;
		r = decode_rest(m->pods[i], where, &s, e);
		if (r < 0 && !pods->know(s.pod.uid, pods->user))
			continue;
		if (r == 0)
			r = sandboxes_add(add, &s, e);
		if (r < 0)
			return r;
	}
	*more = m->more;
	return 0;
}

/* ---- our side --------------------------------------------------------------------------------------------------------------------- */

void nri_encode_register(const char *name, const char *index, struct buf *to)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	Nri__RegisterPluginRequest m = NRI__REGISTER_PLUGIN_REQUEST__INIT;
	m.plugin_name = pb_sendable(&arena, name);
	m.plugin_idx = pb_sendable(&arena, index);
	/* The protocol we speak, as a Go module's version: the runtime compares it as one. 0.12 has an RPC for every event. */
	m.nri_version = pb_sendable(&arena, "v0.12.0");
	pb_pack(&arena, &m, to);
}

void nri_encode_configured(struct buf *to)
{
	const struct pb_arena arena = {0};
	Nri__ConfigureResponse m = NRI__CONFIGURE_RESPONSE__INIT;
	/* No bit above those of the oldest runtime: one it does not know makes it refuse the plugin (protocols §7.4). */
	m.events = 1 << (NRI__EVENT__RUN_POD_SANDBOX - 1) | 1 << (NRI__EVENT__STOP_POD_SANDBOX - 1) |
	           1 << (NRI__EVENT__REMOVE_POD_SANDBOX - 1) | 1 << (NRI__EVENT__CREATE_CONTAINER - 1);
	pb_pack(&arena, &m, to);
}

void nri_encode_synchronized(bool more, struct buf *to)
{
	const struct pb_arena arena = {0};
	Nri__SynchronizeResponse m = NRI__SYNCHRONIZE_RESPONSE__INIT;
	m.more = more;
	pb_pack(&arena, &m, to);
}
