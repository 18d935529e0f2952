/* SPDX-License-Identifier: Apache-2.0 */
/* dranetd-sim [--schedules N] [--seed S] [--replay SEED] [--jobs J]: runs schedules; a failing one is made as short as it can be and
 * printed.
 * dranetd-sim --until TEXT [--schedules N] [--seed S]: runs them one after the other until one breaks with a text that begins so, prints
 * it and ends with status 1 (tests/sim/mutations.py). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/str.h"
#include "tests/sim/sim.h"

static uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void sim_init(struct sim *s, const uint32_t *choices, size_t n, bool verbose)
{
	memset(s, 0, sizeof(*s));
	s->choices = choices;
	s->n_choices = n;
	s->verbose = verbose;
	s->now = 1000;
	for (int i = 0; i < DEVICES; i++)
		s->devices[i] = (struct wdevice){.exists = true,
		                                 .physical = i != 1,
		                                 .ifindex = 10 + i,
		                                 .place = ON_HOST,
		                                 .named = true,
		                                 .mtu = 1500 + (uint32_t)i,
		                                 .home = 1500 + (uint32_t)i};
	s->devices[5].lower = s->devices[4].ifindex;  /* a VLAN over nic4 */
	s->devices[3].master = s->devices[2].ifindex; /* a member of a bond */
	s->devices[0].default_route = true;
	uint32_t first = n ? choices[0] : 0;
	s->synchronous = first % 16 == 1;
	s->ungated = first % 16 == 2;
	s->crio = first / 16 % 4 == 1;
	s->slow_disk = first / 64 % 4 == 1;
	s->crashy = first / 256 % 4 == 1;
	s->lasting = first / 1024 % 4 == 1;
	s->fabric = first / 4096 % 4 == 1;
	s->exclusive = s->fabric && first / 16384 % 2;
	s->legacy = s->fabric && first / 32768 % 4 == 1;
	if (s->fabric)
		fabric_init(s);
	for (int i = 0; i < PODS; i++)
		s->pods[i].sandbox = s->pods[i].old_sandbox = -1;
}

void sim_free(struct sim *s)
{
	while (s->n_pending)
		pending_drop(s, s->n_pending - 1);
	core_free(s->core);
	for (size_t i = 0; i < s->n_records; i++)
		claim_record_free(&s->records[i]);
}

void sim_run(struct sim *s)
{
	world_start(s);
	while (!*s->broken && sim_next(s)) {
		act(s);
		check_promises(s);
	}
	if (!*s->broken)
		world_heal(s);
}

static struct sim *run(const uint32_t *choices, size_t n, bool verbose)
{
	struct sim *s = malloc(sizeof(*s));
	if (!s)
		abort();
	sim_init(s, choices, n, verbose);
	sim_run(s);
	sim_free(s);
	return s;
}

/* Whether it still breaks the same promise: a shorter schedule that fails for another reason explains nothing. */
static bool fails_alike(const uint32_t *choices, size_t n, const char *promise)
{
	struct sim *s = run(choices, n, false);
	bool broken = *s->broken && strncmp(s->broken, promise, strlen("promise N")) == 0;
	free(s);
	return broken;
}

/* Leave out ever smaller pieces while it still fails. */
static size_t shrink(uint32_t *choices, size_t n)
{
	uint32_t *shorter = malloc(n * sizeof(*shorter));
	if (!shorter)
		abort();
	struct sim *s = run(choices, n, false);
	char promise[sizeof(s->broken)];
	STR_CUT(promise, s->broken);
	free(s);
	for (size_t piece = n / 2; piece >= 1; piece /= 2)
		for (size_t at = 0; at + piece <= n;) {
			memcpy(shorter, choices, at * sizeof(*choices));
			memcpy(shorter + at, choices + at + piece, (n - at - piece) * sizeof(*choices));
			if (fails_alike(shorter, n - piece, promise)) {
				n -= piece;
				memcpy(choices, shorter, n * sizeof(*choices));
			} else {
				at += piece;
			}
		}
	free(shorter);
	return n;
}

static size_t schedule(uint64_t seed, uint32_t **ret)
{
	uint64_t state = seed;
	size_t n = 50 + random_next(&state) % 450;
	*ret = malloc(n * sizeof(**ret));
	if (!*ret)
		abort();
	for (size_t i = 0; i < n; i++)
		(*ret)[i] = (uint32_t)(random_next(&state) >> 33);
	return n;
}

static void explain(uint64_t seed)
{
	uint32_t *choices;
	size_t n = schedule(seed, &choices);
	n = shrink(choices, n);
	printf("seed %llu, shortened to %zu choices:\n", (unsigned long long)seed, n);
	struct sim *s = run(choices, n, true);
	free(s);
	free(choices);
	printf("replay: dranetd-sim --replay %llu\n", (unsigned long long)seed);
}

