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
import re
import shutil
import subprocess
import sys
import time
import traceback

from office import BINARY, LOCAL, MOUNT, Failed, Office, await_that, count, fault, need, tree


@dataclasses.dataclass
class Fault:
    """How it is made and mended, and what `status` may say of it."""

    begin: str
    end: str
    states: tuple
    # A word that has to stand in the message or the hint.
    word: str


# How long an NFS client believes what it knows of a folder (s): acdirmin of nfs(5), which is its default.
ACDIRMIN_S = 30
HANG = ("unresponsive", "unreachable")
HANGS = ["stop-server", "cut", "stale", "swap", "umount"]
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
    if not error or lane["state"] not in kind.states:
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
    if name == "swap":
        let_the_client_forget()
    begun = time.monotonic()
    fault(FAULTS[name].end)
    office.await_safe()
    return f"safe {time.monotonic() - begun:.0f} s after it"


def let_the_client_forget():
    """Nobody changes a disk and changes it back within two seconds. A client that sees that believes for minutes that what it
    did not find is not there: the folder above looks as it did when it was asked for the first time."""
    time.sleep(ACDIRMIN_S + 5)


# ---- phases ----


def first(office, name):
    """The first copy is under way."""
    office.fill(800, size=40000)
    office.start()
    await_that("a file is on its way", lambda: count(office.arrived / ".driftline/staging"))
    fault(FAULTS[name].begin)
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    again = office.told().count("works again")
    need(again < 4, f"it was said {again} times that it works again, and it did not")
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
    # It needs more room than what the agent gives back when it stops.
    office.save("folder 1/file 1", os.urandom(300_000))
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


def large(office, name):
    """A large file is on its way."""
    office.fill(4)
    office.start()
    office.await_safe()
    # It takes eight seconds then: else it has arrived before the fault begins.
    fault("narrow")
    office.save("film", os.urandom(100_000_000))
    staging = office.arrived / ".driftline/staging"
    await_that("it is on its way", lambda: any(path.stat().st_size > 4_000_000 for path in files_in(staging)))
    fault(FAULTS[name].begin)
    need(not (office.arrived / "film").exists(), "it has arrived before the fault")
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    after = mended(office, name)
    office.need_history()
    return said, after


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def listing(office, name):
    """The index is lost, and the agent lists the target anew."""
    office.fill(600, folders=60)
    office.start()
    office.await_safe()
    office.stop()
    shutil.rmtree(office.state)
    office.state.mkdir()
    fault(FAULTS[name].begin)
    office.start()
    said = matter(office, FAULTS[name])
    second_is_complete(office)
    after = mended(office, name)
    office.need_history()
    return said, after


