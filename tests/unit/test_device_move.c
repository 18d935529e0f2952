/* SPDX-License-Identifier: Apache-2.0 */
/* How the two halves of a device go together (daemon/device_move.h), over a mover and an RDMA library that only count and fail as told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/device_move.h"
#include "netlink/netns.h"
#include "rdma/device.h"

enum { HOST_FD = 100, POD_FD = 200 };

/* ---- the world ------------------------------------------------------------------------------------------------------------------- */

struct rdma {
	int netns;
};

static struct world {
	enum place netdev, rdma; /* where they are */
	bool shared, no_rdma;
	char name[ATTRIBUTE_TEXT_SIZE];
	int inside; /* the namespace of the thread */
	int fail_enter, fail_open, fail_move_in, fail_move_home, fail_read, fail_netdev, fail_rename;
	bool ends_netdev; /* the move of the RDMA device does */
	bool kept_home;   /* the netdev cannot be undone */
	unsigned late;    /* looks at the host until the kernel has given it back */
	unsigned opened;  /* sockets and descriptors */
	char did[256];
	bool gid_in_pod;
} w;

static void did(const char *what)
{
	size_t used = strlen(w.did);
	snprintf(w.did + used, sizeof(w.did) - used, "%s%s", used ? " " : "", what);
}

int netns_open_own(int *ret_fd, struct error *e)
{
	(void)e;
	*ret_fd = dup(STDIN_FILENO);
	return *ret_fd < 0 ? -errno : 0;
}

int netns_enter(int netns_fd, struct error *e)
{
	if (w.fail_enter)
		return error_set(e, w.fail_enter, "cannot enter");
	w.inside = netns_fd;
	return 0;
}

void netns_return(int home_fd)
{
	(void)home_fd;
	w.inside = HOST_FD;
}

int rdma_open(struct rdma **ret, struct error *e)
{
	if (w.no_rdma)
		return error_set(e, -EOPNOTSUPP, "no RDMA");
	if (w.fail_open)
		return error_set(e, w.fail_open, "no socket");
	*ret = calloc(1, sizeof(**ret));
	assert_non_null(*ret);
	(*ret)->netns = w.inside;
	w.opened++;
	return 0;
}

void rdma_close(struct rdma *r)
{
	w.opened -= r != NULL;
	free(r);
}

int rdma_mode(struct rdma *r, enum rdma_netns_mode *ret, struct error *e)
{
	(void)r;
	(void)e;
	*ret = w.shared ? RDMA_NETNS_SHARED : RDMA_NETNS_EXCLUSIVE;
	return 0;
}

int rdma_find(struct rdma *r, const struct rdma_state *which, struct rdma_device *ret, struct error *e)
{
	assert_int_equal(which->guid, 7);
	if (r->netns == HOST_FD && w.late && --w.late == 0)
		w.rdma = PLACE_HOST;
	if (w.rdma != (r->netns == HOST_FD ? PLACE_HOST : PLACE_POD))
		return error_set(e, -ENODEV, "not here");
	*ret = (struct rdma_device){.index = 3, .node_guid = 7};
	STR_COPY(ret->name, w.name);
	return 0;
}

int rdma_move(struct rdma *r, uint32_t index, int netns_fd, struct error *e)
{
	bool in = netns_fd == POD_FD;
	int failure = in ? w.fail_move_in : w.fail_move_home;
	assert_int_equal(index, 3);
	assert_int_equal(r->netns, in ? HOST_FD : POD_FD);
	assert_int_equal(w.inside, r->netns); /* the kernel compares */
	did(in ? "rdma-in" : "rdma-home");
	if (failure)
		return error_set(e, failure, "the kernel says no");
	w.rdma = in ? PLACE_POD : PLACE_HOST;
	if (w.ends_netdev)
		w.netdev = w.rdma == PLACE_HOST ? PLACE_HOST : PLACE_GONE;
	return 0;
}

