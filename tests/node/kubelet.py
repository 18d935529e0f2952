"""The kubelet: pods through Prepare, the container runtime over CRI, and Unprepare.

    kubelet = Kubelet(root, api, node, cri)
    kubelet.start()
    pod = kubelet.run_pod(manifest)          # until Running; PodFailed with its events otherwise
    kubelet.stop_pod(pod)
    kubelet.restart()                        # slices wiped, claims to be prepared anew
"""

import threading
import time

from allocator import Allocator, Unschedulable
from apiserver_kinds import User
from apiserver_store import StatusError
from kubelet_claims import ClaimManager
from kubelet_plugins import KubeletError, PluginManager


class PodFailed(Exception):
    """The pod did not get where it should in time; the text ends with its events."""


class Pod:
    """One pod on this node, with what its status and events would tell a user."""

    def __init__(self, obj, names):
        self.obj, self.names = obj, names
        self.sandbox, self.config, self.attempt, self.restarts = None, None, 0, {}
        self.containers, self.phase, self.events, self.timing = {}, "Pending", [], {}
        self.unprepared = False

    @property
    def name(self):
        return self.obj["metadata"]["name"]

    @property
    def namespace(self):
        return self.obj["metadata"]["namespace"]

    @property
    def uid(self):
        return self.obj["metadata"]["uid"]

    def event(self, reason, message):
        if not self.events or self.events[-1] != (reason, message):
            self.events.append((reason, message))

    def messages(self):
        return [f"{reason}: {message}" for reason, message in self.events]


