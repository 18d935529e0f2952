#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# machine.sh COMMAND [ARGUMENT...] - run a command as root in a throw-away emulated machine.
#
# It boots a Debian kernel over this host's own files: its root is the host's, read-only, under an overlay in RAM, so what was built here
# runs there, in the same directory. It has two NUMA nodes, each with a PCIe root of its own and an SR-IOV NIC on that (igb, MAC ..:01 on
# node 0, ..:02 on node 1), and a virtio NIC (..:03). There is no udev: modprobe igb, igbvf and virtio_net to see them. What the command
# prints comes on stdout and its status is ours; 124: VM_TIMEOUT ran out, 125: the machine died, 77: it cannot be had here (the reason is
# on stderr). It reaches nothing outside. From the environment:
#   VM_SHARE    a directory of the host's it may write, at the same path there
#   VM_TIMEOUT  seconds (600)
#   VM_CPUS     (2)
#   VM_MEM      MiB (2048)
#   VM_BOARD    QEMU's arguments for another machine than the one above: its board, processors, memory, NUMA nodes and NICs. It has to have
#               PCI, where our own devices come before those; VM_CPUS and VM_MEM are not heard then
#   VM_ACCEL    QEMU's accelerator; tcg, since a nested KVM is often there and hangs
#   VM_QEMU     more arguments for QEMU
set -euo pipefail

here=$(dirname "$(realpath "$0")")
dir=$("$here/machine_build.sh")
exec 8< "$dir"
flock -s 8 # machine_build.sh leaves alone what is in use

tmp=$(mktemp -d)
share=$(realpath "${VM_SHARE:-$tmp}")
control=$(mktemp -d "$share/.machine.XXXXXX")
qemu='' shown=''
trap 'kill $qemu $shown 2> /dev/null || true; rm -rf "$tmp" "$control"' EXIT
trap 'exit 130' INT TERM HUP

# What runs in there instead of an init. Terminals translate line ends, so that is switched off, for login and at the end.
write_command() {
	cat > "$control/run" <<-END
		exec < /dev/null > /dev/hvc0 2>&1
		stty -opost < /dev/hvc0
		export HOME=/root TERM=dumb LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin
		(cd $(printf %q "$PWD") && $(printf '%q ' "$@"))
		echo \$? > "\$machine_control/status"
		stty -opost < /dev/hvc0
		echo o > /proc/sysrq-trigger
		sleep 60
	END
}

arguments=()
add() { arguments+=("$@"); }
share_as() { add -virtfs "local,path=$2,mount_tag=$1,security_model=none,multidevs=remap,readonly=$3"; }
nic() { add -netdev "hubport,id=n$1,hubid=0" -device "$2,netdev=n$1,mac=52:54:00:00:00:0$1,romfile="; }
numa_node() { # NUMBER BUS MEBIBYTES
	add -object "memory-backend-ram,id=m$1,size=$3M" -numa "node,nodeid=$1,memdev=m$1" \
		-device "pxb-pcie,id=pxb$1,bus=pcie.0,bus_nr=$2,numa_node=$1" -device "pcie-root-port,id=port$1,bus=pxb$1,chassis=$1"
}

usual_board() {
	local half=$((${VM_MEM:-2048} / 2))
	add -machine q35 -smp "${VM_CPUS:-2}" -m "$((half * 2))M"
	nic 3 virtio-net-pci
	numa_node 0 32 "$half"
	numa_node 1 64 "$half"
	nic 1 igb,bus=port0
	nic 2 igb,bus=port1
}

# Words, as QEMU's arguments are: none of them has a space in it.
add_words() {
	local -a words
	read -ra words <<< "$1"
	add "${words[@]}"
}

describe() {
	add -L "$dir/sys/usr/share/qemu" -L "$dir/sys/usr/share/seabios" -nodefaults -display none -no-reboot
	add -accel "${VM_ACCEL:-tcg,thread=multi}" -cpu Nehalem
	add -device virtio-serial-pci -chardev "file,id=out,path=$control/out" -device virtconsole,chardev=out -serial "file:$control/console"
	share_as host / on
	share_as sys "$dir/sys" on
	share_as share "$share" off
	if [ -n "${VM_BOARD:-}" ]; then add_words "$VM_BOARD"; else usual_board; fi
	add -kernel "$dir/vmlinux" -initrd "$dir/initramfs" -append "console=ttyS0 quiet panic=-1 oops=panic mitigations=off nowatchdog \
cryptomgr.notests rcupdate.rcu_cpu_stall_suppress=1 machine_share=\"$share\" machine_control=\"$control\""
	[ -z "${VM_QEMU:-}" ] || add_words "$VM_QEMU"
}

# QEMU of the cache, or the system's if that was installed.
qemu_path() {
	local at=$dir/sys/usr/bin/qemu-system-x86_64
	[ -x "$at" ] && echo "$at" || command -v qemu-system-x86_64
}

write_command "$@"
describe
: > "$control/out"
libraries=$dir/sys/usr/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries QEMU_MODULE_DIR=$libraries/qemu timeout -k 5 "${VM_TIMEOUT:-600}" "$(qemu_path)" "${arguments[@]}" \
	< /dev/null > "$control/qemu" 2>&1 &
qemu=$!
tail -f -n +1 -s 0.1 --pid="$qemu" "$control/out" &
shown=$!
status=0
wait "$qemu" || status=$? # a signal's trap runs while this waits, but not while a program in the foreground does
wait "$shown" || true
qemu='' shown=''
if [ -s "$control/status" ]; then
	status=$(< "$control/status")
elif [ "$status" != 124 ]; then
	echo "machine.sh: the machine died:" >&2
	tail -n 40 "$control"/{qemu,console} >&2 || true # the second is not there if it never began
	status=125
fi
exit "$status"
