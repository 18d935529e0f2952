#!/usr/bin/python3
"""dranetd against an API server that is away, slow, forgetful or full of objections."""

import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from apiserver_kinds import ARBITRARY_NODE  # noqa: E402
from cluster import DRIVER, Cluster  # noqa: E402
from cluster_cases import Lane, expect, same  # noqa: E402

LANE = Lane(seed=6)
USER = "dranetd"
WRITES = ("create", "update", "patch", "delete", "deletecollection")


def writes(since, resource=None):
    return [item for item in LANE.cluster.api.requests(USER, resource=resource, since=since)
            if item.verb in WRITES]


def quiet(seconds=1.0, deadline=20):
    """Wait until dranetd has asked nothing for `seconds`; the time it fell silent."""
    api, start = LANE.cluster.api, time.monotonic()
    while time.monotonic() - start < deadline:
        last = max([item.time for item in api.requests(USER)], default=start)
        if time.monotonic() - max(last, start) >= seconds:
            return time.monotonic()
        time.sleep(0.05)
    raise AssertionError(f"dranetd does not fall silent: {api.requests(USER)[-5:]}")


def one_pool():
    """This driver's slices make one complete pool; its slice specs."""
    specs = [item["spec"] for item in LANE.cluster.api.slices(DRIVER)]
    if not specs or {spec["pool"]["resourceSliceCount"] for spec in specs} != {len(specs)}:
        return None
    if len({(spec["pool"]["name"], spec["pool"]["generation"]) for spec in specs}) != 1:
        return None
    names = [device["name"] for spec in specs for device in spec.get("devices", [])]
    return specs if len(set(names)) == len(names) else None


def test_slice_form():
    cluster = LANE.cluster
    cluster.net.add_nic("nic0")
    cluster.wait_published("nic0")
    item = cluster.api.slices(DRIVER)[0]
    owner = item["metadata"]["ownerReferences"][0]
    same((owner["kind"], owner["name"], owner["controller"]), ("Node", cluster.node, True))
    same((item["spec"]["nodeName"], item["spec"]["pool"]["name"]), (cluster.node, cluster.node))
    expect(f"-{DRIVER}-{cluster.node}-" in item["metadata"]["name"], item["metadata"]["name"])
    device = cluster.published()["nic0"]
    kinds = {name.rpartition("/")[2]: next(iter(value))
             for name, value in device["attributes"].items()}
    wanted = {"ifName": "string", "mac": "string", "mtu": "int", "encapsulation": "string",
              "state": "string", "type": "string", "virtual": "bool", "rdma": "bool",
              "sriov": "bool", "ebpf": "bool"}
    same({name: kinds.get(name) for name in wanted}, wanted)


def test_nothing_is_written_when_nothing_changed():
    quiet(2.5)  # a new link's operstate is "up" only a second after it is
    since = time.monotonic()
    LANE.cluster.api.send_bookmarks()
    LANE.cluster.api.end_watches()
    quiet(2.0)
    same(writes(since), [])
    expect(LANE.cluster.api.watches() <= 2, "more than two watches")


def test_one_change_writes_one_slice():
    cluster = LANE.cluster
    quiet()
    since = time.monotonic()
    cluster.net.ip("link", "set", "nic0", "mtu", "1333")
    cluster.wait(lambda: [1 for value in cluster.published()["nic0"]["attributes"].values()
                          if value == {"int": 1333}], 10, "the new MTU to be published")
    quiet()
    same([(item.verb, item.resource) for item in writes(since, "resourceslices")],
         [("update", "resourceslices")])


def test_wiped_slices_come_back():
    cluster = LANE.cluster
    cluster.kubelet.restart()
    cluster.wait_published("nic0")
    for item in cluster.api.slices(DRIVER):
        cluster.api.call("DELETE", cluster.api.path("resourceslices", None,
                                                    item["metadata"]["name"]))
    cluster.wait_published("nic0")
    expect(one_pool(), "no complete pool")
    cluster.kubelet.wait_registered(DRIVER)


def test_foreign_change_is_undone():
    cluster = LANE.cluster
    item = cluster.api.slices(DRIVER)[0]
    item["spec"]["devices"] = []
    cluster.api.call("PUT", cluster.api.path("resourceslices", None, item["metadata"]["name"]),
                     item)
    cluster.wait_published("nic0", deadline=40)


def test_many_devices_are_split():
    cluster = LANE.cluster
    names = [f"many{i}" for i in range(150)]
    for name in names:
        cluster.net.ip("link", "add", name, "type", "ifb")
    cluster.wait_published(*names, deadline=30)
    specs = cluster.wait(one_pool, 20, "one complete pool")
    expect(len(specs) >= 3 and max(len(spec["devices"]) for spec in specs) <= 64,
           [len(spec["devices"]) for spec in specs])
    for name in names:
        cluster.net.ip("link", "del", name)
    cluster.wait(lambda: not set(names) & set(cluster.published()) and one_pool(), 30,
                 "the devices to leave")


def test_every_refusal_is_survived():
    cluster = LANE.cluster
    for i, arguments in enumerate((
            {"action": "status", "code": 429, "retry_after": 1, "n": 3},
            {"action": "status", "code": 503, "n": 3}, {"action": "status", "code": 500, "n": 3},
            {"action": "drop", "n": 3}, {"action": "drop_after", "n": 2},
            {"action": "status", "code": 409, "verb": "update", "n": 2},
            {"action": "delay", "seconds": 1, "n": 2})):
        cluster.api.inject(**arguments, user=USER)
        cluster.net.ip("link", "set", "nic0", "mtu", str(1340 + i))
        cluster.wait(lambda i=i: {"int": 1340 + i} in list(
            cluster.published().get("nic0", {"attributes": {}})["attributes"].values()), 60,
                     f"the change to be published in spite of {arguments}")
        cluster.api.clear_faults()
    expect(one_pool(), "no complete pool")


