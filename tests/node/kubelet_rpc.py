"""The kubelet's gRPC clients, with grpcio and protoc's Python output, never the project's code."""

import functools
import importlib
import os
import subprocess
import sys
import tempfile
import types

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("registration", "dra_v1", "dra_v1beta1", "health_v1", "health_v1alpha1")
PREPARE_SECONDS = 45


@functools.lru_cache(maxsize=None)
def messages():
    """Modules made from proto/kubelet_*.proto, by the name after kubelet_."""
    made = tempfile.mkdtemp(prefix="kubelet-proto-")
    source = os.path.join(HERE, "proto")
    subprocess.run(["protoc", f"-I{source}", f"--python_out={made}"]
                   + [f"kubelet_{name}.proto" for name in NAMES], check=True)
    sys.path.insert(0, made)
    try:
        found = {name: importlib.import_module(f"kubelet_{name}_pb2") for name in NAMES}
    finally:
        sys.path.remove(made)
        subprocess.run(["rm", "-r", made], check=True)
    return types.SimpleNamespace(**found)


def encoded_path(path):
    """`path` as newer grpc-go writes it into :authority for a unix socket."""
    return path.replace("/", "%2F")


def open_channel(path, authority=None, reconnect=1.0):
    """A channel of its own (no connection shared with other channels of this process)."""
    options = [("grpc.use_local_subchannel_pool", 1),
               ("grpc.initial_reconnect_backoff_ms", int(reconnect * 1000)),
               ("grpc.max_reconnect_backoff_ms", max(120000, int(reconnect * 1000))),
               ("grpc.max_receive_message_length", 4 * 1024 * 1024)]
    if reconnect < 1:
        options.append(("grpc.min_reconnect_backoff_ms", 100))
    if authority:
        options.append(("grpc.default_authority", authority))
    return grpc.insecure_channel(f"unix:{path}", options=options)


def go_error(error):
    """A grpcio error in the words the Go client has for it."""
    name = "".join(part.capitalize() for part in error.code().name.split("_"))
    name = {"Ok": "OK", "Cancelled": "Canceled"}.get(name, name)
    return f"rpc error: code = {name} desc = {error.details()}"


class Registration:
    """One dial of a registration socket."""

    def __init__(self, path, authority=None):
        self.channel = open_channel(path, authority or encoded_path(path))
        types_ = messages().registration
        self.types = types_
        base = "/pluginregistration.Registration/"
        self._info = self.channel.unary_unary(base + "GetInfo",
                                              types_.InfoRequest.SerializeToString,
                                              types_.PluginInfo.FromString)
        self._notify = self.channel.unary_unary(base + "NotifyRegistrationStatus",
                                                types_.RegistrationStatus.SerializeToString,
                                                types_.RegistrationStatusResponse.FromString)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def dial(self, seconds=10):
        grpc.channel_ready_future(self.channel).result(timeout=seconds)

    def get_info(self, seconds=1):
        return self._info(self.types.InfoRequest(), timeout=seconds)

    def notify(self, registered, error="", seconds=5):
        status = self.types.RegistrationStatus(plugin_registered=registered, error=error)
        return self._notify(status, timeout=seconds)


class DRAClient:
    """The DRA connection to one endpoint, in one API version."""

    def __init__(self, path, version="v1", authority="localhost", reconnect=1.0):
        self.version = version
        self.types = getattr(messages(), "dra_" + version)
        self.channel = open_channel(path, authority, reconnect)
        base = f"/k8s.io.kubelet.pkg.apis.dra.{version}.DRAPlugin/"
        types_ = self.types
        self.prepare_call = self.channel.unary_unary(
            base + "NodePrepareResources", types_.NodePrepareResourcesRequest.SerializeToString,
            types_.NodePrepareResourcesResponse.FromString)
        self.unprepare_call = self.channel.unary_unary(
            base + "NodeUnprepareResources", types_.NodeUnprepareResourcesRequest.SerializeToString,
            types_.NodeUnprepareResourcesResponse.FromString)

    def claims(self, claims):
        """Claim messages from (namespace, name, uid) triples."""
        return [self.types.Claim(namespace=namespace, name=name, uid=uid)
                for namespace, name, uid in claims]

    def prepare(self, claims, seconds=PREPARE_SECONDS):
        return self.prepare_call(self.types.NodePrepareResourcesRequest(claims=self.claims(claims)),
                                 timeout=seconds)

    def unprepare(self, claims, seconds=PREPARE_SECONDS):
        return self.unprepare_call(
            self.types.NodeUnprepareResourcesRequest(claims=self.claims(claims)), timeout=seconds)

    def health_stream(self, version):
        """The open NodeWatchResources stream: an iterator of full lists, with cancel()."""
        types_ = getattr(messages(), "health_" + version)
        call = self.channel.unary_stream(f"/{version}.DRAResourceHealth/NodeWatchResources",
                                         types_.NodeWatchResourcesRequest.SerializeToString,
                                         types_.NodeWatchResourcesResponse.FromString)
        return call(types_.NodeWatchResourcesRequest())

    def close(self):
        self.channel.close()
