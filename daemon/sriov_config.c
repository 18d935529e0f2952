/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sriov_config.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/cleanup.h"
#include "core/base/str.h"

/* ---- one file -------------------------------------------------------------------------------------------------------------------- */

struct parser {
	const char *file;
	unsigned line;
	struct error faults;
	bool no_memory;
};

static void fault(struct parser *p, const char *what, const char *value, const char *why)
{
	char shown[48];
	STR_CUT(shown, value);
	for (char *c = shown; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	error_append(&p->faults, -EINVAL, "%s:%u: %s \"%s\" %s", p->file, p->line, what, shown, why);
}

/* With its domain, and in the kernel's lower case. */
static bool take_address(const char *text, char ret[PCI_ADDRESS_SIZE])
{
	char path[PCI_ADDRESS_SIZE], lower[PCI_ADDRESS_SIZE], name[DEVICE_NAME_SIZE];
	size_t n = strlen(text);
	if (n >= sizeof(lower) - 5)
		return false;
	for (size_t i = 0; i <= n; i++)
		lower[i] = (char)tolower((unsigned char)text[i]);
	if (strchr(lower, '/') || pci_address_of_path(lower, path) < 0)
		return false;
	snprintf(ret, PCI_ADDRESS_SIZE, "%s%s", strchr(lower, ':') == strrchr(lower, ':') ? "0000:" : "", path);
	return device_name_pci(ret, name) == 0;
}

static void take_pf(struct parser *p, const char *text, char ret[PCI_ADDRESS_SIZE])
{
	if (strchr(text, ':')) {
		if (!take_address(text, ret))
			fault(p, "PF", text, "is no PCI address");
	} else if (strlen(text) >= IFNAME_SIZE || strchr(text, '/') || str_equal(text, ".") || str_equal(text, "..")) {
		fault(p, "PF", text, "is no name of an interface");
	} else {
		(void)str_copy(ret, PCI_ADDRESS_SIZE, text);
	}
}

static void take_number(struct parser *p, const char *text, uint32_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long n = digits && digits < 8 ? strtoul(text, NULL, 10) : SRIOV_VFS_MAX + 1UL;
	if (text[digits] || n > SRIOV_VFS_MAX)
		fault(p, "number of VFs", text, "is no number from 0 to 65535");
	else
		*ret = (uint32_t)n;
}

static void add_wish(struct parser *p, struct sriov_config *c, size_t first, const struct sriov_wish *wish)
{
	for (size_t i = first; i < c->n; i++)
		if (str_equal(c->v[i].pf, wish->pf))
			fault(p, "PF", wish->pf, "stands there before");
	struct sriov_wish *grown = reallocarray(c->v, c->n + 1, sizeof(*grown));
	if (!grown) {
		p->no_memory = true;
		return;
	}
	c->v = grown;
	c->v[c->n++] = *wish;
}

static void take_line(struct parser *p, char *line, struct sriov_config *c, size_t first)
{
	static const char space[] = " \t\r";
	char *rest = NULL;
	struct sriov_wish wish = {.line = p->line};
	line[strcspn(line, "#")] = '\0';
	char *pf = strtok_r(line, space, &rest), *number = pf ? strtok_r(NULL, space, &rest) : NULL;
	const char *more = number ? strtok_r(NULL, space, &rest) : NULL;
	if (!pf)
		return;
	STR_CUT(wish.file, p->file);
	take_pf(p, pf, wish.pf);
	if (!number)
		fault(p, "PF", pf, "has no number of VFs behind it");
	else
		take_number(p, number, &wish.n_vfs);
	if (more)
		fault(p, "word", more, "is one too many");
	if (wish.pf[0])
		add_wish(p, c, first, &wish);
}

int sriov_config_parse(const char *text, size_t size, const char *file, struct sriov_config *c, struct error *e)
{
	struct parser p = {.file = file};
	size_t first = c->n;
	for (size_t at = 0; at < size && !p.no_memory; at++) {
		const char *end = memchr(text + at, '\n', size - at);
		size_t length = end ? (size_t)(end - text) - at : size - at;
		_cleanup_free_ char *line = strndup(text + at, length);
		p.line++;
		if (!line)
			p.no_memory = true;
		else if (strlen(line) != length)
			fault(&p, "line", line, "has a NUL in it");
		else
			take_line(&p, line, c, first);
		at += length;
	}
	for (size_t i = first; i < c->n; i++)
		c->v[i].refused = p.faults.code;
	if (p.no_memory)
		return error_set(e, -ENOMEM, "%s: out of memory", file);
	return p.faults.code ? error_set(e, -EINVAL, "%s", p.faults.text) : 0;
}

/* ---- the directory --------------------------------------------------------------------------------------------------------------- */

static int is_ours(const struct dirent *d)
{
	size_t n = strlen(d->d_name);
	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

/* By bytes: the order shall not hang on a locale. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_file(int directory, const char *name, struct sriov_config *c, struct error *e)
{
	_cleanup_free_ char *text = malloc(SRIOV_FILE_MAX + 1);
	int fd = text ? openat(directory, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
	size_t size = 0;
	ssize_t n = fd < 0 ? -1 : 0;
	while (fd >= 0 && size <= SRIOV_FILE_MAX && (n = read(fd, text + size, SRIOV_FILE_MAX + 1 - size)) > 0)
		size += (size_t)n;
	int r = !text ? -ENOMEM : n < 0 ? -errno : 0;
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return error_set(e, r, "%s: %s", name, strerror(-r));
	if (size > SRIOV_FILE_MAX)
		return error_set(e, -EFBIG, "%s: it is longer than %d bytes", name, SRIOV_FILE_MAX);
	return sriov_config_parse(text, size, name, c, e);
}

int sriov_config_load(const char *directory, struct sriov_config *ret, void (*faulty)(const char *text, void *user), void *user,
                      struct error *e)
{
	struct dirent **files = NULL;
	struct sriov_config c = {0};
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = fd < 0 ? -1 : scandirat(fd, ".", &files, is_ours, by_name);
	int r = n < 0 ? -errno : 0;
	for (int i = 0; i < n; i++) {
		struct error ours = {0};
		if (i == SRIOV_FILES_MAX)
			error_set(&ours, -E2BIG, "%s: it has %d files, those from %s on are not read", directory, n, files[i]->d_name);
		else if (i < SRIOV_FILES_MAX)
			(void)load_file(fd, files[i]->d_name, &c, &ours);
		if (ours.code)
			faulty(ours.text, user);
		free(files[i]);
	}
	free(files);
	if (fd >= 0)
		close(fd);
	if (r < 0 && r != -ENOENT)
		return error_set(e, r, "%s: %s", directory, strerror(-r));
	*ret = c;
	return 0;
}

void sriov_config_free(struct sriov_config *c)
{
	free(c->v);
	*c = (struct sriov_config){0};
}

const struct sriov_wish *sriov_config_find(const struct sriov_config *c, const char *ifname, const char *pci_address)
{
	for (size_t i = c->n; i > 0; i--) {
		const struct sriov_wish *w = &c->v[i - 1];
		if (str_equal(w->pf, ifname) || str_equal(w->pf, pci_address))
			return w->refused ? NULL : w;
	}
	return NULL;
}
