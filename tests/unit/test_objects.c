/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the API server in and out: claims, status, events, discovery and the mapping of answers, over an HTTP client without network.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "k8s/api_private.h"
#include "k8s/json_value.h"
#include "k8s/object_parts.h"
#include "k8s/objects.h"
#include "tests/unit/fake_http.h"

/* ---- claims ----------------------------------------------------------------------------------------------------------------------- */

static const char claim_text[] =
    "{'apiVersion':'resource.k8s.io/v1','kind':'ResourceClaim','metadata':{'name':'c1','namespace':'default','uid':'u-1',"
    "'resourceVersion':'7'},'spec':{'devices':{'requests':[{'name':'nic','exactly':{'deviceClassName':'x'}}]}},"
    "'status':{'allocation':{'devices':{'results':["
    "{'request':'gpu','driver':'gpu.example','pool':'n','device':'gpu-0'},"
    "{'request':'nic/fast','driver':'dra.net','pool':'node-a','device':'pci-0000-8a-00-0','shareID':'11111111-2222','adminAccess':true},"
    "{'request':'nic','driver':'dra.net','pool':'node-a','device':'eth1'}],"
    "'config':[{'source':'FromClass','opaque':{'driver':'gpu.example','parameters':{'a':1}}},"
    "{'source':'FromClass','requests':[],'opaque':{'driver':'dra.net','parameters':{'interface':{'mtu':9000}}}},"
    "{'source':'FromClaim','requests':['nic','nic/fast'],'opaque':{'driver':'dra.net','parameters':"
    "{'interface':{'name':'net1','addresses':['10.0.0.1/24'],'dhcp':false},'x':1.5,'y':null}}}]},"
    "'nodeSelector':{}},'reservedFor':[{'resource':'pods','name':'p1','uid':'pu-1'}],'devices':null}}";

static json_t *load(const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	json_error_t error;
	json_t *json = json_loads(copy, 0, &error);
	if (!json)
		print_error("%s: %s\n", error.text, copy);
	assert_non_null(json);
	return json;
}

static void test_claim(void **state)
{
	struct claim_object o = {0};
	struct error e = {0};
	json_t *json = load(claim_text);
	(void)state;
	assert_int_equal(claim_object_decode(json, "dra.net", &o, &e), 0);
	json_decref(json);
	assert_string_equal(o.ref.uid, "u-1");
	assert_string_equal(o.ref.name, "c1");
	assert_string_equal(o.ref.namespace_, "default");
	assert_true(o.allocated);
	assert_int_equal(o.n_reserved, 1);
	assert_true(o.reserved_for_pod);
	assert_string_equal(o.pod.name, "p1");
	assert_string_equal(o.pod.uid, "pu-1");
	assert_string_equal(o.pod.namespace_, "default");
	assert_int_equal(o.n_results, 2);
	assert_string_equal(o.results[0].request, "nic/fast");
	assert_string_equal(o.results[0].share_id, "11111111-2222");
	assert_true(o.results[0].admin_access);
	assert_string_equal(o.results[1].device, "eth1");
	assert_string_equal(o.results[1].pool, "node-a");
	assert_false(o.results[1].admin_access);
	assert_int_equal(o.n_configs, 2);
	assert_true(o.configs[0].from_class);
	assert_int_equal(o.configs[0].n_requests, 0);
	assert_false(o.configs[1].from_class);
	assert_int_equal(o.configs[1].n_requests, 2);
	assert_string_equal(o.configs[1].requests[1], "nic/fast");
	const struct value *interface = value_get(&o.configs[1].parameters, "interface");
	assert_string_equal(value_get(interface, "name")->string, "net1");
	assert_int_equal(value_get(interface, "addresses")->type, VALUE_ARRAY);
	assert_int_equal(value_get(interface, "dhcp")->type, VALUE_BOOL);
	assert_int_equal(value_get(&o.configs[1].parameters, "x")->type, VALUE_REAL);
	assert_int_equal(value_get(&o.configs[1].parameters, "y")->type, VALUE_NULL);
	assert_int_equal(value_get(value_get(&o.configs[0].parameters, "interface"), "mtu")->integer, 9000);
	claim_object_free(&o);
}

static int decode_changed(const char *path, const char *text, struct claim_object *o, struct error *e)
{
	json_t *json = load(claim_text), *at = json;
	char key[64];
	*e = (struct error){0};
	for (;;) {
		size_t n = strcspn(path, ".");
		memcpy(key, path, n);
		key[n] = '\0';
		if (!path[n])
			break;
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
		path += n + 1;
	}
	char wrapped[512];
	snprintf(wrapped, sizeof(wrapped), "[%s]", text);
	json_t *value = load(wrapped);
	json_object_set(at, key, json_array_get(value, 0));
	json_decref(value);
	int r = claim_object_decode(json, "dra.net", o, e);
	json_decref(json);
	return r;
}

