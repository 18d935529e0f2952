/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/ethtool.h"

#include <assert.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "netlink/link_state.h"

enum { WORD = sizeof(uint32_t), WORD_BITS = 32, HEADER = 1 };

#define IS_HEADER(topic) ((int)ETHTOOL_A_##topic##_HEADER == HEADER)
static_assert(IS_HEADER(FEATURES) && IS_HEADER(PRIVFLAGS) && IS_HEADER(RINGS) && IS_HEADER(CHANNELS) && IS_HEADER(COALESCE) &&
                  IS_HEADER(PAUSE),
              "the link is named by the first attribute of every request");

static int see_family(const struct nlmsghdr *h, void *user)
{
	static const struct nla_policy policy[CTRL_ATTR_MAX + 1] = {[CTRL_ATTR_FAMILY_ID] = {.type = NLA_U16}};
	struct nlattr *tb[CTRL_ATTR_MAX + 1];
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, CTRL_ATTR_MAX, (struct nla_policy *)policy) < 0 || !tb[CTRL_ATTR_FAMILY_ID])
		return -EBADMSG;
	*(uint16_t *)user = nla_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return 0;
}

int ethtool_family(struct nlsock *generic, uint16_t *ret, struct error *e)
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

struct nl_msg *ethtool_request(const struct ethtool_link *l, uint8_t command, uint32_t flags)
{
	const struct genlmsghdr header = {.cmd = command, .version = ETHTOOL_GENL_VERSION};
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(l->family, 0, &header, sizeof(header));
	struct nlattr *nest = m ? nla_nest_start(m, HEADER | NLA_F_NESTED) : NULL;
	if (!nest || nla_put_u32(m, ETHTOOL_A_HEADER_DEV_INDEX, (uint32_t)l->ifindex) < 0 ||
	    (flags && nla_put_u32(m, ETHTOOL_A_HEADER_FLAGS, flags) < 0))
		return NULL;
	nla_nest_end(m, nest);
	return TAKE_PTR(m);
}

bool ethtool_lacks(int code)
{
	return code == -EOPNOTSUPP;
}

/* ---- bitsets --------------------------------------------------------------------------------------------------------------------- */

static const struct nla_policy bitset_policy[ETHTOOL_A_BITSET_MAX + 1] = {
    [ETHTOOL_A_BITSET_SIZE] = {.type = NLA_U32},
    [ETHTOOL_A_BITSET_BITS] = {.type = NLA_NESTED},
};

static int bitset_parse(struct nlattr *bitset, struct nlattr *tb[ETHTOOL_A_BITSET_MAX + 1])
{
	return !bitset || nla_parse_nested(tb, ETHTOOL_A_BITSET_MAX, bitset, (struct nla_policy *)bitset_policy) < 0 ? -EBADMSG : 0;
}

int bitset_words(struct nlattr *bitset, int member, uint32_t words[BITSET_WORDS_MAX], size_t *ret_n)
{
	struct nlattr *tb[ETHTOOL_A_BITSET_MAX + 1];
	if (bitset_parse(bitset, tb) < 0 || !tb[ETHTOOL_A_BITSET_SIZE] || !tb[member])
		return -EBADMSG;
	uint32_t bits = nla_get_u32(tb[ETHTOOL_A_BITSET_SIZE]);
	if (bits == 0 || bits > BITSET_BITS_MAX)
		return -EBADMSG;
	size_t n = (bits + WORD_BITS - 1) / WORD_BITS;
	if ((size_t)nla_len(tb[member]) < n * WORD)
		return -EBADMSG;
	memcpy(words, nla_data(tb[member]), n * WORD);
	*ret_n = n;
	return 0;
}

