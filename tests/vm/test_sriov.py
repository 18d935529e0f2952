#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SR-IOV on the real containerd, with the machine's two igb PFs: VFs that dranetd makes, what it publishes of them, and one in a pod with
what its PF holds for it. VFs of hardware are born in the machine's own network namespace and nowhere else, so here that is the node's.

The outside is the machine's third NIC, on one hub with the PFs."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))

import guest  # noqa: E402
from cluster_cases import expect, same  # noqa: E402
from kubelet import PodFailed  # noqa: E402
from knobs_node import LANE, running  # noqa: E402
from runtime.corner import Corner  # noqa: E402

SETTINGS = "/etc/dranetd/sriov.d"
MAC, VLAN = "02:11:22:33:44:55", 100
INSIDE, OUTSIDE = "203.0.113.2", "203.0.113.1"


def function_of(ifname):
    return os.path.basename(os.path.realpath(f"/sys/class/net/{ifname}/device"))


def device_of(ifname):
    return "pci-" + function_of(ifname).replace(":", "-").replace(".", "-")


class Machine:
    """The PFs and the outside, found once."""
    pf = other = outside = corner = None


def start():
    guest.modprobe("igb", "igbvf", "virtio_net", "8021q")
    Machine.pf, Machine.other, Machine.outside = guest.nic(1), guest.nic(2), guest.nic(3)
    for name in (Machine.pf, Machine.other, Machine.outside):
        guest.run("ip", "link", "set", name, "up")
    Machine.corner = Corner(own_network=False)
    Machine.corner.start()
    LANE.options["corner"] = Machine.corner


def end():
    """As the next test of this machine wants it."""
    LANE.cluster.stop_dranetd()
    for pf in (Machine.pf, Machine.other):
        with open(f"/sys/class/net/{pf}/device/sriov_numvfs", "w", encoding="ascii") as file:
            file.write("0")
    guest.run("ip", "link", "del", "cni0", check=False)


def configure(**files):
    """The files of the node's configuration, by name."""
    os.makedirs(Machine.corner.path(SETTINGS), exist_ok=True)
    for name in os.listdir(Machine.corner.path(SETTINGS)):
        Machine.corner.remove(f"{SETTINGS}/{name}")
    for name, text in files.items():
        Machine.corner.write(f"{SETTINGS}/{name}.conf", text)


def count(pf):
    with open(f"/sys/class/net/{pf}/device/sriov_numvfs", encoding="ascii") as file:
        return int(file.read())


def vf(pf, index):
    """The netdev of a VF on the host."""
    return os.listdir(f"/sys/class/net/{pf}/device/virtfn{index}/net")[0]


def held(pf, index=None):
    """What the PF holds for its VFs, as ip(8) says it."""
    link = json.loads(guest.run("ip", "-j", "-d", "link", "show", "dev", pf))[0]
    return link["vfinfo_list"] if index is None else link["vfinfo_list"][index]


def attributes(ifname):
    shown = LANE.cluster.published()[ifname]["attributes"]
    return {name.split("/")[-1]: next(iter(value.values())) for name, value in shown.items()}


def restart(**files):
    """dranetd again, with another configuration; what it logged since."""
    configure(**files)
    before = len(LANE.cluster.dranetd_log())
    LANE.cluster.stop_dranetd()
    LANE.cluster.restart_dranetd()
    return lambda: LANE.cluster.dranetd_log()[before:]


def told(log, *parts):
    LANE.cluster.wait(lambda: all(part in log() for part in parts), 30, f"{parts} in the log")


@contextlib.contextmanager
def peer(vlan):
    """The outside has an address on that VLAN: only a frame with its tag gets there."""
    name = f"out.{vlan}"
    guest.run("ip", "link", "add", "link", Machine.outside, "name", name, "type", "vlan", "id", str(vlan))
    try:
        guest.run("ip", "addr", "add", OUTSIDE + "/24", "dev", name)
        guest.run("ip", "link", "set", name, "up")
        yield
    finally:
        guest.run("ip", "link", "del", name)


@contextlib.contextmanager
def untouched(pf):
    """What the PF holds is the same afterwards; waits, for a pod may be gone before its VF is back."""
    was = held(pf)
    yield
    try:
        LANE.cluster.wait(lambda: held(pf) == was, 20, "the PF to hold what it did")
    except TimeoutError:
        same(held(pf), was)


