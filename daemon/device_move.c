/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/device_move.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mark.h"
#include "core/base/str.h"
#include "netlink/fd.h"
#include "netlink/netns.h"
#include "rdma/device.h"

/* A runtime gives its hooks two seconds by default, in which RunPodSandbox waits for an attach in exclusive mode. */
enum { PREPARE_NODE_WAIT_MS = 1000, NODE_WAIT_MS = 500, GID_WAIT_MS = 500, HOME_WAIT_MS = 1000, HOME_POLL_MS = 20, NOTES_SIZE = 256 };

struct device_mover {
	struct mover *mover;
	int host_fd;
};

int device_mover_new(struct mover *mover, struct device_mover **ret, struct error *e)
{
	struct device_mover *d = calloc(1, sizeof(*d));
	if (!d)
		return error_set(e, -ENOMEM, "out of memory");
	d->mover = mover;
	int r = netns_open_own(&d->host_fd, e);
	if (r < 0)
		free(d);
	else
		*ret = d;
	return r;
}

void device_mover_free(struct device_mover *d)
{
	if (!d)
		return;
	close(d->host_fd);
	free(d);
}

/* ---- the RDMA device ------------------------------------------------------------------------------------------------------------- */

struct half { /* the RDMA half of one call */
	const struct device_mover *d;
	const struct attach_plan *plan;
	int netns_fd; /* -1 = the host only */
	struct rdma *host, *pod;
};

static void half_close(struct half *h)
{
	rdma_close(h->host);
	rdma_close(h->pod);
}
#define _cleanup_half_ __attribute__((cleanup(half_close)))

static int half_open(struct device_mover *d, const struct attach_plan *plan, int netns_fd, struct half *ret, struct error *e)
{
	struct error ours = {0};
	*ret = (struct half){.d = d, .plan = plan, .netns_fd = netns_fd};
	int r = rdma_open(&ret->host, &ours);
	if (r == -EOPNOTSUPP) /* RDMA was unloaded, and all its devices with it */
		return 0;
	if (r < 0)
		return error_set(e, r, "%s", ours.text);
	if (netns_fd < 0 || !plan->host.rdma.exclusive)
		return 0;
	r = netns_enter(netns_fd, e);
	if (r < 0)
		return r;
	r = rdma_open(&ret->pod, e);
	netns_return(d->host_fd);
	return r;
}

static bool has_netdev(const struct attach_plan *p)
{
	return p->facts.ifindex != 0;
}

static bool has_rdma(const struct attach_plan *p)
{
	return p->host.rdma.name[0];
}

static int check_mode(const struct half *h, struct error *e)
{
	enum rdma_netns_mode is, was = h->plan->host.rdma.exclusive ? RDMA_NETNS_EXCLUSIVE : RDMA_NETNS_SHARED;
	int r = h->host ? rdma_mode(h->host, &is, e) : error_set(e, -ENODEV, "this kernel has no RDMA devices any more");
	if (r < 0 || is == was)
		return r;
	return error_set(e, -EINVAL, "RDMA devices are in %s mode now, and were in %s mode when the claim was prepared: prepare it again",
	                 rdma_netns_mode_name(is), rdma_netns_mode_name(was));
}

/* Where it is, as the place of a device that has no netdev. */
static int half_locate(const struct half *h, enum place *ret_place, struct rdma_device *ret, struct error *e)
{
	const struct rdma_state *which = &h->plan->host.rdma;
	struct error ours = {0};
	enum place place = PLACE_POD;
	int r = h->pod ? rdma_find(h->pod, which, ret, &ours) : -ENODEV;
	if (r == -ENODEV) {
		ours = (struct error){0};
		place = !which->exclusive && h->netns_fd >= 0 ? PLACE_POD : PLACE_HOST;
		r = h->host ? rdma_find(h->host, which, ret, &ours) : -ENODEV;
	}
	if (r < 0 && r != -ENODEV)
		return error_set(e, r, "%s", ours.text);
	*ret_place = r == 0 ? place : PLACE_GONE;
	return 0;
}

static int half_move_in(const struct half *h, struct error *e)
{
	enum place place;
	struct rdma_device at;
	int r = half_locate(h, &place, &at, e);
	if (r < 0)
		return r;
	if (place == PLACE_GONE)
		return error_set(e, -ENODEV, "the RDMA device %s does not exist any more", h->plan->host.rdma.name);
	if (place == PLACE_POD) /* in shared mode; or an earlier attach got that far */
		return 0;
	mark("rdma", "move-in", "begin");
	r = rdma_move(h->host, at.index, h->netns_fd, e);
	mark("rdma", "move-in", "end");
	return r < 0 ? error_prefix(e, "cannot move the RDMA device %s into the pod", at.name) : 0;
}

