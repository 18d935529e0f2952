/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of ethtool and of traffic control, and what a record may hold of eBPF programs. The first byte chooses what wishes the features
 * are asked for. */
#include <stdlib.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "netlink/ebpf_kept.h"
#include "netlink/ethtool_settings.h"
#include "netlink/features.h"
#include "netlink/private_flags.h"
#include "netlink/tc_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t size)
{
	if (!memchr(text, 0, size))
		abort();
}

/* Whatever is asked for, only bits that may be changed are. */
static void wish(const struct feature_table *t, uint8_t choice)
{
	static const char *const names[] = {"tso", "tx", "tx-checksumming", "rx-gro", "highdma", "lro", "sg", "nonsense"};
	struct ethtool_switch wishes[ELEMENTS(names)] = {0};
	struct feature_request r = {0};
	struct error e = {0};
	size_t n = 0;
	for (size_t i = 0; i < ELEMENTS(names); i++) {
		if (!(choice & 1u << i))
			continue;
		strcpy(wishes[n].name, names[i]);
		wishes[n++].on = (choice + i) % 3;
	}
	for (size_t i = 0; i < t->n; i++)
		check_text(t->v[i].name, sizeof(t->v[i].name));
	(void)features_check(t, wishes, n, &e);
	if (features_resolve(t, wishes, n, &r, &e) < 0)
		return;
	for (size_t word = 0; word < BITSET_WORDS_MAX; word++) {
		uint32_t changeable = 0;
		for (size_t i = 0; i < t->n; i++)
			if (t->v[i].bit / 32 == word && t->v[i].changeable)
				changeable |= 1u << t->v[i].bit % 32;
		if ((r.mask[word] & ~changeable) || (r.value[word] & ~r.mask[word]) || (word >= r.n_words && r.mask[word]))
			abort();
	}
}

static void parse_switches(const struct nlmsghdr *h, uint8_t choice)
{
	static struct feature_table features;
	static struct private_flag_table flags;
	struct bytes kept[2] = {{0}, {0}};
	uint32_t differ[BITSET_WORDS_MAX], on[BITSET_WORDS_MAX], mask, value;
	const struct ethtool_switch flag = {"loss-recovery", true};
	struct error e;
	if (features_parse(h, &kept[0]) == 0 && bits_difference(&kept[0], &kept[0], differ, on) != 0)
		abort();
	(void)private_flags_parse(h, &kept[1]);
	(void)bits_difference(&kept[0], &kept[1], differ, on);
	free(kept[0].data);
	free(kept[1].data);
	if (feature_table_parse(h, &features) == 0)
		wish(&features, choice);
	if (private_flag_table_parse(h, &flags) == 0)
		(void)private_flags_resolve(&flags, &flag, 1, &mask, &value, &e);
}

static void parse_filters(const struct nlmsghdr *h)
{
	struct tc_filter f;
	char kind[IFNAME_SIZE];
	uint32_t xdp[EBPF_XDP_HARDWARE + 1];
	if (tc_filter_parse(h, &f) == 0)
		check_text(f.name, sizeof(f.name));
	if (tc_doors_parse(h, kind) == 0)
		check_text(kind, sizeof(kind));
	(void)ebpf_xdp_parse(h, xdp);
}

static void see(const char *what, void *user)
{
	if (strlen(what) == 0)
		abort();
	(*(size_t *)user)++;
}

static void parse_kept(const uint8_t *data, size_t size)
{
	struct bytes kept = {(uint8_t *)data, size}, again = {0};
	struct ebpf_list l = {0}, none = {0};
	size_t differences = 0;
	if (ebpf_kept_parse(&kept, &l) < 0)
		return;
	ebpf_compare(&l, &none, see, &differences);
	ebpf_compare(&none, &l, see, &differences);
	if (l.n && !differences)
		abort();
	if (ebpf_keep(&l, &again) < 0)
		abort();
	ebpf_list_free(&none);
	if (ebpf_kept_parse(&again, &none) < 0 || none.n != l.n)
		abort();
	free(again.data);
	ebpf_list_free(&l);
	ebpf_list_free(&none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ethtool_settings s = {0}, max = {0};
	if (size < 1 || size > NLSOCK_RECEIVE_SIZE)
		return 0;
	parse_kept(data + 1, size - 1);
	int left = (int)size - 1;
	uint8_t *copy = malloc(size); /* aligned as a receive buffer, and no longer than the message */
	if (!copy)
		return 0;
	memcpy(copy, data + 1, size - 1);
	for (struct nlmsghdr *h = (struct nlmsghdr *)copy; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
		parse_switches(h, data[0]);
		parse_filters(h);
		(void)ethtool_settings_parse(h, &s, &max);
	}
	free(copy);
	return 0;
}
