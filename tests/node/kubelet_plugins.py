"""Plugin registration and bookkeeping, as the kubelet does it.

A socket that appears in <root>/plugins_registry is dialled, asked with GetInfo (1 s), judged, told
with NotifyRegistrationStatus (5 s) and left; the DRA connection to its endpoint stays. A socket
that goes, or is made anew, is de-registered. A driver without a registered and connected plugin
for `wipe_after` seconds loses its slices on this node.
"""

import os
import stat
import threading
import time

import grpc

from kubelet_rpc import DRAClient, Registration

DRA_VERSIONS = {"v1.DRAPlugin": "v1", "v1beta1.DRAPlugin": "v1beta1"}
HEALTH_VERSIONS = {"v1.DRAResourceHealth": "v1", "v1alpha1.DRAResourceHealth": "v1alpha1"}
DEFAULT_HEALTH_SECONDS = 30


class KubeletError(Exception):
    """What the kubelet would put into an event or its log."""


class Plugin:
    """One registered endpoint of a driver."""

    def __init__(self, name, endpoint, client, health_version, socket):
        self.name, self.endpoint, self.client = name, endpoint, client
        self.health_version, self.socket = health_version, socket
        self.state = grpc.ChannelConnectivity.IDLE
        self.ever_connected, self.closed, self.stream = False, False, None

    @property
    def version(self):
        return self.client.version

    @property
    def connected(self):
        return self.state is grpc.ChannelConnectivity.READY

    def on_state(self, state):
        self.state = state
        self.ever_connected = self.ever_connected or self.connected

    def close(self):
        self.closed = True
        if self.stream is not None:
            self.stream.cancel()
        self.client.channel.unsubscribe(self.on_state)
        self.client.close()


class Health:
    """The last full list of every driver; a device silent beyond its timeout is Unknown."""

    def __init__(self):
        self.lock, self.devices, self.updates = threading.Lock(), {}, {}

    def update(self, driver, response):
        heard = time.monotonic()
        with self.lock:
            self.updates[driver] = self.updates.get(driver, 0) + 1
            for item in response.devices:
                silent = item.health_check_timeout_seconds
                self.devices[driver, item.device.pool_name, item.device.device_name] = (
                    {1: "Healthy", 2: "Unhealthy"}.get(item.health, "Unknown"), heard,
                    silent if silent > 0 else DEFAULT_HEALTH_SECONDS, item.message)

    def clear(self, driver):
        with self.lock:
            self.devices = {key: value for key, value in self.devices.items() if key[0] != driver}

    def of(self, driver, pool, device):
        """Healthy, Unhealthy or Unknown."""
        with self.lock:
            state, heard, silent, _ = self.devices.get((driver, pool, device),
                                                       ("Unknown", 0, 0, ""))
        return state if time.monotonic() - heard <= silent else "Unknown"


