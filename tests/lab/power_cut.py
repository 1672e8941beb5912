#!/usr/bin/env python3
"""Work until the power is cut, and what must be true after it, in a guest whose two disks are kept from cut to cut.

    power_cut.py work SECONDS      looks at what the last cut left, then works until the power goes
    power_cut.py end               looks, lets the agent finish, and prints "PASS what happened" or "FAIL why"

Agent and server lose their power at the same instant. What SAFE was said for must be on the server at once, before any
agent runs; then the agent, without help, brings about that all is equal, and no version is in history twice.
"""

import hashlib
import itertools
import json
import os
import random
import subprocess
import sys
import time

from office import LOCAL, Failed, Office, await_that, digest, need

# What the server must have from now on: name -> digest; made durable before it is relied on.
SAID = LOCAL / "said.json"
FILES, FOLDERS = 120, 6
EMPTY = hashlib.sha1(b"").hexdigest()


def note(said):
    draft = SAID.with_suffix(".draft")
    with open(draft, "w") as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(SAID)
    subprocess.run(["sync", "-f", LOCAL], check=True)


def look(office):
    """What was called safe is on the server, or in history there if it was replaced since."""
    said = json.loads(SAID.read_text()) if SAID.exists() else {"files": {}, "rounds": 0}
    # By its bytes: its folder may have been renamed since.
    there = {digest(path) for path in office.arrived.rglob("*") if path.is_file()}
    for name, wanted in said["files"].items():
        need(wanted in there, f"{name} was called safe, and after the cut it is not there")
    return said


def throw_away_blanks(office):
    """A cut may leave a file that was saved and never flushed with its length and times and no bytes. Nothing but reading
    all files tells that; the targets have what was saved. Somebody finds it, and throws it away."""
    for path in office.share.rglob("*"):
        if path.is_file() and path.stat().st_size and not path.read_bytes().strip(b"\0"):
            path.unlink()
            flush(path.parent)


def finish(office):
    """By itself, without a repair."""
    throw_away_blanks(office)
    office.start()
    office.await_safe()
    need(office.lane("efs")["holds"] == 0, "something is held")
    office.need_clean_staging()
    for name, found in office.versions().items():
        place = office.arrived / name
        # A cut between the two halves of a change leaves the old version under both names: one file, no duplicate.
        if place.is_file() and place.stat().st_nlink == 1:
            found.append(digest(place))
        # Of what was saved and never flushed the cut may bring back the version before, which then lies there twice, but
        # with the lost one between.
        # And a cut leaves such files empty, any number of them: nobody saves an empty one here.
        twice = any(one == other != EMPTY for one, other in itertools.pairwise(found))
        need(not twice, f"{name} has a version twice in a row: {found}")


def flush(path):
    place = os.open(path, os.O_RDONLY)
    os.fsync(place)
    os.close(place)


def change(office, number):
    """Never the same bytes twice, so that a version which is there twice is seen."""
    name = f"folder {number % FOLDERS}/file {number}"
    what = random.random()
    if what < 0.1 and (office.share / name).exists():
        (office.share / name).unlink()
        # A file that the cut brings back after it was deleted would be there twice in a row, and rightly so.
        flush(office.share / name.split("/")[0])
    elif what < 0.13:
        old, new = office.share / f"folder {number % FOLDERS}", office.share / f"renamed {random.randrange(10**9)}"
        if old.exists():
            old.rename(new)
    else:
        office.save(name, os.urandom(random.choice([300, 5000, 60000])))
        # Some programs flush what they save, and most do not.
        if random.random() < 0.5:
            flush(office.share / name)


def work(office, said):
    while True:
        for _ in range(random.randrange(1, 30)):
            change(office, random.randrange(FILES))
            time.sleep(random.random() * 0.02)
        if random.random() < 0.5:
            # Of a moment after the last change: SAFE has a date.
            now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            await_that("SAFE", lambda: office.is_safe() and office.lane("efs")["protected_as_of"][:19] > now)
            files = [path for path in office.share.rglob("*") if path.is_file()]
            note({"files": {str(path.relative_to(office.share)): digest(path) for path in files}, "rounds": said["rounds"]})


def main():
    office = Office()
    try:
        said = look(office)
        finish(office)
        if sys.argv[1] == "end":
            history = sum(len(found) for found in office.versions().values())
            print(f"PASS {said['rounds']} cuts; {len(said['files'])} files called safe last, {history} versions kept, none twice")
            return 0
        said["rounds"] += 1
        note(said)
        # The lab cuts the power by this clock, so that no cut falls into the looking above.
        subprocess.Popen(["sh", "-c", f"sleep {float(sys.argv[2])}; fault power-cut"])
        work(office, said)
    except Failed as failed:
        print(f"FAIL {failed}")
        print(office.told()[-4000:])
    return 1


if __name__ == "__main__":
    sys.exit(main())
