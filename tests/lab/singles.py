#!/usr/bin/env python3
"""What the matrix does not show of an NFS mount, in a guest: one scenario for each call.

    singles.py list quick|all
    singles.py NAME                prints "PASS what happened" or "FAIL why"
"""

import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import time
import traceback

from office import BINARY, LOCAL, MOUNT, Failed, Office, await_that, count, fault, need, operations, tree


def settled(**how):
    """An office in which all is safe."""
    office = Office(**how)
    office.fill(40)
    office.start()
    office.await_safe()
    return office


# ---- others who write to the same export: they work on the server's side ----


def meddle(office):
    """What another machine does: it edits, renames, deletes, adds and holds open. Returns what is its own."""
    theirs = {"folder 1/file 1": b"their edit", "their name": None, "folder 3/theirs": b"their own"}
    (office.arrived / "folder 1/file 1").write_bytes(b"their edit")
    (office.arrived / "folder 2/file 2").rename(office.arrived / "their name")
    (office.arrived / "folder 4/file 4").unlink()
    (office.arrived / "folder 3/theirs").write_bytes(b"their own")
    theirs["their name"] = (office.arrived / "their name").read_bytes()
    return theirs


def need_untouched(office, theirs):
    for name, body in theirs.items():
        need((office.arrived / name).read_bytes() == body, f"{name}, which another machine left, was changed")


def drift_keep():
    """Foreign changes are found by an audit, kept, and told with who and when."""
    office = settled(efs='audit = "3s"\ndrift = "keep"')
    theirs = meddle(office)
    held = open(office.arrived / "folder 5/file 5", "ab")
    _, took = await_that("the foreign edit is held", lambda: office.lane("efs")["holds"], 60)
    await_that("what was deleted is there again", lambda: (office.arrived / "folder 4/file 4").exists(), 60)
    await_that("what was renamed away is there again", lambda: (office.arrived / "folder 2/file 2").exists(), 60)
    office.save("folder 1/file 1", b"our edit")
    office.save("folder 5/file 5", b"our edit of what they hold open")
    await_that("the other target has it", lambda: tree(office.share) == tree(office.second), 60)
    await_that("ours is put", lambda: (office.arrived / "folder 5/file 5").read_bytes().startswith(b"our edit"), 60)
    held.write(b"their late words")
    held.close()
    need_untouched(office, theirs)
    kept = b"".join(path.read_bytes() for path in (office.arrived / ".driftline/history/folder 5/file 5").iterdir())
    need(kept.endswith(b"their late words"), "what was written into a file that was held open is lost")
    code, said = office.ask("problems")
    need(code == 1 and "folder 1/file 1" in said, f"`problems` does not name it: {said}")
    code, explained = office.ask("explain", "folder 1/file 1")
    return f"the edit held {took:.0f} s after it, the rest healed; `problems`: {told(said, 'folder 1/file 1')}", explained


def told(said, name):
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    at = next((at for at, line in enumerate(lines) if name in line), 0)
    return " / ".join(lines[at : at + 3])


def drift_overwrite():
    """Foreign changes give way, into history."""
    office = settled(efs='audit = "3s"\ndrift = "overwrite"')
    theirs = meddle(office)
    _, took = await_that("ours is there again", lambda: difference_of(office) == [], 60)
    history = office.arrived / ".driftline/history/folder 1/file 1"
    kept = [path.read_bytes() for path in history.iterdir()]
    need(kept == [b"their edit"], f"history holds {kept} instead of what they wrote")
    need_untouched(office, {name: theirs[name] for name in ("their name", "folder 3/theirs")})
    return f"ours was back {took:.0f} s after it, and theirs is in history", ""


def difference_of(office):
    wanted, found = tree(office.share), tree(office.arrived)
    return [name for name in wanted if wanted[name] != found.get(name)]


# ---- a share on a file server ----


def nas():
    """The share lies on the mount: another machine's changes are found by polling, and it is said how late."""
    office = Office(on_nas=True)
    office.fill(400, folders=40)
    office.start()
    office.await_safe()
    (share,) = office.status()["shares"]
    need(share["watch"]["mode"] == "poll", f"it is not said to be polled: {share['watch']}")
    late = {}
    deeds = {
        "a new file": lambda: office.save("folder 7/new"),
        "another file put in place": lambda: replace(office, "folder 8/file 8"),
        "an edit in place, as long as before": lambda: edit(office, "folder 9/file 9"),
        "a rename": lambda: (office.share / "folder 10").rename(office.share / "renamed"),
        "a deletion": lambda: (office.share / "folder 11/file 11").unlink(),
    }
    for what, deed in deeds.items():
        deed()
        _, late[what] = await_that(f"{what} has arrived", lambda: tree(office.share) == tree(office.second), 150)
    before, begun = operations(), time.monotonic()
    time.sleep(70)
    spent, took = spent_since(before), time.monotonic() - begun
    total = sum(spent.values())
    seen = ", ".join(f"{what} after {seconds:.0f} s" for what, seconds in late.items())
    most = ", ".join(f"{name} {count}" for name, count in sorted(spent.items(), key=lambda pair: -pair[1])[:4])
    return f"{seen}; idle for {took:.0f} s: {total} operations ({most}) for 400 files in 40 folders", office.ask("status")[1]


