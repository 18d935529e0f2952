"""Misbehaviour on request: what a test injects, and the count of what clients asked for."""

import asyncio
import collections
import threading
import time

from apiserver_store import StatusError


class Disconnect(Exception):
    """Close the connection under this request without answering (further)."""


class Fault:
    """One injected misbehaviour; `left` None means until cleared."""

    def __init__(self, action, verb=None, resource=None, user=None, n=1, **arguments):
        if action not in ("status", "delay", "drop", "drop_after"):
            raise ValueError(f"no such fault: {action}")
        self.action, self.verb, self.resource, self.user = action, verb, resource, user
        self.left, self.arguments = n, arguments

    def fits(self, verb, resource, user):
        return all(wanted in (None, got) for wanted, got in
                   ((self.verb, verb), (self.resource, resource), (self.user, user)))


class Faults:
    """Injected faults in order of injection, consumed by matching requests."""

    def __init__(self):
        self.faults, self.lock = [], threading.Lock()

    def inject(self, action, **arguments):
        fault = Fault(action, **arguments)
        with self.lock:
            self.faults.append(fault)
        return fault

    def clear(self):
        with self.lock:
            self.faults.clear()

    def _take(self, verb, resource, user):
        with self.lock:
            taken = [fault for fault in self.faults if fault.fits(verb, resource, user)]
            for fault in taken:
                if fault.left is not None:
                    fault.left -= 1
            self.faults = [fault for fault in self.faults if fault.left is None or fault.left > 0]
        return taken

    async def before(self, verb, resource, user):
        """Delay, refuse or drop this request; returns whether to drop it once it was performed."""
        drop_after = False
        for fault in self._take(verb, resource, user):
            if fault.action == "delay":
                await asyncio.sleep(fault.arguments["seconds"])
            elif fault.action == "drop":
                raise Disconnect()
            elif fault.action == "drop_after":
                drop_after = True
            else:
                code = fault.arguments["code"]
                raise StatusError(code, fault.arguments.get("message", "injected by the test"),
                                  reason=fault.arguments.get("reason"),
                                  retry_after=fault.arguments.get("retry_after"))
        return drop_after


class Journal:
    """Every request with its verb, resource, user and answer, for assertions on traffic."""

    Entry = collections.namedtuple("Entry", "time user verb resource name code proto")

    def __init__(self, limit=100000):
        self.entries, self.lock = collections.deque(maxlen=limit), threading.Lock()

    def add(self, user, verb, resource, name, code, proto):
        with self.lock:
            self.entries.append(self.Entry(time.monotonic(), user, verb, resource, name, code,
                                           proto))

    def requests(self, user=None, verb=None, resource=None, since=0.0):
        with self.lock:
            entries = list(self.entries)
        return [entry for entry in entries if entry.time >= since
                and user in (None, entry.user) and verb in (None, entry.verb)
                and resource in (None, entry.resource)]

    def counts(self, user=None, since=0.0):
        return collections.Counter((entry.verb, entry.resource)
                                   for entry in self.requests(user, since=since))

    def reset(self):
        with self.lock:
            self.entries.clear()
