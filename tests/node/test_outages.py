#!/usr/bin/python3
"""What the driver stands on gives way: the API server, the kubelet, the kernel's notifications, the disk, descriptors."""

import os
import queue
import re
import resource
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import DRIVER, HERE, ROOT  # noqa: E402
from cluster_cases import Lane, expect, refused, same  # noqa: E402
from fault_cases import (Proven, add_nics, check_all_home, check_clean, dumps, halt, leftovers,  # noqa: E402
                         resume, tidy)
from kubelet import PodFailed  # noqa: E402
from kubelet_plugins import KubeletError  # noqa: E402

LANE = Lane(seed=12)
PROXY_PORT = 16443
DISK = "/run/small"


def node(nics=1, *flags):
    """The cluster with the driver run with these flags, the names of the NICs, and what the host has of them."""
    cluster = LANE.cluster
    if cluster.process is None or cluster.process.poll() is not None or cluster.last_flags != flags:
        cluster.stop_dranetd()
        if flags:
            cluster.restart_dranetd(*flags)
        else:
            cluster.last_flags = ()
            cluster.restart_dranetd()
    tidy(cluster)
    names = add_nics(cluster, nics)
    return cluster, names, dumps(cluster, names)


def finish(cluster, pods, before):
    for proven in pods:
        proven.stop()
    check_all_home(cluster, before)
    check_clean(cluster)


def metric(cluster, name):
    text = cluster.corner.run(["curl", "-s", "http://127.0.0.1:9177/metrics"]).stdout
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def set_mtu(cluster, name, mtu):
    cluster.net.ip("link", "set", name, "mtu", str(mtu))


def wait_mtu(cluster, name, mtu, deadline, what):
    begun = time.monotonic()
    cluster.wait(lambda: {"int": mtu} in list(cluster.published().get(name, {"attributes": {}})["attributes"].values()),
                 deadline, what)
    return time.monotonic() - begun


def wipe(cluster):
    """Somebody else deletes our slices, as a kubelet does when it starts."""
    for item in cluster.api.slices(DRIVER):
        cluster.api.call("DELETE", cluster.api.path("resourceslices", None, item["metadata"]["name"]))


