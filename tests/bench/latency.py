#!/usr/bin/env python3
"""How soon a save is on the target, what the agent costs while nothing happens, and how soon it watches.

    latency.py [--saves N] [--size BYTES] [--files N] [--settle TIME] [--idle SECONDS] [--big MIB] [--folder DIR]

Starts the agent on a share of --files files, saves N times (write and close, each a new name), each time waiting until
the target holds exactly what was saved. With --big, a file of that many MiB is copied meanwhile. DRIFTLINE_BIN names
the program. Prints a markdown table. Times include the settle time (500 ms by default).
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = os.environ.get("DRIFTLINE_BIN", str(HERE.parent.parent / "target/release/driftline"))
TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE = 600


class Office:
    """A share, a target and an agent between them."""

    def __init__(self, folder, settle):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="driftline-bench.", dir=folder))
        self.share, self.target, self.state = (self.root / name for name in ("share", "target", "state"))
        for path in (self.share, self.target, self.state):
            path.mkdir()
        self.config = self.root / "driftline.toml"
        self.config.write_text(
            f'[agent]\nstate_dir = "{self.state}"\n[[share]]\nname = "office"\npath = "{self.share}"\n'
            f'settle = "{settle}"\n[[share.target]]\nname = "backup"\npath = "{self.target}"\n'
        )
        self.agent = None

    def start(self):
        log = open(self.root / "agent.log", "ab")
        self.agent = subprocess.Popen([PROGRAM, "run", "--config", self.config], stdout=log, stderr=log)

    def status(self):
        said = subprocess.run([PROGRAM, "status", "--json", "--config", self.config], capture_output=True, check=False)
        try:
            return json.loads(said.stdout)
        except ValueError:
            return {"verdict": None, "agent": {"state": None}, "shares": []}

    def wait(self, what, is_so):
        """Seconds until `is_so()`."""
        begun = time.monotonic()
        while not is_so():
            if self.agent.poll() is not None or time.monotonic() - begun > PATIENCE:
                tail = (self.root / "agent.log").read_text(errors="replace")[-4000:]
                sys.exit(f"error: cannot measure: {what} never happens\n{tail}")
            time.sleep(0.001)
        return time.monotonic() - begun

    def watching(self):
        status = self.status()
        shares = status["shares"]
        return status["agent"]["state"] == "running" and shares and all(s["watch"]["coverage"] == 1.0 for s in shares)

    def safe(self):
        status = self.status()
        idle = all(t["pending"] == 0 for s in status["shares"] for t in s["targets"])
        return status["verdict"] == "safe" and status["agent"]["state"] == "running" and idle

    def holds(self, name, data):
        try:
            return (self.target / name).read_bytes() == data
        except FileNotFoundError:
            return False

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.agent.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, field):
        lines = pathlib.Path(f"/proc/{self.agent.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024

    def close(self):
        if self.agent and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGTERM)
            try:
                self.agent.wait(60)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
        shutil.rmtree(self.root)


def percentile(values, share):
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def save(office, number, size, base):
    """Saves one new file; seconds from its close until the target holds it."""
    name, data = f"saved-{base}-{number:05d}.dat", os.urandom(size)
    (office.share / name).write_bytes(data)
    return office.wait(f"save {number}", lambda: office.holds(name, data))


def parse():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--saves", type=int, default=200)
    args.add_argument("--size", type=int, default=20_000)
    args.add_argument("--files", type=int, default=20_000)
    args.add_argument("--settle", default="500ms")
    args.add_argument("--idle", type=float, default=30)
    args.add_argument("--big", type=int, default=0)
    args.add_argument("--folder", default=None)
    return args.parse_args()


def measure(office, args):
    rows = []
    subprocess.run([sys.executable, HERE / "tree.py", office.share, str(args.files)], check=True, capture_output=True)
    office.start()
    rows.append(("from start to watching (first start)", f"{office.wait('watching', office.watching):.2f} s"))
    rows.append(("then, until all is safe", f"{office.wait('safe', office.safe):.2f} s"))
    times = [save(office, i, args.size, "quiet") for i in range(args.saves)]
    for share in (50, 99):
        rows.append((f"save to target, p{share}", f"{percentile(times, share) * 1000:.0f} ms"))
    if args.big:
        with open(office.share / "big.bin", "wb") as file:
            for _ in range(args.big):
                file.write(os.urandom(1 << 20))
        times = [save(office, i, args.size, "busy") for i in range(20)]
        rows.append((f"save to target beside {args.big} MiB, worst of 20", f"{max(times) * 1000:.0f} ms"))
    office.wait("safe", office.safe)
    time.sleep(2)
    before = office.cpu()
    time.sleep(args.idle)
    rows.append((f"processor while idle, over {args.idle:.0f} s", f"{(office.cpu() - before) / args.idle * 100:.2f} %"))
    rows.append(("resident while idle", f"{office.memory('VmRSS'):.0f} MiB"))
    rows.append(("resident at most", f"{office.memory('VmHWM'):.0f} MiB"))
    times = []
    for _ in range(10):
        begun = time.monotonic()
        office.status()
        times.append(time.monotonic() - begun)
    rows.append(("status, worst of 10", f"{max(times) * 1000:.0f} ms"))
    office.agent.terminate()
    office.agent.wait()
    office.start()
    rows.append(("from restart to watching", f"{office.wait('watching', office.watching):.2f} s"))
    return rows


def main():
    args = parse()
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"error: cannot measure: there is no {PROGRAM}: build it, or set DRIFTLINE_BIN")
    office = Office(args.folder, args.settle)
    try:
        rows = measure(office, args)
    finally:
        office.close()
    print(f"{args.files} files; {args.saves} saves of {args.size} bytes; settle {args.settle}\n")
    print("| what | measured |\n|---|---|")
    for what, value in rows:
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