/* The index of a GID is what its user asks for, and there is none before the kernel has made it from the pod's addresses. That it does not
 * come is no failure: the link may be down, or the addresses of a kind that RoCE has no GIDs for. */
static void read_gid(const struct half *h, const struct pod_state *pod, uint32_t wait_ms, struct rdma_state *state)
{
	_cleanup_fd_ int sysfs = -1;
	if (state->protocol != RDMA_PROTOCOL_ROCE || pod->n_addresses == 0)
		return;
	bool inside = h->pod;
	if (inside && netns_enter(h->netns_fd, NULL) < 0)
		return;
	int r = rdma_sysfs_open(&sysfs, NULL);
	if (inside)
		netns_return(h->d->host_fd);
	if (r == 0)
		(void)rdma_gid_find(sysfs, pod->addresses, pod->n_addresses, wait_ms, state, NULL);
}

/* What the pod has of it, for the state that is told and kept. */
static int half_read(const struct half *h, uint32_t node_wait_ms, uint32_t gid_wait_ms, struct pod_state *pod, struct error *e)
{
	const struct network_config *c = &h->plan->pod;
	const struct rdma_wanted_nodes wanted = {.umad = c->rdma_umad == 1, .issm = c->rdma_issm == 1, .wait_ms = node_wait_ms};
	struct rdma *where = h->pod ? h->pod : h->host;
	struct rdma_device at;
	struct rdma_state state = {0};
	int r = where ? rdma_find(where, &h->plan->host.rdma, &at, e) : -ENODEV; /* the pod may have given it another name */
	if (r == 0)
		r = rdma_state_read(where, at.name, &wanted, &state, e);
	if (r < 0)
		return r;
	read_gid(h, pod, gid_wait_ms, &state);
	pod->rdma = state;
	return 0;
}

/* ---- home ------------------------------------------------------------------------------------------------------------------------ */

