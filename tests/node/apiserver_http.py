"""Both wires of the stand-in API server: HTTP/1.1 and HTTP/2, over TLS or plain, on one port."""

import asyncio
import gzip
import http
import random
import urllib.parse

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from apiserver_faults import Disconnect
from apiserver_rest import BODY_LIMIT, Request, Response

PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
GZIP_FROM = 128 * 1024


def make_request(method, target, headers, body, user, proto):
    path, _, query = target.partition("?")
    pairs = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    return Request(method, urllib.parse.unquote(path), pairs, headers, body, user, proto)


def pieces(data, rng, split):
    """Cut data at random places when asked to, as a proxy or a small window would."""
    if not split or len(data) < 2:
        return [data]
    cuts = sorted(rng.sample(range(1, len(data)), min(len(data) - 1, rng.randint(1, 3))))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]


def compressed(request, response):
    """Large answers are gzipped for clients that accept it, as the real server does."""
    if len(response.body) >= GZIP_FROM and "gzip" in request.headers.get("accept-encoding", ""):
        response.headers.append(("Content-Encoding", "gzip"))
        response.body = gzip.compress(response.body, 1)
    return response


class Http1:
    """One HTTP/1.1 connection: keep-alive, chunked bodies both ways."""

    def __init__(self, reader, writer, front):
        self.reader, self.writer, self.front = reader, writer, front

    async def body(self, headers):
        if headers.get("expect", "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            data = b""
            while True:
                size = int((await self.reader.readline()).split(b";")[0], 16)
                data += (await self.reader.readexactly(size + 2))[:-2]
                if size == 0 or len(data) > BODY_LIMIT + 1:
                    return data
        length = int(headers.get("content-length") or 0)
        return await self.reader.readexactly(min(length, BODY_LIMIT + 1)) if length else b""

    async def run(self, first=b""):
        while True:
            try:
                head = first + await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            first = b""
            lines = head.decode("latin-1").split("\r\n")
            method, target, version = lines[0].split(" ", 2)
            headers = {}
            for line in lines[1:]:
                if line:
                    name, _, value = line.partition(":")
                    headers[name.strip().lower()] = value.strip()
            body = await self.body(headers)
            user = self.front.authenticate(self.writer, headers)
            request = make_request(method, target, headers, body, user, "h1")
            response = compressed(request, await self.front.handle(request))
            close = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
            if response.stream is not None:
                await self.watch(response)
                continue
            reason = http.HTTPStatus(response.code).phrase
            lines = [f"HTTP/1.1 {response.code} {reason}", f"Content-Type: {response.content_type}",
                     f"Content-Length: {len(response.body)}", "Cache-Control: no-cache, private"]
            lines += [f"{name}: {value}" for name, value in response.headers]
            lines += ["Connection: close"] if close else []
            self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n"
                              + (b"" if method == "HEAD" else response.body))
            await self.writer.drain()
            if close:
                return

    async def watch(self, response):
        self.writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {response.content_type}\r\n"
                          "Transfer-Encoding: chunked\r\n\r\n".encode())
        await self.writer.drain()
        closed = asyncio.ensure_future(self.front.wait_closed(self.reader))
        try:
            async for line in until(response.stream, closed):
                for piece in pieces(line, self.front.random, self.front.settings.split_watch):
                    self.writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    await self.writer.drain()
                    if self.front.settings.split_watch:
                        await asyncio.sleep(0)
        finally:
            closed.cancel()
            await asyncio.gather(closed, return_exceptions=True)
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()


