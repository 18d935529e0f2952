/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration over another (dranet-behaviour §3.5). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/config.h"
#include "core/config_schema.h"

void network_config_init(struct network_config *c)
{
	*c = (struct network_config){.dhcp = -1,
	                             .dhcp6 = -1,
	                             .disable_ebpf = -1,
	                             .forwarding = -1,
	                             .arp_ignore = -1,
	                             .arp_announce = -1,
	                             .rdma_umad = -1,
	                             .rdma_issm = -1};
}

void network_config_free(struct network_config *c)
{
	free(c->addresses);
	free(c->routes);
	free(c->rules);
	free(c->neighbours);
	free(c->features);
	free(c->private_flags);
	network_config_init(c);
}

/* ---- lists ----------------------------------------------------------------------------------------------------------------------- */

struct element {
	const char *at;
	size_t place;
};

/* Equal ones side by side, the last of them last. */
static int order_elements(const void *a, const void *b, void *order_of_values)
{
	int (*order)(const void *, const void *) = *(int (**)(const void *, const void *))order_of_values;
	const struct element *x = a, *y = b;
	int o = order(x->at, y->at);
	return o ? o : (x->place > y->place) - (x->place < y->place);
}

/* Of elements that take each other's place only the last stays. By sorting, because lists come long from a stranger. */
static int list_keep_last(char *list, size_t *n, size_t size, int (*order)(const void *, const void *))
{
	struct element *sorted = calloc(*n, sizeof(*sorted));
	bool *replaced = calloc(*n, sizeof(*replaced));
	if (sorted && replaced) {
		for (size_t i = 0; i < *n; i++)
			sorted[i] = (struct element){list + i * size, i};
		qsort_r(sorted, *n, sizeof(*sorted), order_elements, &order);
		for (size_t i = 0; i + 1 < *n; i++)
			replaced[sorted[i].place] = order(sorted[i].at, sorted[i + 1].at) == 0;
		size_t kept = 0;
		for (size_t i = 0; i < *n; i++)
			if (!replaced[i])
				memmove(list + kept++ * size, list + i * size, size);
		*n = kept;
	}
	bool failed = !sorted || !replaced;
	free(sorted);
	free(replaced);
	return failed ? -ENOMEM : 0;
}

/* `over` behind `base`. */
static int list_join(const struct config_field *f, struct network_config *base, struct network_config *over)
{
	size_t n_base, n_over;
	char *list_base = config_field_list(f, base, &n_base), *list_over = config_field_list(f, over, &n_over);
	size_t n = n_base + n_over;
	if (!n)
		return 0;
	char *joined = calloc(n, f->size);
	if (!joined)
		return -ENOMEM;
	if (n_base)
		memcpy(joined, list_base, n_base * f->size);
	if (n_over)
		memcpy(joined + n_base * f->size, list_over, n_over * f->size);
	int rc = f->order ? list_keep_last(joined, &n, f->size, f->order) : 0;
	if (!rc && n > (size_t)f->max)
		rc = -E2BIG;
	if (rc) {
		free(joined);
		return rc;
	}
	free(list_base);
	*(void **)(void *)((char *)base + f->offset) = joined;
	*(size_t *)(void *)((char *)base + f->count) = n;
	return 0;
}

/* ---- everything ------------------------------------------------------------------------------------------------------------------ */

static int merge_members(const struct config_members *members, struct network_config *base, struct network_config *over)
{
	int rc = 0;
	for (size_t i = 0; i < members->n && !rc; i++) {
		const struct config_field *f = &members->fields[i];
		char *to = (char *)base + f->offset;
		const char *from = (const char *)over + f->offset;
		if (config_field_is_list(f))
			rc = list_join(f, base, over);
		else if (f->type == CONFIG_OBJECT)
			rc = merge_members(f->members, base, over);
		else if (!config_field_given(f, over))
			continue;
		else if (f->type == CONFIG_SETTING || f->type == CONFIG_SWITCH) {
			base->ethtool.v[f->setting] = over->ethtool.v[f->setting];
			base->ethtool.given |= 1u << f->setting;
		} else
			memcpy(to, from, config_field_size(f));
		if (f->told && config_field_given(f, over))
			*(bool *)((char *)base + f->told_at) = true;
	}
	return rc;
}

int network_config_merge(struct network_config *base, const struct network_config *over)
{
	/* A table belongs to the VRF that it was given for. */
	if (over->vrf_name[0] && !str_equal(over->vrf_name, base->vrf_name))
		base->vrf_table = 0;
	struct network_config view = *over;
	int rc = merge_members(&config_document, base, &view);
	base->addresses_given |= over->addresses_given;
	if (base->vrf_name[0] && !base->vrf_table)
		base->vrf_table = config_vrf_table(base->vrf_name);
	return rc;
}
