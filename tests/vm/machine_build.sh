#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# machine_build.sh - what the emulated machine of tests/vm is made of, fetched and built once.
#
# A kernel, its modules, QEMU and the RDMA tools come as Debian packages of the archive this system uses already: its apt sources and one
# newer suite beside them are read into private apt directories, and the packages are unpacked into the cache. Nothing is installed, no
# file of the system's changes. Debian builds neither siw nor netdevsim, so they, and rxe (see own_netns), are built from its kernel's
# source. Prints the directory on stdout, what it does on stderr; a second call finds everything there. Status 77: this cannot be had
# here, and the last line says why. From the environment:
#   DRANETD_CACHE      where to keep it (/var/cache/dranetd-test)
#   DRANETD_VM_SUITES  suites to take the kernel from if the release itself has none, in this order (the release's backports)
#
# In the directory: vmlinux, initramfs, release (the kernel's), and sys: a root of its own that lies over the host's.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
cache=${DRANETD_CACHE:-/var/cache/dranetd-test}/vm
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# 6.1 knows neither netkit nor tcx; the series is the one whose rxe, siw and netdevsim are known to build as they are changed below.
series=6.12
read -ra suites <<< "${DRANETD_VM_SUITES:-$codename-backports}"
packages=(qemu-system-x86 seabios busybox-static kmod zstd iproute2 ethtool
	ibverbs-utils ibverbs-providers rdmacm-utils rdma-core)
modules=(arch/x86/crypto crypto lib net virt/lib fs/{9p,netfs,overlayfs,configfs} drivers/{dca,ptp,i2c/algos,infiniband,vfio}
	drivers/net/{{dummy,geneve,ifb,macvlan,macvtap,net_failover,nlmon,tap,tun,veth,virtio_net,vrf}.ko*,bonding}
	drivers/net/{ipvlan,vxlan,vmxnet3,team,wireguard,netkit*,ethernet/intel})
built=(infiniband/sw/rxe infiniband/sw/siw net/netdevsim)

say() { echo "machine_build.sh: $*" >&2; }
cannot() {
	say "$*"
	exit 77
}

unpack() { dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "${@:2}"; }

# A program of the packages, or the system's own: a package that is installed is not fetched again.
tool() {
	local name=$1 at
	for at in "$dir"/sys/usr/{bin,sbin}/"$name" "$(command -v "$name" || true)" /usr/sbin/"$name"; do
		[ ! -x "$at" ] || [ -d "$at" ] || { echo "$at" && return; }
	done
	say "there is no $name" && return 1
}
kmod_as() { (exec -a "$1" "$(tool kmod)" "${@:2}"); }

# The system's own sources, and those of its stanzas that serve the release itself once more with another suite's name.
sources_with() {
	local suite=$1 to=$2
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2> /dev/null | grep -E '^deb ' > "$to/own.list" || true
	awk -v suite="$suite" -v name="$codename" '{
		for (i = 2; i <= NF; i++) if ($i == name) { $i = suite; print; next }
	}' "$to/own.list" > "$to/other.list"
	awk -v RS= -v ORS='\n\n' -v suite="$suite" -v name="$codename" '
		match($0, /(^|\n)Suites:[^\n]*/) {
			split(substr($0, RSTART, RLENGTH), word, " ")
			print
			if (word[2] == name) { sub(/Suites:[^\n]*/, "Suites: " suite); print }
		}' $(find /etc/apt/sources.list.d -name '*.sources') < /dev/null > "$to/all.sources"
}

# apt with the sources and lists of the private directory $dir/$1.
apt_in() {
	local at=$dir/$1 command=$2
	"$command" -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$at/sources" -o Dir::State::lists="$at/lists" \
		-o Dir::Cache="$at" -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o Acquire::Languages=none "${@:3}"
}
apt_ready() {
	mkdir -p "$dir/$1"/{sources,lists/partial,archives/partial}
	sources_with "$2" "$dir/$1/sources"
	apt_in "$1" apt-get update >&2 || cannot "the archive of Debian packages cannot be reached"
}

