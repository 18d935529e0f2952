#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RDMA devices of real pods, in both modes of the kernel's RDMA namespaces: soft-RoCE (rxe) and soft-iWARP (siw) over veths whose other
ends share a bridge. Both drivers were taught to change their namespace as hardware does (machine_build.sh); everything above them, the
RDMA core included, is the kernel's own. No emulated machine has an RDMA function without a netdev: for that one a directory is laid over
a PCI function in sysfs, and its netdev is kept elsewhere.

The mode can be changed only while there is no second network namespace, so each has a node of its own."""

import contextlib
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))

from cluster import Cluster, DRIVER, FABRIC  # noqa: E402
from cluster_cases import expect, run as run_tests, same  # noqa: E402
from guest import modprobe, nic, run  # noqa: E402
from kubelet import PodFailed  # noqa: E402
from kubelet_plugins import KubeletError  # noqa: E402

HOST_FILES = {"usr": "/usr", "lib": "/lib", "lib64": "/lib64", "providers": "/etc/libibverbs.d"}
MODULES = ("tun", "veth", "bridge", "overlay", "igb", "ib_uverbs", "ib_umad", "rdma_ucm", "rdma_rxe", "siw")
ADDRESSES = {"nic0": "192.0.2.10", "nic1": "192.0.2.11"}
ALONE = "alone0"


class RdmaNode(Cluster):
    """A node with two NICs that have an RDMA device each, in one mode."""

    def __init__(self, mode):
        super().__init__(seed=7)
        self.mode, self.driver, self.mark = mode, None, os.path.join(self.directory, "kill-at")

    def start(self):
        modprobe(*MODULES)
        deadline = time.monotonic() + 30  # namespaces of earlier tests end in the kernel's own time
        while run("rdma", "system", "set", "netns", self.mode, check=False) or self.mode not in run("rdma", "system"):
            expect(time.monotonic() < deadline, f"the mode {self.mode} cannot be set: {run('ip', 'netns')}")
            time.sleep(0.1)
        super().start()
        run("ip", "netns", "attach", "corner", str(self.corner.init))
        self.net.ip("-n", FABRIC, "link", "add", "br0", "type", "bridge")
        self.net.ip("-n", FABRIC, "link", "set", "br0", "up")
        for name in ADDRESSES:
            self.net.add_nic(name, mac=f"f2:00:00:00:00:0{name[-1]}", addresses=[f"198.18.0.{name[-1]}/24"])
            self.net.ip("-n", FABRIC, "link", "set", name + "p", "master", "br0")
        self.use("rxe")
        self.start_dranetd(environment={"DRANETD_KILL_AT": self.mark})
        return self

    def stop(self):
        super().stop()
        run("ip", "netns", "del", "corner", check=False)
        for device in json.loads(run("rdma", "-j", "dev")):
            run("rdma", "link", "del", device["ifname"], check=False)

    def start_dranetd(self, *flags, **options):
        options.setdefault("environment", {"DRANETD_KILL_AT": self.mark})
        return super().start_dranetd(*flags, **options)

    def arm(self, mark):
        """dranetd dies when it next comes by that point; "" = never."""
        with open(self.mark + ".new", "w", encoding="ascii") as file:
            file.write(mark and mark + "#1")
        os.rename(self.mark + ".new", self.mark)

    def add_rdma(self, driver, name, netdev):
        """A new RDMA device belongs to the first namespace, whatever its netdev's is."""
        self.corner.run(["rdma", "link", "add", name, "type", driver, "netdev", netdev])
        if self.mode == "exclusive":
            run("rdma", "dev", "set", name, "netns", "corner")

    def use(self, driver):
        """rxe0 and rxe1, or siw0 and siw1."""
        if self.driver == driver:
            return
        for name in ADDRESSES:
            if self.driver:
                self.corner.run(["rdma", "link", "del", self.driver + name[-1]])
            self.add_rdma(driver, driver + name[-1], name)
        self.driver = driver
        if self.process:
            self.wait(lambda: self.rdma_devices() == {name: driver + name[-1] for name in ADDRESSES}, 10,
                      f"{driver} to be published; it is {self.rdma_devices()}")

    def rdma_devices(self):
        """What the slices say, by the netdev's name."""
        return {name: (device["attributes"].get(f"{DRIVER}/rdmaDevice") or {}).get("string")
                for name, device in self.published().items() if name in ADDRESSES}

    def host(self):
        """The RDMA devices of the node as rdma(8) lists them, without their changing numbers, and what the NICs are."""
        links = [{key: link.get(key) for key in ("ifname", "port", "netdev", "state")}
                 for link in json.loads(self.corner.run(["rdma", "-j", "link"]).stdout)]
        return {"rdma": sorted(links, key=str), **{name: self.net.host_dump(name) for name in ADDRESSES if self.net.exists(name)}}

    def claim(self, name, netdev, parameters=None):
        self.claim_for(name, netdev, parameters if parameters is not None else
                       {"interface": {"name": "net1", "addresses": [ADDRESSES[netdev] + "/24"]}})

    def pod(self, name, *claims, deadline=40, sidecar=False):
        return self.kubelet.run_pod(self.manifest(name, *claims, sidecar=sidecar), deadline)

    def manifest(self, name, *claims, sidecar=False):
        """A pod that has the host's programs; with a sidecar that does not list the claims."""
        manifest = self.pod_manifest(name, *claims)
        main = manifest["spec"]["containers"][0]
        main["securityContext"] = {"capabilities": {"add": ["IPC_LOCK"]}}
        main["volumeMounts"] = [{"name": name, "mountPath": path} for name, path in HOST_FILES.items()]
        manifest["spec"]["volumes"] = [{"name": name, "hostPath": {"path": path}} for name, path in HOST_FILES.items()]
        if sidecar:
            manifest["spec"]["containers"].append({"name": "sidecar", "image": main["image"], "command": main["command"]})
        return manifest

    def run_in(self, pod, *command, container=None):
        status, out, err = self.kubelet.exec(pod, ["env", "PATH=/usr/bin:/bin", *command], container)
        expect(status == 0, f"{command} in {pod.name}: status {status}: {out}{err}")
        return out

    def between(self, server, client, listen, talk):
        """A program that listens in one pod, and one that talks to it in the other until it answers."""
        failed = []

        def serve():
            try:
                self.run_in(server, *listen)
            except AssertionError as error:
                failed.append(error)
        thread = threading.Thread(target=serve)
        thread.start()
        end = time.monotonic() + 15
        while True:
            try:
                self.run_in(client, *talk)
                break
            except AssertionError:
                if time.monotonic() > end or failed:
                    raise
        thread.join()
        expect(not failed, f"the listening side: {failed}")

    def rping(self, server, client):
        words = ("rping", "-a", ADDRESSES["nic0"], "-C", "3")
        self.between(server, client, (*words, "-s"), (*words, "-c"))

    def stop_pods(self, *pods):
        for pod in pods or list(self.kubelet.pods.values()):
            self.kubelet.stop_pod(pod)

    def came_home(self, before, deadline=15):
        state = {}

        def home():
            now = self.host()
            state["why"] = [f"{key}: was {was!r}, is {now.get(key)!r}" for key, was in before.items() if now.get(key) != was]
            return not state["why"]
        try:
            self.wait(home, deadline, "the host to be as it was")
        except TimeoutError:
            raise AssertionError("the host is not as it was:\n" + "\n".join(state["why"])) from None

    def fails(self, pod, *parts):
        """The pod must not run, and its events, the kubelet's or dranetd's, must say why with every part."""
        try:
            self.kubelet.run_pod(pod, 3)
        except PodFailed as error:
            said = str(error)
        else:
            raise AssertionError("the pod runs")

        def told():
            events = [event.get("note") or event.get("message") or "" for event in self.api.objects("events")]
            return all(part in " ".join([said, *events]) for part in parts)
        self.wait(told, 10, f"{parts} to be told: {said}")

    def dies_at(self, mark, work):
        """dranetd dies there, is started again, and the work comes to its end."""
        failed = []

        def body():
            try:
                work()
            except Exception as error:
                failed.append(error)
        self.arm(mark)
        thread = threading.Thread(target=body)
        thread.start()
        try:
            self.wait(lambda: self.process.poll() is not None, 30, f"dranetd to come by {mark}")
        finally:
            self.arm("")
        self.stop_dranetd()
        self.restart_dranetd()
        thread.join()
        expect(not failed, f"after a death at {mark}: {failed}")

    def unprepare(self, pod):
        """As the kubelet, again and again, but the pod goes on."""
        end = time.monotonic() + 40
        while True:
            try:
                return self.kubelet.claims.unprepare(pod.obj, pod.names)
            except KubeletError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def prepared(self, name, *claims):
        """A pod whose claims are prepared and which has no sandbox yet."""
        pod = self.kubelet.create_pod(self.manifest(name, *claims))
        self.kubelet.allocator.schedule(pod.obj)
        self.kubelet.claims.prepare(pod.obj, pod.names)
        return pod

    def reasons(self, name):
        return [event["reason"] for event in self.api.objects("events")
                if (event.get("regarding") or event.get("involvedObject") or {}).get("name") == name]


