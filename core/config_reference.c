/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of the schema as a Markdown page. The examples are parsed by tests/unit/test_config_reference.c, and show every key. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "core/config_schema.h"

static const char introduction[] =
    "# Configuration of a device\n"
    "\n"
    "The `parameters` of an `opaque` entry for the driver (`dra.net`) in `spec.devices.config` of a ResourceClaim or "
    "ResourceClaimTemplate, or in\n"
    "`spec.config` of a DeviceClass. `dranetd --print-config-reference` prints this page.\n"
    "\n"
    "- Everything is optional unless it says \"required\", and `null` is the same as nothing. Keys marked with + go beyond DRANET.\n"
    "- An unknown key, a key that stands twice and a value out of its range are errors, told with their path in an event on the claim\n"
    "  before the device is touched.\n"
    "- Entries for all requests, for the request of a device, and for the request whose `firstAvailable` subrequest was allocated apply\n"
    "  together, in their order, those of the class under those of the claim. What is given later takes the place of what was given\n"
    "  before, `false` and `0` included. Lists are joined; in them a route takes the place of one to the same network with the same table\n"
    "  and metric, and an address, a neighbour, a feature or a flag that of its like. Every entry, and then what they make together, has "
    "to be "
    "valid.\n";

static const char *const examples[] = {
    "interface:\n"
    "  name: net1\n"
    "  addresses: [\"192.0.2.10/24\", \"2001:db8::10/64\"]\n"
    "  mtu: 9000\n"
    "  hardwareAddr: \"02:00:00:00:00:01\"\n"
    "  arpIgnore: 1\n"
    "  arpAnnounce: 2\n"
    "  forwarding: true\n"
    "  disableEbpfPrograms: true\n"
    "neighbors:\n"
    "- destination: \"192.0.2.1\"\n"
    "  hardwareAddr: \"02:00:00:00:00:02\"\n",

    "interface:\n"
    "  name: net1\n"
    "  dhcp: true\n"
    "  dhcp6: true\n",

    "interface:\n"
    "  addresses: [\"192.0.2.10/24\"]\n"
    "routes:\n"
    "- destination: 198.51.100.0/24\n"
    "  gateway: 192.0.2.1\n"
    "  source: 192.0.2.10\n"
    "  table: 100\n"
    "  metric: 50\n"
    "  mtu: 1400\n"
    "  advmss: 1360\n"
    "- destination: 203.0.113.0/24\n"
    "  scope: 253\n"
    "- destination: 0.0.0.0/0\n"
    "  gateway: 169.254.1.1\n"
    "  onlink: true\n"
    "- destination: 0.0.0.0/0\n"
    "  table: 100\n"
    "  nextHops:\n"
    "  - gateway: 192.0.2.1\n"
    "    weight: 3\n"
    "  - gateway: 169.254.1.1\n"
    "    onlink: true\n"
    "rules:\n"
    "- priority: 1000\n"
    "  source: 192.0.2.0/24\n"
    "  destination: 198.51.100.0/24\n"
    "  table: 100\n"
    "- fwmark: \"0x10\"\n"
    "  fwmask: \"0xf0\"\n"
    "  family: ipv6\n"
    "  table: 100\n"
    "- iif: net1\n"
    "  oif: net2\n"
    "  table: 100\n",

    "interface:\n"
    "  vrf:\n"
    "    name: blue\n"
    "    table: 1200\n"
    "routes:\n"
    "- destination: 0.0.0.0/0\n"
    "  gateway: 192.0.2.1\n",

    "interface:\n"
    "  hardwareAddr: \"02:00:00:00:00:01\"\n"
    "  vf: {vlan: 100, vlanQoS: 3, vlanProtocol: 802.1q, spoofCheck: true, trust: false, minTxRate: 0, maxTxRate: 1000}\n",

    "interface:\n"
    "  gsoMaxSize: 185000\n"
    "  groMaxSize: 185000\n"
    "  gsoIPv4MaxSize: 65536\n"
    "  groIPv4MaxSize: 65536\n"
    "ethtool:\n"
    "  features: {tso: true, rx-gro-list: false}\n"
    "  privateFlags: {rx_cqe_compress: true}\n"
    "  rings: {rx: 4096, rxMini: 0, rxJumbo: 0, tx: 4096}\n"
    "  channels: {combined: 16, rx: 0, tx: 0, other: 1}\n"
    "  coalesce:\n"
    "    adaptiveRx: false\n"
    "    adaptiveTx: false\n"
    "    rxUsecs: 8\n"
    "    rxFrames: 32\n"
    "    rxUsecsIrq: 0\n"
    "    rxFramesIrq: 0\n"
    "    txUsecs: 16\n"
    "    txFrames: 32\n"
    "    txUsecsIrq: 0\n"
    "    txFramesIrq: 0\n"
    "    statsBlockUsecs: 1000000\n"
    "  pause: {autoneg: false, rx: true, tx: true}\n",

    "rdma:\n"
    "  umad: true\n"
    "  issm: false\n",

    "profile: acme.example/overlay\n",
};

