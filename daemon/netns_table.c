/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/netns_table.h"

static struct netns_entry *find(const struct netns_table *t, const char *sandbox)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->v[i].sandbox, sandbox) == 0)
			return &t->v[i];
	return NULL;
}

static void let_go(struct netns_entry *e)
{
	close(e->fd);
	pod_watch_close(TAKE_PTR(e->watch));
}

int netns_table_put(struct netns_table *t, const char *sandbox, int fd, uint64_t inode)
{
	struct netns_entry *e = find(t, sandbox);
	if (e) {
		let_go(e);
		e->fd = fd;
		e->inode = inode;
		return 0;
	}
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 16;
		struct netns_entry *v = reallocarray(t->v, cap, sizeof(*v));
		if (!v)
			return -ENOMEM;
		t->v = v;
		t->cap = cap;
	}
	e = &t->v[t->n];
	int r = STR_COPY(e->sandbox, sandbox);
	if (r < 0)
		return r;
	e->fd = fd;
	e->inode = inode;
	e->watch = NULL;
	t->n++;
	return 0;
}

int netns_table_get(const struct netns_table *t, const char *sandbox, uint64_t *ret_inode)
{
	const struct netns_entry *e = find(t, sandbox);
	if (!e)
		return -1;
	*ret_inode = e->inode;
	return e->fd;
}

bool netns_table_is_deaf(const struct netns_table *t, const char *sandbox)
{
	const struct netns_entry *e = find(t, sandbox);
	return e && !e->watch;
}

int netns_table_listen(struct netns_table *t, const char *sandbox, uint64_t inode, struct pod_watch *watch)
{
	struct netns_entry *e = find(t, sandbox);
	if (!e || e->inode != inode || e->watch)
		return -ENOENT;
	e->watch = watch;
	return 0;
}

const char *netns_table_heard(const struct netns_table *t, const struct pod_watch *watch)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].watch == watch)
			return t->v[i].sandbox;
	return NULL;
}

void netns_table_drop(struct netns_table *t, const char *sandbox)
{
	struct netns_entry *e = find(t, sandbox);
	if (!e)
		return;
	let_go(e);
	*e = t->v[--t->n];
}

void netns_table_free(struct netns_table *t)
{
	for (size_t i = 0; i < t->n; i++)
		let_go(&t->v[i]);
	free(t->v);
	*t = (struct netns_table){0};
}
