"""A plugin of the runtime's NRI: the multiplexer, ttrpc and the calls, by hand.

The handlers run in threads of their own, so that one may answer late while the
next request is read.
"""
import socket
import struct
import threading
import time
from collections import namedtuple

from runtime.messages import load

pb = load("nri.proto")

# Bit number + 1 of the subscription mask, and the event field of a StateChange.
EVENTS = {1: "RunPodSandbox", 2: "StopPodSandbox", 3: "RemovePodSandbox", 4: "CreateContainer",
          5: "PostCreateContainer", 6: "StartContainer", 7: "PostStartContainer",
          8: "UpdateContainer", 9: "PostUpdateContainer", 10: "StopContainer", 11: "RemoveContainer"}
PLUGIN, RUNTIME = 1, 2  # multiplexed connections, by the service they carry
REQUEST, RESPONSE = 1, 2
UNIMPLEMENTED = 12
# The runtime's ttrpc reads through a buffer of that size and fails on a longer frame.
FRAME_MAX = 4096

Call = namedtuple("Call", "name via pod container timeout_ns at")


class Refusal(Exception):
    """Raised by a handler: the call is answered with this code and text."""

    def __init__(self, text, code=2):
        super().__init__(text)
        self.code = code


def mask(*names):
    return sum(1 << (number - 1) for number, name in EVENTS.items() if name in names)


class Plugin:
    """handlers: event name -> function(pod, container), which returns a
    CreateContainerResponse or None, or raises Refusal.  What arrived is in calls,
    pods and containers, a handler's own exceptions in faults; closed is set when the
    runtime hangs up."""

    def __init__(self, path, name="joints", index="10", events=None, handlers=None):
        self.handlers = dict(handlers or {})
        self.events = mask(*EVENTS.values()) if events is None else events
        self.calls, self.pods, self.containers, self.faults = [], [], [], []
        self.configuration = None
        self.synchronized, self.closed = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        threading.Thread(target=self._read, daemon=True).start()
        register = pb.RegisterPluginRequest(plugin_name=name, plugin_idx=index, NRI_version="0.8.0")
        self._send(RUNTIME, 1, REQUEST, pb.Request(
            service="nri.pkg.api.v1alpha1.Runtime", method="RegisterPlugin",
            payload=register.SerializeToString(), timeout_nano=5_000_000_000))

    def __enter__(self):
        if not self.synchronized.wait(10):
            self.close()
            raise TimeoutError("the runtime did not register the plugin")
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the runtime was faster
        self.socket.close()

    def wait_call(self, name, timeout=10):
        """The first call of that event so far or yet to come."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for call in list(self.calls):
                if call.name == name:
                    return call
            time.sleep(0.005)
        raise TimeoutError(f"no {name} from the runtime within {timeout} s")

    def _send(self, connection, stream, kind, message):
        body = message.SerializeToString()
        data = struct.pack(">IIBB", len(body), stream, kind, 0) + body
        with self.lock:
            for at in range(0, len(data), FRAME_MAX):
                part = data[at:at + FRAME_MAX]
                self.socket.sendall(struct.pack(">II", connection, len(part)) + part)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _read(self):
        pending = {PLUGIN: b"", RUNTIME: b""}
        try:
            while True:
                connection, length = struct.unpack(">II", self._exactly(8))
                pending[connection] += self._exactly(length)
                while len(pending[connection]) >= 10:
                    size, stream, kind, _ = struct.unpack(">IIBB", pending[connection][:10])
                    if len(pending[connection]) < 10 + size:
                        break
                    body = pending[connection][10:10 + size]
                    pending[connection] = pending[connection][10 + size:]
                    self._message(connection, stream, kind, body)
        except (EOFError, OSError):
            pass
        finally:
            self.closed.set()

    def _message(self, connection, stream, kind, body):
        if connection == RUNTIME and kind == RESPONSE:
            status = pb.Response.FromString(body).status
            if status.code:
                raise OSError(f"registration refused: {status.message}")
        elif connection == PLUGIN and kind == REQUEST:
            threading.Thread(target=self._serve, args=(stream, pb.Request.FromString(body)), daemon=True).start()

    def _serve(self, stream, request):
        try:
            reply = pb.Response(payload=(self._answer(request) or pb.Empty()).SerializeToString())
        except Refusal as refusal:
            reply = pb.Response(status=pb.Status(code=refusal.code, message=str(refusal)))
        except Exception as e:  # the test's own fault: shown, and answered so that nothing hangs
            self.faults.append(e)
            reply = pb.Response(status=pb.Status(code=2, message=f"handler failed: {e!r}"))
        try:
            self._send(PLUGIN, stream, RESPONSE, reply)
        except OSError:
            pass  # hung up meanwhile: closed says so

    def _answer(self, request):
        if request.method == "Configure":
            self.configuration = pb.ConfigureRequest.FromString(request.payload)
            return pb.ConfigureResponse(events=self.events)
        if request.method == "Synchronize":
            part = pb.SynchronizeRequest.FromString(request.payload)
            self.pods += part.pods
            self.containers += part.containers
            if not part.more:
                self.synchronized.set()
            return pb.SynchronizeResponse(more=part.more)
        if request.method == "StateChange":
            change = pb.StateChangeEvent.FromString(request.payload)
            name, pod, container = EVENTS.get(change.event, "?"), change.pod, change.container
        elif request.method in EVENTS.values():
            event = pb.ContainerRequest.FromString(request.payload)
            name, pod, container = request.method, event.pod, event.container
        elif request.method == "Shutdown":
            return None
        else:
            raise Refusal(f"no method {request.method}", UNIMPLEMENTED)
        self.calls.append(Call(name, request.method, pod, container, request.timeout_nano, time.monotonic()))
        handler = self.handlers.get(name)
        return handler(pod, container) if handler else None
