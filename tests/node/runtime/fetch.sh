#!/usr/bin/env bash
# fetch.sh - put a containerd >= 2.1 and the CNI plugins beside the system's own.
#
# Debian 12 ships containerd 1.6, which knows neither NRI 0.8 nor CDI by default.
# Newer suites of the same archive ship one that runs on Debian 12's libc, so the
# apt source already on the machine is copied under another suite's name into
# private apt directories and the packages are unpacked into the cache: nothing is
# installed, no file of the system's changes.  Prints the directory unpacked into;
# a second call finds it there and only prints it.  From the environment:
#   DRANETD_CACHE   where to keep it (/var/cache/dranetd-test)
#   DRANETD_SUITES  suites to try, in this order
set -euo pipefail

cache=${DRANETD_CACHE:-/var/cache/dranetd-test}
read -ra suites <<< "${DRANETD_SUITES:-sid forky trixie-backports}"
packages=(containerd containernetworking-plugins)
wanted=2.1

mkdir -p "$cache"
exec 9> "$cache/runtime.lock"
flock 9
root=$cache/runtime
if [ -x "$root/usr/bin/containerd" ] && [ -x "$root/usr/lib/cni/bridge" ]; then
	echo "$root"
	exit 0
fi

work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

# The stanza whose first suite is the running release itself, not its updates or
# its security archive: only that one's mirror serves the other suites too.
stanza() {
	awk -v RS= -v suite="$1" -v name="$codename" '
		match($0, /(^|\n)Suites:[^\n]*/) {
			split(substr($0, RSTART, RLENGTH), word, " ")
			if (word[2] == name) { sub(/Suites:[^\n]*/, "Suites: " suite); print; exit }
		}' /etc/apt/sources.list.d/*.sources
	# The one-line format: what an older installation's sources.list has.
	[ ! -e /etc/apt/sources.list ] || awk -v suite="$1" -v name="$codename" '
		$1 == "deb" { for (i = 2; i <= NF; i++) if ($i == name) { $i = suite; print > "/dev/stderr"; exit } }
		' /etc/apt/sources.list 2> "$work/vm.list"
}

fetch() {
	local suite=$1 version deb apt
	rm -rf "$work"/*
	mkdir -p "$work"/{sources,lists/partial,archives/partial,debs,root}
	stanza "$suite" > "$work/sources/other.sources"
	[ ! -s "$work/vm.list" ] || [ -s "$work/sources/other.sources" ] || mv "$work/vm.list" "$work/sources/other.list"
	apt=(-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources"
		-o Dir::State::lists="$work/lists" -o Dir::Cache="$work" -o APT::Sandbox::User=root
		-o Debug::NoLocking=1 -o Acquire::Languages=none)
	apt-get "${apt[@]}" update >&2 || return 1
	version=$(apt-cache "${apt[@]}" show --no-all-versions containerd | sed -n 's/^Version: //p')
	dpkg --compare-versions "${version:-0}" ge "$wanted" || {
		echo "fetch.sh: $suite has containerd ${version:-none}, $wanted is wanted" >&2
		return 1
	}
	(cd "$work/debs" && apt-get "${apt[@]}" download "${packages[@]}" >&2) || return 1
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$work/root"
	done
	"$work/root/usr/bin/containerd" --version >&2
}

for suite in "${suites[@]}"; do
	if fetch "$suite"; then
		rm -rf "$root"
		mv "$work/root" "$root"
		echo "$root"
		exit 0
	fi
	echo "fetch.sh: no containerd from $suite" >&2
done
echo "fetch.sh: none of these suites has a containerd that runs here: ${suites[*]}" >&2
exit 1
