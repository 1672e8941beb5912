"""An office in a guest: a share on a local disk, a target on the NFS mount, another on a disk, and the real agent.

Nothing here looks at the mount, which may hang: what arrived is read on the server's side.
"""

import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import stat
import statistics
import subprocess
import time

LOCAL = pathlib.Path("/mnt/local")
MOUNT = pathlib.Path("/mnt/efs")
SERVER = pathlib.Path("/run/lab/srv/fs/data")
BINARY = os.environ.get("DRIFTLINE_BIN", "driftline")

# How long an agent is given for what it has to do by itself (s): its longest rest is a minute.
PATIENCE = 150
# What `status` is given (s). Elsewhere it answers within 0.3 s: in a guest a system call takes fifty times as long, the
# program is not optimised, and there is one processor for all. What matters here is that it waits for nothing that hangs,
# and no fault ends before it has answered. `singles.py hang` times it.
STATUS_MAX = 15
# What it is to take, of an optimised program on a machine of its own (s): how often it took longer is told.
STATUS_AIM = 0.3
# As the service runs.
NICE = ("nice", "-n", "10")
# TimeoutStopSec= of the service (s).
STOP_MAX = 30


class Failed(Exception):
    """A promise that was not kept."""


def need(truth, what):
    if not truth:
        raise Failed(what)


def fault(*words):
    """Breaks or mends something; never waits for the mount."""
    done = subprocess.run(["fault", *words], capture_output=True, text=True, timeout=60)
    need(done.returncode == 0, f"the lab cannot {' '.join(words)}: {done.stderr.strip()}")


def await_that(what, holds, patience=PATIENCE):
    """Returns what `holds` returned once it is true; and the seconds that it took."""
    begun = time.monotonic()
    while True:
        found = holds()
        took = time.monotonic() - begun
        if found:
            return found, took
        if took > patience:
            raise Failed(f"not within {patience} s: {what}")
        time.sleep(0.1)


def count(root):
    """Files below."""
    return sum(len(files) for _, _, files in os.walk(root))


def tree(root):
    """Every path below but .driftline, with all that a copy has to have."""
    found = {}
    for folder, folders, files in os.walk(root):
        if ".driftline" in folders:
            folders.remove(".driftline")
        for name in folders + files:
            path = pathlib.Path(folder, name)
            try:
                st = path.lstat()
                is_file = stat.S_ISREG(st.st_mode)
                body = digest(path) if is_file else ""
            except FileNotFoundError:
                continue
            found[str(path.relative_to(root))] = (stat.filemode(st.st_mode), body, st.st_mtime_ns if is_file else 0)
    return found


def operations():
    """NFS operations of the mount, as the kernel counts them: name -> how many were sent."""
    lines = iter(open("/proc/self/mountstats"))
    for line in lines:
        if f"mounted on {MOUNT} " in line:
            break
    for line in lines:
        if line.strip() == "per-op statistics":
            break
    counts = {}
    for line in lines:
        name, _, numbers = line.strip().partition(": ")
        if not numbers:
            break
        counts[name] = int(numbers.split()[0])
    return counts


def digest(path):
    return hashlib.sha1(path.read_bytes()).hexdigest()


def difference(wanted, found):
    missing = [f"missing {path}" for path in wanted if path not in found]
    more = [f"extra {path}" for path in found if path not in wanted]
    other = [
        f"other {path} ({found[path]}, and not {wanted[path]})" for path in wanted if path in found and wanted[path] != found[path]
    ]
    return (missing + more + other)[:5]


