#!/usr/bin/python3
"""DHCP leases of real pods: taken at Prepare, renewed, kept over a restart, rebound, lost, and given back."""

import contextlib
import json
import os
import re
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER, FABRIC  # noqa: E402
from cluster_cases import Lane, Skip, expect, refused, same  # noqa: E402
from knobs_dhcp_servers import Dhcpd, Dnsmasq  # noqa: E402
from kubelet import KubeletError, PodFailed  # noqa: E402

LANE = Lane(seed=9)
LAN = ["192.0.2.1/24", "fd00:2::1/64"]
RANGE4 = "--dhcp-range=192.0.2.50,192.0.2.90,255.255.255.0,2m"
RANGE6 = "--dhcp-range=fd00:2::50,fd00:2::90,64,2m"
REBIND_SOON = "option dhcp-renewal-time 5; option dhcp-rebinding-time 8;"


def need(tool):
    if not shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin"):
        raise Skip(f"there is no {tool}")


def nic(name, up=True, fabric=LAN):
    """A veth of the host; what it was."""
    cluster = LANE.cluster
    cluster.net.add_nic(name, fabric=fabric, up=up)
    cluster.wait_published(name)
    return cluster.net.host_dump(name)


def gone(name, claim):
    cluster = LANE.cluster
    cluster.delete("resourceclaims", claim)
    cluster.net.remove_nic(name)
    cluster.wait(lambda: name not in cluster.published(), 10, f"{name} to leave the slices")


def started(claim, name, interface, **more):
    cluster = LANE.cluster
    cluster.claim_for(claim, name, {"interface": interface, **more})
    return cluster.kubelet.run_pod(cluster.pod_manifest(claim, claim))


def scheduled(claim, name, interface):
    """A pod that is not started: its claim is allocated."""
    cluster = LANE.cluster
    cluster.claim_for(claim, name, {"interface": interface})
    pod = cluster.kubelet.create_pod(cluster.pod_manifest(claim, claim))
    cluster.kubelet.allocator.schedule(pod.obj)
    return pod


def in_pod(pod, *command):
    netns = LANE.cluster.cri.sandbox_netns(pod.sandbox)
    return LANE.cluster.corner.run(["nsenter", f"--net={netns}", *command]).stdout


def addresses(pod, family, name="net1"):
    """Addresses of global scope, each with the seconds that are left."""
    listed = json.loads(in_pod(pod, "ip", "-j", family, "addr", "show", "dev", name))
    return {f"{item['local']}/{item['prefixlen']}": item["valid_life_time"]
            for link in listed for item in link.get("addr_info", []) if item.get("scope") == "global"}


def data(claim):
    """What the status says of the lease."""
    for entry in LANE.cluster.device_status(claim).values():
        return entry.get("data", {}).get("dhcp", {})
    return {}


def seen_inside(pod, *command):
    """By the container's own tools."""
    status, out, err = LANE.cluster.kubelet.exec(pod, ["busybox", *command])
    same(status, 0, err)
    return out


def told_inside(pod, claim):
    """What the file says that a container has mounted: its generation, and the addresses of its device."""
    path = f"/var/run/kubernetes.io/dra-device-attributes/resourceclaims/{claim}/nic/{DRIVER}-metadata.json"
    newest = json.loads(seen_inside(pod, "cat", path).splitlines()[0])
    device, = newest["requests"][0]["devices"]
    return newest["metadata"]["generation"], device["networkData"].get("ips", [])


@contextlib.contextmanager
def beside(work):
    """Do it while the block runs; what it raises is raised at the end."""
    errors = []

    def run():
        try:
            work()
        except Exception as error:
            errors.append(error)
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if errors:
        raise errors[0]


