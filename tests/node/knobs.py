#!/usr/bin/python3
"""Each knob of the configuration on a pod of the real containerd: what it does is read in the pod by tools that are not ours, and the host
is compared before and after."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster_cases import Skip, expect, same  # noqa: E402
from kubelet import PodFailed  # noqa: E402
from knobs_node import DRIVER, LANE, attached, events, host, nic, refused, running  # noqa: E402


def addresses_of(link, scope="global"):
    return sorted(f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["scope"] == scope)


# ---- the interface --------------------------------------------------------------------------------------------------


def test_name_addresses_mtu_and_hardware_address():
    want = ["169.254.169.13/24", "2001:db8:7::7/64"]
    with attached({"interface": {"name": "eth99", "addresses": want, "mtu": 1321,
                                 "hardwareAddr": "00:11:22:33:44:55"}}) as pod:
        link = pod.link("eth99")
        same(sorted(want), sorted(f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"]
                                  if not item["local"].startswith("fe80")))
        same(link["mtu"], 1321)
        same(link["address"], "00:11:22:33:44:55")
        expect(not any(item.get("tentative") for item in link["addr_info"]
                       if item["local"] == "2001:db8:7::7"), "the address can be used at once")
        expect("UP" in link["flags"], link["flags"])


def test_big_tcp_sizes():
    with attached({"interface": {"name": "dranet1", "mtu": 8896, "gsoMaxSize": 130000, "groMaxSize": 131000,
                                 "gsoIPv4MaxSize": 60000, "groIPv4MaxSize": 61000}}) as pod:
        link = pod.link("dranet1")
        got = [link.get(key) for key in ("mtu", "gso_max_size", "gro_max_size")]
        same(got, [8896, 130000, 131000])
        # iproute2 of this Debian names the IPv4 ones by number only when it does not know them.
        if "gso_ipv4_max_size" in link:
            same([link["gso_ipv4_max_size"], link["gro_ipv4_max_size"]], [60000, 61000])
        else:
            print("note: this iproute2 does not show the IPv4 sizes; the unit tests read them back")


def test_arp_and_forwarding_on():
    with attached({"interface": {"name": "eth1", "arpIgnore": 8, "arpAnnounce": 2, "forwarding": True}}) as pod:
        same([pod.sysctl(f"net.ipv4.conf.eth1.{key}") for key in ("arp_ignore", "arp_announce", "forwarding")],
             ["8", "2", "1"])
        same(pod.sysctl("net.ipv6.conf.eth1.forwarding"), "1")


def test_explicit_zero_and_false():
    prepare = [f"sysctl -qw net.ipv4.conf.nic0.{key}=1" for key in ("arp_ignore", "arp_announce", "forwarding")]
    with attached({"interface": {"arpIgnore": 0, "arpAnnounce": 0, "forwarding": False}}, prepare=prepare) as pod:
        same([pod.sysctl(f"net.ipv4.conf.nic0.{key}") for key in ("arp_ignore", "arp_announce", "forwarding")],
             ["0", "0", "0"])
        same(pod.sysctl("net.ipv6.conf.nic0.forwarding"), "0")


def test_vrf():
    if LANE.cluster.corner.run(["ip", "link", "add", "vrfx", "type", "vrf", "table", "9"], check=False).returncode:
        refused({"interface": {"vrf": {"name": "blue"}}}, "VRF")
        raise Skip("this kernel has no VRF: the claim is refused and says so; the emulated machine has it")
    host("ip", "link", "del", "vrfx")
    with attached({"interface": {"name": "eth1", "addresses": ["192.0.2.7/24"], "vrf": {"name": "blue", "table": 1200}},
                   "routes": [{"destination": "0.0.0.0/0", "gateway": "192.0.2.1"}]}) as pod:
        vrf = pod.link("blue")
        same([vrf["linkinfo"]["info_kind"], vrf["linkinfo"]["info_data"]["table"]], ["vrf", 1200])
        same(pod.link("eth1")["master"], "blue")
        same(pod.route("default", 1200)[0]["gateway"], "192.0.2.1")


def test_one_vrf_with_two_tables_is_refused():
    cluster = LANE.cluster
    with nic("nic0"), nic("nic1", addresses=["198.18.1.2/24"], fabric=["198.18.1.1/24"]):
        for number, name in enumerate(("nic0", "nic1")):
            cluster.claim_for(f"knob{number}", name, {"interface": {"vrf": {"name": "blue", "table": 1200 + number}}})
        try:
            cluster.kubelet.run_pod(cluster.pod_manifest("knob-pod", "knob0", "knob1"), deadline=1.5)
            raise AssertionError("the pod runs")
        except PodFailed as error:
            expect("interface.vrf.table: 1201" in str(error) or "interface.vrf.table: 1200" in str(error), str(error))
        finally:
            for pod in list(cluster.kubelet.pods.values()):
                cluster.kubelet.stop_pod(pod)
            for number in (0, 1):
                cluster.delete("resourceclaims", f"knob{number}")


# ---- routes, rules, neighbours --------------------------------------------------------------------------------------


def test_routes():
    routes = [{"destination": "0.0.0.0/0", "gateway": "192.0.2.1", "table": 100},
              {"destination": "203.0.113.0/24", "gateway": "192.0.2.1", "source": "192.0.2.10", "metric": 77,
               "mtu": 1300, "advmss": 1200},
              {"destination": "192.0.2.1/32", "scope": 253},
              {"destination": "203.0.114.0/24", "gateway": "10.9.9.9", "onlink": True},
              {"destination": "203.0.115.0/24", "nextHops": [{"gateway": "192.0.2.2", "weight": 3},
                                                             {"gateway": "192.0.2.3"}]},
              {"destination": "2001:db8:99::/48", "gateway": "2001:db8:7::1", "metric": 50},
              {"destination": "203.0.116.0/24", "gateway": "192.0.2.1", "table": 1001}]
    with attached({"interface": {"name": "eth1", "addresses": ["192.0.2.10/24", "2001:db8:7::7/64"]},
                   "routes": routes}) as pod:
        same(pod.route("default", 100)[0]["gateway"], "192.0.2.1")
        rich = pod.route("203.0.113.0/24")[0]
        same([rich["gateway"], rich["prefsrc"], rich["metric"], rich["dev"]],
             ["192.0.2.1", "192.0.2.10", 77, "eth1"])
        metrics = {key: value for item in rich["metrics"] for key, value in item.items()}
        same([metrics["mtu"], metrics["advmss"]], [1300, 1200])
        same(pod.route("192.0.2.1")[0]["scope"], "link")
        same(pod.route("203.0.114.0/24")[0]["flags"], ["onlink"])
        same(sorted((hop["gateway"], hop["weight"]) for hop in pod.route("203.0.115.0/24")[0]["nexthops"]),
             [("192.0.2.2", 3), ("192.0.2.3", 1)])
        same(pod.route("2001:db8:99::/48", family="-6")[0]["metric"], 50)
        same(pod.route("203.0.116.0/24", 1001)[0]["gateway"], "192.0.2.1")


def test_rules():
    rules = [{"priority": 1000, "source": "192.0.2.0/24", "destination": "198.51.100.0/24", "table": 100},
             {"source": "192.0.2.10/32", "table": 101},
             {"priority": 1002, "fwmark": "0x10", "fwmask": "0xff", "iif": "eth1", "table": 102},
             {"priority": 1003, "oif": "eth1", "family": "ipv6", "table": 103},
             {"priority": 0, "source": "192.0.2.99/32", "table": 104}]
    with attached({"interface": {"name": "eth1", "addresses": ["192.0.2.10/24"]}, "rules": rules}) as pod:
        rule = pod.rules(1000)[0]
        same([rule["src"], rule["srclen"], rule["dst"], rule["table"]], ["192.0.2.0", 24, "198.51.100.0", "100"])
        chosen = [rule for rule in pod.rules() if rule["table"] == "101"]
        expect(len(chosen) == 1 and 0 < chosen[0]["priority"] < 32766, f"just before main: {pod.rules()}")
        marked = pod.rules(1002)[0]
        same([marked["fwmark"], marked["fwmask"], marked["iif"]], ["0x10", "0xff", "eth1"])
        same(pod.rules(1003, "-6")[0]["oif"], "eth1")
        expect(any(rule["table"] == "104" for rule in pod.rules(0)), "priority 0 is a priority")


def test_neighbours():
    want = {"192.0.2.1": "02:00:00:00:00:02", "2001:db8:7::1": "02:00:00:00:00:03"}
    with attached({"interface": {"name": "eth1", "addresses": ["192.0.2.10/24", "2001:db8:7::7/64"]},
                   "neighbors": [{"destination": ip, "hardwareAddr": mac} for ip, mac in want.items()]}) as pod:
        got = {item["dst"]: (item["lladdr"], item["state"]) for item in pod.ip("neigh", "show", "dev", "eth1")}
        same({ip: got.get(ip) for ip in want}, {ip: (mac, ["PERMANENT"]) for ip, mac in want.items()})


# ---- ethtool --------------------------------------------------------------------------------------------------------


def features(pod, name):
    lines = [line.strip().split(": ") for line in pod.run("ethtool", "-k", name).splitlines() if ": " in line]
    return {line[0]: line[1].split()[0] for line in lines}


def test_features_by_name_and_alias():
    with attached({"interface": {"name": "eth1"},
                   "ethtool": {"features": {"tso": False, "gro": False, "tx-udp-segmentation": False,
                                            "generic-segmentation-offload": False, "rx": False}}}) as pod:
        got = features(pod, "eth1")
        same({key: got[key] for key in ("tcp-segmentation-offload", "generic-receive-offload", "tx-udp-segmentation",
                                        "generic-segmentation-offload", "rx-checksumming")},
             dict.fromkeys(("tcp-segmentation-offload", "generic-receive-offload", "tx-udp-segmentation",
                            "generic-segmentation-offload", "rx-checksumming"), "off"))


def test_channels():
    host("ip", "link", "add", "nic0", "numtxqueues", "4", "numrxqueues", "4", "type", "veth", "peer", "name", "nic0p",
         "netns", "fabric")
    host("ip", "link", "set", "nic0", "up")
    with attached({"interface": {"name": "eth1"}, "ethtool": {"channels": {"rx": 3, "tx": 2}}}, make=False) as pod:
        current = pod.run("ethtool", "-l", "eth1").split("Current hardware settings:")[1].split()
        same([current[current.index("RX:") + 1], current[current.index("TX:") + 1]], ["3", "2"])


def test_coalescing():
    # Of the virtual links that can change namespace a tap alone has it.
    host("ip", "tuntap", "add", "nic0", "mode", "tap")
    host("ip", "link", "set", "nic0", "up")
    with attached({"interface": {"name": "eth1"}, "ethtool": {"coalesce": {"rxFrames": 8}}}, make=False) as pod:
        expect("rx-frames: 8" in pod.run("ethtool", "-c", "eth1").replace("\t", " "), pod.run("ethtool", "-c", "eth1"))


def test_what_the_device_lacks_is_refused_by_name():
    refused({"ethtool": {"features": {"no-such-offload": True}}}, "ethtool.features.no-such-offload")
    refused({"ethtool": {"privateFlags": {"no-such-flag": True}}}, "ethtool.privateFlags")
    refused({"ethtool": {"rings": {"rx": 512}}}, "ethtool.rings")
    refused({"ethtool": {"pause": {"rx": True}}}, "ethtool.pause")
    refused({"ethtool": {"channels": {"rx": 5000}}}, "ethtool.channels")


# ---- eBPF programs --------------------------------------------------------------------------------------------------

PROGRAM = """
__attribute__((section("xdp"), used)) int passes(void *context) { return 2; }
__attribute__((section("tc"), used)) int looks(void *context) { return 0; }
char terms[] __attribute__((section("license"), used)) = "GPL";
"""
# bpftool of this Debian is older than tcx: load a program of two instructions and attach it, or count what is attached.
TCX = """
import ctypes, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
BPF, LOAD, ATTACH, QUERY, CLASSIFIER, TCX_INGRESS = 321, 5, 8, 16, 3, 46
def bpf(command, *fields, size=128):
    block = ctypes.create_string_buffer(b"".join(fields), size)
    result = libc.syscall(BPF, command, block, size)
    return (result if result >= 0 else -ctypes.get_errno()), block.raw
