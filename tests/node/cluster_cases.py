"""Runs the test functions of a file and ends with the line the gate reads."""

import faulthandler
import os
import signal
import sys
import time
import traceback

from cluster import Cluster


class Skip(Exception):
    """The machine lacks what this test needs; the text says what."""


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def same(got, wanted, text=""):
    if got != wanted:
        raise AssertionError(f"{text + ': ' if text else ''}got {got!r}, wanted {wanted!r}")


def refused(error, work, *parts):
    """The text of the error that work() must raise, which must contain every part."""
    try:
        work()
    except error as caught:
        for part in parts:
            expect(part in str(caught), f"{part!r} is not in: {caught}")
        return caught
    raise AssertionError(f"was not refused: expected {error.__name__} with {parts}")


def run(namespace, lane, on_failure=None):
    """Run every test_* function in order of definition; arguments select by part of the name.

    The process exits from here: a failed stand-in may hold threads that nobody will wake."""
    faulthandler.register(signal.SIGTERM, file=sys.stdout, chain=True)  # where it was when the time ran out
    wanted = sys.argv[1:]
    tests = [(name, function) for name, function in namespace.items()
             if name.startswith("test_") and callable(function)
             and (not wanted or any(part in name for part in wanted))]
    passed = failed = 0
    for name, function in tests:
        start = time.monotonic()
        try:
            function()
            passed += 1
            print(f"ok   {name} ({time.monotonic() - start:.2f} s)", flush=True)
        except Skip as reason:
            print(f"skip {name}: {reason}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {name} ({time.monotonic() - start:.2f} s)", flush=True)
            traceback.print_exc(file=sys.stdout)
            if on_failure:
                on_failure(name)
    finish = namespace.get("finish")
    if finish:
        finish()
    print(f"{lane}: {passed} passed, {failed} failed", flush=True)
    sys.stdout.flush()
    os._exit(1 if failed or not passed else 0)


class Lane:
    """One cluster with one dranetd for all the tests of a file, started by the first of them."""

    def __init__(self, **options):
        self.options, self.started = options, None

    @property
    def cluster(self):
        if self.started is None:
            self.started = Cluster(**self.options)
            try:
                self.started.start()
                self.started.start_dranetd()
            except BaseException:
                self.started.show_logs()
                self.started.stop()
                self.started = None
                raise
        return self.started

    def run(self, namespace, lane):
        def finish():
            if self.started is not None:
                self.started.stop()

        def on_failure(_):
            if self.started is not None:
                self.started.show_logs()
        run({**namespace, "finish": finish}, lane, on_failure)
