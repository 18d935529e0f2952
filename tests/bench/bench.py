#!/usr/bin/python3
"""What an attach costs: the kernel alone, dranetd under a real containerd, and a pod without NICs, side by side in one run.

Rounds are interleaved, so that whatever else the machine does falls on all of them alike; medians are printed, with what the design
allows beside them. Nothing fails because it was slow: only errors do.

  kernel       bench_move: the same netlink requests from a bare program, in namespaces of its own
  attach       the mover's own clock over all NICs of the pod (dranetd_move_duration_seconds)
  attached     from the RunPodSandbox hook to the last NIC attached (times of the journal, 1 ms; with --synchronous-hooks the hook's own)
  hook waits   from the request read to the answer given, by dranetd's clock (dranetd_hook_wait_seconds): what it adds to the runtime's work
  config       bench_config: configurations of 10 KiB, the API's limit, each full of one kind of thing
  CRI calls    the runtime's answer as a kubelet sees it, beside the same pod without a claim: nothing of ours measures these

From the environment: DRANETD (the binary of a build tree; bench_move and bench_config are that tree's), BENCH_ROUNDS (7),
BENCH_NICS ("1 4 8"), BENCH_DEVICES (1000; 0 leaves that part out).
"""
import datetime
import functools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "node"))

from cluster import DRIVER, Cluster  # noqa: E402

BINARY = os.path.abspath(os.environ.get("DRANETD") or os.path.join(ROOT, "build", "release", "dranetd"))
BENCH_MOVE = os.path.join(os.path.dirname(BINARY), "bench", "bench_move")
BENCH_CONFIG = os.path.join(os.path.dirname(BINARY), "bench", "bench_config")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
COUNTS = [int(word) for word in os.environ.get("BENCH_NICS", "1 4 8").split()]
MANY = int(os.environ.get("BENCH_DEVICES", "1000"))
HOOKS = ("RunPodSandbox", "CreateContainer", "StopPodSandbox")
CALLS = ("run_sandbox", "create_container", "stop_sandbox")
# Only what the bench made. The empty filter also publishes the veths that CNI makes for each pod, which the default filter hides: slice
# writes in the middle of a measurement that no installation would make.
FILTER = " || ".join(f'attributes["dra.net/ifName"].StringValue.startsWith("{prefix}")' for prefix in ("nic", "ifbn"))
MIB = 1024 * 1024


def median(values):
    return statistics.median(values) if values else float("nan")


