/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/features.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

int features_parse(const struct nlmsghdr *h, struct bytes *ret)
{
	struct nlattr *tb[ETHTOOL_A_FEATURES_MAX + 1];
	uint32_t changeable[BITSET_WORDS_MAX], wanted[BITSET_WORDS_MAX];
	size_t n, n_wanted;
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, ETHTOOL_A_FEATURES_MAX, NULL) < 0 ||
	    bitset_words(tb[ETHTOOL_A_FEATURES_HW], ETHTOOL_A_BITSET_VALUE, changeable, &n) < 0 ||
	    bitset_words(tb[ETHTOOL_A_FEATURES_WANTED], ETHTOOL_A_BITSET_VALUE, wanted, &n_wanted) < 0 || n != n_wanted)
		return -EBADMSG;
	return bits_keep(changeable, wanted, n, ret);
}

static int see_features(const struct nlmsghdr *h, void *user)
{
	struct bytes *b = user;
	free(b->data);
	*b = (struct bytes){0};
	return features_parse(h, b);
}

int features_get(const struct ethtool_link *l, struct bytes *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = ethtool_request(l, ETHTOOL_MSG_FEATURES_GET, ETHTOOL_FLAG_COMPACT_BITSETS);
	struct bytes b = {0};
	int r = nlsock_ask(l->generic, m, see_features, &b, e);
	if (r < 0) {
		free(b.data);
		return e ? error_prefix(e, "offload features of link %d", l->ifindex) : r;
	}
	*ret = b;
	return 0;
}

static int take_feature(uint32_t bit, const char *name, bool on, void *user)
{
	struct feature_table *t = user;
	if (bit >= BITSET_BITS_MAX || t->n == BITSET_BITS_MAX)
		return -EBADMSG;
	if (!name[0]) /* a number that the kernel does not use */
		return 0;
	struct feature *f = &t->v[t->n++];
	*f = (struct feature){.bit = bit, .changeable = on};
	return str_copy(f->name, sizeof(f->name), name) < 0 ? -EBADMSG : 0;
}

static struct feature *feature_at(struct feature_table *t, uint32_t bit)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].bit == bit)
			return &t->v[i];
	return NULL;
}

static int take_active(uint32_t bit, const char *name, bool on, void *user)
{
	(void)name;
	struct feature *f = feature_at(user, bit);
	if (f && on)
		f->active = true;
	return 0;
}

static int take_never_changed(uint32_t bit, const char *name, bool on, void *user)
{
	(void)name;
	struct feature *f = feature_at(user, bit);
	if (f && on)
		f->changeable = false;
	return 0;
}

int feature_table_parse(const struct nlmsghdr *h, struct feature_table *ret)
{
	struct nlattr *tb[ETHTOOL_A_FEATURES_MAX + 1];
	ret->n = 0;
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, ETHTOOL_A_FEATURES_MAX, NULL) < 0)
		return -EBADMSG;
	int r = bitset_each(tb[ETHTOOL_A_FEATURES_HW], take_feature, ret);
	if (r == 0)
		r = bitset_each(tb[ETHTOOL_A_FEATURES_ACTIVE], take_active, ret);
	return r == 0 && tb[ETHTOOL_A_FEATURES_NOCHANGE] ? bitset_each(tb[ETHTOOL_A_FEATURES_NOCHANGE], take_never_changed, ret) : r;
}

static int see_table(const struct nlmsghdr *h, void *user)
{
	return feature_table_parse(h, user);
}

