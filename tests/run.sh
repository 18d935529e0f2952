#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh - every test of dranetd, by lanes.
#
#   tests/run.sh               the gate's lanes
#   tests/run.sh unit sim      these lanes
#   tests/run.sh --list        their names
#
# It installs the Debian packages that are missing (packaging/install-deps.sh names them). Each lane ends in one line
# "LANE: N passed, N failed", all together in "tests/run.sh: N passed, N failed". From the environment:
#   SCHEDULES      schedules of the simulator (100000)
#   SEED           the first of them (1)
#   FUZZ_SECONDS   new inputs for each fuzz target (5)
#   KILL           which cases of the kill matrix (--short; empty: all of them)
#   VM             which tests in the emulated machine (--short; empty: all of them)
#   ROUNDS         rounds of the restore test (25)
#   CYCLES         pod cycles of the soak (2000)
#   JOBS           at a time (the number of processors)
# The full output of each test is kept in build/logs.
set -uo pipefail
cd "$(dirname "$0")/.." || exit

gate=(lint unit sim fuzz node knobs kill restore vm)
lanes=("${gate[@]}" soak bench)
JOBS=${JOBS:-$(nproc)}
logs=build/logs
python=/usr/bin/python3 # Debian's: the one that sees python3-grpcio
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

passed=0 failed=0 skipped=0 all_passed=0 all_failed=0 child='' details=''

# A signal ends the test that runs, and it alone; what it started ends with it.
interrupted() {
	trap - INT TERM HUP
	[ -z "$child" ] || kill -TERM "$child" 2> /dev/null
	[ -z "$child" ] || wait "$child" 2> /dev/null
	exit 130
}
trap interrupted INT TERM HUP
trap 'kill -TERM $(jobs -pr) 2> /dev/null' EXIT

# Run a command with its output in a log; its status.
logged() {
	local log=$1
	shift
	"$@" > "$log" 2>&1 < /dev/null &
	child=$!
	wait "$child"
	local status=$?
	child=
	return "$status"
}

show() {
	echo "---- the end of $1 ----"
	tail -n "${2:-60}" "$1"
	echo "----"
}

pass() {
	passed=$((passed + ${2:-1}))
	echo "PASS $1"
}
fail() {
	failed=$((failed + 1))
	echo "FAIL $1"
}

# A lane that cannot run here says why, and that is no failure.
skip() {
	skipped=$((skipped + 1))
	echo "skip $1"
}

