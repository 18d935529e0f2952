#!/usr/bin/python3
"""Three pods in a row: the one in the middle routes, and the ends find each other by rules, or in a VRF."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER  # noqa: E402
from cluster_cases import Skip, expect  # noqa: E402
from knobs_node import LANE, came_home, host, host_state  # noqa: E402

# Each cable's two ends, and who gets them; ends of one network number 1 (the router) and 2.
CABLES = {"left": ("left2", "left1"), "right": ("right2", "right1")}
NETWORK = {"left": ("10.1.0.{}/24", "fd01::{}/64"), "right": ("10.2.0.{}/24", "fd02::{}/64")}


def claim(name, configs):
    """A claim for each NIC in `configs`, with its own configuration."""
    requests = [{"name": nic, "exactly": {"deviceClassName": DRIVER, "selectors": [
        {"cel": {"expression": f'device.attributes["{DRIVER}"].ifName == "{nic}"'}}]}} for nic in configs]
    entries = [{"requests": [nic], "opaque": {"driver": DRIVER, "parameters": parameters}}
               for nic, parameters in configs.items()]
    LANE.cluster.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name},
                         "spec": {"devices": {"requests": requests, "config": entries}}})


def pod(name, configs):
    claim(name, configs)
    return LANE.cluster.kubelet.run_pod(LANE.cluster.pod_manifest(name + "-pod", name))


def addresses(side, number):
    return [text.format(number) for text in NETWORK[side]]


def end(side, other, vrf):
    """The configuration of a pod at an end: how it reaches the other end's network."""
    gateways = [text.split("/")[0] for text in addresses(side, 1)]
    config = {"interface": {"name": "net1", "addresses": addresses(side, 2)}}
    if vrf:
        config["interface"]["vrf"] = {"name": "test-vrf"}
        config["routes"] = [{"destination": destination, "gateway": gateway}
                            for destination, gateway in zip(("0.0.0.0/0", "::/0"), gateways)]
        return config
    far = [text.format(0) for text in NETWORK[other]]
    config["routes"] = [{"destination": destination, "gateway": gateway, "table": 100}
                        for destination, gateway in zip(("0.0.0.0/0", "::/0"), gateways)]
    # As DRANET's example has them: who says his address is found by the first, who does not by the second.
    config["rules"] = [{key: prefix, "priority": 32000, "table": 100}
                       for key, prefixes in (("source", addresses(side, 2)), ("destination", far)) for prefix in prefixes]
    return config


def middle(side, forwarding, vrf):
    interface = {"name": "to-" + side, "addresses": addresses(side, 1), "forwarding": forwarding}
    if vrf:
        interface["vrf"] = {"name": "test-vrf"}  # the table follows from the name, the same for both NICs
    return {"interface": interface}


@contextlib.contextmanager
def row(forwarding=True, vrf=False):
    cluster = LANE.cluster
    # The CNI bridge turns it on with the first pod, for all links.
    host("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for far, near in CABLES.values():
        host("ip", "link", "add", far, "type", "veth", "peer", "name", near)
        host("ip", "link", "set", far, "up")
        host("ip", "link", "set", near, "up")
    names = [name for cable in CABLES.values() for name in cable]
    cluster.wait_published(*names)
    was = {name: host_state(name) for name in names}
    try:
        pod("router", {CABLES[side][1]: middle(side, forwarding, vrf) for side in CABLES})
        yield (pod("west", {"left2": end("left", "right", vrf)}), pod("east", {"right2": end("right", "left", vrf)}))
    finally:
        for one in list(cluster.kubelet.pods.values()):
            cluster.kubelet.stop_pod(one)
        for name in ("router", "west", "east"):
            cluster.delete("resourceclaims", name)
    for name in names:
        came_home(name, was[name])
    for far, _ in CABLES.values():
        host("ip", "link", "del", far)
    cluster.wait(lambda: not set(names) & set(cluster.published()), 10, "the cables to leave the slices")


def answers(one, address, source=None):
    """A rule for a source is asked only for packets that have it, so ping can say it."""
    status, _, _ = LANE.cluster.kubelet.exec(one, ["ping", "-c", "1", "-W", "1", *(["-I", source] if source else []), address])
    return status == 0


def far_ends(west, east):
    """(pod, own address, address of the other end), both ways and in both families."""
    for one, own, other in ((west, "left", "right"), (east, "right", "left")):
        for mine, theirs in zip(addresses(own, 2), addresses(other, 2)):
            yield one, mine.split("/")[0], theirs.split("/")[0]


def both_ways(west, east, source=None):
    for one, mine, theirs in far_ends(west, east):
        LANE.cluster.wait(lambda one=one, mine=mine, theirs=theirs: answers(one, theirs, source or mine), 15,
                          f"an answer from {theirs} to {mine}")


def test_policy_routing_through_a_pod():
    with row() as (west, east):
        both_ways(west, east)
        for one, _, theirs in far_ends(west, east):
            expect(answers(one, theirs), f"no answer from {theirs} by the rule for the destination")


def test_a_router_that_does_not_forward():
    with row(forwarding=False) as (west, east):
        LANE.cluster.wait(lambda: answers(west, "10.1.0.1", "10.1.0.2"), 10, "the router itself to answer")
        LANE.cluster.wait(lambda: answers(east, "fd02::1", "fd02::2"), 10, "the router itself to answer")
        for one, mine, theirs in far_ends(west, east):
            expect(not answers(one, theirs, mine), f"{theirs} answers through a router that must not forward")


def test_vrfs_through_a_pod():
    if LANE.cluster.corner.run(["ip", "link", "add", "vrfx", "type", "vrf", "table", "9"], check=False).returncode:
        raise Skip("this kernel has no VRF; the emulated machine has it")
    host("ip", "link", "del", "vrfx")
    with row(vrf=True) as (west, east):
        both_ways(west, east, "net1")


if __name__ == "__main__":
    LANE.run(globals(), "node/knobs_routing")
