"""The stand-in API server: a thread with an event loop, listening on loopback.

    with APIServer(directory, node="node-a") as api:
        kubeconfig = api.kubeconfig("certificate")      # or "token", "token-file", "plain"
        api.inject("status", code=429, retry_after=1, verb="create", n=3)
        api.call("GET", "/apis/resource.k8s.io/v1/resourceslices")

`netns` (a path such as /proc/<pid>/ns/net) makes it listen inside that network namespace: a socket
belongs to the namespace it was created in, so only its creation happens there.
Over HTTP the same knobs are at /_test/: POST inject, clear, compact, expire-watches, drop, goaway,
bookmark, down?seconds=n, settings; GET counts, requests, complaints.
"""

import asyncio
import ctypes
import json
import os
import socket
import ssl
import threading
import time

from apiserver_certs import Authority, certificate_user, write_kubeconfig
from apiserver_http import Front, make_request
from apiserver_kinds import ARBITRARY_NODE, DRIVER_RULES, KINDS, User
from apiserver_rest import Request, Response, Rest, Settings
from apiserver_store import StatusError

CLONE_NEWNET = 0x40000000


def listen_in(netns, port):
    """A listening loopback socket created in the network namespace at path `netns`, or here."""
    made = []

    def make():
        try:
            if netns:
                handle = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    libc = ctypes.CDLL(None, use_errno=True)
                    if libc.setns(handle, CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), f"setns {netns}")
                finally:
                    os.close(handle)
            # Named, because asyncio sets TCP_NODELAY only on sockets that say they are TCP.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC,
                                     socket.IPPROTO_TCP)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(256)
            listener.setblocking(False)
            made.append(listener)
        except OSError as error:
            made.append(error)
    # setns() moves the calling thread only, and this one ends with the namespace it was moved to.
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]