def test_lease_with_everything_of_a_link_that_is_down():
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0", up=False)
    options = (RANGE4, RANGE6, "--dhcp-option=3,192.0.2.9", "--dhcp-option=26,1400", "--dhcp-option=6,192.0.2.53", "--domain=lab.example",
               "--dhcp-option=121,198.51.100.0/24,192.0.2.7,0.0.0.0/0,192.0.2.1", "--dhcp-option=option6:dns-server,[fd00:2::53]")
    with Dnsmasq(cluster, "nic0p", *options) as server:
        pod = started("whole", "nic0", {"name": "net1", "dhcp": True, "dhcp6": True})
        four, six = addresses(pod, "-4"), addresses(pod, "-6")
        same((len(four), len(six)), (1, 1))
        (address, left), (address6, left6) = *four.items(), *six.items()
        expect(re.fullmatch(r"192\.0\.2\.\d+/24", address), address)
        expect(re.fullmatch(r"fd00:2::\w+/128", address6), address6)
        expect(60 < left <= 120 and 60 < left6 <= 120, f"{left} and {left6} seconds are left")
        expect(address.split("/")[0] in seen_inside(pod, "ip", "addr", "show", "dev", "net1"), "not seen from inside")
        # RFC 3442: the classless routes, and not the router that came beside them. The pod's own default goes first.
        routes = in_pod(pod, "ip", "-4", "route")
        expect("198.51.100.0/24 via 192.0.2.7 dev net1 proto dhcp" in routes, routes)
        expect("default via 192.0.2.1 dev net1 proto dhcp metric 1024" in routes, routes)
        expect("192.0.2.9" not in routes, routes)
        expect("dev eth0" in routes.splitlines()[0], routes)
        cluster.check_in_pod(pod, "net1", mtu=1400)
        cluster.ping(pod, "192.0.2.1")
        cluster.check_status("whole", "net1", [address, address6])
        told = data("whole")
        same({key: value for key, value in told["ipv4"].items() if key != "routes"},
             {"addresses": [address], "server": "192.0.2.1", "leaseSeconds": 120, "dns": ["192.0.2.53"], "domain": "lab.example",
              "mtu": 1400})
        same(sorted(route["destination"] for route in told["ipv4"]["routes"]), ["0.0.0.0/0", "198.51.100.0/24"])
        same(told["ipv6"]["addresses"], [address6])
        same(told["ipv6"]["dns"], ["fd00:2::53"])
        expect("leaseSeconds" not in told["ipv6"], told)
        same(server.leased(), {address.split("/")[0], address6.split("/")[0]})
        cluster.kubelet.stop_pod(pod)
        server.wait_for("DHCPRELEASE(nic0p) 192.0.2.")
        server.wait_for("release received")
        cluster.wait(lambda: not server.leased(), 10, "the leases to be free")
    cluster.check_home("nic0", before)
    gone("nic0", "whole")


def test_renewed_at_half_time_and_over_a_restart():
    need("dhcpd")
    cluster = LANE.cluster
    before = nic("nic0")
    with Dhcpd(cluster, "nic0p", 12, "192.0.2.50", "192.0.2.60") as server:
        pod = started("short", "nic0", {"name": "net1", "dhcp": True})
        (address, _), = addresses(pod, "-4").items()
        bare = address.split("/")[0]
        expect("default via 192.0.2.1 dev net1 proto dhcp" in in_pod(pod, "ip", "-4", "route"), "no default route")
        asked = f"DHCPREQUEST for {bare} "
        first = server.count(asked)
        writes = len(cluster.api.requests(user="dranetd", verb="patch", resource="resourceclaims/status"))
        server.wait_for(asked, first + 1, 20)
        cluster.wait(lambda: addresses(pod, "-4").get(address, 0) >= 9, 5, "the kernel's lifetime to be the new one")
        same(len(cluster.api.requests(user="dranetd", verb="patch", resource="resourceclaims/status")), writes,
             "a renewal that changes nothing is no write")
        cluster.kill_dranetd()
        discovers, renewed = server.count("DHCPDISCOVER"), server.count(asked)
        cluster.restart_dranetd()
        server.wait_for(asked, renewed + 1, 20)
        same(server.count("DHCPDISCOVER"), discovers, "the lease was taken anew")
        same(list(addresses(pod, "-4")), [address])
        # By itself, at half of the time: nobody else was asked.
        expect(f"from {before['address']} via nic0p" in server.log(), server.log())
        cluster.kubelet.stop_pod(pod)
        server.wait_for(f"DHCPRELEASE of {bare} from {before['address']}")
    cluster.check_home("nic0", before)
    gone("nic0", "short")