class Lane:
    """The node of a mode, while tests of that mode follow one another."""

    def __init__(self):
        self.node = None

    def of(self, mode):
        if self.node is None or self.node.mode != mode:
            self.finish()
            self.node = RdmaNode(mode)
            try:
                self.node.start()
            except BaseException:
                self.node.show_logs()
                raise
        return self.node

    def finish(self):
        if self.node is not None:
            node, self.node = self.node, None
            node.stop()

    def failed(self, _):
        """The next test begins afresh."""
        if self.node is not None:
            self.node.show_logs()
        self.finish()


LANE = Lane()


@contextlib.contextmanager
def node(mode, driver="rxe"):
    """At the end of the block everything must be as it was."""
    it = LANE.of(mode)
    it.use(driver)
    before = it.host()
    yield it
    it.stop_pods()
    for claim in it.api.objects("resourceclaims"):
        it.delete("resourceclaims", claim["metadata"]["name"])
    it.came_home(before)


def nodes_of(it, pod, container=None):
    """name → (major, minor, permissions) of /dev/infiniband in a container."""
    listing = it.run_in(pod, "sh", "-c", "cd /dev/infiniband 2>/dev/null && stat -c '%n %t %T %a' *; true", container=container)
    return {words[0]: (int(words[1], 16), int(words[2], 16), words[3]) for words in map(str.split, listing.splitlines())}


