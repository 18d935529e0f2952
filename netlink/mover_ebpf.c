/* SPDX-License-Identifier: Apache-2.0 */
/* eBPF programs of the host's, on the way out and home. The mover's thread is in the host's namespace. */
#include <errno.h>
#include <stdio.h>

#include "core/base/cleanup.h"
#include "netlink/ebpf_kept.h"
#include "netlink/mover_internal.h"
#include "netlink/sysfs.h"

enum { DIRECTORY_SIZE = 300, TAG_SIZE = 48 };

static void bpf_directory(const struct mover *m, char path[DIRECTORY_SIZE])
{
	snprintf(path, DIRECTORY_SIZE, "%s/fs/bpf", sysfs_path(m->sysfs));
}

/* Of this snapshot of this device: two that are away have different ones. */
static void tag_of(const struct host_state *h, char tag[TAG_SIZE])
{
	snprintf(tag, TAG_SIZE, "%d-%llu", h->ifindex, (unsigned long long)h->taken_at);
}

int job_read_ebpf(struct mover *m, const struct link *l, struct host_state *state, struct error *e)
{
	_cleanup_ebpf_ struct ebpf_list list = {0};
	/* Without the capabilities for it nothing is known, and nothing will be changed. */
	if (ebpf_list_read(m->host, l->ifindex, l->kind, &list, NULL) < 0)
		return 0;
	return ebpf_keep(&list, &state->ebpf) < 0 ? error_set(e, -ENOMEM, "eBPF programs of %s: out of memory", l->ifname) : 0;
}

static bool known(const struct host_state *h, struct ebpf_list *ret)
{
	return h->ebpf.n > 0 && ebpf_kept_parse(&h->ebpf, ret) == 0;
}

void job_hold_ebpf(struct job *j)
{
	_cleanup_ebpf_ struct ebpf_list was = {0};
	char directory[DIRECTORY_SIZE], tag[TAG_SIZE];
	if (!known(&j->plan->host, &was))
		return;
	bpf_directory(j->m, directory);
	tag_of(&j->plan->host, tag);
	ebpf_hold(directory, tag, &was);
}

static void release(const struct job *j, const struct ebpf_list *l)
{
	char directory[DIRECTORY_SIZE], tag[TAG_SIZE];
	bpf_directory(j->m, directory);
	tag_of(&j->plan->host, tag);
	ebpf_release(directory, tag, l);
}

void job_release_ebpf(struct job *j)
{
	_cleanup_ebpf_ struct ebpf_list was = {0};
	if (known(&j->plan->host, &was))
		release(j, &was);
}

void job_release_ebpf_of(struct job *j, const struct link *l)
{
	_cleanup_ebpf_ struct ebpf_list is = {0};
	if (j->plan->host.ebpf.n > 0 && ebpf_list_read(j->m->host, l->ifindex, l->kind, &is, NULL) == 0)
		release(j, &is);
}

bool restore_ebpf(struct restore *t)
{
	_cleanup_ebpf_ struct ebpf_list was = {0}, is = {0};
	struct nlsock *s = t->j->m->host;
	struct error ours = {0};
	if (!known(t->host, &was))
		return false;
	if (ebpf_list_read(s, t->now.ifindex, t->now.kind, &is, &ours) == 0)
		ebpf_restore(s, t->now.ifindex, &was, &is, &ours);
	restore_note(t, &ours);
	return true;
}

bool compare_ebpf(struct restore *t, void (*differs)(const char *what, void *user))
{
	_cleanup_ebpf_ struct ebpf_list was = {0}, is = {0};
	struct error ours = {0};
	if (!known(t->host, &was))
		return false;
	if (ebpf_list_read(t->j->m->host, t->now.ifindex, t->now.kind, &is, &ours) == 0)
		ebpf_compare(&was, &is, differs, t);
	else
		differs("its eBPF programs cannot be read back", t);
	/* Those that are back hold themselves, and for those that are not this was the attempt. */
	job_release_ebpf(t->j);
	return true;
}
