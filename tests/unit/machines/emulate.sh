#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# emulate.sh NAME - NAME.tree of this directory, on stdout: record.sh in an emulated machine (tests/vm/machine.sh) that is built as below.
# The kernel is a real one, and its drivers are; what they find is QEMU's. VM_BOARD is ours, the rest of machine.sh's environment is heard.
#
# A machine is three functions: NAME_about, what the head of its tree says; NAME_board, QEMU's arguments for it; NAME_inside, what is done
# in it before it is recorded.
set -euo pipefail
here=$(dirname "$(realpath "$0")")

arguments=()
nics=0
add() { arguments+=("$@"); }

# DEVICE[,PROPERTY=VALUE...]: a NIC with a cable to nobody, 52:54:00:00:00:01 and so on.
nic() {
	nics=$((nics + 1))
	add -netdev "hubport,id=n$nics,hubid=$nics" -device "$1,netdev=n$nics,mac=$(printf 52:54:00:00:00:%02x "$nics")"
}

numa_node() { # NUMBER CPU MEBIBYTES
	add -object "memory-backend-ram,id=m$1,size=$3M" -numa "node,nodeid=$1,memdev=m$1,cpus=$2"
}

root_complex() { # NAME BUS NUMA-NODE
	add -device "pxb-pcie,id=$1,bus=pcie.0,bus_nr=$2,numa_node=$3"
}

tree_head() {
	echo "Recorded: $1." | tr '\n' ' ' | fold -s -w 138 | sed -e 's/^/# /' -e 's/ *$//'
	echo
}

# Of a driver, by address.
functions_of() {
	local path
	for path in /sys/bus/pci/drivers/"$1"/0000:*; do
		echo "${path##*/}"
	done
}

# CONDITION...: for half a minute at most.
await() {
	local i
	for ((i = 0; i < 300; i++)); do
		! "$@" || return 0
		sleep 0.1
	done
	echo "emulate.sh: not so: $*" >&2
	return 1
}

netdev_of() {
	local path=("/sys/bus/pci/devices/$1/net/"*)
	echo "${path[0]##*/}"
}
is_up() { [ "$(cat "/sys/class/net/$1/operstate")" = up ]; }
set_up() {
	ip link set "$1" up
	await is_up "$1"
}

# ---- two sockets with eight NICs -------------------------------------------------------------------------------------------------

two_sockets_rxe_about() {
	echo "a machine of two sockets, a NUMA node each. Eight NICs, each behind a switch on a PCIe root of its own, four roots a socket;
their ports are igb, with soft-RoCE on them (the last one's is the first RDMA device). One more NIC on the chipset's root, which is on no
NUMA node. One of the eight has a VLAN, which has no RDMA device of its own"
}

two_sockets_rxe_board() {
	local i
	add -machine q35 -smp 2,sockets=2,cores=1,threads=1 -m 1024M
	numa_node 0 0 512
	numa_node 1 1 512
	add -numa dist,src=0,dst=1,val=21
	for i in 0 1 2 3 4 5 6 7; do
		root_complex "pxb$i" $((16 * (i + 1))) $((i / 4))
		add -device "pcie-root-port,id=port$i,bus=pxb$i,chassis=$((i + 1))" -device "x3130-upstream,id=up$i,bus=port$i" \
			-device "xio3130-downstream,id=down$i,bus=up$i,chassis=$((i + 11))"
		nic "igb,bus=down$i,romfile="
	done
	nic e1000e,bus=pcie.0,romfile=
}

two_sockets_rxe_inside() {
	local function i=7
	modprobe -a igb e1000e rdma_rxe 8021q
	set_up "$(netdev_of "$(functions_of e1000e)")"
	for function in $(functions_of igb); do
		set_up "$(netdev_of "$function")"
	done
	for function in $(functions_of igb | sort -r); do
		rdma link add "rxe$((7 - i))" type rxe netdev "$(netdev_of "$function")"
		i=$((i - 1))
	done
	ip link add link "$(netdev_of "$function")" name vlan100 type vlan id 100
	set_up vlan100
}

# ---- many VFs --------------------------------------------------------------------------------------------------------------------

many_vfs_about() {
	echo "one socket that is two NUMA nodes, four cards of two ports on each, every port an igb PF with seven VFs: 112 of them. They have
drivers as a node's owner gives them: most are igbvf's; all of a PF on each node and every second one of another are bound to vfio-pci; the
last PF's have none. Two VFs' netdevs are in other network namespaces"
}

many_vfs_board() {
	local card
	add -machine q35 -smp 2,sockets=1,cores=2,threads=1 -m 1536M -device intel-iommu # vfio-pci wants one
	numa_node 0 0 768
	numa_node 1 1 768
	add -numa dist,src=0,dst=1,val=12
	root_complex pxb0 32 0
	root_complex pxb1 128 1
	for card in 0 1 2 3 4 5 6 7; do
		add -device "pcie-root-port,id=port$card,bus=pxb$((card / 4)),chassis=$((card + 1))"
		nic "igb,bus=port$card,addr=0.0,multifunction=on,x-pcie-ari-nextfn-1=on,romfile=" # or nobody looks for the second
		nic "igb,bus=port$card,addr=0.1,romfile="
	done
}

# The driver of the VF of that number, of the PF of that number.
many_vfs_driver() {
	case $1.$2 in
	4.* | 12.* | 5.[0246]) echo vfio-pci ;;
	15.*) ;;
	*) echo igbvf ;;
	esac
}

