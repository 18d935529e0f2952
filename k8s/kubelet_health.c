/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/kubelet_health.h"

#include <errno.h>
#include <stdlib.h>

#include "k8s/kubelet.h"
#include "k8s/kubelet_messages.h"

enum { RESEND_MS = KUBELET_HEALTH_TIMEOUT_S * 1000 / 2 };

struct stream {
	struct stream *next;
	struct kubelet_health *health;
	struct grpc_call *call;
	bool gone;
};

struct kubelet_health {
	const struct kubelet_options *options;
	uv_timer_t resend; /* runs while there is a stream */
	bool sending;
	struct stream *streams;
	uint64_t said; /* list_digest() of the list the streams have */
};

struct list {
	const char *node;
	int64_t now;
	struct buf encoded;
};

static void device_sum(const char *device, const char *trouble, void *to)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325), *sum = to; /* FNV-1a */
	for (; *device; device++)
		hash = (hash ^ (uint8_t)*device) * UINT64_C(0x100000001b3);
	hash = (hash ^ (trouble != NULL)) * UINT64_C(0x100000001b3);
	*sum += hash ^ hash >> 32;
}

static uint64_t list_digest(const struct kubelet_health *h)
{
	uint64_t sum = 0;
	h->options->health(device_sum, &sum, h->options->user);
	return sum;
}

static void list_add(const char *device, const char *trouble, void *to)
{
	struct list *l = to;
	kubelet_encode_health(l->node, device, trouble, l->now, &l->encoded);
}

static void list_make(const struct kubelet_health *h, struct list *ret)
{
	uv_timeval64_t now = {0};
	uv_gettimeofday(&now);
	*ret = (struct list){.node = h->options->node, .now = now.tv_sec};
	h->options->health(list_add, ret, h->options->user);
}

/* To one stream; false = it is over and its call finished. */
static bool stream_send(struct stream *s, const struct list *l)
{
	int r = s->gone ? -EPIPE : l->encoded.failed ? -ENOMEM : grpc_call_send(s->call, l->encoded.data, l->encoded.len);
	if (r == 0 && !s->gone)
		return true;
	if (r == 0 || r == -EPIPE)
		grpc_call_end(s->call);
	else /* the kubelet opens it again after 5 s */
		grpc_call_fail(s->call, GRPC_RESOURCE_EXHAUSTED, "the list of devices could not be sent");
	return false;
}

static void send_all(struct kubelet_health *h)
{
	struct list l;
	if (!h->streams)
		return;
	list_make(h, &l);
	h->said = list_digest(h);
	h->sending = true;
	for (struct stream **at = &h->streams; *at;) {
		struct stream *s = *at;
		if (stream_send(s, &l)) {
			at = &s->next;
		} else {
			*at = s->next;
			free(s);
		}
	}
	h->sending = false;
	buf_free(&l.encoded);
	if (!h->streams)
		uv_timer_stop(&h->resend);
}

static void resend_due(uv_timer_t *t)
{
	send_all(t->data);
}

static void stream_gone(struct grpc_call *call, void *user)
{
	struct stream *s = user, **at = &s->health->streams;
	s->gone = true;
	if (s->health->sending) /* called from inside grpc_call_send: send_all() takes it out */
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (!s->health->streams)
		uv_timer_stop(&s->health->resend);
	grpc_call_end(call);
	free(s);
}

void kubelet_health_open(struct kubelet_health *h, struct grpc_call *call)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (!s) {
		grpc_call_fail(call, GRPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	*s = (struct stream){.next = h->streams, .health = h, .call = call};
	h->streams = s;
	grpc_call_begin(call);
	grpc_call_on_gone(call, stream_gone, s);
	if (h->streams && !uv_is_active((uv_handle_t *)&h->resend))
		uv_timer_start(&h->resend, resend_due, RESEND_MS, RESEND_MS);
	send_all(h);
}

/* Most changes are of attributes, of which the list says nothing: a thousand devices are not sent again for one MTU. */
void kubelet_health_look(struct kubelet_health *h)
{
	if (h->streams && list_digest(h) != h->said)
		send_all(h);
}

int kubelet_health_new(uv_loop_t *loop, const struct kubelet_options *options, struct kubelet_health **ret)
{
	struct kubelet_health *h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->options = options;
	h->resend.data = h;
	uv_timer_init(loop, &h->resend);
	*ret = h;
	return 0;
}

static void health_free(uv_handle_t *resend)
{
	free(resend->data);
}

void kubelet_health_close(struct kubelet_health *h)
{
	while (h->streams) {
		struct stream *s = h->streams;
		h->streams = s->next;
		grpc_call_fail(s->call, GRPC_UNAVAILABLE, "the driver stops");
		free(s);
	}
	uv_close((uv_handle_t *)&h->resend, health_free);
}
