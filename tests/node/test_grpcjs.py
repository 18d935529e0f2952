#!/usr/bin/python3
"""@grpc/grpc-js against dranetd, a second voice beside grpcio: grpcjs/client.js makes the calls."""

import json
import os
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER, HERE, ROOT  # noqa: E402
from cluster_cases import Lane, expect, same  # noqa: E402
from kubelet_rpc import encoded_path  # noqa: E402
from npm_modules import modules  # noqa: E402

LANE = Lane(seed=4)
CALLS = 200
PATH = f"{ROOT}/plugins/{DRIVER}/dra.sock"
REGISTRATION = f"{ROOT}/plugins_registry/{DRIVER}-reg.sock"
CLIENT = os.path.join(HERE, "grpcjs")
# What clients of all ages write into :authority for a unix socket.
AUTHORITIES = (None, encoded_path(PATH), PATH)


def nics(count):
    """Names of ifbs on the host that are published."""
    names = [f"js{i}" for i in range(count)]
    for name in names:
        if not LANE.cluster.net.exists(name):
            LANE.cluster.net.add_nic(name, "ifb")
    LANE.cluster.wait_published(*names)
    return names


def claims(count=4):
    """Allocated claims on that many NICs, each reserved for a pod of its own, and their devices."""
    cluster, found = LANE.cluster, []
    there = {item["metadata"]["name"] for item in cluster.api.objects("resourceclaims")}
    for name in nics(count):
        if name not in there:
            cluster.claim_for(name, name, {"interface": {"name": "net1"}})
            pod = cluster.kubelet.create_pod(cluster.pod_manifest(f"pod-{name}", name))
            cluster.kubelet.allocator.schedule(pod.obj)
        claim = cluster.api.claim("default", name)
        (result,) = claim["status"]["allocation"]["devices"]["results"]
        found.append({"namespace": "default", "name": name, "uid": claim["metadata"]["uid"],
                      "device": result["device"]})
    return found


def alive():
    expect(LANE.cluster.process.poll() is None, "dranetd has ended")


def connections():
    """How many connections dranetd's DRA socket has, the kubelet's among them."""
    with open(f"/proc/{LANE.cluster.dranetd_pid()}/net/unix", encoding="utf-8") as file:
        lines = [line.split() for line in file]
    return sum(line[7:] == [PATH] and line[5] == "03" for line in lines)  # 03 is SS_CONNECTED


def client(check, when=None, deadline=180, killed=False, **arguments):
    """Run one check of the client in the corner; `when` has what to do at its words."""
    arguments = {"socket": PATH, "authority": None, **arguments}
    node = shutil.which("node")
    expect(node, "no node, run packaging/install-deps.sh")
    command = [node, os.path.join(CLIENT, "client.js"), check, json.dumps(arguments)]
    process = LANE.cluster.corner.popen(command, env={"NODE_PATH": modules(CLIENT)}, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
    timer = threading.Timer(deadline, process.kill)
    timer.start()
    words, asked, told = when or {}, set(), []
    try:
        with process:
            for line in process.stdout:
                told.append(line.rstrip())
                print(f"     {told[-1]}", flush=True)
                if told[-1] in words:
                    words[told[-1]]()
                    asked.add(told[-1])
                    process.stdin.write("done\n")
                    process.stdin.flush()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.kill()
    alive()
    bad = [line for line in told if line.startswith("FAIL")]
    same(bad, [], check)
    same(told[-1:], ["done"], f"{check} did not get to its end: {told[-5:]}")
    same(asked, set(words), "what the client asked for")
    expect(any(line.startswith("PASS") for line in told), f"{check}: nothing was tried")
    expect(killed or process.returncode == 0, f"{check}: status {process.returncode}")


def test_registration():
    nics(1)
    for authority in (None, encoded_path(REGISTRATION), REGISTRATION):
        client("registration", socket=REGISTRATION, authority=authority, driver=DRIVER,
               endpoint=PATH)


def test_every_method_in_every_version():
    for authority in AUTHORITIES:
        client("methods", authority=authority, claims=claims(2))


def test_refusals():
    for authority in AUTHORITIES:
        client("refusals", authority=authority, claims=claims(2))


def test_headers():
    client("headers", claims=claims(2))


def test_many_calls_at_once():
    for authority in AUTHORITIES:
        client("many", authority=authority, claims=claims(), calls=CALLS)


def test_deadlines():
    wanted, api = claims(), LANE.cluster.api
    for authority in AUTHORITIES:
        api.inject("delay", verb="get", resource="resourceclaims", seconds=1.5, n=None)
        try:
            client("deadlines", {"FASTER": api.clear_faults}, authority=authority, claims=wanted,
                   calls=50)
        finally:
            api.clear_faults()


def test_cancels():
    wanted, api = claims(), LANE.cluster.api
    for seed, authority in enumerate(AUTHORITIES):
        api.inject("delay", verb="get", resource="resourceclaims", seconds=0.05, n=None)
        try:
            client("cancels", {"FASTER": api.clear_faults}, authority=authority, claims=wanted,
                   calls=CALLS, seed=seed)
        finally:
            api.clear_faults()


def test_clients_that_vanish():
    wanted = claims()
    for after in (0, 1, 5, 20, 50):
        client("vanish", claims=wanted, calls=50, after=after, killed=True)
    client("methods", claims=wanted)


def test_idle_connections():
    wanted, before = claims(1), connections()

    def gone():
        # grpc-js looks every 10 s for connections that idle channels have given up.
        LANE.cluster.wait(lambda: connections() == before, 40,
                          f"the idle connection to be gone; {connections()} where {before} were")

    client("idle", {"CALLED": lambda: expect(connections() > before, "no connection is seen"),
                    "IDLE": gone}, claims=wanted)
    gone()


def test_dranetd_restarts_under_a_client():
    cluster = LANE.cluster
    client("restart", {"STOP": lambda: same(cluster.stop_dranetd(), 0, "status of dranetd"),
                       "START": cluster.restart_dranetd}, claims=claims(2))


def test_a_pod_afterwards():
    cluster = LANE.cluster
    cluster.net.add_nic("jsafter", "ifb", addresses=["198.18.4.2/24"])
    cluster.wait_published("jsafter")
    before = cluster.net.host_dump("jsafter")
    cluster.claim_for("after", "jsafter", {"interface": {"name": "net1"}})
    pod = cluster.kubelet.run_pod(cluster.pod_manifest("pod-after", "after"))
    cluster.check_in_pod(pod, "net1")
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("jsafter", before)
    alive()


if __name__ == "__main__":
    LANE.run(globals(), "node-grpcjs")