/* It names a directory in the pod's containers. */
static void test_claim_of_a_template(void **state)
{
	struct claim_object o = {0};
	struct error e;
	(void)state;
	assert_int_equal(decode_changed("metadata.annotations", "{'resource.kubernetes.io/pod-claim-name':'fabric','a':'b'}", &o, &e), 0);
	assert_string_equal(o.pod_claim_name, "fabric");
	claim_object_free(&o);
	assert_int_equal(decode_changed("metadata.annotations", "{'a':'b'}", &o, &e), 0);
	assert_string_equal(o.pod_claim_name, "");
	claim_object_free(&o);
}

static void test_claim_refused(void **state)
{
	static const struct {
		const char *path, *text, *says;
	} rows[] = {
	    {"metadata.uid", "null", "metadata.uid: missing"},
	    {"metadata.uid", "'../x'", "metadata.uid: \"../x\""},
	    {"metadata.name", "'a/b'", "metadata.name"},
	    {"metadata.annotations", "{'resource.kubernetes.io/pod-claim-name':'../x'}",
	     "metadata.annotations[resource.kubernetes.io/pod-claim-name]: \"../x\""},
	    {"metadata.namespace", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'", "longer than 63"},
	    {"status.allocation.devices.results", "{}", "status.allocation.devices.results: no list"},
	    {"status.allocation.devices.results.1.device", "'a b'", "results.device"},
	    {"status.allocation.devices.results.1.pool", "null", "results.pool: missing"},
	    {"status.allocation.devices.results.1.request", "'a\\u0001'", "results.request"},
	    {"status.allocation.devices.config.2.requests", "[1]", "config.requests[0]"},
	    {"status.allocation.devices.config", "'x'", "config: no list"},
	    {"status.reservedFor", "3", "status.reservedFor: no list"},
	    {"status.reservedFor.0.uid", "'a/b'", "status.reservedFor.uid"},
	};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct claim_object o = {.n_reserved = 77};
		struct error e;
		int r = decode_changed(rows[i].path, rows[i].text, &o, &e);
		if (r >= 0 || !strstr(e.text, rows[i].says))
			print_error("%s = %s: %d %s\n", rows[i].path, rows[i].text, r, e.text);
		assert_int_equal(r, -EINVAL);
		assert_non_null(strstr(e.text, rows[i].says));
		assert_int_equal(o.n_reserved, 77);
	}
}

static void test_claim_variants(void **state)
{
	struct claim_object o = {0};
	struct error e;
	(void)state;
	assert_int_equal(decode_changed("status.allocation", "null", &o, &e), 0);
	assert_false(o.allocated);
	assert_int_equal(o.n_results, 0);
	claim_object_free(&o);
	assert_int_equal(decode_changed("status.reservedFor.0.apiGroup", "'scheduling.k8s.io'", &o, &e), 0);
	assert_false(o.reserved_for_pod);
	assert_int_equal(o.n_reserved, 1);
	claim_object_free(&o);
	assert_int_equal(decode_changed("status.reservedFor", "[{'resource':'pods','name':'a','uid':'1'},{'resource':'pods'}]", &o, &e), 0);
	assert_false(o.reserved_for_pod);
	assert_int_equal(o.n_reserved, 2);
	claim_object_free(&o);

	/* thirty-three results of a claim are more than the API allows */
	json_t *json = load(claim_text), *results = json_member(json, "status.allocation.devices");
	json_t *list = json_array();
	for (int i = 0; i < CLAIM_DEVICES_MAX + 1; i++)
		json_array_append(list, json_array_get(json_object_get(results, "results"), 2));
	json_object_set_new(results, "results", list);
	assert_int_equal(claim_object_decode(json, "dra.net", &o, &e), -E2BIG);
	json_array_remove(list, 0);
	assert_int_equal(claim_object_decode(json, "dra.net", &o, &e), 0);
	assert_int_equal(o.n_results, CLAIM_DEVICES_MAX);
	claim_object_free(&o);

	/* a document that cannot be used is told, not dropped */
	json_t *opaque = json_object_get(json_array_get(json_object_get(results, "config"), 1), "opaque");
	char *text = malloc(10300);
	memset(text, 'x', 10299);
	text[10299] = '\0';
	json_object_set_new(opaque, "parameters", json_pack("{s:s}", "a", text));
	free(text);
	assert_int_equal(claim_object_decode(json, "dra.net", &o, &e), 0);
	assert_non_null(strstr(o.configs[0].parse_error, "10307 bytes"));
	assert_null(o.configs[1].parse_error);
	claim_object_free(&o);
	json_t *deep = json_integer(1);
	for (int i = 0; i < 40; i++)
		deep = json_pack("[o]", deep);
	json_object_set_new(opaque, "parameters", deep);
	assert_int_equal(claim_object_decode(json, "dra.net", &o, &e), 0);
	assert_non_null(o.configs[0].parse_error);
	claim_object_free(&o);
	json_decref(json);
}

