/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api_private.h"
#include "k8s/json_value.h"
#include "k8s/object_parts.h"
#include "k8s/objects.h"

enum { STATUS_TIMEOUT_MS = 10000, CACHED_CLAIMS_MAX = 256, IPS_MAX = 16, MESSAGE_MAX = 1024 };

/* When the conditions of each device last changed. Forgotten with the process, and for the claims least lately written when there are too
 * many; then a condition seems to have changed once more, which is all the harm. */
enum condition { CONDITION_READY, CONDITION_NETWORK, CONDITION_RDMA_LINK, CONDITIONS };
struct cached_device {
	char pool[NAME_SIZE], device[DEVICE_NAME_SIZE], share_id[SHARE_ID_SIZE];
	bool is[CONDITIONS]; /* Ready is told when it is not, too; the others only when they are */
	int64_t since_s[CONDITIONS];
};
struct cached_claim {
	char uid[UID_SIZE];
	uint64_t used;
	size_t n;
	struct cached_device *devices;
};
struct status_cache {
	uint64_t clock;
	size_t n;
	struct cached_claim claims[CACHED_CLAIMS_MAX];
};

void status_cache_free(struct status_cache *c)
{
	for (size_t i = 0; c && i < c->n; i++)
		free(c->claims[i].devices);
	free(c);
}

static void cache_drop(struct status_cache *c, struct cached_claim *claim)
{
	free(claim->devices);
	*claim = c->claims[--c->n];
}

static struct cached_claim *cache_find(struct status_cache *c, const char *uid)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->claims[i].uid, uid))
			return &c->claims[i];
	return NULL;
}

static const struct cached_device *cache_device(const struct cached_claim *claim, const struct device_status *d)
{
	for (size_t i = 0; claim && i < claim->n; i++) {
		const struct cached_device *c = &claim->devices[i];
		if (!strcmp(c->pool, d->pool) && !strcmp(c->device, d->device) && str_equal(c->share_id, d->share_id ? d->share_id : ""))
			return c;
	}
	return NULL;
}

static struct cached_claim *cache_slot(struct status_cache *c, const char *uid)
{
	struct cached_claim *claim = cache_find(c, uid);
	if (claim)
		return claim;
	if (c->n == CACHED_CLAIMS_MAX) {
		struct cached_claim *oldest = &c->claims[0];
		for (size_t i = 1; i < c->n; i++)
			if (c->claims[i].used < oldest->used)
				oldest = &c->claims[i];
		cache_drop(c, oldest);
	}
	claim = &c->claims[c->n];
	*claim = (struct cached_claim){0};
	if (STR_COPY(claim->uid, uid) < 0)
		return NULL;
	c->n++;
	return claim;
}

static bool condition_is(const struct device_status *d, enum condition c)
{
	switch (c) {
	case CONDITION_READY:
		return d->ready;
	case CONDITION_NETWORK:
		return d->ready && d->pod && d->pod->ifname[0];
	case CONDITION_RDMA_LINK:
		return d->ready && d->pod && d->pod->rdma.name[0] && d->pod->rdma.exclusive;
	case CONDITIONS:
		break;
	}
	return false;
}

/* Replace what is known of a claim by `devices` at `now_s`; returns the entries, one for each, or NULL. */
static const struct cached_device *cache_update(struct status_cache *c, const char *uid, const struct device_status *devices, size_t n,
                                                int64_t now_s)
{
	struct cached_claim *claim = cache_slot(c, uid);
	struct cached_device *fresh = claim ? calloc(n, sizeof(*fresh)) : NULL;
	if (!fresh)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const struct device_status *d = &devices[i];
		const struct cached_device *old = cache_device(claim, d);
		for (enum condition k = 0; k < CONDITIONS; k++) {
			fresh[i].is[k] = condition_is(d, k);
			fresh[i].since_s[k] = old && old->is[k] == fresh[i].is[k] ? old->since_s[k] : now_s;
		}
		STR_COPY(fresh[i].pool, d->pool);
		STR_COPY(fresh[i].device, d->device);
		STR_COPY(fresh[i].share_id, d->share_id);
	}
	free(claim->devices);
	claim->devices = fresh;
	claim->n = n;
	claim->used = ++c->clock;
	return fresh;
}