static void note(char *notes, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void note(char *notes, size_t size, const char *format, ...)
{
	size_t used = strlen(notes);
	va_list args;
	va_start(args, format);
	if (used > 0 && used + 2 < size)
		used += (size_t)snprintf(notes + used, size - used, "; ");
	vsnprintf(notes + used, size - used, format, args);
	va_end(args);
}

/* A namespace that ends gives it back, but in the kernel's own time. */
static int wait_for_home(const struct half *h, enum place *place, struct rdma_device *at, struct error *e)
{
	const struct timespec pause = {.tv_nsec = HOME_POLL_MS * 1000000L};
	int r = 0;
	for (unsigned waited = 0; r == 0 && *place == PLACE_GONE && waited < HOME_WAIT_MS; waited += HOME_POLL_MS) {
		nanosleep(&pause, NULL);
		r = half_locate(h, place, at, e);
	}
	return r;
}

/* The kernel lets a thread send away what its own namespace has, whatever socket it asks through. */
static int send_home(const struct half *h, enum place *place, struct rdma_device *at, struct error *e)
{
	int r = netns_enter(h->netns_fd, e);
	if (r < 0)
		return r;
	mark("rdma", "move-home", "begin");
	r = rdma_move(h->pod, at->index, h->d->host_fd, e);
	mark("rdma", "move-home", "end");
	netns_return(h->d->host_fd);
	if (r < 0)
		return error_prefix(e, "cannot move the RDMA device %s back to the host", at->name);
	return half_locate(h, place, at, e);
}

/* Names are unique among all namespaces: while it was away nobody else could take the name that it kept, but one that it lost. */
static void restore_name(const struct half *h, const struct rdma_device *at, char *notes, size_t size)
{
	const char *was = h->plan->host.rdma.name;
	struct error ours = {0};
	if (str_equal(at->name, was))
		return;
	mark("rdma", "rename", "begin");
	int r = rdma_rename(h->host, at->index, was, &ours);
	mark("rdma", "rename", "end");
	if (r < 0)
		note(notes, size, "rdma device is called %s, was %s: %s", at->name, was, ours.text);
}

/* From wherever it is to the host, under its old name; in shared mode it has never been away. `wait`: it is known to be on its way. */
static int half_bring_home(const struct half *h, bool wait, enum place *ret_place, char *notes, size_t size, struct error *e)
{
	struct rdma_device at;
	bool moves = h->plan->host.rdma.exclusive;
	int r = half_locate(h, ret_place, &at, e);
	if (r == 0 && moves && *ret_place == PLACE_POD)
		r = send_home(h, ret_place, &at, e);
	if (r == 0 && moves && *ret_place == PLACE_GONE && wait)
		r = wait_for_home(h, ret_place, &at, e);
	if (r < 0)
		return r;
	if (*ret_place == PLACE_GONE)
		note(notes, size, "rdma device %s is missing", h->plan->host.rdma.name);
	else
		restore_name(h, &at, notes, size);
	if (!moves && *ret_place == PLACE_POD)
		*ret_place = PLACE_HOST;
	return 0;
}

/* ---- both ------------------------------------------------------------------------------------------------------------------------ */

static void look_again(const struct half *h, struct move_result *ret)
{
	struct rdma_device at;
	struct move_result now;
	enum place place;
	int r = has_netdev(h->plan) ? mover_probe(h->d->mover, h->plan, h->netns_fd, &now, NULL) : half_locate(h, &place, &at, NULL);
	ret->place = r < 0 ? PLACE_UNKNOWN : has_netdev(h->plan) ? now.place : place;
}

/* Neither of the two is left in the pod. The first error is the one to tell. */
static void undo(const struct half *h, struct move_result *ret, struct error *e)
{
	struct error ours = {0};
	struct move_result home = {.place = PLACE_POD}; /* with one half in there the device is in there */
	enum place place;
	char notes[NOTES_SIZE] = "";
	int r = half_bring_home(h, false, &place, notes, sizeof(notes), &ours);
	if (r == 0 && has_netdev(h->plan))
		r = mover_probe(h->d->mover, h->plan, h->netns_fd, &home, &ours);
	else if (r == 0)
		home.place = place;
	if (r == 0 && home.place == PLACE_POD && has_netdev(h->plan))
		r = mover_detach(h->d->mover, h->plan, h->netns_fd, &home, &ours);
	if (notes[0])
		note(home.differences, sizeof(home.differences), "%s", notes);
	if (r < 0)
		error_append(e, r, "undo failed: %s", ours.text);
	else if (home.differences[0])
		error_append(e, -EREMOTEIO, "back on the host, but: %s", home.differences);
	ret->place = home.place;
	if (home.differences[0])
		note(ret->differences, sizeof(ret->differences), "%s", home.differences);
}

/* An RDMA device that changes its namespace takes what stands on it down: IPoIB interfaces are made anew. */
static int check_netdev(const struct half *h, struct error *e)
{
	struct move_result now;
	int r = has_netdev(h->plan) ? mover_probe(h->d->mover, h->plan, h->netns_fd, &now, e) : 0;
	if (r < 0 || !has_netdev(h->plan) || now.place == PLACE_POD)
		return r;
	return error_set(e, -ENODEV, "%s did not outlive the move of its RDMA device %s", h->plan->host.ifname, h->plan->host.rdma.name);
}

static int attach_rdma(const struct half *h, struct device_result *ret, struct error *e)
{
	struct pod_state *pod = &ret->move.pod;
	int r = half_move_in(h, e);
	if (r == 0)
		r = check_netdev(h, e);
	if (r == 0)
		r = half_read(h, NODE_WAIT_MS, GID_WAIT_MS, pod, e);
	if (r == 0) {
		ret->move.place = PLACE_POD;
		return 0;
	}
	ret->rdma = true;
	undo(h, &ret->move, e);
	return r;
}

static int attach_both(const struct half *h, const struct leases *leases, struct device_result *ret, struct error *e)
{
	int r = check_mode(h, e);
	if (r < 0) {
		ret->rdma = true;
		look_again(h, &ret->move);
		return r;
	}
	if (has_netdev(h->plan))
		r = mover_attach(h->d->mover, h->plan, leases, h->netns_fd, &ret->move, e);
	if (r == 0)
		return attach_rdma(h, ret, e);
	/* What an attach before a crash had moved already does not stay without the netdev. */
	if (ret->move.place == PLACE_HOST)
		undo(h, &ret->move, e);
	return r;
}

int device_attach(struct device_mover *d, const struct attach_plan *plan, const struct leases *leases, int netns_fd,
                  struct device_result *ret, struct error *e)
{
	_cleanup_half_ struct half h = {0};
	*ret = (struct device_result){.move.place = PLACE_UNKNOWN};
	if (!has_rdma(plan))
		return mover_attach(d->mover, plan, leases, netns_fd, &ret->move, e);
	int r = netns_fd < 0 ? error_set(e, -EBADF, "there is no namespace to attach %s to", plan->host.rdma.name)
	                     : half_open(d, plan, netns_fd, &h, e);
	if (r == 0)
		return attach_both(&h, leases, ret, e);
	ret->rdma = true;
	/* What is not on the host may be in the namespace that cannot be opened. */
	if (has_netdev(plan) && mover_probe(d->mover, plan, -1, &ret->move, NULL) < 0)
		ret->move.place = PLACE_UNKNOWN;
	if (ret->move.place != PLACE_HOST)
		ret->move.place = PLACE_UNKNOWN;
	return r;
}

/* What cannot be read is not told; the place is the netdev's. */
static void add_rdma(struct device_mover *d, const struct attach_plan *plan, int netns_fd, uint32_t gid_wait_ms, struct move_result *ret)
{
	_cleanup_half_ struct half h = {0};
	if (ret->place == PLACE_POD && has_rdma(plan) && half_open(d, plan, netns_fd, &h, NULL) == 0)
		(void)half_read(&h, 0, gid_wait_ms, &ret->pod, NULL);
}

int device_apply_leases(struct device_mover *d, const struct attach_plan *plan, const struct leases *old, const struct leases *leases,
                        int netns_fd, struct device_result *ret, struct error *e)
{
	*ret = (struct device_result){0};
	int r = mover_apply_leases(d->mover, plan, old, leases, netns_fd, &ret->move, e);
	add_rdma(d, plan, netns_fd, r == 0 ? GID_WAIT_MS : 0, &ret->move);
	return r;
}

int device_probe(struct device_mover *d, const struct attach_plan *plan, int netns_fd, struct device_result *ret, struct error *e)
{
	_cleanup_half_ struct half h = {0};
	struct rdma_device at;
	*ret = (struct device_result){.move.place = PLACE_UNKNOWN};
	int r;
	if (has_netdev(plan)) {
		r = mover_probe(d->mover, plan, netns_fd, &ret->move, e);
	} else {
		r = half_open(d, plan, netns_fd, &h, e);
		if (r == 0)
			r = half_locate(&h, &ret->move.place, &at, e);
	}
	if (r == 0)
		add_rdma(d, plan, netns_fd, 0, &ret->move);
	return r;
}

/* ---- detach and snapshot --------------------------------------------------------------------------------------------------------- */

/* The RDMA device may be on its way only where the netdev has come home already; else both are looked for later. */
static bool worth_waiting(const struct half *h)
{
	struct move_result at;
	return h->netns_fd < 0 && has_netdev(h->plan) && mover_probe(h->d->mover, h->plan, -1, &at, NULL) == 0 && at.place == PLACE_HOST;
}

int device_detach(struct device_mover *d, const struct attach_plan *plan, int netns_fd, struct device_result *ret, struct error *e)
{
	_cleanup_half_ struct half h = {0};
	char notes[NOTES_SIZE] = "";
	enum place place = PLACE_GONE;
	*ret = (struct device_result){.move.place = PLACE_UNKNOWN};
	if (!has_rdma(plan))
		return mover_detach(d->mover, plan, netns_fd, &ret->move, e);
	int opened = half_open(d, plan, netns_fd, &h, e);
	int r = opened == 0 ? half_bring_home(&h, worth_waiting(&h), &place, notes, sizeof(notes), e) : opened;
	if (r < 0) {
		ret->rdma = true;
		/* What is not on the host may be in the namespace that cannot be opened. */
		if (opened == 0 || has_netdev(plan))
			look_again(&h, &ret->move);
		return r;
	}
	ret->move.place = place;
	if (has_netdev(plan))
		r = mover_detach(d->mover, plan, netns_fd, &ret->move, e);
	if (notes[0] && ret->move.place == PLACE_HOST)
		note(ret->move.differences, sizeof(ret->move.differences), "%s", notes);
	return r;
}

static int snapshot_rdma(const struct device_parts *parts, struct rdma_state *ret, struct error *e)
{
	const struct rdma_wanted_nodes wanted = {.umad = parts->umad, .issm = parts->issm, .wait_ms = PREPARE_NODE_WAIT_MS};
	struct rdma *host = NULL;
	struct error ours = {0};
	int r = rdma_open(&host, &ours);
	if (r == 0)
		r = rdma_state_read(host, parts->rdma_device, &wanted, ret, &ours);
	rdma_close(host);
	/* Everything else it has. */
	if (r == -EOPNOTSUPP && (wanted.umad || wanted.issm))
		return error_set(e, -EINVAL, "rdma: %s", ours.text);
	return r < 0 ? error_set(e, r, "%s", ours.text) : 0;
}

int device_snapshot(struct device_mover *d, const struct device_parts *parts, struct host_state *ret, struct error *e)
{
	struct host_state state = {0};
	struct rdma_state rdma = {0};
	int r = parts->rdma_device[0] ? snapshot_rdma(parts, &rdma, e) : 0;
	if (r == 0 && parts->ifindex)
		r = mover_snapshot(d->mover, parts->ifindex, parts->ifname, &state, e);
	if (r < 0)
		return r;
	*ret = state;
	ret->rdma = rdma;
	return 0;
}
