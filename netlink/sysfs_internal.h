/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read sysfs share: opening below the root, and the few shapes of what is found there. All of it is hostile: a name is
 * one component of a path, a text is cut at its first line, a number is a number from end to end. */
#pragma once

#include "netlink/sysfs.h"

struct sysfs {
	int fd;
	bool plain; /* no openat2() here */
	char *path;
};

enum { SYSFS_PATH_SIZE = 512, SYSFS_NAME_SIZE = 256, SYSFS_NUMA_NODES = 1024 };

/* Whether it is one component of a path and leads nowhere else. */
bool sysfs_is_name(const char *name);
/* Open what is at the path below the root; links on the way are followed inside it. A descriptor, or a negative errno. */
int sysfs_open_at(const struct sysfs *s, int flags, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The directory of the PCI function with that address, likewise. */
int sysfs_open_function(const struct sysfs *s, const char *address);
/* Where the link at the path below the root points to. */
int sysfs_link(const struct sysfs *s, char *text, size_t size, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* In an open directory; links are not followed. The first line of a file; the last component of a link's target; the first directory in a
 * directory by name, because the kernel's own order says nothing and changes. The last two only if they are tokens (str_is_token). */
int sysfs_dir_text(int dir, const char *name, char *text, size_t size);
int32_t sysfs_dir_number(int dir, const char *name); /* -1 = there is none, or one below 0 */
int32_t sysfs_dir_count(int dir, const char *name);  /* likewise, but 0 */
int32_t sysfs_file_count(int fd);                    /* of an open file; negative = there is none */
int sysfs_dir_target(int dir, const char *name, char *text, size_t size);
int sysfs_dir_first(int dir, const char *name, char *text, size_t size);
/* Each entry of a directory but hidden ones, in the kernel's order, until `see` returns something else than 0, which is returned. Takes
 * the descriptor. */
int sysfs_dir_each(int dir, int (*see)(int dir, const char *name, void *user), void *user);