class Silence:
    """tcp_proxy.py between the driver and the API server."""

    def __init__(self, cluster):
        self.said = queue.Queue()
        self.process = cluster.corner.popen(
            ["/usr/bin/python3", os.path.join(HERE, "tcp_proxy.py"), str(PROXY_PORT), str(cluster.api.port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        same(self.said.get(timeout=20), "listening")

    def _read(self):
        for line in self.process.stdout:
            self.said.put(line.strip())

    def mode(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        while self.said.get(timeout=20) != f"now {word}":
            pass

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=10)


# ---- API server -----------------------------------------------------------------------------------


def test_retry_after_is_honoured():
    cluster, (nic, *_), _ = node(1)
    pods = []

    def write():
        set_mtu(cluster, nic, 1380)

    def start():
        pods.append(Proven(cluster, "patient", nic).begin())
    for verb, what, cause in (("update", "resourceslices", write), ("watch", "resourceslices", cluster.api.end_watches),
                              ("get", "resourceclaims", start), ("patch", "resourceclaims/status", start)):
        while pods:
            pods.pop().join().stop()
        since = time.monotonic()
        cluster.api.inject("status", code=429, retry_after=2, verb=verb, resource=what, user="dranetd", n=1)
        cause()

        def tries(verb=verb, what=what, since=since):
            return cluster.api.requests("dranetd", verb=verb, resource=what, since=since)
        cluster.wait(lambda tries=tries: len(tries()) >= 2 and tries()[1].code < 300, 20, f"{verb} again after 429: {tries()}")
        first, second = tries()[:2]
        same(first.code, 429)
        expect(1.9 <= second.time - first.time < 8, f"{verb} again after {second.time - first.time:.2f} s of 2")
    finish(cluster, [pods[0].join().check()], {})
    set_mtu(cluster, nic, 1400)


def test_prepare_answers_before_its_deadline():
    """The API server takes its time; the kubelet gets the driver's own words, and what was asked goes on for the retry."""
    cluster, nics, before = node(1)
    proven = Proven(cluster, "hurried", *nics)
    cluster.kubelet.allocator.schedule(proven.pod.obj)
    cluster.api.inject("delay", seconds=5, verb="get", resource="resourceclaims", user="dranetd", n=1)
    patience, cluster.kubelet.claims.call_seconds = cluster.kubelet.claims.call_seconds, 2
    since = time.monotonic()
    try:
        refused(KubeletError, lambda: cluster.kubelet.claims.prepare(proven.pod.obj, proven.pod.names),
                "is still being prepared: try again")
        expect(time.monotonic() - since < 2.2, "answered too late")
        proven.run(deadline=20).check()
    finally:
        cluster.kubelet.claims.call_seconds = patience
    same(len(cluster.api.requests("dranetd", verb="get", resource="resourceclaims", since=since)), 1,
         "the claim was read more than once")
    finish(cluster, [proven], before)


def test_pods_come_and_go_while_the_api_server_is_away():
    cluster, nics, before = node(3)
    stays, goes, comes = (Proven(cluster, name, nic) for name, nic in zip(("stays", "goes", "comes"), nics))
    stays.run().check()
    goes.run().check()
    comes.prepare()
    cluster.api.down()
    try:
        cluster.kill_dranetd()  # and one that starts without it does the same
        cluster.restart_dranetd()
        cluster.kubelet.sync_pod(comes.pod)
        comes.check()
        cluster.kubelet.kill_pod(goes.pod)
        cluster.kubelet.claims.unprepare(goes.pod.obj, goes.pod.names)
        cluster.check_home(nics[1], before[nics[1]])
        cluster.net.add_nic("extra0")
        time.sleep(4)  # a few steps of the backoff
        cluster.check_in_pod(stays.pod, "net0", [stays.address(0)])
    finally:
        cluster.api.up()
    since = time.monotonic()
    cluster.wait_published("extra0", deadline=40)
    cluster.check_status(comes.claims[0], "net0", [comes.address(0)], deadline=40)
    cluster.wait(lambda: cluster.device_status(goes.claims[0]) == {}, 40, "the status of the claim that is given up")
    asked = [item for item in cluster.api.requests("dranetd", since=since)]
    expect(len(asked) < 40, f"{len(asked)} requests to catch up")
    cluster.net.remove_nic("extra0")
    finish(cluster, [stays, goes, comes], before)


def test_connections_that_fall_silent():
    """The peer is there for TCP and says nothing more. A status write finds that out, and takes the watch along, which
    would wait for minutes otherwise."""
    cluster = LANE.cluster
    silence = Silence(cluster)
    try:
        cluster, (nic, *_), before = node(1, f"--api-server=127.0.0.1:{PROXY_PORT}")
        proven = Proven(cluster, "silent", nic).prepare()
        silence.mode("silent")
        begun = time.monotonic()
        wipe(cluster)
        proven.run().check()
        cluster.check_status(proven.claims[0], "net0", [proven.address(0)], deadline=40)
        cluster.wait_published(nic, deadline=40)
        print(f"note a silent connection was left after {time.monotonic() - begun:.1f} s")
        finish(cluster, [proven], before)
    finally:
        silence.close()
        cluster.stop_dranetd()


def test_slow_answers():
    cluster = LANE.cluster
    silence = Silence(cluster)
    try:
        cluster, (nic, *_), before = node(1, f"--api-server=127.0.0.1:{PROXY_PORT}")
        silence.mode("slow")
        wipe(cluster)
        cluster.wait_published(nic, deadline=60)
        proven = Proven(cluster, "slow", nic).run().check()
        finish(cluster, [proven], before)
    finally:
        silence.close()
        cluster.stop_dranetd()


# ---- kubelet --------------------------------------------------------------------------------------


def registered(cluster):
    return [plugin for plugin in cluster.kubelet.plugins.registered(DRIVER) if plugin.connected]


def test_sockets_that_are_taken_away_are_made_again():
    cluster, nics, before = node(1)
    proven = Proven(cluster, "kept", *nics).run().check()
    sockets = (f"{ROOT}/plugins_registry/{DRIVER}-reg.sock", f"{ROOT}/plugins/{DRIVER}/dra.sock")
    for gone in ((sockets[0],), (sockets[1],), sockets):
        old = registered(cluster)
        for path in gone:
            cluster.corner.remove(path)
        cluster.wait(lambda gone=gone: all(os.path.exists(cluster.corner.path(path)) for path in gone), 10,
                     f"{gone} to be made again")
        cluster.wait(lambda old=old: registered(cluster) and (sockets[0] not in gone or registered(cluster) != old), 20,
                     f"to be registered again; {cluster.kubelet.plugins.log[-3:]}")
    finish(cluster, [proven], before)


def test_kubelet_directories_removed_and_made_anew():
    cluster, nics, before = node(1)
    proven = Proven(cluster, "anew", *nics).run().check()
    cluster.kubelet.plugins.stop()
    for directory in ("plugins_registry", "plugins"):
        shutil.rmtree(cluster.corner.path(f"{ROOT}/{directory}"))
    time.sleep(0.3)
    cluster.kubelet.restart()  # makes the registry, wipes the slices
    cluster.wait(lambda: registered(cluster), 40, "to be registered in the new directories")
    cluster.wait_published(*nics, deadline=20)
    finish(cluster, [proven], before)


# ---- kernel ---------------------------------------------------------------------------------------


def test_more_notifications_than_the_socket_holds():
    cluster, (nic, *_), before = node(1)
    overruns = metric(cluster, "dranetd_kernel_overruns_total")
    names = [f"burst{i}" for i in range(40)]
    batch = [f"link add {name} type ifb" for name in names]
    batch += [f"link set {name} mtu {1000 + step}" for step in range(40) for name in names]
    batch += [f"link set {nic} mtu 1357"] + [f"link del {name}" for name in names[:20]]
    halt(cluster)
    try:
        for _ in range(3):  # each change is told of once or more: some thousand notifications
            feed(cluster, batch)
    finally:
        resume(cluster)
    cluster.wait(lambda: metric(cluster, "dranetd_kernel_overruns_total") > overruns, 20, "the kernel to drop notifications")
    wait_mtu(cluster, nic, 1357, 20, "the inventory to be right after the overrun")
    cluster.wait(lambda: set(names[20:]) <= set(cluster.published()) and not set(names[:20]) & set(cluster.published()),
                 20, "what was added and what was removed to be known")
    feed(cluster, [f"link del {name}" for name in names[20:]])
    set_mtu(cluster, nic, 1400)
    cluster.wait(lambda: not set(names) & set(cluster.published()), 20, "the burst to be gone")
    check_all_home(cluster, before)


def feed(cluster, batch):
    with cluster.corner.popen(["ip", "-force", "-batch", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, text=True) as process:
        process.communicate("\n".join(batch) + "\n", timeout=60)


def test_kernel_that_is_busy():
    """Somebody makes and deletes links by the hundred, and every move waits its turn: a hook that cannot wait longer says
    so itself, the runtime never drops the driver for it, and the kubelet's next try finds more done."""
    cluster, nics, before = node(4)
    told = cluster.dranetd_log().count("no connection to the runtime")
    batch = "\n".join(f"link {what} crowd{i}{kind}" for _ in range(2) for what, kind in (("add", " type ifb"), ("del", ""))
                      for i in range(24))
    crowds = [threading.Thread(target=feed, args=(cluster, batch.replace("crowd", f"crowd{part}x").split("\n")))
              for part in range(2)]
    for thread in crowds:
        thread.start()
    proven = Proven(cluster, "busy", *nics).run().check()
    for thread in crowds:
        thread.join()
    same(cluster.dranetd_log().count("no connection to the runtime"), told, "times the runtime dropped the driver")
    finish(cluster, [proven], before)


# ---- disk -----------------------------------------------------------------------------------------


def small_disk(cluster):
    """A state directory of 256 KiB for the driver."""
    cluster.corner.run(["sh", "-c", f"mkdir -p {DISK} && {{ mountpoint -q {DISK} ||"
                        f" mount -t tmpfs -o size=256k,mode=755 tmpfs {DISK}; }}"])
    return f"--state-dir={DISK}/state"


def fill(cluster):
    cluster.corner.run(["sh", "-c", f"cat /dev/zero > {DISK}/filler"], check=False)


def records(cluster):
    return sorted(os.listdir(cluster.corner.path(f"{DISK}/state/claims")))


def half_done(cluster):
    found = [name for name in os.listdir(cluster.corner.path("/run/cdi")) if name.startswith(DRIVER)]
    return found + records(cluster) + os.listdir(cluster.corner.path(f"{DISK}/state/attached"))


def test_disk_full():
    cluster, nics, before = node(2, small_disk(LANE.cluster))
    runs = Proven(cluster, "runs", nics[0]).run().check()
    kept = half_done(cluster)
    fill(cluster)
    wants = Proven(cluster, "wants", nics[1])
    refused(PodFailed, lambda: wants.run(deadline=1), "FailedPrepareDynamicResources", "cannot be written",
            "No space left on device")
    same(sorted(half_done(cluster)), sorted(kept), "a refused Prepare left something")
    same(dumps(cluster, nics[1:])[nics[1]], before[nics[1]])
    # What runs can be stopped, and its NIC comes home, with no room for a single record.
    runs.stop()
    cluster.check_home(nics[0], before[nics[0]])
    same(half_done(cluster), [])
    cluster.corner.remove(f"{DISK}/filler")
    wants.run().check().stop()
    check_all_home(cluster, before)
    same(half_done(cluster), [])


def test_disk_full_between_prepare_and_sandbox():
    cluster, nics, before = node(1, small_disk(LANE.cluster))
    proven = Proven(cluster, "between", *nics).prepare()
    fill(cluster)
    refused(PodFailed, lambda: proven.run(deadline=2), "Failed")
    same(proven.verdicts(), [])
    cluster.corner.remove(f"{DISK}/filler")
    proven.run().check().stop()
    check_all_home(cluster, before)
    same(half_done(cluster), [])


def test_disk_that_takes_no_change():
    """Not even a removal: as after an error of the file system, though the kernel will not remount one with a file open."""
    cluster, nics, before = node(2, small_disk(LANE.cluster))
    claims = f"{DISK}/state/claims"
    runs = Proven(cluster, "runs", nics[0]).run().check()
    cluster.corner.run(["chattr", "+i", claims])
    try:
        wants = Proven(cluster, "wants", nics[1])
        refused(PodFailed, lambda: wants.run(deadline=1), "FailedPrepareDynamicResources", "cannot be written",
                "Operation not permitted")
        cluster.kubelet.kill_pod(runs.pod)
        refused(KubeletError, lambda: cluster.kubelet.claims.unprepare(runs.pod.obj, runs.pod.names),
                "Operation not permitted")
        # It is not forgotten, but its NIC is home.
        cluster.check_home(nics[0], before[nics[0]])
    finally:
        cluster.corner.run(["chattr", "-i", claims])
    runs.stop()
    wants.run().check().stop()
    check_all_home(cluster, before)
    same(half_done(cluster), [])


def test_directory_of_cdi_files_removed():
    cluster, nics, before = node(2)
    runs = Proven(cluster, "runs", nics[0]).run().check()
    cluster.corner.run(["rm", "-rf", "/run/cdi"])
    comes = Proven(cluster, "comes", nics[1]).run(deadline=15).check()
    finish(cluster, [runs, comes], before)


def test_cdi_files_that_cannot_be_written():
    """Refused at once: the runtime makes every pod of the node wait while a hook does."""
    cluster, nics, before = node(1)
    proven = Proven(cluster, "refused", *nics)
    cluster.corner.run(["chattr", "+i", "/run/cdi"])
    try:
        refused(PodFailed, lambda: proven.run(deadline=2), "its CDI spec file cannot be written")
        same(proven.verdicts(), [])
        slowest = max(proven.pod.timing["run_sandbox"])
        expect(slowest < 1, f"RunPodSandbox was held up for {slowest:.2f} s")
    finally:
        cluster.corner.run(["chattr", "-i", "/run/cdi"])
    finish(cluster, [proven.run().check()], before)


def test_start_with_an_unusable_state_directory():
    cluster = LANE.cluster
    small_disk(cluster)
    cluster.stop_dranetd()
    cluster.corner.run(["mount", "-o", "remount,ro", DISK])
    try:
        cluster.start_dranetd(f"--state-dir={DISK}/other", wait=False)
        same(cluster.process.wait(timeout=20), 1, "the exit status")
        expect("Read-only file system" in cluster.dranetd_log()[-2000:], "the reason is not told")
    finally:
        cluster.corner.run(["mount", "-o", "remount,rw", DISK])
        cluster.process = None


def test_record_that_cannot_be_read():
    cluster, nics, before = node(2)
    bad, good = Proven(cluster, "bad", nics[0]).prepare(), Proven(cluster, "good", nics[1]).run().check()
    uid = cluster.api.claim("default", bad.claims[0])["metadata"]["uid"]
    cluster.kill_dranetd()
    cluster.corner.write(f"/run/dranetd/claims/{uid}.json", '{"version": 1, "claim":')
    cluster.restart_dranetd()
    expect(f"{uid}.json.broken" in cluster.dranetd_log(), "the log does not name the record")
    # The kubelet asks for it again before it makes a sandbox, for it too was started anew or has seen the driver go.
    cluster.kubelet.claims.restarted()
    bad.run().check()
    good.check()
    cluster.corner.remove(f"/run/dranetd/claims/{uid}.json.broken")
    finish(cluster, [bad, good], before)


# ---- descriptors ----------------------------------------------------------------------------------


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def knock(cluster):
    """Connections that cannot be accepted, each of which a client would make: none may hang or hold up the loop."""
    for _ in range(10):
        cluster.corner.run(["curl", "-s", "-m", "1", "http://127.0.0.1:9177/healthz"], check=False)


def test_no_descriptors_left():
    cluster, nics, before = node(2)
    runs = Proven(cluster, "runs", nics[0]).run().check()
    wants = Proven(cluster, "wants", nics[1]).prepare()
    pid = cluster.dranetd_pid()
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for spare in (0, 1, 2):
        have = max(int(name) for name in os.listdir(f"/proc/{pid}/fd") if int(name) < 800) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (have + spare, limits[1]))
        wants.begin(deadline=4 if spare < 2 else 60)
        used = cpu_seconds(pid)
        knock(cluster)
        time.sleep(1)
        used = cpu_seconds(pid) - used
        expect(used < 1, f"{used:.2f} s of CPU in a moment with {spare} descriptors to spare")
        expect(cluster.process.poll() is None, "dranetd ended for want of descriptors")
        expect("without" not in wants.verdicts(), "a container ran without its NIC")
        expect(spare or "EMFILE" in cluster.dranetd_log(), "nothing ran out")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        wants.thread.join(60)
    wants.error = None
    wants.run().check()
    # All its peers hang up while it cannot connect to any.
    have = max(int(name) for name in os.listdir(f"/proc/{pid}/fd") if int(name) < 800) + 1
    cluster.corner.stop_containerd()
    cluster.kubelet.plugins.stop()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (have - 12, limits[1]))
    cluster.api.drop_connections()
    cluster.corner.start_containerd()
    cluster.kubelet.restart()
    used = cpu_seconds(pid)
    time.sleep(2)
    used = cpu_seconds(pid) - used
    expect(used < 1, f"{used:.2f} s of CPU in 2 s without peers")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    cluster.kubelet.wait_registered(DRIVER)
    cluster.wait_published(*nics, deadline=40)
    ready(cluster)
    finish(cluster, [runs, wants], before)
    same(leftovers(cluster), [])


def ready(cluster, deadline=40):
    cluster.wait(lambda: cluster.corner.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                             "http://127.0.0.1:9177/readyz"], check=False).stdout == "200", deadline,
                 "dranetd to be ready")