# What runs on the host and in the machine, with everything it depends on that the system lacks.
fetch_tools() {
	local deb way
	apt_ready tools "$codename-backports"
	apt_in tools apt-get -t "$codename-backports" -y --no-install-recommends --download-only install "${packages[@]}" >&2 ||
		cannot "not all of ${packages[*]} can be had for $codename"
	mkdir -p "$dir"/sys/usr/{bin,sbin,lib,lib64}
	for way in bin sbin lib lib64; do ln -s "usr/$way" "$dir/sys/$way"; done
	for deb in "$dir"/tools/archives/*.deb; do unpack "$deb" "$dir/sys"; done
}

# The release of the newest kernel of the series that the lists have, e.g. 6.12.9+deb12-amd64.
newest_kernel() {
	apt_in kernel apt-cache pkgnames "linux-image-$series" | sed -n 's/^linux-image-\([0-9.+]*[-+a-z0-9.~]*-amd64\)$/\1/p' |
		grep -vE -- '-(cloud|rt|unsigned)' | sort -V | tail -n 1
}

fetch_kernel() {
	local suite abi version parts
	for suite in "${suites[@]}"; do
		rm -rf "$dir/kernel"
		apt_ready kernel "$suite"
		release=$(newest_kernel)
		[ -n "$release" ] || {
			say "$suite has no Linux $series"
			continue
		}
		abi=${release%-amd64} # all of one version: several are on offer
		version=$(apt_in kernel apt-cache show --no-all-versions "linux-image-$release" | sed -n 's/^Version: //p')
		parts=("linux-image-$release" "linux-headers-$release" "linux-headers-$abi-common" "linux-kbuild-$abi" "linux-source-$series")
		(cd "$dir/kernel" && apt_in kernel apt-get download "${parts[@]/%/=$version}" >&2) && return
		say "$suite does not have all of Linux $release"
	done
	cannot "no Linux $series with its headers and source in ${suites[*]}"
}

# The modules are made in $work: the kernel's makefiles take no path with a space in it, as the cache's may be.
unpack_kernel() {
	local deb
	unpack "$dir"/kernel/linux-image-*.deb "$dir/sys" --wildcards './boot/vmlinuz*' '*/modules.*' "${modules[@]/#/*/kernel/}" 2> /dev/null || true
	find "$dir/sys/usr/lib/modules" -name '*.xz' -print0 | xargs -0 -n 20 -P "$(nproc)" xz -d
	for deb in "$dir"/kernel/linux-{headers,kbuild}-*.deb; do unpack "$deb" "$work"; done
	dpkg-deb --fsys-tarfile "$dir"/kernel/linux-source-*.deb | tar -xO --wildcards '*.tar.xz' |
		tar -xJ -C "$work" --strip-components=1 --wildcards "${built[@]/#/*/drivers/}"
}

# sed -E on a file of the kernel's source; an expression that changes nothing means that it is no longer the source we know.
edit() {
	local file=$work/drivers/$1 expression
	for expression in "${@:2}"; do
		cp "$file" "$file.was"
		sed -i -E -e "$expression" "$file"
		! cmp -s "$file" "$file.was" || { say "Linux $release is not as known: '$expression' finds nothing in $1" && return 1; }
		rm "$file.was"
	done
}

# Stock rxe and siw can neither change their network namespace nor outlive that of their netdev. RDMA NICs can: ib_core asks for the
# callback that takes a device away from its users. rxe also has to make its GSI QP anew when it comes to another namespace, and to send
# and receive there (rxe_netns.h).
own_netns() {
	local leave='static void dranetd_leave(struct ib_ucontext *context) {}'
	local stays='s/case NETDEV_UNREGISTER:/&\nif (netdev_notifier_info_to_dev(arg)->reg_state == NETREG_REGISTERED) break;/'
	edit infiniband/sw/rxe/rxe_verbs.c \
		"s/^static const struct ib_device_ops rxe_dev_ops = \{/$leave\n&\n\t.disassociate_ucontext = dranetd_leave,/"
	edit infiniband/sw/siw/siw_main.c "$stays" \
		"s/^static const struct ib_device_ops siw_device_ops = \{/$leave\n&\n\t.disassociate_ucontext = dranetd_leave,/"
	edit infiniband/sw/rxe/rxe_qp.c 's/init->qp_type == IB_QPT_GSI && port->qp_gsi_index/0/'
	edit infiniband/sw/rxe/rxe_net.c "$stays" \
		's/ip_route_output_key\(&init_net,/ip_route_output_key(dev_net(ndev),/' \
		's/^void rxe_net_exit\(void\)/#include "rxe_netns.h"\n&/' \
		's/err = rxe_net_ipv4_init\(\);/err = register_pernet_subsys(\&rxe_netns) ?: rxe_net_ipv4_init();/' \
		's/^\tunregister_netdevice_notifier\(&rxe/\tunregister_pernet_subsys(\&rxe_netns);\n&/'
	cp "$here/rxe_netns.h" "$work/drivers/infiniband/sw/rxe/"
}