link = socket.if_nametoindex(sys.argv[2])
if sys.argv[1] == "attach":
    code = ctypes.create_string_buffer(struct.pack("=BBhi", 0xb7, 0, 0, -1) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    license = ctypes.create_string_buffer(b"GPL")
    program, _ = bpf(LOAD, struct.pack("=IIQQIIQII", CLASSIFIER, 2, ctypes.addressof(code), ctypes.addressof(license), 0, 0, 0, 0, 0),
                     b"glances".ljust(16, bytes(1)))
    print(program if program < 0 else bpf(ATTACH, struct.pack("=IIII", link, program, TCX_INGRESS, 0))[0])
else:
    ids = ctypes.create_string_buffer(64)
    result, block = bpf(QUERY, struct.pack("=IIIIQI", link, TCX_INGRESS, 0, 0, ctypes.addressof(ids), 16))
    print(result if result < 0 else struct.unpack_from("=I", block, 24)[0])
"""


def tcx(run, action, name):
    return int(run(sys.executable, "-c", TCX, action, name))


def programs(run, name):
    """How many programs bpftool sees at a link: XDP, tc."""
    found = json.loads(run("bpftool", "-j", "net", "show", "dev", name))[0]
    return [len(found["xdp"]), len(found["tc"])]


def bpf_object(directory):
    source, path = os.path.join(directory, "knob.c"), os.path.join(directory, "knob.o")
    with open(source, "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    subprocess.run(["clang", "--target=bpf", "-O2", "-c", source, "-o", path], check=True)
    return path


def with_programs(path):
    prepare = ["tc qdisc add dev nic0 clsact", f"tc filter add dev nic0 ingress bpf da obj {path} sec tc",
               f"tc filter add dev nic0 egress bpf da obj {path} sec tc",
               f"ip link set dev nic0 xdpgeneric obj {path} sec xdp"]
    return {"prepare": prepare}


def test_ebpf_programs_are_taken_off_and_come_back():
    cluster = LANE.cluster
    with nic("nic0", **with_programs(bpf_object(cluster.directory))):
        seen = tcx(host, "attach", "nic0")
        has_tcx = seen == 0
        if not has_tcx:
            print(f"note: no tcx in this kernel (error {-seen})")
        same(programs(host, "nic0"), [1, 2], "on the host")
        cluster.wait(lambda: cluster.published()["nic0"]["attributes"].get(f"{DRIVER}/ebpf") == {"bool": True}, 10,
                     "the attribute ebpf")
        with running("knob", "nic0", {"interface": {"name": "eth1", "disableEbpfPrograms": True}}) as pod:
            same(programs(pod.run, "eth1"), [0, 0])
            if has_tcx:
                same(tcx(pod.run, "count", "eth1"), 0)
        same(programs(host, "nic0")[0], 1, "XDP on the host again")
        if has_tcx:
            same(tcx(host, "count", "nic0"), 1, "tcx on the host again")


def test_ebpf_programs_stay_when_not_asked_for():
    cluster = LANE.cluster
    with attached({"interface": {"name": "eth1"}}, **with_programs(bpf_object(cluster.directory))) as pod:
        same(programs(pod.run, "eth1")[0], 1, "XDP goes along")


# ---- what the host had ----------------------------------------------------------------------------------------------


def test_what_the_host_had_goes_along():
    prepare = ["ip addr add 198.18.0.9/32 peer 198.18.9.9 dev nic0", "ip route add 10.10.10.0/24 via 198.18.0.1 table 100",
               "ip route add 10.10.11.0/24 via 198.18.0.1 metric 5 mtu 1300", "ip route add 10.10.12.0/24 nexthop via 198.18.0.1 dev nic0 nexthop via 198.18.0.3 dev nic0 weight 2",
               "ip rule add from 10.20.30.0/24 fwmark 0x7 lookup 100 prio 500",
               "ip rule add iif nic0 ipproto tcp dport 80-90 lookup 100 prio 501",
               "ip -6 rule add to 2001:db8:77::/48 lookup 100 prio 502",
               "ip neigh add 198.18.0.77 lladdr 02:00:00:00:00:77 dev nic0 nud permanent",
               "ip neigh add 2001:db8:a::77 lladdr 02:00:00:00:00:78 dev nic0 nud permanent",
               "ip -6 route add 2001:db8:55::/48 via 2001:db8:a::1 table 100"]
    try:
        with attached({"interface": {"name": "eth1"}}, prepare=prepare) as pod:
            link = pod.link("eth1")
            expect({"198.18.0.2/24", "2001:db8:a::2/64"} <= set(addresses_of(link)), addresses_of(link))
            expect(any(item["local"] == "198.18.0.9" and item["address"] == "198.18.9.9"
                       for item in link["addr_info"]), "the peer's address")
            expect(not any(item.get("tentative") for item in link["addr_info"] if item["scope"] == "global"), "DAD")
            same(pod.route("10.10.10.0/24", 100)[0]["gateway"], "198.18.0.1")
            same(pod.route("10.10.11.0/24")[0]["metric"], 5)
            same([hop["weight"] for hop in pod.route("10.10.12.0/24")[0]["nexthops"]], [1, 2])
            same([pod.rules(500)[0]["fwmark"], pod.rules(500)[0]["src"]], ["0x7", "10.20.30.0"])
            moved = pod.rules(501)[0]
            same([moved["iif"], moved["ipproto"], moved["dport_start"]], ["eth1", "tcp", 80])
            same(pod.rules(502, "-6")[0]["dst"], "2001:db8:77::")
            neighbours = {item["dst"]: item["lladdr"] for item in pod.ip("neigh", "show", "nud", "permanent", "dev", "eth1")}
            same([neighbours.get("198.18.0.77"), neighbours.get("2001:db8:a::77")],
                 ["02:00:00:00:00:77", "02:00:00:00:00:78"])
            same(pod.route("2001:db8:55::/48", 100, "-6")[0]["gateway"], "2001:db8:a::1")
    finally:
        for number, family in ((500, "-4"), (501, "-4"), (502, "-6")):
            host("ip", family, "rule", "del", "prio", str(number), check=False)


def test_ipv6_prefix_route_is_not_doubled():
    with attached(None, addresses=["fd36::3:0:e:0:0/96"], fabric=()) as pod:
        same([route["metric"] for route in pod.route("fd36::3:0:e:0:0/96", family="-6")], [256])


def test_a_source_that_the_pod_lacks_is_dropped_and_told():
    prepare = ["ip route add 10.10.13.0/24 via 198.18.0.1 src 198.18.0.2",
               "ip route add 10.10.14.0/24 via 198.18.0.1 src 198.18.0.2 table 100"]
    with attached({"interface": {"name": "eth1", "addresses": ["198.18.0.44/24"]}}, prepare=prepare) as pod:
        route = pod.route("10.10.13.0/24")[0]
        same([route["gateway"], route.get("prefsrc")], ["198.18.0.1", None])
        same(pod.route("10.10.14.0/24", 100)[0].get("prefsrc"), None)
        told = events(reason="HostStateNotCopied")
        expect(told and "198.18.0.2" in str(told[0]) and "10.10.13.0/24" in str(told[0]), f"told: {told}")


# ---- merging --------------------------------------------------------------------------------------------------------


def device_class(name, parameters):
    LANE.cluster.create({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": name},
                         "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}],
                                  "config": [{"opaque": {"driver": DRIVER, "parameters": parameters}}]}})


def test_claim_over_class_and_subrequests():
    cluster = LANE.cluster
    device_class("tuned", {"interface": {"mtu": 1400, "forwarding": True, "arpIgnore": 1, "name": "fromclass"},
                           "ethtool": {"features": {"tso": False, "gro": False}},
                           "routes": [{"destination": "10.1.0.0/16", "gateway": "198.18.0.1"},
                                      {"destination": "10.2.0.0/16", "gateway": "198.18.0.1"}]})
    selector = [{"cel": {"expression": f'device.attributes["{DRIVER}"].ifName == "nic0"'}}]

    def entry(parameters, *requests):
        return {"requests": list(requests), "opaque": {"driver": DRIVER, "parameters": parameters}}
    with nic():
        cluster.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "knob"},
                        "spec": {"devices": {
                            "requests": [{"name": "net", "firstAvailable": [
                                {"name": "fast", "deviceClassName": "tuned", "selectors": selector}]}],
                            "config": [entry({"interface": {"name": "first", "mtu": 1390}}, "net"),
                                       entry({"interface": {"name": "second", "forwarding": False, "arpIgnore": 0}},
                                             "net/fast"),
                                       entry({"ethtool": {"features": {"gro": True}},
                                              "routes": [{"destination": "10.2.0.0/16", "gateway": "198.18.0.3"}]})]}}})
        with running("knob", "nic0", create=False) as pod:
            same(pod.link("second")["mtu"], 1390)
            same([pod.sysctl("net.ipv4.conf.second.forwarding"), pod.sysctl("net.ipv4.conf.second.arp_ignore")],
                 ["0", "0"])
            got = features(pod, "second")
            same([got["tcp-segmentation-offload"], got["generic-receive-offload"]], ["off", "on"])
            same([pod.route("10.1.0.0/16")[0]["gateway"], pod.route("10.2.0.0/16")[0]["gateway"]],
                 ["198.18.0.1", "198.18.0.3"])
    cluster.api.call("DELETE", cluster.api.path("deviceclasses", None, "tuned"))


def test_a_merged_configuration_is_checked_as_a_whole():
    cluster = LANE.cluster
    device_class("vrfclass", {"interface": {"vrf": {"name": "blue"}}})
    with nic():
        cluster.claim_for("knob", "nic0", {"rules": [{"source": "10.0.0.0/8", "table": 7}]}, "vrfclass")
        try:
            cluster.kubelet.run_pod(cluster.pod_manifest("knob-pod", "knob"), deadline=3)
            raise AssertionError("the pod runs")
        except Exception as error:  # PodFailed, with the text of the driver
            expect("interface.vrf" in str(error) and "rules" in str(error), str(error))
        for pod in list(cluster.kubelet.pods.values()):
            cluster.kubelet.stop_pod(pod)
        cluster.delete("resourceclaims", "knob")
    cluster.api.call("DELETE", cluster.api.path("deviceclasses", None, "vrfclass"))


if __name__ == "__main__":
    LANE.run(globals(), "node/knobs")