def uverbs(device, where=()):
    """Its number in a namespace, as sysfs there has it."""
    text = run(*where, "sh", "-c", f"cat $(grep -lx {device} /sys/class/infiniband_verbs/*/ibdev | sed s,/ibdev,/dev,)", check=False)
    return tuple(map(int, text.split(":"))) if ":" in text else None


def data_of(it, claim):
    """The part of its status on RDMA."""
    entry = next(iter(it.device_status(claim).values()), {})
    return (entry.get("data") or {}).get("rdma") or {}


def two_pods(it):
    for i, name in enumerate(sorted(ADDRESSES)):
        it.claim(f"claim{i}", name)
    return [it.pod(f"pod{i}", f"claim{i}", sidecar=not i) for i in range(2)]


# ---- exclusive mode ----------------------------------------------------------------------------------------------------------------


def test_exclusive_roce():
    with node("exclusive") as it:
        one, two = two_pods(it)
        same(it.host()["rdma"], [], "the node has no RDMA device any more")
        for pod, device in ((one, "rxe0"), (two, "rxe1")):
            same(it.run_in(pod, "ls", "/sys/class/infiniband").split(), [device])
            there = nodes_of(it, pod)
            same(sorted(re.sub(r"\d+$", "", name) for name in there), ["rdma_cm", "uverbs"], f"devices of {device}")
            expect(f"hca_id:\t{device}" in it.run_in(pod, "ibv_devinfo"), "ibv_devinfo opens it")
        # The numbers are those that the kernel gave it after the move.
        expect(set(nodes_of(it, one)) & set(nodes_of(it, two)) == {"rdma_cm"}, "each pod has a uverbs of its own")
        same(nodes_of(it, one, "sidecar"), {}, "the sidecar does not list the claim")
        it.wait(lambda: data_of(it, "claim1").get("gidIndex") is not None, 10, f"the GID in the status: {it.device_status('claim1')}")
        index = str(data_of(it, "claim1")["gidIndex"])
        same(it.run_in(two, "cat", f"/sys/class/infiniband/rxe1/ports/1/gids/{index}").strip(),
             "0000:0000:0000:0000:0000:ffff:c000:020b", "the GID that the status names")
        same(it.run_in(two, "cat", f"/sys/class/infiniband/rxe1/ports/1/gid_attrs/types/{index}").strip(), "RoCE v2")
        peers = str(data_of(it, "claim0")["gidIndex"])
        same(peers, index, "both pods are alike")
        pingpong = ("ibv_rc_pingpong", "-g", index, "-n", "20")
        it.between(one, two, pingpong, (*pingpong, ADDRESSES["nic0"]))
        it.rping(one, two)


