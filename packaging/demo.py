#!/usr/bin/python3
"""The demo's story, told while it happens: packaging/demo.sh builds what this runs.

containerd, runc, the CNI plugins and dranetd are the real ones. Only what no Debian suite has is stood in for by tests/node: the API
server, the scheduler's allocation and the kubelet.
"""
import json
import os
import sys
import textwrap

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "node"))

from cluster import DRIVER, Cluster  # noqa: E402

PEER = "192.0.2.1"


def title(text):
    print(f"\n==== {text}", flush=True)


def show(text, indent="    "):
    print(textwrap.indent(text.rstrip(), indent), flush=True)


def read(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return "".join(line for line in file if not line.startswith("#"))


def on_host(cluster, name="nic0"):
    show(cluster.net.ip("addr", "show", "dev", name))


class Journal:
    """What dranetd wrote since the last look, transitions of one device only."""

    def __init__(self, cluster, device):
        self.cluster, self.device, self.seen = cluster, device, 0

    def show(self, state, deadline=10):
        """Wait for the transition to that state, then print all there are."""
        def lines():
            return [line for line in self.cluster.dranetd_log().splitlines()[self.seen:]
                    if f" device={self.device} " in line and " to=" in line]
        self.cluster.wait(lambda: any(f" to={state} " in line for line in lines()), deadline, f"{self.device} to be {state}")
        found = lines()
        self.seen = len(self.cluster.dranetd_log().splitlines())
        for line in found:
            text, _, fields = line.partition(" claim=") if " claim=" in line else line.partition(" device=")
            show(text)
            show(textwrap.fill(("claim=" if " claim=" in line else "device=") + fields, 120, break_long_words=False,
                               break_on_hyphens=False), "        ")


def run(cluster):
    title("a node's NIC: nic0, with an address and an MTU of the host's, and its peer in the fabric")
    cluster.net.add_nic("nic0", addresses=["198.18.0.7/24"], fabric=[f"{PEER}/24"], mtu=1480)
    on_host(cluster)
    before = cluster.net.host_dump("nic0")

    title("dranetd starts beside containerd and registers with the kubelet")
    cluster.start_dranetd("--v=0")
    cluster.wait_published("nic0")
    journal = Journal(cluster, "nic0")
    show("\n".join(line for line in cluster.dranetd_log().splitlines() if " FLAG: " not in line and " device=" not in line))
    title("it has published the node's devices; nic0 in the ResourceSlice:")
    show(yaml.safe_dump(cluster.published()["nic0"], sort_keys=False))
    journal.show("published")

    title("kubectl apply: a DeviceClass, a ResourceClaim and a Pod (packaging/deviceclass.yaml, packaging/demo.yaml)")
    applied = [read(name) for name in ("deviceclass.yaml", "demo.yaml")]
    show("---\n".join(applied))
    claim, manifest = yaml.safe_load_all(applied[1])
    cluster.create(claim)
    pod = cluster.kubelet.run_pod(manifest)

    title("the pod runs; ip addr, asked in its container:")
    status, out, err = cluster.kubelet.exec(pod, ["ip", "addr"])
    show(out + err)
    wanted = claim["spec"]["devices"]["config"][0]["opaque"]["parameters"]["interface"]
    cluster.check_in_pod(pod, wanted["name"], wanted["addresses"], wanted["mtu"], wanted["hardwareAddr"])
    title(f"ping {PEER}, its peer:")
    cluster.ping(pod, PEER)
    show(cluster.kubelet.exec(pod, ["ping", "-c", "3", "-i", "0.2", PEER])[1])
    title("the claim's status, as dranetd reported it:")
    cluster.check_status("fast-network", wanted["name"], wanted["addresses"], wanted["hardwareAddr"])
    show(json.dumps(list(cluster.device_status("fast-network").values()), indent=2))
    title("the journal, a record for each transition:")
    journal.show("attached")

    title("kubectl delete pod demo")
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)
    journal.show("published")
    title("nic0 on the host again, with its own name, address, MTU and MAC:")
    on_host(cluster)

    title("dranetd stops")
    cluster.stop_dranetd()
    show(cluster.dranetd_log().splitlines()[-1])


def main():
    with Cluster() as cluster:
        run(cluster)
    print("\ndemo: everything was as it should be, and nothing is left running")


if __name__ == "__main__":
    main()
