/* SPDX-License-Identifier: Apache-2.0 */
/* What the mover's files share. A job is one call: a plan, and the two namespaces in which its device can be. */
#pragma once

#include "netlink/kept.h"
#include "netlink/link.h"
#include "netlink/mover.h"
#include "netlink/nlsock.h"

struct mover {
	struct nlsock *host;    /* opened in the host's namespace */
	int host_fd;            /* of that namespace */
	struct nlsock *generic; /* generic netlink, on the host */
	uint16_t ethtool;       /* family number there; 0 = this kernel has none */
	const struct sysfs *sysfs;
};

struct job {
	struct mover *m;
	const struct attach_plan *plan;
	const struct leases *leases; /* of an attach; NULL = none */
	int netns_fd;
	struct nlsock *pod; /* NULL = there is no namespace to look into */
	bool vf_touched;    /* on the host it is perhaps not as it was */
};
int job_open(struct mover *m, const struct attach_plan *plan, int netns_fd, struct job *ret, struct error *e);
void job_close(struct job *j);
#define _cleanup_job_ __attribute__((cleanup(job_close)))

struct located {
	enum place place;
	struct link link; /* when place is HOST or POD */
};
/* Where the plan's device is, by identity and not by name alone. PLACE_GONE with 0; a negative errno means that the kernel could not be
 * asked and says nothing about the device. */
int job_locate(struct job *j, struct located *ret, struct error *e);

/* The name a device gets on the host when its own was taken meanwhile; `attempt` counts from 0. */
void temporary_name(const struct attach_plan *p, unsigned attempt, char name[IFNAME_SIZE]);

/* From the pod to the host, and everything as the plan's host state says; `at` is where it is now. Sets place and differences. */
int job_bring_home(struct job *j, const struct located *at, struct move_result *ret, struct error *e);
/* On the host: make it so, then read back and compare. */
void job_restore(struct job *j, const struct link *now, char *differences, size_t size);

/* features, private_flags and ethtool of `state`, of a link on the host; those were empty. -ENOMEM. */
int job_read_ethtool(struct mover *m, int32_t ifindex, struct host_state *state, struct error *e);

/* ebpf of `state`, which was empty; it stays so where it cannot be read. -ENOMEM. */
int job_read_ebpf(struct mover *m, const struct link *l, struct host_state *state, struct error *e);
/* Before the device leaves: nothing of what is on it is forgotten by the kernel. And when it is gone for good. */
void job_hold_ebpf(struct job *j);
void job_release_ebpf(struct job *j);
/* It did not leave: those that are on the link hold themselves. */
void job_release_ebpf_of(struct job *j, const struct link *l);

/* What the files of the restoring share. */
struct restore {
	struct job *j;
	const struct host_state *host; /* as it was */
	struct link now;
	struct host_state is; /* the other half of `now`, and ethtool */
	uint64_t elapsed;     /* ms since the snapshot */
	struct error why;     /* of the first step that failed */
	char *differences;
	size_t size;
};
/* A step's error: the first is kept. */
void restore_note(struct restore *t, const struct error *ours);
/* `now` and `is` as they are by now, with `all` also what takes longer to read; false = the link cannot be read. */
bool restore_look(struct restore *t, bool all);
void restore_compare(struct restore *t);
/* eBPF programs; false = a record that does not know of them. Comparing lets go of what job_hold_ebpf() held. */
bool restore_ebpf(struct restore *t);
bool compare_ebpf(struct restore *t, void (*differs)(const char *what, void *user));
struct kept_owner restore_owner(const struct restore *t);
bool address_same(const struct address *a, const struct address *b); /* but for what is left of a lifetime */
/* `*a` as it would be by now; false = it has expired. */
bool address_age(struct address *a, uint64_t elapsed);

/* What the plan wants of a VF's PF, before the VF `have` leaves the host; it may be down and have another MAC then. */
int job_vf_attach(struct job *j, struct link *have, struct error *e);
/* The VF `l` on the host takes the MAC that its PF has set for it; it is down then. `l` is as it is by now. */
int job_vf_take_mac(struct mover *m, struct link *l, const struct mac *mac, struct error *e);
/* The sysctl is one of those that are restored. A kernel without IPv6 has none. */
void job_ignore_advertisements(const char *ifname);

/* Everything that the plan gives the device in the pod, where it is `l`: one function for each kind of thing, in mover_configure.c's list.
 */
int job_configure(struct job *j, const struct link *l, struct error *e);
/* What the job's leases give: MTU and addresses, and when the link is up, routes. What has expired is left out. */
int job_lease_addresses(struct job *j, const struct link *l, struct error *e);
int job_lease_routes(struct job *j, const struct link *l, struct error *e);
/* Whether one that is held has ended meanwhile. NULL allowed. */
bool leases_have_ended(const struct leases *leases);
/* Of its steps, those that the kernel undoes when the last IPv4 address goes. */
int job_configure_routes(struct job *j, const struct link *l, struct error *e);
int job_configure_neighbours(struct job *j, const struct link *l, struct error *e);
/* Of its steps, the one that writes to /proc. */
int job_configure_sysctls(struct job *j, const struct link *l, struct error *e);

int job_read_back(struct job *j, int32_t ifindex, struct pod_state *ret, struct error *e);
uint64_t boottime_ms(void);
