#!/usr/bin/python3
"""A real containerd in a corner of the machine.

The corner has its own mount, network, UTS, IPC, PID and cgroup namespaces.  /run,
/var/lib and /etc are private in it, /proc and /sys are its own, so containerd, the
CNI plugins and the driver use their default paths and nothing of the machine is
touched.  Its network namespace is "the host" of the node: a test makes NICs there.

Three processes hold it together.  The test owns a pipe, the lifeline.  A keeper
outside makes the cgroup and forks the corner's PID 1, which does nothing but reap
orphans until the lifeline closes.  However the test ends, PID 1 then ends, the
kernel kills what is left in the PID namespace, the mounts and NICs go with their
namespaces, and the keeper removes the cgroups.

From a shell: corner.py shell -- COMMAND [ARG...]
"""
import contextlib
import ctypes
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PAUSE = "dranetd.test/pause:1"
BUSYBOX = "dranetd.test/busybox:1"

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC = 2, 4, 8, 0x4000
MNT_DETACH = 2
MS_PRIVATE, MS_SHARED = 1 << 18, 1 << 20
PR_SET_PDEATHSIG = 1

sys.path.insert(0, os.path.dirname(HERE))
libc = ctypes.CDLL(None, use_errno=True)

CONFIG = """\
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
enable_cdi = true
cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{cni}"]
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.nri.v1.nri"]
disable = false
plugin_registration_timeout = "{registration_timeout}"
plugin_request_timeout = "{request_timeout}"
"""

CONFLIST = {
    "cniVersion": "1.0.0", "name": "corner", "plugins": [{
        "type": "bridge", "bridge": "cni0", "isGateway": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]],
                 "routes": [{"dst": "0.0.0.0/0"}]}}]}


def _checked(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _unshare(flags):
    _checked(libc.unshare(flags))


def _mount(source, target, kind=None, flags=0, data=None):
    def text(s):
        return s if s is None else s.encode()
    try:
        _checked(libc.mount(text(source), text(target), text(kind),
                            ctypes.c_ulong(flags), text(data)))
    except OSError as e:
        raise OSError(e.errno, f"mount {kind} on {target}: {e.strerror}") from None


def _cgroup_mounts():
    """(mount point, is cgroup2, mount options) of each hierarchy, v1 or v2."""
    with open("/proc/cgroups") as f:
        known = {line.split()[0] for line in f if not line.startswith("#")}
    found = []
    with open("/proc/self/mountinfo") as f:
        for line in f:
            left, right = line.rstrip("\n").split(" - ", 1)
            kind, _, options = right.split(" ", 2)
            if kind not in ("cgroup", "cgroup2") or not left.split(" ")[4].startswith("/sys/fs/cgroup"):
                continue
            wanted = [o for o in options.split(",") if o in known or o.startswith("name=")]
            found.append((left.split(" ")[4], kind == "cgroup2", ",".join(wanted)))
    return found


def _words(path):
    with open(path) as f:
        return set(f.read().split())


def _switch(cgroup, sign, controllers):
    """Turn controllers on or off for the children of a cgroup2 directory, one by
    one: some may be refused.  Returns those that were switched."""
    done = set()
    for controller in sorted(controllers):
        try:
            with open(os.path.join(cgroup, "cgroup.subtree_control"), "w") as f:
                f.write(sign + controller)
            done.add(controller)
        except OSError as e:
            if sign == "+":
                print(f"corner: no {controller} controller in {cgroup}: {e.strerror}", file=sys.stderr)
    return done


class _Controllers:
    """Where cgroup2 is all there is, the controllers runc sets must reach the corner
    through the root cgroup.  What had to be turned on there is turned off at the end,
    but stays if another corner uses it by then: the kernel refuses.  The lock is held
    until this corner uses what it found."""

    ROOT, WANTED = "/sys/fs/cgroup", {"cpu", "cpuset", "io", "memory", "pids", "hugetlb"}

    def __init__(self, cgroups):
        self.top = next((c["top"] for c in cgroups if c["v2"] and c["at"] == self.ROOT), None)
        self.added = set()

    def __enter__(self):
        if self.top is not None:
            self.lock = os.open(self.ROOT, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self.lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_):
        if self.top is not None:
            fcntl.flock(self.lock, fcntl.LOCK_UN)  # PID 1 has the descriptor too
            os.close(self.lock)

    def root_on(self):
        if self.top is not None:
            control = os.path.join(self.ROOT, "cgroup.subtree_control")
            available = self.WANTED & _words(os.path.join(self.ROOT, "cgroup.controllers"))
            self.added = _switch(self.ROOT, "+", available - _words(control))

    def corner_on(self):
        """Once no process is in the corner's top cgroup any more."""
        if self.top is not None:
            _switch(self.top, "+", self.WANTED & _words(os.path.join(self.top, "cgroup.controllers")))

    def root_off(self):
        _switch(self.ROOT, "-", self.added)


def _make_cgroups(name):
    """The corner's cgroup in every hierarchy.  Its processes join a leaf below it
    in cgroup2, where a cgroup that has controllers for its children has no process."""
    made = []
    for at, is_v2, options in _cgroup_mounts():
        top = os.path.join(at, name)
        os.mkdir(top)
        if "cpuset" in options.split(","):
            # A cpuset of v1 starts empty and then refuses every process.
            for knob in ("cpuset.cpus", "cpuset.mems"):
                with open(os.path.join(at, knob)) as f:
                    value = f.read()
                with open(os.path.join(top, knob), "w") as f:
                    f.write(value)
        if is_v2:
            os.mkdir(os.path.join(top, "init"))
        made.append({"at": at, "v2": is_v2, "options": options, "top": top,
                     "leaf": os.path.join(top, "init") if is_v2 else top})
    return made


def _remove_cgroups(made):
    """A dying process leaves its cgroup a little after it was reaped."""
    deadline = time.monotonic() + 20
    for one in made:
        for directory, _, _ in os.walk(one["top"], topdown=False):
            while True:
                try:
                    os.rmdir(directory)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)