/* ---- encoding --------------------------------------------------------------------------------------------------------------------- */

static json_t *condition_new(const char *type, bool status, const char *reason, const char *message, int64_t since_s)
{
	char time[TIME_TEXT_MAX], text[MESSAGE_MAX];
	time_format(since_s, time);
	STR_CUT(text, message);
	/* message is required by the API, though it may be empty */
	return json_pack("{s:s, s:s, s:s, s:o, s:s}", "type", type, "status", status ? "True" : "False", "reason", reason, "message",
	                 json_text_new(text), "lastTransitionTime", time);
}

/* Of a device without a netdev the RDMA link comes first, as DRANET writes it (dranet-behaviour §7). */
static json_t *conditions_new(const struct device_status *d, const struct cached_device *now)
{
	static const enum condition orders[][CONDITIONS] = {{CONDITION_READY, CONDITION_NETWORK, CONDITION_RDMA_LINK},
	                                                    {CONDITION_RDMA_LINK, CONDITION_READY, CONDITION_NETWORK}};
	static const char *const types[CONDITIONS] = {"Ready", "NetworkReady", "RDMALinkReady"};
	const enum condition *order = orders[d->pod && !d->pod->ifname[0]];
	json_t *list = json_array();
	for (size_t i = 0; i < CONDITIONS; i++) {
		enum condition c = order[i];
		const char *reason = types[c], *message = "";
		if (c == CONDITION_READY) {
			reason = d->reason && *d->reason ? d->reason : d->ready ? "Ready" : "NotReady";
			message = d->message;
		}
		if (c == CONDITION_READY || now->is[c])
			json_array_append_new(list, condition_new(types[c], now->is[c], reason, message, now->since_s[c]));
	}
	return list;
}

/* "::ffff:192.0.2.1/120": an interface can have one, and the API refuses the whole status for it. */
static bool is_mapped(const char *address)
{
	return strchr(address, ':') && strchr(address, '.');
}

/* The API refuses a list that names an address twice. */
static bool list_has(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (!strcmp(json_string_value(json_array_get(list, i)), text))
			return true;
	return false;
}

json_t *network_data_encode(const struct pod_state *pod)
{
	json_t *ips = json_array(), *data = json_pack("{s:o}", "interfaceName", json_text_new(pod->ifname));
	char text[IP_TEXT_MAX], mac[MAC_TEXT_MAX];
	for (size_t i = 0; i < pod->n_addresses && json_array_size(ips) < IPS_MAX; i++) {
		ip_prefix_format(&pod->addresses[i], text);
		if (!list_has(ips, text) && !is_mapped(text))
			json_array_append_new(ips, json_string(text));
	}
	mac_format(&pod->mac, mac);
	if (*mac)
		json_object_set_new(data, "hardwareAddress", json_string(mac));
	if (json_array_size(ips))
		json_object_set(data, "ips", ips);
	json_decref(ips);
	return data;
}

static json_t *address_text_new(const struct ip_address *a)
{
	char text[IP_TEXT_MAX];
	ip_address_format(a, text);
	return json_string(text);
}

static json_t *lease_routes_new(const struct lease *l)
{
	json_t *list = json_array();
	for (size_t i = 0; i < l->n_routes; i++) {
		char text[IP_TEXT_MAX];
		ip_prefix_format(&l->routes[i].destination, text);
		json_t *route = json_pack("{s:s}", "destination", text);
		if (l->routes[i].gateway.family != IP_NONE)
			json_object_set_new(route, "gateway", address_text_new(&l->routes[i].gateway));
		json_array_append_new(list, route);
	}
	return list;
}

/* An empty list is left out. */
static void set_list(json_t *object, const char *name, json_t *list)
{
	if (json_array_size(list))
		json_object_set(object, name, list);
	json_decref(list);
}

