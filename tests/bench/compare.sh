#!/usr/bin/env bash
# Compares driftline with what everybody has: a first copy with `rsync -a` and `cp -a`, a second one with a bare walk.
#
#   compare.sh [FILES] [MEDIAN_BYTES] [FOLDER]
#
# N=3 rounds, each of all programs in turn, so that a disk that slows down slows all of them; medians are shown.
# COLD=1 drops the caches before every run (root). DRIFTLINE_BIN names the program. Prints a markdown table.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
files=${1:-20000} size=${2:-12288} rounds=${N:-3}
[ -x "$driftline" ] || die "there is no $driftline: build it, or set DRIFTLINE_BIN"
make_place "${3:-}"

mkdir "$place/share"
made=$(python3 "$here/tree.py" "$place/share" "$files" --median "$size")

pass=("$driftline" sync --share "$place/share" --target "$place/target" --state-dir "$place/state")

for _ in $(seq "$rounds"); do
    for program in driftline rsync cp; do
        rm -rf "$place/target" "$place/state"; mkdir "$place/target" "$place/state"; settle_disk
        case $program in
            driftline) measure "$place/first.driftline" "${pass[@]}"; assert_equal "$place/share" "$place/target"
                       settle_disk; measure "$place/second.driftline" "${pass[@]}"
                       settle_disk; measure "$place/second.find" find "$place/share" -printf '%s %T@\n' ;;
            rsync) measure "$place/first.rsync" bash -c "rsync -a '$place/share/' '$place/target/' && sync -f '$place/target'"
                   settle_disk; measure "$place/second.rsync" rsync -a "$place/share/" "$place/target/" ;;
            cp) measure "$place/first.cp" bash -c "cp -a '$place/share/.' '$place/target/' && sync -f '$place/target'" ;;
        esac
    done
done

row() { # row TITLE FILE BASE
    local mine base
    mine=$(median "$place/$2" 1) base=$(median "$place/$3" 1)
    printf '| %s | %s s | %s MiB | %s |\n' "$1" "$mine" "$(mib "$(median "$place/$2" 2)")" "$(ratio "$mine" "$base")"
}

echo "$made; medians of $rounds; $(uname -r), $(nproc) processors, $(stat -f -c %T "$place")${COLD:+, cold caches}"
echo
echo '| what | time | peak memory | ratio |'
echo '|---|---|---|---|'
row 'first: driftline sync (durable, verified)' first.driftline first.rsync
row 'first: rsync -a, then flushed' first.rsync first.rsync
row 'first: cp -a, then flushed' first.cp first.rsync
row 'second: driftline sync' second.driftline second.find
row 'second: rsync -a' second.rsync second.find
row 'second: find (share only)' second.find second.find
