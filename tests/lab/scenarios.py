#!/usr/bin/env python3
"""What driftline promises on an NFS mount, tried on a real one, in a guest: one scenario for each call.

    scenarios.py list quick|all
    scenarios.py NAME              prints "PASS what happened" or "FAIL why"

The matrix is every phase of work with every fault. In each of them: `status` answers at once while the fault lasts and
says what is the matter since when; the other target is complete meanwhile; and after the fault, by itself, all is equal,
no file is there twice, and history holds what was replaced or deleted and nothing else.
"""

import dataclasses
import os
import sys
import time
import traceback

from office import MOUNT, Failed, Office, await_that, count, fault, need, tree


@dataclasses.dataclass
class Fault:
    """How it is made and mended, and what `status` may say of it."""

    begin: str
    end: str
    states: tuple
    # A word that has to stand in the message or the hint.
    word: str


HANG = ("unresponsive", "unreachable")
FAULTS = {
    "stop-server": Fault("stop-server", "start-server", HANG, "mount"),
    "cut": Fault("cut", "heal", HANG, "mount"),
    "stale": Fault("stale", "unstale", HANG, "mount"),
    "swap": Fault("swap", "swap-back", HANG, "mount"),
    "umount": Fault("umount", "remount", HANG, "mount"),
    "full": Fault("full", "unfull", ("resting",), "space"),
    "readonly": Fault("readonly", "readwrite", ("resting",), "written"),
    "deny": Fault("deny", "allow", ("resting",), "right"),
}


def matter(office, kind):
    """Waits until `status` says what is the matter, and since when."""

    def said():
        lane = office.lane("efs")
        error = lane["error"]
        if kind.begin == "deny" and lane["holds"]:
            return lane
        return lane["state"] in kind.states and error and error["since"] and lane

    try:
        lane, took = await_that(f"the target is said to be {kind.states}", said, 60)
    except Failed as failed:
        raise Failed(f"{failed}, but: {office.lane('efs')}") from None
    need(office.status()["verdict"] != "safe", "it says safe")
    error = lane["error"]
    if not error:
        return f"{lane['holds']} held after {took:.0f} s"
    need(kind.word in error["message"] + error["hint"], f"{kind.word!r} is not in {error}")
    return f"{lane['state']} after {took:.0f} s"


def second_is_complete(office):
    await_that("the other target is complete", lambda: tree(office.share) == tree(office.second), 60)


def nothing_beneath(name):
    if name == "umount":
        need(not os.listdir(MOUNT), f"something was written below the mount point: {os.listdir(MOUNT)}")
    if name == "swap":
        there = os.listdir("/run/lab/srv/fs/data")
        need(not there, f"something was written to another file system: {there}")


def mended(office, name):
    nothing_beneath(name)
    begun = time.monotonic()
    fault(FAULTS[name].end)
    office.await_safe()
    return f"safe {time.monotonic() - begun:.0f} s after it"


# ---- phases ----


def first(office, name):
    """The first copy is under way."""
    office.fill(800, size=40000)
    office.start()
    await_that("a file is on its way", lambda: count(office.arrived / ".driftline/staging"))
    fault(FAULTS[name].begin)
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    after = mended(office, name)
    office.need_history()
    return said, after


def put(office, name):
    """All is safe; a file is changed, and one is new."""
    office.fill(40)
    office.start()
    office.await_safe()
    fault(FAULTS[name].begin)
    office.save("folder 1/file 1", b"changed")
    office.save("folder 2/new")
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    after = mended(office, name)
    office.need_history("folder 1/file 1")
    return said, after


def rename(office, name):
    """All is safe; a folder is renamed, and a file is deleted."""
    office.fill(40)
    office.start()
    office.await_safe()
    fault(FAULTS[name].begin)
    (office.share / "folder 3").rename(office.share / "renamed")
    (office.share / "folder 4/file 4").unlink()
    # Neither needs room.
    office.save("folder 5/new")
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    after = mended(office, name)
    if name != "deny":
        # A rename that was refused is made by copies, and the old names are removed.
        office.need_history("folder 4/file 4")
    return said, after


def start(office, name):
    """The agent starts while the fault lasts; files were changed while it did not run."""
    office.fill(40)
    office.start()
    office.await_safe()
    office.stop()
    office.save("folder 1/file 1", b"changed")
    fault(FAULTS[name].begin)
    office.start()
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    after = mended(office, name)
    office.need_history("folder 1/file 1")
    return said, after


def stop(office, name):
    """The agent is stopped and started again while the fault lasts."""
    office.fill(40)
    office.start()
    office.await_safe()
    fault(FAULTS[name].begin)
    for number in range(20):
        office.save(f"folder {number % 3}/more {number}")
    matter(office, FAULTS[name])
    took = office.stop()
    need(office.status()["agent"]["state"] == "stopped", "it is said to run")
    office.start()
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    after = mended(office, name)
    office.need_history()
    return f"ended in {took:.0f} s, {said}", after


PHASES = [first, put, rename, start, stop]
QUICK = ["put/cut", "first/stop-server", "stop/cut", "start/umount", "put/full", "rename/stale", "put/readonly"]


def names(which):
    matrix = [f"{phase.__name__}/{name}" for phase in PHASES for name in FAULTS]
    # The server's file system cannot be made smaller while files pour into it.
    matrix.remove("first/full")
    return QUICK if which == "quick" else matrix


def table(outcomes):
    """The matrix from lines of `run`."""
    found = {}
    for line in open(outcomes):
        verdict, _, rest = line.partition(" ")
        name, _, what = rest.partition(" ")
        # What `status` took says more of the guest than of driftline.
        said = what.partition("): ")[2].strip().rpartition("; status")[0]
        found[name] = said.replace("; ", "<br>") if verdict == "PASS" else "**FAIL**"
    print("# What happens on an NFS mount\n")
    print("Generated by `tests/lab/scenarios.py table` from what the scenarios found; not to be edited. In each cell: what `status`")
    print("said and when, and when all was safe again after the fault had ended, by itself.\n")
    print("| | " + " | ".join(phase.__doc__.strip(".") for phase in PHASES) + " |")
    print("|---" * (len(PHASES) + 1) + "|")
    for name in FAULTS:
        print(f"| {name} | " + " | ".join(found.get(f"{phase.__name__}/{name}", "") for phase in PHASES) + " |")


def main():
    if sys.argv[1] == "table":
        table(sys.argv[2])
        return 0
    if sys.argv[1] == "list":
        print("\n".join(names(sys.argv[2])))
        return 0
    phase_name, fault_name = sys.argv[1].split("/")
    phase = next(phase for phase in PHASES if phase.__name__ == phase_name)
    office = Office()
    try:
        said, after = phase(office, fault_name)
        office.need_clean_staging()
        print(f"PASS {said}; {after}; status within {office.slowest * 1000:.0f} ms")
        return 0
    except Failed as failed:
        print(f"FAIL {failed}")
    except Exception:  # the scenario itself is at fault
        print(f"FAIL {traceback.format_exc()}")
    print(office.told()[-4000:])
    return 1


if __name__ == "__main__":
    sys.exit(main())
