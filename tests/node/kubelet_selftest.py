"""The kubelet stand-in against a DRA plugin made with grpcio, and a container runtime that only
remembers what it was asked."""

import concurrent.futures
import contextlib
import os
import tempfile
import threading
import time
import types

import grpc

from cluster_cases import expect, refused, same
from cluster_fixtures import API, WORK, create, device, manifests, slice_of, wipe
from kubelet import Kubelet, PodFailed
from kubelet_plugins import KubeletError
from kubelet_rpc import DRAClient, Registration, messages


class FakeCri:
    """The calls of runtime/cri.py, recorded; `refuse` maps a call to the error it raises once."""

    def __init__(self):
        self.calls, self.refuse, self.alive, self.made = [], {}, set(), []

    def _note(self, call, *what):
        self.calls.append((call, *what))
        if call in self.refuse:
            raise self.refuse.pop(call)

    @staticmethod
    def sandbox_config(name, namespace, uid, host_network, annotations, labels, attempt):
        return {"name": name, "uid": uid, "attempt": attempt}

    def run_sandbox(self, config):
        self._note("run_sandbox", config["attempt"])
        self.alive.add(f"sandbox-{len(self.calls)}")
        return f"sandbox-{len(self.calls)}"

    def sandbox_status(self, sandbox):
        class Answer:
            class status:
                state = 0 if sandbox in self.alive else 1
        return Answer

    def create_container(self, sandbox, config, name, cdi_devices, **options):
        self._note("create_container", name, tuple(cdi_devices))
        self.made.append(types.SimpleNamespace(id=f"container-{name}", pod_sandbox_id=sandbox))
        return f"container-{name}"

    def list_containers(self):
        return self.made

    def start_container(self, container):
        self._note("start_container", container)

    def stop_container(self, container, timeout):
        self._note("stop_container", container)

    def remove_container(self, container):
        self._note("remove_container", container)
        self.made = [item for item in self.made if item.id != container]

    def stop_sandbox(self, sandbox):
        self._note("stop_sandbox")
        self.alive.discard(sandbox)

    def remove_sandbox(self, sandbox):
        self._note("remove_sandbox")

    def names(self):
        return [call[0] for call in self.calls]


