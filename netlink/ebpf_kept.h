/* SPDX-License-Identifier: Apache-2.0 */
/* eBPF programs of the host's on a device that goes to a pod: kept by their numbers, and put back where they were.
 *
 * The kernel forgets a program that nothing refers to. Filters go when the device leaves its namespace, and what a pod does not want is
 * taken off, so programs are held while the device is away: by pins in a directory of ours in the machine's bpf file system, which outlive
 * this process. Without such a file system a program comes back if somebody else still refers to it.
 *
 * What a BPF link held is put back without the link, which cannot be attached again; that is told. */
#pragma once

#include "netlink/ebpf.h"

/* host_state.ebpf: version, kind of the qdisc at the doors, programs. Never empty, so that "none" is known. -ENOMEM. */
int ebpf_keep(const struct ebpf_list *l, struct bytes *ret);
/* -EBADMSG: a record may hold anything. */
int ebpf_kept_parse(const struct bytes *kept, struct ebpf_list *ret);

/* The pins of one device's programs are called "<tag>-<number of the program>"; `tag` is of letters, digits and '-'. */
void ebpf_hold(const char *bpf_directory, const char *tag, const struct ebpf_list *l);
void ebpf_release(const char *bpf_directory, const char *tag, const struct ebpf_list *l);

/* The calling thread in the link's namespace. What came meanwhile is taken off, what is missing is put back; the first error is in `e`. */
void ebpf_restore(struct nlsock *s, int32_t ifindex, const struct ebpf_list *was, const struct ebpf_list *is, struct error *e);
/* Calls `differs` with what is not as it was ("tcx ingress program 12 (x) is missing"). */
void ebpf_compare(const struct ebpf_list *was, const struct ebpf_list *is, void (*differs)(const char *what, void *user), void *user);
