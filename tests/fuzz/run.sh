#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh DIRECTORY - each fuzz target below it: first its corpus, then FUZZ_SECONDS (5) of new inputs, JOBS (2) targets at a time.
#
# What breaks one is kept in build/logs/fuzz-TARGET and printed; move it to tests/fuzz/corpus/TARGET with the correction.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
directory=${1:-build/fuzz/fuzz}
seconds=${FUZZ_SECONDS:-5}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
trap 'kill $(jobs -rp) 2> /dev/null; exit 130' INT TERM HUP

# The inner wait is what lets a signal end the target.
fuzz() {
	"$@" &
	wait $!
}

one() {
	trap 'kill $(jobs -rp) 2> /dev/null; exit 130' INT TERM HUP
	local target=$1 name corpus new found status=0
	name=${target##*/} corpus=tests/fuzz/corpus/$name
	new=$results/$name.new found=build/logs/fuzz-$name
	rm -rf "$found"
	mkdir -p "$new" "$found"
	local limits=(-timeout=10 -rss_limit_mb=2048 -artifact_prefix="$found/" -verbosity=1 -print_final_stats=1)
	[ ! -e "tests/fuzz/$name.dict" ] || limits+=(-dict="tests/fuzz/$name.dict")
	{
		if [ -d "$corpus" ]; then
			fuzz "$target" "${limits[@]}" -runs=0 "$corpus" || status=$?
		else
			echo "no corpus in $corpus"
			status=1
		fi
		[ "$status" -ne 0 ] || fuzz "$target" "${limits[@]}" -max_len=65536 -max_total_time="$seconds" "$new" "$corpus" || status=$?
	} > "$results/$name.log" 2>&1
	if [ "$status" -eq 0 ]; then
		rmdir "$found"
		echo "PASS $name: $(find "$corpus" -type f | wc -l) of the corpus," \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$results/$name.log" | tail -n 1) new"
	else
		echo "FAIL $name: status $status"
		grep -m 1 -A 24 -E 'ERROR: |runtime error: |no corpus' "$results/$name.log" || tail -n 24 "$results/$name.log"
		for input in "$found"/*; do
			[ -e "$input" ] && echo "$input:" && head -c 512 "$input" | od -A d -t x1z
		done
	fi > "$results/$name.result"
	cat "$results/$name.result"
}

pids=()
for source in tests/fuzz/fuzz_*.c; do
	while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-2}" ]; do
		wait -n
	done
	one "$directory/$(basename "$source" .c)" &
	pids+=($!)
done
wait "${pids[@]}"
passed=$(cat "$results"/*.result | grep -c '^PASS')
echo "fuzz: $passed passed, $((${#pids[@]} - passed)) failed"
[ "$passed" -eq ${#pids[@]} ]
