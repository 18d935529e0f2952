/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's messages; the first byte says which. What is taken is within its bounds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "k8s/nri_messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static bool know(const char *uid, void *user)
{
	(void)user;
	check(*uid && strlen(uid) < UID_SIZE);
	return uid[0] != 'x';
}
static const struct nri_pods pods = {.know = know};

static void sandbox_check(const struct sandbox *s)
{
	check(memchr(s->id, 0, sizeof(s->id)) && *s->id && !strchr(s->id, '/'));
	check(memchr(s->pod.uid, 0, UID_SIZE) && *s->pod.uid);
	check(memchr(s->pod.namespace_, 0, NAMESPACE_SIZE) && *s->pod.namespace_);
	check(memchr(s->pod.name, 0, NAME_SIZE) && *s->pod.name);
	check(memchr(s->netns, 0, PATH_SIZE) && (!*s->netns || *s->netns == '/'));
}

static void result_check(int r, const struct sandbox *s, const struct error *e)
{
	check(r <= 1);
	if (r < 0)
		check(e->code == r && *e->text);
	if (r > 0) {
		sandbox_check(s);
		check(s->pod.uid[0] != 'x');
	}
}

static void synchronize(const uint8_t *data, size_t size)
{
	struct nri_sandboxes list = {0};
	struct error e = {0};
	bool more;
	/* twice, as if the first had been one of two pieces */
	int r = nri_decode_synchronize(data, size, &pods, &list, &more, &e);
	if (r == 0)
		check(nri_decode_synchronize(data, size, &pods, &list, &more, &e) == 0 || e.code == -E2BIG);
	else
		check(e.code == r && *e.text);
	check(list.n <= NRI_SANDBOXES_MAX);
	for (size_t i = 0; i < list.n; i++)
		sandbox_check(&list.v[i]);
	nri_sandboxes_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nri_configuration c;
	enum event_type type = EVENT_TYPE_MAX;
	struct sandbox s = {0};
	struct error e = {0};
	int r;
	if (size < 1)
		return 0;
	switch (data[0] & 3) {
	case 0:
		r = nri_decode_hook(data + 1, size - 1, &pods, &s, &e);
		result_check(r, &s, &e);
		break;
	case 1:
		r = nri_decode_state_change(data + 1, size - 1, &pods, &type, &s, &e);
		result_check(r, &s, &e);
		check(type == EVENT_RUN_SANDBOX || type == EVENT_STOP_SANDBOX || type == EVENT_REMOVE_SANDBOX ||
		      (type == EVENT_TYPE_MAX && r <= 0));
		break;
	case 2:
		r = nri_decode_configure(data + 1, size - 1, &c, &e);
		check(r < 0 ? *e.text != 0 : memchr(c.runtime, 0, sizeof(c.runtime)) && memchr(c.version, 0, sizeof(c.version)));
		break;
	default:
		synchronize(data + 1, size - 1);
	}
	return 0;
}