def test_server_away_until_the_end_and_another_one_comes():
    need("dhcpd")
    cluster = LANE.cluster
    before = nic("nic0")
    with Dhcpd(cluster, "nic0p", 10, "192.0.2.50", "192.0.2.50"):
        pod = started("lost", "nic0", {"name": "net1", "dhcp": True})
        same(list(addresses(pod, "-4")), ["192.0.2.50/24"])
        cluster.check_status("lost", "net1", ["192.0.2.50/24"])
        same(told_inside(pod, "lost"), (1, ["192.0.2.50/24"]))
    cluster.wait(lambda: not addresses(pod, "-4"), 30, "the address to be taken away")
    expect("net1" not in in_pod(pod, "ip", "-4", "route"), "a route of the lease is there")
    cluster.check_status("lost", "net1", [])
    same(data("lost"), {})
    cluster.wait(lambda: told_inside(pod, "lost") == (2, []), 10, "the file in the container to say so")
    # What the next dranetd writes is what the container has mounted since the first.
    cluster.kill_dranetd()
    cluster.restart_dranetd()
    cluster.check_status("lost", "net1", [])
    same(told_inside(pod, "lost"), (2, []), "a start is no change")
    with Dhcpd(cluster, "nic0p", 12, "192.0.2.70", "192.0.2.70") as server:
        cluster.wait(lambda: addresses(pod, "-4"), 90, "a new address")
        same(list(addresses(pod, "-4")), ["192.0.2.70/24"])
        cluster.check_status("lost", "net1", ["192.0.2.70/24"])
        same(data("lost")["ipv4"]["addresses"], ["192.0.2.70/24"])
        cluster.wait(lambda: told_inside(pod, "lost") == (3, ["192.0.2.70/24"]), 10, "the file in the container to say so")
        asked = server.count("DHCPREQUEST for 192.0.2.70 ")
        server.wait_for("DHCPREQUEST for 192.0.2.70 ", asked + 1, 20)
        same(told_inside(pod, "lost"), (3, ["192.0.2.70/24"]), "a renewal is no change")
        cluster.kubelet.stop_pod(pod)
        server.wait_for("DHCPRELEASE of 192.0.2.70")
    cluster.check_home("nic0", before)
    gone("nic0", "lost")


def rebinds(pod, claim, server):
    """Its own server is away at half of the time: behind seven eighths, here sooner, whoever hears it may answer."""
    cluster = LANE.cluster
    cluster.wait(lambda: data(claim).get("ipv4", {}).get("server") == "192.0.2.1", 10, "the status")
    server.stop()
    cluster.wait(lambda: addresses(pod, "-4")["192.0.2.50/24"] < 24 - 8, 20, "the time to rebind")
    server.configure(24, "192.0.2.50", "192.0.2.50", REBIND_SOON + "server-identifier 192.0.2.2;")
    server.start()
    cluster.wait(lambda: data(claim)["ipv4"]["server"] == "192.0.2.2", 20, "the other server in the status")
    cluster.wait(lambda: addresses(pod, "-4")["192.0.2.50/24"] > 24 - 8, 10, "the lifetime to be the new one")


