/* SPDX-License-Identifier: Apache-2.0 */
/* The files that say how many VFs a PF shall have, and the writing of that number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/cleanup.h"
#include "core/base/str.h"
#include "daemon/sriov_config.h"
#include "daemon/sriov_wait.h"
#include "netlink/sriov.h"
#include "sysfs_fixture.h"

/* ---- files ----------------------------------------------------------------------------------------------------------------------- */

static void test_lines(void **state)
{
	(void)state;
	static const struct {
		const char *text, *pf; /* of the first wish; NULL = there is none */
		uint32_t n_vfs;
		const char *faults;
	} rows[] = {
	    {"", NULL, 0, ""},
	    {"# nothing\n\n \t# here\n", NULL, 0, ""},
	    {"eth0 4\n", "eth0", 4, ""},
	    {"\teth0\t 0 # none", "eth0", 0, ""},
	    {"eth0 65535\r\n", "eth0", 65535, ""},
	    {"0000:3B:00.1 8", "0000:3b:00.1", 8, ""},
	    {"3b:00.1 8", "0000:3b:00.1", 8, ""},
	    {"10000:3b:00.1 8", "10000:3b:00.1", 8, ""},
	    {"eth0", "eth0", 0, "f:1: PF \"eth0\" has no number of VFs behind it"},
	    {"\neth0 4 5", "eth0", 4, "f:2: word \"5\" is one too many"},
	    {"eth0 -1", "eth0", 0, "f:1: number of VFs \"-1\" is no number from 0 to 65535"},
	    {"eth0 65536", "eth0", 0, "f:1: number of VFs \"65536\" is no number from 0 to 65535"},
	    {"eth0 99999999999999999999", "eth0", 0, "f:1: number of VFs \"99999999999999999999\" is no number from 0 to 65535"},
	    {"eth0 0x4", "eth0", 0, "f:1: number of VFs \"0x4\" is no number from 0 to 65535"},
	    {"eth0 4=", "eth0", 0, "f:1: number of VFs \"4=\" is no number from 0 to 65535"},
	    {"averyverylongname 4", NULL, 0, "f:1: PF \"averyverylongname\" is no name of an interface"},
	    {"../x 4", NULL, 0, "f:1: PF \"../x\" is no name of an interface"},
	    {"3b:00 4", NULL, 0, "f:1: PF \"3b:00\" is no PCI address"},
	    {"x/0000:3b:00.1 4", NULL, 0, "f:1: PF \"x/0000:3b:00.1\" is no PCI address"},
	    {"0000:3b:00.1:2 4", NULL, 0, "f:1: PF \"0000:3b:00.1:2\" is no PCI address"},
	    {"eth0 4\neth0 4\n", "eth0", 4, "f:2: PF \"eth0\" stands there before"},
	    {"a\x01 x\n", "a\x01", 0, "f:1: number of VFs \"x\" is no number from 0 to 65535"},
	    {"a x\nb y\n", "a", 0,
	     "f:1: number of VFs \"x\" is no number from 0 to 65535; f:2: number of VFs \"y\" is no number from 0 to 65535"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct sriov_config c = {0};
		struct error e = {0};
		int r = sriov_config_parse(rows[i].text, strlen(rows[i].text), "f", &c, &e);
		assert_string_equal(e.text, rows[i].faults);
		assert_int_equal(r, rows[i].faults[0] ? -EINVAL : 0);
		assert_int_equal(c.n > 0, rows[i].pf != NULL);
		if (rows[i].pf) {
			assert_string_equal(c.v[0].pf, rows[i].pf);
			assert_int_equal(c.v[0].n_vfs, rows[i].n_vfs);
			assert_int_equal(c.v[0].refused, r < 0);
		}
		sriov_config_free(&c);
	}
	struct sriov_config c = {0};
	struct error e = {0};
	assert_int_equal(sriov_config_parse("eth0\0 4", 7, "f", &c, &e), -EINVAL);
	assert_string_equal(e.text, "f:1: line \"eth0\" has a NUL in it");
	sriov_config_free(&c);
}

static void count_fault(const char *text, void *user)
{
	(void)text;
	++*(size_t *)user;
}

/* Those that are too many are not left out silently: the last file would have had its way. */
static void test_too_many_files(void **state)
{
	(void)state;
	struct machine m;
	struct sriov_config c;
	struct error e = {0};
	size_t faults = 0;
	char path[256];
	machine_init(&m);
	snprintf(path, sizeof(path), "%s/sriov.d", m.root);
	machine_run("mkdir %s && cd %s && for i in $(seq %d %d); do echo eth0 1 > $i.conf; done", path, path, 10000,
	            10000 + SRIOV_FILES_MAX);
	assert_int_equal(sriov_config_load(path, &c, count_fault, &faults, &e), 0);
	assert_int_equal(c.n, SRIOV_FILES_MAX);
	assert_int_equal(faults, 1);
	sriov_config_free(&c);
	machine_free(&m);
}

static void test_directory(void **state)
{
	(void)state;
	struct machine m;
	struct sriov_config c;
	struct error e = {0};
	size_t faults = 0;
	char path[256];
	machine_init(&m);
	snprintf(path, sizeof(path), "%s/sriov.d", m.root);
	assert_int_equal(sriov_config_load(path, &c, count_fault, &faults, &e), 0);
	assert_int_equal(c.n, 0);

	machine_run(
	    "mkdir %s && cd %s && printf 'eth0 1\\neth1 1\\neth2 1\\neth3 1\\n' > 10-a.conf && printf 'eth0 2\\n0000:01:00.0 2\\n' > "
	    "20-b.conf && printf 'eth2 3\\nnonsense\\n' > 30-c.conf && printf 'nonsense\\neth3 1' > 05.conf && echo eth1 9 > x.conf~ && "
	    "echo eth1 9 > .x.conf && mkdir 40-d.conf && head -c 70000 /dev/zero > 50-e.conf",
	    path, path);
	assert_int_equal(sriov_config_load(path, &c, count_fault, &faults, &e), 0);
	assert_int_equal(faults, 4);
	assert_int_equal(sriov_config_find(&c, "eth0", "0000:09:00.0")->n_vfs, 2);
	assert_string_equal(sriov_config_find(&c, "eth0", "0000:09:00.0")->file, "20-b.conf");
	assert_int_equal(sriov_config_find(&c, "eth1", "0000:01:00.0")->n_vfs, 2); /* by its other name */
	assert_int_equal(sriov_config_find(&c, "eth1", "0000:09:00.0")->n_vfs, 1);
	assert_null(sriov_config_find(&c, "eth2", "0000:09:00.0")); /* a faulty file has the last word */
	assert_int_equal(sriov_config_find(&c, "eth3", "0000:09:00.0")->n_vfs, 1);
	assert_null(sriov_config_find(&c, "eth4", "0000:09:00.0"));
	sriov_config_free(&c);

	snprintf(path, sizeof(path), "%s/sriov.d/20-b.conf", m.root);
	assert_int_equal(sriov_config_load(path, &c, count_fault, &faults, &e), -ENOTDIR);
	machine_free(&m);
}

/* ---- sysfs ----------------------------------------------------------------------------------------------------------------------- */

#define CONNECTX "v000015B3d0000101Esv000015B3sd00000041bc02sc00i00"
#define ROOT "pci0000:80"
#define PF "0000:8a:00.0"
#define NUMBER "devices/" ROOT "/" PF "/sriov_numvfs"

static void begin(struct machine *m, const char *vfs)
{
	machine_init(m);
	machine_add_pci(m, ROOT, PF, CONNECTX, "mlx5_core", 1);
	machine_write(m, "devices/" ROOT "/" PF "/sriov_totalvfs", "8");
	machine_write(m, NUMBER, vfs);
}

static void add_vf(struct machine *m, const char *address, const char *driver, const char *ifname)
{
	char path[64];
	snprintf(path, sizeof(path), ROOT "/%s", address);
	machine_add_pci(m, ROOT, address, CONNECTX, driver, 1);
	machine_add_vf(m, ROOT "/" PF, path);
	if (ifname)
		machine_add_netdev(m, path, ifname);
}

static void expect_number(const struct machine *m, uint32_t n)
{
	uint32_t is = 0;
	struct error e = {0};
	assert_int_equal(sriov_count(m->sysfs, PF, &is, &e), 0);
	assert_int_equal(is, n);
}

static void test_number(void **state)
{
	(void)state;
	struct machine m;
	struct error e = {0};
	uint32_t before = 99;
	begin(&m, "0");
	assert_int_equal(sriov_set(m.sysfs, PF, 0, true, &before, &e), 0);
	assert_int_equal(sriov_set(m.sysfs, PF, 4, false, &before, &e), 0);
	assert_int_equal(before, 0);
	expect_number(&m, 4);
	assert_int_equal(sriov_set(m.sysfs, PF, 4, false, &before, &e), 0);
	assert_int_equal(before, 4);
	assert_int_equal(sriov_set(m.sysfs, PF, 5, false, &before, &e), -EBUSY);
	assert_string_equal(e.text, "it has 4 VFs");
	expect_number(&m, 4);
	assert_int_equal(sriov_set(m.sysfs, PF, 5, true, &before, &e), 0);
	assert_int_equal(sriov_set(m.sysfs, PF, 9, true, &before, &e), -ERANGE);
	assert_string_equal(e.text, "9 VFs are more than the 8 that " PF " can have");
	expect_number(&m, 5);
	assert_int_equal(sriov_set(m.sysfs, "0000:8b:00.0", 1, true, &before, &e), -ENODEV);
	machine_write(&m, "devices/" ROOT "/" PF "/sriov_totalvfs", "junk");
	assert_int_equal(sriov_set(m.sysfs, PF, 1, true, &before, &e), -EOPNOTSUPP);
	assert_int_equal(sriov_set(m.sysfs, "../" PF, 1, true, &before, &e), -ENODEV);
	machine_free(&m);
}

static void test_users(void **state)
{
	(void)state;
	static const struct {
		const char *driver, *ifname, *error;
	} rows[] = {
	    {"mlx5_core", "eth1", ""},
	    {NULL, NULL, ""},
	    {"mlx5_core", NULL, "its VF 0000:8a:00.2 is bound to the driver mlx5_core and has no interface on the host"},
	    {"vfio-pci", NULL, "its VF 0000:8a:00.2 is bound to the driver vfio-pci and has no interface on the host"},
	};
	for (size_t i = 0; i < ELEMENTS(rows); i++) {
		struct machine m;
		struct error e = {0};
		uint32_t before = 0;
		begin(&m, "2");
		add_vf(&m, "0000:8a:00.1", "mlx5_core", "eth0");
		add_vf(&m, "0000:8a:00.2", rows[i].driver, rows[i].ifname);
		int r = sriov_set(m.sysfs, PF, 3, true, &before, &e);
		assert_string_equal(e.text, rows[i].error);
		assert_int_equal(r, rows[i].error[0] ? -EBUSY : 0);
		expect_number(&m, rows[i].error[0] ? 2 : 3);
		machine_free(&m);
	}
}

/* Whether it is in use could not be seen: that is no reason to take it away. */
static void test_lack_of_descriptors(void **state)
{
	(void)state;
	struct machine m;
	struct error e = {0};
	struct rlimit limit, few;
	uint32_t before = 0;
	begin(&m, "1");
	add_vf(&m, "0000:8a:00.1", "vfio-pci", NULL);
	int lowest = dup(STDIN_FILENO);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){(rlim_t)lowest + 2, limit.rlim_max}; /* the PF, the list of its VFs */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	int r = sriov_set(m.sysfs, PF, 3, true, &before, &e);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(r, -EMFILE);
	assert_string_equal(e.text, "its VF 0000:8a:00.1 cannot be looked at: Too many open files");
	expect_number(&m, 1);
	machine_free(&m);
}

