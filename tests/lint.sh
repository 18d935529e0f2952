#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lint.sh [CHECK...] - what can be said of the sources without running them. It wants build/dev to be built.
#
# Checks: format tidy arrows purity readme reference attributes policy scripts headers. Each prints FAIL lines for what it finds and counts
# one test for each file it looked at; files of more than 600 lines are only warned of.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${BUILD:-build/dev}
JOBS=${JOBS:-$(nproc)}
passed=0 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for tool in clang-format clang-tidy nm; do
	command -v "$tool" > /dev/null || {
		echo "FAIL lint: no $tool, run packaging/install-deps.sh"
		echo "lint: 0 passed, 1 failed"
		exit 1
	}
done

rooms=(core transport netlink rdma k8s daemon)
mapfile -t sources < <(find "${rooms[@]}" tests -name '*.[ch]' | sort)
mapfile -t units < <(printf '%s\n' "${sources[@]}" | grep '\.c$')

# count WHAT FILES-LOOKED-AT COMPLAINTS: one complaint a file at most.
count() {
	local what=$1 looked=$2 complaints=$3
	failed=$((failed + complaints)) passed=$((passed + looked - complaints))
	[ "$complaints" -gt 0 ] || echo "PASS $what ($looked)"
}

# Names of files, one a line on stdin, become FAIL lines; how many there were.
complain() {
	local n=0 line
	while IFS= read -r line; do
		echo "FAIL $1: $line" >&2
		n=$((n + 1))
	done
	echo "$n"
}

