/* SPDX-License-Identifier: Apache-2.0 */
/* What containers read of their devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/device_metadata.h"

static struct attach_plan plan = {
    .references = 1,
    .facts = {
	.name = "pci-0000-8a-00-0", .ifindex = 7, .ifname = "eth7", .mtu = 9000, .rdma = true, .rdma_device = "mlx5_2", .numa_node = -1}};

static struct claim_record record_of(struct attachment_record devices[3])
{
	memset(devices, 0, 3 * sizeof(*devices));
	devices[0] = (struct attachment_record){.request = "rail/fast", .pool = "node-a", .device = "pci-0000-8a-00-0", .plan = &plan};
	STR_COPY(devices[0].pod.ifname, "net1");
	mac_parse("02:00:00:00:00:01", &devices[0].pod.mac);
	ip_prefix_parse("192.0.2.7/24", &devices[0].pod.addresses[0]);
	devices[0].pod.n_addresses = 1;
	devices[0].pod.rdma.gid_port = 1;
	devices[0].pod.rdma.gid_index = 3;
	ip_address_parse("192.0.2.7", &devices[0].pod.rdma.gid);
	devices[1] = (struct attachment_record){.request = "other", .pool = "node-a", .device = "eth9", .plan = &plan};
	devices[2] = (struct attachment_record){.request = "watch", .pool = "node-a", .device = "eth9", .admin_access = true};
	return (struct claim_record){.ref = {"uid-1", "default", "nics"}, .n = 3, .devices = devices};
}

static json_t *line(const char *text, size_t which)
{
	for (; which; which--)
		text = strchr(text, '\n') + 1;
	json_t *object = json_loadb(text, strcspn(text, "\n"), 0, NULL);
	assert_non_null(object);
	return object;
}

static const char *text_at(json_t *object, const char *a, const char *b)
{
	return json_string_value(json_object_get(json_object_get(object, a), b));
}

static void test_one_request(void **state)
{
	struct attachment_record devices[3];
	const struct claim_record record = record_of(devices);
	static const char *const versions[] = {"metadata.resource.k8s.io/v1beta1", "metadata.resource.k8s.io/v1alpha1"};
	_cleanup_buf_ struct buf b = {0};
	(void)state;
	assert_int_equal(device_metadata_encode(&record, "dra.net", "rail", 7, &b), 0);
	assert_int_equal(device_metadata_generation(buf_text(&b), b.len), 7);
	for (size_t i = 0; i < ELEMENTS(versions); i++) {
		json_t *object = line(buf_text(&b), i);
		assert_string_equal(json_string_value(json_object_get(object, "apiVersion")), versions[i]);
		assert_string_equal(json_string_value(json_object_get(object, "kind")), "DeviceMetadata");
		assert_string_equal(text_at(object, "metadata", "uid"), "uid-1");
		assert_null(json_object_get(object, "podClaimName"));
		json_t *requests = json_object_get(object, "requests");
		assert_int_equal(json_array_size(requests), 1);
		json_t *request = json_array_get(requests, 0), *list = json_object_get(request, "devices"),
		       *device = json_array_get(list, 0);
		assert_int_equal(json_integer_value(json_object_get(json_object_get(object, "metadata"), "generation")), 7);
		/* What was chosen of a prioritised list stands in the file, and not in its path. */
		assert_string_equal(json_string_value(json_object_get(request, "name")), "rail/fast");
		assert_int_equal(json_array_size(list), 1);
		assert_string_equal(json_string_value(json_object_get(device, "name")), "pci-0000-8a-00-0");
		assert_string_equal(json_string_value(json_object_get(device, "driver")), "dra.net");
		assert_string_equal(text_at(device, "networkData", "interfaceName"), "net1");
		json_t *attributes = json_object_get(device, "attributes");
		assert_string_equal(text_at(attributes, "dra.net/rdmaDevice", "string"), "mlx5_2");
		assert_string_equal(text_at(attributes, "dra.net/gid", "string"), "192.0.2.7");
		assert_int_equal(json_integer_value(json_object_get(json_object_get(attributes, "dra.net/gidIndex"), "int")), 3);
		assert_int_equal(json_integer_value(json_object_get(json_object_get(attributes, "dra.net/gidPort"), "int")), 1);
		json_decref(object);
	}
}

static void test_without_gid_and_template(void **state)
{
	struct attachment_record devices[3];
	struct claim_record record = record_of(devices);
	_cleanup_buf_ struct buf b = {0}, path = {0}, named = {0};
	(void)state;
	STR_COPY(record.pod_claim_name, "fabric");
	assert_int_equal(device_metadata_encode(&record, "dra.net", "other", 1, &b), 0);
	json_t *object = line(buf_text(&b), 0);
	json_t *device = json_array_get(json_object_get(json_array_get(json_object_get(object, "requests"), 0), "devices"), 0);
	assert_string_equal(json_string_value(json_object_get(object, "podClaimName")), "fabric");
	assert_null(json_object_get(json_object_get(device, "attributes"), "dra.net/gidIndex"));
	assert_null(json_object_get(device, "networkData"));
	json_decref(object);
	device_metadata_path(&record, "dra.net", "other", &path);
	assert_string_equal(buf_text(&path),
	                    "/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/fabric/other/dra.net-metadata.json");
	record.pod_claim_name[0] = '\0';
	device_metadata_path(&record, "dra.net", "other", &named);
	assert_string_equal(buf_text(&named),
	                    "/var/run/kubernetes.io/dra-device-attributes/resourceclaims/nics/other/dra.net-metadata.json");
}

static void test_of_nothing(void **state)
{
	struct attachment_record devices[3];
	const struct claim_record record = record_of(devices);
	_cleanup_buf_ struct buf b = {0};
	char request[REQUEST_SIZE];
	(void)state;
	assert_int_equal(device_metadata_encode(&record, "dra.net", "rai", 1, &b), -ENOENT);
	assert_int_equal(b.len, 0);
	static const char *const none[] = {"",
	                                   "{",
	                                   "[1]",
	                                   "{\"metadata\":{\"generation\":-1}}",
	                                   "{\"metadata\":{\"generation\":\"1\"}}",
	                                   "{\"metadata\":{\"generation\":9223372036854775807}}"};
	for (size_t i = 0; i < ELEMENTS(none); i++)
		assert_int_equal(device_metadata_generation(none[i], strlen(none[i])), 0);
	request_main("rail/fast", request);
	assert_string_equal(request, "rail");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_request),
	    cmocka_unit_test(test_without_gid_and_template),
	    cmocka_unit_test(test_of_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
