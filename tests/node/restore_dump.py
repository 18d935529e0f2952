"""Everything iproute2, ethtool and /proc tell of a namespace, in a form that can be compared."""

import json
import subprocess

COUNTERS = {"stats", "stats64", "link_netnsid", "link_netns"}
LIFETIMES = {"valid_life_time", "preferred_life_time", "expires"}
FOREVER = 2**32 - 1


def run(*command, netns=None, check=True):
    if netns:
        command = ("ip", "netns", "exec", netns, *command)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def tables(netns, *command):
    text = run(*command, netns=netns, check=False).strip()
    return json.loads(text) if text else []


def without_counters(value):
    if isinstance(value, list):
        return [without_counters(v) for v in value]
    if isinstance(value, dict):
        return {k: without_counters(v) for k, v in value.items() if k not in COUNTERS and not k.endswith("_timer")}
    return value


def key(value):
    """To sort by: lifetimes differ between two looks at the same thing."""
    if isinstance(value, dict):
        return json.dumps({k: v for k, v in value.items() if k not in LIFETIMES}, sort_keys=True)
    return json.dumps(value, sort_keys=True)


def sysctls(netns, name):
    text = run("sh", "-c", f"cd /proc/sys/net && grep -s . ipv[46]/conf/{name}/* ipv[46]/neigh/{name}/*",
               netns=netns, check=False)
    return dict(line.replace(f"/{name}/", "/LINK/", 1).split(":", 1) for line in text.splitlines())


def features(netns, name):
    text = run("ethtool", "-k", name, netns=netns, check=False)
    return dict(line.strip().split(": ", 1) for line in text.splitlines()[1:] if ": " in line)


def channels(netns, name):
    text = run("ethtool", "-l", name, netns=netns, check=False).partition("Current hardware settings:")[2]
    return dict(line.split(":", 1) for line in text.split("\n") if ":" in line)


def link_local_is_random(links, name):
    return any(link.get("ifname") == name and
               link.get("inet6_addr_gen_mode") in ("random", "stable_secret") for link in links)


def sort(state):
    for what, rows in state.items():
        if isinstance(rows, list):
            rows.sort(key=(lambda link: link["ifname"]) if what == "links" else key)
    return state


def dump(netns, name):
    """Of the whole namespace, and of link `name` what belongs to a link alone."""
    links = tables(netns, "ip", "-d", "-j", "link", "show")
    made_anew = link_local_is_random(links, name)
    addresses = {a["ifindex"]: a["addr_info"] for a in tables(netns, "ip", "-d", "-j", "address", "show")}
    for link in links:
        link["addr_info"] = addresses.get(link["ifindex"], [])
        link["altnames"] = sorted(link.get("altnames", []))
        if link["ifname"] != name:  # the other end of a cable hears of ours
            link.pop("operstate")
        elif "UP" not in link["flags"]:
            link.pop("promiscuity")  # the kernel counts anew when it comes up
        link["addr_info"] = [a for a in link.get("addr_info", [])
                             if not (made_anew and link["ifname"] == name and
                                     a.get("scope") == "link" and a["family"] == "inet6")]
        # In the kernel's order, which decides which address is preferred; but for those it makes.
        link["addr_info"].sort(key=lambda a: (a["family"], a.get("scope") == "link"))
    routes = []
    for family in ("-4", "-6"):
        routes += [{**r, "family": family} for r in
                   tables(netns, "ip", "-d", "-j", family, "route", "show", "table", "all")
                   if r.get("table") != "local" and
                   not (made_anew and r.get("dst", "").startswith("fe80"))]
    rules = [{**r, "family": f} for f in ("-4", "-6") for r in
             tables(netns, "ip", "-d", "-j", f, "rule", "show")]
    fdb = [f for f in tables(netns, "bridge", "-j", "fdb", "show", "dev", name)
           if not int(f["mac"][:2], 16) & 1]  # groups come with addresses
    return sort(without_counters({
        "links": links,
        "routes": routes,
        "rules": rules,
        "nexthops": tables(netns, "ip", "-j", "nexthop", "show"),
        "neighbours": tables(netns, "ip", "-j", "neigh", "show", "nud", "permanent"),
        "proxies": tables(netns, "ip", "-j", "neigh", "show", "proxy"),
        "fdb": fdb,
        "qdiscs": [q for q in tables(netns, "tc", "-j", "qdisc", "show") if q.get("dev") == name],
        "features": features(netns, name),
        "channels": channels(netns, name),
        "sysctls": sysctls(netns, name),
    }))


def expires_within(value, seconds):
    """Whether a lifetime is over after so many seconds, or may be."""
    return any(k in LIFETIMES and k != "preferred_life_time" and v != FOREVER and v <= seconds
               for k, v in value.items())


def without_expired(state, elapsed):
    """What of `state` must be there after `elapsed` seconds."""
    kept = json.loads(json.dumps(state))
    sources = set()
    for link in kept["links"]:
        gone = [a["local"] for a in link["addr_info"] if expires_within(a, elapsed)]
        link["addr_info"] = [a for a in link["addr_info"] if a["local"] not in gone]
        sources.update(gone)
    kept["routes"] = [r for r in kept["routes"] if not expires_within(r, elapsed) and r.get("prefsrc") not in sources]
    return kept


def differences(was, now, elapsed, path=""):
    """Lines "path: was …, is …"; lifetimes may differ by the time that went by."""
    if isinstance(was, dict) and isinstance(now, dict):
        found = []
        for k in sorted(set(was) | set(now)):
            at = f"{path}.{k}" if path else k
            if k in LIFETIMES and isinstance(was.get(k), int) and isinstance(now.get(k), int):
                a, b = was[k], now[k]
                if a == b or (FOREVER not in (a, b) and -3 <= a - b <= elapsed + 3):
                    continue
                found.append(f"{at}: was {a}, is {b} after {elapsed:.1f} s")
            elif k in was and k in now:
                found += differences(was[k], now[k], elapsed, at)
            elif k not in LIFETIMES or was.get(k, FOREVER) > elapsed + 3:
                found.append(f"{at}: was {was.get(k, 'nothing')}, is {now.get(k, 'nothing')}")
        return found
    if isinstance(was, list) and isinstance(now, list):
        if len(was) == len(now):
            return [d for i, (a, b) in enumerate(zip(was, now))
                    for d in differences(a, b, elapsed, f"{path}[{i}]")]
        a, b = [key(v) for v in was], [key(v) for v in now]
        return ([f"{path}: missing {v}" for v in a if v not in b] +
                [f"{path}: new {v}" for v in b if v not in a] or [f"{path}: {len(a)} became {len(b)}"])
    return [] if was == now else [f"{path}: was {was}, is {now}"]
