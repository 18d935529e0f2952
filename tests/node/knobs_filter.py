#!/usr/bin/python3
"""--check-filter: its table says of this node's devices what a daemon with that filter does, and why;
it runs beside a daemon and without privileges, and a wrong expression is told with its place."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import binary  # noqa: E402
from cluster_cases import Lane, Skip, expect, same  # noqa: E402

LANE = Lane(seed=11)
NOBODY = 65534
TYPE = 'attributes["dra.net/type"].StringValue'
DEFAULT = f'!("dra.net/type" in attributes) || {TYPE}  != "veth"'


def with_devices():
    """The cluster, with a veth, two ifb, a bridge and a default route through a second veth."""
    cluster = LANE.cluster
    net = cluster.net
    if not net.exists("nic0"):
        net.add_nic("nic0", mtu=1480)
        net.add_nic("ifb8", kind="ifb")
        net.add_nic("ifb9", kind="ifb", mtu=9000)
        net.ip("link", "add", "br0", "type", "bridge")
        if not net.json("route", "show", "default"):
            net.add_nic("up0", fabric=["198.51.100.1/24"], addresses=["198.51.100.2/24"])
            net.ip("route", "add", "default", "via", "198.51.100.1")
    return cluster


def check(cluster, expression, program=None, **options):
    """Exit status, rows by device name (verdict, interface, reason), the last line, stderr."""
    done = cluster.net.corner.run([program or binary(), "--check-filter", expression], check=False,
                                  **options)
    rows = {}
    for line in done.stdout.splitlines()[1:-1]:
        match = re.fullmatch(r"(keep|drop|never) +(\S+) +(\S+) +(.*)", line)
        expect(match, f"not a row: {line!r}")
        rows[match.group(2)] = (match.group(1), match.group(3), match.group(4))
    return done.returncode, rows, (done.stdout.splitlines() or [""])[-1], done.stderr


def kept(rows):
    return sorted(name for name, row in rows.items() if row[0] == "keep")


def test_the_table_says_why():
    cluster = with_devices()
    status, rows, summary, _ = check(cluster, f'{TYPE} != "veth"')
    same(status, 0)
    same(rows["nic0"], ("drop", "nic0", f'{TYPE} != "veth"  is false: the value is "veth"'))
    same(rows["ifb8"], ("keep", "ifb8", f'{TYPE} != "veth"  is true: the value is "ifb"'))
    same(rows["br0"], ("never", "br0", "a bridge cannot leave its network namespace"))
    same(rows["lo"], ("never", "lo", "loopback"))
    counts = [sum(row[0] == verdict for row in rows.values()) for verdict in ("keep", "drop", "never")]
    same(summary, f"{len(rows)} devices: {counts[0]} kept, {counts[1]} dropped by the filter,"
                  f" {counts[2]} never offered, whatever the filter says")


def test_the_uplink_is_never_offered():
    cluster = with_devices()
    uplinks = [route["dev"] for route in cluster.net.json("route", "show", "default")]
    rows = check(cluster, "")[1]
    expect(uplinks, "there is no default route")
    for name in uplinks:
        same(rows[name][0], "never", name)
        expect("default route" in rows[name][2], rows[name][2])
    same(rows["nic0"], ("keep", "nic0", "the filter is empty"))


def test_an_error_keeps_the_device():
    cluster = with_devices()
    status, rows, _, _ = check(cluster, 'attributes["dra.net/none"].StringValue == "x"')
    same(status, 0)
    same(rows["ifb8"], ("keep", "ifb8", 'attributes["dra.net/none"].StringValue == "x"'
                                        '  error: no such key: "dra.net/none"'))


def test_a_wrong_expression_is_shown():
    cluster = with_devices()
    status, rows, _, told = check(cluster, 'true && attributes["dra.net/mtu"].Value == 1')
    same((status, rows), (2, {}))
    lines = told.splitlines()
    same(lines[0], "at 1:35: an attribute has StringValue, IntValue, BoolValue and VersionValue,"
                   " and their lists")
    same(lines[1], 'true && attributes["dra.net/mtu"].Value == 1')
    same(lines[2], " " * 34 + "^")


def test_without_privileges():
    cluster = with_devices()
    whole = check(cluster, DEFAULT)
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        program = shutil.copy(binary(), directory)
        os.chmod(program, 0o755)
        command = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        if subprocess.run([*command, program, "--version"], capture_output=True, check=False).returncode:
            raise Skip("no program can be run as another user from here")
        done = cluster.net.corner.run([*command, program, "--check-filter", DEFAULT], check=False)
    same(done.returncode, 0, done.stderr)
    same(done.stdout.splitlines()[-1], whole[2])


def test_a_daemon_with_the_filter_does_the_same():
    cluster = with_devices()
    for expression in (DEFAULT, 'attributes["dra.net/mtu"].IntValue == 9000',
                       'attributes.exists(k, k == "dra.net/ifName") && '
                       'attributes["dra.net/ifName"].StringValue.matches("^nic[0-9]$")'):
        cluster.stop_dranetd()
        cluster.start_dranetd(filter=expression)
        before = cluster.dranetd_pid()
        status, rows, _, told = check(cluster, expression)
        same(status, 0, told)
        wanted = kept(rows)
        expect(wanted and any(row[0] == "drop" for row in rows.values()), f"{expression}: {rows}")
        cluster.wait(lambda: sorted(cluster.published()) == wanted, 10,
                     f"{wanted} to be published, it is {sorted(cluster.published())}")
        same(cluster.dranetd_pid(), before, "the daemon")


if __name__ == "__main__":
    LANE.run(globals(), "node/knobs_filter")
