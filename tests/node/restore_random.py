"""A NIC as some host may have it, and what a pod may do to it: lines for `sh`, chosen by a seeded generator. Not all of them are
possible together; what the kernel refuses is simply not there, as the dumps tell."""

KINDS = ("veth", "ifb", "macvlan")
TABLES = ("main", "100", "1000", "70000")
FEATURES = ("tso", "gso", "gro", "sg", "tx", "rx", "rx-gro-list", "tx-nocache-copy", "rx-udp-gro-forwarding", "tx-gso-list")
SYSCTLS4 = {"arp_ignore": (0, 1, 2, 8), "arp_announce": (0, 1, 2), "rp_filter": (0, 1, 2), "forwarding": (0, 1), "proxy_arp": (0, 1),
            "accept_redirects": (0, 1), "send_redirects": (0, 1), "log_martians": (0, 1), "accept_local": (0, 1),
            "promote_secondaries": (0, 1), "route_localnet": (0, 1), "medium_id": (0, 7), "arp_notify": (0, 1),
            "igmpv2_unsolicited_report_interval": (10000, 12345), "ignore_routes_with_linkdown": (0, 1)}
SYSCTLS6 = {"accept_ra": (0, 1, 2), "autoconf": (0, 1), "forwarding": (0, 1), "hop_limit": (64, 77), "dad_transmits": (0, 1, 3),
            "router_solicitations": (0, 3), "router_solicitation_interval": (4, 7), "accept_ra_defrtr": (0, 1),
            "keep_addr_on_down": (0, 1), "proxy_ndp": (0, 1), "accept_redirects": (0, 1), "max_addresses": (16, 20),
            "mldv1_unsolicited_report_interval": (10000, 11000), "router_probe_interval": (60, 90), "ndisc_notify": (0, 1),
            "drop_unsolicited_na": (0, 1), "ra_defrtr_metric": (1024, 99), "regen_min_advance": (2, 5), "temp_valid_lft": (604800, 9999)}
NEIGHBOURS = {"gc_stale_time": (60, 99), "base_reachable_time_ms": (30000, 77000), "app_solicit": (0, 1), "mcast_solicit": (3, 7),
              "unres_qlen_bytes": (212992, 65536), "retrans_time_ms": (1000, 1500), "locktime": (100, 30)}
GEN_MODES = ("eui64", "none", "random")


