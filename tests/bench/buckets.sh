#!/usr/bin/env bash
# Compares driftline with what everybody has for buckets: s5cmd, rclone and the AWS command line, on one server.
#
#   buckets.sh [FILES] [MEDIAN_BYTES] [FOLDER]
#
# The server is a SeaweedFS on this machine (tests/s3-server), which takes most of the processors: so the processor time of
# the client alone is shown beside the time. N=3 rounds, each of all programs in turn, each to a new bucket: a first copy,
# and a pass without changes. Then a file of SIZE bytes (4 GiB; 0 for none), which s5cmd copies without looking.
# MEMORY="20000 200000" adds the peak memory of a first copy of so many small files, by driftline alone.
# PROGRAMS="driftline s5cmd rclone aws" leaves some out. DRIFTLINE_BIN, DRIFTLINE_S5CMD and DRIFTLINE_AWS name programs.
# Prints markdown tables; ratios are to the best of the others.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
files=${1:-20000} size=${2:-12288} rounds=${N:-3} large=${SIZE:-4294967296}
read -ra programs <<<"${PROGRAMS:-driftline s5cmd rclone aws}"
[[ " ${programs[*]} " != *" driftline "* ]] || [ -x "$driftline" ] || die "there is no $driftline: build it, or set DRIFTLINE_BIN"
aws=${DRIFTLINE_AWS:-aws}

# The Python package brings a small program that starts the real one: only the real one is measured.
native_s5cmd() {
    local given; given=$(command -v "${DRIFTLINE_S5CMD:-s5cmd}") || die "there is no s5cmd: run tests/run once"
    "$(dirname -- "$given")/python3" -c 'import os, s5cmd; print(os.path.join(os.path.dirname(s5cmd.__file__), "bin/s5cmd"))' \
        2>/dev/null || echo "$given"
}

# A server with room for what is measured, which ends with this script.
start_server() {
    servers=$place/server
    # What this machine has set for the real S3 is not for this one.
    unset "${!AWS_@}"
    trap 'stop_agent; "$here/../s3-server" stop "$servers"; rm -rf -- "$place"' EXIT
    mkdir -p "$servers/seaweedfs"
    exec {in_use}>"$servers/seaweedfs/use"
    flock -s "$in_use"
    endpoint=http://$(S3_SERVER_VOLUMES=7 S3_SERVER_VOLUME_MB=1024 "$here/../s3-server" start seaweedfs "$servers")
    export AWS_ENDPOINT_URL=$endpoint S3_ENDPOINT_URL=$endpoint AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
    export AWS_ACCESS_KEY_ID=driftline AWS_SECRET_ACCESS_KEY=driftline-secret AWS_CONFIG_FILE=/dev/null
    export AWS_SHARED_CREDENTIALS_FILE=/dev/null RCLONE_CONFIG=/dev/null
}

new_bucket() {
    bucket=bench-$((++buckets))
    "$s5cmd" mb "s3://$bucket" >/dev/null
}

# SeaweedFS removes what is in it, too.
drop_bucket() { "$s5cmd" rb "s3://$bucket" >/dev/null; }

# Sets `command` to one pass of a program over a folder.
pass_of() { # pass_of PROGRAM FOLDER
    case $1 in
        driftline) command=("$driftline" sync --share "$2" --target "s3://$bucket/files" --state-dir "$place/state") ;;
        s5cmd) command=("$s5cmd" --log error sync "$2/" "s3://$bucket/files/") ;;
        rclone) command=(rclone sync --transfers 32 --checkers 32 --s3-provider Other --s3-env-auth
                         --s3-endpoint "$endpoint" --s3-no-check-bucket "$2" ":s3:$bucket/files") ;;
        aws) command=("$aws" s3 sync --only-show-errors "$2" "s3://$bucket/files") ;;
        *) die "there is no program $1" ;;
    esac
}

# Appends "seconds peak_KiB cpu_seconds" of the command to FILE.
measure_client() {
    local file=$1; shift
    /usr/bin/time -f '%e %M %U %S' -o "$place/time" -- "$@" >"$place/output" 2>&1 ||
        { tail -n 20 "$place/output" >&2; die "it fails: $*"; }
    tail -n 1 "$place/time" | awk '{ print $1, $2, $3 + $4 }' >>"$file"
}

# Fails unless the bucket holds as many files as the folder: folders and what is driftline's own are not counted.
assert_complete() {
    local there; there=$("$s5cmd" ls "s3://$bucket/files/*" | awk '{ print $NF }' | grep -vcE '/$|^\.driftline/')
    [ "$there" -eq "$(find "$1" -type f | wc -l)" ] || die "$2 left $there files in the bucket"
}