def nas_edit():
    """What another machine changes inside a file, which moves neither its folder nor its length, is found by a scan."""
    office = Office(on_nas=True, of_share='rescan = "5s"')
    office.fill(40)
    office.start()
    office.await_safe()
    edit(office, "folder 9/file 9")
    _, took = await_that("it has arrived", lambda: tree(office.share) == tree(office.second), 90)
    return f"an edit in place was found {took:.0f} s after it", ""


def replace(office, name):
    draft = office.share / "draft"
    draft.write_bytes(b"another")
    draft.rename(office.share / name)


def edit(office, name):
    path = office.share / name
    with open(path, "r+b") as file:
        file.write(b"EDITED")


def spent_since(before):
    now = operations()
    return {name: now[name] - before.get(name, 0) for name in now if now[name] != before.get(name, 0)}


# ---- errors ----


def quota():
    """EDQUOT: the agent's user may have no more; all goes on once it may."""
    user = 1000
    office = settled(user=user)
    fault("quota", str(user), "2048")
    for number in range(30):
        office.save(f"folder 1/more {number}", os.urandom(200_000))

    def said():
        lane = office.lane("efs")
        return lane["state"] == "resting" and lane["error"]

    error, took = await_that("the target rests", said, 60)
    need("quota" in error["hint"], f"the quota is not in {error}")
    await_that("the other target is complete", lambda: tree(office.share) == tree(office.second), 60)
    fault("unquota", str(user))
    begun = time.monotonic()
    office.await_safe()
    office.need_history()
    return f"resting after {took:.0f} s: {error['message']}; safe {time.monotonic() - begun:.0f} s after it", ""


def again():
    """The server's answers are lost while changes are made, again and again: what was made already is known as ours."""
    office = settled()
    for turn in range(6):
        for number in range(12):
            office.save(f"folder {number % 4}/file {number}")
            office.save(f"turn {turn}/new {number}")
        (office.share / f"turn {turn}").rename(office.share / f"turned {turn}")
        time.sleep(0.5)
        # A server that begins anew has forgotten which requests it has answered.
        fault("deaf")
        time.sleep(0.4)
        fault("stop-server")
        fault("heal")
        fault("start-server")
    office.await_safe()
    need(office.lane("efs")["holds"] == 0, "something is held")
    for path, found in office.versions().items():
        need(len(found) == len(set(found)), f"{path} has a version twice in history")
    return "72 replacements, 72 new files and 6 renames through 6 lost conversations; nothing held, nothing twice", ""


def names():
    """A target that does not take every name: what is said of each is done, and all is there."""
    # With this set of characters two spellings are two names to whoever looks, and one to whoever makes the second.
    office, place, hints = on_vfat("utf8")
    for name in ("plan.txt", "Plan.txt", "offer: final.txt", "old: drafts/2024/first"):
        office.save(name)
    office.start()
    found, _ = await_that("they are held", lambda: len(hints()) == 5 and hints(), 60)
    twin = next((name for name in ("plan.txt", "Plan.txt") if name in found), "no twin")
    refused = "rename it on the share: the target does not take this name"
    wanted = {"offer: final.txt": refused, twin: TWINS, "old: drafts": refused}
    wanted["old: drafts/2024"] = "see `driftline explain old: drafts`"
    wanted["old: drafts/2024/first"] = "see `driftline explain old: drafts/2024`"
    # Long enough for whatever would be tried again all the same.
    time.sleep(3)
    need(found == hints() == wanted, f"of the names it is said: {found}, and then: {hints()}")
    (office.share / "offer: final.txt").rename(office.share / "offer, final.txt")
    (office.share / "old: drafts").rename(office.share / "old drafts")
    (office.share / twin).rename(office.share / "plan (2).txt")
    _, took = await_that("all are there", lambda: is_all_there(office, place), 90)
    return f"a colon and a second spelling were told with what to do, and all was there {took:.0f} s after that was done", ""