async def until(stream, stop):
    """Items of an async iterator, cut short by Disconnect when `stop` completes first."""
    iterator = stream.__aiter__()
    step = None
    try:
        while True:
            step = asyncio.ensure_future(iterator.__anext__())
            await asyncio.wait((step, stop), return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise Disconnect()
            try:
                yield step.result()
            except StopAsyncIteration:
                return
    finally:
        # A generator that still runs cannot be closed: its step has to end first.
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
        await stream.aclose()


class Http2:
    """One HTTP/2 connection: every stream is a request, watches run beside each other."""

    def __init__(self, reader, writer, front):
        self.reader, self.writer, self.front = reader, writer, front
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.connection = h2.connection.H2Connection(config)
        self.window = asyncio.Event()
        self.streams, self.tasks, self.last = {}, {}, 0

    def flush(self):
        data = self.connection.data_to_send()
        if data:
            self.writer.write(data)

    async def run(self, first=b""):
        self.connection.initiate_connection()
        self.connection.update_settings(
            {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 250})
        self.flush()
        data = first
        try:
            while True:
                if data:
                    for event in self.connection.receive_data(data):
                        self.on_event(event)
                    self.flush()
                    await self.writer.drain()
                data = await self.reader.read(65536)
                if not data:
                    return
        except h2.exceptions.ProtocolError as error:
            self.front.complain(f"HTTP/2 protocol error by the client: {error!r}")
            self.flush()
        finally:
            for task in self.tasks.values():
                task.cancel()

    def on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = (dict(event.headers), bytearray())
            self.last = max(self.last, event.stream_id)
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in self.streams:
                self.streams[event.stream_id][1].extend(event.data)
            self.connection.acknowledge_received_data(event.flow_controlled_length,
                                                      event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            headers, body = self.streams.pop(event.stream_id, ({}, b""))
            self.tasks[event.stream_id] = asyncio.ensure_future(
                self.serve(event.stream_id, headers, bytes(body)))
        elif isinstance(event, h2.events.StreamReset):
            self.streams.pop(event.stream_id, None)
            task = self.tasks.pop(event.stream_id, None)
            if task:
                task.cancel()
            self.window.set()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self.window.set()

    async def serve(self, stream, headers, body):
        try:
            user = self.front.authenticate(self.writer, headers)
            request = make_request(headers[":method"], headers[":path"], headers, body, user, "h2")
            response = compressed(request, await self.front.handle(request))
            sent = [(":status", str(response.code)), ("content-type", response.content_type)]
            sent += [(name.lower(), value) for name, value in response.headers]
            if response.stream is None:
                sent.append(("content-length", str(len(response.body))))
                self.connection.send_headers(stream, sent,
                                             end_stream=not response.body)
                self.flush()
                if response.body:
                    await self.send(stream, response.body, True)
                return
            self.connection.send_headers(stream, sent)
            self.flush()
            try:
                async for line in response.stream:
                    for piece in pieces(line, self.front.random, self.front.settings.split_watch):
                        await self.send(stream, piece, False)
            finally:
                await response.stream.aclose()
            self.connection.end_stream(stream)
            self.flush()
        except Disconnect:
            self.cut(stream)
        except (h2.exceptions.ProtocolError, ConnectionError):
            self.writer.close()
        finally:
            self.tasks.pop(stream, None)

    def cut(self, stream):
        """Half of the disconnects reset the stream, the others take the connection with them."""
        if self.front.random.random() < 0.5 and not self.front.settings.split_watch:
            self.writer.transport.abort()
            return
        try:
            self.connection.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self.flush()
        except h2.exceptions.ProtocolError:
            self.writer.close()

    async def send(self, stream, data, end):
        while data:
            room = min(self.connection.local_flow_control_window(stream),
                       self.connection.max_outbound_frame_size)
            if room <= 0:
                self.window.clear()
                await self.window.wait()
                continue
            self.connection.send_data(stream, data[:room], end and len(data) <= room)
            data = data[room:]
            self.flush()
            await self.writer.drain()

    def goaway(self):
        """Tell the client to go elsewhere, as the real server does at random."""
        self.connection.close_connection(last_stream_id=self.last)
        self.flush()


class Front:
    """Accepts connections, finds out which wire they speak, and knows who is calling."""

    def __init__(self, rest, settings, authenticator, seed=None):
        self.rest, self.settings, self.authenticator = rest, settings, authenticator
        self.random = random.Random(seed)
        self.connections, self.complaints = {}, []

    def complain(self, text):
        self.complaints.append(text)

    def authenticate(self, writer, headers):
        peer = writer.get_extra_info("peercert") or {}
        subject = dict(pair for part in peer.get("subject", ()) for pair in part)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return self.authenticator(subject.get("commonName"),
                                  token.strip() if scheme.lower() == "bearer" else None)

    async def handle(self, request):
        try:
            return await self.rest(request)
        except (Disconnect, asyncio.CancelledError):
            raise
        except Exception as error:  # an error of the stand-in must show in the test's log
            self.complain(f"{request.method} {request.path}: {error!r}")
            return Response(500, f"stand-in failed: {error!r}\n".encode(), "text/plain")

    @staticmethod
    async def wait_closed(reader):
        """Completes when the peer closes; a watch's client sends nothing more."""
        while not reader.at_eof():
            if not await reader.read(4096):
                return

    async def accept(self, reader, writer):
        task = asyncio.current_task()
        tls = writer.get_extra_info("ssl_object")
        protocol = None
        try:
            first = b""
            if tls is not None:
                second = tls.selected_alpn_protocol() == "h2"
            else:
                first = await reader.readexactly(len(PREFACE[:3]))
                second = first == PREFACE[:3]
            protocol = (Http2 if second else Http1)(reader, writer, self)
            self.connections[task] = (writer, protocol)
            await protocol.run(first)
        except Disconnect:
            writer.transport.abort()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:  # a fault of the stand-in or of its client, for the test to see
            self.complain(f"connection failed: {error!r}")
        finally:
            self.connections.pop(task, None)
            writer.close()

    def abort_all(self):
        for task, (writer, _) in list(self.connections.items()):
            writer.transport.abort()
            task.cancel()

    def goaway_all(self):
        for _, protocol in list(self.connections.values()):
            if isinstance(protocol, Http2):
                protocol.goaway()
