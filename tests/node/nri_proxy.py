#!/usr/bin/python3
"""Stands between the runtime and the driver on NRI's socket, and does harm there when told to.

    nri_proxy.py LISTEN TARGET

Runs in the corner, so that the driver sees a peer of its own PID namespace. One line on stdin is one harm,
done to the next call of that name; when it has begun, the line comes back on stdout:

    cut-request METHOD      hang up on both instead of passing the request on
    cut-delivered METHOD    pass the request on, then hang up at once
    cut-answer METHOD       pass the request on, hang up instead of passing the answer on
    hold-request METHOD     keep the request, and what follows it, until "go"
    hold-answer METHOD      keep the answer, and what follows it, until "go"
"""
import os
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from runtime.nri import EVENTS, PLUGIN, REQUEST, RESPONSE, pb  # noqa: E402


class Harm:
    """The one harm that is wanted, and the gate that holds wait at."""

    def __init__(self):
        self.lock, self.line, self.gate = threading.Lock(), None, threading.Event()

    def want(self, line):
        with self.lock:
            self.line = line
        self.gate.clear()

    def take(self, method):
        """The wanted harm's word, if it is for this method; the test is told that it begins."""
        with self.lock:
            if self.line is None or self.line.split()[1] != method:
                return None
            line, self.line = self.line, None
        print(line, flush=True)
        return line.split()[0]


HARM = Harm()


class Frames:
    """Whole frames of the multiplexer, with the ttrpc messages that end in each."""

    def __init__(self, source):
        self.source, self.streams = source, {}

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.source.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def next(self):
        head = self._exactly(8)
        connection, length = struct.unpack(">II", head)
        data = self._exactly(length)
        pending = self.streams.get(connection, b"") + data
        messages = []
        while len(pending) >= 10:
            size, stream, kind, _ = struct.unpack(">IIBB", pending[:10])
            if len(pending) < 10 + size:
                break
            messages.append((connection, stream, kind, pending[10:10 + size]))
            pending = pending[10 + size:]
        self.streams[connection] = pending
        return head + data, messages


def name_of(body):
    """The event a request is about, whether it has a call of its own or not."""
    request = pb.Request.FromString(body)
    if request.method == "StateChange":
        return EVENTS.get(pb.StateChangeEvent.FromString(request.payload).event, "?")
    return request.method


class Link:
    """One connection of the driver and ours to the runtime for it."""

    def __init__(self, driver, target):
        self.driver, self.answers = driver, {}
        self.runtime = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.runtime.connect(target)
        except OSError:
            driver.close()
            return
        for work in (self.requests, self.replies):
            threading.Thread(target=self.pump, args=(work,), daemon=True).start()

    def pump(self, work):
        try:
            while True:
                work()
        except (EOFError, OSError):
            self.hang_up()

    def hang_up(self):
        for end in (self.driver, self.runtime):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other end was faster

    def requests(self):
        frames = Frames(self.runtime)
        while True:
            raw, messages = frames.next()
            after = None
            for connection, stream, kind, body in messages:
                if connection != PLUGIN or kind != REQUEST:
                    continue
                harm = HARM.take(name_of(body))
                if harm == "cut-request":
                    raise EOFError
                if harm == "hold-request":
                    HARM.gate.wait()
                elif harm in ("cut-answer", "hold-answer"):
                    self.answers[stream] = harm
                after = harm or after
            self.driver.sendall(raw)
            if after == "cut-delivered":
                raise EOFError

    def replies(self):
        frames = Frames(self.driver)
        while True:
            raw, messages = frames.next()
            for connection, stream, kind, _ in messages:
                if connection != PLUGIN or kind != RESPONSE:
                    continue
                harm = self.answers.pop(stream, None)
                if harm == "cut-answer":
                    raise EOFError
                if harm == "hold-answer":
                    HARM.gate.wait()
            self.runtime.sendall(raw)


def serve(listener, target):
    while True:
        driver, _ = listener.accept()
        Link(driver, target)


def main(listen, target):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(listen):
        os.unlink(listen)
    listener.bind(listen)
    listener.listen(8)
    threading.Thread(target=serve, args=(listener, target), daemon=True).start()
    print("listening", flush=True)
    for line in sys.stdin:
        if line.strip() == "go":
            HARM.gate.set()
        elif line.strip():
            HARM.want(line.strip())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