class Nic:
    """A random host configuration of link `name`, made by `lines` in its namespace."""

    def __init__(self, rng, name):
        self.rng, self.name, self.kind, self.lines = rng, name, rng.choice(KINDS), []
        self.addresses4, self.addresses6, self.short = [], [], False
        self.make()
        if self.maybe(0.9):
            self.properties()
        self.sysctls()
        self.addresses()
        if self.kind == "veth" and self.maybe(0.15):
            self.lines += ["ip link add br0 type bridge", "ip link set br0 up", f"ip link set {name} master br0",
                           f"bridge fdb add 02:00:00:00:66:01 dev {name} master static"]
        if self.maybe(0.85):
            self.lines.append(f"ip link set {name} up")
        self.tables()
        self.neighbours()
        self.rules()
        if self.maybe(0.2):
            self.lines.append(rng.choice((f"tc qdisc add dev {name} root pfifo limit {rng.randint(10, 99)}",
                                          f"tc qdisc add dev {name} root bfifo limit 99999",
                                          f"tc qdisc add dev {name} root tbf rate 5mbit burst 10kb latency 70ms")))
        self.offloads(self.lines)

    def maybe(self, chance):
        return self.rng.random() < chance

    def make(self):
        name = self.name
        self.lines += ["ip link set lo up",
                       "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad",
                       "ip link add other type ifb", "ip link set other up",
                       "ip address add 10.9.0.1/24 dev other", "ip address add fd09::1/64 dev other nodad"]
        if self.kind == "veth":
            self.lines += [f"ip link add {name} numtxqueues 4 numrxqueues 4 type veth peer name peer", "ip link set peer addrgenmode none", "ip link set peer up"]
        elif self.kind == "macvlan":
            self.lines += ["ip link add lower type ifb", "ip link set lower up",
                           f"ip link add {name} link lower type macvlan mode {self.rng.choice(('bridge', 'private', 'vepa'))}"]
        else:
            self.lines += [f"ip link add {name} type ifb"]

    def properties(self):
        rng, name = self.rng, self.name
        choices = [f"mtu {rng.randint(1280, 1500)}", f"txqueuelen {rng.randint(1, 5000)}", f"group {rng.randint(1, 99)}",
                   f"alias 'rail {rng.randint(1, 9)}: storage \u00fc'", "promisc on", "allmulticast on", "multicast off", "arp off",
                   f"gso_max_size {rng.randint(20000, 60000)}", f"gro_max_size {rng.randint(20000, 60000)}",
                   f"gso_max_segs {rng.randint(10, 60000)}", f"addrgenmode {rng.choice(GEN_MODES)}"]
        if self.kind != "ifb":
            choices.append(f"address 02:00:00:{rng.randrange(256):02x}:{rng.randrange(256):02x}:01")
        for choice in rng.sample(choices, rng.randint(1, 6)):
            self.lines.append(f"ip link set {name} {choice}")
        for i in range(rng.choice((0, 0, 1, 2, 3))):
            self.lines.append(f"ip link property add dev {name} altname {'a-rather-long-name-of-' * i}alt{i}")

    def sysctls(self):
        for family, table in (("ipv4", SYSCTLS4), ("ipv6", SYSCTLS6)):
            for key in self.rng.sample(sorted(table), self.rng.choice((0, 0, 1, 3, 6))):
                self.lines.append(f"echo {self.rng.choice(table[key])} > /proc/sys/net/{family}/conf/{self.name}/{key}")
        for key in self.rng.sample(sorted(NEIGHBOURS), self.rng.choice((0, 0, 2))):
            self.lines.append(f"echo {self.rng.choice(NEIGHBOURS[key])} > /proc/sys/net/{self.rng.choice(('ipv4', 'ipv6'))}"
                              f"/neigh/{self.name}/{key}")
        if self.maybe(0.1):
            self.lines.append(f"echo 2001:db8::{self.rng.randint(1, 9999):x} > /proc/sys/net/ipv6/conf/{self.name}/stable_secret")

    def lifetime(self):
        if not self.maybe(0.35):
            return ""
        valid = self.rng.randint(100, 9999)
        preferred = self.rng.choice((0, valid // 2, valid))
        return f" valid_lft {self.rng.choice((valid, valid, 'forever'))} preferred_lft {preferred}"

    def addresses(self):
        rng, name = self.rng, self.name
        for i in range(rng.randint(0, 4)):
            local, extra = f"10.{5 + i % 2}.{i // 3}.{i + 2}", ""
            if self.maybe(0.2):
                extra += f" peer 10.66.{i}.1/32"
            else:
                local += rng.choice(("/24", "/24", "/28", "/32"))
                extra += rng.choice((" brd +", "", " brd 10.5.0.77"))
            extra += f" label {name}:x{i}" if self.maybe(0.3) else ""
            extra += f" scope {rng.choice(('link', 'host', '77'))}" if self.maybe(0.15) else ""
            extra += f" metric {rng.randint(1, 999)}" if self.maybe(0.25) else ""
            extra += " noprefixroute" if self.maybe(0.15) else ""
            self.addresses4.append(local.split("/")[0])
            self.lines.append(f"ip address add {local}{extra} dev {name}{self.lifetime()}")
        if self.maybe(0.1):  # what does not live to see its return; nothing else depends on these
            self.short = True
            self.lines += [f"ip address add 10.77.0.2/24 dev {name} valid_lft 3 preferred_lft 3",
                           f"ip address add fd77::2/64 dev {name} valid_lft 3 preferred_lft 3"]
        for i in range(rng.randint(0, 3)):
            local, extra = f"fd0{5 + i % 2}::{i + 2}", ""
            extra += " nodad" if self.maybe(0.5) else ""
            extra += " home" if self.maybe(0.15) else ""
            extra += " noprefixroute" if self.maybe(0.2) else ""
            extra += f" metric {rng.randint(1, 999)}" if self.maybe(0.3) else ""
            self.addresses6.append(local)
            self.lines.append(f"ip address add {local}{rng.choice(('/64', '/64', '/128'))}{extra} dev {name}{self.lifetime()}")

    def tables(self):
        rng, name = self.rng, self.name
        for i in range(rng.randint(0, 6)):
            self.lines.append(self.route4(i))
        for i in range(rng.randint(0, 5)):
            self.lines.append(self.route6(i))
        if self.maybe(0.2):
            self.lines += [f"ip nexthop add id 77 via 10.5.0.7 dev {name}", f"ip nexthop add id 78 dev {name}",
                           "ip nexthop add id 79 via 10.9.0.3 dev other", "ip nexthop add id 80 group 77,2/79",
                           "ip route add 10.177.0.0/16 nhid 77", "ip route add 10.178.0.0/16 nhid 78 table 1000",
                           "ip route add 10.179.0.0/16 nhid 80"]
        if self.addresses4 and self.maybe(0.3):
            self.lines.append(f"ip route add 10.110.0.0/16 dev other src {rng.choice(self.addresses4)}")

    def route4(self, i):
        rng, name = self.rng, self.name
        line = f"ip route {rng.choice(('add', 'add', 'append'))} {rng.choice((f'10.{100 + i}.0.0/16', f'10.{100 + i // 2}.7.0/24', 'default'))}"
        line += f" table {rng.choice(TABLES)}"
        line += f" metric {rng.randint(0, 3000)}" if self.maybe(0.7) else ""
        line += f" tos {rng.choice(('0x04', '0x10'))}" if self.maybe(0.15) else ""
        line += f" proto {rng.choice(('static', 'bgp', '77', 'dhcp'))}" if self.maybe(0.5) else ""
        line += f" src {rng.choice(self.addresses4)}" if self.addresses4 and self.maybe(0.4) else ""
        line += " mtu 1300 advmss 900" if self.maybe(0.15) else ""
        line += " mtu lock 1290 initcwnd 30 congctl reno" if self.maybe(0.1) else ""
        line += " realm 3" if self.maybe(0.1) else ""
        how = rng.randrange(5)
        if how == 0:
            return f"{line} dev {name} scope link"
        if how == 1:
            return f"{line} via 172.16.0.{i + 1} dev {name} onlink"
        if how == 2:
            return f"{line} nexthop via 10.5.0.{i + 9} dev {name} weight {rng.randint(1, 9)} nexthop via 10.9.0.{i + 9} dev other weight 2"
        return f"{line} via 10.{rng.choice((5, 6))}.0.{i + 20} dev {name}"

    def route6(self, i):
        rng, name = self.rng, self.name
        line = f"ip -6 route add fd{10 + i}::/{rng.choice((48, 64, 128))} table {rng.choice(TABLES)}"
        line += f" metric {rng.randint(1, 3000)}" if self.maybe(0.6) else ""
        line += f" proto {rng.choice(('static', 'bgp'))}" if self.maybe(0.4) else ""
        line += f" src {rng.choice(self.addresses6)}" if self.addresses6 and self.maybe(0.3) else ""
        line += " mtu 1300 hoplimit 9" if self.maybe(0.15) else ""
        line += f" pref {rng.choice(('low', 'high'))}" if self.maybe(0.2) else ""
        line += f" expires {rng.randint(100, 999)}" if self.maybe(0.2) else ""
        how = rng.randrange(4)
        if how == 0:
            return f"{line} dev {name}"
        if how == 1:
            return f"{line} nexthop via fd05::{i + 30:x} dev {name} nexthop via fe80::9 dev other"
        return f"{line} via {rng.choice(('fd05', 'fd06', 'fe80'))}::{i + 20:x} dev {name}"

    def neighbours(self):
        rng, name = self.rng, self.name
        for i in range(rng.randint(0, 3)):
            ip = rng.choice((f"10.5.0.{i + 100}", f"fd05::{i + 100:x}"))
            self.lines.append(f"ip neigh add {ip} lladdr 02:00:00:00:09:{i:02x} nud permanent dev {name}"
                              f"{' router' if self.maybe(0.2) else ''}")
        if self.maybe(0.3):
            self.lines += [f"ip neigh add proxy 10.5.0.200 dev {name}", f"ip neigh add proxy fd05::200 dev {name}"]
        if self.maybe(0.2):
            self.lines.append(f"bridge fdb add 02:00:00:00:77:{rng.randrange(256):02x} dev {name} self permanent")

    def rules(self):
        rng, name = self.rng, self.name
        choices = (f"iif {name} fwmark {rng.randint(1, 9)}/0xff lookup 100", f"oif {name} lookup 1000",
                   f"iif {name} from 10.5.0.0/24 to 10.9.0.0/24 tos 0x10 lookup 70000", "fwmark 0x77 lookup 100",
                   f"not iif {name} lookup 100", f"oif {name} ipproto tcp dport 80-90 suppress_prefixlength 0 lookup main",
                   f"from 10.5.0.0/24 lookup 1000 priority {rng.randint(100, 9000)}", f"iif {name} prohibit",
                   f"iif {name} oif other uidrange 5-9 lookup 100 protocol 99")
        for choice in rng.sample(choices, rng.choice((0, 0, 1, 2, 4))):
            self.lines.append(f"ip {rng.choice(('-4', '-4', '-6'))} rule add {choice}")

    def offloads(self, lines):
        for feature in self.rng.sample(FEATURES, self.rng.choice((0, 1, 2, 4))):
            lines.append(f"ethtool -K {self.name} {feature} {self.rng.choice(('on', 'off'))}")
        if self.maybe(0.3):
            lines.append(f"ethtool -L {self.name} rx {self.rng.randint(1, 4)} tx {self.rng.randint(1, 4)}")
        if self.maybe(0.15):
            lines.append(f"tc qdisc add dev {self.name} {self.rng.choice(('clsact', 'ingress'))}")


def pod_changes(rng, name, host_name):
    """What a pod does to its interface `name`, as lines; the last name it gave is returned, too."""
    choices = [f"ip link set {name} mtu {rng.randint(1280, 1400)}", f"ip link set {name} down", f"ip address flush dev {name}",
               f"ip link set {name} txqueuelen 7", f"ip link set {name} group 55", f"ip link set {name} alias 'the pod was here'",
               f"ip link set {name} promisc on", f"ip link set {name} promisc off", f"ip link set {name} allmulticast on",
               f"ip link set {name} multicast off", f"ip link set {name} arp off", f"ip link set {name} arp on",
               f"ip link set {name} gso_max_size 30000 gro_max_size 30001 gso_max_segs 44",
               f"ip link set {name} addrgenmode none", f"ip address add 192.168.{rng.randint(0, 9)}.1/24 dev {name}",
               f"ip address add fd77::1/64 dev {name}", f"ip route add 10.200.0.0/16 dev {name}",
               f"ip neigh add 192.168.0.9 lladdr 02:00:00:00:00:09 dev {name} nud permanent",
               f"ip rule add iif {name} lookup 9", f"tc qdisc add dev {name} root pfifo limit 5",
               f"tc qdisc add dev {name} clsact && tc filter add dev {name} ingress protocol ip u32 match u32 0 0",
               f"ethtool -L {name} rx {rng.randint(1, 4)}", f"ethtool -L {name} tx {rng.randint(1, 4)}",
               f"ip link property add dev {name} altname pods-own", f"ip link property add dev {name} altname {host_name}",
               f"ip link property add dev {name} altname other", f"ip link property del dev {name} altname alt0",
               f"ip link add br0 type bridge && ip link set {name} master br0",
               f"bridge fdb add 02:00:00:00:88:88 dev {name} self permanent",
               f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6", f"echo 2 > /proc/sys/net/ipv4/conf/{name}/rp_filter",
               f"echo 0 > /proc/sys/net/ipv6/conf/{name}/accept_ra", f"echo 9 > /proc/sys/net/ipv4/neigh/{name}/gc_stale_time"]
    choices += [f"ethtool -K {name} {f} {rng.choice(('on', 'off'))}" for f in rng.sample(FEATURES, 3)]
    lines = rng.sample(choices, rng.randint(0, len(choices)))
    if rng.random() < 0.5:
        lines.append(f"ip link set {name} down; ip link set {name} address 02:77:77:77:77:{rng.randrange(256):02x}")
    if rng.random() < 0.4:
        lines.append(f"ip link set {name} down; ip link set {name} name {rng.choice(('weird', host_name, 'eth9'))}")
    return lines
