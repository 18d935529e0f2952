"""The API server stand-in against clients that are not ours: http.client and curl."""

import copy
import http.client
import json
import os
import ssl
import subprocess
import threading
import time

import yaml

from apiserver_kinds import DRIVER_RULES, MANIFEST, SERVICE_ACCOUNT
from apiserver_store import StatusError
from cluster_cases import expect, refused, same
from cluster_fixtures import (API, CLAIMS, SLICES, STARTED, WORK, create, device, server, slice_of,
                              wipe)


class Client:
    """http.client over TLS with a bearer token; one connection kept alive."""

    def __init__(self, api=API, token=None):
        context = ssl.create_default_context(cafile=api.authority.ca)
        self.connection = http.client.HTTPSConnection("127.0.0.1", api.port, context=context,
                                                      timeout=10)
        self.headers = {"Authorization": f"Bearer {token or api.driver_token()}"}

    def request(self, method, path, body=None, content="application/json"):
        headers = {**self.headers, "Content-Type": content}
        self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                headers)
        response = self.connection.getresponse()
        return response, response.read()

    def watch(self, path):
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        same(response.status, 200, path)
        return response


def line(response):
    return json.loads(response.readline())


def curl(*arguments, api=API, timeout=20):
    command = ["curl", "-sS", "--max-time", str(timeout), "--cacert", api.authority.ca, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# ---- wires and credentials ----------------------------------------------------------------------

def test_http1_keep_alive_and_http2_agree():
    wipe()
    client = Client()
    for _ in range(3):
        response, body = client.request("GET", SLICES)
        same((response.status, response.version), (200, 11))
    for option, version in (("--http1.1", "1.1"), ("--http2", "2")):
        done = curl(option, "-H", f"Authorization: Bearer {API.driver_token()}", "-w",
                    "\n%{http_version}", API.url + SLICES)
        text, _, spoken = done.stdout.rpartition("\n")
        same((spoken, json.loads(text)), (version, json.loads(body)))


def test_http1_chunked_request_body():
    body = json.dumps(slice_of([device()]))
    done = curl("--http1.1", "-H", f"Authorization: Bearer {API.driver_token()}", "-H",
                "Transfer-Encoding: chunked", "-H", "Content-Type: application/json", "-d", body,
                "-o", "/dev/null", "-w", "%{http_code}", API.url + SLICES)
    same(done.stdout, "201", done.stderr)


def test_http2_body_larger_than_the_window():
    wipe()
    many = [device(f"nic{i}", alias="x" * 60, mac="02:00:00:00:00:01", type="veth", ipv4="y" * 60,
                   ipv6="z" * 60) for i in range(128)]
    path = os.path.join(WORK, "body.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(slice_of(many), out, indent=8)
    expect(os.path.getsize(path) > 128 * 1024, "the body is too small for this test")
    token = ("-H", f"Authorization: Bearer {API.driver_token()}", "-H",
             "Content-Type: application/json")
    done = curl("--http2", *token, "--data-binary", "@" + path, "-o", "/dev/null", "-w",
                "%{http_code}", API.url + SLICES)
    same(done.stdout, "201", done.stderr)
    done = curl("--http2", "--compressed", *token, API.url + SLICES)
    devices = json.loads(done.stdout)["items"][0]["spec"]["devices"]
    same(len(devices), 128)
    same(list(devices[0]["attributes"]), sorted(devices[0]["attributes"]))


def test_credentials():
    pki = API.authority.directory
    API.kubeconfig("certificate")
    done = curl("--cert", f"{pki}/dranetd.crt", "--key", f"{pki}/dranetd.key", "-o", "/dev/null",
                "-w", "%{http_code}", API.url + SLICES)
    same(done.stdout, "200", done.stderr)
    for headers in ((), ("-H", "Authorization: Bearer nobody's")):
        done = curl(*headers, API.url + SLICES)
        same((json.loads(done.stdout)["code"], json.loads(done.stdout)["reason"]),
             (401, "Unauthorized"))
    old = API.driver_token()
    API.rotate_token()
    same(Client(token=old).request("GET", SLICES)[0].status, 401)
    same(Client().request("GET", SLICES)[0].status, 200)


def test_kubeconfigs():
    for form in ("certificate", "token", "token-file"):
        with open(API.kubeconfig(form), encoding="utf-8") as file:
            config = yaml.safe_load(file)
        same(config["clusters"][0]["cluster"]["server"], API.url)
        expect("certificate-authority-data" in config["clusters"][0]["cluster"], form)
        user = config["users"][0]["user"]
        wanted = {"certificate": "client-key-data", "token": "token", "token-file": "tokenFile"}
        expect(wanted[form] in user, f"{form}: {sorted(user)}")


def test_rights_of_the_driver():
    response, body = Client().request("DELETE", API.path("nodes", None, "node-a"))
    same(response.status, 403)
    expect("cannot delete resource" in json.loads(body)["message"], body)


def test_manifests_agree():
    """One service account, in all of packaging/; the stand-in knows the driver by its rights."""
    found = {}
    for name in ("daemonset.yaml", "slice-policy.yaml"):
        with open(os.path.join(os.path.dirname(MANIFEST), name), encoding="utf-8") as file:
            found.update({item["kind"]: item for item in yaml.safe_load_all(file)})
    account = found["ServiceAccount"]["metadata"]
    same(API.DRIVER, f"{SERVICE_ACCOUNT}{account['namespace']}:{account['name']}")
    same(found["ClusterRoleBinding"]["subjects"], [{"kind": "ServiceAccount", **account}])
    same(found["ClusterRoleBinding"]["roleRef"]["name"], found["ClusterRole"]["metadata"]["name"])
    same(found["DaemonSet"]["spec"]["template"]["spec"]["serviceAccountName"], account["name"])
    policy = found["ValidatingAdmissionPolicy"]
    same(policy["spec"]["matchConditions"][0]["expression"],
         f"request.userInfo.username == '{API.DRIVER}'")
    same(found["ValidatingAdmissionPolicyBinding"]["spec"]["policyName"],
         policy["metadata"]["name"])
    # A cluster that has run DRANET gives the driver these already.
    dranet = {(verb, group, resource, name) for group, resource, name, verbs in (
        ("", "nodes", "", "get"), ("", "events", "", "create patch update"),
        ("resource.k8s.io", "resourceslices", "", "list watch create update delete"),
        ("resource.k8s.io", "resourceclaims", "", "get"),
        ("resource.k8s.io", "resourceclaims/status", "", "patch update"),
        ("resource.k8s.io", "resourceclaims/driver", "dra.net",
         "associated-node:patch associated-node:update")) for verb in verbs.split()}
    same(sorted(DRIVER_RULES - dranet), [])
    expect(("patch", "resource.k8s.io", "resourceclaims/status", "") in DRIVER_RULES, DRIVER_RULES)


def test_discovery_and_unknown_paths():
    response, body = Client().request("GET", "/apis/resource.k8s.io")
    same(json.loads(body)["preferredVersion"]["version"], "v1")
    response, body = Client().request("GET", "/apis/resource.k8s.io/v1beta2/resourceslices")
    same((response.status, body), (404, b"404 page not found\n"))
    same(Client().request("GET", CLAIMS + "/absent")[0].status, 404)


def test_older_versions():
    api = server(versions=("v1beta1",))
    body = {"apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceSlice",
            "metadata": {"name": "s"}, "spec": {
                "driver": "dra.net", "nodeName": "node-a",
                "pool": {"name": "node-a", "resourceSliceCount": 1},
                "devices": [{"name": "nic0", "basic": {"attributes": {"a": {"int": 1}}}}]}}
    path = SLICES.replace("v1", "v1beta1")
    response, made = Client(api).request("POST", path, body)
    same(response.status, 201, made)
    same(json.loads(made)["spec"]["devices"], body["spec"]["devices"])
    same(api.slices()[0]["spec"]["devices"], [{"name": "nic0", "attributes": {"a": {"int": 1}}}])
    same(Client(api).request("GET", SLICES)[0].status, 404)


# ---- slices: what is refused --------------------------------------------------------------------

def test_slice_refusals():
    wipe()
    table = [
        ("spec.devices: Too many: 129", slice_of([device(f"n{i}") for i in range(129)])),
        ("spec.devices: Too many: 65", slice_of(
            [{**device(f"n{i}"), "taints": [{"key": "a", "effect": "NoSchedule"}]}
             for i in range(65)])),
        ("must not exceed 32", slice_of([device("n", **{f"a{i}": 1 for i in range(32)})])),
        ("string: Too long", slice_of([device("n", alias="x" * 65)])),
        ("exactly one value must be specified", slice_of(
            [{"name": "n", "attributes": {"a": {"int": 1, "bool": True}}}])),
        ("exactly one value must be specified", slice_of(
            [{"name": "n", "attributes": {"a": {"ints": [1]}}}])),
        ("semver.org", slice_of([{"name": "n", "attributes": {"a": {"version": "1.2"}}}])),
        ("C identifier", slice_of([{"name": "n", "attributes": {"dra.net/a-b": {"int": 1}}}])),
        ("Too long: may not be more than 32", slice_of(
            [{"name": "n", "attributes": {"a" * 33: {"int": 1}}}])),
        ("domain must not be empty", slice_of([{"name": "n", "attributes": {"/a": {"int": 1}}}])),
        ("RFC 1123 label", slice_of([device("eth_0")])),
        ("spec.devices[1]: Duplicate", slice_of([device("n"), device("n")])),
        ("spec.driver: Invalid", slice_of([], driver="dra_net")),
        ("spec.driver: Too long", slice_of([], driver="d" * 64)),
        ("resourceSliceCount", slice_of([], count=0)),
        ("exactly one of", slice_of([], nodeName="")),
        ("multiple fields are set", slice_of([], allNodes=True)),
        ("non-empty string", slice_of([], nodeName="", allNodes=True)),
        ("set to true", slice_of([], allNodes=False)),
        ("can only be set if", slice_of([{**device("n"), "allNodes": True}])),
        ("spec.nodeName: Invalid", slice_of([], nodeName="Node_A")),
        ("only one of", slice_of([device("n")], sharedCounters=[])),
        ("effect: Required", slice_of([{**device("n"), "taints": [{"key": "a"}]}])),
        ("effect: Unsupported", slice_of([{**device("n"), "taints": [{"key": "a",
                                                                       "effect": "x"}]}])),
        ("name part", slice_of([{**device("n"), "taints": [{"key": "a/", "effect": "None"}]}])),
        ("are required, too", slice_of([{**device("n"), "bindingConditions": ["a"]}])),
        ("must not overlap", slice_of([{**device("n"), "bindingConditions": ["a"],
                                        "bindingFailureConditions": ["a"]}])),
        ("allowMultipleAllocations", slice_of([{**device("n"), "capacity": {
            "bandwidth": {"value": "1", "requestPolicy": {"default": "1"}}}}])),
        ("string: Too long", slice_of([device("n", alias="\u00e9" * 33)])),
        ("metadata.generateName", {**slice_of([]), "metadata": {"generateName": "Up-"}}),
        ("Controller set to true", {**slice_of([]), "metadata": {"name": "s", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": name, "uid": name, "controller": True}
            for name in ("a", "b")]}}),
    ]
    for text, body in table:
        error = refused(StatusError, lambda body=body: create(body), text)
        same((error.code, error.reason), (422, "Invalid"))
        expect(error.details["causes"], "no causes")
    error = refused(StatusError, lambda: create(slice_of([{"name": 5}])), "cannot unmarshal")
    same(error.code, 400)
    same(create(slice_of([device(f"n{i}") for i in range(128)]))["spec"]["pool"]["generation"], 1)


def test_slice_lists():
    """Attributes that are lists need a gate; they make a slice hold fewer devices."""
    api = server(gates=("DRAListTypeAttributes",))

    def nodes(count, devices=1, keys=1):
        return slice_of([{"name": f"n{i}", "attributes": {
            f"a{k}": {"ints": list(range(count))} for k in range(keys)}} for i in range(devices)])
    same(create(nodes(48), api)["spec"]["devices"][0]["attributes"]["a0"]["ints"], list(range(48)))
    create(nodes(1, devices=64), api)
    for text, body in (("must not exceed 48", nodes(49)), ("must not be empty", nodes(0)),
                       ("must not exceed 48", nodes(25, keys=2)), ("Too many: 65", nodes(1, 65))):
        refused(StatusError, lambda body=body: create(body, api), text)


def test_slices_of_another_node():
    """What packaging/slice-policy.yaml asks of a driver whose token is bound to a node."""
    wipe()
    user = API.tokens[API.driver_token()]
    made = API.call("POST", SLICES, slice_of([device()]), user=user)
    other = create(slice_of([device()], node="node-b"))
    for method, path, body in (
            ("POST", SLICES, slice_of([device()], node="node-b")),
            ("POST", SLICES, slice_of([device()], nodeName=None, allNodes=True)),
            ("PUT", f"{SLICES}/{other['metadata']['name']}", other),
            ("DELETE", f"{SLICES}/{other['metadata']['name']}", None)):
        error = refused(StatusError, lambda method=method, path=path, body=body: API.call(
            method, path, body, user=user), "may not write slices of node")
        same(error.code, 422)
    API.call("DELETE", f"{SLICES}/{made['metadata']['name']}", user=user)


def test_slice_unknown_fields_are_dropped_with_a_warning():
    wipe()
    body = slice_of([device()])
    body["spec"]["colour"] = "blue"
    response, made = Client().request("POST", SLICES, body)
    same(response.status, 201)
    same(response.getheader("Warning"), '299 - "unknown field \\"spec.colour\\""')
    expect("colour" not in json.loads(made)["spec"], "kept")
    same(Client().request("POST", SLICES + "?fieldValidation=Strict", body)[0].status, 400)


def test_slice_update_rules():
    wipe()
    made = create(slice_of([device()]))
    name, path = made["metadata"]["name"], f"{SLICES}/{made['metadata']['name']}"
    expect(name.startswith("00000-dra.net-node-a-") and len(name) == 26, name)
    same(API.call("PUT", path, made)["metadata"]["resourceVersion"],
         made["metadata"]["resourceVersion"], "writing the same changes nothing")
    changed = copy.deepcopy(made)
    changed["spec"]["devices"].append(device("nic1"))
    stored = API.call("PUT", path, changed)
    same(stored["metadata"]["generation"], 2)
    same(refused(StatusError, lambda: API.call("PUT", path, made), "has been modified").code, 409)
    stored["spec"]["pool"]["name"] = "other"
    refused(StatusError, lambda: API.call("PUT", path, stored), "field is immutable")
    options = {"preconditions": {"uid": "other"}}
    same(refused(StatusError, lambda: API.call("DELETE", path, options), "UID").code, 409)
    options = {"preconditions": {"uid": made["metadata"]["uid"],
                                 "resourceVersion": API.slices()[0]["metadata"]["resourceVersion"]}}
    API.call("DELETE", path, options)
    same(refused(StatusError, lambda: API.call("DELETE", path), "not found").code, 404)


def test_selectors_and_deletecollection():
    wipe()
    create(slice_of([device()]))
    create(slice_of([device()], node="node-b"))
    create(slice_of([device()], driver="other.example"))

    def count(selector):
        return len(API.call("GET", f"{SLICES}?fieldSelector={selector}")["items"])
    same((count("spec.nodeName=node-a"), count("spec.driver%3Ddra.net,spec.nodeName%3Dnode-a"),
          count("spec.driver!=dra.net")), (2, 1, 1))
    refused(StatusError, lambda: count("spec.pool=x"), "field label not supported")
    API.call("DELETE", SLICES + "?fieldSelector=spec.nodeName=node-a,spec.driver=dra.net")
    same(len(API.slices()), 2)
    page = API.call("GET", SLICES + "?limit=1")
    second = API.call("GET", f"{SLICES}?limit=1&continue={page['metadata']['continue']}")
    expect(page["items"] != second["items"] and "continue" not in second["metadata"], "paging")


# ---- watches ------------------------------------------------------------------------------------

def test_watch_http1_replay_bookmark_timeout():
    wipe()
    start = API.call("GET", SLICES)["metadata"]["resourceVersion"]
    made = create(slice_of([device()]))
    create(slice_of([device()], node="node-b"))
    response = Client().watch(f"{SLICES}?watch=1&resourceVersion={start}&allowWatchBookmarks=true"
                              "&timeoutSeconds=2&fieldSelector=spec.nodeName=node-a")
    event = line(response)
    same((event["type"], event["object"]["metadata"]["name"]), ("ADDED", made["metadata"]["name"]))
    API.send_bookmarks()
    event = line(response)
    same((event["type"], int(event["object"]["metadata"]["resourceVersion"]) > int(start)),
         ("BOOKMARK", True))
    API.call("DELETE", f"{SLICES}/{made['metadata']['name']}")
    same(line(response)["type"], "DELETED")
    same(response.read(), b"", "the watch ends with its timeout")


def test_watch_http2_with_split_lines():
    wipe()
    api = server(split_watch=True)
    create(slice_of([device()]), api)
    done = curl("--http2", "-H", f"Authorization: Bearer {api.driver_token()}", "-w",
                "\n%{http_version}", api.url + SLICES + "?watch=1&timeoutSeconds=1", api=api)
    lines = done.stdout.strip().splitlines()
    same((json.loads(lines[0])["type"], lines[-1], done.returncode), ("ADDED", "2", 0))


def test_watch_gone_as_event_and_as_status():
    api = server()
    old = api.call("GET", SLICES)["metadata"]["resourceVersion"]
    path = f"{SLICES}?watch=1&resourceVersion={old}"
    standing = Client(api).watch(path)
    api.expire_watches()
    event = line(standing)
    same((event["type"], event["object"]["code"]), ("ERROR", 410))
    event = line(Client(api).watch(path))
    same((event["type"], event["object"]["code"], event["object"]["reason"]),
         ("ERROR", 410, "Expired"))
    api.settings.gone_style = "http"
    same(Client(api).request("GET", path)[0].status, 410)
    response, body = Client(api).request("GET", f"{SLICES}?resourceVersion=999999")
    same((response.status, response.getheader("Retry-After")), (504, "1"))
    same(json.loads(body)["details"]["causes"][0]["reason"], "ResourceVersionTooLarge")


def test_watch_history_is_bounded():
    api = server(history=5)
    old = api.call("GET", SLICES)["metadata"]["resourceVersion"]
    for _ in range(7):
        create(slice_of([device()]), api)
    same(line(Client(api).watch(f"{SLICES}?watch=1&resourceVersion={old}"))["object"]["code"], 410)


def test_watch_streaming_list():
    api = server()
    create(slice_of([device()]), api)
    path = (f"{SLICES}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            "&resourceVersion=&allowWatchBookmarks=true&timeoutSeconds=1")
    response = Client(api).watch(path)
    same(line(response)["type"], "ADDED")
    same(line(response)["object"]["metadata"]["annotations"], {"k8s.io/initial-events-end": "true"})
    api.settings.watch_list = False
    same(Client(api).request("GET", path)[0].status, 422)


def test_watch_disconnects_mid_stream():
    api = server(watch_life=(0.05, 0.1))
    response = Client(api).watch(SLICES + "?watch=1")
    refused((http.client.IncompleteRead, ConnectionError), response.read)
    same(curl("--http2", "-H", f"Authorization: Bearer {api.driver_token()}",
              api.url + SLICES + "?watch=1", api=api).returncode != 0, True)
    api.wait(lambda: api.watches() == 0, 5, "the watches to be gone")


# ---- injected faults ----------------------------------------------------------------------------

def test_faults():
    wipe()
    API.inject("status", code=429, retry_after=1, verb="create", resource="resourceslices", n=2)
    for wanted in (429, 429, 201):
        response, _ = Client().request("POST", SLICES, slice_of([device()]))
        same(response.status, wanted)
    API.inject("drop_after", verb="create")
    refused((http.client.RemoteDisconnected, ConnectionError),
            lambda: Client().request("POST", SLICES, slice_of([device()])))
    same(len(API.slices()), 2, "performed, although never answered")
    API.inject("drop", verb="list", user=API.DRIVER)
    refused((http.client.RemoteDisconnected, ConnectionError),
            lambda: Client().request("GET", SLICES))
    API.inject("delay", seconds=0.2, verb="list")
    start = time.monotonic()
    Client().request("GET", SLICES)
    expect(time.monotonic() - start >= 0.2, "was not delayed")
    API.inject("status", code=403, resource="resourceclaims/status", n=None)
    same(Client().request("PATCH", f"{CLAIMS}/x/status", {})[0].status, 403)
    wipe()


def test_down_and_up():
    api = server()
    watch = Client(api).watch(SLICES + "?watch=1")
    api.down()
    refused((http.client.IncompleteRead, ConnectionError), watch.read)
    refused(ConnectionRefusedError, lambda: Client(api).request("GET", SLICES))
    api.up()
    same(Client(api).request("GET", SLICES)[0].status, 200)


def test_counts_and_control_over_http():
    api = server()
    Client(api).request("GET", SLICES)
    same(api.counts(api.DRIVER), {("list", "resourceslices"): 1})
    response, _ = Client(api).request("POST", "/_test/inject",
                                      {"action": "status", "code": 503, "verb": "list"})
    same(response.status, 200)
    same(Client(api).request("GET", SLICES)[0].status, 503)
    same(json.loads(Client(api).request("GET", f"/_test/counts?user={api.DRIVER}")[1]),
         {"list resourceslices": 2})


# ---- everything at once -------------------------------------------------------------------------

def test_many_clients_at_once():
    api = server(bookmark_seconds=0.05, split_watch=True)
    errors = []

    def work(number):
        try:
            client = Client(api)
            for i in range(10):
                response, _ = client.request("POST", SLICES, slice_of([device(f"n{number}-{i}")]))
                same(response.status, 201)
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)
    watch = Client(api).watch(SLICES + "?watch=1&allowWatchBookmarks=true")
    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    seen = set()
    while len(seen) < 100:
        event = line(watch)
        if event["type"] == "ADDED":
            seen.add(event["object"]["metadata"]["name"])
    for thread in threads:
        thread.join()
    same((errors, api.complaints), ([], []))


def test_server_has_no_complaints():
    same([text for api in STARTED for text in api.complaints], [])
