/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/kubelet_messages.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/pb_arena.h"
#include "proto/dra.pb-c.h"
#include "proto/health.pb-c.h"
#include "proto/pluginregistration.pb-c.h"

static int decode_claim(const Dra__Claim *from, size_t index, struct claim_ref *ret, struct error *e)
{
	const struct {
		const ProtobufCBinaryData *from;
		const char *name;
		char *to;
		size_t size;
	} fields[] = {
	    {&from->uid, "uid", ret->uid, sizeof(ret->uid)},
	    {&from->namespace_, "namespace", ret->namespace_, sizeof(ret->namespace_)},
	    {&from->name, "name", ret->name, sizeof(ret->name)},
	};
	for (size_t i = 0; i < ELEMENTS(fields); i++) {
		char path[40];
		snprintf(path, sizeof(path), "claims[%zu].%s", index, fields[i].name);
		int r = pb_name(fields[i].from, path, fields[i].to, fields[i].size, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Two entries with one uid could not both be answered: the reply is a map of uids. */
static int check_repeated(const struct claim_ref *claims, size_t n, struct error *e)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (str_equal(claims[i].uid, claims[j].uid))
				return error_set(e, -EINVAL, "claims[%zu].uid is that of claims[%zu], %s", i, j, claims[i].uid);
	return 0;
}

int kubelet_decode_claims(const uint8_t *data, size_t len, struct claim_ref ret[KUBELET_CLAIMS_MAX], size_t *n, struct error *e)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	const void *message;
	int r = pb_unpack(&arena, &dra__request__descriptor, data, len, &message, e);
	if (r < 0)
		return r;
	const Dra__Request *m = message;
	if (m->n_claims > KUBELET_CLAIMS_MAX)
		return error_set(e, -EINVAL, "claims has %zu entries, at most %d are taken", m->n_claims, KUBELET_CLAIMS_MAX);
	struct claim_ref claims[KUBELET_CLAIMS_MAX] = {0};
	for (size_t i = 0; i < m->n_claims; i++) {
		r = decode_claim(m->claims[i], i, &claims[i], e);
		if (r < 0)
			return r;
	}
	r = check_repeated(claims, m->n_claims, e);
	if (r < 0)
		return r;
	memcpy(ret, claims, sizeof(claims));
	*n = m->n_claims;
	return 0;
}

/* A list with one text, as protobuf-c wants it; an empty list for NULL and "". */
static char **one_text(struct pb_arena *a, const char *text, size_t *n)
{
	char **list = text && *text ? pb_alloc(a, sizeof(*list)) : NULL;
	if (list) {
		*list = pb_sendable(a, text);
		if (*list)
			*n = 1;
	}
	return list;
}

static Dra__Device *device_message(struct pb_arena *a, const struct prepared_device *d, const char *cdi_id, bool with_share_id)
{
	Dra__Device *m = pb_alloc(a, sizeof(*m));
	if (!m)
		return NULL;
	dra__device__init(m);
	m->request_names = one_text(a, d->request, &m->n_request_names);
	m->pool_name = pb_sendable(a, d->pool);
	m->device_name = pb_sendable(a, d->device);
	m->cdi_device_ids = one_text(a, cdi_id, &m->n_cdi_device_ids);
	if (with_share_id && d->share_id && *d->share_id) {
		m->share_case = DRA__DEVICE__SHARE_SHARE_ID;
		m->share_id = pb_sendable(a, d->share_id);
	}
	return m;
}

static Dra__NodePrepareResourceResponse *prepared_message(struct pb_arena *a, const struct claim_answer *answer, bool with_share_id)
{
	Dra__NodePrepareResourceResponse *m = pb_alloc(a, sizeof(*m));
	if (!m)
		return NULL;
	dra__node_prepare_resource_response__init(m);
	if (answer->error) {
		m->error = pb_sendable(a, answer->error);
		return m;
	}
	m->devices = pb_alloc(a, (answer->n_devices + 1) * sizeof(m->devices[0]));
	if (!m->devices)
		return NULL;
	for (; m->n_devices < answer->n_devices; m->n_devices++)
		m->devices[m->n_devices] = device_message(a, &answer->devices[m->n_devices], answer->cdi_id, with_share_id);
	return m;
}

/* Both replies are maps, and entries of concatenated messages are one map: each answer is encoded as a reply of its own. */
static void add_prepared(const struct claim_answer *answer, bool with_share_id, struct buf *to)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	Dra__NodePrepareResourcesResponse__ClaimsEntry entry = DRA__NODE_PREPARE_RESOURCES_RESPONSE__CLAIMS_ENTRY__INIT;
	Dra__NodePrepareResourcesResponse__ClaimsEntry *entries[] = {&entry};
	Dra__NodePrepareResourcesResponse reply = DRA__NODE_PREPARE_RESOURCES_RESPONSE__INIT;
	entry.key = pb_sendable(&arena, answer->uid);
	entry.value = prepared_message(&arena, answer, with_share_id);
	reply.claims = entries;
	reply.n_claims = 1;
	pb_pack(&arena, &reply, to);
}