many_vfs_bind() { # PF NUMBER-OF-PF
	local i vf driver
	for i in 0 1 2 3 4 5 6; do
		driver=$(many_vfs_driver "$2" $i)
		[ -n "$driver" ] || continue
		vf=$(basename "$(realpath "/sys/bus/pci/devices/$1/virtfn$i")")
		echo "$driver" > "/sys/bus/pci/devices/$vf/driver_override"
		echo "$vf" > /sys/bus/pci/drivers_probe
		[ -e "/sys/bus/pci/drivers/$driver/$vf" ] || { echo "emulate.sh: $driver does not take $vf" >&2 && return 1; }
	done
}

many_vfs_inside() {
	local pf i number=0 at
	modprobe igb
	modprobe -a igbvf vfio-pci
	for pf in $(functions_of igb); do
		at=/sys/bus/pci/devices/$pf
		set_up "$(netdev_of "$pf")"
		echo 0 > "$at/sriov_drivers_autoprobe"
		echo 7 > "$at/sriov_numvfs"
		for i in 0 1 2 3 4 5 6; do
			ip link set "$(netdev_of "$pf")" vf $i mac "$(printf 52:54:00:01:%02x:%02x $number $i)"
		done
		many_vfs_bind "$pf" $number
		number=$((number + 1))
	done
	unshare -n sleep 1000 &
	await many_vfs_pod_is_there $!
	for at in 1.0 9.3; do
		pf=$(functions_of igb | sed -n "$((${at%.*} + 1))p")
		ip link set "$(netdev_of "$(basename "$(realpath "/sys/bus/pci/devices/$pf/virtfn${at#*.}")")")" netns $!
	done
}
many_vfs_pod_is_there() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

# ---- virtual machines ------------------------------------------------------------------------------------------------------------

i440fx_about() {
	echo "a virtual machine of the old board that many clouds have: no PCI Express, all on one root without ports, one NUMA node that no
function names. NICs: virtio as of before its first standard and as of now, vmxnet3, e1000e, and e1000 behind a conventional bridge"
}

i440fx_board() {
	add -machine pc -smp 2 -m 512M
	nic virtio-net-pci,romfile=
	nic virtio-net-pci,disable-legacy=on,romfile=
	nic vmxnet3,romfile=
	nic e1000e,romfile=
	add -device pci-bridge,id=bridge,chassis_nr=1
	nic e1000,bus=bridge,addr=1,romfile=
}

i440fx_inside() {
	local name
	modprobe -a virtio_net vmxnet3 e1000e e1000
	for name in eth0 eth1 eth2 eth3 eth4; do
		set_up $name
	done
}

failover_about() {
	echo "a virtual machine that can be moved though it has a NIC of its own: virtio with a standby, and a function of the same MAC that
the machine below plugged in when it heard that the driver can do this. The driver puts a netdev above both, on the virtio device too"
}

failover_board() {
	add -machine q35 -smp 2 -m 512M -device pcie-root-port,id=port0,chassis=1 -device pcie-root-port,id=port1,chassis=2
	nic virtio-net-pci,bus=port0,id=standby,failover=on,romfile=
	add -netdev hubport,id=n2,hubid=2
	add -device e1000e,bus=port1,id=primary,netdev=n2,mac=52:54:00:00:00:01,romfile=,failover_pair_id=standby
}

failover_is_whole() { [ "$(find /sys/class/net/*/master 2> /dev/null | wc -l)" = 2 ]; }
failover_inside() {
	modprobe -a e1000e virtio_net
	await failover_is_whole
	set_up eth0
}

# ----------------------------------------------------------------------------------------------------------------------------------

if [ "$1" = --inside ]; then
	shape=${2//-/_}
	"${shape}_inside" >&2
	tree_head "$("${shape}_about"). By emulate.sh, on Linux $(uname -r) in QEMU"
	exec "$here/record.sh"
fi
shape=${1//-/_}
"${shape}_board"
# With a thread for each processor QEMU 10.0 may abort when bridges are set up while the other processor looks (iotlb_to_section).
export VM_ACCEL=${VM_ACCEL:-tcg,thread=single} VM_BOARD="${arguments[*]}"
exec "$here/../../vm/machine.sh" "$here/emulate.sh" --inside "$1"
