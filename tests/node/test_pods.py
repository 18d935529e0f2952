#!/usr/bin/python3
"""NICs of real pods: four kinds at once, two claims, a template, and one NIC fifty times over."""

import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER  # noqa: E402
from cluster_cases import Lane, expect, refused, same  # noqa: E402
from kubelet import PodFailed  # noqa: E402

# As the pod of a DaemonSet: the token of its service account, with the rights of its manifest.
LANE = Lane(seed=2, credentials="token-file")
PODS = int(os.environ.get("PODS", "50"))


def nics(*names, **options):
    """Veths with a peer each, with an address of the host's own; host dumps by name."""
    cluster, dumps = LANE.cluster, {}
    for i, name in enumerate(names):
        cluster.net.add_nic(name, addresses=[f"198.18.{i}.2/24", f"2001:db8:a{i}::2/64"],
                            **options)
    cluster.wait_published(*names)
    for name in names:
        dumps[name] = cluster.net.host_dump(name)
    return dumps


def gone(*names):
    """NICs removed, and their devices from the slices."""
    cluster = LANE.cluster
    for name in names:
        cluster.net.remove_nic(name)
    cluster.wait(lambda: not set(names) & set(cluster.published()), 10,
                 f"{names} to leave the slices")


def test_four_nics_of_three_kinds_in_one_pod():
    cluster = LANE.cluster
    cluster.net.add_nic("nic0", fabric=["192.0.2.1/24"], addresses=["192.0.2.99/24"], mtu=1480)
    cluster.net.add_nic("nic1", fabric=["198.51.100.1/24", "2001:db8:2::1/64"])
    cluster.net.add_nic("lower0", fabric=["198.18.4.1/24"])
    cluster.net.add_nic("ifbn0", "ifb", mac="02:00:00:00:0b:01")
    cluster.net.add_nic("mvl0", "macvlan", lower="lower0")
    names = ("nic0", "nic1", "ifbn0", "mvl0")
    cluster.wait_published(*names)
    before = {name: cluster.net.host_dump(name) for name in names}
    pod = cluster.run_manifest("multinic.yaml")
    cluster.check_in_pod(pod, "eth1", ["192.0.2.11/24"], mtu=1480, mac=before["nic0"]["address"])
    cluster.check_in_pod(pod, "eth2", ["198.51.100.12/24", "2001:db8:2::12/64"], mtu=1400)
    cluster.check_in_pod(pod, "eth3", ["203.0.113.13/24"], mac="02:00:00:00:0b:01")
    cluster.check_in_pod(pod, "eth4", ["198.18.4.44/24"])
    for name in names:
        expect(not cluster.net.exists(name), f"{name} is still on the host")
    for address in ("192.0.2.1", "198.51.100.1", "198.18.4.1"):
        cluster.ping(pod, address)
    cluster.check_status("four-nics", "eth1", ["192.0.2.11/24"], before["nic0"]["address"])
    cluster.check_status("four-nics", "eth2", ["198.51.100.12/24", "2001:db8:2::12/64"])
    cluster.check_status("four-nics", "eth3", ["203.0.113.13/24"], "02:00:00:00:0b:01")
    cluster.check_status("four-nics", "eth4", ["198.18.4.44/24"])
    expect(set(names) <= set(cluster.published()), "an attached device stays published")
    cluster.kubelet.stop_pod(pod)
    for name in names:
        cluster.check_home(name, before[name])
    same(cluster.device_status("four-nics"), {})
    cluster.delete("resourceclaims", "four-nics")
    gone("mvl0", "nic0", "nic1", "lower0", "ifbn0")


def test_two_claims_in_one_pod():
    cluster = LANE.cluster
    before = nics("nic0", "nic1")
    pod = cluster.run_manifest("two-claims.yaml")
    same(sorted(pod.containers), ["bystander", "ctr1"])
    cluster.check_in_pod(pod, "eth1", ["192.0.2.21/24"])
    # The second claim has the class's configuration alone: an MTU, and what the host had.
    cluster.check_in_pod(pod, "nic1", ["198.18.1.2/24", "2001:db8:a1::2/64"], mtu=1400)
    cluster.check_status("first-nic", "eth1", ["192.0.2.21/24"])
    cluster.kubelet.stop_pod(pod, remove_first=True)
    for name, dump in before.items():
        cluster.check_home(name, dump)
    for claim in ("first-nic", "second-nic"):
        cluster.delete("resourceclaims", claim)
    gone("nic0", "nic1")


def metadata(pod, container, where):
    """What a container reads of its devices there, the newest version first."""
    path = f"/var/run/kubernetes.io/dra-device-attributes/{where}/{DRIVER}-metadata.json"
    status, text, _ = LANE.cluster.kubelet.exec(pod, ["cat", path], container)
    return [json.loads(line) for line in text.splitlines()] if status == 0 else None


