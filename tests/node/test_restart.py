#!/usr/bin/python3
"""dranetd dies and comes back at the worst moments; the NIC is known and comes home."""

import glob
import json
import os
import signal
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER, ROOT  # noqa: E402
from cluster_cases import Lane, Skip, expect, refused, same  # noqa: E402
from kubelet import PodFailed  # noqa: E402

LANE = Lane(seed=4)


def nic_and_claim(name):
    """A NIC on the host, its dump, and a claim for it."""
    cluster = LANE.cluster
    if not cluster.net.exists("nic0"):
        cluster.net.add_nic("nic0", fabric=["192.0.2.1/24"], addresses=["192.0.2.99/24"],
                            mtu=1480)
    cluster.wait_published("nic0")
    cluster.claim_for(name, "nic0", {"interface": {"name": "net1",
                                                   "addresses": ["192.0.2.70/24"]}})
    return cluster, cluster.net.host_dump("nic0")


def test_killed_while_a_pod_runs():
    cluster, before = nic_and_claim("killed")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("killed", "killed"))
    cluster.check_status("killed", "net1", ["192.0.2.70/24"])
    same(cluster.kill_dranetd() != 0, True)
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.restart_dranetd()
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.ping(pod, "192.0.2.1")
    cluster.wait_published("nic0")
    cluster.check_status("killed", "net1", ["192.0.2.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_killed_again_and_again():
    cluster, before = nic_and_claim("often")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("often", "often"))
    for _ in range(5):
        cluster.kill_dranetd()
        cluster.restart_dranetd()
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_killed_between_prepare_and_sandbox():
    cluster, before = nic_and_claim("between")
    pod = cluster.kubelet.create_pod(cluster.pod_manifest("between", "between"))
    cluster.kubelet.allocator.schedule(pod.obj)
    cluster.kubelet.claims.prepare(pod.obj, pod.names)
    same(cluster.net.host_dump("nic0"), before, "Prepare changed the host")
    cluster.kill_dranetd()
    cluster.restart_dranetd()
    cluster.kubelet.run_pod(pod)
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_pod_that_starts_while_the_driver_is_away_fails_closed():
    cluster, before = nic_and_claim("away")
    pod = cluster.kubelet.create_pod(cluster.pod_manifest("away", "away"))
    cluster.kubelet.allocator.schedule(pod.obj)
    cluster.kubelet.claims.prepare(pod.obj, pod.names)
    cluster.kill_dranetd()
    refused(PodFailed, lambda: cluster.kubelet.run_pod(pod, deadline=1), "Failed: Error:")
    same(pod.containers, {}, "a container runs without its NIC")
    expect(pod.sandbox is not None, "the sandbox stands")
    cluster.restart_dranetd()
    cluster.kubelet.run_pod(pod)
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_sandbox_made_again_while_the_driver_is_away_fails_closed():
    """The CDI spec of the old sandbox must not let the containers of the new one in."""
    cluster, _ = nic_and_claim("again")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("again", "again"))
    cluster.kill_dranetd()
    refused(PodFailed, lambda: cluster.kubelet.recreate_sandbox(pod, deadline=1), "Failed: Error:")
    same(pod.containers, {}, "a container of the new sandbox runs without its NIC")
    # The old namespace died with nobody holding it, and the veth with it. What is plugged in now
    # bears the name and is another device: not this pod's, and not to be touched.
    cluster.net.nics.pop("nic0", None)
    cluster.net.add_nic("nic0", fabric=["192.0.2.1/24"], addresses=["192.0.2.99/24"], mtu=1480)
    before = cluster.net.host_dump("nic0")
    cluster.restart_dranetd()
    cluster.wait_published("nic0")
    refused(PodFailed, lambda: cluster.kubelet.run_pod(pod, deadline=1),
            "device nic0 is not in the pod: the device that was prepared does not exist any more")
    same(pod.containers, {}, "a container runs without its NIC")
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_terminated_leaves_attached_devices_and_removes_sockets():
    cluster, before = nic_and_claim("term")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("term", "term"))
    same(cluster.stop_dranetd(signal.SIGTERM), 0)
    for path in (f"{ROOT}/plugins_registry/{DRIVER}-reg.sock", f"{ROOT}/plugins/{DRIVER}/dra.sock"):
        expect(not os.path.exists(cluster.corner.path(path)), f"{path} is still there")
    cluster.kubelet.wait(lambda: not cluster.kubelet.plugins.registered(DRIVER), 10,
                         "de-registration")
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.restart_dranetd()
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_unprepare_waits_for_the_driver():
    cluster, _ = nic_and_claim("stuck")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("stuck", "stuck"))
    cluster.stop_dranetd()
    cluster.kubelet.wait(lambda: not cluster.kubelet.plugins.registered(DRIVER), 10,
                         "de-registration")
    refused(PodFailed, lambda: cluster.kubelet.stop_pod(pod, deadline=0.3),
            f"unprepare dynamic resources: DRA driver {DRIVER} is not registered")
    # The namespace died without anybody holding it: a veth is destroyed with it.
    cluster.restart_dranetd()
    cluster.kubelet.stop_pod(pod)
    same(cluster.device_status("stuck"), {})


def test_hardware_out_of_sight_is_not_forgotten():
    """A namespace that ends gives hardware back in the kernel's own time. Until then it is nowhere
    to be seen, and its record must wait.

    There is no NIC on a PCI function here that can go to a pod: the record of a veth
    says that it is on one."""
    cluster, _ = nic_and_claim("sight")
    functions = [path for path in sorted(glob.glob("/sys/bus/pci/devices/*"))
                 if os.path.exists(path + "/driver")]
    if not functions:
        raise Skip("no PCI function with a driver on this machine")
    address = os.path.basename(functions[0])
    driver = os.path.basename(os.readlink(functions[0] + "/driver"))
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("sight", "sight"))
    cluster.check_status("sight", "net1", ["192.0.2.70/24"])
    cluster.kill_dranetd()
    uid = cluster.api.claim("default", "sight")["metadata"]["uid"]
    inside = f"/run/dranetd/claims/{uid}.json"
    path = cluster.corner.path(inside)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    record = json.loads(text)
    plan = record["devices"][0]["plan"]
    plan["facts"].update(pci_address=address, driver=driver)
    plan["host"]["type"] = ""  # what has a kind is destroyed with its namespace
    cluster.corner.write(inside, json.dumps(record))
    cluster.kubelet.kill_pod(pod)
    cluster.net.nics.pop("nic0", None)
    cluster.restart_dranetd()
    refused(PodFailed, lambda: cluster.kubelet.stop_pod(pod, deadline=0.3),
            f"{address} is bound to {driver}, but its interface nic0 is in no network namespace")
    expect(os.path.exists(path), "the record was forgotten")
    # As it was: a veth is gone with its namespace, and nothing holds the claim any more.
    cluster.kill_dranetd()
    cluster.corner.write(inside, text)
    cluster.restart_dranetd()
    cluster.kubelet.stop_pod(pod)
    expect(not os.path.exists(path), "the record is still there")


def test_kubelet_restart_prepares_again():
    cluster, before = nic_and_claim("kubelet")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("kubelet", "kubelet"))
    cluster.kubelet.restart()
    cluster.kubelet.wait_registered(DRIVER)
    cluster.wait_published("nic0")
    cluster.kubelet.claims.prepare(pod.obj, pod.names)
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.kubelet.recreate_sandbox(pod)
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


if __name__ == "__main__":
    LANE.run(globals(), "node-restart")