def refused(ifname, parameters, *parts):
    """No pod gets it, and every part is told at the latest after some attempts."""
    cluster, told_so = LANE.cluster, ""
    cluster.claim_for("refused", ifname, parameters)
    pod = cluster.kubelet.create_pod(cluster.pod_manifest("refused-pod", "refused"))
    end_of_patience = time.monotonic() + 30
    try:
        while not all(part in told_so for part in parts):
            expect(time.monotonic() < end_of_patience, f"{parts} are not in: {told_so}")
            try:
                cluster.kubelet.run_pod(pod, deadline=0)
                raise AssertionError("the pod runs")
            except PodFailed as error:
                told_so = str(error)
    finally:
        for pod in list(cluster.kubelet.pods.values()):
            cluster.kubelet.stop_pod(pod)
        cluster.delete("resourceclaims", "refused")


# ---- making them -------------------------------------------------------------------------------------------------------------------

def test_the_configuration_makes_vfs():
    same((count(Machine.pf), count(Machine.other)), (0, 0))
    configure(**{"10-a": f"{Machine.pf} 7\n", "20-b": f"# by name\n{Machine.pf} 2\n{function_of(Machine.other)}\t3 # by address\n"})
    LANE.cluster.wait(lambda: (count(Machine.pf), count(Machine.other)) == (2, 3), 60, "VFs")
    LANE.cluster.wait_published(vf(Machine.pf, 0), vf(Machine.pf, 1), vf(Machine.other, 2), deadline=60)
    log = LANE.cluster.dranetd_log()
    expect(f"PF {Machine.pf} has 2 VFs now, 0 before" in log, "told")


def test_what_is_published():
    LANE.cluster.wait(lambda: attributes(Machine.pf).get("sriovVfs") == 2, 20, "the number of VFs")
    for node, (pf, root) in enumerate(((Machine.pf, "pci0000:20"), (Machine.other, "pci0000:40"))):
        has = attributes(pf)
        same((has["sriov"], has["sriovVfs"], has["pcieRoot"], has["numaNode"]), (True, (2, 3)[node], root, node), pf)
        same((has.get("isSriovVf", False), has["pciAddress"]), (False, function_of(pf)), pf)
        for index in range(2):
            has = attributes(vf(pf, index))
            same((has["isSriovVf"], has["pcieRoot"], has["numaNode"]), (True, root, node), vf(pf, index))
            same((has["pfName"], has["pfPciAddress"], has["vfIndex"]), (pf, function_of(pf), index), vf(pf, index))
            same((has.get("sriov", False), has.get("sriovVfs")), (False, None), vf(pf, index))


# ---- in a pod ----------------------------------------------------------------------------------------------------------------------

def parameters(**more):
    return {"interface": {"name": "net1", "addresses": [INSIDE + "/24"], "mtu": 1400, "hardwareAddr": MAC, **more}}


def in_a_pod(index):
    settings = {"vlan": VLAN, "vlanQoS": 3, "trust": True, "spoofCheck": False, "maxTxRate": 500}
    name = vf(Machine.pf, index)
    with untouched(Machine.pf), peer(VLAN), running("vf", name, parameters(vf=settings)) as pod:
        link = pod.link("net1")
        same((link["address"], link["mtu"]), (MAC, 1400))
        expect("UP" in link["flags"], link["flags"])
        is_held = held(Machine.pf, index)
        same((is_held["address"], is_held["vlan_list"][0]["vlan"], is_held["vlan_list"][0]["qos"]), (MAC, VLAN, 3))
        same((is_held["trust"], is_held["spoofchk"], is_held["rate"]["max_tx"]), (True, False, 500))
        LANE.cluster.ping(pod.pod, OUTSIDE, deadline=30)
        LANE.cluster.wait(lambda: Machine.pf not in LANE.cluster.published(), 10, "the PF to be withdrawn")
        LANE.cluster.wait_published(Machine.other, vf(Machine.other, 0))
    LANE.cluster.wait_published(Machine.pf)
    expect(f"its VF {LANE.cluster.published()[name]['name']} ({name}) is held by claim default/vf" in LANE.cluster.dranetd_log(), "told")


def test_in_a_pod():
    in_a_pod(0)


def test_in_a_pod_after_it_was_up_with_a_mac_of_the_admins():
    """The PF has set one for it: the VF itself may not change it back."""
    name = vf(Machine.pf, 1)
    guest.run("ip", "link", "set", Machine.pf, "vf", "1", "mac", "02:00:00:00:0a:01", "vlan", "7", "qos", "1")
    guest.run("ip", "link", "set", name, "up")
    guest.run("ip", "link", "set", name, "down")
    guest.run("ip", "link", "set", name, "up")
    guest.run("ip", "addr", "add", "198.18.9.1/24", "dev", name)
    LANE.cluster.wait(lambda: attributes(name).get("mac") == "02:00:00:00:0a:01", 20, "its MAC")
    in_a_pod(1)
    guest.run("ip", "addr", "del", "198.18.9.1/24", "dev", name)
    guest.run("ip", "link", "set", name, "down")
    guest.run("ip", "link", "set", Machine.pf, "vf", "1", "vlan", "0")


