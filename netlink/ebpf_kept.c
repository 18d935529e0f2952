/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/ebpf_kept.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/cursor.h"
#include "core/base/str.h"

enum { VERSION = 1, NUMBERS = 11, TEXT_MAX = TC_FILTER_NAME_SIZE + 96 };

/* ---- keeping --------------------------------------------------------------------------------------------------------------------- */

int ebpf_keep(const struct ebpf_list *l, struct bytes *ret)
{
	static const uint32_t version = VERSION;
	struct buf b = {0};
	buf_add(&b, &version, sizeof(version));
	buf_add(&b, l->doors, strlen(l->doors) + 1);
	for (size_t i = 0; i < l->n; i++) {
		const struct ebpf_program *p = &l->v[i];
		const struct tc_filter *f = &p->filter;
		const uint32_t numbers[NUMBERS] = {p->hook,  p->id,    p->link,      f->parent,  f->info, f->handle,
		                                   f->chain, f->flags, f->flags_gen, f->classid, f->plain};
		buf_add(&b, numbers, sizeof(numbers));
		buf_add(&b, p->name, strlen(p->name) + 1);
	}
	if (b.failed) {
		buf_free(&b);
		return -ENOMEM;
	}
	*ret = (struct bytes){.data = b.data, .n = b.len};
	return 0;
}

static void take_text(struct cursor *c, char *text, size_t size)
{
	const uint8_t *end = cursor_left(c) ? memchr(c->at, 0, cursor_left(c)) : NULL;
	const char *start = end ? (const char *)cursor_take(c, (size_t)(end - c->at) + 1) : NULL;
	if (!start || str_copy(text, size, start) < 0)
		c->failed = true;
}

static void take_program(struct cursor *c, struct ebpf_program *p)
{
	uint32_t v[NUMBERS] = {0};
	cursor_copy(c, v, sizeof(v));
	*p = (struct ebpf_program){.hook = v[0], .id = v[1], .link = v[2]};
	p->filter = (struct tc_filter){.parent = v[3],
	                               .info = v[4],
	                               .handle = v[5],
	                               .chain = v[6],
	                               .program = v[1],
	                               .flags = v[7],
	                               .flags_gen = v[8],
	                               .classid = v[9],
	                               .plain = v[10] != 0};
	take_text(c, p->name, sizeof(p->name));
	if (v[0] >= EBPF_HOOKS)
		c->failed = true;
	if (v[0] >= EBPF_TC_INGRESS && v[1])
		STR_CUT(p->filter.name, p->name);
}

int ebpf_kept_parse(const struct bytes *kept, struct ebpf_list *ret)
{
	struct cursor c = cursor_over(kept->data, kept->n);
	struct ebpf_list l = {0};
	uint32_t version = 0;
	cursor_copy(&c, &version, sizeof(version));
	take_text(&c, l.doors, sizeof(l.doors));
	if (version != VERSION)
		c.failed = true;
	while (cursor_left(&c) > 0) {
		struct ebpf_program p;
		take_program(&c, &p);
		struct ebpf_program *more = c.failed ? NULL : reallocarray(l.v, l.n + 1, sizeof(*more));
		if (!more)
			break;
		more[l.n++] = p;
		l.v = more;
	}
	if (c.failed || cursor_left(&c) > 0) {
		ebpf_list_free(&l);
		return -EBADMSG;
	}
	*ret = l;
	return 0;
}

/* ---- pins ------------------------------------------------------------------------------------------------------------------------ */

static void pin_path(char *path, size_t size, const char *directory, const char *tag, uint32_t id)
{
	snprintf(path, size, "%s/dranetd/%s-%u", directory, tag, id);
}

static void hold(const char *directory, const char *tag, uint32_t id)
{
	char path[512];
	int fd = bpf_program_open(id);
	pin_path(path, sizeof(path), directory, tag, id);
	if (fd < 0)
		return;
	(void)bpf_pin(fd, path);
	close(fd);
}

void ebpf_hold(const char *bpf_directory, const char *tag, const struct ebpf_list *l)
{
	char ours[512];
	struct statfs fs;
	if (l->n == 0 || statfs(bpf_directory, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
		return;
	snprintf(ours, sizeof(ours), "%s/dranetd", bpf_directory);
	(void)mkdir(ours, 0700);
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].id)
			hold(bpf_directory, tag, l->v[i].id);
}

void ebpf_release(const char *bpf_directory, const char *tag, const struct ebpf_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		char path[512];
		pin_path(path, sizeof(path), bpf_directory, tag, l->v[i].id);
		(void)unlink(path);
	}
}