static int table_get(const struct ethtool_link *l, struct feature_table *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = ethtool_request(l, ETHTOOL_MSG_FEATURES_GET, 0);
	ret->n = 0;
	return nlsock_ask(l->generic, m, see_table, ret, e);
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

int features_restore(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is, struct error *e)
{
	return bits_restore(l, ETHTOOL_MSG_FEATURES_SET, ETHTOOL_A_FEATURES_WANTED, was, is, e);
}

void features_compare(const struct ethtool_link *l, const struct bytes *was, const struct bytes *is,
                      void (*differs)(const char *name, bool is, bool was, void *user), void *user)
{
	uint32_t differ[BITSET_WORDS_MAX], wanted[BITSET_WORDS_MAX];
	size_t n = bits_difference(was, is, differ, wanted);
	if (n == 0)
		return;
	_cleanup_free_ struct feature_table *t = calloc(1, sizeof(*t));
	if (t && table_get(l, t, NULL) < 0)
		t->n = 0;
	for (uint32_t bit = 0; bit < n * 32; bit++) {
		uint32_t mask = 1u << bit % 32;
		if (!(differ[bit / 32] & mask))
			continue;
		const struct feature *f = t ? feature_at(t, bit) : NULL;
		bool on = wanted[bit / 32] & mask;
		char number[24];
		snprintf(number, sizeof(number), "feature %u", bit);
		differs(f ? f->name : number, !on, on, user);
	}
}

/* ---- wishes ---------------------------------------------------------------------------------------------------------------------- */

/* ethtool's short and long names of groups, and the kernel's names in them. */
static const struct group {
	const char *brief, *full;
	const char *start, *end; /* a member begins and ends so; end NULL = it is one feature, called `start` */
} groups[] = {
    {"rx", "rx-checksumming", "rx-checksum", NULL},
    {"tx", "tx-checksumming", "tx-checksum-", ""},
    {"sg", "scatter-gather", "tx-scatter-gather", ""},
    {"tso", "tcp-segmentation-offload", "tx-tcp", "-segmentation"},
    {"ufo", "udp-fragmentation-offload", "tx-udp-fragmentation", NULL},
    {"gso", "generic-segmentation-offload", "tx-generic-segmentation", NULL},
    {"gro", "generic-receive-offload", "rx-gro", NULL},
    {"lro", "large-receive-offload", "rx-lro", NULL},
    {"rxvlan", "rx-vlan-offload", "rx-vlan-hw-parse", NULL},
    {"txvlan", "tx-vlan-offload", "tx-vlan-hw-insert", NULL},
    {"ntuple", "ntuple-filters", "rx-ntuple-filter", NULL},
    {"rxhash", "receive-hashing", "rx-hashing", NULL},
};

static bool group_has(const struct group *g, const char *name)
{
	if (!g->end)
		return str_equal(name, g->start);
	size_t len = strlen(name), start = strlen(g->start), end = strlen(g->end);
	return len >= start + end && memcmp(name, g->start, start) == 0 && str_equal(name + len - end, g->end);
}

static const struct group *find_group(const char *name)
{
	for (size_t i = 0; i < ELEMENTS(groups); i++)
		if (str_equal(name, groups[i].brief) || str_equal(name, groups[i].full))
			return &groups[i];
	return NULL;
}

static const struct feature *find_feature(const struct feature_table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (str_equal(t->v[i].name, name))
			return &t->v[i];
	return NULL;
}

/* Which wish has the last word on each feature; those that cannot be changed included. */
static const size_t NOBODY = SIZE_MAX;
struct assignment {
	size_t by[BITSET_BITS_MAX]; /* by index in the table: index of the wish */
};

static void assign(const struct feature_table *t, const struct ethtool_switch *wishes, size_t n, struct assignment *ret)
{
	for (size_t i = 0; i < t->n; i++)
		ret->by[i] = NOBODY;
	for (size_t w = 0; w < n; w++) {
		const struct group *g = find_feature(t, wishes[w].name) ? NULL : find_group(wishes[w].name);
		for (size_t i = 0; g && i < t->n; i++)
			if (group_has(g, t->v[i].name))
				ret->by[i] = w;
	}
	for (size_t w = 0; w < n; w++) {
		const struct feature *f = find_feature(t, wishes[w].name);
		if (f)
			ret->by[f - t->v] = w;
	}
}

/* One that has a feature of this kernel's or a group's, but no word on any is overruled by others. */
static bool is_known(const struct feature_table *t, const char *name)
{
	const struct group *g = find_group(name);
	if (find_feature(t, name))
		return true;
	for (size_t i = 0; g && i < t->n; i++)
		if (group_has(g, t->v[i].name))
			return true;
	return false;
}

struct tally {
	size_t members, changeable, as_asked, contrary; /* contrary: changeable, and not as asked */
};

static struct tally count(const struct feature_table *t, const struct assignment *a, size_t wish, bool on)
{
	struct tally c = {0};
	for (size_t i = 0; i < t->n; i++) {
		if (a->by[i] != wish)
			continue;
		bool as_asked = t->v[i].active == on;
		c.members++;
		c.changeable += t->v[i].changeable;
		c.as_asked += as_asked;
		c.contrary += t->v[i].changeable && !as_asked;
	}
	return c;
}

static const char *on_off(bool on)
{
	return on ? "on" : "off";
}

struct nearest {
	const char *name;
	size_t distance;
};

static void consider(struct nearest *q, const char *wrong, const char *name)
{
	size_t d = str_distance(wrong, name);
	if (d < q->distance)
		*q = (struct nearest){name, d};
}

/* The one it may be a slip of; otherwise those of which it is a part, or which are a part of it. */
static void add_unknown(const struct feature_table *t, const char *name, struct error *faults)
{
	struct nearest nearest = {.distance = 1 + strlen(name) / 3};
	char like[160] = "";
	size_t used = 0;
	for (size_t i = 0; i < ELEMENTS(groups); i++) {
		consider(&nearest, name, groups[i].brief);
		consider(&nearest, name, groups[i].full);
	}
	for (size_t i = 0; i < t->n; i++) {
		consider(&nearest, name, t->v[i].name);
		if (used < sizeof(like) && (strstr(t->v[i].name, name) || strstr(name, t->v[i].name)))
			used += (size_t)snprintf(like + used, sizeof(like) - used, "%s%s", used ? ", " : "; there are ", t->v[i].name);
	}
	if (nearest.name)
		error_append(faults, -EINVAL, "ethtool.features.%s: this kernel has no such feature; did you mean \"%s\"?", name,
		             nearest.name);
	else
		error_append(faults, -EINVAL, "ethtool.features.%s: this kernel has no such feature%s", name, like);
}

int features_resolve(const struct feature_table *t, const struct ethtool_switch *wishes, size_t n, struct feature_request *ret,
                     struct error *e)
{
	_cleanup_free_ struct assignment *a = malloc(sizeof(*a));
	struct feature_request request = {0};
	struct error faults = {0};
	if (!a)
		return error_set(e, -ENOMEM, "out of memory");
	assign(t, wishes, n, a);
	for (size_t w = 0; w < n; w++) {
		struct tally c = count(t, a, w, wishes[w].on);
		if (!is_known(t, wishes[w].name))
			add_unknown(t, wishes[w].name, &faults);
		else if (c.members && !c.changeable && !c.as_asked)
			error_append(&faults, -EINVAL, "ethtool.features.%s: it is %s on this device and cannot be changed", wishes[w].name,
			             on_off(!wishes[w].on));
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct feature *f = &t->v[i];
		if (a->by[i] == NOBODY || !f->changeable)
			continue;
		request.mask[f->bit / 32] |= 1u << f->bit % 32;
		request.value[f->bit / 32] |= (uint32_t)wishes[a->by[i]].on << f->bit % 32;
		if (request.n_words <= f->bit / 32)
			request.n_words = f->bit / 32 + 1;
	}
	if (faults.code)
		return error_set(e, faults.code, "%s", faults.text);
	*ret = request;
	return 0;
}

int features_check(const struct feature_table *t, const struct ethtool_switch *wishes, size_t n, struct error *e)
{
	_cleanup_free_ struct assignment *a = malloc(sizeof(*a));
	struct error faults = {0};
	if (!a)
		return error_set(e, -ENOMEM, "out of memory");
	assign(t, wishes, n, a);
	for (size_t w = 0; w < n; w++) {
		struct tally c = count(t, a, w, wishes[w].on);
		if (c.members && (wishes[w].on ? c.as_asked == 0 : c.contrary > 0 || c.as_asked == 0))
			error_append(&faults, -EREMOTEIO, "ethtool.features.%s: it stays %s: the driver or another feature demands it",
			             wishes[w].name, on_off(!wishes[w].on));
	}
	return faults.code ? error_set(e, faults.code, "%s", faults.text) : 0;
}

int features_accept(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, struct feature_request *ret,
                    struct error *e)
{
	_cleanup_free_ struct feature_table *t = n ? calloc(1, sizeof(*t)) : NULL;
	if (n == 0) {
		*ret = (struct feature_request){0};
		return 0;
	}
	if (!t)
		return error_set(e, -ENOMEM, "out of memory");
	int r = table_get(l, t, e);
	return r == 0 ? features_resolve(t, wishes, n, ret, e) : r;
}

int features_apply(const struct ethtool_link *l, const struct ethtool_switch *wishes, size_t n, struct error *e)
{
	struct feature_request request = {0};
	int r = features_accept(l, wishes, n, &request, e);
	if (r < 0 || request.n_words == 0)
		return r;
	_cleanup_free_ struct feature_table *t = calloc(1, sizeof(*t));
	if (!t)
		return error_set(e, -ENOMEM, "out of memory");
	r = bits_ask(l, ETHTOOL_MSG_FEATURES_SET, ETHTOOL_A_FEATURES_WANTED, request.value, request.mask, request.n_words, e);
	if (r == 0)
		r = table_get(l, t, e);
	return r == 0 ? features_check(t, wishes, n, e) : r;
}
