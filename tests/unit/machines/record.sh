#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# record.sh [SYSFS] - the part of a machine's sysfs that discovery reads, in the form of the fixtures beside this script (sysfs_fixture.h),
# on stdout. Whoever records a machine puts a comment above it that says which one, and looks for serial numbers and MAC addresses that are
# nobody's business. Reading a link's speed may wait for its driver; nothing is written.
set -uo pipefail
sys=$(readlink -f "${1:-/sys}")
cd "$sys" || exit

# here PATH: the real path of what a link leads to, from the root.
here() {
	local real
	real=$(readlink -f "$1") && printf '%s' "${real#"$sys"/}"
}

# files DIRECTORY NAME...: those that are there and can be read, by their first line.
files() {
	local name line
	for name in "${@:2}"; do
		[ -f "$1/$name" ] && IFS= read -r line 2> /dev/null < "$1/$name" && printf '  %s =%s\n' "$name" "${line:+ $line}"
	done
}

links() {
	local name
	for name in "${@:2}"; do
		[ -L "$1/$name" ] && printf '  %s -> %s\n' "$name" "$(readlink "$1/$name")"
	done
}

children() {
	local child
	for child in "$1/$2"/*/; do
		[ -d "$child" ] && printf '  %s/\n' "${child#"$1/"}" | sed 's,//$,/,'
	done
}

functions() {
	local function dir
	for function in bus/pci/devices/*; do
		[ -e "$function" ] || continue
		dir=$(here "$function")
		printf '%s/\n' "$dir"
		files "$dir" modalias numa_node sriov_totalvfs sriov_numvfs
		links "$dir" driver physfn
		for link in "$dir"/virtfn*; do
			links "$dir" "${link##*/}"
		done
		children "$dir" infiniband
	done
	echo "bus/pci/devices/"
	for function in bus/pci/devices/*; do
		links bus/pci/devices "${function##*/}"
	done
}

netdevs() {
	local link dir device
	local -A seen=()
	for link in class/net/*; do
		[ -L "$link" ] || continue
		dir=$(here "$link")
		printf '%s/\n' "$dir"
		files "$dir" ifindex iflink type address operstate dev_port phys_port_name phys_switch_id
		links "$dir" device master
		device=$dir/device
		if [ ! -e "$device" ] || [ "$(here "$device/subsystem")" = bus/pci ]; then
			continue
		fi
		dir=$(here "$device")
		[ -z "${seen[$dir]:-}" ] || continue
		seen[$dir]=1
		printf '%s/\n' "$dir"
		links "$device" driver
	done
	echo "class/net/"
	for link in class/net/*; do
		links class/net "${link##*/}"
	done
}

rdma() {
	local link dir port
	for link in class/infiniband/*; do
		[ -L "$link" ] || continue
		dir=$(here "$link")
		printf '%s/\n' "$dir"
		files "$dir" node_guid
		links "$dir" device
		for port in "$dir"/ports/*; do
			files "$dir" "ports/${port##*/}"/{link_layer,state,gids/0,gid_attrs/ndevs/0}
		done
	done
	[ ! -d class/infiniband ] || echo "class/infiniband/"
	for link in class/infiniband/*; do
		links class/infiniband "${link##*/}"
	done
}

nodes() {
	local node cpu
	for node in devices/system/node/node*; do
		[ -d "$node" ] || continue
		printf '%s/\n' "$node"
		files "$node" distance cpulist
		cpu=$(sed 's/[-,].*//' "$node/cpulist" 2> /dev/null)
		[ -n "$cpu" ] || continue
		printf 'devices/system/cpu/cpu%s/topology/\n' "$cpu"
		files "devices/system/cpu/cpu$cpu/topology" physical_package_id
	done
}

functions
netdevs
rdma
nodes
