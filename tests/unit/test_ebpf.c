/* SPDX-License-Identifier: Apache-2.0 */
/* eBPF programs on a device: seen, taken off for a pod and given back, on the real kernel. The programs are two instructions. */
#include "mover_fixture.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/syscall.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "netlink/ebpf_kept.h"
#include "netlink/link_state.h"

#define PINS "/sys/fs/bpf/test"

struct programs {
	int xdp, xdp2, cls, cls2;
};

/* r0 = verdict; exit. */
static int load(enum bpf_prog_type type, const char *name, int32_t verdict)
{
	const struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = verdict}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.prog_type = type;
	a.insns = (uint64_t)(uintptr_t)code;
	a.insn_cnt = ELEMENTS(code);
	a.license = (uint64_t)(uintptr_t) "GPL";
	strcpy(a.prog_name, name);
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &a, sizeof(a));
}

static bool load_all(struct programs *p)
{
	*p = (struct programs){load(BPF_PROG_TYPE_XDP, "count_packets", 2), load(BPF_PROG_TYPE_XDP, "drop_nothing", 2),
	                       load(BPF_PROG_TYPE_SCHED_CLS, "handle_ingress", -1), load(BPF_PROG_TYPE_SCHED_CLS, "handle_egress", -1)};
	if (p->xdp2 < 0 || p->cls2 < 0) {
		print_message("SKIPPED: no eBPF program can be loaded: %s\n", strerror(errno));
		return false;
	}
	host("mount -t bpf bpf /sys/fs/bpf && mkdir " PINS);
	assert_int_equal(bpf_pin(p->xdp, PINS "/xdp"), 0);
	assert_int_equal(bpf_pin(p->cls, PINS "/cls"), 0);
	return true;
}

static void close_all(struct programs *p)
{
	close(p->xdp), close(p->xdp2), close(p->cls), close(p->cls2);
	host("rm -rf " PINS " /sys/fs/bpf/dranetd; umount /sys/fs/bpf");
}

static int link_create(int program, int32_t ifindex, uint32_t place, uint32_t flags)
{
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.link_create.prog_fd = (uint32_t)program;
	a.link_create.target_ifindex = (uint32_t)ifindex;
	a.link_create.attach_type = place;
	a.link_create.flags = flags;
	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));
}

static bool has_tcx(const char *ifname)
{
	struct programs p;
	int32_t ifindex = (int32_t)if_nametoindex(ifname);
	p.cls = load(BPF_PROG_TYPE_SCHED_CLS, "probe", -1);
	bool has = bpf_attach(ifindex, BPF_AT_TCX_INGRESS, p.cls) == 0 && bpf_detach(ifindex, BPF_AT_TCX_INGRESS, p.cls) == 0;
	close(p.cls);
	if (!has)
		print_message("SKIPPED: the part about tcx, which this kernel does not have\n");
	return has;
}

static uint32_t id_of(int program)
{
	struct bpf_prog_info info = {0};
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)program;
	a.info.info_len = sizeof(info);
	a.info.info = (uint64_t)(uintptr_t)&info;
	assert_int_equal(syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), 0);
	return info.id;
}