def test_device_metadata():
    """Of the claims that a container lists, and gone with the pod."""
    cluster = LANE.cluster
    nics("nic0", "nic1")
    pod = cluster.run_manifest("two-claims.yaml")
    newest, older = metadata(pod, "ctr1", "resourceclaims/first-nic/nic")
    same([newest["apiVersion"], older["apiVersion"]], ["metadata.resource.k8s.io/v1beta1", "metadata.resource.k8s.io/v1alpha1"])
    device, = newest["requests"][0]["devices"]
    same(device["networkData"]["interfaceName"], "eth1")
    same(device["networkData"]["ips"], ["192.0.2.21/24"])
    same(device["attributes"]["dra.net/ifName"], {"string": "nic0"})
    expect(metadata(pod, "ctr1", "resourceclaims/second-nic/nic"), "the second claim's file is not there")
    same(metadata(pod, "bystander", "resourceclaims/first-nic/nic"), None)
    cluster.kubelet.stop_pod(pod)
    same(cluster.corner.run(["ls", "/run/dranetd/metadata"]).stdout.split(), [])
    for claim in ("first-nic", "second-nic"):
        cluster.delete("resourceclaims", claim)
    gone("nic0", "nic1")


def test_claim_template():
    cluster = LANE.cluster
    before = nics("nic0")
    pod = cluster.run_manifest("template.yaml")
    claim = pod.names["nic"]
    expect(claim.startswith("pod-template-nic-"), claim)
    cluster.check_in_pod(pod, "nic0", ["198.18.0.2/24", "2001:db8:a0::2/64"])
    cluster.wait(lambda: cluster.device_status(claim), 10, "the claim's status")
    same(metadata(pod, "ctr1", "resourceclaimtemplates/nic/req-nic")[0]["podClaimName"], "nic")
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before["nic0"])
    same([item["metadata"]["name"] for item in cluster.api.objects("resourceclaims")], [])
    cluster.delete("resourceclaimtemplates", "nic-template")
    gone("nic0")


def test_fifty_pods_one_after_another():
    cluster = LANE.cluster
    before = nics("nic0", fabric=["192.0.2.1/24"], mtu=1490, mac="02:00:00:00:aa:01")
    want = {"name": "net1", "addresses": ["192.0.2.50/24", "2001:db8:50::50/64"], "mtu": 1420,
            "hardwareAddr": "02:00:00:00:bb:01"}
    cluster.claim_for("again", "nic0", {"interface": want})
    for number in range(PODS):
        pod = cluster.kubelet.run_pod(cluster.pod_manifest(f"again-{number}", "again"))
        cluster.check_in_pod(pod, "net1", want["addresses"], mtu=1420, mac="02:00:00:00:bb:01")
        if number % 10 == 0:
            cluster.ping(pod, "192.0.2.1")
        cluster.check_status("again", "net1", want["addresses"], "02:00:00:00:bb:01")
        cluster.kubelet.stop_pod(pod)
        cluster.check_home("nic0", before["nic0"])
    cluster.delete("resourceclaims", "again")
    gone("nic0")


def test_sandbox_made_again_without_prepare():
    cluster = LANE.cluster
    before = nics("nic0")
    cluster.claim_for("resurrected", "nic0", {"interface": {"name": "net1",
                                                            "addresses": ["192.0.2.60/24"]}})
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("resurrected", "resurrected"))
    cluster.kubelet.recreate_sandbox(pod)
    cluster.check_in_pod(pod, "net1", ["192.0.2.60/24"])
    same(len(pod.timing["prepare"]), 2, "the stand-in asked, the claim was prepared already")
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before["nic0"])
    cluster.delete("resourceclaims", "resurrected")
    gone("nic0")


def test_second_pod_of_a_claim_is_refused():
    """The kubelet prepares a shared claim once; only the hook can keep the second pod out."""
    cluster = LANE.cluster
    before = nics("nic0")["nic0"]
    cluster.claim_for("shared", "nic0", {"interface": {"name": "net1"}})
    first = cluster.kubelet.run_pod(cluster.pod_manifest("first", "shared"))
    cluster.check_in_pod(first, "net1")
    second = cluster.kubelet.create_pod(cluster.pod_manifest("second", "shared"))
    refused(PodFailed, lambda: cluster.kubelet.run_pod(second, deadline=1), "a claim serves one pod only")
    same(second.containers, {}, "a container of the second pod runs without the NIC")
    cluster.kubelet.stop_pod(second)
    cluster.check_in_pod(first, "net1")
    cluster.kubelet.stop_pod(first)
    cluster.check_home("nic0", before)
    cluster.delete("resourceclaims", "shared")
    gone("nic0")


def test_pod_without_claim_is_left_alone():
    cluster = LANE.cluster
    since = time.monotonic()
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("plain"))
    same(sorted(cluster.pod_links(pod)), ["eth0", "lo"])
    cluster.kubelet.stop_pod(pod)
    asked = cluster.api.requests(user=cluster.api.DRIVER, resource="resourceclaims", since=since)
    same(asked, [], f"{DRIVER} asked for claims of a pod that has none")


if __name__ == "__main__":
    LANE.run(globals(), "node-pods")