class FakePlugin:
    """Registration, DRA and health services of one driver; `answer` decides what Prepare says."""

    def __init__(self, root, name="dra.net", versions=("v1.DRAPlugin", "v1beta1.DRAPlugin",
                                                       "v1.DRAResourceHealth"), endpoint=None):
        self.root, self.name, self.versions = root, name, versions
        self.directory = os.path.join(root, "plugins", name)
        os.makedirs(self.directory, exist_ok=True)
        self.dra_path = os.path.join(self.directory, "dra.sock")
        self.endpoint = self.dra_path if endpoint is None else endpoint
        self.registration_path = os.path.join(root, "plugins_registry", f"{name}-reg.sock")
        self.calls, self.told, self.metadata = [], [], []
        self.notify_fails = 0
        self.answer = self.each_claim
        self.health, self.changed = [], threading.Condition()
        self.dra = self.registration = None

    def each_claim(self, types, request):
        return types.NodePrepareResourcesResponse(claims={
            claim.uid: types.NodePrepareResourceResponse(devices=[types.Device(
                request_names=["req-nic"], pool_name="node-a", device_name="nic0",
                cdi_device_ids=[f"{self.name}/nic={claim.uid}"])]) for claim in request.claims})

    def _dra_service(self, version):
        types = getattr(messages(), "dra_" + version)

        def prepare(request, context):
            self.calls.append((version, "prepare", [claim.name for claim in request.claims]))
            self.metadata.append(dict(context.invocation_metadata()))
            return self.answer(types, request)

        def unprepare(request, _):
            self.calls.append((version, "unprepare", [claim.name for claim in request.claims]))
            return types.NodeUnprepareResourcesResponse(claims={
                claim.uid: types.NodeUnprepareResourceResponse() for claim in request.claims})
        return grpc.method_handlers_generic_handler(
            f"k8s.io.kubelet.pkg.apis.dra.{version}.DRAPlugin",
            {name: grpc.unary_unary_rpc_method_handler(function, request.FromString,
                                                       response.SerializeToString)
             for name, function, request, response in (
                 ("NodePrepareResources", prepare, types.NodePrepareResourcesRequest,
                  types.NodePrepareResourcesResponse),
                 ("NodeUnprepareResources", unprepare, types.NodeUnprepareResourcesRequest,
                  types.NodeUnprepareResourcesResponse))})

    def _health_service(self, version):
        types = getattr(messages(), "health_" + version)

        def watch(_, context):
            sent = None
            while context.is_active():
                with self.changed:
                    current = list(self.health)
                    if current == sent:
                        self.changed.wait(0.05)
                        continue
                sent = current
                yield types.NodeWatchResourcesResponse(devices=[types.DeviceHealth(
                    device=types.DeviceIdentifier(pool_name="node-a", device_name=name),
                    health=state, health_check_timeout_seconds=timeout)
                    for name, state, timeout in current])
        return grpc.method_handlers_generic_handler(
            f"{version}.DRAResourceHealth",
            {"NodeWatchResources": grpc.unary_stream_rpc_method_handler(
                watch, types.NodeWatchResourcesRequest.FromString,
                types.NodeWatchResourcesResponse.SerializeToString)})

    def _registration_service(self):
        types = messages().registration

        def info(_, context):
            self.metadata.append(dict(context.invocation_metadata()))
            return types.PluginInfo(type="DRAPlugin", name=self.name, endpoint=self.endpoint,
                                    supported_versions=self.versions)

        def notify(request, context):
            self.told.append((request.plugin_registered, request.error))
            if self.notify_fails:
                self.notify_fails -= 1
                context.abort(grpc.StatusCode.INTERNAL, "not now")
            return types.RegistrationStatusResponse()
        return grpc.method_handlers_generic_handler("pluginregistration.Registration", {
            "GetInfo": grpc.unary_unary_rpc_method_handler(
                info, types.InfoRequest.FromString, types.PluginInfo.SerializeToString),
            "NotifyRegistrationStatus": grpc.unary_unary_rpc_method_handler(
                notify, types.RegistrationStatus.FromString,
                types.RegistrationStatusResponse.SerializeToString)})

    @staticmethod
    def _serve(path, handlers):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
        server.add_generic_rpc_handlers(handlers)
        server.add_insecure_port("unix:" + path)
        server.start()
        return server

    def serve_dra(self):
        handlers = [self._dra_service("v1"), self._dra_service("v1beta1")]
        handlers += [self._health_service(version) for version in ("v1", "v1alpha1")
                     if f"{version}.DRAResourceHealth" in self.versions]
        self.dra = self._serve(self.dra_path, handlers)

    def start(self):
        self.serve_dra()
        self.registration = self._serve(self.registration_path, [self._registration_service()])
        return self

    def stop_dra(self):
        self.dra.stop(None).wait()

    def stop(self):
        self.registration.stop(None).wait()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.registration_path)
        self.stop_dra()

    def set_health(self, *devices):
        with self.changed:
            self.health = list(devices)
            self.changed.notify_all()


@contextlib.contextmanager
def node(plugin=True, cri=None, options=None, **plugin_options):
    """(kubelet, plugin) over an empty API server; everything is stopped at the end."""
    wipe()
    for device_class in manifests("deviceclass.yaml"):
        create(device_class)
    root = tempfile.mkdtemp(dir=WORK, prefix="k")
    kubelet = Kubelet(root, API, "node-a", cri or FakeCri(), sync_backoff=0.01, poll=0.01,
                      backoff=(0.05, 1), reconnect=0.1, health_retry=0.1, **(options or {}))
    kubelet.start()
    made = FakePlugin(root, **plugin_options)
    try:
        if plugin:
            made.start()
            kubelet.wait_registered(made.name)
        yield kubelet, made
    finally:
        kubelet.stop()
        if made.registration:
            made.stop()


def publish(*names):
    return create(slice_of([device(name) for name in names]))


def objects(name):
    pods = []
    for obj in manifests(name):
        if obj["kind"] == "Pod":
            pods.append(obj)
        else:
            create(obj)
    return pods[0]


def test_registration_first_known_version_wins():
    for versions, wanted, health in (
            (("v7.Other", "v1beta1.DRAPlugin", "v1.DRAPlugin"), "v1beta1", None),
            (("v1.DRAPlugin", "v1beta1.DRAPlugin", "v1alpha1.DRAResourceHealth",
              "v1.DRAResourceHealth"), "v1", "v1")):
        with node(versions=versions) as (kubelet, plugin):
            registered = kubelet.plugins.get("dra.net")
            same((registered.version, registered.health_version), (wanted, health))
            kubelet.wait(lambda: plugin.told, 10, "the notice, which comes after the registration")
            same(plugin.told, [(True, "")])


