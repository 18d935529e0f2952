#!/usr/bin/python3
"""The joints the driver's promises rest on, tried on a real containerd.

Each check is one fact about the runtime, not about the driver: if a newer runtime
breaks one, this says which promise to look at.  Prints PASS or FAIL and the name
of each check, then a closing line; the exit status is 0 if all passed.
"""
import json
import os
import subprocess
import sys
import threading
import time
import traceback

from runtime.corner import Corner
from runtime.cri import Cri, CriError
from runtime.nri import Plugin, Refusal

CRI_SOCKET = "/run/containerd/containerd.sock"
NRI_SOCKET = "/var/run/nri/nri.sock"
KIND = "dra.net/claim"
MARKER = "/run/dranetd/attached/marker"
UNRESOLVABLE = "unresolvable CDI devices"

# Holds a directory with the gate open as descriptor 901, and /dev/null as 900.
HOLDER = """
import os, stat, time
os.makedirs("/run/gate", exist_ok=True)
if not os.path.exists("/run/gate/gate"):
    os.mknod("/run/gate/gate", stat.S_IFCHR, 0)
os.dup2(os.open("/dev/null", os.O_RDWR), 900)
os.dup2(os.open("/run/gate", os.O_PATH | os.O_DIRECTORY), 901)
os.dup2(os.open("/dev", os.O_PATH | os.O_DIRECTORY), 902)
print("held", flush=True)
time.sleep(100000)
"""


