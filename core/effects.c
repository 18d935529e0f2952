/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>

#include "core/core_internal.h"

void *core_alloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);
	if (!p)
		abort();
	return p;
}

char *core_text(const char *format, ...)
{
	char text[2 * ERROR_TEXT_MAX];
	va_list ap;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	char *copy = core_alloc(strlen(text) + 1, 1);
	memcpy(copy, text, strlen(text));
	return copy;
}

uint64_t digest_add(uint64_t digest, const void *data, size_t len)
{
	const uint8_t *p = data;
	for (size_t i = 0; i < len; i++)
		digest = (digest ^ p[i]) * 0x100000001b3u;
	return digest;
}

void core_list_add(void ***list, size_t *n, void *item)
{
	/* No field remembers the capacity: it is the power of two that holds n, and a list never shrinks below what it had when it grew, so
	 * growing at each power of two is enough. */
	if ((*n & (*n - 1)) == 0) {
		void **grown = realloc(*list, (*n ? 2 * *n : 1) * sizeof(void *));
		if (!grown)
			abort();
		*list = grown;
	}
	(*list)[(*n)++] = item;
}

void core_list_remove(void **list, size_t *n, size_t i)
{
	memmove(&list[i], &list[i + 1], (*n - i - 1) * sizeof(void *));
	(*n)--;
}

struct effect *effect_add(struct core *c, enum effect_type type, bool wants_result)
{
	struct effects *fx = c->fx;
	if (fx->n == fx->cap) {
		size_t cap = fx->cap ? 2 * fx->cap : 8;
		struct effect *v = realloc(fx->v, cap * sizeof(*v));
		if (!v)
			abort();
		fx->v = v;
		fx->cap = cap;
	}
	struct effect *f = &fx->v[fx->n++];
	memset(f, 0, sizeof(*f));
	f->type = type;
	f->op = wants_result ? ++c->next_op : 0;
	return f;
}

void effect_transition(struct core *c, struct attachment *a, struct device *d, enum device_state from, enum device_state to,
                       const char *cause, uint32_t duration_ms, int result, const char *message)
{
	struct effect *f = effect_add(c, EFFECT_TRANSITION, false);
	const struct device_facts *facts = device_shown(d);
	STR_COPY(f->transition.device, facts->name);
	STR_COPY(f->transition.pci_address, facts->pci_address);
	STR_COPY(f->transition.ifname, to == DEVICE_ATTACHED && a ? a->record->pod.ifname : facts->ifname);
	f->transition.from = from;
	f->transition.to = to;
	f->transition.cause = cause;
	f->transition.duration_ms = duration_ms;
	f->transition.result = result;
	if (message && *message)
		f->transition.message = core_text("%s", message);
	if (a) {
		f->transition.claim = a->claim->record.ref;
		f->transition.pod = a->claim->record.pod;
		STR_COPY(f->transition.sandbox, a->claim->record.sandbox.id);
		STR_COPY(f->transition.netns, a->claim->record.sandbox.netns);
	}
}

void effect_event(struct core *c, enum subject subject, const struct claim *claim, const char *reason, const char *message)
{
	struct effect *f = effect_add(c, EFFECT_EVENT, false);
	f->event.subject = subject;
	f->event.claim = claim->record.ref;
	f->event.pod = claim->record.pod;
	f->event.reason = reason;
	f->event.message = core_text("%s", message);
}

static void answer_free(struct claim_answer *a)
{
	free((char *)a->uid);
	free((char *)a->error);
	free((char *)a->cdi_id);
	for (size_t i = 0; i < a->n_devices; i++) {
		free((char *)a->devices[i].request);
		free((char *)a->devices[i].pool);
		free((char *)a->devices[i].device);
		free((char *)a->devices[i].share_id);
	}
	free((void *)a->devices);
}

static void effect_clear(struct effect *f)
{
	switch (f->type) {
	case EFFECT_ATTACH:
	case EFFECT_DETACH:
	case EFFECT_PROBE:
	case EFFECT_LEASE:
	case EFFECT_LEASE_KEEP:
	case EFFECT_LEASE_APPLY:
	case EFFECT_LEASE_DROP:
		attach_plan_unref(f->move.plan);
		leases_unref(f->move.leases);
		leases_unref(f->move.old);
		break;
	case EFFECT_STATUS:
		free(f->status.devices);
		break;
	case EFFECT_TOKEN:
		free(f->token.nodes);
		break;
	case EFFECT_REPLY_PREPARE:
	case EFFECT_REPLY_UNPREPARE:
		for (size_t i = 0; i < f->reply.n; i++)
			answer_free(&f->reply.answers[i]);
		free(f->reply.answers);
		break;
	case EFFECT_REPLY_HOOK:
		free(f->reply_hook.error);
		break;
	case EFFECT_EVENT:
		free(f->event.message);
		break;
	case EFFECT_TRANSITION:
		free(f->transition.message);
		break;
	case EFFECT_SNAPSHOT:
		if (f->snapshot.wanted)
			network_config_free(f->snapshot.wanted);
		free(f->snapshot.wanted);
		break;
	case EFFECT_CLAIM_GET:
	case EFFECT_PIN:
	case EFFECT_UNPIN:
	case EFFECT_STORE:
	case EFFECT_FORGET:
	case EFFECT_PUBLISH:
	case EFFECT_TYPE_MAX:
		break;
	}
}

void effects_free(struct effects *fx)
{
	for (size_t i = 0; i < fx->n; i++)
		effect_clear(&fx->v[i]);
	free(fx->v);
	*fx = (struct effects){0};
}
