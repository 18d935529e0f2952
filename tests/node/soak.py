#!/usr/bin/python3
"""Pods over eight NICs, several at once with one to eight NICs each, while driver and runtime are killed.

    soak.py [--cycles 2000] [--seed N] [--workers 4] [--minutes 45]

In the first 40 % of the cycles the driver is killed (SIGKILL and SIGTERM) and the runtime restarted at random
moments. Then one driver lives to the end and only the runtime is restarted: memory and descriptors of that one
life are compared. Every 50 cycles the node comes to rest: nothing may be left of any pod, and the host's dump is
what it was at first. $DRANETD should be a release build: sanitizers keep what was freed.
"""

import argparse
import json
import os
import random
import signal
import statistics
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import Cluster  # noqa: E402
from cluster_net import differences  # noqa: E402
from fault_cases import Proven, add_nic, add_nics, dumps, leftovers, remove_sandboxes  # noqa: E402
from kubelet import PodFailed  # noqa: E402
from kubelet_plugins import KubeletError  # noqa: E402
from runtime.cri import CriError  # noqa: E402
from soak_figures import Sample, growth, slope, table  # noqa: E402

NICS, REST_EVERY, YOUNG_CYCLES, FAILURES_MAX = 8, 50, 8, 10
SLOW_SECONDS = 20
CHAOS_SHARE, FLAT_PERCENT = 0.4, 5.0