def test_rebound_by_another_server_and_nobody_answers_elsewhere():
    """That Prepare fails with what was sent, the link is down again, and the pod starts when the server is there."""
    need("dhcpd")
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0", fabric=["192.0.2.1/24", "192.0.2.2/24"])
    before1 = nic("nic1", up=False, fabric=["198.51.100.1/24"])
    with Dhcpd(cluster, "nic0p", 24, "192.0.2.50", "192.0.2.50", REBIND_SOON + "server-identifier 192.0.2.1;") as server:
        pod = started("rebound", "nic0", {"name": "net1", "dhcp": True})
        silent = scheduled("silent", "nic1", {"name": "net1", "dhcp": True})
        with beside(lambda: refused(KubeletError, lambda: cluster.kubelet.claims.prepare(silent.obj, silent.names), "DHCPv4 on nic1",
                                    "DISCOVER were sent, and no server offered")):
            rebinds(pod, "rebound", server)
        cluster.check_home("nic1", before1)
        cluster.kubelet.stop_pod(pod)
        server.wait_for("DHCPRELEASE of 192.0.2.50")
    cluster.check_home("nic0", before)
    gone("nic0", "rebound")
    with Dnsmasq(cluster, "nic1p", "--dhcp-range=198.51.100.50,198.51.100.90,255.255.255.0,2m"):
        cluster.kubelet.run_pod(silent, deadline=60)
        same(len(addresses(silent, "-4")), 1)
        cluster.kubelet.stop_pod(silent)
    cluster.check_home("nic1", before1)
    gone("nic1", "silent")


def test_hardware_address_of_the_pod():
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0")
    with Dnsmasq(cluster, "nic0p", RANGE4, "--dhcp-host=02:00:00:00:0c:0c,192.0.2.77") as server:
        pod = started("mac", "nic0", {"name": "net1", "dhcp": True, "hardwareAddr": "02:00:00:00:0c:0c"})
        same(list(addresses(pod, "-4")), ["192.0.2.77/24"])
        cluster.kubelet.stop_pod(pod)
        server.wait_for("DHCPRELEASE(nic0p) 192.0.2.77 02:00:00:00:0c:0c")
    cluster.check_home("nic0", before)
    gone("nic0", "mac")


def test_given_back_by_a_pod_that_never_ran():
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0", up=False)
    with Dnsmasq(cluster, "nic0p", RANGE4, RANGE6) as server:
        pod = scheduled("never", "nic0", {"name": "net1", "dhcp": True, "dhcp6": True})
        cluster.kubelet.claims.prepare(pod.obj, pod.names)
        cluster.wait(lambda: len(server.leased()) == 2, 10, "both leases in the server's file")
        cluster.check_home("nic0", before)
        cluster.kubelet.stop_pod(pod)
        server.wait_for("DHCPRELEASE(nic0p) 192.0.2.")
        server.wait_for("release received")
    cluster.check_home("nic0", before)
    gone("nic0", "never")


def test_given_back_when_there_is_a_carrier_again():
    """As of hardware that takes its time."""
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0", up=False)
    with Dnsmasq(cluster, "nic0p", RANGE4) as server:
        pod = scheduled("slow", "nic0", {"name": "net1", "dhcp": True})
        cluster.kubelet.claims.prepare(pod.obj, pod.names)
        cluster.net.ip("-n", FABRIC, "link", "set", "nic0p", "down")
        with beside(lambda: cluster.kubelet.stop_pod(pod)):
            cluster.wait(lambda: "UP" in cluster.net.host_dump("nic0")["flags"], 10, "the link to be up")
            time.sleep(0.5)  # more than what is waited for while others wait
            cluster.net.ip("-n", FABRIC, "link", "set", "nic0p", "up")
        server.wait_for("DHCPRELEASE(nic0p) 192.0.2.")
    cluster.check_home("nic0", before)
    gone("nic0", "slow")


def test_pod_stopped_while_the_driver_is_away():
    """The leases are given back by the next start, from the host."""
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0")
    with Dnsmasq(cluster, "nic0p", RANGE4, RANGE6) as server:
        pod = started("away", "nic0", {"name": "net1", "dhcp": True, "dhcp6": True})
        cluster.kill_dranetd()
        # As the kernel does with hardware when a namespace ends: a veth would end with it.
        in_pod(pod, "ip", "link", "set", "net1", "netns", "1")
        cluster.kubelet.kill_pod(pod)
        cluster.wait(lambda: len(server.leased()) == 2, 10, "both leases in the server's file")
        cluster.restart_dranetd()
        cluster.kubelet.stop_pod(pod)
        server.wait_for("DHCPRELEASE(nic0p) 192.0.2.")
        server.wait_for("release received")
        cluster.wait(lambda: not server.leased(), 10, "the leases to be free")
    cluster.check_home("nic0", before)
    gone("nic0", "away")


