"""A client of the container runtime: what a kubelet asks of it, call by call."""
import json
import time
import uuid

import grpc

from runtime.corner import BUSYBOX
from runtime.messages import load

pb = load("cri.proto")


class CriError(Exception):
    """What the runtime refused: code is the gRPC status name, str() its message."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


class Cri:
    """socket is the runtime's, as this process opens it."""

    def __init__(self, socket, timeout=60):
        self.channel = grpc.insecure_channel("unix:" + socket)
        self.timeout = timeout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    def call(self, method, **fields):
        request, response = getattr(pb, method + "Request"), getattr(pb, method + "Response")
        stub = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}",
                                        request.SerializeToString, response.FromString)
        try:
            return stub(request(**fields), timeout=self.timeout, wait_for_ready=True)
        except grpc.RpcError as e:
            raise CriError(e.code().name, e.details()) from None

    def version(self):
        return self.call("Version")

    @staticmethod
    def sandbox_config(name, namespace="default", uid=None, host_network=False,
                       annotations=None, labels=None, attempt=0, privileged=False):
        """A pod's configuration with the labels a kubelet gives it."""
        uid = uid or str(uuid.uuid4())
        network = 2 if host_network else 0
        return pb.PodSandboxConfig(
            metadata=pb.PodSandboxMetadata(name=name, uid=uid, namespace=namespace, attempt=attempt),
            hostname="" if host_network else name, log_directory=f"/run/pods/{namespace}_{name}_{uid}",
            labels={"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace,
                    "io.kubernetes.pod.uid": uid, **(labels or {})},
            annotations=annotations or {},
            linux=pb.LinuxPodSandboxConfig(security_context=pb.LinuxSandboxSecurityContext(
                privileged=privileged, namespace_options=pb.NamespaceOption(network=network, pid=1))))

    def run_sandbox(self, config):
        return self.call("RunPodSandbox", config=config).pod_sandbox_id

    def stop_sandbox(self, sandbox):
        self.call("StopPodSandbox", pod_sandbox_id=sandbox)

    def remove_sandbox(self, sandbox):
        self.call("RemovePodSandbox", pod_sandbox_id=sandbox)

    def sandbox_status(self, sandbox, verbose=False):
        return self.call("PodSandboxStatus", pod_sandbox_id=sandbox, verbose=verbose)

    def sandbox_netns(self, sandbox):
        """Its network namespace's path in the corner."""
        info = json.loads(self.sandbox_status(sandbox, verbose=True).info["info"])
        return next(n["path"] for n in info["runtimeSpec"]["linux"]["namespaces"] if n["type"] == "network")

    def list_sandboxes(self):
        return list(self.call("ListPodSandbox").items)

    def create_container(self, sandbox, config, name, command=("sleep", "2147483647"), cdi_devices=(),
                         image=BUSYBOX, privileged=False, capabilities=(), run_as_user=None, attempt=0,
                         readonly_rootfs=False, mounts=()):
        """Its id; CriError if the runtime refuses, as for a CDI id it cannot resolve."""
        return self.call("CreateContainer", pod_sandbox_id=sandbox, sandbox_config=config, config=pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name, attempt=attempt), image=pb.ImageSpec(image=image),
            command=list(command), log_path=f"{name}-{attempt}.log",
            labels={**config.labels, "io.kubernetes.container.name": name},
            mounts=[pb.Mount(container_path=inside, host_path=outside) for outside, inside in mounts],
            linux=pb.LinuxContainerConfig(security_context=pb.LinuxContainerSecurityContext(
                privileged=privileged, readonly_rootfs=readonly_rootfs,
                run_as_user=None if run_as_user is None else pb.Int64Value(value=run_as_user),
                capabilities=pb.Capability(add_capabilities=list(capabilities)),
                namespace_options=pb.NamespaceOption(pid=1))),
            CDI_devices=[pb.CDIDevice(name=d) for d in cdi_devices])).container_id

    def start_container(self, container):
        self.call("StartContainer", container_id=container)

    def stop_container(self, container, timeout=0):
        self.call("StopContainer", container_id=container, timeout=timeout)

    def remove_container(self, container):
        self.call("RemoveContainer", container_id=container)

    def container_status(self, container, verbose=False):
        return self.call("ContainerStatus", container_id=container, verbose=verbose)

    def container_spec(self, container):
        """The OCI runtime specification it was made from."""
        return json.loads(self.container_status(container, verbose=True).info["info"])["runtimeSpec"]

    def list_containers(self):
        return list(self.call("ListContainers").containers)

    def exec_sync(self, container, command, timeout=20):
        """(exit status, stdout, stderr) of a command run in the container."""
        done = self.call("ExecSync", container_id=container, cmd=list(command), timeout=timeout)
        return done.exit_code, done.stdout.decode(), done.stderr.decode()

    def wait_exit(self, container, timeout=20):
        """Its exit status, once it has ended by itself."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.container_status(container).status
            if status.state == 2:
                return status.exit_code
            time.sleep(0.02)
        raise TimeoutError(f"container {container} still runs after {timeout} s")