/* What stays the same from renewal to renewal: a status that changed with each would be a write with each. */
static json_t *lease_new(const struct lease *l)
{
	json_t *lease = json_object(), *addresses = json_array(), *dns = json_array();
	for (size_t i = 0; i < l->n_addresses; i++) {
		char text[IP_TEXT_MAX];
		ip_prefix_format(&l->addresses[i].prefix, text);
		json_array_append_new(addresses, json_string(text));
	}
	for (size_t i = 0; i < l->n_dns; i++)
		json_array_append_new(dns, address_text_new(&l->dns[i]));
	set_list(lease, "addresses", addresses);
	if (l->server.family != IP_NONE)
		json_object_set_new(lease, "server", address_text_new(&l->server));
	if (l->server_id[0])
		json_object_set_new(lease, "serverDUID", json_string(l->server_id));
	if (lease_seconds(l))
		json_object_set_new(lease, "leaseSeconds", json_integer(lease_seconds(l)));
	set_list(lease, "routes", lease_routes_new(l));
	set_list(lease, "dns", dns);
	if (l->domain[0])
		json_object_set_new(lease, "domain", json_text_new(l->domain));
	if (l->mtu)
		json_object_set_new(lease, "mtu", json_integer(l->mtu));
	return lease;
}

static json_t *dhcp_new(const struct leases *leases)
{
	if (!leases || (!leases->v4.held && !leases->v6.held))
		return NULL;
	json_t *dhcp = json_object();
	if (leases->v4.held)
		json_object_set_new(dhcp, "ipv4", lease_new(&leases->v4));
	if (leases->v6.held)
		json_object_set_new(dhcp, "ipv6", lease_new(&leases->v6));
	return dhcp;
}

/* The GUID as sysfs and rdma(8) write it. Port and index of the GID are what programs like NCCL want to be told. */
static json_t *rdma_new(const struct pod_state *pod)
{
	if (!pod || !pod->rdma.name[0])
		return NULL;
	const struct rdma_state *r = &pod->rdma;
	json_t *rdma = json_object(), *nodes = json_array();
	char guid[24];
	snprintf(guid, sizeof(guid), "%04x:%04x:%04x:%04x", (unsigned)(r->guid >> 48), (unsigned)(r->guid >> 32 & 0xffff),
	         (unsigned)(r->guid >> 16 & 0xffff), (unsigned)(r->guid & 0xffff));
	json_object_set_new(rdma, "device", json_text_new(r->name));
	if (r->guid)
		json_object_set_new(rdma, "guid", json_string(guid));
	if (*rdma_protocol_name(r->protocol))
		json_object_set_new(rdma, "protocol", json_string(rdma_protocol_name(r->protocol)));
	if (r->gid_port) {
		json_object_set_new(rdma, "port", json_integer(r->gid_port));
		json_object_set_new(rdma, "gid", address_text_new(&r->gid));
		json_object_set_new(rdma, "gidIndex", json_integer(r->gid_index));
	}
	for (size_t i = 0; i < r->n_nodes; i++)
		json_array_append_new(nodes, json_text_new(r->nodes[i].path));
	set_list(rdma, "devices", nodes);
	return rdma;
}

/* status.devices[].data: {"dhcp": {"ipv4": …, "ipv6": …}, "rdma": {…}}; NULL when there is neither. It is at most some 5 KiB of the 10 that
 * the API server takes. */
static json_t *data_new(const struct device_status *d)
{
	json_t *dhcp = dhcp_new(d->leases), *rdma = rdma_new(d->pod);
	return dhcp || rdma ? json_pack("{s:o*, s:o*}", "dhcp", dhcp, "rdma", rdma) : NULL;
}

static json_t *device_new(const char *driver, const struct device_status *d, const struct cached_device *since)
{
	json_t *device = json_pack("{s:s, s:s, s:s, s:o}", "driver", driver, "pool", d->pool, "device", d->device, "conditions",
	                           conditions_new(d, since));
	if (d->share_id && *d->share_id)
		json_object_set_new(device, "shareID", json_string(d->share_id));
	if (d->pod && d->pod->ifname[0])
		json_object_set_new(device, "networkData", network_data_encode(d->pod));
	json_t *data = data_new(d);
	if (data)
		json_object_set_new(device, "data", data);
	return device;
}

