#!/usr/bin/python3
"""A NIC that is pulled out while a pod has it: said aloud, taken out of the slices, and what comes
in its place under its name is another device."""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER  # noqa: E402
from cluster_cases import Lane, expect, same  # noqa: E402

LANE = Lane(seed=7)


def pod_with_nic(name, nic, net):
    cluster = LANE.cluster
    cluster.net.add_nic(nic, fabric=[f"192.0.{net}.1/24"], addresses=[f"192.0.{net}.99/24"])
    cluster.wait_published(nic)
    cluster.claim_for(name, nic, {"interface": {"name": "net1",
                                                "addresses": [f"192.0.{net}.70/24"]}})
    pod = cluster.kubelet.run_pod(cluster.pod_manifest(name, name))
    cluster.check_status(name, "net1", [f"192.0.{net}.70/24"])
    return cluster, pod


def ip_in_pod(cluster, pod, *words):
    cluster.net.ip("-n", os.path.basename(cluster.cri.sandbox_netns(pod.sandbox)), *words)


def ready(cluster, claim):
    """What the claim's status says of its one device: True or False, and the message."""
    for entry in cluster.device_status(claim).values():
        for item in entry.get("conditions", ()):
            if item["type"] == "Ready":
                return item["status"] == "True", item.get("message", "")
    return None, ""


def health(cluster, claim):
    """What the kubelet writes of the claim's device into the pod's status."""
    device = next(iter(cluster.device_status(claim)))
    return cluster.kubelet.plugins.health.of(DRIVER, cluster.node, device)


def test_deleted_inside_the_pod():
    cluster, pod = pod_with_nic("pulled", "nic0", 2)
    same(health(cluster, "pulled"), "Healthy")
    ip_in_pod(cluster, pod, "link", "del", "net1")
    cluster.wait(lambda: ready(cluster, "pulled")[0] is False, 10,
                 "the claim's status to say that the device is gone")
    text = ready(cluster, "pulled")[1]
    expect("does not exist any more" in text, f"the status does not say why: {text}")
    cluster.wait(lambda: "nic0" not in cluster.published(), 10, "the device to leave the slices")
    # The pod's status shows it: a device that is merely left out of the list would stay healthy.
    cluster.wait(lambda: health(cluster, "pulled") == "Unhealthy", 10, "the kubelet to hear of it")
    # Another one under the same name is offered to nobody while the claim holds the name, and is
    # not pushed into the pod.
    cluster.net.nics.pop("nic0", None)
    cluster.net.add_nic("nic0", fabric=["192.0.2.1/24"], addresses=["192.0.2.99/24"])
    before = cluster.net.host_dump("nic0")
    cluster.kubelet.stop_pod(pod)
    same(cluster.net.host_dump("nic0"), before, "the new device was touched")
    cluster.wait_published("nic0")


def test_another_link_of_the_pod_deleted():
    cluster, pod = pod_with_nic("other", "nic1", 3)
    before = len(cluster.dranetd_log())
    ip_in_pod(cluster, pod, "link", "add", "own0", "type", "ifb")
    ip_in_pod(cluster, pod, "link", "del", "own0")
    cluster.check_in_pod(pod, "net1", ["192.0.3.70/24"])
    same(ready(cluster, "other")[0], True)
    expect("nic1:" not in cluster.dranetd_log()[before:], "a transition of a device that stayed")
    cluster.kubelet.stop_pod(pod)


def test_renamed_inside_the_pod():
    """Not gone: whatever it is called, it comes home."""
    cluster, pod = pod_with_nic("renamed", "nic2", 4)
    before = cluster.net.nics
    ip_in_pod(cluster, pod, "link", "set", "net1", "down")
    ip_in_pod(cluster, pod, "link", "set", "net1", "name", "mine")
    ip_in_pod(cluster, pod, "link", "set", "mine", "up")
    cluster.kubelet.stop_pod(pod)
    cluster.wait_published("nic2")
    expect(cluster.net.exists("nic2"), f"nic2 is not back on the host: {before}")


def test_the_page_of_all_devices():
    """/debug/state has each, and why it is not offered; also one whose name is no UTF-8."""
    cluster = LANE.cluster

    def page():
        text = cluster.corner.run(["curl", "-s", "http://127.0.0.1:9177/debug/state"]).stdout
        return {device["ifName"]: device for device in json.loads(text)["devices"]}
    cluster.net.add_nic("odd", kind="ifb", up=False)
    cluster.net.ip("link", "set", "odd", "name", os.fsdecode(b"odd\xff"))
    cluster.wait(lambda: "odd?" in page(), 10, "the device")
    expect(page()["odd?"]["offered"], page())
    same(page()["lo"]["notOffered"], "loopback")
    cluster.net.ip("link", "del", os.fsdecode(b"odd\xff"))
    cluster.net.nics.pop("odd")


if __name__ == "__main__":
    LANE.run(globals(), "node-unplug")