static void test_value_bounds(void **state)
{
	struct value v = {.type = VALUE_INT};
	json_t *list = json_array();
	(void)state;
	for (int i = 0; i < 4095; i++)
		json_array_append_new(list, json_integer(i));
	assert_int_equal(value_from_json(list, &v), 0);
	assert_int_equal(v.n, 4095);
	value_free(&v);
	v.type = VALUE_INT;
	json_array_append_new(list, json_null());
	assert_int_equal(value_from_json(list, &v), -E2BIG);
	assert_int_equal(v.type, VALUE_INT);
	json_decref(list);
}

/* ---- over the wire ---------------------------------------------------------------------------------------------------------------- */

struct world {
	uv_loop_t loop;
	struct api *api;
	int answers; /* that came to the test's callbacks */
	int result;
	char error[512];
	struct claim_object object;
	/* what the server answers, in turn */
	struct {
		const char *method, *path_prefix;
		long status;
		const char *text;
	} script[8];
	int requests;
	char method[16][8], path[16][256], headers[16][256];
	json_t *bodies[16];
};
static struct world *world;

static void fake_serve(struct http_request *r)
{
	int i = world->requests++;
	assert_true(i < 16);
	snprintf(world->method[i], sizeof(world->method[i]), "%s", r->method);
	snprintf(world->path[i], sizeof(world->path[i]), "%s", r->path);
	snprintf(world->headers[i], sizeof(world->headers[i]), "%s", r->headers);
	world->bodies[i] = json_incref(r->body);
	for (size_t k = 0; k < ELEMENTS(world->script) && world->script[k].method; k++) {
		if (strcmp(world->script[k].method, r->method) != 0 ||
		    strncmp(world->script[k].path_prefix, r->path, strlen(world->script[k].path_prefix)) != 0)
			continue;
		_cleanup_free_ char *text = strdup(world->script[k].text);
		long status = world->script[k].status;
		for (char *p = text; *p; p++)
			if (*p == '\'')
				*p = '"';
		world->script[k].method = "used";
		return fake_answer_text(r, status, text, "299 - \"old\"");
	}
	fake_answer_text(r, 404, "404 page not found\n", NULL);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct api_config config = {.server = strdup("https://server"), .token = strdup("secret")};
	uv_loop_init(&w->loop);
	assert_int_equal(api_new(&w->loop, &config, &w->api, NULL), 0);
	w->api->timing.backoff_min_ms = 1;
	w->api->timing.backoff_max_ms = 4;
	world = *state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	api_close(w->api);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	for (int i = 0; i < w->requests; i++)
		json_decref(w->bodies[i]);
	claim_object_free(&w->object);
	free(w);
	return 0;
}

static void on_claim(int result, const char *error, struct claim_object *object, void *user)
{
	struct world *w = user;
	w->answers++;
	w->result = result;
	snprintf(w->error, sizeof(w->error), "%s", error);
	claim_object_free(&w->object);
	if (object) {
		w->object = *object;
		*object = (struct claim_object){0};
	}
}

static const struct claim_ref claim = {.uid = "u-1", .namespace_ = "default", .name = "c1"};
#define CLAIM_PATH "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/c1"

static void script(size_t i, const char *method, const char *path, long status, const char *text)
{
	world->script[i].method = method;
	world->script[i].path_prefix = path;
	world->script[i].status = status;
	world->script[i].text = text;
}

static void get_claim(const struct claim_ref *ref)
{
	int before = world->answers;
	assert_int_equal(claim_get(world->api, "dra.net", ref, on_claim, world), 0);
	assert_int_equal(world->answers, before);
	assert_true(fake_run_until(&world->loop, &world->answers, before + 1));
}

static void test_claim_get(void **state)
{
	(void)state;
	script(0, "GET", CLAIM_PATH, 200, claim_text);
	get_claim(&claim);
	assert_int_equal(world->result, 0);
	assert_int_equal(world->object.n_results, 2);
	assert_string_equal(world->path[0], CLAIM_PATH);
	assert_non_null(strstr(world->headers[0], "Accept: application/json\n"));
	assert_non_null(strstr(world->headers[0], "User-Agent: dranetd/"));
	assert_non_null(strstr(world->headers[0], "Authorization: Bearer secret\n"));
	assert_null(strstr(world->headers[0], "Content-Type"));

	struct claim_ref other = claim;
	strcpy(other.uid, "u-2");
	script(0, "GET", CLAIM_PATH, 200, claim_text);
	get_claim(&other);
	assert_int_equal(world->result, -ESTALE);
	assert_non_null(strstr(world->error, "u-2"));

	script(0, "GET", CLAIM_PATH, 404,
	       "{'kind':'Status','status':'Failure','message':'resourceclaims \\\"c1\\\" not found','reason':'NotFound','code':404,"
	       "'details':{'name':'c1','kind':'resourceclaims'}}");
	get_claim(&claim);
	assert_int_equal(world->result, -ENOENT);
	assert_non_null(strstr(world->error, "404 NotFound: resourceclaims \"c1\" not found"));
	assert_int_equal(world->requests, 3); /* no discovery because an object is missing */
}