def _join(directory):
    with open(os.path.join(directory, "cgroup.procs"), "w") as f:
        f.write("0")


def _furnish(cgroups, own_network):
    """Run as PID 1: enter the other namespaces and mount what is private."""
    for one in cgroups:
        _join(one["top"])
    _unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | (CLONE_NEWNET if own_network else 0))
    for one in cgroups:
        _join(one["leaf"])
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    # As systemd leaves it: containers may ask for propagation.
    _mount(None, "/", None, MS_REC | MS_SHARED)
    quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC
    _mount("proc", "/proc", "proc", quiet)
    if not own_network:  # sysfs would be the one that is there, and the kernel mounts none twice in a place
        _checked(libc.umount2(b"/sys", MNT_DETACH))
    _mount("sysfs", "/sys", "sysfs", quiet)
    if len(cgroups) == 1 and cgroups[0]["at"] == "/sys/fs/cgroup":
        _mount("cgroup2", "/sys/fs/cgroup", "cgroup2", quiet)
    elif cgroups:
        _mount("tmpfs", "/sys/fs/cgroup", "tmpfs", quiet, "mode=755")
        for one in cgroups:
            os.mkdir(one["at"])
            if one["v2"]:
                _mount("cgroup2", one["at"], "cgroup2", quiet)
            else:
                _mount("cgroup", one["at"], "cgroup", quiet, one["options"])
    try:
        _mount("bpf", "/sys/fs/bpf", "bpf", quiet, "mode=700")
    except OSError as e:
        print(f"corner: no bpf file system: {e}", file=sys.stderr)
    _mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    # Directories the machine may lack cannot be mounted over, so /etc and /var/lib
    # get a layer in memory on top and take what is written there.
    for at in ("/etc", "/var/lib"):
        layer = "/run/layers/" + at.strip("/").replace("/", "-")
        os.makedirs(layer + "/upper")
        os.makedirs(layer + "/work")
        _mount("overlay", at, "overlay", 0, f"lowerdir={at},upperdir={layer}/upper,workdir={layer}/work")
    for at in ("/var/lib/containerd", "/var/lib/kubelet", "/var/lib/cni",
               "/etc/cni", "/etc/cdi", "/etc/nri", "/etc/containerd"):
        os.makedirs(at, exist_ok=True)
        _mount("tmpfs", at, "tmpfs", 0, "mode=755")
    for at in ("/run/cdi", "/run/netns", "/run/lock", "/etc/cni/net.d",
               "/var/lib/kubelet/plugins", "/var/lib/kubelet/plugins_registry"):
        os.makedirs(at)
    with open("/proc/sys/kernel/hostname", "w") as f:
        f.write("corner-node")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _init(cgroups, ready, own_network):
    """The corner's PID 1, to the end of the lifeline on stdin."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _furnish(cgroups, own_network)
    os.chdir("/")
    os.write(ready, b"ready")
    os.close(ready)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel then reaps orphans itself
    while os.read(0, 4096):
        pass
    os._exit(0)


def _keep(own_network):
    """The keeper: tell the test of PID 1, wait for it, take the cgroups away."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    cgroups = _make_cgroups(f"dranetd-corner-{os.getpid()}")
    controllers = _Controllers(cgroups)
    status = 1
    try:
        is_ready, ready = os.pipe()
        _unshare(CLONE_NEWPID)
        with controllers:
            controllers.root_on()
            init = os.fork()
            if init == 0:
                try:
                    os.close(is_ready)
                    _init(cgroups, ready, own_network)
                except BaseException as e:  # nothing above would print it
                    print(f"corner: {e!r}", file=sys.stderr)
                os._exit(1)
            os.close(ready)
            os.close(0)
            made = os.read(is_ready, 16) == b"ready"
            if made:
                controllers.corner_on()
        if made:
            print(json.dumps({"init": init, "cgroups": [c["leaf"] for c in cgroups]}), flush=True)
        status = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
    finally:
        with controllers:
            _remove_cgroups(cgroups)
            controllers.root_off()
    sys.exit(status)


