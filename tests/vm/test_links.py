#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kinds of links that the kernel of a build machine cannot make, given to a pod of the real containerd: what the claim wants is read in
the pod, the other end answers where there is one, and the host's link comes home as it was. And bonds: what may not be given away."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))

from cluster_cases import expect, same  # noqa: E402
from cluster_net import FABRIC  # noqa: E402
from kubelet import PodFailed  # noqa: E402
from knobs_node import LANE, came_home, host, host_state, nic, running  # noqa: E402

ADDRESSES = ["203.0.113.2/24", "2001:db8:7::2/64"]
PEERS = ["203.0.113.1", "2001:db8:7::1"]
MAC = "02:11:22:33:44:55"


def wanted(mac=None, mtu=1400):
    interface = {"name": "eth7", "mtu": mtu, "addresses": ADDRESSES}
    return {"interface": {**interface, "hardwareAddr": mac} if mac else interface}


def shows(pod, kind, mac=None, mtu=1400):
    link = pod.link("eth7")
    same(link["linkinfo"]["info_kind"], kind)
    same(link["mtu"], mtu)
    same(mac or link["address"], link["address"])
    expect("UP" in link["flags"], link["flags"])
    same(sorted(f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["scope"] == "global"), sorted(ADDRESSES))
    return link["linkinfo"].get("info_data", {})


def answer(pod, peers):
    for peer in peers:
        LANE.cluster.ping(pod.pod, peer)


@contextlib.contextmanager
def cable(peer=""):
    """low0, a veth of the host: links stand on it. Its other end in the fabric has the peers' addresses, on a VLAN if that is named."""
    with nic("low0"):
        end = "low0p"
        if peer:
            host("ip", "-n", FABRIC, "link", "add", "link", end, "name", "peer7", *peer.split())
            end = "peer7"
            host("ip", "-n", FABRIC, "link", "set", end, "up")
        for address in PEERS:
            host("ip", "-n", FABRIC, "addr", "add", address + ("/64" if ":" in address else "/24"), "dev", end, "nodad")
        yield


@contextlib.contextmanager
def made(name, *commands):
    """A link by ip(8), with addresses of the host's own on it."""
    commands = [*commands, f"ip link set {name} up", f"ip addr add 198.18.7.2/24 dev {name}", f"ip addr add 2001:db8:b::2/64 dev {name} nodad",
                f"ip route add 198.51.100.0/24 via 198.18.7.1 dev {name}"]
    with nic(name, make=False, prepare=commands):
        yield name


def test_dummy():
    with made("dum0", "ip link add dum0 mtu 1300 type dummy"), running("links", "dum0", wanted(MAC)) as pod:
        shows(pod, "dummy", MAC)


def test_vlan():
    with cable("type vlan id 7"), made("vlan7", "ip link add link low0 name vlan7 type vlan id 7"):
        with running("links", "vlan7", wanted(MAC)) as pod:
            same(shows(pod, "vlan", MAC)["id"], 7)
            answer(pod, PEERS)


def test_vlan_on_a_dummy():
    with nic("dum0", kind="dummy"), made("vlan9", "ip link add link dum0 name vlan9 type vlan id 9 reorder_hdr off"):
        with running("links", "vlan9", wanted()) as pod:
            same(shows(pod, "vlan")["id"], 9)


def test_ipvlan():
    with cable(), made("ipv0", "ip link add link low0 name ipv0 type ipvlan mode l2"):
        with running("links", "ipv0", wanted()) as pod:
            same(shows(pod, "ipvlan")["mode"], "l2")
            answer(pod, PEERS)


def test_ipvlan_has_its_lowers_mac():
    """The kernel does not let it have another: the pod does not start, and the link is at home as it was."""
    cluster = LANE.cluster
    with cable(), made("ipv0", "ip link add link low0 name ipv0 type ipvlan mode l2"):
        was = host_state("ipv0")
        cluster.claim_for("links", "ipv0", wanted(MAC))
        try:
            cluster.kubelet.run_pod(cluster.pod_manifest("links-pod", "links"), deadline=3)
            raise AssertionError("the pod runs")
        except PodFailed as error:
            expect("hardwareAddr" in str(error), f"hardwareAddr is not in: {error}")
        finally:
            for pod in list(cluster.kubelet.pods.values()):
                cluster.kubelet.stop_pod(pod)
            cluster.delete("resourceclaims", "links")
        came_home("ipv0", was)