def test_registration_refusals():
    for options, text in (({"versions": ("v1.DRAResourceHealth",)}, "known versions"),
                          ({"endpoint": "/elsewhere/dra.sock"}, "is not inside"),
                          ({"endpoint": ""}, "not an absolute path")):
        with node(plugin=False, **options) as (kubelet, plugin):
            plugin.start()
            kubelet.wait(lambda: plugin.told, 10, "the refusal")
            same(plugin.told[0][0], False)
            expect(text in plugin.told[0][1], plugin.told)
            refused(KubeletError, lambda: kubelet.plugins.get("dra.net"),
                    "DRA driver dra.net is not registered")


def test_registration_empty_endpoint_and_failed_notify():
    with node(plugin=False, endpoint="", options={"strict_138": False}) as (kubelet, plugin):
        plugin.notify_fails = 2
        plugin.start()
        kubelet.wait(lambda: (True, "") in plugin.told[2:], 10, "the third try")
        same(kubelet.plugins.get("dra.net").endpoint, plugin.registration_path)


def test_registration_again_when_the_socket_is_made_anew():
    with node() as (kubelet, plugin):
        first = kubelet.plugins.get("dra.net")
        plugin.stop()
        kubelet.wait(lambda: not kubelet.plugins.registered("dra.net"), 10, "de-registration")
        plugin.start()
        expect(kubelet.wait_registered("dra.net") is not first, "the old one is still there")


def test_authority_forms():
    with node(plugin=False) as (_, plugin):
        plugin.start()
        for authority in ("localhost", plugin.dra_path.replace("/", "%2F")):
            client = DRAClient(plugin.dra_path, "v1", authority)
            same(len(client.prepare([("default", "c", "u")]).claims), 1)
            client.close()
        with Registration(plugin.registration_path, "localhost") as dialled:
            same(dialled.get_info().name, "dra.net")


def test_slices_wiped_at_start_and_after_losing_the_plugin():
    with node(options={"wipe_after": 0.3}) as (kubelet, plugin):
        publish("nic0")
        create(slice_of([device()], node="node-b"))
        time.sleep(0.5)
        same(len(API.slices()), 2, "a connected driver keeps its slices")
        plugin.stop_dra()
        kubelet.wait(lambda: len(API.slices()) == 1, 10, "the slices to be wiped")
        same(API.slices()[0]["spec"]["nodeName"], "node-b")
        plugin.serve_dra()
        kubelet.wait_registered("dra.net")
        publish("nic0")
        kubelet.restart()
        same([item["spec"]["nodeName"] for item in API.slices()], ["node-b"])
        kubelet.wait_registered("dra.net")


def test_pod_life():
    with node() as (kubelet, plugin):
        publish("nic0", "nic1")
        pod = kubelet.run_pod(objects("two-claims.yaml"))
        same(pod.phase, "Running")
        same(plugin.calls, [("v1", "prepare", ["first-nic", "second-nic"])])
        expect(0 < len(plugin.metadata), "no metadata")
        uids = [API.claim("default", name)["metadata"]["uid"] for name in ("first-nic",
                                                                           "second-nic")]
        same(kubelet.cri.calls[1:4:2],
             [("create_container", "ctr1", tuple(f"dra.net/nic={uid}" for uid in uids)),
              ("create_container", "bystander", ())])
        kubelet.stop_pod(pod)
        same(plugin.calls[1], ("v1", "unprepare", ["first-nic", "second-nic"]))
        same(kubelet.cri.names()[-6:],
             ["stop_container", "stop_container", "stop_sandbox", "remove_container", "remove_container",
              "remove_sandbox"])
        same(API.claim("default", "first-nic").get("status"), {})
        same(API.objects("pods"), [])


