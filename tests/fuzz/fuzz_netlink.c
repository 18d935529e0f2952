/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of route netlink: through every parser, and through the monitor's table as notifications. */
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "netlink/address.h"
#include "netlink/features.h"
#include "netlink/kept_internal.h"
#include "netlink/link.h"
#include "netlink/link_state.h"
#include "netlink/monitor_internal.h"
#include "netlink/route.h"
#include "netlink/rule.h"
#include "netlink/vf.h"
#include "netlink/vrf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void see(void *user)
{
	(void)user;
}
static void see_device(const struct device_facts *facts, void *user)
{
	(void)user;
	if (memchr(facts->name, 0, sizeof(facts->name)) == NULL || memchr(facts->ipv4, 0, sizeof(facts->ipv4)) == NULL)
		abort();
}
static void see_gone(const char *name, void *user)
{
	(void)name, (void)user;
}
static void see_uplinks(const int32_t *ifindexes, size_t n, void *user)
{
	(void)user;
	for (size_t i = 1; i < n; i++)
		if (ifindexes[i - 1] >= ifindexes[i])
			abort();
}

static void parse(const struct nlmsghdr *h)
{
	struct link l;
	struct address_message a;
	struct route_message r;
	struct neighbour n;
	int32_t ifindex;
	char text[64];
	(void)link_parse(h, &l);
	(void)address_parse(h, &a);
	(void)neighbour_parse(h, &ifindex, &n);
	if (route_parse(h, &r) == 0) {
		char route[128];
		route_format(&r.route, route, sizeof(route));
		if (route_reduce(&r, 4) && !route_is_through(&r, 4))
			abort();
	}
	if (nlsock_status(h, text, sizeof(text)) > 0)
		abort();
}

/* What a link loses: read, kept, walked and formatted. */
static void parse_state(const struct nlmsghdr *h)
{
	struct host_state state = {0};
	struct vf_settings vf;
	struct vrf vrf;
	struct bytes features = {0};
	if (link_state_parse(h, &state) == 0)
		for (const char *name = NULL; (name = bytes_next(&state.altnames, name));)
			if (strlen(name) == 0)
				abort();
	host_state_free(&state);
	(void)vf_parse(h, 1, &vf);
	(void)vrf_parse(h, &vrf);
	(void)features_parse(h, &features);
	free(features.data);
}

static void walk(struct bytes *objects)
{
	for (struct nlmsghdr *k = NULL; (k = kept_next(objects, k));) {
		char text[64];
		kept_format(k, text, sizeof(text));
		(void)kept_kind(k, 4);
		kept_rename(k, 4, 2);
	}
}

/* Rules of a host that go with a link, and what a record from disk may hold in their place. */
static void bring_rules(const struct nlmsghdr *h, struct attach_plan *p)
{
	struct bytes rules = {0};
	(void)rule_take(h, "nic0", &p->host);
	if (rules_of(p, &rules) == 0)
		for (struct nlmsghdr *asked = NULL; (asked = kept_next(&rules, asked));)
			if (!rule_is(asked, asked))
				abort();
	free(rules.data);
}

static void take(struct monitor_table *t, const struct nlmsghdr *h)
{
	int before = (int)t->n_links;
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		(void)table_take_link(t, h);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		(void)table_take_address(t, h);
		break;
	default:
		(void)table_take_route(t, h);
		table_note_route(t, h);
	}
	/* What sysfs would say: every new link is virtual. */
	for (size_t i = 0; (int)t->n_links > before && i < t->n_links; i++)
		t->links[i]->sys_known = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct monitor_callbacks to = {
	    .begin = see, .device = see_device, .gone = see_gone, .end = see, .uplinks = see_uplinks};
	static const struct mac mac = {6, {2, 0, 0, 0, 0, 1}};
	static const struct address address = {.prefix = {{IP_V4, {10, 5, 0, 2}}, 24}};
	const struct kept_owner owner = {4, "nic0", &mac, &address, 1};
	struct route in_table = {.table = 300};
	struct attach_plan plan = {.host = {.ifname = "nic0", .routes = &in_table, .n_routes = 1}, .pod = {.ifname = "net1"}};
	struct bytes kept = {0};
	struct monitor_table t = {0};
	if (size > NLSOCK_RECEIVE_SIZE || pci_names_new(&t.names) < 0)
		return 0;
	uint8_t *copy = malloc(size ? size : 1); /* aligned as a receive buffer, and no longer than the message */
	if (copy) {
		int left = (int)size;
		if (size)
			memcpy(copy, data, size);
		for (struct nlmsghdr *h = (struct nlmsghdr *)copy; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
			parse(h);
			parse_state(h);
			take(&t, h);
			bring_rules(h, &plan);
			if (kept_take(h, &owner, &kept) == 0 && kept_kind(kept_next(&kept, NULL), 4) == 0)
				abort();
		}
		walk(&kept);
		free(kept.data);
		/* The same as a record from disk may hold it. */
		struct bytes record = {copy, size};
		walk(&record);
		free(plan.host.pod_rules.data);
		plan.host.pod_rules = record;
		bring_rules(&(const struct nlmsghdr){.nlmsg_len = sizeof(struct nlmsghdr)}, &plan);
		(void)table_note_uevent(&t, (const char *)copy, size);
		(void)table_flush(&t, false, &to, NULL);
		(void)table_flush_uplinks(&t, &to, NULL);
		table_dump_end(&t);
		(void)table_flush(&t, true, &to, NULL);
		free(copy);
	}
	table_free(&t);
	return 0;
}
