/* SPDX-License-Identifier: Apache-2.0 */
/* The mover by itself, for restore.py: what Prepare, the hooks and a restart do with one device, without a daemon around it.
 *
 *   restore_move LINK NETNS POD_NAME [CONFIG]
 *
 * Runs in the namespace that plays the host. Takes the host state, makes the plan, sends it through a record as written to disk and
 * attaches the device; CONFIG is "mtu=N mac=M address=A …". Then reads commands: "detach" brings it home (as often as asked), the end of
 * the input ends it. Answers are lines: "attached", "refused: WHY" (the device is on the host then), "home: DIFFERENCES", "lost: WHY". */
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "daemon/record.h"
#include "netlink/mover.h"
#include "netlink/sysfs.h"

static void check(int result, const struct error *e)
{
	if (result >= 0)
		return;
	fprintf(stderr, "restore_move: %s\n", e->text);
	exit(2);
}

static void configure(struct network_config *c, char **words, int n)
{
	static struct address addresses[16];
	for (int i = 0; i < n; i++) {
		const char *value = strchr(words[i], '=');
		if (!value)
			continue;
		value++;
		if (str_starts(words[i], "mtu="))
			c->mtu = (uint32_t)strtoul(value, NULL, 10);
		else if (str_starts(words[i], "mac="))
			(void)mac_parse(value, &c->mac);
		else if (str_starts(words[i], "address=") && c->n_addresses < 16 &&
		         ip_prefix_parse(value, &addresses[c->n_addresses].prefix) == 0)
			c->n_addresses++;
	}
	c->addresses = addresses;
	c->addresses_given = c->n_addresses > 0;
}

/* The claim of one device as it is after a restart. */
static struct claim_record through_the_disk(const struct device_facts *facts, struct attach_plan *plan)
{
	struct attachment_record device = {.request = "nic", .pool = "node", .state = DEVICE_ATTACHED, .plan = plan};
	struct claim_record r = {.ref = {.uid = "uid", .namespace_ = "default", .name = "claim"}, .n = 1, .devices = &device}, back = {0};
	struct error e = {0};
	char *text = NULL;
	size_t len;
	(void)STR_COPY(device.device, facts->name);
	check(record_encode(&r, &text, &len, &e), &e);
	check(record_decode(text, len, &back, &e), &e);
	free(text);
	return back;
}

static void say(const char *word, const char *text)
{
	printf(*text ? "%s: %s\n" : "%s%s\n", word, text);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct network_config config;
	struct device_facts facts = {.name = "device"};
	struct host_state host;
	struct attach_plan *plan;
	struct sysfs *sysfs;
	struct mover *m;
	struct move_result result;
	struct error e = {0};
	char line[64];
	int netns;
	uint64_t inode;
	if (argc < 4) {
		fprintf(stderr, "usage: restore_move LINK NETNS POD_NAME [mtu=N] [mac=M] [address=A]…\n");
		return 2;
	}
	network_config_init(&config);
	check(STR_COPY(config.ifname, argv[3]), &e);
	configure(&config, argv + 4, argc - 4);
	check(sysfs_open("/sys", &sysfs, &e), &e);
	check(mover_new(sysfs, &m, &e), &e);
	check(netns_open(argv[2], &netns, &inode, &e), &e);

	facts.ifindex = (int32_t)if_nametoindex(argv[1]);
	(void)STR_COPY(facts.ifname, argv[1]);
	check(mover_snapshot(m, facts.ifindex, argv[1], &host, &e), &e);
	facts.mac = host.mac;
	(void)STR_COPY(facts.type, host.type);
	check(attach_plan_new(&facts, &host, &config, &plan, NULL, &e), &e);
	host_state_free(&host);
	struct claim_record record = through_the_disk(&facts, plan);
	attach_plan_unref(plan);
	plan = record.devices[0].plan;

	if (mover_attach(m, plan, NULL, netns, &result, &e) == 0)
		say("attached", "");
	else
		say(result.place == PLACE_HOST ? "refused" : "lost", e.text);
	while (fgets(line, sizeof(line), stdin)) {
		e = (struct error){0};
		if (mover_detach(m, plan, netns, &result, &e) == 0 && result.place == PLACE_HOST)
			say("home", result.differences);
		else
			say("lost", e.text[0] ? e.text : "it does not exist any more");
	}
	claim_record_free(&record);
	mover_free(m);
	sysfs_close(sysfs);
	return 0;
}