class Bench:
    def __init__(self, cluster):
        self.cluster = cluster
        self.passed = self.failed = self.made = 0

    def attempt(self, what, work):
        try:
            value = work()
            self.passed += 1
            return value
        except Exception as error:  # the next measurement is worth having all the same
            self.failed += 1
            print(f"FAIL {what}: {error}", flush=True)
            return None

    # ---- sources of numbers -----------------------------------------------------------------

    def kernel(self, nics):
        """Milliseconds of (attach, detach) of bench_move inside the corner."""
        self.settle()
        done = self.cluster.corner.run([BENCH_MOVE, "--nics", str(nics), "--rounds", "3"])
        result = json.loads(done.stdout)
        return median(result["attach"]), median(result["detach"])

    @staticmethod
    def settle():
        """The last pod's namespace dies in the kernel's own time and holds RTNL meanwhile; nothing tells when it is done."""
        time.sleep(0.25)

    def metrics(self):
        text = self.cluster.corner.run(["busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:9177/metrics"]).stdout
        return {key: float(value) for key, value in re.findall(r"^(\w+(?:\{[^}]*\})?) ([-+.\dena]+)$", text, re.M)}

    def cpu_ms(self):
        """Processor time of all threads of dranetd so far."""
        total, task = 0, f"/proc/{self.cluster.dranetd_pid()}/task"
        for thread in os.listdir(task):
            with open(f"{task}/{thread}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e6

    def wakeups(self):
        total, task = 0, f"/proc/{self.cluster.dranetd_pid()}/task"
        for thread in os.listdir(task):
            with open(f"{task}/{thread}/status", encoding="ascii") as file:
                total += int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", file.read(), re.M).group(1))
        return total

    def memory(self):
        """Bytes: written to, private, resident. Private counts clean pages of files too: the text of a library wherever nobody else on the
        machine has that file mapped, as in a corner. They are page cache, dropped when memory is short, and on a node with systemd most of
        them are shared; so the budget for private memory is held against what was written to."""
        with open(f"/proc/{self.cluster.dranetd_pid()}/smaps_rollup", encoding="ascii") as file:
            kib = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+) kB", file.read(), re.M)}
        return {"private": (kib["Private_Clean"] + kib["Private_Dirty"]) * 1024, "written": kib["Private_Dirty"] * 1024,
                "resident": kib["Rss"] * 1024}

    @staticmethod
    def log_times(lines, pattern):
        found = []
        for line in lines:
            if re.search(pattern, line):
                found.append(datetime.datetime.fromisoformat(line.split()[0].replace("Z", "+00:00")).timestamp() * 1e3)
        return found

    # ---- pods -------------------------------------------------------------------------------

    def pod(self, *claims):
        self.settle()
        self.made += 1
        manifest = self.cluster.pod_manifest(f"bench-{self.made}", *claims)
        begun = time.monotonic()
        pod = self.cluster.kubelet.run_pod(manifest)
        pod.timing["start"] = [time.monotonic() - begun]
        return pod

    @staticmethod
    def calls(pod, *more):
        return {call: sum(pod.timing.get(call, [])) * 1e3 for call in CALLS + ("start", "prepare", "unprepare") + more}

    def empty_pod(self):
        pod = self.pod()
        self.cluster.kubelet.stop_pod(pod)
        return self.calls(pod)

    def claim(self, nics):
        """One claim for so many NICs, configured as bench_move configures its own."""
        name = f"bench-{nics}-nics"
        requests, config = [], []
        for i in range(nics):
            selector = {"cel": {"expression": f'device.attributes["dra.net"].ifName == "nic{i}"'}}
            requests.append({"name": f"nic{i}", "exactly": {"deviceClassName": "dra.net", "selectors": [selector]}})
            config.append({"requests": [f"nic{i}"], "opaque": {"driver": "dra.net", "parameters": {"interface": {
                "name": f"eth{i + 1}", "addresses": [f"198.18.{i}.1/24"], "mtu": 1400, "hardwareAddr": f"02:00:00:00:02:{i:02x}"}}}})
        self.cluster.create({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name},
                             "spec": {"devices": {"requests": requests, "config": config}}})
        return name

    def nic_pod(self, claim, nics, synchronous):
        before, cpu = self.metrics(), self.cpu_ms()
        logged = len(self.cluster.dranetd_log())
        pod = self.pod(claim)
        links = self.cluster.pod_links(pod)
        missing = {f"eth{i + 1}" for i in range(nics)} - set(links)
        self.cluster.kubelet.stop_pod(pod)
        if missing:
            raise RuntimeError(f"not in the pod: {sorted(missing)}")
        spent, after = self.cpu_ms() - cpu, self.metrics()

        def spent_in(name):
            return (after.get(name, 0) - before.get(name, 0)) * 1e3
        found = self.calls(pod)
        found.update({hook: spent_in(f'dranetd_hook_wait_seconds_sum{{method="{hook}"}}') for hook in HOOKS})
        for way in ("attach", "detach"):
            found[way] = spent_in(f'dranetd_move_duration_seconds_sum{{direction="{way}"}}')
        lines = self.cluster.dranetd_log()[logged:].splitlines()
        answered = self.log_times(lines, r" RunPodSandbox: done")
        attached = self.log_times(lines, r" to=attached ")
        if synchronous:
            found["attached"] = found["RunPodSandbox"]
        elif answered and attached:
            found["attached"] = attached[-1] - answered[0]
        found["cpu"] = spent
        return found

    # ---- parts ------------------------------------------------------------------------------

    def moves(self, nics, synchronous):
        """{column: [a value for each round]} of one mode and number of NICs."""
        claim = self.claim(nics)
        columns = {}

        def add(values, prefix=""):
            for key, value in (values or {}).items():
                columns.setdefault(prefix + key, []).append(value)
        mode = "synchronous" if synchronous else "overlapped"
        self.attempt("warming up", self.empty_pod)
        for _ in range(ROUNDS):
            alone = self.attempt(f"kernel, {nics} NICs", lambda: self.kernel(nics))
            add({"kernel": alone[0], "kernel back": alone[1]} if alone else None)
            add(self.attempt(f"{mode}, {nics} NICs", lambda: self.nic_pod(claim, nics, synchronous)))
            add(self.attempt("a pod without a claim", self.empty_pod), "empty ")
        self.cluster.delete("resourceclaims", claim)
        return {key: median(values) for key, values in columns.items()}

    def idle(self, devices):
        """Memory and wake-ups of a fresh dranetd that has published so many devices, none of them published before, and has nothing to do."""
        self.cluster.stop_dranetd()
        there = len(self.cluster.published())
        for item in self.cluster.api.slices(DRIVER):
            self.cluster.delete("resourceslices", item["metadata"]["name"], None)
        self.make_devices(f"ifbn{there + i}" for i in range(devices - there))
        logged = len(self.cluster.dranetd_log())
        self.cluster.start_dranetd(filter=FILTER)
        accepted = self.cluster.wait(lambda: self.accepted(logged, devices), 120, f"{devices} devices to be accepted")
        started = self.log_times(self.cluster.dranetd_log()[logged:].splitlines(), r" dranetd [0-9.]+, driver ")
        time.sleep(3)  # not a wait for a condition: idle time is what is measured
        before, cpu = self.wakeups(), self.cpu_ms()
        time.sleep(5)
        return {"devices": len(self.cluster.published()), **self.memory(),
                "wakeups": (self.wakeups() - before) / 5, "cpu": (self.cpu_ms() - cpu) / 5,
                "accepted": accepted[0] - started[0]}

    def accepted(self, logged, devices):
        """Times at which the API server held at least so many devices, after that much of the log."""
        told = [(int(line[1]), line[0]) for line in re.findall(
            r"^(.*holds what is to be published: (\d+) devices.*)$", self.cluster.dranetd_log()[logged:], re.M)]
        return self.log_times([line for number, line in told if number >= devices], "published")

    def make_devices(self, names):
        """Links made in one go, as ip(8) reads them."""
        path = os.path.join(self.cluster.directory, "links")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"link add {name} type ifb\n" for name in names)
        self.cluster.corner.run(["ip", "-batch", path], timeout=300)