def test_prepare_failures_as_the_event_tells_them():
    def missing(types, _):
        return types.NodePrepareResourcesResponse()

    def unknown(types, _):
        return types.NodePrepareResourcesResponse(
            claims={"other": types.NodePrepareResourceResponse()})

    def broken(types, request):
        return types.NodePrepareResourcesResponse(claims={
            claim.uid: types.NodePrepareResourceResponse(error="interface.mtu: 0 is below 68")
            for claim in request.claims})
    prefix = ("FailedPrepareDynamicResources: Failed to prepare dynamic resources:"
              " prepare dynamic resources: ")
    with node() as (kubelet, plugin):
        publish("nic0")
        pod = kubelet.create_pod(objects("claim.yaml"))
        uid = API.claim("default", "nic-static-ip")["metadata"]["uid"]
        for answer, text in (
                (missing, "NodePrepareResources skipped 1 ResourceClaims"),
                (unknown, "NodePrepareResources returned result for unknown claim UID other"),
                (broken, "NodePrepareResources failed for ResourceClaim nic-static-ip:"
                         " interface.mtu: 0 is below 68")):
            plugin.answer = answer
            refused(PodFailed, lambda: kubelet.run_pod(pod, deadline=0.02), prefix + text)
        same(kubelet.cri.calls, [], "no sandbox without Prepare")
        plugin.answer = plugin.each_claim
        kubelet.run_pod(pod)
        same(kubelet.claims.infos["default", "nic-static-ip"].cdi_devices(),
             [f"dra.net/nic={uid}"])


def test_prepare_deadline():
    release = threading.Event()

    def slow(types, request):
        release.wait(5)
        return types.NodePrepareResourcesResponse()
    with node(options={"call_seconds": 0.2}) as (kubelet, plugin):
        publish("nic0")
        plugin.answer = slow
        refused(PodFailed, lambda: kubelet.run_pod(objects("claim.yaml"), deadline=0.02),
                "rpc error: code = DeadlineExceeded")
        release.set()


def test_container_retry_and_sandbox_recreation():
    with node() as (kubelet, plugin):
        publish("nic0")
        cri = kubelet.cri
        cri.refuse["create_container"] = KubeletError("unresolvable CDI devices")
        pod = kubelet.run_pod(objects("claim.yaml"))
        same(cri.names(), ["run_sandbox", "create_container", "create_container",
                           "start_container"])
        same(pod.messages(), ["Failed: Error: unresolvable CDI devices"])
        cri.alive.clear()
        kubelet.recreate_sandbox(pod)
        same(len(plugin.calls), 1, "no second Prepare for a new sandbox")
        same([call[1] for call in cri.calls if call[0] == "run_sandbox"], [0, 1])
        kubelet.restart()
        kubelet.wait_registered("dra.net")
        kubelet.recreate_sandbox(pod)
        same(len(plugin.calls), 2, "a restarted kubelet prepares again")


def test_shared_claim_is_prepared_once():
    with node() as (kubelet, plugin):
        publish("nic0")
        manifest = objects("claim.yaml")
        first = kubelet.run_pod(manifest)
        manifest["metadata"] = {"name": "second", "namespace": "default"}
        second = kubelet.run_pod(manifest)
        kubelet.stop_pod(first)
        same([call[1] for call in plugin.calls], ["prepare"])
        kubelet.stop_pod(second)
        same([call[1] for call in plugin.calls], ["prepare", "unprepare"])


def test_health_stream():
    with node() as (kubelet, plugin):
        health = kubelet.plugins.health

        def state():
            return health.of("dra.net", "node-a", "nic0")
        plugin.set_health(("nic0", 1, 1))
        kubelet.wait(lambda: state() == "Healthy", 5, "the first list")
        kubelet.wait(lambda: state() == "Unknown", 5, "silence beyond the timeout")
        plugin.set_health(("nic0", 2, 30))
        kubelet.wait(lambda: state() == "Unhealthy", 5, "the second list")
        plugin.stop_dra()
        kubelet.wait(lambda: state() == "Unknown", 5, "the end of the stream")
        plugin.serve_dra()
        kubelet.wait(lambda: state() == "Unhealthy", 10, "the stream to be opened again")


def test_health_stream_unimplemented_is_final():
    with node(versions=("v1.DRAPlugin", "v1alpha1.DRAResourceHealth")) as (kubelet, plugin):
        kubelet.wait(lambda: any("health v1alpha1" in text for _, text in kubelet.plugins.log), 5,
                     "the registration")
        plugin.stop_dra()
        plugin.versions = ("v1.DRAPlugin",)
        plugin.serve_dra()
        kubelet.wait(lambda: any("UNIMPLEMENTED" in text for _, text in kubelet.plugins.log), 10,
                     "the refusal")
        count = len(kubelet.plugins.log)
        time.sleep(0.4)
        same(len(kubelet.plugins.log), count, "asked again")