class Process(subprocess.Popen):
    """A command in the corner.  nsenter(1) stands between it and us and passes on
    its status but not our signals, so a signal goes to the command itself."""

    def child(self, timeout=10):
        """Its pid as this machine sees it, None once it has ended."""
        deadline = time.monotonic() + timeout
        while self.poll() is None and time.monotonic() < deadline:
            try:
                with open(f"/proc/{self.pid}/comm") as f:
                    name = f.read().strip()
                with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                    children = f.read().split()
            except OSError:
                return None
            if name == "nsenter" and children:
                try:
                    with open(f"/proc/{children[0]}/comm") as f:
                        # Between fork and exec the child is still nsenter.
                        if f.read().strip() != "nsenter":
                            return int(children[0])
                except OSError:
                    pass  # it ended just now: its end is what poll() tells next
            time.sleep(0.002)
        return None

    def inner_pid(self):
        """Its pid as the corner sees it."""
        with open(f"/proc/{self.child()}/status") as f:
            for line in f:
                if line.startswith("NSpid:"):
                    return int(line.split()[-1])
        raise ProcessLookupError("the command has ended")

    def send_signal(self, number):
        pid = self.child()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # as subprocess has it: one that has just ended needs no signal
                os.kill(pid, number)


class Corner:
    """One corner with one containerd.  stop() or the end of this process ends it."""

    def __init__(self, request_timeout="2s", registration_timeout="5s", own_network=True):
        """Without a network of its own the machine's is the node's: only for a machine that is thrown away."""
        self.own_network = own_network
        self.request_timeout = request_timeout
        self.registration_timeout = registration_timeout
        self.keeper = self.containerd = self.init = self.log = None
        self.cgroups = []
        self.runtime = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, containerd=True):
        """Make the corner and, unless told otherwise, start containerd in it."""
        fetched = subprocess.run([os.path.join(HERE, "fetch.sh")], check=True, text=True,
                                 stdout=subprocess.PIPE)
        self.runtime = fetched.stdout.strip()
        self.log = tempfile.TemporaryFile("w+b")
        self.keeper = subprocess.Popen(["/usr/bin/python3", os.path.abspath(__file__), "keep", *([] if self.own_network else ["here"])],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.keeper.stdout.readline()
        if not line:
            raise RuntimeError(f"the corner could not be made: status {self.keeper.wait()}")
        told = json.loads(line)
        self.init, self.cgroups = told["init"], told["cgroups"]
        self.write("/etc/containerd/config.toml", CONFIG.format(
            pause=PAUSE, cni=os.path.join(self.runtime, "usr/lib/cni"),
            request_timeout=self.request_timeout, registration_timeout=self.registration_timeout))
        self.write("/etc/cni/net.d/10-corner.conflist", json.dumps(CONFLIST))
        if containerd:
            self.start_containerd()
            self.import_images()

    def stop(self):
        """End the corner and wait until nothing of it is left."""
        if self.keeper is None:
            return
        self.keeper.stdin.close()
        status = self.keeper.wait(timeout=60)
        self.keeper.stdout.close()
        if self.containerd is not None:
            self.containerd.wait(timeout=10)
        self.keeper = self.containerd = None
        if status != 0:
            raise RuntimeError(f"the corner ended with status {status}")

    def path(self, inside):
        """What of the corner is at that absolute path, as this process opens it."""
        if inside == "/var/run" or inside.startswith("/var/run/"):
            inside = inside[len("/var"):]  # an absolute symlink would lead back to our own /run
        return f"/proc/{self.init}/root{inside}"

    def write(self, inside, text):
        """Put a file there whole: whoever scans the directory never sees half of it."""
        at = self.path(inside)
        os.makedirs(os.path.dirname(at), exist_ok=True)
        with open(at + ".tmp", "w") as f:
            f.write(text)
        os.rename(at + ".tmp", at)

    def remove(self, inside):
        os.unlink(self.path(inside))

    def popen(self, argv, env=None, **options):
        """Start a command in the corner: its namespaces and its cgroup."""
        join = "".join(f"echo 0 > {shlex.quote(c)}/cgroup.procs || exit 125\n" for c in self.cgroups)
        command = ["/bin/sh", "-c", join + 'exec nsenter -t "$0" -m -n -u -i -p -C -- "$@"', str(self.init), *argv]
        environment = {"PATH": f"{self.runtime}/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                       "HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
        return Process(command, env=environment, **options)

    def run(self, argv, check=True, timeout=60, **options):
        """Run a command in the corner to its end; stdout and stderr are kept as text."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                   "stdin": subprocess.DEVNULL, **options}
        with self.popen(argv, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check and done.returncode != 0:
            raise RuntimeError(f"{shlex.join(argv)}: status {done.returncode}: {err or out}")
        return done

    def ip(self, *words):
        return self.run(["ip", *words]).stdout

    def start_containerd(self):
        self.containerd = self.popen(["containerd", "--config", "/etc/containerd/config.toml"],
                                     stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.wait(lambda: self.containerd.poll() is not None or os.path.exists(self.path("/run/nri/nri.sock"))
                  and self.run(["ctr", "version"], check=False).returncode == 0, "containerd to answer")
        if self.containerd.poll() is not None:
            raise RuntimeError(f"containerd ended:\n{self.containerd_log()[-4000:]}")

    def stop_containerd(self, number=signal.SIGTERM):
        """Its containers live on: their shims do not need it."""
        self.containerd.send_signal(number)
        self.containerd.wait(timeout=30)
        if os.path.exists(self.path("/run/nri/nri.sock")):
            self.remove("/run/nri/nri.sock")  # start_containerd waits for a new one

    def containerd_log(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def import_images(self):
        from runtime.images import archive
        for name, data in ((PAUSE, archive(PAUSE, ["/bin/sleep", "2147483647"])),
                           (BUSYBOX, archive(BUSYBOX, ["/bin/sh"]))):
            process = self.popen(["ctr", "-n", "k8s.io", "images", "import", "-"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            out, _ = process.communicate(data, timeout=60)
            if process.returncode != 0:
                raise RuntimeError(f"import of {name}: {out.decode(errors='replace')}")

    @staticmethod
    def wait(condition, what, timeout=30):
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout} s for {what}")
            time.sleep(0.01)


def main(argv):
    if argv[:1] == ["keep"]:
        _keep(own_network=argv[1:] != ["here"])
    if argv[:2] == ["shell", "--"] and argv[2:]:
        with Corner() as corner:
            return corner.popen(argv[2:], env={k: os.environ[k] for k in ("TERM",) if k in os.environ}).wait()
    print("usage: corner.py shell -- COMMAND [ARG...]", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
