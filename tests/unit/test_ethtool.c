/* SPDX-License-Identifier: Apache-2.0 */
/* Features, private flags and numbers of ethtool: what wishes mean for a device, what answers tell, and on the real kernel what a pod gets
 * and what comes back. veth has features and channels, tap has coalescing; the rest is read from answers made here. */
#include "mover_fixture.h"

#include <linux/genetlink.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/ethtool_settings.h"
#include "netlink/features.h"
#include "netlink/private_flags.h"

/* ---- answers ---------------------------------------------------------------------------------------------------------------------- */

static struct nl_msg *answer(uint8_t command)
{
	const struct genlmsghdr header = {.cmd = command, .version = 1};
	struct nl_msg *m = nlsock_request(GENL_ID_CTRL + 1, 0, &header, sizeof(header));
	assert_non_null(m);
	return m;
}

static void put_words(struct nl_msg *m, int attribute, uint32_t bits, const uint32_t *value, const uint32_t *mask)
{
	struct nlattr *nest = nla_nest_start(m, attribute);
	int bytes = (int)((bits + 31) / 32 * 4);
	nla_put_u32(m, ETHTOOL_A_BITSET_SIZE, bits);
	if (value)
		nla_put(m, ETHTOOL_A_BITSET_VALUE, bytes, value);
	if (mask)
		nla_put(m, ETHTOOL_A_BITSET_MASK, bytes, mask);
	nla_nest_end(m, nest);
}

/* Bits of a list: name, and 'v' for those with a value flag. */
static void put_list(struct nl_msg *m, int attribute, bool mask, size_t n, const char *const *names, const char *flags)
{
	struct nlattr *nest = nla_nest_start(m, attribute);
	if (!mask)
		nla_put_flag(m, ETHTOOL_A_BITSET_NOMASK);
	nla_put_u32(m, ETHTOOL_A_BITSET_SIZE, (uint32_t)n);
	struct nlattr *bits = nla_nest_start(m, ETHTOOL_A_BITSET_BITS);
	for (size_t i = 0; i < n; i++) {
		if (!mask && flags[i] != 'v')
			continue;
		struct nlattr *bit = nla_nest_start(m, ETHTOOL_A_BITSET_BITS_BIT);
		nla_put_u32(m, ETHTOOL_A_BITSET_BIT_INDEX, (uint32_t)i);
		nla_put_string(m, ETHTOOL_A_BITSET_BIT_NAME, names[i]);
		if (mask && flags[i] == 'v')
			nla_put_flag(m, ETHTOOL_A_BITSET_BIT_VALUE);
		nla_nest_end(m, bit);
	}
	nla_nest_end(m, bits);
	nla_nest_end(m, nest);
}

static void private_flags_are_read_in_both_forms(void **state)
{
	(void)state;
	static const uint32_t on[] = {0x2}, has[] = {0x7};
	static const char *const names[] = {"rx_cqe_moder", "rx_striding_rq", "skb_tx_mpwqe"};
	_cleanup_nlmsg_ struct nl_msg *brief = answer(ETHTOOL_MSG_PRIVFLAGS_GET_REPLY), *full = answer(ETHTOOL_MSG_PRIVFLAGS_GET_REPLY);
	struct bytes kept = {0};
	uint32_t words[2], mask, value;
	put_words(brief, ETHTOOL_A_PRIVFLAGS_FLAGS, 3, on, has);
	assert_int_equal(private_flags_parse(nlmsg_hdr(brief), &kept), 0);
	assert_int_equal(kept.n, sizeof(words));
	memcpy(words, kept.data, sizeof(words));
	assert_int_equal(words[0], 0x7);
	assert_int_equal(words[1], 0x2);
	free(kept.data);

	struct private_flag_table t;
	put_list(full, ETHTOOL_A_PRIVFLAGS_FLAGS, true, ELEMENTS(names), names, "-v-");
	assert_int_equal(private_flag_table_parse(nlmsg_hdr(full), &t), 0);
	assert_int_equal(t.n, 3);
	assert_true(!t.v[0].on && t.v[1].on && !t.v[2].on);
	const struct ethtool_switch wishes[] = {{"skb_tx_mpwqe", true}, {"rx_striding_rq", false}}, wrong[] = {{"rx_striding", true}};
	struct error e = {0};
	assert_int_equal(private_flags_resolve(&t, wishes, 2, &mask, &value, &e), 0);
	assert_int_equal(mask, 0x6);
	assert_int_equal(value, 0x4);
	assert_int_equal(private_flags_resolve(&t, wrong, 1, &mask, &value, &e), -EINVAL);
	assert_string_equal(
	    e.text, "ethtool.privateFlags.rx_striding: the driver has no such flag; it has: rx_cqe_moder, rx_striding_rq, skb_tx_mpwqe");
}