struct totals {
	unsigned long long schedules, failed, first_failed, events, attaches, crashes, reboots, leases, renewals, transitions[16];
};

static void share(uint64_t seed, uint64_t schedules, unsigned job, unsigned jobs, struct totals *t)
{
	for (uint64_t i = job; i < schedules && t->failed < 20; i += jobs) {
		uint32_t *choices;
		size_t n = schedule(seed + i, &choices);
		struct sim *s = run(choices, n, false);
		t->schedules++;
		if (*s->broken) {
			unsigned long long failed = seed + i;
			if (!t->failed++)
				t->first_failed = failed;
			printf("seed %llu: %s\n", failed, s->broken);
		}
		t->events += s->events;
		t->attaches += s->attaches;
		t->crashes += s->crashes;
		t->reboots += s->reboots;
		t->leases += s->leases;
		t->renewals += s->renewals;
		for (size_t k = 0; k < 16; k++)
			t->transitions[k] += s->transitions[k];
		free(s);
		free(choices);
	}
}

static void collect(struct totals *sum, const struct totals *t)
{
	sum->schedules += t->schedules;
	if (t->failed && !sum->failed)
		sum->first_failed = t->first_failed;
	sum->failed += t->failed;
	sum->events += t->events;
	sum->attaches += t->attaches;
	sum->crashes += t->crashes;
	sum->reboots += t->reboots;
	sum->leases += t->leases;
	sum->renewals += t->renewals;
	for (size_t k = 0; k < 16; k++)
		sum->transitions[k] += t->transitions[k];
}

static int run_all(uint64_t seed, uint64_t schedules, unsigned jobs)
{
	struct totals sum = {0};
	int pipes[16][2];
	for (unsigned j = 0; j < jobs; j++) {
		if (pipe(pipes[j]) != 0)
			return 2;
		pid_t pid = fork();
		if (pid == 0) {
			struct totals t = {0};
			share(seed, schedules, j, jobs, &t);
			fflush(stdout);
			_exit(write(pipes[j][1], &t, sizeof(t)) == (ssize_t)sizeof(t) ? 0 : 2);
		}
		if (pid < 0)
			return 2;
		close(pipes[j][1]);
	}
	bool lost = false;
	for (unsigned j = 0; j < jobs; j++) {
		struct totals t;
		if (read(pipes[j][0], &t, sizeof(t)) == (ssize_t)sizeof(t))
			collect(&sum, &t);
		else
			lost = true; /* it crashed: that is a failure, not a missing number */
	}
	while (wait(NULL) > 0) {
	}
	printf("%llu schedules, %llu events, %llu attaches, %llu crashes, %llu reboots, %llu leases, renewed or ended %llu times\n",
	       sum.schedules, sum.events, sum.attaches, sum.crashes, sum.reboots, sum.leases, sum.renewals);
	bool covered = true;
	for (size_t i = 0; i < device_transitions_n; i++) {
		printf("  %-10s %-15s -> %-10s %llu\n", device_state_name(device_transitions[i].from),
		       device_event_name(device_transitions[i].event), device_state_name(device_transitions[i].to), sum.transitions[i]);
		covered &= sum.transitions[i] > 0;
	}
	if (schedules >= 1000 && !covered)
		printf("a row of the table was never taken\n");
	if (sum.failed)
		explain(sum.first_failed);
	printf("sim: %llu passed, %llu failed\n", sum.schedules - sum.failed, sum.failed + lost);
	return sum.failed || lost || (schedules >= 1000 && !covered);
}

static int run_until(uint64_t seed, uint64_t schedules, const char *text)
{
	for (uint64_t i = 0; i < schedules; i++) {
		uint32_t *choices;
		size_t n = schedule(seed + i, &choices);
		struct sim *s = run(choices, n, false);
		bool found = *s->broken && strncmp(s->broken, text, strlen(text)) == 0;
		unsigned long long failed = seed + i;
		if (found)
			printf("seed %llu: %s\n", failed, s->broken);
		free(s);
		free(choices);
		if (found)
			return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = 1, schedules = 1000;
	unsigned jobs = 2;
	const char *until = NULL;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (str_equal(argv[i], "--schedules"))
			schedules = strtoull(argv[i + 1], NULL, 10);
		else if (str_equal(argv[i], "--seed"))
			seed = strtoull(argv[i + 1], NULL, 10);
		else if (str_equal(argv[i], "--jobs"))
			jobs = (unsigned)strtoul(argv[i + 1], NULL, 10) % 16;
		else if (str_equal(argv[i], "--until"))
			until = argv[i + 1];
		else if (str_equal(argv[i], "--replay")) {
			explain(strtoull(argv[i + 1], NULL, 10));
			return 0;
		}
	}
	if (until)
		return run_until(seed, schedules, until);
	return run_all(seed, schedules, jobs ? jobs : 1);
}