build_modules() {
	local updates=$dir/sys/usr/lib/modules/$release/updates at
	sed -i "s# /usr/src# $work/usr/src#" "$work/usr/src/linux-headers-$release/Makefile"
	mkdir "$updates"
	for at in "${built[@]}"; do
		make -s -j"$(nproc)" -C "$work/usr/src/linux-headers-$release" M="$work/drivers/$at" modules \
			CONFIG_RDMA_RXE=m CONFIG_RDMA_SIW=m CONFIG_NETDEVSIM=m CONFIG_DEBUG_INFO_BTF_MODULES= >&2
		strip -g "$work/drivers/$at"/*.ko
		cp "$work/drivers/$at"/*.ko "$updates"
	done
	kmod_as depmod -b "$dir/sys" "$release"
}

# The image unpacks itself, which takes seconds when emulated: keep what is in it, the first zstd stream.
unpack_image() {
	local image=$dir/sys/boot/vmlinuz-$release at
	at=$(LC_ALL=C grep -abo $'\x28\xb5\x2f\xfd' "$image" | awk -F: 'NR == 1 { print $1 + 1 }')
	tail -c "+$at" "$image" | "$(tool zstd)" -dcq > "$dir/vmlinux" 2> /dev/null || true # behind the stream is what is no stream
	[ -s "$dir/vmlinux" ]
}

# busybox, our init, and what that needs to mount the root: modules in the order in which they go in.
make_initramfs() {
	local root=$dir/initramfs.d module n=0
	mkdir -p "$root"/{bin,proc,host,sys,ram,new}
	cp "$(tool busybox)" "$root/bin/busybox"
	cp "$here/machine_init.sh" "$root/init"
	chmod +x "$root/init"
	for module in 9pnet_virtio 9p overlay; do kmod_as modprobe -d "$dir/sys" -S "$release" --show-depends "$module"; done |
		sed -n 's/^insmod \(.*\.ko\).*/\1/p' | awk '!seen[$0]++' | while IFS= read -r module; do
		n=$((n + 1))
		cp "$module" "$root/$(printf %02d $n).ko"
	done
	(cd "$root" && find . | ./bin/busybox cpio -o -H newc > "$dir/initramfs" 2> /dev/null)
}

# Machines of another making go when nobody has asked for them for days: beside this checkout there may be another. One that runs stays,
# for it holds its directory (machine.sh).
remove_old() {
	local old
	touch "$home"
	find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +2 | while IFS= read -r old; do
		flock -n "$old" rm -rf "$old" || say "$old is in use"
	done
}

[ "$(uname -m)" = x86_64 ] || cannot "the machine is an x86-64 one, and its kernel is this system's; this is $(uname -m)"
[ -n "$codename" ] && command -v apt-get > /dev/null || cannot "its parts are Debian packages, and this is no Debian"

home=$cache/$({ cat "$0" "$here"/machine_init.sh "$here"/rxe_netns.h; echo "${suites[*]}"; } | sha256sum | cut -c 1-16)
mkdir -p "$cache"
exec 9> "$cache.lock"
flock 9
if [ ! -e "$home" ]; then
	dir=$cache/new
	rm -rf "$dir"* # of one that was killed
	work=$(mktemp -d)
	trap 'rm -rf "$dir" "$work"' EXIT
	mkdir "$dir"
	fetch_tools
	fetch_kernel
	unpack_kernel
	own_netns
	build_modules
	unpack_image
	make_initramfs
	echo "$release" > "$dir/release"
	rm -rf "$dir"/{tools,kernel,initramfs.d}
	mv "$dir" "$home"
fi
remove_old
echo "$home"
