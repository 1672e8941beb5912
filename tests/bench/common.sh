# shellcheck shell=bash
# Helpers of the measuring scripts; sourced, not run.

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
driftline=${DRIFTLINE_BIN:-$here/../../target/release/driftline}

die() { echo "error: cannot measure: $*" >&2; exit 1; }

# A folder for everything that is made, on the disk that is to be measured; removed at the end.
make_place() {
    place=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/driftline-bench.XXXXXX")
    trap 'stop_agent; rm -rf -- "$place"' EXIT
}

# measure FILE COMMAND...: appends "seconds peak_KiB" of the command to FILE; output goes to $place/output.
measure() {
    local file=$1; shift
    /usr/bin/time -f '%e %M' -o "$place/time" -- "$@" >"$place/output" 2>&1 ||
        { tail -n 20 "$place/output" >&2; die "it fails: $*"; }
    tail -n 1 "$place/time" >>"$file"
}

# median FILE COLUMN
median() { sort -g -k"$2","$2" "$1" | awk -v c="$2" '{v[NR]=$c} END {print (NR%2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else printf "-" }'; }

mib() { awk -v k="$1" 'BEGIN { printf "%.0f", k / 1024 }'; }

# Writes what is dirty and forgets what is cached, where that is permitted: every run begins alike.
settle_disk() { sync; if [ -n "${COLD:-}" ]; then echo 3 >/proc/sys/vm/drop_caches || die "COLD=1 needs root"; fi; }

# Fails unless rsync, with checksums, would change nothing in $2 to make it like $1.
assert_equal() {
    rsync -anci --delete --exclude=/.driftline "$1/" "$2/" >"$place/unlike"
    sed -i '/^\.d\.\.t\.\.\.\.\.\. \.\/$/d' "$place/unlike"
    [ ! -s "$place/unlike" ] || { head -n 20 "$place/unlike" >&2; die "$2 is not like $1"; }
}

# start_agent SHARE TARGET STATE
start_agent() {
    "$driftline" run --share "$1" --target "$2" --state-dir "$3" >"$place/agent.log" 2>&1 &
    agent=$!
}

# Ends the agent that this script started, if there is one.
stop_agent() {
    [ -n "${agent:-}" ] || return 0
    kill "$agent" 2>/dev/null || true
    wait "$agent" || true
    agent=
}

# wait_safe SHARE TARGET STATE: until the agent says that all is safe.
wait_safe() {
    local end=$((SECONDS + ${PATIENCE:-7200}))
    until "$driftline" status --json --share "$1" --target "$2" --state-dir "$3" 2>/dev/null | python3 -c '
import json, sys
s = json.load(sys.stdin)
idle = all(t["pending"] == 0 for share in s["shares"] for t in share["targets"])
sys.exit(not (s["verdict"] == "safe" and s["agent"]["state"] == "running" and idle))' 2>/dev/null; do
        kill -0 "$agent" 2>/dev/null || { tail -n 20 "$place/agent.log" >&2; die "the agent has ended"; }
        [ $SECONDS -lt $end ] || { tail -n 20 "$place/agent.log" >&2; die "it never becomes safe"; }
        sleep 0.1
    done
}

# status_field FIELD of /proc/PID/status, in KiB
status_field() { awk -v f="$1:" '$1 == f { print $2 }' "/proc/$agent/status"; }

# Seconds of processor time that the agent has used.
cpu_seconds() {
    python3 -c 'import os, sys
fields = open(f"/proc/{sys.argv[1]}/stat").read().rpartition(") ")[2].split()
print((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))' "$agent"
}
