#!/usr/bin/python3
"""Two instances on one node, as in a rolling update: the new one waits and takes over, and no
device is ever handled by both."""

import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER  # noqa: E402
from cluster_cases import Lane, expect, same  # noqa: E402

LANE = Lane(seed=6)
STANDING_BY = "standing by until it ends"


def nic_and_claim(name, nic="nic0", net=2):
    cluster = LANE.cluster
    if not cluster.net.exists(nic):
        cluster.net.add_nic(nic, fabric=[f"192.0.{net}.1/24"], addresses=[f"192.0.{net}.99/24"],
                            mtu=1480)
    cluster.wait_published(nic)
    cluster.claim_for(name, nic, {"interface": {"name": "net1",
                                                "addresses": [f"192.0.{net}.70/24"]}})
    return cluster, cluster.net.host_dump(nic)


def start_successor(cluster):
    """Start a second dranetd; returns the first one's process when the second stands by."""
    old, seen = cluster.process, len(cluster.dranetd_log())
    cluster.start_dranetd(*cluster.last_flags, wait=False)
    cluster.kubelet.wait(lambda: STANDING_BY in cluster.dranetd_log()[seen:]
                         or cluster.process.poll() is not None, 20, "the second dranetd to stand by")
    same(cluster.process.poll(), None, "the second dranetd ended")
    same(old.poll(), None, "the first dranetd ended")
    return old


def hand_over(cluster, old, number=signal.SIGTERM):
    """End the first; waits until the kubelet knows the second. The first one's exit status."""
    known = cluster.kubelet.plugins.registered(DRIVER)
    old.send_signal(number)
    status = old.wait(timeout=20)
    cluster.kubelet.wait(lambda: [plugin for plugin in cluster.kubelet.plugins.registered(DRIVER)
                                  if plugin not in known and plugin.connected]
                         or cluster.process.poll() is not None, 30, "the second dranetd to register")
    same(cluster.process.poll(), None, "the second dranetd ended")
    return status


def test_new_one_waits_for_the_old_one_and_takes_over():
    cluster, before = nic_and_claim("handed")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("handed", "handed"))
    known = cluster.kubelet.plugins.registered(DRIVER)
    old = start_successor(cluster)
    # The old one goes on serving, also new pods.
    same(cluster.kubelet.plugins.registered(DRIVER), known, "the kubelet's plugins")
    _, other_before = nic_and_claim("meanwhile", "nic1", 3)
    meanwhile = cluster.kubelet.run_pod(cluster.pod_manifest("meanwhile", "meanwhile"))
    same(hand_over(cluster, old), 0, "status of the old one")
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.check_in_pod(meanwhile, "net1", ["192.0.3.70/24"])
    cluster.check_status("meanwhile", "net1", ["192.0.3.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.kubelet.stop_pod(meanwhile)
    cluster.check_home("nic0", before)
    cluster.check_home("nic1", other_before)


def test_takes_over_after_a_kill():
    cluster, before = nic_and_claim("killed")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("killed", "killed"))
    hand_over(cluster, start_successor(cluster), signal.SIGKILL)
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_one_that_waits_can_be_ended():
    cluster, before = nic_and_claim("waits")
    known = cluster.kubelet.plugins.registered(DRIVER)
    old, old_log = cluster.process, cluster.log
    start_successor(cluster)
    same(cluster.stop_dranetd(signal.SIGTERM, deadline=5), 0, "status of the one that waited")
    cluster.process, cluster.log = old, old_log
    same(cluster.kubelet.plugins.registered(DRIVER), known, "the kubelet's plugins")
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("waits", "waits"))
    cluster.check_in_pod(pod, "net1", ["192.0.2.70/24"])
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)


def test_what_it_cannot_use_ends_it_before_its_turn():
    """A new version with a broken setting must not wait until the old one is gone to say so."""
    cluster, _ = nic_and_claim("broken")
    old, old_log, flags = cluster.process, cluster.log, cluster.last_flags
    cluster.start_dranetd("--kubeconfig=/nowhere", wait=False)
    status = cluster.process.wait(timeout=20)
    cluster.log.close()
    cluster.process, cluster.log, cluster.last_flags = old, old_log, flags
    expect(status != 0, "it ended well")
    same(old.poll(), None, "the first dranetd")


def test_updates_while_pods_start():
    cluster = LANE.cluster
    names = [f"nic{i}" for i in range(6)]
    before = {}
    for i, nic in enumerate(names):
        _, before[nic] = nic_and_claim(f"busy{i}", nic, 2 + i)
    pods, errors = {}, []

    def start(i):
        try:
            pods[i] = cluster.kubelet.run_pod(cluster.pod_manifest(f"busy{i}", f"busy{i}"),
                                              deadline=60)
        except Exception as error:  # told below, by the test
            errors.append(f"busy{i}: {error}")

    threads = [threading.Thread(target=start, args=(i,)) for i in range(len(names))]
    for i, thread in enumerate(threads):
        thread.start()
        if i % 2:
            hand_over(cluster, start_successor(cluster))
    for thread in threads:
        thread.join()
    same(errors, [])
    for i, nic in enumerate(names):
        cluster.check_in_pod(pods[i], "net1", [f"192.0.{2 + i}.70/24"])
        cluster.kubelet.stop_pod(pods[i])
        cluster.check_home(nic, before[nic])


if __name__ == "__main__":
    LANE.run(globals(), "node-update")
