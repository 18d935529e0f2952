/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/mark.h"
#include "netlink/fd.h"

/* The parts of union bpf_attr that have grown since the headers of Debian 12. The kernel takes any size whose tail is zero. */
struct query {
	uint32_t ifindex, place, query_flags, attach_flags;
	uint64_t program_ids;
	uint32_t count, pad;
	uint64_t program_flags, link_ids, link_flags, revision;
};
struct attach {
	uint32_t ifindex, program_fd, place, flags, replace_fd, relative;
	uint64_t revision;
};

static int call(int command, void *attr, size_t size)
{
	long r = syscall(SYS_bpf, command, attr, size);
	return r < 0 ? -errno : (int)r;
}

/* ---- places ---------------------------------------------------------------------------------------------------------------------- */

int bpf_query(int32_t ifindex, uint32_t place, struct bpf_attached ret[BPF_ATTACHED_MAX], size_t *ret_n)
{
	uint32_t programs[BPF_ATTACHED_MAX] = {0}, links[BPF_ATTACHED_MAX] = {0};
	struct query q = {.ifindex = (uint32_t)ifindex,
	                  .place = place,
	                  .program_ids = (uint64_t)(uintptr_t)programs,
	                  .count = BPF_ATTACHED_MAX,
	                  .link_ids = (uint64_t)(uintptr_t)links};
	int r = call(BPF_PROG_QUERY, &q, sizeof(q));
	/* Kernels before the place came, or built without it. */
	if (r == -EINVAL || r == -E2BIG || r == -ENOENT)
		q.count = 0;
	else if (r < 0)
		return r;
	if (q.count > BPF_ATTACHED_MAX)
		return -EOVERFLOW;
	for (size_t i = 0; i < q.count; i++)
		ret[i] = (struct bpf_attached){programs[i], links[i]};
	*ret_n = q.count;
	return 0;
}

int bpf_attach(int32_t ifindex, uint32_t place, int program_fd)
{
	struct attach a = {.ifindex = (uint32_t)ifindex, .place = place, .program_fd = (uint32_t)program_fd};
	mark("bpf", "attach", "begin");
	int r = call(BPF_PROG_ATTACH, &a, sizeof(a));
	mark("bpf", "attach", "end");
	return r;
}

int bpf_detach(int32_t ifindex, uint32_t place, int program_fd)
{
	struct attach a = {.ifindex = (uint32_t)ifindex, .place = place, .program_fd = (uint32_t)program_fd};
	mark("bpf", "detach", "begin");
	int r = call(BPF_PROG_DETACH, &a, sizeof(a));
	mark("bpf", "detach", "end");
	return r;
}

/* ---- programs and links ---------------------------------------------------------------------------------------------------------- */

int bpf_program_open(uint32_t id)
{
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.prog_id = id;
	return call(BPF_PROG_GET_FD_BY_ID, &a, sizeof(a));
}

static int info_of(int fd, void *info, uint32_t size)
{
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	memset(info, 0, size);
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = size;
	a.info.info = (uint64_t)(uintptr_t)info;
	return call(BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a));
}

int bpf_program_name(int program_fd, char name[BPF_NAME_SIZE])
{
	struct bpf_prog_info info;
	int r = info_of(program_fd, &info, sizeof(info));
	if (r < 0)
		return r;
	memcpy(name, info.name, BPF_NAME_SIZE);
	name[BPF_NAME_SIZE - 1] = '\0';
	return 0;
}

static int link_open(uint32_t id)
{
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.link_id = id;
	return call(BPF_LINK_GET_FD_BY_ID, &a, sizeof(a));
}

int bpf_link_detach(uint32_t id)
{
	_cleanup_fd_ int fd = link_open(id);
	union bpf_attr a;
	if (fd < 0)
		return fd;
	memset(&a, 0, sizeof(a));
	a.link_detach.link_fd = (uint32_t)fd;
	mark("bpf", "link-detach", "begin");
	int r = call(BPF_LINK_DETACH, &a, sizeof(a));
	mark("bpf", "link-detach", "end");
	return r;
}

static bool is_xdp_link(uint32_t id, int32_t ifindex, uint32_t program)
{
	struct bpf_link_info info;
	_cleanup_fd_ int fd = link_open(id);
	return fd >= 0 && info_of(fd, &info, sizeof(info)) == 0 && info.type == BPF_LINK_TYPE_XDP &&
	       info.xdp.ifindex == (uint32_t)ifindex && info.prog_id == program;
}

int bpf_xdp_link(int32_t ifindex, uint32_t program, uint32_t *ret_link)
{
	uint32_t found = 0, n = 0;
	union bpf_attr a;
	for (uint32_t id = 0;; id = a.next_id) {
		memset(&a, 0, sizeof(a));
		a.start_id = id;
		int r = call(BPF_LINK_GET_NEXT_ID, &a, sizeof(a));
		if (r == -ENOENT)
			break;
		if (r < 0)
			return r;
		if (is_xdp_link(a.next_id, ifindex, program)) {
			found = a.next_id;
			n++;
		}
	}
	if (n != 1)
		return n ? -ENOTUNIQ : -ENOENT;
	*ret_link = found;
	return 0;
}

int bpf_pin(int program_fd, const char *path)
{
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.pathname = (uint64_t)(uintptr_t)path;
	a.bpf_fd = (uint32_t)program_fd;
	int r = call(BPF_OBJ_PIN, &a, sizeof(a));
	return r == -EEXIST ? 0 : r;
}