# Build a preset's targets (all: without), once in a run.
declare -A built
build() {
	local preset=$1 what="$*" log=$logs/build-$1${2:+-$2}.log only=()
	shift
	[ $# -eq 0 ] || only=(--target "$@")
	if [ -z "${built[$what]:-}" ]; then
		echo "building build/$preset${*:+: $*}"
		if logged "$log" cmake --preset "$preset" && logged "$log" cmake --build --preset "$preset" -j "$JOBS" "${only[@]}"; then
			built[$what]=yes
		else
			built[$what]=no
			grep -m 20 -E 'error:|undefined reference|^FAILED|CMake Error' "$log" || show "$log" 40
		fi
	fi
	[ "${built[$what]}" = yes ] || {
		fail "build/$what, see $log"
		return 1
	}
}

# A program that tells its own count: "NAME: N passed, N failed" as its last such line. With details set, more of what it says is shown.
counted() {
	local name=$1 log=$logs/${1//\//-}.log status=0 line
	shift
	logged "$log" "$@" || status=$?
	line=$(grep -E '^[^ ]+: [0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
	if [[ "$line" =~ ([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
		if [ "$status" -eq 0 ] && [ "${BASH_REMATCH[1]}" -gt 0 ]; then
			echo "PASS $name (${BASH_REMATCH[1]})"
			grep -iE "^(note|skip${details:+|$details})" "$log" | cut -c 1-200
			return 0
		fi
		[ -n "$details" ] || grep -E '^FAIL' "$log" | cut -c 1-200
		[ "${BASH_REMATCH[2]}" -gt 0 ] || fail "$name: ended with status $status"
	else
		fail "$name: no count, status $status"
	fi
	show "$log" 120
}

lane_lint() {
	build dev || return
	details=PASS counted lint tests/lint.sh
}

# cmocka's TAP output: "ok 1 - name", "not ok 2 - name", and for what a test said it cannot do here "not ok 3 # SKIP name".
lane_unit() {
	build dev || return
	local test name log status ok bad
	for test in build/dev/unit/test_*; do
		name=${test##*/}
		[ -e "tests/unit/$name.c" ] || continue # left over from a file that was removed
		log=$logs/$name.log status=0
		CMOCKA_MESSAGE_OUTPUT=TAP logged "$log" timeout -k 10 300 "$test" || status=$?
		ok=$(grep -cE '^ok [0-9]+' "$log")
		bad=$(grep -E '^not ok [0-9]+' "$log" | grep -cv '# SKIP')
		sed -n "s/^not ok [0-9]* # SKIP /skip $name: /p; s/^SKIPPED: /skip $name: /p" "$log"
		failed=$((failed + bad)) passed=$((passed + ok))
		if [ "$status" -eq 0 ] && [ "$ok" -gt 0 ] && [ "$bad" -eq 0 ]; then
			echo "PASS $name ($ok)"
			continue
		fi
		# A file of which nothing can run here says why, in a line printed above; a file without a test and without a reason failed.
		if [ "$status" -eq 0 ] && [ "$bad" -eq 0 ] && grep -qE '^(SKIPPED: |not ok [0-9]+ # SKIP)' "$log"; then
			continue
		fi
		if [ "$bad" -gt 0 ]; then
			sed -n "s/^not ok [0-9]* - /FAIL $name: /p" "$log"
		else
			fail "$name: status $status after $ok tests"
		fi
		show "$log"
	done
}

lane_sim() {
	local seed=${SEED:-1}
	build release dranetd-sim && details='.* schedules' counted sim-release build/release/tests/dranetd-sim --schedules "${SCHEDULES:-100000}" --seed "$seed" --jobs "$JOBS"
	build dev dranetd-sim && counted sim-sanitizers build/dev/tests/dranetd-sim --schedules 2000 --seed "$seed" --jobs "$JOBS"
	counted mutations "$python" tests/sim/mutations.py --jobs "$JOBS"
}

lane_fuzz() {
	local targets=(tests/fuzz/fuzz_*.c)
	targets=("${targets[@]##*/}")
	build fuzz "${targets[@]%.c}" || return
	JOBS=$JOBS details=PASS counted fuzz tests/fuzz/run.sh build/fuzz/fuzz
}

# Namespaces, mounts, and a container runtime.
node_ready() {
	if [ "$(id -u)" -ne 0 ]; then
		fail "$lane: namespaces, mounts and a container runtime need root"
		return 1
	fi
	echo "unpacking containerd and the CNI plugins of a newer Debian suite into ${DRANETD_CACHE:-/var/cache/dranetd-test}, installing none of it"
	if ! logged "$logs/fetch.log" tests/node/runtime/fetch.sh; then
		fail "$lane: no containerd"
		show "$logs/fetch.log"
		return 1
	fi
}

lane_node() {
	build dev && node_ready || return
	local test
	for test in tests/node/joints.py tests/node/selftest.py tests/node/test_*.py; do
		[ -e "$test" ] || continue
		counted "node/$(basename "$test" .py)" timeout -k 30 900 "$python" "$test"
	done
}

# Each knob of the configuration, and the filter.
lane_knobs() {
	build dev && node_ready || return
	local test
	for test in tests/node/knobs{,_dropin,_routing,_dhcp,_filter,_policy}.py; do
		counted "node/$(basename "$test" .py)" timeout -k 30 900 "$python" "$test"
	done
}

# The daemon dies at each marked point of an attach and a detach.
lane_kill() {
	build dev && node_ready || return
	local which=${KILL---short}
	details='^\|' counted kill timeout -k 30 3600 "$python" tests/node/kill.py ${which:+"$which"}
}

# Random hosts, random pods: what comes back is what left.
lane_restore() {
	build dev || return
	counted restore timeout -k 30 3600 "$python" tests/node/restore.py --rounds "${ROUNDS:-25}" --seed "${SEED:-1}"
}

# RDMA, SR-IOV, VRFs and whatever else this kernel lacks, in an emulated machine that has them.
lane_vm() {
	build dev && build vm dranetd && node_ready || return
	local log=$logs/vm-build.log status=0 begun=$SECONDS which=${VM---short}
	logged "$log" tests/vm/machine_build.sh || status=$?
	echo "(preparing the machine took $((SECONDS - begun)) s)"
	if [ "$status" -eq 77 ]; then
		skip "vm: $(tail -n 1 "$log")"
		return
	elif [ "$status" -ne 0 ]; then
		fail "vm: no machine, status $status"
		show "$log"
		return
	fi
	rm -rf "$logs/vm"
	mkdir -p "$logs/vm"
	VM_SHARE=$logs/vm VM_TIMEOUT=1800 details=PASS counted vm tests/vm/machine.sh "$python" tests/vm/inside.py ${which:+"$which"} --logs "$logs/vm"
}

lane_soak() {
	build release dranetd && node_ready || return
	details=. DRANETD=$PWD/build/release/dranetd counted soak "$python" tests/node/soak.py --cycles "${CYCLES:-2000}" --seed "${SEED:-1}"
}

lane_bench() {
	build release dranetd bench_move bench_config || return
	details=. counted bench "$python" tests/bench/bench.py
}

chosen=()
for word in "$@"; do
	case " ${lanes[*]} " in
	*" $word "*) chosen+=("$word") ;;
	*)
		if [ "$word" = --list ]; then
			printf '%s\n' "${lanes[@]}"
			exit 0
		fi
		echo "tests/run.sh: no lane \"$word\"; there are: ${lanes[*]}" >&2
		exit 2
		;;
	esac
done
[ ${#chosen[@]} -gt 0 ] || chosen=("${gate[@]}")
packaging/install-deps.sh || exit 1
mkdir -p "$logs"

# The emulated machine is made beside the lanes before its own, which leave a processor idle most of the time. Lane vm asks for it once
# more, waits for what is still to be done, and is the one to tell what failed.
case "${chosen[*]}" in
*' vm'*)
	tests/vm/machine_build.sh > "$logs/vm-build-ahead.log" 2>&1 < /dev/null &
	;;
esac

for lane in "${chosen[@]}"; do
	passed=0 failed=0 skipped=0
	started=$SECONDS
	echo "==== $lane"
	"lane_$lane"
	[ $((passed + failed + skipped)) -gt 0 ] || fail "$lane: nothing ran"
	all_passed=$((all_passed + passed)) all_failed=$((all_failed + failed))
	echo "($lane took $((SECONDS - started)) s)"
	echo "$lane: $passed passed, $failed failed"
done
echo "tests/run.sh: $all_passed passed, $all_failed failed"
[ "$all_failed" -eq 0 ]