class Kubelet:
    """One node. `cri` has the calls of runtime/cri.py; other options are those of PluginManager."""

    def __init__(self, root, api, node, cri=None, root_inside=None, sync_backoff=0.5,
                 call_seconds=45, **plugin_options):
        self.api, self.node, self.cri = api, node, cri
        self.user = User(f"system:node:{node}")
        self.root, self.root_inside, self.plugin_options = root, root_inside, plugin_options
        self.sync_backoff, self.call_seconds = sync_backoff, call_seconds
        self.allocator = Allocator(api, node)
        self.plugins = self._plugin_manager()
        self.claims = ClaimManager(api, self.plugins, call_seconds)
        self.pods, self.lock = {}, threading.Lock()

    def _plugin_manager(self):
        manager = PluginManager(self.root, self._wipe, **self.plugin_options)
        manager.root_inside = self.root_inside
        return manager

    # ---- life -------------------------------------------------------------------------------

    def _wipe(self, driver=None):
        """DeleteCollection of this node's slices, of one driver or of all."""
        selector = f"spec.nodeName={self.node}" + (f",spec.driver={driver}" if driver else "")
        self.api.call("DELETE", self.api.path("resourceslices") + f"?fieldSelector={selector}",
                      user=self.user)

    def start(self):
        self._wipe()
        self.plugins.start()
        return self

    def stop(self):
        self.plugins.stop()

    def restart(self):
        """A new process: registrations are found again, no claim counts as prepared."""
        self.plugins.stop()
        self.plugins = self._plugin_manager()
        self.claims.plugins = self.plugins
        self.claims.restarted()
        self.start()

    def wait_registered(self, driver, deadline=30):
        """The driver's plugin, once it is registered and connected."""
        def ready():
            return next((plugin for plugin in self.plugins.registered(driver)
                         if plugin.connected), None)
        return self.wait(ready, deadline, f"driver {driver} to register: {self.plugins.log[-5:]}")

    @staticmethod
    def wait(condition, deadline, what):
        end = time.monotonic() + deadline
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"not within {deadline} s: {what}")
            time.sleep(0.02)

    # ---- pods -------------------------------------------------------------------------------

    def create_pod(self, manifest):
        """Pod and template claims in the API server; nothing on the node yet."""
        obj = self.allocator.create_pod(manifest)
        pod = Pod(obj, self.allocator.claim_names(obj))
        with self.lock:
            self.pods[pod.uid] = pod
        return pod

    def run_pod(self, manifest, deadline=60):
        """Create, schedule and start a pod, trying again as the kubelet does."""
        pod = manifest if isinstance(manifest, Pod) else self.create_pod(manifest)
        self._retry(pod, self._start, deadline, "was not running")
        return pod

    def _retry(self, pod, step, deadline, what):
        end = time.monotonic() + deadline
        while True:
            try:
                return step(pod)
            except (KubeletError, Unschedulable) as error:
                last = error
            if time.monotonic() + self.sync_backoff > end:
                listed = "\n  ".join(pod.messages()) or str(last)
                raise PodFailed(f"pod {pod.name} {what} within {deadline} s:\n  {listed}")
            time.sleep(self.sync_backoff)

    def _start(self, pod):
        try:
            self.allocator.schedule(pod.obj)
        except Unschedulable as error:
            pod.event("FailedScheduling", str(error))
            raise
        self.sync_pod(pod)

    def _timed(self, pod, what, work):
        start = time.monotonic()
        try:
            return work()
        finally:
            pod.timing.setdefault(what, []).append(time.monotonic() - start)

    def sync_pod(self, pod):
        """One SyncPod: whatever is missing of sandbox and containers; KubeletError if it fails."""
        if pod.sandbox is None or not self._sandbox_ready(pod):
            self._drop_sandbox(pod)
            try:
                self._timed(pod, "prepare", lambda: self.claims.prepare(pod.obj, pod.names))
            except KubeletError as error:
                pod.event("FailedPrepareDynamicResources",
                          f"Failed to prepare dynamic resources: {error}")
                raise
            self._create_sandbox(pod)
        for container in pod.obj["spec"].get("containers", []):
            if container["name"] not in pod.containers:
                self._create_container(pod, container)
        pod.phase = "Running"

    def _cri(self, work):
        """A CRI call; its refusal as the Go client words it."""
        from runtime.cri import CriError
        try:
            return work()
        except CriError as error:
            code = "".join(part.capitalize() for part in error.code.split("_"))
            raise KubeletError(f"rpc error: code = {code} desc = {error}") from None

    def _sandbox_ready(self, pod):
        try:
            return self._cri(lambda: self.cri.sandbox_status(pod.sandbox)).status.state == 0
        except KubeletError:
            return False

    def _create_sandbox(self, pod):
        spec = pod.obj["spec"]
        pod.config = self.cri.sandbox_config(
            pod.name, pod.namespace, pod.uid, spec.get("hostNetwork", False),
            annotations=pod.obj["metadata"].get("annotations", {}),
            labels=pod.obj["metadata"].get("labels", {}), attempt=pod.attempt)
        try:
            pod.sandbox = self._timed(pod, "run_sandbox",
                                      lambda: self._cri(lambda: self.cri.run_sandbox(pod.config)))
        except KubeletError as error:
            pod.attempt += 1
            pod.event("FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            raise

    def _create_container(self, pod, container):
        name = container["name"]
        security = container.get("securityContext", {})
        options = {"cdi_devices": self.claims.cdi_devices(pod.obj, pod.names, container),
                   "privileged": bool(security.get("privileged")),
                   "capabilities": security.get("capabilities", {}).get("add", [])}
        paths = {volume["name"]: volume["hostPath"]["path"] for volume in pod.obj["spec"].get("volumes", [])
                 if "hostPath" in volume}
        mounts = [(paths[mount["name"]], mount["mountPath"]) for mount in container.get("volumeMounts", [])]
        if mounts:
            options["mounts"] = mounts
        if pod.restarts.get(name):
            options["attempt"] = pod.restarts[name]
        if container.get("command"):
            options["command"] = container["command"] + container.get("args", [])
        try:
            made = self._timed(pod, "create_container", lambda: self._cri(
                lambda: self.cri.create_container(pod.sandbox, pod.config, name, **options)))
        except KubeletError as error:
            # A runtime that was killed in the middle may have the container, and its name with it.
            pod.restarts[name] = pod.restarts.get(name, 0) + 1
            pod.event("Failed", f"Error: {error}")
            raise
        try:
            self._cri(lambda: self.cri.start_container(made))
        except KubeletError as error:
            pod.event("Failed", f"Error: {error}")
            self._cri(lambda: self.cri.remove_container(made))
            raise
        pod.containers[name] = made

    def _drop_sandbox(self, pod):
        """Stop and remove what is left of a sandbox before a new one is made."""
        if pod.sandbox is None:
            return
        self._cri(lambda: self.cri.stop_sandbox(pod.sandbox))
        self._remove(pod)
        pod.attempt += 1

    def recreate_sandbox(self, pod, deadline=60):
        """The sandbox died: a new one comes without a new Prepare."""
        self._drop_sandbox(pod)
        pod.phase = "Pending"
        self._retry(pod, self.sync_pod, deadline, "did not come back")

    def exec(self, pod, command, container=None):
        """(status, stdout, stderr) of a command in a container of the pod."""
        name = container or next(iter(pod.containers))
        return self._cri(lambda: self.cri.exec_sync(pod.containers[name], command))

    def kill_pod(self, pod, grace=0):
        """Containers and sandbox stopped, nothing removed, nothing unprepared."""
        for made in pod.containers.values():
            self._cri(lambda made=made: self.cri.stop_container(made, grace))
        if pod.sandbox is not None:
            self._timed(pod, "stop_sandbox",
                        lambda: self._cri(lambda: self.cri.stop_sandbox(pod.sandbox)))

    def stop_pod(self, pod, deadline=60, remove_first=False):
        """Terminate: stop, unprepare, remove, then the control plane deallocates.

        remove_first takes the sandbox away before Unprepare, as garbage collection may."""
        self.kill_pod(pod)
        if remove_first:
            self._remove(pod)

        def unprepare(pod):
            try:
                self._timed(pod, "unprepare", lambda: self.claims.unprepare(pod.obj, pod.names))
            except KubeletError as error:
                pod.event("FailedUnprepareDynamicResources", str(error))
                raise
        self._retry(pod, unprepare, deadline, "was not unprepared")
        pod.unprepared = True
        self._remove(pod)
        self.forget_pod(pod)

    def _remove(self, pod):
        """Containers before their sandbox, as the kubelet's garbage collection has it: containerd, asked to remove
        a sandbox with its containers, locks up for good when an NRI plugin registers at that moment."""
        pod.containers.clear()
        if pod.sandbox is None:
            return
        for item in self._cri(self.cri.list_containers):
            if item.pod_sandbox_id == pod.sandbox:
                self._cri(lambda item=item: self.cri.remove_container(item.id))
        self._cri(lambda: self.cri.remove_sandbox(pod.sandbox))
        pod.sandbox = None

    def forget_pod(self, pod):
        """The pod leaves the API server, its claims are deallocated."""
        try:
            self.api.call("DELETE", self.api.path("pods", pod.namespace, pod.name))
        except StatusError as error:
            if error.code != 404:
                raise
        self.allocator.release(pod.obj)
        pod.phase = "Succeeded"
        with self.lock:
            self.pods.pop(pod.uid, None)

    def resources_status(self, pod):
        """containerStatuses[].allocatedResourcesStatus of the pod, from the health streams."""
        found = {}
        for entry, name in pod.names.items():
            info = self.claims.infos.get((pod.namespace, name))
            for device in info.devices if info else []:
                state = self.plugins.health.of(device["driver"], device["pool"], device["device"])
                found.setdefault(f"claim:{entry}", []).append((device["device"], state))
        return found
