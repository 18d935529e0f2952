/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/ethtool_settings.h"

#include <assert.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <string.h>

#include "core/base/cleanup.h"

enum { ATTRIBUTES_OF_MESSAGE_MAX = 64 };
static_assert((int)ETHTOOL_A_COALESCE_MAX < ATTRIBUTES_OF_MESSAGE_MAX && (int)ETHTOOL_A_RINGS_MAX < ATTRIBUTES_OF_MESSAGE_MAX,
              "known attributes fit the table of a parsed message");

/* In the order in which they are set. */
enum topic { CHANNELS, RINGS, COALESCE, PAUSE, TOPICS };
static const struct {
	const char *name;
	uint8_t get, reply, set;
} topics[TOPICS] = {
    [CHANNELS] = {"channels", ETHTOOL_MSG_CHANNELS_GET, ETHTOOL_MSG_CHANNELS_GET_REPLY, ETHTOOL_MSG_CHANNELS_SET},
    [RINGS] = {"rings", ETHTOOL_MSG_RINGS_GET, ETHTOOL_MSG_RINGS_GET_REPLY, ETHTOOL_MSG_RINGS_SET},
    [COALESCE] = {"coalesce", ETHTOOL_MSG_COALESCE_GET, ETHTOOL_MSG_COALESCE_GET_REPLY, ETHTOOL_MSG_COALESCE_SET},
    [PAUSE] = {"pause", ETHTOOL_MSG_PAUSE_GET, ETHTOOL_MSG_PAUSE_GET_REPLY, ETHTOOL_MSG_PAUSE_SET},
};

static const struct {
	const char *name; /* as a configuration has it, below "ethtool." */
	enum topic topic;
	uint16_t attribute;
	uint8_t width;          /* bytes */
	uint16_t max_attribute; /* what it can be at most; 0 = the driver does not tell */
} rows[ETHTOOL_SETTINGS] = {
    [RING_RX] = {"rings.rx", RINGS, ETHTOOL_A_RINGS_RX, 4, ETHTOOL_A_RINGS_RX_MAX},
    [RING_RX_MINI] = {"rings.rxMini", RINGS, ETHTOOL_A_RINGS_RX_MINI, 4, ETHTOOL_A_RINGS_RX_MINI_MAX},
    [RING_RX_JUMBO] = {"rings.rxJumbo", RINGS, ETHTOOL_A_RINGS_RX_JUMBO, 4, ETHTOOL_A_RINGS_RX_JUMBO_MAX},
    [RING_TX] = {"rings.tx", RINGS, ETHTOOL_A_RINGS_TX, 4, ETHTOOL_A_RINGS_TX_MAX},
    [CHANNELS_RX] = {"channels.rx", CHANNELS, ETHTOOL_A_CHANNELS_RX_COUNT, 4, ETHTOOL_A_CHANNELS_RX_MAX},
    [CHANNELS_TX] = {"channels.tx", CHANNELS, ETHTOOL_A_CHANNELS_TX_COUNT, 4, ETHTOOL_A_CHANNELS_TX_MAX},
    [CHANNELS_OTHER] = {"channels.other", CHANNELS, ETHTOOL_A_CHANNELS_OTHER_COUNT, 4, ETHTOOL_A_CHANNELS_OTHER_MAX},
    [CHANNELS_COMBINED] = {"channels.combined", CHANNELS, ETHTOOL_A_CHANNELS_COMBINED_COUNT, 4, ETHTOOL_A_CHANNELS_COMBINED_MAX},
    [COALESCE_ADAPTIVE_RX] = {"coalesce.adaptiveRx", COALESCE, ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX, 1, 0},
    [COALESCE_ADAPTIVE_TX] = {"coalesce.adaptiveTx", COALESCE, ETHTOOL_A_COALESCE_USE_ADAPTIVE_TX, 1, 0},
    [COALESCE_RX_USECS] = {"coalesce.rxUsecs", COALESCE, ETHTOOL_A_COALESCE_RX_USECS, 4, 0},
    [COALESCE_RX_FRAMES] = {"coalesce.rxFrames", COALESCE, ETHTOOL_A_COALESCE_RX_MAX_FRAMES, 4, 0},
    [COALESCE_RX_USECS_IRQ] = {"coalesce.rxUsecsIrq", COALESCE, ETHTOOL_A_COALESCE_RX_USECS_IRQ, 4, 0},
    [COALESCE_RX_FRAMES_IRQ] = {"coalesce.rxFramesIrq", COALESCE, ETHTOOL_A_COALESCE_RX_MAX_FRAMES_IRQ, 4, 0},
    [COALESCE_TX_USECS] = {"coalesce.txUsecs", COALESCE, ETHTOOL_A_COALESCE_TX_USECS, 4, 0},
    [COALESCE_TX_FRAMES] = {"coalesce.txFrames", COALESCE, ETHTOOL_A_COALESCE_TX_MAX_FRAMES, 4, 0},
    [COALESCE_TX_USECS_IRQ] = {"coalesce.txUsecsIrq", COALESCE, ETHTOOL_A_COALESCE_TX_USECS_IRQ, 4, 0},
    [COALESCE_TX_FRAMES_IRQ] = {"coalesce.txFramesIrq", COALESCE, ETHTOOL_A_COALESCE_TX_MAX_FRAMES_IRQ, 4, 0},
    [COALESCE_STATS_USECS] = {"coalesce.statsBlockUsecs", COALESCE, ETHTOOL_A_COALESCE_STATS_BLOCK_USECS, 4, 0},
    [PAUSE_AUTONEG] = {"pause.autoneg", PAUSE, ETHTOOL_A_PAUSE_AUTONEG, 1, 0},
    [PAUSE_RX] = {"pause.rx", PAUSE, ETHTOOL_A_PAUSE_RX, 1, 0},
    [PAUSE_TX] = {"pause.tx", PAUSE, ETHTOOL_A_PAUSE_TX, 1, 0},
};

