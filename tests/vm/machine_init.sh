#!/bin/busybox sh
# SPDX-License-Identifier: Apache-2.0
# The first process of the emulated machine (tests/vm/machine.sh): the host's root, read-only, below the machine's own programs and
# modules, below a RAM disk that takes what is written. machine_share is a directory of the host's that can be written, at its own path;
# machine_control in it has the command. Both come from the kernel's command line.
/bin/busybox --install -s /bin
export PATH=/bin
for module in /*.ko; do insmod "$module"; done

plan9() { mount -t 9p -o "trans=virtio,version=9p2000.L,msize=512000,$3" "$1" "$2"; }
plan9 host /host ro,cache=loose
plan9 sys /sys ro,cache=loose
mount -t tmpfs ram /ram
mkdir /ram/up /ram/work
mount -t overlay -o lowerdir=/sys:/host,upperdir=/ram/up,workdir=/ram/work root /new

cd /new || exit
mount -t proc proc proc
mount -t sysfs sys sys
mount -t devtmpfs dev dev
mount -t tmpfs run run
mkdir dev/pts dev/shm
mount -t devpts -o ptmxmode=666 pts dev/pts
mount -t tmpfs shm dev/shm
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mount -t debugfs debug sys/kernel/debug

mkdir -p "./$machine_share"
plan9 share "./$machine_share" cache=none
hostname vm
ip link set lo up
exec switch_root /new /bin/bash "$machine_control/run"