def test_exclusive_iwarp():
    with node("exclusive", "siw") as it:
        one, two = two_pods(it)
        same(it.run_in(two, "ls", "/sys/class/infiniband").split(), ["siw1"])
        it.rping(one, two)
        it.wait(lambda: data_of(it, "claim0"), 10, "its status")
        expect("gidIndex" not in data_of(it, "claim0"), "iWARP has no GID to be named")
        # At the end each has its own name again, whatever the pod calls it.
        inside = ("nsenter", f"--net={it.cri.sandbox_netns(one.sandbox)}")
        it.corner.run([*inside, "rdma", "dev", "set", "siw0", "name", "mine"])
        it.corner.run([*inside, "ip", "link", "set", "net1", "name", "other"])


def test_what_fails_half_way_is_undone():
    with node("exclusive") as it:
        before = it.host()
        it.claim("claim0", "nic0")
        pod = it.prepared("pod0", "claim0")
        # After the move the device node has another number, and here nobody makes it.
        it.corner.run(["mount", "-t", "tmpfs", "tmpfs", "/dev/infiniband"])
        try:
            it.fails(pod, "RDMA device rxe0", "/dev/infiniband/uverbs")
            it.came_home(before)
        finally:
            it.corner.run(["umount", "/dev/infiniband"])
        expect("RDMADeviceAttachFailed" in it.reasons("pod0"), f"events: {it.reasons('pod0')}")
        it.kubelet.run_pod(pod, 40)
        same(it.run_in(pod, "ls", "/sys/class/infiniband").split(), ["rxe0"])


def test_a_device_that_vanished_takes_its_netdev_along():
    with node("exclusive") as it:
        before = it.host()
        it.claim("claim0", "nic0")
        pod = it.prepared("pod0", "claim0")
        it.corner.run(["rdma", "link", "del", "rxe0"])
        it.fails(pod, "the RDMA device rxe0 does not exist any more")
        expect(it.net.exists("nic0"), "the netdev is on the host")
        it.stop_pods()
        it.add_rdma("rxe", "rxe0", "nic0")
        it.came_home(before)


