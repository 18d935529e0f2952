#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything of the lane `vm`, in the emulated machine: what the ordinary kernel of a build machine cannot show.

    tests/vm/machine.sh /usr/bin/python3 tests/vm/inside.py [--short] [--logs DIRECTORY] [PART...]

It runs, each with a time limit:
  * the unit tests that skip where the kernel lacks something, as many at a time as there are processors. Nothing lacks here, so a skip
    is a failure, but for those of EXCUSED;
  * the tests of the configuration that want a VRF, on the real containerd;
  * tests/vm/test_*.py. Each prints PASS, FAIL and "skip" lines (or "ok", as cluster_cases does) and as its last line
    "NAME: N passed, N failed"; the directory tests/node is on its path. A test that needs modules loads them (guest.modprobe).
PART selects those whose name contains it; --short leaves out what SHORT does not name of the files in it, for the time it takes. What the kernel complained of meanwhile is a failure. Prints PASS and FAIL lines with times, and
the count as its last line."""

import argparse
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
UNIT = os.path.join(ROOT, "build", "dev", "unit")
# There is no udev to load them on demand, and no module is loaded by the name of a link's kind in a namespace.
MODULES = ("tun", "veth", "vrf", "bridge", "ifb", "dummy", "macvlan", "macvtap", "ipvlan", "8021q", "bonding", "vxlan", "overlay",
           "netkit", "netdevsim", "nlmon", "virtio_net", "sch_ingress", "cls_bpf", "act_gact", "cls_matchall")
UNIT_TESTS = ("test_vrf", "test_ethtool", "test_ebpf", "test_monitor_ebpf", "test_mover_forwarding", "test_host_state", "test_rdma*",
              "test_vf*")
# A skip that is right even here: (part of the name of its file, part of what it says).
EXCUSED = (("test_vrf", "this kernel has VRFs"),)
NODE_TESTS = (("knobs", "test_vrf"), ("knobs_routing", "vrf"))
SHORT = {"test_rdma": ("exclusive_roce", "exclusive_iwarp", "half_way", "shared"),
         "test_sriov": ("configuration_makes", "is_published", "test_in_a_pod", "no_vf_has", "mtu_above", "since_it_was_allocated")}
COMPLAINT = re.compile(r"\b(BUG|WARNING|Oops|refcount|unregister_netdevice|general protection|soft lockup|Call Trace)\b")


class Step:
    """One program: its name, its command, its seconds, and how its output is counted."""

    def __init__(self, name, command, limit, count):
        self.name, self.command, self.limit, self.count = name, command, limit, count


def tap(name, text):
    """(passed, failed, lines to show) of cmocka's TAP output."""
    passed, shown = len(re.findall(r"^ok \d+", text, re.M)), []
    for line in text.splitlines():
        said = re.match(r"(?:not ok \d+ )?# SKIP (.*)|not ok \d+ - (.*)|SKIP(?:PED)?: (.*)", line)
        if not said:
            continue
        case, broken, reason = said.groups()
        if broken:
            shown.append(f"FAIL {name}: {broken}")
        elif reason and not any(part in name and words in reason for part, words in EXCUSED):
            shown.append(f"FAIL {name}: skipped, though this kernel has everything: {reason}")
        else:
            shown.append(f"skip {name}: {case or reason}")
    return passed, sum(line.startswith("FAIL") for line in shown), shown


def told(name, text):
    """(passed, failed, lines to show) of a program that counts by itself."""
    counts = re.findall(r"^[^ ]+: (\d+) passed, (\d+) failed$", text, re.M)
    shown = [re.sub(r"^(PASS|ok|FAIL) +", lambda word: ("FAIL " if word[1] == "FAIL" else "PASS ") + f"{name}: ", line)
             for line in text.splitlines() if re.match(r"(PASS|ok|FAIL|skip|note)\b", line)]
    if not counts:
        return 0, 0, shown
    return int(counts[-1][0]), int(counts[-1][1]), shown


