#!/usr/bin/python3
"""What DRANET's users have works here: pods as its manuals show them, whose containers do not list their claims, the scenarios of its
end-to-end tests (dranet-behaviour §11.2, by their numbers) as far as no other test has them, its flags, its metrics."""

import base64
import contextlib
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster_cases import expect, same  # noqa: E402
from knobs import addresses_of, bpf_object, features, with_programs  # noqa: E402
from knobs_node import DRIVER, InPod, LANE, attached, came_home, host, host_state, nic, refused, running  # noqa: E402

STATIC = "169.254.169.13/24"


def attributes(name):
    """Attributes of a device as plain values, without the domain of DRANET's own."""
    found = LANE.cluster.published()[name]["attributes"]
    return {key.removeprefix(DRIVER + "/"): next(iter(value.values())) for key, value in found.items()}


def status(claim="knob"):
    """The one device in a claim's status, once it is there."""
    LANE.cluster.wait(lambda: LANE.cluster.device_status(claim), 10, f"the status of claim {claim}")
    (entry,) = LANE.cluster.device_status(claim).values()
    return entry


def as_documented(parameters, name="nic0", **options):
    """In a pod that names the claim, but none of its containers does."""
    return attached(parameters, name, listed=False, **options)


# ---- the scenarios --------------------------------------------------------------------------------------------------


def test_1_and_2_static_address_of_a_device_whose_name_is_no_label():
    with as_documented({"interface": {"name": "eth99", "addresses": [STATIC]}}, "mlx5_6") as pod:
        same(addresses_of(pod.link("eth99")), [STATIC])
        entry = status()
        same(entry["device"], "net-" + base64.b32encode(b"mlx5_6").decode().lower().rstrip("="))
        same([entry["driver"], entry["pool"]], [DRIVER, LANE.cluster.node])
        same(entry["networkData"], {"interfaceName": "eth99", "hardwareAddress": pod.link("eth99")["address"],
                                    "ips": [STATIC]})
        same([(item["type"], item["status"], item["reason"]) for item in entry["conditions"]],
             [("Ready", "True", "NetworkDeviceReady"), ("NetworkReady", "True", "NetworkReady")])


def test_4_an_address_of_the_host_alone_and_no_configuration():
    with as_documented(None, addresses=["169.254.169.14/32"], fabric=()) as pod:
        same(addresses_of(pod.link("nic0")), ["169.254.169.14/32"])
        same(status()["networkData"]["ips"], ["169.254.169.14/32"])


def test_5_a_route_listed_before_the_one_that_its_gateway_needs():
    with as_documented({"interface": {"name": "eth99", "addresses": ["169.254.169.13/32"]},
                        "routes": [{"destination": "169.254.169.0/24", "gateway": "169.254.169.1"},
                                   {"destination": "169.254.169.1/32", "scope": 253}]}) as pod:
        same(pod.route("169.254.169.0/24")[0]["gateway"], "169.254.169.1")
        same(pod.route("169.254.169.1")[0]["scope"], "link")


def test_7_and_8_everything_of_the_interface_at_once():
    offloads = {"tcp-segmentation-offload": False, "generic-receive-offload": False, "large-receive-offload": False}
    with as_documented({"interface": {"name": "dranet0", "addresses": ["169.254.169.14/24"], "mtu": 4321,
                                      "hardwareAddr": "00:11:22:33:44:55"}, "ethtool": {"features": offloads}}) as pod:
        link = pod.link("dranet0")
        same([addresses_of(link), link["mtu"], link["address"]], [["169.254.169.14/24"], 4321, "00:11:22:33:44:55"])
        same({key: features(pod, "dranet0")[key] for key in offloads}, dict.fromkeys(offloads, "off"))
    offloads.update({"tcp-segmentation-offload": True, "generic-receive-offload": True})
    with as_documented({"interface": {"name": "dranet1", "addresses": ["192.168.200.1/24"], "mtu": 8896, "gsoMaxSize": 65536,
                                      "groMaxSize": 65536, "gsoIPv4MaxSize": 65536, "groIPv4MaxSize": 65536},
                        "ethtool": {"features": offloads}}) as pod:
        link = pod.link("dranet1")
        same([link[key] for key in ("mtu", "gso_max_size", "gro_max_size")], [8896, 65536, 65536])
        same({key: features(pod, "dranet1")[key] == "on" for key in offloads}, offloads)


