"""What kill.py needs of a node: a daemon that dies where it is told, NICs that outlive a pod's network
namespace as hardware does, and the whole host compared before and after.

The NICs are virtual, and the kernel destroys a virtual link with the namespace it is in. A hardware NIC it
moves to the initial namespace instead, unconfigured and down. So the test holds the namespace of each pod,
and when nobody else does any more (its name is gone, its processes, and the descriptor of dranetd) it moves
the NICs home with the same operation the kernel uses. Everything else is real. The kernel takes its time for
that; dranetd knows by its PCI function that a NIC is on the way, which ours have not. So a daemon that died while
the runtime takes a pod down is started again when that is over.
"""

import collections
import ctypes
import fcntl
import glob
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from cluster import DRIVER, Cluster
from cluster_net import addresses
from kubelet_plugins import KubeletError

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, SIOCETHTOOL, ETHTOOL_GFEATURES, ETHTOOL_SGSO = 0x40000000, 0x8946, 0x3A, 0x24
KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)
HERE = "every NIC is here"
LOWER = "lower0"

Spec = collections.namedtuple("Spec", "name kind pod address parameters")
NICS = (
    Spec("nic0", "veth", "net0", "192.0.2.70/24", {
        "interface": {"name": "net0", "addresses": ["192.0.2.70/24", "2001:db8:7::70/64"], "mtu": 1400,
                      "hardwareAddr": "02:00:00:00:00:70"},
        "routes": [{"destination": "198.51.100.0/24", "gateway": "192.0.2.1"},
                   {"destination": "0.0.0.0/0", "gateway": "192.0.2.1", "table": 170}],
        "rules": [{"source": "192.0.2.70/32", "table": 170, "priority": 1070}],
        "ethtool": {"features": {"tso": False, "gro": True}},
        "neighbors": [{"destination": "192.0.2.71", "hardwareAddr": "02:00:00:00:00:71"}]}),
    Spec("nic1", "ifb", "net1", "203.0.113.13/24", {
        "interface": {"name": "net1", "addresses": ["203.0.113.13/24"]}}),
    Spec("nic2", "veth", "net2", "198.18.2.70/24", {
        "interface": {"name": "net2", "addresses": ["198.18.2.70/24"], "arpIgnore": 1, "forwarding": True,
                      "disableEbpfPrograms": True}}),
    # In the pod it bears the name of another link of the host.
    Spec("nic3", "macvlan", LOWER, "198.18.4.44/24", {
        "interface": {"name": LOWER, "addresses": ["198.18.4.44/24"]}}),
)


class KillableCluster(Cluster):
    """Each of its daemons writes the trace and looks for the point at which to die."""

    def __init__(self, flags=(), **options):
        super().__init__(kubelet_options={"sync_backoff": 0.05}, **options)
        self.flags = flags
        self.trace_path = os.path.join(self.directory, "marks")
        self.kill_path = os.path.join(self.directory, "kill-at")
        self.log_limit = 0

    def start_dranetd(self, *flags, environment=None, **options):
        more = {"DRANETD_MARK_TRACE": self.trace_path, "DRANETD_KILL_AT": self.kill_path}
        return super().start_dranetd(*self.flags, *flags, environment={**more, **(environment or {})}, **options)

    def arm(self, point):
        """Whole or not at all: the daemon reads it at any moment."""
        with open(self.kill_path + ".new", "w", encoding="ascii") as file:
            file.write(point)
        os.rename(self.kill_path + ".new", self.kill_path)

    def clear_trace(self):
        with open(self.trace_path, "w", encoding="ascii"):
            pass

    def trace(self):
        try:
            with open(self.trace_path, encoding="ascii") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []


class Hold:
    """The descriptor by which the test keeps a pod's network namespace."""

    def __init__(self, corner, path):
        self.corner, self.path = corner, path
        self.fd = os.open(corner.path(path), os.O_RDONLY)
        self.inode = os.fstat(self.fd).st_ino

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def named(self):
        try:
            return os.stat(self.corner.path(self.path)).st_ino == self.inode
        except OSError:
            return False

    def held_by(self, pid):
        """Whether that process keeps the kernel from taking the namespace down."""
        return self.inode in namespaces_of(pid)

    def send_home(self):
        """What the kernel does with hardware in a namespace that ends."""
        inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.fd}", "ip"]
        done = subprocess.run([*inside, "-j", "link"], check=True, stdout=subprocess.PIPE, text=True)
        for link in json.loads(done.stdout or "[]"):
            if link["ifname"] in ("lo", "eth0"):
                continue
            move = [*inside, "link", "set", "dev", link["ifname"], "netns", str(self.corner.init)]
            if subprocess.run(move, stderr=subprocess.DEVNULL, check=False).returncode != 0:  # the name is taken there
                subprocess.run([*move, "name", f"dev{link['ifindex']}"], check=True)


