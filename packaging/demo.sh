#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# demo.sh - see a pod get a NIC and the host get it back, on a bare Debian 12, as root:
#
#   sudo packaging/demo.sh
#
# It installs what building needs (packaging/install-deps.sh, which names it), builds dranetd into build/release, unpacks a containerd and
# CNI plugins of a newer Debian suite into /var/cache/dranetd-test (installing neither), and runs everything in namespaces of its own: the
# machine's network, containers and files are not touched, and nothing is left running.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then
	echo "demo.sh: namespaces, mounts and a container runtime need root: sudo packaging/demo.sh" >&2
	exit 1
fi

echo "==== what it needs"
packaging/install-deps.sh
echo "demo.sh: containerd and the CNI plugins are unpacked, not installed: $(tests/node/runtime/fetch.sh)"

echo "==== building dranetd into build/release"
mkdir -p build
{
	cmake --preset release
	cmake --build --preset release -j "$(nproc)" --target dranetd
} > build/demo-build.log 2>&1 || {
	cat build/demo-build.log
	exit 1
}
ls -l build/release/dranetd

DRANETD=$PWD/build/release/dranetd exec /usr/bin/python3 packaging/demo.py
