"""Claims, their status by server-side apply, and events, as the API server stand-in judges them."""

import copy
import dataclasses

from allocator import Allocator
from apiserver_kinds import ARBITRARY_NODE
from apiserver_store import StatusError
from cluster_cases import expect, refused, same
from cluster_fixtures import API, CLAIMS, create, device, manifests, slice_of, wipe


def allocated_claim(name="c1", devices=("nic0",)):
    """A claim that holds these devices of the driver, as the scheduler would leave it."""
    wipe()
    create(manifests("deviceclass.yaml")[0])
    create(slice_of([device(f"nic{i}") for i in range(4)]))
    create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": [
                {"name": f"r{i}", "exactly": {"deviceClassName": "dra.net", "selectors": [
                    {"cel": {"expression": f'device.attributes["dra.net"].ifName == "{wanted}"'}}]}}
                for i, wanted in enumerate(devices)]}}})
    pod = {"metadata": {"name": "p", "namespace": "default", "uid": "pod-uid"}, "spec": {
        "resourceClaims": [{"name": "n", "resourceClaimName": name}]}}
    Allocator(API, "node-a").schedule(pod)
    return API.claim("default", name), pod


def status_of(name="nic0", **changes):
    return {"driver": "dra.net", "pool": "node-a", "device": name, "conditions": [
        {"type": "Ready", "status": "True", "reason": "NetworkDeviceReady",
         "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            "networkData": {"interfaceName": "eth1", "ips": ["10.1.2.3/24"],
                            "hardwareAddress": "02:00:00:00:00:01"}, **changes}


def apply(devices, name="c1", manager="dra.net", force=True, user=None, **meta):
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default", **meta},
            "status": {"devices": devices}}
    query = f"?fieldManager={manager}" + ("&force=true" if force else "")
    return API.call("PATCH", f"{CLAIMS}/{name}/status{query}", body, user=user,
                    content_type="application/apply-patch+yaml")


def test_apply_status():
    claim, pod = allocated_claim(devices=("nic0", "nic1"))
    done = apply([status_of(), status_of("nic1")], uid=claim["metadata"]["uid"])
    same([entry["device"] for entry in done["status"]["devices"]], ["nic0", "nic1"])
    same(done["metadata"]["managedFields"][0]["manager"], "dra.net")
    again = apply([status_of(), status_of("nic1")])
    same(again["metadata"]["resourceVersion"], done["metadata"]["resourceVersion"])
    done = apply([status_of("nic1")])
    same([entry["device"] for entry in done["status"]["devices"]], ["nic1"])
    done = apply([{"driver": "dra.net", "pool": "node-a", "device": "nic1"}])
    same(done["status"]["devices"], [{"driver": "dra.net", "pool": "node-a", "device": "nic1"}])
    expect("devices" not in apply([])["status"], "an empty list takes our entries away")
    apply([status_of()])
    Allocator(API, "node-a").release(pod)
    same(API.claim("default", "c1").get("status"), {}, "deallocated")
    refused(StatusError, lambda: apply([status_of()]), "must be an allocated device in the claim")


def test_apply_of_two_managers():
    allocated_claim(devices=("nic0", "nic1"))
    apply([status_of()])
    apply([status_of("nic1")], manager="other")
    done = apply([])
    same([entry["device"] for entry in done["status"]["devices"]], ["nic1"])
    changed = status_of("nic1", networkData={"interfaceName": "eth9"})
    error = refused(StatusError, lambda: apply([changed], force=False), "conflict")
    same((error.code, error.details["causes"][0]["reason"]), (409, "FieldManagerConflict"))
    done = apply([changed])
    same(done["status"]["devices"][0]["networkData"]["interfaceName"], "eth9")


def test_apply_refusals():
    allocated_claim()
    apply([status_of()])
    many = [{"type": f"T{i}", "status": "True", "reason": "R",
             "lastTransitionTime": "2026-01-01T00:00:00Z"} for i in range(9)]
    table = [
        (422, "must be an allocated device", status_of("nic3")),
        (422, "must be in canonical form", status_of(networkData={"ips": ["2001:DB8::1/64"]})),
        (422, "address in CIDR form", status_of(networkData={"ips": ["10.1.2.3"]})),
        (422, "Duplicate value", status_of(networkData={"ips": ["10.1.2.3/24"] * 2})),
        (422, "Too many: 17", status_of(networkData={"ips": [f"10.1.2.{i}/24"
                                                              for i in range(17)]})),
        (422, "Too many: 9", status_of(conditions=many)),
        (422, "reason: Required", status_of(conditions=[{**many[0], "reason": ""}])),
        (422, "Unsupported value", status_of(conditions=[{**many[0], "status": "true"}])),
        (422, 'canonical form ("192.0.2.1/24")', status_of(networkData={
            "ips": ["::ffff:192.0.2.1/120"]})),
        (422, "canonical form", status_of(networkData={"ips": ["10.1.2.3/255.255.255.0"]})),
        (422, "name part", status_of(conditions=[{**many[0], "type": "a b"}])),
        (500, "duplicate entries", status_of(conditions=[many[0], many[0]])),
        (500, "omits key field", status_of(conditions=[{"status": "True"}])),
        (422, "RFC 4122", status_of(shareID="X")),
        (422, "hardwareAddress: Too long", status_of(networkData={"hardwareAddress": "x" * 129})),
        (422, "interfaceName: Too long", status_of(networkData={"interfaceName": "x" * 257})),
        (422, "valid JSON object", status_of(data=[1])),
        (500, "field not declared in schema", status_of(colour="blue")),
        (500, "expected list", status_of(networkData={"ips": "10.1.2.3/24"})),
    ]
    for code, text, entry in table:
        error = refused(StatusError, lambda entry=entry: apply([entry]), text)
        same(error.code, code, text)
    same(refused(StatusError, lambda: apply([status_of()] * 2), "duplicate").code, 500)
    error = refused(StatusError, lambda: apply([], uid="another"), "metadata.uid: Invalid")
    same((error.code, error.details["causes"][0]["field"]), (422, "metadata.uid"))
    refused(StatusError, lambda: apply([], manager=""), "fieldManager")
    same(refused(StatusError, lambda: apply([], name="absent"), "not found").code, 404)