static void numbers_are_read_from_four_messages(void **state)
{
	(void)state;
	_cleanup_nlmsg_ struct nl_msg *rings = answer(ETHTOOL_MSG_RINGS_GET_REPLY), *channels = answer(ETHTOOL_MSG_CHANNELS_GET_REPLY),
				      *coalesce = answer(ETHTOOL_MSG_COALESCE_GET_REPLY), *pause = answer(ETHTOOL_MSG_PAUSE_GET_REPLY),
				      *other = answer(ETHTOOL_MSG_EEE_GET_REPLY), *cut = answer(ETHTOOL_MSG_RINGS_GET_REPLY);
	struct ethtool_settings s = {0}, max = {0}, before;
	nla_put_u32(rings, ETHTOOL_A_RINGS_RX_MAX, 4096);
	nla_put_u32(rings, ETHTOOL_A_RINGS_RX, 512);
	nla_put_u32(rings, ETHTOOL_A_RINGS_TX, 256);
	nla_put_u32(channels, ETHTOOL_A_CHANNELS_COMBINED_COUNT, 8);
	nla_put_u8(coalesce, ETHTOOL_A_COALESCE_USE_ADAPTIVE_RX, 1);
	nla_put_u32(coalesce, ETHTOOL_A_COALESCE_RX_USECS, 50);
	nla_put_u32(coalesce, ETHTOOL_A_COALESCE_TX_USECS, 60);
	nla_put_u8(pause, ETHTOOL_A_PAUSE_AUTONEG, 0);
	nla_put_u8(pause, ETHTOOL_A_PAUSE_RX, 1);
	assert_int_equal(ethtool_settings_parse(nlmsg_hdr(rings), &s, &max), 0);
	assert_int_equal(ethtool_settings_parse(nlmsg_hdr(channels), &s, &max), 0);
	assert_int_equal(ethtool_settings_parse(nlmsg_hdr(coalesce), &s, &max), 0);
	assert_int_equal(ethtool_settings_parse(nlmsg_hdr(pause), &s, &max), 0);
	assert_int_equal(s.given, 1u << RING_RX | 1u << RING_TX | 1u << CHANNELS_COMBINED | 1u << COALESCE_ADAPTIVE_RX |
	                              1u << COALESCE_RX_USECS | 1u << COALESCE_TX_USECS | 1u << PAUSE_AUTONEG | 1u << PAUSE_RX);
	assert_int_equal(s.v[RING_RX], 512);
	assert_int_equal(max.given, 1u << RING_RX);
	assert_int_equal(max.v[RING_RX], 4096);
	assert_int_equal(s.v[RING_TX], 256);
	assert_int_equal(s.v[CHANNELS_COMBINED], 8);
	assert_int_equal(s.v[COALESCE_TX_USECS], 60);
	assert_int_equal(s.v[PAUSE_RX], 1);

	before = s;
	nla_put_u8(cut, ETHTOOL_A_RINGS_RX, 1); /* should have four bytes */
	assert_int_equal(ethtool_settings_parse(nlmsg_hdr(other), &s, &max), -ENOMSG);
	assert_int_equal(ethtool_settings_parse(nlmsg_hdr(cut), &s, &max), -EBADMSG);
	assert_memory_equal(&s, &before, sizeof(s));
	ethtool_settings_keep(&s); /* an adaptive driver's numbers of the moment are not kept */
	assert_int_equal(s.given, before.given & ~(1u << COALESCE_RX_USECS));
}

/* ---- what wishes mean --------------------------------------------------------------------------------------------------------------- */

