/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/mover.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/address.h"
#include "netlink/ethtool.h"
#include "netlink/mover_internal.h"
#include "netlink/netns.h"
#include "netlink/sysfs.h"

int mover_new(const struct sysfs *sysfs, struct mover **ret, struct error *e)
{
	struct mover *m = calloc(1, sizeof(*m));
	if (!m)
		return error_set(e, -ENOMEM, "mover: out of memory");
	m->host_fd = -1;
	m->sysfs = sysfs;
	int r = netns_open_own(&m->host_fd, e);
	if (r == 0)
		r = nlsock_open(NETLINK_ROUTE, &m->host, e);
	if (r == 0)
		r = nlsock_open(NETLINK_GENERIC, &m->generic, e);
	if (r == 0)
		(void)ethtool_family(m->generic, &m->ethtool, NULL);
	if (r < 0) {
		mover_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void mover_free(struct mover *m)
{
	if (!m)
		return;
	nlsock_free(m->host);
	nlsock_free(m->generic);
	if (m->host_fd >= 0)
		close(m->host_fd);
	free(m);
}

int job_open(struct mover *m, const struct attach_plan *plan, int netns_fd, struct job *ret, struct error *e)
{
	*ret = (struct job){.m = m, .plan = plan, .netns_fd = netns_fd};
	return netns_fd < 0 ? 0 : nlsock_open_in(netns_fd, m->host_fd, NETLINK_ROUTE, &ret->pod, e);
}

void job_close(struct job *j)
{
	nlsock_free(j->pod);
	j->pod = NULL;
}

/* ---- where is it ----------------------------------------------------------------------------------------------------------------- */

/* How sure it is that a link is the plan's device. A PCI address or a permanent MAC decides. Virtual links have neither; for them two of
 * ifindex, name, MAC and the link they stand on must agree: the kernel keeps an ifindex over a move unless it is taken there, a pod may
 * rename its interface and give it another MAC, and a pod's own eth0 easily has the number that ours has on the host. */
enum { SURE_WEAK = 2, SURE_FULL = 3, SURE_HARDWARE = 8 };

void temporary_name(const struct attach_plan *p, unsigned attempt, char name[IFNAME_SIZE])
{
	snprintf(name, IFNAME_SIZE, attempt ? "dra%dx%u" : "dra%d", p->host.ifindex, attempt % 100);
}

static bool is_known_name(const struct attach_plan *p, const char *name)
{
	char temporary[IFNAME_SIZE];
	temporary_name(p, 0, temporary);
	return str_equal(name, p->host.ifname) || str_equal(name, p->pod.ifname) || str_starts(name, temporary);
}

static unsigned how_sure(const struct job *j, bool on_host, const struct link *l)
{
	const struct attach_plan *p = j->plan;
	if (!str_equal(l->kind, p->host.type))
		return 0;
	unsigned score = (l->ifindex == p->host.ifindex) + is_known_name(p, l->ifname);
	/* What ours stands on stayed on the host. */
	score += p->host.peer_ifindex > 0 && l->peer == p->host.peer_ifindex && l->peer_away == !on_host;
	if (l->mac.length > 0)
		score += mac_equal(&l->mac, &p->host.mac) || mac_equal(&l->mac, &p->pod.mac);

	char pci[PCI_ADDRESS_SIZE];
	const char *planned = p->facts.pci_address;
	if (l->permanent_mac.length > 0 && p->host.permanent_mac.length > 0) {
		if (mac_equal(&l->permanent_mac, &p->host.permanent_mac))
			return SURE_HARDWARE + score;
		/* A VF may show another permanent MAC after a reset; its function then still tells. */
		return planned[0] && str_equal(l->parent, planned) && score >= SURE_WEAK ? score : 0;
	}
	if (!planned[0])
		return score >= SURE_WEAK ? score : 0;
	if (str_equal(l->parent, planned))
		return score > 0 ? SURE_HARDWARE + score : 0; /* a function may have several netdevs */
	/* The bus name of a virtio or auxiliary device is not the function's; sysfs shows the host's links only. */
	if (on_host && sysfs_netdev_pci(j->m->sysfs, l->ifname, pci) == 0)
		return str_equal(pci, planned) && score > 0 ? SURE_HARDWARE + score : 0;
	return score >= SURE_WEAK ? score : 0;
}

struct search {
	const struct job *j;
	bool on_host;
	unsigned score;
	struct link best;
};

static void consider(struct search *q, const struct link *l)
{
	unsigned score = how_sure(q->j, q->on_host, l);
	if (score > q->score) {
		q->score = score;
		q->best = *l;
	}
}

static int see_candidate(const struct nlmsghdr *h, void *user)
{
	struct search *q = user;
	struct link l;
	if (!h) {
		q->score = 0;
		return 0;
	}
	int r = link_parse(h, &l);
	if (r == 0)
		consider(q, &l);
	return r == -ENOMSG ? 0 : r;
}

/* The three links that it most likely is: a few microseconds each, where a dump of a large host takes milliseconds. */
static int search_quick(struct nlsock *s, struct search *q, struct error *e)
{
	const struct attach_plan *p = q->j->plan;
	const char *names[] = {p->pod.ifname, p->host.ifname};
	struct error ours = {0};
	struct link l;
	int r = link_get(s, p->host.ifindex, &l, &ours);
	if (r == 0)
		consider(q, &l);
	for (size_t i = 0; i < ELEMENTS(names) && q->score < SURE_FULL && (r == 0 || r == -ENODEV); i++)
		if ((r = link_get_by_name(s, names[i], &l, &ours)) == 0)
			consider(q, &l);
	return r == 0 || r == -ENODEV ? 0 : error_set(e, r, "%s", ours.text);
}

static int search_all(struct nlsock *s, struct search *q, struct error *e)
{
	_cleanup_nlmsg_ struct nl_msg *m = link_dump_request();
	return nlsock_dump(s, m, see_candidate, q, e);
}

int job_locate(struct job *j, struct located *ret, struct error *e)
{
	struct search host = {.j = j, .on_host = true}, pod = {.j = j};
	int r = search_quick(j->m->host, &host, e);
	if (r == 0 && j->pod && host.score < SURE_FULL)
		r = search_quick(j->pod, &pod, e);
	if (r == 0 && j->pod && host.score < SURE_FULL && pod.score < SURE_FULL)
		r = search_all(j->pod, &pod, e);
	if (r == 0 && host.score < SURE_FULL && pod.score < SURE_FULL)
		r = search_all(j->m->host, &host, e);
	if (r < 0)
		return r;
	if (host.score == 0 && pod.score == 0)
		*ret = (struct located){.place = PLACE_GONE};
	else if (host.score >= pod.score)
		*ret = (struct located){.place = PLACE_HOST, .link = host.best};
	else
		*ret = (struct located){.place = PLACE_POD, .link = pod.best};
	return 0;
}

int job_read_back(struct job *j, int32_t ifindex, struct pod_state *ret, struct error *e)
{
	_cleanup_addresses_ struct address_list l = {0};
	struct link link;
	int r = link_get(j->pod, ifindex, &link, e);
	if (r == 0)
		r = address_list(j->pod, ifindex, &l, e);
	if (r < 0)
		return r;
	struct pod_state s = {.mac = link.mac};
	(void)STR_COPY(s.ifname, link.ifname);
	for (size_t i = 0; i < l.n && s.n_addresses < ELEMENTS(s.addresses); i++)
		if (!address_is_kernel_made(&l.v[i], &link.mac)) /* what was asked for, 169.254/16 and fe80::/10 included */
			s.addresses[s.n_addresses++] = l.v[i].address.prefix;
	*ret = s;
	return 0;
}

int mover_probe(struct mover *m, const struct attach_plan *plan, int netns_fd, struct move_result *ret, struct error *e)
{
	_cleanup_job_ struct job j;
	struct located at = {0};
	*ret = (struct move_result){.place = PLACE_UNKNOWN};
	int r = job_open(m, plan, netns_fd, &j, e);
	if (r == 0)
		r = job_locate(&j, &at, e);
	if (r < 0)
		return r;
	ret->place = at.place;
	return at.place == PLACE_POD ? job_read_back(&j, at.link.ifindex, &ret->pod, e) : 0;
}