/* ---- comparing ------------------------------------------------------------------------------------------------------------------- */

/* The holder of a link may exchange its program at any time, also while the device is in a pod. */
static bool same_place(const struct ebpf_program *a, const struct ebpf_program *b)
{
	const struct tc_filter *f = &a->filter, *g = &b->filter;
	if (a->hook == b->hook && a->link && a->link == b->link)
		return true;
	return a->hook == b->hook && a->id == b->id &&
	       (a->hook < EBPF_TC_INGRESS ||
	        (f->info == g->info && f->handle == g->handle && f->chain == g->chain && f->flags == g->flags &&
	         f->flags_gen == g->flags_gen && f->classid == g->classid && str_equal(a->name, b->name)));
}

static const struct ebpf_program *find(const struct ebpf_list *l, const struct ebpf_program *wanted)
{
	for (size_t i = 0; i < l->n; i++)
		if (same_place(&l->v[i], wanted))
			return &l->v[i];
	return NULL;
}

/* Those of a hook run one after the other: what is there must be in the order in which it was. */
static bool same_order(const struct ebpf_list *was, const struct ebpf_list *is)
{
	size_t at = 0;
	for (size_t i = 0; i < was->n; i++) {
		size_t k = at;
		if (!find(is, &was->v[i]))
			continue;
		while (k < is->n && !same_place(&is->v[k], &was->v[i]))
			k++;
		if (k == is->n)
			return false;
		at = k + 1;
	}
	return true;
}

void ebpf_compare(const struct ebpf_list *was, const struct ebpf_list *is, void (*differs)(const char *what, void *user), void *user)
{
	char text[TEXT_MAX], what[TEXT_MAX + 96];
	for (size_t i = 0; i < was->n; i++) {
		const struct ebpf_program *p = &was->v[i], *now = find(is, p);
		ebpf_format(p, text, sizeof(text));
		if (!now)
			snprintf(what, sizeof(what), "%s is missing", text);
		else if (p->link && p->link != now->link)
			snprintf(what, sizeof(what), "%s is not held by BPF link %u any more", text, p->link);
		else
			continue;
		differs(what, user);
	}
	for (size_t i = 0; i < is->n; i++) {
		ebpf_format(&is->v[i], text, sizeof(text));
		snprintf(what, sizeof(what), "%s was not there", text);
		if (!find(was, &is->v[i]))
			differs(what, user);
	}
	if (!same_order(was, is))
		differs("eBPF programs run in another order", user);
	if (was->doors[0] && !str_equal(was->doors, is->doors))
		differs("the qdisc of its filters is missing", user);
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

static void note(struct error *e, const struct error *ours, const struct ebpf_program *p)
{
	char text[TEXT_MAX];
	ebpf_format(p, text, sizeof(text));
	if (ours->code < 0 && e->code == 0)
		error_set(e, ours->code, "%s: %s", text, ours->text);
}

static void put_back(struct nlsock *s, int32_t ifindex, const struct ebpf_program *p, struct error *e)
{
	struct error ours = {0};
	char name[BPF_NAME_SIZE] = "";
	if (!p->id)
		return;
	if (p->hook >= EBPF_TC_INGRESS && !p->filter.plain) {
		error_set(&ours, -EOPNOTSUPP, "a filter with more than a program cannot be given back");
		note(e, &ours, p);
		return;
	}
	int fd = bpf_program_open(p->id);
	if (fd < 0)
		error_set(&ours, fd, "the kernel has it no more");
	/* Numbers are given again after two thousand million programs. */
	else if (bpf_program_name(fd, name) == 0 && p->hook < EBPF_TC_INGRESS && !str_equal(name, p->name))
		error_set(&ours, -ESTALE, "its number is that of another program now (%s)", name);
	else
		(void)ebpf_add(s, ifindex, p, fd, &ours);
	if (fd >= 0)
		close(fd);
	note(e, &ours, p);
}

void ebpf_restore(struct nlsock *s, int32_t ifindex, const struct ebpf_list *was, const struct ebpf_list *is, struct error *e)
{
	for (size_t i = 0; i < is->n; i++) {
		struct error ours = {0};
		if (is->v[i].id && !find(was, &is->v[i]))
			(void)ebpf_remove(s, ifindex, &is->v[i], &ours);
		if (ours.code < 0 && e->code == 0)
			*e = ours;
	}
	if (was->doors[0] && !is->doors[0])
		(void)tc_doors_add(s, ifindex, was->doors, e->code ? NULL : e);
	for (size_t i = 0; i < was->n; i++)
		if (!find(is, &was->v[i]))
			put_back(s, ifindex, &was->v[i], e);
}
