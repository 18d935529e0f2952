/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of NodePrepareResources and NodeUnprepareResources: what is taken is within its bounds, and the replies made of it can be read
 * back with a key for every claim. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "k8s/kubelet_messages.h"
#include "proto/dra.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void prepared(const struct claim_answer *answers, size_t n, bool with_share_id)
{
	_cleanup_buf_ struct buf reply = {0};
	kubelet_encode_prepared(answers, n, with_share_id, &reply);
	check(!reply.failed);
	Dra__NodePrepareResourcesResponse *m =
	    dra__node_prepare_resources_response__unpack(NULL, reply.len, (const uint8_t *)buf_text(&reply));
	check(m && m->n_claims == n);
	for (size_t i = 0; i < n; i++) {
		check(strcmp(m->claims[i]->key, answers[i].uid) == 0);
		check(m->claims[i]->value->n_devices == answers[i].n_devices);
		for (size_t d = 0; d < answers[i].n_devices; d++)
			check(with_share_id || m->claims[i]->value->devices[d]->share_case == DRA__DEVICE__SHARE__NOT_SET);
	}
	dra__node_prepare_resources_response__free_unpacked(m, NULL);
}

static void unprepared(const struct claim_answer *answers, size_t n)
{
	_cleanup_buf_ struct buf reply = {0};
	kubelet_encode_unprepared(answers, n, &reply);
	check(!reply.failed);
	Dra__NodeUnprepareResourcesResponse *m =
	    dra__node_unprepare_resources_response__unpack(NULL, reply.len, (const uint8_t *)buf_text(&reply));
	check(m && m->n_claims == n);
	dra__node_unprepare_resources_response__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct claim_ref claims[KUBELET_CLAIMS_MAX];
	struct claim_answer answers[KUBELET_CLAIMS_MAX] = {0};
	struct error e = {0};
	size_t n = 0;
	if (kubelet_decode_claims(data, size, claims, &n, &e) < 0) {
		check(e.code < 0 && *e.text && n == 0);
		return 0;
	}
	check(n <= KUBELET_CLAIMS_MAX);
	_cleanup_free_ char *text = strndup((const char *)data, size); /* any bytes: a text of ours may be cut anywhere */
	for (size_t i = 0; i < n; i++) {
		check(*claims[i].uid && memchr(claims[i].uid, 0, UID_SIZE) && !strchr(claims[i].uid, '/'));
		check(*claims[i].namespace_ && memchr(claims[i].namespace_, 0, NAMESPACE_SIZE));
		check(*claims[i].name && memchr(claims[i].name, 0, NAME_SIZE));
	}
	const struct prepared_device device = {.request = text, .pool = "node", .device = text, .share_id = text};
	for (size_t i = 0; i < n; i++) {
		answers[i] = (struct claim_answer){.uid = claims[i].uid, .error = i % 2 ? text : NULL};
		if (i % 2 == 0) {
			answers[i].devices = &device;
			answers[i].n_devices = 1;
			answers[i].cdi_id = claims[i].name;
		}
	}
	prepared(answers, n, true);
	prepared(answers, n, false);
	unprepared(answers, n);
	return 0;
}