/* " 0 1 2 " as "0, 1, 2" */
static void put_numbers(struct buf *to, const char *numbers)
{
	for (size_t i = 1; numbers[i]; i++)
		if (numbers[i] != ' ')
			buf_add(to, &numbers[i], 1);
		else if (numbers[i + 1])
			buf_puts(to, ", ");
}

static void put_range(struct buf *to, const struct config_field *f)
{
	if (f->choices)
		put_numbers(to, f->choices);
	else
		buf_printf(to, "%" PRId64 " to %" PRId64, f->min, f->max);
	if (f->excluded) {
		buf_puts(to, ", but not ");
		put_numbers(to, f->excluded);
	}
}

static void put_values(struct buf *to, const struct config_field *f)
{
	static const char *const words[] = {
	    [CONFIG_BOOL] = "boolean",
	    [CONFIG_FLAG] = "boolean",
	    [CONFIG_SWITCH] = "boolean",
	    [CONFIG_FAMILY] = "`ipv4` or `ipv6`",
	    [CONFIG_TAG] = "`802.1q` or `802.1ad`",
	    [CONFIG_MAC] = "hardware address",
	    [CONFIG_ADDRESS] = "IP address",
	    [CONFIG_PREFIX] = "IP prefix",
	    [CONFIG_OBJECT] = "object",
	    [CONFIG_SWITCHES] = "map of names to booleans",
	};
	switch (f->type) {
	case CONFIG_INT8:
	case CONFIG_UINT8:
	case CONFIG_UINT32:
	case CONFIG_SETTING:
		put_range(to, f);
		break;
	case CONFIG_MARK:
		put_range(to, f);
		buf_puts(to, ", or text such as `0x1f`");
		break;
	case CONFIG_IFNAME:
		buf_printf(to, "name of at most %d bytes", IFNAME_SIZE - 1);
		break;
	case CONFIG_TEXT:
		buf_printf(to, "text of at most %d bytes", ATTRIBUTE_TEXT_SIZE - 1);
		break;
	case CONFIG_OBJECTS:
		buf_printf(to, "list of%s %" PRId64 " objects", f->min > 1 ? " 2 to" : " at most", f->max);
		break;
	case CONFIG_ADDRESSES:
		buf_printf(to, "list of at most %" PRId64 " IP prefixes", f->max);
		break;
	default:
		buf_puts(to, words[f->type]);
	}
}

static void put_row(struct buf *to, const struct config_field *f)
{
	buf_printf(to, "| `%s`%s | ", f->key, f->ours ? " +" : "");
	put_values(to, f);
	if (f->required)
		buf_puts(to, ", required");
	buf_printf(to, " | %s |\n", f->doc);
}

static void put_members(struct buf *to, const struct config_members *members, const char *path)
{
	buf_printf(to, "\n## %s%s%s\n\n| key | value | what it is for |\n|---|---|---|\n", path[0] ? "`" : "",
	           path[0] ? path : "The document", path[0] ? "`" : "");
	for (size_t i = 0; i < members->n; i++)
		put_row(to, &members->fields[i]);
	if (members->rules)
		buf_printf(to, "\n%s", members->rules);
	for (size_t i = 0; i < members->n; i++) {
		const struct config_field *f = &members->fields[i];
		char below[64];
		if (!f->members)
			continue;
		snprintf(below, sizeof(below), "%s%s%s%s", path, path[0] ? "." : "", f->key, f->type == CONFIG_OBJECTS ? "[]" : "");
		put_members(to, f->members, below);
	}
}

/* With all that is below it. */
static bool is_for_any_device(const struct config_field *f)
{
	bool is = f->any_device;
	for (size_t i = 0; f->members && i < f->members->n; i++)
		is &= f->members->fields[i].any_device;
	return is;
}

void config_reference_print(struct buf *ret)
{
	buf_puts(ret, introduction);
	buf_puts(ret, "- A device without a network interface (RDMA only) takes ");
	size_t n = 0;
	for (size_t i = 0; i < config_document.n; i++)
		if (is_for_any_device(&config_document.fields[i]))
			buf_printf(ret, "%s`%s`", n++ ? ", " : "", config_document.fields[i].key);
	buf_puts(ret, " and nothing else.\n");
	put_members(ret, &config_document, "");
	buf_puts(ret, "\n## Examples\n");
	for (size_t i = 0; i < ELEMENTS(examples); i++)
		buf_printf(ret, "\n```yaml\n%s```\n", examples[i]);
}
