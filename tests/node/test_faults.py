#!/usr/bin/python3
"""Hooks that are late, cut off or never come, on a real containerd: no container ever runs without its NIC,
every pod runs in the end without being deleted, and the NICs come home as they were."""

import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster_cases import Lane, expect, same  # noqa: E402
from fault_cases import (NriProxy, PROXY_SOCKET, Proven, add_nic, add_nics, check_all_home, check_clean, dumps,  # noqa: E402
                         halt, remove_sandboxes, resume, tidy)

LANE = Lane(seed=11)
NICS = 10
PROXY, FLAGS = [], []


def restart(cluster, socket):
    """The driver, stopped and started with that NRI socket and whatever flags this test wants."""
    cluster.stop_dranetd()
    cluster.restart_dranetd(f"--nri-socket={socket}", *FLAGS)


def node(nics=1):
    """The cluster, the names of that many NICs, and what the host has of them."""
    cluster = LANE.cluster
    if PROXY:
        PROXY.pop().close()
        restart(cluster, "/var/run/nri/nri.sock")
    tidy(cluster)
    names = add_nics(cluster, nics)
    return cluster, names, dumps(cluster, names)


def proxied(nics=1):
    """The same with the proxy on NRI's socket."""
    cluster = LANE.cluster
    if not PROXY:
        PROXY.append(NriProxy(cluster))
        restart(cluster, PROXY_SOCKET)
    connected(cluster)
    tidy(cluster)
    names = add_nics(cluster, nics)
    return cluster, PROXY[0], names, dumps(cluster, names)


def connected(cluster):
    """Wait until the driver says that all its peers are there, the runtime among them."""
    def ready():
        done = cluster.corner.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                   "http://127.0.0.1:9177/readyz"], check=False)
        return done.stdout == "200"
    cluster.wait(ready, 20, "dranetd to be ready")


def finish(cluster, pods, before):
    for proven in pods:
        proven.check()
    for proven in pods:
        proven.stop()
    check_all_home(cluster, before)
    check_clean(cluster)


def refused_once(proven):
    """Wait until the runtime has refused a container of the pod."""
    proven.cluster.wait(lambda: any(reason == "Failed" for reason, _ in proven.pod.events), 30,
                        f"a container of {proven.name} to be refused: {proven.pod.messages()}")


def test_driver_halted_beyond_the_timeout():
    cluster, nics, before = node(3)
    pods = [Proven(cluster, f"halted{i}", nic).prepare() for i, nic in enumerate(nics)]
    halt(cluster)
    try:
        for proven in pods:
            proven.begin()
        for proven in pods:
            refused_once(proven)
            same(proven.verdicts(), [])
    finally:
        resume(cluster)
    finish(cluster, [proven.join() for proven in pods], before)


def test_driver_halted_while_pods_stop():
    cluster, nics, before = node(2)
    pods = [Proven(cluster, f"slow{i}", nic).run().check() for i, nic in enumerate(nics)]
    halt(cluster)
    try:
        for proven in pods:
            cluster.kubelet.kill_pod(proven.pod)
    finally:
        resume(cluster)
    # The namespaces were held all the while, so nothing has died with them.
    for proven in pods:
        proven.stop()
    check_all_home(cluster, before)
    check_clean(cluster)


def test_hooks_answered_too_late():
    too_late("hold-request RunPodSandbox", "hold-answer RunPodSandbox", "hold-request CreateContainer",
             "hold-answer CreateContainer")


def too_late(*harms):
    for harm in harms:
        cluster, proxy, nics, before = proxied()
        proven = Proven(cluster, "late", *nics)
        proxy.want(harm)
        proven.begin()
        proxy.wait(harm)
        # The runtime has given up on the hook when it goes on without it: the sandbox stands, or a container is asked for.
        cluster.wait(lambda proven=proven: proven.pod.sandbox and not proven.thread.is_alive()
                     or any(reason == "Failed" for reason, _ in proven.pod.events), 30,
                     f"the runtime to go on after {harm}")
        proxy.go()
        finish(cluster, [proven.join()], before)


def test_socket_cut_in_mid_request():
    for event in ("RunPodSandbox", "CreateContainer", "StopPodSandbox", "RemovePodSandbox"):
        for cut in ("cut-request", "cut-delivered", "cut-answer"):
            cluster, proxy, nics, before = proxied()
            proven = Proven(cluster, "cut", *nics)
            proxy.want(f"{cut} {event}")
            if event in ("RunPodSandbox", "CreateContainer"):
                proven.run()
                proxy.wait(f"{cut} {event}")
                finish(cluster, [proven], before)
                continue
            proven.run().check().stop()
            proxy.wait(f"{cut} {event}")
            check_all_home(cluster, before)
            check_clean(cluster)


