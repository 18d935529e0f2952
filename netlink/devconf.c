/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/devconf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/mark.h"
#include "core/base/str.h"
#include "netlink/link_state.h"

/* In the order of IPV4_DEVCONF_* (linux/ip.h), which counts from 1. NULL: read-only. */
static const char *const names4[] = {
    "forwarding",
    NULL, /* mc_forwarding */
    "proxy_arp",
    "accept_redirects",
    "secure_redirects",
    "send_redirects",
    "shared_media",
    "rp_filter",
    "accept_source_route",
    "bootp_relay",
    "log_martians",
    "tag",
    "arp_filter",
    "medium_id",
    "disable_xfrm",
    "disable_policy",
    "force_igmp_version",
    "arp_announce",
    "arp_ignore",
    "promote_secondaries",
    "arp_accept",
    "arp_notify",
    "accept_local",
    "src_valid_mark",
    "proxy_arp_pvlan",
    "route_localnet",
    "igmpv2_unsolicited_report_interval",
    "igmpv3_unsolicited_report_interval",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_gratuitous_arp",
    "bc_forwarding",
    "arp_evict_nocarrier",
};

/* In the order of DEVCONF_* (linux/ipv6.h). */
static const char *const names6[] = {
    "forwarding",
    "hop_limit",
    "mtu",
    "accept_ra",
    "accept_redirects",
    "autoconf",
    "dad_transmits",
    "router_solicitations",
    "router_solicitation_interval",
    "router_solicitation_delay",
    "use_tempaddr",
    "temp_valid_lft",
    "temp_prefered_lft",
    "regen_max_retry",
    "max_desync_factor",
    "max_addresses",
    "force_mld_version",
    "accept_ra_defrtr",
    "accept_ra_pinfo",
    "accept_ra_rtr_pref",
    "router_probe_interval",
    "accept_ra_rt_info_max_plen",
    "proxy_ndp",
    "optimistic_dad",
    "accept_source_route",
    NULL, /* mc_forwarding */
    "disable_ipv6",
    "accept_dad",
    "force_tllao",
    "ndisc_notify",
    "mldv1_unsolicited_report_interval",
    "mldv2_unsolicited_report_interval",
    "suppress_frag_ndisc",
    "accept_ra_from_local",
    "use_optimistic",
    "accept_ra_mtu",
    NULL, /* stable_secret: no number; see `more` */
    "use_oif_addrs_only",
    "accept_ra_min_hop_limit",
    "ignore_routes_with_linkdown",
    "drop_unicast_in_l2_multicast",
    "drop_unsolicited_na",
    "keep_addr_on_down",
    "router_solicitation_max_interval",
    "seg6_enabled",
    "seg6_require_hmac",
    "enhanced_dad",
    "addr_gen_mode",
    "disable_policy",
    "accept_ra_rt_info_min_plen",
    "ndisc_tclass",
    "rpl_seg_enabled",
    "ra_defrtr_metric",
    "ioam6_enabled",
    "ioam6_id",
    "ioam6_id_wide",
    "ndisc_evict_nocarrier",
    "accept_untracked_na",
    "accept_ra_min_lft",
    "force_forwarding",
};

/* Told in milliseconds, written in seconds. */
static const char *const in_seconds[] = {
    "router_solicitation_interval",
    "router_solicitation_delay",
    "router_solicitation_max_interval",
    "router_probe_interval",
};

#define NEIGHBOURS(family, file)                                                                                                           \
	{                                                                                                                                  \
		family ".neigh." file, family "/neigh", file, false                                                                        \
	}
#define BOTH_NEIGHBOURS(file) NEIGHBOURS("ipv4", file), NEIGHBOURS("ipv6", file)

/* A secret is not there until it is set; setting one sets addr_gen_mode, too. */
static const struct more {
	const char *name, *directory, *file;
	bool secret; /* never told: a claim's status and the journal have other readers than /proc */
} more[] = {
    {"ipv6.stable_secret", "ipv6/conf", "stable_secret", true},
    {"ipv6.ra_honor_pio_life", "ipv6/conf", "ra_honor_pio_life", false},
    {"ipv6.ra_honor_pio_pflag", "ipv6/conf", "ra_honor_pio_pflag", false},
    {"ipv6.regen_min_advance", "ipv6/conf", "regen_min_advance", false},
    BOTH_NEIGHBOURS("anycast_delay"),
    BOTH_NEIGHBOURS("app_solicit"),
    BOTH_NEIGHBOURS("base_reachable_time_ms"),
    BOTH_NEIGHBOURS("delay_first_probe_time"),
    BOTH_NEIGHBOURS("gc_stale_time"),
    BOTH_NEIGHBOURS("interval_probe_time_ms"),
    BOTH_NEIGHBOURS("locktime"),
    BOTH_NEIGHBOURS("mcast_resolicit"),
    BOTH_NEIGHBOURS("mcast_solicit"),
    BOTH_NEIGHBOURS("proxy_delay"),
    BOTH_NEIGHBOURS("proxy_qlen"),
    BOTH_NEIGHBOURS("retrans_time_ms"),
    BOTH_NEIGHBOURS("ucast_solicit"),
    BOTH_NEIGHBOURS("unres_qlen_bytes"),
};

static const struct family {
	const char *name, *directory;
	size_t offset; /* of the values in host_state */
	const char *const *names;
	size_t n;
} families[] = {
    {"ipv4", "ipv4/conf", offsetof(struct host_state, ipv4), names4, ELEMENTS(names4)},
    {"ipv6", "ipv6/conf", offsetof(struct host_state, ipv6), names6, ELEMENTS(names6)},
};

