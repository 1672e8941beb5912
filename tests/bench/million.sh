#!/usr/bin/env bash
# A million small files: the first scan and copy, a restart, peak and idle memory.
#
#   million.sh [FILES] [FOLDER]
#
# Needs about 10 GiB and 2.5 million inodes on FOLDER. DRIFTLINE_BIN names the program. Prints a markdown table.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
files=${1:-1000000}
[ -x "$driftline" ] || die "there is no $driftline: build it, or set DRIFTLINE_BIN"
make_place "${2:-}"
mkdir "$place/share" "$place/target" "$place/state"
office=("$place/share" "$place/target" "$place/state")
made=$(python3 "$here/tree.py" "$place/share" "$files" --median 0)
sync

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }
# timed_start NAME: starts the agent, waits until safe, and keeps its time, processor time and peak memory.
timed_start() {
    local begun; begun=$(now)
    start_agent "${office[@]}"; wait_safe "${office[@]}"
    echo "| $1 | $(since "$begun") s | $(cpu_seconds) s | $(mib "$(status_field VmHWM)") MiB |"
}

timed_start 'first start, until all is safe' >"$place/table"
before=$(cpu_seconds); sleep 30; after=$(cpu_seconds)
idle="idle: $(mib "$(status_field VmRSS)") MiB resident, $(ratio "$(awk -v a="$after" -v b="$before" 'BEGIN{print (a-b)*100}')" 30) % of a processor"
stop_agent
timed_start 'restart, until all is safe' >>"$place/table"
stop_agent
index=$(du -sk "$place/state" | cut -f1)

echo "$made; $(uname -r), $(nproc) processors, $(stat -f -c %T "$place")"
echo
echo '| what | time | processor time | peak memory |'
echo '|---|---|---|---|'
cat "$place/table"
echo
echo "$idle; state folder: $(mib "$index") MiB"
assert_equal "$place/share" "$place/target"