TWINS = "rename one of the two, or remove the one that is not wanted"


def twins():
    """A target for which capital letters are small ones: nobody's copy gives way to another's, and what can be there is."""
    office, place, hints = on_vfat("iso8859-1")

    def need_held(what, *paths, hint=TWINS):
        found, _ = await_that(what, lambda: sorted(hints()) == sorted(paths) and hints(), 60)
        need(found[paths[0]] == hint, f"{what}: {found}")
        # Long enough for whatever would be done about it all the same.
        time.sleep(3)
        need(sorted(hints()) == sorted(paths), f"{what}, and then: {hints()}")
        need(office.status()["verdict"] == "attention", f"{what}: {office.status()['verdict']}")

    def need_there(what, files):
        wanted = {name: hashlib.sha1(body).hexdigest() for name, body in files.items()}
        found = {path: body for path, body in bodies(place).items() if body}
        need(found == wanted, f"{what}: {found} instead of {wanted}")

    def rename(old, new):
        (office.share / old).rename(office.share / new)

    def settle(what):
        await_that(what, lambda: is_all_there(office, place), 60)

    office.save("Plan.txt", b"the first")
    office.start()
    settle("the first is there")
    _, said = office.ask("check")
    need("use a file system that tells them apart, or rename one of them" in said, f"check says: {said}")

    office.save("plan.txt", b"the other")
    need_held("the second is held", "plan.txt")
    _, said = office.ask("explain", "plan.txt")
    need("Plan.txt lies there, and its file system takes both for one name" in said, f"of the second is said: {said}")
    office.save("Plan.txt", b"the first, edited")
    await_that("the first is edited", lambda: (place / "Plan.txt").read_bytes() == b"the first, edited", 60)
    office.save("plan.txt", b"the other, edited")
    need_held("the second is edited", "plan.txt")
    need_there("both are edited", {"Plan.txt": b"the first, edited"})
    office.stop()
    office.start()
    need_held("it begins anew", "plan.txt")
    need_there("it begins anew", {"Plan.txt": b"the first, edited"})
    rename("Plan.txt", "the first.txt")
    settle("the first is renamed")

    body = b"the other, edited"
    office.save("PLAN.txt", body)
    need_held("one that holds the same", "PLAN.txt")
    (office.share / "PLAN.txt").unlink()
    settle("what was held is removed")
    need_there("what was held is removed", {"the first.txt": b"the first, edited", "plan.txt": body})
    office.save("PLAN.txt", body)
    need_held("one that holds the same again", "PLAN.txt")
    (office.share / "plan.txt").unlink()
    settle("what was there is removed")
    rename("PLAN.txt", "Plan.txt")
    settle("only its letters are others")

    office.save("Ring/a", b"a")
    settle("a folder")
    office.save("ring/a", b"a")
    office.save("ring/b", b"b")
    need_held("a folder in other letters", "ring", "ring/a", "ring/b")
    need(sorted(os.listdir(place / "Ring")) == ["a"], f"in Ring lies {os.listdir(place / 'Ring')}")
    rename("Ring", "RING")
    need_held("the other folder is renamed", "ring", "ring/a", "ring/b")
    need("RING" in os.listdir(place), f"there lies {os.listdir(place)}")
    office.save(".Driftline/identity", b"no identity")
    need_held("a folder like ours", ".Driftline", ".Driftline/identity", "ring", "ring/a", "ring/b")
    rename(".Driftline", "driftline")
    rename("ring", "ring 2")
    settle("all are apart")
    office.stop()
    office.start()
    settle("it begins anew when all are apart")
    kept = [path.read_bytes() for path in (place / ".driftline/history").rglob("*") if path.is_file()]
    need(sorted(kept) == sorted([b"the first", body]), f"history has {kept}")
    return "of two spellings one was held, whatever was done to either, and went there by itself once it could", ""


def on_vfat(charset):
    """An office whose disk is a vfat, that disk, and what asks of which of its paths which hint is given."""
    subprocess.run(["modprobe", "brd", "rd_nr=1", "rd_size=65536"], check=True)
    subprocess.run(["modprobe", "-a", "vfat", "nls_cp437", "nls_utf8", "nls_iso8859-1"], check=True)
    subprocess.run(["mkfs.vfat", "-F", "32", "/dev/ram0"], check=True, stdout=subprocess.DEVNULL)
    place = LOCAL / "second"
    place.mkdir()
    subprocess.run(["mount", "-t", "vfat", "-o", f"utf8,iocharset={charset}", "/dev/ram0", place], check=True)
    office = Office()

    def hints():
        problems = json.loads(office.ask("problems", "--json")[1])
        return {each["path"]: each["hint"] for each in problems if each["target"] == "disk" and each["path"]}

    return office, place, hints