/* What is on a link: "hook name,hook name", by the kernel's own word. */
static char *programs_of(int pod, const char *ifname)
{
	int home = fixture_own_namespace();
	_cleanup_nlsock_ struct nlsock *s = NULL;
	_cleanup_ebpf_ struct ebpf_list l = {0};
	struct error e = {0};
	struct link link;
	char *text = calloc(1, 2048);
	assert_non_null(text);
	if (pod >= 0)
		assert_int_equal(setns(pod, CLONE_NEWNET), 0);
	if (nlsock_open(NETLINK_ROUTE, &s, &e) < 0 || link_get_by_name(s, ifname, &link, &e) < 0 ||
	    ebpf_list_read(s, link.ifindex, link.kind, &l, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	for (size_t i = 0; i < l.n; i++) {
		char one[TC_FILTER_NAME_SIZE + 64];
		ebpf_format(&l.v[i], one, sizeof(one));
		snprintf(text + strlen(text), 2048 - strlen(text), "%s%s", i ? ", " : "", one);
	}
	return text;
}

static void assert_programs(int pod, const char *ifname, const char *expected)
{
	char *text = programs_of(pod, ifname);
	assert_string_equal(text, expected);
	free(text);
}

static void assert_has_program(int pod, const char *ifname, const char *part)
{
	char *text = programs_of(pod, ifname);
	if (!strstr(text, part))
		fail_msg("%s has no %s but \"%s\"", ifname, part, text);
	free(text);
}

/* ---- taken off ---------------------------------------------------------------------------------------------------------------------- */

static void every_kind_is_seen_and_removed(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	int32_t ifindex = (int32_t)if_nametoindex("nic0");
	bool tcx = has_tcx("nic0");
	host("ip link set nic0 xdpgeneric pinned " PINS "/xdp && tc qdisc add dev nic0 clsact && "
	     "tc filter add dev nic0 ingress prio 7 bpf da object-pinned " PINS "/cls && "
	     "tc filter add dev nic0 egress chain 3 bpf object-pinned " PINS "/cls && "
	     "tc filter add dev nic0 egress prio 9 protocol ip u32 match u32 0 0");
	int link = -1;
	if (tcx) {
		assert_int_equal(bpf_attach(ifindex, BPF_AT_TCX_INGRESS, p.cls), 0);
		link = link_create(p.cls2, ifindex, BPF_AT_TCX_EGRESS, 0);
		assert_true(link >= 0);
	}
	char expected[512];
	snprintf(expected, sizeof(expected), "generic XDP program %u (count_packets), ", id_of(p.xdp));
	assert_has_program(-1, "nic0", expected);
	snprintf(expected, sizeof(expected), "tc ingress program %u (cls:[*fsobj]), ", id_of(p.cls));
	assert_has_program(-1, "nic0", expected);
	if (tcx) {
		snprintf(expected, sizeof(expected), "tcx ingress program %u (handle_ingress), tcx egress program %u (handle_egress), ",
		         id_of(p.cls), id_of(p.cls2));
		assert_has_program(-1, "nic0", expected);
	}
	assert_has_program(-1, "nic0", "tc egress filter u32");

	_cleanup_nlsock_ struct nlsock *s = NULL;
	struct error e = {0};
	assert_int_equal(nlsock_open(NETLINK_ROUTE, &s, &e), 0);
	if (ebpf_remove_all(s, ifindex, "veth", &e) < 0)
		fail_msg("%s", e.text);
	assert_hides(-1, "bpftool net show dev nic0", " id ");
	assert_hides(-1, "ip link show nic0", "xdp");
	assert_hides(-1, "tc filter show dev nic0 ingress; tc filter show dev nic0 egress", "bpf");
	assert_shows(-1, "tc filter show dev nic0 egress", "u32"); /* is no eBPF program */
	char *left = programs_of(-1, "nic0");
	assert_null(strstr(left, "program"));
	free(left);
	assert_int_equal(ebpf_remove_all(s, ifindex, "veth", &e), 0);
	if (link >= 0)
		close(link);
	close_all(&p);
	(void)w;
}

static void links_are_detached_whoever_holds_them(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	int32_t ifindex = (int32_t)if_nametoindex("nic0");
	int xdp = link_create(p.xdp, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE), tcx = -1;
	assert_true(xdp >= 0);
	assert_int_equal(bpf_pin(xdp, PINS "/xdp-link"), 0);
	if (has_tcx("nic0")) {
		tcx = link_create(p.cls, ifindex, BPF_AT_TCX_INGRESS, 0);
		assert_true(tcx >= 0);
		assert_int_equal(bpf_pin(tcx, PINS "/tcx-link"), 0);
		close(tcx);
	}
	close(xdp);
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	plan.pod.disable_ebpf = 1;
	attach(w, &plan);
	assert_programs(w->pod, "net1", "");
	assert_hides(w->pod, "bpftool net show dev net1; ip link show net1", "prog");
	assert_shows(-1, "ls " PINS, "xdp-link"); /* the holder's pin is the holder's */
	host_state_free(&plan.host);
	close_all(&p);
}

/* The same program on an interface of the same number elsewhere: detaching the wrong link would be worse than none. */
static void which_xdp_link_it_is_must_be_certain(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 index 77 type veth peer name peer0");
	in_pod(w->pod, "ip link add twin index 77 type ifb");
	if (!load_all(&p))
		return;
	int home = fixture_own_namespace();
	int ours = link_create(p.xdp, 77, BPF_XDP, XDP_FLAGS_SKB_MODE);
	assert_int_equal(setns(w->pod, CLONE_NEWNET), 0);
	int theirs = link_create(p.xdp, 77, BPF_XDP, XDP_FLAGS_SKB_MODE);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	assert_true(ours >= 0 && theirs >= 0);
	_cleanup_nlsock_ struct nlsock *s = NULL;
	struct error e = {0};
	assert_int_equal(nlsock_open(NETLINK_ROUTE, &s, &e), 0);
	assert_int_equal(ebpf_remove_all(s, 77, "veth", &e), -ENOTUNIQ);
	assert_non_null(strstr(e.text, "generic XDP program"));
	assert_has_program(w->pod, "twin", "count_packets");
	close(theirs);
	assert_int_equal(ebpf_remove_all(s, 77, "veth", &e), 0);
	assert_programs(-1, "nic0", "");
	close(ours);
	close_all(&p);
}

static void a_device_that_is_there_already_is_cleaned_too(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type ifb");
	if (!load_all(&p))
		return;
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	plan.pod.disable_ebpf = 1;
	attach(w, &plan);
	in_pod(w->pod, "tc qdisc add dev net1 clsact && tc filter add dev net1 ingress bpf da object-pinned " PINS "/cls && "
	               "ip link set net1 xdpgeneric pinned " PINS "/xdp");
	assert_has_program(w->pod, "net1", "tc ingress");
	attach(w, &plan);
	assert_programs(w->pod, "net1", "");
	assert_home(w, &plan);
	host_state_free(&plan.host);
	close_all(&p);
}

static void without_the_wish_they_stay(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	host("ip link set nic0 xdpgeneric pinned " PINS "/xdp");
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	plan.pod.disable_ebpf = 0;
	attach(w, &plan);
	assert_has_program(w->pod, "net1", "generic XDP");
	assert_home(w, &plan);
	assert_has_program(-1, "nic0", "generic XDP");
	host_state_free(&plan.host);
	close_all(&p);
}

/* ---- given back --------------------------------------------------------------------------------------------------------------------- */

/* Everything on the device that can be there without a link, and nobody but the device refers to the programs. */
static bool make_orphans(struct programs *p, bool tcx)
{
	int32_t ifindex = (int32_t)if_nametoindex("nic0");
	host("ip link set nic0 xdpgeneric pinned " PINS "/xdp && tc qdisc add dev nic0 clsact && "
	     "tc filter add dev nic0 ingress prio 7 handle 0x5 bpf da object-pinned " PINS "/cls && "
	     "tc filter add dev nic0 egress chain 3 prio 9 bpf object-pinned " PINS "/cls classid 1:7");
	for (size_t i = 0; tcx && i < 2; i++) {
		assert_int_equal(bpf_attach(ifindex, BPF_AT_TCX_INGRESS, i ? p->cls : p->cls2), 0);
		assert_int_equal(bpf_attach(ifindex, BPF_AT_TCX_EGRESS, i ? p->cls2 : p->cls), 0);
	}
	close(p->xdp), close(p->xdp2), close(p->cls), close(p->cls2);
	host("rm -r " PINS);
	return true;
}

static char *ebpf_dump(void)
{
	char *ours = programs_of(-1, "nic0");
	char *theirs = text_of(-1, "bpftool net show dev nic0; ip link show nic0 | grep -o 'prog.*'; tc qdisc show dev nic0; "
	                           "tc filter show dev nic0 ingress; tc filter show dev nic0 egress");
	char *both = malloc(strlen(ours) + strlen(theirs) + 2);
	assert_non_null(both);
	sprintf(both, "%s\n%s", ours, theirs);
	free(ours);
	free(theirs);
	return both;
}

static void assert_ebpf_is_still(char *before)
{
	char *after = ebpf_dump();
	assert_string_equal(after, before);
	free(before);
	free(after);
}

static void what_was_removed_comes_back(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	make_orphans(&p, has_tcx("nic0"));
	for (int disable = 0; disable <= 1; disable++) {
		char *before = ebpf_dump();
		struct attach_plan plan = plan_for(w, "nic0", "net1");
		plan.pod.disable_ebpf = (int8_t)disable;
		attach(w, &plan);
		if (disable)
			assert_programs(w->pod, "net1", "");
		else
			assert_has_program(w->pod, "net1", "generic XDP");
		assert_shows(-1, "ls /sys/fs/bpf/dranetd | wc -l", "3"); /* three programs in six places */
		assert_home(w, &plan);
		assert_ebpf_is_still(before);
		assert_shows(-1, "ls /sys/fs/bpf/dranetd | wc -l", "0");
		host_state_free(&plan.host);
	}
	host("umount /sys/fs/bpf");
}

/* iproute2 of Debian 12 is older than netkit. */
static int make_netkit(const char *ifname, const char *peer)
{
	enum { NETKIT_PEER_INFO = 1 };
	struct ifinfomsg none = {0};
	_cleanup_nlsock_ struct nlsock *s = NULL;
	_cleanup_nlmsg_ struct nl_msg *m = nlsock_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &none, sizeof(none));
	assert_int_equal(nlsock_open(NETLINK_ROUTE, &s, NULL), 0);
	nla_put_string(m, IFLA_IFNAME, ifname);
	struct nlattr *info = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, "netkit");
	struct nlattr *data = nla_nest_start(m, IFLA_INFO_DATA), *other = nla_nest_start(m, NETKIT_PEER_INFO);
	assert_int_equal(nlmsg_append(m, &none, sizeof(none), NLMSG_ALIGNTO), 0);
	nla_put_string(m, IFLA_IFNAME, peer);
	nla_nest_end(m, other);
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	return nlsock_ask(s, m, NULL, NULL, NULL);
}

