#!/usr/bin/python3
"""dranetd dies at every marked point of a pod's life, and nothing is lost.

    kill.py [--short] [--only MARK[#N] [MARK#N...]] [--phase PHASE] [--nics N] [--again N] [--seed N]
            [--synchronous] [--verbose]

A traced run tells the points (core/base/mark.h: before and after each effect, each job, each netlink request
that changes something, each step of a file) that the daemon passes in each phase, with 1 NIC and with 4:

  attach   a pod gets its NICs
  detach   it gives them back
  restart  it runs, and a new daemon takes it over
  abandon  as attach, but there is no new daemon before the pod was taken down again
  undo     a NIC cannot be configured as the claim wants it, and comes back; the pod never runs

Then, for each of them, the whole life of a pod on a real containerd: there the daemon kills itself, is started
again, kubelet and runtime try again as they do, and

  * the pod comes up with its devices, and no container ever ran without them (it says so itself),
  * after its end each device is on the host and the host's network is what it was,
  * no CDI file, record, marker or namespace is left, and the claim's status tells the truth.

Afterwards a random sample of lives with two and three deaths: the later ones at points of the recovery.

--short takes each mark three times, in phases that take turns: with 1 NIC, and with 4 NICs its first and its last
time. A point that a life does not pass (writes are coalesced, so not each life has the same number of them) is
tried again and then left out; a mark that was never reached is a failure.
"""

import argparse
import collections
import os
import random
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from kill_node import Node  # noqa: E402

PHASES = ("attach", "detach", "restart", "abandon", "undo")
COLUMNS = [(phase, nics) for phase in PHASES for nics in (1, 4)]
TRIES = 3
Case = collections.namedtuple("Case", "phase nics points")


def counted(lines):
    """Each line with how many times it was there before, as "name#n"."""
    seen = collections.Counter()
    for line in lines:
        seen[line] += 1
        yield f"{line}#{seen[line]}"