static void add_unprepared(const struct claim_answer *answer, struct buf *to)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	Dra__NodeUnprepareResourceResponse value = DRA__NODE_UNPREPARE_RESOURCE_RESPONSE__INIT;
	Dra__NodeUnprepareResourcesResponse__ClaimsEntry entry = DRA__NODE_UNPREPARE_RESOURCES_RESPONSE__CLAIMS_ENTRY__INIT;
	Dra__NodeUnprepareResourcesResponse__ClaimsEntry *entries[] = {&entry};
	Dra__NodeUnprepareResourcesResponse reply = DRA__NODE_UNPREPARE_RESOURCES_RESPONSE__INIT;
	value.error = pb_sendable(&arena, answer->error);
	entry.key = pb_sendable(&arena, answer->uid);
	entry.value = &value;
	reply.claims = entries;
	reply.n_claims = 1;
	pb_pack(&arena, &reply, to);
}

void kubelet_encode_prepared(const struct claim_answer *answers, size_t n, bool with_share_id, struct buf *to)
{
	for (size_t i = 0; i < n; i++)
		add_prepared(&answers[i], with_share_id, to);
}

void kubelet_encode_unprepared(const struct claim_answer *answers, size_t n, struct buf *to)
{
	for (size_t i = 0; i < n; i++)
		add_unprepared(&answers[i], to);
}

void kubelet_encode_info(const char *driver, const char *endpoint, struct buf *to)
{
	/* Kubelets 1.34 to 1.36 take the first DRA service of this list that they know, so the newest comes first (protocols §1.3). */
	static const char *const versions[] = {"v1.DRAPlugin", "v1beta1.DRAPlugin", "v1.DRAResourceHealth", "v1alpha1.DRAResourceHealth"};
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	Pluginregistration__PluginInfo info = PLUGINREGISTRATION__PLUGIN_INFO__INIT;
	char *texts[ELEMENTS(versions)];
	for (size_t i = 0; i < ELEMENTS(versions); i++)
		texts[i] = pb_sendable(&arena, versions[i]);
	info.type = pb_sendable(&arena, "DRAPlugin");
	info.name = pb_sendable(&arena, driver);
	info.endpoint = pb_sendable(&arena, endpoint);
	info.supported_versions = texts;
	info.n_supported_versions = ELEMENTS(versions);
	pb_pack(&arena, &info, to);
}

int kubelet_decode_status(const uint8_t *data, size_t len, bool *registered, char error[KUBELET_ERROR_SIZE], struct error *e)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	const void *message;
	int r = pb_unpack(&arena, &pluginregistration__registration_status__descriptor, data, len, &message, e);
	if (r < 0)
		return r;
	const Pluginregistration__RegistrationStatus *m = message;
	struct error own = {0};
	if (pb_text(&m->error, "error", error, KUBELET_ERROR_SIZE, &own) < 0) {
		error_prefix(&own, "the kubelet's text cannot be shown");
		str_cut(error, KUBELET_ERROR_SIZE, own.text);
	}
	*registered = m->plugin_registered;
	return 0;
}

int kubelet_decode_watch(const uint8_t *data, size_t len, struct error *e)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	const void *message;
	return pb_unpack(&arena, &health__node_watch_resources_request__descriptor, data, len, &message, e);
}

void kubelet_encode_health(const char *pool, const char *device, const char *trouble, int64_t now, struct buf *to)
{
	_cleanup_pb_arena_ struct pb_arena arena = {0};
	Health__DeviceIdentifier name = HEALTH__DEVICE_IDENTIFIER__INIT;
	Health__DeviceHealth health = HEALTH__DEVICE_HEALTH__INIT;
	Health__DeviceHealth *list[] = {&health};
	Health__NodeWatchResourcesResponse m = HEALTH__NODE_WATCH_RESOURCES_RESPONSE__INIT;
	name.pool_name = pb_sendable(&arena, pool);
	name.device_name = pb_sendable(&arena, device);
	health.device = &name;
	health.health = trouble ? HEALTH__HEALTH_STATUS__UNHEALTHY : HEALTH__HEALTH_STATUS__HEALTHY;
	health.message = pb_sendable(&arena, trouble);
	health.last_updated_time = now;
	/* A device that is silent for this long becomes Unknown. Kubelets up to 1.34 do not read the field and take 30 s: there the gate is
	 * off by default, and a wake-up every half minute on every node would be the price (protocols §2.6). */
	health.health_check_timeout_seconds = KUBELET_HEALTH_TIMEOUT_S;
	m.devices = list;
	m.n_devices = 1;
	pb_pack(&arena, &m, to);
}