# Fails unless what another program gets out of the bucket is what was put in.
assert_same_bytes() {
    "$s5cmd" --log error cp "s3://$bucket/files/*" "$place/back/" >/dev/null
    diff -r --exclude=.driftline "$1" "$place/back" >"$place/unlike" ||
        { head -n 20 "$place/unlike" >&2; die "what driftline left in the bucket is not what is on the share"; }
    rm -rf "$place/back"
}

one_turn() { # one_turn PROGRAM ROUND
    rm -rf "$place/state"; mkdir "$place/state"; new_bucket; settle_disk
    pass_of "$1" "$place/share"
    measure_client "$place/first.$1" "${command[@]}"
    assert_complete "$place/share" "$1"
    [ "$1 $2" != "driftline 1" ] || assert_same_bytes "$place/share"
    settle_disk
    measure_client "$place/second.$1" "${command[@]}"
    drop_bucket
}

one_large() { # one_large PROGRAM
    rm -rf "$place/state"; mkdir "$place/state"; new_bucket; settle_disk
    case $1 in
        s5cmd) command=("$s5cmd" --log error cp "$place/large/large.bin" "s3://$bucket/files/large.bin") ;;
        *) pass_of "$1" "$place/large" ;;
    esac
    measure_client "$place/large.$1" "${command[@]}"
    assert_complete "$place/large" "$1"
    drop_bucket
}

# The best median of the others in a column.
best_peer() { # best_peer WHAT COLUMN
    local program
    for program in "${programs[@]}"; do
        if [ "$program" != driftline ] && [ -f "$place/$1.$program" ]; then median "$place/$1.$program" "$2"; fi
    done | sort -g | head -n 1
}

table() { # table WHAT
    local program time cpu base_time base_cpu
    base_time=$(best_peer "$1" 1) base_cpu=$(best_peer "$1" 3)
    printf '| %s | time | ratio | client'"'"'s processor time | ratio | peak memory |\n|---|---|---|---|---|---|\n' "$2"
    for program in "${programs[@]}"; do
        [ -f "$place/$1.$program" ] || continue
        time=$(median "$place/$1.$program" 1) cpu=$(median "$place/$1.$program" 3)
        printf '| %s | %s s | %s | %s s | %s | %s MiB |\n' "$program" "$time" "$(ratio "$time" "$base_time")" \
            "$cpu" "$(ratio "$cpu" "$base_cpu")" "$(mib "$(median "$place/$1.$program" 2)")"
    done
    echo
}

memory_of() { # memory_of FILES
    rm -rf "$place/many" "$place/state"; mkdir "$place/many" "$place/state"; new_bucket
    python3 "$here/tree.py" "$place/many" "$1" --median 0 >/dev/null
    pass_of driftline "$place/many"
    measure_client "$place/memory.$1" "${command[@]}"
    drop_bucket
    printf '| %s | %s s | %s MiB |\n' "$1" "$(median "$place/memory.$1" 1)" "$(mib "$(median "$place/memory.$1" 2)")"
}

make_place "${3:-}"
s5cmd=$(native_s5cmd) buckets=0
start_server
mkdir "$place/share" "$place/large"
made=$(python3 "$here/tree.py" "$place/share" "$files" --median "$size")
for round in $(seq "$rounds"); do
    for program in "${programs[@]}"; do one_turn "$program" "$round"; done
done
echo "$made; medians of $rounds; $(uname -r), $(nproc) processors, $(stat -f -c %T "$place"), the server on the same machine"
echo
table first 'first copy'
table second 'a pass without changes'
if [ "$large" -gt 0 ]; then
    rm -rf "$place/share"
    python3 -c 'import os, sys
with open(sys.argv[1], "wb") as file:
    left = int(sys.argv[2])
    while left > 0: left -= file.write(os.urandom(min(left, 1 << 24)))' "$place/large/large.bin" "$large"
    for _ in $(seq "$rounds"); do
        for program in "${programs[@]}"; do case $program in driftline | s5cmd) one_large "$program" ;; esac; done
    done
    table large "a file of $large bytes"
    rm -rf "$place/large"
fi
if [ -n "${MEMORY:-}" ]; then
    printf '| files in a first copy | time | peak memory of driftline |\n|---|---|---|\n'
    for count in $MEMORY; do memory_of "$count"; done
fi
