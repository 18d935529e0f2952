#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kinds of links that the kernel of a build machine cannot make, given to a pod of the real containerd: what the claims want is read in
the pod, the other end answers where there is one, and the host's links come home as they were. And bonds: what may not be given away.

A pod's start takes seconds in the emulated machine, so one pod gets all kinds."""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))

from cluster_cases import Lane, expect, same  # noqa: E402
from cluster_net import FABRIC  # noqa: E402
from guest import modprobe  # noqa: E402
from kubelet import PodFailed  # noqa: E402

LANE = Lane(seed=4)
MTU = 1400


def ip(*lines, netns=None):
    """Each line is one command of ip(8); one process for all of them, for a process takes long here."""
    where = f"-n {netns}" if netns else ""
    LANE.cluster.corner.run(["sh", "-c", f'printf "$0" | ip {where} -batch -', "".join(line + "\\n" for line in lines)])


class Kind:
    """A link and what a claim wants of it. `network` is the third number of its addresses; `peer` says that the fabric has the second."""

    def __init__(self, name, network, kind, make, mac=None, peer=None, **data):
        self.name, self.network, self.kind, self.make = name, network, kind, make
        self.mac, self.peer, self.data = mac, peer, data

    def addresses(self, last):
        return [f"203.0.{self.network}.{last}/24", f"2001:db8:{self.network}::{last}/64"]

    def parameters(self):
        interface = {"name": f"eth{self.network}", "mtu": MTU, "addresses": self.addresses(2)}
        return {"interface": {**interface, "hardwareAddr": self.mac} if self.mac else interface}

    def shows(self, links):
        link = links[f"eth{self.network}"]
        same(link["linkinfo"]["info_kind"], self.kind)
        same(link["mtu"], MTU, self.name)
        same(self.mac or link["address"], link["address"], self.name)
        same(sorted(f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["scope"] == "global"),
             sorted(self.addresses(2)), self.name)
        expect("UP" in link["flags"] and "master" not in link, f"{self.name}: {link}")
        data = link["linkinfo"].get("info_data", {})
        same({key: data.get(key) for key in self.data}, self.data, self.name)


# low0 is a veth of the host, and leg0 is one of a bond of two.
KINDS = (Kind("dum0", 10, "dummy", "link add dum0 mtu 1300 type dummy", mac="02:11:22:33:44:10"),
         Kind("vlan7", 11, "vlan", "link add link low0 name vlan7 type vlan id 7", mac="02:11:22:33:44:11", peer="type vlan id 7", id=7),
         Kind("vlan9", 12, "vlan", "link add link dum1 name vlan9 type vlan id 9 reorder_hdr off", id=9),
         Kind("ipv0", 13, "ipvlan", "link add link low0 name ipv0 type ipvlan mode l2", peer="", mode="l2"),
         Kind("mac0", 14, "macvlan", "link add link low1 name mac0 type macvlan mode bridge", mac="02:11:22:33:44:14", peer="",
              mode="bridge"))
MEMBER = Kind("leg0", 15, "veth", "")
LOWER = {"vlan7": "low0p", "ipv0": "low0p", "mac0": "low1p"}


@contextlib.contextmanager
def links(*names, kind="veth"):
    """NICs of the host, each veth with its other end in the fabric."""
    net = LANE.cluster.net
    for name in names:
        net.add_nic(name, kind=kind)
    try:
        yield
    finally:
        for name in names:
            net.remove_nic(name)


def furnish(kind):
    """Make it, with what the host has on it, and its peer in the fabric."""
    ip(kind.make,
       f"link set {kind.name} up",
       f"addr add 198.18.{kind.network}.2/24 dev {kind.name}",
       f"addr add 2001:db8:a{kind.network}::2/64 dev {kind.name} nodad",
       f"route add 198.51.{kind.network}.0/24 via 198.18.{kind.network}.1 dev {kind.name}")
    if kind.peer is None:
        return
    end = LOWER[kind.name]
    name = "peer7" if kind.peer else end
    ip(*([f"link add link {end} name {name} {kind.peer}", f"link set {name} up"] if kind.peer else []),
       *(f"addr add {address} dev {name} nodad" for address in kind.addresses(1)), netns=FABRIC)


@contextlib.contextmanager
def everything():
    """All kinds; low0 has the default route. They go with what they stand on, but for the dummy."""
    cluster = LANE.cluster
    with links("low0", "low1"), links("dum1", kind="dummy"), bond():
        for kind in KINDS:
            furnish(kind)
        ip("addr add 198.18.0.2/24 dev low0", "route add default via 198.18.0.1 dev low0")
        try:
            cluster.wait(lambda: "low0" not in cluster.published(), 20, "the uplink to be withdrawn")
            cluster.wait_published(*(kind.name for kind in KINDS), "leg0", deadline=20)
            yield
        finally:
            ip("link del dum0")


@contextlib.contextmanager
def bond():
    """bond7, an active-backup of leg0 and leg1, which are veths."""
    with links("leg0", "leg1"):
        ip("link add bond7 type bond mode active-backup miimon 50",
           *(f"link set {leg} {what}" for leg in ("leg0", "leg1") for what in ("down", "master bond7")),
           "link set bond7 up", "addr add 198.18.9.2/24 dev bond7")
        try:
            LANE.cluster.wait_published("leg0", "leg1")
            yield
        finally:
            ip("link del bond7")