def namespaces_of(pid):
    """Inodes of the network namespaces a process has open. The links' texts do not tell: that of a
    namespace opened by its name is the name, and nothing once that is gone."""
    own, found = os.stat("/proc/self/ns/net"), set()
    for link in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            seen = os.stat(link)
        except OSError:
            continue
        if seen.st_dev == own.st_dev:
            found.add(seen.st_ino)
    return found


def socket_in(namespace, kind=socket.SOCK_DGRAM):
    """An IPv4 socket of a network namespace (a descriptor), for ioctls or a connection there."""
    found = []

    def make():
        if libc.setns(namespace, CLONE_NEWNET) == 0:
            found.append(socket.socket(socket.AF_INET, kind))
    thread = threading.Thread(target=make)  # and its namespace ends with it
    thread.start()
    thread.join()
    return found[0]


def switch_off_gso(sock, name):
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_SGSO, 0))
    fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP8x", name.encode(), ctypes.addressof(value)))


def features(sock, name):
    """What ethtool -k shows, as (requested, active) words."""
    block = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_GFEATURES, 4) + bytes(4 * 16))
    fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP8x", name.encode(), ctypes.addressof(block)))
    words = struct.unpack_from(f"{4 * struct.unpack_from('I', block, 4)[0]}I", block, 8)
    return [f"{words[i + 1]:08x} {words[i + 2]:08x}" for i in range(0, len(words), 4)]


