#!/usr/bin/env python3
"""A first copy and a pass without changes, over a line with round trips: driftline, rsync and rclone in one guest.

    speed.py [FILES] [ROUNDS]      prints a markdown table, and of driftline every kind of NFS operation
"""

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time

from office import BINARY, LOCAL, MOUNT, SERVER, need, operations, tree

FILES = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 3
SHARE, STATE = LOCAL / "share", LOCAL / "state"


def processor():
    """Seconds of this guest's one processor that were idle, and that programs ended by now have used."""
    with open("/proc/stat") as stat:
        words = stat.readline().split()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(map(int, words[4:6])) / os.sysconf("SC_CLK_TCK"), used.ru_utime, used.ru_stime


def measure(*command):
    """Seconds, operations, and of the processor: idle, in the program, in the system for the program."""
    subprocess.run(["sync"], check=True)
    with open("/proc/sys/vm/drop_caches", "w") as knob:
        knob.write("3")
    before, busy, begun = operations(), processor(), time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    took, after, idle = time.monotonic() - begun, operations(), processor()
    need(done.returncode == 0, f"{command}: {done.stdout} {done.stderr}")
    used = [now - then for now, then in zip(idle, busy)]
    return took, {name: after[name] - before[name] for name in after if after[name] != before[name]}, used


def commands():
    mine = [BINARY, "sync", "--share", SHARE, "--target", MOUNT / "driftline", "--state-dir", STATE]
    return {
        "driftline sync": (MOUNT / "driftline", mine),
        "rsync -a": (MOUNT / "rsync", ["rsync", "-a", f"{SHARE}/", f"{MOUNT}/rsync/"]),
        "rclone sync --transfers 16": (
            MOUNT / "rclone",
            ["rclone", "--config", "/dev/null", "sync", "--transfers", "16", "--metadata", SHARE, MOUNT / "rclone"],
        ),
    }


def round_of(results):
    for name, (place, command) in commands().items():
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(STATE, ignore_errors=True)
        place.mkdir()
        first = measure(*command)
        arrived, wanted = tree(SERVER / place.name), tree(SHARE)
        need({p: v[1] for p, v in arrived.items()} == {p: v[1] for p, v in wanted.items()}, f"{name} leaves another tree")
        second = measure(*command)
        results.setdefault(name, []).append((first, second))


def main():
    SHARE.mkdir()
    for number in range(FILES):
        folder = SHARE / f"folder {number % 100}"
        folder.mkdir(exist_ok=True)
        (folder / f"file {number}").write_bytes(os.urandom(2048 + number % 12 * 1024))
    results = {}
    for _ in range(ROUNDS):
        round_of(results)
    print(f"{FILES} files in 100 folders; medians of {ROUNDS}")
    print("\n| | first pass | files/s | NFS operations per file | pass without changes | operations in it |")
    print("|---|---|---|---|---|---|")
    for name, rounds in results.items():
        first = statistics.median(first[0] for first, _ in rounds)
        second = statistics.median(second[0] for _, second in rounds)
        per_file = statistics.median(sum(first[1].values()) / FILES for first, _ in rounds)
        idle = statistics.median(sum(second[1].values()) for _, second in rounds)
        print(f"| {name} | {first:.1f} s | {FILES / first:.0f} | {per_file:.1f} | {second:.1f} s | {idle:.0f} |")
    for name, rounds in results.items():
        first, second = rounds[-1]
        show = lambda counts: ", ".join(f"{op} {count}" for op, count in sorted(counts.items(), key=lambda pair: -pair[1]))
        print(f"\n{name}, first pass: {show(first[1])}\n{name}, pass without changes: {show(second[1])}")
        idle, program, system = first[2]
        print(f"{name}, first pass: the guest's processor idle for {idle:.1f} s, {program:.1f} s in the program, {system:.1f} s for it")


main()
