/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/private_flags.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static int answer(const struct nlmsghdr *h, struct nlattr **ret)
{
	struct nlattr *tb[ETHTOOL_A_PRIVFLAGS_MAX + 1];
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, ETHTOOL_A_PRIVFLAGS_MAX, NULL) < 0 || !tb[ETHTOOL_A_PRIVFLAGS_FLAGS])
		return -EBADMSG;
	*ret = tb[ETHTOOL_A_PRIVFLAGS_FLAGS];
	return 0;
}

int private_flags_parse(const struct nlmsghdr *h, struct bytes *ret)
{
	struct nlattr *flags;
	uint32_t has[BITSET_WORDS_MAX], on[BITSET_WORDS_MAX];
	size_t n, n_on;
	if (answer(h, &flags) < 0 || bitset_words(flags, ETHTOOL_A_BITSET_MASK, has, &n) < 0 ||
	    bitset_words(flags, ETHTOOL_A_BITSET_VALUE, on, &n_on) < 0 || n != n_on)
		return -EBADMSG;
	return bits_keep(has, on, n, ret);
}

static int see_flags(const struct nlmsghdr *h, void *user)
{
	struct bytes *b = user;
	free(b->data);
	*b = (struct bytes){0};
	return private_flags_parse(h, b);
}

int private_flags_get(const struct ethtool_link *l, struct bytes *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = ethtool_request(l, ETHTOOL_MSG_PRIVFLAGS_GET, ETHTOOL_FLAG_COMPACT_BITSETS);
	struct bytes b = {0};
	int r = nlsock_ask(l->generic, m, see_flags, &b, e);
	if (r < 0) {
		free(b.data);
		return r;
	}
	*ret = b;
	return 0;
}

static int take_flag(uint32_t bit, const char *name, bool on, void *user)
{
	struct private_flag_table *t = user;
	if (bit >= PRIVATE_FLAGS_MAX || t->n == PRIVATE_FLAGS_MAX)
		return -EBADMSG;
	struct private_flag *f = &t->v[t->n++];
	*f = (struct private_flag){.bit = bit, .on = on};
	return str_copy(f->name, sizeof(f->name), name) < 0 ? -EBADMSG : 0;
}

int private_flag_table_parse(const struct nlmsghdr *h, struct private_flag_table *ret)
{
	struct nlattr *flags;
	ret->n = 0;
	return answer(h, &flags) < 0 ? -EBADMSG : bitset_each(flags, take_flag, ret);
}

static int see_table(const struct nlmsghdr *h, void *user)
{
	return private_flag_table_parse(h, user);
}

static int table_get(const struct ethtool_link *l, struct private_flag_table *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = ethtool_request(l, ETHTOOL_MSG_PRIVFLAGS_GET, 0);
	ret->n = 0;
	return nlsock_ask(l->generic, m, see_table, ret, e);
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

int private_flags_restore(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is, struct error *e)
{
	return bits_restore(l, ETHTOOL_MSG_PRIVFLAGS_SET, ETHTOOL_A_PRIVFLAGS_FLAGS, was, is, e);
}

void private_flags_compare(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is,
                           void (*differs)(const char *name, bool is, bool was, void *user), void *user)
{
	uint32_t differ[BITSET_WORDS_MAX], on[BITSET_WORDS_MAX];
	size_t n = bits_difference(was, is, differ, on);
	if (n == 0)
		return;
	_cleanup_free_ struct private_flag_table *t = calloc(1, sizeof(*t));
	if (!t || table_get(l, t, NULL) < 0 || t->n == 0) {
		differs("(of which the names cannot be read)", true, false, user);
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		uint32_t mask = 1u << t->v[i].bit;
		if (differ[0] & mask)
			differs(t->v[i].name, !(on[0] & mask), on[0] & mask, user);
	}
}

/* ---- wishes ---------------------------------------------------------------------------------------------------------------------- */

static const struct private_flag *find(const struct private_flag_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_equal(t->v[i].name, name))
			return &t->v[i];
	return NULL;
}

static void add_unknown(const struct private_flag_table *t, const char *name, struct error *faults)
{
	char all[256] = "none";
	size_t used = 0;
	for (size_t i = 0; i < t->n && used < sizeof(all); i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used ? ", " : "", t->v[i].name);
	error_append(faults, -EINVAL, "ethtool.privateFlags.%s: the driver has no such flag; it has: %s", name, all);
}

int private_flags_resolve(const struct private_flag_table *t, const struct ethtool_switch *wishes, size_t n, uint32_t *ret_mask,
                          uint32_t *ret_value, struct error *e)
{
	struct error faults = {0};
	uint32_t mask = 0, value = 0;
	for (size_t i = 0; i < n; i++) {
		const struct private_flag *f = find(t, wishes[i].name);
		if (!f) {
			add_unknown(t, wishes[i].name, &faults);
			continue;
		}
		mask |= 1u << f->bit;
		value |= (uint32_t)wishes[i].on << f->bit;
	}
	if (faults.code)
		return error_set(e, faults.code, "%s", faults.text);
	*ret_mask = mask;
	*ret_value = value;
	return 0;
}

static int check(const struct private_flag_table *t, const struct ethtool_switch *wishes, size_t n, struct error *e)
{
	struct error faults = {0};
	for (size_t i = 0; i < n; i++) {
		const struct private_flag *f = find(t, wishes[i].name);
		if (!f || f->on != wishes[i].on)
			error_append(&faults, -EREMOTEIO, "ethtool.privateFlags.%s: it stays %s", wishes[i].name,
			             wishes[i].on ? "off" : "on");
	}
	return faults.code ? error_set(e, faults.code, "%s", faults.text) : 0;
}

int private_flags_accept(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, uint32_t *ret_mask,
                         uint32_t *ret_value, struct error *e)
{
	struct private_flag_table t = {.n = 0};
	struct error ours = {0};
	int r = n ? table_get(l, &t, &ours) : 0;
	if (r < 0 && !ethtool_lacks(r)) /* a driver that lacks them has none of those that are asked for */
		return error_set(e, r, "ethtool.privateFlags: %s", ours.text);
	return private_flags_resolve(&t, wishes, n, ret_mask, ret_value, e);
}

int private_flags_apply(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, struct error *e)
{
	struct private_flag_table t = {.n = 0};
	uint32_t mask, value;
	struct error ours = {0};
	if (n == 0)
		return 0;
	int r = private_flags_accept(l, wishes, n, &mask, &value, e);
	if (r < 0)
		return r;
	r = bits_ask(l, ETHTOOL_MSG_PRIVFLAGS_SET, ETHTOOL_A_PRIVFLAGS_FLAGS, &value, &mask, 1, &ours);
	if (r == 0)
		r = table_get(l, &t, &ours);
	return r < 0 ? error_set(e, r, "ethtool.privateFlags: %s", ours.text) : check(&t, wishes, n, e);
}