def test_driver_stopped_while_ten_pods_start():
    for number in (signal.SIGKILL, signal.SIGTERM):
        cluster, nics, before = node(NICS)
        pods = [Proven(cluster, f"many{i}", nic) for i, nic in enumerate(nics)]
        for proven in pods:
            proven.begin()
        # In the midst: some have their NIC, some wait for it, some are not yet prepared.
        cluster.wait(lambda pods=pods: any(proven.verdicts() for proven in pods), 30, "the first of ten pods to run")
        cluster.stop_dranetd(number)
        time.sleep(1)  # pods go on starting without a driver
        cluster.restart_dranetd()
        finish(cluster, [proven.join() for proven in pods], before)


def test_driver_away_while_ten_sandboxes_are_made():
    cluster, nics, before = node(NICS)
    pods = [Proven(cluster, f"away{i}", nic).prepare() for i, nic in enumerate(nics)]
    cluster.kill_dranetd()
    for proven in pods:
        proven.begin()
    for proven in pods:
        refused_once(proven)
    expect(not any(proven.verdicts() for proven in pods), "a container ran while the driver was away")
    cluster.restart_dranetd()
    finish(cluster, [proven.join() for proven in pods], before)


def test_killed_while_a_hook_waits():
    for number, event in ((signal.SIGKILL, "RunPodSandbox"), (signal.SIGTERM, "RunPodSandbox"),
                          (signal.SIGKILL, "CreateContainer"), (signal.SIGTERM, "CreateContainer")):
        cluster, proxy, nics, before = proxied()
        proven = Proven(cluster, "waits", *nics)
        proxy.want(f"hold-answer {event}")
        proven.begin()
        proxy.wait(f"hold-answer {event}")
        cluster.stop_dranetd(number)
        proxy.go()
        time.sleep(0.5)  # the runtime goes on without an answer
        cluster.restart_dranetd()
        finish(cluster, [proven.join()], before)


def test_containerd_restarted_with_pods_running():
    for number in (signal.SIGTERM, signal.SIGKILL):
        cluster, nics, before = node(3)
        pods = [Proven(cluster, f"kept{i}", nic).run().check() for i, nic in enumerate(nics)]
        cluster.corner.stop_containerd(number)
        cluster.corner.start_containerd()
        connected(cluster)
        for proven in pods:
            same(proven.verdicts(), ["with"], "restarted with the runtime")
        # The runtime tells nothing of pods from before its restart: Unprepare has to bring the NICs home.
        finish(cluster, pods, before)


def test_containerd_killed_in_mid_hook():
    for harm in ("hold-answer RunPodSandbox", "hold-answer CreateContainer", "hold-answer StopPodSandbox"):
        cluster, proxy, nics, before = proxied()
        proven = Proven(cluster, "mid", *nics)
        proxy.want(harm)
        stopping = harm.endswith("StopPodSandbox")
        if stopping:
            proven.run().check()
            error = []

            def stop(proven=proven, error=error):
                try:
                    cluster.kubelet.kill_pod(proven.pod)
                except Exception as refused:  # the runtime went away in the middle of it
                    error.append(refused)
            thread = threading.Thread(target=stop)
            thread.start()
        else:
            proven.begin()
        proxy.wait(harm)
        cluster.corner.stop_containerd(signal.SIGKILL)
        proxy.go()
        cluster.corner.start_containerd()
        if stopping:
            thread.join(60)
            proven.stop()
        else:
            proven.join().check().stop()
        remove_sandboxes(cluster)
        check_all_home(cluster, before)
        check_clean(cluster)


def test_the_same_with_synchronous_hooks():
    """RunPodSandbox waits for the moves then: it is late and cut where CreateContainer was."""
    FLAGS.append("--synchronous-hooks")
    try:
        restart(LANE.cluster, PROXY_SOCKET if PROXY else "/var/run/nri/nri.sock")
        test_driver_away_while_ten_sandboxes_are_made()
        too_late("hold-request RunPodSandbox", "hold-answer RunPodSandbox")
    finally:
        FLAGS.clear()
        restart(LANE.cluster, PROXY_SOCKET if PROXY else "/var/run/nri/nri.sock")


def tear_down_first(cluster, proven):
    """CRI-O's order: the namespace's file goes before the hook is called."""
    netns = cluster.cri.sandbox_netns(proven.pod.sandbox)
    cluster.corner.run(["umount", "-l", netns])
    cluster.corner.remove(netns)


def test_namespace_removed_before_the_stop_hook():
    cluster, nics, before = node(2)
    pods = [Proven(cluster, f"crio{i}", nic).run().check() for i, nic in enumerate(nics)]
    for proven in pods:
        tear_down_first(cluster, proven)
    finish_stopped(cluster, pods, before)
    # And with a driver that opened the namespace anew after its own restart.
    pods = [Proven(cluster, f"crio{i}", nic).run().check() for i, nic in enumerate(nics)]
    cluster.kill_dranetd()
    cluster.restart_dranetd()
    connected(cluster)
    for proven in pods:
        tear_down_first(cluster, proven)
    finish_stopped(cluster, pods, before)


def finish_stopped(cluster, pods, before):
    for proven in pods:
        proven.stop()
    check_all_home(cluster, before)
    check_clean(cluster)


