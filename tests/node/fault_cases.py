"""What the tests of faults share: pods that prove for themselves that they have their NIC, a node that must be
clean afterwards, and the harm done on NRI's socket."""

import os
import queue
import signal
import subprocess
import threading

from cluster import DRIVER
from cluster_cases import expect, same

HERE = os.path.dirname(os.path.abspath(__file__))
PROXY_SOCKET = "/run/nri-proxy.sock"
VERDICTS = "/run/verdicts"
# The container's own first act: is the interface there, up and with its address?
PROOF = ('if [ "$(cat /sys/class/net/{nic}/operstate 2>&1)" != down ] && ip -o addr show dev {nic} 2>&1 |'
         ' grep -qF " {address}"; then echo with; else echo without; fi >> /verdicts/{pod}; exec sleep 2147483647')


class Proven:
    """A pod with a claim for one NIC or several; its container tells in a file what it found when it began."""

    def __init__(self, cluster, name, *nics):
        self.cluster, self.name, self.nics = cluster, name, nics
        claims = []
        for i, nic in enumerate(nics):
            claims.append(f"{name}-{nic}")
            cluster.claim_for(claims[-1], nic, {"interface": {
                "name": f"net{i}", "addresses": [self.address(i)]}})
        self.claims = claims
        manifest = cluster.pod_manifest(name, *claims)
        container = manifest["spec"]["containers"][0]
        proofs = [PROOF.format(nic=f"net{i}", address=self.address(i), pod=name) for i in range(len(nics))]
        command = "".join(proof.replace("exec sleep 2147483647", "") for proof in proofs)
        container["command"] = ["sh", "-c", command + "exec sleep 2147483647"]
        container["volumeMounts"] = [{"name": "verdicts", "mountPath": "/verdicts"}]
        manifest["spec"]["volumes"] = [{"name": "verdicts", "hostPath": {"path": VERDICTS}}]
        os.makedirs(cluster.corner.path(VERDICTS), exist_ok=True)
        if self.verdicts():
            cluster.corner.remove(f"{VERDICTS}/{name}")  # of an earlier pod of that name
        self.pod = cluster.kubelet.create_pod(manifest)
        self.thread, self.error = None, None

    def address(self, i):
        third = sum(self.name.encode()) % 250
        return f"10.{100 + i}.{third}.7/24"

    def prepare(self):
        self.cluster.kubelet.allocator.schedule(self.pod.obj)
        self.cluster.kubelet.claims.prepare(self.pod.obj, self.pod.names)
        return self

    def run(self, deadline=60):
        self.cluster.kubelet.run_pod(self.pod, deadline)
        return self

    def begin(self, deadline=60):
        """run(), beside what the test does meanwhile; ends with join()."""
        def work():
            try:
                self.run(deadline)
            except Exception as error:  # told by join()
                self.error = error
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        return self

    def join(self, deadline=90):
        self.thread.join(deadline)
        expect(not self.thread.is_alive(), f"pod {self.name} still starts after {deadline} s")
        if self.error:
            raise self.error
        return self

    def verdicts(self):
        try:
            with open(self.cluster.corner.path(f"{VERDICTS}/{self.name}"), encoding="utf-8") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def check(self):
        """It runs, and none of its containers ever ran without its NICs."""
        self.cluster.wait(lambda: len(self.verdicts()) >= len(self.nics), 10, f"the verdict of {self.name}")
        expect("without" not in self.verdicts(), f"a container of {self.name} ran without its NIC: {self.verdicts()}")
        for i in range(len(self.nics)):
            self.cluster.check_in_pod(self.pod, f"net{i}", [self.address(i)])
        return self

    def stop(self, deadline=60):
        self.cluster.kubelet.stop_pod(self.pod, deadline)
        return self.forget()

    def forget(self):
        expect("without" not in self.verdicts(), f"a container of {self.name} ran without its NIC: {self.verdicts()}")
        for claim in self.claims:
            self.cluster.delete("resourceclaims", claim)
        return self


def add_nic(cluster, name, mac=None):
    """A veth with addresses and a route of the host's own, told apart by the number at the end of its name."""
    i = int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
    cluster.net.nics.pop(name, None)
    cluster.net.add_nic(name, mtu=1400 + i, mac=mac, addresses=[f"198.18.{i}.2/24", f"2001:db8:a{i}::2/64"])
    cluster.net.ip("route", "add", f"198.19.{i}.0/24", "via", f"198.18.{i}.9", "dev", name)


