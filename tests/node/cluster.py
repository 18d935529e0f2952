"""A node to test on: a corner with the real containerd, the stand-in API server and kubelet, and
dranetd started inside.

    with Cluster() as cluster:                       # dranetd from $DRANETD
        cluster.net.add_nic("nic0", fabric=["192.0.2.1/24"])
        cluster.start_dranetd()
        cluster.wait_published("nic0")
        pod = cluster.run_manifest("claim.yaml")
        cluster.kubelet.stop_pod(pod)
"""

import os
import shutil
import signal
import sys
import tempfile
import time

import yaml

from apiserver import APIServer
from cluster_net import FABRIC, Net, addresses, differences
from kubelet import Kubelet

HERE = os.path.dirname(os.path.abspath(__file__))
DRIVER = "dra.net"
ROOT = "/var/lib/kubelet"
CRI_SOCKET = "/run/containerd/containerd.sock"


def binary():
    """Path of the dranetd to test: $DRANETD, else the one of the build tree."""
    path = os.environ.get("DRANETD") or os.path.join(HERE, "..", "..", "build", "dev", "dranetd")
    return os.path.abspath(path)


class Cluster:
    """Everything of one node; stop() leaves nothing behind."""

    def __init__(self, dranetd=None, node="corner-node", credentials="certificate", seed=None,
                 corner=None, api_options=None, kubelet_options=None):
        self.dranetd_path, self.node = dranetd or binary(), node
        self.credentials, self.seed = credentials, seed
        self.api_options, self.kubelet_options = api_options or {}, kubelet_options or {}
        self.directory = tempfile.mkdtemp(prefix="dranetd-node-")
        self.corner, self.owns_corner = corner, corner is None
        self.api = self.kubelet = self.net = self.cri = self.process = self.log = None
        self.log_path = os.path.join(self.directory, "dranetd.log")
        self.last_flags = ()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, kind, *_):
        if kind is not None:
            self.show_logs()
        self.stop()

    # ---- life -------------------------------------------------------------------------------

    def start(self):
        from runtime.corner import Corner
        from runtime.cri import Cri
        if self.owns_corner:
            self.corner = Corner()
            self.corner.start()
        self.net = Net(self.corner)
        self.net.set_up()
        self.api = APIServer(os.path.join(self.directory, "api"), self.node,
                             netns=f"/proc/{self.corner.init}/ns/net", seed=self.seed,
                             **self.api_options).start()
        self.cri = Cri(self.corner.path(CRI_SOCKET))
        options = {"sync_backoff": 0.1, "poll": 0.02, "translate": self.corner.path,
                   "root_inside": ROOT, **self.kubelet_options}
        self.kubelet = Kubelet(self.corner.path(ROOT), self.api, self.node, self.cri, **options)
        self.kubelet.start()
        self.load("deviceclass.yaml")
        return self

    def stop(self):
        """End everything; safe after a start that failed half-way."""
        for step in (self.stop_dranetd,
                     lambda: self.kubelet and self.kubelet.stop(),
                     lambda: self.cri and self.cri.channel.close(),
                     lambda: self.api and self.api.stop(),
                     lambda: self.owns_corner and self.corner and self.corner.stop()):
            try:
                step()
            except Exception as error:  # the later steps must happen all the same
                print(f"stopping: {error!r}", file=sys.stderr)
        shutil.rmtree(self.directory, True)

    def show_logs(self, out=sys.stdout, lines=60):
        """What a failing test needs to be understood."""
        def tail(title, text, most=lines):
            listed = text.strip().splitlines()[-most:]
            print(f"---- {title} ----", *listed, sep="\n", file=out)
        if os.path.exists(self.log_path):
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                tail("dranetd", file.read())
        if self.kubelet:
            tail("plugin manager", "\n".join(text for _, text in self.kubelet.plugins.log))
            for pod in self.kubelet.pods.values():
                tail(f"events of pod {pod.name}", "\n".join(pod.messages()))
        if self.api:
            tail("requests", "\n".join(
                f"{item.user} {item.verb} {item.resource} {item.name} {item.code} {item.proto}"
                for item in self.api.requests()[-lines:]))
            tail("complaints of the API server", "\n".join(self.api.complaints))
            tail("objects", self.api.rest.store.dump())
        if self.corner and self.corner.log:
            tail("containerd", self.corner.containerd_log(), 15)
        out.flush()

    # ---- dranetd ----------------------------------------------------------------------------

    def start_dranetd(self, *flags, environment=None, wait=True, filter=""):
        """Start dranetd in the corner; waits until the kubelet has registered it."""
        self.last_flags = flags
        command = [self.dranetd_path, "--kubeconfig", self.api.kubeconfig(self.credentials),
                   f"--hostname-override={self.node}", f"--kubelet-root-dir={ROOT}",
                   "--nri-socket=/var/run/nri/nri.sock", "--state-dir=/run/dranetd",
                   "--bind-address=127.0.0.1:9177", "--v=2", "--log-format=plain", *flags]
        if filter is not None:
            # The default filter hides veth, and veths are what these tests are made of.
            command.append(f"--filter={filter}")
        self.log = open(self.log_path, "ab")
        self.process = self.corner.popen(command, env=environment, stdout=self.log,
                                         stderr=self.log)
        if wait:
            self.kubelet.wait(lambda: self.kubelet.plugins.registered(DRIVER)
                              or self.process.poll() is not None, 30, "dranetd to register")
            if self.process.poll() is not None:
                raise RuntimeError(f"dranetd ended with status {self.process.returncode}:\n"
                                   f"{self.dranetd_log()[-4000:]}")
            self.kubelet.wait_registered(DRIVER)
        return self.process

    def dranetd_log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def dranetd_pid(self):
        """Its pid as this machine sees it."""
        return self.process.child()

    def stop_dranetd(self, number=signal.SIGTERM, deadline=20):
        """Signal dranetd and wait for its end; its exit status, None if it was not running."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(number)
        try:
            status = process.wait(timeout=deadline)
        except Exception:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=deadline)
            raise
        finally:
            self.log.close()
        return status

    def kill_dranetd(self):
        return self.stop_dranetd(signal.SIGKILL)

    def restart_dranetd(self, *flags, **options):
        """A new dranetd after the old one ended; waits for its registration, not the old one's."""
        old = self.kubelet.plugins.registered(DRIVER)
        self.start_dranetd(*(flags or self.last_flags), wait=False, **options)
        self.kubelet.wait(lambda: [plugin for plugin in self.kubelet.plugins.registered(DRIVER)
                                   if plugin not in old and plugin.connected]
                          or self.process.poll() is not None, 30, "dranetd to register again")
        if self.process.poll() is not None:
            raise RuntimeError(f"dranetd ended with status {self.process.returncode}")

    # ---- objects ----------------------------------------------------------------------------

    def wait(self, condition, deadline, what):
        return self.api.wait(condition, deadline, what)

    def create(self, obj):
        plural = {"ResourceClaim": "resourceclaims", "DeviceClass": "deviceclasses",
                  "ResourceClaimTemplate": "resourceclaimtemplates"}[obj["kind"]]
        space = None if obj["kind"] == "DeviceClass" else \
            obj["metadata"].setdefault("namespace", "default")
        return self.api.call("POST", self.api.path(plural, space), obj)

    def delete(self, plural, name, namespace="default"):
        self.api.call("DELETE", self.api.path(plural, namespace, name))

    def load(self, name):
        """Create what a manifest file holds; its pods are returned, to be run by the kubelet."""
        with open(os.path.join(HERE, "manifests", name), encoding="utf-8") as file:
            objects = list(yaml.safe_load_all(file))
        for obj in objects:
            if obj["kind"] != "Pod":
                self.create(obj)
        return [obj for obj in objects if obj["kind"] == "Pod"]

    def run_manifest(self, name, deadline=60):
        return self.kubelet.run_pod(self.load(name)[0], deadline)

    def claim_for(self, name, nic, parameters=None, device_class=DRIVER):
        """Create a claim for the NIC of that name in the host, with this opaque configuration."""
        selector = {"cel": {"expression": f'device.attributes["{DRIVER}"].ifName == "{nic}"'}}
        devices = {"requests": [{"name": "nic", "exactly": {"deviceClassName": device_class,
                                                            "selectors": [selector]}}]}
        if parameters is not None:
            devices["config"] = [{"opaque": {"driver": DRIVER, "parameters": parameters}}]
        return self.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
                            "metadata": {"name": name}, "spec": {"devices": devices}})

    @staticmethod
    def pod_manifest(name, *claims):
        """A pod of one busybox container that uses these claims."""
        return {"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": [{
                    "name": "ctr1", "image": "docker.io/library/busybox:latest",
                    "command": ["sleep", "2147483647"],
                    "resources": {"claims": [{"name": claim} for claim in claims]}}],
                         "resourceClaims": [{"name": claim, "resourceClaimName": claim}
                                            for claim in claims]}}

    def published(self):
        """Devices in this driver's slices, by the interface name they have on the host."""
        found = {}
        for item in self.api.slices(DRIVER):
            for device in item["spec"].get("devices", []):
                attributes = device.get("attributes", {})
                name = attributes.get("ifName") or attributes.get(f"{DRIVER}/ifName") or {}
                found[name.get("string", device["name"])] = device
        return found

    def wait_published(self, *names, deadline=10):
        self.wait(lambda: set(names) <= set(self.published()), deadline,
                  f"{names} to be published; there are {sorted(self.published())}")

    def device_status(self, claim, namespace="default"):
        """status.devices of a claim, by device name."""
        status = self.api.claim(namespace, claim).get("status", {})
        return {entry["device"]: entry for entry in status.get("devices", [])}

    # ---- pods and their NICs ----------------------------------------------------------------

    def pod_links(self, pod):
        return self.net.pod_links(self.cri.sandbox_netns(pod.sandbox))

    def ping(self, pod, address, deadline=10):
        """Ping from the pod's container until it answers; the first packets wait for ARP."""
        end = time.monotonic() + deadline
        while True:
            status, out, err = self.kubelet.exec(pod, ["ping", "-c", "1", "-W", "1", address])
            if status == 0:
                return
            if time.monotonic() > end:
                raise AssertionError(f"no answer from {address}: {out}{err}")

    def check_in_pod(self, pod, name, want=None, mtu=None, mac=None):
        """The NIC is in the pod under that name, up, with these addresses, MTU and MAC."""
        links = self.pod_links(pod)
        if name not in links:
            raise AssertionError(f"{name} is not in the pod: {sorted(links)}")
        link = links[name]
        for what, got, wanted in (("addresses", addresses(link), sorted(want or [])),
                                  ("mtu", link["mtu"], mtu), ("mac", link["address"], mac)):
            if wanted and got != wanted:
                raise AssertionError(f"{name} in the pod: {what} {got}, wanted {wanted}")
        if "UP" not in link["flags"]:
            raise AssertionError(f"{name} in the pod is not up: {link['flags']}")
        return link

    def check_home(self, name, before, deadline=10):
        """The NIC is on the host again and as it was; waits, for coming home may take a while."""
        state = {}

        def back():
            if not self.net.exists(name):
                state["why"] = ["it is not there"]
                return False
            state["why"] = differences(before, self.net.host_dump(name))
            return not state["why"]
        try:
            self.wait(back, deadline, f"{name} to be back as it was")
        except TimeoutError:
            raise AssertionError(f"{name} did not come back as it was: {state['why']}") from None

    def check_status(self, claim, nic_in_pod, want=(), mac=None, deadline=10):
        """The claim's status tells of that interface what the kernel shows."""
        def told():
            for entry in self.device_status(claim).values():
                data = entry.get("networkData", {})
                ready = any(item["type"] == "Ready" and item["status"] == "True"
                            for item in entry.get("conditions", []))
                if ready and data.get("interfaceName") == nic_in_pod and \
                        sorted(data.get("ips", [])) == sorted(want) and \
                        mac in (None, data.get("hardwareAddress")):
                    return True
            return False
        self.wait(told, deadline, f"status of claim {claim} for {nic_in_pod} with {list(want)};"
                                  f" it is {self.device_status(claim)}")


__all__ = ["Cluster", "FABRIC", "DRIVER", "ROOT", "binary"]