static const char *const feature_names[] = {
    "tx-checksum-ipv4",
    "tx-checksum-ip-generic",
    "tx-checksum-sctp",
    "tx-tcp-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-tcp6-segmentation",
    "rx-gro",
    "rx-lro",
    "rx-vlan-filter",
    "highdma",
    "rx-hashing",
    "tx-generic-segmentation",
    "rx-checksum",
    "tx-scatter-gather",
    "tx-scatter-gather-fraglist",
    "hsr-dup-offload",
    "tx-udp-fragmentation",
};
static const char changeable_ones[] = "-vvvvvv--vvvvvv--", active_ones[] = "-vvvv-v--vvvvvv--";

static void make_table(struct feature_table *t)
{
	_cleanup_nlmsg_ struct nl_msg *m = answer(ETHTOOL_MSG_FEATURES_GET_REPLY);
	put_list(m, ETHTOOL_A_FEATURES_HW, true, ELEMENTS(feature_names), feature_names, changeable_ones);
	put_list(m, ETHTOOL_A_FEATURES_WANTED, false, ELEMENTS(feature_names), feature_names, active_ones);
	put_list(m, ETHTOOL_A_FEATURES_ACTIVE, false, ELEMENTS(feature_names), feature_names, active_ones);
	/* "highdma" could be changed by its own bit, but never may. */
	put_list(m, ETHTOOL_A_FEATURES_NOCHANGE, false, ELEMENTS(feature_names), feature_names, "---------v-------");
	assert_int_equal(feature_table_parse(nlmsg_hdr(m), t), 0);
	assert_int_equal(t->n, ELEMENTS(feature_names));
}

struct resolve_row {
	const char *wishes; /* "tso+ gro-" */
	const char *mask;   /* names of what is asked, with + or - */
	const char *error;  /* NULL = none */
	bool better;        /* than DRANET, deliberately */
};

static size_t read_wishes(const char *text, struct ethtool_switch *ret)
{
	size_t n = 0;
	char copy[256], *rest = copy;
	assert_int_equal(STR_COPY(copy, text), 0);
	for (char *word; (word = strtok_r(rest, " ", &rest)); n++) {
		size_t len = strlen(word);
		ret[n].on = word[len - 1] == '+';
		word[len - 1] = '\0';
		assert_int_equal(STR_COPY(ret[n].name, word), 0);
	}
	return n;
}

static void show_request(const struct feature_table *t, const struct feature_request *r, char *text, size_t size)
{
	text[0] = '\0';
	for (size_t i = 0; i < t->n; i++) {
		uint32_t bit = t->v[i].bit;
		if (r->mask[bit / 32] & 1u << bit % 32)
			snprintf(text + strlen(text), size - strlen(text), "%s%s%c", text[0] ? " " : "", t->v[i].name,
			         r->value[bit / 32] & 1u << bit % 32 ? '+' : '-');
	}
}

