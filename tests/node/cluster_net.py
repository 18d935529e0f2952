"""NICs of the node under test: made in the corner's namespace, compared before and after.

The "fabric" is a namespace of its own in the corner: the other ends of the veths, with addresses
to ping. Comparing host_dump() of a NIC before a pod and after it is the proof that the host got it
back as it was.
"""

import json

FABRIC = "fabric"


class Nic:
    """A NIC made by the test; `peer` is its other end's name in the fabric, or None."""

    def __init__(self, name, kind, peer=None):
        self.name, self.kind, self.peer = name, kind, peer


class Net:
    """ip(8) in the corner's network namespace and its fabric."""

    def __init__(self, corner):
        self.corner, self.nics = corner, {}

    def ip(self, *words):
        return self.corner.run(["ip", *words]).stdout

    def json(self, *words):
        text = self.ip("-j", "-d", *words)
        return json.loads(text) if text.strip() else []

    def set_up(self):
        self.ip("netns", "add", FABRIC)
        self.ip("-n", FABRIC, "link", "set", "lo", "up")

    def add_nic(self, name, kind="veth", lower=None, mtu=None, mac=None, addresses=(),
                fabric=(), up=True):
        """Make a NIC: veth (with a peer in the fabric), ifb, or macvlan over `lower`."""
        made = Nic(name, kind)
        if kind == "veth":
            made.peer = name + "p"
            self.ip("link", "add", name, "type", "veth", "peer", "name", made.peer, "netns", FABRIC)
            self.ip("-n", FABRIC, "link", "set", made.peer, "up")
            for address in fabric:
                self.ip("-n", FABRIC, "addr", "add", address, "dev", made.peer, "nodad")
        elif kind == "macvlan":
            self.ip("link", "add", name, "link", lower, "type", "macvlan", "mode", "bridge")
        else:
            # An ifb takes an address only when it is made.
            self.ip("link", "add", name, *(["address", mac] if mac else []), "type", kind)
            mac = None
        if mtu:
            self.ip("link", "set", name, "mtu", str(mtu))
            if made.peer:
                self.ip("-n", FABRIC, "link", "set", made.peer, "mtu", str(mtu))
        if mac:
            self.ip("link", "set", name, "address", mac)
        if up:
            self.ip("link", "set", name, "up")
        for address in addresses:
            self.ip("addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        self.nics[name] = made
        return made

    def remove_nic(self, name):
        self.ip("link", "del", name)
        self.nics.pop(name, None)

    def exists(self, name):
        return self.corner.run(["ip", "link", "show", "dev", name], check=False).returncode == 0

    def host_dump(self, name):
        """What the host would miss if the NIC came back otherwise: link, addresses, routes."""
        link = self.json("addr", "show", "dev", name)[0]
        kept = {key: link.get(key) for key in ("ifname", "mtu", "address", "broadcast", "txqlen",
                                               "link", "gso_max_size", "gro_max_size",
                                               "num_tx_queues", "num_rx_queues", "ifalias",
                                               "allmulti")}
        kept["flags"] = sorted(set(link["flags"]) - {"LOWER_UP", "NO-CARRIER"})
        kept["kind"] = link.get("linkinfo", {}).get("info_kind")
        kept["data"] = link.get("linkinfo", {}).get("info_data")
        # Link-local addresses are the kernel's own: it makes them anew whenever the link goes up.
        kept["addresses"] = sorted(
            (item["family"], item["local"], item["prefixlen"], item["scope"],
             item.get("broadcast", ""), item.get("label", "")) for item in link["addr_info"]
            if item["scope"] != "link")
        kept["routes"] = sorted(
            json.dumps({key: route.get(key) for key in ("dst", "gateway", "prefsrc", "metric",
                                                        "scope", "type", "table")})
            for family in ("-4", "-6")
            for route in self.json(family, "route", "show", "table", "all", "dev", name)
            if route.get("type") != "multicast" and not route.get("dst", "").startswith("fe80"))
        kept["neighbours"] = sorted(
            (item["dst"], item.get("lladdr", "")) for item in
            self.json("neigh", "show", "dev", name, "nud", "permanent"))
        return kept

    def pod_links(self, netns):
        """Links with addresses in a pod's namespace (a path in the corner), by name."""
        done = self.corner.run(["nsenter", f"--net={netns}", "ip", "-j", "-d", "addr", "show"])
        return {link["ifname"]: link for link in json.loads(done.stdout)}


def addresses(link):
    """CIDR forms of a link's global addresses, as ip(8) listed it."""
    return sorted(f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"]
                  if item["scope"] == "global")


def differences(before, after):
    """Readable list of what differs between two host dumps."""
    return [f"{key}: was {before.get(key)!r}, is {after.get(key)!r}"
            for key in before if before.get(key) != after.get(key)]