class Soak:
    def __init__(self, cluster, options):
        self.cluster, self.options = cluster, options
        self.random = random.Random(options.seed)
        self.names = add_nics(cluster, NICS)
        self.before = dumps(cluster, self.names)
        self.free, self.lock, self.returned = set(self.names), threading.Lock(), threading.Condition()
        self.cycle = self.pods = self.widest = self.orphaned = self.starved = self.slowest = 0
        self.failures, self.resting = [], threading.Event()
        self.away = []  # [from, to] of each time without a driver
        self.born, self.lives, self.events = 0, 1, {"SIGKILL": 0, "SIGTERM": 0, "runtime": 0}
        self.busy, self.quiet, self.young = [], [], []  # samples
        self.chaos = True

    def fail(self, what):
        self.failures.append(what)
        print(f"FAIL {what}", flush=True)

    # ---- pods -------------------------------------------------------------------------------

    def take(self):
        with self.returned:
            self.returned.wait_for(lambda: self.free)
            count = self.random.randint(1, min(NICS, len(self.free)))
            chosen = self.random.sample(sorted(self.free), count)
            self.free -= set(chosen)
            self.pods += 1
            return self.pods, chosen

    def give_back(self, names):
        with self.returned:
            self.free |= set(names)
            self.returned.notify_all()

    @staticmethod
    def patiently(work):
        """Whatever a runtime that is away refuses is asked again."""
        end = time.monotonic() + 90
        while True:
            try:
                return work()
            except (CriError, KubeletError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def unheld(self, begun):
        """Whether there was no driver at some time since then: then a namespace may have died with what was in it."""
        return any(to is None or to >= begun for _, to in self.away)

    def check_home(self, names, begun):
        """Unprepare was answered, so they are home; or died, as a veth does with a namespace that nobody holds."""
        for name in names:
            if self.cluster.net.exists(name):
                continue
            if not self.unheld(begun):
                raise AssertionError(f"{name} is lost")
            self.orphaned += 1
            add_nic(self.cluster, name)

    def start(self, proven, chosen):
        """Whether it runs: a pod whose NIC died before it was complete never will."""
        begun = time.monotonic()
        while True:
            try:
                proven.run(5)
                break
            except PodFailed:
                dead = [name for name in chosen if not self.cluster.net.exists(name)]
                if dead and self.unheld(begun) and any("does not exist any more" in text
                                                       for text in proven.pod.messages()[-4:]):
                    return False
                if time.monotonic() > begun + 90:
                    raise
        took = time.monotonic() - begun
        self.slowest = max(self.slowest, took)
        if took > SLOW_SECONDS:
            print(f"note pod {proven.name} of {len(chosen)} NICs took {took:.0f} s:", *proven.pod.messages()[-10:],
                  sep="\n  ", flush=True)
        return True

    def one(self):
        number, chosen = self.take()
        begun = time.monotonic()
        try:
            proven = Proven(self.cluster, f"soak{number}", *chosen)
            if self.start(proven, chosen):
                self.patiently(proven.check)
                begun = time.monotonic()
            else:
                self.starved += 1
            self.patiently(proven.stop)
            self.check_home(chosen, begun)
        finally:
            self.give_back(chosen)
        self.widest = max(self.widest, len(chosen))

    def work(self, target):
        while not self.resting.is_set() and len(self.failures) < FAILURES_MAX:
            with self.lock:
                if self.cycle >= target:
                    return
                self.cycle += 1
                number = self.cycle
            try:
                self.one()
                if not self.chaos:
                    with self.lock:
                        self.busy.append(self.sample(number))
            except Exception as error:  # one pod's failure is a finding, not the end
                self.fail(f"cycle {number}: {error!r}")
                traceback.print_exc(file=sys.stdout)
                self.cluster.show_logs(lines=25)

    # ---- harm -------------------------------------------------------------------------------

    def sample(self, number):
        return Sample(self.cluster.dranetd_pid(), number, number - self.born)

    def ready(self):
        done = self.cluster.corner.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                        "http://127.0.0.1:9177/readyz"], check=False)
        return done.stdout == "200"

    def kill_driver(self, number):
        interval = [time.monotonic(), None]
        self.away.append(interval)
        self.cluster.stop_dranetd(number)
        time.sleep(self.random.choice((0, 0, 0.2, 1.5)))
        self.cluster.restart_dranetd()
        self.cluster.wait(self.ready, 30, "dranetd to be ready")
        interval[1] = time.monotonic()
        self.events[number.name] += 1
        self.lives, self.born = self.lives + 1, self.cycle

    def restart_runtime(self):
        self.cluster.corner.stop_containerd(self.random.choice((signal.SIGTERM, signal.SIGKILL)))
        self.cluster.corner.start_containerd()
        self.cluster.wait(self.ready, 30, "dranetd to be connected again")
        self.events["runtime"] += 1

    def harm(self, over):
        """In a thread of its own, until the node is to come to rest."""
        while not over.wait(self.random.uniform(0.5, 6 if self.chaos else 20)):
            try:
                if self.chaos and self.random.random() < 0.8:
                    self.kill_driver(self.random.choice((signal.SIGKILL, signal.SIGTERM)))
                else:
                    self.restart_runtime()
            except Exception as error:
                self.fail(f"after harm at cycle {self.cycle}: {error!r}")
                traceback.print_exc(file=sys.stdout)
                return

    # ---- rest -------------------------------------------------------------------------------

    def rest(self):
        """Nothing runs: nothing may be left, and the host is as it was."""
        self.cluster.wait(self.ready, 30, "dranetd to be ready")
        remove_sandboxes(self.cluster)
        try:
            self.cluster.wait(lambda: not leftovers(self.cluster), 20, "nothing to be left")
        except TimeoutError:
            self.fail(f"cycle {self.cycle}: left over: {leftovers(self.cluster)}")
        for name in self.names:
            after = self.cluster.net.host_dump(name) if self.cluster.net.exists(name) else {}
            found = differences(self.before[name], after)
            # A NIC made anew has its own number and MAC; all else is as add_nics() makes it.
            if found and not (self.orphaned and all(item.startswith("address:") for item in found)):
                self.fail(f"cycle {self.cycle}: {name} is not as it was: {found}")
            self.before[name] = after
        self.quiet.append(self.sample(self.cycle))
        last = self.quiet[-1]
        print(f"cycle {self.cycle}: life {self.lives}, written to {last.dirty} KiB, RSS {last.rss} KiB,"
              f" {last.descriptors} descriptors, {self.events}, {self.orphaned} veths died unheld", flush=True)

    def in_parallel(self, target):
        threads = [threading.Thread(target=self.work, args=(target,)) for _ in range(self.options.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stretch(self, target):
        """Cycles up to that one with harm beside them, then rest."""
        over = threading.Event()
        harm = threading.Thread(target=self.harm, args=(over,))
        harm.start()
        self.in_parallel(target)
        over.set()
        harm.join()
        self.rest()

    def young_life(self):
        """A driver just started, after the same few pods: what it holds does not depend on what was before."""
        self.kill_driver(signal.SIGKILL)
        self.in_parallel(self.cycle + YOUNG_CYCLES)
        self.rest()
        self.young.append(self.quiet[-1])

    def run(self):
        begun, cycles = time.monotonic(), self.options.cycles
        limit = begun + 60 * self.options.minutes

        def ended():
            return len(self.failures) >= FAILURES_MAX or time.monotonic() > limit
        while self.cycle < cycles * CHAOS_SHARE and not ended():
            self.stretch(min(cycles, self.cycle + REST_EVERY - YOUNG_CYCLES))
            self.young_life()
        self.chaos = False
        self.kill_driver(signal.SIGKILL)
        self.quiet.clear()
        one_life = self.cluster.dranetd_pid()
        while self.cycle < cycles and not ended():
            self.stretch(min(cycles, self.cycle + REST_EVERY))
        if self.cluster.dranetd_pid() != one_life:
            self.fail("the driver did not live through the second part")
        print(f"{self.cycle} cycles, {self.pods} pods of up to {self.widest} NICs, {self.lives} lives of the driver,"
              f" {self.events}, {self.orphaned} veths died with a namespace nobody held"
              f" ({self.starved} pods never ran for that), slowest start {self.slowest:.1f} s, {time.monotonic() - begun:.0f} s in all", flush=True)
        if self.cycle < cycles:
            self.fail(f"only {self.cycle} of {cycles} cycles")


def judge(soak):
    """The conditions, as (name, whether it holds, what was seen)."""
    yield "every cycle: no container without its NICs, every pod whose NICs lived ran, every NIC that lived came home", not soak.failures, \
        f"{len(soak.failures)} failures"
    if len(soak.busy) < 100 or len(soak.quiet) < 10 or len(soak.young) < 4:
        print("note too few cycles for figures: 500 are the least")
        return
    table(soak.busy, "one life, at the end of each cycle")
    table(soak.quiet, "the same life at rest")
    for title, samples in (("under way", soak.busy), ("at rest", soak.quiet)):
        for field, unit in (("dirty", "KiB written to"), ("rss", "KiB RSS")):
            early, late, percent = growth(samples, field)
            rise, error = slope(samples, field)
            yield (f"{title}: {unit}, last tenth within {FLAT_PERCENT:.0f} % of the second", percent <= FLAT_PERCENT,
                   f"{early:.0f} -> {late:.0f}, {percent:+.2f} %, {rise:+.1f} ± {error:.1f} KiB per 1000 cycles")
    files = [item.descriptors for item in soak.quiet]
    yield "at rest: the descriptors are the same to the end", len(set(files[1:])) == 1, f"{sorted(set(files))}"
    early, late, percent = growth(soak.busy, "descriptors")
    yield "under way: descriptors, last tenth within 5 % of the second", percent <= FLAT_PERCENT, \
        f"{early:.1f} -> {late:.1f}"
    young = [item.dirty for item in soak.young]
    half = len(young) // 2
    first, second = statistics.fmean(young[:half]), statistics.fmean(young[half:])
    yield (f"{len(young)} young lives after {YOUNG_CYCLES} cycles each: the later half within 5 % of the earlier",
           second <= first * (1 + FLAT_PERCENT / 100), f"{first:.0f} -> {second:.0f} KiB, {min(young)} to {max(young)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--json", help="write all samples to this file")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {options.seed}, {options.cycles} cycles, {options.workers} at once", flush=True)
    passed = failed = 0
    with Cluster(seed=options.seed) as cluster:
        cluster.start_dranetd()
        soak = Soak(cluster, options)
        soak.run()
        for name, holds, seen in judge(soak):
            passed, failed = passed + bool(holds), failed + (not holds)
            print(f"{'PASS' if holds else 'FAIL'} {name} [{seen}]", flush=True)
        if options.json:
            with open(options.json, "w", encoding="ascii") as file:
                json.dump({name: [vars(item) for item in getattr(soak, name)] for name in ("busy", "quiet", "young")},
                          file)
    print(f"soak: {passed} passed, {failed} failed", flush=True)
    sys.stdout.flush()
    os._exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
