#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A NIC with hundreds of virtual functions (netdevsim): discovery must not ask for them in a dump of the links, for which the kernel holds
RTNL while it asks the driver of each VF. What is asked is read by the kernel's own tap on netlink (nlmon); how long the kernel is at it,
by probes on the function that answers. The time is told, not judged: it is the emulated machine's."""

import collections
import contextlib
import ctypes
import os
import re
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "node"))

from cluster_cases import Lane, expect  # noqa: E402
from guest import modprobe, run  # noqa: E402
from runtime.corner import Corner  # noqa: E402


class Node(Lane):
    """A corner without a runtime: discovery needs none."""

    @property
    def cluster(self):
        if self.started is None:
            corner = Corner()
            corner.start(containerd=False)
            self.options["corner"] = corner
        return super().cluster


LANE = Node(seed=5)
SIM = 20
VFS = 256
DUMPS = 20
NEWLINK, GETLINK, DONE, ERROR = 16, 18, 3, 2
REQUEST, DUMP = 0x1, 0x300
EXT_MASK, VFINFO_LIST = 29, 22
FILTER_VF = 1
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3

Request = collections.namedtuple("Request", "dump asks_for_vfs")


def socket_in(netns, *arguments):
    """A socket of another network namespace; only the thread that opens it goes there."""
    made = []

    def work():
        with open(netns, "rb") as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), CLONE_NEWNET) == 0:
                made.append(socket.socket(*arguments))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    expect(made, f"no socket in {netns}")
    return made[0]


def attributes(payload):
    at = 0
    while at + 4 <= len(payload):
        size, kind = struct.unpack_from("=HH", payload, at)
        if size < 4:
            return
        yield kind & 0x3FFF, payload[at + 4:at + size]
        at += (size + 3) & ~3


def messages(data):
    at = 0
    while at + 16 <= len(data):
        size, kind, flags = struct.unpack_from("=IHH", data, at)
        if size < 16:
            return
        yield kind, flags, data[at + 16:at + size]
        at += (size + 3) & ~3


def mask_of(body):
    """RTEXT_FILTER_* of a request for links, whose fixed part is a struct ifinfomsg or, from old tools, a struct rtgenmsg."""
    for kind, value in attributes(body[16:]):
        if kind == EXT_MASK and len(value) >= 4:
            return struct.unpack_from("=I", value)[0]
    return 0


class Tap:
    """Reads what goes over rtnetlink in a namespace."""

    def __init__(self, netns):
        self.requests, self.vf_answers = [], 0
        self.socket = socket_in(netns, socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.socket.bind(("nlmon0", ETH_P_ALL))
        self.socket.settimeout(0.1)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.listen)
        self.thread.start()

    def listen(self):
        while True:
            try:
                data, (_, protocol, *_) = self.socket.recvfrom(1 << 20)
            except TimeoutError:
                if self.ended.is_set():
                    return
                continue
            if protocol == socket.NETLINK_ROUTE:
                self.take(data)

    def take(self, data):
        for kind, flags, body in messages(data):
            if kind == GETLINK and flags & REQUEST:
                self.requests.append(Request(flags & DUMP == DUMP, bool(mask_of(body) & FILTER_VF)))
            elif kind == NEWLINK:
                self.vf_answers += any(kind == VFINFO_LIST for kind, _ in attributes(body[16:]))

    def end(self):
        """Whatever came before is in, for it reads until there is nothing."""
        self.ended.set()
        self.thread.join()
        self.socket.close()


class Probe:
    """Who was how long in the function that answers dumps of links: it is called with RTNL held, once for each part of the answer."""

    AT = "/sys/kernel/tracing"
    LINE = re.compile(r"^\s*(.+)-(\d+)\s+\[\d+\]\s+\S+\s+([\d.]+): (dump|dumped):", re.M)

    def __enter__(self):
        if not os.path.exists(f"{self.AT}/kprobe_events"):
            run("mount", "-t", "tracefs", "tracefs", self.AT)
        self.write("kprobe_events", "p:dump rtnl_dump_ifinfo\nr:dumped rtnl_dump_ifinfo")
        self.write("trace", "")
        self.write("events/kprobes/enable", "1")
        return self

    def __exit__(self, *_):
        self.write("events/kprobes/enable", "0")
        self.write("kprobe_events", "")

    def write(self, name, text):
        with open(f"{self.AT}/{name}", "w", encoding="ascii") as file:
            file.write(text)

    def seconds(self):
        """By the name of the process: (calls, seconds), since it was asked last."""
        with open(f"{self.AT}/trace", encoding="utf-8", errors="replace") as file:
            said = file.read()
        self.write("trace", "")
        begun, spent = {}, collections.defaultdict(lambda: [0, 0.0])
        for comm, pid, when, what in self.LINE.findall(said):
            if what == "dump":
                begun[pid] = float(when)
            elif pid in begun:
                spent[comm][0] += 1
                spent[comm][1] += float(when) - begun.pop(pid)
        return {comm: tuple(value) for comm, value in spent.items()}