check_format() {
	local bad
	bad=$(printf '%s\n' "${sources[@]}" | xargs -P "$JOBS" -n 16 clang-format --dry-run -Werror 2>&1 |
		sed -n 's/^\([^:]*\):[0-9]*:[0-9]*: error:.*/\1/p' | sort -u | complain "not in the format of .clang-format")
	count format ${#sources[@]} "$bad"
}

# Options gcc knows and clang does not would be errors of their own; the warnings that matter are on in both builds.
check_tidy() {
	local bad
	if [ ! -e "$build"/compile_commands.json ]; then
		echo "FAIL tidy: no $build/compile_commands.json"
		count tidy 1 1
		return
	fi
	# shellcheck disable=SC2016 # the inner shell's own parameters
	printf '%s\n' "${units[@]}" | xargs -P "$JOBS" -n 1 sh -c '
		clang-tidy --quiet -p "$0" "$2" > "$1/$(echo "$2" | tr / _).tidy" 2>&1 || echo "$2" >> "$1/tidy.bad"' "$build" "$work"
	[ ! -e "$work/tidy.bad" ] || cat "$work"/*.tidy | grep -E -A 2 '(warning|error):' | awk '!seen[$0]++' | head -n 200
	bad=$(sort "$work/tidy.bad" 2> /dev/null | complain "clang-tidy")
	count tidy ${#units[@]} "$bad"
}

# Includes go one way: daemon → {k8s, netlink, rdma, transport} → core, and transport knows the common base alone.
declare -A may_include=(
	[core]='core/'
	[transport]='transport/|core/base/'
	[netlink]='netlink/|core/'
	[rdma]='rdma/|core/'
	[k8s]='k8s/|transport/|core/|proto/'
	[daemon]='daemon/|k8s/|netlink/|rdma/|transport/|core/|proto/'
)
check_arrows() {
	local room bad=0 looked=0
	for room in "${rooms[@]}"; do
		mapfile -t files < <(find "$room" -name '*.[ch]')
		looked=$((looked + ${#files[@]}))
		[ ${#files[@]} -gt 0 ] || continue
		bad=$((bad + $(grep -HE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "${files[@]}" |
			grep -vE "include[[:space:]]*\"(${may_include[$room]})" | sort -u -t : -k 1,1 | complain "$room/ may not include this")))
	done
	bad=$((bad + $(find core/base -name '*.[ch]' -exec grep -HE 'include[[:space:]]*"' {} + | grep -v '"core/base/' |
		complain "the common base stands alone")))
	count arrows "$looked" "$bad"
}

# core/ takes time and chance from its events: neither the headers nor the symbols for anything else.
check_purity() {
	local bad
	bad=$(grep -rHE --include='*.[ch]' '#[[:space:]]*include[[:space:]]*<(unistd|fcntl|time|poll|signal|pthread|threads|dirent|uv|h2o|jansson|yaml|sys/|linux/|netlink/|systemd/|nghttp2/|curl/|protobuf-c/)' \
		core | sort -u -t : -k 1,1 | complain "core/ is pure")
	count "purity of core's includes" "$(find core -name '*.[ch]' | wc -l)" "$bad"
	if [ ! -e "$build"/libcore.a ]; then
		echo "FAIL purity: no $build/libcore.a"
		count purity 1 1
		return
	fi
	bad=$(nm -A -u "$build"/libcore.a | grep -wE 'U (time|clock|clock_gettime|gettimeofday|nanosleep|usleep|sleep|rand|random|getrandom|arc4random|getenv|secure_getenv|open|open64|openat|openat64|read|write|close|fopen|fopen64|socket|ioctl|syscall|fork|execve?|pthread_[a-z_]+|printf|puts|perror|stdout|stderr)' |
		complain "core/ calls this")
	count "purity of core's symbols" $((bad + 1)) "$bad"
}

# The picture of the state machine is what the table says.
check_readme() {
	local begin='<!-- begin: dranetd --print-states -->' end='<!-- end: dranetd --print-states -->'
	awk -v b="$begin" -v e="$end" '$0 == e {on = 0} on && !/^```/ {print} $0 == b {on = 1}' README.md > "$work/picture"
	if ! "$build"/dranetd --print-states > "$work/table" 2> "$work/why"; then
		echo "FAIL readme: dranetd --print-states: $(cat "$work/why")"
		count readme 1 1
	elif ! diff -u --label "README.md" --label "dranetd --print-states" "$work/picture" "$work/table"; then
		echo "FAIL readme: its picture of the states is not the table's"
		count readme 1 1
	else
		count "the README's picture" 1 0
	fi
}

# A page that dranetd prints from the schema is committed as it prints it: what it is, the page, the flag.
printed() {
	if ! "$build"/dranetd "$3" > "$work/printed" 2> "$work/why"; then
		echo "FAIL $2: dranetd $3: $(cat "$work/why")"
		count "$1" 1 1
	elif ! diff -u --label "$2" --label "dranetd $3" "$2" "$work/printed"; then
		echo "FAIL $2 is not the schema's"
		count "$1" 1 1
	else
		count "$1" 1 0
	fi
}

check_reference() {
	printed "the reference of the configuration" packaging/config-reference.md --print-config-reference
}

check_attributes() {
	printed "the page of attributes" packaging/attributes.md --print-attributes
}

check_policy() {
	printed "the admission policy" packaging/admission-policy.yaml --print-admission-policy
}

check_scripts() {
	local script bad=0 looked=0
	while IFS= read -r script; do
		looked=$((looked + 1))
		bash -n "$script" || bad=$((bad + $(echo "$script" | complain "not a shell script")))
	done < <(find packaging tests .ci -name '*.sh' -o -path .ci/run)
	while IFS= read -r script; do
		looked=$((looked + 1))
		/usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1])' "$script" ||
			bad=$((bad + $(echo "$script" | complain "not a Python program")))
	done < <(find packaging tests -name '*.py')
	count scripts "$looked" "$bad"
}

check_headers() {
	local bad
	bad=$(grep -L 'SPDX-License-Identifier: Apache-2.0' "${sources[@]}" | complain "no licence line")
	count "licence lines" ${#sources[@]} "$bad"
	bad=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' "${sources[@]}" | sort -u -t : -k 1,1 | complain "unfinished")
	count "nothing unfinished" ${#sources[@]} "$bad"
	wc -l "${sources[@]}" | awk '$2 != "total" && $1 > 600 {print "note " $2 " has " $1 " lines"}'
}

for check in "${@:-format tidy arrows purity readme reference attributes policy scripts headers}"; do
	for one in $check; do
		begun=$SECONDS
		"check_$one"
		[ $((SECONDS - begun)) -lt 10 ] || echo "note $one took $((SECONDS - begun)) s"
	done
done 2>&1
echo "lint: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