/* ---- when it is written ---------------------------------------------------------------------------------------------------------- */

static bool try_now(struct sriov_wait *w, bool there, bool used, uint64_t now, bool refused)
{
	if (!sriov_wait_look(w, there, used, now))
		return false;
	sriov_wait_begun(w);
	sriov_wait_ended(w, refused);
	return true;
}

static void test_waits_for_the_last_use(void **state)
{
	(void)state;
	struct sriov_wait w = {0};
	assert_false(try_now(&w, false, false, 1, true));
	assert_true(try_now(&w, true, true, 2, true)); /* it comes, and is asked whatever is known */
	assert_false(try_now(&w, true, true, 90000, true));
	assert_true(sriov_wait_due(&w) == UINT64_MAX);
	assert_false(try_now(&w, true, false, 100000, true));
	assert_true(sriov_wait_due(&w) == 100000 + SRIOV_QUIET_MS);
	assert_false(try_now(&w, true, false, 100000 + SRIOV_QUIET_MS - 1, true));
	assert_false(try_now(&w, true, true, 100000 + SRIOV_QUIET_MS, true)); /* again, in time */
	assert_true(sriov_wait_due(&w) == UINT64_MAX);
	assert_false(try_now(&w, true, false, 200000, true));
	assert_true(try_now(&w, true, false, 200000 + SRIOV_QUIET_MS, false));
	/* Done: nothing is asked any more, whoever uses what. */
	assert_false(try_now(&w, true, true, 300000, true));
	assert_false(try_now(&w, true, false, 400000, true));
	assert_true(sriov_wait_due(&w) == UINT64_MAX);
	/* Another one in its place. */
	assert_false(try_now(&w, false, false, 500000, true));
	assert_true(try_now(&w, true, false, 500001, false));
}