@contextlib.contextmanager
def squatter(address):
    """The machine at the other end has an address that it was not given."""
    net = LANE.cluster.net
    net.ip("-n", FABRIC, "link", "set", "lo", "up")
    net.ip("-n", FABRIC, "addr", "add", f"{address}/32", "dev", "lo")
    try:
        yield
    finally:
        net.ip("-n", FABRIC, "addr", "del", f"{address}/32", "dev", "lo")


def test_address_that_somebody_has():
    """It is declined, and the pod gets another one."""
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0")
    mac = before["address"]
    # On the link of the server it would be the server's own, which it gives to nobody; a machine answers for all of its links.
    with squatter("192.0.2.77"), Dnsmasq(cluster, "nic0p", RANGE4, f"--dhcp-host={mac},192.0.2.77") as server:
        pod = started("taken", "nic0", {"name": "net1", "dhcp": True})
        server.wait_for(f"DHCPDECLINE(nic0p) 192.0.2.77 {mac}")
        address, = addresses(pod, "-4")
        expect(re.fullmatch(r"192\.0\.2\.[5-9]\d/24", address) and address != "192.0.2.77/24", address)
        expect("192.0.2.77 is in use by " in cluster.dranetd_log(), "nobody was told")
        cluster.ping(pod, "192.0.2.1")
        cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)
    gone("nic0", "taken")


def ended_while_it_asks(end):
    """The record on disk says that the link may be up that was not."""
    cluster = LANE.cluster
    before = nic("nic0", up=False)
    pod = scheduled("killed", "nic0", {"name": "net1", "dhcp": True})

    def prepare():
        # Cut off in the middle: an error of the call, or of its connection.
        with contextlib.suppress(KubeletError, ValueError):
            cluster.kubelet.claims.prepare(pod.obj, pod.names)
    with beside(prepare):
        cluster.wait(lambda: "UP" in cluster.net.host_dump("nic0")["flags"], 10, "the link to be up")
        end()
    cluster.restart_dranetd()
    cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)
    gone("nic0", "killed")


def test_killed_while_it_asks():
    ended_while_it_asks(LANE.cluster.kill_dranetd)


POINTS = ("effect.lease.begin", "job.lease-begin.begin", "job.lease-begin.end", "job.lease-end.begin", "job.lease-end.end",
          "effect.lease-keep.begin", "effect.lease-keep.end")
# While a pod is stopped a veth dies with its namespace when no dranetd holds that: these are for a pod that never ran.
LAST_POINTS = ("effect.lease-drop.begin", "effect.lease-drop.end")


def surviving(work):
    """Do it, in spite of a dranetd that dies once; whether it died."""
    cluster, errors, died = LANE.cluster, [], False

    def until_done():
        cut = (KubeletError, PodFailed, ValueError)  # off in the middle: an error of the call, or of its connection
        try:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                with contextlib.suppress(*cut):
                    return work()
            work()
        except Exception as error:
            errors.append(error)
    thread = threading.Thread(target=until_done)
    thread.start()
    while thread.is_alive():
        if cluster.process.poll() is not None:
            died = True
            cluster.kill_dranetd()
            cluster.restart_dranetd()
        thread.join(0.02)
    if errors:
        raise errors[0]
    return died


