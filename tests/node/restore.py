#!/usr/bin/python3
"""restore.py - whatever leaves the host comes back as it was, on the real kernel.

Each round: a NIC with a random configuration of the host's, a dump of everything, the device to a pod (restore_move, the mover as
the daemon has it, its plan through a record on the way), random changes by the pod, the device home, and a dump that must be equal.
Sometimes the pod's namespace loses its name first, sometimes an altname or the NIC's own name is taken meanwhile: then exactly that
must be reported, and nothing else differ; once the name is free again, nothing at all.

  restore.py [--rounds N] [--seed S] [--only ROUND] [--verbose]

A failing round prints how to repeat it. Needs root; $DRANETD is the daemon of the build whose restore_move is used."""

import argparse
import ctypes
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from restore_dump import differences, dump, run, sort, without_expired  # noqa: E402
from restore_random import Nic, pod_changes  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
DRANETD = os.environ.get("DRANETD", os.path.join(HERE, "../../build/dev/dranetd"))
MOVER = os.path.join(os.path.dirname(os.path.abspath(DRANETD)), "node", "restore_move")
SETTLED_WITHIN = 5  # seconds: duplicate address detection and link events are all that may still go on
NAME = "nic0"


class Mismatch(Exception):
    pass


def in_a_corner():
    """Network, mounts and /run/netns of our own: whatever is left behind ends with the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_mounts, new_network = 0x00020000, 0x40000000
    if libc.unshare(new_mounts | new_network) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    private = 1 << 18 | 1 << 14
    if libc.mount(b"none", b"/", None, private, None) != 0:
        raise OSError(ctypes.get_errno(), "making mounts private")
    os.makedirs("/run/netns", exist_ok=True)
    if libc.mount(b"netns", b"/run/netns", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mounting /run/netns")


def script(netns, lines, verbose=False):
    """Lines that may fail one by one."""
    done = subprocess.run(["ip", "netns", "exec", netns, "sh"], input="\n".join(lines) + "\n", capture_output=True, text=True,
                          check=False)
    if verbose and done.stderr:
        print(done.stderr, file=sys.stderr)


class Mover:
    def __init__(self, netns, *args):
        self.process = subprocess.Popen(["ip", "netns", "exec", netns, MOVER, *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def answer(self):
        line = self.process.stdout.readline().rstrip("\n")
        if not line:
            raise Mismatch(f"restore_move ended: {self.process.stderr.read().strip()}")
        return line

    def detach(self):
        self.process.stdin.write("detach\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        errors = self.process.stderr.read()
        if self.process.wait() != 0:
            raise Mismatch(f"restore_move: {errors.strip()}")


def config_of(rng, nic):
    words = []
    if rng.random() < 0.5:
        words.append(f"mtu={rng.randint(1280, 1500)}")
    if rng.random() < 0.4 and nic.kind != "ifb":
        words.append("mac=02:55:55:55:55:55")
    if rng.random() < 0.5:
        words += ["address=192.0.2.10/24", "address=fd99::1/64"]
    return words


def settled(netns, was, begun, rename=None):
    """Compare until equal or too late: the last differences."""
    deadline, found = time.monotonic() + SETTLED_WITHIN, []
    while True:
        elapsed = time.monotonic() - begun
        now = dump(netns, rename or NAME)
        if rename:
            now = json.loads(json.dumps(now).replace(f'"{rename}"', f'"{NAME}"'))
            for link in now["links"]:
                link["altnames"] = [a for a in link["altnames"] if a != f"was-{NAME}"]
            now["rules"] = [{k: v for k, v in r.items() if not k.endswith("_detached")} for r in now["rules"]]
            sort(now)
        found = differences(without_expired(was, elapsed), without_expired(now, 0), elapsed)
        if not found or time.monotonic() > deadline:
            return found


def steady_dump(netns):
    """Two looks that agree: what was just configured may still be settling."""
    deadline = time.monotonic() + SETTLED_WITHIN
    last = dump(netns, NAME)
    while time.monotonic() < deadline:
        now = dump(netns, NAME)
        if not differences(last, now, 1) and "tentative" not in json.dumps(now):
            return now
        last = now
    return last


def expect(what, is_, wanted):
    if is_ != wanted:
        raise Mismatch(f"{what}: {is_!r} instead of {wanted!r}")


def name_of_link(netns, ifindex):
    return next((l["ifname"] for l in json.loads(run("ip", "-j", "link", netns=netns)) if l["ifindex"] == ifindex), None)


def away(rng, host, pod, mover, verbose):
    """The device is in the pod: whatever may happen there and here. → what was taken on the host."""
    script(pod, pod_changes(rng, "net1", NAME), verbose)
    if rng.random() < 0.3:
        run("ip", "netns", "delete", pod)
    taken = rng.choice((None, None, None, "name", "altname"))
    if taken == "name":
        run("ip", "link", "add", NAME, "type", "ifb", netns=host)
    elif taken == "altname":
        run("ip", "link", "property", "add", "dev", "other", "altname", "alt0", netns=host, check=False)
        altnames = [l.get("altnames", []) for l in json.loads(run("ip", "-j", "link", netns=host)) if l["ifname"] == "other"]
        taken = taken if altnames[0] else None
    return taken


def go_home(host, was, begun, mover, taken, had_alt0):
    answer = mover.detach()
    if taken == "name":
        here = [l["ifname"] for l in json.loads(run("ip", "-j", "link", netns=host))
                if f"was-{NAME}" in l.get("altnames", [])]
        if len(here) != 1:
            raise Mismatch(f"no link has the altname was-{NAME}: {answer}")
        thief = json.loads(run("ip", "-j", "link", "show", "dev", NAME, netns=host))[0]["ifindex"]
        expect("the report", answer, f"home: name is {here[0]} (altname was-{NAME}), was {NAME}: taken by link {thief} (ifb)")
        run("ip", "link", "delete", "dev", NAME, netns=host)
        found = settled(host, was, begun, rename=here[0])
        if found:
            raise Mismatch("besides the name: " + "\n     ".join(found))
        answer = mover.detach()
    elif taken == "altname":
        if had_alt0:
            other = json.loads(run("ip", "-j", "link", "show", "dev", "other", netns=host))[0]["ifindex"]
            if not answer.startswith(f"home: altname alt0 is missing: taken by link {other} (ifb)"):
                raise Mismatch(f"the taken altname is not told: {answer}")
        run("ip", "link", "property", "del", "dev", "other", "altname", "alt0", netns=host)
        answer = mover.detach()
    expect("the report", answer, "home")
    found = settled(host, was, begun)
    if found:
        raise Mismatch("\n     ".join(found))


def one_round(seed, number, verbose):
    rng = random.Random(f"{seed}-{number}")
    host, pod = f"host{number}", f"pod{number}"
    nic = Nic(rng, NAME)
    run("ip", "netns", "add", host)
    run("ip", "netns", "add", pod)
    try:
        script(host, nic.lines, verbose)
        pod_lines = ["ip link set lo up"]
        if rng.random() < 0.3:  # somebody in there has the NIC's altname, number or host name
            pod_lines += ["ip link add busy type ifb", f"ip link property add dev busy altname {rng.choice(('alt0', NAME))}"]
        script(pod, pod_lines, verbose)
        was, begun = steady_dump(host), time.monotonic()
        pod_was = dump(pod, "lo")
        had_alt0 = any("alt0" in l.get("altnames", []) for l in was["links"] if l["ifname"] == NAME)
        pod_name = "alt0" if had_alt0 and rng.random() < 0.3 and "alt0" not in json.dumps(pod_was) else "net1"
        mover = Mover(host, NAME, f"/run/netns/{pod}", pod_name, *config_of(rng, nic))
        answer = mover.answer()
        if verbose:
            print("\n".join(nic.lines), answer, sep="\n\n")
        if answer == "attached":
            taken = away(rng, host, pod, mover, verbose)
            if nic.short:
                time.sleep(3.1)  # what lives for three seconds must not come back
            go_home(host, was, begun, mover, taken, had_alt0)
        elif answer.startswith("refused"):
            found = settled(host, was, begun)
            found += differences(pod_was, dump(pod, "lo"), 0, "pod")
            if found or "back on the host, but" in answer:
                raise Mismatch(f"{answer}\n     " + "\n     ".join(found))
        else:
            raise Mismatch(answer)
        mover.close()
        return answer.startswith("refused")
    finally:
        for netns in (host, pod):
            run("ip", "netns", "delete", netns, check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    in_a_corner()
    passed = failed = refused = 0
    for number in [args.only] if args.only is not None else range(args.rounds):
        try:
            refused += one_round(args.seed, number, args.verbose)
            passed += 1
        except (Mismatch, RuntimeError) as why:
            failed += 1
            print(f"FAIL round {number} (restore.py --seed {args.seed} --only {number})\n     {why}", flush=True)
    if refused:
        print(f"{refused} rounds in which the attach was refused and undone")
    print(f"restore: {passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