static bool has(const struct ethtool_settings *s, size_t setting)
{
	return s->given & 1u << setting;
}

/* ---- reading --------------------------------------------------------------------------------------------------------------------- */

static int take(struct nlattr *const tb[], enum topic topic, struct ethtool_settings *s, struct ethtool_settings *max)
{
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		const struct nlattr *a = rows[i].topic == topic ? tb[rows[i].attribute] : NULL;
		if (!a)
			continue;
		if (nla_len(a) < rows[i].width)
			return -EBADMSG;
		s->v[i] = rows[i].width == 1 ? nla_get_u8(a) : nla_get_u32(a);
		s->given |= 1u << i;
		const struct nlattr *most = rows[i].max_attribute ? tb[rows[i].max_attribute] : NULL;
		if (!most || nla_len(most) < (int)sizeof(uint32_t))
			continue;
		max->v[i] = nla_get_u32(most);
		max->given |= 1u << i;
	}
	return 0;
}

int ethtool_settings_parse(const struct nlmsghdr *h, struct ethtool_settings *ret, struct ethtool_settings *ret_max)
{
	struct nlattr *tb[ATTRIBUTES_OF_MESSAGE_MAX];
	struct ethtool_settings s = *ret, max = *ret_max;
	if (nlmsg_parse((struct nlmsghdr *)h, GENL_HDRLEN, tb, ATTRIBUTES_OF_MESSAGE_MAX - 1, NULL) < 0)
		return -EBADMSG;
	const struct genlmsghdr *header = nlmsg_data(h);
	for (enum topic t = 0; t < TOPICS; t++)
		if (topics[t].reply == header->cmd) {
			int r = take(tb, t, &s, &max);
			if (r == 0) {
				*ret = s;
				*ret_max = max;
			}
			return r;
		}
	return -ENOMSG;
}

struct both {
	struct ethtool_settings is, max;
};

static int see_settings(const struct nlmsghdr *h, void *user)
{
	struct both *b = user;
	return ethtool_settings_parse(h, &b->is, &b->max);
}

static int topic_get(const struct ethtool_link *l, enum topic topic, struct both *ret, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = ethtool_request(l, topics[topic].get, 0);
	struct error ours = {0};
	int r = nlsock_ask(l->generic, m, see_settings, ret, &ours);
	return r == 0 || ethtool_lacks(r) ? 0 : error_set(e, r, "ethtool.%s: %s", topics[topic].name, ours.text);
}

static int all_get(const struct ethtool_link *l, struct both *ret, struct error *e)
{
	struct both b = {0};
	for (enum topic t = 0; t < TOPICS; t++) {
		int r = topic_get(l, t, &b, e);
		if (r < 0)
			return r;
	}
	*ret = b;
	return 0;
}

int ethtool_settings_get(const struct ethtool_link *l, struct ethtool_settings *ret, struct error *e)
{
	struct both b;
	int r = all_get(l, &b, e);
	if (r == 0)
		*ret = b.is;
	return r;
}