/* The kernel refuses and nobody is known to use any: it is not asked again and again. */
static void test_unknown_use(void **state)
{
	(void)state;
	struct sriov_wait w = {0};
	assert_true(try_now(&w, true, false, 1, true));
	assert_false(try_now(&w, true, false, 1000000, true));
	assert_true(sriov_wait_due(&w) == UINT64_MAX);
	assert_false(try_now(&w, true, true, 1000001, true));
	assert_false(try_now(&w, true, false, 1000002, true));
	assert_true(try_now(&w, true, false, 1000002 + SRIOV_QUIET_MS, true));
	assert_false(try_now(&w, true, false, 9000000, true));
}

static void test_use_ends_while_it_is_tried(void **state)
{
	(void)state;
	struct sriov_wait w = {0};
	assert_true(sriov_wait_look(&w, true, true, 1));
	sriov_wait_begun(&w);
	assert_false(sriov_wait_look(&w, true, false, 2));
	assert_true(sriov_wait_due(&w) == UINT64_MAX);
	sriov_wait_ended(&w, true);
	assert_false(sriov_wait_look(&w, true, false, 3));
	assert_true(sriov_wait_due(&w) == 3 + SRIOV_QUIET_MS);
	/* It leaves for a pod meanwhile, and what waits begins anew with its return. */
	assert_false(sriov_wait_look(&w, false, false, 4));
	assert_true(sriov_wait_due(&w) == UINT64_MAX);
	assert_true(sriov_wait_look(&w, true, true, 5));
}

/* Another one comes in its place while a change of the first is under way: it has VFs to get, too. */
static void test_another_while_it_is_tried(void **state)
{
	(void)state;
	struct sriov_wait w = {0};
	assert_true(sriov_wait_look(&w, true, false, 1));
	sriov_wait_begun(&w);
	assert_false(sriov_wait_look(&w, false, false, 2));
	assert_false(sriov_wait_look(&w, true, false, 3));
	sriov_wait_ended(&w, false);
	assert_true(sriov_wait_look(&w, true, false, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_waits_for_the_last_use),
	    cmocka_unit_test(test_unknown_use),
	    cmocka_unit_test(test_use_ends_while_it_is_tried),
	    cmocka_unit_test(test_another_while_it_is_tried),
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_directory),
	    cmocka_unit_test(test_too_many_files),
	    cmocka_unit_test(test_number),
	    cmocka_unit_test(test_users),
	    cmocka_unit_test(test_lack_of_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