def test_killed_between_the_moves():
    with node("exclusive") as it:
        before = it.host()
        for there, back in (("begin", "end"), ("end", "begin")):
            it.claim("claim0", "nic0")
            pod = it.kubelet.create_pod(it.manifest("pod0", "claim0"))
            it.dies_at(f"rdma.move-in.{there}", lambda: it.kubelet.run_pod(pod, 60))
            it.check_in_pod(pod, "net1", ["192.0.2.10/24"])
            expect("hca_id:\trxe0" in it.run_in(pod, "ibv_devinfo"), "it has its RDMA device")
            # While the namespace lives: with its end the kernel would destroy the veths.
            it.dies_at(f"rdma.move-home.{back}", lambda: it.unprepare(pod))
            it.came_home(before)
            it.stop_pods(pod)
            it.delete("resourceclaims", "claim0")


def test_two_claims_in_one_container():
    """Both name rdma_cm; one asks for the devices of management, which the other does not get by that."""
    with node("exclusive") as it:
        it.claim("claim0", "nic0", {"interface": {"name": "net0"}, "rdma": {"umad": True}})
        it.claim("claim1", "nic1", {"interface": {"name": "net1"}})
        pod = it.pod("both", "claim0", "claim1")
        same(it.run_in(pod, "ls", "/sys/class/infiniband").split(), ["rxe0", "rxe1"])
        there = nodes_of(it, pod)
        same(sorted(re.sub(r"\d+$", "", name) for name in there), ["rdma_cm", "umad", "uverbs", "uverbs"])
        same({permissions for name, (_, _, permissions) in there.items() if name.startswith("umad")}, {"600"}, "as the host has it")
        for device in ("rxe0", "rxe1"):
            it.run_in(pod, "ibv_devinfo", "-d", device)


def test_what_a_device_has_not_is_refused():
    with node("exclusive") as it:
        it.claim("claim1", "nic1", {"rdma": {"issm": True}})
        it.fails(it.kubelet.create_pod(it.manifest("pod1", "claim1")), "rdma: ", "issm")


# ---- without a netdev ---------------------------------------------------------------------------------------------------------------


def without_netdev(it, mode):
    """What a pod gets of an RDMA function that has no netdev on this node, and what it must not ask for."""
    with lone_function(it) as device:
        it.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "wrong"},
                   "spec": {"devices": alone({"interface": {"name": "net1"}, "routes": [{"destination": "0.0.0.0/0", "scope": 253}]})}})
        it.fails(it.kubelet.create_pod(it.manifest("wrong", "wrong")), "interface.name: cannot be set", "routes: cannot be set")
        it.stop_pods()
        it.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "right"},
                   "spec": {"devices": alone(None)}})
        pod = it.pod("right", "right", sidecar=True)
        # Some modules give every namespace a tunnel.
        anywhere = {link["ifname"] for link in json.loads(it.corner.run(["unshare", "-n", "ip", "-j", "link"]).stdout)}
        same(sorted(it.pod_links(pod)), sorted(anywhere | {"eth0"}), "it has no netdev to be given")
        same(sorted(re.sub(r"\d+$", "", name) for name in nodes_of(it, pod)), ["rdma_cm", "uverbs"])
        same(nodes_of(it, pod, "sidecar"), {})
        expect(f"hca_id:\t{ALONE}" in it.run_in(pod, "ibv_devinfo", "-d", ALONE), "ibv_devinfo opens it")
        here = ALONE in it.corner.run(["rdma", "dev"]).stdout
        same(here, mode == "shared", "the node sees it")
        it.wait(lambda: it.device_status("right").get(device), 10, "its status")
        entry = it.device_status("right")[device]
        same([item["reason"] for item in entry["conditions"] if item["type"] == "Ready"], ["RDMAOnlyDeviceReady"])
        expect("networkData" not in entry, "there is nothing to tell of a network")
        it.kill_dranetd()
        it.restart_dranetd()
        it.run_in(pod, "ibv_devinfo", "-d", ALONE)
        it.stop_pods()
        it.wait(lambda: ALONE in it.corner.run(["rdma", "dev"]).stdout, 10, f"{ALONE} to be home")
        for claim in ("right", "wrong"):
            it.delete("resourceclaims", claim)


