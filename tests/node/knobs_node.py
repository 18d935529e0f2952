"""What the tests of the configuration share: a NIC of the host, a pod that has it, and what ip, ethtool, tc, sysctl and bpftool say of it.

    with attached({"interface": {"mtu": 1400}}) as pod:
        pod.ip("link", "show", "dev", "nic0")
    # here the NIC was compared with what it was before
"""

import contextlib
import json

from cluster import DRIVER
from cluster_cases import Lane, expect
from kubelet import PodFailed

LANE = Lane(seed=4)
TABLES = ("rule", "nexthop")


class InPod:
    """The tools of the machine, in a pod's network namespace."""

    def __init__(self, pod, nic):
        self.pod, self.nic, self.netns = pod, nic, LANE.cluster.cri.sandbox_netns(pod.sandbox)

    def run(self, *command, check=True):
        # sysctl and /proc/sys/net show the namespace of the process, whoever mounted them.
        return LANE.cluster.corner.run(["nsenter", f"--net={self.netns}", *command], check=check).stdout

    def ip(self, *words):
        text = self.run("ip", "-j", "-d", *words).strip()
        return json.loads(text) if text else []

    def link(self, name):
        return self.ip("addr", "show", "dev", name)[0]

    def sysctl(self, name):
        return self.run("sysctl", "-n", name).strip()

    def route(self, destination, table="main", family="-4"):
        """The routes to one destination, as ip lists them."""
        return [route for route in self.ip(family, "route", "show", "table", str(table))
                if route["dst"] == destination]

    def rules(self, priority=None, family="-4"):
        return [rule for rule in self.ip(family, "rule", "show")
                if priority is None or rule["priority"] == priority]


def host(*command, check=True):
    return LANE.cluster.corner.run(list(command), check=check).stdout


def ethtool(run, name):
    """Whatever ethtool can read of a link; what its driver does not have is nothing."""
    return {option: run("ethtool", option, name, check=False)
            for option in ("-k", "-g", "-l", "-c", "-a", "--show-priv-flags")}


def host_state(name):
    """Everything of the host's that a claim can change, as text of other people's tools."""
    state = dict(LANE.cluster.net.host_dump(name))
    state.update(ethtool(host, name))
    state["sysctls"] = sorted(host("sh", "-c", f"cd /proc/sys/net && grep -s . ipv[46]/conf/{name}/*",
                                   check=False).splitlines())
    state["xdp"] = "prog/xdp" in host("ip", "link", "show", "dev", name)
    for family in ("-4", "-6"):
        state["rules" + family] = host("ip", family, "rule", "show")
    return state


def compare(was, now):
    """What differs, each line of it."""
    told = []
    for key in was:
        if was[key] == now.get(key):
            continue
        if isinstance(was[key], list):
            told.append(f"{key}: only before {[x for x in was[key] if x not in now[key]]},"
                        f" only after {[x for x in now[key] if x not in was[key]]}")
        else:
            told.append(f"{key}:\n  was {was[key]!r}\n  is  {now.get(key)!r}")
    return told


def came_home(name, was):
    """Waits: a pod may be gone before its NIC is back."""
    state = {}

    def back():
        state["why"] = compare(was, host_state(name)) if LANE.cluster.net.exists(name) else ["it is not there"]
        return not state["why"]
    try:
        LANE.cluster.wait(back, 10, f"{name} to be back as it was")
    except TimeoutError:
        raise AssertionError(f"{name} did not come back as it was:\n" + "\n".join(state["why"])) from None


@contextlib.contextmanager
def nic(name="nic0", prepare=(), **options):
    """A NIC with the host's own configuration; `prepare` are commands that finish it."""
    cluster = LANE.cluster
    options.setdefault("addresses", ["198.18.0.2/24", "2001:db8:a::2/64"])
    options.setdefault("fabric", ["198.18.0.1/24", "2001:db8:a::1/64"])
    if options.pop("make", True):
        cluster.net.add_nic(name, **options)
    try:
        for command in prepare:
            host(*command.split())
        cluster.wait_published(name)
        yield name
    finally:
        if cluster.net.exists(name):
            cluster.net.remove_nic(name)
        cluster.wait(lambda: name not in cluster.published(), 10, f"{name} to leave the slices")


@contextlib.contextmanager
def running(claim, name, parameters=None, create=True, listed=True):
    """A pod with that claim for the NIC, which its container lists or not; afterwards the host must be as it was."""
    cluster = LANE.cluster
    was = host_state(name)
    if create:
        cluster.claim_for(claim, name, parameters)
    manifest = cluster.pod_manifest(claim + "-pod", claim)
    if not listed:
        del manifest["spec"]["containers"][0]["resources"]
    try:
        yield InPod(cluster.kubelet.run_pod(manifest), name)
    finally:
        for pod in list(cluster.kubelet.pods.values()):
            cluster.kubelet.stop_pod(pod)
        cluster.delete("resourceclaims", claim)
    came_home(name, was)


@contextlib.contextmanager
def attached(parameters=None, name="nic0", listed=True, **options):
    with nic(name, **options), running("knob", name, parameters, listed=listed) as pod:
        yield pod


def refused(parameters, *parts, name="nic0", **options):
    """The pod must not run, its claim must say why with every part, and the host stays as it is."""
    cluster = LANE.cluster
    with nic(name, **options):
        was = host_state(name)
        cluster.claim_for("knob", name, parameters)
        manifest = cluster.pod_manifest("knob-pod", "knob")
        try:
            cluster.kubelet.run_pod(manifest, deadline=1.5)
            raise AssertionError("the pod runs")
        except PodFailed as error:
            for part in parts:
                expect(part in str(error), f"{part!r} is not in: {error}")
        finally:
            for pod in list(cluster.kubelet.pods.values()):
                cluster.kubelet.stop_pod(pod)
            cluster.delete("resourceclaims", "knob")
        came_home(name, was)


def events(claim="knob", reason=None):
    return [event for event in LANE.cluster.api.objects("events")
            if event.get("regarding", event.get("involvedObject", {})).get("name") == claim
            and reason in (None, event.get("reason"))]


__all__ = ["DRIVER", "InPod", "LANE", "attached", "came_home", "events", "host", "host_state", "nic", "refused", "running"]