def test_driver_away_over_a_whole_pod_stop():
    """Nobody holds the namespace: a veth dies with it. The claim must not hold on to what is no more."""
    cluster, nics, _ = node(2)
    pods = [Proven(cluster, f"unseen{i}", nic).run().check() for i, nic in enumerate(nics)]
    cluster.kill_dranetd()
    for proven in pods:
        cluster.kubelet.kill_pod(proven.pod)
        cluster.kubelet._remove(proven.pod)
    cluster.wait(lambda: all(not cluster.net.exists(nic) for nic in nics), 10, "the veths to die")
    cluster.restart_dranetd()
    cluster.wait(lambda: not set(nics) & set(cluster.published()), 20, "the dead NICs to leave the slices")
    for proven in pods:
        proven.stop()
    check_clean(cluster)
    add_nics(cluster, 2)
    before = dumps(cluster, nics)
    finish(cluster, [Proven(cluster, "fresh", *nics).run()], before)


def test_sandbox_process_killed():
    """The pause process dies: the kubelet makes a new sandbox without a new Prepare, and the NICs move over."""
    cluster, nics, before = node(2)
    proven = Proven(cluster, "paused", *nics).run().check()
    pid = json.loads(cluster.cri.sandbox_status(proven.pod.sandbox, verbose=True).info["info"])["pid"]
    old = proven.pod.sandbox
    cluster.corner.run(["kill", "-9", str(pid)])
    cluster.wait(lambda: cluster.cri.sandbox_status(old).status.state != 0, 20, "the sandbox not to be ready")
    proven.run()
    expect(proven.pod.sandbox != old, "the sandbox was not made again")
    cluster.wait(lambda: len(proven.verdicts()) == 2 * len(nics), 10, "the verdict of the container made again")
    finish(cluster, [proven], before)


def processes(cluster, pods):
    """Pids, in the corner, of everything the runtime runs for these pods: sandboxes, containers, and their shims."""
    pids = set()
    for proven in pods:
        answers = [cluster.cri.sandbox_status(proven.pod.sandbox, verbose=True)]
        answers += [cluster.cri.container_status(made, verbose=True) for made in proven.pod.containers.values()]
        pids |= {json.loads(answer.info["info"])["pid"] for answer in answers}
    parents = cluster.corner.run(["ps", "-o", "ppid=", "-p", ",".join(map(str, pids))]).stdout.split()
    return sorted(pids | {int(pid) for pid in parents} - {0, 1})


def reboot(cluster, pods):
    """All at once: every process dies, /run is empty, the NICs are there anew; what is on disk stays."""
    pids = processes(cluster, pods)
    netns = [cluster.cri.sandbox_netns(proven.pod.sandbox) for proven in pods]
    cluster.kill_dranetd()
    cluster.corner.stop_containerd(signal.SIGKILL)
    cluster.corner.run(["kill", "-9", *map(str, pids)], check=False)
    cluster.corner.run(["sh", "-c", f"umount -l {' '.join(netns)}; rm -rf {' '.join(netns)} /run/cdi/* /run/containerd/*"
                        " /run/dranetd"], check=False)
    cluster.corner.write("/run/boot_id", "3b0f7c52-54a5-4f6e-9a28-2f6c0f6e7a11\n")
    cluster.corner.run(["mount", "--bind", "/run/boot_id", "/proc/sys/kernel/random/boot_id"])


def test_node_reboot():
    cluster = LANE.cluster
    node(0)
    cluster.stop_dranetd()
    cluster.restart_dranetd("--state-dir=/var/lib/kubelet/dranetd")
    nics = add_nics(cluster, 3)
    before = dumps(cluster, nics)
    runs = Proven(cluster, "runs", *nics[:2]).run().check()
    waits = Proven(cluster, "waits", nics[2]).prepare()
    reboot(cluster, [runs])
    try:
        cluster.wait(lambda: not any(cluster.net.exists(nic) for nic in nics[:2]), 20, "the veths of the dead pod to die")
        add_nics_again(cluster, nics[:2], before)
        cluster.corner.start_containerd()
        cluster.kubelet.restart()
        cluster.restart_dranetd("--state-dir=/var/lib/kubelet/dranetd")
        connected(cluster)
        for proven in (runs, waits):
            proven.run().check()
        for proven in (runs, waits):
            proven.stop()
        check_all_home(cluster, before)
        remove_sandboxes(cluster)
        cluster.wait(lambda: not os.listdir(cluster.corner.path("/var/lib/kubelet/dranetd/claims")), 10, "no record to be left")
    finally:
        cluster.corner.run(["umount", "/proc/sys/kernel/random/boot_id"])
        cluster.stop_dranetd()
        cluster.restart_dranetd("--state-dir=/run/dranetd")
    check_clean(cluster)


def add_nics_again(cluster, nics, before):
    """The same hardware: what the host sets up at each boot, and the same MAC."""
    for nic in nics:
        add_nic(cluster, nic, mac=before[nic]["address"])


if __name__ == "__main__":
    LANE.run(globals(), "node-faults")
