# SPDX-License-Identifier: Apache-2.0
"""What the tests of tests/vm share: modules, the machine's NICs, and netdevsim.

A test that uses the cluster of tests/node has the corner's network namespace as its "host": a NIC of the machine is moved there first
(lend), and what is made by writing to sysfs is made by a process of the corner (cluster.corner.run)."""

import contextlib
import glob
import os
import subprocess


def run(*command, check=True):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=check).stdout


def modprobe(*names):
    """There is no udev in the machine: nothing loads by itself."""
    run("modprobe", "-a", *names)


def nic(number):
    """The netdev of the machine's NIC of that number (machine.sh): 1 and 2 are SR-IOV, 3 is virtio."""
    for path in glob.glob("/sys/class/net/*/address"):
        with open(path, encoding="ascii") as file:
            if file.read().strip() == f"52:54:00:00:00:0{number}" and not os.path.exists(os.path.dirname(path) + "/device/physfn"):
                return path.split("/")[4]
    raise LookupError(f"the machine has no NIC {number}: is its driver loaded?")


@contextlib.contextmanager
def lend(cluster, name):
    """A NIC of the machine in the corner's namespace, and back at the end (the corner's end would bring it back, too)."""
    run("ip", "link", "set", name, "netns", str(cluster.corner.init))
    try:
        yield name
    finally:
        run("nsenter", f"--net=/proc/{cluster.corner.init}/ns/net", "ip", "link", "set", name, "netns", "1", check=False)
