/* SPDX-License-Identifier: Apache-2.0 */
/* A machine as a directory tree in the form of /sys, made in a temporary directory: piece by piece, or from a file of tests/unit/machines.
 *
 * Such a file has a line for each thing, and what is above it in the tree is made with it:
 *
 *   # comment
 *   path/             a directory; indented lines are below the last one at the margin
 *   path = text       a file of one line ("path =": an empty one)
 *   path -> target    a link
 *
 * where \xHH is the byte of that number. */
#pragma once

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "netlink/sysfs.h"

struct machine {
	char root[64];
	struct sysfs *sysfs;
};

static inline void machine_run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void machine_run(const char *format, ...)
{
	char command[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0) {
		fprintf(stderr, "fixture: %s\n", command);
		abort();
	}
}

static inline void machine_init(struct machine *m)
{
	strcpy(m->root, "/tmp/machine-XXXXXX");
	if (!mkdtemp(m->root))
		abort();
	machine_run("cd %s && mkdir -p bus/pci/devices bus/pci/drivers class/net devices/virtual/net", m->root);
	if (sysfs_open(m->root, &m->sysfs, NULL) < 0)
		abort();
}

static inline void machine_free(struct machine *m)
{
	sysfs_close(m->sysfs);
	machine_run("rm -rf %s", m->root);
}

static inline void machine_write(const struct machine *m, const char *path, const char *text)
{
	char full[512];
	snprintf(full, sizeof(full), "%s/%s", m->root, path);
	FILE *f = fopen(full, "w");
	if (!f)
		abort();
	fprintf(f, "%s\n", text);
	if (fclose(f) != 0)
		abort();
}

/* A function below `root` ("pci0000:80"); `ids` is the start of its modalias ("v000015B3d0000101Dsv000015B3sd00000041bc02sc00i00"). */
static inline void machine_add_pci(const struct machine *m, const char *root, const char *address, const char *ids, const char *driver,
                                   int numa)
{
	char path[256], text[128];
	machine_run("cd %s && mkdir -p devices/%s/%s && ln -s ../../../devices/%s/%s bus/pci/devices/%s", m->root, root, address, root,
	            address, address);
	snprintf(path, sizeof(path), "devices/%s/%s/modalias", root, address);
	snprintf(text, sizeof(text), "pci:%s", ids);
	machine_write(m, path, text);
	snprintf(path, sizeof(path), "devices/%s/%s/numa_node", root, address);
	snprintf(text, sizeof(text), "%d", numa);
	machine_write(m, path, text);
	if (driver)
		machine_run("cd %s && mkdir -p bus/pci/drivers/%s && ln -s ../../../bus/pci/drivers/%s devices/%s/%s/driver", m->root,
		            driver, driver, root, address);
}

/* A netdev on the device at `parent` (below devices/, "pci0000:80/0000:8a:00.0/virtio2"). */
static inline void machine_add_netdev(const struct machine *m, const char *parent, const char *ifname)
{
	machine_run("cd %s/devices/%s && mkdir -p net/%s && ln -sfn ../.. net/%s/device && ln -sfn ../../devices/%s/net/%s %s/class/net/%s",
	            m->root, parent, ifname, ifname, parent, ifname, m->root, ifname);
}

static inline void machine_add_virtual(const struct machine *m, const char *ifname)
{
	machine_run("cd %s && mkdir -p devices/virtual/net/%s && ln -sfn ../../devices/virtual/net/%s class/net/%s", m->root, ifname,
	            ifname, ifname);
}

static inline void machine_add_vf(const struct machine *m, const char *pf_path, const char *vf_path)
{
	const char *pf = strrchr(pf_path, '/') + 1, *vf = strrchr(vf_path, '/') + 1;
	machine_run("cd %s/devices/%s && ln -s ../%s physfn && ln -s ../%s ../%s/virtfn$(ls -d ../%s/virtfn* 2>/dev/null | wc -l)", m->root,
	            vf_path, pf, vf, pf, pf);
}

/* "\xff" → the byte, in place. */
static inline void machine_unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from; to++) {
		char digits[3] = "";
		if (from[0] == '\\' && from[1] == 'x' && isxdigit((unsigned char)from[2]) && isxdigit((unsigned char)from[3])) {
			memcpy(digits, from + 2, 2);
			*to = (char)strtoul(digits, NULL, 16);
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

static inline void machine_make_directories(char *path, const char *after)
{
	for (char *slash = path + strlen(after) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			abort();
		*slash = '/';
	}
}

/* One line without its indentation, below `directory` ("" or one that ends in a slash). */
static inline void machine_load_line(const struct machine *m, const char *directory, char *line)
{
	char path[1024];
	char *text = strstr(line, " ="), *target = strstr(line, " -> ");
	if (text && text[2] != '\0' && text[2] != ' ')
		text = NULL;
	if (text)
		*text = '\0';
	else if (target)
		*target = '\0';
	machine_unescape(line);
	snprintf(path, sizeof(path), "%s/%s%s", m->root, directory, line);
	machine_make_directories(path, m->root);
	if (text) {
		text += text[2] ? 3 : 2;
		machine_unescape(text);
		machine_write(m, path + strlen(m->root) + 1, text);
	} else if (target) {
		machine_unescape(target + 4);
		if (symlink(target + 4, path) < 0)
			abort();
	} else if (path[strlen(path) - 1] != '/') {
		fprintf(stderr, "fixture: %s is neither directory, file nor link\n", line);
		abort();
	}
}

/* The machine of a file, instead of an empty one. */
static inline void machine_load(struct machine *m, const char *file)
{
	char line[1024], directory[512] = "";
	FILE *f = fopen(file, "r");
	if (!f) {
		fprintf(stderr, "fixture: %s: %s\n", file, strerror(errno));
		abort();
	}
	machine_init(m);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		char *at = line + strspn(line, " ");
		if (!*at || *at == '#')
			continue;
		bool inside = at > line;
		if (!inside && at[strlen(at) - 1] == '/') {
			strcpy(directory, at);
			machine_unescape(directory);
		}
		machine_load_line(m, inside ? directory : "", at);
	}
	fclose(f);
}