def test_macvlan():
    with cable(), made("mac0", "ip link add link low0 name mac0 type macvlan mode bridge"):
        with running("links", "mac0", wanted(MAC)) as pod:
            same(shows(pod, "macvlan", MAC)["mode"], "bridge")
            answer(pod, PEERS)


def test_vlan_on_the_uplink():
    """The uplink itself is never offered; a VLAN that stands on it takes nothing of it away."""
    cluster = LANE.cluster
    with cable("type vlan id 7"):
        host("ip", "route", "add", "default", "via", "198.18.0.1", "dev", "low0")
        cluster.wait(lambda: "low0" not in cluster.published(), 10, "the uplink to be withdrawn")
        with made("vlan7", "ip link add link low0 name vlan7 type vlan id 7"):
            with running("links", "vlan7", wanted(MAC)) as pod:
                answer(pod, PEERS)
                expect("low0" not in cluster.published(), "the uplink is offered")
                expect("dev low0" in host("ip", "route", "show", "default"), "the default route is gone")
        host("ip", "route", "del", "default")
        cluster.wait_published("low0")


@contextlib.contextmanager
def bond():
    """bond7, an active-backup of two veths with a peer each."""
    cluster = LANE.cluster
    with nic("leg0", addresses=(), fabric=()), nic("leg1", addresses=(), fabric=()):
        host("ip", "link", "add", "bond7", "type", "bond", "mode", "active-backup", "miimon", "50")
        try:
            for leg in ("leg0", "leg1"):
                host("ip", "link", "set", leg, "down")
                host("ip", "link", "set", leg, "master", "bond7")
            host("ip", "link", "set", "bond7", "up")
            host("ip", "addr", "add", "198.18.9.2/24", "dev", "bond7")
            cluster.wait_published("leg0", "leg1")
            yield
        finally:
            host("ip", "link", "del", "bond7")


def test_a_bond_is_not_offered():
    """The kernel does not let it change its namespace."""
    with bond():
        with nic("dum0", kind="dummy"):  # what is published after the bond was made
            expect("bond7" not in LANE.cluster.published(), "a bond is offered")


def test_members_of_the_uplinks_bond_are_not_offered():
    cluster = LANE.cluster
    with bond():
        cluster.claim_for("links", "leg0", wanted())
        host("ip", "route", "add", "default", "via", "198.18.9.1", "dev", "bond7")
        cluster.wait(lambda: not {"leg0", "leg1", "bond7"} & set(cluster.published()), 10, "the members to be withdrawn")
        try:
            cluster.kubelet.run_pod(cluster.pod_manifest("links-pod", "links"), deadline=1.5)
            raise AssertionError("the pod has a member of the uplink")
        except PodFailed:
            pass
        finally:
            for pod in list(cluster.kubelet.pods.values()):
                cluster.kubelet.stop_pod(pod)
            cluster.delete("resourceclaims", "links")
        same([link["ifname"] for link in cluster.net.json("link", "show", "master", "bond7")], ["leg1", "leg0"][::-1])
        host("ip", "route", "del", "default")
        cluster.wait_published("leg0", "leg1")


def test_a_member_of_another_bond_comes_home_to_it():
    def member():
        link = LANE.cluster.net.json("link", "show", "dev", "leg0")[0]
        return {key: link.get(key) for key in ("master", "address")} | {"flags": sorted(set(link["flags"]) - {"LOWER_UP", "NO-CARRIER"})}

    with bond():
        was = member()
        same(was["master"], "bond7")
        with running("links", "leg0", wanted()) as pod:
            expect("master" not in pod.link("eth7"), "no member in the pod")
        same(member(), was)


if __name__ == "__main__":
    LANE.run(globals(), "vm/test_links")
