/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/features.h"

#include <errno.h>
#include <linux/ethtool_netlink.h>
#include <linux/genetlink.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/link_state.h"

enum { WORD = sizeof(uint32_t), WORD_BITS = 32 };

/* ---- the family ------------------------------------------------------------------------------------------------------------------ */

static int see_family(const struct nlmsghdr *h, void *user)
{
	static const struct nla_policy policy[CTRL_ATTR_MAX + 1] = {[CTRL_ATTR_FAMILY_ID] = {.type = NLA_U16}};
	struct nlattr *tb[CTRL_ATTR_MAX + 1];
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, CTRL_ATTR_MAX, (struct nla_policy *)policy) < 0 || !tb[CTRL_ATTR_FAMILY_ID])
		return -EBADMSG;
	*(uint16_t *)user = nla_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return 0;
}

int features_family(struct nlsock *generic, uint16_t *ret, struct error *e)
{
	const struct genlmsghdr header = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(GENL_ID_CTRL, 0, &header, sizeof(header));
	uint16_t family = 0;
	if (m && nla_put_string(m, CTRL_ATTR_FAMILY_NAME, ETHTOOL_GENL_NAME) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	int r = nlsock_ask(generic, m, see_family, &family, e);
	if (r == 0 && family == 0)
		r = error_set(e, -ENOENT, "the kernel has no ethtool netlink");
	if (r < 0)
		return r;
	*ret = family;
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static const struct nla_policy bitset_policy[ETHTOOL_A_BITSET_MAX + 1] = {
    [ETHTOOL_A_BITSET_SIZE] = {.type = NLA_U32},
    [ETHTOOL_A_BITSET_BITS] = {.type = NLA_NESTED},
};

static int take_words(struct nlattr *bitset, uint32_t words[FEATURE_WORDS_MAX], size_t *ret_n)
{
	struct nlattr *tb[ETHTOOL_A_BITSET_MAX + 1];
	if (!bitset || nla_parse_nested(tb, ETHTOOL_A_BITSET_MAX, bitset, (struct nla_policy *)bitset_policy) < 0 ||
	    !tb[ETHTOOL_A_BITSET_SIZE] || !tb[ETHTOOL_A_BITSET_VALUE])
		return -EBADMSG;
	uint32_t bits = nla_get_u32(tb[ETHTOOL_A_BITSET_SIZE]);
	if (bits == 0 || bits > FEATURE_WORDS_MAX * WORD_BITS)
		return -EBADMSG;
	size_t n = (bits + WORD_BITS - 1) / WORD_BITS;
	if ((size_t)nla_len(tb[ETHTOOL_A_BITSET_VALUE]) < n * WORD)
		return -EBADMSG;
	memcpy(words, nla_data(tb[ETHTOOL_A_BITSET_VALUE]), n * WORD);
	*ret_n = n;
	return 0;
}

int features_parse(const struct nlmsghdr *h, struct bytes *ret)
{
	struct nlattr *tb[ETHTOOL_A_FEATURES_MAX + 1];
	uint32_t changeable[FEATURE_WORDS_MAX], wanted[FEATURE_WORDS_MAX];
	size_t n, n_wanted;
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, ETHTOOL_A_FEATURES_MAX, NULL) < 0 ||
	    take_words(tb[ETHTOOL_A_FEATURES_HW], changeable, &n) < 0 || take_words(tb[ETHTOOL_A_FEATURES_WANTED], wanted, &n_wanted) < 0 ||
	    n != n_wanted)
		return -EBADMSG;
	struct bytes b = {0};
	if (bytes_add(&b, changeable, n * WORD) < 0 || bytes_add(&b, wanted, n * WORD) < 0) {
		free(b.data);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

static struct nl_msg *request(uint16_t family, uint8_t command, int32_t ifindex, uint32_t flags)
{
	const struct genlmsghdr header = {.cmd = command, .version = ETHTOOL_GENL_VERSION};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(family, 0, &header, sizeof(header));
	struct nlattr *nest = m ? nla_nest_start(m, ETHTOOL_A_FEATURES_HEADER | NLA_F_NESTED) : NULL;
	if (!nest || nla_put_u32(m, ETHTOOL_A_HEADER_DEV_INDEX, (uint32_t)ifindex) < 0 || nla_put_u32(m, ETHTOOL_A_HEADER_FLAGS, flags) < 0)
		return NULL;
	nla_nest_end(m, nest);
	return TAKE_PTR(m);
}

static int see_features(const struct nlmsghdr *h, void *user)
{
	struct bytes *b = user;
	free(b->data);
	*b = (struct bytes){0};
	return features_parse(h, b);
}

int features_get(struct nlsock *generic, uint16_t family, int32_t ifindex, struct bytes *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = request(family, ETHTOOL_MSG_FEATURES_GET, ifindex, ETHTOOL_FLAG_COMPACT_BITSETS);
	struct bytes b = {0};
	int r = nlsock_ask(generic, m, see_features, &b, e);
	if (r < 0) {
		free(b.data);
		return e ? error_prefix(e, "offload features of link %d", ifindex) : r;
	}
	*ret = b;
	return 0;
}

/* ---- giving back ----------------------------------------------------------------------------------------------------------------- */

/* Number of words; those of what differs, and of what was wanted. 0 = nothing to compare. */
static size_t difference(const struct bytes *was, const struct bytes *is, uint32_t differ[FEATURE_WORDS_MAX],
                         uint32_t wanted[FEATURE_WORDS_MAX])
{
	size_t n = was->n / (2 * WORD);
	uint32_t a[2 * FEATURE_WORDS_MAX], b[2 * FEATURE_WORDS_MAX], any = 0;
	if (was->n != is->n || was->n % (2 * WORD) != 0 || n > FEATURE_WORDS_MAX)
		return 0;
	memcpy(a, was->data, was->n);
	memcpy(b, is->data, is->n);
	for (size_t i = 0; i < n; i++) {
		differ[i] = (a[n + i] ^ b[n + i]) & a[i] & b[i];
		wanted[i] = a[n + i];
		any |= differ[i];
	}
	return any ? n : 0;
}

int features_restore(struct nlsock *generic, uint16_t family, int32_t ifindex, const struct bytes *was, const struct bytes *is,
                     struct error *e)
{
	uint32_t differ[FEATURE_WORDS_MAX], wanted[FEATURE_WORDS_MAX];
	size_t n = was->n ? difference(was, is, differ, wanted) : 0;
	if (n == 0)
		return 0;
	_cleanup_nlmsg_ struct nl_msg *m =
	    request(family, ETHTOOL_MSG_FEATURES_SET, ifindex, ETHTOOL_FLAG_COMPACT_BITSETS | ETHTOOL_FLAG_OMIT_REPLY);
	struct nlattr *nest = m ? nla_nest_start(m, ETHTOOL_A_FEATURES_WANTED | NLA_F_NESTED) : NULL;
	if (!m)
		return error_set(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		wanted[i] &= differ[i];
	if (!nest || nla_put_u32(m, ETHTOOL_A_BITSET_SIZE, (uint32_t)(n * WORD_BITS)) < 0 ||
	    nla_put(m, ETHTOOL_A_BITSET_VALUE, (int)(n * WORD), wanted) < 0 ||
	    nla_put(m, ETHTOOL_A_BITSET_MASK, (int)(n * WORD), differ) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	nla_nest_end(m, nest);
	return nlsock_ask(generic, m, NULL, NULL, e);
}

/* ---- names ----------------------------------------------------------------------------------------------------------------------- */

struct names {
	const uint32_t *differ, *wanted;
	size_t n;
	void (*differs)(const char *name, bool is, bool was, void *user);
	void *user;
	bool told;
};

static void tell(struct names *q, uint32_t bit, const char *name)
{
	size_t word = bit / WORD_BITS;
	uint32_t mask = 1u << bit % WORD_BITS;
	if (word < q->n && (q->differ[word] & mask))
		q->differs(name, !(q->wanted[word] & mask), q->wanted[word] & mask, q->user);
}

/* The long form of the answer names every bit. */
static int see_names(const struct nlmsghdr *h, void *user)
{
	static const struct nla_policy bit_policy[ETHTOOL_A_BITSET_BIT_MAX + 1] = {
	    [ETHTOOL_A_BITSET_BIT_INDEX] = {.type = NLA_U32}, [ETHTOOL_A_BITSET_BIT_NAME] = {.type = NLA_STRING, .minlen = 1}};
	struct nlattr *tb[ETHTOOL_A_FEATURES_MAX + 1], *set[ETHTOOL_A_BITSET_MAX + 1], *bit[ETHTOOL_A_BITSET_BIT_MAX + 1], *a;
	int left;
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, ETHTOOL_A_FEATURES_MAX, NULL) < 0 || !tb[ETHTOOL_A_FEATURES_HW] ||
	    nla_parse_nested(set, ETHTOOL_A_BITSET_MAX, tb[ETHTOOL_A_FEATURES_HW], (struct nla_policy *)bitset_policy) < 0 ||
	    !set[ETHTOOL_A_BITSET_BITS])
		return -EBADMSG;
	struct names *q = user;
	nla_for_each_nested(a, set[ETHTOOL_A_BITSET_BITS], left)
	{
		if (nla_parse_nested(bit, ETHTOOL_A_BITSET_BIT_MAX, a, (struct nla_policy *)bit_policy) < 0)
			return -EBADMSG;
		if (bit[ETHTOOL_A_BITSET_BIT_INDEX] && bit[ETHTOOL_A_BITSET_BIT_NAME])
			tell(q, nla_get_u32(bit[ETHTOOL_A_BITSET_BIT_INDEX]), nla_data(bit[ETHTOOL_A_BITSET_BIT_NAME]));
	}
	q->told = true;
	return 0;
}

void features_compare(struct nlsock *generic, uint16_t family, int32_t ifindex, const struct bytes *was, const struct bytes *is,
                      void (*differs)(const char *name, bool is, bool was, void *user), void *user)
{
	uint32_t differ[FEATURE_WORDS_MAX], wanted[FEATURE_WORDS_MAX];
	struct names q = {.differ = differ, .wanted = wanted, .differs = differs, .user = user};
	q.n = was->n ? difference(was, is, differ, wanted) : 0;
	if (q.n == 0)
		return;
	_cleanup_nlmsg_ struct nl_msg *m = request(family, ETHTOOL_MSG_FEATURES_GET, ifindex, 0);
	(void)nlsock_ask(generic, m, see_names, &q, NULL);
	for (uint32_t i = 0; !q.told && i < q.n * WORD_BITS; i++) {
		char name[24];
		snprintf(name, sizeof(name), "feature %u", i);
		tell(&q, i, name);
	}
}
