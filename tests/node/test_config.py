#!/usr/bin/python3
"""Invalid configurations fail Prepare with the field and the value, and change nothing."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER  # noqa: E402
from cluster_cases import Lane, expect, refused, same  # noqa: E402
from kubelet import PodFailed  # noqa: E402

LANE = Lane(seed=5)
EVENT = ("FailedPrepareDynamicResources: Failed to prepare dynamic resources:"
         " prepare dynamic resources: NodePrepareResources failed for ResourceClaim ")

# (what, opaque parameters, parts that the event's text must contain)
INVALID = (
    ("bad-cidr", {"interface": {"addresses": ["10.0.0/24"]}},
     ("interface.addresses[0]", "10.0.0/24")),
    ("bare-address", {"interface": {"addresses": ["10.0.0.1/24", "10.0.0.2"]}},
     ("interface.addresses[1]", "10.0.0.2")),
    ("long-name", {"interface": {"name": "a234567890123456"}},
     ("interface.name", "a234567890123456")),
    ("slash-name", {"interface": {"name": "eth/0"}}, ("interface.name", "eth/0")),
    ("mtu-zero", {"interface": {"mtu": 0}}, ("interface.mtu", "0")),
    ("mtu-text", {"interface": {"mtu": "big"}}, ("mtu",)),
    ("unknown-field", {"interface": {"name": "net1", "colour": "blue"}},
     ("unknown field", "interface.colour")),
    ("unknown-at-top", {"interfaces": {"name": "net1"}}, ("unknown field", "interfaces")),
    ("bad-mac", {"interface": {"hardwareAddr": "00:1A:2B"}},
     ("interface.hardwareAddr", "00:1A:2B")),
    ("dhcp-and-address", {"interface": {"dhcp": True, "addresses": ["10.0.0.1/24"]}},
     ("interface", "dhcp")),
    ("bad-gateway", {"routes": [{"destination": "10.1.0.0/16", "gateway": "fd00::1"}]},
     ("routes[0].gateway", "fd00::1")),
    ("bad-rule", {"rules": [{"priority": 40000, "source": "10.0.0.0/8", "table": 100}]},
     ("rules[0].priority", "40000")),
    ("bad-neighbour", {"neighbors": [{"destination": "10.0.0.9", "hardwareAddr": "xx"}]},
     ("neighbors[0].hardwareAddr", "xx")),
    ("misspelt", {"interface": {"adresses": ["10.0.0.1/24"]}},
     ("interface.adresses", 'did you mean', "addresses")),
    ("misplaced", {"mtu": 1500}, ("mtu: unknown field", "interface.mtu")),
    ("one-next-hop", {"routes": [{"destination": "10.1.0.0/16", "nextHops": [{"gateway": "10.0.0.1"}]}]},
     ("routes[0].nextHops", "fewer than 2")),
    ("bad-mark", {"rules": [{"fwmark": "16"}]}, ("rules[0].fwmark", "16")),
    ("no-ring", {"ethtool": {"rings": {"rx": 0}}}, ("ethtool.rings.rx", "0 is out of range")),
    ("vrf-and-rules", {"interface": {"vrf": {"name": "blue"}}, "rules": [{"priority": 1}]}, ("rules", "blue")),
    ("several", {"interface": {"name": "eth/0", "addresses": ["badip"], "mtu": 0}},
     ("interface.name", "interface.addresses[0]", "interface.mtu")),
)


def with_nic():
    """The cluster, and how its nic0 looks on the host."""
    cluster = LANE.cluster
    if not cluster.net.exists("nic0"):
        cluster.net.add_nic("nic0", addresses=["198.18.0.2/24"], mtu=1490)
    cluster.wait_published("nic0")
    return cluster, cluster.net.host_dump("nic0")


def test_invalid_configurations():
    cluster, before = with_nic()
    failed = []
    for what, parameters, parts in INVALID:
        cluster.claim_for(what, "nic0", parameters)
        pod = cluster.kubelet.create_pod(cluster.pod_manifest(f"pod-{what}", what))
        try:
            refused(PodFailed, lambda pod=pod: cluster.kubelet.run_pod(pod, deadline=0.05),
                    EVENT + what, *parts)
            same(cluster.net.host_dump("nic0"), before, "the host changed")
            expect(pod.sandbox is None, "a sandbox was made")
        except AssertionError as error:
            failed.append(f"{what}: {error}")
        finally:
            cluster.kubelet.stop_pod(pod)
            cluster.delete("resourceclaims", what)
    same(failed, [])
    expect("nic0" in cluster.published(), "no longer published")


def test_the_event_is_written_for_the_claim():
    cluster, _ = with_nic()
    cluster.claim_for("told", "nic0", {"interface": {"mtu": 1}})
    pod = cluster.kubelet.create_pod(cluster.pod_manifest("pod-told", "told"))
    refused(PodFailed, lambda: cluster.kubelet.run_pod(pod, deadline=0.05), EVENT)

    def found():
        return [item for item in cluster.api.objects("events")
                if item["involvedObject"]["name"] == "told"
                and item["reason"] == "ClaimPrepareFailed" and item["type"] == "Warning"]
    cluster.wait(found, 10, "an event for the claim")
    cluster.kubelet.stop_pod(pod)
    cluster.delete("resourceclaims", "told")


def test_a_valid_claim_works_afterwards():
    cluster, before = with_nic()
    cluster.claim_for("valid", "nic0", {"interface": {"name": "net1", "mtu": 1300}})
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("pod-valid", "valid"))
    cluster.check_in_pod(pod, "net1", mtu=1300)
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def claim_of_class(name, parameters, subrequests=False):
    """A claim for nic0 by the class "configured"; its configuration is for the request, by its own name."""
    device = {"deviceClassName": "configured", "selectors": [
        {"cel": {"expression": f'device.attributes["{DRIVER}"].ifName == "nic0"'}}]}
    never = {"deviceClassName": "configured", "selectors": [{"cel": {"expression": "false"}}]}
    request = {"firstAvailable": [{"name": "first", **never}, {"name": "second", **device}]} if subrequests else {"exactly": device}
    config = [{"requests": ["nic"], "opaque": {"driver": DRIVER, "parameters": one}} for one in parameters]
    LANE.cluster.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name},
                         "spec": {"devices": {"requests": [{"name": "nic", **request}], "config": config}}})


def test_class_under_claim():
    """Class, then the claim's entries in their order; what they make together has to be valid, too."""
    cluster, before = with_nic()
    cluster.create({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "configured"}, "spec": {
        "selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}],
        "config": [{"opaque": {"driver": DRIVER, "parameters": {
            "interface": {"name": "class", "mtu": 1300, "arpIgnore": 1, "addresses": ["198.18.1.1/24"]}}}}]}})
    for name, subrequests in (("merged", False), ("merged-sub", True)):
        claim_of_class(name, [{"interface": {"name": "one", "arpIgnore": 0}}, {"interface": {"name": "two"}}], subrequests)
        pod = cluster.kubelet.run_pod(cluster.pod_manifest(f"pod-{name}", name))
        cluster.check_in_pod(pod, "two", mtu=1300, want=["198.18.1.1/24"])
        cluster.kubelet.stop_pod(pod)
        cluster.check_home("nic0", before)
        cluster.delete("resourceclaims", name)
    claim_of_class("contrary", [{"interface": {"dhcp": True}}])
    pod = cluster.kubelet.create_pod(cluster.pod_manifest("pod-contrary", "contrary"))
    refused(PodFailed, lambda: cluster.kubelet.run_pod(pod, deadline=0.05), EVENT + "contrary",
            "class and claim configs together", "interface.dhcp")
    cluster.kubelet.stop_pod(pod)
    cluster.delete("resourceclaims", "contrary")
    same(cluster.net.host_dump("nic0"), before, "the host changed")


def test_claim_of_a_device_that_is_gone():
    cluster = LANE.cluster
    cluster.net.add_nic("fleeting")
    cluster.wait_published("fleeting")
    cluster.claim_for("late", "fleeting")
    pod = cluster.kubelet.create_pod(cluster.pod_manifest("pod-late", "late"))
    cluster.kubelet.allocator.schedule(pod.obj)
    cluster.net.remove_nic("fleeting")
    refused(PodFailed, lambda: cluster.kubelet.run_pod(pod, deadline=0.05), EVENT + "late",
            "fleeting")
    cluster.kubelet.stop_pod(pod)


if __name__ == "__main__":
    LANE.run(globals(), "node-config")