def test_killed_at_each_point():
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0", up=False)
    at = os.path.join(cluster.directory, "kill-at")
    with Dnsmasq(cluster, "nic0p", RANGE4) as server:
        for point in (*POINTS, *LAST_POINTS):
            with open(at, "w", encoding="ascii") as file:
                file.write(point + "#1")
            cluster.stop_dranetd()
            cluster.restart_dranetd(environment={"DRANETD_KILL_AT": at})
            pod = scheduled("die", "nic0", {"name": "net1", "dhcp": True})
            if point in LAST_POINTS:
                cluster.kubelet.claims.prepare(pod.obj, pod.names)
                died = surviving(lambda: cluster.kubelet.stop_pod(pod))
            else:
                died = surviving(lambda: cluster.kubelet.run_pod(pod, deadline=60))
                same(len(addresses(pod, "-4")), 1, point)
                cluster.check_status("die", "net1", list(addresses(pod, "-4")))
                cluster.kubelet.stop_pod(pod)
            expect(died, f"{point} was not passed")
            cluster.check_home("nic0", before)
            cluster.delete("resourceclaims", "die")
        server.wait_for("DHCPRELEASE(nic0p) 192.0.2.", len(POINTS))
    cluster.wait(lambda: "nic0" in cluster.published(), 10, "nic0 to be published")
    cluster.net.remove_nic("nic0")
    cluster.wait(lambda: "nic0" not in cluster.published(), 10, "nic0 to leave the slices")


def test_stopped_while_it_asks():
    ended_while_it_asks(lambda: same(LANE.cluster.stop_dranetd(), 0, "status"))


def test_stopped_while_it_keeps():
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0")
    with Dnsmasq(cluster, "nic0p", RANGE4) as server:
        pod = started("kept", "nic0", {"name": "net1", "dhcp": True})
        (address, _), = addresses(pod, "-4").items()
        same(cluster.stop_dranetd(), 0, "status")
        same(server.count("DHCPRELEASE"), 0, "the pod still has it")
        same(list(addresses(pod, "-4")), [address])
        cluster.restart_dranetd()
        cluster.kubelet.stop_pod(pod)
        server.wait_for("DHCPRELEASE(nic0p) 192.0.2.")
    cluster.check_home("nic0", before)
    gone("nic0", "kept")


def test_sandbox_made_again():
    need("dnsmasq")
    cluster = LANE.cluster
    before = nic("nic0")
    with Dnsmasq(cluster, "nic0p", RANGE4):
        pod = started("again", "nic0", {"name": "net1", "dhcp": True})
        (address, _), = addresses(pod, "-4").items()
        cluster.kubelet.recreate_sandbox(pod)
        same(list(addresses(pod, "-4")), [address])
        cluster.check_status("again", "net1", [address])
        cluster.ping(pod, "192.0.2.1")
        cluster.kubelet.stop_pod(pod)
    cluster.check_home("nic0", before)
    gone("nic0", "again")


def test_two_leases_in_one_pod():
    """Two default routes that are leased stand beside each other."""
    need("dnsmasq")
    cluster = LANE.cluster
    before = {"nic0": nic("nic0"), "nic1": nic("nic1", fabric=["198.51.100.1/24"])}
    other = ("--interface=nic1p", "--dhcp-range=198.51.100.50,198.51.100.90,255.255.255.0,2m")
    with Dnsmasq(cluster, "nic0p", RANGE4, *other):
        for number, name in enumerate(before):
            cluster.claim_for(f"lan{number}", name, {"interface": {"name": f"net{number}", "dhcp": True}})
        pod = cluster.kubelet.run_pod(cluster.pod_manifest("both", "lan0", "lan1"))
        routes = in_pod(pod, "ip", "-4", "route")
        expect("default via 192.0.2.1 dev net0 proto dhcp" in routes and "default via 198.51.100.1 dev net1 proto dhcp" in routes, routes)
        cluster.ping(pod, "192.0.2.1")
        cluster.ping(pod, "198.51.100.1")
        cluster.kubelet.stop_pod(pod)
    for number, (name, dump) in enumerate(before.items()):
        cluster.check_home(name, dump)
        gone(name, f"lan{number}")


if __name__ == "__main__":
    LANE.run(globals(), "node/knobs_dhcp")
