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
	struct {
		struct ethtool_link_settings head;
		uint32_t masks[MASKS * WORDS_MAX];
	} q = {.head = {.cmd = ETHTOOL_GLINKSETTINGS}};
	if (ask(socket, ifname, &q) < 0 || q.head.link_mode_masks_nwords >= 0)
		return 0;
	q.head =
	    (struct ethtool_link_settings){.cmd = ETHTOOL_GLINKSETTINGS, .link_mode_masks_nwords = (int8_t)-q.head.link_mode_masks_nwords};
	if (ask(socket, ifname, &q) < 0 || q.head.speed > INT32_MAX) /* SPEED_UNKNOWN is all ones */
		return 0;
	return q.head.speed;
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