void ethtool_settings_keep(struct ethtool_settings *s)
{
	static const struct {
		uint32_t adaptive, numbers;
	} sides[] = {
	    {COALESCE_ADAPTIVE_RX,
	     1u << COALESCE_RX_USECS | 1u << COALESCE_RX_FRAMES | 1u << COALESCE_RX_USECS_IRQ | 1u << COALESCE_RX_FRAMES_IRQ},
	    {COALESCE_ADAPTIVE_TX,
	     1u << COALESCE_TX_USECS | 1u << COALESCE_TX_FRAMES | 1u << COALESCE_TX_USECS_IRQ | 1u << COALESCE_TX_FRAMES_IRQ},
	};
	for (size_t i = 0; i < ELEMENTS(sides); i++)
		if (has(s, sides[i].adaptive) && s->v[sides[i].adaptive])
			s->given &= ~sides[i].numbers;
}

/* ---- setting --------------------------------------------------------------------------------------------------------------------- */

static bool is_to_be_set(size_t setting, const struct ethtool_settings *wanted, const struct ethtool_settings *is)
{
	return has(wanted, setting) && has(is, setting) && wanted->v[setting] != is->v[setting];
}

/* 1 = something was set, 0 = all is so already. */
static int topic_set(const struct ethtool_link *l, enum topic topic, const struct ethtool_settings *wanted,
                     const struct ethtool_settings *is, struct error *e)
{
	bool any = false;
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		any |= rows[i].topic == topic && is_to_be_set(i, wanted, is);
	if (!any)
		return 0;
	_cleanup_nlmsg_ struct nl_msg *m = ethtool_request(l, topics[topic].set, 0);
	struct error ours = {0};
	for (size_t i = 0; m && i < ELEMENTS(rows); i++) {
		if (rows[i].topic != topic || !is_to_be_set(i, wanted, is))
			continue;
		int r = rows[i].width == 1 ? nla_put_u8(m, rows[i].attribute, (uint8_t)wanted->v[i])
		                           : nla_put_u32(m, rows[i].attribute, wanted->v[i]);
		if (r < 0)
			return error_set(e, -EMSGSIZE, "request too large");
	}
	int r = nlsock_ask(l->generic, m, NULL, NULL, &ours);
	return r < 0 ? error_set(e, r, "ethtool.%s: %s", topics[topic].name, ours.text) : 1;
}

int ethtool_settings_set(const struct ethtool_link *l, const struct ethtool_settings *wanted, const struct ethtool_settings *is,
                         struct error *e)
{
	struct both now = {.is = *is};
	int result = 0;
	bool changed = false;
	for (enum topic t = 0; t < TOPICS; t++) {
		/* A driver that makes new queues gives them rings and coalescing of its own choice. */
		if (changed)
			(void)topic_get(l, t, &now, NULL);
		int r = topic_set(l, t, wanted, &now.is, result == 0 ? e : NULL);
		changed |= r > 0;
		result = result < 0 || r > 0 ? result : r;
	}
	return result;
}

void ethtool_settings_compare(const struct ethtool_settings *was, const struct ethtool_settings *is,
                              void (*differs)(const char *name, uint32_t is, uint32_t was, void *user), void *user)
{
	for (size_t i = 0; i < ELEMENTS(rows); i++)
		if (is_to_be_set(i, was, is))
			differs(rows[i].name, is->v[i], was->v[i], user);
}

static void add_fault(const char *name, uint32_t is, uint32_t was, void *user)
{
	error_append(user, -EREMOTEIO, "ethtool.%s: the driver made %u of %u", name, is, was);
}

int ethtool_settings_accept(const struct ethtool_link *l, const struct ethtool_settings *wanted, struct ethtool_settings *ret_is,
                            struct error *e)
{
	struct both b = {0};
	struct error faults = {0};
	int r = wanted->given ? all_get(l, &b, e) : 0;
	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		if (has(wanted, i) && !has(&b.is, i))
			error_append(&faults, -EINVAL, "ethtool.%s: the device has no such setting", rows[i].name);
		else if (has(wanted, i) && has(&b.max, i) && wanted->v[i] > b.max.v[i])
			error_append(&faults, -EINVAL, "ethtool.%s: %u is more than the device can have, %u", rows[i].name, wanted->v[i],
			             b.max.v[i]);
	}
	if (faults.code)
		return error_set(e, faults.code, "%s", faults.text);
	*ret_is = b.is;
	return 0;
}

int ethtool_settings_apply(const struct ethtool_link *l, const struct ethtool_settings *wanted, struct error *e)
{
	struct ethtool_settings is;
	struct error faults = {0};
	if (!wanted->given)
		return 0;
	int r = ethtool_settings_accept(l, wanted, &is, e);
	if (r == 0)
		r = ethtool_settings_set(l, wanted, &is, e);
	if (r == 0)
		r = ethtool_settings_get(l, &is, e);
	if (r < 0)
		return r;
	ethtool_settings_compare(wanted, &is, add_fault, &faults);
	return faults.code ? error_set(e, faults.code, "%s", faults.text) : 0;
}