static void names_become_bits(void **state)
{
	(void)state;
	static const struct resolve_row rows[] = {
	    {"tx-tcp-segmentation-", "tx-tcp-segmentation-", NULL, false},
	    {"tso-", "tx-tcp-segmentation- tx-tcp-ecn-segmentation- tx-tcp6-segmentation-", NULL, false},
	    {"tcp-segmentation-offload+", "tx-tcp-segmentation+ tx-tcp-ecn-segmentation+ tx-tcp6-segmentation+", NULL, false},
	    {"sg-", "tx-scatter-gather- tx-scatter-gather-fraglist-", NULL, false},
	    {"rx- gro- gso- rxhash-", "rx-gro- rx-hashing- tx-generic-segmentation- rx-checksum-", NULL, false},
	    {"lro-", "", NULL, false},            /* fixed, and as asked */
	    {"rx-vlan-filter-", "", NULL, false}, /* the same of a single one */
	    {"ntuple+", NULL, "ethtool.features.ntuple: this kernel has no such feature", false},
	    {"rx-vlan-filter+", NULL, "ethtool.features.rx-vlan-filter: it is off on this device and cannot be changed", false},
	    {"hsr-dup-offload+", NULL, "ethtool.features.hsr-dup-offload: it is off", false},
	    {"tso- nonsense+", NULL, "ethtool.features.nonsense: this kernel has no such feature", false},
	    {"tx+", "tx-checksum-ip-generic+ tx-checksum-sctp+", NULL, true}, /* DRANET asks for the fixed one, too, and fails */
	    {"tx-", "tx-checksum-ip-generic- tx-checksum-sctp-", NULL, false},
	    {"lro+", NULL, "ethtool.features.lro: it is off on this device and cannot be changed", true}, /* at once, not after trying */
	    {"ufo+ highdma-", NULL,
	     "ethtool.features.ufo: it is off on this device and cannot be changed; ethtool.features.highdma: it is on", true},
	    {"tx-checksum-sctp- tx+", "tx-checksum-ip-generic+ tx-checksum-sctp-", NULL, true}, /* the exact name counts */
	    {"tso+ tcp-segmentation-offload-", "tx-tcp-segmentation- tx-tcp-ecn-segmentation- tx-tcp6-segmentation-", NULL, true},
	    {"tx-checksum+", NULL, "; did you mean \"rx-checksum\"?", true},
	    {"checksum-+", NULL, "; there are tx-checksum-ipv4, tx-checksum-ip-generic, tx-checksum-sctp", true},
	    {"tos-", NULL, "ethtool.features.tos: this kernel has no such feature; did you mean \"tso\"?", true},
	};
	_cleanup_free_ struct feature_table *t = calloc(1, sizeof(*t));
	size_t better = 0;
	make_table(t);
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct ethtool_switch wishes[8];
		struct feature_request request = {.n_words = 99};
		struct error e = {0};
		char text[256];
		int r = features_resolve(t, wishes, read_wishes(rows[i].wishes, wishes), &request, &e);
		better += rows[i].better;
		if (rows[i].error) {
			assert_int_equal(r, -EINVAL);
			assert_int_equal(request.n_words, 99);
			if (!strstr(e.text, rows[i].error))
				fail_msg("%s: \"%s\" instead of \"%s\"", rows[i].wishes, e.text, rows[i].error);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", rows[i].wishes, e.text);
		show_request(t, &request, text, sizeof(text));
		assert_string_equal(text, rows[i].mask);
	}
	print_message("%zu rows, %zu of them deliberately other than DRANET\n", ELEMENTS(rows), better);
}

static void what_did_not_take_effect_is_named(void **state)
{
	(void)state;
	static const struct resolve_row rows[] = {
	    {"tso+ tx+ gro+", NULL, NULL, false}, /* one of the group is enough */
	    {"tx-tcp6-segmentation+", NULL, "ethtool.features.tx-tcp6-segmentation: it stays off", false},
	    {"tso-", NULL, "ethtool.features.tso: it stays on", false},
	    {"gro- rx-hashing- sg+", NULL,
	     "ethtool.features.gro: it stays on: the driver or another feature demands it; "
	     "ethtool.features.rx-hashing: it stays on",
	     false},
	    {"tx-tcp-segmentation+ tx-tcp-ecn-segmentation+ tso-", NULL, NULL, false}, /* nothing is left to the group but what is off */
	};
	_cleanup_free_ struct feature_table *t = calloc(1, sizeof(*t));
	make_table(t);
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct ethtool_switch wishes[8];
		struct error e = {0};
		int r = features_check(t, wishes, read_wishes(rows[i].wishes, wishes), &e);
		assert_int_equal(r, rows[i].error ? -EREMOTEIO : 0);
		if (rows[i].error && !str_starts(e.text, rows[i].error))
			fail_msg("%s: %s", rows[i].wishes, e.text);
	}
}

/* ---- on the real kernel ------------------------------------------------------------------------------------------------------------- */

static void make_queues(void)
{
	host("ip link add nic0 numtxqueues 4 numrxqueues 4 type veth peer name peer0 numtxqueues 4 numrxqueues 4");
	host("ip link set peer0 up && ip link set nic0 up");
}

static void features_are_set_in_the_pod_and_come_back(void **state)
{
	struct world *w = *state;
	make_queues();
	host("ethtool -K nic0 gro on highdma off");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct ethtool_switch wishes[] = {{"tso", false}, {"gro", false}, {"highdma", true}, {"tx", true}, {"rx-gro-list", true}};
	char *before = text_of(-1, "ethtool -k nic0");
	p.pod.features = wishes, p.pod.n_features = ELEMENTS(wishes);
	attach(w, &p);
	static const char *const shown[] = {"tcp-segmentation-offload: off", "tx-tcp6-segmentation: off",
	                                    "generic-receive-offload: off",  "highdma: on",
	                                    "tx-checksum-ip-generic: on",    "rx-gro-list: on"};
	for (size_t i = 0; i < ELEMENTS(shown); i++)
		assert_shows(w->pod, "ethtool -k net1", shown[i]);
	assert_home(w, &p);
	char *after = text_of(-1, "ethtool -k nic0");
	assert_string_equal(before, after);
	free(before);
	free(after);
	host_state_free(&p.host);
}