static void test_claim_duplicate_key(void **state)
{
	(void)state;
	script(0, "GET", CLAIM_PATH, 200,
	       "{'metadata':{'name':'c1','namespace':'default','uid':'u-1'},'status':{'allocation':{'devices':{'results':[],'config':["
	       "{'source':'FromClaim','opaque':{'driver':'dra.net','parameters':{'interface':{'mtu':1,'mtu':2}}}}]}}}}");
	get_claim(&claim);
	assert_int_equal(world->result, 0);
	assert_int_equal(world->object.n_configs, 1);
	assert_non_null(strstr(world->object.configs[0].parse_error, "duplicate object key"));
	assert_non_null(strstr(world->object.configs[0].parse_error, "mtu"));
	assert_int_equal(world->object.configs[0].parameters.type, VALUE_NULL);
	/* in another driver's parameters it is none of our business */
	script(0, "GET", CLAIM_PATH, 200,
	       "{'metadata':{'name':'c1','namespace':'default','uid':'u-1'},'status':{'allocation':{'devices':{'results':[],'config':["
	       "{'source':'FromClaim','opaque':{'driver':'gpu.example','parameters':{'a':1,'a':2}}}]}}}}");
	get_claim(&claim);
	assert_int_equal(world->result, 0);
	assert_int_equal(world->object.n_configs, 0);
}

static void test_rediscovery(void **state)
{
	(void)state;
	/* v1 is not served: plain text as before 1.38, then the older version */
	script(0, "GET", "/apis/resource.k8s.io/v1/", 404, "404 page not found");
	script(1, "GET", "/apis/resource.k8s.io/v1beta1/", 200, claim_text);
	script(2, "GET", "/apis/resource.k8s.io", 200,
	       "{'kind':'APIGroup','versions':[{'groupVersion':'resource.k8s.io/v1beta1','version':'v1beta1'},{'version':'v9'}]}");
	assert_string_equal(api_resource_path(world->api), "/apis/resource.k8s.io/v1");
	get_claim(&claim);
	assert_int_equal(world->result, 0);
	assert_string_equal(api_resource_version(world->api), "v1beta1");
	assert_string_equal(world->path[2], "/apis/resource.k8s.io/v1beta1/namespaces/default/resourceclaims/c1");
	/* nothing is served: that is not "the claim is gone" */
	get_claim(&claim);
	assert_int_equal(world->result, -EOPNOTSUPP);
	assert_non_null(strstr(world->error, "resource.k8s.io"));
}

static void on_answer(const struct api_answer *answer, void *user)
{
	struct world *w = user;
	w->answers++;
	w->result = answer->result;
	snprintf(w->error, sizeof(w->error), "%s", answer->error);
}

static void on_warning(const char *text, void *user)
{
	assert_string_equal(text, "299 - \"old\"");
	++*(int *)user;
}

static void test_answers(void **state)
{
	static const struct {
		long status;
		const char *text;
		int result;
		const char *says;
	} rows[] = {
	    {200, "{}", 0, ""},
	    {201, "", 0, ""},
	    {200, "<html>", -EBADMSG, "the answer is no JSON"},
	    {409, "{'reason':'AlreadyExists','message':'m'}", -EEXIST, "GET /x: 409 AlreadyExists: m"},
	    {409, "{'reason':'Conflict','message':'m'}", -ESTALE, "409 Conflict: m"},
	    {403, "{'reason':'Forbidden','message':'line\\nline'}", -EACCES, "Forbidden: line line"},
	    {400, "{'message':5}", -EINVAL, "GET /x: 400"},
	    {422, "[]", -EINVAL, "GET /x: 422"},
	    {429, "Too many\r\n\x01requests", -EAGAIN, "GET /x: 429: Too many requests"},
	    {500, "", -EAGAIN, "GET /x: 500"},
	    {503, "", -EAGAIN, "503"},
	    {405, "", -EOPNOTSUPP, "405"},
	    {415, "", -EOPNOTSUPP, "415"},
	    {410, "", -ESTALE, "410"},
	    {413, "", -E2BIG, "413"},
	    {302, "", -EPROTO, "302"},
	};
	int warnings = 0;
	(void)state;
	api_warnings(world->api, on_warning, &warnings);
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		script(0, "GET", "/x", rows[i].status, rows[i].text);
		world->requests = 0;
		assert_int_equal(api_send(world->api, "GET", "/x", NULL, NULL, 0, on_answer, world, NULL), 0);
		assert_true(fake_run_until(&world->loop, &world->answers, (int)i + 1));
		if (world->result != rows[i].result || !strstr(world->error, rows[i].says))
			print_error("%ld: %d %s\n", rows[i].status, world->result, world->error);
		assert_int_equal(world->result, rows[i].result);
		assert_non_null(strstr(world->error, rows[i].says));
	}
	assert_int_equal(warnings, 1);
}