# ---- clock ----------------------------------------------------------------------------------------

CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *offset;
__attribute__((constructor)) static void begin(void)
{
	int fd = open(getenv("CLOCK_OFFSET"), O_RDONLY | O_CLOEXEC);
	void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	offset = at == MAP_FAILED ? NULL : at;
}
int clock_gettime(clockid_t clock, struct timespec *now)
{
	int r = (int)syscall(SYS_clock_gettime, clock, now);
	if (r == 0 && offset && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += *offset;
	return r;
}
time_t time(time_t *ret)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return ret ? *ret = now.tv_sec : now.tv_sec;
}
int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return 0;
}
"""


class Clock:
    """The wall clock as dranetd sees it: the machine's is not ours to set."""

    def __init__(self, directory):
        self.library, self.file = os.path.join(directory, "clock.so"), os.path.join(directory, "clock")
        subprocess.run(["cc", "-x", "c", "-O1", "-fPIC", "-shared", "-o", self.library, "-"], input=CLOCK, text=True,
                       check=True)
        with open(self.file, "wb") as file:
            file.write(bytes(4096))
        self.environment = {"LD_PRELOAD": self.library, "CLOCK_OFFSET": self.file,
                            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def jump(self, seconds):
        with open(self.file, "r+b") as file:
            file.write(seconds.to_bytes(8, sys.byteorder, signed=True))


def test_clock_that_jumps():
    """Everything is timed by the monotonic clock: what jumps is what the log and the status say of the time."""
    cluster, clock = LANE.cluster, Clock(LANE.cluster.directory)
    cluster.stop_dranetd()
    cluster.start_dranetd(environment=clock.environment)
    cluster, nics, before = node(2)
    stays = Proven(cluster, "stays", nics[0]).run().check()
    for hours in (6, 0, 30, -3):
        clock.jump(3600 * hours)
        since, used = time.monotonic(), cpu_seconds(cluster.dranetd_pid())
        # A retry that waits is neither due at once nor in hours.
        cluster.api.inject("status", code=503, verb="update", resource="resourceslices", user="dranetd", n=1)
        set_mtu(cluster, nics[1], 1370 + hours)
        wait_mtu(cluster, nics[1], 1370 + hours, 30, f"a change to be published after a jump to {hours} h")
        Proven(cluster, "comes", nics[1]).run().check().stop()
        asked = len(cluster.api.requests("dranetd", since=since))
        expect(asked < 30, f"{asked} requests after a jump to {hours} h")
        used = cpu_seconds(cluster.dranetd_pid()) - used
        expect(used < 1.5, f"{used:.2f} s of CPU after a jump to {hours} h")
        conditions = next(iter(cluster.device_status(stays.claims[0]).values()))["conditions"]
        expect(all(item["status"] == "True" for item in conditions), conditions)
    expect(time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 3600)) in cluster.dranetd_log(), "the clock did not jump")
    set_mtu(cluster, nics[1], 1401)
    finish(cluster, [stays], before)
    cluster.stop_dranetd()


if __name__ == "__main__":
    LANE.run(globals(), "node-outages")