class Node:
    """One corner, one API server and kubelet, four NICs, and a daemon at a time."""

    def __init__(self, seed, flags=()):
        self.cluster = KillableCluster(seed=seed, flags=flags)
        self.plan = []      # points of the next lives
        self.deaths = []    # how many points had been passed at each
        self.by_hand = 0    # how many of them were not its own
        self.busy = False   # the runtime takes a pod down
        self.away = False   # nobody starts the next daemon yet
        self.hold = self.sock = None
        self.serial = 0

    def __enter__(self):
        self.cluster.__enter__()
        try:
            self._make_nics()
            self.cluster.arm("")
            self.cluster.start_dranetd()
            self.cluster.wait_published(*(nic.name for nic in NICS))
            with open(f"/proc/{self.cluster.corner.init}/ns/net", encoding="ascii") as host:
                self.sock = socket_in(host.fileno())
        except BaseException as error:
            self.cluster.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, *what):
        self.cluster.arm("")
        self.cluster.__exit__(None, None, None)

    def _make_nics(self):
        net, run = self.cluster.net, self.cluster.corner.run
        # Addresses are there at once, not after a second of looking for duplicates; the CNI would turn forwarding on.
        run(["sh", "-ec", "cd /proc/sys/net; for each in default all; do echo 0 > ipv6/conf/$each/accept_dad; done;"
             " echo 1 > ipv4/ip_forward"])
        net.add_nic("nic0", fabric=["192.0.2.1/24"], addresses=["192.0.2.99/24", "2001:db8:7::99/64"], mtu=1480)
        net.add_nic("nic1", "ifb", mac="02:00:00:00:0b:01", addresses=["203.0.113.99/24"])
        net.add_nic("nic2", fabric=["198.18.2.1/24"], addresses=["198.18.2.99/24"])
        net.add_nic(LOWER, fabric=["198.18.4.1/24"])
        net.add_nic("nic3", "macvlan", lower=LOWER)
        net.ip("link", "set", "nic0", "txqueuelen", "777", "alias", "to rack 7, port 3")
        net.ip("link", "property", "add", "dev", "nic0", "altname", "enp131s0f0")
        run(["sh", "-ec", "cd /proc/sys/net; echo 2 > ipv4/conf/nic0/rp_filter; echo 1 > ipv6/conf/nic0/forwarding"])
        net.ip("route", "add", "198.51.100.0/24", "via", "192.0.2.1", "dev", "nic0", "metric", "50")
        net.ip("route", "add", "default", "via", "192.0.2.1", "dev", "nic0", "table", "199", "src", "192.0.2.99")
        net.ip("rule", "add", "from", "192.0.2.99", "lookup", "199", "priority", "1099")
        net.ip("neigh", "add", "192.0.2.77", "lladdr", "02:00:00:00:00:77", "dev", "nic0", "nud", "permanent")

    # ---- the daemon's deaths and the kernel's part ----------------------------------------------

    def tick(self):
        """Bury a daemon that died and start the next; move home what a dead namespace held."""
        cluster = self.cluster
        if cluster.process is not None and cluster.process.poll() is not None:
            status = cluster.process.returncode
            if status not in KILLED:
                raise AssertionError(f"dranetd ended with status {status}:\n{cluster.dranetd_log()[-3000:]}")
            cluster.stop_dranetd()
            self.deaths.append(len(cluster.trace()))
            cluster.arm(self.plan.pop(0) if self.plan else "")
        if cluster.process is None and not self.busy and not self.away:
            self.end_namespace()
            cluster.start_dranetd(wait=False)
        elif cluster.process is not None:
            self.end_namespace()

    def end_namespace(self):
        if self.hold is None or self.hold.named():
            return
        process = self.cluster.process
        pid = process.child(0.5) if process is not None and process.poll() is None else None
        if pid is None or not self.hold.held_by(pid):
            self.hold.send_home()
            self.hold.close()
            self.hold = None

    def drive(self, work, deadline):
        """Do work() as the kubelet's own thread does, and see to the daemon meanwhile."""
        result = []

        def body():
            try:
                result.append((work(), None))
            except BaseException as error:
                result.append((None, error))
        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        end = time.monotonic() + deadline
        while thread.is_alive():
            self.tick()
            thread.join(0.005)
            if time.monotonic() > end:
                raise TimeoutError(f"not within {deadline} s: {work}")
        value, error = result[0]
        if error is not None:
            raise error
        return value

    def wait(self, condition, deadline, what):
        """`what` may be a function that tells how far it is."""
        end = time.monotonic() + deadline
        while not condition():
            self.tick()
            if time.monotonic() > end:
                raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what}")
            time.sleep(0.004)

    def settle(self):
        """Until the daemon passes no points any more, or is dead: the phase is over. When it is only known that it comes to
        rest, and not that there is nothing to come, look longer."""
        quiet = 0.03 if len(self.deaths) > self.by_hand else 0.12
        last, since = None, time.monotonic()
        end = since + 30  # the kubelet dials a socket for 10 s, and a daemon may die under it
        while time.monotonic() < end:
            self.tick()
            now = (len(self.cluster.trace()), len(self.deaths))
            if now != last:
                last, since = now, time.monotonic()
            elif self.away and self.cluster.process is None:
                return
            elif time.monotonic() - since > quiet and self.connected():
                return
            time.sleep(0.01)
        raise AssertionError("the daemon does not come to rest")

    def connected(self):
        return self.cluster.process is not None and \
            any(plugin.connected for plugin in self.cluster.kubelet.plugins.registered(DRIVER))

    # ---- a pod's life ---------------------------------------------------------------------------

    def create_pod(self, count, doomed=False):
        """A claim of `count` NICs and a pod whose container proves that they are there before it does anything.
        With `doomed` one of the NICs, after others where there are others, asks for what the kernel refuses."""
        self.serial += 1
        name, nics = f"pod{self.serial}", list(NICS[:count])
        if doomed:
            at = count // 2
            nics[at] = nics[at]._replace(parameters={**nics[at].parameters, "routes": [
                *nics[at].parameters.get("routes", []), {"destination": "100.64.0.0/10", "gateway": "100.127.0.1"}]})
        self.cluster.create({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name},
            "spec": {"devices": {
                "requests": [{"name": nic.name, "exactly": {"deviceClassName": DRIVER, "selectors": [{"cel": {
                    "expression": f'device.attributes["{DRIVER}"].ifName == "{nic.name}"'}}]}} for nic in nics],
                "config": [{"requests": [nic.name], "opaque": {"driver": DRIVER, "parameters": nic.parameters}}
                           for nic in nics]}}})
        manifest = self.cluster.pod_manifest(name, name)
        checks = "; ".join(f"ip addr show dev {nic.pod} | tr '\\n' ' ' | grep -q '[<,]UP[,>].* {nic.address} '"
                           f" || echo missing {nic.pod}" for nic in nics)
        manifest["spec"]["containers"][0]["command"] = [
            "sh", "-c", f"{checks}; echo {HERE}; exec sleep 2147483647"]
        return self.cluster.kubelet.create_pod(manifest)

    def start_pod(self, pod):
        """Until it runs, or until the daemon is dead and nobody starts another."""
        kubelet = self.cluster.kubelet

        def attempt(pod):
            try:
                kubelet._start(pod)
            except KubeletError:
                if not self.away or self.cluster.process is not None:
                    raise
        try:
            kubelet._retry(pod, attempt, 25, "was not running")
        finally:
            if self.hold is None and pod.sandbox is not None:
                self.hold = Hold(self.cluster.corner, self.cluster.cri.sandbox_netns(pod.sandbox))

    def fail_pod(self, pod, points):
        """Until an attempt of the last daemon that is to die, or of its heir, has failed for the doomed NIC."""
        kubelet, end = self.cluster.kubelet, time.monotonic() + 10
        while True:
            deaths = len(self.deaths)
            try:
                kubelet._start(pod)
            except KubeletError as error:
                if "cannot add the route 100.64.0.0/10" in str(error) and deaths >= points:
                    return
            else:
                raise AssertionError("the pod runs without a route that the kernel refuses")
            if time.monotonic() > end:
                if deaths < points:
                    return  # what it was to die at did not come
                raise AssertionError("no attempt failed for the route: " + "; ".join(pod.messages()))
            time.sleep(0.05)

    def disturb(self, count):
        """What a pod may do to its NICs, and must not leave on them."""
        inside = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.hold.fd}"]
        script = "; ".join(f"ip link set {nic.pod} mtu 1300 alias 'mine now' txqueuelen 13; ip addr add 10.9.9.9/32 dev {nic.pod}"
                           f"; ip link property add dev {nic.pod} altname my-{nic.pod}" for nic in NICS[:count])
        subprocess.run([*inside, "sh", "-ec", script], check=True)
        with socket_in(self.hold.fd) as sock:
            for nic in NICS[:count]:
                switch_off_gso(sock, nic.pod)

    def kill(self):
        """The daemon dies by another's hand; tick() sees to the next."""
        self.by_hand += 1
        self.cluster.process.send_signal(signal.SIGKILL)
        self.cluster.process.wait(timeout=20)

    def stop_pod(self, pod):
        """As Kubelet.stop_pod, but a runtime that refuses is asked again too."""
        kubelet = self.cluster.kubelet

        def kill(pod):
            self.busy = True
            try:
                kubelet.kill_pod(pod)
                if self.away:
                    kubelet._remove(pod)
            finally:
                self.busy = self.away = False
        kubelet._retry(pod, kill, 25, "was not stopped")
        kubelet._retry(pod, lambda pod: kubelet.claims.unprepare(pod.obj, pod.names), 25, "was not unprepared")
        kubelet._retry(pod, kubelet._remove, 25, "was not removed")
        kubelet.forget_pod(pod)

    def said(self, pod):
        """What the pod's containers wrote, all of them, also those that are gone."""
        logs = self.cluster.corner.path(f"/run/pods/{pod.namespace}_{pod.name}_{pod.uid}")
        text = ""
        for path in glob.glob(logs + "/*.log"):
            with open(path, encoding="utf-8", errors="replace") as file:
                text += file.read()
        return text

    def check_running(self, pod, count):
        self.wait(lambda: HERE in self.said(pod), 5, lambda: f"the container's own word: {self.said(pod)!r}")
        self.check_never_without(pod)
        links = self.cluster.pod_links(pod)
        for nic in NICS[:count]:
            link, wanted = links.get(nic.pod), nic.parameters["interface"]["addresses"]
            if not link or "UP" not in link["flags"] or addresses(link) != sorted(wanted):
                raise AssertionError(f"{nic.pod} in the pod: {link}, wanted up and {wanted}")
        told = {}

        def ready():
            told.update(self.cluster.device_status(pod.name))
            return sum(any(item["type"] == "Ready" and item["status"] == "True" for item in entry.get("conditions", []))
                       for entry in told.values()) == count
        self.wait(ready, 10, lambda: f"the claim's status to say Ready {count} times; it is {told}")

    def check_forgotten(self, pod):
        """The claim's status says nothing of us any more."""
        self.wait(lambda: not self.cluster.device_status(pod.name), 10,
                  lambda: f"the status to be cleared; it is {self.cluster.device_status(pod.name)}")
        self.cluster.delete("resourceclaims", pod.name)

    def check_never_without(self, pod):
        text = self.said(pod)
        if "missing" in text:
            raise AssertionError(f"a container ran without its device: {text}")

    # ---- the host -------------------------------------------------------------------------------

    def dump(self):
        """Everything of the host's network but the runtime's own bridge; name of the thing -> what it is."""
        script = "; ".join(f"ip -d -j {words}; echo" for words in (
            "link show", "addr show", "-4 route show table all", "-6 route show table all", "-4 rule", "-6 rule",
            "neigh show nud permanent"))
        script += "; grep -s . /proc/sys/net/ipv[46]/conf/nic?/* || true"  # one of them cannot be read
        lines = self.cluster.corner.run(["sh", "-c", script]).stdout.split("\n")
        parts = [json.loads(line) for line in lines if line.startswith("[")]
        mine = {"lo", LOWER, *(nic.name for nic in NICS)}
        found = {}
        for link in parts[0]:
            if link["ifname"] in mine:
                # The number is the kernel's to give: it is another when a link of the pod bears the old one.
                found[f"link {link['ifname']}"] = {key: link[key] for key in link if key != "ifindex"}
            elif not link["ifname"].startswith(("cni", "veth")):
                found[f"stranger {link['ifname']}"] = link
        for link in parts[1]:
            if link["ifname"] in mine:
                found[f"addresses of {link['ifname']}"] = sorted(
                    json.dumps(item, sort_keys=True) for item in link["addr_info"])
        for family, routes in (("IPv4", parts[2]), ("IPv6", parts[3])):
            found[f"{family} routes"] = sorted(json.dumps(route, sort_keys=True) for route in routes
                                               if route.get("dev") in mine)
        for family, rules in (("IPv4", parts[4]), ("IPv6", parts[5])):
            found[f"{family} rules"] = sorted(json.dumps(rule, sort_keys=True) for rule in rules)
        found["neighbours"] = sorted(json.dumps(item, sort_keys=True) for item in parts[6] if item.get("dev") in mine)
        found["sysctls"] = sorted(line for line in lines if line.startswith("/proc"))
        for nic in NICS:
            try:
                found[f"features of {nic.name}"] = features(self.sock, nic.name)
            except OSError as error:
                found[f"features of {nic.name}"] = str(error)
        return found

    def check_home(self, before):
        """Every device is on the host, nothing of it differs, and nothing was left behind."""
        state = {}

        def home():
            state["wrong"] = compare(before, self.dump()) + self.left_behind()
            return not state["wrong"]
        try:
            self.wait(home, 6, "")
        except AssertionError:
            raise AssertionError("; ".join(state["wrong"])) from None

    def check_possible(self):
        """The daemon's own table of states was never left."""
        with open(f"/proc/{self.cluster.corner.init}/ns/net", encoding="ascii") as host, \
                socket_in(host.fileno(), socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect(("127.0.0.1", 9177))
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with sock.makefile("rb") as file:
                text = file.read()
        if b"\ndranetd_impossible_transitions_total 0" not in text:
            raise AssertionError(f"impossible state changes: {text[-2000:]!r}")

    def left_behind(self):
        cluster, found = self.cluster, []
        for directory, allowed in (("/run/dranetd/claims", 0), ("/run/dranetd/attached", 0),
                                   ("/run/dranetd/gate", 1), ("/run/cdi", 0)):
            names = os.listdir(cluster.corner.path(directory))
            if len(names) != allowed:
                found.append(f"left in {directory}: {names}")
        if self.hold is not None:
            found.append("the pod's namespace is still there")
        pid, own = cluster.dranetd_pid(), os.stat(f"/proc/{cluster.corner.init}/ns/net").st_ino
        found += [f"dranetd holds the namespace {inode}" for inode in namespaces_of(pid) - {own}]
        return found


def compare(before, after):
    """Readable differences of two dumps."""
    found = []
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key), after.get(key)
        if a == b:
            continue
        if isinstance(a, dict) and isinstance(b, dict):
            found += [f"{key}: {name} was {a.get(name)!r}, is {b.get(name)!r}"
                      for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
        elif isinstance(a, list) and isinstance(b, list):
            found += [f"{key}: lost {item}" for item in a if item not in b]
            found += [f"{key}: new {item}" for item in b if item not in a]
        else:
            found.append(f"{key}: was {a!r}, is {b!r}")
    return found


__all__ = ["Node", "NICS"]