def is_all_there(office, place):
    lane = office.lane("disk")
    return lane["holds"] == lane["pending"] == 0 and bodies(place) == bodies(office.share)


def bodies(root):
    return {path: found[1] for path, found in tree(root).items()}


# ---- a hang, from outside ----


def hang():
    """`status` and the other target while the mount hangs, beside the same without a hang."""
    office = settled()

    def work(number):
        begun = time.monotonic()
        office.fill(600, folders=20, size=4000 + number)
        await_that("the other target has it", lambda: tree(office.share) == tree(office.second), 120)
        return time.monotonic() - begun

    def ask():
        return statistics.median(office.time_of_status() for _ in range(7))

    usual, usual_work = ask(), work(1)
    office.await_safe()
    fault("cut")
    office.save("folder 1/file 1", b"changed")
    await_that("unresponsive is said", lambda: office.lane("efs")["state"] == "unresponsive", 60)
    hung, hung_work = ask(), work(2)
    fault("heal")
    office.await_safe()
    need(hung < usual + 0.3, f"`status` takes {hung:.2f} s while it hangs, and {usual:.2f} s else")
    # The other target has the machine for itself then.
    need(hung_work < usual_work * 1.5, f"the other target takes {hung_work:.1f} s while it hangs, and {usual_work:.1f} s else")
    return (
        f"status in {hung * 1000:.0f} ms ({usual * 1000:.0f} ms without a hang); 600 files on the other target in"
        f" {hung_work:.1f} s ({usual_work:.1f} s without)",
        "",
    )


def hang_cloud():
    """A bucket beside a mount that hangs: it is served as fast as without, also by an agent that is stopped and started."""
    office = Office()
    server = a_bucket()
    with open(office.config, "a") as config:
        config.write(
            f'\n[[share.target]]\nname = "cloud"\nurl = "s3://office/projects"\nregion = "us-east-1"\nendpoint = "http://{server}"\n'
        )
    office.fill(40)
    office.start()
    office.await_safe()

    def work(number):
        files = 150
        begun = time.monotonic()
        want = office.lane("disk")["files"]
        for each in range(files):
            office.save(f"work {number}/file {each}")
        await_that("the other directory has it", lambda: tree(office.share) == tree(office.second), 120)

        def all_there():
            cloud, disk = office.lane("cloud"), office.lane("disk")
            need(cloud["state"] == "ok", f"the bucket is said to be {cloud['state']}: {cloud['error']}")
            return cloud["pending"] == 0 and cloud["files"] == disk["files"] == want + files

        await_that("the bucket has it", all_there, 120)
        return time.monotonic() - begun

    usual = work(1)
    office.await_safe()
    fault("cut")
    office.save("folder 1/file 1", b"changed")
    await_that("unresponsive is said", lambda: office.lane("efs")["state"] == "unresponsive", 60)
    hung = work(2)
    stopped = office.stop()
    office.start()
    again = work(3)
    # The work may have been done before a call was given up on.
    await_that("unresponsive is said again", lambda: office.lane("efs")["state"] == "unresponsive", 60)
    fault("heal")
    begun = time.monotonic()
    office.await_safe()
    office.need_history("folder 1/file 1")
    need(hung < usual * 1.5, f"150 files take {hung:.1f} s while the mount hangs, and {usual:.1f} s without")
    return (
        f"150 files in the bucket in {hung:.1f} s while the mount hung ({usual:.1f} s without); the agent ended in {stopped:.0f} s,"
        f" and the next one needed {again:.1f} s; safe {time.monotonic() - begun:.0f} s after it",
        "",
    )


def a_bucket():
    """An S3 server in this guest with the bucket "office"; its address."""
    place, program = LOCAL / "s3", os.environ["DRIFTLINE_WEED"]
    place.mkdir()
    # In a guest it now and then ends without a word: a bucket's server may, and is there again.
    os.environ |= {"S3_SERVER_IDLE": "10000", "S3_SERVER_RESTARTS": "20"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "driftline", "AWS_SECRET_ACCESS_KEY": "driftline-secret"}
    started = subprocess.run([os.environ["S3_SERVER"], "start", "seaweedfs", place], capture_output=True, text=True)
    need(started.returncode == 0, f"no S3 server: {started.stderr}")
    _, master, grpc, _, _, filer, filer_grpc, *_ = (place / "seaweedfs/ports").read_text().split()
    shell = [program, "shell", f"-master=127.0.0.1:{master}.{grpc}", f"-filer=127.0.0.1:{filer}.{filer_grpc}"]
    made = subprocess.run(shell, input="s3.bucket.create -name office\n", capture_output=True, text=True, timeout=120)
    need(made.returncode == 0, f"no bucket: {made.stderr}")
    return started.stdout.strip()