def test_status_rights():
    allocated_claim()
    user = API.tokens[API.driver_token()]
    apply([status_of()], user=user)
    moved = copy.deepcopy(user)
    moved.node = "node-b"
    error = refused(StatusError, lambda: apply([], user=moved), "arbitrary-node:patch")
    same((error.code, [(cause["reason"], cause["field"]) for cause in error.details["causes"]]),
         (422, [("FieldValueForbidden", "status.devices")]))
    moved.name, moved.node = "dranetd", "node-a"
    refused(StatusError, lambda: apply([], user=moved), "arbitrary-node:patch")
    moved.rules |= ARBITRARY_NODE
    apply([], user=moved)
    without = dataclasses.replace(user, rules=frozenset(
        rule for rule in user.rules if rule[2] != "resourceclaims/driver"))
    refused(StatusError, lambda: apply([status_of()], user=without), "associated-node:patch")
    API.settings.granular_status = False
    try:
        apply([status_of()], user=without)
    finally:
        API.settings.granular_status = True
    claim = API.claim("default", "c1")
    claim["status"]["reservedFor"] = []
    patch = (("patch", "resource.k8s.io", "resourceclaims/status", ""),
             ("update", "resource.k8s.io", "resourceclaims/status", ""))
    scheduler = dataclasses.replace(user, rules=user.rules | set(patch))
    refused(StatusError, lambda: API.call("PUT", f"{CLAIMS}/c1/status", claim, user=scheduler),
            "resourceclaims/binding")
    claim = API.claim("default", "c1")
    claim["spec"]["devices"]["requests"][0]["name"] = "x"
    refused(StatusError, lambda: API.call("PUT", f"{CLAIMS}/c1", claim), "field is immutable")


def test_claim_refusals():
    def claim(requests, **devices):
        return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                "metadata": {"generateName": "c-", "namespace": "default"},
                "spec": {"devices": {"requests": requests, **devices}}}
    request = {"name": "r", "exactly": {"deviceClassName": "dra.net"}}
    opaque = {"driver": "dra.net", "parameters": {"a": "x" * 10240}}
    for text, body in (
            ("exactly one of", claim([{"name": "r"}])),
            ("compilation failed", claim([{"name": "r", "exactly": {
                "deviceClassName": "dra.net", "selectors": [{"cel": {"expression": "a =="}}]}}])),
            ("must be the name of a request", claim([request], config=[
                {"requests": ["q"], "opaque": {"driver": "dra.net", "parameters": {}}}])),
            ("Too long", claim([request], config=[{"opaque": opaque}])),
            ("a fully qualified name", claim([request], constraints=[{"matchAttribute": "a"}])),
            ("spec.devices.requests[1]: Duplicate", claim([request, request]))):
        refused(StatusError, lambda body=body: create(body), text)


def test_events():
    def event(**changes):
        return {"apiVersion": "v1", "kind": "Event",
                "metadata": {"generateName": "c1.", "namespace": "default"},
                "involvedObject": {"kind": "ResourceClaim", "name": "c1", "namespace": "default"},
                "reason": "ClaimPrepareFailed", "message": "text", "type": "Warning", "count": 1,
                "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z",
                "source": {"component": "dra.net"}, **changes}
    made = create(event())
    path = API.path("events", "default", made["metadata"]["name"])
    done = API.call("PATCH", path, {"count": 2},
                    content_type="application/strategic-merge-patch+json")
    same((done["count"], done["message"]), (2, "text"))
    other = {"kind": "Pod", "name": "p", "namespace": "elsewhere"}
    refused(StatusError, lambda: create(event(involvedObject=other)), "does not match")
    refused(StatusError, lambda: create(event(eventTime="2026-01-01T00:00:00.000000Z")),
            "reportingComponent: Required", "action: Required")
    wrong = {**event(), "metadata": {"name": "x", "namespace": "elsewhere"}}
    refused(StatusError, lambda: API.call("POST", API.path("events", "default"), wrong),
            "does not match the namespace sent")