def processor():
    """What the programs that have ended used of the processor (s)."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Office:
    """`on_nas`: the share itself lies on the mount, and people work on the server's side of it; its one target is the disk.
    `efs` and `of_share` are further lines of the configuration; `user` runs the agent, and owns what is there."""

    config, log = LOCAL / "config.toml", LOCAL / "agent.log"

    def __init__(self, on_nas=False, efs="", of_share="", user=0):
        self.second, self.state = LOCAL / "second", LOCAL / "state"
        self.target, self.arrived = MOUNT / "office", SERVER / "office"
        self.share = SERVER / "share" if on_nas else LOCAL / "share"
        self.places = [self.second] if on_nas else [self.arrived, self.second]
        # Not through the mount, which may not be there yet.
        for folder in (self.share, self.state, *self.places):
            folder.mkdir(exist_ok=True)
            os.chown(folder, user, user)
        self.user = user
        share = MOUNT / "share" if on_nas else self.share
        text = f'[agent]\nname = "lab"\nstate_dir = "{self.state}"\n\n[[share]]\nname = "office"\npath = "{share}"\n'
        text += f'settle = "100ms"\n{of_share}\n\n[[share.target]]\nname = "disk"\npath = "{self.second}"\n'
        if not on_nas:
            text += f'\n[[share.target]]\nname = "efs"\npath = "{self.target}"\n{efs}\n'
        self.config.write_text(text)
        self.agent = None
        self.answers = []

    # ---- what people do ----

    def save(self, name, body=None):
        path = self.share / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body if body is not None else os.urandom(4096))
        for made in (path, path.parent) if self.user else ():
            os.chown(made, self.user, self.user)

    def fill(self, files, folders=10, size=8192):
        for number in range(files):
            self.save(f"folder {number % folders}/file {number}", os.urandom(size))

    # ---- the agent ----

    def start(self):
        log = open(self.log, "ab")
        self.agent = subprocess.Popen([*self.as_user(), *NICE, BINARY, "run", "--config", self.config], stdout=log, stderr=log)

    def as_user(self):
        return ["setpriv", "--reuid", str(self.user), "--regid", str(self.user), "--clear-groups"] if self.user else []

    def ask(self, *words, patience=60):
        """What another command of driftline says, and its code."""
        command = [*self.as_user(), BINARY, *words, "--config", self.config]
        said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=patience)
        return said.returncode, said.stdout

    def stop(self):
        """Seconds that it took to end after SIGTERM."""
        begun = time.monotonic()
        self.agent.send_signal(signal.SIGTERM)
        try:
            code = self.agent.wait(STOP_MAX)
        except subprocess.TimeoutExpired:
            raise Failed(f"it does not end within {STOP_MAX} s") from None
        need(code == 0, f"it ends with {code}")
        self.agent = None
        return time.monotonic() - begun

    def status(self):
        """What is said, within the time for it."""
        begun, used = time.monotonic(), processor()
        try:
            command = [BINARY, "status", "--json", "--config", self.config]
            said = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except subprocess.TimeoutExpired:
            raise Failed("`status` does not answer") from None
        spent = time.monotonic() - begun
        self.answers.append((spent, processor() - used))
        need(spent <= STATUS_MAX, f"`status` takes {spent:.2f} s")
        need(said.stdout, f"`status` says nothing: {said.stderr.strip()}")
        return json.loads(said.stdout)

    def told_of_status(self):
        """How long it took, for people."""
        slowest, used = max(self.answers)
        median = statistics.median(spent for spent, _ in self.answers)
        late = sum(spent > STATUS_AIM for spent, _ in self.answers)
        return (
            f"status {len(self.answers)} times, {median * 1000:.0f} ms at the median, {late} over {STATUS_AIM * 1000:.0f} ms, "
            f"at most {slowest * 1000:.0f} ms ({used * 1000:.0f} ms of them on the processor)"
        )

    def time_of_status(self):
        begun = time.monotonic()
        self.ask("status")
        return time.monotonic() - begun

    def lane(self, name):
        (share,) = self.status()["shares"]
        return next(target for target in share["targets"] if target["name"] == name)

    def is_safe(self):
        return self.status()["verdict"] == "safe"

    def protected_as_of(self):
        """The earliest of all targets, in whole seconds."""
        targets = [target for share in self.status()["shares"] for target in share["targets"]]
        return min((target["protected_as_of"] or "")[:19] for target in targets)

    def await_safe(self):
        """Safe is said of a moment after this, and is true: what is said of an earlier one is no word on later work. Returns
        the seconds."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        _, took = await_that("SAFE", lambda: self.is_safe() and self.protected_as_of() > now)
        self.need_same()
        return took

    # ---- what has to be ----

    def need_same(self):
        wanted = tree(self.share)
        for place in self.places:
            unlike = difference(wanted, tree(place))
            if unlike:
                print(self.ask("explain", unlike[0].split(" ", 1)[1].split(" (")[0])[1])
            need(not unlike, f"{place} is not like the share: {unlike}")

    def need_history(self, *paths):
        """On the server each of these has one version, and nothing else has any."""
        history = self.arrived / ".driftline/history"
        found = sorted(str(path.parent.relative_to(history)) for path in history.rglob("*") if not path.is_dir())
        need(found == sorted(paths), f"versions of {found} instead of {sorted(paths)}")

    def versions(self):
        """Digests of all versions in history on the server, by path, the oldest first."""
        history = self.arrived / ".driftline/history"
        found = {}
        for path in sorted(history.rglob("*")):
            if path.is_file():
                found.setdefault(str(path.parent.relative_to(history)), []).append(digest(path))
        return found

    def need_clean_staging(self):
        def left():
            return [path for path in (self.arrived / ".driftline/staging").rglob("*") if not path.is_dir()]

        try:
            # What could not be removed while the fault lasted goes with the next look at an idle target: each half minute.
            await_that("staging is empty", lambda: not left(), 75)
        except Failed:
            sizes = [(path.name, path.stat().st_size, path.stat().st_nlink) for path in left()]
            raise Failed(f"left in staging: {sizes[:5]}, {len(sizes)} in all") from None

    def told(self):
        return self.log.read_text(errors="replace")