def alone(parameters):
    selector = {"cel": {"expression": f'device.attributes["{DRIVER}"].rdmaDevice == "{ALONE}"'}}
    devices = {"requests": [{"name": "rdma", "exactly": {"deviceClassName": DRIVER, "selectors": [selector]}}]}
    if parameters:
        devices["config"] = [{"opaque": {"driver": DRIVER, "parameters": parameters}}]
    return devices


@contextlib.contextmanager
def lone_function(it):
    """A PCI function of the node that shows an RDMA device in sysfs and has no netdev, as that of eRDMA. Its device's name there."""
    netdev = nic(1)
    function = os.path.realpath(f"/sys/class/net/{netdev}/device")
    run("rdma", "link", "add", ALONE, "type", "siw", "netdev", netdev)
    if it.mode == "exclusive":
        run("rdma", "dev", "set", ALONE, "netns", "corner")
    it.corner.run(["mkdir", "-p", f"/run/lone/infiniband/{ALONE}"])
    it.corner.run(["sh", "-c", f"sed s/bc02sc00/bc00scFF/ {function}/modalias >/run/lone/modalias"])
    it.corner.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=/run/lone:" + function.replace(":", r"\:"), function])
    it.stop_dranetd()
    it.start_dranetd()
    name = "pci-" + re.sub("[:.]", "-", os.path.basename(function))
    try:
        it.wait(lambda: (it.published().get(name) or {}).get("attributes", {}).get(f"{DRIVER}/rdmaDevice"), 10,
                f"{name} to be published with its RDMA device; there is {json.dumps(it.published().get(name))}")
        yield name
    finally:
        it.stop_dranetd()
        it.corner.run(["umount", function])
        it.corner.run(["rdma", "link", "del", ALONE], check=False)
        it.start_dranetd()


def test_exclusive_without_netdev():
    with node("exclusive") as it:
        without_netdev(it, "exclusive")


# ---- shared mode --------------------------------------------------------------------------------------------------------------------


def test_shared():
    with node("shared") as it:
        numbers = {device: uverbs(device) for device in ("rxe0", "rxe1")}
        one, two = two_pods(it)
        for pod, device in ((one, "rxe0"), (two, "rxe1")):
            there = nodes_of(it, pod)
            same(sorted(re.sub(r"\d+$", "", name) for name in there), ["rdma_cm", "uverbs"], f"devices of {device}")
            same([(major, minor) for name, (major, minor, _) in there.items() if name != "rdma_cm"], [numbers[device]])
            it.run_in(pod, "ibv_devinfo", "-d", device)
        same([device["ifname"] for device in it.host()["rdma"]], ["rxe0", "rxe1"], "they stay on the node")
        same(nodes_of(it, one, "sidecar"), {}, "the sidecar does not list the claim")
        it.wait(lambda: data_of(it, "claim1").get("gidIndex") is not None, 10, f"the GID in the status: {it.device_status('claim1')}")
        it.kill_dranetd()
        it.restart_dranetd()
        with open(it.corner.path(f"/run/cdi/{DRIVER}-{claim_uid(it, 'claim0')}.json"), encoding="utf-8") as spec:
            nodes = json.load(spec)["devices"][0]["containerEdits"]["deviceNodes"]
        same([(node["major"], node["minor"]) for node in nodes if "uverbs" in node["path"]], [numbers["rxe0"]], "after a restart")


def claim_uid(it, name):
    return it.api.claim("default", name)["metadata"]["uid"]


def test_shared_iwarp():
    with node("shared", "siw") as it:
        one, two = two_pods(it)
        it.rping(one, two)


def test_shared_without_netdev():
    with node("shared") as it:
        without_netdev(it, "shared")


if __name__ == "__main__":
    run_tests({**globals(), "finish": LANE.finish}, "rdma", LANE.failed)