def hang_long():
    """The line is cut for ten minutes while a first copy is under way."""
    office = Office()
    office.fill(800, size=40000)
    office.start()
    await_that("a file is on its way", lambda: count(office.arrived / ".driftline/staging"))
    fault("cut")
    begun = time.monotonic()
    await_that("unresponsive is said", lambda: office.lane("efs")["state"] == "unresponsive", 60)
    since = office.lane("efs")["error"]["since"]
    turn = 0
    while time.monotonic() - begun < 600:
        turn += 1
        office.save(f"meanwhile/{turn}")
        await_that("the other target has it", lambda: tree(office.share) == tree(office.second), 60)
        lane = office.lane("efs")
        need(lane["state"] == "unresponsive" and lane["error"]["since"] == since, f"after {turn} turns it is said: {lane}")
        need(office.status()["verdict"] != "safe", "it says safe")
        need(office.agent.poll() is None, "the agent has ended")
        time.sleep(30)
    lasted = time.monotonic() - begun
    fault("heal")
    begun = time.monotonic()
    office.await_safe()
    office.need_history()
    office.need_clean_staging()
    return (
        f"unresponsive for {lasted:.0f} s, since one and the same moment, and the other target served {turn} times;"
        f" safe {time.monotonic() - begun:.0f} s after it; {office.told_of_status()}",
        "",
    )


# ---- check ----


def check():
    """`check` names what is wrong with a mount, and how to mend it."""
    office = settled()
    code, fine = office.ask("check")
    need(code == 0, f"a mount as it should be has a problem: {fine}")
    need("NFS 4.1" in fine, f"the version is not told: {fine}")
    fault("deny")
    code, said = office.ask("check")
    need(code == 1 and "no_root_squash" in said, f"root squash is not told: {said}")
    fault("allow")
    slow = "small files will be slow: see whether the line to it is loaded or long"
    fault("far")
    code, said = office.ask("check")
    need(slow in said, f"a long line is not told: {said}")
    fault("heal")
    code, said = office.ask("check")
    need(slow not in said, f"a line that is short again is told as long: {said}")
    office.stop()
    fault("mount-as", "nfsvers=4.1,soft,timeo=50,retrans=1,rsize=65536,wsize=65536")
    code, said = office.ask("check")
    for word in ("soft", "wsize"):
        need(re.search(rf"\b{word}\b", said), f"{word} is not told: {said}")
    fault("mount-as", "nfsvers=4.1,hard,timeo=600,retrans=2,nolock,sync,noac,noresvport")
    refused = subprocess.run(
        [BINARY, "init", "--share", office.share, "--target", LOCAL / "third", "--state-dir", MOUNT / "state"]
        + ["--config", LOCAL / "third.toml"], capture_output=True, text=True
    )
    need("name a folder on a disk of this machine with --state-dir" in refused.stderr, f"a state folder there: {refused}")
    (LOCAL / "third").mkdir()
    done = subprocess.run(
        [BINARY, "init", "--no-service", "--share", office.share, "--target", LOCAL / "third"]
        + ["--state-dir", LOCAL / "third state", "--config", LOCAL / "third.toml"], capture_output=True, text=True
    )
    need(done.returncode == 0, f"with another state folder: {done}")
    return "fine as it should be; root squash, a long line, soft and small requests are told with what to do", fine + said


NAMES = [drift_keep, drift_overwrite, nas, nas_edit, quota, names, twins, again, hang, hang_cloud, hang_long, check]
QUICK = [drift_keep, nas_edit, check]


def name_of(single):
    return single.__name__.replace("_", "-")


def main():
    if sys.argv[1] == "list":
        print("\n".join(name_of(single) for single in (QUICK if sys.argv[2] == "quick" else NAMES)))
        return 0
    single = next(single for single in NAMES if name_of(single) == sys.argv[1])
    try:
        said, more = single()
        print(more)
        print(f"PASS {said}")
        return 0
    except Failed as failed:
        print(f"FAIL {failed}")
    except Exception:  # the scenario itself is at fault
        print(f"FAIL {traceback.format_exc()}")
    log = Office.log
    print(log.read_text(errors="replace")[-4000:] if log.exists() else "")
    return 1


if __name__ == "__main__":
    sys.exit(main())