def dump(netns, mask):
    """Dump the links as a client that wants them with this mask: (seconds, bytes of the answer)."""
    with socket_in(netns, socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(20)
        body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + struct.pack("=HHI", 8, EXT_MASK, mask)
        begun, size = time.monotonic(), 0
        sock.send(struct.pack("=IHHII", 16 + len(body), GETLINK, REQUEST | DUMP, 1, 0) + body)
        while True:
            data = sock.recv(1 << 20)
            size += len(data)
            for kind, _, said in messages(data):
                if kind in (DONE, ERROR):
                    error = struct.unpack_from("=i", said)[0]
                    expect(error == 0, f"the dump ended with {os.strerror(-error)}")
                    return time.monotonic() - begun, size


def grow(vfs):
    """From some 220 VFs on their list is longer than its attribute can say, so whoever asks for it gets nonsense."""
    directory = f"/sys/bus/netdevsim/devices/netdevsim{SIM}"
    with open(f"/sys/kernel/debug/netdevsim/netdevsim{SIM}/max_vfs", "w", encoding="ascii") as file:
        file.write(str(vfs))
    with open(f"{directory}/sriov_numvfs", "w", encoding="ascii") as file:
        file.write(str(vfs))


@contextlib.contextmanager
def many_vfs():
    """A netdevsim of the corner's with its VFs; its netdev's name."""
    cluster = LANE.cluster
    modprobe("netdevsim", "nlmon")
    cluster.corner.run(["sh", "-c", f"echo '{SIM} 1' > /sys/bus/netdevsim/new_device"])
    try:
        look = ["sh", "-c", f"ls /sys/bus/netdevsim/devices/netdevsim{SIM}/net"]
        name = cluster.wait(lambda: cluster.corner.run(look, check=False).stdout.split(), 10, "netdevsim's netdev")[0]
        grow(VFS)
        yield name
    finally:
        cluster.corner.run(["sh", "-c", f"echo {SIM} > /sys/bus/netdevsim/del_device"], check=False)


@contextlib.contextmanager
def tapped():
    netns = f"/proc/{LANE.cluster.corner.init}/ns/net"
    LANE.cluster.net.ip("link", "add", "nlmon0", "type", "nlmon")
    LANE.cluster.net.ip("link", "set", "nlmon0", "up")
    tap = Tap(netns)
    try:
        yield tap, netns
    finally:
        tap.end()
        LANE.cluster.net.ip("link", "del", "nlmon0")


def test_discovery_asks_for_no_vfs():
    cluster = LANE.cluster
    with many_vfs() as name:
        cluster.stop_dranetd()
        with tapped() as (tap, netns), Probe() as probe:
            cluster.restart_dranetd()
            cluster.wait_published(name)
            spent = probe.seconds()
        asked = collections.Counter(tap.requests)
        print(f"note from its start to its slice dranetd asked for links {len(tap.requests)} times:"
              f" {sum(n for what, n in asked.items() if what.dump)} dumps, of which {asked[Request(True, True)]} with VFs")
        print(f"note in the kernel: {spent}")
        expect(asked[Request(True, False)] > 0, "the tap saw no dump")
        expect(not asked[Request(True, True)] and not asked[Request(False, True)], f"asked for VFs: {asked}")
        expect(not tap.vf_answers, f"{tap.vf_answers} answers with VFs")
        expect(all(comm.startswith(("dranetd", "uv-worker", "mover")) for comm in spent), f"somebody else asked, too: {spent}")
        with tapped() as (tap, netns):
            dump(netns, FILTER_VF)
        expect(Request(True, True) in tap.requests and tap.vf_answers, "the tap does not see a dump that asks for VFs")


def test_what_it_would_cost():
    with many_vfs(), Probe() as probe:
        netns = f"/proc/{LANE.cluster.corner.init}/ns/net"
        told = {}
        for what, mask in (("without VFs", 0), ("with VFs", FILTER_VF)):
            dump(netns, mask)
            probe.seconds()
            taken = [dump(netns, mask) for _ in range(DUMPS)]
            calls, inside = max(probe.seconds().values(), key=lambda value: value[0])
            told[what] = inside / DUMPS
            print(f"note a dump {what}: {inside / DUMPS * 1e6:.0f} us in the kernel with RTNL held ({calls // DUMPS} calls),"
                  f" {min(seconds for seconds, _ in taken) * 1e6:.0f} us at best for the client, {taken[0][1]} bytes")
        print(f"note with {VFS} VFs the kernel takes {told['with VFs'] / told['without VFs']:.1f} times as long")
        expect(told["with VFs"] > 0 and told["without VFs"] > 0, "nothing was measured")


if __name__ == "__main__":
    LANE.run(globals(), "vm/test_netdevsim")