class Matrix:
    """All cases of a run, on one node; a node on which a case failed is replaced."""

    def __init__(self, options):
        self.options, self.node, self.before = options, None, None
        self.tails = {}                                 # (phase, nics, point) -> what the next life passed
        self.results = collections.defaultdict(list)    # (mark, phase, nics) -> [(point, outcome)]
        self.passed = self.failed = 0
        self.unreached = []

    # ---- the node -------------------------------------------------------------------------------

    def up(self):
        if self.node is None:
            flags = ["--synchronous-hooks"] if self.options.synchronous else []
            self.node = Node(self.options.seed, flags).__enter__()
            self.before = self.node.dump()
        return self.node

    def down(self):
        if self.node is not None:
            node, self.node = self.node, None
            node.__exit__(None, None, None)

    # ---- one life -------------------------------------------------------------------------------

    def live(self, phase, nics, points=()):
        """A pod's whole life; the trace of the phase and the number of deaths in it."""
        node = self.up()
        cluster = node.cluster
        node.deaths, node.by_hand, node.plan = [], 0, []
        pod = node.create_pod(nics, phase == "undo")

        def begin(which):
            cluster.clear_trace()
            # Who is told when it dies by another's hand would die of it before.
            node.plan = list(points) if which == phase else []
            cluster.arm(node.plan.pop(0) if node.plan and phase != "restart" else "")

        def end(which):
            node.settle()
            cluster.arm("")
            if which == phase:
                found.append((cluster.trace(), list(node.deaths)))
        found = []
        if phase == "abandon":
            begin("abandon")
            self.abandon(pod, nics)
            end("abandon")
        elif phase == "undo":
            begin("undo")
            node.drive(lambda: node.fail_pod(pod, len(points)), 40)
            lines = cluster.trace()
            cluster.arm("")
            node.drive(lambda: node.stop_pod(pod), 40)
            node.settle()
            found.append((lines, list(node.deaths)))
        else:
            begin("attach")
            node.drive(lambda: node.start_pod(pod), 40)
            node.check_running(pod, nics)
            end("attach")
            if phase == "restart":
                begin("restart")
                node.kill()
                node.wait(lambda: node.deaths and node.connected(), 30, "the new daemon")
                end("restart")
            node.check_running(pod, nics)
            node.disturb(nics)
            begin("detach")
            node.drive(lambda: node.stop_pod(pod), 40)
            end("detach")
        node.check_home(self.before)
        node.check_never_without(pod)
        if phase == "undo" and node.said(pod):
            raise AssertionError(f"a container of the pod that cannot have its devices ran: {node.said(pod)}")
        node.check_forgotten(pod)
        node.check_possible()
        return found[0]

    def abandon(self, pod, nics):
        """The pod is taken down before there is a daemon again."""
        node = self.node
        node.away = True
        node.drive(lambda: node.start_pod(pod), 40)
        if node.cluster.process is not None:
            node.check_running(pod, nics)
            node.settle()
        node.drive(lambda: node.stop_pod(pod), 40)

    def learn(self, columns):
        """The points of each column, as "name#n": those that two lives have in common."""
        points = {}
        for phase, nics in columns:
            alike = ("attach", nics)
            if phase == "abandon" and alike in points:
                points[phase, nics] = points[alike]
                continue
            traces = [self.live("attach" if phase == "abandon" else phase, nics)[0] for _ in range(2)]
            common = collections.Counter(traces[0]) & collections.Counter(traces[1])
            points[phase, nics] = {name: [f"{name}#{n}" for n in range(1, times + 1)]
                                   for name, times in sorted(common.items())}
        if not any(points.values()):
            raise RuntimeError(f"{self.node.cluster.dranetd_path} passes no marked points: configure it with DRANETD_MARKS")
        return points

    def run(self, case):
        """One case; True, False, or None when no try passed the first point."""
        text = f"{case.phase}/{case.nics} {' '.join(case.points)}"
        begun = time.monotonic()
        for _ in range(TRIES):
            try:
                lines, deaths = self.live(*case)
            except Exception as error:
                self.failed += 1
                print(f"FAIL {text}: {error}", flush=True)
                traceback.print_exc(file=sys.stdout)
                self.node.cluster.show_logs()
                print(f"---- points passed ----\n{' '.join(self.node.cluster.trace()[-60:])}")
                print(f"---- again: kill.py --phase {case.phase} --nics {case.nics} --only {' '.join(case.points)}", flush=True)
                self.down()
                return False
            if len(deaths) > self.node.by_hand:
                self.tails.setdefault(case[:2] + case.points[:1], lines[deaths[-1]:])
                self.passed += 1
                if self.options.verbose:
                    print(f"ok   {text}: {len(deaths)} deaths ({time.monotonic() - begun:.2f} s)", flush=True)
                return True
        self.unreached.append(text)
        return None

    # ---- all of them ----------------------------------------------------------------------------

    def chosen(self, points):
        """Of all points those that this run is to try, as cases."""
        only = self.options.only
        if only and "#" in only[0]:
            return [Case(*column, tuple(only)) for column in points]
        if only:
            return [Case(*column, (point,)) for column, marks in points.items() for point in marks.get(only[0], [])]
        if not self.options.short:
            return [Case(*column, (point,)) for column, marks in points.items()
                    for times in marks.values() for point in times]
        found = []
        for turn, mark in enumerate(sorted({mark for marks in points.values() for mark in marks})):
            for nics, which in ((1, 0), (4, 0), (4, -1)):
                phases = [phase for phase, count in points if count == nics and mark in points[phase, count]]
                if phases:
                    phase = phases[(turn + nics + which) % len(phases)]
                    found.append(Case(phase, nics, (points[phase, nics][mark][which],)))
        return list(dict.fromkeys(found))

    def all(self, columns):
        for case in self.chosen(self.learn(columns)):
            outcome, point = self.run(case), case.points[0]
            self.results[point.split("#")[0], case.phase, case.nics].append((point, outcome))

    def again(self, count):
        """Lives with two or three deaths."""
        chance = random.Random(self.options.seed)
        firsts = sorted(self.tails)
        for _ in range(count if firsts else 0):
            phase, nics, first = chance.choice(firsts)
            points, tail = [first], self.tails[phase, nics, first]
            for _ in range(chance.choice((1, 1, 2))):
                if tail:
                    at = chance.randrange(len(tail))
                    points.append(list(counted(tail))[at])
            self.run(Case(phase, nics, tuple(points)))

    def table(self):
        marks = sorted({mark for mark, _, _ in self.results})
        width = max(map(len, marks), default=0)
        print(f"| {'died at':{width}} | {' | '.join(f'{phase}/{nics}'.ljust(9) for phase, nics in COLUMNS)} |")
        print(f"|{'-' * (width + 2)}|{'|'.join('-' * 11 for _ in COLUMNS)}|")
        for mark in marks:
            cells = []
            for phase, nics in COLUMNS:
                found = self.results.get((mark, phase, nics), [])
                bad = [point.split("#")[1] for point, outcome in found if outcome is False]
                good = sum(outcome is True for _, outcome in found)
                text = "-" if not found else f"FAIL {','.join(bad)}" if bad else f"ok {good}" if good else "never"
                cells.append(f"{text:<9}")
            if not any(outcome is not None for column in COLUMNS for _, outcome in self.results.get((mark, *column), [])):
                self.failed += 1
                print(f"FAIL {mark}: was never reached")
            print(f"| {mark:{width}} | {' | '.join(cells)} |")
        for text in self.unreached:
            print(f"note not reached in {TRIES} tries: {text}")


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", nargs="+", metavar="MARK[#N]", help="this mark; or this point, and those of the later lives")
    parser.add_argument("--phase", choices=PHASES)
    parser.add_argument("--nics", type=int, choices=[1, 4])
    parser.add_argument("--again", type=int, metavar="N", help="lives with more than one death (100, short 10)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--synchronous", action="store_true", help="the daemon's hooks wait for the moves")
    parser.add_argument("--verbose", action="store_true")
    found = parser.parse_args()
    if found.again is None:
        found.again = 0 if found.only else 10 if found.short else 100
    return found


def quiet(info):
    """grpcio's own threads complain when a channel is closed under them."""
    if not isinstance(info.exc_value, ValueError):
        threading.__excepthook__(info)


def main():
    threading.excepthook = quiet
    chosen, begun = options(), time.monotonic()
    print(f"kill: seed {chosen.seed}", flush=True)
    matrix = Matrix(chosen)
    try:
        matrix.all([(phase, nics) for phase, nics in COLUMNS
                    if chosen.phase in (None, phase) and chosen.nics in (None, nics)])
        matrix.again(chosen.again)
    except Exception:
        matrix.failed += 1
        print("FAIL kill: the node cannot be used")
        traceback.print_exc(file=sys.stdout)
        if matrix.node is not None:
            matrix.node.cluster.show_logs()
    matrix.table()
    matrix.down()
    print(f"kill: {time.monotonic() - begun:.0f} s")
    print(f"kill: {matrix.passed} passed, {matrix.failed} failed", flush=True)
    os._exit(1 if matrix.failed or not matrix.passed else 0)


if __name__ == "__main__":
    main()