class Joints:
    def __init__(self, corner):
        self.corner = corner
        self.cri = Cri(corner.path(CRI_SOCKET))
        self.passed = self.failed = self.made = 0
        self.config = self.cri.sandbox_config("joints")
        self.sandbox = self.cri.run_sandbox(self.config)

    def check(self, name, ok, seen=""):
        self.passed += bool(ok)
        self.failed += not ok
        print(f"{'PASS' if ok else 'FAIL'} {name}" + (f" [{seen}]" if seen != "" and not ok else ""), flush=True)

    def plugin(self, handlers=None, **options):
        return Plugin(self.corner.path(NRI_SOCKET), handlers=handlers, **options)

    def create(self, *devices, **options):
        """(id, "") of a new container with these claims, or (None, why it was refused)."""
        self.made += 1
        try:
            return self.cri.create_container(options.pop("sandbox", self.sandbox), options.pop("config", self.config),
                                             f"c{self.made}", cdi_devices=[f"{KIND}={d}" for d in devices], **options), ""
        except CriError as e:
            return None, f"{e.code} {e}"

    def spec(self, device, edits, version="0.5.0"):
        return json.dumps({"cdiVersion": version, "kind": KIND,
                           "devices": [{"name": device, "containerEdits": edits}]})

    def write_spec(self, device, edits, version="0.5.0"):
        self.put(f"dra.net-{device}", self.spec(device, edits, version))

    def put(self, name, text):
        """Write a file of that name, or remove it (None).  The runtime hears of it by
        inotify, a moment later: wait until it knows a file written after this one."""
        if text is None:
            self.corner.remove(f"/var/run/cdi/{name}.json")
        else:
            self.corner.write(f"/var/run/cdi/{name}.json", text)
        self.made += 1
        later = f"later{self.made}"
        self.corner.write(f"/var/run/cdi/{later}.json", self.spec(later, {"env": ["JOINT=later"]}))
        self.corner.wait(lambda: self.create(later)[0], "the runtime to see a CDI file", 5)
        self.corner.remove(f"/var/run/cdi/{later}.json")

    def hold(self):
        holder = self.corner.popen(["/usr/bin/python3", "-c", HOLDER], stdout=subprocess.PIPE, text=True)
        if holder.stdout.readline() != "held\n":
            raise RuntimeError("the holder of the gate did not start")
        return holder, holder.inner_pid()

    # a: a CDI id resolves exactly while its file is there
    def absent_then_present(self):
        self.check("a CDI id without a spec file: CreateContainer refused", UNRESOLVABLE in self.create("absent")[1])
        self.write_spec("absent", {"env": ["JOINT=a"]})
        container, why = self.create("absent")
        self.check("its file appears: the same call works", container, why)
        self.put("dra.net-absent", None)
        self.check("its file is gone: refused again", UNRESOLVABLE in self.create("absent")[1])

    # b: which comes first, CDI or the hook
    def cdi_before_hook(self):
        def write(_pod, _container):
            self.corner.write("/var/run/cdi/order.json", self.spec("order", {"env": ["JOINT=b"]}))
        with self.plugin({"CreateContainer": write}) as plugin:
            container, why = self.create("order")
            called = [c.name for c in plugin.calls if c.name == "CreateContainer"]
        self.check("CDI is resolved before the CreateContainer hook: a file written in it comes too late",
                   container is None and UNRESOLVABLE in why and not called, f"{why} {called}")

    # c: hooks answered late or with an error
    def late_hook(self):
        late = {"by": 1.0}

        def hook(_pod, _container):
            if late["by"] is None:
                raise Refusal("dranetd: claim not ready", 9)
            if late["by"] == "never":
                release.wait(30)
            time.sleep(late["by"] if isinstance(late["by"], float) else 0)
        release = threading.Event()
        with self.plugin({"CreateContainer": hook}) as plugin:
            begun = time.monotonic()
            container, why = self.create()
            self.check("a hook that takes 1 s of 2 s: waited for", container and time.monotonic() - begun >= 1.0, why)
            self.check("and the plugin stays", not plugin.closed.is_set())
            late["by"] = None
            container, why = self.create()
            self.check("a hook answered with an error: refused with its text",
                       container is None and "dranetd: claim not ready" in why, why)
            self.check("and the plugin is told that the container is gone", plugin.wait_call("RemoveContainer"))
            late["by"] = "never"
            container, why = self.create()
            self.check("a hook never answered: the container is created all the same (fail-open)", container, why)
            self.check("and the plugin is dropped", plugin.closed.wait(10))
            release.set()
            seen = len(plugin.calls)
            container, why = self.create()
            self.check("without a plugin: created, nobody asked", container and len(plugin.calls) == seen, why)

    # d: a claim whose device node hangs on a live process
    @staticmethod
    def gate(pid):
        """A char device 0:0 is the one the CDI library looks at each time: it takes a
        major of 0 for "not known yet".  The second node of the same path replaces the
        first in the container's specification."""
        return {"deviceNodes": [
            {"path": "/dev/null", "hostPath": f"/proc/{pid}/fd/901/gate", "permissions": "r"},
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0}]}

    def liveness_gate(self):
        holder, pid = self.hold()
        self.write_spec("gate", self.gate(pid))
        self.write_spec("gate2", self.gate(pid))
        container, why = self.create("gate")
        self.check("gate open: created", container, why)
        self.cri.start_container(container)
        self.look_inside(container, "gate open")
        self.check("two gated claims in one container", *self.create("gate", "gate2"))
        user, why = self.create("gate", run_as_user=1000)
        self.cri.start_container(user)
        self.look_inside(user, "as another user")
        early, _ = self.create("gate")
        holder.kill()
        holder.wait()
        for again in ("", " again", " and again"):
            container, why = self.create("gate")
            self.check(f"holder killed: refused{again}", container is None and f"/proc/{pid}/fd/901/gate" in why, why)
        self.write_spec("beside", {"env": ["JOINT=d"]})
        self.check("a closed gate hurts no other claim", *self.create("beside"))
        self.cri.start_container(early)
        self.check("a container created before starts after the holder's death",
                   self.cri.container_status(early).status.state == 1)
        holder, pid = self.hold()
        self.write_spec("gate", self.gate(pid))
        self.check("a new holder and a rewritten file: created", *self.create("gate"))
        self.why_this_gate(pid, holder)

    def why_this_gate(self, pid, holder):
        def node(descriptor):
            return {"deviceNodes": [{"path": "/dev/null", "hostPath": f"/proc/{pid}/fd/{descriptor}"}]}
        self.write_spec("link", node("900"))
        _, why = self.create("link")
        self.check("the descriptor itself is a symlink: not a device node", "not a device node" in why, why)
        self.write_spec("null", node("902/null"))
        self.check("a node with a major is accepted once", *self.create("null"))
        holder.kill()
        holder.wait()
        self.check("and its numbers outlive the holder: no gate", *self.create("null"))

    def look_inside(self, container, when, nodes=1):
        status, out, err = self.cri.exec_sync(container, ["stat", "-c", "%F %t:%T %a %u:%g", "/dev/null"])
        self.check(f"/dev/null is the usual one, {when}",
                   (status, out.strip()) == (0, "character special file 1:3 666 0:0"), out + err)
        status, out, err = self.cri.exec_sync(container, ["sh", "-c", "echo x > /dev/null && cat /dev/null"])
        self.check(f"and can be written and read, {when}", (status, out, err) == (0, "", ""), out + err)
        devices = [d["path"] for d in self.cri.container_spec(container)["linux"].get("devices", [])]
        self.check(f"and is named once in the specification, {when}", devices.count("/dev/null") == nodes, devices)

    # g: a mount whose source is there only while the devices are in the pod
    def start(self, container):
        """Why the runtime would not start it, "" if it did."""
        try:
            self.cri.start_container(container)
            return ""
        except CriError as e:
            return f"{e.code} {e}"

    def marker_mount(self):
        config = self.cri.sandbox_config("marker", privileged=True)
        sandbox = self.cri.run_sandbox(config)
        mount = {"mounts": [{"hostPath": MARKER, "containerPath": "/dev/dranet/marker",
                             "options": ["bind", "ro", "nosuid", "nodev", "noexec"]}]}
        holder, pid = self.hold()
        self.write_spec("marker", mount)
        self.write_spec("pending", {**self.gate(pid), **mount})
        for claim in ("marker", "pending"):
            for what, options in (("an ordinary container", {}), ("a read-only root", {"readonly_rootfs": True}),
                                  ("another user", {"run_as_user": 1000}),
                                  ("a privileged one", {"privileged": True, "sandbox": sandbox, "config": config})):
                refused = self.without_marker(claim, what, options)
                self.with_marker(claim, what, options)
        print(f"note refused with: {refused}")
        holder.kill()
        holder.wait()
        container, why = self.create("pending")
        self.check("pending spec, holder killed: refused", container is None and f"/proc/{pid}/fd/901/gate" in why, why)

    def without_marker(self, claim, what, options):
        container, why = self.create(claim, **options)
        self.check(f"no marker, {claim} spec, {what}: created all the same", container, why)
        refused = self.start(container)
        self.check(f"but not started, {what}", MARKER in refused, refused or "it started")
        self.check("nor has it run", self.cri.container_status(container).status.state != 1)
        self.cri.remove_container(container)
        return refused

    def with_marker(self, claim, what, options):
        container, why = self.create(claim, **options)
        self.corner.write(MARKER, "")
        refused = self.start(container)
        self.check(f"marker made after the container: started, {what}", refused == "", why + refused)
        self.look_inside(container, f"{claim} spec, {what}", nodes=1 if claim == "pending" or "privileged" in options else 0)
        status, out, err = self.cri.exec_sync(
            container, ["sh", "-c", "stat -c '%F %s' /dev/dranet/marker; : > /dev/dranet/marker"])
        self.check(f"what is mounted is the empty marker, read-only, {what}",
                   status != 0 and out == "regular empty file 0\n" and "Read-only" in err, out + err)
        self.corner.remove(MARKER)
        self.check("the marker's end does not end it", self.cri.container_status(container).status.state == 1)
        self.cri.stop_container(container)
        self.cri.remove_container(container)

    def versions_and_edits(self):
        name = "7a3f3c0e-aaaa-bbbb-cccc-0123456789ab"
        plain = {"deviceNodes": [{"path": "/dev/null", "hostPath": "/dev/zero"}]}
        for version, wanted in (("0.4.0", False), ("0.5.0", True), ("0.6.0", True), ("0.7.0", True),
                                ("0.8.0", True), ("9.9.9", False)):
            self.write_spec(name, plain, version)
            container, why = self.create(name)
            self.check(f"cdiVersion {version}: {'accepted' if wanted else 'refused'}", bool(container) == wanted, why)
        for what, edits, wanted in (
                ("no edits", {}, False), ("an empty list", {"env": []}, False),
                ("one variable", {"env": ["JOINT=d"]}, True),
                ("the /dev/null it has anyway", {"deviceNodes": [{"path": "/dev/null"}]}, True)):
            self.write_spec("edits", edits)
            container, why = self.create("edits")
            self.check(f"a device with {what}: {'accepted' if wanted else 'refused'}", bool(container) == wanted, why)
        self.put("broken", "{")
        self.check("a broken file beside hurts no other", *self.create("edits"))
        self.put("twice", self.spec("edits", {"env": ["JOINT=twice"]}))
        self.check("one name in two files: refused", UNRESOLVABLE in self.create("edits")[1])
        for name in ("broken", "twice"):
            self.put(name, None)

    # e: a pod's network namespace held open over its end
    def pinned_netns(self):
        held, at_stop = {}, []

        def network(pod):
            return next((n.path for n in pod.linux.namespaces if n.type == "network"), None)

        def run(pod, _container):
            held[pod.id] = os.open(self.corner.path(network(pod)), os.O_RDONLY | os.O_CLOEXEC)

        def stop(pod, _container):
            at_stop.append(os.path.exists(self.corner.path(network(pod))))
        with self.plugin({"RunPodSandbox": run, "StopPodSandbox": stop}) as plugin:
            sandbox = self.cri.run_sandbox(self.cri.sandbox_config("pinned"))
            path = self.cri.sandbox_netns(sandbox)
            self.corner.run(["ip", "link", "add", "joint0", "type", "ifb"])
            self.corner.run(["ip", "link", "set", "joint0", "netns", os.path.basename(path)])
            self.cri.stop_sandbox(sandbox)
            self.check("StopPodSandbox works while the netns is held", True)
            self.check("the hook found the netns still there", at_stop and at_stop[0])
            self.check("the path is gone afterwards", not os.path.exists(self.corner.path(path)))
            self.cri.remove_sandbox(sandbox)
            self.check("RemovePodSandbox works while the netns is held", True)
            fd = held[sandbox]
            links = subprocess.run(["nsenter", f"--net=/proc/self/fd/{fd}", "ip", "-br", "link"], pass_fds=[fd],
                                   stdout=subprocess.PIPE, text=True, check=True).stdout
            self.check("the held netns still has its NIC", "joint0" in links, links)
            os.close(fd)
            self.check("no handler failed", not plugin.faults, plugin.faults)

    # f: what the runtime tells a plugin
    def told(self):
        host = self.cri.run_sandbox(self.cri.sandbox_config("joints-host", host_network=True))
        with self.plugin() as plugin:
            told = plugin.configuration
            self.check("Configure names runtime and timeouts", told.runtime_name == "containerd" and told.runtime_version
                       and (told.registration_timeout, told.request_timeout) == (5000, 2000), told)
            sandbox = self.cri.run_sandbox(self.cri.sandbox_config("told"))
            self.cri.stop_sandbox(sandbox)
            self.cri.remove_sandbox(sandbox)
            plugin.wait_call("RemovePodSandbox")
            via = {c.name: c.via for c in plugin.calls}
            self.check("pod events come as StateChange or as calls of their own",
                       all(via.get(n) in ("StateChange", n) for n in ("RunPodSandbox", "StopPodSandbox", "RemovePodSandbox")), via)
            print(f"note containerd {told.runtime_version}, NRI {told.NRI_version or '(not told)'}, pod events via {via}")
        with self.plugin() as plugin:
            self.synchronized(plugin, host, "after a reconnect")
        self.cri.channel.close()
        self.corner.stop_containerd()
        self.corner.start_containerd()
        self.cri = Cri(self.corner.path(CRI_SOCKET))
        with self.plugin() as plugin:
            self.synchronized(plugin, host, "after a restart of the runtime")
            self.cri.stop_sandbox(host)
            self.cri.remove_sandbox(host)
            self.create()
            plugin.wait_call("CreateContainer")
            names = {c.name for c in plugin.calls if c.pod.id == host}
            print(f"note events for a pod of before the restart: {sorted(names) or 'none'}")

    def synchronized(self, plugin, host, when):
        pods = {p.id: p for p in plugin.pods}
        network = [n.path for n in pods[self.sandbox].linux.namespaces if n.type == "network"]
        self.check(f"Synchronize lists the pod with its netns, {when}", network == [self.cri.sandbox_netns(self.sandbox)], network)
        self.check(f"and a pod of the host's network without one, {when}",
                   host in pods and not [n for n in pods[host].linux.namespaces if n.type == "network"])


def main():
    with Corner() as corner:
        joints = Joints(corner)
        try:
            for part in (joints.absent_then_present, joints.cdi_before_hook, joints.late_hook, joints.liveness_gate,
                         joints.marker_mount, joints.versions_and_edits, joints.pinned_netns, joints.told):
                try:
                    part()
                except Exception:
                    joints.check(f"{part.__name__} ran to its end", False, traceback.format_exc())
        finally:
            if joints.failed:
                print(corner.containerd_log()[-4000:], file=sys.stderr)
            joints.cri.channel.close()
    print(f"joints: {joints.passed} passed, {joints.failed} failed")
    return 1 if joints.failed else 0


if __name__ == "__main__":
    sys.exit(main())