int rdma_rename(struct rdma *r, uint32_t index, const char *name, struct error *e)
{
	(void)index;
	assert_int_equal(r->netns, HOST_FD);
	did("rename");
	if (w.fail_rename)
		return error_set(e, w.fail_rename, "taken");
	STR_COPY(w.name, name);
	return 0;
}

int rdma_state_read(struct rdma *r, const char *name, const struct rdma_wanted_nodes *wanted, struct rdma_state *ret, struct error *e)
{
	assert_int_equal(r->netns, w.rdma == PLACE_HOST ? HOST_FD : POD_FD);
	assert_string_equal(name, w.name);
	if (w.fail_read)
		return error_set(e, w.fail_read, "it has no umad device");
	*ret = (struct rdma_state){
	    .guid = 7, .index = 3, .protocol = RDMA_PROTOCOL_ROCE, .exclusive = !w.shared, .n_nodes = wanted->umad ? 2 : 1};
	STR_COPY(ret->name, name);
	return 0;
}

int rdma_gid_find(int sysfs_fd, const struct ip_prefix *addresses, size_t n, uint32_t wait_ms, struct rdma_state *state, struct error *e)
{
	(void)sysfs_fd;
	(void)addresses;
	(void)wait_ms;
	(void)e;
	assert_int_equal(n, 1);
	state->gid_port = 1;
	state->gid_index = 5;
	return 0;
}

int rdma_sysfs_open(int *ret_fd, struct error *e)
{
	(void)e;
	w.gid_in_pod = w.inside == POD_FD;
	*ret_fd = dup(STDIN_FILENO);
	return 0;
}

const char *rdma_netns_mode_name(enum rdma_netns_mode mode)
{
	return mode == RDMA_NETNS_SHARED ? "shared" : "exclusive";
}

static int at(enum place place, struct move_result *ret)
{
	*ret = (struct move_result){.place = place};
	if (place == PLACE_POD)
		ret->pod = (struct pod_state){.ifname = "net1", .n_addresses = 1};
	return 0;
}

int mover_attach(struct mover *m, const struct attach_plan *plan, const struct leases *leases, int netns_fd, struct move_result *ret,
                 struct error *e)
{
	(void)m;
	(void)plan;
	(void)leases;
	(void)netns_fd;
	did("netdev-in");
	if (w.fail_netdev) {
		at(w.netdev, ret);
		return error_set(e, w.fail_netdev, "no room");
	}
	w.netdev = PLACE_POD;
	return at(w.netdev, ret);
}

int mover_apply_leases(struct mover *m, const struct attach_plan *plan, const struct leases *old, const struct leases *leases, int netns_fd,
                       struct move_result *ret, struct error *e)
{
	(void)m;
	(void)plan;
	(void)old;
	(void)leases;
	(void)netns_fd;
	(void)e;
	did("leases");
	return at(w.netdev, ret);
}

int mover_detach(struct mover *m, const struct attach_plan *plan, int netns_fd, struct move_result *ret, struct error *e)
{
	(void)m;
	(void)plan;
	(void)netns_fd;
	did("netdev-home");
	if (w.kept_home) {
		at(w.netdev, ret);
		return error_set(e, -EBUSY, "it stays");
	}
	if (w.netdev != PLACE_GONE)
		w.netdev = PLACE_HOST;
	return at(w.netdev, ret);
}

int mover_probe(struct mover *m, const struct attach_plan *plan, int netns_fd, struct move_result *ret, struct error *e)
{
	(void)m;
	(void)plan;
	(void)e;
	return at(w.netdev == PLACE_POD && netns_fd < 0 ? PLACE_GONE : w.netdev, ret);
}

int mover_snapshot(struct mover *m, int32_t ifindex, const char *ifname, struct host_state *ret, struct error *e)
{
	(void)m;
	(void)e;
	*ret = (struct host_state){.ifindex = ifindex};
	STR_COPY(ret->ifname, ifname);
	return 0;
}

/* ---- plans ----------------------------------------------------------------------------------------------------------------------- */