def restore(office, name):
    """A folder is restored from it."""
    office.fill(40)
    office.start()
    office.await_safe()
    fault(FAULTS[name].begin)
    back = LOCAL / "back"
    back.mkdir()
    command = [BINARY, "restore", "folder 3", "--from", "efs", "--to", back, "--config", office.config]
    with open(LOCAL / "restore.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        code = process.wait(15)
    except subprocess.TimeoutExpired:
        code = None
    office.status()
    said = "it waits" if code is None else "it is done" if code == 0 else f"it says why not: {last_error()}"
    need(code != 0 or whole(office, back), "it says that it is done, and it is not")
    nothing_beneath(name)
    if name == "swap":
        let_the_client_forget()
    begun = time.monotonic()
    fault(FAULTS[name].end)
    if code is None:
        need(process.wait(100) == 0, f"it fails after the fault: {last_error()}")
    elif code:
        # The client may believe for a minute that nothing is there.
        again = lambda: subprocess.run(command, capture_output=True, timeout=100).returncode == 0  # noqa: E731
        await_that("the same command succeeds", again)
    need(whole(office, back), "what it brought back is not what was there")
    office.await_safe()
    return said, f"all is back {time.monotonic() - begun:.0f} s after it"


def whole(office, back):
    """The folder is back, by itself or below its name."""
    wanted = tree(office.share / "folder 3")
    return any(tree(place) == wanted for place in (back, back / "folder 3") if place.is_dir())


def last_error():
    text = (LOCAL / "restore.log").read_text(errors="replace").strip().splitlines()
    return next((line for line in text if line.startswith("error")), text[-1] if text else "nothing")[:120]


def scan(office, name):
    """The share itself lies on the mount, and is scanned."""
    office.fill(600, folders=60)
    office.start()
    office.await_safe()
    fault(FAULTS[name].begin)
    office.save("folder 1/file 1", b"changed")

    def said():
        (share,) = office.status()["shares"]
        return share["state"] == "offline" and share["error"]

    why, took = await_that("the share is said to be away", said, 100)
    need(office.status()["verdict"] != "safe", "it says safe")
    need(count(office.second) - count(office.second / ".driftline") == 600, "something is missing on the target")
    begun = time.monotonic()
    fault(FAULTS[name].end)
    await_that("the change has arrived", lambda: tree(office.share) == tree(office.second), 200)
    return f"offline after {took:.0f} s: {why}", f"all is there {time.monotonic() - begun:.0f} s after it"


PHASES = [first, large, put, rename, listing, start, stop, restore, scan]
# Who only reads does not mind; and where nothing is left to do, nothing is refused.
READING = {"listing": HANGS, "scan": HANGS}
QUICK = ["put/cut", "first/stop-server", "stop/cut", "start/umount", "put/full", "rename/stale", "put/readonly"]


def names(which):
    cells = [(phase.__name__, name) for phase in PHASES for name in FAULTS]
    matrix = [f"{phase}/{name}" for phase, name in cells if name in READING.get(phase, FAULTS)]
    return QUICK if which == "quick" else matrix


def known_before(matrix):
    """Cells of a table that was written before: phase/fault -> text."""
    rows = [line.strip("| \n").split(" | ") for line in open(matrix) if line.startswith("| ")] if matrix else []
    phases = {phase.__doc__.strip("."): phase.__name__ for phase in PHASES}
    found = {}
    for fault_name, *cells in rows[1:]:
        for heading, cell in zip(rows[0], cells):
            found[f"{phases.get(heading)}/{fault_name}"] = cell
    return found


def table(outcomes, before=None):
    """The matrix from lines of `run`; what was not tried this time stays as it was found before."""
    found = known_before(before)
    untried = dict.fromkeys(names("all"), "not tried yet")
    for line in open(outcomes):
        verdict, _, rest = line.partition(" ")
        name, _, what = rest.partition(" ")
        # How long `status` took is told below, of all cells together.
        said = what.partition("): ")[2].strip().rpartition("; status")[0]
        found[name] = said.replace("; ", "<br>") if verdict == "PASS" else "**FAIL**"
    print("# What happens on an NFS mount\n")
    print("Generated by `tests/lab/scenarios.py table` from what the scenarios found when they were last tried; not to be edited. In")
    print("each cell: what `status` said and when, and when all was safe again after the fault had ended, by itself. A cell is")
    print("empty where there is nothing that the fault could disturb.\n")
    print("| | " + " | ".join(phase.__doc__.strip(".") for phase in PHASES) + " |")
    print("|---" * (len(PHASES) + 1) + "|")
    for name in FAULTS:
        cells = [f"{phase.__name__}/{name}" for phase in PHASES]
        print(f"| {name} | " + " | ".join(found.get(cell) or untried.get(cell, "") for cell in cells) + " |")
    print_answers(outcomes)


def print_answers(outcomes):
    """How long `status` took in the cells that were tried."""
    told = re.compile(r"; status (\d+) times, .*?, (\d+) over (\d+) ms, at most (\d+) ms")
    answers = [[int(part) for part in found.groups()] for line in open(outcomes) if (found := told.search(line))]
    if answers:
        times, late, aims, slowest = zip(*answers)
        print(f"\n`status` was asked {sum(times)} times in {len(answers)} of them, by a guest with one processor for it, the agent and the")
        print(f"server: {sum(late)} answers took longer than {aims[0]} ms, the slowest {max(slowest)} ms.")


def main():
    if sys.argv[1] == "table":
        table(*sys.argv[2:])
        return 0
    if sys.argv[1] == "list":
        print("\n".join(names(sys.argv[2])))
        return 0
    phase_name, fault_name = sys.argv[1].split("/")
    phase = next(phase for phase in PHASES if phase.__name__ == phase_name)
    office = Office(on_nas=True, of_share='rescan = "20s"') if phase is scan else Office()
    try:
        said, after = phase(office, fault_name)
        if phase is not scan:
            office.need_clean_staging()
        print(f"PASS {said}; {after}; {office.told_of_status()}")
        return 0
    except Failed as failed:
        print(f"FAIL {failed}")
    except Exception:  # the scenario itself is at fault
        print(f"FAIL {traceback.format_exc()}")
    print(office.told()[-4000:])
    print(office.ask("status")[1])
    return 1


if __name__ == "__main__":
    sys.exit(main())