class APIServer:
    """Start, knobs and direct access; every method may be called from any thread."""

    DRIVER = "system:serviceaccount:kube-system:dranetd"

    def __init__(self, directory, node="node-a", netns=None, tls=True, seed=None, history=1000,
                 port=0, **settings):
        self.directory, self.node, self.netns, self.tls = directory, node, netns, tls
        os.makedirs(directory, exist_ok=True)
        self.settings = Settings(**settings)
        self.rest = Rest(self.settings, seed, history)
        self.front = Front(self.routed, self.settings, self.authenticate, seed)
        self.admin = User("system:admin")
        self.users = {"admin": self.admin,
                      "dranetd": User("dranetd", DRIVER_RULES | ARBITRARY_NODE)}
        self.tokens = {"token-of-" + os.urandom(8).hex(): User(self.DRIVER, DRIVER_RULES, node),
                       "admin-" + os.urandom(8).hex(): self.admin}
        self.port, self.server, self.loop = port, None, asyncio.new_event_loop()
        self.authority = Authority(os.path.join(directory, "pki")) if tls else None
        self.context = self._context() if tls else None
        self.thread = threading.Thread(target=self._run, name="apiserver", daemon=True)
        self.changed = threading.Condition()

    # ---- life -------------------------------------------------------------------------------

    def _context(self):
        certificate, key = self.authority.issue("server", "/CN=kube-apiserver", server=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(self.authority.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.thread.start()
        self.add_node(self.node)
        self.up()
        return self

    def stop(self):
        if not self.thread.is_alive():
            return
        self.down()
        self._in_loop(self._cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    @staticmethod
    async def _cancel_all():
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _in_loop(self, coroutine, timeout=30):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def up(self):
        """Listen (again, on the same port as before)."""
        listener = listen_in(self.netns, self.port)
        self.port = listener.getsockname()[1]

        async def begin():
            self.server = await asyncio.start_server(self.front.accept, sock=listener,
                                                     ssl=self.context, limit=1 << 20)
        self._in_loop(begin())

    def down(self):
        """Refuse connections and cut those that stand, until up()."""
        async def end():
            if self.server is not None:
                self.server.close()
                self.server = None
            self.front.abort_all()
        self._in_loop(end())

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    # ---- credentials ------------------------------------------------------------------------

    def authenticate(self, name, token):
        if token is not None:
            return self.tokens.get(token)
        if name is not None:
            return self.users.get(name)
        return None if self.tls else self.admin

    def driver_token(self):
        return next(token for token, user in self.tokens.items() if user.name == self.DRIVER)

    def rotate_token(self):
        """A new driver token; the old one is refused from now on. Returns the new one."""
        old, user = next((token, user) for token, user in self.tokens.items()
                         if user.name == self.DRIVER)
        new = "token-of-" + os.urandom(8).hex()
        self.tokens[new] = user
        del self.tokens[old]
        return new

    def kubeconfig(self, form="certificate", name=None, inline=True):
        """Path of a kubeconfig file: certificate, token, token-file, wrong-token, none, plain."""
        path = os.path.join(self.directory, (name or form) + ".kubeconfig")
        if form == "certificate":
            certificate, key = self.authority.issue("dranetd", "/O=drivers/CN=dranetd")
            user = certificate_user(certificate, key, inline, path)
        elif form == "token-file":
            file = os.path.join(self.directory, "token")
            with open(file, "w", encoding="utf-8") as out:
                out.write(self.driver_token() + "\n")
            user = {"tokenFile": "token"}
        else:
            user = {"token": {"token": {"token": self.driver_token()},
                              "wrong-token": {"token": "nobody's"}}.get(form, {}).get("token")}
            user = {key: value for key, value in user.items() if value}
        return write_kubeconfig(path, self.url, user, self.authority.ca if self.tls else None,
                                inline)

    # ---- direct access ----------------------------------------------------------------------

    async def routed(self, request):
        if request.path.startswith("/_test/"):
            return self._control(request)
        response = await self.rest.handle(request)
        with self.changed:
            self.changed.notify_all()
        return response

    def request(self, method, path, body=None, user=None, content_type="application/json"):
        """The Response of a request made without a connection; watches are not for this."""
        data = b"" if body is None else body if isinstance(body, bytes) else \
            json.dumps(body).encode()
        made = make_request(method, path, {"content-type": content_type}, data,
                            user or self.admin, "direct")
        return self._in_loop(self.routed(made))

    def call(self, method, path, body=None, **options):
        """As request(), decoded; a refusal is raised as StatusError."""
        response = self.request(method, path, body, **options)
        if response.code >= 400:
            try:
                status = json.loads(response.body)
            except ValueError:
                status = {"message": response.body.decode()}
            raise StatusError(response.code, status.get("message", ""), status.get("reason", ""),
                              details=status.get("details"))
        return json.loads(response.body)

    @staticmethod
    def path(plural, namespace=None, name=None, sub=None):
        kind = KINDS[plural]
        base = "/apis/resource.k8s.io/v1" if kind.group else "/api/v1"
        parts = [base] + ([f"namespaces/{namespace}"] if namespace else []) + [plural]
        return "/".join(parts + [part for part in (name, sub) if part])

    def _with_v1(self, work):
        """Direct access speaks v1 whatever versions clients are offered."""
        async def run():
            return work()
        return self._in_loop(run())

    def objects(self, plural, namespace=None):
        return self._with_v1(lambda: self.rest.store.list(KINDS[plural], namespace))

    def slices(self, driver=None):
        """Published slices, as stored."""
        return [item for item in self.objects("resourceslices")
                if driver in (None, item["spec"]["driver"])]

    def claim(self, namespace, name):
        return self._with_v1(lambda: self.rest.store.get(KINDS["resourceclaims"], namespace, name))

    def add_node(self, name):
        return self.call("POST", self.path("nodes"),
                         {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})

    def wait(self, condition, deadline, what):
        """Wait until condition() is true, looking whenever a request was answered."""
        end = time.monotonic() + deadline
        while True:
            value = condition()
            if value:
                return value
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"not within {deadline} s: {what}")
            with self.changed:
                self.changed.wait(min(left, 0.1))

    # ---- knobs ------------------------------------------------------------------------------

    def inject(self, action, **arguments):
        return self.rest.faults.inject(action, **arguments)

    def clear_faults(self):
        self.rest.faults.clear()

    def counts(self, user=None, since=0.0):
        return self.rest.journal.counts(user, since)

    def requests(self, user=None, verb=None, resource=None, since=0.0):
        return self.rest.journal.requests(user, verb, resource, since)

    def reset_counts(self):
        self.rest.journal.reset()

    @property
    def complaints(self):
        return list(self.front.complaints)

    def watches(self):
        """Number of watches that stand."""
        return len(self.rest.store.watchers)

    def _to_watchers(self, action, argument=None):
        for watcher in list(self.rest.store.watchers):
            watcher.control(action, argument)

    def compact(self):
        """Versions known so far become too old to watch from (410)."""
        self._with_v1(self.rest.store.compact)

    def expire_watches(self):
        """compact(), and every standing watch gets the 410 as its last event."""
        def work():
            self.rest.store.compact()
            self._to_watchers("error", StatusError(410, "too old resource version", "Expired"))
        self._with_v1(work)

    def fail_watches(self, code=500, message="injected by the test"):
        self._with_v1(lambda: self._to_watchers("error", StatusError(code, message)))

    def drop_watches(self):
        self._with_v1(lambda: self._to_watchers("drop"))

    def end_watches(self):
        """End every watch properly, as its timeout would."""
        self._with_v1(lambda: self._to_watchers("end"))

    def send_bookmarks(self):
        self._with_v1(lambda: self._to_watchers("bookmark"))

    def drop_connections(self):
        self._with_v1(self.front.abort_all)

    def goaway(self):
        self._with_v1(self.front.goaway_all)

    def _control(self, request: Request):
        """The same knobs over HTTP, for tests in another process."""
        action = request.path[len("/_test/"):]
        arguments = json.loads(request.body) if request.body else {}
        store, journal = self.rest.store, self.rest.journal
        if action == "inject":
            self.rest.faults.inject(**arguments)
        elif action == "settings":
            for name, value in arguments.items():
                getattr(self.settings, name)
                setattr(self.settings, name, value)
        elif action in ("counts", "requests"):
            user = request.query.get("user")
            shown = {f"{verb} {resource}": count for (verb, resource), count in
                     journal.counts(user).items()} if action == "counts" else \
                [entry._asdict() for entry in journal.requests(user)]
            return Rest.json(200, shown)
        elif action == "complaints":
            return Rest.json(200, self.front.complaints)
        elif action == "down":
            seconds = float(request.query.get("seconds", "1"))
            self.loop.run_in_executor(None, self.down)
            threading.Timer(seconds, self.up).start()
        elif action == "expire-watches":
            store.compact()
            self._to_watchers("error", StatusError(410, "too old resource version", "Expired"))
        else:
            work = {"clear": self.rest.faults.clear, "compact": store.compact,
                    "reset": journal.reset, "goaway": self.front.goaway_all,
                    "drop": lambda: self.loop.call_soon(self.front.abort_all),
                    "bookmark": lambda: self._to_watchers("bookmark")}.get(action)
            if work is None:
                return Response(404, b"no such knob\n", "text/plain")
            work()
        return Rest.json(200, {})


def main():
    """Run beside other processes: prints its URL and kubeconfig paths, ends with its stdin."""
    import sys
    directory = sys.argv[1]
    with APIServer(directory, node=sys.argv[2] if len(sys.argv) > 2 else "node-a",
                   netns=os.environ.get("NETNS")) as api:
        print(json.dumps({"url": api.url, "ca": api.authority.ca,
                          "certificate": api.kubeconfig("certificate"),
                          "token": api.kubeconfig("token"),
                          "token-file": api.kubeconfig("token-file")}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