static struct attach_plan plan_of(bool netdev, bool exclusive)
{
	struct attach_plan p = {.facts = {.ifindex = netdev ? 9 : 0},
	                        .host = {.ifname = "ib0", .rdma = {.name = "mlx5_0", .guid = 7, .index = 3, .exclusive = exclusive}}};
	network_config_init(&p.pod);
	return p;
}

static void begin(bool shared)
{
	assert_int_equal(w.opened, 0);
	w = (struct world){.netdev = PLACE_HOST, .rdma = PLACE_HOST, .shared = shared, .name = "mlx5_0", .inside = HOST_FD};
}

static struct device_mover *mover(void)
{
	struct device_mover *d;
	assert_int_equal(device_mover_new(NULL, &d, NULL), 0);
	return d;
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------- */

struct attach_row {
	const char *what;
	struct world in;
	bool alone; /* no netdev */
	int result;
	enum place place, netdev, rdma; /* afterwards */
	const char *did, *text;
	bool of_rdma; /* the failure */
};

static const struct attach_row attach_rows[] = {
    {.what = "both", .place = PLACE_POD, .netdev = PLACE_POD, .rdma = PLACE_POD, .did = "netdev-in rdma-in"},
    {.what = "again",
     .in = {.netdev = PLACE_POD, .rdma = PLACE_POD},
     .place = PLACE_POD,
     .netdev = PLACE_POD,
     .rdma = PLACE_POD,
     .did = "netdev-in"},
    {.what = "after a crash in between",
     .in = {.netdev = PLACE_POD},
     .place = PLACE_POD,
     .netdev = PLACE_POD,
     .rdma = PLACE_POD,
     .did = "netdev-in rdma-in"},
    {.what = "alone", .alone = true, .place = PLACE_POD, .netdev = PLACE_HOST, .rdma = PLACE_POD, .did = "rdma-in"},
    {.what = "shared", .in = {.shared = true}, .place = PLACE_POD, .netdev = PLACE_POD, .rdma = PLACE_HOST, .did = "netdev-in"},
    {.what = "shared, alone",
     .in = {.shared = true},
     .alone = true,
     .place = PLACE_POD,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = ""},
    {.what = "the driver cannot move",
     .in = {.fail_move_in = -EOPNOTSUPP},
     .result = -EOPNOTSUPP,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "netdev-in rdma-in netdev-home",
     .text = "cannot move the RDMA device mlx5_0 into the pod: the kernel says no",
     .of_rdma = true},
    {.what = "alone, and cannot move",
     .in = {.fail_move_in = -EOPNOTSUPP},
     .alone = true,
     .result = -EOPNOTSUPP,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "rdma-in",
     .text = "cannot move the RDMA device mlx5_0 into the pod: the kernel says no",
     .of_rdma = true},
    {.what = "no character device",
     .in = {.fail_read = -ENOENT},
     .result = -ENOENT,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "netdev-in rdma-in rdma-home netdev-home",
     .text = "it has no umad device",
     .of_rdma = true},
    {.what = "shared, no character device",
     .in = {.shared = true, .fail_read = -ENOENT},
     .result = -ENOENT,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "netdev-in netdev-home",
     .text = "it has no umad device",
     .of_rdma = true},
    {.what = "the RDMA device stays in the pod",
     .in = {.fail_read = -ENOENT, .fail_move_home = -EBUSY},
     .result = -ENOENT,
     .place = PLACE_POD,
     .netdev = PLACE_POD,
     .rdma = PLACE_POD,
     .did = "netdev-in rdma-in rdma-home",
     .text = "it has no umad device; undo failed: cannot move the RDMA device mlx5_0 back to the host: the kernel says no",
     .of_rdma = true},
    {.what = "the netdev stays in the pod",
     .in = {.fail_move_in = -EBUSY, .kept_home = true},
     .result = -EBUSY,
     .place = PLACE_POD,
     .netdev = PLACE_POD,
     .rdma = PLACE_HOST,
     .did = "netdev-in rdma-in netdev-home",
     .text = "cannot move the RDMA device mlx5_0 into the pod: the kernel says no; undo failed: it stays",
     .of_rdma = true},
    {.what = "the RDMA device is gone",
     .in = {.rdma = PLACE_GONE},
     .result = -ENODEV,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_GONE,
     .did = "netdev-in netdev-home",
     .text = "the RDMA device mlx5_0 does not exist any more; back on the host, but: rdma device mlx5_0 is missing",
     .of_rdma = true},
    {.what = "the netdev fails",
     .in = {.fail_netdev = -EEXIST},
     .result = -EEXIST,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "netdev-in",
     .text = "no room"},
    {.what = "the netdev fails after a crash",
     .in = {.fail_netdev = -EEXIST, .rdma = PLACE_POD},
     .result = -EEXIST,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "netdev-in rdma-home",
     .text = "no room"},
    {.what = "IPoIB",
     .in = {.ends_netdev = true},
     .result = -ENODEV,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "netdev-in rdma-in rdma-home",
     .text = "ib0 did not outlive the move of its RDMA device mlx5_0",
     .of_rdma = true},
    {.what = "no RDMA",
     .in = {.no_rdma = true},
     .result = -ENODEV,
     .place = PLACE_HOST,
     .netdev = PLACE_HOST,
     .rdma = PLACE_HOST,
     .did = "",
     .text = "this kernel has no RDMA devices any more",
     .of_rdma = true},
};

static void put_in(const struct world *in)
{
	struct world now = w;
	w = *in;
	w.netdev = in->netdev ? in->netdev : now.netdev;
	w.rdma = in->rdma ? in->rdma : now.rdma;
	w.inside = now.inside;
	STR_COPY(w.name, in->name[0] ? in->name : now.name);
}

static void test_attach(void **state)
{
	struct device_mover *d = mover();
	(void)state;
	for (size_t i = 0; i < ELEMENTS(attach_rows); i++) {
		const struct attach_row *row = &attach_rows[i];
		struct attach_plan plan = plan_of(!row->alone, !row->in.shared);
		struct device_result result;
		struct error e = {0};
		begin(row->in.shared);
		put_in(&row->in);
		int r = device_attach(d, &plan, NULL, POD_FD, &result, &e);
		if (r != row->result || result.move.place != row->place || w.netdev != row->netdev || w.rdma != row->rdma ||
		    strcmp(w.did, row->did) != 0 || strcmp(e.text, row->text ? row->text : "") != 0 || result.rdma != row->of_rdma)
			fail_msg("%s: %d, place %d, netdev %d, rdma %d, did \"%s\", says \"%s\"", row->what, r, result.move.place, w.netdev,
			         w.rdma, w.did, e.text);
		assert_int_equal(w.inside, HOST_FD);
		if (r < 0)
			continue;
		assert_string_equal(result.move.pod.rdma.name, "mlx5_0");
		assert_int_equal(result.move.pod.rdma.n_nodes, 1);
		/* Without an address there is no GID to be waited for. */
		assert_int_equal(result.move.pod.rdma.gid_index, row->alone ? 0 : 5);
		assert_int_equal(w.gid_in_pod, !row->alone && !row->in.shared);
	}
	device_mover_free(d);
}

static void test_mode_changed(void **state)
{
	struct device_mover *d = mover();
	(void)state;
	for (int shared = 0; shared < 2; shared++) {
		struct attach_plan plan = plan_of(true, shared);
		struct device_result result;
		struct error e = {0};
		begin(shared);
		assert_int_equal(device_attach(d, &plan, NULL, POD_FD, &result, &e), -EINVAL);
		assert_string_equal(e.text, shared ? "RDMA devices are in shared mode now, and were in exclusive mode when the claim was "
		                                     "prepared: prepare it again"
		                                   : "RDMA devices are in exclusive mode now, and were in shared mode when the claim was "
		                                     "prepared: prepare it again");
		assert_string_equal(w.did, "");
		assert_int_equal(result.move.place, PLACE_HOST);
		assert_true(result.rdma);
	}
	device_mover_free(d);
}

struct detach_row {
	const char *what;
	struct world in;
	bool alone, on_host; /* no netdev; no namespace to look into */
	int result;
	enum place place;
	const char *did, *differences;
};

static const struct detach_row detach_rows[] = {
    {.what = "both", .in = {.netdev = PLACE_POD, .rdma = PLACE_POD}, .place = PLACE_HOST, .did = "rdma-home netdev-home"},
    {.what = "alone", .in = {.rdma = PLACE_POD}, .alone = true, .place = PLACE_HOST, .did = "rdma-home"},
    {.what = "shared", .in = {.netdev = PLACE_POD, .shared = true}, .place = PLACE_HOST, .did = "netdev-home"},
    {.what = "shared, alone", .in = {.shared = true}, .alone = true, .place = PLACE_HOST, .did = ""},
    {.what = "shared, alone, and gone", .in = {.shared = true, .rdma = PLACE_GONE}, .alone = true, .place = PLACE_GONE, .did = ""},
    {.what = "after a crash in between", .in = {.netdev = PLACE_POD}, .place = PLACE_HOST, .did = "netdev-home"},
    {.what = "renamed by the pod",
     .in = {.netdev = PLACE_POD, .rdma = PLACE_POD, .name = "mine"},
     .place = PLACE_HOST,
     .did = "rdma-home rename netdev-home"},
    {.what = "its name is taken",
     .in = {.netdev = PLACE_POD, .rdma = PLACE_POD, .name = "mine", .fail_rename = -EEXIST},
     .place = PLACE_HOST,
     .did = "rdma-home rename netdev-home",
     .differences = "rdma device is called mine, was mlx5_0: taken"},
    {.what = "it vanished in there",
     .in = {.netdev = PLACE_POD, .rdma = PLACE_GONE},
     .place = PLACE_HOST,
     .did = "netdev-home",
     .differences = "rdma device mlx5_0 is missing"},
    {.what = "it does not come out",
     .in = {.netdev = PLACE_POD, .rdma = PLACE_POD, .fail_move_home = -EBUSY},
     .result = -EBUSY,
     .place = PLACE_POD,
     .did = "rdma-home"},
    /* It may be in there: nobody may say that it is gone. */
    {.what = "alone, and the namespace cannot be entered",
     .in = {.rdma = PLACE_POD, .fail_enter = -EMFILE},
     .alone = true,
     .result = -EMFILE,
     .place = PLACE_UNKNOWN,
     .did = ""},
    {.what = "alone, and nobody can be asked",
     .in = {.fail_open = -EMFILE},
     .alone = true,
     .result = -EMFILE,
     .place = PLACE_UNKNOWN,
     .did = ""},
    {.what = "the namespace has ended", .on_host = true, .place = PLACE_HOST, .did = "netdev-home"},
    {.what = "the namespace is ending",
     .in = {.netdev = PLACE_GONE, .rdma = PLACE_GONE},
     .on_host = true,
     .place = PLACE_GONE,
     .did = "netdev-home"},
    {.what = "half of it is home", .in = {.rdma = PLACE_GONE, .late = 4}, .on_host = true, .place = PLACE_HOST, .did = "netdev-home"},
    {.what = "RDMA was unloaded",
     .in = {.netdev = PLACE_POD, .no_rdma = true},
     .place = PLACE_HOST,
     .did = "netdev-home",
     .differences = "rdma device mlx5_0 is missing"},
};

static void test_detach(void **state)
{
	struct device_mover *d = mover();
	(void)state;
	for (size_t i = 0; i < ELEMENTS(detach_rows); i++) {
		const struct detach_row *row = &detach_rows[i];
		struct attach_plan plan = plan_of(!row->alone, !row->in.shared);
		struct device_result result;
		struct error e = {0};
		begin(row->in.shared);
		put_in(&row->in);
		int r = device_detach(d, &plan, row->on_host ? -1 : POD_FD, &result, &e);
		const char *differences = row->differences ? row->differences : "";
		if (r != row->result || result.move.place != row->place || strcmp(w.did, row->did) != 0 ||
		    strcmp(result.move.differences, differences) != 0)
			fail_msg("%s: %d, place %d, did \"%s\", differences \"%s\", says \"%s\"", row->what, r, result.move.place, w.did,
			         result.move.differences, e.text);
		if (row->place == PLACE_HOST && row->in.rdma != PLACE_GONE)
			assert_int_equal(w.rdma, PLACE_HOST);
	}
	device_mover_free(d);
}

static void test_probe(void **state)
{
	static const struct {
		struct world in;
		bool alone, on_host;
		enum place place;
		const char *rdma; /* told as the pod's */
	} rows[] = {
	    {{.netdev = PLACE_POD, .rdma = PLACE_POD}, false, false, PLACE_POD, "mlx5_0"},
	    {{.netdev = PLACE_POD}, false, false, PLACE_POD, ""},
	    {{.rdma = PLACE_POD}, false, false, PLACE_HOST, ""},
	    {{.rdma = PLACE_POD}, true, false, PLACE_POD, "mlx5_0"},
	    {{0}, true, false, PLACE_HOST, ""},
	    {{.rdma = PLACE_GONE}, true, false, PLACE_GONE, ""},
	    {{.shared = true}, true, false, PLACE_POD, "mlx5_0"},
	    {{.shared = true}, true, true, PLACE_HOST, ""},
	    {{.netdev = PLACE_POD, .shared = true}, false, false, PLACE_POD, "mlx5_0"},
	    {{.no_rdma = true}, true, false, PLACE_GONE, ""},
	};
	struct device_mover *d = mover();
	(void)state;
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct attach_plan plan = plan_of(!rows[i].alone, !rows[i].in.shared);
		struct device_result result;
		begin(rows[i].in.shared);
		put_in(&rows[i].in);
		assert_int_equal(device_probe(d, &plan, rows[i].on_host ? -1 : POD_FD, &result, NULL), 0);
		assert_int_equal(result.move.place, rows[i].place);
		assert_string_equal(result.move.pod.rdma.name, rows[i].rdma);
		assert_string_equal(w.did, "");
	}
	device_mover_free(d);
}

