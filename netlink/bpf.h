/* SPDX-License-Identifier: Apache-2.0 */
/* bpf(2), as far as programs on network devices need it. Raw system calls: the library of Debian 12 knows neither tcx nor netkit.
 *
 * Interfaces are looked up in the network namespace of the calling thread. Programs and links have numbers that are the machine's, whatever
 * namespace; getting at one by its number needs CAP_SYS_ADMIN. Descriptors are close-on-exec and the caller's. Negative errno. */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

/* Where programs can be on a device (enum bpf_attach_type). The headers of Debian 12 are older than both. */
enum {
	BPF_AT_TCX_INGRESS = 46, /* BPF_TCX_INGRESS, Linux 6.6 */
	BPF_AT_TCX_EGRESS = 47,  /* BPF_TCX_EGRESS, Linux 6.6 */
	BPF_AT_NETKIT = 54,      /* BPF_NETKIT_PRIMARY, Linux 6.7 */
};
enum { BPF_ATTACHED_MAX = 64 /* BPF_MPROG_MAX */, BPF_NAME_SIZE = BPF_OBJ_NAME_LEN };

struct bpf_attached {
	uint32_t program;
	uint32_t link; /* number of the BPF link that holds it there; 0 = it was attached directly */
};
/* Those at one place, in the order in which they run. None, too, where the kernel does not have such a place. */
int bpf_query(int32_t ifindex, uint32_t place, struct bpf_attached ret[BPF_ATTACHED_MAX], size_t *ret_n);
/* Behind those that are there. -EEXIST: it is there already. */
int bpf_attach(int32_t ifindex, uint32_t place, int program_fd);
int bpf_detach(int32_t ifindex, uint32_t place, int program_fd);

int bpf_program_open(uint32_t id); /* → descriptor; -ENOENT */
int bpf_program_name(int program_fd, char name[BPF_NAME_SIZE]);
/* Takes the link's program off, wherever the link is pinned and whoever holds it. Its holder keeps a link that does nothing. */
int bpf_link_detach(uint32_t id);
/* The link that holds an XDP program on the interface. Links do not tell their namespace: -ENOTUNIQ when there are several candidates, with
 * the same program on an interface of the same number. -ENOENT. */
int bpf_xdp_link(int32_t ifindex, uint32_t program, uint32_t *ret_link);
/* Keep a program under a name in a bpf file system. -EEXIST is no error: it is kept there. */
int bpf_pin(int program_fd, const char *path);