def test_watches_that_end_badly():
    cluster = LANE.cluster
    for harm in (cluster.api.expire_watches, cluster.api.drop_watches,
                 cluster.api.fail_watches, cluster.api.compact,
                 cluster.api.drop_connections, cluster.api.goaway):
        harm()
        for item in cluster.api.slices(DRIVER):
            cluster.api.call("DELETE", cluster.api.path("resourceslices", None,
                                                        item["metadata"]["name"]))
        cluster.wait_published("nic0", deadline=60)
        expect(cluster.process.poll() is None, f"dranetd ended after {harm.__name__}")


def test_status_is_true_in_the_end():
    cluster = LANE.cluster
    cluster.claim_for("patient", "nic0", {"interface": {"name": "net1",
                                                        "addresses": ["192.0.2.80/24"]}})
    cluster.api.inject("status", code=403, resource="resourceclaims/status", user=USER, n=2)
    cluster.api.inject("drop_after", resource="resourceclaims/status", user=USER, n=1)
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("patient", "patient"))
    cluster.check_status("patient", "net1", ["192.0.2.80/24"], deadline=60)
    cluster.kubelet.stop_pod(pod)
    cluster.delete("resourceclaims", "patient")


def test_a_right_that_is_given_late():
    """Without the right to our entries the API server answers Invalid, not Forbidden."""
    cluster = LANE.cluster
    user = cluster.api.users[USER]
    cluster.net.add_nic("late0")
    cluster.wait_published("late0")
    cluster.claim_for("rights", "late0", {"interface": {"name": "net1",
                                                        "addresses": ["192.0.2.82/24"]}})
    user.rules -= ARBITRARY_NODE
    try:
        pod = cluster.kubelet.run_pod(cluster.pod_manifest("rights", "rights"))
        cluster.api.wait(lambda: [item for item in cluster.api.requests(
            USER, "patch", "resourceclaims/status") if item.code == 422], 20, "a refused status")
        cluster.api.wait(lambda: "resourceclaims/driver" in cluster.dranetd_log(), 10,
                         "the missing right in the log")
    finally:
        user.rules |= ARBITRARY_NODE
    cluster.check_status("rights", "net1", ["192.0.2.82/24"], deadline=60)
    cluster.kubelet.stop_pod(pod)
    cluster.delete("resourceclaims", "rights")


def test_pods_start_and_stop_while_the_api_server_is_away():
    cluster = LANE.cluster
    before = cluster.net.host_dump("nic0")
    cluster.claim_for("away", "nic0", {"interface": {"name": "net1",
                                                     "addresses": ["192.0.2.81/24"]}})
    pod = cluster.kubelet.create_pod(cluster.pod_manifest("away", "away"))
    cluster.kubelet.allocator.schedule(pod.obj)
    cluster.kubelet.claims.prepare(pod.obj, pod.names)
    cluster.api.down()
    try:
        cluster.kubelet.sync_pod(pod)
        cluster.check_in_pod(pod, "net1", ["192.0.2.81/24"])
    finally:
        cluster.api.up()
    cluster.check_status("away", "net1", ["192.0.2.81/24"], deadline=60)
    cluster.api.down()
    try:
        cluster.kubelet.kill_pod(pod)
        cluster.kubelet.claims.unprepare(pod.obj, pod.names)
        cluster.check_home("nic0", before)
    finally:
        cluster.api.up()
    cluster.kubelet.stop_pod(pod)
    cluster.delete("resourceclaims", "away")


def test_virtual_functions_do_not_wait_for_the_api_server():
    cluster, settings = LANE.cluster, "/etc/dranetd/sriov.d"
    cluster.corner.write(f"{settings}/absent.conf", "absent0 4\n")
    cluster.stop_dranetd()
    before = len(cluster.dranetd_log())
    cluster.api.down()
    try:
        cluster.restart_dranetd()
        cluster.wait(lambda: "there is no PF absent0 yet" in cluster.dranetd_log()[before:], 20,
                     "a look at what the SR-IOV configuration names")
    finally:
        cluster.api.up()
        cluster.corner.remove(f"{settings}/absent.conf")


def test_other_credentials_and_servers():
    for options in ({"credentials": "token"}, {"credentials": "token-file"},
                    {"api_options": {"versions": ("v1beta2", "v1beta1"), "json_404": True}},
                    {"api_options": {"versions": ("v1beta1",), "watch_list": False,
                                     "granular_status": False}},
                    {"api_options": {"split_watch": True, "watch_life": (0.2, 1.0),
                                     "bookmark_seconds": 0.1, "gone_style": "http"}}):
        with Cluster(seed=8, **options) as cluster:
            cluster.net.add_nic("nic7")
            cluster.start_dranetd()
            cluster.wait_published("nic7", deadline=20)
            cluster.claim_for("c", "nic7", {"interface": {"name": "net7",
                                                          "addresses": ["192.0.2.87/24"]}})
            pod = cluster.kubelet.run_pod(cluster.pod_manifest("p", "c"))
            cluster.check_in_pod(pod, "net7", ["192.0.2.87/24"])
            cluster.check_status("c", "net7", ["192.0.2.87/24"])
            cluster.kubelet.stop_pod(pod)
            if options.get("credentials") == "token-file":
                cluster.api.rotate_token()
                cluster.api.kubeconfig("token-file")
                cluster.net.add_nic("nic8")
                cluster.wait_published("nic8", deadline=90)
            same(cluster.api.complaints, [])


def test_the_api_server_has_no_complaints():
    same(LANE.cluster.api.complaints, [])


if __name__ == "__main__":
    LANE.run(globals(), "node-api")
