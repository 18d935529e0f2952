#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What dranetd publishes of RDMA devices, while they come, go, get other names and other namespaces: it looks by no clock, so each change
must be told by the kernel. A dranetd by itself with an API server, in the machine's first network namespace, where new RDMA devices are."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))

from apiserver import APIServer  # noqa: E402
from cluster import DRIVER  # noqa: E402
from cluster_cases import expect, run as run_tests, same  # noqa: E402
from guest import modprobe, run  # noqa: E402

NIC, CHILD, BOND, POD, DEVICE = "rdmat0", "rdmat0.5", "rdmabond", "rdmapod", "rxet0"
PATIENCE = 15  # seconds; the emulated machine is slow


class Node:
    """dranetd and its API server, from the first test to the last."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(dir="/run")  # the gate is a node that no overlay takes
        self.api = self.process = None
        self.log = os.path.join(self.directory, "log")

    def start(self):
        self.api = APIServer(os.path.join(self.directory, "api"), node="node-a")
        self.api.start()
        flags = {"kubeconfig": self.api.kubeconfig(), "hostname-override": "node-a", "log-format": "plain", "v": "2", "filter": "",
                 "bind-address": "127.0.0.1:9178"}
        for name in ("kubelet-root-dir", "state-dir", "cdi-dir"):
            flags[name] = os.path.join(self.directory, name)
            os.makedirs(flags[name])
        flags["nri-socket"] = os.path.join(self.directory, "nri.sock")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([os.environ["DRANETD"], *(f"--{name}={value}" for name, value in flags.items())],
                                            stdout=log, stderr=log)

    def finish(self):
        self.process.terminate()
        try:
            same(self.process.wait(20), 0, "dranetd's status")
        finally:
            self.process.kill()
            self.api.stop()

    def attributes(self, name):
        """Of the device whose netdev that is: those of RDMA, without their domain; None while it is not published."""
        for item in self.api.slices(DRIVER):
            for device in item["spec"].get("devices", []):
                found = {key.rpartition("/")[2]: next(iter(value.values())) for key, value in device["attributes"].items()}
                if found.get("ifName") == name:
                    return {key: value for key, value in found.items() if key.startswith("rdma")}
        return None

    def wait(self, name, *wanted):
        begun = time.monotonic()
        while self.attributes(name) not in wanted:
            if time.monotonic() - begun > PATIENCE or self.process.poll() is not None:
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise AssertionError(f"{name}: {self.attributes(name)}, not {wanted}\n{log.read()[-3000:]}")
            time.sleep(0.02)


NODE = Node()
NONE = {"rdma": False}


def has(device, protocol="roce"):
    return {"rdma": True, "rdmaDevice": device, "rdmaProtocol": protocol}


def mode(wanted):
    """The kernel refuses while there is a second namespace, and one that was deleted dies in its own time."""
    begun = time.monotonic()
    while run("rdma", "system", "set", "netns", wanted, check=False) or f"netns {wanted}" not in run("rdma", "system"):
        expect(time.monotonic() - begun < PATIENCE, f"the mode {wanted} cannot be set")
        time.sleep(0.05)


@contextlib.contextmanager
def device(kind="rxe"):
    run("rdma", "link", "add", DEVICE, "type", kind, "netdev", NIC)
    try:
        yield
    finally:
        for item in json.loads(run("rdma", "-j", "dev") or "[]"):
            run("rdma", "link", "del", item["ifname"])
        NODE.wait(NIC, NONE)


def test_it_starts():
    modprobe("dummy", "8021q", "bonding")
    same(json.loads(run("rdma", "-j", "dev") or "[]"), [], "RDMA devices of others")
    mode("shared")
    run("ip", "link", "add", NIC, "type", "dummy")
    run("ip", "link", "add", "link", NIC, "name", CHILD, "type", "vlan", "id", "5")
    run("ip", "link", "set", NIC, "up")
    NODE.start()
    NODE.wait(NIC, NONE)
    NODE.wait(CHILD, NONE)


def test_a_device_comes_and_goes():
    with device():
        NODE.wait(NIC, has(DEVICE))
        NODE.wait(CHILD, NONE)  # the GID table names it, too
    with device("siw"):
        NODE.wait(NIC, has(DEVICE, "iwarp"))


def test_a_device_gets_another_name():
    with device():
        NODE.wait(NIC, has(DEVICE))
        run("rdma", "dev", "set", DEVICE, "name", "rocex")
        NODE.wait(NIC, has("rocex"))
        run("ip", "link", "set", NIC, "down")
        run("ip", "link", "set", NIC, "name", "rdmat9")
        NODE.wait("rdmat9", has("rocex"))
        run("ip", "link", "set", "rdmat9", "name", NIC)
        run("ip", "link", "set", NIC, "up")
        NODE.wait(NIC, has("rocex"))


def test_a_member_of_a_bond_has_none():
    run("ip", "link", "add", BOND, "type", "bond", "mode", "active-backup")
    try:
        with device():
            NODE.wait(NIC, has(DEVICE))
            run("ip", "link", "set", NIC, "down")
            run("ip", "link", "set", NIC, "master", BOND)
            NODE.wait(NIC, NONE, None)  # the bond has it, which is never offered
            run("ip", "link", "set", NIC, "nomaster")
            NODE.wait(NIC, has(DEVICE))
    finally:
        run("ip", "link", "del", BOND)
        run("ip", "link", "set", NIC, "up")


def test_in_shared_mode_a_netdev_goes_to_a_pod_and_comes_back():
    with device():
        NODE.wait(NIC, has(DEVICE))
        run("ip", "netns", "add", POD)
        try:
            run("ip", "link", "set", NIC, "netns", POD)
            NODE.wait(NIC, None)
            run("ip", "-n", POD, "link", "set", NIC, "netns", "1")
            NODE.wait(NIC, has(DEVICE))
        finally:
            run("ip", "netns", "del", POD)


def test_in_exclusive_mode_a_device_goes_to_a_pod_and_comes_back():
    mode("exclusive")
    try:
        with device():
            NODE.wait(NIC, has(DEVICE))
            run("ip", "netns", "add", POD)
            run("rdma", "dev", "set", DEVICE, "netns", POD)
            NODE.wait(NIC, NONE)
            run("ip", "netns", "del", POD)  # the kernel brings it home
            NODE.wait(NIC, has(DEVICE))
    finally:
        mode("shared")


def test_it_ends():
    run("ip", "link", "del", NIC)
    NODE.wait(NIC, None)
    NODE.finish()


if __name__ == "__main__":
    run_tests(globals(), "rdma_discovery")
