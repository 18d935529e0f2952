/* SPDX-License-Identifier: Apache-2.0 */
#include "k8s/device_metadata.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/object_parts.h"

static const char *const versions[] = {"v1beta1", "v1alpha1"};

void request_main(const char *request, char ret[REQUEST_SIZE])
{
	(void)str_copy(ret, REQUEST_SIZE, request);
	ret[strcspn(ret, "/")] = '\0';
}

void device_metadata_path(const struct claim_record *record, const char *driver, const char *request, struct buf *ret)
{
	bool template = record->pod_claim_name[0];
	buf_printf(ret, "/var/run/kubernetes.io/dra-device-attributes/%s/%s/%s/%s-metadata.json",
	           template ? "resourceclaimtemplates" : "resourceclaims", template ? record->pod_claim_name : record->ref.name, request,
	           driver);
}

/* Beside what is published of the device: what became of it in this pod. */
static void rdma_add(json_t *attributes, const struct rdma_state *rdma)
{
	char text[IP_TEXT_MAX];
	if (!rdma->gid_port)
		return;
	ip_address_format(&rdma->gid, text);
	json_object_set_new(attributes, "dra.net/gid", json_pack("{s:s}", "string", text));
	json_object_set_new(attributes, "dra.net/gidIndex", json_pack("{s:i}", "int", (int)rdma->gid_index));
	json_object_set_new(attributes, "dra.net/gidPort", json_pack("{s:i}", "int", (int)rdma->gid_port));
}

static json_t *device_encode(const struct attachment_record *a, const char *driver)
{
	struct attribute attributes[ATTRIBUTES_MAX];
	size_t n = a->plan ? device_attributes(&a->plan->facts, attributes) : 0;
	json_t *map = json_object();
	for (size_t i = 0; i < n; i++)
		json_object_set_new(map, attributes[i].name, attribute_encode(&attributes[i]));
	rdma_add(map, &a->pod.rdma);
	json_t *device = json_pack("{s:s, s:s, s:s, s:o}", "driver", driver, "pool", a->pool, "name", a->device, "attributes", map);
	if (device && a->pod.ifname[0])
		json_object_set_new(device, "networkData", network_data_encode(&a->pod));
	return device;
}

static json_t *devices_encode(const struct claim_record *record, const char *driver, const char *request)
{
	json_t *devices = json_array();
	char mine[REQUEST_SIZE];
	for (size_t i = 0; i < record->n; i++) {
		request_main(record->devices[i].request, mine);
		if (str_equal(mine, request))
			json_array_append_new(devices, device_encode(&record->devices[i], driver));
	}
	return devices;
}

static int append(struct buf *ret, json_t *object)
{
	_cleanup_free_ char *text = json_dumps(object, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	buf_printf(ret, "%s\n", text);
	return ret->failed ? -ENOMEM : 0;
}

/* With the subrequest that was chosen of a prioritised list: that stands in no path. */
static const char *full_name(const struct claim_record *record, const char *request)
{
	char mine[REQUEST_SIZE];
	for (size_t i = 0; i < record->n; i++) {
		request_main(record->devices[i].request, mine);
		if (str_equal(mine, request))
			return record->devices[i].request;
	}
	return request;
}

int device_metadata_encode(const struct claim_record *record, const char *driver, const char *request, int64_t generation, struct buf *ret)
{
	json_t *devices = devices_encode(record, driver, request);
	int r = json_array_size(devices) ? 0 : -ENOENT;
	for (size_t i = 0; i < ELEMENTS(versions) && r == 0; i++) {
		_cleanup_buf_ struct buf version = {0};
		buf_printf(&version, "metadata.resource.k8s.io/%s", versions[i]);
		json_t *object = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:I}, s:[{s:s, s:O}]}", "apiVersion", buf_text(&version), "kind",
		                           "DeviceMetadata", "metadata", "name", record->ref.name, "namespace", record->ref.namespace_,
		                           "uid", record->ref.uid, "generation", (json_int_t)generation, "requests", "name",
		                           full_name(record, request), "devices", devices);
		if (object && record->pod_claim_name[0])
			json_object_set_new(object, "podClaimName", json_string(record->pod_claim_name));
		r = append(ret, object);
		json_decref(object);
	}
	json_decref(devices);
	return r;
}

int64_t device_metadata_generation(const char *text, size_t len)
{
	json_t *object = json_loadb(text, len, JSON_DISABLE_EOF_CHECK, NULL);
	json_int_t generation = json_integer_value(json_object_get(json_object_get(object, "metadata"), "generation"));
	json_decref(object);
	return generation > 0 && generation < INT64_MAX ? generation : 0;
}