/* ---- status ----------------------------------------------------------------------------------------------------------------------- */

static void on_status(int result, const char *error, void *user)
{
	on_claim(result, error, NULL, user);
}

static json_t *apply(const struct device_status *devices, size_t n, int64_t now_s)
{
	int before = world->answers;
	assert_int_equal(status_apply(world->api, "dra.net", &claim, devices, n, now_s, on_status, world), 0);
	assert_true(fake_run_until(&world->loop, &world->answers, before + 1));
	return world->bodies[world->requests - 1];
}

static void assert_json(const json_t *is, const char *expected)
{
	json_t *want = load(expected);
	_cleanup_free_ char *text = json_dumps(is, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (!json_equal(is, want))
		print_error("is       %s\nexpected %s\n", text, expected);
	assert_true(json_equal(is, want));
	json_decref(want);
}

static void test_status(void **state)
{
	struct pod_state pod = {.ifname = "net1", .n_addresses = 5};
	struct device_status d = {.pool = "node-a",
	                          .device = "eth1",
	                          .share_id = "",
	                          .ready = false,
	                          .reason = "AttachFailed",
	                          .message = "interface name net1 is taken"};
	(void)state;
	mac_parse("AA-BB-CC-00-11-22", &pod.mac);
	ip_prefix_parse("10.1.2.3/24", &pod.addresses[0]);
	ip_prefix_parse("2001:DB8:0::1/64", &pod.addresses[1]);
	ip_prefix_parse("10.1.2.3/24", &pod.addresses[2]);
	ip_prefix_parse("::ffff:192.0.2.1/120", &pod.addresses[3]); /* the server would refuse it, and everything with it */
	ip_prefix_parse("::ffff:1/128", &pod.addresses[4]);
	for (size_t i = 0; i < 6; i++)
		script(i, "PATCH", CLAIM_PATH "/status", 200, "{}");

	assert_json(apply(&d, 1, 1000000000),
	            "{'apiVersion':'resource.k8s.io/v1','kind':'ResourceClaim','metadata':{'name':'c1','namespace':'default','uid':'u-1'},"
	            "'status':{'devices':[{'driver':'dra.net','pool':'node-a','device':'eth1','conditions':[{'type':'Ready',"
	            "'status':'False','reason':'AttachFailed','message':'interface name net1 is taken',"
	            "'lastTransitionTime':'2001-09-09T01:46:40Z'}]}]}}");
	assert_string_equal(world->method[0], "PATCH");
	assert_string_equal(world->path[0], CLAIM_PATH "/status?force=true&fieldManager=dra.net");
	assert_non_null(strstr(world->headers[0], "Content-Type: application/apply-patch+yaml\n"));

	/* still not ready: the time stays */
	d.message = "again\xff";
	assert_json(json_member(apply(&d, 1, 1000000050), "status.devices"),
	            "[{'driver':'dra.net','pool':'node-a','device':'eth1','conditions':[{'type':'Ready','status':'False',"
	            "'reason':'AttachFailed','message':'again?','lastTransitionTime':'2001-09-09T01:46:40Z'}]}]");

	d = (struct device_status){
	    .pool = "node-a", .device = "eth1", .share_id = "", .ready = true, .reason = "NetworkDeviceReady", .message = "", .pod = &pod};
	static const char ready[] =
	    "[{'driver':'dra.net','pool':'node-a','device':'eth1','conditions':[{'type':'Ready','status':'True','reason':"
	    "'NetworkDeviceReady','message':'','lastTransitionTime':'2001-09-09T01:48:20Z'},{'type':'NetworkReady','status':'True',"
	    "'reason':'NetworkReady','message':'','lastTransitionTime':'2001-09-09T01:48:20Z'}],'networkData':{'interfaceName':'net1',"
	    "'hardwareAddress':'aa:bb:cc:00:11:22','ips':['10.1.2.3/24','2001:db8::1/64','::ffff:1/128']}}]";
	assert_json(json_member(apply(&d, 1, 1000000100), "status.devices"), ready);
	assert_json(json_member(apply(&d, 1, 1000000200), "status.devices"), ready);

	/* removing ours, and the time is forgotten with them */
	assert_json(json_object_get(apply(NULL, 0, 1000000300), "status"), "{'devices':[]}");
	d.pod = NULL;
	d.share_id = "s-1";
	assert_json(json_member(apply(&d, 1, 1000000000), "status.devices"),
	            "[{'driver':'dra.net','pool':'node-a','device':'eth1','shareID':'s-1','conditions':[{'type':'Ready','status':'True',"
	            "'reason':'NetworkDeviceReady','message':'','lastTransitionTime':'2001-09-09T01:46:40Z'}]}]");
	assert_int_equal(world->result, 0);
}

/* What was leased goes into `data`, without what changes at each renewal. */
static void test_status_of_leases(void **state)
{
	const struct device_status ready = {
	    .pool = "p", .device = "d", .share_id = "", .ready = true, .reason = "NetworkDeviceReady", .message = ""};
	struct leases leases = {.references = 1};
	struct lease *l = &leases.v4;
	struct device_status d = ready;
	(void)state;
	for (size_t i = 0; i < 4; i++)
		script(i, "PATCH", CLAIM_PATH "/status", 200, "{}");
	d.leases = &leases;
	assert_null(json_member(json_array_get(json_member(apply(&d, 1, 1000000000), "status.devices"), 0), "data"));

	*l = (struct lease){
	    .held = true, .valid = 3600, .mtu = 1400, .n_addresses = 1, .n_routes = 2, .n_dns = 1, .domain = "a.example b.example"};
	ip_prefix_parse("192.0.2.50/24", &l->addresses[0].prefix);
	ip_address_parse("192.0.2.1", &l->server);
	ip_prefix_parse("0.0.0.0/0", &l->routes[0].destination);
	ip_address_parse("192.0.2.1", &l->routes[0].gateway);
	ip_prefix_parse("198.51.100.0/24", &l->routes[1].destination);
	ip_address_parse("192.0.2.53", &l->dns[0]);
	leases.v6 = (struct lease){.held = true, .valid = 7200, .n_addresses = 1, .server_id = "000102"};
	ip_prefix_parse("fd00::5/128", &leases.v6.addresses[0].prefix);
	static const char data[] =
	    "{'dhcp':{'ipv4':{'addresses':['192.0.2.50/24'],'server':'192.0.2.1','leaseSeconds':3600,'routes':[{'destination':'0.0.0.0/0',"
	    "'gateway':'192.0.2.1'},{'destination':'198.51.100.0/24'}],'dns':['192.0.2.53'],'domain':'a.example b.example','mtu':1400},"
	    "'ipv6':{'addresses':['fd00::5/128'],'serverDUID':'000102'}}}";
	assert_json(json_member(json_array_get(json_member(apply(&d, 1, 1000000000), "status.devices"), 0), "data"), data);
	l->taken_at = 5000;
	l->server_mac = (struct mac){6, {2}};
	leases.v6.valid = 3600; /* a server that counts down */
	assert_json(json_member(json_array_get(json_member(apply(&d, 1, 1000000000), "status.devices"), 0), "data"), data);
	l->valid = LEASE_FOR_EVER;
	assert_null(json_member(json_array_get(json_member(apply(&d, 1, 1000000000), "status.devices"), 0), "data.dhcp.ipv4.leaseSeconds"));
}

/* dranet-behaviour §7: which conditions, in which order. */
static void test_status_of_rdma(void **state)
{
	static const struct {
		const char *ifname, *rdma, *reason, *conditions;
		bool exclusive;
	} rows[] = {
	    {"net1", "", "NetworkDeviceReady", "['Ready','NetworkReady']", false},
	    {"net1", "mlx5_2", "NetworkDeviceReady", "['Ready','NetworkReady']", false},
	    {"net1", "mlx5_2", "NetworkDeviceReady", "['Ready','NetworkReady','RDMALinkReady']", true},
	    {"", "mlx5_0", "RDMAOnlyDeviceReady", "['Ready']", false},
	    {"", "mlx5_0", "RDMAOnlyDeviceReady", "['RDMALinkReady','Ready']", true},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct pod_state pod = {.rdma = {.exclusive = rows[i].exclusive}};
		const struct device_status d = {
		    .pool = "p", .device = "d", .share_id = "", .ready = true, .reason = rows[i].reason, .message = "", .pod = &pod};
		STR_COPY(pod.ifname, rows[i].ifname);
		STR_COPY(pod.rdma.name, rows[i].rdma);
		script(i, "PATCH", CLAIM_PATH "/status", 200, "{}");
		const json_t *device = json_array_get(json_member(apply(&d, 1, 1000000000), "status.devices"), 0), *condition;
		json_t *types = json_array();
		size_t j;
		json_array_foreach(json_object_get(device, "conditions"), j, condition)
		{
			const char *type = json_member_text(condition, "type");
			json_array_append_new(types, json_string(type));
			assert_string_equal(json_member_text(condition, "reason"), strcmp(type, "Ready") ? type : rows[i].reason);
			assert_string_equal(json_member_text(condition, "status"), "True");
		}
		assert_json(types, rows[i].conditions);
		json_decref(types);
		assert_int_equal(json_object_get(device, "networkData") != NULL, rows[i].ifname[0] != 0);
		assert_int_equal(json_object_get(device, "data") != NULL, rows[i].rdma[0] != 0);
	}
}

static void test_status_data_of_rdma(void **state)
{
	struct pod_state pod = {.ifname = "net1",
	                        .rdma = {.name = "mlx5_2",
	                                 .guid = 0xb8599f0300c7d2e4,
	                                 .protocol = RDMA_PROTOCOL_ROCE,
	                                 .n_nodes = 2,
	                                 .nodes = {{.path = "/dev/infiniband/uverbs2"}, {.path = "/dev/infiniband/rdma_cm"}},
	                                 .gid_port = 1,
	                                 .gid_index = 3}};
	struct leases leases = {.references = 1, .v4 = {.held = true, .mtu = 1400}};
	struct device_status d = {
	    .pool = "p", .device = "d", .share_id = "", .ready = true, .reason = "NetworkDeviceReady", .message = "", .pod = &pod};
	(void)state;
	ip_address_parse("::ffff:10.9.0.1", &pod.rdma.gid);
	for (size_t i = 0; i < 3; i++)
		script(i, "PATCH", CLAIM_PATH "/status", 200, "{}");
	assert_json(
	    json_member(json_array_get(json_member(apply(&d, 1, 1000000000), "status.devices"), 0), "data"),
	    "{'rdma':{'device':'mlx5_2','guid':'b859:9f03:00c7:d2e4','protocol':'roce','port':1,'gid':'::ffff:10.9.0.1','gidIndex':3,"
	    "'devices':['/dev/infiniband/uverbs2','/dev/infiniband/rdma_cm']}}");
	d.leases = &leases;
	pod.rdma = (struct rdma_state){.name = "efa_0"};
	assert_json(json_member(json_array_get(json_member(apply(&d, 1, 1000000000), "status.devices"), 0), "data"),
	            "{'dhcp':{'ipv4':{'mtu':1400}},'rdma':{'device':'efa_0'}}");
	/* The link's condition has a time of its own. */
	pod.rdma.exclusive = true;
	assert_json(
	    json_member(json_array_get(json_member(apply(&d, 1, 1000000100), "status.devices"), 0), "conditions"),
	    "[{'type':'Ready','status':'True','reason':'NetworkDeviceReady','message':'','lastTransitionTime':'2001-09-09T01:46:40Z'},"
	    "{'type':'NetworkReady','status':'True','reason':'NetworkReady','message':'','lastTransitionTime':'2001-09-09T01:46:40Z'},"
	    "{'type':'RDMALinkReady','status':'True','reason':'RDMALinkReady','message':'',"
	    "'lastTransitionTime':'2001-09-09T01:48:20Z'}]");
}

/* A link that keeps its name in the pod may have one that is no UTF-8. */
static void test_network_data_of_any_name(void **state)
{
	(void)state;
	struct pod_state pod = {.ifname = "odd\xff", .n_addresses = 1};
	ip_prefix_parse("10.1.2.3/24", &pod.addresses[0]);
	json_t *data = network_data_encode(&pod);
	assert_json(data, "{'interfaceName':'odd?','ips':['10.1.2.3/24']}");
	json_decref(data);
}

static void test_status_refused(void **state)
{
	static const struct {
		long status;
		const char *text;
		int result;
	} rows[] = {
	    {404, "{'reason':'NotFound','message':'m','details':{'name':'c1'}}", -ENOENT},
	    {409, "{'reason':'Conflict','message':'uid mismatch'}", -ESTALE},
	    {422, "{'reason':'Invalid','message':'m','details':{'name':'c1','causes':[{'field':'status.devices[0]','message':'x'}]}}",
	     -ESTALE},
	    {422, "{'reason':'Invalid','message':'m','details':{'name':'c1','causes':[{'field':'status.devices[0].networkData.ips[0]'}]}}",
	     -EINVAL},
	    {422, "{'reason':'Invalid','message':'status.devices[0]: Invalid value: must be an allocated device in the claim'}", -ESTALE},
	    {422,
	     "{'reason':'Invalid','message':'m','details':{'name':'c1','causes':[{'reason':'FieldValueInvalid','field':'metadata.uid',"
	     "'message':'field is immutable'},{'reason':'FieldValueForbidden','field':'status.devices','message':'x'}]}}",
	     -ESTALE},
	    {422,
	     "{'reason':'Invalid','message':'m','details':{'name':'c1','causes':[{'reason':'FieldValueForbidden','field':'status.devices',"
	     "'message':'changing status.devices requires a permission'}]}}",
	     -EACCES},
	    {422,
	     "{'reason':'Invalid','message':'m','details':{'name':'c1','causes':[{'reason':'FieldValueTooMany','field':'status.devices'}]}"
	     "}",
	     -EINVAL},
	    {403, "{'reason':'Forbidden','message':'m'}", -EACCES},
	    {503, "", -EAGAIN},
	};
	const struct device_status d = {.pool = "p", .device = "d", .share_id = "", .reason = "R", .message = ""};
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		script(0, "PATCH", CLAIM_PATH "/status", rows[i].status, rows[i].text);
		apply(&d, 1, 5);
		assert_int_equal(world->result, rows[i].result);
	}
}

