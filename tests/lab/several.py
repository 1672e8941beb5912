#!/usr/bin/env python3
"""Three agents of one share in a guest, each with a folder and an index of its own, on an NFS export and a bucket: random
work with kills, cuts and a server that goes away, for SECONDS; then all is the same everywhere, and no value is lost.

    several.py three-agents        prints "PASS what happened" or "FAIL why"
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request

from office import BINARY, LOCAL, MOUNT, SERVER, Failed, await_that, fault, need
from singles import a_bucket

# How long they work, and how long all may take to come to rest after it (s).
SECONDS = int(os.environ.get("SECONDS_OF_WORK", "600"))
REST = 400
AGENTS = ("one", "two", "three")
# What is done to line and server, and how it is undone.
FAULTS = (("cut", "heal"), ("deaf", "heal"), ("stop-server", "start-server"))


class Agent:
    def __init__(self, name, bucket):
        self.name, self.place = name, LOCAL / name
        self.share, self.state = self.place / "share", self.place / "state"
        for folder in (self.share, self.state):
            folder.mkdir(parents=True)
        self.config = self.place / "config.toml"
        self.config.write_text(
            f'[agent]\nname = "{name}"\nstate_dir = "{self.state}"\n\n'
            f'[[share]]\nname = "office"\npath = "{self.share}"\nid = "shared"\nsettle = "100ms"\n\n'
            f'[[share.target]]\nname = "efs"\npath = "{MOUNT}/office"\ndrift = "take"\naudit = "10s"\n\n'
            '[[share.target]]\nname = "cloud"\nurl = "s3://office/projects"\nregion = "us-east-1"\n'
            f'endpoint = "http://{bucket}"\ndrift = "take"\naudit = "20s"\n'
        )
        self.process, self.dying = None, None

    def start(self):
        if not self.is_gone():
            return
        log = open(self.place / "log", "ab")
        self.process = subprocess.Popen([BINARY, "run", "--config", self.config], stdout=log, stderr=log)

    def kill(self):
        """Its call to a mount that hangs ends it only when the mount answers again, which is not waited for."""
        self.process.send_signal(signal.SIGKILL)
        self.process, self.dying = None, self.process

    def is_gone(self):
        return self.dying is None or self.dying.poll() is not None

    def fleet(self):
        words = [BINARY, "status", "--fleet", "--config", self.config]
        return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout


def contents(root):
    """Every file below with what it holds; what goes away meanwhile is left out."""
    found = {}
    for path in root.rglob("*"):
        try:
            if path.is_file():
                found[str(path.relative_to(root))] = path.read_bytes()
        except OSError:
            pass
    return found


def visible(found):
    return {path: body for path, body in found.items() if not path.startswith(".driftline/")}


class Cloud:
    """What lies in the bucket, asked without a signature from the server's own file store."""

    def __init__(self):
        ports = (LOCAL / "s3/seaweedfs/ports").read_text().split()
        self.filer = f"http://127.0.0.1:{ports[5]}"

    def contents(self, below=""):
        """Nothing while it does not answer."""
        try:
            return self.listed(below)
        except (urllib.error.URLError, ConnectionError):
            return {}

    def listed(self, below):
        found, last = {}, ""
        while True:
            url = f"{self.filer}/buckets/office/projects/{urllib.parse.quote(below)}?limit=1000&lastFileName={urllib.parse.quote(last)}"
            request = urllib.request.Request(url, headers={"Accept": "application/json"})
            try:
                page = json.load(urllib.request.urlopen(request, timeout=30))
            except urllib.error.HTTPError:
                return found
            for entry in page.get("Entries") or []:
                path = entry["FullPath"].removeprefix("/buckets/office/projects/")
                if entry["Mode"] & (1 << 31):
                    found |= self.listed(path + "/")
                else:
                    url = f"{self.filer}/buckets/office/projects/{urllib.parse.quote(path)}"
                    found[path] = urllib.request.urlopen(url, timeout=30).read()
            last = page.get("LastFileName") or ""
            if not page.get("ShouldDisplayLoadMore"):
                return found