def add_nics(cluster, count):
    """Names of that many such NICs, published; those that are there already stay."""
    names = [f"nic{i}" for i in range(count)]
    for name in names:
        if not cluster.net.exists(name):
            add_nic(cluster, name)
    cluster.wait_published(*names, deadline=20)
    return names


def tidy(cluster):
    """Take away what a test that failed has left, so that the next one tells of itself."""
    for pod in list(cluster.kubelet.pods.values()):
        print(f"note pod {pod.name} was left by the test before")
        try:
            cluster.kubelet.stop_pod(pod, 20)
            for claim in pod.names.values():
                cluster.delete("resourceclaims", claim)
        except Exception as error:  # it is the earlier test that failed
            print(f"note it cannot be taken away: {error!r}")


def dumps(cluster, names):
    return {name: cluster.net.host_dump(name) for name in names}


def check_all_home(cluster, before):
    for name, dump in before.items():
        cluster.check_home(name, dump)


def pinned(cluster):
    """The network namespaces dranetd holds open, but for the host's."""
    pid = cluster.dranetd_pid()
    directory, own, found = f"/proc/{pid}/fd", os.readlink(f"/proc/{pid}/ns/net"), []
    for name in os.listdir(directory):
        try:
            target = os.readlink(f"{directory}/{name}")
        except FileNotFoundError:
            continue
        if target != own and (target.startswith("net:[") or "/netns/" in target):
            found.append(target)
    return found


def leftovers(cluster):
    """What a node without claims must not have: spec files, markers, records, held namespaces."""
    found = []
    for directory in ("/run/cdi", "/run/dranetd/attached", "/run/dranetd/claims"):
        found += [f"{directory}/{name}" for name in os.listdir(cluster.corner.path(directory))]
    return found + pinned(cluster)


def check_clean(cluster, deadline=15):
    cluster.wait(lambda: not leftovers(cluster), deadline, f"nothing to be left; there is {leftovers(cluster)}")


def remove_sandboxes(cluster):
    """The kubelet's garbage collection: what calls that never came back have left."""
    kept = {pod.sandbox for pod in cluster.kubelet.pods.values()}
    for item in cluster.cri.list_sandboxes():
        if item.id not in kept:
            cluster.cri.stop_sandbox(item.id)
    for item in cluster.cri.list_containers():
        if item.pod_sandbox_id not in kept:
            cluster.cri.remove_container(item.id)
    for item in cluster.cri.list_sandboxes():
        if item.id not in kept:
            cluster.cri.remove_sandbox(item.id)


def halt(cluster):
    os.kill(cluster.dranetd_pid(), signal.SIGSTOP)


def resume(cluster):
    """nsenter(1) above the driver halts itself when the driver does."""
    halted = [int(pid) for pid in subprocess.run(
        ["pgrep", "-P", str(cluster.process.pid)], stdout=subprocess.PIPE, text=True, check=False).stdout.split()]
    for pid in halted + [cluster.process.pid]:
        os.kill(pid, signal.SIGCONT)


class NriProxy:
    """nri_proxy.py in the corner, and what it says."""

    def __init__(self, cluster, target="/run/nri/nri.sock"):
        self.said = queue.Queue()
        self.process = cluster.corner.popen(
            ["/usr/bin/python3", os.path.join(HERE, "nri_proxy.py"), PROXY_SOCKET, target],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        same(self.said.get(timeout=20), "listening")

    def _read(self):
        for line in self.process.stdout:
            self.said.put(line.strip())

    def want(self, harm):
        self.process.stdin.write(harm + "\n")
        self.process.stdin.flush()

    def wait(self, harm, deadline=20):
        """Until that harm has begun."""
        try:
            same(self.said.get(timeout=deadline), harm)
        except queue.Empty:
            raise AssertionError(f"{harm!r} never came about") from None

    def go(self):
        self.want("go")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


__all__ = ["Proven", "NriProxy", "PROXY_SOCKET", "DRIVER", "add_nic", "add_nics", "dumps", "check_all_home", "check_clean",
           "halt", "leftovers", "pinned", "remove_sandboxes", "resume", "tidy"]