static void what_cannot_be_set_is_undone(void **state)
{
	struct world *w = *state;
	make_queues();
	const struct {
		struct ethtool_switch feature, flag;
		enum ethtool_setting setting;
		uint32_t value;
		int code;
		const char *says;
	} rows[] = {
	    {{"rx-vlan-filter", true}, {"", false}, 0, 0, -EINVAL, "ethtool.features.rx-vlan-filter: it is off"},
	    {{"hsr-dup-offload", true}, {"", false}, 0, 0, -EINVAL, "ethtool.features.hsr-dup-offload: it is off"},
	    {{"lro", true}, {"", false}, 0, 0, -EINVAL, "ethtool.features.lro: it is off"},
	    {{"tos", true}, {"", false}, 0, 0, -EINVAL, "ethtool.features.tos: this kernel has no such feature"},
	    {{"", false}, {"rx_cqe", true}, 0, 0, -EINVAL, "ethtool.privateFlags.rx_cqe: the driver has no such flag; it has: none"},
	    {{"tso", false}, {"", false}, RING_RX, 512, -EINVAL, "ethtool.rings.rx: the device has no such setting"},
	    {{"tso", false}, {"", false}, CHANNELS_RX, 9, -EINVAL, "ethtool.channels.rx: 9 is more than the device can have, 4"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct attach_plan p = plan_for(w, "nic0", "net1");
		struct ethtool_switch feature = rows[i].feature, flag = rows[i].flag;
		char *before = text_of(-1, "ethtool -k nic0; ethtool -l nic0");
		p.pod.features = &feature, p.pod.n_features = feature.name[0] != '\0';
		p.pod.private_flags = &flag, p.pod.n_private_flags = flag.name[0] != '\0';
		p.pod.ethtool.given = rows[i].value ? 1u << rows[i].setting : 0;
		p.pod.ethtool.v[rows[i].setting] = rows[i].value;
		struct error e = attach_fails(w, &p, rows[i].code), early = {0};
		if (!str_starts(e.text, rows[i].says))
			fail_msg("\"%s\" instead of \"%s\"", e.text, rows[i].says);
		/* The same without touching the device: at Prepare. */
		assert_int_equal(mover_check(w->mover, p.host.ifindex, &p.pod, &early), rows[i].code);
		assert_string_equal(early.text, e.text);
		char *after = text_of(-1, "ethtool -k nic0; ethtool -l nic0");
		assert_string_equal(before, after);
		free(before);
		free(after);
		host_state_free(&p.host);
	}
}

static void channels_are_set_in_the_pod_and_come_back(void **state)
{
	struct world *w = *state;
	make_queues();
	host("ethtool -L nic0 rx 3 tx 2");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = text_of(-1, "ethtool -l nic0");
	p.pod.ethtool.given = 1u << CHANNELS_RX | 1u << CHANNELS_TX;
	p.pod.ethtool.v[CHANNELS_RX] = 2;
	p.pod.ethtool.v[CHANNELS_TX] = 4;
	attach(w, &p);
	assert_shows(w->pod, "ethtool -l net1 | tail -n 5 | tr -d '\\t\\n'", "RX:2TX:4");
	in_pod(w->pod, "ethtool -L net1 rx 1 tx 1"); /* the pod's own idea */
	assert_home(w, &p);
	char *after = text_of(-1, "ethtool -l nic0");
	assert_string_equal(before, after);
	free(before);
	free(after);
	host_state_free(&p.host);
}

static void coalescing_is_set_and_what_the_driver_makes_of_it_is_told(void **state)
{
	struct world *w = *state;
	if (system("ip tuntap add nic0 mode tap 2>/dev/null") != 0) {
		print_message("SKIPPED: this kernel has no tap devices\n");
		return;
	}
	host("ethtool -C nic0 rx-frames 7");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	assert_int_equal(p.host.ethtool.v[COALESCE_RX_FRAMES], 7);
	p.pod.ethtool.given = 1u << COALESCE_RX_FRAMES;
	p.pod.ethtool.v[COALESCE_RX_FRAMES] = 12;
	attach(w, &p);
	assert_shows(w->pod, "ethtool -c net1", "rx-frames: 12");
	assert_home(w, &p);
	assert_shows(-1, "ethtool -c nic0", "rx-frames: 7");
	p.pod.ethtool.v[COALESCE_RX_FRAMES] = 100;
	struct error e = attach_fails(w, &p, -EREMOTEIO);
	assert_string_equal(e.text, "ethtool.coalesce.rxFrames: the driver made 64 of 100");
	assert_shows(-1, "ethtool -c nic0", "rx-frames: 7");
	p.pod.ethtool = (struct ethtool_settings){.given = 1u << COALESCE_TX_USECS};
	e = attach_fails(w, &p, -EINVAL);
	assert_string_equal(e.text, "ethtool.coalesce.txUsecs: the device has no such setting");
	host_state_free(&p.host);
}

/* A record of another kernel, or of before the driver was updated: what cannot be is told and costs nothing else. */
static void what_cannot_come_back_is_told(void **state)
{
	struct world *w = *state;
	make_queues();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	assert_true(p.host.ethtool.given & 1u << CHANNELS_RX);
	p.host.ethtool.v[CHANNELS_RX] = 9;
	attach(w, &p);
	in_pod(w->pod, "ethtool -K net1 tso off");
	struct move_result r = detach(w, &p, w->pod);
	assert_int_equal(r.place, PLACE_HOST);
	assert_true(str_starts(r.differences, "channels.rx is 4, was 9; because: ethtool.channels: "));
	assert_shows(-1, "ethtool -k nic0", "tcp-segmentation-offload: on");
	host_state_free(&p.host);
}

/* A driver made for tests: it has rings, channels, coalescing and pause, all as numbers in memory. */
static void a_driver_with_everything_keeps_everything(void **state)
{
	struct world *w = *state;
	if (access("/sys/bus/netdevsim/new_device", W_OK) != 0) {
		print_message("SKIPPED: this kernel has no netdevsim\n");
		return;
	}
	host("echo '7 1 4' > /sys/bus/netdevsim/new_device");
	host("timeout 10 sh -c 'until ls /sys/bus/netdevsim/devices/netdevsim7/net/*/ifindex; do :; done' > /dev/null 2>&1 && "
	     "n=$(ls /sys/bus/netdevsim/devices/netdevsim7/net) && ip link set $n down && { [ $n = nic0 ] || ip link set $n name nic0; }");
	host("ethtool -G nic0 rx 256 && ethtool -C nic0 rx-usecs 30 tx-frames 9 stats-block-usecs 77 && ethtool -A nic0 rx on tx off");
	struct attach_plan p = plan_for(w, "nic0", "net1");
	char *before = text_of(-1, "ethtool -g nic0; ethtool -l nic0; ethtool -c nic0; ethtool -a nic0");
	static const struct {
		enum ethtool_setting setting;
		uint32_t value;
	} wanted[] = {{RING_RX, 512},
	              {RING_TX, 128},
	              {CHANNELS_COMBINED, 2},
	              {COALESCE_RX_USECS, 50},
	              {COALESCE_TX_FRAMES, 5},
	              {COALESCE_STATS_USECS, 1},
	              {COALESCE_ADAPTIVE_TX, 1},
	              {PAUSE_RX, 0},
	              {PAUSE_TX, 1}};
	for (size_t i = 0; i < ELEMENTS(wanted); i++) {
		p.pod.ethtool.given |= 1u << wanted[i].setting;
		p.pod.ethtool.v[wanted[i].setting] = wanted[i].value;
	}
	attach(w, &p);
	assert_shows(w->pod, "ethtool -g net1 | tail -n 8 | tr -s '\\t ' ' '", "RX: 512");
	assert_shows(w->pod, "ethtool -g net1 | tail -n 8 | tr -s '\\t ' ' '", "TX: 128");
	assert_shows(w->pod, "ethtool -l net1 | tail -n 2 | tr -s '\\t ' ' '", "Combined: 2");
	assert_shows(w->pod, "ethtool -c net1 | tr -s '\\t ' ' '", "rx-usecs: 50");
	assert_shows(w->pod, "ethtool -c net1 | tr -s '\\t ' ' '", "tx-frames: 5");
	assert_shows(w->pod, "ethtool -a net1 | tr -s '\\t ' ' '", "TX: on");
	in_pod(w->pod, "ethtool -C net1 rx-frames 3"); /* the pod's own idea */
	assert_home(w, &p);
	char *after = text_of(-1, "ethtool -g nic0; ethtool -l nic0; ethtool -c nic0; ethtool -a nic0");
	assert_string_equal(before, after);
	free(after);
	/* Numbers beside an adaptation that was off are set right, though it was on when the device came home. */
	struct ethtool_settings given = p.pod.ethtool;
	p.pod.ethtool = (struct ethtool_settings){0};
	attach(w, &p);
	in_pod(w->pod, "ethtool -C net1 adaptive-rx on rx-usecs 8");
	assert_home(w, &p);
	after = text_of(-1, "ethtool -g nic0; ethtool -l nic0; ethtool -c nic0; ethtool -a nic0");
	assert_string_equal(before, after);
	free(before);
	free(after);
	struct error e = {0};
	p.pod.ethtool = given;
	p.pod.ethtool.v[RING_RX] = 1000000;
	assert_int_equal(mover_check(w->mover, p.host.ifindex, &p.pod, &e), -EINVAL);
	assert_true(str_starts(e.text, "ethtool.rings.rx: 1000000 is more than the device can have, "));
	host_state_free(&p.host);
	host("echo 7 > /sys/bus/netdevsim/del_device");
}

/* At Prepare, all faults at once. */
static void a_check_names_everything_and_changes_nothing(void **state)
{
	struct world *w = *state;
	make_queues();
	struct attach_plan p = plan_for(w, "nic0", "net1");
	struct error e = {0};
	struct ethtool_switch features[] = {{"tso", false}, {"gro", true}, {"nonsense", true}}, flags[] = {{"rx_cqe", true}};
	char *before = text_of(-1, "ethtool -k nic0; ethtool -l nic0");
	p.pod.features = features, p.pod.n_features = 2;
	p.pod.ethtool.given = 1u << CHANNELS_TX;
	p.pod.ethtool.v[CHANNELS_TX] = 1;
	assert_int_equal(mover_check(w->mover, p.host.ifindex, &p.pod, &e), 0);
	p.pod.n_features = 3;
	p.pod.private_flags = flags, p.pod.n_private_flags = 1;
	p.pod.ethtool.given |= 1u << PAUSE_RX;
	assert_int_equal(mover_check(w->mover, p.host.ifindex, &p.pod, &e), -EINVAL);
	assert_string_equal(e.text,
	                    "ethtool.privateFlags.rx_cqe: the driver has no such flag; it has: none; ethtool.pause.rx: the device has "
	                    "no such setting; ethtool.features.nonsense: this kernel has no such feature");
	char *after = text_of(-1, "ethtool -k nic0; ethtool -l nic0");
	assert_string_equal(before, after);
	free(before);
	free(after);
	host_state_free(&p.host);
}

int main(void)
{
	const struct CMUnitTest answers[] = {
	    cmocka_unit_test(private_flags_are_read_in_both_forms),
	    cmocka_unit_test(numbers_are_read_from_four_messages),
	    cmocka_unit_test(names_become_bits),
	    cmocka_unit_test(what_did_not_take_effect_is_named),
	};
	const struct CMUnitTest kernel[] = {
	    kernel_test(features_are_set_in_the_pod_and_come_back),
	    kernel_test(what_cannot_be_set_is_undone),
	    kernel_test(channels_are_set_in_the_pod_and_come_back),
	    kernel_test(coalescing_is_set_and_what_the_driver_makes_of_it_is_told),
	    kernel_test(what_cannot_come_back_is_told),
	    kernel_test(a_driver_with_everything_keeps_everything),
	    kernel_test(a_check_names_everything_and_changes_nothing),
	};
	int failed = cmocka_run_group_tests(answers, NULL, NULL);
	return fixture_possible() ? failed + cmocka_run_group_tests(kernel, NULL, NULL) : failed;
}