int bitset_each(struct nlattr *bitset, int (*see)(uint32_t bit, const char *name, bool on, void *user), void *user)
{
	static const struct nla_policy bit_policy[ETHTOOL_A_BITSET_BIT_MAX + 1] = {
	    [ETHTOOL_A_BITSET_BIT_INDEX] = {.type = NLA_U32}, [ETHTOOL_A_BITSET_BIT_NAME] = {.type = NLA_STRING, .minlen = 1}};
	struct nlattr *set[ETHTOOL_A_BITSET_MAX + 1], *bit[ETHTOOL_A_BITSET_BIT_MAX + 1], *a;
	int left;
	if (bitset_parse(bitset, set) < 0 || !set[ETHTOOL_A_BITSET_BITS])
		return -EBADMSG;
	bool list = set[ETHTOOL_A_BITSET_NOMASK];
	nla_for_each_nested(a, set[ETHTOOL_A_BITSET_BITS], left)
	{
		if (nla_parse_nested(bit, ETHTOOL_A_BITSET_BIT_MAX, a, (struct nla_policy *)bit_policy) < 0)
			return -EBADMSG;
		if (!bit[ETHTOOL_A_BITSET_BIT_INDEX] || !bit[ETHTOOL_A_BITSET_BIT_NAME])
			continue;
		int r = see(nla_get_u32(bit[ETHTOOL_A_BITSET_BIT_INDEX]), nla_data(bit[ETHTOOL_A_BITSET_BIT_NAME]),
		            list || bit[ETHTOOL_A_BITSET_BIT_VALUE], user);
		if (r < 0)
			return r;
	}
	return 0;
}

int bitset_put(struct nl_msg *m, int attribute, const uint32_t *value, const uint32_t *mask, size_t n_words)
{
	struct nlattr *nest = nla_nest_start(m, attribute | NLA_F_NESTED);
	if (!nest || nla_put_u32(m, ETHTOOL_A_BITSET_SIZE, (uint32_t)(n_words * WORD_BITS)) < 0 ||
	    nla_put(m, ETHTOOL_A_BITSET_VALUE, (int)(n_words * WORD), value) < 0 ||
	    nla_put(m, ETHTOOL_A_BITSET_MASK, (int)(n_words * WORD), mask) < 0)
		return -EMSGSIZE;
	nla_nest_end(m, nest);
	return 0;
}

size_t bits_difference(const struct bytes *was, const struct bytes *is, uint32_t differ[BITSET_WORDS_MAX], uint32_t on[BITSET_WORDS_MAX])
{
	size_t n = was->n / (2 * WORD);
	uint32_t a[2 * BITSET_WORDS_MAX], b[2 * BITSET_WORDS_MAX], any = 0;
	if (n == 0 || was->n != is->n || was->n % (2 * WORD) != 0 || n > BITSET_WORDS_MAX)
		return 0;
	memcpy(a, was->data, was->n);
	memcpy(b, is->data, is->n);
	for (size_t i = 0; i < n; i++) {
		differ[i] = (a[n + i] ^ b[n + i]) & a[i] & b[i];
		on[i] = a[n + i];
		any |= differ[i];
	}
	return any ? n : 0;
}

int bits_ask(const struct ethtool_link *l, uint8_t command, int attribute, const uint32_t *value, const uint32_t *mask, size_t n_words,
             struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = ethtool_request(l, command, ETHTOOL_FLAG_COMPACT_BITSETS | ETHTOOL_FLAG_OMIT_REPLY);
	if (m && bitset_put(m, attribute, value, mask, n_words) < 0)
		return error_set(e, -EMSGSIZE, "request too large");
	return nlsock_ask(l->generic, m, NULL, NULL, e);
}

int bits_restore(const struct ethtool_link *l, uint8_t command, int attribute, const struct bytes *was, const struct bytes *is,
                 struct error *e)
{
	uint32_t differ[BITSET_WORDS_MAX], on[BITSET_WORDS_MAX];
	size_t n = bits_difference(was, is, differ, on);
	for (size_t i = 0; i < n; i++)
		on[i] &= differ[i];
	return n ? bits_ask(l, command, attribute, on, differ, n, e) : 0;
}

int bits_keep(const uint32_t *changeable, const uint32_t *on, size_t n_words, struct bytes *ret)
{
	struct bytes b = {0};
	if (bytes_add(&b, changeable, n_words * WORD) < 0 || bytes_add(&b, on, n_words * WORD) < 0) {
		free(b.data);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}