static void netkit_programs_are_removed_and_come_back(void **state)
{
	struct world *w = *state;
	struct programs p;
	if (make_netkit("nic0", "peer0") < 0) {
		print_message("SKIPPED: this kernel has no netkit\n");
		return;
	}
	if (!load_all(&p))
		return;
	assert_int_equal(bpf_attach((int32_t)if_nametoindex("nic0"), BPF_AT_NETKIT, p.cls), 0);
	assert_has_program(-1, "nic0", "netkit program");
	assert_programs(-1, "peer0", ""); /* it may not even ask */
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	plan.pod.disable_ebpf = 1;
	attach(w, &plan);
	assert_programs(w->pod, "net1", "");
	assert_home(w, &plan);
	assert_has_program(-1, "nic0", "netkit program");
	host_state_free(&plan.host);
	close_all(&p);
}

static void a_failed_attach_gives_them_back_too(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	make_orphans(&p, has_tcx("nic0"));
	char *before = ebpf_dump();
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	struct ethtool_switch wrong = {"tos", true};
	plan.pod.disable_ebpf = 1;
	plan.pod.features = &wrong, plan.pod.n_features = 1;
	attach_fails(w, &plan, -EINVAL);
	assert_ebpf_is_still(before);
	host_state_free(&plan.host);
	host("umount /sys/fs/bpf");
}