class PluginManager:
    """Watches the registration directory in a thread of its own."""

    def __init__(self, root, wipe, translate=lambda path: path, dra_authority="localhost",
                 registration_authority=None, wipe_after=30.0, poll=0.1, backoff=(0.5, 122.0),
                 reconnect=1.0, health_retry=5.0, strict_138=True):
        self.root, self.directory = root, os.path.join(root, "plugins_registry")
        self.wipe, self.translate = wipe, translate
        self.dra_authority, self.registration_authority = dra_authority, registration_authority
        self.wipe_after, self.poll, self.backoff = wipe_after, poll, backoff
        self.reconnect, self.health_retry, self.strict_138 = reconnect, health_retry, strict_138
        self.lock = threading.RLock()
        self.sockets, self.failures, self.plugins, self.log = {}, {}, [], []
        self.lost_since, self.wiped, self.wipe_retry = {}, set(), {}
        self.health = Health()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="plugin-manager", daemon=True)

    def start(self):
        os.makedirs(self.directory, mode=0o755, exist_ok=True)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(30)
        with self.lock:
            for plugin in self.plugins:
                plugin.close()
            self.plugins.clear()

    def note(self, text):
        self.log.append((time.monotonic(), text))

    # ---- what others ask --------------------------------------------------------------------

    def get(self, driver):
        """The most recently registered connected plugin, else the most recent one."""
        with self.lock:
            mine = [plugin for plugin in self.plugins if plugin.name == driver]
        if not mine:
            raise KubeletError(f"DRA driver {driver} is not registered")
        return next((plugin for plugin in reversed(mine) if plugin.connected), mine[-1])

    def registered(self, driver):
        with self.lock:
            return [plugin for plugin in self.plugins if plugin.name == driver]

    # ---- the directory ----------------------------------------------------------------------

    def _scan(self):
        found = {}
        for base, names, files in os.walk(self.directory):
            names[:] = [name for name in names if not name.startswith(".")]
            for name in files:
                path = os.path.join(base, name)
                try:
                    info = os.lstat(path)
                except OSError:
                    continue
                if stat.S_ISSOCK(info.st_mode) and not name.startswith("."):
                    found[path] = (info.st_ino, info.st_mtime_ns)
        return found

    def _run(self):
        while not self.stopping.wait(self.poll):
            found = self._scan()
            for path, identity in list(self.sockets.items()):
                if found.get(path) != identity:
                    self._deregister(path)
            for path in [path for path in self.failures if path not in found]:
                del self.failures[path]
            for path, identity in found.items():
                retry_at = self.failures.get(path, (0, 0))[0]
                if path not in self.sockets and time.monotonic() >= retry_at:
                    self._try_register(path, identity)
            self._watch_connections()

    def _try_register(self, path, identity):
        try:
            self._register(path)
            self.sockets[path] = identity
            self.failures.pop(path, None)
        except (grpc.RpcError, grpc.FutureTimeoutError, KubeletError) as error:
            delay = min(self.failures.get(path, (0, self.backoff[0] / 2))[1] * 2, self.backoff[1])
            self.failures[path] = (time.monotonic() + delay, delay)
            self.note(f"registration of {path} failed, next try in {delay} s: {error!r}")

    def _register(self, path):
        with Registration(path, self.registration_authority) as dialled:
            dialled.dial()
            info = dialled.get_info()
            try:
                version, health = self._validate(info)
            except KubeletError as error:
                dialled.notify(False, "RegisterPlugin error -- plugin validation failed with err:"
                               f" {error}")
                raise
            try:
                plugin = self._add(info, version, health, path)
            except KubeletError as error:
                dialled.notify(False, "RegisterPlugin error -- plugin registration failed with err:"
                               f" {error}")
                raise
            try:
                dialled.notify(True)
            except grpc.RpcError:
                self._remove(plugin)
                raise
        self.note(f"registered {plugin.name} at {plugin.endpoint} as {version}, health {health}")

    def _validate(self, info):
        if info.type != "DRAPlugin":
            raise KubeletError(f"no handler registered for plugin type: {info.type}")
        if not info.name:
            raise KubeletError("plugin name is empty")
        version = next((DRA_VERSIONS[item] for item in info.supported_versions
                        if item in DRA_VERSIONS), None)
        if version is None:
            raise KubeletError(f"DRA plugin {info.name} supports none of the known versions:"
                               f" {list(info.supported_versions)}")
        offered = {HEALTH_VERSIONS.get(item) for item in info.supported_versions}
        health = next((item for item in ("v1", "v1alpha1") if item in offered), None)
        if self.strict_138:
            endpoint = info.endpoint
            if not endpoint.startswith("/") or len(endpoint.encode()) >= 108:
                raise KubeletError(f"endpoint {endpoint!r} is not an absolute path below 108 bytes")
            if os.path.commonpath([self.inner_root(), os.path.normpath(endpoint)]) != \
                    self.inner_root():
                raise KubeletError(f"endpoint {endpoint} is not inside {self.inner_root()}")
            if len(info.name) > 63 or info.name != info.name.lower():
                raise KubeletError(f"driver name {info.name!r} is not valid")
        return version, health

    def inner_root(self):
        """The kubelet root as the plugin names it, when the two see different file trees."""
        return getattr(self, "root_inside", None) or self.root

    def _add(self, info, version, health, path):
        endpoint = info.endpoint or path
        with self.lock:
            for plugin in self.plugins:
                if (plugin.name, plugin.endpoint) == (info.name, endpoint):
                    raise KubeletError(f"endpoint {endpoint} already registered for plugin name"
                                       f" {info.name}")
            client = DRAClient(self.translate(endpoint), version, self.dra_authority,
                               self.reconnect)
            plugin = Plugin(info.name, endpoint, client, health, path)
            client.channel.subscribe(plugin.on_state, try_to_connect=True)
            self.plugins.append(plugin)
            self.wiped.discard(info.name)
        if health:
            threading.Thread(target=self._read_health, args=(plugin,), daemon=True,
                             name=f"health-{info.name}").start()
        return plugin

    def _remove(self, plugin):
        with self.lock:
            if plugin in self.plugins:
                self.plugins.remove(plugin)
            self.lost_since.setdefault(plugin.name, time.monotonic())
        plugin.close()
        self.health.clear(plugin.name)

    def _deregister(self, path):
        del self.sockets[path]
        with self.lock:
            gone = [plugin for plugin in self.plugins if plugin.socket == path]
        for plugin in gone:
            self._remove(plugin)
            self.note(f"de-registered {plugin.name} at {plugin.endpoint}")

    # ---- connections, slices and health -----------------------------------------------------

    def _watch_connections(self):
        with self.lock:
            plugins = list(self.plugins)
        served = {plugin.name for plugin in plugins if plugin.connected}
        clock = time.monotonic()
        for plugin in plugins:
            if plugin.state is grpc.ChannelConnectivity.IDLE:
                # grpc-go is told to Connect() again; here only a new subscription asks for it.
                plugin.client.channel.subscribe(plugin.on_state, try_to_connect=True)
                plugin.client.channel.unsubscribe(plugin.on_state)
                plugin.client.channel.subscribe(plugin.on_state, try_to_connect=True)
            if plugin.name not in served:
                self.lost_since.setdefault(plugin.name, clock)
        for name in served:
            self.lost_since.pop(name, None)
            self.wiped.discard(name)
        for name, since in list(self.lost_since.items()):
            if name in self.wiped or clock - since < self.wipe_after or \
                    clock < self.wipe_retry.get(name, 0):
                continue
            try:
                self.wipe(name)
                self.wiped.add(name)
                self.note(f"slices of {name} deleted")
            except Exception as error:
                self.wipe_retry[name] = clock + 1
                self.note(f"deleting the slices of {name} failed: {error!r}")

    def _read_health(self, plugin):
        while not plugin.closed and not self.stopping.is_set():
            try:
                plugin.stream = plugin.client.health_stream(plugin.health_version)
                for response in plugin.stream:
                    self.health.update(plugin.name, response)
                self.note(f"health stream of {plugin.name} ended")
            except grpc.RpcError as error:
                if plugin.closed:
                    return
                self.note(f"health stream of {plugin.name}: {error.code()} {error.details()}")
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                    return
            except ValueError:
                return  # the channel was closed between the two lines above
            finally:
                self.health.clear(plugin.name)
            if self.stopping.wait(self.health_retry):
                return