def test_what_the_driver_refuses_is_told_by_name():
    name = vf(Machine.pf, 0)
    with untouched(Machine.pf):
        refused(name, {"interface": {"name": "net1", "vf": {"vlan": 5, "minTxRate": 10}}}, "interface.vf.minTxRate, vf.maxTxRate")
    with untouched(Machine.pf):
        refused(name, {"interface": {"name": "net1", "vf": {"trust": True, "vlan": 5, "vlanProtocol": "802.1ad"}}}, "interface.vf.vlan:")


def test_what_no_vf_has_is_refused():
    refused(Machine.outside, {"interface": {"name": "net1", "vf": {"vlan": 5}}}, f'interface.vf: "{Machine.outside}" is no SR-IOV virtual function')


def test_mtu_above_the_pfs():
    name = vf(Machine.pf, 0)
    guest.run("ip", "link", "set", Machine.pf, "mtu", "1400")
    try:
        refused(name, {"interface": {"name": "net1", "mtu": 1500}}, "interface.mtu: 1500 is above 1400, the MTU of its physical function")
    finally:
        guest.run("ip", "link", "set", Machine.pf, "mtu", "1500")


def test_a_pf_whose_vf_was_claimed_since_it_was_allocated():
    name, cluster = vf(Machine.pf, 0), LANE.cluster
    cluster.claim_for("pf", Machine.pf, {"interface": {"name": "net0"}})
    late = cluster.kubelet.create_pod(cluster.pod_manifest("pf-pod", "pf"))
    cluster.kubelet.allocator.schedule(late.obj)
    with running("vf", name, {"interface": {"name": "net1"}}):
        try:
            cluster.kubelet.run_pod(late, deadline=0)
            raise AssertionError("the PF is in a pod")
        except PodFailed as error:
            expect(f"({name}) is held by claim default/vf" in str(error), error)
    cluster.delete("resourceclaims", "pf")
    cluster.wait_published(Machine.pf)


def test_a_vf_of_a_pf_that_is_in_a_pod():
    """Its pod could read and change what the PF holds for the VF. Who was given the VF meanwhile is refused, until the PF is home."""
    name, cluster = vf(Machine.other, 0), LANE.cluster
    why = f"its PF {device_of(Machine.other)} ({Machine.other}) is held by claim default/pf"
    cluster.claim_for("vf", name, {"interface": {"name": "net1", "vf": {"vlan": 5}}})
    late = cluster.kubelet.create_pod(cluster.pod_manifest("vf-pod", "vf"))
    cluster.kubelet.allocator.schedule(late.obj)
    with running("pf", Machine.other, {"interface": {"name": "net0"}}):
        cluster.wait(lambda: name not in cluster.published(), 10, "the VF to be withdrawn")
        expect(why in cluster.dranetd_log(), "told")
        for _ in range(2):
            try:
                cluster.kubelet.run_pod(late, deadline=0)
                raise AssertionError("the VF is in a pod")
            except PodFailed as error:
                expect(f"device {device_of(name)} ({name}): {why}" in str(error), error)
    cluster.wait_published(Machine.other, name)
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("vf-again", "vf"))
    expect("net1" in cluster.pod_links(pod), "the VF is in its pod")
    same(held(Machine.other, 0)["vlan_list"][0]["vlan"], 5)
    cluster.wait(lambda: Machine.other not in cluster.published(), 10, "the PF to be withdrawn")
    cluster.kubelet.stop_pod(pod)
    cluster.delete("resourceclaims", "vf")
    cluster.wait_published(Machine.other, name)


def test_killed_between_settings_and_move():
    """It is killed as soon as the PF shows the VLAN, and once more while the pod runs."""
    name, cluster = vf(Machine.pf, 0), LANE.cluster
    stop = threading.Event()

    def kill_when_set():
        while not stop.is_set():
            if held(Machine.pf, 0)["vlan_list"][0].get("vlan") == VLAN:
                cluster.kill_dranetd()
                cluster.restart_dranetd()
                return
            time.sleep(0.005)

    killer = threading.Thread(target=kill_when_set)
    killer.start()
    try:
        with untouched(Machine.pf), running("vf", name, parameters(vf={"vlan": VLAN, "trust": True})) as pod:
            killer.join(60)
            expect(not killer.is_alive(), "it was killed")
            cluster.wait(lambda: cluster.pod_links(pod.pod).get("net1", {}).get("address") == MAC, 30, "the VF in its pod")
            cluster.kill_dranetd()
            cluster.restart_dranetd()
            same(held(Machine.pf, 0)["vlan_list"][0]["vlan"], VLAN)
    finally:
        stop.set()
        killer.join(60)