/* What was held for the way is let go when there was no way: nobody else would, as nothing has to be restored. */
static void an_attach_that_moves_nothing_holds_nothing(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	make_orphans(&p, has_tcx("nic0"));
	in_pod(w->pod, "ip link add net1 type ifb");
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	char *before = ebpf_dump();
	attach_fails(w, &plan, -EEXIST);
	assert_ebpf_is_still(before);
	assert_shows(-1, "ls -A /sys/fs/bpf/dranetd | wc -l", "0");
	host_state_free(&plan.host);
	host("umount /sys/fs/bpf");
}

static int link_update(int link, int program)
{
	union bpf_attr a;
	memset(&a, 0, sizeof(a));
	a.link_update.link_fd = (uint32_t)link;
	a.link_update.new_prog_fd = (uint32_t)program;
	return (int)syscall(SYS_bpf, BPF_LINK_UPDATE, &a, sizeof(a));
}

/* An agent of the host exchanges its program through a link, wherever the device is: that is no doing of the pod's. */
static void a_link_may_change_its_program_meanwhile(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	int32_t ifindex = (int32_t)if_nametoindex("nic0");
	int xdp = link_create(p.xdp, ifindex, BPF_XDP, XDP_FLAGS_SKB_MODE);
	int tcx = has_tcx("nic0") ? link_create(p.cls, ifindex, BPF_AT_TCX_INGRESS, 0) : -1;
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	attach(w, &plan);
	assert_int_equal(link_update(xdp, p.xdp2), 0);
	if (tcx >= 0)
		assert_int_equal(link_update(tcx, p.cls2), 0);
	assert_home(w, &plan);
	assert_has_program(-1, "nic0", "(drop_nothing)");
	if (tcx >= 0) {
		assert_has_program(-1, "nic0", "(handle_egress)");
		close(tcx);
	}
	close(xdp);
	host_state_free(&plan.host);
	close_all(&p);
}