static json_t *body_new(struct api *a, const char *driver, const struct claim_ref *claim, const struct device_status *devices, size_t n,
                        int64_t now_s)
{
	if (!a->statuses)
		a->statuses = calloc(1, sizeof(*a->statuses));
	if (!a->statuses)
		return NULL;
	struct cached_claim *known = n ? NULL : cache_find(a->statuses, claim->uid);
	const struct cached_device *since = n ? cache_update(a->statuses, claim->uid, devices, n, now_s) : NULL;
	if (known)
		cache_drop(a->statuses, known);
	if (n && !since)
		return NULL;
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, device_new(driver, &devices[i], &since[i]));
	/* The UID makes the server refuse the write when the name belongs to another claim by now. */
	json_t *body = json_pack("{s:s, s:{s:s, s:s, s:s}, s:{s:o}}", "kind", "ResourceClaim", "metadata", "name", claim->name, "namespace",
	                         claim->namespace_, "uid", claim->uid, "status", "devices", list);
	/* An entry that lacked memory is missing from the list; a smaller truth must not be written. */
	if (body && json_array_size(list) == n)
		return body;
	json_decref(body);
	return NULL;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------------- */

struct status_write {
	void (*done)(int result, const char *error, void *user);
	void *user;
};

/* A 422 names all that is wrong at once. The UID is of another claim, by the same name; or "status.devices[2]" itself, not one of its
 * members, is not (any more) allocated: then there is nobody to be told. Since 1.36 a missing right for our driver's entries comes so, too,
 * and not as 403: the whole list is forbidden (protocols §4.6). */
static int invalid_result(const struct api_answer *answer)
{
	static const char devices[] = "status.devices";
	const json_t *causes = json_member(answer->body, "details.causes");
	bool gone = strstr(answer->error, "must be an allocated device") != NULL, forbidden = false;
	for (size_t i = 0; i < json_array_size(causes); i++) {
		const json_t *cause = json_array_get(causes, i);
		const char *field = json_member_text(cause, "field"), *reason = json_member_text(cause, "reason");
		if (!strcmp(field, devices))
			forbidden |= !strcmp(reason, "FieldValueForbidden");
		else if (!strcmp(field, "metadata.uid") || (str_starts(field, devices) && !strchr(field + strlen(devices), '.')))
			gone = true;
	}
	return gone ? -ESTALE : forbidden ? -EACCES : answer->result;
}

static void on_status(const struct api_answer *answer, void *user)
{
	_cleanup_free_ struct status_write *q = user;
	int r = answer->result;
	if (r == -EINVAL)
		r = invalid_result(answer);
	q->done(r, answer->error, q->user);
}

int status_apply(struct api *a, const char *driver, const struct claim_ref *claim, const struct device_status *devices, size_t n,
                 int64_t now_s, void (*done)(int result, const char *error, void *user), void *user)
{
	_cleanup_free_ struct status_write *q = calloc(1, sizeof(*q));
	_cleanup_buf_ struct buf path = {0};
	if (n > CLAIM_DEVICES_MAX || !*claim->name || !*claim->namespace_)
		return -EINVAL;
	if (!q)
		return -ENOMEM;
	*q = (struct status_write){.done = done, .user = user};
	claim_path_add(&path, claim);
	buf_puts(&path, "/status?force=true&fieldManager=");
	url_add(&path, driver);
	json_t *body = path.failed ? NULL : body_new(a, driver, claim, devices, n, now_s);
	if (!body)
		return -ENOMEM;
	int r = resource_send(a, "PATCH", buf_text(&path), "application/apply-patch+yaml", body, STATUS_TIMEOUT_MS, on_status, free, q);
	json_decref(body);
	if (r < 0)
		return r;
	q = NULL;
	return 0;
}