def unit_steps():
    for pattern in UNIT_TESTS:
        for program in sorted(glob.glob(os.path.join(UNIT, pattern))):
            name = os.path.basename(program)
            if os.path.exists(os.path.join(ROOT, "tests", "unit", name + ".c")):
                yield Step(name, [program], 300, tap)


def node_steps():
    for name, case in NODE_TESTS:
        yield Step(f"node/{name}", ["/usr/bin/python3", os.path.join(ROOT, "tests", "node", name + ".py"), case], 600, told)


def vm_steps(short):
    for program in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        name = os.path.basename(program)[:-3]
        yield Step("vm/" + name, ["/usr/bin/python3", program, *(SHORT.get(name, ()) if short else ())], 900, told)


def kernel_complaints():
    """What it said since it was asked last."""
    said = subprocess.run(["dmesg", "-c"], capture_output=True, text=True, errors="replace", check=True).stdout
    return [line for line in said.splitlines() if COMPLAINT.search(line)], said


def environment():
    node = os.path.join(ROOT, "tests", "node")
    return {**os.environ, "PYTHONPATH": f"{node}:{HERE}", "PYTHONPYCACHEPREFIX": "/run/pycache", "CMOCKA_MESSAGE_OUTPUT": "TAP",
            "DRANETD": os.environ.get("DRANETD", os.path.join(ROOT, "build", "vm", "dranetd")),
            "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def perform(step, logs):
    """(status, what it said, seconds)."""
    begun = time.monotonic()
    log = os.path.join(logs, step.name.replace("/", "-") + ".log")
    with open(log, "w", encoding="utf-8") as out:
        done = subprocess.run(["timeout", "-k", "10", str(step.limit), *step.command], stdin=subprocess.DEVNULL, stdout=out,
                              stderr=subprocess.STDOUT, env=environment(), cwd=ROOT, check=False)
    with open(log, encoding="utf-8", errors="replace") as text:
        return done.returncode, text.read(), time.monotonic() - begun


def report(step, status, said, seconds):
    """(passed, failed); prints what happened."""
    passed, failed, shown = step.count(step.name, said)
    print(*shown, sep="\n", end="\n" if shown else "")
    if not failed and (status or not passed):
        why = f"no end after {step.limit} s" if status in (124, 137) else f"status {status}"
        print(f"FAIL {step.name}: {why} after {passed} tests")
        failed += 1
    if failed:
        print(f"---- the end of {step.name} ----", *said.splitlines()[-80:], "----", sep="\n")
    print(f"{'FAIL' if failed else 'PASS'} {step.name} ({passed}) in {seconds:.1f} s", flush=True)
    return passed, failed


def run(steps, logs, at_once=1):
    """(passed, failed) of these steps together, with the kernel's complaints."""
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for step, done in zip(steps, pool.map(lambda step: perform(step, logs), steps)):
            more, bad = report(step, *done)
            passed, failed = passed + more, failed + bad
    complaints, everything = kernel_complaints()
    if complaints:
        print(f"FAIL the kernel complained: {complaints[0]}", *everything.splitlines()[-60:], sep="\n", flush=True)
        failed += 1
    return passed, failed


def prepare(logs):
    os.makedirs(logs, exist_ok=True)
    for module in MODULES:  # one that is built in is none
        subprocess.run(["modprobe", "-q", module], check=False)
    os.makedirs("/var/lib/containerd", exist_ok=True)  # an overlay cannot lie on the overlay that is the root here
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib/containerd"], check=True)
    kernel_complaints()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--logs", default="/run/dranetd-vm")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("parts", nargs="*")
    chosen = parser.parse_args()

    def wanted(steps):
        return [step for step in steps if not chosen.parts or any(part in step.name for part in chosen.parts)]

    prepare(chosen.logs)
    # What changes the mode of RDMA devices, or measures, is alone.
    groups = [wanted(unit_steps()), wanted(node_steps()), *([step] for step in wanted(vm_steps(chosen.short)))]
    counts = [run(steps, chosen.logs, os.cpu_count()) for steps in groups]
    passed, failed = (sum(count) for count in zip(*counts))
    print(f"vm: {passed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not passed else 0)


main()