static void what_the_pod_attached_is_taken_off(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	bool tcx = has_tcx("nic0");
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	attach(w, &plan);
	int home = fixture_own_namespace();
	assert_int_equal(setns(w->pod, CLONE_NEWNET), 0);
	int32_t ifindex = (int32_t)if_nametoindex("net1");
	int xdp = link_create(p.xdp, ifindex, BPF_XDP, XDP_FLAGS_SKB_MODE);
	int egress = tcx ? link_create(p.cls, ifindex, BPF_AT_TCX_EGRESS, 0) : -1;
	if (tcx)
		assert_int_equal(bpf_attach(ifindex, BPF_AT_TCX_INGRESS, p.cls2), 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	assert_has_program(w->pod, "net1", "generic XDP");
	assert_home(w, &plan);
	assert_programs(-1, "nic0", "");
	close(xdp);
	if (egress >= 0)
		close(egress);
	host_state_free(&plan.host);
	close_all(&p);
}

static void what_cannot_come_back_is_told(void **state)
{
	struct world *w = *state;
	struct programs p;
	host("ip link add nic0 type veth peer name peer0");
	if (!load_all(&p))
		return;
	int32_t ifindex = (int32_t)if_nametoindex("nic0");
	int link = link_create(p.xdp, ifindex, BPF_XDP, XDP_FLAGS_SKB_MODE);
	uint32_t lost = id_of(p.cls), linked = id_of(p.xdp);
	assert_true(link >= 0);
	host("tc qdisc add dev nic0 clsact && tc filter add dev nic0 ingress bpf da object-pinned " PINS "/cls");
	struct attach_plan plan = plan_for(w, "nic0", "net1");
	plan.pod.disable_ebpf = 1;
	/* There is no bpf file system any more in which it could be held, and nobody else holds it. */
	close(p.cls);
	host("rm -r " PINS " && umount /sys/fs/bpf");
	attach(w, &plan);
	struct move_result r = detach(w, &plan, w->pod);
	char expected[256];
	snprintf(expected, sizeof(expected), "tc ingress program %u (cls:[*fsobj]) is missing", lost);
	if (r.place != PLACE_HOST || !strstr(r.differences, expected))
		fail_msg("%s", r.differences);
	snprintf(expected, sizeof(expected), "generic XDP program %u (count_packets) is not held by BPF link", linked);
	if (!strstr(r.differences, expected))
		fail_msg("%s", r.differences);
	assert_has_program(-1, "nic0", "generic XDP");
	close(link);
	close(p.xdp), close(p.xdp2), close(p.cls2);
	host_state_free(&plan.host);
}

static void kept_bytes_are_read_or_refused(void **state)
{
	(void)state;
	struct ebpf_program programs[] = {
	    {.hook = EBPF_XDP_DRIVER, .id = 12, .link = 3, .name = "count"},
	    {.hook = EBPF_TC_EGRESS, .id = 13, .filter = {.info = 0x70003, .handle = 5, .chain = 3, .plain = true}, .name = "cls"}};
	const struct ebpf_list l = {.v = programs, .n = 2, .doors = "clsact"}, none = {0};
	struct ebpf_list back = {0};
	struct bytes kept = {0}, empty = {0};
	assert_int_equal(ebpf_keep(&none, &kept), 0);
	assert_int_equal(ebpf_kept_parse(&kept, &back), 0);
	assert_int_equal(back.n, 0);
	free(kept.data);
	assert_int_equal(ebpf_keep(&l, &kept), 0);
	assert_int_equal(ebpf_kept_parse(&kept, &back), 0);
	assert_int_equal(back.n, 2);
	assert_string_equal(back.doors, "clsact");
	assert_string_equal(back.v[0].name, "count");
	assert_int_equal(back.v[0].link, 3);
	assert_string_equal(back.v[1].filter.name, "cls");
	assert_true(back.v[1].filter.plain && back.v[1].filter.info == 0x70003 && back.v[1].filter.chain == 3);
	ebpf_list_free(&back);
	for (size_t n = 0; n < kept.n; n++) {
		struct bytes cut = {kept.data, n};
		struct ebpf_list some = {0};
		/* Whole programs are a list, too. */
		int r = ebpf_kept_parse(&cut, &some);
		assert_true(r == -EBADMSG || (r == 0 && some.n < 2));
		ebpf_list_free(&some);
	}
	assert_int_equal(ebpf_kept_parse(&empty, &back), -EBADMSG);
	free(kept.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    kernel_test(every_kind_is_seen_and_removed),
	    kernel_test(links_are_detached_whoever_holds_them),
	    kernel_test(which_xdp_link_it_is_must_be_certain),
	    kernel_test(a_device_that_is_there_already_is_cleaned_too),
	    kernel_test(without_the_wish_they_stay),
	    kernel_test(what_was_removed_comes_back),
	    kernel_test(netkit_programs_are_removed_and_come_back),
	    kernel_test(a_failed_attach_gives_them_back_too),
	    kernel_test(an_attach_that_moves_nothing_holds_nothing),
	    kernel_test(what_the_pod_attached_is_taken_off),
	    kernel_test(a_link_may_change_its_program_meanwhile),
	    kernel_test(what_cannot_come_back_is_told),
	};
	const struct CMUnitTest kept[] = {cmocka_unit_test(kept_bytes_are_read_or_refused)};
	int failed = cmocka_run_group_tests(kept, NULL, NULL);
	return fixture_possible() ? failed + cmocka_run_group_tests(tests, NULL, NULL) : failed;
}