# ---- another number ----------------------------------------------------------------------------------------------------------------

def test_another_number_when_the_last_use_ends():
    """Nobody restarts dranetd for it. A claim that ends while another VF is up is not the last use."""
    name, other = vf(Machine.pf, 1), vf(Machine.pf, 0)
    with running("vf", name, {"interface": {"name": "net1"}}):
        log = restart(a=f"{Machine.pf} 4\n")
        told(log, f"PF {Machine.pf} keeps its 2 VFs, 4 are configured: its VF ", f"({name}) is held by claim default/vf",
             "they are changed when none is in use any more")
        guest.run("ip", "link", "set", other, "up")
        same(count(Machine.pf), 2)
    LANE.cluster.wait_published(Machine.pf, name)
    same(count(Machine.pf), 2)
    guest.run("ip", "link", "set", other, "down")
    told(log, f"PF {Machine.pf}: none of its VFs is in use any more, 4 are configured", f"PF {Machine.pf} has 4 VFs now, 2 before")
    same((count(Machine.pf), count(Machine.other)), (4, 3))
    LANE.cluster.wait_published(vf(Machine.pf, 3), deadline=30)


def test_another_number_never_while_one_is_up():
    name = vf(Machine.pf, 1)
    guest.run("ip", "link", "set", name, "up")
    LANE.cluster.wait(lambda: attributes(name)["state"] != "down", 20, "the VF to be up")
    log = restart(a=f"{Machine.pf} 2\n")
    told(log, f"PF {Machine.pf} keeps its 4 VFs", f"({name}) is up" if not attributes(name).get("ipv6") else f"({name}) has addresses")
    same(count(Machine.pf), 4)
    told(restart(a=f"{Machine.pf} 4\n"), "registered with the kubelet")
    guest.run("ip", "link", "set", name, "down")


def test_a_pf_of_a_claim_keeps_its_vfs():
    """Until the claim gives it back; none of the VFs can be claimed meanwhile."""
    function = function_of(Machine.other)
    with running("pf", Machine.other, {"interface": {"name": "net0"}}):
        log = restart(a=f"{Machine.pf} 4\n{function} 1\n")
        told(log, "registered with the kubelet")
    told(log, f"PF {Machine.other} has 1 VFs now, 3 before")
    LANE.cluster.wait_published(Machine.other, vf(Machine.other, 0), deadline=30)


def test_a_vf_elsewhere_is_used():
    guest.run("ip", "netns", "add", "elsewhere")
    name = vf(Machine.pf, 2)
    guest.run("ip", "link", "set", name, "netns", "elsewhere")
    try:
        LANE.cluster.wait(lambda: Machine.pf not in LANE.cluster.published(), 10, "the PF to be withdrawn")
        log = restart(a=f"{Machine.pf} 1\n")
        told(log, f"PF {Machine.pf} keeps its 4 VFs, 1 are configured", "has no interface on the host")
        same(count(Machine.pf), 4)
    finally:
        guest.run("ip", "-n", "elsewhere", "link", "set", name, "netns", "1")
        guest.run("ip", "netns", "del", "elsewhere")
    LANE.cluster.wait_published(Machine.pf)
    told(log, f"PF {Machine.pf} has 1 VFs now, 4 before")


def test_mistakes_are_told_and_change_nothing():
    other = function_of(Machine.other)
    log = restart(a=f"{Machine.pf} 99\n", b=f"{other} 2\nens1f0 x\n", c="nowhere0 1\n")
    told(log, "b.conf:2: number of VFs", "is no number from 0 to 65535", "99 VFs are more than the 7", "c.conf:1: there is no PF nowhere0 yet")
    same((count(Machine.pf), count(Machine.other)), (1, 1))


def test_none_is_a_number():
    told(restart(a=f"{Machine.pf} 0\n"), f"PF {Machine.pf} has 0 VFs now, 1 before")
    same((count(Machine.pf), count(Machine.other)), (0, 1))
    LANE.cluster.wait(lambda: attributes(Machine.pf).get("sriovVfs", 0) == 0, 20, "the number of VFs")


if __name__ == "__main__":
    if subprocess.run(["modprobe", "-n", "igb"], check=False, stderr=subprocess.DEVNULL).returncode:
        print("skip test_sriov: there is no driver igb\nvm/test_sriov: 0 passed, 0 failed")
        sys.exit(0)
    start()
    LANE.run({**globals(), "test_zz_end": end}, "vm/test_sriov")