def test_9_names_of_tc_filters():
    with nic("nic0", **with_programs(bpf_object(LANE.cluster.directory))):
        told = re.findall(r"\S+\.o:\[\S+\]", host("tc", "filter", "show", "dev", "nic0", "ingress"))
        LANE.cluster.wait(lambda: attributes("nic0").get("tcFilterNames") == told[0], 10,
                          f"{told} as tcFilterNames; there are {attributes('nic0')}")
        same(attributes("nic0")["ebpf"], True)


@contextlib.contextmanager
def two_of_one_request(addresses, parameters=None):
    """A pod with two NICs by one request of a template, and the name of its claim."""
    cluster = LANE.cluster
    names = ("nic0", "nic1")
    anyone = " || ".join(f'device.attributes["{DRIVER}"].ifName == "{name}"' for name in names)
    selectors = [{"cel": {"expression": f'has(device.attributes["{DRIVER}"].ifName) && ({anyone})'}}]
    devices = {"requests": [{"name": "nics", "exactly": {"deviceClassName": DRIVER, "selectors": selectors,
                                                         "allocationMode": "ExactCount", "count": 2}}]}
    if parameters:
        devices["config"] = [{"opaque": {"driver": DRIVER, "parameters": parameters}}]
    with nic("nic0", addresses=[addresses["nic0"]], fabric=()), nic("nic1", addresses=[addresses["nic1"]], fabric=()):
        was = {name: host_state(name) for name in names}
        cluster.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "two"},
                        "spec": {"spec": {"devices": devices}}})
        manifest = cluster.pod_manifest("two-pod")
        del manifest["spec"]["containers"][0]["resources"]
        manifest["spec"]["resourceClaims"] = [{"name": "nics", "resourceClaimTemplateName": "two"}]
        try:
            pod = cluster.kubelet.run_pod(manifest)
            yield InPod(pod, "nic0"), pod.names["nics"]
        finally:
            for pod in list(cluster.kubelet.pods.values()):
                cluster.kubelet.stop_pod(pod)
            cluster.delete("resourceclaimtemplates", "two")
        for name in names:
            came_home(name, was[name])


def test_12_two_devices_of_one_request():
    wanted = {"nic0": "169.254.169.13/32", "nic1": "169.254.169.14/32"}
    with two_of_one_request(wanted) as (pod, claim):
        same({name: addresses_of(pod.link(name)) for name in wanted}, {name: [item] for name, item in wanted.items()})
        LANE.cluster.wait(lambda: len(LANE.cluster.device_status(claim)) == 2, 10, "both in the claim's status")
        same(sorted(item for entry in LANE.cluster.device_status(claim).values() for item in entry["networkData"]["ips"]),
             sorted(wanted.values()))


def test_two_devices_with_one_configuration():
    """DRANET leaves out the second's routes, and the first's where the pod has one already."""
    parameters = {"routes": [{"destination": "0.0.0.0/0", "gateway": "198.18.0.1", "table": 100},
                             {"destination": "0.0.0.0/0", "gateway": "198.18.0.1"}],
                  "rules": [{"source": "198.18.0.0/24", "table": 100, "priority": 32000}]}
    with two_of_one_request({"nic0": "198.18.0.2/24", "nic1": "198.18.0.3/24"}, parameters) as (pod, _):
        for table, links in ((100, ["nic0", "nic1"]), ("main", ["eth0", "nic0", "nic1"])):
            routes = sorted(pod.route("default", table), key=lambda route: route.get("metric", 0))
            same(sorted(route["dev"] for route in routes), links)
            same(len({route.get("metric", 0) for route in routes}), len(links), f"table {table}: {routes}")
            expect(table == 100 or routes[0]["dev"] == "eth0", f"the pod's own is asked first: {routes}")
        same([rule["table"] for rule in pod.rules(32000)], ["100"])