# ---- tables -------------------------------------------------------------------------------------

def row(*cells):
    print("  " + "".join(f"{cell:>{width}}" for cell, width in zip(cells, (26, 12, 12, 12, 12, 14))), flush=True)


def ms(value):
    return f"{value:.2f} ms" if value < 10 else f"{value:.1f} ms"


def print_moves(nics, synchronous, m):
    def get(key):
        return m.get(key, float("nan"))
    print(f"\n{nics} NIC{'s' if nics > 1 else ''}, {'--synchronous-hooks' if synchronous else 'hooks overlapped'}, "
          f"medians of {ROUNDS} rounds")
    row("", "kernel", "dranetd", "ratio", "budget")
    row("attach, the move itself", ms(get("kernel")), ms(get("attach")), f"{get('attach') / get('kernel'):.2f}", "1.20")
    row("detach", ms(get("kernel back")), ms(get("detach")), f"{get('detach') / get('kernel back'):.2f}", "")
    row("until attached", "", ms(get("attached")), f"{get('attached') / get('kernel'):.2f}", "")
    row("hook waits", "", "measured", "", "budget")
    for hook, budget in zip(HOOKS, ("1 ms", "", "1 ms")):
        row(hook, "", ms(get(hook)), "", "" if synchronous else budget)
    row("as a kubelet sees it", "no claim", f"{nics} NICs", "more", "budget")
    for call, name, budget in (("run_sandbox", "RunPodSandbox", ""), ("create_container", "CreateContainer", ""),
                               ("stop_sandbox", "StopPodSandbox", ""), ("start", "pod's start", "noise")):
        row(name, ms(get("empty " + call)), ms(get(call)), ms(get(call) - get("empty " + call)), budget)
    row("NodePrepareResources", "", ms(get("prepare")))
    row("NodeUnprepareResources", "", ms(get("unprepare")))
    row("CPU of the pod's cycle", "", ms(get("cpu")), "", "5 ms")


def print_idle(idle, private, resident, accepted):
    print(f"\nidle with {idle['devices']} devices")
    row("", "", "measured", "", "budget")
    row("private, written to", "", f"{idle['written'] / MIB:.2f} MiB", "", private)
    row("  with clean file pages", "", f"{idle['private'] / MIB:.2f} MiB", "", "")
    row("resident memory", "", f"{idle['resident'] / MIB:.2f} MiB", "", resident)
    row("wake-ups", "", f"{idle['wakeups']:.1f} /s", "", "watchdog's")
    row("CPU", "", f"{idle['cpu']:.3f} ms/s", "", "")
    row("start to slices accepted", "", ms(idle["accepted"]), "", accepted)


def print_configs():
    lines = subprocess.run([BENCH_CONFIG], check=True, capture_output=True, text=True).stdout.splitlines()
    documents = [json.loads(line) for line in lines]
    print("\nconfigurations of up to 10 KiB, of class and claim: medians")
    row("", "bytes", "from JSON", "to merged", "budget")
    for d in documents:
        row(d["document"], str(d["bytes"]), ms(d["decode"] / 1000), ms(d["config"] / 1000), "1 ms")


def print_size(path):
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, path], check=True)
        size = os.path.getsize(stripped.name)
    print("\nthe binary")
    row("stripped", "", f"{size / MIB:.2f} MiB", "", "1.50 MiB")


def main():
    print(f"dranetd {os.path.relpath(BINARY, ROOT)}, kernel {os.uname().release}, {os.cpu_count()} processors")
    with Cluster(dranetd=BINARY) as cluster:
        bench = Bench(cluster)
        for i in range(max(COUNTS)):
            cluster.net.add_nic(f"nic{i}")
        results = {}
        for synchronous in (False, True):
            cluster.start_dranetd(*(["--synchronous-hooks"] if synchronous else []), filter=FILTER)
            cluster.wait_published(*(f"nic{i}" for i in range(max(COUNTS))))
            for nics in COUNTS:
                results[synchronous, nics] = bench.moves(nics, synchronous)
                print_moves(nics, synchronous, results[synchronous, nics])
            cluster.stop_dranetd()
        for devices, limits in ((16, ("4 MiB", "14 MiB", "100 ms")), (MANY, ("8 MiB", "14 MiB", "500 ms"))):
            if devices:
                idle = bench.attempt(f"idle with {devices} devices", functools.partial(bench.idle, devices))
                if idle:
                    print_idle(idle, *limits)
        bench.attempt("configurations", print_configs)
        bench.attempt("size of the binary", lambda: print_size(BINARY))
        passed, failed = bench.passed, bench.failed
    print(f"\nbench: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