/* A renewed lease brings another GID. */
static void test_leases(void **state)
{
	struct device_mover *d = mover();
	struct attach_plan plan = plan_of(true, true);
	struct device_result result;
	(void)state;
	begin(false);
	w.netdev = w.rdma = PLACE_POD;
	assert_int_equal(device_apply_leases(d, &plan, NULL, NULL, POD_FD, &result, NULL), 0);
	assert_int_equal(result.move.pod.rdma.gid_index, 5);
	device_mover_free(d);
}

static void test_snapshot(void **state)
{
	struct device_mover *d = mover();
	const struct device_parts alone = {.ifname = "", .rdma_device = "mlx5_0", .umad = true},
				  both = {.ifindex = 9, .ifname = "eth0", .rdma_device = "mlx5_0"},
				  netdev = {.ifindex = 9, .ifname = "eth0", .rdma_device = ""};
	struct host_state host;
	struct error e = {0};
	(void)state;
	begin(false);
	assert_int_equal(device_snapshot(d, &alone, &host, NULL), 0);
	assert_string_equal(host.rdma.name, "mlx5_0");
	assert_int_equal(host.rdma.n_nodes, 2);
	assert_int_equal(host.ifindex, 0);
	assert_int_equal(device_snapshot(d, &both, &host, NULL), 0);
	assert_true(host.rdma.exclusive);
	assert_string_equal(host.ifname, "eth0");
	assert_int_equal(device_snapshot(d, &netdev, &host, NULL), 0);
	assert_string_equal(host.rdma.name, "");
	w.fail_read = -EOPNOTSUPP;
	assert_int_equal(device_snapshot(d, &alone, &host, &e), -EINVAL);
	assert_string_equal(e.text, "rdma: it has no umad device");
	w.fail_read = -ENOENT;
	assert_int_equal(device_snapshot(d, &alone, &host, NULL), -ENOENT);
	device_mover_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_attach), cmocka_unit_test(test_mode_changed), cmocka_unit_test(test_detach),
	    cmocka_unit_test(test_probe),  cmocka_unit_test(test_leases),       cmocka_unit_test(test_snapshot),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
