#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install-deps.sh - install what building and testing dranetd needs on a bare Debian 12.
#
# Debian's own packages and nothing else. Prints what is missing before it installs it, and asks the archive for nothing when all is
# there. --list prints the whole list and changes nothing; --build installs what building the daemon alone needs.
set -euo pipefail

build=(
	gcc libc6-dev cmake ninja-build pkg-config binutils
	libuv1-dev libh2o-dev libssl-dev libnghttp2-dev libcurl4-openssl-dev # wires
	libprotobuf-c-dev protobuf-c-compiler protobuf-compiler              # messages
	libnl-3-dev libnl-genl-3-dev libibverbs-dev                          # kernel
	libjansson-dev libyaml-dev libsystemd-dev
)
check=(
	clang clang-format clang-tidy libclang-rt-14-dev llvm-14 # the second compiler, libFuzzer, a symboliser for its reports
	libcmocka-dev
)
node=( # the one-node stand-in of tests/node and the demo
	python3 python3-grpcio python3-protobuf python3-yaml python3-h2 openssl curl
	netbase # /etc/protocols, by which ip(8) knows the names of protocols
	runc busybox-static iproute2 ethtool procps bpftool
	dnsmasq-base isc-dhcp-server # the second for leases of seconds, which dnsmasq refuses to give
	nodejs npm # @grpc/grpc-js is the second voice among the gRPC clients
)
machine=( # the emulated machine of tests/vm: what builds a kernel's modules; the machine itself is unpacked beside the system
	make xz-utils libelf1 util-linux
)
packages=("${build[@]}" "${check[@]}" "${node[@]}" "${machine[@]}")
if [ "${1:-}" = --build ]; then
	packages=("${build[@]}")
fi

if [ "${1:-}" = --list ]; then
	printf '%s\n' "${packages[@]}"
	exit 0
fi

# npm comes with nodejs itself where that is not Debian's, and Debian's npm then conflicts with it.
present() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2> /dev/null)" = installed ] || { [ "$1" = npm ] && command -v npm > /dev/null; }
}

missing=()
for package in "${packages[@]}"; do
	present "$package" || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
	echo "install-deps.sh: all ${#packages[@]} packages are there, nothing to install"
	exit 0
fi
echo "install-deps.sh: installing ${#missing[@]} of ${#packages[@]} packages from Debian: ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
	echo "install-deps.sh: installing needs root" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0)
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" > /dev/null
echo "install-deps.sh: installed"