def test_16_permanent_neighbours_go_along_with_configured_addresses():
    wanted = {"192.168.1.1": "00:11:22:33:44:55", "2001:db8::1": "00:aa:bb:cc:dd:ee"}
    prepare = [f"ip neigh add {address} lladdr {mac} dev nic0 nud permanent" for address, mac in wanted.items()]
    with as_documented({"interface": {"name": "eth99", "addresses": [STATIC]}}, addresses=["169.254.169.15/32"], fabric=(),
                       prepare=prepare) as pod:
        same({item["dst"]: item["lladdr"] for item in pod.ip("neigh", "show", "nud", "permanent", "dev", "eth99")}, wanted)


def test_17_rules_and_routes_of_other_tables_go_along_with_configured_addresses():
    prepare = ["ip route add 10.10.10.0/24 via 169.254.169.1 dev nic0 table 100",
               "ip rule add from 10.20.30.0/24 table 100 priority 500"]
    try:
        with as_documented({"interface": {"name": "eth99", "addresses": [STATIC]}}, addresses=[STATIC], fabric=(),
                           prepare=prepare) as pod:
            route = pod.route("10.10.10.0/24", 100)[0]
            same([route["gateway"], route["dev"]], ["169.254.169.1", "eth99"])
            rule = pod.rules(500)[0]
            same([rule["src"], rule["srclen"], rule["table"]], ["10.20.30.0", 24, "100"])
    finally:
        host("ip", "rule", "del", "prio", "500", check=False)


def test_22_and_23_a_profile_is_refused_by_name():
    refused({"profile": "whereabouts-profile"}, "profile", "whereabouts-profile")


# ---- flags, attributes, metrics ---------------------------------------------------------------------------------------

# As DRANET's manifest and its chart give them; the directory of the records is that of --db-path.
FLAGS = ("--v=4", "--state-dir=", "--db-path=/var/run/dranet/dranet.db", "--bind-address=:9177", "--move-ib-interfaces=true",
         "--inventory-min-poll-interval=2s", "--inventory-max-poll-interval=1m", "--inventory-poll-burst=5",
         "--cloud-provider-hint=NONE", "--profile-provider=cloud", "--webhook-url=",
         "--feature-gates=PersistentResourceSliceAttributes=true", "--alsologtostderrthreshold=0", "-logtostderr")


@contextlib.contextmanager
def with_flags(*flags, **options):
    cluster = LANE.cluster
    before = cluster.last_flags
    cluster.stop_dranetd()
    cluster.restart_dranetd(*flags, **options)
    try:
        yield cluster
    finally:
        cluster.stop_dranetd()
        cluster.restart_dranetd(*(before or ("--v=2",)))


def get(path):
    """Status and body from the address that the kubelet's probes use, which is not the loopback's."""
    host("ip", "addr", "replace", "192.0.2.250/32", "dev", "lo")
    text = host("curl", "-s", "-w", "\n%{http_code}", f"http://192.0.2.250:9177{path}")
    body, _, code = text.rpartition("\n")
    return int(code), body


def test_6_14_15_and_21_flags_probes_and_a_restart():
    with with_flags(*FLAGS) as cluster, nic("nic0", mtu=1480):
        cluster.wait(lambda: get("/healthz")[0] == 200, 10, "/healthz")
        same(get("/metrics")[0], 200)
        same(get("/nothing")[0], 404)
        was = attributes("nic0")
        with running("knob", "nic0", {"interface": {"name": "eth99", "addresses": [STATIC], "mtu": 1400}}, listed=False):
            same(attributes("nic0"), was, "attributes while a pod has it")
            cluster.stop_dranetd()
            for path in ("plugins_registry/dra.net-reg.sock", "plugins/dra.net/dra.sock"):
                expect(not os.path.exists(cluster.corner.path("/var/lib/kubelet/" + path)), f"{path} is still there")
            cluster.restart_dranetd()
            cluster.wait_published("nic0")
            same(attributes("nic0"), was, "attributes after a restart")