@contextlib.contextmanager
def pod_with(kinds):
    """A pod with a claim for each of them; they must come home as they were."""
    cluster = LANE.cluster
    was = {kind.name: cluster.net.host_dump(kind.name) for kind in kinds}
    for kind in kinds:
        cluster.claim_for(kind.name, kind.name, kind.parameters())
    try:
        yield cluster.kubelet.run_pod(cluster.pod_manifest("links", *was))
    finally:
        for pod in list(cluster.kubelet.pods.values()):
            cluster.kubelet.stop_pod(pod)
        for name in was:
            cluster.delete("resourceclaims", name)
    for name, before in was.items():
        cluster.check_home(name, before, deadline=20)


def refused(kind, *words):
    """A pod that wants it does not run and says why, and the link stays as it is."""
    cluster = LANE.cluster
    before = cluster.net.host_dump(kind.name)
    cluster.claim_for(kind.name, kind.name, kind.parameters())
    try:
        cluster.kubelet.run_pod(cluster.pod_manifest("links", kind.name), deadline=1.5)
        raise AssertionError(f"the pod runs with {kind.name}")
    except PodFailed as error:
        for word in words:
            expect(word in str(error), f"{word!r} is not in: {error}")
    finally:
        for pod in list(cluster.kubelet.pods.values()):
            cluster.kubelet.stop_pod(pod)
        cluster.delete("resourceclaims", kind.name)
    cluster.check_home(kind.name, before)


def answers(pod, address):
    """Asked from the pod's namespace: to run something in its container takes seconds here."""
    cluster = LANE.cluster
    ask = ["nsenter", f"--net={cluster.cri.sandbox_netns(pod.sandbox)}", "busybox", "ping", "-c", "1", "-W", "1", address]
    cluster.wait(lambda: cluster.corner.run(ask, check=False).returncode == 0, 20, f"an answer from {address}")


def member():
    link = LANE.cluster.net.json("link", "show", "dev", "leg0")[0]
    return {key: link.get(key) for key in ("master", "address")}


def test_all_kinds_in_one_pod():
    cluster = LANE.cluster
    with everything():
        offered = set(cluster.published())
        expect("low0" not in offered, "the uplink is offered")
        expect("bond7" not in offered, "a bond is offered, which the kernel does not let change its namespace")
        was = member()
        same(was["master"], "bond7")
        with pod_with([*KINDS, MEMBER]) as pod:
            shown = cluster.pod_links(pod)
            for kind in (*KINDS, MEMBER):
                kind.shows(shown)
                if kind.peer is not None:
                    for address in kind.addresses(1):
                        answers(pod, address.split("/")[0])
            same([link["ifname"] for link in cluster.net.json("link", "show", "master", "bond7")], ["leg1"])
            expect("low0" in cluster.net.ip("route", "show", "default"), "the default route is gone")
        same(member(), was)


def test_what_cannot_move_is_not_offered():
    """The kernel is asked: whatever it does not let go is not in the slices, and what is there could go."""
    cluster = LANE.cluster
    modprobe("bonding", "vrf", "bridge", "hsr", "batman_adv", "ipip", "sit", "ip_gre", "ip6_tunnel", "ip6_gre", "ip_vti", "ip6_vti")
    with links("dum1", "dum2", kind="dummy"):
        ip("link add dum0 type dummy", "link add bond8 type bond", "link add vrf8 type vrf table 8", "link add br8 type bridge", "link add bat8 type batadv",
           "link add hsr8 type hsr slave1 dum1 slave2 dum2", "link add gre8 type gretap local 192.0.2.1 remote 192.0.2.2",
           "netns add elsewhere", "link add last8 type dummy")
        cluster.wait_published("last8")
        offered = set(cluster.published())
        stays = {"dum1", "dum2"}  # hsr8 would not like it
        there = {link["ifname"] for link in cluster.net.json("link", "show")} - stays
        can = {name for name in there
               if cluster.corner.run(["ip", "link", "set", name, "netns", "elsewhere"], check=False).returncode == 0}
        cannot = there - can
        print("note these cannot change their namespace:", *sorted(cannot))
        expect({"bond8", "vrf8", "br8", "bat8", "hsr8", "tunl0", "sit0"} <= cannot, f"only {sorted(cannot)} cannot move")
        same(offered & cannot, set(), "offered, though the kernel does not let them go")
        expect({"dum0", "gre8", "last8"} <= offered & can, f"of {sorted(can)} only {sorted(offered & can)} are offered")
        ip("netns del elsewhere", "link del bond8", "link del vrf8", "link del br8", "link del bat8", "link del hsr8")


def test_an_ipvlan_has_its_lowers_address():
    """The kernel does not let it have another."""
    kind = Kind("ipv0", 13, "ipvlan", "link add link low0 name ipv0 type ipvlan mode l2", mac="02:11:22:33:44:13")
    with links("low0"):
        furnish(kind)
        LANE.cluster.wait_published("ipv0")
        refused(kind, "interface.hardwareAddr", "ipvlan")


def test_members_of_the_uplinks_bond_stay():
    cluster = LANE.cluster
    with bond():
        ip("route add default via 198.18.9.1 dev bond7")
        cluster.wait(lambda: not {"leg0", "leg1", "bond7"} & set(cluster.published()), 10, "the members to be withdrawn")
        refused(MEMBER)
        same(sorted(link["ifname"] for link in cluster.net.json("link", "show", "master", "bond7")), ["leg0", "leg1"])
        ip("route del default")
        cluster.wait_published("leg0", "leg1")


if __name__ == "__main__":
    LANE.run(globals(), "vm/test_links")