static const struct bytes *values_of(const struct host_state *s, const struct family *f)
{
	return (const struct bytes *)(const void *)((const char *)s + f->offset);
}

static int32_t value_at(const struct bytes *b, size_t i)
{
	int32_t v;
	memcpy(&v, b->data + i * sizeof(v), sizeof(v));
	return v;
}

static void sysctl_path(char path[160], const char *directory, const char *ifname, const char *file)
{
	snprintf(path, 160, "/proc/sys/net/%s/%s/%s", directory, ifname, file);
}

static void write_text(const char *directory, const char *ifname, const char *file, const char *text)
{
	char path[160];
	sysctl_path(path, directory, ifname, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* what could not be written is found by the comparison */
	mark("sysctl", "restore", "begin");
	(void)!write(fd, text, strlen(text));
	mark("sysctl", "restore", "end");
	close(fd);
}

static void value_text(const char *name, int32_t value, char text[16])
{
	for (size_t i = 0; i < ELEMENTS(in_seconds); i++)
		if (str_equal(name, in_seconds[i]))
			value /= 1000;
	snprintf(text, 16, "%" PRId32, value);
}

typedef void see_value(const struct family *f, const char *name, int32_t is, int32_t was, void *user);

static void for_each_different(const struct host_state *was, const struct host_state *is, see_value *see, void *user)
{
	for (size_t k = 0; k < ELEMENTS(families); k++) {
		const struct family *f = &families[k];
		const struct bytes *a = values_of(was, f), *b = values_of(is, f);
		for (size_t i = 0; i < f->n && (i + 1) * sizeof(int32_t) <= a->n && (i + 1) * sizeof(int32_t) <= b->n; i++)
			if (f->names[i] && value_at(a, i) != value_at(b, i))
				see(f, f->names[i], value_at(b, i), value_at(a, i), user);
	}
}

bool devconf_addr_gen_mode(const struct host_state *s, int32_t *ret)
{
	for (size_t i = 0; i < ELEMENTS(names6); i++)
		if (str_equal(names6[i], "addr_gen_mode") && (i + 1) * sizeof(int32_t) <= s->ipv6.n) {
			*ret = value_at(&s->ipv6, i);
			return true;
		}
	return false;
}

/* ---- the others ------------------------------------------------------------------------------------------------------------------ */

int devconf_read_more(const char *ifname, struct bytes *ret)
{
	struct bytes all = {0};
	for (size_t i = 0; i < ELEMENTS(more); i++) {
		char path[160], text[160];
		sysctl_path(path, more[i].directory, ifname, more[i].file);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		int n = snprintf(text, sizeof(text), "%s=", more[i].name);
		ssize_t got = read(fd, text + n, sizeof(text) - (size_t)n - 1); /* -EIO: a secret that is not set */
		close(fd);
		if (got <= 0)
			continue;
		text[n + got] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (bytes_add(&all, text, strlen(text) + 1) < 0) {
			free(all.data);
			return -ENOMEM;
		}
	}
	*ret = all;
	return 0;
}

static const char *value_of(const char *entry, const char *name)
{
	size_t n = strlen(name);
	return strncmp(entry, name, n) == 0 && entry[n] == '=' ? entry + n + 1 : NULL;
}

static const char *find_value(const struct bytes *list, const char *name)
{
	const char *value = NULL;
	for (const char *entry = NULL; !value && (entry = bytes_next(list, entry));)
		value = value_of(entry, name);
	return value;
}

/* ---- both ------------------------------------------------------------------------------------------------------------------------ */

/* A new addr_gen_mode through its file makes an address at once, also for a link that is down; through netlink it only counts from then
 * on: link_state_restore_addr_gen_mode(). */
static void write_value(const struct family *f, const char *name, int32_t is, int32_t was, void *user)
{
	char text[16];
	(void)is;
	if (str_equal(name, "addr_gen_mode"))
		return;
	value_text(name, was, text);
	write_text(f->directory, user, name, text);
}

void devconf_restore(const char *ifname, const struct host_state *was, const struct host_state *is)
{
	for (size_t i = 0; i < ELEMENTS(more); i++) {
		const char *value = find_value(&was->more_sysctls, more[i].name);
		if (value && !str_equal(value, find_value(&is->more_sysctls, more[i].name)))
			write_text(more[i].directory, ifname, more[i].file, value);
	}
	for_each_different(was, is, write_value, (void *)ifname);
}

struct comparison {
	void (*differs)(const char *name, const char *is, const char *was, void *user);
	void *user;
};

static void compare_value(const struct family *f, const char *name, int32_t is, int32_t was, void *user)
{
	const struct comparison *c = user;
	char full[80], is_text[16], was_text[16];
	snprintf(full, sizeof(full), "%s.%s", f->name, name);
	value_text(name, is, is_text);
	value_text(name, was, was_text);
	c->differs(full, is_text, was_text, c->user);
}

void devconf_compare(const struct host_state *was, const struct host_state *is,
                     void (*differs)(const char *name, const char *is, const char *was, void *user), void *user)
{
	struct comparison c = {differs, user};
	for_each_different(was, is, compare_value, &c);
	for (size_t i = 0; i < ELEMENTS(more); i++) {
		const char *then = find_value(&was->more_sysctls, more[i].name), *now = find_value(&is->more_sysctls, more[i].name);
		if (then && !str_equal(then, now))
			differs(more[i].name, !now ? "not set" : more[i].secret ? "another" : now, more[i].secret ? "set" : then, user);
	}
}