def test_no_slice_is_written_for_an_attach():
    """The filter hides the links of the CNI, which come and go, and by an attribute that the NIC loses on its way: an attach takes it
    down."""
    def writes():
        return [request for request in LANE.cluster.api.requests()
                if request.resource == "resourceslices" and request.verb in ("create", "update", "patch", "delete")]
    own = 'attributes["dra.net/ifName"].StringValue.startsWith("nic") && attributes["dra.net/state"].StringValue == "up"'
    with with_flags(filter=own) as cluster, nic("nic0"):
        cluster.wait(lambda: attributes("nic0").get("ipv6"), 10, "addresses")
        was, before = attributes("nic0"), len(writes())
        expect(before, "the API server tells of no write")
        with running("knob", "nic0", {"interface": {"name": "eth1", "mtu": 1400}}, listed=False):
            cluster.wait(lambda: status()["conditions"][0]["status"] == "True", 10, "Ready")
            same([(request.verb, request.name) for request in writes()[before:]], [])
            same(attributes("nic0"), was)
        cluster.wait(lambda: "nic0" in cluster.published() and attributes("nic0") == was, 10, "the same again")


# Name, type and labels; then the buckets of its histograms (dranet-behaviour §8).
METRICS = {
    "dranet_driver_dra_plugin_requests_total": ("counter", {"method", "status"}),
    "dranet_driver_dra_plugin_requests_latency_seconds": ("histogram", {"method"}),
    "dranet_driver_nri_plugin_requests_total": ("counter", {"method", "status"}),
    "dranet_driver_nri_plugin_requests_latency_seconds": ("histogram", {"method", "status"}),
    "dranet_driver_published_devices_total": ("gauge", {"feature"}),
    "dranet_driver_last_published_time_seconds": ("gauge", set()),
    "process_start_time_seconds": ("gauge", set()),
}
BUCKETS = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
METHODS = {"PrepareResourceClaims", "UnprepareResourceClaims", "RunPodSandbox", "StopPodSandbox", "RemovePodSandbox",
           "CreateContainer"}


def test_names_types_labels_and_buckets_of_metrics():
    with as_documented({"interface": {"name": "eth99"}}):
        pass
    text = host("curl", "-s", "http://127.0.0.1:9177/metrics")
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    methods, statuses, buckets = set(), set(), {}
    for name, (kind, labels) in METRICS.items():
        same(types.get(name), kind, name)
        samples = re.findall(rf"^{name}(_bucket|_sum|_count|)(?:\{{(.*)\}})? \S+$", text, re.M)
        expect(samples, f"{name} has no sample")
        for suffix, inside in samples:
            found = dict(re.findall(r'(\w+)="([^"]*)"', inside))
            bound = found.pop("le", None)
            same(set(found), labels, name + suffix)
            methods |= {found.get("method")}
            statuses |= {found.get("status")}
            if suffix == "_bucket":
                buckets.setdefault((name, tuple(found.items())), []).append(bound)
    same(methods - {None}, METHODS)
    expect(statuses <= {None, "success", "failed", "noop"}, statuses)
    for series, bounds in buckets.items():
        same(bounds, BUCKETS, series)
    same(set(re.findall(r'published_devices_total\{feature="(\w+)"\}', text)), {"rdma", "total"})


# Of a device without hardware; those of hardware are in the unit tests (dranet-behaviour §2.6).
TYPES = {"ifName": str, "mac": str, "mtu": int, "encapsulation": str, "alias": str, "state": str, "type": str, "ipv4": str,
         "ipv6": str, "ebpf": bool, "sriov": bool, "virtual": bool, "rdma": bool}


def test_names_types_and_formats_of_attributes():
    with nic("nic0", addresses=["192.0.2.9/24", "10.0.0.7/8", "2001:db8:a::2/64"], mac="02:00:00:AA:BB:CC", mtu=1480):
        LANE.cluster.wait(lambda: attributes("nic0").get("ipv6"), 10, "addresses")
        found = attributes("nic0")
        same({key: type(value) for key, value in found.items()}, TYPES)
        same([found[key] for key in ("ifName", "mac", "mtu", "encapsulation", "alias", "type", "ipv4", "ipv6", "virtual")],
             ["nic0", "02:00:00:aa:bb:cc", 1480, "ether", "", "veth", "10.0.0.7/8,192.0.2.9/24", "2001:db8:a::2/64", True])
    host("ip", "tuntap", "add", "nic0", "mode", "tap")
    with nic("nic0", make=False):
        same(attributes("nic0")["type"], "tuntap")


if __name__ == "__main__":
    LANE.run(globals(), "node/knobs_dropin")