class Work:
    def __init__(self, agents, cloud, seed):
        self.agents, self.cloud, self.dice = agents, cloud, random.Random(seed)
        self.written, self.done, self.fault = {}, 0, None

    def find(self):
        """What has arrived somewhere: in place, in history, or in what gave way."""
        for root in (SERVER / "office", *(agent.share / ".driftline" for agent in self.agents)):
            for body in contents(root).values():
                if body in self.written:
                    self.written[body] = True

    def find_in_the_bucket(self):
        for body in self.cloud.contents().values():
            if body in self.written:
                self.written[body] = True

    def may_give_way(self, path):
        """What nobody has seen yet may be lost without blame: it is left alone."""
        try:
            return self.written.get(path.read_bytes(), False)
        except OSError:
            return False

    def step(self, number):
        agent = self.dice.choice(self.agents)
        path, other = (agent.share / f"{self.dice.choice('abc')}/{self.dice.randrange(4)}.txt" for _ in "12")
        turn = self.dice.randrange(40)
        if turn < 20 and (not path.exists() or self.may_give_way(path)):
            body = f"value {number} of {agent.name}".encode()
            self.written[body] = False
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        elif turn < 26 and self.may_give_way(path):
            path.unlink(missing_ok=True)
        elif turn < 30 and path.exists() and not other.exists():
            other.parent.mkdir(parents=True, exist_ok=True)
            try:
                path.rename(other)
            except FileNotFoundError:
                pass
        elif turn == 30 and agent.process:
            agent.kill()
        elif turn in (31, 32, 33) and not agent.process:
            agent.start()
        elif turn == 34:
            self.disturb()
        else:
            return
        self.done += 1

    def disturb(self):
        if self.fault:
            fault(self.fault[1])
            self.fault = None
        else:
            self.fault = self.dice.choice(FAULTS)
            fault(self.fault[0])

    def alike(self):
        trees = [visible(contents(root)) for root in (SERVER / "office", *(agent.share for agent in self.agents))]
        return all(each == trees[0] for each in trees[1:]) and visible(self.cloud.contents()) == trees[0] and trees[0]


def three_agents():
    bucket = a_bucket()
    (SERVER / "office").mkdir()
    agents = [Agent(name, bucket) for name in AGENTS]
    for agent in agents:
        agent.start()
    seed = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}")
    work = Work(agents, Cloud(), seed)
    begun, number = time.monotonic(), 0
    while time.monotonic() - begun < SECONDS:
        work.step(number)
        number += 1
        time.sleep(0.1)
        if number % 20 == 0:
            work.find()
        if number % 200 == 0:
            print(f"after {time.monotonic() - begun:.0f} s: {work.done} things done, {work.fault or 'no fault'}", flush=True)
    if work.fault:
        fault(work.fault[1])
    await_that("what was killed is gone", lambda: all(agent.is_gone() for agent in agents), REST)
    for agent in agents:
        if not agent.process:
            agent.start()

    def at_rest():
        return work.alike() and (time.sleep(5) or work.alike())

    try:
        found, took = await_that("all is the same everywhere", at_rest, REST)
    except Failed:
        for root in (SERVER / "office", *(agent.share for agent in agents)):
            print(root, sorted(visible(contents(root)).items()))
        print("bucket", sorted(visible(work.cloud.contents()).items()))
        raise
    work.find()
    work.find_in_the_bucket()
    lost = sorted(body.decode() for body, seen in work.written.items() if not seen)
    need(not lost, f"{len(lost)} of {len(work.written)} values are lost: {lost[:5]}")
    fleet = agents[0].fleet()
    print(fleet)
    need(all(f"{name}" in fleet for name in AGENTS), f"not all are in the fleet: {fleet}")
    ended = sum((agent.place / "log").read_text(errors="replace").count("watching") - 1 for agent in agents)
    return f"{work.done} things done, {len(work.written)} values, {ended} agents started again; {len(found)} files the same in five places {took:.0f} s after it"


def main():
    try:
        print(f"PASS {three_agents()}")
        return 0
    except Failed as failed:
        print(f"FAIL {failed}")
    except Exception:  # the scenario itself is at fault
        print(f"FAIL {traceback.format_exc()}")
    for name, log in ((*((name, LOCAL / name / "log") for name in AGENTS), ("the bucket's server", LOCAL / "s3/seaweedfs/log"))):
        print(name, log.read_text(errors="replace")[-3000:] if log.exists() else "")
    # A server that is gone may have been ended by the kernel.
    print(subprocess.run("dmesg | tail -n 25; free -m; df -m /mnt/local; ps -eo pid,ppid,stat,etime,args; ss -ltnp; ls -la /mnt/local/s3/seaweedfs; date", shell=True, capture_output=True, text=True).stdout)
    return 1


if __name__ == "__main__":
    sys.exit(main())
