/* SPDX-License-Identifier: Apache-2.0 */
/* Speed and firmware, by the ioctls of ethtool: the firmware is in no other interface, and sysfs' file `speed` spins where another holds
 * RTNL, for as long as a move takes. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/base/str.h"
#include "netlink/monitor_internal.h"

static int ask(int socket, const char *ifname, void *question)
{
	struct ifreq request = {.ifr_data = question};
	int r = str_copy(request.ifr_name, sizeof(request.ifr_name), ifname);
	if (r < 0)
		return r;
	return ioctl(socket, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

/* The kernel says first how long its masks of modes are, and answers when they are asked for at that length. */
static uint32_t read_speed(int socket, const char *ifname)
{
	enum { MASKS = 3, WORDS_MAX = 127 };
	_Alignas(struct ethtool_link_settings) uint8_t space[sizeof(struct ethtool_link_settings) + 4 * MASKS * WORDS_MAX] = {0};
	struct ethtool_link_settings *q = (struct ethtool_link_settings *)space;
	q->cmd = ETHTOOL_GLINKSETTINGS;
	if (ask(socket, ifname, q) < 0 || q->link_mode_masks_nwords >= 0)
		return 0;
	int8_t words = (int8_t)-q->link_mode_masks_nwords;
	memset(q, 0, sizeof(*q));
	q->cmd = ETHTOOL_GLINKSETTINGS;
	q->link_mode_masks_nwords = words;
	if (ask(socket, ifname, q) < 0 || q->speed > INT32_MAX) /* SPEED_UNKNOWN is all ones */
		return 0;
	return q->speed;
}

void link_firmware_parse(const char *text, size_t size, char ret[LINK_FIRMWARE_SIZE])
{
	size_t n = 0;
	for (; n < size && text[n]; n++)
		if (text[n] < ' ' || text[n] > '~')
			return;
	while (n > 0 && text[n - 1] == ' ')
		n--;
	if (n == 0 || n >= LINK_FIRMWARE_SIZE || (n == 3 && memcmp(text, "N/A", 3) == 0))
		return;
	memcpy(ret, text, n);
	ret[n] = '\0';
}

int link_hardware_read(int socket, const char *ifname, struct link_hardware *ret)
{
	struct link_hardware h;
	struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
	int r = ask(socket, ifname, &driver);
	if (r == -ENODEV)
		return r; /* renamed meanwhile, or gone */
	memset(&h, 0, sizeof(h));
	if (r == 0)
		link_firmware_parse(driver.fw_version, sizeof(driver.fw_version), h.firmware);
	h.speed = read_speed(socket, ifname);
	memcpy(ret, &h, sizeof(h));
	return 0;
}