static void test_status_cache_is_bounded(void **state)
{
	const struct device_status d = {.pool = "p", .device = "d", .share_id = "", .reason = "R", .message = ""};
	(void)state;
	for (int i = 0; i < 600; i++) {
		struct claim_ref ref = claim;
		snprintf(ref.uid, sizeof(ref.uid), "uid-%d", i);
		script(0, "PATCH", CLAIM_PATH "/status", 200, "{}");
		json_decref(world->bodies[0]);
		world->bodies[0] = NULL;
		world->requests = 0;
		assert_int_equal(status_apply(world->api, "dra.net", &ref, &d, 1, i, on_status, world), 0);
		assert_true(fake_run_until(&world->loop, &world->answers, i + 1));
	}
	assert_int_equal(world->result, 0);
}

/* ---- events ----------------------------------------------------------------------------------------------------------------------- */

static void test_recorder(void **state)
{
	struct recorder *r;
	const struct pod_ref pod = {.uid = "pu", .namespace_ = "default", .name = "p1"};
	(void)state;
	for (size_t i = 0; i < 2; i++)
		script(i, "POST", "/api/v1/namespaces/default/events", 201, "{}");
	script(2, "PATCH", "/api/v1/namespaces/default/events/c1.", 200, "{}");
	script(3, "PATCH", "/api/v1/namespaces/default/events/c1.", 404, "{'details':{'name':'x'}}");
	script(4, "POST", "/api/v1/namespaces/default/events", 503, "");
	script(5, "POST", "/api/v1/namespaces/default/events", 201, "{}");
	assert_int_equal(recorder_new(world->api, "dra.net", "node-a", &r), 0);
	recorder_emit(r, SUBJECT_CLAIM, &claim, &pod, "ClaimPrepareFailed", "why", 1000000000);
	recorder_emit(r, SUBJECT_POD, &claim, &pod, "NetworkDeviceAttachFailed", "why", 1000000000);
	assert_true(fake_run_until(&world->loop, &world->requests, 2));
	const char *name = json_string_value(json_member(world->bodies[0], "metadata.name"));
	assert_int_equal(strlen(name), strlen("c1.") + 16);
	json_object_set_new(json_object_get(world->bodies[0], "metadata"), "name", json_string("NAME"));
	assert_json(world->bodies[0],
	            "{'apiVersion':'v1','kind':'Event','metadata':{'name':'NAME','namespace':'default'},'involvedObject':{'apiVersion':"
	            "'resource.k8s.io/v1','kind':'ResourceClaim','namespace':'default','name':'c1','uid':'u-1'},'reason':"
	            "'ClaimPrepareFailed','message':'why','type':'Warning','source':{'component':'dra.net','host':'node-a'},"
	            "'reportingComponent':'dra.net','reportingInstance':'node-a','firstTimestamp':'2001-09-09T01:46:40Z',"
	            "'lastTimestamp':'2001-09-09T01:46:40Z','count':1}");
	assert_string_equal(json_string_value(json_member(world->bodies[1], "involvedObject.kind")), "Pod");

	/* the same again: counted up, three in one go while a request is under way */
	for (int i = 1; i <= 3; i++)
		recorder_emit(r, SUBJECT_CLAIM, &claim, &pod, "ClaimPrepareFailed", "why", 1000000000 + i);
	assert_true(fake_run_until(&world->loop, &world->requests, 4));
	/* the second PATCH found no event any more: a new one, tried twice */
	assert_true(fake_run_until(&world->loop, &world->requests, 6));
	fake_run_for(&world->loop, 50);
	assert_string_equal(world->method[2], "PATCH");
	assert_json(world->bodies[2], "{'count':2,'lastTimestamp':'2001-09-09T01:46:41Z'}");
	assert_json(world->bodies[3], "{'count':4,'lastTimestamp':'2001-09-09T01:46:43Z'}");
	assert_string_equal(world->method[4], "POST");
	assert_string_equal(world->method[5], "POST");
	assert_int_equal(json_integer_value(json_object_get(world->bodies[5], "count")), 4);
	assert_int_equal(world->requests, 6);

	/* bounded: none of a thousand is written because nothing runs the loop, and closing frees what waits */
	for (int i = 0; i < 1000; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%d", i);
		recorder_emit(r, SUBJECT_POD, &claim, &pod, "NetworkDeviceAttachFailed", text, 1000000000);
	}
	recorder_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_claim),
	    cmocka_unit_test(test_claim_of_a_template),
	    cmocka_unit_test(test_claim_refused),
	    cmocka_unit_test(test_claim_variants),
	    cmocka_unit_test(test_value_bounds),
	    cmocka_unit_test_setup_teardown(test_claim_get, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_claim_duplicate_key, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rediscovery, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_status, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_status_of_leases, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_status_of_rdma, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_status_data_of_rdma, setup, teardown),
	    cmocka_unit_test(test_network_data_of_any_name),
	    cmocka_unit_test_setup_teardown(test_status_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_status_cache_is_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_recorder, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
