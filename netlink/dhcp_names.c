/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "netlink/dhcp_message.h"

enum { NAME_MAX_ = 254, LABEL_MAX = 63, JUMPS_MAX = 32 };

static bool has_name(const char *text, const char *name, size_t n)
{
	while (*text) {
		size_t len = strcspn(text, " ");
		if (len == n && memcmp(text, name, n) == 0)
			return true;
		text += len + (text[len] == ' ');
	}
	return false;
}

void dhcp_name_add(const char *name, size_t n, char *text, size_t size)
{
	size_t len = strlen(text);
	while (n > 0 && (name[n - 1] == '\0' || name[n - 1] == '.'))
		n--;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_' && name[i] != '.')
			return;
	if (n == 0 || n > NAME_MAX_ || has_name(text, name, n) || len + (len > 0) + n + 1 > size)
		return;
	if (len > 0)
		text[len++] = ' ';
	memcpy(text + len, name, n);
	text[len + n] = '\0';
}

/* One name from `at`; `*ret_next` is where the following one begins, behind the first pointer if there is one. -1: malformed. */
static int read_name(const uint8_t *data, size_t n, size_t at, char name[NAME_MAX_ + 1], size_t *ret_len, size_t *ret_next)
{
	size_t len = 0;
	bool jumped = false;
	for (unsigned jumps = 0; at < n && jumps < JUMPS_MAX;) {
		uint8_t c = data[at];
		if (c == 0) {
			*ret_len = len;
			if (!jumped)
				*ret_next = at + 1;
			return 0;
		}
		if ((c & 0xc0) == 0xc0) {
			if (at + 1 >= n)
				return -1;
			size_t target = (size_t)(c & 0x3f) << 8 | data[at + 1];
			if (!jumped)
				*ret_next = at + 2;
			if (target >= at) /* backwards only: it ends */
				return -1;
			jumped = true;
			jumps++;
			at = target;
			continue;
		}
		if (c > LABEL_MAX || at + 1 + c > n || len + (len > 0) + c > NAME_MAX_)
			return -1;
		if (len > 0)
			name[len++] = '.';
		memcpy(name + len, data + at + 1, c);
		len += c;
		at += 1u + c;
	}
	return -1;
}

void dhcp_names_read(const uint8_t *data, size_t n, char *text, size_t size)
{
	char name[NAME_MAX_ + 1];
	size_t len = 0, next = 0;
	for (size_t at = 0; at < n && read_name(data, n, at, name, &len, &next) == 0; at = next)
		dhcp_name_add(name, len, text, size);
}
