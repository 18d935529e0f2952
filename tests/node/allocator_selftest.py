"""The allocator on the manifests, and the CEL subset of their selectors."""

import allocator_cel as cel
from allocator import FINALIZER, Allocator, Unschedulable
from cluster_cases import expect, refused, same
from cluster_fixtures import API, create, device, manifests, slice_of, wipe


def test_cel():
    view = device("eth1", rdma=True, numa=1)
    for text, wanted in (
            ('device.driver == "dra.net"', True),
            ('device.attributes["dra.net"].ifName == "eth1"', True),
            ('device.attributes["dra.net"]["ifName"] in ["eth0", "eth1"]', True),
            ('device.attributes["dra.net"].rdma == true && device.driver != "x"', True),
            ('device.attributes["dra.net"].numa >= 1 && !(1 > 2)', True),
            ('has(device.attributes["dra.net"].rdmaDevice)', False),
            ('"dra.net" in device.attributes && "x.y" in device.attributes', False),
            ('device.attributes["dra.net"].ifName.startsWith("eth")', True),
            ('device.attributes["dra.net"].none == 1 || device.driver == "dra.net"', True),
            ("device.attributes['dra.net'].ifName.matches('^eth[0-9]+$') ? true : false", True),
            ('device.attributes["dra.net"].ifName == 1', False)):
        same(cel.evaluate(cel.compile_expression(text), "dra.net", view), wanted, text)
    for text in ('device.attributes["dra.net"].none == 1', 'device.attributes["dra.net"].ifName',
                 'device.attributes["dra.net"].ifName < 1'):
        refused(cel.CELError, lambda text=text: cel.evaluate(cel.compile_expression(text),
                                                             "dra.net", view))
    for text in ("device.driver ==", "unknown", "device.driver.foo()", '"open'):
        refused(cel.CELError, lambda text=text: cel.compile_expression(text))


def load(*names):
    wipe()
    pods = []
    for name in names:
        for obj in manifests(name):
            pods.append(obj) if obj["kind"] == "Pod" else create(obj)
    return pods


def test_allocate_from_manifests():
    pods = load("deviceclass.yaml", "multinic.yaml", "two-claims.yaml", "claim.yaml")
    allocator = Allocator(API, "node-a")
    create(slice_of([device(name) for name in ("nic1", "nic0", "ifbn0", "mvl0")]))
    pod = allocator.create_pod(pods[0])
    allocator.schedule(pod)
    claim = API.claim("default", "four-nics")
    allocation = claim["status"]["allocation"]
    same([(item["request"], item["device"]) for item in allocation["devices"]["results"]],
         [("veth-a", "nic0"), ("veth-b", "nic1"), ("ifb", "ifbn0"), ("macvlan", "mvl0")])
    same([item["source"] for item in allocation["devices"]["config"]], ["FromClaim"] * 4)
    same(claim["status"]["reservedFor"][0]["uid"], pod["metadata"]["uid"])
    same(claim["metadata"]["finalizers"], [FINALIZER])
    other = allocator.create_pod(pods[1])
    refused(Unschedulable, lambda: allocator.schedule(other), "first-nic")
    allocator.release(pod)
    allocator.schedule(other)
    config = API.claim("default", "second-nic")["status"]["allocation"]["devices"]["config"]
    same((config[0]["source"], config[0]["requests"]), ("FromClass", ["nic"]))


def test_allocate_template_and_release():
    pods = load("deviceclass.yaml", "template.yaml")
    create(slice_of([{"name": "odd", "attributes": {}}, device("nic0")]))
    allocator = Allocator(API, "node-a")
    pod = allocator.create_pod(pods[0])
    allocator.schedule(pod)
    claim = API.objects("resourceclaims")[0]
    expect(claim["metadata"]["name"].startswith("pod-template-nic-"), claim["metadata"]["name"])
    same(claim["metadata"]["annotations"], {"resource.kubernetes.io/pod-claim-name": "nic"})
    same(claim["status"]["allocation"]["devices"]["results"][0]["device"], "nic0")
    allocator.release(pod)
    same(API.objects("resourceclaims"), [])


def test_allocate_pools_modes_and_constraints():
    load("deviceclass.yaml")
    allocator = Allocator(API, "node-a")

    def claim(*requests, **devices):
        return {"metadata": {"name": "c"}, "spec": {"devices": {"requests": list(requests),
                                                                **devices}}}

    def ask(name="r", **fields):
        return {"name": name, "exactly": {"deviceClassName": "dra.net", **fields}}

    def names(allocation):
        return [item["device"] for item in allocation["devices"]["results"]]
    create(slice_of([device("a", root="x"), device("b", root="y")], count=2))
    refused(Unschedulable, lambda: allocator.allocate(claim(ask())), "0 devices published")
    create(slice_of([device("c", root="y")], count=2))
    same(names(allocator.allocate(claim(ask(count=2)))), ["a", "b"])
    same(names(allocator.allocate(claim(ask(allocationMode="All")))), ["a", "b", "c"])
    same(names(allocator.allocate(claim(ask("q"), ask("r"), constraints=[
        {"matchAttribute": "dra.net/root"}]))), ["b", "c"])
    first = {"name": "f", "firstAvailable": [
        {"name": "no", "deviceClassName": "dra.net", "count": 4},
        {"name": "yes", "deviceClassName": "dra.net"}]}
    allocation = allocator.allocate(claim(first))
    same(allocation["devices"]["results"][0]["request"], "f/yes")
    create(slice_of([device("d")], generation=2))
    same(names(allocator.allocate(claim(ask()))), ["d"], "the highest generation alone counts")
